# SPDX-License-Identifier: Apache-2.0
"""A channel is all there: in the page, in compose, in Prometheus; its words in every language."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from wasl_chassis.settings import variable
from wasl_intake.channels import mail, messenger, telegram, whatsapp
from wasl_intake.channels.metrics import METRICS
from wasl_intake.channels.process import NAMES
from wasl_intake.channels.settings import ChannelSettings
from wasl_intake.i18n import TEXTS

ROOT = Path(__file__).resolve().parents[4]
PAGE = (ROOT / "docs" / "channels.md").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))


def test_the_page_knows_settings_metrics_and_fields() -> None:
    wanted = [variable(ChannelSettings, field) for field in ChannelSettings.model_fields]
    wanted += [metric.name for metric in METRICS]
    for config in (
        mail.Config, mail.Submission, whatsapp.Config, messenger.Config, messenger.Account,
        telegram.Config,
    ):  # fmt: skip
        wanted += list(config.model_fields)
    assert [name for name in wanted if name not in PAGE] == []


def test_metrics_and_settings_are_explained() -> None:
    for metric in METRICS:
        assert re.fullmatch(r"wasl_[a-z0-9_]+", metric.name)
        assert metric.help.endswith((".", "labels."))
    assert all(f.description for f in ChannelSettings.model_fields.values())


@pytest.mark.parametrize("name", NAMES)
def test_it_runs_as_a_service_without_a_database(name: str) -> None:
    service = COMPOSE["services"][f"channel-{name}"]
    assert service["command"] == ["wasl-intake-channel", name]
    assert service["profiles"] == ["channels", f"channel-{name}"]
    held = {s if isinstance(s, str) else s["source"] for s in service["secrets"]}
    assert held == {"channel_secret", f"channel_{name}", f"api_key_{name}"}
    assert held <= COMPOSE["secrets"].keys()
    known = {variable(ChannelSettings, field) for field in ChannelSettings.model_fields}
    assert {n.removesuffix("_FILE") for n in service["environment"]} <= known
    targets = (ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text(encoding="utf-8")
    assert f"          - channel-{name}\n" in targets


@pytest.mark.parametrize("lang", ["ar", "fr"])
def test_every_sentence_is_translated(lang: str) -> None:
    source = (
        ROOT / "services" / "intake" / "src" / "wasl_intake" / "channels" / "wording.py"
    ).read_text(encoding="utf-8")
    joined = re.sub(r'"\s*\n\s*"', "", source)
    said = set(re.findall(r'(?:say|gettext)\(\s*lang,\s*"((?:[^"\\]|\\.)*)"', joined))
    said |= set(re.findall(r'ngettext\(\s*lang,\s*"([^"]*)"', joined))
    assert len(said) == 15
    catalogue = TEXTS.read(lang)
    for sentence in said:
        message = catalogue.get(sentence)
        assert message is not None, f"locale/{lang}/channels.po: no {sentence!r}"
        strings = message.string if isinstance(message.string, tuple) else (message.string,)
        assert all(strings), sentence
        if lang == "fr":
            for text in strings:
                assert not re.search(r"(?<!\u00a0)[?!:;](?![/\d])", text), (
                    "a plain space before ? ! : ;"
                )
