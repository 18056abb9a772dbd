# SPDX-License-Identifier: Apache-2.0
"""The simulated partners on real ports: each as its own connector meets it, and each way to break."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fakes._opened import submission
from partners import RETRY_AFTER, SIMULATIONS, Mode, Partner, desk, partner_for, write_pack
from wasl_chassis.clock import SystemClock
from wasl_connector_sdk import AmbiguousOutcome, HubIdentity, RateLimited, Runtime, TransientError
from wasl_connector_sdk.http import client
from wasl_connector_sdk.registry import load
from wasl_local.settings import LocalSettings
from wasl_platform_gateway.bootstrap import objection
from wasl_schemas.country_pack import load_country_pack

KEY = "0192f1c2-7a3b-7c11-8000-000000000001"
#: Whose partner is a person; nothing listens.
BY_HAND = {name for name, s in SIMULATIONS.items() if s.fake is None}


@asynccontextmanager
async def met(name: str, **config: Any) -> AsyncIterator[tuple[Partner, Any]]:
    """A partner that listens, and its connector."""
    partner = partner_for(name)
    assert partner is not None
    await partner.open()
    connector = load(name)
    given = {**SIMULATIONS[name].config(partner.port), **config}
    try:
        async with client(timeout=0.5) as http:
            rt = Runtime(http, SystemClock(), logging.getLogger("test"), HubIdentity(country="MA"))
            async with connector.open(connector.Config.model_validate(given), rt) as opened:
                yield partner, opened
    finally:
        await partner.switch(Mode.REFUSE)


def request(name: str, number: int = 1, key: str = KEY) -> Any:
    simulation = SIMULATIONS[name]
    return submission(
        key, partner=desk(name), category=simulation.category,
        location=simulation.location(number), severity="high", test=True,
    )  # fmt: skip


@pytest.mark.parametrize("name", sorted(SIMULATIONS.keys() - BY_HAND))
async def test_a_request_ends_in_the_partners_books_once(name: str) -> None:
    async with met(name) as (partner, connector):
        await connector.check()
        receipt = await connector.submit(request(name))
        assert receipt.reference
        assert partner.seen().get(KEY) == 1
        other = KEY[:-1] + "2"
        await connector.submit(request(name, 2, other))
        assert {KEY: 1, other: 1}.items() <= partner.seen().items()


async def test_one_that_hangs_has_it_and_never_says_so() -> None:
    async with met("reference") as (partner, connector):
        await partner.switch(Mode.HANG)
        with pytest.raises(AmbiguousOutcome):
            await connector.submit(request("reference"))
        assert partner.seen() == {KEY: 1}
        await partner.switch(Mode.OK)
        await connector.submit(request("reference"))
        assert partner.seen() == {KEY: 1}
        assert partner.calls == {"hang": 1, "ok": 1}


async def test_one_that_refuses_does_not_listen_and_comes_back_on_the_same_port() -> None:
    async with met("iwf") as (partner, connector):
        await connector.submit(request("iwf"))  # leaves a connection open
        await partner.switch(Mode.REFUSE)
        with pytest.raises(TransientError) as told:
            await connector.submit(request("iwf", key=KEY[:-1] + "2"))
        assert told.value.reason == "unreachable"
        await partner.switch(Mode.OK)
        await connector.submit(request("iwf", key=KEY[:-1] + "2"))
        assert set(partner.seen()) == {KEY, KEY[:-1] + "2"}


async def test_one_in_a_storm_says_when_and_takes_nothing() -> None:
    async with met("webhook") as (partner, connector):
        await partner.switch(Mode.STORM)
        with pytest.raises(RateLimited) as told:
            await connector.submit(request("webhook"))
        assert told.value.retry_after == RETRY_AFTER
        assert partner.seen() == {}


async def test_the_mail_relay_breaks_in_the_same_ways() -> None:
    smtp = {"host": "127.0.0.1", "tls": "none", "timeout": 0.5}
    async with met("email") as (partner, _):
        pass
    async with met("email", smtp={**smtp, "port": partner.port}) as (_, connector):
        with pytest.raises(TransientError):  # nobody listens there any more
            await connector.submit(request("email"))
    async with met("email") as (partner, connector):
        await partner.switch(Mode.STORM)
        with pytest.raises(TransientError) as told:
            await connector.submit(request("email"))
        assert told.value.reason == "smtp_450"
        assert partner.seen() == {}
    async with met("email") as (partner, connector):
        await partner.switch(Mode.HANG)
        sending = asyncio.create_task(connector.submit(request("email")))
        async with asyncio.timeout(5):
            while not partner.seen():
                await asyncio.sleep(0.01)
        assert partner.seen() == {KEY: 1}
        assert not sending.done()
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


def test_the_pack_lets_requests_go_to_each(tmp_path: Path) -> None:
    pack = load_country_pack(write_pack(LocalSettings().country_pack, tmp_path / "p", SIMULATIONS))
    now = SystemClock().now()
    for name, simulation in SIMULATIONS.items():
        assert pack.partners[desk(name)].connector == name
        row: Any = type("Row", (), {"partner": desk(name), "category": simulation.category})
        assert objection(pack, row, now) is None
