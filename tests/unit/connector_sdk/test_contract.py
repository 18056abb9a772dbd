# SPDX-License-Identifier: Apache-2.0
"""The contract's own rules: manifests, the registry, configs, what the models let through."""

import ast
import json
import sys
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import ClassVar

import httpx
import pytest
import wasl_connector_sdk
from pydantic import SecretStr, ValidationError
from wasl_connector_sdk import (
    Connector,
    ConnectorConfig,
    Ground,
    Idempotency,
    Manifest,
    RateLimit,
    Receipt,
    StatusUpdate,
    Submission,
    SubmissionRefused,
    SupportsLookup,
    http,
)
from wasl_connector_sdk.registry import GROUP, RegistryError, load, load_all
from wasl_connector_sdk.urls import PartnerUrl


def manifest(name="acme", **changes):
    given = {
        "name": name,
        "title": "Acme",
        "docs": "docs/acme.md",
        "idempotency": Idempotency.NATIVE_KEY,
        **changes,
    }
    return Manifest(**given)


class Acme(Connector[ConnectorConfig]):
    manifest: ClassVar[Manifest] = manifest()
    Config: ClassVar[type[ConnectorConfig]] = ConnectorConfig

    @classmethod
    @asynccontextmanager
    async def open(cls, config, rt):
        yield cls()

    async def check(self): ...

    async def submit(self, submission):
        return Receipt(reference="1")


@pytest.fixture
def point(monkeypatch):
    """Makes an entry point whose target is the object given."""
    made = ModuleType("wasl_test_connectors")
    monkeypatch.setitem(sys.modules, made.__name__, made)

    def make(name, target, attribute=None):
        attribute = attribute or f"Target{len(vars(made))}"
        setattr(made, attribute, target)
        return EntryPoint(name=name, value=f"{made.__name__}:{attribute}", group=GROUP)

    return make


@pytest.mark.parametrize("name", ["", "a", "A", "1a", "a-b", "a.b", "a" * 32, "ä", "a b"])
def test_a_bad_name_is_refused(name):
    with pytest.raises(ValueError, match="connector name"):
        manifest(name)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "unknown"}, "reserved"),
        ({"contract": 2}, "contract 2"),
        ({"retry_seconds": ()}, "retry_seconds"),
        ({"poll_seconds": (1, 0)}, "poll_seconds"),
    ],
)
def test_a_manifest_says_what_is_wrong(changes, said):
    with pytest.raises(ValueError, match=said):
        manifest(**changes)


@pytest.mark.parametrize(("rate", "burst"), [(0, 1), (-1, 1), (1, 0)])
def test_a_rate_limit_is_positive(rate, burst):
    with pytest.raises(ValueError, match="rate limit"):
        RateLimit(rate, burst)


def test_a_missing_connector_names_what_is_installed(point):
    with pytest.raises(RegistryError, match=r"'other' is not installed \(installed: acme\)"):
        load("other", [point("acme", Acme)])


def test_two_providers_of_one_name_are_refused(point):
    with pytest.raises(RegistryError, match="provided twice"):
        load("acme", [point("acme", Acme), point("acme", Acme)])


def test_the_same_provider_found_twice_is_one(point):
    same = point("acme", Acme)
    assert load_all([same, same]) == {"acme": Acme}


def _without_config():
    return type("NoConfig", (Acme,), {"Config": dict})


def _unfinished():
    base = {"manifest": manifest(), "Config": ConnectorConfig}
    return type("Unfinished", (Connector,), base)


def _lookup_without_find():
    return type("Liar", (Acme,), {"manifest": manifest(idempotency=Idempotency.LOOKUP)})


@pytest.mark.parametrize(
    ("name", "make", "said"),
    [
        ("other", lambda: Acme, "calls itself 'acme'"),
        ("acme", lambda: "text", "not a subclass"),
        ("acme", lambda: type("NoManifest", (Acme,), {"manifest": None}), "no Manifest"),
        ("acme", _without_config, "no ConnectorConfig"),
        ("acme", _unfinished, "lacks check, open, submit"),
        ("acme", _lookup_without_find, "no method 'find'"),
    ],
)
def test_a_bad_connector_stops_the_start(point, name, make, said):
    with pytest.raises(RegistryError, match=said):
        load(name, [point(name, make())])


def test_a_connector_that_cannot_be_imported_is_named():
    broken = EntryPoint(name="acme", value="no_such_package:Acme", group=GROUP)
    with pytest.raises(RegistryError, match=r"'acme'.*cannot be imported.*ModuleNotFoundError"):
        load_all([broken])


def test_the_built_in_connectors_load_like_any_other():
    assert {"reference", "webhook"} <= load_all().keys()


