# SPDX-License-Identifier: Apache-2.0
"""The public API, and the app that serves it together with the pages.

A receipt travels in a header or a body, never in a URL: URLs end up in histories, in logs of
proxies and in Referer headers. Nothing about the caller, address or agent, is read.
"""

import json
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from fastapi import FastAPI, Request, Response
from pydantic import TypeAdapter
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from wasl_chassis.metrics import Metrics
from wasl_chassis.web import Problem, add_problem_handlers, field_problem, read_body, validate

from wasl_intake import metrics as measure
from wasl_intake.domain import receipt
from wasl_intake.domain.submission import MESSAGE, RECEIPT, REPORT, ReportRequest
from wasl_intake.handlers import (
    AlreadyWithdrawn,
    Following,
    IntakeHandlers,
    RepeatDiffers,
    ThreadFull,
    UnknownReceipt,
)
from wasl_intake.words import Card, Number, Words

JSON = "application/json"
API = "/api/v1"
#: Shorter keys would meet by chance, and an anonymous API has no account to tell callers apart.
REPEAT_KEY_MIN, REPEAT_KEY_MAX = 16, 255

_METHODS = frozenset({"GET", "HEAD", "POST"})
_API_HEADERS = (
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)
_POLICY = (
    b"default-src 'none'; style-src 'self'; img-src data:; form-action 'self';"
    b" base-uri 'none'; frame-ancestors 'none'"
)
_PAGE_HEADERS = (
    *_API_HEADERS,
    (b"content-security-policy", _POLICY),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), interest-cohort=(), microphone=()"),
    (b"x-frame-options", b"DENY"),
)


class _Edge:
    """Around every request: headers that keep browsers from leaking, and its duration."""

    def __init__(self, app: ASGIApp, metrics: Metrics, paths: frozenset[str]) -> None:
        self._app = app
        self._metrics = metrics
        self._paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500
        wanted = _API_HEADERS if scope["path"].startswith("/api/") else _PAGE_HEADERS

        async def guarded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                given = {name for name, _ in message["headers"]}
                message["headers"] += [pair for pair in wanted if pair[0] not in given]
            await send(message)

        try:
            await self._app(scope, receive, guarded)
        finally:
            # Strangers choose paths and methods; only ours become labels.
            known = scope["path"] in self._paths and scope["method"] in _METHODS
            path, method = (scope["path"], scope["method"]) if known else ("other", "other")
            seconds = time.perf_counter() - started
            measure.record_request(self._metrics, path, method, status, seconds)


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
    if value is None:
        return None
    plain = value.isascii() and value.isprintable()
    if not plain or not REPEAT_KEY_MIN <= len(value) <= REPEAT_KEY_MAX:
        raise field_problem(
            "Idempotency-Key",
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
        self, handlers: IntakeHandlers, words: Words, metrics: Metrics, limit: int
    ) -> None:
        self._handlers = handlers
        self._words = words
        self._metrics = metrics
        self._limit = limit

    def _language(self, request: Request, otherwise: str) -> str:
        wanted = request.headers.get("accept-language", "").partition(",")[0].partition(";")[0]
        return self._words.language_for(wanted.strip()[:35] or otherwise)

    async def submit(self, request: Request) -> Response:
        try:
            body = await read_body(request, self._limit, media_type=JSON)
            key = repeat_key(request)
            report = known_category(validate(REPORT, body), self._words)
            code = await self._handlers.submit(report, body, key)
        except Problem:
            measure.record_report(self._metrics, "none", None, "invalid")
            raise
        except RepeatDiffers:
            raise field_problem(
                "Idempotency-Key",
                "was used before for another report",
                "Use a fresh key for each report.",
                code="repeat_differs",
            ) from None
        answer: dict[str, Any] = {
            "receipt": receipt.grouped(code),
            "status_url": f"{API}/reports",
        }
        if report.danger_now:
            lang = self._language(request, report.language)
            numbers = self._words.numbers(lang, phones_only=True)
            answer["emergency"] = [number_json(n) for n in numbers]
        return _json(answer, 202)

    async def follow(self, request: Request) -> Response:
        return await self._follow(request, _receipt(request))

    async def follow_body(self, request: Request) -> Response:
        body = await read_body(request, self._limit, media_type=JSON)
        return await self._follow(request, validate(RECEIPT, body).receipt)

    async def _follow(self, request: Request, typed: str) -> Response:
        try:
            following = await self._handlers.follow(typed)
        except UnknownReceipt as error:
            raise _unknown(error) from None
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
        try:
            await self._handlers.withdraw(_receipt(request))
        except UnknownReceipt as error:
            raise _unknown(error) from None
        return Response(status_code=204)

    async def write(self, request: Request) -> Response:
        typed, key = _receipt(request), repeat_key(request)
        body = await read_body(request, self._limit, media_type=JSON)
        try:
            await self._handlers.write(typed, validate(MESSAGE, body).body, key)
        except UnknownReceipt as error:
            raise _unknown(error) from None
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
_AUTHORIZATION = {
    "name": "Authorization",
    "in": "header",
    "required": True,
    "description": "Receipt CODE",
    "schema": {"type": "string"},
}


def described(adapter: TypeAdapter[Any] | None, *parameters: dict[str, Any]) -> dict[str, Any]:
    """What FastAPI cannot know, because these routes read the raw body themselves."""
    out: dict[str, Any] = {"parameters": list(parameters)}
    if adapter is not None:
        schema = adapter.json_schema()
        definitions = schema.pop("$defs", {})
        out["requestBody"] = {
            "required": True,
            "content": {JSON: {"schema": _inlined(schema, definitions)}},
        }
    return out


def _inlined(schema: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(schema, list):
        return [_inlined(s, definitions) for s in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    return {k: _inlined(v, definitions) for k, v in schema.items()}


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
) -> FastAPI:
    """The ASGI application. ``pages`` adds the pages for people, ``more`` routes of the API."""
    app = FastAPI(
        title="Wasl intake",
        version="1",
        description="Send a report, follow it with its receipt, write, withdraw.",
        openapi_url=f"{API}/openapi.json",
        docs_url=None,  # both pages load scripts from elsewhere
        redoc_url=None,
    )
    api = Api(handlers, words, metrics, body_limit)
    # The hot path goes around FastAPI's dependency machinery, which costs more than the report; the
    # route added below under the same path is its description.
    app.router.routes.append(Route(f"{API}/reports", api.submit, methods=["POST"]))
    failures, read = problems(413, 415, 422, 503), problems(401, 404, 503)

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
            openapi_extra=described,
            responses=responses,
        )

    add("POST", "/reports", api.submit, "Send a report", described(REPORT, _REPEAT), failures, 202)
    add("GET", "/reports", api.follow, "Follow a report", described(None, _AUTHORIZATION), read)
    add("POST", "/receipt", api.follow_body, "Follow a report", described(RECEIPT), failures)
    add(
        "POST",
        "/reports/withdrawal",
        api.withdraw,
        "Take a report back",
        described(None, _AUTHORIZATION),
        read,
        204,
    )
    add(
        "POST",
        "/reports/messages",
        api.write,
        "Write in the thread",
        described(MESSAGE, _AUTHORIZATION, _REPEAT),
        {**read, **failures},
        202,
    )
    for route in more:
        add(*route)
    if pages is not None:
        pages(app)
    add_problem_handlers(app)
    paths = frozenset(getattr(route, "path", "") for route in app.routes)
    app.add_middleware(_Edge, metrics=metrics, paths=paths)
    return app
