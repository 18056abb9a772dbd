# SPDX-License-Identifier: Apache-2.0
"""A service of one topic for the chassis' own tests: everything real but the work it does."""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from pydantic import BaseModel
from wasl_chassis.service import Service
from wasl_chassis.settings import Settings
from wasl_chassis.store import Collection
from wasl_chassis.topics_admin import TopicAdmin, wanted
from wasl_chassis.work import UnitOfWork
from wasl_schemas.base import EventData
from wasl_schemas.envelope import Event
from wasl_schemas.ids import uuid7
from wasl_schemas.sensitivity import Internal, Sensitivity
from wasl_schemas.topics import TopicSpec


class Ping(EventData):
    item_id: Internal[str]
    number: Internal[int] = 0


class Tally(BaseModel):
    id: str
    count: int = 0
    numbers: list[int] = []


TALLIES = Collection.of("tallies", Tally, "id")
KEY = base64.b64encode(b"k" * 32).decode()


def unique() -> str:
    return uuid4().hex[:10]


def settings(mongo_uri: str, bootstrap: str, **values: Any) -> Settings:
    return Settings(
        **{
            "KAFKA_BOOTSTRAP_SERVERS": bootstrap,
            "MONGODB_URI": mongo_uri,
            "master_key": KEY,
            "pepper": KEY,
            "database_prefix": f"t{unique()}",
            "grace_seconds": 10,
            **values,
        }
    )


class Bench:
    """Topics of one test, a producer, and the service under test."""

    def __init__(self, mongo_uri: str, bootstrap: str) -> None:
        self.mongo_uri, self.bootstrap = mongo_uri, bootstrap
        self.name = f"echo{unique()}"
        tag = unique()
        self.pings = self.spec(f"wasl.ping.sent-{tag}.v1", consumers=(self.name,))
        self.pongs = self.spec(f"wasl.pong.sent-{tag}.v1", producers=(self.name,))
        self._settings: Settings | None = None

    @staticmethod
    def spec(
        name: str, consumers: tuple[str, ...] = (), producers: tuple[str, ...] = ("test",)
    ) -> TopicSpec[Ping]:
        return TopicSpec(
            name, Ping, "item_id", producers, consumers, Sensitivity.INTERNAL, "test", partitions=3
        )

    async def topics(self) -> None:
        async with TopicAdmin(self.bootstrap) as admin:
            await admin.apply(wanted([self.pings, self.pongs]))

    def service(self, handler: Callable[..., Awaitable[Any]], **values: Any) -> Service:
        """Replicas made by one bench share databases; give each its ``replica``."""
        if self._settings is None:
            self._settings = settings(self.mongo_uri, self.bootstrap, **values)
        made = self._settings.model_copy(update=values)
        service = Service.open(made, self.name, collections=(TALLIES,))
        service.consume(self.pings, handler)
        return service

    def event(self, item_id: str, number: int = 0, **values: Any) -> Event[Ping]:
        now = datetime.now(UTC)
        fields = {
            "id": uuid7(),
            "source": "/wasl/test",
            "type": self.pings.type,
            "subject": f"item/{item_id}",
            "time": now,
            "recordedtime": now,
            "dataschema": self.pings.schema_urn,
            "dataclassification": "internal",
            "partitionkey": item_id,
            "correlationid": item_id,
            "data": Ping(item_id=item_id, number=number),
        }
        return Event[Ping](**{**fields, **values})

    async def send(self, *events: Event[Ping] | bytes | tuple[bytes | None, list[Any]]) -> None:
        """Events, raw bytes, or (bytes, headers)."""
        producer = AIOKafkaProducer(bootstrap_servers=self.bootstrap, acks="all")
        await producer.start()
        try:
            for event in events:
                if isinstance(event, Event):
                    await producer.send(
                        self.pings.name,
                        event.to_bytes(),
                        key=event.partitionkey.encode(),
                        headers=event.headers(),
                    )
                else:
                    value, headers = event if isinstance(event, tuple) else (event, [])
                    await producer.send(self.pings.name, value, key=b"raw", headers=headers)
            await producer.flush()
        finally:
            await producer.stop()

    async def read(self, topic: str, count: int, timeout: float = 15) -> list[Any]:
        """The first ``count`` records of a topic, or as many as came in time."""
        consumer = AIOKafkaConsumer(
            topic, bootstrap_servers=self.bootstrap, auto_offset_reset="earliest", group_id=None
        )
        await consumer.start()
        found: list[Any] = []
        try:
            async with asyncio.timeout(timeout):
                while len(found) < count:
                    for records in (await consumer.getmany(timeout_ms=200)).values():
                        found += records
        except TimeoutError:
            pass
        finally:
            await consumer.stop()
        return found


@asynccontextmanager
async def running(*services: Service) -> AsyncIterator[list[asyncio.Task[int]]]:
    """Run services until the block ends; every one must drain."""
    tasks = [asyncio.create_task(s.run()) for s in services]
    try:
        for service, task in zip(services, tasks, strict=True):
            await until(lambda s=service, t=task: _ready(s, t), 30)
        yield tasks
    finally:
        for service in services:
            service.stop()
        await asyncio.gather(*tasks)


async def _ready(service: Service, task: asyncio.Task[int]) -> bool:
    return task.done() or (await service.health.report())[0]


async def until(
    condition: Callable[[], Awaitable[Any]], timeout: float = 20, every: float = 0.05
) -> Any:
    """Wait for a condition; never a fixed sleep."""
    async with asyncio.timeout(timeout):
        while True:
            result = await condition()
            if result:
                return result
            await asyncio.sleep(every)


async def tally(event: Event[Ping], uow: UnitOfWork) -> None:
    """Count events of an item and remember their numbers in order."""
    held = await uow.get(TALLIES, event.data.item_id) or Tally(id=event.data.item_id)
    uow.put(
        TALLIES,
        held.model_copy(
            update={"count": held.count + 1, "numbers": [*held.numbers, event.data.number]}
        ),
    )


async def tallies(service: Service) -> dict[str, Tally]:
    return {d["_id"]: TALLIES.decode(d) for d in await service.store.find(TALLIES, {})}


def total(found: dict[str, Tally]) -> int:
    return sum(t.count for t in found.values())


def numbers(found: Sequence[Tally]) -> list[int]:
    return sorted(n for t in found for n in t.numbers)
