# SPDX-License-Identifier: Apache-2.0
"""Real servers of partners, from .wasl/partners (tests/partners/install.py puts them there).

Where one is missing, the tests that need it skip and say why.
"""

import base64
import hashlib
import hmac
import json
import os
import secrets
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from wasl_local.servers import LOOPBACK, Server, run

PARTNERS = Path(__file__).resolve().parents[2] / ".wasl" / "partners"


def installed(name: str) -> Path:
    """Where a server was installed; skips the test, with the reason, where it was not."""
    home, failed = PARTNERS / name, PARTNERS / f"{name}.failed"
    if failed.exists():
        pytest.skip(failed.read_text())
    if not (home / "installed").exists():
        pytest.skip(f"{name} is missing; run `make test-partners`")
    return home


def program(home: Path, name: str) -> str:
    """One of this machine's programs that ``home`` was installed with."""
    link = home / "bin" / name
    if not link.exists():
        pytest.skip(f"{name} is gone from this machine; run `make test-partners`")
    return str(link.readlink())  # not resolved: one program may go by several names


class Synapse(Server):
    """Synapse on SQLite, alone: it federates with nobody."""

    name = "synapse"
    server_name = "hs.example"

    def __init__(self, home: Path, data_dir: Path, **features: bool) -> None:
        super().__init__(data_dir)
        self._python = home / "bin" / "python"
        self._features = features
        self._secret = secrets.token_hex(16)
        self.http = httpx.Client(base_url=self.url, timeout=30, trust_env=False)

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def register(self, name: str, *, admin: bool = False) -> str:
        """A new account; returns its access token."""
        path = "/_synapse/admin/v1/register"
        nonce = self.http.get(path).raise_for_status().json()["nonce"]
        password = secrets.token_hex(16)
        kind = "admin" if admin else "notadmin"
        signed = f"{nonce}\0{name}\0{password}\0{kind}".encode()
        body = {
            "nonce": nonce, "username": name, "password": password, "admin": admin,
            "mac": hmac.new(self._secret.encode(), signed, hashlib.sha1).hexdigest(),
        }  # fmt: skip
        token: str = self.http.post(path, json=body).raise_for_status().json()["access_token"]
        return token

    def call(self, token: str, method: str, path: str, body: Any = None) -> Any:
        headers = {"authorization": f"Bearer {token}"}
        answer = self.http.request(method, path, headers=headers, json=body)
        return answer.raise_for_status().json()

    def room(self, token: str, **options: Any) -> str:
        path = "/_matrix/client/v3/createRoom"
        made: str = self.call(token, "POST", path, {"preset": "public_chat", **options})["room_id"]
        return made

    def say(self, token: str, room: str, text: str) -> str:
        """A message; returns its event id."""
        path = f"/_matrix/client/v3/rooms/{quote(room)}/send/m.room.message/{secrets.token_hex(8)}"
        said: str = self.call(token, "PUT", path, {"msgtype": "m.text", "body": text})["event_id"]
        return said

    def join(self, token: str, room: str) -> None:
        self.call(token, "POST", f"/_matrix/client/v3/join/{quote(room)}", {})

    def stop(self) -> None:
        self.http.close()
        super().stop()

    def _prepare(self) -> None:
        key = base64.b64encode(secrets.token_bytes(32)).decode().rstrip("=")
        (self.data_dir / "signing.key").write_text(f"ed25519 a_test {key}\n")
        listener = {
            "port": self.port, "bind_addresses": [LOOPBACK], "type": "http", "tls": False,
            "resources": [{"names": ["client"]}],
        }  # fmt: skip
        config = {
            "server_name": self.server_name,
            "report_stats": False,
            "listeners": [listener],
            "database": {"name": "sqlite3", "args": {"database": str(self.data_dir / "hs.db")}},
            "media_store_path": str(self.data_dir / "media"),
            "signing_key_path": str(self.data_dir / "signing.key"),
            "registration_shared_secret": self._secret,
            "macaroon_secret_key": secrets.token_hex(16),
            "form_secret": secrets.token_hex(16),
            "bcrypt_rounds": 4,  # passwords nobody will use
            "trusted_key_servers": [],
            "federation_domain_whitelist": [],
            "experimental_features": self._features,
        }
        # JSON is YAML.
        (self.data_dir / "homeserver.yaml").write_text(json.dumps(config))

    def _environment(self) -> dict[str, str]:
        # Nothing of this machine's Python may leak into the server's own environment.
        return {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}

    def _command(self) -> Sequence[str]:
        config = str(self.data_dir / "homeserver.yaml")
        return [str(self._python), "-m", "synapse.app.homeserver", "-c", config]

    def _ready(self) -> bool:
        try:
            return self.http.get("/_matrix/client/versions").status_code == 200
        except httpx.HTTPError:
            return False


