# SPDX-License-Identifier: Apache-2.0
"""The same three steps as a user would build them today: Celery with Redis, nothing durable."""

import asyncio
import hashlib
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import psutil
from wasl_local.processes import Child
from wasl_local.servers import free_port
from workload import reports


async def celery_chain(count: int, directory: Path) -> dict[str, Any]:
    """ingest → dedupe (SET NX) → dispatch, prefork 2, late acknowledgement."""
    if shutil.which("redis-server") is None:
        raise SystemExit(
            "make bench-peers needs redis-server (Debian: apt-get install redis-server)"
        )
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    port = free_port()
    redis = Child.start(
        ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir",
         str(directory)], log=directory / "redis.log",
    )  # fmt: skip
    env = {
        "WASL_BENCH_REDIS": f"redis://127.0.0.1:{port}",
        "PYTHONPATH": str(Path(__file__).parent),
    }
    import os

    env["PATH"] = os.environ["PATH"]
    os.environ["WASL_BENCH_REDIS"] = env["WASL_BENCH_REDIS"]
    worker = Child.start(
        [sys.executable, "-m", "celery", "-A", "celery_app", "worker", "-c", "2", "-P", "prefork",
         "--prefetch-multiplier", "64", "--without-gossip", "--without-mingle", "-l", "ERROR"],
        log=directory / "celery.log", env=env,
    )  # fmt: skip
    try:
        from celery_app import ingest, store

        await asyncio.sleep(4)  # the worker has no readiness to ask for
        for report in reports(count):
            ingest.delay(
                report.number, hashlib.sha256(report.url.encode()).hexdigest(), report.text
            )
        pids = [worker.pid, redis.pid]
        started = time.monotonic()
        before = int(store().get("done") or 0) + int(store().get("duplicates") or 0)
        while True:
            done = int(store().get("done") or 0) + int(store().get("duplicates") or 0)
            if done >= count:
                break
            await asyncio.sleep(0.05)
        seconds = time.monotonic() - started
        cpu = 0.0
        for pid in pids:
            process = psutil.Process(pid)
            family = [process, *process.children(recursive=True)]
            cpu += sum(sum(p.cpu_times()[:2]) for p in family)
        return {
            "per_second": (count - before) / seconds,
            "cpu_seconds_per_million": round(cpu / count * 1e6),
        }
    finally:
        worker.stop(10)
        redis.stop(10)
