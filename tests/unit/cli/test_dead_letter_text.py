# SPDX-License-Identifier: Apache-2.0
"""What ``wasl dlq show`` may print of a dead letter: never what is personal."""

import json
from types import SimpleNamespace

import pytest
from wasl_chassis.operating import Refused
from wasl_cli import dead_letters, dlq
from wasl_schemas import topics
from wasl_schemas.catalog import by_type
from wasl_schemas.lint import fields
from wasl_schemas.sensitivity import Sensitivity, marks

CANARY = "canary0600000001"
SECRET = {Sensitivity.PERSONAL, Sensitivity.RESTRICTED}


def record(value, key=None, headers=()):
    return SimpleNamespace(
        partition=0, offset=7, timestamp=1_770_000_000_000, key=key, value=value, headers=headers
    )


def examples(request):
    folder = request.config.rootpath / "schemas" / "examples"
    return [
        (by_type()[path.parent.name], path.read_bytes())
        for path in sorted(folder.glob("*/*-full.json"))
    ]


def test_every_event_type_hides_its_sealed_fields(request) -> None:
    hidden = 0
    for spec, value in examples(request):
        shown = json.dumps(dlq.described(spec, record(value)), default=str)
        data = json.loads(value)["data"]
        assert f'"{spec.key}": "{data[spec.key]}"' in shown
        for path, field in fields(spec.data):
            if not SECRET & set(marks(field)):
                continue
            found = data
            for part in path.split("."):
                found = found.get(part) if isinstance(found, dict) else None
            if isinstance(found, str):
                hidden += 1
                assert found not in shown
    assert hidden >= 5


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"\xff\xfe broken " + CANARY.encode(),
        json.dumps({"type": CANARY, "data": {CANARY: CANARY}}).encode(),
        json.dumps({"id": CANARY, "type": "org.wasl.report.submitted.v1"}).encode(),
    ],
)
def test_nothing_of_a_broken_record_is_shown(value, capsys) -> None:
    broken = record(
        value,
        CANARY.encode(),
        [
            ("ce_id", CANARY.encode()),
            ("ce_type", CANARY.encode()),
            ("ce_source", f"/wasl/{CANARY}".encode()),
            (CANARY, CANARY.encode()),
            ("x-wasl-reason", b"schema"),
            ("x-wasl-error", f"said {CANARY}\x1b[2J".encode()),
            ("x-wasl-dead-at", None),
        ],
    )
    shown = dlq.described(topics.REPORT_SUBMITTED_V1, broken)
    dlq._print(shown)
    text = json.dumps(shown, default=str) + capsys.readouterr().out
    assert CANARY not in text
    assert "\x1b" not in text
    assert not shown["valid"]
    assert shown["problems"]
    assert shown["remarks"]["reason"] == "schema"
    assert shown["key_bytes"] == len(CANARY)


def test_original_headers_are_the_producers() -> None:
    headers = [("ce_id", b"1"), ("x-wasl-reason", b"schema"), ("traceparent", None)]
    assert dead_letters.original_headers(headers) == [("ce_id", b"1"), ("traceparent", b"")]


def test_time_of_death() -> None:
    stamped = record(b"", headers=[("x-wasl-dead-at", b"2026-01-05T09:00:00+00:00")])
    assert dead_letters.died_at(stamped).isoformat() == "2026-01-05T09:00:00+00:00"
    for value in (b"yesterday", b"2026-01-05T09:00:00", None):
        died = dead_letters.died_at(record(b"", headers=[("x-wasl-dead-at", value)]))
        assert died.timestamp() == 1_770_000_000


def test_whose_dead_letters_they_are() -> None:
    specs = topics.registry(["webhook"])
    spec = dead_letters.owner(specs, "wasl.dispatch.requested.webhook.v1.dlq.platform-gateway")
    assert spec.connector == "webhook"
    for name in ("wasl.dispatch.requested.reference.v1.dlq.platform-gateway", spec.name):
        with pytest.raises(Refused, match="wasl dlq list --all"):
            dead_letters.owner(specs, name)
