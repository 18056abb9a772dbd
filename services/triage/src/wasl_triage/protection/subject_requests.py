# SPDX-License-Identifier: Apache-2.0
"""The register of requests of data subjects: what was asked, by when it is to be answered, what was
done.

Who asked and what they wrote is sealed under a key of the request's own, which goes a year after
the answer. What is left names nobody; its counts are in ``quality/figures.py``. The country
pack's deadlines are the clocks (for rectification, law 09-08, article 8: ten clear days).
"""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from pydantic import Field
from wasl_chassis.store import Collection, Index
from wasl_chassis.work import UnitOfWork
from wasl_schemas.base import Model, Slug, Timestamp
from wasl_schemas.country_pack import CountryPack
from wasl_schemas.ids import CaseId, ReportId, uuid7

from wasl_triage.audit.trail import Stream, journal
from wasl_triage.casework import Hub, opened
from wasl_triage.desk import Refused, need
from wasl_triage.domain.decisions import Words
from wasl_triage.domain.people import EVERY_QUEUE, Permission, Person
from wasl_triage.repository import CASES, REPORTS

#: How long identity and text stay readable after the answer.
KEPT = timedelta(days=365)
#: Nothing came before there was a law to ask by; and no clock starts at the ends of time.
EARLIEST = datetime(2009, 1, 1, tzinfo=UTC)
_WHO, _TEXT, _STEP = "subject.identity", "subject.text", "subject.step"
_SHOWN = 200


class Kind(StrEnum):
    """The rights of law 09-08, articles 7, 8 and 9, and erasure, which article 8 includes."""

    ACCESS = "access"
    RECTIFICATION = "rectification"
    ERASURE = "erasure"
    OBJECTION = "objection"


#: Deadlines of the country pack that hold for a kind: the first that it has.
DEADLINES: dict[Kind, tuple[str, ...]] = {
    Kind.ACCESS: ("data-access", "rectification"),
    Kind.RECTIFICATION: ("rectification",),
    Kind.ERASURE: ("data-erasure", "rectification"),
    Kind.OBJECTION: ("data-objection", "rectification"),
}


class State(StrEnum):
    RECEIVED = "received"
    #: Whoever asks has shown who they are.
    IDENTIFIED = "identified"
    IN_WORK = "in_work"
    ANSWERED = "answered"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"


CLOSED = frozenset({State.ANSWERED, State.REFUSED, State.WITHDRAWN})
NEXT: dict[State, frozenset[State]] = {
    State.RECEIVED: frozenset({State.IDENTIFIED, State.IN_WORK, *CLOSED}),
    State.IDENTIFIED: frozenset({State.IN_WORK, *CLOSED}),
    State.IN_WORK: CLOSED,
    **{state: frozenset() for state in CLOSED},
}


class Registration(Model):
    """``identity``: who asks and how to answer; ``text``: what they wrote."""

    kind: Kind
    channel: Slug
    received_at: Timestamp = Field(ge=EARLIEST)
    identity: Words = Field(min_length=1)
    text: Words = Field(min_length=1)
    case_id: CaseId | None = None
    report_id: ReportId | None = None


class StepRequest(Model):
    """``note`` is the desk's own; a refusal needs one."""

    state: State
    note: Words = ""


class Step(Model):
    """``note`` is sealed with the request's key."""

    state: State
    by: str
    at: datetime
    note: str | None = None


class SubjectRequest(Model):
    """``identity`` and ``text`` are sealed; None once their time was over."""

    request_id: str
    kind: Kind
    channel: str
    received_at: datetime
    registered_by: str
    #: None: the country pack has no deadline.
    due: datetime | None
    identity: str | None
    text: str | None
    state: State = State.RECEIVED
    steps: tuple[Step, ...] = ()
    case_id: str | None = None
    report_id: str | None = None
    closed_at: datetime | None = None

    def overdue(self, now: datetime) -> bool:
        """Whether it was, or still is, later than due."""
        return self.due is not None and (self.closed_at or now) > self.due


