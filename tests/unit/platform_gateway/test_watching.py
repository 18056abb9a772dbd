# SPDX-License-Identifier: Apache-2.0
"""The watch as a process: events in any order, looks, crashes, hosts, a person; nothing leaks."""

import asyncio
import json
import logging
import subprocess
import sys
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from wasl_chassis.failures import Conflict, Outcome, Retryable
from wasl_chassis.operating import Desk, Refused
from wasl_chassis.settings import SettingsError, read
from wasl_chassis.testing import FakeClock
from wasl_chassis.vault import KEYS
from wasl_platform_gateway import bootstrap
from wasl_platform_gateway import operating as commands
from wasl_platform_gateway.domain.lane import Rate
from wasl_platform_gateway.domain.ledger import Dispatch
from wasl_platform_gateway.domain.presence import Presence, Seen
from wasl_platform_gateway.domain.watch import Schedule
from wasl_platform_gateway.http import create_watch_app
from wasl_platform_gateway.looking import Allowed, Looker, Probe
from wasl_platform_gateway.repository import LANES, LEDGER, WATCHES
from wasl_platform_gateway.settings import WatchSettings
from wasl_platform_gateway.watching import (
    Follower,
    FollowHandlers,
    Rules,
    WatchDesk,
    WatchTuning,
    no_probe,
)
from wasl_platform_gateway.wording import ITEM_FIELD
from wasl_schemas.country_pack import may_fetch
from wasl_schemas.envelope import Event
from wasl_schemas.events.case_updated_v1 import CaseUpdatedV1
from wasl_schemas.events.dispatch_requested_v1 import DispatchItem
from wasl_schemas.events.dispatch_updated_v1 import DispatchUpdatedV1
from wasl_schemas.events.item_observed_v1 import ItemObservedV1
from wasl_schemas.ids import uuid7
from wasl_schemas.lifecycle import WATCH, IllegalTransition, WatchState
from wasl_schemas.platforms import StatusAddress
from wasl_schemas.topics import CASE_UPDATED_V1, DISPATCH_UPDATED_V1, ITEM_OBSERVED_V1

PACK = Path(__file__).parents[3] / "deploy" / "country-packs" / "ma"
HOUR, MINUTE, DAY = timedelta(hours=1), timedelta(minutes=1), timedelta(days=1)
GONE = Seen(Presence.GONE, "http_404")
ONLINE = Seen(Presence.ONLINE, "http_200")
UNCLEAR = Seen(Presence.UNCLEAR, "timeout")
WALL = Seen(Presence.WALL, "login_wall")
TOKEN = "t" * 24


def after(wait):
    return lambda start: start + wait


PLAN = Schedule(
    check=(after(HOUR), after(2 * HOUR)),
    confirm=after(10 * MINUTE),
    give_up=after(3 * DAY),
    reappearance=(after(HOUR), after(6 * HOUR), after(DAY)),
)
RULES = Rules(PLAN, lambda category: category != "children", b"k" * 32)


class FakeLooker:
    """Sees what ``script`` says, then ``usual``; ``hang`` names hosts that never answer."""

    def __init__(self):
        self.usual = ONLINE
        self.script = []
        self.looks = []
        self.probes = []
        self.hang = set()
        self.delay = None
        self.running = []
        self.before = None

    async def look(self, location, probe=None):
        self.looks.append(location)
        self.probes.append(probe)
        host = httpx.URL(location).host
        assert host not in self.running, "two looks at one host at once"
        self.running.append(host)
        try:
            await asyncio.sleep(0)
            if self.before is not None:
                await self.before()
            if host in self.hang:
                await asyncio.Event().wait()
            seen = self.script.pop(0) if self.script else self.usual
            if isinstance(seen, Exception):
                raise seen
            return seen
        finally:
            self.running.remove(host)

    def crawl_delay(self, location):
        return self.delay


