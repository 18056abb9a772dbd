# SPDX-License-Identifier: Apache-2.0
"""The rules every connector keeps, for Mastodon and GoToSocial."""

from typing import ClassVar

from fakes.mastodon import FakeGoToSocial, FakeMastodon
from wasl_connector_sdk.conformance import ConnectorContract
from wasl_platform_gateway.connectors.mastodon import GoToSocialConnector, MastodonConnector


class TestMastodon(ConnectorContract):
    connector = MastodonConnector
    fake = FakeMastodon
    submission: ClassVar = {"location": "https://mastodon.test/@someone/100"}
    config: ClassVar = {
        "default": {"base_url": FakeMastodon.base, "token": "secret-token", "sandbox": True}
    }


class TestGoToSocial(ConnectorContract):
    connector = GoToSocialConnector
    fake = FakeGoToSocial
    exempt: ClassVar = {
        "lookup-certain": "an empty list is just what GoToSocial answers where there is nothing"
    }
    submission: ClassVar = {"location": "https://gotosocial.test/@someone/100"}
    config: ClassVar = {
        "default": {"base_url": FakeGoToSocial.base, "token": "secret-token", "sandbox": True}
    }
