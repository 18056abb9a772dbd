# SPDX-License-Identifier: Apache-2.0
"""One partner, one client, one connector: what a rule is tried in."""

import asyncio
import logging
import sysconfig
import traceback
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import httpx

from wasl_connector_sdk.conformance.faults import Wire
from wasl_connector_sdk.conformance.guards import Address, Network
from wasl_connector_sdk.conformance.samples import FixedClock
from wasl_connector_sdk.contract import (
    AnyConnector,
    ConnectorConfig,
    HubIdentity,
    Idempotency,
    Progress,
    Runtime,
    SupportsLookup,
    SupportsSteps,
)
from wasl_connector_sdk.errors import (
    AmbiguousOutcome,
    ConnectorError,
    CredentialsRejected,
    RateLimited,
    TransientError,
)
from wasl_connector_sdk.models import Receipt, Submission

AGAIN = (TransientError, RateLimited, CredentialsRejected)


class Fake(Protocol):
    """A partner. ``reports`` has one element for each report it made."""

    @property
    def reports(self) -> Any: ...


class Nobody:
    """The partner of a connector that calls none: a person does."""

    base = "https://nobody.test"

    def __init__(self) -> None:
        self.reports: list[object] = []

    def __call__(self, _: httpx.Request) -> httpx.Response:
        return httpx.Response(404)


@dataclass(frozen=True, slots=True)
class Partner:
    """How a connector reaches its partner during a rule.

    ``transport``: where its HTTP client leads; None for a partner that does not speak HTTP: rules
    about HTTP are skipped then. ``addresses``: host and port of what else it may connect to.
    ``told``: all it was told so far, as text, where that was not by HTTP.
    """

    fake: Fake
    config: Mapping[str, Any]
    transport: httpx.AsyncBaseTransport | None = None
    addresses: frozenset[Address] = frozenset()
    told: Callable[[], str] | None = None


@dataclass
class Saved(Progress):
    """Progress that outlives the connector, as the gateway's does."""

    values: dict[str, str] = field(default_factory=dict)

    def get(self, name: str) -> str | None:
        return self.values.get(name)

    async def save(self, name: str, value: str) -> None:
        await asyncio.sleep(0)
        self.values[name] = value


@dataclass
class World:
    kind: type[AnyConnector]
    config: ConnectorConfig
    partner: Partner
    wire: Wire
    network: Network
    http: httpx.AsyncClient
    clock: FixedClock
    progress: dict[str, Saved] = field(default_factory=dict)

    @property
    def reports(self) -> int:
        return len(self.partner.fake.reports)

    @property
    def runtime(self) -> Runtime:
        log = logging.getLogger(f"wasl.connector.{self.kind.manifest.name}")
        hub = HubIdentity(
            name="Wasl", country="MA", contact="desk@hub.example", url="https://hub.example"
        )
        return Runtime(self.http, self.clock, log, hub)

    def opening(self) -> AbstractAsyncContextManager[AnyConnector]:
        return self.kind.open(self.config, self.runtime)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[AnyConnector]:
        async with self.opening() as connector:
            yield connector

    async def send(self, connector: AnyConnector, submission: Submission) -> Receipt:
        """As the gateway sends: in steps where the connector has them."""
        if isinstance(connector, SupportsSteps):
            progress = self.progress.setdefault(submission.idempotency_key, Saved())
            return await connector.submit_in_steps(submission, progress)
        return await connector.submit(submission)

    async def resolve(self, error: Exception, submission: Submission) -> Receipt | None:
        """What the gateway does after a failed attempt, with a connector opened anew; at most once.

        None: it stops, or a person finds out.
        """
        idempotency = self.kind.manifest.idempotency
        unsure = not isinstance(error, AGAIN)
        if unsure and not isinstance(error, AmbiguousOutcome) and isinstance(error, ConnectorError):
            return None  # final
        if unsure and idempotency is Idempotency.NONE:
            return None
        async with self.opened() as connector:
            lookup = idempotency is Idempotency.LOOKUP and isinstance(connector, SupportsLookup)
            if unsure and lookup and isinstance(connector, SupportsLookup):
                found = await connector.find(submission.idempotency_key)
                if found is not None:
                    return found
            return await self.send(connector, submission)


async def settled(before: set[asyncio.Task[Any]]) -> set[asyncio.Task[Any]]:
    """Tasks that were not there before and are still there after a few turns of the loop."""
    for _ in range(20):
        await asyncio.sleep(0)
    return {task for task in asyncio.all_tasks() - before if not task.done()}


async def outcome(work: Any) -> Receipt | Exception | Any:
    """What an awaitable returned or raised."""
    try:
        return await work
    except Exception as error:  # noqa: BLE001  whatever it is, the rule judges it
        return error


def texts(error: BaseException) -> str:
    """All an exception would show: its own text, its traceback, its reason."""
    shown = "".join(traceback.format_exception(error))
    return f"{error!r} {error} {getattr(error, 'reason', '')} {shown}"


def name_of(result: object) -> str:
    """For messages: an error by its type and reason, or by the line that raised it; no text."""
    kind = type(result).__name__
    if isinstance(result, ConnectorError):
        return f"{kind} ({result.reason})"
    if isinstance(result, Exception):
        return f"{kind}{_raised(result)}"
    return kind if isinstance(result, Receipt) else repr(result)


_LIBRARIES = (
    str(Path(__file__).parents[1]),
    *{sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")},
)


def _raised(error: Exception) -> str:
    """The last line of the connector's own, or of the fake's, on the way to an error."""
    ours = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(_LIBRARIES)
    ]
    return f" at {Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else ""
