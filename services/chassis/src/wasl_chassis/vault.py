# SPDX-License-Identifier: Apache-2.0
"""Data keys: one per report and one per case, wrapped by a master key, destroyed to erase.

AES-256-GCM (NIST SP 800-38D) with 96-bit random nonces; a data key seals few texts, so the
collision bound is far away. The key's id and the field's name are authenticated with the text: a
ciphertext moved to another field or person does not open. A key may be wrapped a second time, for
its holder alone. Destroying a key leaves a tombstone and turns every copy of the text, the event
log's included, into noise.
"""

import base64
import hashlib
import hmac
import os
from collections.abc import Iterable
from datetime import datetime
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import BaseModel, ConfigDict

from wasl_chassis.failures import KeyDestroyed, Permanent
from wasl_chassis.store import Collection, Doc


class DataKey(BaseModel):
    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    id: str
    #: ``<master key id>.<base64url(nonce || wrapped key || tag)>``; None once destroyed.
    wrapped: str | None
    #: The same data key, wrapped by its holder's key: ``h.<base64url(…)>``; None: without a holder.
    held: str | None = None
    created_at: datetime
    destroyed_at: datetime | None = None


def _encode(key: DataKey) -> Doc:
    return key.model_dump(exclude={"id"})


#: What a holder's wrapping is bound to, next to the key's id.
_HELD = "held"

KEYS: Collection[DataKey] = Collection(
    "keys",
    lambda k: k.id,
    _encode,
    lambda d: DataKey.model_construct(
        id=d["_id"],
        wrapped=d["wrapped"],
        held=d.get("held"),
        created_at=d["created_at"],
        destroyed_at=d["destroyed_at"],
    ),
    vault=True,
)


def derive(secret: bytes, purpose: str) -> bytes:
    """A 32-byte key for one purpose from a deployment secret (HMAC-SHA-256 as a PRF)."""
    return hmac.digest(secret, purpose.encode(), hashlib.sha256)


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _encrypt(key: AESGCM, text: bytes, bound: str) -> str:
    nonce = os.urandom(12)
    return _b64(nonce + key.encrypt(nonce, text, bound.encode()))


def _decrypt(key: AESGCM, blob: str, bound: str) -> bytes:
    """Raises InvalidTag."""
    raw = _unb64(blob)
    return key.decrypt(raw[:12], raw[12:], bound.encode())


class Vault:
    """Wraps and unwraps data keys. ``masters``: id → 32 bytes; the first wraps new keys."""

    def __init__(self, masters: dict[str, bytes]) -> None:
        if not masters or any(len(m) != 32 for m in masters.values()):
            raise ValueError(
                "a master key must be 32 bytes; generate one with 'wasl doctor --new-key'"
            )
        self._masters = {name: AESGCM(key) for name, key in masters.items()}
        self._current = next(iter(masters))

    def wrap(self, key_id: str, key: bytes) -> str:
        return f"{self._current}.{_encrypt(self._masters[self._current], key, key_id)}"

    def unwrap(self, key_id: str, wrapped: str) -> bytes:
        name, _, blob = wrapped.partition(".")
        master = self._masters.get(name)
        if master is None:
            raise Permanent(f"master key '{name}' is not configured", reason="master_key_missing")
        try:
            return _decrypt(master, blob, key_id)
        except InvalidTag as error:
            raise Permanent(
                f"master key '{name}' is not the one that wrapped this data key",
                reason="master_key_wrong",
            ) from error


class _Documents(Protocol):
    async def load(self, collection: Collection[DataKey], ids: Iterable[str]) -> None: ...
    async def get(self, collection: Collection[DataKey], key: str) -> DataKey | None: ...
    def put(self, collection: Collection[DataKey], value: DataKey) -> None: ...
    def now(self) -> datetime: ...


class Keyring:
    """The data keys one unit of work uses."""

    def __init__(self, vault: Vault, work: _Documents) -> None:
        self._vault = vault
        self._work = work
        self._open: dict[str, AESGCM] = {}
        self._held: dict[tuple[str, bytes], AESGCM] = {}

    def create(self, key_id: str, holder: bytes | None = None) -> None:
        """A new data key, stored with this unit's commit. ``key_id``: the report's or case's id.

        ``holder``: 32 bytes only the reporter's receipt yields; they open it, too.
        """
        key = AESGCM.generate_key(256)
        self._open[key_id] = AESGCM(key)
        self._work.put(
            KEYS,
            DataKey.model_construct(
                id=key_id,
                wrapped=self._vault.wrap(key_id, key),
                held=f"h.{_encrypt(AESGCM(holder), key, f'{key_id}|{_HELD}')}" if holder else None,
                created_at=self._work.now(),
                destroyed_at=None,
            ),
        )

    async def load(self, key_ids: Iterable[str]) -> None:
        """Read keys ahead, one query."""
        await self._work.load(KEYS, [i for i in key_ids if i not in self._open])

    async def _key(self, key_id: str) -> AESGCM:
        held = self._open.get(key_id)
        if held is None:
            stored = await self._work.get(KEYS, key_id)
            if stored is None or stored.wrapped is None:
                raise KeyDestroyed
            held = self._open[key_id] = AESGCM(self._vault.unwrap(key_id, stored.wrapped))
        return held

    async def seal(self, key_id: str, field: str, text: str) -> str:
        """Raises :class:`KeyDestroyed` where the key does not exist (any more)."""
        sealed = _encrypt(await self._key(key_id), text.encode(), f"{key_id}|{field}")
        return f"s1.{key_id}.{sealed}"

    async def open(self, sealed: str, field: str) -> str:
        """The text. Raises :class:`KeyDestroyed`, or :class:`Permanent` for a forged ciphertext."""
        return _opened(await self._key(key_of(sealed)), sealed, field)

    async def open_with(self, holder: bytes, sealed: str, field: str) -> str:
        """The text, by the holder's key and never the master's: it proves who asks.

        Raises :class:`KeyDestroyed`, or :class:`Permanent` when the text is not this holder's.
        """
        key_id = key_of(sealed)
        key = self._held.get((key_id, holder))
        if key is None:
            stored = await self._work.get(KEYS, key_id)
            if stored is None or stored.wrapped is None:
                raise KeyDestroyed
            if stored.held is None:
                raise Permanent("the data key has no holder", reason="holder_missing")
            blob = stored.held.partition(".")[2]
            try:
                key = AESGCM(_decrypt(AESGCM(holder), blob, f"{key_id}|{_HELD}"))
            except InvalidTag as error:
                raise Permanent(
                    "the data key is another holder's", reason="holder_wrong"
                ) from error
            self._held[key_id, holder] = key
        return _opened(key, sealed, field)

    async def destroy(self, key_id: str) -> None:
        """Erase everything sealed with the key. A tombstone keeps it from coming back."""
        stored = await self._work.get(KEYS, key_id)
        if stored is not None and stored.wrapped is not None:
            now = self._work.now()
            gone = stored.model_copy(update={"wrapped": None, "held": None, "destroyed_at": now})
            self._work.put(KEYS, gone)
        self._open.pop(key_id, None)
        self._held = {held: key for held, key in self._held.items() if held[0] != key_id}


def _opened(key: AESGCM, sealed: str, field: str) -> str:
    _, key_id, blob = sealed.split(".", 2)
    try:
        return _decrypt(key, blob, f"{key_id}|{field}").decode()
    except InvalidTag as error:
        raise Permanent("sealed text does not open", reason="seal_broken") from error


def key_of(sealed: str) -> str:
    """The id of the data key a sealed text needs."""
    return sealed.split(".", 2)[1]
