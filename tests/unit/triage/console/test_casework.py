# SPDX-License-Identifier: Apache-2.0
"""Following a case, working it with others, appeals and opinions, on its page."""

import re
from datetime import timedelta

import httpx
import pytest
from cases_kit import FRAUD, decided, post, posts
from desk import Browser, Door, application, text_of
from triage_world import ANA, BEA, LEA, SUE, World
from wasl_triage.cases.appeals import APPEALS
from wasl_triage.cases.grouping import OPERATIONS
from wasl_triage.cases.opinions import OPINIONS
from wasl_triage.cases.working import NOTES

PLAN = "Call the school on Monday."


@pytest.fixture
def door() -> Door:
    return Door()


def _page(world: World, door: Door, person: object) -> Browser:
    return Browser(application(world, door), door, person, "en")  # type: ignore[arg-type]


def _errors(answer: httpx.Response) -> str:
    found = re.search(r'<div class="errors".*?</div>', answer.text, re.DOTALL)
    assert found is not None
    return text_of(found.group())


async def test_a_case_is_followed_over_days(world: World, door: Door) -> None:
    (case_id,) = await posts(world, (1,))
    page, path = _page(world, door, ANA), f"cases/{case_id}"
    await page.post(f"{path}/claim")
    await page.post(f"{path}/owner", owner=ANA.name)
    day = (world.clock.now() + timedelta(days=3)).strftime("%Y-%m-%dT%H:%M")
    await page.post(f"{path}/plan", text=PLAN, next_at=day)
    await page.post(f"{path}/notes", text="The caller is calm.")
    case = world.case()
    assert (case.owner, case.next_at is not None) == (ANA.name, True)
    for text in (PLAN, "calm"):
        assert text not in world.everything()
    shown = await page.get(path)
    for text in (PLAN, "The caller is calm.", "Internal: the reporter never reads them"):
        assert text in text_of(shown)
    assert f'value="{day}"' in shown
    for wrong in ("tomorrow", "2001-01-01T10:00"):
        told = await page.post(f"{path}/plan", 422, text="Another plan.", next_at=wrong)
        assert "Next contact" in _errors(told)
        assert "Another plan." in told.text
    told = await page.post(f"{path}/owner", 422, owner="stranger")
    assert "Who follows it" in _errors(told)
    assert 'value="stranger"' in told.text
    await page.post(f"{path}/notes", 422, text="")


async def test_a_case_is_passed_on_or_moved(world: World, door: Door) -> None:
    (case_id,) = await posts(world, (1,))
    page, path = _page(world, door, ANA), f"cases/{case_id}"
    await page.post(f"{path}/claim")
    told = await page.post(f"{path}/move", 422, queue="", reason="It is about data.")
    assert "Queue" in _errors(told)
    assert "It is about data." in told.text
    told = await page.post(f"{path}/move", 422, queue="privacy")
    assert "Reason" in _errors(told)
    gone = await page.post(f"{path}/move", queue="privacy", reason="It is about data.")
    assert gone.headers["location"] == "/en/queue"
    assert (world.case().queue, world.case().claimed_by) == ("privacy", None)
    await page.post(f"{path}/skip", 422, reason="tired")
    await page.post(f"{path}/skip", reason="no_language")
    assert world.case().skipped == (ANA.name,)
    assert "I do not read the language" in text_of(await page.get(path))
    supervisor = _page(world, door, SUE)
    await supervisor.post(f"{path}/move", queue="general", reason="Ours after all.")
    assert world.case().queue == "general"


async def test_cases_are_worked_as_one_and_taken_apart_again(world: World, door: Door) -> None:
    lead, other, third = await posts(world, (1, 2, 3))
    page, path = _page(world, door, ANA), f"cases/{lead}"
    await page.post(f"{path}/claim")
    told = await page.post(f"{path}/merge", 422, ids="the second one", reason="One seller.")
    assert "Ids of cases" in _errors(told)
    assert "the second one" in told.text
    assert "Reason" in _errors(await page.post(f"{path}/merge", 422, ids=other))
    told = await page.post(f"{path}/merge", 409, ids=lead, reason="One seller.")
    assert "A case does not follow itself" in _errors(told)
    await page.post(f"{path}/merge", ids=f"{other}\n{third}", reason="One seller.")
    assert world.case(other).lead == lead
    shown = await page.get(path)
    assert f'href="/en/cases/{third}"' in shown
    assert f'href="/en/cases/{lead}"' in await page.get(f"cases/{third}")
    await page.post(f"cases/{third}/parting", 422)
    await page.post(f"cases/{third}/parting", reason="Another seller.")
    assert world.case(third).lead is None
    (merge,) = (o for o in _operations(world) if o.kind.value == "merge")
    told = await page.post(f"{path}/undo", 422, operation=merge.id)
    assert "Reason" in _errors(told)
    assert world.case(other).lead == lead
    await page.post(f"{path}/undo", operation=merge.id, reason="Not one seller.")
    assert world.case(other).lead is None
    history = text_of(await page.get(path))
    for words in ("Joined with other cases", "The cases were taken apart again", "Not one seller."):
        assert words in history


