# SPDX-License-Identifier: Apache-2.0
"""What people do with a case, step by step, and what the desk will not let them do."""

import json
from datetime import timedelta
from typing import Any

import pytest
from triage_world import ANA, BEA, CLAIM, LEA, RABAT, SUE, World, agreeing, answers, said
from wasl_chassis.failures import KeyDestroyed
from wasl_schemas import topics
from wasl_schemas.events.common import Ground, GroundKind, Severity
from wasl_schemas.events.dispatch_requested_v1 import DispatchItem
from wasl_schemas.lifecycle import CaseState, DispatchState, IllegalTransition, ReferralState
from wasl_schemas.taxonomy import FourEyes, Signal
from wasl_triage.audit.trail import broken_link
from wasl_triage.casework import request_id
from wasl_triage.desk import (
    AssessmentRequest,
    Confirmation,
    Forbidden,
    MessageRequest,
    NoSuchCase,
    NotLawful,
    OwnJudgement,
    Refused,
)
from wasl_triage.domain.case import Action, Case, Measure
from wasl_triage.domain.decisions import CloseReason, Proposal, Screen
from wasl_triage.domain.people import Person

URL = "https://www.facebook.com/permalink.php?story_fbid=23&id=100000000000023"
PAGE = "https://example.com/fictional/item-0001"
CLEAR = Screen(
    opinion=False,
    satire=False,
    journalism=False,
    research=False,
    religion=False,
    public_interest=False,
)


def _terms(ref: str) -> Ground:
    return Ground(kind=GroundKind.TERMS, ref=ref)


def _law(ref: str) -> Ground:
    return Ground(kind=GroundKind.LAW, ref=ref)


FRAUD = Proposal(
    action=Action.DISPATCH, reason="A fee, then silence.", ground=_terms("terms.fraud"),
    partners=("meta",), advice="money-lost",
)  # fmt: skip
HATE = Proposal(
    action=Action.DISPATCH, reason="Calls people vermin.", ground=_terms("terms.hate"),
    partners=("meta",), screen=CLEAR, measure=Measure.LABEL, rabat=RABAT,
)  # fmt: skip
THREAT = Proposal(
    action=Action.DISPATCH, reason="Names the house.", ground=_law("ma.penal-code.425-429"),
    partners=("meta",), explanation="The post gives a home address.",
)  # fmt: skip
CLOSE = Proposal(action=Action.CLOSE, reason="Seen.", close_reason=CloseReason.NO_GROUND)


async def _assessed(world: World, category: str, person: Person = ANA, **facts: Any) -> Case:
    await world.arrives(URL, category=category, **facts)
    case = await world.held(person)
    return await world.desk.assess(person, case.id, said(world.pack, category))


async def _fields(attempt: Any) -> set[str]:
    with pytest.raises(NotLawful) as refused:
        await attempt
    return {m.field for m in refused.value.missing}


# -- the queue and claims --------------------------------------------------------------------------


async def test_child_safety_comes_first_then_critical_then_the_oldest_due(world: World) -> None:
    await world.arrives("https://example.com/1", category="scam_fraud")
    world.later(minutes=1)
    await world.arrives("https://example.com/2", category="scam_fraud")
    await world.arrives("https://example.com/3", category="scam_fraud", danger_now=True)
    await world.arrives("https://example.com/4", category="threats")
    await world.arrives("https://example.com/5", category="csam")
    order = [world.case_id(f"https://example.com/{n}") for n in (5, 3, 4, 1, 2)]
    assert [c.id for c in await world.desk.queue(ANA, 10)] == order
    assert [c.id for c in await world.desk.queue(ANA, 2)] == order[:2]


