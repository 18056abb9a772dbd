# SPDX-License-Identifier: Apache-2.0
"""What a data-protection officer reads: holds that stand, a case's reports, one text to redact.

Each look is audited. A text is opened as it was written only for whoever may unmask it and may view
it at all; for anybody else what was detected is blacked out, and can be blacked out for good.
"""

from collections import Counter
from dataclasses import dataclass

from wasl_chassis.work import UnitOfWork
from wasl_schemas.country_pack import CountryPack

from wasl_triage.audit.trail import audit, looked
from wasl_triage.cases.sheets import SHOWN_REPORTS
from wasl_triage.casework import NOTE, Hub, opened
from wasl_triage.desk import Desk, NoSuchCase, Refused, need
from wasl_triage.domain import signals
from wasl_triage.domain.case import Case
from wasl_triage.domain.people import Permission, Person
from wasl_triage.domain.second_look import closed
from wasl_triage.domain.signals import Found
from wasl_triage.protection.holds import HOLDS, Hold, Holds
from wasl_triage.protection.redaction import content_of
from wasl_triage.protection.retention import Retention
from wasl_triage.repository import CASES, REPORTS, Report

_HOLDS = 500
#: Lines of the dry run that are counted; beyond, the plan says that there are more.
LINES = 5_000


@dataclass(frozen=True, slots=True)
class Held:
    hold: Hold
    #: Why it was set, and why somebody asks to lift it.
    reason: str | None
    lifting: str | None


@dataclass(frozen=True, slots=True)
class HeldCase:
    """A case's holds, oldest first, and its newest reports, without texts."""

    case: Case
    holds: tuple[Held, ...]
    reports: tuple[Report, ...]


@dataclass(frozen=True, slots=True)
class Text:
    """``text``: as written, and ``found``: what was detected in it; or, ``masked``, already without
    what was detected.
    """

    case: Case
    report: Report
    text: str
    found: tuple[Found, ...]
    masked: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """Lines of the dry run by what and why it stays ("due": it does not)."""

    counts: dict[tuple[str, str, str], int]
    cut: bool


class Protected:
    def __init__(
        self, hub: Hub, pack: CountryPack, desk: Desk, holds: Holds, retention: Retention
    ) -> None:
        self._hub, self._pack, self._desk = hub, pack, desk
        self._holds, self._retention = holds, retention

    async def standing(self, person: Person) -> list[tuple[Hold, Case]]:
        """Holds that stand on cases the person sees, the one to be looked at first first."""
        need(person, Permission.PROTECT)
        docs = await self._hub.store.find(
            HOLDS, {"lifted_at": None}, sort=(("until", 1),), limit=_HOLDS
        )
        holds = [HOLDS.decode(d) for d in docs]
        cases = await self._hub.store.read(CASES, [h.case_id for h in holds])
        pairs = ((h, CASES.decode(cases[h.case_id])) for h in holds if h.case_id in cases)
        return [(h, c) for h, c in pairs if person.sees(c.queue, restricted=c.restricted)]

    async def of(self, person: Person, case_id: str) -> HeldCase:
        """Audited. Raises NoSuchCase, Forbidden."""
        holds = await self._holds.of(person, case_id)

        async def work(uow: UnitOfWork) -> HeldCase:
            case = await self._desk.case(uow, case_id, person)
            docs = await self._hub.store.find(
                REPORTS, {"cases": case.id}, sort=(("received_at", -1),), limit=SHOWN_REPORTS
            )
            await uow.keys.load([case.id])
            held = [
                Held(h, await opened(uow, h.reason, NOTE), await opened(uow, h.lift_reason, NOTE))
                for h in holds
            ]
            await looked(uow, person.name, "protection", "holds", case.id)
            return HeldCase(case, tuple(held), tuple(REPORTS.decode(d) for d in docs))

        return await self._hub.transact(work)

    async def text(self, person: Person, case_id: str, report_id: str) -> Text:
        """One report's text, to black out pieces of it. Audited and counted as a look.

        Raises NoSuchCase (also where there is no such report), Forbidden, Refused.
        """
        need(person, Permission.PROTECT)

        async def work(uow: UnitOfWork) -> Text:
            case = await self._desk.case(uow, case_id, person)
            report = await uow.get(REPORTS, report_id)
            if report is None or case.id not in report.cases:
                raise NoSuchCase
            if not await self._desk.wellbeing.allows(uow, person, case):
                raise Refused(
                    "Your budget for distressing cases is used up today", "Stop for today."
                )
            text = (await content_of(uow, report)).narrative
            found = signals.personal_data(text)
            masked = not person.may(Permission.UNMASK) or closed(self._pack, case, person.name)
            if masked:
                text = "" if closed(self._pack, case, person.name) else signals.redact(text, found)
            await self._desk.wellbeing.count(uow, person, case)
            audit(uow, case, person.name, "read_to_redact", report.id)
            uow.put(CASES, case)
            return Text(case, report, text, found, masked)

        return await self._hub.transact(work)

    async def plan(self, person: Person) -> Plan:
        """What retention would erase now, and what stops the rest. Nothing is changed."""
        need(person, Permission.PROTECT)
        counts: Counter[tuple[str, str, str]] = Counter()
        seen = 0
        lines = self._retention.plan()
        async for line in lines:
            if seen == LINES:
                break
            seen += 1
            counts[line.kind, line.data.value, line.stop.value if line.stop else "due"] += 1
        return Plan(dict(sorted(counts.items())), cut=seen == LINES)
