# SPDX-License-Identifier: Apache-2.0
"""Redaction for good: pieces of a report's text are replaced and the text is sealed anew.

The hub keeps the original only while a legal hold stands over the report, under the hold's key. The
redaction is told to intake, which replaces its copy. What left before stays where it went: the
event log until its retention is over, a referral's package, a partner's copy.
"""

from dataclasses import dataclass, replace

from pydantic import Field, model_validator
from wasl_chassis.failures import KeyDestroyed
from wasl_chassis.work import UnitOfWork
from wasl_schemas import topics
from wasl_schemas.base import Model
from wasl_schemas.events.report_redacted_v1 import ReportRedactedV1
from wasl_schemas.events.report_submitted_v1 import ReportContent
from wasl_schemas.ids import ReportId

from wasl_triage.audit.trail import audit
from wasl_triage.casework import CONTENT, Hub
from wasl_triage.desk import Desk, Refused, need
from wasl_triage.domain import signals
from wasl_triage.domain.people import Permission, Person
from wasl_triage.protection.holds import keep_original
from wasl_triage.repository import CASES, REPORTS, Report

#: What stands in the text instead of a piece that a person chose.
REMOVED = "[removed]"


class Piece(Model):
    """``text[start:end]``, in characters (code points) of the report's text as it is."""

    start: int = Field(ge=0)
    end: int = Field(ge=1)

    @model_validator(mode="after")
    def _not_empty(self) -> "Piece":
        if self.end <= self.start:
            raise ValueError("'end' must be greater than 'start'")
        return self


class RedactionRequest(Model):
    """``pieces``: what to black out; ``detected``: the identifiers the hub finds, too."""

    report_id: ReportId
    pieces: tuple[Piece, ...] = Field(default=(), max_length=200)
    detected: bool = False


@dataclass(frozen=True, slots=True)
class Redacted:
    """``under_holds``: how many holds keep the original."""

    report: Report
    pieces: int
    under_holds: int


class Redaction:
    def __init__(self, hub: Hub, desk: Desk) -> None:
        self._hub = hub
        self._desk = desk

    async def redact(self, person: Person, case_id: str, wanted: RedactionRequest) -> Redacted:
        """Black out pieces of one report of the case. Raises NoSuchCase, Forbidden, Refused."""
        need(person, Permission.PROTECT)

        async def work(uow: UnitOfWork) -> Redacted:
            case = await self._desk.case(uow, case_id, person)
            report = await uow.get(REPORTS, wanted.report_id)
            if report is None or case.id not in report.cases:
                raise Refused("The case has no such report", "Take an id from the case's sheet.")
            content = await self._content(uow, report)
            narrative, count = redacted(content.narrative, wanted)
            if not count:
                raise Refused("There is nothing to black out", "Name pieces of the text.")
            held = await keep_original(self._hub, uow, report, content.model_dump_json())
            content = content.model_copy(update={"narrative": narrative})
            sealed = await uow.keys.seal(report.id, CONTENT, content.model_dump_json())
            found = signals.kinds(signals.personal_data(narrative))
            report = replace(report, content=sealed, personal=found, redacted_at=uow.now())
            uow.put(REPORTS, report)
            uow.emit(
                topics.REPORT_REDACTED_V1,
                ReportRedactedV1(report_id=report.id, redacted_at=uow.now(), content=sealed),
            )
            audit(uow, case, person.name, "redact", report.id)
            uow.put(CASES, case)
            return Redacted(report, count, held)

        return await self._hub.transact(work)

    @staticmethod
    async def _content(uow: UnitOfWork, report: Report) -> ReportContent:
        if report.content is None:
            raise Refused("The report has no text any more", "Nothing is left to black out.")
        try:
            text = await uow.keys.open(report.content, CONTENT)
        except KeyDestroyed:
            raise Refused(
                "The report has no text any more", "Nothing is left to black out."
            ) from None
        return ReportContent.model_validate_json(text, extra="ignore")


def redacted(text: str, wanted: RedactionRequest) -> tuple[str, int]:
    """The text with the pieces replaced, and how many there were. Pieces that overlap are one, and
    one that a person chose covers what was detected in it. Raises Refused.
    """
    spans = [(p.start, p.end, REMOVED) for p in wanted.pieces]
    if any(end > len(text) for _, end, _ in spans):
        raise Refused("A piece reaches beyond the text", "Count in characters of the text as read.")
    if wanted.detected:
        spans += [(f.start, f.end, f"[{f.kind.value}]") for f in signals.personal_data(text)]
    merged: list[tuple[int, int, str]] = []
    for start, end, word in sorted(spans):
        if merged and start < merged[-1][1]:
            before = merged[-1]
            both = word if word == before[2] else REMOVED
            merged[-1] = (before[0], max(end, before[1]), both)
        else:
            merged.append((start, end, word))
    out, at = [], 0
    for start, end, word in merged:
        out += [text[at:start], word]
        at = end
    return "".join([*out, text[at:]]), len(merged)
