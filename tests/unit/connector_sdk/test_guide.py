# SPDX-License-Identifier: Apache-2.0
"""docs/writing-a-connector.md works: it is followed here, command by command, block by block."""

import ast
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import skeleton
from wasl_connector_sdk import Outcome
from wasl_connector_sdk import __main__ as command
from wasl_connector_sdk.quality import section

GUIDE = (skeleton.ROOT / "docs/writing-a-connector.md").read_text(encoding="utf-8")
#: What the make targets of the guide run, after `setup`. The Makefile says the same; see below.
MAKE = {
    "new-connector": ("wasl_connector_sdk", "new"),
    "quality": ("wasl_connector_sdk", "quality"),
}
STEP = re.compile(r"^```(\w+)\n(.*?)^```$|`([\w./-]+\.(?:py|md))`", re.DOTALL | re.MULTILINE)


def steps(text: str) -> list[tuple[str, str, str]]:
    """Kind, file named last before, block."""
    found, file = [], ""
    for match in STEP.finditer(text):
        kind, block, named = match.groups()
        if named:
            file = named
        else:
            found.append((kind, file, block))
    return found


def _name(node: ast.stmt) -> str | None:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return node.name
    target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
    return ast.unparse(target) if target is not None else None


def applied(source: str, block: str) -> str:
    """As the guide says: the same name is replaced, a new one added, imports go to the top."""
    inner = block.startswith("    ")
    lines = (block if not inner else re.sub("^    ", "", block, flags=re.MULTILINE)).splitlines()
    begin = 0
    for node in ast.parse("\n".join(lines)).body:
        piece = "\n".join(lines[begin : node.end_lineno])  # with the comments above it
        begin = node.end_lineno or 0
        source = _placed(source, node, piece.strip("\n"), inner=inner)
    return source


def _placed(source: str, node: ast.stmt, piece: str, *, inner: bool) -> str:
    tree, lines = ast.parse(source), source.splitlines()
    body = tree.body
    if inner:
        body = [n for n in body if isinstance(n, ast.ClassDef)][-1].body
        piece = re.sub("^(?=.)", "    ", piece, flags=re.MULTILINE)
    if isinstance(node, ast.ImportFrom):
        first = next(n for n in body if isinstance(n, ast.Import | ast.ImportFrom))
        return "\n".join([*lines[: first.lineno - 1], piece, *lines[first.lineno - 1 :]]) + "\n"
    same = [n for n in body if _name(n) == _name(node)]
    if same:
        start = min([same[0].lineno, *(d.lineno for d in getattr(same[0], "decorator_list", []))])
        return "\n".join([*lines[: start - 1], piece, *lines[same[0].end_lineno :]]) + "\n"
    # Constants stand before the first class or function, the rest at the end of its scope.
    constant = isinstance(node, ast.Assign | ast.AnnAssign) and not inner
    at = next(n.lineno for n in body if _name(n) and n.col_offset == 0) - 1 if constant else None
    at = (body[-1].end_lineno or 0) if at is None else at
    return "\n".join([*lines[:at], "", piece, "", *lines[at:]]) + "\n"


def follow(root: Path, line: str) -> str:
    program, *arguments = shlex.split(line)
    if program == "make":
        target, *given = arguments
        values = dict(pair.split("=", 1) for pair in given)
        if target == "fix":
            places = [str(root / p) for p in (skeleton.SOURCE / "connectors/acme.py", "tests/support",
                      "tests/unit/platform_gateway/connectors/test_acme.py")]  # fmt: skip
            skeleton.passes(root, "ruff", "format", *places)
            skeleton.passes(root, "ruff", "check", "--fix", *places)
            return skeleton.passes(root, "ruff", "format", *places)
        options = {"NAME": "", "TITLE": "--title", "CLAIM": "--claim"}
        flat = [part for name, value in values.items() for part in (options[name], value) if part]
        return skeleton.passes(root, *MAKE[target], *flat)
    tool = {".venv/bin/pytest": ["pytest", "-p", "no:cacheprovider"], ".venv/bin/mypy": ["mypy"]}
    spread = [str(path) for given in arguments for path in (sorted(root.glob(given)) or [given])]
    return skeleton.passes(root, *tool[program], *spread)


