# SPDX-License-Identifier: Apache-2.0
"""Erases what the country pack's clocks say is over, and shows beforehand what that will be.

Contacts first, then texts (the report's data key is destroyed, as a withdrawal does), then the
records, helpline cases as a whole. Each commit also writes every case it relied on: whoever opens
or holds one meanwhile makes it fail. What was erased is audited and counted; the cases' figures
stay as counts.
"""

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Literal, get_args

from wasl_chassis.failures import Conflict
from wasl_chassis.store import Changes, Collection, Doc
from wasl_chassis.work import UnitOfWork
from wasl_schemas import topics
from wasl_schemas.country_pack import CountryPack
from wasl_schemas.events.report_expired_v1 import ExpiredData, ReportExpiredV1
from wasl_schemas.lifecycle import CASE

from wasl_triage import metrics as measure
from wasl_triage.audit.sealing import ENDS, SEALS, rows_of
from wasl_triage.audit.trail import AUDIT, HEADS, Head, Stream, audit, journal
from wasl_triage.care.helpline import HELPLINE, audited
from wasl_triage.casework import Hub
from wasl_triage.domain import retention
from wasl_triage.domain.case import CLOCK, Case
from wasl_triage.domain.helpline import HelplineCase
from wasl_triage.domain.retention import Data, Line, Rest, Stop, Thing
from wasl_triage.repository import (
    CASES,
    MESSAGES,
    PAST,
    PAST_FIGURES,
    REPORTS,
    Past,
    PastFigure,
    Report,
)

log = logging.getLogger(__name__)

Mode = Literal["off", "plan", "on"]
LEASE = timedelta(minutes=10)
#: Cases looked at in one turn; reports, and rows beside them, erased in one commit.
CASES_A_TURN = 50
REPORTS_A_COMMIT = 25
_ROWS_A_COMMIT = 500
_SETTLED = sorted(s.value for s in CASE.settled)


@dataclass(frozen=True, slots=True)
class Beside:
    """Documents that go with a report's text, or with a case. ``by``: their field with its id."""

    collection: Collection[Any]
    by: str


@dataclass(frozen=True, slots=True)
class Waits:
    """Documents that keep their case open while they are so, such as an appeal nobody answered."""

    collection: Collection[Any]
    by: str
    so: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Erased:
    """What one turn did. ``more``: there may be more to do at once; ``busy``: another process does
    it, and this turn did nothing.
    """

    lines: tuple[Line, ...]
    more: bool
    busy: bool = False


