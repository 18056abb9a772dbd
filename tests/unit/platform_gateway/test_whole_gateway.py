# SPDX-License-Identifier: Apache-2.0
"""Gateway and simulated partner together, over real sockets both ways; and nothing leaks."""

import asyncio
import json
import logging
from contextlib import AsyncExitStack

import pytest
from wasl_chassis.clock import SystemClock
from wasl_connector_sdk.http import client
from wasl_local.simulator import Mode, Partner, create_app
from wasl_platform_gateway import http
from wasl_platform_gateway.connectors.reference import ReferenceConnector
from wasl_platform_gateway.connectors.webhook import WebhookConnector


@pytest.fixture
async def pair(kit):
    async with AsyncExitStack() as stack:

        async def make(connector, mode):
            partner = Partner(secret=kit.SECRET, token="token", mode=mode, delay=0.05, seed=3)
            stack.push_async_callback(partner.close)
            url = await stack.enter_async_context(kit.serve(create_app(partner)))
            if connector is ReferenceConnector:
                config = {"base_url": url, "token": "token"}
            else:
                config = {"default": {"url": f"{url}/webhook", "secret": kit.SECRET}}
            config |= {"retry_seconds": [0.1] * 8, "poll_seconds": [0.1]}
            lent = await stack.enter_async_context(client(timeout=5))
            gateway = kit.Gateway(
                connector,
                config=connector.Config.model_validate(config),
                hub=kit.Hub(clock=SystemClock()),
                http=lent,
            )
            gateway.client_in_use = lent
            doors = http.create_app(gateway.answers, gateway.desk, None)
            mine = await stack.enter_async_context(kit.serve(doors))
            partner.callback_url = f"{mine}/callbacks/{connector.manifest.name}"
            return gateway, partner

        yield make


async def until(gateway, condition, seconds=60):
    async with asyncio.timeout(seconds):
        while not condition():
            await gateway.run()
            await gateway.answers.match_waiting()
            await asyncio.sleep(0.02)


EXPECTED = {
    Mode.REMOVE: "removed",
    Mode.REFUSE: "refused",
    Mode.ACKNOWLEDGE_LATER: "acknowledged",
    Mode.DUPLICATE_CALLBACK: "removed",
    Mode.WITHOUT_ID: "removed",
    Mode.REFUSE_AT_DOOR: "refused",
    Mode.LOSE_ANSWER: "removed",
}


@pytest.mark.parametrize("connector", [ReferenceConnector, WebhookConnector])
@pytest.mark.parametrize("mode", EXPECTED)
async def test_each_behaviour_ends_where_it_should(pair, connector, mode):
    gateway, partner = await pair(connector, mode)
    await gateway.request(1, 2, 3)
    await until(gateway, lambda: gateway.states() == {EXPECTED[mode]: 3})
    gateway.told()
    assert all(count == 1 for count in partner.made.values())


@pytest.mark.parametrize("connector", [ReferenceConnector, WebhookConnector])
async def test_a_partner_of_moods_gets_every_request_once(pair, connector):
    gateway, partner = await pair(connector, Mode.MIXED)
    await gateway.request(*range(40))
    settled = {"removed", "refused", "acknowledged", "sent"}

    def done():
        expected = sum(1 for r in partner.reports.values() if r.shown()["status"] == "removed")
        states = gateway.states()
        return (
            len(partner.reports) == 40
            and set(states) <= settled
            and states["removed"] == expected > 15
        )

    await until(gateway, done)
    gateway.told()
    assert set(partner.made.values()) == {1}
    assert max(partner.received.values()) > 1, "the mix had no fault in it"


async def test_nothing_personal_leaks(pair, caplog):
    """Unique words in the item and in every failure's way; found in the request's body only."""
    caplog.set_level(logging.DEBUG)
    gateway, partner = await pair(WebhookConnector, Mode.MIXED)
    bodies = []

    async def keep(request):
        bodies.append(request.content.decode())

    gateway.client_in_use.event_hooks["request"].append(keep)
    await gateway.request(*range(20))
    await until(gateway, lambda: len(partner.reports) == 20)
    for mode in (Mode.DOWN, Mode.REFUSE_AT_DOOR, Mode.ERROR):
        partner.mode = mode
        await gateway.request(100 + list(Mode).index(mode))
        await gateway.run()
    everything = caplog.text + json.dumps([str(r.__dict__) for r in caplog.records])
    everything += gateway.hub.metrics.exposition().decode()
    everything += str(gateway.store.docs)
    everything += "".join(r.value.decode() for r in gateway.store.outbox.values())
    everything += "".join(str(r.headers) for r in gateway.store.outbox.values())
    assert "CANARY" not in everything
    assert all("CANARY" in body for body in bodies), "the partner was sent something else"
