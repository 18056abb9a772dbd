# SPDX-License-Identifier: Apache-2.0
"""A first report about an item opened its case."""

from wasl_schemas.base import EventData, Slug, Timestamp, Version
from wasl_schemas.events.common import Severity
from wasl_schemas.ids import CaseId, ReportId
from wasl_schemas.sensitivity import Internal


class CaseOpenedV1(EventData):
    case_id: Internal[CaseId]
    version: Internal[Version]
    report_id: Internal[ReportId]
    category: Internal[Slug | None] = None
    severity: Internal[Severity]
    #: Service of the country pack (tiktok, facebook, web …).
    platform: Internal[Slug]
    #: post, account, page …
    item_kind: Internal[Slug]
    opened_at: Internal[Timestamp]
    first_look_due: Internal[Timestamp]
