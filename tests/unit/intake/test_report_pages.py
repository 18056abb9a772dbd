# SPDX-License-Identifier: Apache-2.0
"""The report, page by page, without script, in three languages, for people who err."""

import hashlib
import re
import secrets
from pathlib import Path
from typing import Any

import httpx
import pytest
from pages import Page, Person, check
from wasl_chassis.failures import Overloaded, Retryable
from wasl_chassis.headers import Addresses
from wasl_intake import bootstrap
from wasl_intake.domain import receipt
from wasl_intake.handlers import IntakeHandlers
from wasl_intake.portal.report import NARRATIVE_MAX
from wasl_intake.portal.state import Sealer, State
from wasl_schemas import topics
from wasl_schemas.country_pack import load_country_pack

LANGUAGES = ("ar", "fr", "en")
LETTERS = re.compile(r"[0-9A-HJKMNP-TV-Z]{6}(?:-[0-9A-HJKMNP-TV-Z]{6}){2}")
MOROCCO = Path(__file__).parents[3] / "deploy" / "country-packs" / "ma"


def letters(page: Page) -> str:
    (found,) = set(LETTERS.findall(page.text))
    return found


@pytest.fixture
async def morocco(hub: Any, portal: Any) -> Any:
    """The portal with Morocco's pack."""
    pack = load_country_pack(MOROCCO)
    handlers = IntakeHandlers(hub, pack, pepper=b"p" * 32)
    app = bootstrap.compose(
        handlers, pack, hub.metrics, pepper=b"p" * 32, body_limit=65_536, clock=hub.clock
    )
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://hub.test"
    ) as client:
        portal.http, portal.handlers = client, handlers
        yield portal


@pytest.mark.parametrize("lang", LANGUAGES)
async def test_from_the_home_page_to_the_receipt(portal: Any, lang: str) -> None:
    person = Person(portal, lang)
    page = await person.open("")
    assert f"/{lang}/report/1" in [g["href"] for g in page.all("a")]
    page = await person.report(
        danger="no",
        group="abuse",
        links="https://example.org/a\nhttps://example.org/b",
        account="@name",
        affected="child",
        age="under_13",
        risk=["threatened"],
        narrative="كتب لي ثلاث رسائل",
    )
    assert person.path == "receipt"
    code = letters(page)
    report_id = portal.report_id(code)
    content = await portal.hub.content(report_id)
    assert content.locations == ("https://example.org/a", "https://example.org/b", "@name")
    assert content.narrative == "كتب لي ثلاث رسائل"
    (event,) = portal.hub.events(topics.REPORT_SUBMITTED_V1)
    assert (event.data.channel, event.data.language) == ("web", lang)
    assert (event.data.category, event.data.affected) == ("threats", "child")
    assert (event.data.under_13, event.data.under_18, event.data.danger_now) == (True, True, False)
    assert [r.value for r in event.data.risk] == ["threatened"]
    assert "30 minutes" in page.text


async def test_reload_and_back_show_the_same_receipt_and_make_no_second_report(portal: Any) -> None:
    person = Person(portal, "fr")
    code = letters(await person.report())
    assert letters(await person.open("receipt")) == code
    await person.open("report/8")
    assert person.path == "report/1", "the answers are forgotten once they are sent"
    assert len(portal.hub.events(topics.REPORT_SUBMITTED_V1)) == 1


async def test_pressing_send_twice_makes_one_report(portal: Any) -> None:
    person = Person(portal, "fr")
    await person.report(narrative="Something happened")
    await person.open("report/1")
    await person.send(danger="no")
    await person.open("report/6")
    await person.send(narrative="Another thing")
    page = await person.open("report/8")
    portal.later(seconds=3)
    token = next(str(g["value"]) for g in page.all("input") if g.get("name") == "challenge")
    cookies = dict(portal.http.cookies)
    for _ in range(2):
        portal.http.cookies.clear()
        portal.http.cookies.update(cookies)
        answer = await portal.http.post("/fr/report/8", data={"challenge": token, "answer": ""})
        assert answer.headers["location"] == "/fr/receipt"
    assert len(portal.hub.events(topics.REPORT_SUBMITTED_V1)) == 2


