# SPDX-License-Identifier: Apache-2.0
"""The rules every adapter must pass, whatever its provider: for its own tests.

A :class:`World` is the adapter behind its real door, its provider played by a double, and a real
intake. Each rule is a function of a fresh world that raises AssertionError. Run them as
tests/unit/intake/channels/test_conformance.py does; test_broken.py shows what they find.
"""

import hmac
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal, Protocol, TypeVar
from unittest import mock

from wasl_intake.channels.contract import (
    Adapter,
    ChannelError,
    Delivery,
    Skipped,
    Unauthentic,
)
from wasl_intake.domain import receipt

#: What the provider was told. refused: not to deliver it again.
Told = Literal["accepted", "refused", "later"]
#: How the provider takes answers.
Mood = Literal["well", "later", "never"]

TEXT = "Somebody threatens me at https://example.org/p/1 since Monday, canary 7f3a"
RTL = "شخص ينشر صوري على الحساب @fictif_11 \u200fمنذ يوم أمس، 3 مرات 🙏🏽 — Ça suffit é"
SENDER, OTHER = "212600000001", "212600000002"

RuleT = TypeVar("RuleT", bound="Callable[[World], Awaitable[None]]")


class Provider(Protocol):
    """The provider's side. ``answers``: (to whom, text) as it took them, in order; the parts of
    one answer put together. ``fetched``: addresses that were asked for and are not its API.
    """

    mood: Mood
    answers: list[tuple[str, str]]
    fetched: list[str]
    #: Whether one delivery can hold several messages.
    batches: bool

    def message(self, number: int, text: str, sender: str = SENDER, *, media: int = 0) -> object:
        """A person's message. The same number: the same message."""

    def delivery(self, *messages: object) -> Delivery:
        """A delivery as the provider makes it, with its proof."""

    def forged(self, delivery: Delivery) -> Sequence[Delivery]:
        """The same without a proof, or with another's."""

    def unreadable(self) -> Sequence[Delivery]:
        """Proven, and not in the provider's form."""

    def noise(self) -> Mapping[str, Delivery]:
        """Proven deliveries that are no message of a person to us, by what they are."""

    def secrets(self) -> Sequence[str]:
        """What must not be logged besides: tokens, keys."""


class World(Protocol):
    adapter: Adapter
    provider: Provider

    async def deliver(self, delivery: Delivery) -> Told:
        """Through the real door."""

    async def narratives(self) -> list[str]:
        """Of the reports intake has, in the order they came."""

    async def added(self) -> list[str]:
        """Messages reporters added to threads."""

    def requests(self) -> str:
        """Everything intake was sent: lines, headers and bodies."""

    def metrics(self) -> str:
        """The metrics as they are scraped."""

    def intake(self, mood: Literal["well", "away", "refuses_once"]) -> None: ...

    def restart(self) -> None:
        """A new process: nothing is remembered."""

    def limit(self) -> int:
        """Bytes of the largest delivery."""


RULES: dict[str, Callable[[World], Awaitable[None]]] = {}


def rule(function: RuleT) -> RuleT:
    RULES[function.__name__] = function
    return function


def receipts(world: World) -> list[str]:
    """The codes in the answers."""
    return [
        receipt.read(text[start:end])
        for _, text in world.provider.answers
        for start, end in receipt.find(text)[:1]
    ]


@contextmanager
def _logged() -> Iterator[list[logging.LogRecord]]:
    records: list[logging.LogRecord] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    ours, handler = logging.getLogger("wasl_intake"), Keep(level=logging.DEBUG)
    level = ours.level
    ours.addHandler(handler)
    ours.setLevel(logging.DEBUG)
    try:
        yield records
    finally:
        ours.removeHandler(handler)
        ours.setLevel(level)


def _refused(world: World, forged: Delivery) -> None:
    try:
        world.adapter.parse(forged)
    except Unauthentic:
        return
    except ChannelError as error:
        raise AssertionError(f"an unproven delivery is read as far as: {error.reason}") from None
    raise AssertionError("an unproven delivery is read")


@rule
async def a_message_is_a_report_and_gets_a_receipt(world: World) -> None:
    given = world.provider.message(1, TEXT)
    assert await world.deliver(world.provider.delivery(given)) == "accepted"
    assert [TEXT in n for n in await world.narratives()] == [True]
    assert len(receipts(world)) == 1
    assert [to for to, _ in world.provider.answers] == [SENDER]
    assert TEXT not in world.provider.answers[0][1], "an answer repeats what was written"


