# SPDX-License-Identifier: Apache-2.0
"""Reports, withdrawals, messages and answers, in every order that topics and crashes can make."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from triage_world import ANA, BEA, RESEND, World, said
from wasl_chassis.failures import Conflict, Outcome, Permanent
from wasl_chassis.vault import KEYS
from wasl_schemas import topics
from wasl_schemas.country_pack import CountryPack
from wasl_schemas.events.common import Channel, Ground, GroundKind, Severity
from wasl_schemas.events.dispatch_requested_v1 import DispatchItem
from wasl_schemas.lifecycle import ACTED, DISPATCH, CaseState, DispatchState, ReferralState
from wasl_triage.casework import request_id
from wasl_triage.domain.case import Action
from wasl_triage.domain.decisions import CloseReason, Proposal
from wasl_triage.repository import CASES
from wasl_triage.rules.memory import RULE_HITS

URL = "https://www.instagram.com/p/FICTIF00006/"
SAME = "instagram.com/p/FICTIF00006?igsh=x"
PAGE = "https://example.com/fictional/item-0001"


# -- reports arrive --------------------------------------------------------------------------------


async def test_a_first_report_opens_a_case(world: World) -> None:
    report_id = await world.arrives(URL, category="scam_fraud", text="Je signale ceci.")
    case = world.case()
    assert (case.state, case.version, case.reports) == (CaseState.OPEN, 1, 1)
    assert (case.severity, case.platform, case.kind) == (Severity.MEDIUM, "instagram", "post")
    (opened,) = world.emitted(topics.CASE_OPENED_V1)
    assert (opened.case_id, opened.report_id, opened.version) == (case.id, report_id, 1)
    assert opened.first_look_due == case.first_look_due == world.clock.now() + timedelta(days=1)
    assert world.reports()[report_id].cases == (case.id,)
    assert world.dispatched() == []
    item = await world.hub.unit().keys.open(case.item, "case.item")
    assert (
        DispatchItem.model_validate_json(item).location == "https://www.instagram.com/p/FICTIF00006"
    )


async def test_one_commit_holds_one_case_one_report_one_key(world: World) -> None:
    event = await world.report(URL)
    uow = world.hub.unit()
    await world.handlers.prefetch_reports([event], uow)
    await world.handlers.on_report_submitted(event, uow)
    changes = uow.changes()
    inserted = {c.name: len(docs) for c, docs in changes.inserts.items()}
    assert inserted == {"cases": 1, "reports": 1, "keys": 1, "rule_hits": 1}
    assert (changes.replaces, changes.deletes, len(changes.outbox)) == ({}, {}, 1)


async def test_a_batch_is_read_ahead_in_four_queries(world: World) -> None:
    events = [await world.report(f"https://example.com/{n % 3}") for n in range(20)]
    asked: list[str] = []
    read = world.hub.store.read

    async def counted(collection: Any, ids: Any) -> Any:
        asked.append(collection.name)
        return await read(collection, ids)

    world.hub.store.read = counted  # type: ignore[method-assign]
    await world.deliver(*events)
    assert asked == ["keys", "reports", "cases", "keys"]


@pytest.mark.parametrize("prefetch", [True, False])
async def test_duplicates_join_one_case(world: World, prefetch: bool) -> None:
    events = [await world.report(u, category="scam_fraud") for u in (URL, SAME, URL)]
    await world.deliver(*events, prefetch=prefetch)
    await world.deliver(await world.report(SAME), prefetch=prefetch)
    case = world.case()
    assert (case.reports, case.version) == (4, 4)
    joined = world.emitted(topics.CASE_UPDATED_V1)
    assert [u.change.value for u in joined] == ["report_joined"] * 3
    assert [u.version for u in joined] == [2, 3, 4]
    assert world.count("wasl_triage_reports_total", result="joined") == 3


async def test_one_report_about_two_items_is_in_two_cases(world: World) -> None:
    report_id = await world.arrives(URL, PAGE, SAME)
    assert len(world.cases()) == 2
    assert len(world.reports()[report_id].cases) == 2


async def test_a_report_that_locates_nothing_has_its_own_case(world: World) -> None:
    for _ in range(2):
        await world.arrives("javascript:alert(1)", "http://127.0.0.1/x", text="=cmd() <b>x</b>")
    assert len(world.cases()) == 2
    assert all(not c.located and c.kind == "report" for c in world.cases())
    refused = world.count("wasl_triage_locations_refused_total", reason="scheme")
    assert refused == 2


async def test_five_reporters_raise_harm_but_not_speech(world: World) -> None:
    for n in range(6):
        await world.arrives(URL, category="scam_fraud")
        await world.arrives(f"https://example.com/{n % 1}", category="hate_speech")
    by_category = {c.category: c for c in world.cases()}
    assert by_category["scam_fraud"].severity is Severity.HIGH
    assert by_category["scam_fraud"].because == ("many-reporters",)
    assert by_category["hate_speech"].severity is Severity.MEDIUM


async def test_a_flood_is_not_many_reporters(world: World) -> None:
    await world.arrives(URL, category="scam_fraud")
    marked = [await world.arrives(URL, category="scam_fraud", flood=True) for _ in range(50)]
    before = world.case()
    assert (before.reports, before.severity) == (51, Severity.MEDIUM)
    for _ in range(3):
        await world.arrives(URL, category="scam_fraud")
    assert world.case().severity is Severity.MEDIUM
    for report_id in marked:
        await world.deliver(await world.withdrawal(report_id))
    assert (world.case().reports, world.case().severity) == (4, Severity.MEDIUM)
    await world.arrives(URL, category="scam_fraud")
    assert world.case().severity is Severity.HIGH


async def test_a_graver_report_hastens_the_clock_and_the_queue(world: World) -> None:
    await world.arrives(URL, category="defamation")
    late = world.case().first_look_due
    world.later(hours=1)
    await world.arrives(URL, category="defamation", danger_now=True, under_18=True)
    case = world.case()
    assert case.severity is Severity.CRITICAL
    assert case.first_look_due == world.clock.now() + timedelta(minutes=30) < late
    assert case.rank == 0


async def test_words_of_reporters_never_leave_the_seal(world: World) -> None:
    secret = "CANARY-7f3a 06 00 00 00 05"
    await world.arrives(f"https://example.com/{secret[:11]}", text=secret, category="csam")
    event = await world.message(next(iter(world.reports())), secret)
    await world.deliver(event)
    assert "CANARY" not in world.everything()
    assert "example.com" not in world.everything()


async def test_hostile_content_is_data(world: World, samples: list[dict[str, Any]]) -> None:
    row = next(r for r in samples if r["id"] == "S42")
    await world.arrives(*row["urls"], text=row["text"])
    case = world.case()
    assert (case.state, case.severity) == (
        CaseState.OPEN,
        world.pack.taxonomy.unclassified_severity,
    )


async def test_content_that_is_no_content_is_a_dead_letter(world: World) -> None:
    event = await world.report(URL)
    sealed = await world.hub.unit().keys.seal(event.data.report_id, "report.content", "[1]")
    broken = event.model_copy(update={"data": event.data.model_copy(update={"content": sealed})})
    with pytest.raises(Permanent) as error:
        await world.deliver(broken)
    assert error.value.reason == "content"


async def test_an_unknown_category_of_a_newer_intake_is_no_category(world: World) -> None:
    await world.arrives(URL, category="no-such-category")
    assert world.case().category is None
    await world.deliver(await world.withdrawal(next(iter(world.reports()))))
    assert world.case().reports == 0


# -- automatic decisions ---------------------------------------------------------------------------


async def test_the_pack_lets_child_abuse_links_leave_at_once(world: World) -> None:
    await world.arrives(PAGE, category="csam")
    case = world.case()
    (request,) = world.dispatched()
    assert case.state is CaseState.IN_PROGRESS
    assert request.dispatch_id == request_id(case.id, "iwf", 1)
    assert (request.partner, request.connector, request.automatic) == ("iwf", "reference", True)
    assert request.ground == Ground(kind=GroundKind.LAW, ref="ma.penal-code.503-2")
    assert request.due == world.clock.now() + timedelta(hours=1)
    assert world.changes() == ["decided"]
    assert case.look_pending
    assert case.queued
    assert case.confirm_due == world.clock.now() + timedelta(hours=24)
    assert [(r.who, r.why) for r in world.audit(case)] == [("country_pack", "csam-link-to-hotline")]
    opened = await world.hub.unit().keys.open(request.item, "case.item")
    assert DispatchItem.model_validate_json(opened).location == PAGE


async def test_more_reports_ask_no_second_time(world: World) -> None:
    for _ in range(3):
        await world.arrives(PAGE, category="csam")
    assert len(world.dispatched()) == 1
    assert world.case().reports == 3


@pytest.mark.parametrize(
    ("locations", "facts"),
    [
        ((PAGE,), {"category": "scam_fraud"}),
        ((PAGE,), {"category": None}),
        ((PAGE,), {"category": "csam", "consent_partner": False}),
        ((), {"category": "csam"}),
        (("a@example.org",), {"category": "csam"}),
        ((PAGE,), {"category": "phishing_malware", "channel": Channel.WEB}),
    ],
)
async def test_nothing_else_leaves_without_a_person(
    world: World, locations: tuple[str, ...], facts: dict[str, Any]
) -> None:
    await world.arrives(*locations, **facts)
    assert world.dispatched() == []
    assert world.case().state is CaseState.OPEN


async def test_a_partner_feed_of_phishing_goes_to_two_desks(world: World) -> None:
    await world.arrives(PAGE, category="phishing_malware", channel=Channel.PARTNER)
    assert {d.partner for d in world.dispatched()} == {"macert", "hosting-desk"}
    assert world.case().confirm_due is None
    assert world.changes() == ["decided", "decided"]


async def test_a_connector_that_does_not_run_is_not_asked(pack: CountryPack) -> None:
    world = World(pack, connectors=["webhook"])
    await world.arrives(PAGE, category="csam")
    assert world.dispatched() == []
    assert world.case().state is CaseState.OPEN


async def test_an_assessed_case_waits_for_its_people(world: World) -> None:
    await world.arrives(PAGE, category="threats")
    await world.held(ANA)
    await world.desk.assess(ANA, world.case().id, said(world.pack, "threats"))
    await world.arrives(PAGE, category="csam")
    assert world.dispatched() == []
    assert (
        world.case().attention == ()
    )  # assessed as threats: the reporter's word does not raise it


# -- reports leave ---------------------------------------------------------------------------------


async def test_withdrawing_the_only_report_closes_the_case(world: World) -> None:
    report_id = await world.arrives(URL, category="scam_fraud")
    await world.deliver(await world.withdrawal(report_id))
    case = world.case()
    assert (case.state, case.reports, case.queued) == (CaseState.CLOSED, 0, False)
    assert world.changes() == ["report_left", "closed"]
    assert world.emitted(topics.CASE_UPDATED_V1)[-1].reason == "withdrawn"
    assert world.reports()[report_id].content is None


async def test_a_case_others_rest_on_stays(world: World) -> None:
    first = await world.arrives(URL, category="scam_fraud", under_18=True)
    await world.arrives(URL, category="scam_fraud")
    assert world.case().severity is Severity.HIGH
    await world.deliver(await world.withdrawal(first))
    case = world.case()
    assert (case.state, case.reports, case.severity) == (CaseState.OPEN, 1, Severity.MEDIUM)
    assert world.changes() == ["report_joined", "report_left"]


async def test_what_was_dispatched_is_followed_to_its_end(world: World) -> None:
    report_id = await world.arrives(PAGE, category="csam")
    await world.deliver(await world.withdrawal(report_id))
    assert world.case().state is CaseState.IN_PROGRESS


@pytest.mark.parametrize("destroyed", [True, False])
async def test_a_report_withdrawn_before_it_came_opens_nothing(
    world: World, destroyed: bool
) -> None:
    event = await world.report(URL)
    withdrawal = await world.withdrawal(event.data.report_id, destroy=destroyed)
    await world.deliver(withdrawal)
    assert await world.deliver(event) == [Outcome.STALE]
    assert world.cases() == []
    assert world.emitted(topics.CASE_OPENED_V1) == []


async def test_an_erased_report_is_counted_and_forgotten(world: World) -> None:
    event = await world.report(URL)
    withdrawal = await world.withdrawal(event.data.report_id)
    assert await world.deliver(event) == [None]
    assert world.cases() == []
    await world.deliver(withdrawal)
    assert world.count("wasl_triage_reports_total", result="erased") == 1
    assert world.reports()[event.data.report_id].withdrawn_at is not None


async def test_a_second_withdrawal_changes_nothing(world: World) -> None:
    report_id = await world.arrives(URL)
    await world.arrives(URL)
    await world.deliver(await world.withdrawal(report_id))
    assert await world.deliver(await world.withdrawal(report_id)) == [Outcome.STALE]
    assert world.case().reports == 1


# -- reporters write -------------------------------------------------------------------------------


async def test_a_message_brings_a_case_back(world: World) -> None:
    report_id = await world.arrives(URL, category="scam_fraud")
    case = await world.held(ANA)
    end = Proposal(action=Action.CLOSE, reason="x", close_reason=CloseReason.CONTENT_GONE)
    await world.desk.decide(ANA, case.id, end)
    assert not world.case().queued
    await world.deliver(await world.message(report_id, "C'est revenu."))
    case = world.case()
    assert (case.state, case.queued, case.attention) == (
        CaseState.CLOSED,
        True,
        ("reporter_message",),
    )
    assert case.queue_due is not None
    assert "revenu" not in world.everything()


async def test_a_message_may_overtake_its_report(world: World) -> None:
    event = await world.report(URL, category="scam_fraud")
    await world.deliver(await world.message(event.data.report_id, "Encore une chose."))
    assert world.cases() == []
    await world.deliver(event)
    case = world.case()
    assert (case.reports, case.attention) == (1, ("reporter_message",))
    assert len(world.hub.store.docs["messages"]) == 1


async def test_a_message_of_a_withdrawn_report_is_dropped(world: World) -> None:
    report_id = await world.arrives(URL)
    message = await world.message(report_id, "x")
    await world.deliver(await world.withdrawal(report_id))
    assert await world.deliver(message) == [Outcome.STALE]
    assert not world.hub.store.docs.get("messages")


# -- answers ---------------------------------------------------------------------------------------


async def test_an_act_of_the_partner_resolves_the_case(world: World) -> None:
    await world.arrives(PAGE, category="csam")
    case_id = world.case().id
    await world.deliver(world.answer(case_id, "iwf", 1, DispatchState.SENT))
    assert world.case().state is CaseState.IN_PROGRESS
    assert world.case().resend_at is None
    await world.deliver(world.answer(case_id, "iwf", 2, DispatchState.REMOVED))
    case = world.case()
    assert case.state is CaseState.RESOLVED
    assert world.changes()[-1] == "outcome"
    assert case.queued  # the second person has not confirmed yet
    assert world.emitted(topics.CASE_UPDATED_V1)[-1].state is CaseState.RESOLVED


async def test_all_settled_without_an_act_is_unresolved_and_a_late_act_resolves(
    world: World,
) -> None:
    await world.arrives(PAGE, category="phishing_malware", channel=Channel.PARTNER)
    case_id = world.case().id
    await world.deliver(world.answer(case_id, "macert", 2, DispatchState.REFUSED))
    assert world.case().state is CaseState.IN_PROGRESS
    await world.deliver(world.answer(case_id, "hosting-desk", 3, DispatchState.NO_REPLY))
    assert world.case().state is CaseState.UNRESOLVED
    await world.deliver(world.answer(case_id, "hosting-desk", 4, DispatchState.REMOVED))
    assert world.case().state is CaseState.RESOLVED


async def test_old_news_is_stale_and_strange_news_is_a_dead_letter(world: World) -> None:
    await world.arrives(PAGE, category="csam")
    case_id = world.case().id
    await world.deliver(world.answer(case_id, "iwf", 3, DispatchState.REMOVED))
    for version in (1, 3):
        old = world.answer(case_id, "iwf", version, DispatchState.SENT)
        assert await world.deliver(old) == [Outcome.STALE]
    assert world.case().state is CaseState.RESOLVED
    for strange in (
        world.answer("0" * 32, "iwf", 1, DispatchState.SENT),
        world.answer(case_id, "meta", 1, DispatchState.SENT),
        world.referral(case_id, "dgsn", 1, ReferralState.DELIVERED),
    ):
        with pytest.raises(Permanent):
            await world.deliver(strange)


async def test_a_failed_dispatch_calls_for_a_person(world: World) -> None:
    await world.arrives(PAGE, category="csam")
    await world.deliver(world.answer(world.case().id, "iwf", 1, DispatchState.FAILED))
    case = world.case()
    assert (case.state, case.attention) == (CaseState.UNRESOLVED, ("dispatch_failed",))
    assert case.queued


# -- re-appearance ---------------------------------------------------------------------------------


async def _removed(world: World) -> str:
    await world.arrives(PAGE, category="csam")
    case_id = world.case().id
    world.later(hours=1)
    await world.deliver(world.answer(case_id, "iwf", 2, DispatchState.REMOVED))
    return case_id


async def test_a_report_after_the_removal_is_a_reappearance(world: World) -> None:
    case_id = await _removed(world)
    world.later(hours=1)
    await world.arrives(PAGE, category="csam")
    case = world.case()
    assert (case.round, case.state) == (2, CaseState.IN_PROGRESS)
    assert world.changes()[-3:] == ["report_joined", "reopened", "decided"]
    assert {d.dispatch_id for d in world.dispatched()} == {
        request_id(case_id, "iwf", 1),
        request_id(case_id, "iwf", 2),
    }
    await world.deliver(world.answer(case_id, "iwf", 3, DispatchState.SENT))  # of round 1
    assert world.case().state is CaseState.IN_PROGRESS
    await world.deliver(world.answer(case_id, "iwf", 1, DispatchState.REMOVED, round_=2))
    assert world.case().state is CaseState.RESOLVED


async def test_a_report_from_before_the_removal_only_joins(world: World) -> None:
    early = await world.report(PAGE, category="csam")
    await _removed(world)
    await world.deliver(early)
    case = world.case()
    assert (case.round, case.state, case.reports) == (1, CaseState.RESOLVED, 2)


async def test_a_report_reopens_a_case_that_was_only_withdrawn(world: World) -> None:
    early = await world.report(URL, category="scam_fraud")
    report_id = await world.arrives(URL, category="scam_fraud")
    world.later(minutes=5)
    await world.deliver(await world.withdrawal(report_id))
    await world.deliver(early)
    case = world.case()
    assert (case.state, case.reports, case.look_pending) == (CaseState.OPEN, 1, True)


async def test_a_crowd_cannot_reopen_what_was_judged(world: World) -> None:
    await world.arrives(URL, category="lawful_objectionable")
    case = await world.held(ANA)
    await world.desk.decide(
        ANA,
        case.id,
        Proposal(action=Action.CLOSE, reason="Satire.", close_reason=CloseReason.NO_GROUND),
    )
    world.later(hours=1)
    for _ in range(20):
        await world.arrives(URL, category="lawful_objectionable")
    assert world.case().state is CaseState.CLOSED
    assert world.case().reports == 21
    await world.arrives(URL, category="threats")  # something graver, said for the first time
    assert world.case().state is CaseState.OPEN


# -- time passes -----------------------------------------------------------------------------------


async def test_a_missed_first_look_is_marked_once(world: World) -> None:
    await world.arrives(PAGE, category="csam")
    await world.handlers.watch()
    assert not world.case().overdue
    world.later(minutes=31)
    await world.handlers.watch()
    await world.handlers.watch()
    case = world.case()
    assert case.overdue
    missed = world.count("wasl_triage_clocks_missed_total", clock="first_look", severity="critical")
    assert missed == 1
    assert [r.what for r in world.audit(case)] == ["act_automatically", "first_look_missed"]


async def test_a_claimed_case_misses_no_first_look_but_its_confirmation(world: World) -> None:
    await world.arrives(PAGE, category="csam")
    await world.held(ANA)
    world.later(hours=25)
    await world.handlers.watch()
    await world.handlers.watch()
    case = world.case()
    assert (case.overdue, case.confirm_overdue) == (False, True)
    labels = {"clock": "confirmation", "severity": "critical"}
    assert world.count("wasl_triage_clocks_missed_total", **labels) == 1


async def test_requests_nobody_confirmed_are_repeated_word_for_word(world: World) -> None:
    await world.arrives(PAGE, category="csam")
    (first,) = world.dispatched()
    for _ in range(2):
        await world.handlers.watch()
    assert len(world.dispatched()) == 1
    world.clock.advance(RESEND)
    await world.handlers.watch()
    await world.handlers.watch()
    assert world.dispatched() == [first, first]
    assert world.count("wasl_triage_requests_repeated_total", kind="dispatch") == 1
    world.clock.advance(RESEND * 2)
    await world.handlers.watch()
    assert len(world.dispatched()) == 3
    await world.deliver(world.answer(first.case_id, "iwf", 1, DispatchState.SENT))
    world.clock.advance(RESEND * 100)
    await world.handlers.watch()
    assert len(world.dispatched()) == 3
    assert world.changes() == ["decided"]


async def test_two_replicas_watching_mark_and_repeat_once(world: World) -> None:
    await world.arrives(PAGE, category="csam")
    world.clock.advance(RESEND * 4)
    find = world.hub.store.find

    async def slow(*args: Any, **options: Any) -> Any:
        docs = await find(*args, **options)
        await asyncio.sleep(0)
        return docs

    world.hub.store.find = slow  # type: ignore[method-assign]
    await asyncio.gather(world.handlers.watch(), world.handlers.watch())
    assert len(world.dispatched()) == 2
    assert len([r for r in world.audit(world.case()) if r.what == "first_look_missed"]) == 1


async def test_gauges_tell_what_is_open(world: World) -> None:
    await world.arrives(PAGE, category="csam")
    oldest = world.clock.now().timestamp()
    world.later(minutes=5)
    await world.arrives(URL, category="scam_fraud")
    await world.handlers.gauge()
    assert world.count("wasl_triage_open_cases", state="open") == 1
    assert world.count("wasl_triage_open_cases", state="in_progress") == 1
    assert world.count("wasl_triage_oldest_open_case_timestamp_seconds") == oldest
    assert world.count("wasl_triage_queue_cases", rank="0") == 1


# -- crashes and replays ---------------------------------------------------------------------------


@pytest.mark.parametrize("prefetch", [True, False])
async def test_a_replay_without_an_inbox_only_says_again_where_each_report_is(
    world: World, prefetch: bool
) -> None:
    """Intake tells a report again when it heard of no case: the answer may be what got lost."""
    events = [await world.report(u, category="csam") for u in (PAGE, PAGE, URL)]
    await world.deliver(*events)
    before = {c.id: (c.reports, c.state, dict(c.dispatches)) for c in world.cases()}
    told = len(world.emitted(topics.CASE_UPDATED_V1))
    outcomes = await world.deliver(*events, inbox=False, prefetch=prefetch)
    assert outcomes == [Outcome.STALE] * 3
    assert {c.id: (c.reports, c.state, dict(c.dispatches)) for c in world.cases()} == before
    assert len(world.dispatched()) == 2
    again = world.emitted(topics.CASE_UPDATED_V1)[told:]
    assert [(u.change.value, u.report_id) for u in again] == [
        ("report_joined", e.data.report_id) for e in events
    ]
    for case in world.cases():
        assert case.version == max(u.version for u in again if u.case_id == case.id)


async def test_two_replicas_meeting_in_one_case_conflict_and_one_retries(world: World) -> None:
    events = [await world.report(URL) for _ in range(2)]
    units = [world.hub.unit(), world.hub.unit()]
    for event, uow in zip(events, units, strict=True):
        await world.handlers.prefetch_reports([event], uow)
        await world.handlers.on_report_submitted(event, uow)
    await world.hub.commit(units[0])
    with pytest.raises(Conflict):
        await world.hub.commit(units[1])
    await world.deliver(events[1])
    assert world.case().reports == 2


async def test_a_key_that_outlived_its_case_is_used_again(world: World) -> None:
    """The database was restored to a time before the case; the vault was not."""
    event = await world.report(URL)
    uow = world.hub.unit()
    uow.keys.create(world.case_id(URL))
    await world.hub.commit(uow)
    await world.deliver(event)
    assert await world.hub.unit().keys.open(world.case().item, "case.item")


async def test_a_case_that_was_erased_is_not_opened_again(world: World) -> None:
    uow = world.hub.unit()
    uow.keys.create(world.case_id(URL))
    await uow.keys.destroy(world.case_id(URL))
    await world.hub.commit(uow)
    with pytest.raises(Permanent) as error:
        await world.arrives(URL)
    assert error.value.reason == "case_erased"
    assert len(world.hub.store.docs[KEYS.name]) == 2


# -- all samples -----------------------------------------------------------------------------------


@pytest.mark.parametrize("one_by_one", [True, False])
async def test_all_samples(world: World, samples: list[dict[str, Any]], one_by_one: bool) -> None:
    events, ids = [], {}
    for row in samples:
        fields = ("category", "danger_now", "under_18", "under_13", "consent_authority")
        facts = {f: row[f] for f in fields if row.get(f) is not None}
        event = await world.report(
            *row["urls"],
            text=row["text"],
            channel=Channel(row["channel"]),
            language=row["language"],
            **facts,
        )
        ids[row["id"]] = event.data.report_id
        events.append(event)
    for batch in [[e] for e in events] if one_by_one else [events]:
        await world.deliver(*batch)
    reports = world.reports()
    assert len(reports) == 42
    assert all(r.cases for r in reports.values())
    for row in samples:
        if row["duplicate_of"]:
            one, other = reports[ids[row["id"]]].cases, reports[ids[row["duplicate_of"]]].cases
            assert set(other) <= set(one), row["id"]
    # 42 reports, 7 of them duplicates, one of which names a second item.
    assert len(world.cases()) == 42 - 7 + 1
    assert len(world.emitted(topics.CASE_OPENED_V1)) == 36
    assert {(d.category, d.partner) for d in world.dispatched()} == {
        ("csam", "iwf"),
        ("phishing_malware", "macert"),
        ("phishing_malware", "hosting-desk"),
    }


# -- any order -------------------------------------------------------------------------------------

_LOCATIONS = st.sampled_from([(URL,), (SAME,), (PAGE,), (URL, PAGE), ()])
_STORY = st.lists(
    st.tuples(
        _LOCATIONS,
        st.sampled_from(["csam", "scam_fraud", "hate_speech", None]),
        st.booleans(),  # withdrawn
        st.booleans(),  # writes a message
        st.booleans(),  # a child is the victim
    ),
    min_size=1,
    max_size=5,
)


async def _play(
    pack: CountryPack, story: list[Any], order: Any, cuts: Any, prefetch: bool
) -> World:
    world = World(pack)
    events: list[Any] = []
    for locations, category, withdrawn, writes, child in story:
        event = await world.report(*locations, category=category, under_18=child)
        events.append(event)
        if writes:
            events.append(await world.message(event.data.report_id, "x"))
        if withdrawn:
            events.append(await world.withdrawal(event.data.report_id, destroy=False))
    mixed = order.sample(events * 2, len(events) * 2)
    while mixed:
        size = cuts.randint(1, len(mixed))
        batch, mixed = mixed[:size], mixed[size:]
        await world.deliver(*batch, prefetch=prefetch)
    return world


@settings(max_examples=60, deadline=None)
@given(_STORY, st.randoms(use_true_random=False), st.randoms(use_true_random=False), st.booleans())
def test_any_order_any_duplicate_any_batch_ends_in_the_same_place(
    pack: CountryPack, story: list[Any], order: Any, cuts: Any, prefetch: bool
) -> None:
    world = asyncio.run(_play(pack, story, order, cuts, prefetch))
    staying: dict[str, int] = {}
    for locations, _, withdrawn, _, _ in story:
        for case_id in {world.case_id(u) for u in locations}:
            staying[case_id] = staying.get(case_id, 0) + (not withdrawn)
    assert len(world.reports()) == len(story)  # none lost, none twice
    for case in world.cases():
        live = [r for r in world.reports().values() if case.id in r.cases]
        assert case.reports == len(live) == (staying.get(case.id, case.reports))
        facts = [f for r in live for f in r.facts]
        assert case.facts == {f: facts.count(f) for f in set(facts)}
        categories = [r.category for r in live if r.category]
        assert case.reported == {c: categories.count(c) for c in set(categories)}
        if not live and not case.dispatches:
            assert case.state is CaseState.CLOSED
        if live and not case.dispatches:
            assert case.state is CaseState.OPEN
            assert case.queued
    _versions_are_given_once(world)
    assert len({d.dispatch_id for d in world.dispatched()}) == len(world.dispatched())


def _versions_are_given_once(world: World) -> None:
    told: dict[str, list[int]] = {}
    for data in (*world.emitted(topics.CASE_OPENED_V1), *world.emitted(topics.CASE_UPDATED_V1)):
        told.setdefault(data.case_id, []).append(data.version)
    for case in world.cases():
        assert sorted(told[case.id]) == list(range(1, case.version + 1))


def _walk(random: Any, length: int) -> list[DispatchState]:
    state, path = DISPATCH.initial, []
    for _ in range(length):
        steps = [s for s in DISPATCH.steps if s.state == state]
        if not steps:
            break
        state = random.choice(steps).to
        path.append(state)
    return path


@settings(max_examples=60, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(1, 7), st.integers(1, 7))
def test_answers_in_any_order_end_where_the_newest_say(
    pack: CountryPack, random: Any, one: int, other: int
) -> None:
    async def play() -> None:
        world = World(pack)
        await world.arrives(PAGE, category="phishing_malware", channel=Channel.PARTNER)
        case_id = world.case().id
        paths = {"macert": _walk(random, one), "hosting-desk": _walk(random, other)}
        events = [
            world.answer(case_id, partner, version, state)
            for partner, path in paths.items()
            for version, state in enumerate(path, 1)
        ]
        mixed = random.sample(events * 2, len(events) * 2)
        for start in range(0, len(mixed), 3):
            await world.deliver(*mixed[start : start + 3])
        case = world.case()
        for partner, path in paths.items():
            row = case.dispatches[request_id(case_id, partner, 1)]
            assert (row.state, row.version) == (path[-1], len(path))
        finals = {path[-1] for path in paths.values()}
        if finals & ACTED:
            assert case.state is CaseState.RESOLVED
        elif finals <= DISPATCH.settled:
            assert case.state in (CaseState.UNRESOLVED, CaseState.RESOLVED)
        _versions_are_given_once(world)

    asyncio.run(play())


async def test_a_report_and_its_withdrawal_in_one_batch(world: World) -> None:
    event = await world.report(URL, category="scam_fraud")
    withdrawal = await world.withdrawal(event.data.report_id, destroy=False)
    await world.deliver(event, withdrawal)
    assert world.case().state is CaseState.CLOSED
    assert CASES.decode(next(iter(world.hub.store.docs["cases"].values()))).reports == 0


async def test_confirming_needs_another_person(world: World) -> None:
    """The automatic rule acted; one person of the desk must still say that it was right."""
    await world.arrives(PAGE, category="csam")
    assert [c.id for c in await world.desk.queue(BEA, 10)] == [world.case().id]


async def test_rules_know_the_category_of_the_very_first_report(world: World) -> None:
    await world.arrives(URL, category="phishing_malware")
    docs = world.hub.store.docs["rule_hits"].values()
    assert [RULE_HITS.decode(d).facts["category"] for d in docs] == ["phishing_malware"]
