# SPDX-License-Identifier: Apache-2.0
"""Working several cases as one, and undoing that.

A merge changes who follows whom, never what a case is: no report, decision or request moves. What
is decided about the lead reaches a follower only through the desk, by the same person, with the law
asked for that item; where it is not lawful, the follower goes back to the queue.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from wasl_chassis.store import Collection, Doc, Index
from wasl_chassis.work import UnitOfWork
from wasl_schemas.country_pack import CountryPack
from wasl_schemas.ids import uuid7
from wasl_schemas.lifecycle import IllegalTransition

from wasl_triage.audit.trail import audit
from wasl_triage.cases.grouped import keep_together
from wasl_triage.casework import NOTE, Hub
from wasl_triage.desk import (
    AssessmentRequest,
    Desk,
    NoSuchCase,
    NotLawful,
    Refused,
    need,
)
from wasl_triage.domain.case import Case, DecisionRow
from wasl_triage.domain.decisions import Missing, Proposal
from wasl_triage.domain.grouping import follow, may_apply, may_merge
from wasl_triage.domain.people import Permission, Person
from wasl_triage.repository import CASES


class Kind(StrEnum):
    MERGE = "merge"
    SPLIT = "split"
    #: The lead's assessment or decision was applied to followers.
    APPLY_ASSESSMENT = "apply_assessment"
    APPLY_DECISION = "apply_decision"
    #: Cases left their group and are worked on their own again.
    PART = "part"


@dataclass(frozen=True, slots=True)
class Operation:
    """What was done to several cases at once. ``cases``: first the lead, or the one split."""

    id: str
    kind: Kind
    cases: tuple[str, ...]
    by: str
    at: datetime
    #: Why, sealed with the key of the first case.
    reason: str
    #: With a split: the reports that moved.
    reports: tuple[str, ...] = ()
    undone_by: str | None = None
    undone_at: datetime | None = None


def _encode(o: Operation) -> Doc:
    return {
        "kind": o.kind.value,
        "cases": list(o.cases),
        "by": o.by,
        "at": o.at,
        "reason": o.reason,
        "reports": list(o.reports),
        "undone_by": o.undone_by,
        "undone_at": o.undone_at,
    }


OPERATIONS: Collection[Operation] = Collection(
    "operations",
    lambda o: o.id,
    _encode,
    lambda d: Operation(
        d["_id"],
        Kind(d["kind"]),
        tuple(d["cases"]),
        d["by"],
        d["at"],
        d["reason"],
        tuple(d["reports"]),
        d["undone_by"],
        d["undone_at"],
    ),
    indexes=(Index((("cases", 1), ("at", 1))),),
)


@dataclass(frozen=True, slots=True)
class Done:
    """What became of one case of several. ``why``: a constant sentence where something stood in the
    way; ``missing``: what the law lacked.
    """

    case_id: str
    done: bool
    why: str = ""
    missing: tuple[Missing, ...] = field(default=())


async def held(desk: Desk, uow: UnitOfWork, person: Person, case_id: str) -> Case:
    """The case, which the person holds. Raises NoSuchCase, Refused."""
    case = await desk.case(uow, case_id, person)
    if not case.held_by(person.name, uow.now()):
        raise Refused("You do not hold this case", "Claim it first.")
    return case


async def free(desk: Desk, uow: UnitOfWork, person: Person, case_id: str) -> Case:
    """The case, which nobody else holds. Raises NoSuchCase, Refused."""
    case = await desk.case(uow, case_id, person)
    if case.claimed_by_other(person.name, uow.now()):
        raise Refused("Somebody else works on one of the cases", "Wait, or leave that case out.")
    return case


def reasoned(reason: str) -> None:
    """Raises NotLawful for an act without a reason."""
    if not reason:
        raise NotLawful([Missing("reason", "is missing", "Say in a sentence why.")])


class Grouping:
    def __init__(self, hub: Hub, pack: CountryPack, desk: Desk) -> None:
        self._hub = hub
        self._pack = pack
        self._desk = desk

    async def merge(
        self, person: Person, lead_id: str, ids: Sequence[str], reason: str
    ) -> Operation:
        """Let the cases ``ids`` be worked with the lead, which the person holds. Whoever merges
        sees every one of them. Raises NoSuchCase, Forbidden, NotLawful, Refused.
        """
        need(person, Permission.MERGE)
        reasoned(reason)

        async def work(uow: UnitOfWork) -> Operation:
            lead = await held(self._desk, uow, person, lead_id)
            members = [await free(self._desk, uow, person, i) for i in dict.fromkeys(ids)]
            if why := may_merge(lead, members):
                raise Refused(*why)
            for member in members:
                member.lead = lead.id
                member.group_restricted = lead.group_restricted
                audit(uow, member, person.name, "merge", lead.id)
                member.place(self._pack, uow.now())
                uow.put(CASES, member)
                lead.followers[member.id] = follow(member, self._pack)
            cases = (lead.id, *(m.id for m in members))
            done = await operation(uow, Kind.MERGE, cases, person, reason)
            audit(uow, lead, person.name, "merge", done.id)
            await keep_together(uow, self._pack, lead)
            return done

        return await self._hub.transact(work)

    async def part(self, person: Person, case_id: str, reason: str) -> Operation:
        """Take one follower out of its group; what was decided stays. Raises as :meth:`merge`."""
        need(person, Permission.MERGE)
        reasoned(reason)

        async def work(uow: UnitOfWork) -> Operation:
            case = await free(self._desk, uow, person, case_id)
            if case.lead is None:
                raise Refused("The case follows no other", "It is in the queue on its own.")
            lead = await free(self._desk, uow, person, case.lead)
            done = await operation(uow, Kind.PART, (lead.id, case.id), person, reason)
            audit(uow, lead, person.name, "part", done.id)
            await self._part(uow, person, lead, [case])
            return done

        return await self._hub.transact(work)

    async def undo(self, person: Person, operation_id: str) -> Operation:
        """Let the cases of a merge be worked on their own again, as far as they still follow.
        Raises NoSuchCase, Refused: once a decision about the lead was applied to one of them.
        """
        need(person, Permission.MERGE)

        async def work(uow: UnitOfWork) -> Operation:
            done = await live(self._desk, uow, person, operation_id, Kind.MERGE)
            lead = await held(self._desk, uow, person, done.cases[0])
            members = [await free(self._desk, uow, person, i) for i in done.cases[1:]]
            for later in await self.of(lead.id):
                shared = set(later.cases[1:]) & set(done.cases[1:])
                if later.kind is Kind.APPLY_DECISION and later.at >= done.at and shared:
                    raise Refused(
                        "A decision was applied to the group since",
                        "Take single cases out of the group instead.",
                    )
            audit(uow, lead, person.name, "undo_merge", done.id)
            following = [m for m in members if m.lead == lead.id]
            await self._part(uow, person, lead, following)
            return undone(uow, done, person)

        return await self._hub.transact(work)

    async def _part(
        self, uow: UnitOfWork, person: Person, lead: Case, members: Sequence[Case]
    ) -> None:
        now = uow.now()
        lead.stay_restricted(now)
        for member in members:
            member.stay_restricted(now)
            member.lead, member.group_restricted = None, False
            del lead.followers[member.id]
            audit(uow, member, person.name, "part", lead.id)
            member.place(self._pack, now)
            uow.put(CASES, member)
        if not lead.followers:
            lead.group_restricted = False
        lead.place(self._pack, now)
        uow.put(CASES, lead)
        await keep_together(uow, self._pack, lead)

    async def of(self, case_id: str) -> list[Operation]:
        """What was done to the case together with others, oldest first; reasons still sealed."""
        docs = await self._hub.store.find(OPERATIONS, {"cases": case_id}, sort=(("at", 1),))
        return [OPERATIONS.decode(d) for d in docs]

    # -- what was said of the lead -------------------------------------------------------------

    async def apply(self, person: Person, lead_id: str, *, decision: bool) -> list[Done]:
        """Say of each follower what the person said of the lead: its assessment and, with
        ``decision``, the newest decision of theirs. One commit each; repeating it is harmless.

        Followers the person does not see are left alone and not told of. Raises NoSuchCase,
        Forbidden, Refused.
        """
        need(person, Permission.DECIDE if decision else Permission.ASSESS)
        uow = self._hub.unit()
        lead = await held(self._desk, uow, person, lead_id)
        said = await self._said(uow, lead, person)
        row, proposal = await self._decided(uow, lead, person) if decision else (None, None)
        out = []
        for follower_id in sorted(lead.followers):
            try:
                follower = await self._desk.case(self._hub.unit(), follower_id, person)
            except NoSuchCase:
                continue
            out.append(await self._apply(person, follower, said, row, proposal))
        kind = Kind.APPLY_DECISION if decision else Kind.APPLY_ASSESSMENT
        await self._applied(person, lead_id, kind, out)
        return out

    async def _apply(
        self,
        person: Person,
        follower: Case,
        said: AssessmentRequest,
        row: DecisionRow | None,
        proposal: Proposal | None,
    ) -> Done:
        if row is not None and any(_same(d, row) for d in follower.decisions):
            return Done(follower.id, done=True)
        if missing := may_apply(self._pack, follower, said.category):
            return Done(follower.id, done=False, missing=tuple(missing))
        desk = self._desk
        try:
            case = await desk.claim(person, follower.id)
        except Refused as why:
            return Done(follower.id, done=False, why=str(why))
        try:
            if not _assessed(case, said, person):
                case = await desk.assess(person, case.id, said)
            if proposal is not None:
                case = await desk.decide(person, case.id, proposal)
            result = Done(case.id, done=True)
        except NotLawful as law:
            result = Done(follower.id, done=False, missing=tuple(law.missing))
        except IllegalTransition:
            wrong = Missing("state", "does not allow this", "Work on this case by itself.")
            result = Done(follower.id, done=False, missing=(wrong,))
        except Refused as why:
            result = Done(follower.id, done=False, why=str(why))
        except NoSuchCase:  # it became something else, and lies elsewhere now
            return Done(follower.id, done=False, why="It went to people of another queue")
        sees = person.sees(case.queue, restricted=case.restricted)
        if sees and case.held_by(person.name, self._hub.clock.now()):
            await desk.release(person, case.id, done=False)
        return result

    async def _applied(
        self, person: Person, lead_id: str, kind: Kind, results: Sequence[Done]
    ) -> None:
        """Write down what was applied; what was not lawful waits for a look of its own."""
        done = tuple(r.case_id for r in results if r.done)
        unlawful = [r.case_id for r in results if r.missing]

        async def work(uow: UnitOfWork) -> None:
            lead = await self._desk.case(uow, lead_id, person)
            if done:
                row = await operation(uow, kind, (lead.id, *done), person, "")
                audit(uow, lead, person.name, kind.value, row.id)
            uow.put(CASES, lead)
            for case in await _cases(uow, done):
                await keep_together(uow, self._pack, case)
            gone = [c for c in await _cases(uow, unlawful) if c.lead == lead.id]
            if gone:
                cases = (lead.id, *(c.id for c in gone))
                await operation(uow, Kind.PART, cases, person, "")
                await self._part(uow, person, lead, gone)

        await self._hub.transact(work)

    async def _said(self, uow: UnitOfWork, lead: Case, person: Person) -> AssessmentRequest:
        said = lead.assessment
        if said is None or said.by != person.name:
            raise Refused(
                "You have not assessed the case that leads", "Assess it; then apply it to the rest."
            )
        known = {
            "category": said.category,
            "signals": said.confirmed,
            "dismissed": said.dismissed,
            "answers": said.answers,
            "note": await uow.keys.open(said.note, NOTE) if said.note else "",
        }
        fields = AssessmentRequest.model_fields
        return AssessmentRequest.model_validate({k: v for k, v in known.items() if k in fields})

    async def _decided(
        self, uow: UnitOfWork, lead: Case, person: Person
    ) -> tuple[DecisionRow, Proposal]:
        for row in reversed(lead.decisions):
            stands = row.confirmed is not False and row.reversed_by is None
            if row.by == person.name and row.round == lead.round and stands and row.proposal:
                text = await uow.keys.open(row.proposal, NOTE)
                return row, Proposal.model_validate_json(text)
        raise Refused(
            "You have decided nothing about the case that leads",
            "Decide it; then apply it to the rest.",
        )


async def _cases(uow: UnitOfWork, ids: Sequence[str]) -> list[Case]:
    await uow.load(CASES, ids)
    return [c for i in ids if (c := await uow.get(CASES, i))]


async def operation(
    uow: UnitOfWork,
    kind: Kind,
    cases: tuple[str, ...],
    person: Person,
    reason: str,
    *,
    reports: tuple[str, ...] = (),
) -> Operation:
    """Write down what was done, in the commit that does it."""
    sealed = await uow.keys.seal(cases[0], NOTE, reason)
    row = Operation(uuid7(), kind, cases, person.name, uow.now(), sealed, reports)
    uow.put(OPERATIONS, row)
    return row


async def live(
    desk: Desk, uow: UnitOfWork, person: Person, operation_id: str, kind: Kind
) -> Operation:
    """The operation of this kind, not undone yet, on cases the person sees. Raises NoSuchCase,
    Refused.
    """
    row = await uow.get(OPERATIONS, operation_id)
    if row is None or row.kind is not kind:
        raise NoSuchCase
    for case_id in row.cases:
        await desk.case(uow, case_id, person)
    if row.undone_by is not None:
        raise Refused("It was undone already", "Read the case again.")
    return row


def undone(uow: UnitOfWork, row: Operation, person: Person) -> Operation:
    row = replace(row, undone_by=person.name, undone_at=uow.now())
    uow.put(OPERATIONS, row)
    return row


def _same(mine: DecisionRow, row: DecisionRow) -> bool:
    """A decision of the follower is the lead's, applied."""
    return mine.at >= row.at and all(
        getattr(mine, name) == getattr(row, name)
        for name in ("by", "action", "ground", "partners", "authorities", "advice", "close_reason")
    )


def _assessed(case: Case, said: AssessmentRequest, person: Person) -> bool:
    mine = case.assessment
    return mine is not None and (
        (mine.by, mine.category, set(mine.confirmed), set(mine.dismissed))
        == (person.name, said.category, set(said.signals), set(said.dismissed))
    )
