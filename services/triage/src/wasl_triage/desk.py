# SPDX-License-Identifier: Apache-2.0
"""What the people of the desk do: look, claim, assess, decide, look a second time, write, reopen.

Each act is one transaction: the change, its event and its audit row, a read included. Whoever
changes a case holds its claim. Nothing leaves the hub unless the law of decisions finds nothing
missing, at the proposal and again at the confirmation.
"""

import hashlib
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any, Literal, TypeVar

from pydantic import Field
from wasl_chassis.work import UnitOfWork
from wasl_schemas import topics
from wasl_schemas.base import Model, Slug
from wasl_schemas.country_pack import CountryPack
from wasl_schemas.events.case_updated_v1 import CaseChange
from wasl_schemas.events.common import Ground
from wasl_schemas.events.dispatch_requested_v1 import DispatchItem
from wasl_schemas.events.staff_message_sent_v1 import StaffMessageSentV1
from wasl_schemas.ids import ReportId, uuid7
from wasl_schemas.lifecycle import ACTED, CASE, DISPATCH, CaseState, DispatchState
from wasl_schemas.taxonomy import FourEyes, Signal

from wasl_triage import metrics as measure
from wasl_triage.audit.trail import AUDIT, AuditRow, audit, broken_link, looked
from wasl_triage.care.wellbeing import Wellbeing
from wasl_triage.cases.grouped import keep_together
from wasl_triage.cases.sheets import SHOWN_REPORTS, Sheet, Sheets
from wasl_triage.casework import ITEM, MESSAGE, NOTE, Hub, Requests, announce
from wasl_triage.domain import assessment, clocks, second_look
from wasl_triage.domain.assessment import Answer
from wasl_triage.domain.case import (
    Action,
    Assessment,
    Attention,
    Case,
    DecisionRow,
    DispatchRow,
    Judgement,
    Measure,
)
from wasl_triage.domain.decisions import (
    CaseFacts,
    Missing,
    Proposal,
    Rabat,
    Screen,
    Words,
    check_decision,
    check_second,
    four_eyes,
    law_version,
    route_for,
    stricter,
)
from wasl_triage.domain.people import EVERY_QUEUE, Permission, Person, Role
from wasl_triage.domain.severity import Scales
from wasl_triage.quality.kept import Sample, note_second_look
from wasl_triage.repository import CASES, MESSAGES, REPORTS, Message

T = TypeVar("T")

_NOTES_KEPT = 20
#: States in which what was asked may still be replaced.
_AMENDABLE = (
    DispatchState.REQUESTED,
    DispatchState.AMBIGUOUS,
    DispatchState.SENT,
    DispatchState.ACKNOWLEDGED,
    DispatchState.NO_REPLY,
    DispatchState.DISPUTED,
)
_BEFORE = (FourEyes.PRE, FourEyes.PRE_LEGAL)


class NoSuchCase(Exception):  # noqa: N818
    """No case has this id."""


class Refused(Exception):  # noqa: N818
    """The act is not allowed now. ``why``: a constant sentence; ``fix``: what to do instead."""

    def __init__(self, why: str, fix: str) -> None:
        super().__init__(why)
        self.fix = fix


class Forbidden(Exception):  # noqa: N818
    """The person's role is not enough."""


class NotLawful(Exception):  # noqa: N818
    """Elements the law requires are missing; nothing was changed."""

    def __init__(self, missing: list[Missing]) -> None:
        super().__init__()
        self.missing = missing


#: Question of the country pack → answer.
Answers = dict[Slug, Answer]


class AssessmentRequest(Model):
    """What the item is, said by an analyst. ``answers``: to every question the pack has for the
    category. ``signals`` adds to the reports' facts and the answers', ``dismissed`` takes some
    away; ``note`` is required to change what was assessed, or to make of something that never
    leaves the hub something that may.
    """

    category: Slug
    answers: Answers = Field(default_factory=dict, max_length=50)
    signals: tuple[Signal, ...] = Field(default=(), max_length=20)
    dismissed: tuple[Signal, ...] = Field(default=(), max_length=20)
    note: Words = ""


