# SPDX-License-Identifier: Apache-2.0
"""Reports that speak of something else leave, are followed as a case, and come back."""

from dataclasses import replace
from typing import Any

import pytest
from cases_kit import CLOSE, FRAUD, UNA, decided, post, rooms, said, sees
from triage_world import ANA, BEA, World
from wasl_schemas import topics
from wasl_schemas.events.common import Severity
from wasl_schemas.lifecycle import CaseState
from wasl_triage.cases.grouping import Operation
from wasl_triage.cases.splitting import part_id
from wasl_triage.casework import ITEM
from wasl_triage.desk import NoSuchCase, NotLawful, Refused
from wasl_triage.repository import CASES, REPORTS

WHY = "These are about a comment, not the post."


async def _case(world: World, *categories: str, **facts: Any) -> tuple[str, list[str]]:
    """One case of several reports, held by ANA. Returns its id and theirs."""
    reports = [await world.arrives(post(1), category=c, **facts) for c in categories]
    case_id = world.case_id(post(1))
    await world.desk.claim(ANA, case_id)
    return case_id, reports


async def _split(world: World, case_id: str, *reports: str) -> Operation:
    return await rooms(world).splitting.split(ANA, case_id, reports, WHY)


async def test_the_reports_are_a_case_of_their_own_about_the_same_item(world: World) -> None:
    case_id, reports = await _case(
        world, "scam_fraud", "threats", "threats", danger_now=True, consent_partner=True
    )
    done = await _split(world, case_id, *reports[1:])
    part, rest = world.case(done.cases[1]), world.case(case_id)
    assert part.id == part_id(case_id, 1)
    assert (part.reports, part.category, part.queue) == (2, "threats", "violence")
    assert (rest.reports, rest.category, rest.reported) == (1, "scam_fraud", {"scam_fraud": 1})
    assert (part.consent_partner, rest.consent_partner) == (2, 1)
    assert (part.state, part.look_pending, part.queued) == (CaseState.OPEN, True, True)
    assert [world.reports()[r].cases for r in reports] == [(case_id,), (part.id,), (part.id,)]
    keys = world.hub.unit().keys
    assert await keys.open(part.item, ITEM) == await keys.open(rest.item, ITEM)
    assert WHY not in world.everything()


async def test_receipts_follow_by_the_events_they_know(world: World) -> None:
    case_id, reports = await _case(world, "scam_fraud", "threats", "threats")
    done = await _split(world, case_id, *reports[1:])
    opened = world.emitted(topics.CASE_OPENED_V1)[-1]
    assert (opened.case_id, opened.report_id, opened.version) == (done.cases[1], reports[1], 1)
    told = [
        (u.case_id, u.change, u.report_id, u.version)
        for u in world.emitted(topics.CASE_UPDATED_V1)[-3:]
    ]
    assert told == [
        (case_id, "report_left", reports[1], 4),
        (case_id, "report_left", reports[2], 5),
        (done.cases[1], "report_joined", reports[2], 2),
    ]


async def test_a_split_buys_nobody_time(world: World) -> None:
    case_id, (first,) = await _case(world, "scam_fraud")
    await world.deliver(await world.withdrawal(first))
    world.later(minutes=1)
    reports = [await world.arrives(post(1), category=c) for c in ("threats", "scam_fraud")]
    promised = world.case(case_id)
    assert promised.look_pending  # nobody has looked in this round
    world.later(minutes=5)
    done = await _split(world, case_id, reports[1])
    assert world.case(done.cases[1]).first_look_due == promised.first_look_due


async def test_what_machines_said_goes_along(world: World) -> None:
    case_id, reports = await _case(world, "scam_fraud", "scam_fraud")
    uow = world.hub.unit()
    case, report = await uow.get(CASES, case_id), await uow.get(REPORTS, reports[1])
    assert case is not None
    assert report is not None
    case.banks, case.ruled_hold, case.ruled = {"known": 2}, True, Severity.HIGH
    uow.put(CASES, case)
    for each in reports:
        held = await uow.get(REPORTS, each)
        assert held is not None
        uow.put(REPORTS, replace(held, banks=("known",)))
    await world.hub.commit(uow)
    done = await _split(world, case_id, reports[1])
    part = world.case(done.cases[1])
    assert (part.banks, world.case(case_id).banks) == ({"known": 1}, {"known": 1})
    assert (part.legal_review, part.severity) == (True, Severity.HIGH)
    await world.deliver(await world.withdrawal(reports[1]))
    assert world.case(part.id).banks == {}
    await rooms(world).undo(ANA, done.id)
    assert world.case(case_id).banks == {"known": 1}


async def test_later_reports_join_the_first_and_withdrawals_find_theirs(world: World) -> None:
    case_id, reports = await _case(world, "scam_fraud", "threats")
    done = await _split(world, case_id, reports[1])
    await world.arrives(post(1), category="scam_fraud")
    assert (world.case(case_id).reports, world.case(done.cases[1]).reports) == (2, 1)
    await world.deliver(await world.message(reports[1], "x"))
    assert world.case(done.cases[1]).attention == ("reporter_message",)
    assert world.case(case_id).attention == ()
    await world.deliver(await world.withdrawal(reports[1]))
    part = world.case(done.cases[1])
    assert (part.reports, part.state) == (0, CaseState.CLOSED)


