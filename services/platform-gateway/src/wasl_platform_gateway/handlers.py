# SPDX-License-Identifier: Apache-2.0
"""Use cases: a dispatch is requested, a partner answers, a person settles what is ambiguous."""

import hashlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, Protocol, TypeVar

from wasl_chassis.failures import Conflict, KeyDestroyed, Outcome, Permanent
from wasl_chassis.vault import key_of
from wasl_chassis.work import UnitOfWork
from wasl_connector_sdk import (
    CallbackRejected,
    CallbackRequest,
    ConnectorError,
    StatusUpdate,
    SupportsCallbacks,
    SupportsInbox,
    SupportsWithdrawal,
)
from wasl_schemas.envelope import Event
from wasl_schemas.events.dispatch_requested_v1 import DispatchRequestedV1
from wasl_schemas.ids import uuid7
from wasl_schemas.lifecycle import DISPATCH, DispatchState, IllegalTransition
from wasl_schemas.topics import DISPATCH_UPDATED_V1

from wasl_platform_gateway.calling import Hub, emit, record, told
from wasl_platform_gateway.domain import ledger
from wasl_platform_gateway.domain.lane import Lane, lane_id
from wasl_platform_gateway.domain.ledger import Dispatch, Plan, Said
from wasl_platform_gateway.door import Door
from wasl_platform_gateway.metrics import record_callback, record_inbox_read
from wasl_platform_gateway.repository import (
    ANSWERS,
    CURSORS,
    LANES,
    LEDGER,
    REPLIES,
    Answer,
    Cursor,
    Reply,
    by_state,
)
from wasl_platform_gateway.wording import PACKET_FIELD

