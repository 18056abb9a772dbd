# SPDX-License-Identifier: Apache-2.0
"""The rules every connector keeps, each a test method that begins with the rule's id.

A rule that cannot apply is skipped with the reason, never passed. Rules run in an event loop of
their own, so that a test needs pytest and nothing else.
"""

import asyncio
import copy
import functools
import inspect
import itertools
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from importlib.metadata import EntryPoint, entry_points
from types import FunctionType
from typing import Any, ClassVar, NoReturn, TypeGuard, cast
from urllib.parse import urlsplit

import httpx
import pytest
from pydantic import BaseModel, SecretBytes, SecretStr, ValidationError

from wasl_connector_sdk.conformance import faults, guards, samples
from wasl_connector_sdk.conformance.faults import Fault, Hang, Wire
from wasl_connector_sdk.conformance.samples import NOW, key_of
from wasl_connector_sdk.conformance.world import (
    Partner,
    World,
    name_of,
    outcome,
    settled,
    texts,
)
from wasl_connector_sdk.contract import (
    AnyConnector,
    ConnectorConfig,
    Idempotency,
    SupportsCallbacks,
    SupportsInbox,
    SupportsLookup,
    SupportsPolling,
    SupportsSteps,
    SupportsWithdrawal,
)
from wasl_connector_sdk.errors import (
    AmbiguousOutcome,
    CallbackRejected,
    ConnectorError,
    CredentialsRejected,
    InvalidSubmission,
    PersonNeeded,
    RateLimited,
    SubmissionRefused,
    TransientError,
    word,
)
from wasl_connector_sdk.http import TestModeError, client
from wasl_connector_sdk.models import CallbackRequest, Inbox, Receipt, StatusUpdate, Submission
from wasl_connector_sdk.registry import GROUP, RegistryError, load

Rule = Callable[["ConnectorContract"], None]
#: No connector needs longer against a partner in memory.
_LIMIT = 30.0
_CANARY = "canary-value-of-a-wrong-type"
_ASYNC = {"status": 1, "find": 1, "withdraw": 2, "submit_in_steps": 2, "collect": 1}


def rule(check: Callable[["ConnectorContract"], Awaitable[None]]) -> Rule:
    """A test method in a loop of its own; its docstring is ``id: what it demands``."""
    name = (check.__doc__ or "").partition(":")[0]

    @functools.wraps(check)
    def test(self: "ConnectorContract") -> None:
        if name in self.exempt:
            pytest.skip(f"{name}: {self.exempt[name]}")

        async def limited() -> None:
            async with asyncio.timeout(_LIMIT):
                await check(self)

        asyncio.run(limited())

    test.rule = name  # type: ignore[attr-defined]
    return test


def rules(contract: type["ConnectorContract"] | None = None) -> dict[str, str]:
    """Method by rule id."""
    listed = inspect.getmembers(contract or ConnectorContract, lambda m: hasattr(m, "rule"))
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


