# SPDX-License-Identifier: Apache-2.0
"""What rules share: how one is written, what a connector under test declares, and the worlds it is
tried in. Rules run in an event loop of their own, so that a test needs pytest and nothing else.
"""

import asyncio
import copy
import functools
import inspect
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from types import FunctionType
from typing import Any, ClassVar, NoReturn, TypeGuard, TypeVar, cast

import httpx
import pytest

from wasl_connector_sdk.conformance import faults, guards, samples
from wasl_connector_sdk.conformance.faults import Fault, Hang, Wire
from wasl_connector_sdk.conformance.samples import NOW, key_of
from wasl_connector_sdk.conformance.world import Partner, World, name_of, outcome, texts
from wasl_connector_sdk.contract import (
    AnyConnector,
    ConnectorConfig,
    SupportsCallbacks,
    SupportsCorrection,
    SupportsGroups,
    SupportsInbox,
    SupportsLookup,
    SupportsPolling,
    SupportsReminders,
    SupportsWithdrawal,
)
from wasl_connector_sdk.errors import AmbiguousOutcome, ConnectorError, TransientError, word
from wasl_connector_sdk.http import client
from wasl_connector_sdk.models import CallbackRequest, Receipt, Reminder, Submission

#: No connector needs longer against a partner in memory.
LIMIT = 30.0
BenchT = TypeVar("BenchT", bound="Bench")


def rule(check: Callable[[BenchT], Awaitable[None]]) -> Callable[[BenchT], None]:
    """A test method in a loop of its own; its docstring is ``id: what it demands``."""
    name = (check.__doc__ or "").partition(":")[0]

    @functools.wraps(check)
    def test(self: BenchT) -> None:
        if name in self.exempt:
            pytest.skip(f"{name}: {self.exempt[name]}")

        async def limited() -> None:
            async with asyncio.timeout(LIMIT):
                await check(self)

        asyncio.run(limited())

    test.rule = name  # type: ignore[attr-defined]
    return test


def rules_of(contract: type) -> dict[str, str]:
    """Method by rule id."""
    listed = inspect.getmembers(contract, lambda m: hasattr(m, "rule"))
    return {method.rule: name for name, method in listed}


def demand(kept: object, otherwise: str) -> None:
    __tracebackhide__ = True
    if not kept:
        raise AssertionError(otherwise)


def demand_none(broken: Iterable[str], rule_text: str) -> None:
    __tracebackhide__ = True
    listed = list(broken)
    demand(not listed, f"{rule_text}:\n  " + "\n  ".join(listed))


def skip(reason: str) -> NoReturn:
    pytest.skip(reason)


