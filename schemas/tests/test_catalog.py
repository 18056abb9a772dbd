# SPDX-License-Identifier: Apache-2.0
"""Bytes to events and back: strict writers, tolerant readers, errors that quote nothing."""

import json
import threading
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from wasl_schemas import catalog
from wasl_schemas.base import EventData, Model, OpenEnum
from wasl_schemas.catalog import Undecodable, decode, decode_any
from wasl_schemas.envelope import CONTENT_TYPE, Event
from wasl_schemas.events.case_opened_v1 import CaseOpenedV1
from wasl_schemas.events.case_updated_v1 import CaseChange, CaseUpdatedV1
from wasl_schemas.events.common import Severity
from wasl_schemas.ids import uuid7
from wasl_schemas.lifecycle import CaseState
from wasl_schemas.topics import CASE_OPENED_V1, CASE_UPDATED_V1, dispatch_requested_v1, registry

CANARY = "canary-4f1d"


def sample(**data: Any) -> dict[str, Any]:
    body = {
        "case_id": "c" * 32, "version": 2, "change": "assessed", "state": "assessed",
        "severity": "high", "changed_at": "2026-01-05T09:00:00Z",
    }  # fmt: skip
    return {
        "specversion": "1.0", "id": "019b7a5e-0000-7000-8000-000000000000",
        "source": "/wasl/triage", "type": CASE_UPDATED_V1.type, "subject": "case/x",
        "time": "2026-01-05T09:00:00Z", "recordedtime": "2026-01-05T09:00:00Z",
        "datacontenttype": "application/json", "dataschema": CASE_UPDATED_V1.schema_urn,
        "dataclassification": "internal", "partitionkey": "c" * 32, "correlationid": "c" * 32,
        "data": body | data,
    }  # fmt: skip


def raw(**data: Any) -> bytes:
    return json.dumps(sample(**data)).encode()


# --- tolerant -----------------------------------------------------------------------------------


def test_unknown_fields_are_dropped_at_every_level() -> None:
    event = sample(ground={"kind": "law", "ref": "ma.penal.1", "article": "1"}, new_field=1)
    found = decode(CASE_UPDATED_V1, json.dumps({**event, "tracestate": "x=1"}).encode())
    assert found.data.ground is not None
    assert b"article" not in found.to_bytes()
    assert b"new_field" not in found.to_bytes()
    assert b"tracestate" not in found.to_bytes()


def test_unknown_values_of_open_lists_become_unknown() -> None:
    found = decode(CASE_UPDATED_V1, raw(change="merged", state="on_hold"))
    assert found.data.change is CaseChange.UNKNOWN
    assert found.data.state is CaseState.UNKNOWN


def test_a_closed_list_stays_closed() -> None:
    with pytest.raises(Undecodable, match=r"data\.severity: enum"):
        decode(CASE_UPDATED_V1, raw(severity="apocalyptic"))


def open_enums(cls: type[OpenEnum] = OpenEnum) -> list[type[OpenEnum]]:
    return [e for sub in cls.__subclasses__() for e in (sub, *open_enums(sub))]


@pytest.mark.parametrize("enum", [e for e in open_enums() if e.__module__ != __name__])
def test_every_open_list_takes_any_word_from_json_and_python(enum: type[OpenEnum]) -> None:
    adapter = TypeAdapter(enum)
    unknown = enum("unknown")
    assert unknown.name == "UNKNOWN"
    for value in ("no such value", "", "UNKNOWN", "unknown"):
        assert enum(value) is unknown
        assert adapter.validate_python(value) is unknown
        assert adapter.validate_json(json.dumps(value)) is unknown
    for member in enum:
        assert adapter.validate_json(json.dumps(member.value)) is member
    for wrong in ("1", "null", "[]", "{}", "true"):
        with pytest.raises(ValidationError):
            adapter.validate_json(wrong)


def test_an_open_list_without_unknown_fails_loudly() -> None:
    class Broken(OpenEnum):
        ONE = "one"

    with pytest.raises(ValueError, match="unknown"):
        Broken("two")


# --- strict -------------------------------------------------------------------------------------


def test_a_writer_cannot_add_a_field_nor_change_an_event() -> None:
    event = decode(CASE_UPDATED_V1, raw())
    with pytest.raises(ValidationError):
        CaseUpdatedV1(**{**dict(event.data), "extra": 1})
    with pytest.raises(ValidationError):
        event.data.version = 7  # type: ignore[misc]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("version", 0), ("version", -1), ("version", 2**53), ("version", "two"),
        ("case_id", "x"), ("case_id", "a b c d e f"), ("case_id", None), ("category", "Not A Slug"),
        ("changed_at", "2026-01-05T09:00:00"), ("changed_at", "soon"), ("ground", "law"),
    ],
)  # fmt: skip
def test_a_wrong_value_names_its_field_and_quotes_nothing(field: str, value: Any) -> None:
    with pytest.raises(Undecodable) as refusal:
        decode(CASE_UPDATED_V1, raw(**{field: value}))
    assert refusal.value.problems[0].startswith(f"data.{field}: ")


