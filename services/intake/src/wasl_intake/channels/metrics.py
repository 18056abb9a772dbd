# SPDX-License-Identifier: Apache-2.0
"""What a channel measures. Labels come from closed lists; no id, address or text is one."""

from wasl_chassis.metrics import Metric

METRICS = (
    Metric("gauge", "wasl_build_info", "1, with the build in its labels.", ("service", "version")),
    Metric(
        "counter",
        "wasl_channel_deliveries_total",
        "Deliveries of the provider, by what it was told: accepted, unauthentic, malformed,"
        " too_large, not_ours, later (it delivers again), failed (a bug of ours; it delivers"
        " again).",
        ("channel", "result"),
    ),
    Metric(
        "counter",
        "wasl_channel_messages_total",
        "Messages of people by what became of them: report, added (to a thread), status (a receipt"
        " alone), unknown_receipt, guided (too little for a report), repeated, later; and what is"
        " none: echo, status_update, group, automatic, not_ours, other.",
        ("channel", "result"),
    ),
    Metric(
        "counter",
        "wasl_channel_answers_total",
        "Answers: sent, refused (blocked or no such mailbox; not tried again), later (tried again"
        " with the next delivery), held_back (too many in an hour), withheld (nobody to answer).",
        ("channel", "result"),
    ),
    Metric(
        "counter",
        "wasl_channel_media_dropped_total",
        "Files that came along and were dropped unread.",
        ("channel",),
    ),
    Metric(
        "counter",
        "wasl_channel_senders_total",
        "Messages by what the mail server found out about the sender's domain: pass, fail, none.",
        ("channel", "verdict"),
    ),
    Metric(
        "histogram",
        "wasl_channel_message_duration_seconds",
        "From a message read to its answer handed over.",
        ("channel",),
    ),
)
