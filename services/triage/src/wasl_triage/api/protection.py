# SPDX-License-Identifier: Apache-2.0
"""The rooms of the desk's API for data protection: holds, redaction, requests of data subjects.

As in ``http.py``: nothing here decides, no answer repeats what was sent, and every refusal is a
problem (RFC 9457).
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import Depends, FastAPI
from wasl_schemas.base import Model
from wasl_schemas.country_pack import CountryPack

from wasl_triage.api.cases import Door
from wasl_triage.api.quality import AMonth, TableView
from wasl_triage.casework import Hub
from wasl_triage.desk import Desk
from wasl_triage.domain.people import Person
from wasl_triage.protection.holds import Hold, HoldRequest, Holds, LiftRequest
from wasl_triage.protection.redaction import Redaction, RedactionRequest
from wasl_triage.protection.subject_requests import (
    Kind,
    Registration,
    State,
    StepRequest,
    SubjectRequest,
    SubjectRequests,
)
from wasl_triage.quality.figures import Figures


class HoldView(Model):
    hold_id: str
    case_id: str
    body: str
    by: str
    since: datetime
    until: datetime
    lift_asked_by: str | None
    lift_asked_at: datetime | None
    lifted_by: str | None
    lifted_at: datetime | None
    stands: bool


class HoldList(Model):
    holds: list[HoldView]


class RedactionView(Model):
    """``under_holds``: how many holds keep the original; 0: the hub keeps none."""

    report_id: str | None
    message_id: str | None
    note_id: str | None
    redacted_at: datetime
    pieces: int
    under_holds: int


class StepView(Model):
    state: State
    by: str
    at: datetime
    note: str | None


class SubjectRequestView(Model):
    """``identity``, ``text`` and notes: only where one request is read."""

    request_id: str
    kind: Kind
    channel: str
    received_at: datetime
    registered_by: str
    due: datetime | None
    overdue: bool
    state: State
    case_id: str | None
    report_id: str | None
    closed_at: datetime | None
    steps: list[StepView]
    identity: str | None = None
    text: str | None = None


class Register(Model):
    requests: list[SubjectRequestView]


class RegisterFigures(Model):
    """Requests that came in the month: by kind, and by their clock (in_time, late, waiting)."""

    month: str
    kinds: TableView
    answers: TableView


@dataclass(frozen=True, slots=True)
class ProtectionRooms:
    hub: Hub
    holds: Holds
    redaction: Redaction
    subjects: SubjectRequests
    figures: Figures

    @classmethod
    def of(cls, hub: Hub, pack: CountryPack, desk: Desk) -> "ProtectionRooms":
        holds, subjects = Holds(hub, pack, desk), SubjectRequests(hub, pack)
        return cls(hub, holds, Redaction(hub, desk), subjects, Figures(hub, pack))


#: Bodies the routes read themselves, for the API's own description.
BODIES: tuple[type[Model], ...] = (
    HoldRequest,
    LiftRequest,
    RedactionRequest,
    Registration,
    StepRequest,
)


def add_protection_routes(app: FastAPI, rooms: ProtectionRooms, door: Door) -> None:
    """Every route of :class:`ProtectionRooms`; ``app`` handles the desk's refusals."""
    Who = Annotated[Person, Depends(door.who)]  # noqa: N806  a type
    CaseId = Annotated[str, Depends(door.case_id)]  # noqa: N806
    reader, takes = door.reader, door.takes
    holds, subjects, clock = rooms.holds, rooms.subjects, rooms.hub.clock

    @app.get("/api/v1/cases/{case_id}/holds")
    async def held(person: Who, case_id: CaseId) -> HoldList:
        """The case's legal holds, lifted ones included."""
        return HoldList(holds=[_hold(h) for h in await holds.of(person, case_id)])

    @app.post("/api/v1/cases/{case_id}/holds", openapi_extra=takes(HoldRequest))
    async def hold(
        person: Who, case_id: CaseId, body: Annotated[HoldRequest, Depends(reader(HoldRequest))]
    ) -> HoldView:
        """Set a legal hold: the hub erases nothing of the case until two people have lifted it."""
        return _hold(await holds.set(person, case_id, body))

    @app.post("/api/v1/holds/{hold_id}/lifting", openapi_extra=takes(LiftRequest))
    async def lift(
        person: Who, hold_id: str, body: Annotated[LiftRequest, Depends(reader(LiftRequest))]
    ) -> HoldView:
        """Ask for a hold to be lifted; called by a second person, lift it."""
        return _hold(await holds.lift(person, hold_id, body))

    @app.delete("/api/v1/holds/{hold_id}/lifting")
    async def keep(person: Who, hold_id: str) -> HoldView:
        """The hold stays: take off what was asked."""
        return _hold(await holds.refuse_lifting(person, hold_id))

    @app.post("/api/v1/cases/{case_id}/redaction", openapi_extra=takes(RedactionRequest))
    async def redact(
        person: Who,
        case_id: CaseId,
        body: Annotated[RedactionRequest, Depends(reader(RedactionRequest))],
    ) -> RedactionView:
        """Black out pieces of a report's text, a message or a note for good."""
        done = await rooms.redaction.redact(person, case_id, body)
        return RedactionView(
            report_id=body.report_id,
            message_id=body.message_id,
            note_id=body.note_id,
            redacted_at=done.at,
            pieces=done.pieces,
            under_holds=done.under_holds,
        )

    @app.get("/api/v1/subject-requests")
    async def register(person: Who) -> Register:
        """Requests of data subjects that are not closed, the one due first first."""
        now = clock.now()
        return Register(requests=[_subject(r, now) for r in await subjects.waiting(person)])

    @app.post("/api/v1/subject-requests", openapi_extra=takes(Registration))
    async def enter(
        person: Who, body: Annotated[Registration, Depends(reader(Registration))]
    ) -> SubjectRequestView:
        """Enter a request into the register; its deadline is the country pack's."""
        return _subject(await subjects.register(person, body), clock.now())

    @app.get("/api/v1/subject-requests/figures")
    async def figures(person: Who, month: AMonth = "") -> RegisterFigures:
        """The register of a month that is over, else of the newest, as counts."""
        told = await rooms.figures.read(person, month)
        return RegisterFigures(
            month=told.month,
            kinds=TableView.of(told.subject_requests),
            answers=TableView.of(told.subject_answers),
        )

    @app.get("/api/v1/subject-requests/{request_id}")
    async def read(person: Who, request_id: str) -> SubjectRequestView:
        """One request with who asks and what they wrote. Audited."""
        opened = await subjects.read(person, request_id)
        view = _subject(opened.request, clock.now())
        steps = [
            s.model_copy(update={"note": n}) for s, n in zip(view.steps, opened.notes, strict=True)
        ]
        return view.model_copy(
            update={"identity": opened.identity, "text": opened.text, "steps": steps}
        )

    @app.post("/api/v1/subject-requests/{request_id}/steps", openapi_extra=takes(StepRequest))
    async def step(
        person: Who, request_id: str, body: Annotated[StepRequest, Depends(reader(StepRequest))]
    ) -> SubjectRequestView:
        """Say what was done about a request."""
        return _subject(await subjects.step(person, request_id, body), clock.now())


def _hold(h: Hold) -> HoldView:
    return HoldView(
        hold_id=h.hold_id,
        case_id=h.case_id,
        body=h.body,
        by=h.by,
        since=h.since,
        until=h.until,
        lift_asked_by=h.lift_asked_by,
        lift_asked_at=h.lift_asked_at,
        lifted_by=h.lifted_by,
        lifted_at=h.lifted_at,
        stands=h.stands,
    )


def _subject(r: SubjectRequest, now: datetime) -> SubjectRequestView:
    return SubjectRequestView(
        request_id=r.request_id,
        kind=r.kind,
        channel=r.channel,
        received_at=r.received_at,
        registered_by=r.registered_by,
        due=r.due,
        overdue=r.overdue(now),
        state=r.state,
        case_id=r.case_id,
        report_id=r.report_id,
        closed_at=r.closed_at,
        steps=[StepView(state=s.state, by=s.by, at=s.at, note=None) for s in r.steps],
    )
