# SPDX-License-Identifier: Apache-2.0
"""Assessments made of answers, second people who judge apart, and what nobody views twice."""

from typing import Any

import pytest
from triage_world import ANA, BEA, LEA, RABAT, SUE, World, agreeing, answers, said
from wasl_schemas import topics
from wasl_schemas.events.common import Ground, GroundKind, Severity
from wasl_schemas.lifecycle import CaseState, DispatchState
from wasl_schemas.taxonomy import Signal
from wasl_triage.desk import (
    Amendment,
    AssessmentRequest,
    Confirmation,
    Forbidden,
    NotLawful,
    OwnJudgement,
    Refused,
)
from wasl_triage.domain.case import Action, Attention, Case, Measure
from wasl_triage.domain.decisions import Proposal, Screen
from wasl_triage.domain.people import Person, Role
from wasl_triage.quality.agreeing import Agreements

URL = "https://www.facebook.com/permalink.php?story_fbid=23&id=100000000000023"
CLEAR = Screen(
    opinion=False, satire=False, journalism=False, research=False, religion=False,
    public_interest=False,
)  # fmt: skip
HATE = Proposal(
    action=Action.DISPATCH, reason="SECRET-REASON", measure=Measure.LABEL, rabat=RABAT,
    ground=Ground(kind=GroundKind.TERMS, ref="terms.hate"), partners=("meta",), screen=CLEAR,
)  # fmt: skip
REFER = Proposal(
    action=Action.REFER, reason="A link to it.", authorities=("dgsn",),
    ground=Ground(kind=GroundKind.LAW, ref="ma.penal-code.503-2"),
)  # fmt: skip
LOU = Person(name="legal-2", roles=frozenset({Role.LEGAL_REVIEWER, Role.CHILD_SAFETY}))


async def _missing(attempt: Any) -> dict[str, str]:
    with pytest.raises(NotLawful) as refused:
        await attempt
    assert all(m.fix for m in refused.value.missing)
    return {m.field: m.told()[0] for m in refused.value.missing}


async def _proposed(world: World, category: str = "hate_speech") -> Case:
    """A proposal of ANA's that waits; reporters had called it something else."""
    await world.arrives(URL, category="cyber_harassment", text="Words of a reporter.")
    case = await world.held(ANA)
    note = "It is about a group of people. SECRET-NOTE"
    await world.desk.assess(ANA, case.id, said(world.pack, category, note=note))
    await world.desk.decide(ANA, case.id, HATE)
    return world.case()


def _own(world: World, category: str) -> OwnJudgement:
    return OwnJudgement(category=category, answers=answers(world.pack, category))


# -- answers ---------------------------------------------------------------------------------------


async def test_every_question_of_the_category_is_answered(world: World) -> None:
    await world.arrives(URL, category="threats")
    case = await world.held(ANA)
    bare = AssessmentRequest(category="threats")
    asked = world.pack.desk.questions_for("threats")
    missing = await _missing(world.desk.assess(ANA, case.id, bare))
    assert missing == {f"answers.{q.id}": f"is missing: {q.text['en']}" for q in asked}
    strange = {**answers(world.pack, "threats"), "pretends": "yes"}
    wrong = AssessmentRequest(category="threats", answers=strange)
    assert set(await _missing(world.desk.assess(ANA, case.id, wrong))) == {"answers"}
    assert world.case().assessment is None


@pytest.mark.parametrize(
    ("answer", "reported", "there"),
    [("yes", False, True), ("no", True, False), ("unsure", True, True), ("unsure", False, False)],
)
async def test_an_answer_confirms_or_dismisses_its_signal(
    world: World, answer: str, reported: bool, there: bool
) -> None:
    await world.arrives(URL, category="threats", danger_now=reported)
    case = await world.held(ANA)
    given = {**answers(world.pack, "threats"), "danger": answer}
    request = AssessmentRequest(category="threats", answers=given)
    case = await world.desk.assess(ANA, case.id, request)
    assert case.assessment is not None
    assert case.assessment.answers == given
    assert case.assessment.over == ("threats",)
    sheet = await world.desk.read(ANA, case.id)
    assert (Signal.IMMEDIATE_DANGER in sheet.signals) is there
    assert (case.severity is Severity.CRITICAL) is there


