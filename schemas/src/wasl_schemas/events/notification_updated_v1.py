# SPDX-License-Identifier: Apache-2.0
"""A message to a reporter or a subscriber moved on."""

from wasl_schemas.base import EventData, Slug, Timestamp, Version
from wasl_schemas.ids import NotificationId, ReportId
from wasl_schemas.lifecycle import NotificationState
from wasl_schemas.sensitivity import Internal


class NotificationUpdatedV1(EventData):
    notification_id: Internal[NotificationId]
    version: Internal[Version]
    channel: Internal[Slug]
    template: Internal[Slug]
    state: Internal[NotificationState]
    report_id: Internal[ReportId | None] = None
    reason: Internal[Slug | None] = None
    changed_at: Internal[Timestamp]
