# SPDX-License-Identifier: Apache-2.0
"""The public API, and the app that serves it together with the pages.

A receipt travels in a header or a body, never in a URL: URLs end up in histories, in logs of
proxies and in Referer headers. Nothing about the caller, address or agent, is read.
"""

import json
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request, Response
from pydantic import TypeAdapter
from starlette.routing import BaseRoute, Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from wasl_chassis.failures import Overloaded
from wasl_chassis.headers import Addresses, Headers, kind_of
from wasl_chassis.metrics import Metrics
from wasl_chassis.web import Problem, add_problem_handlers, field_problem, read_body, validate

from wasl_intake import answers
from wasl_intake import metrics as measure
from wasl_intake.answers import FollowAnswer, SubmitAnswer, TestAnswer, inlined
from wasl_intake.domain import receipt
from wasl_intake.domain.flood import Lane
from wasl_intake.domain.submission import MESSAGE, RECEIPT, REPORT, ReportRequest
from wasl_intake.gate import Challenged, Gate
from wasl_intake.handlers import (
    AlreadyWithdrawn,
    Following,
    IntakeHandlers,
    RepeatDiffers,
    ThreadFull,
    UnknownReceipt,
)
from wasl_intake.keyring import ANYBODY, KeyRing
from wasl_intake.words import Card, Number, Words

JSON = "application/json"
API = "/api/v1"
#: Shorter keys would meet by chance, and an anonymous API has no account to tell callers apart.
REPEAT_KEY_MIN, REPEAT_KEY_MAX = 16, 255

_METHODS = frozenset({"GET", "HEAD", "POST"})


