# SPDX-License-Identifier: Apache-2.0
"""What a channel's process remembers, in memory and for a while: nothing survives a restart.

Conversations and messages are known by keyed hashes under a key made when the process starts. A
receipt is held for as long as further messages of the conversation go to its thread. Everything is
bounded; what is too much, the oldest of it is forgotten.
"""

import asyncio
import hashlib
import hmac
import secrets
from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

from wasl_chassis.clock import Clock

V = TypeVar("V")

HOUR = 3600.0
#: Providers deliver again for hours, not for days.
ANSWERED_SECONDS = 24 * HOUR


@dataclass(frozen=True, slots=True)
class Thread:
    """The report further messages go to. ``origin``: key of the message that made it."""

    receipt: str
    origin: str


class _Passing(Generic[V]):
    """A bounded table whose entries pass away."""

    def __init__(self, clock: Clock, seconds: float, size: int) -> None:
        self._clock, self._seconds, self._size = clock, seconds, size
        self._held: OrderedDict[bytes, tuple[float, V]] = OrderedDict()

    def put(self, key: bytes, value: V) -> None:
        self._held.pop(key, None)
        self._held[key] = (self._clock.monotonic() + self._seconds, value)
        while self._held:
            oldest, (until, _) = next(iter(self._held.items()))
            if until > self._clock.monotonic() and len(self._held) <= self._size:
                break
            del self._held[oldest]

    def get(self, key: bytes) -> V | None:
        until, value = self._held.get(key, (0.0, None))
        return value if until > self._clock.monotonic() else None

    def forget(self, key: bytes) -> None:
        self._held.pop(key, None)

    def __len__(self) -> int:
        return len(self._held)


class Memory:
    """``thread_seconds``: how long a conversation stays one report, since its last message.
    ``answers``: for one conversation in one hour. ``size``: conversations, and messages.
    """

    def __init__(
        self, clock: Clock, *, thread_seconds: float, answers: int, size: int = 20_000
    ) -> None:
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._answers = answers
        self._threads: _Passing[Thread] = _Passing(clock, thread_seconds, size)
        self._answered: _Passing[bool] = _Passing(clock, ANSWERED_SECONDS, size)
        self._counts: _Passing[deque[float]] = _Passing(clock, HOUR, size)
        self._locks: WeakValueDictionary[bytes, asyncio.Lock] = WeakValueDictionary()

    def _hash(self, text: str) -> bytes:
        return hmac.digest(self._key, text.encode("utf-8", "surrogatepass"), hashlib.sha256)

    def lock(self, conversation: str) -> asyncio.Lock:
        """One at a time for each conversation, in the order they came."""
        who = self._hash(conversation)
        held = self._locks.get(who)
        if held is None:
            held = self._locks[who] = asyncio.Lock()
        return held

    def thread(self, conversation: str) -> Thread | None:
        return self._threads.get(self._hash(conversation))

    def follow(self, conversation: str, thread: Thread) -> None:
        """Further messages of the conversation go there, from now on for the agreed time."""
        self._threads.put(self._hash(conversation), thread)

    def leave(self, conversation: str) -> None:
        self._threads.forget(self._hash(conversation))

    def answered(self, key: str) -> bool:
        """Whether a message is done with, its answer included."""
        return self._answered.get(self._hash(key)) is not None

    def finish(self, key: str) -> None:
        self._answered.put(self._hash(key), True)

    def may_answer(self, conversation: str) -> bool:
        times = self._counts.get(self._hash(conversation))
        return times is None or self._recent(times) < self._answers

    def count_answer(self, conversation: str) -> None:
        who = self._hash(conversation)
        times = self._counts.get(who) or deque(maxlen=self._answers)
        times.append(self._clock.monotonic())
        self._counts.put(who, times)

    def _recent(self, times: deque[float]) -> int:
        since = self._clock.monotonic() - HOUR
        return sum(t > since for t in times)
