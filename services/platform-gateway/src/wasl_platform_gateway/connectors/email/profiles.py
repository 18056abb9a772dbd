# SPDX-License-Identifier: Apache-2.0
"""What a desk wants to read, in which order and language: data in ``desks`` and ``texts``.

Every profile carries the elements of DSA art. 16(2): explanation, exact location, who asks, good
faith; and the legal ground, the territorial scope, what is asked and by when. Used for mail and for
the packet a person copies into a portal. No desk publishes its form: the order is the hub's.
"""

import re
import tomllib
from dataclasses import dataclass
from datetime import UTC, timedelta
from importlib.resources import files
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveInt, model_validator
from wasl_connector_sdk import HubIdentity, InvalidSubmission, Measure, Submission
from wasl_connector_sdk.asking import Language, sentence

Severity = Literal["low", "medium", "high", "critical"]
Locator = Literal["url", "number", "invite", "handle"]
FieldName = Literal[
    "reference", "service", "item", "kind", "category", "severity", "casework_ground",
    "legal_ground", "explanation", "asked", "scope", "deadline", "evidence", "requester",
    "good_faith",
]  # fmt: skip
#: DSA art. 16(2)(a) to (d), and what a desk needs to act.
_ALWAYS: frozenset[FieldName] = frozenset(
    {"explanation", "item", "requester", "good_faith", "legal_ground", "scope", "asked", "deadline"}
)
MAX_LOCATION = 4_000
MAX_EXPLANATION = 20_000
MINUTE = "%Y-%m-%d %H:%M UTC"

