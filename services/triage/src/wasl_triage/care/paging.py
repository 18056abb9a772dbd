# SPDX-License-Identifier: Apache-2.0
"""Waking whoever is on duty: critical cases and missed first looks, at any hour.

A page is written in the commit of what calls for it and posted by a loop to the address the
operator set (an on-call service, an Alertmanager bridge), signed as Standard Webhooks 1.0. It says
which case, how urgent and until when, and nothing of what it is about. Each is posted until the
other side takes it, or given up after a day: the counters and the alert show both.
"""

import json
import logging
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import httpx
from wasl_chassis.failures import Conflict
from wasl_chassis.store import Collection, Doc, Index
from wasl_chassis.work import UnitOfWork
from wasl_connector_sdk.signing import Keys, headers
from wasl_schemas.ids import uuid7

from wasl_triage import metrics as measure
from wasl_triage.casework import Hub
from wasl_triage.domain.case import Case

log = logging.getLogger(__name__)

LEASE = timedelta(seconds=60)
BATCH = 50
GIVE_UP = timedelta(days=1)
_SECONDS = 10.0
_FIRST_WAIT = timedelta(seconds=5)
_LONGEST_WAIT = timedelta(minutes=5)


class Why(StrEnum):
    CRITICAL = "critical"
    MISSED = "missed"
    RULE = "rule"


@dataclass(frozen=True, slots=True)
class PageRow:
    """``due_at``: when it is posted next; None: taken, or given up."""

    id: str
    case_id: str
    why: Why
    severity: str
    queue: str
    first_look_due: datetime
    at: datetime
    due_at: datetime | None
    attempts: int = 0
    taken_at: datetime | None = None


def _encode(p: PageRow) -> Doc:
    return {
        "case_id": p.case_id,
        "why": p.why.value,
        "severity": p.severity,
        "queue": p.queue,
        "first_look_due": p.first_look_due,
        "at": p.at,
        "due_at": p.due_at,
        "attempts": p.attempts,
        "taken_at": p.taken_at,
    }


PAGES: Collection[PageRow] = Collection(
    "pages",
    lambda p: p.id,
    _encode,
    lambda d: PageRow(
        d["_id"],
        d["case_id"],
        Why(d["why"]),
        d["severity"],
        d["queue"],
        d["first_look_due"],
        d["at"],
        d["due_at"],
        d["attempts"],
        d["taken_at"],
    ),
    indexes=(
        Index((("due_at", 1),)),
        Index((("at", 1),), ttl=90 * 86_400),
        Index((("case_id", 1),)),
    ),
)


def page(uow: UnitOfWork, case: Case, why: Why) -> None:
    """Wake somebody for a case; once a round for each reason, however often it is asked."""
    now = uow.now()
    row = PageRow(
        f"{case.id}|{case.round}|{why.value}",
        case.id,
        why,
        case.severity.value,
        case.queue,
        case.first_look_due,
        now,
        now,
    )
    if row.id not in case.paged:
        case.paged = (*case.paged, row.id)[-_KEPT:]
        uow.put(PAGES, row)


#: Ids a case remembers; each round has one for each reason.
_KEPT = 3 * len(Why)


class Pager:
    """Posts what waits. ``url`` "": nobody is paged but by the alert on the counter."""

    def __init__(self, hub: Hub, url: str, keys: Keys, http: httpx.AsyncClient) -> None:
        self._hub, self._url, self._keys, self._http = hub, url, keys, http

    async def turn(self) -> bool:
        """One batch. True: there is more."""
        hub = self._hub
        docs = await hub.store.claim(
            PAGES,
            {},
            now=hub.clock.now(),
            lease_for=LEASE,
            token=uuid7(),
            limit=BATCH,
        )
        for doc in docs:
            uow = hub.unit()
            row = uow.adopt(PAGES, doc)
            uow.put(PAGES, await self._posted(row))
            try:
                await hub.commit(uow)
            except Conflict:
                continue  # its lease ran out, and another process has it now
        return len(docs) == BATCH

    async def _posted(self, row: PageRow) -> PageRow:
        now = self._hub.clock.now()
        if not self._url:
            log.warning("a case needs a person now", extra={"case_id": row.case_id, "why": row.why})
            measure.record_page(self._hub.metrics, row.why, "no_address")
            return replace(row, due_at=None)
        taken = await self._post(row)
        if taken:
            measure.record_page(self._hub.metrics, row.why, "taken")
            return replace(row, due_at=None, attempts=row.attempts + 1, taken_at=now)
        if now - row.at > GIVE_UP:
            log.error("nobody took a page for a day", extra={"case_id": row.case_id})
            measure.record_page(self._hub.metrics, row.why, "given_up")
            return replace(row, due_at=None, attempts=row.attempts + 1)
        measure.record_page(self._hub.metrics, row.why, "failed")
        wait = min(_FIRST_WAIT * 2 ** min(row.attempts, 10), _LONGEST_WAIT)
        return replace(row, due_at=now + wait, attempts=row.attempts + 1)

    async def _post(self, row: PageRow) -> bool:
        body = json.dumps(_told(row), separators=(",", ":")).encode()
        signed = headers(self._keys, row.id, self._hub.clock.now(), body)
        try:
            answer = await self._http.post(
                self._url,
                content=body,
                headers={"content-type": "application/json", **signed},
                timeout=_SECONDS,
            )
        except httpx.HTTPError:
            return False
        return answer.is_success


def _told(row: PageRow) -> dict[str, Any]:
    return {
        "type": "case.needs-person",
        "case_id": row.case_id,
        "why": row.why.value,
        "severity": row.severity,
        "queue": row.queue,
        "due": row.first_look_due.isoformat(),
        "at": row.at.isoformat(),
    }
