# SPDX-License-Identifier: Apache-2.0
"""Figures of the desk for everybody, the only way they leave it: one calendar month, naming nobody
and no case.

Small counts are hidden (:mod:`wasl_triage.domain.disclosure`). A month is counted once, ``SETTLES``
after its end, and is the same for ever: months do not overlap, and no answer of today can be
subtracted from one of tomorrow. What has an index is counted in the database; what is inside cases
is read from at most ``MOST`` of the month's.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, get_args
from zoneinfo import ZoneInfo

from pydantic import TypeAdapter
from wasl_chassis.store import Collection
from wasl_chassis.work import UnitOfWork
from wasl_schemas.country_pack import CountryPack
from wasl_schemas.events.common import Severity
from wasl_schemas.lifecycle import ACTED, CaseState, DispatchState
from wasl_schemas.taxonomy import Safeguard

from wasl_triage.audit.trail import looked
from wasl_triage.care.helpline import CONTACTS, HELPLINE
from wasl_triage.cases.appeals import APPEALS
from wasl_triage.casework import Hub
from wasl_triage.desk import need
from wasl_triage.domain.agreement import Kappa
from wasl_triage.domain.appeal import AppealState
from wasl_triage.domain.case import Case, DispatchRow
from wasl_triage.domain.disclosure import Cell, Table, agreement, cell, table
from wasl_triage.domain.helpline import Need, NonData
from wasl_triage.domain.people import Permission, Person
from wasl_triage.protection.subject_requests import SUBJECT_REQUESTS
from wasl_triage.quality.kept import AGREEMENTS, FIGURES, GOLDEN_ANSWERS, REVIEWS, MadeFigures
from wasl_triage.repository import CASES

#: Months that may be asked for.
MONTHS = 12
#: After a month's end until it is counted: what came on its last day has been looked at.
SETTLES = timedelta(days=3)
#: Cases of a month that are opened for what cannot be counted, the newest first.
MOST = 5_000
_AT_ONCE = 100
#: Where a count is of nothing the country pack names.
NONE, OTHER = "none", "other"


@dataclass(frozen=True, slots=True)
class Month:
    """All tables of one month. ``sampled``: so many of its cases were opened, where not all."""

    month: str
    made_at: datetime
    states: Table
    categories: Table
    severities: Table
    platforms: Table
    #: By severity: in_time, late, waiting. Left out where the severity's own count is hidden.
    first_looks: Mapping[str, Table]
    decisions: Mapping[str, Table]
    #: By partner: acted, refused, no_reply, waiting, failed, withdrawn.
    partners: Mapping[str, Table]
    #: Decisions of people that stand, and that an appeal reversed.
    reversals: Table
    appeals: Table
    #: By safeguard: waiting, agreed, disagreed.
    reviews: Mapping[str, Table]
    #: None: of too few pairs that agree, or that differ. By category: where none is too few.
    agreement: Kappa | None
    agreement_by: Mapping[str, Kappa]
    golden: Kappa | None
    golden_by: Mapping[str, Kappa]
    #: Answers of people who had seen the first one; who had not is in ``agreement``.
    second_looks: Table
    helpline: Table
    #: A case may have several needs.
    needs: Mapping[str, Cell]
    contacts: Table
    subject_requests: Table
    #: The same by their clock: in_time, late, waiting.
    subject_answers: Table
    sampled: int | None


_MONTH = TypeAdapter(Month)


class Figures:
    def __init__(self, hub: Hub, pack: CountryPack) -> None:
        self._hub, self._pack = hub, pack
        self._zone = ZoneInfo(pack.info.timezone)
        self._making = asyncio.Lock()

    def months(self) -> list[str]:
        """The months that may be asked for, the newest first: 2026-01. They are over."""
        settled = self._hub.clock.now() - SETTLES
        day = settled.astimezone(self._zone).date().replace(day=1)
        out = []
        for _ in range(MONTHS):
            day = (day - timedelta(days=1)).replace(day=1)
            out.append(f"{day:%Y-%m}")
        return out

    async def read(self, person: Person, month: str) -> Month:
        """The figures of a month; of the newest where there are none of it. Audited."""
        need(person, Permission.FIGURES)
        known = self.months()
        month = month if month in known else known[0]

        async def work(uow: UnitOfWork) -> None:
            await looked(uow, person.name, "figures", "figures", month)

        await self._hub.transact(work)
        return await self.of(month)

    async def of(self, month: str) -> Month:
        """One of :meth:`months`, for whoever runs the hub."""
        async with self._making:
            kept = await self._kept(month)
            if kept is None:
                await self._keep(await self._make(month))
                kept = await self._kept(month)
        if kept is None:
            raise LookupError(f"the figures of {month} were not kept")
        return kept

    async def _kept(self, month: str) -> Month | None:
        doc = (await self._hub.store.read(FIGURES, [month])).get(month)
        return _MONTH.validate_python(FIGURES.decode(doc).tables) if doc is not None else None

    async def _keep(self, made: Month) -> None:
        async def work(uow: UnitOfWork) -> None:
            if await uow.get(FIGURES, made.month) is None:  # else another replica was faster
                tables = _MONTH.dump_python(made, mode="json")
                uow.put(FIGURES, MadeFigures(month=made.month, tables=tables))

        await self._hub.transact(work)

    # -- making ------------------------------------------------------------------------------------

    def _span(self, month: str) -> dict[str, datetime]:
        first = date.fromisoformat(f"{month}-01")
        after = (first + timedelta(days=31)).replace(day=1)
        start, end = (datetime.combine(d, time(), self._zone) for d in (first, after))
        return {"$gte": start, "$lt": end}

    async def _make(self, month: str) -> Month:
        span = self._span(month)
        opened = {"opened_at": span}
        severities = table(await self._by(CASES, opened, "severity", list(Severity)))
        cases = _Cases(self._pack, self._hub.clock.now())
        docs = await self._hub.store.find(CASES, opened, sort=(("opened_at", -1),), limit=MOST)
        for n in range(0, len(docs), _AT_ONCE):
            for doc in docs[n : n + _AT_ONCE]:
                cases.add(CASES.decode(doc))
            await asyncio.sleep(0)  # others have their turn
        shown = [s for s, c in severities.rows.items() if c.count is not None]
        pairs, looks = await self._second_looks(span)
        agreed, golden = agreement(pairs), agreement(await self._golden(span))
        asked, answers = await self._subject_requests(span)
        return Month(
            month=month,
            made_at=self._hub.clock.now(),
            states=table(await self._by(CASES, opened, "state", list(CaseState))),
            categories=table(
                await self._by(CASES, opened, "category", [*self._pack.categories, None])
            ),
            severities=severities,
            platforms=table(await self._by(CASES, opened, "platform", self._pack.services)),
            first_looks={s: table(await self._first_looks(opened, s)) for s in shown},
            decisions={s: table(cases.decided[s]) for s in shown},
            partners={p: table(cases.partners[p]) for p in sorted(cases.partners)},
            reversals=table(cases.reversals),
            appeals=table(await self._by(APPEALS, {"at": span}, "state", list(AppealState))),
            reviews=await self._reviews(month),
            agreement=agreed.overall,
            agreement_by=agreed.categories,
            golden=golden.overall,
            golden_by=golden.categories,
            second_looks=table(looks),
            helpline=table(await self._by(HELPLINE, opened, "state", ("open", "closed"))),
            needs={
                need_: cell(n)
                for need_, n in (await self._by(HELPLINE, opened, "needs", get_args(Need))).items()
                if n and need_ != OTHER
            },
            contacts=table(await self._contacts(month)),
            subject_requests=table(asked),
            subject_answers=table(answers),
            sampled=len(docs) if len(docs) == MOST else None,
        )

    async def _by(
        self,
        collection: Collection[Any],
        where: Mapping[str, Any],
        field: str,
        values: Iterable[str | None],
    ) -> dict[str, int]:
        """How many documents have each value of a field, and how many none of them."""
        store = self._hub.store
        counts = {
            str(v) if v is not None else NONE: await store.count(
                collection, {field: str(v) if v is not None else None, **where}
            )
            for v in values
        }
        rest = await store.count(collection, where) - sum(counts.values())
        return {**counts, OTHER: max(rest, 0)}

    async def _first_looks(self, opened: Mapping[str, Any], severity: str) -> dict[str, int]:
        where = {"severity": severity, **opened}
        count = self._hub.store.count
        return {
            "in_time": await count(CASES, {**where, "overdue": False, "look_pending": False}),
            "late": await count(CASES, {**where, "overdue": True}),
            "waiting": await count(CASES, {**where, "overdue": False, "look_pending": True}),
        }

    async def _reviews(self, month: str) -> dict[str, Table]:
        out = {}
        for safeguard in Safeguard:
            where = {"month": month, "safeguard": safeguard.value}
            states = await self._by(REVIEWS, where, "state", ("waiting", "agreed", "disagreed"))
            out[safeguard.value] = table(states)
        return {s: t for s, t in out.items() if t.total.count != 0}

    async def _second_looks(
        self, span: Mapping[str, Any]
    ) -> tuple[list[tuple[str, str]], dict[str, int]]:
        """Pairs of categories that were judged apart; and the answers of everybody else."""
        docs = await self._hub.store.find(AGREEMENTS, {"at": span})
        rows = [AGREEMENTS.decode(d) for d in docs]
        pairs = [(r.category, r.other) for r in rows if r.blind and r.other is not None]
        said = Counter(r.confirmed for r in rows if not r.blind or r.other is None)
        return pairs, {"confirmed": said[True], "rejected": said[False]}

    async def _golden(self, span: Mapping[str, Any]) -> list[tuple[str, str]]:
        docs = await self._hub.store.find(GOLDEN_ANSWERS, {"at": span})
        return [(a.expected, a.category) for a in map(GOLDEN_ANSWERS.decode, docs)]

    async def _subject_requests(
        self, span: Mapping[str, Any]
    ) -> tuple[dict[str, int], dict[str, int]]:
        docs = await self._hub.store.find(SUBJECT_REQUESTS, {"received_at": span})
        rows, now = [SUBJECT_REQUESTS.decode(d) for d in docs], self._hub.clock.now()
        words = (_word(late=r.overdue(now), done=r.closed_at is not None) for r in rows)
        return Counter(r.kind.value for r in rows), Counter(words)

    async def _contacts(self, month: str) -> dict[str, int]:
        """Days sort as their names do, and begin each row's id."""
        where = {"_id": {"$gte": month, "$lt": f"{month}~"}}
        counts = Counter(dict.fromkeys(get_args(NonData), 0))
        for row in map(CONTACTS.decode, await self._hub.store.find(CONTACTS, where)):
            counts[row.kind] += row.count
        return counts