class Opened(Model):
    """One request, read: ``notes`` by step."""

    request: SubjectRequest
    identity: str | None
    text: str | None
    notes: tuple[str | None, ...]


def _encode(request: SubjectRequest) -> dict[str, Any]:
    doc = request.model_dump(mode="python", exclude={"request_id"})
    doc["kind"], doc["state"] = request.kind.value, request.state.value
    doc["steps"] = [{**s.model_dump(), "state": s.state.value} for s in request.steps]
    return doc


SUBJECT_REQUESTS: Collection[SubjectRequest] = Collection(
    "subject_requests",
    lambda r: r.request_id,
    _encode,
    lambda d: SubjectRequest.model_validate({**d, "request_id": d["_id"]}, extra="ignore"),
    (Index((("state", 1), ("due", 1))), Index((("closed_at", 1),)), Index((("received_at", 1),))),
)
ALL: tuple[Collection[Any], ...] = (SUBJECT_REQUESTS,)
_OPEN = [s.value for s in State if s not in CLOSED]


class SubjectRequests:
    def __init__(self, hub: Hub, pack: CountryPack) -> None:
        self._hub = hub
        self._pack = pack

    async def register(self, person: Person, given: Registration) -> SubjectRequest:
        """Raises Forbidden, Refused."""
        need(person, Permission.SUBJECT_REQUESTS)

        async def work(uow: UnitOfWork) -> SubjectRequest:
            if given.received_at > uow.now():
                raise Refused("It cannot have come in the future", "Give the day it came.")
            request_id = uuid7()
            uow.keys.create(request_id)
            request = SubjectRequest(
                request_id=request_id,
                kind=given.kind,
                channel=given.channel,
                received_at=given.received_at,
                registered_by=person.name,
                due=self.due(given.kind, given.received_at),
                identity=await uow.keys.seal(request_id, _WHO, given.identity),
                text=await uow.keys.seal(request_id, _TEXT, given.text),
                case_id=given.case_id,
                report_id=given.report_id,
            )
            uow.put(SUBJECT_REQUESTS, request)
            await self._tell(uow, person, "register", request)
            return request

        return await self._as_seen(person, await self._hub.transact(work))

    def due(self, kind: Kind, received_at: datetime) -> datetime | None:
        for name in DEADLINES[kind]:
            deadline = self._pack.deadlines.get(name)
            if deadline is not None and deadline.span is not None:
                return self._pack.due(received_at, deadline.span)
        return None

    async def step(self, person: Person, request_id: str, wanted: StepRequest) -> SubjectRequest:
        """Move the request on. Raises Forbidden, Refused."""
        need(person, Permission.SUBJECT_REQUESTS)

        async def work(uow: UnitOfWork) -> SubjectRequest:
            request = await self._get(uow, request_id)
            if wanted.state not in NEXT[request.state]:
                raise Refused(
                    "The request is not in a state for this",
                    f"From '{request.state}' it goes to: "
                    f"{', '.join(sorted(NEXT[request.state])) or 'nothing'}.",
                )
            if wanted.state is State.REFUSED and not wanted.note:
                raise Refused("A refusal needs a reason", "Write in 'note' why it is refused.")
            note = await uow.keys.seal(request_id, _STEP, wanted.note) if wanted.note else None
            step = Step(state=wanted.state, by=person.name, at=uow.now(), note=note)
            closed = uow.now() if wanted.state in CLOSED else None
            change = {"state": wanted.state, "steps": (*request.steps, step), "closed_at": closed}
            request = request.model_copy(update=change)
            uow.put(SUBJECT_REQUESTS, request)
            await self._tell(uow, person, wanted.state.value, request)
            return request

        return await self._as_seen(person, await self._hub.transact(work))

    async def read(self, person: Person, request_id: str) -> Opened:
        """One request with its texts opened. Audited. Raises Forbidden, Refused."""
        need(person, Permission.SUBJECT_REQUESTS)

        async def work(uow: UnitOfWork) -> Opened:
            request = await self._get(uow, request_id)
            await self._tell(uow, person, "read", request)
            notes = [await opened(uow, s.note, _STEP) for s in request.steps]
            return Opened(
                request=request,
                identity=await opened(uow, request.identity, _WHO),
                text=await opened(uow, request.text, _TEXT),
                notes=tuple(notes),
            )

        found = await self._hub.transact(work)
        seen = await self._as_seen(person, found.request)
        return found.model_copy(update={"request": seen})

    async def waiting(self, person: Person) -> list[SubjectRequest]:
        """Requests not closed, the one due first first. Raises Forbidden."""
        need(person, Permission.SUBJECT_REQUESTS)
        docs = await self._hub.store.find(
            SUBJECT_REQUESTS, {"state": {"$in": _OPEN}}, sort=(("due", 1),), limit=_SHOWN
        )
        return [await self._as_seen(person, SUBJECT_REQUESTS.decode(d)) for d in docs]

    async def tidy(self) -> bool:
        """Destroy identity and texts of requests that were closed long ago; and the gauges."""
        now, store = self._hub.clock.now(), self._hub.store
        due = {"closed_at": {"$lte": now - KEPT}, "identity": {"$ne": None}}
        docs = await store.find(SUBJECT_REQUESTS, due, limit=100)
        for doc in docs:

            async def work(uow: UnitOfWork, key: str = doc["_id"]) -> None:
                request = await uow.get(SUBJECT_REQUESTS, key)
                if request is None:
                    return
                await uow.keys.destroy(key)
                bare = tuple(s.model_copy(update={"note": None}) for s in request.steps)
                gone = {"identity": None, "text": None, "steps": bare}
                uow.put(SUBJECT_REQUESTS, request.model_copy(update=gone))

            await self._hub.transact(work)
        waiting = await store.count(SUBJECT_REQUESTS, {"state": {"$in": _OPEN}})
        late = await store.count(SUBJECT_REQUESTS, {"state": {"$in": _OPEN}, "due": {"$lte": now}})
        self._hub.metrics.set("wasl_triage_subject_requests", waiting - late, state="in_time")
        self._hub.metrics.set("wasl_triage_subject_requests", late, state="overdue")
        settled = await store.find(SUBJECT_REQUESTS, {"closed_at": {"$gte": now - KEPT}})
        after = sum(SUBJECT_REQUESTS.decode(d).overdue(now) for d in settled)
        self._hub.metrics.set("wasl_triage_subject_requests", after, state="settled_late")
        return len(docs) == 100

    async def _as_seen(self, person: Person, request: SubjectRequest) -> SubjectRequest:
        """Without the ids of a case and a report the person does not see: what is hidden looks like
        what never was. Of cases whose time is over only whoever sees every case knows.
        """
        if person.cleared and EVERY_QUEUE in person.queues:
            return request
        store, report_id = self._hub.store, request.report_id
        reports = await store.read(REPORTS, [report_id] if report_id else [])
        of_report = [c for doc in reports.values() for c in REPORTS.decode(doc).cases]
        docs = await store.read(CASES, [*filter(None, [request.case_id]), *of_report])
        cases = (CASES.decode(doc) for doc in docs.values())
        seen = {c.id for c in cases if person.sees(c.queue, restricted=c.restricted)}
        return request.model_copy(
            update={
                "case_id": request.case_id if request.case_id in seen else None,
                "report_id": report_id if seen.intersection(of_report) else None,
            }
        )

    @staticmethod
    async def _get(uow: UnitOfWork, request_id: str) -> SubjectRequest:
        request = await uow.get(SUBJECT_REQUESTS, request_id)
        if request is None:
            raise Refused("There is no such request", "Take an id from the register.")
        return request

    @staticmethod
    async def _tell(uow: UnitOfWork, person: Person, what: str, request: SubjectRequest) -> None:
        await journal(uow, Stream.SUBJECT_REQUESTS, person.name, what, request.request_id)
