# SPDX-License-Identifier: Apache-2.0
"""The kit passes sound connectors and rejects each broken one by the rule it breaks, no other."""

import asyncio
import importlib.util
import json
import re
import socket
import sys
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

import pytest
import wasl_connector_sdk
from fakes.example import (
    MANIFEST,
    MEASURES,
    Example,
    ExampleConfig,
    ExampleLookup,
    FakeExample,
    FakeLine,
    FakeSteps,
    ForgetfulExample,
    Line,
    Once,
    Steps,
    callback,
)  # fmt: skip
from pydantic import ConfigDict, field_validator
from wasl_connector_sdk import (
    AmbiguousOutcome,
    CallbackRejected,
    ConnectorConfig,
    CredentialsRejected,
    Evidence,
    Idempotency,
    InvalidSubmission,
    Manifest,
    PersonNeeded,
    RateLimited,
    Receipt,
    StatusUpdate,
    SubmissionRefused,
    TransientError,
)
from wasl_connector_sdk.conformance import ConnectorContract, Partner, rules
from wasl_connector_sdk.conformance.samples import sample
from wasl_connector_sdk.http import TestModeError, exchange, expect


class TestExample(ConnectorContract):
    connector = Example
    fake = FakeExample
    config: ClassVar = {"base_url": FakeExample.base, "token": FakeExample.token}
    callbacks = callback


class TestLookup(TestExample):
    connector = ExampleLookup
    fake = ForgetfulExample


class TestOnce(TestExample):
    connector = Once
    fake = ForgetfulExample


class TestSteps(ConnectorContract):
    connector = Steps
    fake = FakeSteps
    config: ClassVar = {"base_url": FakeSteps.base, "token": "secret-token"}


class TestLine(ConnectorContract):
    """A partner that does not speak HTTP takes one method more."""

    connector = Line
    fake = FakeLine

    @asynccontextmanager
    async def partner(self):
        async with FakeLine().serving() as line:
            host, port = line.address
            yield Partner(line, {"host": host, "port": port}, addresses=frozenset({line.address}))


# -- broken connectors: each breaks one rule --

BROKEN = []


def breaks(*broken, base=TestExample, **attributes):
    """Registers a connector that the rules named must reject, and no other."""

    def register(kind):
        given = {"connector": kind, "__test__": False, **attributes}
        BROKEN.append((set(broken), type(f"Broken{kind.__name__}", (base,), given)))
        return kind

    return register


def manifest(**changes):
    return Manifest(**{**MANIFEST, **MEASURES, "idempotency": Idempotency.NATIVE_KEY, **changes})


@breaks("manifest")
class NoOwner(Example):
    manifest = manifest(owner=" ")


@breaks("manifest")
class NoDocs(Example):
    manifest = manifest(docs="")


@breaks("manifest")
class NameOfAnother(Example):
    manifest = manifest(name="reference")


@breaks("abilities")
class CheckIsNotAsync(Example):
    def check(self):
        return super().check()


@breaks("config-secrets")
class PlainPassword(Example):
    class Config(ExampleConfig):
        smtp_password: str = ""


@breaks("config-secrets")
class PlainKeyInside(Example):
    class Config(ExampleConfig):
        class Account(ConnectorConfig):
            api_key: str | None = None

        accounts: dict[str, Account] = {}  # noqa: RUF012


@breaks("config-strict")
class IgnoresUnknownKeys(Example):
    class Config(ExampleConfig):
        model_config = ConfigDict(extra="ignore")


@breaks("config-quiet")
class QuotesInput(Example):
    class Config(ExampleConfig):
        model_config = ConfigDict(hide_input_in_errors=False)


@breaks("config-quiet")
class ReprShowsSecret(Example):
    class Config(ExampleConfig):
        def __repr__(self):
            return f"Config({self.token.get_secret_value()})"


