# SPDX-License-Identifier: Apache-2.0
"""A partner for tests and the demo: a process of its own that speaks both built-in protocols.

It behaves like a partner, bad ones included (see ``Mode``), and keeps the record the failure suite
judges by: how often each idempotency key arrived and how many reports it made of it. Signatures and
tokens are verified; nothing is remembered beyond the process.
"""

import argparse
import asyncio
import base64
import hashlib
import hmac
import json
import os
import random
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import httpx
import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send


class Mode(StrEnum):
    #: Takes the report, acknowledges after a while, decides nothing.
    ACKNOWLEDGE_LATER = "acknowledge-later"
    REMOVE = "remove"
    REFUSE = "refuse"
    #: Says no at the door: 422 with a code.
    REFUSE_AT_DOOR = "refuse-at-door"
    #: Takes the report and is never heard of again.
    SILENT = "silent"
    #: Takes the report and answers after ``slow_seconds``.
    SLOW = "slow"
    TOO_MANY = "429"
    ERROR = "500"
    #: Takes the report, answers 200 with nothing in it, then removes.
    WITHOUT_ID = "200-without-id"
    #: Every callback twice, and the first one again after the last.
    DUPLICATE_CALLBACK = "duplicate-callback"
    #: Listens and breaks every connection.
    DOWN = "down"
    #: As DOWN, but only after the report was taken: the answer is lost.
    LOSE_ANSWER = "lose-answer"
    #: One of the others for each report, by its key and the seed.
    MIXED = "mixed"


#: What MIXED does with a share of the reports (of 100); faults hit the first attempt only.
_MIX: tuple[tuple[int, Mode], ...] = (
    (55, Mode.REMOVE),
    (12, Mode.REFUSE),
    (8, Mode.ACKNOWLEDGE_LATER),
    (5, Mode.SILENT),
    (5, Mode.WITHOUT_ID),
    (5, Mode.DUPLICATE_CALLBACK),
    (5, Mode.ERROR),
    (5, Mode.TOO_MANY),
)
_FAULTS = frozenset({Mode.ERROR, Mode.TOO_MANY, Mode.DOWN})


@dataclass
class Report:
    key: str
    reference: str
    status: str = "pending"
    reason: str | None = None
    #: What it will become, and when (monotonic seconds); polling reads it off.
    plan: list[tuple[float, str, str | None]] = field(default_factory=list)
    withdrawn: bool = False

    def now(self) -> None:
        while self.plan and self.plan[0][0] <= time.monotonic():
            _, self.status, self.reason = self.plan.pop(0)

    def shown(self) -> dict[str, Any]:
        self.now()
        return {"id": self.reference, "status": self.status, "reason": self.reason}


