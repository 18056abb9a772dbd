# SPDX-License-Identifier: Apache-2.0
"""A person of the desk blacked something out of a report for good."""

from wasl_schemas.base import EventData, Sealed, Timestamp
from wasl_schemas.ids import ReportId
from wasl_schemas.sensitivity import Internal, Restricted


class ReportRedactedV1(EventData):
    report_id: Internal[ReportId]
    redacted_at: Internal[Timestamp]
    #: Replaces the ``content`` of report.submitted, under the same key; the newest holds.
    content: Restricted[Sealed]
