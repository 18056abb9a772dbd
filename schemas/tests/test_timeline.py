# SPDX-License-Identifier: Apache-2.0
"""The reporter's view: one end for every order of delivery, bounded, and honest in its words."""

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wasl_schemas import timeline
from wasl_schemas.base import EventData
from wasl_schemas.envelope import Event
from wasl_schemas.events.case_opened_v1 import CaseOpenedV1
from wasl_schemas.events.case_updated_v1 import NO_GROUND, CaseChange, CaseUpdatedV1
from wasl_schemas.events.common import Severity
from wasl_schemas.events.dispatch_updated_v1 import DispatchChange, DispatchUpdatedV1
from wasl_schemas.events.item_observed_v1 import ItemObservedV1
from wasl_schemas.events.referral_updated_v1 import ReferralUpdatedV1
from wasl_schemas.events.report_withdrawn_v1 import ReportWithdrawnV1
from wasl_schemas.ids import uuid7
from wasl_schemas.lifecycle import (
    CASE,
    DISPATCH,
    REFERRAL,
    CaseState,
    DispatchState,
    Machine,
    ReferralState,
    ReporterStatus,
    WatchState,
)
from wasl_schemas.timeline import (
    CaseView,
    Membership,
    TimelineKind,
    case_status,
    membership,
    merge,
    reporter_status,
)
from wasl_schemas.topics import SHARED

START = datetime(2026, 1, 5, 9, tzinfo=UTC)
CASE_ID = "c" * 32
TYPES = {spec.data: spec for spec in SHARED}


def event(data: EventData) -> Event[Any]:
    spec = TYPES[type(data)]
    key = getattr(data, spec.key)
    return Event(
        id=uuid7(), source="/wasl/test", type=spec.type, subject=f"case/{key}", time=START,
        recordedtime=START, dataschema=spec.schema_urn, dataclassification="internal",
        partitionkey=key, correlationid=key, data=data,
    )  # fmt: skip


def at(minutes: int) -> datetime:
    return START + timedelta(minutes=minutes)


def opened(version: int = 1, report_id: str = "report-0", **more: Any) -> CaseOpenedV1:
    fields: dict[str, Any] = {"opened_at": at(version), "severity": Severity.LOW} | more
    return CaseOpenedV1(
        case_id=CASE_ID, version=version, report_id=report_id, platform="web", item_kind="page",
        first_look_due=at(600), **fields,
    )  # fmt: skip


def updated(version: int, change: CaseChange, state: CaseState, **more: Any) -> CaseUpdatedV1:
    fields: dict[str, Any] = {"changed_at": at(version), "severity": Severity.LOW} | more
    return CaseUpdatedV1(case_id=CASE_ID, version=version, change=change, state=state, **fields)


def dispatched(
    version: int,
    state: DispatchState,
    number: int = 0,
    minute: int | None = None,
    change: DispatchChange = DispatchChange.STATE,
) -> DispatchUpdatedV1:
    return DispatchUpdatedV1(
        dispatch_id=f"dispatch-{number}", case_id=CASE_ID, version=version, connector="webhook",
        partner=f"partner-{number}", state=state, attempts=1,
        changed_at=at(version if minute is None else minute), change=change,
    )  # fmt: skip


def observed(version: int, state: WatchState) -> ItemObservedV1:
    return ItemObservedV1(case_id=CASE_ID, version=version, state=state, changed_at=at(version))


def referred(version: int, state: ReferralState, number: int = 0) -> ReferralUpdatedV1:
    return ReferralUpdatedV1(
        referral_id=f"referral-{number}", case_id=CASE_ID, version=version,
        authority=f"authority-{number}", state=state, changed_at=at(version),
    )  # fmt: skip


def fold(*data: EventData) -> CaseView:
    view = None
    for one in data:
        view = merge(view, event(one))
    assert view is not None
    return view


# --- any order, any duplicates, any interleaving ------------------------------------------------

CHANGE = {
    "assess": CaseChange.ASSESSED, "propose": CaseChange.SECOND_LOOK_ASKED,
    "confirm": CaseChange.CONFIRMED, "reject": CaseChange.ASSESSED, "act": CaseChange.DECIDED,
    "act_automatically": CaseChange.DECIDED, "close": CaseChange.CLOSED,
    "resolve": CaseChange.OUTCOME, "give_up": CaseChange.OUTCOME, "reopen": CaseChange.REOPENED,
}  # fmt: skip


@dataclasses.dataclass
class World:
    """Legal walks of one case, its rows and its reports, and where they truly ended."""

    events: list[EventData]
    states: list[CaseState]
    dispatches: dict[str, list[DispatchState]]
    referrals: dict[str, list[ReferralState]]
    inside: dict[str, bool]


