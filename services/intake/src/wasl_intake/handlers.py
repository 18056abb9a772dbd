# SPDX-License-Identifier: Apache-2.0
"""The use cases of intake: submit, follow, write, withdraw; and what it learns from events.

Order of promises: persist, then publish, then answer. Whoever holds a receipt is the reporter;
nobody else is told whether a report exists. Nothing here logs, measures or raises what a person
wrote.
"""

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, Protocol, TypeVar

from wasl_chassis.clock import Clock
from wasl_chassis.failures import Conflict, KeyDestroyed, Outcome, Overloaded, Retryable
from wasl_chassis.metrics import Metrics
from wasl_chassis.store import Collection, Store
from wasl_chassis.vault import derive
from wasl_chassis.work import UnitOfWork
from wasl_schemas import topics
from wasl_schemas.country_pack import CountryPack
from wasl_schemas.envelope import Event
from wasl_schemas.events.case_opened_v1 import CaseOpenedV1
from wasl_schemas.events.case_updated_v1 import CaseUpdatedV1
from wasl_schemas.events.common import Affected, Channel, Risk, SealedContact
from wasl_schemas.events.dispatch_updated_v1 import DispatchUpdatedV1
from wasl_schemas.events.item_observed_v1 import ItemObservedV1
from wasl_schemas.events.referral_updated_v1 import ReferralUpdatedV1
from wasl_schemas.events.report_expired_v1 import ExpiredData, ReportExpiredV1
from wasl_schemas.events.report_redacted_v1 import RedactedMessage, ReportRedactedV1
from wasl_schemas.events.report_submitted_v1 import ReportContent, ReportSubmittedV1
from wasl_schemas.events.report_withdrawn_v1 import ReportWithdrawnV1
from wasl_schemas.events.reporter_message_sent_v1 import ReporterMessageSentV1
from wasl_schemas.events.staff_message_sent_v1 import StaffMessageSentV1
from wasl_schemas.ids import uuid7
from wasl_schemas.lifecycle import ReporterStatus
from wasl_schemas.timeline import CaseView, TimelineEntry, membership, merge, reporter_status

from wasl_intake import metrics as measure
from wasl_intake.domain import receipt
from wasl_intake.domain.submission import ReportRequest
from wasl_intake.live import Watch
from wasl_intake.repository import (
    CASE_VIEWS,
    LINKS,
    MESSAGES,
    RATINGS,
    REPORTS,
    UNHEARD,
    Links,
    Message,
    Report,
)
from wasl_intake.spool import Spool

T = TypeVar("T")
CaseEvent = Event[Any]


class Hub(Protocol):
    """What the use cases need of the chassis' ``Service``."""

    @property
    def store(self) -> Store: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def metrics(self) -> Metrics: ...
    def unit(self) -> UnitOfWork: ...
    async def submit(self, uow: UnitOfWork) -> None: ...
    async def transact(self, work: Callable[[UnitOfWork], Awaitable[T]]) -> T: ...


class RepeatDiffers(Exception):  # noqa: N818
    """The idempotency key was used before, for another report."""


class UnknownReceipt(Exception):  # noqa: N818
    """No report belongs to this receipt. ``typo``: none can, the check character is wrong."""

    def __init__(self, *, typo: bool) -> None:
        super().__init__()
        self.typo = typo


class AlreadyWithdrawn(Exception):  # noqa: N818
    """The report was taken back; nothing more can be added to it."""


class ThreadFull(Exception):  # noqa: N818
    """The thread holds as many messages as it may."""


@dataclass(frozen=True, slots=True)
class ThreadLine:
    """One message, opened. ``text`` is None once its key is destroyed."""

    message_id: str
    time: datetime
    by_staff: bool
    question: bool
    text: str | None
    #: When it was stored here: what came later is newer to the reader, whenever it was written.
    kept_at: datetime


@dataclass(frozen=True, slots=True)
class Following:
    """What the holder of a receipt may know."""

    report: Report
    status: ReporterStatus
    timeline: tuple[TimelineEntry, ...]
    #: Advice cards given by the analysts, newest case first.
    advice: tuple[str, ...]
    thread: tuple[ThreadLine, ...]

    @property
    def can_withdraw(self) -> bool:
        return self.report.withdrawn_at is None


