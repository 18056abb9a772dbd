# SPDX-License-Identifier: Apache-2.0
"""The law of decisions, on all 26 categories of the pack."""

from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from triage_world import RABAT, answers
from wasl_schemas.country_pack import CountryPack, ReferWhen
from wasl_schemas.events.common import Ground, GroundKind
from wasl_schemas.taxonomy import FourEyes, Safeguard, Signal
from wasl_triage.domain.case import MEASURES, Action, Measure
from wasl_triage.domain.decisions import (
    CaseFacts,
    CloseReason,
    Proposal,
    Rabat,
    Screen,
    check_decision,
    check_second,
    four_eyes,
    law_version,
    route_for,
    stricter,
)
from wasl_triage.domain.people import Person, Role

ON = date(2026, 1, 5)
CONNECTORS = ("reference", "webhook")
ANA = Person(name="analyst-1", roles=frozenset({Role.ANALYST}))
BEA = Person(name="analyst-2", roles=frozenset({Role.ANALYST}))
LEA = Person(name="legal-1", roles=frozenset({Role.LEGAL_REVIEWER}))
SUE = Person(name="supervisor-1", roles=frozenset({Role.SUPERVISOR}))
CLEAR = Screen(
    opinion=False,
    satire=False,
    journalism=False,
    research=False,
    religion=False,
    public_interest=False,
)
FACTS = CaseFacts(
    category=None,
    platform="facebook",
    kind="post",
    located=True,
    signals=frozenset(),
    reports=1,
    consent_partner=1,
    consent_authority=1,
)
DANGER = frozenset({Signal.IMMEDIATE_DANGER, Signal.MINOR_VICTIM})
ALL = [
    "csam", "child_grooming", "sextortion", "intimate_image_abuse", "child_exposure",
    "cyberbullying", "cyber_harassment", "threats", "suicide_selfharm", "privacy_violation",
    "personal_data", "impersonation", "defamation", "hate_speech", "incitement_violence",
    "terrorism", "violent_content", "disinformation", "age_inappropriate", "lawful_objectionable",
    "scam_fraud", "phishing_malware", "trafficking", "illegal_goods", "other_illegal",
    "out_of_scope",
]  # fmt: skip
ANSWERS: dict[str, dict[str, str]] = {}
NEVER = {"lawful_objectionable", "other_illegal", "out_of_scope"}
LEAVE = [c for c in ALL if c not in NEVER]


def _facts(category: str | None, **changes: Any) -> CaseFacts:
    given = {"answers": ANSWERS.get(category or "", {}), **changes}
    return replace(FACTS, category=category, **given)


@pytest.fixture(autouse=True)
def _answered(pack: CountryPack) -> None:
    """Facts hold whatever the pack asks, so that each test takes one thing away."""
    ANSWERS.update({c: answers(pack, c) for c in pack.categories})


def _good(pack: CountryPack, category: str, action: Action = Action.DISPATCH) -> Proposal:
    """A proposal with nothing missing; for categories nobody takes, as good as it gets."""
    grounds = pack.grounds_for(category)
    if action is Action.REFER:
        grounds = tuple(g for g in grounds if g.kind is GroundKind.LAW)
    route = route_for(pack, category, "facebook", ON)
    refer = action is Action.REFER
    return Proposal(
        action=action,
        reason="It harms a person.",
        ground=grounds[0] if grounds else Ground(kind=GroundKind.TERMS, ref="terms.none"),
        partners=() if refer else tuple(p.id for p in route.partners[:1]) if route else ("meta",),
        authorities=tuple(a.id for a, _ in route.authorities[:1])
        if refer and route
        else ("dgsn",)
        if refer
        else (),
        screen=CLEAR,
        rabat=RABAT,
        measure=None if refer else Measure.LABEL,
    )


def _missing(
    pack: CountryPack, facts: CaseFacts, proposal: Proposal, by: Person = ANA, **more: Any
) -> set[str]:
    found = check_decision(
        pack, facts, proposal, by, **{"on": ON, "connectors": CONNECTORS, **more}
    )
    assert all(m.message and m.fix for m in found)
    return {m.field for m in found}


def test_this_test_knows_every_category(pack: CountryPack) -> None:
    assert sorted(ALL) == sorted(pack.categories)