@breaks("config-quiet")
class ValidatorQuotesSecret(Example):
    class Config(ExampleConfig):
        @field_validator("token")
        @classmethod
        def known(cls, token):
            if not token.get_secret_value().startswith("secret-"):
                raise ValueError(f"bad token {token.get_secret_value()}")
            return token


@breaks("open-no-io")
class StartsBeforeEntered(Example):
    @classmethod
    def open(cls, config, rt):
        task = asyncio.ensure_future(asyncio.Event().wait())

        @asynccontextmanager
        async def opening():
            try:
                yield cls(config, rt)
            finally:
                task.cancel()
                await asyncio.wait({task})

        return opening()


@breaks("open-closes")
class LeavesTask(Example):
    @classmethod
    @asynccontextmanager
    async def open(cls, config, rt):
        connector = cls(config, rt)
        connector.task = asyncio.ensure_future(asyncio.Event().wait())
        yield connector


@breaks("open-closes")
class SwallowsErrors(Example):
    @classmethod
    @asynccontextmanager
    async def open(cls, config, rt):
        with suppress(Exception):
            yield cls(config, rt)


@breaks("open-closes", base=TestLine)
class LeavesConnection(Line):
    async def say(self, line):
        reader, writer = await asyncio.open_connection(self.config.host, self.config.port)
        writer.write(line.encode() + b"\n")
        await reader.readline()
        KEPT.append(writer)


KEPT = []


@breaks("check-creates-nothing")
class CheckReports(Example):
    async def check(self):
        answer = await self.ask("POST", "/reports", content=b'{"key": "check"}')
        expect(answer, self.rt.clock.now())


@breaks("submit")
class RefusesOneCategory(Example):
    async def submit(self, submission):
        if submission.category == "terrorism":
            raise InvalidSubmission
        return await super().submit(submission)


@breaks("same-key", "recovers-once", fake=ForgetfulExample)
class SameKeyTwoReports(Example):
    pass


@breaks("lookup")
class FindsWhatIsNotThere(Example):
    async def find(self, idempotency_key):
        return await super().find(idempotency_key) or Receipt(reference="E-0")


@breaks("lookup-certain")
class SaysNoneWhenUnsure(Example):
    async def find(self, idempotency_key):
        try:
            return await super().find(idempotency_key)
        except TransientError as error:
            if error.reason != "unreadable_answer":
                raise
            return None


@breaks("error-classes")
class TimeoutIsTransient(Example):
    async def submit(self, submission):
        try:
            return await super().submit(submission)
        except AmbiguousOutcome as error:
            if error.reason != "no_answer":
                raise
            raise TransientError from None


@breaks("error-classes")
class ServerErrorIsInvalid(Example):
    async def submit(self, submission):
        try:
            return await super().submit(submission)
        except TransientError as error:
            if error.reason != "http_502":
                raise
            raise InvalidSubmission from None


@breaks("error-classes")
class UntypedError(Example):
    async def submit(self, submission):
        try:
            return await super().submit(submission)
        except CredentialsRejected:
            raise PermissionError from None


@breaks("retry-after")
class ForgetsTheWait(Example):
    async def submit(self, submission):
        try:
            return await super().submit(submission)
        except RateLimited:
            raise RateLimited from None


@breaks("unreadable-answers")
class InventsReference(Example):
    def receipt(self, body):
        try:
            return super().receipt(body)
        except AmbiguousOutcome:
            return Receipt(reference="accepted")


@breaks("unreadable-answers")
class TrustsTheBody(Example):
    def receipt(self, body):
        return Receipt(reference=body["id"], outcome=body["state"])


@breaks("huge-answers")
class ReadsAll(Example):
    async def ask(self, method, path, **more):
        return await super().ask(method, path, max_body=1 << 30, **more)


@breaks("redirects")
class FollowsRedirects(Example):
    async def ask(self, method, path, **more):
        answer = await super().ask(method, path, **more)
        if 300 <= answer.status < 400:
            headers = {"authorization": "Bearer session-1"}
            answer = await exchange(
                self.rt.http, method, answer.headers["location"], headers=headers
            )
        return answer


