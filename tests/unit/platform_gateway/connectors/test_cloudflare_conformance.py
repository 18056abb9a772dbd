# SPDX-License-Identifier: Apache-2.0
"""The rules every connector keeps, for Cloudflare."""

from typing import ClassVar

from fakes.cloudflare import FakeCloudflare
from wasl_connector_sdk.conformance import ConnectorContract
from wasl_platform_gateway.connectors.cloudflare import CloudflareConnector


class TestCloudflare(ConnectorContract):
    connector = CloudflareConnector
    fake = FakeCloudflare
    config: ClassVar = {
        "base_url": f"{FakeCloudflare.base}/client/v4",
        "account_id": "account-1",
        "token": "secret-token",
        "name": "Wasl hub",
        "email": "abuse@hub.example",
    }