async def test_a_claim_is_exclusive_until_its_time_is_over(world: World) -> None:
    await world.arrives(URL, category="scam_fraud")
    case = await world.held(ANA)
    assert (case.claimed_by, case.claimed_until) == (ANA.name, world.clock.now() + CLAIM)
    assert not case.look_pending
    with pytest.raises(Refused):
        await world.desk.claim(BEA, case.id)
    with pytest.raises(Refused):
        await world.desk.claim(BEA, case.id, take_over=True)
    assert await world.desk.queue(BEA, 10) == []
    assert len(await world.desk.queue(ANA, 10)) == 1
    world.later(minutes=21)
    assert (await world.desk.claim(BEA, case.id)).claimed_by == BEA.name
    with pytest.raises(Refused):
        await world.desk.assess(ANA, case.id, said(world.pack, "scam_fraud"))
    assert (await world.desk.claim(SUE, case.id, take_over=True)).claimed_by == SUE.name
    released = await world.desk.release(SUE, case.id, done=False)
    assert released.claimed_by is None
    assert [r.what for r in world.audit(world.case())] == [
        "first_look", "claim", "claim", "take_over", "release",
    ]  # fmt: skip


async def test_work_renews_the_claim(world: World) -> None:
    case = await _assessed(world, "scam_fraud")
    world.later(minutes=15)
    case = await world.desk.assess(ANA, case.id, said(world.pack, "scam_fraud"))
    assert case.claimed_until == world.clock.now() + CLAIM


@pytest.mark.parametrize("act", ["assess", "decide", "second_look", "write", "reopen", "release"])
async def test_nothing_is_changed_without_a_claim(world: World, act: str) -> None:
    report_id = await world.arrives(URL, category="scam_fraud")
    case = world.case()
    arguments: dict[str, Any] = {
        "assess": said(world.pack, "scam_fraud"),
        "decide": CLOSE,
        "second_look": Confirmation(decision_id="x", confirm=True),
        "write": MessageRequest(report_id=report_id, text="x"),
        "reopen": "x",
    }
    with pytest.raises(Refused, match="hold"):
        if act == "release":
            await world.desk.release(ANA, case.id, done=True)
        else:
            await getattr(world.desk, act)(ANA, case.id, arguments[act])
    assert world.case().version == 1
    assert world.audit(case) == []


async def test_an_unknown_case_is_unknown_everywhere(world: World) -> None:
    with pytest.raises(NoSuchCase):
        await world.desk.claim(ANA, "0" * 32)
    with pytest.raises(NoSuchCase):
        await world.desk.read(ANA, "0" * 32)


# -- reading ---------------------------------------------------------------------------------------


async def test_reading_opens_blacks_out_and_is_audited(world: World) -> None:
    report_id = await world.arrives(URL, text="Son numéro: 06 00 00 00 05. <b>x</b>")
    await world.deliver(await world.message(report_id, "et a@example.org"))
    case = world.case()
    sheet = await world.desk.read(ANA, case.id)
    assert sheet.item is not None
    assert (
        sheet.item.location
        == "https://www.facebook.com/permalink.php?id=100000000000023&story_fbid=23"
    )
    assert sheet.reports[0].narrative == "Son numéro: [phone]. <b>x</b>"
    assert sheet.messages[0].text == "et [email]"
    assert sheet.reports[0].report.personal == ("phone",)
    open_sheet = await world.desk.read(BEA, case.id, unredacted=True)
    assert "06 00 00 00 05" in (open_sheet.reports[0].narrative or "")
    assert [(r.who, r.what) for r in world.audit(world.case())] == [
        (ANA.name, "read"),
        (BEA.name, "read_unredacted"),
    ]


async def test_an_erased_report_is_read_as_erased(world: World) -> None:
    report_id = await world.arrives(URL, text="x")
    uow = world.hub.unit()
    await uow.keys.destroy(report_id)
    await world.hub.commit(uow)
    sheet = await world.desk.read(ANA, world.case().id)
    assert sheet.reports[0].narrative is None
    assert sheet.item is not None


