# SPDX-License-Identifier: Apache-2.0
"""A case with its texts opened, for one person, for one look.

Identifiers of a known form are blacked out unless asked for. What a second person must not know or
view yet is not in the sheet, and is not even opened.
"""

from dataclasses import dataclass

from wasl_chassis.store import Store
from wasl_chassis.work import UnitOfWork
from wasl_schemas.country_pack import CountryPack
from wasl_schemas.events.dispatch_requested_v1 import DispatchItem
from wasl_schemas.events.report_submitted_v1 import ReportContent
from wasl_schemas.taxonomy import Signal

from wasl_triage.casework import CONTENT, ITEM, MESSAGE, NOTE, opened
from wasl_triage.domain import second_look, signals
from wasl_triage.domain.case import Case
from wasl_triage.domain.decisions import Proposal
from wasl_triage.domain.severity import Scales
from wasl_triage.repository import MESSAGES, REPORTS, Message, Report

SHOWN_REPORTS = 20


@dataclass(frozen=True, slots=True)
class ReportLine:
    """A report as the desk reads it. ``narrative`` is None once it was erased, or is not shown."""

    report: Report
    narrative: str | None


@dataclass(frozen=True, slots=True)
class MessageLine:
    message: Message
    text: str | None


@dataclass(frozen=True, slots=True)
class Sheet:
    """One case, opened. ``case`` is the case as the reader may know it."""

    case: Case
    signals: frozenset[Signal]
    item: DispatchItem | None
    reports: tuple[ReportLine, ...]
    messages: tuple[MessageLine, ...]
    #: Reasons by decision, and the assessment's note under "assessment".
    notes: dict[str, str]
    #: All that was proposed, by decision.
    proposals: dict[str, Proposal]
    #: What the first person said is kept back until the reader has judged.
    blinded: bool = False
    #: No text is shown: nobody views this a second time.
    closed: bool = False


class Sheets:
    def __init__(self, store: Store, pack: CountryPack, scales: Scales) -> None:
        self._store = store
        self._pack = pack
        self._scales = scales

    async def open(
        self,
        uow: UnitOfWork,
        case: Case,
        reader: str,
        *,
        unredacted: bool = False,
        closed: bool = False,
    ) -> Sheet:
        """The case for ``reader``, a person's name. ``closed``: without texts whoever reads. The
        caller audits the look.
        """
        closed = closed or second_look.closed(self._pack, case, reader)
        blinded = second_look.blinded(self._pack, case, reader)
        seen = second_look.as_seen(self._pack, self._scales, case, reader)
        docs = await self._store.find(
            REPORTS, {"cases": case.id}, sort=(("received_at", -1),), limit=SHOWN_REPORTS
        )
        reports = [REPORTS.decode(d) for d in docs]
        ids = [r.id for r in reports]
        letters = [] if closed else await self._letters(ids)
        await uow.keys.load([case.id] if closed else [case.id, *ids])
        item = await opened(uow, case.item, ITEM)
        lines = []
        for report in reports:
            text = None if closed else await opened(uow, report.content, CONTENT)
            narrative = text and ReportContent.model_validate_json(text, extra="ignore").narrative
            lines.append(ReportLine(report, _shown(narrative, unredacted=unredacted)))
        messages = [
            MessageLine(m, _shown(await opened(uow, m.body, MESSAGE), unredacted=unredacted))
            for m in letters
        ]
        proposals = {
            d.id: Proposal.model_validate_json(text, extra="ignore")
            for d in seen.decisions
            if (text := await opened(uow, d.proposal, NOTE))
        }
        notes = {key: proposal.reason for key, proposal in proposals.items()}
        if seen.assessment and (note := await opened(uow, seen.assessment.note, NOTE)):
            notes["assessment"] = note
        return Sheet(
            case=seen,
            signals=seen.signals(self._scales),
            item=DispatchItem.model_validate_json(item) if item else None,
            reports=tuple(lines),
            messages=tuple(messages),
            notes=notes,
            proposals=proposals,
            blinded=blinded,
            closed=closed,
        )

    async def _letters(self, reports: list[str]) -> list[Message]:
        docs = await self._store.find(
            MESSAGES, {"report_id": {"$in": reports}}, sort=(("sent_at", 1),), limit=200
        )
        return [MESSAGES.decode(d) for d in docs]


def _shown(text: str | None, *, unredacted: bool) -> str | None:
    if text is None or unredacted:
        return text
    return signals.redact(text, signals.personal_data(text))
