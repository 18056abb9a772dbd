# SPDX-License-Identifier: Apache-2.0
"""Adapters behind their real doors, providers played by doubles, a real intake in memory."""

import asyncio
import email
import email.policy
import hashlib
import hmac
import json
import smtplib
from collections.abc import Callable, Mapping, Sequence
from email.message import EmailMessage
from functools import partial
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest
from aiosmtpd.smtp import SMTP
from wasl_chassis.metrics import Metrics
from wasl_chassis.testing import FakeClock
from wasl_intake import bootstrap
from wasl_intake.channels import mail, messenger, telegram, whatsapp
from wasl_intake.channels.conformance import SENDER, Mood, Told
from wasl_intake.channels.contract import Adapter, Delivery
from wasl_intake.channels.desk import Desk
from wasl_intake.channels.door import path, webhook_app
from wasl_intake.channels.intake import Intake
from wasl_intake.channels.memory import Memory
from wasl_intake.channels.metrics import METRICS
from wasl_intake.channels.wording import Wording
from wasl_intake.domain import api_key
from wasl_intake.handlers import IntakeHandlers
from wasl_intake.settings import ApiKey
from wasl_schemas.country_pack import load_country_pack

ROOT = Path(__file__).resolve().parents[4]
PACK = load_country_pack(ROOT / "deploy" / "country-packs" / "ma")
PEPPER = hashlib.sha256(b"tests only").digest()
PORTAL = "https://portal.test"
LIMIT = 65_536
SECRET = "app-secret-app-secret"
TOKEN = "token-of-the-provider"
WORD = "verify-verify-verify"
NUMBER, OUR_PHONE, PAGE = "100000000000001", "212500000000", "200000000000002"


# -- providers with webhooks -------------------------------------------------------------------------


class Webhooks:
    """What the doubles share: an API that takes answers, in a mood."""

    batches = True
    host = ""

    def __init__(self) -> None:
        self.mood: Mood = "well"
        self.answers: list[tuple[str, str]] = []
        self.fetched: list[str] = []
        self.sent: list[httpx.Request] = []
        self._parts: list[tuple[str, str]] = []

    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self._api)

    def _api(self, request: httpx.Request) -> httpx.Response:
        if request.url.host != self.host or request.method != "POST":
            self.fetched.append(str(request.url))
            return httpx.Response(500)
        self.sent.append(request)
        if self.mood != "well":
            return self.unwell()
        to, text = self.taken(request, json.loads(request.content))
        self._parts.append((to, text))
        return httpx.Response(200, json={"ok": True})

    def flush(self) -> None:
        for to in dict.fromkeys(to for to, _ in self._parts):
            self.answers.append((to, "\n\n".join(text for t, text in self._parts if t == to)))
        self._parts.clear()

    def unwell(self) -> httpx.Response:
        raise NotImplementedError

    def taken(self, request: httpx.Request, body: Mapping[str, Any]) -> tuple[str, str]:
        raise NotImplementedError

    def secrets(self) -> Sequence[str]:
        return (TOKEN, SECRET, WORD)


def signed(body: Any) -> Delivery:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    mac = hmac.new(SECRET.encode(), raw, hashlib.sha256).hexdigest()
    return Delivery(raw, {"x-hub-signature-256": f"sha256={mac}"})


class Meta(Webhooks):
    host = "graph.facebook.com"

    def unwell(self) -> httpx.Response:
        code = 551 if self.mood == "never" else 2
        return httpx.Response(400, json={"error": {"message": "…", "code": code}})

    def forged(self, delivery: Delivery) -> Sequence[Delivery]:
        genuine = delivery.headers["x-hub-signature-256"]
        other = hmac.new(b"another-secret-another", delivery.body, hashlib.sha256).hexdigest()
        headers: list[dict[str, str]] = [
            {},
            {"x-hub-signature-256": ""},
            {"x-hub-signature-256": f"sha256={other}"},
            {"x-hub-signature-256": genuine.removeprefix("sha256=")},
            {"x-hub-signature-256": genuine[:-1]},
            {"x-hub-signature": genuine},
            {"x-hub-signature-256": "sha256=é"},
        ]
        return [Delivery(delivery.body, h) for h in headers] + [
            Delivery(delivery.body + b" ", delivery.headers)
        ]

    def unreadable(self) -> Sequence[Delivery]:
        return [signed(b) for b in (b"", b"{", b"[]", b"\xff\xfe", b"[" * 50_000, b'"text"')]