@pytest.mark.parametrize("category", LEAVE)
def test_a_complete_proposal_goes_through(pack: CountryPack, category: str) -> None:
    assert _missing(pack, _facts(category), _good(pack, category)) == set()


@pytest.mark.parametrize("category", sorted(NEVER))
@pytest.mark.parametrize("action", [Action.DISPATCH, Action.REFER])
@pytest.mark.parametrize("by", [ANA, LEA])
def test_what_never_leaves_never_leaves(
    pack: CountryPack, category: str, action: Action, by: Person
) -> None:
    for proposal in (
        _good(pack, category, action),
        _good(pack, category, action).model_copy(
            update={"exception": "It cannot wait.", "screen_note": "Unlawful all the same."}
        ),
    ):
        found = check_decision(
            pack, _facts(category, signals=DANGER), proposal, by, on=ON, connectors=CONNECTORS
        )
        assert [m.field for m in found] == ["category"]
        assert "assess it again" in found[0].fix


@pytest.mark.parametrize("category", ALL)
@pytest.mark.parametrize("action", [Action.DISPATCH, Action.REFER])
def test_nothing_leaves_before_an_assessment(
    pack: CountryPack, category: str, action: Action
) -> None:
    proposal = _good(pack, category, action)
    assert _missing(pack, _facts(None), proposal) == {"assessment"}


@pytest.mark.parametrize("category", LEAVE)
def test_every_request_names_a_ground_that_fits(pack: CountryPack, category: str) -> None:
    good = _good(pack, category)
    other = next(g for c in LEAVE for g in pack.grounds_for(c) if not pack.ground_fits(g, category))
    for ground in (
        None,
        other,
        Ground(kind=GroundKind.LAW, ref="ma.no-such-law"),
        Ground(kind=GroundKind.UNKNOWN, ref=good.ground.ref if good.ground else "x"),
        Ground(kind=GroundKind.LAW, ref="ma.draft-platform-law"),  # not in force
    ):
        assert _missing(pack, _facts(category), good.model_copy(update={"ground": ground})) == {
            "ground"
        }


@pytest.mark.parametrize("category", LEAVE)
def test_an_authority_is_told_on_a_law_only(pack: CountryPack, category: str) -> None:
    route = route_for(pack, category, "facebook", ON)
    assert route is not None
    proposal = _good(pack, category, Action.REFER)
    if not route.authorities:
        assert "authorities" in _missing(pack, _facts(category), proposal)
        return
    facts = _facts(category, signals=DANGER)
    assert _missing(pack, facts, proposal) == set()
    terms = [g for g in pack.grounds_for(category) if g.kind is GroundKind.TERMS]
    for ground in terms:
        assert _missing(pack, facts, proposal.model_copy(update={"ground": ground})) == {"ground"}


@pytest.mark.parametrize("category", LEAVE)
def test_the_protected_speech_screen(pack: CountryPack, category: str) -> None:
    good = _good(pack, category)
    screened = pack.category(category).expression_safeguard in (Safeguard.FE2, Safeguard.FE3)
    without = good.model_copy(update={"screen": None})
    assert _missing(pack, _facts(category), without) == ({"screen"} if screened else set())
    for question in Screen.model_fields:
        flagged = good.model_copy(update={"screen": CLEAR.model_copy(update={question: True})})
        wanted = {"screen_note"} if screened else set()
        assert _missing(pack, _facts(category), flagged) == wanted
        noted = flagged.model_copy(update={"screen_note": "It calls for violence."})
        assert _missing(pack, _facts(category), noted) == set()


@pytest.mark.parametrize("category", LEAVE)
def test_speech_is_asked_about_item_by_item(pack: CountryPack, category: str) -> None:
    speech = pack.category(category).expression_safeguard is Safeguard.FE3
    account = _good(pack, category).model_copy(update={"target": "account"})
    assert _missing(pack, _facts(category), account) == ({"target"} if speech else set())
    for kind in ("account", "channel", "group", "site"):
        found = _missing(pack, _facts(category, kind=kind), _good(pack, category))
        assert found == ({"item"} if speech else set())


