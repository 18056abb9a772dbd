# SPDX-License-Identifier: Apache-2.0
"""One suite, expectations written by hand, over memory, Motor and PyMongo's own client."""

from datetime import UTC, datetime, timedelta

import pytest
from kit import unique
from pydantic import BaseModel
from wasl_chassis.clock import SystemClock
from wasl_chassis.failures import Conflict, KeyDestroyed, Retryable
from wasl_chassis.mongo import MongoStore
from wasl_chassis.store import Changes, Collection, Index, OutboxRow
from wasl_chassis.testing import MemoryStore
from wasl_chassis.vault import KEYS, Vault
from wasl_chassis.work import UnitOfWork
from wasl_schemas.ids import uuid7

pytestmark = pytest.mark.integration
NOW = datetime(2026, 1, 5, 9, 0, 0, 123000, tzinfo=UTC)


class Thing(BaseModel):
    id: str
    colour: str = "red"
    size: int = 0
    tags: list[str] = []
    due_at: datetime | None = None
    lease: str | None = None
    lease_until: datetime | None = None


THINGS = Collection.of(
    "things",
    Thing,
    "id",
    (Index((("due_at", 1),)), Index((("colour", 1), ("size", 1)), unique=True)),
)


@pytest.fixture(params=["memory", "motor", "pymongo"])
async def store(request, mongo_uri):
    if request.param == "memory":
        yield MemoryStore()
        return
    made = MongoStore(
        mongo_uri,
        database=f"t{unique()}",
        vault_database=f"t{unique()}",
        driver=request.param,
    )
    await made.prepare([THINGS, KEYS])
    await made.prepare([THINGS, KEYS])  # safe to repeat
    yield made
    await made.close()


def unit(store) -> UnitOfWork:
    return UnitOfWork(store, SystemClock(), "/wasl/test", Vault({"m1": b"k" * 32}))


async def put(store, *things: Thing) -> None:
    uow = unit(store)
    for thing in things:
        uow.put(THINGS, thing)
    await store.commit(uow.changes())


async def get(store, key: str) -> Thing | None:
    return await unit(store).get(THINGS, key)


async def test_put_get_replace_delete(store) -> None:
    await put(store, Thing(id="a", tags=["x"], due_at=NOW))
    assert await get(store, "a") == Thing(id="a", tags=["x"], due_at=NOW)
    assert await get(store, "b") is None
    uow = unit(store)
    held = await uow.get(THINGS, "a")
    uow.put(THINGS, held.model_copy(update={"size": 5}))
    assert (await uow.get(THINGS, "a")).size == 5  # sees its own write
    await store.commit(uow.changes())
    assert (await get(store, "a")).size == 5
    uow = unit(store)
    await uow.delete(THINGS, "a")
    await store.commit(uow.changes())
    assert await get(store, "a") is None


async def test_a_commit_is_all_or_nothing(store) -> None:
    await put(store, Thing(id="a"))
    stale = unit(store)
    held = await stale.get(THINGS, "a")
    await put_over(store, "a", 1)
    stale.put(THINGS, held.model_copy(update={"size": 9}))
    stale.put(THINGS, Thing(id="new", colour="blue"))
    stale.inbox.append(("c|s|1", NOW))
    changes = stale.changes()
    changes.outbox.append(row("r1"))
    with pytest.raises(Conflict):
        await store.commit(changes)
    assert (await get(store, "a")).size == 1
    assert await get(store, "new") is None
    assert await store.seen(["c|s|1"]) == set()
    assert await store.outbox_status() == (0, None)


async def put_over(store, key: str, size: int) -> None:
    uow = unit(store)
    held = await uow.get(THINGS, key)
    uow.put(THINGS, held.model_copy(update={"size": size}))
    await store.commit(uow.changes())


async def test_inserting_twice_conflicts(store) -> None:
    await put(store, Thing(id="a"))
    with pytest.raises(Conflict):
        await put(store, Thing(id="a", colour="blue"))
    with pytest.raises(Conflict):  # the unique index
        await put(store, Thing(id="z"))
    assert (await get(store, "a")).colour == "red"


async def test_deleting_what_changed_conflicts(store) -> None:
    await put(store, Thing(id="a"))
    stale = unit(store)
    await stale.delete(THINGS, "a")
    await put_over(store, "a", 3)
    with pytest.raises(Conflict):
        await store.commit(stale.changes())
    assert (await get(store, "a")).size == 3


async def test_inbox_refuses_a_second_time(store) -> None:
    await store.commit(Changes(inbox=[("c|s|1", NOW)]))
    assert await store.seen(["c|s|1", "c|s|2"]) == {"c|s|1"}
    with pytest.raises(Conflict):
        await store.commit(Changes(inbox=[("c|s|1", NOW), ("c|s|3", NOW)]))
    assert await store.seen(["c|s|3"]) == set()


def row(key: str, created: datetime = NOW) -> OutboxRow:
    return OutboxRow(key, "topic", "k", b"\x00bytes", (("h", b"\xff"),), created)


