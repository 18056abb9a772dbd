# SPDX-License-Identifier: Apache-2.0
"""A person in need: the record of a helpline case, and what its risk screen asks for. Pure.

A helpline case is about a person and is not a content case; the two are linked, never mixed. The
fields follow the open helpline definitions of Tech Matters' Aselo and the framework of Child
Helpline International; as little as possible is asked, and nothing is required but who it is about.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Literal

from pydantic import Field, StringConstraints
from wasl_schemas.base import Model, Slug

Sealed = str
Words = Annotated[str, StringConstraints(strip_whitespace=True, max_length=4000)]

#: What a contact was, when it was nobody's need: counted, never a case.
NonData = Literal["silent", "hang_up", "abusive", "thanks", "question", "wrong_number"]
ContactChannel = Literal["phone", "chat", "email", "walk_in", "web"]
About = Literal["self", "somebody_else"]
AgeBand = Literal["under_13", "13_17", "18_24", "25_plus", "unknown"]
Gender = Literal["girl_woman", "boy_man", "other", "unknown"]
#: Child Helpline International's ten categories.
Need = Literal[
    "missing_children", "violence", "mental_health", "physical_health", "access_to_services",
    "discrimination", "family", "peers", "education_work", "sexuality",
]  # fmt: skip
ActionTaken = Literal[
    "listened", "information", "safety_plan", "help_with_report", "hand_over_child_protection",
    "hand_over_health", "hand_over_police", "hand_over_mental_health", "hand_over_school",
    "hand_over_other",
]  # fmt: skip
Answer = Literal["yes", "no", "unknown"]
#: The five questions, in the order they are asked.
RISKS = ("danger_now", "minor", "threatened", "self_harm", "unsafe_place")
Urgency = Literal["critical", "high", "normal"]
State = Literal["open", "closed"]
#: A hand-over without consent is looked at by a second person within this time.
SECOND_WITHIN = timedelta(hours=24)


class Screening(Model):
    """One asking of the risk screen; it is asked again at each contact."""

    at: datetime
    by: str
    answers: dict[str, Answer]


class HandOver(Model):
    """To whom somebody was accompanied, with whose agreement."""

    id: str
    at: datetime
    by: str
    #: An authority or a contact of the country pack.
    body: Slug
    consent: bool
    #: Why it could not wait for consent, sealed; required without consent.
    exception: Sealed | None = None
    second: str | None = None
    second_at: datetime | None = None
    received_at: datetime | None = None

    def second_due(self) -> datetime | None:
        """Until when another person must have looked; None: nobody needs to, or somebody has."""
        return None if self.consent or self.second else self.at + SECOND_WITHIN


class Note(Model):
    at: datetime
    by: str
    text: Sealed


class Survey(Model):
    """Two questions at the end, for the person who called."""

    helped: Answer
    would_recommend: Answer


class HelplineCase(Model):
    """Lists grow; free text is sealed under the case's own key."""

    id: str
    opened_at: datetime
    opened_by: str
    channel: ContactChannel
    about: About
    age: AgeBand = "unknown"
    gender: Gender = "unknown"
    region: Slug | None = None
    language: str
    needs: list[Need] = Field(default_factory=list)
    summary: Sealed | None = None
    #: Confidential unless the person says otherwise; how they may be reached safely, sealed.
    confidential: bool = True
    safe_contact: Sealed | None = None
    screenings: list[Screening] = Field(default_factory=list)
    actions: list[ActionTaken] = Field(default_factory=list)
    hand_overs: list[HandOver] = Field(default_factory=list)
    notes: list[Note] = Field(default_factory=list)
    #: Content cases and reports that belong to it.
    linked: list[str] = Field(default_factory=list)
    owner: str | None = None
    plan: Sealed | None = None
    next_at: datetime | None = None
    state: State = "open"
    closed_at: datetime | None = None
    survey: Survey | None = None
    #: When retention looks at it next; None: it is open.
    erase_at: datetime | None = None
    audit_seq: int = 0
    audit_hash: str = ""
    audit_at: datetime | None = None


def urgency(screenings: list[Screening]) -> Urgency:
    """From the newest screening: danger or self-harm is critical, a threat is high."""
    if not screenings:
        return "normal"
    said = screenings[-1].answers
    if "yes" in (said.get("danger_now"), said.get("self_harm")):
        return "critical"
    return "high" if said.get("threatened") == "yes" else "normal"


def may_call_back(screenings: list[Screening]) -> bool:
    """Never where any screening said that home or device is not safe."""
    return all(s.answers.get("unsafe_place") != "yes" for s in screenings)


def waits(case: HelplineCase, now: datetime) -> datetime | None:
    """When somebody must look at an open case again; the past is overdue. None: nothing is due."""
    if case.state == "closed":
        return None
    due = [d for h in case.hand_overs if (d := h.second_due())]
    if case.next_at is not None:
        due.append(case.next_at)
    if urgency(case.screenings) == "critical" and not case.actions:
        due.append(case.screenings[-1].at)
    return min(due, default=now if case.owner is None else None)


def screened(answers: Mapping[str, str]) -> dict[str, Answer]:
    """The five answers, "unknown" where one is missing."""
    out: dict[str, Answer] = {}
    for name in RISKS:
        match answers.get(name):
            case "yes":
                out[name] = "yes"
            case "no":
                out[name] = "no"
            case _:
                out[name] = "unknown"
    return out
