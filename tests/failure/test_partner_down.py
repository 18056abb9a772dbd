# SPDX-License-Identifier: Apache-2.0
"""One partner is down while others go on; it gets everything once it is back."""

import pytest
from hub import Hub
from kit import until
from load import Load
from oracle import Oracle

pytestmark = pytest.mark.failure


async def test_the_others_go_on(hub: Hub, oracle: Oracle, seed: int) -> None:
    load = Load(hub, seed)
    await hub.control("platforms", mode="down")
    try:
        await load.run()
        hotline = [s for s in load.sent if s.kind == "hotline"]
        others = [s for s in load.sent if s.kind == "partner"]
        await oracle.settled(hotline)

        async def tried() -> bool:
            shown = await oracle.receipts(others)
            assert not any(s["status"] == "removed" for s in shown.values())
            return bool(await hub.seen("platforms"))

        await until(tried)
    finally:
        await hub.control("platforms", mode="remove")
    await oracle.judge(load)


async def test_answers_get_lost(hub: Hub, oracle: Oracle, seed: int) -> None:
    """The partner has the request, the line breaks before it can say so: the hub looks it up."""
    # Fewer than open the circuit: its rest would only make the test longer.
    load = Load(hub, seed, count=4, kinds=("hotline",))
    await hub.control("hotline", mode="lose-answer")
    try:
        await load.run()
        await oracle.settled(load.sent)
    finally:
        await hub.control("hotline", mode="remove")
    await oracle.judge(load, repeated=False)
