# SPDX-License-Identifier: Apache-2.0
"""Mail: an SMTP or LMTP server of the hub's own addresses, behind the country's mail server.

No relaying, one recipient for each message, attachments dropped unread. A program's mail is
accepted, counted and dropped; no answer can make a loop (RFC 3834): it goes out with an empty
return path, to the sender the transaction named, and only if the mail says so too and did not fail
the server's own checks (Authentication-Results, RFC 8601, of the configured server alone).
"""

import asyncio
import logging
import re
import ssl
from collections.abc import Mapping, Sequence
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime
from pathlib import Path
from typing import Any, Literal, Self

import aiosmtplib
from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import SMTP
from pydantic import Field, SecretStr, field_validator, model_validator
from wasl_chassis.clock import Clock
from wasl_chassis.metrics import Metrics

from wasl_intake.channels import mime
from wasl_intake.channels.contract import (
    Answer,
    ChannelConfig,
    Delivery,
    Inbound,
    Malformed,
    Rejected,
    Retryable,
    Skipped,
    Unauthentic,
    Verdict,
)
from wasl_intake.channels.desk import LOOKED_AT, Desk
from wasl_intake.channels.wording import Wording
from wasl_intake.domain import receipt
from wasl_intake.domain.submission import ChannelWord

log = logging.getLogger(__name__)

#: The empty return path, as the server names it.
NULL_PATH = "<>"
#: Bodies that are received at the same time; each may take a few times its size.
AT_ONCE = 6
#: Connections at the same time.
CONNECTIONS = 100

# 7bit: Arabic leaves as base64 or quoted-printable, so no relay has to know 8BITMIME.
_POLICY = SMTP_POLICY.clone(cte_type="7bit")
_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ADDRESS = re.compile(rf"{_ATEXT}(?:\.{_ATEXT})*@{_LABEL}(?:\.{_LABEL})*")
_MESSAGE_ID = re.compile(r"<[!-;=?-~]{3,250}>")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8}){0,2}")
_NOBODY = re.compile(
    r"(?:mailer-daemon|postmaster|no-?reply|do-?not-?reply|bounces?|owner-.*|.*-request|.*-bounces?)"
    r"(?:\+.*)?",
)
_ANSWERED_BY_PROGRAM = (
    "list-id", "list-post", "list-unsubscribe", "x-autoreply", "x-autorespond", "x-loop",
    "x-failed-recipients",
)  # fmt: skip
_SIGNATURE = re.compile(r"\n-- ?\n(?:[^\n]*\n){0,14}[^\n]*\Z")
_COMMENT = re.compile(r"\([^()]{0,500}\)")
_RESULT = re.compile(
    r"^\s*([a-z0-9-]+)\s*(?:/\s*\d+)?\s*=\s*([a-z]+)(.*)$", re.IGNORECASE | re.DOTALL
)
_PROPERTY = re.compile(
    r"\b(header\.(?:d|from|i)|smtp\.mailfrom)\s*=\s*\"?([^\s\";]+)", re.IGNORECASE
)


def usable(address: str) -> str | None:
    """The address, if it can stand in an SMTP command and a header: ASCII, RFC 5321 lengths."""
    local = address.rpartition("@")[0]
    fits = len(address) <= 254 and len(local) <= 64
    return address if fits and _ADDRESS.fullmatch(address) else None


def _plain(value: str) -> str:
    if usable(value) is None:
        raise ValueError("expected a plain e-mail address, such as report@example.org")
    return value.lower()


class Submission(ChannelConfig):
    """Where answers are handed over."""

    host: str = Field(min_length=1, description="Mail relay")
    port: int = Field(default=587, ge=1, le=65535)
    starttls: Literal["required", "offered", "never", "implicit"] = "required"
    user: str | None = None
    password: SecretStr | None = None
    ca: Path | None = Field(default=None, description="Certificates to trust, PEM, if its own")
    timeout_seconds: float = Field(default=10, gt=0, le=60, description="For one message")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.user is None) != (self.password is None):
            raise ValueError("user and password go together: set both or none")
        if self.user is not None and self.starttls in ("never", "offered"):
            raise ValueError("starttls must be required or implicit with a user")
        return self


