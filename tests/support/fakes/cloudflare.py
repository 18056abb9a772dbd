# SPDX-License-Identifier: Apache-2.0
"""Cloudflare's Abuse Reports API, written from its published form, strict about what it takes.

Sources: Cloudflare API, "Submit an abuse report" (/api/resources/abuse_reports/methods/create),
"List submitted abuse reports" and "Get a submitted abuse report"
(/api/resources/abuse_reports/subresources/submitted), "List abuse report mitigations"; the schemas
SubmitReportResponse, SubmitErrorResponse and ErrorCode of cloudflare/api-schemas. The values of
``error_code`` are not published; those here are made up, the messages are Cloudflare's.
"""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx
from wasl_chassis.testing import FakeClock

_COMMON = {"act", "email", "email2", "name", "urls", "host_notification", "owner_notification"}
_OPTIONAL = {
    "comments": 2000, "company": 100, "reported_country": 2, "reported_user_agent": 255,
    "tele": 20, "title": 255,
}  # fmt: skip
_EXTRA = {
    "abuse_general": ({"justification"}, {"source_ips", "destination_ips", "ports_protocols"}),
    "abuse_phishing": ({"justification"}, {"original_work"}),
    "abuse_children": ({"justification", "ncmec_notification"}, {"country"}),
    "abuse_ncsei": ({"ncsei_subject_representation"}, {"country"}),
}
_SHOWN = {
    "abuse_general": "GEN",
    "abuse_phishing": "PHISH",
    "abuse_children": "GEN",
    "abuse_ncsei": "NCSEI",
}


def v4(result: Any) -> httpx.Response:
    body = {"success": True, "errors": [], "messages": [], "result": result}
    return httpx.Response(200, json=body)


def v4_error(status: int, code: int) -> httpx.Response:
    errors = [{"code": code, "message": "made up"}]
    body = {"success": False, "errors": errors, "messages": [], "result": None}
    return httpx.Response(status, json=body)


def not_taken(msg: str, act: str = "abuse_general", status: int = 400) -> httpx.Response:
    body = {"error_code": "made_up", "msg": msg, "request": {"act": act}, "result": "error"}
    return httpx.Response(status, json=body)


