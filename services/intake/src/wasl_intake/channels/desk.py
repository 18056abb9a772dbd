# SPDX-License-Identifier: Apache-2.0
"""What every channel does with a message, so that each is treated alike.

A receipt alone asks for the status; a receipt with words adds to its thread; words are a report,
and go to the thread of the conversation's report where there is one; too little is answered with
how to report. At least once: a delivery is accepted only when intake has the words and the
provider has the answer, otherwise the provider delivers again, and the key of the message, a keyed
hash of its id, leads to the same report and the same receipt.
"""

import asyncio
import hashlib
import hmac
import logging
import time
from collections.abc import Sequence

from wasl_chassis.metrics import Metrics

from wasl_intake.channels import reading
from wasl_intake.channels.contract import (
    Adapter,
    Answer,
    Delivery,
    Inbound,
    Rejected,
    Retryable,
    Skipped,
)
from wasl_intake.channels.intake import (
    Closed,
    Intake,
    LocationsRefused,
    RepeatDiffers,
    UnknownReceipt,
)
from wasl_intake.channels.memory import Memory, Thread
from wasl_intake.channels.wording import Wording
from wasl_intake.domain import receipt
from wasl_intake.domain.submission import MESSAGE_MAX, NARRATIVE_MAX, meaningful

log = logging.getLogger(__name__)

#: Characters of a message that are looked at; what is kept is less.
LOOKED_AT = 4 * NARRATIVE_MAX
#: Messages of one delivery that are worked on at the same time.
AT_ONCE = 8


