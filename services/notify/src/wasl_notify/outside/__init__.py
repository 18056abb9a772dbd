# SPDX-License-Identifier: Apache-2.0
"""Adapters to what is outside the hub: a mail relay, HTTP endpoints, a spool folder."""

from dataclasses import dataclass
from enum import StrEnum


class Result(StrEnum):
    """What became of one attempt, named by what the sender must do."""

    #: The other side has it.
    SENT = "sent"
    #: Not taken now; the same message may be taken later.
    DEFERRED = "deferred"
    #: Never taken.
    FAILED = "failed"
    #: The other side may have it: the connection broke or time ran out before its answer.
    AMBIGUOUS = "ambiguous"
    #: Nothing wrong with this message: the whole channel does not work.
    AWAY = "away"


@dataclass(frozen=True, slots=True)
class Attempt:
    """``reason``: a constant word. ``wait``: seconds the other side asked for, bounded."""

    result: Result
    reason: str = ""
    wait: float | None = None


class ChannelAway(Exception):  # noqa: N818  says what is the matter
    """The channel cannot be used at all now. ``reason`` is a constant word."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
