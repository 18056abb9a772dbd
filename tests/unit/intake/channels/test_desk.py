# SPDX-License-Identifier: Apache-2.0
"""What becomes of messages, beyond the kit's rules; on the WhatsApp double."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from wasl_intake.channels.conformance import OTHER, SENDER, TEXT, receipts
from wasl_intake.channels.contract import Answer, Inbound, Retryable
from wasl_intake.channels.intake import Intake
from wasl_intake.domain import receipt
from wasl_schemas.country_pack import load_country_pack

ROOT = Path(__file__).resolve().parents[4]
PACK = load_country_pack(ROOT / "deploy" / "country-packs" / "ma")


class Conversation:
    """Sends texts and looks at the last answer."""

    def __init__(self, world: Any) -> None:
        self.world = world
        self.number = 0

    async def say(self, text: str, sender: str = SENDER, **kind: Any) -> str:
        self.number += 1
        p = self.world.provider
        before = len(p.answers)
        told = await self.world.deliver(p.delivery(p.message(self.number, text, sender, **kind)))
        assert told == "accepted"
        return "".join(text for _, text in p.answers[before:])

    def result(self, name: str) -> float:
        return self.world.measured.value(
            "wasl_channel_messages_total", channel="whatsapp", result=name
        )

    def answered(self, name: str) -> float:
        return self.world.measured.value(
            "wasl_channel_answers_total", channel="whatsapp", result=name
        )


@pytest.fixture
def talk(world_of: Any) -> Conversation:
    return Conversation(world_of("whatsapp"))


async def test_a_report_has_its_channel_language_and_locations(talk: Conversation) -> None:
    await talk.say("شخص يهددني على https://example.org/p/1 و @fictif_11")
    (report_id,) = talk.world.reports()
    doc = talk.world.hub.store.docs["reports"][report_id]
    assert (doc["channel"], doc["language"]) == ("whatsapp", "ar")
    content = await talk.world.hub.content(report_id)
    assert [str(x) for x in content.locations] == ["https://example.org/p/1", "@fictif_11"]


async def test_the_receipt_comes_in_letters_and_words_of_the_language(talk: Conversation) -> None:
    answer = await talk.say("quelqu'un me menace sur une page")
    spans = receipt.find(answer)
    assert len({receipt.read(answer[a:b]) for a, b in spans}) == 1
    assert len(spans) == 2
    assert "Votre reçu" in answer
    assert "https://portal.test" in answer
    assert "– 19" in answer


async def test_the_receipt_opens_the_report_on_the_web(talk: Conversation) -> None:
    await talk.say(TEXT)
    (code,) = receipts(talk.world)
    transport = httpx.ASGITransport(talk.world.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://web.test") as web:
        answer = await web.get("/api/v1/reports", headers={"authorization": f"Receipt {code}"})
    assert answer.status_code == 200


async def test_words_of_a_receipt_ask_for_the_status(talk: Conversation) -> None:
    await talk.say(TEXT)
    words = receipt.words(receipts(talk.world)[0], "ar")
    answer = await talk.say(words, OTHER)
    assert talk.result("status") == 1
    assert answer.startswith(PACK.text("ar", "status_received"))


async def test_further_messages_go_to_the_thread(talk: Conversation) -> None:
    await talk.say(TEXT)
    answer = await talk.say("and now from another account")
    assert receipt.find(answer) == []
    assert await talk.world.added() == ["and now from another account"]
    await talk.say("somebody else reports", OTHER)
    assert len(await talk.world.narratives()) == 2


async def test_after_half_an_hour_of_silence_it_is_a_new_report(talk: Conversation) -> None:
    await talk.say(TEXT)
    talk.world.clock.advance(timedelta(minutes=20))
    await talk.say("second message")
    talk.world.clock.advance(timedelta(minutes=20))
    await talk.say("third message")
    talk.world.clock.advance(timedelta(minutes=31))
    await talk.say("fourth message, something new")
    assert len(await talk.world.narratives()) == 2
    assert len(await talk.world.added()) == 2


async def test_a_first_message_that_comes_again_is_not_added_to_itself(talk: Conversation) -> None:
    talk.world.provider.mood = "later"
    p = talk.world.provider
    given = p.delivery(p.message(1, TEXT))
    assert await talk.world.deliver(given) == "later"
    p.mood = "well"
    assert await talk.world.deliver(given) == "accepted"
    assert await talk.world.added() == []
    assert len(receipts(talk.world)) == 1


async def test_a_withdrawn_report_takes_nothing_so_it_is_a_new_one(talk: Conversation) -> None:
    await talk.say(TEXT)
    (code,) = receipts(talk.world)
    transport = httpx.ASGITransport(talk.world.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://web.test") as web:
        where = "/api/v1/reports/withdrawal"
        assert (await web.post(where, headers={"authorization": f"Receipt {code}"})).is_success
    await talk.say("and he wrote again")
    await talk.say(f"{receipt.grouped(code)} and again", OTHER)
    assert len(talk.world.reports()) == 3
    assert len(set(receipts(talk.world))) == 3


async def test_an_unknown_receipt(talk: Conversation) -> None:
    unknown = receipt.grouped(receipt.new())
    answer = await talk.say(unknown)
    assert receipt.find(answer) == []
    assert talk.result("unknown_receipt") == 1
    await talk.say(f"{unknown} somebody threatens me", OTHER)
    assert [unknown in n for n in await talk.world.narratives()] == [False]


@pytest.mark.parametrize("text", ["hi", "", "السلام عليكم", "Bonjour"])
async def test_too_little_is_told_how(talk: Conversation, text: str) -> None:
    answer = await talk.say(text)
    assert talk.world.reports() == []
    assert "https://portal.test" in answer
    assert "– 19" in answer
    assert talk.result("guided") == 1


async def test_a_picture_alone_is_told_that_it_was_dropped(talk: Conversation) -> None:
    answer = await talk.say("", media=1)
    assert "حُذف دون فتحه" in answer  # the country's default language


async def test_answers_stop_and_reports_do_not(talk: Conversation) -> None:
    for n in range(25):
        talk.world.clock.advance(timedelta(minutes=1))
        await talk.say(f"message number {n} about something")
    assert len(talk.world.provider.answers) == 20
    assert talk.answered("held_back") == 5
    assert len(await talk.world.narratives()) + len(await talk.world.added()) == 25
    await talk.say("somebody else is answered", OTHER)
    assert len(talk.world.provider.answers) == 21
    talk.world.clock.advance(timedelta(minutes=61))
    assert await talk.say("an hour later, something new") != ""


async def test_a_long_text_is_cut_and_said(talk: Conversation) -> None:
    answer = await talk.say("word " * 3_000)
    (narrative,) = await talk.world.narratives()
    assert len(narrative) in (9_999, 10_000)
    assert "10000" in answer


async def test_controls_do_not_keep_a_report_out(talk: Conversation) -> None:
    await talk.say("somebody\x00threatens\x1bme\x7f")
    assert await talk.world.narratives() == ["somebody threatens me"]


async def test_locations_intake_refuses_stay_in_the_narrative(
    talk: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wasl_intake.channels.reading.where", lambda _: ("http://10.0.0.1/x",))
    await talk.say("look at http://10.0.0.1/x please")
    (report_id,) = talk.world.reports()
    content = await talk.world.hub.content(report_id)
    assert (content.narrative, content.locations) == ("look at http://10.0.0.1/x please", ())


async def test_another_version_of_us_made_another_report_of_it(
    talk: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rather two reports than a person without a receipt."""
    await talk.say(TEXT)
    talk.world.restart()
    monkeypatch.setattr("wasl_intake.channels.reading.language", lambda *_: "de")
    talk.number = 0
    await talk.say(TEXT)
    assert len(talk.world.reports()) == 2
    assert len(set(receipts(talk.world))) == 2


