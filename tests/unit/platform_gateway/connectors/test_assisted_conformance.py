# SPDX-License-Identifier: Apache-2.0
from typing import ClassVar

from wasl_connector_sdk.conformance import ConnectorContract, Nobody
from wasl_platform_gateway.connectors.assisted import AssistedConnector


class TestAssisted(ConnectorContract):
    connector = AssistedConnector
    fake = Nobody
    by_hand = True
    config: ClassVar = {"partners": {"partner": {"portal": f"{Nobody.base}/portal"}}}