class Config(ChannelConfig):
    addresses: tuple[str, ...] = Field(
        min_length=1, description="Where people write to; no other recipient is accepted"
    )
    submission: Submission
    protocol: Literal["smtp", "lmtp"] = Field(
        default="lmtp", description="What the mail server hands messages over by"
    )
    socket: Path | None = Field(
        default=None, description="Unix socket to listen on instead of WASL_CHANNEL_PORT"
    )
    size_limit: int = Field(
        default=10_485_760, ge=65_536, le=52_428_800, description="Bytes of one message"
    )
    command_seconds: float = Field(
        default=300, ge=1, le=3600, description="For one command, a whole message included"
    )
    certificate: Path | None = Field(default=None, description="PEM chain; offers STARTTLS")
    key: Path | None = Field(default=None, description="PEM private key of the certificate")
    hostname: str = Field(
        default="mail.invalid", pattern=rf"^{_LABEL}(?:\.{_LABEL})*$", description="In greetings"
    )
    authserv_id: str | None = Field(
        default=None,
        description="Name of the mail server whose Authentication-Results count; none: none do",
    )

    @field_validator("addresses")
    @classmethod
    def _usable(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_plain(v) for v in values)

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together: set both or none")
        return self


class Mail:
    """The adapter. A delivery's headers are the transaction's: ``mail-from``, ``rcpt-to``."""

    name = "mail"
    channel: ChannelWord = "email"
    discreet = True

    def __init__(self, config: Config, wording: Wording, clock: Clock) -> None:
        self._config = config
        self._wording = wording
        self._clock = clock
        self.hosts = frozenset({config.submission.host})

    def challenge(self, query: Mapping[str, str]) -> str:  # noqa: ARG002  nobody asks
        raise Unauthentic("no_challenge")

    def parse(self, delivery: Delivery) -> Sequence[Inbound | Skipped]:
        to = delivery.headers.get("rcpt-to", "").lower()
        if to not in self._config.addresses:
            raise Unauthentic("not_ours")
        mail = mime.read(delivery.body)
        sent_by = delivery.headers.get("mail-from", "")
        author = _author(mail.one("from"))
        if author in self._config.addresses or sent_by.lower() in self._config.addresses:
            return [Skipped.ECHO]
        if _by_program(mail, sent_by, author):
            return [Skipped.AUTOMATIC]
        verdict = authenticity(mail, self._config.authserv_id, author)
        message_id = mail.one("message-id")
        given = message_id if _MESSAGE_ID.fullmatch(message_id) else ""
        text = _words(mail)
        hint = mail.one("content-language") or mail.one("accept-language")
        found = _LANGUAGE.match(hint)
        # Without an id: what is read of it, and when it was written. Never a dropped part.
        known_by = given or "|".join((mail.one("date"), author, text))
        return [
            Inbound(
                # The author, too: who has a copy of another's mail and sends it on from their own
                # address must not be answered with the receipt of the other's report.
                f"{known_by}|{author}|{to}",
                author or sent_by,
                text,
                hint=found[0] if found else "",
                media_dropped=mail.dropped,
                verdict=verdict,
                answerable=_reachable(sent_by, author) and verdict != "fail",
                reply={"to": sent_by, "from": to, "id": given, "references": _chain(mail)},
            )
        ]

    # -- the answer ------------------------------------------------------------------------------

    def compose(self, inbound: Inbound, answer: Answer) -> EmailMessage:
        """The automatic answer: subject and sender say nothing of what the mail is about."""
        lang, reply = answer.language, inbound.reply
        message = EmailMessage(policy=_POLICY)
        message["From"] = Address(_line(self._wording.sender(lang)), addr_spec=reply["from"])
        message["To"] = Address(addr_spec=reply["to"])
        message["Subject"] = _line(self._wording.subject(lang))
        message["Date"] = format_datetime(self._clock.now())
        # The same on a repetition, so that the receiver may drop it.
        domain = reply["from"].rpartition("@")[2]
        message["Message-ID"] = f"<{answer.key[:40]}.reply@{domain}>"
        if reply["id"]:
            message["In-Reply-To"] = reply["id"]
            message["References"] = f"{reply['references']} {reply['id']}".strip()
        message["Auto-Submitted"] = "auto-replied"
        message["X-Auto-Response-Suppress"] = "All"
        message.set_content(answer.text + "\n")
        message["Content-Language"] = lang
        return message

    async def answer(self, inbound: Inbound, answer: Answer) -> None:
        message, to = self.compose(inbound, answer), inbound.reply["to"]
        relay = self._config.submission
        try:
            async with asyncio.timeout(relay.timeout_seconds):
                client = await self._connect()
                try:
                    await client.send_message(message, sender="", recipients=[to])
                    await client.quit()
                finally:
                    client.close()
        except aiosmtplib.SMTPRecipientsRefused as error:
            code = error.recipients[0].code if error.recipients else 550
            raise _refusal(code) from None
        except (aiosmtplib.SMTPSenderRefused, aiosmtplib.SMTPHeloError):
            raise Retryable("relay_refuses_us") from None
        except aiosmtplib.SMTPAuthenticationError:
            raise Retryable("relay_refuses_us") from None
        except aiosmtplib.SMTPResponseException as error:
            raise _refusal(error.code) from None
        except (aiosmtplib.SMTPException, ssl.SSLError, OSError, TimeoutError):
            raise Retryable("relay_away") from None

    async def _connect(self) -> aiosmtplib.SMTP:
        relay = self._config.submission
        client = aiosmtplib.SMTP(
            hostname=relay.host,
            port=relay.port,
            timeout=relay.timeout_seconds,
            use_tls=relay.starttls == "implicit",
            # None: if the relay offers it.
            start_tls={"required": True, "offered": None}.get(relay.starttls, False),
            tls_context=await asyncio.to_thread(ssl.create_default_context, cafile=relay.ca),
            # The machine's own name would be told to every receiver.
            local_hostname=self._config.hostname,
        )
        await client.connect()
        if relay.user is not None and relay.password is not None:
            await client.login(relay.user, relay.password.get_secret_value())
        return client


