# SPDX-License-Identifier: Apache-2.0
"""What one small request must not do: keep everybody waiting, or its own sender from going on.

Costs are counted, not timed; where a cost was exponential, the test would not come to its end.
"""

import unicodedata
from typing import Any

import pytest
from pages import Person
from wasl_intake.channels import mail, mime, reading
from wasl_intake.domain import flood, locations, receipt, submission, text
from wasl_intake.domain.slips import SlipKind, slips
from wasl_intake.domain.submission import LOCATIONS_MAX, MESSAGE_MAX
from wasl_intake.feedback import TEXT_MAX
from wasl_intake.portal import feedback, follow, report
from wasl_intake.portal.state import Sealer, State, TooLarge


def counted(monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> list[int]:
    """Lengths of what a function of ``module`` is given from now on."""
    real, sizes = getattr(module, name), []

    def measured(*given: Any) -> Any:
        sizes.append(len(given[-1]))
        return real(*given)

    monkeypatch.setattr(module, name, measured)
    return sizes


async def test_too_many_links_are_refused_before_any_is_read(
    portal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = counted(monkeypatch, report, "_location_error")
    lines = counted(monkeypatch, report, "_lines")
    for path in ("report/4", "quick"):
        if path == "quick" and not portal.handlers._pack.portal.quick_category:
            continue
        answer = await portal.form(f"/en/{path}", {"links": "!\n" * (LOCATIONS_MAX + 1)})
        assert answer.status_code == 422
    assert read == []
    assert len(lines) < 10


async def test_what_is_too_long_to_keep_is_not_searched(
    portal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched = [counted(monkeypatch, module, "slips") for module in (follow, feedback, report)]
    code = await portal.send()
    await portal.form("/en/follow", {"receipt": code})
    long = "Call 0612345678 " * 2_000
    for more in ({}, {"hide": "yes"}):
        answer = await portal.form("/en/follow", {"message": long, **more})
        assert answer.status_code == 422
        answer = await portal.form("/en/feedback", {"kind": "thanks", "text": long, **more})
        assert answer.status_code == 422
        answer = await portal.form("/en/report/6", {"narrative": long, **more})
        assert answer.status_code == 422
    assert all(size <= max(MESSAGE_MAX, TEXT_MAX) for sizes in searched for size in sizes)


def test_a_slip_inside_a_link_is_none_among_many_links() -> None:
    found = slips("http://a.test/x@b.test y@b.test " * 20)
    assert [s.kind for s in found] == [SlipKind.EMAIL] * 20


async def test_signs_nobody_sees_do_not_stop_a_report(portal: Any) -> None:
    person = Person(portal, "en")
    await person.report(narrative="Three letters\x0b came\x00 to me\x85 by\rpost")
    assert person.path == "receipt"
    [report_id] = portal.hub.store.docs["reports"]
    kept = (await portal.hub.content(report_id)).narrative
    assert kept == "Three letters  came  to me  by\npost"


def test_a_state_that_could_not_be_opened_again_is_not_sealed() -> None:
    sealer = Sealer(b"p" * 32, clock=lambda: 0.0)
    state = State()
    state.put("draft", {"narrative": "a" * 150_000})
    assert sealer.open(sealer.seal(state)).get("draft") == state.get("draft")
    state.put("draft", {"narrative": "a" * 300_000})
    with pytest.raises(TooLarge):
        sealer.seal(state)


@pytest.mark.parametrize("lines", [15, 40])
def test_a_long_signature_is_read_in_time(lines: int) -> None:
    words = "Words.\n-- \n" + "\n".join(f"line {n} of a signature" for n in range(lines))
    expected = "Words." if lines == 15 else words
    assert mail._SIGNATURE.sub("", words) == expected


def test_spaces_in_html_are_read_in_time() -> None:
    assert mime._without_tags(" " * 100_000 + "<p> one \t<br>\n\n two" + " " * 30_000) == "one\ntwo"


def test_marks_without_end_are_not_put_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    sorted_ = []
    real = unicodedata.normalize

    def watched(form: str, given: str) -> str:
        sorted_.append(sum(map(bool, map(unicodedata.combining, given))))
        return real(form, given)

    monkeypatch.setattr(unicodedata, "normalize", watched)
    marks = "a" + "\u0316\u0301" * 1_000
    submission.MESSAGE.validate_python({"body": marks})
    reading.clean(marks)
    flood.shingles([marks], marks)
    receipt.find(marks)
    receipt.read(marks[:499])
    locations.clean("@" + "e\u0301")
    assert sorted_
    assert max(sorted_) <= text.MARKS_MAX


def test_few_marks_are_put_in_order() -> None:
    assert text.normalized("NFC", "e\u0301" * 500) == "\u00e9" * 500
