# SPDX-License-Identifier: Apache-2.0
"""Every row of the table in docs/architecture/consuming.md, on a real broker and a real database."""

import asyncio
import json

import httpx
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from kit import TALLIES, Bench, Tally, numbers, running, tallies, tally, total, until
from wasl_chassis.consuming import Consumer
from wasl_chassis.failures import Outcome, Permanent, Retryable
from wasl_schemas.ids import uuid7

pytestmark = pytest.mark.integration


def outcome(service, bench: Bench, word: str) -> float:
    return service.metrics.value(
        "wasl_events_handled_total",
        consumer=service.consumer.name,
        type=bench.pings.type,
        outcome=word,
    )


async def committed(bench: Bench) -> int:
    admin = AIOKafkaAdminClient(bootstrap_servers=bench.bootstrap)
    await admin.start()
    try:
        offsets = await admin.list_consumer_group_offsets(f"wasl.{bench.name}")
        return sum(o.offset for tp, o in offsets.items() if tp.topic == bench.pings.name)
    finally:
        await admin.close()


async def test_ok_state_inbox_outbox_and_offsets(bench: Bench) -> None:
    async def handler(event, uow):
        await tally(event, uow)
        uow.emit(bench.pongs, event.data)

    service = bench.service(handler)
    await bench.send(*[bench.event(f"item{i % 7}", i) for i in range(50)])
    async with running(service):
        await until(lambda: _all(service, 50))
        records = await bench.read(bench.pongs.name, 50)
    found = await tallies(bench.service(handler))
    assert total(found) == 50
    # Events of one key in order.
    assert all(t.numbers == sorted(t.numbers) for t in found.values())
    assert sorted(json.loads(r.value)["data"]["number"] for r in records) == list(range(50))
    assert all(r.key == json.loads(r.value)["partitionkey"].encode() for r in records)
    assert {k for k, _ in records[0].headers} >= {"ce_id", "ce_type", "content-type"}
    assert await committed(bench) == 50
    assert await bench.service(handler).store.outbox_status() == (0, None)


async def _all(service, count: int) -> bool:
    return total(await tallies(service)) >= count


async def test_duplicate_is_counted_once(bench: Bench) -> None:
    service = bench.service(tally)
    event = bench.event("item1", 1)
    async with running(service):
        await bench.send(event, event)
        await bench.send(event)

        async def counted() -> bool:
            return outcome(service, bench, "duplicate") == 2

        await until(counted)
        assert (await tallies(service))["item1"].numbers == [1]
    again = bench.service(tally, replica="1")
    async with running(again):
        await bench.send(event, bench.event("item1", 2))
        await until(lambda: _all(again, 2))
    assert (await tallies(bench.service(tally)))["item1"].numbers == [1, 2]


async def test_stale_is_counted_and_committed(bench: Bench) -> None:
    async def handler(event, uow):
        return Outcome.STALE

    service = bench.service(handler)
    await bench.send(bench.event("item1"))
    async with running(service):

        async def counted() -> bool:
            return outcome(service, bench, "stale") == 1

        await until(counted)
    assert await committed(bench) == 1


async def test_transient_waits_and_never_dead_letters(bench: Bench) -> None:
    failures = 4

    async def handler(event, uow):
        nonlocal failures
        if event.data.number == 3 and failures:
            failures -= 1
            raise Retryable("the dependency is away")
        await tally(event, uow)

    service = bench.service(handler)
    await bench.send(*[bench.event("item1", i) for i in range(6)])
    async with running(service):
        await until(lambda: _all(service, 6))
        assert (await tallies(service))["item1"].numbers == list(range(6))
        assert service.consumer.dependency_up
    assert failures == 0
    assert outcome(service, bench, "dead_lettered") == 0
    assert outcome(service, bench, "retried") > 0


