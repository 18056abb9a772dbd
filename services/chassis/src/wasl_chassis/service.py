# SPDX-License-Identifier: Apache-2.0
"""A service process: what it consumes, serves and repeats, from start to drained stop.

Start: admin port first, then what is of use without a database, then wait for the database, then
everything else; Kafka may be away for as long as it likes. Stop (SIGTERM, SIGINT): not ready, no
new requests, finish the batch, publish, commit, leave, within the grace period. A systemic failure
stops the process with exit status 70 (EX_SOFTWARE).
"""

import asyncio
import contextlib
import logging
import platform
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from importlib import metadata
from typing import Any, TypeVar

import uvloop
from wasl_schemas.base import EventData
from wasl_schemas.envelope import Event
from wasl_schemas.topics import TopicSpec

from wasl_chassis import consuming, logs, outbox
from wasl_chassis.batcher import Batcher
from wasl_chassis.broker import Subscription
from wasl_chassis.clock import Clock, SystemClock
from wasl_chassis.consuming import Consumer
from wasl_chassis.failures import Conflict, Failure, Outcome, Retryable, Systemic
from wasl_chassis.health import Check, Health, Heartbeat, admin_app
from wasl_chassis.metrics import Metric, Metrics
from wasl_chassis.mongo import MongoStore
from wasl_chassis.outbox import DeadLetters, Outlet, Publisher
from wasl_chassis.serving import HttpServer
from wasl_chassis.settings import Settings, SettingsError, key_bytes, read_or_exit
from wasl_chassis.store import Changes, Collection
from wasl_chassis.tracing import NoTracer, OtelTracer, Tracer
from wasl_chassis.vault import KEYS, Vault
from wasl_chassis.work import UnitOfWork

log = logging.getLogger(__name__)
T = TypeVar("T")
DataT = TypeVar("DataT", bound=EventData)
SettingsT = TypeVar("SettingsT", bound=Settings)

METRICS = (
    Metric("gauge", "wasl_build_info", "1, with the build in its labels.", ("service", "version")),
    Metric("counter", "wasl_drain_timeouts_total", "Drains that outlasted the grace period."),
    Metric(
        "histogram",
        "wasl_mongo_command_duration_seconds",
        "Database commands.",
        ("command", "result"),
    ),
    Metric(
        "counter",
        "wasl_loop_failures_total",
        "Failed turns of a background loop.",
        ("loop", "reason"),
    ),
    Metric(
        "gauge",
        "wasl_loop_last_success_timestamp_seconds",
        "When a background loop last came through, Unix time.",
        ("loop",),
    ),
    Metric("gauge", "wasl_consumer_lag_records", "Records not yet handled.", ("consumer", "topic")),
)


def version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "0"