def _refusal(code: int) -> Retryable | Rejected:
    # RFC 5321 §4.2.1: 4yz may work later, 5yz will not. 421 and anything odd: later.
    return Rejected("mailbox_refuses") if 500 <= code <= 599 else Retryable("relay_busy")


def _line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _author(value: str) -> str:
    """The address in From, lower case, as good as it is: it proves nothing."""
    found = re.search(r"<([^<>]*)>$", value[-320:].strip())
    return (found.group(1) if found else value[-320:].strip()).strip().lower()


def _reachable(sent_by: str, author: str) -> bool:
    """The transaction names the author, so an answer goes to who wrote and to nobody else."""
    return usable(sent_by) is not None and sent_by.lower() == author


def _by_program(mail: mime.Mail, sent_by: str, author: str) -> bool:
    if sent_by in ("", NULL_PATH) or mail.one("return-path") == NULL_PATH:
        return True
    submitted = mail.one("auto-submitted").partition(";")[0].strip().lower()
    if submitted not in ("", "no") or mail.has(*_ANSWERED_BY_PROGRAM):
        return True
    if mail.one("precedence").lower() in ("bulk", "junk", "list", "auto_reply"):
        return True
    kind = mail.head.get_content_type()
    if kind in ("multipart/report", "message/disposition-notification"):
        return True
    return _NOBODY.fullmatch(author.partition("@")[0]) is not None


def _chain(mail: mime.Mail) -> str:
    """What the mail refers to; the first and the last ones, as RFC 5322 lets long chains be cut."""
    ids = _MESSAGE_ID.findall(mail.one("references")) or _MESSAGE_ID.findall(
        mail.one("in-reply-to")
    )
    return " ".join(dict.fromkeys([*ids[:1], *ids[-5:]]))