@pytest.mark.parametrize("category", ALL)
def test_how_many_people_it_takes(pack: CountryPack, category: str) -> None:
    known = pack.category(category)
    for action in (Action.CLOSE, Action.ADVISE):
        assert four_eyes(known, action) is FourEyes.NONE
    asked = four_eyes(known, Action.DISPATCH)
    if known.expression_safeguard in (Safeguard.FE3, Safeguard.FE3_BLOCK):
        assert asked is FourEyes.PRE_LEGAL
    else:
        assert asked is known.four_eyes
    assert four_eyes(known, Action.REFER, legal_review=True) is FourEyes.PRE_LEGAL


@pytest.mark.parametrize("category", LEAVE)
def test_the_second_person_is_another_person_and_a_lawyer_for_speech(
    pack: CountryPack, category: str
) -> None:
    known = pack.category(category)
    asked = four_eyes(known, Action.DISPATCH)

    def missing(proposer: Person, second: Person) -> set[str]:
        return {m.field for m in check_second(pack, category, asked, proposer, second)}

    assert "confirmed_by" in missing(ANA, ANA)
    assert "confirmed_by" in missing(LEA, LEA)
    assert "role" in missing(ANA, SUE)
    assert missing(ANA, LEA) == set()
    assert missing(LEA, BEA) == set()
    both = Person(name=ANA.name, roles=frozenset(Role))
    assert "confirmed_by" in missing(ANA, both)
    legal = asked is FourEyes.PRE_LEGAL
    assert missing(ANA, BEA) == ({"confirmed_by"} if legal else set())


def test_held_cases_need_a_lawyer_whatever_the_category(pack: CountryPack) -> None:
    assert four_eyes(pack.category("scam_fraud"), Action.DISPATCH, legal_review=True) is (
        FourEyes.PRE_LEGAL
    )


def test_only_judges_decide_and_always_with_a_reason(pack: CountryPack) -> None:
    good = _good(pack, "scam_fraud")
    assert _missing(pack, _facts("scam_fraud"), good, SUE) == {"role"}
    assert _missing(pack, _facts("scam_fraud"), good.model_copy(update={"reason": ""})) == {
        "reason"
    }


@pytest.mark.parametrize(
    ("partners", "more"),
    [
        ((), {}),
        (("tiktok",), {}),
        (("no-such-partner",), {}),
        (("meta", "meta"), {}),
        (("meta",), {"asked": ["meta"]}),
        (("meta",), {"connectors": ["reference"]}),
    ],
)
def test_partners_are_the_routes_and_asked_once(
    pack: CountryPack, partners: tuple[str, ...], more: dict[str, Any]
) -> None:
    proposal = _good(pack, "scam_fraud").model_copy(update={"partners": partners})
    assert _missing(pack, _facts("scam_fraud"), proposal, **more) == {"partners"}


def test_a_partner_without_an_agreement_that_day_is_not_asked(pack: CountryPack) -> None:
    before = date(2019, 1, 1)
    proposal = _good(pack, "csam").model_copy(update={"partners": ("iwf",)})
    facts = _facts("csam", platform="web", kind="page")
    assert _missing(pack, facts, proposal) == set()
    assert _missing(pack, facts, proposal, on=before) == {"partners"}


def test_dispatch_and_referral_are_two_decisions(pack: CountryPack) -> None:
    dispatch = _good(pack, "csam").model_copy(update={"authorities": ("dgsn",)})
    refer = _good(pack, "csam", Action.REFER).model_copy(update={"partners": ("iwf",)})
    assert _missing(pack, _facts("csam"), dispatch) == {"authorities"}
    assert _missing(pack, _facts("csam"), refer) == {"partners"}


def test_a_report_without_an_item_cannot_be_dispatched_but_can_be_referred(
    pack: CountryPack,
) -> None:
    facts = _facts("child_grooming", platform="none", kind="report", located=False)
    assert "item" in _missing(pack, facts, _good(pack, "child_grooming"))
    assert _missing(pack, facts, _good(pack, "child_grooming", Action.REFER)) == set()


def test_scope_is_never_wider_than_the_route(pack: CountryPack) -> None:
    def scope(category: str, wanted: str) -> set[str]:
        proposal = _good(pack, category).model_copy(update={"scope": wanted})
        return _missing(pack, _facts(category), proposal)

    assert scope("hate_speech", "global") == {"scope"}
    assert scope("hate_speech", "country") == set()
    assert scope("scam_fraud", "country") == set()
    assert scope("scam_fraud", "global") == set()