class WhatsAppDouble(Meta):
    def message(self, number: int, text: str, sender: str = SENDER, *, media: int = 0) -> Any:
        one: dict[str, Any] = {"from": sender, "id": f"wamid.{number:04}", "timestamp": "1"}
        if media:
            held = {"id": "999", "mime_type": "image/jpeg", "caption": text}
            return one | {"type": "image", "image": held}
        return one | {"type": "text", "text": {"body": text}}

    def delivery(self, *messages: Any) -> Delivery:
        return self.changed(messages=list(messages))

    def changed(self, *, field: str = "messages", number: str = NUMBER, **value: Any) -> Delivery:
        value["messaging_product"] = "whatsapp"
        value["metadata"] = {"display_phone_number": OUR_PHONE, "phone_number_id": number}
        change = {"field": field, "value": value}
        return signed({"object": "whatsapp_business_account", "entry": [{"changes": [change]}]})

    def noise(self) -> Mapping[str, Delivery]:
        person = self.message(1, "Somebody threatens me")
        others = [
            {"type": "reaction", "reaction": {"emoji": "👍", "message_id": "wamid.x"}},
            {"type": "system", "system": {"body": "changed number"}},
            {"type": "unsupported", "errors": [{"code": 131051}]},
            {"type": "text"},
            {"type": ["text"]},
        ]
        sender = {"from": SENDER, "id": "wamid.9"}
        return {
            "sent, delivered, read": self.changed(
                statuses=[{"id": "wamid.1", "status": s} for s in ("sent", "delivered", "read")]
            ),
            "an echo": self.changed(messages=[person | {"from": OUR_PHONE}]),
            "an echo of the application": self.changed(
                field="smb_message_echoes", message_echoes=[person]
            ),
            "a group": self.changed(messages=[person | {"group_id": "g1"}]),
            "another number": self.changed(number="1", messages=[person]),
            "another field": self.changed(field="account_update", event="x"),
            "another object": signed({"object": "page", "entry": [{"messaging": [person]}]}),
            "kinds we do not know": self.changed(messages=[sender | o for o in others[:3]]),
            "no person": self.changed(messages=[{"id": "wamid.8", **o} for o in others[3:]]),
            "not in form": signed(
                {"object": "whatsapp_business_account", "entry": [1, {"changes": {"a": None}}]}
            ),
        }

    def taken(self, request: httpx.Request, body: Mapping[str, Any]) -> tuple[str, str]:
        assert request.url.path == f"/v24.0/{NUMBER}/messages"
        assert request.headers["authorization"] == f"Bearer {TOKEN}"
        assert len(body["text"]["body"]) <= 4096
        return str(body.get("to") or body.get("recipient")), body["text"]["body"]


