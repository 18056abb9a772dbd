# SPDX-License-Identifier: Apache-2.0
"""Where providers deliver by HTTP: ``/channels/NAME``; POST a delivery, GET to prove it is ours.

200: all of it is done. 401, 400, 413: nothing was. 503: deliver it again. Nothing about the caller
is read, and no answer says more than a status.
"""

import logging

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from wasl_chassis.metrics import Metrics
from wasl_chassis.web import Problem, add_problem_handlers, read_body

from wasl_intake.channels.contract import Delivery, Malformed, Retryable, Unauthentic
from wasl_intake.channels.desk import Desk

log = logging.getLogger(__name__)

#: Seconds a provider is asked to wait.
RETRY_AFTER = "30"


def path(name: str) -> str:
    return f"/channels/{name}"


class Door:
    """``limit``: bytes of a delivery."""

    def __init__(self, desk: Desk, metrics: Metrics, limit: int) -> None:
        self._desk = desk
        self._metrics = metrics
        self._limit = limit

    async def delivered(self, request: Request) -> Response:
        try:
            body = await read_body(request, self._limit)
        except Problem as problem:
            self._count("too_large" if problem.status == 413 else "malformed")
            raise
        try:
            await self._desk.take(Delivery(body, request.headers))
        except Unauthentic:
            self._count("unauthentic")
            raise Problem(401, "The delivery is not authentic") from None
        except Malformed:
            self._count("malformed")
            raise Problem(400, "The delivery cannot be read") from None
        except Retryable as error:
            self._count("later")
            log.warning("a delivery is to come again", extra={"reason": error.reason})
            raise Problem(
                503, "Deliver this again later", headers={"retry-after": RETRY_AFTER}
            ) from None
        except Exception:
            self._count("failed")
            raise
        self._count("accepted")
        return PlainTextResponse("", 200)

    async def asked(self, request: Request) -> Response:
        try:
            word = self._desk.adapter.challenge(request.query_params)
        except Unauthentic:
            self._count("unauthentic")
            raise Problem(403, "This address is not set up for that word") from None
        return PlainTextResponse(word)

    def _count(self, result: str) -> None:
        name = self._desk.adapter.name
        self._metrics.inc("wasl_channel_deliveries_total", channel=name, result=result)


def webhook_app(desk: Desk, metrics: Metrics, limit: int) -> Starlette:
    door, where = Door(desk, metrics, limit), path(desk.adapter.name)
    app = Starlette(
        routes=[
            Route(where, door.delivered, methods=["POST"]),
            Route(where, door.asked, methods=["GET"]),
        ]
    )
    add_problem_handlers(app)
    return app
