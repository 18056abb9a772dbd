# SPDX-License-Identifier: Apache-2.0
"""Notify's part of ``wasl report trace``: what reporters were told and authorities were given.

An address is never read, only whether there is one.
"""

from wasl_chassis.operating import Desk, TraceLine, Trail

from wasl_notify.domain.referrals import Referral
from wasl_notify.domain.reporters import Notification, Reporter
from wasl_notify.repository import NOTIFICATIONS, REFERRALS, REPORTERS


async def trace(desk: Desk, trail: Trail) -> list[TraceLine]:
    lines, causes = [], set()
    for doc in (await desk.store.read(REPORTERS, sorted(trail.reports))).values():
        reporter = REPORTERS.decode(doc)
        # A message has the id of the first cause it tells.
        causes |= set(reporter.causes)
        lines.append(_reporter(reporter))
    sent = await desk.store.read(NOTIFICATIONS, sorted(causes))
    lines += [_message(NOTIFICATIONS.decode(doc)) for doc in sent.values()]
    wanted = sorted({trail.given, *trail.referrals})
    for doc in (await desk.store.read(REFERRALS, wanted)).values():
        referral = REFERRALS.decode(doc)
        trail.cases.add(referral.case_id)
        lines += _referral(referral)
    return lines


def _reporter(r: Reporter) -> TraceLine:
    state = "erased" if r.address is None else "may be written to"
    return TraceLine(None, "reporter's contact", r.report_id, state, f"told of {len(r.causes)}")


def _message(m: Notification) -> TraceLine:
    words = (f"{m.template} by {m.channel}", f"attempts: {m.attempts}", m.reason)
    detail = ", ".join(w for w in words if w)
    return TraceLine(m.created_at, "notification", m.notification_id, m.state.value, detail)


def _referral(r: Referral) -> list[TraceLine]:
    detail = ", ".join(w for w in (r.authority, f"attempts: {r.attempts}", r.reason) if w)
    lines = [TraceLine(e.at, f"referral: {e.what}", r.referral_id, "", e.who) for e in r.custody]
    last = r.custody[-1].at if r.custody else r.requested_at
    return [*lines, TraceLine(last, "referral", r.referral_id, r.state.value, detail)]