class _Edge:
    """Around every request: headers that keep browsers from leaking, and its duration."""

    def __init__(
        self, app: ASGIApp, metrics: Metrics, routes: Sequence[BaseRoute], headers: Headers
    ) -> None:
        self._app = app
        self._headers = headers
        self._metrics = metrics
        self._routes = [route for route in routes if isinstance(route, Route)]
        self._paths = frozenset(route.path for route in self._routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500

        async def guarded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if status == 405:
                    kept = [p for p in message["headers"] if p[0] != b"allow"]
                    message["headers"] = [*kept, (b"allow", self._allowed(scope))]
                if status == 307:
                    kept = [p for p in message["headers"] if p[0] != b"location"]
                    message["headers"] = [*kept, (b"location", _slashed(scope))]
                given = {name for name, _ in message["headers"]}
                kind = kind_of(scope["path"], scope["method"], status)
                message["headers"] += [p for p in self._headers.of(kind) if p[0] not in given]
                message["headers"] += self._headers.onion_location(kind, scope["path"])
            await send(message)

        try:
            await self._app(scope, receive, guarded)
        finally:
            # Strangers choose paths and methods; only ours become labels.
            known = scope["path"] in self._paths and scope["method"] in _METHODS
            path, method = (scope["path"], scope["method"]) if known else ("other", "other")
            seconds = time.perf_counter() - started
            measure.record_request(self._metrics, path, method, status, seconds)

    def _allowed(self, scope: Scope) -> bytes:
        """Of the whole path; a router names the methods of one route, and a path may have more."""
        fitting = (r for r in self._routes if r.matches(scope)[0] is not Match.NONE)
        return ", ".join(sorted({m for r in fitting for m in r.methods or ()})).encode()


def _slashed(scope: Scope) -> bytes:
    """Where the router sends a path with a slash too many or too few, without the Host of the
    request: that is the sender's word, and would lead to wherever it says.
    """
    path = scope["path"]
    path = path.rstrip("/") if path.endswith("/") else f"{path}/"
    query = scope["query_string"]
    return quote("/" + path.lstrip("/")).encode() + (b"?" + query if query else b"")


def known_category(request: ReportRequest, words: Words) -> ReportRequest:
    """The request, if its category is one of the country pack's; raises the 422 otherwise."""
    if request.category is not None and request.category not in words.pack.categories:
        raise field_problem(
            "category",
            "is not a category of this country",
            f"Leave it out or use one of: {', '.join(words.pack.categories)}.",
            code="category_unknown",
        )
    return request


def repeat_key(request: Request) -> str | None:
    """The ``Idempotency-Key``; raises the 422 for one that cannot be used."""
    value = request.headers.get("idempotency-key")
    return None if value is None else usable_repeat_key(value, "Idempotency-Key")


def usable_repeat_key(value: str, field: str) -> str:
    """``value``, if it can tell one report from another; raises the 422 otherwise."""
    plain = value.isascii() and value.isprintable()
    if not plain or not REPEAT_KEY_MIN <= len(value) <= REPEAT_KEY_MAX:
        raise field_problem(
            field,
            f"must have {REPEAT_KEY_MIN} to {REPEAT_KEY_MAX} printable ASCII characters",
            "Use a fresh random UUID for each report.",
            code="repeat_key",
        )
    return value


def _unknown(error: UnknownReceipt) -> Problem:
    if error.typo:
        return Problem(
            404, "The receipt has a typing mistake", "Compare each character with what you kept."
        )
    return Problem(404, "No report belongs to this receipt")


def _receipt(request: Request) -> str:
    scheme, _, code = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "receipt" or not code.strip():
        raise Problem(
            401,
            "A receipt is needed",
            "Send the header 'Authorization: Receipt CODE'.",
            headers={"www-authenticate": 'Receipt realm="reports"'},
        )
    try:  # words in UTF-8, which headers are not read as
        return code.encode("latin-1").decode()
    except UnicodeDecodeError:
        return code


def _json(body: Any, status: int = 200) -> Response:
    return Response(json.dumps(body, ensure_ascii=False).encode(), status, media_type=JSON)


def number_json(number: Number) -> dict[str, Any]:
    return {
        "id": number.id,
        "title": number.title,
        "phone": number.phone,
        "href": number.href,
        "hours": number.hours,
        "checked": number.checked,
    }


def _card_json(card: Card) -> dict[str, Any]:
    contacts = [number_json(n) for n in card.contacts]
    return {"id": card.id, "title": card.title, "steps": list(card.steps), "contacts": contacts}


class Api:
    """Routes of the API. Each reads, calls one use case, and words the answer."""

    def __init__(
        self,
        handlers: IntakeHandlers,
        words: Words,
        metrics: Metrics,
        limit: int,
        keys: KeyRing,
        *,
        gate: Gate | None = None,
    ) -> None:
        self._handlers = handlers
        self._words = words
        self._metrics = metrics
        self._limit = limit
        self._keys = keys
        self._gate = gate

    def _admit(self, request: Request, lane: Lane) -> None:
        """Raises the 429 under a flood of this lane; who has a key is known and not asked."""
        if self._gate is not None and self._keys.holder(request) is ANYBODY:
            self._gate.at_api(lane, request.headers.get("x-challenge", ""))

    def _unknown(self, error: UnknownReceipt) -> Problem:
        if self._gate is not None:
            self._gate.failed_receipt()
        return _unknown(error)

    def _language(self, request: Request, otherwise: str) -> str:
        wanted = request.headers.get("accept-language", "").partition(",")[0].partition(";")[0]
        return self._words.language_for(wanted.strip()[:35] or otherwise)

    async def submit(self, request: Request) -> Response:
        holder = ANYBODY
        try:
            holder = self._keys.holder(request)
            holder.needs("report")
            body = await read_body(request, self._limit, media_type=JSON)
            key = repeat_key(request)
            sent = known_category(validate(REPORT, body), self._words)
            report = holder.channelled(sent)
            if holder.tests:
                self._keys.count(holder, "test")
                return _json({"test": True})
            if key is not None and holder.name is not None:
                key = holder.own("report", key)
            flood = False
            if self._gate is not None and holder.name is None:
                challenge = request.headers.get("x-challenge", "")
                flood = self._gate.at_api(self._gate.lane(report), challenge, report, key or "")
            code = await self._handlers.submit(report, body, key, flood=flood)
        except Challenged:
            raise
        except Overloaded:
            if self._gate is not None:
                self._gate.overloaded()
            raise
        except Problem as problem:
            measure.record_report(self._metrics, "none", None, "invalid")
            self._keys.count(holder, "not_allowed" if problem.status == 403 else "invalid")
            raise
        except RepeatDiffers:
            raise field_problem(
                "Idempotency-Key",
                "was used before for another report",
                "Use a fresh key for each report.",
                code="repeat_differs",
            ) from None
        self._keys.count(holder, "accepted")
        return _json(self.submitted(request, report, code), 202)

    def submitted(self, request: Request, report: ReportRequest, code: str) -> dict[str, Any]:
        """What the sender of an accepted report is told; ``answers.SubmitAnswer``."""
        answer: dict[str, Any] = {
            "receipt": receipt.grouped(code),
            "receipt_words": receipt.words(code, report.language),
            "receipt_digits": receipt.digits(code),
            "status_url": f"{API}/reports",
        }
        if report.danger_now:
            lang = self._language(request, report.language)
            numbers = self._words.numbers(lang, phones_only=True)
            answer["emergency"] = [number_json(n) for n in numbers]
        return answer

    async def follow(self, request: Request) -> Response:
        return await self._follow(request, _receipt(request))

    async def follow_body(self, request: Request) -> Response:
        body = await read_body(request, self._limit, media_type=JSON)
        return await self._follow(request, validate(RECEIPT, body).receipt)

    async def _follow(self, request: Request, typed: str) -> Response:
        self._admit(request, Lane.RECEIPTS)
        try:
            following = await self._handlers.follow(typed)
        except UnknownReceipt as error:
            raise self._unknown(error) from None
        lang = self._language(request, following.report.language)
        return _json(self._following(lang, following))

    def _following(self, lang: str, following: Following) -> dict[str, Any]:
        report, words = following.report, self._words
        lines = words.lines(lang, report.received_at, following.timeline, report.withdrawn_at)
        return {
            "language": lang,
            "status": following.status.value,
            "status_text": words.status(lang, following.status),
            "received_at": report.received_at.isoformat(),
            "withdrawn_at": report.withdrawn_at.isoformat() if report.withdrawn_at else None,
            "timeline": [
                {"time": line.time.isoformat(), "kind": line.kind, "text": line.text}
                for line in lines
            ],
            "advice": [
                _card_json(c) for c in words.advice(lang, following.advice, report.category)
            ],
            "messages": [
                {
                    "time": m.time.isoformat(),
                    "from": "staff" if m.by_staff else "reporter",
                    "question": m.question,
                    "text": m.text,
                }
                for m in following.thread
            ],
            "can_withdraw": following.can_withdraw,
        }

    async def withdraw(self, request: Request) -> Response:
        typed = _receipt(request)
        self._admit(request, Lane.RECEIPTS)
        try:
            await self._handlers.withdraw(typed)
        except UnknownReceipt as error:
            raise self._unknown(error) from None
        return Response(status_code=204)

    async def write(self, request: Request) -> Response:
        typed, key = _receipt(request), repeat_key(request)
        body = await read_body(request, self._limit, media_type=JSON)
        message = validate(MESSAGE, body).body
        self._admit(request, Lane.MESSAGES)
        try:
            await self._handlers.write(typed, message, key)
        except UnknownReceipt as error:
            raise self._unknown(error) from None
        except AlreadyWithdrawn:
            raise Problem(409, "The report was withdrawn") from None
        except ThreadFull:
            raise Problem(409, "The thread is full") from None
        return Response(status_code=202)


_PROBLEM = {
    "description": "A problem (RFC 9457) whose errors name the fields and never repeat the input",
    "content": {
        "application/problem+json": {
            "schema": {
                "type": "object",
                "required": ["type", "title", "status"],
                "properties": {
                    "type": {"type": "string"},
                    "title": {"type": "string"},
                    "status": {"type": "integer"},
                    "detail": {"type": "string"},
                    "challenge": {
                        "type": "object",
                        "description": "Only with 429; see X-Challenge",
                        "required": ["token", "difficulty", "wait"],
                        "properties": {
                            "token": {"type": "string"},
                            "difficulty": {"type": "integer"},
                            "wait": {"type": "integer"},
                        },
                    },
                    "errors": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "properties": {
                                name: {"type": "string"}
                                for name in ("field", "message", "fix", "code")
                            },
                        },
                    },
                },
            }
        }
    },
}
_REPEAT = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": (
        "A fresh random value per report. Whoever repeats the same key with the same body gets the"
        " same receipt, and there is one report."
    ),
    "schema": {"type": "string", "minLength": REPEAT_KEY_MIN, "maxLength": REPEAT_KEY_MAX},
}
_CHALLENGE = {
    "name": "X-Challenge",
    "in": "header",
    "required": False,
    "description": (
        "Only after a 429: TOKEN:ANSWER, where SHA-256 of it begins with the challenge's number of"
        " zero bits; or TOKEN alone, after the time in Retry-After."
    ),
    "schema": {"type": "string"},
}
_SCHEMES = {
    "ApiKey": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Api-Key",
        "description": (
            "An organisation's key (waslk_...), made by the hub's operator. Without one a report is"
            " of the channel api."
        ),
    },
    "Receipt": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "Receipt CODE",
    },
}
Security = tuple[dict[str, list[str]], ...]
NEEDS_KEY: Security = ({"ApiKey": []},)
_KEY_OR_NONE: Security = ({}, *NEEDS_KEY)
_NEEDS_RECEIPT: Security = ({"Receipt": []},)


