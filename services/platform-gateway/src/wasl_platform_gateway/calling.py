# SPDX-License-Identifier: Apache-2.0
"""Calls to partners under a lease, a rate and a circuit; results stored with their events.

One lane per partner. Order of promises: claim with a lease, reserve rate and probe, call, store
result and event together. No transaction is open during a call. Results share a transaction; after
a conflict each is applied alone to what is stored now, while the lease is ours.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from wasl_chassis.clock import Clock
from wasl_chassis.failures import Conflict, Retryable
from wasl_chassis.metrics import Metrics
from wasl_chassis.store import Doc, Store
from wasl_chassis.work import UnitOfWork
from wasl_schemas.events.dispatch_updated_v1 import DispatchChange, DispatchUpdatedV1
from wasl_schemas.lifecycle import DispatchState
from wasl_schemas.topics import DISPATCH_UPDATED_V1

from wasl_platform_gateway.domain import ledger
from wasl_platform_gateway.domain.lane import Breaker, Lane, Rate, Sign, lane_id
from wasl_platform_gateway.domain.ledger import Dispatch
from wasl_platform_gateway.door import Door
from wasl_platform_gateway.metrics import (
    record_delivery,
    record_lease_lost,
    record_transition,
)
from wasl_platform_gateway.repository import LANES, LEDGER

log = logging.getLogger(__name__)
_FOR_A_ROLE = (DispatchChange.ESCALATED, DispatchChange.REMINDER_DUE)
#: A row as it is now → the versions it goes through; may be run again on a newer row.
Step = Callable[[Dispatch], list[Dispatch]]


class Hub(Protocol):
    """What of a service the loop and the handlers use."""

    @property
    def store(self) -> Store: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def metrics(self) -> Metrics: ...
    def unit(self) -> UnitOfWork: ...
    async def commit(self, uow: UnitOfWork) -> None: ...


@dataclass(frozen=True, slots=True)
class Tuning:
    """``batch``: rows of one transaction. ``concurrency``: calls of one lane at once."""

    batch: int = 200
    concurrency: int = 16
    test: bool = False
    breaker: Breaker = field(default_factory=Breaker)
    #: From the last call's time limit to the stored result.
    margin: timedelta = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Called:
    """What came of one row's turn: how the row goes on and what it says about the partner."""

    doc: Doc
    step: Step
    sign: Sign | None = None
    retry_after: float | None = None


def told(row: Dispatch) -> DispatchUpdatedV1:
    """What the other services hear of a row as it is now."""
    return DispatchUpdatedV1(
        dispatch_id=row.dispatch_id,
        case_id=row.case_id,
        version=row.version,
        connector=row.connector,
        partner=row.partner,
        state=row.state,
        attempts=row.attempts,
        reference=row.reference,
        reason=row.reason,
        changed_at=row.changed_at,
        change=row.change,
        reminders=row.reminders,
        revision=row.revision,
        role=row.role if row.change in _FOR_A_ROLE else None,
    )


def emit(uow: UnitOfWork, before: Dispatch, steps: Sequence[Dispatch]) -> list[Dispatch]:
    """Tell the other services about every change of state; returns the versions told."""
    news = ledger.transitions(before, steps)
    for row in news:
        uow.emit(DISPATCH_UPDATED_V1, told(row))
    return news


def record(metrics: Metrics, news: Iterable[Dispatch]) -> None:
    """Count changes of state; after their commit. Errands are counted where they are run."""
    for row in news:
        if row.change is not DispatchChange.STATE:
            continue
        record_transition(metrics, row.connector, row.state.value)
        if row.state is DispatchState.SENT:
            took = (row.changed_at - row.requested_at).total_seconds()
            record_delivery(metrics, row.connector, row.changed_at, took)


