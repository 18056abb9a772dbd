# SPDX-License-Identifier: Apache-2.0
"""Documents come back as they were; hand-written encoders forget no field."""

import dataclasses
from datetime import UTC, datetime
from typing import Any

from triage_world import ANA, World
from wasl_schemas.events.common import Ground, GroundKind, Severity
from wasl_schemas.lifecycle import CaseState, DispatchState, ReferralState, WatchState
from wasl_schemas.taxonomy import FourEyes
from wasl_triage.domain.case import (
    Action,
    Assessment,
    Case,
    DecisionRow,
    DispatchRow,
    Follower,
    Judgement,
    Measure,
    ReferralRow,
)
from wasl_triage.repository import CASES, REPORTS, Report

AT = datetime(2026, 1, 5, 9, tzinfo=UTC)
GROUND = Ground(kind=GroundKind.TERMS, ref="terms.fraud")


def _full() -> Case:
    """A case whose every field differs from its default."""
    return Case(
        id="c", platform="web", kind="page", item="i", language="fr", opened_at=AT, round_at=AT,
        first_look_due=AT, version=7, state=CaseState.SECOND_LOOK, severity=Severity.HIGH,
        because=("x",), legal_review=True, category="csam", reported={"a.b": 2}, facts={"press": 1},
        reports=3, recent=["r"], consent_partner=1, consent_authority=2, located=False,
        has_url=True, needs_expansion=True, hosted="NL", via={"x.a": 2}, flood=1, round=4, settled_at=AT, close_reason="no_ground",
        look_pending=False, overdue=True,
        assessment=Assessment("csam", ("press",), ("under_13",), "analyst-1", AT, "n", {"clear": "no"}, ("threats",)),
        decisions=[
            DecisionRow(
                "d", Action.REFER, "csam", "analyst-1", AT, 4, FourEyes.PRE, GROUND, ("p",), ("a",),
                "MA", "s", "card", "no_ground", "rule", True, AT, "analyst-2", AT, True, "appeal-1",
                "ma@0.2.0", (Judgement("analyst-2", AT, "threats", {"clear": "yes"}),),
            )
        ],
        confirm_due=AT, confirm_overdue=True,
        dispatches={
            "x": DispatchRow(
                "p", "webhook", 4, "csam", Severity.LOW, GROUND, "MA", "en", True, AT, AT, "i",
                DispatchState.SENT, 5, AT, True, 2, 1, "sent_in_error", ("n",), 3, ("x.a",),
                Measure.LABEL, DispatchState.REMOVED,
            )
        },
        referrals={
            "y": ReferralRow(
                "a", 4, "csam", Severity.LOW, GROUND, "ar", AT, AT, "i", 3,
                ReferralState.DELIVERED, 2,
            )
        },
        claimed_by="analyst-1", claimed_until=AT, attention=("objection",), queued=False, rank=0,
        queue_due=AT, resend_at=AT, resends=2, seen=WatchState.GONE, seen_version=2, queue="general", routed_by="rule-1", restricted=True, ruled=Severity.HIGH,
        eased=Severity.LOW, classified="csam", ruled_hold=True, flags=("copies",),
        rules=("rule-1",), banks={"b": 1}, suggested="csam", suggested_why=("word",), campaign="k", hoster="host",
        owner="analyst-1", plan="s", next_at=AT, skipped=("analyst-2",), lead="l", paged=("p",), held=True,
        followers={"f": Follower(1, AT, True)}, group_restricted=True, restricted_since=AT, splits=2, seen_at=AT, erase_at=AT, audit_seq=9, audit_hash="h", audit_at=AT,
    )  # fmt: skip


def _stored(collection: Any, value: Any) -> Any:
    doc = collection.encode(value)
    assert all("." not in k and "$" not in k for k in doc)
    return collection.decode({**doc, "_id": collection.key(value), "_rev": 1})


def test_a_full_case_survives_the_database() -> None:
    full = _full()
    empty = Case("c", "web", "page", "i", "fr", AT, AT, AT)
    for field in dataclasses.fields(Case)[8:]:
        assert getattr(full, field.name) != getattr(empty, field.name), field.name
    for case in (full, empty):
        assert _stored(CASES, case) == case


def test_a_report_survives_the_database() -> None:
    report = Report(
        "r", AT, "web", "fr", "ar", "csam", ("press",), True, True, ("c",), "s", ("phone",),
        ("scheme",), AT, True, ("x.a",), True, ("contact",), AT,
    )  # fmt: skip
    assert len(dataclasses.fields(Report)) == 23
    assert _stored(REPORTS, report) == report


def test_documents_from_before_hubs_had_peers_are_read() -> None:
    case, report = _full(), Report("r", AT, "web", "fr", "ar", None, (), True, True, (), None)
    doc: dict[str, Any] = {**CASES.encode(case), "_id": "c"}
    del doc["via"], doc["hosted"], doc["flood"], doc["dispatches"]["x"]["via"]
    old = CASES.decode(doc)
    assert (old.via, old.hosted, old.flood, old.dispatches["x"].via) == ({}, None, 0, ())
    row = {**REPORTS.encode(report), "_id": "r"}
    del row["via"], row["flood"], row["erased"], row["redacted_at"]
    assert REPORTS.decode(row) == report


async def test_a_document_does_not_grow_with_its_reports(world: World) -> None:
    events = [await world.report("https://example.com/a", category="csam") for _ in range(200)]
    await world.deliver(*events[:100])
    half = len(str(world.hub.store.docs["cases"][world.case().id]))
    await world.deliver(*events[100:])
    whole = len(str(world.hub.store.docs["cases"][world.case().id]))
    assert whole - half < 50
    assert len(world.case().recent) == 20


async def test_every_query_of_the_queue_has_an_index(world: World) -> None:
    await world.arrives("https://example.com/a", category="csam")
    asked: list[set[str]] = []
    find = world.hub.store.find

    async def watched(collection: Any, where: Any, **options: Any) -> Any:
        fields = [*where, *(k for k, _ in options.get("sort", ()) if k != "_id")]
        asked.append(set(fields))
        indexed = [{k for k, _ in index.keys} for index in collection.indexes]
        assert any(next(iter(where)) in keys and set(fields) <= keys for keys in indexed) or (
            set(fields) == {"confirm_due", "confirm_overdue"}
        ), fields
        return await find(collection, where, **options)

    world.hub.store.find = watched  # type: ignore[method-assign]
    await world.handlers.watch()
    await world.handlers.gauge()
    await world.desk.queue(ANA, 5)
    await world.desk.read(ANA, world.case().id)
    assert len(asked) >= 8
