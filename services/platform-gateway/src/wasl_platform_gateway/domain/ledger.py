# SPDX-License-Identifier: Apache-2.0
"""One row of the dispatch ledger and every way it may change.

Each function takes a row and returns the successive versions it goes through: one for each change
of state, in the order of the lifecycle, so that whoever reads the events sees only legal
transitions. The last element is what is stored. Guarantees: no illegal state; a row that waits for
us has ``due_at``; what may have reached a partner is never called failed by a machine.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Literal

from pydantic import Field
from wasl_schemas.base import Model
from wasl_schemas.events.common import Severity
from wasl_schemas.events.dispatch_requested_v1 import DispatchRequestedV1
from wasl_schemas.events.dispatch_updated_v1 import DispatchChange
from wasl_schemas.lifecycle import ANSWERS, DISPATCH, UNDOABLE, DispatchState

WAITING = (DispatchState.SENT, DispatchState.ACKNOWLEDGED)
#: States in which the partner has the request and something may still be done about it.
OPEN = (*WAITING, DispatchState.NO_REPLY, DispatchState.DISPUTED)
#: States in which the partner may still have to be told something: to undo what it did, at last.
TOLD_IN = (*OPEN, *sorted(UNDOABLE))
_SAID = frozenset(a.value for a in (*ANSWERS, DispatchState.DISPUTED))
#: What never waits for a contact's hours.
URGENT = (Severity.CRITICAL, Severity.HIGH)
#: How we come to believe a partner that answers about a row we did not think it has.
_CATCH_UP: dict[DispatchState, tuple[str, ...]] = {
    DispatchState.REQUESTED: ("send",),
    DispatchState.AMBIGUOUS: ("send",),
    DispatchState.FAILED: ("retry", "send"),
}


class Errand(StrEnum):
    """What else a partner may have to be told about a request it has."""

    REMIND = "remind"
    CORRECT = "correct"
    WITHDRAW = "withdraw"


#: After these a person reminds: the next reminder is not far.
_REMINDER_TRIES = 3
_TOLD = {
    Errand.REMIND: DispatchChange.REMINDED,
    Errand.CORRECT: DispatchChange.CORRECTED,
}
_DUE = {
    Errand.REMIND: DispatchChange.REMINDER_DUE,
    Errand.CORRECT: DispatchChange.CORRECTION_DUE,
    Errand.WITHDRAW: DispatchChange.WITHDRAWAL_DUE,
}


class Dispatch(Model):
    """``version`` grows with each change that is told and is 0 while merely requested.

    ``submitting_since`` is stored before a partner is called and cleared with the result: found
    set, a call was cut off. ``unsure``: an earlier call may have succeeded. ``progress``: what a
    connector of several calls has saved. ``packet``: sealed, what a person hands over.
    ``change``: what the newest version changed. ``wanted``: what triage wants the partner told, in
    place of what it has; ``errands``: tries of it, or of a reminder, so far; ``reminding_since``:
    as ``submitting_since``. ``ready_at``: from when on it may leave. ``role``: the desk the last
    reminder was for, ``next_role``: the next.
    """

    dispatch_id: str
    case_id: str
    connector: str
    partner: str
    category: str
    severity: Severity
    ground_kind: str
    ground_ref: str
    scope: str
    language: str
    requested_at: datetime
    ready_at: datetime | None = None
    deadline: datetime
    item: str
    urgent: bool
    state: DispatchState = DispatchState.REQUESTED
    version: int = 0
    changed_at: datetime
    attempts: int = 0
    polls: int = 0
    reference: str | None = None
    reason: str | None = None
    submitting_since: datetime | None = None
    unsure: bool = False
    progress: dict[str, str] = Field(default_factory=dict)
    packet: str | None = None
    revision: int = 0
    may_look: bool = False
    via: tuple[str, ...] = ()
    measure: str | None = None
    change: DispatchChange = DispatchChange.STATE
    wanted: Literal["correct", "withdraw"] | None = None
    wanted_reason: str | None = None
    errands: int = 0
    reminding_since: datetime | None = None
    reminders: int = 0
    role: str | None = None
    next_role: str | None = None
    sent_at: datetime | None = None
    poll_at: datetime | None = None
    remind_at: datetime | None = None
    no_reply_at: datetime | None = None
    due_at: datetime | None = None
    lease: str | None = None
    lease_until: datetime | None = None

    def but(self, **changes: Any) -> "Dispatch":
        return self.model_copy(update=changes)


#: The first reminder of a row that was sent, after a time, and the role it is for; None: no more.
Reminders = Callable[[Dispatch, datetime], tuple[datetime, str | None] | None]


def no_reminders(_row: Dispatch, _after: datetime) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Plan:
    """When to try again, when to remind whom, and when to stop waiting for an answer.

    ``poll_seconds`` is None where the connector cannot be asked. ``no_reply`` gives the end of the
    wait that starts at a time, for a severity.
    """

    retry_seconds: tuple[float, ...]
    poll_seconds: tuple[float, ...] | None
    no_reply: Callable[[Severity, datetime], datetime]
    reminder: Reminders = no_reminders

    @property
    def max_attempts(self) -> int:
        return len(self.retry_seconds) + 1


@dataclass(frozen=True, slots=True)
class Said:
    """What a partner says about a row, in the words of the outcome vocabulary."""

    outcome: str
    reason: str | None = None
    reference: str | None = None


def requested(data: DispatchRequestedV1, now: datetime, due: datetime) -> Dispatch:
    """``due``: when it may be sent; later than now where the contact reads, or groups, later."""
    return Dispatch(
        dispatch_id=data.dispatch_id,
        case_id=data.case_id,
        connector=data.connector,
        partner=data.partner,
        category=data.category,
        severity=data.severity,
        ground_kind=data.ground.kind.value,
        ground_ref=data.ground.ref,
        scope=data.scope,
        language=data.language,
        requested_at=data.requested_at,
        deadline=data.due,
        item=data.item,
        urgent=data.severity in URGENT,
        changed_at=now,
        revision=data.revision,
        may_look=data.may_look,
        via=data.via,
        measure=data.measure,
        wanted="withdraw" if data.withdrawn else None,
        wanted_reason=data.withdrawn,
        ready_at=due,
        due_at=now if data.withdrawn else due,
    )


def amended(row: Dispatch, data: DispatchRequestedV1, now: datetime) -> list[Dispatch]:
    """The same request, newer: other words, insisted on, or taken back. Keeps the lease.

    What nobody has seen yet is simply replaced. Where the partner may have it, the dispatcher tells
    the partner; where only a person can, they are asked to.
    """
    row = row.but(revision=data.revision, wanted_reason=data.withdrawn, errands=0)
    if not data.withdrawn:
        row = row.but(
            category=data.category,
            severity=data.severity,
            ground_kind=data.ground.kind.value,
            ground_ref=data.ground.ref,
            scope=data.scope,
            item=data.item,
            may_look=data.may_look,
            measure=data.measure,
        )
    errand = Errand.WITHDRAW if data.withdrawn else Errand.CORRECT
    match row.state:
        case DispatchState.REQUESTED:
            seen = row.unsure or row.submitting_since is not None
            if errand is Errand.CORRECT:
                return [row.but(wanted=errand.value if seen else None)]
            return [row.but(wanted=errand.value, due_at=now)]
        case DispatchState.AMBIGUOUS if row.packet is not None:
            if errand is Errand.WITHDRAW:
                return withdrawn(row, data.withdrawn or "", now)
            return resolved_retry(row, now)
        case DispatchState.AMBIGUOUS:
            return handed(row, errand, now)
        case state if state in OPEN or (errand is Errand.WITHDRAW and state in UNDOABLE):
            return [row.but(wanted=errand.value, due_at=now)]
        case _:
            return [row]


def _moved(row: Dispatch, trigger: str, now: datetime, **changes: Any) -> Dispatch:
    state = DISPATCH.move(row.state, trigger)
    done = {} if state in (DispatchState.REQUESTED, *WAITING) else {"due_at": None}
    update = {"state": state, "version": row.version + 1, "changed_at": now, **done, **changes}
    return row.but(change=DispatchChange.STATE, **update)


def _said(row: Dispatch, change: DispatchChange, now: datetime, **changes: Any) -> Dispatch:
    """News without another state."""
    return row.but(change=change, version=row.version + 1, changed_at=now, **changes)


_FREE: dict[str, Any] = {"lease": None, "lease_until": None}
_SURE: dict[str, Any] = {"submitting_since": None, "unsure": False}


def marked(row: Dispatch, now: datetime) -> list[Dispatch]:
    """A call is about to be made. A mark found standing is a call that was cut off."""
    cut_off = row.submitting_since is not None
    return [row.but(submitting_since=now, attempts=row.attempts + 1, unsure=row.unsure or cut_off)]


def not_called(row: Dispatch, due: datetime) -> list[Dispatch]:
    """Give a marked row back: the call was never made, or it does not count."""
    changes = {"submitting_since": None, "attempts": max(0, row.attempts - 1), **_FREE}
    return [row.but(**changes, due_at=due if row.state is DispatchState.REQUESTED else row.due_at)]


def released(row: Dispatch) -> list[Dispatch]:
    """Give a claimed row back untouched."""
    return [row.but(**_FREE)]


def let_go(steps: Sequence[Dispatch]) -> list[Dispatch]:
    """The same way on, and the lease is given back at its end."""
    return [*steps[:-1], *released(steps[-1])]


def _waiting(row: Dispatch, now: datetime, plan: Plan) -> Dispatch:
    """The row with the due-dates of one that waits for its partner from now on."""
    no_reply_at = plan.no_reply(row.severity, now)
    row = row.but(no_reply_at=no_reply_at, poll_at=_next_poll(row, now, plan))
    return _due(_next_reminder(row, now, plan), now)


def _next_reminder(row: Dispatch, now: datetime, plan: Plan) -> Dispatch:
    remind_at, role = plan.reminder(row, now) or (None, None)
    return row.but(remind_at=remind_at, next_role=role)


def _next_poll(row: Dispatch, now: datetime, plan: Plan) -> datetime | None:
    if plan.poll_seconds is None:
        return None
    wait = plan.poll_seconds[min(row.polls, len(plan.poll_seconds) - 1)]
    return now + timedelta(seconds=wait)


def _due(row: Dispatch, now: datetime) -> Dispatch:
    """Due at the first thing that is to be done about it."""
    if row.wanted is not None:
        return row.but(due_at=now)
    times = (row.poll_at, row.remind_at, row.no_reply_at)
    return row.but(due_at=min(t for t in times if t is not None))


def sent(row: Dispatch, reference: str, said: Said, now: datetime, plan: Plan) -> list[Dispatch]:
    """The partner has it. Something it said meanwhile stands."""
    known = row.reference or reference
    changes = {**_FREE, **_SURE, "reference": known, "sent_at": row.sent_at or now}
    if not DISPATCH.allows(row.state, "send"):
        return [row.but(**changes)]
    first = _waiting(_moved(row, "send", now, reason=None, **changes), now, plan)
    return [first, *answered(first, said, now, plan)]


def refused(row: Dispatch, code: str, now: datetime) -> list[Dispatch]:
    """The partner said no at the door."""
    if row.state is not DispatchState.REQUESTED:
        return [row.but(**_FREE, **_SURE)]
    return [_moved(row, DispatchState.REFUSED.value, now, reason=code, **_FREE, **_SURE)]


def failed(row: Dispatch, reason: str, now: datetime, *, unsure: bool) -> list[Dispatch]:
    """We give up. A row a partner may have (``unsure``) goes to a person instead."""
    if row.state is not DispatchState.REQUESTED:
        return [row.but(**_FREE, **_SURE)]
    if unsure:
        return lost_track(row, reason, now)
    return [_moved(row, "fail", now, reason=reason, **_FREE, **_SURE)]


def lost_track(row: Dispatch, reason: str, now: datetime) -> list[Dispatch]:
    """Nobody can tell by machine whether the partner has it."""
    if row.state is not DispatchState.REQUESTED:
        return [row.but(**_FREE, **_SURE)]
    return [
        _moved(row, "lose_track", now, reason=reason, submitting_since=None, unsure=True, **_FREE)
    ]


def handed_over(row: Dispatch, packet: str, now: datetime) -> list[Dispatch]:
    """Only a person can bring it to the partner; nothing was sent."""
    if row.state is not DispatchState.REQUESTED:
        return [row.but(**_FREE, **_SURE)]
    changes = {"reason": "person_needed", "packet": packet}
    return [_moved(row, "lose_track", now, **changes, **_SURE, **_FREE)]


def progressed(row: Dispatch, name: str, value: str) -> list[Dispatch]:
    """One more step of several is behind us."""
    return [row.but(progress={**row.progress, name: value})]


def withdrawn(row: Dispatch, reason: str, now: datetime) -> list[Dispatch]:
    """Nothing is asked any more: taken back, or the item was erased."""
    if not DISPATCH.allows(row.state, "withdraw"):
        return [row.but(wanted=None, **_FREE)]
    return [_moved(row, "withdraw", now, reason=reason, wanted=None, **_FREE, **_SURE)]


def stopped(row: Dispatch, now: datetime) -> list[Dispatch]:
    """Taken back before we know that the partner has it; what it may have, a person takes back."""
    if not (row.unsure or row.submitting_since is not None):
        return withdrawn(row, row.wanted_reason or "withdrawn", now)
    lost = lost_track(row, "interrupted", now)
    return [*lost, *handed(lost[-1], Errand.WITHDRAW, now)]


def taking_back(row: Dispatch, reason: str, now: datetime) -> list[Dispatch]:
    """The case was erased while the partner has the request: it is to be told next."""
    back = row.but(wanted=Errand.WITHDRAW.value, wanted_reason=reason, errands=0)
    return [back.but(due_at=now, reminding_since=None, **_FREE)]


def seen_gone(row: Dispatch, now: datetime) -> list[Dispatch]:
    """The hub saw that the item is gone. Empty: that changes nothing. Keeps the lease."""
    if not DISPATCH.allows(row.state, "see_gone"):
        return []
    return [_still_wanted(_moved(row, "see_gone", now), now)]


def replied(row: Dispatch, now: datetime) -> list[Dispatch]:
    """The partner wrote something that answers nothing yet. Keeps the lease."""
    return [_said(row, DispatchChange.REPLIED, now)]


# -- errands ----------------------------------------------------------------------------------


def errand_of(row: Dispatch, now: datetime) -> Errand | None:
    """What the partner is to be told now."""
    if row.wanted is not None:
        return Errand(row.wanted)
    if row.state not in WAITING or row.remind_at is None or now < row.remind_at:
        return None
    return Errand.REMIND


def reminding(row: Dispatch, now: datetime) -> list[Dispatch]:
    """A reminder is about to be sent. Found standing, it may have been: it counts as sent."""
    return [row.but(reminding_since=now)]


def not_told(row: Dispatch) -> list[Dispatch]:
    """Give a claimed row back: the partner was not called about it."""
    return [row.but(reminding_since=None, **_FREE)]


def ran(row: Dispatch, errand: Errand, revision: int, now: datetime, plan: Plan) -> list[Dispatch]:
    """The partner was told. ``revision``: of what it was told; a newer one is still to go."""
    stale = errand is not Errand.REMIND and revision != row.revision
    if stale or (errand is Errand.REMIND and row.state not in WAITING):
        return [row.but(reminding_since=None, **_FREE)]
    if errand is Errand.WITHDRAW:
        return withdrawn(row.but(errands=0), row.wanted_reason or "withdrawn", now)
    if errand is Errand.REMIND:
        return [_reminded(row, _TOLD[errand], now, plan).but(**_FREE)]
    row = row.but(wanted=None, errands=0)
    if row.state is DispatchState.DISPUTED:
        return [_waiting(_moved(row, "insist", now, reason=None, **_FREE), now, plan)]
    row = _said(row, _TOLD[errand], now, **_FREE)
    return [_waiting(row, now, plan) if row.state in WAITING else row.but(due_at=None)]


def _reminded(row: Dispatch, change: DispatchChange, now: datetime, plan: Plan) -> Dispatch:
    role = row.next_role or row.role
    if change is DispatchChange.REMINDED and row.reminders and role != row.role:
        change = DispatchChange.ESCALATED
    row = _said(row, change, now, reminders=row.reminders + 1, role=role, errands=0)
    return _due(_next_reminder(row.but(reminding_since=None), now, plan), now)


def handed(
    row: Dispatch,
    errand: Errand,
    now: datetime,
    *,
    packet: str | None = None,
    plan: Plan | None = None,
) -> list[Dispatch]:
    """Only a person can tell the partner. ``plan``: needed for a reminder. Keeps the lease."""
    row = row.but(packet=packet or row.packet)
    if errand is Errand.REMIND and plan is not None:
        return [_reminded(row, _DUE[errand], now, plan)]
    row = _said(row, _DUE[errand], now, wanted=None, errands=0)
    return [_due(row, now) if row.state in WAITING else row.but(due_at=None)]


def last_try(row: Dispatch, errand: Errand, plan: Plan) -> bool:
    """Whether a person is asked after the next failure."""
    tries = _REMINDER_TRIES if errand is Errand.REMIND else plan.max_attempts
    return row.errands + 1 >= min(tries, plan.max_attempts)


def errand_later(
    row: Dispatch, errand: Errand, retry_after: float | None, now: datetime, plan: Plan
) -> list[Dispatch]:
    """The partner could not be told; try again on the plan's schedule, then ask a person."""
    if last_try(row, errand, plan):
        return let_go(handed(row, errand, now, plan=plan))
    wait = max(plan.retry_seconds[row.errands], retry_after or 0)
    later = now + timedelta(seconds=wait)
    row = row.but(errands=row.errands + 1, reminding_since=None, **_FREE)
    if errand is not Errand.REMIND:
        return [row.but(due_at=later)]
    return [_due(row.but(remind_at=later), now)]