@pytest.mark.parametrize("lang", LANGUAGES)
async def test_the_language_can_change_in_the_middle_and_what_was_typed_stays(
    portal: Any, lang: str
) -> None:
    other = "fr" if lang != "fr" else "ar"
    person = Person(portal, lang)
    await person.open("report/6")
    page = await person.send(narrative="half a sen", switch=other)
    assert (person.lang, person.path) == (other, "report/6")
    assert "half a sen" in page.text
    assert not portal.hub.events(topics.REPORT_SUBMITTED_V1)


async def test_nothing_is_kept_on_the_server_before_it_is_sent(portal: Any) -> None:
    person = Person(portal, "ar")
    await person.open("report/6")
    await person.send(narrative="a secret of mine")
    assert not portal.hub.store.docs.get("reports")
    assert "secret" not in portal.hub.everything()
    assert "secret" not in str(dict(portal.http.cookies))


async def test_answers_are_forgotten_after_half_an_hour(portal: Any) -> None:
    person = Person(portal, "ar")
    await person.open("report/6")
    await person.send(narrative="a secret of mine")
    portal.later(minutes=29)
    assert "secret" in (await person.open("report/6")).text
    portal.later(minutes=2)
    assert "secret" not in (await person.open("report/6")).text


@pytest.mark.parametrize("lang", LANGUAGES)
async def test_the_quick_exit_works_without_script_and_forgets(portal: Any, lang: str) -> None:
    person = Person(portal, lang)
    await person.open("report/6")
    page = await person.send(narrative="a secret of mine")
    (href,) = {str(g["href"]) for g in page.all("a") if g.get("id") == "exit"}
    answer = await portal.http.get(href)
    assert answer.status_code == 303
    assert answer.headers["location"] == f"https://{lang}.wikipedia.org/"
    assert '"cookies"' in answer.headers["clear-site-data"]
    assert not portal.http.cookies
    assert "secret" not in (await person.open("report/6")).text


async def test_another_site_cannot_post_or_empty_the_form(portal: Any) -> None:
    person = Person(portal, "fr")
    await person.open("report/6")
    await person.send(narrative="mine")
    elsewhere = {"sec-fetch-site": "cross-site"}
    answer = await portal.http.post("/fr/report/6", data={"narrative": "theirs"}, headers=elsewhere)
    assert answer.status_code == 403
    answer = await portal.http.get("/fr/leave", headers=elsewhere)
    assert "set-cookie" not in answer.headers
    assert "mine" in (await person.open("report/6")).text


# -- mistakes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize(
    ("number", "fields", "field"),
    [
        (4, {"links": "https://example.org\nhttp://localhost/x"}, "links"),
        (4, {"links": "javascript:alert(1)"}, "links"),
        (4, {"account": "no such / thing"}, "account"),
        (4, {"links": "\n".join(f"https://example.org/{i}" for i in range(51))}, "links"),
        (6, {"narrative": ""}, "narrative"),
        (6, {"narrative": "x" * (NARRATIVE_MAX + 1)}, "narrative"),
        (7, {"email": "not an address"}, "email"),
    ],
)
async def test_every_mistake_is_listed_linked_and_stays_to_be_corrected(
    portal: Any, lang: str, number: int, fields: dict[str, str], field: str
) -> None:
    person = Person(portal, lang)
    await person.open(f"report/{number}")
    page = await person.send(422, **fields)
    assert f"#{field}" in [g["href"] for g in page.all("a")]
    (control,) = [g for _, g in page.tags if g.get("id") == field]
    assert control["aria-invalid"] == "true"
    assert f"{field}-error" in str(control["aria-describedby"])
    typed = next(iter(fields.values()))
    assert typed[:20].split("\n")[0] in person.answer.text.replace("&#39;", "'")


async def test_a_report_that_says_nothing_does_not_reach_the_end(portal: Any) -> None:
    person = Person(portal, "fr")
    await person.open("report/8")
    assert person.path == "report/1"


