# SPDX-License-Identifier: Apache-2.0
"""From a committed outbox row to an acknowledged record, and the relay that heals what a crash
left.

Publishing is tried from memory right after the commit. If that fails the rows simply stay; while
rows stay behind, everything leaves through the relay, in the order written, so that one key keeps
its order. A crash between acknowledgement and deletion publishes a row twice: consumers know its
event id.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from wasl_chassis.clock import Clock
from wasl_chassis.failures import Retryable, Systemic
from wasl_chassis.metrics import Metric, Metrics
from wasl_chassis.store import OutboxRow, Store

log = logging.getLogger(__name__)

METRICS = (
    Metric(
        "gauge", "wasl_outbox_pending_events", "Events committed and not yet acknowledged by Kafka."
    ),
    Metric(
        "gauge",
        "wasl_outbox_oldest_pending_timestamp_seconds",
        "When the oldest pending event was written, Unix time; 0 when none waits.",
    ),
    Metric(
        "counter",
        "wasl_outbox_published_total",
        "Events published, or tried, by topic.",
        ("topic", "result"),
    ),
    Metric("histogram", "wasl_outbox_publish_duration_seconds", "One publish of several events."),
    Metric(
        "counter", "wasl_outbox_lease_lost_total", "Sweeps skipped because another relay is active."
    ),
)


class Publisher:
    """One idempotent producer. ``send`` returns when all replicas have every record.

    A producer that failed is not used again: one that numbers its batches cannot go on where a
    broker has forgotten them.
    """

    def __init__(self, bootstrap: str, client_id: str, request_timeout: float = 15) -> None:
        self._options: dict[str, Any] = {
            "bootstrap_servers": bootstrap,
            "client_id": client_id,
            "acks": "all",
            "enable_idempotence": True,
            "linger_ms": 0,
            "max_batch_size": 262_144,
            "request_timeout_ms": int(request_timeout * 1000),
        }
        self._timeout = request_timeout + 5
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()
        self._leaving: set[asyncio.Task[None]] = set()

    async def _started(self) -> AIOKafkaProducer:
        if self._producer is None:
            async with self._starting:
                if self._producer is None:
                    producer = AIOKafkaProducer(**self._options)
                    try:
                        await producer.start()
                    except BaseException:
                        await producer.stop()
                        raise
                    self._producer = producer
        return self._producer

    async def send(
        self, records: Sequence[tuple[str, bytes | None, bytes | None, Sequence[tuple[str, bytes]]]]
    ) -> None:
        """Send (topic, key, value, headers) records. Raises :class:`Retryable`; then any may be
        lost.
        """
        producer = None
        try:
            async with asyncio.timeout(self._timeout):
                producer = await self._started()
                futures = [
                    await producer.send(topic, value, key=key, headers=list(headers))
                    for topic, key, value, headers in records
                ]
                results = await asyncio.gather(*futures, return_exceptions=True)
        except (KafkaError, TimeoutError, OSError) as error:
            self._discard(producer)
            raise Retryable(type(error).__name__, reason="kafka_away") from error
        failed = next((r for r in results if isinstance(r, BaseException)), None)
        if failed is not None:
            self._discard(producer)
            raise Retryable(type(failed).__name__, reason="kafka_away") from failed

    def _discard(self, producer: AIOKafkaProducer | None) -> None:
        """Give it up; what it still holds may arrive as well, under event ids its readers know."""
        if producer is not None and producer is self._producer:
            self._producer = None
            task = asyncio.create_task(self._close(producer))
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)

    async def _close(self, producer: AIOKafkaProducer) -> None:
        with suppress(KafkaError, OSError):  # its batches have failed already, and are told of
            await producer.stop()

    async def stop(self) -> None:
        self._discard(self._producer)
        if self._leaving:
            await asyncio.wait(self._leaving, timeout=5)


class Outlet:
    """The way out for committed events: direct while all is well, the relay otherwise."""

    #: Rows younger than this belong to a publish in progress.
    YOUNG = timedelta(seconds=2)
    LEASE = timedelta(seconds=30)

    def __init__(
        self, store: Store, publisher: Publisher, clock: Clock, metrics: Metrics, holder: str
    ) -> None:
        self._store = store
        self._publisher = publisher
        self._clock = clock
        self._metrics = metrics
        self._holder = holder
        self._behind = False
        self._deletes: set[asyncio.Task[None]] = set()

    async def _send(self, rows: Sequence[OutboxRow]) -> None:
        started = self._clock.monotonic()
        try:
            await self._publisher.send(
                [(r.topic, r.key.encode(), r.value, r.headers) for r in rows]
            )
        except Retryable:
            self._count(rows, "failed")
            raise
        self._count(rows, "ok")
        self._metrics.observe(
            "wasl_outbox_publish_duration_seconds", self._clock.monotonic() - started
        )

    def _count(self, rows: Sequence[OutboxRow], result: str) -> None:
        topics: dict[str, int] = {}
        for row in rows:
            topics[row.topic] = topics.get(row.topic, 0) + 1
        for topic, count in topics.items():
            self._metrics.inc("wasl_outbox_published_total", count, topic=topic, result=result)

    async def publish(self, rows: Sequence[OutboxRow]) -> None:
        """Publish rows that are committed. Never raises: what fails waits for the relay."""
        if not rows or self._behind:
            return
        try:
            await self._send(rows)
        except Retryable as error:
            self._behind = True
            log.warning(
                "publishing failed, events wait in the outbox",
                extra={"events": len(rows), "error": str(error)},
            )
            return
        task = asyncio.create_task(self._delete([r.id for r in rows]))
        self._deletes.add(task)
        task.add_done_callback(self._deletes.discard)

    async def _delete(self, ids: list[str]) -> None:
        try:
            await self._store.outbox_delete(ids)
        except Retryable:
            log.warning("published events stay in the outbox, the relay repeats them")

    async def sweep(self) -> bool:
        """Publish what is left in the outbox, oldest first. True when there may be more."""
        now = self._clock.now()
        count, oldest = await self._store.outbox_status()
        self._metrics.set("wasl_outbox_pending_events", count)
        self._metrics.set(
            "wasl_outbox_oldest_pending_timestamp_seconds", oldest.timestamp() if oldest else 0
        )
        if not count:
            self._behind = False
            return False
        if not await self._store.lease("relay", self._holder, now=now, lease_for=self.LEASE):
            self._metrics.inc("wasl_outbox_lease_lost_total")
            return False
        rows = await self._store.outbox_pending(older_than=now - self.YOUNG, limit=500)
        if not rows:
            return False
        await self._send(rows)
        await self._store.outbox_delete([r.id for r in rows])
        return True

    async def flush(self) -> None:
        """Wait for deletions under way; part of the drain."""
        while self._deletes:
            await asyncio.gather(*self._deletes)


class DeadLetters:
    """Sends dead letters and stops the consumer when too many follow each other."""

    WINDOW = 1000

    def __init__(self, publisher: Publisher, limit: int) -> None:
        self._publisher = publisher
        self._limit = limit
        self._row = 0
        self._seen = 0.0
        self._dead = 0.0

    def good(self, count: int) -> None:
        """Events that went well: the row of dead letters is broken."""
        if count:
            self._row = 0
        self._advance(count, 0)

    def _advance(self, seen: int, dead: int) -> None:
        self._seen += seen
        self._dead += dead
        if self._seen > self.WINDOW:
            self._seen, self._dead = self._seen / 2, self._dead / 2

    async def send(
        self, records: Sequence[tuple[str, bytes | None, bytes | None, Sequence[tuple[str, bytes]]]]
    ) -> None:
        """Raises :class:`Systemic` when they cannot be sent or the limit trips."""
        if not records:
            return
        try:
            await self._publisher.send(records)
        except Retryable as error:
            raise Systemic(
                "a dead letter could not be sent", reason="dead_letter_failed"
            ) from error
        self._row += len(records)
        self._advance(len(records), len(records))
        if self._row >= self._limit:
            raise Systemic(
                f"{self._row} dead letters in a row; look at them with 'wasl dlq show', "
                "fix the cause, then restart",
                reason="dead_letter_limit",
            )
        if self._seen >= self.WINDOW / 5 and self._dead > self._seen / 2:
            raise Systemic(
                "more than half of the recent events became dead letters",
                reason="dead_letter_limit",
            )
