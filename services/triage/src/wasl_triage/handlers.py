# SPDX-License-Identifier: Apache-2.0
"""What triage does when others tell it something, and when time passes.

A report opens or joins the case of each item it names; a replay changes nothing; a withdrawal
leaves. Topics keep no common order, so every handler also copes with the event that should have
come before. No handler reads an item's address or a reporter's words into a log, a metric or an
error.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from pydantic import ValidationError
from wasl_chassis.failures import Conflict, Outcome, Permanent
from wasl_chassis.store import Collection
from wasl_chassis.vault import KEYS
from wasl_chassis.work import UnitOfWork
from wasl_schemas import topics
from wasl_schemas.country_pack import AutomaticRule, CountryPack
from wasl_schemas.envelope import Event
from wasl_schemas.events.case_opened_v1 import CaseOpenedV1
from wasl_schemas.events.case_updated_v1 import REAPPEARED, CaseChange
from wasl_schemas.events.common import Severity
from wasl_schemas.events.dispatch_requested_v1 import DispatchItem
from wasl_schemas.events.dispatch_updated_v1 import DispatchChange, DispatchUpdatedV1
from wasl_schemas.events.item_observed_v1 import ItemObservedV1
from wasl_schemas.events.referral_updated_v1 import ReferralUpdatedV1
from wasl_schemas.events.report_submitted_v1 import ReportContent, ReportSubmittedV1
from wasl_schemas.events.report_withdrawn_v1 import ReportWithdrawnV1
from wasl_schemas.events.reporter_message_sent_v1 import ReporterMessageSentV1
from wasl_schemas.ids import uuid7
from wasl_schemas.lifecycle import (
    ACTED,
    CASE,
    CaseState,
    DispatchState,
    ReferralState,
    WatchState,
)
from wasl_schemas.rules import Dispatch
from wasl_schemas.taxonomy import FourEyes, Signal

from wasl_triage import campaigns
from wasl_triage import metrics as measure
from wasl_triage.audit.trail import audit
from wasl_triage.campaigns import SKETCHES, Copies
from wasl_triage.care.paging import Why, page
from wasl_triage.cases.appeals import APPEALS
from wasl_triage.cases.grouped import keep_together
from wasl_triage.cases.opinions import OPINIONS
from wasl_triage.cases.turnout import Turnouts
from wasl_triage.casework import (
    CONTENT,
    ITEM,
    Hub,
    Requests,
    announce,
    count_in,
    count_out,
    opened,
)
from wasl_triage.deriving import Derived, Deriver
from wasl_triage.domain import clocks, hosting
from wasl_triage.domain.appeal import AppealState
from wasl_triage.domain.case import (
    CLOCK,
    MACHINE,
    Action,
    Attention,
    Case,
    DecisionRow,
    item_signals,
)
from wasl_triage.domain.decisions import law_version, route_for
from wasl_triage.domain.facts import Facts, domains, moment
from wasl_triage.domain.itemkey import Item
from wasl_triage.domain.severity import Scales
from wasl_triage.domain.signals import Circumstances, Sketch, reporter_words
from wasl_triage.repository import CASES, MESSAGES, PAST, REPORTS, Message, Past, Report
from wasl_triage.rules.engine import Outcome as Ruling
from wasl_triage.rules.engine import RuleSet
from wasl_triage.rules.memory import forget, remember

log = logging.getLogger(__name__)

#: Facts that bring a case back to a person when a later report is the first to state them.
GRAVE = frozenset(
    {Signal.IMMEDIATE_DANGER, Signal.SELF_HARM_IN_TEXT, Signal.MINOR_VICTIM, Signal.UNDER_13}
)
_FLAGS = {
    DispatchChange.REPLIED: Attention.PARTNER_WROTE,
    DispatchChange.REMINDER_DUE: Attention.REMINDER_DUE,
    DispatchChange.CORRECTION_DUE: Attention.CORRECTION_DUE,
    DispatchChange.WITHDRAWAL_DUE: Attention.WITHDRAWAL_DUE,
}
#: What waits for somebody's answer, and by when.
_AWAITED: Mapping[str, tuple[Collection[Any], Mapping[str, Any]]] = {
    "appeal": (APPEALS, {"state": AppealState.OPEN.value}),
    "opinion": (OPINIONS, {"open": True}),
}
_OPEN_STATES = tuple(s for s in CaseState if s not in CASE.settled and s is not CaseState.UNKNOWN)
_PAGE = 200
#: Under which a prefetch leaves the candidates of a batch's sketches.
_CANDIDATES = "campaigns.candidates"
#: Cases of a campaign that are told when one more report joins it.
_TOLD = 20


class TriageHandlers:
    def __init__(
        self,
        hub: Hub,
        pack: CountryPack,
        requests: Requests,
        deriver: Deriver,
        rules: Callable[[], RuleSet],
    ) -> None:
        """``rules``: the set that is served now."""
        self._hub = hub
        self._pack = pack
        self._requests = requests
        self._scales = Scales(pack)
        self._deriver = deriver
        self._rules = rules
        self._turnouts = Turnouts(hub)

    # -- reports arrive --------------------------------------------------------------------

    async def prefetch_reports(
        self, events: Sequence[Event[ReportSubmittedV1]], uow: UnitOfWork
    ) -> None:
        """Keys, reports, cases and new cases' keys: one query each for the whole batch."""
        ids = [e.data.report_id for e in events]
        await uow.keys.load(ids)
        await uow.load(REPORTS, ids)
        wanted: list[str] = []
        drawn: dict[str, Sketch] = {}
        for event in events:
            known = await uow.get(REPORTS, event.data.report_id)
            if known is None or known.awaited:
                reading = await self._read(event.data, uow)
                uow.memo[event.id] = reading
                if reading is not None:
                    wanted += [case_id for case_id, _ in reading.items]
                    if reading.sketch is not None:
                        drawn[event.data.report_id] = reading.sketch
            else:
                wanted += known.cases
        await uow.load(CASES, wanted)
        await uow.load(KEYS, [c for c in wanted if await uow.get(CASES, c) is None])
        await uow.load(SKETCHES, drawn)
        uow.memo[_CANDIDATES] = await campaigns.candidates(self._hub.store, drawn)

    async def on_report_submitted(
        self, event: Event[ReportSubmittedV1], uow: UnitOfWork
    ) -> Outcome | None:
        """Join or open the case of each item the report names."""
        data = event.data
        known = await uow.get(REPORTS, data.report_id)
        if known is not None and not known.awaited:
            withdrawn = known.withdrawn_at is not None
            measure.record_report(
                self._hub.metrics, "withdrawn_before" if withdrawn else "repeated"
            )
            await self._say_again(uow, known)
            return Outcome.STALE
        if event.id in uow.memo:
            reading: Derived | None = uow.memo.pop(event.id)
        else:
            reading = await self._read(data, uow)
        report = _report(data, reading)
        uow.put(REPORTS, report)
        if reading is None:
            measure.record_report(self._hub.metrics, "erased")
            return None
        for reason in reading.refused:
            measure.record_refused(self._hub.metrics, reason)
        copies = await self._copies(uow, data, reading)
        for case_id, item in reading.items:
            case = await uow.get(CASES, case_id)
            before = None if case is None else case.severity
            again = case is not None and self._reopens(case, data, reading)
            if case is None:
                case = await self._new(uow, case_id, item, data)
            count_in(self._pack, case, report)
            self._suggest(case, reading)
            if copies is not None:
                case.campaign = copies.campaign
            if known is not None:
                case.raise_flag(Attention.REPORTER_MESSAGE)
            outcome = await self._apply_rules(uow, case, item, data, reading, copies)
            if before is None:
                self._opened(uow, case, data)
            else:
                self._joined(uow, case, data, before, again=again)
            self._act_automatically(uow, case, data, reading, outcome)
            case.place(self._pack, uow.now())
            if case.look_pending and case.severity is Severity.CRITICAL:
                page(uow, case, Why.CRITICAL)
            elif case.look_pending and outcome.page:
                page(uow, case, Why.RULE)
            uow.put(CASES, case)
            await self._tell_group(uow, case, joined=True)
        return None

    async def _copies(
        self, uow: UnitOfWork, data: ReportSubmittedV1, reading: Derived
    ) -> Copies | None:
        """Whether other reports say nearly the same; their cases learn of it."""
        if reading.sketch is None:
            return None
        if _CANDIDATES not in uow.memo:
            drawn = {data.report_id: reading.sketch}
            uow.memo[_CANDIDATES] = await campaigns.candidates(self._hub.store, drawn)
        await uow.load(SKETCHES, [data.report_id])
        own = tuple(case_id for case_id, _ in reading.items)
        known = uow.memo[_CANDIDATES]
        copies = campaigns.place(uow, known, data.report_id, own, reading.sketch)
        if copies is not None:
            for case_id in copies.cases[:_TOLD]:
                other = await uow.get(CASES, case_id)
                if other is not None and other.campaign != copies.campaign:
                    other.campaign = copies.campaign
                    uow.put(CASES, other)
        return copies

    async def _apply_rules(  # noqa: PLR0917  what a report is
        self,
        uow: UnitOfWork,
        case: Case,
        item: Item,
        data: ReportSubmittedV1,
        reading: Derived,
        copies: Copies | None,
    ) -> Ruling:
        """Ask the rules about the report and its case, do what they say, keep why."""
        rules = self._rules()
        history = await self._turnouts.of(_sender(data))
        facts = self._facts(case, item, data, reading, copies, history)
        outcome = rules.evaluate(facts)
        case.apply(outcome.because, outcome.severity, Severity(facts.severity))
        case.flags = tuple(dict.fromkeys((*case.flags, *outcome.flags)))
        case.classified = outcome.category or case.classified
        case.ruled_hold |= outcome.hold
        if outcome.suggested and case.suggested is None:
            case.suggested, case.suggested_why = outcome.suggested[0], outcome.because
        if outcome.queue is not None and case.routed_by in ("pack", *case.rules):
            case.queue = outcome.queue
            case.routed_by = outcome.queued_by or "pack"
        case.weigh(self._pack, self._scales, uow.now())
        await remember(
            uow,
            self._hub.metrics,
            report_id=data.report_id,
            case_id=case.id,
            facts=facts,
            outcome=outcome,
            version=rules.version,
        )
        return outcome

    def _facts(  # noqa: PLR0917  what a report is
        self,
        case: Case,
        item: Item,
        data: ReportSubmittedV1,
        reading: Derived,
        copies: Copies | None,
        history: tuple[int, int],
    ) -> Facts:
        host = hosting.host_of(item.location) or ""
        present = case.signals(self._scales)
        # Not what the case was placed under last time: this report may be the first to say.
        weight = case.weight(self._scales)
        circumstances = Circumstances(
            channel=data.channel.value,
            partner=_sender(data),
            history=history,
            flood=data.flood,
            copy=copies is not None,
            located=case.located,
            length=reading.length,
            consent=data.consent_partner,
        )
        when: dict[str, Any] = dict(moment(self._pack, data.received_at))
        return Facts(
            category=weight.category or "",
            categories=frozenset(case.reported),
            severity=weight.severity.value,
            channel=data.channel.value,
            language=data.language,
            hint=reading.hint,
            platform=case.platform,
            kind=case.kind,
            host=host,
            domains=domains(host),
            hosted=case.hosted or "",
            hoster=case.hoster or "",
            signals=frozenset(s.value for s in present),
            personal=frozenset(reading.personal),
            reports=max(1, case.reports - case.flood),
            copies=copies.others if copies else 0,
            flood=data.flood,
            via=frozenset(data.via),
            affected=data.affected.value if data.affected else "",
            risk=frozenset(r.value for r in data.risk),
            danger=Signal.IMMEDIATE_DANGER in present,
            minor=Signal.MINOR_VICTIM in present or Signal.UNDER_13 in present,
            quality=frozenset(reporter_words(circumstances)),
            hash_banks=frozenset(reading.banks),
            **when,
        )

    async def _say_again(self, uow: UnitOfWork, report: Report) -> None:
        """A report comes again because intake never heard of a case: the broker lost the answer."""
        for case_id in report.cases:
            case = await uow.get(CASES, case_id)
            if case is not None:
                announce(uow, case, CaseChange.REPORT_JOINED, report_id=report.id)
                uow.put(CASES, case)

    async def _read(self, data: ReportSubmittedV1, uow: UnitOfWork) -> Derived | None:
        """The report opened and understood; None when its key is destroyed."""
        text = await opened(uow, data.content, CONTENT)
        if text is None:
            return None
        try:
            content = ReportContent.model_validate_json(text, extra="ignore")
        except ValidationError:
            raise Permanent("the sealed content is no report content", reason="content") from None
        return self._deriver.derive(data, content)

    async def _new(
        self, uow: UnitOfWork, case_id: str, item: Item, data: ReportSubmittedV1
    ) -> Case:
        """A case of this item, with nothing counted in yet."""
        now = uow.now()
        key = await uow.get(KEYS, case_id)
        past: Past | None = None
        if key is None:
            uow.keys.create(case_id)
        elif key.wrapped is None:
            # Erased when its time was over, a case may be opened anew; erased on purpose, never.
            past = await uow.get(PAST, case_id)
            if past is None:
                raise Permanent("the case of this item was erased", reason="case_erased")
            uow.keys.create(case_id)
        where = self._deriver.hosted(item)
        what = DispatchItem(location=item.location, platform=item.platform, kind=item.kind)
        case = Case(
            id=case_id,
            platform=item.platform,
            kind=item.kind,
            item=await uow.keys.seal(case_id, ITEM, what.model_dump_json()),
            language=data.language,
            opened_at=now,
            round_at=now,
            first_look_due=now,
            located=item.kind != "report",
            has_url="://" in item.location,
            needs_expansion=item.needs_expansion,
            hosted=where.country if where else None,
            hoster=where.holder if where else None,
        )
        if past is not None:  # others still know its numbers, and the ids of its requests
            case.version, case.round = past.version, past.round + 1
            case.audit_seq, case.audit_hash = past.audit_seq, past.audit_hash
            case.audit_at = past.audit_at
        return case

    def _opened(self, uow: UnitOfWork, case: Case, data: ReportSubmittedV1) -> None:
        case.first_look_due = clocks.first_look_due(self._pack, case.severity, case.opened_at)
        case.version += 1
        uow.emit(
            topics.CASE_OPENED_V1,
            CaseOpenedV1(
                case_id=case.id,
                version=case.version,
                report_id=data.report_id,
                category=case.category,
                severity=case.severity,
                platform=case.platform,
                item_kind=case.kind,
                opened_at=case.opened_at,
                first_look_due=case.first_look_due,
            ),
        )
        measure.record_report(self._hub.metrics, "opened")

    def _suggest(self, case: Case, reading: Derived) -> None:
        guess = reading.suggestion
        if guess.category in self._pack.categories:
            case.suggested, case.suggested_why = guess.category, guess.because
        for match in reading.matches:
            case.suggested, case.suggested_why = match.category, (f"hash_bank {match.bank}",)

    def _joined(
        self,
        uow: UnitOfWork,
        case: Case,
        data: ReportSubmittedV1,
        before: Severity,
        *,
        again: bool,
    ) -> None:
        """``again``: the report puts a settled case before a person once more."""
        now = uow.now()
        if case.severity.rank > before.rank and not case.look_pending and not again:
            case.raise_flag(Attention.GRAVER)
        announce(uow, case, CaseChange.REPORT_JOINED, report_id=data.report_id)
        if again:
            case.reopen(self._pack, now)
            case.weigh(self._pack, self._scales, now)
            announce(uow, case, CaseChange.REOPENED)
        measure.record_report(self._hub.metrics, "reappeared" if again else "joined")

    def _reopens(self, case: Case, data: ReportSubmittedV1, reading: Derived) -> bool:
        """Whether one more report puts a settled case before a person again.

        Not when the report is older than the end of the case; and a case closed on its merits is
        not judged anew for every further report, only for one that says something graver and new.
        """
        if case.state not in CASE.settled:
            return False
        if case.close_reason == "withdrawn":
            return True
        if case.settled_at is not None and data.received_at <= case.settled_at:
            return False
        if not case.settled_on_merits():
            return True
        facts = frozenset(Signal(f) for f in reading.facts)
        if any(f in GRAVE and f not in case.facts for f in facts):
            return True
        category = data.category
        if category not in self._pack.categories or category in case.reported:
            return False
        return self._scales.of(category, facts).severity.rank > case.severity.rank

    def _act_automatically(
        self,
        uow: UnitOfWork,
        case: Case,
        data: ReportSubmittedV1,
        reading: Derived,
        outcome: Ruling,
    ) -> None:
        """What the country pack lets leave before a person has looked: only from a case nobody has
        touched, only with the reporter's agreement, only once per partner and round.
        """
        if case.state is not CaseState.OPEN or not data.consent_partner:
            return
        present = {Signal(f) for f in reading.facts} | item_signals(
            has_url=case.has_url, needs_expansion=case.needs_expansion
        )
        named = [(r.id, r) for r in self._pack.automatic(data.category, data.channel, present)]
        rules: list[tuple[str, AutomaticRule | Dispatch]] = [*named, *outcome.dispatches]
        if not rules:
            return
        now = uow.now()
        second_due = clocks.confirm_due(self._pack, now)
        for rule_id, rule in rules:
            partner = self._pack.partner(rule.partner)
            route = route_for(
                self._pack,
                rule.category,
                case.platform,
                now.date(),
                hosted=case.hosted,
                via=case.via,
            )
            asked = {r.partner for r in case.dispatches.values() if r.round == case.round}
            if (
                route is None
                or partner not in route.partners
                or partner.connector not in self._requests.connectors
                or partner.id in asked
                or not case.located
            ):
                continue
            if case.state is CaseState.OPEN:
                case.move("act_automatically", now)
            confirm = FourEyes.POST if rule.confirm == "post" else FourEyes.NONE
            case.decisions.append(
                DecisionRow(
                    id=uuid7(),
                    action=Action.DISPATCH,
                    category=rule.category,
                    by=MACHINE,
                    at=now,
                    round=case.round,
                    four_eyes=confirm,
                    ground=rule.ground,
                    partners=(partner.id,),
                    scope=route.scope,
                    rule=rule_id,
                    second_due=None if confirm is FourEyes.NONE else second_due,
                    law_version=law_version(self._pack, rule.ground),
                )
            )
            audit(uow, case, MACHINE, "act_automatically", rule_id)
            announce(uow, case, CaseChange.DECIDED, ground=rule.ground)
            self._requests.dispatch(
                uow,
                case,
                partner,
                category=rule.category,
                ground=rule.ground,
                scope=route.scope,
                item=case.item,
                automatic=True,
            )
            measure.record_decision(self._hub.metrics, Action.DISPATCH, automatic=True)
        case.await_second()
        self._requests.plan(case, now)

    # -- reports leave, reporters write ----------------------------------------------------

    async def prefetch_withdrawn(
        self, events: Sequence[Event[ReportWithdrawnV1]], uow: UnitOfWork
    ) -> None:
        await self._prefetch_of_reports([e.data.report_id for e in events], uow)

    async def on_report_withdrawn(
        self, event: Event[ReportWithdrawnV1], uow: UnitOfWork
    ) -> Outcome | None:
        """The report leaves its cases; a case that rested on it alone and touched nobody closes."""
        data = event.data
        report = await uow.get(REPORTS, data.report_id)
        if report is not None and report.withdrawn_at is not None:
            return Outcome.STALE
        if report is None:
            uow.put(REPORTS, _unseen(data.report_id, data.withdrawn_at, withdrawn=True))
            return None
        for case_id in report.cases:
            case = await uow.get(CASES, case_id)
            if case is not None:
                self._leave(uow, case, report)
                uow.put(CASES, case)
                await self._tell_group(uow, case)
        await campaigns.forget(uow, report.id)
        await forget(uow, report.id, report.cases)
        gone = replace(
            report, cases=(), content=None, awaited=False, withdrawn_at=data.withdrawn_at
        )
        uow.put(REPORTS, gone)
        return None

    def _leave(self, uow: UnitOfWork, case: Case, report: Report) -> None:
        now = uow.now()
        count_out(self._pack, case, report)
        case.weigh(self._pack, self._scales, now)
        announce(uow, case, CaseChange.REPORT_LEFT, report_id=report.id)
        untouched = not case.dispatches and not case.referrals
        if case.reports == 0 and untouched and CASE.allows(case.state, "close"):
            case.move("close", now)
            case.end("withdrawn")
            announce(uow, case, CaseChange.CLOSED, reason="withdrawn")
        case.place(self._pack, now)

    async def prefetch_messages(
        self, events: Sequence[Event[ReporterMessageSentV1]], uow: UnitOfWork
    ) -> None:
        await uow.load(MESSAGES, [e.data.message_id for e in events])
        await self._prefetch_of_reports([e.data.report_id for e in events], uow)

    async def on_reporter_message(
        self, event: Event[ReporterMessageSentV1], uow: UnitOfWork
    ) -> Outcome | None:
        """Keep the message, sealed as it came, and bring the report's cases back to the desk."""
        data = event.data
        report = await uow.get(REPORTS, data.report_id)
        if report is not None and report.withdrawn_at is not None:
            return Outcome.STALE
        if await uow.get(MESSAGES, data.message_id) is not None:
            return Outcome.STALE
        uow.put(
            MESSAGES,
            Message(data.message_id, data.report_id, data.sent_at, None, False, data.body),
        )
        if report is None:
            uow.put(REPORTS, _unseen(data.report_id, data.sent_at, withdrawn=False))
            return None
        for case_id in report.cases:
            case = await uow.get(CASES, case_id)
            if case is not None:
                case.raise_flag(Attention.REPORTER_MESSAGE)
                case.place(self._pack, uow.now())
                uow.put(CASES, case)
                await self._tell_group(uow, case)
        return None

    async def _prefetch_of_reports(self, ids: Sequence[str], uow: UnitOfWork) -> None:
        await uow.load(REPORTS, ids)
        cases: list[str] = []
        for report_id in ids:
            if (report := await uow.get(REPORTS, report_id)) is not None:
                cases += report.cases
        await uow.load(CASES, cases)

    # -- answers ---------------------------------------------------------------------------

    async def prefetch_cases(
        self,
        events: Sequence[Event[DispatchUpdatedV1]]
        | Sequence[Event[ReferralUpdatedV1]]
        | Sequence[Event[ItemObservedV1]],
        uow: UnitOfWork,
    ) -> None:
        await uow.load(CASES, [e.data.case_id for e in events])

    async def on_dispatch_updated(
        self, event: Event[DispatchUpdatedV1], uow: UnitOfWork
    ) -> Outcome | None:
        """Learn the newest state of a request; end the case when the ledger says so."""
        data = event.data
        case = await self._case(uow, data.case_id)
        row = case.dispatches.get(data.dispatch_id)
        if row is None:
            raise Permanent("no such dispatch was requested", reason="unknown_dispatch")
        learned = data.revision > row.known
        row.known = max(row.known, data.revision)
        if data.version <= row.version:
            if learned:
                self._requests.plan(case, uow.now())
                uow.put(CASES, case)
            measure.record_stale(self._hub.metrics, "dispatch")
            return Outcome.STALE
        row.state, row.version, row.changed_at = data.state, data.version, data.changed_at
        row.reminders = data.reminders
        row.note_undoing()
        if (flag := _FLAGS.get(data.change)) is not None:
            case.raise_flag(flag)
        if data.state is DispatchState.DISPUTED and data.change is DispatchChange.STATE:
            case.raise_flag(Attention.DISPUTED)
        if case.settle(data.changed_at):
            announce(uow, case, CaseChange.OUTCOME, at=data.changed_at)
        elif (
            data.change is DispatchChange.STATE
            and data.state in ACTED
            and case.state not in CASE.settled
        ):
            case.raise_flag(Attention.LATE_ANSWER)
        if data.state is DispatchState.FAILED and data.change is DispatchChange.STATE:
            case.raise_flag(Attention.DISPATCH_FAILED)
        self._requests.plan(case, uow.now())
        case.place(self._pack, uow.now())
        uow.put(CASES, case)
        await self._tell_group(uow, case)
        return None

    async def on_item_observed(
        self, event: Event[ItemObservedV1], uow: UnitOfWork
    ) -> Outcome | None:
        """Learn what the hub saw. What is back opens again a case that had ended."""
        data = event.data
        case = await self._case(uow, data.case_id)
        if data.version <= case.seen_version:
            measure.record_stale(self._hub.metrics, "observation")
            return Outcome.STALE
        case.seen, case.seen_version, case.seen_at = data.state, data.version, data.changed_at
        now = uow.now()
        expected = case.asked_back
        if data.state is WatchState.REAPPEARED and not expected:
            if case.state in (CaseState.RESOLVED, CaseState.UNRESOLVED):
                case.reopen(self._pack, now)
                case.weigh(self._pack, self._scales, now)
                audit(uow, case, CLOCK, "reopen", "reappeared")
                announce(uow, case, CaseChange.REOPENED, reason=REAPPEARED)
            case.raise_flag(Attention.REAPPEARED)
        elif data.state is WatchState.CHECKING and data.claimed_gone and not expected:
            case.raise_flag(Attention.ONLINE_AFTER_REMOVAL)
        case.place(self._pack, now)
        uow.put(CASES, case)
        await self._tell_group(uow, case)
        return None

    async def on_referral_updated(
        self, event: Event[ReferralUpdatedV1], uow: UnitOfWork
    ) -> Outcome | None:
        """Learn the newest state of a referral. No referral ends a case by itself."""
        data = event.data
        case = await self._case(uow, data.case_id)
        row = case.referrals.get(data.referral_id)
        if row is None:
            raise Permanent("no such referral was requested", reason="unknown_referral")
        if data.version <= row.version:
            measure.record_stale(self._hub.metrics, "referral")
            return Outcome.STALE
        row.state, row.version = data.state, data.version
        if data.state is ReferralState.FAILED:
            case.raise_flag(Attention.REFERRAL_FAILED)
        self._requests.plan(case, uow.now())
        case.place(self._pack, uow.now())
        uow.put(CASES, case)
        await self._tell_group(uow, case)
        return None

    async def _tell_group(self, uow: UnitOfWork, case: Case, *, joined: bool = False) -> None:
        """More of the same about what was settled on its merits is no news for its group either."""
        news = bool(case.attention) or (joined and case.state not in CASE.settled)
        await keep_together(uow, self._pack, case, news=news)

    @staticmethod
    async def _case(uow: UnitOfWork, case_id: str) -> Case:
        """A request is made in the same commit as its case, so an answer always finds it."""
        case = await uow.get(CASES, case_id)
        if case is None:
            raise Permanent("no such case", reason="unknown_case")
        return case

    # -- time passes -----------------------------------------------------------------------

    async def watch(self) -> bool:
        """Mark the clocks that ran out and repeat the requests nobody confirmed. True: there is
        more.
        """
        now = self._hub.clock.now()
        overdue = {"look_pending": True, "overdue": False, "first_look_due": {"$lte": now}}
        more = await self._each(overdue, self._miss_first_look)
        unconfirmed = {"confirm_overdue": False, "confirm_due": {"$lte": now}}
        more |= await self._each(unconfirmed, self._miss_confirmation)
        more |= await self._each({"resend_at": {"$lte": now}}, self._repeat)
        return more

    async def _each(
        self,
        where: Mapping[str, Any],
        work: Callable[[UnitOfWork, Case], Awaitable[None]],
    ) -> bool:
        """``work`` on one page of cases, each in a commit of its own: who was faster keeps the
        case.
        """
        docs = await self._hub.store.find(CASES, where, limit=_PAGE)
        for doc in docs:
            uow = self._hub.unit()
            case = uow.adopt(CASES, doc)
            await work(uow, case)
            uow.put(CASES, case)
            try:
                await self._hub.commit(uow)
            except Conflict:
                continue  # changed since it was read; the next turn sees it as it is now
        return len(docs) == _PAGE

    async def _miss_first_look(self, uow: UnitOfWork, case: Case) -> None:
        case.overdue = True
        audit(uow, case, CLOCK, "first_look_missed", case.severity.value)
        if self._pack.clock(case.severity).round_the_clock:
            page(uow, case, Why.MISSED)
        measure.record_missed(self._hub.metrics, "first_look", case.severity)
        log.warning(
            "a case was not looked at in time",
            extra={"case_id": case.id, "severity": case.severity.value, "due": case.first_look_due},
        )

    async def _miss_confirmation(self, uow: UnitOfWork, case: Case) -> None:
        case.confirm_overdue = True
        audit(uow, case, CLOCK, "confirmation_missed", case.severity.value)
        measure.record_missed(self._hub.metrics, "confirmation", case.severity)
        log.warning(
            "a decision was not confirmed in time",
            extra={"case_id": case.id, "severity": case.severity.value},
        )

    async def _repeat(self, uow: UnitOfWork, case: Case) -> None:
        metrics = self._hub.metrics
        self._requests.repeat(uow, case, lambda kind: measure.record_repeated(metrics, kind))
        log.warning("requests are repeated", extra={"case_id": case.id})

    async def gauge(self) -> None:
        """The gauges that need the database: open cases by state, the oldest, the queue, and what
        waits for an answer.
        """
        store, metrics = self._hub.store, self._hub.metrics
        for state in _OPEN_STATES:
            count = await store.count(CASES, {"state": state.value})
            metrics.set("wasl_triage_open_cases", count, state=state.value)
        oldest = 0.0
        for state in _OPEN_STATES:
            first = await store.find(
                CASES, {"state": state.value}, sort=(("opened_at", 1),), limit=1
            )
            if first:
                since = first[0]["opened_at"].timestamp()
                oldest = min(oldest, since) if oldest else since
        metrics.set("wasl_triage_oldest_open_case_timestamp_seconds", oldest)
        for rank in range(3):
            waiting = await store.count(CASES, {"queued": True, "rank": rank})
            metrics.set("wasl_triage_queue_cases", waiting, rank=str(rank))
        now = self._hub.clock.now()
        for what, (collection, awaited) in _AWAITED.items():
            late = await store.count(collection, {**awaited, "due": {"$lt": now}})
            in_time = await store.count(collection, {**awaited, "due": {"$gte": now}})
            metrics.set("wasl_triage_answers_awaited", late, what=what, state="overdue")
            metrics.set("wasl_triage_answers_awaited", in_time, what=what, state="in_time")


