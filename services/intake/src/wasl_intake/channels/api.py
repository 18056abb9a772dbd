# SPDX-License-Identifier: Apache-2.0
"""A provider's HTTP API: one host, no redirects, bounded in time; its faults named by what to do.

Neither the address, which may hold a token, nor a body reaches a log line or an exception.
"""

import json
from collections.abc import Mapping
from typing import Any, NoReturn
from urllib.parse import urlsplit

import httpx

from wasl_intake.channels.contract import Malformed, Rejected, Retryable

#: Values nested deeper are no delivery of any provider here.
_MAX_ANSWER = 65_536


def host_of(url: str) -> str:
    return urlsplit(url).hostname or ""


def parse_object(body: bytes) -> Mapping[str, Any]:
    """The JSON object of a delivery. Raises Malformed."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise Malformed("not_json") from None
    if not isinstance(value, dict):
        raise Malformed("not_an_object")
    return value


def objects(value: Any) -> list[Mapping[str, Any]]:
    """The objects of what should be a list of objects."""
    return [v for v in value if isinstance(v, dict)] if isinstance(value, list) else []


def mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def text(value: Any) -> str:
    """A text, or a whole number as one; "" for anything else."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


async def post(
    http: httpx.AsyncClient, url: str, body: Mapping[str, Any], headers: Mapping[str, str]
) -> tuple[int, Mapping[str, Any]]:
    """Status and JSON object of the answer, ``{}`` if it is none. Raises Retryable for no answer,
    429 and 5xx.
    """
    try:
        answer = await http.post(url, json=body, headers=dict(headers), follow_redirects=False)
    except httpx.HTTPError:
        raise Retryable("provider_away") from None
    if answer.status_code == 429 or answer.status_code >= 500:
        raise Retryable("provider_busy")
    try:
        held = json.loads(answer.content[:_MAX_ANSWER])
    except (ValueError, RecursionError):
        held = None
    return answer.status_code, mapping(held)


def refused(status: int) -> NoReturn:
    """What is left once a provider's own codes are read. Raises Retryable or Rejected."""
    if status in (401, 403, 404) or 300 <= status < 400:
        raise Retryable("provider_refuses_us")  # our token or our address: a person repairs it
    raise Rejected("refused")
