# SPDX-License-Identifier: Apache-2.0
"""A gateway on a store in memory, with a partner that does as it is told."""

import asyncio
import json
import logging
from collections import Counter
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from types import SimpleNamespace

import httpx
import pytest
import uvicorn
from wasl_chassis.failures import Conflict, Retryable
from wasl_chassis.metrics import Metrics
from wasl_chassis.testing import FakeClock, MemoryStore
from wasl_chassis.vault import KEYS, Vault
from wasl_chassis.work import UnitOfWork
from wasl_connector_sdk import (
    AmbiguousOutcome,
    Connector,
    ConnectorConfig,
    CredentialsRejected,
    Idempotency,
    InvalidSubmission,
    Manifest,
    Measure,
    Outcome,
    RateLimited,
    Receipt,
    Runtime,
    StatusUpdate,
    SubmissionRefused,
    TransientError,
)
from wasl_platform_gateway.bootstrap import plan_of
from wasl_platform_gateway.calling import Tuning
from wasl_platform_gateway.dispatch import Dispatcher
from wasl_platform_gateway.domain.lane import Breaker
from wasl_platform_gateway.domain.ledger import no_reminders
from wasl_platform_gateway.door import Door
from wasl_platform_gateway.handlers import AnswerHandlers, DeskHandlers, RequestHandlers
from wasl_platform_gateway.metrics import METRICS
from wasl_platform_gateway.repository import LANES, LEDGER
from wasl_schemas.envelope import Event
from wasl_schemas.events.common import Ground
from wasl_schemas.events.dispatch_requested_v1 import DispatchItem, DispatchRequestedV1
from wasl_schemas.events.dispatch_updated_v1 import DispatchChange, DispatchUpdatedV1
from wasl_schemas.ids import uuid7
from wasl_schemas.lifecycle import DISPATCH
from wasl_schemas.topics import DISPATCH_UPDATED_V1, dispatch_requested_v1

SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


class Hub:
    """What a service is to the loop, in memory. ``trouble``: errors of the next commits."""

    def __init__(self, store=None, clock=None):
        self.store = store or MemoryStore()
        self.clock = clock or FakeClock()
        self.metrics = Metrics(METRICS)
        self.vault = Vault({"m1": b"0" * 32})
        self.trouble = []

    def unit(self):
        return UnitOfWork(self.store, self.clock, "/wasl/platform-gateway", self.vault)

    async def commit(self, uow):
        await asyncio.sleep(0)
        if self.trouble:
            error = self.trouble.pop(0)
            if error is not None:
                raise error
        await self.store.commit(uow.changes())

    async def submit(self, uow):
        await self.commit(uow)


class FakePartner:
    """Does what ``script`` says for each submission, then ``usual``; counts its reports by key."""

    def __init__(self, *, honours_keys=True):
        self.honours_keys = honours_keys
        self.script = []
        self.usual = "ok"
        self.reports = Counter()
        self.calls = []
        self.outcome = Outcome.PENDING
        self.answers = {}
        self.submissions = []
        self.running = 0
        self.most_running = 0
        self.before_answer = None

    def reference(self, key):
        return f"ref-{key}"

    def _take(self, key):
        if not (self.honours_keys and self.reports[key]):
            self.reports[key] += 1

    async def submit(self, submission):
        key = submission.idempotency_key
        self.calls.append(("submit", key))
        self.submissions.append(submission)
        what = self.script.pop(0) if self.script else self.usual
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await asyncio.sleep(0)
            return await self._do(what, key)
        finally:
            self.running -= 1

    async def _do(self, what, key):
        if what in {"ok", "taken, answer lost", "bug after", "hang after"}:
            self._take(key)
        if self.before_answer is not None:
            await self.before_answer(key)
        if what.startswith("hang"):
            await asyncio.Event().wait()
        errors = {
            "transient": TransientError(reason="http_503"),
            "later": TransientError(reason="http_503", retry_after=500),
            "taken, answer lost": AmbiguousOutcome(reason="no_answer"),
            "lost": AmbiguousOutcome(reason="no_answer"),
            "rate": RateLimited(retry_after=30),
            "auth": CredentialsRejected(),
            "refused": SubmissionRefused(code="out_of_scope"),
            "invalid": InvalidSubmission(reason="http_400"),
            "bug after": KeyError("CANARY-IN-A-BUG"),
        }
        if what in errors:
            raise errors[what]
        return Receipt(reference=self.reference(key), outcome=self.outcome)


