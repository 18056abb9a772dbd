# SPDX-License-Identifier: Apache-2.0
"""A first report about an item opened its case."""

from wasl_schemas.base import EventData, Slug, Timestamp
from wasl_schemas.events.common import Severity
from wasl_schemas.ids import CaseId, ReportId
from wasl_schemas.sensitivity import Internal


class CaseOpenedV1(EventData):
    case_id: Internal[CaseId]
    version: Internal[int]
    report_id: Internal[ReportId]
    category: Internal[Slug | None]
    severity: Internal[Severity]
    #: Service of the country pack (tiktok, facebook, web …) and kind of item (post, account, page …).
    platform: Internal[Slug]
    item_kind: Internal[Slug]
    opened_at: Internal[Timestamp]
    first_look_due: Internal[Timestamp]
