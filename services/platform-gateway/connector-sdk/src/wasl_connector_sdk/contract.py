# SPDX-License-Identifier: Apache-2.0
"""The connector contract, version 1.

A connector is a manifest and three methods; what it can do beyond that is a *type* it satisfies,
found with ``isinstance``: no flag that can lie. A connector never retries, sleeps, limits its rate,
reads the environment, or touches Kafka or MongoDB: the gateway does, once, for all. It raises only
the errors of :mod:`wasl_connector_sdk.errors`.
"""

import logging
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar, runtime_checkable

import httpx
from pydantic import BaseModel, ConfigDict, Field

from wasl_connector_sdk.models import (
    CallbackRequest,
    Inbox,
    Measure,
    Receipt,
    Reminder,
    StatusUpdate,
    Submission,
)

CONTRACT_VERSION = 1
_NAME = re.compile(r"[a-z][a-z0-9_]{1,30}")
#: Names that mean something else in a topic or a path.
RESERVED = frozenset({"all", "any", "none", "unknown", "dlq", "internal", "test"})


class Idempotency(StrEnum):
    """What may be done after an outcome that is not known."""

    #: The partner makes one report of one key, however often it is sent: send again.
    NATIVE_KEY = "native_key"
    #: The partner can be asked for a key: ask, then send again if it has nothing.
    LOOKUP = "lookup"
    #: Neither: a person must find out.
    NONE = "none"


class Evidence(StrEnum):
    """What a partner takes beside the address. Never the content itself."""

    NONE = "none"
    HASHES = "hashes"
    #: Links a partner's staff may open for a limited time.
    LINKS = "links"


@dataclass(frozen=True, slots=True)
class RateLimit:
    """Requests per second on average, and how many at once after a quiet time."""

    per_second: float
    burst: int

    def __post_init__(self) -> None:
        if self.per_second <= 0 or self.burst < 1:
            raise ValueError("a rate limit needs per_second > 0 and burst >= 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What the gateway must know about a connector without running it.

    ``name`` is a storage key and a topic: it never changes. ``owner``: who answers for the code.
    ``accepts``: category slugs, None for all. ``measures``: what it can ask for so that the partner
    knows it from the others; what asks for another one goes to a person. ``production``: the hosts
    where a report counts; the gateway's HTTP client reaches them, and names below them, only with
    ``live`` in the config.
    ``retry_seconds``: wait before the second, third, … attempt; after the last one the gateway
    gives up. ``poll_seconds``: wait before each status request after sending; the last one repeats.
    """

    name: str
    title: str
    docs: str
    idempotency: Idempotency
    owner: str = ""
    accepts: frozenset[str] | None = None
    #: A report without a word about measures asks for removal.
    measures: frozenset[Measure] = frozenset({Measure.REMOVE})
    evidence: Evidence = Evidence.NONE
    production: frozenset[str] = frozenset()
    rate: RateLimit | None = None
    retry_seconds: tuple[float, ...] = (2, 10, 30, 120, 600, 1800, 7200, 21600, 43200, 86400)
    poll_seconds: tuple[float, ...] = (5, 30, 120, 600, 3600, 21600)
    contract: int = CONTRACT_VERSION

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(
                f"connector name '{self.name}': expected a letter a-z, then 1 to 30 of a-z 0-9 _"
            )
        if self.name in RESERVED:
            raise ValueError(f"connector name '{self.name}' is reserved; choose another")
        if self.contract != CONTRACT_VERSION:
            raise ValueError(
                f"connector '{self.name}' is written for contract {self.contract}, this SDK has "
                f"{CONTRACT_VERSION}; install the connector's version for it"
            )
        for field in ("retry_seconds", "poll_seconds"):
            values: tuple[float, ...] = getattr(self, field)
            if not values or any(v <= 0 for v in values):
                raise ValueError(
                    f"connector '{self.name}': {field} needs at least one value, all > 0"
                )


class ConnectorConfig(BaseModel):
    """Base of every connector's ``Config``: frozen, unknown keys refused, values never printed.

    Secrets are ``SecretStr``. The fields here let a deployment agree other figures with a partner
    than the manifest's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    live: bool = Field(
        default=False,
        description="false: everything is marked as a test and production cannot be reached",
    )
    rate_per_second: float | None = Field(
        default=None, gt=0, description="Requests per second agreed with the partner"
    )
    rate_burst: int = Field(default=10, ge=1, description="Requests at once; with rate_per_second")
    retry_seconds: tuple[float, ...] | None = Field(
        default=None, min_length=1, description="Waits before each further attempt"
    )
    poll_seconds: tuple[float, ...] | None = Field(
        default=None, min_length=1, description="Waits before each status request"
    )


