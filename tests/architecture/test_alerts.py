# SPDX-License-Identifier: Apache-2.0
"""No alert without an action, none about what nobody measures, no runbook nobody is sent to."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer import Context
from typer.core import TyperGroup
from typer.main import get_command
from wasl_chassis import consuming, outbox, service
from wasl_chassis.metrics import Metric
from wasl_cli.app import build
from wasl_local.reference import SERVICES, metrics_of

ROOT = Path(__file__).resolve().parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
RUNBOOKS = ROOT / "deploy" / "runbooks"
DECLARED: dict[str, Metric] = {
    metric.name: metric
    for metrics in (
        service.METRICS,
        consuming.METRICS,
        outbox.METRICS,
        *(metrics_of(name) for name in SERVICES),
    )
    for metric in metrics
}
#: Labels Prometheus adds to whatever it reads; see prometheus.yml.
OF_TARGETS = {"instance", "job", "service_name"}


def rules() -> list[dict[str, Any]]:
    held = yaml.safe_load((PROMETHEUS / "rules.yml").read_text(encoding="utf-8"))
    return [rule for group in held["groups"] for rule in group["rules"]]


ALERTS = {rule["alert"]: rule for rule in rules()}
PAGES = sorted(RUNBOOKS.glob("*.md"))


def unmeasured(expr: str) -> list[str]:
    """What of an expression no service declares: a metric, or a label of one."""
    found = []
    for name, matchers in re.findall(r"\b(wasl_[a-z0-9_]+)(?:\{([^}]*)\})?", expr):
        metric = DECLARED.get(re.sub(r"_(bucket|sum|count)$", "", name)) or DECLARED.get(name)
        if metric is None:
            found.append(name)
            continue
        used = set(re.findall(r"(\w+)\s*[=!]", matchers))
        found += sorted(f"{name}{{{label}}}" for label in used - {*metric.labels, *OF_TARGETS})
    return found


def test_an_undeclared_metric_and_an_undeclared_label_are_seen() -> None:
    expr = 'wasl_no_such > 0 and wasl_connector_up{conector="x", job="y"} == 0'
    assert unmeasured(expr) == ["wasl_no_such", "wasl_connector_up{conector}"]


def test_every_alert_has_its_own_name() -> None:
    assert len(ALERTS) == len(rules())


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_how_urgent_what_and_where_to_read_on(name: str) -> None:
    rule = ALERTS[name]
    assert rule["labels"].get("severity") in ("page", "ticket")
    assert rule["annotations"].get("summary")
    page = ROOT / rule["annotations"].get("runbook", "")
    assert page.parent == RUNBOOKS and page.is_file()
    title = page.read_text(encoding="utf-8").partition("\n")[0]
    assert name in re.findall(r"\w+", title), f"{page.name} does not name {name} in its title"


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_is_about_what_is_measured(name: str) -> None:
    assert unmeasured(ALERTS[name]["expr"]) == []


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_was_seen_to_fire(name: str) -> None:
    tests = yaml.safe_load((PROMETHEUS / "rules.test.yml").read_text(encoding="utf-8"))["tests"]
    looks = [look for test in tests for look in test["alert_rule_test"]]
    assert any(look["exp_alerts"] for look in looks if look["alertname"] == name)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_runbook_is_short_and_somebody_is_sent_to_it(page: Path) -> None:
    sent = {ROOT / rule["annotations"]["runbook"] for rule in ALERTS.values()}
    assert page in sent
    text = page.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 30
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert (RUNBOOKS / target).is_file(), target


def missing_commands(text: str) -> list[str]:
    """``wasl GROUP COMMAND`` of a text that the operators' command does not have."""
    root = get_command(build())
    assert isinstance(root, TyperGroup)
    found = []
    for group, name in re.findall(r"\bwasl ([a-z-]+)(?: ([a-z]+))?", text):
        command = root.commands.get(group)
        known = command is not None and (
            not isinstance(command, TyperGroup) or name in command.list_commands(Context(command))
        )
        if not known:
            found.append(f"wasl {group} {name}".rstrip())
    return found


def test_a_command_that_is_not_there_is_seen() -> None:
    text = "`wasl doctor`, wasl dlq list, wasl connectors heal NAME, wasl nothing"
    assert missing_commands(text) == ["wasl connectors heal", "wasl nothing"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_of_a_runbook_exist(page: Path) -> None:
    assert missing_commands(page.read_text(encoding="utf-8")) == []
