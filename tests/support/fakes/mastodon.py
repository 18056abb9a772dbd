# SPDX-License-Identifier: Apache-2.0
"""A Mastodon and a GoToSocial instance, written from their published APIs, strict in what they take.

Sources: Mastodon, "reports API methods" (docs.joinmastodon.org/methods/reports/), "search API
methods" (/methods/search/), "Rate limits" (/api/rate-limits/); GoToSocial, "API Documentation"
(docs.gotosocial.org/en/latest/api/swagger/: reportCreate, reports, reportGet, searchGet).
"""

from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

import httpx
from wasl_chassis.testing import FakeClock

_FIELDS = {"account_id", "status_ids[]", "comment", "forward", "category", "rule_ids[]"}


def account(number: int, name: str, host: str, *, local: bool) -> dict[str, Any]:
    acct = name if local else f"{name}@{host}"
    url = f"https://{host}/@{name}"
    return {"id": f"A{number}", "username": name, "acct": acct, "url": url, "uri": f"{url}/actor"}


class FakeMastodon:
    """``home``: the host whose items are its own; those of ``other.example`` came by federation."""

    base = "https://mastodon.test"
    home, token = "mastodon.test", "secret-token"
    categories = frozenset({"spam", "legal", "violation", "other"})

    def __init__(self) -> None:
        self.reports: list[dict[str, Any]] = []
        self.calls: list[str] = []
        self.clock = FakeClock()
        self.accounts = [
            account(1, "someone", self.home, local=True),
            account(2, "stranger", "other.example", local=False),
        ]
        self.statuses = [
            self._status(f"https://{a['url'].split('/')[2]}/@{a['username']}/10{n}", n, a)
            for n, a in enumerate(self.accounts)
        ]
        #: What a search says beside, or instead of, the item that was meant.
        self.lookalike = False

    @staticmethod
    def _status(url: str, number: int, by: dict[str, Any]) -> dict[str, Any]:
        return {"id": f"P{number}", "url": url, "uri": f"{url}/object", "account": by}

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.calls.append(f"{request.method} {request.url.path}")
        if request.headers.get("authorization") != f"Bearer {self.token}":
            return httpx.Response(401, json={"error": "The access token is invalid"})
        match request.method, request.url.path:
            case "GET", "/api/v1/accounts/verify_credentials":
                return httpx.Response(200, json={"id": "A0", "username": "hub", "acct": "hub"})
            case "GET", "/api/v2/search":
                return self._search(dict(request.url.params))
            case "POST", "/api/v1/reports":
                return self._report(request)
        return self._more(request)

    def _more(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(404, json={"error": "Record not found"})

    def _search(self, params: dict[str, str]) -> httpx.Response:
        q = params.get("q", "")
        if not q or set(params) - {"q", "resolve", "limit", "type"}:
            return httpx.Response(400, json={"error": "bad request"})
        view = q.rsplit("/", 1)[-1]
        statuses = [s for s in self.statuses if q in (s["url"], s["uri"]) or view == s["id"]]
        handles = {f"{a['username']}@{a['url'].split('/')[2]}": a for a in self.accounts}
        accounts = [a for a in self.accounts if q in (a["url"], a["uri"])]
        accounts += [a for h, a in handles.items() if view.removeprefix("@") in (h, a["id"])]
        if self.lookalike:
            statuses, accounts = [self.statuses[0]], [self.accounts[0]]
        body = {"accounts": accounts, "statuses": statuses, "hashtags": []}
        return httpx.Response(200, json=body)

    def _report(self, request: httpx.Request) -> httpx.Response:
        if request.headers.get("content-type") != "application/x-www-form-urlencoded":
            return httpx.Response(400, json={"error": "bad request"})
        pairs = parse_qsl(request.content.decode(), keep_blank_values=True)
        form, ids = dict(pairs), [v for n, v in pairs if n == "status_ids[]"]
        if set(form) - _FIELDS or form.get("forward", "false") not in ("true", "false"):
            return httpx.Response(400, json={"error": "bad request"})
        if form.get("account_id") not in {a["id"] for a in self.accounts}:
            return httpx.Response(404, json={"error": "Record not found"})
        theirs = {s["id"] for s in self.statuses if s["account"]["id"] == form["account_id"]}
        if set(ids) - theirs:
            return httpx.Response(404, json={"error": "Record not found"})
        category = form.get("category", "other")
        if len(form.get("comment", "")) > 1000 or category not in self.categories:
            return self._invalid()
        report = {
            "id": self._new_id(),
            "action_taken": False,
            "action_taken_at": None,
            "category": category,
            "comment": form.get("comment", ""),
            "forwarded": form.get("forward") == "true",
            "created_at": self._stamp(self.clock.now()),
            "status_ids": ids,
            "rule_ids": None,
            "target_account": {"id": form["account_id"]},
        }
        self.reports.append(report)
        return httpx.Response(200, json=report)

    def _invalid(self) -> httpx.Response:
        return httpx.Response(422, json={"error": "Validation failed: Comment is too long"})

    def _new_id(self) -> str:
        return str(len(self.reports) + 1)

    @staticmethod
    def _stamp(when: datetime) -> str:
        return when.strftime("%Y-%m-%dT%H:%M:%S.000Z")


class FakeGoToSocial(FakeMastodon):
    base = "https://gotosocial.test"
    home = "gotosocial.test"
    categories = frozenset({"other"})

    def _new_id(self) -> str:
        return f"01GTS{len(self.reports) + 1:021d}"

    def _invalid(self) -> httpx.Response:
        return httpx.Response(400, json={"error": "Bad Request: comment length"})

    def _more(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        missing = httpx.Response(404, json={"error": "Not Found"})
        if request.method != "GET" or not path.startswith("/api/v1/reports"):
            return missing
        report_id = path.removeprefix("/api/v1/reports").removeprefix("/")
        if report_id:
            found = next((r for r in self.reports if r["id"] == report_id), None)
            return missing if found is None else httpx.Response(200, json=found)
        params = dict(request.url.params)
        limit = min(max(int(params.get("limit", "20")), 1), 100)
        older = [r for r in self.reports if r["id"] < params.get("max_id", "~")]
        return httpx.Response(200, json=older[::-1][:limit])

    def resolve(self, number: int, said: str | None) -> None:
        """Moderators close a report, with or without a word."""
        taken = {"action_taken": True, "action_taken_at": self._stamp(self.clock.now())}
        self.reports[number] |= {**taken, "action_taken_comment": said}