def retry_later(
    row: Dispatch,
    reason: str,
    *,
    unsure: bool,
    retry_after: float | None,
    jitter: float,
    now: datetime,
    plan: Plan,
) -> list[Dispatch]:
    """Try again on the plan's schedule, or stop after its last attempt.

    ``unsure``: this call, or an earlier one, may have succeeded. ``jitter`` in 0..1 spreads the
    wait over 100 to 120 % of the schedule; a partner's Retry-After is a lower bound.
    """
    if row.state is not DispatchState.REQUESTED:
        return [row.but(**_FREE, **_SURE)]
    row = row.but(submitting_since=None, unsure=unsure)
    if row.wanted == "withdraw":
        return stopped(row, now)
    if row.attempts >= plan.max_attempts:
        return failed(row, reason, now, unsure=unsure)
    wait = plan.retry_seconds[max(row.attempts, 1) - 1] * (1 + 0.2 * jitter)
    due = now + timedelta(seconds=max(wait, retry_after or 0))
    return [row.but(reason=reason, due_at=due, **_FREE)]


def answered(row: Dispatch, said: Said, now: datetime, plan: Plan) -> list[Dispatch]:
    """After what a partner says. Empty: it changes nothing.

    Keeps the lease: a dispatcher that holds the row finishes on top of this.
    """
    trigger = "acknowledge" if said.outcome == DispatchState.ACKNOWLEDGED else said.outcome
    if trigger != "acknowledge" and trigger not in _SAID:
        return []
    steps: list[Dispatch] = []
    if not DISPATCH.allows(row.state, trigger):
        for earlier in _CATCH_UP.get(row.state, ()):
            if row.attempts == 0:
                return []  # never sent: whatever this answers, it is not our request
            row = _moved(row, earlier, now, reason=None, **_SURE)
            if row.state is DispatchState.SENT:
                row = row.but(sent_at=row.sent_at or now, reference=row.reference or said.reference)
            steps.append(row)
        if not DISPATCH.allows(row.state, trigger):
            return []
    row = _moved(row, trigger, now, reason=said.reason, **_SURE)
    row = row.but(reference=row.reference or said.reference)
    row = _waiting(row, now, plan) if row.state in WAITING else _still_wanted(row, now)
    return [*steps, row]


