# SPDX-License-Identifier: Apache-2.0
"""What both the events' side and the desk do to a case: tell the others, ask partners, refer.

Every version of a case is one emitted event. A request's id follows from case, partner and round,
so whatever is replayed or repeated, the ledger sees the same request.
"""

import hashlib
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

from wasl_chassis.clock import Clock
from wasl_chassis.failures import KeyDestroyed
from wasl_chassis.metrics import Metrics
from wasl_chassis.store import Store
from wasl_chassis.work import UnitOfWork
from wasl_schemas import topics
from wasl_schemas.country_pack import Authority, CountryPack, Partner
from wasl_schemas.events.case_updated_v1 import CaseChange, CaseUpdatedV1
from wasl_schemas.events.common import Ground
from wasl_schemas.events.dispatch_requested_v1 import DispatchRequestedV1
from wasl_schemas.events.referral_requested_v1 import ReferralRequestedV1
from wasl_schemas.lifecycle import DispatchState, ReferralState
from wasl_schemas.topics import TopicSpec

from wasl_triage.domain import clocks
from wasl_triage.domain.case import Case, DispatchRow, Measure, ReferralRow
from wasl_triage.repository import Report

T = TypeVar("T")

#: AAD field names, agreed with the other services.
ITEM = "case.item"
CONTENT = "report.content"
MESSAGE = "report.message"
#: Free text of the desk, read by nobody else.
NOTE = "case.note"


class Hub(Protocol):
    """What the use cases need of the chassis' ``Service``."""

    @property
    def store(self) -> Store: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def metrics(self) -> Metrics: ...
    def unit(self) -> UnitOfWork: ...
    async def commit(self, uow: UnitOfWork) -> None: ...
    async def transact(self, work: Callable[[UnitOfWork], Awaitable[T]]) -> T: ...


async def opened(uow: UnitOfWork, sealed: str | None, field: str) -> str | None:
    """The text; None where there is none or its key was destroyed, which is somebody's wish."""
    if sealed is None:
        return None
    try:
        return await uow.keys.open(sealed, field)
    except KeyDestroyed:
        return None


def count_in(pack: CountryPack, case: Case, report: Report) -> None:
    """The case counts one more report. A category the country pack does not know is none."""
    _count(case.join, pack, report)


def count_out(pack: CountryPack, case: Case, report: Report) -> None:
    """The exact opposite of :func:`count_in`."""
    _count(case.leave, pack, report)


def _count(step: Callable[..., None], pack: CountryPack, report: Report) -> None:
    step(
        report.id,
        report.category if report.category in pack.categories else None,
        report.facts,
        consent_partner=report.consent_partner,
        consent_authority=report.consent_authority,
        via=report.via,
        banks=report.banks,
        flood=report.flood,
    )


def announce(
    uow: UnitOfWork,
    case: Case,
    change: CaseChange,
    *,
    at: datetime | None = None,
    report_id: str | None = None,
    ground: Ground | None = None,
    advice: str | None = None,
    reason: str | None = None,
) -> None:
    """One more version of the case, told to everybody."""
    case.version += 1
    uow.emit(
        topics.CASE_UPDATED_V1,
        CaseUpdatedV1(
            case_id=case.id,
            version=case.version,
            change=change,
            state=case.state,
            severity=case.severity,
            category=case.category,
            report_id=report_id,
            ground=ground,
            advice=advice,
            reason=reason,
            changed_at=at or uow.now(),
        ),
    )


def request_id(case_id: str, to: str, round_: int) -> str:
    """The same request has the same id, whoever computes it and however often."""
    return hashlib.sha256(f"{case_id}|{to}|{round_}".encode()).hexdigest()[:32]