def make_connector(
    partner, *, idempotency=Idempotency.NATIVE_KEY, lookup=False, polling=False, accepts=None
):
    """A connector class with exactly these abilities, talking to ``partner``."""

    class Fake(Connector[ConnectorConfig]):
        manifest = Manifest(
            name="fake",
            title="Fake",
            docs="docs/fake.md",
            idempotency=idempotency,
            accepts=accepts,
            measures=frozenset(Measure),
            retry_seconds=(2, 10, 30),
            poll_seconds=(5, 60),
        )
        Config = ConnectorConfig

        @classmethod
        @asynccontextmanager
        async def open(cls, config, rt):
            yield cls()

        async def check(self):
            partner.calls.append(("check", ""))

        async def submit(self, submission):
            return await partner.submit(submission)

    async def find(self, idempotency_key):
        partner.calls.append(("find", idempotency_key))
        if partner.reports[idempotency_key]:
            return Receipt(reference=partner.reference(idempotency_key))
        return None

    async def status(self, reference):
        partner.calls.append(("status", reference))
        answer = partner.answers.get(reference, Outcome.PENDING)
        if isinstance(answer, Exception):
            raise answer
        return StatusUpdate(reference=reference, outcome=answer)

    if lookup:
        Fake.find = find
    if polling:
        Fake.status = status
    return Fake


