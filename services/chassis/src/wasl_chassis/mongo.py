# SPDX-License-Identifier: Apache-2.0
"""MongoDB behind the :class:`~wasl_chassis.store.Store` contract. The only module that sees a
driver.

``motor`` is what the project's owner asked for and is deprecated upstream (critical fixes until
2027-05-14), so only calls it shares with PyMongo's ``AsyncMongoClient`` are used and the contract
suite runs on both: leaving is a change of one setting. Needs a replica set: a commit is a
transaction.
"""

import asyncio
import inspect
import logging
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from bson.codec_options import CodecOptions
from bson.errors import BSONError
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import AsyncMongoClient, DeleteOne, InsertOne, ReplaceOne
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    CollectionInvalid,
    ConnectionFailure,
    DuplicateKeyError,
    ExecutionTimeout,
    NetworkTimeout,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WTimeoutError,
)
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import ReadPreference
from pymongo.write_concern import WriteConcern

from wasl_chassis.failures import Conflict, Failure, Locked, Permanent, Retryable
from wasl_chassis.settings import SettingsError
from wasl_chassis.store import Changes, Collection, Doc, Index, OutboxRow

Driver = Literal["motor", "pymongo"]
_AWAY = (
    AutoReconnect,
    ConnectionFailure,
    ExecutionTimeout,
    NetworkTimeout,
    ServerSelectionTimeoutError,
    WTimeoutError,
)
#: Codes that mean "try again": not primary, interrupted, shutdown, snapshot too old, no such
#: transaction.
_RETRY_CODES = frozenset(
    {
        6,
        7,
        24,
        43,
        50,
        63,
        89,
        91,
        133,
        134,
        189,
        202,
        216,
        225,
        234,
        239,
        246,
        251,
        262,
        290,
        317,
        384,
    }
    | {9001, 10058, 10107, 11600, 11602, 13388, 13435, 13436}
)
_WRITE_CONFLICT, _DUPLICATE, _EXISTS = 112, 11000, 48
log = logging.getLogger(__name__)
#: Bytes of events in one outbox document; a document may have 16 MB.
_OUTBOX_BYTES = 4_000_000
INBOX, OUTBOX, LEASES = "inbox", "outbox", "leases"
#: Longer than any topic's retention and the replay that may follow it.
INBOX_TTL = timedelta(days=45)


def _failure(error: PyMongoError) -> Failure:
    """The taxonomy's name for a driver error. The driver's text may quote documents: dropped."""
    name = type(error).__name__
    if isinstance(error, DuplicateKeyError):
        return Conflict("a document with this _id or unique key exists")
    if isinstance(error, BulkWriteError):
        codes = {e.get("code") for e in error.details.get("writeErrors", ())}
        if _WRITE_CONFLICT in codes and codes <= {_WRITE_CONFLICT, _DUPLICATE}:
            return Locked("a transaction under way holds a document")
        if codes == {_DUPLICATE}:
            return Conflict("a document with this _id or unique key exists")
        if codes & _RETRY_CODES or error.has_error_label("TransientTransactionError"):
            return Retryable(name)
        return Permanent(
            f"the database refused a write ({sorted(map(str, codes))})", reason="refused"
        )
    if isinstance(error, _AWAY):
        return Retryable(name)
    if isinstance(error, OperationFailure):
        if error.code == _WRITE_CONFLICT:
            return Locked("a transaction under way holds a document")
        if error.code == _DUPLICATE:
            return Conflict("a document with this _id or unique key exists")
        if error.code in _RETRY_CODES or error.has_error_label("TransientTransactionError"):
            return Retryable(name)
        return Permanent(f"the database refused (code {error.code})", reason="refused")
    return Permanent(name, reason="refused")


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """``replica_set`` is None on a standalone server, which has no transactions."""

    version: str
    replica_set: str | None
    primary: bool
    now: datetime


async def _settled(value: Any) -> Any:
    """Motor returns some things PyMongo's async client makes one await."""
    return await value if inspect.isawaitable(value) else value


