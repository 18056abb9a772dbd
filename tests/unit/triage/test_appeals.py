# SPDX-License-Identifier: Apache-2.0
"""A decision is looked at again by somebody else, and what does not stand is taken back."""

from datetime import timedelta
from typing import Any

import pytest
from cases_kit import CLOSE, FRAUD, PRIVACY, SID, UNA, agreeing, decided, posts, rooms
from triage_world import ANA, BEA, LEA, World
from wasl_schemas import topics
from wasl_schemas.events.common import Ground, GroundKind
from wasl_schemas.events.dispatch_updated_v1 import DispatchChange
from wasl_schemas.lifecycle import UNDOABLE, CaseState, DispatchState, WatchState
from wasl_schemas.taxonomy import FourEyes
from wasl_triage.cases.appeals import APPEALS, Appeal, AppealAnswer, Filing
from wasl_triage.casework import request_id
from wasl_triage.desk import Amendment, Forbidden, NoSuchCase, NotLawful, Refused
from wasl_triage.domain.appeal import AppealState, Side
from wasl_triage.domain.case import Attention, Case
from wasl_triage.repository import CASES

WORDS = "The shop paid me back."


async def _fields(attempt: Any) -> set[str]:
    with pytest.raises(NotLawful) as refused:
        await attempt
    return {m.field for m in refused.value.missing}


async def _sent(world: World) -> Case:
    """A case of which one request left."""
    (case_id,) = await posts(world, (1,))
    case = await decided(world, case_id, FRAUD, "scam_fraud")
    await world.desk.release(ANA, case_id, done=True)
    return case


async def _appealed(world: World, case: Case, side: Side = Side.AFFECTED, **more: Any) -> Appeal:
    filing = Filing(decision_id=case.decisions[-1].id, side=side, grounds=WORDS, **more)
    return await rooms(world).appeals.register(BEA, case.id, filing)


async def _answer(world: World, appeal: Appeal, outcome: Any, **more: Any) -> Appeal:
    answer = AppealAnswer(outcome=outcome, reason="Seen again.", **more)
    await world.desk.claim(BEA, appeal.case_id)
    return await rooms(world).appeals.answer(BEA, appeal.case_id, appeal.id, answer)


async def test_an_appeal_brings_the_case_back_and_is_sealed(world: World) -> None:
    case = await _sent(world)
    await world.deliver(world.answer(case.id, "meta", 1, DispatchState.REMOVED))
    assert not world.case().queued
    appeal = await _appealed(world, case)
    now = world.case()
    assert (now.queued, now.attention) == (True, (Attention.APPEAL,))
    assert WORDS not in world.everything()
    assert appeal.state is AppealState.OPEN
    assert appeal.due > appeal.at
    assert [a.id for a in await rooms(world).appeals.open(LEA)] == [appeal.id]
    assert world.audit(now)[-1].what == "appeal_by_affected"


async def test_one_may_be_open_for_a_decision_and_a_side(world: World) -> None:
    case = await _sent(world)
    first = await _appealed(world, case)
    with pytest.raises(Refused, match="open already"):
        await _appealed(world, case)
    await _appealed(world, case, Side.PARTNER, partner="meta")
    await _answer(world, first, "upheld")
    await _appealed(world, case)
    assert len(await rooms(world).appeals.of(case.id)) == 3


async def test_the_decision_stands(world: World) -> None:
    case = await _sent(world)
    appeal = await _appealed(world, case)
    versions = world.case().version
    done = await _answer(world, appeal, "upheld")
    assert (done.state, done.decided_by) == (AppealState.UPHELD, BEA.name)
    assert (done.withdrawn, done.beyond) == ((), ())
    now = world.case()
    assert (now.version, now.attention, len(world.dispatched())) == (versions, (), 1)
    assert now.decisions[-1].reversed_by is None
    with pytest.raises(Refused, match="answered already"):
        await _answer(world, appeal, "reversed")


