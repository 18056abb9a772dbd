# SPDX-License-Identifier: Apache-2.0
"""One batch of records is one transaction, one publish and one commit.

Decode, drop what the inbox knows, prefetch, run the handlers one after another on one unit of work,
commit inbox + state + outbox, publish, return: only then FastStream commits the offsets. If the
batch fails it is replayed one event at a time, so that one bad event costs one event. Every outcome
is a row of the table in ``docs/architecture/consuming.md``; no exception reaches FastStream
unclassified.
"""

import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from faststream.exceptions import NackMessage
from wasl_schemas.base import EventData
from wasl_schemas.catalog import Undecodable, decode
from wasl_schemas.envelope import Event
from wasl_schemas.topics import TopicSpec

from wasl_chassis.clock import Clock
from wasl_chassis.failures import (
    Conflict,
    Failure,
    Locked,
    Outcome,
    Permanent,
    Poison,
    Retryable,
    Systemic,
)
from wasl_chassis.metrics import AGES, Metric, Metrics
from wasl_chassis.outbox import DeadLetters, Outlet
from wasl_chassis.settings import Settings
from wasl_chassis.store import Store
from wasl_chassis.tracing import Tracer
from wasl_chassis.work import UnitOfWork

log = logging.getLogger(__name__)
DataT = TypeVar("DataT", bound=EventData)
Handler = Callable[[Event[Any], UnitOfWork], Awaitable[Outcome | None]]
Prefetch = Callable[[Sequence[Event[Any]], UnitOfWork], Awaitable[None]]

METRICS = (
    Metric(
        "counter",
        "wasl_events_handled_total",
        "Events by what became of them.",
        ("consumer", "type", "outcome"),
    ),
    Metric(
        "histogram",
        "wasl_event_batch_duration_seconds",
        "One batch from records to commit.",
        ("consumer",),
    ),
    Metric(
        "histogram",
        "wasl_event_age_seconds",
        "Age of the oldest event of a batch when it was handled.",
        ("consumer",),
        AGES,
    ),
    Metric(
        "gauge",
        "wasl_consumer_last_success_timestamp_seconds",
        "When a batch last went through, Unix time.",
        ("consumer",),
    ),
    Metric("counter", "wasl_dead_letters_total", "Dead letters.", ("consumer", "type", "reason")),
    Metric(
        "counter",
        "wasl_dead_letter_limit_tripped_total",
        "Times a consumer stopped because too much was dead-lettered.",
        ("consumer",),
    ),
    Metric(
        "gauge",
        "wasl_dependency_up",
        "0 while a consumer waits for a dependency to come back.",
        ("consumer",),
    ),
)


