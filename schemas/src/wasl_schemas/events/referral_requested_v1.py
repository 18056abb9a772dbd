# SPDX-License-Identifier: Apache-2.0
"""Triage decided to refer a case to an authority. A command: one consumer."""

from wasl_schemas.base import Count, EventData, LanguageTag, Sealed, Slug, Timestamp
from wasl_schemas.events.common import Ground, Severity
from wasl_schemas.ids import CaseId, ReferralId
from wasl_schemas.sensitivity import Internal, Restricted


class ReferralRequestedV1(EventData):
    referral_id: Internal[ReferralId]
    case_id: Internal[CaseId]
    authority: Internal[Slug]
    category: Internal[Slug]
    severity: Internal[Severity]
    ground: Internal[Ground]
    language: Internal[LanguageTag]
    requested_at: Internal[Timestamp]
    due: Internal[Timestamp]
    #: :class:`~wasl_schemas.events.dispatch_requested_v1.DispatchItem` under the case's seal.
    item: Restricted[Sealed]
    #: How many reports the case rests on.
    reports: Internal[Count]
