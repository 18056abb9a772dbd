# SPDX-License-Identifier: Apache-2.0
"""Signatures of Standard Webhooks 1.0: who sent a message, and that nobody changed it.

HMAC-SHA256 (``v1``, one secret for both ways) or ed25519 (``v1a``, a key pair for each way: our
private key, the other's public one). A signature is over ``id.timestamp.body``, at most five
minutes old or ahead. Needs the package ``cryptography``, which nothing else in the SDK does.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from wasl_connector_sdk.errors import CallbackRejected

TOLERANCE = timedelta(minutes=5)

SHARED, PRIVATE, PUBLIC = "whsec_", "whsk_", "whpk_"


def _signing_key(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    if text.startswith(PRIVATE):
        _private_key(text)
        return secret
    if text.startswith(PUBLIC):
        raise ValueError("expected a secret, got a public key; it belongs into 'public_key'")
    try:
        size = len(_decoded(text, SHARED))
    except ValueError as error:
        raise ValueError("expected 'whsec_' and 24 to 64 bytes in base64") from error
    if not 24 <= size <= 64:
        raise ValueError(f"expected 24 to 64 bytes in base64, got {size} bytes")
    return secret


def _verifying_key(text: str) -> str:
    if text.startswith(PRIVATE):
        raise ValueError("expected a public key, got a private one; nobody else may have that")
    _public_key(text)
    return text


def _decoded(text: str, prefix: str) -> bytes:
    return base64.b64decode(text.removeprefix(prefix), validate=True)


def _private_key(text: str) -> Ed25519PrivateKey:
    """32 bytes, or 64: the key and its public half, as NaCl keeps it."""
    try:
        raw = _decoded(text, PRIVATE)
        key = Ed25519PrivateKey.from_private_bytes(raw[:32])
    except ValueError:
        raise ValueError("expected 'whsk_' and an ed25519 key in base64") from None
    if raw[32:] not in (b"", key.public_key().public_bytes_raw()):
        raise ValueError(
            "expected 'whsk_' and 32 bytes, or 64 whose second half is their public key"
        )
    return key


def _public_key(text: str) -> Ed25519PublicKey:
    try:
        raw = _decoded(text, PUBLIC) if text.startswith(PUBLIC) else b""
        return Ed25519PublicKey.from_public_bytes(raw)
    except ValueError:
        raise ValueError("expected 'whpk_' and an ed25519 public key in base64") from None


#: ``whsec_…`` or ``whsk_…``; anything else is refused without being quoted.
SigningKey = Annotated[SecretStr, AfterValidator(_signing_key)]
#: ``whpk_…``.
VerifyingKey = Annotated[str, AfterValidator(_verifying_key)]


class Keys(BaseModel):
    """What we share with one other party.

    ``secret`` signs what we send. A ``whsec_`` secret verifies what comes too, unless there is a
    ``public_key``: then nothing else does.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    secret: SigningKey | None = Field(
        default=None,
        description="whsec_… (HMAC, shared with the partner) or whsk_… (ed25519, ours alone)",
    )
    public_key: VerifyingKey | None = Field(
        default=None, description="whpk_…, the partner's ed25519 key"
    )

    @property
    def verifies(self) -> bool:
        """Whether a message to us can be verified at all."""
        ours = self.secret is None or self.secret.get_secret_value().startswith(PRIVATE)
        return self.public_key is not None or not ours


def headers(keys: Keys, message: str, now: datetime, body: bytes) -> dict[str, str]:
    """The three headers of a message to the other party. ``message``: its id, printable ASCII."""
    if keys.secret is None:
        raise ValueError("expected a secret to sign with, there is only a public key")
    secret, stamp = keys.secret.get_secret_value(), str(int(now.timestamp()))
    signed = _signed(message, stamp, body)
    if secret.startswith(PRIVATE):
        version, signature = "v1a", _private_key(secret).sign(signed)
    else:
        version, signature = "v1", _mac(secret, signed)
    return {
        "webhook-id": message,
        "webhook-timestamp": stamp,
        "webhook-signature": f"{version},{base64.b64encode(signature).decode()}",
    }


def verify(keys: Keys, headers: Mapping[str, str], body: bytes, received_at: datetime) -> str:
    """The message's id, where signature and age are right. Raises CallbackRejected.

    ``headers``: by lower-case name. Several signatures may be listed while a key is replaced.
    """
    message = headers.get("webhook-id", "")
    stamp = headers.get("webhook-timestamp", "")
    listed = headers.get("webhook-signature", "").split(" ")
    if not (0 < len(message) <= 200 and message.isascii() and message.isprintable()):
        raise CallbackRejected("webhook-id is missing or unusable")
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 12):
        raise CallbackRejected("webhook-timestamp is missing or unusable")
    if not _vouches(keys, _signed(message, stamp, body), listed):
        raise CallbackRejected("no listed signature is of this party's key")
    sent = datetime.fromtimestamp(int(stamp), tz=UTC)
    if abs(received_at - sent) > TOLERANCE:
        raise CallbackRejected("too old or ahead of time", reason="stale")
    return message


def addressed(receiver: str, method: str, target: str, body: bytes = b"") -> bytes:
    """What a request between hubs signs for its body: for whom it is and what it asks as well.

    So nobody who gets one can use it at another hub, or for another report.
    """
    return f"{receiver} {method} {target}\n".encode() + body


def _signed(message: str, stamp: str, body: bytes) -> bytes:
    return f"{message}.{stamp}.".encode() + body


def _mac(secret: str, signed: bytes) -> bytes:
    return hmac.digest(_decoded(secret, SHARED), signed, hashlib.sha256)


def _vouches(keys: Keys, signed: bytes, listed: Sequence[str]) -> bool:
    """Which key counts is the config's to say, never the message's."""
    if keys.public_key is not None:
        public = _public_key(keys.public_key)
        return any(_is_signature(public, given, signed) for given in _given(listed, "v1a"))
    if not keys.verifies or keys.secret is None:
        return False  # ours alone: a message signed with it is our own, sent back
    expected = _mac(keys.secret.get_secret_value(), signed)
    return any(hmac.compare_digest(expected, given) for given in _given(listed, "v1"))


def _is_signature(public: Ed25519PublicKey, given: bytes, signed: bytes) -> bool:
    try:
        public.verify(given, signed)
    except InvalidSignature:
        return False
    return True


def _given(listed: Sequence[str], wanted: str) -> list[bytes]:
    out = []
    for entry in listed[:10]:
        version, _, text = entry.partition(",")
        if version == wanted:
            try:
                out.append(base64.b64decode(text, validate=True))
            except (ValueError, binascii.Error):
                continue  # one unreadable signature among several spoils nothing
    return out