async def test_a_mistake_that_was_jumped_over_comes_back(portal: Any) -> None:
    person = Person(portal, "fr")
    await person.open("report/6")
    await person.send(narrative="What I wrote")
    await person.send(422, email="not an address")
    await person.open("report/8")
    assert person.path == "report/7"
    answer = await portal.http.post("/fr/report/8", data={"challenge": "", "answer": ""})
    assert answer.status_code == 422


@pytest.mark.parametrize("failure", [Overloaded(), Retryable("away")])
async def test_a_failed_save_keeps_the_answers(portal: Any, failure: Exception) -> None:
    person = Person(portal, "fr")
    await person.open("report/6")
    await person.send(narrative="What I wrote")
    page = await person.open("report/8")
    portal.later(seconds=3)
    portal.hub.store.away = failure
    page = await person.send(503)
    assert "What I wrote" in page.text
    assert person.answer.headers["retry-after"]
    portal.hub.store.away = None
    portal.later(minutes=2)
    await person.send()
    assert person.path == "receipt"


async def test_too_fast_for_a_person_is_asked_to_wait_and_then_passes(portal: Any) -> None:
    person = Person(portal, "fr")
    await person.open("report/6")
    await person.send(narrative="What I wrote")
    await person.open("report/8")
    page = await person.send(429)
    assert any("data-wait" in g for _, g in page.tags)
    assert "What I wrote" in page.text
    portal.later(seconds=3)
    await person.send()
    assert person.path == "receipt"


async def test_a_filled_trap_costs_time_and_never_the_report(portal: Any) -> None:
    person = Person(portal, "fr")
    await person.open("report/6")
    await person.send(narrative="A password manager was here")
    await person.open("report/8")
    portal.later(seconds=3)
    await person.send(429, website="https://example.org")
    portal.later(seconds=70)
    await person.send(website="https://example.org")
    assert person.path == "receipt"


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"narrative=a&narrative=b", None, 422),
        (b"unknown=1", None, 422),
        (b"narrative=%ff", None, 400),
        (b"x", "application/json", 415),
        (b"narrative=" + b"a" * 300_000, None, 413),
    ],
)
async def test_hostile_forms_get_a_page_that_says_so(
    portal: Any, body: bytes, kind: str | None, status: int
) -> None:
    answer = await portal.http.post(
        "/ar/report/6",
        content=body,
        headers={"content-type": kind or "application/x-www-form-urlencoded"},
    )
    assert answer.status_code == status
    check(answer, "ar")


async def test_forged_old_or_foreign_cookies_are_an_empty_form(portal: Any) -> None:
    for value in ("", "x", "A" * 4000, "%00", "🙂".encode().hex()):
        answer = await portal.http.get("/ar/report/6", headers={"cookie": f"wasl={value}"})
        assert answer.status_code == 200


async def test_more_than_a_cookie_holds_is_said_and_not_lost_silently(portal: Any) -> None:
    person = Person(portal, "fr")
    await person.open("report/4")
    # Random letters do not compress.
    links = "\n".join(f"https://example.org/{receipt.new()}{receipt.new() * 5}" for _ in range(50))
    answer = await portal.http.post("/fr/report/4", data={"links": links})
    assert answer.status_code in (303, 413)
    if answer.status_code == 413:
        check(answer, "fr")


# -- what they may have written by mistake ---------------------------------------------------------


@pytest.mark.parametrize("lang", LANGUAGES)
async def test_a_number_in_the_text_is_asked_about_once(portal: Any, lang: str) -> None:
    person = Person(portal, lang)
    await person.open("report/6")
    text = "He writes from 06 12 34 56 78 every day"
    page = await person.send(422, narrative=text)
    assert "06 12 34 56 78" in page.text
    await person.send(narrative=text, keep="yes")
    assert person.path == "report/7"
    await person.open("report/6")
    await person.send(narrative=text, hide="yes")
    assert "He writes from […] every day" in (await person.open("report/8")).text


# -- danger, and where the device is not safe ------------------------------------------------------


