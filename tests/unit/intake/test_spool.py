# SPDX-License-Identifier: Apache-2.0
"""Reports accepted while the database is away: on the disk before the receipt, committed once."""

import asyncio
import errno
import hashlib
import random
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from power import PowerCut, SimDisk
from wasl_chassis.batcher import Batcher
from wasl_chassis.failures import Locked, Overloaded, Permanent, Retryable
from wasl_chassis.metrics import Metrics
from wasl_chassis.settings import SettingsError
from wasl_chassis.store import Changes, Collection
from wasl_chassis.testing import FakeClock, MemoryStore
from wasl_chassis.vault import Vault
from wasl_chassis.work import UnitOfWork
from wasl_intake import spool as module
from wasl_intake.handlers import submitted
from wasl_intake.journal import Journal
from wasl_intake.metrics import METRICS
from wasl_intake.repository import REPORTS, Report
from wasl_intake.spool import Spool, decode, encode
from wasl_schemas import topics

KEY = hashlib.sha256(b"spool").digest()
LIMIT = 4_000_000
REPEAT_AFTER = timedelta(minutes=15)


class Database(MemoryStore):
    """Can be away, hang, or commit and lose the answer."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.hangs = False
        self.loses_answers = 0
        self.refuses: dict[str, Exception] = {}
        self.order: list[str] = []
        self.calls = 0

    async def _asked(self) -> None:
        self.calls += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.away:
            raise Retryable("ServerSelectionTimeoutError")

    async def commit(self, changes: Changes) -> None:
        await self._asked()
        ids = [doc["_id"] for doc in changes.inserts.get(REPORTS, [])]
        for report_id in ids:
            if report_id in self.refuses:
                raise self.refuses[report_id]
        await super().commit(changes)
        self.order += ids
        if self.loses_answers:
            self.loses_answers -= 1
            raise Retryable("AutoReconnect")

    async def read(self, collection: Any, ids: Any) -> Any:
        await self._asked()
        return await super().read(collection, ids)

    async def ping(self) -> None:
        await self._asked()


class Host:
    """The part of the service the spool uses, with the real batcher; outlives a restart."""

    def __init__(self) -> None:
        self.store = Database()
        self.clock = FakeClock()
        self.metrics = Metrics(METRICS)
        self.vault = Vault({"m1": hashlib.sha256(b"master").digest()})
        self.restart()

    def restart(self) -> None:
        self._batcher = Batcher(self.store.commit)

    def unit(self) -> UnitOfWork:
        return UnitOfWork(self.store, self.clock, "/wasl/intake", self.vault)

    async def submit(self, uow: UnitOfWork | Changes) -> None:
        await self._batcher.submit(uow if isinstance(uow, Changes) else uow.changes())

    def published(self) -> Counter[str]:
        """Events of each report."""
        return Counter(r.key for r in self.store.outbox.values())


async def changes_of(host: Host, report_id: str, fingerprint: str = "f") -> Changes:
    uow = host.unit()
    uow.keys.create(report_id)
    report = Report(
        report_id=report_id,
        fingerprint=fingerprint,
        received_at=uow.now(),
        channel="web",
        language="ar",
        category=None,
        danger_now=None,
        under_18=None,
        under_13=None,
        consent_partner=True,
        consent_authority=False,
        content=await uow.keys.seal(report_id, "report.content", '{"narrative":"a canary"}'),
    )
    uow.put(REPORTS, report)
    uow.emit(topics.REPORT_SUBMITTED_V1, submitted(report), time=report.received_at)
    return uow.changes()


def open_spool(host: Host, disk: SimDisk, *, limit: int = LIMIT, segment: int = 6_000) -> Spool:
    journal = Journal(disk, KEY, limit, segment)  # type: ignore[arg-type]
    return Spool(journal, host, limit=limit, repeat_after=REPEAT_AFTER)


async def put(spool: Spool, host: Host, report_id: str, fingerprint: str = "f") -> str | None:
    return await spool.put(report_id, fingerprint, await changes_of(host, report_id, fingerprint))


async def drain(spool: Spool) -> None:
    for _ in range(100):
        if not await spool.turn():
            return
    raise AssertionError("the spool is not drained")


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
def disk() -> SimDisk:
    return SimDisk()


def ids(count: int) -> list[str]:
    return [f"{n:032x}" for n in range(count)]


async def test_a_record_is_what_the_commit_would_have_written(host: Host) -> None:
    changes = await changes_of(host, "a" * 32)
    record = module.Record("a" * 32, "f", host.clock.now(), changes)
    assert decode(encode(record)) == record


async def test_only_new_documents_can_wait(host: Host) -> None:
    changes = await changes_of(host, "a" * 32)
    changes.replaces[REPORTS] = [("b" * 32, 1, {})]
    with pytest.raises(TypeError, match="only new documents"):
        encode(module.Record("a" * 32, "f", host.clock.now(), changes))


async def test_spooled_reports_are_committed_in_order_and_published(
    host: Host, disk: SimDisk
) -> None:
    host.store.away = True
    spool = open_spool(host, disk)
    wanted = ids(250)
    for report_id in wanted:
        assert await put(spool, host, report_id) is None
    assert await spool.turn() is False
    assert host.store.order == []
    assert host.metrics.value("wasl_intake_spool_records") == 250
    host.store.away = False
    assert await spool.turn() is True
    await drain(spool)
    assert host.store.order == wanted
    assert host.published() == dict.fromkeys(wanted, 1)
    assert set(host.store.docs["keys"]) == set(wanted)
    assert disk.files == {}
    names = ("records", "bytes", "oldest_timestamp_seconds", "set_aside_total")
    assert [host.metrics.value(f"wasl_intake_spool_{n}") for n in names] == [0, 0, 0, 0]


async def test_the_gauges_say_what_waits_and_since_when(host: Host, disk: SimDisk) -> None:
    host.store.away = True
    spool = open_spool(host, disk)
    first = host.clock.now()
    for report_id in ids(3):
        await put(spool, host, report_id)
        host.clock.advance(timedelta(minutes=1))
    value = host.metrics.value
    assert value("wasl_intake_spool_records") == 3
    assert value("wasl_intake_spool_bytes") == sum(map(len, disk.files.values())) > 0
    assert value("wasl_intake_spool_limit_bytes") == LIMIT
    assert value("wasl_intake_spool_oldest_timestamp_seconds") == first.timestamp()
    size = int(value("wasl_intake_spool_bytes"))
    assert await spool.check() == (True, f"spooling: 3 reports, {size} bytes")


async def test_what_waited_survives_a_restart(host: Host, disk: SimDisk) -> None:
    host.store.away = True
    spool = open_spool(host, disk)
    for report_id in ids(5):
        await put(spool, host, report_id)
    again = open_spool(host, disk)
    assert await again.held(ids(5)[3]) == "f"
    host.store.away = False
    await drain(again)
    assert host.store.order == ids(5)


async def test_a_record_of_another_version_stops_neither_the_start_nor_the_others(
    host: Host, disk: SimDisk
) -> None:
    spool = open_spool(host, disk)
    changes = await changes_of(host, ids(1)[0])
    newer = Collection("newer", *(str,) * 3)  # type: ignore[arg-type]
    changes.inserts[newer] = [{"_id": "x", "_rev": 1}]
    await spool.put(ids(1)[0], "f", changes)
    await put(spool, host, ids(2)[1])
    again = open_spool(host, disk)
    with pytest.raises(KeyError, match="newer"):
        await again.turn()
    assert host.store.order == ids(2)[1:]
    assert await again.held(ids(1)[0]) == "f"


async def test_a_record_is_forgotten_only_after_its_commit(host: Host, disk: SimDisk) -> None:
    spool = open_spool(host, disk)
    await put(spool, host, ids(1)[0])
    seen: list[int] = []
    commit = host.store.commit

    async def watched(changes: Changes) -> None:
        seen.append(len(disk.files))
        await commit(changes)
        seen.append(len(disk.files))

    host.store.commit = watched  # type: ignore[method-assign]
    host.restart()
    await drain(spool)
    assert seen == [1, 1]
    assert disk.files == {}


async def test_concurrent_reports_share_a_sync(host: Host, disk: SimDisk) -> None:
    spool = open_spool(host, disk, segment=10_000_000)
    await put(spool, host, ids(1)[0])
    before = disk.writes
    await asyncio.gather(*(put(spool, host, i) for i in ids(101)[1:]))
    assert disk.writes - before <= 2
    assert host.metrics.value("wasl_intake_spool_records") == 101


async def test_a_full_spool_says_so_and_takes_what_fits(host: Host, disk: SimDisk) -> None:
    spool = open_spool(host, disk, limit=20_000)
    results = await asyncio.gather(*(put(spool, host, i) for i in ids(40)), return_exceptions=True)
    full = [r for r in results if isinstance(r, Overloaded)]
    taken = [i for i, r in zip(ids(40), results, strict=True) if r is None]
    assert full and taken and len(full) + len(taken) == 40
    assert {r.reason for r in full} == {"spool_full"}
    ready, detail = await spool.check()
    assert not ready and detail.startswith("full; spooling: ")
    await drain(spool)
    assert host.store.order == taken
    assert await put(spool, host, ids(41)[40]) is None


async def test_a_failing_disk_is_no_receipt(host: Host, disk: SimDisk) -> None:
    spool = open_spool(host, disk)
    await put(spool, host, ids(1)[0])
    disk.fails = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(Retryable) as caught:
        await put(spool, host, ids(2)[1])
    assert caught.value.reason == "spool_failed"
    assert await spool.held(ids(2)[1]) is None
    await put(spool, host, ids(3)[2])
    await drain(open_spool(host, disk))
    assert host.store.order == [ids(3)[0], ids(3)[2]]


async def test_one_key_is_one_record_even_at_once(host: Host, disk: SimDisk) -> None:
    spool = open_spool(host, disk)
    report_id = ids(1)[0]
    told = await asyncio.gather(
        put(spool, host, report_id, "one"),
        put(spool, host, report_id, "one"),
        put(spool, host, report_id, "two"),
    )
    assert told == [None, "one", "one"]
    assert await put(spool, host, report_id, "two") == "one"
    await drain(spool)
    assert host.published() == {report_id: 1}
    assert host.store.docs["reports"][report_id]["fingerprint"] == "one"


async def test_a_client_that_goes_away_takes_nothing_back(host: Host, disk: SimDisk) -> None:
    spool = open_spool(host, disk)
    changes = await changes_of(host, ids(1)[0])
    task = asyncio.create_task(spool.put(ids(1)[0], "f", changes))
    await asyncio.sleep(0)
    task.cancel()
    assert await spool.held(ids(1)[0]) == "f"
    await drain(spool)
    assert host.store.order == ids(1)


async def test_a_copy_of_what_was_committed_is_dropped(host: Host, disk: SimDisk) -> None:
    spool = open_spool(host, disk)
    changes = await changes_of(host, ids(1)[0])
    await host.store.commit(changes)
    await spool.put(ids(1)[0], "f", changes)
    await put(spool, host, ids(2)[1])
    await drain(spool)
    assert host.published() == dict.fromkeys(ids(2), 1)
    assert (disk.files, host.metrics.value("wasl_intake_spool_set_aside_total")) == ({}, 0)


async def test_a_report_that_differs_is_set_aside_and_holds_nobody_up(
    host: Host, disk: SimDisk, caplog: pytest.LogCaptureFixture
) -> None:
    spool = open_spool(host, disk)
    await host.store.commit(await changes_of(host, ids(2)[1], "earlier"))
    for report_id in ids(3):
        await put(spool, host, report_id)
    await drain(spool)
    assert set(host.store.docs["reports"]) == set(ids(3))
    assert host.store.docs["reports"][ids(2)[1]]["fingerprint"] == "earlier"
    assert host.published() == dict.fromkeys(ids(3), 1)
    assert [n.partition(".")[2] for n in disk.files] == ["aside"]
    assert host.metrics.value("wasl_intake_spool_set_aside_total") == 1
    said = [r for r in caplog.records if r.message == "a spooled report is set aside"]
    assert [(r.report_id, r.reason) for r in said] == [(ids(2)[1], "differs")]  # type: ignore[attr-defined]
    assert not any(b"canary" in data for data in disk.files.values())


async def test_what_cannot_be_stored_is_set_aside(host: Host, disk: SimDisk) -> None:
    spool = open_spool(host, disk)
    host.store.refuses[ids(3)[1]] = Permanent("a document", reason="unstorable")
    for report_id in ids(3):
        await put(spool, host, report_id)
    await drain(spool)
    assert set(host.store.docs["reports"]) == {ids(3)[0], ids(3)[2]}
    assert [n.partition(".")[2] for n in disk.files] == ["aside"]


async def test_what_the_database_refuses_waits_behind_the_others(
    host: Host, disk: SimDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH", 1)
    spool = open_spool(host, disk)
    host.store.refuses[ids(3)[0]] = Permanent("refused", reason="refused")
    for report_id in ids(3):
        await put(spool, host, report_id)
    with pytest.raises(Permanent):
        await spool.turn()
    assert await spool.turn() is True
    assert await spool.turn() is True
    assert host.store.order == ids(3)[1:]
    assert host.metrics.value("wasl_intake_spool_records") == 1
    host.store.refuses.clear()
    await drain(spool)
    assert set(host.store.order) == set(ids(3))


async def test_a_held_document_is_waited_for_without_calling_the_database_away(
    host: Host, disk: SimDisk
) -> None:
    spool = open_spool(host, disk)
    host.store.refuses[ids(2)[0]] = Locked("held")
    for report_id in ids(2):
        await put(spool, host, report_id)
    assert await spool.turn() is False
    assert await spool.attempt(_says("accepted")) == "accepted"
    host.store.refuses.clear()
    await drain(spool)
    assert set(host.store.order) == set(ids(2))


async def test_damage_is_counted_once_and_the_others_come_through(
    host: Host, disk: SimDisk
) -> None:
    spool = open_spool(host, disk, segment=10_000_000)
    for report_id in ids(4):
        await put(spool, host, report_id)
    name, data = disk.files.popitem()
    changed = bytearray(data)
    changed[len(data) // 2] ^= 1
    disk.files[name] = bytes(changed)
    await drain(spool)
    assert len(host.store.order) == 3
    assert host.metrics.value("wasl_intake_spool_set_aside_total") == 1
    assert list(disk.files) == ["00000001.damaged"]


async def test_a_start_counts_what_was_damaged(host: Host, disk: SimDisk) -> None:
    spool = open_spool(host, disk, segment=10_000_000)
    for report_id in ids(4):
        await put(spool, host, report_id)
    name, data = disk.files.popitem()
    disk.files[name] = data[: len(data) // 2] + b"?" + data[len(data) // 2 + 1 :]
    await drain(open_spool(host, disk))
    assert len(host.store.order) == 3
    assert host.metrics.value("wasl_intake_spool_set_aside_total") == 1


async def test_a_report_that_waited_long_is_told_again_if_nobody_answers(
    host: Host, disk: SimDisk
) -> None:
    spool = open_spool(host, disk)
    await put(spool, host, ids(1)[0])
    host.clock.advance(REPEAT_AFTER + timedelta(seconds=1))
    await put(spool, host, ids(2)[1])
    await drain(spool)
    unheard = host.store.docs["unheard"]
    assert set(unheard) == {ids(1)[0]}
    assert unheard[ids(1)[0]]["due_at"] == host.clock.now() + REPEAT_AFTER


# -- how long people wait ------------------------------------------------------------------------


def _says(word: str) -> Callable[[], Any]:
    async def commit() -> str:
        return word

    return commit


async def test_until_the_database_was_reached_nobody_waits_for_it(
    host: Host, disk: SimDisk
) -> None:
    spool = open_spool(host, disk)
    assert await spool.attempt(_says("accepted")) is None
    await spool.turn()
    assert await spool.attempt(_says("accepted")) == "accepted"


async def test_only_the_first_waits_and_the_drain_finds_the_database_again(
    host: Host, disk: SimDisk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.02)
    spool = open_spool(host, disk)
    await spool.turn()
    host.store.hangs = True

    async def commit() -> str:
        await host.store.commit(Changes())
        return "accepted"

    assert await asyncio.wait_for(spool.attempt(commit), 30) is None
    asked = host.store.calls
    for _ in range(20):
        assert await spool.attempt(commit) is None
    assert host.store.calls == asked
    host.store.hangs = False
    await spool.turn()
    assert await spool.attempt(commit) == "accepted"
    said = [r.message for r in caplog.records if r.name == "wasl_intake.spool"]
    assert said == ["the database is away, reports are spooled", "the database is back"]


async def test_what_is_no_outage_is_not_hidden(host: Host, disk: SimDisk) -> None:
    spool = open_spool(host, disk)
    await spool.turn()

    async def refused() -> str:
        raise Permanent("refused")

    async def too_many() -> str:
        raise Overloaded("too many")

    with pytest.raises(Permanent):
        await spool.attempt(refused)
    with pytest.raises(Overloaded):
        await spool.attempt(too_many)
    assert await spool.attempt(_says("accepted")) == "accepted"


# -- through the door ----------------------------------------------------------------------------


def _inner(portal: Any) -> Any:
    hub = portal.hub
    return SimpleNamespace(
        store=hub.store, clock=hub.clock, metrics=hub.metrics, submit=hub.store.commit
    )


@pytest.fixture
async def door(portal: Any, disk: SimDisk) -> Any:
    """The portal with a spool, and its database away."""
    portal.handlers._spool = portal.spool = open_spool(_inner(portal), disk)
    await portal.spool.turn()
    portal.hub.store.away = Retryable("ServerSelectionTimeoutError")
    return portal


def counted(door: Any, result: str) -> float:
    name = "wasl_intake_reports_total"
    return float(door.hub.metrics.value(name, channel="api", category="none", result=result))


BODY = {"narrative": "Something happened here", "language": "en"}


async def test_people_get_a_receipt_that_works_once_the_database_is_back(door: Any) -> None:
    answer = await door.post(BODY)
    assert answer.status_code == 202
    assert counted(door, "spooled") == 1
    code = answer.json()["receipt"]
    assert (await door.follow(code)).status_code == 503  # known, and not there yet
    assert (await door.write(code, "More")).status_code == 503
    assert (await door.withdraw(code)).status_code == 503
    door.hub.store.away = None
    await drain(door.spool)
    shown = await door.follow(code)
    assert (shown.status_code, shown.json()["status"]) == (200, "received")
    assert len(door.hub.events(topics.REPORT_SUBMITTED_V1)) == 1


async def test_a_repeat_of_a_spooled_report_gets_its_receipt(door: Any) -> None:
    key = "0123456789abcdef"
    first = await door.post(BODY, Idempotency_Key=key)
    again = await door.post(BODY, Idempotency_Key=key)
    assert first.json()["receipt"] == again.json()["receipt"]
    assert counted(door, "duplicate") == 1
    other = await door.post({**BODY, "narrative": "Another"}, Idempotency_Key=key)
    assert (other.status_code, other.json()["errors"][0]["code"]) == (422, "repeat_differs")
    door.hub.store.away = None
    late = await door.post(BODY, Idempotency_Key=key)  # not drained yet
    assert late.json()["receipt"] == first.json()["receipt"]
    await drain(door.spool)
    again = await door.post(BODY, Idempotency_Key=key)
    assert again.json()["receipt"] == first.json()["receipt"]
    assert len(door.hub.events(topics.REPORT_SUBMITTED_V1)) == 1
    assert counted(door, "spooled") == 1


async def test_a_report_withdrawn_meanwhile_stays_withdrawn(door: Any, disk: SimDisk) -> None:
    code = (await door.post(BODY)).json()["receipt"]
    copies = dict(disk.files)
    door.hub.store.away = None
    await drain(door.spool)
    assert (await door.withdraw(code)).status_code == 204
    disk.files = copies  # a crash between the commit and the erasing of the segment
    await drain(open_spool(_inner(door), disk))
    assert disk.files == {}
    assert (await door.follow(code)).json()["status"] == "withdrawn"
    assert door.hub.store.docs["keys"][door.report_id(code)]["wrapped"] is None


async def test_a_full_spool_is_a_503_as_without_one(door: Any) -> None:
    door.spool._journal._limit = 0
    answer = await door.post(BODY)
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert counted(door, "unavailable") == 1


# -- start ---------------------------------------------------------------------------------------


def test_another_master_key_is_said_at_the_start(tmp_path: Path, host: Host) -> None:
    def opened(master: bytes) -> Spool:
        return Spool.open(tmp_path, host, master=master, limit=LIMIT, repeat_after=REPEAT_AFTER)

    async def fill() -> None:
        spool = opened(b"one")
        await put(spool, host, ids(1)[0])
        await spool.close()

    asyncio.run(fill())
    with pytest.raises(SettingsError, match="written under another WASL_MASTER_KEY"):
        opened(b"two")
    asyncio.run(opened(b"one").close())  # the failed start did not keep the directory


# -- everything at once --------------------------------------------------------------------------


async def _inline(function: Callable[..., Any], *arguments: Any) -> Any:
    """Instead of a thread: a cut of the power reaches the task that wrote."""
    await asyncio.sleep(0)
    return function(*arguments)


@given(
    seed=st.integers(0, 2**32),
    steps=st.lists(st.sampled_from(["put", "group", "turn", "cut", "kill", "flip", "lose"])),
)
@settings(max_examples=150, deadline=None)
def test_every_acknowledged_report_is_committed_exactly_once(seed: int, steps: list[str]) -> None:
    """flip: the database goes or comes; lose: it commits once more and the answer is lost."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncio, "to_thread", _inline)
        asyncio.run(_everything(random.Random(seed), steps))


