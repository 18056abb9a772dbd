# SPDX-License-Identifier: Apache-2.0
"""Failures named by what must be done about them. Nothing else decides an event's fate."""

from enum import StrEnum


class Outcome(StrEnum):
    """What became of one event; the label of ``wasl_events_handled_total``."""

    OK = "ok"
    DUPLICATE = "duplicate"
    STALE = "stale"
    RETRIED = "retried"
    DEAD_LETTERED = "dead_lettered"


class Failure(Exception):  # noqa: N818
    """Base of the taxonomy. ``reason`` is a constant word: it is a metric label and a header."""

    reason: str = "failure"

    def __init__(self, detail: str = "", *, reason: str | None = None) -> None:
        super().__init__(detail or reason or self.reason)
        if reason is not None:
            self.reason = reason


class Retryable(Failure):
    """A dependency is away; the same event may succeed later. Never dead-lettered."""

    reason = "transient"


class Conflict(Retryable):
    """A document of this unit of work changed since it was read: read and run again."""

    reason = "conflict"


class Locked(Conflict):
    """A transaction not yet ended holds a document: another replica's, or one a process died in.

    It ends or the server ends it (``transactionLifetimeLimitSeconds``), so this passes by itself.
    """

    reason = "locked"


class Permanent(Failure):
    """This event can never succeed: dead-letter it with its original bytes."""

    reason = "permanent"


class Poison(Permanent):
    """The record cannot be read as the event its topic promises."""

    reason = "poison"


class Systemic(Failure):
    """Something is wrong with us, not with one event: stop, be unready, exit non-zero."""

    reason = "systemic"


class Overloaded(Failure):
    """A bounded queue is full; say so at once (HTTP 503 with Retry-After)."""

    reason = "overloaded"


class KeyDestroyed(Failure):
    """The data key of a sealed text is gone: the text is erased, by intent."""

    reason = "key_destroyed"