async def test_a_reversal_withdraws_what_was_sent(world: World) -> None:
    case = await _sent(world)
    appeal = await _appealed(world, case)
    done = await _answer(world, appeal, "reversed")
    sent = request_id(case.id, "meta", 1)
    assert (done.withdrawn, done.beyond) == ((sent,), ())
    last = world.dispatched()[-1]
    assert (last.dispatch_id, last.revision, last.withdrawn) == (sent, 1, "decided_anew")
    now = world.case()
    assert now.dispatches[sent].withdrawn == "decided_anew"
    assert now.decisions[-1].reversed_by == appeal.id
    assert now.resend_at is not None  # repeated until the gateway is heard
    told = world.emitted(topics.CASE_UPDATED_V1)[-1]
    assert (told.change, told.version) == ("outcome", now.version)
    with pytest.raises(NotLawful):
        await _appealed(world, case)  # it does not stand any more


async def _reversed(world: World, did: DispatchState = DispatchState.REMOVED) -> tuple[Case, str]:
    """A case whose partner acted, and whose decision was reversed afterwards."""
    case = await _sent(world)
    await world.deliver(world.answer(case.id, "meta", 1, did))
    assert world.case().state is CaseState.RESOLVED
    await _answer(world, await _appealed(world, case), "reversed")
    return world.case(), request_id(case.id, "meta", 1)


@pytest.mark.parametrize("did", sorted(UNDOABLE))
async def test_what_a_partner_did_it_is_asked_to_undo(world: World, did: DispatchState) -> None:
    now, sent = await _reversed(world, did)
    (appeal,) = await rooms(world).appeals.of(now.id)
    assert (appeal.withdrawn, appeal.beyond) == ((sent,), ())
    assert (now.state, now.round, now.look_pending) == (CaseState.OPEN, 2, False)
    assert now.attention == ()
    told = world.emitted(topics.CASE_UPDATED_V1)[-1]
    assert (told.change, told.reason) == ("reopened", "appeal")
    last = world.dispatched()[-1]
    assert (last.dispatch_id, last.revision, last.withdrawn) == (sent, 1, "decided_anew")
    assert now.resend_at is not None  # repeated until the gateway is heard
    row = now.dispatches[sent]
    assert (row.state, row.undoes) == (did, did)
    await world.deliver(world.answer(now.id, "meta", 2, DispatchState.WITHDRAWN, revision=1))
    row = world.case().dispatches[sent]
    assert (row.state, row.undoes) == (DispatchState.WITHDRAWN, did)
    assert world.case().state is CaseState.OPEN
    assert world.case().resend_at is None


@pytest.mark.parametrize("did", [DispatchState.REFUSED, DispatchState.ALREADY_GONE])
async def test_where_a_partner_did_nothing_there_is_nothing_to_undo(
    world: World, did: DispatchState
) -> None:
    case = await _sent(world)
    await world.deliver(world.answer(case.id, "meta", 1, did))
    done = await _answer(world, await _appealed(world, case), "reversed")
    assert (done.withdrawn, done.beyond) == ((), ())
    assert world.case().attention == ()
    assert len(world.dispatched()) == 1


async def test_what_the_gateway_asks_a_person_to_undo_ends_no_new_round(world: World) -> None:
    """Only a person can tell the partner: the case comes back, and the old removal resolves
    nothing, although the event about it is younger than the round.
    """
    case, sent = await _reversed(world)
    await world.desk.release(BEA, case.id, done=True)
    await decided(world, case.id, FRAUD, "scam_fraud")
    assert world.case().state is CaseState.IN_PROGRESS
    world.clock.advance(timedelta(minutes=1))
    due = world.answer(
        case.id, "meta", 2, DispatchState.REMOVED, revision=1, change=DispatchChange.WITHDRAWAL_DUE
    )
    await world.deliver(due)
    now = world.case()
    assert now.state is CaseState.IN_PROGRESS
    assert Attention.WITHDRAWAL_DUE in now.attention
    assert now.dispatches[sent].undoes is DispatchState.REMOVED