class Clock(Protocol):
    def now(self) -> datetime:
        """Wall time, UTC."""


@dataclass(frozen=True, slots=True)
class HubIdentity:
    """Who asks. ``country``: ISO 3166-1 alpha-2; ``contact``: the hub's own mailbox."""

    name: str = "Wasl"
    country: str = ""
    contact: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class Runtime:
    """What a connector is given; it creates none of it. ``log`` never sees a body or a location."""

    http: httpx.AsyncClient
    clock: Clock
    log: logging.Logger
    hub: HubIdentity = HubIdentity()


ConfigT = TypeVar("ConfigT", bound=ConnectorConfig)


class Connector(ABC, Generic[ConfigT]):
    """One partner's channel, or one protocol several partners speak."""

    manifest: ClassVar[Manifest]
    Config: ClassVar[type[ConnectorConfig]]

    @classmethod
    @abstractmethod
    def open(cls, config: ConfigT, rt: Runtime) -> AbstractAsyncContextManager[Self]:
        """The connector, ready to use. No I/O before ``__aenter__``; closes all it opened."""

    @abstractmethod
    async def check(self) -> None:
        """Prove reachability and, where it can be done, credentials. Never creates a report."""

    @abstractmethod
    async def submit(self, submission: Submission) -> Receipt:
        """Hand one request over. Called at least once; ``idempotency_key`` is stable over attempts.

        Raises the errors of :mod:`wasl_connector_sdk.errors`.
        """


@runtime_checkable
class SupportsPolling(Protocol):
    async def status(self, reference: str) -> StatusUpdate:
        """What became of a request. A reference the partner does not know: SubmissionRefused."""


@runtime_checkable
class SupportsCallbacks(Protocol):
    def parse_callback(self, request: CallbackRequest) -> Sequence[StatusUpdate]:
        """What a partner's message says. Pure: no I/O, no clock but ``received_at``.

        Verifies signature and age first. Raises CallbackRejected.
        """


@runtime_checkable
class SupportsLookup(Protocol):
    async def find(self, idempotency_key: str) -> Receipt | None:
        """The receipt of a key, or None where the partner is sure to have nothing under it."""


@runtime_checkable
class SupportsWithdrawal(Protocol):
    async def withdraw(self, reference: str, reason: str) -> None:
        """Take a request back. Repeating it is harmless."""


@runtime_checkable
class SupportsReminders(Protocol):
    async def remind(self, reminder: Reminder) -> None:
        """Ask again, in the thread of the request where there is one. Never opens a new request.

        Called once for each reminder: one whose answer was lost is not sent again. Without this
        ability, and for a role it has no address for (PersonNeeded), a person reminds.
        """


@runtime_checkable
class SupportsCorrection(Protocol):
    async def correct(self, reference: str, submission: Submission) -> None:
        """Replace what was asked: other words, ground or scope, or the same insisted on.

        Repeating the same ``revision`` is harmless. Without this ability a person writes.
        """


@runtime_checkable
class SupportsGroups(Protocol):
    async def submit_group(self, submissions: Sequence[Submission]) -> Sequence[Receipt]:
        """Requests to one partner in one message: a receipt for each, in their order.

        All are of one partner and language, none has been tried before. What it raises holds for
        all of them; ``submit`` still takes each alone.
        """


class Progress(Protocol):
    """How far a submission of several calls has come, over crashes and replicas."""

    def get(self, name: str) -> str | None:
        """What was saved under a name, None: nothing was."""

    async def save(self, name: str, value: str) -> None:
        """Durable when it returns. A partner's identifiers only, nothing about the item."""


@runtime_checkable
class SupportsSteps(Protocol):
    async def submit_in_steps(self, submission: Submission, progress: Progress) -> Receipt:
        """``submit`` for a partner that takes a report in several calls.

        Called again after a crash at any point, with what was saved; so each step saves what it
        got before the next begins, and a step is repeated only where that does no harm.
        """


@runtime_checkable
class SupportsInbox(Protocol):
    async def collect(self, cursor: str | None) -> Inbox:
        """Answers that wait in a mailbox or a feed, from a cursor on; None: from the start.

        One process of the connector calls it at a time. The cursor is stored with the answers, so
        what is returned again after a crash must carry the same ``event_id``.
        """


AnyConnector = Connector[Any]
