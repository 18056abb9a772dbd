# SPDX-License-Identifier: Apache-2.0
"""The desk as it is deployed: every setting can be set, its keys fit, and somebody can sign in."""

import json
import lzma
import os
import re
import shutil
import signal
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from wasl_chassis.settings import ProcessSettings, Settings, variable
from wasl_intake.channels.settings import ChannelSettings
from wasl_intake.domain import api_key
from wasl_local.stack import ACCOUNTS
from wasl_triage.domain.people import Role
from wasl_triage.matching.settings import Keys, ServeSettings, SyncSettings
from wasl_triage.settings import TriageSettings

ROOT = Path(__file__).resolve().parents[3]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
#: Set in the image; and what costs a start some seconds at most.
ELSEWHERE = {"WASL_COUNTRY_PACK", "WASL_MATCHING_CACHE"}


@pytest.mark.parametrize(
    ("service", "cls", "common"),
    [
        ("triage", TriageSettings, Settings),
        ("matching", ServeSettings, ProcessSettings),
        ("matching-sync", SyncSettings, ProcessSettings),
        ("channel-mail", ChannelSettings, ProcessSettings),
    ],
)
def test_an_operator_can_set_all_there_is(
    service: str, cls: type[ProcessSettings], common: type[ProcessSettings]
) -> None:
    given = COMPOSE["services"][service]["environment"]
    own = {variable(cls, f) for f in cls.model_fields if f not in common.model_fields}
    missing = {n for n in own - ELSEWHERE if n not in given and f"{n}_FILE" not in given}
    assert missing == set()
    unknown = {n.removesuffix("_FILE") for n in given} - {
        variable(cls, f) for f in cls.model_fields
    }
    assert unknown == set()


def test_the_model_of_languages_has_room_to_be_unpacked() -> None:
    """Its library writes it into a temporary file at each start, and everything else is read-only."""
    packed = files("py3langid").joinpath("data", "model.npz.xz").read_bytes()
    needed = len(lzma.decompress(packed))
    (mount,) = COMPOSE["services"]["triage"]["tmpfs"]
    (room,) = re.findall(r"^/tmp:size=(\d+)m,", mount)
    assert int(room) * 2**20 > 1.5 * needed


def test_who_builds_the_index_is_alone_in_writing_it() -> None:
    services = COMPOSE["services"]
    writes = {
        name
        for name, service in services.items()
        for volume in service.get("volumes", ())
        if str(volume).startswith("matching:") and not str(volume).endswith(":ro")
    }
    assert writes == {"matching-sync"}
    assert "matching:/var/lib/wasl/matching:ro" in services["triage"]["volumes"]


def _secrets(folder: Path) -> "subprocess.CompletedProcess[str]":
    script = ROOT / "deploy" / "docker" / "make-secrets"
    return subprocess.run([script, folder], check=True, timeout=30, capture_output=True, text=True)


def test_intake_knows_the_desk_for_callers_and_nothing_else(tmp_path: Path) -> None:
    first = _secrets(tmp_path)
    key = (tmp_path / "triage_intake_key").read_text().strip()
    assert api_key.well_formed(key)
    known = json.loads((tmp_path / "intake_api_keys").read_text())
    entry = {"sha256": api_key.digest(key), "channels": ["phone", "chat"], "scopes": ["report"]}
    assert known == {"desk": entry}
    assert "wasl people invite NAME --roles administrator" in first.stdout
    assert _secrets(tmp_path).stdout == ""


def test_a_list_with_keys_in_it_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "intake_api_keys").write_text('{"feed": {}}')
    told = _secrets(tmp_path).stderr
    assert (tmp_path / "intake_api_keys").read_text() == '{"feed": {}}'
    entry = json.loads("{" + told.partition('"desk"')[1] + told.partition('"desk"')[2] + "}")
    key = (tmp_path / "triage_intake_key").read_text().strip()
    assert entry["desk"]["sha256"] == api_key.digest(key)


def test_the_key_for_look_ups_opens(tmp_path: Path) -> None:
    _secrets(tmp_path)
    keys = Keys.parse((tmp_path / "matching_keys").read_text())
    assert keys.holder((tmp_path / "token_matching").read_text().strip()) == "operator"
    assert keys.holder("") is None


def test_the_accounts_of_the_local_run_hold_roles_there_are() -> None:
    given = {role for roles in ACCOUNTS.values() for role in roles.split(",")}
    assert given <= set(Role)


@pytest.mark.skipif(sys.platform != "linux", reason="the embedded servers")
def test_a_developer_is_invited_and_gets_in(tmp_path: Path) -> None:
    (tmp_path / "local").mkdir()
    (tmp_path / "local" / "samples-played").touch()
    process = subprocess.Popen(
        [sys.executable, "-m", "wasl_local", "up"],
        env={**os.environ, "WASL_LOCAL_DIRECTORY": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout
        said = []
        for line in process.stdout:
            said.append(line)
            if line.startswith("logs:"):
                break
        found = re.findall(
            r"^ +(\w+) +(\S+)/en/sign-in/first with the invitation (\S+)$",
            "".join(said),
            re.MULTILINE,
        )
        assert [name for name, _, _ in found] == list(ACCOUNTS)
        assert len({token for _, _, token in found}) == len(found)
        name, desk, token = found[0]
        form = {"name": name, "invitation": token, "password": "violet-harbour-47-lamp"}
        with httpx.Client(base_url=desk, trust_env=False, timeout=30) as client:
            wrong = client.post("/en/sign-in/first", data={**form, "invitation": token[:-1]})
            right = client.post("/en/sign-in/first", data=form)
            again = client.post("/en/sign-in/first", data=form)
        assert right.status_code == 303
        assert right.headers["location"].endswith("/en/sign-in/authenticator")
        assert 303 not in (wrong.status_code, again.status_code)
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        shutil.rmtree(tmp_path, ignore_errors=True)
    assert process.returncode == 0
