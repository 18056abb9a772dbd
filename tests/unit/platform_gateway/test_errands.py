# SPDX-License-Identifier: Apache-2.0
"""What a partner is told about a request it has: reminders up the ladder, corrections, withdrawals; and
requests that leave together, in the hours in which somebody reads them."""

import asyncio
import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from wasl_connector_sdk import (
    AmbiguousOutcome,
    CredentialsRejected,
    Idempotency,
    Inbox,
    Outcome,
    PersonNeeded,
    RateLimited,
    Receipt,
    StatusUpdate,
    SubmissionRefused,
    TransientError,
)
from wasl_platform_gateway.domain import ledger
from wasl_platform_gateway.domain.agreed import reminder_of, sending_time
from wasl_platform_gateway.domain.ledger import Dispatch, Errand, Said
from wasl_platform_gateway.repository import LEDGER
from wasl_schemas.country_pack import ContactHours, EscalationStep, Span, Weekday, load_country_pack
from wasl_schemas.events.common import Ground, Severity
from wasl_schemas.events.dispatch_requested_v1 import DispatchItem, DispatchRequestedV1
from wasl_schemas.lifecycle import UNDOABLE

PACK = Path(__file__).resolve().parents[3] / "deploy" / "country-packs" / "ma"
#: Reminders an hour, a day and three days after sending; the second rung after a day.
TIMES = ((1, "desk"), (24, "policy"), (72, "policy"))


def ladder(row, after):
    if row.sent_at is None:
        return None
    for hours, role in TIMES:
        if (at := row.sent_at + timedelta(hours=hours)) > after:
            return at, role
    return None


class Desk:
    """What a partner's desk heard beyond requests; answers each call from its script."""

    def __init__(self):
        self.reminders = []
        self.corrections = []
        self.withdrawals = []
        self.groups = []
        self.script = []

    def _answer(self):
        if self.script and (said := self.script.pop(0)) is not None:
            raise said


def partner_of(kit, *abilities, **more):
    """A connector with these abilities, and the desk behind it."""
    desk, fake = Desk(), kit.FakePartner()
    connector = kit.make_connector(fake, **more)

    async def remind(self, reminder):
        desk._answer()
        desk.reminders.append((reminder.number, reminder.role, reminder.reference))

    async def correct(self, reference, submission):
        desk._answer()
        desk.corrections.append((reference, submission.revision, submission.explanation))

    async def withdraw(self, reference, reason):
        desk._answer()
        desk.withdrawals.append((reference, reason))

    async def submit_group(self, submissions):
        desk._answer()
        desk.groups.append([s.idempotency_key for s in submissions])
        return [Receipt(reference=f"G-{s.idempotency_key[-4:]}") for s in submissions]

    made = {
        "remind": remind,
        "correct": correct,
        "withdraw": withdraw,
        "submit_group": submit_group,
    }
    for name in abilities:
        setattr(connector, name, made[name])
    return connector, desk, fake


def changes(gateway, number):
    return [str(news.change) for news in gateway.news(number)]


# -- reminders ---------------------------------------------------------------------------------------


async def test_reminders_climb_the_ladder_and_are_told(kit):
    connector, desk, _ = partner_of(kit, "remind")
    gateway = kit.Gateway(connector, reminder=ladder)
    await gateway.request(1)
    await gateway.run_for(3600 * 80, step=900)
    assert [(n, role) for n, role, _ in desk.reminders] == [
        (1, "desk"),
        (2, "policy"),
        (3, "policy"),
    ]
    assert changes(gateway, 1) == ["state", "reminded", "escalated", "reminded"]
    assert [n.reminders for n in gateway.news(1)] == [0, 1, 2, 3]
    assert [n.role for n in gateway.news(1)] == [None, None, "policy", None]
    assert gateway.row(1).state == "sent"