async def test_my_decision_is_applied_with_a_result_for_each(world: World, door: Door) -> None:
    lead, other = await posts(world, (1, 2))
    (busy,) = await posts(world, (3,))
    page, path = _page(world, door, ANA), f"cases/{lead}"
    await page.post(f"{path}/claim")
    await page.post(f"{path}/merge", ids=f"{other} {busy}", reason="One seller.")
    told = await page.post(f"{path}/group-decision", 409)
    assert "You have not assessed the case that leads" in told.text
    await decided(world, lead, FRAUD, "scam_fraud")
    await world.desk.claim(BEA, busy)
    done = await page.post(f"{path}/group-decision", 200)
    results = text_of(done.text).partition("What became of each case")[2][:200]
    assert f"{other[:8]} Done" in results
    assert f"{busy[:8]} Not done Somebody else works on this case" in results
    assert len(world.dispatched()) == 2


async def test_reports_are_split_off_and_come_back(world: World, door: Door) -> None:
    (case_id,) = await posts(world, (1,))
    apart = await world.arrives(post(1), category="phishing_malware")
    page, path = _page(world, door, ANA), f"cases/{case_id}"
    await page.post(f"{path}/claim")
    await page.post(f"{path}/split", 409, reason="It is another thing.")
    told = await page.post(f"{path}/split", 422, reports=[apart])
    assert re.search(rf'value="{apart}" checked', told.text)
    await page.post(f"{path}/split", reports=[apart], reason="It is another thing.")
    (part,) = (c for c in world.cases() if c.id != case_id)
    assert (world.case(case_id).reports, part.reports) == (1, 1)
    (row,) = _operations(world)
    await page.post(f"{path}/undo", operation=row.id, reason="It was one thing.")
    assert world.case(case_id).reports == 2


async def test_an_appeal_is_answered_by_somebody_who_was_no_part_of_it(
    world: World, door: Door
) -> None:
    (case_id,) = await posts(world, (1,))
    await decided(world, case_id, FRAUD, "scam_fraud")
    (row,) = world.case().decisions
    page, path = _page(world, door, ANA), f"cases/{case_id}"
    sent = {"decision_id": row.id, "side": "partner", "grounds": "Nothing was sold."}
    told = await page.post(f"{path}/appeals", 422, **sent)
    assert "Partner" in _errors(told)
    assert "Nothing was sold." in told.text
    await page.post(f"{path}/appeals", partner="meta", **sent)
    (appeal,) = (APPEALS.decode(d) for d in world.hub.store.docs["appeals"].values())
    shown = text_of(await page.get(path))
    assert "You may not answer this appeal." in shown
    assert "Sign the answer" not in shown
    told = await page.post(
        f"{path}/appeal-answers", 422, appeal_id=appeal.id, outcome="upheld", reason="Fine."
    )
    assert "is one of the people who decided this" in _errors(told)
    await world.desk.release(ANA, case_id, done=False)
    second = _page(world, door, LEA)
    assert "Claim the case to answer." in text_of(await second.get(path))
    await second.post(f"{path}/claim")
    told = await second.post(
        f"{path}/appeal-answers", 422, appeal_id=appeal.id, outcome="partly", reason="In part."
    )
    assert "What is taken back" in _errors(told)
    assert "In part." in told.text
    (dispatch,) = world.case().dispatches
    await second.post(
        f"{path}/appeal-answers", appeal_id=appeal.id, outcome="partly", reason="In part.",
        withdraw=[dispatch],
    )  # fmt: skip
    assert world.case().dispatches[dispatch].withdrawn == "decided_anew"
    assert "Part of it is taken back" in text_of(await second.get(path))


async def test_another_body_is_asked_and_its_answer_written_down(world: World, door: Door) -> None:
    (case_id,) = await posts(world, (1,))
    page, path = _page(world, door, ANA), f"cases/{case_id}"
    await page.post(f"{path}/claim")
    told = await page.post(f"{path}/opinions", 422, body="nobody", question="Is it known?")
    assert "To whom" in _errors(told)
    assert "Is it known?" in told.text
    await page.post(f"{path}/opinions", body="macert", question="Is it known?")
    (asked,) = (OPINIONS.decode(d) for d in world.hub.store.docs["opinions"].values())
    assert "An answer is awaited" in text_of(await page.get(path))
    sent = {"opinion_id": asked.id, "text": "Seen since May."}
    told = await page.post(f"{path}/opinion-answers", 422, **sent)
    assert "Who said it" in _errors(told)
    assert "Seen since May." in told.text
    day = world.clock.now().date().isoformat()
    await page.post(f"{path}/opinion-answers", author="The duty officer", on=day, **sent)
    shown = text_of(await page.get(path))
    assert "Seen since May." in shown
    assert "The duty officer" in shown


async def test_notes_stay_at_the_desk(world: World, door: Door) -> None:
    """What is written as a note is never a message, whatever form it came through."""
    (case_id,) = await posts(world, (1,))
    page = _page(world, door, ANA)
    await page.post(f"cases/{case_id}/claim")
    await page.post(f"cases/{case_id}/notes", text="Internal.")
    assert len(world.hub.store.docs[NOTES.name]) == 1
    assert not world.hub.store.docs.get("messages")


def _operations(world: World) -> list:  # type: ignore[type-arg]
    return [OPERATIONS.decode(d) for d in world.hub.store.docs.get("operations", {}).values()]
