# SPDX-License-Identifier: Apache-2.0
"""Many cases at once: only what was shown, only what there is, each by the law."""

from typing import Any

import pytest
from cases_kit import FRAUD, SAM, SID, decided, posts, rooms
from triage_world import ANA, BEA, SUE, World
from wasl_schemas.events.common import Severity
from wasl_schemas.lifecycle import CaseState
from wasl_triage.audit.trail import AUDIT
from wasl_triage.cases.bulk import BulkAction, BulkApply, BulkRequest, Selection
from wasl_triage.cases.grouping import Done
from wasl_triage.desk import Forbidden, NotLawful, Refused
from wasl_triage.domain.decisions import CloseReason
from wasl_triage.domain.people import Person
from wasl_triage.repository import CASES

WHY = "One wave of the same message."
FRAUDS = Selection(category="scam_fraud")


def _close(selection: Selection = FRAUDS) -> BulkRequest:
    return BulkRequest(
        selection=selection, action=BulkAction.CLOSE, close_reason=CloseReason.OUT_OF_SCOPE
    )


async def _do(world: World, person: Person, wanted: BulkRequest) -> dict[str, Done]:
    shown = await rooms(world).bulk.preview(person, wanted)
    apply = BulkApply(request=wanted, token=shown.token, reason=WHY)
    return {r.case_id: r for r in await rooms(world).bulk.apply(person, apply)}


def test_there_is_no_bulk_way_out_of_the_hub() -> None:
    assert {a.value for a in BulkAction} == {"close", "assign", "move", "note", "skip", "release"}


async def test_the_preview_counts_what_would_be_touched_and_says_what_not(world: World) -> None:
    ids = await posts(world, (1, 2, 3, 4))
    await posts(world, (5,), category="threats")
    await posts(world, (6,), danger_now=True)
    await world.desk.claim(BEA, ids[0])
    await world.desk.claim(ANA, ids[1])
    await rooms(world).grouping.merge(ANA, ids[1], [ids[2]], "x")
    await world.desk.release(ANA, ids[1], done=True)
    shown = await rooms(world).bulk.preview(SAM, _close())
    assert set(shown.ids) == {ids[2], ids[3]}
    assert shown.states == {"open": 2}
    assert shown.categories == {"scam_fraud": 2}
    assert sum(shown.severities.values()) == 2
    critical = next(c.id for c in world.cases() if c.severity is Severity.CRITICAL and c.category == "scam_fraud")  # fmt: skip
    assert shown.excluded == {
        ids[0]: "Somebody else works on it",
        ids[1]: "It leads others",
        critical: "It is critical: a person closes it by itself",
    }


@pytest.mark.parametrize(
    ("selection", "found"),
    [
        (Selection(queue="cyber"), {1, 2}),
        (Selection(platform="facebook", category="threats"), {3}),
        (Selection(campaign="wave"), {1}),
        (Selection(bank="known"), {2}),
        (Selection(severity=Severity.CRITICAL), {3}),
        (Selection(queue="cyber", states=(CaseState.CLOSED,)), {4}),
        (Selection(queue="privacy"), set()),
    ],
)
async def test_what_a_selection_fits(world: World, selection: Selection, found: set[int]) -> None:
    ids = await posts(world, (1, 2, 4))
    ids[2:2] = await posts(world, (3,), category="threats", danger_now=True)
    uow = world.hub.unit()
    marks: list[tuple[int, dict[str, Any]]] = [
        (1, {"campaign": "wave", "banks": {"other": 1}}), (2, {"banks": {"known": 1}}),
    ]  # fmt: skip
    for n, changes in marks:
        case = await uow.get(CASES, ids[n - 1])
        for name, value in changes.items():
            setattr(case, name, value)
        assert case is not None
        uow.put(CASES, case)
    await world.hub.commit(uow)
    await _do(world, SAM, _close(Selection(ids=(ids[3],))))
    wanted = BulkRequest(selection=selection, action=BulkAction.NOTE)
    shown = await rooms(world).bulk.preview(SAM, wanted)
    assert {ids.index(i) + 1 for i in shown.ids} == found


async def test_closing_is_each_cases_own_decision(world: World) -> None:
    ids = await posts(world, (1, 2))
    results = await _do(world, SAM, _close())
    assert {i: r.done for i, r in results.items()} == dict.fromkeys(ids, True)
    for case in world.cases():
        (row,) = case.decisions
        assert (case.state, row.by, row.close_reason) == (
            CaseState.CLOSED,
            SAM.name,
            "out_of_scope",
        )
        assert case.claimed_by is None
        assert row.proposal is not None
    assert WHY not in world.everything()
    rows = [AUDIT.decode(d) for d in world.hub.store.docs["audit"].values()]
    (begun,) = [r for r in rows if r.stream == "bulk"]
    assert begun.who == SAM.name
    assert begun.why.startswith("close:2:")


