# SPDX-License-Identifier: Apache-2.0
"""Intake as a real server on loopback, and a person in a real browser in front of it.

Whatever a test does, at its end no request has left the server's origin but what the test allowed,
no address held a word the person typed, and the console is empty.
"""

import asyncio
import os
import re
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import unquote, urlsplit

import uvicorn
from fastapi import FastAPI
from intake_hub import Hub
from playwright.sync_api import (
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    Response,
    Route,
    expect,
)
from wasl_intake import bootstrap
from wasl_intake.domain.flood import Demand
from wasl_intake.gate import Gate
from wasl_intake.handlers import IntakeHandlers
from wasl_schemas.country_pack import load_country_pack

ROOT = Path(__file__).parents[2]
T = TypeVar("T")
#: A typing mistake would otherwise be a wait of half a minute.
PATIENCE_MS = 8_000
#: What the browser itself writes about an answer that refuses something.
_REFUSED = re.compile(r"^Failed to load resource: .* status of (404|422|429|503)")


class Served:
    """An application on loopback, in a thread of its own; ``stopping``: what streams is to end."""

    app: FastAPI
    url = ""
    stopping = False

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something where the server lives."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    @contextmanager
    def serving(self) -> Iterator[Self]:
        config = uvicorn.Config(
            self.app, "127.0.0.1", 0, log_level="warning", access_log=False, server_header=False
        )
        server = uvicorn.Server(config)
        self._loop = asyncio.new_event_loop()
        self.stopping = False
        ready = threading.Event()

        async def serve() -> None:
            task = asyncio.ensure_future(server.serve())
            while not server.started and not task.done():
                await asyncio.sleep(0.01)
            ready.set()
            await task

        thread = threading.Thread(target=lambda: self._loop.run_until_complete(serve()))
        thread.start()
        try:
            assert ready.wait(20), "the server did not start"
            port = server.servers[0].sockets[0].getsockname()[1]
            self.url = f"http://127.0.0.1:{port}"
            yield self
        finally:
            self.stopping = server.should_exit = True
            thread.join(20)
            self._loop.close()


class World(Served):
    """The application of intake with Morocco's pack on a store in memory."""

    def __init__(self) -> None:
        self.hub = Hub()
        self.pack = load_country_pack(ROOT / "deploy" / "country-packs" / "ma")
        pepper = b"browser tests only".ljust(32, b".")
        self.handlers = IntakeHandlers(self.hub, self.pack, pepper=pepper)
        # Many tests at once are no flood: the gate asks what it asks in calm.
        gate = Gate(
            self.pack,
            self.hub.clock,
            self.hub.metrics,
            pepper=pepper,
            rate=1_000_000,
            similar=1_000,
            most=Demand(20, 60),
        )
        self.app = bootstrap.compose(
            self.handlers,
            self.pack,
            self.hub.metrics,
            pepper=pepper,
            body_limit=65_536,
            gate=gate,
            clock=self.hub.clock,
        )

    def later(self, **delta: float) -> None:
        self.hub.clock.advance(timedelta(**delta))


#: Pages to read.
INFORMATION = ("help", "advice", "about", "privacy", "accessibility", "feedback")


@dataclass(frozen=True)
class Look:
    """With what somebody comes."""

    lang: str
    width: int = 360
    height: int = 740
    script: bool = True
    scheme: str = "light"
    scale: float = 1

    def __str__(self) -> str:
        size = {360: "phone", 1280: "desktop"}.get(self.width, str(self.width))
        return f"{self.lang}-{size}-{'script' if self.script else 'plain'}"


#: Every language that is complete in Morocco's pack but the source, on a telephone and a desk, with
#: and without script. WASL_BROWSER_LOOKS=pairs: the half in which each two of these meet once.
LOOKS = [
    Look(lang, width, height, script)
    for lang in ("ar", "fr")
    for width, height in ((360, 740), (1280, 900))
    for script in (True, False)
    if os.environ.get("WASL_BROWSER_LOOKS") != "pairs" or (lang == "ar") ^ (width == 360) ^ script
]


