# SPDX-License-Identifier: Apache-2.0
"""A set of rules, compiled once, and what it says about the facts of one report.

What no rule may do is here and not in the pack: nothing is raised, classified or sent where it
concerns speech; nothing is sent or classified because many asked; no restricted case becomes
unrestricted; nothing sinks below what danger sets. What can be proved from the condition is refused
at load, with line and fix; the rest is withheld at run time and said.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property, lru_cache
from typing import Any

import cel
from wasl_schemas.country_pack import CHILDREN, CountryPack, Weekday
from wasl_schemas.events.common import Affected, Channel, Risk, Severity
from wasl_schemas.rules import (
    Classify,
    Dispatch,
    Effect,
    FactValue,
    Flag,
    Page,
    Rule,
    RulesError,
    RulesFile,
    Suggest,
    ToQueue,
    check_rules,
    near,
)
from wasl_schemas.taxonomy import SPEECH, Hold, Lower, Raise, SetTo, Signal

from wasl_triage.domain.facts import VARIABLES, Facts, domains
from wasl_triage.rules.expressions import ExpressionError, Node, parse, python, value

log = logging.getLogger(__name__)

#: Facts that grow with the number of people who report, or follow from it.
VOLUME = frozenset({"reports", "copies", "severity"})
#: Facts to which every further report can add.
_COLLECTED = frozenset({"signals", "categories"})
_LEVELS = {s.value: s for s in Severity}
_SEVERITIES = tuple(Severity)
_RANKS = {s: s.rank for s in Severity}
#: Effects that are asked about before they apply.
_GUARDED = (Raise, SetTo, Classify, Dispatch)


@dataclass(frozen=True, slots=True)
class Applied:
    """One effect and the rule that has it."""

    rule: str
    effect: Effect


@dataclass(frozen=True, slots=True)
class Withheld:
    """An effect the code did not allow. ``why``: speech, held, other_category or restricted."""

    rule: str
    effect: Effect
    why: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the active rules do. ``because``: the rules that fired, in the file's order.

    ``shadow``: what rules on trial would have done; ``failed``: rules whose condition could not be
    evaluated, which count as not fired.
    """

    severity: Severity
    queue: str | None = None
    #: The rule that named the queue.
    queued_by: str | None = None
    #: The category to work under, from a known address.
    category: str | None = None
    flags: tuple[str, ...] = ()
    suggested: tuple[str, ...] = ()
    page: bool = False
    hold: bool = False
    dispatches: tuple[tuple[str, Dispatch], ...] = ()
    because: tuple[str, ...] = ()
    shadow: tuple[Applied, ...] = ()
    withheld: tuple[Withheld, ...] = ()
    failed: tuple[str, ...] = ()


def words(effect: Effect) -> str:
    """An effect in machine words: ``queue children``, ``raise 1``, ``page``."""
    match effect:
        case ToQueue(queue=what) | Flag(word=what) | Suggest(category=what):
            return f"{effect.kind} {what}"
        case Classify(category=what) | Dispatch(partner=what) | SetTo(level=what):
            return f"{effect.kind} {what}"
        case Raise(levels=count) | Lower(levels=count):
            return f"{effect.kind} {count}"
        case _:
            return effect.kind


@dataclass(frozen=True, slots=True)
class _Ready:
    """A rule that was checked."""

    rule: Rule
    node: Node


def vocabulary(pack: CountryPack) -> Mapping[str, frozenset[str]]:
    """The words a literal may be, by the name a fact has for them."""
    return {
        "category": frozenset({"", *pack.categories}),
        "severity": frozenset(s.value for s in Severity),
        "channel": frozenset(c.value for c in Channel),
        "signal": frozenset(s.value for s in Signal),
        "affected": frozenset({"", *(a.value for a in Affected)}),
        "risk": frozenset(r.value for r in Risk),
        "weekday": frozenset(d.value for d in Weekday),
    }


def _by_volume(node: Node) -> bool:
    """Whether the condition can follow from how many reported.

    Of the signals and of what reporters chose, only asking for a named one is known not to.
    """
    asked, named = Counter[object](), Counter[object]()
    for n in node.walk():
        if n.op == "fact" and n.value in _COLLECTED:
            named[n.value] += 1
        elif n.op == "in" and n.args[0].op == "literal" and n.args[1].value in _COLLECTED:
            asked[n.args[1].value] += n.args[0].value != Signal.MANY_REPORTERS
    return asked != named or not VOLUME.isdisjoint(node.facts)


