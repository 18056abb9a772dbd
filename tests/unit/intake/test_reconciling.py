# SPDX-License-Identifier: Apache-2.0
"""Reports nobody answered are told again, and no others."""

from datetime import timedelta
from typing import Any

import pytest
from wasl_intake.reconciling import Reconciler
from wasl_intake.repository import LINKS, UNHEARD, Links
from wasl_schemas import topics

AFTER = timedelta(minutes=15)


@pytest.fixture
def reconciler(portal: Any) -> Reconciler:
    return Reconciler(portal.hub, AFTER)


async def sent(portal: Any, count: int = 1) -> list[str]:
    """Ids of reports just accepted, and their receipts in ``portal.codes``."""
    before = set(portal.hub.store.docs.get("reports", {}))
    for number in range(count):
        answer = await portal.post({"narrative": f"report {number}"})
        assert answer.status_code == 202
    return [i for i in portal.hub.store.docs["reports"] if i not in before]


def told(portal: Any) -> list[str]:
    return [e.data.report_id for e in portal.hub.events(topics.REPORT_SUBMITTED_V1)]


async def hear(portal: Any, report_id: str) -> None:
    uow = portal.hub.unit()
    await uow.get(LINKS, report_id)
    uow.put(LINKS, Links(report_id, {"case0001": (1, True)}))
    await portal.hub.submit(uow)


async def test_only_what_nobody_answered_in_time(portal: Any, reconciler: Reconciler) -> None:
    heard, unheard = await sent(portal, 2)
    await hear(portal, heard)
    await reconciler.turn()
    assert sorted(told(portal)) == sorted([heard, unheard]), "too early"
    portal.hub.clock.advance(AFTER)
    await reconciler.turn()
    assert told(portal).count(heard) == 1
    assert told(portal).count(unheard) == 2
    first, second = (
        e for e in portal.hub.events(topics.REPORT_SUBMITTED_V1) if e.data.report_id == unheard
    )
    assert first.data == second.data
    assert first.time == second.time
    assert first.id != second.id, "an inbox would drop the question"


async def test_the_wait_doubles_until_a_case_is_heard(portal: Any, reconciler: Reconciler) -> None:
    (report_id,) = await sent(portal)
    portal.hub.clock.advance(AFTER)
    for minutes, count in ((0, 2), (14, 2), (1, 3), (29, 3), (1, 4)):
        portal.hub.clock.advance(timedelta(minutes=minutes))
        await reconciler.turn()
        assert len(told(portal)) == count
    await hear(portal, report_id)
    portal.hub.clock.advance(timedelta(days=30))
    await reconciler.turn()
    assert len(told(portal)) == 4
    assert await portal.hub.store.count(UNHEARD, {}) == 0


async def test_a_withdrawn_report_is_not_told_again(portal: Any, reconciler: Reconciler) -> None:
    first = await portal.post({"narrative": "one"})
    second = await portal.post({"narrative": "two"})
    await portal.withdraw(first.json()["receipt"])
    portal.hub.clock.advance(AFTER)
    await reconciler.turn()
    assert len(told(portal)) == 3
    await portal.withdraw(second.json()["receipt"])
    portal.hub.clock.advance(timedelta(days=1))
    await reconciler.turn()
    assert len(told(portal)) == 3
    assert await portal.hub.store.count(UNHEARD, {}) == 0


async def test_many_are_looked_through_in_pages(
    portal: Any, reconciler: Reconciler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wasl_intake.reconciling.PAGE", 4)
    ids = []
    for _ in range(11):
        ids += await sent(portal)
        portal.hub.clock.advance(timedelta(seconds=1))
    portal.hub.clock.advance(AFTER)
    for _ in range(11):
        await reconciler.turn()
    assert sorted(told(portal)) == sorted(ids * 2)


async def test_a_lost_race_with_another_replica_does_no_harm(portal: Any) -> None:
    await sent(portal, 3)
    portal.hub.clock.advance(AFTER)
    for replica in (Reconciler(portal.hub, AFTER), Reconciler(portal.hub, AFTER)):
        await replica.turn()
    assert len(told(portal)) == 6
