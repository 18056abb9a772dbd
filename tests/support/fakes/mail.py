# SPDX-License-Identifier: Apache-2.0
"""Real mail servers for tests: an SMTP relay (aiosmtpd, RFC 5321, 3207, 4954) and a small IMAP4rev1
server (RFC 3501: CAPABILITY, LOGIN, EXAMINE, UID SEARCH, UID FETCH BODY.PEEK[]<0.n>, LOGOUT), both on
a free port of 127.0.0.1 with a throwaway certificate.
"""

import asyncio
import logging
import re
import ssl
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.policy import SMTP
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

USER, PASSWORD = "hub", "relay-password"


def certificate():
    """(server context, CA as PEM): a certificate of 127.0.0.1 that is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test relay")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "server.pem"
        path.write_bytes(private + pem)
        context.load_cert_chain(path)
    return context, pem.decode()


class _OnFreePort(Controller):
    def _trigger_server(self):
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@dataclass
class FakeRelay:
    """What the relay took (``sent``; ``reports``: without answers to an earlier mail), and how it
    shall answer; the answers of a stage are used up one by one, "drop" cuts the line, "hang" never
    answers. A dropped DATA was taken."""

    port: int = 0
    ca: str = ""
    reports: list = field(default_factory=list)
    sent: list = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    ehlo: list[str] = field(default_factory=list)
    mail: list[str] = field(default_factory=list)
    rcpt: list[str] = field(default_factory=list)
    data: list[str] = field(default_factory=list)
    auth: list[str] = field(default_factory=list)

    @property
    def mails(self):
        return [message_from_bytes(raw, policy=SMTP) for raw in self.raw]

    async def _play(self, server, script):
        answer = script.pop(0) if script else "250 OK"
        if answer == "hang":
            await asyncio.sleep(20)
        if answer == "drop":
            server.transport.abort()
            return "421 gone"
        return answer

    async def handle_MAIL(self, server, session, envelope, address, options):
        answer = await self._play(server, self.mail)
        envelope.mail_from = address
        return answer

    async def handle_RCPT(self, server, session, envelope, address, options):
        answer = await self._play(server, self.rcpt)
        if answer.startswith("2"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server, session, envelope):
        taken = not self.data or self.data[0] in ("drop", "hang") or self.data[0][0] == "2"
        if taken:
            self.sent.append((envelope.mail_from, tuple(envelope.rcpt_tos)))
            self.raw.append(envelope.original_content)
            if message_from_bytes(envelope.original_content)["In-Reply-To"] is None:
                self.reports.append(self.sent[-1])
        return await self._play(server, self.data)

    def authenticate(self, server, session, envelope, mechanism, data):
        if self.auth:
            return AuthResult(success=False, handled=False, message=self.auth.pop(0))
        good = (data.login, data.password) == (USER.encode(), PASSWORD.encode())
        return AuthResult(success=good, handled=good)


@contextmanager
def relay(*, tls=True, auth=True, into=None):
    """A running relay with STARTTLS and AUTH."""
    fake = into or FakeRelay()
    options = {}
    if tls:
        context, fake.ca = certificate()
        options = {"tls_context": context, "require_starttls": True}
    if auth:
        options |= {"auth_required": True, "authenticator": fake.authenticate}
        options |= {} if tls else {"auth_require_tls": False}
    logging.getLogger("mail.log").disabled = True  # it would show every line it takes
    controller = _OnFreePort(fake, hostname="127.0.0.1", port=0, **options)
    controller.start()
    fake.port = controller.port
    try:
        yield fake
    finally:
        controller.stop(no_assert=True)


@dataclass
class FakeImap:
    """A mailbox: ``mails`` by UID. ``script``: answers instead, by command."""

    port: int = 0
    validity: int = 7
    mails: dict[int, bytes] = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)
    script: dict[str, str] = field(default_factory=dict)
    says_next: bool = True

    def put(self, raw):
        self.mails[max(self.mails, default=0) + 1] = bytes(raw)

    async def serve(self, reader, writer):
        try:
            writer.write(b"* OK ready\r\n")
            while command := (await reader.readline()).decode().strip():
                self.commands.append(command)
                tag, verb, rest = (command + "  ").split(" ", 2)
                verb = verb.upper()
                if verb == "UID":
                    verb, rest = rest.split(" ", 1)
                if self.script.get(verb) == "drop":
                    return
                self._answer(writer, tag, verb.upper(), rest.strip())
                await writer.drain()
                if verb == "LOGOUT":
                    return
        except (OSError, asyncio.IncompleteReadError):
            return  # the client left
        finally:
            writer.close()

    def _answer(self, writer, tag, verb, rest):
        done = self.script.get(verb, f"OK {verb}")
        if done.startswith("OK"):
            for line in self._lines(verb, rest):
                writer.write(line + b"\r\n")
        writer.write(f"{tag} {done}\r\n".encode())

    def _lines(self, verb, rest):
        if verb == "CAPABILITY":
            return [b"* CAPABILITY IMAP4rev1"]
        if verb == "EXAMINE":
            following = max(self.mails, default=0) + 1
            told = [b"* OK [UIDNEXT %d] next" % following] if self.says_next else []
            return [
                b"* %d EXISTS" % len(self.mails), b"* OK [UIDVALIDITY %d] valid" % self.validity, *told
            ]  # fmt: skip
        if verb == "SEARCH":
            first, last = map(int, re.fullmatch(r"UID (\d+):(\d+)", rest).groups())
            found = [b"%d" % n for n in sorted(self.mails, reverse=True) if first <= n <= last]
            return [b" ".join([b"* SEARCH", *found])]
        if verb == "FETCH":
            uid, size = map(int, re.fullmatch(r"(\d+) \(BODY\.PEEK\[\]<0\.(\d+)>\)", rest).groups())
            raw = self.mails.get(uid)
            if raw is None:
                return []
            part = raw[:size]
            return [b"* 1 FETCH (UID %d BODY[]<0> {%d}\r\n" % (uid, len(part)) + part + b")"]
        return [b"* BYE"] if verb == "LOGOUT" else []


@asynccontextmanager
async def imap(fake=None, *, tls=None):
    """A running mailbox; ``tls``: the server's context for TLS from the first byte."""
    fake = fake or FakeImap()
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0, ssl=tls)
    fake.port = server.sockets[0].getsockname()[1]
    try:
        yield fake
    finally:
        server.close()
