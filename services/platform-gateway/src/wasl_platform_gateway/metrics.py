# SPDX-License-Identifier: Apache-2.0
"""What the gateway measures. Labels are names of connectors and partners, never addresses."""

from datetime import datetime

from wasl_chassis.metrics import AGES, Metric, Metrics

METRICS = (
    Metric(
        "counter",
        "wasl_connector_requests_total",
        "Calls to partners by what they mean for us.",
        ("connector", "operation", "outcome"),
    ),
    Metric(
        "histogram",
        "wasl_connector_request_duration_seconds",
        "Calls to partners.",
        ("connector", "operation"),
    ),
    Metric(
        "gauge",
        "wasl_deliveries_pending",
        "Dispatches that could leave and have not.",
        ("connector",),
    ),
    Metric(
        "gauge",
        "wasl_delivery_oldest_pending_timestamp_seconds",
        "Since when the oldest pending dispatch could leave, Unix time; 0 if none.",
        ("connector",),
    ),
    Metric(
        "gauge",
        "wasl_deliveries_ambiguous",
        "Dispatches a person must look at: the partner may or may not have them.",
        ("connector",),
    ),
    Metric(
        "histogram",
        "wasl_delivery_duration_seconds",
        "From the decision to the partner's receipt.",
        ("connector",),
        AGES,
    ),
    Metric(
        "counter",
        "wasl_dispatch_transitions_total",
        "Changes of state in the ledger.",
        ("connector", "state"),
    ),
    Metric(
        "counter",
        "wasl_dispatch_errands_total",
        "Reminders, corrections and withdrawals by what became of them.",
        ("connector", "errand", "result"),
    ),
    Metric(
        "gauge",
        "wasl_connector_last_success_timestamp_seconds",
        "When a partner last took a request from this process, Unix time.",
        ("connector",),
    ),
    Metric(
        "gauge",
        "wasl_connector_inbox_last_read_timestamp_seconds",
        "When the connector's mailbox or feed was last read, Unix time.",
        ("connector",),
    ),
    Metric(
        "counter",
        "wasl_delivery_lease_lost_total",
        "Results that came after another replica had taken the dispatch over.",
        ("connector",),
    ),
    Metric(
        "counter",
        "wasl_callbacks_total",
        "Messages of partners by what became of them.",
        ("connector", "result"),
    ),
    Metric(
        "gauge",
        "wasl_connector_circuit_open",
        "1 while nothing is sent to this partner.",
        ("connector", "partner"),
    ),
    Metric(
        "gauge", "wasl_connector_up", "1 while the connector's check comes through.", ("connector",)
    ),
    Metric("gauge", "wasl_connector_paused", "1 while an operator has paused it.", ("connector",)),
    Metric(
        "counter",
        "wasl_watch_looks_total",
        "Looks at reported items by what was seen.",
        ("presence",),
    ),
    Metric("gauge", "wasl_watches", "Items that are or were followed, by state.", ("state",)),
    Metric(
        "gauge",
        "wasl_watch_oldest_due_timestamp_seconds",
        "Since when the longest waiting look is due, Unix time; 0 if none.",
    ),
)


def record_call(
    metrics: Metrics, connector: str, operation: str, outcome: str, seconds: float
) -> None:
    metrics.inc(
        "wasl_connector_requests_total", connector=connector, operation=operation, outcome=outcome
    )
    metrics.observe(
        "wasl_connector_request_duration_seconds", seconds, connector=connector, operation=operation
    )


def record_transition(metrics: Metrics, connector: str, state: str) -> None:
    metrics.inc("wasl_dispatch_transitions_total", connector=connector, state=state)


def record_delivery(metrics: Metrics, connector: str, at: datetime, seconds: float) -> None:
    metrics.observe("wasl_delivery_duration_seconds", max(0.0, seconds), connector=connector)
    metrics.set(
        "wasl_connector_last_success_timestamp_seconds", at.timestamp(), connector=connector
    )


def record_errand(metrics: Metrics, connector: str, errand: str, result: str) -> None:
    metrics.inc("wasl_dispatch_errands_total", connector=connector, errand=errand, result=result)


def record_inbox_read(metrics: Metrics, connector: str, at: datetime) -> None:
    metrics.set(
        "wasl_connector_inbox_last_read_timestamp_seconds", at.timestamp(), connector=connector
    )


def record_lease_lost(metrics: Metrics, connector: str) -> None:
    metrics.inc("wasl_delivery_lease_lost_total", connector=connector)


def record_callback(metrics: Metrics, connector: str, result: str) -> None:
    metrics.inc("wasl_callbacks_total", connector=connector, result=result)


def record_backlog(
    metrics: Metrics, connector: str, pending: int, oldest: datetime | None, ambiguous: int
) -> None:
    metrics.set("wasl_deliveries_pending", pending, connector=connector)
    metrics.set(
        "wasl_delivery_oldest_pending_timestamp_seconds",
        oldest.timestamp() if oldest else 0,
        connector=connector,
    )
    metrics.set("wasl_deliveries_ambiguous", ambiguous, connector=connector)


def record_circuit(metrics: Metrics, connector: str, partner: str, *, is_open: bool) -> None:
    metrics.set("wasl_connector_circuit_open", is_open, connector=connector, partner=partner)


def record_up(metrics: Metrics, connector: str, *, up: bool) -> None:
    metrics.set("wasl_connector_up", up, connector=connector)


def record_paused(metrics: Metrics, connector: str, *, paused: bool) -> None:
    metrics.set("wasl_connector_paused", paused, connector=connector)


def record_look(metrics: Metrics, presence: str) -> None:
    metrics.inc("wasl_watch_looks_total", presence=presence)


def record_watches(metrics: Metrics, state: str, count: int) -> None:
    metrics.set("wasl_watches", count, state=state)


def record_oldest_due(metrics: Metrics, due: datetime | None) -> None:
    metrics.set("wasl_watch_oldest_due_timestamp_seconds", due.timestamp() if due else 0)
