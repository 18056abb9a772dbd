# SPDX-License-Identifier: Apache-2.0
"""kill -9 of each service under load: at random points, and between commit and publish.

The exact point needs no hook in the product: with the broker frozen (SIGSTOP) a commit still succeeds
and its publish hangs, so a row in the outbox proves that the process stands between the two.
"""

import asyncio
import random

import httpx
import pytest
from hub import SERVICES, Hub
from kit import until
from load import Load
from oracle import Oracle

pytestmark = pytest.mark.failure


@pytest.mark.parametrize("name", SERVICES)
async def test_at_random_points(
    name: str, hub: Hub, oracle: Oracle, dice: random.Random, seed: int
) -> None:
    load = Load(hub, seed)
    async with load.flowing(seconds=4):
        for _ in range(2):
            await asyncio.sleep(dice.uniform(0.2, 1.5))
            await hub.kill(name)
            await hub.start(name)
    # A mail whose acceptance was not stored leaves again, under the same Message-ID.
    await oracle.judge(load, resent_mail=name == "notify")


@pytest.mark.parametrize("name", ["intake", "triage", "gateway-reference", "notify"])
async def test_between_commit_and_publish(name: str, hub: Hub, oracle: Oracle, seed: int) -> None:
    load = Load(hub, seed, count=40)
    async with load.flowing(seconds=2):
        await _freeze_after_commit(hub, name, load)
        try:
            await hub.kill(name)
        finally:
            hub.kafka.resume()
        assert hub.outboxes().get(hub.database_of(name)), "nothing was caught in between"
        await hub.start(name)
    await oracle.judge(load, resent_mail=name == "notify")


async def _freeze_after_commit(hub: Hub, name: str, load: Load) -> None:
    """Freeze the broker so that the service has committed events it cannot publish."""
    extra = Load(hub, load.seed + 1)

    async def caught() -> bool:
        return hub.outboxes().get(hub.database_of(name), 0) > 0

    async with httpx.AsyncClient(
        base_url=hub.url("intake"), timeout=5, trust_env=False
    ) as http:
        for number in range(12):
            # Work for everybody; what is sent here is part of the load.
            extra._tag, extra._items, extra.sent = load._tag, load._items, load.sent
            await extra.one(http, 1000 + number)
            await asyncio.sleep(0.2)
            hub.kafka.pause()
            try:
                await until(caught, 1.5, 0.02)
            except TimeoutError:
                hub.kafka.resume()
            else:
                return
    raise AssertionError(f"{name} never stood between commit and publish")
