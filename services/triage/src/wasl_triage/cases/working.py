# SPDX-License-Identifier: Apache-2.0
"""Following a case over days: owner, plan, next contact, notes, passing it on, another queue.

Notes are the desk's own, sealed with the case's key; words for the reporter are messages and never
come from here. Where a case lies never decides who may see that it is of child safety.
"""

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from pydantic import AwareDatetime, Field
from wasl_chassis.failures import Conflict
from wasl_chassis.store import Collection, Doc, Index
from wasl_chassis.work import UnitOfWork
from wasl_schemas.base import Model, Slug
from wasl_schemas.country_pack import CountryPack
from wasl_schemas.ids import uuid7

from wasl_triage.audit.trail import audit
from wasl_triage.cases.grouped import keep_together
from wasl_triage.casework import NOTE, Hub
from wasl_triage.desk import Desk, NotLawful, Refused, need, visible
from wasl_triage.domain.case import CLOCK, Attention, Case
from wasl_triage.domain.decisions import Missing, Words
from wasl_triage.domain.people import Permission, Person
from wasl_triage.repository import CASES

#: How far ahead a next contact may be.
AHEAD = timedelta(days=366)
_PAGE = 200
_SHOWN_NOTES = 500
#: Finds a person of the desk by name; None: there is nobody of that name.
People = Callable[[str], Awaitable[Person | None]]


class SkipReason(StrEnum):
    """Why somebody passes a case on. ``opted_out`` is a wish that is not explained."""

    OPTED_OUT = "opted_out"
    TOO_DISTRESSING = "too_distressing"
    NO_LANGUAGE = "no_language"
    CONFLICT_OF_INTEREST = "conflict_of_interest"
    NEEDS_OTHER_EXPERTISE = "needs_other_expertise"
    UNCLEAR = "unclear"


class Plan(Model):
    """What is planned, and when to be in contact again; each replaces what was there, and nothing
    takes it away.
    """

    text: Words = ""
    next_at: AwareDatetime | None = None


class Owner(Model):
    """Who follows the case over days; None: nobody."""

    owner: Slug | None = None


class Note(Model):
    text: Words = Field(min_length=1)


class Skip(Model):
    reason: SkipReason = SkipReason.OPTED_OUT


class Move(Model):
    queue: Slug
    reason: Words = ""


@dataclass(frozen=True, slots=True)
class NoteRow:
    """One note of the desk, sealed with the case's key."""

    id: str
    case_id: str
    by: str
    at: datetime
    body: str


def _encode_note(n: NoteRow) -> Doc:
    return {"case_id": n.case_id, "by": n.by, "at": n.at, "body": n.body}


NOTES: Collection[NoteRow] = Collection(
    "notes",
    lambda n: n.id,
    _encode_note,
    lambda d: NoteRow(d["_id"], d["case_id"], d["by"], d["at"], d["body"]),
    indexes=(Index((("case_id", 1), ("at", 1))),),
)


@dataclass(frozen=True, slots=True)
class SkipRow:
    """A case was passed on, and where it lay then; what supervisors count."""

    id: str
    case_id: str
    by: str
    at: datetime
    reason: str
    queue: str
    category: str | None
    restricted: bool


def _encode_skip(s: SkipRow) -> Doc:
    return {
        "case_id": s.case_id,
        "by": s.by,
        "at": s.at,
        "reason": s.reason,
        "queue": s.queue,
        "category": s.category,
        "restricted": s.restricted,
    }


SKIPS: Collection[SkipRow] = Collection(
    "skips",
    lambda s: s.id,
    _encode_skip,
    lambda d: SkipRow(
        d["_id"],
        d["case_id"],
        d["by"],
        d["at"],
        d["reason"],
        d["queue"],
        d["category"],
        d["restricted"],
    ),
    indexes=(Index((("at", 1), ("queue", 1), ("restricted", 1))), Index((("case_id", 1),))),
)


