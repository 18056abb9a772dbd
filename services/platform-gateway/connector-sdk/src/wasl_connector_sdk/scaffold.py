# SPDX-License-Identifier: Apache-2.0
"""Writes a new connector that works: code, fake, tests, page, entry point, quality file; in Wasl's
tree also its row in the table of connectors, its service, its metrics' target.

The skeleton talks to a partner of its own making; changing it into the real one is the work. All is
refused before anything is written: a name that cannot be, a file that is there.
"""

import keyword
import re
import tomllib
from collections.abc import Mapping
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import NamedTuple

from wasl_connector_sdk.contract import Idempotency, Manifest
from wasl_connector_sdk.layout import Layout, LayoutError
from wasl_connector_sdk.quality import fresh
from wasl_connector_sdk.registry import GROUP
from wasl_connector_sdk.wiring import WiringError, wired

#: Longer names would need other line breaks in the templates.
LONGEST_NAME = 24
_TITLE = re.compile(r"\w[\w .,&'()+/-]{0,39}")
_WIDTH = 100


class ScaffoldError(Exception):
    """Why nothing was written, and what to do."""


class Created(NamedTuple):
    """Files a connector was written into: those that are new, and those that were there."""

    new: list[Path]
    changed: list[Path]


def create(name: str, layout: Layout, title: str = "") -> Created:
    """Writes a connector. Raises :class:`ScaffoldError`, having written nothing.

    ``layout``: Wasl's tree, or the folder of a new distribution, which may not exist yet.
    """
    title = title or name.replace("_", " ").title()
    _refuse(name, title)
    written = _documents(name, title, layout)
    there = sorted(str(path) for path in written if path.exists())
    changed: dict[Path, str] = {}
    if not layout.external:
        _refuse_twice(name, layout)
        there += [str(p) for p in (layout.source(name).with_suffix(""),) if p.exists()]
        changed[layout.pyproject] = with_entry(
            layout.pyproject.read_text(encoding="utf-8"), name, f"{layout.module(name)}:{cls(name)}"
        )
        try:
            changed.update(wired(layout.root, name, title))
        except WiringError as error:
            raise ScaffoldError(str(error)) from error
    if there:
        raise ScaffoldError(f"already there: {', '.join(there)}; choose another name or folder")
    for path, text in {**written, **changed}.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return Created(list(written), list(changed))


def cls(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_")) + "Connector"


def with_entry(pyproject: str, name: str, value: str) -> str:
    """The file with one more connector, before the first that sorts after it; all else untouched.

    Raises :class:`ScaffoldError` where the group is missing or written in a way unknown here.
    """
    lines = pyproject.splitlines(keepends=True)
    header = f'[project.entry-points."{GROUP}"]'
    starts = [n for n, line in enumerate(lines) if line.strip() == header]
    if len(starts) != 1:
        raise ScaffoldError(f"pyproject.toml has no line {header}; add it")
    at = starts[0] + 1
    for number in range(at, len(lines)):
        key = lines[number].partition("=")[0].strip().strip('"')
        if lines[number].startswith("[") or key > name:
            break
        if key and not key.startswith("#"):
            at = number + 1
    lines.insert(at, f'{name} = "{value}"\n')
    changed = "".join(lines)
    before, after = _entries(pyproject), _entries(changed)
    if after != {**before, name: value}:
        raise ScaffoldError(f"{header} in pyproject.toml is not one 'name = \"value\"' a line")
    return changed


def _entries(pyproject: str) -> dict[str, str]:
    found: dict[str, str] = tomllib.loads(pyproject)["project"]["entry-points"][GROUP]
    return found


def _refuse(name: str, title: str) -> None:
    try:
        Manifest(name=name, title=title, docs="-", idempotency=Idempotency.NONE)
    except ValueError as error:
        raise ScaffoldError(str(error)) from error
    if len(name) > LONGEST_NAME:
        raise ScaffoldError(f"'{name}' is too long; expected {LONGEST_NAME} characters at most")
    if keyword.iskeyword(name) or name == "sdk" or name.endswith("_conformance"):
        raise ScaffoldError(f"'{name}' cannot be the name of a connector's module; choose another")
    if not _TITLE.fullmatch(title):
        raise ScaffoldError(
            "a title is 1 to 40 letters, digits, spaces and . , & ' ( ) + / - and begins with a "
            "letter or a digit"
        )


def _refuse_twice(name: str, layout: Layout) -> None:
    try:
        declared = layout.entries()
    except LayoutError as error:
        raise ScaffoldError(str(error)) from error
    if name in declared or name in entry_points(group=GROUP).names:
        raise ScaffoldError(f"connector '{name}' exists; choose another name")


def _documents(name: str, title: str, layout: Layout) -> dict[Path, str]:
    distribution = f"wasl-connector-{name.replace('_', '-')}"
    short = cls(name).removesuffix("Connector")
    module = layout.module(name)
    ours = _imported(module, [cls(name)])
    fake = _imported(layout.fake_module(name), [f"Fake{short}"])
    kit = _imported("wasl_connector_sdk.conformance", ["ConnectorContract"])
    sdk = _imported("wasl_connector_sdk", ["Ground", "Submission"])
    mapping = _imported(module, ["OUTCOMES", "receipt_of", "to_json"])
    gap = "\n" * layout.external  # what is ours stands apart there
    page = layout.page(name)
    values = {
        "name": name,
        "host": name.replace("_", "-"),
        "title": title,
        "cls": short,
        "module": module,
        "distribution": distribution,
        "heading": distribution if layout.external else name,
        "owner": f"Maintainers of {distribution}" if layout.external else "Wasl maintainers",
        "docs": page.relative_to(layout.root).as_posix(),
        "install": _INSTALL.format(name=name, distribution=distribution) if layout.external else "",
        "import_conformance": "\n".join(["from typing import ClassVar\n", fake, kit + gap, ours]),
        "import_mapping": "\n".join(
            ["from datetime import UTC, datetime", "from typing import Any\n", sdk + gap, mapping]
        ),
    }
    written = {
        layout.source(name): _filled("connector.py", values),
        layout.fake(name): _filled("fake.py", values),
        layout.test(name): _filled("test_mapping.py", values),
        layout.conformance(name): _filled("test_conformance.py", values),
        page: _filled("page.md", values),
        layout.quality(name): fresh(),
    }
    if layout.external:
        package = layout.source(name).parent
        written[layout.pyproject] = _filled("pyproject.toml", values)
        written[package / "__init__.py"] = (
            f'# SPDX-License-Identifier: Apache-2.0\n"""{title}, for a Wasl hub."""\n'
        )
        written[package / "py.typed"] = ""
    return written


_INSTALL = """
Install `{distribution}` beside the gateway, name `{name}` in `WASL_CONNECTORS`, and run
`wasl-platform-gateway --connector {name}`. To work on it: `pip install -e . --group dev`, then
`ruff check`, `mypy`, `pytest`, and `python -m wasl_connector_sdk quality --check`.
"""


def _filled(template: str, values: Mapping[str, str]) -> str:
    text = (files(__package__) / "templates" / f"{template}.txt").read_text(encoding="utf-8")
    return Template(text).substitute(values)


def _imported(module: str, names: list[str]) -> str:
    line = f"from {module} import {', '.join(names)}"
    if len(line) <= _WIDTH:
        return line
    return f"from {module} import (\n" + "".join(f"    {name},\n" for name in names) + ")"