def walk(draw: st.DrawFn, machine: Machine[Any], most: int) -> list[Any]:
    states = [machine.initial]
    for _ in range(draw(st.integers(0, most))):
        allowed = machine.triggers(states[-1])
        if not allowed:
            break
        states.append(machine.move(states[-1], draw(st.sampled_from(allowed))))
    return states


@st.composite
def worlds(draw: st.DrawFn) -> World:
    events: list[EventData] = [opened()]
    states, version, inside = [CASE.initial], 1, {"report-0": True}
    for _ in range(draw(st.integers(0, 12))):
        version += 1
        action = draw(st.sampled_from([*CASE.triggers(states[-1]), "join", "leave"]))
        more: dict[str, Any] = {
            "category": draw(st.sampled_from([None, "threats", "scam_fraud"])),
            "severity": draw(st.sampled_from(list(Severity))),
            "advice": draw(st.sampled_from([None, "save-proof", "talk"])),
        }
        if action in {"join", "leave"}:
            report = f"report-{draw(st.integers(0, 3))}"
            inside[report] = action == "join"
            change = CaseChange.REPORT_JOINED if inside[report] else CaseChange.REPORT_LEFT
            more["report_id"] = report
        else:
            states.append(CASE.move(states[-1], action))
            change = CHANGE[action]
        events.append(updated(version, change, states[-1], **more))
    rows = {f"dispatch-{n}": walk(draw, DISPATCH, 5) for n in range(draw(st.integers(0, 3)))}
    for number, path in enumerate(rows.values()):
        events += [dispatched(v, state, number) for v, state in enumerate(path, 1)]
    refs = {f"referral-{n}": walk(draw, REFERRAL, 4) for n in range(draw(st.integers(0, 2)))}
    for number, path in enumerate(refs.values()):
        events += [referred(v, state, number) for v, state in enumerate(path, 1)]
    return World(events, states, rows, refs, inside)


@given(worlds(), st.data())
def test_any_delivery_ends_in_the_owners_state(world: World, data: st.DataObject) -> None:
    again = data.draw(st.lists(st.sampled_from(world.events), max_size=8))
    delivery = data.draw(st.permutations([*world.events, *again]))
    view, legal = None, {*world.states, CaseState.UNKNOWN}
    for one in delivery:
        before = view.version if view else 0
        view = merge(view, event(one))
        assert view.state in legal, "a state the case was never in"
        assert view.version >= before
    assert view == fold(*world.events)
    assert view is not None
    assert view.state == world.states[-1]
    assert {k: r.state for k, r in view.dispatches.items()} == {
        k: path[-1] for k, path in world.dispatches.items()
    }
    assert {k: r.state for k, r in view.referrals.items()} == {
        k: path[-1] for k, path in world.referrals.items()
    }
    assert reporter_status(withdrawn=False, waiting_for_answer=False, views=[view])


@given(worlds(), st.data())
def test_no_report_is_lost(world: World, data: st.DataObject) -> None:
    again = data.draw(st.lists(st.sampled_from(world.events), max_size=8))
    places: dict[str, Membership] = {}
    for one in data.draw(st.permutations([*world.events, *again])):
        place = membership(one)
        if place and place.version > (
            places[place.report_id].version if place.report_id in places else 0
        ):
            places[place.report_id] = place
    assert {r: p.joined for r, p in places.items()} == world.inside


@st.composite
def quarrels(draw: st.DrawFn) -> EventData:
    """Events of an owner that gives one version to different facts."""
    version, minute = draw(st.integers(1, 3)), draw(st.integers(0, 3))
    word = st.sampled_from([None, "aa", "bb"])
    match draw(st.integers(0, 3)):
        case 0:
            return updated(
                version, draw(st.sampled_from(list(CaseChange))),
                draw(st.sampled_from(list(CaseState))), changed_at=at(minute), category=draw(word),
                reason=draw(word), advice=draw(word),
                severity=draw(st.sampled_from(list(Severity))),
            )  # fmt: skip
        case 1:
            return opened(version, opened_at=at(minute), category=draw(word))
        case 2:
            state = draw(st.sampled_from(list(DispatchState)))
            return dispatched(version, state, draw(st.integers(0, 1)), minute)
        case _:
            return referred(version, draw(st.sampled_from(list(ReferralState))))


@given(st.lists(quarrels(), min_size=1, max_size=10), st.data())
def test_even_contradictions_end_the_same_everywhere(
    events: list[EventData], data: st.DataObject
) -> None:
    with patch.object(timeline, "MAX_ENTRIES", 3):
        view = fold(*events)
        assert fold(*data.draw(st.permutations([*events, *events]))) == view
    assert len(view.entries) <= 3


