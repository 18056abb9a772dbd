# SPDX-License-Identifier: Apache-2.0
"""What intake measures. Labels come from closed lists: channels, categories, paths."""

from wasl_chassis.metrics import Metric, Metrics

METRICS = (
    Metric(
        "counter",
        "wasl_intake_reports_total",
        "Reports that were sent in, by what became of them: accepted, duplicate (a repeat under one"
        " idempotency key), invalid, unavailable.",
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
        "wasl_intake_reports_repeated_total",
        "Reports told again because no case was heard of them.",
    ),
    Metric(
        "counter",
        "wasl_intake_erased_reads_total",
        "Sealed texts that were not shown because their key is destroyed.",
    ),
)


def record_report(metrics: Metrics, channel: str, category: str | None, result: str) -> None:
    metrics.inc(
        "wasl_intake_reports_total", channel=channel, category=category or "none", result=result
    )


def record_peer(metrics: Metrics, hub: str, result: str) -> None:
    """``hub``: one of the settings, or ``unknown``."""
    metrics.inc("wasl_intake_peer_requests_total", hub=hub, result=result)


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
