# SPDX-License-Identifier: Apache-2.0
"""Signed HTTP messages (Standard Webhooks 1.0), one attempt at a time.

``webhook-id`` stays the same over attempts, so a receiver drops what it already has; an answer
that never came is therefore only a reason to try again. Redirects are not followed, answers are not
read, proxies of the environment are not used.
"""

import asyncio
import base64
import hashlib
from collections.abc import Mapping
from datetime import datetime

import httpx
from pydantic import SecretStr
from standardwebhooks import Webhook, WebhookVerificationError

from wasl_notify.outside import Attempt, Result

#: Longest wait a receiver may ask for, in seconds.
LONGEST_WAIT = 3600.0


class Hooks:
    def __init__(self, timeout: float = 15) -> None:
        self._timeout = timeout
        self._client = httpx.AsyncClient(
            timeout=timeout,
            follow_redirects=False,
            trust_env=False,
            headers={"user-agent": "wasl-notify"},
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def post(
        self, url: str, secret: SecretStr, message_id: str, body: bytes, now: datetime
    ) -> Attempt:
        """POST ``body``, signed. Takes at most the timeout. Raises nothing."""
        signature = Webhook(secret.get_secret_value()).sign(message_id, now, body.decode())
        digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
        headers = {
            "content-type": "application/json",
            # RFC 9530, for receivers that keep the bytes as evidence.
            "content-digest": f"sha-256=:{digest}:",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": signature,
        }
        try:
            async with (
                asyncio.timeout(self._timeout),
                self._client.stream("POST", url, content=body, headers=headers) as answer,
            ):
                return _answer(answer.status_code, answer.headers.get("retry-after"))
        except (httpx.ConnectError, httpx.ConnectTimeout):
            return Attempt(Result.DEFERRED, "away")
        except (httpx.HTTPError, TimeoutError):
            return Attempt(Result.AMBIGUOUS, "no_answer")


def _answer(status: int, retry_after: str | None) -> Attempt:
    if 200 <= status <= 299:
        return Attempt(Result.SENT)
    if status == 410:  # Standard Webhooks: the receiver wants nothing more
        return Attempt(Result.FAILED, "gone")
    wait = None
    if status in (429, 503) and retry_after is not None and retry_after.isdecimal():
        wait = min(float(retry_after[:9]), LONGEST_WAIT)
    return Attempt(Result.DEFERRED, "busy" if status in (429, 503) else "refused", wait)


def signed(secret: SecretStr, headers: Mapping[str, str], body: bytes) -> bool:
    """Whether the sender knows the secret and the message is at most five minutes old or ahead."""
    try:
        Webhook(secret.get_secret_value()).verify(body, dict(headers), json_parse=False)
    except (WebhookVerificationError, ValueError):
        # ValueError: the library's own, for a header or body that is not what it expects.
        return False
    return True