@breaks("redirects")
class ClientFollowsRedirects(Example):
    def __init__(self, config, rt):
        super().__init__(config, rt)
        rt.http.follow_redirects = True


@breaks("no-retries")
class TriesAgain(Example):
    async def submit(self, submission):
        try:
            return await super().submit(submission)
        except TransientError:
            return await super().submit(submission)


@breaks("recovers-once", base=TestLookup)
class ConfirmsAndGivesUp(ExampleLookup):
    async def submit(self, submission):
        receipt = await super().submit(submission)
        try:
            await self.status(receipt.reference)
        except TransientError as error:
            if error.reason.startswith("http_5"):
                raise
            raise AmbiguousOutcome from None
        return receipt


@breaks("steps-resume", base=TestSteps)
class ForgetsItsSteps(Steps):
    async def submit_in_steps(self, submission, progress):
        progress.values.clear()
        return await super().submit_in_steps(submission, progress)


@breaks("cancellation")
class SwallowsCancellation(Example):
    async def submit(self, submission):
        try:
            return await super().submit(submission)
        except asyncio.CancelledError:
            raise AmbiguousOutcome from None


@breaks("cancellation")
class GoesOnBehindTheBack(Example):
    async def submit(self, submission):
        return await asyncio.shield(asyncio.ensure_future(super().submit(submission)))


@breaks("cancellation")
class KeepsTheLock(Example):
    def __init__(self, config, rt):
        super().__init__(config, rt)
        self.lock = asyncio.Lock()

    async def submit(self, submission):
        await self.lock.acquire()
        try:
            receipt = await super().submit(submission)
        except Exception:
            self.lock.release()
            raise
        self.lock.release()
        return receipt


@breaks("concurrency")
class SharesState(Example):
    async def submit(self, submission):
        self.last = submission
        await self.session()
        return await super().submit(self.last)


@breaks("status")
class NamesAnotherReference(Example):
    async def status(self, reference):
        update = await super().status(reference)
        return update.model_copy(update={"reference": "E-9"})


@breaks("status")
class SaysProse(Example):
    async def status(self, reference):
        update = await super().status(reference)
        return update.model_copy(update={"reason": "We removed it, thanks!"})


@breaks("status-unknown")
class QuotesNothing(Example):
    async def status(self, reference):
        answer = await self.ask("GET", f"/reports/{reference}")
        if answer.status == 404:
            raise SubmissionRefused(code="unknown_reference")
        body = expect(answer, self.rt.clock.now()).json()
        if not isinstance(body, dict) or "state" not in body:
            raise TransientError
        return StatusUpdate(reference=reference, outcome=body["state"])


@breaks("status-unknown")
class UnknownIsTransient(Example):
    async def status(self, reference):
        try:
            return await super().status(reference)
        except SubmissionRefused:
            raise TransientError from None


@breaks("withdrawal")
class SecondWithdrawalFails(Example):
    gone = False

    async def withdraw(self, reference, reason):
        await super().withdraw(reference, reason)
        if self.gone:
            raise TransientError
        self.gone = True


@breaks("withdrawal")
class WithdrawsByReporting(Example):
    async def withdraw(self, reference, reason):
        await self.submit(OTHER)


#: A request under a key the kit does not use.
OTHER = sample(99, "defamation", {})


@breaks("accepts")
class TakesAnything(Example):
    manifest = manifest(accepts=frozenset({"defamation"}))


@breaks("accepts")
class RefusesTheWrongWay(Example):
    manifest = manifest(accepts=frozenset({"defamation"}))

    async def submit(self, submission):
        if submission.category != "defamation":
            raise TransientError
        return await super().submit(submission)


@breaks("extremes")
class NeverCuts(Example):
    def body(self, submission):
        return {**super().body(submission), "note": submission.explanation}


