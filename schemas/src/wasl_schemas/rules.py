# SPDX-License-Identifier: Apache-2.0
"""``rules.toml`` of a country pack: what a desk does by itself with a report, and who changed it.

A rule's condition is CEL over the facts of one report; its effects are a closed vocabulary, so that
no pack can do what the code does not offer. Here are the types, the places of entries in the text
(tomllib tells none), and what can be checked without reading the condition; the desk compiles that.
"""

import difflib
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, PlainValidator, model_validator

from wasl_schemas.base import Model, Slug
from wasl_schemas.events.common import Ground, GroundKind
from wasl_schemas.taxonomy import (
    SPEECH,
    Category,
    FourEyes,
    Hold,
    Lower,
    Raise,
    SetTo,
    Words,
)

if TYPE_CHECKING:
    from wasl_schemas.country_pack import CountryPack

RULES_FILE = "rules.toml"


class ToQueue(Model):
    """The queue the case waits in; the first rule that names one wins."""

    kind: Literal["queue"]
    queue: Slug


class Flag(Model):
    """A word the desk shows beside the case."""

    kind: Literal["flag"]
    word: Slug


class Page(Model):
    """Whoever is on duty is woken."""

    kind: Literal["page"]


class Suggest(Model):
    """A category the analyst is offered."""

    kind: Literal["suggest"]
    category: Slug


class Classify(Model):
    """The category the case is worked under until a person says otherwise: for known addresses."""

    kind: Literal["classify"]
    category: Slug


class Dispatch(Model):
    """A request that leaves before a person looks, on the reporter's own category only."""

    kind: Literal["dispatch"]
    category: Slug
    partner: Slug
    ground: Ground
    confirm: Literal["none", "post"]


Effect = Annotated[
    ToQueue | Raise | Lower | SetTo | Flag | Page | Suggest | Classify | Hold | Dispatch,
    Field(discriminator="kind"),
]


def _fact(value: object) -> object:
    if isinstance(value, list | tuple) and all(isinstance(v, str) for v in value):
        return tuple(value)
    if isinstance(value, bool | int | str):
        return value
    raise ValueError("a string, a whole number, true or false, or a list of strings")


#: A fact as an example states it.
FactValue = Annotated[
    bool | int | str | tuple[str, ...],
    PlainValidator(_fact),
    PlainSerializer(lambda value: list(value) if isinstance(value, tuple) else value),
]


class RuleExample(Model):
    """A report in facts; those not named have their default."""

    fires: bool
    facts: dict[str, FactValue] = Field(default_factory=dict)


class Rule(Model):
    id: Slug
    title: Words
    #: CEL; true where the effects apply.
    when: Annotated[str, Field(min_length=1, max_length=2000)]
    then: tuple[Effect, ...] = Field(min_length=1)
    examples: tuple[RuleExample, ...] = Field(min_length=2)
    #: ``shadow``: what it would have done is kept and shown; nothing is done.
    mode: Literal["active", "shadow"] = "active"
    note: str = ""


class RulesChange(Model):
    """Who made a version of the file, when and why. ``by``: a role or a name of the staff."""

    version: int = Field(ge=1)
    on: Annotated[
        str,
        BeforeValidator(lambda v: v.isoformat() if hasattr(v, "isoformat") else v),
        Field(pattern=r"^\d{4}-\d{2}-\d{2}$"),
    ]
    by: Annotated[str, Field(min_length=1, max_length=80)]
    why: Annotated[str, Field(min_length=1, max_length=400)]


class RulesDocument(Model):
    """``version`` 0: there is no file, and there are no rules."""

    version: int = Field(default=0, ge=0)
    history: tuple[RulesChange, ...] = ()
    rules: tuple[Rule, ...] = ()

    @model_validator(mode="after")
    def _told(self) -> "RulesDocument":
        told = [change.version for change in self.history]
        if self.version and (not told or told[-1] != self.version):
            raise ValueError(
                f"the version of the last row of history; add a [[history]] row with version "
                f"{self.version}, on, by and why"
            )
        if any(later <= earlier for earlier, later in pairwise(told)):
            raise ValueError("rows of history of which each has a higher version than the last")
        if self.rules and not self.version:
            raise ValueError("version = 1 and a [[history]] row with it, because there are rules")
        return self


class RulesError(ValueError):
    """The rules are not usable. ``problems``: ``rules.toml: line N: rules[id].field: …``."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        lines = "\n".join(f"  {p}" for p in self.problems)
        super().__init__(f"{len(self.problems)} problem(s) in the rules:\n{lines}")


@dataclass(frozen=True)
class RulesFile:
    """A file that was read: what it says, and on which line."""

    document: RulesDocument = field(default_factory=RulesDocument)
    text: str = ""

    @property
    def version(self) -> int:
        return self.document.version

    @property
    def rules(self) -> tuple[Rule, ...]:
        return self.document.rules

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the text, hexadecimal."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @cached_property
    def _lines(self) -> Mapping[tuple[str | int, ...], int]:
        return places(self.text)

    def problem(
        self, rule: int, place: Sequence[str | int], expected: str, *, offset: int | None = None
    ) -> str:
        """One line about one field of the ``rule``-th rule. ``offset``: into ``when``."""
        way: tuple[str | int, ...] = ("rules", rule, *place)
        line = line_of(self._lines, way)
        name = self.document.rules[rule].id
        if line is not None and offset is not None:
            first = self.text.splitlines()[line - 1].rstrip()
            line += first.endswith(("'''", '"""')) and first.count(first[-3:]) == 1
            line += self.document.rules[rule].when.count("\n", 0, offset)
        where = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in place)
        at = f"line {line}: " if line else ""
        return f"{RULES_FILE}: {at}rules[{name}]{where}: {expected}"


