# SPDX-License-Identifier: Apache-2.0
"""The structured assessment: a category is not a label but answers to the country pack's questions.

Pure. Every question of the category is answered; "unsure" is an answer, silence is not. An answer
that stands for a signal confirms or dismisses it, beside what the analyst ticks by hand.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from wasl_schemas.country_pack import CountryPack
from wasl_schemas.taxonomy import Signal

from wasl_triage.domain.decisions import Missing, sentence

Answer = Literal["yes", "no", "unsure"]

#: Signals only a machine can know; an analyst neither adds nor removes them.
MACHINE_SIGNALS = frozenset({Signal.MANY_REPORTERS, Signal.HAS_URL, Signal.NEEDS_EXPANSION})


@dataclass(frozen=True, slots=True)
class Ticked:
    """Signals an assessment adds to the reports' own, and those it takes away."""

    confirmed: tuple[Signal, ...]
    dismissed: tuple[Signal, ...]


def check_category(pack: CountryPack, category: str) -> list[Missing]:
    if category in pack.categories:
        return []
    known = {"categories": ", ".join(pack.categories)}
    fix = "Use one of: {categories}."
    return [Missing("category", "is no category of the country pack", fix, known)]


def check_answers(pack: CountryPack, category: str, answers: Mapping[str, Answer]) -> list[Missing]:
    """One entry for each question of the category that is not answered, and for each answer to a
    question it does not have.
    """
    asked = {q.id: q for q in pack.desk.questions_for(category)}
    out = [
        Missing(
            f"answers.{q.id}",
            "is missing: {question}",
            "Answer yes, no or unsure.",
            {"question": sentence(pack, q.text)},
        )
        for q in asked.values()
        if q.id not in answers
    ]
    known = {"questions": ", ".join(asked)}
    out += [
        Missing("answers", "holds a question that is not asked here", "Asked: {questions}.", known)
        for answered in answers
        if answered not in asked
    ][:1]
    return out


def check_signals(
    pack: CountryPack,
    answers: Mapping[str, Answer],
    signals: Collection[Signal],
    dismissed: Collection[Signal],
) -> list[Missing]:
    """What an analyst ticked by hand that they may not, or that their own answers contradict."""
    out: list[Missing] = []
    for field, ticked in (("signals", signals), ("dismissed", dismissed)):
        if MACHINE_SIGNALS & set(ticked):
            out.append(
                Missing(field, "names a signal only a machine sets", "Leave that signal out.")
            )
    if set(signals) & set(dismissed):
        out.append(Missing("dismissed", "names a signal that is also added", "Name it once."))
    said = ticked_by(pack, answers)
    for field, ticked, opposite in (
        ("signals", signals, said.dismissed),
        ("dismissed", dismissed, said.confirmed),
    ):
        out += [
            Missing(
                field,
                "'{signal}' is not what the answers say",
                "Change the answer or leave it.",
                {"signal": s.value},
            )
            for s in ticked
            if s in opposite
        ]
    return out


def ticked_by(pack: CountryPack, answers: Mapping[str, Answer]) -> Ticked:
    """The signals the answers stand for. A "yes" to one question outweighs a "no" to another."""
    yes: list[Signal] = []
    no: list[Signal] = []
    for question, answer in answers.items():
        known = pack.questions.get(question)
        if known is not None and known.sets is not None and answer != "unsure":
            (yes if answer == "yes" else no).append(known.sets)
    return Ticked(_once(yes), _once(s for s in no if s not in yes))


def union(by_hand: Ticked, by_answers: Ticked) -> Ticked:
    return Ticked(
        _once((*by_hand.confirmed, *by_answers.confirmed)),
        _once((*by_hand.dismissed, *by_answers.dismissed)),
    )


def _once(signals: Iterable[Signal]) -> tuple[Signal, ...]:
    return tuple(dict.fromkeys(signals))
