# SPDX-License-Identifier: Apache-2.0
"""Behind the receipt, page by page, without script, for people who err or come back too late."""

from typing import Any

import httpx
import pytest
from pages import Page, Person
from wasl_chassis.failures import Overloaded, Retryable
from wasl_intake import bootstrap
from wasl_intake.domain import receipt
from wasl_intake.gate import Gate
from wasl_intake.repository import RATINGS, REPORTS
from wasl_schemas import topics
from wasl_schemas.events.case_opened_v1 import CaseOpenedV1
from wasl_schemas.events.case_updated_v1 import NO_GROUND, CaseChange, CaseUpdatedV1
from wasl_schemas.events.common import Severity
from wasl_schemas.events.staff_message_sent_v1 import StaffMessageSentV1
from wasl_schemas.ids import uuid7
from wasl_schemas.lifecycle import CaseState

LANGUAGES = ("ar", "fr", "en")
CASE = "case-behind-01"
ADDRESS = "someone@example.org"
PEPPER = b"p" * 32


async def inside(portal: Any, lang: str = "en", **report: Any) -> tuple[Person, str]:
    """A person who has typed the receipt of a new report."""
    code = await portal.send(language=lang, **report)
    person = Person(portal, lang)
    await person.open("follow")
    await person.send(receipt=code)
    assert person.path == "follow"
    return person, code


async def staff_writes(portal: Any, code: str, text: str, *, question: bool = False) -> None:
    report_id = portal.report_id(code)
    sealed = await portal.hub.unit().keys.seal(report_id, "report.message", text)
    data = StaffMessageSentV1(
        message_id=uuid7(),
        case_id=CASE,
        report_id=report_id,
        sent_at=portal.hub.clock.now(),
        question=question,
        body=sealed,
    )
    await portal.learn([portal.hub.event(topics.STAFF_MESSAGE_SENT_V1, data)])


async def closed_without_ground(portal: Any, code: str) -> None:
    now = portal.hub.clock.now()
    opened = CaseOpenedV1(
        case_id=CASE, version=1, report_id=portal.report_id(code), category="threats",
        severity=Severity.LOW, platform="web", item_kind="page", opened_at=now, first_look_due=now,
    )  # fmt: skip
    closed = CaseUpdatedV1(
        case_id=CASE, version=2, change=CaseChange.CLOSED, state=CaseState.CLOSED,
        severity=Severity.LOW, category="threats", reason=NO_GROUND, changed_at=now,
    )  # fmt: skip
    event = portal.hub.event
    await portal.learn(
        [event(topics.CASE_OPENED_V1, opened), event(topics.CASE_UPDATED_V1, closed)]
    )


def links(page: Page) -> set[str]:
    return {str(g["href"]) for g in page.all("a")}


def report_of(portal: Any, code: str) -> Any:
    doc = portal.hub.store.docs["reports"][portal.report_id(code)]
    return REPORTS.decode(doc)


# -- the receipt -----------------------------------------------------------------------------------


@pytest.mark.parametrize("lang", LANGUAGES)
async def test_the_receipt_opens_the_report_and_reload_and_back_work(
    portal: Any, lang: str
) -> None:
    person, code = await inside(portal, lang, category="threats")
    assert "Status: received" in person.page.text
    for form in (code, receipt.grouped(receipt.read(code)).lower()):
        assert form not in person.answer.text
    page = await person.open("follow")
    assert "Status: received" in page.text
    assert "Do not pay" in page.text


@pytest.mark.parametrize("lang", LANGUAGES)
async def test_words_and_digits_open_it_too(portal: Any, lang: str) -> None:
    code = receipt.read(await portal.send())
    for typed in (receipt.words(code, lang), receipt.digits(code)):
        person = Person(portal, lang)
        await person.open("follow")
        page = await person.send(receipt=typed)
        assert "Status: received" in page.text
        await person.send(action="close")


