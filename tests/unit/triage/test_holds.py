# SPDX-License-Identifier: Apache-2.0
"""One sets a hold, two lift it; while it stands nothing is erased and originals are kept."""

from datetime import timedelta

import pytest
from triage_world import ANA, SUE, World
from wasl_chassis.failures import Conflict, KeyDestroyed
from wasl_triage.audit.trail import broken_link
from wasl_triage.desk import Forbidden, NoSuchCase, Refused
from wasl_triage.domain.people import Person, Role
from wasl_triage.protection.holds import HOLDS, ORIGINAL, ORIGINALS, HoldRequest, Holds, LiftRequest
from wasl_triage.protection.redaction import Piece, Redaction, RedactionRequest
from wasl_triage.protection.retention import Retention

DEE = Person(name="officer-1", roles=frozenset({Role.DATA_OFFICER, Role.CHILD_SAFETY}))
NARROW = Person(name="officer-2", roles=frozenset({Role.DATA_OFFICER}))
WHY = LiftRequest(reason="The court has decided.")
TEXT = "Call me on +212 612-345678 please."


@pytest.fixture
def holds(world: World) -> Holds:
    return Holds(world.hub, world.pack, world.desk)


def _request(world: World, days: int = 90) -> HoldRequest:
    until = world.clock.now() + timedelta(days=days)
    return HoldRequest(body="court-rabat", reason="Asked for by letter 12/2026.", until=until)


async def _opened(world: World, **facts: str) -> tuple[str, str]:
    report = await world.arrives("https://example.org/a", category="scam_fraud", text=TEXT, **facts)
    return world.case().id, report


async def test_one_person_sets_it_and_two_lift_it(world: World, holds: Holds) -> None:
    case_id, _ = await _opened(world)
    hold = await holds.set(SUE, case_id, _request(world))
    case = world.case()
    assert (case.held, hold.stands, hold.by) == (True, True, SUE.name)
    asked = await holds.lift(SUE, hold.hold_id, WHY)
    assert (asked.stands, asked.lift_asked_by, world.case().held) == (True, SUE.name, True)
    with pytest.raises(Refused, match="You asked"):
        await holds.lift(SUE, hold.hold_id, WHY)
    lifted = await holds.lift(DEE, hold.hold_id, WHY)
    assert (lifted.stands, lifted.lifted_by, world.case().held) == (False, DEE.name, False)
    with pytest.raises(Refused, match="No such hold"):
        await holds.lift(DEE, hold.hold_id, WHY)
    trail = world.audit(world.case())
    assert [r.what for r in trail] == ["hold", "ask_lift_hold", "lift_hold"]
    assert {r.why for r in trail} == {hold.hold_id}
    assert broken_link(world.case(), trail) is None


async def test_it_stays_where_somebody_says_so(world: World, holds: Holds) -> None:
    case_id, _ = await _opened(world)
    hold = await holds.set(SUE, case_id, _request(world))
    with pytest.raises(Refused, match="Nobody asked"):
        await holds.refuse_lifting(DEE, hold.hold_id)
    await holds.lift(SUE, hold.hold_id, WHY)
    kept = await holds.refuse_lifting(DEE, hold.hold_id)
    assert (kept.lift_asked_by, kept.lift_reason, kept.stands) == (None, None, True)
    again = await holds.lift(DEE, hold.hold_id, WHY)
    assert again.stands, "one alone never lifts it"


async def test_of_two_holds_each_is_lifted_for_itself(world: World, holds: Holds) -> None:
    case_id, _ = await _opened(world)
    one = await holds.set(SUE, case_id, _request(world))
    two = await holds.set(DEE, case_id, _request(world))
    for hold, held in ((one, True), (two, False)):
        await holds.lift(SUE, hold.hold_id, WHY)
        await holds.lift(DEE, hold.hold_id, WHY)
        assert world.case().held is held
    found = await holds.of(SUE, case_id)
    assert [h.hold_id for h in found] == [one.hold_id, two.hold_id]