async def test_readiness_while_a_dependency_is_away(bench: Bench) -> None:
    away = asyncio.Event()

    async def handler(event, uow):
        if not away.is_set():
            raise Retryable("away")
        await tally(event, uow)

    service = bench.service(handler)
    async with running(service):
        await bench.send(bench.event("item1", 1))
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{service.ports['admin']}"
        ) as admin:

            async def status(code: int) -> bool:
                return (await admin.get("/readyz")).status_code == code

            await until(lambda: status(503))
            assert (await admin.get("/livez")).status_code == 200
            away.set()
            await until(lambda: status(200), 30)
            assert b"wasl_events_handled_total" in (await admin.get("/metrics")).content
            assert (await admin.get("/version")).json()["service"] == bench.name
        await until(lambda: _all(service, 1))


BAD_HEADER = [("ce_id", b"\xff\xfe"), ("trace", b"\x80")]


@pytest.mark.parametrize(
    ("value", "headers", "reason"),
    [
        (b"{not json", BAD_HEADER, b"undecodable"),
        (b"\xff\xfe\x00", [], b"undecodable"),
        (b"", [], b"undecodable"),
        (b'{"specversion":"1.0"}', [], b"schema"),
        (b"[]", [], b"schema"),
        (None, [], b"undecodable"),
    ],
)
async def test_poison_keeps_its_bytes(bench: Bench, value, headers, reason) -> None:
    service = bench.service(tally)
    await bench.send(bench.event("item1", 1), (value, headers), bench.event("item1", 2))
    async with running(service):
        await until(lambda: _all(service, 2))
        (dead,) = await bench.read(bench.pings.dead_letter(bench.name), 1)
    assert dead.value == value
    found = dict(dead.headers)
    assert found["x-wasl-reason"] == reason
    assert found["x-wasl-consumer"] == bench.name.encode()
    for name, original in headers:
        assert found[name] == original
    assert await committed(bench) == 3


async def test_bad_headers_do_not_harm_a_good_event(bench: Bench) -> None:
    service = bench.service(tally)
    event = bench.event("item1", 7)
    await bench.send((event.to_bytes(), BAD_HEADER))
    async with running(service):
        await until(lambda: _all(service, 1))
    assert outcome(service, bench, "dead_lettered") == 0


async def test_unknown_type_and_major_are_poison(bench: Bench) -> None:
    service = bench.service(tally)
    other = bench.event("item1", 1, type=bench.pings.type.replace(".v1", ".v2"))
    await bench.send(other, bench.event("item1", 2))
    async with running(service):
        await until(lambda: _all(service, 1))
        (dead,) = await bench.read(bench.pings.dead_letter(bench.name), 1)
    assert dict(dead.headers)["x-wasl-reason"] == b"unknown_type"
    assert dead.value == other.to_bytes()


async def test_unknown_fields_are_ignored(bench: Bench) -> None:
    service = bench.service(tally)
    body = json.loads(bench.event("item1", 5).to_bytes())
    body["data"]["added_later"] = {"a": 1}
    body["newattribute"] = "x"
    await bench.send(json.dumps(body).encode())
    async with running(service):
        await until(lambda: _all(service, 1))
    assert (await tallies(bench.service(tally)))["item1"].numbers == [5]


@pytest.mark.parametrize(
    ("error", "reason"),
    [(RuntimeError("secret text"), b"unexpected"), (Permanent(reason="no_ground"), b"no_ground")],
)
async def test_one_bad_event_costs_one_event(bench: Bench, error, reason) -> None:
    async def handler(event, uow):
        await tally(event, uow)
        if event.data.number == 13:
            raise error

    service = bench.service(handler)
    await bench.send(*[bench.event(f"item{i % 5}", i) for i in range(40)])
    async with running(service):
        await until(lambda: _all(service, 39))
        (dead,) = await bench.read(bench.pings.dead_letter(bench.name), 1)
    found = await tallies(bench.service(handler))
    assert numbers(list(found.values())) == [i for i in range(40) if i != 13]
    headers = dict(dead.headers)
    assert headers["x-wasl-reason"] == reason
    assert json.loads(dead.value)["data"]["number"] == 13
    assert b"secret text" not in b"".join(v for _, v in dead.headers)


