# SPDX-License-Identifier: Apache-2.0
"""MongoDB restarts or its primary steps down under load.

Meanwhile intake accepts into its spool (`test_database_down_at_intake`); who wants to read is told
503 with Retry-After. A client that tries again with its idempotency key ends with one report.
"""

import asyncio

import httpx
import pytest
from hub import Hub
from load import Load
from oracle import Oracle

pytestmark = pytest.mark.failure


async def test_restart(hub: Hub, oracle: Oracle, seed: int) -> None:
    load = Load(hub, seed)
    async with load.flowing(seconds=4):
        await asyncio.sleep(1.5)
        await asyncio.to_thread(hub.mongo.stop)
        await _told_to_come_back(hub, load.sent[0].receipt)
        await asyncio.to_thread(hub.mongo.start)
    assert set(load.answers) == {202}, load.answers
    await oracle.judge(load)


async def _told_to_come_back(hub: Hub, receipt: str) -> None:
    headers = {"authorization": f"Receipt {receipt}"}
    async with httpx.AsyncClient(base_url=hub.url("intake"), timeout=30, trust_env=False) as http:
        answer = await http.get("/api/v1/reports", headers=headers)
    assert answer.status_code == 503, answer.status_code
    assert int(answer.headers["retry-after"]) > 0
    assert answer.headers["content-type"] == "application/problem+json"


async def test_kill_9(hub: Hub, oracle: Oracle, seed: int) -> None:
    load = Load(hub, seed, count=40)
    async with load.flowing(seconds=3):
        await asyncio.sleep(1.5)
        await asyncio.to_thread(hub.mongo.kill)
        await asyncio.to_thread(hub.mongo.start)
    await oracle.judge(load)


async def test_step_down(hub: Hub, oracle: Oracle, seed: int) -> None:
    load = Load(hub, seed)
    async with load.flowing(seconds=5):
        for _ in range(2):
            await asyncio.sleep(1)
            await asyncio.to_thread(hub.mongo.step_down, 1)
    assert not load.rude, "a 503 without Retry-After"
    await oracle.judge(load)
