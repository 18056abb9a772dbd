# SPDX-License-Identifier: Apache-2.0
"""A seal for each day of the audit trail, and the check that nothing under a seal has changed.

Once a UTC day and a grace for late commits are over, its rows in order of stream and number are the
leaves of a Merkle tree (RFC 6962); the root, the ends of the day's streams and the seal before are
signed (Ed25519, RFC 8032). A seal holds nothing of chance: every replica makes the same one.
Whoever rewrites the database with the key in hand is found by any root that was published before.
"""

import base64
import hashlib
import json
import logging
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from wasl_chassis.failures import Conflict
from wasl_chassis.store import Changes, Collection, Doc, Store
from wasl_chassis.vault import derive
from wasl_schemas.base import Model

from wasl_triage import metrics as measure
from wasl_triage.audit.trail import AUDIT, HEADS, AuditRow, broken_at, link, row_id, told
from wasl_triage.audit.verify import plain
from wasl_triage.care.helpline import HELPLINE
from wasl_triage.casework import Hub
from wasl_triage.domain import merkle
from wasl_triage.repository import CASES, PAST

log = logging.getLogger(__name__)

#: Rows are committed within seconds; the longest a service may hold a batch back is an hour.
GRACE = timedelta(hours=2)
LEASE = timedelta(minutes=10)
#: A day of more rows is read in slices, each in one answer of the database.
_AT_ONCE = 20_000
_SLICE = timedelta(minutes=15)
_ENDS = 5000
_PURPOSE = "audit-seal"


class Seal(Model):
    """What is signed of one day. ``root``, ``heads``, ``previous``: SHA-256 in hex; ``heads`` is of
    the day's :class:`End` list. ``key`` and ``signature``: base64.
    """

    day: str
    rows: int
    streams: int
    root: str
    heads: str
    previous: str
    key: str
    signature: str = ""

    def body(self) -> bytes:
        """The bytes that are signed. ``verify.py`` makes the same."""
        words = [self.day, self.rows, self.streams, self.root, self.heads, self.previous, self.key]
        return _json("wasl-audit-seal-1", *words)

    @property
    def hash(self) -> str:
        return hashlib.sha256(self.body()).hexdigest()

    def holds(self) -> bool:
        """Whether the signature is the key's."""
        try:
            key = Ed25519PublicKey.from_public_bytes(plain(self.key))
            key.verify(plain(self.signature), self.body())
        except (InvalidSignature, ValueError):
            return False
        return True


@dataclass(frozen=True, slots=True)
class End:
    """How many rows a stream has on a day, and the last of them."""

    stream: str
    rows: int
    seq: int
    hash: str


class _Ends(Model):
    """A portion of a day's ends: a document may have 16 MB, and a day many streams."""

    portion: str
    ends: tuple[tuple[str, int, int, str], ...]


SEALS: Collection[Seal] = Collection.of("audit_seals", Seal, "day")
#: Lists inside, as the database has no tuples.
ENDS: Collection[_Ends] = Collection(
    "audit_ends",
    lambda e: e.portion,
    lambda e: {"ends": [list(end) for end in e.ends]},
    lambda d: _Ends(portion=d["_id"], ends=tuple(tuple(end) for end in d["ends"])),
)
ALL: tuple[Collection[Any], ...] = (AUDIT, HEADS, SEALS, ENDS)


def _json(*words: object) -> bytes:
    return json.dumps(words, separators=(",", ":")).encode()


def signing_key(secret: bytes, *, derived: bool) -> Ed25519PrivateKey:
    """``secret``: 32 bytes; the key itself, or (``derived``) the master key it is derived from."""
    seed = derive(secret, _PURPOSE) if derived else secret
    return Ed25519PrivateKey.from_private_bytes(seed)


def public(key: Ed25519PrivateKey) -> str:
    """The public key in base64: 32 bytes."""
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


def sign(key: Ed25519PrivateKey, text: bytes) -> str:
    return base64.b64encode(key.sign(text)).decode()


# -- the rows of a day ---------------------------------------------------------------------------


