# SPDX-License-Identifier: Apache-2.0
"""Other rules tried on the past: what would change, and what the past does not tell."""

from datetime import timedelta
from typing import Any

import pytest
from rules_kit import rule
from triage_world import Hub
from wasl_chassis.metrics import Metrics
from wasl_chassis.vault import Vault
from wasl_chassis.work import UnitOfWork
from wasl_schemas.country_pack import CountryPack
from wasl_schemas.events.common import Severity
from wasl_schemas.rules import RulesFile
from wasl_triage.domain.case import Case
from wasl_triage.domain.facts import Facts, domains
from wasl_triage.repository import CASES, REPORTS, Report
from wasl_triage.rules import backtest as module
from wasl_triage.rules import memory
from wasl_triage.rules.backtest import Change, Result, backtest
from wasl_triage.rules.engine import RuleSet
from wasl_triage.rules.memory import RULE_HITS, forget, remember, would_have

QUEUE = '{ kind = "queue", queue = "speech" }'
PAGE = '{ kind = "page" }'
HELD = '{ kind = "hold" }'


@pytest.fixture
def hub() -> Hub:
    hub = Hub()
    hub.metrics = Metrics(memory.METRICS)
    return hub


class Past:
    """Reports that came; ``kept`` ones with their facts."""

    def __init__(self, hub: Hub, pack: CountryPack) -> None:
        self.hub, self.pack = hub, pack
        self.start = hub.clock.now()
        self.none = RuleSet.compile(pack, RulesFile())

    async def came(
        self, n: int, facts: Facts, *, rules: RuleSet | None = None, kept: bool = True
    ) -> str:
        """Report n about case n, one minute after the one before."""
        uow, rules = self.hub.unit(), rules or self.none
        case_id, report_id = f"{n:032x}", f"report-{n}"
        uow.keys.create(case_id)
        now = self.hub.clock.now()
        case = Case(
            id=case_id, platform="social", kind="post", item="s1.x.y", language="en",
            opened_at=now, round_at=now, first_look_due=now, severity=Severity(facts.severity),
            category=facts.category or None, reported={facts.category: 1} if facts.category else {},
            reports=1,
        )  # fmt: skip
        uow.put(CASES, case)
        uow.put(
            REPORTS,
            Report(
                report_id, now, facts.channel, "en", "en", facts.category or None,
                tuple(sorted(facts.signals)), True, False, (case_id,), "s1.x.y",
            ),
        )  # fmt: skip
        if kept:
            outcome = rules.evaluate(facts)
            await remember(
                uow, self.hub.metrics, report_id=report_id, case_id=case_id, facts=facts,
                outcome=outcome, version=rules.version,
            )  # fmt: skip
        await self.hub.commit(uow)
        self.hub.clock.advance(timedelta(minutes=1))
        return case_id

    async def tried(self, then: RuleSet, now: RuleSet | None = None, **more: Any) -> Result:
        given = {"since": self.start, "limit": 100, **more}
        return await backtest(self.hub.store, self.pack, now or self.none, then, **given)


@pytest.fixture
def past(hub: Hub, example: CountryPack) -> Past:
    return Past(hub, example)


async def test_cases_that_would_be_treated_otherwise_are_named(past: Past, make) -> None:
    now = make(rule("danger", PAGE))
    then = make(rule("danger", PAGE, QUEUE), rule("flood", HELD, fires="flood = true"))
    a = await past.came(1, Facts(category="insult", danger=True))
    b = await past.came(2, Facts(category="scam", flood=True))
    await past.came(3, Facts(category="scam"))
    got = await past.tried(then, now)
    assert got.changes == [
        Change(a, "report-1", "queue", "", "speech"),
        Change(b, "report-2", "hold", "", "hold"),
    ]
    assert (got.reports, got.rows, got.rebuilt, got.more) == (3, 3, 0, False)
    assert got.effects == {"page": [1, 1], "queue speech": [0, 1], "hold": [0, 1]}
    assert got.rules == {"r0": [1, 1], "r1": [0, 1]}
    table = {(r["about"], r["name"]): (r["now"], r["then"]) for r in got.table()}
    assert table["looked at", "reports"] == (3, 3)
    assert table["effect", "queue speech"] == (0, 1)
    assert table["changed", "queue"] == ("", 1)
    assert table["case queue", a] == ("", "speech")


