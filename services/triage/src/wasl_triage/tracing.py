# SPDX-License-Identifier: Apache-2.0
"""Triage's part of ``wasl report trace``: the cases of a report and what was decided about them.

Nobody of the staff is named: who did what is in the desk's audit trail, for whoever may read it.
"""

from wasl_chassis.operating import Desk, TraceLine, Trail

from wasl_triage.domain.case import Case, DecisionRow
from wasl_triage.repository import CASES, REPORTS, Report


async def trace(desk: Desk, trail: Trail) -> list[TraceLine]:
    lines = []
    wanted = sorted({trail.given, *trail.reports})
    for doc in (await desk.store.read(REPORTS, wanted)).values():
        report = REPORTS.decode(doc)
        trail.reports.add(report.id)
        trail.cases |= set(report.cases)
        lines.append(_report(report))
    wanted = sorted({trail.given, *trail.cases})
    for doc in (await desk.store.read(CASES, wanted)).values():
        case = CASES.decode(doc)
        trail.cases.add(case.id)
        trail.dispatches |= set(case.dispatches)
        trail.referrals |= set(case.referrals)
        lines += _case(case)
    return lines


def _report(r: Report) -> TraceLine:
    state = "withdrawn" if r.withdrawn_at else "awaited" if r.awaited else "at the desk"
    detail = f"cases: {len(r.cases)}, locations refused: {len(r.refused)}"
    return TraceLine(r.withdrawn_at or r.received_at, "report at the desk", r.id, state, detail)


def _case(c: Case) -> list[TraceLine]:
    about = ", ".join(w for w in (f"v{c.version}", c.severity.value, c.category) if w)
    lines = [TraceLine(c.opened_at, "case opened", c.id, "", f"{c.platform} {c.kind}")]
    if c.assessment is not None:
        lines.append(TraceLine(c.assessment.at, "case assessed", c.id, "", c.assessment.category))
    lines += [_decision(d) for d in c.decisions]
    for key, d in c.dispatches.items():
        detail = f"{d.partner} by {d.connector}, round {d.round}"
        lines.append(TraceLine(d.requested_at, "dispatch asked for", key, d.state.value, detail))
    for key, r in c.referrals.items():
        detail = f"{r.authority}, round {r.round}"
        lines.append(TraceLine(r.requested_at, "referral asked for", key, r.state.value, detail))
    if c.queue_due is not None:
        what = "first look due" if c.look_pending else "next look due"
        lines.append(TraceLine(c.queue_due, what, c.id, "overdue" if c.overdue else ""))
    lines.append(TraceLine(c.settled_at, "case", c.id, c.state.value, about))
    return lines


def _decision(d: DecisionRow) -> TraceLine:
    if d.automatic:
        state = "automatic"
    elif d.second_at is not None:
        state = "confirmed" if d.confirmed else "rejected"
    else:
        state = "one person" if d.second_due is None else "awaits a second person"
    ground = f"{d.ground.kind.value} {d.ground.ref}" if d.ground else d.close_reason or ""
    return TraceLine(d.at, f"decided: {d.action.value}", d.id, state, ground)
