# SPDX-License-Identifier: Apache-2.0
"""A lane: one partner behind one connector, with its rate limit and its circuit breaker.

The document is shared by all replicas and written with its revision, so a token is spent once and
only one replica probes. One partner's trouble stays in its lane.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from wasl_schemas.base import Model


class Sign(StrEnum):
    """What one call says about the partner. Refusals are ``ALIVE``: somebody answered."""

    ALIVE = "alive"
    TROUBLE = "trouble"
    SLOW_DOWN = "slow_down"
    CREDENTIALS = "credentials"


@dataclass(frozen=True, slots=True)
class Rate:
    per_second: float
    burst: int


@dataclass(frozen=True, slots=True)
class Breaker:
    """``threshold`` failures in a row open the circuit for ``cooldown``, then double that."""

    threshold: int = 5
    cooldown: timedelta = timedelta(seconds=5)
    longest: timedelta = timedelta(minutes=5)
    #: Wrong credentials need a person; asking often helps nobody.
    credentials: timedelta = timedelta(seconds=60)
    #: Where a partner says 429 without Retry-After.
    slow_down: timedelta = timedelta(seconds=5)
    #: A partner's Retry-After is believed up to here.
    longest_block: timedelta = timedelta(hours=1)


class Lane(Model):
    lane_id: str
    connector: str
    partner: str
    tokens: float | None = None
    tokens_at: datetime | None = None
    blocked_until: datetime | None = None
    failures: int = 0
    trips: int = 0
    open_until: datetime | None = None
    probe_until: datetime | None = None
    reason: str | None = None

    @property
    def clean(self) -> bool:
        return self.failures == 0 and not self.guarded

    @property
    def guarded(self) -> bool:
        """Open, or told to wait: when the time is over, one call finds out whether more may go."""
        return self.open_until is not None or self.blocked_until is not None

    def allowance(self, want: int, now: datetime, rate: Rate | None) -> int:
        """How many calls may be made now: 0 while blocked or open, 1 while half-open."""
        if self.guarded:
            shut = any(t is not None and now < t for t in (self.blocked_until, self.open_until))
            probing = self.probe_until is not None and now < self.probe_until
            want = 0 if shut or probing else min(want, 1)
        return want if rate is None else min(want, int(self._filled(now, rate)))

    def taken(self, count: int, now: datetime, rate: Rate | None, probe_for: timedelta) -> "Lane":
        """After reserving ``count`` calls; a half-open circuit is reserved for ``probe_for``."""
        changes: dict[str, object] = {}
        if rate is not None:
            changes |= {"tokens": self._filled(now, rate) - count, "tokens_at": now}
        if self.guarded:
            changes["probe_until"] = now + probe_for
        return self.model_copy(update=changes)

    def after(
        self, sign: Sign, now: datetime, breaker: Breaker, retry_after: float | None = None
    ) -> "Lane":
        """The lane after one call's answer."""
        if sign is Sign.ALIVE:
            if self.blocked_until is not None and now < self.blocked_until:
                return self  # a call that left before the partner asked us to wait
            return self if self.clean else self._closed()
        if sign is Sign.SLOW_DOWN:
            told = breaker.slow_down if retry_after is None else timedelta(seconds=retry_after)
            until = now + min(told, breaker.longest_block)
            # A partner that says "slow down" is up: it ends a probe.
            return self._closed().model_copy(update={"blocked_until": until})
        if self.open_until is not None and now < self.open_until:
            return self  # a call that left before the circuit opened
        failures = self.failures + 1
        if sign is Sign.CREDENTIALS:
            return self._opened(now, breaker.credentials, failures, sign)
        if self.open_until is None and failures < breaker.threshold:
            return self.model_copy(update={"failures": failures})
        wait = min(breaker.cooldown * 2 ** min(self.trips, 16), breaker.longest)
        return self._opened(now, wait, failures, sign)

    def _filled(self, now: datetime, rate: Rate) -> float:
        if self.tokens is None or self.tokens_at is None:
            return float(rate.burst)
        gained = max(0.0, (now - self.tokens_at).total_seconds()) * rate.per_second
        return min(float(rate.burst), self.tokens + gained)

    def _opened(self, now: datetime, wait: timedelta, failures: int, sign: Sign) -> "Lane":
        return self.model_copy(
            update={
                "failures": failures,
                "trips": self.trips + 1,
                "open_until": now + wait,
                "probe_until": None,
                "reason": sign.value,
            }
        )

    def _closed(self) -> "Lane":
        return self.model_copy(
            update={
                "blocked_until": None,
                "failures": 0,
                "trips": 0,
                "open_until": None,
                "probe_until": None,
                "reason": None,
            }
        )


def lane_id(connector: str, partner: str) -> str:
    return f"{connector}:{partner}"