async def test_severity_category_and_requests_are_compared(past: Past, make) -> None:
    then = make(
        rule("!speech && danger", '{ kind = "set", level = "high" }'),
        rule(
            "'bad.example' in domains && !speech",
            '{ kind = "classify", category = "scam" }',
            fires='host = "bad.example"',
        ),
        rule(
            'channel == "partner" && category == "scam"',
            '{ kind = "dispatch", category = "scam", partner = "social", '
            'ground = { kind = "law", ref = "xx.code.1" }, confirm = "none" }',
            fires='channel = "partner", category = "scam"',
        ),
        rule("danger", PAGE, more='mode = "shadow"\n'),
    )
    a = await past.came(1, Facts(category="scam", channel="partner", danger=True))
    host = "www.bad.example"
    b = await past.came(2, Facts(host=host, domains=domains(host)))
    got = await past.tried(then, keys=past.hub.unit())
    assert got.changes == [
        Change(a, "report-1", "severity", "", "high"),
        Change(a, "report-1", "dispatch", "", "social"),
        Change(b, "report-2", "classify", "", "scam"),
    ]
    assert got.rules["r3 (shadow)"] == [0, 1]
    assert not got.missing


async def test_what_the_past_does_not_tell_is_counted(past: Past, make) -> None:
    """Hosts without the key; of reports from before facts were kept, what their rows lack."""
    host = "www.bad.example"
    facts = Facts(category="scam", host=host, domains=domains(host), danger=True)
    await past.came(1, facts)
    then = make(
        rule("'bad.example' in domains", QUEUE, fires='host = "bad.example"'),
        rule("copies > 3 && !speech", PAGE, fires="copies = 4"),
    )
    got = await past.tried(then)
    assert (got.missing, got.changes) == ({"domains": 1}, [])
    await past.came(2, facts, kept=False)
    got = await past.tried(then, keys=past.hub.unit())
    assert (got.rebuilt, got.missing) == (1, {"domains": 1, "copies": 1})
    assert [c.report_id for c in got.changes] == ["report-1"]
    assert ("not known", "copies") in [(r["about"], r["name"]) for r in got.table()]


async def test_reports_from_before_facts_were_kept_are_tried_too(past: Past, make) -> None:
    await past.came(
        1,
        Facts(category="scam", channel="partner", signals=frozenset({"immediate_danger"})),
        kept=False,
    )
    then = make(
        rule(
            'danger && category == "scam" && channel == "partner" && platform == "social" '
            '&& severity == "critical" && hour == 9 && weekday == "monday"',
            QUEUE,
            fires='danger = true, category = "scam", channel = "partner", platform = "social", '
            'severity = "critical", hour = 9',
        )
    )
    got = await past.tried(then)
    assert [(c.what, c.then) for c in got.changes] == [("queue", "speech")]


async def test_a_host_is_only_opened_where_a_rule_reads_it(past: Past, make, monkeypatch) -> None:
    host = "www.bad.example"
    await past.came(1, Facts(host=host, domains=domains(host), danger=True))
    wrong = UnitOfWork(
        past.hub.store, past.hub.clock, "/x", Vault({"m1": b"another key of 32 bytes, exactly"})
    )
    got = await past.tried(make(rule("danger", PAGE)), keys=wrong)
    assert (len(got.changes), got.missing) == (1, {})


async def test_a_destroyed_key_is_a_host_that_is_not_known(past: Past, make) -> None:
    host = "www.bad.example"
    case_id = await past.came(1, Facts(host=host, domains=domains(host)))
    uow = past.hub.unit()
    await uow.keys.destroy(case_id)
    await past.hub.commit(uow)
    then = make(rule("'bad.example' in domains", QUEUE, fires='host = "bad.example"'))
    got = await past.tried(then, keys=past.hub.unit())
    assert (got.missing, got.changes) == ({"domains": 1}, [])


