# SPDX-License-Identifier: Apache-2.0
"""The connector contract, on the simulated CyberTipline."""

from typing import ClassVar

from fakes.ncmec import FakeNcmec
from wasl_connector_sdk.conformance import ConnectorContract
from wasl_platform_gateway.connectors.ncmec import NcmecConnector


class TestNcmec(ConnectorContract):
    connector = NcmecConnector
    fake = FakeNcmec
    config: ClassVar = {
        "base_url": FakeNcmec.base,
        "username": FakeNcmec.username,
        "password": FakeNcmec.password,
    }
    exempt: ClassVar = {
        "withdrawal": "a finished report cannot be retracted; test_ncmec.py retracts an open one"
    }
