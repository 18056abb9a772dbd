# SPDX-License-Identifier: Apache-2.0
"""A partner that speaks the reference API, strictly. Source: docs/connectors.md, "reference"."""

import json
from datetime import datetime
from urllib.parse import unquote

import httpx

BODY = {
    "case": str, "partner": str, "category": str, "severity": str, "ground": dict, "scope": str,
    "item": dict, "explanation": str, "requested_at": str, "test": bool,
}  # fmt: skip
MEASURES = (None, "label", "age_restrict", "geo_restrict", "remove", "account_action")
ITEM = {"location", "platform", "kind", "language"}


class FakeReference:
    base = "https://reference.test"
    token = "secret-reference-token"

    def __init__(self):
        self.reports = []
        self.withdrawn = []
        self.dedupes = True

    async def __call__(self, request):
        if request.headers.get("authorization") != f"Bearer {self.token}":
            return httpx.Response(401, json={"error": "unauthorized"})
        path = [unquote(p) for p in request.url.raw_path.decode().partition("?")[0].split("/")]
        match request.method, path[1:]:
            case "POST", ["reports"]:
                return self._create(request)
            case "GET", ["reports"] if set(request.url.params) == {"key"}:
                key = request.url.params["key"]
                return httpx.Response(
                    200, json={"reports": [shown(r) for r in self.reports if r["key"] == key]}
                )
            case "GET", ["reports", reference]:
                for report in self.reports:
                    if report["id"] == reference:
                        return httpx.Response(200, json=shown(report))
                return httpx.Response(404, json={"error": "unknown"})
            case "POST", ["reports", reference, "withdrawal"]:
                if set(json.loads(request.content)) != {"reason"}:
                    return httpx.Response(422, json={"error": "reason"})
                if reference not in {r["id"] for r in self.reports}:
                    return httpx.Response(404, json={"error": "unknown"})
                self.withdrawn.append(reference)
                return httpx.Response(204)
        return httpx.Response(404, json={"error": "no such path"})

    def _create(self, request):
        key = request.headers.get("idempotency-key", "")
        if not key or request.headers.get("content-type") != "application/json":
            return httpx.Response(400, json={"error": "headers"})
        if not readable(json.loads(request.content)):
            return httpx.Response(422, json={"error": "unreadable"})
        for report in self.reports:
            if self.dedupes and report["key"] == key:
                return httpx.Response(201, json=shown(report))
        report = {"id": f"R-{len(self.reports) + 1}", "key": key, "status": "pending"}
        self.reports.append(report)
        return httpx.Response(201, json=shown(report))


def readable(body):
    return (
        body.pop("measure", "missing") in MEASURES
        and {name: type(value) for name, value in body.items()} == BODY
        and set(body["ground"]) == {"kind", "ref", "text"}
        and set(body["item"]) == ITEM
        and all(isinstance(value, str) for value in body["item"].values())
        and datetime.fromisoformat(body["requested_at"]).tzinfo is not None
    )


def shown(report):
    return {"id": report["id"], "status": report["status"], "reason": None}