class World:
    """One replica of the watch; give another one the same ``hub`` to have two."""

    def __init__(self, kit, hub=None, looker=None, tuning=None, probe=no_probe):
        self.hub = hub or kit.Hub()
        self.store, self.clock = self.hub.store, self.hub.clock
        self.looker = looker or FakeLooker()
        self.handlers = FollowHandlers(self.store, RULES)
        tuning = tuning or WatchTuning(rate=Rate(0.5, 1))
        self.follower = Follower(self.hub, self.looker, RULES, tuning, probe=probe)
        self.desk = WatchDesk(self.hub, PLAN)

    async def dispatch(self, state="sent", *, dispatch="dispatch-0001", case="case-0001", **values):
        """A row of the ledger as it is now, as its dispatcher stores it."""
        uow = self.hub.unit()
        if not await self.store.read(KEYS, (case,)):
            uow.keys.create(case)
        location = values.pop("location", f"https://example.org/CANARY-LOCATION/{case}")
        item = DispatchItem(location=location, platform="web", kind="post")
        held = await uow.get(LEDGER, dispatch)
        if "item" not in values:
            sealed = await uow.keys.seal(case, ITEM_FIELD, item.model_dump_json())
            values["item"] = sealed
        row = Dispatch(
            **{
                "dispatch_id": dispatch,
                "case_id": case,
                "connector": "fake",
                "partner": "acme",
                "category": "defamation",
                "severity": "medium",
                "ground_kind": "law",
                "ground_ref": "law.1",
                "scope": "MA",
                "language": "ar",
                "requested_at": self.clock.now(),
                "deadline": self.clock.now(),
                "urgent": False,
                "changed_at": self.clock.now(),
                "may_look": True,
                **({"requested_at": held.requested_at} if held else {}),
                **values,
                "state": state,
                "version": held.version + 1 if held else 1,
            }
        )
        uow.put(LEDGER, row)
        await self.store.commit(uow.changes())
        return row

    async def hear(self, *rows):
        """``dispatch.updated`` of these rows, as one batch."""
        events = [
            self._event(
                DISPATCH_UPDATED_V1,
                DispatchUpdatedV1(
                    dispatch_id=row.dispatch_id,
                    case_id=row.case_id,
                    version=row.version,
                    connector=row.connector,
                    partner=row.partner,
                    state=row.state,
                    attempts=1,
                    changed_at=row.changed_at,
                ),
            )
            for row in rows
        ]
        return await self._handle(
            events, self.handlers.prefetch_dispatches, self.handlers.on_dispatch_updated
        )

    async def case(self, case="case-0001", **values):
        data = CaseUpdatedV1(
            **{
                "case_id": case,
                "version": 1,
                "change": "assessed",
                "state": "assessed",
                "severity": "medium",
                "category": "defamation",
                "changed_at": self.clock.now(),
                **values,
            }
        )
        event = self._event(CASE_UPDATED_V1, data)
        return await self._handle(
            [event], self.handlers.prefetch_cases, self.handlers.on_case_updated
        )

    async def _handle(self, events, prefetch, handler):
        while True:
            uow = self.hub.unit()
            await prefetch(events, uow)
            results = [await handler(event, uow) for event in events]
            try:
                await self.store.commit(uow.changes())
            except Conflict:
                continue
            return results

    def _event(self, spec, data):
        return Event(
            id=uuid7(),
            source="/wasl/test",
            type=spec.type,
            subject="case/x",
            time=self.clock.now(),
            recordedtime=self.clock.now(),
            dataschema=spec.schema_urn,
            dataclassification="internal",
            partitionkey=data.case_id,
            correlationid=data.case_id,
            data=data,
        )

    async def sent(self, **values):
        return await self.hear(await self.dispatch(**values))

    async def run(self):
        """Until nothing more begins now, and what began has ended."""
        for _ in range(3):
            while await self.follower.tick():
                pass
            running = list(self.follower._looks.values())
            for _ in range(50):
                if all(task.done() for task in running):
                    break
                await asyncio.sleep(0)

    async def run_for(self, span, step=MINUTE):
        until = self.clock.now() + span
        while self.clock.now() < until:
            await self.run()
            self.clock.advance(min(step, until - self.clock.now()))
        await self.run()

    async def until_due(self, case="case-0001"):
        """To the time of the next look, and look."""
        row = self.watch(case)
        self.clock.advance(max(row.due_at - self.clock.now(), timedelta(0)))
        await self.run()

    async def destroy_key(self, case="case-0001"):
        uow = self.hub.unit()
        await uow.keys.destroy(case)
        await self.store.commit(uow.changes())

    def watch(self, case="case-0001"):
        doc = self.store.docs.get("watches", {}).get(case)
        return WATCHES.decode(doc) if doc else None

    def row(self, dispatch="dispatch-0001"):
        return LEDGER.decode(self.store.docs["ledger"][dispatch])

    def observed(self, case="case-0001"):
        """What others heard; checks that versions grow by one and the moves are legal."""
        sent = [r for r in self.store.outbox.values() if r.topic == ITEM_OBSERVED_V1.name]
        found = [ItemObservedV1.model_validate(json.loads(r.value)["data"]) for r in sent]
        found = sorted((d for d in found if d.case_id == case), key=lambda d: d.version)
        assert [d.version for d in found] == list(range(1, len(found) + 1))
        state = None
        for data in found:
            first = state is None or data.state is state
            assert first or any(s.state is state and s.to is data.state for s in WATCH.steps)
            state = data.state
        return [(d.state.value, d.reason) for d in found]

    def told(self):
        sent = [r for r in self.store.outbox.values() if r.topic == DISPATCH_UPDATED_V1.name]
        return [(d["dispatch_id"], d["state"]) for d in (json.loads(r.value)["data"] for r in sent)]


@pytest.fixture
def world(kit):
    return World(kit)


# -- from a request to gone, and back --


async def test_an_item_is_followed_until_gone_back_and_gone_for_good(world):
    assert await world.sent() == [None]
    assert world.looker.looks == []
    await world.until_due()
    assert world.looker.looks == ["https://example.org/CANARY-LOCATION/case-0001"]
    world.looker.usual = GONE
    await world.until_due()
    assert world.observed() == []
    await world.until_due()
    assert world.observed() == [("gone", "http_404")]
    assert world.told() == [("dispatch-0001", "seen_gone")]
    assert world.row().state == "seen_gone"
    world.looker.usual = ONLINE
    await world.until_due()
    await world.until_due()
    assert world.observed()[1:] == [("reappeared", "http_200")]
    world.looker.usual = GONE
    await world.run_for(timedelta(days=3), HOUR / 2)
    assert world.observed()[2:] == [("gone", "http_404"), ("ended", "stayed_gone")]
    assert world.watch().due_at is None
    assert len(world.told()) == 1


