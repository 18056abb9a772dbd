# SPDX-License-Identifier: Apache-2.0
"""Coming back with the receipt: reading, writing, taking the report back."""

import pytest
from playwright.sync_api import expect
from visitor import Visitor


def come_back(visitor: Visitor, receipt: str) -> None:
    visitor.open("follow")
    visitor.page.fill("#receipt", receipt)
    visitor.page.click("#ask .buttons button")


@pytest.mark.parametrize("spelling", ["words", "letters", "digits"])
def test_any_spelling_of_the_receipt_opens_the_report(visitor: Visitor, spelling: str) -> None:
    visitor.report()
    codes = [t.strip() for t in visitor.page.locator("output.code").all_text_contents()]
    receipt = {"words": visitor.receipt, "letters": codes[0], "digits": codes[1]}[spelling]
    visitor.page.click("button[value=done]")
    come_back(visitor, receipt)
    expect(visitor.page.locator(".timeline li")).to_have_count(1)


def test_a_message_is_sent_and_shown(visitor: Visitor) -> None:
    visitor.report()
    visitor.page.click("button[value=follow]")
    assert visitor.path == "follow"
    visitor.page.fill("#message", "رسالة أخرى. Encore une lettre.")
    visitor.page.click("#write .buttons button")
    expect(visitor.page.locator(".thread")).to_contain_text("رسالة أخرى. Encore une lettre.")
    visitor.page.reload()
    expect(visitor.page.locator(".thread li")).to_have_count(1)


def test_a_report_is_taken_back(visitor: Visitor) -> None:
    visitor.report()
    visitor.page.click("button[value=follow]")
    visitor.page.click(f'a[href="/{visitor.lang}/follow/withdraw"]')
    visitor.page.click("button[value=withdraw]")
    expect(visitor.page.locator(".timeline li")).to_have_count(2)
    expect(visitor.page.locator("#message")).to_have_count(0)
    visitor.page.click("button[value=close]")
    come_back(visitor, visitor.receipt)
    expect(visitor.page.locator(".timeline li")).to_have_count(2)


def test_a_receipt_of_no_report_is_explained(visitor: Visitor) -> None:
    come_back(visitor, "one two three")
    expect(visitor.page.locator(".errors")).to_be_visible()
    assert visitor.path == "follow"


def test_closing_forgets_the_receipt(visitor: Visitor) -> None:
    visitor.report()
    visitor.page.click("button[value=follow]")
    visitor.page.click("button[value=close]")
    visitor.open("follow")
    expect(visitor.page.locator("#receipt")).to_have_value("")
    expect(visitor.page.locator(".timeline")).to_have_count(0)
