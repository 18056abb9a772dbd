# SPDX-License-Identifier: Apache-2.0
"""Whoever has a dump of everything and every secret of the deployment: what can they still read?

Ids, field names and authentication are ignored: every key that is stored anywhere is tried on every
sealed text that is stored anywhere. So a text is safe here only because no key of it is left.
"""

import base64
import re
from collections.abc import Iterable, Iterator

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

#: base64url of nonce, a 256-bit key and the tag, as in a data key's ``wrapped`` and ``held``.
_WRAPPED = re.compile(rb"(?<=\.)[A-Za-z0-9_-]{80}(?![A-Za-z0-9_-])")
_SEALED = re.compile(rb"(?<=s1\.)[^.\s\"]{1,80}\.([A-Za-z0-9_-]{38,})")
_NONCE, _TAG = 12, 16


def _decrypted(key: bytes, coded: bytes) -> bytes:
    """AES-GCM without asking whether it fits (SP 800-38D: CTR from the second block)."""
    raw = base64.urlsafe_b64decode(coded + b"=" * (-len(coded) % 4))
    start = raw[:_NONCE] + (2).to_bytes(4)
    return Cipher(AES(key), CTR(start)).decryptor().update(raw[_NONCE:-_TAG])


class Attack:
    """``secrets``: 32-byte keys that may have wrapped a data key."""

    def __init__(self, secrets: Iterable[bytes]) -> None:
        self._secrets = list(secrets)
        self.keys: set[bytes] = set()
        self.sealed: set[bytes] = set()

    def gather(self, places: Iterable[tuple[str, bytes]]) -> "Attack":
        """Take every wrapped key and every sealed text from these."""
        for _, data in places:
            wrapped = set(_WRAPPED.findall(data))
            self.keys |= {_decrypted(s, w) for s in self._secrets for w in wrapped}
            self.sealed |= {found[1] for found in _SEALED.finditer(data)}
        return self

    def opened(self) -> Iterator[tuple[str, bytes]]:
        """All that comes out, noise included."""
        for key in self.keys:
            for coded in self.sealed:
                yield "opened", _decrypted(key, coded)
