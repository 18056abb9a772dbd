# SPDX-License-Identifier: Apache-2.0
"""After a request left: it is corrected, insisted on or taken back, and the item is seen gone or back."""

import json
from typing import Any

import pytest
from triage_world import ANA, BEA, LEA, RABAT, World, agreeing, said
from wasl_schemas import topics
from wasl_schemas.events.common import Ground, GroundKind
from wasl_schemas.events.dispatch_requested_v1 import DispatchItem
from wasl_schemas.events.dispatch_updated_v1 import DispatchChange
from wasl_schemas.lifecycle import CaseState, DispatchState, IllegalTransition, WatchState
from wasl_triage.casework import request_id
from wasl_triage.desk import Amendment, NotLawful, Refused
from wasl_triage.domain.case import Action, Attention, Case, Measure
from wasl_triage.domain.decisions import Proposal, Screen

URL = "https://www.facebook.com/permalink.php?story_fbid=23&id=100000000000023"
FRAUD = Proposal(
    action=Action.DISPATCH, reason="A fee, then silence.",
    ground=Ground(kind=GroundKind.TERMS, ref="terms.fraud"), partners=("meta",),
)  # fmt: skip
CLEAR = Screen(
    opinion=False, satire=False, journalism=False, research=False, religion=False,
    public_interest=False,
)  # fmt: skip


async def _sent(world: World, **facts: Any) -> Case:
    """A request to one partner, which has it."""
    await world.arrives(URL, category="scam_fraud", **facts)
    case = await world.held(ANA)
    await world.desk.assess(ANA, case.id, said(world.pack, "scam_fraud"))
    await world.desk.decide(ANA, case.id, FRAUD)
    await world.deliver(world.answer(case.id, "meta", 1, DispatchState.SENT))
    return world.case()


def _request(world: World) -> str:
    return request_id(world.case().id, "meta", 1)


async def _words(world: World, sealed: str) -> str:
    uow = world.hub.unit()
    await uow.keys.load([world.case().id])
    return DispatchItem.model_validate_json(await uow.keys.open(sealed, "case.item")).explanation


async def test_a_request_is_taken_back(world: World) -> None:
    case = await _sent(world)
    wanted = Amendment(action="withdraw", reason="It is another page.", code="sent_in_error")
    await world.desk.amend(ANA, case.id, _request(world), wanted)
    asked = world.dispatched()[-1]
    assert (asked.revision, asked.withdrawn) == (1, "sent_in_error")
    assert asked.dispatch_id == _request(world), "the same request, not another one"
    assert "It is another page." not in json.dumps(asked.model_dump(mode="json"))
    trail = [(r.what, r.why) for r in world.audit(world.case())]
    assert trail[-1] == ("withdraw_request", _request(world))
    await world.deliver(world.answer(case.id, "meta", 2, DispatchState.WITHDRAWN, revision=1))
    assert world.case().state is CaseState.UNRESOLVED


async def test_what_was_amended_is_asked_for_again_until_the_gateway_knows(world: World) -> None:
    case = await _sent(world)
    wanted = Amendment(action="correct", reason="Clearer.", explanation="The fee is on page 2.")
    await world.desk.amend(ANA, case.id, _request(world), wanted)
    world.later(hours=3)
    await world.handlers.watch()
    again = world.dispatched()[-1]
    assert again.revision == 1
    assert await _words(world, again.item) == "The fee is on page 2."
    # A copy of the old news with the new revision is how the gateway says that it knows.
    await world.deliver(world.answer(case.id, "meta", 1, DispatchState.SENT, revision=1))
    assert world.case().resend_at is None
    count = len(world.dispatched())
    world.later(days=2)
    await world.handlers.watch()
    assert len(world.dispatched()) == count


