# SPDX-License-Identifier: Apache-2.0
"""A door on a store in memory, with a clock tests turn and hashes that cost nothing."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response
from triage_world import Hub
from wasl_chassis.work import UnitOfWork
from wasl_triage.access import accounts, totp
from wasl_triage.access.accounts import ACCOUNTS, Account
from wasl_triage.access.door import Access, Entered, Halfway, SignedIn
from wasl_triage.access.oidc import Oidc
from wasl_triage.access.passwords import Passwords
from wasl_triage.access.sessions import Stage
from wasl_triage.audit.trail import AUDIT, AuditRow

PASSWORD = "tournesol vif, canard lent"


class People:
    """The door, and a person who knows how to use it."""

    def __init__(self) -> None:
        self.hub = Hub()
        self.clock = self.hub.clock
        self.access = self.door()
        #: What each person's authenticator app holds.
        self.apps: dict[str, bytes] = {}
        self.codes: dict[str, tuple[str, ...]] = {}

    def door(self, *, oidc: Oidc | None = None, rate: float = 1000, **more: Any) -> Access:
        passwords = Passwords(memory_kib=64, passes=1)
        given = {"code_version": 3, "secure": True, **more}
        return Access(self.hub, passwords, rate=rate, oidc=oidc, **given)

    def later(self, **delta: float) -> None:
        self.clock.advance(timedelta(**delta))

    # -- what the operator does ------------------------------------------------------------------

    async def run(self, work: Callable[[UnitOfWork], Any]) -> Any:
        uow = self.hub.unit()
        result = await work(uow)
        await self.hub.commit(uow)
        return result

    async def invite(self, name: str = "amal", *roles: str) -> str:
        wanted = roles or ("analyst",)
        return await self.run(lambda uow: accounts.invite(uow, name, by="operator:x", roles=wanted))

    async def disable(self, name: str = "amal") -> None:
        await self.run(lambda uow: accounts.disable(uow, name, by="operator:x"))

    # -- what the person does --------------------------------------------------------------------

    def code(self, name: str = "amal") -> str:
        """What the app shows, in a step nobody has used yet."""
        self.later(seconds=totp.STEP_SECONDS)
        return totp.code_at(self.apps[name], totp.step_at(self.clock.now()))

    async def first(self, name: str = "amal", *roles: str, password: str = PASSWORD) -> Entered:
        """From the invitation to a session with everything set up."""
        token = await self.invite(name, *roles)
        entered = await self.access.first(name, token, password, "fr")
        return await self.enrol(name, entered)

    async def enrol(self, name: str, entered: Entered) -> Entered:
        half = await self.half(entered)
        self.apps[name] = await self.access.enrolment(half)
        done = await self.access.enrol(half, self.code(name))
        self.codes[name] = done.recovery
        return done

    async def sign_in(self, name: str = "amal", password: str = PASSWORD) -> Entered:
        return await self.access.sign_in(name, password, self.code(name))

    async def half(self, entered: Entered) -> Halfway:
        assert entered.stage in (Stage.ENROL, Stage.SECOND)
        half = await self.access.halfway(request(self.access, entered))
        assert half is not None
        return half

    async def signed(self, entered: Entered) -> SignedIn:
        signed = await self.access.signed_in(request(self.access, entered))
        assert signed is not None
        return signed

    async def is_in(self, entered: Entered) -> bool:
        return await self.access.signed_in(request(self.access, entered)) is not None

    # -- what tests look at ----------------------------------------------------------------------

    def account(self, name: str = "amal") -> Account:
        return ACCOUNTS.decode(self.hub.store.docs["accounts"][name])

    def trail(self, prefix: str = "") -> list[AuditRow]:
        rows = [AUDIT.decode(d) for d in self.hub.store.docs.get("audit", {}).values()]
        return [r for r in rows if r.stream.startswith(prefix)]

    def told(self, prefix: str = "") -> list[tuple[str, str, str]]:
        return [(r.who, r.what, r.why) for r in self.trail(prefix)]

    def stored(self) -> str:
        return json.dumps(self.hub.store.docs, default=str, ensure_ascii=False)

    def count(self, how: str, result: str) -> float:
        return self.hub.metrics.value("wasl_triage_sign_ins_total", how=how, result=result)


def request(access: Access, entered: Entered | None = None, **cookies: str) -> Request:
    """What a browser sends that was given this session."""
    sent = dict(cookies)
    if entered is not None:
        name, _, rest = access.enter(Response(), entered).headers["set-cookie"].partition("=")
        sent[name] = rest.partition(";")[0]
    line = "; ".join(f"{k}={v}" for k, v in sent.items()).encode()
    scope = {
        "type": "http", "method": "GET", "path": "/", "query_string": b"",
        "headers": [(b"cookie", line)] if line else [],
    }  # fmt: skip
    return Request(scope)


@pytest.fixture
def people() -> People:
    return People()


@pytest.fixture
def asking() -> Callable[..., Request]:
    return request
