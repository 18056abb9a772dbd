# SPDX-License-Identifier: Apache-2.0
"""Whatever partners, crashes and callbacks do, in any order: legal, once, nothing stuck."""

import asyncio
import logging
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wasl_chassis.failures import Retryable
from wasl_connector_sdk import Idempotency, Outcome
from wasl_platform_gateway.domain import lane, ledger
from wasl_platform_gateway.domain.lane import Breaker, Lane, Rate, Sign
from wasl_platform_gateway.repository import LEDGER
from wasl_schemas.lifecycle import ANSWERS, DISPATCH, DispatchState

CALLS = [
    "ok", "transient", "later", "taken, answer lost", "lost", "rate", "auth", "refused", "invalid",
    "bug after", "crash after", "crash before",
]  # fmt: skip
ACTION = st.one_of(
    st.tuples(st.just("wait"), st.sampled_from([1, 5, 40, 400])),
    st.tuples(st.just("call"), st.sampled_from(CALLS)),
    st.tuples(st.just("says"), st.sampled_from(list(Outcome))),
    st.tuples(st.just("request"), st.just(0)),
    st.tuples(st.just("database"), st.sampled_from([1, 3])),
)


@pytest.mark.parametrize(
    "ability",
    [  # idempotency, whether the partner makes one report of one key, lookup, polling
        (Idempotency.NATIVE_KEY, True, False, False),
        (Idempotency.NATIVE_KEY, True, True, True),
        (Idempotency.LOOKUP, False, True, False),
        (Idempotency.NONE, False, False, True),
    ],
)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(actions=st.lists(ACTION, max_size=25))
def test_any_interleaving(kit, ability, actions):
    logging.disable(logging.CRITICAL)
    try:
        asyncio.run(_play(kit, ability, actions))
    finally:
        logging.disable(logging.NOTSET)


async def _play(kit, ability, actions):
    idempotency, honours, lookup, polling = ability
    partner = kit.FakePartner(honours_keys=honours)
    connector = kit.make_connector(partner, idempotency=idempotency, lookup=lookup, polling=polling)
    gateway = kit.Gateway(connector)
    await gateway.request(1)
    for kind, value in actions:
        if kind == "wait":
            await gateway.run_for(value, step=max(1, value / 4))
        elif kind == "call" and value.startswith("crash"):
            await _crash(gateway, partner, value.replace("crash", "hang"))
            gateway = kit.Gateway(connector, hub=gateway.hub)
        elif kind == "call":
            partner.script = [value]
            await gateway.run()
        elif kind == "says":
            await _say(gateway, value)
        elif kind == "request":
            await gateway.request(1)
        else:
            gateway.hub.trouble = [Retryable("away")] * value
        _holds(gateway, partner)
    gateway.hub.trouble = []
    partner.script = []
    await gateway.run_for(9000, step=450)
    _holds(gateway, partner)
    assert gateway.row(1).state != DispatchState.REQUESTED, "left behind"
    gateway.clock.advance(timedelta(days=15))
    await gateway.run()
    _holds(gateway, partner)
    row = gateway.row(1)
    assert row.state in {*DISPATCH.settled, DispatchState.AMBIGUOUS, DispatchState.DISPUTED}
    assert row.due_at is None
    assert row.submitting_since is None


async def _crash(gateway, partner, what):
    partner.script = [what]
    gateway.hub.trouble = []
    with suppress(Retryable):
        await gateway.dispatcher.tick()
    for _ in range(30):
        await asyncio.sleep(0)
    for task in gateway.dispatcher._tasks.values():
        task.cancel()
    await gateway.dispatcher.drain()
    partner.script = []


async def _say(gateway, outcome):
    """A partner's answer, as a callback applies it."""
    from wasl_platform_gateway.calling import emit

    uow = gateway.hub.unit()
    row = await uow.get(LEDGER, "dispatch-0001")
    said = ledger.Said(outcome.value, None, "ref-dispatch-0001")
    steps = ledger.answered(row, said, gateway.clock.now(), gateway.plan)
    if steps:
        emit(uow, row, steps)
        uow.put(LEDGER, steps[-1])
        await gateway.store.commit(uow.changes())


def _holds(gateway, partner):
    row = gateway.row(1)
    told = gateway.told(1)
    assert (told[-1] if told else "requested") == row.state
    assert row.version == len(told)
    assert all(count <= 1 for count in partner.reports.values()), "the partner has it twice"
    if row.state in {DispatchState.REQUESTED, *ledger.WAITING}:
        assert row.due_at is not None, "nobody will ever look at it again"
    if "failed" in told:
        assert partner.reports["dispatch-0001"] == 0, "called failed, and the partner has it"


# -- the rules alone --

SIGNS = st.tuples(
    st.sampled_from(list(Sign)), st.sampled_from([None, 0.0, 30.0, 1e6]), st.integers(0, 400)
)


@given(signs=st.lists(SIGNS, max_size=40))
def test_a_lane_never_stays_shut(signs):
    now = datetime(2026, 1, 5, tzinfo=UTC)
    breaker = Breaker()
    held = Lane(lane_id="a:b", connector="a", partner="b")
    for sign, retry_after, seconds in signs:
        held = held.after(sign, now, breaker, retry_after)
        now += timedelta(seconds=seconds)
    later = now + breaker.longest_block + breaker.longest
    assert held.allowance(10, later, None) == (1 if held.guarded else 10)
    assert held.after(Sign.ALIVE, later, breaker).allowance(10, later, None) == 10


@given(
    steps=st.lists(st.tuples(st.integers(0, 20), st.floats(0, 30)), max_size=40),
    per_second=st.floats(0.1, 50),
    burst=st.integers(1, 50),
)
def test_the_rate_is_never_exceeded(steps, per_second, burst):
    start = now = datetime(2026, 1, 5, tzinfo=UTC)
    rate = Rate(per_second, burst)
    held = Lane(lane_id="a:b", connector="a", partner="b")
    granted = 0
    for want, seconds in steps:
        now += timedelta(seconds=seconds)
        got = held.allowance(want, now, rate)
        held = held.taken(got, now, rate, timedelta(seconds=1))
        granted += got
        assert granted <= burst + per_second * (now - start).total_seconds() + 1e-3


def test_the_words_of_partners_are_the_words_of_the_lifecycle():
    ours = {"pending", "acknowledged", "disputed", *(a.value for a in ANSWERS)}
    assert {o.value for o in Outcome} == ours


def test_lanes_are_named_after_connector_and_partner():
    assert lane.lane_id("webhook", "meta") == "webhook:meta"
