# SPDX-License-Identifier: Apache-2.0
"""What is generated is committed, fresh and true to the registry."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from wasl_schemas import compat, generate
from wasl_schemas.generate import ENVELOPE, ROOT, data_schema, lifecycle_page, main, stale
from wasl_schemas.lifecycle import CASE, DISPATCH, NOTIFICATION, REFERRAL, WATCH
from wasl_schemas.sensitivity import Sensitivity
from wasl_schemas.topics import CASE_UPDATED_V1, REPORT_SUBMITTED_V1, registry

SCHEMAS = sorted((ROOT / "jsonschema").glob("*.json"))


def load(path: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return value


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what is committed, to break."""
    root = tmp_path / "schemas"
    for part in ("jsonschema", "asyncapi", "examples"):
        shutil.copytree(ROOT / part, root / part)
    shutil.copy(ROOT / "pyproject.toml", root)
    page = tmp_path / "docs" / "architecture" / "lifecycle.md"
    page.parent.mkdir(parents=True)
    shutil.copy(ROOT.parent / "docs" / "architecture" / "lifecycle.md", page)
    return root


# --- freshness ---


def test_nothing_committed_is_stale() -> None:
    assert stale() == [], "run: python -m wasl_schemas.generate"


def test_no_release_breaks_the_first_one() -> None:
    baseline = ROOT / "jsonschema" / "baseline"
    assert sorted(baseline.glob("*.json"))
    assert [str(b) for b in compat.compare_folders(baseline, ROOT / "jsonschema")] == []


def test_output_is_the_same_every_time() -> None:
    assert generate.files() == generate.files()