_HEADER = re.compile(r"^\s*\[\[\s*([a-z_]+)(?:\.([a-z_]+))?\s*\]\]")
_KEY = re.compile(r"^\s*([A-Za-z_]+)\s*=")
_TABLE = re.compile(r"^\s*\{")


def places(text: str) -> dict[tuple[str | int, ...], int]:
    """The lines, from 1, on which tables of lists, their keys and their inline tables begin."""
    found: dict[tuple[str | int, ...], int] = {}
    counts: Counter[tuple[str | int, ...]] = Counter()
    here: tuple[str | int, ...] = ()
    key: tuple[str | int, ...] = ()
    quote: str | None = None
    for number, line in enumerate(text.splitlines(), 1):
        if quote is not None:
            quote = None if quote in line else quote
            continue
        if header := _HEADER.match(line):
            outer, inner = header.groups()
            base: tuple[str | int, ...] = (outer,)
            if inner is not None:
                base = (outer, counts[(outer,)] - 1, inner)
            here = key = (*base, counts[base])
            counts[base] += 1
            found.setdefault(here, number)
        elif match := _KEY.match(line):
            key = (*here, match.group(1))
            found.setdefault(key, number)
        elif _TABLE.match(line):
            found.setdefault((*key, counts[key]), number)
            counts[key] += 1
        for mark in ("'''", '"""'):
            if line.count(mark) % 2:
                quote = mark
    return found


def line_of(lines: Mapping[tuple[str | int, ...], int], way: Sequence[str | int]) -> int | None:
    """The line of a place, or of the nearest thing around it."""
    for end in range(len(way), 0, -1):
        if (line := lines.get(tuple(way[:end]))) is not None:
            return line
    return None


def near(one: str, known: Iterable[str]) -> str:
    """``; did you mean 'x'?``, or nothing where nothing is near."""
    found = difflib.get_close_matches(one, list(known), n=1)
    return f"; did you mean '{found[0]}'?" if found else ""


def check_rules(file: RulesFile, pack: "CountryPack") -> list[str]:
    """What is wrong with the entries, the conditions aside: one line each, as RulesError has it."""
    problems: list[str] = []
    twice = {i for i, n in Counter(r.id for r in file.rules).items() if n > 1}
    complete = [x.tag for x in pack.info.languages if x.complete]
    for n, rule in enumerate(file.rules):
        if rule.id in twice:
            problems.append(file.problem(n, ("id",), "expected an id used once"))
        problems += [
            file.problem(n, ("title",), f"expected words in this language: {tag}")
            for tag in complete
            if not (rule.title.get(tag) or "").strip()
        ]
        kinds = Counter(e.kind for e in rule.then if e.kind not in {"flag", "suggest", "dispatch"})
        problems += [
            file.problem(n, ("then",), f"expected one effect '{kind}', there are {count}")
            for kind, count in kinds.items()
            if count > 1
        ]
        if {e.fires for e in rule.examples} != {True, False}:
            problems.append(
                file.problem(n, ("examples",), "expected one that fires and one that does not")
            )
        for m, effect in enumerate(rule.then):
            problems += [
                file.problem(n, ("then", m, name), expected)
                for name, expected in _effect(effect, pack)
            ]
    return problems


def _effect(
    effect: ToQueue | Raise | Lower | SetTo | Flag | Page | Suggest | Classify | Hold | Dispatch,
    pack: "CountryPack",
) -> Iterator[tuple[str, str]]:
    if isinstance(effect, ToQueue):
        if pack.queues and effect.queue not in pack.queues:
            hint = near(effect.queue, pack.queues)
            yield "queue", f"expected the id of a queue of desk.toml, got '{effect.queue}'{hint}"
    elif isinstance(effect, Suggest | Classify | Dispatch):
        category = pack.categories.get(effect.category)
        if category is None:
            hint = near(effect.category, pack.categories)
            yield "category", f"expected the id of a category, got '{effect.category}'{hint}"
        elif isinstance(effect, Classify) and category.expression_safeguard in SPEECH:
            guard = category.expression_safeguard.value
            expected = "expected a category with FE0, FE1 or FE2, or kind = 'suggest'"
            yield "category", f"'{category.id}' is {guard}: no machine judges speech; {expected}"
        elif isinstance(effect, Dispatch):
            yield from _dispatch(effect, category, pack)


def _dispatch(
    effect: Dispatch, category: Category, pack: "CountryPack"
) -> Iterator[tuple[str, str]]:
    from wasl_schemas.country_pack import automatic_allowed, takes  # noqa: PLC0415  it needs us

    if not automatic_allowed(category):
        guard, eyes = category.expression_safeguard.value, category.four_eyes.value
        expected = "expected safeguard FE0 and four_eyes none or post"
        fix = "let a person decide: use kind = 'flag'"
        yield (
            "category",
            f"'{category.id}' may not be automatic: {expected}, it has {guard} and {eyes}; {fix}",
        )
    if category.four_eyes is FourEyes.POST and effect.confirm != "post":
        yield "confirm", "expected 'post', as four_eyes of the category is post"
    partner = pack.partners.get(effect.partner)
    if partner is None:
        hint = near(effect.partner, pack.partners)
        yield "partner", f"expected the id of a partner, got '{effect.partner}'{hint}"
    elif not takes(partner, category.id):
        yield "partner", f"'{partner.id}' does not take '{category.id}'"
    if not pack.ground_fits(effect.ground, category.id):
        kind = "laws" if effect.ground.kind is GroundKind.LAW else "terms"
        fit = ", ".join(g.ref for g in pack.grounds_for(category.id)) or "none"
        yield "ground", f"expected one of {kind} of legal.toml for '{category.id}': {fit}"
