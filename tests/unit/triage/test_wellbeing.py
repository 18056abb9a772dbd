# SPDX-License-Identifier: Apache-2.0
"""What reading costs: counted, bounded, spread, and nobody's business but the person's."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from triage_world import ANA, BEA, World
from wasl_schemas.desk import DeskRules
from wasl_triage.desk import Refused
from wasl_triage.domain import exposure
from wasl_triage.domain.exposure import Day

GRAVE, LIGHT = "csam", "scam_fraud"


async def _open(world: World, url: str, category: str) -> str:
    await world.arrives(url, category=category)
    return next(c.id for c in world.cases() if c.category == category and c.reports == 1)


async def test_a_look_counts_by_category(world: World) -> None:
    grave = await _open(world, "https://example.com/a", GRAVE)
    light = await _open(world, "https://example.com/b", LIGHT)
    await world.desk.read(ANA, grave)
    await world.desk.read(ANA, light)
    await world.desk.read(ANA, light)
    points = world.pack.desk.points
    day = await world.desk.wellbeing.standing(ANA)
    assert day.points == points(GRAVE) + 2 * points(LIGHT)
    assert (await world.desk.wellbeing.standing(BEA)).points == 0


async def test_a_spent_budget_leaves_the_grave_ones_to_others(world: World) -> None:
    grave = await _open(world, "https://example.com/a", GRAVE)
    light = await _open(world, "https://example.com/b", LIGHT)
    looks = -(-world.pack.desk.exposure.budget // world.pack.desk.points(GRAVE))
    for _ in range(looks):
        await world.desk.read(ANA, grave)
    assert (await world.desk.wellbeing.standing(ANA)).spent
    with pytest.raises(Refused):
        await world.desk.read(ANA, grave)
    await world.desk.read(ANA, light)
    assert [c.id for c in await world.desk.queue(ANA, 10)] == [light]
    assert {c.id for c in await world.desk.queue(BEA, 10)} == {grave, light}
    world.clock.advance(timedelta(days=1))
    await world.desk.read(ANA, grave)


async def test_work_in_hand_is_not_taken_away(world: World) -> None:
    grave = await _open(world, "https://example.com/a", GRAVE)
    await world.desk.claim(ANA, grave)
    for _ in range(world.pack.desk.exposure.budget):
        await world.desk.read(ANA, grave)
    await world.desk.read(ANA, grave)


async def test_an_opt_out_needs_no_reason(world: World) -> None:
    grave = await _open(world, "https://example.com/a", GRAVE)
    await world.desk.wellbeing.opt_out(ANA, (GRAVE, "no-such-category"))
    assert await world.desk.queue(ANA, 10) == []
    assert [c.id for c in await world.desk.queue(BEA, 10)] == [grave]
    assert await world.desk.wellbeing.opted_out(ANA) == (GRAVE,)
    await world.desk.wellbeing.opt_out(ANA, ())
    assert [c.id for c in await world.desk.queue(ANA, 10)] == [grave]


async def test_supervisors_see_counters_only(world: World) -> None:
    grave = await _open(world, "https://example.com/a", GRAVE)
    light = await _open(world, "https://example.com/b", LIGHT)
    await world.desk.read(BEA, light)
    world.clock.advance(timedelta(days=1))
    await world.desk.read(ANA, grave)
    loads = await world.desk.wellbeing.workload()
    assert [x.person for x in loads] == [ANA.name, BEA.name]
    assert loads[1].week[-2:] == (world.pack.desk.points(LIGHT), 0)
    assert not {"looks", "category"} & set(loads[0].__dataclass_fields__)


RULES = DeskRules.model_validate(
    {"exposure": {"break_after_minutes": 50, "break_minutes": 10, "budget": 100}}
)


def test_a_break_is_proposed_after_a_stretch_and_forgotten_after_a_pause(world: World) -> None:
    start = world.clock.now()
    day = Day("ana", start.date())
    for minute in range(0, 51, 5):
        day = exposure.looked(RULES, day, None, start + timedelta(minutes=minute))
    now = start + timedelta(minutes=50)
    assert exposure.standing(RULES, day, now).rest == 0
    assert exposure.standing(RULES, day, now + timedelta(minutes=10)).rest == 50 * 60
    later = exposure.looked(RULES, day, None, now + timedelta(minutes=11))
    assert exposure.standing(RULES, later, now + timedelta(minutes=11)).rest == 50 * 60


@given(st.lists(st.sampled_from(["", "a", "b"]), max_size=40))
def test_points_are_the_sum_of_the_looks(looks: list[str]) -> None:
    rules = DeskRules.model_validate({"exposure": {"points": {"*": 1, "a": 7}}})
    at = datetime(2026, 1, 5, 9, tzinfo=UTC)
    day = Day("ana", at.date())
    for category in looks:
        day = exposure.looked(rules, day, category or None, at)
    assert day.points == sum(7 if c == "a" else 1 for c in looks)
    assert sum((day.looks or {}).values()) == len(looks)