async def test_answers_and_ticks_add_up_and_may_not_contradict(world: World) -> None:
    await world.arrives(URL, category="threats")
    case = await world.held(ANA)
    given = {**answers(world.pack, "threats"), "address-shown": "yes", "danger": "no"}
    both = AssessmentRequest(category="threats", answers=given, signals=(Signal.PRESS,))
    case = await world.desk.assess(ANA, case.id, both)
    assert case.assessment is not None
    assert {"press", "address_published", "threatened"} == set(case.assessment.confirmed)
    assert case.assessment.dismissed == ("immediate_danger",)
    for field, signal in (("signals", Signal.IMMEDIATE_DANGER), ("dismissed", Signal.THREATENED)):
        wrong = both.model_copy(update={field: (signal,)})
        assert set(await _missing(world.desk.assess(ANA, case.id, wrong))) == {field}


async def test_what_reporters_chose_stays_beside_what_the_analyst_says(world: World) -> None:
    case = await _proposed(world)
    assert case.reported == {"cyber_harassment": 1}
    assert case.category == "hate_speech"


# -- judged blind ----------------------------------------------------------------------------------


async def test_the_second_person_is_not_told_what_the_first_one_said(world: World) -> None:
    case = await _proposed(world)
    for reader in (LEA, BEA, SUE):
        sheet = await world.desk.read(reader, case.id)
        assert sheet.blinded
        assert (sheet.case.assessment, sheet.case.category) == (None, "cyber_harassment")
        assert (sheet.notes, sheet.proposals) == ({}, {})
        (row,) = sheet.case.decisions
        assert (row.id, row.by, row.action) == (case.decisions[0].id, ANA.name, Action.DISPATCH)
        assert (row.category, row.ground, row.partners, row.proposal) == (None, None, (), None)
        shown = str(sheet)
        assert not [w for w in ("hate", "SECRET", "trait", "meta") if w in shown], shown
        assert sheet.reports[0].narrative == "Words of a reporter."
    rows, broken = await world.desk.trail(SUE, case.id)
    assert broken is None
    assert "hate_speech" not in {r.why for r in rows}
    mine = await world.desk.read(ANA, case.id)
    assert (mine.blinded, mine.notes[case.decisions[0].id]) == (False, "SECRET-REASON")
    assert mine.proposals[case.decisions[0].id] == HATE
    (line,) = await world.desk.queue(LEA, 5)
    held = await world.desk.claim(LEA, case.id)
    for shown_case in (line, held):
        assert (shown_case.category, shown_case.assessment) == ("cyber_harassment", None)
    assert world.case().assessment is not None  # nothing was lost of it
    assert world.case().decisions[0].ground == HATE.ground


async def test_a_judgement_comes_before_the_answer_and_opens_the_rest(world: World) -> None:
    case = await _proposed(world)
    waiting = case.decisions[0].id
    await world.desk.claim(LEA, case.id)
    yes = Confirmation(decision_id=waiting, confirm=True)
    assert set(await _missing(world.desk.second_look(LEA, case.id, yes))) == {"assessment"}
    thin = OwnJudgement(category="hate_speech")
    bare = Confirmation(decision_id=waiting, assessment=thin)
    missing = await _missing(world.desk.second_look(LEA, case.id, bare))
    assert "assessment.answers.trait" in missing
    unknown = Confirmation(decision_id=waiting, assessment=_own(world, "hate_speech").model_copy(
        update={"category": "no-such"}
    ))  # fmt: skip
    missing = await _missing(world.desk.second_look(LEA, case.id, unknown))
    assert set(missing) == {"assessment.category"}
    first = Confirmation(decision_id=waiting, assessment=_own(world, "hate_speech"))
    case = await world.desk.second_look(LEA, case.id, first)
    assert (case.state, world.dispatched()) == (CaseState.SECOND_LOOK, [])
    opened = await world.desk.read(LEA, case.id)
    assert (opened.blinded, opened.notes[waiting]) == (False, "SECRET-REASON")
    assert (await world.desk.read(BEA, case.id)).blinded
    again = await _missing(world.desk.second_look(LEA, case.id, first))
    assert set(again) == {"assessment"}
    case = await world.desk.second_look(LEA, case.id, yes)
    assert (case.state, len(world.dispatched())) == (CaseState.IN_PROGRESS, 1)
    assert [r.what for r in world.audit(case)][-4:] == ["judge", "read", "read", "confirm"]
    figures = await Agreements(world.hub).own(LEA, case.opened_at)
    assert (figures.blind.n, figures.blind.observed, figures.confirmed) == (1, 1.0, 1)


