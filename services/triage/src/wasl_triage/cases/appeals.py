# SPDX-License-Identifier: Apache-2.0
"""A decision is looked at again because somebody asks: registered, answered by somebody who was no
part of it, and, where it does not stand, taken back from everybody it was sent to.

Reporters, affected people and partners reach the desk by message, mail or telephone; somebody of
the desk registers what they ask. Their words are sealed with the case's key.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from pydantic import Field
from wasl_chassis.store import Collection, Doc, Index
from wasl_chassis.work import UnitOfWork
from wasl_schemas.base import Model, Slug
from wasl_schemas.country_pack import CountryPack
from wasl_schemas.events.case_updated_v1 import CaseChange
from wasl_schemas.ids import ReportId, uuid7
from wasl_schemas.lifecycle import CASE

from wasl_triage.audit.trail import audit
from wasl_triage.casework import NOTE, Hub, Requests, announce
from wasl_triage.desk import Desk, NoSuchCase, NotLawful, Refused, need
from wasl_triage.domain import clocks
from wasl_triage.domain.appeal import (
    AppealState,
    Side,
    Undoing,
    check_answer,
    check_filing,
    undoing,
)
from wasl_triage.domain.case import Attention, Case, DecisionRow
from wasl_triage.domain.decisions import Missing, Words
from wasl_triage.domain.people import Permission, Person
from wasl_triage.domain.severity import Scales
from wasl_triage.repository import CASES, REPORTS

#: Why a case is reopened, in the event that says so.
APPEAL = "appeal"
#: What a partner reads when a request is taken back.
_CODE = "decided_anew"
_LISTED = 200


class Filing(Model):
    """What somebody asks to be looked at again, and why, in their own words."""

    decision_id: str = Field(max_length=64)
    side: Side
    grounds: Words = Field(min_length=1)
    #: With the reporter's side: whose.
    report_id: ReportId | None = None
    #: With the partner's side: which.
    partner: Slug | None = None


class AppealAnswer(Model):
    """``partly``: only ``withdraw`` is taken back; ``reversed``: all that was sent."""

    outcome: Literal["upheld", "reversed", "partly"]
    reason: Words = ""
    #: With ``partly``: ids of the decision's requests and referrals.
    withdraw: tuple[str, ...] = Field(default=(), max_length=20)


@dataclass(frozen=True, slots=True)
class Appeal:
    id: str
    case_id: str
    decision_id: str
    side: Side
    #: Sealed with the case's key, as ``reason``.
    grounds: str
    at: datetime
    due: datetime
    registered_by: str
    report_id: str | None = None
    partner: str | None = None
    state: AppealState = AppealState.OPEN
    decided_by: str | None = None
    decided_at: datetime | None = None
    reason: str | None = None
    #: Requests that were taken back, and what could not be.
    withdrawn: tuple[str, ...] = ()
    beyond: tuple[str, ...] = ()

    def breached(self, now: datetime) -> bool:
        """Whether it was, or still is, answered later than due."""
        return (self.decided_at or now) > self.due


def _encode(a: Appeal) -> Doc:
    return {
        "case_id": a.case_id,
        "decision_id": a.decision_id,
        "side": a.side.value,
        "grounds": a.grounds,
        "at": a.at,
        "due": a.due,
        "registered_by": a.registered_by,
        "report_id": a.report_id,
        "partner": a.partner,
        "state": a.state.value,
        "decided_by": a.decided_by,
        "decided_at": a.decided_at,
        "reason": a.reason,
        "withdrawn": list(a.withdrawn),
        "beyond": list(a.beyond),
    }


def _decode(d: Doc) -> Appeal:
    known = {k: v for k, v in d.items() if not k.startswith("_")}
    return Appeal(
        **{
            **known,
            "id": d["_id"],
            "side": Side(d["side"]),
            "state": AppealState(d["state"]),
            "withdrawn": tuple(d["withdrawn"]),
            "beyond": tuple(d["beyond"]),
        }
    )


APPEALS: Collection[Appeal] = Collection(
    "appeals",
    lambda a: a.id,
    _encode,
    _decode,
    indexes=(
        Index((("case_id", 1), ("at", 1))),
        Index((("state", 1), ("due", 1))),
        Index((("at", 1),)),
    ),
)


class Appeals:
    def __init__(self, hub: Hub, pack: CountryPack, desk: Desk, requests: Requests) -> None:
        self._hub = hub
        self._pack = pack
        self._desk = desk
        self._requests = requests
        self._scales = Scales(pack)

    async def register(self, person: Person, case_id: str, filing: Filing) -> Appeal:
        """Write down an appeal; the case comes back to the queue. One may be open per decision and
        side. Raises NoSuchCase, Forbidden, NotLawful, Refused.
        """
        made: list[Appeal] = []

        async def work(uow: UnitOfWork, case: Case) -> None:
            row = _decision(case, filing.decision_id)
            missing = check_filing(
                case, row, filing.side, report_id=filing.report_id, partner=filing.partner
            )
            if filing.report_id is not None:
                report = await uow.get(REPORTS, filing.report_id)
                if report is None or case.id not in report.cases:
                    missing.append(
                        Missing("report_id", "is no report of this case", "Use one it lists.")
                    )
            if missing:
                raise NotLawful(missing)
            # The case's revision guards this: two at once meet in its document.
            for known in await self.of(case.id):
                if (known.decision_id, known.side) == (filing.decision_id, filing.side) and (
                    known.state is AppealState.OPEN
                ):
                    raise Refused("This side has an appeal open already", "Answer that one first.")
            now = uow.now()
            appeal = Appeal(
                id=uuid7(),
                case_id=case.id,
                decision_id=filing.decision_id,
                side=filing.side,
                grounds=await uow.keys.seal(case.id, NOTE, filing.grounds),
                at=now,
                due=clocks.appeal_due(self._pack, now),
                registered_by=person.name,
                report_id=filing.report_id,
                partner=filing.partner,
            )
            made[:] = [appeal]
            uow.put(APPEALS, appeal)
            case.raise_flag(Attention.APPEAL)
            audit(uow, case, person.name, f"appeal_by_{filing.side}", filing.decision_id)

        await self._desk.change(person, Permission.APPEAL, case_id, work, claimed=False)
        return made[0]

    async def answer(
        self, person: Person, case_id: str, appeal_id: str, answer: AppealAnswer
    ) -> Appeal:
        """Let the decision stand or take it back. A reversal withdraws every request, asks partners
        that acted to undo it, lists what cannot be withdrawn, and puts a settled case before a
        person again.

        The person holds the case and was no part of the decision. Raises as :meth:`register`.
        """
        made: list[Appeal] = []

        async def work(uow: UnitOfWork, case: Case) -> None:
            appeal = await uow.get(APPEALS, appeal_id)
            if appeal is None or appeal.case_id != case.id:
                raise NoSuchCase
            if appeal.state is not AppealState.OPEN:
                raise Refused("The appeal was answered already", "Read the case again.")
            row = _decision(case, appeal.decision_id)
            if row is None:
                raise AssertionError("an appeal names a decision of its case")
            missing = check_answer(row, person, reason=answer.reason)
            if answer.outcome == "partly" and not answer.withdraw:
                missing.append(
                    Missing("withdraw", "is missing", "Name what is taken back of what was sent.")
                )
            if missing:
                raise NotLawful(missing)
            taken = Undoing()
            if answer.outcome != "upheld":
                chosen = answer.withdraw if answer.outcome == "partly" else None
                taken = undoing(case, row, chosen)
                self._reverse(uow, case, row, appeal, taken)
            case.attention = tuple(a for a in case.attention if a != Attention.APPEAL)
            if taken.beyond:  # nobody can unsend these: a person writes to whoever got them
                case.raise_flag(Attention.WITHDRAWAL_DUE)
            appeal = replace(
                appeal,
                state=AppealState(answer.outcome),
                decided_by=person.name,
                decided_at=uow.now(),
                reason=await uow.keys.seal(case.id, NOTE, answer.reason),
                withdrawn=taken.withdrawn,
                beyond=taken.beyond,
            )
            made[:] = [appeal]
            uow.put(APPEALS, appeal)
            audit(uow, case, person.name, f"appeal_{answer.outcome}", row.id)

        await self._desk.change(person, Permission.APPEAL, case_id, work)
        return made[0]

    def _reverse(
        self, uow: UnitOfWork, case: Case, row: DecisionRow, appeal: Appeal, taken: Undoing
    ) -> None:
        row.reversed_by = appeal.id
        row.second_due = None  # nobody confirms what does not stand
        case.await_second()
        for dispatch_id in taken.withdrawn:
            request = case.dispatches[dispatch_id]
            request.take_back(_CODE)
            self._requests.amend(uow, case, dispatch_id, request)
        if case.state in CASE.settled and row.round == case.round:
            case.reopen(self._pack, uow.now())
            case.look_pending = False  # whoever reverses it is looking
            case.weigh(self._pack, self._scales, uow.now())
            announce(uow, case, CaseChange.REOPENED, reason=APPEAL)
        else:
            announce(uow, case, CaseChange.OUTCOME)

    async def of(self, case_id: str) -> list[Appeal]:
        """The appeals of a case that was read already, oldest first; still sealed."""
        docs = await self._hub.store.find(APPEALS, {"case_id": case_id}, sort=(("at", 1),))
        return [APPEALS.decode(d) for d in docs]

    async def open(self, person: Person) -> list[Appeal]:
        """Appeals that wait, the most urgent first, as far as the person sees their cases."""
        need(person, Permission.APPEAL)
        docs = await self._hub.store.find(
            APPEALS, {"state": AppealState.OPEN.value}, sort=(("due", 1),), limit=_LISTED
        )
        waiting = [APPEALS.decode(d) for d in docs]
        found = await self._hub.store.read(CASES, [a.case_id for a in waiting])
        seen = {i for i, d in found.items() if _sees(person, CASES.decode(d))}
        return [a for a in waiting if a.case_id in seen]


def _decision(case: Case, decision_id: str) -> DecisionRow | None:
    return next((d for d in case.decisions if d.id == decision_id), None)


def _sees(person: Person, case: Case) -> bool:
    return person.sees(case.queue, restricted=case.restricted)
