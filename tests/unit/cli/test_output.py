# SPDX-License-Identifier: Apache-2.0
"""What reaches a terminal: readable, aligned, and unable to move its cursor."""

from datetime import UTC, datetime, timedelta

from wasl_cli import output

NOW = datetime(2026, 1, 5, 9, 30, tzinfo=UTC)


def test_cells() -> None:
    assert output.plain(None) == output.plain("") == output.plain([]) == "-"
    assert output.plain(True) == "yes"
    assert output.plain(NOW) == "2026-01-05 09:30:00Z"
    assert output.plain(["a", 1]) == "a, 1"
    assert output.plain("a\x1b[2Jb\nc\u202e") == "a?[2Jb?c?"


def test_ages() -> None:
    assert output.age(None, NOW) == "-"
    assert output.age(NOW - timedelta(seconds=5), NOW) == "5 s"
    assert output.age(NOW - timedelta(minutes=90), NOW) == "90 min"
    assert output.age(NOW - timedelta(hours=30), NOW) == "30 h"
    assert output.age(NOW - timedelta(days=3), NOW) == "3 d"
    assert output.age(NOW + timedelta(seconds=5), NOW) == "0 s"


def test_rows_in_a_pipe_are_aligned_lines(capsys) -> None:
    output.rows(
        [{"name": "a", "at_all": 1}, {"name": "longer", "at_all": 22}], json_=False, empty=""
    )
    assert capsys.readouterr().out == "name    at all\na       1\nlonger  22\n"


def test_no_rows(capsys) -> None:
    output.rows([], json_=False, empty="nothing here")
    output.rows([], json_=True, empty="nothing here")
    assert capsys.readouterr().out == "nothing here\n[]\n"
