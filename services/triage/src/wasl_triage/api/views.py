# SPDX-License-Identifier: Apache-2.0
"""What the desk's API shows. Only :class:`CaseSheet` holds readable text, and only for one case."""

from datetime import datetime

from pydantic import Field
from wasl_schemas.base import Model
from wasl_schemas.country_pack import CountryPack
from wasl_schemas.events.common import Ground, Severity
from wasl_schemas.lifecycle import CASE, CaseState, DispatchState, ReferralState, WatchState
from wasl_schemas.taxonomy import SPEECH, FourEyes, Safeguard, Signal

from wasl_triage.audit.trail import AuditRow
from wasl_triage.cases.sheets import Sheet
from wasl_triage.domain.case import MEASURES, Action, Case, Measure
from wasl_triage.domain.decisions import Proposal, route_for


class CaseLine(Model):
    """One row of the queue: nothing that could harm whoever reads it."""

    case_id: str
    version: int
    state: CaseState
    severity: Severity
    #: The modifiers of the country pack that moved the severity.
    because: list[str]
    category: str | None
    assessed: bool
    platform: str
    item_kind: str
    reports: int
    round: int
    opened_at: datetime
    first_look_due: datetime
    due: datetime | None
    #: 0: child safety, 1: other critical cases, 2: the rest.
    rank: int
    overdue: bool
    attention: list[str]
    second_look_waits: bool
    claimed_by: str | None
    claimed_until: datetime | None


class Queue(Model):
    cases: list[CaseLine]


class ItemView(Model):
    """``location`` is text to be copied, never a link to be opened from here."""

    location: str
    platform: str
    kind: str
    needs_expansion: bool
    #: ISO 3166-1 alpha-2; None: not known.
    hosted: str | None


class ReportView(Model):
    report_id: str
    received_at: datetime
    channel: str
    language: str
    language_hint: str
    category: str | None
    facts: list[str]
    personal_data: list[str]
    consent_partner: bool
    consent_authority: bool
    #: Hubs it came through, oldest first.
    via: list[str]
    #: None: erased.
    narrative: str | None


class MessageView(Model):
    message_id: str
    report_id: str
    sent_at: datetime
    #: None: the reporter.
    by: str | None
    question: bool
    #: None: erased.
    text: str | None


class QuestionView(Model):
    """One question of the assessment: yes, no or unsure. ``needed``: the answer without which
    nothing leaves the hub; ``sets``: the signal a yes confirms and a no dismisses; ``laws``: those
    that may be cited only after a yes.
    """

    question: str
    text: dict[str, str | None]
    help: dict[str, str | None]
    needed: str | None
    sets: Signal | None
    laws: list[str]


class Questions(Model):
    questions: list[QuestionView]


class JudgementView(Model):
    """What a second person called it before they knew what the first one had said."""

    by: str
    at: datetime
    category: str
    answers: dict[str, str]


class AssessmentView(Model):
    category: str
    answers: dict[str, str]
    confirmed: list[str]
    dismissed: list[str]
    by: str
    at: datetime
    note: str | None


class DecisionView(Model):
    decision_id: str
    action: Action
    category: str | None
    by: str
    at: datetime
    automatic: bool
    rule: str | None
    four_eyes: FourEyes
    ground: Ground | None
    partners: list[str]
    authorities: list[str]
    scope: str | None
    advice: str | None
    close_reason: str | None
    reason: str | None
    #: The country pack, and the date its law was read, at the last signature.
    law_version: str
    #: All that was proposed; None: nothing was, or it is hidden until the reader has judged.
    proposal: Proposal | None
    waits_for_second_look: bool
    second_look_due: datetime | None
    second: str | None
    confirmed: bool | None
    judgements: list[JudgementView]


class DispatchView(Model):
    dispatch_id: str
    partner: str
    state: DispatchState
    requested_at: datetime
    due: datetime
    changed_at: datetime | None
    round: int
    reminders: int
    revision: int
    withdrawn: str | None
    #: What the partner had done and was asked to undo.
    undoes: DispatchState | None
    measure: Measure | None


