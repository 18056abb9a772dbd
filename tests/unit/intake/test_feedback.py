# SPDX-License-Identifier: Apache-2.0
"""Feedback: sealed, followed by a receipt that opens nothing else, answered in time, taken back."""

import io
import random
import re
from base64 import b64encode
from contextlib import suppress
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from pages import Page, Person
from wasl_chassis.failures import KeyDestroyed, Overloaded, Retryable
from wasl_chassis.operating import Desk, Refused
from wasl_intake import answering, bootstrap
from wasl_intake.domain import receipt
from wasl_intake.feedback import TEXT_MAX, FeedbackBox
from wasl_intake.handlers import IntakeHandlers, RepeatDiffers, UnknownReceipt
from wasl_intake.repository import FEEDBACK, FeedbackKind
from wasl_schemas.country_pack import load_country_pack

MOROCCO = load_country_pack(Path(__file__).parents[3] / "deploy" / "country-packs" / "ma")
LETTERS = re.compile(r"[0-9A-HJKMNP-TV-Z]{6}(?:-[0-9A-HJKMNP-TV-Z]{6}){2}")
PEPPER = b"p" * 32
TOKEN = "t" * 32
#: What the fixture's vault is made with.
MASTER = b64encode(sha256(b"master").digest()).decode()
SAID = "Nobody answered me for weeks"


@pytest.fixture
def box(hub: Any) -> FeedbackBox:
    return FeedbackBox(hub, MOROCCO, pepper=PEPPER)


@pytest.fixture
async def morocco(hub: Any, portal: Any) -> Any:
    """The portal with Morocco's pack."""
    handlers = IntakeHandlers(hub, MOROCCO, pepper=PEPPER)
    app = bootstrap.compose(
        handlers, MOROCCO, hub.metrics, pepper=PEPPER, body_limit=65_536, clock=hub.clock
    )
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://hub.test"
    ) as client:
        portal.http, portal.handlers = client, handlers
        yield portal


@pytest.fixture
def desk(hub: Any, monkeypatch: Any) -> Desk:
    monkeypatch.setenv("WASL_MASTER_KEY", MASTER)
    return Desk(hub.store, SimpleNamespace(connectors=""), hub.clock, "counsellor")  # type: ignore[arg-type]


