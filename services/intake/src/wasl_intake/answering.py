# SPDX-License-Identifier: Apache-2.0
"""``wasl feedback``: reading and answering what people say about the hub itself.

Unlike every other command these show what a person wrote, because somebody must answer it; of
reports they show nothing. An answer is read from standard input, so it is in no shell's history.
"""

import sys
from collections.abc import Sequence

from pydantic import Field, SecretStr, ValidationError
from wasl_chassis.failures import KeyDestroyed
from wasl_chassis.operating import Command, Commands, Desk, Refused, Row
from wasl_chassis.settings import Key32, Settings, key_bytes
from wasl_chassis.settings import read as read_settings
from wasl_chassis.vault import Vault
from wasl_chassis.work import UnitOfWork

from wasl_intake import feedback
from wasl_intake.domain.submission import MESSAGE_MAX


class FeedbackSettings(Settings):
    """What opening a message needs."""

    kafka_bootstrap_servers: str = Field(default="", validation_alias="KAFKA_BOOTSTRAP_SERVERS")
    mongodb_uri: SecretStr = Field(default=SecretStr(""), validation_alias="MONGODB_URI")
    pepper: SecretStr = SecretStr("")
    master_key: Key32 = Field(description="Wraps the data keys; 32 bytes in base64")


def _unit(desk: Desk) -> UnitOfWork:
    vault = Vault({"m1": key_bytes(read_settings(FeedbackSettings).master_key)})
    return UnitOfWork(desk.store, desk.clock, "/wasl/intake", vault)


async def list_(desk: Desk, _: str) -> Sequence[Row]:
    now = desk.clock.now()
    return [
        {
            "id": f.feedback_id,
            "kind": f.kind.value,
            "language": f.language,
            "received_at": f.received_at,
            "answer_by": f.answer_by,
            "overdue": f.answer_by is not None and f.answer_by < now,
        }
        for f in await feedback.waiting(desk.store)
    ]


async def show(desk: Desk, feedback_id: str) -> Sequence[Row]:
    try:
        opened = await feedback.read(_unit(desk), feedback_id)
    except feedback.NotOpen:
        raise _none(feedback_id, "exists") from None
    held = opened.feedback
    rows: list[Row] = [
        {"field": name, "value": value}
        for name, value in (
            ("kind", held.kind.value),
            ("state", held.state.value),
            ("language", held.language),
            ("received at", held.received_at),
            ("answer by", held.answer_by),
            ("answered at", held.answered_at),
            ("answered by", held.answered_by),
        )
    ]
    for name, text in (("text", opened.text), ("answer", opened.answer)):
        rows += [{"field": name, "value": line} for line in (text or "").split("\n")]
    return rows


async def answer(desk: Desk, feedback_id: str) -> Sequence[Row]:
    uow = _unit(desk)
    try:
        await feedback.answer(uow, feedback_id, sys.stdin.read(), desk.operator)
    except (feedback.NotOpen, KeyDestroyed):
        raise _none(feedback_id, "waits for an answer") from None
    except ValidationError:
        raise Refused(
            f"expected an answer of 1 to {MESSAGE_MAX} characters on standard input, without"
            f" control characters: wasl feedback answer {feedback_id} < answer.txt"
        ) from None
    await desk.store.commit(uow.changes())
    return [{"id": feedback_id, "state": "answered"}]


def _none(feedback_id: str, what: str) -> Refused:
    return Refused(f"no feedback '{feedback_id}' {what}; see 'wasl feedback list'")


FEEDBACK: Commands = (
    Command("list", "Messages without an answer, the most urgent first.", list_),
    Command("show", "One message with its text, and the answer.", show, "ID"),
    Command("answer", "Answer one; the text comes from standard input.", answer, "ID"),
)