async def test_the_audit_trail_is_chained_and_for_supervisors(world: World) -> None:
    case = await _assessed(world, "scam_fraud")
    await world.desk.read(ANA, case.id)
    with pytest.raises(Forbidden):
        await world.desk.trail(ANA, case.id)
    rows, broken = await world.desk.trail(SUE, case.id)
    assert [r.what for r in rows] == ["first_look", "claim", "assess", "read"]
    assert broken is None
    world.hub.store.docs["audit"][rows[1].id]["who"] = "somebody-else"
    assert (await world.desk.trail(SUE, case.id))[1] == 2
    world.hub.store.docs["audit"][rows[1].id]["who"] = ANA.name
    del world.hub.store.docs["audit"][rows[3].id]
    assert (await world.desk.trail(SUE, case.id))[1] == 4
    assert broken_link(world.case(), rows[1:]) == 1


# -- assessing -------------------------------------------------------------------------------------


async def test_an_assessment_decides_category_signals_and_severity(world: World) -> None:
    await world.arrives(URL, category="threats", under_18=True)
    case = await world.held(ANA)
    adult = said(
        world.pack, "privacy_violation", signals=(Signal.ADDRESS_PUBLISHED,),
        dismissed=(Signal.MINOR_VICTIM,), note="An adult's address.",
    )  # fmt: skip
    case = await world.desk.assess(ANA, case.id, adult)
    assert (case.state, case.category, case.severity) == (
        CaseState.ASSESSED, "privacy_violation", Severity.HIGH,
    )  # fmt: skip
    assert case.because == ("address-published",)
    assert world.emitted(topics.CASE_UPDATED_V1)[-1].category == "privacy_violation"
    assert "adult's address" not in world.everything()
    sheet = await world.desk.read(ANA, case.id)
    assert sheet.notes["assessment"] == "An adult's address."


async def test_what_never_leaves_is_reclassed_with_a_reason_only(world: World) -> None:
    await world.arrives(URL, category="lawful_objectionable")
    case = await world.held(ANA)
    plain = said(world.pack, "threats")
    assert await _fields(world.desk.assess(ANA, case.id, plain)) == {"note"}
    await world.desk.assess(ANA, case.id, said(world.pack, "lawful_objectionable"))
    assert await _fields(world.desk.decide(ANA, case.id, THREAT)) == {"category"}
    why = plain.model_copy(update={"note": "The last line is a threat."})
    await world.desk.assess(ANA, case.id, why)
    assert (await world.desk.decide(ANA, case.id, THREAT)).state is CaseState.IN_PROGRESS


@pytest.mark.parametrize(
    ("wanted", "by", "field"),
    [
        ({"category": "no-such"}, ANA, "category"),
        ({"category": "threats", "signals": (Signal.MANY_REPORTERS,)}, ANA, "signals"),
        ({"category": "threats", "dismissed": (Signal.HAS_URL,)}, ANA, "dismissed"),
        (
            {"category": "threats", "signals": (Signal.PRESS,), "dismissed": (Signal.PRESS,)},
            ANA,
            "dismissed",
        ),
    ],
)
async def test_assessments_that_do_not_hold(
    world: World, wanted: dict[str, Any], by: Person, field: str
) -> None:
    await world.arrives(URL, category="threats")
    case = await world.held(by)
    given = answers(world.pack, wanted["category"])
    request = AssessmentRequest(answers=given, **wanted)
    assert await _fields(world.desk.assess(by, case.id, request)) == {field}


async def test_a_public_official_brings_the_lawyer_and_no_raise(world: World) -> None:
    await world.arrives(URL, category="defamation")
    case = await world.held(ANA)
    ticked = said(world.pack, "defamation", signals=(Signal.PUBLIC_OFFICIAL_TARGET,))
    case = await world.desk.assess(ANA, case.id, ticked)
    assert (case.severity, case.legal_review) == (Severity.LOW, True)


# -- deciding --------------------------------------------------------------------------------------


