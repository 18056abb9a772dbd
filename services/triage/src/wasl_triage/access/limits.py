# SPDX-License-Identifier: Apache-2.0
"""What slows guessing down: a growing wait for each name, and a rate for the whole process.

A try is counted before the password is looked at, so a hundred at once are a hundred. Names that do
not exist wait like those that do. No address of a caller is read (house rule), so the rate is
everybody's together. NIST SP 800-63B §5.2.2: at most 100 failures in a row.
"""

import hashlib
from datetime import UTC, datetime, timedelta

from wasl_chassis.clock import Clock
from wasl_chassis.store import Collection, Index
from wasl_chassis.work import UnitOfWork
from wasl_schemas.base import Model

#: Typing mistakes nobody waits for.
FREE = 4
#: Then nobody gets in until an administrator unlocks the account.
MOST = 100
FIRST, LONGEST = timedelta(minutes=1), timedelta(minutes=15)
FOR_EVER = datetime(9999, 1, 1, tzinfo=UTC)


def wait_after(tries: int) -> timedelta | None:
    """How long after so many failures in a row the next try waits; None: until it is unlocked."""
    if tries >= MOST:
        return None
    if tries <= FREE:
        return timedelta(0)
    return min(FIRST * (1 << min(tries - FREE - 1, 10)), LONGEST)


class Tries(Model):
    """Tries for one name since it last came in. The name is hashed: it may be a password typed in
    the wrong field.
    """

    id: str
    count: int = 0
    last_at: datetime
    locked_until: datetime | None = None

    def locked(self, now: datetime) -> bool:
        return self.locked_until is not None and now < self.locked_until


TRIES: Collection[Tries] = Collection.of(
    "sign_in_tries", Tries, "id", (Index((("last_at", 1),), ttl=30 * 86_400),)
)


def tries_id(name: str) -> str:
    return hashlib.sha256(f"tries|{name}".encode(errors="surrogatepass")).hexdigest()


async def count(uow: UnitOfWork, name: str) -> Tries | None:
    """One more try for this name, to be committed before it is looked at. None: the name waits, and
    nothing was counted.
    """
    now = uow.now()
    held = await uow.get(TRIES, tries_id(name))
    if held is not None and held.locked(now):
        return None
    number = (held.count if held else 0) + 1
    wait = wait_after(number)
    tried = Tries(
        id=tries_id(name),
        count=number,
        last_at=now,
        locked_until=FOR_EVER if wait is None else now + wait if wait else None,
    )
    uow.put(TRIES, tried)
    return tried


class Rate:
    """At most ``burst`` at once and ``per_second`` in the long run (a token bucket)."""

    def __init__(self, clock: Clock, per_second: float, burst: int) -> None:
        self._clock, self._per_second, self._burst = clock, per_second, burst
        self._left, self._at = float(burst), clock.monotonic()

    def take(self) -> bool:
        now = self._clock.monotonic()
        self._left = min(self._burst, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
