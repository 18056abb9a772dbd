# SPDX-License-Identifier: Apache-2.0
"""Looking for many pieces at once finds what looking for each would, and gates hide nothing."""

import re

from hypothesis import example, given
from hypothesis import strategies as st
from wasl_triage.domain.signals import personal
from wasl_triage.domain.signals.language import _Tally
from wasl_triage.domain.signals.pieces import Pieces

PIECES = ("rue", "ru", "حي", "é", "end my life")
WORDS = (
    *("Rue", "AV.", "ave", "bd", "BLVD.", "Boulevard", "lot.", "Résidence", "zenka", "Zanqat"),
    *("CITÉ", "cİté", "cıté", "hay", "reſidence", "impaſſe", "شارع", "حي", "زنقة", "تجزئة"),
)
texts = st.lists(
    st.sampled_from([*PIECES, "r", "ue", "ي", "x", "é", "_", "1", " ", ".", "\ud800", "\u0307"])
).map("".join)


@given(texts)
def test_a_piece_is_within_as_python_says(text: str) -> None:
    assert Pieces(PIECES).within(text) == any(piece in text for piece in PIECES)


@given(texts)
def test_a_piece_ends_a_word_as_an_expression_says(text: str) -> None:
    # Each alone: the longer of two that begin alike would hide the shorter.
    ends = any(re.search(rf"{re.escape(piece)}(?!\w)", text) for piece in PIECES)
    assert Pieces(PIECES).end_a_word(text) == ends


@given(
    before=st.sampled_from(["au ", "", "x ", "12 "]),
    word=st.sampled_from(WORDS),
    after=st.sampled_from([" Ibn Sina", " Ibn Sina, ", " Al Massira n° ", " des Oliviers"]),
)
@example(before="", word="impaſſe", after=" des Oliviers")
def test_a_street_is_tried_wherever_its_expressions_hold(
    before: str, word: str, after: str
) -> None:
    for text in (f"{before}{word}{after}12", f"12 {word}{after}"):
        at = text.rindex("12") if text.endswith("12") else 0
        if personal._street(text, at, at + 2) is not None:
            assert personal._street in personal._forms(text)


@given(st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=4500))
def test_one_pass_counts_for_every_list(words: list[str]) -> None:
    lists = ({"a"}, {"a", "b"}, {"c"}, set[str]())
    expected = tuple(sum(word in known for word in words) for known in lists)
    assert _Tally(*lists).count(words) == expected