def test_consent_of_the_reporters(pack: CountryPack) -> None:
    facts = _facts("scam_fraud", consent_partner=0, consent_authority=0)
    good = _good(pack, "scam_fraud")
    assert _missing(pack, facts, good) == {"exception"}
    why = {"exception": "Money is moving now."}
    assert _missing(pack, facts, good.model_copy(update=why)) == set()
    refer = _good(pack, "scam_fraud", Action.REFER)
    assert _missing(pack, facts, refer) == {"exception"}
    assert _missing(pack, facts, refer.model_copy(update=why)) == {"exception"}
    danger = replace(facts, signals=frozenset({Signal.IMMEDIATE_DANGER}))
    assert _missing(pack, danger, refer) == {"exception"}
    assert _missing(pack, danger, refer.model_copy(update=why)) == set()


@pytest.mark.parametrize("category", LEAVE)
def test_every_authority_waits_for_its_condition(pack: CountryPack, category: str) -> None:
    route = route_for(pack, category, "facebook", ON)
    assert route is not None
    bare = _facts(category, consent_authority=0)
    meets = {
        ReferWhen.ALWAYS: bare,
        ReferWhen.ON_CONSENT: replace(bare, consent_authority=1),
        ReferWhen.ON_CONSENT_OR_CHILD_AT_RISK: replace(
            bare, signals=frozenset({Signal.MINOR_VICTIM})
        ),
        ReferWhen.ON_DANGER: replace(bare, signals=frozenset({Signal.IMMEDIATE_DANGER})),
        ReferWhen.ON_LEGAL_GROUND: bare,
    }
    for authority, when in route.authorities:
        proposal = _good(pack, category, Action.REFER).model_copy(
            update={"authorities": (authority.id,)}
        )
        assert _missing(pack, meets[when], proposal) == set(), (authority.id, when)
        if when not in (ReferWhen.ALWAYS, ReferWhen.ON_LEGAL_GROUND):
            assert _missing(pack, bare, proposal) == {"exception"}, (authority.id, when)
        assert _missing(pack, meets[when], proposal, asked=[authority.id]) == {"authorities"}


@pytest.mark.parametrize("category", [*ALL, None])
def test_a_case_can_always_be_closed_with_a_reason(pack: CountryPack, category: str | None) -> None:
    for reason in CloseReason:
        proposal = Proposal(action=Action.CLOSE, reason="Seen.", close_reason=reason)
        assert _missing(pack, _facts(category), proposal) == set()
    assert _missing(pack, _facts(category), Proposal(action=Action.CLOSE, reason="x")) == {
        "close_reason"
    }
    tells = Proposal(
        action=Action.CLOSE,
        reason="x",
        close_reason=CloseReason.NO_GROUND,
        partners=("meta",),
    )
    assert _missing(pack, _facts(category), tells) == {"action"}


@pytest.mark.parametrize("category", ALL)
def test_advice_is_a_card_of_the_category(pack: CountryPack, category: str) -> None:
    cards = [c.id for c in pack.advice_for(category)]
    for card in cards:
        assert (
            _missing(
                pack, _facts(category), Proposal(action=Action.ADVISE, reason="x", advice=card)
            )
            == set()
        )
    wrong = next(c for c in pack.advice_cards if c not in cards)
    for card in (wrong, "no-such-card"):
        proposal = Proposal(action=Action.ADVISE, reason="x", advice=card)
        assert _missing(pack, _facts(category), proposal) == {"advice"}
    assert _missing(pack, _facts(category), Proposal(action=Action.ADVISE, reason="x")) == {
        "advice"
    }


