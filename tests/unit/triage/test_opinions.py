# SPDX-License-Identifier: Apache-2.0
"""Another body is asked; it sees what it is asked about and nothing more."""

from datetime import timedelta
from typing import Any

import pytest
from cases_kit import CLOSE, KIM, PIA, SID, UNA, decided, posts, rooms
from triage_world import ANA, BEA, World
from wasl_triage.cases.opinions import OPINIONS, Inquiry, Opinion, OpinionAnswer
from wasl_triage.desk import Forbidden, NoSuchCase, NotLawful, Refused
from wasl_triage.domain.case import Attention
from wasl_triage.domain.people import Person, Role

WORDS = "Is a number plate personal data here?"
ANSWER = OpinionAnswer(text="It is, with the street.")


async def _fields(attempt: Any) -> set[str]:
    with pytest.raises(NotLawful) as refused:
        await attempt
    return {m.field for m in refused.value.missing}


async def _asked(world: World, body: str = "data-protection", **facts: Any) -> Opinion:
    (case_id,) = await posts(world, (1,), **facts)
    await world.desk.claim(ANA, case_id)
    return await rooms(world).opinions.ask(ANA, case_id, Inquiry(body=body, question=WORDS))


async def test_the_pack_names_the_bodies(world: World) -> None:
    bodies = {b.id: b.queue for b in world.pack.desk.opinions}
    assert bodies == {
        "data-protection": "privacy", "legal": "speech", "child-protection": "children",
        "macert": None,
    }  # fmt: skip
    assert all(q is None or q in world.pack.queues for q in bodies.values())
    (case_id,) = await posts(world, (1,))
    inquiry = Inquiry(body="nobody", question=WORDS)
    assert await _fields(rooms(world).opinions.ask(ANA, case_id, inquiry)) == {"body"}


async def test_being_asked_opens_one_case_of_another_queue_redacted(world: World) -> None:
    opinions = rooms(world).opinions
    opinion = await _asked(world, text="Call +212 612 345 678 now")
    await posts(world, (2,))
    with pytest.raises(NoSuchCase):
        await world.desk.read(PIA, opinion.case_id)
    assert [o.id for o in await opinions.waiting(PIA)] == [opinion.id]
    read, question, sheet = await opinions.read(PIA, opinion.id)
    assert (read, question, sheet.case.id) == (opinion, WORDS, opinion.case_id)
    assert "612" not in (sheet.reports[0].narrative or "")
    assert world.audit(world.case(opinion.case_id))[-1].who == PIA.name
    assert WORDS not in world.everything()


async def test_the_answer_brings_the_case_back(world: World) -> None:
    opinion = await _asked(world)
    await world.desk.release(ANA, opinion.case_id, done=True)
    done = await rooms(world).opinions.give(PIA, opinion.id, ANSWER)
    assert (done.open, done.answered_by) == (False, PIA.name)
    assert world.case().attention == (Attention.OPINION,)
    assert ANSWER.text not in world.everything()
    assert await rooms(world).opinions.waiting(PIA) == []
    with pytest.raises(NoSuchCase):  # the question is closed, and so is the case
        await rooms(world).opinions.read(PIA, opinion.id)
    texts = {e.what: e.text for e in await rooms(world).timelines.of(ANA, opinion.case_id)}
    assert (texts["ask_opinion"], texts["give_opinion"]) == (WORDS, ANSWER.text)
    assert OPINIONS.decode({**OPINIONS.encode(done), "_id": done.id, "_rev": 2}) == done


async def test_nobody_answers_their_own_question_or_for_another_body(world: World) -> None:
    opinion = await _asked(world)
    opinions = rooms(world).opinions
    with pytest.raises(Refused, match="yourself"):
        await opinions.give(ANA, opinion.id, ANSWER)
    assert await opinions.waiting(ANA) == []
    speech = Person(name="speech-1", roles=frozenset({Role.ANALYST}), queues=frozenset({"speech"}))
    for act in (opinions.read(speech, opinion.id), opinions.give(speech, opinion.id, ANSWER)):
        with pytest.raises(NoSuchCase):
            await act
    with pytest.raises(Forbidden):
        await opinions.give(SID, opinion.id, ANSWER)
    await opinions.give(BEA, opinion.id, ANSWER)  # every queue is hers


async def test_a_question_opens_nothing_that_takes_a_clearance(world: World) -> None:
    opinion = await _asked(world, "child-protection", category="csam")
    opinions = rooms(world).opinions
    uncleared = Person(
        name="children-2", roles=frozenset({Role.ANALYST}), queues=frozenset({"children"})
    )
    for person in (uncleared, UNA):
        assert await opinions.waiting(person) == []
        with pytest.raises(NoSuchCase):
            await opinions.read(person, opinion.id)
        with pytest.raises(NoSuchCase):
            await opinions.give(person, opinion.id, ANSWER)
    assert [o.id for o in await opinions.waiting(KIM)] == [opinion.id]
    await opinions.give(KIM, opinion.id, ANSWER)


async def test_what_a_body_outside_said_is_written_down_with_who_and_when(world: World) -> None:
    opinion = await _asked(world, "macert")
    opinions, today = rooms(world).opinions, world.clock.now().date()
    assert await opinions.waiting(PIA) == []
    with pytest.raises(NoSuchCase):
        await opinions.give(BEA, opinion.id, ANSWER)
    said = ANSWER.model_copy(update={"author": "The desk officer", "on": today})
    attempt = opinions.record(ANA, opinion.case_id, opinion.id, ANSWER)
    assert await _fields(attempt) == {"author", "on"}
    tomorrow = said.model_copy(update={"on": today + timedelta(days=1)})
    assert await _fields(opinions.record(ANA, opinion.case_id, opinion.id, tomorrow)) == {"on"}
    done = await opinions.record(ANA, opinion.case_id, opinion.id, said)
    assert (done.on, done.answered_by) == (today.isoformat(), ANA.name)
    assert "desk officer" not in world.everything()
    with pytest.raises(Refused, match="already"):
        await opinions.record(ANA, opinion.case_id, opinion.id, said)
    with pytest.raises(NoSuchCase):
        await opinions.record(ANA, "f" * 32, opinion.id, said)


async def test_a_body_with_people_is_not_answered_for(world: World) -> None:
    opinion = await _asked(world)
    said = ANSWER.model_copy(update={"author": "x", "on": world.clock.now().date()})
    attempt = rooms(world).opinions.record(BEA, opinion.case_id, opinion.id, said)
    assert await _fields(attempt) == {"body"}


async def test_a_decision_goes_on_without_and_the_wait_shows(world: World) -> None:
    opinion = await _asked(world)
    await decided(world, opinion.case_id, CLOSE, "scam_fraud")
    (waiting,) = await rooms(world).opinions.of(opinion.case_id)
    assert waiting.open
    assert waiting.due > waiting.at
