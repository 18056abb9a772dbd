# SPDX-License-Identifier: Apache-2.0
"""The mail of a request. Pure: the same request gives the same mail but for its date.

Text for people; beside it a XARF part where there is one (RFC 6522 ``multipart/report``). Headers
are built by the standard library from values of one line, so nothing can begin a header of its own.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, EmailPolicy
from email.utils import format_datetime
from typing import Any

from wasl_platform_gateway.connectors.email.profiles import Prepared, line


class _Policy(EmailPolicy):
    """Keeps what answers are linked by on the header's first line: some mail systems read no more.

    Within RFC 5322's 998 characters of a line; its 78 are a wish.
    """

    def fold(self, name: str, value: Any) -> str:
        whole = f"{name}: {value}"
        if name in ("Message-ID", "Subject") and whole.isascii() and len(whole) < 900:
            return f"{whole}\r\n"
        return str(super().fold(name, value))

    def fold_binary(self, name: str, value: Any) -> bytes:
        return self.fold(name, value).encode("ascii")


# 7bit: Arabic leaves as base64 or quoted-printable, so no relay has to know 8BITMIME.
_POLICY = _Policy(linesep=SMTP.linesep, cte_type="7bit")
USER_AGENT = "wasl-platform-gateway/1"


def body(prepared: Prepared, *, test: bool) -> str:
    """The text part."""
    texts = prepared.texts
    head = [texts.test_body] if test else []
    fields = [f"{label}:\n{value}" for label, value in prepared.fields]
    return "\n\n".join([*head, texts.greeting, prepared.opening, *fields, texts.closing]) + "\n"


def compose(
    prepared: Prepared,
    *,
    sender: str,
    sender_name: str,
    to: str,
    reply_to: str,
    message_id: str,
    token: str,
    xarf: Mapping[str, Any] | None,
    test: bool,
    now: datetime,
) -> EmailMessage:
    """The mail. Addresses must be checked ones; every other value may hold anything."""
    marks = [prepared.texts.test_subject] if test else []
    mail = EmailMessage(policy=_POLICY)
    mail["From"] = Address(display_name=line(sender_name), addr_spec=sender)
    mail["To"] = Address(addr_spec=to)
    mail["Reply-To"] = Address(addr_spec=reply_to)
    mail["Subject"] = " ".join([*marks, prepared.subject, f"[wasl:{token}]"])
    mail["Date"] = format_datetime(now)
    mail["Message-ID"] = message_id
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834
    text = body(prepared, test=test)
    if xarf is None:
        mail.set_content(text)
        mail["Content-Language"] = prepared.language
        return mail
    human = EmailMessage(policy=_POLICY)
    human.set_content(text)
    human["Content-Language"] = prepared.language
    notice = EmailMessage(policy=_POLICY)
    notice["Content-Type"] = "message/feedback-report"
    notice.set_payload(f"Feedback-Type: xarf\r\nUser-Agent: {USER_AGENT}\r\nVersion: 1\r\n")
    machine = EmailMessage(policy=_POLICY)
    machine.set_content(
        json.dumps(xarf, ensure_ascii=False).encode(),
        maintype="application",
        subtype="json",
        filename="xarf.json",
        params={"name": "xarf.json"},
    )
    mail["Content-Type"] = "multipart/report; report-type=feedback-report"
    mail["MIME-Version"] = "1.0"
    for part in (human, notice, machine):
        del part["MIME-Version"]
        mail.attach(part)
    return mail
