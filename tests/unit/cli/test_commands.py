# SPDX-License-Identifier: Apache-2.0
"""Operator errors are one line and an exit status, never a traceback."""

import base64
import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner
from wasl_chassis.failures import Conflict, Permanent, Retryable
from wasl_chassis.operating import (
    Command,
    CommandGroup,
    FileCommand,
    Operations,
    Option,
    Refused,
    Wrong,
    loaded,
)
from wasl_chassis.settings import Settings
from wasl_cli import contributed, doctor
from wasl_cli.app import build

KEY = base64.b64encode(b"k" * 32).decode()
OTHER = base64.b64encode(b"p" * 32).decode()
#: Nobody listens there, and a connection is refused at once.
NOWHERE = "127.0.0.1:1"


@pytest.fixture(autouse=True)
def environment(monkeypatch) -> None:
    for name in ("KAFKA_BOOTSTRAP_SERVERS", "MONGODB_URI", "WASL_MASTER_KEY", "WASL_PEPPER"):
        monkeypatch.delenv(name, raising=False)


async def no_trace(desk, trail):
    return []


def offering(run, argument=None) -> list[Operations]:
    command = Command("do", "Does it.", run, argument)
    return [Operations("svc", Settings, no_trace, (CommandGroup("things", "Things.", (command,)),))]


def wasl(*args: str, operations=(), **env: str):
    result = CliRunner().invoke(build(operations), list(args), env=env)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.mark.parametrize(
    "args", [("topics", "apply"), ("topics", "diff"), ("dlq", "list"), ("dlq", "show", "t")]
)
def test_without_a_broker_address(args) -> None:
    result = wasl(*args)
    assert result.exit_code == 78
    assert "KAFKA_BOOTSTRAP_SERVERS is not set" in result.stderr
    assert "MASTER_KEY" not in result.stderr  # asks for nothing it does not use


def test_without_a_database_address() -> None:
    result = wasl("outbox", "status")
    assert (result.exit_code, "MONGODB_URI is not set" in result.stderr) == (78, True)
    result = wasl("report", "trace", "x", MONGODB_URI="mongodb://h")
    assert (result.exit_code, "WASL_PEPPER is not set" in result.stderr) == (78, True)


def test_wrong_addresses_are_not_quoted() -> None:
    result = wasl("topics", "diff", KAFKA_BOOTSTRAP_SERVERS="no port")
    assert result.exit_code == 78
    assert "KAFKA_BOOTSTRAP_SERVERS is wrong: expected host:port" in result.stderr
    uri = "http://user:s3cret@host"
    result = wasl("things", "do", operations=offering(no_trace), MONGODB_URI=uri)
    assert (result.exit_code, "MONGODB_URI is wrong" in result.stderr) == (78, True)
    assert "s3cret" not in result.stderr


def test_wrong_connectors() -> None:
    result = wasl("topics", "diff", KAFKA_BOOTSTRAP_SERVERS=NOWHERE, WASL_CONNECTORS="No Name")
    assert (result.exit_code, "WASL_CONNECTORS is wrong" in result.stderr) == (78, True)


@pytest.mark.parametrize("args", [("topics", "apply"), ("dlq", "list"), ("dlq", "replay", "t")])
def test_kafka_away(args) -> None:
    result = wasl(*args, KAFKA_BOOTSTRAP_SERVERS=NOWHERE)
    assert result.exit_code == 69
    assert result.stderr.startswith("wasl: Kafka does not answer")
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("error", "status", "says"),
    [
        (Retryable("NetworkTimeout"), 69, "the database does not answer"),
        (Conflict("changed"), 69, "try again"),
        (Permanent("the database refused (code 13)", reason="refused"), 70, "code 13"),
        (Refused("no thing 'x'; there are a, b"), 2, "there are a, b"),
    ],
)
def test_a_service_command_fails(error, status, says) -> None:
    async def run(desk, argument):
        raise error

    result = wasl("things", "do", operations=offering(run), MONGODB_URI="mongodb://h")
    assert (result.exit_code, says in result.stderr) == (status, True)