def answering_with(monkeypatch: Any, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def letters(page: Page) -> str:
    (found,) = set(LETTERS.findall(page.text))
    return found


async def wrote(person: Person, text: str = SAID, kind: str = "complaint", **more: str) -> Page:
    await person.open("feedback")
    person.portal.later(seconds=90)  # longer than anybody ever waits
    return await person.send(kind=kind, text=text, **more)


# -- the person ----------------------------------------------------------------------------------


@pytest.mark.parametrize("lang", ["ar", "fr", "en"])
async def test_from_the_form_to_the_answer_and_the_erasure(
    morocco: Any, desk: Desk, monkeypatch: Any, lang: str
) -> None:
    person = Person(morocco, lang)
    page = await wrote(person)
    assert person.path == "feedback/receipt"
    code = letters(page)
    (words,) = re.findall(r'<ol class="words">(.*?)</ol>', person.answer.text, re.DOTALL)
    spoken = re.findall(r"<li>(.*?)</li>", words)
    assert receipt.read(" ".join(spoken)) == code.replace("-", "")
    assert len(spoken) == 9
    assert MOROCCO.span_text(lang, MOROCCO.deadlines["final-answer"].span) in page.text
    page = await person.send(action="follow")
    assert person.path == "feedback/follow"
    assert SAID in page.text
    (row,) = await answering.list_(desk, "")
    answering_with(monkeypatch, "We are sorry.\nIt was late.")
    await answering.answer(desk, str(row["id"]))
    page = await person.open("feedback/follow")
    assert "It was late." in page.text
    await person.send(action="close")
    page = await person.open("feedback/follow")
    assert SAID not in page.text
    page = await person.send(action="open", code=code.lower().replace("-", " "))
    assert "It was late." in page.text
    page = await person.send(422, action="withdraw")
    assert SAID in page.text, "not without a tick"
    page = await person.send(action="withdraw", sure="yes")
    assert SAID not in page.text
    assert "It was late." not in page.text


async def test_it_is_stored_sealed_and_nothing_of_it_is_sent(morocco: Any) -> None:
    await wrote(Person(morocco, "fr"))
    held = morocco.hub.everything()
    assert SAID not in held
    assert morocco.hub.counts() == {"feedback": 1, "keys": 1}
    assert not morocco.hub.store.outbox


async def test_withdrawing_destroys_the_key(hub: Any, box: FeedbackBox) -> None:
    await box.send(FeedbackKind.APPEAL, "fr", SAID, TOKEN)
    code = box.receipt_of(TOKEN)
    sealed = (await box.follow(code)).feedback.text
    assert sealed is not None
    await box.withdraw(code)
    await box.withdraw(code)
    opened = await box.follow(code)
    assert (opened.text, opened.answer, opened.feedback.text) == (None, None, None)
    with pytest.raises(KeyDestroyed):
        await hub.unit().keys.open(sealed, "feedback.text")


async def test_a_receipt_of_a_report_opens_no_feedback_and_the_other_way_round(
    morocco: Any,
) -> None:
    of_report = await morocco.send()
    of_feedback = letters(await wrote(Person(morocco, "en")))
    person = Person(morocco, "en")
    morocco.http.cookies.clear()
    await person.open("feedback/follow")
    page = await person.send(422, action="open", code=of_report)
    assert "No message about this service belongs to this receipt" in page.text
    assert (await morocco.follow(of_feedback)).status_code == 404
    # Not even the same token makes them meet.
    box = FeedbackBox(morocco.hub, MOROCCO, pepper=PEPPER)
    assert box.receipt_of(TOKEN) != morocco.handlers.receipt_of(TOKEN)


async def test_a_slip_of_the_pen_is_told_from_an_unknown_receipt(
    morocco: Any, box: FeedbackBox
) -> None:
    good = box.receipt_of(TOKEN)
    typo = ("0" if good[0] != "0" else "1") + good[1:]
    person = Person(morocco, "en")
    await person.open("feedback/follow")
    page = await person.send(422, action="open", code=typo)
    assert "There is a slip in it." in page.text
    page = await person.send(422, action="open", code=good)
    assert "No message about this service" in page.text


async def test_known_and_unknown_receipts_cost_the_same_reads(hub: Any, box: FeedbackBox) -> None:
    await box.send(FeedbackKind.THANKS, "fr", SAID, TOKEN)

    async def calls(code: str) -> list[str]:
        hub.store.calls.clear()
        with suppress(UnknownReceipt):  # its reads are what is compared
            await box.follow(code)
        return list(hub.store.calls)

    known = await calls(box.receipt_of(TOKEN))
    assert known
    assert await calls(box.receipt_of("x" * 32)) == known
    assert await calls("no receipt at all") == known


async def test_a_repeat_stores_nothing_and_other_words_are_told(hub: Any, box: FeedbackBox) -> None:
    await box.send(FeedbackKind.THANKS, "fr", SAID, TOKEN)
    await box.send(FeedbackKind.THANKS, "fr", SAID, TOKEN)
    for kind, text in ((FeedbackKind.THANKS, "Other words"), (FeedbackKind.APPEAL, SAID)):
        with pytest.raises(RepeatDiffers):
            await box.send(kind, "fr", text, TOKEN)
    assert hub.counts() == {"feedback": 1, "keys": 1}
    assert (await box.follow(box.receipt_of(TOKEN))).text == SAID


@pytest.mark.parametrize("erred", [False, True])
async def test_going_back_and_sending_again_makes_no_second_message(
    morocco: Any, erred: bool
) -> None:
    person = Person(morocco, "fr")
    await person.open("feedback")
    if erred:
        await person.send(422, kind="thanks", text="")
    morocco.later(seconds=90)
    page = person.page
    codes = []
    for _ in range(2):
        person.page, person.path = page, "feedback"
        codes.append(letters(await person.send(kind="thanks", text=SAID)))
    assert codes[0] == codes[1]
    assert await morocco.hub.store.count(FEEDBACK, {}) == 1
    # With other words it is asked about, and then a second message.
    person.page, person.path = page, "feedback"
    await person.send(422, kind="thanks", text="Other words")
    assert await morocco.hub.store.count(FEEDBACK, {}) == 1
    morocco.later(seconds=90)
    assert letters(await person.send(kind="thanks", text="Other words")) != codes[0]
    assert await morocco.hub.store.count(FEEDBACK, {}) == 2


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"kind": "", "text": SAID}, "kind"),
        ({"kind": "praise", "text": SAID}, "kind"),
        ({"kind": "thanks", "text": " \n "}, "text"),
        ({"kind": "thanks", "text": "…!"}, "text"),
        ({"kind": "thanks", "text": "a" * (TEXT_MAX + 1)}, "text"),
    ],
)
async def test_what_is_wrong_is_said_at_the_field_and_the_words_stay(
    morocco: Any, fields: dict[str, str], field: str
) -> None:
    person = Person(morocco, "fr")
    await person.open("feedback")
    page = await person.send(422, **fields)
    assert f"#{field}" in [g["href"] for g in page.all("a")]
    assert fields["text"].strip() in page.text
    assert morocco.hub.counts() == {}


