# SPDX-License-Identifier: Apache-2.0
"""Other rules tried on past reports: what would have been done otherwise, and in which cases.

Read-only, in pages, up to a limit. Facts are those that were kept with each report; of reports from
before facts were kept, what the report and its case tell, and what is missing is counted. Hosts are
opened only where a rule reads them and the key is there; nothing else that is sealed is.
"""

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from wasl_chassis.failures import KeyDestroyed
from wasl_chassis.store import Doc, Store
from wasl_chassis.work import UnitOfWork
from wasl_schemas.country_pack import CountryPack
from wasl_schemas.taxonomy import Signal

from wasl_triage.domain.case import Case
from wasl_triage.domain.facts import ADDRESS, Facts, domains, moment
from wasl_triage.repository import CASES, REPORTS, Report
from wasl_triage.rules.engine import Outcome, RuleSet
from wasl_triage.rules.memory import HOST, RULE_HITS, RuleHit, hit_id

PAGE: Final = 500
#: Changes that are listed; all are counted.
LISTED: Final = 200
#: What a report from before facts were kept does not tell.
UNKEPT: Final = (
    *ADDRESS,
    "hoster",
    "copies",
    "affected",
    "risk",
    "quality",
    "hash_banks",
    "reports",
)
_KINDS: Final = ("queue", "severity", "page", "hold", "dispatch", "classify")


@dataclass(frozen=True, slots=True)
class Change:
    """One case that would be treated otherwise. ``what``: queue, severity, page, hold, dispatch or
    classify; ``now`` and ``then``: machine words, "" where nothing.
    """

    case_id: str
    report_id: str
    what: str
    now: str
    then: str


@dataclass(slots=True)
class Result:
    """``effects`` and ``rules``: name → how often now and with the candidate.

    ``missing``: fact that a rule reads → reports for which it is not known.
    """

    reports: int = 0
    rows: int = 0
    #: Rows of reports from before facts were kept.
    rebuilt: int = 0
    more: bool = False
    effects: dict[str, list[int]] = field(default_factory=dict)
    rules: dict[str, list[int]] = field(default_factory=dict)
    changed: Counter[str] = field(default_factory=Counter)
    changes: list[Change] = field(default_factory=list)
    missing: Counter[str] = field(default_factory=Counter)

    def table(self) -> list[Mapping[str, object]]:
        """Flat rows for a terminal or JSON: about, name, now, then."""

        def row(about: str, name: str, now: object, then: object) -> Mapping[str, object]:
            return {"about": about, "name": name, "now": now, "then": then}

        rows = [row("looked at", "reports", self.reports, self.reports)]
        if self.more:
            rows.append(row("looked at", "there are more: raise --limit", "", ""))
        if self.rebuilt:
            rows.append(row("looked at", "from before facts were kept", self.rebuilt, self.rebuilt))
        rows += [row("effect", n, *both) for n, both in sorted(self.effects.items())]
        rows += [row("rule", n, *both) for n, both in sorted(self.rules.items())]
        rows += [row("not known", n, count, count) for n, count in sorted(self.missing.items())]
        rows += [row("changed", what, "", self.changed[what]) for what in sorted(self.changed)]
        rows += [row(f"case {c.what}", c.case_id, c.now, c.then) for c in self.changes]
        return rows


async def backtest(
    store: Store,
    pack: CountryPack,
    now: RuleSet,
    then: RuleSet,
    *,
    since: datetime,
    limit: int,
    keys: UnitOfWork | None = None,
) -> Result:
    """What ``then`` would have said to the reports since ``since`` where ``now`` spoke.

    ``limit``: reports looked at, oldest first. ``keys``: a unit of work that can open hosts.
    """
    result = Result()
    reads = frozenset().union(*now.reads.values(), *then.reads.values())
    past = _Past(store, pack, reads, keys)
    async for page in _pages(store, since, limit, result):
        for report_id, case_id, facts, missing, rebuilt in await past.of(page):
            result.rows += 1
            result.rebuilt += rebuilt
            result.missing.update(reads & missing)
            _compare(result, (report_id, case_id), now.evaluate(facts), then.evaluate(facts), facts)
    return result


async def _pages(
    store: Store, since: datetime, limit: int, result: Result
) -> AsyncIterator[list[Report]]:
    """Reports in the order they came. Many at one instant are read with a wider page."""
    seen: set[str] = set()
    at, size = since, PAGE
    while result.reports < limit:
        where = {"received_at": {"$gte": at}}
        docs = await store.find(REPORTS, where, sort=(("received_at", 1),), limit=size)
        fresh = [d for d in docs if d["_id"] not in seen]
        if not fresh:
            if len(docs) < size:
                return
            size *= 2
            continue
        wanted = fresh[: limit - result.reports]
        result.reports += len(wanted)
        result.more = len(wanted) < len(fresh) or (result.reports == limit and len(docs) == size)
        yield [REPORTS.decode(d) for d in wanted]
        at = docs[-1]["received_at"]
        seen = {d["_id"] for d in docs if d["received_at"] == at}