async def test_one_person_dispatches_where_the_pack_says_one(world: World) -> None:
    case = await _assessed(world, "scam_fraud")
    case = await world.desk.decide(ANA, case.id, FRAUD)
    (request,) = world.dispatched()
    assert (case.state, request.partner, request.automatic) == (
        CaseState.IN_PROGRESS, "meta", False,
    )  # fmt: skip
    assert (request.scope, request.ground) == ("global", FRAUD.ground)
    told = world.emitted(topics.CASE_UPDATED_V1)[-1]
    assert (told.change, told.ground, told.advice) == ("decided", FRAUD.ground, "money-lost")
    assert not case.queued
    labels = {"action": "dispatch", "by": "staff"}
    assert world.count("wasl_triage_decisions_total", **labels) == 1
    await world.deliver(world.answer(case.id, "meta", 1, DispatchState.REMOVED))
    assert world.case().state is CaseState.RESOLVED


async def test_the_explanation_is_the_partners_alone(world: World) -> None:
    case = await _assessed(world, "threats")
    await world.desk.decide(ANA, case.id, THREAT)
    (request,) = world.dispatched()
    item = DispatchItem.model_validate_json(
        await world.hub.unit().keys.open(request.item, "case.item")
    )
    assert item.explanation == "The post gives a home address."
    assert "home address" not in world.everything()
    assert "Names the house" not in world.everything()


async def test_post_sends_now_and_waits_for_another_person(world: World) -> None:
    case = await _assessed(world, "threats")
    case = await world.desk.decide(ANA, case.id, THREAT)
    (row,) = case.pending()
    assert row.four_eyes is FourEyes.POST
    assert len(world.dispatched()) == 1
    assert case.confirm_due == world.clock.now() + timedelta(hours=24)
    assert case.claimed_by is None
    await world.desk.claim(ANA, case.id)
    yes = Confirmation(decision_id=row.id, confirm=True)
    assert await _fields(world.desk.second_look(ANA, case.id, yes)) == {"confirmed_by"}
    await world.desk.release(ANA, case.id, done=False)
    await world.desk.claim(BEA, case.id)
    case = await world.desk.second_look(BEA, case.id, yes)
    assert (case.state, case.confirm_due, case.queued) == (CaseState.IN_PROGRESS, None, False)
    assert world.changes()[-1] == "confirmed"
    with pytest.raises(Refused):
        await world.desk.second_look(BEA, case.id, yes)


async def test_an_objection_after_the_fact_stays_in_sight(world: World) -> None:
    case = await _assessed(world, "threats")
    case = await world.desk.decide(ANA, case.id, THREAT)
    await world.desk.claim(BEA, case.id)
    no = Confirmation(decision_id=case.pending()[0].id, confirm=False)
    assert await _fields(world.desk.second_look(BEA, case.id, no)) == {"reason"}
    no = no.model_copy(update={"reason": "It is a quotation."})
    case = await world.desk.second_look(BEA, case.id, no)
    assert (case.attention, case.queued) == (("objection",), True)
    assert case.state is CaseState.IN_PROGRESS


async def test_speech_leaves_only_after_a_lawyer_looked(world: World) -> None:
    case = await _assessed(world, "hate_speech")
    case = await world.desk.decide(ANA, case.id, HATE)
    assert (case.state, world.dispatched()) == (CaseState.SECOND_LOOK, [])
    assert world.changes()[-1] == "second_look_asked"
    assert await world.desk.queue(ANA, 10) == []  # not the proposer's to look at
    assert [c.id for c in await world.desk.queue(LEA, 10)] == [case.id]
    yes = agreeing(world.pack, case, "hate_speech")
    await world.desk.claim(BEA, case.id)
    assert await _fields(world.desk.second_look(BEA, case.id, yes)) == {"confirmed_by"}
    await world.desk.release(BEA, case.id, done=False)
    await world.desk.claim(LEA, case.id)
    case = await world.desk.second_look(LEA, case.id, yes)
    (request,) = world.dispatched()
    assert (case.state, request.scope) == (CaseState.IN_PROGRESS, "MA")
    assert world.changes()[-1] == "confirmed"
    assert [r.what for r in world.audit(case)][-1] == "confirm"


