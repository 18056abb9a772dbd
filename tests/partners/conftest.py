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
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from wasl_local.servers import LOOPBACK, Server

PARTNERS = Path(__file__).resolve().parents[2] / ".wasl" / "partners"


def installed(name: str) -> Path:
    """Where a server was installed; skips the test, with the reason, where it was not."""
    home = PARTNERS / name
    if (home / "installed").exists():
        return home
    failed = PARTNERS / f"{name}.failed"
    pytest.skip(
        failed.read_text() if failed.exists() else f"{name} is missing; run `make test-partners`"
    )


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