async def test_all_pages_are_read_once_and_the_limit_holds(past: Past, make, monkeypatch) -> None:
    monkeypatch.setattr(module, "PAGE", 3)
    monkeypatch.setattr(past.hub.clock, "advance", lambda _: None)
    for n in range(8):
        await past.came(n, Facts(danger=True))  # all at one instant: wider than a page
    monkeypatch.undo()
    monkeypatch.setattr(module, "PAGE", 3)
    past.hub.clock.advance(timedelta(minutes=5))
    for n in range(8, 20):
        await past.came(n, Facts(danger=True))
    then = make(rule("danger", PAGE))
    got = await past.tried(then)
    assert (got.reports, got.changed["page"], got.more) == (20, 20, False)
    assert len({c.report_id for c in got.changes}) == 20
    short = await past.tried(then, limit=7)
    assert (short.reports, short.rows, short.more) == (7, 7, True)
    assert {
        "about": "looked at",
        "name": "there are more: raise --limit",
        "now": "",
        "then": "",
    } in short.table()
    late = await past.tried(then, since=past.start + timedelta(minutes=5))
    assert late.reports == 12


async def test_changes_are_listed_up_to_a_number_and_all_counted(
    past: Past, make, monkeypatch
) -> None:
    monkeypatch.setattr(module, "LISTED", 2)
    for n in range(5):
        await past.came(n, Facts(danger=True))
    got = await past.tried(make(rule("danger", PAGE)))
    assert (len(got.changes), got.changed["page"]) == (2, 5)


async def test_nothing_is_written(past: Past, make) -> None:
    await past.came(1, Facts(danger=True, host="a.test", domains=domains("a.test")))
    before = str(past.hub.store.docs)
    await past.tried(make(rule("danger", PAGE)), keys=past.hub.unit())
    assert str(past.hub.store.docs) == before


# -- what is kept of each report -----------------------------------------------------------------------


async def test_what_a_rule_on_trial_would_have_done_is_kept(past: Past, make) -> None:
    rules = make(
        rule("danger", PAGE),
        rule("danger", QUEUE, more='mode = "shadow"\n'),
        rule('channel == "partner" && !speech',
             '{ kind = "dispatch", category = "scam", partner = "social", '
             'ground = { kind = "law", ref = "xx.code.1" }, confirm = "none" }',
             fires='channel = "partner"'),
    )  # fmt: skip
    case_id = await past.came(1, Facts(danger=True, channel="partner"), rules=rules)
    (hit,) = await would_have(past.hub.store, case_id)
    assert (hit.because, hit.shadow) == (("r0", "r2"), (("r1", "queue speech"),))
    assert hit.withheld == (("r2", "dispatch social", "other_category"),)
    value = past.hub.metrics.value
    assert value("wasl_triage_rule_hits_total", rule="r0", mode="active") == 1
    assert value("wasl_triage_rule_hits_total", rule="r1", mode="shadow") == 1


async def test_the_address_is_sealed_and_hits_are_forgotten(past: Past, make) -> None:
    host = "very-secret.example"
    case_id = await past.came(1, Facts(host=host, domains=domains(host), reports=3))
    assert "very-secret" not in str(past.hub.store.docs)
    assert past.hub.store.docs["rule_hits"][f"report-1|{case_id}"]["facts"] == {"reports": 3}
    assert RULE_HITS.indexes[0].ttl == 90 * 86_400
    uow = past.hub.unit()
    await forget(uow, "report-1", [case_id])
    await past.hub.commit(uow)
    assert await would_have(past.hub.store, case_id) == []


def test_facts_come_back_from_the_database_as_they_were() -> None:
    host = "a.b.example"
    facts = Facts(
        category="scam", host=host, domains=domains(host), signals=frozenset({"press", "has_url"}),
        reports=7, flood=True, working_day=False, hour=0,
    )  # fmt: skip
    stored = facts.stored()
    assert stored == {
        "category": "scam", "signals": ["has_url", "press"], "reports": 7, "flood": True,
        "working_day": False, "hour": 0,
    }  # fmt: skip
    assert Facts.of(stored, host) == facts
    assert Facts.of({}) == Facts()
    assert domains(host) == {"a.b.example", "b.example", "example"}