class Requests:
    """Requests of one deployment to partners and authorities."""

    def __init__(
        self, pack: CountryPack, connectors: frozenset[str], resend_after: timedelta
    ) -> None:
        self._pack = pack
        self._resend_after = resend_after
        #: Connectors that run; a partner behind another one cannot be asked.
        self.connectors = connectors
        self._topics: dict[str, TopicSpec[DispatchRequestedV1]] = {
            c: topics.dispatch_requested_v1(c) for c in connectors
        }

    def dispatch(
        self,
        uow: UnitOfWork,
        case: Case,
        partner: Partner,
        *,
        category: str,
        ground: Ground,
        scope: str,
        item: str,
        automatic: bool,
        measure: Measure | None = None,
    ) -> None:
        """Ask one partner. The case must be in progress; the caller announces and puts it."""
        now = uow.now()
        row = DispatchRow(
            partner=partner.id,
            connector=partner.connector,
            round=case.round,
            category=category,
            severity=case.severity,
            ground=ground,
            scope=scope,
            language=partner.language,
            automatic=automatic,
            requested_at=now,
            due=clocks.dispatch_due(self._pack, case.severity, now),
            item=item,
            may_look=case.may_look(self._pack, category),
            via=tuple(case.via),
            measure=measure,
        )
        dispatch_id = request_id(case.id, partner.id, case.round)
        case.dispatches[dispatch_id] = row
        self._emit_dispatch(uow, case.id, dispatch_id, row)

    def refer(
        self, uow: UnitOfWork, case: Case, authority: Authority, *, ground: Ground, item: str
    ) -> None:
        """Tell one authority. The case must be in progress; the caller announces and puts it."""
        now = uow.now()
        row = ReferralRow(
            authority=authority.id,
            round=case.round,
            category=case.category or "",
            severity=case.severity,
            ground=ground,
            language=authority.language,
            requested_at=now,
            due=clocks.authority_due(self._pack, case.severity, now),
            item=item,
            reports=case.reports,
        )
        referral_id = request_id(case.id, authority.id, case.round)
        case.referrals[referral_id] = row
        self._emit_referral(uow, case.id, referral_id, row)

    def amend(self, uow: UnitOfWork, case: Case, dispatch_id: str, row: DispatchRow) -> None:
        """The same request, changed: one revision more."""
        row.revision += 1
        case.dispatches[dispatch_id] = row
        self._emit_dispatch(uow, case.id, dispatch_id, row)

    def plan(self, case: Case, now: datetime) -> None:
        """Set or clear the time at which unanswered requests are repeated."""
        case.plan_resend(now, self._resend_after)

    def repeat(self, uow: UnitOfWork, case: Case, count: Callable[[str], None]) -> None:
        """Emit again every request nobody has confirmed; each time the wait doubles, up to
        32-fold.
        """
        for dispatch_id, row in case.dispatches.items():
            unheard = row.state is DispatchState.REQUESTED or row.revision > row.known
            if unheard and row.connector in self._topics:
                self._emit_dispatch(uow, case.id, dispatch_id, row)
                count("dispatch")
        for referral_id, told in case.referrals.items():
            if told.state is ReferralState.REQUESTED:
                self._emit_referral(uow, case.id, referral_id, told)
                count("referral")
        case.resends = min(case.resends + 1, 5)
        case.resend_at = uow.now() + self._resend_after * 2**case.resends

    def _emit_dispatch(
        self, uow: UnitOfWork, case_id: str, dispatch_id: str, row: DispatchRow
    ) -> None:
        uow.emit(
            self._topics[row.connector],
            DispatchRequestedV1(
                dispatch_id=dispatch_id,
                case_id=case_id,
                connector=row.connector,
                partner=row.partner,
                category=row.category,
                severity=row.severity,
                ground=row.ground,
                scope=row.scope,
                language=row.language,
                automatic=row.automatic,
                requested_at=row.requested_at,
                due=row.due,
                item=row.item,
                revision=row.revision,
                withdrawn=row.withdrawn,
                may_look=row.may_look,
                via=row.via,
                measure=row.measure.value if row.measure else None,
            ),
        )

    def _emit_referral(
        self, uow: UnitOfWork, case_id: str, referral_id: str, row: ReferralRow
    ) -> None:
        uow.emit(
            topics.REFERRAL_REQUESTED_V1,
            ReferralRequestedV1(
                referral_id=referral_id,
                case_id=case_id,
                authority=row.authority,
                category=row.category,
                severity=row.severity,
                ground=row.ground,
                language=row.language,
                requested_at=row.requested_at,
                due=row.due,
                item=row.item,
                reports=row.reports,
            ),
        )
