# SPDX-License-Identifier: Apache-2.0
"""What a person has typed and not yet sent, kept by their own browser in a sealed cookie.

Nothing is stored on the server before the report is sent, and nothing of it is in an address. The
cookie is encrypted, so whoever looks through the device's cookies reads nothing; it is gone when
the browser closes, when the person leaves by the exit, and each part
opens only for the seconds in :data:`TTL`.
"""

import base64
import binascii
import hashlib
import hmac
import json
import os
import zlib
from collections.abc import Callable, Mapping
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from starlette.requests import Request
from starlette.responses import Response
from wasl_chassis.vault import derive

NAME = "wasl"
#: Over TLS: browsers take it from this very host only, never from a sibling (RFC 6265bis).
HOST_NAME = "__Host-wasl"
#: Browsers refuse a cookie above 4,096 bytes with its name; common proxies a header above 8 KiB.
PIECE, PIECES = 3_500, 2
#: Seconds after the last use for which each part opens.
TTL: Mapping[str, int] = {
    "draft": 1800, "sent": 900, "thread": 1200, "feedback": 1800, "source": 3600,
}  # fmt: skip
_INFLATED = 200_000


class TooLarge(Exception):  # noqa: N818
    """More was typed than a cookie holds; nothing of it was kept."""


class State:
    """The parts of one browser's state. Changing a part marks the state for a new cookie."""

    def __init__(self, parts: Mapping[str, tuple[int, dict[str, Any]]] | None = None) -> None:
        """``parts``: name → when it was last written, in seconds, and its values."""
        self._parts: dict[str, tuple[int | None, dict[str, Any]]] = dict(parts or {})
        self.changed = False

    def get(self, part: str) -> dict[str, Any]:
        """A copy of a part; empty when there is none (any more)."""
        return dict(self._parts[part][1]) if part in self._parts else {}

    def put(self, part: str, values: Mapping[str, Any]) -> None:
        assert part in TTL
        self._parts[part] = (None, dict(values))
        self.changed = True

    def drop(self, *parts: str) -> None:
        for part in parts or tuple(self._parts):
            if self._parts.pop(part, None) is not None:
                self.changed = True

    def drop_older(self) -> bool:
        """Drop the parts that were not written just now. False: there were none."""
        old = [part for part, (at, _) in self._parts.items() if at is not None]
        if old:
            self.drop(*old)
        return bool(old)

    def stamped(self, now: int) -> dict[str, tuple[int, dict[str, Any]]]:
        """All parts; those written since the state was opened carry ``now``."""
        return {p: (now if at is None else at, v) for p, (at, v) in self._parts.items()}


class Sealer:
    """Reads and writes the cookie."""

    def __init__(self, pepper: bytes, *, clock: Callable[[], float]) -> None:
        """``clock``: the time, in seconds."""
        self._key = AESGCM(derive(pepper, "portal-state"))
        self._mark_key = derive(pepper, "portal-mark")
        self._clock = clock

    def mark(self, code: str) -> str:
        """Tells in a form which receipt it was made for, to nobody but us."""
        return hmac.digest(self._mark_key, code.encode(), hashlib.sha256).hex()[:16]

    def seal(self, state: State) -> str:
        """The cookie's value; empty for an empty state. Raises TooLarge."""
        now = int(self._clock())
        plain = state.stamped(now)
        if not plain:
            return ""
        inner = json.dumps(plain, ensure_ascii=False, separators=(",", ":")).encode()
        if len(inner) > _INFLATED:  # however well it compresses, it would not be opened again
            raise TooLarge
        raw = zlib.compress(inner, 9)
        nonce = os.urandom(12)
        text = base64.urlsafe_b64encode(nonce + self._key.encrypt(nonce, raw, b"")).decode()
        if len(text) > PIECE * PIECES:
            raise TooLarge
        return text

    def open(self, text: str) -> State:
        """The state in a cookie; an empty one for whatever does not open or is too old."""
        try:
            raw = base64.urlsafe_b64decode(text)
            inflate = zlib.decompressobj()
            plain = inflate.decompress(self._key.decrypt(raw[:12], raw[12:], b""), _INFLATED)
            parts = json.loads(plain)
        except (ValueError, InvalidTag, zlib.error, binascii.Error):
            return State()
        now = self._clock()
        return State({p: (at, v) for p, (at, v) in parts.items() if p in TTL and now - at < TTL[p]})

    def read(self, request: Request, *, secure: bool) -> State:
        cookies = request.cookies
        pieces = [cookies.get(f"{_name(secure)}{i or ''}", "") for i in range(PIECES)]
        text = "".join(pieces)
        return self.open(text) if text else State()

    def write(self, state: State, request: Request, response: Response, *, secure: bool) -> None:
        """Put the state into the response's cookies; an empty one takes them away.

        ``secure``: over TLS only; False for an onion service or a machine of one's own.
        """
        text = self.seal(state)
        for i in range(PIECES):
            name, piece = f"{_name(secure)}{i or ''}", text[i * PIECE : (i + 1) * PIECE]
            if piece:
                response.set_cookie(name, piece, httponly=True, samesite="strict", secure=secure)
            elif name in request.cookies:
                response.delete_cookie(name, httponly=True, samesite="strict", secure=secure)


def _name(secure: bool) -> str:
    return HOST_NAME if secure else NAME
