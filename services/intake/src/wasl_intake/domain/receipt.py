# SPDX-License-Identifier: Apache-2.0
"""The receipt: the only key to a report, shown once, kept by nobody but the reporter.

Twenty characters: 95 random bits and a check character that catches every single wrong character
and every pair swapped, so a typo is told apart from a wrong code without asking the store. The
store keeps HMAC-SHA-256 under a key derived from the deployment's pepper. No slow hash: stretching
protects short secrets, and 2^95 guesses are out of reach at any price per guess, so strength comes
from entropy and a submission costs microseconds.
"""

import hashlib
import hmac
import secrets
import unicodedata

#: Crockford's base 32: no I, L, O, U.
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
#: The check character included.
LENGTH = 20
GROUP = 5
#: Of the secret part.
BITS = 95

_VALUES = {c: i for i, c in enumerate(ALPHABET)} | {"O": 0, "I": 1, "L": 1}
_ID_LENGTH = 32


def _step(state: int, value: int) -> int:
    """Horner's rule over GF(2^5), x^5 + x^2 + 1: each place has a weight of its own, never zero."""
    state <<= 1
    return (state ^ 0x25 if state & 0x20 else state) ^ value


def _encode(secret: int) -> str:
    values = [secret >> shift & 31 for shift in range(BITS - 5, -1, -5)]
    state = 0
    for value in values:
        state = _step(state, value)
    values.append(_step(state, 0))
    return "".join(ALPHABET[v] for v in values)


def new() -> str:
    """A fresh receipt in canonical form, from the operating system's randomness."""
    return _encode(secrets.randbits(BITS))


def derived(key: bytes, idempotency_key: str) -> str:
    """The receipt that belongs to an idempotency key: equal for a repeat, nowhere stored.

    ``key`` is derived from the pepper, so without the pepper it is as good as random.
    """
    mac = hmac.digest(key, idempotency_key.encode(), hashlib.sha256)
    return _encode(int.from_bytes(mac[:12]) >> 1)


def normalise(text: str) -> str:
    """What a person typed, as canonical characters; characters no receipt has are kept as ``?``.

    Case, spaces, dashes, full-width and Arabic-Indic digits do not matter; O is 0, I and L are 1.
    """
    out = []
    for c in unicodedata.normalize("NFKC", text[:200]).upper():
        value = _VALUES.get(c)
        if value is None:
            if c.isspace() or unicodedata.category(c) in ("Pd", "Cf"):
                continue
            digit = unicodedata.decimal(c, None)
            out.append("?" if digit is None else str(digit))
        else:
            out.append(ALPHABET[value])
    return "".join(out)


def well_formed(code: str) -> bool:
    """Whether a canonical code can be a receipt at all; says nothing about what is stored."""
    if len(code) != LENGTH or "?" in code:
        return False
    state = 0
    for c in code:
        state = _step(state, _VALUES[c])
    return state == 0


def grouped(code: str) -> str:
    """For people: four groups of five."""
    return "-".join(code[i : i + GROUP] for i in range(0, len(code), GROUP))


def report_id(key: bytes, code: str) -> str:
    """The report a canonical code opens: its keyed hash, 128 bits in hex.

    The hash is the report's id, so finding a report is one read by primary key, and nobody who
    sees an id, in an event or a log, gets any nearer to the code.
    """
    return hmac.digest(key, code.encode(), hashlib.sha256).hex()[:_ID_LENGTH]


def fingerprint(code: str, body: bytes) -> str:
    """Tells a repeat from another report under the same idempotency key.

    Keyed with the receipt, which nobody stores: nobody can test guesses of the text against it.
    """
    return hmac.digest(code.encode(), body, hashlib.sha256).hex()