async def test_every_request_that_allows_it_is_settled_and_no_other(world):
    rows = [
        await world.dispatch("sent", dispatch="d-sent-0001"),
        await world.dispatch("refused", dispatch="d-refused-1"),
        await world.dispatch("removed", dispatch="d-removed-1"),
        await world.dispatch("requested", dispatch="d-waiting-1"),
        await world.dispatch("sent", dispatch="d-other-001", case="case-0002"),
    ]
    await world.hear(*rows[:4])
    world.looker.usual = GONE
    await world.run_for(3 * HOUR)
    assert sorted(world.told()) == [("d-refused-1", "seen_gone"), ("d-sent-0001", "seen_gone")]
    assert world.row("d-waiting-1").state == "requested"
    assert world.row("d-other-001").state == "sent"


async def test_a_request_that_arrives_while_it_is_gone_is_settled_by_the_next_look(world):
    waiting = await world.dispatch("requested", dispatch="dispatch-0002")
    await world.sent()
    world.looker.usual = GONE
    await world.run_for(90 * MINUTE)
    assert world.watch().state == "gone"
    await world.hear(await world.dispatch("sent", dispatch=waiting.dispatch_id))
    assert world.watch().state == "gone"
    await world.until_due()
    assert ("dispatch-0002", "seen_gone") in world.told()
    assert len(world.observed()) == 1


async def test_a_later_request_begins_it_again(world):
    await world.sent()
    world.looker.usual = GONE
    await world.run_for(90 * MINUTE)
    await world.sent(dispatch="dispatch-0002")
    assert world.observed() == [("gone", "http_404"), ("checking", None)]
    assert world.watch().state == "checking"


async def test_a_claim_is_checked_soon_and_refuted_once(world):
    await world.sent()
    row = await world.dispatch("removed")
    assert await world.hear(row) == [None]
    assert world.watch().due_at == world.clock.now() + 10 * MINUTE
    assert await world.hear(row, row) == [Outcome.STALE] * 2
    await world.until_due()
    await world.until_due()
    assert world.observed() == [("checking", "online_after_removal")]
    event = next(r for r in world.store.outbox.values() if r.topic == ITEM_OBSERVED_V1.name)
    assert json.loads(event.value)["data"]["claimed_gone"] is True
    await world.hear(row)
    await world.run_for(DAY, HOUR / 4)
    assert len(world.observed()) == 1


# -- what begins none and what ends one --


@pytest.mark.parametrize(
    "values",
    [
        {"may_look": False},
        {"location": "@handle"},
        {"location": "+212 600 000 000"},
        {"location": "ftp://example.org/x"},
        {"state": "requested"},
        {"state": "ambiguous"},
        {"state": "failed"},
    ],
)
async def test_nothing_is_followed_without_leave_address_or_partner(world, values):
    assert await world.sent(**values) == [Outcome.STALE]
    assert world.watch() is None


async def test_an_event_about_a_request_nobody_has_is_set_aside(world):
    row = (await world.dispatch()).but(dispatch_id="dispatch-9999")
    assert await world.hear(row) == [Outcome.STALE]


async def test_an_erased_item_is_not_followed(world):
    row = await world.dispatch()
    await world.destroy_key()
    assert await world.hear(row) == [Outcome.STALE]
    assert world.watch() is None


async def test_a_destroyed_key_ends_it_before_anything_is_fetched(world):
    await world.sent()
    await world.destroy_key()
    await world.until_due()
    assert world.looker.looks == []
    assert world.observed() == [("ended", "erased")]


async def test_an_item_that_cannot_be_read_ends_it(world):
    await world.sent()
    await world.dispatch(item=f"s1.case-0001.{'x' * 40}")
    await world.until_due()
    assert world.looker.looks == []
    assert world.observed() == [("ended", "item_unreadable")]


async def test_a_closed_case_is_followed_no_more(world):
    await world.sent()
    world.clock.advance(MINUTE)
    await world.case(state="closed", change="closed")
    await world.run_for(DAY, HOUR)
    assert world.looker.looks == []
    assert world.observed() == [("ended", "case_closed")]


async def test_a_closing_that_overtakes_the_request_counts(world):
    row = await world.dispatch()
    world.clock.advance(MINUTE)
    await world.case(state="closed", change="closed")
    assert await world.hear(row) == [Outcome.STALE]
    assert world.watch().state == "ended"
    await world.sent(dispatch="dispatch-0002", requested_at=world.clock.now() + MINUTE)
    assert world.watch().state == "checking"


async def test_other_news_of_a_case_change_nothing(world):
    await world.sent()
    assert await world.case() == [Outcome.STALE]
    assert await world.case(state="resolved", category=None) == [Outcome.STALE]
    assert world.watch().state == "checking"


async def test_withdrawn_by_all_ends_it_withdrawn_by_one_does_not(world):
    await world.sent()
    await world.sent(dispatch="dispatch-0002")
    await world.hear(await world.dispatch("withdrawn"))
    assert world.watch().state == "checking"
    await world.hear(await world.dispatch("withdrawn", dispatch="dispatch-0002"))
    assert world.observed() == [("ended", "withdrawn")]


async def test_what_is_withdrawn_unheard_of_is_not_looked_at(world):
    await world.sent()
    await world.dispatch("withdrawn")
    await world.until_due()
    assert world.looker.looks == []
    assert world.observed() == [("ended", "withdrawn")]


async def test_a_corrected_address_is_the_one_looked_at(world):
    await world.sent()
    await world.dispatch(location="https://other.example.org/corrected")
    host = world.watch().host
    await world.until_due()
    assert world.looker.looks == ["https://other.example.org/corrected"]
    assert world.watch().host != host


