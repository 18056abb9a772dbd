# SPDX-License-Identifier: Apache-2.0
"""A case and what can happen to it: pure changes of one value, no I/O and no clock of its own.

Facts and categories are counted per report, so joining and leaving commute: the same reports in any
order give the same severity. Every change of state goes through the lifecycle's machine.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from wasl_schemas.country_pack import CountryPack, may_fetch
from wasl_schemas.events.case_updated_v1 import NO_GROUND
from wasl_schemas.events.common import Ground, Severity
from wasl_schemas.lifecycle import (
    ACTED,
    CASE,
    DISPATCH,
    UNDOABLE,
    CaseState,
    DispatchState,
    ReferralState,
    WatchState,
)
from wasl_schemas.taxonomy import FourEyes, Signal

from wasl_triage.domain import clocks, retention
from wasl_triage.domain.severity import Scales, Weight

#: Report ids a case shows at once; the links themselves are documents of their own.
RECENT = 20
#: The name under which the country pack's automatic rules act.
MACHINE = "country_pack"
#: The name under which missed times are audited.
CLOCK = "clock"


class Action(StrEnum):
    DISPATCH = "dispatch"
    REFER = "refer"
    ADVISE = "advise"
    CLOSE = "close"


class Measure(StrEnum):
    """What a partner is asked to do, the least restrictive first."""

    LABEL = "label"
    AGE_RESTRICT = "age_restrict"
    GEO_RESTRICT = "geo_restrict"
    REMOVE = "remove"
    ACCOUNT_ACTION = "account_action"


#: From the mildest to the harshest.
MEASURES = tuple(Measure)
#: Reasons to close a case of which nothing was right: no ground, not the hub's, no report at all.
_UNFOUNDED = frozenset({NO_GROUND, "out_of_scope", "not_a_report"})
#: Asked, and nothing came of it.
_WITHOUT_EFFECT = (DispatchState.REFUSED, DispatchState.NO_REPLY)


class Attention(StrEnum):
    """Why a case that had left the queue is back in it."""

    REPORTER_MESSAGE = "reporter_message"
    REFERRAL_FAILED = "referral_failed"
    OBJECTION = "objection"
    #: Two people who judged apart from each other called it different things.
    DISAGREEMENT = "disagreement"
    LATE_ANSWER = "late_answer"
    DISPATCH_FAILED = "dispatch_failed"
    GRAVER = "graver"
    #: The partner contests the request.
    DISPUTED = "disputed"
    PARTNER_WROTE = "partner_wrote"
    #: No machine can tell the partner; a person must.
    REMINDER_DUE = "reminder_due"
    CORRECTION_DUE = "correction_due"
    WITHDRAWAL_DUE = "withdrawal_due"
    #: The hub sees the item although the partner says that it is gone, or saw it gone before.
    ONLINE_AFTER_REMOVAL = "online_after_removal"
    REAPPEARED = "reappeared"
    #: Something happened to a case that is worked with this one.
    FOLLOWER = "follower"
    NEXT_CONTACT = "next_contact"
    APPEAL = "appeal"
    OPINION = "opinion"


def item_signals(*, has_url: bool, needs_expansion: bool) -> frozenset[Signal]:
    """What is true of the item itself, whoever reported it."""
    found = {Signal.HAS_URL} if has_url else set()
    return frozenset(found | {Signal.NEEDS_EXPANSION} if needs_expansion else found)


@dataclass(slots=True)
class Assessment:
    """``confirmed`` adds signals to the reports' own, ``dismissed`` takes some away."""

    category: str
    confirmed: tuple[str, ...]
    dismissed: tuple[str, ...]
    by: str
    at: datetime
    note: str | None = None
    #: Answers to the pack's questions: question → yes, no or unsure.
    answers: dict[str, str] = field(default_factory=dict)
    #: The categories reporters had chosen by then.
    over: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a second person called the item before they saw what the first one had said."""

    by: str
    at: datetime
    category: str
    answers: dict[str, str]


@dataclass(slots=True)
class DecisionRow:
    """``proposal`` is all that was proposed, reason included, sealed with the case's key; None for
    an automatic decision, which has nothing to say beyond its rule.
    """

    id: str
    action: Action
    category: str | None
    by: str
    at: datetime
    round: int
    four_eyes: FourEyes
    ground: Ground | None = None
    partners: tuple[str, ...] = ()
    authorities: tuple[str, ...] = ()
    scope: str | None = None
    proposal: str | None = None
    advice: str | None = None
    close_reason: str | None = None
    rule: str | None = None
    #: The proposer is a legal reviewer.
    by_legal: bool = False
    #: Until when a second person is waited for, who it was, and what they said.
    second_due: datetime | None = None
    second: str | None = None
    second_at: datetime | None = None
    confirmed: bool | None = None
    #: The appeal that reversed it, wholly or in part.
    reversed_by: str | None = None
    #: The country pack and the date its law was checked, as they stood at the last signature.
    law_version: str = ""
    #: Judgements of second people, where the category is judged blind.
    judgements: tuple[Judgement, ...] = ()

    @property
    def automatic(self) -> bool:
        return self.rule is not None


@dataclass(slots=True)
class DispatchRow:
    """What was asked, so that it can be asked again word for word, and what is known of the
    answer.
    """

    partner: str
    connector: str
    round: int
    category: str
    severity: Severity
    ground: Ground
    scope: str
    language: str
    automatic: bool
    requested_at: datetime
    due: datetime
    item: str
    state: DispatchState = DispatchState.REQUESTED
    version: int = 0
    changed_at: datetime | None = None
    #: A machine of the hub may look at the item.
    may_look: bool = False
    #: Grows with each correction; ``known``: the gateway's, as far as it told.
    revision: int = 0
    known: int = 0
    #: Machine word for why it was taken back; None: it stands.
    withdrawn: str | None = None
    #: Why it was amended, each sealed with the case's key.
    notes: tuple[str, ...] = ()
    reminders: int = 0
    #: Hubs the case's reports had come through, oldest first.
    via: tuple[str, ...] = ()
    #: What is asked for; None: what the partner's rules say.
    measure: Measure | None = None
    #: What the partner had done, which it was asked to undo.
    undoes: DispatchState | None = None

    def take_back(self, code: str) -> None:
        """Ask no more; what the partner did already it is asked to undo. Raises
        IllegalTransition.
        """
        DISPATCH.move(self.state, "withdraw")
        self.withdrawn = code
        self.note_undoing()

    def note_undoing(self) -> None:
        """Keep what is to be undone: the answer may have come before or after."""
        if self.withdrawn is not None and self.state in UNDOABLE:
            self.undoes = self.state


@dataclass(slots=True)
class ReferralRow:
    authority: str
    round: int
    category: str
    severity: Severity
    ground: Ground
    language: str
    requested_at: datetime
    due: datetime
    item: str
    reports: int
    state: ReferralState = ReferralState.REQUESTED
    version: int = 0


@dataclass(frozen=True, slots=True)
class Follower:
    """What a case knows of one that is worked with it: enough to stand as urgently in the queue
    and to be seen by no more people.
    """

    rank: int
    due: datetime | None
    restricted: bool


@dataclass(slots=True)
class Case:
    id: str
    platform: str
    kind: str
    #: The item under the case's seal; see DispatchItem.
    item: str
    language: str
    opened_at: datetime
    round_at: datetime
    first_look_due: datetime
    version: int = 0
    state: CaseState = CaseState.OPEN
    severity: Severity = Severity.LOW
    because: tuple[str, ...] = ()
    legal_review: bool = False
    category: str | None = None
    reported: dict[str, int] = field(default_factory=dict)
    facts: dict[str, int] = field(default_factory=dict)
    reports: int = 0
    #: Of these, how many came in a flood: they do not speak for many reporters.
    flood: int = 0
    recent: list[str] = field(default_factory=list)
    consent_partner: int = 0
    consent_authority: int = 0
    located: bool = True
    has_url: bool = False
    needs_expansion: bool = False
    #: Where it is hosted, ISO 3166-1 alpha-2; None: not known.
    hosted: str | None = None
    #: Hubs the reports came through, oldest first, each with the number of reports that name it.
    via: dict[str, int] = field(default_factory=dict)
    round: int = 1
    settled_at: datetime | None = None
    close_reason: str | None = None
    look_pending: bool = True
    overdue: bool = False
    assessment: Assessment | None = None
    decisions: list[DecisionRow] = field(default_factory=list)
    #: The earliest time by which a second person is waited for.
    confirm_due: datetime | None = None
    confirm_overdue: bool = False
    dispatches: dict[str, DispatchRow] = field(default_factory=dict)
    referrals: dict[str, ReferralRow] = field(default_factory=dict)
    claimed_by: str | None = None
    claimed_until: datetime | None = None
    attention: tuple[str, ...] = ()
    queued: bool = True
    rank: int = 2
    queue_due: datetime | None = None
    resend_at: datetime | None = None
    resends: int = 0
    #: What the hub last saw at the item's address.
    seen: WatchState | None = None
    seen_version: int = 0
    seen_at: datetime | None = None
    #: The queue it waits in, and who put it there: "pack", a rule, or a person's name.
    queue: str = ""
    routed_by: str = "pack"
    #: A case of child safety: only cleared people see it, in whatever queue it lies.
    restricted: bool = False
    #: What rules made of it: a severity it has at least, one it is eased to, the category of a
    #: known address, and a hold for the legal reviewer. An assessment overrules all but the hold.
    ruled: Severity | None = None
    eased: Severity | None = None
    classified: str | None = None
    ruled_hold: bool = False
    #: Words of rules that fired, for the desk; and the rules themselves.
    flags: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    #: Banks of known hashes in which something of a report was found, each with how many reports.
    banks: dict[str, int] = field(default_factory=dict)
    #: What the machine would call it, and the constant words why; never more than a suggestion.
    suggested: str | None = None
    suggested_why: tuple[str, ...] = ()
    #: Reports of the same wording, across cases.
    campaign: str | None = None
    #: Who holds the address, as far as an offline source tells.
    hoster: str | None = None
    #: Who follows the case over days, what is planned (sealed), and when to look again.
    owner: str | None = None
    plan: str | None = None
    next_at: datetime | None = None
    #: People who passed it on in this round.
    skipped: tuple[str, ...] = ()
    #: The case this one is worked with; None: it leads itself.
    lead: str | None = None
    #: The cases worked with this one.
    followers: dict[str, Follower] = field(default_factory=dict)
    #: One of those it is worked with is of child safety.
    group_restricted: bool = False
    #: Restricted at this time by what it was worked with or split from; so it stays until somebody
    #: cleared has assessed it since.
    restricted_since: datetime | None = None
    #: How often reports were split off.
    splits: int = 0
    #: Pages sent for it, so that nobody is woken twice for the same.
    paged: tuple[str, ...] = ()
    #: Nothing of it is deleted while a legal hold stands.
    held: bool = False
    #: When retention looks at the case next; None: not while it is open or held.
    erase_at: datetime | None = None
    audit_seq: int = 0
    audit_hash: str = ""
    audit_at: datetime | None = None

    # -- reports ---------------------------------------------------------------------------

    def join(
        self,
        report_id: str,
        category: str | None,
        facts: Iterable[str],
        *,
        consent_partner: bool,
        consent_authority: bool,
        via: Iterable[str] = (),
        banks: Iterable[str] = (),
        flood: bool = False,
    ) -> None:
        """Count one more report. A fact an analyst had dismissed counts again, being new."""
        self.reports += 1
        self.flood += flood
        self.recent = [*self.recent[-(RECENT - 1) :], report_id]
        if category is not None:
            self.reported[category] = self.reported.get(category, 0) + 1
        for fact in facts:
            self.facts[fact] = self.facts.get(fact, 0) + 1
        for hub in via:
            self.via[hub] = self.via.get(hub, 0) + 1
        for bank in banks:
            self.banks[bank] = self.banks.get(bank, 0) + 1
        self.consent_partner += consent_partner
        self.consent_authority += consent_authority
        if self.assessment is not None and self.assessment.dismissed:
            kept = tuple(d for d in self.assessment.dismissed if d not in facts)
            self.assessment.dismissed = kept

    def leave(
        self,
        report_id: str,
        category: str | None,
        facts: Iterable[str],
        *,
        consent_partner: bool,
        consent_authority: bool,
        via: Iterable[str] = (),
        banks: Iterable[str] = (),
        flood: bool = False,
    ) -> None:
        """The exact opposite of :meth:`join`."""
        self.reports -= 1
        self.flood -= flood
        self.recent = [r for r in self.recent if r != report_id]
        if category is not None:
            self.reported[category] -= 1
            if not self.reported[category]:
                del self.reported[category]
        for fact in facts:
            self.facts[fact] -= 1
            if not self.facts[fact]:
                del self.facts[fact]
        for hub in via:
            self.via[hub] -= 1
            if not self.via[hub]:
                del self.via[hub]
        for bank in banks:
            self.banks[bank] -= 1
            if not self.banks[bank]:
                del self.banks[bank]
        self.consent_partner -= consent_partner
        self.consent_authority -= consent_authority

    # -- what follows from the facts -------------------------------------------------------

    def signals(self, scales: Scales) -> frozenset[Signal]:
        found = scales.signals(self.facts, self.reports - self.flood) | item_signals(
            has_url=self.has_url, needs_expansion=self.needs_expansion
        )
        if self.assessment is not None:
            found |= {Signal(s) for s in self.assessment.confirmed}
            found -= {Signal(s) for s in self.assessment.dismissed}
        return found

    def weigh(self, pack: CountryPack, scales: Scales, now: datetime) -> bool:
        """Category and severity from the facts, the clock hastened where it rose. True if it
        moved.
        """
        weight = self.weight(scales)
        severity = self._by_rules(weight.severity)
        moved = severity is not self.severity
        if self.version and self.look_pending and severity.rank > self.severity.rank:
            due = clocks.hastened(pack, self.first_look_due, severity, now)
            if due < self.first_look_due:
                self.first_look_due, self.overdue = due, False
        self.severity, self.category = severity, weight.category
        self.because = weight.result.because
        self.legal_review = weight.result.legal_review or self.ruled_hold
        return moved

    def weight(self, scales: Scales) -> Weight:
        """What the taxonomy alone makes of it."""
        assessed = self.assessment.category if self.assessment else self.classified
        return scales.weigh(self.reported, self.signals(scales), assessed)

    def apply(self, rules: Iterable[str], severity: Severity, before: Severity) -> None:
        """What rules said to one report. ``before``: the taxonomy's. What one report raised stays
        raised whatever the next one says; what is eased is asked anew each time.
        """
        self.rules = tuple(dict.fromkeys((*self.rules, *rules)))
        if severity.rank > before.rank:
            self.ruled = max(self.ruled or severity, severity, key=lambda s: s.rank)
        self.eased = severity if severity.rank < before.rank else None

    def _by_rules(self, severity: Severity) -> Severity:
        if self.assessment is not None:
            return severity
        if self.ruled is not None:
            return max(self.ruled, severity, key=lambda s: s.rank)
        return min(self.eased or severity, severity, key=lambda s: s.rank)

    def place(self, pack: CountryPack, now: datetime) -> None:
        """Where in the queue the case stands: child safety, then other critical cases, then the
        rest; among equals the oldest due time first.
        """
        due: datetime | None = None
        if self.state in (CaseState.OPEN, CaseState.ASSESSED):
            due = self.first_look_due
        elif self.state is CaseState.SECOND_LOOK:
            due = self.confirm_due
        elif self.look_pending and self.state not in CASE.settled:
            due = self.first_look_due
        if self.confirm_due is not None:
            due = min(due, self.confirm_due) if due else self.confirm_due
        if self.attention and due is None:
            due = self.queue_due or clocks.feedback_due(pack, self.severity, now)
        # A case that leads is as urgent as the most urgent of those worked with it.
        dues = [f.due for f in self.followers.values() if f.due is not None]
        due = min([*dues, due] if due else dues, default=None)
        # A case that follows another is worked there, until something calls for its own look.
        alone = self.lead is None or bool(self.attention) or bool(self.pending())
        self.queued, self.queue_due = due is not None and alone, due
        if self.routed_by == "pack":
            self.queue = pack.desk.queue_of(self.category)
        self.restricted = self.group_restricted or self.restricted_itself(pack)
        child = Signal.MINOR_VICTIM in self.facts or self._about_children(pack)
        critical = self.severity is Severity.CRITICAL
        own = 0 if critical and child else 1 if critical else 2
        self.rank = min([own, *(f.rank for f in self.followers.values())])
        self.erase_at = retention.first_look(pack, self.at_rest, held=self.held)

    @property
    def at_rest(self) -> datetime | None:
        """Since when nobody has anything to do with it; None: somebody has."""
        waits = self.attention or self.confirm_due is not None or self.next_at is not None
        return None if waits or self.state not in CASE.settled else self.settled_at

    def restricted_itself(self, pack: CountryPack) -> bool:
        """Whether it is for cleared people whatever it is worked with."""
        since, said = self.restricted_since, self.assessment
        kept = since is not None and (said is None or said.at <= since)
        return kept or self._about_child_safety(pack)

    def stay_restricted(self, now: datetime) -> None:
        """Before reports or cases part: who may not see it now does not see it afterwards."""
        if self.restricted:
            self.restricted_since = now

    def _about_child_safety(self, pack: CountryPack) -> bool:
        """Child safety as anybody says it: a reporter, the machine, the assessment. It stays so
        until somebody cleared assesses the case as something else, and again when a later report
        says it anew.
        """
        said = self.assessment
        spoken_of = {*self.reported, self.suggested, self.category}
        if said is not None:
            spoken_of = {said.category, *(c for c in self.reported if c not in said.over)}
        return any(c in pack.desk.restricted for c in spoken_of)

    def _about_children(self, pack: CountryPack) -> bool:
        known = pack.categories.get(self.category) if self.category else None
        return known is not None and known.group == "children"

    def raise_flag(self, why: Attention) -> None:
        if why not in self.attention:
            self.attention = (*self.attention, why.value)

    # -- state -----------------------------------------------------------------------------

    def move(self, trigger: str, now: datetime) -> None:
        """The next state of the lifecycle. Raises IllegalTransition."""
        before, self.state = self.state, CASE.move(self.state, trigger)
        if self.state in CASE.settled:
            if before not in CASE.settled:
                self.settled_at = now
            self.look_pending = False
            self.resend_at = None
        elif before in CASE.settled:
            self.settled_at = self.close_reason = None

    def reopen(self, pack: CountryPack, now: datetime) -> None:
        """A new round: a new first look and new requests, whose ids cannot meet those of old
        rounds.
        """
        self.move("reopen", now)
        self.round += 1
        self.round_at = now
        self.look_pending, self.overdue = True, False
        self.first_look_due = clocks.first_look_due(pack, self.severity, now)
        self.assessment = None
        self.skipped = ()
        self.await_second()

    def end(self, reason: str) -> None:
        """What a closed case no longer waits for."""
        self.close_reason, self.attention = reason, ()
        for row in self.pending():
            row.second_due = None
        self.await_second()

    def settled_on_merits(self) -> bool:
        """Closed by a person's judgement: more of the same reports do not ask it again."""
        return self.state is CaseState.CLOSED and self.close_reason not in (None, "withdrawn")

    def pending(self) -> list[DecisionRow]:
        """Decisions that a second person has not looked at yet. What has left already is looked at
        whatever round has begun since; a proposal of an earlier round is void.
        """
        return [
            d
            for d in self.decisions
            if d.second_due is not None
            and d.confirmed is None
            and (d.round == self.round or d.four_eyes is FourEyes.POST)
        ]

    @property
    def upheld(self) -> bool | None:
        """Whether people judged that there was something to act on, as far as it stands today.
        None: they have not judged, or could not tell.
        """
        waits = {d.id for d in self.pending() if d.four_eyes is not FourEyes.POST}
        stands = [
            d
            for d in self.decisions
            if not d.automatic
            and d.id not in waits
            and d.reversed_by is None
            and d.confirmed is not False
        ]
        if any(d.action in (Action.DISPATCH, Action.REFER) for d in stands):
            return True
        unfounded = any(d.close_reason in _UNFOUNDED for d in stands)
        return False if unfounded else None

    def worked_by(self, person: str) -> bool:
        """Whether the person assessed it, or had a part in a decision about it."""
        people = {self.assessment.by} if self.assessment else set()
        for d in self.decisions:
            people |= {d.by, *(j.by for j in d.judgements)} | ({d.second} if d.second else set())
        return person in people

    def await_second(self) -> None:
        """Bring the confirmation's clock in line with what is pending."""
        due = min((d.second_due for d in self.pending() if d.second_due), default=None)
        if due != self.confirm_due:
            self.confirm_due, self.confirm_overdue = due, False

    # -- dispatches ------------------------------------------------------------------------

    def may_look(self, pack: CountryPack, category: str) -> bool:
        """Whether a machine may look at the item: never where anybody spoke of a child."""
        spoken_of = {category, self.category or category, *self.reported}
        child = {Signal.MINOR_VICTIM, Signal.UNDER_13} & {Signal(f) for f in self.facts}
        return self.has_url and not child and all(may_fetch(pack, c) for c in spoken_of)

    @property
    def asked_back(self) -> bool:
        """Nothing that was asked stands: that the item is online again is what is wanted."""
        rows = self.dispatches.values()
        return bool(rows) and all(r.withdrawn is not None for r in rows)

    def tried(self) -> frozenset[Measure]:
        """What partners were asked for, in any round, without effect."""
        rows = (r for r in self.dispatches.values() if r.state in _WITHOUT_EFFECT)
        return frozenset(r.measure for r in rows if r.measure is not None)

    def settle(self, now: datetime) -> bool:
        """Resolve or give up as the ledger's rows of this round say. True if the state changed."""
        rows = [r for r in self.dispatches.values() if r.round == self.round]
        acted = any(
            r.withdrawn is None
            and r.state in ACTED
            and (r.changed_at or self.round_at) >= self.round_at
            for r in self.dispatches.values()
        )
        before = self.state
        if acted and CASE.allows(self.state, "resolve"):
            self.move("resolve", now)
        elif (
            rows
            and not acted
            and self.state is CaseState.IN_PROGRESS
            and all(r.state in DISPATCH.settled for r in rows)
        ):
            self.move("give_up", now)
        return self.state is not before

    def plan_resend(self, now: datetime, every: timedelta) -> None:
        """When to ask again, because nothing says that the gateway knows of a request."""
        waiting = any(r.revision > r.known for r in self.dispatches.values()) or (
            self.state is CaseState.IN_PROGRESS
            and (
                any(r.state is DispatchState.REQUESTED for r in self.dispatches.values())
                or any(r.state is ReferralState.REQUESTED for r in self.referrals.values())
            )
        )
        if not waiting:
            self.resend_at, self.resends = None, 0
        elif self.resend_at is None:
            self.resend_at = now + every

    def claimed_by_other(self, person: str, now: datetime) -> bool:
        return (
            self.claimed_by not in (None, person)
            and self.claimed_until is not None
            and self.claimed_until > now
        )

    def held_by(self, person: str, now: datetime) -> bool:
        return (
            self.claimed_by == person
            and self.claimed_until is not None
            and self.claimed_until > now
        )
