# SPDX-License-Identifier: Apache-2.0
"""Refusals, reasons and rules in the reader's words: what the desk names by an id is shown by its
title. What has no title is shown as it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from wasl_schemas.events.common import Ground, GroundKind
from wasl_schemas.rules import Flag

from wasl_triage.console import labels
from wasl_triage.domain.decisions import Missing

if TYPE_CHECKING:
    from wasl_triage.console.site import Page

#: What a sentence may end with; a question of the pack ends with its own mark.
_ENDS = (".", "?", "؟", "!")


@dataclass(frozen=True, slots=True)
class Told:
    """One thing that is missing: the field as the page calls it, what is wrong and what to do, as
    sentences.
    """

    field: str
    message: str
    fix: str


def undoing(page: Page, language: str) -> str:
    """What a partner is asked once what it acted on does not stand, in the partner's language."""
    say = partial(page.site.catalogue.gettext, page.pack.language_for(language))
    return say(
        "We take back our request about the item below. Please undo what you did on it, and restore"
        " the item."
    )


def told(page: Page, missing: Iterable[Missing]) -> list[Told]:
    return [_told(page, one) for one in missing]


def _told(page: Page, one: Missing) -> Told:
    values = {name: _value(page, name, value) for name, value in one.values.items()}
    field = one.field.removeprefix("assessment.")
    place, _, bare = field.partition(".")
    if place == "answers" and bare in page.pack.questions:
        field = place
        values["question"] = page.words(page.pack.questions[bare].text)
    name = labels.rabat(page, bare) if place == "rabat" and bare else labels.field(page, field)
    message = page.say(one.message, **values)
    return Told(
        name, message if message[-1:] in _ENDS else f"{message}.", page.say(one.fix, **values)
    )


def _value(page: Page, name: str, value: str) -> str:
    """``value``: one id, or several with commas between them."""
    return page.comma.join(_one(page, name, word) for word in value.split(", "))


def _one(page: Page, name: str, word: str) -> str:
    pack = page.pack
    match name:
        case "partner" | "partners":
            return page.words(pack.partners[word].title) if word in pack.partners else word
        case "authority" | "authorities":
            return page.words(pack.authorities[word].title) if word in pack.authorities else word
        case "category" | "categories":
            return category(page, word)
        case "queues":
            return queue(page, word)
        case "bodies":
            return body(page, word)
        case "cards":
            return page.words(pack.advice_cards[word].title) if word in pack.advice_cards else word
        case "ground":  # only a law has elements
            return ground(page, Ground(kind=GroundKind.LAW, ref=word))
        case "grounds":
            kind, _, ref = word.partition(" ")
            return ground(page, Ground(kind=GroundKind(kind), ref=ref)) if ref else word
        case "measure" | "measures":
            return labels.measure(page, word)
        case "answer" | "needed":
            return labels.answer(page, word)
        case "screen":
            return labels.screen(page, word)
        case "kind":
            return labels.kind(page, word)
        case "when":
            return labels.refer_when(page, word)
        case "signal":
            return labels.signal(page, word)
        case "reasons":
            return labels.close_reason(page, word)
        case _:
            return word


def category(page: Page, word: str) -> str:
    known = page.pack.categories.get(word)
    return page.words(known.label) if known else word


def queue(page: Page, word: str) -> str:
    known = page.pack.queues.get(word)
    return page.words(known.title) if known else word


def act(page: Page, word: str) -> str:
    """An act of the audit trail; looking at a queue bears the queue's name."""
    if word in page.pack.queues:
        return page.say("Looked at the queue “{queue}”", queue=queue(page, word))
    return labels.act(page, word)


def detail(page: Page, act: str, word: str) -> str:
    """What an act of the audit trail was about: a word of a list by its title, else an id."""
    match act:
        case "assess" | "mark_golden":
            return category(page, word)
        case "move":
            return queue(page, word)
        case "ask_opinion" | "give_opinion":
            return body(page, word)
        case "skip":
            return labels.skip_reason(page, word)
        case "act_automatically":
            return rule(page, word)
        case "first_look_missed" | "confirmation_missed":
            return labels.severity(page, word)
        case "release" | "reopen":
            return labels.why(page, word)
        case _:
            return word