async def test_outbox_keeps_order_and_bytes(store) -> None:
    rows = [row(uuid7(), NOW + timedelta(seconds=i)) for i in range(5)]
    for given in (rows[4:], rows[2:4], rows[:2]):
        await store.commit(Changes(outbox=given))
    found = await store.outbox_pending(older_than=NOW + timedelta(seconds=3), limit=10)
    assert [r.id for r in found] == [r.id for r in rows[:4]]
    assert [(r.topic, r.key, r.value, r.headers) for r in found] == [
        (r.topic, r.key, r.value, r.headers) for r in rows[:4]
    ]
    assert len(await store.outbox_pending(older_than=NOW + timedelta(hours=1), limit=1)) <= 2
    await store.outbox_delete([r.id for r in rows[:2]])
    assert await store.outbox_status() == (3, rows[2].created)


async def test_a_large_commit_fits(store) -> None:
    """A document of the database has 16 MB; a batch of long reports has more."""
    rows = [OutboxRow(uuid7(), "topic", "k", b"x" * 60_000, (), NOW) for _ in range(400)]
    await store.commit(Changes(outbox=rows))
    found = await store.outbox_pending(older_than=NOW, limit=1000)
    assert [r.id for r in found] == [r.id for r in rows]
    await store.outbox_delete([r.id for r in rows])
    assert await store.outbox_status() == (0, None)


async def test_find(store) -> None:
    await put(
        store,
        *[
            Thing(id=f"t{i}", size=i, colour="red" if i % 2 else "blue", tags=[f"g{i % 3}"])
            for i in range(6)
        ],
    )

    async def ids(where, **options):
        return [d["_id"] for d in await store.find(THINGS, where, **options)]

    assert await ids({"colour": "red"}, sort=[("size", -1)]) == ["t5", "t3", "t1"]
    assert await ids({"size": {"$gte": 2, "$lt": 4}}, sort=[("size", 1)]) == ["t2", "t3"]
    assert await ids({"colour": {"$in": ["blue"]}}, sort=[("size", 1)], limit=2) == ["t0", "t2"]
    assert await ids({"tags": "g1"}, sort=[("size", 1)]) == ["t1", "t4"]
    assert await ids({"due_at": None}, sort=[("size", 1)], limit=1) == ["t0"]
    assert await ids({"due_at": {"$ne": None}}) == []
    assert await ids({"absent": {"$exists": True}}) == []
    assert await store.count(THINGS, {"colour": "blue"}) == 3


async def test_claim_leases_due_documents(store) -> None:
    await put(
        store,
        Thing(id="late", size=1, due_at=NOW - timedelta(hours=1)),
        Thing(id="now", size=2, due_at=NOW),
        Thing(id="soon", size=3, due_at=NOW + timedelta(seconds=1)),
        Thing(id="never", size=4),
        Thing(id="blue", colour="blue", due_at=NOW),
    )

    async def claim(token, now=NOW, limit=10):
        docs = await store.claim(
            THINGS,
            {"colour": "red"},
            now=now,
            lease_for=timedelta(minutes=1),
            token=token,
            limit=limit,
        )
        return [d["_id"] for d in docs], docs

    assert (await claim("t1", limit=1))[0] == ["late"]
    names, (held,) = await claim("t2")
    assert names == ["now"]
    assert held["lease"] == "t2"
    assert (await claim("t3"))[0] == []
    # The lease ran out: somebody else has it, and the first holder's write is refused.
    later = NOW + timedelta(minutes=2)
    assert (await claim("t4", now=later))[0] == ["late", "now", "soon"]
    uow = unit(store)
    mine = uow.adopt(THINGS, held)
    uow.put(THINGS, mine.model_copy(update={"due_at": None, "lease": None}))
    with pytest.raises(Conflict):
        await store.commit(uow.changes())
    assert (await get(store, "now")).lease == "t4"


async def test_named_lease(store) -> None:
    hour = timedelta(hours=1)
    assert await store.lease("relay", "a", now=NOW, lease_for=hour)
    assert not await store.lease("relay", "b", now=NOW, lease_for=hour)
    assert await store.lease("relay", "a", now=NOW, lease_for=hour)  # renewed
    assert await store.lease("relay", "b", now=NOW + 2 * hour, lease_for=hour)
    assert not await store.lease("relay", "a", now=NOW + 2 * hour, lease_for=hour)


async def test_a_destroyed_key_erases(store) -> None:
    uow = unit(store)
    uow.keys.create("report01")
    sealed = await uow.keys.seal("report01", "field", "text سر")
    await store.commit(uow.changes())
    assert await unit(store).keys.open(sealed, "field") == "text سر"
    gone = unit(store)
    await gone.keys.destroy("report01")
    await store.commit(gone.changes())
    with pytest.raises(KeyDestroyed):
        await unit(store).keys.open(sealed, "field")
    again = unit(store)
    again.keys.create("report01")
    with pytest.raises(Conflict):  # a destroyed key never comes back
        await store.commit(again.changes())


@pytest.mark.parametrize("driver", ["motor", "pymongo"])
async def test_an_absent_database_is_retryable(driver) -> None:
    store = MongoStore(
        "mongodb://127.0.0.1:1/",
        database="x",
        vault_database="y",
        driver=driver,
        timeout=timedelta(milliseconds=200),
    )
    with pytest.raises(Retryable):
        await store.ping()
    await store.close()
