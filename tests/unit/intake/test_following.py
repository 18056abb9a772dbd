# SPDX-License-Identifier: Apache-2.0
"""Behind the receipt: the timeline in any order, the thread, and taking a report back."""

import random
from datetime import timedelta
from typing import Any

import pytest
from wasl_chassis.failures import KeyDestroyed, Permanent
from wasl_intake.domain import receipt
from wasl_schemas import topics
from wasl_schemas.events.case_opened_v1 import CaseOpenedV1
from wasl_schemas.events.case_updated_v1 import CaseChange, CaseUpdatedV1
from wasl_schemas.events.common import Severity
from wasl_schemas.events.dispatch_updated_v1 import DispatchUpdatedV1
from wasl_schemas.events.referral_updated_v1 import ReferralUpdatedV1
from wasl_schemas.events.staff_message_sent_v1 import StaffMessageSentV1
from wasl_schemas.ids import uuid7
from wasl_schemas.lifecycle import CaseState, DispatchState, ReferralState

CASE = "case0001"


def opened(portal: Any, report_id: str, case: str = CASE) -> Any:
    now = portal.hub.clock.now()
    data = CaseOpenedV1(
        case_id=case,
        version=1,
        report_id=report_id,
        category="threats",
        severity=Severity.HIGH,
        platform="web",
        item_kind="page",
        opened_at=now,
        first_look_due=now + timedelta(hours=1),
    )
    return portal.hub.event(topics.CASE_OPENED_V1, data)


def updated(
    portal: Any,
    version: int,
    change: CaseChange,
    state: CaseState,
    case: str = CASE,
    **more: Any,
) -> Any:
    data = CaseUpdatedV1(
        case_id=case,
        version=version,
        change=change,
        state=state,
        severity=Severity.HIGH,
        category="threats",
        changed_at=portal.hub.clock.now(),
        **more,
    )
    return portal.hub.event(topics.CASE_UPDATED_V1, data)


def dispatched(portal: Any, version: int, state: DispatchState) -> Any:
    data = DispatchUpdatedV1(
        dispatch_id="dispatch1",
        case_id=CASE,
        version=version,
        connector="reference",
        partner="example-desk",
        state=state,
        attempts=1,
        changed_at=portal.hub.clock.now(),
    )
    return portal.hub.event(topics.DISPATCH_UPDATED_V1, data)


def referred(portal: Any) -> Any:
    data = ReferralUpdatedV1(
        referral_id="referral1",
        case_id=CASE,
        version=1,
        authority="police",
        state=ReferralState.DELIVERED,
        changed_at=portal.hub.clock.now(),
    )
    return portal.hub.event(topics.REFERRAL_UPDATED_V1, data)


async def staff_message(portal: Any, report_id: str, text: str, *, question: bool = False) -> Any:
    sealed = await portal.hub.unit().keys.seal(report_id, "report.message", text)
    data = StaffMessageSentV1(
        message_id=uuid7(),
        case_id=CASE,
        report_id=report_id,
        sent_at=portal.hub.clock.now(),
        question=question,
        body=sealed,
    )
    return portal.hub.event(topics.STAFF_MESSAGE_SENT_V1, data)


def life(portal: Any, report_id: str) -> list[Any]:
    """A case from opened to removed."""
    events = []
    for make in (
        lambda: opened(portal, report_id),
        lambda: updated(portal, 2, CaseChange.ASSESSED, CaseState.ASSESSED, advice="do-not-pay"),
        lambda: updated(portal, 3, CaseChange.DECIDED, CaseState.IN_PROGRESS),
        lambda: dispatched(portal, 1, DispatchState.REQUESTED),
        lambda: dispatched(portal, 2, DispatchState.SENT),
        lambda: referred(portal),
        lambda: dispatched(portal, 3, DispatchState.REMOVED),
        lambda: updated(portal, 4, CaseChange.OUTCOME, CaseState.RESOLVED),
    ):
        portal.later(minutes=1)
        events.append(make())
    return events


async def test_status_grows_with_the_case(portal: Any) -> None:
    code = await portal.send(language="fr")
    first = (await portal.follow(code)).json()
    assert (first["status"], first["language"], first["can_withdraw"]) == ("received", "fr", True)
    assert [line["kind"] for line in first["timeline"]] == ["received"]
    statuses = []
    for event in life(portal, portal.report_id(code)):
        await portal.learn([event])
        statuses.append((await portal.follow(code)).json()["status"])
    assert statuses == [
        "received", "in_review", "in_review", "in_review", "sent_partner", "sent_partner",
        "sent_partner", "removed",
    ]  # fmt: skip
    last = (await portal.follow(code, accept_language="en;q=0.8")).json()
    assert last["status_text"] == "[en] Status: removed"
    assert [line["kind"] for line in last["timeline"]] == [
        "received", "case_opened", "case_assessed", "case_decided", "dispatch_sent",
        "referral_delivered", "dispatch_removed", "case_resolved",
    ]  # fmt: skip
    assert "example-desk" in last["timeline"][4]["text"]
    assert [card["id"] for card in last["advice"]] == ["do-not-pay"]


