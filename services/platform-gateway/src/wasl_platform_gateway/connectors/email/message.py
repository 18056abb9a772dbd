# SPDX-License-Identifier: Apache-2.0
"""The mail of a letter. Pure: the same letter gives the same mail but for its date.

Text for people; beside it a XARF part where there is one (RFC 6522 ``multipart/report``, which
takes no more than one; several go as attachments). Headers are built by the standard library from
values of one line, so nothing can begin a header of its own.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, EmailPolicy
from email.utils import format_datetime
from typing import Any

from wasl_platform_gateway.connectors.email.letters import Letter
from wasl_platform_gateway.connectors.email.profiles import line


class _Policy(EmailPolicy):
    """Keeps what answers are linked by on the header's first line: some mail systems read no more.

    Within RFC 5322's 998 characters of a line; its 78 are a wish. Lists of Message-IDs are folded
    between them only.
    """

    def fold(self, name: str, value: Any) -> str:
        if name in ("In-Reply-To", "References"):
            return f"{name}: " + "\r\n ".join(str(value).split()) + "\r\n"
        whole = f"{name}: {value}"
        if name in ("Message-ID", "Subject") and whole.isascii() and len(whole) < 900:
            return f"{whole}\r\n"
        return str(super().fold(name, value))

    def fold_binary(self, name: str, value: Any) -> bytes:
        return self.fold(name, value).encode("ascii")


# 7bit: Arabic leaves as base64 or quoted-printable, so no relay has to know 8BITMIME.
_POLICY = _Policy(linesep=SMTP.linesep, cte_type="7bit")
USER_AGENT = "wasl-platform-gateway/1"


def compose(
    letter: Letter,
    *,
    sender: str,
    sender_name: str,
    to: str,
    reply_to: str,
    message_id: str,
    thread: Sequence[str],
    token: str,
    answers: bool,
    now: datetime,
) -> EmailMessage:
    """The mail. Addresses must be checked ones; every other value may hold anything.

    ``thread``: Message-IDs it belongs to, the nearest last; ``answers``: the last one is there.
    """
    mail = EmailMessage(policy=_POLICY)
    mail["From"] = Address(display_name=line(sender_name), addr_spec=sender)
    mail["To"] = Address(addr_spec=to)
    mail["Reply-To"] = Address(addr_spec=reply_to)
    mail["Subject"] = f"{letter.subject} [wasl:{token}]"
    mail["Date"] = format_datetime(now)
    mail["Message-ID"] = message_id
    if answers:
        mail["In-Reply-To"] = thread[-1]
    mail["References"] = " ".join(thread)
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834
    if not letter.reports:
        mail.set_content(letter.text)
        mail["Content-Language"] = letter.language
        return mail
    human = EmailMessage(policy=_POLICY)
    human.set_content(letter.text)
    human["Content-Language"] = letter.language
    parts = [human]
    if len(letter.reports) == 1:
        notice = EmailMessage(policy=_POLICY)
        notice["Content-Type"] = "message/feedback-report"
        notice.set_payload(f"Feedback-Type: xarf\r\nUser-Agent: {USER_AGENT}\r\nVersion: 1\r\n")
        parts += [notice, _machine(letter.reports[0], "xarf.json")]
        mail["Content-Type"] = "multipart/report; report-type=feedback-report"
    else:
        parts += [_machine(r, f"xarf-{n}.json") for n, r in enumerate(letter.reports, 1)]
        mail["Content-Type"] = "multipart/mixed"
    mail["MIME-Version"] = "1.0"
    for part in parts:
        del part["MIME-Version"]
        mail.attach(part)
    return mail


def _machine(report: Mapping[str, Any], name: str) -> EmailMessage:
    part = EmailMessage(policy=_POLICY)
    part.set_content(
        json.dumps(report, ensure_ascii=False).encode(),
        maintype="application",
        subtype="json",
        filename=name,
        params={"name": name},
    )
    return part
