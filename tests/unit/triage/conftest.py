# SPDX-License-Identifier: Apache-2.0
"""The real country pack and the real samples; the rest is in ``tests/support/triage_world.py``."""

import json
from pathlib import Path
from typing import Any

import pytest
from triage_world import World
from wasl_schemas.country_pack import CountryPack, load_country_pack

DEPLOY = Path(__file__).parents[3] / "deploy"


@pytest.fixture(scope="session")
def pack() -> CountryPack:
    return load_country_pack(DEPLOY / "country-packs/ma")


@pytest.fixture(scope="session")
def samples() -> list[dict[str, Any]]:
    text = (DEPLOY / "local/samples/reports.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines() if line.strip()]


@pytest.fixture
def world(pack: CountryPack) -> World:
    return World(pack)