log = logging.getLogger(__name__)
T = TypeVar("T")
#: How long an answer waits for the dispatch it is about, in all.
_WAIT_FOR_DISPATCH = timedelta(minutes=30)
_LEASE = timedelta(seconds=30)
_ATTEMPTS = 12
Action = Literal["sent", "retry", "fail"]
REPLY_FIELD = "dispatch.reply"


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

    def __init__(
        self,
        connector: str,
        due: Callable[[DispatchRequestedV1, datetime], datetime],
        poke: Callable[[], None] = lambda: None,
    ) -> None:
        """``due``: when a request that came at a time may leave; ``poke``: there is work."""
        self._connector = connector
        self._due = due
        self._poke = poke

    async def prefetch_requests(
        self, events: Sequence[Event[DispatchRequestedV1]], uow: UnitOfWork
    ) -> None:
        await uow.load(LEDGER, (event.data.dispatch_id for event in events))
        await uow.load(LANES, (lane_id(e.data.connector, e.data.partner) for e in events))

    async def on_dispatch_requested(
        self, event: Event[DispatchRequestedV1], uow: UnitOfWork
    ) -> Outcome | None:
        """One row of the ledger, due now. No event: that it is requested is already known.

        A request comes again because nothing was heard of it: then what is known is told again. One
        with a higher revision replaces what was asked.
        """
        data = event.data
        if data.connector != self._connector:
            raise Permanent(
                f"a request for connector '{data.connector}' on the topic of '{self._connector}'",
                reason="wrong_connector",
            )
        row = await uow.get(LEDGER, data.dispatch_id)
        now = uow.now()
        self._poke()
        if row is not None and data.revision > row.revision:
            steps = ledger.amended(row, data, now)
            uow.put(LEDGER, steps[-1])
            if not emit(uow, row, steps) and row.version:
                uow.emit(DISPATCH_UPDATED_V1, told(steps[-1]))  # triage learns that it is known
            return None
        if row is not None:
            if row.version:
                uow.emit(DISPATCH_UPDATED_V1, told(row))
            return Outcome.STALE
        uow.put(LEDGER, ledger.requested(data, now, self._due(data, now)))
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
        self._holder = uuid7()

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

        found = [self._answer(update, body, number) for number, update in enumerate(updates)]
        return await self._take(list(zip(found, updates, strict=True)))

    async def collect(self) -> bool:
        """Read on in the connector's inbox, where it has one. True: there is more."""
        hub, name = self._hub, self._door.name
        opened = await self._door.connector()
        if not isinstance(opened, SupportsInbox):
            return False
        now = hub.clock.now()
        if not await hub.store.lease(f"inbox.{name}", self._holder, now=now, lease_for=_LEASE):
            return False
        doc = (await hub.store.read(CURSORS, (name,))).get(name)
        cursor = doc["value"] if doc else None
        try:
            inbox = await self._door.call("collect", lambda: opened.collect(cursor))
        except ConnectorError as error:
            log.warning(
                "an inbox cannot be read", extra={"connector": name, "reason": error.reason}
            )
            return False
        record_inbox_read(hub.metrics, name, hub.clock.now())
        found = [self._answer(u, u.model_dump_json().encode(), 0) for u in inbox.updates]
        if found or inbox.cursor != cursor:
            await self._take(
                list(zip(found, inbox.updates, strict=True)),
                Cursor(connector=name, value=inbox.cursor),
            )
        return inbox.more

    async def _take(
        self, said: Sequence[tuple[Answer, StatusUpdate]], cursor: Cursor | None = None
    ) -> Taken:
        """Apply answers, each once, and move the inbox's cursor with them."""

        async def work(uow: UnitOfWork) -> tuple[list[str], list[Dispatch]]:
            results: list[str] = []
            news: list[Dispatch] = []
            if cursor is not None:
                await uow.get(CURSORS, cursor.connector)
                uow.put(CURSORS, cursor)
            for answer, update in said:
                if await uow.get(ANSWERS, answer.answer_id) is not None:
                    results.append("duplicate")
                    continue
                taken, told = await self._apply(uow, answer, update.reply)
                uow.put(ANSWERS, taken)
                results.append(taken.result)
                news += told
            return results, news

        results, news = await _transact(self._hub, work)
        record(self._hub.metrics, news)
        for result in results:
            record_callback(self._hub.metrics, self._door.name, result)
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

    async def _apply(
        self, uow: UnitOfWork, answer: Answer, reply: str | None = None
    ) -> tuple[Answer, list[Dispatch]]:
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
        if reply and await self._keep(uow, answer, row, reply):
            steps = steps or ledger.replied(row, now)
        result = "applied" if steps else "stale"
        if steps:
            uow.put(LEDGER, steps[-1])
        return answer.model_copy(update={**settled, "result": result}), emit(uow, row, steps)

    async def _keep(self, uow: UnitOfWork, answer: Answer, row: Dispatch, reply: str) -> bool:
        key = key_of(row.item)
        try:
            await uow.keys.load([key])
            text = await uow.keys.seal(key, REPLY_FIELD, reply)
        except KeyDestroyed:
            return False  # the case was erased; so is what is said about it
        uow.put(
            REPLIES,
            Reply(
                reply_id=answer.answer_id,
                dispatch_id=row.dispatch_id,
                received_at=answer.received_at,
                text=text,
            ),
        )
        return True

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


@dataclass(frozen=True, slots=True)
class Sheet:
    """One dispatch as an operator needs it: what to hand over, what the partner wrote."""

    row: Dispatch
    packet: str | None
    replies: tuple[tuple[datetime, str], ...]


