# SPDX-License-Identifier: Apache-2.0
"""The gateway's piece of the operators' command: ledger rows, and the switch of each connector."""

import asyncio
import logging
from collections.abc import Sequence

from pydantic import Field, SecretStr
from wasl_chassis.operating import (
    Command,
    CommandGroup,
    Desk,
    Operations,
    Refused,
    Row,
    TraceLine,
    Trail,
)
from wasl_chassis.settings import Settings, read
from wasl_connector_sdk import ConnectorError, Runtime, http
from wasl_connector_sdk.registry import RegistryError, load

from wasl_platform_gateway import repository
from wasl_platform_gateway.bootstrap import out_of_reach, read_config
from wasl_platform_gateway.domain.ledger import Dispatch
from wasl_platform_gateway.repository import LEDGER, Control, control_of
from wasl_platform_gateway.settings import GatewaySettings

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


async def trace(desk: Desk, trail: Trail) -> list[TraceLine]:
    wanted = sorted({trail.given, *trail.dispatches})
    rows = [LEDGER.decode(d) for d in (await desk.store.read(LEDGER, wanted)).values()]
    trail.cases |= {row.case_id for row in rows}
    trail.dispatches |= {row.dispatch_id for row in rows}
    paused = {c for c in {r.connector for r in rows} if (await control_of(desk.store, c)).paused}
    return [line for row in rows for line in _row(row, paused=row.connector in paused)]


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


CONNECTORS = CommandGroup(
    "connectors",
    "The connectors of this deployment: see, pause, resume, drain, test.",
    (
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
    ),
)
OPERATIONS = Operations(
    "platform-gateway", GatewaySettings, trace, (CONNECTORS,), database="gateway"
)
