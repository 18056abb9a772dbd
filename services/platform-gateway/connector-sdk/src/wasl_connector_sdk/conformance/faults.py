# SPDX-License-Identifier: Apache-2.0
"""What can happen to a request between a connector and its partner, and which error says so."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from email.utils import format_datetime

import httpx

from wasl_connector_sdk.conformance.samples import NOW
from wasl_connector_sdk.errors import (
    AmbiguousOutcome,
    CredentialsRejected,
    InvalidSubmission,
    RateLimited,
    SubmissionRefused,
    TransientError,
)

#: The wait a fault asks for, in seconds.
WAIT = 120
#: Where redirects point. Nobody may go there.
ELSEWHERE = "elsewhere.test"
HUGE = 16 << 20

Pass = Callable[[httpx.Request], Awaitable[httpx.Response]]
Play = Callable[[httpx.Request, Pass], Awaitable[httpx.Response]]


@dataclass(frozen=True, slots=True)
class Fault:
    """``allowed``: what ``submit`` may end in where it hits the request that makes the report."""

    name: str
    play: Play
    allowed: frozenset[type]


def _raising(kind: type[httpx.TransportError], *, arrives: bool = False) -> Play:
    """``arrives``: the partner works the request and only its answer is lost."""

    async def play(request: httpx.Request, on: Pass) -> httpx.Response:
        if arrives:
            await on(request)
        raise kind(f"no answer from {request.url}", request=request)

    return play


def _status(status: int, **headers: str) -> Play:
    """An answer that repeats what was sent, as error pages do."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    async def play(request: httpx.Request, _: Pass) -> httpx.Response:
        sent = f"{request.method} {request.url} {dict(request.headers)} "
        sent += (await request.aread()).decode("utf-8", "replace")
        body = json.dumps({"error": "fault", "message": sent, "detail": sent}, ensure_ascii=False)
        content_type = {"content-type": "application/json"}
        return httpx.Response(status, headers={**content_type, **named}, content=body.encode())

    return play


def _body(change: Callable[[bytes], bytes], content_type: str = "application/json") -> Play:
    """The partner works the request; its answer keeps its status and gets another body."""

    async def play(request: httpx.Request, on: Pass) -> httpx.Response:
        answer = await on(request)
        if not answer.is_success:
            return answer
        body = await answer.aread()
        headers = {"content-type": answer.headers.get("content-type", content_type)}
        return httpx.Response(answer.status_code, headers=headers, content=change(body))

    return play


class Endless(httpx.AsyncByteStream):
    """A body that goes on: what the partner said, then blanks, ``HUGE`` bytes in all."""

    def __init__(self, start: bytes) -> None:
        self._start = start
        self.read = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._start
        blanks = b" " * (64 << 10)
        while self.read < HUGE:
            self.read += len(blanks)
            yield blanks


async def _endless(request: httpx.Request, on: Pass) -> httpx.Response:
    answer = await on(request)
    headers = {"content-type": answer.headers.get("content-type", "application/json")}
    stream = Endless(await answer.aread())
    return httpx.Response(answer.status_code, headers=headers, stream=stream)


def _of(*kinds: type) -> frozenset[type]:
    return frozenset(kinds)


_AMBIGUOUS = _of(AmbiguousOutcome)
_NOT_SENT = _of(TransientError)
_SERVER = _of(TransientError, AmbiguousOutcome)
_UNREADABLE_REQUEST = _of(InvalidSubmission, SubmissionRefused)

