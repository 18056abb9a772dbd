# SPDX-License-Identifier: Apache-2.0
"""Without any failure: what the other tests of this folder compare with."""

import pytest
from hub import Hub
from load import Load
from oracle import Oracle

pytestmark = pytest.mark.failure


async def test_every_effect_happens_once(hub: Hub, oracle: Oracle, seed: int) -> None:
    load = Load(hub, seed)
    await load.run()
    await oracle.judge(load, repeated=False)
