# SPDX-License-Identifier: Apache-2.0
"""Every adapter passes every rule of the kit."""

from typing import Any

import pytest
from wasl_intake.channels.conformance import RULES


@pytest.mark.parametrize("name", ["mail", "whatsapp", "telegram", "messenger", "instagram"])
@pytest.mark.parametrize("rule", RULES)
async def test_rule(name: str, rule: str, world_of: Any) -> None:
    await RULES[rule](world_of(name))
