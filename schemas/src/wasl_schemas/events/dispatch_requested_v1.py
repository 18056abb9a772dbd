# SPDX-License-Identifier: Apache-2.0
"""Triage decided that one partner is to be asked about one case. A command: one consumer.

The same request with a higher ``revision`` replaces what was asked before: it is corrected,
insisted on, or taken back.

There is no field for a reporter: a connector cannot leak what it is never given.
"""

from wasl_schemas.base import Count, EventData, LanguageTag, Model, Sealed, Slug, Timestamp
from wasl_schemas.events.common import Ground, Severity
from wasl_schemas.ids import CaseId, DispatchId
from wasl_schemas.sensitivity import Internal, Restricted


class DispatchItem(Model):
    """What ``item`` holds under the case's seal, as JSON."""

    #: Canonical URL, or the handle, number or invite link where there is no URL.
    location: Restricted[str]
    platform: Internal[Slug]
    kind: Internal[Slug]
    #: Plain reasons for the partner, written by the hub; never the reporter's words.
    explanation: Restricted[str] = ""


class DispatchRequestedV1(EventData):
    dispatch_id: Internal[DispatchId]
    case_id: Internal[CaseId]
    connector: Internal[Slug]
    partner: Internal[Slug]
    category: Internal[Slug]
    severity: Internal[Severity]
    ground: Internal[Ground]
    #: Where removal is asked: ISO 3166-1 alpha-2 country code, or "global".
    scope: Internal[str]
    language: Internal[LanguageTag]
    automatic: Internal[bool]
    requested_at: Internal[Timestamp]
    due: Internal[Timestamp]
    item: Restricted[Sealed]
    revision: Internal[Count] = 0
    #: Machine word for why the request is taken back; None: it stands.
    withdrawn: Internal[Slug | None] = None
    #: The hub may open the address to see whether it is gone. Never for child safety.
    may_look: Internal[bool] = False
    #: Hubs the report came through, oldest first; it never goes back to one of them.
    via: Internal[tuple[Slug, ...]] = ()
    #: What is asked for: label, age_restrict, geo_restrict, remove or account_action; None: what
    #: the partner's own rules say.
    measure: Internal[Slug | None] = None
