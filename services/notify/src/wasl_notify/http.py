# SPDX-License-Identifier: Apache-2.0
"""Routes of notify: an authority acknowledges a package. No logic."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from wasl_chassis.web import add_problem_handlers, read_body

from wasl_notify.handlers import NotifyHandlers

#: Bytes of the largest acknowledgement.
BODY_LIMIT = 4096


def create_app(handlers: NotifyHandlers) -> Starlette:
    async def acknowledge(request: Request) -> Response:
        body = await read_body(request, BODY_LIMIT)
        await handlers.acknowledge(request.path_params["referral_id"], request.headers, body)
        return Response(status_code=204)

    path = "/referrals/{referral_id}/acknowledgement"
    app = Starlette(routes=[Route(path, acknowledge, methods=["POST"])])
    add_problem_handlers(app)
    return app