class ReferralView(Model):
    referral_id: str
    authority: str
    state: ReferralState
    requested_at: datetime
    round: int


class Options(Model):
    """What the law and the pack allow for the category the case is worked under."""

    triggers: list[str]
    safeguard: Safeguard | None = None
    four_eyes: FourEyes | None = None
    dispatchable: bool = False
    grounds: list[Ground] = Field(default_factory=list)
    partners: list[str] = Field(default_factory=list)
    authorities: dict[str, str] = Field(default_factory=dict)
    scope: str | None = None
    advice: list[str] = Field(default_factory=list)
    questions: list[QuestionView] = Field(default_factory=list)
    #: The mildest first.
    measures: list[Measure] = Field(default_factory=list)
    #: The six-part test of incitement belongs to every request.
    rabat: bool = False
    #: The second person judges before they know what the first one said.
    blind: bool = False


class CaseSheet(Model):
    """A case, opened. Texts of reporters are untrusted: show them as plain text."""

    case: CaseLine
    #: Categories as reporters chose them, each with how many did.
    reported: dict[str, int]
    #: What the first person said is hidden until the reader has judged.
    blinded: bool
    #: Nobody views this a second time: no texts are shown.
    closed: bool
    signals: list[Signal]
    legal_review: bool
    close_reason: str | None
    item: ItemView | None
    #: What the hub last saw at the item's address.
    seen: WatchState | None
    assessment: AssessmentView | None
    decisions: list[DecisionView]
    dispatches: list[DispatchView]
    referrals: list[ReferralView]
    #: The newest ones; ``case.reports`` says how many there are.
    reports: list[ReportView]
    messages: list[MessageView]
    options: Options


class AuditView(Model):
    seq: int
    at: datetime
    who: str
    what: str
    why: str
    hash: str


class Trail(Model):
    rows: list[AuditView]
    #: The first row that does not follow from the one before; None: the trail holds.
    broken_at: int | None


def line(case: Case) -> CaseLine:
    return CaseLine(
        case_id=case.id,
        version=case.version,
        state=case.state,
        severity=case.severity,
        because=list(case.because),
        category=case.category,
        assessed=case.assessment is not None,
        platform=case.platform,
        item_kind=case.kind,
        reports=case.reports,
        round=case.round,
        opened_at=case.opened_at,
        first_look_due=case.first_look_due,
        due=case.queue_due,
        rank=case.rank,
        overdue=case.overdue or case.confirm_overdue,
        attention=list(case.attention),
        second_look_waits=bool(case.pending()),
        claimed_by=case.claimed_by,
        claimed_until=case.claimed_until,
    )


def options(pack: CountryPack, case: Case, now: datetime) -> Options:
    category = pack.categories.get(case.category) if case.category else None
    if category is None:
        return Options(triggers=CASE.triggers(case.state))
    route = route_for(
        pack, category.id, case.platform, now.date(), hosted=case.hosted, via=case.via
    )
    return Options(
        triggers=CASE.triggers(case.state),
        safeguard=category.expression_safeguard,
        four_eyes=category.four_eyes,
        dispatchable=category.dispatchable,
        grounds=list(pack.grounds_for(category.id)),
        partners=[p.id for p in route.partners] if route else [],
        authorities={a.id: when.value for a, when in route.authorities} if route else {},
        scope=route.scope if route else None,
        advice=[card.id for card in pack.advice_for(category.id)],
        questions=questions(pack, category.id).questions,
        measures=[
            m
            for m in MEASURES
            if m is not Measure.ACCOUNT_ACTION or category.expression_safeguard not in SPEECH
        ],
        rabat=category.id in pack.desk.rabat,
        blind=category.id in pack.desk.blind,
    )