class Visitor:
    """A person at a browser."""

    def __init__(self, world: World, context: BrowserContext, look: Look) -> None:
        self.world, self.context, self.look, self.lang = world, context, look, look.lang
        self.requests: list[Request] = []
        self.answers: list[Response] = []
        #: Addresses outside; ``neutral`` is the one the exit leads to.
        self.outside: list[str] = []
        self.secrets: list[str] = []
        self.complaints: list[str] = []
        self.receipt = ""
        context.set_default_timeout(PATIENCE_MS)
        context.route(re.compile(f"^(?!{re.escape(world.url)}/|data:)"), self._elsewhere)
        context.on("request", self._request)
        context.on("response", self._response)
        context.on("console", self._console)
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        self.page: Page = context.new_page()

    def _elsewhere(self, route: Route) -> None:
        self.outside.append(route.request.url)
        route.fulfill(body="<!doctype html><title>Elsewhere</title>", content_type="text/html")

    def _request(self, request: Request) -> None:
        self.requests.append(request)

    def _response(self, response: Response) -> None:
        self.answers.append(response)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not _REFUSED.match(message.text):
            self.complaints.append(message.text)

    # -- going about -----------------------------------------------------------------------------

    @property
    def path(self) -> str:
        """Below the language."""
        return urlsplit(self.page.url).path.removeprefix(f"/{self.lang}/")

    @property
    def neutral(self) -> str:
        return str(self.world.pack.portal.exits[self.lang])

    def open(self, path: str, status: int = 200) -> None:
        answer = self.page.goto(f"{self.world.url}/{self.lang}/{path}")
        assert answer is not None
        assert answer.status == status, (path, answer.status)

    def answer(self, **answers: Any) -> None:
        """Fill in the form of this page: name → text, choice, or choices."""
        for name, given in answers.items():
            for value in given if isinstance(given, list) else [given]:
                found = self.page.locator(f'main [name="{name}"]')
                if found.first.get_attribute("type") in ("radio", "checkbox"):
                    self.page.check(f'[name="{name}"][value="{value}"]')
                else:
                    found.fill(value)
                    if len(value) > 5:
                        self.secrets.append(value)

    def press(self, selector: str) -> None:
        """A button that leads to another page, and that page whole: before, nothing hears a key."""
        self.page.locator(selector).first.click()
        self.page.wait_for_load_state()

    def go_on(self) -> None:
        """The page's main button."""
        self.press("form .buttons button:not(.second, .link)")

    def step(self, number: int, **answers: Any) -> None:
        assert self.path == f"report/{number}", self.path
        self.answer(**answers)
        self.go_on()

    def work(self) -> None:
        """What is asked before sending: the browser's work, or time that goes by."""
        asked = self.page.locator("form[data-difficulty]").get_attribute("data-difficulty")
        if self.look.script and asked != "0":
            expect(self.page.locator("input[name=answer]")).to_have_value(re.compile(r".+"))
        else:
            self.world.later(seconds=3)

    def send(self) -> None:
        self.work()
        self.press("#send")
        self._keep()

    def send_quick(self) -> None:
        """The short path asks for no work in calm."""
        self.press("#send")
        self._keep()

    def _keep(self) -> None:
        assert self.path == "receipt", self.page.locator("main").inner_text()
        self.receipt = " ".join(self.words())
        letters = self.page.locator("output.code").all_text_contents()
        self.secrets += [self.receipt, *letters, *self.words()]

    def words(self) -> list[str]:
        return [w.strip() for w in self.page.locator(".words li").all_text_contents()]

    def report(self, until: int = 9, **more: Any) -> None:
        """Through the steps with the plainest answers and these; to step ``until``, or its end."""
        given = {
            "danger": "no",
            "group": "abuse",
            "links": "https://example.org/post/12345",
            "affected": "other",
            "age": "adult",
            "narrative": "Somebody wrote three letters to me.",
        } | more
        fields = (
            ("danger",),
            ("group",),
            ("category",),
            ("links", "account"),
            ("affected", "age", "risk"),
            ("narrative",),
            ("email",),
        )
        self.open("report/1")
        for number, names in enumerate(fields, 1):
            if number >= until:
                return
            if self.path == f"report/{number}":
                self.step(number, **{n: given[n] for n in names if given.get(n)})
        if until > len(fields) + 1:
            self.send()

    def back(self) -> None:
        """The browser's own way back. Asked by script, for the driver's own loses a page that is
        just being changed."""
        with self.page.expect_navigation():
            self.page.evaluate("history.back()")

    def until(self, true: Callable[[], bool]) -> None:
        """Wait for something outside the page. Raises AssertionError."""
        for _ in range(PATIENCE_MS // 50):
            if true():
                return
            self.page.wait_for_timeout(50)
        raise AssertionError("it did not happen")

    def states(self) -> Iterator[str]:
        """Every page in every state it has, one after the other; the name of each."""
        page = self.page
        self.open("")
        yield "home"
        for path in INFORMATION:
            self.open(path)
            yield path
        self.open("feedback/follow")
        yield "feedback-open"
        self.open("quick")
        yield "quick"
        self.go_on()
        yield "quick-error"
        self.open("report/1")
        yield "report-1"
        self.step(1, danger="yes")
        yield "report-2-danger"
        self.step(2, group="intimate")
        yield "report-3"
        self.step(3, category="intimate_image_abuse")
        yield "report-4"
        self.step(4, links="not a link\nhttps://example.org/post/12345")
        yield "report-4-error"
        self.step(4, links="https://example.org/post/12345")
        yield "report-5"
        self.step(5, affected="self", age="adult", risk=["unsafe_place"])
        yield "report-6-own-image"
        self.step(6, narrative="Call me at 0612345678, somebody shares a picture of me.")
        yield "report-6-question"
        self.press("button[name=keep]")
        yield "report-7"
        self.step(7, email="not an address")
        yield "report-7-error"
        self.step(7, email="somebody@example.org")
        yield "report-8-danger"
        self.open("report/1")
        self.step(1, danger="no")
        self.open("report/5")
        self.step(5, age="under_13")
        yield "report-6-minor"
        self.open("report/8")
        yield "report-8"
        self.send()
        yield "receipt"
        page.click("main summary")
        yield "receipt-open"
        self.press("button[value=follow]")
        yield "follow-report"
        page.fill("#message", "A first message, and a second line.")
        self.press("#write .buttons button")
        yield "follow-message"
        for part in ("chat", "contact", "rate", "withdraw"):
            self.open(f"follow/{part}")
            yield f"follow-{part}"
        self.press("button[value=withdraw]")
        yield "follow-withdrawn"
        self.press("button[value=close]")
        self.open("follow")
        yield "follow"
        page.fill("#receipt", "one two three")
        self.press("#ask .buttons button")
        yield "follow-error"
        self.open("report/9", status=404)
        yield "nowhere"

    # -- what must hold at the end ---------------------------------------------------------------

    def check(self, *allowed: str) -> None:
        """Raises AssertionError that names what left, what was said, or what an address gives away."""
        outside = [u for u in self.outside if u not in allowed]
        assert not outside, outside
        assert not self.complaints, self.complaints
        for request in self.requests:
            address = unquote(request.url)
            # Whole words: one of a receipt may stand inside a word of ours, "vent" in "events".
            given_away = [s for s in self.secrets if re.search(rf"\b{re.escape(s)}\b", address)]
            assert "?" not in address, address
            assert not given_away, (address, given_away)
