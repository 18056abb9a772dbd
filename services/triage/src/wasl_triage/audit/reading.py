# SPDX-License-Identifier: Apache-2.0
"""Reading the audit trail: of a case, of a stream, of what one person did on a day; and its seals.

Reading is itself a row. Of a case the reader may not see there is nothing: no trail, no row, and
its id is taken out of what other rows say.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta

from wasl_chassis.work import UnitOfWork
from wasl_schemas.country_pack import CountryPack

from wasl_triage.audit.sealing import SEALS, Checker, Finding, Seal
from wasl_triage.audit.trail import AUDIT, HEADS, AuditRow, Broken, broken_at, looked, row_id
from wasl_triage.care.helpline import HELPLINE
from wasl_triage.casework import Hub
from wasl_triage.desk import NoSuchCase, need
from wasl_triage.domain.people import EVERY_QUEUE, Permission, Person
from wasl_triage.domain.retention import audit_over
from wasl_triage.repository import CASES, PAST

#: Rows and seals that are shown at once, the newest.
SHOWN = 500
DAYS = 62
#: A case's id, wherever it stands in a word.
_CASE = re.compile(r"\b[0-9a-f]{32}\b")
#: Stands for the id of a case the reader may not see.
HIDDEN = "…"


@dataclass(frozen=True, slots=True)
class Trail:
    """``rows``: newest first. ``earlier``: there are older ones, which were not checked."""

    stream: str
    rows: tuple[AuditRow, ...]
    broken: Broken | None
    earlier: bool


@dataclass(frozen=True, slots=True)
class _Head:
    seq: int
    hash: str


class Trails:
    """``keys``: public keys a seal may bear; None: seals are shown and not checked here."""

    def __init__(self, hub: Hub, pack: CountryPack, keys: frozenset[str] | None) -> None:
        self._hub, self._pack, self._keys = hub, pack, keys

    @property
    def verifies(self) -> bool:
        return self._keys is not None

    async def of(self, person: Person, stream: str) -> Trail:
        """A stream's trail and whether it holds. Audited. Raises NoSuchCase, Forbidden."""
        need(person, Permission.AUDIT)
        head = await self._head(person, stream)
        first = max(1, head.seq - SHOWN + 1)
        ids = [row_id(stream, n) for n in range(first, head.seq + 1)]
        docs = await self._hub.store.read(AUDIT, ids)
        rows = sorted((AUDIT.decode(d) for d in docs.values()), key=lambda r: r.seq)
        erased = first > 1 or await self._some_are_over()
        broken = broken_at(stream, rows, head.seq, head.hash, erased=erased)
        await self._look(person, "trail", stream)
        shown = await self._fit(person, reversed(rows))
        return Trail(stream, shown, broken, earlier=first > 1)

    async def by(self, person: Person, who: str, day: date) -> list[AuditRow]:
        """What somebody did and read on a UTC day, newest first. Audited."""
        need(person, Permission.AUDIT)
        at = datetime.combine(day, time(), UTC)
        where = {"who": who, "at": {"$gte": at, "$lt": at + timedelta(days=1)}}
        docs = await self._hub.store.find(AUDIT, where, sort=(("at", -1),), limit=SHOWN)
        await self._look(person, "person", f"{who} {day.isoformat()}")
        rows = [AUDIT.decode(d) for d in docs]
        rows.sort(key=lambda r: (r.at, r.stream, r.seq), reverse=True)
        unseen = await self._unseen(person, [r.stream for r in rows])
        return list(await self._fit(person, [r for r in rows if r.stream not in unseen]))

    async def seals(self, person: Person) -> list[Seal]:
        """The latest days that are sealed, newest first."""
        need(person, Permission.AUDIT)
        docs = await self._hub.store.find(SEALS, {}, sort=(("_id", -1),), limit=DAYS)
        return [SEALS.decode(d) for d in docs]

    async def verify(self, person: Person, day: date) -> list[Finding]:
        """Check one day's seal and rows; empty: all of it holds. Audited."""
        need(person, Permission.AUDIT)
        if self._keys is None:
            raise AssertionError("no public key was given to check seals with")
        end = datetime.combine(day + timedelta(days=1), time(), UTC)
        gone = day if audit_over(self._pack, end, self._hub.clock.now()) else None
        found = await Checker(self._hub.store, self._keys, gone).run_day(day)
        await self._look(person, "verify", day.isoformat())
        unseen = await self._unseen(person, [f.stream for f in found])
        return [replace(f, stream=HIDDEN) if f.stream in unseen else f for f in found]

    # -- who may see what --------------------------------------------------------------------------

    async def _head(self, person: Person, stream: str) -> _Head:
        uow = self._hub.unit()
        if _CASE.fullmatch(stream):
            if await self._unseen(person, [stream]):
                raise NoSuchCase
            case, past = await uow.get(CASES, stream), await uow.get(PAST, stream)
            if case is not None:
                return _Head(case.audit_seq, case.audit_hash)
            if past is None:
                raise NoSuchCase
            return _Head(past.audit_seq, past.audit_hash)
        helped = await uow.get(HELPLINE, stream)
        if helped is not None:
            return _Head(helped.audit_seq, helped.audit_hash)
        head = await uow.get(HEADS, stream)
        if head is None:
            raise NoSuchCase
        return _Head(head.seq, head.hash)

    async def _unseen(self, person: Person, words: Iterable[str]) -> frozenset[str]:
        """Of these, the ids of cases the person may not see. What a case was before its time was
        over is not known: such a one is for whoever sees all.
        """
        ids = sorted({w for w in words if _CASE.fullmatch(w)})
        if not ids or (person.cleared and EVERY_QUEUE in person.queues):
            return frozenset()
        docs = await self._hub.store.read(CASES, ids)
        cases = (CASES.decode(d) for d in docs.values())
        seen = {c.id for c in cases if person.sees(c.queue, restricted=c.restricted)}
        return frozenset(ids) - seen

    async def _fit(self, person: Person, rows: Iterable[AuditRow]) -> tuple[AuditRow, ...]:
        """The rows without ids of cases the person may not see."""
        rows = tuple(rows)
        unseen = await self._unseen(person, [w for r in rows for w in _CASE.findall(r.why)])
        return tuple(replace(r, why=_without(r.why, unseen)) for r in rows)

    async def _some_are_over(self) -> bool:
        """Whether retention may have erased rows: days go oldest first."""
        docs = await self._hub.store.find(
            AUDIT, {"at": {"$exists": True}}, sort=(("at", 1),), limit=1
        )
        if not docs:
            return True
        start = datetime.combine(AUDIT.decode(docs[0]).at.astimezone(UTC).date(), time(), UTC)
        return audit_over(self._pack, start, self._hub.clock.now())

    async def _look(self, person: Person, what: str, why: str) -> None:
        async def work(uow: UnitOfWork) -> None:
            await looked(uow, person.name, "audit", what, why)

        await self._hub.transact(work)


def _without(why: str, unseen: frozenset[str]) -> str:
    return _CASE.sub(lambda m: HIDDEN if m.group() in unseen else m.group(), why)
