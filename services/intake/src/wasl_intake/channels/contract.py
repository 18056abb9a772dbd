# SPDX-License-Identifier: Apache-2.0
"""The channel contract: what an adapter is, what it is given, what it may raise.

An adapter reads what its provider delivers and hands over answers. It decides nothing: what becomes
of a message is the desk's (:mod:`wasl_intake.channels.desk`). It never opens, fetches or stores
media, never logs, never retries, and raises only the errors of this module. The rules each adapter
must pass are in :mod:`wasl_intake.channels.conformance`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict

from wasl_intake.domain.submission import ChannelWord

Verdict = Literal["pass", "fail", "none"]


class ChannelError(Exception):
    """Base of the errors. ``reason``: a constant word, logged and counted; never what was sent."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Unauthentic(ChannelError):  # noqa: N818  reads as what it is at the call site
    """The delivery does not prove that it comes from the provider: 401, and nothing happens."""


class Malformed(ChannelError):  # noqa: N818
    """It proves that, and cannot be read: 400 or 554. Sending it again would not help."""


class Retryable(ChannelError):  # noqa: N818
    """Not now: the provider is told to deliver again (503 or 451). Nothing is lost meanwhile."""


class Rejected(ChannelError):  # noqa: N818
    """This person cannot be answered, now or later. The message counts as handled."""


class Skipped(StrEnum):
    """Why a part of a delivery is no message of a person to us. Acknowledged, and counted."""

    #: What we sent ourselves, told back to us.
    ECHO = "echo"
    #: Sent, delivered, read, typing.
    STATUS = "status"
    GROUP = "group"
    #: Written by a program: a bot, a mailing list, an automatic answer, a bounce.
    AUTOMATIC = "automatic"
    #: For another number, page or application than ours.
    NOT_OURS = "not_ours"
    #: A kind of event we do not read.
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a provider sent, as it came. ``headers``: names in lower case."""

    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Inbound:
    """One message of a person. Nothing of it is shown by ``repr``.

    ``message_id``: the provider's, equal whenever the same message is delivered again.
    ``conversation``: with whom; opaque to the desk, which keeps a keyed hash only.
    ``text``: what the person wrote; ``""`` if nothing. ``hint``: their language (BCP 47), if told.
    ``media_dropped``: files that came along and were not read. ``verdict``: whether the sender is
    who they say, where the channel does not vouch for it itself; None: it does.
    ``answerable``: False where an answer would go to nobody, or to somebody else.
    ``reply``: the adapter's own note of where the answer goes.
    """

    message_id: str = field(repr=False)
    conversation: str = field(repr=False)
    text: str = field(repr=False)
    hint: str = field(default="", repr=False)
    media_dropped: int = 0
    verdict: Verdict | None = None
    answerable: bool = True
    reply: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def trusted(self) -> bool:
        """Whether two messages of this conversation are of one person."""
        return self.verdict in (None, "pass")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the person is told. ``paragraphs``: none empty; ``key``: equal when sent again."""

    language: str
    paragraphs: tuple[str, ...] = field(repr=False)
    key: str = field(repr=False)

    @property
    def text(self) -> str:
        return "\n\n".join(self.paragraphs)

    def parts(self, limit: int, *, count_bytes: bool = False) -> list[str]:
        """The text in messages of at most ``limit`` characters or UTF-8 bytes, cut between
        paragraphs; inside one only where it does not fit alone.
        """

        def size(text: str) -> int:
            return len(text.encode()) if count_bytes else len(text)

        out: list[str] = []
        for paragraph in self.paragraphs:
            joined = f"{out[-1]}\n\n{paragraph}" if out else paragraph
            if out and size(joined) <= limit:
                out[-1] = joined
                continue
            out.append("")
            for character in paragraph:
                if size(out[-1] + character) > limit:
                    out.append("")
                out[-1] += character
        return out


class ChannelConfig(BaseModel):
    """Base of every adapter's settings: frozen, unknown keys refused, values never printed."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Adapter(Protocol):
    """One provider's protocol."""

    @property
    def name(self) -> str:
        """Of the channel, a metric label: ``mail``, ``whatsapp``."""

    @property
    def channel(self) -> ChannelWord:
        """What reports of it are filed under."""

    @property
    def discreet(self) -> bool:
        """True: an answer says what must be said and no more, for it may be read by others."""

    @property
    def hosts(self) -> frozenset[str]:
        """Hosts it speaks to; it reaches no other."""

    def parse(self, delivery: Delivery) -> Sequence[Inbound | Skipped]:
        """The messages of a delivery, in order. Pure. Raises Unauthentic, Malformed.

        Proof first: nothing of an unproven delivery is read. What it does not know is Skipped.
        """

    def challenge(self, query: Mapping[str, str]) -> str:
        """The answer to a provider that asks whether this address is ours. Raises Unauthentic."""

    async def answer(self, inbound: Inbound, answer: Answer) -> None:
        """Hand an answer over to the provider. Raises Retryable, Rejected."""
