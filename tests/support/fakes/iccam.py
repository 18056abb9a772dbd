# SPDX-License-Identifier: Apache-2.0
"""ICCAM's API version 3: short-lived tokens, numbers as numbers, a hotline reference used once.

Written from the ICCAM API 3.0 description (https://api-demo.iccam.net/swagger/index.html) and its
open client, github.com/AbuseIO/SCART-application (classes/iccam/api3). ``now`` is its clock. The
client certificate is the transport's business and is tried in test_iccam.py over real TLS.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

_CODES = {
    "classification": {1, 2, 4},
    "ageCategorization": {1, 2, 3, 4},
    "genderCategorization": {1, 2, 3, 4},
    "virtualContentCategorization": {0, 1},
    "userGeneratedContentCategorization": {0, 1},
    "childModelingCategorization": {0, 1},
}
_SITE_TYPES = {2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 18, 20, 22}
_REPORT = {
    "reportingAnalystName",
    "hotlineReceivedDate",
    "hotlineReference",
    "memo",
    "sourceUrlReferrer",
    "sourceUrlUsername",
    "sourceUrlPassword",
    "sourceUrlSiteType",
    "sourceUrlCommerciality",
    "sourceUrlPaymentMethods",
    "urls",
}
_ITEM = {
    "urlString",
    "hotlineReference",
    "hostingCountryCode",
    "hostingIpAddress",
    "hostingIsp",
    "hostingOrganization",
    "isSourceUrl",
    "memo",
    "contentType",
    "assessment",
    "actions",
}
Errors = dict[str, list[str]]


@dataclass
class _Session:
    refresh: str
    begins: datetime
    ends: datetime


class FakeIccam:
    base = "https://iccam.test"
    username = "hub"
    password = "secret-password"

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 5, 9, 30, tzinfo=UTC)
        self.lifetime = timedelta(seconds=1800)
        #: How long after signing in a token is of no use yet.
        self.settling = timedelta(0)
        #: False: a new report has no contents yet.
        self.settled = True
        self.reports: list[dict[str, Any]] = []
        self.actions: dict[int, list[dict[str, Any]]] = {}
        self.calls: list[str] = []
        self._sessions: dict[str, _Session] = {}
        self._number = 0

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.strip("/")
        self.calls.append(f"{request.method} {path}")
        sends = request.method in {"POST", "PUT"}
        if sends and request.headers.get("content-type") != "application/json":
            return httpx.Response(415)
        try:
            body = json.loads(request.content) if sends else None
        except ValueError:
            return _failed(400, {"$": ["not JSON"]})
        if request.method == "POST" and path == "Authentication":
            return self._sign_in(body)
        if request.method == "POST" and path == "Authentication/refresh":
            return self._renew(body)
        if not self._known(request.headers.get("authorization", "")):
            return _failed(401, {"token": ["invalid or expired"]})
        return self._answer(request.method, path.split("/"), body)

    def end_sessions(self) -> None:
        """As when ICCAM restarts: no token is known any more."""
        self._sessions.clear()

    # -- sessions --

    def _sign_in(self, body: Any) -> httpx.Response:
        if body != {"username": self.username, "password": self.password}:
            return _failed(401, {"username": ["unknown user or wrong password"]})
        return self._session()

    def _renew(self, body: Any) -> httpx.Response:
        given = body if isinstance(body, dict) else {}
        session = self._sessions.pop(str(given.get("bearerToken")), None)
        if session is None or session.refresh != given.get("refreshToken"):
            return _failed(400, {"refreshToken": ["invalid"]})
        return self._session()

    def _session(self) -> httpx.Response:
        self._number += 1
        bearer, refresh = f"bearer-{self._number}", f"refresh-{self._number}"
        begins = self.now + self.settling
        self._sessions[bearer] = _Session(refresh, begins, self.now + self.lifetime)
        return httpx.Response(
            200,
            json={
                "bearerToken": bearer,
                "refreshToken": refresh,
                "bearerTokenExpiresIn": int(self.lifetime.total_seconds()),
            },
        )

    def _known(self, header: str) -> bool:
        session = self._sessions.get(header.removeprefix("Bearer "))
        return session is not None and session.begins <= self.now < session.ends

    # -- reports --

    def _answer(self, method: str, path: list[str], body: Any) -> httpx.Response:
        match method, path:
            case "GET", ["Authentication", "userinfo"]:
                return httpx.Response(200, json={"isAuthenticated": True})
            case "POST", ["rest", "reports"]:
                return self._report(body)
            case "GET", ["rest", "Reports", number] if self._index(number) is not None:
                return httpx.Response(200, json=self._shown(int(number)))
            case "GET", ["rest", "Content", number] if self._index(number) is not None:
                content = {"contentId": int(number), "assignedCountryCode": None}
                return httpx.Response(
                    200, json={**content, "actions": self.actions.get(int(number), [])}
                )
        return httpx.Response(404)

    def _index(self, number: str) -> int | None:
        index = int(number) - 1001 if number.isdigit() else -1
        return index if 0 <= index < len(self.reports) else None

    def _shown(self, number: int) -> dict[str, Any]:
        url = self.reports[number - 1001]["urls"][0]["urlString"]
        contents = [{"contentId": number, "urlString": url}] if self.settled else []
        return {"reportId": number, "reportContents": contents}

    def _report(self, body: Any) -> httpx.Response:
        errors = _wrong(body)
        taken = {r["hotlineReference"] for r in self.reports}
        if not errors and body["hotlineReference"] in taken:
            errors = {"HotlineReference": ["already used by your hotline"]}
        if errors:
            return _failed(400, errors)
        self.reports.append(body)
        return httpx.Response(200, json=1000 + len(self.reports))


def _failed(status: int, errors: Errors) -> httpx.Response:
    return httpx.Response(status, json={"title": "failed", "status": status, "errors": errors})


def _code(value: Any, allowed: set[int]) -> bool:
    """A JSON number: neither a string nor a boolean will do."""
    return type(value) is int and value in allowed


def _wrong(body: Any) -> Errors:
    if not isinstance(body, dict) or set(body) != _REPORT:
        return {"report": ["fields"]}
    found = [
        name
        for name, good in {
            "reportingAnalystName": _text(body["reportingAnalystName"]),
            "hotlineReceivedDate": _date(body["hotlineReceivedDate"]),
            "hotlineReference": _text(body["hotlineReference"]),
            "memo": isinstance(body["memo"], str),
            "sourceUrlUsername": isinstance(body["sourceUrlUsername"], str),
            "sourceUrlPassword": isinstance(body["sourceUrlPassword"], str),
            "sourceUrlSiteType": _code(body["sourceUrlSiteType"], _SITE_TYPES),
            "sourceUrlCommerciality": _code(body["sourceUrlCommerciality"], {1, 2, 3}),
            "sourceUrlPaymentMethods": isinstance(body["sourceUrlPaymentMethods"], list)
            and all(_code(m, set(range(1, 14))) for m in body["sourceUrlPaymentMethods"]),
            "urls": isinstance(body["urls"], list)
            and len(body["urls"]) > 0
            and all(_item(item, body["hotlineReference"]) for item in body["urls"]),
        }.items()
        if not good
    ]
    return {name: ["invalid"] for name in found}


def _item(item: Any, report: Any) -> bool:
    if not isinstance(item, dict) or set(item) != _ITEM:
        return False
    assessment = item["assessment"]
    return (
        _text(item["urlString"])
        and item["urlString"].startswith(("https://", "http://"))
        and _text(item["hotlineReference"])
        and item["hotlineReference"] != report
        and item["isSourceUrl"] in (True, False)
        and _code(item["contentType"], {1, 2})
        and item["actions"] == []
        and isinstance(assessment, dict)
        and set(assessment) == {"assessingAnalystName", *_CODES}
        and all(_code(assessment[name], allowed) for name, allowed in _CODES.items())
    )


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _date(value: Any) -> bool:
    try:
        return (
            isinstance(value, str) and value.endswith("Z") and bool(datetime.fromisoformat(value))
        )
    except ValueError:
        return False