async def test_two_who_lift_at_once_are_still_two(world: World, holds: Holds) -> None:
    """Each sees a hold nobody asked to lift; one commit wins, the other conflicts."""
    case_id, _ = await _opened(world)
    hold = await holds.set(SUE, case_id, _request(world))
    first, second = world.hub.unit(), world.hub.unit()
    for uow, who in ((first, SUE), (second, DEE)):
        held = await uow.get(HOLDS, hold.hold_id)
        assert held is not None
        uow.put(HOLDS, held.model_copy(update={"lift_asked_by": who.name}))
    await world.hub.commit(first)
    with pytest.raises(Conflict):
        await world.hub.commit(second)


async def test_who_may(world: World, holds: Holds) -> None:
    case_id, _ = await _opened(world)
    with pytest.raises(Forbidden):
        await holds.set(ANA, case_id, _request(world))
    with pytest.raises(Refused, match="over already"):
        await holds.set(SUE, case_id, _request(world, days=0))
    hold = await holds.set(SUE, case_id, _request(world))
    with pytest.raises(Forbidden):
        await holds.lift(ANA, hold.hold_id, WHY)
    with pytest.raises(Forbidden):
        await holds.of(ANA, case_id)


async def test_a_restricted_case_does_not_exist_for_who_is_not_cleared(
    world: World, holds: Holds
) -> None:
    report = await world.arrives("https://example.org/a", category="csam")
    case_id = world.case().id
    hold = await holds.set(DEE, case_id, _request(world))
    wanted = RedactionRequest(report_id=report, pieces=(Piece(start=0, end=1),))
    for attempt in (
        holds.set(NARROW, case_id, _request(world)),
        holds.lift(NARROW, hold.hold_id, WHY),
        holds.of(NARROW, case_id),
        Redaction(world.hub, world.desk).redact(NARROW, case_id, wanted),
    ):
        with pytest.raises(NoSuchCase):
            await attempt


async def test_reasons_are_sealed(world: World, holds: Holds) -> None:
    case_id, _ = await _opened(world)
    hold = await holds.set(SUE, case_id, _request(world))
    await holds.lift(DEE, hold.hold_id, WHY)
    assert "letter 12/2026" not in world.everything()
    assert "court has decided" not in world.everything()


async def test_what_is_past_its_date_is_overdue_and_stands(world: World, holds: Holds) -> None:
    case_id, _ = await _opened(world)
    await holds.set(SUE, case_id, _request(world, days=1))
    await holds.gauge()
    assert world.count("wasl_triage_holds", state="stands") == 1
    world.later(days=2)
    await holds.gauge()
    assert world.count("wasl_triage_holds", state="stands") == 0
    assert world.count("wasl_triage_holds", state="overdue") == 1
    assert world.case().held


async def test_an_original_lives_as_long_as_the_hold(world: World, holds: Holds) -> None:
    case_id, report = await _opened(world)
    hold = await holds.set(SUE, case_id, _request(world))
    redaction = Redaction(world.hub, world.desk)
    wanted = RedactionRequest(report_id=report, detected=True)
    done = await redaction.redact(DEE, case_id, wanted)
    assert done.under_holds == 1
    (kept,) = [ORIGINALS.decode(d) for d in world.hub.store.docs["originals"].values()]
    assert TEXT in await world.hub.unit().keys.open(kept.content, ORIGINAL)
    more = RedactionRequest(report_id=report, pieces=(Piece(start=0, end=4),))
    await redaction.redact(DEE, case_id, more)
    (still,) = [ORIGINALS.decode(d) for d in world.hub.store.docs["originals"].values()]
    assert still == kept, "the first text is the original"
    await holds.lift(SUE, hold.hold_id, WHY)
    await holds.lift(DEE, hold.hold_id, WHY)
    assert world.hub.store.docs["originals"] == {}
    with pytest.raises(KeyDestroyed):
        await world.hub.unit().keys.open(kept.content, ORIGINAL)


async def test_the_holder_of_the_receipt_withdraws_under_a_hold_too(
    world: World, holds: Holds
) -> None:
    case_id, report = await _opened(world)
    await holds.set(SUE, case_id, _request(world))
    await world.deliver(await world.withdrawal(report))
    assert world.reports()[report].content is None
    case = world.case()
    assert (case.held, case.id) == (True, case_id)
    world.later(days=5000)
    done = await Retention(world.hub, world.pack, holder="a", mode="on").turn()
    assert {x.kind for x in done.lines} <= {"report"}
    assert world.case().held, "the case itself is kept"
