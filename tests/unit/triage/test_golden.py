# SPDX-License-Identifier: Apache-2.0
"""Golden items: judged without knowing whose, once, by people who had no part in the case."""

from typing import Any

import pytest
from triage_world import ANA, BEA, LEA, SUE, World, said
from wasl_triage.desk import Forbidden, NoSuchCase, NotLawful, Refused
from wasl_triage.domain.case import Action, Case
from wasl_triage.domain.decisions import CloseReason, Proposal
from wasl_triage.domain.people import Person, Role
from wasl_triage.quality.golden import GoldenItems, GoldenReply, GoldenRequest

CLOSE = Proposal(action=Action.CLOSE, reason="x", close_reason=CloseReason.NO_GROUND)
WANTED = GoldenRequest(expected="scam_fraud", note="A fee, then silence. SECRET-NOTE")
CAT = Person(name="analyst-3", roles=frozenset({Role.ANALYST}))


@pytest.fixture
def golden(world: World) -> GoldenItems:
    return GoldenItems(world.hub, world.pack, world.desk)


async def _settled(
    world: World, n: int = 1, category: str = "scam_fraud", by: Person = ANA, **facts: Any
) -> Case:
    url = f"https://example.com/item-{n}"
    await world.arrives(url, category=category, text="They asked 06 00 00 00 05.", **facts)
    case = await world.held(by, world.case_id(url))
    await world.desk.assess(by, case.id, said(world.pack, category))
    await world.desk.decide(by, case.id, CLOSE)
    return world.case(case.id)


async def test_a_supervisor_marks_a_settled_case(world: World, golden: GoldenItems) -> None:
    await world.arrives("https://example.com/item-1", category="scam_fraud")
    open_ = world.case()
    with pytest.raises(Refused, match="settled"):
        await golden.mark(SUE, open_.id, WANTED)
    case = await _settled(world)
    for person in (ANA, LEA):
        with pytest.raises(Forbidden):
            await golden.mark(person, case.id, WANTED)
    with pytest.raises(NotLawful) as refused:
        await golden.mark(SUE, case.id, GoldenRequest(expected="no-such", note="x"))
    assert [m.field for m in refused.value.missing] == ["expected"]
    made = await golden.mark(SUE, case.id, WANTED)
    assert made.expected == "scam_fraud"
    assert "SECRET-NOTE" not in world.everything()
    assert await world.hub.unit().keys.open(made.note, "case.note") == WANTED.note
    assert world.audit(world.case())[-1].what == "mark_golden"
    with pytest.raises(Refused, match="already"):
        await golden.mark(SUE, case.id, WANTED)


async def test_what_is_viewed_once_is_never_golden(world: World, golden: GoldenItems) -> None:
    case = await _settled(world, category="csam", consent_partner=False)
    for wanted in (WANTED, GoldenRequest(expected="csam", note="x")):
        with pytest.raises(Refused, match="second time"):
            await golden.mark(SUE, case.id, wanted)


async def test_an_analyst_judges_words_and_nothing_else(world: World, golden: GoldenItems) -> None:
    case = await _settled(world)
    made = await golden.mark(SUE, case.id, WANTED)
    assert await golden.exercises(BEA) == [made.id]
    shown = await golden.read(BEA, made.id)
    assert shown.narratives == ("They asked [phone].",)
    assert not [w for w in (case.id, ANA.name, "scam_fraud", "no_ground") if w in str(shown)]
    assert world.audit(world.case())[-1].what == "read_golden"
    result = await golden.answer(BEA, made.id, GoldenReply(category="phishing_malware"))
    assert (result.category, result.expected) == ("phishing_malware", "scam_fraud")
    assert await golden.exercises(BEA) == []
    with pytest.raises(Refused, match="answered"):
        await golden.answer(BEA, made.id, GoldenReply(category="scam_fraud"))
    assert await golden.exercises(LEA) == [made.id]


async def test_whoever_had_a_part_is_not_shown_it(world: World, golden: GoldenItems) -> None:
    made = await golden.mark(SUE, (await _settled(world)).id, WANTED)
    assert await golden.exercises(ANA) == []
    with pytest.raises(Refused, match="part"):
        await golden.read(ANA, made.id)
    with pytest.raises(Refused, match="part"):
        await golden.answer(ANA, made.id, GoldenReply(category="scam_fraud"))


async def test_child_safety_stays_with_cleared_people(world: World, golden: GoldenItems) -> None:
    case = await _settled(world, category="child_exposure")
    made = await golden.mark(SUE, case.id, GoldenRequest(expected="child_exposure", note="x"))
    assert await golden.exercises(BEA) == [made.id]
    assert await golden.exercises(CAT) == []
    with pytest.raises(NoSuchCase):
        await golden.read(CAT, made.id)
    with pytest.raises(NoSuchCase):
        await golden.answer(CAT, made.id, GoldenReply(category="child_exposure"))


async def test_a_retired_item_is_shown_to_nobody(world: World, golden: GoldenItems) -> None:
    case = await _settled(world)
    made = await golden.mark(SUE, case.id, WANTED)
    with pytest.raises(Forbidden):
        await golden.retire(BEA, made.id)
    await golden.retire(SUE, made.id)
    assert await golden.exercises(BEA) == []
    with pytest.raises(NoSuchCase):
        await golden.read(BEA, made.id)
    assert (await golden.mark(SUE, case.id, WANTED)).id != made.id


async def test_figures_compare_with_what_was_expected(world: World, golden: GoldenItems) -> None:
    items = []
    for n, category in enumerate(("scam_fraud", "scam_fraud", "threats", "threats")):
        case = await _settled(world, n, category)
        wanted = GoldenRequest(expected=category, note="x")
        items.append((await golden.mark(SUE, case.id, wanted)).id)
    given = ("scam_fraud", "threats", "threats", "threats")
    for item, category in zip(items, given, strict=True):
        await golden.answer(BEA, item, GoldenReply(category=category))
    await golden.answer(LEA, items[0], GoldenReply(category="scam_fraud"))
    mine = await golden.own(BEA)
    assert (mine.overall.n, mine.overall.kappa) == (4, 0.5)
    assert mine.categories["threats"].n == 3
    assert not [p for p in (ANA, BEA, LEA, SUE) if p.name in str(mine)]
    assert (await golden.own(CAT)).overall.kappa is None
    with pytest.raises(Forbidden):
        await golden.own(SUE)