def _start(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


async def rows_of(store: Store, day: date) -> list[AuditRow]:
    """Every row of the UTC day, by stream and number."""
    found: list[AuditRow] = []
    at, end = _start(day), _start(day + timedelta(days=1))
    count = await store.count(AUDIT, {"at": {"$gte": at, "$lt": end}})
    piece = _SLICE if count > _AT_ONCE else timedelta(days=1)
    while count and at < end:
        docs = await store.find(AUDIT, {"at": {"$gte": at, "$lt": at + piece}})
        found += [AUDIT.decode(d) for d in docs]
        at += piece
    return sorted(found, key=lambda r: (r.stream, r.seq))


def leaves(rows: Iterable[AuditRow]) -> list[bytes]:
    return [merkle.leaf(told(r)) for r in rows]


def ends_of(rows: Iterable[AuditRow]) -> list[End]:
    """``rows``: of one day, sorted."""
    ends: dict[str, End] = {}
    for row in rows:
        before = ends.get(row.stream)
        ends[row.stream] = End(row.stream, (before.rows if before else 0) + 1, row.seq, row.hash)
    return list(ends.values())


def _digest(ends: Sequence[End]) -> str:
    return hashlib.sha256(_json(*([e.stream, e.rows, e.seq, e.hash] for e in ends))).hexdigest()


async def _kept_ends(store: Store, day: str, streams: int) -> list[End]:
    ids = [f"{day}|{n:06d}" for n in range(0, max(streams, 1), _ENDS)]
    docs = await store.read(ENDS, ids)
    return [End(*end) for i in ids if i in docs for end in ENDS.decode(docs[i]).ends]


# -- sealing -------------------------------------------------------------------------------------


class Sealer:
    """Seals one day a turn. Replicas may all run it: one has the lease, and all make the same."""

    def __init__(self, hub: Hub, key: Ed25519PrivateKey, *, holder: str) -> None:
        self._hub = hub
        self._key = key
        self._holder = holder

    async def turn(self) -> bool:
        """Seal the oldest day that is over and not sealed. True: there may be more."""
        hub, now = self._hub, self._hub.clock.now()
        if not await hub.store.lease("audit-seal", self._holder, now=now, lease_for=LEASE):
            return False
        last = await hub.store.find(SEALS, {}, sort=(("_id", -1),), limit=1)
        before = SEALS.decode(last[0]) if last else None
        day = await self._next(before)
        if day is not None:
            behind = (now - _start(day)).days
            hub.metrics.set("wasl_triage_audit_unsealed_days", max(behind, 0))
        if day is None or now < _start(day + timedelta(days=1)) + GRACE:
            return False
        rows = await rows_of(hub.store, day)
        ends = ends_of(rows)
        seal = Seal(
            day=day.isoformat(),
            rows=len(rows),
            streams=len(ends),
            root=merkle.root(leaves(rows)).hex(),
            heads=_digest(ends),
            previous=before.hash if before else "",
            key=public(self._key),
        )
        seal = seal.model_copy(update={"signature": sign(self._key, seal.body())})
        changes = Changes(inserts={SEALS: [_doc(SEALS, seal)]})
        if ends:
            changes.inserts[ENDS] = [_doc(ENDS, e) for e in _portions(seal.day, ends)]
        try:
            await hub.store.commit(changes)
        except Conflict:
            return True  # another replica was faster, with the same
        measure.record_sealed(hub.metrics)
        # The root in the log is a witness outside the database.
        log.info(
            "a day of the audit trail is sealed",
            extra={"day": seal.day, "rows": seal.rows, "root": seal.root},
        )
        return True

    async def _next(self, before: Seal | None) -> date | None:
        if before is not None:
            return date.fromisoformat(before.day) + timedelta(days=1)
        first = await self._hub.store.find(
            AUDIT, {"at": {"$exists": True}}, sort=(("at", 1),), limit=1
        )
        return AUDIT.decode(first[0]).at.astimezone(UTC).date() if first else None


def _doc(collection: Collection[Any], value: Any) -> Doc:
    return {**collection.encode(value), "_id": collection.key(value), "_rev": 1}


def _portions(day: str, ends: Sequence[End]) -> list[_Ends]:
    return [
        _Ends(
            portion=f"{day}|{n:06d}",
            ends=tuple((e.stream, e.rows, e.seq, e.hash) for e in ends[n : n + _ENDS]),
        )
        for n in range(0, len(ends), _ENDS)
    ]


async def seals(store: Store, since: str = "", until: str = "9999") -> list[Seal]:
    """The seals of these days, oldest first; ``until`` is included."""
    where = {"_id": {"$gte": since, "$lte": until}}
    return [SEALS.decode(d) for d in await store.find(SEALS, where, sort=(("_id", 1),))]


# -- checking ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Finding:
    """What does not hold. ``why``: a constant word; ``stream`` and ``seq``: where known."""

    day: str
    why: str
    stream: str = ""
    seq: int | None = None


class Checker:
    """``keys``: the public keys seals may bear. ``gone``: rows of this day and older may have been
    erased, their time being over; None: none may.
    """

    def __init__(self, store: Store, keys: frozenset[str], gone: date | None = None) -> None:
        self._store = store
        self._keys = keys
        self._gone = gone
        #: stream → number and hash of its last row so far.
        self._ends: dict[str, tuple[int, str]] = {}
        self.findings: list[Finding] = []
        self.days = self.rows = 0

    async def run(self, since: date | None = None) -> list[Finding]:
        """Every seal and every row since that day (None: all), then the ends of the streams."""
        previous: Seal | None = None
        held = await seals(self._store, since.isoformat() if since else "")
        for seal in held:
            self._check_seal(seal, previous, first=since is None)
            await self._check_day(seal, since)
            previous = seal
        await self._check_rest(previous, since)
        await self._check_ends(since)
        return self.findings

    async def run_day(self, day: date) -> list[Finding]:
        """One day alone: its seal and its rows."""
        held = await seals(self._store, day.isoformat(), day.isoformat())
        if not held:
            self._add(day.isoformat(), "not_sealed")
        for seal in held:
            self._check_signature(seal)
            await self._check_day(seal, day)
        return self.findings

    def _add(self, day: str, why: str, stream: str = "", seq: int | None = None) -> None:
        self.findings.append(Finding(day, why, stream, seq))

    def _check_seal(self, seal: Seal, previous: Seal | None, *, first: bool) -> None:
        self._check_signature(seal)
        if previous is None:
            if first and seal.previous:
                self._add(seal.day, "seals_before_are_missing")
            return
        due = date.fromisoformat(previous.day) + timedelta(days=1)
        if seal.day != due.isoformat():
            self._add(due.isoformat(), "seal_missing")
        elif seal.previous != previous.hash:
            self._add(seal.day, "seal_does_not_follow")

    def _check_signature(self, seal: Seal) -> None:
        self.days += 1
        if not seal.holds():
            self._add(seal.day, "seal_changed")
        elif seal.key not in self._keys:
            self._add(seal.day, "seal_of_another_key")

    async def _check_day(self, seal: Seal, since: date | None) -> None:
        day = date.fromisoformat(seal.day)
        rows = await rows_of(self._store, day)
        if not rows and self._gone is not None and day <= self._gone:
            return
        before = len(self.findings)
        self._chain(seal.day, rows, since)
        sealed = await _kept_ends(self._store, seal.day, seal.streams)
        whole = _digest(sealed) == seal.heads
        if not whole:
            self._add(seal.day, "ends_changed")
        else:
            self._compare(seal.day, sealed, rows)
        fits = (seal.rows, seal.root) == (len(rows), merkle.root(leaves(rows)).hex())
        if not fits and len(self.findings) == before:
            self._add(seal.day, "root_differs")

    def _chain(self, day: str, rows: Sequence[AuditRow], since: date | None) -> None:
        """Each row's own hash, and that it follows from the one before in its stream."""
        self.rows += len(rows)
        for row in rows:
            known = self._ends.get(row.stream)
            if row.hash != link(row):
                self._add(day, "changed", row.stream, row.seq)
            elif known is None:
                # The rows before may be of a day that is not looked at, or was erased.
                if row.seq > 1 and since is None and self._gone is None:
                    self._add(day, "missing", row.stream, 1)
            elif row.seq != known[0] + 1:
                self._add(day, "missing", row.stream, known[0] + 1)
            elif row.previous != known[1]:
                self._add(day, "does_not_follow", row.stream, row.seq)
            self._ends[row.stream] = row.seq, row.hash

    def _compare(self, day: str, sealed: Sequence[End], rows: Sequence[AuditRow]) -> None:
        found: dict[str, list[AuditRow]] = {}
        for row in rows:
            found.setdefault(row.stream, []).append(row)
        for end in sealed:
            mine = {r.seq: r for r in found.pop(end.stream, ())}
            wanted = range(end.seq - end.rows + 1, end.seq + 1)
            for seq in wanted:
                if seq not in mine:
                    self._add(day, "missing", end.stream, seq)
            for seq in mine:
                if seq not in wanted:
                    self._add(day, "added", end.stream, seq)
            if end.seq in mine and mine[end.seq].hash != end.hash:
                self._add(day, "rewritten", end.stream, end.seq)
        for stream, more in found.items():
            self._add(day, "added", stream, more[0].seq)

    async def _check_rest(self, last: Seal | None, since: date | None) -> None:
        """The rows of days that are not sealed yet."""
        newest = await self._store.find(
            AUDIT, {"at": {"$exists": True}}, sort=(("at", -1),), limit=1
        )
        if not newest:
            return
        until = AUDIT.decode(newest[0]).at.astimezone(UTC).date()
        async for day in self._unsealed(last, since, until):
            self._chain(day.isoformat(), await rows_of(self._store, day), since)

    async def _unsealed(
        self, last: Seal | None, since: date | None, until: date
    ) -> AsyncIterator[date]:
        if last is not None:
            day = date.fromisoformat(last.day) + timedelta(days=1)
        elif since is not None:
            day = since
        else:
            first = await self._store.find(
                AUDIT, {"at": {"$exists": True}}, sort=(("at", 1),), limit=1
            )
            day = AUDIT.decode(first[0]).at.astimezone(UTC).date()
        while day <= until:
            yield day
            day += timedelta(days=1)

    async def _check_ends(self, since: date | None) -> None:
        """The streams' heads say how many rows there are; none may be missing at the end."""
        streams = list(self._ends)
        for n in range(0, len(streams), 500):
            heads = await self._heads(streams[n : n + 500])
            for stream in streams[n : n + 500]:
                await self._check_end(stream, heads.get(stream))
        if since is None:
            for doc in await self._store.find(HEADS, {}):
                head = HEADS.decode(doc)
                if head.stream not in self._ends and not self._erased(head.at):
                    self._add("", "missing", head.stream, 1)

    def _erased(self, at: datetime | None) -> bool:
        return self._gone is not None and at is not None and at.astimezone(UTC).date() <= self._gone

    async def _heads(self, streams: Sequence[str]) -> Mapping[str, tuple[int, str]]:
        found: dict[str, tuple[int, str]] = {}
        for collection in (PAST, CASES, HELPLINE):
            for i, doc in (await self._store.read(collection, streams)).items():
                found[i] = doc["audit_seq"], doc["audit_hash"]
        for i, doc in (await self._store.read(HEADS, streams)).items():
            found[i] = doc["seq"], doc["hash"]
        return found

    async def _check_end(self, stream: str, head: tuple[int, str] | None) -> None:
        seq, end = self._ends[stream]
        if head is None:
            self._add("", "head_missing", stream)
            return
        newer: list[AuditRow] = []
        if head[0] > seq:  # written while we looked
            ids = [row_id(stream, n) for n in range(seq + 1, head[0] + 1)]
            docs = await self._store.read(AUDIT, ids)
            newer = sorted((AUDIT.decode(d) for d in docs.values()), key=lambda r: r.seq)
            if newer and (newer[0].seq, newer[0].previous) != (seq + 1, end):
                self._add("", "missing", stream, seq + 1)
                return
        if newer:
            if broken := broken_at(stream, newer, *head, erased=True):
                self._add("", broken.why, stream, broken.seq)
        elif head[0] != seq:
            self._add("", "missing" if head[0] > seq else "added", stream, min(head[0], seq) + 1)
        elif head[1] != end:
            self._add("", "not_the_head", stream, seq)