async def test_an_answer_ends_the_reminders(kit):
    connector, desk, _ = partner_of(kit, "remind", polling=True)
    gateway = kit.Gateway(connector, reminder=ladder)
    await gateway.request(1)
    await gateway.run_for(3600 * 2, step=600)
    await gateway.desk.outcome("dispatch-0001", Said("removed"))
    await gateway.run_for(3600 * 80, step=3600)
    assert len(desk.reminders) == 1


async def test_an_item_seen_gone_ends_the_reminders(kit):
    connector, desk, _ = partner_of(kit, "remind")
    gateway = kit.Gateway(connector, reminder=ladder)
    await gateway.request(1)
    await gateway.run()
    uow = gateway.hub.unit()
    row = await uow.get(LEDGER, "dispatch-0001")
    uow.put(LEDGER, ledger.seen_gone(row, uow.now())[-1])
    await gateway.hub.commit(uow)
    await gateway.run_for(3600 * 80, step=3600)
    assert desk.reminders == []
    assert gateway.row(1).state == "seen_gone"


async def test_a_time_without_a_hub_brings_one_reminder_not_three(kit):
    connector, desk, _ = partner_of(kit, "remind")
    gateway = kit.Gateway(connector, reminder=ladder)
    await gateway.request(1)
    await gateway.run()
    gateway.clock.advance(timedelta(hours=30))
    await gateway.run()
    assert [n for n, _, _ in desk.reminders] == [1]
    gateway.clock.advance(timedelta(hours=50))
    await gateway.run()
    assert [n for n, _, _ in desk.reminders] == [1, 2]


@pytest.mark.parametrize("abilities", [(), ("remind",)])
async def test_where_no_machine_can_remind_a_person_is_asked(kit, abilities):
    connector, desk, _ = partner_of(kit, *abilities)
    desk.script = [PersonNeeded("Call the desk about CANARY.")] * 3
    gateway = kit.Gateway(connector, reminder=ladder)
    await gateway.request(1)
    await gateway.run_for(3600 * 80, step=900)
    assert changes(gateway, 1) == ["state", *["reminder_due"] * 3]
    assert [n.role for n in gateway.news(1)] == [None, "desk", "policy", "policy"]
    sheet = await gateway.desk.sheet("dispatch-0001")
    assert sheet.packet == ("Call the desk about CANARY." if abilities else None)
    assert "CANARY" not in str(gateway.store.docs["ledger"])
    errands = gateway.hub.metrics.exposition().decode()
    assert (
        'wasl_dispatch_errands_total{connector="fake",errand="remind",result="person"} 3.0'
        in errands
    )


async def test_a_reminder_whose_answer_is_lost_is_not_sent_again(kit):
    connector, desk, _ = partner_of(kit, "remind")
    desk.script = [AmbiguousOutcome("lost", reason="no_answer")]
    gateway = kit.Gateway(connector, reminder=ladder)
    await gateway.request(1)
    await gateway.run_for(3600 * 20, step=900)
    assert desk.script == []
    assert desk.reminders == []
    assert gateway.row(1).reminders == 1


async def test_a_process_that_dies_in_a_reminder_does_not_send_it_twice(kit):
    connector, desk, _ = partner_of(kit, "remind")
    desk.script = [asyncio.CancelledError()]
    gateway = kit.Gateway(connector, reminder=ladder)
    await gateway.request(1)
    await gateway.run()
    gateway.clock.advance(timedelta(hours=2))
    with suppress(asyncio.CancelledError):
        await gateway.run()
    assert gateway.row(1).reminding_since is not None
    other = kit.Gateway(connector, reminder=ladder, hub=gateway.hub)
    gateway.clock.advance(timedelta(hours=1))
    await other.run()
    assert desk.reminders == []
    assert (other.row(1).reminders, other.row(1).reminding_since) == (1, None)


@pytest.mark.parametrize(
    "error",
    [
        TransientError("away"),
        RateLimited("slow", retry_after=60),
        CredentialsRejected("401"),
    ],
)
async def test_a_reminder_that_did_not_leave_is_tried_again(kit, error):
    connector, desk, _ = partner_of(kit, "remind")
    desk.script = [error]
    gateway = kit.Gateway(connector, reminder=ladder)
    await gateway.request(1)
    await gateway.run_for(3600 * 3, step=60)
    assert [n for n, _, _ in desk.reminders] == [1]


