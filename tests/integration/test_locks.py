# SPDX-License-Identifier: Apache-2.0
"""What a process that died in its transaction leaves behind: the server holds its documents until it
ends the transaction, and whoever comes next waits for that, without losing an event.
"""

import pytest
from kit import TALLIES, Bench, running, tallies, tally, until
from pymongo import MongoClient
from wasl_chassis.consuming import Consumer
from wasl_chassis.failures import Locked
from wasl_chassis.store import Changes

pytestmark = pytest.mark.integration


async def test_an_event_waits_for_a_transaction_nobody_ends(
    bench: Bench, mongo_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Consumer, "CONFLICTS", 3)
    service = bench.service(tally)
    with MongoClient(mongo_uri) as client, client.start_session() as session:
        async with running(service):
            session.start_transaction()
            db = client[f"{service.settings.database_prefix}_{bench.name}"]
            db[TALLIES.name].insert_one({"_id": "item1", "_rev": 1}, session=session)
            await bench.send(bench.event("item1", 1))

            def times(outcome: str) -> float:
                return service.metrics.value(
                    "wasl_events_handled_total",
                    consumer=bench.name,
                    type=bench.pings.type,
                    outcome=outcome,
                )

            async def tried() -> bool:
                return times("retried") > 6

            await until(tried, 30)
            session.abort_transaction()

            async def handled() -> bool:
                return "item1" in await tallies(service)

            await until(handled, 30)
            assert times("dead_lettered") == 0


async def test_a_held_document_has_an_error_of_its_own(bench: Bench, mongo_uri: str) -> None:
    service = bench.service(tally)
    await service.store.prepare([TALLIES])
    with MongoClient(mongo_uri) as client, client.start_session() as session:
        session.start_transaction()
        db = client[f"{service.settings.database_prefix}_{bench.name}"]
        db[TALLIES.name].insert_one({"_id": "item1", "_rev": 1}, session=session)
        changes = Changes(inserts={TALLIES: [{"_id": "item1", "_rev": 1}]})
        with pytest.raises(Locked):
            await service.store.commit(changes)
        session.abort_transaction()
        await service.store.commit(changes)
    await service.store.close()
