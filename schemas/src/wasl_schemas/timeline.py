# SPDX-License-Identifier: Apache-2.0
"""What the holder of a receipt may read about a case, folded from events in any order.

:func:`merge` is a join: every fact keeps its highest version, every timeline entry its place, so
duplicates, reordering and any interleaving end in the same view. A view is bounded: reports that
join or leave make no entry, and of all entries the newest :data:`MAX_ENTRIES` stay. Rows of
dispatches and referrals are as many as partners and authorities were asked.
"""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import Field

from wasl_schemas.base import EventData, Model, Slug, Timestamp
from wasl_schemas.envelope import Event
from wasl_schemas.events.case_opened_v1 import CaseOpenedV1
from wasl_schemas.events.case_updated_v1 import NO_GROUND, CaseChange, CaseUpdatedV1
from wasl_schemas.events.common import Severity
from wasl_schemas.events.dispatch_updated_v1 import DispatchChange, DispatchUpdatedV1
from wasl_schemas.events.item_observed_v1 import ItemObservedV1
from wasl_schemas.events.referral_updated_v1 import ReferralUpdatedV1
from wasl_schemas.ids import CaseId, ReportId
from wasl_schemas.lifecycle import (
    ACTED,
    ANSWERS,
    CaseState,
    DispatchState,
    ReferralState,
    ReporterStatus,
    WatchState,
)

MAX_ENTRIES = 64


class TimelineKind(StrEnum):
    """One line of the timeline. Each has a sentence in the country pack's texts."""

    CASE_OPENED = "case_opened"
    CASE_ASSESSED = "case_assessed"
    CASE_SECOND_LOOK = "case_second_look"
    CASE_DECIDED = "case_decided"
    CASE_CONFIRMED = "case_confirmed"
    CASE_RESOLVED = "case_resolved"
    CASE_UNRESOLVED = "case_unresolved"
    CASE_REOPENED = "case_reopened"
    CASE_CLOSED = "case_closed"
    DISPATCH_SENT = "dispatch_sent"
    DISPATCH_ACKNOWLEDGED = "dispatch_acknowledged"
    DISPATCH_REMOVED = "dispatch_removed"
    DISPATCH_GEO_RESTRICTED = "dispatch_geo_restricted"
    DISPATCH_AGE_RESTRICTED = "dispatch_age_restricted"
    DISPATCH_LABELLED = "dispatch_labelled"
    DISPATCH_ACCOUNT_ACTION = "dispatch_account_action"
    DISPATCH_ALREADY_GONE = "dispatch_already_gone"
    DISPATCH_REFUSED = "dispatch_refused"
    DISPATCH_NO_REPLY = "dispatch_no_reply"
    DISPATCH_WITHDRAWN = "dispatch_withdrawn"
    DISPATCH_REMINDED = "dispatch_reminded"
    ITEM_GONE = "item_gone"
    ITEM_REAPPEARED = "item_reappeared"
    REFERRAL_DELIVERED = "referral_delivered"
    REFERRAL_ACKNOWLEDGED = "referral_acknowledged"


