# SPDX-License-Identifier: Apache-2.0
"""What the pages and the API ask before they let something in: a pass, or work or a wait first.

Never a refusal: whoever has waited the longest wait of the lane passes. Nothing about the caller is
read: what is asked follows from the lane's strain, from near-identical reports and from the trap,
and is the same for everybody. State is in memory, per process, bounded, without text or addresses.
"""

import hashlib
import math
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from wasl_chassis.clock import Clock
from wasl_chassis.metrics import Metrics
from wasl_chassis.vault import derive
from wasl_chassis.web import Problem
from wasl_schemas.country_pack import CountryPack
from wasl_schemas.events.common import Severity

from wasl_intake import metrics as measure
from wasl_intake.domain import flood
from wasl_intake.domain.flood import Demand, Lane, Ticket
from wasl_intake.domain.submission import ReportRequest

#: Groups whose critical categories travel in the urgent lane.
URGENT_GROUPS = frozenset({"danger", "children"})
#: From this level on, numbers say nothing: every report of the lane is marked.
MARKED_FROM = 2
#: A near-identical report heard so little that it came more than seven minutes ago.
_FADED = 0.5
_NOTHING = Demand(0, 0)


@dataclass(frozen=True, slots=True)
class Challenge:
    """Solve it or wait: an ``answer`` such that SHA-256 of ``token:answer`` begins with
    ``difficulty`` zero bits, or ``wait`` seconds since the token was made. 0 and 0: nothing is
    asked.
    """

    token: str
    difficulty: int
    wait: int


@dataclass(frozen=True, slots=True)
class Pass:
    """Let it in. ``flood``: one of many nearly the same, or of a flooded lane; it must not add to
    the weight of numbers.
    """

    flood: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """Not yet: send the same again with the challenge solved, or after ``seconds``."""

    seconds: int
    challenge: Challenge


Verdict = Pass | Wait


class Challenged(Problem):
    """The 429 of the API, with the challenge in its body."""

    def __init__(self, wait: Wait) -> None:
        super().__init__(
            429,
            "The hub is under a flood",
            "Nothing was stored. Send the same again with the header 'X-Challenge: TOKEN:ANSWER',"
            " where SHA-256 of TOKEN:ANSWER begins with the given number of zero bits; or with"
            " 'X-Challenge: TOKEN' after the time in Retry-After.",
            headers={"retry-after": str(wait.seconds)},
        )
        self._challenge = wait.challenge

    def body(self) -> dict[str, Any]:
        asked = self._challenge
        return super().body() | {
            "challenge": {
                "token": asked.token,
                "difficulty": asked.difficulty,
                "wait": asked.wait,
            }
        }


@dataclass(frozen=True, slots=True)
class _Seen:
    """One arrival: its lane's strain, its keyed sketch, how many nearly the same came before."""

    strain: float
    sketch: tuple[int, ...]
    heard: float

    @property
    def marked(self) -> bool:
        return self.heard > _FADED or flood.level(self.strain) >= MARKED_FROM


