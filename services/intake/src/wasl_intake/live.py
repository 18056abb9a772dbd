# SPDX-License-Identifier: Apache-2.0
"""Wakes the open threads of a process when something was added to them.

One look at the store for all of them, every few seconds and only while one is open, finds what any
replica stored; a message this replica consumed is looked for at once. Woken in vain is harmless:
whoever is woken reads the thread and knows what it has shown. Nothing is written, and who reads is
remembered only as long as the page is open.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from wasl_chassis.clock import Clock
from wasl_chassis.failures import Overloaded, Retryable
from wasl_chassis.store import Store

from wasl_intake.repository import MESSAGES

log = logging.getLogger(__name__)

#: Replicas' clocks may differ, and a commit may take, by this much.
#: Messages one look takes; in a flood the page's next poll or reload shows the rest.
_MOST_NEW = 2_000
OVERLAP = timedelta(seconds=60)
#: Open pages of one thread.
_EACH = 4
#: Seconds after which a hint, or the stop of the service, is noticed.
_TICK = 0.25


class Listener:
    """One open thread."""

    def __init__(self, report_id: str) -> None:
        self.report_id = report_id
        #: The service stops: say goodbye, so that the browser connects to another replica.
        self.ended = False
        self._woken = asyncio.Event()

    async def news(self, seconds: float) -> bool:
        """Wait until there may be something new; False when the time passed without."""
        try:
            await asyncio.wait_for(self._woken.wait(), seconds)
        except TimeoutError:
            return False
        self._woken.clear()
        return True

    def wake(self, *, ended: bool = False) -> None:
        self.ended |= ended
        self._woken.set()


class Watch:
    """The open threads of this process. ``most``: how many there may be."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        stopping: Callable[[], bool] = lambda: False,
        every: float = 2.0,
        most: int = 200,
    ) -> None:
        self._store, self._clock, self._stopping = store, clock, stopping
        self._every, self._most = every, most
        self._listeners: set[Listener] = set()
        self._hinted = False
        self._seen: dict[str, datetime] = {}
        self._task: asyncio.Task[None] | None = None

    @property
    def open(self) -> int:
        return len(self._listeners)

    def room(self, report_id: str) -> bool:
        """Whether one more may be open: not too many in all, and of one thread, and no stop."""
        same = sum(listener.report_id == report_id for listener in self._listeners)
        return len(self._listeners) < self._most and same < _EACH and not self._stopping()

    @contextlib.contextmanager
    def listen(self, report_id: str) -> Iterator[Listener]:
        """Be woken for one thread. Raises Overloaded when there is no room."""
        if not self.room(report_id):
            raise Overloaded
        listener = Listener(report_id)
        self._listeners.add(listener)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    def hint(self) -> None:
        """This process is about to store a message: look soon, not only at the next turn."""
        self._hinted = True

    async def _run(self) -> None:
        down, waited = False, self._every
        while self._listeners and not self._stopping():
            if self._hinted or waited >= self._every:
                self._hinted, waited = False, 0.0
                try:
                    await self._look()
                except Retryable:
                    if not down:
                        log.warning("open threads wait: the database is away")
                    down = True
                else:
                    down = False
            await asyncio.sleep(_TICK)
            waited += _TICK
        for listener in self._listeners:
            listener.wake(ended=True)

    async def _look(self) -> None:
        since = self._clock.now() - OVERLAP
        found = await self._store.find(
            MESSAGES, {"kept_at": {"$gte": since}}, sort=(("kept_at", -1),), limit=_MOST_NEW
        )
        new = {d["_id"]: d for d in found if d["_id"] not in self._seen}
        self._seen = {d["_id"]: d["kept_at"] for d in found}
        changed = {d["report_id"] for d in new.values()}
        for listener in self._listeners:
            if listener.report_id in changed:
                listener.wake()
