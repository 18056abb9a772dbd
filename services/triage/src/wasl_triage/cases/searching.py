# SPDX-License-Identifier: Apache-2.0
"""Finding a case again: by what was reported, by an id, or by what is known of it.

What was reported is looked for by the keyed hash of its canonical form, so that any spelling of an
address finds its case although the store holds no address. Texts are sealed and cannot be searched.
Nobody finds what they may not see; that somebody searched is audited, what they searched is not
kept in clear.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from wasl_chassis.store import Doc
from wasl_chassis.work import UnitOfWork

from wasl_triage.audit.trail import looked, search_mark
from wasl_triage.casework import Hub
from wasl_triage.desk import Desk, need, visible
from wasl_triage.domain.case import Case
from wasl_triage.domain.itemkey import Refused
from wasl_triage.domain.people import Permission, Person
from wasl_triage.repository import CASES, REPORTS

#: Lines of one page.
SHOWN = 50
#: What may be filtered by, and the field that is meant.
FILTERS = ("queue", "category", "severity", "state", "platform", "campaign", "owner")


@dataclass(frozen=True, slots=True)
class Found:
    """``more``: the time to go on from; None: that was all. ``unreadable``: why the words name no
    item, where they were no id either.
    """

    cases: tuple[Case, ...]
    more: datetime | None = None
    unreadable: str | None = None


class Searching:
    """``case_of``: the case of a location in any spelling, as :class:`Deriver` knows it. ``key``:
    what the audit trail keeps of a search is hashed under it.
    """

    def __init__(self, hub: Hub, desk: Desk, case_of: Callable[[str], str], key: bytes) -> None:
        self._hub, self._desk, self._case_of, self._key = hub, desk, case_of, key

    async def named(self, person: Person, words: str) -> Found:
        """Cases of an address, a handle after its platform, a number, or an id of a case, a report
        or a request. Raises Forbidden.
        """
        need(person, Permission.SEARCH)
        words = words.strip()
        ids, why = [words], None
        try:
            ids.append(self._case_of(words))
        except Refused as refused:
            why = refused.reason
        store = self._hub.store
        reports = await store.read(REPORTS, [words])
        ids += [c for doc in reports.values() for c in REPORTS.decode(doc).cases]
        held = list((await store.read(CASES, ids)).values())
        await self._note(person, "named", words)
        cases = self._seen(person, held)
        return Found(cases, unreadable=None if cases or not why else why)

    async def matching(
        self, person: Person, where: dict[str, str], before: datetime | None = None
    ) -> Found:
        """Cases by what is known of them, newest first. Raises Forbidden."""
        need(person, Permission.SEARCH)
        asked: dict[str, Any] = {k: v for k, v in where.items() if k in FILTERS and v}
        queue = asked.pop("queue", None)
        asked |= visible(person)
        if queue is not None:
            if not person.sees(queue, restricted=False):
                return Found(())
            asked["queue"] = queue
        if before is not None:
            asked["opened_at"] = {"$lt": before}
        docs = await self._hub.store.find(CASES, asked, sort=(("opened_at", -1),), limit=SHOWN + 1)
        await self._note(person, "filter", repr(sorted(where.items())))
        found = self._seen(person, docs[:SHOWN])
        more = found[-1].opened_at if len(docs) > SHOWN and found else None
        if category := where.get("category"):
            found = tuple(c for c in found if c.category == category)
        return Found(found, more)

    def _seen(self, person: Person, docs: list[Doc]) -> tuple[Case, ...]:
        """Each as the person may know it: who is to judge blind learns nothing from a list."""
        cases = (CASES.decode(d) for d in docs)
        mine = (c for c in cases if person.sees(c.queue, restricted=c.restricted))
        return tuple(self._desk.as_seen(c, person) for c in mine)

    async def _note(self, person: Person, kind: str, sought: str) -> None:
        mark = search_mark(self._key, kind, sought)

        async def work(uow: UnitOfWork) -> None:
            await looked(uow, person.name, "search", "search", mark)

        await self._hub.transact(work)
