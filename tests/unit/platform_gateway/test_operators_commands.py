# SPDX-License-Identifier: Apache-2.0
"""`wasl connectors show | drain | test`."""

import json
from types import SimpleNamespace

import pytest
from wasl_chassis.operating import Desk, Refused
from wasl_chassis.settings import SettingsError
from wasl_platform_gateway import operating as commands
from wasl_platform_gateway.repository import control_of

ABSENT = {"base_url": "http://127.0.0.1:9", "token": "CANARY-TOKEN"}


def desk(gateway) -> Desk:
    settings = SimpleNamespace(connectors="fake,reference")
    return Desk(gateway.store, settings, gateway.clock, "operator")


async def test_show_tells_the_partners_apart(kit):
    partner = kit.FakePartner()
    gateway = kit.Gateway(kit.make_connector(partner))
    await gateway.request(1, 2)
    await gateway.run()
    partner.usual = "auth"
    await gateway.request(3, partner="other")
    await gateway.run()
    one, two = await commands.show(desk(gateway), "fake")
    assert (one["partner"], one["dispatches"], one["circuit"]) == ("acme", ["sent: 2"], "closed")
    assert one["oldest pending"] is None
    assert one["last sent"] is not None
    assert (two["partner"], two["dispatches"]) == ("other", ["requested: 1"])
    assert two["circuit"].startswith("open: ")
    assert two["oldest pending"] is not None
    with pytest.raises(Refused, match="WASL_CONNECTORS names fake, reference"):
        await commands.show(desk(gateway), "nobody")


async def test_drain_pauses_only_when_nothing_waits(kit, monkeypatch):
    monkeypatch.setattr(commands, "DRAIN_SECONDS", 3)
    partner = kit.FakePartner()
    gateway = kit.Gateway(kit.make_connector(partner))
    await gateway.request(1)
    with pytest.raises(Refused, match="1 dispatches of 'fake' still wait"):
        await commands.drain(desk(gateway), "fake")
    assert not (await control_of(gateway.store, "fake")).paused
    await gateway.run()
    [row] = await commands.drain(desk(gateway), "fake")
    assert row["paused"]
    assert gateway.row(1).state == "sent"


async def test_the_check_of_an_absent_partner(kit, monkeypatch):
    gateway = kit.Gateway(kit.make_connector(kit.FakePartner()))
    monkeypatch.setenv("WASL_CONNECTOR_CONFIG", json.dumps(ABSENT))
    [row] = await commands.test(desk(gateway), "reference")
    assert row == {"connector": "reference", "mode": "test", "check": "unreachable"}
    with pytest.raises(Refused, match="'fake' is not installed"):
        await commands.test(desk(gateway), "fake")
    monkeypatch.setenv("WASL_CONNECTOR_CONFIG", '{"token": "CANARY-TOKEN"}')
    with pytest.raises(SettingsError) as caught:
        await commands.test(desk(gateway), "reference")
    assert "base_url" in str(caught.value)
    assert "CANARY" not in str(caught.value)
