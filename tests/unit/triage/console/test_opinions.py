# SPDX-License-Identifier: Apache-2.0
"""What is asked of one's queues: who sees the list, the one case, and who answers."""

import pytest
from cases_kit import PIA, UNA, posts, rooms
from desk import Browser, Door, application, text_of
from triage_world import ANA, SUE, World
from wasl_triage.cases.opinions import Inquiry


@pytest.fixture
def door() -> Door:
    return Door()


async def _asked(world: World, body: str, **facts: str) -> str:
    (case_id,) = await posts(world, (1,), text="Call me at 0612345678. <i>x</i>", **facts)
    await world.desk.claim(ANA, case_id)
    inquiry = Inquiry(body=body, question="Is this personal data?")
    return (await rooms(world).opinions.ask(ANA, case_id, inquiry)).id


async def test_people_of_the_queue_answer_about_a_case_they_do_not_see(
    world: World, door: Door
) -> None:
    opinion_id = await _asked(world, "data-protection")
    page = Browser(application(world, door), door, PIA, "en")
    await page.get(f"cases/{world.case().id}", 404)
    assert f"/en/opinions/{opinion_id}" in await page.get("opinions")
    shown = await page.get(f"opinions/{opinion_id}")
    assert "Is this personal data?" in text_of(shown)
    assert "Call me at" in text_of(shown)
    assert "0612345678" not in shown
    assert "<i>x" not in shown
    told = await page.post(f"opinions/{opinion_id}", 422, text="  ")
    assert "This cannot be signed yet" in told.text
    await page.post(f"opinions/{opinion_id}", text="It is.")
    assert opinion_id not in await page.get("opinions")
    await page.get(f"opinions/{opinion_id}", 404)
    reader = Browser(application(world, door), door, ANA, "en")
    assert "It is." in text_of(await reader.get(f"cases/{world.case().id}"))


async def test_nobody_answers_themselves_or_for_others(world: World, door: Door) -> None:
    opinion_id = await _asked(world, "data-protection")
    app = application(world, door)
    await Browser(app, door, ANA).get(f"opinions/{opinion_id}", 409)
    await Browser(app, door, SUE).get("opinions", 403)
    page = Browser(app, door, PIA)
    await page.post(f"opinions/{opinion_id}", 403, text="It is.", csrf="another")
    page._client.headers["sec-fetch-site"] = "cross-site"
    await page.post(f"opinions/{opinion_id}", 403, text="It is.")
    assert world.case().attention == ()


async def test_a_question_about_a_child_needs_the_clearance(world: World, door: Door) -> None:
    opinion_id = await _asked(world, "data-protection", category="csam")
    page = Browser(application(world, door), door, UNA)
    assert opinion_id not in await page.get("opinions")
    await page.get(f"opinions/{opinion_id}", 404)
    await page.post(f"opinions/{opinion_id}", 404, text="It is.")
