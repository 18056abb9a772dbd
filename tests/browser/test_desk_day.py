# SPDX-License-Identifier: Apache-2.0
"""A day at the desk with nothing but a keyboard: from the first sign-in to a reversal, in Arabic and
in French."""

import re
from typing import Any

import pytest
from desk_hub import DeskHub, Hands
from playwright.sync_api import expect
from triage_world import answers
from wasl_schemas import topics
from wasl_schemas.lifecycle import CaseState, DispatchState, WatchState
from wasl_triage.cases.working import SkipReason
from wasl_triage.domain.decisions import Rabat, Screen

LANGUAGES = ("ar", "fr")
POST = "https://www.facebook.com/permalink.php?story_fbid={n}&id=100000000000023"
WORDS = {
    "ar": "كتب شخص كلاما مقلقا عن أهل حي كامل، وأعاده مرات.",
    "fr": "Quelqu’un écrit des phrases inquiétantes sur les gens d’un quartier, et les répète.",
}
REASON = "A rule of the platform and six parts."


def reported(desk: DeskHub, lang: str, n: int, category: str, text: str = "", **facts: Any) -> str:
    """A report of one post; the id of its case."""
    place = POST.format(n=n)
    facts = {"category": category, "language": lang, "consent_partner": True, **facts}
    desk.run(desk.world.arrives(place, text=text, **facts))
    return desk.world.case_id(place)


def state(desk: DeskHub, case_id: str) -> CaseState:
    return desk.world.case(case_id).state


def label(desk: DeskHub, lang: str, category: str) -> str:
    return desk.pack.words(desk.pack.categories[category].label, lang)


def judge(hands: Hands, category: str) -> None:
    """The category and every question it asks; script shows only those."""
    hands.choose("category", category)
    asked = answers(hands.hub.pack, category)
    shown = hands.page.locator("[data-asked]:visible")
    expect(shown).to_have_count(len(asked))
    for question, given in asked.items():
        hands.choose(f"answer_{question}", given)


def refused(hands: Hands) -> None:
    """What is missing is said, and the focus is on it."""
    errors = hands.page.locator(".errors")
    expect(errors).to_be_focused()
    assert errors.locator("li").count()


