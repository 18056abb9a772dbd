# SPDX-License-Identifier: Apache-2.0
"""The desk as a real server on loopback, with accounts and sessions, and a person at a keyboard.

Whatever a test does, at its end no request has left the desk's origin, no address held a word the
person typed, and the console is empty.
"""

import base64
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import timedelta
from functools import cache
from typing import Any
from urllib.parse import unquote, urlsplit

from desk import NOBODY, PACK, rooms
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request, Route, expect
from triage_world import ANA, LEA, SUE, World
from visitor import PATIENCE_MS, Served
from wasl_schemas.country_pack import CountryPack, load_country_pack
from wasl_triage.access import accounts, sessions, totp
from wasl_triage.access.accounts import ACCOUNTS
from wasl_triage.access.door import Access
from wasl_triage.access.passwords import Passwords
from wasl_triage.access.sessions import Lifetimes
from wasl_triage.api.cases import CaseRooms
from wasl_triage.casework import Hub
from wasl_triage.console import live
from wasl_triage.console.pages import Console
from wasl_triage.domain.people import Person
from wasl_triage.http import create_app
from wasl_triage.settings import Staff

PASSWORD = "tournesol vif, canard lent"
#: Who works here: name → roles.
STAFF = {
    "amal": ("analyst", "child_safety"),
    "basma": ("legal_reviewer", "child_safety"),
    "lamia": ("legal_reviewer",),
    "salma": ("supervisor", "child_safety"),
    "karim": ("counsellor",),
    "omar": ("observer",),
    "nadia": ("independent_reviewer",),
    "driss": ("data_officer", "child_safety"),
    "reda": ("rules_manager",),
    "hind": ("auditor",),
    "zineb": ("administrator",),
}
#: What the browser itself writes about an answer that refuses something.
_REFUSED = re.compile(r"^Failed to load resource: .* status of (403|404|409|410|422|503)")


@cache
def pack() -> CountryPack:
    return load_country_pack(PACK)


class DeskHub(Served):
    """The pages of triage with Morocco's pack and real accounts, on a store in memory."""

    def __init__(self) -> None:
        self.world = World(pack())
        self.pack = self.world.pack
        self.clock = self.world.clock
        hub = self.world.hub
        self._passwords = Passwords(memory_kib=64, passes=1)
        self.access = Access(
            hub,
            self._passwords,
            code_version=self.pack.desk.code_version,
            secure=False,
            rate=1_000,
        )
        cases = CaseRooms.of(hub, self.pack, self.world.desk, self.world.requests, self._named(hub))
        self.rooms = replace(rooms(self.world), cases=cases)
        self.console = Console(
            self.pack,
            self.clock,
            self.access,
            self.rooms,
            stopping=lambda: self.stopping,
        )
        self.app = create_app(
            self.world.desk,
            self.pack,
            Staff.parse(NOBODY),
            hub.metrics,
            self.clock,
            rooms=[self.console.register],
        )

    @staticmethod
    def _named(hub: Hub) -> Any:
        async def named(name: str) -> Person | None:
            account = await accounts.find(hub.unit(), name)
            if account is not None:
                return account.person
            return next((p for p in (ANA, LEA, SUE) if p.name == name), None)

        return named

    def later(self, **delta: float) -> None:
        self.clock.advance(timedelta(**delta))

    def serving(self) -> AbstractContextManager["DeskHub"]:
        live.EVERY, live._TICK = 0.3, 0.05  # nobody waits three seconds for a hint in a test
        return super().serving()

    # -- people ----------------------------------------------------------------------------------

    def person(self, name: str) -> Person:
        """Somebody with an account, as the desk knows them."""
        account = ACCOUNTS.decode(self.world.hub.store.docs["accounts"][name])
        return account.person

    def invite(self, name: str) -> str:
        """What the administrator hands over: a word for the first sign-in."""

        async def work() -> str:
            uow = self.world.hub.unit()
            token = await accounts.invite(uow, name, by="operator:test", roles=STAFF[name])
            await self.world.hub.commit(uow)
            return token

        return self.run(work())

    def code(self, secret: bytes) -> str:
        """What an authenticator app shows, in a step nobody has used yet."""
        self.later(seconds=totp.STEP_SECONDS)
        return totp.code_at(secret, totp.step_at(self.clock.now()))

    def session(self, name: str, lang: str) -> dict[str, str]:
        """A cookie of somebody who has everything set up and has accepted the code."""

        if name not in self.world.hub.store.docs.get("accounts", {}):
            self.invite(name)

        async def work() -> str:
            uow = self.world.hub.unit()
            account = await accounts.existing(uow, name)
            ready = {
                "state": accounts.State.ACTIVE,
                "password": await self._passwords.hash(PASSWORD),
                "totp": account.totp or await accounts.seal_totp(uow, bytes(20)),
                "language": lang,
                "code_version": self.pack.desk.code_version,
                "code_at": uow.now(),
            }
            uow.put(ACCOUNTS, account.model_copy(update=ready))
            word = sessions.start(uow, account, sessions.Stage.FULL, Lifetimes(), federated=False)
            await self.world.hub.commit(uow)
            return word

        return {"name": "wasl-desk", "value": self.run(work()), "url": self.url}