def _words(mail: mime.Mail) -> str:
    """What the person wrote. The subject, unless it answers us; no signature, which names people;
    and what they quote unless it is an answer of ours, known by the receipt in it.
    """
    text = mail.text.replace("\r\n", "\n").replace("\r", "\n").replace("\u00a0", " ")
    text = _SIGNATURE.sub("", f"\n{text}").strip()
    lines = text.split("\n")
    quoted = "\n".join(x for x in lines if x.lstrip().startswith(">"))
    ours = receipt.find(quoted[:LOOKED_AT])
    if ours:
        start, end = ours[0]
        own = "\n".join(x for x in lines if not x.lstrip().startswith(">")).strip()
        own = own if receipt.find(own[:LOOKED_AT]) else f"{quoted[start:end]}\n{own}"
        return _without_attribution(own)
    subject = "" if mail.has("in-reply-to", "references") else mail.subject.strip()
    return f"{subject}\n\n{text}".strip()


def _without_attribution(text: str) -> str:
    """Without the last line that ends in a colon: "On Monday, somebody wrote:"."""
    lines = text.split("\n")
    return "\n".join(lines[:-1] if lines[-1].rstrip().endswith(":") else lines)


# -- whether the sender is who they say ------------------------------------------------------------


def authenticity(mail: mime.Mail, authserv_id: str | None, author: str) -> Verdict:
    """What our mail server found: DMARC's word, else a DKIM or SPF pass for the author's domain.

    Only its topmost Authentication-Results counts; those of others, whoever wrote them, do not.
    """
    if authserv_id is None:
        return "none"
    domain = author.rpartition("@")[2]
    for value in mail.all("authentication-results"):
        head, *results = _COMMENT.sub(" ", value).split(";")
        if head.split()[:1] and head.split()[0].lower() == authserv_id.lower():
            return _verdict(results, domain)
    return "none"


def _verdict(results: Sequence[str], domain: str) -> Verdict:
    failed = False
    aligned = False
    for text in results[:20]:
        found = _RESULT.match(text)
        if found is None:
            continue
        method, result = found[1].lower(), found[2].lower()
        if method == "dmarc" and result in ("pass", "fail"):
            return "pass" if result == "pass" else "fail"
        if method in ("dkim", "spf"):
            if result == "fail":
                failed = True
            names = {v.rpartition("@")[2].lower() for _, v in _PROPERTY.findall(found[3])}
            aligned = aligned or (result == "pass" and domain in names)
    return "pass" if aligned else "fail" if failed else "none"


# -- the server ------------------------------------------------------------------------------------


class Door:
    """Handler of the mail server. 250: done. 451: deliver again. 5xx: never."""

    def __init__(self, adapter: Mail, config: Config, desk: Desk, metrics: Metrics) -> None:
        self._adapter = adapter
        self._config = config
        self._desk = desk
        self._metrics = metrics

    async def handle_EHLO(  # noqa: N802  the server looks for this name
        self, _server: SMTP, session: Any, _envelope: Any, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        # Nobody logs in here; the library offers it to whoever encrypts.
        return [r for r in responses if not r.startswith("250-AUTH")]

    async def handle_RCPT(  # noqa: N802
        self, _server: SMTP, _session: Any, envelope: Any, address: str, _options: list[str]
    ) -> str:
        if address.lower() not in self._config.addresses:
            self._count("not_ours")
            return "550 5.1.1 No such mailbox here"
        if envelope.rcpt_tos:
            # LMTP answers for each recipient, and a receipt belongs to one message.
            return "452 4.5.3 One recipient at a time"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, _server: SMTP, _session: Any, envelope: Any) -> str:  # noqa: N802
        headers = {"mail-from": envelope.mail_from or "", "rcpt-to": envelope.rcpt_tos[0]}
        delivery = Delivery(envelope.content, headers)
        try:
            # Off the loop: a large mail takes a while to read.
            parsed = await asyncio.to_thread(self._adapter.parse, delivery)
            await self._desk.handle(parsed)
        except Malformed as error:
            self._count("malformed")
            log.warning("a mail is not read", extra={"reason": error.reason})
            return "554 5.6.0 This message is too complex to be read; send plain text"
        except Unauthentic:
            self._count("not_ours")
            return "550 5.1.1 No such mailbox here"
        except Retryable as error:
            self._count("later")
            log.warning("a delivery is to come again", extra={"reason": error.reason})
            return "451 4.3.0 Not now, try again later"
        self._count("accepted")
        return "250 2.0.0 Accepted"

    async def handle_exception(self, error: Exception) -> str:
        self._count("failed")
        log.error("a mail failed unexpectedly", extra={"error": type(error).__name__})
        return "451 4.3.0 Not now, try again later"

    def _count(self, result: str) -> None:
        self._metrics.inc(
            "wasl_channel_deliveries_total", channel=self._adapter.name, result=result
        )


