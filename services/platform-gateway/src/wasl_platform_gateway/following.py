# SPDX-License-Identifier: Apache-2.0
"""Follows what a partner has: tells it more (reminders, corrections, withdrawals), asks it what
became of a request, stops waiting. A reminder is sent once at most; the others do no harm twice.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime

from wasl_chassis.store import Doc
from wasl_connector_sdk import (
    AmbiguousOutcome,
    ConnectorError,
    CredentialsRejected,
    InvalidSubmission,
    Outcome,
    PersonNeeded,
    RateLimited,
    Reminder,
    Submission,
    SubmissionRefused,
    SupportsCorrection,
    SupportsPolling,
    SupportsReminders,
    SupportsWithdrawal,
    TransientError,
)
from wasl_connector_sdk.contract import AnyConnector
from wasl_schemas.ids import uuid7

from wasl_platform_gateway import by_hand
from wasl_platform_gateway.calling import Called, Calls, Step
from wasl_platform_gateway.domain import ledger
from wasl_platform_gateway.domain.lane import Sign
from wasl_platform_gateway.domain.ledger import WAITING, Dispatch, Errand, Plan, Said
from wasl_platform_gateway.metrics import record_errand
from wasl_platform_gateway.repository import LEDGER
from wasl_platform_gateway.wording import Shut, Wording


class Following:
    def __init__(self, calls: Calls, wording: Wording, plan: Plan) -> None:
        self._calls = calls
        self._hub = calls.hub
        self._door = calls.door
        self._wording = wording
        self._plan = plan

    async def run(self, partner: str) -> bool:
        """One batch of rows their partner has: tell it more, ask it, or stop waiting for it."""
        now = self._hub.clock.now()
        limit = (await self._calls.lane(partner)).allowance(
            self._calls.tuning.batch, now, self._calls.rate
        )
        where: dict[str, object] = {"connector": self._door.name, "partner": partner}
        if limit:
            where["state"] = {"$in": [state.value for state in ledger.TOLD_IN]}
        else:  # nobody may be called; a wait that is over ends all the same
            where["state"] = {"$in": [state.value for state in WAITING]}
            where |= {"no_reply_at": {"$lte": now}, "wanted": None}
        token = uuid7()
        docs = await self._calls.claim(where, token, limit or self._calls.tuning.batch)
        if not docs:
            return False
        connector = await self._door.connector()
        settled: list[Called] = []
        due: list[tuple[Doc, Dispatch, Errand | None]] = []
        for doc in docs:
            row = LEDGER.decode(doc)
            errand = ledger.errand_of(row, now) if limit else None
            if errand is Errand.REMIND and row.reminding_since is not None:
                settled.append(Called(doc, self._ran(errand, row.revision)))  # cut off in the call
            elif errand is not None and not (row.reference and _can(connector, errand)):
                settled.append(self._to_person(doc, errand))
            elif errand is not None or (limit and self._asks(row, now)):
                due.append((doc, row, errand))
            else:
                settled.append(Called(doc, self._asked))
        granted, lane = await self._calls.reserve(partner, len(due))
        settled += [Called(doc, ledger.released) for doc, _, _ in due[granted:]]
        asks = [doc for doc, _, errand in due[:granted] if errand is None]
        errands = {d["_id"]: (row, e) for d, row, e in due[:granted] if e is not None}
        told = await self._worded(errands, due[:granted], settled)
        remind = [doc for doc, _ in told if errands[doc["_id"]][1] is Errand.REMIND]
        marked = await self._calls.apply(
            [
                *((x.doc, x.step) for x in settled),
                *((doc, lambda row: ledger.reminding(row, now)) for doc in remind),
            ],
            token,
        )
        if not granted:
            return True
        calls = [(doc, self._asker(doc)) for doc in asks]
        for doc, submission in told:
            held = marked.get(doc["_id"], doc)
            row, errand = errands[doc["_id"]]
            calls.append((held, self._teller(held, row, errand, submission)))
        await self._calls.call_all(calls, lane, token)
        return True

    async def _worded(
        self,
        errands: Mapping[str, tuple[Dispatch, Errand]],
        due: Sequence[tuple[Doc, Dispatch, Errand | None]],
        settled: list[Called],
    ) -> list[tuple[Doc, Submission | None]]:
        """What each errand says; to take back, nothing of the item is needed.

        What cannot be said by machine goes to ``settled``.
        """
        told: list[tuple[Doc, Submission | None]] = []
        told += [(doc, None) for doc, _, errand in due if errand is Errand.WITHDRAW]
        worded = (Errand.REMIND, Errand.CORRECT)
        opened, shut = await self._wording.open([(d, r) for d, r, e in due if e in worded])
        connector = await self._door.connector()
        for doc, why in shut:
            row, errand = errands[doc["_id"]]
            if why is Shut.UNREADABLE:
                settled.append(self._to_person(doc, errand))
            elif row.reference and _can(connector, Errand.WITHDRAW):
                settled.append(Called(doc, self._taking_back))
            else:
                settled.append(Called(doc, self._wording.erased))
        for doc, submission in opened:
            row, errand = errands[doc["_id"]]
            if self._door.carries(submission):
                told.append((doc, submission))
            else:
                packet = await self._packet(row, errand, submission)
                settled.append(self._to_person(doc, errand, packet))
        return told

    async def _packet(self, row: Dispatch, errand: Errand, submission: Submission) -> str | None:
        """What a person writes where the connector would ask for more; a reminder repeats it."""
        write = by_hand.correction if errand is Errand.CORRECT else by_hand.request
        try:
            return await self._wording.sealed(row, write(submission, self._door.hub))
        except InvalidSubmission:
            return None

    def _asks(self, row: Dispatch, now: datetime) -> bool:
        """Whether it is time to ask the partner what became of it."""
        if row.state not in WAITING or row.reference is None or row.no_reply_at is None:
            return False
        return row.poll_at is not None and row.poll_at <= now < row.no_reply_at

    def _teller(
        self, doc: Doc, row: Dispatch, errand: Errand, submission: Submission | None
    ) -> Callable[[], Awaitable[Called]]:
        """Tells a partner more about a request it has."""

        async def tell() -> Called:
            try:
                await self._tell(row, errand, submission)
            except PersonNeeded as error:
                packet = error.packet
                if submission is not None and not packet:
                    return self._to_person(doc, errand, await self._packet(row, errand, submission))
                return self._to_person(doc, errand, await self._wording.sealed(row, packet))
            except RateLimited as error:
                return Called(doc, ledger.not_told, Sign.SLOW_DOWN, error.retry_after)
            except CredentialsRejected:
                return Called(doc, ledger.not_told, Sign.CREDENTIALS)
            except (SubmissionRefused, InvalidSubmission):
                return self._to_person(doc, errand)
            except ConnectorError as error:
                if not (errand is Errand.REMIND and isinstance(error, AmbiguousOutcome)):
                    wait = error.retry_after if isinstance(error, TransientError) else None
                    last = ledger.last_try(row, errand, self._plan)
                    self._count(errand, "person" if last else "failed")
                    return Called(doc, self._errand_later(errand, wait), Sign.TROUBLE)
                # It may have arrived; a reminder that comes twice is worse than one that is lost.
            self._count(errand, "done")
            return Called(doc, self._ran(errand, row.revision), Sign.ALIVE)

        return tell

    async def _tell(self, row: Dispatch, errand: Errand, submission: Submission | None) -> None:
        connector = await self._door.connector()
        reference = row.reference or ""
        match errand, connector:
            case Errand.REMIND, SupportsReminders() as reminds if submission is not None:
                reminder = Reminder(
                    submission=submission,
                    reference=reference,
                    number=row.reminders + 1,
                    role=row.next_role,
                    sent_at=row.sent_at or row.changed_at,
                )
                await self._door.call("remind", lambda: reminds.remind(reminder))
            case Errand.CORRECT, SupportsCorrection() as corrects if submission is not None:
                await self._door.call("correct", lambda: corrects.correct(reference, submission))
            case Errand.WITHDRAW, SupportsWithdrawal() as withdraws:
                reason = row.wanted_reason or "withdrawn"
                await self._door.call("withdraw", lambda: withdraws.withdraw(reference, reason))

    def _to_person(self, doc: Doc, errand: Errand, packet: str | None = None) -> Called:
        def step(row: Dispatch) -> list[Dispatch]:
            now = self._hub.clock.now()
            return ledger.let_go(ledger.handed(row, errand, now, packet=packet, plan=self._plan))

        self._count(errand, "person")
        return Called(doc, step)

    def _count(self, errand: Errand, result: str) -> None:
        record_errand(self._hub.metrics, self._door.name, errand.value, result)

    def _asker(self, doc: Doc) -> Callable[[], Awaitable[Called]]:
        async def ask() -> Called:
            connector = await self._door.connector()
            if not isinstance(connector, SupportsPolling):
                return Called(doc, self._asked)
            reference: str = doc["reference"]
            try:
                update = await self._door.call("status", lambda: connector.status(reference))
            except RateLimited as error:
                return Called(doc, self._asked, Sign.SLOW_DOWN, error.retry_after)
            except CredentialsRejected:
                return Called(doc, self._asked, Sign.CREDENTIALS)
            except (SubmissionRefused, InvalidSubmission):
                return Called(doc, self._asked, Sign.ALIVE)
            except ConnectorError:
                return Called(doc, self._asked, Sign.TROUBLE)
            return Called(doc, self._heard(update.outcome, update.reason), Sign.ALIVE)

        return ask

    # -- ways on: bound to now when they are applied -----------------------------------------------

    def _taking_back(self, row: Dispatch) -> list[Dispatch]:
        return ledger.taking_back(row, "erased", self._hub.clock.now())

    def _ran(self, errand: Errand, revision: int) -> Step:
        return lambda row: ledger.ran(row, errand, revision, self._hub.clock.now(), self._plan)

    def _errand_later(self, errand: Errand, retry_after: float | None) -> Step:
        return lambda row: ledger.errand_later(
            row, errand, retry_after, self._hub.clock.now(), self._plan
        )

    def _asked(self, row: Dispatch) -> list[Dispatch]:
        return ledger.asked(row, self._hub.clock.now(), self._plan)

    def _heard(self, outcome: Outcome, reason: str | None) -> Step:
        def step(row: Dispatch) -> list[Dispatch]:
            now = self._hub.clock.now()
            steps = ledger.answered(row, Said(outcome.value, reason), now, self._plan)
            if not steps:
                return self._asked(row)
            return ledger.let_go(steps)

        return step


_ABILITIES: dict[Errand, type] = {
    Errand.REMIND: SupportsReminders,
    Errand.CORRECT: SupportsCorrection,
    Errand.WITHDRAW: SupportsWithdrawal,
}


def _can(connector: AnyConnector, errand: Errand) -> bool:
    return isinstance(connector, _ABILITIES[errand])
