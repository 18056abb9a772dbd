# SPDX-License-Identifier: Apache-2.0
"""Rules about a request that was handed over: asking, reminding, correcting, taking back."""

from urllib.parse import urlsplit

from wasl_connector_sdk.conformance import faults
from wasl_connector_sdk.conformance.bench import (
    Bench,
    demand,
    demand_none,
    rule,
    skip,
    worded,
)
from wasl_connector_sdk.conformance.faults import Fault
from wasl_connector_sdk.conformance.world import World, name_of, outcome
from wasl_connector_sdk.contract import (
    AnyConnector,
    SupportsCorrection,
    SupportsInbox,
    SupportsPolling,
    SupportsReminders,
    SupportsWithdrawal,
)
from wasl_connector_sdk.errors import (
    CallbackRejected,
    ConnectorError,
    CredentialsRejected,
    PersonNeeded,
    RateLimited,
    SubmissionRefused,
)
from wasl_connector_sdk.models import Inbox, Receipt, StatusUpdate


class FollowingRules(Bench):
    @rule
    async def test_status(self) -> None:
        """status: a reference just given has a status, of that reference, with a machine word."""
        self._needs_reports()
        async with self._world() as world, world.opened() as connector:
            if not isinstance(connector, SupportsPolling):
                skip("the connector cannot be asked")
            receipt = await self._sent(world, connector, 1)
            update = await outcome(connector.status(receipt.reference))
            if not isinstance(update, StatusUpdate):
                raise AssertionError(f"status ended in {name_of(update)}")  # noqa: TRY004
            demand(update.reference == receipt.reference, "status names another reference")
            demand(world.reports == 1, "asking made a report")
            worded(update)

    @rule
    async def test_status_unknown(self) -> None:
        """status-unknown: SubmissionRefused for a reference the partner does not know."""
        async with self._world() as world, world.opened() as connector:
            if not isinstance(connector, SupportsPolling):
                skip("the connector cannot be asked")
            for reference in ("0000-unknown", "../x/../../reports", "a?b=c#d", "%2e%2e/&x=1"):
                start = len(world.wire.requests)
                result = await outcome(connector.status(reference))
                demand(
                    isinstance(result, SubmissionRefused),
                    f"'{reference}' ended in {name_of(result)}, expected SubmissionRefused",
                )
                for request in world.wire.requests[start:]:
                    path = request.url.raw_path.decode("ascii", "replace")
                    walks = ".." in urlsplit(path).path.split("/")
                    demand(not walks, f"'{reference}' was put into the path as it is; quote it")
                    named = {"b", "x"} & set(request.url.params)
                    demand(not named, f"'{reference}' was put into the query as it is; quote it")

    @rule
    async def test_withdrawal(self) -> None:
        """withdrawal: taking a request back twice is as harmless as once, or refused twice."""
        async with self._world() as world, world.opened() as connector:
            if not isinstance(connector, SupportsWithdrawal):
                skip("the connector cannot withdraw")
            receipt = await self._handed_over(world, connector)
            before = world.reports
            ended = [
                self._written(
                    "withdrawal", await outcome(connector.withdraw(receipt.reference, why))
                )
                for why in ("mistake", "mistake")
            ]
            demand(ended[0] is ended[1], "the second withdrawal ended otherwise than the first")
            demand(world.reports <= before, "withdrawing made a report")

    @rule
    async def test_reminders(self) -> None:
        """reminders: asking again makes no report; a role it has no address for is for a person."""
        async with self._world() as world, world.opened() as connector:
            if not isinstance(connector, SupportsReminders):
                skip("the connector cannot remind")
            receipt = await self._handed_over(world, connector)
            before = world.reports
            for number, role in ((1, None), (2, None), (3, "unheard_of")):
                reminder = self._reminder(receipt, number, role)
                self._written(f"reminder {number}", await outcome(connector.remind(reminder)))
            demand(world.reports == before, "reminding made a report")

    @rule
    async def test_corrections(self) -> None:
        """corrections: the same revision twice is as harmless as once, and none makes a report."""
        async with self._world() as world, world.opened() as connector:
            if not isinstance(connector, SupportsCorrection):
                skip("the connector cannot correct")
            reference = (await self._handed_over(world, connector)).reference
            before = world.reports
            ended = [
                self._written(
                    f"revision {number}",
                    await outcome(connector.correct(reference, self._revised(number))),
                )
                for number in (1, 1, 2)
            ]
            demand(len(set(ended)) == 1, "the same revision again ended otherwise")
            demand(world.reports == before, "correcting made a report")

    @rule
    async def test_typed_errors(self) -> None:
        """typed-errors: other calls than submit raise the SDK's error for the fault only."""
        await self._needs_http()
        broken = []
        for fault in faults.KINDS:
            for name, ask in self._questions():
                if name == "submit":
                    continue
                async for world, _, result in self._disturbed(fault, ask):
                    if not _fits(name, fault, result):
                        place = f"{fault.name} at request {world.wire.hit + 1}"
                        broken.append(f"{name}, {place}: {name_of(result)}")
        demand_none(broken, "not the error for the fault")

    @rule
    async def test_inbox(self) -> None:
        """inbox: ``collect`` names its messages, repeats them from an old cursor, and moves on."""
        async with self._world() as world, world.opened() as connector:
            if not isinstance(connector, SupportsInbox):
                skip("the connector has no inbox")
            if not self.by_hand:
                await self._sent(world, connector, 1)
            first = await connector.collect(None)
            again = await connector.collect(None)
            on = await connector.collect(first.cursor)
            demand(all(isinstance(i, Inbox) for i in (first, again, on)), "collect gives no Inbox")
            names = [update.event_id for update in first.updates]
            demand(all(names), "an answer has no event_id")
            demand(
                names == [update.event_id for update in again.updates[: len(names)]],
                "the same answers got other event_ids",
            )
            demand(
                not set(names) & {update.event_id for update in on.updates},
                "a cursor returns what was already collected",
            )

    async def _handed_over(self, world: World, connector: AnyConnector) -> Receipt:
        """The receipt of a request; of a person's the reference that was typed."""
        return Receipt(reference="1") if self.by_hand else await self._sent(world, connector, 1)

    def _written(self, what: str, result: object) -> type:
        """How a message about a request ended: done, refused, or handed to a person."""
        person = isinstance(result, PersonNeeded) and bool(result.packet.strip())
        fine = person if self.by_hand else result is None or isinstance(result, SubmissionRefused)
        demand(fine or person, f"the {what} ended in {name_of(result)}")
        return type(result)


_READ_ERRORS: dict[str, type[ConnectorError]] = {
    "401": CredentialsRejected,
    "403": CredentialsRejected,
    "429": RateLimited,
}


def _fits(name: str, fault: Fault, result: object) -> bool:
    """What may come of a call other than submit; ``check`` need not read what it is told."""
    if isinstance(result, Exception):
        if not isinstance(result, ConnectorError) or isinstance(result, CallbackRejected):
            return False
        kind = _READ_ERRORS.get(fault.name.partition(" ")[0])
        return kind is None or isinstance(result, kind | PersonNeeded)
    if fault in faults.UNREACHABLE or fault in faults.NO_ANSWER:
        return False
    if fault in faults.UNREADABLE:
        return name != "status" or not _decided(result)
    return name == "check"


def _decided(update: object) -> bool:
    return getattr(update, "outcome", None) not in {"pending", "acknowledged"}
