# SPDX-License-Identifier: Apache-2.0
"""The register keeps clocks and steps in clear, people and their words sealed, and then neither."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from triage_world import ANA, SUE, World
from wasl_schemas.ids import uuid7
from wasl_triage.audit.trail import AUDIT
from wasl_triage.desk import Forbidden, Refused
from wasl_triage.domain.disclosure import table
from wasl_triage.domain.people import Person, Role
from wasl_triage.protection.subject_requests import (
    CLOSED,
    KEPT,
    NEXT,
    SUBJECT_REQUESTS,
    Kind,
    Registration,
    State,
    StepRequest,
    SubjectRequest,
    SubjectRequests,
)
from wasl_triage.quality.figures import Figures

DEE = Person(name="officer-1", roles=frozenset({Role.DATA_OFFICER}))
OBSERVER = Person(name="ministry-1", roles=frozenset({Role.OBSERVER}))


@pytest.fixture
def register(world: World) -> SubjectRequests:
    return SubjectRequests(world.hub, world.pack)


def _asks(world: World, kind: Kind = Kind.RECTIFICATION, **more: Any) -> Registration:
    values: dict[str, Any] = {
        "kind": kind, "channel": "letter", "received_at": world.clock.now(),
        "identity": "A. Person, 1 Street of Nowhere", "text": "My name is spelt wrong.", **more,
    }  # fmt: skip
    return Registration(**values)


async def test_rectification_is_due_in_ten_days(world: World, register: SubjectRequests) -> None:
    request = await register.register(DEE, _asks(world))
    assert request.due == datetime(2026, 1, 15, 9, tzinfo=UTC)
    assert request.state is State.RECEIVED
    assert SUBJECT_REQUESTS.decode(
        world.hub.store.docs["subject_requests"][request.request_id]
    ) == (request)
    assert not request.overdue(datetime(2026, 1, 15, 9, tzinfo=UTC))
    assert request.overdue(datetime(2026, 1, 15, 9, 0, 1, tzinfo=UTC))


@pytest.mark.parametrize("kind", list(Kind))
async def test_every_kind_has_a_clock(world: World, register: SubjectRequests, kind: Kind) -> None:
    assert (await register.register(DEE, _asks(world, kind))).due is not None


async def test_nobody_and_nothing_is_in_clear(world: World, register: SubjectRequests) -> None:
    request = await register.register(DEE, _asks(world, case_id="c" * 32, report_id=uuid7()))
    await register.step(DEE, request.request_id, StepRequest(state=State.IN_WORK, note="Asked Ana"))
    for words in ("Nowhere", "spelt", "Asked Ana"):
        assert words not in world.everything()
    opened = await register.read(DEE, request.request_id)
    assert opened.identity == "A. Person, 1 Street of Nowhere"
    assert opened.text == "My name is spelt wrong."
    assert opened.notes == ("Asked Ana",)
    rows = [AUDIT.decode(d) for d in world.hub.store.docs["audit"].values()]
    assert [(r.stream, r.what, r.why) for r in rows] == [
        ("subject_requests", what, request.request_id) for what in ("register", "in_work", "read")
    ]


async def test_the_way_of_a_request(world: World, register: SubjectRequests) -> None:
    request = await register.register(DEE, _asks(world))
    key = request.request_id
    await register.step(DEE, key, StepRequest(state=State.IDENTIFIED))
    await register.step(DEE, key, StepRequest(state=State.IN_WORK))
    with pytest.raises(Refused, match="not in a state"):
        await register.step(DEE, key, StepRequest(state=State.IDENTIFIED))
    with pytest.raises(Refused, match="needs a reason"):
        await register.step(DEE, key, StepRequest(state=State.REFUSED))
    world.later(days=3)
    done = await register.step(DEE, key, StepRequest(state=State.ANSWERED, note="Corrected."))
    assert (done.closed_at, [s.by for s in done.steps]) == (world.clock.now(), [DEE.name] * 3)
    world.later(days=30)
    assert not done.overdue(world.clock.now()), "it was answered in time"
    for state in State:
        with pytest.raises(Refused):
            await register.step(DEE, key, StepRequest(state=state, note="x"))


def test_every_state_is_reached_and_the_last_are_the_last() -> None:
    assert set().union(*NEXT.values()) == set(State) - {State.RECEIVED}
    assert all(not NEXT[s] for s in CLOSED)
    assert set(NEXT) == set(State)


async def test_who_may(world: World, register: SubjectRequests) -> None:
    request = await register.register(DEE, _asks(world))
    for person in (ANA, SUE, OBSERVER):
        for attempt in (
            register.register(person, _asks(world)),
            register.read(person, request.request_id),
            register.waiting(person),
            register.step(person, request.request_id, StepRequest(state=State.IN_WORK)),
        ):
            with pytest.raises(Forbidden):
                await attempt
    with pytest.raises(Refused, match="no such request"):
        await register.read(DEE, uuid7())
    with pytest.raises(Refused, match="future"):
        at = world.clock.now() + timedelta(days=1)
        await register.register(DEE, _asks(world, received_at=at))


async def test_the_one_due_first_is_first_and_overdue_is_counted(
    world: World, register: SubjectRequests
) -> None:
    late = await register.register(DEE, _asks(world))
    world.later(days=9)
    soon = await register.register(DEE, _asks(world))
    world.later(days=2)
    waiting = await register.waiting(DEE)
    assert [r.request_id for r in waiting] == [late.request_id, soon.request_id]
    assert [r.overdue(world.clock.now()) for r in waiting] == [True, False]
    await register.tidy()
    assert world.count("wasl_triage_subject_requests", state="overdue") == 1
    assert world.count("wasl_triage_subject_requests", state="in_time") == 1
    assert world.count("wasl_triage_subject_requests", state="settled_late") == 0


async def test_what_was_answered_late_is_shown_and_counted_for_a_year(
    world: World, register: SubjectRequests
) -> None:
    late, early = [await register.register(DEE, _asks(world)) for _ in range(2)]
    done = StepRequest(state=State.ANSWERED)
    await register.step(DEE, early.request_id, done)
    world.later(days=20)
    await register.step(DEE, late.request_id, done)
    assert (await register.read(DEE, late.request_id)).request.overdue(world.clock.now())
    assert not (await register.read(DEE, early.request_id)).request.overdue(world.clock.now())
    await register.tidy()
    told = {"in_time": 0, "overdue": 0, "settled_late": 1}
    for state, count in told.items():
        assert world.count("wasl_triage_subject_requests", state=state) == count
    world.later(days=KEPT.days + 1)
    await register.tidy()
    assert world.count("wasl_triage_subject_requests", state="settled_late") == 0


async def test_figures_name_nobody(world: World, register: SubjectRequests) -> None:
    requests = [await register.register(DEE, _asks(world)) for _ in range(6)]
    for _ in range(7):
        await register.register(DEE, _asks(world, Kind.ACCESS))
    for one in requests:
        await register.step(DEE, one.request_id, StepRequest(state=State.ANSWERED))
    world.later(days=40)
    figures = Figures(world.hub, world.pack)
    told = await figures.read(OBSERVER, figures.months()[0])
    assert told.subject_requests == table({"access": 7, "rectification": 6})
    assert told.subject_answers == table({"in_time": 6, "late": 7})


async def test_a_year_after_the_answer_nobody_is_named_any_more(
    world: World, register: SubjectRequests
) -> None:
    request = await register.register(DEE, _asks(world))
    done = StepRequest(state=State.ANSWERED, note="Sent to the street.")
    await register.step(DEE, request.request_id, done)
    await register.tidy()
    assert (await register.read(DEE, request.request_id)).text is not None
    world.later(days=KEPT.days)
    await register.tidy()
    opened = await register.read(DEE, request.request_id)
    assert (opened.identity, opened.text, opened.notes) == (None, None, (None,))
    assert isinstance(opened.request, SubjectRequest)
    key: Any = world.hub.store.docs["keys"][request.request_id]
    assert key["wrapped"] is None