class MongoStore:
    """One service's database and the shared key vault's.

    ``observe(command, seconds, ok)`` is called once per command, for the metrics.
    """

    def __init__(
        self,
        uri: str,
        *,
        database: str,
        vault_database: str,
        driver: Driver = "motor",
        timeout: timedelta = timedelta(seconds=5),
        observe: Callable[[str, float, bool], None] | None = None,
    ) -> None:
        ms = int(timeout.total_seconds() * 1000)
        options: dict[str, Any] = {
            "tz_aware": True,
            "retryWrites": True,
            "serverSelectionTimeoutMS": ms,
            "connectTimeoutMS": ms,
            "socketTimeoutMS": ms * 4,
            "w": "majority",
            "appname": database,
        }
        try:
            self._client: Any = (
                AsyncIOMotorClient(uri, **options)
                if driver == "motor"
                else AsyncMongoClient(uri, **options)
            )
        except (PyMongoError, ValueError) as error:
            # The driver's text quotes the address, which may hold a password.
            raise SettingsError(
                f"MONGODB_URI is wrong ({type(error).__name__}): expected "
                "mongodb://host:port/?replicaSet=NAME"
            ) from None
        codec: CodecOptions[Any] = CodecOptions(tz_aware=True, tzinfo=UTC)
        majority: dict[str, Any] = {
            "codec_options": codec,
            "write_concern": WriteConcern("majority"),
            "read_concern": ReadConcern("majority"),
            "read_preference": ReadPreference.PRIMARY,
        }
        self._db = self._client.get_database(database, **majority)
        self._vault = self._client.get_database(vault_database, **majority)
        self._patience = timeout.total_seconds()
        self._observe = observe or (lambda _command, _seconds, _ok: None)

    def _of(self, collection: Collection[Any]) -> Any:
        return (self._vault if collection.vault else self._db)[collection.name]

    async def _run(self, command: str, work: Any) -> Any:
        started = time.perf_counter()
        ok = False
        try:
            result = await work
            ok = True
        except BSONError as error:
            raise Permanent("a document cannot be stored", reason="unstorable") from error
        except PyMongoError as error:
            raise _failure(error) from error
        finally:
            self._observe(command, time.perf_counter() - started, ok)
        return result

    async def prepare(self, collections: Sequence[Collection[Any]]) -> None:
        """Create collections and indexes; safe to repeat. Transactions cannot create them."""
        mechanism = {
            INBOX: (Index((("at", 1),), ttl=int(INBOX_TTL.total_seconds())),),
            OUTBOX: (),
            LEASES: (),
        }
        wanted: list[tuple[Any, str, tuple[Index, ...]]] = [
            (self._db, name, indexes) for name, indexes in mechanism.items()
        ]
        wanted += [(self._vault if c.vault else self._db, c.name, c.indexes) for c in collections]

        async def make() -> None:
            for db, name, indexes in wanted:
                try:
                    await db.create_collection(name)
                except CollectionInvalid:
                    log.debug("the collection exists", extra={"collection": name})
                except OperationFailure as error:
                    if error.code != _EXISTS:
                        raise
                for index in indexes:
                    options: dict[str, Any] = {"unique": True} if index.unique else {}
                    if index.ttl is not None:
                        options["expireAfterSeconds"] = index.ttl
                    if index.partial is not None:
                        options["partialFilterExpression"] = dict(index.partial)
                    await db[name].create_index(list(index.keys), name=index.name, **options)

        await self._run("prepare", make())

    async def read(self, collection: Collection[Any], ids: Sequence[str]) -> dict[str, Doc]:
        async def go() -> dict[str, Doc]:
            cursor = self._of(collection).find({"_id": {"$in": list(ids)}})
            return {doc["_id"]: doc for doc in await cursor.to_list(None)}

        found: dict[str, Doc] = await self._run("read", go())
        return found

    async def find(
        self,
        collection: Collection[Any],
        where: Mapping[str, Any],
        *,
        sort: Sequence[tuple[str, int]] = (),
        limit: int = 0,
    ) -> list[Doc]:
        async def go() -> list[Doc]:
            cursor = self._of(collection).find(dict(where))
            if sort:
                cursor = cursor.sort(list(sort))
            docs: list[Doc] = await cursor.limit(limit).to_list(None)
            return docs

        found: list[Doc] = await self._run("find", go())
        return found

    async def count(self, collection: Collection[Any], where: Mapping[str, Any]) -> int:
        return int(await self._run("count", self._of(collection).count_documents(dict(where))))

    async def commit(self, changes: Changes) -> None:
        if not changes.empty():
            await self._run("commit", self._commit(changes))

    async def _commit(self, changes: Changes) -> None:
        """Run the transaction; the server's own "transient" ones again, as its manual asks."""
        for attempt in range(5):
            try:
                await self._transaction(changes)
            except PyMongoError as error:
                again = error.has_error_label("TransientTransactionError")
                if not again or isinstance(error, _AWAY) or attempt == 4:
                    raise
                await asyncio.sleep(random.uniform(0, 0.01 * 2**attempt))  # noqa: S311
            else:
                return

    async def _transaction(self, changes: Changes) -> None:
        session = await _settled(self._client.start_session())
        try:
            await _settled(
                session.start_transaction(
                    read_concern=ReadConcern("snapshot"),
                    write_concern=WriteConcern("majority"),
                    read_preference=ReadPreference.PRIMARY,
                )
            )
            try:
                await self._write(changes, session)
            except BaseException:
                await self._abort(session)
                raise
            await self._commit_transaction(session)
        finally:
            await _settled(session.end_session())

    @staticmethod
    async def _abort(session: Any) -> None:
        try:
            await session.abort_transaction()
        except PyMongoError:
            # The server aborts it by itself after a minute; the first error is the one that counts.
            return

    async def _commit_transaction(self, session: Any) -> None:
        """Commit; an unknown result is asked again (idempotent on the server) for a few seconds.

        Each question waits for a server as well, and people wait for the answer.
        """
        give_up, pause = time.monotonic() + self._patience, 0.1
        while True:
            try:
                await session.commit_transaction()
            except PyMongoError as error:
                unknown = error.has_error_label("UnknownTransactionCommitResult")
                if not unknown or time.monotonic() + pause > give_up:
                    raise
                await asyncio.sleep(pause)
                pause *= 2
            else:
                return

    async def _write(self, changes: Changes, session: Any) -> None:
        if changes.inbox:
            rows = [{"_id": i, "at": at} for i, at in changes.inbox]
            await self._db[INBOX].insert_many(rows, ordered=False, session=session)
        for collection in {**changes.inserts, **changes.replaces, **changes.deletes}:
            inserts = changes.inserts.get(collection, ())
            guarded = changes.replaces.get(collection, ())
            gone = changes.deletes.get(collection, ())
            target = self._of(collection)
            if inserts and not (guarded or gone):
                await target.insert_many(list(inserts), ordered=False, session=session)
                continue
            ops: list[InsertOne[Doc] | ReplaceOne[Doc] | DeleteOne] = [
                InsertOne(d) for d in inserts
            ]
            ops += [ReplaceOne({"_id": i, "_rev": rev}, doc) for i, rev, doc in guarded]
            ops += [DeleteOne({"_id": i, "_rev": rev}) for i, rev in gone]
            result = await target.bulk_write(ops, ordered=False, session=session)
            if result.matched_count != len(guarded) or result.deleted_count != len(gone):
                raise Conflict(f"a document of '{collection.name}' changed since it was read")
        if changes.outbox:
            # One document for the rows of a commit, not one a row: half of all writes otherwise.
            docs = [_outbox_doc(rows) for rows in _portions(changes.outbox)]
            await self._db[OUTBOX].insert_many(docs, ordered=False, session=session)

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
        free = {**where, "due_at": {"$lte": now}, "lease_until": {"$not": {"$gt": now}}}

        async def go() -> list[Doc]:
            target = self._of(collection)
            cursor = target.find(free, {"_id": 1}).sort([("due_at", 1)]).limit(limit)
            ids = [doc["_id"] for doc in await cursor.to_list(None)]
            if not ids:
                return []
            await target.update_many(
                {**free, "_id": {"$in": ids}},
                {"$set": {"lease": token, "lease_until": now + lease_for}, "$inc": {"_rev": 1}},
            )
            held = target.find({"_id": {"$in": ids}, "lease": token}).sort([("due_at", 1)])
            docs: list[Doc] = await held.to_list(None)
            return docs

        claimed: list[Doc] = await self._run("claim", go())
        return claimed

    async def seen(self, inbox_ids: Sequence[str]) -> set[str]:
        async def go() -> set[str]:
            cursor = self._db[INBOX].find({"_id": {"$in": list(inbox_ids)}}, {"_id": 1})
            return {doc["_id"] for doc in await cursor.to_list(None)}

        known: set[str] = await self._run("seen", go())
        return known

    async def outbox_pending(self, *, older_than: datetime, limit: int) -> list[OutboxRow]:
        async def go() -> list[OutboxRow]:
            found: list[OutboxRow] = []
            cursor = self._db[OUTBOX].find({"created": {"$lte": older_than}}).sort([("_id", 1)])
            async for doc in cursor:
                found += _outbox_rows(doc)
                if len(found) >= limit:
                    break
            return found

        rows: list[OutboxRow] = await self._run("outbox_pending", go())
        return rows

    async def outbox_delete(self, ids: Sequence[str]) -> None:
        if ids:
            work = self._db[OUTBOX].delete_many({"_id": {"$in": list(ids)}})
            await self._run("outbox_delete", work)

    async def outbox_status(self) -> tuple[int, datetime | None]:
        async def go() -> tuple[int, datetime | None]:
            cursor = self._db[OUTBOX].find({}, {"count": 1, "created": 1}).sort([("_id", 1)])
            docs = await cursor.to_list(None)
            return sum(d["count"] for d in docs), docs[0]["created"] if docs else None

        status: tuple[int, datetime | None] = await self._run("outbox_status", go())
        return status

    async def lease(self, name: str, holder: str, *, now: datetime, lease_for: timedelta) -> bool:
        async def go() -> bool:
            try:
                await self._db[LEASES].update_one(
                    {"_id": name, "$or": [{"holder": holder}, {"until": {"$lte": now}}]},
                    {"$set": {"holder": holder, "until": now + lease_for}},
                    upsert=True,
                )
            except DuplicateKeyError:
                return False
            return True

        return bool(await self._run("lease", go()))

    async def ping(self) -> None:
        await self._run("ping", self._client.admin.command("hello"))

    async def about(self) -> ServerInfo:
        """What the server says of itself, for ``wasl doctor``."""

        async def go() -> ServerInfo:
            hello = await self._client.admin.command("hello")
            build = await self._client.admin.command("buildInfo")
            return ServerInfo(
                build["version"],
                hello.get("setName"),
                bool(hello.get("isWritablePrimary")),
                hello["localTime"].replace(tzinfo=UTC),
            )

        info: ServerInfo = await self._run("about", go())
        return info

    async def close(self) -> None:
        await _settled(self._client.close())


def _portions(rows: Sequence[OutboxRow]) -> Iterator[list[OutboxRow]]:
    portion: list[OutboxRow] = []
    size = 0
    for row in rows:
        if portion and size + len(row.value) > _OUTBOX_BYTES:
            yield portion
            portion, size = [], 0
        portion.append(row)
        size += len(row.value) + 500  # headers, key, topic
    yield portion


def _outbox_doc(rows: Sequence[OutboxRow]) -> Doc:
    return {
        "_id": rows[0].id,
        "created": rows[0].created,
        "count": len(rows),
        "rows": [[r.id, r.topic, r.key, r.value, r.headers] for r in rows],
    }


def _outbox_rows(doc: Doc) -> list[OutboxRow]:
    return [
        OutboxRow(
            row_id,
            topic,
            key,
            value,
            tuple((name, held) for name, held in headers),
            doc["created"],
        )
        for row_id, topic, key, value, headers in doc["rows"]
    ]
