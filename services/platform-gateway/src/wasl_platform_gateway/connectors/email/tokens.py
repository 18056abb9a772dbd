# SPDX-License-Identifier: Apache-2.0
"""Tokens that link an answer to its request: not to be guessed, and a forged one is seen at once.

A token is 80 bits of HMAC-SHA256 of the idempotency key, 25 bits that prove that it is a token of
this hub, so mail with an invented one is dropped without asking anybody, and 15 that tell the desk.
Base32 in lower case: it survives mail systems that change the case of an address.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable

from pydantic import SecretStr

PATTERN = r"[a-z2-7]{24}"
_KEY = re.compile(r"[A-Za-z0-9_-]{1,80}")
_NAME, _PROOF = 16, 21


class Tokens:
    def __init__(self, secret: SecretStr) -> None:
        self._secret = secret.get_secret_value().encode()

    def of(self, key: str, partner: str) -> str:
        """The token of an idempotency key: 24 letters and digits, always the same."""
        name = self._mac("key", key)[:_NAME]
        desk = self._desk(name, partner)
        return name + self._proof(name + desk) + desk

    def genuine(self, token: str) -> bool:
        """Whether this hub made the token, for whatever key."""
        proof = self._proof(token[:_NAME] + token[_PROOF:])
        return hmac.compare_digest(token[_NAME:_PROOF].encode(), proof.encode())

    def belongs(self, token: str, key: str) -> bool:
        """Whether the token is the key's."""
        same = hmac.compare_digest(token[:_NAME].encode(), self._mac("key", key)[:_NAME].encode())
        return same and self.genuine(token)

    def partner_of(self, token: str, partners: Iterable[str]) -> str | None:
        """Whom a genuine token was told; None where none, or more than one, of them fits."""
        name, desk = token[:_NAME], token[_PROOF:]
        found = [p for p in partners if self.genuine(token) and self._desk(name, p) == desk]
        return found[0] if len(found) == 1 else None

    def message_id(self, key: str, token: str, domain: str, purpose: str = "") -> str:
        """A mail's Message-ID, the same on every attempt; with the key where one can be there.

        ``purpose``: what the mail is, where it is not the request: letters and digits.
        """
        local = f"{key}.{token}" if _KEY.fullmatch(key) else token
        return f"<{local}{purpose and f'.{purpose}'}@{domain}>"

    def group(self, keys: Iterable[str]) -> str:
        """The purpose of a mail with several requests, the same for the same ones."""
        return f"g{self._mac('group', chr(0).join(keys))[:8]}"

    def _proof(self, text: str) -> str:
        return self._mac("token", text)[: _PROOF - _NAME]

    def _desk(self, name: str, partner: str) -> str:
        return self._mac("desk", f"{name}\0{partner}")[:3]

    def _mac(self, purpose: str, text: str) -> str:
        digest = hmac.digest(self._secret, f"{purpose}\0{text}".encode(), hashlib.sha256)
        return base64.b32encode(digest[:20]).decode().lower()
