# SPDX-License-Identifier: Apache-2.0
"""Triage on a store in memory: real handlers, real desk, real sealing; no broker, no database."""

import hashlib
import json
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime, timedelta
from functools import cache
from typing import Any, TypeVar

from wasl_chassis.failures import Conflict, Outcome
from wasl_chassis.metrics import Metrics
from wasl_chassis.testing import FakeClock, MemoryStore
from wasl_chassis.vault import Vault
from wasl_chassis.work import UnitOfWork
from wasl_schemas import topics
from wasl_schemas.base import EventData
from wasl_schemas.country_pack import CountryPack
from wasl_schemas.envelope import Event
from wasl_schemas.events.common import Channel
from wasl_schemas.events.dispatch_updated_v1 import DispatchUpdatedV1
from wasl_schemas.events.item_observed_v1 import ItemObservedV1
from wasl_schemas.events.referral_updated_v1 import ReferralUpdatedV1
from wasl_schemas.events.report_submitted_v1 import ReportContent, ReportSubmittedV1
from wasl_schemas.events.report_withdrawn_v1 import ReportWithdrawnV1
from wasl_schemas.events.reporter_message_sent_v1 import ReporterMessageSentV1
from wasl_schemas.ids import uuid7
from wasl_schemas.lifecycle import DispatchState, ReferralState, WatchState
from wasl_schemas.topics import TopicSpec
from wasl_triage.audit.trail import AUDIT, AuditRow
from wasl_triage.casework import Requests, request_id
from wasl_triage.deriving import Deriver
from wasl_triage.desk import AssessmentRequest, Confirmation, Desk, OwnJudgement
from wasl_triage.domain.case import Case
from wasl_triage.domain.decisions import Rabat
from wasl_triage.domain.people import Person, Role
from wasl_triage.domain.suggesting import Suggester
from wasl_triage.handlers import TriageHandlers
from wasl_triage.metrics import METRICS
from wasl_triage.quality.kept import Sample
from wasl_triage.repository import CASES, REPORTS, Report
from wasl_triage.rules.engine import RuleSet

T = TypeVar("T")
PEPPER = hashlib.sha256(b"tests only").digest()
RESEND = timedelta(minutes=10)
CLAIM = timedelta(minutes=20)

ANA = Person(name="analyst-1", roles=frozenset({Role.ANALYST, Role.CHILD_SAFETY}))
BEA = Person(name="analyst-2", roles=frozenset({Role.ANALYST, Role.CHILD_SAFETY}))
LEA = Person(name="legal-1", roles=frozenset({Role.LEGAL_REVIEWER, Role.CHILD_SAFETY}))
SUE = Person(name="supervisor-1", roles=frozenset({Role.SUPERVISOR, Role.CHILD_SAFETY}))


#: A test that reaches its threshold.
RABAT = Rabat(
    context="A tense week.", speaker="Widely followed.", intent="Repeated.", content="A call.",
    extent="Public.", likelihood="Near.", conclusion="reached",
)  # fmt: skip


def answers(pack: CountryPack, category: str) -> dict[str, Any]:
    """Answers that let everything leave: what the pack needs, and yes to what its laws need."""
    elements = {e for law in pack.laws.values() if category in law.categories for e in law.elements}
    return {
        q.id: q.needed or ("yes" if q.id in elements else "unsure")
        for q in pack.desk.questions_for(category)
    }


def said(pack: CountryPack, category: str, **more: Any) -> AssessmentRequest:
    """An assessment after which nothing of it stands in the way."""
    return AssessmentRequest(category=category, answers=answers(pack, category), **more)


def agreeing(pack: CountryPack, case: Case, category: str | None = None) -> Confirmation:
    """A yes to the decision that waits, from somebody who judged ``category`` apart."""
    (row,) = case.pending()
    own = None
    if category is not None:
        own = OwnJudgement(category=category, answers=answers(pack, category))
    return Confirmation(decision_id=row.id, confirm=True, assessment=own)


def _plain(value: Any) -> None:
    """Only what BSON has of its own: an enum or a tuple would come back as something else."""
    if isinstance(value, dict):
        for key, inner in value.items():
            assert type(key) is str, key
            _plain(inner)
    elif type(value) is list:
        for inner in value:
            _plain(inner)
    else:
        assert type(value) in (str, int, float, bool, datetime, type(None)), value