@dataclass
class Partner:
    """State and behaviour. ``delay``: seconds to the acknowledgement, and again to the outcome."""

    secret: str
    token: str
    mode: Mode = Mode.REMOVE
    callback_url: str | None = None
    delay: float = 0.5
    slow_seconds: float = 30
    retry_after: str = "1"
    seed: int = 0
    #: Faults left before the partner works again; None: for ever.
    times: int | None = None
    #: False: a partner that makes a report of everything that arrives.
    honours_keys: bool = True
    reports: dict[str, Report] = field(default_factory=dict)
    by_reference: dict[str, Report] = field(default_factory=dict)
    received: dict[str, int] = field(default_factory=dict)
    made: dict[str, int] = field(default_factory=dict)
    bodies: list[str] = field(default_factory=list)
    rejected: int = 0
    callbacks_failed: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _sending: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(8))
    _http: httpx.AsyncClient | None = None

    def mode_for(self, key: str) -> Mode:
        """The mode that applies to this arrival of this key; counts down ``times``."""
        mode = self.mode
        if mode is Mode.MIXED:
            share = int(hashlib.sha256(f"{self.seed}|{key}".encode()).hexdigest(), 16) % 100
            for size, mode in _MIX:  # noqa: B007
                share -= size
                if share < 0:
                    break
            return Mode.REMOVE if mode in _FAULTS and self.received[key] > 1 else mode
        if mode in _FAULTS and self.times is not None:
            if self.times <= 0:
                return Mode.REMOVE
            self.times -= 1
        return mode

    def take(self, key: str, mode: Mode) -> Report:
        """Make the report, once for a key where keys are honoured."""
        held = self.reports.get(key)
        if held is not None and self.honours_keys:
            return held
        number = self.made[key] = self.made.get(key, 0) + 1
        digest = hashlib.sha256(f"{self.seed}|{key}|{number}".encode()).hexdigest()[:12]
        report = self.reports[key] = Report(key, f"SIM-{digest}")
        self.by_reference[report.reference] = report
        start = time.monotonic()
        acknowledged = (start + self.delay, "acknowledged", None)
        outcome = {
            Mode.SILENT: None,
            Mode.ACKNOWLEDGE_LATER: None,
            Mode.REFUSE: ("refused", "policy_not_violated"),
        }.get(mode, ("removed", None))
        if mode is not Mode.SILENT:
            report.plan.append(acknowledged)
        if outcome is not None:
            report.plan.append((start + 2 * self.delay, *outcome))
        return report

    def call_back(self, report: Report, mode: Mode) -> None:
        """Send what is planned for the report as signed callbacks."""
        if self.callback_url is not None and report.plan:
            task = asyncio.create_task(self._send_all(list(report.plan), report, mode))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _send_all(
        self, plan: list[tuple[float, str, str | None]], report: Report, mode: Mode
    ) -> None:
        messages = []
        for number, (at, outcome, reason) in enumerate(plan):
            await asyncio.sleep(max(0, at - time.monotonic()))
            body = {
                "type": "report.status",
                "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "data": {"id": report.key, "outcome": outcome, "reason": reason},
            }
            if mode is not Mode.WITHOUT_ID:
                body["data"]["reference"] = report.reference  # type: ignore[index]
            message = f"msg_{report.reference}_{number}"
            messages.append((message, json.dumps(body).encode()))
            await self._send(*messages[-1])
            if mode is Mode.DUPLICATE_CALLBACK:
                await self._send(*messages[-1])
        if mode is Mode.DUPLICATE_CALLBACK:
            await self._send(*messages[0])

    async def _send(self, message: str, body: bytes) -> None:
        """Deliver one callback; tries again for some five minutes."""
        if self._http is None:
            self._http = httpx.AsyncClient(timeout=10, trust_env=False)
        for attempt in range(70):
            headers = {**sign(self.secret, message, body), "content-type": "application/json"}
            try:
                url = self.callback_url or ""
                async with self._sending:
                    answer = await self._http.post(url, content=body, headers=headers)
                delivered = answer.is_success
            except httpx.HTTPError:
                delivered = False  # the gateway is away: that is what the next attempt is for
            if delivered:
                return
            await asyncio.sleep(min(0.25 * 2**attempt, 5) * (0.5 + random.random() / 2))
        self.callbacks_failed += 1

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._http is not None:
            await self._http.aclose()


