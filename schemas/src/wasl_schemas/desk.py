# SPDX-License-Identifier: Apache-2.0
"""How a country's desk works, as data: queues, questions of an assessment, people's protection.

What may be seen by whom, how many people decide and what never leaves the hub is code of triage;
this says which categories and which sentences it is about.
"""

from typing import Annotated, Literal

from pydantic import Field

from wasl_schemas.base import Model, Slug
from wasl_schemas.taxonomy import Safeguard, Signal, Words

Any_ = Literal["*"]


class Queue(Model):
    """Where cases of some categories wait. Exactly one queue is the default."""

    id: Slug
    title: Words
    #: Who answers for it.
    owner: Words
    #: Cases of these categories go here unless a rule says otherwise.
    categories: tuple[Slug, ...] = ()
    default: bool = False


class Question(Model):
    """One question of the structured assessment: answered yes, no or unsure."""

    id: Slug
    text: Words
    help: Words = Field(default_factory=dict)
    categories: tuple[Slug | Any_, ...]
    #: The signal a "yes" confirms and a "no" dismisses.
    sets: Signal | None = None
    #: The answer without which nothing leaves the hub.
    needed: Literal["yes", "no"] | None = None


class Exposure(Model):
    """How much a person reads before others take over. Points a look, by category."""

    #: Points for opening a case; "*" for categories that are not named.
    points: dict[Slug | Any_, int] = Field(default_factory=lambda: {"*": 1})
    #: Points a day (local time) after which distressing cases go to somebody else.
    budget: int = Field(default=200, ge=1)
    #: From this share of the budget on, the desk proposes a rotation.
    rotate_at: float = Field(default=0.75, gt=0, le=1)
    break_after_minutes: int = Field(default=50, ge=5, le=240)
    break_minutes: int = Field(default=10, ge=1, le=60)
    #: Text of these categories is folded, and its cases count against the budget.
    distressing: tuple[Slug, ...] = ()


class Review(Model):
    """The independent reviewer's random sample: share of decisions by safeguard, 0 to 1."""

    share: dict[Safeguard, Annotated[float, Field(ge=0, le=1)]] = Field(default_factory=dict)


class OpinionBody(Model):
    """A body that may be asked what it thinks of a case before the desk decides."""

    id: Slug
    title: Words
    #: The queue whose people answer; None: the desk writes down what the body said.
    queue: Slug | None = None


class DeskRules(Model):
    queues: tuple[Queue, ...] = ()
    questions: tuple[Question, ...] = ()
    #: Categories only people cleared for child safety see.
    restricted: tuple[Slug, ...] = ()
    #: The second person judges before they see what the first one said.
    blind: tuple[Slug, ...] = ()
    #: The six-part threshold test of the Rabat Plan of Action (OHCHR, A/HRC/22/17/Add.4).
    rabat: tuple[Slug, ...] = ()
    #: The second person checks data and routing only, and is shown no text.
    no_second_viewing: tuple[Slug, ...] = ()
    exposure: Exposure = Exposure()
    review: Review = Review()
    opinions: tuple[OpinionBody, ...] = ()
    #: Cases one bulk action may touch.
    bulk_limit: int = Field(default=200, ge=1, le=1000)
    #: Read and accepted at the first sign-in; a new version asks again.
    code_version: int = Field(default=1, ge=1)
    code_of_conduct: tuple[Words, ...] = ()

    def queue_of(self, category: str | None) -> str:
        """The queue of a category without rules: its own, else the default, else ""."""
        for queue in self.queues:
            if category is not None and category in queue.categories:
                return queue.id
        return next((q.id for q in self.queues if q.default), "")

    def questions_for(self, category: str) -> tuple[Question, ...]:
        return tuple(q for q in self.questions if "*" in q.categories or category in q.categories)

    def points(self, category: str | None) -> int:
        rest = self.exposure.points.get("*", 1)
        return self.exposure.points.get(category, rest) if category else rest