def _sender(data: ReportSubmittedV1) -> str | None:
    """The partner a report came from: the last hub, if it came through one."""
    return data.via[-1] if data.via else None


def _report(data: ReportSubmittedV1, reading: Derived | None) -> Report:
    """The row of a report; without cases and content when it could not be opened any more."""
    return Report(
        id=data.report_id,
        received_at=data.received_at,
        channel=data.channel.value,
        language=data.language,
        hint=reading.hint if reading else "und",
        category=data.category,
        facts=reading.facts if reading else (),
        consent_partner=data.consent_partner,
        consent_authority=data.consent_authority,
        cases=tuple(case_id for case_id, _ in reading.items) if reading else (),
        content=data.content if reading else None,
        personal=reading.personal if reading else (),
        refused=reading.refused if reading else (),
        via=data.via,
        flood=data.flood,
        affected=data.affected.value if data.affected else None,
        risk=tuple(r.value for r in data.risk),
        banks=reading.banks if reading else (),
        signals_version=reading.version if reading else 0,
    )


def _unseen(report_id: str, at: datetime, *, withdrawn: bool) -> Report:
    """A row for a report that something is known of before it came."""
    return Report(
        id=report_id,
        received_at=at,
        channel="unknown",
        language="und",
        hint="und",
        category=None,
        facts=(),
        consent_partner=False,
        consent_authority=False,
        cases=(),
        content=None,
        withdrawn_at=at if withdrawn else None,
        awaited=not withdrawn,
    )