_K = TimelineKind
_CASE_KINDS: dict[CaseChange, TimelineKind] = {
    CaseChange.ASSESSED: _K.CASE_ASSESSED,
    CaseChange.SECOND_LOOK_ASKED: _K.CASE_SECOND_LOOK,
    CaseChange.DECIDED: _K.CASE_DECIDED,
    CaseChange.CONFIRMED: _K.CASE_CONFIRMED,
    CaseChange.REOPENED: _K.CASE_REOPENED,
    CaseChange.CLOSED: _K.CASE_CLOSED,
}
_OUTCOME_KINDS: dict[CaseState, TimelineKind] = {
    CaseState.RESOLVED: _K.CASE_RESOLVED,
    CaseState.UNRESOLVED: _K.CASE_UNRESOLVED,
}
# What the hub's own machinery goes through (requested, ambiguous, failed) is no news to a reporter;
# what it saw is told as news of the item.
_DISPATCH_KINDS: dict[DispatchState, TimelineKind] = {
    state: _K(f"dispatch_{state}")
    for state in (
        DispatchState.SENT, DispatchState.ACKNOWLEDGED, *ANSWERS, DispatchState.NO_REPLY,
        DispatchState.WITHDRAWN,
    )
}  # fmt: skip
_REMINDED = frozenset({DispatchChange.REMINDED, DispatchChange.ESCALATED})
_WATCH_KINDS: dict[WatchState, TimelineKind] = {
    WatchState.GONE: _K.ITEM_GONE,
    WatchState.REAPPEARED: _K.ITEM_REAPPEARED,
}
_REFERRAL_KINDS: dict[ReferralState, TimelineKind] = {
    ReferralState.DELIVERED: _K.REFERRAL_DELIVERED,
    ReferralState.ACKNOWLEDGED: _K.REFERRAL_ACKNOWLEDGED,
}


class TimelineEntry(Model):
    """``party``: the partner's or authority's slug, for lines that have one."""

    time: Timestamp
    kind: TimelineKind
    party: Slug | None = None

    def order(self) -> tuple[datetime, str, str]:
        return self.time, self.kind, self.party or ""


class DispatchRow(Model):
    version: int
    state: DispatchState
    partner: Slug
    changed_at: Timestamp


class ReferralRow(Model):
    version: int
    state: ReferralState
    authority: Slug
    changed_at: Timestamp


class CaseView(Model):
    """One case as its reporters see it. What no event has told yet is 0, unknown, None or empty.

    ``entries`` is keyed by aggregate and version; :meth:`timeline` puts it in order.
    """

    case_id: CaseId
    version: int = 0
    state: CaseState = CaseState.UNKNOWN
    severity: Severity | None = None
    category: Slug | None = None
    reason: Slug | None = None
    #: The newest advice card given, and the version that gave it.
    advice: Slug | None = None
    advice_version: int = 0
    #: A person has looked at it at least once.
    assessed: bool = False
    opened_at: Timestamp | None = None
    dispatches: dict[str, DispatchRow] = Field(default_factory=dict)
    referrals: dict[str, ReferralRow] = Field(default_factory=dict)
    entries: dict[str, TimelineEntry] = Field(default_factory=dict)

    def timeline(self) -> list[TimelineEntry]:
        """The entries, oldest first."""
        return sorted(self.entries.values(), key=TimelineEntry.order)


class Membership(Model):
    """One report is part of a case, or no longer; the highest version per case and report holds."""

    case_id: CaseId
    report_id: ReportId
    version: int
    joined: bool


def membership(data: EventData) -> Membership | None:
    """What an event says about a report's place in a case; None when it says nothing."""
    if isinstance(data, CaseOpenedV1):
        joined = True
    elif isinstance(data, CaseUpdatedV1) and data.change in (
        CaseChange.REPORT_JOINED,
        CaseChange.REPORT_LEFT,
    ):
        joined = data.change is CaseChange.REPORT_JOINED
    else:
        return None
    if data.report_id is None:
        return None
    return Membership(
        case_id=data.case_id, report_id=data.report_id, version=data.version, joined=joined
    )


def merge(view: CaseView | None, event: Event[Any]) -> CaseView:
    """The view that also knows ``event``; the same object when it already did.

    ``event``: case opened or updated, dispatch or referral updated, item observed. ``view``: of the
    same case, or None. Raises TypeError for another event and ValueError for another case: the
    caller's mistakes.
    """
    data = event.data
    if not isinstance(data, _TOLD):
        raise TypeError(f"{type(data).__name__} says nothing about a case's timeline")
    known = view if view is not None else CaseView(case_id=data.case_id)
    if known.case_id != data.case_id:
        raise ValueError(f"event of case {data.case_id} merged into the view of {known.case_id}")
    if isinstance(data, CaseUpdatedV1):
        change = _case_updated(known, data)
    elif isinstance(data, DispatchUpdatedV1):
        change = _dispatch(known, data)
    elif isinstance(data, CaseOpenedV1):
        change = _case_opened(known, data)
    elif isinstance(data, ItemObservedV1):
        change = _observed(known, data)
    else:
        change = _referral(known, data)
    return known.model_copy(update=change) if change else known


