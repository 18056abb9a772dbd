# SPDX-License-Identifier: Apache-2.0
"""What the compose stack relies on, and no container needs to run to see."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))


def _make_secrets(folder: Path) -> dict[str, str]:
    script = ROOT / "deploy" / "docker" / "make-secrets"
    subprocess.run([script, folder], check=True, timeout=30)
    return {file.name: file.read_text(encoding="utf-8") for file in folder.iterdir()}


@pytest.mark.parametrize("service", ["intake", "triage", "notify", "connector-webhook"])
def test_replicas_tell_themselves_apart(service: str) -> None:
    """Two members of one name put each other out of their Kafka group for ever."""
    assert COMPOSE["services"][service]["environment"]["WASL_REPLICA_FILE"] == "/etc/hostname"


def test_each_secret_has_its_file(tmp_path: Path) -> None:
    """Compose starts no service at all where one of a secret's files is missing."""
    made = _make_secrets(tmp_path / "secrets")
    wanted = {Path(secret["file"]).name for secret in COMPOSE["secrets"].values()}
    assert wanted <= made.keys()
    # Keys of intake's API are made by `wasl api-keys new`; a channel without one says so and stops.
    assert all(made[name].strip() for name in wanted if not name.startswith("api_key_"))
    settings = [name for name in wanted if re.fullmatch(r"connector_\w+", name)]
    assert all(isinstance(json.loads(made[name]), dict) for name in settings)


def test_what_is_there_is_kept(tmp_path: Path) -> None:
    first = _make_secrets(tmp_path)
    (tmp_path / "connector_email").write_text('{"live": true}', encoding="utf-8")
    again = _make_secrets(tmp_path)
    assert again == {**first, "connector_email": '{"live": true}'}


def test_all_read_the_same_country_pack() -> None:
    """One with the image's pack beside one with the folder's would know other clocks and partners."""
    reading = {
        name: service
        for name, service in COMPOSE["services"].items()
        if re.match(
            r"wasl(-intake|-intake-channel|-triage|-notify|-platform-gateway)$",
            service.get("command", [""])[0],
        )
        or name == "cli"
    }
    assert len(reading) > 20
    mount = COMPOSE["x-country-packs"]
    assert [n for n, service in reading.items() if mount not in service.get("volumes", ())] == []
