# SPDX-License-Identifier: Apache-2.0
"""What triage keeps, and the one place that knows how it looks in the database.

A case is one document per item; a report is one document that names its cases, so that thousands
of reports about one item make no document grow. No document holds readable text of a person or the
address of an item: each is sealed.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from wasl_chassis.store import Collection, Doc, Index
from wasl_schemas.base import Model
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

# Encoders are written by hand: a case is written with every report, and a generic dump costs many
# times as much. Maps whose keys come from outside become pairs: MongoDB reads dots in names.


def _ground(ground: Ground | None) -> list[str] | None:
    return None if ground is None else [ground.kind.value, ground.ref]


def _to_ground(doc: list[str]) -> Ground:
    return Ground.model_construct(kind=GroundKind(doc[0]), ref=doc[1])


def _pairs(answers: dict[str, str]) -> list[list[str]]:
    return [[k, v] for k, v in answers.items()]


def _decision(d: DecisionRow) -> Doc:
    return {
        "id": d.id,
        "action": d.action.value,
        "category": d.category,
        "by": d.by,
        "at": d.at,
        "round": d.round,
        "four_eyes": d.four_eyes.value,
        "ground": _ground(d.ground),
        "partners": list(d.partners),
        "authorities": list(d.authorities),
        "scope": d.scope,
        "proposal": d.proposal,
        "advice": d.advice,
        "close_reason": d.close_reason,
        "rule": d.rule,
        "by_legal": d.by_legal,
        "second_due": d.second_due,
        "second": d.second,
        "second_at": d.second_at,
        "confirmed": d.confirmed,
        "reversed_by": d.reversed_by,
        "law_version": d.law_version,
        "judgements": [[j.by, j.at, j.category, _pairs(j.answers)] for j in d.judgements],
    }


def _to_decision(doc: Doc) -> DecisionRow:
    return DecisionRow(
        **{
            **doc,
            "action": Action(doc["action"]),
            "four_eyes": FourEyes(doc["four_eyes"]),
            "ground": _to_ground(doc["ground"]) if doc["ground"] else None,
            "partners": tuple(doc["partners"]),
            "authorities": tuple(doc["authorities"]),
            "judgements": tuple(
                Judgement(by, at, category, dict(answers))
                for by, at, category, answers in doc.get("judgements", ())
            ),
        }
    )


def _dispatch(r: DispatchRow) -> Doc:
    return {
        "partner": r.partner,
        "connector": r.connector,
        "round": r.round,
        "category": r.category,
        "severity": r.severity.value,
        "ground": _ground(r.ground),
        "scope": r.scope,
        "language": r.language,
        "automatic": r.automatic,
        "requested_at": r.requested_at,
        "due": r.due,
        "item": r.item,
        "may_look": r.may_look,
        "revision": r.revision,
        "known": r.known,
        "withdrawn": r.withdrawn,
        "undoes": r.undoes.value if r.undoes else None,
        "notes": list(r.notes),
        "reminders": r.reminders,
        "via": list(r.via),
        "measure": r.measure.value if r.measure else None,
        "state": r.state.value,
        "version": r.version,
        "changed_at": r.changed_at,
    }


def _to_dispatch(doc: Doc) -> DispatchRow:
    return DispatchRow(
        **{
            **doc,
            "severity": Severity(doc["severity"]),
            "ground": _to_ground(doc["ground"]),
            "via": tuple(doc.get("via", ())),
            "measure": Measure(doc["measure"]) if doc.get("measure") else None,
            "notes": tuple(doc.get("notes", ())),
            "undoes": DispatchState(doc["undoes"]) if doc.get("undoes") else None,
            "state": DispatchState(doc["state"]),
        }
    )


def _referral(r: ReferralRow) -> Doc:
    return {
        "authority": r.authority,
        "round": r.round,
        "category": r.category,
        "severity": r.severity.value,
        "ground": _ground(r.ground),
        "language": r.language,
        "requested_at": r.requested_at,
        "due": r.due,
        "item": r.item,
        "reports": r.reports,
        "state": r.state.value,
        "version": r.version,
    }


def _to_referral(doc: Doc) -> ReferralRow:
    return ReferralRow(
        **{
            **doc,
            "severity": Severity(doc["severity"]),
            "ground": _to_ground(doc["ground"]),
            "state": ReferralState(doc["state"]),
        }
    )


def _assessment(a: Assessment | None) -> Doc | None:
    if a is None:
        return None
    return {
        "category": a.category,
        "confirmed": list(a.confirmed),
        "dismissed": list(a.dismissed),
        "by": a.by,
        "at": a.at,
        "note": a.note,
        "answers": _pairs(a.answers),
        "over": list(a.over),
    }


def _to_assessment(doc: Doc) -> Assessment:
    return Assessment(
        doc["category"],
        tuple(doc["confirmed"]),
        tuple(doc["dismissed"]),
        doc["by"],
        doc["at"],
        doc["note"],
        dict(doc.get("answers", ())),
        tuple(doc.get("over", ())),
    )


def _encode_case(c: Case) -> Doc:
    return {
        "platform": c.platform,
        "kind": c.kind,
        "item": c.item,
        "language": c.language,
        "opened_at": c.opened_at,
        "round_at": c.round_at,
        "first_look_due": c.first_look_due,
        "version": c.version,
        "state": c.state.value,
        "severity": c.severity.value,
        "because": list(c.because),
        "legal_review": c.legal_review,
        "category": c.category,
        "reported": [[k, v] for k, v in c.reported.items()],
        "facts": [[k, v] for k, v in c.facts.items()],
        "reports": c.reports,
        "flood": c.flood,
        "recent": c.recent,
        "consent_partner": c.consent_partner,
        "consent_authority": c.consent_authority,
        "located": c.located,
        "has_url": c.has_url,
        "needs_expansion": c.needs_expansion,
        "hosted": c.hosted,
        "via": [[k, v] for k, v in c.via.items()],
        "round": c.round,
        "settled_at": c.settled_at,
        "close_reason": c.close_reason,
        "look_pending": c.look_pending,
        "overdue": c.overdue,
        "assessment": _assessment(c.assessment),
        "decisions": [_decision(d) for d in c.decisions],
        "confirm_due": c.confirm_due,
        "confirm_overdue": c.confirm_overdue,
        "dispatches": {k: _dispatch(r) for k, r in c.dispatches.items()},
        "referrals": {k: _referral(r) for k, r in c.referrals.items()},
        "claimed_by": c.claimed_by,
        "claimed_until": c.claimed_until,
        "seen": c.seen.value if c.seen else None,
        "seen_version": c.seen_version,
        "seen_at": c.seen_at,
        "attention": list(c.attention),
        "queued": c.queued,
        "rank": c.rank,
        "queue_due": c.queue_due,
        "resend_at": c.resend_at,
        "resends": c.resends,
        "queue": c.queue,
        "routed_by": c.routed_by,
        "restricted": c.restricted,
        "ruled": c.ruled.value if c.ruled else None,
        "eased": c.eased.value if c.eased else None,
        "classified": c.classified,
        "ruled_hold": c.ruled_hold,
        "flags": list(c.flags),
        "rules": list(c.rules),
        "banks": [[k, v] for k, v in c.banks.items()],
        "suggested": c.suggested,
        "suggested_why": list(c.suggested_why),
        "campaign": c.campaign,
        "hoster": c.hoster,
        "owner": c.owner,
        "plan": c.plan,
        "next_at": c.next_at,
        "skipped": list(c.skipped),
        "lead": c.lead,
        "followers": {k: [f.rank, f.due, f.restricted] for k, f in c.followers.items()},
        "group_restricted": c.group_restricted,
        "restricted_since": c.restricted_since,
        "splits": c.splits,
        "paged": list(c.paged),
        "held": c.held,
        "erase_at": c.erase_at,
        "audit_seq": c.audit_seq,
        "audit_hash": c.audit_hash,
        "audit_at": c.audit_at,
    }


def _decode_case(d: Doc) -> Case:
    return Case(
        id=d["_id"],
        platform=d["platform"],
        kind=d["kind"],
        item=d["item"],
        language=d["language"],
        opened_at=d["opened_at"],
        round_at=d["round_at"],
        first_look_due=d["first_look_due"],
        version=d["version"],
        state=CaseState(d["state"]),
        severity=Severity(d["severity"]),
        because=tuple(d["because"]),
        legal_review=d["legal_review"],
        category=d["category"],
        reported={k: v for k, v in d["reported"]},  # noqa: C416  pairs, as lists from the database
        facts={k: v for k, v in d["facts"]},  # noqa: C416
        reports=d["reports"],
        flood=d.get("flood", 0),
        recent=list(d["recent"]),
        consent_partner=d["consent_partner"],
        consent_authority=d["consent_authority"],
        located=d["located"],
        has_url=d["has_url"],
        needs_expansion=d["needs_expansion"],
        hosted=d.get("hosted"),
        via={k: v for k, v in d.get("via", ())},  # noqa: C416
        round=d["round"],
        settled_at=d["settled_at"],
        close_reason=d["close_reason"],
        look_pending=d["look_pending"],
        overdue=d["overdue"],
        assessment=_to_assessment(d["assessment"]) if d["assessment"] else None,
        decisions=[_to_decision(x) for x in d["decisions"]],
        confirm_due=d["confirm_due"],
        confirm_overdue=d["confirm_overdue"],
        dispatches={k: _to_dispatch(x) for k, x in d["dispatches"].items()},
        referrals={k: _to_referral(x) for k, x in d["referrals"].items()},
        claimed_by=d["claimed_by"],
        claimed_until=d["claimed_until"],
        seen=WatchState(d["seen"]) if d.get("seen") else None,
        seen_version=d.get("seen_version", 0),
        seen_at=d.get("seen_at"),
        attention=tuple(d["attention"]),
        queued=d["queued"],
        rank=d["rank"],
        queue_due=d["queue_due"],
        resend_at=d["resend_at"],
        resends=d["resends"],
        queue=d.get("queue", ""),
        routed_by=d.get("routed_by", "pack"),
        # A document of before there was a clearance is for cleared people until it is placed.
        restricted=d.get("restricted", True),
        ruled=Severity(d["ruled"]) if d.get("ruled") else None,
        eased=Severity(d["eased"]) if d.get("eased") else None,
        classified=d.get("classified"),
        ruled_hold=d.get("ruled_hold", False),
        flags=tuple(d.get("flags", ())),
        rules=tuple(d.get("rules", ())),
        banks={k: v for k, v in d.get("banks", ())},  # noqa: C416
        suggested=d.get("suggested"),
        suggested_why=tuple(d.get("suggested_why", ())),
        campaign=d.get("campaign"),
        hoster=d.get("hoster"),
        owner=d.get("owner"),
        plan=d.get("plan"),
        next_at=d.get("next_at"),
        skipped=tuple(d.get("skipped", ())),
        lead=d.get("lead"),
        followers={k: Follower(*f) for k, f in d.get("followers", {}).items()},
        group_restricted=d.get("group_restricted", False),
        restricted_since=d.get("restricted_since"),
        splits=d.get("splits", 0),
        paged=tuple(d.get("paged", ())),
        held=d.get("held", False),
        erase_at=d.get("erase_at"),
        audit_seq=d["audit_seq"],
        audit_hash=d["audit_hash"],
        audit_at=d.get("audit_at"),
    )


_ORDER = (("rank", 1), ("queue_due", 1), ("_id", 1))
#: What waits is a small part of all cases and is asked for most: in all queues or one, with or
#: without what is restricted, each in the queue's order to the last tie, so that a page reads its
#: own lines only and counts read no document.
_WAITING = tuple(
    Index((("queued", 1), *which, *_ORDER), partial={"queued": True})
    for which in (
        (),
        (("restricted", 1),),
        (("queue", 1),),
        (("queue", 1), ("restricted", 1)),
    )
)

#: ``_id`` is the keyed hash of the item's canonical key: duplicates meet here, and nowhere is
#: written which item it is.
CASES: Collection[Case] = Collection(
    "cases",
    lambda c: c.id,
    _encode_case,
    _decode_case,
    indexes=(
        *_WAITING,
        Index((("look_pending", 1), ("overdue", 1), ("first_look_due", 1))),
        Index((("state", 1), ("opened_at", 1))),
        Index((("opened_at", 1),)),
        Index((("category", 1), ("opened_at", 1))),
        Index((("queue", 1), ("opened_at", 1))),
        # Whoever is not cleared asks for these without what is restricted, which may be all of it.
        Index((("category", 1), ("restricted", 1), ("opened_at", 1))),
        Index((("queue", 1), ("restricted", 1), ("opened_at", 1))),
        Index((("platform", 1), ("opened_at", 1))),
        # Whether the first look was in time is counted by severity and month without a document.
        Index((("severity", 1), ("opened_at", 1), ("overdue", 1), ("look_pending", 1))),
        # The few that have one. A bulk action asks for states of a campaign.
        Index((("campaign", 1), ("opened_at", 1), ("state", 1)), partial={"campaign": {"$gt": ""}}),
        Index((("owner", 1), ("opened_at", 1)), partial={"owner": {"$gt": ""}}),
        Index((("confirm_due", 1),)),
        Index((("resend_at", 1),)),
        Index((("next_at", 1),)),
        # Due to be erased; and settled without such a time, which is asked for at every turn.
        Index((("erase_at", 1), ("state", 1), ("held", 1))),
    ),
)


@dataclass(frozen=True, slots=True)
class Report:
    """One report as the desk knows it. ``content`` is the reporter's, under the report's own key.

    A report withdrawn before it arrived is a row without cases, so that it can never open one.
    ``awaited``: only a message of its reporter has come so far; the topics keep no common order.
    """

    id: str
    received_at: datetime
    channel: str
    language: str
    hint: str
    category: str | None
    facts: tuple[str, ...]
    consent_partner: bool
    consent_authority: bool
    cases: tuple[str, ...]
    content: str | None
    personal: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    withdrawn_at: datetime | None = None
    awaited: bool = False
    #: Hubs it came through, oldest first.
    via: tuple[str, ...] = ()
    #: It speaks for no crowd; see the event.
    flood: bool = False
    #: What retention has erased of it: contact, text.
    erased: tuple[str, ...] = ()
    redacted_at: datetime | None = None
    #: Whom it happens to, and questions of the risk screen answered yes, as the reporter said.
    affected: str | None = None
    risk: tuple[str, ...] = ()
    #: Banks of known hashes in which a fingerprint was found.
    banks: tuple[str, ...] = ()
    #: Of the code that derived the signals; 0: before they had one.
    signals_version: int = 0


def _encode_report(r: Report) -> Doc:
    return {
        "received_at": r.received_at,
        "channel": r.channel,
        "language": r.language,
        "hint": r.hint,
        "category": r.category,
        "facts": list(r.facts),
        "consent_partner": r.consent_partner,
        "consent_authority": r.consent_authority,
        "cases": list(r.cases),
        "content": r.content,
        "personal": list(r.personal),
        "refused": list(r.refused),
        "withdrawn_at": r.withdrawn_at,
        "awaited": r.awaited,
        "via": list(r.via),
        "flood": r.flood,
        "erased": list(r.erased),
        "redacted_at": r.redacted_at,
        "affected": r.affected,
        "risk": list(r.risk),
        "banks": list(r.banks),
        "signals_version": r.signals_version,
    }


def _decode_report(d: Doc) -> Report:
    return Report(
        d["_id"],
        d["received_at"],
        d["channel"],
        d["language"],
        d["hint"],
        d["category"],
        tuple(d["facts"]),
        d["consent_partner"],
        d["consent_authority"],
        tuple(d["cases"]),
        d["content"],
        tuple(d["personal"]),
        tuple(d["refused"]),
        d["withdrawn_at"],
        d["awaited"],
        tuple(d.get("via", ())),
        d.get("flood", False),
        tuple(d.get("erased", ())),
        d.get("redacted_at"),
        d.get("affected"),
        tuple(d.get("risk", ())),
        tuple(d.get("banks", ())),
        d.get("signals_version", 0),
    )


REPORTS: Collection[Report] = Collection(
    "reports",
    lambda r: r.id,
    _encode_report,
    _decode_report,
    indexes=(
        Index((("cases", 1), ("received_at", -1))),
        Index((("received_at", 1),)),
        # Those that came from another hub.
        Index((("via", 1), ("received_at", -1)), partial={"via": {"$gt": ""}}),
    ),
)


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a reporter's thread, sealed with the report's key. ``by``: None: the
    reporter.
    """

    id: str
    report_id: str
    sent_at: datetime
    by: str | None
    question: bool
    body: str


