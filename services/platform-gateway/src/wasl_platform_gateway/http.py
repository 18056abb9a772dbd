# SPDX-License-Identifier: Apache-2.0
"""Routes: partners' callbacks, and the operator's desk behind a bearer token."""

import hmac
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from wasl_chassis.web import Problem, add_problem_handlers, field_problem, read_body, validate
from wasl_connector_sdk import CallbackRejected
from wasl_schemas.lifecycle import DispatchState, IllegalTransition

from wasl_platform_gateway.domain.ledger import Dispatch
from wasl_platform_gateway.handlers import Action, AnswerHandlers, DeskHandlers, UnknownConnector

#: A status message is a few hundred bytes; Standard Webhooks advises to stay below 20 kB.
MAX_CALLBACK = 64 * 1024
_REJECTIONS = {"signature": 401, "stale": 401, "malformed": 422}


class Resolution(BaseModel):
    """How a person settles an ambiguous or failed dispatch."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    action: Action
    reference: str | None = Field(default=None, min_length=1, max_length=200, pattern=r"^[ -~]+$")


_RESOLUTION: TypeAdapter[Resolution] = TypeAdapter(Resolution)


def create_app(answers: AnswerHandlers, desk: DeskHandlers, admin_token: str | None) -> FastAPI:
    """``admin_token``: None leaves the operator's routes out."""
    app = FastAPI(
        title="Wasl platform gateway",
        version="1",
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json" if admin_token else None,
    )
    add_problem_handlers(app)

    @app.post("/callbacks/{connector}", summary="A partner's status message")
    async def callback(connector: str, request: Request) -> JSONResponse:
        """200: noted, known or outdated. 202: kept until its dispatch is known."""
        body = await read_body(request, MAX_CALLBACK, seconds=10)
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            taken = await answers.on_callback(connector, headers, body)
        except UnknownConnector:
            raise Problem(404, "No such callback address") from None
        except CallbackRejected as error:
            raise Problem(
                _REJECTIONS.get(error.reason, 401),
                "The callback is not accepted",
                f"Reason: {error.reason}.",
            ) from None
        return JSONResponse(
            {"applied": taken.applied, "duplicate": taken.duplicate, "stale": taken.stale},
            202 if taken.waiting else 200,
        )

    if admin_token:
        _desk_routes(app, desk, admin_token)
    return app


def _desk_routes(app: FastAPI, desk: DeskHandlers, admin_token: str) -> None:
    async def operator(request: Request) -> None:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode(), admin_token.encode()):
            raise Problem(401, "Not authenticated", headers={"www-authenticate": "Bearer"})

    guarded = [Depends(operator)]

    @app.get("/internal/dispatches", dependencies=guarded, summary="Dispatches that need a person")
    async def listed(
        state: Annotated[Literal["ambiguous", "failed"], Field()] = "ambiguous",
    ) -> dict[str, list[dict[str, Any]]]:
        return {"dispatches": [_shown(row) for row in await desk.in_state(DispatchState(state))]}

    @app.post(
        "/internal/dispatches/{dispatch_id}/resolve", dependencies=guarded, summary="Settle one"
    )
    async def resolve(dispatch_id: str, request: Request) -> dict[str, Any]:
        wanted = validate(_RESOLUTION, await read_body(request, 4096))
        if wanted.reference is not None and wanted.action != "sent":
            raise field_problem("reference", "belongs to the action 'sent'", "leave it out")
        try:
            row = await desk.resolve(dispatch_id, wanted.action, wanted.reference)
        except IllegalTransition as error:
            raise Problem(409, "The dispatch is in another state", str(error)) from None
        if row is None:
            raise Problem(404, "No such dispatch")
        return _shown(row)


def _shown(row: Dispatch) -> dict[str, Any]:
    """What an operator sees: never the item."""
    return {
        "dispatch_id": row.dispatch_id,
        "case_id": row.case_id,
        "partner": row.partner,
        "category": row.category,
        "severity": row.severity,
        "state": row.state,
        "reason": row.reason,
        "attempts": row.attempts,
        "reference": row.reference,
        "requested_at": row.requested_at,
        "changed_at": row.changed_at,
    }
