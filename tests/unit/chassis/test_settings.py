# SPDX-License-Identifier: Apache-2.0
import base64
import subprocess
import sys

import pytest
from pydantic import Field
from wasl_chassis.settings import Settings, SettingsError, read

KEY = base64.b64encode(bytes(range(32))).decode()
ENV = {
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9092",
    "MONGODB_URI": "mongodb://user:hunter2@127.0.0.1/",
    "WASL_MASTER_KEY": KEY,
    "WASL_PEPPER": KEY,
}


class Own(Settings):
    port: int = Field(description="Where it listens")


@pytest.fixture
def env(monkeypatch):
    for name, value in ENV.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("WASL_PORT", "8000")
    return monkeypatch


def test_reads_the_environment(env) -> None:
    settings = read(Own)
    assert settings.port == 8000
    assert settings.kafka_bootstrap_servers == "127.0.0.1:9092"


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("WASL_PORT", None, "WASL_PORT is not set (Where it listens)"),
        ("WASL_PORT", "many", "WASL_PORT is wrong"),
        ("MONGODB_URI", None, "MONGODB_URI is not set"),
        ("WASL_MASTER_KEY", "short", "WASL_MASTER_KEY is wrong: expected 32 bytes in base64"),
        ("WASL_MASTER_KEY", base64.b64encode(b"x" * 16).decode(), "got 16 bytes"),
        ("WASL_REPLICA", "Not A Name", "WASL_REPLICA is wrong"),
        ("WASL_OUTAGE_BUDGET_SECONDS", "5000", "must stay below"),
    ],
)
def test_a_wrong_variable_is_named(env, name, value, says) -> None:
    if value is None:
        env.delenv(name)
    else:
        env.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        read(Own)
    assert says in str(caught.value)
    if value:
        assert value not in str(caught.value)


def test_every_problem_is_told_at_once(env) -> None:
    env.delenv("WASL_PORT")
    env.delenv("WASL_PEPPER")
    with pytest.raises(SettingsError) as caught:
        read(Own)
    assert {"WASL_PORT", "WASL_PEPPER"} <= set(str(caught.value).replace(" ", "\n").split("\n"))


def test_a_secret_may_be_a_file(env, tmp_path) -> None:
    path = tmp_path / "pepper"
    path.write_text(KEY + "\n")
    env.delenv("WASL_PEPPER")
    env.setenv("WASL_PEPPER_FILE", str(path))
    assert read(Own).pepper.get_secret_value() == KEY


def test_a_secret_named_twice_is_refused(env, tmp_path) -> None:
    env.setenv("WASL_PEPPER_FILE", str(tmp_path / "pepper"))
    with pytest.raises(SettingsError, match="both set"):
        read(Own)


def test_a_missing_secret_file_is_named(env, tmp_path) -> None:
    env.delenv("WASL_PEPPER")
    env.setenv("WASL_PEPPER_FILE", str(tmp_path / "nowhere"))
    with pytest.raises(SettingsError, match="WASL_PEPPER_FILE: cannot read"):
        read(Own)


def test_printed_masked(env) -> None:
    settings = read(Own)
    shown = f"{settings.masked()} {settings!r}"
    assert "hunter2" not in shown
    assert KEY not in shown
    assert settings.masked()["port"] == 8000


def test_a_process_does_not_start_without_its_settings(tmp_path) -> None:
    code = "from wasl_chassis.settings import Settings, read_or_exit\nread_or_exit(Settings)\n"
    done = subprocess.run(
        [sys.executable, "-c", code], env={}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 78
    assert "KAFKA_BOOTSTRAP_SERVERS is not set" in done.stderr
    assert "Traceback" not in done.stderr
