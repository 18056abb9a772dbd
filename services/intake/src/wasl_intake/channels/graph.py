# SPDX-License-Identifier: Apache-2.0
"""What WhatsApp, Messenger and Instagram share: signature, verification, faults of the Graph API.

Signature: HMAC-SHA-256 of the raw body under the app secret, header ``X-Hub-Signature-256``.
Facts: Meta's pages on webhooks and error codes, and the Graph API's error object, read in 2026.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Any

import httpx
from pydantic import Field, SecretStr

from wasl_intake.channels import api
from wasl_intake.channels.contract import (
    ChannelConfig,
    Delivery,
    Rejected,
    Retryable,
    Unauthentic,
)

_VERSION = r"^v[0-9]{1,3}\.[0-9]$"
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{1,200}")

#: The person cannot be written to: not on the service, blocked us, or gone; too late to answer.
_PERSON = frozenset({551, 130472, 131026, 131047, 131049, 131050, 131062})
#: (code, subcode) of the same.
_PERSON_PAIRS = frozenset({(10, 2018278), (200, 1545041), (100, 2018001)})
#: Rates, faults of theirs, a phone number under maintenance.
_LATER = frozenset({
    1, 2, 4, 17, 32, 341, 368, 613, 1200, 80007, 130429, 131000, 131016, 131048, 131056, 131057,
})  # fmt: skip
#: Our token, permission, number or payment: everybody's answers wait until a person repairs it.
_OURS = frozenset({0, 3, 10, 33, 190, *range(200, 300), 131005, 131031, 131042, 133010})


class GraphConfig(ChannelConfig):
    app_secret: SecretStr = Field(min_length=16, description="Of the app; signs each delivery")
    verify_token: SecretStr = Field(
        min_length=16, description="A word of ours, typed into the app's webhook settings"
    )
    version: str = Field(default="v24.0", pattern=_VERSION, description="Of the Graph API")
    base_url: str = Field(
        default="https://graph.facebook.com", pattern=r"^https?://[a-z0-9.:-]{1,253}$"
    )


def verify(config: GraphConfig, delivery: Delivery) -> None:
    """Raises Unauthentic unless the body carries the app's signature."""
    secret = config.app_secret.get_secret_value().encode()
    wanted = "sha256=" + hmac.digest(secret, delivery.body, hashlib.sha256).hex()
    given = delivery.headers.get("x-hub-signature-256", "")
    if not hmac.compare_digest(wanted.encode(), given.encode("utf-8", "replace")):
        raise Unauthentic("signature")


def challenge(config: GraphConfig, query: Mapping[str, str]) -> str:
    """The word Meta wants back when the webhook is set up. Raises Unauthentic."""
    token = config.verify_token.get_secret_value().encode()
    given = query.get("hub.verify_token", "").encode("utf-8", "replace")
    word = query.get("hub.challenge", "")
    right = hmac.compare_digest(token, given) and query.get("hub.mode") == "subscribe"
    if not right or not _CHALLENGE.fullmatch(word):
        raise Unauthentic("verify_token")
    return word


async def send(
    http: httpx.AsyncClient, url: str, token: SecretStr, body: Mapping[str, Any]
) -> None:
    """One message. Raises Retryable, Rejected."""
    headers = {"authorization": f"Bearer {token.get_secret_value()}"}
    status, answer = await api.post(http, url, body, headers)
    if status < 300 and "error" not in answer:
        return
    error = api.mapping(answer.get("error"))
    code, pair = error.get("code"), (error.get("code"), error.get("error_subcode"))
    if code in _PERSON or pair in _PERSON_PAIRS:
        raise Rejected("person_unreachable")
    if code in _LATER or error.get("is_transient") is True:
        raise Retryable("provider_busy")
    if code in _OURS:
        raise Retryable("provider_refuses_us")
    api.refused(status)