def test_abilities_are_types():
    assert not issubclass(Acme, SupportsLookup)
    assert issubclass(load("reference"), SupportsLookup)


def test_a_config_refuses_unknown_keys_and_prints_no_value():
    class Config(ConnectorConfig):
        url: PartnerUrl
        token: SecretStr

    with pytest.raises(ValidationError) as caught:
        Config.model_validate(
            {"url": "http://example.org/CANARY", "token": "CANARY", "x": "CANARY"}
        )
    assert "CANARY" not in str(caught.value)
    assert {e["loc"][0] for e in caught.value.errors()} == {"url", "x"}
    good = Config.model_validate({"url": "https://example.org", "token": "CANARY"})
    assert "CANARY" not in repr(good)


@pytest.mark.parametrize(
    ("url", "ok"),
    [
        ("https://example.org/hook", True),
        ("http://127.0.0.1:8080/hook", True),
        ("http://localhost/hook", True),
        ("http://simulator:8080/hook", True),
        ("http://example.org/hook", False),
        ("https://user:secret@example.org/", False),
        ("https://example.org/#part", False),
        ("ftp://example.org/", False),
    ],
)
def test_an_address_is_https_or_near(url, ok):
    class Config(ConnectorConfig):
        url: PartnerUrl

    if ok:
        assert str(Config(url=url).url).startswith(url[:8])
    else:
        with pytest.raises(ValidationError):
            Config(url=url)


def test_a_submission_has_no_place_for_a_reporter_and_hides_the_item():
    assert set(Submission.model_fields) == {
        "idempotency_key", "case", "partner", "category", "severity", "ground", "scope", "location",
        "platform", "kind", "language", "explanation", "evidence", "requested_at", "test",
        "revision", "via", "measure",
    }  # fmt: skip
    made = Submission(
        idempotency_key="k" * 8,
        case="c" * 8,
        partner="acme",
        category="defamation",
        severity="low",
        ground=Ground(kind="law", ref="law.1"),
        scope="MA",
        location="https://example.org/CANARY",
        platform="web",
        kind="post",
        language="ar",
        explanation="CANARY",
        requested_at=datetime(2026, 1, 5, tzinfo=UTC),
    )
    assert "CANARY" not in repr(made)
    with pytest.raises(ValidationError):
        Submission.model_validate({**made.model_dump(), "reporter": "x"})


@pytest.mark.parametrize("reference", ["", " ", "a" * 201, "a\nb", "ä", "a\x00"])
def test_a_reference_is_printable_and_short(reference):
    with pytest.raises(ValidationError):
        Receipt(reference=reference)


def test_a_status_update_names_its_request():
    with pytest.raises(ValidationError, match="reference or idempotency_key"):
        StatusUpdate(outcome="removed")


@pytest.mark.parametrize(
    ("given", "word"),
    [("Out of scope!", "out_of_scope"), ("", "refused"), ("ü", "refused"), ("x" * 200, "x" * 80)],
)
def test_a_code_becomes_a_machine_word(given, word):
    assert SubmissionRefused(code=given).code == word


def test_the_sdk_depends_on_pydantic_and_httpx_only():
    root = Path(wasl_connector_sdk.__file__).parent
    imported = set()
    for path in root.rglob("*.py"):
        if path.parent.name == "conformance" or path.name == "signing.py":
            continue  # extras of their own: for tests, which have pytest; for who signs
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add((node.module or "").split(".")[0])
    assert imported - set(sys.stdlib_module_names) <= {
        "pydantic",
        "httpx",
        "httpcore",  # httpx itself is a layer over it
        "wasl_connector_sdk",
    }


def test_config_of_built_in_connectors_is_json_schema_describable():
    for connector in load_all().values():
        assert json.dumps(connector.Config.model_json_schema())


@pytest.mark.parametrize(
    ("url", "refused"),
    [
        ("https://report.example/x", True),
        ("https://api.REPORT.example./x", True),
        ("https://myreport.example/x", False),
        ("https://sandbox.example/x", False),
    ],
)
async def test_test_mode_does_not_reach_production(url, refused):
    reached = []

    def answer(request: httpx.Request) -> httpx.Response:
        reached.append(request.url)
        return httpx.Response(200)

    forbidden = frozenset({"report.example"})
    async with http.client(transport=httpx.MockTransport(answer), forbidden=forbidden) as client:
        if refused:
            with pytest.raises(http.TestModeError) as caught:
                await http.exchange(client, "POST", url)
            assert caught.value.reason == "test_mode"
        else:
            await http.exchange(client, "POST", url)
    assert bool(reached) is not refused
