# SPDX-License-Identifier: Apache-2.0
"""The time for which something of a report is kept is over: whoever has it erases it."""

from wasl_schemas.base import EventData, OpenEnum, Timestamp
from wasl_schemas.ids import ReportId
from wasl_schemas.sensitivity import Internal


class ExpiredData(OpenEnum):
    #: How the reporter may be written to.
    CONTACT = "contact"
    #: What the reporter wrote, contact and messages included; the data key is destroyed.
    TEXT = "text"
    #: All that is left of the report: its receipt opens nothing any more.
    RECORD = "record"
    UNKNOWN = "unknown"


class ReportExpiredV1(EventData):
    report_id: Internal[ReportId]
    data: Internal[ExpiredData]
    expired_at: Internal[Timestamp]
