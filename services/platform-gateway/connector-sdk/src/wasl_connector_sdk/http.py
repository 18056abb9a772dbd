# SPDX-License-Identifier: Apache-2.0
"""HTTP towards partners: bounded in time and size, no redirects, faults named by what to do.

A fault before the request could have been read is :class:`TransientError`; a fault after it is
:class:`AmbiguousOutcome` for a request that changes something, transient for one that only reads.
Neither bodies nor addresses reach an exception text.
"""

import json
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from wasl_connector_sdk.errors import (
    AmbiguousOutcome,
    ConnectorError,
    CredentialsRejected,
    InvalidSubmission,
    RateLimited,
    SubmissionRefused,
    TransientError,
    word,
)
from wasl_connector_sdk.guard import public_transport

USER_AGENT = "wasl-platform-gateway/1"
MAX_BODY = 1 << 20
#: A longer wait is a person's business, not a timer's.
MAX_RETRY_AFTER = 86_400.0
_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_MISSING = frozenset({404, 410})
_INVALID = frozenset({400, 405, 406, 411, 413, 414, 415, 417, 422, 431})
_NOT_YET = frozenset({408, 421, 425, 500, 501, 502, 503, 505, 507, 508, 511})


def client(
    *,
    timeout: float = 10.0,
    keepalive: int = 16,
    transport: httpx.AsyncBaseTransport | None = None,
    proxy: str | None = None,
    forbidden: frozenset[str] = frozenset(),
    cert: ssl.SSLContext | None = None,
    public_only: bool = False,
) -> httpx.AsyncClient:
    """The client the gateway lends to a connector. ``timeout``: seconds for each phase.

    ``keepalive``: idle connections kept; each costs a system call with every request.
    ``forbidden``: hosts, and all names below them, that are never called (a test must not count).
    ``cert``: for a partner that asks who we are by certificate; it says whom to trust as well.
    ``public_only``: for addresses that others gave us; see :func:`guard.public_transport`.
    Ignores proxy and netrc settings of the environment: ``proxy`` is how to send all through one.
    """
    if public_only:
        if transport is not None:
            raise ValueError("expected public_only or a transport, not both: it is one itself")
        transport = public_transport(verify=cert, keepalive=keepalive, proxy=proxy)
        proxy = None
    return httpx.AsyncClient(
        timeout=httpx.Timeout(timeout, connect=min(timeout, 5.0)),
        # Callers bound how many calls they make; waiting for a connection would look like a fault.
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=keepalive),
        follow_redirects=False,
        trust_env=False,
        verify=True if cert is None else cert,
        transport=transport,
        proxy=proxy,
        event_hooks={"request": [_refuse(forbidden)]} if forbidden else {},
        headers={
            "user-agent": USER_AGENT,
            "accept": "application/json",
            "accept-encoding": "identity",
        },
    )


def _refuse(hosts: frozenset[str]) -> Callable[[httpx.Request], Awaitable[None]]:
    async def refuse(request: httpx.Request) -> None:
        host = request.url.host.lower().rstrip(".")
        if any(host == h or host.endswith(f".{h}") for h in hosts):
            raise TestModeError

    return refuse


def retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds of a Retry-After header (RFC 9110 §10.2.3), both forms, a day at most; else None."""
    if not value:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), MAX_RETRY_AFTER)
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return min(max((when - now).total_seconds(), 0.0), MAX_RETRY_AFTER)


class TestModeError(InvalidSubmission):
    """A connector in test mode called the partner's production; set ``live`` to mean it."""

    __test__ = False  # no test class
    reason = "test_mode"


@dataclass(frozen=True, slots=True)
class Answer:
    """A response whose status is known. ``body``: None where it broke off or was too large."""

    status: int
    headers: Mapping[str, str]
    body: bytes | None = field(repr=False)

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    def json(self) -> Any:
        """The body as JSON, or None where there is none to be had."""
        if not self.body:
            return None
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


async def exchange(
    http: httpx.AsyncClient,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    params: Mapping[str, str] | None = None,
    content: bytes | None = None,
    max_body: int = MAX_BODY,
) -> Answer:
    """One request, one answer of any status.

    Raises TransientError, AmbiguousOutcome, and InvalidSubmission where it cannot be sent at all.
    """
    reads = method in _READS
    try:
        async with http.stream(
            method, url, headers=headers, params=params, content=content
        ) as response:
            body = await _body(response, max_body)
            return Answer(response.status_code, _lower(response.headers), body)
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError) as error:
        raise TransientError(type(error).__name__, reason="unreachable") from None
    except (httpx.LocalProtocolError, httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
        raise InvalidSubmission(type(error).__name__) from None
    except httpx.HTTPError as error:
        # Timeouts, resets and broken answers: by now the partner may have read all of it.
        if reads:
            raise TransientError(type(error).__name__, reason="no_answer") from None
        raise AmbiguousOutcome(type(error).__name__, reason="no_answer") from None


async def _body(response: httpx.Response, limit: int) -> bytes | None:
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        return None  # we asked for none; inflating it is how a small answer becomes a large one
    if response.is_stream_consumed:  # a mock transport's response is complete from the start
        return response.content if len(response.content) <= limit else None
    parts: list[bytes] = []
    size = 0
    try:
        async for part in response.aiter_raw():
            size += len(part)
            if size > limit:
                return None
            parts.append(part)
    except httpx.HTTPError:
        return None  # the status is known, and it decides
    return b"".join(parts)


def _lower(headers: httpx.Headers) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def fault(answer: Answer, now: datetime) -> ConnectorError | None:
    """What a status means for a submission; None for 2xx.

    A refusal must be explicit: 451, or 422 with a JSON ``code``. A missing address (404, 410) or a
    redirect says nothing about the report, so it is retried while a person corrects the address.
    """
    status = answer.status
    wait = retry_after(answer.headers.get("retry-after"), now)
    if answer.ok:
        return None
    if status in (401, 403, 407):
        return CredentialsRejected(f"HTTP {status}")
    if status == 429:
        return RateLimited("HTTP 429", retry_after=wait)
    if status in (409, 504):
        # 409: something under this key exists; 504: whoever is behind the proxy may have it.
        return AmbiguousOutcome(f"HTTP {status}", reason=f"http_{status}")
    if status == 451:
        return SubmissionRefused("HTTP 451", code="unavailable_for_legal_reasons")
    if status == 422 and (code := _code(answer)):
        return SubmissionRefused("HTTP 422", code=code)
    if status in _INVALID:
        return InvalidSubmission(f"HTTP {status}", reason=f"http_{status}")
    if status in _MISSING or 300 <= status < 400:
        return TransientError(f"HTTP {status}", retry_after=wait, reason="wrong_address")
    if status in _NOT_YET or status >= 500:
        return TransientError(f"HTTP {status}", retry_after=wait, reason=f"http_{status}")
    return InvalidSubmission(f"HTTP {status}", reason=f"http_{status}")


def expect(answer: Answer, now: datetime) -> Answer:
    """The answer where it is 2xx; raises :func:`fault` otherwise."""
    error = fault(answer, now)
    if error is not None:
        raise error
    return answer


def _code(answer: Answer) -> str | None:
    body = answer.json()
    code = body.get("code") if isinstance(body, dict) else None
    return word(code, "refused") if isinstance(code, str) and code.strip() else None


def json_bytes(body: Mapping[str, Any]) -> bytes:
    """Compact UTF-8 JSON: the exact bytes that are signed and sent."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