async def test_a_dispute_comes_back_to_a_person_who_insists(world: World) -> None:
    case = await _sent(world)
    with pytest.raises(IllegalTransition):
        await world.desk.amend(
            ANA, case.id, _request(world), Amendment(action="insist", reason="It stands.")
        )
    await world.deliver(world.answer(case.id, "meta", 2, DispatchState.DISPUTED))
    case = world.case()
    assert case.attention == (Attention.DISPUTED,)
    assert case.queued
    await world.desk.amend(
        ANA, case.id, _request(world), Amendment(action="insist", reason="It stands.")
    )
    assert world.dispatched()[-1].revision == 1
    assert world.case().attention == ()


async def test_what_two_people_decide_one_cannot_correct(world: World) -> None:
    await world.arrives(URL, category="hate_speech")
    case = await world.held(ANA)
    await world.desk.assess(ANA, case.id, said(world.pack, "hate_speech"))
    hate = Proposal(
        action=Action.DISPATCH, reason="Calls people vermin.", screen=CLEAR,
        measure=Measure.LABEL, rabat=RABAT,
        ground=Ground(kind=GroundKind.TERMS, ref="terms.hate"), partners=("meta",),
    )  # fmt: skip
    case = await world.desk.decide(ANA, case.id, hate)
    await world.desk.claim(LEA, case.id)
    await world.desk.second_look(LEA, case.id, agreeing(world.pack, case, "hate_speech"))
    await world.deliver(world.answer(case.id, "meta", 1, DispatchState.SENT))
    await world.desk.release(LEA, case.id, done=True)
    wanted = Amendment(
        action="correct", reason="Wording.", explanation="Other words.", screen=CLEAR
    )
    for person in (ANA, BEA):
        await world.desk.claim(person, case.id)
        with pytest.raises(NotLawful):
            await world.desk.amend(person, case.id, _request(world), wanted)
        await world.desk.release(person, case.id, done=True)
    await world.desk.claim(LEA, case.id)
    await world.desk.amend(LEA, case.id, _request(world), wanted)
    assert world.dispatched()[-1].revision == 1


async def test_a_ground_must_fit_and_a_settled_request_is_left_alone(world: World) -> None:
    case = await _sent(world)
    other = Amendment(
        action="correct", reason="?", ground=Ground(kind=GroundKind.TERMS, ref="terms.hate")
    )
    with pytest.raises(NotLawful):
        await world.desk.amend(ANA, case.id, _request(world), other)
    with pytest.raises(Refused):
        await world.desk.amend(ANA, case.id, "0" * 32, other)
    await world.deliver(world.answer(case.id, "meta", 2, DispatchState.REMOVED))
    with pytest.raises(Refused, match="ended with what the partner did"):
        await world.desk.amend(
            ANA, case.id, _request(world), Amendment(action="withdraw", reason="Late.")
        )
    with pytest.raises(Refused):
        late = Amendment(action="correct", reason="Late.", explanation="More.")
        await world.desk.amend(ANA, case.id, _request(world), late)


@pytest.mark.parametrize(
    ("change", "flag"),
    [
        (DispatchChange.REMINDER_DUE, Attention.REMINDER_DUE),
        (DispatchChange.CORRECTION_DUE, Attention.CORRECTION_DUE),
        (DispatchChange.WITHDRAWAL_DUE, Attention.WITHDRAWAL_DUE),
        (DispatchChange.REPLIED, Attention.PARTNER_WROTE),
        (DispatchChange.REMINDED, None),
        (DispatchChange.ESCALATED, None),
    ],
)
async def test_only_what_needs_a_person_calls_one(
    world: World, change: DispatchChange, flag: Attention | None
) -> None:
    case = await _sent(world)
    news = world.answer(case.id, "meta", 2, DispatchState.SENT, change=change, reminders=2)
    await world.deliver(news)
    assert world.case().attention == ((flag,) if flag else ())
    assert world.case().dispatches[_request(world)].reminders == 2
    assert world.case().state is CaseState.IN_PROGRESS


