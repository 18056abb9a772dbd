# SPDX-License-Identifier: Apache-2.0
"""What a report's circumstances say, without anybody's identity."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wasl_triage.domain.signals import Circumstances, reporter_words


@pytest.mark.parametrize(
    ("known", "words"),
    [
        (Circumstances("web", length=90), ()),
        (Circumstances("web", located=False), ("no_location", "short")),
        (Circumstances("web", length=300, consent=True), ("detailed", "may_be_told")),
        (Circumstances("web", length=90, flood=True, copy=True), ("flood", "copy")),
        (Circumstances("phone", length=90), ("staff_intake",)),
        (Circumstances("partner", "p1", (0, 0), length=90), ("partner",)),
        (Circumstances("partner", "p1", (19, 19), length=90), ("partner",)),
        (
            Circumstances("partner", "p1", (20, 20), length=90),
            ("partner", "partner_with_history", "often_upheld"),
        ),
        (Circumstances("partner", "p1", (18, 20), length=90), ("partner", "partner_with_history")),
        (
            Circumstances("partner", "p1", (95, 100), length=90),
            ("partner", "partner_with_history", "often_upheld"),
        ),
        (
            Circumstances("partner", "p1", (1, 40), length=90),
            ("partner", "partner_with_history", "seldom_upheld"),
        ),
        (Circumstances("web", None, (95, 100), length=90), ()),
    ],
)
def test_the_words(known: Circumstances, words: tuple[str, ...]) -> None:
    assert reporter_words(known) == words


@pytest.mark.parametrize("history", [(5, 4), (-1, 4)])
def test_an_impossible_history_is_an_error(history: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"history is \(upheld, decided\)"):
        reporter_words(Circumstances("partner", "p1", history))


@given(st.integers(0, 400).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total))))
def test_more_upheld_never_sounds_worse(history: tuple[int, int]) -> None:
    upheld, total = history
    words = reporter_words(Circumstances("partner", "p1", history))
    better = reporter_words(Circumstances("partner", "p1", (total, total)))
    assert not ("often_upheld" in words and "seldom_upheld" in words)
    assert "seldom_upheld" not in better
    assert ("partner_with_history" in words) == (total >= 20)
    if "often_upheld" in words:
        assert upheld / total > 0.8