@breaks("extremes")
class WantsWords(Example):
    def body(self, submission):
        return {**super().body(submission), "first": submission.explanation.split()[0]}


@breaks("extremes")
class KnowsOneCountry(Example):
    async def submit(self, submission):
        {"MA": 1}[submission.scope]
        return await super().submit(submission)


@breaks("extremes")
class RefusesWhatItSent(Example):
    async def submit(self, submission):
        receipt = await super().submit(submission)
        if len(submission.location) > 1000:
            raise InvalidSubmission
        return receipt


@breaks("measures")
class AsksForMoreThanWasDecided(Example):
    def body(self, submission):
        return {**super().body(submission), "measure": "remove"}


@breaks("measures")
class TellsOneMeasureAsAnother(Example):
    def body(self, submission):
        told = {"age_restrict": "label"}.get(submission.measure, submission.measure)
        return {**super().body(submission), "measure": told}


@breaks("measures")
class RefusesWhatItCarries(Example):
    async def submit(self, submission):
        if submission.measure == "label":
            raise InvalidSubmission
        return await super().submit(submission)


@breaks("evidence")
class SendsMoreThanItSays(Example):
    def body(self, submission):
        return {**super().body(submission), "more": [e.value for e in submission.evidence]}


@breaks("evidence")
class SaysMoreThanItSends(Example):
    manifest = manifest(evidence=Evidence.HASHES)


@breaks("evidence")
class StumblesOverEvidence(Example):
    async def submit(self, submission):
        if submission.evidence:
            raise TransientError
        return await super().submit(submission)


@breaks("reminders")
class RemindsByReporting(Example):
    async def remind(self, reminder):
        await self.submit(OTHER)


@breaks("reminders")
class StumblesOverRoles(Example):
    async def remind(self, reminder):
        await super().remind(reminder.model_copy(update={"role": None}))
        if reminder.role is not None:
            raise KeyError(reminder.role)


@breaks("reminders")
class NothingForThePerson(Example):
    async def remind(self, reminder):
        if reminder.role is not None:
            raise PersonNeeded("")
        await super().remind(reminder)


@breaks("corrections")
class SecondCorrectionFails(Example):
    revision = 0

    async def correct(self, reference, submission):
        await super().correct(reference, submission)
        if submission.revision == self.revision:
            raise SubmissionRefused
        self.revision = submission.revision


@breaks("corrections")
class CorrectsByReporting(Example):
    async def correct(self, reference, submission):
        key = f"{submission.idempotency_key}-{submission.revision}"
        await self.submit(submission.model_copy(update={"idempotency_key": key}))


@breaks("groups")
class AnswersBackwards(Example):
    async def submit_group(self, submissions):
        return list(reversed(await super().submit_group(submissions)))


@breaks("groups")
class OneReferenceForTwo(Example):
    async def submit_group(self, submissions):
        first, _, *more = await super().submit_group(submissions)
        return [first, first, *more]


@breaks("groups")
class ForgetsTheLast(Example):
    async def submit_group(self, submissions):
        return (await super().submit_group(submissions))[:-1]


@breaks("groups-whole")
class SendsOneByOne(Example):
    async def submit_group(self, submissions):
        return [await self.submit(submission) for submission in submissions]


@breaks("groups-whole")
class SaysNotSentWhenUnsure(Example):
    async def submit_group(self, submissions):
        try:
            return await super().submit_group(submissions)
        except AmbiguousOutcome:
            raise TransientError from None


@breaks("typed-errors")
class RemindsInVain(Example):
    async def remind(self, reminder):
        with suppress(TransientError):
            await super().remind(reminder.model_copy(update={"role": None}))


@breaks("typed-errors")
class CorrectsUntyped(Example):
    async def correct(self, reference, submission):
        try:
            await super().correct(reference, submission)
        except CredentialsRejected:
            raise PermissionError from None


