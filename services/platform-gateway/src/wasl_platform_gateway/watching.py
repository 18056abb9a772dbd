# SPDX-License-Identifier: Apache-2.0
"""Following: looks at an item until it is gone, then now and then in case it comes back.

What the ledger says is read from the ledger, so events may come in any order. A look changes
nothing at its host, so a result that is lost is looked for again when the lease runs out. No
transaction is open during a look; its result, the events about it and what it means for the
requests of the case are one. Whether an item may be opened at all is asked again right before.
"""

import asyncio
import hashlib
import hmac
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol, TypeVar

from pydantic import ValidationError
from wasl_chassis.failures import Conflict, KeyDestroyed, Outcome, Permanent
from wasl_chassis.store import Doc, Store
from wasl_chassis.vault import key_of
from wasl_chassis.work import UnitOfWork
from wasl_schemas.envelope import Event
from wasl_schemas.events.case_updated_v1 import CaseUpdatedV1
from wasl_schemas.events.dispatch_requested_v1 import DispatchItem
from wasl_schemas.events.dispatch_updated_v1 import DispatchUpdatedV1
from wasl_schemas.events.item_observed_v1 import ItemObservedV1
from wasl_schemas.ids import uuid7
from wasl_schemas.lifecycle import CaseState, WatchState
from wasl_schemas.topics import ITEM_OBSERVED_V1

from wasl_platform_gateway.calling import Hub, emit, record
from wasl_platform_gateway.domain import ledger, watch
from wasl_platform_gateway.domain.lane import Breaker, Lane, Rate, Sign, lane_id
from wasl_platform_gateway.domain.ledger import Dispatch
from wasl_platform_gateway.domain.presence import Presence, Seen
from wasl_platform_gateway.domain.watch import Schedule, Watch
from wasl_platform_gateway.looking import Probe
from wasl_platform_gateway.metrics import record_look, record_oldest_due, record_watches
from wasl_platform_gateway.repository import LANES, LEDGER, WATCHES
from wasl_platform_gateway.wording import ITEM, ITEM_FIELD

log = logging.getLogger(__name__)
T = TypeVar("T")
#: The name under which hosts have their lanes.
LOOKING = "online-check"
#: A robots.txt may ask for more; nobody is helped by a look a year.
MOST_CRAWL_DELAY = 60.0
#: A lane nobody used for so long is as good as none.
_LANE_LASTS = timedelta(days=1)
_ATTEMPTS = 40
_POLITE = Breaker()
#: A watch as it is now → the next one; may be run again on a newer one.
Step = Callable[[Watch], Watch]
#: The status address of an item's platform; None where the item's own page is read.
Probes = Callable[[DispatchItem], Probe | None]


class Looks(Protocol):
    """What of :class:`~wasl_platform_gateway.looking.Looker` is used."""

    async def look(self, location: str, probe: Probe | None = None) -> Seen: ...
    def crawl_delay(self, location: str) -> float | None: ...


@dataclass(frozen=True, slots=True)
class WatchTuning:
    """``concurrency``: looks at once; at one host it is one. ``rate``: of each host's looks."""

    batch: int = 200
    concurrency: int = 16
    rate: Rate = field(default_factory=lambda: Rate(per_second=0.5, burst=1))
    #: Longer than a look can take.
    lease: timedelta = timedelta(seconds=60)


def no_probe(_: DispatchItem) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Rules:
    """What the deployment says: when, whether at all (of a category), and the key for hosts."""

    schedule: Schedule
    may_fetch: Callable[[str], bool]
    secret: bytes

    def host(self, location: str) -> str | None:
        """The host as it is stored: its name alone may say whose page it is.

        None where a machine can open nothing.
        """
        place = watch.place_of(location)
        if place is None:
            return None
        return hmac.digest(self.secret, place.encode(), hashlib.sha256).hex()[:32]


