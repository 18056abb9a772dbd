# SPDX-License-Identifier: Apache-2.0
"""What triage listens to."""

from wasl_chassis.service import Service
from wasl_schemas import topics

from wasl_triage.handlers import TriageHandlers


def register(service: Service, h: TriageHandlers) -> None:
    service.consume(topics.REPORT_SUBMITTED_V1, h.on_report_submitted, prefetch=h.prefetch_reports)
    service.consume(
        topics.REPORT_WITHDRAWN_V1, h.on_report_withdrawn, prefetch=h.prefetch_withdrawn
    )
    service.consume(
        topics.REPORTER_MESSAGE_SENT_V1, h.on_reporter_message, prefetch=h.prefetch_messages
    )
    service.consume(topics.DISPATCH_UPDATED_V1, h.on_dispatch_updated, prefetch=h.prefetch_cases)
    service.consume(topics.ITEM_OBSERVED_V1, h.on_item_observed, prefetch=h.prefetch_cases)
    service.consume(topics.REFERRAL_UPDATED_V1, h.on_referral_updated, prefetch=h.prefetch_cases)