@pytest.fixture(scope="session")
def synapse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Synapse]:
    """As it comes."""
    with Synapse(installed("synapse"), tmp_path_factory.mktemp("synapse")) as server:
        yield server


@pytest.fixture(scope="session")
def discreet_synapse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Synapse]:
    """Answers 200 to reports of what it does not know, as servers may since Matrix 1.18."""
    data = tmp_path_factory.mktemp("discreet-synapse")
    with Synapse(installed("synapse"), data, msc4277_enabled=True) as server:
        yield server


class Postgres(Server):
    """A cluster that trusts everybody and loses everything; as nobody, where we are root."""

    name = "postgres"
    nobody = 65534

    def __init__(self, home: Path, data_dir: Path) -> None:
        super().__init__(data_dir)
        self._initdb, self._postgres = program(home, "initdb"), program(home, "postgres")
        self._cluster = self.data_dir / "cluster"
        # From where it may look around; its own signal, as the kernel forgets ours with the user.
        self._as: list[str] = ["env", "--chdir", str(self.data_dir)]
        if os.geteuid() == 0:
            user = str(self.nobody)
            self._as += ["setpriv", "--reuid", user, "--regid", user, "--clear-groups",
                         "--pdeathsig", "TERM"]  # fmt: skip

    @property
    def url(self) -> str:
        return f"postgresql://postgres@{LOOPBACK}:{self.port}/postgres"

    def _prepare(self) -> None:
        if os.geteuid() == 0:
            os.chown(self.data_dir, self.nobody, self.nobody)
        initdb = [self._initdb, "-D", str(self._cluster), "-U", "postgres", "-A", "trust",
                  "-E", "UTF8", "--no-locale", "--no-sync"]  # fmt: skip
        run([*self._as, *initdb], "make a PostgreSQL cluster")

    def _command(self) -> Sequence[str]:
        settings = {
            "listen_addresses": LOOPBACK, "unix_socket_directories": "", "max_connections": "200",
            "fsync": "off", "synchronous_commit": "off", "full_page_writes": "off",
        }  # fmt: skip
        given = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [*self._as, self._postgres, "-D", str(self._cluster), "-p", str(self.port), *given]

    def _ready(self) -> bool:
        # Written by the server itself; its last line says whether it takes connections.
        file = self._cluster / "postmaster.pid"
        return file.exists() and file.read_text().split()[-1:] == ["ready"]


class Redis(Server):
    """In memory only."""

    name = "redis"

    def __init__(self, home: Path, data_dir: Path) -> None:
        super().__init__(data_dir)
        self._program = program(home, "redis-server")

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    def _command(self) -> Sequence[str]:
        return [self._program, "--bind", LOOPBACK, "--port", str(self.port), "--save", "",
                "--appendonly", "no", "--dir", str(self.data_dir)]  # fmt: skip

    def _ready(self) -> bool:
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=2) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(7) == b"+PONG\r\n"
        except OSError:
            return False


@dataclass(frozen=True)
class Account:
    """``password``: the account's own; ``app_password`` is what a connector is given."""

    did: str
    handle: str
    password: str
    app_password: str
    token: str


