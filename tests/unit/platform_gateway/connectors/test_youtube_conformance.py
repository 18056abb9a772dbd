# SPDX-License-Identifier: Apache-2.0
"""The rules every connector keeps, for YouTube."""

from typing import ClassVar

from fakes.youtube import FakeYouTube
from wasl_connector_sdk.conformance import ConnectorContract
from wasl_platform_gateway.connectors.youtube import YouTubeConnector


def video(number: int, _: str) -> dict[str, str]:
    return {"location": f"https://www.youtube.com/watch?v=canary{number:05d}"}


class TestYouTube(ConnectorContract):
    connector = YouTubeConnector
    fake = FakeYouTube
    submission = video
    config: ClassVar = {
        "base_url": f"{FakeYouTube.base}/youtube/v3",
        "token_url": f"{FakeYouTube.base}/token",
        "client_id": "client",
        "client_secret": "secret-client",
        "refresh_token": "secret-refresh",
        "reasons": {"default": {"id": "R1"}},
    }
