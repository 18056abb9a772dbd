# SPDX-License-Identifier: Apache-2.0
"""Tells whether a schema may replace another inside its major version.

While a release rolls out and while old events sit in the log, new readers meet old events and old
readers meet new ones. So only this passes: a new optional field, a new value of an open list, a
changed text. Anything else, also what this checker does not know, is a break that names the field,
the change and whom it hurts.

    python -m wasl_schemas.compat OLD_DIR [NEW_DIR]
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Json = dict[str, Any]

NEW_READERS = "new readers refuse old events"
OLD_READERS = "old readers refuse new events"
BOTH = "old and new readers disagree"

_TEXTS = frozenset(
    {"title", "description", "examples", "deprecated", "$comment", "$id", "$schema", "$defs"}
)
_HANDLED = frozenset({
    "type", "format", "const", "enum", "x-known-values", "properties", "required", "items", "anyOf",
    "additionalProperties", "default", "x-sensitivity", "pattern", "$ref",
})  # fmt: skip
#: Bound → whether a greater value refuses more.
_BOUNDS = {
    "minLength": True, "minimum": True, "exclusiveMinimum": True, "minItems": True,
    "maxLength": False, "maximum": False, "exclusiveMaximum": False, "maxItems": False,
}  # fmt: skip
#: The same bytes would be read as something else.
_MEANING = {"x-sensitivity": "sensitivity changed", "default": "default changed"}


@dataclass(frozen=True, slots=True)
class Break:
    """One change that may not happen inside a major version."""

    where: str
    rule: str
    detail: str
    hurts: str

    def __str__(self) -> str:
        return f"{self.where}: {self.rule}: {self.detail} ({self.hurts})"


def compare(old: Json, new: Json, where: str = "data") -> list[Break]:
    """The breaks between two JSON Schemas of the kind the generator writes, depth first."""
    return list(_Comparison(old, new).schemas(old, new, where))


def compare_folders(old: Path, new: Path) -> list[Break]:
    """Every ``*.json`` of ``old`` against its namesake. A new file is a new event and no break."""
    out: list[Break] = []
    for path in sorted(old.glob("*.json")):
        successor = new / path.name
        if not successor.exists():
            out.append(Break(path.name, "event removed", "its schema is gone", OLD_READERS))
            continue
        out += compare(_read(path), _read(successor), path.name)
    return out


def _read(path: Path) -> Json:
    value = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(value, dict):
        raise TypeError(f"{path}: expected a JSON object")
    return value


class _Comparison:
    def __init__(self, old: Json, new: Json) -> None:
        self._old_root, self._new_root = old, new
        self._open: set[tuple[str, str]] = set()

    def schemas(self, old: Json, new: Json, where: str) -> Iterator[Break]:
        pair = (str(old.get("$ref")), str(new.get("$ref")))
        if "$ref" in old and "$ref" in new:
            if pair in self._open:  # a recursive model: this pair is being compared already
                return
            self._open.add(pair)
        yield from self._resolved(
            _resolve(old, self._old_root), _resolve(new, self._new_root), where
        )
        self._open.discard(pair)

    def _resolved(self, old: Json, new: Json, where: str) -> Iterator[Break]:
        for key, rule in _MEANING.items():
            if (key in old) != (key in new) or old.get(key) != new.get(key):
                yield Break(where, rule, f"was {_show(old, key)}, is {_show(new, key)}", BOTH)
        yield from self._nullable(old, new, where)
        old_one, new_one = _without_null(old), _without_null(new)
        if len(old_one) != 1 or len(new_one) != 1:
            yield from self._alternatives(old_one, new_one, where)
            return
        yield from self._single(
            _resolve(old_one[0], self._old_root), _resolve(new_one[0], self._new_root), where
        )

    @staticmethod
    def _nullable(old: Json, new: Json, where: str) -> Iterator[Break]:
        if _takes_null(old) and not _takes_null(new):
            yield Break(where, "tightened", "null is no longer allowed", NEW_READERS)
        if _takes_null(new) and not _takes_null(old):
            yield Break(where, "loosened", "null is allowed now", OLD_READERS)

    def _alternatives(self, old: list[Json], new: list[Json], where: str) -> Iterator[Break]:
        """Alternatives have no names to match them by, so they must be the same set."""
        was = {_canonical(o, self._old_root) for o in old}
        now = {_canonical(n, self._new_root) for n in new}
        if was - now:
            yield Break(where, "retyped", "an alternative was removed or changed", NEW_READERS)
        if now - was:
            yield Break(where, "retyped", "an alternative was added or changed", OLD_READERS)

    def _single(self, old: Json, new: Json, where: str) -> Iterator[Break]:
        if _is_open(old) != _is_open(new) and ("enum" in old or "enum" in new):
            what = "open to closed" if _is_open(old) else "closed to open"
            yield Break(where, "retyped", f"the list went from {what}", BOTH)
            return
        for key in ("type", "format", "const"):
            if old.get(key) != new.get(key):
                detail = f"{key} was {_show(old, key)}, is {_show(new, key)}"
                yield Break(where, "retyped", detail, BOTH)
                if key == "type":
                    return
        yield from _values(old, new, where)
        yield from _bounds(old, new, where)
        yield from _shape(old, new, where)
        yield from self._fields(old, new, where)
        if "items" in old and "items" in new:
            yield from self.schemas(old["items"], new["items"], f"{where}[]")
        elif "items" in old or "items" in new:
            yield Break(where, "retyped", "what the list holds was defined or undefined", BOTH)
        for key in sorted(set(old) | set(new)):
            known = key in _HANDLED or key in _TEXTS or key in _BOUNDS
            if not known and old.get(key) != new.get(key):
                detail = f"'{key}', which the checker does not know"
                yield Break(where, "changed", detail, BOTH)

    def _fields(self, old: Json, new: Json, where: str) -> Iterator[Break]:
        was, now = old.get("properties", {}), new.get("properties", {})
        old_required, new_required = set(old.get("required", ())), set(new.get("required", ()))
        for name, schema in was.items():
            path = f"{where}.{name}"
            if name not in now:
                detail = "a rename is a removal too; keep it and add the new one as optional"
                yield Break(path, "field removed", detail, OLD_READERS)
                continue
            if name in new_required - old_required:
                detail = "it was optional; old events may lack it"
                yield Break(path, "newly required", detail, NEW_READERS)
            if name in old_required - new_required:
                detail = "it was required; old readers need it"
                yield Break(path, "no longer required", detail, OLD_READERS)
            yield from self.schemas(schema, now[name], path)
        for name in now:
            if name not in was and name in new_required:
                detail = "give the new field a default"
                yield Break(f"{where}.{name}", "new required field", detail, NEW_READERS)


def _values(old: Json, new: Json, where: str) -> Iterator[Break]:
    was, now = _listed(old), _listed(new)
    for value in was:
        if value not in now:
            yield Break(where, "value removed", f"{value!r} loses its meaning", NEW_READERS)
    if not _is_open(new):
        for value in now:
            if value not in was:
                detail = f"{value!r} added to a closed list; only an open list may grow"
                yield Break(where, "value added", detail, OLD_READERS)


def _bounds(old: Json, new: Json, where: str) -> Iterator[Break]:
    for key, greater_refuses in _BOUNDS.items():
        was, now = old.get(key), new.get(key)
        if was == now:
            continue
        tighter = was is None or (now is not None and (now > was) == greater_refuses)
        rule, hurts = ("tightened", NEW_READERS) if tighter else ("loosened", OLD_READERS)
        yield Break(where, rule, f"{key} was {_show(old, key)}, is {_show(new, key)}", hurts)


def _shape(old: Json, new: Json, where: str) -> Iterator[Break]:
    was, now = old.get("pattern"), new.get("pattern")
    if was != now:
        rule, hurts = {
            was is None: ("tightened", NEW_READERS),
            now is None: ("loosened", OLD_READERS),
        }.get(True, ("pattern changed", BOTH))
        detail = f"pattern was {_show(old, 'pattern')}, is {_show(new, 'pattern')}"
        yield Break(where, rule, detail, hurts)
    was, now = old.get("additionalProperties", True), new.get("additionalProperties", True)
    if was != now:
        rule, hurts = ("tightened", NEW_READERS) if was is True else ("loosened", OLD_READERS)
        yield Break(where, rule, "what unknown fields may be changed", hurts)


def _listed(schema: Json) -> list[Any]:
    return list(schema.get("enum") or schema.get("x-known-values") or ())


def _is_open(schema: Json) -> bool:
    return "x-known-values" in schema


def _show(schema: Json, key: str) -> str:
    return json.dumps(schema[key]) if key in schema else "absent"


def _resolve(schema: Json, root: Json) -> Json:
    """``$ref`` replaced by what it names; keywords beside it stay."""
    while "$ref" in schema:
        name = schema["$ref"].removeprefix("#/$defs/")
        beside = {k: v for k, v in schema.items() if k != "$ref"}
        schema = {**root["$defs"][name], **beside}
    return schema


def _without_null(schema: Json) -> list[Json]:
    """The alternatives a value has besides null; a plain schema is its own only one."""
    if "anyOf" not in schema:
        return [schema]
    beside = {
        k: v for k, v in schema.items() if k not in {"anyOf", "x-sensitivity", "default", *_TEXTS}
    }
    return [{**beside, **one} for one in schema["anyOf"] if one.get("type") != "null"]


def _takes_null(schema: Json) -> bool:
    return any(one.get("type") == "null" for one in schema.get("anyOf", ()))


def _canonical(schema: Json, root: Json) -> str:
    """One text for equal meaning: references resolved, texts for people left out."""

    def plain(value: Any, open_: tuple[str, ...]) -> Any:
        if isinstance(value, list):
            return [plain(v, open_) for v in value]
        if not isinstance(value, dict):
            return value
        ref = value.get("$ref")
        if ref in open_:
            return {"$ref": ref}
        resolved = _resolve(value, root)
        inner = (*open_, ref) if ref else open_
        return {k: plain(v, inner) for k, v in resolved.items() if k not in _TEXTS}

    return json.dumps(plain(schema, ()), sort_keys=True)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m wasl_schemas.compat",
        description="Compare two folders of JSON Schemas; exit 1 and name each break.",
    )
    parser.add_argument("old", type=Path, metavar="OLD_DIR")
    parser.add_argument(
        "new",
        type=Path,
        metavar="NEW_DIR",
        nargs="?",
        default=Path(__file__).parents[2] / "jsonschema",
        help="default: the schemas of this checkout",
    )
    args = parser.parse_args(argv)
    for folder in (args.old, args.new):
        if not any(folder.glob("*.json")):
            parser.error(f"{folder}: no JSON Schemas there; name a folder of *.json files")
    breaks = compare_folders(args.old, args.new)
    for found in breaks:
        sys.stderr.write(f"{found}\n")
    if breaks:
        sys.stderr.write(
            f"{len(breaks)} incompatible changes. Inside a major version only add optional fields;"
            " otherwise make a new major: a new type on a new topic.\n"
        )
    return 1 if breaks else 0


if __name__ == "__main__":
    sys.exit(main())