class Working:
    def __init__(self, hub: Hub, pack: CountryPack, desk: Desk, people: People) -> None:
        self._hub = hub
        self._pack = pack
        self._desk = desk
        self._people = people

    async def assign(self, person: Person, case_id: str, wanted: Owner) -> Case:
        """Say who follows the case: its holder or a supervisor does. The owner must see it.
        Raises NoSuchCase, Forbidden, NotLawful, Refused.
        """
        owner = await self._people(wanted.owner) if wanted.owner is not None else None

        async def work(uow: UnitOfWork, case: Case) -> None:
            if wanted.owner is not None and (
                owner is None or not owner.sees(case.queue, restricted=case.restricted)
            ):
                raise NotLawful(
                    [Missing("owner", "is nobody who sees this case", "Name somebody who does.")]
                )
            case.owner = wanted.owner
            audit(uow, case, person.name, "assign", wanted.owner or "")

        return await self._by_holder_or_supervisor(person, case_id, work)

    async def plan(self, person: Person, case_id: str, plan: Plan) -> Case:
        """What the holder means to do, and when. Raises as :meth:`assign`."""

        async def work(uow: UnitOfWork, case: Case) -> None:
            now = uow.now()
            if plan.next_at is not None and not now < plan.next_at <= now + AHEAD:
                raise NotLawful(
                    [Missing("next_at", "is not within the next year", "Use a time to come.")]
                )
            case.plan = await uow.keys.seal(case.id, NOTE, plan.text) if plan.text else None
            case.next_at = plan.next_at
            audit(uow, case, person.name, "plan")

        return await self._desk.change(person, Permission.CLAIM, case_id, work)

    async def note(self, person: Person, case_id: str, note: Note) -> NoteRow:
        """Write a note; whoever sees the case may, whoever holds it. Raises NoSuchCase."""
        row: list[NoteRow] = []

        async def work(uow: UnitOfWork, case: Case) -> None:
            body = await uow.keys.seal(case.id, NOTE, note.text)
            row[:] = [NoteRow(uuid7(), case.id, person.name, uow.now(), body)]
            uow.put(NOTES, row[0])
            audit(uow, case, person.name, "note", row[0].id)

        await self._desk.change(person, Permission.NOTE, case_id, work, claimed=False)
        return row[0]

    async def notes(self, case_id: str) -> list[NoteRow]:
        """The newest notes of a case that was read already, oldest first; still sealed."""
        docs = await self._hub.store.find(
            NOTES, {"case_id": case_id}, sort=(("at", -1),), limit=_SHOWN_NOTES
        )
        return [NOTES.decode(d) for d in reversed(docs)]

    async def skip(self, person: Person, case_id: str, skip: Skip) -> Case:
        """Pass the case on: it is released, and not offered to this person again in this round.
        Raises NoSuchCase, Refused.
        """

        async def work(uow: UnitOfWork, case: Case) -> None:
            if case.claimed_by_other(person.name, uow.now()):
                raise Refused("Somebody else works on this case", "There is nothing to pass on.")
            if person.name not in case.skipped:
                case.skipped = (*case.skipped, person.name)
                uow.put(
                    SKIPS,
                    SkipRow(
                        id=uuid7(),
                        case_id=case.id,
                        by=person.name,
                        at=uow.now(),
                        reason=skip.reason.value,
                        queue=case.queue,
                        category=case.category,
                        restricted=case.restricted,
                    ),
                )
            case.claimed_by = case.claimed_until = None
            audit(uow, case, person.name, "skip", skip.reason.value)

        return await self._desk.change(person, Permission.CLAIM, case_id, work, claimed=False)

    async def skips(self, person: Person, since: datetime) -> dict[tuple[str, str, str], int]:
        """How often cases were passed on, by queue, category and reason; never by whom."""
        need(person, Permission.WORKLOAD)
        where = {"at": {"$gte": since}, **visible(person)}
        rows = [SKIPS.decode(d) for d in await self._hub.store.find(SKIPS, where)]
        return Counter((r.queue, r.category or "", r.reason) for r in rows)

    async def move(self, person: Person, case_id: str, move: Move) -> Case:
        """Put the case into another queue: its holder or a supervisor does. It is released; what
        is restricted stays so. Raises as :meth:`assign`.
        """

        async def work(uow: UnitOfWork, case: Case) -> None:
            missing = []
            if move.queue not in self._pack.queues:
                known = {"queues": ", ".join(self._pack.queues)}
                fix = "Use one of: {queues}."
                missing.append(Missing("queue", "is no queue of the country pack", fix, known))
            if not move.reason:
                missing.append(Missing("reason", "is missing", "Say in a sentence why."))
            if missing:
                raise NotLawful(missing)
            case.queue, case.routed_by = move.queue, person.name
            case.claimed_by = case.claimed_until = None
            body = await uow.keys.seal(case.id, NOTE, move.reason)
            uow.put(NOTES, NoteRow(uuid7(), case.id, person.name, uow.now(), body))
            audit(uow, case, person.name, "move", move.queue)

        return await self._by_holder_or_supervisor(person, case_id, work)

    async def _by_holder_or_supervisor(
        self,
        person: Person,
        case_id: str,
        work: Callable[[UnitOfWork, Case], Awaitable[None]],
    ) -> Case:
        if person.may(Permission.SUPERVISE):
            permission, claimed = Permission.SUPERVISE, False
        else:
            permission, claimed = Permission.CLAIM, True
        return await self._desk.change(person, permission, case_id, work, claimed=claimed)

    # -- time passes -----------------------------------------------------------------------------

    async def watch(self) -> bool:
        """Bring back the cases whose next contact is due. True: there may be more."""
        due = {"next_at": {"$lte": self._hub.clock.now()}}
        docs = await self._hub.store.find(CASES, due, sort=(("next_at", 1),), limit=_PAGE)
        for doc in docs:
            uow = self._hub.unit()
            case = uow.adopt(CASES, doc)
            case.next_at = None
            case.raise_flag(Attention.NEXT_CONTACT)
            audit(uow, case, CLOCK, "next_contact_due")
            case.place(self._pack, uow.now())
            uow.put(CASES, case)
            await keep_together(uow, self._pack, case, news=True)
            try:
                await self._hub.commit(uow)
            except Conflict:
                continue  # changed since it was read; the next turn sees it as it is now
        return len(docs) == _PAGE
