# SPDX-License-Identifier: Apache-2.0
"""Checks an export of a Wasl hub's audit trail: python3 verify.py EXPORT.zip

It needs Python 3.9 or newer and no database, no settings, no network. Signatures (Ed25519, RFC
8032) are checked where the package "cryptography" is installed. Trees are those of RFC 6962.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
import zipfile
from datetime import date, timedelta
from typing import Any

try:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
except ImportError:
    Ed25519PublicKey = None  # type: ignore[assignment,misc]
    InvalidSignature = ValueError  # type: ignore[assignment,misc]


def sha(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def told(*words: object) -> bytes:
    return json.dumps(words, separators=(",", ":")).encode()


def plain(text: Any) -> bytes:
    """What base64 text stands for. Two texts may stand for the same; only one of them is taken."""
    text = text if isinstance(text, bytes) else str(text).encode()
    found = base64.b64decode(text)
    if base64.b64encode(found) != text:
        raise ValueError("this is not how base64 is written")
    return found


def signed(key: str, signature: Any, text: bytes) -> bool:
    try:
        raw, made = plain(key), plain(signature)
        if Ed25519PublicKey is None:
            return True
        Ed25519PublicKey.from_public_bytes(raw).verify(made, text)
    except (InvalidSignature, ValueError):
        return False
    return True


def root_of(found: bytes, index: int, size: int, path: Any) -> str:
    """The root, in hex, that follows from a leaf's hash and the hashes beside its way."""
    last, path = size - 1, list(path)
    while last:
        if index % 2 or index < last:
            beside = path.pop(0)
            found = sha(b"\x01", beside, found) if index % 2 else sha(b"\x01", found, beside)
        index, last = index // 2, last // 2
    return "" if path else found.hex()


def check(path: Any) -> list[str]:
    """What is wrong with the export, one sentence each; empty if nothing is."""
    wrong = []
    with zipfile.ZipFile(path) as file:
        names = file.namelist()
        text = {name: file.read(name) for name in names}
    manifest = json.loads(text["manifest.json"])
    key = manifest["key"]
    if not signed(key, text["signature.txt"], text["manifest.json"]):
        wrong.append("manifest.json: the signature does not fit")
    if sorted(names) != sorted([*manifest["files"], "manifest.json", "signature.txt"]):
        wrong.append("the export holds other files than manifest.json names")
    for name, digest in manifest["files"].items():
        if hashlib.sha256(text.get(name, b"")).hexdigest() != digest:
            wrong.append(f"{name}: changed since it was written")
    seals: dict[str, Any] = {}
    previous: Any = None
    for line in text["seals.jsonl"].splitlines():
        s = json.loads(line)
        words = [s[k] for k in ("day", "rows", "streams", "root", "heads", "previous", "key")]
        body = told("wasl-audit-seal-1", *words)
        if not signed(s["key"], s["signature"], body):
            wrong.append(f"seal of {s['day']}: the signature does not fit")
        if s["key"] not in manifest["keys"]:
            wrong.append(f"seal of {s['day']}: signed with a key manifest.json does not name")
        if previous and (s["previous"], s["day"]) != previous:
            wrong.append(f"seal of {s['day']}: does not follow the seal before it")
        after = date.fromisoformat(s["day"]) + timedelta(days=1)
        previous = hashlib.sha256(body).hexdigest(), after.isoformat()
        seals[s["day"]] = s
    if [min(seals, default=""), max(seals, default="")] != [manifest["since"], manifest["until"]]:
        wrong.append("the first or the last seal is missing")
    ends: dict[str, Any] = {}
    counts = dict.fromkeys(seals, 0)
    for line in text["rows.jsonl"].splitlines():
        r = json.loads(line)
        stream, seq, at, before = (r["row"][n] for n in (0, 1, 2, 6))
        name = f"row {stream}|{seq} of {r['day']}"
        body = told(*r["row"])
        counts[r["day"]] = counts.get(r["day"], 0) + 1
        if at[:10] != r["day"] or hashlib.sha256(body).hexdigest() != r["hash"]:
            wrong.append(f"{name}: changed")
        try:
            seal, proof = seals[r["day"]], [bytes.fromhex(p) for p in r["proof"]]
            root = root_of(sha(b"\x00", body), r["index"], seal["rows"], proof)
            fits = root == seal["root"] and 0 <= r["index"] < seal["rows"]
        except (TypeError, IndexError, ValueError, KeyError):
            fits = False
        if not fits:
            wrong.append(f"{name}: is not under the seal of its day")
        if stream in ends and ends[stream] != (seq - 1, before):
            wrong.append(f"{name}: does not follow row {ends[stream][0]} of its stream")
        ends[stream] = seq, r["hash"]
    if sum(counts.values()) != manifest["rows"]:
        wrong.append("there are more or fewer rows than manifest.json says")
    for day, seal in seals.items():
        if manifest["stream"] is None and counts[day] != seal["rows"]:
            wrong.append(f"{day}: {seal['rows']} rows were sealed, {counts[day]} are here")
    return wrong


def main(path: Any) -> int:
    try:
        wrong = check(path)
    except Exception as error:  # noqa: BLE001  whatever is broken, the answer is the same
        wrong = [f"the export cannot be read ({type(error).__name__})"]
    if Ed25519PublicKey is None:
        sys.stdout.write("Signatures were NOT checked: install the package 'cryptography'.\n")
    for sentence in wrong or ["Everything fits. Compare the key with the one the hub published."]:
        sys.stdout.write(f"{sentence}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