def case_status(view: CaseView) -> ReporterStatus:
    """One case in the reporter's words. Its owner says how it ends; rows only fill the middle."""
    rows = {row.state for row in view.dispatches.values()}
    referred = any(row.state in _REFERRAL_KINDS for row in view.referrals.values())
    match view.state:
        case CaseState.CLOSED:
            return ReporterStatus.NO_GROUND if view.reason == NO_GROUND else ReporterStatus.CLOSED
        case CaseState.RESOLVED:
            # A label alone leaves the item in reach: "removed or restricted" would be untrue.
            only_labelled = DispatchState.LABELLED in rows and not rows & _RESTRICTED
            return ReporterStatus.CLOSED if only_labelled else ReporterStatus.REMOVED
        case CaseState.UNRESOLVED if rows & {DispatchState.REFUSED, DispatchState.NO_REPLY}:
            return ReporterStatus.PARTNER_REFUSED
        case CaseState.OPEN:
            return ReporterStatus.IN_REVIEW if view.assessed else ReporterStatus.RECEIVED
        case CaseState.ASSESSED | CaseState.SECOND_LOOK:
            return ReporterStatus.IN_REVIEW
        case _:  # in progress, unresolved without any answer, not known yet
            if rows & _SENT:
                return ReporterStatus.SENT_PARTNER
            return ReporterStatus.REFERRED if referred else ReporterStatus.IN_REVIEW


def reporter_status(
    *, withdrawn: bool, waiting_for_answer: bool, views: Iterable[CaseView]
) -> ReporterStatus:
    """One word for the whole report: of its cases the least finished, so an end means all ended.

    ``waiting_for_answer``: staff asked the reporter and nothing came back yet.
    """
    if withdrawn:
        return ReporterStatus.WITHDRAWN
    if waiting_for_answer:
        return ReporterStatus.NEED_INFO
    return min(
        (case_status(v) for v in views), key=_PROGRESS.index, default=ReporterStatus.RECEIVED
    )


_TOLD = (CaseUpdatedV1, DispatchUpdatedV1, CaseOpenedV1, ReferralUpdatedV1, ItemObservedV1)
_SENT = frozenset(_DISPATCH_KINDS) - {DispatchState.WITHDRAWN} | {
    DispatchState.DISPUTED,
    DispatchState.SEEN_GONE,
}
_RESTRICTED = ACTED - {DispatchState.LABELLED}
_PROGRESS = (
    ReporterStatus.RECEIVED, ReporterStatus.IN_REVIEW, ReporterStatus.SENT_PARTNER,
    ReporterStatus.REFERRED, ReporterStatus.PARTNER_REFUSED, ReporterStatus.REMOVED,
    ReporterStatus.NO_GROUND, ReporterStatus.CLOSED,
)  # fmt: skip


def _case_opened(view: CaseView, data: CaseOpenedV1) -> dict[str, Any]:
    change = _case(
        view, data.version, state=CaseState.OPEN, severity=data.severity, category=data.category
    )
    if view.opened_at is None or data.opened_at < view.opened_at:
        change["opened_at"] = data.opened_at
    entry = TimelineEntry(time=data.opened_at, kind=_K.CASE_OPENED)
    _enter(change, view, f"case-{data.version}", entry)
    return change


