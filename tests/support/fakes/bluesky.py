# SPDX-License-Identifier: Apache-2.0
"""A PDS with a labeler behind it, written from the AT Protocol's lexicons, strict in what it takes.

Sources: bluesky-social/atproto, lexicons/com/atproto/moderation/createReport.json,
server/{createSession,refreshSession,getSession}.json, identity/resolveHandle.json,
repo/getRecord.json, lexicons/tools/ozone/report/defs.json; AT Protocol, "HTTP API (XRPC)"
(atproto.com/specs/xrpc).
"""

import base64
import json
from datetime import timedelta
from typing import Any

import httpx
from wasl_chassis.testing import FakeClock

LABELER = "did:plc:labelerlabelerlabelerla"
AUTHOR = "did:plc:authorauthorauthorautho"
REASONS = {
    f"tools.ozone.report.defs#reason{name}"
    for name in [
        "ViolenceThreats",
        "ViolenceGraphicContent",
        "ViolenceSelfHarm",
        "ViolenceExtremistContent",
        "ViolenceTrafficking",
        "SexualNCII",
        "SexualSextortion",
        "SexualUnlabeled",
        "ChildSafetyCSAM",
        "ChildSafetyGroom",
        "ChildSafetyMinorPrivacy",
        "HarassmentTargeted",
        "HarassmentHateSpeech",
        "HarassmentDoxxing",
        "MisleadingImpersonation",
        "MisleadingScam",
        "MisleadingMisinformation",
        "RuleSiteSecurity",
        "RuleProhibitedSales",
        "RuleOther",
    ]
} | {f"com.atproto.moderation.defs#reason{name}" for name in ("Spam", "Violation", "Other")}


def xrpc_error(status: int, name: str) -> httpx.Response:
    return httpx.Response(status, json={"error": name, "message": "made up"})


def jwt(**claims: Any) -> str:
    parts = [{"alg": "none"}, claims]
    coded = [base64.urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in parts]
    return ".".join([*coded, "secret-signature"])


class FakeBluesky:
    base = "https://bluesky.test"
    identifier, password = "hub.bluesky.test", "secret-password"

    def __init__(self) -> None:
        self.reports: list[dict[str, Any]] = []
        self.calls: list[str] = []
        self.clock = FakeClock()
        self.access: set[str] = set()
        self.refreshes: set[str] = set()
        self.sessions = 0
        self.handles = {"someone.bluesky.test": AUTHOR}
        self.records = {f"at://{AUTHOR}/app.bsky.feed.post/3k2a": "bafycid1"}

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        method = request.url.path.removeprefix("/xrpc/")
        self.calls.append(method.rsplit(".", 1)[-1])
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        match request.method, method:
            case "POST", "com.atproto.server.createSession":
                return self._create_session(request)
            case "POST", "com.atproto.server.refreshSession":
                if request.content or "content-type" in request.headers:
                    return xrpc_error(400, "InvalidRequest")
                if bearer not in self.refreshes:
                    return xrpc_error(400, "ExpiredToken")
                self.refreshes.discard(bearer)
                return self._new_session()
        if bearer not in self.access:
            return xrpc_error(401, "AuthMissing") if not bearer else xrpc_error(400, "ExpiredToken")
        params = dict(request.url.params)
        match request.method, method:
            case "GET", "com.atproto.server.getSession":
                return httpx.Response(200, json={"did": "did:plc:hub", "handle": self.identifier})
            case "GET", "com.atproto.identity.resolveHandle":
                did = self.handles.get(params.get("handle", ""))
                return (
                    httpx.Response(200, json={"did": did})
                    if did
                    else xrpc_error(400, "InvalidRequest")
                )
            case "GET", "com.atproto.repo.getRecord":
                uri = f"at://{params['repo']}/{params['collection']}/{params['rkey']}"
                if uri not in self.records:
                    return xrpc_error(400, "RecordNotFound")
                return httpx.Response(200, json={"uri": uri, "cid": self.records[uri], "value": {}})
            case "POST", "com.atproto.moderation.createReport":
                return self._report(request)
        return xrpc_error(501, "MethodNotImplemented")

    def _create_session(self, request: httpx.Request) -> httpx.Response:
        if request.headers.get("content-type") != "application/json":
            return xrpc_error(400, "InvalidRequest")
        body = json.loads(request.content)
        if body != {"identifier": self.identifier, "password": self.password}:
            return xrpc_error(401, "AuthenticationRequired")
        return self._new_session()

    def _new_session(self) -> httpx.Response:
        self.sessions += 1
        end = self.clock.now() + timedelta(hours=2)
        access = jwt(scope="com.atproto.appPass", exp=int(end.timestamp()), jti=self.sessions)
        refresh = jwt(scope="com.atproto.refresh", jti=self.sessions)
        self.access.add(access)
        self.refreshes.add(refresh)
        body = {"accessJwt": access, "refreshJwt": refresh, "handle": self.identifier}
        return httpx.Response(200, json={**body, "did": "did:plc:hub", "active": True})

    def _report(self, request: httpx.Request) -> httpx.Response:
        if request.headers.get("atproto-proxy") != f"{LABELER}#atproto_labeler":
            return xrpc_error(400, "InvalidRequest")
        if request.headers.get("content-type") != "application/json":
            return xrpc_error(400, "InvalidRequest")
        body = json.loads(request.content)
        subject = body.get("subject", {})
        shapes = {
            "com.atproto.admin.defs#repoRef": {"$type", "did"},
            "com.atproto.repo.strongRef": {"$type", "uri", "cid"},
        }
        text = body.get("reason", "")
        if (
            set(body) - {"reasonType", "reason", "subject", "modTool"}
            or body.get("reasonType") not in REASONS
            or set(subject) != shapes.get(subject.get("$type"))
            or len(text) > 2000
            or len(text.encode()) > 20_000
        ):
            return xrpc_error(400, "InvalidRequest")
        if "uri" in subject and self.records.get(subject["uri"]) != subject["cid"]:
            return xrpc_error(400, "InvalidRequest")
        made = {
            **body,
            "id": len(self.reports) + 1,
            "reportedBy": "did:plc:hub",
            "createdAt": self.clock.now().isoformat(),
        }
        self.reports.append(made)
        return httpx.Response(200, json=made)
