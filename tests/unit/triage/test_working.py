# SPDX-License-Identifier: Apache-2.0
"""A case is followed over days, passed on, moved; and all that happened to it is one list."""

from datetime import timedelta

import pytest
from cases_kit import CLOSE, KIM, PIA, PRIVACY, SID, UNA, decided, posts, rooms, sees
from triage_world import ANA, BEA, RABAT, SUE, World
from wasl_schemas.events.common import Ground, GroundKind
from wasl_triage.audit.trail import AUDIT
from wasl_triage.cases.working import NOTES, SKIPS, Move, Note, Owner, Plan, Skip, SkipReason
from wasl_triage.casework import NOTE
from wasl_triage.desk import Forbidden, MessageRequest, NoSuchCase, NotLawful, Refused
from wasl_triage.domain.case import CLOCK, Attention
from wasl_triage.repository import CASES

SECRET = "Call the school on Monday."


async def _fields(attempt: object) -> set[str]:
    with pytest.raises(NotLawful) as refused:
        await attempt  # type: ignore[misc]
    return {m.field for m in refused.value.missing}


async def test_an_owner_is_somebody_who_sees_the_case(world: World) -> None:
    (case_id,) = await posts(world, (1,), category="csam")
    working = rooms(world).working
    with pytest.raises(Refused, match="hold"):
        await working.assign(ANA, case_id, Owner(owner=BEA.name))
    await world.desk.claim(ANA, case_id)
    await working.assign(ANA, case_id, Owner(owner=KIM.name))
    assert world.case().owner == KIM.name
    for nobody in ("stranger", UNA.name, PIA.name):
        assert await _fields(working.assign(ANA, case_id, Owner(owner=nobody))) == {"owner"}
    await working.assign(SUE, case_id, Owner())  # a supervisor needs no claim
    assert world.case().owner is None
    with pytest.raises(NoSuchCase):
        await working.assign(SID, case_id, Owner(owner=ANA.name))


async def test_a_plan_is_sealed_and_its_day_brings_the_case_back(world: World) -> None:
    (case_id,) = await posts(world, (1,))
    working, now = rooms(world).working, world.clock.now()
    await world.desk.claim(ANA, case_id)
    await working.plan(ANA, case_id, Plan(text=SECRET, next_at=now + timedelta(days=3)))
    assert SECRET not in world.everything()
    assert await world.hub.unit().keys.open(world.case().plan or "", NOTE) == SECRET
    await decided(world, case_id, CLOSE, "scam_fraud")
    await world.desk.release(ANA, case_id, done=True)
    assert not world.case().queued
    assert not await working.watch()
    assert world.case().next_at is not None
    world.later(days=3)
    await working.watch()
    case = world.case()
    assert (case.attention, case.next_at, case.queued) == ((Attention.NEXT_CONTACT,), None, True)
    assert world.audit(case)[-1].who == CLOCK
    await working.watch()
    assert world.audit(world.case())[-1].what == "next_contact_due"
    assert len([r for r in world.audit(case) if r.what == "next_contact_due"]) == 1


@pytest.mark.parametrize("days", [-1, 0, 400])
async def test_a_next_contact_is_within_the_year(world: World, days: int) -> None:
    (case_id,) = await posts(world, (1,))
    await world.desk.claim(ANA, case_id)
    plan = Plan(next_at=world.clock.now() + timedelta(days=days))
    assert await _fields(rooms(world).working.plan(ANA, case_id, plan)) == {"next_at"}


async def test_the_next_contact_of_a_follower_is_told_to_its_lead(world: World) -> None:
    ids = await posts(world, (1, 2))
    await world.desk.claim(ANA, ids[0])
    await world.desk.claim(ANA, ids[1])
    plan = Plan(next_at=world.clock.now() + timedelta(days=1))
    await rooms(world).working.plan(ANA, ids[1], plan)
    await rooms(world).grouping.merge(ANA, ids[0], [ids[1]], "One seller.")
    world.later(days=2)
    await rooms(world).working.watch()
    assert world.case(ids[0]).attention == (Attention.FOLLOWER,)
    assert world.case(ids[1]).queued


async def test_a_note_is_for_the_desk_alone(world: World) -> None:
    (case_id,) = await posts(world, (1,))
    await world.desk.claim(ANA, case_id)
    events = len(world.hub.store.outbox)
    row = await rooms(world).working.note(BEA, case_id, Note(text=SECRET))
    assert SECRET not in world.everything()
    assert len(world.hub.store.outbox) == events
    (kept,) = await rooms(world).working.notes(case_id)
    assert kept == row
    assert row.body.startswith(f"s1.{case_id}.")
    assert await world.hub.unit().keys.open(row.body, NOTE) == SECRET
    assert NOTES.decode({**NOTES.encode(row), "_id": row.id}) == row


async def test_who_passes_a_case_on_is_not_offered_it_again_this_round(world: World) -> None:
    (case_id,) = await posts(world, (1,))
    await world.desk.claim(ANA, case_id)
    case = await rooms(world).working.skip(ANA, case_id, Skip(reason=SkipReason.NO_LANGUAGE))
    assert (case.claimed_by, case.skipped) == (None, (ANA.name,))
    assert await world.desk.queue(ANA, 5) == []
    assert [c.id for c in await world.desk.queue(BEA, 5)] == [case_id]
    await rooms(world).working.skip(ANA, case_id, Skip())
    assert len(world.hub.store.docs["skips"]) == 1  # once a round
    await decided(world, case_id, CLOSE, "scam_fraud", BEA)
    await world.desk.reopen(BEA, case_id, "Seen again.")
    await world.desk.release(BEA, case_id, done=False)
    assert [c.id for c in await world.desk.queue(ANA, 5)] == [case_id]


