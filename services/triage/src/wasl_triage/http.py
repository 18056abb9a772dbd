# SPDX-License-Identifier: Apache-2.0
"""The desk's API: who asks, what they ask, and every refusal as a problem (RFC 9457).

Bearer tokens, one per person; bodies are strict JSON. No answer repeats what was sent. Nothing here
decides: the routes hand over to the desk.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, TypeVar

from fastapi import Depends, FastAPI, Query, Request, Response
from pydantic import TypeAdapter
from pydantic.json_schema import models_json_schema
from starlette.middleware.base import RequestResponseEndpoint
from wasl_chassis.clock import Clock
from wasl_chassis.headers import Addresses, Headers, Kind, kind_of
from wasl_chassis.metrics import Metrics
from wasl_chassis.web import FieldError, Problem, add_problem_handlers, read_body, validate
from wasl_schemas.base import Model
from wasl_schemas.country_pack import CountryPack
from wasl_schemas.lifecycle import IllegalTransition

from wasl_triage import metrics as measure
from wasl_triage.api import cases as api_cases
from wasl_triage.api import protection as api_protection
from wasl_triage.api import quality as api_quality
from wasl_triage.api import views
from wasl_triage.api.cases import Door
from wasl_triage.desk import (
    Amendment,
    AssessmentRequest,
    Confirmation,
    Desk,
    Forbidden,
    MessageRequest,
    NoSuchCase,
    NotLawful,
    Refused,
    need,
)
from wasl_triage.domain.decisions import Missing, Proposal, Words
from wasl_triage.domain.people import Permission, Person
from wasl_triage.settings import Staff

BODY_LIMIT = 65_536
T = TypeVar("T")
_CASE_ID = re.compile(r"[0-9a-f]{32}")


class ClaimRequest(Model):
    """``take_over``: a supervisor takes it from whoever holds it."""

    take_over: bool = False


class ReleaseRequest(Model):
    """``done``: what called for attention has been seen to."""

    done: bool = False


class ReopenRequest(Model):
    reason: Words


_BODIES: tuple[type[Model], ...] = (
    ClaimRequest,
    ReleaseRequest,
    ReopenRequest,
    AssessmentRequest,
    Proposal,
    Confirmation,
    Amendment,
    MessageRequest,
    *api_cases.BODIES,
    *api_protection.BODIES,
    *api_quality.BODIES,
)
_REFS = "#/components/schemas/{model}"


def _takes(model: type[Model]) -> dict[str, Any]:
    """The OpenAPI words for a body that the route reads itself, to bound it and to be strict."""
    schema = {"$ref": _REFS.format(model=model.__name__)}
    body = {"required": True, "content": {"application/json": {"schema": schema}}}
    return {"requestBody": body}


def _lawful(missing: Sequence[Missing]) -> Problem:
    told = [(m.field, *m.told()) for m in missing]
    errors: list[FieldError] = [
        {"field": field, "message": message, "fix": fix, "code": "missing"}
        for field, message, fix in told
    ]
    if any(m.field == "role" for m in missing):
        return Problem(403, "Your role does not allow this", told[0][1], errors)
    detail = "; ".join(f"{field} {message}" for field, message, _ in told)
    return Problem(422, "The law of decisions is not satisfied", detail, errors)


def _case_id(case_id: str) -> str:
    if not _CASE_ID.fullmatch(case_id):
        raise NoSuchCase
    return case_id


def create_app(
    desk: Desk,
    pack: CountryPack,
    staff: Staff,
    metrics: Metrics,
    clock: Clock,
    *,
    api: Sequence[Callable[[FastAPI, Door], None]] = (),
    rooms: Sequence[Callable[[FastAPI], None]] = (),
    public: str = "",
) -> FastAPI:
    """The application; it needs no start-up of its own.

    ``api``: further routes for people with a token; ``rooms``: what else is opened in it, pages
    included. ``public``: the address people know it by.
    """
    app = FastAPI(
        title="Wasl triage",
        version="1",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    headers = Headers(Addresses(public=public))
    add_problem_handlers(app)
    _add_refusals(app)
    _describe(app)

    @app.middleware("http")
    async def private(request: Request, call_next: RequestResponseEndpoint) -> Response:
        response = await call_next(request)
        kind = kind_of(request.url.path, request.method, response.status_code)
        for name, value in headers.of(Kind.ANSWER if kind is Kind.PAGE else kind):
            response.headers[name.decode()] = value.decode()
        return response

    def who(request: Request) -> Person:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        challenge = {"www-authenticate": 'Bearer realm="wasl-triage"'}
        if scheme.lower() != "bearer" or not token:
            measure.record_staff_refused(metrics, "no_token")
            raise Problem(
                401, "A token is needed", "Send 'Authorization: Bearer TOKEN'.", headers=challenge
            )
        person = staff.who(token.strip())
        if person is None:
            measure.record_staff_refused(metrics, "unknown_token")
            raise Problem(
                401,
                "The token is not known",
                "Ask whoever keeps the staff list for a token.",
                headers=challenge,
            )
        return person

    Who = Annotated[Person, Depends(who)]  # noqa: N806  a type
    CaseId = Annotated[str, Depends(_case_id)]  # noqa: N806

    def reader(model: type[T]) -> Callable[..., Awaitable[T]]:
        adapter = TypeAdapter(model)

        # The person first: a stranger's body is not read.
        async def read(request: Request, _: Who) -> T:
            body = await read_body(request, BODY_LIMIT, media_type="application/json")
            return validate(adapter, body)

        return read

    @app.get("/api/v1/openapi.json", include_in_schema=False)
    async def described(_: Who) -> dict[str, Any]:
        """What there is to call, for whoever has a token: a stranger learns nothing of the desk."""
        return app.openapi()

    @app.get("/api/v1/queue")
    async def queue(person: Who, limit: Annotated[int, Query(ge=1, le=100)] = 25) -> views.Queue:
        """What waits: child safety first, then other critical cases, then by due time."""
        await desk.saw(person, "queue", "api")
        return views.Queue(cases=[views.line(c) for c in await desk.queue(person, limit)])

    @app.get("/api/v1/categories/{category}/questions")
    async def asked(person: Who, category: str) -> views.Questions:
        """What an assessment of this category answers; nothing for a category there is not."""
        need(person, Permission.QUEUE)
        return views.questions(pack, category)

    @app.get("/api/v1/cases/{case_id}")
    async def read(person: Who, case_id: CaseId, unredacted: bool = False) -> views.CaseSheet:
        """One case, opened. Audited."""
        opened = await desk.read(person, case_id, unredacted=unredacted)
        return views.sheet(pack, opened, clock.now())

    @app.get("/api/v1/cases/{case_id}/audit")
    async def audit(person: Who, case_id: CaseId) -> views.Trail:
        """Who did what to the case, and whether the trail holds. For supervisors."""
        return views.trail(*await desk.trail(person, case_id))

    @app.post("/api/v1/cases/{case_id}/claim", openapi_extra=_takes(ClaimRequest))
    async def claim(
        person: Who,
        case_id: CaseId,
        body: Annotated[ClaimRequest, Depends(reader(ClaimRequest))],
    ) -> views.CaseLine:
        """Hold the case; others cannot change it until it is released or the time is over."""
        return views.line(await desk.claim(person, case_id, take_over=body.take_over))

    @app.post("/api/v1/cases/{case_id}/release", openapi_extra=_takes(ReleaseRequest))
    async def release(
        person: Who,
        case_id: CaseId,
        body: Annotated[ReleaseRequest, Depends(reader(ReleaseRequest))],
    ) -> views.CaseLine:
        """Give the case back."""
        return views.line(await desk.release(person, case_id, done=body.done))

    @app.post("/api/v1/cases/{case_id}/assessment", openapi_extra=_takes(AssessmentRequest))
    async def assess(
        person: Who,
        case_id: CaseId,
        body: Annotated[AssessmentRequest, Depends(reader(AssessmentRequest))],
    ) -> views.CaseLine:
        """Say what the item is, or that it is something else than was said, with a note why."""
        return views.line(await desk.assess(person, case_id, body))

    @app.post("/api/v1/cases/{case_id}/decision", openapi_extra=_takes(Proposal))
    async def decide(
        person: Who, case_id: CaseId, body: Annotated[Proposal, Depends(reader(Proposal))]
    ) -> views.CaseLine:
        """Dispatch, refer, advise or close, as far as the law of decisions allows."""
        return views.line(await desk.decide(person, case_id, body))

    @app.post("/api/v1/cases/{case_id}/confirmation", openapi_extra=_takes(Confirmation))
    async def confirm(
        person: Who,
        case_id: CaseId,
        body: Annotated[Confirmation, Depends(reader(Confirmation))],
    ) -> views.CaseLine:
        """The second look at another person's decision."""
        return views.line(await desk.second_look(person, case_id, body))

    @app.post(
        "/api/v1/cases/{case_id}/dispatches/{dispatch_id}/amendment",
        openapi_extra=_takes(Amendment),
    )
    async def amend(
        person: Who,
        case_id: CaseId,
        dispatch_id: str,
        body: Annotated[Amendment, Depends(reader(Amendment))],
    ) -> views.CaseLine:
        """Correct a request to a partner, insist on it, or take it back."""
        return views.line(await desk.amend(person, case_id, dispatch_id, body))

    @app.post("/api/v1/cases/{case_id}/messages", openapi_extra=_takes(MessageRequest))
    async def write(
        person: Who,
        case_id: CaseId,
        body: Annotated[MessageRequest, Depends(reader(MessageRequest))],
    ) -> views.CaseLine:
        """Write to one reporter of the case."""
        return views.line(await desk.write(person, case_id, body))

    @app.post("/api/v1/cases/{case_id}/reopening", openapi_extra=_takes(ReopenRequest))
    async def reopen(
        person: Who,
        case_id: CaseId,
        body: Annotated[ReopenRequest, Depends(reader(ReopenRequest))],
    ) -> views.CaseLine:
        """Look at a settled case again."""
        return views.line(await desk.reopen(person, case_id, body.reason))

    door = Door(who, _case_id, reader, _takes)
    for add_routes in api:
        add_routes(app, door)
    for open_room in rooms:
        open_room(app)
    return app


