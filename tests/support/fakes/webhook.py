# SPDX-License-Identifier: Apache-2.0
"""A partner that takes and sends Standard Webhooks 1.0, by the reference implementation.

Sources: standardwebhooks.com, "Standard Webhooks specification"; docs/connectors.md, "webhook".
"""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime

import httpx
from fakes.reference import readable
from standardwebhooks import Webhook, WebhookVerificationError
from wasl_connector_sdk import CallbackRequest
from wasl_connector_sdk.conformance import NOW


class FakeWebhook:
    base = "https://webhook.test"
    secret = "whsec_" + "c2VjcmV0LXdlYmhvb2sta2V5" * 2

    def __init__(self):
        self.reports = []

    async def __call__(self, request):
        if request.method == "HEAD":
            return httpx.Response(405)
        if (request.method, request.url.path) != ("POST", "/wasl"):
            return httpx.Response(404)
        if not self._signed(request):
            return httpx.Response(401, json={"error": "signature"})
        if request.headers.get("content-type") != "application/json":
            return httpx.Response(415)
        body = json.loads(request.content)
        data = dict(body["data"])
        key = data.pop("id")
        if (
            set(body) != {"type", "timestamp", "data"}
            or body["type"] != "report.created"
            or key != request.headers["webhook-id"]
            or not readable(data)
        ):
            return httpx.Response(422, json={"error": "unreadable"})
        for report in self.reports:
            if report["key"] == key:
                return httpx.Response(200, json={"reference": report["id"], "outcome": "pending"})
        report = {"id": f"A-{len(self.reports) + 1}", "key": key}
        self.reports.append(report)
        return httpx.Response(202, json={"reference": report["id"], "outcome": "pending"})

    def _signed(self, request):
        """As ``Webhook.verify``, which knows no clock but the machine's."""
        stamp = request.headers.get("webhook-timestamp", "0")
        sent = datetime.fromtimestamp(int(stamp), tz=UTC)
        try:
            expected = Webhook(self.secret).sign(
                request.headers.get("webhook-id", ""), sent, request.content.decode()
            )
        except (WebhookVerificationError, ValueError):
            return False
        fresh = abs((sent - NOW).total_seconds()) <= 300
        return fresh and expected in request.headers.get("webhook-signature", "").split(" ")


def callback(body, secret=FakeWebhook.secret):
    """A signed message of ours; ``body`` None: a status message."""
    if body is None:
        document = {
            "type": "report.status", "timestamp": NOW.isoformat(),
            "data": {"id": "key-1", "reference": "A-1", "outcome": "removed", "reason": "law"},
        }  # fmt: skip
        body = json.dumps(document).encode()
    stamp = str(int(NOW.timestamp()))
    # By hand: ``Webhook.sign`` takes text, and a body may be any bytes.
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.digest(key, f"msg-1.{stamp}.".encode() + body, hashlib.sha256)
    headers = {
        "content-type": "application/json",
        "webhook-id": "msg-1",
        "webhook-timestamp": stamp,
        "webhook-signature": "v1," + base64.b64encode(digest).decode(),
    }
    return CallbackRequest(headers=headers, body=body, received_at=NOW)
