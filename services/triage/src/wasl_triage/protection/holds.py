# SPDX-License-Identifier: Apache-2.0
"""Legal holds: while one stands, nothing of its case or of the case's reports is erased by the hub.

One person sets a hold; two people lift it: the first asks, another does it. It does not end by
itself: past its date it is overdue, and somebody has to look. What a redaction blacks out
meanwhile is kept under the hold's own key, which goes when the hold is lifted. The holder of a
receipt may still withdraw: that erasure is theirs, not the hub's.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from pydantic import Field
from wasl_chassis.store import Collection, Index
from wasl_chassis.work import UnitOfWork
from wasl_schemas.base import Model, Slug, Timestamp
from wasl_schemas.country_pack import CountryPack
from wasl_schemas.ids import uuid7

from wasl_triage.audit.trail import audit
from wasl_triage.casework import NOTE, Hub
from wasl_triage.desk import Desk, NoSuchCase, Refused, need
from wasl_triage.domain.case import Case
from wasl_triage.domain.decisions import Words
from wasl_triage.domain.people import Permission, Person
from wasl_triage.repository import CASES, Report

#: No hold reaches further, and no date that the database cannot hold.
LATEST = datetime(2200, 1, 1, tzinfo=UTC)


class HoldRequest(Model):
    """``body``: who asked for it, such as an authority of the country pack. ``until``: when
    somebody must look whether it is still needed.
    """

    body: Slug
    reason: Words = Field(min_length=1)
    until: Timestamp = Field(le=LATEST)


class LiftRequest(Model):
    reason: Words = Field(min_length=1)


class Hold(Model):
    """``reason`` and the two lifting reasons are sealed with the case's key."""

    hold_id: str
    case_id: str
    body: str
    reason: str
    by: str
    since: datetime
    until: datetime
    #: The first of the two who lift it.
    lift_asked_by: str | None = None
    lift_asked_at: datetime | None = None
    lift_reason: str | None = None
    lifted_by: str | None = None
    lifted_at: datetime | None = None

    @property
    def stands(self) -> bool:
        return self.lifted_at is None


class Original(Model):
    """A text as it was before a redaction, sealed with the hold's key."""

    original_id: str
    hold_id: str
    #: Whose text or message it is; None: a note of the desk.
    report_id: str | None
    content: str
    kept_at: datetime


HOLDS: Collection[Hold] = Collection.of(
    "holds", Hold, "hold_id", (Index((("case_id", 1),)), Index((("lifted_at", 1), ("until", 1))))
)
ORIGINALS: Collection[Original] = Collection.of(
    "originals", Original, "original_id", (Index((("hold_id", 1),)), Index((("report_id", 1),)))
)
ALL: tuple[Collection[Any], ...] = (HOLDS, ORIGINALS)
#: AAD field of an original.
ORIGINAL = "report.original"