@pytest.mark.parametrize(
    ("state", "more"),
    [(WatchState.REAPPEARED, {}), (WatchState.CHECKING, {"claimed_gone": True})],
)
async def test_what_was_asked_back_is_no_news_when_it_is_back(
    world: World, state: WatchState, more: dict[str, bool]
) -> None:
    case, _ = await _reversed(world)
    await world.deliver(world.observed(case.id, 1, state, **more))
    now = world.case()
    assert (now.seen, now.attention) == (state, ())
    assert now.round == 2


async def test_an_answer_that_crosses_the_withdrawal_is_to_be_undone_too(world: World) -> None:
    case = await _sent(world)
    await _answer(world, await _appealed(world, case), "reversed")
    await world.deliver(world.answer(case.id, "meta", 1, DispatchState.REMOVED))
    now = world.case()
    assert now.state is not CaseState.RESOLVED
    assert now.dispatches[request_id(case.id, "meta", 1)].undoes is DispatchState.REMOVED


async def test_a_settled_case_is_reopened_before_its_request_is_taken_back(world: World) -> None:
    case = await _sent(world)
    sent = request_id(case.id, "meta", 1)
    await world.deliver(world.answer(case.id, "meta", 1, DispatchState.REMOVED))
    await world.desk.claim(ANA, case.id)
    wanted = Amendment(action="withdraw", reason="The wrong page.", code="sent_in_error")
    with pytest.raises(Refused, match="ended with what the partner did"):
        await world.desk.amend(ANA, case.id, sent, wanted)
    await world.desk.reopen(ANA, case.id, "The wrong page.")
    await world.desk.amend(ANA, case.id, sent, wanted)
    assert world.dispatched()[-1].withdrawn == "sent_in_error"
    assert world.case().dispatches[sent].undoes is DispatchState.REMOVED


async def test_an_appeal_has_a_time_of_its_own_and_breaks_it(world: World) -> None:
    case = await _sent(world)
    appeal = await _appealed(world, case)
    assert appeal.due == world.pack.due(appeal.at, world.pack.clocks.appeal_within)

    async def gauge() -> tuple[float, ...]:
        await world.handlers.gauge()
        name, value = "wasl_triage_answers_awaited", world.hub.metrics.value
        return tuple(value(name, what="appeal", state=s) for s in ("in_time", "overdue"))

    assert await gauge() == (1, 0)
    assert not appeal.breached(world.clock.now())
    world.clock.advance(appeal.due - appeal.at + timedelta(seconds=1))
    assert await gauge() == (0, 1)
    assert appeal.breached(world.clock.now())
    done = await _answer(world, appeal, "upheld")
    assert await gauge() == (0, 0)
    assert done.breached(world.clock.now())  # it stays late


async def test_a_closed_case_is_opened_again_for_its_reporter(world: World) -> None:
    (case_id,) = await posts(world, (1,))
    (report,) = world.case().recent
    case = await decided(world, case_id, CLOSE, "scam_fraud")
    await world.desk.release(ANA, case_id, done=True)
    assert await _fields(_appealed(world, case, Side.REPORTER)) == {"report_id"}
    (other,) = await posts(world, (2,))
    (foreign,) = world.case(other).recent
    assert await _fields(
        _appealed(world, case, Side.REPORTER, report_id=foreign)
    ) == {"report_id"}  # fmt: skip
    appeal = await _appealed(world, case, Side.REPORTER, report_id=report)
    await _answer(world, appeal, "reversed")
    now = world.case(case_id)
    assert (now.state, now.queued, now.close_reason) == (CaseState.OPEN, True, None)


async def test_a_reversal_in_part_takes_back_what_is_named(world: World) -> None:
    case = await _sent(world)
    appeal = await _appealed(world, case)
    assert await _fields(_answer(world, appeal, "partly")) == {"withdraw"}
    done = await _answer(world, appeal, "partly", withdraw=("f" * 32,))
    assert (done.state, done.withdrawn) == (AppealState.PARTLY, ())
    assert len(world.dispatched()) == 1