@pytest.mark.parametrize(
    "name",
    [
        "schemas/jsonschema/case.updated.v1.json", "schemas/jsonschema/envelope.json",
        "schemas/asyncapi/wasl.json", "docs/architecture/lifecycle.md",
        "schemas/examples/SHA256SUMS",
    ],
)  # fmt: skip
def test_check_names_what_is_stale_and_missing(
    checkout: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert main(["--check", "--root", str(checkout)]) == 0
    target = checkout.parent / name
    if name.endswith("SUMS"):  # the newest example is not listed yet
        target.write_text("".join(target.read_text().splitlines(keepends=True)[1:]))
    else:
        target.write_text(target.read_text() + " ")
    assert main(["--check", "--root", str(checkout)]) == 1
    said = capsys.readouterr().err
    assert f"{name} is stale" in said
    assert "python -m wasl_schemas.generate" in said
    target.unlink()
    assert main(["--check", "--root", str(checkout)]) == 1
    assert f"{name} is missing" in capsys.readouterr().err
    assert main(["--root", str(checkout)]) == 0
    assert main(["--check", "--root", str(checkout)]) == 0


def test_a_left_over_schema_is_named(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (checkout / "jsonschema" / "case.burnt.v1.json").write_text("{}")
    for arguments in (["--check"], []):
        assert main([*arguments, "--root", str(checkout)]) == 1
        assert "jsonschema/case.burnt.v1.json belongs to no event" in capsys.readouterr().err


def test_golden_examples_are_append_only(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = checkout / "examples" / "org.wasl.case.opened.v1"
    shutil.copy(folder / "0.1.0-full.json", folder / "0.2.0-full.json")
    assert main(["--root", str(checkout)]) == 0
    assert main(["--check", "--root", str(checkout)]) == 0
    (folder / "0.2.0-full.json").write_text("{}")
    (folder / "0.1.0-minimal.json").unlink()
    for arguments in (["--check"], []):
        assert main([*arguments, "--root", str(checkout)]) == 1
        said = capsys.readouterr().err
        assert "0.2.0-full.json was changed; restore it and add another one" in said
        assert "0.1.0-minimal.json is gone" in said


def test_a_baseline_is_not_taken_over_a_break(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--baseline", "--root", str(checkout)]) == 0
    target = checkout / "jsonschema" / "baseline" / "case.opened.v1.json"
    before = load(target)
    before["properties"]["gone"] = {"type": "string"}
    target.write_text(json.dumps(before))
    assert main(["--baseline", "--root", str(checkout)]) == 1
    assert "case.opened.v1.json.gone: field removed" in capsys.readouterr().err
    assert load(target) == before
    shutil.rmtree(target.parent)
    assert main(["--baseline", "--root", str(checkout)]) == 0
    assert load(target) == load(checkout / "jsonschema" / "case.opened.v1.json")


def test_a_folder_that_is_no_checkout_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["--check", "--root", str(tmp_path)])
    assert exit_.value.code == 2
    assert "name it with --root" in capsys.readouterr().err


# --- JSON Schema ---


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda p: p.stem)
def test_each_schema_is_valid_tolerant_and_says_what_is_sensitive(path: Path) -> None:
    schema = load(path)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["description"]
    words = {s.value for s in Sensitivity}
    for part in (schema, *schema.get("$defs", {}).values()):
        assert "additionalProperties" not in part
        for name, prop in part.get("properties", {}).items():
            if (path.name, name) != (ENVELOPE, "data"):
                assert prop["x-sensitivity"] in words, name


def test_sensitivity_and_descriptions_come_from_the_source() -> None:
    report = data_schema(REPORT_SUBMITTED_V1)
    assert report["$id"] == REPORT_SUBMITTED_V1.schema_urn
    assert report["properties"]["content"]["x-sensitivity"] == "restricted"
    assert report["properties"]["contact"]["x-sensitivity"] == "personal"
    assert report["$defs"]["SealedContact"]["properties"]["address"]["x-sensitivity"] == "personal"
    assert "never the assessment" in report["properties"]["category"]["description"]
    case = data_schema(CASE_UPDATED_V1)
    assert "reporter's category" in case["properties"]["category"]["description"]
    assert case["properties"]["version"]["minimum"] == 1


def test_open_lists_are_open_and_closed_ones_closed() -> None:
    parts = data_schema(CASE_UPDATED_V1)["$defs"]
    assert "enum" not in parts["CaseState"]
    assert "second_look" in parts["CaseState"]["x-known-values"]
    assert parts["Severity"]["enum"] == ["low", "medium", "high", "critical"]


# --- AsyncAPI ---

API = load(ROOT / "asyncapi" / "wasl.json")
#: The fields of AsyncAPI 3.0.0 that the generator uses, by object: required, then allowed.
OBJECTS: dict[str, tuple[set[str], set[str]]] = {
    "root": (
        {"asyncapi", "info"},
        {"defaultContentType", "channels", "operations", "components"},
    ),
    "info": ({"title", "version"}, {"description", "license"}),
    "channel": (set(), {"address", "description", "messages", "parameters", "bindings"}),
    "operation": ({"action", "channel"}, {"messages", "tags"}),
    "message": (
        set(),
        {
            "name", "title", "summary", "contentType", "headers", "correlationId", "payload",
            "bindings",
        },
    ),
    "channel binding": (set(), {"partitions", "topicConfiguration", "bindingVersion"}),
    "message binding": (set(), {"key", "bindingVersion"}),
}  # fmt: skip


def check_object(kind: str, value: dict[str, Any]) -> None:
    required, allowed = OBJECTS[kind]
    names = {n for n in value if not n.startswith("x-")}
    assert required <= names <= required | allowed, kind


def test_the_document_has_the_shape_of_asyncapi_3() -> None:
    check_object("root", API)
    assert API["asyncapi"] == "3.0.0"
    check_object("info", API["info"])
    for channel in API["channels"].values():
        check_object("channel", channel)
        check_object("channel binding", channel["bindings"]["kafka"])
    for message in API["components"]["messages"].values():
        check_object("message", message)
        check_object("message binding", message["bindings"]["kafka"])
        assert set(message["payload"]) == {"schemaFormat", "schema"}
        jsonschema.Draft202012Validator.check_schema(message["payload"]["schema"])
        jsonschema.Draft202012Validator.check_schema(message["headers"])
    for operation in API["operations"].values():
        check_object("operation", operation)
        assert operation["action"] in {"send", "receive"}


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from references(inner)


def resolve(reference: str) -> Any:
    file, _, pointer = reference.partition("#")
    if file:
        return load((ROOT / "asyncapi" / file).resolve())
    found: Any = API
    for step in pointer.strip("/").split("/"):
        found = found[step.replace("~1", "/").replace("~0", "~")]
    return found


def test_every_reference_leads_somewhere() -> None:
    found = set(references(API))
    assert len(found) > 30
    for reference in found:
        assert resolve(reference)


def test_channels_are_the_registrys_topics() -> None:
    by_address = {c["address"]: c for c in API["channels"].values()}
    for spec in registry():
        parameter = spec.connector and spec.connector.replace("_", "-")
        address = spec.name.replace(f".{parameter}.", ".{connector}.") if parameter else spec.name
        channel = by_address[address]
        kafka = channel["bindings"]["kafka"]
        assert kafka["partitions"] == spec.partitions
        retention = spec.retention.total_seconds() * 1000
        assert kafka["topicConfiguration"]["retention.ms"] == retention
        assert channel["x-classification"] == spec.classification
        assert channel["x-dead-letters"]["topics"] == [
            f"{address}.dlq.{consumer}" for consumer in spec.consumers
        ]
        message = resolve(next(iter(channel["messages"].values()))["$ref"])
        assert message["name"] == spec.type
        assert message["bindings"]["kafka"]["key"]["description"] == f"data.{spec.key}"
    assert len(by_address) == len({s.type for s in registry()})


def test_addresses_declare_their_parameters() -> None:
    for channel in API["channels"].values():
        named = set(re.findall(r"\{(\w+)\}", channel["address"]))
        assert named == set(channel.get("parameters", {}))


def test_operations_are_each_services_sends_and_receives() -> None:
    expected = {
        (service, action, spec.type)
        for spec in registry()
        for action, services in (("send", spec.producers), ("receive", spec.consumers))
        for service in services
    }
    found = set()
    for operation in API["operations"].values():
        channel = resolve(operation["channel"]["$ref"])
        (message,) = operation["messages"]
        assert message["$ref"].startswith(f"{operation['channel']['$ref']}/messages/")
        (tag,) = operation["tags"]
        spec_type = resolve(resolve(message["$ref"])["$ref"])["name"]
        assert resolve(message["$ref"]) in channel["messages"].values()
        found.add((tag["name"], operation["action"], spec_type))
    assert found == expected


def test_payloads_name_the_envelope_the_type_and_the_data() -> None:
    for message in API["components"]["messages"].values():
        envelope, own = message["payload"]["schema"]["allOf"]
        assert resolve(envelope["$ref"])["title"] == "Event"
        assert own["properties"]["type"]["const"] == message["name"]
        urn = f"urn:wasl:schema:{message['name'].removeprefix('org.wasl.')}"
        assert resolve(own["properties"]["data"]["$ref"])["$id"] == urn


# --- lifecycle ---


def test_the_page_shows_every_step_of_every_machine() -> None:
    page = lifecycle_page()
    for machine in (CASE, DISPATCH, WATCH, REFERRAL, NOTIFICATION):
        assert f"[*] --> {machine.initial}" in page
        for step in machine.steps:
            assert f"| {step.state} | {step.trigger} | {step.to} |" in page
            arrow = rf"^    {step.state} --> {step.to}: (.*, )?{step.trigger}(,.*)?$"
            assert re.search(arrow, page, re.MULTILINE), arrow
        for state in machine.settled:
            assert f"    {state} --> [*]" in page
    assert page.count("```mermaid") == 5