async def test_a_rejected_proposal_goes_back_and_can_be_made_again(world: World) -> None:
    case = await _assessed(world, "hate_speech")
    case = await world.desk.decide(ANA, case.id, HATE)
    await world.desk.claim(BEA, case.id)
    no = Confirmation(decision_id=case.pending()[0].id, confirm=False, reason="Satire.")
    case = await world.desk.second_look(BEA, case.id, no)
    assert (case.state, case.pending(), world.dispatched()) == (CaseState.ASSESSED, [], [])
    await world.desk.release(BEA, case.id, done=False)
    await world.desk.claim(LEA, case.id)
    case = await world.desk.decide(LEA, case.id, HATE)
    await world.desk.claim(BEA, case.id)
    yes = agreeing(world.pack, world.case(), "hate_speech")
    assert (await world.desk.second_look(BEA, case.id, yes)).state is CaseState.IN_PROGRESS


async def test_the_law_is_asked_again_at_the_confirmation(world: World) -> None:
    case = await _assessed(world, "hate_speech")
    case = await world.desk.decide(ANA, case.id, HATE)
    world.requests.connectors = frozenset({"reference"})  # the connector was taken out meanwhile
    await world.desk.claim(LEA, case.id)
    yes = agreeing(world.pack, case, "hate_speech")
    assert await _fields(world.desk.second_look(LEA, case.id, yes)) == {"partners"}
    assert world.case().state is CaseState.SECOND_LOOK
    assert world.dispatched() == []


async def test_nothing_of_a_refused_decision_happens(world: World) -> None:
    case = await _assessed(world, "scam_fraud")
    before = world.hub.store.docs["cases"][case.id]
    bad = FRAUD.model_copy(update={"ground": None, "partners": ("tiktok",)})
    assert await _fields(world.desk.decide(ANA, case.id, bad)) == {"ground", "partners"}
    assert world.hub.store.docs["cases"][case.id] == before
    assert world.count("wasl_triage_staff_requests_refused_total", reason="law") == 1


async def test_an_open_case_is_assessed_before_it_is_dispatched(world: World) -> None:
    await world.arrives(URL, category="scam_fraud")
    case = await world.held(ANA)
    assert await _fields(world.desk.decide(ANA, case.id, FRAUD)) == {"assessment"}


async def test_the_same_partner_is_not_asked_twice_in_a_round(world: World) -> None:
    case = await _assessed(world, "scam_fraud")
    await world.desk.decide(ANA, case.id, FRAUD)
    assert await _fields(world.desk.decide(ANA, case.id, FRAUD)) == {"partners"}


async def test_a_referral_is_told_and_ends_nothing(world: World) -> None:
    case = await _assessed(world, "trafficking")
    refer = Proposal(
        action=Action.REFER, reason="Keeps passports.", ground=_law("ma.penal-code.448-1"),
        authorities=("dgsn",),
    )  # fmt: skip
    case = await world.desk.decide(ANA, case.id, refer)
    (request,) = world.emitted(topics.REFERRAL_REQUESTED_V1)
    assert request.referral_id == request_id(case.id, "dgsn", 1)
    assert (request.authority, request.language, request.reports) == ("dgsn", "ar", 1)
    assert case.resend_at is not None
    await world.deliver(world.referral(case.id, "dgsn", 1, ReferralState.DELIVERED))
    await world.deliver(world.referral(case.id, "dgsn", 2, ReferralState.ACKNOWLEDGED))
    case = world.case()
    assert (case.state, case.resend_at) == (CaseState.IN_PROGRESS, None)
    assert case.referrals[request.referral_id].state is ReferralState.ACKNOWLEDGED


