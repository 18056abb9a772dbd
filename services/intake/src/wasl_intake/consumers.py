# SPDX-License-Identifier: Apache-2.0
"""What intake listens to: everything its reporters may be told."""

from wasl_chassis.service import Service
from wasl_schemas import topics

from wasl_intake.handlers import IntakeHandlers


def register(service: Service, h: IntakeHandlers) -> None:
    cases, messages = h.prefetch_cases, h.prefetch_messages
    service.consume(topics.CASE_OPENED_V1, h.on_case_opened, prefetch=cases)
    service.consume(topics.CASE_UPDATED_V1, h.on_case_updated, prefetch=cases)
    service.consume(topics.DISPATCH_UPDATED_V1, h.on_dispatch_updated, prefetch=cases)
    service.consume(topics.ITEM_OBSERVED_V1, h.on_item_observed, prefetch=cases)
    service.consume(topics.REFERRAL_UPDATED_V1, h.on_referral_updated, prefetch=cases)
    service.consume(topics.STAFF_MESSAGE_SENT_V1, h.on_staff_message, prefetch=messages)
    service.consume(topics.REPORT_EXPIRED_V1, h.on_report_expired, prefetch=h.prefetch_reports)
    service.consume(topics.REPORT_REDACTED_V1, h.on_report_redacted, prefetch=h.prefetch_reports)
