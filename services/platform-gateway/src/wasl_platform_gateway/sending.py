# SPDX-License-Identifier: Apache-2.0
"""Sends what is due. A mark is stored before each call: a crash after it leaves a row whose next
holder knows that the outcome is unknown.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from wasl_chassis.store import Doc
from wasl_connector_sdk import (
    AmbiguousOutcome,
    ConnectorError,
    CredentialsRejected,
    Idempotency,
    InvalidSubmission,
    PersonNeeded,
    RateLimited,
    Receipt,
    Submission,
    SubmissionRefused,
    SupportsGroups,
    SupportsLookup,
    SupportsSteps,
    TransientError,
)
from wasl_schemas.ids import uuid7
from wasl_schemas.lifecycle import DispatchState

from wasl_platform_gateway import by_hand
from wasl_platform_gateway.calling import Called, Calls, Step
from wasl_platform_gateway.domain import ledger
from wasl_platform_gateway.domain.lane import Sign
from wasl_platform_gateway.domain.ledger import Dispatch, Plan, Said
from wasl_platform_gateway.door import Door
from wasl_platform_gateway.repository import LEDGER
from wasl_platform_gateway.wording import Shut, Wording

log = logging.getLogger(__name__)
#: Requests in one message: more, and a person overlooks one.
_GROUP = 20


class Sending:
    """``objection``: why a row may not go to its partner by what was agreed with it, or None."""

    def __init__(
        self,
        calls: Calls,
        wording: Wording,
        plan: Plan,
        objection: Callable[[Dispatch], str | None],
    ) -> None:
        self._calls = calls
        self._hub = calls.hub
        self._door = calls.door
        self._wording = wording
        self._plan = plan
        self._objection = objection
        # After a crash every marked row of a batch is in doubt. Where the partner cannot tell one
        # request from another that costs a person's time, so no more are marked than are called.
        tuning = calls.tuning
        resendable = calls.door.manifest.idempotency is not Idempotency.NONE
        self._batch = tuning.batch if resendable else min(tuning.batch, tuning.concurrency)

    async def run(self, partner: str) -> bool:
        """One batch. False when nothing was due or nothing may be sent."""
        lane = await self._calls.lane(partner)
        limit = lane.allowance(self._batch, self._hub.clock.now(), self._calls.rate)
        if limit == 0:
            return False
        token = uuid7()
        where = {
            "connector": self._door.name,
            "partner": partner,
            "state": DispatchState.REQUESTED.value,
        }
        docs = await self._calls.claim({**where, "urgent": True}, token, limit)
        if len(docs) < limit:
            docs += await self._calls.claim({**where, "urgent": False}, token, limit - len(docs))
        if not docs:
            return False
        await self._door.connector()
        granted, lane = await self._calls.reserve(partner, len(docs))
        work = [Called(doc, ledger.released) for doc in docs[granted:]]
        ready = await self._prepare(docs[:granted], work)
        now = self._hub.clock.now()
        marked = await self._calls.apply(
            [
                *((w.doc, w.step) for w in work),
                *((doc, lambda row: ledger.marked(row, now)) for doc, _ in ready),
            ],
            token,
        )
        calls = [(marked[doc["_id"]], s) for doc, s in ready if doc["_id"] in marked]
        if not granted:
            return True  # nothing was reserved, so there is nothing to give back
        together = self._grouped(calls)
        await self._calls.call_all(
            [
                (doc, self._caller(doc, submission, token, together.get(doc["_id"])))
                for doc, submission in calls
            ],
            lane,
            token,
        )
        return True

    async def _prepare(
        self, docs: Sequence[Doc], settled: list[Called]
    ) -> list[tuple[Doc, Submission]]:
        """What each row would send. A row that cannot be sent goes to ``settled``."""
        sendable = []
        for doc in docs:
            row = LEDGER.decode(doc)
            stop = self._unsendable(row)
            if stop is None:
                sendable.append((doc, row))
            else:
                settled.append(Called(doc, stop))
        opened, shut = await self._wording.open(sendable)
        unreadable = self._failing("item_unreadable")
        steps = {Shut.ERASED: self._wording.erased, Shut.UNREADABLE: unreadable}
        settled += [Called(doc, steps[why]) for doc, why in shut]
        ready = []
        for doc, submission in opened:
            if self._door.carries(submission):
                ready.append((doc, submission))
            elif doc["unsure"] or doc["submitting_since"] is not None:
                settled.append(Called(doc, self._losing("interrupted")))
            else:
                settled.append(Called(doc, await self._to_person(doc, submission)))
        return ready

    def _grouped(self, calls: Sequence[tuple[Doc, Submission]]) -> dict[str, "_Together"]:
        """Which rows leave as one: not urgent, of one language, never tried before."""
        if not issubclass(self._door.type, SupportsGroups):
            return {}
        groups: dict[str, list[tuple[str, Submission]]] = {}
        for doc, submission in calls:
            if not (doc["urgent"] or doc["unsure"]) and doc["attempts"] == 1:
                groups.setdefault(submission.language, []).append((doc["_id"], submission))
        out: dict[str, _Together] = {}
        for members in groups.values():
            for first in range(0, len(members), _GROUP):
                some = members[first : first + _GROUP]
                if len(some) > 1:
                    together = _Together(self._door, [submission for _, submission in some])
                    out |= {key: together for key, _ in some}
        return out

    def _unsendable(self, row: Dispatch) -> Step | None:
        if row.wanted == "withdraw":
            return self._stopped
        accepts = self._door.manifest.accepts
        if accepts is not None and row.category not in accepts:
            return self._failing("category_not_accepted")
        if (objection := self._objection(row)) is not None:
            return self._failing(objection)
        cut_off = row.unsure or row.submitting_since is not None
        if cut_off and not self._can_find_out():
            return self._losing("interrupted")
        if row.attempts >= self._plan.max_attempts:
            # Only a process that dies in the call gets here: the result would have ended it.
            return self._failing("interrupted")
        return None

    def _can_find_out(self) -> bool:
        return self._door.manifest.idempotency is not Idempotency.NONE or issubclass(
            self._door.type, SupportsLookup
        )

    def _caller(
        self, doc: Doc, submission: Submission, token: str, together: "_Together | None"
    ) -> Callable[[], Awaitable[Called]]:
        async def call() -> Called:
            unsure = bool(doc["unsure"])
            progress = _Saved(doc, lambda held, step: self._calls.apply([(held, step)], token))
            try:
                connector = await self._door.connector()
                receipt: Receipt | None = None
                if unsure and isinstance(connector, SupportsLookup):
                    lookup = connector
                    key = submission.idempotency_key
                    receipt = await self._found(lambda: lookup.find(key))
                    unsure = receipt is not None
                if together is not None and isinstance(connector, SupportsGroups):
                    receipt = await together.receipt(connector, submission)
                if receipt is None:
                    receipt = await self._door.call(
                        "submit",
                        lambda: (
                            connector.submit_in_steps(submission, progress)
                            if isinstance(connector, SupportsSteps)
                            else connector.submit(submission)
                        ),
                    )
            except PersonNeeded as error:
                step = await self._to_person(doc, submission, error.packet)
                return Called(progress.doc, step, Sign.ALIVE)
            except ConnectorError as error:
                called = self._after_error(progress.doc, error, unsure=unsure)
                return together.speaks(called) if together is not None else called
            return Called(progress.doc, self._sent(receipt), Sign.ALIVE)

        return call

    async def _to_person(self, doc: Doc, submission: Submission, packet: str = "") -> Step:
        """``packet``: what to copy where; empty: the request as a letter."""
        try:
            packet = packet or by_hand.request(submission, self._door.hub)
        except InvalidSubmission as error:
            return self._failing(error.reason)
        sealed = await self._wording.sealed(LEDGER.decode(doc), packet)
        if sealed is None:
            return self._wording.erased
        return lambda row: ledger.handed_over(row, sealed, self._hub.clock.now())

    async def _found(self, find: Callable[[], Awaitable[Receipt | None]]) -> Receipt | None:
        """A lookup changes nothing: whatever is final about a submission is not about a lookup."""
        try:
            return await self._door.call("find", find)
        except (AmbiguousOutcome, SubmissionRefused, InvalidSubmission) as error:
            raise TransientError("the lookup failed", reason=error.reason) from None

    def _after_error(self, doc: Doc, error: ConnectorError, *, unsure: bool) -> Called:
        match error:
            case SubmissionRefused():
                return Called(doc, self._refused(error.code), Sign.ALIVE)
            case InvalidSubmission():
                log.error(
                    "a partner cannot read our request; the connector's mapping needs a developer",
                    extra={"connector": self._door.name, "reason": error.reason},
                )
                return Called(doc, self._failing(error.reason, unsure=unsure), Sign.ALIVE)
            case RateLimited():
                return Called(doc, self._calls.uncounted, Sign.SLOW_DOWN, error.retry_after)
            case CredentialsRejected():
                log.error(
                    "a partner rejects our credentials; nothing is sent until they are corrected",
                    extra={"connector": self._door.name, "partner": doc["partner"]},
                )
                return Called(doc, self._calls.uncounted, Sign.CREDENTIALS)
            case AmbiguousOutcome() if not self._can_find_out():
                return Called(doc, self._losing(error.reason), Sign.TROUBLE)
            case _:
                unsure = unsure or isinstance(error, AmbiguousOutcome)
                wait = error.retry_after if isinstance(error, TransientError) else None
                later = self._later(error.reason, unsure=unsure, retry_after=wait)
                return Called(doc, later, Sign.TROUBLE)

    # -- ways on: bound to now when they are applied -----------------------------------------------

    def _sent(self, receipt: Receipt) -> Step:
        return lambda row: ledger.sent(
            row,
            receipt.reference,
            Said(receipt.outcome.value, receipt.reason),
            self._hub.clock.now(),
            self._plan,
        )

    def _refused(self, code: str) -> Step:
        return lambda row: ledger.refused(row, code, self._hub.clock.now())

    def _failing(self, reason: str, *, unsure: bool | None = None) -> Step:
        def step(row: Dispatch) -> list[Dispatch]:
            doubt = row.unsure or row.submitting_since is not None if unsure is None else unsure
            return ledger.failed(row, reason, self._hub.clock.now(), unsure=doubt)

        return step

    def _losing(self, reason: str) -> Step:
        return lambda row: ledger.lost_track(row, reason, self._hub.clock.now())

    def _later(self, reason: str, *, unsure: bool, retry_after: float | None) -> Step:
        jitter = self._calls.jitter()
        return lambda row: ledger.retry_later(
            row,
            reason,
            unsure=unsure,
            retry_after=retry_after,
            jitter=jitter,
            now=self._hub.clock.now(),
            plan=self._plan,
        )

    def _stopped(self, row: Dispatch) -> list[Dispatch]:
        return ledger.stopped(row, self._hub.clock.now())


class _Together:
    """One message for several rows, sent when the first of them has its turn."""

    def __init__(self, door: Door, submissions: Sequence[Submission]) -> None:
        self._door = door
        self._submissions = submissions
        self._sent: asyncio.Task[Sequence[Receipt]] | None = None
        self._heard = False

    async def receipt(self, connector: SupportsGroups, submission: Submission) -> Receipt | None:
        """None: this message cannot be sent, each must go alone. Raises what holds for all."""
        if self._sent is None:
            call = self._door.call("submit", lambda: connector.submit_group(self._submissions))
            self._sent = asyncio.ensure_future(call)
        try:
            receipts = await asyncio.shield(self._sent)
        except (InvalidSubmission, SubmissionRefused, PersonNeeded):
            return None  # one of them may be at fault for all
        if len(receipts) != len(self._submissions):
            raise AmbiguousOutcome("a receipt for each was expected", reason="receipts_missing")
        return receipts[self._submissions.index(submission)]

    def speaks(self, called: Called) -> Called:
        """One message says one thing about the partner, however many rows it carried."""
        first, self._heard = not self._heard, True
        return called if first else replace(called, sign=None)


class _Saved:
    """A row's :class:`~wasl_connector_sdk.Progress`, and the row as its savings left it."""

    def __init__(self, doc: Doc, apply: Callable[[Doc, Step], Awaitable[dict[str, Doc]]]) -> None:
        self.doc = doc
        self._apply = apply

    def get(self, name: str) -> str | None:
        saved: dict[str, str] = self.doc.get("progress", {})
        return saved.get(name)

    async def save(self, name: str, value: str) -> None:
        stored = await self._apply(self.doc, lambda row: ledger.progressed(row, name, value))
        if self.doc["_id"] not in stored:
            # Another process holds the row and goes on from what was saved before.
            raise AmbiguousOutcome("the lease was lost", reason="lease_lost")
        self.doc = stored[self.doc["_id"]]
