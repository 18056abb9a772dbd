# SPDX-License-Identifier: Apache-2.0
import io
import json
import logging

import pytest
from wasl_chassis import logs


@pytest.fixture
def lines():
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    stream = io.StringIO()
    logs.configure("wasl-test", "1.0", stream=stream)

    def read() -> list[dict]:
        return [json.loads(line) for line in stream.getvalue().splitlines()]

    yield read
    root.handlers[:] = before
    root.setLevel(level)


def test_one_json_line_with_fields(lines) -> None:
    logging.getLogger("wasl_triage.x").info("a case was opened", extra={"case_id": "c1"})
    (line,) = lines()
    assert line["msg"] == "a case was opened"
    assert line["case_id"] == "c1"
    assert line["service"] == "wasl-test"
    assert line["level"] == "INFO"


def test_an_exception_is_its_class_and_places_never_its_text(lines) -> None:
    try:
        raise ValueError("my-private-narrative")
    except ValueError:
        logging.getLogger("wasl_x").exception("it failed")
    (line,) = lines()
    assert line["error"] == "ValueError"
    assert line["at"][0].startswith("test_logs.py:")
    assert "my-private-narrative" not in json.dumps(line)


def test_a_library_speaks_from_warning_up_and_without_its_text(lines) -> None:
    logging.getLogger("pymongo.x").info("chatter")
    logging.getLogger("pymongo.x").warning("document %s", "private")
    (line,) = lines()
    assert "private" not in json.dumps(line)
    assert line["logger"] == "pymongo.x"


def test_a_library_that_repeats_itself_is_heard_now_and_then(lines) -> None:
    logger = logging.getLogger("aiokafka.x")
    now = 1_000.0

    def record(line: int, seconds: float) -> None:
        made = logger.makeRecord(logger.name, logging.ERROR, "lib.py", line, "away", (), None)
        made.created = now + seconds
        logger.handle(made)

    for seconds in (0, 1, 2, 9.9, 10, 11):
        record(7, seconds)
    record(8, 3)
    heard = [(line["where"], line.get("unheard")) for line in lines()]
    assert heard == [("lib.py:7", None), ("lib.py:7", 3), ("lib.py:8", None)]
