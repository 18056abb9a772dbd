# SPDX-License-Identifier: Apache-2.0
"""Replicas of triage come, die and go while reports flow."""

import asyncio
import os
import random

import pytest
from hub import Hub
from load import Load
from oracle import Oracle

pytestmark = pytest.mark.failure


async def test_a_replica_joins_and_dies(
    hub: Hub, oracle: Oracle, dice: random.Random, seed: int
) -> None:
    load = Load(hub, seed, count=80)
    async with load.flowing(seconds=6):
        await asyncio.sleep(0.5)
        second = await hub.add_replica("triage", "b")
        try:
            await asyncio.sleep(dice.uniform(0.2, 1.5))
            await hub.kill(second)
            if os.environ.get("WASL_TEST_KAFKA") != "real":
                # The embedded broker waits for a dead member for ever; Apache Kafka gives its
                # partitions to the other replica after WASL_SESSION_TIMEOUT_SECONDS.
                await hub.start(second)
            await load.all_sent()
            await oracle.settled(load.sent)
        finally:
            await hub.remove_replica(second)
    await oracle.judge(load)


async def test_replicas_of_a_connector_share_the_work(hub: Hub, oracle: Oracle, seed: int) -> None:
    load = Load(hub, seed, count=80, kinds=("hotline",))
    second = await hub.add_replica("gateway-reference", "b")
    try:
        async with load.flowing(seconds=3):
            pass
        await oracle.settled(load.sent)
    finally:
        await hub.remove_replica(second)
    await oracle.judge(load, repeated=False)
