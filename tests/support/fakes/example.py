# SPDX-License-Identifier: Apache-2.0
"""An invented partner with every ability, and connectors that keep every rule with it.

The kit's own tests break them, one rule at a time.
"""

import asyncio
import contextlib
import hashlib
import hmac
import json
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, unquote

import httpx
from pydantic import Field, SecretStr, ValidationError
from wasl_connector_sdk import (
    AmbiguousOutcome,
    CallbackRejected,
    CallbackRequest,
    Connector,
    ConnectorConfig,
    Idempotency,
    Inbox,
    Manifest,
    Measure,
    Outcome,
    PersonNeeded,
    Receipt,
    StatusUpdate,
    SubmissionRefused,
    TransientError,
)
from wasl_connector_sdk.conformance import NOW
from wasl_connector_sdk.http import exchange, expect, json_bytes
from wasl_connector_sdk.urls import PartnerUrl


class FakeExample:
    """``POST /session`` gives a session; ``/reports`` and ``/answers`` want it."""

    base = "https://example-partner.test"
    token = "secret-example-token"
    dedupes = True
    longest_note = 2000

    def __init__(self):
        self.reports = []

    async def __call__(self, request):
        path = [unquote(p) for p in request.url.raw_path.decode().partition("?")[0].split("/")][1:]
        body = json.loads(request.content) if request.content else None
        if (request.method, path) == ("POST", ["session"]):
            if body != {"token": self.token}:
                return httpx.Response(401)
            return httpx.Response(200, json={"session": "session-1"})
        if request.headers.get("authorization") != "Bearer session-1":
            return httpx.Response(401)
        match request.method, path:
            case "POST", ["reports"] if len(body.get("note", "")) > self.longest_note:
                return httpx.Response(422)
            case "POST", ["reports"]:
                return httpx.Response(201, json={"id": self._made(body["key"]), "state": "pending"})
            case "GET", ["reports"]:
                found = [r for r in self.reports if r["key"] == request.url.params["key"]]
                return httpx.Response(200, json={"reports": found})
            case "GET", ["reports", reference]:
                found = [r for r in self.reports if r["id"] == reference]
                return httpx.Response(200, json=found[0]) if found else httpx.Response(404)
            case ("DELETE" | "PUT", ["reports", _]) | ("POST", ["reports", _, "reminders"]):
                return httpx.Response(204)
            case "POST", ["groups"]:
                made = [{"id": self._made(key), "state": "pending"} for key in body["keys"]]
                return httpx.Response(201, json={"reports": made})
            case "GET", ["answers"]:
                after = int(request.url.params["after"])
                listed = [{"id": r["id"], "number": n} for n, r in enumerate(self.reports, 1)]
                return httpx.Response(200, json={"answers": listed[after:]})
        return httpx.Response(404)

    def _made(self, key):
        for report in self.reports:
            if self.dedupes and report["key"] == key:
                return report["id"]
        self.reports.append({"id": f"E-{len(self.reports) + 1}", "key": key, "state": "pending"})
        return self.reports[-1]["id"]


class ForgetfulExample(FakeExample):
    """The same, without a memory for keys."""

    dedupes = False


class ExampleConfig(ConnectorConfig):
    base_url: PartnerUrl = Field(
        default="https://api.example-partner.example", validate_default=True
    )
    token: SecretStr
    callback_secret: SecretStr = SecretStr("secret-of-callbacks")


MANIFEST = {
    "name": "example",
    "title": "Example",
    "owner": "Wasl maintainers",
    "docs": "docs/connectors.md",
    "production": frozenset({"example-partner.example"}),
}
MEASURES = {"measures": frozenset(Measure)}


