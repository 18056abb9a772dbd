# SPDX-License-Identifier: Apache-2.0
"""A fresh connector is clean, typed and keeps every rule, in the tree and as a distribution."""

import json
import re
import subprocess
import sys
import tomllib
from difflib import SequenceMatcher
from importlib.metadata import distributions
from pathlib import Path

import pytest
import skeleton
import yaml
from wasl_connector_sdk import __main__ as command
from wasl_connector_sdk.layout import Layout, LayoutError
from wasl_connector_sdk.registry import GROUP, load
from wasl_connector_sdk.scaffold import LONGEST_NAME, ScaffoldError, create, with_entry
from wasl_connector_sdk.wiring import FILES, wired

CHANGED = {
    "services/platform-gateway/pyproject.toml",
    "docs/connectors.md",
    "docker-compose.yml",
    "deploy/prometheus/prometheus.yml",
    "pyproject.toml",
}
TREE = CHANGED | {
    "services/platform-gateway/src/wasl_platform_gateway/connectors/acme.py",
    "services/platform-gateway/quality/acme.toml",
    "tests/support/fakes/acme.py",
    "tests/unit/platform_gateway/connectors/test_acme.py",
    "tests/unit/platform_gateway/connectors/test_acme_conformance.py",
    "docs/connectors/acme.md",
}
LONG = "abcdefghijklmnopqrstuvwx"