_NUMBER = re.compile(r"(?:https?://wa\.me/)?\+?\d[\d ().-]{4,24}")
_INVITE = re.compile(
    r"(?:https?://)?(?:(?:t|telegram)\.me/(?:\+|joinchat/)|chat\.whatsapp\.com/)\S+|tg://join\S+",
    re.IGNORECASE,
)
_URL = re.compile(r"[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE)


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Words(_Data):
    ar: str
    fr: str
    en: str

    def in_(self, language: Language) -> str:
        return {"ar": self.ar, "fr": self.fr, "en": self.en}[language]


class CaseworkGround(_Data):
    """A reason the desk itself lists. ``categories``: those it is taken for by default."""

    id: str
    categories: frozenset[str] = frozenset()
    label: Words


class Profile(_Data):
    """``services``: platforms the desk answers for, empty: all. ``grounds``: none where empty."""

    title: str
    services: frozenset[str] = frozenset()
    locators: frozenset[Locator]
    language: Language
    fields: tuple[FieldName, ...]
    subject: Words
    opening: Words
    grounds: tuple[CaseworkGround, ...] = ()

    @model_validator(mode="after")
    def _complete(self) -> Self:
        missing = _ALWAYS - set(self.fields)
        if missing or len(set(self.fields)) < len(self.fields):
            raise ValueError(f"fields missing or twice: {', '.join(sorted(missing))}")
        return self


class Texts(_Data):
    """The words of one language."""

    greeting: str
    closing: str
    test_subject: str
    test_body: str
    packet: dict[str, str]
    follow: dict[str, str]
    labels: dict[FieldName, str]
    locators: dict[Locator, str]
    severities: dict[Severity, str]
    values: dict[str, str]


def _data(folder: str) -> dict[str, dict[str, object]]:
    found = files(__package__).joinpath(folder).iterdir()
    named = {f.name.removesuffix(".toml"): f for f in found if f.name.endswith(".toml")}
    return {name: tomllib.loads(named[name].read_text("utf-8")) for name in sorted(named)}


PROFILES = {name: Profile.model_validate(data) for name, data in _data("desks").items()}
TEXTS = {name: Texts.model_validate(data) for name, data in _data("texts").items()}


def _known(name: str) -> str:
    if name not in PROFILES:
        raise ValueError(f"unknown profile; known: {', '.join(PROFILES)}")
    return name


class DeskConfig(BaseModel):
    """What is agreed with one partner's desk, whichever way a request gets there."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    profile: Annotated[str, AfterValidator(_known)] = Field(
        default="notice", description="What the desk wants to read"
    )
    language: Language | None = Field(default=None, description="Instead of the profile's")
    answer_hours: dict[Severity, PositiveInt] = Field(
        default_factory=dict, description="Hours the desk has agreed to answer in, by severity"
    )
    grounds: dict[str, str] = Field(
        default_factory=dict,
        description="The profile's ground for a legal ground, where the category's is another",
    )

    @model_validator(mode="after")
    def _grounds_known(self) -> Self:
        known = [g.id for g in PROFILES[self.profile].grounds]
        if not set(self.grounds.values()) <= set(known):
            raise ValueError(f"grounds: the profile knows {', '.join(known) or 'none'}")
        return self


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request in a desk's words. ``fields``: label and value, in the desk's order."""

    subject: str
    opening: str
    fields: tuple[tuple[str, str], ...]
    texts: Texts
    language: Language


def locator_of(location: str) -> Locator:
    """What kind of name an item has here."""
    if _NUMBER.fullmatch(location):
        return "number"
    if _INVITE.fullmatch(location):
        return "invite"
    return "url" if _URL.fullmatch(location) else "handle"


def language_of(desk: DeskConfig) -> Language:
    return desk.language or PROFILES[desk.profile].language


def line(text: str) -> str:
    """One line without control characters: cannot end a header, nor pretend to be another field."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def block(text: str) -> str:
    """Text of several lines, without other control characters."""
    clean = text.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(c if c.isprintable() or c in "\n\t" else " " for c in clean).strip()


def prepare(
    submission: Submission, desk: DeskConfig, hub: HubIdentity, token: str, contact: str
) -> Prepared:
    """The request as the desk wants it. ``contact``: where the desk may ask, if the hub names none.

    Raises InvalidSubmission where this desk is the wrong one, or the request too long for it.
    """
    profile = PROFILES[desk.profile]
    if len(submission.location) > MAX_LOCATION or len(submission.explanation) > MAX_EXPLANATION:
        raise InvalidSubmission("location or explanation too long", reason="too_large")
    if profile.services and submission.platform not in profile.services:
        raise InvalidSubmission("not a service of this desk", reason="wrong_desk")
    if locator_of(submission.location.strip()) not in profile.locators:
        raise InvalidSubmission("the desk takes no item named this way", reason="wrong_locator")
    language = language_of(desk)
    texts = TEXTS[language]
    ground = _casework_ground(profile, desk, submission)
    names = (hub.name, hub.country, hub.contact or contact, hub.url)
    who = ", ".join(line(name) for name in names if name)
    values = _values(submission, desk, who, token, language)
    values["casework_ground"] = ground.label.in_(language) if ground else ""
    subject = profile.subject.in_(language).format(
        service=submission.platform, ground=values["casework_ground"]
    )
    return Prepared(
        subject=line(subject),
        opening=profile.opening.in_(language),
        fields=tuple((texts.labels[f], values[f]) for f in profile.fields if values[f]),
        texts=texts,
        language=language,
    )


def _casework_ground(
    profile: Profile, desk: DeskConfig, submission: Submission
) -> CaseworkGround | None:
    if not profile.grounds:
        return None
    chosen = desk.grounds.get(submission.ground.ref)
    for ground in profile.grounds:
        if ground.id == chosen or (chosen is None and submission.category in ground.categories):
            return ground
    raise InvalidSubmission("none of the desk's grounds fits", reason="no_casework_ground")


def _values(
    submission: Submission, desk: DeskConfig, who: str, token: str, language: Language
) -> dict[FieldName, str]:
    texts = TEXTS[language]
    location, words = line(submission.location), texts.values
    anywhere = submission.scope == "global"
    hours = desk.answer_hours.get(submission.severity)
    due = hours and f"{submission.requested_at.astimezone(UTC) + timedelta(hours=hours):{MINUTE}}"
    ground = submission.ground
    return {
        "reference": token,
        "service": line(submission.platform),
        "item": f"{texts.locators[locator_of(location)]}: {location}",
        "kind": line(submission.kind),
        "category": line(submission.category),
        "severity": texts.severities[submission.severity],
        "legal_ground": line(" — ".join(x for x in (ground.text, ground.ref) if x)),
        "explanation": block(submission.explanation) or line(ground.text or ground.ref),
        "asked": sentence(submission.measure or Measure.REMOVE, line(submission.scope), language),
        "scope": words["global"] if anywhere else line(submission.scope),
        "deadline": words["by"].format(time=due) if due else words["soon"],
        "evidence": "\n".join(
            line(f"{e.algorithm} {e.value}") for e in submission.evidence if e.kind == "hash"
        ),
        "requester": who,
        "good_faith": words["good_faith"],
    }
