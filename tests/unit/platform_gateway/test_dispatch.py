# SPDX-License-Identifier: Apache-2.0
"""The dispatch loop: every outcome of a call, crashes, leases, circuit, rate, pause, polling."""

import asyncio
import logging
from datetime import timedelta

import pytest
from wasl_chassis.failures import Conflict, Outcome, Permanent, Retryable
from wasl_connector_sdk import CredentialsRejected, Idempotency, RateLimited, TransientError
from wasl_connector_sdk import Outcome as Answer
from wasl_platform_gateway.calling import Tuning
from wasl_platform_gateway.domain.lane import Breaker, Rate
from wasl_platform_gateway.repository import overview, pause, resume

NATIVE, LOOKUP, NONE = Idempotency.NATIVE_KEY, Idempotency.LOOKUP, Idempotency.NONE


@pytest.fixture
def partner(kit):
    return kit.FakePartner()


@pytest.fixture
def gateway(kit, partner):
    return kit.Gateway(kit.make_connector(partner))


async def test_a_request_becomes_a_due_row_and_no_event(gateway):
    assert await gateway.request(1) == [None]
    row = gateway.row(1)
    assert (row.state, row.version, row.attempts) == ("requested", 0, 0)
    assert row.due_at == gateway.clock.now()
    assert gateway.told(1) == []


async def test_a_repeated_request_changes_nothing(gateway, partner):
    await gateway.request(1)
    await gateway.run()
    before = gateway.row(1)
    heard = len(gateway.store.outbox)
    assert await gateway.request(1) == [Outcome.STALE]
    assert gateway.row(1) == before
    # Whoever asks again has not heard: the newest state is told again under its version.
    assert len(gateway.store.outbox) == heard + 1
    assert gateway.told(1) == ["sent"]
    await gateway.run()
    assert partner.reports["dispatch-0001"] == 1


async def test_a_request_on_the_wrong_topic_is_poison(gateway):
    with pytest.raises(Permanent) as caught:
        await gateway.request(1, connector="webhook")
    assert caught.value.reason == "wrong_connector"


async def test_what_is_due_is_sent_with_what_the_case_says(gateway, partner):
    await gateway.request(1)
    await gateway.run()
    row = gateway.row(1)
    assert (row.state, row.reference, row.attempts) == ("sent", "ref-dispatch-0001", 1)
    assert row.submitting_since is None
    assert row.lease is None
    assert row.due_at == row.no_reply_at == row.sent_at + timedelta(days=14)
    assert gateway.told(1) == ["sent"]
    (submission,) = partner.submissions
    assert submission.location == "https://example.org/CANARY-LOCATION/1"
    assert submission.ground.text == "about law.1"
    assert submission.case == "case-0001"
    assert submission.test is False


async def test_urgent_requests_go_first(kit, partner):
    gateway = kit.Gateway(
        kit.make_connector(partner), tuning=Tuning(batch=2, concurrency=1), hub=kit.Hub()
    )
    await gateway.request(1, 2, 3)
    await gateway.request(4, severity="critical")
    await gateway.run()
    assert partner.calls[0] == ("submit", "dispatch-0004")
    assert len(partner.calls) == 4


async def test_calls_at_once_are_bounded(kit, partner):
    gateway = kit.Gateway(kit.make_connector(partner), tuning=Tuning(batch=50, concurrency=3))
    await gateway.request(*range(20))
    await gateway.run()
    assert partner.most_running == 3
    assert gateway.states() == {"sent": 20}


async def test_a_category_the_partner_does_not_take_never_leaves(kit, partner):
    gateway = kit.Gateway(kit.make_connector(partner, accepts=frozenset({"csam"})))
    await gateway.request(1)
    await gateway.run()
    assert partner.calls == []
    assert (gateway.row(1).state, gateway.row(1).reason) == ("failed", "category_not_accepted")
    assert gateway.row(1).attempts == 0
    assert gateway.told(1) == ["failed"]


