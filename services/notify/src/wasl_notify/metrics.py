# SPDX-License-Identifier: Apache-2.0
"""Metrics of notify. Labels are words of closed lists; never an id, an address or a host."""

from typing import Protocol

from wasl_chassis.metrics import AGES, Metric

CHANNELS = ("email", "webhook")
RESULTS = ("sent", "deferred", "failed", "ambiguous")

METRICS = (
    Metric(
        "counter",
        "wasl_notify_messages_total",
        "Attempts to send a message, by what came of them.",
        ("channel", "template", "result"),
        initial=tuple(
            {"channel": "email", "template": t, "result": r}
            for t in ("news", "message")
            for r in RESULTS
        )
        + tuple({"channel": "webhook", "template": "statistics", "result": r} for r in RESULTS),
    ),
    Metric(
        "histogram",
        "wasl_notify_send_duration_seconds",
        "One attempt to hand a message over.",
        ("channel",),
    ),
    Metric(
        "histogram",
        "wasl_notify_message_age_seconds",
        "From the news to the message being handed over.",
        ("channel",),
        AGES,
    ),
    Metric(
        "counter",
        "wasl_notify_not_sent_total",
        "Messages and referrals that ended without being sent, by reason.",
        ("reason",),
    ),
    Metric(
        "counter",
        "wasl_notify_contacts_total",
        "Reports with a contact, by whether it is used: kept, unsafe, other_channel, mail_off.",
        ("result",),
        initial=tuple({"result": r} for r in ("kept", "unsafe", "other_channel", "mail_off")),
    ),
    Metric(
        "counter",
        "wasl_notify_referrals_total",
        "Referral packages, by channel and what became of them.",
        ("channel", "result"),
        initial=tuple(
            {"channel": c, "result": r}
            for c in ("webhook", "file")
            for r in ("delivered", "deferred", "failed", "acknowledged")
        ),
    ),
    Metric(
        "gauge",
        "wasl_notify_pending",
        "Messages and packages that wait: email, webhook, referral.",
        ("channel",),
        initial=tuple({"channel": c} for c in (*CHANNELS, "referral")),
    ),
    Metric(
        "gauge",
        "wasl_notify_failed_referrals",
        "Referrals that could not be delivered and need a person.",
    ),
    Metric(
        "gauge",
        "wasl_notify_mail_relay_up",
        "0 while the relay is away, refuses our credentials or our sender.",
    ),
)


class Recorder(Protocol):
    """The part of the chassis's registry that is used here."""

    def inc(self, name: str, amount: float = 1, **labels: str) -> None: ...
    def set(self, name: str, value: float, **labels: str) -> None: ...
    def observe(self, name: str, value: float, **labels: str) -> None: ...


def record_attempt(m: Recorder, channel: str, template: str, result: str) -> None:
    m.inc("wasl_notify_messages_total", channel=channel, template=template, result=result)


def record_duration(m: Recorder, channel: str, seconds: float) -> None:
    m.observe("wasl_notify_send_duration_seconds", seconds, channel=channel)


def record_age(m: Recorder, channel: str, seconds: float) -> None:
    m.observe("wasl_notify_message_age_seconds", seconds, channel=channel)


def record_not_sent(m: Recorder, reason: str) -> None:
    m.inc("wasl_notify_not_sent_total", reason=reason)


def record_contact(m: Recorder, result: str) -> None:
    m.inc("wasl_notify_contacts_total", result=result)


def record_referral(m: Recorder, channel: str, result: str) -> None:
    m.inc("wasl_notify_referrals_total", channel=channel, result=result)


def record_pending(m: Recorder, channel: str, count: int) -> None:
    m.set("wasl_notify_pending", count, channel=channel)


def record_failed_referrals(m: Recorder, count: int) -> None:
    m.set("wasl_notify_failed_referrals", count)


def record_relay(m: Recorder, up: bool) -> None:
    m.set("wasl_notify_mail_relay_up", 1 if up else 0)
