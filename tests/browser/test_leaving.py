# SPDX-License-Identifier: Apache-2.0
"""The way out: at once, to an ordinary page, with nothing to come back to."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Error, Route, expect
from visitor import LOOKS, Look, Visitor

SCRIPTED = [x for x in LOOKS if x.script]
TEXT = "Words that nobody else may see"


def typed(visitor: Visitor) -> None:
    """In the middle of a report, with something typed and something kept."""
    visitor.report(until=6, links="https://example.org/left-behind")
    assert visitor.context.cookies()
    visitor.page.fill("#narrative", TEXT)


def nothing_is_left(visitor: Visitor) -> None:
    visitor.until(lambda: visitor.context.cookies() == [])
    visitor.open("report/4")
    expect(visitor.page.locator("#links")).to_have_value("")
    visitor.open("report/6")
    expect(visitor.page.locator("#narrative")).to_have_value("")


def test_by_the_button(visitor: Visitor) -> None:
    typed(visitor)
    if visitor.look.script:
        visitor.page.click("#exit")
        visitor.page.wait_for_url(visitor.neutral)
    else:
        # The server sends the browser on; no name outside this machine resolves.
        with visitor.page.expect_request(visitor.neutral):
            visitor.page.click("#exit", no_wait_after=True)
        visitor.until(lambda: "chrome-error" in visitor.page.url)
    assert [r for r in visitor.requests if r.url == visitor.neutral]
    visitor.until(lambda: visitor.context.cookies() == [])
    visitor.back()
    assert TEXT not in visitor.page.content()
    assert "left-behind" not in visitor.page.content()
    nothing_is_left(visitor)


@pytest.mark.parametrize("look", SCRIPTED, ids=str)
def test_by_shift_three_times(enter: Any, look: Look) -> None:
    visitor = enter(look)
    typed(visitor)
    said = visitor.page.get_by_role("status")
    visitor.page.keyboard.press("Shift")
    first = said.text_content()
    assert first
    visitor.page.keyboard.press("Shift")
    second = said.text_content()
    assert second
    assert second != first
    visitor.page.keyboard.press("Shift")
    visitor.page.wait_for_url(visitor.neutral)
    nothing_is_left(visitor)


def _capitals(visitor: Visitor) -> None:
    visitor.page.focus("#narrative")
    for letter in "ABCDE":
        visitor.page.keyboard.press(f"Shift+{letter}")


def _held(visitor: Visitor) -> None:
    for _ in range(5):
        visitor.page.keyboard.down("Shift")  # the keyboard repeats it until it is let go
    visitor.page.keyboard.up("Shift")


def _other_keyboard(visitor: Visitor) -> None:
    visitor.page.keyboard.down("Alt")
    for _ in range(3):
        visitor.page.keyboard.press("Shift")
    visitor.page.keyboard.up("Alt")


def _with_others(visitor: Visitor) -> None:
    for _ in range(3):
        visitor.page.keyboard.press("Shift")
        visitor.page.keyboard.press("Shift")
        visitor.page.keyboard.press("a")


def _selecting(visitor: Visitor) -> None:
    for _ in range(3):
        visitor.page.click("h1", modifiers=["Shift"])


def _escape(visitor: Visitor) -> None:
    for _ in range(3):
        visitor.page.keyboard.press("Escape")


@pytest.mark.parametrize(
    "press", [_capitals, _held, _other_keyboard, _with_others, _selecting, _escape]
)
def test_what_is_ordinary_typing_does_not_leave(
    enter: Any, press: Callable[[Visitor], None]
) -> None:
    visitor = enter(Look("ar"))
    typed(visitor)
    press(visitor)
    expect(visitor.page.locator("h1")).to_be_visible()
    visitor.page.evaluate("new Promise((done) => setTimeout(done, 100))")
    assert visitor.path == "report/6"
    assert visitor.outside == []


def test_the_page_is_blank_before_anything_answers(enter: Any) -> None:
    visitor = enter(Look("fr"))
    typed(visitor)

    def silent(route: Route) -> None:
        visitor.outside.append(route.request.url)
        route.fulfill(status=204)  # "no content": the browser stays where it is

    visitor.context.route(visitor.neutral, silent)
    visitor.page.click("#exit")
    visitor.until(lambda: visitor.outside == [visitor.neutral])
    expect(visitor.page.locator("h1")).to_be_hidden()
    assert visitor.page.title() == "fr.wikipedia.org"
    assert TEXT not in visitor.page.evaluate("document.getElementById('narrative').value")


def test_what_the_browser_kept_of_a_page_is_asked_for_anew(enter: Any) -> None:
    visitor = enter(Look("fr"))
    typed(visitor)
    visitor.context.clear_cookies()
    with visitor.page.expect_navigation():
        visitor.page.evaluate(
            "window.dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}))"
        )
    expect(visitor.page.locator("#narrative")).to_have_value("")


def test_leaving_is_possible_when_the_server_does_not_answer(enter: Any) -> None:
    visitor = enter(Look("fr"))
    typed(visitor)
    visitor.context.route("**/leave", lambda route: route.abort())
    visitor.page.click("#exit")
    try:
        visitor.page.wait_for_url(visitor.neutral)
    finally:
        visitor.complaints.clear()  # the browser says that a request failed


def test_the_policy_lets_nothing_out(enter: Any) -> None:
    visitor = enter(Look("fr"))
    visitor.open("")
    with pytest.raises(Error):
        visitor.page.evaluate("fetch('https://elsewhere.example/')")
    assert any("Content Security Policy" in text for text in visitor.complaints)
    visitor.complaints.clear()
    assert visitor.outside == []