async def test_an_erased_item_is_withdrawn(gateway, partner):
    await gateway.request(1, 2)
    await gateway.destroy_key("case-0001")
    await gateway.run()
    assert (gateway.row(1).state, gateway.row(1).reason) == ("withdrawn", "erased")
    assert gateway.row(2).state == "sent"
    assert partner.calls == [("submit", "dispatch-0002")]


async def test_an_item_that_cannot_be_read_fails(gateway, partner):
    other = await _sealed(gateway, "case-0001", "not an item")
    await gateway.request(1)
    gateway.store.docs["ledger"]["dispatch-0001"]["item"] = other
    await gateway.run()
    assert (gateway.row(1).state, gateway.row(1).reason) == ("failed", "item_unreadable")
    assert partner.calls == []


async def _sealed(gateway, case, text):
    uow = gateway.hub.unit()
    uow.keys.create(case)
    sealed = await uow.keys.seal(case, "case.item", text)
    await gateway.hub.store.commit(uow.changes())
    return sealed


# -- outcomes --


async def test_a_transient_fault_is_retried_on_the_schedule(gateway, partner):
    partner.script = ["transient"]
    await gateway.request(1)
    await gateway.run()
    row = gateway.row(1)
    assert (row.state, row.reason, row.attempts) == ("requested", "http_503", 1)
    assert row.due_at == gateway.clock.now() + timedelta(seconds=2)
    assert gateway.told(1) == []
    gateway.clock.advance(timedelta(seconds=2))
    await gateway.run()
    assert (gateway.row(1).state, gateway.row(1).attempts) == ("sent", 2)


async def test_retry_after_is_a_lower_bound(gateway, partner):
    partner.script = ["later"]
    await gateway.request(1)
    await gateway.run()
    assert gateway.row(1).due_at == gateway.clock.now() + timedelta(seconds=500)


async def test_the_last_attempt_ends_in_failed(gateway, partner):
    partner.usual = "transient"
    await gateway.request(1)
    await gateway.run_for(120)
    row = gateway.row(1)
    assert (row.state, row.attempts, row.reason) == ("failed", 4, "http_503")
    assert len(partner.calls) == 4
    assert gateway.told(1) == ["failed"]


async def test_a_refusal_is_final_and_keeps_its_code(gateway, partner):
    partner.script = ["refused"]
    await gateway.request(1)
    await gateway.run_for(60)
    assert (gateway.row(1).state, gateway.row(1).reason) == ("refused", "out_of_scope")
    assert gateway.told(1) == ["refused"]
    assert len(partner.calls) == 1


async def test_a_mapping_bug_is_final(gateway, partner):
    partner.script = ["invalid"]
    await gateway.request(1)
    await gateway.run_for(60)
    assert (gateway.row(1).state, gateway.row(1).reason) == ("failed", "http_400")
    assert len(partner.calls) == 1


async def test_an_answer_at_once_counts(gateway, partner):
    partner.outcome = Answer.ALREADY_GONE
    await gateway.request(1)
    await gateway.run()
    assert gateway.told(1) == ["sent", "already_gone"]
    assert gateway.row(1).due_at is None


async def test_rejected_credentials_burn_no_attempt_and_open_the_circuit(gateway, partner):
    partner.script = ["auth"] * 4
    await gateway.request(1)
    await gateway.run()
    assert gateway.lane().open_until == gateway.clock.now() + timedelta(seconds=60)
    await gateway.run_for(59)
    assert len(partner.calls) == 1
    assert (gateway.row(1).state, gateway.row(1).attempts) == ("requested", 0)
    await gateway.run_for(1000)
    assert gateway.row(1).state == "sent"
    assert gateway.row(1).attempts == 1


async def test_a_rate_limit_stops_the_lane_and_burns_no_attempt(gateway, partner):
    partner.script = ["rate"]
    await gateway.request(1, 2)
    await gateway.run()
    sent_first = gateway.states()["sent"]
    assert gateway.lane().blocked_until == gateway.clock.now() + timedelta(seconds=30)
    await gateway.request(3)
    await gateway.run_for(29)
    assert gateway.states()["sent"] == sent_first
    await gateway.run_for(2)
    assert gateway.states() == {"sent": 3}
    assert all(gateway.row(n).attempts == 1 for n in (1, 2, 3))


