# SPDX-License-Identifier: Apache-2.0
"""Requests by mail (SMTP, RFC 5321) to partners' desks; answers from a mailbox (IMAP).

No idempotency: the Message-ID is the same on every attempt, but no server can be asked whether it
arrived, and a copy in a mailbox proves its presence, never its absence. So once the mail's body may
have left, an unclear end is ambiguous and a person looks. Before that everything may be repeated.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, ClassVar, Self

import aiosmtplib
from wasl_connector_sdk import (
    AmbiguousOutcome,
    Connector,
    ConnectorConfig,
    ConnectorError,
    CredentialsRejected,
    Evidence,
    Idempotency,
    Inbox,
    InvalidSubmission,
    Manifest,
    Measure,
    PersonNeeded,
    Receipt,
    Reminder,
    Runtime,
    StatusUpdate,
    Submission,
    SubmissionRefused,
    TransientError,
)

from wasl_platform_gateway.connectors.email import letters, mailbox, xarf
from wasl_platform_gateway.connectors.email.config import EmailConfig, MailDesk, SmtpConfig
from wasl_platform_gateway.connectors.email.letters import Letter
from wasl_platform_gateway.connectors.email.message import compose
from wasl_platform_gateway.connectors.email.profiles import (
    TEXTS,
    Prepared,
    language_of,
    line,
    prepare,
)
from wasl_platform_gateway.connectors.email.replies import FOLLOWING, Desk, read_mail
from wasl_platform_gateway.connectors.email.signing import signed
from wasl_platform_gateway.connectors.email.tokens import Tokens

#: Requests of one mail, and characters of their fields: within any relay's size for a mail.
MAX_GROUP = 20
MAX_GROUP_TEXT = 200_000
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
        measures=frozenset(Measure),
        owner="Wasl maintainers",
        idempotency=Idempotency.NONE,
        evidence=Evidence.HASHES,
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
        partner = self._partner(submission.partner)
        token, prepared = self._prepared(submission, partner)
        test = self._test(submission)
        letter = letters.request(prepared, self._reports(submission), test=test)
        to = self._to(partner.address, test=test)
        await self._write(letter, to, token, submission.idempotency_key, self._root(token))
        return Receipt(reference=token)

    async def submit_group(self, submissions: Sequence[Submission]) -> Sequence[Receipt]:
        """One mail, each request under its own token. InvalidSubmission: send each alone.

        The same requests give the same Message-ID. Answers to it come back to the first one's
        address and name all of them by References.
        """
        partners = {submission.partner for submission in submissions}
        if len(partners) != 1 or len(submissions) > MAX_GROUP:
            reason = "mixed_group" if len(submissions) <= MAX_GROUP else "too_large"
            raise InvalidSubmission("no mail for these together", reason=reason)
        partner = self._partner(partners.pop())
        listed = [self._prepared(submission, partner) for submission in submissions]
        if sum(len(v) for _, made in listed for _, v in made.fields) > MAX_GROUP_TEXT:
            raise InvalidSubmission("too much for one mail", reason="too_large")
        test = any(self._test(submission) for submission in submissions)
        keys = [submission.idempotency_key for submission in submissions]
        reports = [report for s in submissions for report in self._reports(s)]
        letter = letters.group(listed, self._desk.tokens.group(keys), reports, test=test)
        tokens = [token for token, _ in listed]
        thread = [x for k, t in zip(keys, tokens, strict=True) for x in self._thread(k, t)]
        await self._write(letter, self._to(partner.address, test=test), tokens[0], keys[0], thread)
        return [Receipt(reference=token) for token in tokens]

    async def remind(self, reminder: Reminder) -> None:
        """In the thread of the request. PersonNeeded for a role without an address."""
        submission = reminder.submission
        partner = self._partner(submission.partner)
        token, prepared = self._prepared(submission, partner)
        test = self._test(submission)
        letter = letters.reminder(prepared, reminder, test=test)
        address = partner.address if reminder.role is None else partner.roles.get(reminder.role)
        if address is None:
            raise PersonNeeded(self._by_hand(letter, token, reminder.role or "", test=test))
        key = submission.idempotency_key
        await self._write(
            letter, self._to(address, test=test), token, key, self._thread(key, token)
        )

    async def correct(self, reference: str, submission: Submission) -> None:
        """In the thread of the request, which is known by its key; each revision has its own
        Message-ID.
        """
        partner = self._partner(submission.partner)
        token, prepared = self._prepared(submission, partner)
        test, key = self._test(submission), submission.idempotency_key
        reports = self._reports(submission)
        letter = letters.correction(prepared, submission.revision, reports, test=test)
        to = self._to(partner.address, test=test)
        await self._write(letter, to, token, key, self._thread(key, token))

    async def withdraw(self, reference: str, reason: str) -> None:
        """In the thread of the request; the token tells its desk. The same Message-ID each time.

        SubmissionRefused for what is no reference of this hub to one of the desks.
        """
        name = self._desk.tokens.partner_of(reference, self._config.partners)
        if name is None:
            raise SubmissionRefused("no desk by this reference", code="unknown_reference")
        partner, test = self._config.partners[name], not self._config.live
        letter = letters.withdrawal(reference, reason, language_of(partner), test=test)
        to = self._to(partner.address, test=test)
        await self._write(letter, to, reference, "", self._root(reference))

    def _partner(self, name: str) -> MailDesk:
        partner = self._config.partners.get(name)
        if partner is None:
            raise InvalidSubmission("no address for the partner", reason="no_desk")
        return partner

    def _prepared(self, submission: Submission, partner: MailDesk) -> tuple[str, Prepared]:
        """The request's token, and the request in the desk's words."""
        token = self._desk.tokens.of(submission.idempotency_key, submission.partner)
        return token, prepare(submission, partner, self._rt.hub, token, self._config.sender)

    def _reports(self, submission: Submission) -> list[dict[str, Any]]:
        report = xarf.report(submission, self._rt.hub, self._config.sender)
        return [report] if report is not None else []

    def _test(self, submission: Submission) -> bool:
        return submission.test or not self._config.live

    def _root(self, token: str) -> list[str]:
        """What all mails about a request refer to, whether or not its key is known."""
        return [self._desk.tokens.message_id("", token, self._desk.domain)]

    def _thread(self, key: str, token: str) -> list[str]:
        return [*self._root(token), self._desk.tokens.message_id(key, token, self._desk.domain)]

    def _by_hand(self, letter: Letter, token: str, role: str, *, test: bool) -> str:
        words = TEXTS[self._config.language].packet
        say = [words["by_hand_remind"].format(role=line(role))]
        say.append(words["open_test"] if test else words["send"])
        return "\n\n".join([*say, f"{letter.subject} [wasl:{token}]", letter.text])

    async def _write(
        self, letter: Letter, to: str, token: str, key: str, thread: Sequence[str]
    ) -> None:
        config, rt, desk = self._config, self._rt, self._desk
        mail = compose(
            letter,
            sender=config.sender,
            sender_name=rt.hub.name,
            to=to,
            reply_to=desk.address(token),
            message_id=desk.tokens.message_id(key, token, desk.domain, letter.purpose),
            thread=thread,
            token=token,
            answers=letter.purpose[:1] in FOLLOWING,
            now=rt.clock.now(),
        )
        raw = mail.as_bytes()
        if config.dkim is not None:
            # In a thread: big numbers take long enough for others to notice.
            raw = await asyncio.to_thread(
                signed,
                raw,
                selector=config.dkim.selector,
                domain=config.dkim.domain or desk.domain,
                key=config.dkim.key.get_secret_value().encode(),
            )
        envelope = config.sender if config.bounces_to_sender else desk.address(token)
        until = self._ready_by()
        async with self._session(until) as client:
            await _address(client, envelope, to, until)
            await _hand_over(client, raw, config.smtp.timeout)

    async def collect(self, cursor: str | None) -> Inbox:
        inbox = self._config.inbox
        if inbox is None:
            return Inbox(cursor=cursor or "")
        found = await asyncio.to_thread(mailbox.visit, inbox, self._imap_tls, cursor)
        read = [self._read(raw) for raw in found.mails]
        if silent := read.count(()):
            self._rt.log.info(
                "mails without news of a request were left in the mailbox",
                extra={"count": silent},
            )
        updates = tuple(update for updates in read for update in updates)
        return Inbox(updates=updates, cursor=found.cursor, more=found.more)

    def _read(self, raw: bytes) -> tuple[StatusUpdate, ...]:
        try:
            return read_mail(raw, self._desk)
        except Exception as error:  # noqa: BLE001  one mail must not block the mailbox for ever
            self._rt.log.error(
                "a mail cannot be read; a person must look at the mailbox",
                extra={"error": type(error).__name__},
            )
            return ()

    def _to(self, address: str, *, test: bool) -> str:
        if not test:
            return address
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
