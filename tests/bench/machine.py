# SPDX-License-Identifier: Apache-2.0
"""A fresh hub for one measurement, its processes, and what they cost."""

import asyncio
import base64
import json
import os
import shutil
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import psutil
from pydantic import SecretStr
from pymongo import MongoClient
from wasl_chassis.service import Service
from wasl_chassis.settings import Settings
from wasl_chassis.topics_admin import TopicAdmin, wanted
from wasl_chassis.work import UnitOfWork
from wasl_local.processes import Child
from wasl_local.servers import EmbeddedKafka, EmbeddedMongo, free_port
from wasl_schemas.events.common import Ground, GroundKind, Severity
from wasl_schemas.events.dispatch_requested_v1 import DispatchItem, DispatchRequestedV1
from wasl_schemas.ids import uuid7
from wasl_schemas.topics import BUILT_IN_CONNECTORS, dispatch_requested_v1, registry

ROOT = Path(__file__).resolve().parents[2]
PACK = ROOT / "deploy" / "country-packs" / "ma"
KEY = base64.b64encode(b"b" * 32).decode()


@dataclass
class Cost:
    """CPU seconds per process name, and the highest resident memory in MB."""

    cpu: dict[str, float] = field(default_factory=dict)
    memory: dict[str, float] = field(default_factory=dict)

    @property
    def total(self) -> float:
        return sum(self.cpu.values())


class Machine:
    """Kafka, MongoDB and the processes of one measurement."""

    def __init__(
        self,
        directory: Path,
        pack: Path = PACK,
        connectors: Sequence[str] = BUILT_IN_CONNECTORS,
    ) -> None:
        self.directory = directory
        self.pack = pack
        self.connectors = connectors
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        self.kafka = EmbeddedKafka(directory / "kafka")
        self.mongo = EmbeddedMongo(directory / "mongo")
        self.children: dict[str, Child] = {}
        self.admin: dict[str, int] = {}
        self._commands: dict[str, tuple[list[str], dict[str, str]]] = {}
        self._before: dict[str, float] = {}
        #: CPU seconds of processes that were killed, by name.
        self._spent: dict[str, float] = {}

    @property
    def env(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka.bootstrap,
            "MONGODB_URI": self.mongo.uri,
            "WASL_MASTER_KEY": KEY,
            "WASL_PEPPER": KEY,
            "WASL_COUNTRY_PACK": str(self.pack),
            "WASL_CONNECTORS": ",".join(self.connectors),
            "WASL_LOG_LEVEL": "WARNING",
        }

    async def __aenter__(self) -> "Machine":
        await asyncio.gather(
            asyncio.to_thread(self.kafka.start), asyncio.to_thread(self.mongo.start)
        )
        async with TopicAdmin(self.kafka.bootstrap) as admin:
            await admin.apply(wanted(registry(self.connectors)))
        return self

    async def __aexit__(self, *_: object) -> None:
        for child in self.children.values():
            child.terminate()
        for child in self.children.values():
            child.stop(10)
        self.kafka.stop()
        self.mongo.stop()

    def database(self, name: str) -> Any:
        return MongoClient(self.mongo.uri)[f"wasl_{name}"]

    def start(self, name: str, module: str, *args: str, **env: str) -> None:
        """A process of the hub; ``name`` is also its replica."""
        port = self.admin[name] = free_port()
        own = {"WASL_ADMIN_PORT": str(port), "WASL_REPLICA": name.replace("_", "-")}
        command = [sys.executable, "-m", module, *args]
        self._commands[name] = command, {**self.env, **own, **env}
        self._start(name)

    def _start(self, name: str) -> None:
        command, env = self._commands[name]
        self.children[name] = Child.start(command, log=self.directory / f"{name}.log", env=env)

    def kill_and_restart(self, name: str) -> None:
        """kill -9, then the same process again, at once."""
        child = self.children[name]
        times = psutil.Process(child.pid).cpu_times()
        child.kill()
        self._spent[name] = self._spent.get(name, 0.0) + sum(times[:2])
        self._start(name)

    @asynccontextmanager
    async def service(self, name: str) -> AsyncIterator[Service]:
        """One that only writes what the service of that name would have written."""
        env = self.env
        settings = Settings(
            KAFKA_BOOTSTRAP_SERVERS=env["KAFKA_BOOTSTRAP_SERVERS"],
            MONGODB_URI=SecretStr(env["MONGODB_URI"]),
            master_key=SecretStr(env["WASL_MASTER_KEY"]),
            pepper=SecretStr(env["WASL_PEPPER"]),
        )
        made = Service.open(settings, name, collections=())
        await made._prepare()
        try:
            yield made
            await made.outlet.flush()
        finally:
            await made._publisher.stop()
            await made.store.close()

    async def ready(self) -> None:
        """Every started process says so."""
        async with httpx.AsyncClient() as http:
            for name, port in self.admin.items():
                deadline = time.monotonic() + 60
                while True:
                    try:
                        if (await http.get(f"http://127.0.0.1:{port}/readyz")).status_code == 200:
                            break
                    except httpx.HTTPError:
                        pass
                    if not self.children[name].alive or time.monotonic() > deadline:
                        log = (self.directory / f"{name}.log").read_text()[-2000:]
                        raise RuntimeError(f"{name} does not start:\n{log}")
                    await asyncio.sleep(0.1)

    def check(self) -> None:
        """Raise when a process of the hub has ended."""
        for name, child in self.children.items():
            if not child.alive:
                log = (self.directory / f"{name}.log").read_text()[-2000:]
                raise RuntimeError(f"{name} ended:\n{log}")

    def _processes(self) -> dict[str, psutil.Process]:
        pids: dict[str, int | None] = {name: child.pid for name, child in self.children.items()}
        pids |= {"kafka": self.kafka.pid, "mongod": self.mongo.pid}
        return {n: psutil.Process(p) for n, p in pids.items() if p and psutil.pid_exists(p)}

    def clock_in(self) -> None:
        self._before = {n: self._cpu(n, p) for n, p in self._processes().items()}

    def _cpu(self, name: str, process: psutil.Process) -> float:
        return float(sum(process.cpu_times()[:2])) + self._spent.get(name, 0.0)

    def clock_out(self) -> Cost:
        cost = Cost()
        for name, process in self._processes().items():
            cost.cpu[name] = self._cpu(name, process) - self._before.get(name, 0)
            status = Path(f"/proc/{process.pid}/status")
            peak = (
                int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024
                if status.exists()
                else process.memory_info().rss / 2**20
            )
            cost.memory[name] = peak
        return cost


