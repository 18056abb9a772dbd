# SPDX-License-Identifier: Apache-2.0
"""kill -9 of each service under load: at random points, and between commit and publish.

The exact point needs no hook in the product: with the broker frozen (SIGSTOP) a commit still succeeds
and its publish hangs, so a row that stays in the outbox proves that the process stands in between.
"""

import asyncio
import random

import pytest
from hub import DATABASES, SERVICES, Hub
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
    # A mail whose acceptance could not be stored leaves again, under the same Message-ID.
    await oracle.judge(load, resent_mail=name == "notify")


@pytest.mark.parametrize("name", ["intake", "triage", "gateway-reference", "notify"])
async def test_between_commit_and_publish(
    name: str, hub: Hub, oracle: Oracle, dice: random.Random, seed: int
) -> None:
    load = Load(hub, seed, kinds=("hotline",), mail_every=3)
    async with load.flowing(seconds=6):
        try:
            await _freeze_in_between(hub, name, dice)
            await hub.kill(name)
            assert _stuck(hub, name), "the rows left before the kill"
        finally:
            hub.kafka.resume()
        await hub.start(name)
    await oracle.judge(load, resent_mail=name == "notify")


def _stuck(hub: Hub, name: str) -> set[str]:
    return set(hub.docs(name, "outbox"))


async def _freeze_in_between(hub: Hub, name: str, dice: random.Random) -> None:
    """Freeze the broker at a moment when the service has committed what it cannot publish."""
    for _ in range(40):
        await asyncio.sleep(dice.uniform(0.05, 0.3))
        hub.kafka.pause()
        for _ in range(3):
            before = _stuck(hub, name)
            await asyncio.sleep(0.3)
            if before & _stuck(hub, name):
                return
        hub.kafka.resume()
    raise AssertionError(f"{name} ({DATABASES[name]}) never stood between commit and publish")