# -- not knowing --


async def test_a_lost_answer_with_a_native_key_is_sent_again(gateway, partner):
    partner.script = ["taken, answer lost"]
    await gateway.request(1)
    await gateway.run()
    assert (gateway.row(1).state, gateway.row(1).unsure) == ("requested", True)
    await gateway.run_for(3)
    assert gateway.row(1).state == "sent"
    assert gateway.row(1).unsure is False
    assert partner.reports["dispatch-0001"] == 1


@pytest.mark.parametrize("what", ["taken, answer lost", "lost"])
async def test_a_lost_answer_is_looked_up_first(kit, what):
    partner = kit.FakePartner(honours_keys=False)
    gateway = kit.Gateway(kit.make_connector(partner, idempotency=LOOKUP, lookup=True))
    partner.script = [what]
    await gateway.request(1)
    await gateway.run_for(3)
    assert gateway.row(1).state == "sent"
    assert partner.reports["dispatch-0001"] == 1
    again = [("submit", "dispatch-0001")] if what == "lost" else []
    assert partner.calls == [("submit", "dispatch-0001"), ("find", "dispatch-0001"), *again]


@pytest.mark.parametrize("what", ["taken, answer lost", "bug after"])
async def test_a_lost_answer_nobody_can_look_up_goes_to_a_person(kit, what):
    partner = kit.FakePartner(honours_keys=False)
    gateway = kit.Gateway(kit.make_connector(partner, idempotency=NONE))
    partner.script = [what]
    await gateway.request(1)
    await gateway.run_for(60)
    assert gateway.row(1).state == "ambiguous"
    assert partner.reports["dispatch-0001"] == 1
    assert gateway.told(1) == ["ambiguous"]


async def test_doubt_that_outlasts_all_attempts_is_not_called_failed(gateway, partner):
    partner.script = ["taken, answer lost", "transient", "transient", "transient"]
    await gateway.request(1)
    await gateway.run_for(120)
    assert gateway.row(1).state == "ambiguous"


async def test_a_bug_in_a_connector_is_named_without_its_text(gateway, partner, caplog):
    partner.script = ["bug after"]
    await gateway.request(1)
    with caplog.at_level(logging.DEBUG):
        await gateway.run_for(3)
    assert gateway.row(1).state == "sent"
    assert partner.reports["dispatch-0001"] == 1
    assert "CANARY" not in caplog.text
    told = [r for r in caplog.records if "outside its contract" in r.getMessage()]
    assert told[0].error == "KeyError"


async def test_a_call_has_a_time_limit(kit, partner):
    gateway = kit.Gateway(kit.make_connector(partner), timeout=0.05)
    partner.script = ["hang after"]
    await gateway.request(1)
    await gateway.run()
    assert (gateway.row(1).state, gateway.row(1).reason) == ("requested", "timeout")
    await gateway.run_for(3)
    assert partner.reports["dispatch-0001"] == 1


# -- crashes and leases --


async def _crash_in_a_call(gateway, partner, what):
    """Kill the lane's task while the partner is being called: nothing after the mark is stored."""
    partner.script = [what]
    await gateway.request(1)
    await gateway.dispatcher.tick()
    for _ in range(1000):
        if partner.running:
            break
        await asyncio.sleep(0)
    for task in gateway.dispatcher._tasks.values():
        task.cancel()
    await gateway.dispatcher.drain()
    await asyncio.sleep(0)
    assert gateway.row(1).submitting_since is not None


CRASHES = [(NATIVE, True, False), (LOOKUP, False, True), (NONE, False, False)]


