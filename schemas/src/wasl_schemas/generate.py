# SPDX-License-Identifier: Apache-2.0
"""Writes what is derived from the code and committed beside it, so that a review sees the contract.

JSON Schema of each event's data and of the envelope, one AsyncAPI 3.0 document, and the diagrams of
the lifecycle. Output is a pure function of the code: ``--check`` exits 1 naming each stale file,
``--baseline`` also takes the schemas as the release that later ones are compared with. Golden
examples are written by hand; their sums are kept here so that none is changed or lost.
"""

import argparse
import hashlib
import inspect
import json
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from wasl_schemas import compat, lifecycle
from wasl_schemas.base import EventData, models_in
from wasl_schemas.catalog import by_type, types
from wasl_schemas.envelope import CONTENT_TYPE, Event
from wasl_schemas.lifecycle import Machine
from wasl_schemas.topics import BUILT_IN_CONNECTORS, TopicSpec, registry

#: The ``schemas`` folder of a checkout; the generator is a tool of the repository.
ROOT = Path(__file__).parents[2]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
ENVELOPE = "envelope.json"
SUMS = "SHA256SUMS"
Json = dict[str, Any]


def schema_file(type_: str) -> str:
    """``org.wasl.case.opened.v1`` → ``case.opened.v1.json``."""
    return f"{type_.removeprefix('org.wasl.')}.json"


# --- JSON Schema -------------------------------------------------------------------------------


class _Generate(GenerateJsonSchema):
    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        return False


def data_schema(spec: TopicSpec[Any]) -> Json:
    """The data of one event type, as a tolerant reader accepts it."""
    return _schema(spec.data, spec.schema_urn, _about(spec))


def envelope_schema() -> Json:
    """The CloudEvents attributes; ``data`` is described by the schema of each type."""
    schema = _schema(Event[EventData], "urn:wasl:schema:envelope", inspect.getdoc(Event) or "")
    del schema["$defs"]
    schema["title"] = "Event"
    schema["properties"]["data"] = {"type": "object", "description": _comments(Event)["data"]}
    return schema


def _schema(model: type[BaseModel], urn: str, description: str) -> Json:
    body = TypeAdapter(model).json_schema(schema_generator=_Generate)
    known = {m.__name__: m for m in _nested(model)}
    for name, part in ((model.__name__, body), *body.get("$defs", {}).items()):
        # Writers refuse unknown fields, readers ignore them; published is what a reader accepts.
        part.pop("additionalProperties", None)
        comments = _comments(known[name]) if name in known else {}
        for field, prop in part.get("properties", {}).items():
            if field in comments:
                prop["description"] = comments[field]
    return {"$schema": DIALECT, "$id": urn, **body, "description": description}


def _nested(model: type[BaseModel]) -> Iterable[type[BaseModel]]:
    yield model
    for field in model.model_fields.values():
        for inner in models_in(field.annotation):
            yield from _nested(inner)


def _comments(model: type[BaseModel]) -> dict[str, str]:
    """``#:`` comments by field: the description has one home, the source."""
    origin = model.__pydantic_generic_metadata__["origin"] or model
    found: dict[str, str] = {}
    held: list[str] = []
    for line in inspect.getsource(origin).splitlines():
        text = line.strip()
        if text.startswith("#: "):
            held.append(text.removeprefix("#: "))
            continue
        name = text.partition(":")[0]
        if held and name in origin.model_fields:
            found[name] = " ".join(held)
        held = []
    return found


# --- AsyncAPI ----------------------------------------------------------------------------------


def asyncapi(version: str) -> Json:
    """The whole hub as AsyncAPI 3.0: a channel a topic, an operation a service and direction."""
    specs = [s for s in registry() if s.connector in {None, BUILT_IN_CONNECTORS[0]}]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Wasl",
            "version": version,
            "description": (
                "Events of the reporting hub. Generated from the topic registry by"
                " `python -m wasl_schemas.generate`; do not edit."
            ),
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": CONTENT_TYPE,
        "channels": {_channel_id(s): _channel(s) for s in specs},
        "operations": {name: body for s in specs for name, body in _operations(s)},
        "components": {"messages": {s.data.__name__: _message(s) for s in specs}},
    }


def _channel_id(spec: TopicSpec[Any]) -> str:
    if spec.connector is None:
        return spec.name
    head, _, major = spec.name.rpartition(".")
    return f"{head.rpartition('.')[0]}.{{connector}}.{major}"