class MessengerDouble(Meta):
    def __init__(self, kind: str = "page") -> None:
        super().__init__()
        self.kind = kind

    def message(self, number: int, text: str, sender: str = SENDER, *, media: int = 0) -> Any:
        held: dict[str, Any] = {"mid": f"m_{number:04}"}
        if text:
            held["text"] = text
        if media:
            url = {"url": "https://cdn.test/picture.jpg"}
            held["attachments"] = [{"type": "image", "payload": url}] * media
        return {
            "sender": {"id": sender}, "recipient": {"id": PAGE}, "timestamp": 1, "message": held,
        }  # fmt: skip

    def delivery(self, *messages: Any) -> Delivery:
        entry = {"id": PAGE, "time": 1, "messaging": list(messages)}
        return signed({"object": self.kind, "entry": [entry]})

    def noise(self) -> Mapping[str, Delivery]:
        person = self.message(1, "Somebody threatens me")

        def event(**fields: Any) -> Delivery:
            rest = {k: v for k, v in person.items() if k != "message"}
            return self.delivery(rest | fields)

        def marked(**fields: Any) -> Delivery:
            return self.delivery(person | {"message": person["message"] | fields})

        def entry(**fields: Any) -> Delivery:
            return signed({"object": self.kind, "entry": [{"id": PAGE, **fields}]})

        return {
            "an echo": marked(is_echo=True),
            "from our own account": self.delivery(person | {"sender": {"id": PAGE}}),
            "delivered": event(delivery={"mids": ["m_1"], "watermark": 1}),
            "read": event(read={"watermark": 1}),
            "a reaction": event(reaction={"mid": "m_1", "emoji": "x"}),
            "a group": self.delivery(person | {"thread": {"id": "t"}}),
            "deleted": marked(is_deleted=True),
            "another page": signed(
                {"object": self.kind, "entry": [{"id": "1", "messaging": [person]}]}
            ),
            "another application has the thread": entry(standby=[person]),
            "a comment": entry(changes=[{"field": "feed", "value": {"message": "hello"}}]),
            "another object": signed({"object": "user", "entry": [{"id": PAGE}]}),
            "events we do not know": event(optin={"ref": "x"}),
            "not in form": signed({"object": self.kind, "entry": {"id": PAGE}}),
        }

    def taken(self, request: httpx.Request, body: Mapping[str, Any]) -> tuple[str, str]:
        assert request.url.path == "/v24.0/me/messages"
        assert request.headers["authorization"] == f"Bearer {TOKEN}"
        text = body["message"]["text"]
        assert len(text) <= 2000 if self.kind == "page" else len(text.encode()) <= 1000
        return body["recipient"]["id"], text


class TelegramDouble(Webhooks):
    host = "api.telegram.org"
    batches = False

    def message(self, number: int, text: str, sender: str = SENDER, *, media: int = 0) -> Any:
        person = {"id": int(sender), "is_bot": False, "first_name": "F", "language_code": "fr"}
        one: dict[str, Any] = {
            "message_id": number, "date": 1, "from": person,
            "chat": {"id": int(sender), "type": "private"},
        }  # fmt: skip
        if media:
            one["photo"] = [{"file_id": "a", "file_size": 1}, {"file_id": "b", "file_size": 2}]
        if text:
            one["caption" if media else "text"] = text
        return one

    def update(self, **fields: Any) -> Delivery:
        return self.raw(json.dumps({"update_id": 10_000, **fields}).encode())

    def raw(self, body: bytes) -> Delivery:
        return Delivery(body, {"x-telegram-bot-api-secret-token": WORD})

    def delivery(self, *messages: Any) -> Delivery:
        (one,) = messages
        return self.update(message=one)

    def forged(self, delivery: Delivery) -> Sequence[Delivery]:
        name = "x-telegram-bot-api-secret-token"
        return [
            Delivery(delivery.body, h)
            for h in ({}, {name: ""}, {name: WORD[:-1]}, {name: "é"}, {"x-secret": WORD})
        ]

    def unreadable(self) -> Sequence[Delivery]:
        return [self.raw(b) for b in (b"", b"{", b"[]", b"\xff", b"[" * 50_000)]

    def noise(self) -> Mapping[str, Delivery]:
        person = self.message(1, "Somebody threatens me")
        chat, sender = person["chat"], person["from"]
        bare = {k: v for k, v in person.items() if k != "text"}
        return {
            "a group": self.update(message=person | {"chat": chat | {"id": -5, "type": "group"}}),
            "a supergroup": self.update(message=person | {"chat": chat | {"type": "supergroup"}}),
            "a channel": self.update(channel_post=person),
            "an edit": self.update(edited_message=person),
            "a bot": self.update(message=person | {"from": sender | {"is_bot": True}}),
            "a button": self.update(callback_query={"id": "1", "data": "x"}),
            "a contact": self.update(message=bare | {"contact": {"phone_number": "+1"}}),
            "blocked us": self.update(my_chat_member={"chat": chat}),
            "not in form": self.update(message=[person]),
            "no chat": self.update(message={"message_id": 1, "text": "hello there"}),
        }

    def unwell(self) -> httpx.Response:
        if self.mood == "later":
            return httpx.Response(429, json={"ok": False, "parameters": {"retry_after": 5}})
        blocked = {"ok": False, "error_code": 403, "description": "Forbidden: bot was blocked"}
        return httpx.Response(403, json=blocked)

    def taken(self, request: httpx.Request, body: Mapping[str, Any]) -> tuple[str, str]:
        assert request.url.path == f"/bot{TOKEN}/sendMessage"
        return str(body["chat_id"]), body["text"]

    def secrets(self) -> Sequence[str]:
        return (TOKEN, WORD)


