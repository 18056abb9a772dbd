# SPDX-License-Identifier: Apache-2.0
"""What the kit is worth: adapters that are wrong in one thing each, and the rule that says so."""

import contextlib
import json
import logging
import secrets
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from wasl_intake.channels import api, telegram, whatsapp
from wasl_intake.channels.conformance import RULES
from wasl_intake.channels.contract import (
    Answer,
    Delivery,
    Inbound,
    Malformed,
    Rejected,
    Retryable,
    Skipped,
    Unauthentic,
)


class Whole(whatsapp.WhatsApp):
    def changed(self, inbound: Inbound) -> Inbound:
        return inbound

    def parse(self, delivery: Delivery) -> Sequence[Inbound | Skipped]:
        parsed = super().parse(delivery)
        return [self.changed(one) if isinstance(one, Inbound) else one for one in parsed]


class Believing(Whole):
    """Reads what is not signed."""

    def parse(self, delivery: Delivery) -> Sequence[Inbound | Skipped]:
        body = api.parse_object(delivery.body)
        changes = [c for e in api.objects(body.get("entry")) for c in api.objects(e["changes"])]
        return [one for change in changes for one in self._change(change)]


class Curious(Whole):
    """Reads first, verifies then."""

    def parse(self, delivery: Delivery) -> Sequence[Inbound | Skipped]:
        try:
            json.loads(delivery.body)
        except (ValueError, RecursionError):
            raise Malformed("not_json") from None
        return super().parse(delivery)


class Comparing(telegram.Telegram):
    """Compares secrets with ==."""

    def parse(self, delivery: Delivery) -> Sequence[Inbound | Skipped]:
        given = delivery.headers.get("x-telegram-bot-api-secret-token")
        if given != self._config.secret_token.get_secret_value():
            raise Unauthentic("secret_token")
        return super().parse(delivery)


class Echoing(Whole):
    """Takes what we sent for what was sent to us."""

    @staticmethod
    def _message(message: Any, ours: str) -> Inbound | Skipped:
        return whatsapp.WhatsApp._message(message, "")


class InGroups(telegram.Telegram):
    """Answers in groups."""

    def parse(self, delivery: Delivery) -> Sequence[Inbound | Skipped]:
        body = api.parse_object(delivery.body)
        with contextlib.suppress(KeyError, TypeError):
            body["message"]["chat"]["type"] = "private"
        return super().parse(Delivery(json.dumps(body).encode(), delivery.headers))


class Fragile(Whole):
    """Fails on what it does not know."""

    def parse(self, delivery: Delivery) -> Sequence[Inbound | Skipped]:
        parsed = super().parse(delivery)
        if Skipped.OTHER in parsed:
            raise Malformed("unknown")
        return parsed


class Fetching(Whole):
    """Looks at the pictures."""

    async def answer(self, inbound: Inbound, answer: Answer) -> None:
        if inbound.media_dropped:
            await self._http.get("https://lookaside.test/999")
        await super().answer(inbound, answer)


class Uncounted(Whole):
    """Says nothing of what it drops."""

    def changed(self, inbound: Inbound) -> Inbound:
        return replace(inbound, media_dropped=0)


class Forgetful(Whole):
    """Ids of its own, new each time."""

    def changed(self, inbound: Inbound) -> Inbound:
        return replace(inbound, message_id=secrets.token_hex(8))


class OnePerPerson(Whole):
    """Takes the sender for the message."""

    def changed(self, inbound: Inbound) -> Inbound:
        return replace(inbound, message_id=inbound.conversation)


class Losing(Whole):
    """Says that an answer arrived which did not."""

    async def answer(self, inbound: Inbound, answer: Answer) -> None:
        with contextlib.suppress(Retryable):
            await super().answer(inbound, answer)


class Insisting(Whole):
    """Writes to people who do not want it, again and again."""

    async def answer(self, inbound: Inbound, answer: Answer) -> None:
        try:
            await super().answer(inbound, answer)
        except Rejected:
            raise Retryable("again") from None


class Plain(Whole):
    """Knows one alphabet."""

    def changed(self, inbound: Inbound) -> Inbound:
        return replace(inbound, text=inbound.text.encode("ascii", "replace").decode())


class Telling(Whole):
    """Logs who wrote."""

    def changed(self, inbound: Inbound) -> Inbound:
        logging.getLogger("wasl_intake.channels.telling").info(
            "a message of %s", inbound.conversation
        )
        return inbound


class Naming(Whole):
    """Puts the sender into the text."""

    def changed(self, inbound: Inbound) -> Inbound:
        return replace(inbound, text=f"{inbound.text}\n{inbound.conversation}")


class Quoting(Whole):
    """Answers with what was written."""

    async def answer(self, inbound: Inbound, answer: Answer) -> None:
        quoted = (*answer.paragraphs, inbound.text)
        await super().answer(inbound, replace(answer, paragraphs=quoted))


class FirstOnly(Whole):
    """Reads one message of a delivery."""

    def parse(self, delivery: Delivery) -> Sequence[Inbound | Skipped]:
        return super().parse(delivery)[:1]


WRONG = [
    (Believing, "an_unproven_delivery_does_nothing"),
    (Curious, "nothing_is_read_before_the_proof"),
    (Comparing, "an_unproven_delivery_does_nothing"),
    (Echoing, "what_is_no_message_of_a_person_is_acknowledged"),
    (InGroups, "what_is_no_message_of_a_person_is_acknowledged"),
    (Fragile, "what_is_no_message_of_a_person_is_acknowledged"),
    (Fetching, "media_are_counted_and_never_fetched"),
    (Uncounted, "media_are_counted_and_never_fetched"),
    (Forgetful, "delivered_again_is_one_report"),
    (Forgetful, "reading_changes_nothing"),
    (OnePerPerson, "two_messages_are_two"),
    (Losing, "an_answer_that_fails_is_tried_again"),
    (Insisting, "who_cannot_be_answered_is_not_tried_again"),
    (Plain, "every_character_arrives"),
    (Telling, "nobody_is_named"),
    (Naming, "nobody_is_named"),
    (Quoting, "a_message_is_a_report_and_gets_a_receipt"),
    (FirstOnly, "one_that_fails_holds_up_no_other"),
]


def opened(wrong: type[Any], world: Any) -> Any:
    if issubclass(wrong, telegram.Telegram):
        config: Any = telegram.Config(
            token="token-of-the-provider", secret_token="verify-verify-verify"
        )
    else:
        config = whatsapp.Config(
            app_secret="app-secret-app-secret",
            verify_token="verify-verify-verify",
            token="token-of-the-provider",
            phone_number_id="100000000000001",
        )
    return wrong(config, world.http)


@pytest.mark.parametrize(("wrong", "rule"), WRONG, ids=lambda v: getattr(v, "__name__", v))
async def test_the_kit_finds_it(wrong: type[Any], rule: str, world_of: Any) -> None:
    name = "telegram" if issubclass(wrong, telegram.Telegram) else "whatsapp"
    world = world_of(name, lambda w: opened(wrong, w))
    with pytest.raises(AssertionError):
        await RULES[rule](world)


@pytest.mark.parametrize("rule", sorted({rule for _, rule in WRONG}))
async def test_and_nothing_in_what_is_right(rule: str, world_of: Any) -> None:
    """It is the fault that is found, not that the adapter was derived."""
    await RULES[rule](world_of("whatsapp", lambda w: opened(Whole, w)))
