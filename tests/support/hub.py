# SPDX-License-Identifier: Apache-2.0
"""The whole hub as processes, for tests that break it: the launcher's stack, plus the breaking.

What runs and how it is configured is described once, in ``wasl_local.stack``. Here are only the
settings a test needs (small batches, short waits) and the ways to kill, stop, pause and look inside.
"""

import asyncio
import contextlib
import json
import shutil
import signal
from collections.abc import AsyncIterator, Container, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from kit import until
from pymongo import MongoClient
from servers import kafka_server
from wasl_local.processes import Child
from wasl_local.servers import EmbeddedMongo, KafkaServer, free_port
from wasl_local.settings import LocalSettings
from wasl_local.stack import Role, Stack
from wasl_platform_gateway.watching import LOOKING
from wasl_schemas.topics import registry

#: Name of each process that may be killed: the four services, the gateway once for each role.
SERVICES = ("intake", "triage", "notify", "gateway-reference", "gateway-webhook", "gateway-watch")
PARTNERS = ("hotline", "platforms")
#: The database behind each service, and its consumer groups.
DATABASES = {"intake": "intake", "triage": "triage", "notify": "notify"} | dict.fromkeys(
    ("gateway-reference", "gateway-webhook", "gateway-watch"), "gateway"
)
#: An analyst's answers to the pack's questions about phishing.
PHISHING = {
    **dict.fromkeys(("clear", "same-item", "demand", "pretends"), "yes"),
    **dict.fromkeys(("gone", "danger"), "unsure"),
}
_SETTINGS = {
    # Small batches leave many points between commit and publish.
    "WASL_BATCH_MAX_RECORDS": "10",
    "WASL_SESSION_TIMEOUT_SECONDS": "6",
    "WASL_NOTIFY_QUIET_MINUTES": "0",
    # Leases outlast a call and a mail: what a killed process held is free again after about 10 s.
    "WASL_GATEWAY_CALL_TIMEOUT_SECONDS": "2",
    "WASL_SMTP_TIMEOUT_SECONDS": "2",
    "WASL_LOG_LEVEL": "INFO",
}


