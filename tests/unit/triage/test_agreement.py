# SPDX-License-Identifier: Apache-2.0
"""Cohen's kappa against numbers worked out elsewhere, and what may not be said of too little."""

import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from wasl_triage.domain.agreement import Kappa, by_label, kappa

#: The table most introductions use: 20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no.
TEXTBOOK = [("y", "y")] * 20 + [("y", "n")] * 5 + [("n", "y")] * 10 + [("n", "n")] * 15
PAIRS = st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("abcd")), max_size=60)


def test_the_textbook_table() -> None:
    told = kappa(TEXTBOOK)
    assert (told.n, told.observed) == (50, 0.7)
    assert told.kappa == pytest.approx(0.4)
    assert told.low is not None
    assert told.high is not None
    assert (told.low + told.high) / 2 == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("pairs", "n", "observed"),
    [([], 0, None), ([("a", "a")], 1, 1.0), ([("a", "a")] * 9, 9, 1.0)],
)
def test_what_is_not_defined_is_none(pairs: Any, n: int, observed: float | None) -> None:
    assert kappa(pairs) == Kappa(n, observed, None, None, None)


def test_perfect_and_contrary() -> None:
    assert kappa([("a", "a"), ("b", "b")]).kappa == 1.0
    assert kappa([("a", "b"), ("b", "a")]).kappa == -1.0
    # One word each, and never the same one: chance alone explains it.
    assert kappa([("a", "b")] * 5).kappa == 0.0


def _value(cells: list[list[float]]) -> float:
    n = sum(map(sum, cells))
    po = sum(cells[i][i] for i in range(len(cells))) / n
    pe = sum(sum(cells[i]) * sum(r[i] for r in cells) for i in range(len(cells))) / n**2
    return (po - pe) / (1 - pe)


@given(st.lists(st.integers(1, 30), min_size=9, max_size=9))
def test_the_interval_is_that_of_the_delta_method(counts: list[int]) -> None:
    """The same standard error from a numeric gradient over the multinomial covariance."""
    cells = [[float(c) for c in counts[i : i + 3]] for i in (0, 3, 6)]
    n, step = sum(counts), 1e-6
    shares = [c / n for row in cells for c in row]
    slopes = []
    for i in range(9):
        sides = []
        for sign in (1, -1):
            moved = [s + sign * step * (j == i) for j, s in enumerate(shares)]
            sides.append(_value([moved[k : k + 3] for k in (0, 3, 6)]))
        slopes.append((sides[0] - sides[1]) / (2 * step))
    mean = sum(p * g for p, g in zip(shares, slopes, strict=True))
    variance = sum(p * g * g for p, g in zip(shares, slopes, strict=True)) - mean**2
    told = kappa((a, b) for a in range(3) for b in range(3) for _ in range(int(cells[a][b])))
    assert told.kappa is not None
    assert told.low is not None
    assert told.high is not None
    assert told.kappa == pytest.approx(_value(cells))
    assume(told.low > -1)
    assume(told.high < 1)
    half = (told.high - told.low) / 2
    assert half == pytest.approx(1.959964 * math.sqrt(variance / n), rel=1e-3)


@given(PAIRS, st.randoms())
def test_neither_order_nor_names_nor_sides_matter(
    pairs: list[tuple[str, str]], random: Any
) -> None:
    told = kappa(pairs)
    shuffled = list(pairs)
    random.shuffle(shuffled)
    renamed = [(ord(a), ord(b)) for a, b in shuffled]
    turned = [(b, a) for a, b in pairs]
    for other in (kappa(shuffled), kappa(renamed), kappa(turned)):
        assert other.n == told.n
        for one, two in zip(
            (told.observed, told.kappa, told.low, told.high),
            (other.observed, other.kappa, other.low, other.high),
            strict=True,
        ):
            assert one == two or one == pytest.approx(two, abs=1e-6)
    if told.kappa is not None:
        assert told.low is not None
        assert told.high is not None
        assert -1 <= told.low <= told.kappa <= told.high <= 1


def test_more_of_the_same_narrows_the_interval() -> None:
    widths = []
    for times in (1, 4, 16):
        told = kappa(TEXTBOOK * times)
        assert told.low is not None
        assert told.high is not None
        widths.append(told.high - told.low)
    assert all(later == pytest.approx(earlier / 2) for earlier, later in pairwise(widths))


def test_by_category_the_pairs_that_name_it_are_counted() -> None:
    pairs = [("a", "a"), ("a", "b"), ("c", "c"), ("c", "c")]
    told = by_label(pairs)
    assert {label: k.n for label, k in told.items()} == {"a": 2, "b": 1, "c": 2}
    assert told["c"].kappa == 1.0
    assert told["b"].kappa == 0.0
    assert by_label([("a", "a")])["a"].kappa is None
    assert by_label([]) == {}