def _case_updated(view: CaseView, data: CaseUpdatedV1) -> dict[str, Any]:
    change = _case(
        view,
        data.version,
        state=data.state,
        severity=data.severity,
        category=data.category,
        reason=data.reason,
    )
    if data.advice and (data.version, data.advice) > (view.advice_version, view.advice or ""):
        change["advice"], change["advice_version"] = data.advice, data.version
    if data.change is CaseChange.ASSESSED and not view.assessed:
        change["assessed"] = True
    kind = (
        _OUTCOME_KINDS.get(data.state)
        if data.change is CaseChange.OUTCOME
        else _CASE_KINDS.get(data.change)
    )
    if kind is not None:
        entry = TimelineEntry(time=data.changed_at, kind=kind)
        _enter(change, view, f"case-{data.version}", entry)
    return change


def _case(
    view: CaseView,
    version: int,
    *,
    state: CaseState,
    severity: Severity,
    category: str | None,
    reason: str | None = None,
) -> dict[str, Any]:
    if version < view.version:
        return {}
    if version == view.version:
        # Versions are given out once, so equal means the same event again. Should an owner ever
        # break that, the order of the content decides, and every copy of the view still agrees.
        new = (state, severity, category or "", reason or "")
        if new <= (view.state, view.severity or "", view.category or "", view.reason or ""):
            return {}
    return {
        "version": version,
        "state": state,
        "severity": severity,
        "category": category,
        "reason": reason,
    }


def _dispatch(view: CaseView, data: DispatchUpdatedV1) -> dict[str, Any]:
    change: dict[str, Any] = {}
    row = DispatchRow(
        version=data.version, state=data.state, partner=data.partner, changed_at=data.changed_at
    )
    old = view.dispatches.get(data.dispatch_id)
    if old is None or _newer(row, old, row.partner, old.partner):
        change["dispatches"] = {**view.dispatches, data.dispatch_id: row}
    kind: TimelineKind | None = None
    if data.change is DispatchChange.STATE:
        kind = _DISPATCH_KINDS.get(data.state)
    elif data.change in _REMINDED:
        kind = _K.DISPATCH_REMINDED
    if kind is not None:
        key = f"{data.dispatch_id}-{data.version}"
        entry = TimelineEntry(time=data.changed_at, kind=kind, party=data.partner)
        _enter(change, view, key, entry)
    return change


def _observed(view: CaseView, data: ItemObservedV1) -> dict[str, Any]:
    change: dict[str, Any] = {}
    if (kind := _WATCH_KINDS.get(data.state)) is not None:
        entry = TimelineEntry(time=data.changed_at, kind=kind)
        _enter(change, view, f"watch-{data.version}", entry)
    return change


def _referral(view: CaseView, data: ReferralUpdatedV1) -> dict[str, Any]:
    change: dict[str, Any] = {}
    row = ReferralRow(
        version=data.version, state=data.state, authority=data.authority, changed_at=data.changed_at
    )
    old = view.referrals.get(data.referral_id)
    if old is None or _newer(row, old, row.authority, old.authority):
        change["referrals"] = {**view.referrals, data.referral_id: row}
    kind = _REFERRAL_KINDS.get(data.state)
    if kind is not None:
        key = f"{data.referral_id}-{data.version}"
        entry = TimelineEntry(time=data.changed_at, kind=kind, party=data.authority)
        _enter(change, view, key, entry)
    return change


def _newer(
    new: DispatchRow | ReferralRow, old: DispatchRow | ReferralRow, to: str, was: str
) -> bool:
    if new.version != old.version:
        return new.version > old.version
    return (new.changed_at, new.state.value, to) > (old.changed_at, old.state.value, was)


def _enter(change: dict[str, Any], view: CaseView, key: str, entry: TimelineEntry) -> None:
    """Add one entry to ``change``. Keeping the greatest of a set is itself order-free."""
    held = view.entries.get(key)
    if held is not None and entry.order() <= held.order():
        return
    entries = {**view.entries, key: entry}
    if len(entries) > MAX_ENTRIES:
        oldest = min(entries, key=lambda k: (entries[k].order(), k))
        if oldest == key:
            return
        del entries[oldest]
    change["entries"] = entries
