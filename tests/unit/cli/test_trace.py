# SPDX-License-Identifier: Apache-2.0
"""One report's path, from any of its ids, told by the four services; nothing personal in it."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
from wasl_chassis.operating import Desk, Trail, loaded
from wasl_chassis.settings import Settings
from wasl_chassis.testing.fakes import FakeClock, MemoryStore
from wasl_chassis.vault import Vault, derive
from wasl_chassis.work import UnitOfWork
from wasl_cli import trace
from wasl_intake import commands as intake
from wasl_intake import repository as intake_store
from wasl_intake.domain import receipt
from wasl_notify import commands as notify
from wasl_notify import repository as notify_store
from wasl_notify.domain.referrals import Entry, Referral
from wasl_notify.domain.reporters import Notification, Reporter
from wasl_platform_gateway import commands as gateway
from wasl_platform_gateway import repository as gateway_store
from wasl_platform_gateway.domain.ledger import Dispatch
from wasl_schemas import topics
from wasl_schemas.events.common import Ground, GroundKind, Severity
from wasl_schemas.events.report_withdrawn_v1 import ReportWithdrawnV1
from wasl_schemas.lifecycle import CaseState, DispatchState, ReferralState
from wasl_schemas.taxonomy import FourEyes
from wasl_schemas.timeline import CaseView
from wasl_triage import commands as triage
from wasl_triage import repository as triage_store
from wasl_triage.domain.case import Action, Case, DecisionRow, DispatchRow, ReferralRow

PEPPER = b"p" * 32
KEY = base64.b64encode(PEPPER).decode()
START = datetime(2026, 1, 5, 9, tzinfo=UTC)
CANARY = "canary"
RECEIPT, UNKNOWN = (receipt.derived(PEPPER, x) for x in ("one", "two"))
REPORT = receipt.report_id(derive(PEPPER, "receipt"), RECEIPT)
CASE, OTHER_CASE, DISPATCH, REFERRAL, MESSAGE = (c * 32 for c in "cedf0")
LAW = Ground(kind=GroundKind.LAW, ref="ma.penal.1")
PIECES = (intake.OPERATIONS, triage.OPERATIONS, gateway.OPERATIONS, notify.OPERATIONS)


def at(minutes: int) -> datetime:
    return START + timedelta(minutes=minutes)


@pytest.fixture
async def desks() -> dict[str, Desk]:
    settings = Settings(
        KAFKA_BOOTSTRAP_SERVERS="h:1", MONGODB_URI="mongodb://h", master_key=KEY, pepper=KEY
    )
    clock = FakeClock(START)
    made = {p.service: Desk(MemoryStore(), settings, clock, "op") for p in PIECES}
    fill = {
        "intake": _intake,
        "triage": _triage,
        "platform-gateway": _gateway,
        "notify": _notify,
    }
    for service, put in fill.items():
        uow = UnitOfWork(made[service].store, clock, f"/wasl/{service}", Vault({"m": b"m" * 32}))
        put(uow)
        await made[service].store.commit(uow.changes())
    return made


def _intake(uow: UnitOfWork) -> None:
    uow.keys.create(REPORT)
    report = intake_store.Report(
        report_id=REPORT,
        fingerprint="f",
        received_at=at(0),
        channel="web",
        language="ar",
        category="sextortion",
        danger_now=None,
        under_18=None,
        under_13=None,
        consent_partner=True,
        consent_authority=True,
        content=CANARY,
        contact_channel="email",
        contact_address=CANARY,
    )
    uow.put(intake_store.REPORTS, report)
    cases = {CASE: (1, True), OTHER_CASE: (4, False)}
    uow.put(intake_store.LINKS, intake_store.Links(REPORT, cases))
    thread = intake_store.Message("m1", REPORT, at(7), by_staff=True, question=True, body=CANARY)
    uow.put(intake_store.MESSAGES, thread)
    view = CaseView(case_id=CASE, version=5, state=CaseState.IN_PROGRESS, opened_at=at(1))
    uow.put(intake_store.CASE_VIEWS, view)
    withdrawn = ReportWithdrawnV1(report_id=REPORT, withdrawn_at=at(20))
    uow.emit(topics.REPORT_WITHDRAWN_V1, withdrawn)
    elsewhere = ReportWithdrawnV1(report_id="somebody-elses", withdrawn_at=at(20))
    uow.emit(topics.REPORT_WITHDRAWN_V1, elsewhere)


def _triage(uow: UnitOfWork) -> None:
    report = triage_store.Report(
        id=REPORT, received_at=at(0), channel="web", language="ar", hint=CANARY, category=None,
        facts=(), consent_partner=True, consent_authority=True, cases=(CASE,), content=CANARY,
    )  # fmt: skip
    uow.put(triage_store.REPORTS, report)
    row = DispatchRow(
        partner="instagram", connector="webhook", round=1, category="sextortion",
        severity=Severity.HIGH, ground=LAW, scope="global", language="ar",
        automatic=False, requested_at=at(5), due=at(60), item=CANARY, state=DispatchState.SENT,
    )  # fmt: skip
    referred = ReferralRow(
        authority="police", round=1, category="sextortion", severity=Severity.HIGH, ground=LAW,
        language="ar", requested_at=at(5), due=at(60), item=CANARY, reports=2,
    )  # fmt: skip
    decision = DecisionRow(
        id="dec1", action=Action.DISPATCH, category="sextortion", by=CANARY, at=at(4), round=1,
        four_eyes=FourEyes.PRE, ground=LAW, proposal=CANARY, second=CANARY, second_at=at(5),
        confirmed=True,
    )  # fmt: skip
    case = Case(
        id=CASE, platform="instagram", kind="account", item=CANARY, language="ar",
        opened_at=at(1), round_at=at(1), first_look_due=at(30),
        version=6, state=CaseState.IN_PROGRESS, severity=Severity.HIGH, category="sextortion",
        reports=2, recent=[REPORT, CANARY], decisions=[decision], claimed_by=CANARY,
        dispatches={DISPATCH: row}, referrals={REFERRAL: referred}, queue_due=at(90),
    )  # fmt: skip
    uow.put(triage_store.CASES, case)


def _gateway(uow: UnitOfWork) -> None:
    row = Dispatch(
        dispatch_id=DISPATCH, case_id=CASE, connector="webhook", partner="instagram",
        category="sextortion", severity=Severity.HIGH, ground_kind="law", ground_ref="ma.penal.1",
        scope="global", language="ar", requested_at=at(5), deadline=at(60), item=CANARY,
        urgent=True, state=DispatchState.SENT, version=1, changed_at=at(6), attempts=2,
        sent_at=at(6), due_at=at(40),
    )  # fmt: skip
    uow.put(gateway_store.LEDGER, row)
    uow.put(gateway_store.CONTROLS, gateway_store.Control(connector="webhook", paused=True))


def _notify(uow: UnitOfWork) -> None:
    reporter = Reporter(
        report_id=REPORT, address=CANARY, language="ar", causes=(MESSAGE, "x"), forget_at=at(9999)
    )
    uow.put(notify_store.REPORTERS, reporter)
    message = Notification(
        notification_id=MESSAGE, channel="email", template="news", report_id=REPORT,
        attempts=1, created_at=at(8), forget_at=at(9999),
    )  # fmt: skip
    uow.put(notify_store.NOTIFICATIONS, message)
    referral = Referral(
        referral_id=REFERRAL, case_id=CASE, authority="police", category="sextortion",
        severity=Severity.HIGH, ground=LAW, language="ar", requested_at=at(5), due=at(60),
        item=CANARY, reports=2, state=ReferralState.DELIVERED, package=CANARY, reference=CANARY,
        custody=(Entry(at=at(9), who="notify", what="delivered"),),
    )  # fmt: skip
    uow.put(notify_store.REFERRALS, referral)


async def told(desks: dict[str, Desk], given: str):
    trail = Trail(given)
    lines = await trace.follow(trail, PIECES, desks)
    assert CANARY not in repr(lines)
    assert RECEIPT not in repr(lines)
    return trail, [(service, line.what, line.id, line.state) for service, line in lines]


PATH = [
    ("triage", "case opened", CASE, ""),
    ("triage", "decided: dispatch", "dec1", "confirmed"),
    ("triage", "dispatch asked for", DISPATCH, "sent"),
    ("triage", "referral asked for", REFERRAL, "requested"),
    ("platform-gateway", "dispatch sent", DISPATCH, ""),
    ("platform-gateway", "dispatch", DISPATCH, "sent"),
    ("notify", "referral: delivered", REFERRAL, ""),
    ("notify", "referral", REFERRAL, "delivered"),
]
TYPED = receipt.grouped(RECEIPT).lower()


@pytest.mark.parametrize("given", [RECEIPT, TYPED, REPORT])
async def test_the_whole_path_of_a_report(desks, given) -> None:
    trail, lines = await told(desks, given)
    assert (trail.reports, trail.cases) == ({REPORT}, {CASE})
    assert (trail.dispatches, trail.referrals) == ({DISPATCH}, {REFERRAL})
    assert [line for line in lines if line in PATH] == PATH  # in the order of their times
    assert lines[0] == ("intake", "report received", REPORT, "stored")
    assert ("intake", "message", "m1", "") in lines
    assert ("intake", "case as intake knows it", CASE, "in_progress") in lines
    assert ("intake", "case link", OTHER_CASE, "left") in lines
    assert ("notify", "notification", MESSAGE, "pending") in lines
    assert ("notify", "reporter's contact", REPORT, "may be written to") in lines
    assert [(w, s) for _, w, _, s in lines].count(("event not sent yet", "pending")) == 1
    assert not any(what == "data key" for _, what, _, _ in lines)


@pytest.mark.parametrize("given", [CASE, DISPATCH, REFERRAL])
async def test_from_the_middle_to_the_end_but_to_no_reporter(desks, given) -> None:
    """A case has many reporters, and whoever asks about the case has not asked about them."""
    trail, lines = await told(desks, given)
    assert (trail.reports, trail.cases) == (set(), {CASE})
    assert [line for line in lines if line in PATH] == PATH
    assert REPORT not in repr(lines)


@pytest.mark.parametrize("given", ["", "nothing", UNKNOWN, "$where", "0" * 32])
async def test_nothing_known(desks, given) -> None:
    trail, lines = await told(desks, given)
    assert (trail.ids, lines) == (set(), [])


async def test_a_withdrawn_report_says_that_it_is_erased(desks) -> None:
    desk = desks["intake"]
    uow = UnitOfWork(desk.store, desk.clock, "/wasl/intake", Vault({"m": b"m" * 32}))
    await uow.keys.destroy(REPORT)
    await desk.store.commit(uow.changes())
    _, lines = await told(desks, REPORT)
    assert ("intake", "data key", REPORT, "destroyed") in lines


async def test_a_paused_connector_is_said(desks) -> None:
    lines = await loaded(gateway.OPERATIONS.trace)(desks["platform-gateway"], Trail(DISPATCH))
    assert "connector paused" in next(li.detail for li in lines if li.what == "dispatch")
