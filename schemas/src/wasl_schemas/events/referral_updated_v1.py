# SPDX-License-Identifier: Apache-2.0
"""A referral package moved on. ``version`` grows by one with every change."""

from wasl_schemas.base import EventData, Slug, Timestamp, Version
from wasl_schemas.ids import CaseId, ReferralId
from wasl_schemas.lifecycle import ReferralState
from wasl_schemas.sensitivity import Internal


class ReferralUpdatedV1(EventData):
    referral_id: Internal[ReferralId]
    case_id: Internal[CaseId]
    version: Internal[Version]
    authority: Internal[Slug]
    state: Internal[ReferralState]
    #: SHA-256 of the sealed package, hex.
    digest: Internal[str | None] = None
    reason: Internal[Slug | None] = None
    changed_at: Internal[Timestamp]
