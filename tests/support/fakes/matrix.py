# SPDX-License-Identifier: Apache-2.0
"""A Matrix homeserver (server name ``matrix.test``), strict about what it takes.

Sources: Matrix client-server API, "Reporting content" (data/api/client-server/report_content.yaml),
"Room aliases", "Joining rooms", "Standard error response", "Rate limiting"; Synapse admin API,
"Show reported events" (docs/admin_api/event_reports.md) and its user_reports twin. What the pages
leave open is done as Synapse 1.163 does it: tests/partners/test_matrix.py runs on the real one.
"""

import json
from typing import Any
from urllib.parse import unquote

import httpx

ROOM, EVENT, ALIAS = "!room:matrix.test", "$event-1", "#room:matrix.test"
PRIVATE = "!private:matrix.test"
US = "@wasl:matrix.test"


def error(status: int, errcode: str, **more: Any) -> httpx.Response:
    return httpx.Response(status, json={"errcode": errcode, "error": "made up", **more})


class FakeMatrix:
    base = "https://matrix.test"

    def __init__(self) -> None:
        self.reports: list[dict[str, Any]] = []
        self.tokens = {"secret-token": US, "secret-admin": "@admin:matrix.test"}
        self.admins = {"@admin:matrix.test"}
        self.users = {US, "@admin:matrix.test", "@somebody:matrix.test"}
        self.rooms = {ROOM: {EVENT, "$a/b+c"}, PRIVATE: {"$event-2"}}
        self.public = {ROOM}
        self.joined = {(US, ROOM)}
        self.aliases = {ALIAS: ROOM}
        #: What came in, as ``METHOD /path``.
        self.calls: list[str] = []
        self.vias: list[str] = []
        #: Room and user reports taken before the limit; None: no limit.
        self.burst: int | None = None
        #: Since 1.18 a server may answer 200 to a report of what it does not know.
        self.hides_unknown = False
        #: Events in rooms whose statistics are not computed yet are stored and not listed.
        self.lists_events = True

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        raw = request.url.raw_path.decode().partition("?")[0]
        self.calls.append(f"{request.method} {raw}")
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or not token:
            return error(401, "M_MISSING_TOKEN")
        user = self.tokens.get(token)
        if user is None:
            return error(401, "M_UNKNOWN_TOKEN", soft_logout=False)
        parts = [unquote(part) for part in raw.strip("/").split("/")]
        if parts[:3] == ["_matrix", "client", "v3"]:
            return self._client(request, user, parts[3:])
        if parts[:3] == ["_synapse", "admin", "v1"] and request.method == "GET":
            if user not in self.admins:
                return error(403, "M_FORBIDDEN")
            return self._list(request, parts[3:])
        return error(404, "M_UNRECOGNIZED")

    def _client(self, request: httpx.Request, user: str, parts: list[str]) -> httpx.Response:
        match request.method, parts:
            case "GET", ["account", "whoami"]:
                return httpx.Response(200, json={"user_id": user, "device_id": "D"})
            case "GET", ["directory", "room", alias]:
                room = self.aliases.get(alias)
                if room is None:
                    return error(404, "M_NOT_FOUND")
                servers = ["matrix.test", "not a server"]
                return httpx.Response(200, json={"room_id": room, "servers": servers})
            case "POST", ["join", room]:
                return self._join(request, user, room)
            case "POST", ["rooms", room, "report", event]:
                return self._event(request, user, room, event)
            case "POST", ["rooms", room, "report"]:
                return self._limited(request, user, {"room_id": room}, room in self.rooms)
            case "POST", ["users", target, "report"]:
                return self._user(request, user, target)
        return error(404, "M_UNRECOGNIZED")

    def _join(self, request: httpx.Request, user: str, room: str) -> httpx.Response:
        if not isinstance(self._body(request), dict):
            return error(400, "M_NOT_JSON")
        self.vias += request.url.params.get_list("via")
        if room not in self.rooms:
            return error(404, "M_NOT_FOUND")
        if room not in self.public:
            return error(403, "M_FORBIDDEN")
        self.joined.add((user, room))
        return httpx.Response(200, json={"room_id": room})

    def _event(self, request: httpx.Request, user: str, room: str, event: str) -> httpx.Response:
        reason = self._reason(request)
        if isinstance(reason, httpx.Response):
            return reason
        if (user, room) not in self.joined or event not in self.rooms.get(room, ()):
            return httpx.Response(200, json={}) if self.hides_unknown else error(404, "M_NOT_FOUND")
        return self._store(user, reason, {"room_id": room, "event_id": event})

    def _user(self, request: httpx.Request, user: str, target: str) -> httpx.Response:
        known = target in self.users
        answer = self._limited(request, user, {"target_user_id": target}, known)
        # Whether a user exists is not told.
        return httpx.Response(200, json={}) if answer.status_code == 404 else answer

    def _limited(
        self, request: httpx.Request, user: str, about: dict[str, str], known: bool
    ) -> httpx.Response:
        if self.burst is not None:
            if self.burst == 0:
                return error(429, "M_LIMIT_EXCEEDED", retry_after_ms=1500)
            self.burst -= 1
        reason = self._reason(request)
        if isinstance(reason, httpx.Response):
            return reason
        if "target_user_id" in about and len(reason) > 1000:
            return error(400, "M_BAD_JSON")
        return self._store(user, reason, about) if known else error(404, "M_NOT_FOUND")

    def _store(self, user: str, reason: str, about: dict[str, str]) -> httpx.Response:
        number = len(self.reports) + 1
        self.reports.append({"id": number, "user_id": user, "reason": reason, **about})
        return httpx.Response(200, json={})

    def _reason(self, request: httpx.Request) -> str | httpx.Response:
        body = self._body(request)
        if not isinstance(body, dict):
            return error(400, "M_NOT_JSON")
        # "score" was removed in 1.18.
        if set(body) != {"reason"} or not isinstance(body["reason"], str):
            return error(400, "M_BAD_JSON")
        reason: str = body["reason"]
        return reason

    def _body(self, request: httpx.Request) -> Any:
        if request.headers.get("content-type") != "application/json":
            return None
        try:
            return json.loads(request.content)
        except ValueError:
            return None

    def _list(self, request: httpx.Request, parts: list[str]) -> httpx.Response:
        kinds = {"event_reports": "event_id", "user_reports": "target_user_id"}
        if len(parts) != 1 or parts[0] not in kinds:
            return error(404, "M_UNRECOGNIZED")
        asked = request.url.params
        if not {"from", "limit", "dir", "user_id"} >= set(asked):
            return error(400, "M_INVALID_PARAM")
        start, limit = int(asked.get("from", "0")), int(asked.get("limit", "100"))
        rows = [
            row
            for row in self.reports
            if kinds[parts[0]] in row and asked.get("user_id", "") in row["user_id"]
        ]
        if parts[0] == "event_reports" and not self.lists_events:
            rows = []
        if asked.get("dir", "b") == "b":
            rows.reverse()
        body: dict[str, Any] = {parts[0]: rows[start : start + limit], "total": len(rows)}
        if start + limit < len(rows):
            body["next_token"] = start + limit
        return httpx.Response(200, json=body)