def test_what_is_known_already_changes_nothing() -> None:
    view = fold(opened(), updated(2, CaseChange.ASSESSED, CaseState.ASSESSED))
    assert merge(view, event(opened())) is view
    assert merge(view, event(updated(2, CaseChange.ASSESSED, CaseState.ASSESSED))) is view


# --- what a view holds --------------------------------------------------------------------------


def test_a_dispatch_may_come_before_its_case() -> None:
    early = fold(dispatched(2, DispatchState.SENT))
    assert (early.version, early.state, early.opened_at) == (0, CaseState.UNKNOWN, None)
    assert case_status(early) is ReporterStatus.SENT_PARTNER
    view = merge(early, event(opened()))
    assert (view.version, view.state, view.opened_at) == (1, CaseState.OPEN, at(1))
    assert [e.kind for e in view.timeline()] == [
        TimelineKind.CASE_OPENED,
        TimelineKind.DISPATCH_SENT,
    ]
    assert view.timeline()[1].party == "partner-0"


def test_thousands_of_joined_reports_do_not_grow_a_view() -> None:
    view = fold(opened())
    size = len(view.model_dump_json())
    for number in range(2, 3002):
        change = CaseChange.REPORT_JOINED if number % 3 else CaseChange.REPORT_LEFT
        view = merge(
            view, event(updated(number, change, CaseState.OPEN, report_id=f"report-{number}"))
        )
    assert view.version == 3001
    assert len(view.model_dump_json()) <= size + len("3001")


def test_only_the_newest_entries_stay() -> None:
    changes = [updated(v, CaseChange.ASSESSED, CaseState.ASSESSED) for v in range(2, 200)]
    view = fold(opened(), *reversed(changes))
    assert len(view.entries) == timeline.MAX_ENTRIES
    assert view.timeline()[-1].time == at(199)
    assert view.timeline()[0].time == at(200 - timeline.MAX_ENTRIES)
    assert view.opened_at == at(1)


def test_the_newest_advice_stays_until_there_is_another() -> None:
    advised = updated(2, CaseChange.DECIDED, CaseState.IN_PROGRESS, advice="save-proof")
    silent = updated(3, CaseChange.OUTCOME, CaseState.RESOLVED)
    again = updated(4, CaseChange.REOPENED, CaseState.OPEN, advice="talk")
    assert fold(opened(), silent, advised).advice == "save-proof"
    assert fold(again, opened(), silent, advised).advice == "talk"


def test_machinery_makes_no_entry() -> None:
    quiet = (DispatchState.REQUESTED, DispatchState.AMBIGUOUS, DispatchState.FAILED)
    view = fold(
        *(dispatched(1, state, n) for n, state in enumerate((*quiet, DispatchState.UNKNOWN))),
        referred(1, ReferralState.REQUESTED),
        referred(1, ReferralState.FAILED, 1),
        updated(2, CaseChange.SEVERITY_CHANGED, CaseState.OPEN),
        updated(3, CaseChange.UNKNOWN, CaseState.UNKNOWN),
    )
    assert view.entries == {}
    assert (len(view.dispatches), len(view.referrals), view.version) == (4, 2, 3)


def test_only_reminders_among_the_changes_without_a_state_are_news() -> None:
    for change in set(DispatchChange) - {DispatchChange.STATE}:
        kinds = [e.kind for e in fold(dispatched(2, DispatchState.SENT, change=change)).timeline()]
        told = change in (DispatchChange.REMINDED, DispatchChange.ESCALATED)
        assert kinds == ([TimelineKind.DISPATCH_REMINDED] if told else [])


def test_every_line_of_the_timeline_can_be_written() -> None:
    seen = {
        entry.kind
        for data in (
            opened(),
            *(updated(2, c, s) for c in CaseChange for s in CaseState),
            *(dispatched(2, s) for s in DispatchState),
            *(referred(2, s) for s in ReferralState),
            dispatched(3, DispatchState.SENT, change=DispatchChange.REMINDED),
            *(observed(2, s) for s in WatchState),
        )
        for entry in fold(data).entries.values()
    }
    assert seen == set(TimelineKind)


def test_a_view_survives_storage() -> None:
    view = fold(
        opened(), dispatched(2, DispatchState.SENT), referred(2, ReferralState.DELIVERED),
        updated(2, CaseChange.DECIDED, CaseState.IN_PROGRESS, advice="talk"),
    )  # fmt: skip
    assert CaseView.model_validate(view.model_dump()) == view
    assert CaseView.model_validate_json(view.model_dump_json()) == view


