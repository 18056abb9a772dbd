# SPDX-License-Identifier: Apache-2.0
"""The holder of the receipt took the report back; its data key is destroyed."""

from wasl_schemas.base import EventData, Timestamp
from wasl_schemas.ids import ReportId
from wasl_schemas.sensitivity import Internal


class ReportWithdrawnV1(EventData):
    report_id: Internal[ReportId]
    withdrawn_at: Internal[Timestamp]