# -- child safety --


@pytest.mark.parametrize("first", ["case", "dispatch"])
async def test_a_child_safety_case_is_never_looked_at(world, first):
    row = await world.dispatch()
    if first == "dispatch":
        await world.hear(row)
    await world.case(category="children")
    await world.hear(row)
    await world.case(category="defamation", version=2)
    await world.sent(dispatch="dispatch-0002", requested_at=world.clock.now() + DAY)
    await world.run_for(2 * DAY, HOUR)
    assert world.looker.looks == []
    assert world.watch().barred
    assert world.observed() == ([("ended", "never_fetch")] if first == "dispatch" else [])


async def test_a_request_of_such_a_category_bars_the_case(world):
    await world.sent(category="children")
    assert world.watch().barred
    await world.sent(dispatch="dispatch-0002", requested_at=world.clock.now() + DAY)
    assert world.watch().due_at is None


async def test_the_ledger_is_asked_right_before_each_look(world):
    await world.sent()
    await world.dispatch("requested", dispatch="dispatch-0002", category="children", may_look=False)
    await world.until_due()
    assert world.looker.looks == []
    assert world.watch().barred


async def test_barred_between_claim_and_look(world, monkeypatch):
    await world.sent()
    world.clock.advance(HOUR)
    await world.follower.tick()  # claimed, the look has not begun
    await world.case(category="children")
    await world.run()
    assert world.looker.looks == []
    assert world.watch().state == "ended"


async def test_what_a_look_brings_after_the_end_is_not_wanted(world):
    await world.sent()

    async def bar():
        await world.case(category="children")

    world.looker.before = bar
    await world.until_due()
    assert world.observed() == [("ended", "never_fetch")]
    assert (world.watch().looks, world.watch().lease) == (0, None)


SAFETY = st.one_of(
    st.tuples(st.just("hear"), st.sampled_from(["sent", "removed", "refused", "withdrawn"])),
    st.tuples(st.just("other"), st.sampled_from(["sent", "removed"])),
    st.tuples(st.just("case"), st.sampled_from(["children", "defamation", None])),
    st.tuples(st.just("closed"), st.just(None)),
    st.tuples(st.just("time"), st.sampled_from([1, 60, 2000])),
    st.tuples(st.just("crash"), st.just(None)),
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(SAFETY, max_size=25), at=st.integers(0, 25))
@example(steps=[("hear", "sent"), ("time", 2000)], at=0)
def test_not_one_connection_after_the_category_is_known(kit, steps, at):
    """Whatever else is said, before or after, and however often."""
    logging.disable(logging.CRITICAL)
    try:
        asyncio.run(_play_safety(kit, steps, min(at, len(steps))))
    finally:
        logging.disable(logging.NOTSET)


async def _play_safety(kit, steps, at):
    world = World(kit)
    for number, (kind, value) in enumerate([*steps, ("time", 2000)]):
        if number == at:
            await world.case(category="children")
            world.looker.looks.clear()
        world = await _step(kit, world, kind, value)
        if number >= at:
            assert world.looker.looks == []
    assert world.watch().barred
    world.observed()


async def _step(kit, world, kind, value):
    now = world.clock.now()
    if kind == "hear":
        await world.hear(await world.dispatch(value, requested_at=now))
    elif kind == "other":
        await world.sent(state=value, dispatch="dispatch-0002", requested_at=now)
    elif kind == "case":
        await world.case(category=value)
    elif kind == "closed":
        await world.case(state="closed", change="closed")
    elif kind == "time":
        await world.run_for(timedelta(minutes=value), timedelta(minutes=max(1, value / 8)))
    else:
        await world.follower.tick()
        await world.follower.stop()
        world = World(kit, hub=world.hub, looker=world.looker)
    return world


# -- anything, in any order --

