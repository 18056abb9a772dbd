# SPDX-License-Identifier: Apache-2.0
"""All processes of the hub on this machine: started in order, watched, stopped in order.

Whatever ends the launcher, nothing it started is left: it stops its children on the way out, and
if it is killed the kernel ends them. ``KAFKA_BOOTSTRAP_SERVERS`` and ``MONGODB_URI`` name servers
to use instead of the embedded ones.
"""

import asyncio
import base64
import hashlib
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, get_args

import httpx
from wasl_chassis.topics_admin import TopicAdmin, wanted
from wasl_intake.domain import api_key
from wasl_intake.domain.submission import ChannelWord
from wasl_schemas.topics import BUILT_IN_CONNECTORS, registry

from wasl_local import connectors, secrets
from wasl_local.mail import MailSink
from wasl_local.processes import Child, last_line, last_lines
from wasl_local.servers import LOOPBACK, EmbeddedKafka, EmbeddedMongo, Server, free_port
from wasl_local.settings import LocalSettings

#: The staff of the local run: two scripts stand in for two people.
ANALYST, REVIEWER = "demo-analyst", "demo-reviewer"
_STAFF = {
    ANALYST: ["analyst", "child_safety"],
    REVIEWER: ["analyst", "legal_reviewer", "child_safety"],
}
#: Accounts of the desk's pages. Nobody has them until somebody uses the invitation; with the two a
#: developer reaches every page, a second look at their own decision included.
ACCOUNTS = {
    "analyst": "analyst,counsellor,child_safety",
    "supervisor": "supervisor,legal_reviewer,rules_manager,data_officer,administrator,child_safety",
}
#: Settings of the hub that the launcher hands on from its own environment.
_HANDED_ON = ("WASL_LOG_LEVEL", "WASL_MONGO_DRIVER", "WASL_TRACING")
_GRACE = 30.0
Tell = Callable[[str, str], None]


class StackError(Exception):
    """Which process could not be started, or ended, and the last thing it said."""


@dataclass(frozen=True)
class Role:
    """One process. ``admin``: the port on which it says whether it is ready; None: it has none."""

    name: str
    command: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    admin: int | None = None


