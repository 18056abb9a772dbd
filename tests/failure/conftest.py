# SPDX-License-Identifier: Apache-2.0
"""One hub per worker, shared by all tests that leave it healthy; each must, and that is checked."""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hub import Hub
from oracle import Oracle


class _Shared:
    """The hub of this worker; replaced once a test has left it in pieces."""

    def __init__(self, factory: pytest.TempPathFactory) -> None:
        self._factory = factory
        self._hub: Hub | None = None

    def get(self) -> Hub:
        if self._hub is not None and not (self._hub.sound and self._ready(self._hub)):
            self.stop()
        if self._hub is None:
            hub = Hub(self._factory.mktemp("hub"))
            asyncio.run(hub.__aenter__())
            self._hub = hub
        self._hub.sound = False  # until a judge says so
        return self._hub

    @staticmethod
    def _ready(hub: Hub) -> bool:
        with suppress(AssertionError, TimeoutError):
            asyncio.run(hub.ready(timeout=20))
            return True
        return False

    def stop(self) -> None:
        hub, self._hub = self._hub, None
        if hub is not None:
            asyncio.run(hub.__aexit__())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.xdist_group(item.path.stem))  # tests of a file share a hub


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Shared]:
    made = _Shared(tmp_path_factory)
    yield made
    made.stop()


@pytest.fixture
def hub(shared: _Shared) -> Hub:
    return shared.get()


@pytest.fixture
async def oracle(hub: Hub) -> AsyncIterator[Oracle]:
    """Knows what was there before the test."""
    yield await Oracle.ready(hub)


@pytest.fixture
def seed() -> int:
    """Printed, and given back with WASL_FAILURE_SEED to run the same faults again."""
    value = int(os.environ.get("WASL_FAILURE_SEED", random.randrange(1_000_000)))
    print(f"WASL_FAILURE_SEED={value}")
    return value


@pytest.fixture
def away_seconds() -> float:
    """How long a server is away; WASL_FAILURE_AWAY_SECONDS."""
    return float(os.environ.get("WASL_FAILURE_AWAY_SECONDS", "15"))


@pytest.fixture
def dice(seed: int) -> random.Random:
    return random.Random(seed)
