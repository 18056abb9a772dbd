# SPDX-License-Identifier: Apache-2.0
"""The dispatch loop: one task per lane, so a slow or dead partner holds up its own lane only."""

import asyncio
import random
from collections.abc import Callable

from wasl_schemas.lifecycle import DispatchState

from wasl_platform_gateway.calling import Calls, Hub, Tuning
from wasl_platform_gateway.domain.lane import Rate
from wasl_platform_gateway.domain.ledger import Dispatch, Plan
from wasl_platform_gateway.door import Door
from wasl_platform_gateway.following import Following
from wasl_platform_gateway.metrics import (
    record_backlog,
    record_circuit,
    record_paused,
)
from wasl_platform_gateway.repository import LANES, LEDGER, control_of
from wasl_platform_gateway.sending import Sending
from wasl_platform_gateway.wording import Wording

#: Seconds between looks of a gateway that has nothing to do.
_QUIET = 1.0


class Dispatcher:
    """Works the lanes of one connector: sends first, then follows.

    ``ground_text`` puts the ground of a row into words; ``objection``: why a row may not go to its
    partner by what was agreed with it, None: it may; ``jitter`` gives 0..1.
    """

    def __init__(
        self,
        hub: Hub,
        door: Door,
        plan: Plan,
        tuning: Tuning,
        *,
        rate: Rate | None = None,
        ground_text: Callable[[Dispatch], str] = lambda _: "",
        objection: Callable[[Dispatch], str | None] = lambda _: None,
        stopping: Callable[[], bool] = lambda: False,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._hub = hub
        self._door = door
        self._calls = Calls(hub, door, tuning, rate=rate, stopping=stopping, jitter=jitter)
        self._polls = plan.poll_seconds is not None
        wording = Wording(hub, ground_text, test=tuning.test)
        self._sending = Sending(self._calls, wording, plan, objection)
        self._following = Following(self._calls, wording, plan)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._looked = self._poked = float("-inf")

    def poke(self) -> None:
        """Something is about to be stored that is due at once."""
        self._poked = self._hub.clock.monotonic()

    async def tick(self) -> None:
        """Start a task for every lane without one. Raises what ended a lane's task.

        Called often; looks into the ledger at each turn for a while after a poke, else once a
        second.
        """
        now = self._hub.clock.monotonic()
        if not self._tasks and now - self._looked < _QUIET and now - self._poked > 2 * _QUIET:
            return
        self._looked = now
        ended = [partner for partner, task in self._tasks.items() if task.done()]
        errors = [e for e in (self._tasks.pop(p).exception() for p in ended) if e is not None]
        if await self._anything_due():
            self._calls.paused = (await control_of(self._hub.store, self._door.name)).paused
            if not self._calls.idle():
                for partner in await self._lanes_to_work():
                    self._tasks[partner] = asyncio.create_task(self.run_lane(partner))
        if errors:
            raise errors[0]

    async def _anything_due(self) -> bool:
        """The one query of a quiet gateway."""
        due = {"connector": self._door.name, "due_at": {"$lte": self._hub.clock.now()}}
        return bool(await self._hub.store.find(LEDGER, due, limit=1))

    async def _lanes_to_work(self) -> list[str]:
        """Partners without a task, whose lane is open or has waits to end without a call."""
        now = self._hub.clock.now()
        docs = await self._hub.store.find(LANES, {"connector": self._door.name})
        lanes = [lane for lane in map(LANES.decode, docs) if lane.partner not in self._tasks]
        return [
            x.partner for x in lanes if not self._polls or x.allowance(1, now, self._calls.rate)
        ]

    async def drain(self) -> None:
        """Wait until what was called is stored. Call after ``stopping`` turned true."""
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def run_lane(self, partner: str) -> None:
        """Work until nothing is due in this lane."""
        while not self._calls.idle():
            sent = await self._sending.run(partner)
            followed = await self._following.run(partner)
            if not (sent or followed):
                return

    async def measure(self) -> None:
        """Refresh the gauges of the backlog, the switch and the circuits."""
        store, name = self._hub.store, self._door.name
        control = await control_of(store, name)
        record_paused(self._hub.metrics, name, paused=control.paused)
        for doc in await store.find(LANES, {"connector": name}):
            lane = LANES.decode(doc)
            shut = lane.open_until is not None
            record_circuit(self._hub.metrics, name, lane.partner, is_open=shut)
        # What waits for its contact's hours, or for others to leave with, is not late.
        waiting = {
            "connector": name,
            "state": DispatchState.REQUESTED.value,
            "ready_at": {"$lte": self._hub.clock.now()},
        }
        in_doubt = {"connector": name, "state": DispatchState.AMBIGUOUS.value}
        oldest = await store.find(LEDGER, waiting, sort=(("requested_at", 1),), limit=1)
        record_backlog(
            self._hub.metrics,
            name,
            await store.count(LEDGER, waiting),
            oldest[0]["ready_at"] if oldest else None,
            await store.count(LEDGER, in_doubt),
        )
