# SPDX-License-Identifier: Apache-2.0
"""The file of connectors: what is wrong with it is said before anything starts."""

import json
from pathlib import Path

import pytest
from rich.console import Console
from wasl_local import connectors
from wasl_local.__main__ import demo
from wasl_local.connectors import ConnectorsError
from wasl_local.demo import DemoError
from wasl_local.settings import LocalSettings
from wasl_local.stack import Stack

MATRIX = """\
[matrix]
homeserver = "http://127.0.0.1:8008"
token = "a-token"
"""


def written(folder: Path, text: str, name: str = "connectors.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def stack(folder: Path, path: Path | None) -> Stack:
    settings = LocalSettings(directory=folder, connectors=path)
    return Stack(settings, folder, lambda _name, _what: None)


def test_toml_and_json_say_the_same(tmp_path: Path) -> None:
    expected = {"matrix": {"homeserver": "http://127.0.0.1:8008", "token": "a-token"}}
    assert connectors.read(written(tmp_path, MATRIX)) == expected
    assert connectors.read(written(tmp_path, json.dumps(expected), "c.json")) == expected
    assert connectors.read(None) == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[acme]\n", "connector 'acme' is not installed .*matrix"),
        (
            '[matrix]\nhomeserver = "http://127.0.0.1:8008"\n',
            "connector 'matrix': token: Field req",
        ),
        (MATRIX + "shade = 1\n", "connector 'matrix': shade: Extra inputs"),
        (MATRIX.replace("127.0.0.1", "a.example"), "connector 'matrix': homeserver: .*https"),
        ("matrix = 1\n", "connector 'matrix': expected a table"),
        ("[webhook]\n", "connector 'webhook': name at least one endpoint"),
        ("[matrix\n", "not TOML: .*line 1"),
    ],
)
def test_what_is_wrong_names_file_connector_and_field(tmp_path: Path, text: str, said: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConnectorsError, match=said) as told:
        connectors.read(path)
    assert str(told.value).startswith(f"{path}: ")


def test_every_fault_is_told_and_no_value(tmp_path: Path) -> None:
    text = '[acme]\n[iwf]\nurl = "http://a.example"\nusername = "u"\npassword = ["secret-word"]\n'
    with pytest.raises(ConnectorsError) as told:
        connectors.read(written(tmp_path, text))
    lines = str(told.value).splitlines()
    assert [line.split("'")[1] for line in lines] == ["acme", "iwf", "iwf"]
    assert "secret-word" not in str(told.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConnectorsError, match=r"nowhere\.toml.*WASL_LOCAL_CONNECTORS"):
        connectors.read(tmp_path / "nowhere.toml")


def test_each_connector_gets_a_process_with_its_own_settings(tmp_path: Path) -> None:
    made = stack(tmp_path, written(tmp_path, MATRIX))
    roles = {role.name: role for role in made._roles()}
    gateways = {name for name in roles if name.startswith("gateway-")}
    assert gateways == {"gateway-reference", "gateway-webhook", "gateway-matrix", "gateway-watch"}
    matrix = roles["gateway-matrix"]
    assert matrix.command[-2:] == ("--connector", "matrix")
    assert json.loads(matrix.env["WASL_CONNECTOR_CONFIG"])["token"] == "a-token"
    assert roles["triage"].env["WASL_CONNECTORS"] == "reference,webhook,matrix"
    assert made.simulates_partners
    assert {"partner-hotline", "partner-platforms"} <= roles.keys()


def test_without_a_file_it_is_as_ever(tmp_path: Path) -> None:
    roles = {role.name: role for role in stack(tmp_path, None)._roles()}
    assert roles["triage"].env["WASL_CONNECTORS"] == "reference,webhook"
    assert len(roles) == 8


async def test_a_simulated_partner_can_be_replaced_and_then_there_is_no_demo(
    tmp_path: Path,
) -> None:
    path = written(tmp_path, '[reference]\nbase_url = "http://127.0.0.1:1"\ntoken = "t"\n')
    made = stack(tmp_path, path)
    roles = {role.name: role for role in made._roles()}
    assert json.loads(roles["gateway-reference"].env["WASL_CONNECTOR_CONFIG"])["token"] == "t"
    assert "partner-hotline" not in roles
    assert "partner-platforms" in roles
    with pytest.raises(DemoError, match="WASL_LOCAL_CONNECTORS"):
        await demo(made.settings, Console(quiet=True))
