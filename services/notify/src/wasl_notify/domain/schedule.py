# SPDX-License-Identifier: Apache-2.0
"""When to try again: a schedule for one message, a breaker for a channel that is away."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

_M, _H = timedelta(minutes=1), timedelta(hours=1)

#: Two days in all; RFC 5321 §4.5.4.1 asks for four to five at most and half an hour at least.
MAIL = (1 * _M, 5 * _M, 15 * _M, 1 * _H, 3 * _H, 6 * _H, 12 * _H, 24 * _H)
#: Standard Webhooks 1.0, "Deliverability and reliability".
WEBHOOK = (
    timedelta(seconds=5),
    5 * _M,
    30 * _M,
    2 * _H,
    5 * _H,
    10 * _H,
    14 * _H,
    20 * _H,
    24 * _H,
)


def next_delay(delays: Sequence[timedelta], attempts: int, key: str) -> timedelta | None:
    """How long to wait after the attempt number ``attempts`` (from 1); None: give up.

    Up to a tenth longer, spread by ``key``, so that what failed together does not return together.
    """
    if attempts > len(delays):
        return None
    spread = hashlib.sha256(f"{key}|{attempts}".encode()).digest()[0] / 2550
    return delays[attempts - 1] * (1 + spread)


@dataclass(slots=True)
class Breaker:
    """Pauses a whole channel while its server is away, refuses us or forgets our password.

    Nothing is counted against the messages that wait. Pauses double from 5 s to 5 min.
    """

    failures: int = 0
    until: datetime | None = None

    def open(self, now: datetime) -> bool:
        return self.until is not None and now < self.until

    def failed(self, now: datetime) -> datetime:
        """Open it (further); returns when to try again."""
        pause = min(5 * 2**self.failures, 300)
        self.failures = min(self.failures + 1, 10)
        self.until = now + timedelta(seconds=pause)
        return self.until

    def worked(self) -> None:
        self.failures, self.until = 0, None