async def test_opting_out_takes_no_reason_and_nobody_passes_on_what_another_holds(
    world: World,
) -> None:
    (case_id,) = await posts(world, (1,))
    await world.desk.claim(BEA, case_id)
    with pytest.raises(Refused):
        await rooms(world).working.skip(ANA, case_id, Skip())
    await rooms(world).working.skip(BEA, case_id, Skip.model_validate_json("{}"))
    assert world.audit(world.case())[-1].why == "opted_out"


async def test_supervisors_count_skips_without_names_and_within_their_clearance(
    world: World,
) -> None:
    start = world.clock.now()
    ids = await posts(world, (1, 2))
    (child,) = await posts(world, (3,), category="csam")
    working = rooms(world).working
    for person in (ANA, BEA):
        for case_id in (*ids, child):
            await working.skip(person, case_id, Skip(reason=SkipReason.TOO_DISTRESSING))
    fraud, csam = (
        ("cyber", "scam_fraud", "too_distressing"),
        ("children", "csam", "too_distressing"),
    )
    assert await working.skips(SUE, start) == {fraud: 4, csam: 2}
    assert await working.skips(SID, start) == {fraud: 4}
    assert await working.skips(SUE, world.later(days=1)) == {}
    with pytest.raises(Forbidden):
        await working.skips(ANA, start)
    row = SKIPS.decode(next(iter(world.hub.store.docs["skips"].values())))
    assert SKIPS.decode({**SKIPS.encode(row), "_id": row.id}) == row


async def test_a_move_takes_a_reason_and_lets_go_of_the_case(world: World) -> None:
    (case_id,) = await posts(world, (1,))
    working = rooms(world).working
    with pytest.raises(Refused, match="hold"):
        await working.move(ANA, case_id, Move(queue="privacy", reason="x"))
    await world.desk.claim(ANA, case_id)
    assert await _fields(working.move(ANA, case_id, Move(queue="nowhere"))) == {"queue", "reason"}
    assert sees(world, PIA) == set()
    case = await working.move(ANA, case_id, Move(queue="privacy", reason=SECRET))
    assert (case.queue, case.routed_by, case.claimed_by) == ("privacy", ANA.name, None)
    assert sees(world, PIA) == {case_id}
    assert SECRET not in world.everything()
    await world.arrives("https://www.facebook.com/permalink.php?story_fbid=1&id=100000000000023",
                        category="threats")  # fmt: skip
    assert world.case().queue == "privacy"  # what a person put there stays there


async def test_a_restricted_case_is_restricted_in_every_queue(world: World) -> None:
    (case_id,) = await posts(world, (1,), category="csam")
    for queue in world.pack.queues:
        await rooms(world).working.move(SUE, case_id, Move(queue=queue, reason="x"))
        assert world.case().queue == queue
        assert case_id not in sees(world, UNA) | sees(world, PIA)
        with pytest.raises(NoSuchCase):
            await rooms(world).working.move(SID, case_id, Move(queue="general", reason="x"))


# -- the timeline ----------------------------------------------------------------------------------


async def test_the_timeline_is_everything_in_order_and_no_looks(world: World) -> None:
    (case_id,) = await posts(world, (1,))
    (report,) = world.case().recent
    r = rooms(world)
    world.later(minutes=1)
    await world.deliver(await world.message(report, "Please look."))
    world.later(minutes=1)
    await world.desk.claim(ANA, case_id)
    await world.desk.read(ANA, case_id)
    world.later(minutes=1)
    await r.working.note(ANA, case_id, Note(text=SECRET))
    world.later(minutes=1)
    await world.desk.write(ANA, case_id, MessageRequest(report_id=report, text="We look."))
    world.later(minutes=1)
    await decided(world, case_id, CLOSE, "scam_fraud")
    entries = await r.timelines.of(ANA, case_id)
    assert [e.at for e in entries] == sorted(e.at for e in entries)
    what = [e.what for e in entries]
    assert what[:2] == ["report", "message"]
    assert [w for w in what if w not in ("claim", "first_look")] == [
        "report", "message", "note", "message", "decide_close", "assess",
    ]  # fmt: skip
    assert not any("read" in w for w in what)
    told = {e.what: e for e in entries}
    assert told["note"].text == SECRET
    assert told["decide_close"].text == "Seen."
    assert told["message"].who == ANA.name
    assert [e.who for e in entries if e.what == "message"] == [None, ANA.name]
    rows = [AUDIT.decode(d) for d in world.hub.store.docs["audit"].values()]
    assert [x.what for x in rows if x.stream == case_id].count("read") == 2


async def test_the_timeline_is_for_those_who_may_read_the_case(world: World) -> None:
    (case_id,) = await posts(world, (1,), category="csam")
    with pytest.raises(NoSuchCase):
        await rooms(world).timelines.of(UNA, case_id)


async def test_what_a_blind_second_person_must_not_know_is_not_in_it(world: World) -> None:
    hate = PRIVACY.model_copy(
        update={"ground": Ground(kind=GroundKind.TERMS, ref="terms.hate"), "rabat": RABAT}
    )
    (case_id,) = await posts(world, (1,), category="hate_speech")
    await world.desk.claim(ANA, case_id)
    await rooms(world).working.note(ANA, case_id, Note(text=SECRET))
    await decided(world, case_id, hate, "hate_speech")
    assert world.case().pending()
    entries = await rooms(world).timelines.of(BEA, case_id)
    assert "hate_speech" not in {e.ref for e in entries}
    assert SECRET not in {e.text for e in entries}
    assert "hate_speech" in {e.ref for e in await rooms(world).timelines.of(ANA, case_id)}


def test_next_contacts_have_an_index() -> None:
    assert any(index.keys == (("next_at", 1),) for index in CASES.indexes)
