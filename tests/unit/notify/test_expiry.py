# SPDX-License-Identifier: Apache-2.0
"""A contact whose time is over is forgotten, and stays so."""

import pytest
from wasl_chassis.failures import Outcome
from wasl_schemas import topics
from wasl_schemas.events.report_expired_v1 import ExpiredData, ReportExpiredV1

REPORT = "019b7a5e-b642-722f-8360-c5dafd2a25cc"


async def expired(world, data):
    said = ReportExpiredV1(report_id=REPORT, data=data, expired_at=world.clock.now())
    uow = world.unit()
    outcome = await world.handlers.on_report_expired(
        world.event(topics.REPORT_EXPIRED_V1, said), uow
    )
    await world.store.commit(uow.changes())
    return outcome


@pytest.mark.parametrize("data", [d for d in ExpiredData if d is not ExpiredData.UNKNOWN])
async def test_nobody_is_written_to_any_more(world, data):
    submitted = await world.submitted(REPORT, "first@example.org")
    await world.feed(submitted)
    for _ in range(2):
        assert await expired(world, data) is None
        assert world.reporters[REPORT].address is None
    await world.feed(submitted)
    assert world.reporters[REPORT].address is None


async def test_who_left_no_contact_gets_no_row(world):
    assert await expired(world, ExpiredData.CONTACT) is Outcome.STALE
    assert world.reporters == {}


async def test_what_a_newer_hub_lets_expire_is_no_contact(world):
    await world.feed(await world.submitted(REPORT, "first@example.org"))
    assert await expired(world, ExpiredData.UNKNOWN) is Outcome.STALE
    assert world.reporters[REPORT].address is not None