class Gate:
    """The one door of everybody without an account. One per process; not for threads."""

    def __init__(
        self,
        pack: CountryPack,
        clock: Clock,
        metrics: Metrics,
        *,
        pepper: bytes,
        rate: float = 1.0,
        most: Demand = flood.MOST[Lane.ORDINARY],
        similar: int = 8,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """``rate``: arrivals a second in one lane that are never a flood. ``most``: the hardest
        work and the longest wait anybody is asked for. ``similar``: near-identical reports of some
        minutes that nobody waits for.
        """
        self._clock = clock
        self._metrics = metrics
        self._random = random
        self._similar = similar
        self._urgent = frozenset(
            c.id
            for c in pack.categories.values()
            if c.group in URGENT_GROUPS and c.base_severity is Severity.CRITICAL
        )
        self._rest = {lane: flood.REST[lane].capped(most) for lane in Lane}
        self._most = {lane: flood.MOST[lane].capped(most) for lane in Lane}
        self._meters = {lane: flood.Meter(rate) for lane in Lane}
        self._levels = dict.fromkeys(Lane, 0)
        self._seal = flood.Seal(derive(pepper, "challenge"))
        # A lane's crowd must not use up another's memory: then old urgent challenges would be void.
        self._spent = {lane: flood.Spent() for lane in Lane}
        self._echoes = flood.Echoes(random)

    def lane(self, request: ReportRequest) -> Lane:
        urgent = request.danger_now is True or request.category in self._urgent
        return Lane.URGENT if urgent else Lane.ORDINARY

    def challenge(self, lane: Lane) -> Challenge:
        """A challenge to give with a form. One of another lane is good too, for work and time are
        what they are; it is measured by what the lane of the report asks.
        """
        ticket = self._ticket(lane, self._demand(lane, self._strain(lane)))
        return self._shown(ticket)

    def judge(
        self,
        lane: Lane,
        token: str,
        answer: str,
        request: ReportRequest | None = None,
        trap: str = "",
        *,
        repeat_key: str = "",
        at_rest: bool = True,
    ) -> Verdict:
        """Whether this may go in now. Counts it; ask once for each thing that is sent.

        ``trap``: what the field nobody sees was filled with. ``repeat_key``: the form's token or
        the idempotency key; the same form sent again passes again. ``at_rest``: a calm lane asks
        what it asks in calm; without, nothing.
        """
        given, result, replay = self._given(token, repeat_key)
        if replay is not None:
            return replay
        seen = self._see(lane, request)
        own = flood.echo_strain(seen.heard, self._similar)
        if trap:
            measure.record_honeypot(self._metrics)
            own = 1.0
        strain = max(seen.strain, own)
        asked = self._demand(lane, strain) if strain > 0 or at_rest else _NOTHING
        if asked == _NOTHING:
            return self._passed(seen)
        if given is None:
            fresh = self._ticket(lane, asked)
            measure.record_challenge(self._metrics, lane, result)
            return Wait(max(1, asked.wait), self._shown(fresh))
        if given.lane is lane:
            # What was asked when the form was given holds; only what this very report does adds.
            asked = given.asks
            if own > 0:
                asked = asked.raised(self._demand(lane, own))
        left = asked.wait - (self._now() - given.issued) / 1000
        solved = flood.solves(token, answer, asked.difficulty)
        if solved or left <= 0:
            measure.record_challenge(self._metrics, lane, "solved" if solved else "waited")
            bound = _bound(given, repeat_key) if repeat_key else 0
            self._spent[given.lane].spend(given, bound << 1 | seen.marked, self._now())
            return self._passed(seen)
        measure.record_challenge(self._metrics, lane, "early" if given.lane is lane else "lane")
        # The same beginning and the same nonce: the time already waited counts, and only one of
        # the two is ever good.
        again = replace(given, lane=lane, asks=asked)
        return Wait(math.ceil(left), self._shown(again))

    def at_api(
        self, lane: Lane, header: str, request: ReportRequest | None = None, repeat_key: str = ""
    ) -> bool:
        """The API without a key: whether what comes in is part of a flood; raises Challenged.

        ``header``: the value of ``X-Challenge``. In calm nothing is asked. A program may not know
        challenges, so an urgent report is counted and marked but never told to wait.
        """
        if lane is Lane.URGENT:
            return self._passed(self._see(lane, request)).flood
        token, _, answer = header.partition(":")
        verdict = self.judge(
            lane, token.strip(), answer.strip(), request, repeat_key=repeat_key, at_rest=False
        )
        if isinstance(verdict, Wait):
            raise Challenged(verdict)
        return verdict.flood

    def failed_receipt(self) -> None:
        """A receipt that no report belongs to was presented."""
        self._meters[Lane.RECEIPTS].arrive(self._clock.monotonic())

    def overloaded(self) -> None:
        """The queue behind the reports is full."""
        self._meters[Lane.ORDINARY].press(self._clock.monotonic())

    async def turn(self) -> None:
        """Say how the lanes are, also when nothing comes any more."""
        for lane in Lane:
            self._strain(lane)
            measure.record_flood_level(self._metrics, lane, self._levels[lane])

    # -- inside ----------------------------------------------------------------------------------

    def _now(self) -> int:
        return int(self._clock.now().timestamp() * 1000)

    def _strain(self, lane: Lane) -> float:
        strain = self._meters[lane].strain(self._clock.monotonic())
        reached = flood.level(strain)
        if reached != self._levels[lane]:
            self._levels[lane] = reached
            measure.record_flood_level(self._metrics, lane, reached)
        return strain

    def _demand(self, lane: Lane, strain: float) -> Demand:
        return flood.demand(self._rest[lane], self._most[lane], strain)

    def _ticket(self, lane: Lane, asks: Demand) -> Ticket:
        return Ticket(lane, self._now(), asks, self._random(8))

    def _shown(self, ticket: Ticket) -> Challenge:
        return Challenge(self._seal.token(ticket), ticket.asks.difficulty, ticket.asks.wait)

    def _given(self, token: str, repeat_key: str) -> tuple[Ticket | None, str, Pass | None]:
        """The ticket, if it can be answered, or why not; and the pass of a form sent again."""
        if not token:
            return None, "missing", None
        given, now = self._seal.open(token), self._now()
        if given is None or given.issued > now + flood.SKEW:
            return None, "forged", None
        marks = (spent.mark(given) for spent in self._spent.values())
        mark = next((m for m in marks if m is not None), None)
        if mark is not None:
            same = bool(repeat_key) and mark >> 1 == _bound(given, repeat_key)
            return None, "spent", Pass(flood=bool(mark & 1)) if same else None
        if self._spent[given.lane].outdated(given, now):
            return None, "expired", None
        return given, "", None

    def _see(self, lane: Lane, request: ReportRequest | None) -> _Seen:
        """Count what arrives, and listen whether it was heard before."""
        now = self._clock.monotonic()
        if lane is not Lane.RECEIPTS:
            self._meters[lane].arrive(now)
        strain = self._strain(lane)
        if request is None:
            return _Seen(strain, (), 0.0)
        found = flood.shingles(request.locations, request.narrative)
        sketch = self._echoes.sketch(found, now)
        return _Seen(strain, sketch, self._echoes.heard(sketch, now))

    def _passed(self, seen: _Seen) -> Pass:
        """What goes in, and only that, is an echo of later ones."""
        if seen.heard > _FADED:
            measure.record_near_duplicate(self._metrics)
        self._echoes.count(seen.sketch, self._clock.monotonic())
        return Pass(flood=seen.marked)


def _bound(ticket: Ticket, repeat_key: str) -> int:
    """Which form a challenge was used for; never 0."""
    digest = hashlib.blake2b(repeat_key.encode(), key=ticket.nonce, digest_size=7).digest()
    return int.from_bytes(digest) | 1
