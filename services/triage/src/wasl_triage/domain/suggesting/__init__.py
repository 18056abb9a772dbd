# SPDX-License-Identifier: Apache-2.0
"""A category, signals and a severity that a machine would propose, and the words it saw.

It decides nothing: a person reads it beside the text. Where the evidence is thin it is silent. All
phrases of the pack's lexicon are looked for in one pass over the text; weights are added, and the
result names the terms that made it, never the text. Irony and new words are not understood.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from ahocorasick_rs import AhoCorasick, MatchKind
from wasl_schemas.country_pack import CountryPack
from wasl_schemas.events.common import Severity
from wasl_schemas.lexicon import NOT_A_REPORT, CategoryCues, Cue, LexiconExample, SignalCues
from wasl_schemas.taxonomy import Signal

from wasl_triage.domain.suggesting.text import haystack, needles

__all__ = ["NOT_A_REPORT", "LexiconError", "Suggester", "Suggestion"]

#: What a cue of the lexicon may ask of a report beside its text.
FIELDS = ("kind", "platform", "risk", "affected", "signals", "category")
#: Words of ``because``: enough to understand, few enough to read.
REASONS = 6


class LexiconError(ValueError):
    """The lexicon contradicts itself. ``problems``: lines ``lexicon.toml: entry.field: …``."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        lines = "\n".join(f"  {p}" for p in self.problems)
        super().__init__(f"the lexicon has {len(self.problems)} problem(s):\n{lines}")