@pytest.mark.parametrize("lang", LANGUAGES)
def test_a_day(desk: DeskHub, sit: Any, lang: str) -> None:
    world = desk.world
    speech = reported(desk, lang, 1, "threats", WORDS[lang])
    fraud = reported(desk, lang, 2, "scam_fraud")
    other = reported(desk, lang, 3, "out_of_scope")

    # -- the first morning: an invitation, a password, an app, the code of conduct, the queue ------
    hands: Hands = sit(desk, lang)
    page = hands.page
    secrets = {"amal": hands.first_time("amal")}
    assert hands.path == "queue"
    rows = page.locator("[data-rows] tbody tr")
    expect(rows).to_have_count(3)
    hands.press("?")
    expect(page.locator("#keys")).to_be_visible()
    hands.press("Escape")
    expect(page.locator("#keys")).to_be_hidden()
    for key in "jjk":
        hands.press(key)
    expect(rows.first).to_have_attribute("aria-selected", "true")
    hands.leave()
    assert hands.path == f"cases/{speech}"

    # -- a text that distresses is folded until it is wanted ---------------------------------------
    said = page.get_by_text(WORDS[lang])
    expect(said).to_be_hidden()
    hands.press("t")
    expect(said).to_be_visible()
    hands.press("g")
    hands.leave("q")
    assert hands.path == "queue"

    # -- passed on with a reason: nobody offers it again -------------------------------------------
    for key in "jjj":
        hands.press(key)
    hands.leave()
    assert hands.path == f"cases/{other}"
    hands.press("s")
    hands.choose("reason", SkipReason.CONFLICT_OF_INTEREST.value)
    hands.send("/skip")
    assert hands.path == "queue"
    expect(rows).to_have_count(2)

    # -- the next one: claimed, assessed, decided --------------------------------------------------
    hands.leave("n")
    assert hands.path == f"cases/{speech}"
    assert world.case(speech).claimed_by == "amal"
    hands.press("a")
    hands.send("/assessment")
    refused(hands)
    judge(hands, "hate_speech")
    hands.type("#assessment-note", "About a group of people.")
    hands.send("/assessment")
    assert state(desk, speech) is CaseState.ASSESSED
    hands.press("d")
    hands.choose("action", "dispatch")
    hands.type("#decision-reason", REASON)
    hands.send("/decision")
    refused(hands)
    expect(page.locator("#decision-reason")).to_have_value(REASON)
    hands.choose("ground", "terms:terms.hate")
    hands.tick("partners", "meta")
    hands.choose("measure", "label")
    for part in Rabat.model_fields:
        if part != "conclusion":
            hands.type(f"#decision-rabat_{part}", f"A sentence about {part}.")
    hands.choose("rabat_conclusion", "reached")
    for question in Screen.model_fields:
        hands.choose(f"screen_{question}", "no")
    hands.send("/decision")
    assert state(desk, speech) is CaseState.SECOND_LOOK
    assert world.dispatched() == []
    hands.sign_out()

    # -- the second person judges apart, reads what was proposed, and confirms ---------------------
    secrets["basma"] = hands.first_time("basma")
    row = page.locator(f'tbody a[href$="/cases/{speech}"]')
    hands.tab_to(f'tbody a[href$="/cases/{speech}"]')
    expect(row).not_to_have_text(label(desk, lang, "hate_speech"))
    hands.leave()
    hands.leave("c")
    assert REASON not in page.content()
    expect(page.locator("[name=confirm]")).to_have_count(0)  # judged first, answered then
    judge(hands, "hate_speech")
    hands.send("/confirmation")
    assert state(desk, speech) is CaseState.SECOND_LOOK
    expect(page.locator("main")).to_contain_text(REASON)
    hands.send("/confirmation")
    (request,) = world.dispatched()
    assert (request.case_id, request.partner, request.withdrawn) == (speech, "meta", None)
    assert state(desk, speech) is CaseState.IN_PROGRESS
    hands.send("/release")
    hands.sign_out()

    # -- a case that one person may decide: answered, and the reporter is told ---------------------
    hands.tab_to("main a")
    hands.leave()
    hands.sign_in("amal", secrets["amal"])
    hands.leave("n")
    assert hands.path == f"cases/{fraud}"
    judge(hands, "scam_fraud")
    hands.send("/assessment")
    hands.choose("action", "dispatch")
    hands.choose("ground", "terms:terms.fraud")
    hands.tick("partners", "meta")
    hands.type("#decision-reason", "A fee, then silence.")
    hands.send("/decision")
    assert [d.case_id for d in world.dispatched()] == [speech, fraud]
    hands.press("w")
    hands.type("#messages-text", "We have asked the platform.")
    before = len(world.changes())
    removed = world.answer(fraud, "meta", 1, DispatchState.REMOVED)
    desk.run(world.deliver(removed))
    # Somebody types: the page says that it is old, and takes nothing away.
    expect(page.locator("#news")).to_be_visible()
    expect(page.locator("#messages-text")).to_have_value("We have asked the platform.")
    assert world.changes()[before:] == ["outcome"]
    assert state(desk, fraud) is CaseState.RESOLVED
    hands.send("/messages")
    (letter,) = world.emitted(topics.STAFF_MESSAGE_SENT_V1)
    assert letter.case_id == fraud
    expect(page.locator("#messages").locator("..")).to_contain_text("We have asked the platform.")

    # -- followed: a plan, the next contact, a note ------------------------------------------------
    hands.press("i")
    hands.type("#notes-text", "The bank knows.")
    hands.send("/notes")
    hands.tab_to('details:has(form[action$="/plan"]) > summary')
    hands.press("Enter")
    hands.type("#plan-text", "Ask whether the fee came back.")
    hands.tab_to("#plan-next_at")
    # Day and month in either order; half a day's name where the browser asks for one.
    for keys in ("0909", "2026", "Tab", "0909", "ArrowUp"):
        (hands.page.keyboard.type if keys.isdigit() else hands.press)(keys)
    expect(page.locator("#plan-next_at")).to_have_value(re.compile("^2026-09-09T"))
    hands.send("/plan")
    assert world.case(fraud).next_at is not None

    # -- the queue shows by itself what comes ------------------------------------------------------
    hands.press("g")
    hands.leave("q")
    known = rows.count()
    reported(desk, lang, 4, "phishing_malware")
    expect(rows).to_have_count(known + 1)
    desk.run(world.deliver(world.observed(fraud, 1, WatchState.GONE)))
    desk.run(world.deliver(world.observed(fraud, 2, WatchState.REAPPEARED)))
    expect(rows).to_have_count(known + 2)
    assert state(desk, fraud) is CaseState.OPEN

    # -- somebody affected asks that it is looked at again; a third person takes it back -----------
    desk.run(world.deliver(world.answer(speech, "meta", 1, DispatchState.ACKNOWLEDGED)))
    hands.open(f"cases/{speech}")
    hands.tab_to('details:has(form[action$="/appeals"]) > summary')
    hands.press("Enter")
    hands.choose("side", "affected")
    hands.type("#appeals-grounds", "The words are a quotation.")
    hands.send("/appeals")
    hands.leave("c")
    assert page.locator('form[action$="/appeal-answers"]').count() == 0  # their own decision
    hands.send("/release")
    hands.sign_out()
    hands.first_time("lamia")
    hands.tab_to(f'tbody a[href$="/cases/{speech}"]')
    hands.leave()
    hands.leave("c")
    hands.choose("outcome", "reversed")
    hands.send("/appeal-answers")
    refused(hands)
    hands.type('form[action$="/appeal-answers"] textarea', "It reports what somebody else said.")
    hands.send("/appeal-answers")
    last = world.dispatched()[-1]
    assert (last.dispatch_id, last.revision) == (request.dispatch_id, request.revision + 1)
    assert last.withdrawn == "decided_anew"
    assert world.changes()[-1] == "outcome"

    # -- everything that happened is there ---------------------------------------------------------
    hands.press("h")
    told = page.locator("#history li:visible")
    assert told.count() >= 8
    whole = page.locator("#history").inner_text()
    for who in ("amal", "basma", "lamia", "Meta" if lang == "fr" else "ميتا"):
        assert who in whole, (who, whole)


