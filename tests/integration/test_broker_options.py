# SPDX-License-Identifier: Apache-2.0
"""The FastStream facts that are about options: each default we override is held here."""

import asyncio

import pytest
from aiokafka import AIOKafkaConsumer
from faststream import AckPolicy
from kit import Bench, running, tallies, tally, until
from wasl_chassis.broker import EMPTY_FETCH, Subscription
from wasl_chassis.clock import SystemClock

pytestmark = pytest.mark.integration


async def test_faststream_defaults_are_overridden(bench: Bench) -> None:
    service = bench.service(tally)

    async def nothing(records) -> None:
        return None

    subscription = Subscription("wasl.x", ["a", "b"], nothing, service.settings, SystemClock())
    broker = subscription.build()
    (subscriber,) = broker.subscribers  # one per process: they would start one after another
    assert subscriber.ack_policy is AckPolicy.NACK_ON_ERROR
    assert subscriber.group_id == "wasl.x"
    assert subscriber.max_records == service.settings.batch_max_records
    options = subscriber._connection_args
    assert options["auto_offset_reset"] == "earliest"
    assert options["enable_auto_commit"] is False
    assert options["group_instance_id"] == "wasl.x-0"
    assert options["max_poll_interval_ms"] == 900_000
    assert broker.config.consumer_only
    assert not broker.config.allow_auto_create_topics
    await service.store.close()


async def test_reply_to_is_ignored(bench: Bench) -> None:
    """Stock FastStream would publish the handler's answer to any topic the sender names."""
    service = bench.service(tally)
    event = bench.event("item1", 1)
    await bench.send((event.to_bytes(), [("reply_to", bench.pongs.name.encode())]))
    async with running(service):

        async def handled() -> bool:
            return bool(await tallies(service))

        await until(handled)
    consumer = AIOKafkaConsumer(
        bench.pongs.name, bootstrap_servers=bench.bootstrap, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        assert not await consumer.getmany(timeout_ms=1500)
    finally:
        await consumer.stop()


async def test_a_dead_consume_loop_is_not_ready(bench: Bench) -> None:
    """Pinging the cluster would still say yes."""
    service = bench.service(tally)
    async with running(service):
        ok, checks = await service.health.report()
        assert ok, checks
        (task,) = service._subscription._subscriber.tasks
        task.cancel()

        async def unready() -> bool:
            return not (await service.health.report())[0]

        await until(unready)
        _, checks = await service.health.report()
        assert checks["consumer"]["detail"] == "the consume loop ended"


async def test_a_crashed_member_gets_its_partitions_back(bench: Bench) -> None:
    """Static membership: the same replica name, no waiting for the session to expire."""
    crashed = bench.service(tally)
    task = asyncio.create_task(crashed.run())

    async def ready() -> bool:
        return (await crashed.health.report())[0]

    await until(ready, 30)
    consumer = crashed._subscription._subscriber.consumer
    await consumer._client.close()  # the connection drops; nobody says goodbye
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    back = bench.service(tally)
    async with running(back):
        await bench.send(bench.event("item1", 1))

        async def handled() -> bool:
            return bool(await tallies(back))

        await until(handled, 20)


async def test_an_idle_consumer_does_not_spin(bench: Bench) -> None:
    """The embedded broker answers empty fetches at once, some hundred times a second."""
    service = bench.service(tally)
    async with running(service):
        fetcher = service._subscription._subscriber.consumer._fetcher
        fetches = 0
        send = fetcher._client.send

        async def counted(node, request, **options):
            nonlocal fetches
            fetches += type(request).__name__.startswith("Fetch")
            return await send(node, request, **options)

        fetcher._client.send = counted
        await asyncio.sleep(1)
        assert fetches <= 1 / EMPTY_FETCH + 5
