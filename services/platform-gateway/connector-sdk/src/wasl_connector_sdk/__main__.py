# SPDX-License-Identifier: Apache-2.0
"""``wasl-connector new`` writes a connector, ``wasl-connector quality`` holds it to the scale."""

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from wasl_connector_sdk import quality
from wasl_connector_sdk.layout import Layout, LayoutError
from wasl_connector_sdk.scaffold import ScaffoldError, create


def main(arguments: Sequence[str] | None = None) -> int:
    """0 done, 1 the quality files are wrong, 2 nothing could be done."""
    parser = argparse.ArgumentParser(prog="wasl-connector")
    parser.add_argument("--root", type=Path, default=Path(), help="the tree; default: around here")
    commands = parser.add_subparsers(required=True, dest="command")
    new = commands.add_parser("new", help="write a new connector")
    new.add_argument("name", help="a-z 0-9 _; a storage key: it never changes")
    new.add_argument("--title", default="", help="the partner's name")
    new.add_argument("--external", type=Path, metavar="DIR", help="as a distribution of its own")
    scale = commands.add_parser("quality", help="check the quality files, write their table")
    scale.add_argument("--check", action="store_true", help="change nothing")
    scale.add_argument(
        "--claim", nargs="+", default=[], metavar="NAME", help="mark done what is 'todo' and met"
    )
    scale.add_argument("--open", action="store_true", help="say what each 'todo' still lacks")
    given = parser.parse_args(arguments)
    try:
        if given.command == "new":
            return _new(given)
        return _quality(given)
    except (ScaffoldError, LayoutError, quality.QualityError) as error:
        sys.stderr.write(f"{error}\n")
        return 2


def _new(given: argparse.Namespace) -> int:
    if given.external is None:
        layout = Layout.around(given.root)
        if layout.external:
            raise ScaffoldError("this is not Wasl's tree; name a new folder with --external DIR")
    else:
        layout = Layout(given.external.resolve(), external=True)
    before = {path for path in layout.root.rglob("*.*") if path.is_file()}
        sys.stdout.write(
        "\nIt works as it is. Now make it the partner's: docs/writing-a-connector.md\n"
    )
    if not layout.external:
        sys.stdout.write("Tell readers of it: a row in docs/connectors.md\n")
    return 0


def _quality(given: argparse.Namespace) -> int:
    layout = Layout.around(given.root)
    report = quality.run(
        layout, datetime.now(UTC).date(), check=given.check, claim=frozenset(given.claim)
    )
    for line in report.notes:
        sys.stdout.write(f"note: {line}\n")
    for line in report.open if given.open else ():
        sys.stdout.write(f"open: {line}\n")
    for line in report.errors:
        sys.stderr.write(f"error: {line}\n")
    return 1 if report.errors else 0


if __name__ == "__main__":
    sys.exit(main())