@pytest.mark.parametrize("what", ["hang after", "hang before"])
@pytest.mark.parametrize(("idempotency", "honours", "lookup"), CRASHES)
async def test_a_crash_in_a_call_is_known_to_be_ambiguous(kit, idempotency, honours, lookup, what):
    partner = kit.FakePartner(honours_keys=honours)
    connector = kit.make_connector(partner, idempotency=idempotency, lookup=lookup)
    first = kit.Gateway(connector)
    await _crash_in_a_call(first, partner, what)
    second = kit.Gateway(connector, hub=first.hub)
    await second.run_for(10)
    assert second.row(1).state == "requested", "the lease of the dead holder still lives"
    await second.run_for(40)
    expected = "ambiguous" if idempotency is NONE else "sent"
    assert second.row(1).state == expected
    assert partner.reports["dispatch-0001"] <= 1
    assert second.told(1) == [expected]


async def test_a_request_that_kills_its_process_ends_with_a_person(kit, partner):
    connector = kit.make_connector(partner)
    gateway = kit.Gateway(connector)
    await gateway.request(1)
    for _ in range(gateway.plan.max_attempts):
        await _crash_in_a_call(gateway, partner, "hang before")
        gateway.clock.advance(timedelta(minutes=5))
        gateway = kit.Gateway(connector, hub=gateway.hub)
    await gateway.run()
    assert gateway.row(1).state == "ambiguous"
    assert gateway.row(1).reason == "interrupted"


async def test_a_holder_that_lost_its_lease_writes_nothing(kit, partner):
    connector = kit.make_connector(partner)
    slow, fast = kit.Gateway(connector), None
    entered, go = asyncio.Event(), asyncio.Event()

    async def hold(_):
        if not entered.is_set():
            entered.set()
            await go.wait()

    partner.before_answer = hold
    await slow.request(1)
    await slow.dispatcher.tick()
    await entered.wait()
    slow.clock.advance(timedelta(minutes=10))
    fast = kit.Gateway(connector, hub=slow.hub)
    await fast.run()
    after = fast.row(1)
    assert after.state == "sent"
    go.set()
    await slow.dispatcher.drain()
    assert fast.row(1) == after
    assert fast.told(1) == ["sent"]
    assert partner.reports["dispatch-0001"] == 1
    assert slow.hub.metrics.value("wasl_delivery_lease_lost_total", connector="fake") == 1


async def test_a_callback_during_the_call_is_kept(kit, partner):
    """The partner answers before we have stored that it has the request."""
    from wasl_platform_gateway.domain import ledger
    from wasl_platform_gateway.repository import LEDGER

    gateway = kit.Gateway(kit.make_connector(partner))

    async def answer(key):
        uow = gateway.hub.unit()
        row = await uow.get(LEDGER, key)
        steps = ledger.answered(row, ledger.Said("removed"), gateway.clock.now(), gateway.plan)
        from wasl_platform_gateway.calling import emit

        emit(uow, row, steps)
        uow.put(LEDGER, steps[-1])
        await gateway.store.commit(uow.changes())

    partner.before_answer = answer
    await gateway.request(1, 2)
    await gateway.run()
    for number in (1, 2):
        row = gateway.row(number)
        assert (row.state, row.lease, row.due_at) == ("removed", None, None)
        assert row.reference == f"ref-dispatch-000{number}"
        assert gateway.told(number) == ["sent", "removed"]


async def test_the_result_survives_a_database_that_is_away(kit):
    partner = kit.FakePartner(honours_keys=False)
    gateway = kit.Gateway(kit.make_connector(partner, idempotency=NONE))
    await gateway.request(1)
    gateway.hub.trouble = [None, Retryable("away"), Retryable("away")]
    await gateway.run()
    assert gateway.row(1).state == "sent"
    assert partner.reports["dispatch-0001"] == 1


async def test_a_database_away_longer_than_the_lease_leaves_the_mark(kit):
    partner = kit.FakePartner(honours_keys=False)
    gateway = kit.Gateway(kit.make_connector(partner, idempotency=NONE))
    await gateway.request(1)
    gateway.hub.trouble = [None, *[Retryable("away")] * 500]
    await gateway.dispatcher.tick()
    await gateway.dispatcher.drain()
    with pytest.raises(Retryable):
        await gateway.dispatcher.tick()
    gateway.hub.trouble = []
    gateway.stopped = True
    await gateway.dispatcher.drain()
    again = kit.Gateway(kit.make_connector(partner, idempotency=NONE), hub=gateway.hub)
    await again.run_for(60)
    assert again.row(1).state == "ambiguous"
    assert partner.reports["dispatch-0001"] == 1


