# SPDX-License-Identifier: Apache-2.0
"""What people read about the rules: the sets that were served, and how often each rule fired."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from wasl_chassis.store import Store
from wasl_schemas.country_pack import CountryPack

from wasl_triage.casework import Hub
from wasl_triage.rules.memory import RULE_HITS, RULESETS, RuleHit, Served, served_id

#: The days hits are counted over, and the reports looked at, the newest.
SPAN = timedelta(days=7)
MOST = 5_000
_SETS = 50


@dataclass(frozen=True, slots=True)
class Hits:
    """By rule: how often it fired, on trial included, was withheld, and could not be evaluated.

    ``reports``: those that were looked at; ``cut``: there were more.
    """

    fired: Mapping[str, int]
    withheld: Mapping[str, int]
    failed: Mapping[str, int]
    reports: int
    cut: bool


async def hits(hub: Hub) -> Hits:
    """What the rules said in the last days."""
    since = hub.clock.now() - SPAN
    docs = await hub.store.find(RULE_HITS, {"at": {"$gte": since}}, sort=(("at", -1),), limit=MOST)
    rows: list[RuleHit] = [RULE_HITS.decode(d) for d in docs]
    return Hits(
        fired=Counter(
            rule for r in rows for rule in dict.fromkeys((*r.because, *(s for s, _ in r.shadow)))
        ),
        withheld=Counter(rule for r in rows for rule in {rule for rule, _, _ in r.withheld}),
        failed=Counter(rule for r in rows for rule in r.failed),
        reports=len(rows),
        cut=len(rows) == MOST,
    )


async def history(store: Store, pack: CountryPack) -> list[Served]:
    """The latest sets that were served, newest first."""
    where = {"pack": pack.info.id}
    docs = await store.find(RULESETS, where, sort=(("version", -1),), limit=_SETS)
    return [RULESETS.decode(d) for d in docs]


async def served(store: Store, pack: CountryPack, version: int) -> Served | None:
    """Who made a version, when and why; None: it was never remembered."""
    key = served_id(pack.info.id, version)
    doc = (await store.read(RULESETS, [key])).get(key)
    return RULESETS.decode(doc) if doc else None