class Hub:
    """The part of the chassis' service that triage uses."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.clock = FakeClock()
        self.metrics = Metrics(METRICS)
        self.vault = Vault({"m1": hashlib.sha256(b"master").digest()})

    def unit(self) -> UnitOfWork:
        return UnitOfWork(self.store, self.clock, "/wasl/triage", self.vault)

    async def commit(self, uow: UnitOfWork) -> None:
        changes = uow.changes()
        for docs in changes.inserts.values():
            _plain(docs)
        for rows in changes.replaces.values():
            _plain([doc for _, _, doc in rows])
        await self.store.commit(changes)

    async def transact(self, work: Callable[[UnitOfWork], Awaitable[T]]) -> T:
        for _ in range(8):
            uow = self.unit()
            result = await work(uow)
            try:
                await self.commit(uow)
            except Conflict:
                continue
            return result
        raise Conflict


@cache
def _suggester(pack: CountryPack) -> Suggester:
    """Compiled once: every example of a pack is run when it is."""
    return Suggester(pack)


@cache
def _rules(pack: CountryPack) -> RuleSet:
    return RuleSet.compile(pack)


class World:
    """A triage service and the few things others would send it."""

    def __init__(
        self, pack: CountryPack, connectors: Iterable[str] = ("reference", "webhook")
    ) -> None:
        self.pack = pack
        self.hub = Hub()
        self.clock = self.hub.clock
        self.requests = Requests(pack, frozenset(connectors), RESEND)
        self.deriver = Deriver(pack, _suggester(pack), PEPPER)
        self.handlers = TriageHandlers(
            self.hub, pack, self.requests, self.deriver, lambda: _rules(pack)
        )
        self.desk = Desk(
            self.hub, pack, self.requests, claim_for=CLAIM, sample=Sample(pack, PEPPER)
        )
        h = self.handlers
        self._routes: dict[str, tuple[Any, Any]] = {
            topics.REPORT_SUBMITTED_V1.type: (h.on_report_submitted, h.prefetch_reports),
            topics.REPORT_WITHDRAWN_V1.type: (h.on_report_withdrawn, h.prefetch_withdrawn),
            topics.REPORTER_MESSAGE_SENT_V1.type: (h.on_reporter_message, h.prefetch_messages),
            topics.DISPATCH_UPDATED_V1.type: (h.on_dispatch_updated, h.prefetch_cases),
            topics.ITEM_OBSERVED_V1.type: (h.on_item_observed, h.prefetch_cases),
            topics.REFERRAL_UPDATED_V1.type: (h.on_referral_updated, h.prefetch_cases),
        }

    # -- what others do ----------------------------------------------------------------------------

    async def deliver(
        self, *events: Event[Any], prefetch: bool = True, inbox: bool = True
    ) -> list[Outcome | None]:
        """One batch, as the chassis hands it over. ``inbox=False``: its inbox forgot everything."""
        fresh = []
        for event in events:
            if not inbox or event.id not in {e.id for e in fresh} | self.hub.store.inbox:
                fresh.append(event)
        uow = self.hub.unit()
        if prefetch:
            for kind, (_, ahead) in self._routes.items():
                if group := [e for e in fresh if e.type == kind]:
                    await ahead(group, uow)
        outcomes = []
        for event in fresh:
            uow.cause = event
            outcomes.append(await self._routes[event.type][0](event, uow))
            if inbox:
                uow.inbox.append((event.id, uow.now()))
        await self.hub.commit(uow)
        return outcomes

    def event(self, spec: TopicSpec[Any], data: EventData) -> Event[Any]:
        now, key = self.clock.now(), getattr(data, spec.key)
        return Event(
            id=uuid7(),
            source="/wasl/test",
            type=spec.type,
            subject=f"x/{key}",
            time=now,
            recordedtime=now,
            dataschema=spec.schema_urn,
            dataclassification=spec.classification,
            partitionkey=key,
            correlationid=key,
            data=data,
        )

    async def report(
        self, *locations: str, text: str = "", report_id: str | None = None, **facts: Any
    ) -> Event[ReportSubmittedV1]:
        """A report as intake emits it; its key is in the vault, the event is not delivered."""
        report_id = report_id or uuid7()
        uow = self.hub.unit()
        uow.keys.create(report_id)
        content = ReportContent(locations=locations, narrative=text)
        sealed = await uow.keys.seal(report_id, "report.content", content.model_dump_json())
        await self.hub.commit(uow)
        values: dict[str, Any] = {
            "received_at": self.clock.now(),
            "channel": Channel.WEB,
            "language": "fr",
            **facts,
        }
        data = ReportSubmittedV1(report_id=report_id, content=sealed, **values)
        return self.event(topics.REPORT_SUBMITTED_V1, data)

    async def arrives(self, *locations: str, **facts: Any) -> str:
        """A report that is delivered at once. Returns its id."""
        event = await self.report(*locations, **facts)
        await self.deliver(event)
        return event.data.report_id

    async def withdrawal(self, report_id: str, *, destroy: bool = True) -> Event[Any]:
        if destroy:
            uow = self.hub.unit()
            await uow.keys.destroy(report_id)
            await self.hub.commit(uow)
        data = ReportWithdrawnV1(report_id=report_id, withdrawn_at=self.clock.now())
        return self.event(topics.REPORT_WITHDRAWN_V1, data)

    async def message(self, report_id: str, text: str) -> Event[Any]:
        body = await self.hub.unit().keys.seal(report_id, "report.message", text)
        data = ReporterMessageSentV1(
            message_id=uuid7(), report_id=report_id, sent_at=self.clock.now(), body=body
        )
        return self.event(topics.REPORTER_MESSAGE_SENT_V1, data)

    def answer(
        self,
        case_id: str,
        partner: str,
        version: int,
        state: DispatchState,
        round_: int = 1,
        **more: Any,
    ) -> Event[Any]:
        data = DispatchUpdatedV1(
            dispatch_id=request_id(case_id, partner, round_),
            case_id=case_id,
            version=version,
            connector=self.pack.partner(partner).connector,
            partner=partner,
            state=state,
            attempts=1,
            changed_at=self.clock.now(),
            **more,
        )
        return self.event(topics.DISPATCH_UPDATED_V1, data)

    def observed(self, case_id: str, version: int, state: WatchState, **more: Any) -> Event[Any]:
        data = ItemObservedV1(
            case_id=case_id, version=version, state=state, changed_at=self.clock.now(), **more
        )
        return self.event(topics.ITEM_OBSERVED_V1, data)

    def referral(
        self, case_id: str, authority: str, version: int, state: ReferralState
    ) -> Event[Any]:
        data = ReferralUpdatedV1(
            referral_id=request_id(case_id, authority, 1),
            case_id=case_id,
            version=version,
            authority=authority,
            state=state,
            changed_at=self.clock.now(),
        )
        return self.event(topics.REFERRAL_UPDATED_V1, data)

    # -- what tests look at --------------------------------------------------------------------------

    def emitted(self, spec: TopicSpec[Any]) -> list[Any]:
        rows = [r for r in self.hub.store.outbox.values() if r.topic == spec.name]
        return [Event[spec.data].model_validate_json(r.value).data for r in rows]

    def dispatched(self) -> list[Any]:
        return [
            d
            for c in sorted(self.requests.connectors)
            for d in self.emitted(topics.dispatch_requested_v1(c))
        ]

    def changes(self) -> list[str]:
        return [u.change.value for u in self.emitted(topics.CASE_UPDATED_V1)]

    def cases(self) -> list[Case]:
        return [CASES.decode(d) for d in self.hub.store.docs.get("cases", {}).values()]

    def case(self, case_id: str | None = None) -> Case:
        """The case of this id; without one, the only case."""
        found = [c for c in self.cases() if case_id in (None, c.id)]
        assert len(found) == 1
        return found[0]

    def reports(self) -> dict[str, Report]:
        docs = self.hub.store.docs.get("reports", {}).values()
        return {d["_id"]: REPORTS.decode(d) for d in docs}

    def audit(self, case: Case) -> list[AuditRow]:
        rows = [AUDIT.decode(d) for d in self.hub.store.docs.get("audit", {}).values()]
        return sorted((r for r in rows if r.stream == case.id), key=lambda r: r.seq)

    def case_id(self, location: str) -> str:
        return self.deriver.case_of(location)

    def everything(self) -> str:
        """Every byte that is stored or sent, but for the samples' sealed texts."""
        rows = [(r.key, r.value.decode(), str(r.headers)) for r in self.hub.store.outbox.values()]
        return json.dumps([self.hub.store.docs, rows], default=str, ensure_ascii=False)

    def count(self, name: str, **labels: str) -> float:
        return self.hub.metrics.value(name, **labels)

    def later(self, **delta: float) -> datetime:
        self.clock.advance(timedelta(**delta))
        return self.clock.now()

    async def held(self, person: Person, case_id: str | None = None) -> Case:
        """The case, claimed."""
        return await self.desk.claim(person, self.case(case_id).id)