@breaks("typed-errors")
class StatusTrustsTheBody(Example):
    async def status(self, reference):
        answer = await self.ask("GET", f"/reports/{quote(reference, safe='')}")
        if answer.status == 404:
            raise SubmissionRefused(code="unknown_reference")
        body = expect(answer, self.rt.clock.now()).json()
        return StatusUpdate(reference=reference, outcome=body["state"])


@breaks("typed-errors")
class RemovedWhenUnreadable(Example):
    async def status(self, reference):
        try:
            return await super().status(reference)
        except TransientError as error:
            if error.reason != "unreadable_answer":
                raise
            return StatusUpdate(reference=reference, outcome="removed")


@breaks("inbox")
class RenamesItsMessages(Example):
    count = 0

    async def collect(self, cursor):
        inbox = await super().collect(cursor)
        self.count += 1
        named = [u.model_copy(update={"event_id": f"e{self.count}"}) for u in inbox.updates]
        return inbox.model_copy(update={"updates": tuple(named)})


@breaks("inbox")
class StaysWhereItIs(Example):
    async def collect(self, cursor):
        return await super().collect("0")


@breaks("callback")
class CallbackWithoutName(Example):
    def update(self, body):
        return super().update(body).model_copy(update={"event_id": None})


@breaks("callback-signature")
class AcceptsUnsigned(Example):
    def parse_callback(self, request):
        if not request.headers.get("example-signature"):
            return (self.update(request.body),)
        return super().parse_callback(request)


@breaks("callback-signature")
class StumblesOverSignature(Example):
    def parse_callback(self, request):
        request.headers.get("example-signature", "").encode("ascii")
        return super().parse_callback(request)


def half(request, body):
    """The callback with a proof over the time alone."""
    return callback(b"").model_copy(update={"body": request.body if body is None else body})


@breaks("callback-altered", callbacks=lambda body: half(callback(None), body))
class SignsTheTimeOnly(Example):
    def parse_callback(self, request):
        super_request = request.model_copy(update={"body": b""})
        with suppress(ReadAnyway):
            ProofOnly.parse_callback(self, super_request)
        return (self.update(request.body),)


class ReadAnyway(Exception):  # noqa: N818
    pass


class ProofOnly(Example):
    def parse_callback(self, request):
        try:
            super(SignsTheTimeOnly, self).parse_callback(request)
        except CallbackRejected as error:
            if error.reason == "malformed":
                raise ReadAnyway from None
            raise


@breaks("callback-stale")
class TakesOldNews(Example):
    def parse_callback(self, request):
        try:
            return super().parse_callback(request)
        except CallbackRejected as error:
            if error.reason != "stale":
                raise
            return (self.update(request.body),)


@breaks("callback-unknown-fields")
class InsistsOnFields(Example):
    def update(self, body):
        update = super().update(body)
        if len(json.loads(body)) > 3:
            raise CallbackRejected(reason="malformed")
        return update


@breaks("callback-malformed")
class StumblesOverBody(Example):
    def update(self, body):
        document = json.loads(body)
        return StatusUpdate(
            reference=document["id"], outcome=document["state"], event_id=document["event"]
        )


@breaks("callback-malformed")
class SaysSignatureForAll(Example):
    def update(self, body):
        try:
            return super().update(body)
        except CallbackRejected:
            raise CallbackRejected from None


@breaks("callback-pure")
class LooksAtTheClock(Example):
    def parse_callback(self, request):
        self.rt.clock.now()
        return super().parse_callback(request)


@breaks("no-leaks")
class LogsLocation(Example):
    async def submit(self, submission):
        self.rt.log.info("sending", extra={"to": submission.location})
        return await super().submit(submission)


@breaks("no-leaks")
class LogsReminders(Example):
    async def remind(self, reminder):
        self.rt.log.info("reminding", extra={"about": reminder.submission.location})
        await super().remind(reminder)


@breaks("no-leaks")
class LogsCorrections(Example):
    async def correct(self, reference, submission):
        self.rt.log.info("correcting", extra={"said": submission.explanation})
        await super().correct(reference, submission)


