# SPDX-License-Identifier: Apache-2.0
"""What the demo sends and what it accepts as the right end."""

from pathlib import Path

import pytest
from wasl_local import samples
from wasl_local.settings import LocalSettings

ALL = {sample.id: sample for sample in samples.load(LocalSettings().samples)}
DISPATCHED = next(
    s for s in ALL.values() if s.decisions and s.decisions[-1]["action"] == "dispatch"
)


def test_there_are_42_and_every_accepted_first_report_says_what_analysts_do() -> None:
    assert len(ALL) == 42
    for sample in ALL.values():
        assert bool(sample.decisions) is (sample.accepted and not sample.duplicate_of), sample.id
        assert sample.duplicate_of is None or ALL[sample.duplicate_of].accepted


def test_the_request_holds_what_the_api_takes_and_nothing_of_the_script() -> None:
    request = ALL["S06"].request()
    assert request["contact"]["address"] == ALL["S06"].contact
    assert not {"analyst", "expected_category", "duplicate_of", "id"} & set(request)


@pytest.mark.parametrize(
    ("books", "expected"),
    [
        (["removed", "refused"], "removed"),
        (["refused", "refused"], "partner_refused"),
        (["refused", "acknowledged"], "sent_partner"),
        (["nothing"], "sent_partner"),
    ],
)
def test_partners_books_decide_over_dispatched_reports(books: list[str], expected: str) -> None:
    assert DISPATCHED.expected(books) == expected


def test_the_script_decides_over_the_others() -> None:
    by_action = {s.decisions[-1]["action"]: s for s in ALL.values() if s.decisions}
    assert by_action["refer"].expected([]) == "referred"
    assert by_action["advise"].expected([]) == "closed"
    assert ALL["S21"].expected([]) == "no_ground"


def test_the_text_is_compared_as_the_hub_keeps_it(tmp_path: Path) -> None:
    line = '{"id": "X", "text": " e\\u0301 ", "urls": [], "expected_intake": "accepted"}\n'
    (tmp_path / "x.jsonl").write_text(line)
    assert samples.load(tmp_path)[0].narrative() == "é"
