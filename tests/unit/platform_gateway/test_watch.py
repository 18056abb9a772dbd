# SPDX-License-Identifier: Apache-2.0
"""The rules of a watch alone: when it looks, what it believes, and whom it asks."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wasl_platform_gateway.domain import watch
from wasl_platform_gateway.domain.lane import Lane, Rate
from wasl_platform_gateway.domain.ledger import Dispatch
from wasl_platform_gateway.domain.presence import Presence, Seen
from wasl_platform_gateway.domain.watch import Schedule
from wasl_schemas.lifecycle import WATCH, DispatchState, IllegalTransition, WatchState

NOW = datetime(2026, 1, 5, 9, tzinfo=UTC)
HOUR, MINUTE, DAY = timedelta(hours=1), timedelta(minutes=1), timedelta(days=1)
GONE = Seen(Presence.GONE, "http_404")
ONLINE = Seen(Presence.ONLINE, "http_200")
UNCLEAR = Seen(Presence.UNCLEAR, "timeout")
WALL = Seen(Presence.WALL, "login_wall")


def after(wait):
    return lambda start: start + wait


PLAN = Schedule(
    check=(after(HOUR), after(2 * HOUR), after(4 * HOUR)),
    confirm=after(10 * MINUTE),
    give_up=after(3 * DAY),
    reappearance=(after(HOUR), after(6 * HOUR), after(DAY)),
)


def dispatch(state=DispatchState.SENT, **changes):
    values = {
        "dispatch_id": "dispatch-0001",
        "case_id": "case-0001",
        "connector": "fake",
        "partner": "acme",
        "category": "defamation",
        "severity": "medium",
        "ground_kind": "law",
        "ground_ref": "law.1",
        "scope": "MA",
        "language": "ar",
        "requested_at": NOW - HOUR,
        "deadline": NOW + DAY,
        "item": "s1.case-0001.xxx",
        "urgent": False,
        "changed_at": NOW,
        "may_look": True,
        "state": state,
    }
    return Dispatch(**{**values, **changes})


def begun(now=NOW):
    return watch.begun(None, dispatch(), "h", now, PLAN)


def see(row, *seen):
    """Each look at the time it is due."""
    for one in seen:
        assert row.due_at is not None, f"nothing is due in state {row.state}"
        row = watch.looked(row, one, row.due_at, PLAN)
    return row


def test_the_first_look_comes_after_the_first_wait_and_the_waits_grow_to_the_last():
    row = begun()
    assert (row.state, row.version, row.due_at) == (WatchState.CHECKING, 0, NOW + HOUR)
    at, waits = row.due_at, []
    for _ in range(4):
        row = see(row, ONLINE)
        waits.append(row.due_at - at)
        at = row.due_at
    assert waits == [2 * HOUR, 4 * HOUR, 4 * HOUR, 4 * HOUR]
    assert (row.version, row.looks) == (0, 4)


def test_two_looks_make_it_gone_and_one_does_not():
    row = see(begun(), GONE)
    assert (row.state, row.due_at) == (WatchState.CHECKING, NOW + HOUR + 10 * MINUTE)
    assert see(row, ONLINE).suspicion is None
    row = see(row, GONE)
    assert (row.state, row.version, row.reason) == (WatchState.GONE, 1, "http_404")
    assert row.gone_at == NOW + HOUR + 10 * MINUTE
    assert row.due_at == row.gone_at + HOUR


def test_a_second_look_too_soon_does_not_count():
    row = see(begun(), GONE)
    soon = watch.looked(row, GONE, row.suspected_at + MINUTE, PLAN)
    assert (soon.state, soon.due_at) == (WatchState.CHECKING, row.due_at)


def test_an_unclear_look_between_two_that_agree_takes_nothing_back():
    assert see(begun(), GONE, UNCLEAR, GONE).state is WatchState.GONE


def test_it_is_looked_at_ever_more_rarely_and_then_no_more():
    row = see(begun(), GONE, GONE)
    gone_at, times = row.gone_at, []
    while row.due_at:
        times.append(row.due_at - gone_at)
        row = see(row, GONE)
    assert times == [HOUR, 6 * HOUR, DAY]
    assert (row.state, row.version, row.reason) == (WatchState.ENDED, 2, "stayed_gone")


def test_looks_missed_while_nobody_was_there_are_not_made_up_for():
    row = see(begun(), GONE, GONE)
    late = watch.looked(row, GONE, row.gone_at + 7 * HOUR, PLAN)
    assert late.due_at == row.gone_at + DAY
    later = watch.looked(row, GONE, row.gone_at + 2 * DAY, PLAN)
    assert later.state is WatchState.ENDED


def test_it_is_back_when_two_looks_agree():
    row = see(begun(), GONE, GONE, ONLINE)
    assert (row.state, row.version) == (WatchState.GONE, 1)
    assert see(row, GONE).state is WatchState.GONE
    row = see(row, ONLINE)
    assert (row.state, row.version) == (WatchState.REAPPEARED, 2)
    assert row.due_at == row.changed_at + HOUR
    assert see(row, GONE, GONE).state is WatchState.GONE


def test_while_gone_a_wall_or_an_unclear_look_changes_nothing():
    row = see(begun(), GONE, GONE)
    for seen in (WALL, UNCLEAR):
        next_ = see(row, seen)
        assert (next_.state, next_.version) == (WatchState.GONE, 1)
        assert next_.due_at == row.gone_at + 6 * HOUR
        assert see(next_, seen, seen).state is WatchState.ENDED


def test_a_suspicion_that_it_is_back_is_followed_for_a_while():
    row = see(begun(), GONE, GONE, ONLINE, UNCLEAR, WALL)
    assert row.suspicion is Presence.ONLINE
    assert see(row, ONLINE).state is WatchState.REAPPEARED
    for _ in range(3):
        row = see(row, UNCLEAR)
    assert row.suspicion is None
    assert row.state is WatchState.GONE


def test_a_wall_needs_a_person_at_once():
    row = see(begun(), WALL)
    assert (row.state, row.reason, row.due_at) == (WatchState.MANUAL, "login_wall", None)


def test_five_unclear_looks_in_a_row_need_a_person():
    row = see(begun(), *[UNCLEAR] * 4)
    assert see(row, ONLINE, UNCLEAR).state is WatchState.CHECKING
    row = see(row, UNCLEAR)
    assert (row.state, row.reason) == (WatchState.MANUAL, "timeout")


def test_what_does_not_go_needs_a_person_in_the_end():
    row, looks = begun(), 0
    while row.state is WatchState.CHECKING:
        row, looks = see(row, ONLINE), looks + 1
    assert (row.state, row.reason) == (WatchState.MANUAL, "still_online")
    assert row.changed_at == NOW + 3 * DAY
    assert looks < 30


def test_a_site_that_asks_for_time_gets_it():
    row = see(begun(), Seen(Presence.UNCLEAR, "http_503", wait=9 * 3600))
    assert row.due_at == NOW + HOUR + 9 * HOUR


# -- what others say --


@pytest.mark.parametrize("state", list(DispatchState))
def test_a_watch_begins_when_the_partner_has_it(state):
    held = state in {
        "sent", "acknowledged", "removed", "geo_restricted", "age_restricted", "labelled",
        "account_action", "already_gone", "refused", "disputed", "no_reply",
    }  # fmt: skip
    assert watch.begins(None, dispatch(state)) is held
    assert not watch.begins(None, dispatch(state, may_look=False))


def test_only_a_later_request_begins_it_again():
    row = see(begun(), GONE, GONE)
    assert not watch.begins(row, dispatch())
    newer = dispatch(requested_at=NOW + DAY)
    assert watch.begins(row, newer)
    again = watch.begun(row, newer, "h2", NOW + DAY, PLAN)
    assert (again.state, again.version, again.host) == (WatchState.CHECKING, 2, "h2")
    assert (again.gone_at, again.due_at) == (None, NOW + DAY + HOUR)
    assert again.looks == row.looks


def test_a_later_request_does_not_disturb_one_that_is_followed():
    row = see(begun(), ONLINE)
    again = watch.begun(row, dispatch(requested_at=NOW), "h", NOW + HOUR, PLAN)
    assert (again.state, again.version, again.due_at) == (row.state, 0, row.due_at)
    waiting = see(begun(), WALL)
    again = watch.begun(waiting, dispatch(requested_at=NOW), "h", NOW + HOUR, PLAN)
    assert again.state is WatchState.MANUAL


def test_what_left_after_the_first_was_taken_back_is_followed():
    row = watch.ended(begun(), watch.WITHDRAWN, NOW)
    assert watch.begins(row, dispatch(dispatch_id="dispatch-0002"))
    closed = watch.closed(row, row.case_id, NOW, NOW)
    assert not watch.begins(closed, dispatch(dispatch_id="dispatch-0002"))


def test_the_newest_request_that_may_be_followed_is():
    rows = [
        dispatch(dispatch_id="a"),
        dispatch(dispatch_id="b", requested_at=NOW),
        dispatch(dispatch_id="c", requested_at=NOW + HOUR, may_look=False),
        dispatch(DispatchState.WITHDRAWN, dispatch_id="d", requested_at=NOW + HOUR),
    ]
    assert watch.target(rows).dispatch_id == "b"
    assert watch.target(rows[2:]) is None


def test_a_claim_brings_the_next_look_forward_once():
    row = watch.claimed(begun(), "d", NOW, PLAN)
    assert (row.claimed_gone, row.due_at) == (True, NOW + 10 * MINUTE)
    assert watch.claimed(row, "d", NOW + HOUR, PLAN) == row
    late = watch.claimed(begun(), "d", NOW + 55 * MINUTE, PLAN)
    assert late.due_at == NOW + HOUR


def test_online_after_a_claim_is_told_once_for_each_claim():
    row = watch.claimed(begun(), "d", NOW, PLAN)
    row = see(row, ONLINE)
    assert (row.version, row.suspicion) == (0, Presence.ONLINE)
    row = see(row, ONLINE)
    assert (row.version, row.state) == (1, WatchState.CHECKING)
    assert (row.reason, row.saw_claim_refuted) == ("online_after_removal", True)
    assert see(row, ONLINE, ONLINE, ONLINE).version == 1
    second = watch.claimed(row, "e", row.changed_at, PLAN)
    assert see(second, ONLINE, ONLINE).version == 2


def test_a_claim_that_is_true_is_confirmed_by_two_looks():
    row = see(watch.claimed(begun(), "d", NOW, PLAN), GONE, GONE)
    assert (row.state, row.saw_claim_refuted, row.contest) == (WatchState.GONE, False, False)
    back = see(row, ONLINE, ONLINE)
    assert (back.state, back.saw_claim_refuted) == (WatchState.REAPPEARED, True)


def test_a_closed_case_is_followed_no_more_unless_asked_later():
    row = watch.closed(begun(), "case-0001", NOW, NOW)
    assert (row.state, row.due_at, row.reason) == (WatchState.ENDED, None, "case_closed")
    assert not watch.begins(row, dispatch(requested_at=NOW))
    assert watch.begins(row, dispatch(requested_at=NOW + MINUTE))


def test_a_closing_that_comes_first_is_remembered_and_one_that_comes_late_is_not_believed():
    row = watch.closed(None, "case-0001", NOW, NOW)
    assert not watch.begins(row, dispatch(requested_at=NOW - MINUTE))
    newer = watch.begun(None, dispatch(requested_at=NOW), "h", NOW, PLAN)
    assert watch.closed(newer, "case-0001", NOW - MINUTE, NOW) is None


def test_what_is_barred_stays_ended():
    for held in (None, begun(), see(begun(), GONE, GONE), see(begun(), WALL)):
        row = watch.barred(held, "case-0001", NOW)
        assert (row.state, row.due_at, row.barred) == (WatchState.ENDED, None, True)
        assert not watch.begins(row, dispatch(requested_at=NOW + 9 * DAY))
        assert watch.barred(row, "case-0001", NOW) == row


# -- a person --


def test_what_a_person_saw_counts_at_once():
    row = watch.seen_by_person(see(begun(), WALL), Presence.GONE, NOW + DAY, PLAN)
    assert (row.state, row.reason) == (WatchState.GONE, "by_hand")
    assert row.due_at == NOW + DAY + HOUR


def test_who_saw_it_online_is_asked_again_and_no_machine_looks():
    row = watch.seen_by_person(see(begun(), WALL), Presence.ONLINE, NOW + DAY, PLAN)
    assert (row.state, row.by_hand) == (WatchState.CHECKING, True)
    assert row.due_at is not None
    row = watch.person_due(row, row.due_at)
    assert (row.state, row.due_at) == (WatchState.MANUAL, None)


def test_a_person_may_see_that_it_is_back():
    row = watch.seen_by_person(see(begun(), GONE, GONE), Presence.ONLINE, NOW + DAY, PLAN)
    assert (row.state, row.by_hand) == (WatchState.REAPPEARED, False)


@pytest.mark.parametrize("presence", [Presence.GONE, Presence.ONLINE])
def test_nothing_is_seen_where_nothing_is_followed(presence):
    with pytest.raises(IllegalTransition):
        watch.seen_by_person(watch.closed(None, "c", NOW, NOW), presence, NOW, PLAN)


# -- places and turns --


@pytest.mark.parametrize(
    ("location", "place"),
    [
        ("https://Example.org/x", "example.org"),
        ("HTTP://example.org.:8080/", "example.org:8080"),
        ("https://user:pw@example.org/", "example.org"),
        ("@handle", None),
        ("tel:+212000000000", None),
        ("ftp://example.org/", None),
        ("https:///x", None),
        ("http://[::1", None),
        ("http://example.org:99999/", None),
        ("", None),
    ],
)
def test_only_web_addresses_have_a_place(location, place):
    assert watch.place_of(location) == place


LANE = Lane(lane_id="online-check:h", connector="online-check", partner="h")
RATE = Rate(0.5, 1)


def test_turns_are_given_one_after_another_and_across_calls():
    lane, turns = watch.take_turns(LANE, 3, NOW, RATE)
    assert [(t - NOW).total_seconds() for t in turns] == [0, 2, 4]
    lane, turns = watch.take_turns(lane, 2, NOW, RATE)
    assert [(t - NOW).total_seconds() for t in turns] == [6, 8]
    _, turns = watch.take_turns(lane, 1, NOW + HOUR, RATE)
    assert turns == (NOW + HOUR,)


def test_while_a_host_asks_for_quiet_turns_begin_afterwards():
    lane = LANE.model_copy(update={"blocked_until": NOW + MINUTE})
    _, turns = watch.take_turns(lane, 2, NOW, RATE)
    assert [(t - NOW).total_seconds() for t in turns] == [60, 62]
    early = begun().but(turn=NOW + timedelta(seconds=5))
    assert watch.has_turn(early, LANE, NOW)
    assert not watch.has_turn(early, lane, NOW)
    assert watch.has_turn(begun().but(turn=turns[1]), lane, NOW)


def test_a_turn_that_passed_is_lost():
    assert not watch.has_turn(begun(), LANE, NOW)
    row = begun().but(turn=NOW)
    assert watch.has_turn(row, LANE, NOW + watch.TURN_LASTS)
    assert not watch.has_turn(row, LANE, NOW + watch.TURN_LASTS + MINUTE)


@given(
    asks=st.lists(st.tuples(st.integers(1, 5), st.integers(0, 20)), max_size=20),
    per_second=st.sampled_from([0.1, 0.5, 1.0]),
)
def test_no_two_turns_of_a_host_are_nearer_than_its_rate(asks, per_second):
    lane, now, given_ = LANE, NOW, []
    for count, seconds in asks:
        now += timedelta(seconds=seconds)
        lane, turns = watch.take_turns(lane, count, now, Rate(per_second, 1))
        assert all(turn >= now for turn in turns)
        given_ += turns
    gaps = [(b - a).total_seconds() for a, b in pairwise(given_)]
    assert all(gap >= 1 / per_second - 1e-3 for gap in gaps)


# -- anything, in any order --

STEP = st.one_of(
    st.tuples(st.just("look"), st.sampled_from([GONE, ONLINE, UNCLEAR, WALL])),
    st.tuples(st.just("early"), st.sampled_from([GONE, ONLINE, UNCLEAR, WALL])),
    st.tuples(
        st.just("dispatch"),
        st.sampled_from(list(DispatchState)),
        st.integers(-3, 3),
        st.booleans(),
    ),
    st.tuples(st.just("claim"), st.sampled_from("ab")),
    st.tuples(st.just("close"), st.integers(-3, 3)),
    st.tuples(st.just("person"), st.sampled_from([Presence.GONE, Presence.ONLINE])),
    st.tuples(st.just("withdraw")),
    st.tuples(st.just("bar")),
)


@given(steps=st.lists(STEP, max_size=40))
def test_any_order_ends_in_a_legal_state(steps):
    held, now = None, NOW
    for kind, *values in steps:
        before = held
        now += MINUTE
        held, now = _apply(held, now, kind, *values)
        _holds(before, held)


def _apply(held, now, kind, *values):
    if kind == "dispatch":
        state, hours, may_look = values
        row = dispatch(state, requested_at=now + hours * HOUR, may_look=may_look)
        return (watch.begun(held, row, "h", now, PLAN) if watch.begins(held, row) else held), now
    if kind == "close":
        return watch.closed(held, "case-0001", now + values[0] * HOUR, now) or held, now
    if kind == "bar":
        return watch.barred(held, "case-0001", now), now
    if held is None:
        return None, now
    if kind in {"look", "early"} and held.due_at:
        now = max(now, held.due_at) if kind == "look" else now
        if held.by_hand:
            return watch.person_due(held, now), now
        return watch.looked(held, values[0], now, PLAN), now
    if kind == "claim":
        return watch.claimed(held, values[0], now, PLAN), now
    if kind == "withdraw":
        return watch.ended(held, watch.WITHDRAWN, now), now
    if kind == "person":
        try:
            return watch.seen_by_person(held, values[0], now, PLAN), now
        except IllegalTransition:
            return held, now
    return held, now


def _holds(before, held):
    if held is None:
        return
    waits = held.state in {WatchState.ENDED, WatchState.MANUAL}
    assert (held.due_at is None) is waits, "nobody will ever look at it again"
    if before is None:
        assert held.version == 0
        return
    assert held.version - before.version in (0, 1)
    if held.state is not before.state:
        assert held.version == before.version + 1
        assert any(s.state is before.state and s.to is held.state for s in WATCH.steps)
    if before.barred:
        assert held.barred
        assert held.state is WatchState.ENDED
