# SPDX-License-Identifier: Apache-2.0
"""The one connector of this process: opened once, called under a time limit, measured, closed.

Whatever a connector raises leaves :meth:`Door.call` as an error of the SDK's taxonomy. An error
that is none of them is a bug in the connector: nobody knows how far it got, so it is ambiguous.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Literal, TypeVar

from wasl_chassis.clock import Clock
from wasl_chassis.metrics import Metrics
from wasl_connector_sdk import (
    AmbiguousOutcome,
    Connector,
    ConnectorConfig,
    ConnectorError,
    CredentialsRejected,
    HubIdentity,
    InvalidSubmission,
    PersonNeeded,
    RateLimited,
    Runtime,
    Submission,
    SubmissionRefused,
    TransientError,
)
from wasl_connector_sdk.contract import AnyConnector

from wasl_platform_gateway.metrics import record_call, record_up

log = logging.getLogger(__name__)
T = TypeVar("T")
Operation = Literal["check", "submit", "find", "status", "remind", "correct", "withdraw", "collect"]
_OUTCOMES: tuple[tuple[type[ConnectorError], str], ...] = (
    (TransientError, "transient"),
    (RateLimited, "rate_limited"),
    (AmbiguousOutcome, "ambiguous"),
    (CredentialsRejected, "auth"),
    (SubmissionRefused, "refused"),
    (InvalidSubmission, "invalid"),
    (PersonNeeded, "person_needed"),
)


class Door:
    def __init__(
        self,
        connector: type[AnyConnector],
        config: ConnectorConfig,
        runtime: Runtime,
        *,
        clock: Clock,
        metrics: Metrics,
        call_timeout: float,
    ) -> None:
        self.type = connector
        self.manifest = connector.manifest
        self.config = config
        self.call_timeout = call_timeout
        self._runtime = runtime
        self._clock = clock
        self._metrics = metrics
        self._stack = AsyncExitStack()
        self._opening = asyncio.Lock()
        self._connector: AnyConnector | None = None

    @property
    def hub(self) -> HubIdentity:
        """Who asks."""
        return self._runtime.hub

    @property
    def name(self) -> str:
        return self.manifest.name

    def carries(self, submission: Submission) -> bool:
        """Whether the connector can ask for just what was decided."""
        return submission.measure is None or submission.measure in self.manifest.measures

    async def connector(self) -> AnyConnector:
        """The opened connector."""
        async with self._opening:
            if self._connector is None:
                opened: Connector[ConnectorConfig] = await self._stack.enter_async_context(
                    self.type.open(self.config, self._runtime)
                )
                self._connector = opened
            return self._connector

    async def close(self) -> None:
        await self._stack.aclose()
        await self._runtime.http.aclose()

    async def call(self, operation: Operation, work: Callable[[], Awaitable[T]]) -> T:
        """One call to the partner. Raises ConnectorError and nothing else."""
        started = self._clock.monotonic()
        outcome = "cancelled"
        try:
            async with asyncio.timeout(self.call_timeout):
                result = await work()
        except ConnectorError as error:
            outcome = next((o for kind, o in _OUTCOMES if isinstance(error, kind)), "unexpected")
            raise
        except TimeoutError:
            outcome = "ambiguous"
            raise AmbiguousOutcome("no answer within the time limit", reason="timeout") from None
        except Exception as error:  # noqa: BLE001  third-party code
            # The text of a foreign exception may quote what was sent; its type may not.
            outcome = "unexpected"
            log.error(
                "a connector raised an error outside its contract",
                extra={
                    "connector": self.name,
                    "operation": operation,
                    "error": type(error).__name__,
                },
            )
            raise AmbiguousOutcome(type(error).__name__, reason="unexpected") from None
        else:
            outcome = "ok"
            return result
        finally:
            took = self._clock.monotonic() - started
            record_call(self._metrics, self.name, operation, outcome, took)

    async def check(self) -> None:
        """Ask whether the partner is there; for the gauge, never for readiness."""
        connector = await self.connector()
        try:
            await self.call("check", connector.check)
        except ConnectorError as error:
            record_up(self._metrics, self.name, up=False)
            log.warning(
                "the partner does not answer the check",
                extra={"connector": self.name, "reason": error.reason},
            )
        else:
            record_up(self._metrics, self.name, up=True)
