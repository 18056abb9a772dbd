# SPDX-License-Identifier: Apache-2.0
"""Use cases: a dispatch is requested, a partner answers, a person settles what is ambiguous."""

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, Protocol, TypeVar

from wasl_chassis.failures import Conflict, Outcome, Permanent
from wasl_chassis.work import UnitOfWork
from wasl_connector_sdk import CallbackRejected, CallbackRequest, StatusUpdate, SupportsCallbacks
from wasl_schemas.envelope import Event
from wasl_schemas.events.dispatch_requested_v1 import DispatchRequestedV1
from wasl_schemas.ids import uuid7
from wasl_schemas.lifecycle import DispatchState, IllegalTransition
from wasl_schemas.topics import DISPATCH_UPDATED_V1

from wasl_platform_gateway.dispatch import Hub, emit, record, told
from wasl_platform_gateway.domain import ledger
from wasl_platform_gateway.domain.lane import Lane, lane_id
from wasl_platform_gateway.domain.ledger import Dispatch, Plan, Said
from wasl_platform_gateway.door import Door
from wasl_platform_gateway.metrics import record_callback
from wasl_platform_gateway.repository import ANSWERS, LANES, LEDGER, Answer, by_state

T = TypeVar("T")
#: How long an answer waits for the dispatch it is about, in all.
_WAIT_FOR_DISPATCH = timedelta(minutes=30)
_LEASE = timedelta(seconds=30)
_ATTEMPTS = 12
Action = Literal["sent", "retry", "fail"]


class SharingHub(Hub, Protocol):
    async def submit(self, uow: UnitOfWork) -> None: ...


async def _transact(hub: SharingHub, work: Callable[[UnitOfWork], Awaitable[T]]) -> T:
    """Run ``work`` on a fresh unit and commit, sharing the transaction with concurrent callers.

    On Conflict again on another. Raises Retryable and Overloaded.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        uow = hub.unit()
        result = await work(uow)
        try:
            await hub.submit(uow)
        except Conflict:
            await hub.clock.sleep(0.005 * attempt)
        else:
            return result
    raise Conflict("the same dispatch keeps changing")


class RequestHandlers:
    """Takes requests into the ledger of one connector, whether or not it is paused."""

    def __init__(self, connector: str) -> None:
        self._connector = connector

    async def prefetch_requests(
        self, events: Sequence[Event[DispatchRequestedV1]], uow: UnitOfWork
    ) -> None:
        await uow.load(LEDGER, (event.data.dispatch_id for event in events))
        await uow.load(LANES, (lane_id(e.data.connector, e.data.partner) for e in events))

    async def on_dispatch_requested(
        self, event: Event[DispatchRequestedV1], uow: UnitOfWork
    ) -> Outcome | None:
        """One row of the ledger, due now. No event: that it is requested is already known.

        A request comes again because nothing was heard of it: then what is known is told again.
        """
        data = event.data
        if data.connector != self._connector:
            raise Permanent(
                f"a request for connector '{data.connector}' on the topic of '{self._connector}'",
                reason="wrong_connector",
            )
        row = await uow.get(LEDGER, data.dispatch_id)
        if row is not None:
            if row.version:
                uow.emit(DISPATCH_UPDATED_V1, told(row))
            return Outcome.STALE
        uow.put(LEDGER, ledger.requested(data, uow.now()))
        lane = lane_id(data.connector, data.partner)
        if await uow.get(LANES, lane) is None:
            uow.put(LANES, Lane(lane_id=lane, connector=data.connector, partner=data.partner))
        return None


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a callback: how many of its answers had which result."""

    applied: int = 0
    stale: int = 0
    duplicate: int = 0
    waiting: int = 0


class UnknownConnector(Exception):  # noqa: N818
    """Not the connector of this process, or one that takes no callbacks."""


