# SPDX-License-Identifier: Apache-2.0
"""The pages about the service say what the country pack says, in three languages, and no more."""

import html
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from pages import Page, check
from wasl_chassis.headers import Addresses
from wasl_intake import bootstrap
from wasl_intake.handlers import IntakeHandlers
from wasl_schemas.country_pack import (
    ContactHours,
    CountryPack,
    Portal,
    StaffedHours,
    Weekday,
    load_country_pack,
)
from wasl_schemas.events.common import Channel

LANGUAGES = ("ar", "fr", "en")
PAGES = ("help", "advice", "about", "privacy", "accessibility", "feedback", "feedback/follow")
PEPPER = b"p" * 32
MOROCCO = load_country_pack(Path(__file__).parents[3] / "deploy" / "country-packs" / "ma")
ONION = f"http://{'a' * 56}.onion"


def words(text: str) -> dict[str, str | None]:
    return {"ar": f"{text} بالعربية", "fr": f"{text} (fr)", "en": text}


def visitor(hub: Any, pack: CountryPack, **addresses: str) -> httpx.AsyncClient:
    handlers = IntakeHandlers(hub, pack, pepper=PEPPER)
    app = bootstrap.compose(
        handlers,
        pack,
        hub.metrics,
        pepper=PEPPER,
        body_limit=65_536,
        clock=hub.clock,
        addresses=Addresses(**addresses),
    )
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://hub.test")


def with_portal(monkeypatch: Any, **changes: Any) -> CountryPack:
    """Morocco with another portal section, until the test ends."""
    monkeypatch.setattr(MOROCCO, "portal", MOROCCO.portal.model_copy(update=changes))
    return MOROCCO


async def read(client: httpx.AsyncClient, lang: str, path: str) -> Page:
    answer = await client.get(f"/{lang}/{path}")
    assert answer.status_code == 200
    return check(answer, lang)


def plain(page: Page) -> str:
    return re.sub(r"\s+", " ", page.text)


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("path", PAGES)
async def test_every_page_keeps_the_rules_and_sets_no_cookie(
    hub: Any, lang: str, path: str
) -> None:
    async with visitor(hub, MOROCCO) as client:
        answer = await client.get(f"/{lang}/{path}")
    check(answer, lang)
    assert "set-cookie" not in answer.headers
    assert len(answer.content) < 30_000
    assert hub.counts() == {}, "reading stores nothing"


@pytest.mark.parametrize("path", PAGES)
async def test_a_pack_with_almost_nothing_reads_well(portal: Any, path: str) -> None:
    for lang in LANGUAGES:
        page = await read(portal.http, lang, path)
        assert "None" not in page.text
        assert "()" not in page.text
        assert "[]" not in page.text


# -- help --------------------------------------------------------------------------------------


async def test_help_shows_what_each_door_is_for_and_nothing_unverified(hub: Any) -> None:
    async with visitor(hub, MOROCCO) as client:
        page = await read(client, "en", "help")
    links = [str(g["href"]) for g in page.all("a")]
    for route in MOROCCO.portal.routes:
        assert str(route.about["en"]) in page.text
        contact = MOROCCO.contact(route.contact)
        assert (contact.tel or contact.link) in links
    assert "tel:19" in links
    assert links.index("tel:19") < links.index("tel:2511"), "emergencies come first"
    assert "tel:112" not in links, "not verified"


@pytest.mark.parametrize("lang", LANGUAGES)
async def test_no_hours_of_people_are_promised_unless_set(hub: Any, lang: str) -> None:
    async with visitor(hub, MOROCCO) as client:
        page = await read(client, lang, "help")
    said = {"ar": "لا نعد هنا بأوقات", "fr": "Aucun horaire", "en": "No fixed hours of people"}
    assert said[lang] in page.text


