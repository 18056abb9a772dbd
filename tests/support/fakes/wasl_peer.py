# SPDX-License-Identifier: Apache-2.0
"""Another country's hub at its peers' door, strictly; signatures by the reference implementation.

Sources: docs/connectors/wasl_peer.md; standardwebhooks.com, "Standard Webhooks specification".
"""

import json
from datetime import UTC, datetime

import httpx
from standardwebhooks import Webhook
from wasl_connector_sdk.conformance import NOW

BODY = {
    "key": str, "location": str, "platform": str, "category": str, "severity": str, "ground": dict,
    "explanation": str, "language": str, "requested_at": str, "via": list, "test": bool,
}  # fmt: skip
MAX_HOPS = 5


class FakeWaslPeer:
    base = "https://peer.test"
    hub, sender = "partner", "xx"
    secret = "whsec_" + "c2VjcmV0LXBlZXItaHVi" * 3

    def __init__(self):
        self.reports = []
        self.withdrawn = []
        self.accepts_tests = True

    async def __call__(self, request):
        target = request.url.raw_path.decode().removeprefix(f"/api/v1/peers/{self.sender}/")
        if not self._signed(request, f"{self.sender}/{target}"):
            return problem(401, "unsigned")
        match request.method, target.partition("?")[0].split("/"):
            case "POST", ["reports"]:
                return self._take(json.loads(request.content))
            case "GET", ["reports"] if set(request.url.params) == {"key"}:
                found = [r for r in self.reports if r["key"] == request.url.params["key"]]
                return httpx.Response(200, json={"reports": [shown(r) for r in found]})
            case "GET", ["reports", reference] if report := self._of(reference):
                return httpx.Response(200, json=shown(report))
            case "POST", ["reports", reference, "withdrawal"] if self._of(reference):
                if set(json.loads(request.content)) != {"reason"}:
                    return problem(422, "invalid")
                self.withdrawn.append(reference)
                return httpx.Response(204)
        return problem(404, "unknown")

    def _of(self, reference):
        return next((r for r in self.reports if r["reference"] == reference), None)

    def _take(self, body):
        whole = {name: type(value) for name, value in body.items()} == BODY
        if not whole or set(body["ground"]) != {"kind", "ref", "text"}:
            return problem(422, "invalid")
        if datetime.fromisoformat(body["requested_at"]).tzinfo is None:
            return problem(422, "invalid")
        if body["via"][-1] != self.sender:
            return problem(422, "invalid")
        if self.hub in body["via"] or len(body["via"]) > MAX_HOPS:
            return problem(422, "declined", code="loop")
        if body["test"] and not self.accepts_tests:
            return problem(422, "declined", code="test_not_accepted")
        for report in self.reports:
            if report["key"] == body["key"]:
                return httpx.Response(200, json={"reference": report["reference"]})
        reference = f"{len(self.reports) + 1:032x}"
        self.reports.append({
            **body, "reference": reference, "outcome": "pending", "reason": None,
        })  # fmt: skip
        return httpx.Response(201, json={"reference": reference})

    def _signed(self, request, target):
        stamp = request.headers.get("webhook-timestamp", "")
        if not stamp.isdigit():
            return False
        sent = datetime.fromtimestamp(int(stamp), tz=UTC)
        text = f"{self.hub} {request.method} {target}\n{request.content.decode()}"
        expected = Webhook(self.secret).sign(request.headers.get("webhook-id", ""), sent, text)
        fresh = abs((sent - NOW).total_seconds()) <= 300
        return fresh and expected in request.headers.get("webhook-signature", "").split(" ")


def problem(status, title, **more):
    body = {"type": f"urn:wasl:problem:{title}", "title": title, "status": status, **more}
    return httpx.Response(
        status, headers={"content-type": "application/problem+json"}, content=json.dumps(body)
    )


def shown(report):
    return {name: report[name] for name in ("reference", "outcome", "reason")}