class AnswerHandlers:
    """Partners' answers: each has its effect once, whatever is repeated, late or early."""

    def __init__(self, hub: SharingHub, door: Door, plan: Plan) -> None:
        self._hub = hub
        self._door = door
        self._plan = plan

    async def on_callback(self, connector: str, headers: Mapping[str, str], body: bytes) -> Taken:
        """Verify and apply. Raises UnknownConnector, CallbackRejected; then nothing was stored."""
        opened = await self._door.connector() if connector == self._door.name else None
        if not isinstance(opened, SupportsCallbacks):
            raise UnknownConnector
        now = self._hub.clock.now()
        try:
            request = CallbackRequest(headers=headers, body=body, received_at=now)
            updates = opened.parse_callback(request)
        except CallbackRejected as error:
            record_callback(self._hub.metrics, connector, f"rejected_{error.reason}")
            raise

        async def work(uow: UnitOfWork) -> tuple[list[str], list[Dispatch]]:
            results: list[str] = []
            news: list[Dispatch] = []
            for number, update in enumerate(updates):
                answer = self._answer(update, body, number)
                if await uow.get(ANSWERS, answer.answer_id) is not None:
                    results.append("duplicate")
                    continue
                answer, told = await self._apply(uow, answer)
                uow.put(ANSWERS, answer)
                results.append(answer.result)
                news += told
            return results, news

        results, news = await _transact(self._hub, work)
        record(self._hub.metrics, news)
        for result in results:
            record_callback(self._hub.metrics, connector, result)
        names = ("applied", "stale", "duplicate", "waiting")
        return Taken(**{name: results.count(name) for name in names})

    async def match_waiting(self) -> bool:
        """Try answers again that came before their dispatch was known. True: there are more."""
        limit = 100
        docs = await self._hub.store.claim(
            ANSWERS,
            {"connector": self._door.name},
            now=self._hub.clock.now(),
            lease_for=_LEASE,
            token=uuid7(),
            limit=limit,
        )
        for doc in docs:

            async def work(
                uow: UnitOfWork, key: str = doc["_id"]
            ) -> tuple[str | None, list[Dispatch]]:
                held = await uow.get(ANSWERS, key)
                if held is None or held.due_at is None:
                    return None, []
                answer, news = await self._apply(uow, held)
                uow.put(ANSWERS, answer)
                return answer.result, news

            result, news = await _transact(self._hub, work)
            record(self._hub.metrics, news)
            if result is not None and result != "waiting":
                record_callback(self._hub.metrics, self._door.name, result)
        return len(docs) == limit

    def _answer(self, update: StatusUpdate, body: bytes, number: int) -> Answer:
        about = update.event_id or hashlib.sha256(body).hexdigest()
        identity = f"{self._door.name}|{update.partner or ''}|{about}|{number}"
        return Answer(
            answer_id=hashlib.sha256(identity.encode()).hexdigest()[:32],
            connector=self._door.name,
            outcome=update.outcome.value,
            reference=update.reference,
            key=update.idempotency_key,
            reason=update.reason,
            partner=update.partner,
            not_partners=tuple(sorted(update.not_partners)),
            received_at=self._hub.clock.now(),
            result="waiting",
        )

    async def _apply(self, uow: UnitOfWork, answer: Answer) -> tuple[Answer, list[Dispatch]]:
        now = self._hub.clock.now()
        row = await self._row(uow, answer)
        settled = {"due_at": None, "lease": None, "lease_until": None}
        if row is None:
            over = now - answer.received_at >= _WAIT_FOR_DISPATCH
            wait = timedelta(seconds=min(2.0**answer.tries, 300))
            changes = {"result": "unknown"} if over else {"due_at": now + wait}
            return answer.model_copy(update={**settled, **changes, "tries": answer.tries + 1}), []
        said = Said(answer.outcome, answer.reason, answer.reference)
        steps = ledger.answered(row, said, now, self._plan)
        result = "applied" if steps else "stale"
        if steps:
            uow.put(LEDGER, steps[-1])
        return answer.model_copy(update={**settled, "result": result}), emit(uow, row, steps)

    async def _row(self, uow: UnitOfWork, answer: Answer) -> Dispatch | None:
        """The dispatch an answer is about, where the one who answered may speak about it."""
        candidates = [answer.key] if answer.key else []
        if answer.reference:
            where = {"connector": answer.connector, "reference": answer.reference}
            found = await self._hub.store.find(LEDGER, where, limit=10)
            candidates += [doc["_id"] for doc in found]
        for key in candidates:
            row = await uow.get(LEDGER, key)
            if row is None or row.connector != answer.connector:
                continue
            if answer.partner is not None and row.partner != answer.partner:
                continue
            if row.partner in answer.not_partners:
                continue
            never_sent = row.state is DispatchState.REQUESTED and row.attempts == 0
            if not never_sent:
                return row
        return None


class DeskHandlers:
    """What an operator does with dispatches no machine can settle."""

    def __init__(self, hub: SharingHub, connector: str, plan: Plan) -> None:
        self._hub = hub
        self._connector = connector
        self._plan = plan

    async def in_state(self, state: DispatchState) -> list[Dispatch]:
        return await by_state(self._hub.store, self._connector, state)

    async def resolve(
        self, dispatch_id: str, action: Action, reference: str | None
    ) -> Dispatch | None:
        """``sent``: the partner has it, as ``reference``; ``retry``: it does not; ``fail``: stop.

        None where this connector has no such dispatch. Raises IllegalTransition.
        """

        async def work(uow: UnitOfWork) -> tuple[Dispatch | None, list[Dispatch]]:
            row = await uow.get(LEDGER, dispatch_id)
            if row is None or row.connector != self._connector:
                return None, []
            if row.state not in (DispatchState.AMBIGUOUS, DispatchState.FAILED):
                raise IllegalTransition(
                    f"state '{row.state}' needs no person; 'ambiguous' and 'failed' do"
                )
            now = uow.now()
            match action:
                case "sent":
                    known = reference or row.dispatch_id
                    steps = ledger.resolved_sent(row, known, now, self._plan)
                case "retry":
                    steps = ledger.resolved_retry(row, now)
                case "fail":
                    steps = ledger.resolved_failed(row, now)
            uow.put(LEDGER, steps[-1])
            return steps[-1], emit(uow, row, steps)

        row, news = await _transact(self._hub, work)
        record(self._hub.metrics, news)
        return row
