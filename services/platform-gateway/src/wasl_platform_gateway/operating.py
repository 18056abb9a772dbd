# SPDX-License-Identifier: Apache-2.0
"""What operators ask of the gateway: ledger rows, and the switch of each connector."""

import asyncio
import logging
import os
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field, SecretStr
from wasl_chassis.clock import Clock
from wasl_chassis.metrics import Metrics
from wasl_chassis.operating import (
    Command,
    Commands,
    Desk,
    Refused,
    Row,
    TraceLine,
    Trail,
)
from wasl_chassis.settings import Settings, read
from wasl_chassis.store import Store
from wasl_chassis.vault import Vault
from wasl_chassis.work import UnitOfWork
from wasl_connector_sdk import ConnectorError, Runtime, http
from wasl_connector_sdk.registry import RegistryError, load
from wasl_schemas.lifecycle import IllegalTransition, WatchState

from wasl_platform_gateway import repository
from wasl_platform_gateway.bootstrap import out_of_reach, read_config, read_pack, schedule_of
from wasl_platform_gateway.domain.ledger import Dispatch
from wasl_platform_gateway.domain.presence import Presence
from wasl_platform_gateway.domain.watch import Watch
from wasl_platform_gateway.metrics import METRICS
from wasl_platform_gateway.repository import LEDGER, WATCHES, Control, control_of
from wasl_platform_gateway.watching import WatchDesk

#: How long ``drain`` waits.
DRAIN_SECONDS = 600
_UNUSED = SecretStr("")


class ProbeSettings(Settings):
    """What ``wasl connectors test`` needs: the partner's address and nothing of ours."""

    kafka_bootstrap_servers: str = Field(default="", validation_alias="KAFKA_BOOTSTRAP_SERVERS")
    mongodb_uri: SecretStr = Field(default=_UNUSED, validation_alias="MONGODB_URI")
    master_key: SecretStr = _UNUSED
    pepper: SecretStr = _UNUSED
    connector_config: SecretStr = Field(
        default=SecretStr("{}"), description="JSON of the connector's settings; see its docs"
    )
    gateway_proxy: str | None = Field(default=None, pattern=r"^(https?|socks5)://")


class SightingSettings(Settings):
    """What ``wasl watches seen`` needs: when to look again."""

    kafka_bootstrap_servers: str = Field(default="", validation_alias="KAFKA_BOOTSTRAP_SERVERS")
    mongodb_uri: SecretStr = Field(default=_UNUSED, validation_alias="MONGODB_URI")
    master_key: SecretStr = _UNUSED
    pepper: SecretStr = _UNUSED
    country_pack: Path = Field(description="Directory of the country pack; it says when to look")
    watch_speed: float = Field(default=1, ge=1, description="As the watch has it")


async def trace(desk: Desk, trail: Trail) -> list[TraceLine]:
    wanted = sorted({trail.given, *trail.dispatches})
    rows = [LEDGER.decode(d) for d in (await desk.store.read(LEDGER, wanted)).values()]
    trail.cases |= {row.case_id for row in rows}
    trail.dispatches |= {row.dispatch_id for row in rows}
    paused = {c for c in {r.connector for r in rows} if (await control_of(desk.store, c)).paused}
    lines = [line for row in rows for line in _row(row, paused=row.connector in paused)]
    watched = await desk.store.read(WATCHES, sorted({trail.given, *trail.cases}))
    return lines + [line for doc in watched.values() for line in _watch(WATCHES.decode(doc))]


def _row(row: Dispatch, *, paused: bool) -> list[TraceLine]:
    words = (
        f"{row.partner} by {row.connector}",
        f"v{row.version}",
        f"attempts: {row.attempts}",
        row.reason,
        "connector paused" if paused else None,
    )
    detail = ", ".join(w for w in words if w)
    lines = []
    if row.sent_at is not None:
        lines.append(TraceLine(row.sent_at, "dispatch sent", row.dispatch_id, "", row.partner))
    lines.append(TraceLine(row.changed_at, "dispatch", row.dispatch_id, row.state.value, detail))
    if row.due_at is not None:
        lines.append(TraceLine(row.due_at, "dispatch due again", row.dispatch_id))
    return lines


def _watch(row: Watch) -> list[TraceLine]:
    detail = ", ".join(w for w in (f"v{row.version}", f"looks: {row.looks}", row.reason) if w)
    lines = [TraceLine(row.changed_at, "watch", row.case_id, row.state.value, detail)]
    if row.due_at is not None:
        lines.append(TraceLine(row.due_at, "watch due again", row.case_id))
    return lines


async def list_(desk: Desk, _: str) -> Sequence[Row]:
    return [
        {
            "connector": o.connector,
            "paused": o.paused,
            "since": o.since,
            "by": o.by,
            "pending": o.pending,
            "ambiguous": o.ambiguous,
            "open_circuits": list(o.open_circuits),
        }
        for o in await repository.overview(desk.store, desk.connectors)
    ]


async def pause(desk: Desk, name: str) -> Sequence[Row]:
    _known(desk, name)
    now = desk.clock.now()
    return [_switch(await repository.pause(desk.store, name, by=desk.operator, now=now))]


async def resume(desk: Desk, name: str) -> Sequence[Row]:
    _known(desk, name)
    now = desk.clock.now()
    return [_switch(await repository.resume(desk.store, name, by=desk.operator, now=now))]


async def show(desk: Desk, name: str) -> Sequence[Row]:
    _known(desk, name)
    return [
        {
            "partner": line.partner,
            "dispatches": [f"{state}: {count}" for state, count in line.states.items()],
            "oldest pending": line.oldest_pending,
            "last sent": line.last_sent,
            "circuit": line.circuit,
        }
        for line in await repository.lines(desk.store, name, desk.clock.now())
    ]