class Desk:
    """``secret``: keys the ids of messages; the same for all replicas and over restarts."""

    def __init__(
        self,
        adapter: Adapter,
        intake: Intake,
        *,
        wording: Wording,
        memory: Memory,
        metrics: Metrics,
        secret: bytes,
    ) -> None:
        self.adapter = adapter
        self._intake = intake
        self._wording = wording
        self._memory = memory
        self._metrics = metrics
        self._secret = secret
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def take(self, delivery: Delivery) -> None:
        """Handle all of a delivery. Raises Unauthentic, Malformed, and Retryable where a message
        must be delivered again; the others of the delivery are done then, and not done twice.
        """
        await self.handle(self.adapter.parse(delivery))

    async def handle(self, parsed: Sequence[Inbound | Skipped]) -> None:
        """What :meth:`take` does once the delivery is read."""
        messages: list[Inbound] = []
        for one in parsed:
            if isinstance(one, Skipped):
                self._result("status_update" if one is Skipped.STATUS else one.value)
            else:
                messages.append(one)
        outcomes = await asyncio.gather(*map(self._one, messages), return_exceptions=True)
        faults = [o for o in outcomes if o is not None]
        for fault in faults:
            if not isinstance(fault, Retryable):
                raise fault
        if faults:
            raise faults[0]

    async def _one(self, inbound: Inbound) -> None:
        key = self._key(inbound.message_id)
        async with self._memory.lock(inbound.conversation), self._slots:
            if self._memory.answered(key):
                self._result("repeated")
                return
            started = time.perf_counter()
            try:
                answer, result = await self._decide(inbound, key)
                await self._answer(inbound, answer)
            except Retryable:
                self._result("later")
                raise
            self._memory.finish(key)
            name = self.adapter.name
            self._result(result)
            if inbound.media_dropped:
                self._metrics.inc(
                    "wasl_channel_media_dropped_total", inbound.media_dropped, channel=name
                )
            if inbound.verdict is not None:
                self._metrics.inc(
                    "wasl_channel_senders_total", channel=name, verdict=inbound.verdict
                )
            seconds = time.perf_counter() - started
            self._metrics.observe("wasl_channel_message_duration_seconds", seconds, channel=name)

    # -- what becomes of it ----------------------------------------------------------------------

    async def _decide(self, inbound: Inbound, key: str) -> tuple[Answer, str]:
        text = reading.clean(inbound.text[:LOOKED_AT])
        given = receipt.find(text)
        words = reading.without(text, given)
        tag = reading.language(words, inbound.hint)
        lang, media = self._wording.language(tag), inbound.media_dropped
        if given:
            start, end = given[0]
            told = await self._with_receipt(receipt.read(text[start:end]), words, lang, media, key)
        else:
            told = await self._in_thread(inbound, words, lang, key)
        if told is not None:
            return told
        if reading.too_little(words):
            return self._wording.guide(lang, key, media=media), "guided"
        code, cut = await self._report(words, tag, key)
        if inbound.trusted:
            self._memory.follow(inbound.conversation, Thread(code, key))
        answer = self._wording.received(
            lang, code, key, media=media, cut=cut, discreet=self.adapter.discreet
        )
        return answer, "report"

    async def _with_receipt(
        self, code: str, words: str, lang: str, media: int, key: str
    ) -> tuple[Answer, str] | None:
        """None: what was written with a receipt that takes nothing is a report of its own."""
        wording = self._wording
        if meaningful(words):
            try:
                cut = await self._add(code, words, key)
            except (UnknownReceipt, Closed):
                return None
            return wording.added(lang, key, media=media, cut=cut), "added"
        try:
            status = await self._intake.status(code, lang)
        except UnknownReceipt:
            return wording.unknown(lang, key, media=media), "unknown_receipt"
        discreet = self.adapter.discreet
        return wording.status(lang, key, status, media=media, discreet=discreet), "status"

    async def _in_thread(
        self, inbound: Inbound, words: str, lang: str, key: str
    ) -> tuple[Answer, str] | None:
        """None: the conversation has no report to add to, or this message made it and is back."""
        thread = self._memory.thread(inbound.conversation) if inbound.trusted else None
        if thread is None or thread.origin == key or not meaningful(words):
            return None
        try:
            cut = await self._add(thread.receipt, words, key)
        except (UnknownReceipt, Closed):
            self._memory.leave(inbound.conversation)
            return None
        self._memory.follow(inbound.conversation, thread)
        answer = self._wording.added(lang, key, media=inbound.media_dropped, cut=cut)
        return answer, "added"

    async def _add(self, code: str, words: str, key: str) -> int:
        await self._intake.write(code, words[:MESSAGE_MAX], key)
        return MESSAGE_MAX if len(words) > MESSAGE_MAX else 0

    async def _report(self, words: str, language: str, key: str) -> tuple[str, int]:
        narrative, locations = words[:NARRATIVE_MAX], reading.where(words)
        cut = NARRATIVE_MAX if len(words) > NARRATIVE_MAX else 0
        for attempt in (key, self._key(f"again|{key}")):
            try:
                try:
                    code = await self._intake.report(narrative, locations, language, attempt)
                except LocationsRefused:
                    code = await self._intake.report(narrative, (), language, attempt)
            except RepeatDiffers:
                # Its first report was made by another version; rather two than no receipt.
                continue
            except LocationsRefused:
                break
            return code, cut
        log.error("intake takes this report under no key")
        raise Retryable("intake_refuses")

    # -- the answer ------------------------------------------------------------------------------

    async def _answer(self, inbound: Inbound, answer: Answer) -> None:
        if not inbound.answerable:
            self._answered("withheld")
            return
        if not self._memory.may_answer(inbound.conversation):
            self._answered("held_back")
            return
        try:
            await self.adapter.answer(inbound, answer)
        except Rejected as error:
            self._answered("refused")
            log.warning("an answer was refused for good", extra={"reason": error.reason})
            return
        except Retryable as error:
            self._answered("later")
            log.warning("an answer cannot be handed over now", extra={"reason": error.reason})
            raise
        self._memory.count_answer(inbound.conversation)
        self._answered("sent")

    def _answered(self, result: str) -> None:
        self._metrics.inc("wasl_channel_answers_total", channel=self.adapter.name, result=result)

    def _result(self, result: str) -> None:
        self._metrics.inc("wasl_channel_messages_total", channel=self.adapter.name, result=result)

    def _key(self, message_id: str) -> str:
        text = f"{self.adapter.name}|{message_id}".encode("utf-8", "surrogatepass")
        return hmac.digest(self._secret, text, hashlib.sha256).hex()
