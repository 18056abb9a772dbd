# SPDX-License-Identifier: Apache-2.0
"""``lexicon.toml`` of a country pack: the words by which a machine suggests a category.

A term is one idea in the words of each register; a cue weighs terms that stand together, and facts
of the report. A suggestion decides nothing, and can be explained by the terms it saw. Here are the
types and what can be checked without reading a text; the desk compiles the phrases and runs the
examples.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterator
from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from wasl_schemas.base import LanguageTag, Model, Slug
from wasl_schemas.taxonomy import Signal, Words

#: Beside the pack's categories: a test, advertising, abuse of the staff.
NOT_A_REPORT = "not_a_report"

#: Words with single spaces. ``*`` at an end: the word may go on there. ``{3-17}``: one number of
#: the range.
Phrase = Annotated[
    str,
    StringConstraints(pattern=r"^\*?[^\s*{}]*(?:(?:\{\d+-\d+\}| )[^\s*{}]*)*\*?$", min_length=2),
]
TermId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=40)]
#: One term, or several of which one is enough: ``picture|video``.
AnyTerm = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*(\|[a-z0-9]+(-[a-z0-9]+)*)*$")
]
#: ``field=value`` of the facts of a report: ``platform=telegram``, ``signals=under_13``.
Fact = Annotated[str, StringConstraints(pattern=r"^[a-z_]+=[a-z0-9_.-]+$")]


class Term(Model):
    id: TermId
    #: What the analyst reads: "threat word".
    label: Words
    #: By register: ``ar``, ``ary``, ``ary-Latn`` …
    words: dict[LanguageTag, tuple[Phrase, ...]] = Field(min_length=1)


class Cue(Model):
    """Evidence for, or with a negative weight against. Everything named must be there."""

    all: tuple[AnyTerm, ...] = ()
    facts: tuple[Fact, ...] = ()
    #: Terms that undo it: one of them within ``within`` words of the first term.
    unless: tuple[TermId, ...] = ()
    #: In how many words of the first term the others must stand.
    within: int = Field(default=15, ge=1, le=200)
    weight: int = Field(ge=-9, le=9)

    @model_validator(mode="after")
    def _says_something(self) -> "Cue":
        if not (self.all or self.facts):
            raise ValueError("all or facts: at least one of them")
        if self.weight == 0:
            raise ValueError("weight: a cue of weight 0 says nothing")
        if self.unless and not self.all:
            raise ValueError("unless: counts from a term, so all is needed")
        return self

    def terms(self) -> Iterator[str]:
        for group in self.all:
            yield from group.split("|")


class LexiconExample(Model):
    text: Annotated[str, Field(min_length=1, max_length=1000)]
    facts: tuple[Fact, ...] = ()
    #: Whether the entry is what this text suggests.
    fits: bool


class CategoryCues(Model):
    """``id``: a category of the pack, or ``not_a_report``."""

    id: Slug
    cues: tuple[Cue, ...] = Field(min_length=1)
    examples: tuple[LexiconExample, ...] = Field(min_length=2)


class SignalCues(Model):
    id: Signal
    #: Points from which the signal is suggested.
    floor: int = Field(default=3, ge=1)
    cues: tuple[Cue, ...] = Field(min_length=1)
    examples: tuple[LexiconExample, ...] = Field(min_length=2)


class Lexicon(Model):
    """``version`` 0: there is no file, and nothing is ever suggested."""

    version: int = Field(default=0, ge=0)
    #: Points for the category the reporter chose; alone they never make a suggestion.
    chosen: int = Field(default=2, ge=0)
    #: Below these points, or this close to the next category, nothing is suggested.
    floor: int = Field(default=4, ge=1)
    margin: int = Field(default=1, ge=1)
    #: What each register is called.
    registers: dict[LanguageTag, Words] = Field(default_factory=dict)
    terms: tuple[Term, ...] = ()
    categories: tuple[CategoryCues, ...] = ()
    signals: tuple[SignalCues, ...] = ()

    @model_validator(mode="after")
    def _told(self) -> "Lexicon":
        if self.terms and not self.version:
            raise ValueError("version is missing; begin with version = 1")
        return self


def check_lexicon(lexicon: Lexicon, categories: Collection[str]) -> Iterator[tuple[str, str]]:
    """What is wrong between the entries: place and what was expected."""
    for name, ids in (
        ("terms", [t.id for t in lexicon.terms]),
        ("categories", [c.id for c in lexicon.categories]),
        ("signals", [s.id.value for s in lexicon.signals]),
    ):
        for one, count in Counter(ids).items():
            if count > 1:
                yield f"{name}[{one}]", "expected one entry, there are several"
    for entry in lexicon.categories:
        if entry.id not in categories and entry.id != NOT_A_REPORT:
            yield (
                f"categories[{entry.id}].id",
                f"expected the id of a category or {NOT_A_REPORT}, got '{entry.id}'",
            )
    known, used = {t.id for t in lexicon.terms}, set[str]()
    for name, entries in (("categories", lexicon.categories), ("signals", lexicon.signals)):
        for each in entries:
            place = f"{name}[{each.id}]"
            for n, cue in enumerate(each.cues):
                named = {*cue.terms(), *cue.unless}
                used |= named
                for term in sorted(named - known):
                    yield f"{place}.cues[{n}]", f"expected the id of a term, got '{term}'"
            if {e.fits for e in each.examples} != {True, False}:
                yield f"{place}.examples", "expected one that fits and one that does not"
    for term in sorted(known - used):
        yield f"terms[{term}]", "no cue uses it; use it or take it out"
    for spoken in lexicon.terms:
        for register, phrases in spoken.words.items():
            if register not in lexicon.registers:
                yield f"terms[{spoken.id}].words.{register}", "expected a register of [registers]"
            for phrase in phrases:
                for low, high in re.findall(r"\{(\d+)-(\d+)\}", phrase):
                    if not int(low) < int(high) <= int(low) + 100:
                        yield (
                            f"terms[{spoken.id}].words.{register}",
                            f"'{phrase}': expected a range of at most 100 numbers",
                        )
