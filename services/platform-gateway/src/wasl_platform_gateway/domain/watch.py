# SPDX-License-Identifier: Apache-2.0
"""The watch over one case's item after a request left, and every way it may change.

Each function takes a watch and returns the next one. ``version`` grows by one with what the other
services are told, never by more. Guarantees: no illegal state; a watch that has not ended is due at
some time or waits for a person; one that may never be looked at stays ended for good; the partner's
word is checked, and two looks must agree before it counts as gone, or as back.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from wasl_schemas.base import Model
from wasl_schemas.lifecycle import ANSWERS, WATCH, DispatchState, WatchState

from wasl_platform_gateway.domain.lane import Lane, Rate
from wasl_platform_gateway.domain.ledger import Dispatch
from wasl_platform_gateway.domain.presence import Presence, Seen

#: A request in one of these is with its partner.
WITH_PARTNER = frozenset(
    {
        DispatchState.SENT,
        DispatchState.ACKNOWLEDGED,
        DispatchState.DISPUTED,
        DispatchState.NO_REPLY,
        *ANSWERS,
    }
)
CLAIMS_GONE = frozenset({DispatchState.REMOVED, DispatchState.ALREADY_GONE})
#: Where the item is thought to be online, and a machine looks.
LOOKED_FOR = (WatchState.CHECKING, WatchState.REAPPEARED)
MOST_UNCLEAR = 5
#: Why a watch ended where nothing is asked of anybody any more.
WITHDRAWN = "withdrawn"
#: A turn at a host is kept this long; who comes later queues again.
TURN_LASTS = timedelta(seconds=10)

After = Callable[[datetime], datetime]


@dataclass(frozen=True, slots=True)
class Schedule:
    """When what is due, after a time. The country pack's ``following``."""

    check: tuple[After, ...]
    confirm: After
    give_up: After
    reappearance: tuple[After, ...]


class Watch(Model):
    """``requested_at``: requests up to then are known. ``since``: looked at from then on.

    ``step``: which wait between looks comes next. ``suspicion``: what one look said and another
    must confirm. ``claims``: requests whose partner said that it is gone; ``contest``: we have not
    yet said that it is not. ``by_hand``: a person looks, no machine. ``barred``: never looked at.
    ``host``: a keyed hash. ``turn``: when it may be looked at without crowding its host.
    """

    case_id: str
    state: WatchState = WatchState.CHECKING
    version: int = 0
    host: str = ""
    requested_at: datetime
    since: datetime
    changed_at: datetime
    reason: str | None = None
    looks: int = 0
    step: int = 1
    unclear: int = 0
    suspicion: Presence | None = None
    suspected_at: datetime | None = None
    claims: tuple[str, ...] = ()
    claimed_gone: bool = False
    contest: bool = False
    by_hand: bool = False
    barred: bool = False
    gone_at: datetime | None = None
    turn: datetime | None = None
    due_at: datetime | None = None
    lease: str | None = None
    lease_until: datetime | None = None

    def but(self, **changes: Any) -> "Watch":
        return self.model_copy(update=changes)

    @property
    def saw_claim_refuted(self) -> bool:
        """Online although a partner had said that it is gone."""
        return self.claimed_gone and self.state in LOOKED_FOR


_FREE: dict[str, Any] = {"lease": None, "lease_until": None, "turn": None}
_CALM: dict[str, Any] = {"unclear": 0, "suspicion": None, "suspected_at": None}
_ANEW: dict[str, Any] = {
    **_CALM, "step": 1, "claimed_gone": False, "contest": False, "by_hand": False, "gone_at": None,
}  # fmt: skip


def _moved(row: Watch, trigger: str, now: datetime, reason: str | None, **changes: Any) -> Watch:
    changes = {"due_at": None, **changes}
    state = WATCH.move(row.state, trigger)
    return row.but(state=state, version=row.version + 1, changed_at=now, reason=reason, **changes)


def place_of(location: str) -> str | None:
    """Host and port of an http(s) address; None for anything else, which no machine can open."""
    try:
        url = urlsplit(location)
        port = url.port
    except ValueError:
        return None
    if url.scheme.lower() not in ("http", "https") or not url.hostname:
        return None
    return f"{url.hostname.rstrip('.')}:{port}" if port else url.hostname.rstrip(".")


# -- what others say ---------------------------------------------------------------------------