async def test_two_replicas_send_each_request_once(kit):
    partner = kit.FakePartner(honours_keys=False)
    connector = kit.make_connector(partner, idempotency=NONE)
    one = kit.Gateway(connector, tuning=Tuning(batch=7, concurrency=3))
    two = kit.Gateway(connector, hub=one.hub, tuning=Tuning(batch=5, concurrency=3))
    await one.request(*range(60))
    await asyncio.gather(one.run(), two.run())
    await asyncio.gather(one.run(), two.run())
    assert one.states() == {"sent": 60}
    assert set(partner.reports.values()) == {1}


async def test_what_was_called_is_stored_before_the_stop(kit, partner):
    gateway = kit.Gateway(kit.make_connector(partner), tuning=Tuning(batch=50, concurrency=2))
    await gateway.request(*range(10))

    async def stop(_):
        gateway.stopped = True

    partner.before_answer = stop
    await gateway.run()
    assert gateway.states() == {"sent": 2, "requested": 8}
    left = [r for r in map(gateway.row, range(10)) if r.state == "requested"]
    assert all((r.attempts, r.lease, r.submitting_since) == (0, None, None) for r in left)
    assert len(partner.calls) == 2


# -- circuit --


async def test_the_circuit_opens_probes_and_closes(kit, partner):
    gateway = kit.Gateway(
        kit.make_connector(partner),
        tuning=Tuning(batch=50, concurrency=1, breaker=Breaker(5, timedelta(seconds=5))),
    )
    partner.usual = "transient"
    await gateway.request(*range(30))
    await gateway.run()
    assert len(partner.calls) == 5, "the sixth call is not made"
    assert gateway.lane().open_until == gateway.clock.now() + timedelta(seconds=5)
    await gateway.dispatcher.measure()
    assert gateway.hub.metrics.value(
        "wasl_connector_circuit_open", connector="fake", partner="acme"
    )
    untouched = [gateway.row(n) for n in range(30) if gateway.row(n).attempts == 0]
    assert len(untouched) == 25
    gateway.clock.advance(timedelta(seconds=5))
    await gateway.run()
    assert len(partner.calls) == 6, "one probe"
    assert gateway.lane().open_until == gateway.clock.now() + timedelta(seconds=10)
    partner.usual = "ok"
    gateway.clock.advance(timedelta(seconds=10))
    await gateway.run()
    assert gateway.lane().clean
    await gateway.run_for(40)
    assert gateway.states() == {"sent": 30}
    await gateway.dispatcher.measure()
    assert not gateway.hub.metrics.value(
        "wasl_connector_circuit_open", connector="fake", partner="acme"
    )


async def test_one_replica_probes(kit, partner):
    connector = kit.make_connector(partner)
    one = kit.Gateway(connector)
    two = kit.Gateway(connector, hub=one.hub)
    partner.script = ["auth"]
    await one.request(1)
    await one.run()
    await one.request(*range(2, 10))
    one.clock.advance(timedelta(seconds=60))
    probes = []

    async def slow(key):
        probes.append(key)
        await asyncio.sleep(0.05)

    partner.before_answer = slow
    await asyncio.gather(one.dispatcher.tick(), two.dispatcher.tick())
    await asyncio.sleep(0.03)
    assert len(probes) == 1
    await asyncio.gather(one.dispatcher.drain(), two.dispatcher.drain())


async def test_a_probe_that_made_no_call_is_given_back(gateway, partner):
    partner.script = ["auth"]
    await gateway.request(1)
    await gateway.run()
    await gateway.destroy_key("case-0001")
    gateway.clock.advance(timedelta(seconds=60))
    await gateway.run()
    assert gateway.row(1).state == "withdrawn"
    assert gateway.lane().probe_until is None
    await gateway.request(2)
    await gateway.run()
    assert gateway.row(2).state == "sent"