#: The request never arrived, or was refused at the door.
UNREACHABLE = (
    Fault("ConnectError", _raising(httpx.ConnectError), _NOT_SENT),
    Fault("ConnectTimeout", _raising(httpx.ConnectTimeout), _NOT_SENT),
)
#: It left, and nobody knows whether it arrived.
NO_ANSWER = tuple(
    Fault(kind.__name__ + after, _raising(kind, arrives=bool(after)), _AMBIGUOUS)
    for kind in (httpx.ReadTimeout, httpx.ReadError, httpx.RemoteProtocolError)
    for after in ("", " after it arrived")
)
WAITS = (
    Fault("429 for seconds", _status(429, retry_after=str(WAIT)), _of(RateLimited)),
    Fault(
        "429 until a date",
        _status(429, retry_after=format_datetime(NOW + timedelta(seconds=WAIT), usegmt=True)),
        _of(RateLimited),
    ),
)
STATUSES = (
    Fault("400", _status(400), _UNREADABLE_REQUEST),
    Fault("401", _status(401), _of(CredentialsRejected)),
    Fault("403", _status(403), _of(CredentialsRejected)),
    Fault("404", _status(404), _of(TransientError, InvalidSubmission, SubmissionRefused)),
    Fault("409", _status(409), _of(AmbiguousOutcome, InvalidSubmission, SubmissionRefused)),
    Fault("413", _status(413), _UNREADABLE_REQUEST),
    Fault("422", _status(422), _UNREADABLE_REQUEST),
    Fault("429", _status(429), _of(RateLimited)),
    *WAITS,
    *(Fault(str(status), _status(status), _SERVER) for status in (500, 502, 503, 504)),
)
#: It was accepted, and the answer cannot be read.
UNREADABLE = (
    Fault("truncated", _body(lambda body: body[: len(body) // 2]), _AMBIGUOUS),
    Fault("empty", _body(lambda _: b""), _AMBIGUOUS),
    Fault("html", _body(lambda _: b"<html><body>Welcome</body></html>", "text/html"), _AMBIGUOUS),
    Fault("list", _body(lambda _: b"[]"), _AMBIGUOUS),
    Fault("other object", _body(lambda _: b'{"welcome": true}'), _AMBIGUOUS),
    Fault("not text", _body(lambda _: b"\xff\xfe\x00"), _AMBIGUOUS),
    Fault("huge", _endless, _AMBIGUOUS),
)
REDIRECTS = tuple(
    Fault(
        str(status),
        _status(status, location=f"https://{ELSEWHERE}/reports"),
        _of(TransientError, AmbiguousOutcome, InvalidSubmission),
    )
    for status in (301, 302, 307)
)
MATRIX = (*UNREACHABLE, *NO_ANSWER, *STATUSES, *REDIRECTS)
#: One of each kind, for calls that make no report.
KINDS = (
    *(f for f in MATRIX if f.name in {"ConnectError", "ReadTimeout", "RemoteProtocolError"}),
    *(f for f in STATUSES if f.name in {"400", "401", "403", "404", "429", "500", "503"}),
    REDIRECTS[1],
    *UNREADABLE,
)


class Wire(httpx.AsyncBaseTransport):
    """Between the connector's client and the partner: counts, delays a little, breaks on demand."""

    def __init__(self, partner: httpx.AsyncBaseTransport, reports: Callable[[], int]) -> None:
        self._partner = partner
        self._reports = reports
        self._fault: Play | None = None
        self._from = 0
        self.requests: list[httpx.Request] = []
        #: How many reports each request made.
        self.made: list[int] = []
        #: What the partner answered to each; 0 while it has not.
        self.statuses: list[int] = []
        self.endless: list[Endless] = []
        #: How many requests met the fault, and the number of the first since it was set.
        self.hits = 0
        self.hit = 0
        self._armed = 0

    def arm(self, play: Play, after: int = 0) -> None:
        """From the request after the next ``after`` ones on, all fail like this."""
        self._armed = len(self.requests)
        self._fault, self._from, self.hits = play, self._armed + after, 0

    def disarm(self) -> None:
        self._fault = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        number = len(self.requests)
        self.requests.append(request)
        self.made.append(0)
        self.statuses.append(0)
        for _ in range(number * 5 % 7):  # so that requests made together overtake each other
            await asyncio.sleep(0)

        async def on(request: httpx.Request) -> httpx.Response:
            before = self._reports()
            answer = await self._partner.handle_async_request(request)
            self.made[number] += self._reports() - before
            self.statuses[number] = answer.status_code
            return answer

        if self._fault is None or number < self._from:
            return await on(request)
        self.hits += 1
        if self.hits == 1:
            self.hit = number - self._armed
        answer = await self._fault(request, on)
        if isinstance(answer.stream, Endless):
            self.endless.append(answer.stream)
        return answer

    async def aclose(self) -> None:
        await self._partner.aclose()


class Hang:
    """A fault that never answers. ``arrived`` is set once a request hangs in it."""

    def __init__(self, *, arrives: bool = False) -> None:
        self.arrived = asyncio.Event()
        self._arrives = arrives

    async def __call__(self, request: httpx.Request, on: Pass) -> httpx.Response:
        if self._arrives:
            await on(request)
        self.arrived.set()
        await asyncio.Event().wait()
        raise AssertionError("unreachable")