LOOKS = st.sampled_from([GONE, ONLINE, UNCLEAR, WALL, RuntimeError("CANARY-PAGE")])
ACTION = st.one_of(
    st.tuples(st.just("hear"), st.sampled_from(["sent", "removed", "refused", "withdrawn"])),
    st.tuples(st.just("other"), st.sampled_from(["sent", "removed"])),
    st.tuples(st.just("closed"), st.just(None)),
    st.tuples(st.just("time"), st.sampled_from([1, 15, 90, 2000])),
    st.tuples(st.just("look"), LOOKS),
    st.tuples(st.just("person"), st.sampled_from([Presence.GONE, Presence.ONLINE])),
    st.tuples(st.just("crash"), st.just(None)),
    st.tuples(st.just("database"), st.just(None)),
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(actions=st.lists(ACTION, max_size=30))
def test_any_interleaving(kit, actions):
    logging.disable(logging.CRITICAL)
    try:
        asyncio.run(_play(kit, actions))
    finally:
        logging.disable(logging.NOTSET)


async def _play(kit, actions):
    world = World(kit)
    for kind, value in actions:
        if kind == "look":
            world.looker.usual = value
            if (row := world.watch()) is not None and row.due_at:
                with suppress(Retryable):
                    await world.until_due()
        elif kind == "person":
            with suppress(IllegalTransition, Retryable):
                await world.desk.seen("case-0001", value)
        elif kind == "database":
            world.hub.trouble = [Retryable("away")]
        else:
            with suppress(Retryable):
                world = await _step(kit, world, kind, value)
        _holds(world)
    world.hub.trouble = []
    world.looker.usual = GONE
    await world.run_for(timedelta(days=6), HOUR)
    _holds(world)
    row = world.watch()
    assert row is None or row.state in {WatchState.ENDED, WatchState.MANUAL}, "left behind"


def _holds(world):
    row, observed = world.watch(), world.observed()
    if row is None:
        assert not observed
        return
    assert row.version == len(observed)
    assert not observed or observed[-1][0] == row.state
    waits = row.state in {WatchState.ENDED, WatchState.MANUAL}
    assert (row.due_at is None) is waits, "nobody will ever look at it again"
    legal = {"sent", "removed", "refused", "withdrawn", "seen_gone"}
    assert {doc["state"] for doc in world.store.docs.get("ledger", {}).values()} <= legal


# -- crashes, leases, conflicts --


async def test_killed_in_the_middle_of_a_look_it_is_looked_at_again(kit, world):
    await world.sent()
    world.looker.hang = {"example.org"}
    await world.until_due()
    assert world.watch().lease is not None
    await world.follower.stop()
    world.looker.hang = set()
    other = World(kit, hub=world.hub)
    other.looker.usual = GONE
    await other.run()
    assert other.looker.looks == [], "the lease has not run out"
    await other.run_for(2 * MINUTE)
    assert len(other.looker.looks) == 1
    await other.run_for(15 * MINUTE)
    assert other.observed() == [("gone", "http_404")]


async def test_killed_between_the_look_and_the_commit_nothing_is_told_twice(kit, world):
    await world.sent()
    world.looker.usual = GONE
    await world.until_due()
    world.clock.advance(10 * MINUTE)
    world.hub.trouble = [None, Retryable("away")]  # the turn is stored, the result is not
    with pytest.raises(Retryable):
        await world.run()
    assert world.observed() == []
    assert world.row().state == "sent"
    other = World(kit, hub=world.hub, looker=world.looker)
    await other.run_for(2 * MINUTE)
    assert other.observed() == [("gone", "http_404")]
    assert other.told() == [("dispatch-0001", "seen_gone")]


async def test_killed_between_looks_the_next_is_made_when_it_is_due(kit, world):
    await world.sent()
    world.looker.usual = GONE
    await world.until_due()
    other = World(kit, hub=world.hub, looker=world.looker)
    await other.until_due()
    assert other.observed() == [("gone", "http_404")]


async def test_a_result_after_the_lease_was_lost_is_dropped(kit, world):
    await world.sent()
    slow = world
    slow.looker.usual = GONE
    gate = asyncio.Event()
    slow.looker.before = gate.wait
    slow.clock.advance(HOUR)
    await slow.follower.tick()
    await asyncio.sleep(0.01)
    slow.clock.advance(2 * MINUTE)
    other = World(kit, hub=world.hub)
    await other.run()
    assert other.watch().looks == 1
    gate.set()
    await slow.run()
    assert world.watch().looks == 1
    assert world.watch().suspicion is None


async def test_a_result_is_applied_to_what_is_stored_meanwhile(world):
    await world.sent()
    row = await world.dispatch("removed")

    async def claim():
        await world.hear(row)
        await world.dispatch("refused")

    world.looker.before = claim
    world.looker.usual = GONE
    await world.until_due()
    assert world.watch().claims == ("dispatch-0001",)
    assert world.watch().suspicion is Presence.GONE
    world.looker.before = None
    await world.until_due()
    assert world.observed() == [("gone", "http_404")]


async def test_a_request_changed_while_it_is_settled_is_settled_as_it_is_now(world, monkeypatch):
    await world.sent()
    world.looker.usual = GONE
    await world.until_due()
    commit, raced = world.hub.commit, []

    async def race(uow):
        if not raced and uow.changes().replaces.get(LEDGER):
            raced.append(await world.dispatch("refused"))
        await commit(uow)

    monkeypatch.setattr(world.hub, "commit", race)
    await world.until_due()
    assert raced
    assert world.row().state == "seen_gone"
    assert world.row().version == raced[0].version + 1
    assert world.observed() == [("gone", "http_404")]


async def test_two_replicas_share_what_is_due(kit):
    one = World(kit)
    two = World(kit, hub=one.hub)
    for number in range(20):
        case = f"case-{number:04}"
        await one.sent(dispatch=f"d-{case}", case=case, location=f"https://h{number}.example.org/x")
    one.clock.advance(HOUR)
    await asyncio.gather(one.run(), two.run())
    await one.run_for(10 * MINUTE)
    looks = one.looker.looks + two.looker.looks
    assert sorted(looks) == sorted(f"https://h{n}.example.org/x" for n in range(20))


async def test_a_bug_in_a_look_tells_nothing(world, caplog):
    await world.sent()
    world.looker.usual = ValueError("CANARY-PAGE")
    for _ in range(5):
        await world.until_due()
    assert world.observed() == [("manual", "look_failed")]
    assert "CANARY" not in caplog.text


# -- hosts --


async def many(world, count, host="example.org"):
    for number in range(count):
        case = f"case-{number:04}"
        await world.sent(dispatch=f"d-{case}", case=case, location=f"https://{host}/{number}")


async def test_one_host_is_looked_at_at_its_rate(world):
    await many(world, 30)
    world.clock.advance(HOUR)
    begun = world.clock.now()
    for second in range(70):
        await world.run()
        elapsed = (world.clock.now() - begun).total_seconds()
        assert elapsed == second
        assert len(world.looker.looks) <= 1 + elapsed / 2
        world.clock.advance(timedelta(seconds=1))
    assert len(world.looker.looks) == 30


async def test_a_crowd_at_one_host_does_not_keep_others_waiting(kit):
    world = World(kit, tuning=WatchTuning(batch=10, concurrency=2, rate=Rate(0.5, 1)))
    await many(world, 60)
    world.clock.advance(MINUTE)
    await world.sent(dispatch="d-last-0001", case="case-last", location="https://other.example.org")
    world.clock.advance(HOUR)
    await world.run()
    assert "https://other.example.org" in world.looker.looks


async def test_a_host_that_hangs_delays_itself_only(kit):
    world = World(kit, tuning=WatchTuning(batch=10, concurrency=2, rate=Rate(0.5, 1)))
    world.looker.hang = {"slow.example.org"}
    await many(world, 5, "slow.example.org")
    await world.sent(dispatch="d-last-0001", case="case-last", location="https://fast.example.org")
    world.clock.advance(HOUR)
    await world.run_for(timedelta(seconds=20), timedelta(seconds=1))
    assert world.looker.looks.count("https://fast.example.org") == 1
    assert len(world.looker.looks) == 2
    await world.follower.stop()


async def test_a_crawl_delay_is_kept_up_to_a_minute(world):
    world.looker.delay = 7200.0
    await many(world, 3)
    world.clock.advance(HOUR)
    await world.run_for(timedelta(seconds=59), timedelta(seconds=1))
    assert len(world.looker.looks) == 1
    await world.run_for(timedelta(seconds=63), timedelta(seconds=1))
    assert len(world.looker.looks) == 3


async def test_a_host_that_asks_for_quiet_has_it(world):
    world.looker.script = [Seen(Presence.UNCLEAR, "http_429", wait=600.0)]
    await many(world, 2)
    world.clock.advance(HOUR)
    await world.run_for(timedelta(seconds=590), timedelta(seconds=10))
    assert len(world.looker.looks) == 1
    await world.run_for(timedelta(seconds=30), timedelta(seconds=1))
    assert len(world.looker.looks) == 2


async def test_no_host_is_stored_by_its_name_and_lanes_are_forgotten(world):
    await world.sent(location="https://example.org/x")
    await world.until_due()
    [lane] = world.store.docs["lanes"]
    assert lane.startswith("online-check:")
    assert "example" not in str(world.store.docs["watches"]) + str(world.store.docs["lanes"])
    world.clock.advance(HOUR)
    await world.follower.measure()
    assert world.store.docs["lanes"]
    world.clock.advance(2 * DAY)
    await world.follower.measure()
    assert world.store.docs["lanes"] == {}


async def test_what_is_measured(world):
    metrics = world.hub.metrics
    await world.sent()
    await world.follower.measure()
    assert metrics.value("wasl_watches", state="checking") == 1
    assert metrics.value("wasl_watch_oldest_due_timestamp_seconds") == 0
    world.clock.advance(2 * HOUR)
    await world.follower.measure()
    due = world.watch().due_at.timestamp()
    assert metrics.value("wasl_watch_oldest_due_timestamp_seconds") == due
    await world.run()
    assert metrics.value("wasl_watch_looks_total", presence="online") == 1


# -- a person --


@asynccontextmanager
async def client_of(world, token=TOKEN):
    app = create_watch_app(world.desk, token)
    transport = httpx.ASGITransport(app)
    headers = {"authorization": f"Bearer {TOKEN}"}
    async with httpx.AsyncClient(
        transport=transport, base_url="http://watch", headers=headers
    ) as client:
        yield client


async def manual(world):
    await world.sent()
    world.looker.usual = WALL
    await world.until_due()
    assert world.watch().state == "manual"


async def test_a_person_sees_where_to_look_and_says_what_is_there(world):
    await manual(world)
    async with client_of(world) as client:
        [one] = (await client.get("/internal/watches")).json()["watches"]
        assert one["location"] == "https://example.org/CANARY-LOCATION/case-0001"
        assert (one["case_id"], one["reason"]) == ("case-0001", "login_wall")
        answer = await client.post("/internal/watches/case-0001/seen", json={"seen": "gone"})
        assert (answer.status_code, answer.json()["state"]) == (200, "gone")
        assert answer.json()["location"] is None
        gone = (await client.get("/internal/watches", params={"state": "gone"})).json()["watches"]
        assert [(w["case_id"], w["location"]) for w in gone] == [("case-0001", None)]
    assert world.observed() == [("manual", "login_wall"), ("gone", "by_hand")]
    assert world.told() == [("dispatch-0001", "seen_gone")]


async def test_who_sees_it_online_is_asked_again_and_nothing_is_fetched(world):
    await manual(world)
    looks = len(world.looker.looks)
    await world.desk.seen("case-0001", Presence.ONLINE)
    assert world.watch().state == "checking"
    await world.until_due()
    assert world.observed()[-2:] == [("checking", "by_hand"), ("manual", "by_hand")]
    assert len(world.looker.looks) == looks


async def test_what_the_routes_refuse(world):
    await manual(world)
    async with client_of(world) as client:
        seen = "/internal/watches/case-0001/seen"
        assert (await client.post(seen, json={"seen": "maybe"})).status_code == 422
        assert (await client.get("/internal/watches", params={"state": "x"})).status_code == 422
        other = "/internal/watches/case-9999/seen"
        assert (await client.post(other, json={"seen": "gone"})).status_code == 404
        client.headers["authorization"] = "Bearer wrong"
        assert (await client.get("/internal/watches")).status_code == 401
        assert (await client.post(seen, json={"seen": "gone"})).status_code == 401
        client.headers["authorization"] = f"Bearer {TOKEN}"
        await world.case(category="children")
        assert (await client.post(seen, json={"seen": "gone"})).status_code == 409
        assert (await client.get("/internal/watches")).json() == {"watches": []}
    async with client_of(world, None) as client:
        assert (await client.get("/internal/watches")).status_code == 404


async def test_an_erased_item_has_no_address_to_look_at(world):
    await manual(world)
    await world.destroy_key()
    [sheet] = await world.desk.in_state(WatchState.MANUAL)
    assert sheet.location is None


async def test_the_operators_commands(world, monkeypatch):
    await manual(world)
    desk = Desk(world.store, SimpleNamespace(), world.clock, "operator")
    [row] = await commands.waiting(desk, "")
    assert (row["case"], row["reason"]) == ("case-0001", "login_wall")
    [row] = await commands.watch(desk, "case-0001")
    assert row["state"] == "manual"
    monkeypatch.setenv("WASL_COUNTRY_PACK", str(PACK))
    for entry, said in [
        ("case-0001", "CASE=gone"),
        ("case-0001=maybe", "CASE=gone"),
        ("case-9999=gone", "case-9999"),
    ]:
        with pytest.raises(Refused, match=said):
            await commands.sighting(desk, entry)
    [row] = await commands.sighting(desk, "case-0001=gone")
    assert row["state"] == "gone"
    assert world.observed()[-1] == ("gone", "by_hand")
    assert world.told() == [("dispatch-0001", "seen_gone")]
    with pytest.raises(Refused, match="see_gone"):
        await commands.sighting(desk, "case-0001=gone")
    with pytest.raises(Refused, match="case-9999"):
        await commands.watch(desk, "case-9999")


async def test_nothing_personal_leaks(world, caplog):
    caplog.set_level(logging.DEBUG)
    await manual(world)
    world.looker.usual = ValueError("CANARY-PAGE")
    await world.desk.seen("case-0001", Presence.GONE)
    await world.run_for(DAY, HOUR)
    everything = caplog.text + json.dumps([str(r.__dict__) for r in caplog.records])
    everything += world.hub.metrics.exposition().decode()
    everything += str(world.store.docs)
    everything += "".join(r.value.decode() + str(r.headers) for r in world.store.outbox.values())
    assert "CANARY" not in everything
    assert "CANARY" in "".join(world.looker.looks)


# -- with the real looker --


class Site:
    """A web server on loopback. ``status``: of the item; ``asked``: the paths, robots.txt apart."""

    def __init__(self):
        self.status = 200
        self.robots = b"User-agent: *\nDisallow: /private/\n"
        self.asked = []

    async def __call__(self, reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        path = head.split(b" ")[1].decode()
        if path == "/robots.txt":
            status, body = 200, self.robots
        else:
            self.asked.append(path)
            status, body = self.status, b"<title>A post</title><p>A story about nothing."
        kind = "text/plain" if path == "/robots.txt" else "text/html"
        lines = [f"HTTP/1.1 {status} X", f"content-type: {kind}", f"content-length: {len(body)}"]
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        await writer.drain()
        writer.close()


@pytest.fixture
async def site():
    site = Site()
    server = await asyncio.start_server(site, "127.0.0.1", 0)
    site.place = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield site
    server.close()


async def look_when_due(world, *, looks=1):
    """On real sockets: a look takes as long as it takes."""
    wanted = world.watch().looks + looks
    world.clock.advance(max(world.watch().due_at - world.clock.now(), timedelta(0)))
    async with asyncio.timeout(20):
        while world.watch().looks < wanted:
            await world.follower.tick()
            await asyncio.sleep(0.01)
            world.clock.advance(timedelta(seconds=2))


async def test_gone_and_back_as_a_server_says_so(kit, site):
    looker = Looker(Allowed([site.place]), contact="https://hub.example.org/robot")
    async with looker:
        world = World(kit, looker=looker)
        await world.sent(location=f"http://{site.place}/post/FICTIF17")
        await look_when_due(world)
        site.status = 404
        await look_when_due(world)
        await look_when_due(world)
        assert world.observed() == [("gone", "http_404")]
        site.status = 200
        await look_when_due(world)
        await look_when_due(world)
        assert world.observed()[1:] == [("reappeared", "http_200")]
        site.status = 503
        for _ in range(5):
            await look_when_due(world)
        assert world.observed()[2:] == [("manual", "http_503")]
    assert site.asked == ["/post/FICTIF17"] * 10


async def test_walls_are_not_passed(kit, site):
    looker = Looker(Allowed([site.place]), contact="https://hub.example.org/robot")
    async with looker:
        for location, reason in [
            (f"http://{site.place}/private/x", "robots"),
            ("https://example.org/x", "host_not_allowed"),
        ]:
            world = World(kit, looker=looker)
            await world.sent(location=location)
            await look_when_due(world)
            assert world.observed() == [("manual", reason)]
    assert site.asked == []


async def test_only_what_is_written_out_may_be_private(site):
    host, port = site.place.split(":")
    path = "/post/FICTIF17"
    for allowed, place, reason in [
        (["*", site.place], site.place, "http_200"),
        (["*", site.place], host, "private_address"),
        (["*", f"*:{port}"], site.place, "private_address"),
        (["*", f"0.1:{port}"], site.place, "private_address"),
        (["*", f"{host}:1"], site.place, "host_not_allowed"),
    ]:
        async with Looker(Allowed(allowed), contact="https://hub.example.org/robot") as looker:
            assert (await looker.look(f"http://{place}{path}")).reason == reason
    assert site.asked == [path]


async def test_a_crawl_delay_in_a_robots_txt_is_kept(kit, site):
    site.robots = b"User-agent: *\nCrawl-delay: 30\n"
    looker = Looker(Allowed([site.place]), contact="https://hub.example.org/robot")
    async with looker:
        world = World(kit, looker=looker)
        await world.sent(location=f"http://{site.place}/post/FICTIF17")
        await look_when_due(world)
    [lane] = map(LANES.decode, world.store.docs["lanes"].values())
    assert lane.blocked_until > world.clock.now() + timedelta(seconds=20)


# -- starting --

KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
ENV = {
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
    "MONGODB_URI": "mongodb://127.0.0.1:1",
    "WASL_MASTER_KEY": KEY,
    "WASL_PEPPER": KEY,
    "WASL_COUNTRY_PACK": str(PACK),
    "WASL_WATCH_CONTACT": "https://hub.example.org/robot",
}


@pytest.fixture
def env(monkeypatch):
    for name, value in ENV.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


async def test_what_the_process_is_made_of(env):
    service = bootstrap.build_watch(read(WatchSettings))
    assert set(service.consumer.routes) == {DISPATCH_UPDATED_V1.name, CASE_UPDATED_V1.name}
    assert service.consumer.name == "platform-gateway.online-check"
    assert service.consumer.service == "platform-gateway"
    await service.store.close()


def test_a_country_pack_that_does_not_say_when_stops_the_start(env):
    pack = bootstrap.read_pack(PACK)
    pack.clocks = pack.clocks.model_copy(update={"following": None})
    with pytest.raises(SettingsError, match=r"no \[following\] in clocks.toml"):
        bootstrap.schedule_of(pack)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WASL_WATCH_CONTACT", "hub"),
        ("WASL_WATCH_HOSTS", "example.org,http://CANARY/x"),
        ("WASL_WATCH_SPEED", "0.5"),
        ("WASL_WATCH_PROXY", "ftp://proxy.example.org"),
        ("WASL_COUNTRY_PACK", "/nowhere"),
    ],
)
def test_a_wrong_setting_is_named(env, name, value):
    env.setenv(name, value)
    with pytest.raises(SettingsError, match=name):
        bootstrap.build_watch(read(WatchSettings))


