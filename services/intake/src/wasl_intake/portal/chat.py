# SPDX-License-Identifier: Apache-2.0
"""The thread, live: server-sent events, held polls where a proxy swallows those, and plain reloads.

The cookie opens the thread, and only writing prolongs it: a page left open closes by itself. Nobody
is said to be there: only when people usually answer.
"""

import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

from fastapi import FastAPI, Response
from starlette.responses import StreamingResponse
from wasl_chassis.failures import Overloaded, Retryable
from wasl_chassis.forms import first

from wasl_intake.domain.submission import MESSAGE_MAX
from wasl_intake.handlers import IntakeHandlers, ThreadLine, UnknownReceipt
from wasl_intake.portal.follow import (
    MESSAGE_FIELDS,
    PART,
    Draft,
    again,
    opened,
    presence,
    seconds_left,
    wait,
    write,
)
from wasl_intake.portal.site import Page, Site

#: Seconds between signs of life, which find out who has gone; and until a held poll answers.
HEARTBEAT, HOLD = 15.0, 25.0
#: Seconds between reloads, for who asked for them and has no script.
RELOAD = 30
#: Lines told to who does not say what they have.
_LATEST = 20
_JSON = "application/json"


class ChatPages:
    def __init__(
        self,
        site: Site,
        handlers: IntakeHandlers,
        *,
        heartbeat: float = HEARTBEAT,
        hold: float = HOLD,
    ) -> None:
        self._site, self._handlers = site, handlers
        self._heartbeat, self._hold = heartbeat, hold

    def register(self, app: FastAPI) -> None:
        add = self._site.add
        add(app, "follow/chat", get=self.chat, post=self.act)
        add(app, "follow/events", get=self.events)
        add(app, "follow/updates", post=self.updates)

    # -- the page --------------------------------------------------------------------------------

    async def chat(self, page: Page) -> Response:
        kept = page.state.get(PART)
        response = await self._show(page, Draft(text=kept.get("typed", "")), 200)
        if "typed" in kept:
            again(page, typed=None)
        return response

    async def _show(self, page: Page, draft: Draft, status: int) -> Response:
        following = await opened(page, self._handlers)
        if following is None or not following.can_withdraw:
            return page.go("follow")
        danger = bool(following.report.danger_now)
        return page.show(
            "follow/chat.html",
            status,
            form_id="write",
            thread=following.thread,
            presence=presence(page, self._site.clock.now()),
            numbers=page.words.numbers(page.lang, phones_only=True) if danger else (),
            draft=draft,
            errors=draft.errors,
            message_max=MESSAGE_MAX,
            reload=RELOAD if page.state.get(PART).get("reload") else 0,
        )

    async def act(self, page: Page) -> Response:
        fields = await page.form(MESSAGE_FIELDS)
        following = await opened(page, self._handlers)
        if following is None:
            if first(fields, "message"):
                wait(page, fields)
            return page.go("follow")
        again(page)
        if other := page.switched(fields):
            again(page, typed=first(fields, "message"))
            return page.go("follow/chat", other)
        match first(fields, "action"):
            case "reload":
                again(page, reload=not page.state.get(PART).get("reload"))
            case "refresh":
                pass
            case _:
                draft = await write(page, self._handlers, fields)
                if draft is not None:
                    return await self._show(page, draft, draft.status)
                if page.request.headers.get("accept") == _JSON:
                    now = await self._handlers.follow(page.state.get(PART)["code"])
                    return self._answer(page, _after(now.thread, ""))
        return page.go("follow/chat")

    # -- live ------------------------------------------------------------------------------------

    async def events(self, page: Page) -> Response:
        """Messages as they come. 401: the receipt must be typed again; 503: poll instead."""
        headers = {"x-accel-buffering": "no"}
        if page.request.method == "HEAD":
            return Response(headers=headers, media_type="text/event-stream")
        following = await opened(page, self._handlers)
        if following is None or not following.can_withdraw:
            return Response(status_code=401)
        if not self._handlers.watch.room(following.report.report_id):
            return Response(status_code=503, headers={"retry-after": "15"})
        last = page.request.headers.get("last-event-id", "")
        stream = self._stream(page, following.report.report_id, last)
        return StreamingResponse(stream, headers=headers, media_type="text/event-stream")

    async def _stream(self, page: Page, report_id: str, last: str) -> AsyncIterator[bytes]:
        code, ends = page.state.get(PART)["code"], seconds_left(page)
        begun = self._site.clock.now()
        told: set[str] = set()
        with self._handlers.watch.listen(report_id) as listener:
            # Told at once, so that the script learns whether something on the way holds it back.
            yield b"retry: 3000\nevent: here\ndata: {}\n\n"
            while True:
                try:
                    following = await self._handlers.follow(code)
                except (Retryable, UnknownReceipt):
                    return  # the browser asks again, and is told by the status
                if not following.can_withdraw:
                    yield b"event: over\ndata: {}\n\n"
                    return
                for line in _after(following.thread, last):
                    if line.message_id not in told:
                        told.add(line.message_id)
                        data = json.dumps(self._line(page, line), ensure_ascii=False)
                        yield f"id: {line.message_id}\ndata: {data}\n\n".encode()
                while not await listener.news(self._heartbeat):
                    if (self._site.clock.now() - begun).total_seconds() >= ends:
                        yield b"event: over\ndata: {}\n\n"
                        return
                    yield b": here\n\n"
                if listener.ended:
                    return

    async def updates(self, page: Page) -> Response:
        """What came after the line ``last``: at once when there is something, else held a while."""
        fields = await page.form(("last",))
        last = first(fields, "last")
        following = await opened(page, self._handlers)
        if following is None or not following.can_withdraw:
            return Response(status_code=401)
        report_id = following.report.report_id
        with contextlib.ExitStack() as stack:
            # Without room it is answered at once, and the script asks less often.
            listener = None
            with contextlib.suppress(Overloaded):
                listener = stack.enter_context(self._handlers.watch.listen(report_id))
            # Read only now: what is stored from here on wakes the listener.
            following = await self._handlers.follow(page.state.get(PART)["code"])
            new = _after(following.thread, last)
            if listener is not None and not new and await listener.news(self._hold):
                following = await self._handlers.follow(page.state.get(PART)["code"])
                new = _after(following.thread, last)
        return self._answer(page, new)

    def _answer(self, page: Page, lines: Sequence[ThreadLine]) -> Response:
        body = {"lines": [self._line(page, line) for line in lines]}
        return Response(json.dumps(body, ensure_ascii=False), media_type=_JSON)

    @staticmethod
    def _line(page: Page, line: ThreadLine) -> dict[str, Any]:
        """As the template shows it, in the page's language."""
        return {
            "id": line.message_id,
            "us": line.by_staff,
            "who": page.say("The team") if line.by_staff else page.say("You"),
            "question": page.say("Question") if line.question else "",
            "text": page.say("This text was erased.") if line.text is None else line.text,
            "iso": line.time.isoformat(),
            "time": page.words.moment(page.lang, line.time),
        }


def _after(thread: Sequence[ThreadLine], last: str) -> list[ThreadLine]:
    """The lines stored since ``last``; the latest few when that is not known here.

    Of those stored in the same moment all are given: whoever asks knows by the id what they have.
    """
    ordered = sorted(thread, key=lambda line: line.kept_at)
    for line in ordered:
        if line.message_id == last:
            return [x for x in ordered if x.kept_at >= line.kept_at and x is not line]
    return ordered[-_LATEST:]
