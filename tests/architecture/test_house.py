# SPDX-License-Identifier: Apache-2.0
"""The house is as it is drawn. Each rule has a case in which it fails."""

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
from wasl_local.reference import SERVICES, metrics_of, package, roles_of
from wasl_schemas import topics

ROOT = Path(__file__).resolve().parents[2]
ROOMS = (
    "__main__.py", "settings.py", "bootstrap.py", "consumers.py", "http.py", "handlers.py",
    "repository.py", "metrics.py", "domain",
)  # fmt: skip


def source(name: str) -> Path:
    return ROOT / "services" / name / "src" / package(name)


def missing_rooms(folder: Path) -> list[str]:
    return [room for room in ROOMS if not (folder / room).exists()]


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_has_the_same_rooms(name: str) -> None:
    assert missing_rooms(source(name)) == []
    assert (ROOT / "services" / name / "README.md").exists()


def test_a_missing_room_is_seen(tmp_path: Path) -> None:
    (tmp_path / "domain").mkdir()
    assert "bootstrap.py" in missing_rooms(tmp_path)


def topic_names(tree: ast.AST, method: str) -> set[str]:
    """Topic constants given as the first argument of ``x.<method>(topics.NAME, …)``."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == method and node.args:
            first = node.args[0]
            if isinstance(first, ast.Attribute):
                found.add(first.attr)
            elif isinstance(first, ast.Name):
                found.add(first.id)
            elif isinstance(first, ast.Call):
                found.add(getattr(first.func, "attr", getattr(first.func, "id", "")).upper())
    if found and any(
        isinstance(n, ast.Call) and getattr(n.func, "attr", "") == "dispatch_requested_v1"
        for n in ast.walk(tree)
    ):
        found.add("DISPATCH_REQUESTED_V1")  # made for each connector, kept in a variable
    return {n for n in found if n.endswith("_V1")}


def used(name: str, method: str) -> set[str]:
    out: set[str] = set()
    for path in source(name).rglob("*.py"):
        out |= topic_names(ast.parse(path.read_text(encoding="utf-8")), method)
    return out


def declared(name: str, role: str) -> set[str]:
    specs = {k: v for k, v in vars(topics).items() if isinstance(v, topics.TopicSpec)}
    specs["DISPATCH_REQUESTED_V1"] = topics.dispatch_requested_v1("reference")
    return {k for k, spec in specs.items() if name in getattr(spec, role)}


@pytest.mark.parametrize("name", SERVICES)
def test_services_consume_what_the_registry_says(name: str) -> None:
    assert used(name, "consume") == declared(name, "consumers")


@pytest.mark.parametrize("name", SERVICES)
def test_services_emit_what_the_registry_says(name: str) -> None:
    assert used(name, "emit") == declared(name, "producers")


def test_topic_names_reads_calls() -> None:
    tree = ast.parse(
        "s.consume(topics.REPORT_SUBMITTED_V1, h)\nu.emit(dispatch_requested_v1(c), d)"
    )
    assert topic_names(tree, "consume") == {"REPORT_SUBMITTED_V1"}
    assert topic_names(tree, "emit") == {"DISPATCH_REQUESTED_V1"}


@pytest.mark.parametrize("name", SERVICES)
def test_metrics_are_named_and_explained(name: str) -> None:
    for metric in metrics_of(name):
        assert re.fullmatch(r"wasl_[a-z0-9_]+", metric.name), metric.name
        assert metric.help.endswith("."), metric.name
        if metric.kind == "counter":
            assert metric.name.endswith("_total"), metric.name
        if metric.kind == "histogram":
            assert metric.name.endswith(("_seconds", "_bytes")), metric.name


@pytest.mark.parametrize("name", SERVICES)
def test_every_setting_is_described(name: str) -> None:
    missing = [
        field
        for role in roles_of(name)
        for field, info in role.model_fields.items()
        if not info.description
    ]
    assert missing == []


@pytest.mark.parametrize(
    "command",
    [
        [sys.executable, "-m", "wasl_local.reference", "--check"],
        [sys.executable, "-m", "wasl_schemas.generate", "--check"],
    ],
)
def test_generated_files_are_fresh(command: list[str]) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def words_of_the_domain(text: str) -> set[str]:
    code = re.sub(r'""".*?"""|#[^\n]*', "", text, flags=re.DOTALL).lower()
    return {
        word
        for word in (
            "platform_",
            "triage",
            "intake",
            "partner",
            "case_id",
            "report_id",
            "dispatch_id",
        )
        if word in code
    }


def test_the_chassis_knows_no_word_of_the_domain() -> None:
    folder = ROOT / "services/chassis/src/wasl_chassis"
    found = {
        path.name: words
        for path in folder.rglob("*.py")
        if (words := words_of_the_domain(path.read_text(encoding="utf-8")))
    }
    assert found == {}
    assert words_of_the_domain("x.report_id") == {"report_id"}


def test_no_module_opens_anything_at_import() -> None:
    for name in SERVICES:
        importlib.import_module(f"{package(name)}.__main__")
        importlib.import_module(f"{package(name)}.bootstrap")


def test_the_tree_stands_alone() -> None:
    """No path of a machine, no registry's address, in any tracked file."""
    done = subprocess.run(
        ["git", "grep", "-nIE", r"/[w]ork/(shared|main)|files\.pythonhosted|pypi\.org|repo1\.maven"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.splitlines() == []


def test_import_contracts_hold() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
