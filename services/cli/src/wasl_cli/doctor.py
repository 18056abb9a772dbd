# SPDX-License-Identifier: Apache-2.0
"""``wasl doctor``: is this environment fit to run the hub? Each finding comes with its fix.

Leaves nothing behind: the write check inserts and deletes one document in one transaction. Kafka's
clock is not asked, because producers stamp their records themselves.
"""

import base64
import difflib
import os
import secrets
import stat
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from aiokafka.protocol.admin import ApiVersionRequest
from wasl_chassis.clock import SystemClock
from wasl_chassis.failures import Failure, Retryable
from wasl_chassis.mongo import MongoStore, ServerInfo
from wasl_chassis.operating import Operations, loaded
from wasl_chassis.settings import (
    PREFIX,
    Settings,
    SettingsError,
    key_bytes,
    read,
    variable,
)
from wasl_chassis.store import Changes, Collection
from wasl_chassis.topics_admin import TopicAdmin, wanted
from wasl_chassis.vault import KEYS
from wasl_schemas.country_pack import CountryPackError, load_country_pack
from wasl_schemas.ids import uuid7

from wasl_cli import output, running
from wasl_cli.output import AsJson
from wasl_cli.settings import BrokerSettings, StoreSettings, topics_of

PACK = "WASL_COUNTRY_PACK"
#: Leases of half a minute are given by each process's own clock.
SKEW_WARN, SKEW_FAIL = timedelta(seconds=1), timedelta(seconds=10)
#: Fetch version → the first Kafka release that speaks it.
_RELEASES = {11: "2.3", 12: "2.7", 13: "3.1", 14: "3.5", 15: "3.5", 16: "3.7", 17: "3.9", 18: "4.1"}
_FETCH, _INIT_PRODUCER_ID = 1, 22