async def test_two_categories_end_the_proposal_and_both_are_kept(world: World) -> None:
    case = await _proposed(world)
    await world.desk.claim(LEA, case.id)
    other = Confirmation(
        decision_id=case.decisions[0].id, confirm=True,
        assessment=_own(world, "lawful_objectionable"),
    )  # fmt: skip
    case = await world.desk.second_look(LEA, case.id, other)
    assert (case.state, world.dispatched()) == (CaseState.ASSESSED, [])
    assert case.attention == (Attention.DISAGREEMENT,)
    assert case.queued
    assert case.assessment is not None
    assert (case.assessment.category, case.assessment.by) == ("hate_speech", ANA.name)
    (judgement,) = case.decisions[0].judgements
    assert (judgement.category, judgement.by) == ("lawful_objectionable", LEA.name)
    assert judgement.answers == answers(world.pack, "lawful_objectionable")
    assert world.audit(case)[-1].what == "disagree"
    figures = await Agreements(world.hub).own(ANA, case.opened_at)
    assert (figures.blind.n, figures.blind.kappa, figures.rejected) == (1, 0.0, 1)


async def test_an_unlawful_confirmation_keeps_no_judgement(world: World) -> None:
    case = await _proposed(world)
    await world.desk.claim(BEA, case.id)
    yes = agreeing(world.pack, case, "hate_speech")
    missing = await _missing(world.desk.second_look(BEA, case.id, yes))
    assert "legal reviewer" in missing["confirmed_by"]
    assert world.case().decisions[0].judgements == ()
    assert world.hub.store.docs.get("agreements", {}) == {}


async def test_the_assessor_is_no_second_person_where_it_is_blind(world: World) -> None:
    await world.arrives(URL, category="hate_speech")
    case = await world.held(LEA)
    await world.desk.assess(LEA, case.id, said(world.pack, "hate_speech"))
    await world.desk.release(LEA, case.id, done=False)
    await world.desk.claim(ANA, case.id)
    case = await world.desk.decide(ANA, case.id, HATE)
    await world.desk.claim(LEA, case.id)
    yes = agreeing(world.pack, case, "hate_speech")
    assert set(await _missing(world.desk.second_look(LEA, case.id, yes))) == {"confirmed_by"}
    no = Confirmation(decision_id=case.decisions[0].id, confirm=False, reason="A quotation.")
    assert (await world.desk.second_look(LEA, case.id, no)).state is CaseState.ASSESSED


async def test_a_no_needs_no_judgement_and_counts_as_no_agreement(world: World) -> None:
    case = await _proposed(world)
    await world.desk.claim(BEA, case.id)
    no = Confirmation(decision_id=case.decisions[0].id, confirm=False, reason="Not now.")
    case = await world.desk.second_look(BEA, case.id, no)
    assert (case.state, case.attention) == (CaseState.ASSESSED, ())
    figures = await Agreements(world.hub).own(BEA, case.opened_at)
    assert (figures.blind.n, figures.blind.kappa, figures.rejected) == (0, None, 1)


