# SPDX-License-Identifier: Apache-2.0
"""Health that proves progress, on an admin port of its own.

``/livez``: the event loop turns. ``/readyz``: every loop has progressed, the consumer polls, the
dependencies answer; or the process is of use without the one that is away. ``/metrics``,
``/version``. Nothing here is on the public port.
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


#: Seconds: a loop that waits for a dependency has turned again so long after it is back.
CATCH_UP = 30.0


@dataclass(slots=True)
class _Excuse:
    """``check`` stands in for all others while ``without`` fails, and shortly after."""

    check: Check
    without: str
    clock: Clock
    until: float = float("-inf")


class Health:
    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}
        self._excuse: tuple[str, _Excuse] | None = None

    def add(self, name: str, check: Check) -> None:
        self._checks[name] = check

    def excuse(self, name: str, check: Check, *, without: str, clock: Clock) -> None:
        """While the check ``without`` fails, ``check`` and "process" alone decide.

        Also for :data:`CATCH_UP` seconds after, in which others may still be behind. ``name``: of
        what is of use all the same.
        """
        self._excuse = (name, _Excuse(check, without, clock))

    async def report(self) -> tuple[bool, dict[str, dict[str, object]]]:
        out: dict[str, dict[str, object]] = {}
        for name, check in list(self._checks.items()):  # loops add theirs while we wait
            out[name] = await _asked(check)
        ready = bool(out) and all(bool(c["ok"]) for c in out.values())
        if self._excuse is not None and not ready:
            name, excuse = self._excuse
            now = excuse.clock.monotonic()
            if not out[excuse.without]["ok"]:
                excuse.until = now + CATCH_UP
            if now < excuse.until:
                held = out[f"{name}-without-{excuse.without}"] = await _asked(excuse.check)
                ready = bool(held["ok"] and out["process"]["ok"])
        return ready, out


async def _asked(check: Check) -> dict[str, object]:
    try:
        ok, detail = await check()
    except Exception as error:  # noqa: BLE001  a check that fails says so, whatever it raised
        ok, detail = False, type(error).__name__
    return {"ok": ok, "detail": detail}


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
