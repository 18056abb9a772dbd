# SPDX-License-Identifier: Apache-2.0
"""Reports nobody answered are told again, so that not even a broker that lost its disk loses one.

An accepted report leaves the outbox once the broker has it. Should the broker lose it afterwards,
no case ever comes back. So reports are looked through once, in the order received and some time
after it; those without a case are remembered and told again, with a wait that doubles. Triage knows
a report it has seen and says where it is; nothing is counted or sent twice.
"""

import logging
from datetime import UTC, datetime, timedelta

from wasl_chassis.failures import Conflict
from wasl_chassis.work import UnitOfWork
from wasl_schemas import topics
from wasl_schemas.ids import uuid7

from wasl_intake import metrics as measure
from wasl_intake.handlers import Hub, submitted
from wasl_intake.repository import LINKS, REPORTS, SWEEPS, UNHEARD, Sweep, Unheard

log = logging.getLogger(__name__)

#: Reports looked at, and told again, in one turn: bounds what a backlog of triage can double.
PAGE, BATCH = 500, 100
LEASE = timedelta(seconds=30)
#: The wait doubles up to 2^6 times the first.
MOST_DOUBLINGS = 6
_START = datetime(2000, 1, 1, tzinfo=UTC)
_SWEEP = "reports"


class Reconciler:
    """``after``: how long triage has to answer."""

    def __init__(self, hub: Hub, after: timedelta) -> None:
        self._hub = hub
        self._after = after

    async def turn(self) -> bool:
        """Look through one page and tell one batch again. True: there is more to look through."""
        more = await self._look()
        await self._repeat()
        return more

    async def _look(self) -> bool:
        hub, uow = self._hub, self._hub.unit()
        sweep = await uow.get(SWEEPS, _SWEEP)
        until = sweep.until if sweep else _START
        horizon = uow.now() - self._after
        # From the last one on, not after it: another may have come in the same millisecond.
        docs = await hub.store.find(
            REPORTS,
            {"received_at": {"$gte": until, "$lte": horizon}},
            sort=(("received_at", 1),),
            limit=PAGE,
        )
        if not docs or docs[-1]["received_at"] == until:
            return False
        ids = [doc["_id"] for doc in docs if doc["withdrawn_at"] is None]
        await uow.load(LINKS, ids)
        unheard = [i for i in ids if await uow.get(LINKS, i) is None]
        await uow.load(UNHEARD, unheard)
        for report_id in unheard:
            if await uow.get(UNHEARD, report_id) is None:
                uow.put(UNHEARD, Unheard(report_id=report_id, due_at=uow.now()))
        uow.put(SWEEPS, Sweep(sweep_id=_SWEEP, until=docs[-1]["received_at"]))
        try:
            await hub.submit(uow)
        except Conflict:
            return False  # another replica looks through them
        return len(docs) == PAGE

    async def _repeat(self) -> None:
        hub, token = self._hub, uuid7()
        docs = await hub.store.claim(
            UNHEARD, {}, now=hub.clock.now(), lease_for=LEASE, token=token, limit=BATCH
        )
        if not docs:
            return
        ids = [doc["_id"] for doc in docs]

        async def work(uow: UnitOfWork) -> int:
            await uow.load(UNHEARD, ids)
            await uow.load(REPORTS, ids)
            await uow.load(LINKS, ids)
            told = 0
            for report_id in ids:
                unheard = await uow.get(UNHEARD, report_id)
                if unheard is None or unheard.lease != token:
                    continue
                report = await uow.get(REPORTS, report_id)
                heard = await uow.get(LINKS, report_id) is not None
                if report is None or report.content is None or heard:
                    await uow.delete(UNHEARD, report_id)
                    continue
                uow.emit(topics.REPORT_SUBMITTED_V1, submitted(report), time=report.received_at)
                wait = self._after * 2 ** min(unheard.tries, MOST_DOUBLINGS)
                again = {"tries": unheard.tries + 1, "due_at": uow.now() + wait}
                free = {"lease": None, "lease_until": None}
                uow.put(UNHEARD, unheard.model_copy(update={**again, **free}))
                told += 1
            return told

        if told := await hub.transact(work):
            measure.record_repeated(hub.metrics, told)
            log.warning("reports nobody answered are told again", extra={"reports": told})