async def test_what_the_law_refuses_is_named_and_the_rest_is_done(world: World) -> None:
    ids = await posts(world, (1, 2))
    await decided(world, ids[0], FRAUD, "scam_fraud")
    await world.desk.release(ANA, ids[0], done=True)
    results = await _do(world, SAM, _close())
    assert (results[ids[0]].done, results[ids[1]].done) == (False, True)
    assert "partner still has to answer" in results[ids[0]].why
    assert world.case(ids[0]).claimed_by is None


async def test_a_changed_set_is_refused(world: World) -> None:
    ids = await posts(world, (1, 2))
    bulk = rooms(world).bulk
    shown = await bulk.preview(SAM, _close())
    stale = BulkApply(request=_close(), token=shown.token, reason=WHY)
    await posts(world, (1,))  # one more report about the first
    with pytest.raises(Refused, match="changed"):
        await bulk.apply(SAM, stale)
    shown = await bulk.preview(SAM, _close())
    await posts(world, (3,))
    with pytest.raises(Refused, match="changed"):
        await bulk.apply(SAM, BulkApply(request=_close(), token=shown.token, reason=WHY))
    other = _close().model_copy(update={"action": BulkAction.NOTE})
    shown = await bulk.preview(SAM, _close())
    with pytest.raises(Refused, match="changed"):
        await bulk.apply(SAM, BulkApply(request=other, token=shown.token, reason=WHY))
    assert all(world.case(i).state is CaseState.OPEN for i in ids)


async def test_nothing_is_done_without_a_reason_or_the_right(world: World) -> None:
    await posts(world, (1,))
    bulk = rooms(world).bulk
    shown = await bulk.preview(SAM, _close())
    with pytest.raises(NotLawful):
        await bulk.apply(SAM, BulkApply(request=_close(), token=shown.token))
    with pytest.raises(Forbidden):
        await bulk.preview(ANA, _close())
    with pytest.raises(Forbidden):  # a supervisor decides nothing
        await bulk.preview(SUE, _close())
    assert world.case().state is CaseState.OPEN


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"close_reason": None}, "close_reason"),
        ({"action": BulkAction.MOVE}, "queue"),
        ({"selection": Selection()}, "selection"),
        ({"selection": Selection(states=(CaseState.OPEN,))}, "selection"),
    ],
)
async def test_what_a_bulk_request_must_say(
    world: World, changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(NotLawful) as refused:
        await rooms(world).bulk.preview(SAM, _close().model_copy(update=changes))
    assert [m.field for m in refused.value.missing] == [field]


async def test_no_more_than_the_pack_allows(world: World) -> None:
    await posts(world, (1, 2))
    desk = world.pack.desk.model_copy(update={"bulk_limit": 1})
    bulk = rooms(world).bulk
    world_pack = world.pack
    before, world_pack.desk = world_pack.desk, desk
    try:
        with pytest.raises(Refused, match="More cases fit"):
            await bulk.preview(SAM, _close())
    finally:
        world_pack.desk = before
    assert len((await bulk.preview(SAM, _close())).ids) == 2


async def test_restricted_cases_are_touched_by_cleared_people_and_counted_for_nobody_else(
    world: World,
) -> None:
    (fraud,) = await posts(world, (1,))
    (child,) = await posts(world, (2,), category="csam")
    wanted = BulkRequest(
        selection=Selection(platform="facebook"), action=BulkAction.MOVE, queue="general"
    )
    shown = await rooms(world).bulk.preview(SID, wanted)
    assert (shown.ids, shown.excluded) == ((fraud,), {})
    by_id = wanted.model_copy(update={"selection": Selection(ids=(child,))})
    assert (await rooms(world).bulk.preview(SID, by_id)).ids == ()
    assert set(await _do(world, SID, wanted)) == {fraud}
    assert set(await _do(world, SUE, wanted)) == {fraud, child}
    assert world.case(child).restricted


async def test_the_other_acts(world: World) -> None:
    ids = await posts(world, (1, 2))
    assign = BulkRequest(selection=FRAUDS, action=BulkAction.ASSIGN, owner=ANA.name)
    assert all(r.done for r in (await _do(world, SUE, assign)).values())
    assert {world.case(i).owner for i in ids} == {ANA.name}
    nobody = assign.model_copy(update={"owner": "stranger"})
    assert {m.field for r in (await _do(world, SUE, nobody)).values() for m in r.missing} == {
        "owner"
    }
    skip = BulkRequest(selection=FRAUDS, action=BulkAction.SKIP)
    await _do(world, SUE, skip)
    assert all(world.case(i).skipped == (SUE.name,) for i in ids)
    await world.desk.claim(BEA, ids[0])
    release = BulkRequest(selection=FRAUDS, action=BulkAction.RELEASE)
    shown = await rooms(world).bulk.preview(SUE, release)
    assert shown.excluded == {ids[1]: "Nobody holds it"}
    assert set(await _do(world, SUE, release)) == {ids[0]}
    assert world.case(ids[0]).claimed_by is None
    notes = [d["body"] for d in world.hub.store.docs["notes"].values()]
    assert len(notes) == 2 + 2 + 1  # each reason is kept: assigned, skipped, released
    assert WHY not in world.everything()