def _encode_message(m: Message) -> Doc:
    return {
        "report_id": m.report_id,
        "sent_at": m.sent_at,
        "by": m.by,
        "question": m.question,
        "body": m.body,
    }


MESSAGES: Collection[Message] = Collection(
    "messages",
    lambda m: m.id,
    _encode_message,
    lambda d: Message(d["_id"], d["report_id"], d["sent_at"], d["by"], d["question"], d["body"]),
    indexes=(Index((("report_id", 1), ("sent_at", 1))),),
)


class Past(Model):
    """What is left of a case whose time was over: where its numbers go on if the item is reported
    again, so that no request of the new case has the id of an old one.
    """

    case_id: str
    version: int
    round: int
    audit_seq: int
    audit_hash: str
    audit_at: datetime | None
    erased_at: datetime


class PastFigure(Model):
    """How many cases of a kind were erased, and their reports. ``kind``: month of opening,
    category, severity, state and platform, joined by ``|``.
    """

    kind: str
    cases: int = 0
    reports: int = 0


PAST: Collection[Past] = Collection.of("past_cases", Past, "case_id")
PAST_FIGURES: Collection[PastFigure] = Collection.of("past_figures", PastFigure, "kind")

ALL: tuple[Collection[Any], ...] = (CASES, REPORTS, MESSAGES, PAST, PAST_FIGURES)
