# SPDX-License-Identifier: Apache-2.0
"""Writes a piece of the audit trail to a file that anybody can check without the hub.

The file is a zip: rows with the proof that each is under its day's seal, the seals, a signed list
of what is in it, plain words for whoever opens it, and the program that checks it.
"""

import base64
import hashlib
import json
import zipfile
from dataclasses import dataclass
from datetime import UTC, date, datetime
from importlib import resources
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from wasl_chassis.store import Store

from wasl_triage.audit.sealing import Seal, leaves, public, rows_of, seals, sign
from wasl_triage.audit.trail import AuditRow
from wasl_triage.domain import merkle

#: Every entry of the zip bears it: the same rows make the same file.
_DATE = (1980, 1, 1, 0, 0, 0)
_README = """An extract of the audit trail of a Wasl hub, to which people report online harm.

What is in it
  rows.jsonl      one row a line: who did what, when. "row" is [stream, number in the stream, time
                  (UTC), person, act, word or id, hash of the row before it]. A stream is a case, by
                  its keyed id, or a part of the hub's work. "proof" shows that the row is under the
                  seal of its day.
  seals.jsonl     one signed seal for each day: how many rows it had and one number, the root, that
                  fits these rows only. Each seal holds the hash of the one before.
  manifest.json   what was exported, when, the hash of every file, the hub's public key.
  signature.txt   the hub's signature of manifest.json (Ed25519, base64).
  verify.py       checks all of it: python3 verify.py FILE.zip

What it shows
  If it says that everything fits, no row was changed, added, moved, or left out of a whole day
  since the day was sealed. That the seals are the hub's own follows from the key, which the hub
  publishes, and from roots of days that others wrote down at the time. It does not show that the
  machine was told what a person did.

What it does not hold
  No report, no address of an item, no name of a reporter. Names are those of the hub's staff.
"""


class NotSealed(Exception):  # noqa: N818
    """There is nothing sealed to export for these days; the text says which there are."""


@dataclass(frozen=True, slots=True)
class Export:
    """``stream``: only its rows, such as a case's id; None: all."""

    since: date
    until: date
    stream: str | None = None


async def write(
    store: Store, key: Ed25519PrivateKey, wanted: Export, to: Path, now: datetime
) -> int:
    """Write the file, which must not exist yet; returns the number of rows.

    Raises NotSealed, OSError.
    """
    held = await seals(store, wanted.since.isoformat(), wanted.until.isoformat())
    if not held or held[0].day != wanted.since.isoformat():
        raise NotSealed(f"there is no seal of {wanted.since}")
    if held[-1].day != wanted.until.isoformat():
        raise NotSealed(f"there is no seal of {wanted.until}; the last is of {held[-1].day}")
    lines: list[str] = []
    for seal in held:
        lines += await _day(store, seal, wanted.stream)
    files = {
        "README.txt": _README,
        "rows.jsonl": "".join(f"{line}\n" for line in lines),
        "seals.jsonl": "".join(f"{_compact(s.model_dump())}\n" for s in held),
        "verify.py": resources.files("wasl_triage.audit").joinpath("verify.py").read_text("utf-8"),
    }
    manifest = {
        "format": "wasl-audit-1",
        "made_at": now.astimezone(UTC).isoformat(timespec="seconds"),
        "since": held[0].day,
        "until": held[-1].day,
        "stream": wanted.stream,
        "rows": len(lines),
        "key": public(key),
        "keys": sorted({s.key for s in held}),
        "files": {n: hashlib.sha256(t.encode()).hexdigest() for n, t in files.items()},
    }
    files["manifest.json"] = json.dumps(manifest, indent=1)
    files["signature.txt"] = sign(key, files["manifest.json"].encode())
    with zipfile.ZipFile(to, "x", zipfile.ZIP_DEFLATED) as file:
        for name, text in files.items():
            file.writestr(zipfile.ZipInfo(name, _DATE), text, zipfile.ZIP_DEFLATED)
    return len(lines)


async def _day(store: Store, seal: Seal, stream: str | None) -> list[str]:
    rows = await rows_of(store, date.fromisoformat(seal.day))
    if len(rows) != seal.rows:
        raise NotSealed(
            f"{seal.day} was sealed with {seal.rows} rows and has {len(rows)}: their time is over,"
            " or they were changed; see 'wasl audit verify'"
        )
    tree = merkle.Tree(leaves(rows))
    return [
        _compact(
            {
                "row": _told(row),
                "hash": row.hash,
                "day": seal.day,
                "index": n,
                "proof": [p.hex() for p in tree.proof(n)],
            }
        )
        for n, row in enumerate(rows)
        if stream in (None, row.stream)
    ]


def _told(row: AuditRow) -> list[object]:
    at = row.at.astimezone(UTC).isoformat(timespec="milliseconds")
    return [row.stream, row.seq, at, row.who, row.what, row.why, row.previous]


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def key_text(key: str) -> str:
    """A public key as it is printed: base64, and its SHA-256 in hex, shorter to compare aloud."""
    return f"{key} sha256:{hashlib.sha256(base64.b64decode(key)).hexdigest()}"
