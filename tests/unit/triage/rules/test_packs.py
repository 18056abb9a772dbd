# SPDX-License-Identifier: Apache-2.0
"""The packs' rules hold their examples, and the documentation shows the facts there are."""

import re
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import cel
import pytest
from hypothesis import HealthCheck, given, settings
from rules_kit import facts
from wasl_schemas.country_pack import CountryPack
from wasl_schemas.events.common import Severity
from wasl_triage.domain.facts import VARIABLES, Facts, domains, moment, table
from wasl_triage.rules.engine import RuleSet, cel_variables
from wasl_triage.rules.expressions import parse

DOC = Path(__file__).parents[4] / "docs" / "architecture" / "rules.md"


@pytest.mark.parametrize("name", ["ma", "example"])
def test_every_example_holds(name: str, request: pytest.FixtureRequest) -> None:
    pack: CountryPack = request.getfixturevalue(name)
    rules = RuleSet.compile(pack)
    for n, rule in enumerate(rules.rules):
        for example in rule.examples:
            stated = {
                k: frozenset(v) if isinstance(v, tuple) else v for k, v in example.facts.items()
            }
            some = Facts(**{"domains": domains(str(stated.get("host", ""))), **stated})  # type: ignore[arg-type]
            assert (n in rules.fired(some)) is example.fires, (rule.id, example)


def test_morocco_pages_for_danger_and_leaves_speech_alone(ma: CountryPack) -> None:
    rules = RuleSet.compile(ma)
    danger = rules.evaluate(Facts(category="defamation", severity="critical", danger=True))
    assert (danger.page, danger.severity) == (True, Severity.CRITICAL)
    crowd = rules.evaluate(Facts(category="defamation", reports=5000, copies=500))
    assert (crowd.severity, crowd.page, crowd.queue, crowd.flags) == (
        Severity.LOW, False, None, ("crowd", "campaign"),
    )  # fmt: skip
    known = rules.evaluate(Facts(category="other_illegal", hash_banks=frozenset({"iwf"})))
    assert (known.queue, known.severity, known.page) == ("children", Severity.CRITICAL, True)
    assert known.suggested == ("csam",)


def test_morocco_names_only_words_that_are_asked_for(ma: CountryPack) -> None:
    """15 to 25 rules, each queue of the desk that a rule can name is a queue."""
    rules = ma.rules.rules
    assert 15 <= len(rules) <= 25
    assert {e.queue for r in rules for e in r.then if e.kind == "queue"} <= set(ma.queues)
    assert {r.mode for r in rules} == {"active", "shadow"}


@cache
def compiled(pack: CountryPack) -> RuleSet:
    return RuleSet.compile(pack)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(facts())
def test_the_packs_rules_mean_what_cel_means(ma: CountryPack, some: Facts) -> None:
    rules = compiled(ma)
    speech = frozenset({"defamation", "hate_speech", "disinformation", "lawful_objectionable"})
    known = cel_variables(some, speech)
    meant = [n for n, r in enumerate(rules.rules) if cel.compile(r.when).execute(known)]
    assert rules.fired(some) == meant


def test_the_documentation_shows_the_facts() -> None:
    text = DOC.read_text(encoding="utf-8")
    found = re.search(r"<!-- facts:.*?-->\n\n(.*?)\n\n<!-- end of facts -->", text, re.DOTALL)
    assert found, "docs/architecture/rules.md: expected the table of facts between its two comments"
    assert found.group(1) == table(), (
        "print(wasl_triage.domain.facts.table()) into docs/architecture/rules.md"
    )
    assert all(parse(f"{v} == {v}", {}) for v, k in VARIABLES.items() if k.type != "set")


def test_every_effect_and_bound_is_in_the_documentation() -> None:
    text = DOC.read_text(encoding="utf-8")
    for kind in (
        "queue",
        "raise",
        "lower",
        "set",
        "flag",
        "page",
        "suggest",
        "classify",
        "hold",
        "dispatch",
    ):
        assert f"`{kind}`" in text


def test_a_moment_is_told_in_the_packs_zone(ma: CountryPack) -> None:
    saturday = datetime(2026, 11, 21, 23, 30, tzinfo=UTC)
    assert moment(ma, saturday) == {"hour": 0, "weekday": "sunday", "working_day": False}
    holiday = datetime(2026, 11, 18, 11, tzinfo=UTC)
    assert moment(ma, holiday) == {"hour": 12, "weekday": "wednesday", "working_day": False}