class OwnJudgement(Model):
    """What the second person calls the item, apart from the first."""

    category: Slug
    answers: Answers = Field(default_factory=dict, max_length=50)


class Confirmation(Model):
    """The second person's answer. Where the category is judged blind, ``assessment`` comes first:
    alone, to read the first person's afterwards, or together with ``confirm``.
    """

    decision_id: str = Field(max_length=64)
    #: None: only the assessment is given.
    confirm: bool | None = None
    reason: Words = ""
    assessment: OwnJudgement | None = None


class Amendment(Model):
    """What becomes of a request that was made. ``correct``: the partner gets other words or another
    ground instead; ``insist``: it contests the request and is told that it stands; ``withdraw``.
    ``reason`` is the desk's own; ``code`` is what the partner reads of a withdrawal.
    """

    action: Literal["correct", "insist", "withdraw"]
    reason: Words = Field(min_length=1)
    code: Literal["decided_anew", "sent_in_error", "reporter_asked", "no_longer_needed"] = (
        "decided_anew"
    )
    explanation: Words | None = None
    ground: Ground | None = None
    measure: Measure | None = None
    measure_note: Words = ""
    screen: Screen | None = None
    screen_note: Words = ""
    #: None: the one the request was decided with.
    rabat: Rabat | None = None


class MessageRequest(Model):
    """``question``: an answer is asked for."""

    report_id: ReportId
    text: Words = Field(min_length=1)
    question: bool = False


