# SPDX-License-Identifier: Apache-2.0
"""What intake's handlers need of a service, on a store in memory; no broker, no database."""

import hashlib
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from wasl_chassis.failures import Conflict
from wasl_chassis.metrics import Metrics
from wasl_chassis.testing import FakeClock, MemoryStore
from wasl_chassis.vault import Vault
from wasl_chassis.work import UnitOfWork
from wasl_intake.metrics import METRICS
from wasl_schemas.base import EventData
from wasl_schemas.envelope import Event
from wasl_schemas.events.report_submitted_v1 import ReportContent
from wasl_schemas.ids import uuid7
from wasl_schemas.topics import TopicSpec

T = TypeVar("T")


class CountingStore(MemoryStore):
    """Says how often it was asked, and can be away."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.away: Exception | None = None

    async def read(self, collection: Any, ids: Any) -> Any:
        self.calls.append(f"read {collection.name} {len(ids)}")
        return await super().read(collection, ids)

    async def find(self, collection: Any, where: Any, **options: Any) -> Any:
        self.calls.append(f"find {collection.name}")
        return await super().find(collection, where, **options)

    async def count(self, collection: Any, where: Any) -> int:
        self.calls.append(f"count {collection.name}")
        return await super().count(collection, where)

    async def commit(self, changes: Any) -> None:
        if self.away:
            raise self.away
        await super().commit(changes)


class Hub:
    """The part of the chassis' service the handlers use, on a store in memory."""

    def __init__(self) -> None:
        self.store = CountingStore()
        self.clock = FakeClock()
        self.metrics = Metrics(METRICS)
        self.vault = Vault({"m1": hashlib.sha256(b"master").digest()})

    def unit(self) -> UnitOfWork:
        return UnitOfWork(self.store, self.clock, "/wasl/intake", self.vault)

    async def submit(self, uow: UnitOfWork) -> None:
        await self.store.commit(uow.changes())

    async def transact(self, work: Callable[[UnitOfWork], Awaitable[T]]) -> T:
        for _ in range(3):
            uow = self.unit()
            result = await work(uow)
            try:
                await self.store.commit(uow.changes())
            except Conflict:
                continue
            return result
        raise Conflict

    # -- what tests look at ----------------------------------------------------------------------

    def events(self, spec: TopicSpec[Any]) -> list[Event[Any]]:
        rows = [r for r in self.store.outbox.values() if r.topic == spec.name]
        return [Event[spec.data].model_validate_json(r.value) for r in rows]

    def everything(self) -> str:
        """Every byte that is stored or sent."""
        rows = [(r.key, r.value.decode(), str(r.headers)) for r in self.store.outbox.values()]
        return json.dumps([self.store.docs, rows], default=str, ensure_ascii=False)

    def counts(self) -> Counter[str]:
        return Counter({name: len(docs) for name, docs in self.store.docs.items() if docs})

    async def content(self, report_id: str) -> ReportContent:
        sealed = self.store.docs["reports"][report_id]["content"]
        text = await self.unit().keys.open(sealed, "report.content")
        return ReportContent.model_validate_json(text)

    def event(self, spec: TopicSpec[Any], data: EventData) -> Event[Any]:
        key = getattr(data, spec.key)
        return Event(
            id=uuid7(),
            source="/wasl/triage",
            type=spec.type,
            subject=f"case/{key}",
            time=self.clock.now(),
            recordedtime=self.clock.now(),
            dataschema=spec.schema_urn,
            dataclassification=spec.classification,
            partitionkey=key,
            correlationid=key,
            data=data,
        )
