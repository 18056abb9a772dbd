# SPDX-License-Identifier: Apache-2.0
"""The look-up process: the API, the admin port, and the clock that follows what is published.

It has no database and no broker. Ready from the first build on, also when a later one is refused.
Stop (SIGTERM, SIGINT): no new requests, those in hand are answered within the grace period.
"""

import asyncio
import contextlib
import logging
import platform
import signal
from contextlib import AsyncExitStack

import uvloop
from starlette.applications import Starlette
from wasl_chassis.health import Health, admin_app
from wasl_chassis.metrics import Metrics
from wasl_chassis.service import version
from wasl_chassis.serving import HttpServer

from wasl_triage.matching.api import lookup_app
from wasl_triage.matching.matcher import Matcher
from wasl_triage.matching.metrics import METRICS, record_index
from wasl_triage.matching.settings import ServeSettings

log = logging.getLogger(__name__)

#: Seconds between two looks at what is published; a look-up looks for itself, too.
FOLLOW = 1.0


class LookupProcess:
    """Built from settings, then :meth:`run`. ``ports``: taken ones, once running."""

    def __init__(self, settings: ServeSettings) -> None:
        self.settings = settings
        self.metrics = Metrics(METRICS)
        self.health = Health()
        self.ports: dict[str, int] = {}
        self._stopping = asyncio.Event()
        self._matcher = Matcher.open(settings.matching_directory)
        self._app = lookup_app(self._matcher, settings.keys(), self.metrics)
        self.health.add("process", self._running)
        self.health.add("index", self._indexed)
        self.metrics.set(
            "wasl_build_info", 1, service="triage-matching", version=version("wasl-triage")
        )

    async def _running(self) -> tuple[bool, str]:
        return not self._stopping.is_set(), "stopping" if self._stopping.is_set() else "running"

    async def _indexed(self) -> tuple[bool, str]:
        view = self._matcher.view()
        if not self._matcher.healthy:
            return view is not None, "the newest build is refused; see the log"
        if view is None:
            return False, "nothing is built; run 'wasl-triage-matching build'"
        return True, "in place"

    def stop(self) -> None:
        self._stopping.set()

    async def run(self) -> int:
        """Until stopped. Returns the exit status."""
        settings = self.settings
        log.info("starting", extra={"settings": settings.masked()})
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(ValueError, RuntimeError):  # not in the main thread: a test
                loop.add_signal_handler(number, self.stop)
        about = {
            "service": "triage-matching",
            "version": version("wasl-triage"),
            "python": platform.python_version(),
        }
        admin = admin_app(self.health, self.metrics, about)
        async with AsyncExitStack() as stack:
            for app, host, port, name in (
                (admin, settings.admin_host, settings.admin_port, "admin"),
                (self._app, settings.matching_host, settings.matching_port, "matching"),
            ):
                await self._serve(stack, app, host, port, name=name)
            log.info("started", extra={"ports": self.ports})
            while not self._stopping.is_set():
                await asyncio.to_thread(self._follow)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), FOLLOW)
            log.info("draining")
        log.info("stopped")
        return 0

    async def _serve(
        self, stack: AsyncExitStack, app: Starlette, host: str, port: int, *, name: str
    ) -> None:
        server = await HttpServer.start(app, host, port, name, grace=self.settings.grace_seconds)
        self.ports[name] = server.port

        async def close() -> None:
            server.stop()
            await server.stopped()

        stack.push_async_callback(close)

    def _follow(self) -> None:
        view = self._matcher.view()
        record_index(self.metrics, healthy=self._matcher.healthy)
        if view is None:
            return
        manifest = view.manifest
        self.metrics.set("wasl_matching_built_timestamp_seconds", manifest.built_at.timestamp())
        for shelved in manifest.banks:
            self.metrics.set("wasl_matching_bank_hashes", shelved.hashes, bank=shelved.id)
            self.metrics.set("wasl_matching_bank_kept", int(shelved.kept), bank=shelved.id)
            if shelved.synced_at is not None:
                self.metrics.set(
                    "wasl_matching_bank_synced_timestamp_seconds",
                    shelved.synced_at.timestamp(),
                    bank=shelved.id,
                )


def run(settings: ServeSettings) -> int:
    """The process; returns its exit status. Raises SettingsError where a port is taken."""

    async def body() -> int:
        return await LookupProcess(settings).run()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(body())
