# SPDX-License-Identifier: Apache-2.0
"""A row of the dispatch ledger changed. ``version`` grows by one with every change of the row."""

from wasl_schemas.base import Count, EventData, OpenEnum, Slug, Timestamp, Version
from wasl_schemas.ids import CaseId, DispatchId
from wasl_schemas.lifecycle import DispatchState
from wasl_schemas.sensitivity import Internal


class DispatchChange(OpenEnum):
    #: The row is in another state than before.
    STATE = "state"
    REMINDED = "reminded"
    #: A reminder went one rung higher: ``role`` says to whom.
    ESCALATED = "escalated"
    CORRECTED = "corrected"
    #: The partner wrote; the words are with the gateway.
    REPLIED = "replied"
    #: The partner has no machine channel for it: a person must remind, correct or withdraw.
    REMINDER_DUE = "reminder_due"
    CORRECTION_DUE = "correction_due"
    WITHDRAWAL_DUE = "withdrawal_due"
    UNKNOWN = "unknown"


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
    change: Internal[DispatchChange] = DispatchChange.STATE
    #: Reminders so far, those a person was asked to send included.
    reminders: Internal[Count] = 0
    #: Of the request as the gateway knows it.
    revision: Internal[Count] = 0
    #: With ESCALATED and REMINDER_DUE: the partner's desk, as a role of the country pack.
    role: Internal[Slug | None] = None