async def test_a_desk_that_stays_away_is_reminded_by_a_person(kit):
    connector, desk, _ = partner_of(kit, "remind")
    desk.script = [TransientError("away")] * 3
    gateway = kit.Gateway(connector, reminder=ladder)
    await gateway.request(1)
    await gateway.run_for(3600 * 3, step=60)
    assert changes(gateway, 1) == ["state", "reminder_due"]


async def test_two_replicas_send_one_reminder(kit):
    connector, desk, _ = partner_of(kit, "remind")
    one = kit.Gateway(connector, reminder=ladder)
    two = kit.Gateway(connector, reminder=ladder, hub=one.hub)
    await one.request(*range(1, 6))
    await one.run()
    one.clock.advance(timedelta(hours=2))
    await asyncio.gather(one.run(), two.run())
    assert len(desk.reminders) == 5
    assert len({reference for _, _, reference in desk.reminders}) == 5


# -- the country pack's ladder -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pack():
    return load_country_pack(PACK)


def with_partner(pack, **changes):
    found = pack.partners["meta"].model_copy(update=changes)
    other = load_country_pack(PACK)
    other.partners = {**other.partners, "meta": found}
    return other


def sent_row(kit, severity="critical", at=datetime(2026, 3, 2, 9, tzinfo=UTC)):
    return Dispatch(
        dispatch_id="d", case_id="c", connector="x", partner="meta", category="threats",
        severity=Severity(severity), ground_kind="law", ground_ref="l", scope="MA", language="en",
        requested_at=at, deadline=at, item="i", urgent=severity in ("critical", "high"),
        changed_at=at, sent_at=at, state="sent",
    )  # fmt: skip


def test_the_packs_reminders_come_in_order_and_then_daily(kit, pack):
    row, reminder = sent_row(kit), reminder_of(pack)
    at, seen = row.sent_at, []
    for _ in range(5):
        at, role = reminder(row, at)
        seen.append(((at - row.sent_at).total_seconds() / 3600, role))
    assert seen == [
        (4, None), (12, None), (24, "case-desk"), (48, "case-desk"), (72, "case-desk"),
    ]  # fmt: skip
    at, role = reminder(row, row.sent_at + timedelta(days=9))
    assert (at - row.sent_at, role) == (timedelta(days=10), "regional-policy")


def test_a_severity_without_a_daily_reminder_stops(kit, pack):
    row, reminder = sent_row(kit, "low"), reminder_of(pack)
    assert reminder(row, row.sent_at + timedelta(days=31)) is None


HOURS = ContactHours(
    timezone="Europe/Dublin",
    days=(Weekday.MONDAY, Weekday.TUESDAY, Weekday.WEDNESDAY, Weekday.THURSDAY, Weekday.FRIDAY),
    opens="09:00", closes="17:00",
)  # fmt: skip


@pytest.mark.parametrize(
    ("at", "opens"),
    [
        ("2026-03-02T10:00:00+00:00", "2026-03-02T10:00:00+00:00"),
        ("2026-03-02T08:59:00+00:00", "2026-03-02T09:00:00+00:00"),
        ("2026-03-02T17:00:00+00:00", "2026-03-03T09:00:00+00:00"),
        ("2026-03-06T20:00:00+00:00", "2026-03-09T09:00:00+00:00"),
        ("2026-03-07T10:00:00+00:00", "2026-03-09T09:00:00+00:00"),
        ("2026-07-06T07:00:00+00:00", "2026-07-06T08:00:00+00:00"),  # summer time
    ],
)
def test_hours_of_a_contact(at, opens):
    assert HOURS.next_open(datetime.fromisoformat(at)) == datetime.fromisoformat(opens)


