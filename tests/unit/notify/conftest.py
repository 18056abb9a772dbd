# SPDX-License-Identifier: Apache-2.0
"""A hub in memory with notify's real parts around it; real SMTP and HTTP on free loopback ports."""

import asyncio
import json
import random
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email import message_from_bytes
from email.policy import default as parsed
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from wasl_chassis.failures import Conflict
from wasl_chassis.metrics import Metrics
from wasl_chassis.testing import FakeClock, MemoryStore
from wasl_chassis.vault import Vault
from wasl_chassis.work import UnitOfWork
from wasl_notify.domain.channels import Channels
from wasl_notify.handlers import NotifyHandlers
from wasl_notify.joining import Joiner
from wasl_notify.metrics import METRICS
from wasl_notify.outside import Attempt, ChannelAway, Result
from wasl_notify.outside.relay import RelayConfig
from wasl_notify.repository import NOTIFICATIONS, REFERRALS, REPORTERS
from wasl_notify.sending import Mailing
from wasl_schemas import topics
from wasl_schemas.country_pack import load_country_pack
from wasl_schemas.envelope import Event
from wasl_schemas.events.case_opened_v1 import CaseOpenedV1
from wasl_schemas.events.case_updated_v1 import CaseChange, CaseUpdatedV1
from wasl_schemas.events.common import Channel, SealedContact, Severity
from wasl_schemas.events.dispatch_updated_v1 import DispatchUpdatedV1
from wasl_schemas.events.report_submitted_v1 import ReportContent, ReportSubmittedV1
from wasl_schemas.events.report_withdrawn_v1 import ReportWithdrawnV1
from wasl_schemas.events.reporter_contact_changed_v1 import ReporterContactChangedV1
from wasl_schemas.events.staff_message_sent_v1 import StaffMessageSentV1
from wasl_schemas.ids import uuid7
from wasl_schemas.lifecycle import CaseState, DispatchState

PACK = Path(__file__).parents[3] / "deploy" / "country-packs" / "ma"
#: Unique words in every field that must never leave.
CANARY = ("zircon-narrative", "zircon-location", "fraud", "zircon-body", "zircon-explanation")


class YieldingStore(MemoryStore):
    """Gives way to other tasks before every operation, as a database over a network does."""

    def __init__(self, seed):
        super().__init__()
        self._random = random.Random(seed)

    async def _yield(self):
        for _ in range(self._random.randint(0, 3)):
            await asyncio.sleep(0)


def _yielding(name):
    async def operation(self, *args, **kwargs):
        await self._yield()
        return await getattr(MemoryStore, name)(self, *args, **kwargs)

    return operation


for _name in ("read", "find", "commit", "claim"):
    setattr(YieldingStore, _name, _yielding(_name))


