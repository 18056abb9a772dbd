# SPDX-License-Identifier: Apache-2.0
"""Poison in every consumed topic, among good events: one dead letter each, and nobody stops."""

import json
import random
from collections import Counter
from typing import Any

import pytest
from hub import Hub, Record
from kit import until
from load import Load
from oracle import Oracle
from servers import ROOT
from wasl_schemas.topics import TopicSpec, registry

pytestmark = pytest.mark.failure

_BAD_HEADERS = [("ce_id", b"\xff\xfe"), ("ce_type", None), ("", b"")]
_POISON: tuple[tuple[bytes | None, str], ...] = (
    (b"\xff\xfe\x00\x01", "undecodable"),
    (b'{"id": "half an event', "undecodable"),
    (None, "undecodable"),
    (b'{"specversion": "1.0"}', "schema"),
    (b"[" * 5000 + b"]" * 5000, "undecodable"),
)


def _example(spec: TopicSpec[Any]) -> bytes:
    """A good event of this type."""
    return min((ROOT / "schemas" / "examples" / spec.type).glob("*.json")).read_bytes()


def _poison(spec: TopicSpec[Any], example: bytes) -> list[tuple[bytes | None, str]]:
    """For one topic: what is no event at all, and events that are almost right."""
    event = json.loads(example)
    wrong_major = {**event, "type": event["type"].replace(".v1", ".v9")}
    wrong_data = {**event, "data": {**event["data"], spec.key: {"$gt": ""}}}
    no_data = {k: v for k, v in event.items() if k != "data"}
    made: list[tuple[bytes | None, str]] = [
        (json.dumps(wrong_major).encode(), "unknown_type"),
        (json.dumps(wrong_data).encode(), "schema"),
        (json.dumps(no_data).encode(), "schema"),
    ]
    return [*_POISON, *made]


async def test_it_costs_one_dead_letter_each(
    hub: Hub, oracle: Oracle, dice: random.Random, seed: int
) -> None:
    load = Load(hub, seed)
    injected: list[tuple[str, bytes | None, bytes | None, Any]] = []
    expected: Counter[tuple[str, str]] = Counter()
    for spec in registry():
        for value, reason in _poison(spec, _example(spec)):
            headers = _BAD_HEADERS if dice.random() < 0.5 else []
            injected.append((spec.name, dice.randbytes(8), value, headers))
            for consumer in spec.consumers:
                expected[spec.dead_letter(consumer), reason] += 1
    dice.shuffle(injected)
    async with load.flowing(seconds=4):
        for number in range(0, len(injected), 8):
            await hub.publish(injected[number : number + 8])

    async def all_dead() -> bool:
        return len(await oracle.dead_letters()) >= expected.total()

    await until(all_dead, 60, 0.5)
    dead = await oracle.dead_letters()
    assert Counter((r.topic, _header(r, "x-wasl-reason")) for r in dead) == expected
    originals = Counter(value for _, _, value, _ in injected)
    assert {r.value for r in dead} <= set(originals), "a dead letter lost its bytes"
    for letter in dead:
        assert _header(letter, "x-wasl-topic") + ".dlq." in letter.topic
    await oracle.judge(load, dead_letters=expected.total(), repeated=False)
    await hub.ready()


def _header(record: Record, name: str) -> str:
    return dict(record.headers)[name].decode()