async def test_an_open_second_look_says_yes_or_no(world: World) -> None:
    await world.arrives(URL, category="trafficking")
    case = await world.held(ANA)
    await world.desk.assess(ANA, case.id, said(world.pack, "trafficking"))
    law = Ground(kind=GroundKind.LAW, ref="ma.penal-code.448-1")
    refer = REFER.model_copy(update={"ground": law})
    case = await world.desk.decide(ANA, case.id, refer)
    await world.desk.claim(BEA, case.id)
    nothing = Confirmation(decision_id=case.decisions[0].id)
    assert set(await _missing(world.desk.second_look(BEA, case.id, nothing))) == {"confirm"}
    assert not (await world.desk.read(BEA, case.id)).blinded
    await world.desk.second_look(BEA, case.id, agreeing(world.pack, case))
    figures = await Agreements(world.hub).own(BEA, case.opened_at)
    assert (figures.blind.n, figures.confirmed) == (0, 1)


async def test_figures_name_nobody_and_ones_own_are_ones_own(world: World) -> None:
    case = await _proposed(world)
    await world.desk.claim(LEA, case.id)
    yes = agreeing(world.pack, case, "hate_speech")
    await world.desk.second_look(LEA, case.id, yes)
    agreements = Agreements(world.hub)
    told = await agreements.own(ANA, case.opened_at)
    assert told.categories["hate_speech"].n == 1
    assert not [p for p in (ANA, LEA) if p.name in str(told)]
    for person, n in ((ANA, 1), (LEA, 1), (LOU, 0)):
        assert (await agreements.own(person, case.opened_at)).blind.n == n
    auditor = Person(name="auditor-1", roles=frozenset({Role.AUDITOR}))
    with pytest.raises(Forbidden):
        await agreements.own(auditor, case.opened_at)
    assert (await agreements.own(ANA, world.later(seconds=1))).blind.n == 0


# -- viewed once -----------------------------------------------------------------------------------


async def _referred(world: World) -> Case:
    text = "What it shows. 06 00 00 00 05"
    report_id = await world.arrives(URL, category="csam", text=text, consent_partner=False)
    await world.deliver(await world.message(report_id, "More of it."))
    case = await world.held(ANA)
    await world.desk.assess(ANA, case.id, said(world.pack, "csam"))
    await world.desk.decide(ANA, case.id, REFER)
    return world.case()


async def test_the_second_person_checks_data_and_routing_only(world: World) -> None:
    case = await _referred(world)
    sheet = await world.desk.read(BEA, case.id)
    assert sheet.closed
    assert [r.narrative for r in sheet.reports] == [None]
    assert sheet.messages == ()
    assert sheet.case.decisions[0].authorities == ("dgsn",)
    assert sheet.item is not None
    with pytest.raises(Refused, match="second time"):
        await world.desk.read(BEA, case.id, unredacted=True)
    assert [r.what for r in world.audit(world.case()) if r.who == BEA.name] == ["read"]
    first = await world.desk.read(ANA, case.id, unredacted=True)
    assert (first.closed, first.reports[0].narrative) == (False, "What it shows. 06 00 00 00 05")
    await world.desk.claim(BEA, case.id)
    await world.desk.second_look(BEA, case.id, agreeing(world.pack, case))
    assert world.case().pending() == []


async def test_a_machines_decision_is_looked_at_by_the_first_person(world: World) -> None:
    await world.arrives("https://example.com/fictional/item-0001", category="csam", text="A page.")
    case = world.case()
    assert case.decisions[0].automatic
    sheet = await world.desk.read(ANA, case.id)
    assert (sheet.closed, sheet.reports[0].narrative) == (False, "A page.")


# -- rounds and amendments -------------------------------------------------------------------------


async def test_what_has_left_is_looked_at_whatever_round_has_begun(world: World) -> None:
    await world.arrives(URL, category="threats")
    case = await world.held(ANA)
    await world.desk.assess(ANA, case.id, said(world.pack, "threats"))
    threat = Proposal(
        action=Action.DISPATCH, reason="x", partners=("meta",),
        ground=Ground(kind=GroundKind.LAW, ref="ma.penal-code.425-429"),
    )  # fmt: skip
    case = await world.desk.decide(ANA, case.id, threat)
    await world.deliver(world.answer(case.id, "meta", 1, DispatchState.REMOVED))
    await world.desk.claim(ANA, case.id)
    case = await world.desk.reopen(ANA, case.id, "Seen again.")
    assert [d.id for d in case.pending()] == [case.decisions[0].id]
    assert case.confirm_due is not None
    yes = agreeing(world.pack, case)
    assert set(await _missing(world.desk.second_look(ANA, case.id, yes))) == {"confirmed_by"}
    await world.desk.release(ANA, case.id, done=False)
    await world.desk.claim(BEA, case.id)
    case = await world.desk.second_look(BEA, case.id, yes)
    assert (case.state, case.pending(), case.confirm_due) == (CaseState.OPEN, [], None)


