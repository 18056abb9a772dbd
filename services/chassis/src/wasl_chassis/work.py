# SPDX-License-Identifier: Apache-2.0
"""The unit of work: an identity map over the store, the keys it needs, the events it will emit.

What one handler put, the next one of the same batch sees. Nothing leaves before the commit.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar, cast

from wasl_schemas.base import EventData
from wasl_schemas.envelope import Event
from wasl_schemas.ids import uuid7
from wasl_schemas.topics import TopicSpec

from wasl_chassis.clock import Clock
from wasl_chassis.store import Changes, Collection, Doc, OutboxRow, Store
from wasl_chassis.vault import Keyring, Vault

T = TypeVar("T")


@dataclass(slots=True)
class _Entry:
    rev: int | None
    value: Any
    dirty: bool = False


class UnitOfWork:
    """What one batch, one request or one timer does, before it is committed.

    Handlers of a batch run one after another on one unit of work, so a read-modify-put needs no
    lock as long as the handler does not keep a value across another handler's turn, which it
    cannot.
    """

    def __init__(self, store: Store, clock: Clock, source: str, vault: Vault) -> None:
        self._store = store
        self._clock = clock
        self._source = source
        self._entries: dict[tuple[str, str], tuple[Collection[Any], _Entry]] = {}
        self._outbox: list[OutboxRow] = []
        self.inbox: list[tuple[str, datetime]] = []
        #: Sealing and opening with the data keys of this unit of work.
        self.keys = Keyring(vault, self)
        #: The event being handled; gives causation and correlation to what is emitted.
        self.cause: Event[Any] | None = None
        #: Results a prefetch leaves for the handler of the same event, by event id.
        self.memo: dict[str, Any] = {}

    def now(self) -> datetime:
        return self._clock.now()

    async def load(self, collection: Collection[T], ids: Iterable[str]) -> None:
        """Read documents ahead, one query for all that are not in the map yet."""
        missing = [i for i in dict.fromkeys(ids) if (collection.name, i) not in self._entries]
        if not missing:
            return
        found = await self._store.read(collection, missing)
        for i in missing:
            doc = found.get(i)
            entry = (
                _Entry(None, None) if doc is None else _Entry(doc["_rev"], collection.decode(doc))
            )
            self._entries[collection.name, i] = (collection, entry)

    async def get(self, collection: Collection[T], key: str) -> T | None:
        """The document as this unit of work sees it."""
        held = self._entries.get((collection.name, key))
        if held is None:
            await self.load(collection, (key,))
            held = self._entries[collection.name, key]
        return cast("T | None", held[1].value)

    def put(self, collection: Collection[T], value: T) -> None:
        """Insert or replace. A document that was never read is taken to be new."""
        key = collection.key(value)
        held = self._entries.get((collection.name, key))
        entry = held[1] if held else _Entry(None, None)
        entry.value, entry.dirty = value, True
        self._entries[collection.name, key] = (collection, entry)

    def adopt(self, collection: Collection[T], doc: Doc) -> T:
        """Take a document read elsewhere (a claim, a query) into the map at its revision."""
        value = collection.decode(doc)
        self._entries[collection.name, doc["_id"]] = (collection, _Entry(doc["_rev"], value))
        return value

    async def delete(self, collection: Collection[T], key: str) -> None:
        await self.get(collection, key)
        entry = self._entries[collection.name, key][1]
        entry.value, entry.dirty = None, True

    def emit(
        self,
        spec: TopicSpec[Any],
        data: EventData,
        *,
        subject: str | None = None,
        time: datetime | None = None,
    ) -> str:
        """Queue one event; it leaves only if the commit succeeds. Returns its id."""
        now = self._clock.now()
        key = cast("str", getattr(data, spec.key))
        cause = self.cause
        # The data validated itself when it was made; the envelope is ours.
        event: Event[Any] = Event.model_construct(
            id=uuid7(),
            source=self._source,
            type=spec.type,
            subject=subject or f"{spec.key.removesuffix('_id')}/{key}",
            time=time or now,
            recordedtime=now,
            dataschema=spec.schema_urn,
            dataclassification=spec.classification,
            partitionkey=key,
            correlationid=cause.correlationid if cause else key,
            causationid=cause.id if cause else None,
            traceparent=cause.traceparent if cause else None,
            data=data,
        )
        self._outbox.append(
            OutboxRow(event.id, spec.name, key, event.to_bytes(), tuple(event.headers()), now)
        )
        return event.id

    def changes(self) -> Changes:
        out = Changes(inbox=list(self.inbox), outbox=list(self._outbox))
        for (_, key), (collection, entry) in self._entries.items():
            if not entry.dirty:
                continue
            if entry.value is None:
                if entry.rev is not None:
                    out.deletes.setdefault(collection, []).append((key, entry.rev))
                continue
            doc = collection.encode(entry.value)
            doc["_id"] = key
            doc["_rev"] = 1 if entry.rev is None else entry.rev + 1
            if entry.rev is None:
                out.inserts.setdefault(collection, []).append(doc)
            else:
                out.replaces.setdefault(collection, []).append((key, entry.rev, doc))
        return out
