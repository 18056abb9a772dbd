# SPDX-License-Identifier: Apache-2.0
"""Value types shared by several events."""

from enum import StrEnum

from wasl_schemas.base import Model, OpenEnum, Sealed, Slug
from wasl_schemas.sensitivity import Internal, Personal, Public


class Channel(OpenEnum):
    WEB = "web"
    API = "api"
    EMAIL = "email"
    CHAT = "chat"
    PHONE = "phone"
    WHATSAPP = "whatsapp"
    SOCIAL = "social"
    PARTNER = "partner"
    UNKNOWN = "unknown"


class Affected(OpenEnum):
    """Whom it happens to, as the reporter sees it: themselves, a child they know, somebody else."""

    SELF = "self"
    CHILD = "child"
    OTHER = "other"
    UNKNOWN = "unknown"


class Risk(OpenEnum):
    """One question of the risk screen that was answered with yes."""

    MEETING_PLANNED = "meeting_planned"
    #: Threat or blackmail, or the offender knows where the person lives.
    THREATENED = "threatened"
    SELF_HARM = "self_harm"
    #: The reporter's home or device is not safe: nobody calls or writes there.
    UNSAFE_PLACE = "unsafe_place"
    UNKNOWN = "unknown"


class Severity(StrEnum):
    """Order matters: a modifier moves along it. Each level's clocks are in the country pack."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        return list(Severity).index(self)

    def raised(self, levels: int = 1) -> "Severity":
        order = list(Severity)
        return order[max(0, min(len(order) - 1, self.rank + levels))]


class GroundKind(OpenEnum):
    LAW = "law"
    TERMS = "terms"
    UNKNOWN = "unknown"


class Ground(Model):
    """Why a decision is lawful: an article in the country pack or a rule of the partner's terms."""

    kind: Public[GroundKind]
    ref: Public[Slug]


class Contact(Model):
    """Inside the seal: how to reach the reporter. ``safe``: it is safe to write there."""

    channel: Internal[str]
    address: Personal[str]
    safe: Internal[bool] = False


class SealedContact(Model):
    """A contact as it travels: only the channel is readable."""

    channel: Internal[str]
    safe: Internal[bool]
    address: Personal[Sealed]
