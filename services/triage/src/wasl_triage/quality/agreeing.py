# SPDX-License-Identifier: Apache-2.0
"""How far a person and those they share second looks with agree: for themselves alone.

Only pairs of judgements count for kappa: a second person who merely confirmed has seen the answer,
so their yes and no are counted beside it and never as agreement. What everybody may know is in
``figures.py``.
"""

from dataclasses import dataclass
from datetime import datetime

from wasl_chassis.work import UnitOfWork

from wasl_triage.audit.trail import looked
from wasl_triage.casework import Hub
from wasl_triage.desk import need
from wasl_triage.domain.agreement import Kappa, by_label, kappa
from wasl_triage.domain.people import Permission, Person
from wasl_triage.quality.kept import AGREEMENTS, Agreement


@dataclass(frozen=True, slots=True)
class Figures:
    """``blind``: pairs in which the second person did not know the first one's category."""

    blind: Kappa
    categories: dict[str, Kappa]
    #: Second looks that ended in a yes and in a no, blind ones included.
    confirmed: int
    rejected: int


class Agreements:
    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def own(self, person: Person, since: datetime) -> Figures:
        """Over the pairs since a time that this person is one of. Audited."""
        need(person, Permission.SECOND_LOOK)
        docs = await self._hub.store.find(AGREEMENTS, {"at": {"$gte": since}})
        rows = [AGREEMENTS.decode(d) for d in docs]

        async def work(uow: UnitOfWork) -> None:
            await looked(uow, person.name, "figures", "agreement", "own")

        await self._hub.transact(work)
        return _figures([r for r in rows if person.name in (r.first, r.second)])


def _figures(rows: list[Agreement]) -> Figures:
    pairs = [(r.category, r.other) for r in rows if r.blind and r.other is not None]
    return Figures(
        blind=kappa(pairs),
        categories=by_label(pairs),
        confirmed=sum(r.confirmed is True for r in rows),
        rejected=sum(r.confirmed is False for r in rows),
    )
