# SPDX-License-Identifier: Apache-2.0
"""A wrong setting stops the process by name; a wrong staff list above all."""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from wasl_chassis.settings import SettingsError, read
from wasl_triage.bootstrap import build
from wasl_triage.settings import Staff, TriageSettings

ONE = {"name": "analyst-1", "sha256": hashlib.sha256(b"t").hexdigest(), "roles": ["analyst"]}
TWO = {"name": "analyst-2", "sha256": hashlib.sha256(b"u").hexdigest(), "roles": ["supervisor"]}
PACKS = Path(__file__).parents[3] / "deploy/country-packs"


def _environment(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    key = base64.b64encode(b"k" * 32).decode()
    for name, value in {
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "MONGODB_URI": "mongodb://127.0.0.1:1",
        "WASL_MASTER_KEY": key,
        "WASL_PEPPER": key,
        "WASL_COUNTRY_PACK": str(PACKS / "ma"),
        "WASL_TRIAGE_STAFF": json.dumps([ONE, TWO]),
        **values,
    }.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    "staff",
    [
        "",
        "analyst-1",
        "{}",
        "[]",
        json.dumps([{**ONE, "sha256": "short"}]),
        json.dumps([{**ONE, "sha256": ONE["sha256"].upper()}]),
        json.dumps([{**ONE, "roles": []}]),
        json.dumps([{**ONE, "roles": ["king"]}]),
        json.dumps([{**ONE, "token": "t"}]),
        json.dumps([{**ONE, "name": "country_pack"}]),
        json.dumps([ONE, {**TWO, "name": "analyst-1"}]),
        json.dumps([ONE, {**TWO, "sha256": ONE["sha256"]}]),
    ],
)
def test_a_staff_list_that_cannot_be_used_stops_the_process(
    monkeypatch: pytest.MonkeyPatch, staff: str
) -> None:
    _environment(monkeypatch, WASL_TRIAGE_STAFF=staff)
    with pytest.raises(SettingsError) as error:
        read(TriageSettings)
    assert "WASL_TRIAGE_STAFF" in str(error.value)
    assert ONE["sha256"][:12] not in str(error.value)


def test_the_staff_list_may_be_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "staff.json"
    file.write_text(json.dumps([ONE]), encoding="utf-8")
    _environment(monkeypatch, WASL_TRIAGE_STAFF_FILE=str(file))
    monkeypatch.delenv("WASL_TRIAGE_STAFF")
    settings = read(TriageSettings)
    assert settings.staff().who("t") is not None
    assert ONE["sha256"] not in repr(settings)


def test_an_unusable_country_pack_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _environment(monkeypatch, WASL_COUNTRY_PACK=str(tmp_path / "nowhere"))
    with pytest.raises(SettingsError, match="WASL_COUNTRY_PACK"):
        build(read(TriageSettings))


async def test_the_service_is_built_as_the_registry_says(monkeypatch: pytest.MonkeyPatch) -> None:
    _environment(monkeypatch)
    service = build(read(TriageSettings))
    consumed = {route.spec.name for route in service.consumer.routes.values()}
    assert consumed == {
        "wasl.report.submitted.v1",
        "wasl.report.withdrawn.v1",
        "wasl.reporter-message.sent.v1",
        "wasl.dispatch.updated.v1",
        "wasl.referral.updated.v1",
        "wasl.item.observed.v1",
    }
    assert all("triage" in route.spec.consumers for route in service.consumer.routes.values())
    assert "wasl_triage_decisions_total" in service.metrics.exposition().decode()
    await service.store.close()


def test_every_entry_of_the_staff_list_is_compared() -> None:
    staff = Staff.parse(json.dumps([ONE, TWO]))
    found: Any = [staff.who(t) for t in ("t", "u", "v")]
    assert [p and p.name for p in found] == ["analyst-1", "analyst-2", None]