async def test_nobody_answers_for_their_own_decision(world: World) -> None:
    (case_id,) = await posts(world, (1,), category="privacy_violation")
    case = await decided(world, case_id, PRIVACY, "privacy_violation")
    await world.desk.claim(BEA, case_id)
    assert await _fields(_appealed(world, case)) == {"decision_id"}  # only proposed
    case = await world.desk.second_look(BEA, case_id, agreeing(world.pack, world.case()))
    await world.desk.release(BEA, case_id, done=True)
    appeal = await _appealed(world, case)
    answer = AppealAnswer(outcome="reversed", reason="x")
    for person in (ANA, BEA):
        await world.desk.claim(person, case_id)
        attempt = rooms(world).appeals.answer(person, case_id, appeal.id, answer)
        assert await _fields(attempt) == {"decided_by"}
        await world.desk.release(person, case_id, done=False)
    await world.desk.claim(LEA, case_id)
    empty = answer.model_copy(update={"reason": ""})
    assert await _fields(rooms(world).appeals.answer(LEA, case_id, appeal.id, empty)) == {"reason"}
    assert (await rooms(world).appeals.answer(LEA, case_id, appeal.id, answer)).withdrawn


async def test_what_took_a_lawyer_takes_one_again(world: World) -> None:
    case = await _sent(world)
    appeal = await _appealed(world, case)
    uow = world.hub.unit()
    held = await uow.get(CASES, case.id)
    assert held is not None
    held.decisions[-1].four_eyes = FourEyes.PRE_LEGAL
    uow.put(CASES, held)
    await world.hub.commit(uow)
    assert await _fields(_answer(world, appeal, "reversed")) == {"decided_by"}
    await world.desk.release(BEA, case.id, done=False)
    await world.desk.claim(LEA, case.id)
    answer = AppealAnswer(outcome="reversed", reason="x")
    await rooms(world).appeals.answer(LEA, case.id, appeal.id, answer)


async def test_a_confirmation_is_not_awaited_for_what_does_not_stand(world: World) -> None:
    (case_id,) = await posts(world, (1,), category="threats")
    threat = FRAUD.model_copy(
        update={"ground": Ground(kind=GroundKind.TERMS, ref="terms.harassment"), "advice": None}
    )
    case = await decided(world, case_id, threat, "threats")
    assert case.confirm_due is not None
    await _answer(world, await _appealed(world, case), "reversed")
    assert (world.case().confirm_due, world.case().pending()) == (None, [])


async def test_a_partner_answers_only_for_what_it_was_asked(world: World) -> None:
    case = await _sent(world)
    assert await _fields(_appealed(world, case, Side.PARTNER, partner="tiktok")) == {"partner"}
    filing = Filing(decision_id="x", side=Side.AFFECTED, grounds=WORDS)
    assert await _fields(rooms(world).appeals.register(BEA, case.id, filing)) == {"decision_id"}


async def test_appeals_are_for_those_who_may_and_see_the_case(world: World) -> None:
    (case_id,) = await posts(world, (1,), category="csam", consent_partner=False)
    case = await decided(world, case_id, CLOSE, "csam")
    await world.desk.release(ANA, case_id, done=True)
    appeal = await _appealed(world, case)
    assert await rooms(world).appeals.open(UNA) == []
    with pytest.raises(Forbidden):
        await rooms(world).appeals.open(SID)
    filing = Filing(decision_id=case.decisions[0].id, side=Side.PARTNER, grounds=WORDS)
    with pytest.raises(NoSuchCase):
        await rooms(world).appeals.register(UNA, case_id, filing)
    with pytest.raises(NoSuchCase):
        await world.desk.claim(LEA, case_id)
        answer = AppealAnswer(outcome="upheld", reason="x")
        await rooms(world).appeals.answer(LEA, case_id, "nothing", answer)
    assert APPEALS.decode({**APPEALS.encode(appeal), "_id": appeal.id, "_rev": 1}) == appeal