async def test_the_longest_message_fits_into_the_browsers_state(morocco: Any) -> None:
    letters_ = "ابتثجحخدذرزسشصضطظعغفقكلمنهوي"
    text = "".join(random.Random(1).choices(letters_, k=TEXT_MAX))
    page = await wrote(Person(morocco, "ar"), text)
    assert LETTERS.search(page.text)


async def test_slips_are_asked_about_once_and_can_be_hidden(morocco: Any) -> None:
    person = Person(morocco, "fr")
    await person.open("feedback")
    morocco.later(seconds=90)
    page = await person.send(422, kind="appeal", text="Call me on 06 00 00 00 01 please")
    assert "06 00 00 00 01" in page.text
    assert morocco.hub.counts() == {}
    await person.send(kind="appeal", text="Call me on 06 00 00 00 01 please", hide="yes")
    page = await person.send(action="follow")
    assert "Call me on […] please" in page.text


async def test_a_slip_may_be_meant(morocco: Any) -> None:
    person = Person(morocco, "fr")
    await wrote(person, "Call me on 06 00 00 00 01 please", keep="yes")
    page = await person.send(action="follow")
    assert "06 00 00 00 01" in page.text


async def test_the_language_changes_and_the_words_stay(morocco: Any) -> None:
    person = Person(morocco, "fr")
    await person.open("feedback")
    page = await person.send(kind="suggestion", text="half a sen", switch="ar")
    assert (person.lang, person.path) == ("ar", "feedback")
    assert "half a sen" in page.text


@pytest.mark.parametrize("error", [Retryable("away"), Overloaded()])
async def test_what_cannot_be_stored_stays_in_the_form(morocco: Any, error: Exception) -> None:
    person = Person(morocco, "fr")
    await person.open("feedback")
    morocco.later(seconds=90)
    morocco.hub.store.away = error
    page = await person.send(503, kind="thanks", text=SAID)
    assert SAID in page.text
    assert morocco.hub.counts() == {}
    morocco.hub.store.away = None
    await person.send(kind="thanks", text=SAID)
    assert person.path == "feedback/receipt"


async def test_the_trap_makes_senders_wait(morocco: Any) -> None:
    person = Person(morocco, "fr")
    await person.open("feedback")
    await person.send(429, kind="thanks", text=SAID, website="https://example.org")
    assert morocco.hub.counts() == {}


# -- the clocks ----------------------------------------------------------------------------------