@pytest.mark.parametrize("lang", LANGUAGES)
async def test_danger_shows_the_numbers_on_every_page_and_on_the_receipt(
    portal: Any, lang: str
) -> None:
    person = Person(portal, lang)
    await person.open("report/1")
    page = await person.send(danger="yes")
    assert "tel:19" in [g["href"] for g in page.all("a")]
    page = await person.report(danger="yes")
    assert "tel:19" in [g["href"] for g in page.all("a")]


async def test_an_unsafe_place_means_that_nobody_writes(portal: Any) -> None:
    person = Person(portal, "fr")
    await person.report(risk=["unsafe_place"], email="a@example.org", email_safe="yes")
    (event,) = portal.hub.events(topics.REPORT_SUBMITTED_V1)
    assert event.data.contact is not None
    assert event.data.contact.safe is False


# -- Morocco's pack: the short path, own images ----------------------------------------------------


@pytest.mark.parametrize("lang", LANGUAGES)
async def test_the_short_path_is_a_link_and_send(morocco: Any, lang: str) -> None:
    person = Person(morocco, lang)
    page = await person.open("")
    assert f"/{lang}/quick" in [g["href"] for g in page.all("a")]
    page = await person.open("quick")
    assert not any(g.get("type") == "file" for g in page.all("input"))
    await person.send(422, links="")
    await person.send(links="https://example.org/x")
    assert person.path == "receipt"
    (event,) = morocco.hub.events(topics.REPORT_SUBMITTED_V1)
    assert event.data.category == "csam"


@pytest.mark.parametrize("lang", LANGUAGES)
async def test_every_page_of_the_report_in_morocco(morocco: Any, lang: str) -> None:
    person = Person(morocco, lang)
    for path in ("", "quick", *(f"report/{n}" for n in range(1, 8))):
        page = await person.open(path)
        assert "None" not in page.text
        if path:  # titles say nothing about what happened to somebody
            title = re.search(r"<title>(.*?)</title>", person.answer.text)
            assert title is not None
            assert title[1] == morocco.handlers._pack.text(lang, "notification_sender")
    page = await person.report(
        group="intimate", category="sextortion", affected="self", age="under_18"
    )
    assert person.path == "receipt"


async def test_own_images_are_never_sent_only_their_fingerprints(morocco: Any) -> None:
    person = Person(morocco, "fr")
    await person.open("report/2")
    await person.send(group="intimate")
    await person.send(category="intimate_image_abuse")
    await person.open("report/6")
    for given in person.page.all("input"):
        assert not (given.get("type") == "file" and given.get("name"))
    mark = "sha256:" + "ab" * 32
    await person.send(narrative="It is my picture", fingerprints=f"{mark} nonsense")
    await person.open("report/8")
    morocco.later(seconds=3)
    await person.send()
    (event,) = morocco.hub.events(topics.REPORT_SUBMITTED_V1)
    content = await morocco.hub.content(event.data.report_id)
    assert content.fingerprints == (mark,)


# -- files -----------------------------------------------------------------------------------------


