# SPDX-License-Identifier: Apache-2.0
"""The measure decided is what a partner is asked for: by machine where the connector can ask for just that,
else by a person. Never more."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from fakes._opened import submission
from wasl_connector_sdk import HubIdentity, Measure, PersonNeeded
from wasl_connector_sdk.asking import asked, sentence
from wasl_connector_sdk.registry import load_all
from wasl_platform_gateway.connectors import (
    bluesky,
    cloudflare,
    iccam,
    iwf,
    mastodon,
    ncmec,
    reference,
    wasl_peer,
    webhook,
    youtube,
)
from wasl_platform_gateway.connectors.matrix import mapping

NOW = datetime(2026, 1, 5, 9, tzinfo=UTC)
LABEL = sentence(Measure.LABEL, "MA", "ar")
CLOUDFLARE = cloudflare.CloudflareConfig(
    account_id="a", token="secret-token", name="Wasl", email="a@hub.example"
)
WORDS = {
    "bluesky": bluesky.reason_text,
    "cloudflare": lambda given: cloudflare.to_json(given, CLOUDFLARE)["justification"],
    "iccam": lambda given: iccam.to_json(given, analyst="a", classification=2)["memo"],
    "iwf": lambda given: iwf.to_json(given, live=True, channel=51)["Reporter_Description"],
    "mastodon": mastodon.comment,
    "matrix": lambda given: mapping.reason_of(given, HubIdentity()),
    "ncmec": lambda given: ncmec.to_xml(given, HubIdentity(), NOW).decode(),
    "wasl_peer": lambda given: wasl_peer.to_json(given, "aa")["explanation"],
    "youtube": youtube.comments,
}
CHILD_SAFETY = {"iccam", "iwf", "ncmec"}


# -- what each connector says --


@pytest.mark.parametrize("name", WORDS)
def test_the_measure_is_said_once_and_survives_the_cut(name):
    category = "csam" if name in CHILD_SAFETY else "defamation"
    measures = [Measure.REMOVE] if name in CHILD_SAFETY else Measure
    for measure in measures:
        for words in ("", "شكوى " * 4000):
            given = submission(measure=measure, category=category, explanation=words)
            assert WORDS[name](given).count(asked(given)) == 1
    silent = WORDS[name](submission(category=category))
    assert not any(sentence(measure, "MA", "ar") in silent for measure in Measure)


@pytest.mark.parametrize("measure", [None, *Measure])
def test_the_hubs_own_protocols_have_a_field_for_it(measure):
    given = submission(measure=measure)
    assert reference.to_json(given)["measure"] == measure
    assert webhook.to_json(given, NOW)["data"]["measure"] == measure


def test_who_asks_child_safety_desks_asks_for_removal_only():
    carried = {name: kind.manifest.measures for name, kind in load_all().items()}
    milder = {name for name, measures in carried.items() if measures != frozenset(Measure)}
    assert milder == CHILD_SAFETY
    assert all(carried[name] == {Measure.REMOVE} for name in CHILD_SAFETY)


@pytest.mark.parametrize("language", ["ar", "fr", "en"])
def test_a_milder_sentence_says_that_removal_is_not_asked_for(language):
    no_removal = {"ar": "لا يُطلب الحذف", "fr": "n’est pas demandé", "en": "is not asked for"}
    for scope in ("MA", "global"):
        said = [sentence(measure, scope, language) for measure in Measure]
        assert len(set(said)) == len(said)
        assert not any("{" in text or "global" in text for text in said)
        milder = [no_removal[language] in text for text in said]
        assert milder == [True, True, True, False, False]


def test_the_language_is_the_requests_else_english():
    given = submission(measure="label")
    assert asked(given) == LABEL
    assert asked(given.model_copy(update={"language": "fr-MA"})).endswith("n’est pas demandé.")
    assert asked(given.model_copy(update={"language": "und"})) == sentence("label", "MA", "en")


# -- what the gateway does --


def partner_of(kit, *measures, **more):
    fake = kit.FakePartner()
    connector = kit.make_connector(fake, **more)
    connector.manifest = replace(connector.manifest, measures=frozenset(measures))
    return connector, fake


@pytest.mark.parametrize("measure", ["label", "age_restrict", "geo_restrict", "account_action"])
async def test_what_would_ask_for_more_is_a_persons_with_the_words(kit, measure):
    connector, fake = partner_of(kit, Measure.REMOVE)
    gateway = kit.Gateway(connector)
    await gateway.request(1, measure=measure)
    await gateway.run()
    assert not fake.reports
    assert gateway.told(1) == ["ambiguous"]
    assert (gateway.row(1).reason, gateway.row(1).attempts) == ("person_needed", 0)
    packet = (await gateway.desk.sheet("dispatch-0001")).packet
    for said in (sentence(measure, "MA", "ar"), "CANARY-LOCATION/1", "The hub's reasons."):
        assert said in packet
    assert sentence(Measure.REMOVE, "MA", "ar") not in packet
    assert "CANARY" not in str(gateway.store.docs["ledger"])
    await gateway.desk.resolve("dispatch-0001", "sent", "P-1")
    assert gateway.told(1) == ["ambiguous", "sent"]


@pytest.mark.parametrize("measure", [None, "remove", "label"])
async def test_what_the_connector_can_ask_for_it_sends(kit, measure):
    connector, fake = partner_of(kit, Measure.REMOVE, Measure.LABEL)
    gateway = kit.Gateway(connector)
    await gateway.request(1, measure=measure)
    await gateway.run()
    assert gateway.row(1).state == "sent"
    assert len(fake.reports) == 1


async def test_a_measure_nobody_here_knows_is_not_sent(kit):
    connector, fake = partner_of(kit, *Measure)
    gateway = kit.Gateway(connector)
    await gateway.request(1, measure="something_newer")
    await gateway.run()
    assert not fake.reports
    assert (gateway.row(1).state, gateway.row(1).reason) == ("failed", "item_unreadable")


async def test_a_connector_may_hand_over_without_words_of_its_own(kit):
    connector, _ = partner_of(kit, *Measure)

    async def submit(self, given):
        raise PersonNeeded

    connector.submit = submit
    gateway = kit.Gateway(connector)
    await gateway.request(1, measure="label")
    await gateway.run()
    assert gateway.told(1) == ["ambiguous"]
    assert LABEL in (await gateway.desk.sheet("dispatch-0001")).packet


async def test_a_correction_to_less_is_a_persons_where_the_connector_would_ask_for_more(kit):
    connector, _ = partner_of(kit, Measure.REMOVE)
    corrected = []

    async def correct(self, reference, given):
        corrected.append(given.measure)

    connector.correct = correct
    gateway = kit.Gateway(connector)
    await gateway.request(1, measure="remove")
    await gateway.run()
    await gateway.request(1, measure="label", revision=1)
    await gateway.run()
    assert corrected == []
    assert [str(news.change) for news in gateway.news(1)] == ["state", "correction_due"]
    assert LABEL in (await gateway.desk.sheet("dispatch-0001")).packet
    assert gateway.row(1).wanted is None


# -- rows whose words cannot be read --


def with_withdrawal(kit):
    connector, _ = partner_of(kit, Measure.REMOVE)
    taken_back = []

    async def withdraw(self, reference, reason):
        taken_back.append(reason)

    async def remind(self, reminder):
        raise AssertionError("a reminder about an erased case")

    connector.withdraw, connector.remind = withdraw, remind
    return connector, taken_back


async def test_a_withdrawal_of_an_erased_case_reaches_the_partner(kit):
    connector, taken_back = with_withdrawal(kit)
    gateway = kit.Gateway(connector)
    await gateway.request(1)
    await gateway.run()
    await gateway.request(1, revision=1, withdrawn="sent_in_error")
    await gateway.destroy_key("case-0001")
    await gateway.run()
    assert taken_back == ["sent_in_error"]
    assert (gateway.row(1).state, gateway.row(1).reason) == ("withdrawn", "sent_in_error")


async def test_who_would_be_reminded_of_an_erased_case_is_told_that_nothing_is_asked(kit):
    connector, taken_back = with_withdrawal(kit)
    later = lambda row, after: (row.sent_at + timedelta(hours=1), None)  # noqa: E731
    gateway = kit.Gateway(connector, reminder=later)
    await gateway.request(1)
    await gateway.run()
    await gateway.destroy_key("case-0001")
    await gateway.run_for(7200, step=600)
    assert taken_back == ["erased"]
    assert (gateway.row(1).state, gateway.row(1).reason) == ("withdrawn", "erased")


@pytest.mark.parametrize(
    ("errand", "said"), [("remind", "reminder_due"), ("correct", "correction_due")]
)
async def test_an_errand_with_an_unreadable_item_is_a_persons_and_ends(kit, errand, said):
    connector, _ = with_withdrawal(kit)

    async def correct(self, reference, given):
        raise AssertionError("a correction nobody can read")

    connector.correct = correct
    hour = timedelta(hours=1)

    def once(row, after):
        return (row.sent_at + hour, None) if after < row.sent_at + hour else None

    gateway = kit.Gateway(connector, reminder=once)
    broken = "s1.case-0001." + "A" * 40
    await gateway.request(1)
    await gateway.run()
    if errand == "correct":
        await gateway.request(1, revision=1, item=broken)
    else:
        gateway.store.docs["ledger"]["dispatch-0001"]["item"] = broken
    await gateway.run_for(7200, step=600)
    assert str(gateway.news(1)[1].change) == said
    row = gateway.row(1)
    assert (row.state, row.wanted) == ("sent", None)
    assert row.due_at > gateway.clock.now()