async def test_undo_brings_them_back_but_not_who_withdrew(world: World) -> None:
    case_id, reports = await _case(world, "scam_fraud", "threats", "threats")
    before = world.case(case_id)
    done = await _split(world, case_id, *reports[1:])
    await rooms(world).undo(ANA, done.id)
    after, part = world.case(case_id), world.case(done.cases[1])
    for name in ("reports", "reported", "facts", "category", "severity", "consent_partner"):
        assert getattr(after, name) == getattr(before, name), name
    assert set(after.recent) == set(before.recent)
    assert (part.reports, part.state, part.close_reason) == (0, CaseState.CLOSED, "split_undone")
    assert all(r.cases == (case_id,) for r in world.reports().values())
    again = await _split(world, case_id, *reports[1:])
    assert again.cases[1] == part_id(case_id, 2)
    await world.deliver(await world.withdrawal(reports[1]))
    await rooms(world).undo(ANA, again.id)
    assert (world.case(case_id).reports, world.case(again.cases[1]).reports) == (2, 0)


async def test_no_undo_once_something_rests_on_it(world: World) -> None:
    case_id, reports = await _case(
        world, "scam_fraud", "scam_fraud", "scam_fraud", consent_partner=True
    )
    first = await _split(world, case_id, reports[1])
    await decided(world, first.cases[1], FRAUD, "scam_fraud")
    with pytest.raises(Refused, match="was decided"):
        await rooms(world).undo(ANA, first.id)
    second = await _split(world, case_id, reports[2])
    await decided(world, case_id, CLOSE, "scam_fraud")
    with pytest.raises(Refused, match="decided without"):
        await rooms(world).undo(ANA, second.id)
    assert world.case(case_id).reports == 1


async def test_what_was_split_twice_is_undone_in_order(world: World) -> None:
    case_id, reports = await _case(world, "scam_fraud", "threats", "threats")
    first = await _split(world, case_id, *reports[1:])
    await world.desk.claim(ANA, first.cases[1])
    second = await _split(world, first.cases[1], reports[2])
    with pytest.raises(Refused, match="split off again"):
        await rooms(world).undo(ANA, first.id)
    assert world.reports()[reports[1]].cases == (first.cases[1],)
    await rooms(world).undo(ANA, second.id)
    await rooms(world).undo(ANA, first.id)
    assert world.case(case_id).reports == 3


async def test_a_split_off_case_that_is_worked_with_others_stays(world: World) -> None:
    case_id, reports = await _case(world, "scam_fraud", "threats")
    done = await _split(world, case_id, reports[1])
    await rooms(world).grouping.merge(ANA, case_id, [done.cases[1]], WHY)
    with pytest.raises(Refused, match="with others"):
        await rooms(world).undo(ANA, done.id)


@pytest.mark.parametrize("case", ["all", "none", "foreign", "reason", "unheld", "settled"])
async def test_what_is_no_split(world: World, case: str) -> None:
    case_id, reports = await _case(world, "scam_fraud", "threats")
    other = await world.arrives(post(2), category="threats")
    chosen, person, why = (
        {"all": reports, "none": [], "foreign": [other]}.get(case, reports[:1]),
        ANA,
        WHY,
    )
    if case == "reason":
        why = ""
    if case == "unheld":
        person = BEA
    if case == "settled":
        await decided(world, case_id, CLOSE, "scam_fraud")
    with pytest.raises((Refused, NotLawful)):
        await rooms(world).splitting.split(person, case_id, chosen, why)
    assert world.case(case_id).reports == 2


async def test_both_sides_of_a_restricted_case_stay_restricted(world: World) -> None:
    case_id, reports = await _case(world, "csam", "scam_fraud")
    done = await _split(world, case_id, reports[0])  # what made it restricted leaves
    assert sees(world, UNA) == set()
    with pytest.raises(NoSuchCase):
        await world.desk.claim(UNA, case_id)
    world.later(minutes=1)
    await world.desk.assess(ANA, case_id, said(world.pack, "scam_fraud"))
    assert sees(world, UNA) == {case_id}
    part = world.case(done.cases[1])
    assert part.restricted
    clean = await world.arrives(post(3), category="csam")
    more = [await world.arrives(post(3), category="scam_fraud") for _ in range(2)]
    other = world.case_id(post(3))
    await world.desk.claim(ANA, other)
    away = await _split(world, other, *more)  # nothing in these says so
    assert world.case(away.cases[1]).restricted
    assert clean in world.case(other).recent


async def test_what_comes_back_brings_its_restriction_along(world: World) -> None:
    case_id, reports = await _case(world, "scam_fraud", "scam_fraud")
    done = await _split(world, case_id, reports[1])
    part = done.cases[1]
    csam = await world.arrives(post(5), category="csam")
    await world.desk.claim(ANA, part)
    merge = await rooms(world).grouping.merge(ANA, part, [world.case_id(post(5))], WHY)
    await rooms(world).undo(ANA, merge.id)
    assert world.case(part).restricted
    await rooms(world).undo(ANA, done.id)
    assert world.case(case_id).restricted
    assert csam
