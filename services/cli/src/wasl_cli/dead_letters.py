# SPDX-License-Identifier: Apache-2.0
"""Dead-letter topics: what waits there, and putting it back on its way.

What was replayed or dropped is remembered as the committed offset of one consumer group without
members: partitions are assigned by hand, so a killed run leaves nothing to expire. All replicas
acknowledge records before their offset is committed; a run cut off in between repeats at most the
records in hand, whose event ids consumers know. A run ends at the topic's end as it was when it
started, so what it puts back it does not read again.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Protocol, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from wasl_chassis.clock import Clock
from wasl_chassis.failures import Retryable
from wasl_chassis.operating import Refused
from wasl_chassis.outbox import Publisher
from wasl_schemas.base import EventData
from wasl_schemas.catalog import Undecodable, decode
from wasl_schemas.envelope import Event
from wasl_schemas.topics import TopicSpec

#: A broker forgets the offsets of a group without members some time after its last commit (Kafka:
#: ``offsets.retention.minutes``, 7 days). What was replayed before then waits again; its consumers
#: still know it.
GROUP = "wasl.dlq-replay"
#: Published together, then committed: what a cut-off run may repeat.
CHUNK = 100
_MARK = ".dlq."
_OWN = "x-wasl-"
#: Seconds without a record, while there should be some, after which Kafka counts as away.
_PATIENCE = 20.0

Specs = Sequence[TopicSpec[EventData]]
Outgoing = tuple[str, bytes | None, bytes | None, Sequence[tuple[str, bytes]]]


class Record(Protocol):
    """A Kafka record, as aiokafka gives it."""

    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


class Policy(StrEnum):
    """What to do with a record that still is no valid event. Valid ones always go back."""

    STOP = "stop"
    REINSERT = "reinsert"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class Pile:
    """One dead-letter topic. ``oldest``: when the oldest waiting record died."""

    topic: str
    waiting: int
    kept: int
    oldest: datetime | None


@dataclass(slots=True)
class Replayed:
    """What a run did, or with ``dry`` would do. ``stopped_at``: the offset of an invalid record."""

    replayed: int = 0
    reinserted: int = 0
    dropped: int = 0
    left: int = 0
    stopped_at: int | None = None
    problems: tuple[str, ...] = ()


def owner(specs: Specs, topic: str) -> TopicSpec[EventData]:
    """The topic whose dead letters these are. Raises :class:`Refused`."""
    for spec in specs:
        if topic in [spec.dead_letter(c) for c in spec.consumers]:
            return spec
    raise Refused(
        f"'{topic}' is no dead-letter topic of this deployment; see 'wasl dlq list --all', and "
        "WASL_CONNECTORS for connectors"
    )


def examine(spec: TopicSpec[EventData], value: bytes | None) -> Event[EventData] | list[str]:
    """The event, or why it is none: ``field: rule`` pairs that never quote input."""
    if value is None:
        return ["value: missing"]
    try:
        return decode(spec, value)
    except Undecodable as error:
        return error.problems


def original_headers(headers: Sequence[tuple[str, bytes | None]]) -> list[tuple[str, bytes]]:
    """As they were before the record died."""
    return [(k, v or b"") for k, v in headers if not k.startswith(_OWN)]


def about(record: Record) -> dict[str, str]:
    """What the consumer wrote on it: reason, error, where it came from, attempts, dead-at."""
    return {
        k.removeprefix(_OWN): (v or b"").decode(errors="replace")
        for k, v in record.headers
        if k.startswith(_OWN)
    }


def died_at(record: Record) -> datetime:
    with suppress(KeyError, ValueError):
        at = datetime.fromisoformat(about(record)["dead-at"])
        if at.tzinfo is not None:
            return at
    return datetime.fromtimestamp(record.timestamp / 1000, UTC)


class DeadLetterBox:
    """``async with DeadLetterBox(...)``. Raises :class:`Retryable` with Kafka away."""

    def __init__(self, bootstrap: str, specs: Specs, clock: Clock) -> None:
        self._specs = specs
        self._clock = clock
        self._publisher = Publisher(bootstrap, GROUP)
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap,
            client_id=GROUP,
            group_id=GROUP,
            enable_auto_commit=False,
            auto_offset_reset="none",
            fetch_max_wait_ms=50,
            request_timeout_ms=15_000,
        )
        self._admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=15_000)

    async def __aenter__(self) -> Self:
        try:
            await self._admin.start()
            await self._consumer.start()
        except (KafkaError, OSError) as error:
            await self.__aexit__()
            raise Retryable(type(error).__name__, reason="kafka_away") from error
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._publisher.stop()
        await self._consumer.stop()
        await self._admin.close()

    async def piles(self) -> list[Pile]:
        """Every dead-letter topic of the cluster, those of connectors that are gone included."""
        out = []
        for name, partitions in sorted((await self._topics()).items()):
            if _MARK not in name:
                continue
            waiting, kept, oldest = 0, 0, None
            for tp in partitions:
                first, begin, end = await self._bounds(tp)
                waiting, kept = waiting + end - first, kept + end - begin
                async for record in self._read(tp, first, end, 1):
                    died = died_at(record)
                    oldest = died if oldest is None else min(oldest, died)
            out.append(Pile(name, waiting, kept, oldest))
        return out

    async def records(
        self, topic: str, *, limit: int, everything: bool = False, offset: int | None = None
    ) -> list[Record]:
        """Waiting records, oldest first; ``everything``: those replayed or dropped before too."""
        owner(self._specs, topic)
        found: list[Record] = []
        for tp in await self._partitions(topic):
            first, begin, end = await self._bounds(tp)
            start = begin if everything else first
            if offset is not None:
                start, end = max(begin, offset), min(end, offset + 1)
            found += [r async for r in self._read(tp, start, end, limit - len(found))]
        return found

    async def replay(self, topic: str, policy: Policy, *, limit: int, dry: bool) -> Replayed:
        """Go through up to ``limit`` waiting records. Raises Refused or Retryable."""
        spec = owner(self._specs, topic)
        result = Replayed()
        todo = limit
        for tp in await self._partitions(topic):
            first, _, end = await self._bounds(tp)
            last = settled = first
            out: list[Outgoing] = []
            async for record in self._read(tp, first, end, todo):
                found = examine(spec, record.value)
                if not isinstance(found, list):
                    result.replayed += 1
                    headers = original_headers(record.headers)
                    out.append((spec.name, record.key, record.value, headers))
                elif policy is Policy.STOP:
                    result.stopped_at, result.problems = record.offset, tuple(found)
                    todo = 0
                    break
                elif policy is Policy.REINSERT:
                    result.reinserted += 1
                    marked = [(k, v or b"") for k, v in record.headers]
                    out.append((topic, record.key, record.value, marked))
                else:
                    result.dropped += 1
                last, todo = record.offset + 1, todo - 1
                if last - settled >= CHUNK and not dry:
                    await self._settle(tp, out, last)
                    settled, out = last, []
            if last > settled and not dry:
                await self._settle(tp, out, last)
            result.left += end - last
        return result

    async def _settle(self, tp: TopicPartition, out: Sequence[Outgoing], offset: int) -> None:
        """Acknowledged first, then remembered."""
        if out:
            await self._publisher.send(out)
        await self._commit(tp, offset)

    async def _commit(self, tp: TopicPartition, offset: int) -> None:
        try:
            await self._consumer.commit({tp: offset})
        except KafkaError as error:
            raise Retryable(type(error).__name__, reason="kafka_away") from error

    async def _partitions(self, topic: str) -> list[TopicPartition]:
        partitions = (await self._topics()).get(topic)
        if not partitions:
            raise Refused(f"topic '{topic}' does not exist; create it with 'wasl topics apply'")
        return partitions

    async def _topics(self) -> dict[str, list[TopicPartition]]:
        return {
            t["topic"]: [TopicPartition(t["topic"], n) for n in range(len(t["partitions"]))]
            for t in await self._admin.describe_topics()
        }

    async def _bounds(self, tp: TopicPartition) -> tuple[int, int, int]:
        """The first waiting offset, the first kept one, and the end."""
        begin: Mapping[Any, int] = await self._consumer.beginning_offsets([tp])
        end: Mapping[Any, int] = await self._consumer.end_offsets([tp])
        done = await self._consumer.committed(tp)
        first = min(max(done or 0, begin[tp]), end[tp])
        return first, begin[tp], end[tp]

    async def _read(
        self, tp: TopicPartition, start: int, end: int, limit: int
    ) -> AsyncIterator[Record]:
        """Up to ``limit`` records from ``start`` to before ``end``."""
        if start >= end or limit <= 0:
            return
        self._consumer.assign([tp])
        self._consumer.seek(tp, start)
        heard = self._clock.monotonic()
        while limit > 0 and await self._consumer.position(tp) < end:
            batch = await self._consumer.getmany(tp, timeout_ms=500, max_records=min(limit, CHUNK))
            records = batch.get(tp, [])
            if not records and self._clock.monotonic() - heard > _PATIENCE:
                raise Retryable("no records came", reason="kafka_away")
            if records:
                heard = self._clock.monotonic()
            for record in records:
                if record.offset >= end:
                    return
                yield record
                limit -= 1
