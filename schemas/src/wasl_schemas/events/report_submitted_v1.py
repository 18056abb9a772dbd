# SPDX-License-Identifier: Apache-2.0
"""A person's report is durable in intake."""

from wasl_schemas.base import EventData, LanguageTag, Model, Sealed, Slug, Timestamp
from wasl_schemas.events.common import Affected, Channel, Risk, SealedContact
from wasl_schemas.ids import ReportId
from wasl_schemas.sensitivity import Internal, Personal, Restricted


class ReportContent(Model):
    """What ``content`` holds under its seal, as JSON. Locations are as the reporter typed them."""

    locations: Restricted[tuple[str, ...]] = ()
    narrative: Personal[str] = ""
    #: Of media the reporter holds: ``pdq:``, ``sha256:`` or ``md5:`` and lower-case hex.
    fingerprints: Restricted[tuple[str, ...]] = ()


class ReportSubmittedV1(EventData):
    report_id: Internal[ReportId]
    received_at: Internal[Timestamp]
    channel: Internal[Channel]
    language: Internal[LanguageTag]
    #: The reporter's own choice, never the assessment; None when they chose nothing.
    category: Internal[Slug | None] = None
    danger_now: Internal[bool | None] = None
    under_18: Internal[bool | None] = None
    under_13: Internal[bool | None] = None
    affected: Internal[Affected | None] = None
    risk: Internal[tuple[Risk, ...]] = ()
    consent_partner: Internal[bool] = True
    consent_authority: Internal[bool] = False
    content: Restricted[Sealed]
    contact: Personal[SealedContact | None] = None
    #: Hubs the report came through, oldest first; empty for a person's own report.
    via: Internal[tuple[Slug, ...]] = ()
    #: Nearly the same as another one of the last minutes, or sent in a flood: it counts as a report
    #: but adds nothing to the weight of numbers.
    flood: Internal[bool] = False