class MailServer:
    """Listens until closed. Connections and bodies in hand are bounded."""

    def __init__(self, config: Config, door: Door) -> None:
        self._config = config
        self._door = door
        self._receiving = 0
        self._lines = mime.lines_of(config.size_limit)
        self._live: set[SMTP] = set()
        self._server: asyncio.AbstractServer | None = None

    async def start(self, host: str, port: int) -> int:
        """Returns the port taken; 0 for a socket. Raises OSError if it cannot listen."""
        loop = asyncio.get_running_loop()
        if self._config.socket is not None:
            self._server = await loop.create_unix_server(self._protocol, str(self._config.socket))
            return 0
        self._server = await loop.create_server(self._protocol, host, port)
        taken: int = self._server.sockets[0].getsockname()[1]
        return taken

    async def close(self, seconds: float) -> None:
        """No new connections; those there have ``seconds`` to end, then they are cut."""
        if self._server is None:
            return
        self._server.close()
        deadline = asyncio.get_running_loop().time() + seconds
        while self._receiving and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.02)  # the library has no event for it
        for connection in list(self._live):
            if connection.transport is not None:
                connection.transport.close()

    def _protocol(self) -> SMTP:
        outer = self
        base: type[SMTP] = LMTP if self._config.protocol == "lmtp" else SMTP

        class Bounded(base):  # type: ignore[misc,valid-type]
            _line_count = 0

            def connection_made(self, transport: Any) -> None:
                outer._live.add(self)  # again once encrypted
                super().connection_made(transport)
                if len(outer._live) > CONNECTIONS:
                    transport.write(b"421 4.3.2 Too many connections\r\n")
                    transport.close()

            def data_received(self, data: bytes) -> None:
                # The library holds each line of a body as an object of its own.
                self._line_count += data.count(b"\n")
                if self._line_count > outer._lines and self.transport is not None:
                    self.transport.write(b"552 5.3.4 Too many lines\r\n")
                    self.transport.close()
                    return
                super().data_received(data)

            def connection_lost(self, error: Exception | None) -> None:
                outer._live.discard(self)
                super().connection_lost(error)

            async def smtp_DATA(self, arg: str) -> None:  # noqa: N802
                if outer._receiving >= AT_ONCE:
                    await self.push("451 4.3.2 Busy, try again later")
                    return
                outer._receiving += 1
                self._line_count = 0
                try:
                    await super().smtp_DATA(arg)
                finally:
                    outer._receiving -= 1

        config = self._config
        tls = None
        if config.certificate is not None and config.key is not None:
            tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            tls.load_cert_chain(config.certificate, config.key)
        return Bounded(
            self._door,
            data_size_limit=config.size_limit,
            hostname=config.hostname,
            ident="ready",
            tls_context=tls,
            timeout=config.command_seconds,
            auth_exclude_mechanism=["LOGIN", "PLAIN"],
            command_call_limit={"MAIL": 200, "RCPT": 400, "DATA": 200, "*": 40},
            loop=asyncio.get_running_loop(),
        )