class Record(Protocol):
    """What the chassis needs of a Kafka record."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Route:
    spec: TopicSpec[Any]
    handler: Handler
    prefetch: Prefetch | None


@dataclass(slots=True)
class _Item:
    record: Record
    route: Route
    event: Event[Any]
    inbox_id: str


@dataclass(slots=True)
class _Dead:
    record: Record
    type: str
    reason: str
    error: str
    attempts: int


class Consumer:
    """The routes of one consumer group and what happens to their batches."""

    BUG_ATTEMPTS = 3
    CONFLICTS = 40
    BACKOFF = (0.05, 15.0)

    def __init__(
        self,
        name: str,
        settings: Settings,
        *,
        store: Store,
        outlet: Outlet,
        dead_letters: DeadLetters,
        unit: Callable[[], UnitOfWork],
        clock: Clock,
        metrics: Metrics,
        tracer: Tracer,
        fail: Callable[[Systemic], None],
    ) -> None:
        self.name = name
        #: The service's name in dead-letter topics; ``name`` may carry an instance.
        self.service = name.split(".", maxsplit=1)[0]
        self.routes: dict[str, Route] = {}
        self._settings = settings
        self._store = store
        self._outlet = outlet
        self._dead_letters = dead_letters
        self._unit = unit
        self._clock = clock
        self._metrics = metrics
        self._tracer = tracer
        self._fail = fail
        self.draining = False
        self.stopped = False
        #: False while a dependency is away; part of readiness.
        self.dependency_up = True

    def add(self, spec: TopicSpec[Any], handler: Handler, prefetch: Prefetch | None) -> None:
        if self.service not in spec.consumers:
            raise ValueError(
                f"{self.service} consumes {spec.name} but is not listed in its TopicSpec.consumers"
            )
        self.routes[spec.name] = Route(spec, handler, prefetch)
        for outcome in Outcome:
            self._count(spec.type, outcome, 0)

    async def on_batch(self, records: Sequence[Record]) -> None:
        """Handle one poll's records. Returns when their offsets may be committed.

        Raises :class:`NackMessage` to be given the same records again; nothing else.
        """
        if self.stopped:
            await self._clock.sleep(0.5)
            raise NackMessage
        started = self._clock.monotonic()
        try:
            await self._batch(records)
        except NackMessage:
            raise
        except Systemic as error:
            self.stopped = True
            if error.reason == "dead_letter_limit":
                self._metrics.inc("wasl_dead_letter_limit_tripped_total", consumer=self.name)
            self._fail(error)
            raise NackMessage from None
        except Exception as error:
            # Not one event's fault: the mechanism itself is broken. Stop rather than lose.
            log.exception("a batch failed outside its handlers")
            self.stopped = True
            self._fail(Systemic(type(error).__name__, reason="unexpected"))
            raise NackMessage from None
        self._metrics.observe(
            "wasl_event_batch_duration_seconds",
            self._clock.monotonic() - started,
            consumer=self.name,
        )
        self._metrics.set(
            "wasl_consumer_last_success_timestamp_seconds",
            self._clock.now().timestamp(),
            consumer=self.name,
        )

    async def _batch(self, records: Sequence[Record]) -> None:
        items: list[_Item] = []
        dead: list[_Dead] = []
        for record in records:
            try:
                items.append(self._decode(record))
            except Poison as error:
                route = self.routes.get(record.topic)
                kind = route.spec.type if route else "unknown"
                dead.append(_Dead(record, kind, error.reason, str(error), 1))
        if items:
            try:
                await self._until_stored(items)
            except Failure as error:
                if isinstance(error, Retryable | Systemic):
                    raise
                await self._one_by_one(items, dead)
            except NackMessage:
                raise
            except Exception:  # noqa: BLE001  found again and classified one event at a time
                await self._one_by_one(items, dead)
            self._dead_letters.good(len(records) - len(dead))
        await self._bury(dead)

    def _decode(self, record: Record) -> _Item:
        route = self.routes.get(record.topic)
        if route is None:
            raise Poison("TopicNotConsumed", reason="unknown_topic")
        if record.value is None:
            raise Poison("EmptyValue", reason="undecodable")
        try:
            event = decode(route.spec, record.value)
        except Undecodable as error:
            first = error.problems[0]
            reason = (
                "undecodable"
                if first == "value: json_invalid"
                else "unknown_type"
                if first == "type: unexpected"
                else "schema"
            )
            raise Poison("Undecodable", reason=reason) from None
        return _Item(record, route, event, f"{self.name}|{event.source}|{event.id}")

    async def _until_stored(self, items: Sequence[_Item]) -> None:
        """Attempt until it is stored; wait out conflicts and dependencies that are away."""
        low, high = self.BACKOFF
        delay, lock, waited, conflicts = low, low, 0.0, 0
        while True:
            try:
                await self._attempt(items)
            except Locked:
                # Usually for milliseconds; after a kill -9 until the server ends the transaction.
                pause = random.uniform(0, lock)  # noqa: S311
                lock = min(lock * 2, 1.0)
                self._count_all(items, Outcome.RETRIED)
            except Conflict as error:
                # Another replica was first; its commit is already there, so try again soon. Without
                # end it is no race but a handler that writes what it has not read.
                conflicts += 1
                if conflicts > self.CONFLICTS:
                    raise RuntimeError("conflict without end") from error
                pause = random.uniform(0, low)  # noqa: S311
                self._count_all(items, Outcome.RETRIED)
            except Retryable as error:
                self._down(error)
                self._count_all(items, Outcome.RETRIED)
                pause = random.uniform(delay / 2, delay)  # noqa: S311
                delay = min(delay * 2, high)
                if waited > self._settings.outage_budget_seconds:
                    # Polled again at once, so the group does not take us for dead.
                    raise NackMessage from None
            else:
                self._up()
                return
            if self.draining:
                raise NackMessage
            waited += pause
            await self._clock.sleep(pause)

    def _down(self, error: Retryable) -> None:
        if self.dependency_up:
            self.dependency_up = False
            self._metrics.set("wasl_dependency_up", 0, consumer=self.name)
            log.error("a dependency is away, consuming waits", extra={"reason": str(error)})

    def _up(self) -> None:
        if not self.dependency_up:
            self.dependency_up = True
            log.warning("the dependency is back, consuming goes on")
        self._metrics.set("wasl_dependency_up", 1, consumer=self.name)

    async def _attempt(self, items: Sequence[_Item]) -> None:
        known = await self._store.seen([i.inbox_id for i in items])
        fresh: list[_Item] = []
        outcomes: dict[tuple[str, Outcome], int] = {}

        def came(item: _Item, outcome: Outcome) -> None:
            label = item.event.type, outcome
            outcomes[label] = outcomes.get(label, 0) + 1

        for item in items:
            if item.inbox_id in known:
                came(item, Outcome.DUPLICATE)
            else:
                known.add(item.inbox_id)
                fresh.append(item)
        uow = self._unit()
        with self._tracer.batch(self.name, [i.event.traceparent for i in fresh]):
            await self._prefetch(fresh, uow)
            now = self._clock.now()
            for item in fresh:
                uow.cause = item.event
                came(item, await item.route.handler(item.event, uow) or Outcome.OK)
                uow.inbox.append((item.inbox_id, now))
            changes = uow.changes()
            await self._store.commit(changes)
        await self._outlet.publish(changes.outbox)
        for (kind, outcome), count in outcomes.items():
            self._count(kind, outcome, count)
        if fresh:
            oldest = min(item.event.time for item in fresh)
            self._metrics.observe(
                "wasl_event_age_seconds", (now - oldest).total_seconds(), consumer=self.name
            )

    @staticmethod
    async def _prefetch(items: Sequence[_Item], uow: UnitOfWork) -> None:
        by_route: dict[str, list[_Item]] = {}
        for item in items:
            by_route.setdefault(item.record.topic, []).append(item)
        for group in by_route.values():
            prefetch = group[0].route.prefetch
            if prefetch is not None:
                await prefetch([i.event for i in group], uow)

    async def _one_by_one(self, items: Sequence[_Item], dead: list[_Dead]) -> None:
        for item in items:
            attempts = 0
            while True:
                attempts += 1
                try:
                    await self._until_stored([item])
                except (NackMessage, Systemic):
                    raise
                except Permanent as error:
                    dead.append(self._dead(item, error.reason, error, attempts))
                    break
                except Exception as error:
                    if attempts < self.BUG_ATTEMPTS:
                        self._count(item.event.type, Outcome.RETRIED)
                        await self._clock.sleep(self.BACKOFF[0] * 2**attempts)
                        continue
                    log.exception("an event failed for no known reason", extra=self._where(item))
                    dead.append(self._dead(item, "unexpected", error, attempts))
                    break
                else:
                    break

    @staticmethod
    def _where(item: _Item) -> dict[str, Any]:
        return {
            "event_id": item.event.id,
            "event_type": item.event.type,
            "topic": item.record.topic,
            "partition": item.record.partition,
            "offset": item.record.offset,
        }

    @staticmethod
    def _dead(item: _Item, reason: str, error: Exception, attempts: int) -> _Dead:
        return _Dead(item.record, item.event.type, reason, type(error).__name__, attempts)

    async def _bury(self, dead: Sequence[_Dead]) -> None:
        """Send dead letters with their original bytes; acknowledged before the offset moves."""
        if not dead:
            return
        now = self._clock.now().isoformat().encode()
        letters = []
        for d in dead:
            r = d.record
            original = [
                (k, v if isinstance(v, bytes) else b"")
                for k, v in r.headers
                if not k.startswith("x-wasl-")
            ]
            about = [
                ("x-wasl-reason", d.reason.encode()),
                ("x-wasl-error", d.error.encode()),
                ("x-wasl-consumer", self.name.encode()),
                ("x-wasl-topic", r.topic.encode()),
                ("x-wasl-partition", str(r.partition).encode()),
                ("x-wasl-offset", str(r.offset).encode()),
                ("x-wasl-timestamp-ms", str(r.timestamp).encode()),
                ("x-wasl-attempts", str(d.attempts).encode()),
                ("x-wasl-dead-at", now),
            ]
            topic = f"{r.topic}.dlq.{self.service}"
            letters.append((topic, r.key, r.value, [*original, *about]))
        for d in dead:
            self._metrics.inc(
                "wasl_dead_letters_total", consumer=self.name, type=d.type, reason=d.reason
            )
            self._count(d.type, Outcome.DEAD_LETTERED)
            log.error(
                "an event became a dead letter",
                extra={
                    "reason": d.reason,
                    "error": d.error,
                    "topic": d.record.topic,
                    "partition": d.record.partition,
                    "offset": d.record.offset,
                },
            )
        await self._dead_letters.send(letters)

    def _count(self, kind: str, outcome: Outcome, count: int = 1) -> None:
        self._metrics.inc(
            "wasl_events_handled_total", count, consumer=self.name, type=kind, outcome=outcome.value
        )

    def _count_all(self, items: Sequence[_Item], outcome: Outcome) -> None:
        for item in items:
            self._count(item.event.type, outcome)