@pytest.mark.parametrize("seed", range(6))
async def test_any_order_and_duplicates_end_in_the_same_timeline(portal: Any, seed: int) -> None:
    code = await portal.send()
    events = life(portal, portal.report_id(code))
    await portal.learn(events)
    straight = (await portal.follow(code)).json()
    for name in ("links", "case_views"):
        portal.hub.store.docs[name].clear()
    mixed = events + random.Random(seed).sample(events, 4)
    random.Random(seed).shuffle(mixed)
    half = len(mixed) // 2
    await portal.learn(mixed[:half], prefetch=bool(seed % 2))
    await portal.learn(mixed[half:])
    assert (await portal.follow(code)).json() == straight


async def test_a_batch_costs_two_reads(portal: Any) -> None:
    codes = [await portal.send() for _ in range(20)]
    events = [opened(portal, portal.report_id(c), f"case-number-{i}") for i, c in enumerate(codes)]
    portal.hub.store.calls.clear()
    await portal.learn(events)
    assert portal.hub.store.calls == ["read case_views 20", "read links 20"]
    assert portal.hub.counts()["case_views"] == portal.hub.counts()["links"] == 20


async def test_many_reports_one_case_and_many_cases_one_report(portal: Any) -> None:
    one, two = await portal.send(), await portal.send()
    await portal.learn([opened(portal, portal.report_id(one))])
    join = updated(
        portal, 2, CaseChange.REPORT_JOINED, CaseState.OPEN, report_id=portal.report_id(two)
    )
    other = opened(portal, portal.report_id(two), "case0002")
    done = updated(portal, 3, CaseChange.OUTCOME, CaseState.RESOLVED)
    await portal.learn([done, other, join])
    assert (await portal.follow(one)).json()["status"] == "removed"
    # Its second case is still open, and the least finished one speaks.
    assert (await portal.follow(two)).json()["status"] == "received"
    left = updated(
        portal, 2, CaseChange.REPORT_LEFT, CaseState.OPEN, case="case0002",
        report_id=portal.report_id(two),
    )  # fmt: skip
    await portal.learn([left])
    assert (await portal.follow(two)).json()["status"] == "removed"


async def test_a_later_report_does_not_learn_of_earlier_ones(portal: Any) -> None:
    first = await portal.send()
    events = life(portal, portal.report_id(first))
    await portal.learn(events)
    portal.later(minutes=5)
    second = await portal.send()
    join = updated(
        portal, 5, CaseChange.REPORT_JOINED, CaseState.RESOLVED, report_id=portal.report_id(second)
    )
    await portal.learn([join])
    seen = (await portal.follow(second)).json()
    assert [line["kind"] for line in seen["timeline"]] == ["received"]
    assert seen["status"] == "removed"


async def test_the_thread_goes_both_ways(portal: Any) -> None:
    code = await portal.send()
    report_id = portal.report_id(code)
    portal.later(minutes=1)
    await portal.learn([await staff_message(portal, report_id, "Which account?", question=True)])
    asked = (await portal.follow(code)).json()
    assert asked["status"] == "need_info"
    portal.later(minutes=1)
    assert (await portal.write(code, "  The second one.\r\nThank you ")).status_code == 202
    seen = (await portal.follow(code)).json()
    assert seen["status"] == "received"
    assert [(m["from"], m["question"], m["text"]) for m in seen["messages"]] == [
        ("staff", True, "Which account?"),
        ("reporter", False, "The second one.\nThank you"),
    ]
    (event,) = portal.hub.events(topics.REPORTER_MESSAGE_SENT_V1)
    assert event.data.report_id == report_id
    text = await portal.hub.unit().keys.open(event.data.body, "report.message")
    assert text == "The second one.\nThank you"


async def test_the_same_staff_message_arrives_once(portal: Any) -> None:
    code = await portal.send()
    event = await staff_message(portal, portal.report_id(code), "Hello")
    await portal.learn([event, event])
    await portal.learn([event])
    assert len((await portal.follow(code)).json()["messages"]) == 1