@dataclass(frozen=True, slots=True)
class Suggestion:
    """``because``: ``term@register`` or ``field=value``, the weightiest first.

    ``category``: of the pack, or ``not_a_report``; None where the evidence is thin or divided.
    ``margin``: points above ``second``, the next best category. ``signals``: facts the text tells
    and nobody stated, each with its words. ``severity``: the pack's, of the suggested category
    (else of the reporter's) with the signals stated and suggested; None for what is no report.
    """

    category: str | None
    because: tuple[str, ...]
    margin: int = 0
    second: str | None = None
    signals: Mapping[Signal, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    severity: Severity | None = None
    #: Of the lexicon; 0: no lexicon made it.
    version: int = 0

    @classmethod
    def known(cls, category: str, because: str) -> "Suggestion":
        """What somebody already knew of the very thing, such as a bank of hashes."""
        return cls(category, (because,))


@dataclass(frozen=True, slots=True)
class _Cue:
    entry: int
    weight: int
    #: Each a choice of terms; the first is where distances are counted from.
    groups: tuple[tuple[int, ...], ...]
    #: All but the first as sets of bits, to turn down at once what cannot hold.
    needs: tuple[int, ...]
    facts: frozenset[str]
    unless: tuple[int, ...]
    within: int
    #: One term is all it asks: nothing is to be measured.
    sole: bool


#: Where terms stand: by term, pairs of the word's place in the text and ``term@register``.
_Found = dict[int, list[tuple[int, str]]]


class Suggester:
    """The lexicon of one pack, compiled. Raises :class:`LexiconError`."""

    def __init__(self, pack: CountryPack) -> None:
        self._pack, lexicon = pack, pack.lexicon
        self.version = lexicon.version
        self._floor, self._margin, self._chosen = lexicon.floor, lexicon.margin, lexicon.chosen
        self._labels = {t.id: t.label for t in lexicon.terms}
        number = {t.id: n for n, t in enumerate(lexicon.terms)}
        owners: dict[str, dict[int, str]] = {}
        for n, term in enumerate(lexicon.terms):
            for register, phrases in term.words.items():
                for needle in (x for p in phrases for x in needles(p, register)):
                    owners.setdefault(needle, {}).setdefault(n, f"{term.id}@{register}")
        self._owners = [tuple(owner.items()) for owner in owners.values()]
        self._search = AhoCorasick(list(owners) or ["\0"], matchkind=MatchKind.Standard)
        self._entries = [e.id for e in lexicon.categories] + [s.id for s in lexicon.signals]
        self._floors = {s.id: s.floor for s in lexicon.signals}
        self._categories = len(lexicon.categories)
        self._place = {e.id: n for n, e in enumerate(lexicon.categories)}
        self._by_term: dict[int, list[_Cue]] = {}
        self._by_fact: dict[str, list[_Cue]] = {}
        self._fields: set[str] = set()
        entries: tuple[CategoryCues | SignalCues, ...] = (*lexicon.categories, *lexicon.signals)
        for n, entry in enumerate(entries):
            for cue in entry.cues:
                self._add(n, cue, number)
        if problems := [*self._unknown_facts(), *self._contradicted()]:
            raise LexiconError(problems)

    def _add(self, entry: int, cue: Cue, number: Mapping[str, int]) -> None:
        groups = tuple(tuple(number[t] for t in g.split("|")) for g in cue.all)
        compiled = _Cue(
            entry=entry,
            weight=cue.weight,
            groups=groups,
            needs=tuple(sum(1 << t for t in group) for group in groups[1:]),
            facts=frozenset(cue.facts),
            unless=tuple(number[t] for t in cue.unless),
            within=cue.within,
            sole=len(groups) == 1 and len(groups[0]) == 1 and not cue.unless,
        )
        self._fields.update(fact.partition("=")[0] for fact in cue.facts)
        if compiled.groups:
            for term in compiled.groups[0]:
                self._by_term.setdefault(term, []).append(compiled)
        else:
            self._by_fact.setdefault(cue.facts[0], []).append(compiled)

    # -- checks ------------------------------------------------------------------------------------

    def _unknown_facts(self) -> Iterable[str]:
        for name in sorted(self._fields - set(FIELDS)):
            known = ", ".join(FIELDS)
            yield f"lexicon.toml: facts: expected one of {known}, got '{name}'"

    def _contradicted(self) -> Iterable[str]:
        lexicon = self._pack.lexicon
        for entry in lexicon.categories:
            for n, example in enumerate(entry.examples):
                got = self._read(example.text, frozenset(example.facts)).category
                if (got == entry.id) != example.fits:
                    yield _wrong(f"categories[{entry.id}].examples[{n}]", example, str(got))
        for signal in lexicon.signals:
            for n, example in enumerate(signal.examples):
                found = self._read(example.text, frozenset(example.facts)).signals
                if (signal.id in found) != example.fits:
                    got = ", ".join(found) or "no signal"
                    yield _wrong(f"signals[{signal.id}].examples[{n}]", example, got)

    # -- one report --------------------------------------------------------------------------------

    def suggest(
        self,
        text: str,
        *,
        kind: str = "",
        platform: str = "",
        risk: Iterable[str] = (),
        affected: str | None = None,
        signals: Iterable[str] = (),
        category: str | None = None,
    ) -> Suggestion:
        """What the text and the facts of one report suggest. Pure; the text is data.

        ``risk`` and ``signals``: what the reporter's answers state. ``category``: their choice; it
        adds to evidence, and stands alone only where a cue of the pack trusts it, which ``because``
        then says. Text beyond ``SCAN_LIMIT`` is not read.
        """
        stated = frozenset(Signal(s) for s in signals)
        told = {f"kind={kind}", f"platform={platform}", f"affected={affected}"}
        told.update(f"risk={r}" for r in risk)
        told.update(f"signals={s.value}" for s in stated)
        told.add(f"category={category}")
        return self._read(text, told, stated, category)

    def _read(
        self,
        text: str,
        told: Collection[str],
        stated: frozenset[Signal] = frozenset(),
        chosen: str | None = None,
    ) -> Suggestion:
        hay, skeleton = haystack(text)
        found: _Found = {}
        word = last = 0
        for needle, start, _ in self._search.find_matches_as_indexes(hay, overlapping=True):
            # Both halves of the haystack have the same words in the same order; matches come by
            # their ends, so each is counted on, or back, from the one before.
            if start >= skeleton > last:
                last, word = skeleton, 0
            if start >= last:
                word += hay.count(" ", last, start)
            else:
                word -= hay.count(" ", start, last)
            last = start
            for term, name in self._owners[needle]:
                found.setdefault(term, []).append((word, name))
        present = sum(1 << term for term in found)
        told = frozenset(told)
        points: dict[int, int] = {}
        reasons: dict[int, list[tuple[int, tuple[str, ...]]]] = {}
        tried = set[int]()
        for term, places in found.items():
            for cue in self._by_term.get(term, ()):
                for need in cue.needs:
                    if not present & need:
                        break
                else:
                    if id(cue) in tried or not cue.facts <= told:
                        continue
                    tried.add(id(cue))
                    if words := (places[0][1],) if cue.sole else _holds(cue, found):
                        points[cue.entry] = points.get(cue.entry, 0) + cue.weight
                        because = (*words, *sorted(cue.facts)) if cue.facts else words
                        reasons.setdefault(cue.entry, []).append((cue.weight, because))
        for fact in told & self._by_fact.keys():
            for cue in self._by_fact[fact]:
                if cue.facts <= told:
                    points[cue.entry] = points.get(cue.entry, 0) + cue.weight
                    because = tuple(sorted(cue.facts))
                    reasons.setdefault(cue.entry, []).append((cue.weight, because))
        return self._weighed(points, reasons, stated, chosen)

    def _weighed(
        self,
        points: Mapping[int, int],
        reasons: Mapping[int, list[tuple[int, tuple[str, ...]]]],
        stated: frozenset[Signal],
        chosen: str | None,
    ) -> Suggestion:
        signals = {
            Signal(self._entries[n]): _because(reasons[n])
            for n in sorted(reasons)
            if n >= self._categories
            and points[n] >= self._floors[Signal(self._entries[n])]
            and self._entries[n] not in stated
        }
        own = self._place.get(chosen or "")
        scored = sorted(
            (
                (p + self._chosen if n == own else p, -n)
                for n, p in points.items()
                if p > 0 and n < self._categories
            ),
            reverse=True,
        )
        best = -scored[0][1] if scored else None
        second = -scored[1][1] if len(scored) > 1 else None
        margin = scored[0][0] - (scored[1][0] if second is not None else 0) if scored else 0
        category = None
        if best is not None and scored[0][0] >= self._floor and margin >= self._margin:
            category = self._entries[best]
        shown = self._pack.categories.get(category or chosen or "")
        severity = self._pack.taxonomy.severity(shown, stated | signals.keys()).severity
        return Suggestion(
            category=category,
            because=_because(reasons[best]) if category and best is not None else (),
            margin=margin,
            second=self._entries[second] if second is not None else None,
            signals=MappingProxyType(signals),
            severity=None if category == NOT_A_REPORT else severity,
            version=self.version,
        )

    # -- words for a person ------------------------------------------------------------------------

    def explain(self, because: str, language: str) -> str:
        """One reason in plain words: ``threat word (Darija)``. Facts stay as they are."""
        term, _, register = because.partition("@")
        if term not in self._labels:
            return because
        name = self._pack.lexicon.registers[register].get(language) or register
        return f"{self._labels[term].get(language) or term} ({name})"


def _holds(cue: _Cue, found: _Found) -> tuple[str, ...]:
    """The words that make the cue hold; none where they stand too far apart or are undone."""
    undone = [place for t in cue.unless for place, _ in found.get(t, ())]
    for term in cue.groups[0]:
        for here, name in found.get(term, ()):
            if any(abs(place - here) <= cue.within for place in undone):
                continue
            words = [name]
            for group in cue.groups[1:]:
                near = _near(group, found, here, cue.within)
                if near is None:
                    break
                words.append(near)
            else:
                return tuple(words)
    return ()


def _near(group: tuple[int, ...], found: _Found, here: int, within: int) -> str | None:
    for term in group:
        for place, name in found.get(term, ()):
            if abs(place - here) <= within:
                return name
    return None


def _because(reasons: Iterable[tuple[int, tuple[str, ...]]]) -> tuple[str, ...]:
    ordered = sorted(reasons, key=lambda r: (-r[0], r[1]))
    return tuple(dict.fromkeys(w for weight, words in ordered if weight > 0 for w in words))[
        :REASONS
    ]


def _wrong(place: str, example: LexiconExample, got: str) -> str:
    wanted = "expected it to fit" if example.fits else "expected it not to fit"
    return f"lexicon.toml: {place}: {wanted}, got {got}; change a cue or the example"