@pytest.mark.parametrize(
    ("typed", "says"),
    [("hello", "typing mistake"), ("0" * 18, "No report has this receipt")],
)
async def test_a_wrong_receipt_is_told_and_never_repeated(
    portal: Any, typed: str, says: str
) -> None:
    person = Person(portal, "en")
    await person.open("follow")
    page = await person.send(404, receipt=typed)
    assert says in page.text
    assert typed not in person.answer.text
    assert [g for g in page.all("input") if g.get("aria-invalid")]
    assert "#receipt" in links(page)
    await person.send(422, receipt="  ")


async def test_known_and_unknown_cost_the_same_reads(portal: Any) -> None:
    code = await portal.send()
    calls = []
    for typed in (code, receipt.new(), "hello"):
        portal.http.cookies.clear()
        portal.hub.store.calls.clear()
        await portal.http.post("/en/follow", data={"receipt": typed})
        calls.append([call.split()[:2] for call in portal.hub.store.calls])
    assert calls[0] == calls[1] == calls[2]
    assert len(calls[0]) == 5


async def test_twenty_minutes_after_the_last_use_the_receipt_is_asked_again(portal: Any) -> None:
    person, _ = await inside(portal)
    for _ in range(3):
        portal.later(minutes=19)
        assert "Status:" in (await person.open("follow")).text
    portal.later(minutes=21)
    page = await person.open("follow")
    assert "Status:" not in page.text
    assert "does not open a report any more" not in page.text, "forgotten is not lost"


async def test_closing_forgets_the_receipt(portal: Any) -> None:
    person, _ = await inside(portal)
    await person.send(action="close")
    assert "Status:" not in (await person.open("follow")).text


async def test_a_report_that_is_gone_is_told_kindly(portal: Any) -> None:
    person, code = await inside(portal)
    del portal.hub.store.docs["reports"][portal.report_id(code)]
    page = await person.open("follow")
    assert "does not open a report any more" in page.text
    assert [g for g in page.all("input") if g.get("id") == "receipt"]


async def test_a_report_withdrawn_elsewhere_says_so(portal: Any) -> None:
    person, code = await inside(portal)
    await portal.withdraw(code)
    page = await person.open("follow")
    assert "Status: withdrawn" in page.text
    assert "taken back with its receipt" in page.text
    assert "textarea" not in [t for t, _ in page.tags]
    for path in ("withdraw", "contact", "rate", "chat"):
        await person.open(f"follow/{path}")
        assert person.path == "follow"


@pytest.mark.parametrize("path", ["withdraw", "contact", "rate", "chat"])
async def test_without_a_receipt_every_page_asks_for_it(portal: Any, path: str) -> None:
    person = Person(portal, "fr")
    page = await person.open(f"follow/{path}")
    assert person.path == "follow"
    assert [g for g in page.all("input") if g.get("id") == "receipt"]
    form = {"action": "x"} if path != "rate" else {"helped": "yes"}
    answer = await portal.http.post(f"/fr/follow/{path}", data=form)
    assert (answer.status_code, answer.headers["location"]) == (303, "/fr/follow")


async def test_another_site_cannot_act_for_the_reporter(portal: Any) -> None:
    person, code = await inside(portal)
    answer = await portal.http.post(
        "/en/follow/withdraw", data={"action": "withdraw"}, headers={"sec-fetch-site": "cross-site"}
    )
    assert answer.status_code == 403
    assert report_of(portal, code).withdrawn_at is None
    assert "Status: received" in (await person.open("follow")).text


# -- the thread ------------------------------------------------------------------------------------


async def test_another_site_cannot_act_in_a_browser_without_fetch_metadata(portal: Any) -> None:
    _, code = await inside(portal)
    for origin, status in (("https://evil.test", 403), ("http://hub.test", 303), ("null", 303)):
        answer = await portal.http.post(
            "/en/follow/contact",
            data={"email": "somebody@example.org"},
            headers={"origin": origin},
        )
        assert answer.status_code == status, origin
        assert (report_of(portal, code).contact_address is None) == (status == 403)


