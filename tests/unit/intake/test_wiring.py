# SPDX-License-Identifier: Apache-2.0
"""What intake is built from: subscriptions, settings, texts."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from wasl_chassis.settings import SettingsError, read
from wasl_intake import bootstrap, consumers, words
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


def test_every_language_says_the_same() -> None:
    folder = Path(words.__file__).parent / "texts"
    texts = {f.stem: json.loads(f.read_text(encoding="utf-8")) for f in folder.glob("*.json")}
    assert texts.keys() == {"ar", "fr", "en"}
    for lang, own in texts.items():
        assert own.keys() == texts["fr"].keys()
        for key, text in own.items():
            assert text.strip() == text != ""
            for name in ("{n}", "{max}", "{date}", "{span}"):
                assert (name in text) == (name in texts["fr"][key]), (lang, key)


def test_every_own_text_is_used() -> None:
    package = Path(words.__file__).parent
    code = "".join(
        f.read_text(encoding="utf-8") for f in (*package.glob("*.py"), *package.glob("templates/*"))
    )
    texts = json.loads((package / "texts" / "fr.json").read_text(encoding="utf-8"))
    assert [key for key in texts if f'"{key}"' not in code] == []


def test_missing_texts_stop_the_start(portal: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pack = portal.handlers._pack
    french = json.loads((Path(words.__file__).parent / "texts" / "fr.json").read_text())
    del french["send"]
    real = json.loads
    monkeypatch.setattr(
        words.json, "loads", lambda t: french if "Signaler un contenu" in t else real(t)
    )
    with pytest.raises(ValueError, match=r"texts/fr.json lacks send"):
        words.Words(pack)
