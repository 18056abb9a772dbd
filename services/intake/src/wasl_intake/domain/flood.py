# SPDX-License-Identifier: Apache-2.0
"""Floods are slowed by work and time, for everybody alike: nothing here knows an address.

A lane's arrivals against what is usual give one number, its strain, from 0 (calm) to 1; the strain
says how much a challenge asks: either work (hashcash, SHA-256) or a wait, never both and never too
much for a person. Near-identical reports strain each other only. All state is bounded, in memory,
and holds no text: keyed hashes under a random key of the day. Time and randomness come from the
caller.
"""

import hashlib
import hmac
import math
import re
import struct
import unicodedata
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from wasl_intake.domain.text import normalized


class Lane(StrEnum):
    """What has a budget of its own."""

    #: Danger now, or the gravest categories. Always open.
    URGENT = "urgent"
    ORDINARY = "ordinary"
    #: Look-ups; only receipts that no report belongs to are counted, which a guesser makes.
    RECEIPTS = "receipts"
    MESSAGES = "messages"


@dataclass(frozen=True, slots=True)
class Demand:
    """``difficulty``: leading zero bits of work; ``wait``: whole seconds since the issue. Either
    suffices.
    """

    difficulty: int
    wait: int

    def raised(self, other: "Demand") -> "Demand":
        return Demand(max(self.difficulty, other.difficulty), max(self.wait, other.wait))

    def capped(self, most: "Demand") -> "Demand":
        return Demand(min(self.difficulty, most.difficulty), min(self.wait, most.wait))


#: The least work that is ever asked for: 0.04 s at 100,000 hashes a second.
LEAST_WORK = 12
#: What a lane asks in calm: of a form's sender 0.16 s of an old phone's work, or two seconds, which
#: is less than filling it in takes; elsewhere nothing.
REST = {
    Lane.URGENT: Demand(0, 0),
    Lane.ORDINARY: Demand(14, 2),
    Lane.RECEIPTS: Demand(0, 0),
    Lane.MESSAGES: Demand(0, 0),
}
#: What a lane asks at most; the settings can lower it.
MOST = {
    Lane.URGENT: Demand(16, 5),
    Lane.ORDINARY: Demand(20, 60),
    Lane.RECEIPTS: Demand(18, 10),
    Lane.MESSAGES: Demand(18, 30),
}


def demand(rest: Demand, most: Demand, strain: float) -> Demand:
    """What is asked at this strain: ``rest`` at 0, ``most`` at 1, more with more strain."""
    if strain <= 0:
        return rest
    strain, low = min(strain, 1.0), min(max(rest.difficulty, LEAST_WORK), most.difficulty)
    return Demand(
        round(low + strain * (most.difficulty - low)),
        math.ceil(rest.wait + strain * (most.wait - rest.wait)),
    )


def level(strain: float) -> int:
    """0 calm, 1 to 3: thirds of the strain; for people and alerts."""
    return 0 if strain <= 0 else min(3, 1 + int(strain * 3))


# --- how strained a lane is -----------------------------------------------------------------------

#: Seconds over which arrivals are averaged; so long a moment's crowd is no flood.
WINDOW = 30.0
#: Seconds over which a lane learns what is usual: a rise that takes hours is no flood.
LEARNS = 3600.0
#: A flood begins at so many times the usual, and is over at half of that.
FACTOR = 4.0
#: From its beginning a flood grows so many octaves until the strain is 1.
OCTAVES = 5.0
#: Seconds from strain 1 to calm once nothing more arrives.
RELAXES = 300.0
#: The usual cannot be taught beyond so many times the quiet rate: patience buys no flood.
TEACHABLE = 4.0
#: A full queue strains a lane by so much.
PRESS = 0.1