class Stack:
    """``async with Stack(settings, folder, tell)``; ``folder`` holds the data of this run."""

    def __init__(self, settings: LocalSettings, folder: Path, tell: Tell) -> None:
        self.settings = settings
        self.folder = folder
        self.logs = settings.directory / "logs"
        self.mail = MailSink(folder / "mail")
        self._tell = tell
        #: Settings of connectors that this run has besides, or instead of, the simulated ones.
        self.connectors = connectors.read(settings.connectors)
        self._kafka = EmbeddedKafka(folder / "kafka", settings.kafka_port)
        self._mongo = EmbeddedMongo(folder / "mongo", settings.mongo_port)
        self._servers: list[Server] = []
        self._bootstrap = os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "")
        self._mongodb = os.environ.get("MONGODB_URI", "")
        self._mail_open = False
        self._children: dict[str, Child] = {}
        self._ports = {
            "intake": settings.intake_port or free_port(),
            "triage": settings.triage_port or free_port(),
            **{name: free_port() for name in ("notify", "gateway", "hotline", "platforms")},
        }

    # -- what the demo needs to know ---------------------------------------------------------------

    def url(self, name: str) -> str:
        """Address of intake, triage, notify, or of a simulated partner (hotline, platforms)."""
        return f"http://{LOOPBACK}:{self._ports[name]}"

    def token(self, person: str) -> str:
        """The bearer token of one of the staff."""
        return self.secret(f"token-{person}")

    @property
    def api_key(self) -> str:
        """The key whose holder may name any channel, as the samples do."""
        return self._api_key("api-key")

    @property
    def simulates_partners(self) -> bool:
        """Whether what the demo needs is behind every built-in connector."""
        return self.connectors.keys().isdisjoint(BUILT_IN_CONNECTORS)

    async def trace(self, receipt: str) -> list[str]:
        """The cases of a report, from the operators' command."""
        status, out, _ = await self._wasl("report", "trace", "-", given=f"{receipt}\n")
        return list(json.loads(out)["cases"]) if status == 0 else []

    async def invitations(self) -> dict[str, str]:
        """A fresh invitation for each of :data:`ACCOUNTS` that nobody has taken over yet.

        It is made by the operators' command, works once and is kept nowhere. Raises StackError.
        """
        taken = {row["name"] for row in await self._rows("list") if row["state"] != "invited"}
        found = {}
        for name, roles in ACCOUNTS.items():
            if name not in taken:
                rows = await self._rows("invite", name, "--roles", roles)
                found[name] = next(str(r["value"]) for r in rows if r["what"] == "invitation")
        return found

    async def _rows(self, *arguments: str) -> list[dict[str, Any]]:
        status, out, error = await self._wasl("people", *arguments)
        if status != 0:
            raise StackError(f"`wasl people {arguments[0]}` ended with status {status}: {error}")
        rows: list[dict[str, Any]] = json.loads(out)
        return rows

    async def _wasl(self, *arguments: str, given: str = "") -> tuple[int, str, str]:
        """The operators' command, told to answer in JSON: status and what it printed."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "wasl_cli", *arguments, "--json"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self._environment(),
        )
        out, error = await process.communicate(given.encode())
        return process.returncode or 0, out.decode(), error.decode().strip()

    def watch(self) -> None:
        """Raises :class:`StackError` when a process has ended."""
        for name, child in self._children.items():
            if not child.alive:
                raise StackError(f"{name} ended with status {child.returncode}: {said(child.log)}")
        for server in self._servers:
            if not server.alive:
                raise StackError(f"{server.name} ended: {last_line(server.log)}")

    # -- start and stop ----------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await asyncio.shield(self._stop())
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.shield(self._stop())

    async def _start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        await self._start_servers()
        done = await self._apply_topics()
        self._tell("topics", f"{done} created" if done else "in place")
        await asyncio.to_thread(self.mail.__enter__)
        self._mail_open = True
        roles = self._roles()
        for role in roles:
            log = self.logs / f"{role.name}.jsonl"
            log.unlink(missing_ok=True)
            self._children[role.name] = Child.start(
                role.command, log=log, env=role.env, death_signal=signal.SIGKILL
            )
        async with httpx.AsyncClient(timeout=2, trust_env=False) as client:
            await asyncio.gather(*(self._await_ready(client, role) for role in roles))

    async def _start_servers(self) -> None:
        wanted_servers: list[Server] = []
        if not self._bootstrap:
            self._bootstrap = self._kafka.bootstrap
            wanted_servers.append(self._kafka)
        if not self._mongodb:
            self._mongodb = self._mongo.uri
            wanted_servers.append(self._mongo)
        self._servers = wanted_servers
        jobs = [asyncio.to_thread(server.start) for server in wanted_servers]
        # All of them to the end: one that is half started could not be stopped.
        results = await asyncio.shield(asyncio.gather(*jobs, return_exceptions=True))
        for result in results:
            if isinstance(result, BaseException):
                raise result
            self._tell(result.name, f"{LOOPBACK}:{result.port}")

    async def _apply_topics(self) -> int:
        async with TopicAdmin(self._bootstrap) as admin:
            return len(await admin.apply(wanted(registry(self._names))))

    async def _await_ready(self, client: httpx.AsyncClient, role: Role) -> None:
        deadline = asyncio.get_running_loop().time() + self.settings.start_timeout
        answer = "no answer yet"
        while role.admin is not None:
            self.watch()
            try:
                response = await client.get(f"http://{LOOPBACK}:{role.admin}/readyz")
            except httpx.HTTPError:
                pass
            else:
                if response.status_code == 200:
                    break
                checks: dict[str, Any] = response.json()["checks"]
                answer = "; ".join(f"{k}: {v['detail']}" for k, v in checks.items() if not v["ok"])
            if asyncio.get_running_loop().time() > deadline:
                last = said(self._children[role.name].log)
                raise StackError(f"{role.name} is not ready ({answer}); it said: {last}")
            await asyncio.sleep(0.1)
        self._tell(role.name, "ready")

    async def _stop(self) -> None:
        """Services first, then what they lean on. Each gets its time to finish."""
        for child in self._children.values():
            child.terminate()
        for child in self._children.values():
            await asyncio.to_thread(child.stop, _GRACE)
        self._children.clear()
        if self._mail_open:
            await asyncio.to_thread(self.mail.__exit__)
            self._mail_open = False
        await asyncio.gather(*(asyncio.to_thread(server.stop) for server in self._servers))

    # -- the processes -----------------------------------------------------------------------------

    def secret(self, name: str) -> str:
        return secrets.key(self.settings.directory / "secrets", name)

    @property
    def _names(self) -> list[str]:
        """Every connector of this run."""
        return list(dict.fromkeys([*BUILT_IN_CONNECTORS, *self.connectors]))

    def _webhook_secret(self, name: str) -> str:
        return f"whsec_{self.secret(name)}"

    def _api_key(self, name: str) -> str:
        return api_key.spelt(base64.b64decode(self.secret(name))[: api_key.SIZE])

    def _holders(self) -> dict[str, Any]:
        """Whom intake knows: the samples, and the desk for people who call or chat."""
        return {
            "demo": {
                "sha256": api_key.digest(self.api_key),
                "channels": get_args(ChannelWord),
                "scopes": ["report", "xarf", "batch"],
            },
            "desk": {
                "sha256": api_key.digest(self._api_key("desk-key")),
                "channels": ["phone", "chat"],
                "scopes": ["report"],
            },
        }

    def _roles(self) -> list[Role]:
        staff = [
            {
                "name": n,
                "roles": r,
                "sha256": hashlib.sha256(self.token(n).encode()).hexdigest(),
                "machine": True,
            }
            for n, r in _STAFF.items()
        ]
        notify = {
            "WASL_NOTIFY_PORT": str(self._ports["notify"]),
            "WASL_NOTIFY_SPOOL": str(self.folder / "spool"),
            "WASL_NOTIFY_HOLD_SECONDS": "1",
            "WASL_NOTIFY_SETTLE_SECONDS": "1",
            "WASL_SMTP_HOST": LOOPBACK,
            "WASL_SMTP_PORT": str(self.mail.port),
            "WASL_SMTP_STARTTLS": "never",
            "WASL_SMTP_FROM": "info@example.org",
        }
        quick = {"retry_seconds": [0.5, 1, 2, 5, 10, 30], "poll_seconds": [1]}
        hotline = {
            **quick,
            "base_url": self.url("hotline"),
            "token": self.secret("hotline"),
        }
        platforms = {
            **quick,
            "default": {
                "url": f"{self.url('platforms')}/webhook",
                "secret": self._webhook_secret("platforms"),
            },
        }
        partners = {
            "reference": self._partner("hotline", "reference", "--mode", "remove", "--delay", "2"),
            "webhook": self._partner(
                "platforms", "webhook", "--mode", "mixed", "--delay", "1",
                "--callback-url", f"{self.url('gateway')}/callbacks/webhook",
            ),
        }  # fmt: skip
        # Tests and trials send in a minute what a country sends in a week.
        intake = {
            "WASL_INTAKE_PORT": str(self._ports["intake"]),
            "WASL_INTAKE_SPOOL": str(self.folder / "intake-spool"),
            "WASL_INTAKE_API_KEYS": json.dumps(self._holders()),
            "WASL_INTAKE_FLOOD_RATE": "100000",
            "WASL_INTAKE_FLOOD_SIMILAR": "100000",
        }
        configs = {"reference": hotline, "webhook": platforms, **self.connectors}
        return [
            self._service("intake", "wasl_intake", **intake),
            self._service(
                "triage",
                "wasl_triage",
                WASL_TRIAGE_PORT=str(self._ports["triage"]),
                WASL_TRIAGE_STAFF=json.dumps(staff),
                WASL_TRIAGE_PUBLIC_URL=self.url("triage"),
                WASL_TRIAGE_INTAKE_URL=self.url("intake"),
                WASL_TRIAGE_INTAKE_KEY=self._api_key("desk-key"),
            ),
            self._service("notify", "wasl_notify", **notify),
            *(self._gateway(name, config) for name, config in configs.items()),
            self._service(
                "gateway-watch",
                "wasl_platform_gateway",
                "--watch",
                WASL_WATCH_CONTACT="mailto:info@example.org",
                WASL_WATCH_HOSTS=self.settings.watch_hosts,
            ),
            *(role for name, role in partners.items() if name not in self.connectors),
        ]

    def _service(self, name: str, module: str, *arguments: str, **env: str) -> Role:
        admin = free_port()
        env["WASL_ADMIN_PORT"] = str(admin)
        command = (sys.executable, "-m", module, *arguments)
        return Role(name, command, {**self._environment(), **env}, admin)

    def _environment(self) -> dict[str, str]:
        """What every service and the ``wasl`` command need."""
        return {
            **_base_environment(),
            "KAFKA_BOOTSTRAP_SERVERS": self._bootstrap,
            "MONGODB_URI": self._mongodb,
            "WASL_MASTER_KEY": self.secret("master_key"),
            "WASL_PEPPER": self.secret("pepper"),
            "WASL_COUNTRY_PACK": str(self.settings.country_pack),
            "WASL_CONNECTORS": ",".join(self._names),
        }

    def _gateway(self, connector: str, config: Mapping[str, Any]) -> Role:
        env = {"WASL_GATEWAY_PORT": str(self._ports["gateway"])} if connector == "webhook" else {}
        return self._service(
            f"gateway-{connector}",
            "wasl_platform_gateway",
            "--connector",
            connector,
            WASL_CONNECTOR_CONFIG=json.dumps(config, default=str),
            **env,
        )

    def _partner(self, name: str, protocol: str, *arguments: str) -> Role:
        command = (
            sys.executable, "-m", "wasl_local.simulator", "--protocol", protocol,
            "--port", str(self._ports[name]), *arguments,
        )  # fmt: skip
        env = {
            **_base_environment(),
            "WASL_SIMULATOR_SECRET": self._webhook_secret(name),
            "WASL_SIMULATOR_TOKEN": self.secret(name),
        }
        return Role(f"partner-{name}", command, env)


def said(log: Path) -> str:
    """What a service wrote last, in words: a log line, or the plain lines of a refused start."""
    plain: list[str] = []
    for line in reversed(last_lines(log)):
        try:
            record: dict[str, Any] = json.loads(line)
        except ValueError:
            plain.insert(0, line)
            continue
        if plain:
            break
        detail = [str(record[key]) for key in ("reason", "error") if key in record]
        return " ".join([str(record.get("msg", line)), *(f"({d})" for d in detail)])
    return "\n".join(plain[-6:]) or "it printed nothing"


def _base_environment() -> dict[str, str]:
    """Our own environment without what could configure a service by accident."""
    ours = ("WASL_", "KAFKA_", "MONGODB_")
    kept = {name: os.environ[name] for name in _HANDED_ON if name in os.environ}
    return {k: v for k, v in os.environ.items() if not k.startswith(ours)} | kept