def target(rows: Iterable[Dispatch]) -> Dispatch | None:
    """The request that is followed, of all of one case: the newest that may be. None: no more."""
    asked = {*WITH_PARTNER, DispatchState.SEEN_GONE}
    found = [row for row in rows if row.may_look and row.state in asked]
    return max(found, key=lambda row: (row.requested_at, row.dispatch_id), default=None)


def begins(held: Watch | None, row: Dispatch) -> bool:
    """Whether the item of ``row`` is to be watched from now on, and was not before."""
    if not row.may_look or row.state not in WITH_PARTNER:
        return False
    if held is None or held.barred:
        return held is None
    # Another partner's request of the same decision may leave after the first was taken back.
    return row.requested_at > held.requested_at or held.reason == WITHDRAWN


def begun(held: Watch | None, row: Dispatch, host: str, now: datetime, plan: Schedule) -> Watch:
    """A request is with its partner; see :func:`begins`. An ended watch starts again."""
    due = plan.check[0](now)
    if held is None:
        return Watch(
            case_id=row.case_id,
            host=host,
            requested_at=row.requested_at,
            since=now,
            changed_at=now,
            due_at=due,
        )
    known = max(row.requested_at, held.requested_at)
    held = held.but(host=host, requested_at=known, since=now)
    if not WATCH.allows(held.state, "restart"):
        return held
    return _moved(held, "restart", now, None, **_ANEW, due_at=due)


def claimed(row: Watch, dispatch_id: str, now: datetime, plan: Schedule) -> Watch:
    """A partner says that it is gone: look soon. Each request says so once."""
    if row.state is WatchState.ENDED or dispatch_id in row.claims:
        return row
    row = row.but(claims=(*row.claims, dispatch_id), claimed_gone=True)
    if row.state is WatchState.GONE:
        return row
    due = row.due_at and min(row.due_at, plan.confirm(now))
    return row.but(contest=True, due_at=due)


def ended(row: Watch, reason: str, now: datetime) -> Watch:
    """Nothing is left to follow. Takes the lease away: what a look brings now is not wanted."""
    if row.state is WatchState.ENDED:
        return row
    return _moved(row, "end", now, reason, **_CALM, **_FREE)


def barred(held: Watch | None, case_id: str, now: datetime) -> Watch:
    """No machine may ever open the item, whatever was or will be said about the case."""
    if held is None:
        held = Watch(
            case_id=case_id,
            state=WatchState.ENDED,
            requested_at=now,
            since=now,
            changed_at=now,
            reason="never_fetch",
        )
    return ended(held, "never_fetch", now).but(barred=True)


def closed(held: Watch | None, case_id: str, at: datetime, now: datetime) -> Watch | None:
    """The case was closed ``at``: only a later request is followed. None: nothing changes."""
    if held is None:
        return Watch(
            case_id=case_id,
            state=WatchState.ENDED,
            requested_at=at,
            since=now,
            changed_at=now,
            reason="case_closed",
        )
    if at < held.requested_at or held.barred:
        return None
    return ended(held, "case_closed", now).but(requested_at=at, reason="case_closed")


# -- what is seen ------------------------------------------------------------------------------


def looked(row: Watch, seen: Seen, now: datetime, plan: Schedule) -> Watch:
    """After one look of the machine."""
    row = released(row).but(looks=row.looks + 1)
    earliest = now + timedelta(seconds=seen.wait or 0)
    if row.state is WatchState.GONE:
        row = _looked_at_gone(row, seen, now, plan)
    elif row.state in LOOKED_FOR:
        row = _looked_for(row, seen, now, plan)
    return row.but(due_at=max(row.due_at, earliest)) if row.due_at else row


def _looked_for(row: Watch, seen: Seen, now: datetime, plan: Schedule) -> Watch:
    match seen.presence:
        case Presence.WALL:
            return _moved(row, "need_person", now, seen.reason)
        case Presence.GONE:
            row = row.but(unclear=0)
            if _agrees(row, seen, now, plan):
                return _gone(row, seen.reason, now, plan)
            return _suspecting(row, seen, now, plan)
        case Presence.UNCLEAR:
            row = row.but(unclear=row.unclear + 1)
            if row.unclear >= MOST_UNCLEAR:
                return _moved(row, "need_person", now, seen.reason)
        case Presence.ONLINE if row.contest:
            row = row.but(unclear=0)
            if not _agrees(row, seen, now, plan):
                return _suspecting(row, seen, now, plan)
            row = _later(row.but(**_CALM, contest=False), now, plan)
            return row.but(version=row.version + 1, reason="online_after_removal", changed_at=now)
        case Presence.ONLINE:
            row = row.but(**_CALM)
    if now >= plan.give_up(row.since):
        return _moved(row, "need_person", now, "still_online")
    return _later(row, now, plan)


