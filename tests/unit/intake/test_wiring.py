# SPDX-License-Identifier: Apache-2.0
"""What intake is built from: subscriptions, settings, texts."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from wasl_chassis.settings import SettingsError, read
from wasl_intake import bootstrap, consumers
from wasl_intake.settings import IntakeSettings
from wasl_schemas import topics


def test_it_listens_to_what_the_registry_says(portal: Any) -> None:
    heard: dict[str, Any] = {}

    def consume(spec: Any, handler: Any, *, prefetch: Any) -> None:
        assert callable(handler)
        assert callable(prefetch)
        heard[spec.name] = handler

    consumers.register(SimpleNamespace(consume=consume), portal.handlers)  # type: ignore[arg-type]
    assert heard.keys() == {t.name for t in topics.SHARED if "intake" in t.consumers}


def test_settings_name_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WASL_COUNTRY_PACK", "WASL_PEPPER", "MONGODB_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WASL_INTAKE_PORT", "70000")
    with pytest.raises(SettingsError) as caught:
        read(IntakeSettings)
    for name in ("WASL_COUNTRY_PACK", "WASL_PEPPER", "MONGODB_URI", "WASL_INTAKE_PORT"):
        assert name in str(caught.value)


def test_a_wrong_country_pack_names_the_variable(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="WASL_COUNTRY_PACK"):
        bootstrap.read_pack(tmp_path / "nowhere")
