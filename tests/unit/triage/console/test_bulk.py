# SPDX-License-Identifier: Apache-2.0
"""One act on many cases: what is shown first, what is signed, and what became of each."""

import re

import httpx
import pytest
from cases_kit import SAM, SID, posts
from desk import Browser, Door, application, text_of
from triage_world import ANA, SUE, World
from wasl_schemas.lifecycle import CaseState


@pytest.fixture
def door() -> Door:
    return Door()


def _hidden(answer: httpx.Response) -> dict[str, str]:
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', answer.text))


async def test_what_is_shown_is_what_is_done(world: World, door: Door) -> None:
    first, second, held = await posts(world, (1, 2, 3))
    await world.desk.claim(ANA, held)
    page = Browser(application(world, door), door, SAM, "en")
    form = await page.get("bulk?category=scam_fraud")
    assert re.search(r'value="scam_fraud" selected', form)
    wanted = {"category": "scam_fraud", "action": "close", "close_reason": "no_ground"}
    shown = await page.post("bulk", 200, **wanted)
    text = text_of(shown.text)
    assert "Close 2 cases" in text
    assert "1 case is left out" in text
    assert f"{held[:8]} Somebody else works on it" in text
    sent = _hidden(shown)
    told = await page.post("bulk/done", 422, **sent)
    assert "Reason" in told.text
    assert {c.state for c in world.cases()} == {CaseState.OPEN}
    done = await page.post("bulk/done", 200, reason="One flood of nothing.", **_hidden(told))
    results = text_of(done.text)
    for case_id in (first, second):
        assert f"{case_id[:8]} Done" in results
        assert world.case(case_id).state is CaseState.CLOSED
    assert world.case(held).state is CaseState.OPEN


async def test_nothing_is_done_once_the_cases_changed(world: World, door: Door) -> None:
    await posts(world, (1, 2))
    page = Browser(application(world, door), door, SAM, "en")
    wanted = {"category": "scam_fraud", "action": "move", "to": "general"}
    shown = await page.post("bulk", 200, **wanted)
    await posts(world, (3,))
    told = await page.post("bulk/done", 409, reason="Ours.", **_hidden(shown))
    assert "The cases have changed since they were shown" in text_of(told.text)
    assert "Ours." in told.text
    assert {c.queue for c in world.cases()} == {"cyber"}
    await page.post("bulk/done", 200, reason="Ours.", **_hidden(told))
    assert {c.queue for c in world.cases()} == {"general"}


async def test_cases_ticked_in_a_search_are_the_selection(world: World, door: Door) -> None:
    first, second = await posts(world, (1, 2))
    page = Browser(application(world, door), door, SAM, "en")
    found = await page.get("search?category=scam_fraud&all=1")
    assert "/en/bulk?category=scam_fraud" in found
    assert f'name="ids" value="{first}" form="bulk"' in found
    form = await page.get(f"bulk?ids={first}&ids={second}")
    assert f">{first}\n{second}</textarea>" in form
    analyst = Browser(application(world, door), door, ANA, "en")
    assert "/bulk" not in await analyst.get("search?category=scam_fraud&all=1")


async def test_a_selection_says_what_it_means(world: World, door: Door) -> None:
    page = Browser(application(world, door), door, SAM, "en")
    told = await page.post("bulk", 422, action="move", to="general")
    assert "Which cases" in told.text
    assert re.search(r'value="general" selected', told.text)
    told = await page.post("bulk", 422, action="close", category="scam_fraud")
    assert "Why it ends" in told.text
    await page.post("bulk", 422, action="dispatch", category="scam_fraud")
    (case_id,) = await posts(world, (1,))
    await page.post("bulk", 422, action="note", severity="grave")
    shown = await page.post("bulk", 200, action="note", ids=case_id)
    assert "Write a note 1 case" in text_of(shown.text)


async def test_who_may_what(world: World, door: Door) -> None:
    await posts(world, (1,), category="csam")
    app = application(world, door)
    await Browser(app, door, ANA).get("bulk", 403)
    supervisor = Browser(app, door, SUE, "en")
    assert 'value="close"' not in re.sub(r"<select.*?</select>", "", await supervisor.get("bulk"))
    await supervisor.post("bulk", 403, action="close", category="csam", close_reason="no_ground")
    uncleared = Browser(app, door, SID, "en")
    shown = await uncleared.post("bulk", 200, action="note", category="csam")
    assert "No case is left to touch." in text_of(shown.text)
    await supervisor.post("bulk", 403, action="note", category="csam", csrf="another")
    supervisor._client.headers["sec-fetch-site"] = "cross-site"
    await supervisor.post("bulk", 403, action="note", category="csam")
    await supervisor.post("bulk/done", 403, action="note", category="csam")
