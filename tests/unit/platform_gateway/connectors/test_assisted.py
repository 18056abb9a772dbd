# SPDX-License-Identifier: Apache-2.0
"""The connector ``assisted``: what the person who hands a request over reads."""

import logging
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import httpx
import pytest
from fakes._opened import submission as sample
from pydantic import ValidationError
from wasl_chassis.testing import FakeClock
from wasl_connector_sdk import (
    Ground,
    HubIdentity,
    InvalidSubmission,
    PersonNeeded,
    Reminder,
    Runtime,
)
from wasl_platform_gateway.connectors.assisted import AssistedConnector
from wasl_platform_gateway.connectors.email.profiles import PROFILES, TEXTS

KEY = "019b8d3c-0000-7000-8000-000000000001"
HUB = HubIdentity("Wasl", "MA", "contact@hub.example", "https://hub.example")
PORTAL = "https://portal.example/casework"


def submission(**changes):
    given = {
        "partner": "meta",
        "category": "impersonation",
        "ground": Ground(kind="law", ref="law.1", text="المادة 1"),
        "location": "+212600000020",
        "platform": "whatsapp",
        "kind": "number",
        "explanation": "CANARY هذا المحتوى",
        **changes,
    }
    return sample(KEY, **given)


async def packet(changes=None, **given):
    desk = {"portal": PORTAL, "profile": "meta_dpa_casework", **given.pop("desk", {})}
    config = {"live": True, "partners": {"meta": desk}, **given}
    async with httpx.AsyncClient() as http:
        rt = Runtime(http, FakeClock(), logging.getLogger("test"), HUB)
        made = AssistedConnector.open(AssistedConnector.Config.model_validate(config), rt)
        async with made as connector:
            await connector.check()
            with pytest.raises(PersonNeeded) as caught:
                await connector.submit(submission(**(changes or {})))
    assert "CANARY" not in repr(caught.value)
    assert "212600000020" not in str(caught.value)
    return caught.value.packet


async def test_the_packet_says_where_what_and_what_to_type_back():
    text = await packet()
    for expected in (
        f"1. Open: {PORTAL}", "[Exact location]\ntelephone number: +212600000020",
        "[Ground of the casework]\nIdentity theft", "[Legal ground]\nالمادة 1 — law.1",
        "CANARY هذا المحتوى", "contact@hub.example", "DPA Casework, whatsapp: Identity theft",
    ):  # fmt: skip
        assert expected in text
    assert text.rstrip().endswith(f"type: {KEY}")
    assert "case-0001" not in text
    order = [TEXTS["en"].labels[f] for f in PROFILES["meta_dpa_casework"].fields]
    found = [text.index(f"[{label}]") for label in order]
    assert found == sorted(found)


@pytest.mark.parametrize("language", TEXTS)
async def test_instructions_in_our_language_and_fields_in_the_desks(language):
    text = await packet(language=language, desk={"language": "fr"})
    assert TEXTS[language].packet["title"] in text
    assert "[Emplacement exact]" in text
    assert "{" not in text


@pytest.mark.parametrize(("live", "test"), [(False, False), (False, True), (True, True)])
async def test_in_test_mode_the_packet_leads_nowhere(live, test):
    text = await packet({"test": test}, live=live)
    assert PORTAL not in text
    assert "1. Test mode: open no portal" in text
    assert "[TEST, do not act]" in text


async def test_no_portal_or_the_wrong_desk():
    for changes, reason in (
        ({"partner": "other"}, "no_desk"),
        ({"platform": "tiktok"}, "wrong_desk"),
    ):
        config = {"partners": {"meta": {"portal": PORTAL, "profile": "meta_dpa_casework"}}}
        rt = Runtime(httpx.AsyncClient(), FakeClock(), logging.getLogger("test"), HUB)
        made = AssistedConnector.open(AssistedConnector.Config.model_validate(config), rt)
        async with made as connector:
            with pytest.raises(InvalidSubmission) as caught:
                await connector.submit(submission(**changes))
        assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("partners", "field"),
    [
        ({}, "partners"),
        ({"meta": {"portal": "http://portal.example"}}, "partners.meta.portal"),
        ({"meta": {"portal": PORTAL, "profile": "CANARY"}}, "partners.meta.profile"),
    ],
)
def test_a_wrong_config_names_the_field_and_no_value(partners, field):
    with pytest.raises(ValidationError) as caught:
        AssistedConnector.Config.model_validate({"partners": partners})
    assert field in {".".join(map(str, e["loc"])) for e in caught.value.errors()}
    assert "CANARY" not in str(caught.value)


# -- after the hand-over --


async def packets(connector):
    """What a person gets for a reminder, a turn to another desk, a correction, a withdrawal."""
    said = Reminder(
        submission=submission(),
        reference="R-17",
        number=2,
        sent_at=datetime(2026, 1, 5, 9, tzinfo=UTC),
    )
    higher = said.model_copy(update={"role": "registrar"})
    found = []
    for work in (
        connector.remind(said),
        connector.remind(higher),
        connector.correct("R-17", submission(revision=3, explanation="Other words.")),
        connector.withdraw("R-17", "mistake"),
    ):
        with pytest.raises(PersonNeeded) as caught:
            await work
        assert "CANARY" not in repr(caught.value)
        found.append(caught.value.packet)
    return found


@asynccontextmanager
async def opened(partners, **changes):
    config = {"live": True, "partners": partners, **changes}
    rt = Runtime(httpx.AsyncClient(), FakeClock(), logging.getLogger("test"), HUB)
    made = AssistedConnector.open(AssistedConnector.Config.model_validate(config), rt)
    async with made as connector:
        yield connector


@pytest.mark.parametrize("language", TEXTS)
async def test_what_follows_is_written_by_a_person_in_the_partners_language(language):
    desk = {"portal": PORTAL, "profile": "meta_dpa_casework", "language": language}
    async with opened({"meta": desk}, language="fr") as connector:
        reminder, higher, correction, withdrawal = await packets(connector)
    words = TEXTS[language].follow
    assert words["reminder"].format(number=2, time="2026-01-05 09:00 UTC") in reminder
    assert words["escalation"].format(time="2026-01-05 09:00 UTC") in higher
    assert words["correction"].format(revision=3) in correction
    assert "Other words." in correction
    assert words["withdrawal"].format(token="R-17") in withdrawal
    for text in (reminder, higher, correction, withdrawal):
        assert TEXTS["fr"].packet["by_hand_portal"].format(token="R-17") in text
        assert PORTAL in text
        assert "{" not in text


async def test_a_withdrawal_names_every_portal_the_request_may_be_at():
    other = "https://other.example/desk"
    partners = {"meta": {"portal": PORTAL, "profile": "meta_dpa_casework", "language": "ar"}}
    async with opened({**partners, "x": {"portal": other}}) as connector:
        *_, withdrawal = await packets(connector)
    for expected in (PORTAL, other, "نسحب طلبنا", "We take back our request"):
        assert expected in withdrawal


async def test_in_test_mode_what_follows_leads_nowhere():
    partners = {"meta": {"portal": PORTAL, "profile": "meta_dpa_casework"}}
    async with opened(partners, live=False) as connector:
        for text in await packets(connector):
            assert PORTAL not in text
            assert "1. Test mode" in text
            assert TEXTS["en"].test_body in text
