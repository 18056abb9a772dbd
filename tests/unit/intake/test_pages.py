# SPDX-License-Identifier: Apache-2.0
"""The pages work without script, in three languages, for people who err or use a reader."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest
from wasl_chassis.failures import Overloaded, Retryable
from wasl_intake import bootstrap
from wasl_intake.handlers import IntakeHandlers
from wasl_intake.pages import FOLLOW_FIELDS, REPORT_FIELDS
from wasl_schemas import topics
from wasl_schemas.country_pack import load_country_pack

LANGUAGES = ("ar", "fr", "en")
CODE = re.compile(r"[0-9A-HJKMNP-TV-Z]{5}(?:-[0-9A-HJKMNP-TV-Z]{5}){3}")
TOKEN = "t" * 32
_VOID = {"meta", "link", "input", "br"}


class Page(HTMLParser):
    """What a browser and a screen reader would find."""

    def __init__(self, answer: httpx.Response) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.inside_label = 0
        self.labelled: set[str] = set()
        self.headings: list[int] = []
        self.text = ""
        self.feed(answer.text)
        assert self.open == [], "every element is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        assert len(given) == len(attrs), "an attribute is given twice"
        self.tags.append((tag, given))
        if tag not in _VOID:
            self.open.append(tag)
        if tag == "label" and given.get("for"):
            self.labelled.add(str(given["for"]))
        if tag == "input" and "label" in self.open:
            given["labelled"] = "yes"
        if re.fullmatch(r"h[1-6]", tag):
            self.headings.append(int(tag[1]))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [given for name, given in self.tags if name == tag]

    def ids(self) -> list[str]:
        return [str(given["id"]) for _, given in self.tags if "id" in given]


def check(answer: httpx.Response, lang: str) -> Page:
    """The rules every page keeps."""
    page = Page(answer)
    (html,) = page.all("html")
    assert str(html["lang"]).startswith(lang)
    assert html["dir"] == ("rtl" if lang == "ar" else "ltr")
    assert page.headings[0] == 1
    assert page.headings.count(1) == 1
    assert all(b - a <= 1 for a, b in zip(page.headings, page.headings[1:], strict=False))
    assert len(page.ids()) == len(set(page.ids()))
    targets = {f"#{i}" for i in page.ids()}
    for given in page.all("a"):
        href = str(given["href"])
        assert href in targets or href.startswith(("/", "tel:", "https://")), href
    for tag, given in page.tags:
        assert tag not in ("script", "style", "img", "iframe", "object")
        assert not any(name.startswith("on") or name == "style" for name in given)
        for name in ("aria-describedby", "aria-labelledby"):
            assert all(f"#{i}" in targets for i in str(given.get(name, "")).split())
        if tag in ("input", "textarea", "select") and given.get("type") != "hidden":
            assert given.get("id") in page.labelled or given.get("labelled"), given
        if tag == "form":
            assert str(given["action"]).startswith(f"/{lang}/")
            assert given["method"] == "post"
    assert all(str(given["href"]).startswith(("/static/", "data:")) for given in page.all("link"))
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["content-language"] == lang
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert "set-cookie" not in answer.headers
    return page


async def fresh(portal: Any, lang: str, **fields: str) -> dict[str, str]:
    """The form as a browser would send it, filled in."""
    page = Page(await portal.http.get(f"/{lang}/"))
    token = next(str(g["value"]) for g in page.all("input") if g.get("name") == "token")
    return {"token": token, "danger_now": "", "age": "", "category": "", **fields}


@pytest.mark.parametrize("lang", LANGUAGES)
async def test_the_form(portal: Any, lang: str) -> None:
    page = check(await portal.http.get(f"/{lang}/"), lang)
    names = {str(g["name"]) for t, g in page.tags if t in ("input", "select", "textarea")}
    assert names == REPORT_FIELDS
    assert [g["href"] for g in page.all("a") if str(g["href"]).startswith("tel:")] == [
        "tel:19",
        "tel:2511",
    ]
    assert {g.get("lang") for g in page.all("a") if g.get("hreflang")} == set(LANGUAGES) - {lang}
    assert [g["label"] for g in page.all("optgroup")]
    assert "99" not in page.text, "a number nobody has seen in a source is not shown"


@pytest.mark.parametrize("lang", LANGUAGES)
async def test_the_receipt_is_the_answer_and_a_reload_shows_the_same(
    portal: Any, lang: str
) -> None:
    fields = await fresh(
        portal, lang, danger_now="yes", category="threats", age="under_13",
        locations="https://example.com/a\r\n\r\n @someone ", narrative="Bonjour\r\nici",
        email="person@example.org", email_safe="yes", consent_authority="yes",
    )  # fmt: skip
    answer = await portal.form(f"/{lang}/", fields)
    page = check(answer, lang)
    assert answer.status_code == 200
    assert not answer.history
    (code,) = set(CODE.findall(page.text))
    assert code not in str(answer.url)
    assert "tel:19" in answer.text, "somebody is in danger: the numbers come again"
    again = await portal.form(f"/{lang}/", fields)
    assert CODE.findall(Page(again).text) == [code]
    assert portal.hub.counts()["reports"] == 1
    (event,) = portal.hub.events(topics.REPORT_SUBMITTED_V1)
    data = event.data
    assert (data.channel, data.language, data.category) == ("web", lang, "threats")
    assert (data.danger_now, data.under_13, data.under_18) == (True, True, True)
    assert (data.consent_partner, data.consent_authority) == (False, True)
    assert data.contact.safe
    content = await portal.hub.content(data.report_id)
    assert content.locations == ("https://example.com/a", "@someone")
    assert content.narrative == "Bonjour\nici"


@pytest.mark.parametrize("lang", LANGUAGES)
async def test_mistakes_are_listed_linked_and_nothing_typed_is_lost(portal: Any, lang: str) -> None:
    fields = await fresh(
        portal, lang, danger_now="no", category="scam", age="adult", email="person@",
        locations="https://example.com/\n\njavascript:alert(1)\nhttp://127.0.0.1/",
        narrative="<b>mine</b>", consent_authority="yes",
    )  # fmt: skip
    answer = await portal.form(f"/{lang}/", fields)
    page = check(answer, lang)
    assert answer.status_code == 422
    summary = [g["href"] for g in page.all("a") if str(g["href"]).startswith("#")]
    assert summary == ["#main", "#locations", "#locations", "#email"]
    assert "3" in page.text
    invalid = [g["id"] for _, g in page.tags if g.get("aria-invalid")]
    assert invalid == ["locations", "email"]
    assert "&lt;b&gt;mine&lt;/b&gt;" in answer.text
    assert "<b>mine" not in answer.text
    for kept in ("person@", "javascript:alert(1)", 'value="scam" selected', fields["token"]):
        assert kept in answer.text
    checked = [g["value"] for g in page.all("input") if "checked" in g]
    assert checked == ["no", "adult", "yes"]
    assert not portal.hub.counts()
    assert portal.hub.metrics.value(
        "wasl_intake_reports_total", channel="web", category="none", result="invalid"
    ) == 1  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "control"),
    [
        ({}, "locations"),
        ({"narrative": "   "}, "locations"),
        ({"narrative": "x" * 10_001}, "narrative"),
        ({"narrative": "a\x00bcd"}, "narrative"),
        ({"narrative": "hello", "category": "weather"}, "category"),
        ({"narrative": "hello", "danger_now": "perhaps"}, "danger_now"),
        ({"narrative": "hello", "age": "7"}, "age"),
        ({"locations": "\n".join(["https://example.com/"] * 51)}, "locations"),
        ({"locations": "https://example.com/" + "x" * 2048}, "locations"),
        ({"narrative": "hello", "email": "a@example.org\r\nBcc: b@example.org"}, "email"),
    ],
)
async def test_every_mistake_has_its_place(
    portal: Any, fields: dict[str, str], control: str
) -> None:
    answer = await portal.form("/fr/", {"token": TOKEN, **fields})
    page = check(answer, "fr")
    assert answer.status_code == 422
    assert f"#{control}" in [g["href"] for g in page.all("a")]
    assert f"{control}-error" in page.ids()
    assert not portal.hub.counts()


async def test_a_form_sent_again_with_other_words_asks_first(portal: Any) -> None:
    fields = await fresh(portal, "fr", narrative="hello")
    await portal.form("/fr/", fields)
    asked = await portal.form("/fr/", {**fields, "narrative": "hello again"})
    assert asked.status_code == 409
    page = check(asked, "fr")
    token = next(str(g["value"]) for g in page.all("input") if g.get("name") == "token")
    assert token != fields["token"]
    assert portal.hub.counts()["reports"] == 1
    await portal.form("/fr/", {**fields, "narrative": "hello again", "token": token})
    assert portal.hub.counts()["reports"] == 2


@pytest.mark.parametrize("failure", [Retryable(), Overloaded()])
async def test_a_failed_save_keeps_the_words_in_the_form(portal: Any, failure: Exception) -> None:
    portal.hub.store.away = failure
    answer = await portal.form("/fr/", {"token": TOKEN, "narrative": "hello there"})
    check(answer, "fr")
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert "hello there" in answer.text
    assert not CODE.search(answer.text)


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"narrative=%ff%fe", "application/x-www-form-urlencoded", 400),
        (b"narrative=\xff", "application/x-www-form-urlencoded", 400),
        (b"narrative=a&narrative=b", "application/x-www-form-urlencoded", 422),
        (b"$where=1", "application/x-www-form-urlencoded", 422),
        (b"&".join(b"a%d=1" % i for i in range(500)), "application/x-www-form-urlencoded", 400),
        (b"{}", "application/json", 415),
        (b"narrative=" + b"x" * 300_000, "application/x-www-form-urlencoded", 413),
    ],
)
async def test_hostile_forms_get_a_page_that_says_so(
    portal: Any, content: bytes, kind: str, status: int
) -> None:
    for path in ("/ar/", "/ar/follow"):
        answer = await portal.http.post(path, content=content, headers={"content-type": kind})
        assert answer.status_code == status
        check(answer, "ar")
    assert not portal.hub.counts()


async def test_following_writing_and_withdrawing(portal: Any) -> None:
    page = check(await portal.http.get("/ar/follow"), "ar")
    names = {str(g["name"]) for g in page.all("input")}
    assert names <= FOLLOW_FIELDS
    code = await portal.send(category="threats")
    typed = {"receipt": code.lower().replace("-", " ")}
    page = check(await portal.form("/ar/follow", typed), "ar")
    assert "received" in page.text
    token = next(str(g["value"]) for g in page.all("input") if g.get("name") == "token")
    message = {**typed, "action": "message", "message": "<i>hello</i>", "token": token}
    for _ in range(2):
        answer = await portal.form("/ar/follow", message)
        check(answer, "ar")
        assert answer.text.count("&lt;i&gt;hello&lt;/i&gt;") == 1
    empty = await portal.form("/ar/follow", {**message, "message": "  "})
    check(empty, "ar")
    assert empty.status_code == 422
    asked = await portal.form("/ar/follow", {**typed, "action": "withdraw"})
    check(asked, "ar")
    assert "withdraw_confirmed" in asked.text
    assert (await portal.follow(code)).json()["can_withdraw"], "asking is not doing"
    done = await portal.form("/ar/follow", {**typed, "action": "withdraw_confirmed"})
    page = check(done, "ar")
    assert "Withdrawn" in page.text
    assert "textarea" not in [t for t, _ in page.tags]
    assert not (await portal.follow(code)).json()["can_withdraw"]


@pytest.mark.parametrize("typed", ["", "hello", "00000-00000-00000-00000", "<script>"])
async def test_wrong_receipts_are_told(portal: Any, typed: str) -> None:
    answer = await portal.form("/en/follow", {"receipt": typed})
    page = check(answer, "en")
    assert answer.status_code == 404
    assert [g for g in page.all("input") if g.get("aria-invalid")]


async def test_the_front_door_and_the_style_sheet(portal: Any) -> None:
    for wanted, lang in (("fr-FR,fr;q=0.9", "fr"), ("en", "en"), ("", "ar"), ("xx", "ar")):
        answer = await portal.http.get("/", headers={"accept-language": wanted})
        assert (answer.status_code, answer.headers["location"]) == (303, f"/{lang}/")
    page = Page(await portal.http.get("/ar/"))
    css = next(str(g["href"]) for g in page.all("link") if g["rel"] == "stylesheet")
    sheet = await portal.http.get(css)
    assert sheet.headers["content-type"].startswith("text/css")
    assert "immutable" in sheet.headers["cache-control"]
    assert not re.search(r"url\(|@import|https?:", sheet.text)


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
async def test_the_pages_in_morocco(hub: Any, lang: str) -> None:
    pack = load_country_pack(Path(__file__).parents[3] / "deploy" / "country-packs" / "ma")
    handlers = IntakeHandlers(hub, pack, pepper=b"p" * 32)
    app = bootstrap.compose(handlers, pack, hub.metrics, body_limit=65_536)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://hub.test") as client:
        page = check(await client.get(f"/{lang}/"), lang)
        assert "tel:19" in [g["href"] for g in page.all("a")]
        assert len(page.all("optgroup")) >= 8
        for category in pack.categories:
            fields = {"token": category.ljust(32, "x"), "category": category, "narrative": "hello"}
            page = check(await client.post(f"/{lang}/", data=fields), lang)
            (code,) = set(CODE.findall(page.text))
        check(await client.post(f"/{lang}/follow", data={"receipt": code}), lang)
        if lang == "ar":
            assert not re.search("[٠-٩]", page.text), "Moroccan Arabic writes Latin digits"
