# SPDX-License-Identifier: Apache-2.0
"""The independent reviewer: a fair draw, a look without a claim, counts without names."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from triage_world import ANA, BEA, LEA, PEPPER, RABAT, SUE, World, agreeing, said
from wasl_schemas.country_pack import CountryPack
from wasl_schemas.desk import Review as Shares
from wasl_schemas.events.common import Ground, GroundKind
from wasl_schemas.ids import uuid7
from wasl_schemas.lifecycle import CaseState
from wasl_schemas.taxonomy import Safeguard
from wasl_triage.desk import Confirmation, Forbidden, NoSuchCase, NotLawful, Refused
from wasl_triage.domain.case import Action, Attention, Case, Measure
from wasl_triage.domain.decisions import CloseReason, Proposal, Screen
from wasl_triage.domain.people import Person, Role
from wasl_triage.quality.kept import REVIEWS, Sample
from wasl_triage.quality.reviewing import ReviewAnswer, Reviews

URL = "https://www.facebook.com/permalink.php?story_fbid=23&id=100000000000023"
IRA = Person(name="independent-1", roles=frozenset({Role.INDEPENDENT_REVIEWER}))
CLEAR = Screen(
    opinion=False, satire=False, journalism=False, research=False, religion=False,
    public_interest=False,
)  # fmt: skip
CLOSE = Proposal(action=Action.CLOSE, reason="Satire.", close_reason=CloseReason.NO_GROUND)
HATE = Proposal(
    action=Action.DISPATCH, reason="x", measure=Measure.LABEL, rabat=RABAT, partners=("meta",),
    ground=Ground(kind=GroundKind.TERMS, ref="terms.hate"), screen=CLEAR,
)  # fmt: skip


@pytest.fixture
def world(pack: CountryPack, monkeypatch: pytest.MonkeyPatch) -> World:
    """A desk all of whose decisions are drawn."""
    shares = Shares(share=dict.fromkeys(Safeguard, 1.0))
    monkeypatch.setattr(pack, "desk", pack.desk.model_copy(update={"review": shares}))
    return World(pack)


@pytest.fixture
def reviews(world: World) -> Reviews:
    return Reviews(world.hub, world.pack, world.desk)


async def _closed(world: World, category: str = "lawful_objectionable", **more: Any) -> Case:
    await world.arrives(URL, category=category, text="Call 06 00 00 00 05.", **more)
    case = await world.held(ANA)
    await world.desk.assess(ANA, case.id, said(world.pack, category))
    return await world.desk.decide(ANA, case.id, CLOSE)


# -- the draw --------------------------------------------------------------------------------------


@given(st.binary(min_size=32, max_size=32), st.text(max_size=40), st.floats(0, 1), st.floats(0, 1))
def test_the_draw_is_of_the_key_and_grows_with_the_share(
    pack: CountryPack, pepper: bytes, decision: str, one: float, other: float
) -> None:
    sample, low, high = Sample(pack, pepper), min(one, other), max(one, other)
    assert sample.drawn(decision, low) <= sample.drawn(decision, high)
    assert sample.drawn(decision, low) == Sample(pack, pepper).drawn(decision, low)
    assert sample.drawn(decision, 1.0)
    assert not sample.drawn(decision, 0.0)


def test_the_draw_takes_its_share(pack: CountryPack) -> None:
    sample, ids = Sample(pack, PEPPER), [f"decision-{n}" for n in range(4000)]
    drawn = {i for i in ids if sample.drawn(i, 0.2)}
    assert 700 < len(drawn) < 900  # four standard deviations are 101
    other = {i for i in ids if Sample(pack, bytes(32)).drawn(i, 0.2)}
    assert len(drawn & other) < 260  # another key draws others


async def test_what_leaves_or_closes_is_drawn_once_and_what_waits_is_not(
    world: World, reviews: Reviews
) -> None:
    await world.arrives(URL, category="hate_speech")
    case = await world.held(ANA)
    await world.desk.assess(ANA, case.id, said(world.pack, "hate_speech"))
    case = await world.desk.decide(ANA, case.id, HATE)
    assert await reviews.waiting(IRA) == []
    await world.desk.claim(LEA, case.id)
    no = Confirmation(decision_id=case.decisions[0].id, confirm=False, reason="x")
    await world.desk.second_look(LEA, case.id, no)
    assert await reviews.waiting(IRA) == []
    case = await world.desk.decide(LEA, case.id, HATE)
    await world.desk.claim(BEA, case.id)
    # LEA proposed what ANA had assessed; BEA is the second person.
    await world.desk.second_look(BEA, case.id, agreeing(world.pack, case, "hate_speech"))
    (row,) = await reviews.waiting(IRA)
    assert (row.id, row.case_id) == (world.case().decisions[1].id, case.id)
    assert (row.category, row.safeguard, row.action) == ("hate_speech", "FE3", "dispatch")


async def test_nothing_is_drawn_where_the_pack_gives_no_share(pack: CountryPack) -> None:
    world = World(pack)
    assert Safeguard.FE0 not in pack.desk.review.share
    await _closed(world, "scam_fraud")
    assert world.hub.store.docs.get(REVIEWS.name, {}) == {}


# -- the look --------------------------------------------------------------------------------------


async def test_the_reviewer_reads_redacted_without_a_claim_and_is_audited(
    world: World, reviews: Reviews
) -> None:
    case = await _closed(world)
    (row,) = await reviews.waiting(IRA)
    with pytest.raises(Forbidden):
        await world.desk.read(IRA, case.id)
    opened = await reviews.read(IRA, row.id)
    assert opened.sheet.reports[0].narrative == "Call [phone]."
    assert opened.sheet.notes[row.id] == "Satire."
    last = world.audit(world.case())[-1]
    assert (last.who, last.what, last.why) == (IRA.name, "read_for_review", row.id)
    assert world.case().claimed_by == ANA.name
    for person in (ANA, LEA, SUE):
        with pytest.raises(Forbidden):
            await reviews.waiting(person)
        with pytest.raises(Forbidden):
            await reviews.read(person, row.id)
    with pytest.raises(NoSuchCase):
        await reviews.read(IRA, "no-such-review")


async def test_what_is_viewed_once_is_reviewed_without_texts(
    world: World, reviews: Reviews
) -> None:
    await _closed(world, "csam", consent_partner=False)
    assert await reviews.waiting(IRA) == []  # not cleared for child safety
    row = REVIEWS.decode(next(iter(world.hub.store.docs["reviews"].values())))
    with pytest.raises(NoSuchCase):
        await reviews.read(IRA, row.id)
    cleared = IRA.model_copy(update={"roles": IRA.roles | {Role.CHILD_SAFETY}})
    opened = await reviews.read(cleared, row.id)
    assert (opened.sheet.closed, opened.sheet.reports[0].narrative) == (True, None)


async def test_nobody_reviews_what_they_had_a_part_in(world: World, reviews: Reviews) -> None:
    await _closed(world)
    both = ANA.model_copy(update={"roles": ANA.roles | IRA.roles})
    assert await reviews.waiting(both) == []
    (row,) = await reviews.waiting(IRA)
    with pytest.raises(Refused, match="part"):
        await reviews.read(both, row.id)
    with pytest.raises(Refused, match="part"):
        await reviews.answer(both, row.id, ReviewAnswer(agree=True))


# -- the answer ------------------------------------------------------------------------------------


async def test_a_disagreement_brings_the_case_back(world: World, reviews: Reviews) -> None:
    case = await _closed(world)
    (row,) = await reviews.waiting(IRA)
    with pytest.raises(NotLawful):
        await reviews.answer(IRA, row.id, ReviewAnswer(agree=False))
    no = ReviewAnswer(agree=False, reason="It names a person. SECRET")
    answered = await reviews.answer(IRA, row.id, no)
    assert (answered.state, answered.by) == ("disagreed", IRA.name)
    case = world.case()
    assert (case.state, case.attention, case.queued) == (
        CaseState.CLOSED, (Attention.OBJECTION,), True,
    )  # fmt: skip
    assert "SECRET" not in world.everything()
    assert await world.hub.unit().keys.open(answered.reason or "", "case.note") == no.reason
    assert world.audit(case)[-1].what == "review_disagreed"
    with pytest.raises(Refused, match="already"):
        await reviews.answer(IRA, row.id, ReviewAnswer(agree=True))
    assert await reviews.waiting(IRA) == []


async def test_an_agreement_leaves_the_case_alone(world: World, reviews: Reviews) -> None:
    await _closed(world)
    (row,) = await reviews.waiting(IRA)
    await reviews.answer(IRA, row.id, ReviewAnswer(agree=True))
    assert (world.case().attention, world.case().queued) == ((), False)


async def test_a_reviewers_late_row_is_kept_whoever_erased_its_case(
    world: World, reviews: Reviews
) -> None:
    """A row whose case is gone is in nobody's list."""
    await _closed(world)
    row = REVIEWS.decode(next(iter(world.hub.store.docs["reviews"].values())))
    uow = world.hub.unit()
    uow.put(REVIEWS, row.model_copy(update={"id": uuid7(), "case_id": "0" * 32}))
    await world.hub.commit(uow)
    assert len(await reviews.waiting(IRA)) == 1
