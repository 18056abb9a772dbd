# SPDX-License-Identifier: Apache-2.0
"""Small parts of the launcher: secrets, mailbox, what a log says, one run at a time."""

import smtplib
from pathlib import Path

import pytest
from wasl_local import secrets, stack
from wasl_local import settings as local
from wasl_local.__main__ import only_one
from wasl_local.mail import MailSink


def test_a_secret_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    first = secrets.key(folder, "pepper")
    assert secrets.key(folder, "pepper") == first != secrets.key(folder, "other")
    assert (folder / "pepper").stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700


def test_the_mailbox_keeps_what_arrives(tmp_path: Path) -> None:
    with MailSink(tmp_path) as sink, smtplib.SMTP("127.0.0.1", sink.port) as client:
        client.sendmail("info@example.org", ["reporter@example.org"], "Subject: x\r\n\r\nbody")
        assert sink.count == 1
    assert sink.recipients == {"reporter@example.org"}
    assert b"body" in (tmp_path / "0001.eml").read_bytes()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"msg": "stopping", "reason": "kafka_away", "level": "ERROR"}', "stopping (kafka_away)"),
        ("cannot start:\nWASL_X is not set", "cannot start:\nWASL_X is not set"),
    ],
)
def test_a_log_is_quoted_in_words(tmp_path: Path, line: str, expected: str) -> None:
    (tmp_path / "log").write_text(f'{{"msg": "earlier"}}\n{line}\n\n')
    assert stack.said(tmp_path / "log") == expected


def test_a_second_run_is_told_of_the_first(tmp_path: Path) -> None:
    second = only_one(tmp_path)
    with only_one(tmp_path), pytest.raises(SystemExit, match="runs already, as process"):
        second.__enter__()
    with only_one(tmp_path):
        pass


def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WASL_LOCAL_KAFKA_PORT", "70000")
    with pytest.raises(SystemExit, match="WASL_LOCAL_KAFKA_PORT"):
        local.read()
