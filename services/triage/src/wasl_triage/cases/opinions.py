# SPDX-License-Identifier: Apache-2.0
"""Another body is asked what it thinks of a case. A decision may go on without; the sheet says that
an answer is awaited.

A body with a queue is people of the desk: being asked opens this one case to them, redacted, and
opens nothing that takes a clearance they lack. What another body says is written down by the desk.
"""

from dataclasses import dataclass, replace
from datetime import date, datetime

from pydantic import Field
from wasl_chassis.store import Collection, Doc, Index
from wasl_chassis.work import UnitOfWork
from wasl_schemas.base import Model, Slug
from wasl_schemas.country_pack import CountryPack
from wasl_schemas.desk import OpinionBody
from wasl_schemas.ids import uuid7

from wasl_triage.audit.trail import audit
from wasl_triage.cases.sheets import Sheet
from wasl_triage.casework import NOTE, Hub, opened
from wasl_triage.desk import Desk, NoSuchCase, NotLawful, Refused, need
from wasl_triage.domain import clocks
from wasl_triage.domain.case import Attention, Case
from wasl_triage.domain.decisions import Missing, Words
from wasl_triage.domain.people import EVERY_QUEUE, Permission, Person
from wasl_triage.repository import CASES

_LISTED = 200


class Inquiry(Model):
    """``body``: one of the country pack's."""

    body: Slug
    question: Words = Field(min_length=1)


class OpinionAnswer(Model):
    text: Words = Field(min_length=1)
    #: With a body of its own house: who said it there, and on which day.
    author: Words = ""
    on: date | None = None


@dataclass(frozen=True, slots=True)
class Opinion:
    """A question, and its answer once there is one. Free text is sealed with the case's key."""

    id: str
    case_id: str
    body: str
    #: The queue whose people answer; None: the desk writes down what was said.
    queue: str | None
    asked_by: str
    at: datetime
    due: datetime
    question: str
    open: bool = True
    answer: str | None = None
    #: Who of the desk wrote it; who said it, sealed; and on which day they did.
    answered_by: str | None = None
    answered_at: datetime | None = None
    author: str | None = None
    on: str | None = None

    def breached(self, now: datetime) -> bool:
        """Whether it was, or still is, answered later than due."""
        return (self.answered_at or now) > self.due


def _encode(o: Opinion) -> Doc:
    return {
        "case_id": o.case_id,
        "body": o.body,
        "queue": o.queue,
        "asked_by": o.asked_by,
        "at": o.at,
        "due": o.due,
        "question": o.question,
        "open": o.open,
        "answer": o.answer,
        "answered_by": o.answered_by,
        "answered_at": o.answered_at,
        "author": o.author,
        "on": o.on,
    }


def _decode(d: Doc) -> Opinion:
    return Opinion(id=d["_id"], **{k: v for k, v in d.items() if not k.startswith("_")})


OPINIONS: Collection[Opinion] = Collection(
    "opinions",
    lambda o: o.id,
    _encode,
    _decode,
    indexes=(Index((("case_id", 1), ("at", 1))), Index((("open", 1), ("queue", 1), ("due", 1)))),
)