def test_the_guide_leads_to_a_connector(tmp_path):
    root = skeleton.tree(tmp_path)
    outputs = []
    for kind, file, block in steps(GUIDE):
        if kind == "sh":
            outputs += [follow(root, line) for line in block.splitlines()]
        else:
            path = root / file
            text = path.read_text(encoding="utf-8")
            changed = applied(text, block) if kind == "python" else f"{text}\n{block}"
            assert changed != text
            path.write_text(changed, encoding="utf-8")
    runs = [out for out in outputs if " passed" in out]
    assert len(runs) == 2
    # The finished connector skips fewer rules: it can withdraw, and it names its production.
    skipped = [int(re.search(r"(\d+) skipped", out)[1]) for out in runs]
    assert skipped[1] < skipped[0]

    page = (root / "docs/connectors.md").read_text(encoding="utf-8")
    assert "| `acme` | bronze | 6 of 6 | 3 of 4 | 2 of 4 | sandbox-test, load-figure," in page
    skeleton.passes(root, "wasl_connector_sdk", "quality", "--check")
    python = [str(p) for p in root.rglob("*acme*.py")]
    skeleton.passes(root, "ruff", "check", *python)
    skeleton.passes(root, "ruff", "format", "--check", *python)
    # As `make test` demands: in every list of connectors.
    skeleton.passes(root, "pytest", "-p", "no:cacheprovider", "tests/architecture")

    # The fake refuses what is too long, so the kit finds a cut that was forgotten.
    source = root / skeleton.SOURCE / "connectors/acme.py"
    text = source.read_text(encoding="utf-8")
    assert text.count("[:2000]") == 1
    source.write_text(text.replace("[:2000]", ""), encoding="utf-8")
    kit = "tests/unit/platform_gateway/connectors/test_acme_conformance.py"
    said = skeleton.run(root, "pytest", "-p", "no:cacheprovider", "-k", "extremes", kit).stdout
    assert "an explanation of 20,000 characters: the partner answers 400" in said


@pytest.mark.parametrize("target", sorted(MAKE))
def test_the_makefile_has_the_commands_of_the_guide(target):
    makefile = (skeleton.ROOT / "Makefile").read_text(encoding="utf-8")
    recipe = re.search(rf"^{target}:[^\n]*\n((?:\t[^\n]*\n)+)", makefile, re.MULTILINE)
    assert recipe, f"the Makefile has no target {target}"
    assert f"python -m {' '.join(MAKE[target])}" in recipe[1]


@pytest.mark.parametrize(("left", "status"), [(0, 0), (1, 2)])
def test_fix_formats_whatever_the_linter_leaves(tmp_path, left, status):
    """`make` itself ends in 2 where a recipe fails."""
    ruff, log, stamp = tmp_path / "ruff", tmp_path / "log", tmp_path / "stamp"
    ruff.write_text(f'#!/bin/sh\necho "$@" >> {log}\n[ "$1" = format ] || exit {left}\n')
    ruff.chmod(0o755)
    stamp.touch()
    command = ["make", "fix", f"BIN={tmp_path}", f"STAMP={stamp}"]
    done = subprocess.run(command, cwd=skeleton.ROOT, capture_output=True, check=False)
    assert done.returncode == status
    assert log.read_text().splitlines() == ["format -q", "check --fix", "format"]


def test_what_the_guide_sends_readers_to_is_there(capsys):
    page = (skeleton.ROOT / "docs/connectors.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(\w+)` \|", section(page, "outcomes"), re.MULTILINE)
    assert listed == [outcome.value for outcome in Outcome]

    assert command.main(["--root", str(skeleton.ROOT), "categories"]) == 0
    said = capsys.readouterr().out
    assert "\nphishing_malware: " in said
    for link in re.findall(r"\]\(([^)#]+)", GUIDE):
        assert (skeleton.ROOT / "docs" / link).exists(), link


@pytest.mark.parametrize("text", ["", "[[categories]]\nid = 'x'\n", "categories = 1\n", "["])
def test_a_pack_without_categories(tmp_path, capsys, text):
    (tmp_path / "taxonomy.toml").write_text(text)
    assert command.main(["categories", str(tmp_path)]) == 2
    assert "taxonomy.toml: expected [[categories]] with id, label.en" in capsys.readouterr().err


def test_the_guide_is_short_and_names_every_rule():
    from wasl_connector_sdk.quality import RULES

    assert len(GUIDE.splitlines()) <= 120
    assert [rule.name for rule in RULES if f"`{rule.name}`" not in GUIDE] == []


def test_a_block_replaces_what_has_its_name_and_adds_what_has_not():
    source = '"""Doc."""\n\nimport a\n\n#: Old.\nX = 1\n\n\nclass A:\n    y = 1\n\n    def f(self):\n        return 1\n'
    assert "X = 2" in applied(source, "X = 2\n")
    assert "X = 1" not in applied(source, "X = 2\n")
    assert applied(source, "from b import c\n").index("from b") < applied(
        source, "from b import c\n"
    ).index("import a")
    changed = applied(source, "    y = 3\n\n    def g(self):\n        return 2\n")
    assert [n.name for n in ast.parse(changed).body[-1].body if isinstance(n, ast.FunctionDef)] == [
        "f",
        "g",
    ]
    assert "y = 3" in changed
    assert "y = 1" not in changed
