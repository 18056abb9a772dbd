# SPDX-License-Identifier: Apache-2.0
"""The machines: sound tables, and no sequence of triggers that leaves them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wasl_schemas.lifecycle import (
    ACTED,
    ANSWERS,
    CASE,
    DISPATCH,
    NOTIFICATION,
    REFERRAL,
    WATCH,
    Actor,
    CaseState,
    DispatchState,
    IllegalTransition,
    Machine,
)

MACHINES = (CASE, DISPATCH, WATCH, REFERRAL, NOTIFICATION)
each = pytest.mark.parametrize("machine", MACHINES, ids=lambda m: m.name)


def states(machine: Machine[Any]) -> set[Any]:
    return set(type(machine.initial)) - {type(machine.initial)("unknown")}


def reachable(machine: Machine[Any], start: Any) -> set[Any]:
    seen, todo = {start}, [start]
    while todo:
        state = todo.pop()
        for step in machine.steps:
            if step.state == state and step.to not in seen:
                seen.add(step.to)
                todo.append(step.to)
    return seen


@each
def test_every_state_is_reached(machine: Machine[Any]) -> None:
    assert reachable(machine, machine.initial) == states(machine)


@each
def test_every_state_can_settle(machine: Machine[Any]) -> None:
    for state in states(machine):
        assert reachable(machine, state) & machine.settled, f"{state} never ends"


@each
def test_unknown_is_in_no_table(machine: Machine[Any]) -> None:
    named = {machine.initial, *machine.settled}
    named |= {s for step in machine.steps for s in (step.state, step.to)}
    assert named <= states(machine)


@each
def test_a_trigger_leads_to_one_place_and_somebody_may_pull_it(machine: Machine[Any]) -> None:
    assert len(machine.table()) == len(machine.steps), "two steps share a state and a trigger"
    for step in machine.steps:
        assert step.by
        assert set(step.by) <= set(Actor)
        assert machine.allows(step.state, step.trigger)
        assert machine.move(step.state, step.trigger) is step.to


@each
@given(data=st.data())
def test_no_sequence_of_triggers_reaches_an_illegal_state(
    machine: Machine[Any], data: st.DataObject
) -> None:
    words = sorted({s.trigger for s in machine.steps} | {"", "unknown", "no_such_trigger"})
    state = machine.initial
    for trigger in data.draw(st.lists(st.sampled_from(words), max_size=30)):
        if machine.allows(state, trigger):
            state = machine.move(state, trigger)
            assert state in states(machine)
        else:
            with pytest.raises(IllegalTransition) as refusal:
                machine.move(state, trigger)
            for allowed in (machine.name, state, *machine.triggers(state)):
                assert allowed in str(refusal.value)


def test_a_state_from_a_newer_release_cannot_be_moved() -> None:
    with pytest.raises(IllegalTransition, match="allowed there: nothing"):
        CASE.move(CaseState("on_hold"), "assess")


def test_every_answer_of_the_vocabulary_can_be_recorded_while_waiting() -> None:
    for waiting in (DispatchState.SENT, DispatchState.ACKNOWLEDGED, DispatchState.NO_REPLY):
        for answer in ANSWERS:
            assert DISPATCH.move(waiting, answer.value) is answer
    assert set(ANSWERS) - ACTED == {DispatchState.REFUSED}


def test_speech_needs_two_people() -> None:
    """From the second look nothing but a second analyst's word leads to action."""
    steps = [s for s in CASE.steps if s.state is CaseState.SECOND_LOOK]
    acting = [s for s in steps if s.to is CaseState.IN_PROGRESS]
    assert [s.by for s in acting] == [(Actor.SECOND_ANALYST,)]