class Atproto(Server):
    """The AT Protocol's development network: directory, PDS, app view and Ozone on loopback."""

    name = "atproto"
    ready_timeout = 180.0

    def __init__(self, home: Path, data_dir: Path, postgres: Postgres, redis: Redis) -> None:
        super().__init__(data_dir)
        self._home, self._node = home, program(home, "node")
        self._postgres, self._redis = postgres, redis
        self._told: dict[str, str] = {}
        self.http = httpx.Client(timeout=30, trust_env=False)

    def __getitem__(self, name: str) -> str:
        """``pds``, ``ozone``, ``appview``: addresses; ``labeler``: whom reports go to;
        ``moderator``: an authorization; ``token_secret``: what sessions are signed with, in hex."""
        return self._told[name]

    def call(
        self, method: str, name: str, token: str | None = None, *, at: str = "pds", **given: Any
    ) -> httpx.Response:
        """One XRPC method, its answer as it comes."""
        headers = dict(given.pop("headers", {}))
        if token is not None:
            headers["authorization"] = token if " " in token else f"Bearer {token}"
        return self.http.request(method, f"{self[at]}/xrpc/{name}", headers=headers, **given)

    def account(self) -> Account:
        name, password = f"u{secrets.token_hex(5)}", secrets.token_hex(16)
        wanted = {"handle": f"{name}.test", "email": f"{name}@example.org", "password": password}
        path = "com.atproto.server.createAccount"
        made = self.call("POST", path, json=wanted).raise_for_status().json()
        token, path = made["accessJwt"], "com.atproto.server.createAppPassword"
        app = self.call("POST", path, token, json={"name": "hub"}).raise_for_status().json()
        return Account(made["did"], made["handle"], password, app["password"], token)

    def post(self, author: Account, text: str) -> tuple[str, str]:
        """A post; returns its address and version."""
        kind = "app.bsky.feed.post"
        record = {"$type": kind, "text": text, "createdAt": "2026-01-05T09:00:00Z"}
        wanted = {"repo": author.did, "collection": kind, "record": record}
        path = "com.atproto.repo.createRecord"
        made = self.call("POST", path, author.token, json=wanted).raise_for_status().json()
        return made["uri"], made["cid"]

    def reports(self, reporter: str) -> list[dict[str, Any]]:
        """Somebody's reports as moderators see them, oldest first."""
        given = {
            "createdBy": reporter, "types": "tools.ozone.moderation.defs#modEventReport",
            "sortDirection": "asc", "limit": 100,
        }  # fmt: skip
        path = "tools.ozone.moderation.queryEvents"
        answer = self.call("GET", path, self["moderator"], at="ozone", params=given)
        listed: list[dict[str, Any]] = answer.raise_for_status().json()["events"]
        return listed

    def moderate(self, subject: dict[str, str], event: str, **details: Any) -> None:
        """What a moderator does: Acknowledge, Label, Takedown…"""
        kind = f"tools.ozone.moderation.defs#modEvent{event}"
        body = {
            "event": {"$type": kind, **details}, "subject": subject, "subjectBlobCids": [],
            "createdBy": self["labeler"],
        }  # fmt: skip
        path = "tools.ozone.moderation.emitEvent"
        self.call("POST", path, self["moderator"], at="ozone", json=body).raise_for_status()

    def stop(self) -> None:
        self.http.close()
        super().stop()

    def _prepare(self) -> None:
        (self.data_dir / "tmp").mkdir()

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "TMPDIR": str(self.data_dir / "tmp"),
            "DB_POSTGRES_URL": self._postgres.url,
            "REDIS_HOST": self._redis.address,
        }

    def _command(self) -> Sequence[str]:
        return [self._node, str(Path(__file__).parent / "atproto" / "network.mjs"), str(self._home)]

    def _ready(self) -> bool:
        for line in self.log.read_text().splitlines():
            if line.startswith('{"pds":') and line.endswith("}"):
                self._told = json.loads(line)
        return bool(self._told)


@pytest.fixture(scope="session")
def atproto() -> Iterator[Atproto]:
    home = installed("atproto")
    # Not below pytest's own directory: nobody else may look into that one.
    with ExitStack() as running:
        data = Path(running.enter_context(TemporaryDirectory(prefix="wasl-atproto-")))
        data.chmod(0o711)
        postgres = running.enter_context(Postgres(home, data / "postgres"))
        redis = running.enter_context(Redis(home, data / "redis"))
        yield running.enter_context(Atproto(home, data / "network", postgres, redis))


class OpenId(Server):
    """node-oidc-provider, which the OpenID Foundation certifies. Sends people back to ``back``."""

    name = "openid"
    back, after = "http://127.0.0.1:9/fr/sign-in/back", "http://127.0.0.1:9/fr/sign-in"

    def __init__(self, home: Path, data_dir: Path) -> None:
        super().__init__(data_dir)
        self._home, self._node = home, program(home, "node")

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def _command(self) -> Sequence[str]:
        script = str(Path(__file__).parent / "openid" / "provider.mjs")
        return [self._node, script, str(self._home), str(self.port), self.back, self.after]

    def _ready(self) -> bool:
        try:
            path = "/.well-known/openid-configuration"
            return httpx.get(f"{self.url}{path}", trust_env=False, timeout=5).status_code == 200
        except httpx.HTTPError:
            return False


@pytest.fixture(scope="session")
def openid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenId]:
    with OpenId(installed("openid"), tmp_path_factory.mktemp("openid")) as server:
        yield server
