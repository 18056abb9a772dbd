# SPDX-License-Identifier: Apache-2.0
"""Tables of counts that point at nobody: small cells are hidden, and what would give them away.

Pure. A count from 1 to 4 is shown as "<5". Where the total would still tell it, further cells are
kept back (secondary suppression) until every hidden small count may be anything from 1 to 4. Each
table is safe beside its own total; tables that share a total share nothing else.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from wasl_triage.domain.agreement import Kappa, by_label, kappa

#: Counts below are not shown.
SMALL = 5


@dataclass(frozen=True, slots=True)
class Cell:
    """``count``: None: hidden; ``small``: because it is from 1 to 4. Else to protect another."""

    count: int | None
    small: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """``rows``: in the order given, without those that are 0; none where the total is small, or
    cannot be split without telling a small count.
    """

    rows: Mapping[str, Cell]
    total: Cell

    def share(self, of: str) -> int | None:
        """Percent of a row in the total; None where a row is hidden, or there is none."""
        total, part = self.total.count, self.rows.get(of, Cell(0)).count
        if (
            not total
            or not self.rows
            or part is None
            or any(c.count is None for c in self.rows.values())
        ):
            return None
        return round(100 * part / total)


def cell(count: int) -> Cell:
    """One count that stands alone."""
    return Cell(None, small=True) if _is_small(count) else Cell(count)


def table(counts: Mapping[str, int]) -> Table:
    """Counts that add up to a total which is shown."""
    counts = {label: n for label, n in counts.items() if n > 0}
    total = sum(counts.values())
    if total < SMALL:
        return Table({}, cell(total))
    small = {label for label, n in counts.items() if n < SMALL}
    shown = sorted((n, label) for label, n in counts.items() if label not in small)
    kept: set[str] = set()
    while small and not (safe := _safe(counts, small, kept)) and shown:
        kept.add(shown.pop(0)[1])
    if small and not safe:
        return Table({}, Cell(total))  # nothing is left to hide behind
    rows = {
        label: Cell(None, small=label in small) if label in small | kept else Cell(n)
        for label, n in counts.items()
    }
    return Table(rows, Cell(total))


def _safe(counts: Mapping[str, int], small: set[str], kept: set[str]) -> bool:
    """Whether each small count may be anything from 1 to 4 for somebody who knows their sum, that
    small ones are 1 to 4, and that those kept back are at least 5.
    """
    rest = sum(counts[label] for label in small | kept)
    others, most = len(small) - 1, SMALL - 1
    highest = rest - others - SMALL * len(kept)
    lowest = rest - others * most if not kept else 1
    return highest >= most and lowest <= 1


@dataclass(frozen=True, slots=True)
class Agreed:
    """``overall``: None where the pairs that agree or that differ are 1 to 4. ``categories``: kappa
    of "this one or another", of those where no count that follows from it is small.
    """

    overall: Kappa | None = None
    categories: Mapping[str, Kappa] = field(default_factory=dict)


def agreement(pairs: Sequence[tuple[str, str]]) -> Agreed:
    """How far two raters agree, in two decimals.

    From the pairs in all, the share that agrees and a category's kappa follow how often both named
    it, only the first did, only the second did, and neither; each of these is a table over the
    categories, and a category is shown where all four may be.
    """
    agree = Counter(a for a, b in pairs if a == b)
    first = Counter(a for a, b in pairs if a != b)
    second = Counter(b for a, b in pairs if a != b)
    if any(_is_small(n) for n in (len(pairs), agree.total(), first.total())) or not pairs:
        return Agreed()
    tables = [(counts, table(counts)) for counts in (agree, first, second)]
    told = by_label(pairs)
    categories = {
        label: _rounded(one)
        for label, one in sorted(told.items())
        if all(not n[label] or _shown(t, label) for n, t in tables)
    }
    if any(_is_small(len(pairs) - one.n) for one in told.values()):
        categories = {}
    return Agreed(_rounded(kappa(pairs)), categories)


def _is_small(count: int) -> bool:
    return 0 < count < SMALL


def _shown(told: Table, label: str) -> bool:
    return label in told.rows and told.rows[label].count is not None


def _rounded(told: Kappa) -> Kappa:
    parts = (told.observed, told.kappa, told.low, told.high)
    return Kappa(told.n, *(None if x is None else round(x, 2) for x in parts))