class _Cases:
    """What only a case's own rows tell."""

    def __init__(self, pack: CountryPack, now: datetime) -> None:
        self._pack, self._now = pack, now
        self.decided: dict[str, Counter[str]] = {s.value: Counter() for s in Severity}
        self.partners: dict[str, Counter[str]] = {}
        self.reversals: Counter[str] = Counter()

    def add(self, case: Case) -> None:
        people = [d for d in case.decisions if not d.automatic]
        clock = self._pack.clock(case.severity)
        # From the first look, which has its own time, to the request leaving.
        due = self._pack.due(self._pack.due(case.opened_at, clock.first_look), clock.dispatch)
        at = people[0].at if people else None
        late = (at or self._now) > due
        self.decided[case.severity.value][_word(late=late, done=at is not None)] += 1
        for row in people:
            self.reversals["reversed" if row.reversed_by else "stands"] += 1
        for asked in case.dispatches.values():
            self.partners.setdefault(asked.partner, Counter())[_outcome(asked)] += 1


def _word(*, late: bool, done: bool) -> str:
    if late:
        return "late"
    return "in_time" if done else "waiting"


def _outcome(row: DispatchRow) -> str:
    if row.withdrawn or row.state is DispatchState.WITHDRAWN:
        return "withdrawn"
    if row.state in ACTED:
        return "acted"
    match row.state:
        case DispatchState.REFUSED | DispatchState.NO_REPLY | DispatchState.FAILED:
            return row.state.value
        case _:
            return "waiting"
