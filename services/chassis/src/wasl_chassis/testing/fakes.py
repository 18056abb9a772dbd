# SPDX-License-Identifier: Apache-2.0
"""A clock tests turn, and a store in memory that passes the same contract suite as MongoDB."""

import asyncio
import copy
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from wasl_chassis.failures import Conflict
from wasl_chassis.store import Changes, Collection, Doc, OutboxRow

_MISSING = object()


class FakeClock:
    def __init__(self, start: datetime = datetime(2026, 1, 5, 9, tzinfo=UTC)) -> None:
        self._now = start
        self._mono = 0.0

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._mono

    def advance(self, delta: timedelta) -> None:
        self._now += delta
        self._mono += delta.total_seconds()

    async def sleep(self, seconds: float) -> None:
        self.advance(timedelta(seconds=seconds))
        await asyncio.sleep(0)


def _holds(value: Any, condition: Any) -> bool:
    if not (isinstance(condition, Mapping) and condition and all(k[0] == "$" for k in condition)):
        return (
            value is _MISSING
            if condition is None and value is _MISSING
            else bool(value == condition)
        )
    known = None if value is _MISSING else value
    for op, arg in condition.items():
        if op == "$exists":
            ok = (value is not _MISSING) == arg
        elif op == "$in":
            ok = (
                known in arg
                if not isinstance(known, list | tuple)
                else any(k in arg for k in known)
            )
        elif op == "$ne":
            ok = known != arg
        elif known is None:
            ok = False
        else:
            ok = {
                "$lt": lambda a, b: a < b,
                "$lte": lambda a, b: a <= b,
                "$gt": lambda a, b: a > b,
                "$gte": lambda a, b: a >= b,
            }[op](known, arg)
        if not ok:
            return False
    return True


def _field(doc: Doc, path: str) -> Any:
    value: Any = doc
    for part in path.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return _MISSING
        value = value[part]
    return value


def _matches(doc: Doc, where: Mapping[str, Any]) -> bool:
    for path, condition in where.items():
        value = _field(doc, path)
        if isinstance(value, list | tuple) and not isinstance(condition, Mapping | list | tuple):
            if condition not in value:
                return False
        elif isinstance(value, list) and isinstance(condition, Mapping) and "$in" in condition:
            if not any(_holds(one, condition) for one in value):
                return False
        elif not _holds(value, condition):
            return False
    return True


class MemoryStore:
    """Everything in dicts; one commit at a time. For handler tests, never for a running service."""

    def __init__(self) -> None:
        self.docs: dict[str, dict[str, Doc]] = {}
        self.inbox: set[str] = set()
        self.outbox: dict[str, OutboxRow] = {}
        self._leases: dict[str, tuple[str, datetime]] = {}

    def _of(self, collection: Collection[Any]) -> dict[str, Doc]:
        return self.docs.setdefault(collection.name, {})

    async def read(self, collection: Collection[Any], ids: Sequence[str]) -> dict[str, Doc]:
        docs = self._of(collection)
        return {i: copy.deepcopy(docs[i]) for i in ids if i in docs}

    async def find(
        self,
        collection: Collection[Any],
        where: Mapping[str, Any],
        *,
        sort: Sequence[tuple[str, int]] = (),
        limit: int = 0,
    ) -> list[Doc]:
        found = [copy.deepcopy(d) for d in self._of(collection).values() if _matches(d, where)]
        for key, direction in reversed(sort):
            found.sort(key=lambda d: _field(d, key), reverse=direction < 0)
        return found[:limit] if limit else found

    async def count(self, collection: Collection[Any], where: Mapping[str, Any]) -> int:
        return len(await self.find(collection, where))

    async def commit(self, changes: Changes) -> None:
        inbox = [i for i, _ in changes.inbox]
        if self.inbox.intersection(inbox) or len(set(inbox)) != len(inbox):
            raise Conflict("inbox row exists")
        for collection, docs in changes.inserts.items():
            ids = [d["_id"] for d in docs]
            if any(i in self._of(collection) for i in ids) or len(set(ids)) != len(ids):
                raise Conflict("document exists")
            for index in collection.indexes:
                if index.unique:
                    keys = [k for k, _ in index.keys]
                    taken = {
                        tuple(_field(d, k) for k in keys) for d in self._of(collection).values()
                    }
                    if any(tuple(_field(d, k) for k in keys) in taken for d in docs):
                        raise Conflict("unique index")
        guarded = [(c, i, r) for c, rows in changes.replaces.items() for i, r, _ in rows] + [
            (c, i, r) for c, rows in changes.deletes.items() for i, r in rows
        ]
        for collection, i, rev in guarded:
            if self._of(collection).get(i, {}).get("_rev") != rev:
                raise Conflict("revision moved on")
        self.inbox.update(inbox)
        for collection, docs in changes.inserts.items():
            self._of(collection).update({d["_id"]: copy.deepcopy(d) for d in docs})
        for collection, rows in changes.replaces.items():
            self._of(collection).update({i: copy.deepcopy(d) for i, _, d in rows})
        for collection, pairs in changes.deletes.items():
            for i, _ in pairs:
                del self._of(collection)[i]
        self.outbox.update({row.id: row for row in changes.outbox})

    async def claim(
        self,
        collection: Collection[Any],
        where: Mapping[str, Any],
        *,
        now: datetime,
        lease_for: timedelta,
        token: str,
        limit: int,
    ) -> list[Doc]:
        due = [
            d
            for d in self._of(collection).values()
            if _matches(d, where)
            and d.get("due_at") is not None
            and d["due_at"] <= now
            and (d.get("lease_until") is None or d["lease_until"] <= now)
        ]
        due.sort(key=lambda d: d["due_at"])
        for doc in due[:limit]:
            doc.update(lease=token, lease_until=now + lease_for, _rev=doc["_rev"] + 1)
        return copy.deepcopy(due[:limit])

    async def seen(self, inbox_ids: Sequence[str]) -> set[str]:
        return self.inbox.intersection(inbox_ids)

    async def outbox_pending(self, *, older_than: datetime, limit: int) -> list[OutboxRow]:
        rows = sorted(self.outbox.values(), key=lambda r: r.id)
        return [r for r in rows if r.created <= older_than][:limit]

    async def outbox_delete(self, ids: Sequence[str]) -> None:
        for i in ids:
            self.outbox.pop(i, None)

    async def outbox_status(self) -> tuple[int, datetime | None]:
        return len(self.outbox), min((r.created for r in self.outbox.values()), default=None)

    async def lease(self, name: str, holder: str, *, now: datetime, lease_for: timedelta) -> bool:
        held = self._leases.get(name)
        if held and held[0] != holder and held[1] > now:
            return False
        self._leases[name] = (holder, now + lease_for)
        return True

    async def ping(self) -> None:
        return
