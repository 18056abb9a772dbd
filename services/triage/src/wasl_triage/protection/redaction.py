# SPDX-License-Identifier: Apache-2.0
"""Redaction for good: pieces of a report's text, of a message of its thread or of a note of the
desk are replaced and the text is sealed anew.

The hub keeps the original only while a legal hold stands over it, under the hold's key. What intake
has, too, is told to it, and it replaces its copy. What left before stays where it went: the event
log until its retention is over, a referral's package, a partner's copy.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from pydantic import Field, model_validator
from wasl_chassis.work import UnitOfWork
from wasl_schemas import topics
from wasl_schemas.base import Model
from wasl_schemas.events.report_redacted_v1 import RedactedMessage, ReportRedactedV1
from wasl_schemas.events.report_submitted_v1 import ReportContent
from wasl_schemas.ids import MessageId, ReportId

from wasl_triage.audit.trail import audit
from wasl_triage.cases.working import NOTES
from wasl_triage.casework import CONTENT, MESSAGE, NOTE, Hub, opened
from wasl_triage.desk import Desk, Refused, need
from wasl_triage.domain import signals
from wasl_triage.domain.case import Case
from wasl_triage.domain.people import Permission, Person
from wasl_triage.protection.holds import keep_original, keep_originals
from wasl_triage.repository import CASES, MESSAGES, REPORTS, Report

#: What stands in the text instead of a piece that a person chose.
REMOVED = "[removed]"


class Piece(Model):
    """``text[start:end]``, in characters (code points) of the text as it is."""

    start: int = Field(ge=0)
    end: int = Field(ge=1)

    @model_validator(mode="after")
    def _not_empty(self) -> "Piece":
        if self.end <= self.start:
            raise ValueError("'end' must be greater than 'start'")
        return self


class RedactionRequest(Model):
    """Of a report's text, of one message of its thread (``message_id``, too), or of one note of the
    desk (``note_id`` alone). ``pieces``: what to black out; ``detected``: the identifiers the hub
    finds, too.
    """

    report_id: ReportId | None = None
    message_id: MessageId | None = None
    #: As the case's timeline names it.
    note_id: MessageId | None = None
    pieces: tuple[Piece, ...] = Field(default=(), max_length=200)
    detected: bool = False

    @model_validator(mode="after")
    def _one_text(self) -> "RedactionRequest":
        if (self.note_id is None) == (self.report_id is None):
            raise ValueError("expected 'report_id', alone or with 'message_id', or 'note_id'")
        if self.message_id is not None and self.report_id is None:
            raise ValueError("'message_id' needs 'report_id'")
        return self


@dataclass(frozen=True, slots=True)
class Redacted:
    """``under_holds``: how many holds keep the original."""

    at: datetime
    pieces: int
    under_holds: int


class Redaction:
    def __init__(self, hub: Hub, desk: Desk) -> None:
        self._hub = hub
        self._desk = desk

    async def redact(self, person: Person, case_id: str, wanted: RedactionRequest) -> Redacted:
        """Black out pieces of one text of the case. Raises NoSuchCase, Forbidden, Refused."""
        need(person, Permission.PROTECT)

        async def work(uow: UnitOfWork) -> Redacted:
            case = await self._desk.case(uow, case_id, person)
            if wanted.note_id is not None:
                done, what = await self._note(uow, case, wanted, wanted.note_id), wanted.note_id
                audit(uow, case, person.name, "redact_note", what)
            else:
                report = await self._report(uow, case, wanted.report_id or "")
                if wanted.message_id is not None:
                    done = await self._message(uow, report, wanted, wanted.message_id)
                    audit(uow, case, person.name, "redact_message", wanted.message_id)
                else:
                    done = await self._text(uow, report, wanted)
                    audit(uow, case, person.name, "redact", report.id)
            uow.put(CASES, case)
            return done

        return await self._hub.transact(work)

    async def _text(self, uow: UnitOfWork, report: Report, wanted: RedactionRequest) -> Redacted:
        content = await content_of(uow, report)
        narrative, count = _some(content.narrative, wanted)
        held = await keep_original(self._hub, uow, report, content.model_dump_json())
        content = content.model_copy(update={"narrative": narrative})
        sealed = await uow.keys.seal(report.id, CONTENT, content.model_dump_json())
        found = signals.kinds(signals.personal_data(narrative))
        uow.put(REPORTS, replace(report, content=sealed, personal=found, redacted_at=uow.now()))
        self._tell(uow, report.id, sealed)
        return Redacted(uow.now(), count, held)

    async def _message(
        self, uow: UnitOfWork, report: Report, wanted: RedactionRequest, message_id: str
    ) -> Redacted:
        message = await uow.get(MESSAGES, message_id)
        if message is None or message.report_id != report.id:
            raise Refused("The report has no such message", "Take an id from the case's sheet.")
        text = await opened(uow, message.body, MESSAGE)
        if text is None or report.content is None:
            raise Refused("The message has no text any more", "Nothing is left to black out.")
        left, count = _some(text, wanted)
        held = await keep_originals(
            self._hub, uow, report.cases, message.id, text, report_id=report.id
        )
        body = await uow.keys.seal(report.id, MESSAGE, left)
        uow.put(MESSAGES, replace(message, body=body))
        told = RedactedMessage(
            message_id=message.id,
            by_staff=message.by is not None,
            sent_at=message.sent_at,
            question=message.question,
            body=body,
        )
        self._tell(uow, report.id, report.content, told)
        return Redacted(uow.now(), count, held)

    async def _note(
        self, uow: UnitOfWork, case: Case, wanted: RedactionRequest, note_id: str
    ) -> Redacted:
        note = await uow.get(NOTES, note_id)
        if note is None or note.case_id != case.id:
            raise Refused("The case has no such note", "Take an id from the case's timeline.")
        text = await opened(uow, note.body, NOTE)
        if text is None:
            raise Refused("The note has no text any more", "Nothing is left to black out.")
        left, count = _some(text, wanted)
        held = await keep_originals(self._hub, uow, [case.id], note.id, text)
        uow.put(NOTES, replace(note, body=await uow.keys.seal(case.id, NOTE, left)))
        return Redacted(uow.now(), count, held)

    @staticmethod
    async def _report(uow: UnitOfWork, case: Case, report_id: str) -> Report:
        report = await uow.get(REPORTS, report_id)
        if report is None or case.id not in report.cases:
            raise Refused("The case has no such report", "Take an id from the case's sheet.")
        return report

    @staticmethod
    def _tell(
        uow: UnitOfWork, report_id: str, content: str, message: RedactedMessage | None = None
    ) -> None:
        uow.emit(
            topics.REPORT_REDACTED_V1,
            ReportRedactedV1(
                report_id=report_id, redacted_at=uow.now(), content=content, message=message
            ),
        )


async def content_of(uow: UnitOfWork, report: Report) -> ReportContent:
    """What the reporter sent, opened. Raises Refused where it is erased."""
    text = await opened(uow, report.content, CONTENT)
    if text is None:
        raise Refused("The report has no text any more", "Nothing is left to black out.")
    return ReportContent.model_validate_json(text, extra="ignore")


def _some(text: str, wanted: RedactionRequest) -> tuple[str, int]:
    """:func:`redacted`, of at least one piece. Raises Refused."""
    left, count = redacted(text, wanted)
    if not count:
        raise Refused("There is nothing to black out", "Name pieces of the text.")
    return left, count


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
