# SPDX-License-Identifier: Apache-2.0
"""Something about a case changed. ``version`` grows by one with every change of the case."""

from wasl_schemas.base import EventData, OpenEnum, Slug, Timestamp, Version
from wasl_schemas.events.common import Ground, Severity
from wasl_schemas.ids import CaseId, ReportId
from wasl_schemas.lifecycle import CaseState
from wasl_schemas.sensitivity import Internal


class CaseChange(OpenEnum):
    REPORT_JOINED = "report_joined"
    REPORT_LEFT = "report_left"
    SEVERITY_CHANGED = "severity_changed"
    ASSESSED = "assessed"
    SECOND_LOOK_ASKED = "second_look_asked"
    DECIDED = "decided"
    CONFIRMED = "confirmed"
    OUTCOME = "outcome"
    REOPENED = "reopened"
    CLOSED = "closed"
    UNKNOWN = "unknown"


#: The ``reason`` of a case closed because nothing unlawful was found: the reporter is told so.
NO_GROUND = "no_ground"
#: The ``reason`` of a case reopened because the hub saw the item again.
REAPPEARED = "reappeared"


class CaseUpdatedV1(EventData):
    case_id: Internal[CaseId]
    version: Internal[Version]
    change: Internal[CaseChange]
    state: Internal[CaseState]
    severity: Internal[Severity]
    #: The assessment once there is one, else the reporter's category.
    category: Internal[Slug | None] = None
    #: Only with REPORT_JOINED and REPORT_LEFT.
    report_id: Internal[ReportId | None] = None
    #: Only with DECIDED and CONFIRMED: the legal or terms-of-service ground.
    ground: Internal[Ground | None] = None
    #: Advice card of the country pack's texts to show the reporter.
    advice: Internal[Slug | None] = None
    #: With CLOSED and REOPENED: a machine word for why, such as :data:`NO_GROUND`.
    reason: Internal[Slug | None] = None
    changed_at: Internal[Timestamp]