class Meter:
    """The strain of one lane. Times are seconds of one clock that never goes back.

    It rises at once and falls slowly, and a strained lane relaxes only below half the rate at which
    the flood began, so that it does not flap.
    """

    __slots__ = ("_at", "_fast", "_quiet", "_strain", "_usual")

    def __init__(self, quiet: float) -> None:
        """``quiet``: arrivals a second that are never a flood."""
        self._quiet = quiet
        self._fast = self._usual = self._strain = 0.0
        self._at: float | None = None

    def arrive(self, now: float) -> None:
        self._pass_time(now)
        self._fast += 1 / WINDOW
        self._strain = max(self._strain, self._over(1.0))

    def press(self, now: float) -> None:
        """The queue behind the lane is full."""
        self._pass_time(now)
        self._strain = min(1.0, self._strain + PRESS)

    def strain(self, now: float) -> float:
        self._pass_time(now)
        return self._strain

    def _over(self, ease: float) -> float:
        start = max(self._quiet, FACTOR * self._usual) * ease
        return min(1.0, max(0.0, math.log2(max(self._fast / start, 1.0)) / OCTAVES))

    def _pass_time(self, now: float) -> None:
        if self._at is None:
            self._at = now
        seconds = now - self._at
        if seconds <= 0:
            return
        self._at = now
        left = math.exp(-seconds / WINDOW)
        if self._strain == 0:  # a flood is not learned from
            mean = self._fast * WINDOW * (1 - left) / seconds
            learned = self._usual + (mean - self._usual) * (1 - math.exp(-seconds / LEARNS))
            self._usual = min(learned, TEACHABLE * self._quiet)
        self._fast *= left
        floor = min(self._strain, self._over(0.5))
        self._strain = max(floor, self._strain - seconds / RELAXES, 0.0)


# --- challenges -----------------------------------------------------------------------------------

#: Milliseconds for which a challenge can be answered.
LIFETIME = 2 * 3600 * 1000
#: Milliseconds by which the clocks of two replicas may differ.
SKEW = 60_000
DAY = 24 * 3600 * 1000
_LANES = tuple(Lane)
#: Lane, issue (ms, 6 bytes), difficulty, wait, nonce. With the MAC 48 bytes: 64 characters, one
#: whole block of SHA-256, so that a try costs one compression and not two.
_FIELDS = struct.Struct(">BHIBH8s")
_MAC = 30
_TOKEN = re.compile(r"[A-Za-z0-9_-]{64}")
_ANSWER = re.compile(r"[0-9A-Za-z]{1,32}")


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a token says. ``issued``: milliseconds since 1970."""

    lane: Lane
    issued: int
    asks: Demand
    nonce: bytes


class Seal:
    """Tokens that only the hub can make: signed with a key of the day of their issue."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._days: dict[int, bytes] = {}

    def _mac(self, fields: bytes, issued: int) -> bytes:
        day = issued // DAY
        key = self._days.get(day)
        if key is None:
            key = hmac.digest(self._key, str(day).encode(), hashlib.sha256)
            self._days = {d: k for d, k in self._days.items() if abs(d - day) <= 1} | {day: key}
        return hmac.digest(key, fields, hashlib.sha256)[:_MAC]

    def token(self, ticket: Ticket) -> str:
        fields = _FIELDS.pack(
            _LANES.index(ticket.lane),
            ticket.issued >> 32,
            ticket.issued & 0xFFFFFFFF,
            ticket.asks.difficulty,
            ticket.asks.wait,
            ticket.nonce,
        )
        return urlsafe_b64encode(fields + self._mac(fields, ticket.issued)).decode()

    def open(self, token: str) -> Ticket | None:
        """The ticket of a token of ours; None for any other text."""
        if not _TOKEN.fullmatch(token):
            return None
        raw = urlsafe_b64decode(token)
        fields, mac = raw[: _FIELDS.size], raw[_FIELDS.size :]
        lane, high, low, difficulty, wait, nonce = _FIELDS.unpack(fields)
        issued = high << 32 | low
        if not hmac.compare_digest(mac, self._mac(fields, issued)):
            return None
        return Ticket(_LANES[lane], issued, Demand(difficulty, wait), nonce)


