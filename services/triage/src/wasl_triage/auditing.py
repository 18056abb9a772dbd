# SPDX-License-Identifier: Apache-2.0
"""The audit trail: who did, read or changed what, and that nobody rewrote it.

Rows are append-only, in the same commit as what they tell, and chained per case: a row that was
changed or taken out breaks every later hash.
"""

import hashlib
import json
from dataclasses import dataclass, replace
from datetime import datetime

from wasl_chassis.store import Collection, Doc
from wasl_chassis.work import UnitOfWork

from wasl_triage.domain.case import Case


@dataclass(frozen=True, slots=True)
class AuditRow:
    """Who did what to a case, when and why. ``why`` is a word or a pack id, never free text."""

    case_id: str
    seq: int
    at: datetime
    who: str
    what: str
    why: str
    previous: str
    hash: str

    @property
    def id(self) -> str:
        return f"{self.case_id}|{self.seq:08d}"


def _encode_audit(a: AuditRow) -> Doc:
    return {
        "case_id": a.case_id,
        "seq": a.seq,
        "at": a.at,
        "who": a.who,
        "what": a.what,
        "why": a.why,
        "previous": a.previous,
        "hash": a.hash,
    }


AUDIT: Collection[AuditRow] = Collection(
    "audit",
    lambda a: a.id,
    _encode_audit,
    lambda d: AuditRow(
        d["case_id"], d["seq"], d["at"], d["who"], d["what"], d["why"], d["previous"], d["hash"]
    ),
)


def _link(row: AuditRow) -> str:
    """SHA-256 over the row and the hash before it; times as the database keeps them."""
    at = row.at.isoformat(timespec="milliseconds")
    told = [row.case_id, row.seq, at, row.who, row.what, row.why, row.previous]
    return hashlib.sha256(json.dumps(told, separators=(",", ":")).encode()).hexdigest()


def audit(uow: UnitOfWork, case: Case, who: str, what: str, why: str = "") -> None:
    """Append one row to the case's trail. The caller puts the case, which ends the chain."""
    case.audit_seq += 1
    row = AuditRow(case.id, case.audit_seq, uow.now(), who, what, why, case.audit_hash, "")
    row = replace(row, hash=_link(row))
    uow.put(AUDIT, row)
    case.audit_hash = row.hash


def broken_link(case: Case, rows: list[AuditRow]) -> int | None:
    """The number of the first row that does not follow from the one before; None if the trail
    holds.

    ``rows``: all of the case's, in order. A missing last row breaks the link after it.
    """
    previous = ""
    for seq, row in enumerate(rows, 1):
        link = _link(row)
        if (row.seq, row.previous, row.hash) != (seq, previous, link) or row.case_id != case.id:
            return seq
        previous = link
    return None if previous == case.audit_hash else len(rows) + 1
