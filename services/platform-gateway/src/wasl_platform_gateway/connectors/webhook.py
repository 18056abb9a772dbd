# SPDX-License-Identifier: Apache-2.0
"""Partners that take a signed webhook and answer with signed webhooks (Standard Webhooks 1.0).

``webhook-id`` is the idempotency key and stays the same over attempts; any 2xx means the partner
has it. Both sides know the request by our key; a partner may name a reference of its own as well.
Callbacks are verified and at most five minutes old or ahead.
"""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, ClassVar, Self

from pydantic import Field, ValidationError, model_validator
from wasl_connector_sdk import (
    CallbackRejected,
    CallbackRequest,
    Connector,
    ConnectorConfig,
    CredentialsRejected,
    Idempotency,
    InvalidSubmission,
    Manifest,
    Measure,
    Outcome,
    Receipt,
    Runtime,
    StatusUpdate,
    Submission,
    signing,
)
from wasl_connector_sdk.errors import word
from wasl_connector_sdk.http import exchange, expect, json_bytes
from wasl_connector_sdk.signing import Keys, SigningKey, VerifyingKey
from wasl_connector_sdk.urls import PartnerUrl


class Endpoint(Keys):
    """Where one partner listens, and the keys shared with it; see :class:`Keys`."""

    url: PartnerUrl = Field(description="Where requests are posted")
    secret: SigningKey = Field(
        description="whsec_… (HMAC, shared with the partner) or whsk_… (ed25519, ours alone)"
    )
    public_key: VerifyingKey | None = Field(
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
            "measure": submission.measure,
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


class WebhookConnector(Connector[WebhookConfig]):
    manifest: ClassVar[Manifest] = Manifest(
        name="webhook",
        title="Signed webhook",
        docs="docs/connectors.md#webhook",
        measures=frozenset(Measure),
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
            **signing.headers(endpoint, submission.idempotency_key, now, body),
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
                message = signing.verify(
                    endpoint, request.headers, request.body, request.received_at
                )
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
