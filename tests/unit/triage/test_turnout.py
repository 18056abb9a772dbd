# SPDX-License-Identifier: Apache-2.0
"""How a partner's reports turned out reaches the words about its next one."""

from typing import Any

import pytest
from cases_kit import CLOSE, FRAUD, decided, posts, rooms
from triage_world import ANA, BEA, World
from wasl_triage.cases.appeals import AppealAnswer, Filing
from wasl_triage.cases.turnout import KEPT, Turnouts
from wasl_triage.domain.appeal import Side
from wasl_triage.domain.signals.reporter import HISTORY
from wasl_triage.rules.memory import RULE_HITS


async def _reported(world: World, n: int, *via: str) -> str:
    (case_id,) = await posts(world, (n,), via=via)
    return case_id


async def _counted(world: World, partner: str | None) -> tuple[int, int]:
    return await Turnouts(world.hub).of(partner)


async def test_what_was_acted_on_and_what_had_no_ground_is_counted(world: World) -> None:
    right, wrong, open_ = [await _reported(world, n, "hub-fr") for n in (1, 2, 3)]
    assert await _counted(world, "hub-fr") == (0, 0)
    await decided(world, right, FRAUD, "scam_fraud")
    await decided(world, wrong, CLOSE, "scam_fraud")
    assert world.case(open_).upheld is None
    assert await _counted(world, "hub-fr") == (1, 2)
    assert await _counted(world, "hub-es") == (0, 0)
    assert await _counted(world, None) == (0, 0)


async def test_what_a_hub_only_passed_on_is_not_its_own(world: World) -> None:
    case_id = await _reported(world, 1, "hub-es", "hub-fr")
    await decided(world, case_id, FRAUD, "scam_fraud")
    assert await _counted(world, "hub-es") == (0, 0)
    assert await _counted(world, "hub-fr") == (1, 1)


async def test_a_reversal_takes_the_verdict_along(world: World) -> None:
    case_id = await _reported(world, 1, "hub-fr")
    case = await decided(world, case_id, FRAUD, "scam_fraud")
    await world.desk.release(ANA, case_id, done=True)
    filing = Filing(decision_id=case.decisions[-1].id, side=Side.AFFECTED, grounds="No.")
    appeal = await rooms(world).appeals.register(BEA, case_id, filing)
    await world.desk.claim(BEA, case_id)
    answer = AppealAnswer(outcome="reversed", reason="Seen again.")
    await rooms(world).appeals.answer(BEA, case_id, appeal.id, answer)
    assert await _counted(world, "hub-fr") == (0, 0)


@pytest.mark.parametrize(("proposal", "word"), [(FRAUD, "often_upheld"), (CLOSE, "seldom_upheld")])
async def test_the_next_report_carries_the_words(world: World, proposal: Any, word: str) -> None:
    for n in range(HISTORY):
        case_id = await _reported(world, n, "hub-fr")
        await decided(world, case_id, proposal, "scam_fraud")
    world.clock.advance(KEPT)
    case_id = await _reported(world, 99, "hub-fr")
    (hit,) = [
        hit
        for doc in world.hub.store.docs["rule_hits"].values()
        if (hit := RULE_HITS.decode(doc)).case_id == case_id
    ]
    assert {"partner", "partner_with_history", word} <= set(hit.facts["quality"])
