# SPDX-License-Identifier: Apache-2.0
"""A connector opened on a fake partner, and a submission to give it."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
from wasl_chassis.testing import FakeClock
from wasl_connector_sdk import Ground, HubIdentity, Runtime, Submission
from wasl_connector_sdk.http import client

ARABIC = "هذا المحتوى مخالف للقانون"
#: What a partner for children's cases is sent.
CSAM = {
    "category": "csam",
    "severity": "critical",
    "scope": "global",
    "explanation": "CANARY-EXPLANATION",
    "test": True,
}


def submission(key: str = "0192f1c2-7a3b-7c11-8000-000000000001", **changes: Any) -> Submission:
    given = {
        "idempotency_key": key,
        "case": "case-0001",
        "partner": "acme",
        "category": "defamation",
        "severity": "high",
        "ground": Ground(kind="law", ref="law.1", text="Article 1"),
        "scope": "MA",
        "location": "https://example.org/CANARY-LOCATION",
        "platform": "web",
        "kind": "post",
        "language": "ar",
        "explanation": f"CANARY-EXPLANATION {ARABIC}",
        "requested_at": datetime(2026, 1, 5, 9, tzinfo=UTC),
        **changes,
    }
    return Submission(**given)


@asynccontextmanager
async def opened(
    connector: Any,
    config: dict[str, Any],
    fake: Any,
    *,
    clock: FakeClock | None = None,
    live: bool = True,
) -> AsyncIterator[Any]:
    """``fake``: anything httpx.MockTransport takes. Not ``live``: production is out of reach."""
    forbidden = frozenset() if live else connector.manifest.production
    async with client(transport=httpx.MockTransport(fake), forbidden=forbidden) as http:
        hub = HubIdentity(country="MA")
        rt = Runtime(http, clock or FakeClock(), logging.getLogger("test"), hub)
        async with connector.open(connector.Config.model_validate(config), rt) as it:
            yield it


class Instead:
    """A fake whose answers are replaced where the method and the path's end match.

    ``answer``: a response; an exception that is raised; or, with ``after``, what is answered once
    the fake has done its work (a lost answer).
    """

    def __init__(
        self,
        fake: Any,
        path: str,
        answer: httpx.Response | Exception,
        *,
        method: str = "POST",
        after: bool = False,
        times: int = 1000,
    ) -> None:
        self.fake, self.path, self.answer, self.method = fake, path, answer, method
        self.after, self.times = after, times

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        hit = request.method == self.method and request.url.path.endswith(self.path)
        if not hit or self.times <= 0:
            return await self.fake(request)
        self.times -= 1
        if self.after:
            await self.fake(request)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def lost(kind: Callable[[str], Exception] = httpx.ReadTimeout) -> Exception:
    return kind("lost")
