# SPDX-License-Identifier: Apache-2.0
"""Duplicate and reordered delivery: every record of every topic again, in any order.

Three times worse than a broker does it: the same records shuffled; the same facts under new event ids,
so that no inbox knows them; and a read model built from nothing but shuffled copies.
"""

import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from hub import Hub, Record, body_of
from load import Load
from oracle import Oracle
from wasl_schemas.ids import uuid7

pytestmark = pytest.mark.failure

Message = tuple[str, bytes | None, bytes | None, Any]
#: What must not move, whatever is delivered again. Pages of notify's journal are not state.
_STATE = (
    ("intake", "reports"),
    ("intake", "links"),
    ("intake", "case_views"),
    ("triage", "cases"),
    ("triage", "reports"),
    ("triage", "audit"),
    ("gateway-reference", "ledger"),
    ("notify", "reporters"),
    ("notify", "links"),
    ("notify", "notifications"),
)


def _state(hub: Hub) -> dict[tuple[str, str], dict[str, Any]]:
    found = {}
    for book in _STATE:
        docs = hub.docs(*book)
        for doc in docs.values():
            for volatile in ("_rev", "lease", "lease_until", "due_at"):
                doc.pop(volatile, None)
        found[book] = docs
    return found


async def _log(hub: Hub, *topics: str) -> list[Record]:
    return [r for r in await hub.records(*topics) if ".dlq." not in r.topic]


def _shuffled(
    records: list[Record], dice: random.Random, change: Callable[[Record], bytes | None]
) -> list[Message]:
    messages: list[Message] = [(r.topic, r.key, change(r), r.headers) for r in records]
    dice.shuffle(messages)
    return messages


def _same(record: Record) -> bytes | None:
    return record.value


def _new_id(record: Record) -> bytes:
    return json.dumps({**body_of(record), "id": uuid7()}).encode()


async def test_everything_again_in_any_order(
    hub: Hub, oracle: Oracle, dice: random.Random, seed: int
) -> None:
    load = Load(hub, seed)
    await load.run()
    await oracle.judge(load, repeated=False)
    before = _state(hub)
    mails = hub.mails()
    events = await _log(hub)
    # A report under a new id is a question, and changes the case's version with its answer.
    facts = [r for r in events if r.topic != "wasl.report.submitted.v1"]
    for change, records in ((_same, events), (_new_id, facts)):
        await hub.publish(_shuffled(records, dice, change))
        await oracle.quiet()
        after = _state(hub)
        for book, docs in before.items():
            assert after[book] == docs, f"{book} changed by {change.__name__}"
        assert hub.mails() == mails
    await hub.publish(_shuffled(events, dice, _new_id))
    await oracle.judge(load, repeated=False)


async def test_a_read_model_from_shuffled_copies(
    hub: Hub, oracle: Oracle, dice: random.Random, seed: int
) -> None:
    """Intake forgets what it learnt and learns it from records in no order, each of them twice."""
    load = Load(hub, seed)
    await load.run()
    await oracle.settled(load.sent)
    await oracle.quiet()
    before = await oracle.receipts(load.sent)
    told = await _log(
        hub, "wasl.case.opened.v1", "wasl.case.updated.v1", "wasl.dispatch.updated.v1"
    )
    assert await hub.terminate("intake") == 0
    with hub.database() as client:
        for collection in ("links", "case_views", "inbox"):
            client["wasl_intake"][collection].delete_many({})
    await hub.publish(_shuffled(told * 2, dice, _same))
    await hub.start("intake")
    await oracle.quiet()
    assert await oracle.receipts(load.sent) == before
    await oracle.judge(load, repeated=False)
