# SPDX-License-Identifier: Apache-2.0
"""Every built-in connector is all there: an entry point, a page, a conformance test, a service."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GATEWAY = ROOT / "services" / "platform-gateway"
_PROJECT = tomllib.loads((GATEWAY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
BUILT_IN = sorted(_PROJECT["entry-points"]["wasl.connectors"])
MODULES = {
    path.stem if path.suffix else path.name
    for path in (GATEWAY / "src" / "wasl_platform_gateway" / "connectors").iterdir()
    if not path.name.startswith("_")
}


def test_every_module_is_reached_by_an_entry_point() -> None:
    reached = {
        value.partition(":")[0].split(".")[2]
        for value in _PROJECT["entry-points"]["wasl.connectors"].values()
    }
    assert reached == MODULES


@pytest.mark.parametrize("name", BUILT_IN)
def test_it_is_described(name: str) -> None:
    table = (ROOT / "docs" / "connectors.md").read_text(encoding="utf-8")
    assert f"| [`{name}`](" in table, f"docs/connectors.md has no row for '{name}'"
    row = table[table.index(f"| [`{name}`](") :]
    target = row[row.index("(") + 1 : row.index(")")]
    there = f"\n## {name}\n" in table if target == f"#{name}" else (ROOT / "docs" / target).exists()
    assert there, f"docs/connectors.md links '{name}' to {target}, which is not there"


@pytest.mark.parametrize("name", BUILT_IN)
def test_it_runs_as_a_service_of_its_own(name: str) -> None:
    compose = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    service = name.replace("_", "-")
    block = re.search(
        rf"^  connector-{service}:.*?(?=^  \S|^  #)", compose, re.MULTILINE | re.DOTALL
    )
    assert block, f"docker-compose.yml has no service 'connector-{service}'"
    assert f'"--connector", "{name}"' in block[0]
    assert f"source: connector_{name}," in block[0]
    assert f"\n  connector_{name}: {{ file:" in compose, "its settings are no secret of the stack"
    scraped = (ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text(encoding="utf-8")
    assert re.search(rf"- connector-{service}(:9100)?\n", scraped), "Prometheus does not look at it"
