# SPDX-License-Identifier: Apache-2.0
"""Reports are accepted while MongoDB is gone: spooled, kept over kill -9, committed once it is back."""

import asyncio
from pathlib import Path

import httpx
import pytest
from hub import Hub, body_of
from load import Load
from oracle import Oracle
from wasl_schemas import topics

pytestmark = pytest.mark.failure


async def test_kill_9_while_the_database_is_down(hub: Hub, oracle: Oracle, seed: int) -> None:
    first, second = Load(hub, seed, count=20), Load(hub, seed + 1, count=40)
    await asyncio.to_thread(hub.mongo.kill)
    await first.run()
    assert first.answers == {202: 20}
    async with second.flowing(seconds=6):
        await asyncio.sleep(2)
        await hub.kill("intake")
        await hub.start("intake")
    assert set(second.answers) <= {202, 0}, second.answers
    load = first.with_(second)
    assert await _spooled(hub) == len(load.sent)
    _nothing_in_clear(hub, [s.item for s in load.sent], [s.receipt for s in load.sent])
    await asyncio.to_thread(hub.mongo.start)
    await oracle.judge(load)
    await _told_once(hub, {oracle.report_id(s) for s in load.sent})
    assert _files(hub) == []


async def test_database_that_hangs(hub: Hub, oracle: Oracle, seed: int) -> None:
    """What was under way is committed when it goes on again; its copies are dropped."""
    load = Load(hub, seed, count=40)
    try:
        async with load.flowing(seconds=3):
            await asyncio.sleep(1)
            hub.mongo.pause()
        assert set(load.answers) == {202}, load.answers
    finally:
        hub.mongo.resume()
    await oracle.judge(load)
    await _told_once(hub, {oracle.report_id(s) for s in load.sent})
    assert _files(hub) == []


async def _told_once(hub: Hub, reports: set[str]) -> None:
    """One event of each report. Its record may stand twice: the relay repeats what the database,
    hanging, could not be told to forget."""
    told: dict[str, set[str]] = {report: set() for report in reports}
    for record in await hub.records(topics.REPORT_SUBMITTED_V1.name):
        event = body_of(record)
        if event["data"]["report_id"] in told:
            told[event["data"]["report_id"]].add(event["id"])
    assert {len(events) for events in told.values()} == {1}


async def _spooled(hub: Hub) -> int:
    """Reports the spool holds; the process must call itself ready."""
    async with httpx.AsyncClient(timeout=10, trust_env=False) as http:
        ready = await http.get(f"{hub.admin('intake')}/readyz")
        metrics = await http.get(f"{hub.admin('intake')}/metrics")
    assert ready.status_code == 200, ready.text
    checks = ready.json()["checks"]
    assert not checks["database"]["ok"]
    line = next(
        line for line in metrics.text.splitlines() if line.startswith("wasl_intake_spool_records ")
    )
    count = int(float(line.split()[1]))
    assert checks["http-without-database"]["detail"].startswith(f"spooling: {count} reports, ")
    return count


def _files(hub: Hub) -> list[Path]:
    return [p for p in hub.folder.joinpath("intake-spool").iterdir() if p.name != "lock"]


def _nothing_in_clear(hub: Hub, items: list[str], receipts: list[str]) -> None:
    held = b"".join(p.read_bytes() for p in _files(hub))
    assert len(held) > 1_000 * len(items)
    for text in (*items, *receipts, "Test report", "report_id", "example.org"):
        assert text.encode() not in held
