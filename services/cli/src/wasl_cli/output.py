# SPDX-License-Identifier: Apache-2.0
"""What commands print: a table for people, aligned lines for pipes, JSON for scripts.

Nothing printed can move a terminal's cursor: control characters are shown as ``?``.
"""

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text
from wasl_chassis.operating import Row

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


def plain(value: object) -> str:
    """One cell of text."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    if isinstance(value, list | tuple):
        return ", ".join(plain(v) for v in value) or "-"
    return "".join(c if c.isprintable() else "?" for c in str(value))


def age(since: datetime | None, now: datetime) -> str:
    """How long ago, in the largest unit that says enough."""
    if since is None:
        return "-"
    passed = max(now - since, timedelta(0))
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        count = passed.total_seconds() / size
        if count >= 2:
            return f"{count:.0f} {unit}"
    return f"{passed.total_seconds():.0f} s"


def as_json(value: Any) -> None:
    typer.echo(json.dumps(value, default=_other, ensure_ascii=False, indent=2))


def _other(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return sorted(value) if isinstance(value, set | frozenset) else str(value)


def rows(found: Sequence[Row], *, json_: bool, empty: str) -> None:
    """Rows with the same keys; the keys are the headings. ``empty`` is said when there are none."""
    if json_:
        as_json([dict(row) for row in found])
        return
    if not found:
        typer.echo(empty)
        return
    heads = list(found[0])
    cells = [[plain(row[head]) for head in heads] for row in found]
    if sys.stdout.isatty():
        table = Table(box=None, pad_edge=False)
        for head in heads:
            right = isinstance(found[0][head], int) and not isinstance(found[0][head], bool)
            table.add_column(head.replace("_", " "), justify="right" if right else "left")
        for line in cells:
            table.add_row(*(Text(cell) for cell in line))
        Console().print(table)
        return
    lines = [[head.replace("_", " ") for head in heads], *cells]
    widths = [max(len(line[i]) for line in lines) for i in range(len(heads))]
    for line in lines:
        padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        typer.echo("  ".join(padded).rstrip())