async def _item(uow: UnitOfWork, row: Dispatch) -> DispatchItem:
    """Raises KeyDestroyed, Permanent and ValidationError."""
    return ITEM.validate_json(await uow.keys.open(row.item, ITEM_FIELD))


async def _location(uow: UnitOfWork, row: Dispatch | None) -> str | None:
    """None where there is none any more: no request, erased, unreadable."""
    try:
        return None if row is None else (await _item(uow, row)).location
    except (KeyDestroyed, Permanent, ValidationError):
        return None


async def _requests(store: Store, case_id: str) -> list[Doc]:
    return await store.find(LEDGER, {"case_id": case_id})


def _told(row: Watch) -> ItemObservedV1:
    return ItemObservedV1(
        case_id=row.case_id,
        version=row.version,
        state=row.state,
        reason=row.reason,
        looks=row.looks,
        claimed_gone=row.saw_claim_refuted,
        changed_at=row.changed_at,
    )


async def _settle(store: Store, uow: UnitOfWork, before: Watch, after: Watch) -> list[Dispatch]:
    """Put what became of a watch into the unit, with its events; returns what requests became.

    While it is gone a look also settles requests that reached their partner after it was.
    """
    uow.put(WATCHES, after)
    if after.version != before.version:
        uow.emit(ITEM_OBSERVED_V1, _told(after))
    elif after.looks == before.looks:
        return []
    news: list[Dispatch] = []
    if after.state is WatchState.GONE and after.suspicion is None:
        for doc in await _requests(store, after.case_id):
            row = uow.adopt(LEDGER, doc)
            if steps := ledger.seen_gone(row, uow.now()):
                uow.put(LEDGER, steps[-1])
                news += emit(uow, row, steps)
    return news


async def _transact(hub: Hub, work: Callable[[UnitOfWork], Awaitable[T]]) -> T:
    """Run ``work`` on a fresh unit and commit; on Conflict again on what is stored now."""
    for attempt in range(1, _ATTEMPTS + 1):
        uow = hub.unit()
        result = await work(uow)
        try:
            await hub.commit(uow)
        except Conflict:
            await hub.clock.sleep(min(0.2, 0.005 * attempt))
        else:
            return result
    raise Conflict("the same watch keeps changing")


class FollowHandlers:
    """Begins and ends watches."""

    def __init__(self, store: Store, rules: Rules) -> None:
        self._store = store
        self._rules = rules

    async def prefetch_dispatches(
        self, events: Sequence[Event[DispatchUpdatedV1]], uow: UnitOfWork
    ) -> None:
        await uow.load(LEDGER, (event.data.dispatch_id for event in events))
        await uow.load(WATCHES, (event.data.case_id for event in events))
        ids = [event.data.dispatch_id for event in events]
        rows = [row for key in ids if (row := await uow.get(LEDGER, key)) is not None]
        await uow.keys.load(key_of(row.item) for row in rows)

    async def on_dispatch_updated(
        self, event: Event[DispatchUpdatedV1], uow: UnitOfWork
    ) -> Outcome | None:
        """Follow what a partner has; hear what it claims; stop where nothing is asked any more."""
        row = await uow.get(LEDGER, event.data.dispatch_id)
        if row is None:
            return Outcome.STALE
        held = await uow.get(WATCHES, row.case_id)
        after, now, plan = held, uow.now(), self._rules.schedule
        if not self._rules.may_fetch(row.category):
            after = watch.barred(held, row.case_id, now)
        elif watch.begins(held, row) and (host := await self._host(uow, row)) is not None:
            after = watch.begun(held, row, host, now, plan)
        if after is not None and row.state in watch.CLAIMS_GONE:
            after = watch.claimed(after, row.dispatch_id, now, plan)
        if after is not None and after.state is not WatchState.ENDED and not watch.target((row,)):
            rows = map(LEDGER.decode, await _requests(self._store, row.case_id))
            if not watch.target(rows):
                after = watch.ended(after, watch.WITHDRAWN, now)
        return await self._keep(uow, held, after)

    async def prefetch_cases(self, events: Sequence[Event[CaseUpdatedV1]], uow: UnitOfWork) -> None:
        await uow.load(WATCHES, (event.data.case_id for event in events))

    async def on_case_updated(self, event: Event[CaseUpdatedV1], uow: UnitOfWork) -> Outcome | None:
        """End what must not or need not be followed, and remember it where nothing was yet."""
        data, now = event.data, uow.now()
        held = await uow.get(WATCHES, data.case_id)
        after: Watch | None = None
        if data.category is not None and not self._rules.may_fetch(data.category):
            after = watch.barred(held, data.case_id, now)
        elif data.state is CaseState.CLOSED:
            after = watch.closed(held, data.case_id, data.changed_at, now)
        return await self._keep(uow, held, after or held)

    async def _keep(
        self, uow: UnitOfWork, held: Watch | None, after: Watch | None
    ) -> Outcome | None:
        if after is None or after == held:
            return Outcome.STALE
        await _settle(self._store, uow, held or after, after)
        return None

    async def _host(self, uow: UnitOfWork, row: Dispatch) -> str | None:
        location = await _location(uow, row)
        return None if location is None else self._rules.host(location)


