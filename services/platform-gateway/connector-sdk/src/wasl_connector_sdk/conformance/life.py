# SPDX-License-Identifier: Apache-2.0
"""Rules about opening, closing and checking a connector."""

import asyncio
from typing import NoReturn

from wasl_connector_sdk.conformance import guards
from wasl_connector_sdk.conformance.bench import Bench, demand, rule
from wasl_connector_sdk.conformance.world import name_of, outcome, settled


class LifeRules(Bench):
    @rule
    async def test_open_no_io(self) -> None:
        """open-no-io: ``open`` sends, connects and starts nothing before it is entered."""
        async with self._world() as world:
            before = asyncio.all_tasks()
            opening = world.opening()
            tasks = await settled(before)
            demand(not tasks, "open() started a task before it was entered")
            demand(not world.wire.requests, "open() sent a request before it was entered")
            demand(not world.network.strays, "open() used the network before it was entered")
            demand(not world.network.sockets, "open() connected before it was entered")
            async with opening as connector:
                demand(isinstance(connector, self.connector), "open() gives another type")

    @rule
    async def test_open_closes(self) -> None:
        """open-closes: leaving closes what it opened, not what it was lent, and hides no error."""
        async with self._world() as world:
            before = asyncio.all_tasks()
            with guards.clients() as made:
                async with world.opened() as connector:
                    await outcome(connector.check())
                    await outcome(world.send(connector, self._sample(1)))
                demand(all(c.is_closed for c in made), "an HTTP client of its own is left open")
                try:
                    async with world.opened():
                        _raise()
                except _InsideError:
                    pass
                else:
                    raise AssertionError("leaving open() swallowed an exception")
            demand(not world.http.is_closed, "the client it was lent was closed")
            demand(not await settled(before), "a task is left running")
            left = [sock for sock in world.network.sockets if sock.fileno() != -1]
            demand(not left, "a connection is left open")

    @rule
    async def test_check_creates_nothing(self) -> None:
        """check-creates-nothing: ``check`` succeeds on a sound partner and makes no report."""
        async with self._world() as world, world.opened() as connector:
            result = await outcome(connector.check())
            demand(result is None, f"check ended in {name_of(result)} on a sound partner")
            demand(world.reports == 0, "check made a report")


class _InsideError(Exception):
    """Raised inside ``open`` to see whether it comes out."""


def _raise() -> NoReturn:
    raise _InsideError
