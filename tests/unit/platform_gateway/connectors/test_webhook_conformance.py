# SPDX-License-Identifier: Apache-2.0
"""The webhook connector keeps every rule, with one endpoint for all and with one for each."""

from typing import ClassVar

from fakes.webhook import FakeWebhook, callback
from wasl_connector_sdk.conformance import ConnectorContract
from wasl_platform_gateway.connectors.webhook import WebhookConnector

ENDPOINT = {"url": f"{FakeWebhook.base}/wasl", "secret": FakeWebhook.secret}
OTHER = {**ENDPOINT, "secret": "whsec_" + "YW5vdGhlci1zZWNyZXQta2V5" * 2}


class TestDefault(ConnectorContract):
    connector = WebhookConnector
    fake = FakeWebhook
    config: ClassVar = {"default": ENDPOINT}
    callbacks = callback


class TestOwnEndpoint(ConnectorContract):
    connector = WebhookConnector
    fake = FakeWebhook
    config: ClassVar = {"endpoints": {"other": OTHER, "partner": ENDPOINT}}
    callbacks = callback
