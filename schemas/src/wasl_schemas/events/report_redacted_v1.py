# SPDX-License-Identifier: Apache-2.0
"""A person of the desk blacked something out of a report, or of its thread, for good."""

from wasl_schemas.base import EventData, Model, Sealed, Timestamp
from wasl_schemas.ids import MessageId, ReportId
from wasl_schemas.sensitivity import Internal, Restricted


class RedactedMessage(Model):
    """A message as it is now, whole: it may be told before the message itself."""

    message_id: Internal[MessageId]
    #: From the desk to the reporter.
    by_staff: Internal[bool]
    sent_at: Internal[Timestamp]
    question: Internal[bool] = False
    #: Replaces the message's body, under the report's key.
    body: Restricted[Sealed]


class ReportRedactedV1(EventData):
    report_id: Internal[ReportId]
    redacted_at: Internal[Timestamp]
    #: Replaces the ``content`` of report.submitted, under the same key; the newest holds.
    content: Restricted[Sealed]
    #: The one message that was redacted, if it was one; of each message the newest holds.
    message: Internal[RedactedMessage | None] = None