async def test_a_key_intake_does_not_know_loses_nothing(talk: Conversation) -> None:
    talk.world.api_key = "waslk_" + "0" * 48
    talk.world.restart()
    p = talk.world.provider
    assert await talk.world.deliver(p.delivery(p.message(1, TEXT))) == "later"
    assert talk.world.reports() == []
    assert p.answers == []


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(202, content=b"<html>"),
        httpx.Response(202, json={"receipt": 5}),
        httpx.Response(202, json=[]),
        httpx.Response(200, json={}),
        httpx.Response(422, json={"errors": "x"}),
        httpx.Response(422, content=b"\xff"),
        httpx.Response(302, headers={"location": "http://elsewhere.test"}),
        httpx.Response(404),
        httpx.Response(429),
    ],
    ids=lambda a: f"{a.status_code} {a.content[:12]!r}",
)
async def test_whatever_intake_says_is_an_error_we_know(answer: httpx.Response) -> None:
    client = httpx.AsyncClient(
        transport=httpx.MockTransport(lambda _: answer), base_url="http://intake.test"
    )
    with pytest.raises(Retryable):
        await Intake(client, "whatsapp", "").report("text", (), "en", "k" * 16)


def test_an_inbound_shows_nothing() -> None:
    shown = repr(Inbound("id-1", "212600", "secret words", hint="fr", reply={"to": "212600"}))
    for what in ("id-1", "212600", "secret", "fr"):
        assert what not in shown
    assert "secret" not in repr(Answer("fr", ("secret",), "k"))


@pytest.mark.parametrize("count_bytes", [True, False])
def test_parts_keep_everything_and_the_limit(count_bytes: bool) -> None:
    paragraphs = ("أ" * 90, "b" * 30, "c" * 30, "🙏🏽" * 40)
    parts = Answer("ar", paragraphs, "k").parts(100, count_bytes=count_bytes)
    assert "".join(parts).replace("\n", "") == "".join(paragraphs)
    assert all(len(p.encode() if count_bytes else p) <= 100 for p in parts)
    assert any("b\n\nc" in p for p in parts)


async def test_memory_is_bounded() -> None:
    from wasl_chassis.testing import FakeClock
    from wasl_intake.channels.memory import Memory, Thread

    memory = Memory(FakeClock(), thread_seconds=1800, answers=2, size=10)
    for n in range(50):
        memory.follow(str(n), Thread("R", str(n)))
        memory.finish(str(n))
        memory.count_answer(str(n))
    assert (len(memory._threads), len(memory._answered), len(memory._counts)) == (10, 10, 10)
    assert memory.thread("49") is not None
    assert memory.thread("3") is None
    lock = memory.lock("a")
    assert memory.lock("a") is lock
    held = len(memory._locks)
    del lock
    assert len(memory._locks) == held - 1
