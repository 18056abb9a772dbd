# SPDX-License-Identifier: Apache-2.0
"""Keys of organisations that report by machine or on behalf of callers.

``waslk_``, 160 random bits in hexadecimal, and a CRC-32 of them. The prefix lets secret scanners
find a key that leaked; the checksum tells a typing mistake from a key that is not known. The hub
keeps only the SHA-256: with so many random bits a slow hash would protect nothing.
"""

import hashlib
import re
import secrets
import zlib

PREFIX = "waslk_"
#: Of the random part, in bytes.
SIZE = 20
_FORM = re.compile(rf"{PREFIX}([0-9a-f]{{{2 * SIZE}}})([0-9a-f]{{8}})")


def new() -> str:
    return spelt(secrets.token_bytes(SIZE))


def spelt(random: bytes) -> str:
    """The key of :data:`SIZE` random bytes."""
    if len(random) != SIZE:
        raise ValueError(f"a key is made of {SIZE} random bytes, not of {len(random)}")
    word = random.hex()
    return f"{PREFIX}{word}{_check(word)}"


def well_formed(text: str) -> bool:
    """Whether this can be a key: prefix, length and checksum are right."""
    found = _FORM.fullmatch(text)
    return found is not None and _check(found[1]) == found[2]


def digest(key: str) -> str:
    """What the settings know of a key: its SHA-256 in hexadecimal."""
    return hashlib.sha256(key.encode()).hexdigest()


def _check(word: str) -> str:
    return f"{zlib.crc32(f'{PREFIX}{word}'.encode()):08x}"