class Bench:
    """What a connector under test declares, and what it is tried on; see ``ConnectorContract``."""

    connector: ClassVar[type[AnyConnector]]
    fake: ClassVar[Callable[[], Any]]
    config: ClassVar[Mapping[str, Any]]
    submission: ClassVar[Mapping[str, Any] | Callable[[int, str], Mapping[str, Any]]] = {}
    callbacks: ClassVar[Callable[[bytes | None], CallbackRequest] | None] = None
    allowed: ClassVar[Mapping[str, Iterable[type]]] = {}
    sandbox: ClassVar[frozenset[str]] = frozenset()
    by_hand: ClassVar[bool] = False
    exempt: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, reason in cls.exempt.items():
            if name not in rules_of(cls) or not reason.strip():
                raise TypeError(f"{cls.__name__}.exempt: '{name}' is no rule, or has no reason")

    @asynccontextmanager
    async def partner(self) -> AsyncIterator[Partner]:
        """A partner that has no report yet, and the config that leads to it."""
        fake = self._given("fake")()
        yield Partner(fake, self.config, httpx.MockTransport(fake))

    @asynccontextmanager
    async def _partner(self) -> AsyncIterator[Partner]:
        async with self.partner() as partner:
            yield partner

    @asynccontextmanager
    async def _world(self, config: Mapping[str, Any] | None = None) -> AsyncIterator[World]:
        manifest = self.connector.manifest
        async with self._partner() as partner:
            given = self.connector.Config.model_validate(
                copy.deepcopy(dict(partner.config if config is None else config))
            )
            inner = partner.transport or httpx.MockTransport(lambda _: httpx.Response(404))
            wire = Wire(inner, lambda: len(partner.fake.reports))
            forbidden = frozenset() if given.live else manifest.production
            async with client(transport=wire, forbidden=forbidden) as http:
                with guards.Network(partner.addresses) as network:
                    yield World(
                        self.connector, given, partner, wire, network, http, samples.FixedClock()
                    )

    @asynccontextmanager
    async def _receiving(
        self,
    ) -> AsyncIterator[tuple[SupportsCallbacks, Callable[[bytes | None], CallbackRequest]]]:
        async with self._world() as world, world.opened() as connector:
            sign = self._signer(connector)
            yield cast("SupportsCallbacks", connector), sign

    def _signer(self, connector: object) -> Callable[[bytes | None], CallbackRequest]:
        if not isinstance(connector, SupportsCallbacks):
            skip("the connector takes no callbacks")
        sign = self._given("callbacks")
        demand(sign is not None, "the connector takes callbacks: set 'callbacks' to sign some")
        return cast("Callable[[bytes | None], CallbackRequest]", sign)

    def _given(self, name: str) -> Any:
        """A class attribute; a plain function among them is no method unless it takes ``self``."""
        value = inspect.getattr_static(type(self), name)
        if isinstance(value, FunctionType):
            first = next(iter(inspect.signature(value).parameters), "")
            return getattr(self, name) if first == "self" else value
        return getattr(self, name)

    def _sample(self, number: int, category: str | None = None) -> Submission:
        category = category or self._categories()[0]
        given = self._given("submission")
        changes = given(number, category) if callable(given) else given
        return samples.sample(number, category, changes)

    async def _sent(self, world: World, connector: AnyConnector, number: int) -> Receipt:
        """The receipt of a sample, where nothing is in its way."""
        given = self._sample(number)
        result = await outcome(world.send(connector, given))
        if not known(result):
            raise AssertionError(f"an undisturbed submission {ended(result, given)}")
        return result

    def _categories(self) -> list[str]:
        return sorted(self.connector.manifest.accepts or samples.CATEGORIES)

    def _configured(self, partner: Partner) -> ConnectorConfig:
        return self.connector.Config.model_validate(copy.deepcopy(dict(partner.config)))

    def _validated(self, given: Mapping[str, Any]) -> ConnectorConfig | Exception:
        try:
            return self.connector.Config.model_validate(copy.deepcopy(dict(given)))
        except Exception as error:  # noqa: BLE001  a validator may raise anything
            return error

    def _needs_reports(self) -> None:
        if self.by_hand:
            skip("a person submits")

    async def _needs_http(self) -> None:
        self._needs_reports()
        if not await self._speaks_http():
            skip("the partner does not speak HTTP")

    async def _speaks_http(self) -> bool:
        async with self._partner() as partner:
            return partner.transport is not None and not self.by_hand

    async def _course(self) -> tuple[int, int]:
        """Which request of a submission makes the report, and how many there are."""
        async with self._world() as world, world.opened() as connector:
            start = len(world.wire.requests)
            await self._sent(world, connector, 1)
            made = world.wire.made[start:]
        decisive = next((n for n, count in enumerate(made) if count), len(made) - 1)
        return decisive, len(made)

    async def _judge(self, listed: Iterable[Fault]) -> None:
        """Each fault, at each request of a submission: only what is allowed may come of it."""
        decisive, length = await self._course()
        broken = []
        for fault in listed:
            for position in range(length):
                async with self._world() as world, world.opened() as connector:
                    world.wire.arm(fault.play, position)
                    result = await outcome(world.send(connector, self._sample(1)))
                kinds = {*fault.allowed, *self.allowed.get(fault.name, ())}
                if position < decisive:
                    kinds |= {TransientError, AmbiguousOutcome, Receipt}
                elif position > decisive:
                    kinds |= {AmbiguousOutcome, Receipt}
                if position == decisive and fault in faults.UNREADABLE and known(result):
                    if not await self._trusted(fault, position, result):
                        broken.append(f"{fault.name}: a Receipt with a made-up reference")
                elif not isinstance(result, tuple(kinds)):
                    expected = " or ".join(sorted(k.__name__ for k in kinds))
                    broken.append(
                        f"{fault.name} at request {position + 1}: {name_of(result)}, "
                        f"expected {expected}"
                    )
        demand_none(broken, "not the error for the fault")

    async def _disturbed(
        self, fault: Fault | None, ask: Callable[..., Awaitable[Any]]
    ) -> AsyncIterator[tuple[World, Any, Any]]:
        """A call met by a fault at its first request, then its second, … and what came of each.

        With no fault: once, undisturbed. A call that sends nothing gives nothing.
        """
        for position in itertools.count():
            async with self._world() as world:
                async with world.opened() as connector:
                    receipt = await outcome(world.send(connector, self._sample(1)))
                    if fault is not None:
                        world.wire.arm(fault.play, position)
                    result = await outcome(ask(world, connector, receipt))
                if fault is not None and not world.wire.hits:
                    return
                yield world, receipt, result
            if fault is None:
                return

    async def _trusted(self, fault: Fault, position: int, receipt: Receipt) -> bool:
        """Whether a receipt without a readable answer has the partner's reference, or our key's."""
        async with self._world() as world, world.opened() as connector:
            sound = await self._sent(world, connector, 1)
        if sound.reference == receipt.reference:
            return True
        seen = []
        for number in (1, 2):
            async with self._world() as world, world.opened() as connector:
                world.wire.arm(fault.play, position)
                result = await outcome(world.send(connector, self._sample(number)))
                seen.append(result.reference if isinstance(result, Receipt) else "")
        return seen[0] == receipt.reference != seen[1] != ""

    async def _killed(
        self, world: World, submission: Submission, hang: Hang, position: int
    ) -> None:
        async with world.opened() as connector:
            world.wire.arm(hang, position)
            task = asyncio.ensure_future(world.send(connector, submission))
            await arrival(hang, task)
            task.cancel()
            await asyncio.wait({task}, timeout=2)

    def _questions(self) -> Iterator[tuple[str, Callable[..., Awaitable[Any]]]]:
        """Every call a connector can get, by name."""
        kind = self.connector
        yield "submit", lambda world, c, _: world.send(c, self._sample(7))
        yield "check", lambda _, c, __: c.check()
        if issubclass(kind, SupportsPolling):
            yield "status", lambda _, c, receipt: c.status(reference_of(receipt))
        if issubclass(kind, SupportsLookup):
            yield "find", find_first
        if issubclass(kind, SupportsWithdrawal):
            yield "withdraw", lambda _, c, receipt: c.withdraw(reference_of(receipt), "mistake")
        if issubclass(kind, SupportsReminders):
            yield "remind", lambda _, c, receipt: c.remind(self._reminder(receipt))
        if issubclass(kind, SupportsCorrection):
            yield (
                "correct",
                lambda _, c, receipt: c.correct(reference_of(receipt), self._revised(1)),
            )
        if issubclass(kind, SupportsGroups):
            yield "submit_group", lambda _, c, __: c.submit_group(self._several())
        if issubclass(kind, SupportsInbox):
            yield "collect", lambda _, c, __: c.collect(None)

    def _reminder(self, receipt: object, number: int = 1, role: str | None = None) -> Reminder:
        return Reminder(
            submission=self._sample(1),
            reference=reference_of(receipt),
            number=number,
            role=role,
            sent_at=NOW - timedelta(days=1),
        )

    def _revised(self, revision: int) -> Submission:
        return self._sample(1).model_copy(update={"revision": revision})

    def _several(self) -> list[Submission]:
        """A group: its keys are used for nothing else."""
        return [self._sample(number) for number in (11, 12, 13)]

    async def _rejections(self) -> list[str]:
        """What rejected callbacks show."""
        async with self._world() as world, world.opened() as connector:
            if not isinstance(connector, SupportsCallbacks) or self._given("callbacks") is None:
                return []
            sign = self._signer(connector)
            location = self._sample(1).location
            quoted = json.dumps({"type": location, "data": location, location: location})
            shown = []
            for request in (sign(quoted.encode()), sign(location.encode()), sign(b"{}")):
                for changed in (request, request.model_copy(update={"headers": {}})):
                    try:
                        connector.parse_callback(changed)
                    except Exception as error:  # noqa: BLE001  judged elsewhere
                        shown.append(f"callback: {texts(error)}")
            return shown

    def _without(self, forbidden: frozenset[str], instead: str) -> None:
        demand_none(guards.uses(self.connector, forbidden), instead)