def solves(token: str, answer: str, difficulty: int) -> bool:
    """Whether SHA-256 of ``token:answer`` begins with so many zero bits. One hash."""
    if not _ANSWER.fullmatch(answer):
        return False
    digest = hashlib.sha256(f"{token}:{answer}".encode()).digest()
    return int.from_bytes(digest) >> (256 - difficulty) == 0


class Spent:
    """Challenges that were used, each once, until they expire; at most ``limit`` of them.

    When full, the oldest are forgotten and all of their age count as used: a person who took long
    gets a new challenge, and no challenge is good twice.
    """

    _SLOT = 10_000

    def __init__(self, limit: int = 100_000) -> None:
        self._limit = limit
        self._slots: dict[int, dict[bytes, int]] = {}
        self._held = 0
        self._since = 0

    def __len__(self) -> int:
        return self._held

    def outdated(self, ticket: Ticket, now: int) -> bool:
        """Too old to be answered. ``now``: milliseconds since 1970."""
        return ticket.issued < max(now - LIFETIME, self._since)

    def mark(self, ticket: Ticket) -> int | None:
        """What :meth:`spend` noted; None: not used yet."""
        return self._slots.get(ticket.issued // self._SLOT, {}).get(ticket.nonce)

    def spend(self, ticket: Ticket, mark: int, now: int) -> None:
        self._slots.setdefault(ticket.issued // self._SLOT, {})[ticket.nonce] = mark
        self._held += 1
        for slot in sorted(self._slots):
            over = (slot + 1) * self._SLOT
            if self._held <= self._limit and over > now - LIFETIME:
                break
            self._held -= len(self._slots.pop(slot))
            self._since = max(self._since, over)


# --- near-identical reports -----------------------------------------------------------------------

#: Seconds in which a report's echo fades to a third.
FADES = 600.0
#: Of two reports' word groups so many must be the same.
ALIKE = 0.6
#: Doublings of near-identical reports from the first hindered one to the full demand.
ECHO_OCTAVES = 4.0
_SKETCH = 32
_KEYS = 8
_CROWD = 16
_SHINGLE = 3
_WORD = re.compile(r"[^\W_]+")
_SCHEME = re.compile(r"^(?:https?|hxxps?)(?=\W)")
_LETTERS = str.maketrans(
    "ٱىیکە٠١٢٣٤٥٦٧٨٩۰۱۲۳۴۵۶۷۸۹", "اييكه01234567890123456789", "ـ"
) | str.maketrans({"ة": "ه"})


def plain(text: str) -> str:
    """The text without what a copy may change: case, accents, vowel signs, forms of alef, hamza,
    yeh and teh, tatweel, invisible characters, scripts of digits.
    """
    if text.isascii():
        return text.lower()
    spread = normalized("NFKD", text).casefold()
    kept = (c for c in spread if unicodedata.category(c) not in ("Mn", "Cf"))
    return "".join(kept).translate(_LETTERS)


def shingles(locations: Iterable[str], narrative: str) -> frozenset[str]:
    """What two reports are compared by: each location, and each three words in a row."""
    found = {
        "@" + "".join(_WORD.findall(_SCHEME.sub("", plain(place.strip())))) for place in locations
    }
    words = _WORD.findall(plain(narrative))
    for i in range(max(1, len(words) - _SHINGLE + 1) if words else 0):
        found.add(" ".join(words[i : i + _SHINGLE]))
    return frozenset(found - {"@"})


@dataclass(slots=True)
class _Cluster:
    """Reports that say nearly the same: the smallest hashes of the first one, and how many."""

    sketch: tuple[int, ...]
    count: float
    at: float


class Echoes:
    """Counts near-identical reports of the last minutes, at most ``limit`` kinds of them.

    Bottom-k sketches of keyed hashes (an estimate of the share of common word groups). The key is
    random, lives a day at most and never leaves the process: nobody can test a text against it.
    """

    def __init__(self, random: Callable[[int], bytes], limit: int = 2048) -> None:
        self._random = random
        self._limit = limit
        self._key = random(32)
        self._born: float | None = None
        self._clusters: OrderedDict[int, _Cluster] = OrderedDict()
        self._index: dict[int, list[int]] = {}
        self._next = 0

    def __len__(self) -> int:
        return len(self._clusters)

    def sketch(self, found: Iterable[str], now: float) -> tuple[int, ...]:
        """The keyed smallest hashes of some shingles, to be counted at the same ``now``."""
        if self._born is None:
            self._born = now
        if now - self._born > DAY / 1000:
            self._key, self._born = self._random(32), now
            self._clusters.clear()
            self._index.clear()
        key = self._key
        hashes = [
            int.from_bytes(hashlib.blake2b(s.encode(), key=key, digest_size=8).digest())
            for s in found
        ]
        return tuple(sorted(hashes)[:_SKETCH])

    def heard(self, sketch: tuple[int, ...], now: float) -> float:
        """How many near-identical reports there were, older ones counting less."""
        at = self._like(sketch)
        return 0.0 if at is None else _faded(self._clusters[at], now)

    def count(self, sketch: tuple[int, ...], now: float) -> None:
        if not sketch:
            return
        at = self._like(sketch)
        if at is not None:
            cluster = self._clusters[at]
            cluster.count, cluster.at = _faded(cluster, now) + 1, now
            self._clusters.move_to_end(at)
            return
        if len(self._clusters) >= self._limit:
            self._forget(now)
        at, self._next = self._next, self._next + 1
        self._clusters[at] = _Cluster(sketch, 1.0, now)
        for key in sketch[:_KEYS]:
            self._index[key] = [*self._index.get(key, ())[-(_CROWD - 1) :], at]

    def _like(self, sketch: tuple[int, ...]) -> int | None:
        keys = sketch[:_KEYS]
        votes = Counter(at for key in keys for at in self._index.get(key, ()))
        # Alike in most is alike in a quarter of the keys; a place many speak of is one of them.
        asked = [at for at, shared in votes.items() if 4 * shared >= len(keys)]
        best = max(asked, key=lambda at: _alike(sketch, self._clusters[at].sketch), default=None)
        if best is None or _alike(sketch, self._clusters[best].sketch) < ALIKE:
            return None
        return best

    def _forget(self, now: float) -> None:
        """Drop the longest unheard; one heard more than once lately gets a second chance, so that
        a flood of noise does not wash out what it accompanies.
        """
        for _ in range(8):
            at, cluster = next(iter(self._clusters.items()))
            if _faded(cluster, now) < 2:
                break
            self._clusters.move_to_end(at)
        at, cluster = self._clusters.popitem(last=False)
        for key in cluster.sketch[:_KEYS]:
            rest = [other for other in self._index.get(key, ()) if other != at]
            if rest:
                self._index[key] = rest
            else:
                self._index.pop(key, None)


def _faded(cluster: _Cluster, now: float) -> float:
    return cluster.count * math.exp(-max(0.0, now - cluster.at) / FADES)


def _alike(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    """The estimated share of common elements (Jaccard), from two bottom-k sketches."""
    smallest = sorted({*one, *other})[:_SKETCH]
    common = set(one) & set(other)
    return sum(h in common for h in smallest) / len(smallest) if smallest else 0.0


def echo_strain(heard: float, unhindered: float) -> float:
    """The strain near-identical reports put on the next one; 0 up to ``unhindered`` of them."""
    if heard < unhindered:
        return 0.0
    return min(1.0, max(0.01, math.log2(heard / unhindered) / ECHO_OCTAVES))