class Desk:
    def __init__(
        self,
        hub: Hub,
        pack: CountryPack,
        requests: Requests,
        *,
        claim_for: timedelta,
        sample: Sample,
    ) -> None:
        self._hub = hub
        self._pack = pack
        self._requests = requests
        self._scales = Scales(pack)
        self._claim_for = claim_for
        self._sample = sample
        self.sheets = Sheets(hub.store, pack, self._scales)
        self.wellbeing = Wellbeing(hub, pack)

    # -- looking ---------------------------------------------------------------------------

    async def queue(self, person: Person, limit: int, queue: str | None = None) -> list[Case]:
        """What waits, gravest rank first, then the oldest due time. Left out: cases somebody else
        holds, those the person passed on or opted out of, distressing ones once the person's budget
        is used up, and their own proposals, which another must look at.
        """
        need(person, Permission.QUEUE)
        now = self._hub.clock.now()
        where = {"queued": True, **visible(person)}
        if queue is not None:
            if not person.sees(queue, restricted=False):
                return []
            where["queue"] = queue
        docs = await self._hub.store.find(
            CASES,
            where,
            sort=(("rank", 1), ("queue_due", 1), ("_id", 1)),
            limit=limit * 3 + 30,
        )
        spared = await self.wellbeing.spared(person)
        cases = [CASES.decode(d) for d in docs]
        return [
            self.as_seen(c, person)
            for c in cases
            if not c.claimed_by_other(person.name, now)
            and c.category not in spared
            and person.name not in c.skipped
            and not _own(c, person)
        ][:limit]

    async def saw(self, person: Person, kind: str, what: str) -> None:
        """A person looked at a list: that they did is audited, as every read is."""

        async def work(uow: UnitOfWork) -> None:
            await looked(uow, person.name, kind, what)

        await self._hub.transact(work)

    async def pulse(self, person: Person, case_id: str | None = None) -> str:
        """A word that changes when the head of the person's queue, or the case, does."""
        if case_id is None:
            where = {"queued": True, **visible(person)}
            order = (("rank", 1), ("queue_due", 1), ("_id", 1))
            docs = await self._hub.store.find(CASES, where, sort=order, limit=SHOWN_REPORTS)
            told = [(d["_id"], d["version"], d["claimed_by"], *d["attention"]) for d in docs]
        else:
            case = await self.case(self._hub.unit(), case_id, person)
            told = [(case.version, case.claimed_by, *case.attention, len(case.decisions))]
        return hashlib.sha256(repr(told).encode()).hexdigest()[:16]

    async def waiting(self, person: Person) -> dict[str, int]:
        """How many visible cases wait in each of the person's queues."""
        need(person, Permission.QUEUE)
        out = {}
        for queue in self._pack.desk.queues:
            if person.sees(queue.id, restricted=False):
                where = {"queued": True, **visible(person), "queue": queue.id}
                out[queue.id] = await self._hub.store.count(CASES, where)
        return out

    async def read(self, person: Person, case_id: str, *, unredacted: bool = False) -> Sheet:
        """The case with its texts opened; identifiers in them are blacked out unless asked for.
        Every read is audited. Raises NoSuchCase, and Refused to a second viewing unmasked.
        """
        need(person, Permission.UNMASK if unredacted else Permission.READ)

        async def work(uow: UnitOfWork) -> Sheet:
            case = await self.case(uow, case_id, person)
            if unredacted and second_look.closed(self._pack, case, person.name):
                raise Refused(
                    "Nobody views this a second time", "Check data and routing; they are shown."
                )
            held = case.held_by(person.name, uow.now())
            if not held and not await self.wellbeing.allows(uow, person, case):
                raise Refused(
                    "Your budget for distressing cases is used up today",
                    "Take other cases, or stop for today: somebody else looks at this one.",
                )
            await self.wellbeing.count(uow, person, case)
            audit(uow, case, person.name, "read_unredacted" if unredacted else "read")
            uow.put(CASES, case)
            return await self.sheets.open(uow, case, person.name, unredacted=unredacted)

        return await self._hub.transact(work)

    async def trail(self, person: Person, case_id: str) -> tuple[list[AuditRow], int | None]:
        """The case's audit rows, oldest first, and the first that does not hold. Whoever has yet to
        judge apart from the first person is not told what was assessed.
        """
        need(person, Permission.AUDIT)
        case = await self.case(self._hub.unit(), case_id, person)
        docs = await self._hub.store.read(
            AUDIT, [f"{case_id}|{n:08d}" for n in range(1, case.audit_seq + 1)]
        )
        rows = sorted((AUDIT.decode(d) for d in docs.values()), key=lambda r: r.seq)
        broken = broken_link(case, rows)
        if second_look.blinded(self._pack, case, person.name):
            rows = [replace(r, why="") if r.what == "assess" else r for r in rows]
        return rows, broken

    # -- claiming --------------------------------------------------------------------------

    async def claim(self, person: Person, case_id: str, *, take_over: bool = False) -> Case:
        """Hold the case for a while; the first claim of a round is the first look. A supervisor may
        take over. Raises NoSuchCase, Refused.
        """

        async def work(uow: UnitOfWork, case: Case) -> None:
            if case.claimed_by_other(person.name, uow.now()) and not (
                take_over and person.may(Permission.SUPERVISE)
            ):
                raise Refused(
                    "Somebody else works on this case",
                    "Take the next one, or let a supervisor take it over.",
                )
            case.claimed_by = person.name
            if case.look_pending:
                case.look_pending = False
                audit(uow, case, person.name, "first_look")
            audit(uow, case, person.name, "take_over" if take_over else "claim")

        return await self.change(person, Permission.CLAIM, case_id, work, claimed=False)

    async def release(self, person: Person, case_id: str, *, done: bool) -> Case:
        """Give the case back. ``done``: what called for attention has been seen to."""

        async def work(uow: UnitOfWork, case: Case) -> None:
            if done:
                case.attention = ()
            audit(uow, case, person.name, "release", "done" if done else "")
            case.claimed_by = case.claimed_until = None

        return await self.change(person, Permission.CLAIM, case_id, work)

    # -- judging ---------------------------------------------------------------------------

    async def assess(self, person: Person, case_id: str, said: AssessmentRequest) -> Case:
        """Say what the item is. Raises NoSuchCase, Refused, NotLawful, IllegalTransition."""

        async def work(uow: UnitOfWork, case: Case) -> None:
            missing = self._check_assessment(case, said)
            if missing:
                raise NotLawful(missing)
            now = uow.now()
            case.move("assess", now)
            note = await uow.keys.seal(case.id, NOTE, said.note) if said.note else None
            ticked = assessment.union(
                assessment.Ticked(said.signals, said.dismissed),
                assessment.ticked_by(self._pack, said.answers),
            )
            case.assessment = Assessment(
                category=said.category,
                confirmed=tuple(s.value for s in ticked.confirmed),
                dismissed=tuple(s.value for s in ticked.dismissed),
                by=person.name,
                at=now,
                note=note,
                answers=dict(said.answers),
                over=tuple(case.reported),
            )
            case.weigh(self._pack, self._scales, now)
            case.attention = ()
            audit(uow, case, person.name, "assess", said.category)
            announce(uow, case, CaseChange.ASSESSED)

        return await self.change(person, Permission.ASSESS, case_id, work)

    def _check_assessment(self, case: Case, said: AssessmentRequest) -> list[Missing]:
        out = assessment.check_category(self._pack, said.category)
        if not out:
            if self._reclasses(case, said.category) and not said.note:
                out.append(
                    Missing("note", "is missing, and the category changes", "Say why it changes.")
                )
            out += assessment.check_answers(self._pack, said.category, said.answers)
        return out + assessment.check_signals(
            self._pack, said.answers, said.signals, said.dismissed
        )

    def _reclasses(self, case: Case, category: str) -> bool:
        if case.assessment is not None:
            return case.assessment.category != category
        held = self._pack.categories.get(case.category) if case.category else None
        new = self._pack.category(category)
        return held is not None and not held.dispatchable and new.dispatchable

    async def decide(self, person: Person, case_id: str, proposal: Proposal) -> Case:
        """Act, or propose to a second person, or end the case, as the law allows.

        Raises NoSuchCase, Refused, NotLawful, IllegalTransition; then nothing happened.
        """

        async def work(uow: UnitOfWork, case: Case) -> None:
            self._check(uow, case, proposal, person)
            case.attention = ()
            row = await self._row(uow, case, proposal, person)
            case.decisions.append(row)
            if proposal.action in (Action.CLOSE, Action.ADVISE):
                self._end(uow, case, proposal)
            elif row.four_eyes in _BEFORE:
                case.move("propose", uow.now())
                row.second_due = clocks.dispatch_due(self._pack, case.severity, uow.now())
                announce(uow, case, CaseChange.SECOND_LOOK_ASKED)
            else:
                case.move("act", uow.now())
                if row.four_eyes is FourEyes.POST:
                    row.second_due = clocks.confirm_due(self._pack, uow.now())
                announce(uow, case, CaseChange.DECIDED, ground=row.ground, advice=row.advice)
                await self._send(uow, case, row, proposal)
            if case.state is not CaseState.SECOND_LOOK:
                self._sample.take(uow, case, row)
            case.await_second()
            if case.pending():
                case.claimed_by = case.claimed_until = None  # another person is to hold it
            audit(uow, case, person.name, f"decide_{proposal.action}", row.id)
            measure.record_decision(self._hub.metrics, proposal.action, automatic=False)

        return await self.change(person, Permission.DECIDE, case_id, work)

    async def second_look(self, person: Person, case_id: str, answer: Confirmation) -> Case:
        """Confirm or reject what another person decided, or first judge apart from them.

        Two different categories end the proposal: the case goes back, with both kept. Raises as
        :meth:`decide`.
        """

        async def work(uow: UnitOfWork, case: Case) -> None:
            row = next((d for d in case.pending() if d.id == answer.decision_id), None)
            if row is None:
                raise Refused(
                    "No such decision waits for a second look",
                    "Read the case again; it lists the decisions that wait.",
                )
            proposer = _proposer(row)
            if missing := self._check_second(case, row, proposer, person, answer):
                raise NotLawful(missing)
            own = answer.assessment
            if own is not None:
                said = Judgement(person.name, uow.now(), own.category, dict(own.answers))
                row.judgements = (*row.judgements, said)
            apart = own is not None and own.category != row.category
            confirms = False if apart else answer.confirm
            blind = second_look.judged_blind(self._pack, row)
            await note_second_look(uow, row, person.name, blind=blind, confirmed=confirms)
            if confirms is None:
                audit(uow, case, person.name, "judge", row.id)
                return
            row.second, row.second_at, row.confirmed = person.name, uow.now(), confirms
            case.attention = ()
            if confirms:
                await self._confirm(uow, case, row, proposer)
            else:
                if row.four_eyes in _BEFORE:
                    case.move("reject", uow.now())
                    announce(uow, case, CaseChange.ASSESSED)
                else:
                    # It has left already: a supervisor must see that the two disagree.
                    case.raise_flag(Attention.OBJECTION)
                if apart:
                    case.raise_flag(Attention.DISAGREEMENT)
            case.await_second()
            word = "confirm" if confirms else "disagree" if apart else "reject"
            audit(uow, case, person.name, word, row.id)

        return await self.change(person, Permission.SECOND_LOOK, case_id, work)

    def _check_second(
        self,
        case: Case,
        row: DecisionRow,
        proposer: Person,
        person: Person,
        answer: Confirmation,
    ) -> list[Missing]:
        blind, says, own = second_look.judged_blind(self._pack, row), answer.confirm, None
        known = self._pack.categories.get(row.category) if row.category else None
        asked = row.four_eyes
        if known is not None:
            # The case may have come under a lawyer's eyes since.
            now = four_eyes(known, row.action, legal_review=case.legal_review)
            asked = stricter(asked, now)
        first = case.assessment.by if blind and case.assessment else None
        out = check_second(
            self._pack, row.category, asked, proposer, person, assessor=first, says=says
        )
        if says is False and not answer.reason:
            out.append(Missing("reason", "is missing", "Say why it is rejected."))
        own, given = answer.assessment, any(j.by == person.name for j in row.judgements)
        if own is not None:
            found = assessment.check_category(self._pack, own.category)
            found = found or assessment.check_answers(self._pack, own.category, own.answers)
            out += [replace(m, field=f"assessment.{m.field}") for m in found]
            if given:
                out.append(Missing("assessment", "was given already", "Confirm or reject."))
        elif blind and not given and says is not False:
            out.append(
                Missing(
                    "assessment",
                    "is missing, and this category is judged blind",
                    "Say what the item is before you read what the first person said.",
                )
            )
        elif says is None:
            out.append(Missing("confirm", "is missing", "Confirm or reject."))
        return out

    async def _confirm(
        self, uow: UnitOfWork, case: Case, row: DecisionRow, proposer: Person
    ) -> None:
        if row.four_eyes not in _BEFORE or row.proposal is None:
            announce(uow, case, CaseChange.CONFIRMED, ground=row.ground)
            return
        case.move("confirm", uow.now())
        if self.facts(case).category != row.category:
            raise Refused(
                "The item is assessed as something else by now", "Reject it, and decide anew."
            )
        proposal = Proposal.model_validate_json(await uow.keys.open(row.proposal, NOTE))
        # The world may have moved since: an agreement may have ended, a partner been asked.
        self._check(uow, case, proposal, proposer)
        row.law_version = law_version(self._pack, row.ground)
        announce(uow, case, CaseChange.CONFIRMED, ground=row.ground, advice=row.advice)
        await self._send(uow, case, row, proposal)
        self._sample.take(uow, case, row)

    async def amend(
        self, person: Person, case_id: str, dispatch_id: str, wanted: Amendment
    ) -> Case:
        """Correct a request, insist on it or take it back. The gateway tells the partner, or asks a
        person to. Raises as :meth:`decide`.
        """

        async def work(uow: UnitOfWork, case: Case) -> None:
            row = case.dispatches.get(dispatch_id)
            if row is None:
                raise Refused("The case has no such request", "Take an id from the case's sheet.")
            if wanted.action == "withdraw":
                if row.state in ACTED and case.state in CASE.settled:
                    raise Refused(
                        "The case ended with what the partner did",
                        "Reopen the case, then take the request back.",
                    )
                row.take_back(wanted.code)
            else:
                if wanted.action == "insist":
                    DISPATCH.move(row.state, "insist")
                if row.withdrawn or row.state not in _AMENDABLE:
                    raise Refused(
                        "The request is settled or taken back", "Decide anew, in a new round."
                    )
                await self._check_amendment(uow, case, row, wanted, person)
                row.ground = wanted.ground or row.ground
                row.measure = wanted.measure or row.measure
                row.item = await self._worded(uow, case, row.item, wanted.explanation)
            self._requests.amend(uow, case, dispatch_id, row)
            case.attention = ()
            audit(uow, case, person.name, f"{wanted.action}_request", dispatch_id)
            note = await uow.keys.seal(case.id, NOTE, wanted.reason)
            row.notes = (*row.notes, note)[-_NOTES_KEPT:]

        return await self.change(person, Permission.AMEND, case_id, work)

    async def _check_amendment(
        self, uow: UnitOfWork, case: Case, row: DispatchRow, wanted: Amendment, person: Person
    ) -> None:
        """The law of decisions holds for what replaces a decision."""
        decided = _decision_behind(case, row)
        proposal = Proposal(action=Action.DISPATCH)
        if decided is not None and decided.proposal is not None:
            text = await uow.keys.open(decided.proposal, NOTE)
            proposal = Proposal.model_validate_json(text, extra="ignore")
        proposal = proposal.model_copy(
            update={
                "reason": wanted.reason,
                "ground": wanted.ground or row.ground,
                "partners": (row.partner,),
                "explanation": wanted.explanation or "",
                "scope": None,
                "advice": None,
                "measure": wanted.measure or row.measure,
                "measure_note": wanted.measure_note or proposal.measure_note,
                "screen": wanted.screen,
                "screen_note": wanted.screen_note,
                "rabat": wanted.rabat or proposal.rabat,
            }
        )
        missing = self._missing(uow, case, proposal, person, asked=())
        changes = any(
            new is not None for new in (wanted.ground, wanted.explanation, wanted.measure)
        )
        category = self._pack.category(row.category)
        eyes = four_eyes(category, Action.DISPATCH, legal_review=case.legal_review)
        if changes and eyes in _BEFORE and decided is not None:
            first = Person(name=decided.by, roles=frozenset({Role.ANALYST}))
            missing += check_second(self._pack, row.category, eyes, first, person)
        if missing:
            raise NotLawful(missing)

    # -- writing and reopening -------------------------------------------------------------

    async def write(self, person: Person, case_id: str, letter: MessageRequest) -> Case:
        """Write to one reporter of the case, sealed with that report's key. Raises KeyDestroyed."""

        async def work(uow: UnitOfWork, case: Case) -> None:
            report = await uow.get(REPORTS, letter.report_id)
            if report is None or case.id not in report.cases:
                raise NotLawful(
                    [Missing("report_id", "is no report of this case", "Use one the case lists.")]
                )
            body = await uow.keys.seal(report.id, MESSAGE, letter.text)
            message = Message(uuid7(), report.id, uow.now(), person.name, letter.question, body)
            uow.put(MESSAGES, message)
            uow.emit(
                topics.STAFF_MESSAGE_SENT_V1,
                StaffMessageSentV1(
                    message_id=message.id,
                    case_id=case.id,
                    report_id=report.id,
                    sent_at=message.sent_at,
                    question=letter.question,
                    body=body,
                ),
            )
            case.attention = tuple(a for a in case.attention if a != Attention.REPORTER_MESSAGE)
            audit(uow, case, person.name, "write", report.id)

        return await self.change(person, Permission.WRITE, case_id, work)

    async def reopen(self, person: Person, case_id: str, reason: str) -> Case:
        """Look at a settled case again, in a new round. Raises IllegalTransition."""

        async def work(uow: UnitOfWork, case: Case) -> None:
            if not reason:
                raise NotLawful([Missing("reason", "is missing", "Say why it is reopened.")])
            case.reopen(self._pack, uow.now())
            case.look_pending = False  # whoever reopens it is looking
            case.weigh(self._pack, self._scales, uow.now())
            audit(uow, case, person.name, "reopen")
            announce(uow, case, CaseChange.REOPENED)

        return await self.change(person, Permission.REOPEN, case_id, work)

    # -- inside ----------------------------------------------------------------------------

    async def case(self, uow: UnitOfWork, case_id: str, person: Person) -> Case:
        """The case, if there is one for this person: what they may not see does not exist."""
        case = await uow.get(CASES, case_id)
        if case is None or not person.sees(case.queue, restricted=case.restricted):
            raise NoSuchCase
        return case

    async def change(
        self,
        person: Person,
        permission: Permission,
        case_id: str,
        work: Callable[[UnitOfWork, Case], Awaitable[None]],
        *,
        claimed: bool = True,
    ) -> Case:
        """One act on one case in one commit; its holder's claim is renewed.

        ``claimed``: only its holder may. Raises NoSuchCase, Forbidden, Refused.
        """
        need(person, permission)

        async def attempt(uow: UnitOfWork) -> Case:
            case = await self.case(uow, case_id, person)
            now = uow.now()
            if claimed and not case.held_by(person.name, now):
                raise Refused("You do not hold this case", "Claim it first.")
            await work(uow, case)
            if case.claimed_by == person.name:
                case.claimed_until = now + self._claim_for
            self._requests.plan(case, now)
            case.place(self._pack, now)
            uow.put(CASES, case)
            await keep_together(uow, self._pack, case)
            return self.as_seen(case, person)

        return await self._hub.transact(attempt)

    def as_seen(self, case: Case, person: Person) -> Case:
        """The case as the person may know it; see :mod:`wasl_triage.domain.second_look`."""
        return second_look.as_seen(self._pack, self._scales, case, person.name)

    def facts(self, case: Case) -> CaseFacts:
        """The case as the law of decisions sees it."""
        return CaseFacts(
            category=case.assessment.category if case.assessment else None,
            platform=case.platform,
            kind=case.kind,
            located=case.located,
            signals=case.signals(self._scales),
            reports=case.reports,
            consent_partner=case.consent_partner,
            consent_authority=case.consent_authority,
            legal_review=case.legal_review,
            hosted=case.hosted,
            via=tuple(case.via),
            answers=case.assessment.answers if case.assessment else {},
            tried=case.tried(),
        )

    def _check(self, uow: UnitOfWork, case: Case, proposal: Proposal, proposer: Person) -> None:
        rows: Iterable[tuple[str, int]] = (
            [(r.partner, r.round) for r in case.dispatches.values()]
            if proposal.action is Action.DISPATCH
            else [(r.authority, r.round) for r in case.referrals.values()]
        )
        asked = [to for to, round_ in rows if round_ == case.round]
        if missing := self._missing(uow, case, proposal, proposer, asked):
            measure.record_staff_refused(self._hub.metrics, "law")
            raise NotLawful(missing)

    def _missing(
        self,
        uow: UnitOfWork,
        case: Case,
        proposal: Proposal,
        proposer: Person,
        asked: Collection[str],
    ) -> list[Missing]:
        return check_decision(
            self._pack,
            self.facts(case),
            proposal,
            proposer,
            on=uow.now().date(),
            connectors=self._requests.connectors,
            asked=asked,
        )

    async def _row(
        self, uow: UnitOfWork, case: Case, proposal: Proposal, person: Person
    ) -> DecisionRow:
        category = self._pack.categories.get(case.category) if case.category else None
        eyes = (
            four_eyes(category, proposal.action, legal_review=case.legal_review)
            if category
            else FourEyes.NONE
        )
        return DecisionRow(
            id=uuid7(),
            action=proposal.action,
            category=case.category,
            by=person.name,
            at=uow.now(),
            round=case.round,
            four_eyes=eyes,
            ground=proposal.ground,
            partners=proposal.partners,
            authorities=proposal.authorities,
            scope=self._scope(uow, case, proposal),
            proposal=await uow.keys.seal(case.id, NOTE, proposal.model_dump_json()),
            advice=proposal.advice,
            close_reason=proposal.close_reason.value if proposal.close_reason else None,
            by_legal=person.may(Permission.SIGN_LEGAL),
            law_version=law_version(self._pack, proposal.ground),
        )

    def _scope(self, uow: UnitOfWork, case: Case, proposal: Proposal) -> str | None:
        if proposal.action is not Action.DISPATCH or case.category is None:
            return None
        if proposal.scope == "global":
            return "global"
        route = route_for(self._pack, case.category, case.platform, uow.now().date())
        if proposal.scope == "country" or route is None:
            return self._pack.info.country
        return route.scope

    def _end(self, uow: UnitOfWork, case: Case, proposal: Proposal) -> None:
        reason = proposal.close_reason.value if proposal.close_reason else "advised"
        if any(r.state not in DISPATCH.settled for r in case.dispatches.values()):
            raise Refused(
                "A partner still has to answer about this case",
                "Wait for the answer, or until it counts as no reply; then close the case.",
            )
        for row in case.pending():
            if row.four_eyes not in _BEFORE:
                raise Refused(
                    "Another person still has to look at what was sent",
                    "Let somebody else confirm or reject it; then close the case.",
                )
            row.confirmed = False  # a proposal that is taken back
        case.move("close", uow.now())
        case.end(reason)
        announce(uow, case, CaseChange.CLOSED, advice=proposal.advice, reason=reason)

    async def _send(
        self, uow: UnitOfWork, case: Case, row: DecisionRow, proposal: Proposal
    ) -> None:
        """Let it leave: one request per partner or authority."""
        if row.ground is None or row.category is None:
            raise AssertionError("the law of decisions lets nothing leave without a ground")
        sealed = await self._worded(uow, case, case.item, proposal.explanation or None)
        for partner in row.partners:
            self._requests.dispatch(
                uow,
                case,
                self._pack.partner(partner),
                category=row.category,
                ground=row.ground,
                scope=row.scope or self._pack.info.country,
                item=sealed,
                automatic=False,
                measure=proposal.measure,
            )
        for authority in row.authorities:
            self._requests.refer(
                uow, case, self._pack.authority(authority), ground=row.ground, item=sealed
            )

    @staticmethod
    async def _worded(uow: UnitOfWork, case: Case, sealed: str, explanation: str | None) -> str:
        """The item with other words for the partner; None keeps those it has."""
        if explanation is None:
            return sealed
        item = DispatchItem.model_validate_json(await uow.keys.open(sealed, ITEM))
        item = item.model_copy(update={"explanation": explanation})
        return await uow.keys.seal(case.id, ITEM, item.model_dump_json())


