# SPDX-License-Identifier: Apache-2.0
"""What another country's hub may hand over, and what it may learn of it.

Its request becomes a report like any other, judged here under this country's law; what the other
hub says about it is a hint. Chains of hubs end: a hub refuses what came through itself, and what
came through too many. The words of an outcome are the connector SDK's.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, Field, StringConstraints, TypeAdapter, model_validator
from pydantic_core import PydanticCustomError
from wasl_schemas.base import LanguageTag, Slug
from wasl_schemas.country_pack import MAX_HOPS
from wasl_schemas.lifecycle import CaseState, DispatchState
from wasl_schemas.timeline import CaseView

from wasl_intake.domain.submission import Location, Prose, Request

#: What a partner of ours did about the item, best first.
_DONE = (
    DispatchState.REMOVED, DispatchState.ALREADY_GONE, DispatchState.SEEN_GONE,
    DispatchState.ACCOUNT_ACTION, DispatchState.GEO_RESTRICTED, DispatchState.AGE_RESTRICTED,
    DispatchState.LABELLED,
)  # fmt: skip

#: States of a case somebody is at, or has been.
_IN_HAND = (CaseState.SECOND_LOOK, CaseState.IN_PROGRESS, CaseState.UNRESOLVED)
#: As a request's id: printable, nothing that means something in a path or a query.
Key = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:-]{8,80}$")]


class PeerGround(Request):
    """The rule the other hub acts on, in its own law. ``text``: in words."""

    kind: Literal["law", "terms"]
    ref: Slug
    text: Annotated[str, Field(max_length=2_000)] = ""


class PeerRequest(Request):
    """One item another hub asks this one to deal with. There is no field for who reported it."""

    key: Key = Field(description="The other hub's id of its request; the same key is one report")
    location: Location
    platform: Slug | None = Field(default=None, description="A hint")
    category: Slug = Field(description="A hint; kept where this country has the category")
    severity: Literal["low", "medium", "high", "critical"] = Field(description="A hint")
    ground: PeerGround
    explanation: Prose = Field(default="", description="The other hub's words for this one")
    language: LanguageTag = "und"
    requested_at: AwareDatetime
    via: tuple[Slug, ...] = Field(
        min_length=1, max_length=50, description="Hubs it came through, oldest first, sender last"
    )
    test: bool = Field(default=False, description="Nothing is stored, and nobody acts on it")

    @model_validator(mode="after")
    def _each_hub_once(self) -> Self:
        if len(set(self.via)) != len(self.via):
            raise PydanticCustomError(
                "hub_twice",
                "names a hub twice",
                {"fix": "Refuse what came through yourself.", "field": "via"},
            )
        return self

    def narrative(self, hub: str) -> str:
        """What the analyst reads, sealed with the report's content."""
        told = {
            "hub": hub,
            "request": self.key,
            "requested": self.requested_at.isoformat(timespec="minutes"),
            "category": self.category,
            "severity": self.severity,
            "platform": self.platform or "",
            "ground": f"{self.ground.kind} {self.ground.ref}",
            "rule": self.ground.text,
        }
        lines = "\n".join(f"{name}: {value}" for name, value in told.items() if value)
        return f"{self.explanation}\n\n{lines}".strip()


class PeerWithdrawal(Request):
    """The other hub no longer asks. ``reason``: a machine word."""

    reason: Slug


PEER_REQUEST: TypeAdapter[PeerRequest] = TypeAdapter(PeerRequest)
PEER_WITHDRAWAL: TypeAdapter[PeerWithdrawal] = TypeAdapter(PeerWithdrawal)


def loops(own: str, via: tuple[str, ...]) -> bool:
    """Whether taking this would close a circle, or make a chain longer than any may be."""
    return own in via or len(via) > MAX_HOPS


def outcome(
    received_at: datetime, views: Iterable[CaseView], *, withdrawn: bool
) -> tuple[str, str | None]:
    """What became of a report since it came, as an outcome and a reason (machine words).

    A partner that refused or said nothing ends nothing while the case is not given up, and one that
    said nothing never counts as a refusal: how long to wait is the other hub's to say.
    """
    if withdrawn:
        return DispatchState.REFUSED.value, "withdrawn"
    views = list(views)
    states = {
        row.state
        for view in views
        for row in view.dispatches.values()
        if row.changed_at >= received_at
    }
    for state in _DONE:
        if state is DispatchState.SEEN_GONE and state in states:
            return DispatchState.ALREADY_GONE.value, "seen_gone"
        if state in states:
            return state.value, None
    for view in views:
        if view.state is CaseState.CLOSED and view.reason == "content_gone":
            return DispatchState.ALREADY_GONE.value, None
    if views and all(v.state is CaseState.CLOSED for v in views):
        return DispatchState.REFUSED.value, next((v.reason for v in views if v.reason), None)
    given_up = bool(views) and all(v.state is CaseState.UNRESOLVED for v in views)
    if given_up and DispatchState.REFUSED in states:
        return DispatchState.REFUSED.value, "partner_refused"
    looked_at = any(v.assessed or v.state in _IN_HAND for v in views)
    return (DispatchState.ACKNOWLEDGED.value if looked_at else "pending"), None
