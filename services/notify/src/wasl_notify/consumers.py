# SPDX-License-Identifier: Apache-2.0
"""What notify consumes."""

from wasl_chassis.service import Service
from wasl_schemas import topics

from wasl_notify.handlers import NotifyHandlers


def register(service: Service, h: NotifyHandlers) -> None:
    service.consume(
        topics.REPORT_SUBMITTED_V1, h.on_report_submitted, prefetch=h.prefetch_submitted
    )
    service.consume(
        topics.REPORT_WITHDRAWN_V1, h.on_report_withdrawn, prefetch=h.prefetch_withdrawn
    )
    service.consume(topics.REPORT_EXPIRED_V1, h.on_report_expired)
    service.consume(
        topics.REPORTER_CONTACT_CHANGED_V1, h.on_contact_changed, prefetch=h.prefetch_contacts
    )
    service.consume(topics.CASE_OPENED_V1, h.on_case_opened)
    service.consume(topics.CASE_UPDATED_V1, h.on_case_updated)
    service.consume(topics.DISPATCH_UPDATED_V1, h.on_dispatch_updated)
    service.consume(topics.STAFF_MESSAGE_SENT_V1, h.on_staff_message)
    service.consume(
        topics.REFERRAL_REQUESTED_V1, h.on_referral_requested, prefetch=h.prefetch_referrals
    )