class Level(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    level: Level
    check: str
    what: str
    fix: str = ""


def _ok(check: str, what: str) -> Finding:
    return Finding(Level.OK, check, what)


def _warn(check: str, what: str, fix: str) -> Finding:
    return Finding(Level.WARN, check, what, fix)


def _fail(check: str, what: str, fix: str) -> Finding:
    return Finding(Level.FAIL, check, what, fix)


def build(operations: Sequence[Operations]) -> Callable[..., None]:
    @running.told
    def doctor(
        *,
        new_key: Annotated[
            bool, typer.Option("--new-key", help="Print a fresh key for a secret, and do no check.")
        ] = False,
        json: AsJson = False,
    ) -> None:
        """Check settings, secrets, country pack, broker, topics, database and clock.

        Each finding comes with its fix. Exit status 1 if one is 'fail'.
        """
        if new_key:
            typer.echo(base64.b64encode(secrets.token_bytes(32)).decode())
            return

        async def work() -> list[Finding]:
            return [finding async for finding in examine(operations)]

        found = running.run(work())
        if json:
            output.as_json([asdict(f) for f in found])
        else:
            _print(found)
        if any(f.level is Level.FAIL for f in found):
            raise typer.Exit(running.WRONG)

    return doctor


def _print(found: Sequence[Finding]) -> None:
    colours = {Level.OK: typer.colors.GREEN, Level.WARN: typer.colors.YELLOW}
    for f in found:
        mark = typer.style(f"{f.level.value:<5}", fg=colours.get(f.level, typer.colors.RED))
        typer.echo(f"{mark} {f.check:<12} {output.plain(f.what)}")
        if f.fix:
            typer.echo(f"{'':19}fix: {output.plain(f.fix)}")


async def examine(operations: Sequence[Operations]) -> AsyncIterator[Finding]:
    """Every check that can be made; one that fails does not hide the next."""
    for check in (_settings(operations), _typos(operations), _secrets(operations), _pack()):
        for finding in check:
            yield finding
    try:
        broker = read(BrokerSettings)
        topics_of(broker)
    except SettingsError:
        yield _warn("broker", "not checked", "mend the settings first")
    else:
        async for finding in _broker(broker):
            yield finding
    try:
        stores = read(StoreSettings)
    except SettingsError:
        yield _warn("database", "not checked", "mend the settings first")
    else:
        async for finding in _database(stores, operations):
            yield finding


# -- this environment -----------------------------------------------------------------------------


def _problems(cls: type[Settings]) -> list[str]:
    try:
        read(cls)
    except SettingsError as error:
        return str(error).splitlines()
    return []


def _settings(operations: Sequence[Operations]) -> list[Finding]:
    shared = _problems(Settings)
    found = [_fail("settings", line, "set it where this command runs") for line in shared]
    whose: dict[str, tuple[str, list[str]]] = {}
    for piece in operations:
        for line in _problems(loaded(piece.settings)):
            if line not in shared:
                # Services describe the same variable in their own words.
                whose.setdefault(line.split(" (")[0], (line, []))[1].append(piece.service)
    for line, services in whose.values():
        if " is not set" in line:
            fix = f"for {', '.join(services)} only: make sure it is set where that runs"
            found.append(_warn("settings", line, fix))
        else:
            found.append(_fail("settings", line, f"mend it for {', '.join(services)}"))
    try:
        topics_of(read(BrokerSettings))
    except SettingsError as error:
        if str(error).startswith("WASL_CONNECTORS"):
            found.append(_fail("settings", str(error), "list connectors' names, comma separated"))
    if not shared:
        settings = read(Settings)
        if key_bytes(settings.master_key) == key_bytes(settings.pepper):
            fix = "give each its own ('wasl doctor --new-key'); never change a pepper in use"
            found.append(_fail("settings", "WASL_MASTER_KEY and WASL_PEPPER are the same", fix))
    unique = list(dict.fromkeys(found))
    return unique or [_ok("settings", "every variable is set and right")]


def _variables(operations: Sequence[Operations]) -> set[str]:
    classes: list[type[Settings]] = [Settings, *(loaded(o.settings) for o in operations)]
    return {variable(cls, name) for cls in classes for name in cls.model_fields}


def _typos(operations: Sequence[Operations]) -> list[Finding]:
    """Variables that look like one of ours and are none: a default stands for what was meant."""
    known = _variables(operations)
    known |= {f"{name}_FILE" for name in known}
    found = []
    for name in sorted(n for n in set(os.environ) - known if n.startswith(PREFIX)):
        close = difflib.get_close_matches(name, sorted(known), 1, 0.88)
        if close:
            fix = f"did you mean {close[0]}?"
            found.append(_warn("settings", f"{name} is no setting of this hub", fix))
    return found


def _secrets(operations: Sequence[Operations]) -> list[Finding]:
    """Files that hold secrets must not be everybody's to read."""
    found = []
    for variable_ in sorted(_variables(operations)):
        name = f"{variable_}_FILE"
        path = os.environ.get(name)
        if not path or variable_ == "WASL_REPLICA":  # a name, not a secret
            continue
        try:
            mode = stat.S_IMODE(Path(path).stat().st_mode)
        except OSError as error:
            what = f"{name}: cannot look at {path} ({error.strerror})"
            found.append(_fail("secrets", what, "mount the secret there"))
            continue
        if mode & 0o077:
            what = f"{name}: {path} can be used by others (mode {mode:04o})"
            found.append(_warn("secrets", what, f"chmod 0400 {path}, owned by the service's user"))
        else:
            found.append(_ok("secrets", f"{name}: mode {mode:04o}"))
    return found


def _pack() -> list[Finding]:
    path = os.environ.get(PACK)
    if not path:
        return [_warn("country pack", f"{PACK} is not set, not checked", "set it and run again")]
    try:
        pack = load_country_pack(Path(path))
    except CountryPackError as error:
        fix = "mend the file it names"
        return [_fail("country pack", line, fix) for line in str(error).splitlines()]
    return [_ok("country pack", f"{path}: {len(pack.categories)} categories")]


# -- Kafka ----------------------------------------------------------------------------------------


async def _broker(settings: BrokerSettings) -> AsyncIterator[Finding]:
    where = settings.kafka_bootstrap_servers
    try:
        brokers, versions = await _cluster(where)
    except (KafkaError, OSError, TimeoutError, ValueError) as error:
        fix = "check KAFKA_BOOTSTRAP_SERVERS (host:port) and that the broker runs"
        yield _fail("broker", f"{where} does not answer ({type(error).__name__})", fix)
        return
    fetch = versions.get(_FETCH, 0)
    like = next((r for v, r in sorted(_RELEASES.items(), reverse=True) if v <= fetch), None)
    speaks = f"speaks the protocol of Kafka {like} (Fetch v{fetch})" if like else f"Fetch v{fetch}"
    yield _ok("broker", f"{where}: {brokers} broker{'s' if brokers != 1 else ''}, {speaks}")
    if _INIT_PRODUCER_ID not in versions:
        fix = "use a broker with idempotent producers, Kafka 2.3 or later"
        yield _fail("broker", "it cannot acknowledge records without duplicates", fix)
    async for finding in _topics(settings):
        yield finding


async def _cluster(bootstrap: str) -> tuple[int, dict[int, int]]:
    """How many brokers, and the highest version of each request they understand."""
    client = AIOKafkaClient(bootstrap_servers=bootstrap, request_timeout_ms=10_000)
    try:
        await client.bootstrap()
        answer = await client.send(client.get_random_node(), ApiVersionRequest())
        return len(client.cluster.brokers()), {row[0]: row[2] for row in answer.api_versions}
    finally:
        await client.close()


async def _topics(settings: BrokerSettings) -> AsyncIterator[Finding]:
    topics = wanted(topics_of(settings))
    try:
        async with TopicAdmin(settings.kafka_bootstrap_servers) as admin:
            drifts = await admin.diff(topics)
    except (Failure, KafkaError, TimeoutError) as error:
        yield _fail("topics", f"not checked ({type(error).__name__})", "see the broker's finding")
        return
    missing = [d for d in drifts if d.what == "topic"]
    if missing:
        yield _fail("topics", f"{len(missing)} of {len(topics)} are missing", "wasl topics apply")
    for drift in drifts:
        if drift.what != "topic":
            yield _warn("topics", str(drift), "wasl topics apply")
    if not drifts:
        yield _ok("topics", f"{len(topics)} as they should be")


# -- MongoDB --------------------------------------------------------------------------------------


async def _database(
    settings: StoreSettings, operations: Sequence[Operations]
) -> AsyncIterator[Finding]:
    clock = SystemClock()
    try:
        async with running.store_of(settings, f"{settings.database_prefix}_vault") as store:
            before = clock.now()
            info = await store.about()
            after = clock.now()
    except (Failure, SettingsError) as error:
        away = isinstance(error, Retryable)
        fix = "check MONGODB_URI and that the server runs" if away else "mend MONGODB_URI"
        yield _fail("database", f"does not answer ({error})", fix)
        return
    for finding in _server(info):
        yield finding
    if info.replica_set is not None:
        yield await _writable(settings, operations)
    skew = abs(info.now - (before + (after - before) / 2)) - (after - before) / 2
    skew = max(skew, timedelta(0))
    what = f"{skew.total_seconds():.1f} s from the database's"
    fix = "synchronise both machines' clocks (NTP)"
    if skew > SKEW_FAIL:
        yield _fail("clock", what, fix)
    elif skew > SKEW_WARN:
        yield _warn("clock", what, fix)
    else:
        yield _ok("clock", what)


def _server(info: ServerInfo) -> list[Finding]:
    if info.replica_set is None:
        fix = "start mongod with --replSet and run rs.initiate(); one member is enough"
        return [_fail("database", f"MongoDB {info.version} is no replica set", fix)]
    if not info.primary:
        fix = "wait for an election, or name every member in MONGODB_URI with replicaSet="
        return [_warn("database", "the member that answered is not the primary", fix)]
    return [_ok("database", f"MongoDB {info.version}, replica set '{info.replica_set}'")]


async def _writable(settings: StoreSettings, operations: Sequence[Operations]) -> Finding:
    """A transaction in every database of the hub."""
    leases: Collection[Any] = Collection("leases", str, lambda _: {}, lambda doc: doc)
    for database in [piece.database_of(settings) for piece in operations]:
        async with running.store_of(settings, database) as store:
            try:
                await _touch(store, leases)
                await _touch(store, KEYS)
            except Failure as error:
                what = f"cannot write to '{database}' or the vault ({error})"
                fix = "give the user of MONGODB_URI the role readWrite on both"
                return _fail("database", what, fix)
    return _ok("database", f"may write to {len(operations)} services' databases and the vault")


async def _touch(store: MongoStore, collection: Collection[Any]) -> None:
    key = f"doctor-{uuid7()}"
    doc = {"_id": key, "_rev": 1}
    await store.commit(Changes(inserts={collection: [doc]}, deletes={collection: [(key, 1)]}))
