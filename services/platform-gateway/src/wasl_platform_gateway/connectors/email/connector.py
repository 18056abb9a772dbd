# SPDX-License-Identifier: Apache-2.0
"""Requests by mail (SMTP, RFC 5321) to partners' desks; answers from a mailbox (IMAP).

No idempotency: the Message-ID is the same on every attempt, but no server can be asked whether it
arrived, and a copy in a mailbox proves its presence, never its absence. So once the mail's body may
have left, an unclear end is ambiguous and a person looks. Before that everything may be repeated.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar, Self

import aiosmtplib
from wasl_connector_sdk import (
    AmbiguousOutcome,
    Connector,
    ConnectorConfig,
    ConnectorError,
    CredentialsRejected,
    Idempotency,
    Inbox,
    InvalidSubmission,
    Manifest,
    Receipt,
    Runtime,
    StatusUpdate,
    Submission,
    SubmissionRefused,
    TransientError,
)

from wasl_platform_gateway.connectors.email import mailbox, xarf
from wasl_platform_gateway.connectors.email.config import EmailConfig, MailDesk, SmtpConfig
from wasl_platform_gateway.connectors.email.message import compose
from wasl_platform_gateway.connectors.email.profiles import prepare
from wasl_platform_gateway.connectors.email.replies import Desk, read_mail
from wasl_platform_gateway.connectors.email.tokens import Tokens

_NOT_OURS = frozenset({500, 501, 502, 503, 504, 555})
_TOO_LARGE = frozenset({523, 552})
_WHO_ARE_YOU = frozenset({530, 534, 535, 538})


def fault(code: int, *, stage: str) -> ConnectorError:
    """What an SMTP answer that is no success means.

    ``stage``: connect, login, sender, recipient or data.
    """
    said = f"SMTP {code}"
    if 400 <= code <= 499:  # RFC 5321 §4.2.1: not now
        return TransientError(said, reason=f"smtp_{code}")
    if not 500 <= code <= 599:
        if stage == "data":  # neither yes nor no
            return AmbiguousOutcome(said, reason="unreadable_answer")
        return TransientError(said, reason="unreadable_answer")
    if stage == "connect":
        return TransientError(said, reason="relay_refuses")
    if code in _TOO_LARGE:
        return InvalidSubmission(said, reason="too_large")
    if stage in ("login", "sender") or code in _WHO_ARE_YOU:
        return CredentialsRejected(said)  # it is us the relay does not want, whoever is written to
    if code in _NOT_OURS:
        return InvalidSubmission(said, reason=f"smtp_{code}")
    code_word = "undeliverable" if stage == "recipient" else f"smtp_{code}"
    return SubmissionRefused(said, code=code_word)


class EmailConnector(Connector[EmailConfig]):
    manifest: ClassVar[Manifest] = Manifest(
        name="email",
        title="E-mail",
        docs="docs/connectors/email.md",
        owner="Wasl maintainers",
        idempotency=Idempotency.NONE,
    )
    Config: ClassVar[type[ConnectorConfig]] = EmailConfig

    def __init__(
        self,
        config: EmailConfig,
        rt: Runtime,
        smtp_tls: ssl.SSLContext,
        imap_tls: ssl.SSLContext | None,
    ) -> None:
        self._config = config
        self._rt = rt
        self._smtp_tls = smtp_tls
        self._imap_tls = imap_tls
        mailbox_of_answers = config.desk or config.sender
        self._desk = Desk(Tokens(config.token_secret), mailbox_of_answers, config.sender)

    @classmethod
    @asynccontextmanager
    async def open(cls, config: EmailConfig, rt: Runtime) -> AsyncIterator[Self]:
        smtp_tls = await asyncio.to_thread(_context, config.smtp.ca)
        inbox = config.inbox
        imap_tls = await asyncio.to_thread(_context, inbox.ca) if inbox else None
        yield cls(config, rt, smtp_tls, imap_tls)

    async def check(self) -> None:
        """Log in to the relay, and to the mailbox where there is one. Writes to nobody."""
        async with self._session(self._ready_by()):
            pass
        if self._config.inbox is not None:
            await asyncio.to_thread(mailbox.probe, self._config.inbox, self._imap_tls)

    async def submit(self, submission: Submission) -> Receipt:
        """The receipt's reference is the token. Takes at most 2 x timeout and half a second."""
        config, rt, desk = self._config, self._rt, self._desk
        partner = config.partners.get(submission.partner)
        if partner is None:
            raise InvalidSubmission("no address for the partner", reason="no_desk")
        test = submission.test or not config.live
        to = self._to(partner, test=test)
        key = submission.idempotency_key
        token = desk.tokens.of(key)
        prepared = prepare(submission, partner, rt.hub, token, config.sender)
        mail = compose(
            prepared,
            sender=config.sender,
            sender_name=rt.hub.name,
            to=to,
            reply_to=desk.address(token),
            message_id=desk.tokens.message_id(key, desk.domain),
            token=token,
            xarf=xarf.report(submission, rt.hub, config.sender),
            test=test,
            now=rt.clock.now(),
        )
        envelope = config.sender if config.bounces_to_sender else desk.address(token)
        until = self._ready_by()
        async with self._session(until) as client:
            await _address(client, envelope, to, until)
            await _hand_over(client, mail.as_bytes(), config.smtp.timeout)
        return Receipt(reference=token)

    async def collect(self, cursor: str | None) -> Inbox:
        inbox = self._config.inbox
        if inbox is None:
            return Inbox(cursor=cursor or "")
        found = await asyncio.to_thread(mailbox.visit, inbox, self._imap_tls, cursor)
        updates = [update for raw in found.mails if (update := self._read(raw)) is not None]
        if len(updates) < len(found.mails):
            self._rt.log.info(
                "mails without news of a request were left in the mailbox",
                extra={"count": len(found.mails) - len(updates)},
            )
        return Inbox(updates=tuple(updates), cursor=found.cursor, more=found.more)

    def _read(self, raw: bytes) -> StatusUpdate | None:
        try:
            return read_mail(raw, self._desk)
        except Exception as error:  # noqa: BLE001  one mail must not block the mailbox for ever
            self._rt.log.error(
                "a mail cannot be read; a person must look at the mailbox",
                extra={"error": type(error).__name__},
            )
            return None

    def _to(self, partner: MailDesk, *, test: bool) -> str:
        if not test:
            return partner.address
        if self._config.test_address is None:
            raise InvalidSubmission("no test_address is configured", reason="test_mode")
        return self._config.test_address

    def _ready_by(self) -> float:
        """On the loop's clock. What takes longer than this is known not to have been sent."""
        return asyncio.get_running_loop().time() + self._config.smtp.timeout

    @asynccontextmanager
    async def _session(self, until: float) -> AsyncIterator[aiosmtplib.SMTP]:
        """A connected, encrypted and authenticated session; closed whatever happens."""
        c = self._config.smtp
        client = aiosmtplib.SMTP(
            hostname=c.host,
            port=c.port,
            timeout=c.timeout,
            use_tls=c.tls == "implicit",
            start_tls=c.tls == "starttls",
            tls_context=self._smtp_tls,
            # The name in EHLO; the machine's own would be told to every receiver.
            local_hostname=self._desk.domain,
        )
        try:
            await _connect(client, c, until)
            yield client
            await _leave(client)
        finally:
            client.close()


