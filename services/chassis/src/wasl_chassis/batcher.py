# SPDX-License-Identifier: Apache-2.0
"""Concurrent requests share one transaction.

While one commit is on its way the next requests gather; nobody waits for a timer. If the shared
commit fails, each request is committed alone, so that every caller gets its own error and one bad
request costs one request. The queue is bounded: beyond it callers are told at once.
"""

import asyncio
from collections.abc import Awaitable, Callable

from wasl_chassis.failures import Conflict, Failure, Overloaded, Retryable
from wasl_chassis.store import Changes


class Batcher:
    def __init__(
        self,
        commit: Callable[[Changes], Awaitable[None]],
        *,
        max_batch: int = 256,
        max_waiting: int = 2048,
    ) -> None:
        self._commit = commit
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._waiting: list[tuple[Changes, asyncio.Future[None]]] = []
        self._worker: asyncio.Task[None] | None = None

    async def submit(self, changes: Changes) -> None:
        """Return when the changes are durable. Raises what the commit raises, or Overloaded."""
        if len(self._waiting) >= self._max_waiting:
            raise Overloaded("too many reports at once; try again in a moment")
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((changes, future))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        await future

    async def _work(self) -> None:
        while self._waiting:
            batch = self._waiting[: self._max_batch]
            del self._waiting[: self._max_batch]
            merged = Changes()
            for changes, _ in batch:
                merged.extend(changes)
            try:
                await self._commit(merged)
            except Failure as error:
                if isinstance(error, Retryable) and not isinstance(error, Conflict):
                    self._settle(batch, error)
                else:
                    await self._one_by_one(batch)
            except Exception as error:  # noqa: BLE001  handed to every caller, who raises it
                self._settle(batch, error)
            else:
                self._settle(batch, None)

    async def _one_by_one(self, batch: list[tuple[Changes, asyncio.Future[None]]]) -> None:
        for changes, future in batch:
            try:
                await self._commit(changes)
            except Exception as error:  # noqa: BLE001  handed to its caller
                self._settle([(changes, future)], error)
            else:
                self._settle([(changes, future)], None)

    @staticmethod
    def _settle(batch: list[tuple[Changes, asyncio.Future[None]]], error: Exception | None) -> None:
        for _, future in batch:
            if future.done():
                continue
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)

    async def drain(self) -> None:
        if self._worker is not None:
            await self._worker