async def test_writing_goes_on_with_303_and_stays_one_message(portal: Any) -> None:
    person, code = await inside(portal)
    token = next(str(g["value"]) for g in person.page.all("input") if g.get("name") == "token")
    page = await person.send(message="<i>hello</i>\r\nyou")
    assert "Your message is saved" in page.text
    assert "<i>hello" not in person.answer.text
    assert "<i>hello</i>\nyou" in page.text
    again = {"action": "message", "token": token, "message": "<i>hello</i>\nyou"}
    await portal.http.post("/en/follow", data=again)
    assert len((await portal.follow(code)).json()["messages"]) == 1
    # A form of the browser's history with other words is another message, never lost.
    await portal.http.post("/en/follow", data={**again, "message": "and this"})
    assert len((await portal.follow(code)).json()["messages"]) == 2


async def test_the_notice_is_shown_once(portal: Any) -> None:
    person, _ = await inside(portal)
    await person.send(message="hello there")
    assert "Your message is saved" in person.page.text
    assert "Your message is saved" not in (await person.open("follow")).text


async def test_whose_message_it_is_is_said_in_words_and_by_side(portal: Any) -> None:
    person, code = await inside(portal)
    portal.later(minutes=1)
    await staff_writes(portal, code, "Which account?", question=True)
    portal.later(minutes=1)
    page = await person.open("follow")
    assert "Status: need_info" in page.text
    page = await person.send(message="The second one")
    sides = [g["class"] for g in page.all("li") if "said" in str(g.get("class"))]
    assert sides == ["said us", "said you"]
    thread = page.text[page.text.index("Which account?") - 120 :]
    assert thread.index("The team") < thread.index("Question") < thread.index("Which account?")
    assert thread.index("You") < thread.index("The second one")


async def test_an_erased_text_is_said_to_be_erased(portal: Any) -> None:
    person, code = await inside(portal)
    await person.send(message="hello there")
    uow = portal.hub.unit()
    await uow.keys.destroy(portal.report_id(code))
    await portal.hub.store.commit(uow.changes())
    page = await person.open("follow")
    assert "This text was erased." in page.text
    assert "hello there" not in page.text


@pytest.mark.parametrize(
    ("text", "says"),
    [("  ", "Write a few words"), ("x" * 5001, "the limit is 5000")],
)
async def test_a_refused_message_stays_in_its_field(portal: Any, text: str, says: str) -> None:
    person, _ = await inside(portal)
    page = await person.send(422, message=text)
    assert says in page.text
    assert text.strip() in person.answer.text
    assert [g["id"] for g in page.all("textarea") if g.get("aria-invalid")] == ["message"]
    assert not portal.hub.events(topics.REPORTER_MESSAGE_SENT_V1)


@pytest.mark.parametrize("failure", [Overloaded(), Retryable()])
async def test_what_could_not_be_saved_is_still_there_and_sent_once(
    portal: Any, failure: Exception
) -> None:
    person, code = await inside(portal)
    portal.hub.store.away = failure
    page = await person.send(503, message="a long message")
    assert "a long message" in page.text
    portal.hub.store.away = None
    await person.send(message="a long message")
    assert len((await portal.follow(code)).json()["messages"]) == 1


async def test_a_full_thread_says_what_to_do(portal: Any) -> None:
    person, _ = await inside(portal)
    for i in range(5):
        await person.send(message=f"message {i}")
    page = await person.send(409, message="one more")
    assert "no room for more messages" in page.text
    assert "one more" in page.text


async def test_a_message_typed_too_late_waits_for_the_receipt(portal: Any) -> None:
    person, code = await inside(portal)
    portal.later(minutes=21)
    page = await person.send(404, message="a long answer of mine")
    assert "It is kept in this browser" in page.text
    await person.send(404, receipt="hello")
    page = await person.send(receipt=code)
    assert "a long answer of mine" in page.text
    assert not portal.hub.events(topics.REPORTER_MESSAGE_SENT_V1), "found again, not sent"
    await person.send(message="a long answer of mine")
    assert len(portal.hub.events(topics.REPORTER_MESSAGE_SENT_V1)) == 1


