# SPDX-License-Identifier: Apache-2.0
"""What happens on each event, and when an authority acknowledges.

Handlers only write down; who must hear of it is found out afterwards (``joining.py``) and messages
leave from their own loops (``sending.py``, ``referring.py``). An event of a case nobody wants mail
about costs one line in its batch's page.
"""

import logging
from collections.abc import Mapping, Sequence
from datetime import timedelta

from pydantic import Field, TypeAdapter
from wasl_chassis.failures import Outcome
from wasl_chassis.web import Problem, validate
from wasl_chassis.work import UnitOfWork
from wasl_schemas.base import Model
from wasl_schemas.envelope import Event
from wasl_schemas.events.case_opened_v1 import CaseOpenedV1
from wasl_schemas.events.case_updated_v1 import CaseUpdatedV1
from wasl_schemas.events.dispatch_updated_v1 import DispatchUpdatedV1
from wasl_schemas.events.referral_requested_v1 import ReferralRequestedV1
from wasl_schemas.events.report_expired_v1 import ExpiredData, ReportExpiredV1
from wasl_schemas.events.report_submitted_v1 import ReportSubmittedV1
from wasl_schemas.events.report_withdrawn_v1 import ReportWithdrawnV1
from wasl_schemas.events.reporter_contact_changed_v1 import ReporterContactChangedV1
from wasl_schemas.events.staff_message_sent_v1 import StaffMessageSentV1
from wasl_schemas.ids import uuid7
from wasl_schemas.lifecycle import ReferralState

from wasl_notify import metrics
from wasl_notify.domain.channels import Channels, WebhookDoor
from wasl_notify.domain.journal import Notes, Page, Unread
from wasl_notify.domain.referrals import Referral
from wasl_notify.domain.reporters import Reporter
from wasl_notify.hub import Hub
from wasl_notify.outside.hooks import signed
from wasl_notify.referring import announce
from wasl_notify.repository import JOURNAL, JOURNAL_SECONDS, REFERRALS, REPORTERS, UNREAD

log = logging.getLogger(__name__)

#: A withdrawal is remembered longer than any copy of the report it came to.
_TOMBSTONE = timedelta(seconds=JOURNAL_SECONDS, days=15)
_NOTES = "wasl_notify.notes"


class Acknowledgement(Model):
    """What an authority sends back. ``reference``: its own, optional."""

    reference: str | None = Field(default=None, max_length=120, pattern=r"^[\w./ -]*$")


_ACKNOWLEDGEMENT = TypeAdapter(Acknowledgement)


