# SPDX-License-Identifier: Apache-2.0
"""What `wasl-triage-matching serve` measures. Labels are names of the settings; no hash is one."""

from wasl_chassis.metrics import Metric, Metrics

#: Of every process that looks up, triage included.
INDEX_REFUSED = Metric(
    "gauge",
    "wasl_matching_index_refused",
    "1: the newest index was refused at load; look-ups use the one before, or none.",
)

METRICS = (
    Metric("gauge", "wasl_build_info", "1, with the build in its labels.", ("service", "version")),
    Metric(
        "counter",
        "wasl_matching_requests_total",
        "Look-up requests by holder of the key (none without one) and result: answered, invalid,"
        " unauthorised, failed.",
        ("holder", "result"),
    ),
    Metric("counter", "wasl_matching_hashes_total", "Hashes looked up."),
    Metric(
        "counter", "wasl_matching_matches_total", "Hashes that a bank knew, by bank.", ("bank",)
    ),
    Metric(
        "histogram",
        "wasl_matching_lookup_seconds",
        "Time of a request's look-up, without HTTP.",
        buckets=(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1),
    ),
    Metric("gauge", "wasl_matching_bank_hashes", "Hashes of a bank in place.", ("bank",)),
    Metric(
        "gauge",
        "wasl_matching_bank_synced_timestamp_seconds",
        "When a bank's exchange was last heard to the end, Unix time.",
        ("bank",),
    ),
    Metric(
        "gauge",
        "wasl_matching_bank_kept",
        "1: the bank's list was refused at the last build; it has the hashes of an earlier one.",
        ("bank",),
    ),
    Metric(
        "gauge", "wasl_matching_built_timestamp_seconds", "When what serves was built, Unix time."
    ),
    INDEX_REFUSED,
)


def record_index(metrics: Metrics, *, healthy: bool) -> None:
    metrics.set("wasl_matching_index_refused", int(not healthy))
