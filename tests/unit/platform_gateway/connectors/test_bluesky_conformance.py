# SPDX-License-Identifier: Apache-2.0
"""The rules every connector keeps, for Bluesky."""

from typing import ClassVar

from fakes.bluesky import AUTHOR, LABELER, FakeBluesky
from wasl_connector_sdk.conformance import ConnectorContract
from wasl_platform_gateway.connectors.bluesky import BlueskyConnector


class TestBluesky(ConnectorContract):
    connector = BlueskyConnector
    fake = FakeBluesky
    submission: ClassVar = {"location": f"at://{AUTHOR}/app.bsky.feed.post/3k2a"}
    config: ClassVar = {
        "base_url": FakeBluesky.base,
        "identifier": FakeBluesky.identifier,
        "app_password": FakeBluesky.password,
        "labeler": LABELER,
    }
