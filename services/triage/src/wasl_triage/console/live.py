# SPDX-License-Identifier: Apache-2.0
"""Server-sent events: a hint that the queue or a case changed, and nothing of what it is.

Each open page asks for one word every few seconds and hears of it when it is another. A page that
comes in vain is told to try later; without script nobody misses anything but the hint.
"""

import asyncio
from collections.abc import AsyncIterator, Callable

from fastapi import Response
from fastapi.responses import StreamingResponse

from wasl_triage.console.site import HINTS, Page, Site
from wasl_triage.desk import Desk, NoSuchCase
from wasl_triage.domain.people import Permission

#: Seconds between two looks, and looks until the browser is to connect anew (and be checked anew).
EVERY = 3.0
LOOKS = 200
#: Pages of one process that may be open at once.
MOST = 200
_TICK = 0.25


class LivePages:
    def __init__(self, site: Site, desk: Desk, stopping: Callable[[], bool]) -> None:
        self._desk, self._stopping = desk, stopping
        self._open = 0
        site.add(HINTS, get=self._live, needs=Permission.QUEUE)

    async def _live(self, page: Page) -> Response:
        of = page.request.query_params.get("of", "queue")
        case_id = of.removeprefix("case:") if of.startswith("case:") else None
        now = await self._desk.pulse(page.person, case_id)
        # What changed between the page and its stream is news, too.
        before = page.request.query_params.get("since", now)
        if page.request.method == "HEAD":  # nothing would be read of a stream without a body
            return Response(media_type="text/event-stream")
        if self._open >= MOST:
            return Response(status_code=503, headers={"retry-after": "30"})
        stream = self._hints(page, case_id, before)
        return StreamingResponse(stream, media_type="text/event-stream")

    async def _hints(self, page: Page, case_id: str | None, before: str) -> AsyncIterator[str]:
        self._open += 1
        try:
            yield f"retry: {int(EVERY * 1000)}\n\n"
            for _ in range(LOOKS):
                if not await self._wait(page):
                    return
                if await page.site.door.signed_in(page.request) is None:
                    return
                try:
                    now = await self._desk.pulse(page.person, case_id)
                except NoSuchCase:  # moved out of sight
                    now = ""
                yield ":\n\n" if now == before else "event: changed\ndata: \n\n"
                before = now
        finally:
            self._open -= 1

    async def _wait(self, page: Page) -> bool:
        """False when the page is closed or the service stops."""
        waited = 0.0
        while waited < EVERY:
            if self._stopping() or await page.request.is_disconnected():
                return False
            await asyncio.sleep(_TICK)
            waited += _TICK
        return True
