# SPDX-License-Identifier: Apache-2.0
"""Every built-in connector is all there: an entry point, a page, a service, its metrics' target.

``make new-connector`` writes all of it; what is missing is named with the line to paste.
"""

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


#: Not independent: it fills in the same desks' forms as `email`.
SHARING = {"assisted"}


def read(file: str) -> str:
    return (ROOT / file).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", BUILT_IN)
def test_it_is_described(name: str) -> None:
    table = read("docs/connectors.md")
    row = f"| [`{name}`](connectors/{name}.md) | for | same request twice | answers |"
    assert f"| [`{name}`](" in table, f"docs/connectors.md, first table: no row\n{row}"
    given = table[table.index(f"| [`{name}`](") :]
    target = given[given.index("(") + 1 : given.index(")")]
    there = f"\n## {name}\n" in table if target == f"#{name}" else (ROOT / "docs" / target).exists()
    assert there, f"docs/connectors.md links '{name}' to {target}, which is not there"


@pytest.mark.parametrize("name", BUILT_IN)
def test_it_runs_as_a_service_of_its_own(name: str) -> None:
    file, service = "docker-compose.yml", name.replace("_", "-")
    compose = read(file)
    block = re.search(
        rf"^  connector-{service}:.*?(?=^  \S|^  #)", compose, re.MULTILINE | re.DOTALL
    )
    assert block, f"{file}, services: no 'connector-{service}'; copy 'connector-email' and rename"
    command = f'"--connector", "{name}"'
    assert command in block[0], f"{file}, connector-{service}: its command lacks {command}"
    own = f"{{ source: connector_{name}, target: connector }}"
    assert own in block[0], f"{file}, connector-{service}: its secrets lack\n{own}"
    secret = f'  connector_{name}: {{ file: "${{WASL_SECRETS:-.wasl/compose}}/connector_{name}" }}'
    assert f"\n{secret}\n" in compose, f"{file}, secrets at its end: no line\n{secret}"


@pytest.mark.parametrize("name", BUILT_IN)
def test_prometheus_looks_at_it(name: str) -> None:
    file, target = "deploy/prometheus/prometheus.yml", f"- connector-{name.replace('_', '-')}"
    found = f"          {target}\n" in read(file)
    assert found, f"{file}, names of the job 'connectors': no line\n          {target}"


def test_connectors_know_nothing_of_each_other() -> None:
    file, contract = "pyproject.toml", "connectors are independent"
    contracts = tomllib.loads(read(file))["tool"]["importlinter"]["contracts"]
    (listed,) = (c["modules"] for c in contracts if c["name"] == contract)
    wanted = {f"wasl_platform_gateway.connectors.{module}" for module in MODULES - SHARING}
    missing = "\n".join(f'  "{module}",' for module in sorted(wanted - set(listed)))
    assert not missing, f"{file}, modules of '{contract}': no line\n{missing}"