class DeskHandlers:
    """What an operator does with dispatches no machine can settle."""

    def __init__(self, hub: SharingHub, door: Door, plan: Plan) -> None:
        self._hub = hub
        self._door = door
        self._connector = door.name
        self._plan = plan

    async def sheet(self, dispatch_id: str) -> Sheet | None:
        """None where this connector has no such dispatch. Erased words are left out."""
        row = await self._row(dispatch_id)
        if row is None:
            return None
        keys = self._hub.unit().keys
        docs = await self._hub.store.find(
            REPLIES, {"dispatch_id": dispatch_id}, sort=(("received_at", 1),), limit=100
        )
        try:
            await keys.load([key_of(row.item)])
            packet = await keys.open(row.packet, PACKET_FIELD) if row.packet else None
            replies = [
                (reply.received_at, await keys.open(reply.text, REPLY_FIELD))
                for reply in map(REPLIES.decode, docs)
            ]
        except KeyDestroyed:
            return Sheet(row, None, ())
        return Sheet(row, packet, tuple(replies))

    async def outcome(self, dispatch_id: str, said: Said) -> Dispatch | None:
        """What a partner told us outside its channel. Raises IllegalTransition."""

        def steps(row: Dispatch, now: datetime) -> list[Dispatch]:
            found = ledger.answered(row, said, now, self._plan)
            if not found:
                raise IllegalTransition(f"'{said.outcome}' does not follow '{row.state}'")
            return found

        return await self._change(dispatch_id, steps)

    async def withdraw(self, dispatch_id: str, reason: str) -> Dispatch | None:
        """Take a request back, at the partner too where it has it.

        Raises IllegalTransition, and ConnectorError where the partner could not be told.
        """
        row = await self._row(dispatch_id)
        if row is None:
            return None
        if row.submitting_since is not None:
            raise IllegalTransition("it is being sent at this moment; try again shortly")
        DISPATCH.move(row.state, "withdraw")
        # A packet nobody has handed over is with us only; afterwards the partner has the request.
        with_us = row.packet is not None and row.state is DispatchState.AMBIGUOUS
        if row.attempts and not with_us:
            connector = await self._door.connector()
            if not (isinstance(connector, SupportsWithdrawal) and row.reference):
                raise IllegalTransition(
                    "the partner may have it and takes nothing back by machine; write to it, "
                    "then enter its answer as the outcome"
                )
            reference = row.reference
            await self._door.call("withdraw", lambda: connector.withdraw(reference, reason))
        return await self._change(dispatch_id, lambda r, now: ledger.withdrawn(r, reason, now))

    async def _row(self, dispatch_id: str) -> Dispatch | None:
        """As it is stored; None where this connector has none of that id."""
        doc = (await self._hub.store.read(LEDGER, (dispatch_id,))).get(dispatch_id)
        row = LEDGER.decode(doc) if doc else None
        return row if row is not None and row.connector == self._connector else None

    async def _change(
        self, dispatch_id: str, change: Callable[[Dispatch, datetime], list[Dispatch]]
    ) -> Dispatch | None:
        async def work(uow: UnitOfWork) -> tuple[Dispatch | None, list[Dispatch]]:
            row = await uow.get(LEDGER, dispatch_id)
            if row is None or row.connector != self._connector:
                return None, []
            steps = change(row, uow.now())
            uow.put(LEDGER, steps[-1])
            return steps[-1], emit(uow, row, steps)

        row, news = await _transact(self._hub, work)
        record(self._hub.metrics, news)
        return row

    async def in_state(self, state: DispatchState) -> list[Dispatch]:
        return await by_state(self._hub.store, self._connector, state)

    async def resolve(
        self, dispatch_id: str, action: Action, reference: str | None
    ) -> Dispatch | None:
        """``sent``: the partner has it, as ``reference``; ``retry``: it does not; ``fail``: stop.

        None where this connector has no such dispatch. Raises IllegalTransition.
        """

        def steps(row: Dispatch, now: datetime) -> list[Dispatch]:
            if row.state not in (DispatchState.AMBIGUOUS, DispatchState.FAILED):
                raise IllegalTransition(
                    f"state '{row.state}' needs no person; 'ambiguous' and 'failed' do"
                )
            match action:
                case "sent":
                    return ledger.resolved_sent(row, reference or row.dispatch_id, now, self._plan)
                case "retry":
                    return ledger.resolved_retry(row, now)
                case "fail":
                    return ledger.resolved_failed(row, now)

        return await self._change(dispatch_id, steps)