async def test_a_failed_referral_calls_for_a_person(world: World) -> None:
    case = await _assessed(world, "trafficking")
    refer = Proposal(
        action=Action.REFER, reason="x", ground=_law("ma.penal-code.448-1"), authorities=("dgsn",)
    )
    case = await world.desk.decide(ANA, case.id, refer)
    world.clock.advance(timedelta(hours=1))
    await world.handlers.watch()
    assert len(world.emitted(topics.REFERRAL_REQUESTED_V1)) == 2
    await world.deliver(world.referral(case.id, "dgsn", 1, ReferralState.FAILED))
    assert "referral_failed" in world.case().attention
    await world.desk.claim(ANA, case.id)
    done = await world.desk.release(ANA, case.id, done=True)
    assert done.attention == ()


async def test_closing_and_advising_tell_the_reporter_why(world: World) -> None:
    case = await _assessed(world, "lawful_objectionable")
    case = await world.desk.decide(ANA, case.id, CLOSE)
    told = world.emitted(topics.CASE_UPDATED_V1)[-1]
    assert (case.state, told.change, told.reason) == (CaseState.CLOSED, "closed", "no_ground")
    advise = Proposal(action=Action.ADVISE, reason="x", advice="family-settings")
    with pytest.raises(IllegalTransition):
        await world.desk.decide(ANA, case.id, advise)
    await world.desk.reopen(ANA, case.id, "A second thought.")
    await world.desk.decide(ANA, case.id, advise)
    told = world.emitted(topics.CASE_UPDATED_V1)[-1]
    assert (told.reason, told.advice) == ("advised", "family-settings")


async def test_closing_takes_a_waiting_proposal_back(world: World) -> None:
    case = await _assessed(world, "hate_speech")
    case = await world.desk.decide(ANA, case.id, HATE)
    await world.desk.claim(ANA, case.id)
    case = await world.desk.decide(ANA, case.id, CLOSE)
    assert (case.state, case.pending(), case.confirm_due, case.queued) == (
        CaseState.CLOSED, [], None, False,
    )  # fmt: skip
    assert world.dispatched() == []


async def test_a_case_in_progress_is_closed_when_nobody_is_waited_for(world: World) -> None:
    await world.arrives(PAGE, category="csam")  # leaves at once, to be confirmed by a person
    case = await world.held(ANA)
    with pytest.raises(Refused, match="partner"):
        await world.desk.decide(ANA, case.id, CLOSE)
    await world.deliver(world.answer(case.id, "iwf", 1, DispatchState.REFUSED))
    assert world.case().state is CaseState.UNRESOLVED
    with pytest.raises(Refused, match="Another person"):
        await world.desk.decide(ANA, case.id, CLOSE)
    yes = Confirmation(decision_id=world.case().pending()[0].id, confirm=True)
    await world.desk.second_look(ANA, case.id, yes)
    assert (await world.desk.decide(ANA, case.id, CLOSE)).state is CaseState.CLOSED


async def test_a_case_that_was_only_referred_is_closed_by_a_person(world: World) -> None:
    case = await _assessed(world, "trafficking")
    refer = Proposal(
        action=Action.REFER, reason="x", ground=_law("ma.penal-code.448-1"), authorities=("dgsn",)
    )
    case = await world.desk.decide(ANA, case.id, refer)
    await world.desk.claim(BEA, case.id)
    yes = Confirmation(decision_id=case.pending()[0].id, confirm=True)
    await world.desk.second_look(BEA, case.id, yes)
    done = CLOSE.model_copy(update={"close_reason": CloseReason.ADVISED})
    case = await world.desk.decide(BEA, case.id, done)
    assert (case.state, case.queued, case.resend_at) == (CaseState.CLOSED, False, None)


async def test_a_reopened_case_asks_again_under_a_new_id(world: World) -> None:
    case = await _assessed(world, "scam_fraud")
    await world.desk.decide(ANA, case.id, FRAUD)
    with pytest.raises(IllegalTransition):
        await world.desk.reopen(ANA, case.id, "x")
    await world.deliver(world.answer(case.id, "meta", 1, DispatchState.REFUSED))
    assert await _fields(world.desk.reopen(ANA, case.id, "")) == {"reason"}
    case = await world.desk.reopen(ANA, case.id, "New evidence.")
    assert (case.state, case.round, case.assessment) == (CaseState.OPEN, 2, None)
    await world.desk.assess(ANA, case.id, said(world.pack, "scam_fraud"))
    await world.desk.decide(ANA, case.id, FRAUD)
    assert len({d.dispatch_id for d in world.dispatched()}) == 2