def _still_wanted(row: Dispatch, now: datetime) -> Dispatch:
    """Of what was to be told, what still is: where it has acted, only to undo it."""
    states = TOLD_IN if row.wanted == "withdraw" else OPEN
    if row.wanted is not None and row.state in states:
        return row.but(due_at=now)
    return row.but(wanted=None)


def asked(row: Dispatch, now: datetime, plan: Plan) -> list[Dispatch]:
    """A status request brought nothing new: ask again later, or stop waiting."""
    no_reply_at = row.no_reply_at
    if row.state not in WAITING or no_reply_at is None:
        return [row.but(due_at=None, **_FREE)]
    if now >= no_reply_at:
        return [_moved(row, "give_up_waiting", now, reason="no_reply", **_FREE)]
    row = row.but(polls=row.polls + 1, **_FREE)
    return [_due(row.but(poll_at=_next_poll(row, now, plan)), now)]


def resolved_sent(row: Dispatch, reference: str, now: datetime, plan: Plan) -> list[Dispatch]:
    """A person found out that the partner has it. Raises IllegalTransition."""
    changes = {"reference": reference, "sent_at": now, "reason": None}
    return [_waiting(_moved(row, "send", now, **changes, **_SURE, **_FREE), now, plan)]


def resolved_retry(row: Dispatch, now: datetime) -> list[Dispatch]:
    """A person made sure that the partner does not have it. Raises IllegalTransition."""
    anew: dict[str, Any] = {"attempts": 0, "reason": None, "progress": {}, "packet": None}
    return [_moved(row, "retry", now, **anew, due_at=now, **_SURE, **_FREE)]


def resolved_failed(row: Dispatch, now: datetime) -> list[Dispatch]:
    """A person gives up. Raises IllegalTransition."""
    return [_moved(row, "fail", now, reason="given_up", **_SURE, **_FREE)]


def transitions(before: Dispatch, steps: Sequence[Dispatch]) -> list[Dispatch]:
    """The versions that are news to the other services."""
    out, version = [], before.version
    for step in steps:
        if step.version > version:
            out.append(step)
            version = step.version
    return out