class Hands:
    """A person at the desk with a keyboard and no mouse."""

    def __init__(self, hub: DeskHub, context: BrowserContext, lang: str) -> None:
        self.hub, self.context, self.lang = hub, context, lang
        self.requests: list[Request] = []
        self.outside: list[str] = []
        self.complaints: list[str] = []
        self.typed: list[str] = []
        context.set_default_timeout(PATIENCE_MS)
        context.route(re.compile(f"^(?!{re.escape(hub.url)}/|data:)"), self._elsewhere)
        context.on("request", self._request)
        context.on("console", self._console)
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        self.page: Page = context.new_page()

    def _request(self, request: Request) -> None:
        self.requests.append(request)

    def _elsewhere(self, route: Route) -> None:
        self.outside.append(route.request.url)
        route.abort()

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not _REFUSED.match(message.text):
            self.complaints.append(f"{message.text} ({self.page.url})")

    @property
    def path(self) -> str:
        """Below the language."""
        return urlsplit(self.page.url).path.removeprefix(f"/{self.lang}/")

    def open(self, path: str, status: int = 200) -> None:
        """An address typed into the browser."""
        answer = self.page.goto(f"{self.hub.url}/{self.lang}/{path}")
        assert answer is not None
        assert answer.status == status, (path, answer.status, self.text()[:600])

    def text(self) -> str:
        return self.page.locator("main").inner_text()

    # -- keys ------------------------------------------------------------------------------------

    def press(self, key: str) -> None:
        self.page.keyboard.press(key)

    def leave(self, key: str = "Enter") -> None:
        """A key that leads to another page, or to this one anew; that page whole."""
        with self.page.expect_navigation():
            self.press(key)

    def tab_to(self, selector: str) -> None:
        """With the Tab key alone; wherever it stops on the way is seen to have the focus."""
        if self.page.evaluate(_AT, selector) == "here":
            return
        for _ in range(400):
            self.press("Tab")
            at = self.page.evaluate(_AT, selector)
            assert at != "unseen", self.page.evaluate("document.activeElement.outerHTML")
            if at == "here":
                return
        raise AssertionError(f"the keyboard does not reach {selector} on {self.path}")

    def type(self, selector: str, text: str) -> None:
        self.tab_to(selector)
        self.page.keyboard.type(text)
        if len(text) > 5:
            self.typed.append(text)

    def choose(self, name: str, value: str) -> None:
        """One of several: a radio button or a line of a list, with the arrow keys."""
        found = self.page.locator(f'main [name="{name}"]:visible').first
        listed = found.evaluate("e => e.tagName") == "SELECT"
        self.tab_to(f'main [name="{name}"]')
        focused = self.page.locator(":focus")
        if listed:
            self.press("Home")
        else:
            self.press("Space")
        for _ in range(80):
            if focused.input_value() == value:
                return
            self.press("ArrowDown")
        raise AssertionError(f"{name} has no {value}")

    def tick(self, name: str, value: str) -> None:
        self.tab_to(f'main [name="{name}"][value="{value}"]')
        self.press("Space")

    def send(self, form: str) -> None:
        """The first button of a form, named by the end of its address."""
        self.tab_to(f'main form[action$="{form}"] button')
        self.leave()

    # -- the door --------------------------------------------------------------------------------

    def first_time(self, name: str, seen: Callable[[str], None] = lambda _: None) -> bytes:
        """From an invitation to the queue; ``seen`` is told of each page. Returns what the
        authenticator app holds.
        """
        token = self.hub.invite(name)
        self.open("sign-in")
        self.tab_to("main a")
        self.leave()
        self.type("#name", name)
        self.type("#invitation", token)
        self.type("#password", PASSWORD)
        self.press("Enter")  # in a field, as people do
        expect(self.page.locator("main img")).to_be_visible()
        seen("authenticator")
        self.tab_to("main summary")
        self.press("Enter")
        secret = base64.b32decode(
            self.page.locator("main details code").inner_text().replace(" ", "")
        )
        self.type("#code", self.hub.code(secret))
        self.leave()
        assert len(self.page.locator("main ol li").all()) == totp.RECOVERY_CODES
        seen("recovery")
        self.tab_to("main a.button")
        self.leave()
        assert self.path == "code"
        seen("conduct")
        self.send("/code")
        return secret

    def sign_in(self, name: str, secret: bytes) -> None:
        """On the page that asks for it."""
        self.type("#name", name)
        self.type("#password", PASSWORD)
        self.type("#code", self.hub.code(secret))
        self.leave()

    def sign_out(self) -> None:
        self.tab_to('form[action$="/sign-out"] button')
        self.leave()

    def back(self) -> None:
        with self.page.expect_navigation():
            self.page.evaluate("history.back()")

    # -- what must hold at the end ---------------------------------------------------------------

    def check(self) -> None:
        assert not self.outside, self.outside
        assert not self.complaints, self.complaints
        for request in self.requests:
            address = unquote(request.url)
            given_away = [s for s in self.typed if s in address]
            assert not given_away, (address, given_away)


#: Whether the focus is where it should be, and whether it is seen to be where it is.
_AT = """(selector) => {
  const at = document.activeElement;
  if (!at || at === document.body) return "away";
  const style = getComputedStyle(at);
  // The parts of a date are the browser's own, and so is the ring around the one that is on.
  const seen = at.matches('input[type^="date"]') || (at.matches(":focus-visible")
    && style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0);
  return !seen ? "unseen" : at.matches(selector) ? "here" : "on";
}"""
