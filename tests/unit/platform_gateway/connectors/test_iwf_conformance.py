# SPDX-License-Identifier: Apache-2.0
"""The connector contract, on the simulated report service."""

from typing import ClassVar

from fakes.iwf import FakeIwf
from wasl_connector_sdk.conformance import ConnectorContract
from wasl_platform_gateway.connectors.iwf import IwfConnector


class TestIwf(ConnectorContract):
    connector = IwfConnector
    fake = FakeIwf
    config: ClassVar = {
        "url": FakeIwf.url,
        "username": FakeIwf.username,
        "password": FakeIwf.password,
    }
