# SPDX-License-Identifier: Apache-2.0
"""What people tell the hub about the hub itself: sent, followed by a receipt, answered, taken back.

A message is sealed under a data key of its own. Its receipt is made like a report's under other
keys, so neither opens the other, and nobody who answers learns who reported what. The clocks are
the country's: ``portal.feedback_first`` and ``portal.feedback_answer`` of the pack.
"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from wasl_chassis.failures import Conflict, KeyDestroyed
from wasl_chassis.store import Store
from wasl_chassis.vault import derive
from wasl_chassis.work import UnitOfWork
from wasl_schemas.country_pack import CountryPack

from wasl_intake import metrics as measure
from wasl_intake.domain import receipt
from wasl_intake.domain.submission import MESSAGE
from wasl_intake.handlers import Hub, RepeatDiffers, UnknownReceipt
from wasl_intake.repository import FEEDBACK, Feedback, FeedbackKind, FeedbackState

TEXT_MAX = 3_000
_TEXT, _ANSWER = "feedback.text", "feedback.answer"


class NotOpen(Exception):  # noqa: N818
    """There is no such message, or it is answered or taken back."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A message for whoever holds its receipt, or answers it. Texts are None once erased."""

    feedback: Feedback
    text: str | None
    answer: str | None


class FeedbackBox:
    """The use cases of the person who writes."""

    def __init__(self, hub: Hub, pack: CountryPack, *, pepper: bytes) -> None:
        self._hub, self._pack = hub, pack
        self._receipt_key = derive(pepper, "feedback-receipt")
        self._repeat_key = derive(pepper, "feedback-idempotency")

    def receipt_of(self, token: str) -> str:
        """The receipt of the message sent under ``token``, canonical, whether it exists or not."""
        return receipt.derived(self._repeat_key, token)

    def _id(self, code: str) -> str:
        return receipt.report_id(self._receipt_key, code)

    async def send(self, kind: FeedbackKind, language: str, text: str, token: str) -> None:
        """Store a message; once under one ``token``. ``text``: up to :data:`TEXT_MAX` characters.

        Raises ValidationError for no text, RepeatDiffers, Overloaded, Retryable; then nothing was
        stored.
        """
        body = MESSAGE.validate_python({"body": text}).body
        code = self.receipt_of(token)
        fingerprint = receipt.fingerprint(code, f"{kind}\0{body}".encode())
        uow, feedback_id = self._hub.unit(), self._id(code)
        uow.keys.create(feedback_id)
        uow.put(
            FEEDBACK,
            Feedback(
                feedback_id=feedback_id,
                fingerprint=fingerprint,
                kind=kind,
                language=language,
                received_at=uow.now(),
                answer_by=self._answer_by(uow.now()),
                text=await uow.keys.seal(feedback_id, _TEXT, body),
            ),
        )
        try:
            await self._hub.submit(uow)
        except Conflict:
            earlier = await self._hub.unit().get(FEEDBACK, feedback_id)
            if earlier is None:
                raise
            if not hmac.compare_digest(earlier.fingerprint, fingerprint):
                raise RepeatDiffers from None

    def _answer_by(self, received_at: datetime) -> datetime | None:
        within = self._pack.portal.feedback_answer
        span = self._pack.deadlines[within].span if within else None
        return self._pack.due(received_at, span) if span else None

    async def follow(self, typed: str) -> Opened:
        """What the receipt opens; the same two reads for every receipt. Raises UnknownReceipt."""
        code = receipt.read(typed)
        uow, feedback_id = self._hub.unit(), self._id(code)
        held = await uow.get(FEEDBACK, feedback_id)
        await uow.keys.load([feedback_id])
        if held is None:
            raise UnknownReceipt(typo=not receipt.well_formed(code))
        return await _open(uow, held)

    async def withdraw(self, typed: str) -> None:
        """Take a message back: its data key is destroyed. Raises UnknownReceipt."""
        code = receipt.read(typed)

        async def work(uow: UnitOfWork) -> None:
            held = await uow.get(FEEDBACK, self._id(code))
            await uow.keys.load([self._id(code)])
            if held is None:
                raise UnknownReceipt(typo=not receipt.well_formed(code))
            if held.state is not FeedbackState.WITHDRAWN:
                gone = {"state": FeedbackState.WITHDRAWN, "text": None, "answer": None}
                uow.put(FEEDBACK, held.model_copy(update=gone))
                await uow.keys.destroy(held.feedback_id)

        await self._hub.transact(work)

    async def turn(self) -> None:
        """Count what waits for an answer."""
        store, now = self._hub.store, self._hub.clock.now()
        waits = {"state": FeedbackState.OPEN.value}
        waiting = await store.count(FEEDBACK, waits)
        overdue = await store.count(FEEDBACK, {**waits, "answer_by": {"$lt": now}})
        measure.set_feedback(self._hub.metrics, waiting, overdue)


# -- who answers -------------------------------------------------------------------------------


async def waiting(store: Store) -> Sequence[Feedback]:
    """The messages without an answer, the most urgent first."""
    where = {"state": FeedbackState.OPEN.value}
    found = await store.find(FEEDBACK, where, sort=(("answer_by", 1), ("received_at", 1)))
    return [FEEDBACK.decode(doc) for doc in found]


async def read(uow: UnitOfWork, feedback_id: str) -> Opened:
    """One message. Raises NotOpen where there is none."""
    held = await uow.get(FEEDBACK, feedback_id)
    if held is None:
        raise NotOpen
    return await _open(uow, held)


async def answer(uow: UnitOfWork, feedback_id: str, text: str, by: str) -> None:
    """Answer a message, once; ``by``: who does. Raises NotOpen, and ValidationError for no text."""
    held = await uow.get(FEEDBACK, feedback_id)
    if held is None or held.state is not FeedbackState.OPEN:
        raise NotOpen
    body = MESSAGE.validate_python({"body": text}).body
    answered = {
        "state": FeedbackState.ANSWERED,
        "answer": await uow.keys.seal(feedback_id, _ANSWER, body),
        "answered_at": uow.now(),
        "answered_by": by,
    }
    uow.put(FEEDBACK, held.model_copy(update=answered))


async def _open(uow: UnitOfWork, held: Feedback) -> Opened:
    async def text(sealed: str | None, field: str) -> str | None:
        try:
            return await uow.keys.open(sealed, field) if sealed else None
        except KeyDestroyed:
            return None

    return Opened(held, await text(held.text, _TEXT), await text(held.answer, _ANSWER))