# -- writing ---------------------------------------------------------------------------------------


async def test_a_message_goes_to_one_reporter_under_their_seal(world: World) -> None:
    report_id = await world.arrives(URL, category="scam_fraud")
    case = await world.held(ANA)
    letter = MessageRequest(report_id=report_id, text="Avez-vous payé ?", question=True)
    await world.desk.write(ANA, case.id, letter)
    (sent,) = world.emitted(topics.STAFF_MESSAGE_SENT_V1)
    assert (sent.report_id, sent.case_id, sent.question) == (report_id, case.id, True)
    assert await world.hub.unit().keys.open(sent.body, "report.message") == "Avez-vous payé ?"
    assert "payé" not in world.everything()
    sheet = await world.desk.read(ANA, case.id)
    assert [(m.message.by, m.text) for m in sheet.messages] == [(ANA.name, "Avez-vous payé ?")]


async def test_nobody_is_written_to_through_another_case(world: World) -> None:
    other = await world.arrives(PAGE)
    await world.arrives(URL)
    case = await world.held(ANA, world.case_id(URL))
    letter = MessageRequest(report_id=other, text="x")
    assert await _fields(world.desk.write(ANA, case.id, letter)) == {"report_id"}


async def test_an_erased_reporter_cannot_be_written_to(world: World) -> None:
    report_id = await world.arrives(URL)
    case = await world.held(ANA)
    uow = world.hub.unit()
    await uow.keys.destroy(report_id)
    await world.hub.commit(uow)
    with pytest.raises(KeyDestroyed):
        await world.desk.write(ANA, case.id, MessageRequest(report_id=report_id, text="x"))


# -- every sample, as its analyst would ------------------------------------------------------------


async def test_what_the_samples_analysts_do_is_lawful(
    world: World, samples: list[dict[str, Any]]
) -> None:
    cases: dict[str, str] = {}
    for row in samples:
        if row["expected_intake"] != "accepted" or row["duplicate_of"]:
            continue
        fields = ("category", "danger_now", "under_18", "under_13", "consent_authority")
        facts = {f: row[f] for f in fields if row.get(f) is not None}
        report_id = await world.arrives(*row["urls"], text=row["text"], **facts)
        (cases[row["id"]],) = world.reports()[report_id].cases
    for row in samples:
        case_id = cases.get(row["id"])
        if case_id is None:
            continue
        await world.desk.claim(ANA, case_id)
        script = row["analyst"]
        if judged := script.get("assessment"):
            judged["answers"] = answers(world.pack, judged["category"])
            request = AssessmentRequest.model_validate_json(_json(judged))
            case = await world.desk.assess(ANA, case_id, request)
            assert case.severity == row["expected_severity"], row["id"]
        for wanted in script["decisions"]:
            proposal = Proposal.model_validate_json(_json(wanted))
            await world.desk.decide(ANA, case_id, proposal)
        for waiting in world.case(case_id).pending():
            await world.desk.claim(LEA, case_id)
            own = OwnJudgement(
                category=waiting.category or "", answers=answers(world.pack, waiting.category or "")
            )
            yes = Confirmation(decision_id=waiting.id, confirm=True, assessment=own)
            await world.desk.second_look(LEA, case_id, yes)
        ends = {w["action"] for w in script["decisions"]} & {"advise", "close"}
        state = world.case(case_id).state
        assert state is (CaseState.CLOSED if ends else CaseState.IN_PROGRESS), row["id"]
        assert broken_link(world.case(case_id), world.audit(world.case(case_id))) is None
    never = {"lawful_objectionable", "other_illegal", "out_of_scope"}
    assert not {d.category for d in world.dispatched()} & never


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()
