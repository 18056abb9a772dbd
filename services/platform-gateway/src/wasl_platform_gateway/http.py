# SPDX-License-Identifier: Apache-2.0
"""Routes: partners' callbacks, and the operator's desk behind a bearer token."""

import hmac
from collections.abc import Awaitable
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from wasl_chassis.web import Problem, add_problem_handlers, field_problem, read_body, validate
from wasl_connector_sdk import CallbackRejected, ConnectorError, Outcome
from wasl_schemas.lifecycle import DispatchState, IllegalTransition, WatchState

from wasl_platform_gateway.domain.ledger import Dispatch, Said
from wasl_platform_gateway.domain.presence import Presence
from wasl_platform_gateway.handlers import Action, AnswerHandlers, DeskHandlers, UnknownConnector
from wasl_platform_gateway.watching import Sheet, WatchDesk

#: A status message is a few hundred bytes; Standard Webhooks advises to stay below 20 kB.
MAX_CALLBACK = 64 * 1024
_REJECTIONS = {"signature": 401, "stale": 401, "malformed": 422}


_Code = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,79}$")]
_Reference = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[ -~]+$")]


class _Wanted(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class Resolution(_Wanted):
    """How a person settles an ambiguous or failed dispatch."""

    action: Action
    reference: _Reference | None = None


class Entry(_Wanted):
    """What a partner said outside its channel. ``reason``: a code, not a sentence."""

    outcome: Outcome
    reason: _Code | None = None
    reference: _Reference | None = None


class Withdrawal(_Wanted):
    reason: _Code


class Sighting(_Wanted):
    """What a person saw at an item's address."""

    seen: Literal["gone", "online"]


_SIGHTING: TypeAdapter[Sighting] = TypeAdapter(Sighting)
_RESOLUTION: TypeAdapter[Resolution] = TypeAdapter(Resolution)
_ENTRY: TypeAdapter[Entry] = TypeAdapter(Entry)
_WITHDRAWAL: TypeAdapter[Withdrawal] = TypeAdapter(Withdrawal)


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


def create_watch_app(desk: WatchDesk, admin_token: str | None) -> FastAPI:
    """The watch's application: the operator's routes, or none without ``admin_token``."""
    app = FastAPI(
        title="Wasl watch",
        version="1",
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json" if admin_token else None,
    )
    add_problem_handlers(app)
    if admin_token:
        _watch_routes(app, desk, admin_token)
    return app


def _watch_routes(app: FastAPI, desk: WatchDesk, admin_token: str) -> None:
    guarded = _guarded(admin_token)

    @app.get("/internal/watches", dependencies=guarded, summary="Items a person must look at")
    async def watches(
        state: Annotated[Literal["checking", "gone", "reappeared", "manual", "ended"], Field()] = (
            "manual"
        ),
    ) -> dict[str, list[dict[str, Any]]]:
        """The longest waiting first; with the address where a person has to look."""
        return {"watches": [_watched(sheet) for sheet in await desk.in_state(WatchState(state))]}

    @app.post("/internal/watches/{case_id}/seen", dependencies=guarded, summary="Say what is there")
    async def seen(case_id: str, request: Request) -> dict[str, Any]:
        wanted = validate(_SIGHTING, await read_body(request, 4096))
        try:
            row = await desk.seen(case_id, Presence(wanted.seen))
        except IllegalTransition as error:
            raise Problem(409, "The watch is in another state", str(error)) from None
        if row is None:
            raise Problem(404, "No such watch")
        return _watched(Sheet(row))


def _watched(sheet: Sheet) -> dict[str, Any]:
    row = sheet.row
    return {
        "case_id": row.case_id,
        "state": row.state,
        "reason": row.reason,
        "looks": row.looks,
        "claimed_gone": row.claimed_gone,
        "changed_at": row.changed_at,
        "due_at": row.due_at,
        "location": sheet.location,
    }


def _guarded(admin_token: str) -> list[Any]:
    async def operator(request: Request) -> None:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode(), admin_token.encode()):
            raise Problem(401, "Not authenticated", headers={"www-authenticate": "Bearer"})

    return [Depends(operator)]


def _desk_routes(app: FastAPI, desk: DeskHandlers, admin_token: str) -> None:
    guarded = _guarded(admin_token)

    @app.get("/internal/dispatches", dependencies=guarded, summary="Dispatches that need a person")
    async def listed(
        state: Annotated[Literal["ambiguous", "disputed", "failed"], Field()] = "ambiguous",
    ) -> dict[str, list[dict[str, Any]]]:
        return {"dispatches": [_shown(row) for row in await desk.in_state(DispatchState(state))]}

    @app.get("/internal/dispatches/{dispatch_id}", dependencies=guarded, summary="One, with words")
    async def sheet(dispatch_id: str) -> dict[str, Any]:
        """What a person hands over, and what the partner wrote."""
        found = await desk.sheet(dispatch_id)
        if found is None:
            raise Problem(404, "No such dispatch")
        replies = [{"received_at": at, "text": text} for at, text in found.replies]
        return {**_shown(found.row), "packet": found.packet, "replies": replies}

    async def settle(change: Awaitable[Dispatch | None]) -> dict[str, Any]:
        try:
            row = await change
        except IllegalTransition as error:
            raise Problem(409, "The dispatch is in another state", str(error)) from None
        except ConnectorError as error:
            raise Problem(
                502, "The partner could not be told", f"Reason: {error.reason}."
            ) from None
        if row is None:
            raise Problem(404, "No such dispatch")
        return _shown(row)

    @app.post(
        "/internal/dispatches/{dispatch_id}/outcome",
        dependencies=guarded,
        summary="Enter one",
    )
    async def outcome(dispatch_id: str, request: Request) -> dict[str, Any]:
        """What a partner said by telephone, on a portal, in a letter."""
        said = validate(_ENTRY, await read_body(request, 4096))
        answer = Said(said.outcome.value, said.reason, said.reference)
        return await settle(desk.outcome(dispatch_id, answer))

    @app.post(
        "/internal/dispatches/{dispatch_id}/withdraw", dependencies=guarded, summary="Take one back"
    )
    async def withdraw(dispatch_id: str, request: Request) -> dict[str, Any]:
        wanted = validate(_WITHDRAWAL, await read_body(request, 4096))
        return await settle(desk.withdraw(dispatch_id, wanted.reason))

    @app.post(
        "/internal/dispatches/{dispatch_id}/resolve", dependencies=guarded, summary="Settle one"
    )
    async def resolve(dispatch_id: str, request: Request) -> dict[str, Any]:
        wanted = validate(_RESOLUTION, await read_body(request, 4096))
        if wanted.reference is not None and wanted.action != "sent":
            raise field_problem("reference", "belongs to the action 'sent'", "leave it out")
        return await settle(desk.resolve(dispatch_id, wanted.action, wanted.reference))


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
        "revision": row.revision,
        "reminders": row.reminders,
        "requested_at": row.requested_at,
        "changed_at": row.changed_at,
    }