class World:
    """The chassis as notify sees it, over a store in memory, and the facts of the outside world."""

    def __init__(self, store=None, keep=timedelta(days=400), hold=30, quiet=15, channels=None):
        self.store = store or MemoryStore()
        self.clock = FakeClock()
        self.metrics = Metrics(METRICS)
        self.stopping = False
        self.vault = Vault({"m1": b"m" * 32})
        self.channels = channels or Channels()
        self.pack = load_pack()
        self.handlers = NotifyHandlers(
            self, self.channels, mail=True, keep=keep, settle=timedelta(seconds=5)
        )
        self.joiner = Joiner(
            self,
            self.channels,
            hold=timedelta(seconds=hold),
            keep=keep,
            window_length=timedelta(hours=1),
        )
        self.quiet = timedelta(minutes=quiet)
        self.routes = {
            topics.REPORT_SUBMITTED_V1: (
                self.handlers.on_report_submitted,
                self.handlers.prefetch_submitted,
            ),
            topics.REPORT_WITHDRAWN_V1: (
                self.handlers.on_report_withdrawn,
                self.handlers.prefetch_withdrawn,
            ),
            topics.REPORTER_CONTACT_CHANGED_V1: (
                self.handlers.on_contact_changed,
                self.handlers.prefetch_contacts,
            ),
            topics.CASE_OPENED_V1: (self.handlers.on_case_opened, None),
            topics.CASE_UPDATED_V1: (self.handlers.on_case_updated, None),
            topics.DISPATCH_UPDATED_V1: (self.handlers.on_dispatch_updated, None),
            topics.STAFF_MESSAGE_SENT_V1: (self.handlers.on_staff_message, None),
            topics.REFERRAL_REQUESTED_V1: (
                self.handlers.on_referral_requested,
                self.handlers.prefetch_referrals,
            ),
        }

    # the chassis

    def unit(self):
        return UnitOfWork(self.store, self.clock, "/wasl/notify", self.vault)

    async def transact(self, work):
        for _ in range(200):
            uow = self.unit()
            result = await work(uow)
            try:
                await self.store.commit(uow.changes())
            except Conflict:
                await asyncio.sleep(0)
            else:
                return result
        raise AssertionError("a conflict that does not end")

    async def feed(self, *facts):
        """One batch, as the chassis handles it, but without its inbox: repeats come through."""
        while True:
            uow = self.unit()
            events = [(spec, self.event(spec, data)) for spec, data in facts]
            for spec, (_, prefetch) in self.routes.items():
                if prefetch and (mine := [e for s, e in events if s is spec]):
                    await prefetch(mine, uow)
            for spec, event in events:
                uow.cause = event
                await self.routes[spec][0](event, uow)
            try:
                await self.store.commit(uow.changes())
            except Conflict:
                continue
            return uow

    def event(self, spec, data):
        now, key = self.clock.now(), getattr(data, spec.key)
        return Event(
            id=uuid7(),
            source="/wasl/test",
            type=spec.type,
            subject=key,
            time=now,
            recordedtime=now,
            dataschema=spec.schema_urn,
            dataclassification=spec.classification,
            partitionkey=key,
            correlationid=key,
            data=data,
        )

    # facts

    async def key(self, key_id):
        async def work(uow):
            uow.keys.create(key_id)

        await self.transact(work)

    async def destroy(self, key_id):
        await self.transact(lambda uow: uow.keys.destroy(key_id))

    async def submitted(self, report, address=None, *, safe=True, channel="email", language="fr"):
        """A report; with an address, one whose sender wants mail."""
        await self.key(report)
        uow = self.unit()
        content = ReportContent(
            locations=("https://example.org/zircon-location",), narrative="zircon-narrative"
        )
        contact = None
        if address is not None:
            sealed = await uow.keys.seal(report, "report.contact", address)
            contact = SealedContact(channel=channel, safe=safe, address=sealed)
        data = ReportSubmittedV1(
            report_id=report,
            received_at=self.clock.now(),
            channel=Channel.WEB,
            language=language,
            category="scam_fraud",
            content=await uow.keys.seal(report, "report.content", content.model_dump_json()),
            contact=contact,
        )
        return topics.REPORT_SUBMITTED_V1, data

    def withdrawn(self, report):
        data = ReportWithdrawnV1(report_id=report, withdrawn_at=self.clock.now())
        return topics.REPORT_WITHDRAWN_V1, data

    async def contact(self, report, address=None, *, safe=True, language="ar"):
        """The reporter changed how we may write; without an address: no longer."""
        contact = None
        if address is not None:
            sealed = await self.unit().keys.seal(report, "report.contact", address)
            contact = SealedContact(channel="email", safe=safe, address=sealed)
        data = ReporterContactChangedV1(
            report_id=report, changed_at=self.clock.now(), language=language, contact=contact
        )
        return topics.REPORTER_CONTACT_CHANGED_V1, data

    def opened(self, case, report):
        now = self.clock.now()
        data = CaseOpenedV1(
            case_id=case,
            version=1,
            report_id=report,
            category="scam_fraud",
            severity=Severity.HIGH,
            platform="tiktok",
            item_kind="post",
            opened_at=now,
            first_look_due=now,
        )
        return topics.CASE_OPENED_V1, data

    def updated(self, case, version, change, report=None):
        data = CaseUpdatedV1(
            case_id=case,
            version=version,
            change=CaseChange(change),
            state=CaseState.IN_PROGRESS,
            severity=Severity.HIGH,
            category="scam_fraud",
            report_id=report,
            changed_at=self.clock.now(),
        )
        return topics.CASE_UPDATED_V1, data

    def dispatched(self, case, dispatch, state, version=1):
        data = DispatchUpdatedV1(
            dispatch_id=dispatch,
            case_id=case,
            version=version,
            connector="reference",
            partner="tiktok",
            state=DispatchState(state),
            attempts=1,
            changed_at=self.clock.now(),
        )
        return topics.DISPATCH_UPDATED_V1, data

    async def message(self, case, report, message):
        sealed = await self.unit().keys.seal(report, "report.message", "zircon-body")
        data = StaffMessageSentV1(
            message_id=message,
            case_id=case,
            report_id=report,
            sent_at=self.clock.now(),
            body=sealed,
        )
        return topics.STAFF_MESSAGE_SENT_V1, data

    # what came of it

    async def join(self):
        """Turn the joining loops until nothing is left to do."""
        for _ in range(100):
            due = [
                d
                for name in ("unread", "reporters", "links")
                for d in self.store.docs.get(name, {}).values()
                if d["due_at"] is not None
            ]
            if not due:
                return
            await self.joiner.pages()
            await self.joiner.reporters()
            await self.joiner.links()
        raise AssertionError("the joining loops do not come to rest")

    def mailing(self, relay):
        return Mailing(self, relay, self.pack, self.channels, quiet=self.quiet)

    def advance(self, **delta):
        self.clock.advance(timedelta(**delta))

    def docs(self, collection):
        return [collection.decode(d) for d in self.store.docs.get(collection.name, {}).values()]

    @property
    def notifications(self):
        return self.docs(NOTIFICATIONS)

    @property
    def reporters(self):
        return {r.report_id: r for r in self.docs(REPORTERS)}

    @property
    def referrals(self):
        return self.docs(REFERRALS)

    def emitted(self, spec):
        rows = sorted(self.store.outbox.values(), key=lambda r: r.id)
        return [json.loads(r.value)["data"] for r in rows if r.topic == spec.name]

    def everything(self):
        """All that notify keeps, emits and measures, as text."""
        rows = [r.value.decode() for r in self.store.outbox.values()]
        docs = {name: d for name, d in self.store.docs.items() if name != "keys"}
        return "\n".join([repr(docs), *rows, self.metrics.exposition().decode()])


