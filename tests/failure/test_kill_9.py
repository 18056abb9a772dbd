# SPDX-License-Identifier: Apache-2.0
"""kill -9 of every service under load: at random points, and between commit and publish.

The exact point needs no hook in the product: with the broker frozen (SIGSTOP) a commit still succeeds
and its publish hangs, so a row that stays in the outbox proves that the process stands in between.
"""

import asyncio
import os
import random

import pytest
from hub import SERVICES, Hub
from load import Load
from oracle import Oracle

pytestmark = pytest.mark.failure

#: How often each service dies; WASL_FAILURE_ROUNDS.
ROUNDS = int(os.environ.get("WASL_FAILURE_ROUNDS", "1"))
#: Services that tell others something; the gateway by one of its connectors.
TELLERS = ("intake", "triage", "gateway-reference", "notify")


async def test_at_random_points(hub: Hub, oracle: Oracle, dice: random.Random, seed: int) -> None:
    victims = list(SERVICES) * ROUNDS
    dice.shuffle(victims)
    load = Load(hub, seed, count=60 * ROUNDS)
    async with load.flowing(seconds=8 * ROUNDS):
        for name in victims:
            await asyncio.sleep(dice.uniform(0.1, 0.8))
            await hub.kill(name)
            await hub.start(name)
    # A mail whose acceptance could not be stored leaves again, under the same Message-ID.
    await oracle.judge(load, resent_mail=True)


async def test_between_commit_and_publish(
    hub: Hub, oracle: Oracle, dice: random.Random, seed: int
) -> None:
    load = Load(hub, seed, count=100 * ROUNDS, kinds=("hotline",), mail_every=3)
    async with load.flowing(seconds=15 * ROUNDS):
        for name in TELLERS * ROUNDS:
            try:
                await _freeze_in_between(hub, name, dice)
                await hub.kill(name)
                assert hub.docs(name, "outbox"), f"what {name} had to say left before the kill"
            finally:
                hub.kafka.resume()
            await hub.start(name)
    await oracle.judge(load, resent_mail=True)


async def _freeze_in_between(hub: Hub, name: str, dice: random.Random) -> None:
    """Freeze the broker at a moment when the service has committed what it cannot publish."""
    for _ in range(40):
        await asyncio.sleep(dice.uniform(0.05, 0.3))
        hub.kafka.pause()
        for _ in range(3):
            before = set(hub.docs(name, "outbox"))
            await asyncio.sleep(0.3)
            if before & set(hub.docs(name, "outbox")):
                return
        hub.kafka.resume()
    raise AssertionError(f"{name} never stood between commit and publish")
