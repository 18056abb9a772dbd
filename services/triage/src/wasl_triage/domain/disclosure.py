# SPDX-License-Identifier: Apache-2.0
"""Tables of counts that point at nobody: small cells are hidden, and what would give them away.

Pure. A count from 1 to 4 is shown as "<5". Where the total would still tell it, further cells are
kept back (secondary suppression) until every hidden small count may be anything from 1 to 4. Each
table is safe beside its own total; tables that share a total share nothing else.
"""

from collections.abc import Mapping
from dataclasses import dataclass

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
    return Cell(None, small=True) if 0 < count < SMALL else Cell(count)


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
