# SPDX-License-Identifier: Apache-2.0
"""Reads a mailbox over IMAP4rev1 (RFC 3501) with the standard library. Blocking: run in a thread.

Read-only: the folder is examined, mails are peeked at, nothing is marked, moved or deleted. Bounded
in mails of one visit, bytes of a mail and time of a read. The server's words reach no exception.
"""

import imaplib
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from wasl_connector_sdk import CredentialsRejected, TransientError

from wasl_platform_gateway.connectors.email.config import MailboxConfig
from wasl_platform_gateway.connectors.email.replies import MAX_MAIL

BATCH = 20
#: Width of one search: a list of numbers the client library still takes in one line.
WINDOW = 10_000
_CURSOR = re.compile(r"([1-9]\d{0,9}):(\d{1,10})")
Imap = imaplib.IMAP4


@dataclass(frozen=True, slots=True)
class Visit:
    """``mails``: what arrived, oldest first. ``cursor``: ``UIDVALIDITY:UID`` of the last one."""

    mails: tuple[bytes, ...]
    cursor: str
    more: bool


def visit(config: MailboxConfig, tls: ssl.SSLContext | None, cursor: str | None) -> Visit:
    """The mails after a cursor. A mailbox that was made anew, or no cursor: from the first one.

    Raises TransientError and CredentialsRejected.
    """
    with _opened(config, tls) as imap:
        validity, following = _number(imap, "UIDVALIDITY"), _number(imap, "UIDNEXT")
        known = _CURSOR.fullmatch(cursor or "")
        last = int(known[2]) if known and int(known[1]) == validity else 0
        top = last + WINDOW if following is None else min(last + WINDOW, following - 1)
        if validity is None or top <= last:
            return Visit((), f"{validity or 1}:{last}", more=False)
        found = _search(imap, last + 1, top)
        batch = found[:BATCH]
        mails = [raw for uid in batch if (raw := _fetch(imap, uid)) is not None]
        if len(found) > BATCH:
            return Visit(tuple(mails), f"{validity}:{batch[-1]}", more=True)
        if following is None:  # it does not say how far it goes: an empty window is the end
            return Visit(tuple(mails), f"{validity}:{max(found, default=last)}", more=bool(found))
        return Visit(tuple(mails), f"{validity}:{top}", more=top < following - 1)


def probe(config: MailboxConfig, tls: ssl.SSLContext | None) -> None:
    """Log in and look at the folder."""
    with _opened(config, tls):
        return


@contextmanager
def _opened(config: MailboxConfig, tls: ssl.SSLContext | None) -> Iterator[Imap]:
    imap: Imap | None = None
    try:
        imap = _connect(config, tls)
        _log_in(imap, config)
        status, _ = imap.select(f'"{config.folder}"', readonly=True)
        if status != "OK":
            raise TransientError("the folder cannot be opened", reason="no_folder")
        yield imap
    except (imaplib.IMAP4.error, OSError, ValueError) as error:
        # ValueError: an answer the library cannot read, e.g. bytes that are no ASCII.
        raise TransientError(type(error).__name__, reason="mailbox_away") from None
    finally:
        if imap is not None:
            _leave(imap)


def _connect(config: MailboxConfig, tls: ssl.SSLContext | None) -> Imap:
    if config.tls == "implicit":
        return imaplib.IMAP4_SSL(config.host, config.port, ssl_context=tls, timeout=config.timeout)
    imap = imaplib.IMAP4(config.host, config.port, timeout=config.timeout)
    if config.tls == "starttls":
        try:
            imap.starttls(ssl_context=tls)
        except BaseException:
            imap.shutdown()
            raise
    return imap


def _log_in(imap: Imap, config: MailboxConfig) -> None:
    try:
        imap.login(config.username, config.password.get_secret_value())
    except imaplib.IMAP4.abort:
        raise
    except imaplib.IMAP4.error as error:
        if "[UNAVAILABLE]" in str(error):  # RFC 5530: its fault, not ours
            raise TransientError("the mailbox is unavailable", reason="mailbox_away") from None
        raise CredentialsRejected("IMAP LOGIN") from None


def _leave(imap: Imap) -> None:
    try:
        imap.logout()
    except (imaplib.IMAP4.error, OSError, ValueError):
        imap.shutdown()  # politeness failed; nothing depends on it


def _number(imap: Imap, name: str) -> int | None:
    _, data = imap.response(name)
    value = data[-1] if data else None
    return int(value) if isinstance(value, bytes) and value.isdigit() else None


def _search(imap: Imap, first: int, top: int) -> list[int]:
    status, data = imap.uid("SEARCH", f"UID {first}:{top}")
    if status != "OK":
        raise TransientError("the mailbox cannot be searched", reason="mailbox_away")
    numbers = b" ".join(line for line in data if isinstance(line, bytes)).split()
    # The server's own order is not promised, and nothing outside the window is ours now.
    return sorted({n for n in map(int, numbers) if first <= n <= top})


def _fetch(imap: Imap, uid: int) -> bytes | None:
    """The first bytes of a mail; None where it was deleted meanwhile."""
    status, data = imap.uid("FETCH", str(uid), f"(BODY.PEEK[]<0.{MAX_MAIL}>)")
    if status != "OK":
        raise TransientError("a mail cannot be fetched", reason="mailbox_away")
    for answer in data:
        if isinstance(answer, tuple):
            return bytes(answer[1])
    return None