class ConnectorContract:
    """Subclass it, name the connector, its fake and a config: every rule becomes a test.

    ``fake``: called without arguments, gives the partner: an httpx handler with ``reports``.
    ``submission``: changes to the sample request, or a function of its number and category that
    gives them; for a partner that takes certain addresses only, or each address once.
    ``callbacks``: a function that signs a body given (None: a good status message of its own, dated
    ``NOW``) and returns the callback. ``allowed``: what else ``submit`` may end in, by name of the
    fault, where the partner means something of its own by it. ``sandbox``: hosts of default
    addresses where nothing counts. ``by_hand``: a person submits, so every ``submit`` raises
    PersonNeeded. ``exempt``: why a rule does not apply, by its id. A partner that does not speak
    HTTP: override :meth:`partner`.
    """

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
            if name not in rules(cls) or not reason.strip():
                raise TypeError(f"{cls.__name__}.exempt: '{name}' is no rule, or has no reason")

    @asynccontextmanager
    async def partner(self) -> AsyncIterator[Partner]:
        """A partner that has no report yet, and the config that leads to it."""
        fake = self._given("fake")()
        yield Partner(fake, self.config, httpx.MockTransport(fake))

    # -- manifest and config --

    @rule
    async def test_manifest(self) -> None:
        """manifest: valid, with title, owner and docs; the entry point has the manifest's name."""
        kind = self.connector
        manifest = getattr(kind, "manifest", None)
        name = str(getattr(manifest, "name", ""))
        try:
            load(name, [_point(name, kind)])
        except RegistryError as error:
            raise AssertionError(str(error)) from None
        for field in ("title", "owner", "docs"):
            demand(getattr(manifest, field).strip(), f"Manifest.{field} is empty")
        for category in manifest.accepts or () if manifest else ():
            demand(word(category, "") == category, f"'{category}' is no category slug")
        for point in entry_points(group=GROUP):
            ours = point.value == f"{kind.__module__}:{kind.__qualname__}"
            demand(
                ours == (point.name == name),
                f"entry point '{point.name}' leads to {point.value}, the manifest says '{name}'",
            )

    @rule
    async def test_abilities(self) -> None:
        """abilities: each ability has the contract's form: what does I/O is async, the rest not."""
        kind = self.connector
        for name, arity in {"check": 0, "submit": 1, **_ASYNC}.items():
            method = getattr(kind, name, None)
            if method is not None:
                demand(inspect.iscoroutinefunction(method), f"{name} must be 'async def'")
                demand(_takes(method, arity + 1), f"{name} must take {arity} argument(s)")
        method = getattr(kind, "parse_callback", None)
        if method is not None:
            demand(not inspect.iscoroutinefunction(method), "parse_callback must not be async")
            demand(_takes(method, 2), "parse_callback must take 1 argument")

    @rule
    async def test_config_secrets(self) -> None:
        """config-secrets: a field named token, secret, password or key is a SecretStr."""
        found = guards.unprotected(self.connector.Config)
        demand_none(found, "plain text where SecretStr is needed")

    @rule
    async def test_config_strict(self) -> None:
        """config-strict: an unknown key is refused, at every level."""
        async with self._partner() as partner:
            for way, value in guards.leaves(self._configured(partner)):
                if isinstance(value, BaseModel):
                    changed = _with(partner.config, (*way, "unknown_key"), "x")
                    demand(
                        isinstance(self._validated(changed), ValidationError),
                        f"an unknown key in {_spelled(way)} was accepted",
                    )

    @rule
    async def test_config_quiet(self) -> None:
        """config-quiet: repr, str, JSON and validation errors of the config show no secret."""
        async with self._partner() as partner:
            config = self._configured(partner)
            hidden = guards.secrets(config)
            shown = f"{config!r} {config} {config.model_dump()} {config.model_dump_json()}"
            demand(not any(secret in shown for secret in hidden), "the config shows a secret")
            for way, value in guards.leaves(config):
                if isinstance(value, BaseModel):
                    wrong: list[Any] = [_with(partner.config, (*way, "unknown_key"), _CANARY)]
                elif isinstance(value, SecretStr | SecretBytes):
                    wrong = [_with(partner.config, way, given) for given in (_CANARY, [_CANARY])]
                    wrong.append(_with(partner.config, way, f"\x00 {_CANARY} " * 50))
                else:
                    continue
                for given in wrong:
                    error = self._validated(given)
                    told = str(error) if isinstance(error, Exception) else ""
                    leaks = _CANARY in told or any(secret in told for secret in hidden)
                    demand(not leaks, f"a validation error at {_spelled(way)} quotes a value")

    # -- life --

    @rule
    async def test_open_no_io(self) -> None:
        """open-no-io: ``open`` sends, connects and starts nothing before it is entered."""
        async with self._world() as world:
            before = asyncio.all_tasks()
            opening = world.opening()
            tasks = await settled(before)
            demand(not tasks, "open() started a task before it was entered")
            demand(not world.wire.requests, "open() sent a request before it was entered")
            demand(not world.network.strays, "open() used the network before it was entered")
            demand(not world.network.sockets, "open() connected before it was entered")
            async with opening as connector:
                demand(isinstance(connector, self.connector), "open() gives another type")

    @rule
    async def test_open_closes(self) -> None:
        """open-closes: leaving closes what it opened, not what it was lent, and hides no error."""
        async with self._world() as world:
            before = asyncio.all_tasks()
            with guards.clients() as made:
                async with world.opened() as connector:
                    await outcome(connector.check())
                    await outcome(world.send(connector, self._sample(1)))
                demand(all(c.is_closed for c in made), "an HTTP client of its own is left open")
                try:
                    async with world.opened():
                        _raise()
                except _InsideError:
                    pass
                else:
                    raise AssertionError("leaving open() swallowed an exception")
            demand(not world.http.is_closed, "the client it was lent was closed")
            demand(not await settled(before), "a task is left running")
            left = [sock for sock in world.network.sockets if sock.fileno() != -1]
            demand(not left, "a connection is left open")

    @rule
    async def test_check_creates_nothing(self) -> None:
        """check-creates-nothing: ``check`` succeeds on a sound partner and makes no report."""
        async with self._world() as world, world.opened() as connector:
            result = await outcome(connector.check())
            demand(result is None, f"check ended in {name_of(result)} on a sound partner")
            demand(world.reports == 0, "check made a report")

    # -- sending --

    @rule
    async def test_submit(self) -> None:
        """submit: each accepted category gives a Receipt and exactly one report."""
        for category in self._categories():
            async with self._world() as world, world.opened() as connector:
                result = await outcome(world.send(connector, self._sample(1, category)))
                if self.by_hand:
                    demand(
                        isinstance(result, PersonNeeded) and result.packet.strip(),
                        f"{category}: ended in {name_of(result)}, expected PersonNeeded",
                    )
                    continue
                demand(
                    isinstance(result, Receipt),
                    f"{category}: ended in {name_of(result)}, expected a Receipt",
                )
                demand(world.reports == 1, f"{category}: {world.reports} reports, expected 1")
                _worded(result)

    @rule
    async def test_same_key(self) -> None:
        """same-key: what declares NATIVE_KEY makes one report of one key, however often sent."""
        if self.connector.manifest.idempotency is not Idempotency.NATIVE_KEY:
            skip("the manifest does not declare NATIVE_KEY")
        self._needs_reports()
        async with self._world() as world:
            references = set()
            for _ in range(2):
                async with world.opened() as connector:
                    receipt = await self._sent(world, connector, 1)
                    again = await self._sent(world, connector, 1)
                    references |= {receipt.reference, again.reference}
            demand(world.reports == 1, f"the same key made {world.reports} reports")
            demand(len(references) == 1, "the same key got several references")
            async with world.opened() as connector:
                await self._sent(world, connector, 2)
            demand(world.reports == 2, "two keys made one report")

    @rule
    async def test_lookup(self) -> None:
        """lookup: ``find`` is None before a key was sent and its receipt after."""
        self._needs_reports()
        async with self._world() as world, world.opened() as connector:
            if not isinstance(connector, SupportsLookup):
                skip("the connector has no lookup")
            demand(await connector.find(key_of(1)) is None, "find knows a key never sent")
            demand(world.reports == 0, "find made a report")
            sent = {}
            for number in (1, 2, 3):
                sent[number] = (await self._sent(world, connector, number)).reference
            for number, reference in sent.items():
                found = await connector.find(key_of(number))
                demand(isinstance(found, Receipt), "find does not find a key that was sent")
                demand(found and found.reference == reference, "find gives another reference")
            demand(await connector.find(key_of(9)) is None, "find knows a key never sent")

    @rule
    async def test_lookup_certain(self) -> None:
        """lookup-certain: ``find`` never says None because of a fault; None means sent again."""
        await self._needs_http()
        if not issubclass(self.connector, SupportsLookup):
            skip("the connector has no lookup")
        broken, hit = [], False
        for fault in faults.KINDS:
            async for world, receipt, found in self._disturbed(fault, _find):
                hit = True
                if not isinstance(found, ConnectorError) and not _same(found, receipt):
                    place = f"{fault.name} at request {world.wire.hit + 1}"
                    broken.append(f"{place}: {name_of(found)}")
        if not hit:
            skip("the lookup asks nobody")
        demand_none(broken, "a lookup met by a fault must raise")

    # -- faults --

    @rule
    async def test_error_classes(self) -> None:
        """error-classes: each fault of transport or status ends in the error for it."""
        await self._needs_http()
        await self._judge((*faults.UNREACHABLE, *faults.NO_ANSWER, *faults.STATUSES))

    @rule
    async def test_unreadable_answers(self) -> None:
        """unreadable-answers: a 2xx that cannot be read is ambiguous, or a receipt by our key."""
        await self._needs_http()
        await self._judge(faults.UNREADABLE)

    @rule
    async def test_retry_after(self) -> None:
        """retry-after: RateLimited carries Retry-After in seconds, told as number or as date."""
        await self._needs_http()
        for fault in faults.WAITS:
            async with self._world() as world, world.opened() as connector:
                world.wire.arm(fault.play)
                result = await outcome(world.send(connector, self._sample(1)))
            if not isinstance(result, RateLimited):
                skip("429 is answered by something else; see error-classes")
            demand(
                result.retry_after == faults.WAIT,
                f"{fault.name}: retry_after is {result.retry_after}, expected {faults.WAIT}",
            )

    @rule
    async def test_huge_answers(self) -> None:
        """huge-answers: reading stops at a limit, whatever is asked."""
        await self._needs_http()
        fault = faults.UNREADABLE[-1]
        for name, ask in self._questions():
            async for world, _, _ in self._disturbed(fault, ask):
                read = max((stream.read for stream in world.wire.endless), default=0)
                demand(read < faults.HUGE, f"{name} read all of {read >> 20} MiB")

    @rule
    async def test_redirects(self) -> None:
        """redirects: none is followed, and each is an error."""
        await self._needs_http()
        await self._judge(faults.REDIRECTS)
        for fault in faults.REDIRECTS:
            for name, ask in self._questions():
                async for world, _, _ in self._disturbed(fault, ask):
                    went = [r for r in world.wire.requests if r.url.host == faults.ELSEWHERE]
                    demand(not went, f"{name} followed a redirect ({fault.name}) to another host")

    @rule
    async def test_no_retries(self) -> None:
        """no-retries: after a fault nothing is sent again; the gateway retries."""
        await self._needs_http()
        decisive, _ = await self._course()
        async with self._world() as world, world.opened() as connector:
            start = len(world.wire.requests)
            await self._sent(world, connector, 1)
            usual = Counter((r.method, str(r.url)) for r in world.wire.requests[start:])
        broken = []
        for fault in (*faults.UNREACHABLE, *faults.NO_ANSWER, *faults.STATUSES):
            if fault.name in {"401", "403"}:
                continue  # a session that ran out may be renewed
            async with self._world() as world, world.opened() as connector:
                start = len(world.wire.requests)
                world.wire.arm(fault.play, decisive)
                await outcome(world.send(connector, self._sample(1)))
                sent = Counter((r.method, str(r.url)) for r in world.wire.requests[start:])
            if any(count > usual[request] > 0 for request, count in sent.items()):
                broken.append(f"{fault.name}: what was sent is sent again")
        demand_none(broken, "a connector must not retry")

    @rule
    async def test_recovers_once(self) -> None:
        """recovers-once: whatever breaks, doing as the gateway does ends with one report at most.

        And with exactly one, unless a person has to find out or the error was final.
        """
        await self._needs_http()
        _, length = await self._course()
        broken = []
        for fault in (*faults.MATRIX, *faults.UNREADABLE):
            for position in range(length):
                async with self._world() as world:
                    submission = self._sample(1)
                    async with world.opened() as connector:
                        world.wire.arm(fault.play, position)
                        first = await outcome(world.send(connector, submission))
                    world.wire.disarm()
                    last: Any = first
                    if isinstance(first, Exception):
                        last = await outcome(world.resolve(first, submission))
                    reports, where = world.reports, f"{fault.name} at request {position + 1}"
                if isinstance(last, Exception):
                    broken.append(f"{where}: then {name_of(first)}, then {name_of(last)}")
                elif reports > 1 or (isinstance(last, Receipt) and reports == 0):
                    broken.append(f"{where}: {name_of(first)}, then {reports} reports")
        demand_none(broken, "not one report after recovery")

    @rule
    async def test_steps_resume(self) -> None:
        """steps-resume: a submission in steps, killed anywhere and called again, is one report."""
        if not issubclass(self.connector, SupportsSteps):
            skip("the connector submits in one step")
        await self._needs_http()
        _, length = await self._course()
        broken = []
        for position in range(length):
            for arrives in (False, True):
                async with self._world() as world:
                    submission = self._sample(1)
                    await self._killed(world, submission, Hang(arrives=arrives), position)
                    world.wire.disarm()
                    async with world.opened() as connector:
                        result = await outcome(world.send(connector, submission))
                    if not isinstance(result, Receipt) or world.reports != 1:
                        when = "after" if arrives else "before"
                        broken.append(
                            f"killed {when} request {position + 1} arrived: {name_of(result)}, "
                            f"{world.reports} reports"
                        )
        demand_none(broken, "a submission in steps was not resumed")

    @rule
    async def test_cancellation(self) -> None:
        """cancellation: a cancelled call ends at once, leaves no task, and the next one works."""
        await self._needs_http()
        _, length = await self._course()
        for position in range(length):
            async with self._world() as world, world.opened() as connector:
                before = asyncio.all_tasks()
                hang = Hang()
                world.wire.arm(hang, position)
                task = asyncio.ensure_future(world.send(connector, self._sample(1)))
                await _arrival(hang, task)
                task.cancel()
                done, _ = await asyncio.wait({task}, timeout=2)
                demand(done, "a cancelled submit does not end")
                demand(task.cancelled(), "a cancelled submit must let the cancellation out")
                demand(not await settled(before), "a cancelled submit leaves a task behind")
                world.wire.disarm()
                async with asyncio.timeout(5):
                    result = await outcome(world.send(connector, self._sample(2)))
                demand(isinstance(result, Receipt), f"the next submit ends in {name_of(result)}")

    @rule
    async def test_concurrency(self) -> None:
        """concurrency: 50 submissions at once share the client and make 50 reports."""
        self._needs_reports()
        async with self._world() as world, world.opened() as connector:
            with guards.clients() as made:
                numbers = range(1, 51)
                work = [world.send(connector, self._sample(number)) for number in numbers]
                results = await asyncio.gather(*map(outcome, work))
                demand(not made, "a client was made for a submission; use rt.http")
            failed = {name_of(r) for r in results if not isinstance(r, Receipt)}
            demand(not failed, f"of 50 at once some ended in {', '.join(sorted(failed))}")
            demand(world.reports == 50, f"50 submissions at once made {world.reports} reports")
            references = [receipt.reference for receipt in results if _known(receipt)]
            demand(len(set(references)) == 50, "two submissions got one reference")
            if isinstance(connector, SupportsLookup):
                for number, reference in zip(numbers, references, strict=True):
                    found = await connector.find(key_of(number))
                    demand(found and found.reference == reference, "references were mixed up")

    # -- following --

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
            _worded(update)

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
        self._needs_reports()
        async with self._world() as world, world.opened() as connector:
            if not isinstance(connector, SupportsWithdrawal):
                skip("the connector cannot withdraw")
            receipt = await self._sent(world, connector, 1)
            ended = []
            for turn in ("first", "second"):
                result = await outcome(connector.withdraw(receipt.reference, "mistake"))
                fine = result is None or isinstance(result, SubmissionRefused)
                demand(fine, f"the {turn} withdrawal ended in {name_of(result)}")
                ended.append(type(result))
            demand(len(set(ended)) == 1, "the second withdrawal ended otherwise than the first")
            demand(world.reports <= 1, "withdrawing made a report")

    @rule
    async def test_typed_errors(self) -> None:
        """typed-errors: status, find, withdraw and check raise errors of the SDK only."""
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

    # -- callbacks --

    @rule
    async def test_callback(self) -> None:
        """callback: a good one is read, the same way each time, and has an event_id."""
        async with self._receiving() as (connector, sign):
            good = sign(None)
            first, second = connector.parse_callback(good), connector.parse_callback(good)
            demand(first, "a good callback says nothing")
            demand(list(first) == list(second), "one callback was read in two ways")
            demand(all(isinstance(u, StatusUpdate) for u in first), "not a StatusUpdate")
            demand(all(u.event_id for u in first), "an update has no event_id")
            for update in first:
                _worded(update)

    @rule
    async def test_callback_signature(self) -> None:
        """callback-signature: missing and wrong signatures are rejected as ``signature``."""
        async with self._receiving() as (connector, sign):
            good = sign(None)
            proofs = [
                name
                for name in good.headers
                if any(w in name for w in ("signature", "auth", "token", "hmac", "digest", "key"))
            ]
            wrong: list[dict[str, str]] = [{}]
            for name in proofs:
                wrong.append({k: v for k, v in good.headers.items() if k != name})
                wrong += [{**good.headers, name: value} for value in _forged(good.headers[name])]
            for headers in wrong:
                changed = good.model_copy(update={"headers": headers})
                _rejected(connector, changed, {"signature"}, "a wrong signature")

    @rule
    async def test_callback_altered(self) -> None:
        """callback-altered: a body that was changed on its way is rejected as ``signature``."""
        async with self._receiving() as (connector, sign):
            good = sign(None)
            flipped = bytearray(good.body)
            flipped[len(flipped) // 2] ^= 1
            for body in (good.body + b" ", bytes(flipped), good.body[:-1], b""):
                changed = good.model_copy(update={"body": body})
                _rejected(connector, changed, {"signature"}, "an altered body")

    @rule
    async def test_callback_stale(self) -> None:
        """callback-stale: a message of another day is rejected, before or after."""
        async with self._receiving() as (connector, sign):
            good = sign(None)
            for away in (timedelta(days=1), timedelta(hours=1), -timedelta(days=1)):
                changed = good.model_copy(update={"received_at": NOW + away})
                _rejected(connector, changed, {"stale", "signature"}, "a stale message")

    @rule
    async def test_callback_unknown_fields(self) -> None:
        """callback-unknown-fields: fields nobody agreed on change nothing."""
        async with self._receiving() as (connector, sign):
            good = sign(None)
            try:
                document = json.loads(good.body)
            except ValueError:
                skip("callbacks are not JSON")
            more = sign(json.dumps(_grown(document)).encode())
            try:
                updates = connector.parse_callback(more)
            except CallbackRejected as error:
                raise AssertionError(f"unknown fields were rejected ({error.reason})") from None
            said = [(u.outcome, u.reference, u.idempotency_key, u.reason) for u in updates]
            expected = [
                (u.outcome, u.reference, u.idempotency_key, u.reason)
                for u in connector.parse_callback(good)
            ]
            demand(said == expected, "unknown fields changed what was read")

    @rule
    async def test_callback_malformed(self) -> None:
        """callback-malformed: what is signed and cannot be read is rejected as ``malformed``."""
        bodies = (
            b"", b"{", b"{}", b"[]", b"null", b"1", b'"text"', b"\xff\xfe", b"[" * 50_000,
            b'{"type": 1, "data": null}', b'{"data": []}', b"<x/>",
        )  # fmt: skip
        async with self._receiving() as (connector, sign):
            for body in bodies:
                what = f"the signed body {body[:30]!r}"
                _rejected(connector, sign(body), {"malformed"}, what)

    @rule
    async def test_callback_pure(self) -> None:
        """callback-pure: reading a callback asks no partner, no network and no clock."""
        async with self._world() as world, world.opened() as connector:
            sign = self._signer(connector)
            good = sign(None)
            before = len(world.wire.requests), asyncio.all_tasks()
            world.clock.stopped = True
            try:
                cast("SupportsCallbacks", connector).parse_callback(good)
            finally:
                world.clock.stopped = False
            demand(not await settled(before[1]), "parse_callback started a task")
            demand(len(world.wire.requests) == before[0], "parse_callback sent a request")
            demand(not world.network.strays, "parse_callback used the network")

    # -- silence --

    @rule
    async def test_no_leaks(self) -> None:
        """no-leaks: no location, no statement and no secret in logs or exception texts."""
        submission = self._sample(1)
        async with self._world() as world:
            config = world.config
        public = self.connector.manifest.production | guards.hosts(config) | self.sandbox
        hidden = samples.canaries(submission, public) | guards.secrets(config)
        shown: list[str] = []
        with guards.Log() as log:
            for fault in (None, *(faults.KINDS if await self._speaks_http() else ())):
                for _, ask in self._questions():
                    async for _, receipt, result in self._disturbed(fault, ask):
                        name = fault.name if fault else "no fault"
                        found = (receipt, result)
                        shown += [f"{name}: {texts(e)}" for e in found if isinstance(e, Exception)]
            shown += await self._rejections()
        shown += [f"log: {line}" for line in log.lines]
        leaks = {f"{text.partition(':')[0]}" for text in shown if any(w in text for w in hidden)}
        demand_none(sorted(leaks), "the sample's location or statement, or a secret, shows at")

    @rule
    async def test_only_partner(self) -> None:
        """only-partner: nothing is called but the addresses in the config."""
        async with self._world() as world:
            known = guards.hosts(world.config) | {
                str(urlsplit(getattr(world.partner.fake, "base", "")).hostname)
            }
            for _, ask in self._questions():
                async with world.opened() as connector:
                    receipt = await outcome(world.send(connector, self._sample(1)))
                    await outcome(ask(world, connector, receipt))
            strays = {r.url.host for r in world.wire.requests if r.url.host not in known}
            demand_none(sorted(strays), "hosts that are not in the config were called")
            demand_none(world.network.strays, "the network was used beside the client")

    @rule
    async def test_test_mode(self) -> None:
        """test-mode: default addresses are declared; without ``live`` production is not reached."""
        manifest = self.connector.manifest
        declared = manifest.production | self.sandbox
        for field, host in guards.defaults(self.connector.Config).items():
            demand(
                any(host == h or host.endswith(f".{h}") for h in declared),
                f"the default of {field} leads to {host}: name it in Manifest.production",
            )
        if not manifest.production:
            skip("the manifest names no production host: addresses come from the deployment")
        async with self._partner() as partner:
            base = urlsplit(str(getattr(partner.fake, "base", "https://fake.test"))).hostname
            bare = {k: v for k, v in partner.config.items() if urlsplit(str(v)).hostname != base}
            if isinstance(self._validated({**bare, "live": False}), Exception):
                skip("the addresses have no defaults")
        async with self._world({**bare, "live": False}) as world:
            for name, ask in self._questions():
                refused = _count_refusals(world.http)
                async with world.opened() as connector:
                    result = await outcome(ask(world, connector, Receipt(reference="1")))
                if refused:
                    demand(
                        isinstance(result, InvalidSubmission) or name == "check",
                        f"{name}: refused by test mode, it must end in that error, "
                        f"not in {name_of(result)}",
                    )
            reached = {r.url.host for r in world.wire.requests if _below(r.url.host, manifest)}
            demand(not reached, f"test mode reached production: {', '.join(sorted(reached))}")

    # -- source --

    @rule
    async def test_no_environment(self) -> None:
        """no-environment: the source reads no environment and opens no file."""
        self._without(guards.ENVIRONMENT, "settings come in Config")

    @rule
    async def test_injected_clock(self) -> None:
        """injected-clock: the source takes the time from ``rt.clock`` only."""
        self._without(guards.CLOCK, "the time comes from rt.clock")

    @rule
    async def test_no_waiting(self) -> None:
        """no-waiting: the source neither sleeps nor retries."""
        self._without(guards.WAITING, "the gateway waits, a connector does not")

    @rule
    async def test_no_output(self) -> None:
        """no-output: the source prints nothing and logs through ``rt.log`` only."""
        self._without(guards.OUTPUT, "what is to be said goes to rt.log")

    @rule
    async def test_lent_client(self) -> None:
        """lent-client: the source makes no HTTP client; it uses ``rt.http``."""
        self._without(guards.HTTP, "HTTP goes through rt.http")

    # -- how the rules do it --

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
        result = await outcome(world.send(connector, self._sample(number)))
        if not _known(result):
            raise AssertionError(f"an undisturbed submission ended in {name_of(result)}")
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
                if position == decisive and fault in faults.UNREADABLE and _known(result):
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
            await _arrival(hang, task)
            task.cancel()
            await asyncio.wait({task}, timeout=2)

    def _questions(self) -> Iterator[tuple[str, Callable[..., Awaitable[Any]]]]:
        """Every call a connector can get, by name."""
        kind = self.connector
        yield "submit", lambda world, c, _: world.send(c, self._sample(7))
        yield "check", lambda _, c, __: c.check()
        if issubclass(kind, SupportsPolling):
            yield "status", lambda _, c, receipt: c.status(_reference(receipt))
        if issubclass(kind, SupportsLookup):
            yield "find", _find
        if issubclass(kind, SupportsWithdrawal):
            yield "withdraw", lambda _, c, receipt: c.withdraw(_reference(receipt), "mistake")
        if issubclass(kind, SupportsInbox):
            yield "collect", lambda _, c, __: c.collect(None)

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


class _InsideError(Exception):
    """Raised inside ``open`` to see whether it comes out."""


def _raise() -> NoReturn:
    raise _InsideError


def _point(name: str, kind: object) -> EntryPoint:
    class Point(EntryPoint):
        def load(self) -> object:
            return kind

    return Point(name, f"{getattr(kind, '__module__', '')}:{kind}", GROUP)


def _takes(method: Callable[..., object], arguments: int) -> bool:
    try:
        inspect.signature(method).bind(*range(arguments))
    except TypeError:
        return False
    return True


def _with(config: Mapping[str, Any], way: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    """The config as given with one value replaced."""
    changed = copy.deepcopy(dict(config))
    inner: Any = changed
    for step in way[:-1]:
        inner = inner.setdefault(step, {}) if isinstance(inner, dict) else inner[step]
    inner[way[-1]] = value
    return changed


def _spelled(way: tuple[str | int, ...]) -> str:
    return ".".join(map(str, way)) or "the config"


def _worded(said: object) -> None:
    reason = getattr(said, "reason", None)
    demand(reason is None or word(reason, "") == reason, "reason must be a machine word")


def _reference(receipt: object) -> str:
    return receipt.reference if isinstance(receipt, Receipt) else "1"


async def _find(_: World, connector: SupportsLookup, __: object) -> Receipt | None:
    return await connector.find(key_of(1))


def _same(found: object, receipt: object) -> bool:
    return _known(found) and _known(receipt) and found.reference == receipt.reference


def _known(result: object) -> TypeGuard[Receipt]:
    return isinstance(result, Receipt)


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


async def _arrival(hang: Hang, task: asyncio.Future[Any]) -> None:
    """Until the request hangs in the partner, or the task ended without it."""
    waiter = asyncio.ensure_future(hang.arrived.wait())
    await asyncio.wait({waiter, task}, timeout=5, return_when=asyncio.FIRST_COMPLETED)
    waiter.cancel()
    await asyncio.wait({waiter})


def _forged(proof: str) -> list[str]:
    middle = len(proof) // 2
    other = "A" if proof[middle : middle + 1] != "A" else "B"
    return ["", "v1,", "x", proof[:middle] + other + proof[middle + 1 :], "é" + proof]


def _rejected(
    connector: SupportsCallbacks, request: CallbackRequest, reasons: set[str], what: str
) -> None:
    try:
        connector.parse_callback(request)
    except CallbackRejected as error:
        if error.reason not in reasons:
            raise AssertionError(
                f"{what}: rejected as '{error.reason}', expected {' or '.join(sorted(reasons))}"
            ) from None
    except Exception as error:
        raise AssertionError(
            f"{what}: {type(error).__name__}, expected CallbackRejected"
        ) from error
    else:
        raise AssertionError(f"{what} was accepted")


def _grown(document: Any) -> Any:
    """The document with unknown fields in every object."""
    if isinstance(document, dict):
        inner = {key: _grown(value) for key, value in document.items()}
        return {**inner, "unknown_to_all": {"x": [1]}}
    if isinstance(document, list):
        return [_grown(value) for value in document]
    return document


def _count_refusals(http: httpx.AsyncClient) -> list[str]:
    """Hosts the client refuses from now on."""
    refused: list[str] = []

    def counting(
        hook: Callable[[httpx.Request], Awaitable[None]],
    ) -> Callable[[httpx.Request], Awaitable[None]]:
        async def call(request: httpx.Request) -> None:
            try:
                await hook(request)
            except TestModeError:
                refused.append(request.url.host)
                raise

        return call

    hooks = http.event_hooks["request"]
    http.event_hooks = {"request": [counting(hook) for hook in hooks]}
    return refused


def _below(host: str, manifest: Any) -> bool:
    return any(host == h or host.endswith(f".{h}") for h in manifest.production)