async def test_news_without_another_state_says_nothing_twice(world: World) -> None:
    case = await _sent(world)
    await world.deliver(world.answer(case.id, "meta", 2, DispatchState.REMOVED))
    assert world.case().state is CaseState.RESOLVED
    await world.desk.release(ANA, case.id, done=True)
    wrote = world.answer(case.id, "meta", 3, DispatchState.REMOVED, change=DispatchChange.REPLIED)
    await world.deliver(wrote)
    assert world.case().attention == (Attention.PARTNER_WROTE,)


# -- the item --------------------------------------------------------------------------------------


async def test_what_is_seen_gone_resolves_the_case(world: World) -> None:
    case = await _sent(world)
    await world.deliver(world.observed(case.id, 1, WatchState.GONE, reason="http_404"))
    assert world.case().state is CaseState.IN_PROGRESS, "the ledger says how a request ended"
    await world.deliver(world.answer(case.id, "meta", 2, DispatchState.SEEN_GONE))
    assert world.case().state is CaseState.RESOLVED
    assert world.case().seen is WatchState.GONE


async def test_what_is_back_opens_the_same_case_with_a_new_clock(world: World) -> None:
    case = await _sent(world)
    await world.deliver(world.answer(case.id, "meta", 2, DispatchState.REMOVED))
    await world.desk.release(ANA, case.id, done=True)
    world.later(days=3)
    back = world.observed(case.id, 2, WatchState.REAPPEARED, reason="http_200")
    await world.deliver(world.observed(case.id, 1, WatchState.GONE), back)
    again = world.case()
    assert (again.id, again.state, again.round) == (case.id, CaseState.OPEN, 2)
    assert again.look_pending
    assert again.first_look_due > world.clock.now()
    assert again.attention == (Attention.REAPPEARED,)
    told = world.emitted(topics.CASE_UPDATED_V1)[-1]
    assert (told.change, told.reason) == ("reopened", "reappeared")
    # Asking the partner anew is another request.
    await world.desk.claim(ANA, case.id)
    await world.desk.assess(ANA, case.id, said(world.pack, "scam_fraud"))
    await world.desk.decide(ANA, case.id, FRAUD)
    assert world.dispatched()[-1].dispatch_id == request_id(case.id, "meta", 2)


async def test_old_and_repeated_observations_change_nothing(world: World) -> None:
    case = await _sent(world)
    await world.deliver(world.answer(case.id, "meta", 2, DispatchState.REMOVED))
    await world.deliver(world.observed(case.id, 3, WatchState.GONE))
    for version in (1, 2, 3):
        await world.deliver(world.observed(case.id, version, WatchState.REAPPEARED))
    assert world.case().state is CaseState.RESOLVED
    await world.deliver(world.observed(case.id, 4, WatchState.REAPPEARED))
    assert world.case().state is CaseState.OPEN


async def test_online_after_removal_is_for_a_person(world: World) -> None:
    case = await _sent(world)
    await world.deliver(world.answer(case.id, "meta", 2, DispatchState.REMOVED))
    await world.desk.release(ANA, case.id, done=True)
    seen = world.observed(
        case.id, 1, WatchState.CHECKING, claimed_gone=True, reason="online_after_removal"
    )
    await world.deliver(seen)
    assert world.case().attention == (Attention.ONLINE_AFTER_REMOVAL,)
    assert world.case().queued


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({}, True),
        ({"under_18": True}, False),
        ({"under_13": True}, False),
    ],
)
async def test_nobody_looks_where_a_child_was_spoken_of(
    world: World, facts: dict[str, bool], expected: bool
) -> None:
    await _sent(world, **facts)
    assert [d.may_look for d in world.dispatched()] == [expected]


async def test_nobody_looks_where_one_reporter_of_several_said_child_safety(world: World) -> None:
    await world.arrives(URL, category="csam", consent_partner=False)
    await _sent(world)
    assert world.dispatched()
    assert not any(d.may_look for d in world.dispatched())