def ended(result: object, given: Submission) -> str:
    """For messages: what a submission ended in, and why where that can be told."""
    unmapped = isinstance(result, KeyError) and result.args == (given.category,)
    if unmapped or getattr(result, "reason", "") == "category_not_accepted":
        why = f": the manifest takes category {given.category} and the mapping does not"
    elif isinstance(result, ConnectorError) and result.reason.startswith("http_4"):
        why = ": the fake refuses what the mapping makes"
    else:
        why = ""
    return f"ended in {name_of(result)}{why}"


def worded(said: object) -> None:
    reason = getattr(said, "reason", None)
    demand(reason is None or word(reason, "") == reason, "reason must be a machine word")


def reference_of(receipt: object) -> str:
    return receipt.reference if isinstance(receipt, Receipt) else "1"


async def find_first(_: World, connector: SupportsLookup, __: object) -> Receipt | None:
    return await connector.find(key_of(1))


def known(result: object) -> TypeGuard[Receipt]:
    return isinstance(result, Receipt)


async def arrival(hang: Hang, task: asyncio.Future[Any]) -> None:
    """Until the request hangs in the partner, or the task ended without it."""
    waiter = asyncio.ensure_future(hang.arrived.wait())
    await asyncio.wait({waiter, task}, timeout=5, return_when=asyncio.FIRST_COMPLETED)
    waiter.cancel()
    await asyncio.wait({waiter})