@pytest.mark.parametrize("lang", LANGUAGES)
def test_a_day_has_an_end(desk: DeskHub, sit: Any, lang: str) -> None:
    """Breaks, a budget, silence, and what the way back shows after signing out: nothing."""
    world = desk.world
    exposure = desk.pack.desk.exposure
    case_id = reported(desk, lang, 1, "threats", WORDS[lang])
    other = reported(desk, lang, 2, "scam_fraud")
    hands: Hands = sit(desk, lang)
    page = hands.page
    secret = hands.first_time("amal")
    hands.leave("n")
    assert hands.path == f"cases/{case_id}"
    rest = page.locator("[data-break]")
    expect(rest).to_be_hidden()
    for _ in range(exposure.break_after_minutes // 5):
        desk.later(minutes=5)
        page.reload()
    expect(rest).to_be_visible()

    amal = desk.person("amal")
    while not desk.run(world.desk.wellbeing.standing(amal)).spent:
        desk.run(world.desk.read(amal, case_id))
    hands.press("g")
    hands.leave("q")
    expect(page.locator(".notice.warn:visible")).to_have_count(2)
    rows = page.locator("[data-rows] tbody tr")
    expect(rows).to_have_count(1)
    hands.leave("n")  # only what does not distress is offered
    assert hands.path == f"cases/{other}"
    hands.open(f"cases/{case_id}", 409)
    expect(page.locator("main")).not_to_contain_text(WORDS[lang])
    hands.open(f"cases/{other}")

    desk.later(minutes=21)
    page.reload()
    assert hands.path == "sign-in"
    hands.sign_in("amal", secret)
    assert hands.path == f"cases/{other}"
    hands.sign_out()
    for _ in range(2):
        hands.back()
        assert hands.path == "sign-in"
        expect(page.locator("main")).not_to_contain_text(label(desk, lang, "scam_fraud"))


def test_what_changed_before_the_page_listened_is_told(desk: DeskHub, sit: Any) -> None:
    hands: Hands = sit(desk, "fr")
    hands.context.add_cookies([desk.session("amal", "fr")])
    hands.open("queue")
    told = hands.page.evaluate("""async () => {
      const reader = (await fetch("/fr/live?of=queue&since=before")).body.getReader();
      let text = "";
      while (text.length < 40) text += new TextDecoder().decode((await reader.read()).value);
      await reader.cancel();
      return text;
    }""")
    assert "event: changed" in told
