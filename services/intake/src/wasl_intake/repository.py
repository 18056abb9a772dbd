# SPDX-License-Identifier: Apache-2.0
"""What intake keeps, and the one place that knows how it looks in the database.

``reports`` is intake's own truth. ``links``, ``case_views`` and the staff's messages are a read
model of other services' events and can be rebuilt from the log. No document holds readable text of
a person: content, contact and messages are sealed with the report's data key.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from wasl_chassis.store import Collection, Doc, Index
from wasl_schemas.base import Model
from wasl_schemas.events.common import Severity
from wasl_schemas.lifecycle import CaseState, DispatchState, ReferralState
from wasl_schemas.timeline import (
    CaseView,
    DispatchRow,
    Membership,
    ReferralRow,
    TimelineEntry,
    TimelineKind,
)


@dataclass(frozen=True, slots=True)
class Report:
    """One report. ``content`` and ``contact_address`` are sealed, and gone after a withdrawal."""

    report_id: str
    fingerprint: str
    received_at: datetime
    channel: str
    language: str
    category: str | None
    danger_now: bool | None
    under_18: bool | None
    under_13: bool | None
    consent_partner: bool
    consent_authority: bool
    content: str | None
    contact_channel: str | None = None
    contact_safe: bool = False
    contact_address: str | None = None
    withdrawn_at: datetime | None = None
    #: Hubs it came through, oldest first; empty for a person's own report.
    via: tuple[str, ...] = ()
    affected: str | None = None
    risk: tuple[str, ...] = ()
    #: Numbers of such reports say nothing; see the event.
    flood: bool = False
    #: When the reporter last changed the contact themselves.
    contact_changed_at: datetime | None = None
    #: When something was last blacked out of the content, for good.
    redacted_at: datetime | None = None


def _encode_report(r: Report) -> Doc:
    return {
        "fingerprint": r.fingerprint,
        "received_at": r.received_at,
        "channel": r.channel,
        "language": r.language,
        "category": r.category,
        "danger_now": r.danger_now,
        "under_18": r.under_18,
        "under_13": r.under_13,
        "consent_partner": r.consent_partner,
        "consent_authority": r.consent_authority,
        "content": r.content,
        "contact_channel": r.contact_channel,
        "contact_safe": r.contact_safe,
        "contact_address": r.contact_address,
        "withdrawn_at": r.withdrawn_at,
        "via": list(r.via),
        "affected": r.affected,
        "risk": list(r.risk),
        "flood": r.flood,
        "contact_changed_at": r.contact_changed_at,
        "redacted_at": r.redacted_at,
    }


def _decode_report(d: Doc) -> Report:
    return Report(
        d["_id"],
        d["fingerprint"],
        d["received_at"],
        d["channel"],
        d["language"],
        d["category"],
        d["danger_now"],
        d["under_18"],
        d["under_13"],
        d["consent_partner"],
        d["consent_authority"],
        d["content"],
        d["contact_channel"],
        d["contact_safe"],
        d["contact_address"],
        d["withdrawn_at"],
        tuple(d.get("via", ())),
        d.get("affected"),
        tuple(d.get("risk", ())),
        d.get("flood", False),
        contact_changed_at=d.get("contact_changed_at"),
        redacted_at=d.get("redacted_at"),
    )


#: ``_id`` is the keyed hash of the receipt: a receipt finds its report by primary key.
REPORTS: Collection[Report] = Collection(
    "reports",
    lambda r: r.report_id,
    _encode_report,
    _decode_report,
    indexes=(Index((("received_at", 1),)),),
)


@dataclass(frozen=True, slots=True)
class Links:
    """The cases of one report: case id → the case version that said so, and whether it is linked.

    Highest version wins per case, so joined and left may arrive in any order.
    """

    report_id: str
    cases: Mapping[str, tuple[int, bool]] = field(default_factory=dict)

    def learn(self, member: Membership) -> "Links":
        """The links that also know ``member``; the same object when they already did."""
        held = self.cases.get(member.case_id)
        if held is not None and held[0] >= member.version:
            return self
        told = {member.case_id: (member.version, member.joined)}
        return Links(self.report_id, {**self.cases, **told})

    def linked(self) -> list[str]:
        return sorted(case for case, (_, linked) in self.cases.items() if linked)


LINKS: Collection[Links] = Collection(
    "links",
    lambda v: v.report_id,
    lambda v: {"cases": {case: [version, on] for case, (version, on) in v.cases.items()}},
    lambda d: Links(d["_id"], {case: (v[0], v[1]) for case, v in d["cases"].items()}),
)


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the thread; ``body`` is sealed. ``by_staff``: from the hub to the reporter."""

    message_id: str
    report_id: str
    sent_at: datetime
    by_staff: bool
    question: bool
    body: str
    #: When it was stored here, by which open threads find what is new; None before that was kept.
    kept_at: datetime | None = None
    #: When something was blacked out of it for good.
    redacted_at: datetime | None = None


