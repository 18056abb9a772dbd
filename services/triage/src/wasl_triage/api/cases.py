# SPDX-License-Identifier: Apache-2.0
"""The rooms of the desk's API in which cases are worked together, followed, appealed and discussed.

As in ``http.py``: nothing here decides, no answer repeats what was sent, and every refusal is a
problem (RFC 9457).
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Query
from pydantic import Field
from wasl_schemas.base import Model
from wasl_schemas.country_pack import CountryPack
from wasl_schemas.ids import CaseId as CaseIdOf
from wasl_schemas.ids import ReportId

from wasl_triage.api import views
from wasl_triage.cases.appeals import Appeal, AppealAnswer, Appeals, Filing
from wasl_triage.cases.bulk import Bulk, BulkApply, BulkRequest
from wasl_triage.cases.grouping import OPERATIONS, Done, Grouping, Kind, Operation
from wasl_triage.cases.opinions import Inquiry, Opinion, OpinionAnswer, Opinions
from wasl_triage.cases.splitting import Splitting
from wasl_triage.cases.timeline import Timelines
from wasl_triage.cases.working import Move, Note, Owner, People, Plan, Skip, Working
from wasl_triage.casework import Hub, Requests
from wasl_triage.desk import Desk, need
from wasl_triage.domain.case import Case
from wasl_triage.domain.decisions import Words
from wasl_triage.domain.people import Permission, Person
from wasl_triage.repository import CASES


class MergeRequest(Model):
    """``cases``: those to be worked with the case of the address."""

    cases: tuple[CaseIdOf, ...] = Field(min_length=1, max_length=100)
    reason: Words = ""


class SplitRequest(Model):
    """``reports``: those that become a case of their own."""

    reports: tuple[ReportId, ...] = Field(min_length=1, max_length=200)
    reason: Words = ""


class PartRequest(Model):
    reason: Words = ""


class OperationView(Model):
    operation_id: str
    kind: Kind
    #: First the case that leads, or that was split.
    cases: list[str]
    by: str
    at: datetime
    reports: list[str]
    undone_by: str | None


class MissingView(Model):
    field: str
    message: str
    fix: str


class ResultView(Model):
    """What became of one case; ``missing``: what the law lacked."""

    case_id: str
    done: bool
    why: str
    missing: list[MissingView]


class Results(Model):
    results: list[ResultView]


class EntryView(Model):
    at: datetime
    what: str
    #: None: the reporter.
    who: str | None
    ref: str
    text: str | None


class TimelineView(Model):
    entries: list[EntryView]


class NoteView(Model):
    note_id: str
    by: str
    at: datetime


class SkipCount(Model):
    queue: str
    category: str
    reason: str
    count: int


class Skips(Model):
    skips: list[SkipCount]


class AppealView(Model):
    appeal_id: str
    case_id: str
    decision_id: str
    side: str
    at: datetime
    due: datetime
    #: It was, or still is, answered later than due.
    breached: bool
    state: str
    registered_by: str
    decided_by: str | None
    #: Requests that were taken back, and what could not be: somebody must write about those.
    withdrawn: list[str]
    beyond: list[str]


class AppealList(Model):
    appeals: list[AppealView]


class OpinionView(Model):
    opinion_id: str
    case_id: str
    body: str
    asked_by: str
    at: datetime
    due: datetime
    #: It was, or still is, answered later than due.
    breached: bool
    waits: bool
    answered_by: str | None
    #: The day an outside body said it.
    on: date | None


class OpinionList(Model):
    opinions: list[OpinionView]


class AskedSheet(Model):
    """What somebody is asked, and the case, with personal data blacked out."""

    opinion: OpinionView
    question: str | None
    sheet: views.CaseSheet


class BulkPreview(Model):
    """``token`` is asked for with the act; it fits these cases as they are now, and no others."""

    count: int
    ids: list[str]
    token: str
    states: dict[str, int]
    severities: dict[str, int]
    categories: dict[str, int]
    excluded: dict[str, str]


#: Bodies these routes read themselves, for the description of the API.
BODIES: tuple[type[Model], ...] = (
    MergeRequest, SplitRequest, PartRequest, Owner, Plan, Note, Skip, Move, Filing, AppealAnswer,
    Inquiry, OpinionAnswer, BulkRequest, BulkApply,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class CaseRooms:
    """The use cases behind these routes."""

    hub: Hub
    desk: Desk
    grouping: Grouping
    splitting: Splitting
    working: Working
    appeals: Appeals
    opinions: Opinions
    bulk: Bulk
    timelines: Timelines

    @classmethod
    def of(
        cls, hub: Hub, pack: CountryPack, desk: Desk, requests: Requests, people: People
    ) -> "CaseRooms":
        """``people`` finds a person of the desk by name."""
        grouping, working = Grouping(hub, pack, desk), Working(hub, pack, desk, people)
        appeals, opinions = Appeals(hub, pack, desk, requests), Opinions(hub, pack, desk)
        return cls(
            hub=hub,
            desk=desk,
            grouping=grouping,
            splitting=Splitting(hub, pack, desk),
            working=working,
            appeals=appeals,
            opinions=opinions,
            bulk=Bulk(hub, pack, desk, working),
            timelines=Timelines(
                hub, desk, working=working, grouping=grouping, appeals=appeals, opinions=opinions
            ),
        )

    async def undo(self, person: Person, operation_id: str) -> Operation:
        """Undo a merge or a split. Raises as they do."""
        row = await self.hub.unit().get(OPERATIONS, operation_id)
        if row is not None and row.kind is Kind.SPLIT:
            return await self.splitting.undo(person, operation_id)
        return await self.grouping.undo(person, operation_id)

    async def visible(self, person: Person, case_id: str) -> Case:
        """The case, for lists that show no text. Raises NoSuchCase, Forbidden."""
        need(person, Permission.READ)
        return await self.desk.case(self.hub.unit(), case_id, person)

    async def group(self, person: Person, case_id: str) -> list[Case]:
        """The cases that follow this one, as far as the person sees them."""
        lead = await self.visible(person, case_id)
        found = await self.hub.store.read(CASES, sorted(lead.followers))
        cases = [CASES.decode(found[i]) for i in sorted(found)]
        return [c for c in cases if person.sees(c.queue, restricted=c.restricted)]


@dataclass(frozen=True, slots=True)
class Door:
    """How these routes learn who asks and what: ``who`` gives the person, ``reader`` the body of a
    model, ``case_id`` checks an id, ``takes`` describes a body for the API's own description.
    """

    who: Callable[..., Person | Awaitable[Person]]
    case_id: Callable[[str], str]
    reader: Callable[[Any], Callable[..., Awaitable[Any]]]
    takes: Callable[[type[Model]], dict[str, Any]]


def add_case_routes(app: FastAPI, rooms: CaseRooms, pack: CountryPack, door: Door) -> None:
    """Every route of :class:`CaseRooms`; ``app`` handles the desk's refusals."""
    Who = Annotated[Person, Depends(door.who)]  # noqa: N806  a type
    CaseId = Annotated[str, Depends(door.case_id)]  # noqa: N806
    reader, takes = door.reader, door.takes
    grouping, working, clock = rooms.grouping, rooms.working, rooms.hub.clock

    # -- together and apart ----------------------------------------------------------------------

    @app.get("/api/v1/cases/{case_id}/group")
    async def group(person: Who, case_id: CaseId) -> views.Queue:
        """The cases that are worked with this one."""
        return views.Queue(cases=[views.line(c) for c in await rooms.group(person, case_id)])

    @app.post("/api/v1/cases/{case_id}/merge", openapi_extra=takes(MergeRequest))
    async def merge(
        person: Who, case_id: CaseId, body: Annotated[MergeRequest, Depends(reader(MergeRequest))]
    ) -> OperationView:
        """Work on other cases together with this one, which you hold."""
        return _operation(await grouping.merge(person, case_id, body.cases, body.reason))

    @app.post("/api/v1/cases/{case_id}/parting", openapi_extra=takes(PartRequest))
    async def part(
        person: Who, case_id: CaseId, body: Annotated[PartRequest, Depends(reader(PartRequest))]
    ) -> OperationView:
        """Take this case out of the group it follows."""
        return _operation(await grouping.part(person, case_id, body.reason))

    @app.post("/api/v1/cases/{case_id}/group/assessment")
    async def apply_assessment(person: Who, case_id: CaseId) -> Results:
        """Say of every follower what you said of this case."""
        return _results(await grouping.apply(person, case_id, decision=False))

    @app.post("/api/v1/cases/{case_id}/group/decision")
    async def apply_decision(person: Who, case_id: CaseId) -> Results:
        """Decide every follower as you decided this case, as far as the law allows each."""
        return _results(await grouping.apply(person, case_id, decision=True))

    @app.post("/api/v1/cases/{case_id}/split", openapi_extra=takes(SplitRequest))
    async def split(
        person: Who, case_id: CaseId, body: Annotated[SplitRequest, Depends(reader(SplitRequest))]
    ) -> OperationView:
        """Make a case of its own of some of this case's reports."""
        return _operation(await rooms.splitting.split(person, case_id, body.reports, body.reason))

    @app.post("/api/v1/operations/{operation_id}/undo")
    async def undo(person: Who, operation_id: str) -> OperationView:
        """Undo a merge or a split, as far as nothing rests on it."""
        return _operation(await rooms.undo(person, operation_id))

    # -- following a case ------------------------------------------------------------------------

    @app.get("/api/v1/cases/{case_id}/timeline")
    async def timeline(person: Who, case_id: CaseId) -> TimelineView:
        """Everything that happened to the case, oldest first. Audited as a read."""
        return TimelineView(
            entries=[
                EntryView(at=e.at, what=e.what, who=e.who, ref=e.ref, text=e.text)
                for e in await rooms.timelines.of(person, case_id)
            ]
        )

    @app.post("/api/v1/cases/{case_id}/owner", openapi_extra=takes(Owner))
    async def assign(
        person: Who, case_id: CaseId, body: Annotated[Owner, Depends(reader(Owner))]
    ) -> views.CaseLine:
        """Say who follows the case."""
        return views.line(await working.assign(person, case_id, body))

    @app.post("/api/v1/cases/{case_id}/plan", openapi_extra=takes(Plan))
    async def plan(
        person: Who, case_id: CaseId, body: Annotated[Plan, Depends(reader(Plan))]
    ) -> views.CaseLine:
        """What is planned, and when to be in contact again."""
        return views.line(await working.plan(person, case_id, body))

    @app.post("/api/v1/cases/{case_id}/notes", openapi_extra=takes(Note))
    async def note(
        person: Who, case_id: CaseId, body: Annotated[Note, Depends(reader(Note))]
    ) -> NoteView:
        """Write a note for the desk. Reporters never see it."""
        row = await working.note(person, case_id, body)
        return NoteView(note_id=row.id, by=row.by, at=row.at)

    @app.post("/api/v1/cases/{case_id}/skip", openapi_extra=takes(Skip))
    async def skip(
        person: Who, case_id: CaseId, body: Annotated[Skip, Depends(reader(Skip))]
    ) -> views.CaseLine:
        """Pass the case on to somebody else."""
        return views.line(await working.skip(person, case_id, body))

    @app.post("/api/v1/cases/{case_id}/move", openapi_extra=takes(Move))
    async def move(
        person: Who, case_id: CaseId, body: Annotated[Move, Depends(reader(Move))]
    ) -> views.CaseLine:
        """Put the case into another queue."""
        return views.line(await working.move(person, case_id, body))

    @app.get("/api/v1/skips")
    async def skips(person: Who, days: Annotated[int, Query(ge=1, le=366)] = 30) -> Skips:
        """How often cases were passed on, and why. For supervisors."""
        counts = await working.skips(person, clock.now() - timedelta(days=days))
        return Skips(
            skips=[
                SkipCount(queue=queue, category=category, reason=reason, count=n)
                for (queue, category, reason), n in sorted(counts.items())
            ]
        )

    # -- appeals ---------------------------------------------------------------------------------

    @app.get("/api/v1/appeals")
    async def open_appeals(person: Who) -> AppealList:
        """Appeals that wait, the most urgent first."""
        return AppealList(
            appeals=[_appeal(a, clock.now()) for a in await rooms.appeals.open(person)]
        )

    @app.get("/api/v1/cases/{case_id}/appeals")
    async def appeals(person: Who, case_id: CaseId) -> AppealList:
        """The case's appeals; what was written is in its timeline."""
        await rooms.visible(person, case_id)
        return AppealList(
            appeals=[_appeal(a, clock.now()) for a in await rooms.appeals.of(case_id)]
        )

    @app.post("/api/v1/cases/{case_id}/appeals", openapi_extra=takes(Filing))
    async def register(
        person: Who, case_id: CaseId, body: Annotated[Filing, Depends(reader(Filing))]
    ) -> AppealView:
        """Register that a decision is to be looked at again."""
        return _appeal(await rooms.appeals.register(person, case_id, body), clock.now())

    @app.post(
        "/api/v1/cases/{case_id}/appeals/{appeal_id}/answer", openapi_extra=takes(AppealAnswer)
    )
    async def answer_appeal(
        person: Who,
        case_id: CaseId,
        appeal_id: str,
        body: Annotated[AppealAnswer, Depends(reader(AppealAnswer))],
    ) -> AppealView:
        """Let the decision stand, or take back what was sent."""
        return _appeal(await rooms.appeals.answer(person, case_id, appeal_id, body), clock.now())

    # -- opinions --------------------------------------------------------------------------------

    @app.get("/api/v1/opinions")
    async def asked(person: Who) -> OpinionList:
        """Questions put to your queues."""
        return OpinionList(
            opinions=[_opinion(o, clock.now()) for o in await rooms.opinions.waiting(person)]
        )

    @app.get("/api/v1/opinions/{opinion_id}")
    async def read_opinion(person: Who, opinion_id: str) -> AskedSheet:
        """The question and the case it is about. Audited."""
        opinion, question, opened = await rooms.opinions.read(person, opinion_id)
        sheet = views.sheet(pack, opened, clock.now())
        return AskedSheet(opinion=_opinion(opinion, clock.now()), question=question, sheet=sheet)

    @app.post("/api/v1/opinions/{opinion_id}/answer", openapi_extra=takes(OpinionAnswer))
    async def give_opinion(
        person: Who,
        opinion_id: str,
        body: Annotated[OpinionAnswer, Depends(reader(OpinionAnswer))],
    ) -> OpinionView:
        """Answer for one of your queues."""
        return _opinion(await rooms.opinions.give(person, opinion_id, body), clock.now())

    @app.get("/api/v1/cases/{case_id}/opinions")
    async def opinions(person: Who, case_id: CaseId) -> OpinionList:
        """What was asked about the case, and what is awaited; the words are in its timeline."""
        await rooms.visible(person, case_id)
        return OpinionList(
            opinions=[_opinion(o, clock.now()) for o in await rooms.opinions.of(case_id)]
        )

    @app.post("/api/v1/cases/{case_id}/opinions", openapi_extra=takes(Inquiry))
    async def ask_opinion(
        person: Who, case_id: CaseId, body: Annotated[Inquiry, Depends(reader(Inquiry))]
    ) -> OpinionView:
        """Ask another body what it thinks."""
        return _opinion(await rooms.opinions.ask(person, case_id, body), clock.now())

    @app.post(
        "/api/v1/cases/{case_id}/opinions/{opinion_id}/answer",
        openapi_extra=takes(OpinionAnswer),
    )
    async def record_opinion(
        person: Who,
        case_id: CaseId,
        opinion_id: str,
        body: Annotated[OpinionAnswer, Depends(reader(OpinionAnswer))],
    ) -> OpinionView:
        """Write down what a body outside the desk said."""
        return _opinion(await rooms.opinions.record(person, case_id, opinion_id, body), clock.now())

    # -- bulk ------------------------------------------------------------------------------------

    @app.post("/api/v1/bulk/preview", openapi_extra=takes(BulkRequest))
    async def preview(
        person: Who, body: Annotated[BulkRequest, Depends(reader(BulkRequest))]
    ) -> BulkPreview:
        """What one act on many cases would touch."""
        shown = await rooms.bulk.preview(person, body)
        return BulkPreview(
            count=len(shown.ids),
            ids=list(shown.ids),
            token=shown.token,
            states=shown.states,
            severities=shown.severities,
            categories=shown.categories,
            excluded=shown.excluded,
        )

    @app.post("/api/v1/bulk", openapi_extra=takes(BulkApply))
    async def bulk(person: Who, body: Annotated[BulkApply, Depends(reader(BulkApply))]) -> Results:
        """Do it to exactly the cases that were shown."""
        return _results(await rooms.bulk.apply(person, body))


