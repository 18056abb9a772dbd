# SPDX-License-Identifier: Apache-2.0
"""Identifiers. Time-ordered UUIDs (RFC 9562 version 7) for what is created once."""

import os
import threading
import time
from typing import Annotated
from uuid import UUID

from pydantic import StringConstraints

Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{8,64}$")]
ReportId = Id
CaseId = Id
DispatchId = Id
ReferralId = Id
MessageId = Id
NotificationId = Id

_lock = threading.Lock()
_last = 0


def uuid7() -> str:
    """A UUIDv7 in canonical text form, strictly increasing within this process.

    48 bits of Unix milliseconds, then a 12-bit counter seeded by the sub-millisecond time (RFC 9562
    §6.2, method 3), then 62 random bits.
    """
    global _last  # noqa: PLW0603  one monotonic counter per process is the point
    ticks = time.time_ns() * 4096 // 1_000_000
    with _lock:
        ticks = _last = max(ticks, _last + 1)
    rand = int.from_bytes(os.urandom(8)) & ((1 << 62) - 1)
    value = (ticks >> 12) << 80 | 0x7 << 76 | (ticks & 0xFFF) << 64 | 0b10 << 62 | rand
    return str(UUID(int=value))
