# SPDX-License-Identifier: Apache-2.0
"""The broker is away: intake goes on accepting, and everything moves on once it is back.

``WASL_FAILURE_AWAY_SECONDS`` says how long; `make failure-broker-away` takes a minute.
"""

import asyncio
import time

import httpx
import pytest
from hub import Hub
from load import Load
from oracle import Oracle

pytestmark = pytest.mark.failure


async def test_intake_accepts_all_the_time(
    hub: Hub, oracle: Oracle, seed: int, away_seconds: float
) -> None:
    load = Load(hub, seed)
    async with load.flowing(seconds=away_seconds + 4):
        await asyncio.sleep(2)
        accepted = len(load.sent)
        await asyncio.to_thread(hub.kafka.stop)
        gone = time.monotonic()
        await asyncio.sleep(away_seconds)
        while_away = len(load.sent) - accepted
        spent = time.monotonic() - gone
        await asyncio.to_thread(hub.kafka.start)
    assert while_away > 10, f"only {while_away} reports accepted in {spent:.0f} s"
    assert set(load.answers) == {202}, f"not every request was answered 202: {load.answers}"
    await oracle.judge(load)
    await hub.ready()


async def test_frozen_broker(hub: Hub, oracle: Oracle, seed: int) -> None:
    """Connections stay open and nothing answers, as behind a broken network."""
    load = Load(hub, seed)
    slowest = 0.0
    async with load.flowing(seconds=6):
        await asyncio.sleep(1)
        hub.kafka.pause()
        try:
            async with httpx.AsyncClient(
                base_url=hub.url("intake"), timeout=10, trust_env=False
            ) as http:
                for number in range(5):
                    started = time.monotonic()
                    await http.get("/api/v1/openapi.json")
                    await asyncio.sleep(0.5)
                    slowest = max(slowest, time.monotonic() - started)
                    assert number or load.sent
        finally:
            hub.kafka.resume()
    assert set(load.answers) == {202}, load.answers
    assert slowest < 5
    await oracle.judge(load)