async def test_the_answer_is_due_by_the_countrys_clock(hub: Any, box: FeedbackBox) -> None:
    await box.send(FeedbackKind.COMPLAINT, "ar", SAID, TOKEN)
    held = (await box.follow(box.receipt_of(TOKEN))).feedback
    zone = ZoneInfo(MOROCCO.info.timezone)  # the local hour stays, through Ramadan too
    assert held.answer_by is not None
    local = [t.astimezone(zone).replace(tzinfo=None) for t in (held.received_at, held.answer_by)]
    assert local[1] == local[0] + timedelta(days=60)


async def test_what_waits_and_what_is_late_is_measured(
    hub: Any, box: FeedbackBox, desk: Desk, monkeypatch: Any
) -> None:
    def measured() -> tuple[float, float]:
        return tuple(hub.metrics.value(f"wasl_intake_feedback_{n}") for n in ("open", "overdue"))  # type: ignore[return-value]

    for n in range(3):
        await box.send(FeedbackKind.COMPLAINT, "ar", SAID, f"{n}" * 32)
        hub.clock.advance(timedelta(days=1))
    await box.turn()
    assert measured() == (3, 0)
    hub.clock.advance(timedelta(days=58, hours=2))
    await box.turn()
    assert measured() == (3, 2)
    rows = await answering.list_(desk, "")
    assert [row["overdue"] for row in rows] == [True, True, False]
    answering_with(monkeypatch, "Sorry.")
    await answering.answer(desk, str(rows[0]["id"]))
    await box.withdraw(box.receipt_of("1" * 32))
    await box.turn()
    assert measured() == (1, 0)


# -- who answers ---------------------------------------------------------------------------------


async def test_the_commands_show_and_answer_one_message(
    hub: Any, box: FeedbackBox, desk: Desk, monkeypatch: Any
) -> None:
    await box.send(FeedbackKind.DATA_RIGHTS, "fr", "line one\nline two", TOKEN)
    (row,) = await answering.list_(desk, "")
    assert (row["kind"], row["language"], row["overdue"]) == ("data_rights", "fr", False)
    shown = await answering.show(desk, str(row["id"]))
    assert [r["value"] for r in shown if r["field"] == "text"] == ["line one", "line two"]
    answering_with(monkeypatch, "Here it is.\n")
    assert (await answering.answer(desk, str(row["id"])))[0]["state"] == "answered"
    opened = await box.follow(box.receipt_of(TOKEN))
    assert (opened.answer, opened.feedback.answered_by) == ("Here it is.", "counsellor")
    assert await answering.list_(desk, "") == []
    assert "Here it is." not in hub.everything()


async def test_an_answer_is_given_once_and_never_to_what_is_gone(
    box: FeedbackBox, desk: Desk, monkeypatch: Any
) -> None:
    await box.send(FeedbackKind.COMPLAINT, "fr", SAID, TOKEN)
    (row,) = await answering.list_(desk, "")
    for text in ("", " ", "a" * 5_001, "a\x1bb"):
        answering_with(monkeypatch, text)
        with pytest.raises(Refused, match="expected an answer of 1 to 5000 characters"):
            await answering.answer(desk, str(row["id"]))
    answering_with(monkeypatch, "Yes.")
    await answering.answer(desk, str(row["id"]))
    answering_with(monkeypatch, "No.")
    with pytest.raises(Refused, match="waits for an answer"):
        await answering.answer(desk, str(row["id"]))
    await box.send(FeedbackKind.COMPLAINT, "fr", SAID, "w" * 32)
    (row,) = await answering.list_(desk, "")
    await box.withdraw(box.receipt_of("w" * 32))
    answering_with(monkeypatch, "Too late.")
    with pytest.raises(Refused, match="waits for an answer"):
        await answering.answer(desk, str(row["id"]))
    with pytest.raises(Refused, match="no feedback 'nobody' exists"):
        await answering.show(desk, "nobody")


def test_the_receipt_is_a_receipt_like_any_other(box: FeedbackBox) -> None:
    assert receipt.well_formed(box.receipt_of(TOKEN))