@breaks("no-leaks")
class LogsTheTokenOfAGroup(Example):
    async def submit_group(self, submissions):
        self.rt.log.info("a group", extra={"as": self.config.token.get_secret_value()})
        return await super().submit_group(submissions)


@breaks("no-leaks")
class QuotesAnswers(Example):
    async def ask(self, method, path, **more):
        answer = await super().ask(method, path, **more)
        if answer.status == 400:
            raise InvalidSubmission(answer.body.decode())
        return answer


@breaks("no-leaks")
class ChainsTheCause(Example):
    async def session(self):
        try:
            return await super().session()
        except CredentialsRejected as error:
            secret = ValueError(self.config.token.get_secret_value())
            raise error from secret


@breaks("no-leaks")
class QuotesCallbacks(Example):
    def update(self, body):
        try:
            return super().update(body)
        except CallbackRejected:
            raise CallbackRejected(body.decode("utf-8", "replace"), reason="malformed") from None


@breaks("only-partner")
class CallsSomebodyElse(Example):
    async def check(self):
        await super().check()
        await exchange(self.rt.http, "GET", "https://telemetry.test/")


@breaks("only-partner")
class OpensSockets(Example):
    async def check(self):
        await super().check()
        with suppress(OSError):
            socket.create_connection(("192.0.2.1", 443), 0.1)


@breaks("only-partner")
class LooksNamesUp(Example):
    async def check(self):
        await super().check()
        with suppress(OSError):
            await asyncio.get_running_loop().getaddrinfo("telemetry.test", 443)


@breaks("test-mode")
class HidesProduction(Example):
    manifest = manifest(production=frozenset())


@breaks("test-mode")
class PretendsInTestMode(Example):
    async def submit(self, submission):
        try:
            return await super().submit(submission)
        except TestModeError:
            return Receipt(reference="test")


SOURCES = {
    "no-environment": "import os\nX = os.environ.get('X')",
    "no-environment ": "from os import getenv as env\nX = env('X')",
    "no-environment  ": "def read(p):\n    return open(p)",
    "injected-clock": "from datetime import datetime as dt\nX = dt.now()",
    "injected-clock ": "import time\nX = time.time",
    "no-waiting": "import asyncio as aio\nasync def f():\n    await aio.sleep(1)",
    "no-output": "def f():\n    print('x')",
    "no-output ": "import logging\nlog = logging.getLogger('x')",
    "lent-client": "import httpx\ndef f():\n    return httpx.AsyncClient()",
    "lent-client ": "import urllib.request",
}


#: Two thirds of the kit's time: asked where they are expected, and of every sound connector.
COSTLY = frozenset({"no-leaks", "typed-errors"})


def outcomes(contract, *, but=frozenset()):
    """Rules the connector breaks, by id, with the message."""
    failed, tried = {}, contract()
    for name, method in rules(contract).items():
        if name in but:
            continue
        try:
            getattr(tried, method)()
        except (pytest.skip.Exception, AssertionError) as error:
            if isinstance(error, AssertionError):
                failed[name] = str(error)
        except Exception as error:
            failed[name] = repr(error)
    return failed


@pytest.mark.parametrize(
    ("expected", "contract"), BROKEN, ids=[contract.connector.__name__ for _, contract in BROKEN]
)
def test_a_broken_connector_is_rejected_by_its_rule(expected, contract):
    failed = outcomes(contract, but=COSTLY - expected)
    assert set(failed) == expected, failed


