# SPDX-License-Identifier: Apache-2.0
"""A report for somebody who calls or chats: entered here, made by intake, like everybody's.

Receipts belong to intake, so the desk is a client of its public interface with a key for the
channels phone and chat (ADR 21). One form is one report, however often it is sent. While intake is
away the form says so and keeps what was typed; nothing is stored here.
"""

import logging
from dataclasses import dataclass
from typing import Any

import httpx
from wasl_schemas.base import Model

from wasl_triage.desk import Refused

log = logging.getLogger(__name__)

_SECONDS = 10.0


class PhoneReport(Model):
    """What the caller says; the fields are those of intake's interface."""

    channel: str
    language: str
    category: str | None = None
    danger_now: bool | None = None
    under_18: bool | None = None
    under_13: bool | None = None
    affected: str | None = None
    risk: tuple[str, ...] = ()
    locations: tuple[str, ...] = ()
    narrative: str = ""
    consent_partner: bool = False
    consent_authority: bool = False


@dataclass(frozen=True, slots=True)
class Receipt:
    """To be read out: digits for the telephone, words to write down. Shown once, kept nowhere."""

    digits: str
    words: str


class NotTaken(Exception):  # noqa: N818
    """Intake refused it. ``fields``: which ones."""

    def __init__(self, fields: tuple[str, ...]) -> None:
        super().__init__()
        self.fields = fields


class Telephone:
    """``http``: its base address is intake's; ``api_key`` "": the form is not offered."""

    def __init__(self, http: httpx.AsyncClient, api_key: str) -> None:
        self._http, self._key = http, api_key

    @property
    def open(self) -> bool:
        return bool(self._key)

    async def report(self, said: PhoneReport, key: str) -> Receipt:
        """Send it; under one ``key`` there is one report. Raises NotTaken, Refused."""
        body = {k: v for k, v in said.model_dump(mode="json").items() if v not in (None, "", [])}
        body |= {"consent_partner": said.consent_partner}
        headers = {"x-api-key": self._key, "idempotency-key": key}
        try:
            answer = await self._http.post(
                "/api/v1/reports", json=body, headers=headers, timeout=_SECONDS
            )
        except httpx.HTTPError as error:
            log.warning("intake cannot be reached", extra={"error": type(error).__name__})
            raise _away() from None
        if answer.status_code == 202:
            told = answer.json()
            return Receipt(told["receipt_digits"], told["receipt_words"])
        if answer.status_code in (400, 409, 422):
            raise NotTaken(_fields(answer))
        log.warning("intake did not take a report", extra={"status": answer.status_code})
        raise _away()


def _away() -> Refused:
    return Refused(
        "The report could not be handed over now",
        "Keep the page open and send it again: it will be one report.",
    )


def _fields(answer: httpx.Response) -> tuple[str, ...]:
    try:
        errors: list[dict[str, Any]] = answer.json().get("errors", [])
    except ValueError:
        return ()
    return tuple(str(e.get("field", ""))[:64] for e in errors)