_REPORT_EXAMPLE = {
    "language": "fr",
    "danger_now": False,
    "locations": ["https://example.org/page", "@name_of_an_account"],
    "narrative": "Quelqu’un menace de publier des photos.",
}
_MESSAGE_EXAMPLE = {"body": "The page is still there."}


def described(
    adapter: TypeAdapter[Any] | None,
    *parameters: dict[str, Any],
    security: Security = (),
    example: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """What FastAPI cannot know, because these routes read the raw body themselves."""
    out: dict[str, Any] = {"parameters": list(parameters), "security": list(security)}
    if adapter is not None:
        schema = adapter.json_schema()
        definitions = schema.pop("$defs", {})
        out["requestBody"] = {
            "required": True,
            "content": {
                JSON: {
                    "schema": inlined(schema, definitions),
                    **({"example": example} if example else {}),
                }
            },
        }
    return out


Responses = dict[int | str, dict[str, Any]]
#: Method, path below :data:`API`, endpoint, summary, description, responses, status.
ApiRoute = tuple[
    str, str, Callable[[Request], Awaitable[Response]], str, dict[str, Any], Responses, int
]


def problems(*statuses: int) -> Responses:
    return dict.fromkeys(statuses, _PROBLEM)


def build_app(
    handlers: IntakeHandlers,
    words: Words,
    metrics: Metrics,
    *,
    body_limit: int,
    pages: Callable[[FastAPI], None] | None = None,
    more: Iterable[ApiRoute] = (),
    partners: Callable[[Api], Iterable[ApiRoute]] = lambda _: (),
    keys: KeyRing | None = None,
    gate: Gate | None = None,
    addresses: Addresses | None = None,
) -> FastAPI:
    """The ASGI application. ``pages`` adds the pages for people, ``more`` and ``partners`` routes
    of the API; without ``keys`` everybody is anybody.
    """
    app = FastAPI(
        title="Wasl intake",
        version="1",
        description="Send a report, follow it with its receipt, write, withdraw.",
        openapi_url=f"{API}/openapi.json",
        docs_url=None,  # both pages load scripts from elsewhere
        redoc_url=None,
    )
    api = Api(handlers, words, metrics, body_limit, keys or KeyRing({}, metrics), gate=gate)
    # The hot path goes around FastAPI's dependency machinery, which costs more than the report; the
    # route added below under the same path is its description.
    app.router.routes.append(Route(f"{API}/reports", api.submit, methods=["POST"]))
    failures, read = problems(400, 408, 413, 415, 422, 429, 503), problems(401, 404, 429, 503)
    accepted: Responses = {
        202: answers.described(SubmitAnswer, "Stored for good; the receipt opens it"),
        200: answers.described(TestAnswer, "Of a key made for tests: checked, nothing stored"),
    }
    following: Responses = {200: answers.described(FollowAnswer, "What the receipt opens")}

    def add(  # noqa: PLR0917  a table of routes reads best as rows
        method: str,
        path: str,
        endpoint: Callable[[Request], Awaitable[Response]],
        summary: str,
        described: dict[str, Any],
        responses: Responses,
        status: int = 200,
    ) -> None:
        app.add_api_route(
            API + path,
            endpoint,
            methods=[method],
            summary=summary,
            status_code=status,
            response_model=None,
            response_class=Response,
            openapi_extra=described,
            responses=responses,
        )

    add(
        "POST",
        "/reports",
        api.submit,
        "Send a report",
        described(REPORT, _REPEAT, _CHALLENGE, security=_KEY_OR_NONE, example=_REPORT_EXAMPLE),
        {**accepted, **problems(401, 403, 409), **failures},
        202,
    )
    add(
        "GET",
        "/reports",
        api.follow,
        "Follow a report",
        described(None, _CHALLENGE, security=_NEEDS_RECEIPT),
        {**following, **read},
    )
    add(
        "POST",
        "/receipt",
        api.follow_body,
        "Follow a report",
        described(RECEIPT, _CHALLENGE),
        {**following, **problems(404), **failures},
    )
    add(
        "POST",
        "/reports/withdrawal",
        api.withdraw,
        "Take a report back",
        described(None, _CHALLENGE, security=_NEEDS_RECEIPT),
        {**read, **problems(409)},
        204,
    )
    add(
        "POST",
        "/reports/messages",
        api.write,
        "Write in the thread",
        described(MESSAGE, _REPEAT, _CHALLENGE, security=_NEEDS_RECEIPT, example=_MESSAGE_EXAMPLE),
        {**read, **problems(409), **failures},
        202,
    )
    for route in (*more, *partners(api)):
        add(*route)
    if pages is not None:
        pages(app)
    add_problem_handlers(app)
    describe = app.openapi

    def openapi() -> dict[str, Any]:
        schema = describe()
        schema.setdefault("components", {})["securitySchemes"] = _SCHEMES
        return schema

    app.openapi = openapi  # type: ignore[method-assign]
    headers = Headers(addresses or Addresses())
    app.add_middleware(_Edge, metrics=metrics, routes=app.routes, headers=headers)
    return app
