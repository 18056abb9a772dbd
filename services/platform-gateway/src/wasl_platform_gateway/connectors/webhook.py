# SPDX-License-Identifier: Apache-2.0
"""Partners that take a signed webhook and answer with signed webhooks (Standard Webhooks 1.0).

``webhook-id`` is the idempotency key and stays the same over attempts; any 2xx means the partner
has it. Both sides know the request by our key; a partner may name a reference of its own as well.
Signed with HMAC-SHA256 (``v1``, one secret for both ways) or ed25519 (``v1a``, a key pair for each
way: our private key, the partner's public one). Callbacks are verified and at most five minutes old
or ahead.
"""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, ClassVar, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from standardwebhooks import Webhook
from wasl_connector_sdk import (
    CallbackRejected,
    CallbackRequest,
    Connector,
    ConnectorConfig,
    CredentialsRejected,
    Idempotency,
    InvalidSubmission,
    Manifest,
    Outcome,
    Receipt,
    Runtime,
    StatusUpdate,
    Submission,
)
from wasl_connector_sdk.errors import word
from wasl_connector_sdk.http import exchange, expect, json_bytes
from wasl_connector_sdk.urls import PartnerUrl

TOLERANCE = timedelta(minutes=5)


PRIVATE, PUBLIC = "whsk_", "whpk_"


