# SPDX-License-Identifier: Apache-2.0
"""How a partner's latest reports turned out: so many upheld, so many judged.

A partner is the hub a report came from last. Counted from its reports' cases as they stand now, so
that a reversal, a withdrawal and an erasure need no counter to be put right; nothing of who
reported is read.
"""

from datetime import datetime, timedelta

from wasl_triage.casework import Hub
from wasl_triage.repository import CASES, REPORTS

#: The newest reports that are counted.
LATEST = 200
#: Words about a partner may be as old as this.
KEPT = timedelta(minutes=10)


class Turnouts:
    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._known: dict[str, tuple[datetime, tuple[int, int]]] = {}

    async def of(self, partner: str | None) -> tuple[int, int]:
        """(upheld, judged) of the partner's latest reports; none of either without a partner."""
        if partner is None:
            return 0, 0
        now = self._hub.clock.now()
        at, counted = self._known.get(partner, (None, (0, 0)))
        if at is None or now - at >= KEPT:
            counted = await self._count(partner)
            self._known[partner] = now, counted
        return counted

    async def _count(self, partner: str) -> tuple[int, int]:
        store = self._hub.store
        docs = await store.find(
            REPORTS, {"via": partner}, sort=(("received_at", -1),), limit=LATEST
        )
        # A hub passes on what others passed to it: theirs is not its own.
        reports = [r for r in map(REPORTS.decode, docs) if r.via[-1] == partner]
        found = await store.read(CASES, sorted({c for r in reports for c in r.cases}))
        upheld = {key: CASES.decode(doc).upheld for key, doc in found.items()}
        # A report of several things was right if one of them was.
        said = [[u for c in r.cases if (u := upheld.get(c)) is not None] for r in reports]
        return sum(any(s) for s in said), sum(bool(s) for s in said)
