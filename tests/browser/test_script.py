# SPDX-License-Identifier: Apache-2.0
"""What the script adds: work instead of waiting, one sending, a warning before a text is cut off."""

import re
from typing import Any

from playwright.sync_api import expect
from visitor import Look

SCRIPT_MAX = 8_000


def test_the_work_asked_is_done_while_somebody_reads(enter: Any) -> None:
    visitor = enter(Look("fr"))
    visitor.report(until=8)
    expect(visitor.page.locator("input[name=answer]")).to_have_value(re.compile(r"\d+"))
    visitor.page.click("#send")
    assert visitor.path == "receipt"


def test_who_is_asked_to_wait_sees_how_long_and_hears_the_end(enter: Any) -> None:
    visitor = enter(Look("ar"))
    visitor.report(until=8)
    page = visitor.page
    visitor.work()
    # As a telephone too old for workers: the answer is missing, and the next page has none either.
    page.add_init_script("delete window.Worker")
    page.evaluate("document.querySelector('[name=answer]').value = ''")
    page.click("#send")
    wait = page.locator("[data-wait]")
    expect(wait.locator("progress")).to_be_visible()
    expect(wait.locator(".ready")).to_be_visible()
    visitor.world.later(seconds=5)
    page.click("#send")
    assert visitor.path == "receipt"


def test_an_impatient_second_click_sends_once_and_a_retry_is_let_through(enter: Any) -> None:
    visitor = enter(Look("fr"))
    visitor.report(until=8)
    visitor.work()
    # The network is cut: what the script lets through is counted and goes nowhere.
    visitor.page.evaluate(
        """() => {
          window.sent = 0;
          window.addEventListener("submit", (event) => {
            if (!event.defaultPrevented) window.sent += 1;
            event.preventDefault();
          });
        }"""
    )
    click = "() => { document.getElementById('send').click(); return window.sent; }"
    assert [visitor.page.evaluate(click), visitor.page.evaluate(click)] == [1, 1]
    visitor.until(lambda: visitor.page.evaluate(click) == 2)
    visitor.page.reload()
    visitor.send()


def test_a_long_text_is_counted_before_it_is_cut_off(enter: Any) -> None:
    visitor = enter(Look("fr"))
    visitor.report(until=6)
    page = visitor.page
    most = int(page.locator("#narrative").get_attribute("maxlength") or 0)
    left = page.locator("#narrative + .left")
    expect(left).to_have_text("")
    page.fill("#narrative", "a" * (most - 7))
    expect(left).to_have_text(re.compile(r"\b7\b"))
    expect(page.get_by_role("status").filter(has_text="7")).to_have_count(1)
    page.fill("#narrative", "short")
    expect(left).to_have_text("")


def test_hints_that_need_the_script_are_shown_with_it_only(enter: Any) -> None:
    for script in (True, False):
        visitor = enter(Look("fr", script=script))
        visitor.open("")
        expect(visitor.page.locator(".scripted")).to_be_visible(visible=script)


def test_the_script_is_small_and_plain(enter: Any) -> None:
    visitor = enter(Look("fr"))
    visitor.open("")
    (script,) = [a.text() for a in visitor.answers if a.url.endswith(".js")]
    assert len(script.encode()) < SCRIPT_MAX
    for word in ("innerHTML", "eval(", "document.write", "async ", "await ", "import(", "?."):
        assert word not in script, word