def visible(person: Person) -> dict[str, Any]:
    """The query that leaves out every case the person may not see; see :meth:`Person.sees`."""
    where: dict[str, Any] = {}
    if EVERY_QUEUE not in person.queues:
        where["queue"] = {"$in": sorted(person.queues)}
    if not person.cleared:
        where["restricted"] = False
    return where


def need(person: Person, permission: Permission) -> None:
    if not person.may(permission):
        raise Forbidden(f"It takes the permission '{permission}', which none of your roles has.")


def _proposer(row: DecisionRow) -> Person:
    """Whoever decided, with the role they signed in."""
    roles = {Role.LEGAL_REVIEWER} if row.by_legal else {Role.ANALYST}
    return Person(name=row.by, roles=frozenset(roles))


def _decision_behind(case: Case, row: DispatchRow) -> DecisionRow | None:
    """The decision a request was made by: the last of its round, for what was asked is not proposed
    again in one.
    """
    made = [d for d in case.decisions if d.round == row.round and row.partner in d.partners]
    return made[-1] if made else None


def _own(case: Case, person: Person) -> bool:
    """Only the person's own proposal waits here: somebody else must look."""
    pending = case.pending()
    return (
        (case.state is CaseState.SECOND_LOOK or (case.state in CASE.settled and not case.attention))
        and bool(pending)
        and all(d.by == person.name for d in pending)
    )
