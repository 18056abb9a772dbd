# SPDX-License-Identifier: Apache-2.0
"""Some reports about an item speak of something else: they become a case of their own, and back.

The new case is announced as any other, so a reporter's receipt follows by the events it knows. What
a split takes apart stays for cleared people on both sides if it was for them before.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from wasl_chassis.work import UnitOfWork
from wasl_schemas import topics
from wasl_schemas.country_pack import CountryPack
from wasl_schemas.events.case_opened_v1 import CaseOpenedV1
from wasl_schemas.events.case_updated_v1 import CaseChange
from wasl_schemas.lifecycle import CaseState

from wasl_triage.audit.trail import audit
from wasl_triage.cases.grouped import keep_together
from wasl_triage.cases.grouping import (
    Kind,
    Operation,
    free,
    held,
    live,
    operation,
    reasoned,
    undone,
)
from wasl_triage.casework import ITEM, Hub, announce, count_in, count_out
from wasl_triage.desk import Desk, NotLawful, Refused, need
from wasl_triage.domain import clocks
from wasl_triage.domain.case import Case
from wasl_triage.domain.decisions import Missing
from wasl_triage.domain.grouping import may_join_again, may_split
from wasl_triage.domain.people import Permission, Person
from wasl_triage.domain.severity import Scales
from wasl_triage.repository import CASES, REPORTS, Report

#: Why a case that was split off is closed when its reports went back.
SPLIT_UNDONE = "split_undone"


def part_id(case_id: str, n: int) -> str:
    """The id of the ``n``-th case split off, from 1; nobody can tell from it what it is about."""
    return hashlib.sha256(f"{case_id}|split|{n}".encode()).hexdigest()[:32]


class Splitting:
    def __init__(self, hub: Hub, pack: CountryPack, desk: Desk) -> None:
        self._hub = hub
        self._pack = pack
        self._desk = desk
        self._scales = Scales(pack)

    async def split(
        self, person: Person, case_id: str, report_ids: Sequence[str], reason: str
    ) -> Operation:
        """Let these reports of the case, which the person holds, be a case of the same item. Later
        reports about it join the first. Raises NoSuchCase, Forbidden, NotLawful, Refused.
        """
        need(person, Permission.MERGE)
        reasoned(reason)

        async def work(uow: UnitOfWork) -> Operation:
            case = await held(self._desk, uow, person, case_id)
            reports = await self._reports(uow, case, report_ids)
            if why := may_split(case, len(reports)):
                raise Refused(*why)
            case.stay_restricted(uow.now())
            case.splits += 1
            for report in reports:
                self._out(uow, case, report)
            part = await self._opened(uow, case, reports)
            for report in reports:
                _move(uow, report, case.id, part.id)
            moved = tuple(r.id for r in reports)
            cases = (case.id, part.id)
            done = await operation(uow, Kind.SPLIT, cases, person, reason, reports=moved)
            audit(uow, part, person.name, "split", case.id)
            audit(uow, case, person.name, "split", part.id)
            await self._settled(uow, case)
            await self._settled(uow, part)
            return done

        return await self._hub.transact(work)

    async def undo(self, person: Person, operation_id: str) -> Operation:
        """Let the reports that are still there go back; the person holds the case they came from.
        Raises NoSuchCase, Refused: once one of the cases was decided, or parted again.
        """
        need(person, Permission.MERGE)

        async def work(uow: UnitOfWork) -> Operation:
            done = await live(self._desk, uow, person, operation_id, Kind.SPLIT)
            case = await held(self._desk, uow, person, done.cases[0])
            part = await free(self._desk, uow, person, done.cases[1])
            if why := may_join_again(case, part, done.at):
                raise Refused(*why)
            await uow.load(REPORTS, done.reports)
            case.stay_restricted(uow.now())
            part.stay_restricted(uow.now())
            for report_id in done.reports:
                report = await uow.get(REPORTS, report_id)
                if report is None or report.withdrawn_at is not None:
                    continue
                if part.id not in report.cases:
                    raise Refused("A report was split off again", "Undo that split first.")
                self._out(uow, part, report)
                count_in(self._pack, case, report)
                announce(uow, case, CaseChange.REPORT_JOINED, report_id=report.id)
                _move(uow, report, part.id, case.id)
            if part.state is not CaseState.CLOSED:
                part.move("close", uow.now())
                part.end(SPLIT_UNDONE)
                announce(uow, part, CaseChange.CLOSED, reason=SPLIT_UNDONE)
            case.restricted_since = _later(case, part)
            audit(uow, part, person.name, "undo_split", case.id)
            audit(uow, case, person.name, "undo_split", part.id)
            await self._settled(uow, case)
            await self._settled(uow, part)
            return undone(uow, done, person)

        return await self._hub.transact(work)

    # -- inside ----------------------------------------------------------------------------------

    async def _reports(
        self, uow: UnitOfWork, case: Case, report_ids: Sequence[str]
    ) -> list[Report]:
        ids = list(dict.fromkeys(report_ids))
        await uow.load(REPORTS, ids)
        reports = [r for i in ids if (r := await uow.get(REPORTS, i)) and case.id in r.cases]
        if len(reports) != len(ids):
            raise NotLawful(
                [Missing("reports", "names one that is not in the case", "Use those it lists.")]
            )
        return reports

    async def _opened(self, uow: UnitOfWork, case: Case, reports: Sequence[Report]) -> Case:
        """The case of these reports, about the same item, under a key of its own."""
        now = uow.now()
        case_id = part_id(case.id, case.splits)
        uow.keys.create(case_id)
        part = Case(
            id=case_id,
            platform=case.platform,
            kind=case.kind,
            item=await uow.keys.seal(case_id, ITEM, await uow.keys.open(case.item, ITEM)),
            language=reports[0].language,
            opened_at=now,
            round_at=now,
            first_look_due=now,
            located=case.located,
            has_url=case.has_url,
            needs_expansion=case.needs_expansion,
            hosted=case.hosted,
            hoster=case.hoster,
            restricted_since=case.restricted_since,
            # What rules said of the item holds for all of its cases, and the graver of it.
            ruled=case.ruled,
            classified=case.classified,
            ruled_hold=case.ruled_hold,
            flags=case.flags,
            rules=case.rules,
        )
        for report in reports:
            count_in(self._pack, part, report)
        part.weigh(self._pack, self._scales, now)
        part.first_look_due = clocks.first_look_due(self._pack, part.severity, now)
        if case.look_pending:  # a split buys nobody time
            part.first_look_due = min(part.first_look_due, case.first_look_due)
        part.version = 1
        uow.emit(
            topics.CASE_OPENED_V1,
            CaseOpenedV1(
                case_id=part.id,
                version=1,
                report_id=reports[0].id,
                category=part.category,
                severity=part.severity,
                platform=part.platform,
                item_kind=part.kind,
                opened_at=now,
                first_look_due=part.first_look_due,
            ),
        )
        for report in reports[1:]:
            announce(uow, part, CaseChange.REPORT_JOINED, report_id=report.id)
        return part

    async def _settled(self, uow: UnitOfWork, case: Case) -> None:
        case.weigh(self._pack, self._scales, uow.now())
        case.place(self._pack, uow.now())
        uow.put(CASES, case)
        await keep_together(uow, self._pack, case)

    def _out(self, uow: UnitOfWork, case: Case, report: Report) -> None:
        count_out(self._pack, case, report)
        announce(uow, case, CaseChange.REPORT_LEFT, report_id=report.id)


def _move(uow: UnitOfWork, report: Report, away: str, to: str) -> None:
    cases = tuple(to if c == away else c for c in report.cases)
    uow.put(REPORTS, replace(report, cases=cases))


def _later(case: Case, part: Case) -> datetime | None:
    """Since when both are for cleared people; what comes back brings its restriction along."""
    return max((t for t in (case.restricted_since, part.restricted_since) if t), default=None)