@pytest.mark.parametrize(
    "value",
    [
        b"", b"{", b"[]", b"null", b"\xff\xfe", b"{}", f'"{CANARY}"'.encode(),
        f'{{"{CANARY}": "{CANARY}"}}'.encode(), json.dumps(sample(version=CANARY)).encode(),
        json.dumps({**sample(), "id": CANARY * 9}).encode(),
        json.dumps({**sample(), "type": f"org.wasl.{CANARY}.v1"}).encode(),
        json.dumps({**sample(), "data": CANARY}).encode(),
    ],
)  # fmt: skip
def test_an_error_carries_no_input(value: bytes) -> None:
    for read in (decode_any, lambda v: decode(CASE_UPDATED_V1, v)):
        with pytest.raises(Undecodable) as refusal:
            read(value)
        error: BaseException | None = refusal.value
        while error is not None:
            assert CANARY not in f"{error}{error.args}{error.__dict__}"
            error = error.__cause__ or error.__context__


@given(st.binary(max_size=200))
def test_no_bytes_crash_the_reader(value: bytes) -> None:
    with pytest.raises(Undecodable):
        decode_any(value)


def test_a_long_list_of_problems_is_cut() -> None:
    with pytest.raises(Undecodable) as refusal:
        decode(CASE_UPDATED_V1, b"{}")
    assert len(refusal.value.problems) == 6
    assert refusal.value.problems[-1] == "and 6 more"


def test_an_event_on_the_wrong_topic_is_refused() -> None:
    other = {**sample(), "type": CASE_OPENED_V1.type}
    with pytest.raises(Undecodable, match="type: unexpected"):
        decode(CASE_UPDATED_V1, json.dumps(other).encode())
    later = {**sample(), "type": "org.wasl.case.updated.v2"}
    with pytest.raises(Undecodable, match="type: unknown"):
        decode_any(json.dumps(later).encode())


# --- lookup -------------------------------------------------------------------------------------


def test_every_topic_has_a_model_and_connectors_share_one() -> None:
    specs = registry(["alpha", "beta_two"])
    assert {s.type for s in specs} == set(dict(catalog.types()))
    assert dispatch_requested_v1("alpha").type == dispatch_requested_v1("beta_two").type
    assert decode_any(raw()) == decode(CASE_UPDATED_V1, raw())


def test_decoders_are_built_once_even_by_several_threads() -> None:
    found: list[object] = []
    threads = [
        threading.Thread(target=lambda: found.append(decode(CASE_UPDATED_V1, raw())))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert catalog._adapter(CaseUpdatedV1) is catalog._adapter(CaseUpdatedV1)


# --- writing ------------------------------------------------------------------------------------


def test_bytes_are_the_models_json_without_nulls() -> None:
    event = decode(CASE_UPDATED_V1, raw())
    assert event.to_bytes() == event.model_dump_json(exclude_none=True).encode()
    assert b"null" not in event.to_bytes()
    assert decode(CASE_UPDATED_V1, event.to_bytes()) == event


def test_an_event_built_without_naming_its_type_writes_all_of_its_data() -> None:
    """The unit of work builds ``Event(data=...)`` for any data."""
    typed = decode(CASE_UPDATED_V1, raw(category="threats", ground={"kind": "law", "ref": "a.1"}))
    untyped: Event[Any] = Event(**{**dict(typed), "data": typed.data})
    assert untyped.to_bytes() == typed.to_bytes()


def test_a_case_without_category_can_be_read_back() -> None:
    """None is not written, so a nullable field needs None as its default."""
    data = CaseOpenedV1(
        case_id="c" * 32, version=1, report_id=uuid7(), severity=Severity.LOW, platform="web",
        item_kind="page", opened_at="2026-01-05T09:00:00Z", first_look_due="2026-01-05T09:30:00Z",
    )  # type: ignore[arg-type]  # fmt: skip
    head = {**sample(), "type": CASE_OPENED_V1.type}
    event: Event[CaseOpenedV1] = Event(**{**head, "data": data})
    assert decode(CASE_OPENED_V1, event.to_bytes()).data == data


def test_headers_repeat_what_a_router_needs() -> None:
    event = decode(CASE_UPDATED_V1, raw())
    assert dict(event.headers()) == {
        "content-type": CONTENT_TYPE.encode(),
        "ce_id": event.id.encode(),
        "ce_source": b"/wasl/triage",
        "ce_type": b"org.wasl.case.updated.v1",
        "ce_time": b"2026-01-05T09:00:00+00:00",
        "ce_correlationid": b"c" * 32,
    }


def test_published_models_hide_input_and_are_frozen() -> None:
    models: list[type[Model]] = [Event, *(s.data for s in registry())]
    for model in models:
        assert model.model_config["hide_input_in_errors"]
        assert model.model_config["frozen"]
    assert issubclass(CaseUpdatedV1, EventData)
    assert issubclass(CaseChange, StrEnum)


def test_ids_grow_and_say_their_time() -> None:
    ids = [uuid7() for _ in range(5000)]
    assert ids == sorted(set(ids))
    assert {i[14] for i in ids} == {"7"}
    assert {i[19] for i in ids} <= set("89ab")