def test_mistakes_of_the_caller_are_named() -> None:
    view = fold(opened())
    other = opened().model_copy(update={"case_id": "d" * 32})
    with pytest.raises(ValueError, match="event of case dddd"):
        merge(view, event(other))
    gone = ReportWithdrawnV1(report_id="report-0", withdrawn_at=START)
    with pytest.raises(TypeError, match="ReportWithdrawnV1 says nothing"):
        merge(view, event(gone))
    assert membership(gone) is None
    assert membership(dispatched(1, DispatchState.SENT)) is None


# --- one word for the reporter ------------------------------------------------------------------

S, D, R = ReporterStatus, DispatchState, ReferralState


def status(
    state: CaseState,
    *rows: DispatchState,
    referral: ReferralState | None = None,
    assessed: bool = False,
    reason: str | None = None,
) -> ReporterStatus:
    data: list[EventData] = [opened()]
    if assessed:
        data.append(updated(2, CaseChange.ASSESSED, CaseState.ASSESSED))
    data.append(updated(3, CaseChange.UNKNOWN, state, reason=reason))
    data += [dispatched(2, row, n) for n, row in enumerate(rows)]
    if referral:
        data.append(referred(2, referral))
    return case_status(fold(*data))


C = CaseState


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (status(C.OPEN), S.RECEIVED),
        (status(C.OPEN, D.REMOVED, assessed=True), S.IN_REVIEW),  # reopened: it is back
        (status(C.ASSESSED), S.IN_REVIEW),
        (status(C.SECOND_LOOK), S.IN_REVIEW),
        (status(C.IN_PROGRESS), S.IN_REVIEW),
        (status(C.IN_PROGRESS, D.REQUESTED), S.IN_REVIEW),
        (status(C.IN_PROGRESS, D.AMBIGUOUS, D.FAILED, D.WITHDRAWN), S.IN_REVIEW),
        (status(C.IN_PROGRESS, D.REQUESTED, D.SENT), S.SENT_PARTNER),
        (status(C.IN_PROGRESS, D.REMOVED, D.ACKNOWLEDGED), S.SENT_PARTNER),
        (status(C.IN_PROGRESS, D.SENT, referral=R.DELIVERED), S.SENT_PARTNER),
        (status(C.IN_PROGRESS, referral=R.REQUESTED), S.IN_REVIEW),
        (status(C.IN_PROGRESS, referral=R.DELIVERED), S.REFERRED),
        (status(C.RESOLVED), S.REMOVED),
        (status(C.RESOLVED, D.REFUSED, D.GEO_RESTRICTED), S.REMOVED),
        (status(C.RESOLVED, D.LABELLED, D.REMOVED), S.REMOVED),
        (status(C.RESOLVED, D.LABELLED), S.CLOSED),
        (status(C.UNRESOLVED, D.REFUSED), S.PARTNER_REFUSED),
        (status(C.UNRESOLVED, D.NO_REPLY), S.PARTNER_REFUSED),
        (status(C.UNRESOLVED, D.FAILED), S.IN_REVIEW),
        (status(C.UNRESOLVED, D.FAILED, referral=R.ACKNOWLEDGED), S.REFERRED),
        (status(C.CLOSED), S.CLOSED),
        (status(C.CLOSED, reason="duplicate", assessed=True), S.CLOSED),
        (status(C.CLOSED, reason=NO_GROUND, assessed=True), S.NO_GROUND),
        (status(C.UNKNOWN, D.SENT), S.SENT_PARTNER),
        (status(C.UNKNOWN), S.IN_REVIEW),
    ],
)
def test_one_case_in_one_word(found: ReporterStatus, expected: ReporterStatus) -> None:
    assert found is expected


def test_a_report_is_as_finished_as_its_least_finished_case() -> None:
    resolved = fold(updated(3, CaseChange.OUTCOME, CaseState.RESOLVED))
    waiting = fold(updated(3, CaseChange.DECIDED, C.IN_PROGRESS), dispatched(2, D.SENT))
    asked = reporter_status(withdrawn=False, waiting_for_answer=False, views=[resolved, waiting])
    assert asked is S.SENT_PARTNER
    assert reporter_status(withdrawn=False, waiting_for_answer=False, views=[]) is S.RECEIVED
    assert (
        reporter_status(withdrawn=False, waiting_for_answer=True, views=[resolved]) is S.NEED_INFO
    )
    assert reporter_status(withdrawn=True, waiting_for_answer=True, views=[resolved]) is S.WITHDRAWN


@given(worlds())
def test_every_world_has_a_word(world: World) -> None:
    assert case_status(fold(*world.events)) in timeline._PROGRESS
