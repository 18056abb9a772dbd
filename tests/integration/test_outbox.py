# SPDX-License-Identifier: Apache-2.0
"""Persist, publish, answer: what stays when Kafka is away leaves later, in order, and once each."""

import asyncio
import json
from datetime import timedelta

import pytest
from kit import TALLIES, Bench, Ping, Tally, running, tally, until
from servers import kafka_server
from wasl_chassis.outbox import Outlet
from wasl_chassis.topics_admin import TopicAdmin, wanted

pytestmark = pytest.mark.integration


async def emit(service, bench: Bench, number: int, key: str = "item1") -> None:
    uow = service.unit()
    uow.put(TALLIES, Tally(id=f"{key}-{number}"))
    uow.emit(bench.pongs, Ping(item_id=key, number=number))
    await service.submit(uow)


async def test_kafka_away_from_the_start_then_back(tmp_path, mongo_uri, monkeypatch) -> None:
    monkeypatch.setattr(Outlet, "YOUNG", timedelta(milliseconds=100))
    server = kafka_server(tmp_path)
    bench = Bench(mongo_uri, server.bootstrap)
    service = bench.service(tally)
    task = asyncio.create_task(service.run())
    try:

        async def stored() -> bool:
            try:
                await service.store.ping()
            except Exception:
                return False
            return bool(service.ports.get("admin")) and service._prepared

        await until(stored)
        # Accepted with no broker in the world: durable, and told so at once.
        for number in range(5):
            await asyncio.wait_for(emit(service, bench, number), 5)
        assert (await service.store.outbox_status())[0] == 5
        assert not (await service.health.report())[0]
        await asyncio.to_thread(server.start)
        await bench.topics()

        async def drained() -> bool:
            return (await service.store.outbox_status())[0] == 0

        await until(drained, 60)
        records = await bench.read(bench.pongs.name, 5)
        assert [json.loads(r.value)["data"]["number"] for r in records] == list(range(5))

        async def ready() -> bool:
            return (await service.health.report())[0]

        await until(ready, 60)
        await emit(service, bench, 5)
        records = await bench.read(bench.pongs.name, 6)
        assert [json.loads(r.value)["data"]["number"] for r in records] == list(range(6))
    finally:
        service.stop()
        await task
        server.stop()


async def test_the_relay_publishes_what_a_crash_left(bench: Bench, monkeypatch) -> None:
    monkeypatch.setattr(Outlet, "YOUNG", timedelta(milliseconds=100))
    crashed = bench.service(tally)
    await crashed.store.prepare([TALLIES])
    uow = crashed.unit()
    for number in range(3):
        uow.emit(bench.pongs, Ping(item_id="item1", number=number))
    await crashed.store.commit(uow.changes())  # killed here: committed, never published
    await crashed.store.close()
    service = bench.service(tally)
    async with running(service):
        records = await bench.read(bench.pongs.name, 3)

        async def drained() -> bool:
            return (await service.store.outbox_status())[0] == 0

        await until(drained)
    assert [json.loads(r.value)["data"]["number"] for r in records] == [0, 1, 2]


async def test_two_relays_do_not_sweep_at_once(bench: Bench) -> None:
    first, second = bench.service(tally, replica="0"), bench.service(tally, replica="1")
    await first.store.prepare([])
    uow = first.unit()
    uow.emit(bench.pongs, Ping(item_id="item1"))
    await first.store.commit(uow.changes())
    now = first.clock.now()
    assert await first.store.lease("relay", "other", now=now, lease_for=timedelta(minutes=1))
    assert await second.outlet.sweep() is False
    assert second.metrics.value("wasl_outbox_lease_lost_total") == 1
    for service in (first, second):
        await service.store.close()


async def test_concurrent_requests_share_a_commit_and_keep_their_own_error(bench: Bench) -> None:
    service = bench.service(tally)
    async with running(service):
        results = await asyncio.gather(
            *[emit(service, bench, n) for n in range(100)],
            emit(service, bench, 7),  # the same document twice
            return_exceptions=True,
        )
        failed = [r for r in results if r is not None]
        assert [type(f).__name__ for f in failed] == ["Conflict"]
        assert await service.store.count(TALLIES, {}) == 100
        commits = service.metrics.registry.get_sample_value(
            "wasl_mongo_command_duration_seconds_count", {"command": "commit", "result": "ok"}
        )
        assert commits < 105


async def test_topics_apply_and_diff(bench: Bench) -> None:
    registry = [bench.pings, bench.pongs]
    async with TopicAdmin(bench.bootstrap) as admin:
        assert await admin.diff(wanted(registry)) == []
        assert await admin.apply(wanted(registry)) == []
        grown = [
            type(w)(w.name, w.partitions + 1, w.retention + timedelta(days=1))
            for w in wanted([bench.pings])
        ]
        drifts = {(d.topic, d.what) for d in await admin.diff(grown)}
        assert (bench.pings.name, "partitions") in drifts
        assert (bench.pings.name, "retention.ms") in drifts
        await admin.apply(grown)
        assert await admin.diff(grown) == []
        missing = wanted([bench.spec("wasl.never.made.v1")])
        assert [d.what for d in await admin.diff(missing)] == ["topic"]
