# SPDX-License-Identifier: Apache-2.0
"""What intake measures. Labels come from closed lists: channels, categories, paths."""

from datetime import datetime

from wasl_chassis.metrics import Metric, Metrics

METRICS = (
    Metric(
        "counter",
        "wasl_intake_reports_total",
        "Reports that were sent in, by what became of them: accepted, duplicate (a repeat under one"
        " idempotency key), spooled (the database is away), invalid, unavailable.",
        ("channel", "category", "result"),
    ),
    Metric(
        "histogram",
        "wasl_intake_request_duration_seconds",
        "Time from the request line to the last byte of the answer.",
        ("route", "method", "code"),
    ),
    Metric(
        "counter",
        "wasl_intake_peer_requests_total",
        "Requests of other countries' hubs, by what became of them: accepted, duplicate, test,"
        " test_not_accepted, loop, unsigned, withdrawn, read.",
        ("hub", "result"),
    ),
    Metric(
        "counter",
        "wasl_intake_partner_requests_total",
        "Requests with an API key, by what became of them: accepted (repeats too), test, invalid,"
        " not_allowed; partner 'unknown': malformed, unknown.",
        ("partner", "result"),
    ),
    Metric(
        "counter",
        "wasl_intake_receipts_read_total",
        "Receipts presented: found, unknown, malformed (the check character is wrong).",
        ("result",),
    ),
    Metric(
        "counter", "wasl_intake_withdrawals_total", "Reports withdrawn by the receipt's holder."
    ),
    Metric("counter", "wasl_intake_messages_total", "Messages written by reporters."),
    Metric(
        "counter",
        "wasl_intake_ratings_total",
        "Reporters' first answers to the two questions about the help: helped, recommend; yes,"
        " partly, no.",
        ("question", "answer"),
    ),
    Metric(
        "counter",
        "wasl_intake_reports_repeated_total",
        "Reports told again because no case was heard of them.",
    ),
    Metric(
        "counter",
        "wasl_intake_erased_reads_total",
        "Sealed texts that were not shown because their key is destroyed.",
    ),
    Metric(
        "gauge",
        "wasl_intake_spool_records",
        "Accepted reports that wait on the local disk for the database.",
    ),
    Metric(
        "gauge", "wasl_intake_spool_bytes", "Size of the spool's files, those set aside included."
    ),
    Metric("gauge", "wasl_intake_spool_limit_bytes", "What the spool may hold; 0 without a spool."),
    Metric(
        "gauge",
        "wasl_intake_spool_oldest_timestamp_seconds",
        "When the oldest spooled report was accepted, Unix time; 0 with none.",
    ),
    Metric(
        "counter",
        "wasl_intake_spool_set_aside_total",
        "Spooled reports that can never be committed, or were damaged on the disk.",
    ),
    Metric(
        "gauge",
        "wasl_intake_flood_level",
        "How strained a lane is: 0 calm, 1 to 3 work or a wait is asked of everybody in it.",
        ("lane",),
    ),
    Metric(
        "counter",
        "wasl_intake_challenges_total",
        "Challenges presented where one was asked for: solved and waited let in; early, spent,"
        " forged, expired, missing and lane (given for another one) had to wait.",
        ("lane", "result"),
    ),
    Metric(
        "counter",
        "wasl_intake_near_duplicates_total",
        "Reports taken in that say nearly the same as another one of the last minutes.",
    ),
    Metric(
        "counter",
        "wasl_intake_honeypot_total",
        "Forms in which the field that people do not see was filled in.",
    ),
    Metric(
        "gauge", "wasl_intake_feedback_open", "Messages about the hub itself without an answer."
    ),
    Metric(
        "gauge",
        "wasl_intake_feedback_overdue",
        "Those of them that should have been answered by now.",
    ),
    Metric(
        "counter",
        "wasl_intake_visits_total",
        "Visits by a campaign's address; 'other': of none that the country pack names.",
        ("campaign",),
    ),
    Metric(
        "counter",
        "wasl_intake_campaign_reports_total",
        "Reports sent by people who came by a campaign's address.",
        ("campaign",),
    ),
)


def record_report(metrics: Metrics, channel: str, category: str | None, result: str) -> None:
    metrics.inc(
        "wasl_intake_reports_total", channel=channel, category=category or "none", result=result
    )


def record_peer(metrics: Metrics, hub: str, result: str) -> None:
    """``hub``: one of the settings, or ``unknown``."""
    metrics.inc("wasl_intake_peer_requests_total", hub=hub, result=result)


def record_partner(metrics: Metrics, partner: str, result: str) -> None:
    """``partner``: a name of the settings, or ``unknown``."""
    metrics.inc("wasl_intake_partner_requests_total", partner=partner, result=result)


def record_request(metrics: Metrics, route: str, method: str, code: int, seconds: float) -> None:
    metrics.observe(
        "wasl_intake_request_duration_seconds", seconds, route=route, method=method, code=str(code)
    )


def record_receipt(metrics: Metrics, result: str) -> None:
    metrics.inc("wasl_intake_receipts_read_total", result=result)


def record_withdrawal(metrics: Metrics) -> None:
    metrics.inc("wasl_intake_withdrawals_total")


def record_message(metrics: Metrics) -> None:
    metrics.inc("wasl_intake_messages_total")


def record_repeated(metrics: Metrics, count: int) -> None:
    metrics.inc("wasl_intake_reports_repeated_total", count)


def record_erased(metrics: Metrics) -> None:
    metrics.inc("wasl_intake_erased_reads_total")


def record_flood_level(metrics: Metrics, lane: str, level: int) -> None:
    metrics.set("wasl_intake_flood_level", level, lane=str(lane))


def record_challenge(metrics: Metrics, lane: str, result: str) -> None:
    metrics.inc("wasl_intake_challenges_total", lane=str(lane), result=result)


def record_near_duplicate(metrics: Metrics) -> None:
    metrics.inc("wasl_intake_near_duplicates_total")


def record_honeypot(metrics: Metrics) -> None:
    metrics.inc("wasl_intake_honeypot_total")


def set_spool(
    metrics: Metrics, records: int, size: int, limit: int, oldest: datetime | None
) -> None:
    metrics.set("wasl_intake_spool_records", records)
    metrics.set("wasl_intake_spool_bytes", size)
    metrics.set("wasl_intake_spool_limit_bytes", limit)
    metrics.set("wasl_intake_spool_oldest_timestamp_seconds", oldest.timestamp() if oldest else 0)


def record_set_aside(metrics: Metrics) -> None:
    metrics.inc("wasl_intake_spool_set_aside_total")


def set_feedback(metrics: Metrics, waiting: int, overdue: int) -> None:
    metrics.set("wasl_intake_feedback_open", waiting)
    metrics.set("wasl_intake_feedback_overdue", overdue)


def record_rating(metrics: Metrics, question: str, answer: str) -> None:
    metrics.inc("wasl_intake_ratings_total", question=question, answer=answer)


def record_visit(metrics: Metrics, campaign: str) -> None:
    """``campaign``: one of the country pack, or ``other``."""
    metrics.inc("wasl_intake_visits_total", campaign=campaign)


def record_campaign_report(metrics: Metrics, campaign: str) -> None:
    metrics.inc("wasl_intake_campaign_reports_total", campaign=campaign)
