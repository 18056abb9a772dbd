# SPDX-License-Identifier: Apache-2.0
"""A YouTube written from its published API, strict about what it takes.

Sources: YouTube Data API v3, "Videos: reportAbuse" (/youtube/v3/docs/videos/reportAbuse),
"Videos: list", "VideoAbuseReportReasons: list", "Errors" (/youtube/v3/docs/errors), "Quota
calculator" (/youtube/v3/determine_quota_cost); Google Identity, "Refreshing an access token"
(/identity/protocols/oauth2/web-server#offline). Reason ids and labels here are made up.
"""

import json
import re
from typing import Any
from urllib.parse import parse_qs

import httpx

REPORT_UNITS, LIST_UNITS = 50, 1
_FIELDS = {"videoId", "reasonId", "secondaryReasonId", "comments", "language"}


def error(status: int, reason: str, domain: str = "youtube.video") -> httpx.Response:
    details = {"domain": domain, "reason": reason, "message": "made up"}
    body = {"error": {"code": status, "message": "made up", "errors": [details]}}
    return httpx.Response(status, json=body)


class FakeYouTube:
    base = "https://youtube.test"

    def __init__(self) -> None:
        self.reports: list[dict[str, Any]] = []
        #: Every video but these exists; a value is what ``videos.list`` shows of it.
        self.missing: set[str] = set()
        self.videos: dict[str, dict[str, Any]] = {}
        self.reasons: dict[str, list[str]] = {"R1": ["S1", "S2"], "R2": []}
        self.client = {"client_id": "client", "client_secret": "secret-client"}
        self.refresh_token = "secret-refresh"
        self.tokens: set[str] = set()
        self.sign_ins = 0
        self.calls: list[str] = []
        self.units = 0
        self.daily_units = 10_000

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        self.calls.append(f"{request.method} {path}")
        if path == "/token":
            return self._token(request)
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or token not in self.tokens:
            return error(401, "authError", "global")
        cost = REPORT_UNITS if path.endswith("reportAbuse") else LIST_UNITS
        if self.units + cost > self.daily_units:
            return error(403, "quotaExceeded", "youtube.quota")
        self.units += cost
        match request.method, path:
            case "POST", "/youtube/v3/videos/reportAbuse":
                return self._report(request)
            case "GET", "/youtube/v3/videos":
                return self._list(request)
            case "GET", "/youtube/v3/videoAbuseReportReasons":
                return self._list_reasons(request)
        return httpx.Response(404, text="Not Found")

    def _token(self, request: httpx.Request) -> httpx.Response:
        if request.headers.get("content-type") != "application/x-www-form-urlencoded":
            return httpx.Response(400, json={"error": "invalid_request"})
        form = {name: values[0] for name, values in parse_qs(request.content.decode()).items()}
        if form.pop("grant_type", None) != "refresh_token":
            return httpx.Response(400, json={"error": "unsupported_grant_type"})
        if form.pop("refresh_token", None) != self.refresh_token:
            return httpx.Response(400, json={"error": "invalid_grant"})
        if form != self.client:
            return httpx.Response(401, json={"error": "invalid_client"})
        self.sign_ins += 1
        token = f"secret-access-{self.sign_ins}"
        self.tokens.add(token)
        body = {"access_token": token, "expires_in": 3600, "token_type": "Bearer"}
        return httpx.Response(200, json=body)

    def _report(self, request: httpx.Request) -> httpx.Response:
        if request.headers.get("content-type", "").split(";")[0] != "application/json":
            return error(400, "parseError", "global")
        body = json.loads(request.content)
        if set(body) - _FIELDS or not all(isinstance(v, str) for v in body.values()):
            return error(400, "invalid", "global")
        if not re.fullmatch(r"[A-Za-z0-9_-]{11}", body.get("videoId", "")):
            return error(400, "required", "global")
        if body.get("reasonId") not in self.reasons:
            return error(400, "invalidAbuseReason")
        if body.get("secondaryReasonId", None) not in (None, *self.reasons[body["reasonId"]]):
            return error(400, "invalidAbuseReason")
        if body["videoId"] in self.missing:
            return error(404, "videoNotFound")
        self.reports.append(body)
        return httpx.Response(204)

    def _list(self, request: httpx.Request) -> httpx.Response:
        params = dict(request.url.params)
        if set(params) != {"part", "id"} or not set(params["part"].split(",")) <= {
            "id", "snippet", "status", "contentDetails",
        }:  # fmt: skip
            return error(400, "unknownPart", "global")
        shown = [v for v in params["id"].split(",") if v not in self.missing]
        plain = {"status": {"uploadStatus": "processed"}, "contentDetails": {}}
        items = [{"kind": "youtube#video", "id": v, **self.videos.get(v, plain)} for v in shown]
        return httpx.Response(200, json={"kind": "youtube#videoListResponse", "items": items})

    def _list_reasons(self, request: httpx.Request) -> httpx.Response:
        params = dict(request.url.params)
        if params.get("part") != "id,snippet" or set(params) - {"part", "hl"}:
            return error(400, "unknownPart", "global")
        items = []
        for reason, seconds in self.reasons.items():
            snippet: dict[str, Any] = {"label": f"{reason} in {params.get('hl', 'en_US')}"}
            if seconds:
                snippet["secondaryReasons"] = [{"id": s, "label": s} for s in seconds]
            items.append(
                {"kind": "youtube#videoAbuseReportReason", "id": reason, "snippet": snippet}
            )
        return httpx.Response(200, json={"items": items})
