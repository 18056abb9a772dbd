# SPDX-License-Identifier: Apache-2.0
"""What else the holder of a receipt may do: change how we may write to them, and rate the help."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from wasl_chassis.failures import KeyDestroyed
from wasl_chassis.work import UnitOfWork
from wasl_schemas import topics
from wasl_schemas.events.common import Risk, SealedContact
from wasl_schemas.events.reporter_contact_changed_v1 import ReporterContactChangedV1
from wasl_schemas.lifecycle import ReporterStatus

from wasl_intake import metrics as measure
from wasl_intake.domain.submission import ContactRequest
from wasl_intake.handlers import AlreadyWithdrawn, Following, IntakeHandlers
from wasl_intake.repository import RATINGS, REPORTS, Rating, Report

#: What may be answered to each question of the rating.
ANSWERS = ("yes", "partly", "no")


@dataclass(frozen=True, slots=True)
class ContactView:
    """How we may write, as the holder of the receipt is shown it."""

    #: First letter and domain: enough to know one's own, too little for who looks over a shoulder.
    masked: str
    safe: bool


def masked(address: str) -> str:
    name, _, domain = address.rpartition("@")
    return f"{name[:1]}…@{domain}"


def happened(following: Following) -> bool:
    """Whether there is anything to rate yet."""
    answered = any(line.by_staff for line in following.thread)
    moved = bool(following.timeline) or following.status is not ReporterStatus.RECEIVED
    return following.can_withdraw and (answered or moved)


class Correspondence:
    """Each method takes a receipt as typed or kept, and raises UnknownReceipt."""

    def __init__(self, handlers: IntakeHandlers) -> None:
        self._handlers = handlers

    # -- contact ---------------------------------------------------------------------------------

    async def contact(self, typed: str) -> ContactView | None:
        """None: we have no address, or its key is destroyed."""
        uow = self._handlers.hub.unit()
        report, holder = await self._handlers.held(uow, typed)
        address = await self._address(uow, report, holder)
        return ContactView(masked(address), report.contact_safe) if address else None

    async def change_contact(self, typed: str, wanted: ContactRequest, language: str) -> None:
        """Write there from now on, in ``language``; only if ``wanted.safe`` says that it is safe.

        Raises AlreadyWithdrawn. The same contact again changes nothing.
        """

        async def work(uow: UnitOfWork) -> None:
            report, holder = await self._open(uow, typed)
            held = await self._address(uow, report, holder)
            if held == wanted.address and report.contact_safe == wanted.safe:
                return
            sealed = await uow.keys.seal(report.report_id, "report.contact", wanted.address)
            changed = replace(
                report,
                contact_channel=wanted.channel,
                contact_safe=wanted.safe,
                contact_address=sealed,
            )
            self._put(uow, changed, language)

        await self._transact(work)

    async def mark_safe(self, typed: str, *, safe: bool, language: str) -> None:
        """It is, or no longer is, safe to write to the address we have. Raises AlreadyWithdrawn."""

        async def work(uow: UnitOfWork) -> None:
            report, _ = await self._open(uow, typed)
            if report.contact_address is not None and report.contact_safe != safe:
                self._put(uow, replace(report, contact_safe=safe), language)

        await self._transact(work)

    async def remove_contact(self, typed: str, language: str) -> None:
        """Forget the address, here and wherever it is used. Raises AlreadyWithdrawn."""

        async def work(uow: UnitOfWork) -> None:
            report, _ = await self._open(uow, typed)
            if report.contact_address is not None:
                gone = replace(
                    report, contact_channel=None, contact_safe=False, contact_address=None
                )
                self._put(uow, gone, language)

        await self._transact(work)

    async def _open(self, uow: UnitOfWork, typed: str) -> tuple[Report, bytes]:
        report, holder = await self._handlers.held(uow, typed)
        if report.withdrawn_at is not None:
            raise AlreadyWithdrawn
        return report, holder

    async def _transact(self, work: Callable[[UnitOfWork], Awaitable[None]]) -> None:
        try:
            await self._handlers.hub.transact(work)
        except KeyDestroyed:  # withdrawn between the two reads
            raise AlreadyWithdrawn from None

    @staticmethod
    async def _address(uow: UnitOfWork, report: Report, holder: bytes) -> str | None:
        if report.contact_address is None:
            return None
        try:
            return await uow.keys.open_with(holder, report.contact_address, "report.contact")
        except KeyDestroyed:
            return None

    @staticmethod
    def _put(uow: UnitOfWork, report: Report, language: str) -> None:
        """Store the report with its contact and say so, in one commit."""
        # Replicas' clocks differ, and who listens takes the newest: a later change is later.
        last = report.contact_changed_at or report.received_at
        now = max(uow.now(), last + timedelta(milliseconds=1))
        uow.put(REPORTS, replace(report, contact_changed_at=now))
        contact = None
        if report.contact_channel and report.contact_address:
            contact = SealedContact(
                channel=report.contact_channel,
                safe=report.contact_safe,
                address=report.contact_address,
            )
        uow.emit(
            topics.REPORTER_CONTACT_CHANGED_V1,
            ReporterContactChangedV1(
                report_id=report.report_id, changed_at=now, language=language, contact=contact
            ),
        )

    # -- rating ----------------------------------------------------------------------------------

    async def rating(self, typed: str) -> Rating | None:
        uow = self._handlers.hub.unit()
        report, _ = await self._handlers.held(uow, typed)
        return await uow.get(RATINGS, report.report_id)

    async def rate(self, typed: str, *, helped: str | None, recommend: str | None) -> None:
        """Keep the answers, of :data:`ANSWERS`, instead of earlier ones; None: not answered.

        Counted is the first answer to each question.
        """

        async def work(uow: UnitOfWork) -> list[tuple[str, str]]:
            report, _ = await self._handlers.held(uow, typed)
            held = await uow.get(RATINGS, report.report_id)
            given = {"helped": helped, "recommend": recommend}
            uow.put(RATINGS, Rating(report_id=report.report_id, rated_at=uow.now(), **given))
            return [(q, a) for q, a in given.items() if a and getattr(held, q, None) is None]

        for question, answer in await self._handlers.hub.transact(work):
            measure.record_rating(self._handlers.hub.metrics, question, answer)


def unsafe(report: Report) -> bool:
    """The reporter said that their home or device is not safe."""
    return Risk.UNSAFE_PLACE in report.risk
