# SPDX-License-Identifier: Apache-2.0
"""The lifecycle: which states exist, which trigger moves one to the next, and who may cause it.

One machine per aggregate; the owner of an aggregate moves it with :meth:`Machine.move`, which
refuses what is not in the table. Everybody else only learns states, each with a version, and keeps
the highest version: so any order, any duplicate and any interleaving ends in the same place.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from wasl_schemas.base import OpenEnum


class CaseState(OpenEnum):
    OPEN = "open"
    ASSESSED = "assessed"
    SECOND_LOOK = "second_look"
    IN_PROGRESS = "in_progress"
    RESOLVED = "resolved"
    UNRESOLVED = "unresolved"
    CLOSED = "closed"
    UNKNOWN = "unknown"


class DispatchState(OpenEnum):
    REQUESTED = "requested"
    SENT = "sent"
    ACKNOWLEDGED = "acknowledged"
    REMOVED = "removed"
    GEO_RESTRICTED = "geo_restricted"
    AGE_RESTRICTED = "age_restricted"
    LABELLED = "labelled"
    ACCOUNT_ACTION = "account_action"
    ALREADY_GONE = "already_gone"
    REFUSED = "refused"
    #: The partner contests the request and waits for our answer.
    DISPUTED = "disputed"
    #: Gone as the hub itself saw, whatever the partner says.
    SEEN_GONE = "seen_gone"
    NO_REPLY = "no_reply"
    AMBIGUOUS = "ambiguous"
    FAILED = "failed"
    WITHDRAWN = "withdrawn"
    UNKNOWN = "unknown"


class ReferralState(OpenEnum):
    REQUESTED = "requested"
    DELIVERED = "delivered"
    ACKNOWLEDGED = "acknowledged"
    FAILED = "failed"
    UNKNOWN = "unknown"


class NotificationState(OpenEnum):
    PENDING = "pending"
    SENT = "sent"
    FAILED = "failed"
    UNKNOWN = "unknown"


class WatchState(OpenEnum):
    #: Looked at until it is gone.
    CHECKING = "checking"
    #: Seen gone, twice; looked at ever more rarely in case it comes back.
    GONE = "gone"
    REAPPEARED = "reappeared"
    #: A machine cannot tell; a person looks.
    MANUAL = "manual"
    ENDED = "ended"
    UNKNOWN = "unknown"


class Actor(StrEnum):
    ANALYST = "analyst"
    SECOND_ANALYST = "second_analyst"
    COUNTRY_PACK = "country_pack"
    REPORTER = "reporter"
    GATEWAY = "gateway"
    PARTNER = "partner"
    NOTIFY = "notify"
    AUTHORITY = "authority"


StateT = TypeVar("StateT", bound=OpenEnum)


class IllegalTransition(ValueError):  # noqa: N818  a term of state machines
    """The trigger is not allowed in this state; the message names both and what is allowed."""


@dataclass(frozen=True, slots=True)
class Step(Generic[StateT]):
    state: StateT
    trigger: str
    to: StateT
    by: tuple[Actor, ...]


@dataclass(frozen=True, slots=True)
class Machine(Generic[StateT]):
    name: str
    initial: StateT
    steps: tuple[Step[StateT], ...]
    #: States in which nothing more is expected; a machine may still leave them (a late answer).
    settled: frozenset[StateT]

    def table(self) -> Mapping[tuple[StateT, str], StateT]:
        return {(s.state, s.trigger): s.to for s in self.steps}

    def triggers(self, state: StateT) -> list[str]:
        return sorted(s.trigger for s in self.steps if s.state == state)

    def allows(self, state: StateT, trigger: str) -> bool:
        return any(s.state == state and s.trigger == trigger for s in self.steps)

    def move(self, state: StateT, trigger: str) -> StateT:
        """The next state. Raises :class:`IllegalTransition`; never invents a state."""
        for step in self.steps:
            if step.state == state and step.trigger == trigger:
                return step.to
        allowed = ", ".join(self.triggers(state)) or "nothing"
        raise IllegalTransition(
            f"{self.name}: '{trigger}' is not allowed in state '{state}'; allowed there: {allowed}"
        )


_C, _D, _R, _N = CaseState, DispatchState, ReferralState, NotificationState
_W = WatchState
_ANALYST, _SECOND = (Actor.ANALYST,), (Actor.SECOND_ANALYST,)


def _steps(
    *rows: tuple[tuple[StateT, ...], str, StateT, tuple[Actor, ...]],
) -> tuple[Step[StateT], ...]:
    return tuple(Step(s, trigger, to, by) for states, trigger, to, by in rows for s in states)


CASE: Machine[CaseState] = Machine(
    name="case",
    initial=CaseState.OPEN,
    steps=_steps(
        ((_C.OPEN, _C.ASSESSED), "assess", _C.ASSESSED, _ANALYST),
        ((_C.IN_PROGRESS,), "assess", _C.IN_PROGRESS, _ANALYST),
        ((_C.OPEN,), "act_automatically", _C.IN_PROGRESS, (Actor.COUNTRY_PACK,)),
        ((_C.ASSESSED,), "propose", _C.SECOND_LOOK, _ANALYST),
        ((_C.SECOND_LOOK,), "confirm", _C.IN_PROGRESS, _SECOND),
        ((_C.SECOND_LOOK,), "reject", _C.ASSESSED, _SECOND),
        ((_C.ASSESSED, _C.IN_PROGRESS, _C.UNRESOLVED), "act", _C.IN_PROGRESS, _ANALYST),
        ((_C.IN_PROGRESS,), "confirm", _C.IN_PROGRESS, _SECOND),
        ((_C.RESOLVED,), "confirm", _C.RESOLVED, _SECOND),
        ((_C.UNRESOLVED,), "confirm", _C.UNRESOLVED, _SECOND),
        (
            (_C.OPEN, _C.ASSESSED, _C.SECOND_LOOK),
            "close",
            _C.CLOSED,
            (Actor.ANALYST, Actor.REPORTER),
        ),
        # A case that was only referred has no partner whose answer could end it.
        ((_C.IN_PROGRESS, _C.UNRESOLVED), "close", _C.CLOSED, _ANALYST),
        ((_C.IN_PROGRESS, _C.UNRESOLVED), "resolve", _C.RESOLVED, (Actor.GATEWAY,)),
        ((_C.IN_PROGRESS,), "give_up", _C.UNRESOLVED, (Actor.GATEWAY,)),
        (
            (_C.RESOLVED, _C.UNRESOLVED, _C.CLOSED),
            "reopen",
            _C.OPEN,
            (Actor.REPORTER, Actor.ANALYST, Actor.GATEWAY),
        ),
    ),
    settled=frozenset({_C.RESOLVED, _C.UNRESOLVED, _C.CLOSED}),
)

#: What a partner can answer, in the words of the outcome vocabulary.
ANSWERS: tuple[DispatchState, ...] = (
    _D.REMOVED, _D.GEO_RESTRICTED, _D.AGE_RESTRICTED, _D.LABELLED, _D.ACCOUNT_ACTION,
    _D.ALREADY_GONE, _D.REFUSED,
)  # fmt: skip
#: The item is dealt with: the partner did something about it, or it is gone.
ACTED: frozenset[DispatchState] = frozenset(ANSWERS) - {_D.REFUSED} | {_D.SEEN_GONE}
#: What a partner can be asked to undo. An item it never had it cannot restore.
UNDOABLE: frozenset[DispatchState] = ACTED - {_D.ALREADY_GONE}
_WAITING = (_D.SENT, _D.ACKNOWLEDGED, _D.NO_REPLY)
_CONTESTED = (*_WAITING, _D.DISPUTED)
_LESS = (_D.REFUSED, _D.LABELLED, _D.AGE_RESTRICTED, _D.GEO_RESTRICTED)

DISPATCH: Machine[DispatchState] = Machine(
    name="dispatch",
    initial=DispatchState.REQUESTED,
    steps=_steps(
        ((_D.REQUESTED, _D.AMBIGUOUS), "send", _D.SENT, (Actor.GATEWAY,)),
        ((_D.REQUESTED,), "lose_track", _D.AMBIGUOUS, (Actor.GATEWAY,)),
        ((_D.REQUESTED, _D.AMBIGUOUS), "fail", _D.FAILED, (Actor.GATEWAY,)),
        ((_D.AMBIGUOUS, _D.FAILED), "retry", _D.REQUESTED, (Actor.GATEWAY, Actor.ANALYST)),
        ((_D.REQUESTED,), _D.REFUSED.value, _D.REFUSED, (Actor.PARTNER,)),
        ((_D.SENT, _D.NO_REPLY), "acknowledge", _D.ACKNOWLEDGED, (Actor.PARTNER,)),
        *((_CONTESTED, answer.value, answer, (Actor.PARTNER,)) for answer in ANSWERS),
        # A partner may do more than it first answered: refused, then removed after all.
        ((*_LESS, _D.SEEN_GONE), _D.REMOVED.value, _D.REMOVED, (Actor.PARTNER,)),
        (_WAITING, _D.DISPUTED.value, _D.DISPUTED, (Actor.PARTNER,)),
        ((_D.DISPUTED,), "insist", _D.SENT, (Actor.ANALYST,)),
        ((*_CONTESTED, *_LESS), "see_gone", _D.SEEN_GONE, (Actor.GATEWAY, Actor.ANALYST)),
        ((_D.SENT, _D.ACKNOWLEDGED), "give_up_waiting", _D.NO_REPLY, (Actor.GATEWAY,)),
        (
            (_D.REQUESTED, _D.AMBIGUOUS, *_CONTESTED),
            "withdraw",
            _D.WITHDRAWN,
            (Actor.GATEWAY, Actor.ANALYST),
        ),
        # What a partner did on a request that should not have been made, it is asked to undo.
        (
            tuple(s for s in (*ANSWERS, _D.SEEN_GONE) if s in UNDOABLE),
            "withdraw",
            _D.WITHDRAWN,
            (Actor.ANALYST,),
        ),
    ),
    settled=frozenset({*ANSWERS, _D.SEEN_GONE, _D.NO_REPLY, _D.FAILED, _D.WITHDRAWN}),
)

_LOOKED_AT = (_W.CHECKING, _W.REAPPEARED, _W.MANUAL)
_LOOKERS = (Actor.GATEWAY, Actor.ANALYST)
WATCH: Machine[WatchState] = Machine(
    name="watch",
    initial=WatchState.CHECKING,
    steps=_steps(
        (_LOOKED_AT, "see_gone", _W.GONE, _LOOKERS),
        ((_W.GONE,), "see_online", _W.REAPPEARED, _LOOKERS),
        ((_W.MANUAL,), "see_online", _W.CHECKING, (Actor.ANALYST,)),
        ((_W.CHECKING, _W.REAPPEARED), "need_person", _W.MANUAL, (Actor.GATEWAY,)),
        # A case that was reopened asks partners again, and is followed again.
        ((_W.GONE, _W.REAPPEARED, _W.ENDED), "restart", _W.CHECKING, (Actor.GATEWAY,)),
        ((*_LOOKED_AT, _W.GONE), "end", _W.ENDED, (Actor.GATEWAY,)),
    ),
    settled=frozenset({_W.ENDED}),
)

REFERRAL: Machine[ReferralState] = Machine(
    name="referral",
    initial=ReferralState.REQUESTED,
    steps=_steps(
        ((_R.REQUESTED,), "deliver", _R.DELIVERED, (Actor.NOTIFY,)),
        ((_R.DELIVERED,), "acknowledge", _R.ACKNOWLEDGED, (Actor.AUTHORITY,)),
        ((_R.REQUESTED,), "fail", _R.FAILED, (Actor.NOTIFY,)),
        ((_R.FAILED,), "retry", _R.REQUESTED, (Actor.NOTIFY, Actor.ANALYST)),
    ),
    settled=frozenset({_R.ACKNOWLEDGED, _R.FAILED}),
)

NOTIFICATION: Machine[NotificationState] = Machine(
    name="notification",
    initial=NotificationState.PENDING,
    steps=_steps(
        ((_N.PENDING,), "send", _N.SENT, (Actor.NOTIFY,)),
        ((_N.PENDING,), "fail", _N.FAILED, (Actor.NOTIFY,)),
    ),
    settled=frozenset({_N.SENT, _N.FAILED}),
)


class ReporterStatus(StrEnum):
    """What the holder of the receipt reads. Each has a sentence in the country pack's texts."""

    RECEIVED = "received"
    IN_REVIEW = "in_review"
    NEED_INFO = "need_info"
    SENT_PARTNER = "sent_partner"
    REFERRED = "referred"
    REMOVED = "removed"
    PARTNER_REFUSED = "partner_refused"
    NO_GROUND = "no_ground"
    CLOSED = "closed"
    WITHDRAWN = "withdrawn"
