# SPDX-License-Identifier: Apache-2.0
"""The reporter wrote in the thread behind the receipt."""

from wasl_schemas.base import EventData, Sealed, Timestamp
from wasl_schemas.ids import MessageId, ReportId
from wasl_schemas.sensitivity import Internal, Personal


class ReporterMessageSentV1(EventData):
    message_id: Internal[MessageId]
    report_id: Internal[ReportId]
    sent_at: Internal[Timestamp]
    body: Personal[Sealed]
