# SPDX-License-Identifier: Apache-2.0
"""Rules about what happens when something breaks on the way, or much happens at once."""

import asyncio
from collections import Counter
from typing import Any

from wasl_connector_sdk.conformance import faults, guards
from wasl_connector_sdk.conformance.bench import (
    Bench,
    arrival,
    demand,
    demand_none,
    known,
    rule,
    skip,
)
from wasl_connector_sdk.conformance.faults import Hang
from wasl_connector_sdk.conformance.samples import key_of
from wasl_connector_sdk.conformance.world import name_of, outcome, settled
from wasl_connector_sdk.contract import SupportsLookup, SupportsSteps
from wasl_connector_sdk.errors import RateLimited
from wasl_connector_sdk.models import Receipt


class TroubleRules(Bench):
    @rule
    async def test_error_classes(self) -> None:
        """error-classes: each fault of transport or status ends in the error for it."""
        await self._needs_http()
        await self._judge((*faults.UNREACHABLE, *faults.NO_ANSWER, *faults.STATUSES))

    @rule
    async def test_unreadable_answers(self) -> None:
        """unreadable-answers: a 2xx that cannot be read is ambiguous, or a receipt by our key."""
        await self._needs_http()
        await self._judge(faults.UNREADABLE)

    @rule
    async def test_retry_after(self) -> None:
        """retry-after: RateLimited carries Retry-After in seconds, told as number or as date."""
        await self._needs_http()
        for fault in faults.WAITS:
            async with self._world() as world, world.opened() as connector:
                world.wire.arm(fault.play)
                result = await outcome(world.send(connector, self._sample(1)))
            if not isinstance(result, RateLimited):
                skip("429 is answered by something else; see error-classes")
            demand(
                result.retry_after == faults.WAIT,
                f"{fault.name}: retry_after is {result.retry_after}, expected {faults.WAIT}",
            )

    @rule
    async def test_huge_answers(self) -> None:
        """huge-answers: reading stops at a limit, whatever is asked."""
        await self._needs_http()
        fault = faults.UNREADABLE[-1]
        for name, ask in self._questions():
            async for world, _, _ in self._disturbed(fault, ask):
                read = max((stream.read for stream in world.wire.endless), default=0)
                demand(read < faults.HUGE, f"{name} read all of {read >> 20} MiB")

    @rule
    async def test_redirects(self) -> None:
        """redirects: none is followed, and each is an error."""
        await self._needs_http()
        await self._judge(faults.REDIRECTS)
        for fault in faults.REDIRECTS:
            for name, ask in self._questions():
                async for world, _, _ in self._disturbed(fault, ask):
                    went = [r for r in world.wire.requests if r.url.host == faults.ELSEWHERE]
                    demand(not went, f"{name} followed a redirect ({fault.name}) to another host")

    @rule
    async def test_no_retries(self) -> None:
        """no-retries: after a fault nothing is sent again; the gateway retries."""
        await self._needs_http()
        decisive, _ = await self._course()
        async with self._world() as world, world.opened() as connector:
            start = len(world.wire.requests)
            await self._sent(world, connector, 1)
            usual = Counter((r.method, str(r.url)) for r in world.wire.requests[start:])
        broken = []
        for fault in (*faults.UNREACHABLE, *faults.NO_ANSWER, *faults.STATUSES):
            if fault.name in {"401", "403"}:
                continue  # a session that ran out may be renewed
            async with self._world() as world, world.opened() as connector:
                start = len(world.wire.requests)
                world.wire.arm(fault.play, decisive)
                await outcome(world.send(connector, self._sample(1)))
                sent = Counter((r.method, str(r.url)) for r in world.wire.requests[start:])
            if any(count > usual[request] > 0 for request, count in sent.items()):
                broken.append(f"{fault.name}: what was sent is sent again")
        demand_none(broken, "a connector must not retry")

    @rule
    async def test_recovers_once(self) -> None:
        """recovers-once: whatever breaks, doing as the gateway does ends with one report at most.

        And with exactly one, unless a person has to find out or the error was final.
        """
        await self._needs_http()
        _, length = await self._course()
        broken = []
        for fault in (*faults.MATRIX, *faults.UNREADABLE):
            for position in range(length):
                async with self._world() as world:
                    submission = self._sample(1)
                    async with world.opened() as connector:
                        world.wire.arm(fault.play, position)
                        first = await outcome(world.send(connector, submission))
                    world.wire.disarm()
                    last: Any = first
                    if isinstance(first, Exception):
                        last = await outcome(world.resolve(first, submission))
                    reports, where = world.reports, f"{fault.name} at request {position + 1}"
                if isinstance(last, Exception):
                    broken.append(f"{where}: then {name_of(first)}, then {name_of(last)}")
                elif reports > 1 or (isinstance(last, Receipt) and reports == 0):
                    broken.append(f"{where}: {name_of(first)}, then {reports} reports")
        demand_none(broken, "not one report after recovery")

    @rule
    async def test_steps_resume(self) -> None:
        """steps-resume: a submission in steps, killed anywhere and called again, is one report."""
        if not issubclass(self.connector, SupportsSteps):
            skip("the connector submits in one step")
        await self._needs_http()
        _, length = await self._course()
        broken = []
        for position in range(length):
            for arrives in (False, True):
                async with self._world() as world:
                    submission = self._sample(1)
                    await self._killed(world, submission, Hang(arrives=arrives), position)
                    world.wire.disarm()
                    async with world.opened() as connector:
                        result = await outcome(world.send(connector, submission))
                    if not isinstance(result, Receipt) or world.reports != 1:
                        when = "after" if arrives else "before"
                        broken.append(
                            f"killed {when} request {position + 1} arrived: {name_of(result)}, "
                            f"{world.reports} reports"
                        )
        demand_none(broken, "a submission in steps was not resumed")

    @rule
    async def test_cancellation(self) -> None:
        """cancellation: a cancelled call ends at once, leaves no task, and the next one works."""
        await self._needs_http()
        _, length = await self._course()
        for position in range(length):
            async with self._world() as world, world.opened() as connector:
                before = asyncio.all_tasks()
                hang = Hang()
                world.wire.arm(hang, position)
                task = asyncio.ensure_future(world.send(connector, self._sample(1)))
                await arrival(hang, task)
                task.cancel()
                done, _ = await asyncio.wait({task}, timeout=2)
                demand(done, "a cancelled submit does not end")
                demand(task.cancelled(), "a cancelled submit must let the cancellation out")
                demand(not await settled(before), "a cancelled submit leaves a task behind")
                world.wire.disarm()
                async with asyncio.timeout(5):
                    result = await outcome(world.send(connector, self._sample(2)))
                demand(isinstance(result, Receipt), f"the next submit ends in {name_of(result)}")

    @rule
    async def test_concurrency(self) -> None:
        """concurrency: 50 submissions at once share the client and make 50 reports."""
        self._needs_reports()
        async with self._world() as world, world.opened() as connector:
            with guards.clients() as made:
                numbers = range(1, 51)
                work = [world.send(connector, self._sample(number)) for number in numbers]
                results = await asyncio.gather(*map(outcome, work))
                demand(not made, "a client was made for a submission; use rt.http")
            failed = {name_of(r) for r in results if not isinstance(r, Receipt)}
            demand(not failed, f"of 50 at once some ended in {', '.join(sorted(failed))}")
            demand(world.reports == 50, f"50 submissions at once made {world.reports} reports")
            references = [receipt.reference for receipt in results if known(receipt)]
            demand(len(set(references)) == 50, "two submissions got one reference")
            if isinstance(connector, SupportsLookup):
                for number, reference in zip(numbers, references, strict=True):
                    found = await connector.find(key_of(number))
                    demand(found and found.reference == reference, "references were mixed up")