@asynccontextmanager
async def machine(
    directory: Path, pack: Path = PACK, connectors: Sequence[str] = BUILT_IN_CONNECTORS
) -> AsyncIterator[Machine]:
    async with Machine(directory, pack, connectors) as made:
        yield made


async def first_to_last(
    count: Callable[[], int],
    goal: int,
    timeout: float = 180,
    every: float = 0.02,
    alive: Callable[[], None] = lambda: None,
) -> tuple[float, float]:
    """(start, end) on the monotonic clock: from the first sign of work to the goal."""
    deadline = time.monotonic() + timeout
    begun = 0.0
    while True:
        alive()
        done = count()
        now = time.monotonic()
        if done and not begun:
            begun = now
        if done >= goal:
            return begun, now
        if now > deadline:
            raise RuntimeError(f"only {done} of {goal} after {timeout:.0f} s")
        await asyncio.sleep(every)


def write_json(path: Path, results: dict[str, Any]) -> None:
    path.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


async def request(
    uow: UnitOfWork, connector: str, partner: str, category: str, location: str
) -> DispatchRequestedV1:
    """What triage emits when it asks a partner about a case of its own. Returns the event."""
    case_id, now = uuid7(), uow.now()
    uow.keys.create(case_id)
    item = DispatchItem(location=location, platform="web", kind="page")
    asked = DispatchRequestedV1(
        dispatch_id=uuid7(),
        case_id=case_id,
        connector=connector,
        partner=partner,
        category=category,
        severity=Severity.HIGH,
        ground=Ground(kind=GroundKind.LAW, ref="ma.penal-code.607-3"),
        scope="global",
        language="en",
        automatic=True,
        requested_at=now,
        due=now + timedelta(hours=1),
        item=await uow.keys.seal(case_id, "case.item", item.model_dump_json()),
    )
    uow.emit(dispatch_requested_v1(connector), asked)
    return asked