class Holds:
    def __init__(self, hub: Hub, pack: CountryPack, desk: Desk) -> None:
        self._hub = hub
        self._pack = pack
        self._desk = desk

    async def set(self, person: Person, case_id: str, wanted: HoldRequest) -> Hold:
        """Raises NoSuchCase, Forbidden, Refused."""
        need(person, Permission.PROTECT)

        async def work(uow: UnitOfWork) -> Hold:
            case = await self._desk.case(uow, case_id, person)
            if wanted.until <= uow.now():
                raise Refused("The hold would be over already", "Give a date to come.")
            hold = Hold(
                hold_id=uuid7(),
                case_id=case.id,
                body=wanted.body,
                reason=await uow.keys.seal(case.id, NOTE, wanted.reason),
                by=person.name,
                since=uow.now(),
                until=wanted.until,
            )
            uow.put(HOLDS, hold)
            uow.keys.create(hold.hold_id)
            case.held = True
            self._keep(uow, case, person, "hold", hold)
            return hold

        return await self._hub.transact(work)

    async def lift(self, person: Person, hold_id: str, wanted: LiftRequest) -> Hold:
        """Ask for the hold to be lifted; done by a second person, lift it. Raises NoSuchCase,
        Forbidden, Refused.
        """
        need(person, Permission.PROTECT)

        async def work(uow: UnitOfWork) -> Hold:
            hold = await uow.get(HOLDS, hold_id)
            if hold is None:
                raise NoSuchCase
            case = await self._desk.case(uow, hold.case_id, person)
            if not hold.stands:
                raise Refused("No such hold stands", "Take an id from the list of holds.")
            if hold.lift_asked_by == person.name:
                raise Refused("You asked for it to be lifted", "Another person has to do it.")
            if hold.lift_asked_by is None:
                asked = {
                    "lift_asked_by": person.name,
                    "lift_asked_at": uow.now(),
                    "lift_reason": await uow.keys.seal(case.id, NOTE, wanted.reason),
                }
                hold = hold.model_copy(update=asked)
                uow.put(HOLDS, hold)
                self._keep(uow, case, person, "ask_lift_hold", hold)
                return hold
            hold = hold.model_copy(update={"lifted_by": person.name, "lifted_at": uow.now()})
            uow.put(HOLDS, hold)
            await self._forget_originals(uow, hold)
            others = [h for h in await standing(self._hub, case.id) if h.hold_id != hold_id]
            case.held = bool(others)
            self._keep(uow, case, person, "lift_hold", hold)
            return hold

        return await self._hub.transact(work)

    async def refuse_lifting(self, person: Person, hold_id: str) -> Hold:
        """The hold stays: what was asked is taken off. Raises NoSuchCase, Forbidden, Refused."""
        need(person, Permission.PROTECT)

        async def work(uow: UnitOfWork) -> Hold:
            hold = await uow.get(HOLDS, hold_id)
            if hold is None:
                raise NoSuchCase
            case = await self._desk.case(uow, hold.case_id, person)
            if not hold.stands or hold.lift_asked_by is None:
                raise Refused("Nobody asked for such a hold to be lifted", "Read the list again.")
            none = {"lift_asked_by": None, "lift_asked_at": None, "lift_reason": None}
            hold = hold.model_copy(update=none)
            uow.put(HOLDS, hold)
            self._keep(uow, case, person, "keep_hold", hold)
            return hold

        return await self._hub.transact(work)

    async def of(self, person: Person, case_id: str) -> list[Hold]:
        """The case's holds, lifted ones included, oldest first. Raises NoSuchCase, Forbidden."""
        need(person, Permission.PROTECT)
        await self._desk.case(self._hub.unit(), case_id, person)
        docs = await self._hub.store.find(
            HOLDS, {"case_id": case_id}, sort=(("since", 1), ("_id", 1))
        )
        return [HOLDS.decode(d) for d in docs]

    async def gauge(self) -> None:
        """Counts holds that stand, and those past their date."""
        now, store = self._hub.clock.now(), self._hub.store
        stand = await store.count(HOLDS, {"lifted_at": None})
        overdue = await store.count(HOLDS, {"lifted_at": None, "until": {"$lte": now}})
        self._hub.metrics.set("wasl_triage_holds", stand - overdue, state="stands")
        self._hub.metrics.set("wasl_triage_holds", overdue, state="overdue")

    def _keep(self, uow: UnitOfWork, case: Case, person: Person, what: str, hold: Hold) -> None:
        audit(uow, case, person.name, what, hold.hold_id)
        case.place(self._pack, uow.now())
        uow.put(CASES, case)

    async def _forget_originals(self, uow: UnitOfWork, hold: Hold) -> None:
        await uow.keys.destroy(hold.hold_id)
        for doc in await self._hub.store.find(ORIGINALS, {"hold_id": hold.hold_id}):
            uow.adopt(ORIGINALS, doc)
            await uow.delete(ORIGINALS, doc["_id"])


async def standing(hub: Hub, case_id: str) -> list[Hold]:
    docs = await hub.store.find(HOLDS, {"case_id": case_id, "lifted_at": None})
    return [HOLDS.decode(d) for d in docs]


async def keep_original(hub: Hub, uow: UnitOfWork, report: Report, text: str) -> int:
    """Keep a report's text under every hold that stands over it; how many those are."""
    return await keep_originals(hub, uow, report.cases, report.id, text, report_id=report.id)


async def keep_originals(
    hub: Hub,
    uow: UnitOfWork,
    cases: Iterable[str],
    key: str,
    text: str,
    *,
    report_id: str | None = None,
) -> int:
    """Keep a text under every hold that stands over one of these cases; how many those are.

    The first text kept of a ``key`` under a hold is the original: later ones are redacted already.
    Writes the cases, so that a hold set meanwhile makes the commit fail.
    """
    kept = 0
    for case_id in cases:
        case = await uow.get(CASES, case_id)
        if case is None:
            continue
        uow.put(CASES, case)
        for hold in await standing(hub, case_id):
            kept += 1
            original = f"{hold.hold_id}|{key}"
            if await uow.get(ORIGINALS, original) is None:
                uow.put(
                    ORIGINALS,
                    Original(
                        original_id=original,
                        hold_id=hold.hold_id,
                        report_id=report_id,
                        content=await uow.keys.seal(hold.hold_id, ORIGINAL, text),
                        kept_at=uow.now(),
                    ),
                )
    return kept