# -- mail --------------------------------------------------------------------------------------------

HUB = "report@hub.test"


class Sink:
    """A mail relay that keeps what it is given, in a mood."""

    def __init__(self) -> None:
        self.mood: Mood = "well"
        self.mails: list[tuple[str, str, EmailMessage]] = []
        #: Set: bodies wait for it.
        self.held: asyncio.Event | None = None
        self.waiting = asyncio.Event()
        self._server: asyncio.AbstractServer | None = None

    async def __aenter__(self) -> "Sink":
        loop = asyncio.get_running_loop()
        make = partial(SMTP, self, hostname="relay.test", loop=loop)
        self._server = await loop.create_server(make, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()

    async def handle_RCPT(self, _s: Any, _x: Any, envelope: Any, address: str, _o: Any) -> str:
        if self.mood != "well":
            return {"later": "451 4.3.0 Later", "never": "550 5.1.1 No such mailbox"}[self.mood]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _s: Any, _x: Any, envelope: Any) -> str:
        if self.held is not None:
            self.waiting.set()
            await self.held.wait()
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        self.mails.append((envelope.mail_from, envelope.rcpt_tos[0], message))
        return "250 OK"


def written(text: str, sender: str, number: int = 1, **headers: str) -> EmailMessage:
    out = EmailMessage()
    out["From"] = f"Somebody <{sender}>"
    out["To"] = HUB
    out["Message-ID"] = f"<mail-{number:04}@sender.test>"
    out["Date"] = "Mon, 05 Jan 2026 09:00:00 +0100"
    for name, value in headers.items():
        out[name.replace("_", "-")] = value
    out.set_content(text)
    return out


def as_delivery(message: EmailMessage | bytes, sender: str = "", to: str = HUB) -> Delivery:
    raw = (
        message
        if isinstance(message, bytes)
        else message.as_bytes(policy=email.policy.SMTP.clone(max_line_length=900))
    )
    return Delivery(raw, {"mail-from": sender, "rcpt-to": to})


def hand_over(port: int, delivery: Delivery, client: type[smtplib.SMTP] = smtplib.LMTP) -> int:
    """The reply code of a real dialogue."""
    with client("127.0.0.1", port, timeout=20) as smtp:
        try:
            smtp.sendmail(
                delivery.headers["mail-from"], [delivery.headers["rcpt-to"]], delivery.body
            )
        except smtplib.SMTPRecipientsRefused as error:
            return next(iter(error.recipients.values()))[0]
        except smtplib.SMTPResponseException as error:
            return error.smtp_code
        return 250