def test_the_flag_chooses_the_role(env):
    env.delenv("WASL_WATCH_CONTACT")
    ended = subprocess.run(
        [sys.executable, "-m", "wasl_platform_gateway", "--watch"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 78
    assert "WASL_WATCH_CONTACT is not set" in ended.stderr
    assert "WASL_CONNECTOR" not in ended.stderr


def test_the_schedule_is_the_country_packs_and_may_run_faster():
    pack = bootstrap.read_pack(PACK)
    start = FakeClock().now()
    plan, fast = bootstrap.schedule_of(pack), bootstrap.schedule_of(pack, 60)
    assert plan.check[0](start) == start + HOUR
    assert plan.confirm(start) == start + 10 * MINUTE
    assert [at(start) - start for at in fast.reappearance[:2]] == [MINUTE, 6 * MINUTE]
    fastest = bootstrap.schedule_of(pack, 100_000)
    assert all(at(start) > start for at in (fastest.confirm, *fastest.check))


def test_the_hosts_of_the_country_pack_may_be_looked_at_and_others_only_by_name(env):
    settings, pack = read(WatchSettings), bootstrap.read_pack(PACK)
    known = bootstrap._allowed(settings, pack)
    assert httpx.URL("https://www.facebook.com/x") in known
    assert httpx.URL("https://example.org/") not in known
    named = settings.model_copy(update={"watch_hosts": "example.org, a.test:8080"})
    assert httpx.URL("https://example.org/") in bootstrap._allowed(named, pack)
    assert httpx.URL("https://www.facebook.com/x") not in bootstrap._allowed(named, pack)


async def test_a_service_that_says_so_itself_is_asked(kit):
    pack = bootstrap.read_pack(PACK)
    said = StatusAddress(
        address="https://example.org/status?url={location}", gone=(404,), wall=(401,), source="doc"
    )
    service = pack.services["web"].model_copy(update={"presence": said})
    pack.services = {**pack.services, "web": service}
    probe = bootstrap.probe_of(pack)
    item = DispatchItem(location="https://example.org/x", platform="web", kind="post")
    assert probe(item) == Probe(said.address, frozenset({404}), frozenset({401}))
    assert probe(item.model_copy(update={"platform": "nowhere"})) is None
    world = World(kit, probe=probe)
    await world.sent()
    await world.until_due()
    assert world.looker.probes == [probe(item)]


def test_child_safety_is_the_country_packs():
    pack = bootstrap.read_pack(PACK)
    children = {c.id for c in pack.categories.values() if c.group == "children"}
    assert len(children) == 3
    assert children == {c for c in pack.categories if not may_fetch(pack, c)}
    assert not may_fetch(pack, "no_such_category")
