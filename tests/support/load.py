# SPDX-License-Identifier: Apache-2.0
"""Reports through the real door, sent by clients that do not give up.

A client keeps its idempotency key over every attempt, as the API asks, so whatever breaks between its
request and the answer, it ends with one receipt for one report.
"""

import asyncio
import random
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
from hub import Hub
from kit import until

#: What each kind of report says and which partners the country pack sends it to by itself.
KINDS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "hotline": ({"category": "csam"}, ("iwf",)),
    "partner": ({"category": "phishing_malware", "channel": "partner"}, ("macert", "hosting-desk")),
}
#: A client tries for so long (seconds).
PATIENCE = 120.0


@dataclass(frozen=True)
class Sent:
    """One accepted report."""

    receipt: str
    item: str
    kind: str
    contact: str | None

    @property
    def partners(self) -> tuple[str, ...]:
        return KINDS[self.kind][1]


@dataclass
class Load:
    """``count`` reports of which ``duplicates`` name an item that was reported before."""

    hub: Hub
    seed: int
    count: int = 60
    duplicates: float = 0.2
    #: One in so many leaves a mail address.
    mail_every: int = 10
    kinds: tuple[str, ...] = ("hotline", "partner")
    sent: list[Sent] = field(default_factory=list)
    #: HTTP status (0: no answer) → how often.
    answers: Counter[int] = field(default_factory=Counter)
    #: Answers 503 without Retry-After.
    rude: int = 0
    _tag: str = field(default_factory=lambda: uuid.uuid4().hex[:8])
    _items: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    @property
    def items(self) -> Counter[str]:
        """Accepted reports of each item."""
        return Counter(s.item for s in self.sent)

    def _next(self, number: int) -> tuple[str, str, str | None]:
        if self._items and self._random.random() < self.duplicates:
            item, kind = self._random.choice(self._items)
        else:
            kind = self.kinds[number % len(self.kinds)]
            item = f"https://{self._tag}.example.org/{kind}/{number}"
            self._items.append((item, kind))
        asked = self.mail_every and number % self.mail_every == 0
        return item, kind, f"{self._tag}-{number}@example.org" if asked else None

    def with_(self, other: "Load") -> "Load":
        """Both as one, for the judge."""
        return replace(self, count=self.count + other.count, sent=[*self.sent, *other.sent])

    async def all_sent(self) -> None:
        """Wait until everything is accepted."""
        await until(self._complete, PATIENCE)

    async def _complete(self) -> bool:
        return len(self.sent) == self.count

    async def one(self, http: httpx.AsyncClient, number: int) -> Sent:
        """Send one report until it is accepted."""
        item, kind, contact = self._next(number)
        body = {
            **KINDS[kind][0],
            "locations": [item],
            "narrative": f"Test report {number}.",
            "language": "en",
        }
        if contact:
            body["contact"] = {"channel": "email", "address": contact, "safe": True}
        headers = {"idempotency-key": str(uuid.uuid4())}
        if "channel" in body:
            headers["x-api-key"] = self.hub.api_key
        async with asyncio.timeout(PATIENCE):
            while True:
                pause = 0.1
                try:
                    answer = await http.post("/api/v1/reports", json=body, headers=headers)
                except httpx.HTTPError:
                    self.answers[0] += 1
                else:
                    self.answers[answer.status_code] += 1
                    if answer.status_code == 202:
                        sent = Sent(answer.json()["receipt"], item, kind, contact)
                        self.sent.append(sent)
                        return sent
                    assert answer.status_code == 503, answer.text
                    self.rude += "retry-after" not in answer.headers
                    pause = min(float(answer.headers.get("retry-after", "1")), 1.0)
                await asyncio.sleep(pause)

    async def run(self, seconds: float = 0, clients: int = 4) -> None:
        """Send everything, spread over about so many seconds."""
        numbers = iter(range(self.count))
        async with httpx.AsyncClient(
            base_url=self.hub.url("intake"), timeout=5, trust_env=False
        ) as http:

            async def client() -> None:
                for number in numbers:
                    await self.one(http, number)
                    if seconds:
                        await asyncio.sleep(seconds * clients / self.count)

            async with asyncio.TaskGroup() as group:
                for _ in range(clients):
                    group.create_task(client())

    @asynccontextmanager
    async def flowing(self, seconds: float) -> AsyncIterator[None]:
        """Sends while the block breaks things; leaves when everything is accepted."""
        task = asyncio.create_task(self.run(seconds))
        try:
            yield
            await task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert len(self.sent) == self.count
        assert len({s.receipt for s in self.sent}) == self.count
