# SPDX-License-Identifier: Apache-2.0
"""Every page of the desk that somebody can open, in two languages, on a desk and on a tablet, with
and without script: whole, mirrored where it must be, and nothing that axe-core finds."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from desk_hub import PASSWORD, STAFF, DeskHub, Hands
from triage_world import ANA, said
from visitor import ROOT
from wasl_schemas.events.common import Ground, GroundKind
from wasl_triage.domain.case import Action, Measure
from wasl_triage.domain.decisions import Proposal, Rabat, Screen
from wasl_triage.domain.people import GRANTS, Permission, Role
from whole import furnish, path_of

LANGUAGES = ("ar", "fr")
#: Where pictures go; without it none are taken.
PICTURES = os.environ.get("WASL_SCREENSHOTS")
#: No page: a stream, and ways through another organisation's service, which is not set up here.
_NO_PAGE = ("live", "sign-in/elsewhere", "sign-in/back", "confirm/elsewhere")
#: Opened on the way in only; see the last test but one.
_HALFWAY = ("sign-in/authenticator", "sign-in/code")
#: What a page asks for behind its question mark, because it shows one thing of many.
_ASKED = {
    "practice/new": "case={case_id}",
    "audit/trail": "of={case_id}",
    "audit/person": "who=amal&day=2026-01-05",
    "protection/case": "id={case_id}",
}
_AXE = """async () => {
  const found = await axe.run(document, {resultTypes: ["violations"]});
  return found.violations.map(v => `${v.id}: ${v.nodes.map(n => n.html.slice(0, 200)).join(" | ")}`);
}"""
_CONTRAST = _AXE.replace("{result", "{runOnly: ['color-contrast'], result")
_TOO_WIDE = """() => {
  const root = document.documentElement;
  if (root.scrollWidth <= root.clientWidth) return "";
  const far = [...document.querySelectorAll("body *")].filter((e) => {
    const box = e.getBoundingClientRect();
    return box.width && (box.right > root.clientWidth + 1 || box.left < -1);
  });
  const first = far.slice(0, 3).map((e) => e.outerHTML.slice(0, 120)).join(" | ");
  return `${root.scrollWidth} > ${root.clientWidth}: ${first}`;
}"""


@dataclass(frozen=True)
class Place:
    """A page in one state, and who opens it; None: nobody is signed in."""

    name: str
    path: str
    who: str | None


def whose(needs: Permission | None) -> str:
    """Somebody who may."""
    able = (n for n, roles in STAFF.items() if any(needs in GRANTS[Role(r)] for r in roles))
    return "amal" if needs is None else next(able)


def cases(desk: DeskHub) -> dict[str, str]:
    """State → a case in it."""
    world = desk.world
    out = {}

    def arrive(name: str, n: int, category: str, text: str) -> str:
        place = f"https://www.facebook.com/permalink.php?story_fbid={n}&id=100000000000023"
        facts = {"category": category, "consent_partner": True, "language": "ar"}
        desk.run(world.arrives(place, text=text, **facts))
        out[name] = world.case_id(place)
        return out[name]

    arrive("open", 51, "threats", "كتب شخص كلاما مقلقا، ورقمي 0612345678.")
    held = arrive("mine", 52, "scam_fraud", "Un vendeur a pris 300 dirhams et ne répond plus.")
    decide = arrive("assessed", 53, "hate_speech", "كلام عن أهل حي كامل.")
    second = arrive("second", 54, "hate_speech", "Des phrases sur les gens d’un quartier.")
    amal, basma = desk.person("amal"), desk.person("basma")
    desk.run(world.desk.claim(amal, held))
    desk.run(world.desk.claim(amal, decide))
    desk.run(world.desk.assess(amal, decide, said(desk.pack, "hate_speech")))
    desk.run(world.desk.claim(ANA, second))
    desk.run(world.desk.assess(ANA, second, said(desk.pack, "hate_speech")))
    proposal = Proposal(
        action=Action.DISPATCH,
        reason="A rule of the platform.",
        ground=Ground(kind=GroundKind.TERMS, ref="terms.hate"),
        partners=("meta",),
        measure=Measure.LABEL,
        rabat=Rabat(**dict.fromkeys(_PARTS, "A sentence."), conclusion="reached"),
        screen=Screen(**dict.fromkeys(Screen.model_fields, False)),
    )
    desk.run(world.desk.decide(ANA, second, proposal))
    desk.run(world.desk.claim(basma, second))
    return out


_PARTS = [name for name in Rabat.model_fields if name != "conclusion"]


@pytest.fixture(scope="module")
def places() -> Iterator[tuple[DeskHub, list[Place]]]:
    """A desk where there is one thing of each kind, and every page that shows them."""
    with DeskHub().serving() as desk:
        for name in STAFF:
            desk.session(name, "ar")
        words = "كلمات مهمة. Des mots importants, l’un après l’autre."
        ids = desk.run(furnish(desk, 11, "threats", words))  # type: ignore[arg-type]
        ids["name"] = "amal"
        found = []
        for route in desk.console.site.table:
            path = route.path.removeprefix("/fr/")
            if route.method != "GET" or path == route.path or path in (*_NO_PAGE, *_HALFWAY):
                continue
            who = None if route.open_to_all else whose(route.needs)
            shown = path_of(route.path, ids).removeprefix("/fr/")
            if path in _ASKED:
                shown += "?" + _ASKED[path].format_map(ids)
            name = re.sub(r"[/{}]+", "-", path).strip("-")
            found.append(Place(name or "home", shown, who))
        for name, case_id in cases(desk).items():
            who = "basma" if name == "second" else "amal"
            found.append(Place(f"case-{name}", f"cases/{case_id}", who))
        found.append(Place("search-found", "search?all=1", "amal"))
        found.append(Place("nowhere", "cases/" + "0" * 32, "amal"))
        found.append(Place("not-yours", "people", "omar"))
        yield desk, found


@pytest.fixture
def every(places: tuple[DeskHub, list[Place]]) -> tuple[DeskHub, list[Place]]:
    """The same for every test, on a day on which nobody has read anything yet."""
    places[0].world.hub.store.docs.pop("exposure", None)
    return places


def stand(hands: Hands, place: Place) -> None:
    """The page, opened by whoever may, and right in itself."""
    hands.context.clear_cookies()
    if place.who is not None:
        hands.context.add_cookies([hands.hub.session(place.who, hands.lang)])
    status = {"nowhere": 404, "not-yours": 403, "confirm-form-form_id": 410}.get(place.name, 200)
    hands.open(place.path, status)
    html = hands.page.locator("html")
    assert html.get_attribute("dir") == ("rtl" if hands.lang == "ar" else "ltr")
    assert str(html.get_attribute("lang")).startswith(hands.lang)


def looked_at(hands: Hands, axe: str, name: str) -> list[str]:
    """What axe-core finds; in the dark only the colours are others."""
    picture(hands, name)
    hands.page.evaluate(axe)
    found = list(hands.page.evaluate(_AXE))
    hands.page.emulate_media(color_scheme="dark")
    picture(hands, f"{name}-dark")
    found += [f"in the dark, {one}" for one in hands.page.evaluate(_CONTRAST)]
    hands.page.emulate_media(color_scheme="light")
    return found


def picture(hands: Hands, name: str) -> None:
    if PICTURES:
        width = hands.page.viewport_size["width"] if hands.page.viewport_size else 0
        folder = ROOT / Path(PICTURES) / "desk" / f"{hands.lang}-{width}"
        hands.page.screenshot(path=folder / f"{name}.png", full_page=True)


@pytest.mark.parametrize("screen", [(1280, 900), (1024, 768)], ids=["desk", "tablet"])
@pytest.mark.parametrize("lang", LANGUAGES)
def test_axe_finds_nothing(every: Any, sit: Any, axe: str, lang: str, screen: Any) -> None:
    desk, all_ = every
    hands = sit(desk, lang, width=screen[0], height=screen[1])
    found: dict[str, Any] = {}
    for place in all_:
        stand(hands, place)
        if wide := hands.page.evaluate(_TOO_WIDE):
            found[f"{place.name} is too wide"] = wide
        if violations := looked_at(hands, axe, place.name):
            found[place.name] = violations
    assert not found, "\n".join(f"{n}: {v}" for n, v in found.items())


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_page_twice_as_large(every: Any, sit: Any, lang: str) -> None:
    """1280 at 200 %."""
    desk, all_ = every
    hands = sit(desk, lang, width=640, height=450)
    found = {}
    for place in all_:
        stand(hands, place)
        if wide := hands.page.evaluate(_TOO_WIDE):
            found[place.name] = wide
    assert not found, "\n".join(f"{n}: {v}" for n, v in found.items())


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_page_without_script(every: Any, sit: Any, lang: str) -> None:
    desk, all_ = every
    hands = sit(desk, lang, script=False)
    for place in all_:
        stand(hands, place)
        rooms = hands.page.locator("nav.rooms a")
        hrefs = [str(a.get_attribute("href")) for a in rooms.all()]
        known = {r.path for r in desk.console.site.table if r.method == "GET"}
        assert not set(hrefs) - known, "a way that leads nowhere"
        assert hands.page.locator("main h1").count() == 1, place


@pytest.mark.parametrize("lang", LANGUAGES)
def test_axe_finds_nothing_on_the_way_in(desk: DeskHub, sit: Any, axe: str, lang: str) -> None:
    hands = sit(desk, lang)
    found = {}

    def seen(name: str) -> None:
        if violations := looked_at(hands, axe, f"way-in-{name}"):
            found[name] = violations

    hands.first_time("amal", seen)
    assert not found


@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
@pytest.mark.parametrize("lang", LANGUAGES)
def test_what_was_typed_too_late_comes_back(
    desk: DeskHub, sit: Any, axe: str, lang: str, script: bool
) -> None:
    """A legal hold, typed eleven minutes after the last proof of who types it."""
    supervisor = next(n for n, roles in STAFF.items() if "supervisor" in roles)
    place = "https://www.facebook.com/permalink.php?story_fbid=61&id=100000000000023"
    desk.run(desk.world.arrives(place, text="Une phrase.", category="scam_fraud", language="fr"))
    case_id = desk.world.case_id(place)
    hands = sit(desk, lang, script=script)
    stand(hands, Place("hold", f"protection/cases/{case_id}", supervisor))
    page, reason = hands.page, 'Lettre "12/2026" <du juge>\nالسطر الثاني'
    page.locator("summary").last.click()
    page.select_option("#body", index=1)
    page.fill("#reason", reason)
    page.fill("#until", "2026-12-31")
    desk.later(minutes=11)
    page.locator("form[action$=holds] button").click()
    assert hands.path == "confirm"
    page.fill("[name=password]", PASSWORD)
    page.locator("main form button").click()
    assert hands.path.startswith("confirm/form/")
    assert reason == page.locator(".said").text_content()  # whether its style is there yet or not
    if script:
        assert not looked_at(hands, axe, "kept")
    page.locator("main form button").click()
    assert hands.path == f"protection/cases/{case_id}"
    assert reason in (page.locator("article .said").first.text_content() or "")


def test_arabic_is_mirrored(every: Any, sit: Any) -> None:
    desk, all_ = every
    at = {}
    for lang in LANGUAGES:
        hands = sit(desk, lang)
        for name, selectors in (
            ("queue", ("thead th:first-child", "thead th:last-child", ".brand", "td .chip")),
            ("case-open", ("aside", "main > .chips .chip:first-child", ".buttons button")),
        ):
            stand(hands, next(p for p in all_ if p.name == name))
            for selector in selectors:
                box = hands.page.locator(selector).first.bounding_box()
                assert box is not None, selector
                at[lang, selector] = box["x"] + box["width"] / 2 < 640
    for (_, selector), left in [(k, v) for k, v in at.items() if k[0] == "fr"]:
        assert at["ar", selector] != left, selector
    assert at["fr", ".brand"]