@rule
async def every_character_arrives(world: World) -> None:
    await world.deliver(world.provider.delivery(world.provider.message(1, RTL)))
    assert [RTL in n for n in await world.narratives()] == [True]


@rule
async def two_messages_are_two(world: World) -> None:
    """Of two people two reports; of one person the second goes to the first one's thread."""
    p = world.provider
    await world.deliver(p.delivery(p.message(1, TEXT)))
    await world.deliver(p.delivery(p.message(2, TEXT, OTHER)))
    await world.deliver(p.delivery(p.message(3, "He wrote again today, from another account")))
    assert len(await world.narratives()) + len(await world.added()) == 3
    assert len(set(receipts(world))) == len(await world.narratives())


@rule
async def delivered_again_is_one_report(world: World) -> None:
    given = world.provider.delivery(world.provider.message(1, TEXT))
    for _ in range(3):
        assert await world.deliver(given) == "accepted"
    assert len(await world.narratives()) == 1
    assert len(world.provider.answers) == 1, "a repetition was answered again"


@rule
async def after_a_restart_the_receipt_is_the_same(world: World) -> None:
    given = world.provider.delivery(world.provider.message(1, TEXT))
    await world.deliver(given)
    world.restart()
    assert await world.deliver(given) == "accepted"
    assert len(await world.narratives()) == 1
    assert len(set(receipts(world))) == 1


@rule
async def an_unproven_delivery_does_nothing(world: World) -> None:
    p = world.provider
    genuine = p.delivery(p.message(1, TEXT))
    assert p.forged(genuine), "no forgery was tried"
    for forged in p.forged(genuine):
        assert await world.deliver(forged) == "refused"
        with mock.patch.object(hmac, "compare_digest", wraps=hmac.compare_digest) as compared:
            _refused(world, forged)
        at_the_door = "rcpt-to" in forged.headers
        assert compared.called or at_the_door, "a proof is not compared in constant time"
    assert await world.narratives() == []
    assert p.answers == []


@rule
async def nothing_is_read_before_the_proof(world: World) -> None:
    for unreadable in world.provider.unreadable():
        for forged in world.provider.forged(unreadable):
            _refused(world, forged)


@rule
async def what_cannot_be_read_is_refused(world: World) -> None:
    assert world.provider.unreadable(), "nothing unreadable was tried"
    for unreadable in world.provider.unreadable():
        assert await world.deliver(unreadable) == "refused"
    assert await world.narratives() == []