def _looked_at_gone(row: Watch, seen: Seen, now: datetime, plan: Schedule) -> Watch:
    match seen.presence:
        case Presence.ONLINE if _agrees(row, seen, now, plan):
            row = row.but(**_CALM, since=now, step=1, contest=False)
            return _moved(row, "see_online", now, seen.reason, due_at=plan.check[0](now))
        case Presence.ONLINE:
            return _suspecting(row, seen, now, plan)
        case Presence.UNCLEAR | Presence.WALL if row.suspicion and row.unclear + 1 < MOST_UNCLEAR:
            return row.but(unclear=row.unclear + 1, due_at=plan.confirm(now))
    times = (after(row.gone_at or now) for after in plan.reappearance)
    due = next((at for at in times if at > now), None)
    if due is None:
        return ended(row, "stayed_gone", now)
    return row.but(**_CALM, due_at=due)


def _agrees(row: Watch, seen: Seen, now: datetime, plan: Schedule) -> bool:
    if row.suspicion is not seen.presence or row.suspected_at is None:
        return False
    return now >= plan.confirm(row.suspected_at)


def _suspecting(row: Watch, seen: Seen, now: datetime, plan: Schedule) -> Watch:
    at = row.suspected_at if row.suspicion is seen.presence and row.suspected_at else now
    due = plan.confirm(at)
    return row.but(suspicion=seen.presence, suspected_at=at, due_at=due, unclear=0)


def _later(row: Watch, now: datetime, plan: Schedule) -> Watch:
    due = plan.check[min(row.step, len(plan.check) - 1)](now)
    last = plan.give_up(row.since)
    return row.but(step=row.step + 1, due_at=min(due, last) if last > now else due)


def _gone(row: Watch, reason: str, now: datetime, plan: Schedule) -> Watch:
    due = plan.reappearance[0](now)
    changes = {**_CALM, "contest": False, "by_hand": False, "gone_at": now, "due_at": due}
    return _moved(row, "see_gone", now, reason, **changes)


def person_due(row: Watch, now: datetime) -> Watch:
    """The next look at what only a person can see."""
    row = released(row)
    return _moved(row, "need_person", now, "by_hand") if row.state in LOOKED_FOR else row


def seen_by_person(row: Watch, presence: Presence, now: datetime, plan: Schedule) -> Watch:
    """What a person saw counts at once. Raises IllegalTransition.

    What only a person could see is looked at by a person the next time as well.
    """
    if presence is Presence.GONE:
        return _gone(row, "by_hand", now, plan)
    row = row.but(**_CALM, contest=False)
    if row.state is WatchState.GONE:
        row = row.but(since=now, step=1)
        return _moved(row, "see_online", now, "by_hand", due_at=plan.check[0](now))
    due = plan.check[min(row.step, len(plan.check) - 1)](now)
    return _moved(row, "see_online", now, "by_hand", by_hand=True, step=row.step + 1, due_at=due)


# -- turns at a host ---------------------------------------------------------------------------


def released(row: Watch) -> Watch:
    """Give a claimed row back."""
    return row.but(**_FREE)


def queued(row: Watch, turn: datetime, until: datetime) -> Watch:
    """Give a claimed row back until its turn; an ended one has none."""
    return released(row).but(turn=turn, due_at=until) if row.due_at else released(row)


def elsewhere(row: Watch, host: str) -> Watch:
    """The request was corrected: it is about an address at another host."""
    return released(row).but(host=host)


def has_turn(row: Watch, lane: Lane, now: datetime) -> bool:
    """Whether the turn it was given still counts, be it now or later."""
    if row.turn is None or now - row.turn > TURN_LASTS:
        return False
    return lane.blocked_until is None or row.turn >= lane.blocked_until


def take_turns(
    lane: Lane, count: int, now: datetime, rate: Rate
) -> tuple[Lane, tuple[datetime, ...]]:
    """The lane after ``count`` more turns, and when they are: one after another at ``rate``.

    Tokens below zero are turns given away ahead of time.
    """
    start = max(now, lane.blocked_until or now)
    lane = lane.taken(count, start, rate, timedelta())
    left = lane.tokens or 0.0
    waits = (max(0.0, (n - count - left) / rate.per_second) for n in range(1, count + 1))
    return lane, tuple(start + timedelta(seconds=wait) for wait in waits)
