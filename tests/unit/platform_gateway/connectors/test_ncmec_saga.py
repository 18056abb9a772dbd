# SPDX-License-Identifier: Apache-2.0
"""A report in two phases, through the gateway: its process is killed before and after every call, once
and twice, and another one goes on. One report counts in the end, and the ledger names it."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from itertools import product

import httpx
import pytest
from fakes.ncmec import FakeNcmec
from wasl_connector_sdk.http import client
from wasl_platform_gateway.connectors.ncmec import NcmecConfig, NcmecConnector

CONFIG = {"base_url": FakeNcmec.base, "username": "hub", "password": "secret-password"}
POINTS = [(when, path) for path in ("/submit", "/finish") for when in ("before", "after")]
#: Once an id is stored nothing is opened again.
PAIRS = [(a, b) for a, b in product(POINTS, POINTS) if (a[1], b[1]) != ("/finish", "/submit")]


class Dying:
    """Passes calls on until it comes to the point at which the process dies."""

    def __init__(self, partner: FakeNcmec, deaths) -> None:
        self.partner = partner
        self.deaths = list(deaths)

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/ispws")
        if self.deaths and self.deaths[0] == ("before", path):
            self.deaths.pop(0)
            raise asyncio.CancelledError
        answer = await self.partner(request)
        if self.deaths and self.deaths[0] == ("after", path):
            self.deaths.pop(0)
            raise asyncio.CancelledError
        return answer


def process(kit, wire, hub=None):
    http = client(transport=httpx.MockTransport(wire))
    return kit.Gateway(NcmecConnector, config=NcmecConfig(**CONFIG), http=http, hub=hub)


@pytest.mark.parametrize("deaths", [*([p] for p in POINTS), *PAIRS], ids=str)
async def test_one_report_counts_wherever_the_process_dies(kit, deaths):
    partner = FakeNcmec()
    wire = Dying(partner, deaths)
    gateway = process(kit, wire)
    partner.now = gateway.clock.now()
    await gateway.request(1, category="csam")
    for _ in range(len(deaths) + 1):
        with suppress(asyncio.CancelledError):
            await gateway.run()
        partner.now = gateway.clock.advance(timedelta(minutes=1)) or gateway.clock.now()
        gateway = process(kit, wire, hub=gateway.hub)
    assert wire.deaths == [], "every death was died"
    assert len(partner.reports) == 1
    finished = [number for number, held in partner.held.items() if held.state == "finished"]
    assert [gateway.row(1).reference] == finished
    assert gateway.row(1).state == "sent"
    # An id that was lost before it was written down never counts: it is deleted unfinished.
    lost = deaths.count(("after", "/submit"))
    assert len(partner.held) == 1 + lost


async def test_an_opened_report_that_was_deleted_meanwhile_is_opened_again(kit):
    partner = FakeNcmec()
    gateway = process(kit, Dying(partner, [("before", "/finish")]))
    partner.now = gateway.clock.now()
    await gateway.request(1, category="csam")
    with suppress(asyncio.CancelledError):
        await gateway.run()
    gateway.clock.advance(timedelta(hours=25))
    partner.now = gateway.clock.now()
    other = process(kit, Dying(partner, []), hub=gateway.hub)
    await other.run()
    assert [held.state for held in partner.held.values()] == ["deleted", "finished"]
    assert other.row(1).state == "sent"
