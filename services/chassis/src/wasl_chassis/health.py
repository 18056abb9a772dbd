# SPDX-License-Identifier: Apache-2.0
"""Health that proves progress, on an admin port of its own.

``/livez``: the event loop turns. ``/readyz``: every loop has progressed, the consumer polls, the
dependencies answer. ``/metrics``, ``/version``. Nothing here is on the public port.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from wasl_chassis.clock import Clock
from wasl_chassis.metrics import Metrics

Check = Callable[[], Awaitable[tuple[bool, str]]]


@dataclass(slots=True)
class Heartbeat:
    """When a loop last came through. ``limit``: seconds after which it counts as stuck."""

    name: str
    limit: float
    clock: Clock
    last: float = 0.0

    def __post_init__(self) -> None:
        self.last = self.clock.monotonic()

    def beat(self) -> None:
        self.last = self.clock.monotonic()

    async def check(self) -> tuple[bool, str]:
        age = self.clock.monotonic() - self.last
        return age <= self.limit, f"{age:.1f} s since the last success"


class Health:
    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}

    def add(self, name: str, check: Check) -> None:
        self._checks[name] = check

    async def report(self) -> tuple[bool, dict[str, dict[str, object]]]:
        out: dict[str, dict[str, object]] = {}
        for name, check in list(self._checks.items()):  # loops add theirs while we wait
            try:
                ok, detail = await check()
            except Exception as error:  # noqa: BLE001  a check that fails says so, whatever it raised
                ok, detail = False, type(error).__name__
            out[name] = {"ok": ok, "detail": detail}
        return bool(out) and all(bool(c["ok"]) for c in out.values()), out


def admin_app(health: Health, metrics: Metrics, about: dict[str, str]) -> Starlette:
    async def livez(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_: Request) -> Response:
        ok, checks = await health.report()
        return JSONResponse({"ready": ok, "checks": checks}, 200 if ok else 503)

    async def exposition(_: Request) -> Response:
        return Response(metrics.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def version(_: Request) -> Response:
        return JSONResponse(about)

    return Starlette(
        routes=[
            Route("/livez", livez),
            Route("/readyz", readyz),
            Route("/metrics", exposition),
            Route("/version", version),
        ]
    )