async def test_what_is_not_urgent_waits_for_hours_and_group(kit, pack):
    pack = with_partner(pack, hours=HOURS, group=Span(hours=2))
    due, data = sending_time(pack), await kit_request(kit)
    night = datetime(2026, 3, 2, 20, 15, tzinfo=UTC)
    assert due(data("low"), night) == datetime(2026, 3, 3, 9, tzinfo=UTC)
    assert due(data("critical"), night) == night
    day = datetime(2026, 3, 3, 10, 15, tzinfo=UTC)
    assert due(data("medium"), day) == due(data("low"), day + timedelta(minutes=30))
    assert due(data("low"), day) == datetime(2026, 3, 3, 12, tzinfo=UTC)


async def kit_request(kit):
    now = datetime(2026, 3, 2, 20, 15, tzinfo=UTC)

    def data(severity):
        return DispatchRequestedV1(
            dispatch_id="dispatch-1", case_id="case-0001", connector="x", partner="meta", category="threats",
            severity=severity, ground=Ground(kind="law", ref="l"), scope="MA", language="en",
            automatic=False, requested_at=now, due=now, item="s1.c." + "A" * 40,
        )  # fmt: skip

    return data


def test_reminders_keep_the_hours_too(kit, pack):
    pack = with_partner(
        pack, hours=HOURS, escalation=(EscalationStep(role="owner", after=Span(days=3)),)
    )
    row = sent_row(kit, "medium", datetime(2026, 2, 28, 12, tzinfo=UTC))  # a Saturday
    assert reminder_of(pack)(row, row.sent_at) == (datetime(2026, 3, 9, 9, tzinfo=UTC), "owner")


# -- corrections and withdrawals -------------------------------------------------------------------


async def amend(gateway, number, revision, *, withdrawn=None, words="Other words.", ref="law.2"):
    uow = gateway.hub.unit()
    case = f"case-{number:04}"
    await uow.keys.load([case])
    item = DispatchItem(
        location="https://example.org/x", platform="web", kind="post", explanation=words
    )
    sealed = await uow.keys.seal(case, "case.item", item.model_dump_json())
    return await gateway.request(
        number,
        revision=revision,
        withdrawn=withdrawn,
        item=sealed,
        ground=Ground(kind="law", ref=ref),
    )


async def test_what_has_not_left_is_replaced_or_not_sent_at_all(kit):
    connector, desk, partner = partner_of(kit, "withdraw", "correct")
    gateway = kit.Gateway(connector)
    await gateway.request(1, 2)
    await amend(gateway, 1, 1)
    await amend(gateway, 2, 1, withdrawn="sent_in_error")
    await gateway.run()
    assert [s.explanation for s in partner.submissions] == ["Other words."]
    assert partner.submissions[0].ground.ref == "law.2"
    assert (gateway.row(1).state, gateway.row(2).state) == ("sent", "withdrawn")
    assert desk.corrections == desk.withdrawals == []


async def test_the_measure_reaches_the_partner_and_changes_with_a_correction(kit):
    connector, desk, partner = partner_of(kit, "correct")
    gateway = kit.Gateway(connector)
    await gateway.request(1, measure="label")
    await gateway.request(2)
    await gateway.run()
    assert [s.measure for s in partner.submissions] == ["label", None]
    await gateway.request(1, measure="remove", revision=1)
    await gateway.run()
    assert gateway.row(1).measure == "remove"
    assert [revision for _, revision, _ in desk.corrections] == [1]


async def test_what_may_have_arrived_is_corrected_once_it_has(kit):
    connector, desk, partner = partner_of(kit, "correct")
    partner.script = ["transient", "taken, answer lost"]
    gateway = kit.Gateway(connector)
    await gateway.request(1, 2)
    await gateway.run()
    await amend(gateway, 1, 1)
    await amend(gateway, 2, 1)
    await gateway.run_for(30, step=1)
    assert gateway.states() == {"sent": 2}
    # The first surely had not arrived: it left in its new words.
    assert [reference for reference, *_ in desk.corrections] == [gateway.row(2).reference]