class IntakeHandlers:
    def __init__(
        self,
        hub: Hub,
        pack: CountryPack,
        *,
        pepper: bytes,
        thread_limit: int = 200,
        watch: Watch | None = None,
        spool: Spool | None = None,
    ) -> None:
        self._hub = hub
        self._pack = pack
        self._receipt_key = derive(pepper, "receipt")
        self._open_key = derive(pepper, "open")
        self._repeat_key = derive(pepper, "idempotency")
        self._thread_limit = thread_limit
        self._spool = spool
        #: Told of every message that is stored here.
        self.watch = watch or Watch(hub.store, hub.clock)

    @property
    def hub(self) -> Hub:
        return self._hub

    # -- the reporter ----------------------------------------------------------------------------

    async def submit(
        self, request: ReportRequest, body: bytes, repeat_key: str | None, *, flood: bool = False
    ) -> str:
        """Store a report and emit it; returns the receipt, canonical, for the only time.

        ``body``: the request as sent, by which a repeat is told from another report under the same
        ``repeat_key``. ``flood``: see the event. A repeat returns the same receipt and stores
        nothing. Raises RepeatDiffers, Overloaded, Retryable; then nothing was stored.
        """
        code = receipt.derived(self._repeat_key, repeat_key) if repeat_key else receipt.new()
        report_id = receipt.report_id(self._receipt_key, code)
        fingerprint = receipt.fingerprint(code, body)
        uow = self._hub.unit()
        uow.keys.create(report_id, receipt.holder(self._open_key, code))
        content = ReportContent.model_construct(
            locations=request.locations,
            narrative=request.narrative,
            fingerprints=request.fingerprints,
        )
        report = Report(
            report_id=report_id,
            fingerprint=fingerprint,
            received_at=uow.now(),
            channel=request.channel,
            language=request.language,
            category=request.category,
            danger_now=request.danger_now,
            under_18=request.under_18 or request.under_13,
            under_13=request.under_13,
            affected=request.affected,
            risk=request.risk,
            flood=flood,
            consent_partner=request.consent_partner,
            consent_authority=request.consent_authority,
            content=await uow.keys.seal(report_id, "report.content", content.model_dump_json()),
        )
        contact = request.contact
        if contact is not None:
            report = replace(
                report,
                contact_channel=contact.channel,
                contact_safe=contact.safe and "unsafe_place" not in request.risk,
                contact_address=await uow.keys.seal(report_id, "report.contact", contact.address),
            )
        uow.put(REPORTS, report)
        uow.emit(topics.REPORT_SUBMITTED_V1, submitted(report), time=report.received_at)
        try:
            self._record(request, await self._keep(uow, report))
        except RepeatDiffers:
            self._record(request, "invalid")
            raise
        except (Retryable, Overloaded):
            self._record(request, "unavailable")
            raise
        return code

    async def _keep(self, uow: UnitOfWork, report: Report) -> str:
        """Durable when it returns; what became of it: accepted, duplicate or spooled."""
        spool = self._spool
        if spool is None:
            return await self._commit(uow, report)
        held = await spool.held(report.report_id)
        if held is None:
            result = await spool.attempt(partial(self._commit, uow, report))
            if result is not None:
                return result
            held = await spool.put(report.report_id, report.fingerprint, uow.changes())
            if held is None:
                return "spooled"
        return _repeated(held, report)

    async def _commit(self, uow: UnitOfWork, report: Report) -> str:
        try:
            await self._hub.submit(uow)
        except Conflict:
            # The receipt's report exists: a repeat, or a commit whose answer got lost on the way.
            earlier = await self._hub.unit().get(REPORTS, report.report_id)
            if earlier is None:
                raise
            return _repeated(earlier.fingerprint, report)
        return "accepted"

    def receipt_of(self, repeat_key: str) -> str:
        """The receipt a report under ``repeat_key`` has, canonical, whether it exists or not."""
        return receipt.derived(self._repeat_key, repeat_key)

    def _record(self, request: ReportRequest, result: str) -> None:
        measure.record_report(self._hub.metrics, request.channel, request.category, result)

    async def follow(self, typed: str) -> Following:
        """What the receipt opens. Raises UnknownReceipt.

        Known, unknown or malformed: the same five reads, so the time of the answer tells nothing
        about which reports exist.
        """
        code = receipt.read(typed)
        report_id = receipt.report_id(self._receipt_key, code)
        holder = receipt.holder(self._open_key, code)
        uow = self._hub.unit()
        report = await uow.get(REPORTS, report_id)
        links = await uow.get(LINKS, report_id)
        cases = links.linked() if links else []
        await uow.load(CASE_VIEWS, cases or [report_id])
        thread = [
            MESSAGES.decode(doc)
            for doc in await self._hub.store.find(
                MESSAGES, {"report_id": report_id}, sort=(("sent_at", 1), ("_id", 1))
            )
        ]
        await uow.keys.load([report_id])
        self._found(report, code)
        assert report is not None
        withdrawn = report.withdrawn_at is not None
        views = [v for case in cases if (v := await uow.get(CASE_VIEWS, case)) is not None]
        return Following(
            report=report,
            status=reporter_status(
                withdrawn=withdrawn, waiting_for_answer=_waiting(thread), views=views
            ),
            timeline=_timeline(report, views),
            advice=tuple(dict.fromkeys(v.advice for v in views if v.advice)),
            thread=() if withdrawn else tuple([await self._open(uow, holder, m) for m in thread]),
        )

    async def held(self, uow: UnitOfWork, typed: str) -> tuple[Report, bytes]:
        """The report a receipt opens, and the key for its texts. Raises UnknownReceipt."""
        code = receipt.read(typed)
        report_id = receipt.report_id(self._receipt_key, code)
        report = await uow.get(REPORTS, report_id)
        await uow.keys.load([report_id])
        self._found(report, code)
        assert report is not None
        return report, receipt.holder(self._open_key, code)

    def _found(self, report: Report | None, code: str) -> None:
        if report is None and self._spool is not None:
            self._spool.not_waiting(receipt.report_id(self._receipt_key, code))
        typo = not receipt.well_formed(code)
        result = "found" if report else "malformed" if typo else "unknown"
        measure.record_receipt(self._hub.metrics, result)
        if report is None:
            raise UnknownReceipt(typo=typo)

    async def _open(self, uow: UnitOfWork, holder: bytes, message: Message) -> ThreadLine:
        """With the receipt's key, not the hub's: no mistake here can open another's thread."""
        try:
            text = await uow.keys.open_with(holder, message.body, "report.message")
        except KeyDestroyed:
            measure.record_erased(self._hub.metrics)
            text = None
        return ThreadLine(
            message_id=message.message_id,
            time=message.sent_at,
            by_staff=message.by_staff,
            question=message.question,
            text=text,
            kept_at=message.kept_at or message.sent_at,
        )

    async def withdraw(self, typed: str) -> None:
        """Take the report back: its data key is destroyed in the commit that says so.

        Raises UnknownReceipt. Withdrawing again changes nothing.
        """
        code = receipt.read(typed)
        report_id = receipt.report_id(self._receipt_key, code)

        async def work(uow: UnitOfWork) -> bool:
            report = await uow.get(REPORTS, report_id)
            await uow.keys.load([report_id])
            self._found(report, code)
            assert report is not None
            if report.withdrawn_at is not None:
                return False
            await take_back(uow, report)
            return True

        if await self._hub.transact(work):
            measure.record_withdrawal(self._hub.metrics)

    async def write(self, typed: str, body: str, repeat_key: str | None) -> None:
        """Add the reporter's message to the thread; under one ``repeat_key`` only once.

        Raises UnknownReceipt, AlreadyWithdrawn, ThreadFull.
        """
        code = receipt.read(typed)
        report_id = receipt.report_id(self._receipt_key, code)
        message_id = uuid7() if repeat_key is None else self._message_id(report_id, repeat_key)

        async def work(uow: UnitOfWork) -> bool:
            report = await uow.get(REPORTS, report_id)
            await uow.keys.load([report_id])
            held = await self._hub.store.count(MESSAGES, {"report_id": report_id})
            self._found(report, code)
            assert report is not None
            if report.withdrawn_at is not None:
                raise AlreadyWithdrawn
            if await uow.get(MESSAGES, message_id) is not None:
                return False
            if held >= self._thread_limit:
                raise ThreadFull
            now = uow.now()
            sealed = await uow.keys.seal(report_id, "report.message", body)
            uow.put(
                MESSAGES,
                Message(
                    message_id,
                    report_id,
                    now,
                    by_staff=False,
                    question=False,
                    body=sealed,
                    kept_at=now,
                ),
            )
            uow.emit(
                topics.REPORTER_MESSAGE_SENT_V1,
                ReporterMessageSentV1(
                    message_id=message_id, report_id=report_id, sent_at=now, body=sealed
                ),
            )
            return True

        try:
            written = await self._hub.transact(work)
        except KeyDestroyed:  # withdrawn between the two reads
            raise AlreadyWithdrawn from None
        if written:
            measure.record_message(self._hub.metrics)
            self.watch.hint()

    def _message_id(self, report_id: str, repeat_key: str) -> str:
        text = f"{report_id}|{repeat_key}".encode()
        return hmac.digest(self._repeat_key, text, hashlib.sha256).hex()[:32]

    # -- events ----------------------------------------------------------------------------------

    async def prefetch_cases(self, events: Sequence[CaseEvent], uow: UnitOfWork) -> None:
        """Two reads for a whole batch of case, dispatch or referral events."""
        for event in events:
            uow.memo[event.id] = membership(event.data)
        members = (uow.memo[event.id] for event in events)
        await uow.load(CASE_VIEWS, [event.data.case_id for event in events])
        await uow.load(LINKS, [m.report_id for m in members if m is not None])

    async def _fold(self, event: CaseEvent, uow: UnitOfWork) -> Outcome | None:
        known = await uow.get(CASE_VIEWS, event.data.case_id)
        view = merge(known, event)
        if view is not known:
            uow.put(CASE_VIEWS, view)
        member = uow.memo[event.id] if event.id in uow.memo else membership(event.data)
        news = view is not known
        if member is not None:
            held = await uow.get(LINKS, member.report_id) or Links(member.report_id)
            links = held.learn(member)
            if links is not held:
                uow.put(LINKS, links)
                news = True
        return None if news else Outcome.STALE

    async def on_case_opened(self, event: Event[CaseOpenedV1], uow: UnitOfWork) -> Outcome | None:
        return await self._fold(event, uow)

    async def on_case_updated(self, event: Event[CaseUpdatedV1], uow: UnitOfWork) -> Outcome | None:
        return await self._fold(event, uow)

    async def on_dispatch_updated(
        self, event: Event[DispatchUpdatedV1], uow: UnitOfWork
    ) -> Outcome | None:
        return await self._fold(event, uow)

    async def on_referral_updated(
        self, event: Event[ReferralUpdatedV1], uow: UnitOfWork
    ) -> Outcome | None:
        return await self._fold(event, uow)

    async def on_item_observed(
        self, event: Event[ItemObservedV1], uow: UnitOfWork
    ) -> Outcome | None:
        return await self._fold(event, uow)

    async def prefetch_messages(
        self, events: Sequence[Event[StaffMessageSentV1]], uow: UnitOfWork
    ) -> None:
        await uow.load(MESSAGES, [event.data.message_id for event in events])

    async def on_staff_message(
        self, event: Event[StaffMessageSentV1], uow: UnitOfWork
    ) -> Outcome | None:
        data = event.data
        if await uow.get(MESSAGES, data.message_id) is not None:
            return Outcome.STALE
        uow.put(
            MESSAGES,
            Message(
                data.message_id,
                data.report_id,
                data.sent_at,
                by_staff=True,
                question=data.question,
                body=data.body,
                kept_at=uow.now(),
            ),
        )
        self.watch.hint()
        return None

    async def prefetch_reports(
        self,
        events: Sequence[Event[ReportExpiredV1]] | Sequence[Event[ReportRedactedV1]],
        uow: UnitOfWork,
    ) -> None:
        await uow.load(REPORTS, [event.data.report_id for event in events])

    async def on_report_expired(
        self, event: Event[ReportExpiredV1], uow: UnitOfWork
    ) -> Outcome | None:
        """Erase what triage says is over. Erasing again changes nothing."""
        report_id, data = event.data.report_id, event.data.data
        report = await uow.get(REPORTS, report_id)
        if report is None:
            return Outcome.STALE
        gone = replace(report, contact_channel=None, contact_address=None, contact_safe=False)
        if data is ExpiredData.TEXT:
            gone = replace(gone, content=None)
        if data in (ExpiredData.TEXT, ExpiredData.RECORD):
            await uow.keys.destroy(report_id)
            for doc in await self._hub.store.find(MESSAGES, {"report_id": report_id}):
                uow.adopt(MESSAGES, doc)
                await uow.delete(MESSAGES, doc["_id"])
        if data is ExpiredData.RECORD:
            gone_with_it: tuple[Collection[Any], ...] = (REPORTS, LINKS, UNHEARD, RATINGS)
            for collection in gone_with_it:
                await uow.delete(collection, report_id)
        elif data is not ExpiredData.UNKNOWN:
            uow.put(REPORTS, gone)
        return None

    async def on_report_redacted(
        self, event: Event[ReportRedactedV1], uow: UnitOfWork
    ) -> Outcome | None:
        """Keep what is left of a text or a message instead of it; of each the newest holds."""
        data = event.data
        report = await uow.get(REPORTS, data.report_id)
        if report is None or report.content is None:
            return Outcome.STALE
        newer = data.message is not None and await self._redact(uow, data, data.message)
        if report.redacted_at is None or report.redacted_at < data.redacted_at:
            uow.put(REPORTS, replace(report, content=data.content, redacted_at=data.redacted_at))
            newer = True
        return None if newer else Outcome.STALE

    @staticmethod
    async def _redact(uow: UnitOfWork, data: ReportRedactedV1, told: RedactedMessage) -> bool:
        """One message; one that is still on its way is stored as it is now. False: older."""
        held = await uow.get(MESSAGES, told.message_id)
        last = held.redacted_at if held is not None else None
        if last is not None and last >= data.redacted_at:
            return False
        message = held or Message(
            told.message_id,
            data.report_id,
            told.sent_at,
            by_staff=told.by_staff,
            question=told.question,
            body=told.body,
            kept_at=uow.now(),
        )
        uow.put(MESSAGES, replace(message, body=told.body, redacted_at=data.redacted_at))
        return True


