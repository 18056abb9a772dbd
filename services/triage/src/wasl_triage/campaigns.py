# SPDX-License-Identifier: Apache-2.0
"""Reports of the same wording, across cases: found by their sketches' bands, named, shown.

A sketch is keyed by the deployment's secret and says nothing of the words without it. It is
forgotten after :data:`KEEP`. A campaign marks copies; it never raises a severity.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from wasl_chassis.store import Collection, Index, Store
from wasl_chassis.work import UnitOfWork

from wasl_triage.domain.signals import Candidate, Sketch, join

KEEP = timedelta(days=90)
#: Candidates one batch looks at; in a flood the newest speak for the rest.
_MOST = 2_000


@dataclass(frozen=True, slots=True)
class SketchRow:
    """The sketch of one report, the bands it is found by, and its campaign."""

    report_id: str
    cases: tuple[str, ...]
    sketch: str
    bands: tuple[str, ...]
    campaign: str
    at: datetime


SKETCHES: Collection[SketchRow] = Collection(
    "sketches",
    lambda s: s.report_id,
    lambda s: {
        "cases": list(s.cases),
        "sketch": s.sketch,
        "bands": list(s.bands),
        "campaign": s.campaign,
        "at": s.at,
    },
    lambda d: SketchRow(
        d["_id"], tuple(d["cases"]), d["sketch"], tuple(d["bands"]), d["campaign"], d["at"]
    ),
    indexes=(
        Index((("bands", 1), ("at", -1))),
        Index((("at", 1),), ttl=int(KEEP.total_seconds())),
    ),
)


@dataclass(frozen=True, slots=True)
class Copies:
    """``others``: reports of nearly the same words; ``cases``: theirs."""

    campaign: str
    others: int
    cases: tuple[str, ...]


def name_of(report_id: str) -> str:
    return hashlib.sha256(report_id.encode()).hexdigest()[:16]


class Known:
    """Kept reports a batch may be copies of, by their bands. Reports of one sketch are held and
    compared as one, so that a flood of the same words costs little more than its first report.
    """

    def __init__(self, rows: Iterable[SketchRow] = ()) -> None:
        self._sketches: dict[str, Sketch] = {}
        self._rows: dict[str, list[SketchRow]] = {}
        self._by_band: dict[str, list[str]] = {}
        for row in rows:
            self.add(row)

    def add(self, row: SketchRow) -> None:
        if row.sketch not in self._rows:
            sketch = Sketch.parse(row.sketch)
            if sketch is None:  # of another scheme; nothing can be compared with it
                return
            self._sketches[row.sketch], self._rows[row.sketch] = sketch, []
            for band in row.bands:
                self._by_band.setdefault(band, []).append(row.sketch)
        self._rows[row.sketch].append(row)

    def near(self, report_id: str, bands: Iterable[str]) -> list[tuple[SketchRow, Sketch]]:
        """Other reports that share a band, one after the other."""
        drawn = dict.fromkeys(text for band in bands for text in self._by_band.get(band, ()))
        return [
            (row, self._sketches[text])
            for text in drawn
            for row in self._rows[text]
            if row.report_id != report_id
        ]


async def candidates(store: Store, sketches: Mapping[str, Sketch]) -> Known:
    """One query for a batch: every kept report that shares a band with one of these."""
    bands = sorted({band for sketch in sketches.values() for band in sketch.bands})
    if not bands:
        return Known()
    newest = (("at", -1),)
    docs = await store.find(SKETCHES, {"bands": {"$in": bands}}, sort=newest, limit=_MOST)
    return Known(SKETCHES.decode(doc) for doc in docs)


def place(
    uow: UnitOfWork,
    known: Known,
    report_id: str,
    cases: tuple[str, ...],
    sketch: Sketch,
) -> Copies | None:
    """Keep a report's sketch, with the campaign it belongs to; None: no other says the same.

    ``known``: candidates; the report joins them, so that the next of its batch finds it.
    """
    bands = sketch.bands
    near = known.near(report_id, bands)
    distinct = {(row.campaign, row.sketch): other for row, other in near}
    found = join(sketch, (Candidate(name, other) for (name, _), other in distinct.items()))
    campaign = found.campaign if found else name_of(report_id)
    row = SketchRow(report_id, cases, str(sketch), bands, campaign, uow.now())
    uow.put(SKETCHES, row)
    known.add(row)
    if found is None:
        return None
    names = {found.campaign, *found.absorbed}
    same = [r for r, _ in near if r.campaign in names]
    touched = dict.fromkeys(c for r in same for c in r.cases if c not in cases)
    return Copies(campaign, len(same), tuple(touched))


async def forget(uow: UnitOfWork, report_id: str) -> None:
    await uow.delete(SKETCHES, report_id)