async def test_what_a_partner_has_is_corrected_and_taken_back(kit):
    connector, desk, _ = partner_of(kit, "withdraw", "correct")
    gateway = kit.Gateway(connector)
    await gateway.request(1, 2)
    await gateway.run()
    await amend(gateway, 1, 1)
    await amend(gateway, 2, 1, withdrawn="sent_in_error")
    await gateway.run()
    assert [(revision, words) for _, revision, words in desk.corrections] == [(1, "Other words.")]
    assert [reason for _, reason in desk.withdrawals] == ["sent_in_error"]
    assert changes(gateway, 1) == ["state", "corrected"]
    assert (gateway.row(1).state, gateway.row(2).state) == ("sent", "withdrawn")
    assert gateway.row(2).reason == "sent_in_error"


async def test_old_and_repeated_revisions_have_no_effect(kit):
    connector, desk, _ = partner_of(kit, "correct")
    gateway = kit.Gateway(connector)
    await gateway.request(1)
    await gateway.run()
    for revision in (2, 1, 2, 0):
        await amend(gateway, 1, revision, words=f"Words {revision}.")
        await gateway.run()
    assert [(revision, words) for _, revision, words in desk.corrections] == [(2, "Words 2.")]
    assert [(n.version, n.revision) for n in gateway.news(1)][-1] == (2, 2)


async def test_a_withdrawal_overtakes_a_correction(kit):
    connector, desk, _ = partner_of(kit, "withdraw", "correct")
    gateway = kit.Gateway(connector)
    await gateway.request(1)
    await gateway.run()
    await amend(gateway, 1, 1)
    await amend(gateway, 1, 2, withdrawn="no_longer_needed")
    await gateway.run()
    assert desk.corrections == []
    assert gateway.row(1).state == "withdrawn"


@pytest.mark.parametrize(
    "error", [SubmissionRefused("no", code="closed"), PersonNeeded("Write."), None]
)
@pytest.mark.parametrize("kind", [Errand.WITHDRAW, Errand.CORRECT])
async def test_what_no_machine_can_tell_is_a_persons_task(kit, error, kind):
    connector, desk, _ = partner_of(kit, *(["withdraw", "correct"] if error else []))
    desk.script = [error] if error else []
    gateway = kit.Gateway(connector)
    await gateway.request(1)
    await gateway.run()
    await amend(gateway, 1, 1, withdrawn="sent_in_error" if kind is Errand.WITHDRAW else None)
    await gateway.run_for(60, step=10)
    due = "withdrawal_due" if kind is Errand.WITHDRAW else "correction_due"
    assert changes(gateway, 1) == ["state", due]
    assert gateway.row(1).state == "sent"
    # The person told the partner, and says so.
    if kind is Errand.WITHDRAW and error is not None:
        await gateway.desk.withdraw("dispatch-0001", "sent_in_error")
        assert gateway.row(1).state == "withdrawn"


async def test_a_partner_that_is_away_hears_of_it_later(kit):
    connector, desk, _ = partner_of(kit, "withdraw")
    desk.script = [TransientError("away"), AmbiguousOutcome("lost", reason="no_answer")]
    gateway = kit.Gateway(connector)
    await gateway.request(1)
    await gateway.run()
    await amend(gateway, 1, 1, withdrawn="sent_in_error")
    await gateway.run_for(120, step=1)
    assert desk.withdrawals == [(gateway.row(1).reference, "sent_in_error")]
    assert gateway.row(1).state == "withdrawn"


async def test_a_withdrawal_in_the_middle_of_the_call_is_not_lost(kit):
    connector, desk, partner = partner_of(kit, "withdraw")
    gateway = kit.Gateway(connector)

    async def meanwhile(_key):
        await amend(gateway, 1, 1, withdrawn="sent_in_error")

    partner.before_answer = meanwhile
    await gateway.request(1)
    await gateway.run()
    await gateway.run_for(30, step=1)
    assert gateway.row(1).state == "withdrawn"
    assert len(desk.withdrawals) == 1