def questions(pack: CountryPack, category: str) -> Questions:
    laws = [x for x in pack.laws.values() if x.in_force and category in x.categories]
    return Questions(
        questions=[
            QuestionView(
                question=q.id,
                text=q.text,
                help=q.help,
                needed=q.needed,
                sets=q.sets,
                laws=[x.id for x in laws if q.id in x.elements],
            )
            for q in pack.desk.questions_for(category)
        ]
    )


def sheet(pack: CountryPack, opened: Sheet, now: datetime) -> CaseSheet:
    case, item, said = opened.case, opened.item, opened.case.assessment
    waiting = {d.id for d in case.pending()}
    return CaseSheet(
        case=line(case),
        reported=dict(case.reported),
        blinded=opened.blinded,
        closed=opened.closed,
        signals=sorted(opened.signals),
        legal_review=case.legal_review,
        close_reason=case.close_reason,
        item=ItemView(
            location=item.location,
            platform=item.platform,
            kind=item.kind,
            needs_expansion=case.needs_expansion,
            hosted=case.hosted,
        )
        if item
        else None,
        seen=case.seen,
        assessment=AssessmentView(
            category=said.category,
            answers=dict(said.answers),
            confirmed=list(said.confirmed),
            dismissed=list(said.dismissed),
            by=said.by,
            at=said.at,
            note=opened.notes.get("assessment"),
        )
        if said
        else None,
        decisions=[
            DecisionView(
                decision_id=d.id,
                action=d.action,
                category=d.category,
                by=d.by,
                at=d.at,
                automatic=d.automatic,
                rule=d.rule,
                four_eyes=d.four_eyes,
                ground=d.ground,
                partners=list(d.partners),
                authorities=list(d.authorities),
                scope=d.scope,
                advice=d.advice,
                close_reason=d.close_reason,
                reason=opened.notes.get(d.id),
                law_version=d.law_version,
                proposal=opened.proposals.get(d.id),
                waits_for_second_look=d.id in waiting,
                second_look_due=d.second_due,
                second=d.second,
                confirmed=d.confirmed,
                judgements=[
                    JudgementView(by=j.by, at=j.at, category=j.category, answers=dict(j.answers))
                    for j in d.judgements
                ],
            )
            for d in case.decisions
        ],
        dispatches=[
            DispatchView(
                dispatch_id=key,
                partner=row.partner,
                state=row.state,
                requested_at=row.requested_at,
                due=row.due,
                changed_at=row.changed_at,
                round=row.round,
                reminders=row.reminders,
                revision=row.revision,
                withdrawn=row.withdrawn,
                undoes=row.undoes,
                measure=row.measure,
            )
            for key, row in case.dispatches.items()
        ],
        referrals=[
            ReferralView(
                referral_id=key,
                authority=row.authority,
                state=row.state,
                requested_at=row.requested_at,
                round=row.round,
            )
            for key, row in case.referrals.items()
        ],
        reports=[
            ReportView(
                report_id=r.report.id,
                received_at=r.report.received_at,
                channel=r.report.channel,
                language=r.report.language,
                language_hint=r.report.hint,
                category=r.report.category,
                facts=list(r.report.facts),
                personal_data=list(r.report.personal),
                consent_partner=r.report.consent_partner,
                consent_authority=r.report.consent_authority,
                via=list(r.report.via),
                narrative=r.narrative,
            )
            for r in opened.reports
        ],
        messages=[
            MessageView(
                message_id=m.message.id,
                report_id=m.message.report_id,
                sent_at=m.message.sent_at,
                by=m.message.by,
                question=m.message.question,
                text=m.text,
            )
            for m in opened.messages
        ],
        options=options(pack, case, now),
    )


def trail(rows: list[AuditRow], broken_at: int | None) -> Trail:
    return Trail(
        rows=[
            AuditView(seq=r.seq, at=r.at, who=r.who, what=r.what, why=r.why, hash=r.hash)
            for r in rows
        ],
        broken_at=broken_at,
    )