def _context(ca: str | None) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=ca)


async def _connect(client: aiosmtplib.SMTP, c: SmtpConfig, until: float) -> None:
    try:
        async with asyncio.timeout_at(until):
            await client.connect()
            if c.username is not None and c.password is not None:
                await client.login(c.username, c.password.get_secret_value())
    except aiosmtplib.SMTPAuthenticationError as error:
        raise fault(error.code, stage="login") from None
    except aiosmtplib.SMTPResponseException as error:
        raise fault(error.code, stage="connect") from None
    except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
        # The library has no class of its own for a relay without STARTTLS.
        plain = type(error) is aiosmtplib.SMTPException
        reason = "no_starttls" if plain else "unreachable"
        raise TransientError(type(error).__name__, reason=reason) from None


async def _address(client: aiosmtplib.SMTP, sender: str, to: str, until: float) -> None:
    """The envelope. Whatever goes wrong here, no mail has left."""
    stage = "sender"
    try:
        async with asyncio.timeout_at(until):
            await client.mail(sender)
            stage = "recipient"
            await client.rcpt(to)
    except aiosmtplib.SMTPResponseException as error:
        raise fault(error.code, stage=stage) from None
    except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
        raise TransientError(type(error).__name__, reason="unreachable") from None


async def _hand_over(client: aiosmtplib.SMTP, mail: bytes, seconds: float) -> None:
    """The mail itself. A lost answer may be a yes."""
    try:
        async with asyncio.timeout(seconds):
            await client.data(mail)
    except aiosmtplib.SMTPResponseException as error:
        raise fault(error.code, stage="data") from None
    except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
        raise AmbiguousOutcome(type(error).__name__, reason="no_answer") from None


async def _leave(client: aiosmtplib.SMTP) -> None:
    try:
        await client.quit(timeout=0.5)
    except (aiosmtplib.SMTPException, OSError, TimeoutError):
        return  # the relay has answered for the mail; QUIT is only politeness
