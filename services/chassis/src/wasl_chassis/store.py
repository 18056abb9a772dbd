# SPDX-License-Identifier: Apache-2.0
"""Documents, the store that keeps them, and what one commit writes.

Every document carries a revision; a commit replaces a document only at the revision that was read,
else it raises :class:`~wasl_chassis.failures.Conflict` and nothing of it happened. State, inbox
rows, outbox rows and data keys are one atomic commit.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Generic, Protocol, TypeVar, cast

from pydantic import BaseModel

Doc = dict[str, Any]
T = TypeVar("T")
ModelT = TypeVar("ModelT", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Index:
    """``keys``: field → 1 or -1. ``ttl``: seconds after the (single) field's time."""

    keys: tuple[tuple[str, int], ...]
    unique: bool = False
    ttl: int | None = None
    partial: Mapping[str, Any] | None = None

    @property
    def name(self) -> str:
        return "_".join(f"{k}_{d}" for k, d in self.keys)


@dataclass(frozen=True, slots=True, eq=False)
class Collection(Generic[T]):
    """A named set of documents of one type, stored as ``{_id, _rev, **encode(value)}``.

    Each is only itself: it is looked up at every document, and hashing its indexes would cost more
    than the rest of the look-up.
    """

    name: str
    key: Callable[[T], str]
    encode: Callable[[T], Doc]
    decode: Callable[[Doc], T]
    indexes: tuple[Index, ...] = ()
    #: In the key vault's database instead of the service's own.
    vault: bool = False

    @staticmethod
    def of(
        name: str, model: type[ModelT], key: str, indexes: tuple[Index, ...] = ()
    ) -> "Collection[ModelT]":
        """A collection of pydantic models; ``key`` names the field that is the ``_id``."""

        def encode(value: ModelT) -> Doc:
            doc = value.model_dump()
            del doc[key]
            return doc

        def decode(doc: Doc) -> ModelT:
            return model.model_validate({**doc, key: doc["_id"]}, extra="ignore")

        return Collection(name, lambda v: cast("str", getattr(v, key)), encode, decode, indexes)


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """One event on its way out: exactly the record that will be published."""

    id: str
    topic: str
    key: str
    value: bytes
    headers: tuple[tuple[str, bytes], ...]
    created: datetime


@dataclass(slots=True)
class Changes:
    """What one commit writes. ``replaces`` and ``deletes`` are guarded by the revision read."""

    inserts: dict[Collection[Any], list[Doc]] = field(default_factory=dict)
    replaces: dict[Collection[Any], list[tuple[str, int, Doc]]] = field(default_factory=dict)
    deletes: dict[Collection[Any], list[tuple[str, int]]] = field(default_factory=dict)
    inbox: list[tuple[str, datetime]] = field(default_factory=list)
    outbox: list[OutboxRow] = field(default_factory=list)

    def empty(self) -> bool:
        return not (self.inserts or self.replaces or self.deletes or self.inbox or self.outbox)

    def extend(self, other: "Changes") -> None:
        for mine, theirs in (
            (self.inserts, other.inserts),
            (self.replaces, other.replaces),
            (self.deletes, other.deletes),
        ):
            for collection, rows in theirs.items():
                cast("dict[Any, list[Any]]", mine).setdefault(collection, []).extend(rows)
        self.inbox += other.inbox
        self.outbox += other.outbox


class Store(Protocol):
    """A service's database. Memory and MongoDB implementations pass one contract suite.

    Raises :class:`Retryable` when the database is away and :class:`Conflict` when a guard failed or
    an ``_id`` exists already; nothing else leaks from the driver.
    """

    async def read(self, collection: Collection[Any], ids: Sequence[str]) -> dict[str, Doc]:
        """Documents by id; ids that do not exist are absent."""

    async def find(
        self,
        collection: Collection[Any],
        where: Mapping[str, Any],
        *,
        sort: Sequence[tuple[str, int]] = (),
        limit: int = 0,
    ) -> list[Doc]:
        """Documents by field equality or ``$in $ne $lt $lte $gt $gte $exists``; 0 = no limit."""

    async def count(self, collection: Collection[Any], where: Mapping[str, Any]) -> int: ...

    async def commit(self, changes: Changes) -> None:
        """All of it, durably (majority), or nothing."""

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
        """Lease up to ``limit`` due documents: ``due_at <= now`` and no live lease.

        Sets ``lease`` to the token and ``lease_until``, and moves the revision on, so that the
        write of an earlier holder conflicts.
        """

    async def seen(self, inbox_ids: Sequence[str]) -> set[str]:
        """Which of these inbox rows exist."""

    async def outbox_pending(self, *, older_than: datetime, limit: int) -> list[OutboxRow]:
        """Rows in the order they were written; more than ``limit`` where a commit has more."""

    async def outbox_delete(self, ids: Sequence[str]) -> None:
        """Forget rows; those of one commit are given together, as ``outbox_pending`` gives them."""

    async def outbox_status(self) -> tuple[int, datetime | None]:
        """How many rows wait and when the oldest was written."""

    async def lease(self, name: str, holder: str, *, now: datetime, lease_for: timedelta) -> bool:
        """Take or renew a named lease; False while another holder's lives."""

    async def ping(self) -> None: ...
