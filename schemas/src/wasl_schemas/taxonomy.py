# SPDX-License-Identifier: Apache-2.0
"""What a harm is called, how urgent it is, and how carefully it must be decided.

The vocabularies are code, because every service must agree on them; the categories, their
severities and the modifiers are data of the country pack. Severity is a pure function of a category
and signals, and tells which modifiers moved it, so that an analyst can read why.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from wasl_schemas.base import LanguageTag, Model, Slug
from wasl_schemas.events.common import Risk, Severity

#: The same words in several languages. ``None`` marks a translation that is still missing.
Words = dict[LanguageTag, str | None]


class FourEyes(StrEnum):
    """How many people decide. POST: act now, a second person confirms within the deadline."""

    NONE = "none"
    POST = "post"
    PRE = "pre"
    PRE_LEGAL = "pre_legal"


class Safeguard(StrEnum):
    """How freedom of expression is protected.

    FE1: a ground is recorded. FE2: also a protected-speech screen. FE3: also a legal reviewer,
    single items only, the least restrictive action first. FE3-block: never leaves the hub.
    """

    FE0 = "FE0"
    FE1 = "FE1"
    FE2 = "FE2"
    FE3 = "FE3"
    FE3_BLOCK = "FE3-block"


#: What protects speech about which no machine decides anything and volume says nothing.
SPEECH = frozenset({Safeguard.FE3, Safeguard.FE3_BLOCK})


class Signal(StrEnum):
    """A fact a machine derived or an analyst ticked. Rules of the pack name only these."""

    MINOR_VICTIM = "minor_victim"
    UNDER_13 = "under_13"
    IMMEDIATE_DANGER = "immediate_danger"
    EVENT_WITHIN_72H = "event_within_72h"
    THREATENED = "threatened"
    ADDRESS_PUBLISHED = "address_published"
    SELF_HARM_IN_TEXT = "self_harm_in_text"
    MANY_REPORTERS = "many_reporters"
    CONTENT_GONE = "content_gone"
    PUBLIC_OFFICIAL_TARGET = "public_official_target"
    PRESS = "press"
    HAS_URL = "has_url"
    NEEDS_EXPANSION = "needs_expansion"
    PERSONAL_DATA_IN_TEXT = "personal_data_in_text"


def signals_from_answers(
    danger_now: bool | None,
    under_18: bool | None,
    under_13: bool | None,
    risk: Iterable[Risk] = (),
) -> frozenset[Signal]:
    """The signals a reporter's own answers carry. Under 13 is also under 18."""
    found = set[Signal]()
    if danger_now or Risk.MEETING_PLANNED in risk:
        found.add(Signal.IMMEDIATE_DANGER)
    if under_18 or under_13:
        found.add(Signal.MINOR_VICTIM)
    if under_13:
        found.add(Signal.UNDER_13)
    if Risk.THREATENED in risk:
        found.add(Signal.THREATENED)
    if Risk.SELF_HARM in risk:
        found.add(Signal.SELF_HARM_IN_TEXT)
    return frozenset(found)


class Raise(Model):
    """Up by ``levels``, never above ``ceiling``; a severity already above it stays."""

    kind: Literal["raise"]
    levels: int = Field(default=1, ge=1, le=3)
    ceiling: Severity = Severity.CRITICAL


class Lower(Model):
    kind: Literal["lower"]
    levels: int = Field(default=1, ge=1, le=3)


class SetTo(Model):
    """At least ``level``, whatever raised or lowered it before."""

    kind: Literal["set"]
    level: Severity


class Hold(Model):
    """Nothing may raise it; a legal reviewer looks."""

    kind: Literal["hold"]


