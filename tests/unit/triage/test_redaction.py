# SPDX-License-Identifier: Apache-2.0
"""What is blacked out is gone here and at intake; what is kept is said."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from triage_world import ANA, SUE, World
from wasl_schemas import topics
from wasl_schemas.events.report_submitted_v1 import ReportContent
from wasl_schemas.ids import uuid7
from wasl_triage.cases.working import NOTES, Note, Working
from wasl_triage.casework import CONTENT, MESSAGE, NOTE
from wasl_triage.desk import Forbidden, MessageRequest, Refused
from wasl_triage.domain.people import Person, Role
from wasl_triage.protection.holds import ORIGINAL, ORIGINALS, HoldRequest, Holds, LiftRequest
from wasl_triage.protection.redaction import REMOVED, Piece, Redaction, RedactionRequest, redacted
from wasl_triage.repository import MESSAGES, Message

DEE = Person(name="officer-1", roles=frozenset({Role.DATA_OFFICER, Role.CHILD_SAFETY}))
TEXT = "Fatima wrote to rabia@example.org about it."


async def _nobody(_: str) -> Person | None:
    return None


@pytest.fixture
def redaction(world: World) -> Redaction:
    return Redaction(world.hub, world.desk)


async def _opened(world: World) -> tuple[str, str]:
    report = await world.arrives("https://example.org/a", category="scam_fraud", text=TEXT)
    return world.case().id, report


async def _text(world: World, report: str) -> ReportContent:
    sealed = world.reports()[report].content
    assert sealed is not None
    return ReportContent.model_validate_json(await world.hub.unit().keys.open(sealed, CONTENT))


async def test_a_piece_and_what_was_detected_go(world: World, redaction: Redaction) -> None:
    case_id, report = await _opened(world)
    assert world.reports()[report].personal == ("email",)
    before = world.reports()[report].content
    wanted = RedactionRequest(report_id=report, pieces=(Piece(start=0, end=6),), detected=True)
    done = await redaction.redact(DEE, case_id, wanted)
    assert (done.pieces, done.under_holds) == (2, 0)
    content = await _text(world, report)
    assert content.narrative == f"{REMOVED} wrote to [email] about it."
    assert content.locations == ("https://example.org/a",)
    kept = world.reports()[report]
    assert (kept.personal, kept.redacted_at) == ((), world.clock.now())
    assert before is not None
    assert before not in str(world.hub.store.docs), "the hub keeps no original without a hold"
    (told,) = world.emitted(topics.REPORT_REDACTED_V1)
    assert (told.report_id, told.content) == (report, kept.content)
    sheet = await world.desk.read(ANA, case_id, unredacted=True)
    assert sheet.reports[0].narrative == content.narrative
    assert [r.what for r in world.audit(world.case())][:1] == ["redact"]


async def test_who_may_and_what_there_is_not(world: World, redaction: Redaction) -> None:
    case_id, report = await _opened(world)
    piece = (Piece(start=0, end=6),)
    with pytest.raises(Forbidden):
        await redaction.redact(ANA, case_id, RedactionRequest(report_id=report, pieces=piece))
    with pytest.raises(Refused, match="nothing to black out"):
        await redaction.redact(SUE, case_id, RedactionRequest(report_id=report))
    with pytest.raises(Refused, match="beyond the text"):
        await redaction.redact(
            SUE, case_id, RedactionRequest(report_id=report, pieces=(Piece(start=0, end=999),))
        )
    other = await world.arrives("https://example.org/other")
    with pytest.raises(Refused, match="no such report"):
        await redaction.redact(SUE, case_id, RedactionRequest(report_id=other, pieces=piece))
    await world.deliver(await world.withdrawal(report))
    with pytest.raises(Refused, match="no such report"):
        await redaction.redact(SUE, case_id, RedactionRequest(report_id=report, pieces=piece))
    assert world.emitted(topics.REPORT_REDACTED_V1) == []


async def test_a_text_whose_key_is_gone(world: World, redaction: Redaction) -> None:
    case_id, report = await _opened(world)
    await world.withdrawal(report)  # on its way to us
    with pytest.raises(Refused, match="no text any more"):
        await redaction.redact(SUE, case_id, RedactionRequest(report_id=report, detected=True))


# -- messages and notes ----------------------------------------------------------------------------


async def _message(world: World, report: str, by_staff: bool) -> Message:
    """One message of the thread with an address in it."""
    if by_staff:
        await world.held(ANA)
        text = "Did rabia@example.org write?"
        wanted = MessageRequest(report_id=report, text=text, question=True)
        await world.desk.write(ANA, world.case().id, wanted)
    else:
        await world.deliver(await world.message(report, "Yes, rabia@example.org did."))
    (doc,) = world.hub.store.docs["messages"].values()
    return MESSAGES.decode(doc)


@pytest.mark.parametrize("by_staff", [False, True])
async def test_a_message_goes_here_and_at_intake(
    world: World, redaction: Redaction, by_staff: bool
) -> None:
    case_id, report = await _opened(world)
    before = await _message(world, report, by_staff)
    wanted = RedactionRequest(report_id=report, message_id=before.id, detected=True)
    done = await redaction.redact(SUE, case_id, wanted)
    assert (done.pieces, done.under_holds) == (1, 0)
    kept = MESSAGES.decode(world.hub.store.docs["messages"][before.id])
    text = await world.hub.unit().keys.open(kept.body, MESSAGE)
    assert ("rabia" in text, "[email]" in text) == (False, True)
    assert before.body not in str(world.hub.store.docs["messages"])
    (told,) = world.emitted(topics.REPORT_REDACTED_V1)
    assert told.content == world.reports()[report].content, "the text itself is as it was"
    assert told.message is not None
    assert (told.message.message_id, told.message.body) == (before.id, kept.body)
    assert (told.message.by_staff, told.message.question) == (by_staff, by_staff)
    assert told.message.sent_at == before.sent_at
    assert world.audit(world.case())[-1].what == "redact_message"
    with pytest.raises(Refused, match="nothing to black out"):
        await redaction.redact(SUE, case_id, wanted)


async def test_a_note_goes(world: World, redaction: Redaction) -> None:
    case_id, _ = await _opened(world)
    working = Working(world.hub, world.pack, world.desk, _nobody)
    row = await working.note(ANA, case_id, Note(text="Call rabia@example.org again."))
    done = await redaction.redact(SUE, case_id, RedactionRequest(note_id=row.id, detected=True))
    assert (done.pieces, done.under_holds) == (1, 0)
    kept = NOTES.decode(world.hub.store.docs["notes"][row.id])
    assert await world.hub.unit().keys.open(kept.body, NOTE) == "Call [email] again."
    assert world.emitted(topics.REPORT_REDACTED_V1) == [], "a note is nobody else's"
    assert world.audit(world.case())[-1].what == "redact_note"


async def test_a_hold_keeps_what_a_message_and_a_note_said(
    world: World, redaction: Redaction
) -> None:
    case_id, report = await _opened(world)
    message = await _message(world, report, by_staff=False)
    note = await Working(world.hub, world.pack, world.desk, _nobody).note(
        ANA, case_id, Note(text="Call rabia@example.org again.")
    )
    holds = Holds(world.hub, world.pack, world.desk)
    until = world.later(days=1) + timedelta(days=30)
    hold = await holds.set(SUE, case_id, HoldRequest(body="court", reason="x", until=until))
    for wanted in (
        RedactionRequest(report_id=report, message_id=message.id, detected=True),
        RedactionRequest(note_id=note.id, detected=True),
    ):
        assert (await redaction.redact(SUE, case_id, wanted)).under_holds == 1
    kept = [ORIGINALS.decode(d) for d in world.hub.store.docs["originals"].values()]
    texts = {await world.hub.unit().keys.open(o.content, ORIGINAL) for o in kept}
    assert texts == {"Yes, rabia@example.org did.", "Call rabia@example.org again."}
    await holds.lift(SUE, hold.hold_id, LiftRequest(reason="over"))
    await holds.lift(DEE, hold.hold_id, LiftRequest(reason="over"))
    assert world.hub.store.docs["originals"] == {}


async def test_only_what_belongs_to_the_case(world: World, redaction: Redaction) -> None:
    case_id, report = await _opened(world)
    message = await _message(world, report, by_staff=False)
    await world.arrives("https://example.org/other")
    other = next(i for i in world.reports() if i != report)
    other_case = world.reports()[other].cases[0]
    note = await Working(world.hub, world.pack, world.desk, _nobody).note(
        ANA, case_id, Note(text="Call rabia@example.org.")
    )
    cases = (
        (case_id, RedactionRequest(report_id=report, message_id=uuid7(), detected=True), "message"),
        (other_case, RedactionRequest(report_id=other, message_id=message.id, detected=True),
         "message"),
        (other_case, RedactionRequest(note_id=note.id, detected=True), "note"),
    )  # fmt: skip
    for where, wanted, what in cases:
        with pytest.raises(Refused, match=f"no such {what}"):
            await redaction.redact(SUE, where, wanted)
    for wrong in ({}, {"note_id": note.id, "report_id": report}, {"message_id": message.id}):
        with pytest.raises(ValidationError):
            RedactionRequest.model_validate(wrong)


def test_a_piece_is_not_empty() -> None:
    with pytest.raises(ValidationError, match="greater than"):
        Piece(start=3, end=3)


_PIECES = st.lists(st.tuples(st.integers(0, 30), st.integers(1, 10)), max_size=6)


@given(st.text("abcdefgh é§", min_size=40, max_size=60), _PIECES)
def test_every_character_outside_the_pieces_stays_and_none_inside(
    text: str, spans: list[tuple[int, int]]
) -> None:
    marked = "".join(chr(0x4E00 + n) for n in range(len(text)))  # each character once
    pieces = tuple(Piece(start=a, end=a + n) for a, n in spans)
    out, count = redacted(marked, RedactionRequest(report_id="r" * 32, pieces=pieces))
    covered = {n for p in pieces for n in range(p.start, p.end)}
    assert [c for c in out if c in marked] == [
        c for n, c in enumerate(marked) if n not in covered
    ]  # fmt: skip
    assert out.count(REMOVED) == count
