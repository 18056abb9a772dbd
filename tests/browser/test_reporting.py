# SPDX-License-Identifier: Apache-2.0
"""Every way from the home page to a receipt, in two languages, on two screens, with and without
script."""

from typing import Any

import pytest
from playwright.sync_api import expect
from visitor import LOOKS, Look, Visitor
from wasl_schemas import topics

REPORTS = topics.REPORT_SUBMITTED_V1


def test_a_whole_report_from_the_home_page(visitor: Visitor) -> None:
    before = len(visitor.world.hub.events(REPORTS))
    visitor.open("")
    visitor.page.click("main .actions a.button")
    visitor.step(1, danger="no")
    visitor.step(2, group="abuse")
    if visitor.path == "report/3":
        visitor.go_on()
    visitor.step(4, links="https://example.org/post/12345", account="@somebody.invented")
    visitor.step(5, affected="child", age="under_13", risk=["threatened", "unsafe_place"])
    visitor.step(6, narrative="كتب لي ثلاث رسائل. Trois lettres.")
    visitor.step(7, email="somebody@example.org")
    expect(visitor.page.locator("dl.review")).to_contain_text("example.org/post/12345")
    visitor.send()
    assert len(visitor.words()) == 9
    events = visitor.world.hub.events(REPORTS)[before:]
    assert [e.data.language for e in events] == [visitor.lang]
    content = visitor.world.run(visitor.world.hub.content(str(events[0].data.report_id)))
    assert content.narrative == "كتب لي ثلاث رسائل. Trois lettres."
    assert content.locations == ("https://example.org/post/12345", "@somebody.invented")


def test_the_short_path(visitor: Visitor) -> None:
    visitor.open("")
    visitor.page.click("#quick a")
    assert visitor.path == "quick"
    visitor.answer(links="https://example.org/picture")
    visitor.send_quick()
    assert visitor.world.hub.events(REPORTS)[-1].data.category == "csam"


def test_danger_shows_numbers_to_call_on_every_page_until_the_receipt(visitor: Visitor) -> None:
    visitor.open("report/1")
    visitor.step(1, danger="yes")
    call = visitor.page.locator('main a[href^="tel:"]')
    for number in range(2, 8):
        if visitor.path != f"report/{number}":
            continue
        expect(call.first).to_be_visible()
        visitor.step(number, **({"narrative": "Help is needed"} if number == 6 else {}))
    assert visitor.path == "report/8"
    expect(visitor.page.locator("section.emergency")).to_be_visible()
    visitor.send_quick()
    expect(visitor.page.locator("section.emergency").first).to_be_visible()
    expect(call.first).to_be_visible()


def test_a_bad_link_is_explained_and_kept(visitor: Visitor) -> None:
    visitor.report(until=4)
    visitor.step(4, links="https://example.org/good\nnot a link at all")
    assert visitor.path == "report/4"
    summary = visitor.page.locator(".errors")
    expect(summary).to_be_visible()
    if visitor.look.script:
        expect(summary).to_be_focused()
    summary.locator("a").first.click()
    field = visitor.page.locator("#links")
    expect(field).to_be_focused()
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_have_value("https://example.org/good\nnot a link at all")


def test_an_empty_report_is_explained(visitor: Visitor) -> None:
    visitor.open("report/6")
    visitor.go_on()
    assert visitor.path == "report/6"
    expect(visitor.page.locator('.errors a[href="#narrative"]')).to_be_visible()
    visitor.step(6, narrative="Now there are words")
    assert visitor.path == "report/7"


@pytest.mark.parametrize("number", [4, 6, 7])
def test_the_language_changes_in_the_middle_and_the_words_stay(
    visitor: Visitor, number: int
) -> None:
    name, text = {
        4: ("links", "https://example.org/half"),
        6: ("narrative", "half a sentence"),
        7: ("email", "somebody@example.org"),
    }[number]
    visitor.report(until=number)
    visitor.answer(**{name: text})
    other = "fr" if visitor.lang == "ar" else "ar"
    visitor.page.click(f'button[name=switch][value="{other}"]')
    visitor.lang = other
    assert visitor.path == f"report/{number}"
    expect(visitor.page.locator("html")).to_have_attribute("dir", "rtl" if other == "ar" else "ltr")
    expect(visitor.page.locator(f"#{name}")).to_have_value(text)


def test_back_and_reload_keep_the_answers_at_every_step(visitor: Visitor) -> None:
    visitor.report(until=8, affected="child", age="under_18")
    page = visitor.page
    for number, name in (
        (7, ""),
        (6, "narrative"),
        (5, "age"),
        (4, "links"),
        (2, "group"),
        (1, "danger"),
    ):
        while visitor.path != f"report/{number}":
            before = visitor.path
            visitor.back()
            assert visitor.path != before, "the way back ends here"
        page.reload()
        assert visitor.path == f"report/{number}"
        if name in ("narrative", "links"):
            expect(page.locator(f"#{name}")).not_to_have_value("")
        elif name:
            expect(page.locator(f"[name={name}]:checked")).to_have_count(1)


def test_reload_and_back_after_sending_make_no_second_report(visitor: Visitor) -> None:
    visitor.report()
    before = len(visitor.world.hub.events(REPORTS))
    words = visitor.words()
    visitor.page.reload()
    assert visitor.words() == words
    visitor.back()
    visitor.page.reload()
    assert visitor.path != "report/8", "the answers are forgotten once they are sent"
    assert len(visitor.world.hub.events(REPORTS)) == before


def test_what_looks_like_a_number_of_ones_own_is_asked_about(visitor: Visitor) -> None:
    visitor.report(until=6)
    visitor.step(6, narrative="Call me at 0612345678 please")
    assert visitor.path == "report/6"
    visitor.page.click("button[name=hide]")
    assert visitor.path == "report/7"
    visitor.back()
    visitor.page.reload()
    expect(visitor.page.locator("#narrative")).not_to_have_value("0612345678")


@pytest.mark.parametrize("look", [x for x in LOOKS if not x.script], ids=str)
def test_sending_at_once_without_script_asks_to_wait_and_loses_nothing(
    enter: Any, look: Look
) -> None:
    visitor = enter(look)
    visitor.report(until=8)
    visitor.page.click("#send")
    expect(visitor.page.locator("[data-wait]")).to_be_visible()
    visitor.send()
