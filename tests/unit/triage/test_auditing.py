# SPDX-License-Identifier: Apache-2.0
"""Rows of every stream are chained; whatever happens to one, the chain says where."""

import dataclasses
import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from triage_world import ANA, Hub, World
from wasl_chassis.failures import Conflict
from wasl_triage.audit.trail import (
    AUDIT,
    HEADS,
    AuditRow,
    Broken,
    Stream,
    broken_at,
    broken_link,
    journal,
    link,
    looked,
    row_id,
    search_mark,
    told,
)

ROWS = 6


def _rows(hub: Hub, stream: str) -> list[AuditRow]:
    rows = [AUDIT.decode(d) for d in hub.store.docs.get("audit", {}).values()]
    return sorted((r for r in rows if r.stream == stream), key=lambda r: r.seq)


async def _written(hub: Hub, stream: str, count: int = ROWS) -> list[AuditRow]:
    for n in range(count):
        await hub.transact(lambda uow, n=n: journal(uow, stream, ANA.name, "look", str(n)))
    return _rows(hub, stream)


async def test_a_stream_without_a_case_is_chained() -> None:
    hub = Hub()
    rows = await _written(hub, Stream.RULES)
    head = HEADS.decode(hub.store.docs["audit_heads"]["rules"])
    assert [r.seq for r in rows] == list(range(1, ROWS + 1))
    assert [r.previous for r in rows] == ["", *(r.hash for r in rows[:-1])]
    assert broken_at("rules", rows, head.seq, head.hash) is None
    assert (head.seq, head.at) == (ROWS, rows[-1].at)


async def test_two_at_once_in_one_stream_do_not_make_one_number_twice() -> None:
    hub = Hub()
    one, two = hub.unit(), hub.unit()
    await journal(one, Stream.PEOPLE, "a", "x")
    await journal(two, Stream.PEOPLE, "b", "x")
    await hub.commit(one)
    with pytest.raises(Conflict):
        await hub.commit(two)
    assert [r.who for r in _rows(hub, "people")] == ["a"]


async def test_people_who_look_at_once_share_no_document() -> None:
    hub = Hub()
    units = {name: hub.unit() for name in ("ana", "bea")}
    for name, uow in units.items():
        await looked(uow, name, "queue", "queue_seen")
    for uow in units.values():
        await hub.commit(uow)
    hub.clock.advance(timedelta(days=1))
    await hub.transact(lambda uow: looked(uow, "ana", "queue", "queue_seen"))
    assert set(hub.store.docs["audit_heads"]) == {
        "queue|ana|2026-01-05", "queue|bea|2026-01-05", "queue|ana|2026-01-06",
    }  # fmt: skip


async def test_a_search_is_kept_by_its_kind_and_never_in_clear() -> None:
    hub = Hub()
    mark = search_mark(b"k" * 32, "item", "https://example.org/private")
    await hub.transact(lambda uow: looked(uow, "ana", "search", "search", mark))
    assert mark.startswith("item:")
    assert "example.org" not in json.dumps(hub.store.docs, default=str)
    assert mark == search_mark(b"k" * 32, "item", "https://example.org/private")
    assert mark != search_mark(b"k" * 32, "report", "https://example.org/private")
    assert mark != search_mark(b"l" * 32, "item", "https://example.org/private")


async def test_time_never_goes_back_in_a_stream() -> None:
    """A replica's clock is behind: the day of a row is never before the day of the row before it."""
    hub = Hub()
    hub.clock.advance(timedelta(hours=15))
    await hub.transact(lambda uow: journal(uow, "rules", "ana", "x"))
    hub.clock.advance(-timedelta(hours=1))
    await hub.transact(lambda uow: journal(uow, "rules", "ana", "x"))
    first, second = _rows(hub, "rules")
    assert (first.day, second.day) == ("2026-01-06", "2026-01-06")
    assert second.at == first.at


async def test_a_case_goes_on_where_it_was(world: World) -> None:
    await world.arrives("https://example.com/a")
    await world.held(ANA)
    world.clock.advance(-timedelta(hours=1))
    await world.desk.read(ANA, world.case().id)
    case, rows = world.case(), world.audit(world.case())
    assert broken_link(case, rows) is None
    assert [r.at for r in rows] == sorted(r.at for r in rows)
    assert case.audit_at == rows[-1].at


def test_rows_of_before_there_were_streams_are_read() -> None:
    row = AuditRow("c", 1, Hub().clock.now(), "a", "read", "", "", "")
    row = dataclasses.replace(row, hash=link(row))
    doc = {**AUDIT.encode(row), "_id": row.id}
    doc["case_id"] = doc.pop("stream")
    assert AUDIT.decode(doc) == row
    assert row_id("c", 1) == row.id


_CHANGE: dict[str, Any] = {
    "who": "somebody", "what": "other", "why": "other", "previous": "0" * 64, "hash": "0" * 64,
    "seq": 99, "stream": "other",
}  # fmt: skip


@given(
    st.integers(0, ROWS - 1), st.sampled_from([*_CHANGE, "at", "out", "twice", "swap", "relinked"])
)
async def test_any_single_change_is_found(at: int, what: str) -> None:
    hub = Hub()
    rows = await _written(hub, "rules")
    end = rows[-1].hash
    bad = list(rows)
    if what == "out":
        del bad[at]
    elif what == "twice":
        bad.insert(at, rows[at])
    elif what == "swap":
        other = (at + 1) % ROWS
        bad[at], bad[other] = bad[other], bad[at]
    elif what == "relinked":  # changed, and its own hash made to fit
        changed = dataclasses.replace(rows[at], who="somebody")
        bad[at] = dataclasses.replace(changed, hash=link(changed))
    else:
        value = rows[at].at + timedelta(milliseconds=1) if what == "at" else _CHANGE[what]
        bad[at] = dataclasses.replace(rows[at], **{what: value})
    assert broken_at("rules", rows, ROWS, end) is None
    found = broken_at("rules", bad, ROWS, end)
    assert found is not None
    assert found.seq >= min(at, (at + 1) % ROWS) + 1 or what == "swap"


async def test_where_it_is_said_to_break() -> None:
    rows = await _written(Hub(), "rules")
    end = rows[-1].hash
    assert broken_at("rules", rows[1:], ROWS, end) == Broken("rules", 1, "missing")
    assert broken_at("rules", rows[:-1], ROWS, end) == Broken("rules", ROWS, "missing")
    assert broken_at("rules", rows, ROWS - 1, end) == Broken("rules", ROWS, "added")
    assert broken_at("rules", rows, ROWS, "0") == Broken("rules", ROWS, "not_the_head")
    assert broken_at("rules", [], ROWS, end) == Broken("rules", 1, "missing")
    assert broken_at("rules", rows[2:], ROWS, end, erased=True) is None
    assert broken_at("rules", [], ROWS, end, erased=True) is None
    assert told(rows[0]) != told(rows[1])
