# SPDX-License-Identifier: Apache-2.0
"""Staff wrote to the reporter, sealed with the report's key."""

from wasl_schemas.base import EventData, Sealed, Timestamp
from wasl_schemas.ids import CaseId, MessageId, ReportId
from wasl_schemas.sensitivity import Internal, Personal


class StaffMessageSentV1(EventData):
    message_id: Internal[MessageId]
    case_id: Internal[CaseId]
    report_id: Internal[ReportId]
    sent_at: Internal[Timestamp]
    #: True when an answer is asked for: the reporter sees "we have a question for you".
    question: Internal[bool] = False
    body: Personal[Sealed]
