# SPDX-License-Identifier: Apache-2.0
"""Pages to read: each reached from the home page, each light."""

from typing import Any

import pytest
from playwright.sync_api import expect
from visitor import INFORMATION, LOOKS, Look, Visitor

#: Bytes of the first page with all it loads, not compressed.
FIRST_PAGE = 30_000


@pytest.mark.parametrize("path", INFORMATION)
def test_it_is_reached_from_the_home_page(visitor: Visitor, path: str) -> None:
    visitor.open("")
    visitor.page.click(f'footer a[href="/{visitor.lang}/{path}"]')
    assert visitor.path == path
    expect(visitor.page.locator("h1")).to_have_count(1)
    expect(visitor.page.locator("#exit")).to_be_in_viewport()


def test_feedback_is_sent_and_has_a_receipt_of_its_own(visitor: Visitor) -> None:
    visitor.open("feedback")
    visitor.page.locator("[name=kind]").first.check()
    visitor.answer(text="The page was slow on my telephone.")
    visitor.work()
    visitor.press("#send")
    assert visitor.path == "feedback/receipt"
    assert len(visitor.words()) == 9
    visitor.secrets += visitor.words()
    visitor.page.click("button[value=follow]")
    expect(visitor.page.locator("main")).to_contain_text("slow on my telephone")


@pytest.mark.parametrize("look", [x for x in LOOKS if x.script], ids=str)
def test_the_first_page_is_light(enter: Any, look: Look) -> None:
    visitor = enter(look)
    visitor.open("")
    sizes = {a.url: len(a.body()) for a in visitor.answers}
    assert any(u.endswith(".css") for u in sizes)
    assert any(u.endswith(".js") for u in sizes)
    assert sum(sizes.values()) <= FIRST_PAGE, sizes
