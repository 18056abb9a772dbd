# SPDX-License-Identifier: Apache-2.0
"""What every HTTP door of the hub shares: bounded bodies, strict JSON, problems (RFC 9457).

Whatever a stranger sends ends as a 4xx that names the field and never repeats the value. A
dependency that is away is a 503 with Retry-After, a bug is a 500 without a word about its cause.
Works on Starlette and on FastAPI, which is a Starlette.
"""

import asyncio
import json
import logging
import math
import re
from collections.abc import Collection, Mapping, Sequence
from http import HTTPStatus
from typing import Any, NoReturn, TypedDict, TypeVar, cast
from urllib.parse import urlsplit

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wasl_chassis.failures import Conflict, KeyDestroyed, Locked, Overloaded, Retryable

log = logging.getLogger(__name__)
T = TypeVar("T")

#: Errors listed in one problem; whoever sends thousands does not need them all.
MAX_ERRORS = 20
_NAME_LENGTH = 64


class FieldError(TypedDict, total=False):
    """One entry of a problem's ``errors``. ``code`` is a constant word a client may translate."""

    field: str
    message: str
    fix: str
    code: str


class Problem(Exception):  # noqa: N818  the RFC's word
    """An answer that is an error: ``application/problem+json``.

    ``title`` is a constant sentence; the problem's ``type`` is derived from it, so changing a title
    changes the contract. ``detail`` and ``errors`` must not contain what the client sent, except
    field names.
    """

    def __init__(
        self,
        status: int,
        title: str,
        detail: str = "",
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(title)
        self.status = status
        self.title = title
        self.detail = detail
        self.errors = list(errors)
        self.headers = dict(headers or {})

    @property
    def type(self) -> str:
        slug = re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")
        return f"urn:wasl:problem:{slug}"

    def body(self) -> dict[str, Any]:
        out: dict[str, Any] = {"type": self.type, "title": self.title, "status": self.status}
        if self.detail:
            out["detail"] = self.detail
        if self.errors:
            out["errors"] = self.errors
        return out

    def response(self) -> Response:
        return Response(
            json.dumps(self.body()).encode(),
            self.status,
            {"cache-control": "no-store", "x-content-type-options": "nosniff", **self.headers},
            "application/problem+json",
        )


def field_problem(
    field: str, message: str, fix: str, *, code: str = "invalid", status: int = 422
) -> Problem:
    """A problem about one field."""
    error: FieldError = {"field": field, "message": message, "fix": fix, "code": code}
    return Problem(status, "The request is not valid", f"{field}: {message}", [error])


def safe_name(key: str) -> str:
    """A field name as the client wrote it, cut, without characters that harm a log or a page."""
    cut = key[:_NAME_LENGTH]
    return "".join(c if c.isascii() and (c.isalnum() or c in "_-$.") else "?" for c in cut) or "?"


def field_path(loc: Sequence[int | str]) -> str:
    """``("locations", 3, "url")`` → ``locations[3].url``; the document itself is ``body``."""
    out = ""
    for part in loc:
        if isinstance(part, int):
            out += f"[{part}]"
        else:
            out += f"{'.' if out else ''}{safe_name(part)}"
    return out or "body"


def sent_from_elsewhere(request: Request, own: Collection[str] = ()) -> bool:
    """Another site made the browser send this: Fetch Metadata (W3C), or the Origin of browsers too
    old for that. "null" is no answer: a page without Referer, like ours, may say it. ``own``: hosts
    we are known under besides the one asked.
    """
    told = request.headers.get("sec-fetch-site")
    if told is not None:
        return told in ("cross-site", "same-site")
    origin = urlsplit(request.headers.get("origin", "null")).netloc
    return bool(origin) and origin not in (request.headers.get("host", ""), *own)


# --- bodies ---------------------------------------------------------------------------------------


async def read_body(
    request: Request, limit: int, *, media_type: str | None = None, seconds: float = 30
) -> bytes:
    """The raw body, at most ``limit`` bytes, within ``seconds``.

    Raises :class:`Problem` 413 (too large), 408 (too slow), 400 (the client left) and, with
    ``media_type``, 415 where the body is declared as something else or is compressed.
    """
    headers = request.headers
    if media_type is not None:
        given, _, parameters = headers.get("content-type", "").partition(";")
        charset = parameters.strip().lower().replace('"', "")
        if (
            given.strip().lower() != media_type
            or charset not in ("", "charset=utf-8")
            or headers.get("content-encoding", "identity") != "identity"
        ):
            raise Problem(
                415,
                "The media type is not supported",
                f"Send {media_type} in UTF-8, not compressed.",
            )
    too_large = Problem(
        413,
        "The request is too large",
        f"The body may have at most {limit} bytes.",
        # The rest of the body is not read: the connection cannot be used again.
        headers={"connection": "close"},
    )
    declared = headers.get("content-length")
    if declared is not None and declared.isdecimal() and int(declared[:20]) > limit:
        raise too_large
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                size += len(chunk)
                if size > limit:
                    raise too_large
                chunks.append(chunk)
    except TimeoutError:
        raise Problem(408, "The request took too long", headers={"connection": "close"}) from None
    except ClientDisconnect:
        raise Problem(400, "The request is incomplete") from None
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


# --- strict JSON ----------------------------------------------------------------------------------


def _refuse(field: str, message: str, fix: str, code: str) -> NoReturn:
    raise field_problem(field, message, fix, code=code)


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                _refuse(safe_name(key), "is given twice", "Give each field once.", "duplicate_key")
            seen.add(key)
    for key in out:
        if key[:1] == "$" or "." in key or "\0" in key:
            _refuse(
                safe_name(key),
                "is not a field name: '$', '.' and NUL have a meaning for databases",
                "Use the field names of the API description.",
                "operator_key",
            )
    return out


def _constant(_: str) -> NoReturn:
    _refuse(
        "body", "holds NaN or Infinity, which JSON does not have", "Send a number.", "not_finite"
    )


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        _refuse("body", "holds a number too large to represent", "Send a number.", "not_finite")
    return value


_DECODER = json.JSONDecoder(object_pairs_hook=_pairs, parse_constant=_constant, parse_float=_float)
_SURROGATE = re.compile("[\ud800-\udfff]")


def _check_text(text: str, loc: tuple[int | str, ...]) -> None:
    if "\0" in text:
        _refuse(field_path(loc), "contains a NUL character", "Remove it.", "nul")
    if _SURROGATE.search(text):
        _refuse(
            field_path(loc), "contains half a surrogate pair", "Send valid Unicode.", "surrogate"
        )


def _walk(root: Any, max_depth: int, *, texts: bool) -> None:
    """Look at every value, without recursion. The costly path, taken by few bodies."""
    stack: list[tuple[Any, tuple[int | str, ...]]] = [(root, ())]
    while stack:
        value, loc = stack.pop()
        if isinstance(value, str):
            if texts:
                _check_text(value, loc)
            continue
        if not isinstance(value, dict | list):
            continue
        if len(loc) >= max_depth:
            _refuse(
                field_path(loc[:1]),
                f"is nested deeper than {max_depth} levels",
                "Send a flat document.",
                "too_deep",
            )
        if isinstance(value, list):
            stack.extend((v, (*loc, i)) for i, v in enumerate(value))
            continue
        for key, v in value.items():
            if texts:
                _check_text(key, (*loc, key))
            stack.append((v, (*loc, key)))


def strict_json(body: bytes, max_depth: int = 16) -> dict[str, Any]:
    """The JSON object in ``body``.

    Raises :class:`Problem` 400 for what is not UTF-8 or not JSON, 422 for what is JSON and not
    acceptable: not an object, a key given twice, a key with ``$`` first or with ``.`` or NUL, NUL
    or a lone surrogate in a text, NaN, Infinity, deeper than ``max_depth`` levels.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise field_problem(
            "body", "is not UTF-8", "Encode the body in UTF-8.", code="not_utf8", status=400
        ) from None
    try:
        value = _DECODER.decode(text)
    except RecursionError:
        _refuse(
            "body", f"is nested deeper than {max_depth} levels", "Send a flat document.", "too_deep"
        )
    except ValueError:
        raise field_problem(
            "body", "is not JSON", "Send one JSON object (RFC 8259).", code="not_json", status=400
        ) from None
    if not isinstance(value, dict):
        _refuse("body", "is not an object", "Send one JSON object.", "not_object")
    # Only an escape can bring NUL or half a pair past the decoder, and only brackets can nest.
    escapes = "\\u" in text
    if escapes or text.count("{") + text.count("[") > max_depth:
        _walk(value, max_depth, texts=escapes)
    return cast("dict[str, Any]", value)


# --- validation -----------------------------------------------------------------------------------

_SAYS: dict[str, tuple[str, str]] = {
    "missing": ("is required", "Add this field."),
    "extra_forbidden": ("is not a field of this request", "Remove it or correct its name."),
    "string_type": ("must be a text", "Send a JSON string."),
    "bool_type": ("must be true or false", "Send a JSON boolean."),
    "int_type": ("must be a whole number", "Send a JSON number."),
    "float_type": ("must be a number", "Send a JSON number."),
    "list_type": ("must be a list", "Send a JSON array."),
    "tuple_type": ("must be a list", "Send a JSON array."),
    "dict_type": ("must be an object", "Send a JSON object."),
    "model_type": ("must be an object", "Send a JSON object."),
    "model_attributes_type": ("must be an object", "Send a JSON object."),
    "string_too_short": ("is too short", "Use at least {min_length} characters."),
    "string_too_long": ("is too long", "Use at most {max_length} characters."),
    "too_short": ("has too few entries", "Give at least {min_length}."),
    "too_long": ("has too many entries", "Give at most {max_length}."),
    "enum": ("is not one of the allowed words", "Use one of: {expected}."),
    "literal_error": ("is not one of the allowed words", "Use one of: {expected}."),
    "string_pattern_mismatch": ("does not have the expected form", "It must match {pattern}."),
    "greater_than_equal": ("is too small", "Use at least {ge}."),
    "greater_than": ("is too small", "Use more than {gt}."),
    "less_than_equal": ("is too large", "Use at most {le}."),
    "less_than": ("is too large", "Use less than {lt}."),
    "timezone_aware": ("needs a time zone", "Add an offset, for example Z."),
    "datetime_parsing": (
        "must be a date and time",
        "Use RFC 3339, for example 2026-01-05T09:00:00Z.",
    ),
    "datetime_type": ("must be a date and time", "Use RFC 3339, for example 2026-01-05T09:00:00Z."),
}


def _field_error(error: ErrorDetails, skip: int = 0) -> FieldError:
    kind, context = error["type"], error.get("ctx", {})
    loc = error["loc"][skip:]
    says = _SAYS.get(kind)
    if says:
        message, fix = says[0], says[1].format_map(context)
    elif "fix" in context:  # a PydanticCustomError of ours: constant text with its own fix
        message, fix = error["msg"], str(context["fix"])
        if "field" in context:  # raised by a whole model, about one of its fields
            loc = (*loc, str(context["field"]))
    elif kind in ("value_error", "assertion_error"):  # our validators; their texts are constants
        message, fix = str(context.get("error", "is not valid")), "See the API description."
    else:  # pydantic's own sentences may quote a character of the input
        message, fix = f"is not valid ({kind})", "See the API description."
    return {"field": field_path(loc), "message": message, "fix": fix, "code": kind}


def field_errors(error: ValidationError) -> list[FieldError]:
    """What is wrong, field by field, without any of the input; at most :data:`MAX_ERRORS`."""
    found = error.errors(include_input=False, include_url=False)
    return [_field_error(e) for e in found[:MAX_ERRORS]]


def invalid(error: ValidationError) -> Problem:
    """The 422 of a failed validation."""
    errors = field_errors(error)
    fields = ", ".join(dict.fromkeys(e["field"] for e in errors))
    return Problem(422, "The request is not valid", f"Not valid: {fields}", errors)


def validate(adapter: TypeAdapter[T], body: bytes) -> T:
    """``body`` as a ``T``, strictly typed; raises :class:`Problem` 400 or 422."""
    strict_json(body)
    try:
        return adapter.validate_json(body, strict=True)
    except ValidationError as error:
        raise invalid(error) from None


# --- the app --------------------------------------------------------------------------------------


async def _on_problem(_: Request, error: Exception) -> Response:
    return cast("Problem", error).response()


async def _on_http(_: Request, error: Exception) -> Response:
    raised = cast("HTTPException", error)
    title = HTTPStatus(raised.status_code).phrase
    return Problem(raised.status_code, title, headers=raised.headers).response()


async def _on_retryable(_: Request, error: Exception) -> Response:
    log.warning("request refused for now", extra={"reason": cast("Retryable", error).reason})
    return Problem(
        503,
        "The service cannot take this now",
        "Nothing was stored. Try again after the time in Retry-After.",
        headers={"retry-after": "2"},
    ).response()


async def _on_overloaded(_: Request, __: Exception) -> Response:
    return Problem(
        503,
        "The service is busy",
        "Nothing was stored. Try again after the time in Retry-After.",
        headers={"retry-after": "1"},
    ).response()


async def _on_conflict(_: Request, __: Exception) -> Response:
    return Problem(
        409, "Somebody else changed this", "Read it again, then repeat the change."
    ).response()


async def _on_destroyed(_: Request, __: Exception) -> Response:
    return Problem(410, "This text was erased").response()


async def _on_validation(_: Request, error: Exception) -> Response:
    """FastAPI's own checks of paths and queries."""
    found: list[ErrorDetails] = cast("Any", error).errors()
    errors = [_field_error(e, skip=1) for e in found[:MAX_ERRORS]]  # "query", "path", …
    fields = ", ".join(dict.fromkeys(e["field"] for e in errors))
    return Problem(422, "The request is not valid", f"Not valid: {fields}", errors).response()


class _LastResort:
    """A bug becomes a 500 and one constant log line; its text could quote what a person wrote."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as error:  # noqa: BLE001  the last one there is
            frame = error.__traceback__
            while frame is not None and frame.tb_next is not None:
                frame = frame.tb_next
            where = f"{frame.tb_frame.f_code.co_qualname}:{frame.tb_lineno}" if frame else ""
            log.error(
                "request failed unexpectedly", extra={"error": type(error).__name__, "where": where}
            )
            if started:
                raise ConnectionAbortedError("response cut short") from None
            await Problem(500, "Something went wrong here").response()(scope, receive, send)


def add_problem_handlers(app: Starlette) -> None:
    """Every error of ``app`` leaves as a problem; call once, before the first request."""
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(Conflict, _on_conflict)
    app.add_exception_handler(Locked, _on_retryable)
    app.add_exception_handler(Retryable, _on_retryable)
    app.add_exception_handler(Overloaded, _on_overloaded)
    app.add_exception_handler(KeyDestroyed, _on_destroyed)
    try:  # the chassis does not depend on FastAPI; a service may
        from fastapi.exceptions import RequestValidationError  # noqa: PLC0415
    except ImportError:
        pass
    else:
        app.add_exception_handler(RequestValidationError, _on_validation)
    app.add_middleware(_LastResort)
