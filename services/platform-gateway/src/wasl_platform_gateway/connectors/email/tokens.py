# SPDX-License-Identifier: Apache-2.0
"""Tokens that link an answer to its request: not to be guessed, and a forged one is seen at once.

A token is 80 bits of HMAC-SHA256 of the idempotency key and 40 bits that prove that it is a token
of this hub, so mail with an invented one is dropped without asking anybody. Base32 in lower case:
it survives mail systems that change the case of an address.
"""

import base64
import hashlib
import hmac
import re

from pydantic import SecretStr

PATTERN = r"[a-z2-7]{24}"
_KEY = re.compile(r"[A-Za-z0-9_-]{1,80}")


class Tokens:
    def __init__(self, secret: SecretStr) -> None:
        self._secret = secret.get_secret_value().encode()

    def of(self, key: str) -> str:
        """The token of an idempotency key: 24 letters and digits, always the same."""
        first = self._mac("key", key, 10)
        return first + self._mac("token", first, 5)

    def genuine(self, token: str) -> bool:
        """Whether this hub made the token, for whatever key."""
        return hmac.compare_digest(token[16:].encode(), self._mac("token", token[:16], 5).encode())

    def message_id(self, key: str, domain: str) -> str:
        """The mail's Message-ID, the same on every attempt; with the key where one can be there."""
        local = f"{key}.{self.of(key)}" if _KEY.fullmatch(key) else self.of(key)
        return f"<{local}@{domain}>"

    def _mac(self, purpose: str, text: str, size: int) -> str:
        digest = hmac.digest(self._secret, f"{purpose}\0{text}".encode(), hashlib.sha256)
        return base64.b32encode(digest[:size]).decode().lower()