class RuleSet:
    """Rules of one pack, ready. Build it with :meth:`compile`."""

    def __init__(self, pack: CountryPack, file: RulesFile, ready: Sequence[_Ready]) -> None:
        self.file = file
        self.version, self.digest = file.version, file.digest
        self._pack = pack
        self._ready = tuple(ready)
        self._speech = frozenset(
            c.id for c in pack.categories.values() if c.expression_safeguard in SPEECH
        )
        children = {c.id for c in pack.categories.values() if c.group == CHILDREN}
        self._restricted = children | set(pack.desk.restricted)
        #: The places of the conditions that hold; raises where facts are of a wrong type.
        self.fired = _function([r.node for r in ready], self._speech)
        self._gravity = lru_cache(maxsize=4096)(self._weighed)

    @classmethod
    def compile(cls, pack: CountryPack, file: RulesFile | None = None) -> "RuleSet":
        """The pack's own rules, or those of ``file``, checked whole: every example is run.

        Raises :class:`~wasl_schemas.rules.RulesError` with every problem, its line and the fix.
        """
        file = pack.rules if file is None else file
        problems = check_rules(file, pack)
        ready: list[_Ready] = []
        checks = _Checks(pack, file)
        for n, rule in enumerate(file.rules):
            node = checks.rule(n, rule)
            if node is not None:
                ready.append(_Ready(rule, node))
        if problems or checks.problems:
            raise RulesError((*problems, *checks.problems))
        return cls(pack, file, ready)

    @property
    def rules(self) -> tuple[Rule, ...]:
        return tuple(r.rule for r in self._ready)

    @cached_property
    def reads(self) -> Mapping[str, frozenset[str]]:
        """The facts each rule's condition reads, by rule id."""
        return {r.rule.id: r.node.facts for r in self._ready}

    def evaluate(self, facts: Facts) -> Outcome:
        """What the rules say. Never raises: a condition that cannot be evaluated did not fire."""
        failed: tuple[str, ...] = ()
        try:
            fired = self.fired(facts)
        except Exception:  # noqa: BLE001  facts of a wrong type; each rule is then asked alone
            fired, failed = self._one_by_one(facts)
        if not fired:
            return Outcome(_LEVELS.get(facts.severity, Severity.LOW), failed=failed)
        return self._outcome([self._ready[n] for n in fired], facts, failed)

    @cached_property
    def _alone(self) -> Sequence[Callable[[Facts], list[int]]]:
        return [_function([r.node], self._speech) for r in self._ready]

    def _one_by_one(self, facts: Facts) -> tuple[list[int], tuple[str, ...]]:
        fired, failed = [], []
        for n, run in enumerate(self._alone):
            try:
                if run(facts):
                    fired.append(n)
            except Exception as error:  # noqa: BLE001  said in the outcome
                failed.append(self._ready[n].rule.id)
                log.warning(
                    "a rule could not be evaluated",
                    extra={"rule": failed[-1], "error": type(error).__name__},
                )
        return fired, tuple(failed)

    def _outcome(self, fired: Sequence[_Ready], facts: Facts, failed: tuple[str, ...]) -> Outcome:
        queue: str | None = None
        queued_by: str | None = None
        category: str | None = None
        page = hold = False
        flags: list[str] = []
        suggested: list[str] = []
        dispatches: list[tuple[str, Dispatch]] = []
        because: list[str] = []
        shadow: list[Applied] = []
        withheld: list[Withheld] = []
        moves: list[Raise | Lower | SetTo] = []
        for one in fired:
            rule = one.rule
            active = rule.mode == "active"
            if active:
                because.append(rule.id)
            for effect in rule.then:
                if isinstance(effect, _GUARDED) and (why := self._forbidden(effect, facts)):
                    withheld.append(Withheld(rule.id, effect, why))
                    continue
                if not active:
                    shadow.append(Applied(rule.id, effect))
                    continue
                match effect:
                    case ToQueue():
                        if queue is None:
                            queue, queued_by = effect.queue, rule.id
                    case Raise() | Lower() | SetTo():
                        moves.append(effect)
                    case Flag():
                        flags.append(effect.word)
                    case Page():
                        page = True
                    case Suggest():
                        suggested.append(effect.category)
                    case Classify():
                        category = category or effect.category
                    case Hold():
                        hold = True
                    case Dispatch():
                        dispatches.append((rule.id, effect))
        return Outcome(
            severity=self._severity(moves, facts, hold=hold),
            queue=queue,
            queued_by=queued_by,
            category=category,
            flags=tuple(dict.fromkeys(flags)),
            suggested=tuple(dict.fromkeys(suggested)),
            page=page,
            hold=hold,
            # What a lawyer is asked about does not leave before the lawyer has looked.
            dispatches=() if hold else tuple(dispatches),
            because=tuple(because),
            shadow=tuple(shadow),
            withheld=tuple(withheld),
            failed=failed,
        )

    # -- what no rule may do ---------------------------------------------------------------

    def _forbidden(self, effect: Raise | SetTo | Classify | Dispatch, facts: Facts) -> str | None:
        """Why the effect must not apply; None where it may."""
        speech = facts.category in self._speech
        match effect:
            case Raise() | SetTo():
                if speech:
                    return "speech"
                return "held" if self._gravity(facts.category, facts.signals)[0] else None
            case Classify():
                if speech:
                    return "speech"
                spoken = {facts.category, *facts.categories}
                kept = facts.minor or not self._restricted.isdisjoint(spoken)
                return "restricted" if kept and effect.category not in self._restricted else None
            case Dispatch():
                if facts.category != effect.category:
                    return "other_category"
                if not self._speech.isdisjoint(facts.categories):
                    return "speech"
                return "held" if self._gravity(facts.category, facts.signals)[0] else None

    def _weighed(self, category: str, signals: frozenset[str]) -> tuple[bool, Severity]:
        """Whether a legal reviewer must look, and the floor danger sets."""
        known = self._pack.categories.get(category)
        present = frozenset(s for s in Signal if s.value in signals)
        taxonomy = self._pack.taxonomy
        floors = [
            m.effect.level
            for m in taxonomy.modifiers
            if isinstance(m.effect, SetTo) and m.signal in present and m.applies(known)
        ]
        held = taxonomy.severity(known, present).legal_review
        return held, max(floors, key=lambda s: s.rank, default=Severity.LOW)

    def _severity(
        self, moves: Sequence[Raise | Lower | SetTo], facts: Facts, *, hold: bool
    ) -> Severity:
        """Raised and lowered in order, then the floors: the rules' own and what danger sets."""
        before = _LEVELS.get(facts.severity, Severity.LOW)
        if not moves:
            return before
        start = level = _RANKS[before]
        for move in moves:
            if isinstance(move, Lower):
                level = max(level - move.levels, 0)
            elif isinstance(move, Raise):
                level = max(level, min(level + move.levels, _RANKS[move.ceiling]))
        for move in moves:
            if isinstance(move, SetTo):
                level = max(level, _RANKS[move.level])
        if hold:
            level = min(level, start)
        # Danger is a floor for what lowers; it raises nothing that was lower before.
        if level < start:
            floor = min(start, _RANKS[self._gravity(facts.category, facts.signals)[1]])
            level = max(level, floor)
        return _SEVERITIES[level]