def test_a_service_command_takes_options() -> None:
    seen = []

    async def run(desk, argument):
        seen.append((argument, dict(desk.options)))
        return []

    options = (Option("since", "DAY", "From."), Option("to-file", "FILE", "To.", required=True))
    command = Command("do", "Does it.", run, "NAME", options)
    group = CommandGroup("things", "Things.", (command,))
    pieces = [Operations("svc", Settings, no_trace, (group,))]
    env = {"MONGODB_URI": "mongodb://h"}
    for args in (("it", "--to-file", "x", "--since", "y"), ("it", "--to-file", "x")):
        assert wasl("things", "do", *args, operations=pieces, **env).exit_code == 0
    assert seen == [("it", {"to-file": "x", "since": "y"}), ("it", {"to-file": "x"})]
    assert wasl("things", "do", "it", operations=pieces, **env).exit_code == 2


def test_a_command_that_finds_something_wrong_says_what() -> None:
    async def run(desk, argument):
        raise Wrong([{"day": "2026-01-05", "why": "changed"}])

    env = {"MONGODB_URI": "mongodb://h"}
    result = wasl("things", "do", "--json", operations=offering(run), **env)
    assert (result.exit_code, json.loads(result.stdout)[0]["why"]) == (1, "changed")


def test_a_file_is_looked_at_without_any_settings() -> None:
    group = CommandGroup(
        "things", "Things.", (FileCommand("check", "Checks.", lambda path: [{"path": path}]),)
    )
    pieces = [Operations("svc", Settings, no_trace, (group,))]
    result = wasl("things", "check", "a.zip", "--json", operations=pieces)
    assert (result.exit_code, json.loads(result.stdout)) == (0, [{"path": "a.zip"}])


def test_a_service_command_runs_on_its_own_database() -> None:
    seen = []

    async def run(desk, argument):
        seen.append((argument, desk.operator != "", desk.connectors))
        return [{"name": argument, "at": None}]

    env = {"MONGODB_URI": "mongodb://h", "WASL_CONNECTORS": "one, two,"}
    result = wasl("things", "do", "it", "--json", operations=offering(run, "NAME"), **env)
    assert result.exit_code == 0
    assert json.loads(result.stdout) == [{"name": "it", "at": None}]
    assert seen == [("it", True, ("one", "two"))]
    assert wasl("things", "do", operations=offering(run, "NAME"), **env).exit_code == 2


def test_a_service_that_does_not_load_is_left_out(monkeypatch, capsys) -> None:
    def load():
        raise ImportError("libsomething is missing")

    good = offering(no_trace)[0]
    entries = [
        SimpleNamespace(name="broken", load=load),
        SimpleNamespace(name="svc", load=lambda: good),
    ]
    monkeypatch.setattr(contributed.metadata, "entry_points", lambda group: entries)
    assert contributed.installed() == [good]
    assert "'broken' cannot be loaded (ImportError)" in capsys.readouterr().err


def test_the_services_offer_their_pieces() -> None:
    found = {o.service: o for o in contributed.installed()}
    assert set(found) == {"intake", "triage", "notify", "platform-gateway"}
    settings = Settings.model_construct(database_prefix="x")
    assert found["intake"].database_of(settings) == "x_intake"
    assert found["platform-gateway"].database_of(settings) == "x_gateway"


def test_version() -> None:
    lines = wasl("version").stdout.splitlines()
    assert any(line.startswith("wasl-cli ") for line in lines)
    assert "wasl-chassis" in json.loads(wasl("version", "--json").stdout)


def test_new_keys_are_keys_and_differ() -> None:
    keys = {wasl("doctor", "--new-key").stdout.strip() for _ in range(2)}
    assert {len(base64.b64decode(k)) for k in keys} == {32}
    assert len(keys) == 2


# -- doctor without servers --------------------------------------------------------------------


def findings(operations=(), **env: str) -> list[dict]:
    env = {"KAFKA_BOOTSTRAP_SERVERS": NOWHERE, **env}
    result = wasl("doctor", "--json", operations=operations, **env)
    found = json.loads(result.stdout)
    assert result.exit_code == (1 if any(f["level"] == "fail" for f in found) else 0)
    assert all(f["fix"] for f in found if f["level"] != "ok")
    return found


def said(found: list[dict], text: str) -> str:
    """The level of the one finding that says it."""
    (level,) = [f["level"] for f in found if text in f["what"]]
    return level


def test_doctor_names_every_variable() -> None:
    found = findings()
    assert said(found, "MONGODB_URI is not set") == "fail"
    assert said(found, "WASL_MASTER_KEY is not set") == "fail"
    assert said(found, "WASL_PEPPER is not set") == "fail"
    assert said(found, f"{NOWHERE} does not answer") == "fail"
    assert {f["level"] for f in found if f["check"] == "database"} == {"warn"}


