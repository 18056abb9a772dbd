# SPDX-License-Identifier: Apache-2.0
"""Look-up for other systems: 1 to 64 hashes a request, and what stands in each bank.

Nothing of a request is kept or logged. A match names its entry by a digest, never by the hash in
the bank.
"""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import Field, TypeAdapter
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from wasl_chassis.metrics import Metrics
from wasl_chassis.web import Problem, add_problem_handlers, field_problem, read_body, validate
from wasl_schemas.base import Model

from wasl_triage.matching.matcher import Answer, FingerprintError, Matcher
from wasl_triage.matching.publishing import Manifest
from wasl_triage.matching.settings import Keys

log = logging.getLogger(__name__)

HEADER = "x-api-key"
JSON = "application/json"
#: Hashes of one request.
MOST = 64
#: Bytes of a body: as many hashes as may be asked for, and room for spaces.
BODY = 16_384
#: Up to so many hashes are looked up at once; more would keep other requests waiting.
INLINE = 4


class LookupRequest(Model):
    hashes: tuple[str, ...] = Field(min_length=1, max_length=MOST)


LOOKUP: TypeAdapter[LookupRequest] = TypeAdapter(LookupRequest)


class Door:
    def __init__(self, matcher: Matcher, keys: Keys, metrics: Metrics) -> None:
        self._matcher = matcher
        self._keys = keys
        self._metrics = metrics

    async def lookup(self, request: Request, holder: str) -> Response:
        body = await read_body(request, BODY, media_type=JSON)
        hashes = validate(LOOKUP, body).hashes
        started = time.perf_counter()
        try:
            answers = (
                self._matcher.answers(hashes)
                if len(hashes) <= INLINE
                else await asyncio.to_thread(self._matcher.answers, hashes)
            )
        except FingerprintError as error:
            raise field_problem(
                f"hashes[{error.place}]",
                "is not a hash",
                f"{error.what[:1].upper()}{error.what[1:]}.",
                code="hash",
            ) from None
        self._metrics.observe("wasl_matching_lookup_seconds", time.perf_counter() - started)
        self._metrics.inc("wasl_matching_hashes_total", len(hashes))
        for answer in answers:
            for bank in {match.bank for match in answer.matches}:
                self._metrics.inc("wasl_matching_matches_total", bank=bank)
        self._metrics.inc("wasl_matching_requests_total", holder=holder, result="answered")
        return _json({"results": [_told(answer) for answer in answers]})

    async def banks(self, _request: Request, _holder: str) -> Response:
        view = self._matcher.view()
        return _json(status(None if view is None else view.manifest, self._matcher.healthy))

    def guarded(
        self, handler: Callable[[Request, str], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        """The key is looked at before anything else is read."""

        async def guard(request: Request) -> Response:
            holder = self._keys.holder(request.headers.get(HEADER, ""))
            if holder is None:
                self._count("none", "unauthorised")
                raise Problem(
                    401,
                    "An API key is needed",
                    "Send the header X-Api-Key with a key of this hub's operator.",
                    headers={"www-authenticate": 'ApiKey realm="matching"'},
                )
            try:
                return await handler(request, holder)
            except Problem:
                self._count(holder, "invalid")
                raise
            except Exception:
                self._count(holder, "failed")
                raise

        return guard

    def _count(self, holder: str, result: str) -> None:
        self._metrics.inc("wasl_matching_requests_total", holder=holder, result=result)


def _told(answer: Answer) -> dict[str, Any]:
    matches = [m.model_dump(mode="json", exclude={"fingerprint"}) for m in answer.matches]
    return {"matches": matches, "more": answer.more}


def status(manifest: Manifest | None, healthy: bool) -> dict[str, Any]:
    """What is in place, as the API and the command tell it; nothing that is secret."""
    if manifest is None:
        return {"build": None, "built_at": None, "newest_in_place": healthy, "banks": []}
    return {
        "build": manifest.build,
        "built_at": manifest.built_at.isoformat(),
        "newest_in_place": healthy,
        "banks": [
            {
                "id": shelved.bank.id,
                "title": shelved.bank.title,
                "category": shelved.bank.category,
                "confidence": shelved.bank.confidence,
                "kinds": list(shelved.bank.kinds),
                "source": shelved.bank.source.type,
                "enabled_ratio": shelved.bank.enabled_ratio,
                "hashes": shelved.hashes,
                "refused": shelved.refused,
                "synced_at": shelved.synced_at and shelved.synced_at.isoformat(),
            }
            for shelved in manifest.banks
            if shelved.bank is not None
        ],
    }


def _json(body: dict[str, Any]) -> Response:
    headers = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
    return Response(json.dumps(body, ensure_ascii=False).encode(), 200, headers, JSON)


def lookup_app(matcher: Matcher, keys: Keys, metrics: Metrics) -> Starlette:
    door = Door(matcher, keys, metrics)
    app = Starlette(
        routes=[
            Route("/api/v1/lookup", door.guarded(door.lookup), methods=["POST"]),
            Route("/api/v1/banks", door.guarded(door.banks), methods=["GET"]),
        ]
    )
    add_problem_handlers(app)
    return app