def everything(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """One cache of types for both skeletons."""
    return str(tmp_path_factory.mktemp("mypy"))


def test_a_connector_in_the_tree(tmp_path, cache):
    root = skeleton.tree(tmp_path)
    before = everything(root)
    out = skeleton.passes(root, "wasl_connector_sdk", "new", "acme", "--title", "Acme Desk")
    written = {
        str(p.relative_to(root)) for p, text in everything(root).items() if before.get(p) != text
    }
    assert written == TREE
    said = {(kind, path) for kind, path in (line.split() for line in out.splitlines()[: len(TREE)])}
    assert said == {("changed" if n in CHANGED else "new", str(root / n)) for n in TREE}
    skeleton.passes(root, "pytest", "-p", "no:cacheprovider", "tests/architecture")

    python = sorted(name for name in TREE if name.endswith(".py"))
    skeleton.passes(root, "ruff", "check", *python)
    skeleton.passes(root, "ruff", "format", "--check", *python)
    skeleton.passes(
        root, "mypy", "--strict", "--cache-dir", cache, "--explicit-package-bases", *python
    )
    tests = [name for name in python if "/test_" in name]
    out = skeleton.passes(root, "pytest", "-p", "no:cacheprovider", *tests)
    assert "passed" in out
    assert "warnings" not in out

    skeleton.passes(root, "wasl_connector_sdk", "quality")
    table = (root / "docs/connectors.md").read_text(encoding="utf-8")
    assert "| `acme` | – | 0 of 6 |" in table
    skeleton.passes(root, "wasl_connector_sdk", "quality", "--check")


def test_a_distribution_of_its_own(tmp_path, cache):
    root = tmp_path / "wasl-acme"
    skeleton.passes(
        tmp_path, "wasl_connector_sdk", "new", "acme_desk", "--external", str(root),
        "--title", "Acme Desk",
    )  # fmt: skip
    skeleton.passes(root, "ruff", "check")
    skeleton.passes(root, "ruff", "format", "--check")
    skeleton.passes(root, "mypy", "--cache-dir", cache)
    out = skeleton.passes(root, "pytest", "-p", "no:cacheprovider", "-p", "no:asyncio")
    assert "passed" in out
    skeleton.passes(root, "wasl_connector_sdk", "quality", "--claim", "acme_desk")
    skeleton.passes(root, "wasl_connector_sdk", "quality", "--check")
    claimed = tomllib.loads((root / "quality/acme_desk.toml").read_text(encoding="utf-8"))
    assert set(claimed["bronze"].values()) == {"done"}
    assert claimed["gold"]["withdrawal"] == "todo"


def test_an_installed_distribution_is_found_by_its_entry_point(tmp_path, monkeypatch):
    root, target = tmp_path / "dist", tmp_path / "site"
    create("outside", Layout(root, external=True))
    done = subprocess.run(
        [
            sys.executable, "-m", "uv", "pip", "install", "-q", "--offline", "--no-deps",
            "--no-build-isolation", "--python", sys.executable, "--target", str(target), str(root),
        ],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    monkeypatch.syspath_prepend(str(target))
    points = [
        p for d in distributions(path=[str(target)]) for p in d.entry_points if p.group == GROUP
    ]
    assert load("outside", points).manifest.title == "Outside"


@pytest.mark.parametrize("external", [False, True])
def test_the_longest_names_break_no_line(tmp_path, external):
    assert len(LONG) == LONGEST_NAME
    root = tmp_path / "root"
    layout = Layout(root, external=True) if external else Layout(skeleton.tree(root))
    written = create(LONG, layout, "A title of forty letters and no more, ok"[:40])
    python = [str(path) for path in written.new if path.suffix == ".py"]
    skeleton.passes(root, "ruff", "check", *python)
    skeleton.passes(root, "ruff", "format", "--check", *python)


# -- what is refused, before anything is written --


@pytest.mark.parametrize(
    ("name", "title", "said"),
    [
        ("Acme", "", "expected a letter a-z"),
        ("a", "", "expected a letter a-z"),
        ("9lives", "", "expected a letter a-z"),
        ("acme-desk", "", "expected a letter a-z"),
        ("../acme", "", "expected a letter a-z"),
        ("", "", "expected a letter a-z"),
        ("all", "", "reserved"),
        ("dlq", "", "reserved"),
        ("test", "", "reserved"),
        ("import", "", "cannot be the name"),
        ("sdk", "", "cannot be the name"),
        ("acme_conformance", "", "cannot be the name"),
        (LONG + "y", "", "too long"),
        ("reference", "", "exists"),
        ("acme", 'a"b', "a title is"),
        ("acme", "two\nlines", "a title is"),
        ("acme", "$name", "a title is"),
        ("acme", "x" * 41, "a title is"),
    ],
)
def test_bad_names_and_titles(tmp_path, name, title, said):
    root = skeleton.tree(tmp_path)
    before = everything(root)
    with pytest.raises(ScaffoldError, match=said):
        create(name, Layout(root), title)
    assert everything(root) == before


@pytest.mark.parametrize("there", [*sorted(TREE - CHANGED), "package"])
def test_nothing_is_overwritten(tmp_path, there):
    root = skeleton.tree(tmp_path)
    if there == "package":
        (root / skeleton.SOURCE / "connectors/acme").mkdir()
    else:
        (root / there).parent.mkdir(parents=True, exist_ok=True)
        (root / there).write_text("mine\n")
    before = everything(root)
    with pytest.raises(ScaffoldError, match=r"already there: .*acme"):
        create("acme", Layout(root))
    assert everything(root) == before


def test_a_name_declared_and_not_installed_is_taken(tmp_path):
    root = skeleton.tree(tmp_path)
    for path in create("acme", Layout(root)).new:
        path.unlink()
    before = everything(root)
    with pytest.raises(ScaffoldError, match="exists"):
        create("acme", Layout(root))
    assert everything(root) == before


def test_a_folder_in_use_is_no_new_distribution(tmp_path, capsys):
    (tmp_path / "README.md").write_text("mine\n")
    assert command.main(["new", "acme", "--external", str(tmp_path)]) == 2
    assert "README.md" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["README.md"]


@pytest.mark.parametrize(
    "inside", ["", "docs", "services/platform-gateway", "services/platform-gateway/src"]
)
def test_the_tree_is_found_from_inside(tmp_path, inside):
    root = skeleton.tree(tmp_path)
    assert Layout.around(root / inside) == Layout(root)
    create("acme", Layout(root / "mine", external=True))
    assert Layout.around(root / "mine/src") == Layout(root / "mine", external=True)


def test_outside_of_any_tree(tmp_path, capsys):
    with pytest.raises(LayoutError, match="neither"):
        Layout.around(tmp_path)
    assert command.main(["--root", str(tmp_path), "new", "acme"]) == 2
    create("acme", Layout(tmp_path, external=True))
    assert command.main(["--root", str(tmp_path), "new", "other"]) == 2
    assert "--external" in capsys.readouterr().err


# -- the entries in lists of all connectors --


@pytest.mark.parametrize("name", ["acme", "cat", "zeta_x2"])
def test_entries_are_added_once_and_nothing_else_changes(tmp_path, name):
    root = skeleton.tree(tmp_path)
    for path, text in wired(root, name, "Some Desk").items():
        was = path.read_text(encoding="utf-8")
        words = SequenceMatcher(None, was.split(), text.split(), autojunk=False).get_opcodes()
        assert {what for what, *_ in words} == {"equal", "insert"}
        path.write_text(text, encoding="utf-8")
    assert wired(root, name, "Some Desk") == {}
    assert wired(root, "reference", "Reference") == {}
    compose = yaml.safe_load((root / "docker-compose.yml").read_text(encoding="utf-8"))
    made, old = (compose["services"][f"connector-{n.replace('_', '-')}"] for n in (name, "email"))
    renamed = (
        json.dumps(old)
        .replace('"email"', f'"{name}"')
        .replace("connector_email", f"connector_{name}")
    )
    assert json.dumps(made) == renamed
    assert f"connector_{name}" in compose["secrets"]


@pytest.mark.parametrize("file", [str(path) for path in FILES])
def test_a_list_that_is_not_where_it_was(tmp_path, file):
    root = skeleton.tree(tmp_path)
    (root / file).write_text("# empty\n", encoding="utf-8")
    before = everything(root)
    with pytest.raises(ScaffoldError, match=rf"{re.escape(file)} has no list .*by hand:\n\S"):
        create("acme", Layout(root))
    (root / file).unlink()
    with pytest.raises(ScaffoldError, match=re.escape(file)):
        create("acme", Layout(root))
    before.pop(root / file)
    assert everything(root) == before


# -- the entry point --

PYPROJECT = f"""[project]
name = "x"

[project.entry-points."{GROUP}"]
# the oldest
bravo = "m:B"
delta = "m:D"  # kept

[other]
a = 1
"""


@pytest.mark.parametrize("name", ["alpha", "charlie", "echo"])
def test_an_entry_is_put_in_its_place(name):
    changed = with_entry(PYPROJECT, name, "m:X")
    lines = changed.splitlines()
    keys = [line.split(" ")[0] for line in lines if ' = "m:' in line]
    assert keys == sorted(["bravo", "delta", name])
    lines.remove(f'{name} = "m:X"')
    assert "\n".join(lines) + "\n" == PYPROJECT


@pytest.mark.parametrize(
    "text",
    [
        '[project]\nname = "x"\n',
        f'[project.entry-points]\n"{GROUP}" = {{ bravo = "m:B" }}\n',
    ],
)
def test_a_group_written_in_another_way_is_left_alone(text):
    with pytest.raises(ScaffoldError, match=r"pyproject\.toml"):
        with_entry(text, "acme", "m:X")


def test_an_entry_at_the_end_of_the_file():
    text = f'[project]\nname = "x"\n[project.entry-points."{GROUP}"]\nbravo = "m:B"\n'
    assert with_entry(text, "charlie", "m:C") == text + 'charlie = "m:C"\n'
