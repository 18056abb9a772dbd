# SPDX-License-Identifier: Apache-2.0
"""Ready means: everything goes on; or the database is away and we are of use without it."""

from datetime import timedelta

import pytest
from wasl_chassis.health import CATCH_UP, Check, Health
from wasl_chassis.testing import FakeClock


class World:
    """Checks by name; False or an exception makes one fail."""

    def __init__(self, *, excused: bool) -> None:
        self.clock = FakeClock()
        self.health = Health()
        self.state: dict[str, bool | Exception] = dict.fromkeys(
            ("process", "database", "loop", "spool"), True
        )
        for name in ("process", "database", "loop"):
            self.health.add(name, self.check(name))
        if excused:
            self.health.excuse("http", self.check("spool"), without="database", clock=self.clock)

    def check(self, name: str) -> Check:
        async def asked() -> tuple[bool, str]:
            state = self.state[name]
            if isinstance(state, Exception):
                raise state
            return state, f"about {name}"

        return asked

    async def ready(self, **state: bool | Exception) -> bool:
        self.state.update(state)
        return (await self.health.report())[0]


async def test_one_failed_check_is_not_ready() -> None:
    world = World(excused=False)
    assert await world.ready()
    assert not await world.ready(loop=False)
    assert not await world.ready(loop=RuntimeError("x"))
    assert await world.ready(loop=True)
    assert not await world.ready(database=False)


async def test_without_the_database_only_the_excuse_decides() -> None:
    world = World(excused=True)
    assert await world.ready(database=RuntimeError("away"), loop=False)
    ready, checks = await world.health.report()
    assert ready
    assert checks["database"] == {"ok": False, "detail": "RuntimeError"}
    assert checks["http-without-database"] == {"ok": True, "detail": "about spool"}
    assert not await world.ready(spool=False)
    assert not await world.ready(spool=True, process=False)


@pytest.mark.parametrize(("seconds", "ready"), [(CATCH_UP - 1, True), (CATCH_UP + 1, False)])
async def test_loops_have_time_to_catch_up(seconds: float, ready: bool) -> None:
    world = World(excused=True)
    await world.ready(database=False, loop=False)
    world.clock.advance(timedelta(seconds=seconds))
    assert await world.ready(database=True) is ready
    assert await world.ready(loop=True)


async def test_another_failure_is_not_excused() -> None:
    world = World(excused=True)
    assert not await world.ready(loop=False)
    assert "http-without-database" not in (await world.health.report())[1]
