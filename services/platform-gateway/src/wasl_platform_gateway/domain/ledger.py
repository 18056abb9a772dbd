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
from typing import Any

from pydantic import Field
from wasl_schemas.base import Model
from wasl_schemas.events.common import Severity
from wasl_schemas.events.dispatch_requested_v1 import DispatchRequestedV1
from wasl_schemas.lifecycle import ANSWERS, DISPATCH, DispatchState

WAITING = (DispatchState.SENT, DispatchState.ACKNOWLEDGED)
_URGENT = (Severity.CRITICAL, Severity.HIGH)
#: How we come to believe a partner that answers about a row we did not think it has.
_CATCH_UP: dict[DispatchState, tuple[str, ...]] = {
    DispatchState.REQUESTED: ("send",),
    DispatchState.AMBIGUOUS: ("send",),
    DispatchState.FAILED: ("retry", "send"),
}


class Dispatch(Model):
    """``version`` grows with each change of state and is 0 while merely requested.

    ``submitting_since`` is stored before a partner is called and cleared with the result: found
    set, a call was cut off. ``unsure``: an earlier call may have succeeded. ``progress``: what a
    connector of several calls has saved. ``packet``: sealed, what a person hands over.
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
    sent_at: datetime | None = None
    no_reply_at: datetime | None = None
    due_at: datetime | None = None
    lease: str | None = None
    lease_until: datetime | None = None

    def but(self, **changes: Any) -> "Dispatch":
        return self.model_copy(update=changes)


@dataclass(frozen=True, slots=True)
class Plan:
    """When to try again, and when to stop waiting for an answer.

    ``poll_seconds`` is None where the connector cannot be asked. ``no_reply`` gives the end of the
    wait that starts at a time, for a severity.
    """

    retry_seconds: tuple[float, ...]
    poll_seconds: tuple[float, ...] | None
    no_reply: Callable[[Severity, datetime], datetime]

    @property
    def max_attempts(self) -> int:
        return len(self.retry_seconds) + 1


@dataclass(frozen=True, slots=True)
class Said:
    """What a partner says about a row, in the words of the outcome vocabulary."""

    outcome: str
    reason: str | None = None
    reference: str | None = None


def requested(data: DispatchRequestedV1, now: datetime) -> Dispatch:
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
        urgent=data.severity in _URGENT,
        changed_at=now,
        due_at=now,
    )


def _moved(row: Dispatch, trigger: str, now: datetime, **changes: Any) -> Dispatch:
    state = DISPATCH.move(row.state, trigger)
    done = {} if state in (DispatchState.REQUESTED, *WAITING) else {"due_at": None}
    update = {"state": state, "version": row.version + 1, "changed_at": now, **done, **changes}
    return row.but(**update)


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


def _wait(row: Dispatch, now: datetime, plan: Plan) -> dict[str, datetime]:
    """Due-dates of a row that waits for its partner from now on."""
    give_up = plan.no_reply(row.severity, now)
    if plan.poll_seconds is None:
        return {"no_reply_at": give_up, "due_at": give_up}
    wait = plan.poll_seconds[min(row.polls, len(plan.poll_seconds) - 1)]
    return {"no_reply_at": give_up, "due_at": min(now + timedelta(seconds=wait), give_up)}


def sent(row: Dispatch, reference: str, said: Said, now: datetime, plan: Plan) -> list[Dispatch]:
    """The partner has it. Something it said meanwhile stands."""
    known = row.reference or reference
    changes = {**_FREE, **_SURE, "reference": known, "sent_at": row.sent_at or now}
    if not DISPATCH.allows(row.state, "send"):
        return [row.but(**changes)]
    first = _moved(row, "send", now, reason=None, **changes, **_wait(row, now, plan))
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
    """The item was erased: there is nothing left to send."""
    if not DISPATCH.allows(row.state, "withdraw"):
        return [row.but(**_FREE)]
    return [_moved(row, "withdraw", now, reason=reason, **_FREE, **_SURE)]


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
    if trigger != "acknowledge" and trigger not in [a.value for a in ANSWERS]:
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
    if row.state in WAITING:
        row = row.but(**_wait(row, now, plan))
    return [*steps, row]


def asked(row: Dispatch, now: datetime, plan: Plan) -> list[Dispatch]:
    """A status request brought nothing new: ask again later, or stop waiting."""
    no_reply_at = row.no_reply_at
    if row.state not in WAITING or no_reply_at is None:
        return [row.but(**_FREE)]
    if now >= no_reply_at:
        return [_moved(row, "give_up_waiting", now, reason="no_reply", **_FREE)]
    row = row.but(polls=row.polls + 1, **_FREE)
    if plan.poll_seconds is None:
        return [row.but(due_at=no_reply_at)]
    wait = plan.poll_seconds[min(row.polls, len(plan.poll_seconds) - 1)]
    return [row.but(due_at=min(now + timedelta(seconds=wait), no_reply_at))]


def resolved_sent(row: Dispatch, reference: str, now: datetime, plan: Plan) -> list[Dispatch]:
    """A person found out that the partner has it. Raises IllegalTransition."""
    changes = {"reference": reference, "sent_at": now, "reason": None}
    return [_moved(row, "send", now, **changes, **_SURE, **_FREE, **_wait(row, now, plan))]


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
