# SPDX-License-Identifier: Apache-2.0
"""How well two raters agree beyond chance: Cohen's kappa, with its confidence interval.

Pure. J. Cohen, "A coefficient of agreement for nominal scales" (1960); the large-sample standard
error is that of Fleiss, Cohen and Everitt (1969). A kappa that is not defined is None, never 0: it
takes a pair, and more than one word in use.
"""

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

#: The normal quantile of a two-sided 95 % interval.
_Z95 = 1.959963984540054
Label = TypeVar("Label", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Kappa:
    """``n``: pairs. ``observed``: share of pairs that agree; None without a pair. ``low`` and
    ``high``: the 95 % interval, within [-1, 1]; None where kappa is, wide where ``n`` is small.
    """

    n: int
    observed: float | None
    kappa: float | None
    low: float | None
    high: float | None


def kappa(pairs: Iterable[tuple[Label, Label]]) -> Kappa:
    """Agreement over pairs (first rater's label, second rater's label)."""
    cells = Counter(pairs)
    n = sum(cells.values())
    if n == 0:
        return Kappa(0, None, None, None, None)
    first: Counter[Label] = Counter()
    second: Counter[Label] = Counter()
    for (a, b), count in cells.items():
        first[a] += count
        second[b] += count
    agree = sum(count for (a, b), count in cells.items() if a == b)
    # Whole numbers until here, so that "not defined" is exact: n² is reached only by one label.
    chance = sum(first[label] * second[label] for label in first)
    po = agree / n
    if chance == n * n:
        return Kappa(n, po, None, None, None)
    pe = chance / (n * n)
    value = (po - pe) / (1 - pe)
    row = {label: count / n for label, count in first.items()}
    column = {label: count / n for label, count in second.items()}
    spread = -((po * pe - 2 * pe + po) ** 2)
    for (a, b), count in cells.items():
        p = count / n
        if a == b:
            spread += p * ((1 - pe) - (row[a] + column[a]) * (1 - po)) ** 2
        else:
            spread += (1 - po) ** 2 * p * (column.get(a, 0.0) + row.get(b, 0.0)) ** 2
    error = math.sqrt(max(0.0, spread) / n) / (1 - pe) ** 2
    return Kappa(n, po, value, max(-1.0, value - _Z95 * error), min(1.0, value + _Z95 * error))


def by_label(pairs: Sequence[tuple[Label, Label]]) -> dict[Label, Kappa]:
    """For each label one of the two used: kappa of "this one or another". ``n`` counts the pairs
    in which it was used.
    """
    out: dict[Label, Kappa] = {}
    for label in dict.fromkeys(label for pair in pairs for label in pair):
        told = kappa((a == label, b == label) for a, b in pairs)
        used = sum(label in pair for pair in pairs)
        out[label] = Kappa(used, told.observed, told.kappa, told.low, told.high)
    return out
