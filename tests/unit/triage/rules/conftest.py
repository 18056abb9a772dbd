# SPDX-License-Identifier: Apache-2.0
"""The two packs, and rules written in a test."""

from collections.abc import Callable
from pathlib import Path

import pytest
from rules_kit import document
from wasl_schemas.country_pack import CountryPack, load_country_pack
from wasl_schemas.country_pack_loader import read_rules
from wasl_triage.rules.engine import RuleSet

PACKS = Path(__file__).parents[4] / "deploy" / "country-packs"

Make = Callable[..., RuleSet]


@pytest.fixture(scope="session")
def ma() -> CountryPack:
    return load_country_pack(PACKS / "ma")


@pytest.fixture(scope="session")
def example() -> CountryPack:
    return load_country_pack(PACKS / "example")


@pytest.fixture(scope="session")
def example_dir() -> Path:
    return PACKS / "example"


@pytest.fixture
def make(example: CountryPack) -> Make:
    def build(*rules: str, version: int = 1) -> RuleSet:
        return RuleSet.compile(example, read_rules(document(*rules, version=version)))

    return build
