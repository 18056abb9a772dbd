# SPDX-License-Identifier: Apache-2.0
"""Read this connector first: a JSON API with a key, a lookup, polling and withdrawal.

It shows the whole contract in one file: a config, a pure mapping, three methods, three abilities.
The protocol is in docs/connectors.md; a partner without an API of its own may implement it.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar, Self
from urllib.parse import quote

from pydantic import Field, SecretStr, ValidationError
from wasl_connector_sdk import (
    AmbiguousOutcome,
    Connector,
    ConnectorConfig,
    Idempotency,
    Manifest,
    Measure,
    Outcome,
    Receipt,
    Runtime,
    StatusUpdate,
    Submission,
    SubmissionRefused,
    TransientError,
)
from wasl_connector_sdk.errors import word
from wasl_connector_sdk.http import Answer, exchange, expect, json_bytes
from wasl_connector_sdk.urls import PartnerUrl


class ReferenceConfig(ConnectorConfig):
    base_url: PartnerUrl = Field(description="Where /reports is; https, or http on this machine")
    token: SecretStr = Field(min_length=1, description="Bearer token the partner gave us")


def to_json(submission: Submission) -> dict[str, Any]:
    """The request body. Everything the partner learns is in here."""
    return {
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
    }


def receipt_of(body: Any) -> Receipt | None:
    """A report as the partner shows it; None where it is not one."""
    if not isinstance(body, dict) or not isinstance(body.get("id"), str):
        return None
    try:
        return Receipt(
            reference=body["id"], outcome=Outcome(str(body.get("status"))), reason=_reason(body)
        )
    except (ValidationError, ValueError):
        return None


def _reason(body: dict[str, Any]) -> str | None:
    reason = body.get("reason")
    return word(reason, "other") if isinstance(reason, str) and reason else None


class ReferenceConnector(Connector[ReferenceConfig]):
    manifest: ClassVar[Manifest] = Manifest(
        name="reference",
        title="Reference API",
        docs="docs/connectors.md#reference",
        measures=frozenset(Measure),
        owner="Wasl maintainers",
        idempotency=Idempotency.NATIVE_KEY,
    )
    Config: ClassVar[type[ConnectorConfig]] = ReferenceConfig

    def __init__(self, config: ReferenceConfig, rt: Runtime) -> None:
        self._url = str(config.base_url).rstrip("/") + "/reports"
        self._headers = {"authorization": f"Bearer {config.token.get_secret_value()}"}
        self._rt = rt

    @classmethod
    @asynccontextmanager
    async def open(cls, config: ReferenceConfig, rt: Runtime) -> AsyncIterator[Self]:
        yield cls(config, rt)

    async def check(self) -> None:
        await self.find("check")

    async def submit(self, submission: Submission) -> Receipt:
        headers = {
            **self._headers,
            "content-type": "application/json",
            "idempotency-key": submission.idempotency_key,
        }
        answer = await exchange(
            self._rt.http,
            "POST",
            self._url,
            headers=headers,
            content=json_bytes(to_json(submission)),
        )
        receipt = receipt_of(self._expect(answer).json())
        if receipt is None:
            # 2xx without a usable report: it is there, and only `find` can tell its reference.
            raise AmbiguousOutcome("accepted without a readable report", reason="unreadable_answer")
        return receipt

    async def find(self, idempotency_key: str) -> Receipt | None:
        answer = self._expect(
            await exchange(
                self._rt.http,
                "GET",
                self._url,
                headers=self._headers,
                params={"key": idempotency_key},
            )
        )
        body = answer.json()
        reports = body.get("reports") if isinstance(body, dict) else None
        if not isinstance(reports, list):
            raise TransientError("a lookup answered without a list", reason="unreadable_answer")
        if not reports:
            return None
        receipt = receipt_of(reports[0])
        if receipt is None:
            raise TransientError(
                "a lookup answered an unreadable report", reason="unreadable_answer"
            )
        return receipt

    async def status(self, reference: str) -> StatusUpdate:
        url = f"{self._url}/{quote(reference, safe='')}"
        answer = await exchange(self._rt.http, "GET", url, headers=self._headers)
        if answer.status == 404:
            raise SubmissionRefused(
                "the partner does not know the reference", code="unknown_reference"
            )
        receipt = receipt_of(self._expect(answer).json())
        if receipt is None:
            raise TransientError("an unreadable status", reason="unreadable_answer")
        return StatusUpdate(reference=reference, outcome=receipt.outcome, reason=receipt.reason)

    async def withdraw(self, reference: str, reason: str) -> None:
        url = f"{self._url}/{quote(reference, safe='')}/withdrawal"
        headers = {**self._headers, "content-type": "application/json"}
        content = json_bytes({"reason": reason})
        self._expect(await exchange(self._rt.http, "POST", url, headers=headers, content=content))

    def _expect(self, answer: Answer) -> Answer:
        return expect(answer, self._rt.clock.now())
