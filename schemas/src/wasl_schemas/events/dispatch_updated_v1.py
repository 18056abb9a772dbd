# SPDX-License-Identifier: Apache-2.0
"""A row of the dispatch ledger changed. ``version`` grows by one with every change of the row."""

from wasl_schemas.base import Count, EventData, Slug, Timestamp, Version
from wasl_schemas.ids import CaseId, DispatchId
from wasl_schemas.lifecycle import DispatchState
from wasl_schemas.sensitivity import Internal


class DispatchUpdatedV1(EventData):
    dispatch_id: Internal[DispatchId]
    case_id: Internal[CaseId]
    version: Internal[Version]
    connector: Internal[Slug]
    partner: Internal[Slug]
    state: Internal[DispatchState]
    attempts: Internal[Count]
    #: The partner's own reference, as an opaque string.
    reference: Internal[str | None] = None
    #: Machine word for why: an error class or the partner's refusal code.
    reason: Internal[Slug | None] = None
    changed_at: Internal[Timestamp]
