# SPDX-License-Identifier: Apache-2.0
"""Cases are worked together and apart, and nothing of any of them is lost, smuggled or shown."""

import asyncio
import contextlib
from datetime import UTC, datetime
from typing import Any

import pytest
from cases_kit import (
    CLOSE,
    FRAUD,
    PRIVACY,
    SAM,
    UNA,
    agreeing,
    decided,
    post,
    posts,
    rooms,
    said,
    sees,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from triage_world import ANA, BEA, World
from wasl_schemas.country_pack import CountryPack
from wasl_schemas.events.common import Severity
from wasl_schemas.lifecycle import CaseState, IllegalTransition
from wasl_triage.cases.bulk import BulkAction, BulkApply, BulkRequest, Selection
from wasl_triage.cases.grouping import OPERATIONS, Kind, Operation
from wasl_triage.cases.working import Move
from wasl_triage.desk import Forbidden, NoSuchCase, NotLawful, Refused
from wasl_triage.domain.case import Attention
from wasl_triage.domain.people import Person, Role
from wasl_triage.repository import CASES

WHY = "The same seller."


async def _merged(world: World, n: int = 3, **facts: Any) -> tuple[list[str], str]:
    """``n`` cases, the first leading the others. Returns their ids and the merge's."""
    ids = await posts(world, range(1, n + 1), **facts)
    await world.desk.claim(ANA, ids[0])
    done = await rooms(world).grouping.merge(ANA, ids[0], ids[1:], WHY)
    return ids, done.id


async def test_followers_leave_the_queue_and_keep_everything_of_their_own(world: World) -> None:
    before = {}
    ids = await posts(world, (1, 2, 3))
    before = {i: CASES.encode(world.case(i)) for i in ids}
    await world.desk.claim(ANA, ids[0])
    await rooms(world).grouping.merge(ANA, ids[0], ids[1:], WHY)
    assert [c.id for c in await world.desk.queue(ANA, 10)] == [ids[0]]
    for follower in ids[1:]:
        now = CASES.encode(world.case(follower))
        changed = {k for k in now if now[k] != before[follower][k]}
        assert changed <= {"lead", "queued", "audit_seq", "audit_hash", "audit_at"}
    assert world.case(ids[0]).reports == 1
    assert [c.id for c in await rooms(world).group(ANA, ids[0])] == sorted(ids[1:])
    assert world.audit(world.case(ids[1]))[-1].what == "merge"
    assert WHY not in world.everything()


async def test_the_lead_is_as_urgent_as_the_most_urgent_of_its_group(world: World) -> None:
    (fraud,) = await posts(world, (1,))
    (threat,) = await posts(world, (2,), category="threats", danger_now=True)
    due = world.case(threat).queue_due
    assert due is not None
    await world.desk.claim(ANA, fraud)
    await rooms(world).grouping.merge(ANA, fraud, [threat], WHY)
    lead = world.case(fraud)
    assert (lead.queue_due, lead.rank) == (due, 1)
    # What leaves the hub about the lead carries its own severity, and nobody else's.
    assert lead.severity is not Severity.CRITICAL


async def test_news_of_a_follower_raises_the_leads_flag(world: World) -> None:
    ids, _ = await _merged(world)
    assert world.case(ids[0]).attention == ()
    report = await world.arrives(post(2), category="scam_fraud")
    assert world.case(ids[0]).attention == (Attention.FOLLOWER,)
    assert world.case(ids[1]).reports == 2
    assert not world.case(ids[1]).queued
    await world.desk.release(ANA, ids[0], done=True)
    await world.deliver(await world.message(report, "x"))
    assert world.case(ids[0]).attention == (Attention.FOLLOWER,)
    assert world.case(ids[1]).queued  # it has attention of its own


async def test_more_of_what_was_closed_on_its_merits_is_no_news(world: World) -> None:
    ids, _ = await _merged(world, 2)
    await decided(world, ids[1], CLOSE, "scam_fraud")
    await world.desk.release(ANA, ids[0], done=True)
    world.later(minutes=5)
    await world.arrives(post(2), category="scam_fraud")
    assert world.case(ids[0]).attention == ()


@pytest.mark.parametrize("case", ["itself", "follower", "leader", "settled", "none", "under"])
async def test_there_are_no_chains_and_no_settled_members(world: World, case: str) -> None:
    ids, _ = await _merged(world)
    (more,) = await posts(world, (9,))
    grouping = rooms(world).grouping
    lead, members = ids[0], [more]
    match case:
        case "itself":
            members = [ids[0]]
        case "follower":
            lead, members = more, [ids[1]]
        case "leader":
            lead, members = more, [ids[0]]
        case "settled":
            await decided(world, more, CLOSE, "scam_fraud")
        case "none":
            members = []
        case "under":
            lead = ids[1]
    await world.desk.claim(ANA, lead)
    with pytest.raises(Refused):
        await grouping.merge(ANA, lead, members, WHY)
    assert world.case(more).lead is None


async def test_whoever_merges_holds_the_lead_sees_all_and_says_why(world: World) -> None:
    ids = await posts(world, (1, 2))
    (child,) = await posts(world, (3,), category="csam")
    grouping = rooms(world).grouping
    with pytest.raises(Refused, match="hold"):
        await grouping.merge(UNA, ids[0], [ids[1]], WHY)
    await world.desk.claim(UNA, ids[0])
    with pytest.raises(NoSuchCase):
        await grouping.merge(UNA, ids[0], [child], WHY)
    with pytest.raises(NotLawful):
        await grouping.merge(UNA, ids[0], [ids[1]], "")
    observer = Person(name="o", roles=frozenset({Role.OBSERVER}))
    with pytest.raises(Forbidden):
        await grouping.merge(observer, ids[0], [ids[1]], WHY)
    await world.desk.claim(BEA, ids[1])
    with pytest.raises(Refused, match="Somebody else"):
        await grouping.merge(UNA, ids[0], [ids[1]], WHY)
    assert all(world.case(i).lead is None for i in (*ids, child))


async def test_undo_lets_everybody_go(world: World) -> None:
    ids, merge = await _merged(world)
    done = await rooms(world).undo(ANA, merge)
    assert done.undone_by == ANA.name
    assert all(world.case(i).lead is None and world.case(i).queued for i in ids)
    assert world.case(ids[0]).followers == {}
    with pytest.raises(Refused, match="already"):
        await rooms(world).undo(ANA, merge)


# -- applying ------------------------------------------------------------------------------------


async def test_a_decision_reaches_followers_through_the_desk_and_the_law(world: World) -> None:
    ids, _ = await _merged(world)
    (odd,) = [await posts(world, (7,), consent_partner=False)]
    await rooms(world).grouping.merge(ANA, ids[0], odd, WHY)
    await decided(world, ids[0], FRAUD, "scam_fraud")
    results = await rooms(world).grouping.apply(ANA, ids[0], decision=True)
    outcome = {r.case_id: r for r in results}
    assert [outcome[i].done for i in ids[1:]] == [True, True]
    assert {d.case_id for d in world.dispatched()} == set(ids)
    refused = outcome[odd[0]]
    assert not refused.done
    assert {m.field for m in refused.missing} == {"exception"}
    back = world.case(odd[0])
    assert (back.lead, back.queued, back.claimed_by) == (None, True, None)
    assert back.state is CaseState.ASSESSED
    assert world.case(ids[1]).decisions[-1].by == ANA.name
    # Again: nothing leaves twice, and nobody is thrown out for it.
    assert all(r.done for r in await rooms(world).grouping.apply(ANA, ids[0], decision=True))
    assert len(world.dispatched()) == 3
    assert set(world.case(ids[0]).followers) == set(ids[1:])


async def test_an_assessment_alone_is_applied(world: World) -> None:
    ids, _ = await _merged(world)
    await world.desk.assess(ANA, ids[0], said(world.pack, "scam_fraud", note="x"))
    results = await rooms(world).grouping.apply(ANA, ids[0], decision=False)
    assert [r.done for r in results] == [True, True]
    assert {world.case(i).assessment.category for i in ids} == {"scam_fraud"}  # type: ignore[union-attr]
    assert world.dispatched() == []


async def test_nobody_applies_what_another_said(world: World) -> None:
    ids, _ = await _merged(world)
    await world.desk.assess(ANA, ids[0], said(world.pack, "scam_fraud"))
    with pytest.raises(Refused, match="decided nothing"):
        await rooms(world).grouping.apply(ANA, ids[0], decision=True)
    await world.desk.release(ANA, ids[0], done=False)
    await world.desk.claim(BEA, ids[0])
    with pytest.raises(Refused, match="not assessed"):
        await rooms(world).grouping.apply(BEA, ids[0], decision=False)


async def test_a_follower_in_other_hands_is_left_alone_and_named(world: World) -> None:
    ids, _ = await _merged(world, 2)
    await world.desk.claim(BEA, ids[1])
    await world.desk.assess(ANA, ids[0], said(world.pack, "scam_fraud"))
    (result,) = await rooms(world).grouping.apply(ANA, ids[0], decision=False)
    assert (result.done, result.why) == (False, "Somebody else works on this case")
    assert world.case(ids[1]).lead == ids[0]


@pytest.mark.parametrize("category", ["lawful_objectionable", "out_of_scope", "csam"])
async def test_no_group_makes_of_a_case_what_only_a_look_of_its_own_may(
    world: World, category: str
) -> None:
    ids, _ = await _merged(world, 2)
    odd = await posts(world, (7,), category=category, consent_partner=False)
    await rooms(world).grouping.merge(ANA, ids[0], odd, WHY)
    await world.desk.claim(ANA, ids[0])
    await world.desk.assess(ANA, ids[0], said(world.pack, "scam_fraud", note="All the same."))
    await world.desk.decide(ANA, ids[0], FRAUD.model_copy(update={"exception": "It cannot wait."}))
    results = await rooms(world).grouping.apply(ANA, ids[0], decision=True)
    assert {r.case_id: r.done for r in results} == {ids[1]: True, odd[0]: False}
    assert {d.case_id for d in world.dispatched()} == set(ids)
    alone = world.case(odd[0])
    assert (alone.lead, alone.queued, alone.assessment) == (None, True, None)
    assert alone.restricted == (category == "csam")


async def test_what_a_second_person_must_see_of_a_follower_is_in_the_queue(world: World) -> None:
    ids, _ = await _merged(world, 2, category="privacy_violation")
    await decided(world, ids[0], PRIVACY, "privacy_violation")
    await world.desk.claim(ANA, ids[0])
    assert all(r.done for r in await rooms(world).grouping.apply(ANA, ids[0], decision=True))
    await world.desk.release(ANA, ids[0], done=True)
    assert world.dispatched() == []
    assert {c.id for c in await world.desk.queue(BEA, 10)} == set(ids)
    await world.desk.claim(BEA, ids[1])
    await world.desk.second_look(BEA, ids[1], agreeing(world.pack, world.case(ids[1])))
    assert [d.case_id for d in world.dispatched()] == [ids[1]]


async def test_no_undo_once_a_decision_was_applied_but_single_cases_can_leave(
    world: World,
) -> None:
    ids, merge = await _merged(world)
    await decided(world, ids[0], FRAUD, "scam_fraud")
    await rooms(world).grouping.apply(ANA, ids[0], decision=True)
    with pytest.raises(Refused, match="applied"):
        await rooms(world).undo(ANA, merge)
    done = await rooms(world).grouping.part(ANA, ids[1], "It is something else after all.")
    assert done.kind is Kind.PART
    assert world.case(ids[1]).lead is None
    assert set(world.case(ids[0]).followers) == {ids[2]}
    with pytest.raises(Refused):
        await rooms(world).undo(ANA, merge)


# -- child safety ----------------------------------------------------------------------------------


async def test_a_group_with_a_restricted_case_is_for_cleared_people(world: World) -> None:
    ids, merge = await _merged(world)
    assert set(ids) <= sees(world, UNA)
    await world.arrives(post(3), category="csam")
    assert sees(world, UNA) == set()
    lead = world.case(ids[0])
    assert (lead.group_restricted, lead.restricted) == (True, True)
    assert (lead.rank, world.case(ids[1]).restricted) == (0, True)
    await rooms(world).undo(ANA, merge)
    # What was worked with it was written about together: cleared people look once more.
    assert sees(world, UNA) == set()
    await world.desk.claim(ANA, ids[1])
    world.later(minutes=1)
    await world.desk.assess(ANA, ids[1], said(world.pack, "scam_fraud"))
    assert sees(world, UNA) == {ids[1]}


# -- any sequence ----------------------------------------------------------------------------------

ITEMS = 4
STEPS = st.one_of(
    st.tuples(
        st.just("report"),
        st.integers(0, ITEMS - 1),
        st.sampled_from(["scam_fraud", "csam", "threats"]),
    ),
    st.tuples(st.just("withdraw"), st.integers(0, 30), st.none()),
    st.tuples(
        st.just("merge"), st.integers(0, 30), st.sets(st.integers(0, 30), min_size=1, max_size=3)
    ),
    st.tuples(
        st.just("split"), st.integers(0, 30), st.sets(st.integers(0, 5), min_size=1, max_size=2)
    ),
    st.tuples(st.just("undo"), st.integers(0, 30), st.none()),
    st.tuples(st.just("part"), st.integers(0, 30), st.none()),
    st.tuples(
        st.just("move"), st.integers(0, 30), st.sampled_from(["general", "cyber", "children"])
    ),
    st.tuples(
        st.just("assess"), st.integers(0, 30), st.sampled_from(["scam_fraud", "csam", "threats"])
    ),
    st.tuples(st.just("bulk"), st.none(), st.sampled_from(["general", "cyber", "children"])),
)


class Play:
    """Plays steps on a world and holds what must be true after each."""

    def __init__(self, pack: CountryPack) -> None:
        self.world = World(pack)
        self.rooms = rooms(self.world)
        self.reports: list[str] = []
        self.gone: set[str] = set()

    def links(self) -> dict[str, tuple[str, ...]]:
        return {r.id: r.cases for r in self.world.reports().values()}

    def leads(self) -> dict[str, str]:
        return {c.id: c.lead for c in self.world.cases() if c.lead}

    def pick(self, n: int) -> str | None:
        ids = sorted(c.id for c in self.world.cases())
        return ids[n % len(ids)] if ids else None

    async def do(self, step: tuple[str, Any, Any]) -> None:
        kind, n, more = step
        if kind == "report":
            self.reports.append(await self.world.arrives(post(n), category=more))
            return
        if kind == "withdraw":
            if self.reports:
                report = self.reports[n % len(self.reports)]
                self.gone.add(report)
                await self.world.deliver(await self.world.withdrawal(report))
            return
        before = {c.id for c in self.world.cases() if c.restricted}
        with contextlib.suppress(Refused, NotLawful, IllegalTransition):
            await self.act(kind, n, more)
        if kind == "assess":  # the one act by which somebody cleared may
            return
        # No act of the desk shows a restricted case to anybody who did not see it.
        assert before <= {c.id for c in self.world.cases() if c.restricted}

    async def act(self, kind: str, n: Any, more: Any) -> None:
        desk, case_id = self.world.desk, self.pick(n or 0)
        if kind == "undo":
            docs = self.world.hub.store.docs.get("operations", {})
            ids = [i for i, d in docs.items() if d["kind"] in ("merge", "split")]
            if ids:
                await desk.claim(ANA, docs[ids[n % len(ids)]]["cases"][0])
                await self.rooms.undo(ANA, ids[n % len(ids)])
            return
        if case_id is None:
            return
        if kind == "bulk":
            wanted = BulkRequest(
                selection=Selection(ids=tuple(c.id for c in self.world.cases())),
                action=BulkAction.MOVE,
                queue=more,
            )
            shown = await self.rooms.bulk.preview(SAM, wanted)
            await self.rooms.bulk.apply(
                SAM, BulkApply(request=wanted, token=shown.token, reason=WHY)
            )
            return
        await desk.claim(ANA, case_id)
        if kind == "assess":
            await desk.assess(ANA, case_id, said(self.world.pack, more, note=WHY))
        elif kind == "move":
            await self.rooms.working.move(ANA, case_id, Move(queue=more, reason=WHY))
        elif kind == "part":
            await self.rooms.grouping.part(ANA, case_id, WHY)
        elif kind == "merge":
            members = [self.pick(m) or "" for m in sorted(more)]
            links, leads = self.links(), self.leads()
            done = await self.rooms.grouping.merge(ANA, case_id, members, WHY)
            assert self.links() == links
            await self.rooms.undo(ANA, done.id)
            assert (self.links(), self.leads()) == (links, leads)
            await self.rooms.grouping.merge(ANA, case_id, members, WHY)
        else:
            mine = sorted(r for r, cases in self.links().items() if case_id in cases)
            chosen = [mine[m % len(mine)] for m in sorted(more)] if mine else []
            links, leads = self.links(), self.leads()
            done = await self.rooms.splitting.split(ANA, case_id, chosen, WHY)
            assert set(self.links()) == set(links)
            await self.rooms.undo(ANA, done.id)
            assert (self.links(), self.leads()) == (links, leads)
            await self.rooms.splitting.split(ANA, case_id, chosen, WHY)

    def check(self) -> None:
        cases = {c.id: c for c in self.world.cases()}
        links = self.links()
        for report in self.reports:
            # One item a report: it is in exactly one case, until it is withdrawn.
            assert len(links[report]) == (0 if report in self.gone else 1)
        for case in cases.values():
            held = [r for r, named in links.items() if case.id in named]
            assert case.reports == len(held) == sum(case.reported.values())
            assert set(case.recent) <= set(held)
            if case.lead is not None:
                lead = cases[case.lead]
                assert lead.lead is None
                assert case.id in lead.followers
                assert not case.followers
            group = [case, *(cases[f] for f in case.followers)]
            assert all(f.lead == case.id for f in group[1:])
            if len(group) > 1 and any(c.restricted_itself(self.world.pack) for c in group):
                assert all(c.restricted for c in group)
            dues = [c.queue_due for c in group if c.queue_due]
            assert case.queue_due == min(dues, default=None)
            if case.lead is None and case.queue_due:
                assert case.queued
        assert sum(c.reports for c in cases.values()) == len(set(self.reports) - self.gone)
        assert sees(self.world, UNA).isdisjoint(
            c.id for c in cases.values() if c.restricted_itself(self.world.pack)
        )


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(STEPS, min_size=4, max_size=14))
def test_whatever_is_done_no_report_is_lost_and_nothing_restricted_shows(
    pack: CountryPack, steps: list[tuple[str, Any, Any]]
) -> None:
    async def play() -> None:
        game = Play(pack)
        start = [("report", n, "scam_fraud") for n in (0, 0, 0, 1, 1, 2)]
        for step in [*start, *steps]:
            await game.do(step)
            game.check()

    asyncio.run(play())


def test_an_operation_survives_the_database() -> None:
    at = datetime(2026, 1, 5, tzinfo=UTC)
    for row in (
        Operation("o", Kind.SPLIT, ("a", "b"), "ana", at, "s", ("r",), "bea", at),
        Operation("o", Kind.MERGE, ("a",), "ana", at, "s"),
    ):
        assert OPERATIONS.decode({**OPERATIONS.encode(row), "_id": "o", "_rev": 1}) == row