async def test_a_rejected_proposal_makes_nobody_the_second_person(world: World) -> None:
    """Who first decided a request may not reword it, whoever proposed it in vain since."""
    case = await _proposed(world)
    await world.desk.claim(LEA, case.id)
    await world.desk.second_look(LEA, case.id, agreeing(world.pack, case, "hate_speech"))
    await world.deliver(world.answer(case.id, "meta", 1, DispatchState.SENT))
    await world.deliver(world.answer(case.id, "meta", 2, DispatchState.NO_REPLY))
    await world.desk.reopen(LEA, case.id, "Asked in vain.")
    await world.desk.assess(LEA, case.id, said(world.pack, "hate_speech"))
    await world.desk.decide(LEA, case.id, HATE)
    await world.desk.claim(BEA, case.id)
    no = Confirmation(decision_id=world.case().pending()[0].id, confirm=False, reason="Not again.")
    await world.desk.second_look(BEA, case.id, no)
    await world.desk.release(BEA, case.id, done=False)
    promoted = ANA.model_copy(update={"roles": ANA.roles | {Role.LEGAL_REVIEWER}})
    await world.desk.claim(promoted, case.id)
    words = Amendment(action="correct", reason="x", explanation="Other words.", screen=CLEAR)
    request = next(iter(world.case().dispatches))
    missing = await _missing(world.desk.amend(promoted, case.id, request, words))
    assert missing == {"confirmed_by": "is the person who proposed it"}


async def test_the_measure_travels_and_a_harsher_one_follows_a_milder(world: World) -> None:
    case = await _proposed(world)
    await world.desk.claim(LEA, case.id)
    await world.desk.second_look(LEA, case.id, agreeing(world.pack, case, "hate_speech"))
    assert [d.measure for d in world.dispatched()] == ["label"]
    await world.deliver(world.answer(case.id, "meta", 1, DispatchState.SENT))
    harsher = Amendment(action="correct", reason="x", measure=Measure.REMOVE, screen=CLEAR)
    request = next(iter(world.case().dispatches))
    missing = await _missing(world.desk.amend(LEA, case.id, request, harsher))
    assert set(missing) == {"measure_note"}
    await world.deliver(world.answer(case.id, "meta", 2, DispatchState.REFUSED))
    await world.desk.reopen(LEA, case.id, "A label was refused.")
    await world.desk.assess(LEA, case.id, said(world.pack, "hate_speech"))
    remove = HATE.model_copy(update={"measure": Measure.GEO_RESTRICT})
    case = await world.desk.decide(LEA, case.id, remove)
    await world.desk.claim(BEA, case.id)
    await world.desk.second_look(BEA, case.id, agreeing(world.pack, case, "hate_speech"))
    assert [d.measure for d in world.dispatched()] == ["label", "geo_restrict"]
    assert world.case().decisions[-1].law_version == f"ma@{world.pack.info.version}"


async def test_a_case_that_came_under_a_lawyers_eyes_since_takes_a_lawyer(world: World) -> None:
    await world.arrives(URL, category="incitement_violence")
    case = await world.held(ANA)
    await world.desk.assess(ANA, case.id, said(world.pack, "incitement_violence"))
    violence = Ground(kind=GroundKind.TERMS, ref="terms.violence")
    case = await world.desk.decide(ANA, case.id, HATE.model_copy(update={"ground": violence}))
    held = world.hub.store.docs["cases"][case.id]
    held["legal_review"] = True
    await world.desk.claim(BEA, case.id)
    missing = await _missing(world.desk.second_look(BEA, case.id, agreeing(world.pack, case)))
    assert "legal reviewer" in missing["confirmed_by"]
    assert world.emitted(topics.dispatch_requested_v1("reference")) == []
