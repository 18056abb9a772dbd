# SPDX-License-Identifier: Apache-2.0
"""What a text says by itself."""

import pytest
from wasl_intake.channels import reading


@pytest.mark.parametrize(
    ("text", "hint", "tag"),
    [
        ("شخص ينشر صوري على الانترنت", "", "ar"),
        ("شخص ينشر صوري https://example.org/a-very-long-address", "fr", "ar"),
        ("یک نفر عکس های من را منتشر کرد", "fa", "fa"),
        ("quelqu'un publie mes photos sur une page", "", "fr"),
        ("somebody posts my photos on a page", "", "en"),
        ("somebody posts my photos", "fr-MA", "en"),
        ("wahd kaynchr tsawri", "", "und"),
        ("wahd kaynchr tsawri", "ar", "und"),
        ("wahd kaynchr tsawri", "fr", "fr"),
        ("Regardez https://example.org/p on me harcele", "fr", "fr"),
        ("Bonjour, on me harcele", "", "fr"),
        ("look at what he does to me", "fr", "en"),
        ("ⴰⵣⵓⵍ ⴼⵍⵍⴰⵡⵏ", "", "zgh"),
        ("", "fr-FR", "fr"),
        ("12345 👍", "", "und"),
    ],
)
def test_the_language(text: str, hint: str, tag: str) -> None:
    assert reading.language(text, hint) == tag


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("see https://example.org/p/1.", ("https://example.org/p/1",)),
        ("(https://example.org/a_(b)), then", ("https://example.org/a_(b)",)),
        ("انظر https://example.org/p/1، شكرا", ("https://example.org/p/1",)),
        (
            "hxxps://example[.]org/p and www.example.net",
            ("hxxps://example[.]org/p", "www.example.net"),
        ),
        ("on example.org/user today", ("example.org/user",)),
        ("the account @fictif_11, and @fictif_11 again", ("@fictif_11",)),
        ("tg://resolve?domain=fictif", ("tg://resolve?domain=fictif",)),
        ("mail me at name@example.org or e.g. etc. 3.5", ()),
        ("http://127.0.0.1/x http://router.local/ javascript:alert(1)", ()),
        ("no link at all", ()),
    ],
)
def test_where(text: str, found: tuple[str, ...]) -> None:
    assert reading.where(text) == found


def test_locations_are_as_many_as_intake_takes() -> None:
    text = " ".join(f"https://example.org/{n}" for n in range(80))
    assert len(reading.where(text)) == 50


@pytest.mark.parametrize(
    "text",
    ["", "👍", "hi", "Hello!", "Bonjour Madame", "السلام عليكم", "salam alaykoum 👋", "/start",
     "/help@fictif_bot", "ok"],
)  # fmt: skip
def test_too_little(text: str) -> None:
    assert reading.too_little(text)


@pytest.mark.parametrize(
    "text",
    ["SOS", "help me", "hello, somebody threatens me", "@fictif_11", "سلام، شخص يهددني", "119",
     "hi https://example.org/p/1", "bonjour 12"],
)  # fmt: skip
def test_enough(text: str) -> None:
    assert not reading.too_little(text)


def test_clean_keeps_what_was_written() -> None:
    assert reading.clean("a\r\nb\x00\x1b[31mc\u200f\u202bد\n\n\n\nd\ud800 ") == (
        "a\nb  [31mc\u200f\u202bد\n\nd"
    )


def test_without() -> None:
    assert reading.without("abc RECEIPT def", [(4, 11)]) == "abc  def"
    assert reading.without("abcdef", [(0, 4), (2, 6)]) == ""


def test_long_texts_cost_little() -> None:
    """Would take minutes if any pattern were worse than linear."""
    for piece in ("a.", "@a", "https://", "www.", "(", "a-", "x@y."):
        reading.where(piece * 20_000)
