# SPDX-License-Identifier: Apache-2.0
"""What is over is erased, what is open or held never is, and the plan says beforehand what will be."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from triage_world import World
from wasl_chassis.failures import KeyDestroyed
from wasl_chassis.store import Collection, Index
from wasl_schemas import topics
from wasl_schemas.base import Model
from wasl_schemas.country_pack import CountryPack
from wasl_schemas.events.report_submitted_v1 import ReportContent
from wasl_schemas.ids import uuid7
from wasl_schemas.lifecycle import CaseState
from wasl_triage.audit.sealing import Checker, Sealer, public, signing_key
from wasl_triage.audit.trail import AUDIT, HEADS, broken_link, journal
from wasl_triage.care.helpline import Helpline, Opening
from wasl_triage.casework import CONTENT, ITEM, MESSAGE, NOTE
from wasl_triage.domain import retention as clocks
from wasl_triage.domain.case import Assessment, Case
from wasl_triage.domain.helpline import Survey
from wasl_triage.domain.people import Person, Role
from wasl_triage.domain.retention import Data, Line, Rest, Stop, Thing
from wasl_triage.protection.retention import REPORTS_A_COMMIT, Beside, Mode, Retention, Waits
from wasl_triage.repository import (
    CASES,
    MESSAGES,
    PAST,
    PAST_FIGURES,
    REPORTS,
    Message,
    Report,
)

START = datetime(2026, 1, 5, 9, tzinfo=UTC)
URL = "https://example.org/"
#: Days after the end of a case.
CONTACT, TEXT, HELPLINE_DAYS = 30, 180, 730
COUNSELLOR = Person(name="counsellor-1", roles=frozenset({Role.COUNSELLOR}))


class Extra(Model):
    id: str
    case_id: str
    open: bool = False


EXTRA: Collection[Extra] = Collection.of("extra", Extra, "id", (Index((("case_id", 1),)),))


def _retention(world: World, mode: Mode = "on") -> Retention:
    return Retention(
        world.hub,
        world.pack,
        holder="a",
        mode=mode,
        with_case=(Beside(EXTRA, "case_id"),),
        waits=(Waits(EXTRA, "case_id", {"open": True}),),
    )


async def _case(world: World, name: str, **change: Any) -> Case:
    """A case at rest, with a note of the desk."""
    uow = world.hub.unit()
    uow.keys.create(name)
    case = Case(
        id=name, platform="web", kind="page", item=await uow.keys.seal(name, ITEM, "x"),
        language="fr", opened_at=world.clock.now(), round_at=world.clock.now(),
        first_look_due=world.clock.now(), version=5, category="scam_fraud",
        state=CaseState.CLOSED, settled_at=world.clock.now(), look_pending=False, round=2,
    )  # fmt: skip
    note = await uow.keys.seal(name, NOTE, "thought")
    case.assessment = Assessment("scam_fraud", (), (), "ana", world.clock.now(), note)
    for field, value in change.items():
        setattr(case, field, value)
    case.place(world.pack, world.clock.now())
    uow.put(CASES, case)
    await world.hub.commit(uow)
    return case


async def _report(world: World, *cases: str, report_id: str | None = None) -> str:
    report_id = report_id or uuid7()
    uow = world.hub.unit()
    uow.keys.create(report_id)
    content = ReportContent(locations=(URL,), narrative="words").model_dump_json()
    uow.put(
        REPORTS,
        Report(
            report_id, world.clock.now(), "web", "fr", "fr", None, (), True, True, cases,
            await uow.keys.seal(report_id, CONTENT, content),
        ),
    )  # fmt: skip
    body = await uow.keys.seal(report_id, MESSAGE, "more words")
    uow.put(MESSAGES, Message(uuid7(), report_id, world.clock.now(), None, False, body))
    for case_id in cases:
        case = await uow.get(CASES, case_id)
        assert case is not None
        case.reports += 1
        uow.put(CASES, case)
    await world.hub.commit(uow)
    return report_id


async def _all(world: World) -> list[Line]:
    done: list[Line] = []
    retention, more = _retention(world), True
    while more:
        turn = await retention.turn()
        done += turn.lines
        more = turn.more
    return done


async def _readable(world: World, report_id: str) -> bool:
    try:
        await world.hub.unit().keys.seal(report_id, CONTENT, "x")
    except KeyDestroyed:
        return False
    return True


def _told(world: World) -> list[tuple[str, str]]:
    return [(e.report_id, e.data.value) for e in world.emitted(topics.REPORT_EXPIRED_V1)]


def _erased(lines: list[Line]) -> set[tuple[str, str, str]]:
    return {(x.kind, x.id, x.data.value) for x in lines}


# -- in the order of the clocks ----------------------------------------------------------------------


async def test_contact_then_text_then_record(world: World) -> None:
    await _case(world, "c" * 32)
    report = await _report(world, "c" * 32)
    assert await _all(world) == []
    world.later(days=CONTACT - 1)
    assert await _all(world) == []
    world.later(days=1)
    assert _erased(await _all(world)) == {("report", report, "contact")}
    assert _told(world) == [(report, "contact")]
    assert await _readable(world, report)

    world.later(days=TEXT - CONTACT)
    assert _erased(await _all(world)) == {("report", report, "text"), ("case", "c" * 32, "text")}
    assert _told(world)[1:] == [(report, "text")]
    assert not await _readable(world, report)
    assert world.reports()[report].content is None
    assert world.hub.store.docs["messages"] == {}
    case = world.case()
    assert case.assessment is not None
    assert case.assessment.note is None
    assert [r.what for r in world.audit(case)] == ["erase_contact", "erase_text", "erase_notes"]
    assert broken_link(case, world.audit(case)) is None

    world.later(days=3 * 365 + 1)
    assert ("case", "c" * 32, "record") in _erased(await _all(world))
    assert _told(world)[2:] == [(report, "record")]
    assert (world.cases(), world.reports()) == ([], {})
    assert not await _readable(world, "c" * 32)
    past = PAST.decode(world.hub.store.docs["past_cases"]["c" * 32])
    assert (past.version, past.round) == (5, 2)
    (figure,) = (PAST_FIGURES.decode(d) for d in world.hub.store.docs["past_figures"].values())
    assert figure.kind == "2026-01|scam_fraud|low|closed|web"
    assert (figure.cases, figure.reports) == (1, 1)
    assert await _all(world) == []
    count = {d: world.count("wasl_triage_retention_erased_total", data=d) for d in ("text", "case")}
    assert count == {"text": 2, "case": 1}


async def test_the_item_can_be_reported_again_and_its_requests_are_new(world: World) -> None:
    await world.arrives(URL, category="scam_fraud")
    case_id = world.case().id
    uow = world.hub.unit()
    case = await uow.get(CASES, case_id)
    assert case is not None
    case.state, case.settled_at, case.attention = CaseState.CLOSED, world.clock.now(), ()
    case.place(world.pack, world.clock.now())
    version, seq = case.version, case.audit_seq
    uow.put(CASES, case)
    await world.hub.commit(uow)
    world.later(days=4 * 365)
    await _all(world)
    assert world.cases() == []
    await world.arrives(URL, category="scam_fraud")
    again = world.case(case_id)
    assert (again.round, again.version, again.reports) == (2, version + 1, 1)
    assert again.audit_seq > seq
    assert world.emitted(topics.CASE_OPENED_V1)[-1].version == version + 1
    await world.held((await _person()), case_id)
    assert broken_link(world.case(), world.audit(world.case())) is None


async def _person() -> Any:
    from triage_world import ANA

    return ANA


# -- what stops it -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "stop"),
    [
        ({"held": True}, Stop.HELD),
        ({"state": CaseState.IN_PROGRESS, "settled_at": None}, Stop.OPEN),
        ({"attention": ("appeal",)}, Stop.OPEN),
        ({"confirm_due": START}, Stop.OPEN),
    ],
)
async def test_nothing_open_or_held_is_erased(
    world: World, change: dict[str, Any], stop: Stop
) -> None:
    case = await _case(world, "c" * 32, **change)
    report = await _report(world, "c" * 32)
    world.later(days=5000)
    lines = [line async for line in _retention(world).plan()]
    if case.state is CaseState.CLOSED:  # the plan is about cases that ended
        assert {line.stop for line in lines} == {stop}
    assert await _all(world) == []
    assert await _readable(world, report)


async def test_an_appeal_that_nobody_answered_keeps_it(world: World) -> None:
    await _case(world, "c" * 32)
    uow = world.hub.unit()
    uow.put(EXTRA, Extra(id="a", case_id="c" * 32, open=True))
    await world.hub.commit(uow)
    report = await _report(world, "c" * 32)
    world.later(days=200)
    assert await _all(world) == []
    assert await _readable(world, report)
    uow = world.hub.unit()
    await uow.get(EXTRA, "a")
    uow.put(EXTRA, Extra(id="a", case_id="c" * 32))
    await world.hub.commit(uow)
    world.later(days=2)
    await _all(world)
    assert not await _readable(world, report)
    world.later(days=1200)
    await _all(world)
    assert world.hub.store.docs["extra"] == {}


async def test_a_report_waits_for_the_last_of_its_cases(world: World) -> None:
    a, b = "a" * 32, "b" * 32
    await _case(world, a)
    await _case(world, b, held=True)
    report = await _report(world, a, b)
    world.later(days=TEXT + 1)
    await _all(world)
    assert await _readable(world, report)
    uow = world.hub.unit()
    case = await uow.get(CASES, b)
    assert case is not None
    case.held = False
    case.place(world.pack, world.clock.now())
    uow.put(CASES, case)
    await world.hub.commit(uow)
    world.later(days=2)
    await _all(world)
    assert not await _readable(world, report)


async def test_a_report_that_came_late_has_a_clock_of_its_own(world: World) -> None:
    await _case(world, "c" * 32)
    world.later(days=TEXT)
    report = await _report(world, "c" * 32)
    await _all(world)
    assert await _readable(world, report)
    world.later(days=TEXT - 1)
    await _all(world)
    assert await _readable(world, report)
    world.later(days=1)
    await _all(world)
    assert not await _readable(world, report)


async def test_who_is_worked_with_an_open_case_waits_with_it(world: World) -> None:
    lead, other = "a" * 32, "b" * 32
    await _case(world, lead, state=CaseState.IN_PROGRESS, settled_at=None)
    await _case(world, other, lead=lead)
    report = await _report(world, other)
    world.later(days=5000)
    await _all(world)
    assert await _readable(world, report)


async def test_a_hold_that_is_set_meanwhile_wins(world: World) -> None:
    """The case is held between the reading and the commit."""
    await _case(world, "c" * 32)
    report = await _report(world, "c" * 32)
    world.later(days=TEXT + 1)
    commit, done = world.hub.commit, []

    async def late(uow: Any) -> None:
        if not done:
            done.append(1)
            other = world.hub.unit()
            case = await other.get(CASES, "c" * 32)
            assert case is not None
            case.held = True
            other.put(CASES, case)
            await commit(other)
        await commit(uow)

    world.hub.commit = late  # type: ignore[method-assign]
    assert await _all(world) == []
    assert done
    assert await _readable(world, report)


# -- many, twice, at once ----------------------------------------------------------------------------


async def test_a_case_with_many_reports_goes_by_pages(world: World) -> None:
    await _case(world, "c" * 32)
    count = REPORTS_A_COMMIT * 2 + 3
    reports = [await _report(world, "c" * 32) for _ in range(count)]  # all of one moment
    world.later(days=TEXT)
    done = await _all(world)
    assert {x.id for x in done if x.kind == "report"} == set(reports)
    assert not any([await _readable(world, r) for r in reports])
    assert len(_told(world)) == count
    assert await _all(world) == []
    assert len(_told(world)) == count


async def test_another_replica_holds_the_lease(world: World) -> None:
    await _case(world, "c" * 32)
    await _report(world, "c" * 32)
    world.later(days=TEXT)
    assert await world.hub.store.lease(
        "retention", "b", now=world.clock.now(), lease_for=timedelta(hours=1)
    )
    assert (await _retention(world).turn()).lines == ()


@pytest.mark.parametrize(("mode", "erases"), [("off", False), ("plan", False), ("on", True)])
async def test_the_loop_erases_only_where_it_may(world: World, mode: Mode, erases: bool) -> None:
    await _case(world, "c" * 32)
    report = await _report(world, "c" * 32)
    world.later(days=TEXT)
    await _retention(world, mode).loop()
    assert await _readable(world, report) is not erases
    assert world.count("wasl_triage_retention_due") == (0 if mode == "off" else 1)


@pytest.mark.parametrize("mode", ["off", "plan", "on"])
async def test_the_mode_and_the_last_run_are_gauges(world: World, mode: Mode) -> None:
    last = "wasl_triage_retention_last_success_timestamp_seconds"
    retention = _retention(world, mode)
    await retention.loop()
    modes = {m: world.count("wasl_triage_retention_mode", mode=m) for m in ("off", "plan", "on")}
    assert modes == {m: float(m == mode) for m in modes}
    ran = world.clock.now().timestamp() if mode == "on" else 0
    assert world.count(last) == ran
    await world.hub.store.lease(
        "retention", "b", now=world.later(hours=1), lease_for=timedelta(hours=1)
    )
    await retention.loop()
    assert world.count(last) == ran, "another replica did it, if any"


async def test_reports_without_a_case_go_with_their_own_clock(world: World) -> None:
    report = await _report(world)
    assert len(world.hub.store.docs["messages"]) == 1
    world.later(days=1000)
    assert await _all(world) == []
    world.later(days=200)
    assert _erased(await _all(world)) == {("report", report, "record")}
    assert _told(world) == [(report, "record")]
    assert world.hub.store.docs["messages"] == {}
    assert not await _readable(world, report)


async def test_a_case_of_before_there_was_retention_is_looked_at(world: World) -> None:
    await _case(world, "c" * 32)
    report = await _report(world, "c" * 32)
    del world.hub.store.docs["cases"]["c" * 32]["erase_at"]
    world.later(days=TEXT)
    await _all(world)
    assert not await _readable(world, report)


# -- the plan and the deed ---------------------------------------------------------------------------

_CASE = st.fixed_dictionaries(
    {
        "open": st.booleans(),
        "held": st.booleans(),
        "flag": st.booleans(),
        "ended": st.integers(0, 400),
    }
)
_REPORTS = st.lists(st.sets(st.integers(0, 3), min_size=1, max_size=3), max_size=6)


@settings(deadline=None, max_examples=60)
@given(st.lists(_CASE, min_size=4, max_size=4), _REPORTS, st.integers(0, 1600))
def test_the_deed_is_the_plan_and_spares_what_is_open_or_held(
    pack: CountryPack, shapes: list[dict[str, Any]], reports: list[set[int]], later: int
) -> None:
    asyncio.run(_deed(World(pack), shapes, reports, later))


async def _deed(
    world: World, shapes: list[dict[str, Any]], reports: list[set[int]], later: int
) -> None:
    names = [f"{n:032x}" for n in range(len(shapes))]
    for name, shape in zip(names, shapes, strict=True):
        ended = START + timedelta(days=shape["ended"])
        await _case(
            world, name, held=shape["held"], attention=("appeal",) if shape["flag"] else (),
            state=CaseState.IN_PROGRESS if shape["open"] else CaseState.CLOSED,
            settled_at=None if shape["open"] else ended,
        )  # fmt: skip
    made = {await _report(world, *(names[n] for n in sorted(of))): of for of in reports}
    world.later(days=later)
    now = world.clock.now()
    due = {(x.kind, x.id, x.data.value) async for x in _retention(world).plan() if x.stop is None}
    done = _erased(await _all(world))
    # A record goes after all texts, and its report rows with it; the rest is exactly the plan.
    record = {x for x in done | due if x[2] == "record"}
    assert done - record == due - record
    for report, of in made.items():
        mine = [shapes[n] for n in of]
        spared = any(s["open"] or s["held"] or s["flag"] for s in mine)
        last = max(START + timedelta(days=s["ended"]) for s in mine)
        over = not spared and now >= last + timedelta(days=TEXT)
        assert await _readable(world, report) is not over
    for name, shape in zip(names, shapes, strict=True):
        if shape["open"] or shape["held"] or shape["flag"]:
            assert world.case(name).assessment is not None
            assert await _readable(world, name)


def test_the_clocks_of_the_pack(pack: CountryPack) -> None:
    thing = Thing("report", "r", START)
    end = START + timedelta(days=10)
    line = clocks.judge(pack, thing, Data.TEXT, Rest(end), START + timedelta(days=11))
    assert (line.due_at, line.stop) == (end + timedelta(days=TEXT), Stop.NOT_DUE)
    assert clocks.judge(pack, thing, Data.TEXT, Rest(end, held=True), START).stop is Stop.HELD
    assert clocks.judge(pack, thing, Data.TEXT, Rest(None), START).stop is Stop.OPEN
    bare = pack.clocks.model_copy(update={"retention": ()})
    without: Any = replace_clocks(pack, bare)
    assert clocks.judge(without, thing, Data.TEXT, Rest(end), START).stop is Stop.NO_CLOCK
    assert clocks.first_look(without, end, held=False) == end + timedelta(days=365)
    assert clocks.first_look(pack, end, held=True) is None
    first = clocks.first_look(pack, end, held=False)
    assert first == end + timedelta(days=CONTACT)
    lines = [replace(line, stop=Stop.HELD), line]
    assert clocks.next_look(lines, START) == START + clocks.AGAIN


def replace_clocks(pack: CountryPack, bare: Any) -> Any:
    class Bare:
        clocks = bare

        def __getattr__(self, name: str) -> Any:
            return getattr(pack, name)

    return Bare()


# -- the helpline ------------------------------------------------------------------------------------


async def _helped(world: World, *linked: str) -> str:
    """A closed helpline case with a text, linked to these."""
    helpline = Helpline(world.hub, world.pack)
    case = await helpline.open(
        COUNSELLOR, Opening(channel="phone", about="self", language="ar", summary="their story")
    )
    for other in linked:
        await helpline.link(COUNSELLOR, case.id, other)
    await helpline.close(COUNSELLOR, case.id, Survey(helped="yes", would_recommend="yes"))
    return case.id


def _plan(lines: list[Line]) -> list[tuple[str, Stop | None]]:
    return [(x.id, x.stop) for x in lines if x.kind == "helpline"]


async def test_a_helpline_case_goes_when_its_time_is_over(world: World) -> None:
    helped = await _helped(world)
    still = await Helpline(world.hub, world.pack).open(
        COUNSELLOR, Opening(channel="chat", about="somebody_else", language="fr")
    )
    assert _plan([x async for x in _retention(world).plan()]) == [(helped, Stop.NOT_DUE)]
    world.later(days=HELPLINE_DAYS - 1)
    assert await _all(world) == []
    world.later(days=2)
    assert _plan([x async for x in _retention(world, "plan").plan()]) == [(helped, None)]
    await _retention(world, "plan").loop()
    assert set(world.hub.store.docs["helpline"]) == {helped, still.id}, "it was only planned"
    assert world.count("wasl_triage_retention_due") == 1
    assert _erased(await _all(world)) == {("helpline", helped, "record")}
    assert set(world.hub.store.docs["helpline"]) == {still.id}
    assert not await _readable(world, helped)
    assert world.count("wasl_triage_retention_erased_total", data="helpline") == 1
    checker = Checker(world.hub.store, frozenset())
    assert await checker.run() == [], "its trail ends where it says"
    rows = [AUDIT.decode(d) for d in world.hub.store.docs["audit"].values()]
    assert [r.what for r in rows if r.stream == helped][-1] == "erase_case"


@pytest.mark.parametrize("by_report", [False, True])
async def test_a_hold_over_a_linked_case_keeps_it(world: World, by_report: bool) -> None:
    case = await _case(world, "c" * 32, state=CaseState.OPEN, settled_at=None)
    report = await _report(world, case.id)
    helped = await _helped(world, report if by_report else case.id)
    uow = world.hub.unit()
    held = await uow.get(CASES, case.id)
    assert held is not None
    held.held = True
    uow.put(CASES, held)
    await world.hub.commit(uow)
    world.later(days=HELPLINE_DAYS + 1)
    assert await _all(world) == []
    assert _plan([x async for x in _retention(world).plan()]) == [(helped, Stop.HELD)]
    uow = world.hub.unit()
    held = await uow.get(CASES, case.id)
    assert held is not None
    held.held = False
    uow.put(CASES, held)
    await world.hub.commit(uow)
    world.later(days=1)
    assert ("helpline", helped, "record") in _erased(await _all(world))


async def test_a_helpline_case_that_was_opened_again_stays(world: World) -> None:
    helped = await _helped(world)
    await Helpline(world.hub, world.pack).reopen(COUNSELLOR, helped)
    world.later(days=HELPLINE_DAYS * 3)
    assert await _all(world) == []
    assert [x async for x in _retention(world).plan()] == []


async def test_a_helpline_case_of_before_it_had_a_clock_is_looked_at(world: World) -> None:
    helped = await _helped(world)
    world.hub.store.docs["helpline"][helped]["erase_at"] = None
    assert await _all(world) == []
    assert world.hub.store.docs["helpline"][helped]["erase_at"] is not None


# -- the audit trail ---------------------------------------------------------------------------------


async def test_audit_rows_go_by_whole_sealed_days(world: World) -> None:
    hub, key = world.hub, signing_key(b"k" * 32, derived=False)
    sealer = Sealer(hub, key, holder="a")
    for _ in range(3):
        await hub.transact(lambda uow: journal(uow, "rules", "rui", "change"))
        world.later(days=1)
    world.later(days=5 * 366)
    assert await _all(world) == []
    assert len(hub.store.docs["audit"]) == 3, "a day without a seal stays"
    for _ in range(3):
        await sealer.turn()
    await _case(world, "c" * 32, held=True, opened_at=START)
    await _all(world)
    assert len(hub.store.docs["audit"]) == 3, "a hold keeps what is as old as its case"
    uow = hub.unit()
    await uow.delete(CASES, "c" * 32)
    await hub.commit(uow)
    await _all(world)
    kept = [AUDIT.decode(d) for d in hub.store.docs["audit"].values()]
    assert {r.stream for r in kept} == {"retention"}
    assert {r.why for r in kept} == {"2026-01-05", "2026-01-06", "2026-01-07"}
    assert list(hub.store.docs["audit_heads"]) == ["retention"]
    assert HEADS.name == "audit_heads"
    while await sealer.turn():
        pass
    gone = datetime(2026, 1, 7, tzinfo=UTC).date()
    keys = frozenset({public(key)})
    assert await Checker(hub.store, keys, gone).run() == []
    assert await Checker(hub.store, keys).run() != [], "nothing was allowed to go"