@rule
async def too_much_is_refused(world: World) -> None:
    p = world.provider
    words = "word " * 15 + "\n"
    given = p.delivery(p.message(1, words * (world.limit() // len(words) + 2)))
    assert len(given.body) > world.limit()
    assert await world.deliver(given) == "refused"
    assert await world.narratives() == []


@rule
async def what_is_no_message_of_a_person_is_acknowledged(world: World) -> None:
    noise = world.provider.noise()
    assert noise, "nothing was tried"
    for what, delivery in noise.items():
        assert await world.deliver(delivery) == "accepted", what
        parsed = world.adapter.parse(delivery)
        assert all(isinstance(one, Skipped) for one in parsed), f"{what}: read as a message"
        assert await world.narratives() == [], f"{what}: became a report"
        assert world.provider.answers == [], f"{what}: was answered"


@rule
async def media_are_counted_and_never_fetched(world: World) -> None:
    p = world.provider
    given = p.delivery(
        p.message(1, TEXT, media=1), *([p.message(2, "", OTHER, media=1)] * p.batches)
    )
    assert await world.deliver(given) == "accepted"
    assert p.fetched == []
    count = 1 + p.batches
    line = f'wasl_channel_media_dropped_total{{channel="{world.adapter.name}"}} {float(count)}'
    assert line in world.metrics().splitlines()
    assert len(await world.narratives()) == 1, "a picture alone became a report"
    assert len(p.answers) == count


@rule
async def while_intake_is_away_it_is_to_come_again(world: World) -> None:
    p = world.provider
    given = p.delivery(p.message(1, TEXT))
    world.intake("away")
    assert await world.deliver(given) == "later"
    assert p.answers == []
    world.intake("well")
    assert await world.deliver(given) == "accepted"
    assert len(await world.narratives()) == len(receipts(world)) == 1


@rule
async def one_that_fails_holds_up_no_other(world: World) -> None:
    p = world.provider
    if not p.batches:
        return
    given = p.delivery(p.message(1, TEXT), p.message(2, RTL, OTHER), p.message(3, TEXT, "21260003"))
    world.intake("refuses_once")
    assert await world.deliver(given) == "later"
    assert len(p.answers) == 2
    assert await world.deliver(given) == "accepted"
    assert len(await world.narratives()) == 3
    assert len(p.answers) == len(set(receipts(world))) == 3, "somebody was answered twice"


@rule
async def an_answer_that_fails_is_tried_again(world: World) -> None:
    p = world.provider
    given = p.delivery(p.message(1, TEXT))
    p.mood = "later"
    assert await world.deliver(given) == "later"
    assert len(await world.narratives()) == 1, "the report waits for the answer"
    p.mood = "well"
    for _ in range(2):
        assert await world.deliver(given) == "accepted"
    assert len(await world.narratives()) == len(receipts(world)) == 1


@rule
async def who_cannot_be_answered_is_not_tried_again(world: World) -> None:
    p = world.provider
    p.mood = "never"
    given = p.delivery(p.message(1, TEXT))
    assert await world.deliver(given) == "accepted"
    assert len(await world.narratives()) == 1
    name = world.adapter.name
    line = f'wasl_channel_answers_total{{channel="{name}",result="refused"}} 1.0'
    assert line in world.metrics().splitlines()


@rule
async def a_receipt_alone_is_told_the_status(world: World) -> None:
    p = world.provider
    await world.deliver(p.delivery(p.message(1, TEXT)))
    code = receipt.grouped(receipts(world)[0])
    assert await world.deliver(p.delivery(p.message(2, code, OTHER))) == "accepted"
    assert len(await world.narratives()) == 1
    to, text = p.answers[-1]
    assert to == OTHER
    assert receipt.find(text) == [], "an answer repeats a receipt"


@rule
async def a_receipt_with_words_adds_to_its_thread(world: World) -> None:
    p = world.provider
    await world.deliver(p.delivery(p.message(1, TEXT)))
    code = receipt.grouped(receipts(world)[0])
    await world.deliver(p.delivery(p.message(2, f"{code}\nHe wrote again today", OTHER)))
    (added,) = await world.added()
    assert added.strip() == "He wrote again today", "the receipt is kept with the text"
    assert len(await world.narratives()) == 1


@rule
async def nobody_is_named(world: World) -> None:
    """Neither intake, nor a log line, nor a metric learns who wrote, or what with which code."""
    p = world.provider
    with _logged() as records:
        for mood in ("later", "never", "well"):
            p.mood = mood
            await world.deliver(p.delivery(p.message(1, TEXT, media=1)))
        world.intake("away")
        await world.deliver(p.delivery(p.message(2, TEXT, OTHER)))
        world.intake("well")
        world.restart()
        await world.deliver(p.delivery(p.message(2, TEXT, OTHER)))
        for forged in p.forged(p.delivery(p.message(3, TEXT))):
            await world.deliver(forged)
    (code, *_) = receipts(world)
    shown = "\n".join(
        [*(f"{r.msg} {r.args} {vars(r)}" for r in records), world.metrics(),
         repr(world.adapter.parse(p.delivery(p.message(1, TEXT))))]
    )  # fmt: skip
    for what in (SENDER, OTHER, "canary", code, receipt.grouped(code), *p.secrets()):
        assert what not in shown, "logged, measured or shown"
    asked = world.requests()
    assert "canary" in asked
    assert SENDER not in asked, "intake learns who wrote"
    assert OTHER not in asked, "intake learns who wrote"
    for one in world.adapter.parse(p.delivery(p.message(1, TEXT))):
        assert not isinstance(one, Skipped)
        assert one.message_id not in asked, "intake learns the provider's id of the message"


@rule
async def reading_changes_nothing(world: World) -> None:
    delivery = world.provider.delivery(world.provider.message(1, TEXT, media=1))
    assert list(world.adapter.parse(delivery)) == list(world.adapter.parse(delivery))
    assert world.provider.answers == []
    assert world.provider.fetched == []