async def test_the_language_changes_and_what_was_typed_stays(portal: Any) -> None:
    person, _ = await inside(portal, "ar")
    page = await person.send(message="half a sen", switch="fr")
    assert (person.lang, person.path) == ("fr", "follow")
    assert "half a sen" in page.text
    assert not portal.hub.events(topics.REPORTER_MESSAGE_SENT_V1)
    assert "half a sen" not in (await person.open("follow")).text


@pytest.mark.parametrize("button", ["hide", "keep"])
async def test_a_receipt_or_number_in_the_text_is_asked_about_once(
    portal: Any, button: str
) -> None:
    person, code = await inside(portal)
    text = f"call me on 0612 34 56 78, my code is {code}"
    page = await person.send(422, message=text)
    assert "Did you mean to write this?" in page.text
    assert not portal.hub.events(topics.REPORTER_MESSAGE_SENT_V1)
    buttons = {g["name"] for g in page.all("button") if g.get("form") == "write"}
    assert {"hide", "keep"} <= buttons
    await person.send(message=text, **{button: "yes"})
    (message,) = (await portal.follow(code)).json()["messages"]
    hidden = "call me on […], my code is […]"
    assert message["text"] == (hidden if button == "hide" else text)


async def test_danger_shows_the_numbers(portal: Any) -> None:
    calm, _ = await inside(portal)
    assert "tel:19" not in links(calm.page)
    person, _ = await inside(portal, danger_now=True)
    assert "tel:19" in links(person.page)
    assert "tel:19" in links(await person.open("follow/chat"))


# -- withdrawing -----------------------------------------------------------------------------------


@pytest.mark.parametrize("lang", LANGUAGES)
async def test_withdrawing_takes_two_steps(portal: Any, lang: str) -> None:
    person, code = await inside(portal, lang)
    assert f"/{lang}/follow/withdraw" in links(person.page)
    await person.open("follow/withdraw")
    assert report_of(portal, code).withdrawn_at is None, "asking is not doing"
    page = await person.send(action="withdraw")
    assert person.path == "follow"
    assert "Status: withdrawn" in page.text
    assert len(portal.hub.events(topics.REPORT_WITHDRAWN_V1)) == 1
    await portal.http.post(f"/{lang}/follow/withdraw", data={"action": "withdraw"})
    assert len(portal.hub.events(topics.REPORT_WITHDRAWN_V1)) == 1


# -- contact ---------------------------------------------------------------------------------------


def contacts(portal: Any) -> list[Any]:
    return [e.data for e in portal.hub.events(topics.REPORTER_CONTACT_CHANGED_V1)]


async def opened(portal: Any, sealed: str) -> str:
    return str(await portal.hub.unit().keys.open(sealed, "report.contact"))


async def test_a_contact_is_added_shown_masked_changed_and_removed(portal: Any) -> None:
    person, code = await inside(portal, "fr")
    await person.open("follow/contact")
    page = await person.send(email=ADDRESS, email_safe="yes")
    assert person.path == "follow"
    (added,) = contacts(portal)
    assert (added.report_id, added.language) == (portal.report_id(code), "fr")
    assert (added.contact.channel, added.contact.safe) == ("email", True)
    assert await opened(portal, added.contact.address) == ADDRESS
    assert report_of(portal, code).contact_address == added.contact.address
    page = await person.open("follow/contact")
    assert "s…@example.org" in page.text
    assert ADDRESS not in person.answer.text
    assert ADDRESS not in portal.hub.everything()
    await person.send(email=ADDRESS, email_safe="yes")
    assert len(contacts(portal)) == 1, "the same again is no change"
    await person.open("follow/contact")
    await person.send(email="other@example.org")
    assert contacts(portal)[1].contact.safe is False, "safe is said each time"
    await person.open("follow/contact")
    await person.send(action="safe")
    assert contacts(portal)[2].contact.safe is True
    await person.open("follow/contact")
    await person.send(action="unsafe")
    assert contacts(portal)[3].contact.safe is False
    await person.open("follow/contact")
    await person.send(action="remove")
    gone, kept = contacts(portal)[4], report_of(portal, code)
    assert gone.contact is None
    assert (kept.contact_channel, kept.contact_safe, kept.contact_address) == (None, False, None)
    await person.open("follow/contact")
    await person.send(action="remove")
    assert len(contacts(portal)) == 5
    times = [c.changed_at for c in contacts(portal)]
    assert times == sorted(set(times)), "a later change is newer, whatever the clock says"