async def test_a_withdrawal_of_what_may_have_arrived_goes_to_a_person(kit):
    connector, _, partner = partner_of(kit, "withdraw", idempotency=Idempotency.NONE)
    partner.script = ["taken, answer lost"]
    gateway = kit.Gateway(connector)
    await gateway.request(1)
    await gateway.run()
    await amend(gateway, 1, 1, withdrawn="sent_in_error")
    await gateway.run()
    assert gateway.row(1).state == "ambiguous"
    assert changes(gateway, 1) == ["state", "withdrawal_due"]


async def test_a_dispute_waits_for_us_and_insisting_goes_back_to_the_partner(kit):
    connector, desk, _ = partner_of(kit, "correct", "remind")
    gateway = kit.Gateway(connector, reminder=ladder)
    await gateway.request(1)
    await gateway.run()
    await gateway.desk.outcome("dispatch-0001", Said("disputed", "not_our_service"))
    assert gateway.row(1).state == "disputed"
    await gateway.run_for(3600 * 100, step=3600)
    assert desk.reminders == [], "it is our turn"
    await amend(gateway, 1, 1, words="It is your service; see page 2.")
    await gateway.run()
    assert len(desk.corrections) == 1
    assert gateway.row(1).state == "sent"
    await gateway.desk.outcome("dispatch-0001", Said("removed"))
    assert gateway.row(1).state == "removed"


async def test_a_partner_that_gave_no_answer_can_still_be_told(kit):
    connector, desk, _ = partner_of(kit, "withdraw")
    gateway = kit.Gateway(connector)
    await gateway.request(1)
    await gateway.run_for(3600 * 24 * 16, step=3600 * 12)
    assert gateway.row(1).state == "no_reply"
    await amend(gateway, 1, 1, withdrawn="no_longer_needed")
    await gateway.run()
    assert gateway.row(1).state == "withdrawn"
    assert len(desk.withdrawals) == 1


@pytest.mark.parametrize("did", sorted(UNDOABLE))
async def test_what_a_partner_did_it_is_told_to_undo(kit, did):
    connector, desk, _ = partner_of(kit, "withdraw")
    gateway = kit.Gateway(connector)
    await gateway.request(1)
    await gateway.run()
    if did == "seen_gone":
        row = gateway.row(1)
        steps = ledger.seen_gone(row, gateway.clock.now())
        await gateway.desk._change("dispatch-0001", lambda *_: steps)
    else:
        await gateway.desk.outcome("dispatch-0001", Said(did.value))
    await gateway.run()
    assert (gateway.row(1).state, desk.withdrawals) == (did, [])
    await amend(gateway, 1, 1, withdrawn="decided_anew")
    await gateway.run()
    assert desk.withdrawals == [(gateway.row(1).reference, "decided_anew")]
    assert (gateway.row(1).state, gateway.row(1).reason) == ("withdrawn", "decided_anew")


async def test_no_machine_can_have_it_undone_so_a_person_does(kit):
    connector, *_ = partner_of(kit)
    gateway = kit.Gateway(connector)
    await gateway.request(1)
    await gateway.run()
    await gateway.desk.outcome("dispatch-0001", Said("removed"))
    await amend(gateway, 1, 1, withdrawn="decided_anew")
    await gateway.run_for(60, step=10)
    assert changes(gateway, 1) == ["state", "state", "withdrawal_due"]
    row = gateway.row(1)
    assert (row.state, row.wanted, row.due_at) == ("removed", None, None)


async def test_what_is_settled_is_not_corrected(kit):
    connector, desk, _ = partner_of(kit, "correct")
    gateway = kit.Gateway(connector)
    await gateway.request(1)
    await gateway.run()
    await gateway.desk.outcome("dispatch-0001", Said("removed"))
    await amend(gateway, 1, 1)
    await gateway.run_for(60, step=10)
    assert (gateway.row(1).wanted, desk.corrections) == (None, [])