class Follower:
    """The loop."""

    def __init__(
        self,
        hub: Hub,
        looker: Looks,
        rules: Rules,
        tuning: WatchTuning,
        *,
        probe: Probes = no_probe,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._hub = hub
        self._looker = looker
        self._rules = rules
        self._tuning = tuning
        self._probe = probe
        self._stopping = stopping
        self._looks: dict[str, asyncio.Task[None]] = {}

    # -- the loop ----------------------------------------------------------------------------------

    async def tick(self) -> bool:
        """Begin looks that are due. True: there may be more. Raises what ended a look."""
        done = [host for host, task in self._looks.items() if task.done()]
        errors = [e for e in (self._looks.pop(host).exception() for host in done) if e is not None]
        more = self._free() and await self._begin_due()
        if errors:
            raise errors[0]
        return more

    def _free(self) -> bool:
        return not self._stopping() and len(self._looks) < self._tuning.concurrency

    async def stop(self) -> None:
        """Break off looks; each is made again when its lease runs out."""
        for task in self._looks.values():
            task.cancel()
        await asyncio.gather(*self._looks.values(), return_exceptions=True)

    async def _begin_due(self) -> bool:
        token, limit = uuid7(), self._tuning.batch
        docs = await self._hub.store.claim(
            WATCHES,
            {},
            now=self._hub.clock.now(),
            lease_for=self._tuning.lease,
            token=token,
            limit=limit,
        )
        hosts: dict[str, list[Doc]] = {}
        rest: list[tuple[Doc, Step]] = []
        for doc in docs:
            if doc["by_hand"]:
                rest.append((doc, self._asking))
            else:
                hosts.setdefault(doc["host"], []).append(doc)
        moved = bool(rest)
        for host, waiting in hosts.items():
            queued, given = await self._begin_at(host, waiting, token)
            rest += queued
            moved = moved or given
        await self._apply(rest, token)
        return moved and len(docs) == limit

    async def _begin_at(
        self, host: str, docs: Sequence[Doc], token: str
    ) -> tuple[list[tuple[Doc, Step]], bool]:
        """Begin one look at a host where it is its turn; the others wait for theirs.

        Returns these, and whether a turn was given away.
        """
        now = self._hub.clock.now()
        lane = await self._lane(self._hub.unit(), host)
        turns: dict[str, datetime] = {
            doc["_id"]: doc["turn"]
            for doc in docs
            if watch.has_turn(WATCHES.decode(doc), lane, now)
        }
        without = [doc["_id"] for doc in docs if doc["_id"] not in turns]
        if without:
            given = await self._take_turns(host, len(without))
            turns |= dict(zip(without, given, strict=True))
        queued: list[tuple[Doc, Step]] = []
        soon = now + timedelta(seconds=1)
        for doc in sorted(docs, key=lambda d: turns[d["_id"]]):
            turn = turns[doc["_id"]]
            if turn <= now and host not in self._looks and self._free():
                self._looks[host] = asyncio.create_task(self._look(doc, token))
            else:
                queued.append((doc, partial(watch.queued, turn=turn, until=max(turn, soon))))
        return queued, bool(without)

    # -- one look ----------------------------------------------------------------------------------

    async def _look(self, doc: Doc, token: str) -> None:
        step = await self._look_at(doc["_id"], token)
        if step is not None:
            await self._apply([(doc, step)], token)

    async def _look_at(self, case_id: str, token: str) -> Step | None:
        """What came of a watch's turn; None where it is no longer ours."""
        reader, clock = self._hub.unit(), self._hub.clock
        rows = [LEDGER.decode(doc) for doc in await _requests(self._hub.store, case_id)]
        held = await reader.get(WATCHES, case_id)
        if held is None or held.lease != token or held.due_at is None:
            return None
        if not all(self._rules.may_fetch(row.category) for row in rows):
            return lambda row: watch.barred(row, case_id, clock.now())
        request = watch.target(rows)
        if request is None:
            return self._ending(watch.WITHDRAWN)
        try:
            item = await _item(reader, request)
        except KeyDestroyed:
            return self._ending("erased")
        except (Permanent, ValidationError):
            return self._ending("item_unreadable")
        host = self._rules.host(item.location)
        if host is None:
            return self._ending("no_address")
        if host != held.host:
            return lambda row: watch.elsewhere(row, host)
        seen = await self._see(item)
        record_look(self._hub.metrics, seen.presence.value)
        await self._learn(host, max(seen.wait or 0.0, self._crawl_delay(item.location)))
        return lambda row: watch.looked(row, seen, clock.now(), self._rules.schedule)

    async def _see(self, item: DispatchItem) -> Seen:
        try:
            return await self._looker.look(item.location, self._probe(item))
        except Exception as error:  # noqa: BLE001  whatever a page can do to us, it told nothing
            # Its type only: a text may quote the page or its address.
            log.error("a look failed", extra={"error": type(error).__name__})
            return Seen(Presence.UNCLEAR, "look_failed")

    def _crawl_delay(self, location: str) -> float:
        return min(self._looker.crawl_delay(location) or 0.0, MOST_CRAWL_DELAY)

    def _asking(self, row: Watch) -> Watch:
        return watch.person_due(row, self._hub.clock.now())

    def _ending(self, reason: str) -> Step:
        return lambda row: watch.ended(row, reason, self._hub.clock.now())

    # -- hosts -------------------------------------------------------------------------------------

    @staticmethod
    async def _lane(uow: UnitOfWork, host: str) -> Lane:
        key = lane_id(LOOKING, host)
        return await uow.get(LANES, key) or Lane(lane_id=key, connector=LOOKING, partner=host)

    async def _take_turns(self, host: str, count: int) -> tuple[datetime, ...]:
        async def work(uow: UnitOfWork) -> tuple[datetime, ...]:
            held = await self._lane(uow, host)
            lane, turns = watch.take_turns(held, count, uow.now(), self._tuning.rate)
            uow.put(LANES, lane)
            return turns

        return await _transact(self._hub, work)

    async def _learn(self, host: str, wait: float) -> None:
        """Stay away from a host for as long as it asks, where that is longer than we do."""
        if wait * self._tuning.rate.per_second <= 1:
            return

        async def work(uow: UnitOfWork) -> None:
            held = await self._lane(uow, host)
            uow.put(LANES, held.after(Sign.SLOW_DOWN, uow.now(), _POLITE, wait))

        await _transact(self._hub, work)

    # -- the store ---------------------------------------------------------------------------------

    async def _apply(self, work: Sequence[tuple[Doc, Step]], token: str) -> None:
        """Store what became of watches we hold, together; after a conflict each alone."""
        if not work:
            return
        store, uow = self._hub.store, self._hub.unit()
        news: list[Dispatch] = []
        for doc, step in work:
            held = uow.adopt(WATCHES, doc)
            news += await _settle(store, uow, held, step(held))
        try:
            await self._hub.commit(uow)
        except Conflict:
            for doc, step in work:
                await self._apply_alone(doc["_id"], step, token)
        else:
            record(self._hub.metrics, news)

    async def _apply_alone(self, case_id: str, step: Step, token: str) -> None:
        """On what is stored now, where the watch is still ours; else it is another's, or ended."""

        async def work(uow: UnitOfWork) -> list[Dispatch]:
            held = await uow.get(WATCHES, case_id)
            if held is None or held.lease != token:
                return []
            return await _settle(self._hub.store, uow, held, step(held))

        record(self._hub.metrics, await _transact(self._hub, work))

    async def measure(self) -> None:
        """Refresh the gauges, and forget lanes that nobody used for long."""
        store, now = self._hub.store, self._hub.clock.now()
        for state in WatchState:
            if state is not WatchState.UNKNOWN:
                count = await store.count(WATCHES, {"state": state.value})
                record_watches(self._hub.metrics, state.value, count)
        due = {"due_at": {"$lte": now}}
        oldest = await store.find(WATCHES, due, sort=(("due_at", 1),), limit=1)
        record_oldest_due(self._hub.metrics, oldest[0]["due_at"] if oldest else None)
        idle = {"connector": LOOKING, "tokens_at": {"$lt": now - _LANE_LASTS}}
        uow = self._hub.unit()
        for doc in await store.find(LANES, idle, limit=self._tuning.batch):
            uow.adopt(LANES, doc)
            await uow.delete(LANES, doc["_id"])
        with suppress(Conflict):  # one came into use; it is looked at again the next time
            await self._hub.commit(uow)


@dataclass(frozen=True, slots=True)
class Sheet:
    """A watch, and where a person looks; ``location`` None: erased, or not theirs to look at."""

    row: Watch
    location: str | None = None


class WatchDesk:
    """What an operator does with items no machine can see."""

    def __init__(self, hub: Hub, schedule: Schedule) -> None:
        self._hub = hub
        self._schedule = schedule

    async def in_state(self, state: WatchState) -> list[Sheet]:
        """The longest waiting first. Addresses only of those a person must look at."""
        where = {"state": state.value}
        docs = await self._hub.store.find(WATCHES, where, sort=(("changed_at", 1),), limit=100)
        rows = [WATCHES.decode(doc) for doc in docs]
        if state is not WatchState.MANUAL:
            return [Sheet(row) for row in rows]
        cases: dict[str, list[Dispatch]] = {row.case_id: [] for row in rows}
        for doc in await self._hub.store.find(LEDGER, {"case_id": {"$in": list(cases)}}):
            cases[doc["case_id"]].append(LEDGER.decode(doc))
        reader = self._hub.unit()
        targets = {case_id: watch.target(found) for case_id, found in cases.items()}
        await reader.keys.load(key_of(t.item) for t in targets.values() if t is not None)
        return [Sheet(row, await _location(reader, targets[row.case_id])) for row in rows]

    async def seen(self, case_id: str, presence: Presence) -> Watch | None:
        """What a person saw. None: no such watch. Raises IllegalTransition."""

        async def work(uow: UnitOfWork) -> tuple[Watch | None, list[Dispatch]]:
            held = await uow.get(WATCHES, case_id)
            if held is None:
                return None, []
            after = watch.seen_by_person(held, presence, uow.now(), self._schedule)
            return after, await _settle(self._hub.store, uow, held, after)

        row, news = await _transact(self._hub, work)
        record(self._hub.metrics, news)
        return row
