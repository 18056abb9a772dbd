# SPDX-License-Identifier: Apache-2.0
"""The page of a case: forms that keep what was typed, and nothing on it that its reader may not
know or see.
"""

import re

import httpx
import pytest
from cases_kit import UNA, posts
from desk import Browser, Door, application, text_of
from triage_world import ANA, BEA, LEA, RABAT, SUE, World, answers, said
from wasl_schemas.lifecycle import CaseState
from wasl_triage.domain.case import Action, Measure
from wasl_triage.domain.decisions import Proposal, Screen

SECRET = "What the first person thinks of it."
STORY = "<script>alert(1)</script> <b>bold</b> & so on"
NOTHING = dict.fromkeys(Screen.model_fields, False)


class Desk:
    """The pages of one world, opened by several people."""

    def __init__(self, world: World) -> None:
        self._door = Door()
        self._app = application(world, self._door)

    def of(self, person: object, lang: str = "en") -> Browser:
        return Browser(self._app, self._door, person, lang)  # type: ignore[arg-type]


@pytest.fixture
def desk(world: World) -> Desk:
    return Desk(world)


def _answers(world: World, category: str) -> dict[str, str]:
    return {f"answer_{q}": a for q, a in answers(world.pack, category).items()}


def _errors(answer: httpx.Response) -> str:
    found = re.search(r'<div class="errors".*?</div>', answer.text, re.DOTALL)
    assert found is not None
    return text_of(found.group())


async def _hate(world: World) -> str:
    """A case of speech that waits for a second person, who is to judge it blind."""
    (case_id,) = await posts(world, (1,), category="hate_speech", text="A post about neighbours.")
    await world.desk.claim(ANA, case_id)
    note = "As the reporter says."
    await world.desk.assess(ANA, case_id, said(world.pack, "hate_speech", note=note))
    wanted = Proposal(
        action=Action.DISPATCH, reason=SECRET, ground=world.pack.grounds_for("hate_speech")[0],
        partners=("meta",), screen=Screen(**NOTHING), rabat=RABAT, measure=Measure.LABEL,
        explanation="Plain words about the item.",
    )  # fmt: skip
    await world.desk.decide(ANA, case_id, wanted)
    return case_id


# -- assessing and deciding ----------------------------------------------------------------------


async def test_a_case_from_claim_to_dispatch(world: World, desk: Desk) -> None:
    (case_id,) = await posts(world, (1,))
    page, path = desk.of(ANA), f"cases/{case_id}"
    assert "Sign the assessment" not in await page.get(path)
    await page.post(f"{path}/claim")
    assert "Sign the assessment" in await page.get(path)
    fields = _answers(world, "scam_fraud")
    await page.post(f"{path}/assessment", category="scam_fraud", **fields)
    ground = next(g for g in world.pack.grounds_for("scam_fraud") if g.kind == "terms")
    await page.post(
        f"{path}/decision", action="dispatch", reason="A fee.", ground=f"terms:{ground.ref}",
        partners=["meta"], close_reason="no_ground",
    )  # fmt: skip
    assert [d.partner for d in world.dispatched()] == ["meta"]
    assert world.case().state is CaseState.IN_PROGRESS
    assert "Asked for" in text_of(await page.get(path))


async def test_another_categorys_questions_come_with_what_was_typed(
    world: World, desk: Desk
) -> None:
    (case_id,) = await posts(world, (1,))
    page = desk.of(ANA)
    await page.post(f"cases/{case_id}/claim")
    told = await page.post(
        f"cases/{case_id}/assessment", 422, category="hate_speech", note="It is about a group.",
        answer_clear="yes", signals=["press"],
    )  # fmt: skip
    shown = set(re.findall(r'<fieldset class="question" data-asked="[^"]*">.*?name="(\w[\w-]*)"',
                           told.text, re.DOTALL))  # fmt: skip
    asked = {f"answer_{q.id}" for q in world.pack.desk.questions_for("hate_speech")}
    assert shown == asked
    assert "It is about a group." in told.text
    assert re.search(r'name="answer_clear" value="yes" checked', told.text)
    assert re.search(r'name="signals" value="press" checked', told.text)
    missing = [q for q in world.pack.desk.questions_for("hate_speech") if q.id != "clear"]
    for question in missing:
        assert world.pack.words(question.text, "en") in _errors(told)
    assert world.case().assessment is None