def _signing_key(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    if text.startswith(PRIVATE):
        _private_key(text)
        return secret
    if text.startswith(PUBLIC):
        raise ValueError("expected a secret, got a public key; it belongs into 'public_key'")
    try:
        size = len(_decoded(text, "whsec_"))
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


class Endpoint(BaseModel):
    """Where one partner listens.

    ``secret`` signs what we send. A ``whsec_`` secret verifies callbacks too, unless there is a
    ``public_key``: then nothing else does.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    url: PartnerUrl = Field(description="Where requests are posted")
    secret: Annotated[SecretStr, AfterValidator(_signing_key)] = Field(
        description="whsec_… (HMAC, shared with the partner) or whsk_… (ed25519, ours alone)"
    )
    public_key: Annotated[str, AfterValidator(_verifying_key)] | None = Field(
        default=None,
        description="whpk_…, the partner's; without it a whsk_… endpoint takes no callbacks",
    )


class WebhookConfig(ConnectorConfig):
    endpoints: dict[str, Endpoint] = Field(default_factory=dict, description="One by partner")
    default: Endpoint | None = Field(default=None, description="For every partner without its own")

    @model_validator(mode="after")
    def _somewhere(self) -> Self:
        if not self.endpoints and self.default is None:
            raise ValueError("name at least one endpoint: 'endpoints' by partner, or 'default'")
        return self


def to_json(submission: Submission, now: datetime) -> dict[str, Any]:
    """The payload. Everything the partner learns is in here."""
    return {
        "type": "report.created",
        "timestamp": now.isoformat(),
        "data": {
            "id": submission.idempotency_key,
            "case": submission.case,
            "partner": submission.partner,
            "category": submission.category,
            "severity": submission.severity,
            "ground": submission.ground.model_dump(),
            "scope": submission.scope,
            "item": {
                "location": submission.location,
                "platform": submission.platform,
                "kind": submission.kind,
                "language": submission.language,
            },
            "explanation": submission.explanation,
            "requested_at": submission.requested_at.isoformat(),
            "test": submission.test,
        },
    }


def sign(endpoint: Endpoint, message: str, now: datetime, body: bytes) -> str:
    """The ``webhook-signature`` of a message to this endpoint."""
    secret = endpoint.secret.get_secret_value()
    if not secret.startswith(PRIVATE):
        return Webhook(_decoded(secret, "whsec_")).sign(message, now, body.decode())
    signature = _private_key(secret).sign(_signed(message, str(int(now.timestamp())), body))
    return f"v1a,{base64.b64encode(signature).decode()}"


def verify(endpoint: Endpoint, request: CallbackRequest) -> str:
    """The message's id, where signature and age are right. Raises CallbackRejected.

    Standard Webhooks 1.0: a signature is over ``id.timestamp.body``; several may be listed while a
    key is replaced.
    """
    message = request.headers.get("webhook-id", "")
    stamp = request.headers.get("webhook-timestamp", "")
    listed = request.headers.get("webhook-signature", "").split(" ")
    if not (0 < len(message) <= 200 and message.isascii() and message.isprintable()):
        raise CallbackRejected("webhook-id is missing or unusable")
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 12):
        raise CallbackRejected("webhook-timestamp is missing or unusable")
    if not _vouches(endpoint, _signed(message, stamp, request.body), listed):
        raise CallbackRejected("no listed signature is of this endpoint's key")
    sent = datetime.fromtimestamp(int(stamp), tz=UTC)
    if abs(request.received_at - sent) > TOLERANCE:
        raise CallbackRejected("too old or ahead of time", reason="stale")
    return message


def _signed(message: str, stamp: str, body: bytes) -> bytes:
    return f"{message}.{stamp}.".encode() + body


def _vouches(endpoint: Endpoint, signed: bytes, listed: Sequence[str]) -> bool:
    """Which key counts is the config's to say, never the message's."""
    if endpoint.public_key is not None:
        public = _public_key(endpoint.public_key)
        return any(_is_signature(public, given, signed) for given in _given(listed, "v1a"))
    secret = endpoint.secret.get_secret_value()
    if secret.startswith(PRIVATE):
        return False  # ours alone: a message signed with it is our own, sent back
    expected = hmac.digest(_decoded(secret, "whsec_"), signed, hashlib.sha256)
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


class WebhookConnector(Connector[WebhookConfig]):
    manifest: ClassVar[Manifest] = Manifest(
        name="webhook",
        title="Signed webhook",
        docs="docs/connectors.md#webhook",
        owner="Wasl maintainers",
        idempotency=Idempotency.NATIVE_KEY,
    )
    Config: ClassVar[type[ConnectorConfig]] = WebhookConfig

    def __init__(self, config: WebhookConfig, rt: Runtime) -> None:
        self._config = config
        self._rt = rt

    @classmethod
    @asynccontextmanager
    async def open(cls, config: WebhookConfig, rt: Runtime) -> AsyncIterator[Self]:
        yield cls(config, rt)

    async def check(self) -> None:
        """Reachability only: the protocol has no message without an effect."""
        for endpoint in self._all():
            await exchange(self._rt.http, "HEAD", str(endpoint.url))

    async def submit(self, submission: Submission) -> Receipt:
        endpoint = self._config.endpoints.get(submission.partner, self._config.default)
        if endpoint is None:
            raise InvalidSubmission(
                "no endpoint for the partner and no default", reason="no_endpoint"
            )
        now = self._rt.clock.now()
        body = json_bytes(to_json(submission, now))
        headers = {
            "content-type": "application/json",
            "webhook-id": submission.idempotency_key,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": sign(endpoint, submission.idempotency_key, now, body),
        }
        answer = await exchange(
            self._rt.http, "POST", str(endpoint.url), headers=headers, content=body
        )
        if answer.status == 410:
            # The standard: the partner wants no more from us. That is about all requests and none
            # in particular, so nothing is refused and nothing is sent until a person has looked.
            raise CredentialsRejected("HTTP 410", reason="endpoint_gone")
        return _receipt(expect(answer, now).json(), submission.idempotency_key)

    def parse_callback(self, request: CallbackRequest) -> Sequence[StatusUpdate]:
        """One status update. Who signed it is told by the key that fits."""
        own = frozenset(self._config.endpoints)
        rejected: CallbackRejected | None = None
        for partner, endpoint in self._candidates():
            try:
                message = verify(endpoint, request)
            except CallbackRejected as error:
                rejected = error if rejected is None or error.reason == "stale" else rejected
                continue
            who: dict[str, Any] = (
                {"partner": partner} if partner is not None else {"not_partners": own}
            )
            return (_update(request.body, message, who),)
        raise rejected or CallbackRejected("no endpoint is configured")

    def _candidates(self) -> list[tuple[str | None, Endpoint]]:
        listed: list[tuple[str | None, Endpoint]] = list(self._config.endpoints.items())
        return [*listed, (None, self._config.default)] if self._config.default else listed

    def _all(self) -> list[Endpoint]:
        return [endpoint for _, endpoint in self._candidates()]


def _receipt(body: Any, key: str) -> Receipt:
    """Any 2xx is a receipt; our key is the reference where the partner names no usable one."""
    data = body if isinstance(body, dict) else {}
    try:
        outcome = Outcome(data.get("outcome", Outcome.PENDING))
    except ValueError:
        outcome = Outcome.PENDING
    try:
        return Receipt(reference=data.get("reference") or key, outcome=outcome)
    except ValidationError:
        return Receipt(reference=key, outcome=outcome)


def _update(body: bytes, message: str, who: Mapping[str, Any]) -> StatusUpdate:
    try:
        document = json.loads(body)
        if document["type"] != "report.status":
            raise CallbackRejected("not a report.status message", reason="malformed")
        data = document["data"]
        reason = data.get("reason")
        return StatusUpdate(
            idempotency_key=data.get("id"),
            reference=data.get("reference"),
            outcome=Outcome(data["outcome"]),
            reason=word(reason, "other") if isinstance(reason, str) and reason else None,
            event_id=message,
            **who,
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise CallbackRejected("not a readable report.status", reason="malformed") from None
