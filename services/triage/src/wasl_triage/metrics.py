# SPDX-License-Identifier: Apache-2.0
"""What triage counts. Labels are words of closed lists or ids of the country pack."""

from wasl_chassis.metrics import Metric, Metrics
from wasl_schemas.events.common import Severity

from wasl_triage.domain.case import Action
from wasl_triage.matching.metrics import INDEX_REFUSED
from wasl_triage.rules.memory import METRICS as RULES

_JOINS = ("opened", "joined", "reappeared", "withdrawn_before", "erased", "repeated")

METRICS = (
    Metric(
        "counter",
        "wasl_triage_reports_total",
        "Reports by what became of each of their items; 'joined' are duplicates of a case.",
        ("result",),
        initial=tuple({"result": r} for r in _JOINS),
    ),
    Metric(
        "counter",
        "wasl_triage_locations_refused_total",
        "Locations that name nothing a case could be about.",
        ("reason",),
    ),
    Metric(
        "counter",
        "wasl_triage_decisions_total",
        "Decisions, by action and by who took them.",
        ("action", "by"),
        initial=tuple(
            {"action": a.value, "by": b} for a in Action for b in ("staff", "country_pack")
        ),
    ),
    Metric("gauge", "wasl_triage_open_cases", "Cases that are not settled.", ("state",)),
    Metric(
        "gauge",
        "wasl_triage_oldest_open_case_timestamp_seconds",
        "When the longest unsettled case was opened, Unix time; 0 when there is none.",
    ),
    Metric("gauge", "wasl_triage_queue_cases", "Cases that wait for a person.", ("rank",)),
    Metric(
        "gauge",
        "wasl_triage_answers_awaited",
        "Appeals, and opinions asked of another body, that nobody has answered.",
        ("what", "state"),
    ),
    Metric(
        "counter",
        "wasl_triage_clocks_missed_total",
        "Promised times that passed before a person had looked or confirmed.",
        ("clock", "severity"),
    ),
    Metric(
        "counter",
        "wasl_triage_requests_repeated_total",
        "Requests sent again because nothing said that they had arrived.",
        ("kind",),
        initial=({"kind": "dispatch"}, {"kind": "referral"}),
    ),
    Metric(
        "counter",
        "wasl_triage_updates_stale_total",
        "Updates of dispatches and referrals that were older than what was known.",
        ("kind",),
        initial=({"kind": "dispatch"}, {"kind": "referral"}),
    ),
    Metric("counter", "wasl_triage_audit_seals_total", "Days of the audit trail that were sealed."),
    Metric(
        "gauge",
        "wasl_triage_audit_unsealed_days",
        "Days since the oldest day of the audit trail that has no seal; 1 is normal.",
    ),
    Metric(
        "counter",
        "wasl_triage_retention_erased_total",
        "What retention erased: contacts, texts and records of reports, cases, helpline cases.",
        ("data",),
        initial=tuple(
            {"data": d} for d in ("contact", "text", "record", "case", "helpline", "audit")
        ),
    ),
    Metric(
        "gauge",
        "wasl_triage_retention_due",
        "Cases, the helpline's too, that retention will look at now: more than a few for long means"
        " that it is off or stuck.",
    ),
    Metric(
        "gauge",
        "wasl_triage_retention_mode",
        "1 for what WASL_TRIAGE_RETENTION says, 0 for the others.",
        ("mode",),
    ),
    Metric(
        "gauge",
        "wasl_triage_retention_last_success_timestamp_seconds",
        "When retention last erased what was due, be it nothing, Unix time; only where it is on.",
    ),
    Metric("gauge", "wasl_triage_holds", "Legal holds that stand.", ("state",)),
    Metric(
        "gauge",
        "wasl_triage_subject_requests",
        "Requests of data subjects: open ones in time and overdue, and those of the last year whose"
        " answer was late.",
        ("state",),
    ),
    Metric(
        "counter",
        "wasl_triage_sign_ins_total",
        "Tries to sign in, by what was tried. 'busy' were not looked at; 'denied' were wrong, or of"
        " a name that waits after failures.",
        ("how", "result"),
        initial=tuple(
            {"how": h, "result": r}
            for h in ("password", "invitation", "second", "step_up", "provider")
            for r in ("in", "denied", "busy")
        ),
    ),
    Metric(
        "counter",
        "wasl_triage_pages_total",
        "Attempts to wake somebody for a case, by why and by what became of them.",
        ("why", "result"),
        initial=tuple(
            {"why": w, "result": r}
            for w in ("critical", "missed", "rule")
            for r in ("taken", "failed", "given_up", "no_address")
        ),
    ),
    Metric(
        "counter",
        "wasl_triage_staff_requests_refused_total",
        "Requests to the desk that were refused, by why.",
        ("reason",),
        initial=tuple({"reason": r} for r in ("no_token", "unknown_token", "role", "law")),
    ),
    INDEX_REFUSED,
    *RULES,
)


def record_sealed(metrics: Metrics) -> None:
    metrics.inc("wasl_triage_audit_seals_total")


def record_erased(metrics: Metrics, data: str, count: int) -> None:
    if count:
        metrics.inc("wasl_triage_retention_erased_total", count, data=data)


def record_report(metrics: Metrics, result: str) -> None:
    metrics.inc("wasl_triage_reports_total", result=result)


def record_refused(metrics: Metrics, reason: str) -> None:
    metrics.inc("wasl_triage_locations_refused_total", reason=reason)


def record_decision(metrics: Metrics, action: Action, *, automatic: bool) -> None:
    by = "country_pack" if automatic else "staff"
    metrics.inc("wasl_triage_decisions_total", action=action.value, by=by)


def record_missed(metrics: Metrics, clock: str, severity: Severity) -> None:
    metrics.inc("wasl_triage_clocks_missed_total", clock=clock, severity=severity.value)


def record_repeated(metrics: Metrics, kind: str) -> None:
    metrics.inc("wasl_triage_requests_repeated_total", kind=kind)


def record_stale(metrics: Metrics, kind: str) -> None:
    metrics.inc("wasl_triage_updates_stale_total", kind=kind)


def record_staff_refused(metrics: Metrics, reason: str) -> None:
    metrics.inc("wasl_triage_staff_requests_refused_total", reason=reason)


def record_sign_in(metrics: Metrics, how: str, result: str) -> None:
    metrics.inc("wasl_triage_sign_ins_total", how=how, result=result)


def record_page(metrics: Metrics, why: str, result: str) -> None:
    metrics.inc("wasl_triage_pages_total", why=why, result=result)