class Modifier(Model):
    """When ``signal`` is present, ``effect`` applies.

    To ``only_categories`` if any are named; never to ``never_categories`` nor to a category with
    one of ``never_safeguards``.
    """

    id: Slug
    signal: Signal
    effect: Annotated[Raise | Lower | SetTo | Hold, Field(discriminator="kind")]
    only_categories: tuple[Slug, ...] = ()
    never_categories: tuple[Slug, ...] = ()
    never_safeguards: tuple[Safeguard, ...] = ()
    #: A second category the case is also handled under.
    adds_category: Slug | None = None

    def applies(self, category: "Category | None") -> bool:
        if category is None:
            return not self.only_categories
        if self.only_categories and category.id not in self.only_categories:
            return False
        return (
            category.id not in self.never_categories
            and category.expression_safeguard not in self.never_safeguards
        )


class DsaCode(Model):
    """Category and keywords of the EU DSA transparency database, version 2."""

    category: Annotated[str, StringConstraints(pattern=r"^STATEMENT_CATEGORY_[A-Z_]+$")]
    keywords: tuple[Annotated[str, StringConstraints(pattern=r"^KEYWORD_[A-Z_]+$")], ...] = ()


class OutsideCodes(Model):
    """What the category is called elsewhere. Absent: the scheme has no word for it."""

    dsa: tuple[DsaCode, ...] = ()
    #: XARF 4 ``category/type``.
    xarf: Annotated[str, StringConstraints(pattern=r"^[a-z]+/[a-z_]+$")] | None = None
    #: NCMEC CyberTipline incident type.
    ncmec: str | None = None
    #: INHOPE or Insafe reporting group. Grading is the hotline's, never ours.
    inhope: str | None = None
    iwf: Literal["in_remit", "child_imagery_only", "out_of_remit"] | None = None


class Group(Model):
    """A row of the first question of the form."""

    id: Slug
    label: Words


class Category(Model):
    id: Slug
    group: Slug
    label: Words
    definition: Words
    #: What people call it: short everyday examples, for the form.
    examples: Words = Field(default_factory=dict)
    base_severity: Severity
    four_eyes: FourEyes
    expression_safeguard: Safeguard
    #: False: counted and answered, never sent to a partner or an authority from this category.
    dispatchable: bool = True
    #: True: no machine of the hub ever opens the link, not even to expand a short one.
    never_fetch: bool = False
    codes: OutsideCodes = OutsideCodes()


@dataclass(frozen=True, slots=True)
class SeverityResult:
    severity: Severity
    #: Identifiers of the modifiers that applied, in the pack's order.
    because: tuple[str, ...]
    also: tuple[str, ...]
    legal_review: bool


class Taxonomy(Model):
    groups: tuple[Group, ...] = Field(min_length=1)
    categories: tuple[Category, ...] = Field(min_length=1)
    modifiers: tuple[Modifier, ...] = ()
    #: A report whose sender chose no category starts here.
    unclassified_severity: Severity
    #: From this many reports on one item the signal ``many_reporters`` is present.
    many_reporters: int = Field(ge=2)

    def severity(self, category: Category | None, signals: Collection[Signal]) -> SeverityResult:
        """The severity of a category in the presence of signals.

        Raises and lowers first, in the pack's order; then ``set`` as a floor, so that danger always
        wins. ``category`` None: the reporter chose none.
        """
        applied = [m for m in self.modifiers if m.signal in signals and m.applies(category)]
        held = any(isinstance(m.effect, Hold) for m in applied)
        level = category.base_severity if category else self.unclassified_severity
        for effect in (m.effect for m in applied):
            if isinstance(effect, Raise) and not held and level.rank < effect.ceiling.rank:
                raised = level.raised(effect.levels)
                level = min(raised, effect.ceiling, key=lambda s: s.rank)
            elif isinstance(effect, Lower):
                level = level.raised(-effect.levels)
        for effect in (m.effect for m in applied):
            if isinstance(effect, SetTo):
                level = max(level, effect.level, key=lambda s: s.rank)
        own = category.id if category else None
        return SeverityResult(
            severity=level,
            because=tuple(m.id for m in applied),
            also=tuple(m.adds_category for m in applied if m.adds_category not in (None, own)),
            legal_review=held,
        )