class Gateway:
    """One replica; give another one the same ``hub.store`` to have two."""

    def __init__(
        self,
        connector,
        *,
        config=None,
        hub=None,
        rate=None,
        tuning=None,
        http=None,
        timeout=5.0,
        reminder=no_reminders,
        due=lambda _data, now: now,
    ):
        self.hub = hub or Hub()
        self.clock = self.hub.clock
        self.store = self.hub.store
        self.stopped = False
        manifest = connector.manifest
        config = config or connector.Config()
        self.plan = plan_of(
            connector, config, lambda _severity, start: start + timedelta(days=14), reminder
        )
        self.tuning = tuning or Tuning(
            batch=50, concurrency=8, breaker=Breaker(threshold=5, cooldown=timedelta(seconds=5))
        )
        self.door = Door(
            connector,
            config,
            Runtime(http or httpx.AsyncClient(), self.clock, logging.getLogger("test")),
            clock=self.clock,
            metrics=self.hub.metrics,
            call_timeout=timeout,
        )
        self.dispatcher = Dispatcher(
            self.hub,
            self.door,
            self.plan,
            self.tuning,
            rate=rate,
            ground_text=lambda row: f"about {row.ground_ref}",
            stopping=lambda: self.stopped,
            jitter=lambda: 0.0,
        )
        self.requests = RequestHandlers(manifest.name, due, self.dispatcher.poke)
        self.answers = AnswerHandlers(self.hub, self.door, self.plan)
        self.desk = DeskHandlers(self.hub, self.door, self.plan)

    async def request(self, *ids, partner="acme", **changes):
        """A batch of requests, as the consumer hands them over."""
        spec = dispatch_requested_v1(self.door.name)
        uow = self.hub.unit()
        for number in ids:
            case = f"case-{number:04}"
            await self._key(uow, case)
        await self.hub.store.commit(uow.changes())
        uow = self.hub.unit()
        events = []
        for number in ids:
            case = f"case-{number:04}"
            item = DispatchItem(
                location=f"https://example.org/CANARY-LOCATION/{number}",
                platform="web",
                kind="post",
                explanation="The hub's reasons.",
            )
            data = DispatchRequestedV1(
                **{
                    "dispatch_id": f"dispatch-{number:04}",
                    "case_id": case,
                    "connector": self.door.name,
                    "partner": partner,
                    "category": "defamation",
                    "severity": "medium",
                    "ground": Ground(kind="law", ref="law.1"),
                    "scope": "MA",
                    "language": "ar",
                    "automatic": False,
                    "requested_at": self.clock.now(),
                    "due": self.clock.now() + timedelta(hours=4),
                    "item": await uow.keys.seal(case, "case.item", item.model_dump_json()),
                    **changes,
                }
            )
            events.append(self._event(spec, data))
        await self.requests.prefetch_requests(events, uow)
        results = [await self.requests.on_dispatch_requested(e, uow) for e in events]
        await self.hub.store.commit(uow.changes())
        return results

    def _event(self, spec, data):
        return Event[DispatchRequestedV1](
            id=uuid7(),
            source="/wasl/triage",
            type=spec.type,
            subject="case/x",
            time=self.clock.now(),
            recordedtime=self.clock.now(),
            dataschema=spec.schema_urn,
            dataclassification="restricted",
            partitionkey=data.case_id,
            correlationid=data.case_id,
            data=data,
        )

    async def _key(self, uow, case):
        if not await self.store.read(KEYS, (case,)):
            uow.keys.create(case)

    async def destroy_key(self, case):
        uow = self.hub.unit()
        await uow.keys.destroy(case)
        await self.hub.store.commit(uow.changes())

    async def run(self):
        """Until every lane has nothing left to do now; a database that is away is tried later."""
        for _ in range(2):
            self.dispatcher.poke()
            with suppress(Retryable):
                await self.dispatcher.tick()
            await self.dispatcher.drain()

    async def run_for(self, seconds, step=1.0):
        for _ in range(int(seconds / step)):
            await self.run()
            self.clock.advance(timedelta(seconds=step))
        await self.run()

    def row(self, number):
        doc = self.store.docs["ledger"][f"dispatch-{number:04}"]
        return LEDGER.decode(doc)

    def lane(self, partner="acme"):
        return LANES.decode(self.store.docs["lanes"][f"{self.door.name}:{partner}"])

    def states(self):
        return Counter(doc["state"].value for doc in self.store.docs.get("ledger", {}).values())

    def told(self, number=None):
        """The states other services heard of, in order; checks that the sequence is legal."""
        told = {k: [d.state.value for d in v] for k, v in self._histories().items()}
        return told if number is None else told.get(f"dispatch-{number:04}", [])

    def news(self, number):
        """What other services heard of one dispatch, by version."""
        return self._histories().get(f"dispatch-{number:04}", [])

    def _histories(self):
        rows = [r for r in self.store.outbox.values() if r.topic == DISPATCH_UPDATED_V1.name]
        histories = {}
        for outgoing in rows:
            data = DispatchUpdatedV1.model_validate(json.loads(outgoing.value)["data"])
            histories.setdefault(data.dispatch_id, []).append(data)
        for history in histories.values():
            # What is asked for again is told again, word for word.
            history[:] = {d.version: d for d in history if _same(d, history)}.values()
            history.sort(key=lambda d: d.version)
            assert [d.version for d in history] == list(range(1, len(history) + 1))
            state = DISPATCH.initial
            for data in history:
                if data.change is not DispatchChange.STATE:
                    assert data.state == state, "news without another state"
                    continue
                assert any(s.state == state and s.to == data.state for s in DISPATCH.steps), (
                    state,
                    data.state,
                )
                state = data.state
        return histories


def _same(data, history):
    # A revision that changed nothing else is made known with the old version.
    same = [d.model_copy(update={"revision": 0}) for d in history if d.version == data.version]
    assert all(d == same[0] for d in same)
    return True


@pytest.fixture
def kit():
    """The classes above, since test modules cannot import each other."""
    return SimpleNamespace(
        Hub=Hub,
        FakePartner=FakePartner,
        Gateway=Gateway,
        make_connector=make_connector,
        serve=serve,
        SECRET=SECRET,
        Retryable=Retryable,
        Conflict=Conflict,
    )


@asynccontextmanager
async def serve(app):
    """The application on a real loopback port; yields its address."""
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            host="127.0.0.1",
            port=0,
            log_level="critical",
            lifespan="off",
            ws="none",
            http="httptools",
            timeout_graceful_shutdown=1,
        )
    )
    server.install_signal_handlers = lambda: None
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
