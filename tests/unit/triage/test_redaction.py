# SPDX-License-Identifier: Apache-2.0
"""What is blacked out is gone here and at intake; what is kept is said."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from triage_world import ANA, SUE, World
from wasl_schemas import topics
from wasl_schemas.events.report_submitted_v1 import ReportContent
from wasl_triage.casework import CONTENT
from wasl_triage.desk import Forbidden, Refused
from wasl_triage.domain.people import Person, Role
from wasl_triage.protection.redaction import REMOVED, Piece, Redaction, RedactionRequest, redacted

DEE = Person(name="officer-1", roles=frozenset({Role.DATA_OFFICER, Role.CHILD_SAFETY}))
TEXT = "Fatima wrote to rabia@example.org about it."


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
