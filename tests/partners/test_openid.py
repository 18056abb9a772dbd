# SPDX-License-Identifier: Apache-2.0
"""Signing in to the desk at a certified OpenID provider (node-oidc-provider), as a browser does."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urljoin, urlsplit

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response
from triage_world import Hub
from wasl_chassis.testing import FakeClock
from wasl_triage.access.accounts import ACCOUNTS
from wasl_triage.access.door import Access, Departure, Return, SignedIn
from wasl_triage.access.oidc import Oidc, Provider, ProviderFailure
from wasl_triage.access.passwords import Passwords
from wasl_triage.access.sessions import Stage

SECRETS = {
    "RS256": "a secret, with: signs & 100 %",
    "ES256": None,
    "PS256": "another secret for the form body",
}


class Browser:
    """One person's: follows redirects and fills in the provider's forms, until it is sent back."""

    def __init__(self, back: str) -> None:
        self._http = httpx.AsyncClient(trust_env=False, timeout=30)
        self._back = back

    async def agree(self, address: str, name: str) -> dict[str, str]:
        """What it is sent back with, after ``name`` signed in at ``address``."""
        answer = await self._http.get(address)
        for _ in range(12):
            if answer.is_redirect:
                to = urljoin(str(answer.request.url), answer.headers["location"])
                if to.startswith(self._back):
                    return dict(parse_qsl(urlsplit(to).query))
                answer = await self._http.get(to)
                continue
            assert answer.status_code == 200, answer.text
            form = re.search(r'<form[^>]*action="([^"]+)"', answer.text)
            prompt = re.search(r'name="prompt" value="(\w+)"', answer.text)
            assert form is not None, answer.text
            assert prompt is not None, answer.text
            fields = {"prompt": prompt[1], "login": name, "password": "any"}
            answer = await self._http.post(form[1], data=fields)
        raise AssertionError("never sent back")

    async def open(self, address: str) -> httpx.Response:
        return await self._http.get(address)


class Desk:
    def __init__(self, openid: Any, folder: Path, algorithm: str, **more: Any) -> None:
        self.hub = Hub()
        self.hub.clock = FakeClock(datetime.now(UTC))
        given: dict[str, Any] = {
            "issuer": openid.url,
            "client_id": f"desk {algorithm}",
            "map": {"amal": {"roles": ["analyst"]}, "badr": {"roles": ["auditor"]}},
            **more,
        }
        secret = SECRETS[algorithm]
        if secret is not None:
            given["secret_file"] = str(folder / "secret")
            (folder / "secret").write_text(secret, encoding="utf-8")
        provider = Provider.model_validate(given)
        self.oidc = Oidc(provider, self.hub.clock, back=openid.back)
        self.access = Access(
            self.hub, Passwords(memory_kib=64, passes=1), code_version=1, secure=False,
            rate=100, oidc=self.oidc,
        )  # fmt: skip
        self.after = openid.after
        self.browser = Browser(openid.back)

    def request(self, cookie: str, answer: dict[str, str] | None = None) -> Request:
        scope = {
            "type": "http",
            "headers": [(b"cookie", cookie.partition(";")[0].encode())],
            "query_string": str(httpx.QueryParams(answer or {})).encode(),
        }
        return Request(scope)

    async def back(self, departure: Departure, name: str, **bent: str) -> Return:
        answer = {**await self.browser.agree(departure.address, name), **bent}
        cookie = self.access.depart(Response(), departure).headers["set-cookie"]
        return await self.access.come_back(self.request(cookie, answer))

    async def signed(self, back: Return) -> SignedIn:
        cookie = self.access.enter(Response(), back.entered).headers["set-cookie"]
        signed = await self.access.signed_in(self.request(cookie))
        assert signed is not None
        return signed


@pytest.fixture(params=sorted(SECRETS))
async def desk(openid: Any, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    desk = Desk(openid, tmp_path, request.param)
    yield desk
    await desk.oidc.close()


async def test_somebody_signs_in_and_has_the_roles_of_their_group(desk: Desk) -> None:
    departure = await desk.access.begin("fr", "queue")
    back = await desk.back(departure, "amal")
    # The provider says nothing of a second factor, so ours is asked for.
    assert (back.entered.stage, back.next) == (Stage.ENROL, "queue")
    account = ACCOUNTS.decode(desk.hub.store.docs["accounts"]["amal"])
    assert {r.value for r in account.roles} == {"analyst"}


async def test_nobody_else_signs_in(desk: Desk) -> None:
    with pytest.raises(ProviderFailure) as caught:
        await desk.back(await desk.access.begin("fr", ""), "nobody")
    assert caught.value.why == "not_mapped"
    for bent in ({"iss": "https://evil.example"}, {"code": "made-up"}, {"state": "made up"}):
        with pytest.raises(ProviderFailure):
            await desk.back(await desk.access.begin("fr", ""), "amal", **bent)
    assert "accounts" not in desk.hub.store.docs


async def test_a_code_is_bound_to_its_own_flow(desk: Desk) -> None:
    other = await desk.access.begin("fr", "")
    stolen = await desk.browser.agree(other.address, "amal")
    with pytest.raises(ProviderFailure) as caught:
        await desk.back(await desk.access.begin("fr", ""), "amal", code=stolen["code"])
    assert caught.value.why == "token"


async def test_somebody_proves_again_that_it_is_they(openid: Any, tmp_path: Path) -> None:
    desk = Desk(openid, tmp_path, "RS256")
    desk.oidc.provider = _trusting(desk.oidc.provider)
    first = await desk.back(await desk.access.begin("fr", ""), "amal")
    signed = await desk.signed(first)
    desk.hub.clock.advance(timedelta(seconds=1))
    again = await desk.back(await desk.access.begin("fr", "people", signed), "amal")
    assert again.next == "people"
    stepped = await desk.signed(again)
    assert stepped.stepped_up_at is not None
    assert stepped.stepped_up_at > (signed.stepped_up_at or stepped.stepped_up_at)
    desk.browser = Browser(openid.back)  # somebody else, who is known there
    with pytest.raises(ProviderFailure) as caught:
        await desk.back(await desk.access.begin("fr", "people", stepped), "badr")
    assert caught.value.why == "answer"
    await desk.oidc.close()


def _trusting(provider: Provider) -> Provider:
    """As if this one said that it asked for two factors, which it does not."""

    class Trusting(Provider):
        def second_factor(self, claims: Any) -> bool:
            return True

    return Trusting.model_construct(**provider.__dict__)


async def test_signing_out_there_is_offered_and_answered(desk: Desk) -> None:
    address = await desk.oidc.way_out(desk.after)
    assert address is not None
    answer = await desk.browser.open(address)
    assert answer.status_code == 200
    assert "logout" in answer.text.lower()