def _repeated(fingerprint: str, report: Report) -> str:
    if not hmac.compare_digest(fingerprint, report.fingerprint):
        raise RepeatDiffers
    return "duplicate"


def submitted(report: Report) -> ReportSubmittedV1:
    """The event of a report that is not withdrawn."""
    contact = None
    if report.contact_channel and report.contact_address:
        contact = SealedContact(
            channel=report.contact_channel,
            safe=report.contact_safe,
            address=report.contact_address,
        )
    assert report.content is not None
    return ReportSubmittedV1(
        report_id=report.report_id,
        received_at=report.received_at,
        channel=Channel(report.channel),
        language=report.language,
        category=report.category,
        danger_now=report.danger_now,
        under_18=report.under_18,
        under_13=report.under_13,
        consent_partner=report.consent_partner,
        consent_authority=report.consent_authority,
        content=report.content,
        contact=contact,
        via=report.via,
        affected=Affected(report.affected) if report.affected else None,
        risk=tuple(Risk(r) for r in report.risk),
        flood=report.flood,
    )


async def take_back(uow: UnitOfWork, report: Report) -> None:
    """Empty a report, destroy its key and say so. The caller has loaded the key."""
    now = uow.now()
    gone = replace(
        report, content=None, contact_channel=None, contact_address=None, withdrawn_at=now
    )
    uow.put(REPORTS, gone)
    await uow.keys.destroy(report.report_id)
    uow.emit(
        topics.REPORT_WITHDRAWN_V1,
        ReportWithdrawnV1(report_id=report.report_id, withdrawn_at=now),
    )


def _waiting(thread: Sequence[Message]) -> bool:
    """Staff asked something and the reporter has not written since."""
    for message in reversed(thread):
        if not message.by_staff:
            return False
        if message.question:
            return True
    return False


def _timeline(report: Report, views: Sequence[CaseView]) -> tuple[TimelineEntry, ...]:
    """What happened since this report; what came before would tell of somebody else's."""
    entries = (e for view in views for e in view.timeline() if e.time >= report.received_at)
    return tuple(sorted(entries, key=TimelineEntry.order))