class _Past:
    """The facts of past reports."""

    def __init__(
        self, store: Store, pack: CountryPack, reads: frozenset[str], keys: UnitOfWork | None
    ) -> None:
        self._store, self._pack = store, pack
        self._keys = keys if not reads.isdisjoint(ADDRESS) else None

    async def of(
        self, reports: Sequence[Report]
    ) -> list[tuple[str, str, Facts, frozenset[str], bool]]:
        """Per report and case: the facts, those that are not known, and whether it was rebuilt."""
        pairs = [(r, c) for r in reports for c in r.cases]
        hits = await self._store.read(RULE_HITS, [hit_id(r.id, c) for r, c in pairs])
        old = sorted({c for r, c in pairs if hit_id(r.id, c) not in hits})
        cases = await self._store.read(CASES, old)
        if self._keys is not None:
            await self._keys.keys.load(sorted({c for _, c in pairs}))
        out = []
        for report, case_id in pairs:
            doc: Doc | None = hits.get(hit_id(report.id, case_id))
            if doc is not None:
                facts, missing = await self._kept(RULE_HITS.decode(doc))
                out.append((report.id, case_id, facts, missing, False))
            elif case_id in cases:
                facts = self._rebuilt(report, CASES.decode(cases[case_id]))
                out.append((report.id, case_id, facts, frozenset(UNKEPT), True))
        return out

    async def _kept(self, hit: RuleHit) -> tuple[Facts, frozenset[str]]:
        if hit.host is None:
            return Facts.of(hit.facts), frozenset()
        if self._keys is not None:
            try:
                return Facts.of(hit.facts, await self._keys.keys.open(hit.host, HOST)), frozenset()
            except KeyDestroyed:
                return Facts.of(hit.facts), frozenset(ADDRESS)
        return Facts.of(hit.facts), frozenset(ADDRESS)

    def _rebuilt(self, report: Report, case: Case) -> Facts:
        category = case.category or report.category or ""
        signals = frozenset(report.facts)
        known = category if category in self._pack.categories else None
        present = frozenset(s for s in Signal if s.value in signals)
        values: dict[str, Any] = {
            "category": known or "",
            "categories": frozenset(case.reported),
            "severity": self._pack.severity(known, present).severity.value,
            "channel": report.channel,
            "language": report.language,
            "hint": report.hint,
            "platform": case.platform,
            "kind": case.kind,
            "host": "",
            "domains": domains(""),
            "hosted": case.hosted or "",
            "signals": signals,
            "personal": frozenset(report.personal),
            "flood": report.flood,
            "via": frozenset(report.via),
            "danger": Signal.IMMEDIATE_DANGER in present,
            "minor": Signal.MINOR_VICTIM in present,
            **moment(self._pack, report.received_at),
        }
        return Facts(**values)


def _told(outcome: Outcome, facts: Facts) -> dict[str, str]:
    """What would be done, by kind, as one word each."""
    moved = outcome.severity.value if outcome.severity.value != facts.severity else ""
    return {
        "queue": outcome.queue or "",
        "severity": moved,
        "page": "page" if outcome.page else "",
        "hold": "hold" if outcome.hold else "",
        "dispatch": " ".join(d.partner for _, d in outcome.dispatches),
        "classify": outcome.category or "",
    }


def _compare(
    result: Result, ids: tuple[str, str], now: Outcome, then: Outcome, facts: Facts
) -> None:
    both = (now, then)
    for side, outcome in enumerate(both):
        told = [f"{k} {v}" if v != k else k for k, v in _told(outcome, facts).items() if v]
        told += [f"flag {w}" for w in outcome.flags] + [f"suggest {c}" for c in outcome.suggested]
        told += [f"withheld {w.why}" for w in outcome.withheld]
        trial = dict.fromkeys(f"{s.rule} (shadow)" for s in outcome.shadow)
        failed = [f"{r} (failed)" for r in outcome.failed]
        for table, names in (
            (result.effects, told),
            (result.rules, (*outcome.because, *trial, *failed)),
        ):
            for name in names:
                table.setdefault(name, [0, 0])[side] += 1
    before, after = _told(now, facts), _told(then, facts)
    report_id, case_id = ids
    for kind in _KINDS:
        if before[kind] != after[kind]:
            result.changed[kind] += 1
            if len(result.changes) < LISTED:
                change = Change(case_id, report_id, kind, before[kind], after[kind])
                result.changes.append(change)