@given(
    category=st.sampled_from([*ALL, None]),
    action=st.sampled_from([Action.DISPATCH, Action.REFER]),
    ground=st.sampled_from(["good", "none", "other"]),
    screen=st.sampled_from([None, CLEAR, CLEAR.model_copy(update={"satire": True})]),
    target=st.sampled_from(["item", "account"]),
    kind=st.sampled_from(["post", "account"]),
    signals=st.sets(st.sampled_from(list(Signal))),
    consents=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    exception=st.sampled_from(["", "It cannot wait."]),
    by=st.sampled_from([ANA, LEA, SUE]),
)
def test_no_combination_gets_around_the_law(
    pack: CountryPack, category: str | None, action: Action, ground: str, **given_: Any
) -> None:
    """Whatever is let through has a ground that fits, a judge, and, for speech, a clear or
    answered screen about a single item."""
    screen, by = given_["screen"], given_["by"]
    proposal = _good(pack, category or "scam_fraud", action).model_copy(
        update={
            "screen": screen,
            "target": given_["target"],
            "exception": given_["exception"],
            **({} if ground == "good" else {"ground": None}),
            **(
                {"ground": Ground(kind=GroundKind.LAW, ref="ma.iccpr.19")}
                if ground == "other"
                else {}
            ),
        }
    )
    facts = _facts(
        category,
        kind=given_["kind"],
        signals=frozenset(given_["signals"]),
        consent_partner=given_["consents"][0],
        consent_authority=given_["consents"][1],
    )
    if _missing(pack, facts, proposal, by):
        return
    assert category is not None
    known = pack.category(category)
    assert category not in NEVER
    assert known.dispatchable
    assert proposal.ground is not None
    assert pack.ground_fits(proposal.ground, category)
    assert by is not SUE
    if known.expression_safeguard in (Safeguard.FE2, Safeguard.FE3):
        assert screen == CLEAR
    if known.expression_safeguard is Safeguard.FE3:
        assert (proposal.target, facts.kind) == ("item", "post")
        assert four_eyes(known, action) is FourEyes.PRE_LEGAL
    if action is Action.DISPATCH:
        assert facts.consent_partner or proposal.exception
    else:
        assert proposal.ground.kind is GroundKind.LAW


# -- elements, measures, thresholds ----------------------------------------------------------------


@pytest.mark.parametrize("category", LEAVE)
@pytest.mark.parametrize("action", [Action.DISPATCH, Action.REFER])
def test_nothing_leaves_unless_each_needed_answer_holds(
    pack: CountryPack, category: str, action: Action
) -> None:
    good, given = _good(pack, category, action), ANSWERS[category]
    for question in pack.desk.questions_for(category):
        if question.needed is None:
            continue
        for answer in ("yes", "no", "unsure", None):
            changed = {k: v for k, v in given.items() if k != question.id}
            if answer is not None:
                changed[question.id] = answer
            found = check_decision(
                pack, _facts(category, answers=changed), good, ANA, on=ON, connectors=CONNECTORS
            )
            named = [m for m in found if m.field == f"answers.{question.id}"]
            assert bool(named) == (answer != question.needed), (question.id, answer)
            assert all(str(question.text["en"]) in m.told()[0] for m in named)


@pytest.mark.parametrize("category", LEAVE)
def test_a_law_is_cited_only_when_its_elements_are_there(pack: CountryPack, category: str) -> None:
    cited = 0
    for ground in pack.grounds_for(category):
        good = _good(pack, category).model_copy(update={"ground": ground})
        elements = pack.laws[ground.ref].elements if ground.kind is GroundKind.LAW else ()
        assert _missing(pack, _facts(category), good) == set()
        for element in elements:
            for answer in ("no", "unsure"):
                given = {**ANSWERS[category], element: answer}
                found = check_decision(
                    pack, _facts(category, answers=given), good, ANA, on=ON, connectors=CONNECTORS
                )
                assert [m.field for m in found] == [f"answers.{element}"]
                assert str(pack.questions[element].text["en"]) in found[0].told()[0]
                cited += 1
    assert cited or not any(pack.laws[g.ref].elements for g in _laws(pack, category))


def _laws(pack: CountryPack, category: str) -> list[Ground]:
    return [g for g in pack.grounds_for(category) if g.kind is GroundKind.LAW]


@pytest.mark.parametrize("category", LEAVE)
def test_the_least_restrictive_measure_comes_first(pack: CountryPack, category: str) -> None:
    safeguard, good = pack.category(category).expression_safeguard, _good(pack, category)
    screened = safeguard in (Safeguard.FE2, Safeguard.FE3)
    without = good.model_copy(update={"measure": None})
    assert _missing(pack, _facts(category), without) == ({"measure"} if screened else set())
    for n, measure in enumerate(MEASURES):
        wanted = good.model_copy(update={"measure": measure})
        noted = wanted.model_copy(update={"measure_note": "A label leaves the address readable."})
        milder = [_facts(category, tried=frozenset({m})) for m in MEASURES[:n]]
        as_hard = _facts(category, tried=frozenset(MEASURES[n:]))
        if safeguard is not Safeguard.FE3:
            assert _missing(pack, _facts(category), wanted) == set()
        elif measure is Measure.ACCOUNT_ACTION:
            for facts in (_facts(category), *milder):
                assert _missing(pack, facts, noted) == {"measure"}
        else:
            late = {"measure_note"} if measure is not Measure.LABEL else set()
            assert _missing(pack, _facts(category), wanted) == late
            assert _missing(pack, as_hard, wanted) == late
            assert _missing(pack, _facts(category), noted) == set()
            assert all(_missing(pack, facts, wanted) == set() for facts in milder)