async def test_too_many_dead_letters_stop_the_service(bench: Bench) -> None:
    service = bench.service(tally, dead_letter_limit=5)
    await bench.send(*[b"{broken" for _ in range(30)])
    async with running(service) as (task,):
        assert await asyncio.wait_for(task, 30) == 70
        assert not (await service.health.report())[0]
    assert service.metrics.value(
        "wasl_dead_letter_limit_tripped_total", consumer=service.consumer.name
    )
    # Nothing was skipped: the records are still there for the next start.
    assert await committed(bench) == 0


async def test_unstorable_document_costs_one_event(bench: Bench) -> None:
    """The commit itself fails, so no handler can be blamed: replay finds the one."""

    async def handler(event, uow):
        await tally(event, uow)
        if event.data.number == 3:
            big = Tally(id="big", numbers=[2**70])  # beyond BSON's 64-bit integers
            uow.put(TALLIES, big)

    service = bench.service(handler)
    await bench.send(*[bench.event(f"item{i}", i) for i in range(6)])
    async with running(service):
        await until(lambda: _all(service, 5))
        (dead,) = await bench.read(bench.pings.dead_letter(bench.name), 1)
    assert json.loads(dead.value)["data"]["number"] == 3


async def test_two_replicas_on_one_document_lose_nothing(bench: Bench) -> None:
    """Different keys, so different partitions, one document: every write is a race."""

    async def handler(event, uow):
        held = await uow.get(TALLIES, "shared") or Tally(id="shared")
        uow.put(
            TALLIES,
            held.model_copy(
                update={"count": held.count + 1, "numbers": [*held.numbers, event.data.number]}
            ),
        )

    replicas = [bench.service(handler, replica=str(i), batch_max_records=20) for i in range(2)]
    async with running(*replicas):
        await bench.send(*[bench.event(uuid7(), i) for i in range(400)])
        await until(lambda: _all(replicas[0], 400), 40)
    assert sorted((await tallies(bench.service(handler)))["shared"].numbers) == list(range(400))


async def test_stop_under_load_repeats_and_loses_nothing(bench: Bench) -> None:
    async def handler(event, uow):
        await asyncio.sleep(0.002)
        await tally(event, uow)

    await bench.send(*[bench.event(f"item{i % 9}", i) for i in range(600)])
    first = bench.service(handler, batch_max_records=50)
    async with running(first) as (task,):
        await until(lambda: _all(first, 50))
        first.stop()
        assert await task == 0
    second = bench.service(handler)
    async with running(second):
        await until(lambda: _all(second, 600), 40)
    assert numbers(list((await tallies(bench.service(handler))).values())) == list(range(600))


async def test_a_conflict_without_end_is_a_bug_not_a_standstill(bench: Bench, monkeypatch) -> None:
    """A handler that inserts what exists would otherwise hold its partition for ever."""
    monkeypatch.setattr(Consumer, "CONFLICTS", 3)

    async def handler(event, uow):
        if event.data.number == 1:
            uow.put(TALLIES, Tally(id="item0"))  # never read, and it exists
        else:
            await tally(event, uow)

    service = bench.service(handler)
    await bench.send(bench.event("item0", 0))
    async with running(service):
        await until(lambda: _all(service, 1))
        await bench.send(bench.event("item0", 1), bench.event("item0", 2))
        await until(lambda: _all(service, 2), 30)
        (dead,) = await bench.read(bench.pings.dead_letter(bench.name), 1)
    assert dict(dead.headers)["x-wasl-reason"] == b"unexpected"
    assert json.loads(dead.value)["data"]["number"] == 1
