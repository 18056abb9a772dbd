# SPDX-License-Identifier: Apache-2.0
"""Intake as a channel sees it: its public API, over HTTP.

Whatever it answers becomes a value, or one of three errors: unknown receipt, a closed thread, not
now. Nothing that was sent or answered reaches a log line or an exception.
"""

import logging
from collections.abc import Mapping
from typing import Any

import httpx

from wasl_intake.channels.contract import Retryable
from wasl_intake.domain.submission import ChannelWord

log = logging.getLogger(__name__)

_REPORTS = "/api/v1/reports"


class UnknownReceipt(Exception):  # noqa: N818
    """No report has it."""


class Closed(Exception):  # noqa: N818
    """The report was withdrawn, or its thread is full: nothing can be added."""


class LocationsRefused(Exception):  # noqa: N818
    """Intake does not take one of the locations."""


class RepeatDiffers(Exception):  # noqa: N818
    """The same message made another report before: by another version of this code."""


class Intake:
    """``http``: its base address is intake's. ``api_key``: the channel's, from the operator."""

    def __init__(self, http: httpx.AsyncClient, channel: ChannelWord, api_key: str) -> None:
        self._http = http
        self._channel = channel
        self._key = {"x-api-key": api_key} if api_key else {}

    async def report(
        self, narrative: str, locations: tuple[str, ...], language: str, key: str
    ) -> str:
        """Send a report; returns its receipt. Under one ``key`` there is one report.

        Raises LocationsRefused, RepeatDiffers, Retryable.
        """
        body = {
            "channel": self._channel,
            "language": language,
            "locations": list(locations),
            "narrative": narrative,
        }
        answer = await self._ask("POST", _REPORTS, body, {"idempotency-key": key})
        if answer.status_code == 202:
            return self._text(answer, "receipt")
        codes, fields = self._errors(answer)
        if "repeat_differs" in codes:
            raise RepeatDiffers
        if any(f.startswith("locations") for f in fields):
            raise LocationsRefused
        raise self._not_now(answer, "report")

    async def write(self, receipt: str, text: str, key: str) -> None:
        """Add to a thread; under one ``key`` once. Raises UnknownReceipt, Closed, Retryable."""
        headers = {"authorization": f"Receipt {receipt}", "idempotency-key": key}
        answer = await self._ask("POST", f"{_REPORTS}/messages", {"body": text}, headers)
        if answer.status_code == 404:
            raise UnknownReceipt
        if answer.status_code in (409, 410):
            raise Closed
        if answer.status_code != 202:
            raise self._not_now(answer, "message")

    async def status(self, receipt: str, language: str) -> str:
        """Where the report stands, in words. Raises UnknownReceipt, Retryable."""
        headers = {"authorization": f"Receipt {receipt}", "accept-language": language}
        answer = await self._ask("GET", _REPORTS, None, headers)
        if answer.status_code == 404:
            raise UnknownReceipt
        if answer.status_code != 200:
            raise self._not_now(answer, "status")
        return self._text(answer, "status_text")

    async def answers(self) -> tuple[bool, str]:
        """For health: whether it is there. Nothing is looked up."""
        response = await self._http.get(_REPORTS)
        return response.status_code == 401, "answers"

    async def _ask(
        self, method: str, path: str, body: Mapping[str, Any] | None, headers: Mapping[str, str]
    ) -> httpx.Response:
        try:
            return await self._http.request(
                method, path, json=body, headers={**self._key, **headers}
            )
        except httpx.HTTPError as error:
            log.warning("intake cannot be reached", extra={"error": type(error).__name__})
            raise Retryable("intake_away") from None

    @staticmethod
    def _text(answer: httpx.Response, name: str) -> str:
        try:
            value = answer.json()[name]
        except (ValueError, KeyError, TypeError):
            value = None
        if not isinstance(value, str) or not value:
            log.error("intake answered in a form we do not know", extra={"field": name})
            raise Retryable("intake_unreadable")
        return value

    @staticmethod
    def _errors(answer: httpx.Response) -> tuple[set[str], set[str]]:
        if answer.status_code != 422:
            return set(), set()
        try:
            errors = answer.json()["errors"]
            return {str(e["code"]) for e in errors}, {str(e["field"]) for e in errors}
        except (ValueError, KeyError, TypeError):
            return set(), set()

    @staticmethod
    def _not_now(answer: httpx.Response, what: str) -> Retryable:
        """A refusal that is not the person's: our key, our form, or a busy intake."""
        status = answer.status_code
        if status in (429, 500, 502, 503, 504):
            return Retryable("intake_busy")
        log.error("intake refuses the channel", extra={"request": what, "status": status})
        return Retryable("intake_refuses")