def _add_refusals(app: FastAPI) -> None:
    async def unknown(_: Request, __: Exception) -> Response:
        return Problem(404, "No such case", "Take an id from the queue.").response()

    async def refused(_: Request, error: Exception) -> Response:
        return Problem(409, str(error), getattr(error, "fix", "")).response()

    async def forbidden(_: Request, error: Exception) -> Response:
        return Problem(403, "Your role does not allow this", str(error)).response()

    async def unlawful(_: Request, error: Exception) -> Response:
        return _lawful(getattr(error, "missing", [])).response()

    async def illegal(_: Request, error: Exception) -> Response:
        # The message holds names of the lifecycle only.
        return Problem(409, "The case is not in a state for this", str(error)).response()

    app.add_exception_handler(NoSuchCase, unknown)
    app.add_exception_handler(Refused, refused)
    app.add_exception_handler(Forbidden, forbidden)
    app.add_exception_handler(NotLawful, unlawful)
    app.add_exception_handler(IllegalTransition, illegal)


def _describe(app: FastAPI) -> None:
    """Add the bodies the routes read themselves, and the way to sign in, to the description."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        schema = plain()
        components = schema.setdefault("components", {})
        _, defined = models_json_schema([(m, "validation") for m in _BODIES], ref_template=_REFS)
        components.setdefault("schemas", {}).update(defined["$defs"])
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        schema["security"] = [{"token": []}]
        return schema

    app.openapi = openapi  # type: ignore[method-assign]  # the documented way to extend it
