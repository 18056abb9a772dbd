# SPDX-License-Identifier: Apache-2.0
"""FastStream, tamed: one raw batch subscriber per consumer group.

FastStream's defaults lose messages; each option below answers a measured fact
(``docs/architecture/consuming.md``). The parser cannot raise, the decoder hands over raw records,
the acknowledgement policy rewinds on failure, and the producer is not FastStream's.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker

from wasl_chassis.clock import Clock
from wasl_chassis.consuming import Record
from wasl_chassis.settings import Settings

#: Seconds an empty fetch takes at least.
EMPTY_FETCH = 0.03
OnBatch = Callable[[Sequence[Record]], Awaitable[None]]


_send = AIOKafkaConnection.send


def _send_or_say(self: AIOKafkaConnection, request: Any, expect_response: bool = True) -> Any:
    """The loop of uvloop refuses to write to a closed transport with RuntimeError, and aiokafka
    looks for OSError. It would end the task that renews the metadata, and whoever waits for that, a
    member that joins its group again, would wait for ever.
    """
    try:
        return _send(self, request, expect_response)
    except RuntimeError as error:
        self.close(reason=CloseReason.CONNECTION_BROKEN)
        raise KafkaConnectionError(f"{self.host}:{self.port}: {error}") from error


AIOKafkaConnection.send = _send_or_say


class _Stub:
    """A record without headers: all the stock parser needs to build its message."""

    __slots__ = ("headers", "offset", "timestamp", "topic", "value")

    def __init__(self, record: Record) -> None:
        self.headers: tuple[tuple[str, bytes], ...] = ()
        self.offset, self.timestamp = record.offset, record.timestamp
        self.topic, self.value = record.topic, b""


async def _parse(records: Any, original: Any) -> Any:
    """Total: a null or non-UTF-8 header cannot make it raise, because no header is decoded here."""
    message = await original((_Stub(records[0]), _Stub(records[-1])))
    message.raw_message = records
    return message


async def _decode(message: Any, _original: Any) -> Any:
    return message.raw_message


class Subscription:
    """One consumer group member of this process; ``start`` may be tried again after it failed."""

    def __init__(
        self, group: str, topics: Sequence[str], on_batch: OnBatch, settings: Settings, clock: Clock
    ) -> None:
        self.group = group
        self._topics = topics
        self._on_batch = on_batch
        self._settings = settings
        self._clock = clock
        self._broker: KafkaBroker | None = None
        self._subscriber: Any = None
        self._polled = 0.0

    def build(self) -> KafkaBroker:
        """The broker with its one subscriber, not yet started."""
        s = self._settings
        member = f"{self.group}-{s.replica}"
        broker = KafkaBroker(
            s.kafka_bootstrap_servers.split(","),
            client_id=member,
            acks="all",
            enable_idempotence=True,
            allow_auto_create_topics=False,
            consumer_only=True,
            apply_types=False,
            graceful_timeout=s.grace_seconds,
            logger=logging.getLogger("wasl_chassis.faststream"),
            log_level=logging.DEBUG,
        )
        self._subscriber = broker.subscriber(
            *self._topics,
            group_id=self.group,
            group_instance_id=member,
            batch=True,
            max_records=s.batch_max_records,
            batch_timeout_ms=100,
            auto_offset_reset="earliest",
            ack_policy=AckPolicy.NACK_ON_ERROR,
            parser=_parse,
            decoder=_decode,
            no_reply=True,
            session_timeout_ms=int(s.session_timeout_seconds * 1000),
            heartbeat_interval_ms=int(s.session_timeout_seconds * 1000 / 3.4),
            max_poll_interval_ms=int(s.max_poll_interval_seconds * 1000),
        )

        async def handle(records: Any) -> None:
            await self._on_batch(records)

        self._subscriber(handle)
        return broker

    async def start(self) -> None:
        """Join the group. Raises what aiokafka raises while the brokers are away."""
        broker = self.build()
        try:
            await broker.start()
        except BaseException:
            await broker.stop()
            raise
        self._broker = broker
        self._polled = self._clock.monotonic()
        self._watch_polls()
        self._pace_fetches()

    def _pace_fetches(self) -> None:
        """Rest between empty answers of a broker that does not wait for data as it is asked to.

        Kafka holds an empty fetch for up to half a second and is not slowed down by this. The
        embedded broker answers at once, and every idle consumer would spin on it.
        """
        fetcher = self._subscriber.consumer._fetcher  # noqa: SLF001
        fetch = fetcher._proc_fetch_request  # noqa: SLF001

        async def paced(*args: Any) -> Any:
            started = self._clock.monotonic()
            news = await fetch(*args)
            if not news and self._clock.monotonic() - started < EMPTY_FETCH:
                await asyncio.sleep(EMPTY_FETCH)
            return news

        fetcher._proc_fetch_request = paced  # noqa: SLF001

    def _watch_polls(self) -> None:
        """Note every poll: an idle loop shows no batches, yet readiness must prove it is alive."""
        consumer = self._subscriber.consumer
        poll = consumer.getmany

        async def noted(*args: Any, **kwargs: Any) -> Any:
            self._polled = self._clock.monotonic()
            return await poll(*args, **kwargs)

        consumer.getmany = noted

    def progress(self) -> tuple[bool, str]:
        """Whether this member has partitions or stands by, and its loop still polls."""
        consumer = self._subscriber.consumer if self._subscriber else None
        if self._broker is None or consumer is None:
            return False, "not connected to Kafka"
        idle = self._clock.monotonic() - self._polled
        if idle > self._settings.max_poll_interval_seconds:
            return False, "the consume loop does not poll"
        if any(task.done() for task in self._subscriber.tasks):
            return False, "the consume loop ended"
        assigned = len(consumer.assignment())
        return True, f"{assigned} partitions"

    def lag(self) -> dict[str, int]:
        """Records not yet handled, by topic, as this member knows without asking the broker."""
        consumer = self._subscriber.consumer if self._subscriber else None
        if consumer is None:
            return {}
        lags: dict[str, int] = {}
        for tp in consumer.assignment():
            high = consumer.highwater(tp)
            state = consumer._subscription.subscription.assignment.state_value(tp)  # noqa: SLF001
            if high is None or state is None or not state.has_valid_position:
                continue
            lags[tp.topic] = lags.get(tp.topic, 0) + max(0, high - state.position)
        return lags

    async def stop(self) -> None:
        """Finish the batch in hand, commit, leave the group so that others take over at once.

        Static membership is for crashes: the replica that comes back gets its partitions back.
        aiokafka never lets a static member leave, so a drained one stops being static first.
        """
        broker, self._broker = self._broker, None
        if broker is not None:
            coordinator = self._subscriber.consumer._coordinator  # noqa: SLF001
            coordinator._group_instance_id = None  # noqa: SLF001
            async with asyncio.timeout(self._settings.grace_seconds + 5):
                await broker.stop()
