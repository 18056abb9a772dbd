# SPDX-License-Identifier: Apache-2.0
import asyncio

import pytest
from wasl_chassis.batcher import Batcher
from wasl_chassis.failures import Conflict, Overloaded, Permanent, Retryable
from wasl_chassis.store import Changes, OutboxRow
from wasl_chassis.testing import FakeClock

NOW = FakeClock().now()


def change(name: str) -> Changes:
    return Changes(outbox=[OutboxRow(name, "t", "k", b"", (), NOW)])


class Sink:
    """Commits into a list; refuses what contains a name of ``bad``."""

    def __init__(self, bad: dict[str, Exception] | None = None) -> None:
        self.commits: list[list[str]] = []
        self.bad = bad or {}
        self.gate = asyncio.Event()
        self.gate.set()

    async def commit(self, changes: Changes) -> None:
        await self.gate.wait()
        names = [row.id for row in changes.outbox]
        for name in names:
            if name in self.bad:
                raise self.bad[name]
        self.commits.append(names)


async def test_requests_gather_while_a_commit_is_under_way() -> None:
    sink = Sink()
    batcher = Batcher(sink.commit, max_batch=50)
    sink.gate.clear()
    tasks = [asyncio.create_task(batcher.submit(change(str(i)))) for i in range(101)]
    await asyncio.sleep(0)
    sink.gate.set()
    await asyncio.gather(*tasks)
    assert sorted(n for c in sink.commits for n in c) == sorted(map(str, range(101)))
    assert len(sink.commits) <= 4
    assert max(map(len, sink.commits)) <= 50


@pytest.mark.parametrize("error", [Conflict("taken"), Permanent("unstorable")])
async def test_each_caller_gets_its_own_error(error) -> None:
    sink = Sink({"3": error})
    batcher = Batcher(sink.commit)
    results = await asyncio.gather(
        *[batcher.submit(change(str(i))) for i in range(6)], return_exceptions=True
    )
    assert results == [None, None, None, error, None, None]
    assert sorted(n for c in sink.commits for n in c) == ["0", "1", "2", "4", "5"]


async def test_an_absent_database_is_told_to_all_without_trying_each() -> None:
    tries = 0

    async def commit(_changes: Changes) -> None:
        nonlocal tries
        tries += 1
        raise Retryable("away")

    batcher = Batcher(commit)
    results = await asyncio.gather(
        *[batcher.submit(change(str(i))) for i in range(20)], return_exceptions=True
    )
    assert all(isinstance(r, Retryable) for r in results)
    assert tries <= 2


async def test_a_full_queue_says_so_at_once() -> None:
    sink = Sink()
    sink.gate.clear()
    batcher = Batcher(sink.commit, max_batch=1, max_waiting=3)
    tasks = [asyncio.create_task(batcher.submit(change("0")))]
    await asyncio.sleep(0.01)  # its commit is under way
    tasks += [asyncio.create_task(batcher.submit(change(str(i)))) for i in range(1, 4)]
    await asyncio.sleep(0.01)
    with pytest.raises(Overloaded):
        await batcher.submit(change("x"))
    sink.gate.set()
    await asyncio.gather(*tasks)
    await batcher.drain()
    assert len(sink.commits) == 4