async def test_a_partner_that_acts_while_it_is_taken_back_is_told_to_undo_it(kit):
    connector, desk, _ = partner_of(kit, "withdraw")
    gateway = kit.Gateway(connector)
    await gateway.request(1)
    await gateway.run()
    await amend(gateway, 1, 1, withdrawn="decided_anew")
    await gateway.desk.outcome("dispatch-0001", Said("removed"))
    await gateway.run()
    assert gateway.row(1).state == "withdrawn"
    assert len(desk.withdrawals) == 1


async def test_what_a_partner_writes_is_news(kit):
    connector, *_ = partner_of(kit, polling=True)

    async def collect(self, cursor):
        update = StatusUpdate(
            outcome=Outcome.PENDING,
            idempotency_key="dispatch-0001",
            event_id="m1",
            reply="Which page?",
        )
        return Inbox(updates=(update,), cursor="1")

    connector.collect = collect
    gateway = kit.Gateway(connector)
    await gateway.request(1)
    await gateway.run()
    await gateway.answers.collect()
    await gateway.answers.collect()
    assert changes(gateway, 1) == ["state", "replied"]
    sheet = await gateway.desk.sheet("dispatch-0001")
    assert [text for _, text in sheet.replies] == ["Which page?"]
    assert "Which page" not in json.dumps(str(gateway.store.docs))


# -- groups ----------------------------------------------------------------------------------------


async def test_what_is_not_urgent_leaves_as_one(kit):
    connector, desk, partner = partner_of(kit, "submit_group")
    gateway = kit.Gateway(connector)
    await gateway.request(1, 2, 3)
    await gateway.request(4, severity="critical")
    await gateway.request(5, language="fr")
    await gateway.run()
    assert desk.groups == [["dispatch-0001", "dispatch-0002", "dispatch-0003"]]
    assert {s.idempotency_key for s in partner.submissions} == {"dispatch-0004", "dispatch-0005"}
    assert [gateway.row(n).reference for n in (1, 2, 3)] == ["G-0001", "G-0002", "G-0003"]
    assert gateway.states() == {"sent": 5}


async def test_a_group_that_fails_fails_for_each_and_is_tried_alone(kit):
    connector, desk, partner = partner_of(kit, "submit_group")
    desk.script = [TransientError("away")]
    gateway = kit.Gateway(connector)
    await gateway.request(1, 2)
    await gateway.run_for(30, step=1)
    assert desk.groups == []
    assert sorted(s.idempotency_key for s in partner.submissions) == [
        "dispatch-0001",
        "dispatch-0002",
    ]
    assert gateway.states() == {"sent": 2}


async def test_a_group_that_one_request_spoils_goes_request_by_request(kit):
    connector, desk, partner = partner_of(kit, "submit_group")
    desk.script = [SubmissionRefused("no", code="too_long")]
    partner.script = ["refused"]
    gateway = kit.Gateway(connector)
    await gateway.request(1, 2, 3)
    await gateway.run()
    assert gateway.states() == {"sent": 2, "refused": 1}


async def test_a_group_that_fails_says_one_thing_about_the_partner(kit):
    connector, desk, _ = partner_of(kit, "submit_group")
    desk.script = [TransientError("away")]
    gateway = kit.Gateway(connector)
    await gateway.request(*range(1, 21))
    await gateway.run()
    assert (gateway.lane().failures, gateway.lane().open_until) == (1, None)


async def test_a_message_is_not_longer_than_a_person_reads(kit):
    connector, desk, _ = partner_of(kit, "submit_group")
    gateway = kit.Gateway(connector)
    await gateway.request(*range(1, 46))
    await gateway.run()
    assert [len(g) for g in desk.groups] == [20, 20, 5]


async def test_a_group_with_a_receipt_missing_is_in_doubt(kit):
    connector, *_ = partner_of(kit, idempotency=Idempotency.NONE)

    async def submit_group(self, submissions):
        return [Receipt(reference="one")]

    connector.submit_group = submit_group
    gateway = kit.Gateway(connector)
    await gateway.request(1, 2)
    await gateway.run()
    assert gateway.states() == {"ambiguous": 2}