def language(page: Page, tag: str) -> str:
    """A language as the reader calls it."""
    spoken = {
        "ary": page.say("Darija"),
        "ary-Latn": page.say("Darija in Latin letters"),
        "zgh": page.say("Amazigh"),
        "zgh-Latn": page.say("Amazigh in Latin letters"),
        "mul": page.say("several languages"),
    }
    known = page.site.locales[page.lang].languages
    return spoken.get(tag) or str(known.get(tag) or tag)


def body(page: Page, word: str) -> str:
    """A body that is asked what it thinks."""
    known = next((b for b in page.pack.desk.opinions if b.id == word), None)
    return page.words(known.title) if known else word


def ground(page: Page, cited: Ground) -> str:
    law = cited.kind is GroundKind.LAW
    known = page.pack.laws.get(cited.ref) if law else page.pack.terms.get(cited.ref)
    if known is None:
        return cited.ref
    title = page.words(known.title)
    return title if law else page.say("Terms: {title}", title=title)


def rule(page: Page, word: str) -> str:
    """A rule by its title."""
    known = next((r for r in page.pack.rules.rules if r.id == word), None)
    return page.words(known.title) if known else word


def effect(page: Page, words: str) -> str:
    """What a rule does, from the engine's words: ``queue children``, ``raise 1``, ``page``."""
    kind, _, what = words.partition(" ")
    match kind:
        case "queue":
            return page.say("put it into “{queue}”", queue=queue(page, what))
        case "suggest":
            return page.say("suggest “{category}”", category=category(page, what))
        case "classify":
            return page.say("call it “{category}”", category=category(page, what))
        case "dispatch":
            return page.say("ask {partner}", partner=_one(page, "partner", what))
        case "flag":
            return page.say("mark it “{word}”", word=flag(page, what))
        case "set":
            return page.say("make it “{severity}”", severity=labels.severity(page, what))
        case "raise":
            return page.say("raise its severity")
        case "lower":
            return page.say("lower its severity")
        case "page":
            return page.say("call whoever is on duty")
        case "hold":
            return page.say("hold it for a legal reviewer")
        case _:
            return words


def flag(page: Page, word: str) -> str:
    """A word a rule marks a case with: the title of the rule that does, in words."""
    for known in page.pack.rules.rules:
        if any(isinstance(e, Flag) and e.word == word for e in known.then):
            return page.words(known.title)
    return word


def modifier(page: Page, word: str) -> str:
    """What moved the severity."""
    known = next((m for m in page.pack.taxonomy.modifiers if m.id == word), None)
    return labels.signal(page, known.signal.value) if known else word


def because(page: Page, word: str) -> str:
    """Why the machine suggests something: a term of the lexicon, a fact, a bank, or a rule."""
    if word.startswith("hash_bank "):
        return page.say("known hash of “{bank}”", bank=word.removeprefix("hash_bank "))
    name, _, value = word.partition("=")
    if value:
        return _fact(page, name, value)
    lexicon = page.pack.lexicon
    term, _, register = word.partition("@")
    known = next((t for t in lexicon.terms if t.id == term), None)
    if known is None:
        return rule(page, word)
    spoken = lexicon.registers.get(register)
    return f"{page.words(known.label)} ({page.words(spoken) if spoken else register})"


def _fact(page: Page, name: str, value: str) -> str:
    match name:
        case "kind":
            return labels.kind(page, value)
        case "platform":
            known = page.pack.services.get(value)
            return page.words(known.title) if known else value
        case "risk":
            return labels.risk(page, value)
        case "affected":
            return labels.affected(page, value)
        case "signals":
            return labels.signal(page, value)
        case _:
            return f"{name}={value}"
