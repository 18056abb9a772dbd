# SPDX-License-Identifier: Apache-2.0
"""What a machine makes of one report: its items, the signals of its text, known hashes, a guess.

Everything is read once, in this process and from files of this machine. The text itself goes no
further: what is kept are words of closed lists, counts, ids of banks and a keyed sketch.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wasl_chassis.vault import derive
from wasl_schemas.country_pack import CountryPack
from wasl_schemas.events.report_submitted_v1 import ReportContent, ReportSubmittedV1
from wasl_schemas.taxonomy import Signal, signals_from_answers

from wasl_triage.domain import hosting, signals
from wasl_triage.domain.hosting import Hosted, HostSource
from wasl_triage.domain.itemkey import Item, ItemKeys, Refused, report_item
from wasl_triage.domain.signals import Sketch, Sketcher
from wasl_triage.domain.suggesting import Suggester, Suggestion
from wasl_triage.matching.matcher import FingerprintError, Match, Matcher

#: Items one report may be about; intake allows fewer.
MAX_ITEMS = 50


@dataclass(frozen=True, slots=True)
class Derived:
    """What one report says once it is opened; ``items`` is never empty."""

    items: tuple[tuple[str, Item], ...]
    refused: tuple[str, ...]
    facts: tuple[str, ...]
    hint: str
    personal: tuple[str, ...]
    #: Of the signals' code; stored with what it made.
    version: int
    length: int
    sketch: Sketch | None
    matches: tuple[Match, ...]
    suggestion: Suggestion

    @property
    def banks(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(m.bank for m in self.matches))


class Deriver:
    """One for a process. ``pepper``: the deployment's secret; ids and sketches are keyed by it.
    ``sources`` and ``addresses``: offline knowledge of who hosts what.
    """

    def __init__(
        self,
        pack: CountryPack,
        suggester: Suggester,
        pepper: bytes,
        *,
        matcher: Matcher | None = None,
        sources: Sequence[HostSource] = (),
        addresses: Mapping[str, str] | None = None,
    ) -> None:
        self._pack = pack
        self._suggester = suggester
        self._keys = ItemKeys(pack.platforms)
        self._item_key = derive(pepper, "item")
        self._sketcher = Sketcher(derive(pepper, "text-sketch"))
        self._matcher = matcher or Matcher.open(None)
        self._sources, self._addresses = tuple(sources), addresses or {}

    def case_id(self, item: Item) -> str:
        """Keyed, so that nobody who sees ids can test whether an address was reported."""
        return hmac.digest(self._item_key, item.key.encode(), hashlib.sha256).hex()[:32]

    def case_of(self, location: str) -> str:
        """The id of the case of a location in any spelling. Raises itemkey.Refused."""
        return self.case_id(self._keys.item(location))

    def derive(self, data: ReportSubmittedV1, content: ReportContent) -> Derived:
        items, refused = self._items(data, content)
        read = signals.read(content.narrative, self._sketcher)
        facts = set(signals_from_answers(data.danger_now, data.under_18, data.under_13, data.risk))
        if read.found:
            facts.add(Signal.PERSONAL_DATA_IN_TEXT)
        if read.self_harm:
            facts.add(Signal.SELF_HARM_IN_TEXT)
        matches = self._matches(content.fingerprints)
        return Derived(
            items=tuple((self.case_id(item), item) for item in items),
            refused=tuple(refused),
            facts=tuple(sorted(fact.value for fact in facts)),
            hint=read.language.tag,
            personal=read.kinds,
            version=read.version,
            length=len(content.narrative),
            sketch=read.sketch,
            matches=matches,
            suggestion=self._suggester.suggest(
                content.narrative,
                kind=items[0].kind,
                platform=items[0].platform,
                risk=[r.value for r in data.risk],
                affected=data.affected.value if data.affected else None,
                signals=[f.value for f in facts],
                category=data.category,
            ),
        )

    def _items(
        self, data: ReportSubmittedV1, content: ReportContent
    ) -> tuple[list[Item], list[str]]:
        items: dict[str, Item] = {}
        refused: list[str] = []
        for location in content.locations:
            try:
                item = self._keys.item(location)
            except Refused as why:
                refused.append(why.reason)
                continue
            if len(items) < MAX_ITEMS:
                items.setdefault(item.key, item)
            elif item.key not in items:
                refused.append("too_many")
        if not items:
            own = report_item(data.report_id)
            items[own.key] = own
        return list(items.values()), refused

    def _matches(self, fingerprints: Sequence[str]) -> tuple[Match, ...]:
        """Of each fingerprint alone: one that is none says nothing about the others."""
        out: list[Match] = []
        for text in fingerprints:
            try:
                out += self._matcher.lookup((text,))
            except FingerprintError:
                continue  # intake has checked its form; another hub's may be of a newer kind
        return tuple(out)

    def hosted(self, item: Item) -> Hosted | None:
        """Where an item is hosted and by whom, as far as anything here tells."""
        service = item.platform in self._pack.services
        plain = not service or item.platform == self._pack.platforms.fallback
        return hosting.hosted(
            item.location,
            self._pack.hosting.countries,
            self._sources,
            self._addresses,
            name_tells=plain and not item.needs_expansion,
        )
