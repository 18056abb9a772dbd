# SPDX-License-Identifier: Apache-2.0
"""Every page in every state: axe-core finds nothing, nothing has to be scrolled sideways, and each
way through is open to a keyboard."""

import os
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect
from visitor import ROOT, Look, Visitor

LANGUAGES = ("ar", "fr")
LOOKS = [
    Look(lang, width, height, scheme=scheme)
    for lang in LANGUAGES
    for width, height in ((360, 740), (1280, 900))
    for scheme in ("light", "dark")
]
#: Where pictures of every state go; without it none are taken.
PICTURES = os.environ.get("WASL_SCREENSHOTS")
_AXE = """async () => {
  const found = await axe.run(document, {resultTypes: ["violations"]});
  return found.violations.map(v => `${v.id}: ${v.nodes.map(n => n.html).join(" | ")}`);
}"""
_TOO_WIDE = """() => {
  const root = document.documentElement;
  if (root.scrollWidth <= root.clientWidth) return [];
  const far = [...document.querySelectorAll("body *")].filter((e) => {
    const box = e.getBoundingClientRect();
    return box.width && (box.right > root.clientWidth + 1 || box.left < -1);
  });
  return [`${root.scrollWidth} > ${root.clientWidth}`, ...far.map((e) => e.outerHTML.slice(0, 90))];
}"""
#: The order on the screen of the first and the last letter, and of a label and its control.
_RUNS_LTR = """(e) => {
  const node = [...e.childNodes].find((n) => n.nodeType === 3);
  const letter = (i) => {
    const range = document.createRange();
    range.setStart(node, i);
    range.setEnd(node, i + 1);
    return range.getBoundingClientRect();
  };
  const first = letter(0), last = letter(node.length - 1);
  return first.top < last.top || first.left < last.left;
}"""


def picture(visitor: Visitor, name: str) -> None:
    """The page as it is, with what is folded away on it opened."""
    for closed in visitor.page.locator("details.fingerprint:not([open]) summary").all():
        closed.click()
    if PICTURES:
        look = visitor.look
        folder = ROOT / Path(PICTURES) / f"{look.lang}-{look.width}-{look.scheme}"
        visitor.page.screenshot(path=folder / f"{name}.png", full_page=True)


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: f"{look}-{look.scheme}")
def test_axe_finds_nothing(enter: Any, axe: str, look: Look) -> None:
    visitor = enter(look)
    found = {}
    for name in visitor.states():
        picture(visitor, name)
        visitor.page.evaluate(axe)
        if violations := visitor.page.evaluate(_AXE):
            found[name] = violations
    assert not found, "\n".join(f"{n}: {v}" for n, found_ in found.items() for v in found_)


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize(
    ("width", "scale", "text"), [(320, 1, "100%"), (640, 2, "100%"), (360, 1, "200%")]
)
def test_nothing_is_scrolled_sideways(
    enter: Any, lang: str, width: int, scale: float, text: str
) -> None:
    """A small telephone; 1280 wide at 200 %; letters twice as large."""
    visitor = enter(Look(lang, width, 640, scale=scale))
    found = {}
    for name in visitor.states():
        visitor.page.evaluate("(size) => { document.documentElement.style.fontSize = size }", text)
        if wide := visitor.page.evaluate(_TOO_WIDE):
            found[name] = wide
    assert not found


@pytest.mark.parametrize("script", [True, False])
@pytest.mark.parametrize("lang", LANGUAGES)
def test_a_whole_report_by_keyboard(enter: Any, lang: str, script: bool) -> None:
    visitor = enter(Look(lang, 1280, 900, script=script))
    page = visitor.page
    visitor.open("")

    def tab_to(selector: str) -> None:
        for _ in range(60):
            page.keyboard.press("Tab")
            focused = page.locator(":focus")
            if not focused.count():  # the end of the page; next is its beginning
                continue
            seen = focused.evaluate(
                "(e) => { const s = getComputedStyle(e); return [s.outlineStyle, s.outlineWidth] }"
            )
            assert seen[0] != "none", "the focus is not seen"
            assert seen[1] != "0px"
            if page.locator(f"{selector}:focus").count():
                return
        raise AssertionError(f"the keyboard does not reach {selector}")

    def on() -> None:
        before = visitor.path
        page.keyboard.press("Enter")
        visitor.until(lambda: visitor.path != before)
        page.wait_for_load_state()

    page.keyboard.press("Tab")
    expect(page.locator("a.skip")).to_be_focused()
    tab_to("main .actions a.button")
    on()
    tab_to("[name=danger]")
    page.keyboard.press("ArrowDown")
    tab_to("form .buttons button")
    on()
    tab_to("[name=group]")
    page.keyboard.press("Space")
    tab_to("form .buttons button")
    on()
    if visitor.path == "report/3":
        tab_to("form .buttons button")
        on()
    tab_to("#links")
    page.keyboard.type("https://example.org/by-keyboard")
    tab_to("form .buttons button")
    on()
    tab_to("[name=affected]")
    page.keyboard.press("Space")
    tab_to("[name=age]")
    page.keyboard.press("Space")
    tab_to("[name=risk]")
    page.keyboard.press("Space")
    tab_to("form .buttons button")
    on()
    tab_to("#narrative")
    page.keyboard.type("By keyboard alone")
    tab_to("form .buttons button")
    on()
    tab_to("form .buttons button")
    on()
    visitor.work()
    tab_to("#send")
    on()
    assert visitor.path == "receipt"
    assert len(visitor.words()) == 9


@pytest.mark.parametrize("width", [360, 1280])
def test_arabic_is_mirrored_and_what_runs_left_to_right_stays_so(enter: Any, width: int) -> None:
    arabic, french = enter(Look("ar", width)), enter(Look("fr", width))
    middle = width / 2

    def left(visitor: Visitor, selector: str) -> float:
        box = visitor.page.locator(selector).first.bounding_box()
        assert box is not None
        return float(box["x"] + box["width"] / 2)

    for visitor in (arabic, french):
        visitor.open("report/1")
    assert left(arabic, "#exit") < middle < left(french, "#exit")
    assert left(french, ".brand") < middle < left(arabic, ".brand")
    for selector in (".choice input", ".choice span"):
        assert arabic.page.locator(selector).first.is_visible()
    assert left(french, ".choice input") < left(french, ".choice span")
    assert left(arabic, ".choice input") > left(arabic, ".choice span")
    for visitor, direction in ((arabic, "rtl"), (french, "ltr")):
        bar = visitor.page.locator("progress")
        assert bar.evaluate("(e) => getComputedStyle(e).direction") == direction
    phones = arabic.page.locator("bdi.phone")
    assert phones.count() > 1
    for phone in phones.all():
        assert phone.evaluate(_RUNS_LTR)
    arabic.report(links="https://example.org/a/long/way", until=8)
    places = arabic.page.locator('dl.review dd[dir="ltr"]').first
    assert places.evaluate(_RUNS_LTR)
    arabic.send()
    arabic.page.click("main summary")
    for code in arabic.page.locator("output.code").all():
        assert code.evaluate(_RUNS_LTR)
    assert left(arabic, ".words li:first-child") > left(arabic, ".words li:nth-child(3)")
