# SPDX-License-Identifier: Apache-2.0
"""Public figures: how many, by service, change and partner, per window of time. Nobody is in them.

Counts come from the journal's tallies; each page is added exactly once. What is rare is pooled, so
that a figure cannot point at one case.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from wasl_schemas.base import Model

OTHER = "other"


class Statistics(Model):
    """The counts of one window. A closed one does not change; ``due_at`` is when it closes."""

    window_id: str
    start: datetime
    end: datetime
    counts: tuple[tuple[str, str, int], ...] = ()
    closed: bool = False
    forget_at: datetime
    due_at: datetime | None = None
    lease: str | None = None
    lease_until: datetime | None = None

    def plus(self, tally: Mapping[tuple[str, str], int]) -> "Statistics":
        total = Counter({(figure, label): n for figure, label, n in self.counts})
        total.update(tally)
        counts = tuple((figure, label, n) for (figure, label), n in sorted(total.items()))
        return self.model_copy(update={"counts": counts})


def window(now: datetime, length: timedelta, keep: timedelta) -> Statistics:
    """The empty window ``now`` falls in; windows are counted from the Unix epoch."""
    epoch = datetime.fromtimestamp(0, UTC)
    start = epoch + (now - epoch) // length * length
    end = start + length
    return Statistics(
        window_id=f"{start:%Y%m%dT%H%M%SZ}-{int(length.total_seconds())}",
        start=start,
        end=end,
        forget_at=end + keep,
        due_at=end,
    )


def public(statistics: Statistics, small: int) -> dict[str, Any]:
    """What subscribers get. Labels counted less than ``small`` times are pooled as "other"."""
    figures: dict[str, dict[str, Any]] = {}
    for figure, label, n in statistics.counts:
        entry = figures.setdefault(figure, {"total": 0, "by": {}})
        entry["total"] += n
        shown = label if n >= small else OTHER
        entry["by"][shown] = entry["by"].get(shown, 0) + n
    return {
        "type": "org.wasl.statistics.v1",
        "timestamp": statistics.end.isoformat(),
        "data": {
            "window": {"from": statistics.start.isoformat(), "to": statistics.end.isoformat()},
            "pooled_below": small,
            "figures": figures,
        },
    }
