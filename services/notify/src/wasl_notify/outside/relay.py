# SPDX-License-Identifier: Apache-2.0
"""A session with the mail relay. Knows SMTP, nothing about messages; never retries, never waits.

Every answer and every broken line becomes an :class:`Attempt`; the relay's words, which may quote
the address, go nowhere.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path

import aiosmtplib

from wasl_notify.outside import Attempt, ChannelAway, Result


@dataclass(frozen=True, slots=True)
class RelayConfig:
    host: str
    port: int
    starttls: str
    sender: str
    user: str | None = None
    password: str | None = None
    ca: Path | None = None
    #: Seconds for one command, and for connecting.
    timeout: float = 10


class Session:
    """One connection. After AMBIGUOUS or AWAY it is of no more use."""

    def __init__(self, client: aiosmtplib.SMTP, config: RelayConfig) -> None:
        self._client = client
        self._config = config

    @property
    def usable(self) -> bool:
        return self._client.is_connected

    async def send(self, message: EmailMessage, to: str) -> Attempt:
        """Hand one message over; takes at most twice the timeout. Raises nothing."""
        try:
            async with asyncio.timeout(self._config.timeout * 2):
                await self._client.send_message(
                    message, sender=self._config.sender, recipients=[to]
                )
        except aiosmtplib.SMTPRecipientsRefused as error:
            return _answer(error.recipients[0].code if error.recipients else 550)
        except (aiosmtplib.SMTPSenderRefused, aiosmtplib.SMTPHeloError) as error:
            # It is us the relay does not want; no fault of the one who is written to.
            return Attempt(Result.AWAY, "sender_refused" if error.code >= 500 else "relay_busy")
        except aiosmtplib.SMTPResponseException as error:
            return _answer(error.code)
        except (aiosmtplib.SMTPException, OSError, TimeoutError):
            self._client.close()
            return Attempt(Result.AMBIGUOUS, "connection_lost")
        return Attempt(Result.SENT)


def _answer(code: int) -> Attempt:
    # RFC 5321 §4.2.1: 4yz may work later, 5yz will not. 421 and anything odd: later.
    if 500 <= code <= 599:
        return Attempt(Result.FAILED, "refused")
    return Attempt(Result.DEFERRED, "deferred")


class Relay:
    def __init__(self, config: RelayConfig) -> None:
        self.config = config

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """A connected, encrypted and authenticated session. Raises :class:`ChannelAway`."""
        client = await self._connect()
        try:
            yield Session(client, self.config)
        finally:
            await _leave(client)

    async def _connect(self) -> aiosmtplib.SMTP:
        c = self.config
        context = await asyncio.to_thread(ssl.create_default_context, cafile=c.ca)
        client = aiosmtplib.SMTP(
            hostname=c.host,
            port=c.port,
            timeout=c.timeout,
            use_tls=c.starttls == "implicit",
            # None: if the relay offers it.
            start_tls={"required": True, "offered": None}.get(c.starttls, False),
            tls_context=context,
            # The name in EHLO; the machine's own would be told to every receiver.
            local_hostname=c.sender.rpartition("@")[2],
        )
        try:
            async with asyncio.timeout(c.timeout * 2):
                await client.connect()
                if c.user is not None and c.password is not None:
                    await client.login(c.user, c.password)
        except aiosmtplib.SMTPAuthenticationError as error:
            client.close()
            raise ChannelAway("credentials_rejected") from error
        except (aiosmtplib.SMTPException, ssl.SSLError, OSError, TimeoutError) as error:
            client.close()
            # The library has no class of its own for a relay without STARTTLS.
            plain = type(error) is aiosmtplib.SMTPException
            raise ChannelAway("no_starttls" if plain else "relay_away") from error
        return client


async def _leave(client: aiosmtplib.SMTP) -> None:
    try:
        if client.is_connected:
            await client.quit(timeout=2)
    except (aiosmtplib.SMTPException, OSError, TimeoutError):
        # Everything was handed over or counted as lost already; QUIT is only politeness.
        return
    finally:
        client.close()