async def test_one_partners_circuit_leaves_the_others_alone(gateway, partner):
    await gateway.request(1, partner="dead")
    partner.script = ["auth"]
    await gateway.run()
    await gateway.request(2, partner="alive")
    await gateway.request(3, partner="dead")
    await gateway.run()
    assert [gateway.row(n).state for n in (1, 2, 3)] == ["requested", "sent", "requested"]


async def test_a_slow_partner_holds_up_nobody_else(gateway, partner):
    partner.script = ["hang before"]
    await gateway.request(1, partner="slow")
    await gateway.dispatcher.tick()
    while not partner.running:
        await asyncio.sleep(0)
    await gateway.request(2, partner="quick")
    await gateway.dispatcher.tick()
    for _ in range(200):
        await asyncio.sleep(0.005)
        if gateway.row(2).state == "sent":
            break
    assert gateway.row(2).state == "sent"
    assert gateway.row(1).state == "requested"
    for task in gateway.dispatcher._tasks.values():
        task.cancel()
    await gateway.dispatcher.drain()


# -- rate --


async def test_two_replicas_share_one_rate_limit(kit, partner):
    rate = Rate(per_second=2, burst=4)
    connector = kit.make_connector(partner)
    one = kit.Gateway(connector, rate=rate)
    two = kit.Gateway(connector, hub=one.hub, rate=rate)
    await one.request(*range(40))
    await asyncio.gather(one.run(), two.run())
    assert len(partner.calls) == 4
    for second in range(1, 11):
        one.clock.advance(timedelta(seconds=1))
        await asyncio.gather(one.run(), two.run())
        assert len(partner.calls) == 4 + 2 * second
    assert one.states() == {"sent": 24, "requested": 16}


# -- pause --


async def test_a_paused_connector_takes_requests_and_sends_nothing(gateway, partner):
    now = gateway.clock.now()
    await pause(gateway.store, "fake", by="operator", now=now)
    again = await pause(gateway.store, "fake", by="other", now=now + timedelta(hours=1))
    assert (again.by, again.since) == ("operator", now)
    assert await gateway.request(1) == [None]
    await gateway.run_for(10)
    assert partner.calls == []
    (line,) = await overview(gateway.store, ["fake"])
    assert (line.paused, line.by, line.pending) == (True, "operator", 1)
    await gateway.dispatcher.measure()
    assert gateway.hub.metrics.value("wasl_connector_paused", connector="fake") == 1
    await resume(gateway.store, "fake", by="operator", now=now)
    await gateway.run()
    assert gateway.row(1).state == "sent"


async def test_a_pause_stops_a_batch_between_calls(kit, partner):
    gateway = kit.Gateway(kit.make_connector(partner), tuning=Tuning(batch=50, concurrency=1))
    await gateway.request(*range(5))

    async def hit_pause(_):
        await pause(gateway.store, "fake", by="operator", now=gateway.clock.now())
        await gateway.dispatcher.tick()

    partner.before_answer = hit_pause
    await gateway.dispatcher.tick()
    await gateway.dispatcher.drain()
    assert gateway.states() == {"sent": 1, "requested": 4}


async def test_a_contested_switch_says_so(gateway):
    class Contested(type(gateway.store)):
        async def commit(self, changes):
            raise Conflict("contested")

    with pytest.raises(Conflict, match="keeps changing"):
        await pause(Contested(), "fake", by="x", now=gateway.clock.now())


# -- following --


@pytest.fixture
def polling(kit, partner):
    return kit.Gateway(kit.make_connector(partner, polling=True))