class FakeCloudflare:
    base = "https://cloudflare.test"
    account, token = "account-1", "secret-token"

    def __init__(self) -> None:
        #: What was submitted, with the reporter's view of it under ``_shown``.
        self.reports: list[dict[str, Any]] = []
        self.mitigations: dict[str, list[str]] = {}
        self.outside: set[str] = set()
        self.lists_submitter = True
        self.may_see_mitigations = True
        self.clock = FakeClock()
        self.calls: list[str] = []

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.calls.append(f"{request.method} {request.url.path}")
        given = request.headers.get("authorization", "")
        if not given.startswith("Bearer ") or len(given) < 10:
            return v4_error(400, 6003)
        if given != f"Bearer {self.token}":
            return v4_error(403, 10000)
        root = f"/client/v4/accounts/{self.account}/abuse-reports"
        path = request.url.raw_path.decode().partition("?")[0]
        if not path.startswith(root):
            return v4_error(404, 7003)
        parts = [unquote(part) for part in path.removeprefix(root).split("/") if part]
        match request.method, parts:
            case "POST", [act]:
                return self._submit(request, act)
            case "GET", ["submitted"]:
                return self._list(request)
            case "GET", ["submitted", reference]:
                found = self._find(reference)
                return v4_error(404, 7404) if found is None else v4(self._details(found))
            case "GET", [reference, "mitigations"]:
                if not self.may_see_mitigations:
                    return v4_error(403, 10000)
                types = self.mitigations.get(reference, [])
                rows = [{"id": t, "type": t, "status": "active"} for t in types]
                rows.append({"id": "old", "type": "account_suspend", "status": "cancelled"})
                return v4({"mitigations": rows})
        return v4_error(405, 10405)

    def _submit(self, request: httpx.Request, act: str) -> httpx.Response:
        if request.headers.get("content-type") != "application/json":
            return v4_error(415, 10415)
        body = json.loads(request.content)
        message = self._fault(body, act)
        if message:
            return not_taken(message, act)
        now = self.clock.now()
        url, week = body["urls"], timedelta(days=7)
        if any(r["urls"] == url and now - r["_shown"]["at"] < week for r in self.reports):
            return not_taken("You have already submitted this URL in the last 7 days", act)
        reference = f"abuse-{len(self.reports) + 1}"
        shown = {"id": reference, "at": now, "status": "submitted", "denial_reason": None}
        self.reports.append({**body, "_shown": shown})
        answer = {"abuse_rand": reference, "request": {"act": act}, "result": "success"}
        return httpx.Response(200, json=answer)

    def _fault(self, body: dict[str, Any], act: str) -> str:
        if act not in _EXTRA:
            return "Report has invalid type"
        if body.get("act") != act:
            return "Report has the wrong type"
        required, optional = _EXTRA[act]
        if (_COMMON | required) - set(body):
            return "Missing a required field"
        if set(body) - _COMMON - required - optional - set(_OPTIONAL):
            return "An unexpected error occurred"
        if body["email"] != body["email2"]:
            return "Provided emails did not match"
        if len(body["name"]) > 255 or "@" not in body["email"]:
            return "Provided email was invalid"
        if not 1 <= len(body.get("justification", "x")) <= 5000:
            return "Please provide a more detailed description of the infringement"
        if any(not 1 <= len(body[f]) <= size for f, size in _OPTIONAL.items() if f in body):
            return "Comment maximum length of 2000 characters exceeded"
        wary = {"send", "send-anon", "none"} if act in ("abuse_children", "abuse_ncsei") else {
            "send", "send-anon",
        }  # fmt: skip
        if body["host_notification"] not in ("send", "send-anon"):
            return "Invalid value for notification preference"
        if body["owner_notification"] not in wary:
            return "Invalid value for notification preference"
        if body.get("ncmec_notification", "send") not in ("send", "send-anon"):
            return "Invalid value for notification preference"
        if not isinstance(body.get("ncsei_subject_representation", False), bool):
            return "Missing a required field"
        urls = body["urls"].split("\n")
        hosts = {urlsplit(url).hostname for url in urls}
        if len(urls) > 250 or len(set(urls)) != len(urls) or None in hosts or len(hosts) != 1:
            return "Invalid URL"
        if hosts & self.outside:
            return "A URL contains a domain that is not active on Cloudflare"
        return ""

    def _find(self, reference: str) -> dict[str, Any] | None:
        return next((r for r in self.reports if r["_shown"]["id"] == reference), None)

    def _row(self, report: dict[str, Any]) -> dict[str, Any]:
        shown = report["_shown"]
        row = {
            "id": shown["id"],
            "cdate": shown["at"].isoformat(),
            "domain": urlsplit(report["urls"]).hostname,
            "status": shown["status"],
            "denial_reason": shown["denial_reason"],
            "type": _SHOWN[report["act"]],
        }
        if self.lists_submitter:
            row["submitter"] = {name: report.get(name) for name in ("company", "email", "name")}
        return row

    def _details(self, report: dict[str, Any]) -> dict[str, Any]:
        kept = ("comments", "justification", "host_notification", "owner_notification")
        given = {name: report[name] for name in kept if name in report}
        urls = report["urls"].split("\n")
        return {**self._row(report), **given, "dsa_attestation": False, "urls": urls}

    def _list(self, request: httpx.Request) -> httpx.Response:
        params = dict(request.url.params)
        page, size = int(params.get("page", "1")), int(params.get("per_page", "20"))
        if page < 1 or not 1 <= size <= 200:
            return v4_error(400, 10400)
        since = datetime.fromisoformat(params.get("created_after", "2000-01-01T00:00:00+00:00"))
        reports = [r for r in self.reports if r["_shown"]["at"] >= since.astimezone(UTC)]
        if params.get("sort") == "cdate,desc":
            reports.reverse()
        start = (page - 1) * size
        return v4({"reports": [self._row(r) for r in reports[start : start + size]]})
