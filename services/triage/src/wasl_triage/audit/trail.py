# SPDX-License-Identifier: Apache-2.0
"""The audit trail: who did, read or changed what, and that nobody rewrote it.

A row belongs to a stream: a case's id, or a name for what belongs to no case. Rows are append-only,
in the same commit as what they tell, and chained per stream: a row that was changed or taken out
breaks every later hash. ``sealing.py`` signs each day's rows.
"""

import hashlib
import hmac
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Protocol

from wasl_chassis.store import Collection, Doc, Index
from wasl_chassis.work import UnitOfWork
from wasl_schemas.base import Model


class Chained(Protocol):
    """What ends its own chain: a case. Whoever appends puts it in the same commit."""

    id: str
    audit_seq: int
    audit_hash: str
    audit_at: datetime | None


@dataclass(frozen=True, slots=True)
class AuditRow:
    """Who did what in a stream, when and why. ``why`` is a word, an id or a keyed hash, never free
    text.
    """

    stream: str
    seq: int
    at: datetime
    who: str
    what: str
    why: str
    previous: str
    hash: str

    @property
    def id(self) -> str:
        return row_id(self.stream, self.seq)

    @property
    def day(self) -> str:
        """The UTC day whose seal covers it: 2026-01-05."""
        return self.at.astimezone(UTC).date().isoformat()


def row_id(stream: str, seq: int) -> str:
    return f"{stream}|{seq:08d}"


def _encode_audit(a: AuditRow) -> Doc:
    return {
        "stream": a.stream,
        "seq": a.seq,
        "at": a.at,
        "who": a.who,
        "what": a.what,
        "why": a.why,
        "previous": a.previous,
        "hash": a.hash,
    }


def _decode_audit(d: Doc) -> AuditRow:
    # Rows of before there were other streams name their case.
    stream = d["stream"] if "stream" in d else d["case_id"]
    return AuditRow(
        stream, d["seq"], d["at"], d["who"], d["what"], d["why"], d["previous"], d["hash"]
    )


AUDIT: Collection[AuditRow] = Collection(
    "audit",
    lambda a: a.id,
    _encode_audit,
    _decode_audit,
    indexes=(Index((("at", 1),)), Index((("who", 1), ("at", 1)))),
)


class Head(Model):
    """The end of the chain of a stream that is no case."""

    stream: str
    seq: int = 0
    hash: str = ""
    at: datetime | None = None


HEADS: Collection[Head] = Collection.of("audit_heads", Head, "stream", (Index((("at", 1),)),))


class Stream(StrEnum):
    """Streams of everybody, for what is rare. What is seen or asked often has :func:`watched`."""

    PEOPLE = "people"
    RULES = "rules"
    EXPORTS = "exports"
    RETENTION = "retention"
    SUBJECT_REQUESTS = "subject_requests"
    BULK = "bulk"


def watched(kind: str, person: str, at: datetime) -> str:
    """The stream of what one person looked at on one day: ``queue|ana|2026-01-05``. No two people
    write to the same document, however often they look.
    """
    return f"{kind}|{person}|{at.astimezone(UTC).date().isoformat()}"


def link(row: AuditRow) -> str:
    """SHA-256 over the row and the hash before it; times as the database keeps them."""
    return hashlib.sha256(told(row)).hexdigest()


def told(row: AuditRow) -> bytes:
    """The bytes a row's hash is made of. ``verify.py`` in every export makes the same."""
    at = row.at.astimezone(UTC).isoformat(timespec="milliseconds")
    words = [row.stream, row.seq, at, row.who, row.what, row.why, row.previous]
    return json.dumps(words, separators=(",", ":")).encode()


def _append(uow: UnitOfWork, head: Head, who: str, what: str, why: str) -> Head:
    # Never before the row before it, though two replicas' clocks differ: days follow each other
    # in a stream as its rows do.
    at = max(uow.now(), head.at or uow.now())
    # Words may come as members of an enumeration, which the database does not know.
    words = str(who), str(what), str(why)
    row = AuditRow(head.stream, head.seq + 1, at, *words, head.hash, "")
    row = replace(row, hash=link(row))
    uow.put(AUDIT, row)
    return Head(stream=row.stream, seq=row.seq, hash=row.hash, at=at)


def audit(uow: UnitOfWork, case: Chained, who: str, what: str, why: str = "") -> None:
    """Append one row to the case's trail. The caller puts the case, which ends the chain."""
    head = Head(stream=case.id, seq=case.audit_seq, hash=case.audit_hash, at=case.audit_at)
    head = _append(uow, head, who, what, why)
    case.audit_seq, case.audit_hash, case.audit_at = head.seq, head.hash, head.at


async def journal(uow: UnitOfWork, stream: str, who: str, what: str, why: str = "") -> None:
    """Append one row to a stream that is no case; see :class:`Stream` and :func:`watched`."""
    key = str(stream)
    head = await uow.get(HEADS, key) or Head(stream=key)
    uow.put(HEADS, _append(uow, head, who, what, why))


async def looked(uow: UnitOfWork, who: str, kind: str, what: str, why: str = "") -> None:
    """A person saw a list or an answer. ``kind``: queue, search, figures, exports …"""
    await journal(uow, watched(kind, who, uow.now()), who, what, why)


def search_mark(key: bytes, kind: str, sought: str) -> str:
    """What is kept of a search: its kind, and a keyed hash by which the same search is recognised;
    never what was sought.
    """
    mark = hmac.digest(key, f"{kind}|{sought}".encode(), hashlib.sha256).hex()[:32]
    return f"{kind}:{mark}"


@dataclass(frozen=True, slots=True)
class Broken:
    """Where a chain does not hold, and a constant word why."""

    stream: str
    seq: int
    why: str


def broken_at(
    stream: str, rows: Iterable[AuditRow], seq: int, end: str, *, erased: bool = False
) -> Broken | None:
    """The first row that does not follow from the one before; None if the chain holds.

    ``rows``: all that are kept, in order. ``seq`` and ``end``: of the last, as the stream's head
    has it. ``erased``: the oldest rows may be gone, their time being over.
    """
    previous, expected = "", 1
    for row in rows:
        if erased and expected == 1:
            expected, previous = row.seq, row.previous
        if row.seq != expected:
            return Broken(stream, expected, "missing" if row.seq > expected else "added")
        if row.stream != stream or row.hash != link(row):
            return Broken(stream, row.seq, "changed")
        if row.previous != previous:
            return Broken(stream, row.seq, "does_not_follow")
        previous, expected = row.hash, expected + 1
    if erased and expected == 1:
        return None
    if expected - 1 != seq:
        return Broken(stream, min(expected, seq + 1), "missing" if expected <= seq else "added")
    return None if previous == end else Broken(stream, seq, "not_the_head")


def broken_link(case: Chained, rows: Iterable[AuditRow], *, erased: bool = False) -> int | None:
    """The number of the first row of a case's trail that does not hold; None if all do."""
    broken = broken_at(case.id, rows, case.audit_seq, case.audit_hash, erased=erased)
    return broken.seq if broken else None