def _about(spec: TopicSpec[Any]) -> str:
    module = inspect.getmodule(spec.data)
    return inspect.cleandoc(module.__doc__ or "") if module else ""


def _channel(spec: TopicSpec[Any]) -> Json:
    name = spec.data.__name__
    address = _channel_id(spec)
    channel: Json = {
        "address": address,
        "description": spec.description if spec.connector is None else _about(spec),
        "messages": {name: {"$ref": f"#/components/messages/{name}"}},
        "bindings": {
            "kafka": {
                "partitions": spec.partitions,
                "topicConfiguration": {
                    "cleanup.policy": ["delete"],
                    "retention.ms": _milliseconds(spec.retention.total_seconds()),
                },
                "bindingVersion": "0.5.0",
            }
        },
        "x-classification": spec.classification.value,
        "x-dead-letters": {
            "topics": [f"{address}.dlq.{consumer}" for consumer in spec.consumers],
            "retention.ms": _milliseconds(spec.dead_letter_retention.total_seconds()),
        },
    }
    if spec.connector is not None:
        channel["parameters"] = {
            "connector": {
                "description": "Name of the connector, with '-' where the name has '_'.",
                "examples": list(BUILT_IN_CONNECTORS),
            }
        }
    return channel


def _operations(spec: TopicSpec[Any]) -> Iterable[tuple[str, Json]]:
    channel = _channel_id(spec)
    pointer = f"#/channels/{channel}"
    for action, services in (("send", spec.producers), ("receive", spec.consumers)):
        for service in services:
            operation = {
                "action": action,
                "channel": {"$ref": pointer},
                "messages": [{"$ref": f"{pointer}/messages/{spec.data.__name__}"}],
                "tags": [{"name": service}],
            }
            yield f"{service}.{action}.{channel}", operation


def _message(spec: TopicSpec[Any]) -> Json:
    attributes = ("ce_id", "ce_source", "ce_type", "ce_time", "ce_correlationid")
    return {
        "name": spec.type,
        "title": spec.data.__name__,
        "summary": _about(spec).partition("\n")[0],
        "contentType": CONTENT_TYPE,
        "headers": {
            "type": "object",
            "properties": {
                "content-type": {"const": CONTENT_TYPE},
                **{name: {"type": "string"} for name in attributes},
            },
            "required": ["content-type", *attributes],
        },
        "correlationId": {"location": "$message.payload#/correlationid"},
        "payload": {
            "schemaFormat": "application/schema+json;version=draft-2020-12",
            "schema": {
                "allOf": [
                    {"$ref": f"../jsonschema/{ENVELOPE}"},
                    {
                        "type": "object",
                        "properties": {
                            "type": {"const": spec.type},
                            "data": {"$ref": f"../jsonschema/{schema_file(spec.type)}"},
                        },
                    },
                ]
            },
        },
        "bindings": {
            "kafka": {
                "key": {"type": "string", "description": f"data.{spec.key}"},
                "bindingVersion": "0.5.0",
            }
        },
    }


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)


# --- lifecycle ---------------------------------------------------------------------------------

_MACHINES: tuple[tuple[Machine[Any], str], ...] = (
    (lifecycle.CASE, "Owned by triage. Reopening goes back to the first look."),
    (lifecycle.DISPATCH, "Owned by the platform gateway: one row of the ledger."),
    (lifecycle.WATCH, "Owned by the platform gateway: the item of one case, as the hub sees it."),
    (lifecycle.REFERRAL, "Owned by notify: one package to one authority."),
    (lifecycle.NOTIFICATION, "Owned by notify: one message to one reporter."),
)


def lifecycle_page() -> str:
    """One Mermaid diagram and one table for each machine."""
    out = [
        "<!-- Generated by `python -m wasl_schemas.generate` from wasl_schemas/lifecycle.py. -->",
        "# Lifecycle",
        "",
        "The owner of a thing moves it with a trigger that its table allows; everybody else learns",
        "states, each with a version, and keeps the highest. `[*]` on the right marks states in",
        "which nothing more is expected; a late answer or a reopening may still leave them.",
    ]
    for machine, owner in _MACHINES:
        out += ["", f"## {machine.name.capitalize()}", "", owner, "", *_diagram(machine), ""]
        out += ["| in | trigger | goes to | by |", "|---|---|---|---|"]
        out += [
            f"| {s.state} | {s.trigger} | {s.to} | {', '.join(s.by).replace('_', ' ')} |"
            for s in machine.steps
        ]
    return "\n".join(out) + "\n"