async def drain(desk: Desk, name: str) -> Sequence[Row]:
    _known(desk, name)
    for _ in range(DRAIN_SECONDS):
        left = await repository.unsent(desk.store, name)
        if not left:
            return await pause(desk, name)
        await desk.clock.sleep(1)
    raise Refused(
        f"{left} dispatches of '{name}' still wait after {DRAIN_SECONDS} s and nothing was paused; "
        f"'wasl connectors show {name}' says why they wait"
    )


async def test(desk: Desk, name: str) -> Sequence[Row]:
    _known(desk, name)
    settings = read(ProbeSettings)
    try:
        connector = load(name)
    except RegistryError as error:
        raise Refused(str(error)) from None
    config = read_config(connector, settings.connector_config.get_secret_value())
    client = http.client(
        proxy=settings.gateway_proxy,
        forbidden=out_of_reach(connector, config),
    )
    outcome = "reachable"
    async with client:
        runtime = Runtime(client, desk.clock, logging.getLogger("wasl.connector.test"))
        async with connector.open(config, runtime) as opened:
            try:
                async with asyncio.timeout(30):
                    await opened.check()
            except ConnectorError as error:
                outcome = error.reason
            except TimeoutError:
                outcome = "no_answer"
    return [{"connector": name, "mode": "live" if config.live else "test", "check": outcome}]


def _known(desk: Desk, name: str) -> None:
    if name not in desk.connectors:
        known = ", ".join(desk.connectors)
        raise Refused(f"no connector '{name}' in this deployment; WASL_CONNECTORS names {known}")


def _switch(c: Control) -> Row:
    return {"connector": c.connector, "paused": c.paused, "since": c.since, "by": c.by}


# -- watches -----------------------------------------------------------------------------------


async def waiting(desk: Desk, _: str) -> Sequence[Row]:
    where = {"state": WatchState.MANUAL.value}
    docs = await desk.store.find(WATCHES, where, sort=(("changed_at", 1),), limit=100)
    return [
        {"case": row.case_id, "since": row.changed_at, "reason": row.reason, "looks": row.looks}
        for row in map(WATCHES.decode, docs)
    ]


async def watch(desk: Desk, case_id: str) -> Sequence[Row]:
    doc = (await desk.store.read(WATCHES, (case_id,))).get(case_id)
    if doc is None:
        raise Refused(f"no item of case '{case_id}' is or was followed")
    return [_watched(WATCHES.decode(doc))]


async def sighting(desk: Desk, entry: str) -> Sequence[Row]:
    case_id, _, word = entry.partition("=")
    if word not in ("gone", "online"):
        raise Refused(f"'{entry}' is no sighting; write CASE=gone or CASE=online")
    settings = read(SightingSettings)
    schedule = schedule_of(read_pack(settings.country_pack), settings.watch_speed)
    try:
        row = await WatchDesk(_Hub(desk), schedule).seen(case_id, Presence(word))
    except IllegalTransition as error:
        raise Refused(str(error)) from None
    if row is None:
        raise Refused(f"no item of case '{case_id}' is or was followed")
    return [_watched(row)]


def _watched(row: Watch) -> Row:
    return {
        "case": row.case_id,
        "state": row.state.value,
        "reason": row.reason,
        "since": row.changed_at,
        "looks": row.looks,
        "due": row.due_at,
    }


class _Hub:
    """The service's database without the service; its relay publishes what is written here."""

    def __init__(self, desk: Desk) -> None:
        self.store: Store = desk.store
        self.clock: Clock = desk.clock
        self.metrics = Metrics(METRICS)
        # Nothing is sealed or opened here, so no master key is asked of the operator.
        self._vault = Vault({"none": os.urandom(32)})

    def unit(self) -> UnitOfWork:
        return UnitOfWork(self.store, self.clock, "/wasl/platform-gateway", self._vault)

    async def commit(self, uow: UnitOfWork) -> None:
        await self.store.commit(uow.changes())


WATCHING: Commands = (
    Command(
        "list",
        "What a person must look at, the longest waiting first. Addresses are on the watch's "
        "own route, GET /internal/watches.",
        waiting,
    ),
    Command("show", "One case's watch: what was seen, and when it is looked at.", watch, "CASE"),
    Command(
        "seen",
        "Enter what a person saw at the address, CASE=gone or CASE=online. Needs "
        "WASL_COUNTRY_PACK, and WASL_WATCH_SPEED where the watch has it.",
        sighting,
        "CASE=SEEN",
    ),
)
CONNECTORS: Commands = (
    Command(
        "list",
        "Each connector's switch, how many requests wait, how many a person must look at "
        "(ambiguous), and partners it does not call for now (open circuits).",
        list_,
    ),
    Command(
        "pause",
        "Stop calling a connector's partners, within a second. Requests are still taken in and "
        "answers still heard; nothing is lost.",
        pause,
        "NAME",
    ),
    Command("resume", "Send again, and what has waited too.", resume, "NAME"),
    Command(
        "show",
        "Each partner behind a connector: its dispatches by state, the oldest that waits, when "
        "one last went out, and whether its circuit is open.",
        show,
        "NAME",
    ),
    Command(
        "drain",
        "Wait until everything that is due has gone out (10 minutes at most), then pause.",
        drain,
        "NAME",
    ),
    Command(
        "test",
        "Ask the partner whether it is there and knows us, with the connector's settings "
        "(WASL_CONNECTOR_CONFIG or WASL_CONNECTOR_CONFIG_FILE). Never makes a report.",
        test,
        "NAME",
    ),
)
