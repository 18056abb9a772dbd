# SPDX-License-Identifier: Apache-2.0
"""What the country pack says about a partner, applied to a request: whether it may go, in which
words, when it leaves, and whom to remind when. Pure.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from wasl_schemas.country_pack import CountryPack, UnknownEntry, takes
from wasl_schemas.events.common import Ground, GroundKind
from wasl_schemas.events.dispatch_requested_v1 import DispatchRequestedV1

from wasl_platform_gateway.domain.ledger import URGENT, Dispatch, Reminders


def objection(pack: CountryPack, row: Dispatch, now: datetime) -> str | None:
    """Why nothing may go to a partner by the register of agreements; None: it may."""
    partner = pack.partners.get(row.partner)
    if partner is None:
        return "partner_unknown"
    if not takes(partner, row.category):
        return "category_not_agreed"
    if not partner.agreement.valid_on(now.astimezone(ZoneInfo(pack.info.timezone)).date()):
        return "agreement_not_valid"
    return None


def sending_time(pack: CountryPack) -> Callable[[DispatchRequestedV1, datetime], datetime]:
    """When a request may leave: at once where it is urgent, else when others to the same contact
    leave too, in the hours in which somebody there reads it.
    """

    def due(data: DispatchRequestedV1, now: datetime) -> datetime:
        partner = pack.partners.get(data.partner)
        if partner is None or data.severity in URGENT:
            return now
        at = now
        if partner.group is not None:
            # Ends of windows are the same for every process: requests of one window meet.
            window = (pack.due(now, partner.group) - now).total_seconds()
            at = datetime.fromtimestamp((now.timestamp() // window + 1) * window, UTC)
        return partner.hours.next_open(at) if partner.hours else at

    return due


def reminder_of(pack: CountryPack) -> Reminders:
    """The pack's reminders for a severity, each for the highest rung reached of the partner's
    escalation; what is not urgent waits for the hours in which somebody there reads it.
    """

    def reminder(row: Dispatch, after: datetime) -> tuple[datetime, str | None] | None:
        partner = pack.partners.get(row.partner)
        if row.sent_at is None or partner is None:
            return None
        clock = pack.clock(row.severity)
        at = next((t for s in clock.reminders if (t := pack.due(row.sent_at, s)) > after), None)
        if at is None and clock.then_every is not None:
            at = pack.due(row.sent_at, clock.reminders[-1])
            while at <= after:
                at = pack.due(at, clock.then_every)
        if at is None:
            return None
        rungs = [x.role for x in partner.escalation if pack.due(row.sent_at, x.after) <= at]
        if partner.hours is not None and not row.urgent:
            at = partner.hours.next_open(at)
        return at, rungs[-1] if rungs else None

    return reminder


def ground_text(pack: CountryPack) -> Callable[[Dispatch], str]:
    """A ground's title in the partner's language; empty for one the pack no longer has."""

    def text(row: Dispatch) -> str:
        try:
            found = pack.ground(Ground(kind=GroundKind(row.ground_kind), ref=row.ground_ref))
        except UnknownEntry:
            return ""
        partner = pack.partners.get(row.partner)
        return pack.words(found.title, partner.language if partner else row.language)

    return text