def _diagram(machine: Machine[Any]) -> list[str]:
    arrows: dict[tuple[str, str], list[str]] = {}
    for step in machine.steps:
        arrows.setdefault((step.state, step.to), []).append(step.trigger)
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {machine.initial}"]
    lines += [f"    {a} --> {b}: {', '.join(labels)}" for (a, b), labels in arrows.items()]
    lines += [f"    {state} --> [*]" for state in sorted(machine.settled)]
    return [*lines, "```"]


# --- files -------------------------------------------------------------------------------------


def files(root: Path = ROOT) -> dict[Path, str]:
    """Every generated file with its content. ``root``: the ``schemas`` folder of a checkout."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    out = {
        root / "jsonschema" / schema_file(name): _text(data_schema(by_type()[name]))
        for name, _ in types()
    }
    out[root / "jsonschema" / ENVELOPE] = _text(envelope_schema())
    out[root / "asyncapi" / "wasl.json"] = _text(asyncapi(project["version"]))
    out[root / "examples" / SUMS] = _examples(root)
    out[root.parent / "docs" / "architecture" / "lifecycle.md"] = lifecycle_page()
    return out


def stale(root: Path = ROOT) -> list[str]:
    """What a checkout has that the code does not say: missing, different or left-over files."""
    expected = files(root)
    out = [
        f"{path.relative_to(root.parent)} is {'stale' if path.exists() else 'missing'}"
        for path, text in expected.items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    out += changed_examples(root)
    present = {*root.glob("jsonschema/*.json"), *root.glob("asyncapi/*")}
    left_over = sorted(present - set(expected))
    return out + [f"{path.relative_to(root.parent)} belongs to no event" for path in left_over]


def changed_examples(root: Path = ROOT) -> list[str]:
    """Golden examples that are not what they were when they were added."""
    out = []
    for name, digest in _sums(root).items():
        path = root / "examples" / name
        if not path.exists():
            out.append(f"examples/{name} is gone; examples are append-only: restore it")
        elif _digest(path) != digest:
            out.append(f"examples/{name} was changed; restore it and add another one")
    return out


def _examples(root: Path) -> str:
    """The list of sums, in the format of sha256sum, with new examples added at their place."""
    found = {str(p.relative_to(root / "examples")): p for p in root.glob("examples/*/*.json")}
    sums = {name: _digest(path) for name, path in found.items()} | _sums(root)
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items()))


def _sums(root: Path) -> dict[str, str]:
    listing = root / "examples" / SUMS
    lines = listing.read_text(encoding="utf-8").splitlines() if listing.exists() else []
    return {name: digest for digest, name in (line.split("  ", 1) for line in lines)}


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _text(value: Json) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _take_baseline(root: Path) -> list[str]:
    """Copy the schemas to the baseline unless they break it; returns the breaks."""
    current, baseline = root / "jsonschema", root / "jsonschema" / "baseline"
    breaks = compat.compare_folders(baseline, current) if baseline.exists() else []
    if not breaks:
        baseline.mkdir(exist_ok=True)
        for path in sorted(current.glob("*.json")):
            (baseline / path.name).write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    return [str(b) for b in breaks]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m wasl_schemas.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when stale")
    parser.add_argument("--baseline", action="store_true", help="at a release: keep the schemas")
    parser.add_argument("--root", type=Path, default=ROOT, help="the schemas folder of a checkout")
    args = parser.parse_args(argv)
    root: Path = args.root.resolve()
    if not (root / "pyproject.toml").exists():
        parser.error(f"{root} is not the schemas folder of a checkout; name it with --root")
    if args.check:
        problems = stale(root)
        fix = "run: python -m wasl_schemas.generate"
    else:
        for path, text in files(root).items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        problems = stale(root)  # what writing cannot mend: left-over files, changed examples
        fix = "delete what is left over; restore what was changed"
        if args.baseline and not problems:
            problems = _take_baseline(root)
            fix = "make a new major version instead (schemas/README.md)"
    for problem in problems:
        sys.stderr.write(f"{problem}\n")
    if problems:
        sys.stderr.write(f"{fix}\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
