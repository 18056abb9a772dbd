# SPDX-License-Identifier: Apache-2.0
"""The conformance kit: six lines of test, and a connector is held to every rule of the contract.

    class TestAcme(ConnectorContract):
        connector = AcmeConnector
        fake = FakeAcme
        config = {"base_url": FakeAcme.base, "token": "secret-token"}

Needs pytest, which nothing else in the SDK does.
"""

from wasl_connector_sdk.conformance.rules import ConnectorContract, rules
from wasl_connector_sdk.conformance.samples import NOW, key_of
from wasl_connector_sdk.conformance.world import Nobody, Partner

__all__ = ["NOW", "ConnectorContract", "Nobody", "Partner", "key_of", "rules"]