def _encode_message(m: Message) -> Doc:
    return {
        "report_id": m.report_id,
        "sent_at": m.sent_at,
        "by_staff": m.by_staff,
        "question": m.question,
        "body": m.body,
        "kept_at": m.kept_at,
        "redacted_at": m.redacted_at,
    }


MESSAGES: Collection[Message] = Collection(
    "messages",
    lambda m: m.message_id,
    _encode_message,
    lambda d: Message(
        d["_id"],
        d["report_id"],
        d["sent_at"],
        d["by_staff"],
        d["question"],
        d["body"],
        d.get("kept_at"),
        d.get("redacted_at"),
    ),
    indexes=(Index((("report_id", 1), ("sent_at", 1))), Index((("kept_at", 1),))),
)


def _encode_view(v: CaseView) -> Doc:
    # By hand: a busy case is written with every event, and pydantic's dump costs much more.
    return {
        "version": v.version,
        "state": v.state.value,
        "severity": v.severity.value if v.severity else None,
        "category": v.category,
        "reason": v.reason,
        "advice": v.advice,
        "advice_version": v.advice_version,
        "assessed": v.assessed,
        "opened_at": v.opened_at,
        "dispatches": {
            k: [r.version, r.state.value, r.partner, r.changed_at] for k, r in v.dispatches.items()
        },
        "referrals": {
            k: [r.version, r.state.value, r.authority, r.changed_at] for k, r in v.referrals.items()
        },
        "entries": {k: [e.time, e.kind.value, e.party] for k, e in v.entries.items()},
    }


def _decode_view(d: Doc) -> CaseView:
    return CaseView.model_construct(
        case_id=d["_id"],
        version=d["version"],
        state=CaseState(d["state"]),
        severity=Severity(d["severity"]) if d["severity"] else None,
        category=d["category"],
        reason=d["reason"],
        advice=d["advice"],
        advice_version=d["advice_version"],
        assessed=d["assessed"],
        opened_at=d["opened_at"],
        dispatches={
            k: DispatchRow.model_construct(
                version=r[0], state=DispatchState(r[1]), partner=r[2], changed_at=r[3]
            )
            for k, r in d["dispatches"].items()
        },
        referrals={
            k: ReferralRow.model_construct(
                version=r[0], state=ReferralState(r[1]), authority=r[2], changed_at=r[3]
            )
            for k, r in d["referrals"].items()
        },
        entries={
            k: TimelineEntry.model_construct(time=e[0], kind=TimelineKind(e[1]), party=e[2])
            for k, e in d["entries"].items()
        },
    )


CASE_VIEWS: Collection[CaseView] = Collection(
    "case_views", lambda v: v.case_id, _encode_view, _decode_view
)


class Sweep(Model):
    """How far the reports have been looked through for those nobody answered."""

    sweep_id: str
    until: datetime


class Unheard(Model):
    """A report of which no case was heard in time; told again at ``due_at``, each time later."""

    report_id: str
    tries: int = 0
    due_at: datetime | None
    lease: str | None = None
    lease_until: datetime | None = None


SWEEPS: Collection[Sweep] = Collection.of("sweeps", Sweep, "sweep_id")
UNHEARD: Collection[Unheard] = Collection.of(
    "unheard", Unheard, "report_id", (Index((("due_at", 1),)),)
)


class FeedbackKind(StrEnum):
    COMPLAINT = "complaint"
    SUGGESTION = "suggestion"
    THANKS = "thanks"
    #: Access, rectification, objection, erasure: rights over one's own data.
    DATA_RIGHTS = "data_rights"
    #: Against a decision of the hub.
    APPEAL = "appeal"


class FeedbackState(StrEnum):
    OPEN = "open"
    ANSWERED = "answered"
    WITHDRAWN = "withdrawn"


class Feedback(Model):
    """A message about the hub itself. ``text`` and ``answer`` are sealed; none once withdrawn."""

    feedback_id: str
    fingerprint: str
    kind: FeedbackKind
    language: str
    received_at: datetime
    #: None: the country sets no limit.
    answer_by: datetime | None
    text: str | None
    state: FeedbackState = FeedbackState.OPEN
    answer: str | None = None
    answered_at: datetime | None = None
    answered_by: str | None = None


#: ``_id`` is the keyed hash of the receipt, under a key of its own.
FEEDBACK: Collection[Feedback] = Collection.of(
    "feedback", Feedback, "feedback_id", (Index((("state", 1), ("answer_by", 1))),)
)


class Rating(Model):
    """What a reporter thought of the help, one answer a report; None: not answered."""

    report_id: str
    helped: str | None = None
    recommend: str | None = None
    rated_at: datetime


RATINGS: Collection[Rating] = Collection.of("ratings", Rating, "report_id")

ALL = (REPORTS, LINKS, MESSAGES, CASE_VIEWS, SWEEPS, UNHEARD, FEEDBACK, RATINGS)
