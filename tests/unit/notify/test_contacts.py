# SPDX-License-Identifier: Apache-2.0
"""The reporter changes how we may write: the newest holds, in any order, and removal is removal."""

from itertools import permutations

import pytest
from wasl_chassis.failures import Outcome
from wasl_notify.repository import NOTIFICATIONS
from wasl_schemas import topics

REPORT, CASE = "report-mail-01", "case-aaaaaaaa"


async def told(world, relay):
    """To whom mail goes out until nothing is due."""
    await world.join()
    mailing = world.mailing(relay)
    for _ in range(4):
        world.advance(minutes=16)
        await mailing.turn()
    return [to for _, to, _ in relay.mail]


async def story(world):
    facts = [await world.submitted(REPORT, "first@example.org")]
    for address, safe in (("second@example.org", True), (None, True), ("third@example.org", True)):
        world.advance(minutes=1)
        facts.append(await world.contact(REPORT, address, safe=safe))
    return facts


@pytest.mark.parametrize("order", list(permutations(range(4))))
async def test_the_newest_change_holds_in_any_order(world, memory_relay, order):
    facts = await story(world)
    for i in order:
        await world.feed(facts[i])
    for i in reversed(order):
        await world.feed(facts[i])
    world.advance(minutes=10)
    await world.feed(world.opened(CASE, REPORT), world.updated(CASE, 2, "decided"))
    assert await told(world, memory_relay(world.clock)) == ["third@example.org"]
    assert world.reporters[REPORT].language == "ar"


@pytest.mark.parametrize("late", [False, True])
async def test_a_removed_contact_is_forgotten_also_before_the_report_is_known(
    world, memory_relay, late
):
    submitted = await world.submitted(REPORT, "first@example.org")
    world.advance(minutes=1)
    removed = await world.contact(REPORT)
    for fact in [removed, submitted] if late else [submitted, removed]:
        await world.feed(fact)
    assert world.reporters[REPORT].address is None
    await world.feed(world.opened(CASE, REPORT), world.updated(CASE, 2, "decided"))
    assert await told(world, memory_relay(world.clock)) == []


async def test_a_contact_that_is_not_safe_takes_the_safe_one_away(world):
    await world.feed(await world.submitted(REPORT, "first@example.org"))
    world.advance(minutes=1)
    await world.feed(await world.contact(REPORT, "second@example.org", safe=False))
    assert world.reporters[REPORT].address is None


async def test_mail_that_waits_goes_to_nobody_once_the_contact_is_removed(world, memory_relay):
    await world.feed(await world.submitted(REPORT, "first@example.org"))
    await world.feed(world.opened(CASE, REPORT), world.updated(CASE, 2, "decided"))
    await world.join()
    await world.feed(await world.contact(REPORT))
    assert await told(world, memory_relay(world.clock)) == []
    assert [n.reason for n in world.docs(NOTIFICATIONS)] == ["contact_removed"]


async def test_withdrawn_is_withdrawn_whatever_contact_comes(world):
    await world.feed(await world.submitted(REPORT, "first@example.org"))
    world.advance(minutes=1)
    change = await world.contact(REPORT, "second@example.org")
    await world.feed(world.withdrawn(REPORT))
    await world.feed(change)
    assert world.reporters[REPORT].address is None
    world.advance(minutes=1)
    handler = world.handlers.on_contact_changed
    event = world.event(*await world.contact(REPORT, "third@example.org"))
    assert await handler(event, world.unit()) is Outcome.STALE


async def test_who_leaves_a_contact_later_hears_what_comes_and_not_what_they_saw(
    world, memory_relay
):
    await world.feed(await world.submitted(REPORT))
    await world.feed(world.opened(CASE, REPORT), world.updated(CASE, 2, "decided"))
    await world.join()
    world.advance(hours=1)
    await world.feed(await world.contact(REPORT, "later@example.org"))
    relay = memory_relay(world.clock)
    assert await told(world, relay) == []
    await world.feed(world.updated(CASE, 3, "outcome"))
    assert await told(world, relay) == ["later@example.org"]


async def test_news_of_the_last_minutes_is_told_rather_than_lost(world, memory_relay):
    """Intake may not have shown it yet when the contact was left."""
    await world.feed(await world.submitted(REPORT))
    await world.feed(world.opened(CASE, REPORT), world.updated(CASE, 2, "decided"))
    world.advance(minutes=1)
    await world.feed(await world.contact(REPORT, "later@example.org"))
    assert await told(world, memory_relay(world.clock)) == ["later@example.org"]


async def test_nothing_of_the_address_is_readable(world):
    await world.feed(await world.submitted(REPORT))
    await world.feed(await world.contact(REPORT, "zircon@example.org"))
    assert "zircon" not in world.everything()
    assert topics.REPORTER_CONTACT_CHANGED_V1.classification == "personal"