def test_doctor_on_wrong_keys() -> None:
    found = findings(WASL_MASTER_KEY="c2hvcnQ=", WASL_PEPPER=OTHER)
    assert said(found, "WASL_MASTER_KEY is wrong: expected 32 bytes in base64, got 5") == "fail"
    env = {"MONGODB_URI": "bad://x", "WASL_MASTER_KEY": KEY, "WASL_PEPPER": KEY}
    found = findings(**env)
    assert said(found, "WASL_MASTER_KEY and WASL_PEPPER are the same") == "fail"
    assert said(found, "MONGODB_URI is wrong") == "fail"


class OwnSettings(Settings):
    own_port: int = 0
    own_needed: str


def test_doctor_on_a_services_own_settings() -> None:
    pieces = [Operations(n, OwnSettings, no_trace) for n in ("one", "two")]
    env = {"WASL_OWN_PORT": "high", "WASL_OWN_NEDED": "x", "WASL_COMPLETELY_ELSE": "x"}
    found = findings(pieces, **env)
    assert said(found, "WASL_OWN_NEEDED is not set") == "warn"
    assert said(found, "WASL_OWN_PORT is wrong") == "fail"
    (typo,) = [f for f in found if "WASL_OWN_NEDED" in f["what"]]
    assert (typo["level"], typo["fix"]) == ("warn", "did you mean WASL_OWN_NEEDED?")
    assert not any("COMPLETELY" in f["what"] for f in found)


def test_doctor_on_secret_files(tmp_path) -> None:
    secret = tmp_path / "key"
    secret.write_text(KEY)
    secret.chmod(0o644)
    env = {"WASL_MASTER_KEY_FILE": str(secret), "WASL_PEPPER_FILE": str(tmp_path / "none")}
    found = findings(**env)
    assert said(found, f"{secret} can be used by others (mode 0644)") == "warn"
    assert said(found, "WASL_PEPPER_FILE: cannot look at") == "fail"
    secret.chmod(0o400)
    assert (
        said(findings(WASL_MASTER_KEY_FILE=str(secret)), "WASL_MASTER_KEY_FILE: mode 0400") == "ok"
    )


def test_doctor_on_country_packs(tmp_path, request) -> None:
    ours = request.config.rootpath / "deploy" / "country-packs" / "ma"
    assert said(findings(WASL_COUNTRY_PACK=str(ours)), "categories") == "ok"
    broken = findings(WASL_COUNTRY_PACK=str(tmp_path))
    assert {f["level"] for f in broken if f["check"] == "country pack"} == {"fail"}


def test_doctor_for_people_marks_each_line() -> None:
    result = wasl("doctor", KAFKA_BOOTSTRAP_SERVERS=NOWHERE)
    lines = result.stdout.splitlines()
    assert all(line.split()[0] in {*map(str, doctor.Level), "fix:"} for line in lines)


def test_every_place_of_every_service_is_there() -> None:
    pieces = contributed.installed()
    assert {p.service for p in pieces} == {"intake", "triage", "notify", "platform-gateway"}
    for piece in pieces:
        assert issubclass(loaded(piece.settings), Settings)
        assert callable(loaded(piece.trace))
        for group in piece.groups:
            found = loaded(group.commands)
            assert found
            assert all(isinstance(c, Command | FileCommand) for c in found), group.name


def test_help_loads_no_service() -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from wasl_cli.app import build\n"
        "shown = CliRunner().invoke(build(), ['--help']).output\n"
        "assert 'subject-requests' in shown\n"
        "ours = ('wasl_intake', 'wasl_triage', 'wasl_notify', 'wasl_platform_gateway')\n"
        "print(*sorted(m for m in sys.modules if m.startswith(ours) and '.' in m))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    services = ("intake", "notify", "platform_gateway", "triage")
    assert run.stdout.split() == [f"wasl_{s}.commands" for s in services]


def test_a_service_that_does_not_load_is_named_and_takes_nothing_along() -> None:
    broken = CommandGroup("things", "Things.", "wasl_nowhere.operating:THINGS")
    pieces = [Operations("svc", Settings, no_trace, (broken,))]
    assert "Things." in wasl("--help", operations=pieces).output
    result = wasl("things", "do", operations=pieces)
    assert result.exit_code == 2
    assert "'wasl_nowhere.operating:THINGS' cannot be loaded" in result.stderr