async def test_in_an_unsafe_place_nothing_is_safe_until_it_is_said_here(portal: Any) -> None:
    contact = {"channel": "email", "address": ADDRESS, "safe": True}
    person, code = await inside(portal, risk=["unsafe_place"], contact=contact)
    assert report_of(portal, code).contact_safe is False
    page = await person.open("follow/contact")
    assert "not safe" in page.text
    assert not [g for g in page.all("input") if g.get("type") == "checkbox" and "checked" in g]
    await person.send(email="new@example.org")
    assert report_of(portal, code).contact_safe is False
    await person.open("follow/contact")
    await person.send(email="new@example.org", email_safe="yes")
    assert report_of(portal, code).contact_safe is True


async def test_a_wrong_address_comes_back(portal: Any) -> None:
    person, _ = await inside(portal)
    await person.open("follow/contact")
    page = await person.send(422, email="someone@", email_safe="yes")
    assert "not a complete e-mail address" in page.text
    field = next(g for g in page.all("input") if g.get("id") == "email")
    assert (field["value"], field["aria-invalid"]) == ("someone@", "true")
    assert contacts(portal) == []
    page = await person.send(email="half@", switch="ar")
    assert (person.lang, person.path) == ("ar", "follow/contact")
    assert next(g["value"] for g in page.all("input") if g.get("id") == "email") == "half@"


async def test_a_contact_and_its_event_are_one_commit(portal: Any) -> None:
    person, code = await inside(portal)
    await person.open("follow/contact")
    portal.hub.store.away = Retryable()
    answer = await portal.http.post("/en/follow/contact", data={"action": "save", "email": ADDRESS})
    assert answer.status_code == 503
    assert report_of(portal, code).contact_address is None
    assert contacts(portal) == []


async def test_after_a_withdrawal_no_contact_is_taken(portal: Any) -> None:
    person, code = await inside(portal)
    await person.open("follow/contact")
    await portal.withdraw(code)
    page = await person.send(email=ADDRESS, email_safe="yes")
    assert "Status: withdrawn" in page.text
    assert contacts(portal) == []


# -- rating ----------------------------------------------------------------------------------------


async def test_rating_waits_until_something_happened_and_may_be_changed(portal: Any) -> None:
    person, code = await inside(portal)
    assert "/en/follow/rate" not in links(person.page)
    await person.open("follow/rate")
    assert person.path == "follow"
    await portal.http.post("/en/follow/rate", data={"helped": "yes"})
    assert not portal.hub.store.docs.get("ratings")
    await staff_writes(portal, code, "Hello")
    assert "/en/follow/rate" in links(await person.open("follow"))
    await person.open("follow/rate")
    await person.send(helped="partly")
    await person.open("follow/rate")
    checked = {(g["name"], g["value"]) for g in person.page.all("input") if "checked" in g}
    assert checked == {("helped", "partly")}
    await person.send(helped="yes", recommend="no")
    await person.open("follow/rate")
    await person.send(helped="<script>", recommend="no")
    (doc,) = portal.hub.store.docs["ratings"].values()
    rating = RATINGS.decode(doc)
    assert rating.report_id == portal.report_id(code)
    assert (rating.helped, rating.recommend) == (None, "no")
    assert doc.keys() == {"_id", "_rev", "helped", "recommend", "rated_at"}
    value = portal.hub.metrics.value
    name = "wasl_intake_ratings_total"
    assert value(name, question="helped", answer="partly") == 1
    assert value(name, question="recommend", answer="no") == 1
    assert not value(name, question="helped", answer="yes"), "one answer a question is counted"


# -- review ----------------------------------------------------------------------------------------