async def test_a_repeated_message_is_one_message(portal: Any) -> None:
    code, key = await portal.send(), "a-key-of-the-client"
    for _ in range(3):
        assert (await portal.write(code, "hello", idempotency_key=key)).status_code == 202
    assert len((await portal.follow(code)).json()["messages"]) == 1
    assert len(portal.hub.events(topics.REPORTER_MESSAGE_SENT_V1)) == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [("", "body"), (" \n", "body"), ("x" * 5001, "body"), (5, "body"), ("a\x07b", "body")],
)
async def test_bad_messages_are_refused(portal: Any, body: Any, field: str) -> None:
    code = await portal.send()
    answer = await portal.write(code, body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field
    assert not portal.hub.events(topics.REPORTER_MESSAGE_SENT_V1)


async def test_a_thread_ends_somewhere(portal: Any) -> None:
    code = await portal.send()
    answers = [await portal.write(code, f"message {i}") for i in range(6)]
    assert [a.status_code for a in answers] == [202] * 5 + [409]


async def test_withdrawal_destroys_the_key_in_the_commit_that_says_so(portal: Any) -> None:
    hub = portal.hub
    code = await portal.send(
        narrative="hello there", contact={"channel": "email", "address": "a@example.org"}
    )
    report_id = portal.report_id(code)
    await portal.write(code, "one more thing")
    sealed = hub.events(topics.REPORT_SUBMITTED_V1)[0].data.content
    assert (await portal.withdraw(code)).status_code == 204
    with pytest.raises(KeyDestroyed):
        await hub.unit().keys.open(sealed, "report.content")
    kept = hub.store.docs["reports"][report_id]
    assert (kept["content"], kept["contact_address"], kept["contact_channel"]) == (None, None, None)
    assert hub.store.docs["keys"][report_id]["wrapped"] is None
    (event,) = hub.events(topics.REPORT_WITHDRAWN_V1)
    assert event.data.report_id == report_id
    seen = (await portal.follow(code)).json()
    assert (seen["status"], seen["can_withdraw"], seen["messages"]) == ("withdrawn", False, [])
    assert [line["kind"] for line in seen["timeline"]] == ["received", "withdrawn"]
    # Again changes nothing; nothing more can be added.
    assert (await portal.withdraw(code)).status_code == 204
    assert len(hub.events(topics.REPORT_WITHDRAWN_V1)) == 1
    assert hub.metrics.value("wasl_intake_withdrawals_total") == 1
    assert (await portal.write(code, "hello again")).status_code == 409


async def test_a_failed_withdrawal_keeps_the_key(portal: Any) -> None:
    from wasl_chassis.failures import Retryable

    code = await portal.send()
    portal.hub.store.away = Retryable()
    assert (await portal.withdraw(code)).status_code == 503
    portal.hub.store.away = None
    assert (await portal.hub.content(portal.report_id(code))).narrative == "Something happened here"
    assert (await portal.follow(code)).json()["can_withdraw"]


async def test_texts_whose_key_is_gone_are_shown_as_erased(portal: Any) -> None:
    code = await portal.send()
    await portal.write(code, "hello")
    uow = portal.hub.unit()
    await uow.keys.destroy(portal.report_id(code))
    await portal.hub.store.commit(uow.changes())
    seen = (await portal.follow(code)).json()
    assert [m["text"] for m in seen["messages"]] == [None]
    assert portal.hub.metrics.value("wasl_intake_erased_reads_total") == 1


async def test_the_thread_opens_with_the_receipts_own_key_only(portal: Any) -> None:
    """A mistake that reads another's documents opens nothing, and says so instead of hiding it."""
    mine, others = await portal.send(), await portal.send()
    await portal.write(mine, "hello")
    await portal.write(others, "a secret")
    docs = portal.hub.store.docs
    for message in docs["messages"].values():
        message["report_id"] = portal.report_id(mine)  # a thread of two people's messages
    with pytest.raises(Permanent) as failure:
        await portal.handlers.follow(mine)
    assert failure.value.reason == "holder_wrong"
    answer = await portal.follow(mine)
    assert answer.status_code == 500
    assert "a secret" not in answer.text


async def test_a_stolen_id_and_all_the_stores_do_not_yield_the_holders_key(portal: Any) -> None:
    """The master key opens every text, for staff; the reporter's way to it is only the receipt."""
    code = receipt.read(await portal.send())
    doc = portal.hub.store.docs["keys"][portal.report_id(code)]
    assert doc["held"].startswith("h.")
    assert doc["wrapped"].partition(".")[2] != doc["held"].partition(".")[2]
    await portal.write(code, "hello")
    (message,) = portal.hub.store.docs["messages"].values()
    key = portal.handlers._open_key
    for wrong in (code[::-1], portal.report_id(code), "", receipt.new()):
        with pytest.raises(Permanent):
            await portal.hub.unit().keys.open_with(
                receipt.holder(key, wrong), message["body"], "report.message"
            )
    opened = portal.hub.unit().keys.open_with(
        receipt.holder(key, code), message["body"], "report.message"
    )
    assert await opened == "hello"


@pytest.mark.parametrize("action", ["withdraw", "write"])
async def test_strangers_can_do_nothing(portal: Any, action: str) -> None:
    code = receipt.grouped(receipt.new())
    answer = await (portal.withdraw(code) if action == "withdraw" else portal.write(code, "hello"))
    assert answer.status_code == 404
    assert not portal.hub.counts()
    assert not portal.hub.store.outbox


@pytest.mark.parametrize("late", [False, True])
async def test_a_report_that_left_a_case_stays_away(portal: Any, late: bool) -> None:
    code = await portal.send()
    report_id = portal.report_id(code)
    joined = updated(portal, 2, CaseChange.REPORT_JOINED, CaseState.RESOLVED, report_id=report_id)
    left = updated(portal, 3, CaseChange.REPORT_LEFT, CaseState.RESOLVED, report_id=report_id)
    await portal.learn([left, joined] if late else [joined, left])
    assert (await portal.follow(code)).json()["status"] == "received"