async def test_what_is_missing_of_a_decision_is_said_beside_it(world: World, desk: Desk) -> None:
    (case_id,) = await posts(world, (1,), category="hate_speech")
    await world.desk.claim(ANA, case_id)
    await world.desk.assess(ANA, case_id, said(world.pack, "hate_speech"))
    page, path = desk.of(ANA), f"cases/{case_id}"
    form = await page.get(path)
    for part in ("measure", "measure_note", "rabat_context", "rabat_conclusion", "screen_satire"):
        assert f'name="{part}"' in form
    assert form.index('value="label"') < form.index('value="age_restrict"')
    assert 'value="account_action"' not in form
    told = await page.post(
        f"{path}/decision", 422, action="dispatch", rabat_context="A tense week.",
        screen_satire="yes", partners=["meta"],
    )  # fmt: skip
    for word in ("Ground", "What is asked for", "Speaker", "Protected-speech screen", "Reason"):
        assert word in _errors(told)
    assert "A tense week." in told.text
    assert re.search(r'name="screen_satire" value="yes" checked', told.text)
    assert re.search(r'name="partners" value="meta" checked', told.text)
    whole = {f"rabat_{k}": v for k, v in RABAT.model_dump().items()}
    ground = world.pack.grounds_for("hate_speech")[0]
    await page.post(
        f"{path}/decision", action="dispatch", reason="A call.", partners=["meta"],
        ground=f"{ground.kind.value}:{ground.ref}", measure="remove", measure_note="Repeated.",
        **whole, **{f"screen_{name}": "no" for name in NOTHING},
    )  # fmt: skip
    assert world.case().state is CaseState.SECOND_LOOK


async def test_measure_and_six_parts_are_asked_only_where_they_belong(
    world: World, desk: Desk
) -> None:
    (case_id,) = await posts(world, (1,))
    await world.desk.claim(ANA, case_id)
    await world.desk.assess(ANA, case_id, said(world.pack, "scam_fraud"))
    form = await desk.of(ANA).get(f"cases/{case_id}")
    assert 'name="action"' in form
    for part in ("measure", "rabat_context", "screen_satire"):
        assert f'name="{part}"' not in form


async def test_a_claim_that_ran_out_costs_no_text(world: World, desk: Desk) -> None:
    (case_id,) = await posts(world, (1,))
    page = desk.of(ANA)
    await page.post(f"cases/{case_id}/claim")
    world.later(hours=2)
    told = await page.post(
        f"cases/{case_id}/assessment", 409, category="scam_fraud", note="An hour of thought."
    )
    assert "You do not hold this case" in _errors(told)
    assert "An hour of thought." in told.text


# -- what a reader may not know or see -----------------------------------------------------------


async def test_a_second_person_judges_before_they_know(world: World, desk: Desk) -> None:
    case_id = await _hate(world)
    page, path = desk.of(LEA), f"cases/{case_id}"
    await desk.of(ANA).post(f"{path}/notes", text="It looks clear.")
    await page.post(f"{path}/claim")
    row = world.case().decisions[0]
    ground = world.pack.words(world.pack.ground(row.ground).title, "en")  # type: ignore[arg-type]
    before = await page.get(path)
    notes = (SECRET, "As the reporter says.", "It looks clear.", "Plain words", RABAT.context)
    hidden = (*notes, ANA.name, ground, "Meta")
    for text in hidden:
        assert text not in text_of(before)
        assert text not in before
    assert 'name="confirm"' not in before
    told = await page.post(f"{path}/confirmation", 422, decision_id=row.id, category="hate_speech")
    assert SECRET not in told.text
    assert world.pack.words(world.pack.questions["clear"].text, "en") in _errors(told)
    fields = _answers(world, "hate_speech")
    await page.post(f"{path}/confirmation", decision_id=row.id, category="hate_speech", **fields)
    after = await page.get(path)
    for text in hidden:
        assert text in text_of(after)
    await page.post(f"{path}/confirmation", decision_id=row.id, confirm="yes")
    assert [d.partner for d in world.dispatched()] == ["meta"]


