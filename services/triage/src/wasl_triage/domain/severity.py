# SPDX-License-Identifier: Apache-2.0
"""How urgent a case is, and why, from the pack's taxonomy and the facts of its reports.

The result does not depend on the order in which reports came. Volume never raises a speech
category, whatever the pack says: a crowd can be organised.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache

from wasl_schemas.country_pack import CountryPack
from wasl_schemas.events.common import Severity
from wasl_schemas.taxonomy import SPEECH, SeverityResult, Signal


@dataclass(frozen=True, slots=True)
class Weight:
    """``category``: the one the case is worked under; None when no reporter chose any."""

    category: str | None
    result: SeverityResult

    @property
    def severity(self) -> Severity:
        return self.result.severity


class Scales:
    """Severities of one pack. Results are remembered: there are few combinations."""

    def __init__(self, pack: CountryPack) -> None:
        self._pack = pack
        self.of = lru_cache(maxsize=4096)(self._of)

    def _of(self, category: str | None, signals: frozenset[Signal]) -> SeverityResult:
        known = self._pack.categories.get(category) if category else None
        if known is not None and known.expression_safeguard in SPEECH:
            signals -= {Signal.MANY_REPORTERS}
        return self._pack.taxonomy.severity(known, signals)

    def signals(self, facts: Mapping[str, int], reports: int) -> frozenset[Signal]:
        """The signals of a case: each fact that at least one of its reports carries, and volume."""
        found = {Signal(name) for name, count in facts.items() if count > 0}
        if reports >= self._pack.taxonomy.many_reporters:
            found.add(Signal.MANY_REPORTERS)
        return frozenset(found)

    def weigh(
        self,
        reported: Mapping[str, int],
        signals: frozenset[Signal],
        assessed: str | None = None,
    ) -> Weight:
        """What the analyst says the item is, else the gravest category any reporter chose.

        ``reported``: category → how many reports chose it; ties go to the more frequent, then by
        name.
        """
        if assessed is not None:
            return Weight(assessed, self.of(assessed, signals))
        chosen: Collection[str] = [
            c for c, n in reported.items() if n > 0 and c in self._pack.categories
        ]
        if not chosen:
            return Weight(None, self.of(None, signals))
        best = max(chosen, key=lambda c: (self.of(c, signals).severity.rank, reported[c], c))
        return Weight(best, self.of(best, signals))