@dataclass(frozen=True)
class Record:
    """One record as the broker keeps it."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]

    @property
    def place(self) -> tuple[str, int, int]:
        return self.topic, self.partition, self.offset


class Hub(Stack):
    """``env``: settings of every service on top of the launcher's."""

    def __init__(self, folder: Path, env: Mapping[str, str] | None = None) -> None:
        settings = LocalSettings(directory=folder / "state", start_timeout=90)
        super().__init__(settings, folder, lambda _name, _what: None)
        self._bootstrap = self._mongodb = ""  # never somebody else's: these servers get killed
        self._kafka: KafkaServer = kafka_server(folder / "kafka")
        self._env = {**_SETTINGS, **(env or {})}
        self._known: dict[str, Role] = {}
        #: Judged and found right, so fit for another test.
        self.sound = True

    # -- what runs -----------------------------------------------------------------------------------

    def _roles(self) -> list[Role]:
        roles = [self._for_tests(role) for role in super()._roles()]
        self._known = {role.name: role for role in roles}
        return roles

    def _for_tests(self, role: Role) -> Role:
        if role.name.startswith("partner-"):
            return replace(role, command=(*role.command, "--mode", "remove", "--delay", "0.2"))
        return replace(role, env={**role.env, **self._env})

    @property
    def kafka(self) -> KafkaServer:
        return self._kafka

    @property
    def mongo(self) -> EmbeddedMongo:
        return self._mongo

    def log(self, name: str) -> Path:
        return self._children[name].log

    @property
    def processes(self) -> list[str]:
        return list(self._children)

    def admin(self, name: str) -> str:
        """Address of a service's health and metrics."""
        return f"http://127.0.0.1:{self._known[name].admin}"

    def alive(self, name: str) -> bool:
        return self._children[name].alive

    # -- breaking it ---------------------------------------------------------------------------------

    async def kill(self, name: str) -> None:
        """kill -9."""
        await asyncio.to_thread(self._children[name].kill)

    async def terminate(self, name: str, timeout: float = 30) -> int | None:
        """SIGTERM; the exit status, or None if it is still there after ``timeout`` seconds."""
        child = self._children[name]
        child.terminate()
        return await asyncio.to_thread(child.wait, timeout)

    async def start(self, name: str) -> None:
        """Start a process that ended, as the same replica; returns when it is ready."""
        role = self._known[name]
        assert not (name in self._children and self.alive(name)), f"{name} runs already"
        self._children[name] = Child.start(
            role.command,
            log=self.logs / f"{name}.jsonl",
            env=role.env,
            death_signal=signal.SIGKILL,
        )
        await self.ready(name)

    async def add_replica(self, of: str, replica: str) -> str:
        """One more process of a service; returns its name."""
        role, name, admin = self._known[of], f"{of}-{replica}", free_port()
        ports = {key: "0" for key in role.env if key.endswith("_PORT") and key != "WASL_SMTP_PORT"}
        own = {**ports, "WASL_ADMIN_PORT": str(admin), "WASL_REPLICA": replica}
        self._known[name] = replace(role, name=name, env={**role.env, **own}, admin=admin)
        await self.start(name)
        return name

    async def remove_replica(self, name: str) -> None:
        """Drain it away, so that its partitions go back at once."""
        if self.alive(name):
            assert await self.terminate(name) == 0
        del self._children[name], self._known[name]

    async def ready(self, *names: str, timeout: float = 60) -> None:
        """Wait until these processes (default: all) say they are ready."""
        async with httpx.AsyncClient(timeout=2, trust_env=False) as client:
            for name in names or [n for n in self._children if self._known[n].admin]:

                async def ok(name: str = name) -> bool:
                    assert self.alive(name), f"{name} ended; its log is {self.log(name)}"
                    with contextlib.suppress(httpx.HTTPError):
                        return (await client.get(f"{self.admin(name)}/readyz")).status_code == 200
                    return False

                await until(ok, timeout, 0.1)

    async def wipe_broker(self) -> None:
        """A broker that lost its disk: same address, no topics, no records, no groups."""
        await asyncio.to_thread(self.kafka.kill)
        shutil.rmtree(self.kafka.data_dir / "data")
        await asyncio.to_thread(self.kafka.start)
        await self._apply_topics()

    async def control(self, partner: str, **changes: Any) -> None:
        """Change a simulated partner's behaviour; see ``wasl_local.simulator``."""
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.post(f"{self.url(partner)}/control", json=changes)
            assert answer.status_code == 200, answer.text

    # -- looking inside ------------------------------------------------------------------------------

    @contextlib.contextmanager
    def database(self) -> Any:
        with MongoClient(self.mongo.uri, tz_aware=True, retryReads=True) as client:
            yield client

    def docs(self, service: str, collection: str) -> dict[str, dict[str, Any]]:
        """All documents of one collection of a service, by id."""
        with self.database() as client:
            rows = client[f"wasl_{DATABASES[service]}"][collection].find()
            return {row["_id"]: row for row in rows}

    def count(self, service: str, collection: str, where: Mapping[str, Any] | None = None) -> int:
        with self.database() as client:
            db = client[f"wasl_{DATABASES[service]}"]
            return int(db[collection].count_documents(dict(where or {})))

    async def seen(self, partner: str) -> dict[str, dict[str, Any]]:
        """A partner's own books: for each idempotency key, how often it came and what it became."""
        async with httpx.AsyncClient(trust_env=False) as client:
            keys: dict[str, dict[str, Any]] = (
                await client.get(f"{self.url(partner)}/seen")
            ).json()["keys"]
            return keys

    async def records(self, *topics: str) -> list[Record]:
        """Every record of these topics (default: all of ours, dead letters included)."""
        tps = await self._partitions(topics)
        async with self._reader() as consumer:
            ends = await consumer.end_offsets(tps)
            consumer.assign(tps)
            await consumer.seek_to_beginning(*tps)
            found: list[Record] = []

            async def done() -> bool:
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    found.extend(
                        Record(r.topic, r.partition, r.offset, r.key, r.value, tuple(r.headers))
                        for r in records
                    )
                positions = [await consumer.position(tp) for tp in tps]
                return all(p >= ends[tp] for tp, p in zip(tps, positions, strict=True))

            await until(done, 30, 0)
            return found

    async def _partitions(self, topics: Container[str]) -> list[TopicPartition]:
        """Those of the topics, or of all of ours. A consumer only knows topics it subscribes to."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka.bootstrap)
        await admin.start()
        try:
            return [
                TopicPartition(found["topic"], p["partition"])
                for found in await admin.describe_topics()
                if found["topic"].startswith("wasl.") and (not topics or found["topic"] in topics)
                for p in found["partitions"]
            ]
        finally:
            await admin.close()

    @contextlib.asynccontextmanager
    async def _reader(self) -> AsyncIterator[Any]:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.kafka.bootstrap, group_id=None, auto_offset_reset="earliest"
        )
        await consumer.start()
        try:
            yield consumer
        finally:
            await consumer.stop()

    async def publish(self, records: Iterable[tuple[str, bytes | None, bytes | None, Any]]) -> None:
        """(topic, key, value, headers), in this order."""
        producer = AIOKafkaProducer(bootstrap_servers=self.kafka.bootstrap, acks="all")
        await producer.start()
        try:
            for topic, key, value, headers in records:
                await producer.send(topic, value, key=key, headers=list(headers))
            await producer.flush()
        finally:
            await producer.stop()

    async def dead_letters(self, known: Container[tuple[str, int, int]] = ()) -> list[Record]:
        """Dead letters at other places than those ``known``."""
        topics = [s.dead_letter(c) for s in registry() for c in s.consumers]
        return [r for r in await self.records(*topics) if r.place not in known]

    async def unread(self) -> dict[str, int]:
        """Records a consumer group has not yet committed, by group and topic; empty: all caught up."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka.bootstrap)
        await admin.start()
        try:
            async with self._reader() as consumer:
                behind: dict[str, int] = {}
                for group, topics in _subscriptions().items():
                    offsets = await admin.list_consumer_group_offsets(group)
                    tps = await self._partitions(topics)
                    for tp, end in (await consumer.end_offsets(tps)).items():
                        committed = offsets[tp].offset if tp in offsets else 0
                        if end > max(committed, 0):
                            name = f"{group} {tp.topic}"
                            behind[name] = behind.get(name, 0) + end - max(committed, 0)
                return behind
        finally:
            await admin.close()

    def outboxes(self) -> dict[str, int]:
        """Events committed and not yet published, by service; empty: drained."""
        counts = dict.fromkeys(DATABASES.values(), 0)
        with self.database() as client:
            for name in counts:
                counts[name] = client[f"wasl_{name}"]["outbox"].count_documents({})
        return {name: count for name, count in counts.items() if count}

    def mails(self) -> list[tuple[str, str]]:
        """(Message-ID's local part, recipient) of every mail that was taken."""
        from email import message_from_bytes

        found = []
        for path in sorted(self.mail.directory.glob("*.eml")):
            message = message_from_bytes(path.read_bytes())
            found.append((message["Message-ID"].strip("<>").partition("@")[0], message["To"]))
        return found


def _subscriptions() -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for spec in registry():
        for consumer in spec.consumers:
            name = f"{consumer}.{spec.connector}" if spec.connector else consumer
            if name == "platform-gateway":
                name = f"{name}.{LOOKING}"
            groups.setdefault(f"wasl.{name}", []).append(spec.name)
    return groups


def body_of(record: Record) -> dict[str, Any]:
    """A record's event. Only for records that hold one."""
    event: dict[str, Any] = json.loads(record.value or b"")
    return event