@pytest.mark.parametrize("name", SOURCES)
def test_a_source_with_forbidden_words_is_rejected(name, tmp_path, monkeypatch):
    text = (
        f"from fakes.example import Example\n\n{SOURCES[name]}\n\nclass Bad(Example):\n    pass\n"
    )
    (tmp_path / "broken_source.py").write_text(text)
    spec = importlib.util.spec_from_file_location("broken_source", tmp_path / "broken_source.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "broken_source", module)
    spec.loader.exec_module(module)
    contract = type("BadSource", (TestExample,), {"connector": module.Bad, "__test__": False})
    failed = {
        rule for rule, method in rules(contract).items()
        if rule in {n.strip() for n in SOURCES} and not passes(contract, method)
    }  # fmt: skip
    assert failed == {name.strip()}


def said_of(kind, rule, **attributes):
    """The message of a rule that rejects a connector."""
    given = {"connector": kind, "__test__": False, **attributes}
    return outcomes(type("Said", (TestExample,), given))[rule]


def test_an_extreme_is_named_with_the_answer_to_it():
    said = said_of(NeverCuts, "extremes")
    assert "an explanation of 20,000 characters: the partner answers 422; cut" in said
    assert said.count("\n") == 1


def line_of(text):
    return Path(__file__).read_text(encoding="utf-8").splitlines().index(text) + 1


def test_a_foreign_error_is_named_with_the_connectors_own_line():
    line = line_of('        {"MA": 1}[submission.scope]')
    said = said_of(KnowsOneCountry, "extremes")
    assert f"the scope 'global': ended in KeyError at test_conformance_kit.py:{line}" in said
    line = line_of(
        '        return {**super().body(submission), "first": submission.explanation.split()[0]}'
    )
    assert f"no explanation: ended in IndexError at test_conformance_kit.py:{line}" in said_of(
        WantsWords, "extremes"
    )


class Unmapped(Example):
    async def submit(self, submission):
        if submission.category == "defamation":
            raise InvalidSubmission("secret words", reason="category_not_accepted")
        return await super().submit(submission)


class UnmappedByKey(Example):
    async def submit(self, submission):
        {"hate_speech": 1}[submission.category]
        return await super().submit(submission)


def test_a_category_the_mapping_does_not_take_is_named():
    why = "the manifest takes category defamation and the mapping does not"
    for rule in ("submit", "status", "same-key"):
        said = said_of(Unmapped, rule)
        assert "InvalidSubmission (category_not_accepted): " + why in said
        assert "secret words" not in said
        assert why in said_of(UnmappedByKey, rule)


def test_an_answer_the_fake_refused_is_named():
    class Strict(FakeExample):
        longest_note = 1

    said = said_of(Example, "status", fake=Strict)
    assert "ended in InvalidSubmission (http_422): the fake refuses what the mapping makes" in said


def passes(contract, method):
    try:
        getattr(contract(), method)()
    except AssertionError:
        return False
    return True


def test_every_rule_has_a_connector_that_breaks_it():
    broken = set().union(*(expected for expected, _ in BROKEN), (name.strip() for name in SOURCES))
    assert broken == set(rules())
    assert len(BROKEN) + len(SOURCES) >= 30


def test_an_exemption_names_a_rule_and_its_reason():
    class Exempt(TestExample):
        __test__ = False
        exempt: ClassVar = {"status": "asked by telephone"}

    with pytest.raises(pytest.skip.Exception, match="asked by telephone"):
        Exempt().test_status()
    for wrong in ({"no-such-rule": "x"}, {"status": " "}):
        with pytest.raises(TypeError):
            type("Wrong", (TestExample,), {"exempt": wrong, "__test__": False})


def test_callbacks_must_be_signed_by_somebody():
    unsigned = type("Unsigned", (TestExample,), {"callbacks": None, "__test__": False})
    with pytest.raises(AssertionError, match="callbacks"):
        unsigned().test_callback()


def test_every_rule_is_in_the_readme():
    readme = Path(wasl_connector_sdk.__file__).parents[2] / "README.md"
    listed = re.findall(r"^\| `([a-z-]+)` \|", readme.read_text(), re.MULTILINE)
    assert set(rules()) <= set(listed)
    assert [name for name in listed if name in rules()] == list(dict.fromkeys(listed))[
        -len(rules()) :
    ]