async def test_a_review_is_asked_for_in_the_thread_and_only_where_it_makes_sense(
    portal: Any,
) -> None:
    person, code = await inside(portal, "fr")
    assert "reason" not in [g.get("id") for g in person.page.all("textarea")]
    await person.send(action="review", reason="please")
    assert not portal.hub.events(topics.REPORTER_MESSAGE_SENT_V1)
    portal.later(minutes=1)
    await closed_without_ground(portal, code)
    page = await person.open("follow")
    assert "Status: no_ground" in page.text
    assert "reason" in [g.get("id") for g in page.all("textarea")]
    page = await person.send(422, action="review", reason="x" * 5000)
    assert "x" * 5000 in page.text
    page = await person.send(action="review", reason="It names my school, call 0612345678")
    (message,) = (await portal.follow(code)).json()["messages"]
    title, _, reason = message["text"].partition("\n\n")
    assert title == "Demande de réexamen de la décision"
    assert reason == "It names my school, call 0612345678"
    assert "enregistrée" in page.text


# -- what is nowhere -------------------------------------------------------------------------------


async def test_titles_are_neutral_and_nothing_is_in_an_address(portal: Any) -> None:
    person, code = await inside(portal, danger_now=True, category="threats")
    await staff_writes(portal, code, "Hello")
    seen: list[httpx.URL] = []
    for path in ("follow", "follow/contact", "follow/rate", "follow/withdraw", "follow/chat"):
        await person.open(path)
        seen.append(person.answer.url)
        title = person.answer.text.partition("<title>")[2].partition("</title>")[0]
        assert title == "[en] Message service"
    assert not [u for u in seen if u.query or receipt.read(code) in str(u)]


async def test_the_cookie_says_nothing(portal: Any) -> None:
    person, code = await inside(portal)
    await person.send(message="half a sentence", switch="fr")
    jar = str(dict(portal.http.cookies))
    assert code not in jar
    assert receipt.read(code) not in jar
    assert "half" not in jar


async def test_a_person_without_cookies_is_asked_again_and_told_nothing(portal: Any) -> None:
    _, code = await inside(portal)
    portal.http.cookies.clear()
    answer = await portal.http.post("/en/follow", data={"action": "message", "message": "hello"})
    assert answer.status_code == 404
    assert not (await portal.follow(code)).json()["messages"]


# -- somebody tries receipts -----------------------------------------------------------------------


async def test_when_many_receipts_are_tried_everybody_waits_a_little_and_then_passes(
    portal: Any,
) -> None:
    code = await portal.send()
    hub, pack = portal.hub, portal.handlers._pack
    gate = Gate(pack, hub.clock, hub.metrics, pepper=PEPPER, rate=0.1)
    app = bootstrap.compose(
        portal.handlers,
        pack,
        hub.metrics,
        pepper=PEPPER,
        body_limit=65_536,
        gate=gate,
        clock=hub.clock,
    )
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://hub.test"
    ) as client:
        portal.http = client
        person = Person(portal, "fr")
        await person.open("follow")
        for _ in range(400):
            await client.post("/fr/follow", data={"receipt": "0" * 18})
        await person.open("follow")
        page = await person.send(429, receipt=code)
        assert any("data-wait" in g for _, g in page.tags)
        portal.later(seconds=11)
        page = await person.send(receipt=code)
        assert "Status: received" in page.text


async def test_what_came_too_late_waits_for_its_own_receipt_only(portal: Any) -> None:
    other = await portal.send(narrative="Another report on the same device")
    person, code = await inside(portal)
    portal.later(minutes=21)
    await person.send(404, message="only for the first report")
    await person.send(receipt=other)
    assert "only for the first report" not in person.answer.text
    await person.send(action="close")
    person, code = await inside(portal)
    portal.later(minutes=21)
    await person.send(404, message="only for the first report")
    await person.send(receipt=code)
    assert "only for the first report" in person.answer.text


async def test_a_character_nobody_can_see_does_not_stop_a_message(portal: Any) -> None:
    person, _ = await inside(portal)
    page = await person.send(message="pasted\x07 from\x00 somewhere")
    assert "pasted  from  somewhere" in page.text