class Calls:
    """What sending and following share. ``jitter`` gives 0..1."""

    def __init__(
        self,
        hub: Hub,
        door: Door,
        tuning: Tuning,
        *,
        rate: Rate | None = None,
        stopping: Callable[[], bool] = lambda: False,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.hub = hub
        self.door = door
        self.tuning = tuning
        self.rate = rate
        self.stopping = stopping
        self.jitter = jitter
        self.paused = False
        self._window = door.call_timeout
        # A lookup and a submission may follow each other in one turn.
        self._lease = timedelta(seconds=self._window + 2 * door.call_timeout) + tuning.margin

    def idle(self) -> bool:
        """Whether nothing new may be begun."""
        return self.paused or self.stopping()

    # -- calling -----------------------------------------------------------------------------------

    def uncounted(self, row: Dispatch) -> list[Dispatch]:
        """The call was not made, or does not count."""
        return ledger.not_called(row, self.hub.clock.now())

    async def call_all(
        self,
        calls: Sequence[tuple[Doc, Callable[[], Awaitable[Called]]]],
        lane: Lane,
        token: str,
    ) -> None:
        """Make the calls, at most ``concurrency`` at once, and store results as they come.

        A call that cannot start before the lease would be at risk, or after the circuit opened, is
        not made.
        """
        signals = _Signals(lane, self.tuning.breaker, self.hub.clock)
        loop = asyncio.get_running_loop()
        gate = asyncio.Semaphore(self.tuning.concurrency)
        start_by = loop.time() + self._window

        async def one(doc: Doc, call: Callable[[], Awaitable[Called]]) -> Called:
            async with gate:
                if loop.time() > start_by or self.idle() or not signals.go:
                    sent = doc["state"] == DispatchState.REQUESTED.value
                    return Called(doc, self.uncounted if sent else ledger.not_told)
                called = await call()
                signals.add(called)
                return called

        pending = {asyncio.ensure_future(one(doc, call)) for doc, call in calls}
        try:
            while pending:
                # Not FIRST_COMPLETED: half a second gathers a transaction's worth of results.
                done, pending = await asyncio.wait(pending, timeout=0.5)
                if done:
                    results = [task.result() for task in done]
                    await self.apply([(r.doc, r.step) for r in results], token)
        finally:
            for task in pending:
                task.cancel()
        await self._learn(signals)

    # -- lanes -------------------------------------------------------------------------------------

    async def lane(self, partner: str) -> Lane:
        key = lane_id(self.door.name, partner)
        doc = (await self.hub.store.read(LANES, (key,))).get(key)
        if doc is None:
            return Lane(lane_id=key, connector=self.door.name, partner=partner)
        return LANES.decode(doc)

    async def _change_lane(self, partner: str, change: Callable[[Lane], Lane]) -> Lane:
        """Read, change, write at the revision read; again until nobody else came between."""
        attempt = 0
        while True:
            uow = self.hub.unit()
            held = await uow.get(LANES, lane_id(self.door.name, partner))
            before = held or await self.lane(partner)
            after = change(before)
            if after == before:
                return after
            uow.put(LANES, after)
            try:
                await self.hub.commit(uow)
            except Conflict:
                attempt += 1
                await self.hub.clock.sleep(min(0.2, 0.005 * attempt) * self.jitter())
            else:
                return after

    async def reserve(self, partner: str, want: int) -> tuple[int, Lane]:
        """Take rate tokens, and the probe of a half-open circuit, for up to ``want`` calls.

        Returns how many, and the lane as stored.
        """
        granted = 0

        def take(lane: Lane) -> Lane:
            nonlocal granted
            now = self.hub.clock.now()
            granted = lane.allowance(want, now, self.rate)
            return lane.taken(granted, now, self.rate, self._lease) if granted else lane

        lane = await self._change_lane(partner, take)
        return granted, lane

    async def _learn(self, signals: "_Signals") -> None:
        """Store what the batch's answers say about the partner."""
        if signals.unremarkable:
            return
        lane = await self._change_lane(signals.lane.partner, signals.fold)
        if lane.open_until is not None and signals.opened:
            log.warning(
                "the circuit of a partner is open",
                extra={
                    "connector": self.door.name,
                    "partner": lane.partner,
                    "reason": lane.reason,
                },
            )

    # -- the store ---------------------------------------------------------------------------------

    async def claim(self, where: Mapping[str, object], token: str, limit: int) -> list[Doc]:
        return await self.hub.store.claim(
            LEDGER,
            where,
            now=self.hub.clock.now(),
            lease_for=self._lease,
            token=token,
            limit=limit,
        )

    async def apply(self, work: Sequence[tuple[Doc, Step]], token: str) -> dict[str, Doc]:
        """Store the ways on of rows we hold, together; returns the rows as stored.

        Where somebody else changed a row meanwhile, each is applied alone to what is stored now, as
        long as the lease is still ours; a row whose lease was lost is left to its new holder.
        """
        if not work:
            return {}
        try:
            return await self._commit(work)
        except Conflict:
            out: dict[str, Doc] = {}
            for doc, step in work:
                out |= await self._apply_alone(doc["_id"], step, token)
            return out

    async def _apply_alone(self, key: str, step: Step, token: str) -> dict[str, Doc]:
        while True:
            doc = (await self.hub.store.read(LEDGER, (key,))).get(key)
            if doc is None or doc.get("lease") != token:
                record_lease_lost(self.hub.metrics, self.door.name)
                log.warning("a lease was lost", extra={"dispatch_id": key})
                return {}
            try:
                return await self._commit([(doc, step)])
            except Conflict:
                await self.hub.clock.sleep(0.01)

    async def _commit(self, work: Iterable[tuple[Doc, Step]]) -> dict[str, Doc]:
        """One transaction. While the database is away, tried again until the leases run out."""
        uow = self.hub.unit()
        out: dict[str, Doc] = {}
        news: list[Dispatch] = []
        until: datetime | None = None
        for doc, step in work:
            row = uow.adopt(LEDGER, doc)
            steps = step(row)
            news += emit(uow, row, steps)
            uow.put(LEDGER, steps[-1])
            new = LEDGER.encode(steps[-1])
            out[doc["_id"]] = {**new, "_id": doc["_id"], "_rev": doc["_rev"] + 1}
            until = doc["lease_until"] if until is None else min(until, doc["lease_until"])
        while True:
            try:
                await self.hub.commit(uow)
            except Conflict:
                raise
            except Retryable:
                if until is None or self.hub.clock.now() >= until:
                    raise
                await self.hub.clock.sleep(0.5)
            else:
                record(self.hub.metrics, news)
                return out


class _Signals:
    """What the calls of one batch say about the partner, in the order they were answered."""

    def __init__(self, lane: Lane, breaker: Breaker, clock: Clock) -> None:
        self.lane = lane
        self._breaker = breaker
        self._clock = clock
        self._was_clean = lane.clean
        self._was_open = lane.open_until
        self.heard: list[tuple[Sign, float | None]] = []

    @property
    def go(self) -> bool:
        """False once the circuit opened or the partner asked to slow down during this batch."""
        now = self._clock.now()
        opened = self.lane.open_until is not None and now < self.lane.open_until
        blocked = self.lane.blocked_until is not None and now < self.lane.blocked_until
        return not (opened or blocked)

    @property
    def opened(self) -> bool:
        return self.lane.open_until != self._was_open

    @property
    def unremarkable(self) -> bool:
        return self._was_clean and all(sign is Sign.ALIVE for sign, _ in self.heard)

    def add(self, called: Called) -> None:
        if called.sign is not None:
            self.heard.append((called.sign, called.retry_after))
            self.lane = self._after(self.lane, called.sign, called.retry_after)

    def fold(self, lane: Lane) -> Lane:
        """The stored lane after everything heard; other replicas may have changed it meanwhile."""
        if not self.heard:
            return lane.model_copy(update={"probe_until": None})
        for sign, retry_after in self.heard:
            lane = self._after(lane, sign, retry_after)
        return lane

    def _after(self, lane: Lane, sign: Sign, retry_after: float | None) -> Lane:
        return lane.after(sign, self._clock.now(), self._breaker, retry_after)