class Retention:
    """``with_text``: what goes with a report's text; ``with_notes``, ``with_case``: with a case's
    notes, and with the case; ``waits``: what keeps one open.
    """

    def __init__(
        self,
        hub: Hub,
        pack: CountryPack,
        *,
        holder: str,
        mode: Mode = "plan",
        with_text: Sequence[Beside] = (),
        with_notes: Sequence[Beside] = (),
        with_case: Sequence[Beside] = (),
        waits: Sequence[Waits] = (),
    ) -> None:
        self._hub = hub
        self._pack = pack
        self._holder = holder
        self._mode = mode
        self._with_text = (Beside(MESSAGES, "report_id"), *with_text)
        self._with_notes = tuple(with_notes)
        self._with_case = (*with_notes, *with_case)
        self._waits = tuple(waits)

    # -- looking -----------------------------------------------------------------------------------

    async def plan(self) -> AsyncIterator[Line]:
        """Every line of every settled case, of every report without one, and of every closed
        helpline case; nothing is changed.
        """
        store, now, last = self._hub.store, self._hub.clock.now(), ""
        while True:
            where = {"_id": {"$gt": last}, "state": {"$in": _SETTLED}}
            docs = await store.find(CASES, where, sort=(("_id", 1),), limit=200)
            for doc in docs:
                uow = self._hub.unit()
                for line in await self._lines(uow, uow.adopt(CASES, doc), now):
                    yield line
            if len(docs) < 200:
                break
            last = docs[-1]["_id"]
        for doc in await store.find(REPORTS, {"cases": []}, sort=(("received_at", 1),)):
            yield self._bare(REPORTS.decode(doc), now)
        last = ""
        while True:
            where = {"_id": {"$gt": last}, "state": "closed"}
            docs = await store.find(HELPLINE, where, sort=(("_id", 1),), limit=200)
            for doc in docs:
                helped = HELPLINE.decode(doc)
                yield self._helped(helped, (await self._linked(self._hub.unit(), helped))[0], now)
            if len(docs) < 200:
                break
            last = docs[-1]["_id"]

    async def _rest(self, uow: UnitOfWork, case: Case) -> tuple[Rest, list[Case]]:
        """The case with those it is worked with, and all the cases that says."""
        cases = [case]
        for other in filter(None, (case.lead, *case.followers)):
            found = await uow.get(CASES, other)
            cases += [found] if found is not None else []
        rests = [Rest(c.at_rest, c.held) for c in cases]
        ids = {"$in": [c.id for c in cases]}
        for waits in self._waits:
            where = {waits.by: ids, **waits.so}
            if await self._hub.store.find(waits.collection, where, limit=1):
                rests += [Rest(None)]
        return retention.together(rests), cases

    async def _rest_of(self, uow: UnitOfWork, report: Report) -> tuple[Rest, list[Case]]:
        rests, cases = [], []
        for case_id in report.cases:
            case = await uow.get(CASES, case_id)
            if case is not None:
                rest, beside = await self._rest(uow, case)
                rests.append(rest)
                cases += beside
        return retention.together(rests), cases

    async def _lines(self, uow: UnitOfWork, case: Case, now: datetime) -> list[Line]:
        lines, newest = [], case.opened_at
        async for page in self._reports(case.id):
            await self._load(uow, page)
            for report in page:
                newest = max(newest, report.received_at)
                rest, _ = await self._rest_of(uow, report)
                lines += self._of_report(report, rest, now)
        rest, _ = await self._rest(uow, case)
        return lines + self._of_case(case, rest, newest, now)

    def _of_report(self, report: Report, rest: Rest, now: datetime) -> list[Line]:
        wanted = [d for d in (Data.CONTACT, Data.TEXT) if d not in report.erased]
        if report.content is None and report.withdrawn_at is not None:
            wanted = []  # withdrawn: its key is destroyed already
        return [retention.judge(self._pack, _thing(report), d, rest, now) for d in wanted]

    def _of_case(self, case: Case, rest: Rest, newest: datetime, now: datetime) -> list[Line]:
        wanted = [Data.TEXT, Data.RECORD] if _has_notes(case) else [Data.RECORD]
        thing = Thing("case", case.id, newest)
        return [retention.judge(self._pack, thing, d, rest, now) for d in wanted]

    def _bare(self, report: Report, now: datetime) -> Line:
        """A report without a case: withdrawn, or never readable."""
        rest = Rest(report.received_at)
        return retention.judge(self._pack, _thing(report), Data.RECORD, rest, now)

    async def _load(self, uow: UnitOfWork, reports: Sequence[Report]) -> None:
        await uow.load(CASES, [c for r in reports for c in r.cases])

    async def _reports(self, case_id: str) -> AsyncIterator[list[Report]]:
        """The case's reports by pages, oldest first."""
        since, seen = datetime.min.replace(tzinfo=UTC), set[str]()
        while True:
            docs = await self._hub.store.find(
                REPORTS,
                {"cases": case_id, "received_at": {"$gte": since}},
                sort=(("received_at", 1),),
                limit=REPORTS_A_COMMIT + len(seen),
            )
            page = [REPORTS.decode(d) for d in docs if d["_id"] not in seen]
            if not page:
                return
            yield page
            last = page[-1].received_at
            # Only those of the last moment can come again.
            seen = {d["_id"] for d in docs if d["received_at"] == last} | (
                seen if last == since else set()
            )
            since = last

    # -- erasing -----------------------------------------------------------------------------------

    async def loop(self) -> bool:
        """One turn, as the setting allows. True: there is more."""
        metrics = self._hub.metrics
        for mode in get_args(Mode):
            metrics.set("wasl_triage_retention_mode", int(mode == self._mode), mode=mode)
        if self._mode == "off":
            return False
        await self.gauge()
        if self._mode == "plan":
            return False
        done = await self.turn()
        if not done.busy:
            now = self._hub.clock.now().timestamp()
            metrics.set("wasl_triage_retention_last_success_timestamp_seconds", now)
        return done.more

    async def gauge(self) -> None:
        now = self._hub.clock.now()
        count = self._hub.store.count
        due = await count(CASES, {"erase_at": {"$lte": now}})
        due += await count(HELPLINE, {"state": "closed", "erase_at": {"$lte": now}})
        self._hub.metrics.set("wasl_triage_retention_due", due)

    async def turn(self) -> Erased:
        """Look at the cases whose time has come and erase what is due and free."""
        hub, now = self._hub, self._hub.clock.now()
        if not await hub.store.lease("retention", self._holder, now=now, lease_for=LEASE):
            return Erased((), more=False, busy=True)
        docs = [
            *await hub.store.find(CASES, {"erase_at": {"$lte": now}}, limit=CASES_A_TURN),
            *await hub.store.find(CASES, {"erase_at": None, **_OLD}, limit=CASES_A_TURN),
        ]
        done: list[Line] = []
        for doc in docs:
            done += await self._case(doc["_id"], now)
        bare, more = await self._bare_reports(now)
        helped, beside = await self._helpline(now)
        done += [*bare, *helped]
        more |= beside
        more |= await self._audit(now)
        for data in Data:
            for kind in ("report", "case", "helpline"):
                count = sum((x.data, x.kind) == (data, kind) for x in done)
                word = kind if data is Data.RECORD and kind != "report" else data.value
                measure.record_erased(hub.metrics, word, count)
        if done:
            log.info("retention erased what was over", extra={"things": len(done)})
        return Erased(tuple(done), more or len(docs) >= CASES_A_TURN)

    async def _case(self, case_id: str, now: datetime) -> list[Line]:
        done: list[Line] = []
        left: list[Line] = []
        try:
            async for page in self._reports(case_id):
                ids = [r.id for r in page]
                lines = await self._hub.transact(
                    partial(self._some, case_id=case_id, ids=ids, now=now)
                )
                done += [x for x in lines if x.stop is None]
                left += [x for x in lines if x.stop not in (None, Stop.NO_CLOCK)]
            done += await self._whole(case_id, left, now)
        except Conflict:
            # Somebody works on it: it is looked at again in the next turn.
            log.info("a case was busy while retention looked at it", extra={"case_id": case_id})
        return done

    async def _some(
        self, uow: UnitOfWork, case_id: str, ids: Sequence[str], now: datetime
    ) -> list[Line]:
        """Contacts and texts of one page of reports."""
        await uow.load(REPORTS, ids)
        reports = [r for i in ids if (r := await uow.get(REPORTS, i)) is not None]
        await self._load(uow, reports)
        lines: list[Line] = []
        relied: dict[str, Case] = {}
        for report in reports:
            rest, cases = await self._rest_of(uow, report)
            mine = self._of_report(report, rest, now)
            lines += mine
            if due := [x.data for x in mine if x.stop is None]:
                relied |= {c.id: c for c in cases}
                await self._erase(uow, report, due)
        if not relied:
            return lines
        if (case := await uow.get(CASES, case_id)) is None:
            return []
        for data in (Data.CONTACT, Data.TEXT):
            if count := sum(x.data is data and x.stop is None for x in lines):
                audit(uow, case, CLOCK, f"erase_{data}", str(count))
        for other in {**relied, case.id: case}.values():
            uow.put(CASES, other)  # unchanged, but guarded: see the module
        return lines

    async def _erase(self, uow: UnitOfWork, report: Report, due: Sequence[Data]) -> None:
        now = uow.now()
        # The text takes the contact along: one key, one event.
        told = ExpiredData.TEXT if Data.TEXT in due else ExpiredData.CONTACT
        erased = {*report.erased, *(d.value for d in due)}
        gone = replace(report, erased=tuple(sorted(erased)))
        if Data.TEXT in due:
            gone = replace(gone, content=None, erased=(Data.CONTACT.value, Data.TEXT.value))
            await uow.keys.destroy(report.id)
            await self._beside(uow, self._with_text, report.id)
        uow.put(REPORTS, gone)
        self._tell(uow, report.id, told, now)

    async def _gone(self, uow: UnitOfWork, report_id: str) -> None:
        """The row, and what came after its text had gone."""
        await uow.keys.destroy(report_id)
        await self._beside(uow, self._with_text, report_id)
        await uow.delete(REPORTS, report_id)

    @staticmethod
    def _tell(uow: UnitOfWork, report_id: str, data: ExpiredData, now: datetime) -> None:
        uow.emit(
            topics.REPORT_EXPIRED_V1,
            ReportExpiredV1(report_id=report_id, data=data, expired_at=now),
        )

    async def _beside(self, uow: UnitOfWork, what: Sequence[Beside], key: str) -> None:
        for beside in what:
            for doc in await self._hub.store.find(beside.collection, {beside.by: key}):
                uow.adopt(beside.collection, doc)
                await uow.delete(beside.collection, doc["_id"])

    async def _whole(self, case_id: str, left: Sequence[Line], now: datetime) -> list[Line]:
        """The desk's notes, then the case itself with its reports' rows; or when to look next."""
        notes = partial(self._notes, case_id=case_id, left=left, now=now)
        lines = await self._hub.transact(notes)
        done = [x for x in lines if x.stop is None]
        if not any(x.data is Data.RECORD for x in done):
            return done
        async for page in self._reports(case_id):
            ids = [r.id for r in page]
            done += await self._hub.transact(
                partial(self._records, case_id=case_id, ids=ids, now=now)
            )
        gone = await self._hub.transact(partial(self._bury, case_id=case_id, now=now))
        return done if gone else [x for x in done if x.kind != "case" or x.data is not Data.RECORD]

    async def _notes(
        self, uow: UnitOfWork, case_id: str, left: Sequence[Line], now: datetime
    ) -> list[Line]:
        case = await uow.get(CASES, case_id)
        if case is None:
            return []
        rest, cases = await self._rest(uow, case)
        lines = self._of_case(case, rest, await self._newest(case), now)
        if left:  # a case goes after all of its reports' texts
            lines = [replace(x, stop=Stop.OPEN) if x.data is Data.RECORD else x for x in lines]
        if any(x.data is Data.TEXT and x.stop is None for x in lines):
            _drop_notes(case)
            await self._beside(uow, self._with_notes, case_id)
            audit(uow, case, CLOCK, "erase_notes")
        case.erase_at = None if case.held else retention.next_look([*left, *lines], now)
        for one in cases:
            uow.put(CASES, one)
        return lines

    async def _newest(self, case: Case) -> datetime:
        newest = await self._hub.store.find(
            REPORTS, {"cases": case.id}, sort=(("received_at", -1),), limit=1
        )
        return max(case.opened_at, newest[0]["received_at"] if newest else case.opened_at)

    async def _due(self, uow: UnitOfWork, case_id: str, now: datetime) -> list[Case] | None:
        """The case and those beside it, where its record is due and free still."""
        case = await uow.get(CASES, case_id)
        if case is None:
            return None
        rest, cases = await self._rest(uow, case)
        lines = self._of_case(case, rest, await self._newest(case), now)
        return cases if all(x.stop is None for x in lines if x.data is Data.RECORD) else None

    async def _records(
        self, uow: UnitOfWork, case_id: str, ids: Sequence[str], now: datetime
    ) -> list[Line]:
        cases = await self._due(uow, case_id, now)
        if cases is None:
            return []
        done = []
        await uow.load(REPORTS, ids)
        for i in ids:
            report = await uow.get(REPORTS, i)
            if report is None or case_id not in report.cases:
                continue
            others = tuple(c for c in report.cases if c != case_id)
            if others:
                uow.put(REPORTS, replace(report, cases=others))
                continue
            await self._gone(uow, i)
            self._tell(uow, i, ExpiredData.RECORD, now)
            done.append(Line("report", i, Data.RECORD, now, None))
        for one in cases:
            uow.put(CASES, one)
        return done

    async def _bury(self, uow: UnitOfWork, case_id: str, now: datetime) -> bool:
        cases = await self._due(uow, case_id, now)
        if cases is None or await self._hub.store.find(REPORTS, {"cases": case_id}, limit=1):
            return False
        case, *beside = cases
        for other in beside:
            other.followers.pop(case_id, None)
            other.lead = None if other.lead == case_id else other.lead
            uow.put(CASES, other)
        audit(uow, case, CLOCK, "erase_case")
        uow.put(
            PAST,
            Past(
                case_id=case.id,
                version=case.version,
                round=case.round,
                audit_seq=case.audit_seq,
                audit_hash=case.audit_hash,
                audit_at=case.audit_at,
                erased_at=now,
            ),
        )
        kind = "|".join(
            (
                case.opened_at.astimezone(UTC).strftime("%Y-%m"),
                case.category or "-",
                case.severity.value,
                case.state.value,
                case.platform,
            )
        )
        held = await uow.get(PAST_FIGURES, kind) or PastFigure(kind=kind)
        figure = {"cases": held.cases + 1, "reports": held.reports + case.reports}
        uow.put(PAST_FIGURES, held.model_copy(update=figure))
        await self._beside(uow, self._with_case, case_id)
        await uow.keys.destroy(case_id)
        await uow.delete(CASES, case_id)
        return True

    async def _bare_reports(self, now: datetime) -> tuple[list[Line], bool]:
        docs = await self._hub.store.find(
            REPORTS, {"cases": []}, sort=(("received_at", 1),), limit=_ROWS_A_COMMIT
        )
        due = [r.id for d in docs if self._bare(r := REPORTS.decode(d), now).stop is None]
        if not due:
            return [], False

        async def work(uow: UnitOfWork) -> list[Line]:
            await uow.load(REPORTS, due)
            done = []
            for i in due:
                report = await uow.get(REPORTS, i)
                if report is not None and not report.cases:
                    await self._gone(uow, i)
                    self._tell(uow, i, ExpiredData.RECORD, now)
                    done.append(Line("report", i, Data.RECORD, now, None))
            await journal(uow, Stream.RETENTION, CLOCK, "erase_records", str(len(done)))
            return done

        return await self._hub.transact(work), len(due) == _ROWS_A_COMMIT

    # -- the helpline ------------------------------------------------------------------------------

    async def _helpline(self, now: datetime) -> tuple[list[Line], bool]:
        """Closed helpline cases whose time has come; those of before they had a clock, too."""
        store, limit = self._hub.store, CASES_A_TURN
        docs = [
            *await store.find(
                HELPLINE, {"state": "closed", "erase_at": {"$lte": now}}, limit=limit
            ),
            *await store.find(HELPLINE, {"state": "closed", "erase_at": None}, limit=limit),
        ]
        done: list[Line] = []
        for doc in docs:
            work = partial(self._helpline_case, case_id=doc["_id"], now=now)
            try:
                line = await self._hub.transact(work)
            except Conflict:
                log.info("a helpline case was busy while retention looked at it")
                continue
            if line is not None and line.stop is None:
                done.append(line)
        return done, len(docs) >= limit

    async def _helpline_case(self, uow: UnitOfWork, case_id: str, now: datetime) -> Line | None:
        case = await uow.get(HELPLINE, case_id)
        if case is None or case.state != "closed":
            return None
        held, linked = await self._linked(uow, case)
        line = self._helped(case, held, now)
        for other in linked:
            uow.put(CASES, other)  # unchanged, but guarded: see the module
        if line.stop is not None:
            look = retention.next_look([line], now)
            uow.put(HELPLINE, case.model_copy(update={"erase_at": look}))
            return line
        case = audited(uow, case, CLOCK, "erase_case")
        tail = {"seq": case.audit_seq, "hash": case.audit_hash, "at": case.audit_at}
        uow.put(HEADS, Head.model_validate({"stream": case.id, **tail}))
        await uow.keys.destroy(case.id)
        await uow.delete(HELPLINE, case.id)
        return line

    async def _linked(self, uow: UnitOfWork, case: HelplineCase) -> tuple[bool, list[Case]]:
        """The content cases it names, itself or by a report; and whether one of them is held."""
        ids = dict.fromkeys(case.linked)
        for report in (await self._hub.store.read(REPORTS, list(ids))).values():
            ids |= dict.fromkeys(REPORTS.decode(report).cases)
        found = [c for i in ids if (c := await uow.get(CASES, i)) is not None]
        return any(c.held for c in found), found

    def _helped(self, case: HelplineCase, held: bool, now: datetime) -> Line:
        thing = Thing("helpline", case.id, case.opened_at)
        return retention.judge(self._pack, thing, Data.RECORD, Rest(case.closed_at, held), now)

    # -- the audit trail ---------------------------------------------------------------------------

    async def _audit(self, now: datetime) -> bool:
        """Rows of the oldest day, once its time is over, it is sealed, and no held case is as old.

        True: there may be another day.
        """
        store = self._hub.store
        oldest = await store.find(AUDIT, {"at": {"$exists": True}}, sort=(("at", 1),), limit=1)
        if not oldest:
            return False
        at = AUDIT.decode(oldest[0]).at.astimezone(UTC)
        end = at.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        if not retention.audit_over(self._pack, end, now):
            return False
        day = at.date().isoformat()
        held = {"held": True, "opened_at": {"$lt": end}}
        if not await store.read(SEALS, [day]) or await store.find(CASES, held, limit=1):
            return False
        rows = [r.id for r in await rows_of(store, at.date())]
        for n in range(0, len(rows), _ROWS_A_COMMIT):
            await self._forget(
                AUDIT, list((await store.read(AUDIT, rows[n : n + _ROWS_A_COMMIT])).values())
            )
        ends = await store.find(ENDS, {"_id": {"$gte": f"{day}|", "$lt": f"{day}}}"}})
        await self._forget(ENDS, ends)
        await self._forget(HEADS, await store.find(HEADS, {"at": {"$lt": end}}))
        measure.record_erased(self._hub.metrics, "audit", len(rows))
        await self._hub.transact(
            lambda uow: journal(uow, Stream.RETENTION, CLOCK, "erase_audit", day)
        )
        return True

    async def _forget(self, collection: Collection[Any], docs: Sequence[Doc]) -> None:
        """Each delete is guarded by the revision: what is written meanwhile stays."""
        pairs = [(d["_id"], d["_rev"]) for d in docs]
        if pairs:
            await self._hub.store.commit(Changes(deletes={collection: pairs}))


#: Cases of before there was retention; an open or held one has no time to look either.
_OLD = {"state": {"$in": _SETTLED}, "held": False}


def _thing(report: Report) -> Thing:
    return Thing("report", report.id, report.received_at)


def _has_notes(case: Case) -> bool:
    said = case.assessment
    return bool(
        (said is not None and said.note)
        or case.plan
        or any(d.proposal for d in case.decisions)
        or any(r.notes for r in case.dispatches.values())
    )


def _drop_notes(case: Case) -> None:
    """What the desk wrote about it. Who decided what, when and on which ground stays."""
    if case.assessment is not None:
        case.assessment.note = None
    case.plan = None
    for decision in case.decisions:
        decision.proposal = None
    for row in case.dispatches.values():
        row.notes = ()