class Example(Connector[ExampleConfig]):
    """Keeps every rule."""

    manifest = Manifest(**MANIFEST, **MEASURES, idempotency=Idempotency.NATIVE_KEY)
    Config = ExampleConfig

    def __init__(self, config, rt):
        self.config = config
        self.rt = rt
        self.url = str(config.base_url).rstrip("/")

    @classmethod
    @asynccontextmanager
    async def open(cls, config, rt):
        yield cls(config, rt)

    async def check(self):
        await self.session()

    async def session(self):
        content = json_bytes({"token": self.config.token.get_secret_value()})
        answer = await exchange(self.rt.http, "POST", f"{self.url}/session", content=content)
        body = expect(answer, self.rt.clock.now()).json()
        if not isinstance(body, dict) or "session" not in body:
            raise TransientError("no session", reason="unreadable_answer")
        return {"authorization": f"Bearer {body['session']}"}

    async def ask(self, method, path, **more):
        headers = await self.session()
        return await exchange(self.rt.http, method, f"{self.url}{path}", headers=headers, **more)

    def body(self, submission):
        note = submission.explanation[: FakeExample.longest_note]
        return {
            "key": submission.idempotency_key,
            "url": submission.location,
            "note": note,
            "measure": submission.measure,
        }

    async def submit(self, submission):
        answer = await self.ask("POST", "/reports", content=json_bytes(self.body(submission)))
        return self.receipt(expect(answer, self.rt.clock.now()).json())

    def receipt(self, body):
        try:
            return Receipt(reference=body["id"], outcome=body["state"])
        except (TypeError, KeyError, ValidationError):
            raise AmbiguousOutcome("no report", reason="unreadable_answer") from None

    async def find(self, idempotency_key):
        answer = await self.ask("GET", "/reports", params={"key": idempotency_key})
        body = expect(answer, self.rt.clock.now()).json()
        listed = body.get("reports") if isinstance(body, dict) else None
        if not isinstance(listed, list):
            raise TransientError("no list", reason="unreadable_answer")
        return self.receipt(listed[0]) if listed else None

    async def status(self, reference):
        answer = await self.ask("GET", f"/reports/{quote(reference, safe='')}")
        if answer.status == 404:
            raise SubmissionRefused("unknown", code="unknown_reference")
        body = expect(answer, self.rt.clock.now()).json()
        try:
            return StatusUpdate(reference=reference, outcome=body["state"])
        except (TypeError, KeyError, ValidationError):
            raise TransientError("no status", reason="unreadable_answer") from None

    async def withdraw(self, reference, reason):
        answer = await self.ask("DELETE", f"/reports/{quote(reference, safe='')}")
        expect(answer, self.rt.clock.now())

    async def remind(self, reminder):
        if reminder.role is not None:
            raise PersonNeeded(f"Ask {reminder.role} about {reminder.reference}.")
        path = f"/reports/{quote(reminder.reference, safe='')}/reminders"
        expect(await self.ask("POST", path), self.rt.clock.now())

    async def correct(self, reference, submission):
        content = json_bytes({**self.body(submission), "revision": submission.revision})
        path = f"/reports/{quote(reference, safe='')}"
        expect(await self.ask("PUT", path, content=content), self.rt.clock.now())

    async def submit_group(self, submissions):
        content = json_bytes({"keys": [s.idempotency_key for s in submissions]})
        answer = await self.ask("POST", "/groups", content=content)
        body = expect(answer, self.rt.clock.now()).json()
        listed = body.get("reports") if isinstance(body, dict) else None
        if not isinstance(listed, list) or len(listed) != len(submissions):
            raise AmbiguousOutcome("no reports", reason="unreadable_answer")
        return [self.receipt(report) for report in listed]

    async def collect(self, cursor):
        answer = await self.ask("GET", "/answers", params={"after": cursor or "0"})
        body = expect(answer, self.rt.clock.now()).json()
        try:
            listed = [(a["id"], int(a["number"])) for a in body["answers"]]
        except (TypeError, KeyError, ValueError):
            raise TransientError("no answers", reason="unreadable_answer") from None
        updates = tuple(
            StatusUpdate(reference=name, outcome=Outcome.ACKNOWLEDGED, event_id=f"answer-{n}")
            for name, n in listed
        )
        return Inbox(updates=updates, cursor=str(listed[-1][1]) if listed else cursor or "0")

    def parse_callback(self, request):
        stamp = request.headers.get("example-time", "")
        given = request.headers.get("example-signature", "")
        secret = self.config.callback_secret.get_secret_value().encode()
        expected = hmac.new(secret, stamp.encode() + request.body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(expected.encode(), given.encode()):
            raise CallbackRejected
        if abs(request.received_at - datetime.fromtimestamp(int(stamp), tz=UTC)) > timedelta(
            minutes=5
        ):
            raise CallbackRejected(reason="stale")
        return (self.update(request.body),)

    def update(self, body):
        try:
            document = json.loads(body)
            return StatusUpdate(
                reference=document["id"], outcome=document["state"], event_id=document["event"]
            )
        except (ValueError, TypeError, KeyError, RecursionError):
            raise CallbackRejected(reason="malformed") from None


def callback(body, secret="secret-of-callbacks"):
    if body is None:
        body = b'{"id": "E-1", "state": "removed", "event": "event-1"}'
    stamp = str(int(NOW.timestamp()))
    proof = hmac.new(secret.encode(), stamp.encode() + body, hashlib.sha256).hexdigest()
    headers = {"example-time": stamp, "example-signature": proof}
    return CallbackRequest(headers=headers, body=body, received_at=NOW)


class ExampleLookup(Example):
    """The partner makes a report of all it gets; ``find`` is what prevents a second one."""

    manifest = Manifest(**MANIFEST, **MEASURES, idempotency=Idempotency.LOOKUP)


class Once(Connector[ExampleConfig]):
    """Neither key nor lookup: no ability at all."""

    manifest = Manifest(**MANIFEST, idempotency=Idempotency.NONE)
    Config = ExampleConfig
    __init__ = Example.__init__
    open = Example.__dict__["open"]
    check, session, ask = Example.check, Example.session, Example.ask
    body, submit, receipt = Example.body, Example.submit, Example.receipt


# -- two calls: open, then finish --


class FakeSteps:
    base = "https://steps.test"

    def __init__(self):
        self.drafts = []
        self.reports = []

    async def __call__(self, request):
        match request.method, request.url.path.split("/")[1:]:
            case "GET", ["health"]:
                return httpx.Response(200)
            case "POST", ["drafts"]:
                self.drafts.append(f"D-{len(self.drafts) + 1}")
                return httpx.Response(201, json={"draft": self.drafts[-1]})
            case "PUT", ["drafts", name] if name in self.drafts:
                if name not in self.reports:
                    self.reports.append(name)
                return httpx.Response(200, json={"finished": name})
        return httpx.Response(404)


class Steps(Connector[ExampleConfig]):
    manifest = Manifest(**MANIFEST, idempotency=Idempotency.NONE)
    Config = ExampleConfig
    __init__ = Example.__init__
    open = Example.__dict__["open"]

    async def check(self):
        expect(await exchange(self.rt.http, "GET", f"{self.url}/health"), self.rt.clock.now())

    async def submit(self, submission):
        raise NotImplementedError

    async def submit_in_steps(self, submission, progress):
        draft = progress.get("draft")
        if draft is None:
            draft = await self.draft(submission)
            await progress.save("draft", draft)
        await self.call("PUT", f"/drafts/{draft}", b"")
        return Receipt(reference=draft)

    async def draft(self, submission):
        body = (await self.call("POST", "/drafts", json_bytes({"url": submission.location}))).json()
        if not isinstance(body, dict) or not isinstance(body.get("draft"), str):
            raise AmbiguousOutcome("no draft", reason="unreadable_answer")
        return body["draft"]

    async def call(self, method, path, content):
        answer = await exchange(self.rt.http, method, self.url + path, content=content)
        return expect(answer, self.rt.clock.now())


# -- a partner that does not speak HTTP --


class FakeLine:
    """Takes one line for each report over TCP and answers ``ok``."""

    def __init__(self):
        self.reports = []
        self.address = ("127.0.0.1", 0)

    @asynccontextmanager
    async def serving(self):
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = server.sockets[0].getsockname()[:2]
        async with server:
            yield self

    async def _serve(self, reader, writer):
        line = await reader.readline()
        if line.startswith(b"REPORT"):
            self.reports.append(line.decode())
        writer.write(b"ok\n")
        with contextlib.suppress(ConnectionError):
            await writer.drain()
            writer.close()
            await writer.wait_closed()


class LineConfig(ConnectorConfig):
    host: str
    port: int


class Line(Connector[LineConfig]):
    manifest = Manifest(**{**MANIFEST, "production": frozenset()}, idempotency=Idempotency.NONE)
    Config = LineConfig
    __init__ = lambda self, config, rt: setattr(self, "config", config)  # noqa: E731
    open = Example.__dict__["open"]

    async def check(self):
        await self.say("HELLO")

    async def submit(self, submission):
        await self.say(f"REPORT {submission.idempotency_key}")
        return Receipt(reference=submission.idempotency_key)

    async def say(self, line):
        try:
            reader, writer = await asyncio.open_connection(self.config.host, self.config.port)
        except OSError:
            raise TransientError(reason="unreachable") from None
        try:
            writer.write(line.encode() + b"\n")
            if await reader.readline() != b"ok\n":
                raise AmbiguousOutcome
        finally:
            writer.close()
            await writer.wait_closed()