_packs = {}


def load_pack(path=PACK):
    if path not in _packs:
        _packs[path] = load_country_pack(path)
    return _packs[path]


@pytest.fixture
def world():
    return World()


@pytest.fixture
def make_world():
    return World


@pytest.fixture
def yielding_store():
    return YieldingStore


@pytest.fixture
def canary():
    return CANARY


class MemoryRelay:
    """A relay that keeps what it takes. ``script``: attempts to answer with, then SENT."""

    def __init__(self, clock):
        self.config = RelayConfig("relay.test", 25, "never", "info@example.org")
        self.clock = clock
        self.mail: list[tuple[datetime, str, str]] = []
        self.script: list[Attempt] = []
        self.away = ""
        self.usable = True

    @asynccontextmanager
    async def session(self):
        if self.away:
            raise ChannelAway(self.away)
        self.usable = True
        yield self

    async def send(self, message, to):
        await asyncio.sleep(0)
        attempt = self.script.pop(0) if self.script else Attempt(Result.SENT)
        if attempt.result in (Result.SENT, Result.AMBIGUOUS):
            self.mail.append((self.clock.now(), to, message["Message-ID"]))
        self.usable = attempt.result is not Result.AMBIGUOUS
        return attempt


@pytest.fixture
def memory_relay():
    return MemoryRelay


@dataclass
class Mailbox:
    """What a real SMTP server took, and how it shall behave."""

    port: int = 0
    raw: list[bytes] = field(default_factory=list)
    rcpt: list[str] = field(default_factory=list)
    #: Answers to DATA, then "250 OK"; "drop" takes the mail and cuts the line before the answer.
    script: list[str] = field(default_factory=list)
    rcpt_script: list[str] = field(default_factory=list)
    mail_script: list[str] = field(default_factory=list)
    delay: float = 0

    @property
    def mail(self):
        return [message_from_bytes(r, policy=parsed) for r in self.raw]

    async def handle_MAIL(self, server, session, envelope, address, options):
        if self.mail_script:
            return self.mail_script.pop(0)
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):
        if self.rcpt_script and (answer := self.rcpt_script.pop(0)) != "250":
            return answer
        envelope.rcpt_tos.append(address)
        self.rcpt.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        await asyncio.sleep(self.delay)
        answer = self.script.pop(0) if self.script else "250 OK"
        if answer == "drop" or answer.startswith("2"):
            self.raw.append(envelope.original_content)
        if answer == "drop":
            server.transport.close()
        return answer


@pytest.fixture
def smtp():
    """Start real SMTP servers on free ports: ``smtp(**aiosmtpd options) -> Mailbox``."""
    controllers = []

    def start(mailbox=None, **options):
        box = mailbox or Mailbox()
        # aiosmtpd probes the port it was told, so it cannot be told 0.
        controller = _OnFreePort(box, hostname="127.0.0.1", port=0, **options)
        controller.start()
        controllers.append(controller)
        box.port = controller.server.sockets[0].getsockname()[1]
        box.stop = controller.stop
        return box

    yield start
    for controller in controllers:
        if controller.server is not None:
            controller.stop(no_assert=True)


class _OnFreePort(Controller):
    def _trigger_server(self):
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@dataclass
class Endpoint:
    """What a real HTTP server got, and how it shall answer."""

    url: str = ""
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    #: Answers ("500", "302 /x", "429 retry-after: 60", "drop", "hang"), then 204.
    script: list[str] = field(default_factory=list)


@pytest.fixture
async def endpoints():
    """Start real HTTP servers on free ports: ``await endpoints() -> Endpoint``."""
    servers = []

    async def start():
        endpoint = Endpoint()

        async def serve(reader, writer):
            try:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                headers = {
                    k.lower(): v for k, v in (line.split(": ", 1) for line in head[1:] if line)
                }
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                endpoint.requests.append((headers, body))
                answer = endpoint.script.pop(0) if endpoint.script else "204"
                if answer == "hang":
                    await asyncio.sleep(30)
                if answer not in ("drop", "hang"):
                    status, _, extra = answer.partition(" ")
                    extra = f"{extra}\r\n" if extra else ""
                    writer.write(
                        f"HTTP/1.1 {status} X\r\n{extra}content-length: 0\r\n"
                        "connection: close\r\n\r\n".encode()
                    )
                    await writer.drain()
            except (OSError, asyncio.IncompleteReadError):
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        servers.append(server)
        endpoint.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
        return endpoint

    yield start
    for server in servers:
        server.close()
