# SPDX-License-Identifier: Apache-2.0
"""``wasl-connector``: ``new`` writes a connector, ``quality`` holds it to the scale, ``categories``
names what a country pack's partners may be asked about.
"""

import argparse
import sys
import tomllib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from wasl_connector_sdk import quality
from wasl_connector_sdk.layout import Layout, LayoutError
from wasl_connector_sdk.scaffold import ScaffoldError, create

_PACK = Path("deploy/country-packs/ma")


class _PackError(Exception):
    """Which file of the country pack cannot be read, and what was expected."""


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
    listing = commands.add_parser("categories", help="a country pack's categories, in English")
    listing.add_argument(
        "pack", type=Path, nargs="?", default=_PACK, help="its folder; ours: %(default)s"
    )
    given = parser.parse_args(arguments)
    try:
        return {"new": _new, "quality": _quality, "categories": _categories}[given.command](given)
    except (ScaffoldError, LayoutError, quality.QualityError, _PackError) as error:
        sys.stderr.write(f"{error}\n")
        return 2


def _new(given: argparse.Namespace) -> int:
    if given.external is None:
        layout = Layout.around(given.root)
        if layout.external:
            raise ScaffoldError("this is not Wasl's tree; name a new folder with --external DIR")
    else:
        layout = Layout(given.external.resolve(), external=True)
    created = create(given.name, layout, given.title)
    sys.stdout.write("".join(f"new      {path}\n" for path in created.new))
    sys.stdout.write("".join(f"changed  {path}\n" for path in created.changed))
    sys.stdout.write(
        "\nIt works as it is. Now make it the partner's: docs/writing-a-connector.md\n"
    )
    return 0


def _categories(given: argparse.Namespace) -> int:
    path = given.root / given.pack / "taxonomy.toml"
    try:
        listed = tomllib.loads(path.read_text(encoding="utf-8"))["categories"]
        lines = [(c["id"], c["label"]["en"], c["definition"]["en"]) for c in listed]
    except (OSError, ValueError, LookupError, TypeError) as error:
        wanted = "expected [[categories]] with id, label.en and definition.en"
        raise _PackError(f"{path}: {wanted} ({type(error).__name__})") from error
    for slug, label, definition in lines:
        sys.stdout.write(f"{slug}: {label}\n    {definition}\n")
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
