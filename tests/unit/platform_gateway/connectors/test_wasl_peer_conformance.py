# SPDX-License-Identifier: Apache-2.0
"""The connector between hubs keeps every rule."""

from typing import ClassVar

from fakes.wasl_peer import FakeWaslPeer
from wasl_connector_sdk.conformance import ConnectorContract
from wasl_platform_gateway.connectors.wasl_peer import WaslPeerConnector

PEER = {"url": FakeWaslPeer.base, "secret": FakeWaslPeer.secret}


class TestWaslPeer(ConnectorContract):
    connector = WaslPeerConnector
    fake = FakeWaslPeer
    config: ClassVar = {"hub": FakeWaslPeer.sender, "peers": {FakeWaslPeer.hub: PEER}}