@pytest.mark.parametrize(
    ("later", "expected"),
    [
        ({"hours": 0}, "closed now, opens Monday 10:00"),  # Monday 9:30 there
        ({"hours": 1}, "open now"),
        ({"hours": 7}, "closed now, opens Wednesday 10:00"),
        ({"days": 2, "hours": 2}, "open now"),
        ({"days": 3}, "closed now, opens Monday 10:00"),
    ],
)
async def test_hours_are_told_as_they_are_now(
    hub: Any, monkeypatch: Any, later: dict[str, int], expected: str
) -> None:
    zone = MOROCCO.info.timezone  # an hour ahead of UTC in January
    hours = ContactHours(
        timezone=zone, days=(Weekday.MONDAY, Weekday.WEDNESDAY), opens="10:00", closes="16:00"
    )
    late = hours.model_copy(update={"opens": "10:30", "timezone": "UTC"})
    pack = with_portal(
        monkeypatch,
        staffed=(
            StaffedHours(channel=Channel.CHAT, title=words("Chat"), hours=(hours,)),
            StaffedHours(channel=Channel.PHONE, title=words("Telephone"), note=words("Free")),
            StaffedHours(channel=Channel.EMAIL, title=words("E-mail"), hours=(late,)),
        ),
    )
    hub.clock.advance(timedelta(minutes=-30) + timedelta(**later))
    async with visitor(hub, pack) as client:
        text = plain(await read(client, "en", "help"))
    assert f"Chat: {expected}" in text
    assert "Monday, Wednesday, 10:00–16:00" in text
    assert "Telephone: open now" in text
    assert "At any hour, every day" in text
    assert "10:30–16:00 (UTC)" in text, "another zone is named"
    assert "No fixed hours" not in text


async def test_days_in_a_row_are_a_span(hub: Any, monkeypatch: Any) -> None:
    week = ContactHours(
        timezone=MOROCCO.info.timezone, days=tuple(Weekday)[:5], opens="09:00", closes="17:00"
    )
    chat = StaffedHours(channel=Channel.CHAT, title=words("Chat"), hours=(week,))
    async with visitor(hub, with_portal(monkeypatch, staffed=(chat,))) as client:
        assert "Monday to Friday, 09:00–17:00" in plain(await read(client, "en", "help"))
        assert "du lundi au vendredi, 09:00–17:00" in plain(await read(client, "fr", "help"))
        assert "من الاثنين إلى الجمعة، 09:00–17:00" in plain(await read(client, "ar", "help"))


# -- advice ------------------------------------------------------------------------------------


async def test_every_card_is_there_once_and_no_address_tells_which_is_read(hub: Any) -> None:
    async with visitor(hub, MOROCCO) as client:
        page = await read(client, "fr", "advice")
    for card in MOROCCO.advice_cards.values():
        assert page.text.count(str(card.title["fr"])) == 1, card.id
        assert card.id not in page.ids()
    assert len(page.all("details")) == len(MOROCCO.advice_cards)
    assert not [g for g in page.all("a") if "#" in str(g["href"]) and g["href"] != "#main"]


# -- about -------------------------------------------------------------------------------------


async def test_about_tells_the_clocks_the_rules_and_the_partners_of_the_pack(hub: Any) -> None:
    async with visitor(hub, MOROCCO) as client:
        text = plain(await read(client, "en", "about"))
    for clock in MOROCCO.clocks.severities.values():
        assert f"Within {MOROCCO.span_text('en', clock.first_look)}" in text
    assert text.count("day and night") == 2, "only what somebody is paged for"
    for rule in MOROCCO.routing.automatic:
        kind = MOROCCO.category(rule.category).label["en"]
        assert f"{kind}: to {MOROCCO.partner(rule.partner).title['en']}" in text
    for title in ("Internet Watch Foundation", "Meta", "TikTok", "Royal Gendarmerie"):
        assert title in text
    assert text.index("Under an agreement") < text.index("Meta") < text.index("no agreement is")
    assert text.index("no agreement is") < text.index("TikTok")
    assert "whoever lives in Morocco, of any nationality" in text
    assert "This site takes no file." in text
    for notice in MOROCCO.notices.values():
        assert str(notice.paragraphs[0]["en"]) in text