class MailDouble:
    batches = False

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.fetched: list[str] = []

    @property
    def mood(self) -> Mood:
        return self.sink.mood

    @mood.setter
    def mood(self, mood: Mood) -> None:
        self.sink.mood = mood

    @property
    def answers(self) -> list[tuple[str, str]]:
        return [
            (to.partition("@")[0], m.get_content().replace("\r\n", "\n"))
            for _, to, m in self.sink.mails
        ]

    def flush(self) -> None:
        """Mails come whole."""

    def message(self, number: int, text: str, sender: str = SENDER, *, media: int = 0) -> Any:
        out = written(text, f"{sender}@sender.test", number)
        for _ in range(media):
            out.add_attachment(b"\xff\xd8 not a picture", "image", "jpeg", filename="x.jpg")
        return as_delivery(out, f"{sender}@sender.test")

    def delivery(self, *messages: Any) -> Delivery:
        (one,) = messages
        assert isinstance(one, Delivery)
        return one

    def forged(self, delivery: Delivery) -> Sequence[Delivery]:
        """Mail has no proof; its door is the recipient."""
        own = delivery.headers["mail-from"]
        return [
            Delivery(delivery.body, {"mail-from": own, "rcpt-to": to})
            for to in (
                "somebody@elsewhere.test",
                f"report@hub.test.{'x' * 9}",
                "postmaster@hub.test",
            )
        ]

    def unreadable(self) -> Sequence[Delivery]:
        inner = b"Content-Type: multipart/mixed; boundary=%d\r\n\r\n--%d\r\n"
        nested = b"From: a@sender.test\r\n" + b"".join(inner % (n, n) for n in range(200))
        many = b"From: a@sender.test\r\n" + b"X: y\r\n" * 3000 + b"\r\ntext\r\n"
        return [Delivery(b, {"mail-from": "a@sender.test", "rcpt-to": HUB}) for b in (nested, many)]

    def noise(self) -> Mapping[str, Delivery]:
        who = "someone@sender.test"

        def mail(sender: str = who, **headers: str) -> Delivery:
            return as_delivery(written("Somebody threatens me", who, **headers), sender)

        def by(author: str) -> Delivery:
            return as_delivery(written("Somebody threatens me", author), author)

        report = as_delivery(
            b"From: x@sender.test\r\nContent-Type: multipart/report; boundary=a\r\n\r\n--a--\r\n",
            who,
        )
        return {
            "a bounce": mail(""),
            "an automatic answer": mail(Auto_Submitted="auto-replied (vacation)"),
            "a list": mail(List_Id="<list.sender.test>"),
            "bulk": mail(Precedence="bulk"),
            "a delivery report": report,
            "the mail system": by("MAILER-DAEMON@sender.test"),
            "a list's own address": by("owner-list@sender.test"),
            "a mail of ours": by(HUB),
            "sent as us": mail(HUB),
        }

    def secrets(self) -> Sequence[str]:
        return ()


# -- the world ---------------------------------------------------------------------------------------


