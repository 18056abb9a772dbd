# SPDX-License-Identifier: Apache-2.0
"""What is kept about rules: every set that was served, and what the rules said to each report.

A set's row tells who made it, when and why, and which rules it added, changed and removed. A hit
keeps the facts as they were, so that other rules can be tried on them later; the host is sealed
with the case's key, and hits are forgotten after ``KEEP``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from wasl_chassis.metrics import Metric, Metrics
from wasl_chassis.store import Collection, Index, Store
from wasl_chassis.work import UnitOfWork

from wasl_triage.domain.facts import Facts
from wasl_triage.rules.engine import Outcome, words

#: How long the past is there to try rules on.
KEEP = timedelta(days=90)
#: AAD field name of the host.
HOST = "case.host"

METRICS = (
    Metric("gauge", "wasl_triage_rules_version", "Version of the rules that are served."),
    Metric(
        "gauge",
        "wasl_triage_rules_refused",
        "1 while rules.toml cannot be used and an older set is served.",
    ),
    Metric(
        "counter",
        "wasl_triage_rule_hits_total",
        "Reports for which a rule fired, by what it may do.",
        ("rule", "mode"),
    ),
    Metric(
        "counter",
        "wasl_triage_rule_failures_total",
        "Conditions that could not be evaluated; they count as not fired.",
        ("rule",),
    ),
)


@dataclass(frozen=True, slots=True)
class Served:
    """One set of rules that was served. ``rules``: SHA-256 of each rule, by id."""

    pack: str
    version: int
    digest: str
    first_seen: datetime
    by: str
    why: str
    on: str
    rules: Mapping[str, str]
    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    text: str

    @property
    def id(self) -> str:
        return served_id(self.pack, self.version)


def served_id(pack: str, version: int) -> str:
    return f"{pack}|{version:08d}"


RULESETS: Collection[Served] = Collection(
    "rulesets",
    lambda s: s.id,
    lambda s: {
        "pack": s.pack,
        "version": s.version,
        "digest": s.digest,
        "first_seen": s.first_seen,
        "by": s.by,
        "why": s.why,
        "on": s.on,
        "rules": [[k, v] for k, v in s.rules.items()],
        "added": list(s.added),
        "changed": list(s.changed),
        "removed": list(s.removed),
        "text": s.text,
    },
    lambda d: Served(
        d["pack"],
        d["version"],
        d["digest"],
        d["first_seen"],
        d["by"],
        d["why"],
        d["on"],
        {k: v for k, v in d["rules"]},  # noqa: C416  pairs, as lists from the database
        tuple(d["added"]),
        tuple(d["changed"]),
        tuple(d["removed"]),
        d["text"],
    ),
    indexes=(Index((("pack", 1), ("version", -1))),),
)


@dataclass(frozen=True, slots=True)
class RuleHit:
    """What the rules said to one report of one case. ``shadow``: rule and effect, in words."""

    report_id: str
    case_id: str
    at: datetime
    version: int
    because: tuple[str, ...] = ()
    shadow: tuple[tuple[str, str], ...] = ()
    withheld: tuple[tuple[str, str, str], ...] = ()
    failed: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    #: The item's host, sealed with the case's key.
    host: str | None = None

    @property
    def id(self) -> str:
        return hit_id(self.report_id, self.case_id)


def hit_id(report_id: str, case_id: str) -> str:
    return f"{report_id}|{case_id}"


RULE_HITS: Collection[RuleHit] = Collection(
    "rule_hits",
    lambda h: h.id,
    lambda h: {
        "report_id": h.report_id,
        "case_id": h.case_id,
        "at": h.at,
        "version": h.version,
        "because": list(h.because),
        "shadow": [list(s) for s in h.shadow],
        "withheld": [list(w) for w in h.withheld],
        "failed": list(h.failed),
        "facts": dict(h.facts),
        "host": h.host,
    },
    lambda d: RuleHit(
        d["report_id"],
        d["case_id"],
        d["at"],
        d["version"],
        tuple(d["because"]),
        tuple((rule, effect) for rule, effect in d["shadow"]),
        tuple((rule, effect, why) for rule, effect, why in d["withheld"]),
        tuple(d["failed"]),
        d["facts"],
        d["host"],
    ),
    indexes=(
        Index((("at", 1),), ttl=int(KEEP.total_seconds())),
        Index((("case_id", 1), ("at", -1))),
    ),
)

#: To be added to the service's collections.
COLLECTIONS: tuple[Collection[Any], ...] = (RULESETS, RULE_HITS)


async def remember(
    uow: UnitOfWork,
    metrics: Metrics,
    *,
    report_id: str,
    case_id: str,
    facts: Facts,
    outcome: Outcome,
    version: int,
) -> None:
    """Keep what the rules said, in the commit of the report. The case's key must exist."""
    shadow = tuple((s.rule, words(s.effect)) for s in outcome.shadow)
    host = await uow.keys.seal(case_id, HOST, facts.host) if facts.host else None
    uow.put(
        RULE_HITS,
        RuleHit(
            report_id,
            case_id,
            uow.now(),
            version,
            outcome.because,
            shadow,
            tuple((w.rule, words(w.effect), w.why) for w in outcome.withheld),
            outcome.failed,
            facts.stored(),
            host,
        ),
    )
    for rule in outcome.because:
        metrics.inc("wasl_triage_rule_hits_total", rule=rule, mode="active")
    for rule in dict.fromkeys(rule for rule, _ in shadow):
        metrics.inc("wasl_triage_rule_hits_total", rule=rule, mode="shadow")
    for rule in outcome.failed:
        metrics.inc("wasl_triage_rule_failures_total", rule=rule)


async def forget(uow: UnitOfWork, report_id: str, cases: Sequence[str]) -> None:
    """A report was withdrawn or erased: nothing of what the rules said to it stays."""
    await uow.load(RULE_HITS, [hit_id(report_id, c) for c in cases])
    for case_id in cases:
        await uow.delete(RULE_HITS, hit_id(report_id, case_id))


async def would_have(store: Store, case_id: str, *, limit: int = 20) -> list[RuleHit]:
    """What the rules, those on trial included, said to the latest reports of a case."""
    docs = await store.find(RULE_HITS, {"case_id": case_id}, sort=(("at", -1),), limit=limit)
    return [RULE_HITS.decode(doc) for doc in docs]
