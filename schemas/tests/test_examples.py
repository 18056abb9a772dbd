# SPDX-License-Identifier: Apache-2.0
"""Golden examples: what some release once wrote, every later release reads."""

import copy
import json
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import BaseModel
from wasl_schemas.base import OpenEnum, models_in
from wasl_schemas.catalog import Undecodable, by_type, decode_any, types
from wasl_schemas.envelope import Event
from wasl_schemas.generate import ENVELOPE, ROOT, changed_examples, schema_file
from wasl_schemas.lint import fields

FOLDER = ROOT / "examples"
EXAMPLES = sorted(FOLDER.glob("*/*.json"))
NAME = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+-[a-z0-9-]+\.json")
each_example = pytest.mark.parametrize(
    "path", EXAMPLES, ids=lambda p: f"{p.parent.name.removeprefix('org.wasl.')}/{p.stem}"
)
each_type = pytest.mark.parametrize("type_", [name for name, _ in types()])

formats = jsonschema.FormatChecker(formats=())


@formats.checks("date-time", raises=ValueError)
def _is_time(value: object) -> bool:
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


def load(path: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return value


def first(type_: str, name: str) -> dict[str, Any]:
    """The example of that name from the release the type came with."""
    return load(min((FOLDER / type_).glob(f"*-{name}.json")))


def validator(file: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(load(ROOT / "jsonschema" / file), format_checker=formats)


def accepted_by_schema(event: dict[str, Any]) -> bool:
    data_ok = validator(schema_file(event["type"])).is_valid(event.get("data"))
    return data_ok and validator(ENVELOPE).is_valid(event)


def accepted_by_model(event: dict[str, Any]) -> bool:
    try:
        decode_any(json.dumps(event).encode())
    except Undecodable:
        return False
    return True


# --- the collection ---


def test_no_example_was_changed_or_deleted() -> None:
    assert changed_examples() == []


def test_every_file_is_an_example_of_a_known_type() -> None:
    for path in FOLDER.rglob("*"):
        if path.is_dir():
            assert path.name in by_type(), f"{path.name} is no event type"
        elif path.parent != FOLDER:
            assert NAME.fullmatch(path.name), f"{path.name}: expected <release>-<name>.json"


@each_type
def test_every_type_has_examples_that_show_all_of_it(type_: str) -> None:
    found = [(p.stem.partition("-")[2], load(p)) for p in (FOLDER / type_).glob("*.json")]
    assert {"minimal", "full", "newer"} <= {name for name, _ in found}
    shown = {path for _, event in found for path in paths(event["data"])}
    model = by_type()[type_].data
    assert {path for path, _ in fields(model)} <= shown, "a field no example shows"
    required = {name for name, f in model.model_fields.items() if f.is_required()}
    assert set(first(type_, "minimal")["data"]) == required


@each_type
def test_the_newer_example_is_ahead_of_us(type_: str) -> None:
    """It has attributes, fields and, where lists are open, values that this release lacks."""
    event = first(type_, "newer")
    model = by_type()[type_].data
    assert set(event) - set(Event.model_fields)
    assert set(paths(event["data"])) - {path for path, _ in fields(model)}
    read = decode_any(json.dumps(event).encode()).data
    if any(issubclass_(f.annotation, OpenEnum) for _, f in fields(model)):
        assert "unknown" in leaves(json.loads(read.model_dump_json()))
        assert "unknown" not in leaves(event["data"])


# --- each one ---


@each_example
def test_it_is_read_and_written_again_whole(path: Path) -> None:
    event = load(path)
    read = decode_any(path.read_bytes())
    again = json.loads(read.to_bytes())
    newer = path.stem.endswith("newer")
    compare(event, again, Event, newer=newer)
    compare(event["data"], again["data"], type(read.data), newer=newer)
    assert decode_any(read.to_bytes()) == read


@each_example
def test_its_envelope_fits_its_data(path: Path) -> None:
    event = load(path)
    spec = by_type()[path.parent.name]
    assert event["type"] == spec.type
    assert event["dataschema"] == spec.schema_urn
    assert event["dataclassification"] == spec.classification
    assert event["partitionkey"] == event["data"][spec.key]
    assert event["source"].removeprefix("/wasl/") in spec.producers


@each_example
def test_it_fits_its_json_schema(path: Path) -> None:
    event = load(path)
    for file, part in ((ENVELOPE, event), (schema_file(event["type"]), event["data"])):
        problems = [f"{list(e.path)}: {e.message}" for e in validator(file).iter_errors(part)]
        assert problems == []


@each_example
def test_the_model_takes_whatever_the_schema_promises(path: Path) -> None:
    """A reader may be laxer than the schema (a number read as a time), never stricter."""
    refused = 0
    for broken in mutants(load(path)):
        promised, taken = accepted_by_schema(broken), accepted_by_model(broken)
        assert taken or not promised, broken
        refused += not taken
    assert refused > 10


@each_type
def test_what_is_required_is_required_by_both(type_: str) -> None:
    event = first(type_, "minimal")
    for name in event["data"]:
        broken = {**event, "data": {k: v for k, v in event["data"].items() if k != name}}
        assert not accepted_by_schema(broken)
        assert not accepted_by_model(broken)


def mutants(event: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The event with each field left out, and with each value replaced by a wrong one."""
    for path in list(paths(event)):
        if path == "type":  # chooses the schema
            continue
        for wrong in (None, [], {}, " spaces and UPPER ", -1, "2026-01-05T09:00:00"):
            broken = copy.deepcopy(event)
            *way, last = path.split(".")
            place = broken
            for step in way:
                place = place[step]
            if wrong is None:
                del place[last]
            elif isinstance(place[last], dict) and wrong == {}:
                continue
            else:
                place[last] = wrong
            yield broken


def compare(
    was: dict[str, Any], now: dict[str, Any], model: type[BaseModel], *, newer: bool
) -> None:
    for name, value in was.items():
        field = model.model_fields.get(name)
        if field is None:
            assert newer, f"{model.__name__} lost the field '{name}'"
            assert name not in now
            continue
        inner = next(iter(models_in(field.annotation)), None)
        if name == "data":
            continue
        if inner is not None:
            compare(value, now[name], inner, newer=newer)
        elif now[name] != value and now[name] != "unknown":
            assert datetime.fromisoformat(now[name]) == datetime.fromisoformat(value)
        elif now[name] != value:
            assert newer, f"{name}: {value!r} became unknown"


def paths(value: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for name, inner in value.items():
        yield f"{prefix}{name}"
        if isinstance(inner, dict):
            yield from paths(inner, f"{prefix}{name}.")


def leaves(value: Any) -> set[Any]:
    if isinstance(value, dict):
        return {leaf for inner in value.values() for leaf in leaves(inner)}
    if isinstance(value, list):
        return {leaf for inner in value for leaf in leaves(inner)}
    return {value}


def issubclass_(annotation: Any, cls: type) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, cls)
