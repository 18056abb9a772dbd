# SPDX-License-Identifier: Apache-2.0
"""One case for every rule of the compatibility checker: what it refuses, what it lets pass."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from wasl_schemas.compat import BOTH, NEW_READERS, OLD_READERS, compare, compare_folders, main

Json = dict[str, Any]
Change = Callable[[Json], object]

OLD: Json = {
    "$id": "urn:x",
    "title": "Thing",
    "type": "object",
    "description": "A thing.",
    "$defs": {
        "Open": {"type": "string", "title": "Open", "x-known-values": ["a", "b", "unknown"]},
        "Closed": {"type": "string", "title": "Closed", "enum": ["a", "b"]},
        "Inner": {
            "type": "object",
            "properties": {"deep": {"type": "string", "x-sensitivity": "internal"}},
            "required": ["deep"],
        },
        "Tree": {
            "type": "object",
            "properties": {
                "leaf": {"type": "string"},
                "trees": {"type": "array", "items": {"$ref": "#/$defs/Tree"}},
            },
        },
    },
    "properties": {
        "id": {"type": "string", "minLength": 1, "maxLength": 64, "x-sensitivity": "internal"},
        "slug": {"type": "string", "pattern": "^a$"},
        "free": {"type": "string"},
        "count": {"type": "integer", "minimum": 0, "maximum": 9},
        "when": {"type": "string", "format": "date-time"},
        "fixed": {"type": "string", "const": "1.0"},
        "open": {"$ref": "#/$defs/Open", "x-sensitivity": "internal"},
        "closed": {"$ref": "#/$defs/Closed"},
        "inner": {"$ref": "#/$defs/Inner"},
        "maybe": {"anyOf": [{"type": "string", "maxLength": 5}, {"type": "null"}], "default": None},
        "maybe_inner": {"anyOf": [{"$ref": "#/$defs/Inner"}, {"type": "null"}], "default": None},
        "either": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
        "flag": {"type": "boolean", "default": False},
        "list": {"type": "array", "items": {"type": "string"}, "maxItems": 3},
        "inners": {"type": "array", "items": {"$ref": "#/$defs/Inner"}},
        "tree": {"$ref": "#/$defs/Tree"},
    },
    "required": ["id", "count"],
}


def field(name: str, **changes: Any) -> Change:
    return lambda s: s["properties"][name].update(changes)


def part(name: str, **changes: Any) -> Change:
    return lambda s: s["$defs"][name].update(changes)


def drop(*path: str) -> Change:
    def change(schema: Json) -> None:
        for step in path[:-1]:
            schema = schema[step]
        del schema[path[-1]]

    return change


def put(name: str, value: Json) -> Change:
    return lambda s: s["properties"].update({name: value})


def rename(old: str, new: str) -> Change:
    return lambda s: s["properties"].update({new: s["properties"].pop(old)})


def required(*names: str) -> Change:
    return lambda s: s.update(required=list(names))


def run(change: Change) -> list[tuple[str, str, str]]:
    new = copy.deepcopy(OLD)
    change(new)
    return [(b.where, b.rule, b.hurts) for b in compare(OLD, new)]


BREAKS: list[tuple[str, Change, list[tuple[str, str, str]]]] = [
    (
        "field removed",
        drop("properties", "slug"),
        [("data.slug", "field removed", OLD_READERS)],
    ),
    (
        "optional field removed",
        drop("properties", "flag"),
        [("data.flag", "field removed", OLD_READERS)],
    ),
    ("renamed", rename("slug", "name"), [("data.slug", "field removed", OLD_READERS)]),
    ("retyped", field("free", type="integer"), [("data.free", "retyped", BOTH)]),
    ("widened type", field("count", type="number"), [("data.count", "retyped", BOTH)]),
    ("reformatted", drop("properties", "when", "format"), [("data.when", "retyped", BOTH)]),
    ("constant", field("fixed", const="2.0"), [("data.fixed", "retyped", BOTH)]),
    ("constant added", field("free", const="x"), [("data.free", "retyped", BOTH)]),
    ("shorter", field("id", maxLength=32), [("data.id", "tightened", NEW_READERS)]),
    ("longer", field("id", maxLength=65), [("data.id", "loosened", OLD_READERS)]),
    ("bound added", field("free", maxLength=9), [("data.free", "tightened", NEW_READERS)]),
    (
        "bound removed",
        drop("properties", "id", "maxLength"),
        [("data.id", "loosened", OLD_READERS)],
    ),
    ("least raised", field("id", minLength=2), [("data.id", "tightened", NEW_READERS)]),
    ("least lowered", field("id", minLength=0), [("data.id", "loosened", OLD_READERS)]),
    ("minimum raised", field("count", minimum=1), [("data.count", "tightened", NEW_READERS)]),
    ("maximum raised", field("count", maximum=10), [("data.count", "loosened", OLD_READERS)]),
    (
        "exclusive bound",
        field("count", exclusiveMaximum=9),
        [("data.count", "tightened", NEW_READERS)],
    ),
    ("fewer items", field("list", maxItems=2), [("data.list", "tightened", NEW_READERS)]),
    ("pattern added", field("free", pattern="^b$"), [("data.free", "tightened", NEW_READERS)]),
    (
        "pattern removed",
        drop("properties", "slug", "pattern"),
        [("data.slug", "loosened", OLD_READERS)],
    ),
    ("pattern changed", field("slug", pattern="^b$"), [("data.slug", "pattern changed", BOTH)]),
    (
        "newly required",
        required("id", "count", "slug"),
        [("data.slug", "newly required", NEW_READERS)],
    ),
    ("not required", required("id"), [("data.count", "no longer required", OLD_READERS)]),
    (
        "new required field",
        lambda s: (put("fresh", {"type": "string"})(s), required("id", "count", "fresh")(s)),
        [("data.fresh", "new required field", NEW_READERS)],
    ),
    (
        "value leaves an open list",
        part("Open", **{"x-known-values": ["a", "unknown"]}),
        [("data.open", "value removed", NEW_READERS)],
    ),
    (
        "value leaves a closed list",
        part("Closed", enum=["a"]),
        [("data.closed", "value removed", NEW_READERS)],
    ),
    (
        "value enters a closed list",
        part("Closed", enum=["a", "b", "c"]),
        [("data.closed", "value added", OLD_READERS)],
    ),
    (
        "list closed",
        lambda s: (drop("$defs", "Open", "x-known-values")(s), part("Open", enum=["a", "b"])(s)),
        [("data.open", "retyped", BOTH)],
    ),
    (
        "list opened",
        lambda s: (
            drop("$defs", "Closed", "enum")(s),
            part("Closed", **{"x-known-values": ["a", "b"]})(s),
        ),
        [("data.closed", "retyped", BOTH)],
    ),
    ("text becomes a list", field("free", enum=["a"]), [("data.free", "value added", OLD_READERS)]),
    (
        "more sensitive",
        field("id", **{"x-sensitivity": "personal"}),
        [("data.id", "sensitivity changed", BOTH)],
    ),
    (
        "less sensitive, inside",
        lambda s: s["$defs"]["Inner"]["properties"]["deep"].update({"x-sensitivity": "public"}),
        [
            (f"data.{where}.deep", "sensitivity changed", BOTH)
            for where in ("inner", "maybe_inner", "inners[]")
        ],
    ),
    ("default changed", field("flag", default=True), [("data.flag", "default changed", BOTH)]),
    (
        "default removed",
        drop("properties", "flag", "default"),
        [("data.flag", "default changed", BOTH)],
    ),
    ("default null added", field("free", default=None), [("data.free", "default changed", BOTH)]),
    (
        "null forbidden",
        lambda s: s["properties"].update(maybe={"type": "string", "maxLength": 5, "default": None}),
        [("data.maybe", "tightened", NEW_READERS)],
    ),
    (
        "null allowed",
        lambda s: s["properties"].update(free={"anyOf": [{"type": "string"}, {"type": "null"}]}),
        [("data.free", "loosened", OLD_READERS)],
    ),
    (
        "tightened behind null",
        lambda s: s["properties"]["maybe"]["anyOf"][0].update(maxLength=4),
        [("data.maybe", "tightened", NEW_READERS)],
    ),
    (
        "alternative removed",
        lambda s: s["properties"]["either"]["anyOf"].pop(),
        [("data.either", "retyped", NEW_READERS)],
    ),
    (
        "alternative added",
        lambda s: s["properties"]["either"]["anyOf"].append({"type": "boolean"}),
        [("data.either", "retyped", OLD_READERS)],
    ),
    (
        "alternative changed",
        lambda s: s["properties"]["either"]["anyOf"][0].update(maxLength=3),
        [("data.either", "retyped", NEW_READERS), ("data.either", "retyped", OLD_READERS)],
    ),
    (
        "removed inside",
        lambda s: s["$defs"].update(Inner={"type": "object", "properties": {}}),
        [
            (f"data.{w}.deep", "field removed", OLD_READERS)
            for w in ("inner", "maybe_inner", "inners[]")
        ],
    ),
    (
        "removed inside a recursive model",
        drop("$defs", "Tree", "properties", "leaf"),
        [("data.tree.leaf", "field removed", OLD_READERS)],
    ),
    (
        "items retyped",
        lambda s: s["properties"]["list"].update(items={"type": "integer"}),
        [("data.list[]", "retyped", BOTH)],
    ),
    ("items undefined", drop("properties", "list", "items"), [("data.list", "retyped", BOTH)]),
    (
        "no more unknown fields",
        lambda s: s.update(additionalProperties=False),
        [("data", "tightened", NEW_READERS)],
    ),
    ("a keyword nobody taught us", field("count", multipleOf=2), [("data.count", "changed", BOTH)]),
]


@pytest.mark.parametrize(
    ("change", "expected"), [b[1:] for b in BREAKS], ids=[b[0] for b in BREAKS]
)
def test_a_break_is_named_and_says_whom_it_hurts(
    change: Change, expected: list[tuple[str, str, str]]
) -> None:
    assert run(change) == expected


PASSES: list[tuple[str, Change]] = [
    ("nothing", lambda _: None),
    ("new optional field", put("fresh", {"type": "string"})),
    ("new optional field with default", put("fresh", {"type": "integer", "default": 1})),
    (
        "new nullable field",
        put("fresh", {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None}),
    ),
    ("new optional field inside", lambda s: s["$defs"]["Inner"]["properties"].update(x={})),
    ("value enters an open list", part("Open", **{"x-known-values": ["a", "b", "c", "unknown"]})),
    ("values reordered", part("Closed", enum=["b", "a"])),
    ("fields reordered", lambda s: s.update(properties=dict(reversed(s["properties"].items())))),
    ("required reordered", required("count", "id")),
    ("alternatives reordered", lambda s: s["properties"]["either"]["anyOf"].reverse()),
    ("described anew", lambda s: s.update(description="Another text.", title="Other")),
    ("field described anew", field("free", description="Free text.", examples=["x"])),
    ("deprecated", field("free", deprecated=True)),
    (
        "a nested type renamed",
        lambda s: (
            s["$defs"].update(Renamed=s["$defs"].pop("Closed")),
            s["properties"].update(closed={"$ref": "#/$defs/Renamed"}),
        ),
    ),
    (
        "a nested type inlined",
        lambda s: s["properties"].update(closed=s["$defs"]["Closed"]),
    ),
]


@pytest.mark.parametrize("change", [p[1] for p in PASSES], ids=[p[0] for p in PASSES])
def test_what_the_rules_allow_passes(change: Change) -> None:
    assert run(change) == []


def test_every_break_is_found_in_one_run() -> None:
    found = run(lambda s: (drop("properties", "slug")(s), field("id", maxLength=1)(s)))
    assert found == [
        ("data.id", "tightened", NEW_READERS),
        ("data.slug", "field removed", OLD_READERS),
    ]


# --- folders and the command ---


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    old, new = tmp_path / "old", tmp_path / "new"
    for folder in (old, new):
        folder.mkdir()
        (folder / "thing.v1.json").write_text(json.dumps(OLD))
    return old, new


def test_the_command_names_each_break_and_exits_1(
    folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = folders
    assert main([str(old), str(new)]) == 0
    assert capsys.readouterr().err == ""
    broken = copy.deepcopy(OLD)
    del broken["properties"]["slug"]
    broken["properties"]["id"]["maxLength"] = 8
    (new / "thing.v1.json").write_text(json.dumps(broken))
    assert main([str(old), str(new)]) == 1
    said = capsys.readouterr().err
    assert "thing.v1.json.slug: field removed: " in said
    assert "thing.v1.json.id: tightened: maxLength was 64, is 8 (new readers refuse" in said
    assert "2 incompatible changes" in said


def test_a_removed_event_is_a_break_and_a_new_one_is_not(folders: tuple[Path, Path]) -> None:
    old, new = folders
    (new / "fresh.v1.json").write_text(json.dumps(OLD))
    assert compare_folders(old, new) == []
    (new / "thing.v1.json").unlink()
    (found,) = compare_folders(old, new)
    assert (found.where, found.rule) == ("thing.v1.json", "event removed")


def test_the_default_is_this_checkout_against_its_baseline() -> None:
    assert main([str(Path(__file__).parents[1] / "jsonschema" / "baseline")]) == 0


def test_an_empty_folder_is_a_mistake_not_a_pass(
    tmp_path: Path, folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    for arguments in ([tmp_path / "empty", folders[1]], [folders[0], tmp_path / "nowhere"]):
        with pytest.raises(SystemExit) as exit_:
            main([str(a) for a in arguments])
        assert exit_.value.code == 2
        assert "name a folder" in capsys.readouterr().err


def test_a_file_that_is_no_schema_is_named(folders: tuple[Path, Path]) -> None:
    (folders[1] / "thing.v1.json").write_text("[]")
    with pytest.raises(TypeError, match=r"thing\.v1\.json: expected a JSON object"):
        compare_folders(*folders)
