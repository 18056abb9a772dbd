# SPDX-License-Identifier: Apache-2.0
"""Partners that take a signed webhook and answer with signed webhooks (Standard Webhooks 1.0).

``webhook-id`` is the idempotency key and stays the same over attempts; any 2xx means the partner
has it. Both sides know the request by our key; a partner may name a reference of its own as well.
Callbacks are verified (HMAC-SHA256, ``v1``) and at most five minutes old or ahead.
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


def _signing_key(secret: SecretStr) -> SecretStr:
    try:
        size = len(_raw(secret))
    except (ValueError, binascii.Error) as error:
        raise ValueError("expected 'whsec_' and 24 to 64 bytes in base64") from error
    if not 24 <= size <= 64:
        raise ValueError(f"expected 24 to 64 bytes in base64, got {size} bytes")
    return secret


def _raw(secret: SecretStr) -> bytes:
    return base64.b64decode(secret.get_secret_value().removeprefix("whsec_"), validate=True)


class Endpoint(BaseModel):
    """Where one partner listens. The secret signs both directions."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    url: PartnerUrl
    secret: Annotated[SecretStr, AfterValidator(_signing_key)]


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


def verify(secret: bytes, request: CallbackRequest) -> str:
    """The message's id, where signature and age are right. Raises CallbackRejected.

    Standard Webhooks 1.0: ``v1`` is HMAC-SHA256 over ``id.timestamp.body``; several signatures may
    be listed while a secret is replaced.
    """
    message = request.headers.get("webhook-id", "")
    stamp = request.headers.get("webhook-timestamp", "")
    listed = request.headers.get("webhook-signature", "").split(" ")
    if not (0 < len(message) <= 200 and message.isascii() and message.isprintable()):
        raise CallbackRejected("webhook-id is missing or unusable")
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 12):
        raise CallbackRejected("webhook-timestamp is missing or unusable")
    signed = f"{message}.{stamp}.".encode() + request.body
    expected = hmac.digest(secret, signed, hashlib.sha256)
    if not any(hmac.compare_digest(expected, given) for given in _given(listed)):
        raise CallbackRejected("no listed v1 signature is ours")
    sent = datetime.fromtimestamp(int(stamp), tz=UTC)
    if abs(request.received_at - sent) > TOLERANCE:
        raise CallbackRejected("too old or ahead of time", reason="stale")
    return message


def _given(listed: Sequence[str]) -> list[bytes]:
    out = []
    for entry in listed[:10]:
        version, _, text = entry.partition(",")
        if version == "v1":
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
            "webhook-signature": Webhook(_raw(endpoint.secret)).sign(
                submission.idempotency_key, now, body.decode()
            ),
        }
        answer = expect(
            await exchange(self._rt.http, "POST", str(endpoint.url), headers=headers, content=body),
            now,
        )
        return _receipt(answer.json(), submission.idempotency_key)

    def parse_callback(self, request: CallbackRequest) -> Sequence[StatusUpdate]:
        """One status update. Who signed it is told by the secret that fits."""
        own = frozenset(self._config.endpoints)
        rejected: CallbackRejected | None = None
        for partner, endpoint in self._candidates():
            try:
                message = verify(_raw(endpoint.secret), request)
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
