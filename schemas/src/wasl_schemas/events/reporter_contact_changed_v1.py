# SPDX-License-Identifier: Apache-2.0
"""The holder of the receipt changed, added or took away how we may write to them."""

from wasl_schemas.base import EventData, LanguageTag, Timestamp
from wasl_schemas.events.common import SealedContact
from wasl_schemas.ids import ReportId
from wasl_schemas.sensitivity import Internal, Personal


class ReporterContactChangedV1(EventData):
    """Of several, the newest ``changed_at`` holds, also against the report's own contact."""

    report_id: Internal[ReportId]
    changed_at: Internal[Timestamp]
    #: In which to write to them.
    language: Internal[LanguageTag]
    #: None: forget the one you have.
    contact: Personal[SealedContact | None] = None