class NotifyHandlers:
    def __init__(
        self,
        hub: Hub,
        channels: Channels,
        *,
        mail: bool,
        keep: timedelta,
        settle: timedelta,
    ) -> None:
        self._hub = hub
        self._channels = channels
        self._mail = mail
        self._keep = keep
        self._settle = settle

    # -- reports ---------------------------------------------------------------------------------

    def _contact(self, data: ReportSubmittedV1 | ReporterContactChangedV1) -> str | None:
        """The sealed address, where it may be used."""
        contact = data.contact
        if contact is None or not (self._mail and contact.safe and contact.channel == "email"):
            return None
        return contact.address

    async def prefetch_submitted(
        self, events: Sequence[Event[ReportSubmittedV1]], uow: UnitOfWork
    ) -> None:
        await uow.load(REPORTERS, [e.data.report_id for e in events if self._contact(e.data)])

    async def on_report_submitted(
        self, event: Event[ReportSubmittedV1], uow: UnitOfWork
    ) -> Outcome | None:
        data = event.data
        address = self._contact(data)
        if data.contact is not None:
            metrics.record_contact(self._hub.metrics, self._use(data))
        if address is None:
            return None
        if await uow.get(REPORTERS, data.report_id) is not None:
            # Known already, or withdrawn before we learnt of it: then the address never comes in.
            return Outcome.STALE
        now = uow.now()
        reporter = Reporter(
            report_id=data.report_id,
            address=address,
            language=data.language,
            forget_at=now + self._keep,
            due_at=now,
        )
        uow.put(REPORTERS, reporter)
        return None

    def _use(self, data: ReportSubmittedV1) -> str:
        if data.contact is None or not self._mail:
            return "mail_off"
        if not data.contact.safe:
            return "unsafe"
        return "kept" if data.contact.channel == "email" else "other_channel"

    async def prefetch_withdrawn(
        self, events: Sequence[Event[ReportWithdrawnV1]], uow: UnitOfWork
    ) -> None:
        await uow.load(REPORTERS, [e.data.report_id for e in events])

    async def on_report_withdrawn(self, event: Event[ReportWithdrawnV1], uow: UnitOfWork) -> None:
        """Forget the contact and leave a mark, so that a late submission does not bring it back."""
        if not self._mail:
            return
        report_id = event.data.report_id
        await uow.get(REPORTERS, report_id)
        forget_at = uow.now() + _TOMBSTONE
        gone = Reporter(report_id=report_id, address=None, language="und", forget_at=forget_at)
        uow.put(REPORTERS, gone)

    async def on_report_expired(
        self, event: Event[ReportExpiredV1], uow: UnitOfWork
    ) -> Outcome | None:
        """The time for the contact is over: as after a withdrawal. Links and messages go by
        their own ``forget_at``.
        """
        data = event.data
        known = data.data is not ExpiredData.UNKNOWN
        if not (self._mail and known) or await uow.get(REPORTERS, data.report_id) is None:
            return Outcome.STALE
        forget_at = uow.now() + _TOMBSTONE
        uow.put(
            REPORTERS,
            Reporter(report_id=data.report_id, address=None, language="und", forget_at=forget_at),
        )
        return None

    async def prefetch_contacts(
        self, events: Sequence[Event[ReporterContactChangedV1]], uow: UnitOfWork
    ) -> None:
        await uow.load(REPORTERS, [e.data.report_id for e in events])

    async def on_contact_changed(
        self, event: Event[ReporterContactChangedV1], uow: UnitOfWork
    ) -> Outcome | None:
        """Write there from now on, or nowhere; the newest change holds."""
        data = event.data
        if not self._mail:
            return None
        known = await uow.get(REPORTERS, data.report_id)
        if known is not None and not known.takes(data.changed_at):
            return Outcome.STALE
        now, address = uow.now(), self._contact(data)
        # Without an address the mark stays as after a withdrawal: it keeps a late submission out.
        keep = _TOMBSTONE if address is None else self._keep
        held = known or Reporter(
            report_id=data.report_id, address=None, language=data.language, forget_at=now + keep
        )
        change = {
            "address": address,
            "language": data.language,
            "contact_at": data.changed_at,
            "forget_at": now + keep,
        }
        if address is None or held.address is None:
            # Who could not be reached has no links yet: they are looked up as for a new reporter.
            reached = address is not None
            change |= {
                "since": data.changed_at if reached else None,
                "due_at": now if reached else None,
                "lease": None,
                "lease_until": None,
            }
        uow.put(REPORTERS, held.model_copy(update=change))
        return None

    # -- cases -----------------------------------------------------------------------------------

    def _notes(self, uow: UnitOfWork) -> Notes:
        notes: Notes | None = uow.memo.get(_NOTES)
        if notes is None:
            page_id, now = uuid7(), uow.now()
            notes = uow.memo[_NOTES] = Notes(Page(page_id, now), Unread(page_id, now))
            uow.put(JOURNAL, notes.page)
            uow.put(UNREAD, notes.unread)
        return notes

    async def on_case_opened(self, event: Event[CaseOpenedV1], uow: UnitOfWork) -> None:
        self._notes(uow).case_opened(event.data)

    async def on_case_updated(self, event: Event[CaseUpdatedV1], uow: UnitOfWork) -> None:
        self._notes(uow).case_updated(event.data)

    async def on_dispatch_updated(self, event: Event[DispatchUpdatedV1], uow: UnitOfWork) -> None:
        self._notes(uow).dispatch_updated(event.data)

    async def on_staff_message(self, event: Event[StaffMessageSentV1], uow: UnitOfWork) -> None:
        self._notes(uow).staff_message(event.data)

    # -- referrals -------------------------------------------------------------------------------

    async def prefetch_referrals(
        self, events: Sequence[Event[ReferralRequestedV1]], uow: UnitOfWork
    ) -> None:
        await uow.load(REFERRALS, [e.data.referral_id for e in events])

    async def on_referral_requested(
        self, event: Event[ReferralRequestedV1], uow: UnitOfWork
    ) -> Outcome | None:
        data = event.data
        if await uow.get(REFERRALS, data.referral_id) is not None:
            return Outcome.STALE
        now = uow.now()
        referral = Referral(**data.model_dump(), due_at=now + self._settle)
        referral = referral.noted("triage", "requested", data.requested_at)
        uow.put(REFERRALS, referral.noted("notify", "received", now))
        return None

    async def acknowledge(self, referral_id: str, headers: Mapping[str, str], body: bytes) -> None:
        """An authority says that it has the package. Repeating it changes nothing.

        Raises :class:`Problem` 401, the same for an unknown referral and a wrong signature, and 4xx
        for a body that is not an :class:`Acknowledgement`.
        """
        doc = (await self._hub.store.read(REFERRALS, [referral_id])).get(referral_id)
        door = self._channels.door(doc["authority"]) if doc is not None else None
        if not isinstance(door, WebhookDoor) or not signed(door.secret, headers, body):
            raise Problem(401, "The signature does not fit", "Sign as Standard Webhooks 1.0 says.")
        given = validate(_ACKNOWLEDGEMENT, body)

        async def work(uow: UnitOfWork) -> bool:
            referral = await uow.get(REFERRALS, referral_id)
            if referral is None or referral.state is ReferralState.ACKNOWLEDGED:
                return False
            # Whoever acknowledges has it, whatever we believed: our own record of the delivery may
            # still be under way, or have been given up after the answer was lost.
            for state, trigger in (
                (ReferralState.FAILED, "retry"),
                (ReferralState.REQUESTED, "deliver"),
                (ReferralState.DELIVERED, "acknowledge"),
            ):
                if referral.state is state:
                    who = referral.authority if trigger == "acknowledge" else "notify"
                    referral = referral.moved(trigger, who, uow.now())
                    announce(uow, referral)
            uow.put(REFERRALS, referral.model_copy(update={"reference": given.reference}))
            return True

        if await self._hub.transact(work):
            metrics.record_referral(self._hub.metrics, "webhook", "acknowledged")
            log.info("a referral was acknowledged", extra={"referral_id": referral_id})