async def _everything(dice: random.Random, steps: list[str]) -> None:
    host, disk = Host(), SimDisk(dice)
    spool = open_spool(host, disk)
    acknowledged: list[str] = []
    number = 0
    for step in steps:
        work: list[Any] = []
        if step in ("put", "group"):
            fresh = [f"{n:032x}" for n in range(number, number + (1 if step == "put" else 7))]
            number += len(fresh)
            work = [_acknowledged(spool, host, i, acknowledged) for i in fresh]
        elif step == "turn":
            work = [spool.turn()]
        elif step == "flip":
            host.store.away = not host.store.away
        elif step == "lose":
            host.store.loses_answers = 1
        elif step == "cut":
            disk.power_on(cut_after=dice.randint(0, 3))
        if step == "kill" or not await _ran(work, disk):
            await asyncio.gather(*filter(None, [spool._writer]), return_exceptions=True)
            spool = _restarted(host, disk, dice)
    disk.power_on()
    host.store.away, host.store.loses_answers = False, 0
    spool = open_spool(host, disk)
    host.restart()
    await drain(spool)
    assert set(acknowledged) <= set(host.store.order)
    assert host.published() == dict.fromkeys(host.store.order, 1)
    assert disk.files == {}
    assert host.metrics.value("wasl_intake_spool_set_aside_total") == 0


async def _acknowledged(spool: Spool, host: Host, report_id: str, acknowledged: list[str]) -> None:
    await put(spool, host, report_id)
    acknowledged.append(report_id)


async def _ran(work: list[Any], disk: SimDisk) -> bool:
    """Whether all of it ended; False: the power went, and nothing of it goes on."""
    tasks = [asyncio.create_task(w) for w in work]
    for _ in range(500):
        if disk.cut_after == -1 or all(t.done() for t in tasks):
            break
        await asyncio.sleep(0)
    else:
        raise AssertionError("it hangs")
    for task in tasks:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    unexpected = (PowerCut, asyncio.CancelledError, type(None), bool)
    assert all(isinstance(r, unexpected) for r in results), results
    return disk.cut_after != -1


def _restarted(host: Host, disk: SimDisk, dice: random.Random) -> Spool:
    host.restart()
    while True:
        disk.power_on(cut_after=dice.choice([0, 1, None]))
        try:
            return open_spool(host, disk)
        except PowerCut:
            continue
