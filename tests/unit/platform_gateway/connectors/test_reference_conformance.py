# SPDX-License-Identifier: Apache-2.0
"""The reference connector keeps every rule."""

from typing import ClassVar

from fakes.reference import FakeReference
from wasl_connector_sdk.conformance import ConnectorContract
from wasl_platform_gateway.connectors.reference import ReferenceConnector


class TestReference(ConnectorContract):
    connector = ReferenceConnector
    fake = FakeReference
    config: ClassVar = {"base_url": FakeReference.base, "token": FakeReference.token}