class Wire(httpx.AsyncBaseTransport):
    """Between a channel and intake."""

    def __init__(self, app: Any) -> None:
        self._inner = httpx.ASGITransport(app)
        self.mood: Literal["well", "away", "refuses_once"] = "well"
        self.seen: list[str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.mood == "away":
            raise httpx.ConnectError("away")
        if self.mood == "refuses_once" and request.method == "POST":
            self.mood = "well"
            return httpx.Response(503)
        body = (await request.aread()).decode()
        self.seen.append(f"{request.method} {request.url} {request.headers.raw} {body}")
        return await self._inner.handle_async_request(request)


class HubWorld:
    """One adapter, its provider, its door, and intake."""

    def __init__(self, hub: Any, provider: Any, make: Callable[["HubWorld"], Adapter]) -> None:
        self.hub = hub
        self.provider = provider
        self.clock = FakeClock()
        self.measured = Metrics(METRICS)
        self.wording = Wording(PACK, PORTAL)
        self.http = httpx.AsyncClient(
            transport=provider.transport() if isinstance(provider, Webhooks) else None
        )
        self.adapter: Any = make(self)
        self.api_key = api_key.new()
        key = ApiKey(
            sha256=api_key.digest(self.api_key),
            channels=(self.adapter.channel,),
            scopes=frozenset({"report"}),
        )
        handlers = IntakeHandlers(hub, PACK, pepper=PEPPER)
        self.app = bootstrap.compose(
            handlers, PACK, hub.metrics, pepper=PEPPER, body_limit=LIMIT, keys={"channel": key}
        )
        self.wire = Wire(self.app)
        self.restart()

    def restart(self) -> None:
        client = httpx.AsyncClient(transport=self.wire, base_url="http://intake.test")
        self.desk = Desk(
            self.adapter,
            Intake(client, self.adapter.channel, self.api_key),
            wording=self.wording,
            memory=Memory(self.clock, thread_seconds=1800, answers=20),
            metrics=self.measured,
            secret=PEPPER,
        )

    def intake(self, mood: Literal["well", "away", "refuses_once"]) -> None:
        self.wire.mood = mood

    async def narratives(self) -> list[str]:
        return [(await self.hub.content(i)).narrative for i in self.reports()]

    def reports(self) -> list[str]:
        docs = self.hub.store.docs.get("reports", {})
        return sorted(docs, key=lambda i: docs[i]["received_at"])

    async def added(self) -> list[str]:
        docs = self.hub.store.docs.get("messages", {})
        return [await self.hub.unit().keys.open(d["body"], "report.message") for d in docs.values()]

    def requests(self) -> str:
        return "\n".join(self.wire.seen)

    def metrics(self) -> str:
        return self.measured.exposition().decode()

    def limit(self) -> int:
        return LIMIT

    async def deliver(self, delivery: Delivery) -> Told:
        app = webhook_app(self.desk, self.measured, LIMIT)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://us.test") as client:
            headers = {k.encode(): v.encode() for k, v in delivery.headers.items()}
            answer = await client.post(
                path(self.adapter.name), content=delivery.body, headers=headers
            )
        self.provider.flush()
        status = answer.status_code
        return "accepted" if status == 200 else "refused" if status < 500 else "later"


class MailWorld(HubWorld):
    """The same with a mail server in place of a webhook."""

    port = 0
    client: type[smtplib.SMTP] = smtplib.LMTP

    async def deliver(self, delivery: Delivery) -> Told:
        config = self.adapter._config
        server = mail.MailServer(config, mail.Door(self.adapter, config, self.desk, self.measured))
        port = await server.start("127.0.0.1", 0)
        try:
            code = await asyncio.to_thread(hand_over, port, delivery, self.client)
        finally:
            await server.close(5)
        return "accepted" if code == 250 else "refused" if code >= 500 else "later"


def mail_config(sink: Sink, **fields: Any) -> mail.Config:
    submission = {"host": "127.0.0.1", "port": sink.port, "starttls": "never"}
    return mail.Config.model_validate(
        {"addresses": [HUB], "submission": submission, "size_limit": LIMIT, **fields}
    )


def _whatsapp(world: HubWorld) -> Adapter:
    config = whatsapp.Config(
        app_secret=SECRET, verify_token=WORD, token=TOKEN, phone_number_id=NUMBER
    )
    return whatsapp.WhatsApp(config, world.http)


def _messenger(world: HubWorld) -> Adapter:
    config = messenger.Config.model_validate(
        {"app_secret": SECRET, "verify_token": WORD, "accounts": {PAGE: {"token": TOKEN}}}
    )
    return messenger.Messenger(config, world.http)


def _telegram(world: HubWorld) -> Adapter:
    return telegram.Telegram(telegram.Config(token=TOKEN, secret_token=WORD), world.http)


ADAPTERS = ("mail", "whatsapp", "telegram", "messenger", "instagram")


@pytest.fixture
async def sink() -> Any:
    async with Sink() as running:
        yield running


@pytest.fixture
def world_of(hub: Any, sink: Sink) -> Callable[..., HubWorld]:
    def make(
        name: str, adapter: Callable[[HubWorld], Adapter] | None = None, **fields: Any
    ) -> HubWorld:
        if name == "mail":
            config = mail_config(sink, **fields)
            return MailWorld(
                hub, MailDouble(sink), adapter or (lambda w: mail.Mail(config, w.wording, w.clock))
            )
        if name == "whatsapp":
            return HubWorld(hub, WhatsAppDouble(), adapter or _whatsapp)
        if name == "telegram":
            return HubWorld(hub, TelegramDouble(), adapter or _telegram)
        kind = {"messenger": "page", "instagram": "instagram"}[name]
        return HubWorld(hub, MessengerDouble(kind), adapter or _messenger)

    return make