def sign(secret: str, message: str, body: bytes, at: int | None = None) -> dict[str, str]:
    """Standard Webhooks headers of a message."""
    stamp = int(time.time()) if at is None else at
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.digest(key, f"{message}.{stamp}.".encode() + body, hashlib.sha256)
    return {
        "webhook-id": message,
        "webhook-timestamp": str(stamp),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def _signed(partner: Partner, request: Request, body: bytes) -> bool:
    message, stamp = request.headers.get("webhook-id"), request.headers.get("webhook-timestamp", "")
    if not message or not stamp.isdigit() or abs(time.time() - int(stamp)) > 300:
        return False
    expected = sign(partner.secret, message, body, int(stamp))["webhook-signature"]
    given = request.headers.get("webhook-signature", "").split(" ")
    return any(hmac.compare_digest(expected, one) for one in given)


class _Break(Exception):  # noqa: N818
    """Ends the connection without an answer."""


def create_app(partner: Partner, protocol: str = "both") -> Starlette:
    """The partner's API: ``POST /webhook`` and ``/reports``, ``POST /control``, and what it saw."""

    async def arrival(key: str, answer: Callable[[Report], Response]) -> Response:
        partner.received[key] = partner.received.get(key, 0) + 1
        mode = partner.mode_for(key)
        if mode is Mode.DOWN:
            raise _Break
        if mode is Mode.TOO_MANY:
            return JSONResponse({}, 429, {"retry-after": partner.retry_after})
        if mode is Mode.ERROR:
            return JSONResponse({"error": "internal"}, 500)
        if mode is Mode.REFUSE_AT_DOOR:
            return JSONResponse({"code": "out_of_scope"}, 422)
        known = key in partner.reports and partner.honours_keys
        report = partner.take(key, mode)
        if not known:
            partner.call_back(report, mode)
        if mode is Mode.LOSE_ANSWER:
            raise _Break
        if mode is Mode.SLOW:
            await asyncio.sleep(partner.slow_seconds)
        return Response(status_code=200) if mode is Mode.WITHOUT_ID else answer(report)

    async def webhook(request: Request) -> Response:
        body = await request.body()
        if not _signed(partner, request, body):
            partner.rejected += 1
            return JSONResponse({"error": "signature"}, 401)
        partner.bodies.append(body.decode())
        key = request.headers["webhook-id"]
        return await arrival(key, lambda r: JSONResponse({"reference": r.reference}, 202))

    async def reachable(_: Request) -> Response:
        if partner.mode is Mode.DOWN:
            raise _Break
        return Response(status_code=204)

    def authorised(request: Request) -> bool:
        given = request.headers.get("authorization", "")
        right = hmac.compare_digest(given.encode(), f"Bearer {partner.token}".encode())
        partner.rejected += not right
        return right

    def guarded(
        route: Callable[[Request], Awaitable[Response]],
    ) -> Callable[[Request], Awaitable[Response]]:
        async def checked(request: Request) -> Response:
            if not authorised(request):
                return JSONResponse({"error": "token"}, 401)
            if partner.mode is Mode.DOWN and request.method == "GET":
                raise _Break
            return await route(request)

        return checked

    async def submit(request: Request) -> Response:
        key = request.headers.get("idempotency-key", "")
        try:
            body = json.loads(await request.body())
        except ValueError:
            body = None
        if not key or not isinstance(body, dict) or "item" not in body:
            return JSONResponse({"error": "idempotency-key and item are required"}, 400)
        partner.bodies.append(json.dumps(body, ensure_ascii=False))
        return await arrival(key, lambda r: JSONResponse(r.shown(), 201))

    async def find(request: Request) -> Response:
        report = partner.reports.get(request.query_params.get("key", ""))
        return JSONResponse({"reports": [report.shown()] if report else []})

    def by_reference(request: Request) -> Report | None:
        return partner.by_reference.get(request.path_params["reference"])

    async def status(request: Request) -> Response:
        report = by_reference(request)
        return JSONResponse(report.shown()) if report else JSONResponse({}, 404)

    async def withdraw(request: Request) -> Response:
        report = by_reference(request)
        if report is None:
            return JSONResponse({}, 404)
        report.withdrawn = True
        report.plan.clear()
        return Response(status_code=204)

    async def control(request: Request) -> Response:
        """Change behaviour: any of mode, callback_url, delay, slow_seconds, times and the rest."""
        wanted: dict[str, Any] = await request.json()
        unknown = wanted.keys() - _CONTROLS.keys()
        if unknown:
            return JSONResponse({"error": f"unknown: {sorted(unknown)}"}, 400)
        try:
            for name, value in wanted.items():
                setattr(partner, name, _CONTROLS[name](value))
        except (ValueError, TypeError) as error:
            return JSONResponse({"error": str(error)}, 400)
        return JSONResponse({"mode": partner.mode})

    async def seen(_: Request) -> Response:
        """For each key: how often it ``received`` it and how many ``reports`` it made of it."""
        return JSONResponse(
            {
                "keys": {
                    key: {
                        "received": count,
                        "reports": partner.made.get(key, 0),
                        "status": partner.reports[key].shown()["status"]
                        if key in partner.reports
                        else None,
                    }
                    for key, count in partner.received.items()
                },
                "rejected": partner.rejected,
                "callbacks_failed": partner.callbacks_failed,
            }
        )

    async def bodies(_: Request) -> Response:
        """Every request that asked for something, as it came."""
        return JSONResponse(partner.bodies)

    routes = [
        Route("/bodies", bodies),
        Route("/control", control, methods=["POST"]),
        Route("/seen", seen, methods=["GET"]),
    ]
    if protocol in ("webhook", "both"):
        routes += [
            Route("/webhook", webhook, methods=["POST"]),
            Route("/webhook", reachable, methods=["GET"]),
        ]
    if protocol in ("reference", "both"):
        one = "/reports/{reference}"
        routes += [
            Route("/reports", guarded(submit), methods=["POST"]),
            Route("/reports", guarded(find), methods=["GET"]),
            Route(one, guarded(status), methods=["GET"]),
            Route(one + "/withdrawal", guarded(withdraw), methods=["POST"]),
        ]
    app = Starlette(routes=routes)
    app.add_middleware(_Breaker)
    return app


_CONTROLS: dict[str, Callable[[Any], Any]] = {
    "mode": Mode,
    "callback_url": lambda v: v if v is None else str(v),
    "delay": float,
    "slow_seconds": float,
    "retry_after": str,
    "times": lambda v: v if v is None else int(v),
    "honours_keys": bool,
    "seed": int,
}


class _Breaker:
    """Turns :class:`_Break` into a connection that is reset."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except _Break:
            # Uvicorn's ``receive`` is a method of the object that owns the connection.
            transport = getattr(getattr(receive, "__self__", None), "transport", None)
            if transport is None:
                raise
            transport.abort()
            await asyncio.sleep(0.001)  # let the server notice before we return without an answer


class _Server(uvicorn.Server):
    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        if self.started:
            port = self.servers[0].sockets[0].getsockname()[1]
            print(json.dumps({"event": "ready", "port": port, "pid": os.getpid()}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="wasl-partner-simulator", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--mode", type=Mode, choices=list(Mode), default=Mode.REMOVE)
    parser.add_argument("--callback-url", help="where status callbacks go; none without it")
    parser.add_argument(
        "--secret",
        default=os.environ.get("WASL_SIMULATOR_SECRET"),
        help="whsec_… that signs both directions; default: WASL_SIMULATOR_SECRET",
    )
    parser.add_argument(
        "--token",
        default=os.environ.get("WASL_SIMULATOR_TOKEN"),
        help="bearer token of /reports; default: WASL_SIMULATOR_TOKEN, else the secret",
    )
    parser.add_argument("--protocol", choices=["webhook", "reference", "both"], default="both")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--delay", type=float, default=0.5, help="seconds to the next status")
    args = parser.parse_args()
    if not args.secret:
        parser.error("--secret or WASL_SIMULATOR_SECRET is required: 'whsec_' + 32 bytes in base64")
    partner = Partner(
        secret=args.secret,
        token=args.token or args.secret,
        mode=args.mode,
        callback_url=args.callback_url,
        delay=args.delay,
        seed=args.seed,
    )
    server = _Server(
        uvicorn.Config(
            create_app(partner, args.protocol),
            host=args.host,
            port=args.port,
            http="httptools",
            loop="none",
            ws="none",
            lifespan="off",
            log_level="error",
            timeout_graceful_shutdown=2,
        )
    )

    async def run() -> None:
        await server.serve()
        await partner.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())
    sys.exit(0 if server.started else 1)


if __name__ == "__main__":
    main()