async def test_the_front_door_and_the_files(portal: Any) -> None:
    answer = await portal.http.get("/", headers={"accept-language": "fr-MA,ar;q=0.5"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/fr/")
    page = Page(await portal.http.get("/ar/"))
    for href in [g["href"] for g in page.all("link")] + [g["src"] for g in page.all("script")]:
        if str(href).startswith("/"):
            answer = await portal.http.get(str(href))
            assert answer.status_code == 200
            assert "immutable" in answer.headers["cache-control"]


async def test_the_first_page_is_light(morocco: Any) -> None:
    """At most 30 kB for everything the first page needs, uncompressed."""
    for lang in LANGUAGES:
        answer = await morocco.http.get(f"/{lang}/")
        page = Page(answer)
        size = len(answer.content)
        for href in [g["href"] for g in page.all("link")] + [g["src"] for g in page.all("script")]:
            if str(href).startswith("/"):
                size += len((await morocco.http.get(str(href))).content)
        assert size <= 30_000, size


def test_style_sheet_has_the_contrast_it_needs() -> None:
    """WCAG 2.2: 4.5 for text, 3 for borders and focus, in both colour schemes."""
    css = (Path(bootstrap.__file__).parent / "static" / "wasl.css").read_text()
    light, dark = (
        dict(re.findall(r"--([a-z-]+): (#[0-9a-f]+)", block))
        for block in re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    )

    def luminance(colour: str) -> float:
        digits = colour[1:] if len(colour) == 7 else "".join(c * 2 for c in colour[1:])
        parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
        r, g, b = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    def contrast(one: str, two: str) -> float:
        a, b = sorted((luminance(one), luminance(two)), reverse=True)
        return (a + 0.05) / (b + 0.05)

    for scheme in (light, dark):
        for text in ("ink", "soft", "accent", "alarm"):
            for ground in ("paper", "shade"):
                assert contrast(scheme[text], scheme[ground]) >= 4.5, (text, ground)
        assert contrast(scheme["alarm"], scheme["alarm-shade"]) >= 4.5
        assert contrast(scheme["on-accent"], scheme["accent"]) >= 4.5
        assert contrast(scheme["line"], scheme["paper"]) >= 3
        assert contrast(scheme["focus"], scheme["paper"]) >= 3


@pytest.mark.parametrize("lang", LANGUAGES)
async def test_an_address_that_leads_nowhere_is_a_page(portal: Any, lang: str) -> None:
    check(await portal.http.get(f"/{lang}/report/9"), lang)
    assert (await portal.http.get(f"/{lang}/no/such")).status_code == 404


async def test_fingerprints_go_when_the_image_turns_out_to_be_a_childs(morocco: Any) -> None:
    person = Person(morocco, "fr")
    await person.open("report/2")
    await person.send(group="intimate")
    await person.send(category="intimate_image_abuse")
    await person.open("report/6")
    await person.send(narrative="It is my picture", fingerprints="md5:" + "ab" * 16)
    await person.open("report/5")
    await person.send(affected="self", age="under_18")
    await person.open("report/8")
    morocco.later(seconds=3)
    await person.send()
    (event,) = morocco.hub.events(topics.REPORT_SUBMITTED_V1)
    assert not (await morocco.hub.content(event.data.report_id)).fingerprints


async def test_over_tls_the_cookie_is_this_hosts_alone(portal: Any) -> None:
    hub, pack = portal.hub, portal.handlers._pack
    app = bootstrap.compose(
        portal.handlers,
        pack,
        hub.metrics,
        pepper=b"p" * 32,
        body_limit=65_536,
        addresses=Addresses(public="https://hub.test"),
        clock=hub.clock,
    )
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="https://hub.test"
    ) as client:
        answer = await client.post("/fr/report/6", data={"narrative": "kept over tls"})
        (cookie,) = answer.headers.get_list("set-cookie")
        assert cookie.startswith("__Host-wasl=")
        assert "Secure" in cookie
        assert "Path=/;" in cookie
        assert "kept over tls" in (await client.get("/fr/report/6")).text
        # One planted by a sibling host is not looked at.
        planted = {"cookie": cookie.removeprefix("__Host-").partition(";")[0]}
        client.cookies.clear()
        assert "kept over tls" not in (await client.get("/fr/report/6", headers=planted)).text


async def test_the_receipt_is_shown_even_when_older_things_fill_the_cookie(portal: Any) -> None:
    pepper = hashlib.sha256(b"tests only").digest()  # conftest.PEPPER
    sealer = Sealer(pepper, clock=lambda: portal.hub.clock.now().timestamp())
    state = State()
    noise = "".join(secrets.token_hex(2_300) for _ in range(1))
    state.put("feedback", {"text": noise})
    state.put("draft", {"token": "t" * 32, "narrative": "What I wrote", "asked": "yes"})
    person = Person(portal, "fr")
    text = sealer.seal(state)
    portal.http.cookies.set("wasl", text[:3_500], domain="hub.test", path="/")
    portal.http.cookies.set("wasl1", text[3_500:], domain="hub.test", path="/")
    await person.open("report/8")
    portal.later(seconds=3)
    await person.send()
    assert person.path == "receipt"
    assert letters(person.page)