def test_an_authority_is_asked_for_no_measure(pack: CountryPack) -> None:
    refer = _good(pack, "csam", Action.REFER).model_copy(update={"measure": Measure.REMOVE})
    assert _missing(pack, _facts("csam"), refer) == {"measure"}


@pytest.mark.parametrize("category", LEAVE)
def test_the_six_part_test_of_incitement(pack: CountryPack, category: str) -> None:
    asked, good = category in pack.desk.rabat, _good(pack, category)
    assert _missing(pack, _facts(category), good.model_copy(update={"rabat": None})) == (
        {"rabat"} if asked else set()
    )
    for part in (*Rabat.model_fields,):
        empty = None if part == "conclusion" else ""
        bare = good.model_copy(update={"rabat": RABAT.model_copy(update={part: empty})})
        assert _missing(pack, _facts(category), bare) == ({f"rabat.{part}"} if asked else set())
    below = RABAT.model_copy(update={"conclusion": "not_reached"})
    for ground in pack.grounds_for(category):
        wanted = good.model_copy(update={"rabat": below, "ground": ground})
        law = asked and ground.kind is GroundKind.LAW
        assert _missing(pack, _facts(category), wanted) == ({"rabat.conclusion"} if law else set())


@pytest.mark.parametrize("category", [*ALL, None])
def test_nothing_a_request_needs_stands_in_the_way_of_an_end(
    pack: CountryPack, category: str | None
) -> None:
    bare = _facts(category, answers={}, kind="account", consent_partner=0)
    end = Proposal(action=Action.CLOSE, reason="Seen.", close_reason=CloseReason.NO_GROUND)
    assert _missing(pack, bare, end) == set()
    for card in pack.advice_for(category) if category else ():
        advise = Proposal(action=Action.ADVISE, reason="Seen.", advice=card.id)
        assert _missing(pack, bare, advise) == set()


def test_a_signature_names_the_text_of_the_law(pack: CountryPack) -> None:
    law = Ground(kind=GroundKind.LAW, ref="ma.penal-code.447-1")
    terms = Ground(kind=GroundKind.TERMS, ref="terms.privacy")
    here = f"ma@{pack.info.version}"
    assert law_version(pack, law) == f"{here}, checked 2018-09"
    assert law_version(pack, terms) == law_version(pack, None) == here


@given(one=st.sampled_from(list(FourEyes)), other=st.sampled_from(list(FourEyes)))
def test_the_stricter_mode_wins(one: FourEyes, other: FourEyes) -> None:
    both = stricter(one, other)
    assert both in (one, other)
    assert both == stricter(other, one)
    assert stricter(FourEyes.PRE_LEGAL, one) is FourEyes.PRE_LEGAL
    assert stricter(FourEyes.NONE, one) is one


def test_who_may_be_the_second_person_where_it_is_blind(pack: CountryPack) -> None:
    def missing(says: bool | None, assessor: str | None, second: Person = BEA) -> set[str]:
        found = check_second(
            pack, "defamation", FourEyes.PRE_LEGAL, ANA, second, assessor=assessor, says=says
        )
        return {m.field for m in found}

    assert missing(says=True, assessor=LEA.name, second=LEA) == {"confirmed_by"}
    assert missing(says=None, assessor=LEA.name, second=LEA) == {"confirmed_by"}
    assert missing(says=False, assessor=LEA.name, second=LEA) == set()
    assert missing(says=True, assessor=ANA.name) == {"confirmed_by"}  # no lawyer
    assert missing(says=None, assessor=ANA.name) == set()  # to judge takes none
    assert missing(says=False, assessor=ANA.name, second=ANA) == {"confirmed_by"}