def _operation(row: Operation) -> OperationView:
    return OperationView(
        operation_id=row.id,
        kind=row.kind,
        cases=list(row.cases),
        by=row.by,
        at=row.at,
        reports=list(row.reports),
        undone_by=row.undone_by,
    )


def _results(results: list[Done]) -> Results:
    return Results(
        results=[
            ResultView(
                case_id=r.case_id,
                done=r.done,
                why=r.why,
                missing=[
                    MissingView(field=m.field, message=message, fix=fix)
                    for m in r.missing
                    for message, fix in [m.told()]
                ],
            )
            for r in results
        ]
    )


def _appeal(row: Appeal, now: datetime) -> AppealView:
    return AppealView(
        appeal_id=row.id,
        case_id=row.case_id,
        decision_id=row.decision_id,
        side=row.side.value,
        at=row.at,
        due=row.due,
        breached=row.breached(now),
        state=row.state.value,
        registered_by=row.registered_by,
        decided_by=row.decided_by,
        withdrawn=list(row.withdrawn),
        beyond=list(row.beyond),
    )


def _opinion(row: Opinion, now: datetime) -> OpinionView:
    return OpinionView(
        opinion_id=row.id,
        case_id=row.case_id,
        body=row.body,
        asked_by=row.asked_by,
        at=row.at,
        due=row.due,
        breached=row.breached(now),
        waits=row.open,
        answered_by=row.answered_by,
        on=date.fromisoformat(row.on) if row.on else None,
    )
