# SPDX-License-Identifier: Apache-2.0
"""A field of one line must not take the place of what every line has."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: As :class:`wasl_chassis.logs.JsonFormatter` begins each line.
EVERY_LINE = {"time", "level", "service", "version", "logger", "msg"}


def test_no_line_says_another_service_or_version() -> None:
    taken: list[str] = []
    seen = 0
    for file in (ROOT / "services").rglob("src/**/*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.keyword) or node.arg != "extra":
                continue
            if isinstance(node.value, ast.Dict):
                seen += 1
                names = {str(k.value) for k in node.value.keys if isinstance(k, ast.Constant)}
                taken += [f"{file.name}:{node.lineno} {n}" for n in names & EVERY_LINE]
    assert seen > 50
    assert taken == []