async def test_a_sent_request_is_asked_about_until_it_is_answered(polling, partner):
    await polling.request(1)
    await polling.run()
    assert polling.row(1).due_at == polling.clock.now() + timedelta(seconds=5)
    await polling.run_for(6)
    assert partner.calls.count(("status", "ref-dispatch-0001")) == 1
    assert polling.row(1).due_at > polling.clock.now() + timedelta(seconds=50)
    partner.answers["ref-dispatch-0001"] = Answer.ACKNOWLEDGED
    await polling.run_for(60)
    assert polling.told(1) == ["sent", "acknowledged"]
    partner.answers["ref-dispatch-0001"] = Answer.REMOVED
    await polling.run_for(61)
    assert polling.told(1) == ["sent", "acknowledged", "removed"]
    calls = len(partner.calls)
    await polling.run_for(200, step=10)
    assert len(partner.calls) == calls
    assert polling.row(1).lease is None


@pytest.mark.parametrize("polls", [True, False])
async def test_waiting_ends(kit, partner, polls):
    gateway = kit.Gateway(kit.make_connector(partner, polling=polls))
    await gateway.request(1)
    await gateway.run()
    gateway.clock.advance(timedelta(days=14))
    await gateway.run()
    assert (gateway.row(1).state, gateway.row(1).reason) == ("no_reply", "no_reply")
    assert gateway.row(1).due_at is None


@pytest.mark.parametrize(
    "error", [TransientError(), RateLimited(retry_after=1), CredentialsRejected(), ValueError("x")]
)
async def test_a_failed_status_request_is_repeated(polling, partner, error):
    await polling.request(1)
    await polling.run()
    partner.answers["ref-dispatch-0001"] = error
    polling.clock.advance(timedelta(seconds=5))
    await polling.run()
    assert polling.row(1).state == "sent"
    partner.answers["ref-dispatch-0001"] = Answer.REMOVED
    await polling.run_for(200)
    assert polling.row(1).state == "removed"


async def test_status_requests_count_against_the_rate(kit, partner):
    gateway = kit.Gateway(kit.make_connector(partner, polling=True), rate=Rate(1, 3))
    await gateway.request(*range(3))
    await gateway.run()
    gateway.clock.advance(timedelta(seconds=60))
    partner.calls.clear()
    await gateway.run()
    assert len(partner.calls) == 3


# -- measured --


async def test_the_backlog_is_measured(gateway, partner):
    partner.usual = "transient"
    await gateway.request(1, 2)
    await gateway.dispatcher.measure()
    value = gateway.hub.metrics.value
    assert value("wasl_deliveries_pending", connector="fake") == 2
    assert (
        value("wasl_delivery_oldest_pending_timestamp_seconds", connector="fake")
        == gateway.row(1).requested_at.timestamp()
    )
    partner.usual = "ok"
    await gateway.run()
    await gateway.dispatcher.measure()
    assert value("wasl_deliveries_pending", connector="fake") == 0
    assert value("wasl_delivery_oldest_pending_timestamp_seconds", connector="fake") == 0
    calls = {"connector": "fake", "operation": "submit", "outcome": "ok"}
    assert value("wasl_connector_requests_total", **calls) == 2
    assert value("wasl_dispatch_transitions_total", connector="fake", state="sent") == 2
    await gateway.door.check()
    assert value("wasl_connector_up", connector="fake") == 1


async def test_after_slow_down_one_call_asks_whether_more_may_go(gateway, partner):
    partner.usual = "rate"
    await gateway.request(*range(1, 41))
    await gateway.run()
    calls = len(partner.calls)
    for window in range(1, 4):
        gateway.clock.advance(timedelta(seconds=31))
        await gateway.run()
        assert len(partner.calls) == calls + window
    partner.usual = "ok"
    gateway.clock.advance(timedelta(seconds=31))
    await gateway.run()
    assert gateway.states() == {"sent": 40}


async def test_a_quiet_gateway_looks_once_a_second(gateway, partner):
    looks = []
    find = gateway.store.find

    async def counted(collection, *arguments, **options):
        looks.append(collection.name)
        return await find(collection, *arguments, **options)

    gateway.store.find = counted
    for _ in range(100):
        await gateway.dispatcher.tick()
        gateway.clock.advance(timedelta(seconds=0.1))
    assert 9 <= looks.count("ledger") <= 11
    await gateway.request(1)
    await gateway.dispatcher.tick()
    await gateway.dispatcher.drain()
    assert gateway.row(1).state == "sent"
