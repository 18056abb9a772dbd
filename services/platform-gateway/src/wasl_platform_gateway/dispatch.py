# SPDX-License-Identifier: Apache-2.0
"""The dispatch loop: sends what is due, asks what became of what was sent, gives up waiting.

One task per lane, so a slow or dead partner holds up its own lane only. Order of promises: claim
with a lease, reserve rate and probe, store the mark, call, store result and event together. No
transaction is open during a call. A crash after the mark leaves a row whose next holder knows that
the outcome is unknown. Results share a transaction; after a conflict each is applied alone.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, Protocol

from pydantic import TypeAdapter, ValidationError
from wasl_chassis.clock import Clock
from wasl_chassis.failures import Conflict, KeyDestroyed, Permanent, Retryable
from wasl_chassis.metrics import Metrics
from wasl_chassis.store import Doc, Store
from wasl_chassis.vault import key_of
from wasl_chassis.work import UnitOfWork
from wasl_connector_sdk import (
    AmbiguousOutcome,
    ConnectorError,
    CredentialsRejected,
    Ground,
    Idempotency,
    InvalidSubmission,
    Outcome,
    PersonNeeded,
    RateLimited,
    Receipt,
    Submission,
    SubmissionRefused,
    SupportsLookup,
    SupportsPolling,
    SupportsSteps,
    TransientError,
)
from wasl_schemas.events.dispatch_requested_v1 import DispatchItem
from wasl_schemas.events.dispatch_updated_v1 import DispatchUpdatedV1
from wasl_schemas.ids import uuid7
from wasl_schemas.lifecycle import DispatchState
from wasl_schemas.topics import DISPATCH_UPDATED_V1

from wasl_platform_gateway.domain import ledger
from wasl_platform_gateway.domain.lane import Breaker, Lane, Rate, Sign, lane_id
from wasl_platform_gateway.domain.ledger import WAITING, Dispatch, Plan, Said
from wasl_platform_gateway.door import Door
from wasl_platform_gateway.metrics import (
    record_backlog,
    record_circuit,
    record_delivery,
    record_lease_lost,
    record_paused,
    record_transition,
)
from wasl_platform_gateway.repository import LANES, LEDGER, by_state, control_of

log = logging.getLogger(__name__)
ITEM: TypeAdapter[DispatchItem] = TypeAdapter(DispatchItem)
ITEM_FIELD, PACKET_FIELD = "case.item", "dispatch.packet"
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
    )


def emit(uow: UnitOfWork, before: Dispatch, steps: Sequence[Dispatch]) -> list[Dispatch]:
    """Tell the other services about every change of state; returns the versions told."""
    news = ledger.transitions(before, steps)
    for row in news:
        uow.emit(DISPATCH_UPDATED_V1, told(row))
    return news


def record(metrics: Metrics, news: Iterable[Dispatch]) -> None:
    """Count changes of state; after their commit."""
    for row in news:
        record_transition(metrics, row.connector, row.state.value)
        if row.state is DispatchState.SENT:
            record_delivery(
                metrics, row.connector, (row.changed_at - row.requested_at).total_seconds()
            )


class Dispatcher:
    """``ground_text`` puts the ground of a row into words; ``jitter`` gives 0..1.

    ``objection``: why a row may not go to its partner by what was agreed with it, None: it may.
    """

    def __init__(
        self,
        hub: Hub,
        door: Door,
        plan: Plan,
        tuning: Tuning,
        *,
        rate: Rate | None = None,
        ground_text: Callable[[Dispatch], str] = lambda _: "",
        objection: Callable[[Dispatch], str | None] = lambda _: None,
        stopping: Callable[[], bool] = lambda: False,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._hub = hub
        self._door = door
        self._plan = plan
        self._tuning = tuning
        self._rate = rate
        self._ground_text = ground_text
        self._objection = objection
        self._stopping = stopping
        self._jitter = jitter
        self._paused = False
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._window = door.call_timeout
        # A lookup and a submission may follow each other in one turn.
        self._lease = timedelta(seconds=self._window + 2 * door.call_timeout) + tuning.margin
        # After a crash every marked row of a batch is in doubt. Where the partner cannot tell one
        # request from another that costs a person's time, so no more are marked than are called.
        resendable = door.manifest.idempotency is not Idempotency.NONE
        self._batch = tuning.batch if resendable else min(tuning.batch, tuning.concurrency)

    # -- the loop ----------------------------------------------------------------------------------

    async def tick(self) -> None:
        """Start a task for every lane without one. Raises what ended a lane's task."""
        ended = [partner for partner, task in self._tasks.items() if task.done()]
        errors = [e for e in (self._tasks.pop(p).exception() for p in ended) if e is not None]
        if await self._anything_due():
            self._paused = (await control_of(self._hub.store, self._door.name)).paused
            if not self._idle():
                for partner in await self._lanes_to_work():
                    self._tasks[partner] = asyncio.create_task(self.run_lane(partner))
        if errors:
            raise errors[0]

    async def _anything_due(self) -> bool:
        """The one query of a quiet gateway."""
        due = {"connector": self._door.name, "due_at": {"$lte": self._hub.clock.now()}}
        return bool(await self._hub.store.find(LEDGER, due, limit=1))

    async def _lanes_to_work(self) -> list[str]:
        """Partners without a task, whose lane is open or has waits to end without a call."""
        now, polls = self._hub.clock.now(), self._plan.poll_seconds is not None
        docs = await self._hub.store.find(LANES, {"connector": self._door.name})
        lanes = [lane for lane in map(LANES.decode, docs) if lane.partner not in self._tasks]
        return [x.partner for x in lanes if not polls or x.allowance(1, now, self._rate)]

    async def drain(self) -> None:
        """Wait until what was called is stored. Call after ``stopping`` turned true."""
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def run_lane(self, partner: str) -> None:
        """Work until nothing is due in this lane."""
        while not self._idle():
            sent = await self._send_due(partner)
            followed = await self._follow_due(partner)
            if not (sent or followed):
                return

    async def measure(self) -> None:
        """Refresh the gauges of the backlog, the switch and the circuits."""
        store, name = self._hub.store, self._door.name
        control = await control_of(store, name)
        record_paused(self._hub.metrics, name, paused=control.paused)
        for doc in await store.find(LANES, {"connector": name}):
            lane = LANES.decode(doc)
            shut = lane.open_until is not None
            record_circuit(self._hub.metrics, name, lane.partner, is_open=shut)
        waiting = {"connector": name, "state": DispatchState.REQUESTED.value}
        in_doubt = {"connector": name, "state": DispatchState.AMBIGUOUS.value}
        oldest = await by_state(store, name, DispatchState.REQUESTED, limit=1)
        record_backlog(
            self._hub.metrics,
            name,
            await store.count(LEDGER, waiting),
            oldest[0].requested_at if oldest else None,
            await store.count(LEDGER, in_doubt),
        )

    def _idle(self) -> bool:
        return self._paused or self._stopping()

    # -- sending -----------------------------------------------------------------------------------

    async def _send_due(self, partner: str) -> bool:
        """One batch. False when nothing was due or nothing may be sent."""
        lane = await self._lane(partner)
        limit = lane.allowance(self._batch, self._hub.clock.now(), self._rate)
        if limit == 0:
            return False
        token = uuid7()
        where = {
            "connector": self._door.name,
            "partner": partner,
            "state": DispatchState.REQUESTED.value,
        }
        docs = await self._claim({**where, "urgent": True}, token, limit)
        if len(docs) < limit:
            docs += await self._claim({**where, "urgent": False}, token, limit - len(docs))
        if not docs:
            return False
        await self._door.connector()
        granted, lane = await self._reserve(partner, len(docs))
        work = [Called(doc, ledger.released) for doc in docs[granted:]]
        ready = await self._prepare(docs[:granted], work)
        now = self._hub.clock.now()
        marks = {doc["_id"]: doc for doc, _ in ready}
        marked = await self._apply(
            [
                *((w.doc, w.step) for w in work),
                *((doc, lambda row: ledger.marked(row, now)) for doc in marks.values()),
            ],
            token,
        )
        calls = [(marked[doc["_id"]], s) for doc, s in ready if doc["_id"] in marked]
        if not granted:
            return True  # nothing was reserved, so there is nothing to give back
        state = _Signals(lane, self._tuning.breaker, self._hub.clock)
        await self._call_all(
            [(doc, self._caller(doc, submission, token)) for doc, submission in calls], state, token
        )
        return True

    async def _prepare(
        self, docs: Sequence[Doc], settled: list[Called]
    ) -> list[tuple[Doc, Submission]]:
        """What each row would send. A row that cannot be sent goes to ``settled``."""
        reader = self._hub.unit()
        rows = [(doc, LEDGER.decode(doc)) for doc in docs]
        await reader.keys.load(key_of(row.item) for _, row in rows)
        ready = []
        for doc, row in rows:
            stop = self._unsendable(row)
            if stop is None:
                try:
                    item = ITEM.validate_json(await reader.keys.open(row.item, ITEM_FIELD))
                except KeyDestroyed:
                    stop = self._erased
                except (Permanent, ValidationError):
                    stop = self._failing("item_unreadable")
                else:
                    ready.append((doc, self._submission(row, item)))
            if stop is not None:
                settled.append(Called(doc, stop))
        return ready

    def _unsendable(self, row: Dispatch) -> Step | None:
        accepts = self._door.manifest.accepts
        if accepts is not None and row.category not in accepts:
            return self._failing("category_not_accepted")
        if (objection := self._objection(row)) is not None:
            return self._failing(objection)
        cut_off = row.unsure or row.submitting_since is not None
        if cut_off and not self._can_find_out():
            return self._losing("interrupted")
        if row.attempts >= self._plan.max_attempts:
            # Only a process that dies in the call gets here: the result would have ended it.
            return self._failing("interrupted")
        return None

    def _can_find_out(self) -> bool:
        return self._door.manifest.idempotency is not Idempotency.NONE or issubclass(
            self._door.type, SupportsLookup
        )

    def _submission(self, row: Dispatch, item: DispatchItem) -> Submission:
        kind: Literal["law", "terms"] = "terms" if row.ground_kind == "terms" else "law"
        text = self._ground_text(row)
        return Submission(
            idempotency_key=row.dispatch_id,
            case=row.case_id,
            partner=row.partner,
            category=row.category,
            severity=row.severity.value,
            ground=Ground(kind=kind, ref=row.ground_ref, text=text),
            scope=row.scope,
            location=item.location,
            platform=item.platform,
            kind=item.kind,
            language=row.language,
            explanation=item.explanation,
            requested_at=row.requested_at,
            test=self._tuning.test,
        )

    def _caller(
        self, doc: Doc, submission: Submission, token: str
    ) -> Callable[[], Awaitable[Called]]:
        async def call() -> Called:
            unsure = bool(doc["unsure"])
            progress = _Saved(doc, lambda held, step: self._apply([(held, step)], token))
            try:
                connector = await self._door.connector()
                receipt: Receipt | None = None
                if unsure and isinstance(connector, SupportsLookup):
                    lookup = connector
                    key = submission.idempotency_key
                    receipt = await self._found(lambda: lookup.find(key))
                    unsure = receipt is not None
                if receipt is None:
                    receipt = await self._door.call(
                        "submit",
                        lambda: (
                            connector.submit_in_steps(submission, progress)
                            if isinstance(connector, SupportsSteps)
                            else connector.submit(submission)
                        ),
                    )
            except PersonNeeded as error:
                step = await self._handing_over(doc, error.packet)
                return Called(progress.doc, step, Sign.ALIVE)
            except ConnectorError as error:
                return self._after_error(progress.doc, error, unsure=unsure)
            return Called(progress.doc, self._sent(receipt), Sign.ALIVE)

        return call

    async def _handing_over(self, doc: Doc, packet: str) -> Step:
        keys, key = self._hub.unit().keys, key_of(doc["item"])
        try:
            await keys.load([key])
            sealed = await keys.seal(key, PACKET_FIELD, packet)
        except KeyDestroyed:
            return self._erased
        return lambda row: ledger.handed_over(row, sealed, self._hub.clock.now())

    async def _found(self, find: Callable[[], Awaitable[Receipt | None]]) -> Receipt | None:
        """A lookup changes nothing: whatever is final about a submission is not about a lookup."""
        try:
            return await self._door.call("find", find)
        except (AmbiguousOutcome, SubmissionRefused, InvalidSubmission) as error:
            raise TransientError("the lookup failed", reason=error.reason) from None

    def _after_error(self, doc: Doc, error: ConnectorError, *, unsure: bool) -> Called:
        match error:
            case SubmissionRefused():
                return Called(doc, self._refused(error.code), Sign.ALIVE)
            case InvalidSubmission():
                log.error(
                    "a partner cannot read our request; the connector's mapping needs a developer",
                    extra={"connector": self._door.name, "reason": error.reason},
                )
                return Called(doc, self._failing(error.reason, unsure=unsure), Sign.ALIVE)
            case RateLimited():
                return Called(doc, self._uncounted, Sign.SLOW_DOWN, error.retry_after)
            case CredentialsRejected():
                log.error(
                    "a partner rejects our credentials; nothing is sent until they are corrected",
                    extra={"connector": self._door.name, "partner": doc["partner"]},
                )
                return Called(doc, self._uncounted, Sign.CREDENTIALS)
            case AmbiguousOutcome() if not self._can_find_out():
                return Called(doc, self._losing(error.reason), Sign.TROUBLE)
            case _:
                unsure = unsure or isinstance(error, AmbiguousOutcome)
                wait = error.retry_after if isinstance(error, TransientError) else None
                later = self._later(error.reason, unsure=unsure, retry_after=wait)
                return Called(doc, later, Sign.TROUBLE)

    # -- following ---------------------------------------------------------------------------------

    async def _follow_due(self, partner: str) -> bool:
        """One batch of rows that wait for their partner."""
        limit = self._batch
        polls = self._plan.poll_seconds is not None
        if polls:
            lane = await self._lane(partner)
            limit = lane.allowance(limit, self._hub.clock.now(), self._rate)
            if limit == 0:
                return False
        token = uuid7()
        where = {
            "connector": self._door.name,
            "partner": partner,
            "state": {"$in": [state.value for state in WAITING]},
        }
        docs = await self._claim(where, token, limit)
        if not docs:
            return False
        now = self._hub.clock.now()
        asking = [d for d in docs if polls and d["reference"] and now < d["no_reply_at"]]
        await self._door.connector()
        granted, lane = await self._reserve(partner, len(asking))
        held_back = {d["_id"] for d in asking[granted:]}
        asking = asking[:granted]
        ids = {d["_id"] for d in asking}
        rest = [
            (d, ledger.released if d["_id"] in held_back else self._asked)
            for d in docs
            if d["_id"] not in ids
        ]
        await self._apply(rest, token)
        if not granted:
            return True
        state = _Signals(lane, self._tuning.breaker, self._hub.clock)
        await self._call_all([(d, self._asker(d)) for d in asking], state, token)
        return True

    def _asker(self, doc: Doc) -> Callable[[], Awaitable[Called]]:
        async def ask() -> Called:
            connector = await self._door.connector()
            if not isinstance(connector, SupportsPolling):
                return Called(doc, self._asked)
            reference: str = doc["reference"]
            try:
                update = await self._door.call("status", lambda: connector.status(reference))
            except RateLimited as error:
                return Called(doc, self._asked, Sign.SLOW_DOWN, error.retry_after)
            except CredentialsRejected:
                return Called(doc, self._asked, Sign.CREDENTIALS)
            except (SubmissionRefused, InvalidSubmission):
                return Called(doc, self._asked, Sign.ALIVE)
            except ConnectorError:
                return Called(doc, self._asked, Sign.TROUBLE)
            return Called(doc, self._heard(update.outcome, update.reason), Sign.ALIVE)

        return ask

    # -- ways on: bound to now when they are applied -----------------------------------------------

    def _sent(self, receipt: Receipt) -> Step:
        return lambda row: ledger.sent(
            row,
            receipt.reference,
            Said(receipt.outcome.value, receipt.reason),
            self._hub.clock.now(),
            self._plan,
        )

    def _refused(self, code: str) -> Step:
        return lambda row: ledger.refused(row, code, self._hub.clock.now())

    def _failing(self, reason: str, *, unsure: bool | None = None) -> Step:
        def step(row: Dispatch) -> list[Dispatch]:
            doubt = row.unsure or row.submitting_since is not None if unsure is None else unsure
            return ledger.failed(row, reason, self._hub.clock.now(), unsure=doubt)

        return step

    def _losing(self, reason: str) -> Step:
        return lambda row: ledger.lost_track(row, reason, self._hub.clock.now())

    def _later(self, reason: str, *, unsure: bool, retry_after: float | None) -> Step:
        jitter = self._jitter()
        return lambda row: ledger.retry_later(
            row,
            reason,
            unsure=unsure,
            retry_after=retry_after,
            jitter=jitter,
            now=self._hub.clock.now(),
            plan=self._plan,
        )

    def _erased(self, row: Dispatch) -> list[Dispatch]:
        return ledger.withdrawn(row, "erased", self._hub.clock.now())

    def _uncounted(self, row: Dispatch) -> list[Dispatch]:
        return ledger.not_called(row, self._hub.clock.now())

    def _asked(self, row: Dispatch) -> list[Dispatch]:
        return ledger.asked(row, self._hub.clock.now(), self._plan)

    def _heard(self, outcome: Outcome, reason: str | None) -> Step:
        def step(row: Dispatch) -> list[Dispatch]:
            now = self._hub.clock.now()
            steps = ledger.answered(row, Said(outcome.value, reason), now, self._plan)
            if not steps:
                return self._asked(row)
            return [*steps[:-1], *ledger.released(steps[-1])]

        return step

    # -- calling -----------------------------------------------------------------------------------

    async def _call_all(
        self,
        calls: Sequence[tuple[Doc, Callable[[], Awaitable[Called]]]],
        signals: "_Signals",
        token: str,
    ) -> None:
        """Make the calls, at most ``concurrency`` at once, and store results as they come.

        A call that cannot start before the lease would be at risk, or after the circuit opened, is
        not made.
        """
        loop = asyncio.get_running_loop()
        gate = asyncio.Semaphore(self._tuning.concurrency)
        start_by = loop.time() + self._window

        async def one(doc: Doc, call: Callable[[], Awaitable[Called]]) -> Called:
            async with gate:
                if loop.time() > start_by or self._idle() or not signals.go:
                    sent = doc["state"] == DispatchState.REQUESTED.value
                    return Called(doc, self._uncounted if sent else ledger.released)
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
                    await self._apply([(r.doc, r.step) for r in results], token)
        finally:
            for task in pending:
                task.cancel()
        await self._learn(signals)

    # -- lanes -------------------------------------------------------------------------------------

    async def _lane(self, partner: str) -> Lane:
        key = lane_id(self._door.name, partner)
        doc = (await self._hub.store.read(LANES, (key,))).get(key)
        if doc is None:
            return Lane(lane_id=key, connector=self._door.name, partner=partner)
        return LANES.decode(doc)

    async def _change_lane(self, partner: str, change: Callable[[Lane], Lane]) -> Lane:
        """Read, change, write at the revision read; again until nobody else came between."""
        attempt = 0
        while True:
            uow = self._hub.unit()
            held = await uow.get(LANES, lane_id(self._door.name, partner))
            before = held or await self._lane(partner)
            after = change(before)
            if after == before:
                return after
            uow.put(LANES, after)
            try:
                await self._hub.commit(uow)
            except Conflict:
                attempt += 1
                await self._hub.clock.sleep(min(0.2, 0.005 * attempt) * self._jitter())
            else:
                return after

    async def _reserve(self, partner: str, want: int) -> tuple[int, Lane]:
        """Take rate tokens, and the probe of a half-open circuit, for up to ``want`` calls.

        Returns how many, and the lane as stored.
        """
        granted = 0

        def take(lane: Lane) -> Lane:
            nonlocal granted
            now = self._hub.clock.now()
            granted = lane.allowance(want, now, self._rate)
            return lane.taken(granted, now, self._rate, self._lease) if granted else lane

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
                    "connector": self._door.name,
                    "partner": lane.partner,
                    "reason": lane.reason,
                },
            )

    # -- the store ---------------------------------------------------------------------------------

    async def _claim(self, where: Mapping[str, object], token: str, limit: int) -> list[Doc]:
        return await self._hub.store.claim(
            LEDGER,
            where,
            now=self._hub.clock.now(),
            lease_for=self._lease,
            token=token,
            limit=limit,
        )

    async def _apply(self, work: Sequence[tuple[Doc, Step]], token: str) -> dict[str, Doc]:
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
            doc = (await self._hub.store.read(LEDGER, (key,))).get(key)
            if doc is None or doc.get("lease") != token:
                record_lease_lost(self._hub.metrics, self._door.name)
                log.warning("a lease was lost", extra={"dispatch_id": key})
                return {}
            try:
                return await self._commit([(doc, step)])
            except Conflict:
                await self._hub.clock.sleep(0.01)

    async def _commit(self, work: Iterable[tuple[Doc, Step]]) -> dict[str, Doc]:
        """One transaction. While the database is away, tried again until the leases run out."""
        uow = self._hub.unit()
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
                await self._hub.commit(uow)
            except Conflict:
                raise
            except Retryable:
                if until is None or self._hub.clock.now() >= until:
                    raise
                await self._hub.clock.sleep(0.5)
            else:
                record(self._hub.metrics, news)
                return out


class _Saved:
    """A row's :class:`~wasl_connector_sdk.Progress`, and the row as its savings left it."""

    def __init__(self, doc: Doc, apply: Callable[[Doc, Step], Awaitable[dict[str, Doc]]]) -> None:
        self.doc = doc
        self._apply = apply

    def get(self, name: str) -> str | None:
        saved: dict[str, str] = self.doc.get("progress", {})
        return saved.get(name)

    async def save(self, name: str, value: str) -> None:
        stored = await self._apply(self.doc, lambda row: ledger.progressed(row, name, value))
        if self.doc["_id"] not in stored:
            # Another process holds the row and goes on from what was saved before.
            raise AmbiguousOutcome("the lease was lost", reason="lease_lost")
        self.doc = stored[self.doc["_id"]]


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
