# SPDX-License-Identifier: Apache-2.0
"""What passes between the gateway and a connector.

A :class:`Submission` has no field for the reporter, so no connector can leak one. What is sensitive
is kept out of ``repr``: these objects end up in tracebacks.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, model_validator

#: A partner's own identifier, opaque: printable, no spaces at the ends, at most 200 characters.
Reference = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[ -~]+$")
]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Outcome(StrEnum):
    """What a partner can say about a request it has."""

    PENDING = "pending"
    ACKNOWLEDGED = "acknowledged"
    REMOVED = "removed"
    GEO_RESTRICTED = "geo_restricted"
    AGE_RESTRICTED = "age_restricted"
    LABELLED = "labelled"
    ACCOUNT_ACTION = "account_action"
    ALREADY_GONE = "already_gone"
    REFUSED = "refused"
    #: The partner contests the request and waits for the hub's answer.
    DISPUTED = "disputed"


class Measure(StrEnum):
    """What a partner is asked to do, the least restrictive first."""

    LABEL = "label"
    AGE_RESTRICT = "age_restrict"
    GEO_RESTRICT = "geo_restrict"
    REMOVE = "remove"
    ACCOUNT_ACTION = "account_action"


class Ground(_Model):
    """Why the request is lawful. ``text``: the cited rule in words, empty where unknown."""

    kind: Literal["law", "terms"]
    ref: str
    text: str = ""


class EvidenceReference(_Model):
    """Evidence by reference. ``hash``: ``value`` in hex by ``algorithm``; ``link``: an address."""

    kind: Literal["hash", "link"]
    value: str = Field(repr=False, max_length=2000)
    algorithm: str = ""


class Submission(_Model):
    """One request to one partner about one item.

    ``idempotency_key`` is the same on every attempt of the same request and never used for another.
    ``scope``: ISO 3166-1 alpha-2 code of the country removal is asked for, or ``global``.
    ``location``: a canonical URL, or the handle, number or invite link where there is no URL.
    ``revision``: 0, then one more for each correction. ``via``: hubs the report came through,
    oldest first. ``measure``: what is asked for, the least that is enough and one of the
    manifest's ``measures``; None: what the partner's rules say.
    """

    idempotency_key: str
    case: str
    partner: str
    category: str
    severity: Literal["low", "medium", "high", "critical"]
    ground: Ground
    scope: str
    location: str = Field(repr=False)
    platform: str
    kind: str
    language: str
    explanation: str = Field(default="", repr=False)
    evidence: tuple[EvidenceReference, ...] = ()
    requested_at: AwareDatetime
    test: bool = False
    revision: int = Field(default=0, ge=0)
    via: tuple[str, ...] = ()
    measure: Measure | None = None


class Receipt(_Model):
    """The partner has it. ``outcome`` where it answers at once."""

    reference: Reference
    outcome: Outcome = Outcome.PENDING
    reason: str | None = None


class Reminder(_Model):
    """A partner has not answered what it got at ``sent_at``. ``number``: 1 for the first reminder.

    ``role``: the desk to turn to, a role of the pack's escalation; None: the same as before.
    """

    submission: Submission
    reference: Reference
    number: int = Field(ge=1)
    role: str | None = None
    sent_at: AwareDatetime


class StatusUpdate(_Model):
    """What a partner says about one request, named by its reference, by our key, or both.

    ``event_id`` identifies the message, so that repeating it has no effect; polling has none.
    ``reply``: the partner's own words, kept for the analyst.
    ``partner`` is who is known to have said it (None: a channel several partners share, except
    ``not_partners``, who have a channel of their own); the gateway ignores an answer about somebody
    else's request.
    """

    outcome: Outcome
    reference: Reference | None = None
    idempotency_key: str | None = Field(default=None, max_length=80)
    reason: str | None = None
    event_id: str | None = Field(default=None, max_length=200)
    reply: str | None = Field(default=None, repr=False, max_length=20_000)
    partner: str | None = None
    not_partners: frozenset[str] = frozenset()

    @model_validator(mode="after")
    def _names_a_request(self) -> "StatusUpdate":
        if self.reference is None and self.idempotency_key is None:
            raise ValueError("a status update names its request: reference or idempotency_key")
        return self


class Inbox(_Model):
    """Answers found, and where to go on. ``more``: ask again at once."""

    updates: tuple[StatusUpdate, ...] = ()
    cursor: str = Field(max_length=500)
    more: bool = False


class CallbackRequest(_Model):
    """A partner's message exactly as it arrived. Header names are lower case."""

    headers: Mapping[str, str] = Field(repr=False)
    body: bytes = Field(repr=False)
    received_at: datetime