async def test_nobody_views_it_a_second_time(world: World, desk: Desk) -> None:
    (case_id,) = await posts(world, (1,), category="child_grooming", text="What was written.")
    await world.desk.claim(ANA, case_id)
    await world.desk.assess(ANA, case_id, said(world.pack, "child_grooming"))
    ground = world.pack.grounds_for("child_grooming")[0]
    wanted = Proposal(action=Action.DISPATCH, reason="Checked.", ground=ground, partners=("meta",))
    await world.desk.decide(ANA, case_id, wanted)
    await desk.of(ANA).post(f"cases/{case_id}/notes", text="What it shows.")
    await world.desk.claim(BEA, case_id)
    page = desk.of(BEA)
    shown = await page.get(f"cases/{case_id}")
    for text in ("What was written.", "What it shows."):
        assert text not in shown
    assert "Nobody views this a second time" in text_of(shown)
    assert "Meta" in text_of(shown)
    assert "unmasked" not in shown
    await page.post(f"cases/{case_id}/unmasked", 409)


async def test_what_an_uncleared_person_may_not_see_does_not_exist(
    world: World, desk: Desk
) -> None:
    (case_id,) = await posts(world, (1,), category="csam", text="What was written.")
    page = desk.of(UNA)
    for path in ("", "/claim", "/notes", "/owner", "/merge", "/appeals", "/opinions", "/skip"):
        method = page.post if path else page.get
        assert "What was written." not in str(await method(f"cases/{case_id}{path}", 404))  # type: ignore[operator]
    assert "What was written." in await desk.of(ANA).get(f"cases/{case_id}")


async def test_people_write_text_and_the_page_shows_text(world: World, desk: Desk) -> None:
    (case_id,) = await posts(world, (1,), text=STORY)
    await world.desk.claim(ANA, case_id)
    page = desk.of(ANA)
    await page.post(f"cases/{case_id}/notes", text="<img src=x>")
    shown = await page.get(f"cases/{case_id}")
    assert STORY in text_of(shown)
    for markup in ("<script>alert", "<b>bold", "<img src"):
        assert markup not in shown
    assert re.search(r'<p class="said" dir="auto">&lt;script&gt;', shown)
    assert "https://www.facebook.com" not in "".join(re.findall(r'(?:href|src)="[^"]*"', shown))


async def test_an_unsafe_place_is_an_alarm(world: World, desk: Desk) -> None:
    (case_id,) = await posts(world, (1,), risk=("unsafe_place", "threatened"), affected="self")
    shown = await desk.of(ANA).get(f"cases/{case_id}")
    assert "notice alarm" in shown
    for words in ("do not call, do not write there", "Threat or blackmail", "About: The reporter"):
        assert words in text_of(shown)


async def test_what_the_machine_thinks_is_said_in_words(world: World, desk: Desk) -> None:
    text = "On m'a demandé 500 dirhams d'avance pour un colis, puis plus rien."
    (case_id,) = await posts(world, (1,), text=text, risk=("unsafe_place",))
    case = world.case()
    assert case.suggested is not None
    shown = text_of(await desk.of(ANA, "fr").get(f"cases/{case_id}"))
    term = next(w for w in case.suggested_why if "@" in w).partition("@")[0]
    label = next(t.label for t in world.pack.lexicon.terms if t.id == term)
    assert world.pack.words(label, "fr") in shown
    assert "Lieu peu sûr" in shown  # the title of the rule, not its word
    assert "do_not_call" not in shown


# -- whose form it is ----------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["claim", "notes", "decision", "appeals", "skip"])
async def test_a_form_of_another_session_or_site_does_nothing(
    world: World, desk: Desk, form: str
) -> None:
    (case_id,) = await posts(world, (1,))
    page = desk.of(ANA)
    before = world.case().version
    await page.post(f"cases/{case_id}/{form}", 403, csrf="another")
    page._client.headers["sec-fetch-site"] = "cross-site"
    await page.post(f"cases/{case_id}/{form}", 403)
    assert (world.case().version, world.case().claimed_by) == (before, None)


async def test_a_supervisor_takes_over_and_does_not_judge(world: World, desk: Desk) -> None:
    (case_id,) = await posts(world, (1,))
    await world.desk.claim(ANA, case_id)
    page, path = desk.of(SUE), f"cases/{case_id}"
    assert "Take over" in text_of(await page.get(path))
    await page.post(f"{path}/claim", take_over="yes")
    assert world.case().claimed_by == SUE.name
    assert "Sign the assessment" not in await page.get(path)
    await page.post(f"{path}/assessment", 403, category="scam_fraud")
