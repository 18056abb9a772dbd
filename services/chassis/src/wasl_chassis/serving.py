# SPDX-License-Identifier: Apache-2.0
"""One HTTP server inside a process whose signals, logs and lifetime are its own."""

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from typing import Any, Self

import uvicorn

from wasl_chassis.settings import SettingsError

log = logging.getLogger(__name__)


class _Uvicorn(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class HttpServer:
    """A running server; ``port`` is the one it took. Made by :meth:`start`."""

    def __init__(self, server: _Uvicorn, task: asyncio.Task[None]) -> None:
        self._server, self._task = server, task
        self.port: int = server.servers[0].sockets[0].getsockname()[1]

    @classmethod
    async def start(cls, app: Any, host: str, port: int, name: str, *, grace: float) -> Self:
        """Serve ``app``; port 0 takes a free one. ``grace``: seconds open requests get at the end.

        Raises SettingsError where the port is taken.
        """
        server = _Uvicorn(
            uvicorn.Config(
                app,
                host=host,
                port=port,
                loop="none",
                http="httptools",
                ws="none",
                lifespan="off",
                access_log=False,
                log_config=None,
                server_header=False,
                date_header=True,
                proxy_headers=False,
                backlog=2048,
                timeout_keep_alive=30,
                timeout_graceful_shutdown=int(grace),
            )
        )
        task = asyncio.create_task(_run(server, name))
        while not server.started and not task.done():  # noqa: ASYNC110
            await asyncio.sleep(0.005)  # uvicorn has no event for it
        if task.done():
            raise SettingsError(f"cannot listen on {host}:{port} for {name}; is the port taken?")
        return cls(server, task)

    def stop(self) -> None:
        """Take no more requests; those in hand are answered."""
        self._server.should_exit = True

    async def stopped(self) -> None:
        await self._task


async def _run(server: _Uvicorn, name: str) -> None:
    try:
        await server.serve()
    except SystemExit:
        # Uvicorn's way to say that it cannot bind; the caller names host and port.
        log.error("a port cannot be bound", extra={"server": name})