def _function(nodes: Sequence[Node], speech: frozenset[str]) -> Callable[[Facts], list[int]]:
    """One function that names the conditions that hold. Its text is made of checked nodes only."""
    used = sorted({name for node in nodes for name in node.facts})
    lines = ["def run(facts):", "    fired = []"]
    for name in used:
        of = "facts.category in SPEECH" if name == "speech" else f"facts.{name}"
        lines.append(f"    f_{name} = {of}")
    for n, node in enumerate(nodes):
        lines.append(f"    if {python(node)}: fired.append({n})")
    lines.append("    return fired")
    space: dict[str, Any] = {"SPEECH": speech}
    exec(compile("\n".join(lines), "<rules>", "exec"), space)  # noqa: S102  see above
    found: Callable[[Facts], list[int]] = space["run"]
    return found


def cel_variables(facts: Facts, speech: frozenset[str]) -> dict[str, object]:
    """The facts as the CEL library takes them."""
    told: dict[str, object] = {"speech": facts.category in speech}
    for f in fields(Facts):
        one = getattr(facts, f.name)
        told[f.name] = sorted(one) if isinstance(one, frozenset) else one
    return told


class _Checks:
    """What is wrong with conditions and examples, and what a rule may not do."""

    def __init__(self, pack: CountryPack, file: RulesFile) -> None:
        self.problems: list[str] = []
        self._pack, self._file = pack, file
        self._words = vocabulary(pack)
        self._speech = {
            c.id: c.expression_safeguard.value
            for c in pack.categories.values()
            if c.expression_safeguard in SPEECH
        }

    def _say(
        self, n: int, place: Sequence[str | int], expected: str, offset: int | None = None
    ) -> None:
        self.problems.append(self._file.problem(n, place, expected, offset=offset))

    def rule(self, n: int, rule: Rule) -> Node | None:
        """The condition of a rule; None where it is no condition."""
        try:
            node = parse(rule.when, self._words)
        except ExpressionError as error:
            self._say(n, ("when",), str(error), error.offset)
            return None
        try:
            program = cel.compile(rule.when)
        except ValueError:
            self._say(n, ("when",), "expected CEL; the cel library does not read it", 0)
            return None
        self._bounds(n, rule, node)
        self._examples(n, rule, node, program)
        return node

    # -- what a rule may not do ------------------------------------------------------------

    def _reachable(self, node: Node) -> list[str]:
        """Speech categories for which the condition may hold."""
        return [
            c for c in self._speech if value(node, {"category": c, "speech": True}) is not False
        ]

    def _bounds(self, n: int, rule: Rule, node: Node) -> None:
        volume = _by_volume(node)
        reach = self._reachable(node)
        for m, effect in enumerate(rule.then):
            match effect:
                case Raise() | SetTo() | Classify() | Dispatch():
                    forbidden = bool(reach)
                case Page():
                    forbidden = bool(reach) and volume
                case _:
                    forbidden = False
            if forbidden:
                names = ", ".join(f"'{c}' ({self._speech[c]})" for c in reach[:3])
                more = f" and {len(reach) - 3} more" if len(reach) > 3 else ""
                what = "page by volume" if isinstance(effect, Page) else effect.kind
                self._say(
                    n,
                    ("then", m, "kind"),
                    f"no rule may {what} for speech, and this one may fire for {names}{more}; "
                    "begin when with '!speech &&', or name other categories",
                )
            if isinstance(effect, Classify | Dispatch) and volume:
                self._say(
                    n,
                    ("when",),
                    f"a rule that has '{effect.kind}' never asks how many reported: expected no "
                    f"{', '.join(sorted(VOLUME))}, and of signals and categories only named ones "
                    "(not 'many_reporters'); take them out, or use kind = 'flag'",
                )
            if isinstance(effect, Dispatch):
                self._alone(n, effect, node)
            if isinstance(effect, Classify) and node.facts.isdisjoint({"host", "domains"}):
                self._say(
                    n,
                    ("when",),
                    "'classify' is for known addresses: expected host or domains, such as "
                    "'\"site.example\" in domains'; or use kind = 'suggest'",
                )

    def _alone(self, n: int, effect: Dispatch, node: Node) -> None:
        """A category by itself sends nothing: the reporter chose it."""
        category = effect.category
        known = {"category": category, "speech": category in self._speech}
        if value(node, known) is True:
            self._say(
                n,
                ("when",),
                f"true for every report of '{category}'; a category alone is not enough to send a "
                "request: expected a fact beside it, such as channel or signals",
            )
        elif value(node, known) is False:
            self._say(n, ("when",), f"never true for '{category}', the category that would be sent")

    # -- examples --------------------------------------------------------------------------

    def _examples(self, n: int, rule: Rule, node: Node, program: cel.Program) -> None:
        speech = frozenset(self._speech)
        run = _function([node], speech)
        for m, example in enumerate(rule.examples):
            facts = self._facts(n, m, example.facts)
            if facts is None:
                continue
            fired = bool(run(facts))
            if fired != example.fires:
                said = "fires" if fired else "does not fire"
                self._say(
                    n, ("examples", m, "fires"), f"expected {str(fired).lower()}: the rule {said}"
                )
            try:
                meant = program.execute(cel_variables(facts, speech))
            except Exception as error:  # noqa: BLE001  the library's errors share no base
                meant = type(error).__name__
            if meant is not fired:
                self._say(
                    n,
                    ("examples", m),
                    f"the cel library says {meant} and this program {fired}; report this as a bug",
                )

    def _facts(self, n: int, m: int, given: Mapping[str, FactValue]) -> Facts | None:
        values: dict[str, Any] = {}
        sound = True
        for name, stated in given.items():
            for expected in self._fact(name, stated):
                sound = False
                self._say(n, ("examples", m, "facts", name), expected)
            values[name] = frozenset(stated) if isinstance(stated, tuple) else stated
        if not sound:
            return None
        if "host" in values:
            values.setdefault("domains", domains(values["host"]))
        return Facts(**values)

    def _fact(self, name: str, stated: FactValue) -> Iterator[str]:
        fact = VARIABLES.get(name)
        if fact is None:
            yield f"no fact is called '{name}'{near(name, VARIABLES)}"
            return
        if name == "speech":
            yield "follows from category; state the category"
            return
        got = {str: "string", int: "int", bool: "bool", tuple: "set"}[type(stated)]
        if got != fact.type:
            yield f"expected {fact.type}, got {got}"
            return
        words = self._words.get(fact.words) if fact.words else None
        for word in stated if isinstance(stated, tuple) else (stated,):
            if words is not None and word not in words:
                yield f"'{word}' is no {fact.words} of this pack{near(str(word), words)}"