class Service:
    """Build it in ``bootstrap.py``, then :meth:`run`. Nothing here starts before that."""

    def __init__(
        self,
        settings: Settings,
        name: str,
        *,
        store: MongoStore,
        vault: Vault,
        clock: Clock,
        metrics: Metrics,
        collections: Sequence[Collection[Any]],
        instance: str | None = None,
    ) -> None:
        self.settings = settings
        self.name = name
        self.store = store
        self.clock = clock
        self.metrics = metrics
        self.health = Health()
        self._vault = vault
        self._collections = (*collections, KEYS)
        self._source = f"/wasl/{name}"
        member = f"{name}.{instance}" if instance else name
        self._member = f"{member}-{settings.replica}"
        self._publisher = Publisher(settings.kafka_bootstrap_servers, f"wasl.{self._member}")
        self.outlet = Outlet(store, self._publisher, clock, metrics, self._member)
        self._batcher = Batcher(self._commit)
        tracer: Tracer = OtelTracer(name) if settings.tracing else NoTracer()
        self.consumer = Consumer(
            member,
            settings,
            store=store,
            outlet=self.outlet,
            dead_letters=DeadLetters(self._publisher, settings.dead_letter_limit),
            unit=self.unit,
            clock=clock,
            metrics=metrics,
            tracer=tracer,
            fail=self.fail,
        )
        self._subscription: Subscription | None = None
        self._loops: list[tuple[str, float, Callable[[], Awaitable[bool | None]]]] = []
        self._apps: list[tuple[str, Any, str, int, Check | None]] = []
        self._closers: list[Callable[[], Awaitable[None]]] = []
        self._stopping = asyncio.Event()
        #: Publications under way. Commits come one after another: a second one finds a late one.
        self._publishing: set[asyncio.Future[None]] = set()
        self._failure: Systemic | None = None
        self._prepared = False
        self._drained = False
        #: Ports taken, once running: "admin" and one per served application.
        self.ports: dict[str, int] = {}
        self.every("outbox-relay", 1.0, self.outlet.sweep)

    @classmethod
    def open(
        cls,
        settings: Settings,
        name: str,
        *,
        collections: Sequence[Collection[Any]],
        metrics: Iterable[Metric] = (),
        instance: str | None = None,
        database: str | None = None,
        clock: Clock | None = None,
    ) -> "Service":
        """A service on the configured MongoDB and Kafka. ``database``: its suffix, default the
        name.
        """
        registry = Metrics((*METRICS, *outbox.METRICS, *consuming.METRICS, *metrics))
        registry.set("wasl_build_info", 1, service=name, version=version(f"wasl-{name}"))

        def observe(command: str, seconds: float, ok: bool) -> None:
            registry.observe(
                "wasl_mongo_command_duration_seconds",
                seconds,
                command=command,
                result="ok" if ok else "failed",
            )

        store = MongoStore(
            settings.mongodb_uri.get_secret_value(),
            database=f"{settings.database_prefix}_{database or name.replace('-', '_')}",
            vault_database=f"{settings.database_prefix}_vault",
            driver="pymongo" if settings.mongo_driver == "pymongo" else "motor",
            observe=observe,
        )
        return cls(
            settings,
            name,
            store=store,
            vault=Vault({"m1": key_bytes(settings.master_key)}),
            clock=clock or SystemClock(),
            metrics=registry,
            collections=collections,
            instance=instance,
        )

    # -- what the service does -------------------------------------------------------------------

    def consume(
        self,
        spec: TopicSpec[DataT],
        handler: Callable[[Event[DataT], UnitOfWork], Awaitable[Outcome | None]],
        *,
        prefetch: Callable[[Sequence[Event[DataT]], UnitOfWork], Awaitable[None]] | None = None,
    ) -> None:
        """Handle one topic. ``prefetch`` sees the batch first and loads what its handlers will
        read.
        """
        self.consumer.add(spec, handler, prefetch)

    def every(self, name: str, seconds: float, turn: Callable[[], Awaitable[bool | None]]) -> None:
        """Repeat ``turn``; when it returns True, again at once. Part of readiness."""
        self._loops.append((name, seconds, turn))

    def serve(
        self,
        app: Any,
        host: str,
        port: int,
        name: str = "http",
        *,
        without_database: Check | None = None,
    ) -> None:
        """Serve an ASGI application; port 0 takes a free one (see :attr:`ports`).

        ``without_database``: whether it is of use while the database is away. It is served from the
        start then, and as long as this holds nothing that waits for the database makes us unready.
        """
        self._apps.append((name, app, host, port, without_database))

    def on_stop(self, closer: Callable[[], Awaitable[None]]) -> None:
        self._closers.append(closer)

    def unit(self) -> UnitOfWork:
        return UnitOfWork(self.store, self.clock, self._source, self._vault)

    async def commit(self, uow: UnitOfWork) -> None:
        """One atomic commit, then publish. Raises Conflict or Retryable; then nothing happened."""
        await self._commit(uow.changes())

    async def submit(self, uow: UnitOfWork | Changes) -> None:
        """As :meth:`commit`, sharing the transaction of concurrent callers; raises Overloaded."""
        await self._batcher.submit(uow if isinstance(uow, Changes) else uow.changes())

    async def transact(self, work: Callable[[UnitOfWork], Awaitable[T]], *, attempts: int = 8) -> T:
        """Run ``work`` on a fresh unit and commit; on Conflict run it again on another."""
        attempt = 0
        while True:
            attempt += 1
            uow = self.unit()
            result = await work(uow)
            try:
                await self.commit(uow)
            except Conflict:
                if attempt >= attempts:
                    raise
                await self.clock.sleep(0.01 * attempt)
            else:
                return result

    async def _commit(self, changes: Changes) -> None:
        await self.store.commit(changes)
        # The commit is the promise; the relay keeps it if publishing takes longer than a person
        # waits.
        publish = asyncio.ensure_future(self.outlet.publish(changes.outbox))
        late = bool(self._publishing)
        self._publishing.add(publish)
        publish.add_done_callback(self._publishing.discard)
        # Where an earlier one is late the broker is away, and nobody else waits in vain.
        if not late:
            await asyncio.wait((publish,), timeout=0.5)

    def fail(self, error: Systemic) -> None:
        """Stop the process: unready at once, exit status 70."""
        if self._failure is None:
            self._failure = error
            log.error("stopping after a systemic failure", extra={"reason": error.reason})
        self._stopping.set()

    def stop(self) -> None:
        self._stopping.set()

    @property
    def stopping(self) -> bool:
        return self._stopping.is_set()

    # -- running ---------------------------------------------------------------------------------

    async def run(self) -> int:
        """Run until stopped and drained. Returns the exit status."""
        logging.getLogger(__name__).info("starting", extra={"settings": self.settings.masked()})
        self._checks()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(ValueError, RuntimeError):  # not in the main thread: a test
                loop.add_signal_handler(number, self.stop)
        about = {
            "service": self.name,
            "version": version(f"wasl-{self.name}"),
            "python": platform.python_version(),
        }
        admin = await self._http(
            admin_app(self.health, self.metrics, about),
            self.settings.admin_host,
            self.settings.admin_port,
            "admin",
        )
        tasks: list[asyncio.Task[None]] = []
        servers: list[HttpServer] = []
        try:
            await self._serve_apps(servers, without_database=True)
            await self._prepare()
            if not self.stopping:
                tasks = [asyncio.create_task(self._loop(*entry)) for entry in self._loops]
                await self._serve_apps(servers, without_database=False)
                if self.consumer.routes:
                    tasks.append(asyncio.create_task(self._consume()))
                log.info("started", extra={"ports": self.ports})
                await self._stopping.wait()
            await self._drain(tasks, servers)
        finally:
            admin.stop()
            await admin.stopped()
        log.info("stopped", extra={"drained": self._drained})
        return 70 if self._failure else 0 if self._drained else 1

    async def _serve_apps(self, servers: list[HttpServer], *, without_database: bool) -> None:
        for name, app, host, port, check in self._apps:
            if (check is not None) == without_database:
                servers.append(await self._http(app, host, port, name))

    def _checks(self) -> None:
        async def database() -> tuple[bool, str]:
            if not self._prepared:
                return False, "waiting for the database"
            try:
                # Who asks waits a second or two; the driver would look for a server for longer.
                await asyncio.wait_for(self.store.ping(), 1)
            except TimeoutError:
                return False, "away"
            return True, "answers"

        async def running() -> tuple[bool, str]:
            return not self.stopping, "stopping" if self.stopping else "running"

        self.health.add("process", running)
        self.health.add("database", database)
        for name, _, _, _, check in self._apps:
            if check is not None:
                self.health.excuse(name, check, without="database", clock=self.clock)
        if self.consumer.routes:
            self.health.add("consumer", self._consumer_check)

    async def _consumer_check(self) -> tuple[bool, str]:
        if self.consumer.stopped:
            return False, "stopped after a systemic failure"
        if not self.consumer.dependency_up:
            return False, "waiting for a dependency"
        if self._subscription is None:
            return False, "not connected to Kafka"
        return self._subscription.progress()

    async def _prepare(self) -> None:
        pause, told = 0.2, False
        while not self.stopping:
            try:
                await self.store.prepare(self._collections)
            except Retryable as error:
                if not told:
                    log.error("the database is away, waiting", extra={"reason": str(error)})
                    told = True
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), pause)
                pause = min(pause * 2, 5)
            else:
                self._prepared = True
                return

    async def _http(self, app: Any, host: str, port: int, name: str) -> HttpServer:
        server = await HttpServer.start(app, host, port, name, grace=self.settings.grace_seconds)
        self.ports[name] = server.port
        return server

    async def _loop(
        self, name: str, seconds: float, turn: Callable[[], Awaitable[bool | None]]
    ) -> None:
        heart = Heartbeat(name, max(30.0, seconds * 10), self.clock)
        self.health.add(name, heart.check)
        pause, down = seconds, False
        while not self.stopping:
            again: bool | None = False
            try:
                again = await turn()
            except Systemic as error:
                self.fail(error)
                return
            except Exception as error:
                reason = error.reason if isinstance(error, Failure) else "unexpected"
                self.metrics.inc("wasl_loop_failures_total", loop=name, reason=reason)
                if not down:
                    down = True
                    log.exception("a background loop fails", extra={"loop": name, "reason": reason})
                pause = min(max(pause, 0.2) * 2, 15)
            else:
                if down:
                    log.warning("the background loop works again", extra={"loop": name})
                pause, down = seconds, False
                heart.beat()
                self.metrics.set("wasl_loop_last_success_timestamp_seconds", time.time(), loop=name)
            if not again:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), pause)

    async def _consume(self) -> None:
        """Join the group, however long Kafka is away; then keep the lag gauge."""
        subscription = Subscription(
            f"wasl.{self.consumer.name}",
            list(self.consumer.routes),
            self.consumer.on_batch,
            self.settings,
            self.clock,
        )
        pause, told = 0.2, False
        while not self.stopping:
            try:
                await subscription.start()
            except Exception as error:  # noqa: BLE001  any reason not to reach Kafka is waited out
                if not told:
                    log.error("Kafka is away, waiting", extra={"error": type(error).__name__})
                    told = True
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), pause)
                pause = min(pause * 2, 5)
            else:
                self._subscription = subscription
                break
        while not self.stopping:
            for topic, lag in subscription.lag().items():
                self.metrics.set(
                    "wasl_consumer_lag_records", lag, consumer=self.consumer.name, topic=topic
                )
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), 2)

    async def _drain(
        self,
        tasks: Sequence[asyncio.Task[None]],
        servers: Sequence[HttpServer],
    ) -> None:
        log.info("draining")
        self.consumer.draining = True
        try:
            async with asyncio.timeout(self.settings.grace_seconds):
                for server in servers:
                    server.stop()
                await asyncio.gather(*(server.stopped() for server in servers))
                if self._subscription is not None:
                    await self._subscription.stop()
                await asyncio.gather(*tasks)
                await self._batcher.drain()
                await self.outlet.flush()
                for closer in self._closers:
                    await closer()
                await self._publisher.stop()
                self._drained = True
        except TimeoutError:
            self.metrics.inc("wasl_drain_timeouts_total")
            log.error("the drain outlasted the grace period; what was in hand is done again")
            for task in tasks:
                task.cancel()
        await self.store.close()


def main(settings: type[SettingsT], build: Callable[[SettingsT], Service]) -> None:
    """The body of every ``__main__``: settings or exit 78, then run until stopped."""
    values = read_or_exit(settings)

    async def body() -> int:
        try:
            service = build(values)
            logs.configure(
                f"wasl-{service.name}", version(f"wasl-{service.name}"), values.log_level
            )
            return await service.run()
        except SettingsError as error:
            sys.stderr.write(f"cannot start, the settings are incomplete:\n{error}\n")
            return 78

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.exit(runner.run(body()))
