# SPDX-License-Identifier: Apache-2.0
"""Nobody reads more harm than they can carry: exposure counted, budgets kept, opt-outs respected.

The counter moves in the commit of the look it counts. Whoever has used up the day's budget opens no
distressing case until the next day; somebody else takes it. Supervisors see counters, never what
was judged. An opt-out needs no reason, and nobody sees whose it is but the person.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from wasl_chassis.store import Collection, Doc, Index
from wasl_chassis.work import UnitOfWork
from wasl_schemas.country_pack import CountryPack

from wasl_triage.casework import Hub
from wasl_triage.domain import exposure
from wasl_triage.domain.case import Case
from wasl_triage.domain.exposure import Day, Standing
from wasl_triage.domain.people import Person

#: Days of counters a supervisor sees.
_WEEK = 7


def _encode(d: Day) -> Doc:
    return {
        "person": d.person,
        "day": d.day.isoformat(),
        "points": d.points,
        "looks": [[k, v] for k, v in (d.looks or {}).items()],
        "since": d.since,
        "last": d.last,
    }


DAYS: Collection[Day] = Collection(
    "exposure",
    lambda d: d.id,
    _encode,
    lambda d: Day(
        d["person"],
        date.fromisoformat(d["day"]),
        d["points"],
        dict(d["looks"]),
        d["since"],
        d["last"],
    ),
    indexes=(Index((("day", 1),)),),
)


@dataclass(frozen=True, slots=True)
class Preference:
    """What a person wants nobody to ask them why."""

    person: str
    opted_out: tuple[str, ...] = ()


PREFERENCES: Collection[Preference] = Collection(
    "preferences",
    lambda p: p.person,
    lambda p: {"opted_out": list(p.opted_out)},
    lambda d: Preference(d["_id"], tuple(d["opted_out"])),
)


@dataclass(frozen=True, slots=True)
class Load:
    """One person's last days, for a supervisor."""

    person: str
    today: Standing
    #: Points of the last days, oldest first, today last.
    week: tuple[int, ...]


class Wellbeing:
    def __init__(self, hub: Hub, pack: CountryPack) -> None:
        self._hub, self._pack = hub, pack
        self._zone = ZoneInfo(pack.info.timezone)

    def _today(self) -> date:
        return self._hub.clock.now().astimezone(self._zone).date()

    async def _day(self, uow: UnitOfWork, person: str) -> Day:
        blank = Day(person, self._today())
        return await uow.get(DAYS, blank.id) or blank

    async def allows(self, uow: UnitOfWork, person: Person, case: Case) -> bool:
        """Whether this person may open this case now."""
        if person.machine:
            return True
        day = await self._day(uow, person.name)
        return exposure.may_look(self._pack.desk, day, case.category)

    async def count(self, uow: UnitOfWork, person: Person, case: Case) -> None:
        """One look at one case, in the commit that shows it."""
        if person.machine:
            return
        day = await self._day(uow, person.name)
        uow.put(DAYS, exposure.looked(self._pack.desk, day, case.category, uow.now()))

    async def standing(self, person: Person) -> Standing:
        day = await self._day(self._hub.unit(), person.name)
        return exposure.standing(self._pack.desk, day, self._hub.clock.now())

    async def opted_out(self, person: Person) -> tuple[str, ...]:
        held = await self._hub.unit().get(PREFERENCES, person.name)
        return held.opted_out if held else ()

    async def spared(self, person: Person) -> frozenset[str]:
        """Categories the person is offered no cases of now: their own wish, and a spent budget."""
        wished = frozenset(await self.opted_out(person))
        if (await self.standing(person)).spent:
            wished |= frozenset(self._pack.desk.exposure.distressing)
        return wished

    async def opt_out(self, person: Person, categories: tuple[str, ...]) -> None:
        """The categories this person is offered no cases of. Unknown ones are left out."""

        async def work(uow: UnitOfWork) -> None:
            await uow.get(PREFERENCES, person.name)
            known = tuple(c for c in categories if c in self._pack.categories)
            uow.put(PREFERENCES, Preference(person.name, known))

        await self._hub.transact(work)

    async def workload(self) -> list[Load]:
        """Everybody who looked at a case in the last days, the most burdened first."""
        today = self._today()
        days = [today - timedelta(days=n) for n in range(_WEEK - 1, -1, -1)]
        where: Mapping[str, object] = {"day": {"$gte": days[0].isoformat()}}
        held = [DAYS.decode(d) for d in await self._hub.store.find(DAYS, where)]
        of = {(d.person, d.day): d for d in held}
        now = self._hub.clock.now()
        out = [
            Load(
                name,
                exposure.standing(self._pack.desk, of.get((name, today)) or Day(name, today), now),
                tuple(of[name, d].points if (name, d) in of else 0 for d in days),
            )
            for name in {d.person for d in held}
        ]
        return sorted(out, key=lambda x: (-x.today.points, x.person))
