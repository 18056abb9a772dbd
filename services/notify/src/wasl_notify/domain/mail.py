# SPDX-License-Identifier: Apache-2.0
"""The one kind of mail the hub sends: somebody should come back with their code, and nothing else.

No category, no link, no name of a platform, nothing of the report: whoever reads over a shoulder or
owns the mailbox's server learns only that a public service wrote. Addresses are restricted to what
cannot end a header or an SMTP command; headers are built by the standard library, never by hand.
"""

import re
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

#: RFC 5321 dot-string@domain, ASCII, within its lengths; quoted strings and literals are not taken.
_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ADDRESS = re.compile(rf"(?P<local>{_ATEXT}(?:\.{_ATEXT})*)@(?P<domain>{_LABEL}(?:\.{_LABEL})*)")

# 7bit: Arabic leaves as base64 or quoted-printable, so no relay has to know 8BITMIME.
_POLICY = SMTP.clone(cte_type="7bit")


def usable(address: str) -> str | None:
    """The address with an ASCII domain (IDNA), or None where it must not reach an SMTP command."""
    if "@" in address and not address.isascii():
        local, _, domain = address.rpartition("@")
        try:
            address = f"{local}@{domain.encode('idna').decode()}"
        except UnicodeError:
            return None
    found = _ADDRESS.fullmatch(address)
    if found is None or len(address) > 254 or len(found["local"]) > 64:
        return None
    return address


def compose(
    *,
    sender: str,
    sender_name: str,
    to: str,
    subject: str,
    body: str,
    language: str,
    message_id: str,
    now: datetime,
) -> EmailMessage:
    """The message. ``sender`` and ``to`` must be :func:`usable`; texts may hold anything and are
    put on one line in headers. The same ``message_id`` on a repetition lets the receiver drop it.
    """
    message = EmailMessage(policy=_POLICY)
    message["From"] = Address(display_name=_line(sender_name), addr_spec=sender)
    message["To"] = Address(addr_spec=to)
    message["Subject"] = _line(subject)
    message["Date"] = format_datetime(now)
    message["Message-ID"] = f"<{message_id}@{sender.rpartition('@')[2]}>"
    # RFC 3834: no vacation answer comes back; the second line is for Exchange.
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "All"
    message.set_content(body.rstrip("\n") + "\n")
    # After the content, which clears what is said about it.
    message["Content-Language"] = language
    return message


def _line(text: str) -> str:
    """One line, and no control characters: str.split knows every kind of line end."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
