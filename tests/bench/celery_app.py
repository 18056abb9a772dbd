# SPDX-License-Identifier: Apache-2.0
"""Three Celery tasks for the comparison in peers.py."""

import os
from functools import cache
from typing import Any

from celery import Celery
from redis import Redis

URL = os.environ["WASL_BENCH_REDIS"]
app = Celery("bench", broker=URL)
app.conf.update(task_acks_late=True, task_ignore_result=True, worker_hijack_root_logger=False)


@cache
def store() -> "Redis[Any]":
    return Redis.from_url(URL)


@app.task
def ingest(number: int, item: str, text: str) -> None:
    dedupe.delay(number, item, text)


@app.task
def dedupe(number: int, item: str, text: str) -> None:
    if store().set(f"item:{item}", number, nx=True):
        dispatch.delay(number, item, text)
    else:
        store().incr("duplicates")


@app.task
def dispatch(number: int, item: str, text: str) -> None:
    store().hset("ledger", item, number)
    store().incr("done")
