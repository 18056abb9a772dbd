# SPDX-License-Identifier: Apache-2.0
"""A PDS with a labeler behind it that lists its reasons.

Answers as @atproto/pds 0.4.217 and @atproto/ozone 0.1.169 do; tests/partners/test_bluesky.py asks
both the same. Sources: bluesky-social/atproto, lexicons/com/atproto/moderation/createReport.json,
server/{createSession,refreshSession,getSession}.json, identity/resolveHandle.json,
repo/getRecord.json, lexicons/tools/ozone/report/defs.json; AT Protocol, "HTTP API (XRPC)"
(atproto.com/specs/xrpc).
"""

import base64
import json
import re
from datetime import timedelta
from typing import Any

import httpx
from wasl_chassis.testing import FakeClock

LABELER = "did:plc:labelerlabelerlabelerla"
AUTHOR = "did:plc:authorauthorauthorautho"
SIGNATURE = ".secret-signature"
CID = "bafyreickh3vz3xordvm3mfc6xmng4vqneqci7gvd2ilbrfebcpdsxm27dm"
#: All of tools.ozone.report.defs, but the appeal, which is not for reporters.
_NAMES = {
    "": "Other",
    "Violence": "Animal Threats GraphicContent Glorification ExtremistContent Trafficking Other",
    "Sexual": "AbuseContent NCII Deepfake Animal Unlabeled Other",
    "ChildSafety": "CSAM Groom Privacy Harassment Other",
    "Harassment": "Troll Targeted HateSpeech Doxxing Other",
    "Misleading": "Bot Impersonation Spam Scam Elections Other",
    "Rule": "SiteSecurity ProhibitedSales BanEvasion Other",
    "SelfHarm": "Content ED Stunts Substances Other",
}
REASONS = {
    f"tools.ozone.report.defs#reason{kind}{name}"
    for kind, names in _NAMES.items()
    for name in names.split()
} | {
    f"com.atproto.moderation.defs#reason{name}"
    for name in ("Spam", "Violation", "Misleading", "Sexual", "Rude", "Other")
}

_SUBJECTS = {
    "com.atproto.admin.defs#repoRef": {"did": r"did:[a-z]+:[A-Za-z0-9._:%-]+"},
    "com.atproto.repo.strongRef": {"uri": r"at://.+", "cid": r"b[a-z2-7]{58}"},
}


def xrpc_error(status: int, name: str) -> httpx.Response:
    return httpx.Response(status, json={"error": name, "message": "made up"})


def jwt(**claims: Any) -> str:
    parts = [{"alg": "none"}, claims]
    coded = [base64.urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in parts]
    return ".".join(coded) + SIGNATURE


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
        self.gone = False  # the hub's account, taken down
        self.records = {f"at://{AUTHOR}/app.bsky.feed.post/3k2a": CID}

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        method = request.url.path.removeprefix("/xrpc/")
        self.calls.append(method.rsplit(".", 1)[-1])
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        match request.method, method:
            case "POST", "com.atproto.server.createSession":
                return self._create_session(request)
            case "POST", "com.atproto.server.refreshSession":
                if request.content:
                    return xrpc_error(400, "InvalidRequest")
                if bearer not in self.refreshes:
                    return self._no_session(bearer)
                if self.gone:
                    return xrpc_error(401, "AccountTakedown")
                return self._new_session()  # for two hours the old token does so again
        params = dict(request.url.params)
        match request.method, method:  # public, whatever the token
            case "GET", "com.atproto.identity.resolveHandle":
                did = self.handles.get(params.get("handle", ""))
                return (
                    httpx.Response(200, json={"did": did})
                    if did
                    else xrpc_error(400, "InvalidRequest")
                )
            case "GET", "com.atproto.repo.getRecord":
                uri = f"at://{params['repo']}/{params['collection']}/{params['rkey']}"
                if params["repo"] not in self.handles.values():
                    return xrpc_error(400, "InvalidRequest")
                if uri not in self.records:
                    return xrpc_error(400, "RecordNotFound")
                return httpx.Response(200, json={"uri": uri, "cid": self.records[uri], "value": {}})
        if bearer not in self.access:
            return self._no_session(bearer)
        match request.method, method:
            case "GET", "com.atproto.server.getSession":
                if self.gone:
                    return xrpc_error(400, "InvalidRequest")
                return httpx.Response(200, json={"did": "did:plc:hub", "handle": self.identifier})
            case "POST", "com.atproto.moderation.createReport":
                return self._report(request)
        return xrpc_error(501, "MethodNotImplemented")

    def _no_session(self, bearer: str) -> httpx.Response:
        if not bearer:
            return xrpc_error(401, "AuthMissing")
        ended = bearer.endswith(SIGNATURE) and bearer not in self.access | self.refreshes
        return xrpc_error(400, "ExpiredToken" if ended else "InvalidToken")

    def _create_session(self, request: httpx.Request) -> httpx.Response:
        if request.headers.get("content-type") != "application/json":
            return xrpc_error(400, "InvalidRequest")
        body = json.loads(request.content)
        if self.gone or body != {"identifier": self.identifier, "password": self.password}:
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
        if self.gone:
            return xrpc_error(403, "AccountTakedown")
        subject, text = body.get("subject"), body.get("reason", "")
        known = _SUBJECTS.get(subject.get("$type"), {}) if isinstance(subject, dict) else {}
        if (
            not known
            or not all(re.fullmatch(form, subject.get(name, "")) for name, form in known.items())
            or body.get("reasonType") not in REASONS
            # The server counts graphemes; a text of one code point each is as long in both.
            or len(text) > 2000
            or len(text.encode()) > 20_000
        ):
            return xrpc_error(400, "InvalidRequest")
        # Nothing is looked up, and what the lexicon does not name is dropped without a word.
        made = {
            "id": len(self.reports) + 1,
            "createdAt": self.clock.now().isoformat(),
            "reasonType": body["reasonType"],
            "reason": text,
            "reportedBy": "did:plc:hub",
            "subject": {name: subject[name] for name in ("$type", *known)},
        }
        self.reports.append(made)
        return httpx.Response(200, json=made)