async def test_a_partner_whose_agreement_has_ended_is_not_named(hub: Any, monkeypatch: Any) -> None:
    ended = {
        name: p.model_copy(update={"agreement": p.agreement.model_copy(update={"until": "2025"})})
        if name == "meta"
        else p
        for name, p in MOROCCO.partners.items()
    }
    monkeypatch.setattr(MOROCCO, "partners", ended)
    async with visitor(hub, MOROCCO) as client:
        text = plain(await read(client, "en", "about"))
    assert "Meta" not in text
    assert "TikTok" in text


# -- privacy -----------------------------------------------------------------------------------


@pytest.mark.parametrize("lang", LANGUAGES)
async def test_what_nobody_has_set_is_said_to_be_missing(hub: Any, lang: str) -> None:
    async with visitor(hub, MOROCCO) as client:
        text = plain(await read(client, lang, "privacy"))
    assert str(MOROCCO.portal.controller[lang]) in text
    assert {"ar": "في انتظار الجواب", "fr": "en attente", "en": "pending"}[lang] in text
    assert str(MOROCCO.law("ma.law-09-08").title[lang]) in text
    assert ".onion" not in text
    for kept in MOROCCO.clocks.retention:
        span = MOROCCO.span_text(lang, kept.keep)
        assert span in text, kept.data
        assert kept.data not in text, "in words, not by its id"


async def test_what_is_set_is_shown(hub: Any, monkeypatch: Any) -> None:
    pack = with_portal(
        monkeypatch,
        controller=words("Agency of Examples"),
        authorisation="D-000/2030",
        rights_contact="rights@example.org",
        statistics="https://figures.example.org/",
    )
    async with visitor(hub, pack, onion=ONION) as client:
        page = await read(client, "en", "privacy")
    text = plain(page)
    assert "Agency of Examples" in text
    assert "D-000/2030" in text
    assert "pending" not in text
    assert "rights@example.org" in text
    assert ONION in text
    assert "use another network" not in text
    assert "https://figures.example.org/" in [g["href"] for g in page.all("a")]


async def test_no_figures_are_linked_where_there_are_none(hub: Any) -> None:
    async with visitor(hub, MOROCCO) as client:
        assert "Figures" not in (await read(client, "en", "about")).text


async def test_a_pack_without_a_portal_says_so_itself(hub: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(MOROCCO, "portal", Portal())
    async with visitor(hub, MOROCCO) as client:
        privacy = plain(await read(client, "en", "privacy"))
        feedback = plain(await read(client, "en", "feedback"))
    assert "has not named anybody yet" in privacy
    assert "The answer is due" not in privacy
    assert "No time is set for the answer." in feedback


async def test_the_unfinished_language_is_named_as_missing(hub: Any) -> None:
    async with visitor(hub, MOROCCO) as client:
        text = plain(await read(client, "en", "accessibility"))
    assert f"{MOROCCO.languages['zgh'].name}: not translated yet." in text


# -- links for others --------------------------------------------------------------------------


async def test_the_line_to_copy_is_a_link_and_nothing_else(hub: Any) -> None:
    async with visitor(hub, MOROCCO, public="https://hub.test") as client:
        answer = await client.get("/ar/link")
    lines = [html.unescape(t) for t in re.findall(r"<code>(.*?)</code>", answer.text, re.DOTALL)]
    assert len(lines) == len(MOROCCO.portal.campaigns)
    for line, campaign in zip(lines, MOROCCO.portal.campaigns, strict=True):
        assert line.startswith(f'<a href="https://hub.test/c/{campaign.id}" ')
        assert line.endswith("</a>")
        assert re.findall(r"<(\w+)", line) == ["a"]
        assert re.findall(r"(?:src|url)\b", line) == []
        assert 'dir="rtl" lang="ar"' in line


async def test_without_a_public_address_nothing_is_offered(hub: Any) -> None:
    async with visitor(hub, MOROCCO) as client:
        page = await read(client, "en", "link")
        assert (await client.get("/c/schools.svg")).status_code == 303, "no code, so no campaign"
    assert "There are no links to share yet" in page.text