class Opinions:
    def __init__(self, hub: Hub, pack: CountryPack, desk: Desk) -> None:
        self._hub = hub
        self._desk = desk
        self._pack = pack
        self._bodies: dict[str, OpinionBody] = {b.id: b for b in pack.desk.opinions}

    async def ask(self, person: Person, case_id: str, inquiry: Inquiry) -> Opinion:
        """Ask a body about the case, which the person holds. Raises NoSuchCase, Forbidden,
        NotLawful, Refused.
        """
        need(person, Permission.ASK_OPINION)
        body = self._bodies.get(inquiry.body)
        if body is None:
            known = {"bodies": ", ".join(self._bodies)}
            fix = "Use one of: {bodies}." if self._bodies else "The country pack has none."
            raise NotLawful([Missing("body", "is no body that is asked", fix, known)])
        made: list[Opinion] = []

        async def work(uow: UnitOfWork, case: Case) -> None:
            now = uow.now()
            opinion = Opinion(
                id=uuid7(),
                case_id=case.id,
                body=body.id,
                queue=body.queue,
                asked_by=person.name,
                at=now,
                due=clocks.opinion_due(self._pack, case.severity, now),
                question=await uow.keys.seal(case.id, NOTE, inquiry.question),
            )
            made[:] = [opinion]
            uow.put(OPINIONS, opinion)
            audit(uow, case, person.name, "ask_opinion", body.id)

        await self._desk.change(person, Permission.ASK_OPINION, case_id, work)
        return made[0]

    async def waiting(self, person: Person) -> list[Opinion]:
        """Questions put to the person's queues, the most urgent first."""
        need(person, Permission.GIVE_OPINION)
        where = {"open": True, "queue": {"$ne": None}}
        if EVERY_QUEUE not in person.queues:
            where["queue"] = {"$in": sorted(person.queues)}
        docs = await self._hub.store.find(OPINIONS, where, sort=(("due", 1),), limit=_LISTED)
        asked = [o for d in docs if (o := OPINIONS.decode(d)).asked_by != person.name]
        found = await self._hub.store.read(CASES, [o.case_id for o in asked])
        hidden = {i for i, d in found.items() if CASES.decode(d).restricted and not person.cleared}
        return [o for o in asked if o.case_id in found and o.case_id not in hidden]

    async def read(self, person: Person, opinion_id: str) -> tuple[Opinion, str | None, Sheet]:
        """The question, opened, and the case, redacted, for whoever is to answer; audited. Raises
        NoSuchCase, Refused.
        """
        need(person, Permission.GIVE_OPINION)
        opinion = await self._asked(self._hub.unit(), person, opinion_id)
        sheet = await self._desk.read(_asked(person), opinion.case_id)
        return opinion, await opened(self._hub.unit(), opinion.question, NOTE), sheet

    async def give(self, person: Person, opinion_id: str, answer: OpinionAnswer) -> Opinion:
        """Answer for one of the person's queues; never one's own question. Raises NoSuchCase,
        Forbidden, Refused.
        """
        need(person, Permission.GIVE_OPINION)
        opinion = await self._asked(self._hub.unit(), person, opinion_id)
        return await self._answer(
            _asked(person), Permission.GIVE_OPINION, opinion.case_id, opinion_id, answer
        )

    async def record(
        self, person: Person, case_id: str, opinion_id: str, answer: OpinionAnswer
    ) -> Opinion:
        """Write down what a body outside the desk said: who, and on which day. Raises NoSuchCase,
        Forbidden, NotLawful, Refused.
        """
        need(person, Permission.ASK_OPINION)
        await self._desk.case(self._hub.unit(), case_id, person)
        opinion = await self._hub.unit().get(OPINIONS, opinion_id)
        if opinion is None or opinion.case_id != case_id:
            raise NoSuchCase
        missing = []
        if opinion.queue is not None:
            missing.append(Missing("body", "answers for itself", "Let its people answer."))
        if not answer.author:
            missing.append(Missing("author", "is missing", "Name who said it."))
        if answer.on is None or answer.on > self._hub.clock.now().date():
            missing.append(Missing("on", "is no day that was", "Give the day it was said."))
        if missing:
            raise NotLawful(missing)
        return await self._answer(person, Permission.ASK_OPINION, case_id, opinion_id, answer)

    async def _answer(
        self,
        person: Person,
        permission: Permission,
        case_id: str,
        opinion_id: str,
        answer: OpinionAnswer,
    ) -> Opinion:
        made: list[Opinion] = []

        async def work(uow: UnitOfWork, case: Case) -> None:
            opinion = await uow.get(OPINIONS, opinion_id)
            if opinion is None or not opinion.open:
                raise Refused("The question was answered already", "Read the case again.")
            author = await uow.keys.seal(case.id, NOTE, answer.author) if answer.author else None
            opinion = replace(
                opinion,
                open=False,
                answer=await uow.keys.seal(case.id, NOTE, answer.text),
                answered_by=person.name,
                answered_at=uow.now(),
                author=author,
                on=answer.on.isoformat() if answer.on else None,
            )
            made[:] = [opinion]
            uow.put(OPINIONS, opinion)
            case.raise_flag(Attention.OPINION)
            audit(uow, case, person.name, "give_opinion", opinion.body)

        await self._desk.change(person, permission, case_id, work, claimed=False)
        return made[0]

    async def _asked(self, uow: UnitOfWork, person: Person, opinion_id: str) -> Opinion:
        """An open question put to one of the person's queues. Raises NoSuchCase, Refused."""
        opinion = await uow.get(OPINIONS, opinion_id)
        if opinion is None or opinion.queue is None or not opinion.open:
            raise NoSuchCase
        if not person.sees(opinion.queue, restricted=False):
            raise NoSuchCase
        await self._desk.case(uow, opinion.case_id, _asked(person))
        if opinion.asked_by == person.name:
            raise Refused("You asked this yourself", "Let another person of that queue answer.")
        return opinion

    async def of(self, case_id: str) -> list[Opinion]:
        """The questions about a case that was read already, oldest first; still sealed."""
        docs = await self._hub.store.find(OPINIONS, {"case_id": case_id}, sort=(("at", 1),))
        return [OPINIONS.decode(d) for d in docs]


def _asked(person: Person) -> Person:
    """Whoever is asked sees the case in whatever queue it lies; their clearance is their own."""
    return person.model_copy(update={"queues": frozenset({EVERY_QUEUE})})
