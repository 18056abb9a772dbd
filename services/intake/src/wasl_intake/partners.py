# SPDX-License-Identifier: Apache-2.0
"""The door for organisations that report by machine: XARF documents, and many reports at once.

Every request needs a key with the scope, and the key is looked at before the body is read. Of the
organisation nothing is stored but the name of its key.
"""

import asyncio
import json
from collections.abc import Iterable
from typing import Any

from fastapi import Request, Response
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from wasl_chassis.clock import Clock
from wasl_chassis.failures import Overloaded, Retryable
from wasl_chassis.metrics import Metrics
from wasl_chassis.web import Problem, field_problem, read_body, safe_name, validate

from wasl_intake import answers
from wasl_intake import metrics as measure
from wasl_intake.answers import BatchAnswer, XarfAnswer, XarfTestAnswer
from wasl_intake.domain import xarf
from wasl_intake.domain.submission import REPORT
from wasl_intake.domain.xarf import XARF, Mapped, Xarf
from wasl_intake.handlers import IntakeHandlers, RepeatDiffers
from wasl_intake.http import (
    JSON,
    NEEDS_KEY,
    Api,
    ApiRoute,
    described,
    known_category,
    problems,
    usable_repeat_key,
)
from wasl_intake.keyring import Holder, KeyRing
from wasl_intake.words import Words

#: Reports of one batch.
BATCH_MAX = 100


class BatchEntry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    key: str | None = Field(default=None, description="As Idempotency-Key")
    report: dict[str, Any] = Field(description="As the body of POST /api/v1/reports")


class Batch(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    reports: tuple[BatchEntry, ...] = Field(min_length=1, max_length=BATCH_MAX)


BATCH: TypeAdapter[Batch] = TypeAdapter(Batch)


_PARTY = {"org": "Example CERT", "contact": "abuse@example.org", "domain": "example.org"}
_XARF_EXAMPLE = {
    "xarf_version": "4.2.0",
    "report_id": "550e8400-e29b-41d4-a716-446655440000",
    "timestamp": "2025-11-30T08:00:00Z",
    "reporter": _PARTY,
    "sender": _PARTY,
    "source_identifier": "login.example.org",
    "category": "content",
    "type": "phishing",
    "url": "https://login.example.org/pay",
}
_BATCH_EXAMPLE = {
    "reports": [
        {
            "key": "feed-2026-01-05-000017",
            "report": {"locations": ["https://login.example.org/pay"]},
        }
    ]
}


class PartnerDoor:
    """The routes. ``limit``: of a body, in bytes."""

    def __init__(
        self,
        api: Api,
        words: Words,
        *,
        handlers: IntakeHandlers,
        keys: KeyRing,
        clock: Clock,
        metrics: Metrics,
        limit: int,
    ) -> None:
        self._api = api
        self._words = words
        self._handlers = handlers
        self._keys = keys
        self._clock = clock
        self._metrics = metrics
        self._limit = limit
        self._categories: dict[str, list[str]] = {}
        for category in words.pack.categories.values():
            if category.codes.xarf:
                self._categories.setdefault(category.codes.xarf, []).append(category.id)

    async def xarf(self, request: Request) -> Response:
        holder = self._keys.holder(request)
        try:
            holder.needs("xarf")
            body = await read_body(request, self._limit, media_type=JSON)
            document = validate(XARF, body)
            if document.timestamp > self._clock.now() + xarf.AHEAD:
                raise field_problem(
                    "timestamp", "lies in the future", "Set the sender's clock.", code="time_ahead"
                )
            found = xarf.mapped(document, holder.name or "", self._categories)
            report = holder.channelled(found.report)
            told = {"xarf": _told(document, found)}
            if holder.tests:
                self._keys.count(holder, "test")
                return _json({"test": True, **told})
            key = holder.own("xarf", str(document.report_id))
            try:
                # What is kept is what a repeat is compared by.
                code = await self._handlers.submit(report, report.model_dump_json().encode(), key)
            except RepeatDiffers:
                raise field_problem(
                    "report_id",
                    "was used before for another report",
                    "Use a fresh UUID for each report.",
                    code="repeat_differs",
                ) from None
        except Problem as problem:
            measure.record_report(self._metrics, "none", None, "invalid")
            self._keys.count(holder, "not_allowed" if problem.status == 403 else "invalid")
            raise
        self._keys.count(holder, "accepted")
        return _json({**self._api.submitted(request, report, code), **told}, 202)

    async def batch(self, request: Request) -> Response:
        holder = self._keys.holder(request)
        try:
            holder.needs("batch")
            batch = validate(BATCH, await read_body(request, self._limit, media_type=JSON))
        except Problem as problem:
            self._keys.count(holder, "not_allowed" if problem.status == 403 else "invalid")
            raise
        jobs = (self._entry(request, holder, entry) for entry in batch.reports)
        return _json({"results": await asyncio.gather(*jobs)})

    async def _entry(self, request: Request, holder: Holder, entry: BatchEntry) -> dict[str, Any]:
        """One report of a batch; whatever is wrong with it is told in its own result."""
        body = json.dumps(entry.report, ensure_ascii=False, sort_keys=True).encode()
        try:
            key = None if entry.key is None else usable_repeat_key(entry.key, "key")
            report = holder.channelled(known_category(validate(REPORT, body), self._words))
            if holder.tests:
                self._keys.count(holder, "test")
                return {"status": 200, "test": True}
            key = None if key is None else holder.own("batch", key)
            code = await self._handlers.submit(report, body, key)
        except RepeatDiffers:
            problem = field_problem(
                "key",
                "was used before for another report",
                "Use a fresh key for each report.",
                code="repeat_differs",
            )
        except (Overloaded, Retryable):
            problem = Problem(503, "The service is busy", "Send this report again in a while.")
        except Problem as raised:
            problem = raised
            measure.record_report(self._metrics, "none", None, "invalid")
        else:
            self._keys.count(holder, "accepted")
            return {"status": 202, **self._api.submitted(request, report, code)}
        refused = "not_allowed" if problem.status == 403 else "invalid"
        self._keys.count(holder, "unavailable" if problem.status == 503 else refused)
        return {"status": problem.status, "problem": problem.body()}

    def routes(self) -> Iterable[ApiRoute]:
        refused = problems(400, 401, 403, 408, 409, 413, 415, 422, 503)
        return (
            (
                *("POST", "/partner/xarf", self.xarf, "Send a XARF 4 document"),
                described(XARF, security=NEEDS_KEY, example=_XARF_EXAMPLE),
                {
                    202: answers.described(XarfAnswer, "Stored for good, and what it became"),
                    200: answers.described(XarfTestAnswer, "Of a key made for tests"),
                    **refused,
                },
                202,
            ),
            (
                *("POST", "/partner/reports", self.batch, "Send up to 100 reports"),
                described(BATCH, security=NEEDS_KEY, example=_BATCH_EXAMPLE),
                {
                    200: answers.described(BatchAnswer, "A result for each report, in their order"),
                    **refused,
                },
                200,
            ),
        )


def _told(document: Xarf, found: Mapped) -> dict[str, Any]:
    """``answers.XarfMapping``"""
    chosen = found.report.category
    return {
        "version": document.xarf_version,
        "type": found.kind,
        "category": chosen,
        "other_categories": [c for c in found.candidates if c != chosen],
        "locations": len(found.report.locations),
        "evidence_dropped": len(document.evidence),
        "dropped": [safe_name(name) for name in found.dropped],
    }


def _json(body: dict[str, Any], status: int = 200) -> Response:
    return Response(json.dumps(body, ensure_ascii=False).encode(), status, media_type=JSON)
