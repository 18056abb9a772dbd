# SPDX-License-Identifier: Apache-2.0
"""SIGTERM of every process under load: exit 0 within the grace period, nothing repeated outside."""

import asyncio
import json
import random

import pytest
from hub import SERVICES, Hub
from load import Load
from oracle import Oracle

pytestmark = pytest.mark.failure


async def test_every_service_drains(
    hub: Hub, oracle: Oracle, dice: random.Random, seed: int
) -> None:
    load = Load(hub, seed)
    async with load.flowing(seconds=8):
        for name in SERVICES:
            await asyncio.sleep(dice.uniform(0.1, 0.8))
            assert await hub.terminate(name) == 0, f"{name} did not drain"
            last = json.loads(hub.log(name).read_text().splitlines()[-1])
            assert last["msg"] == "stopped", last
            await hub.start(name)
    await oracle.judge(load, repeated=False)
