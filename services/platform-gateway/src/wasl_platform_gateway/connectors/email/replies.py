# SPDX-License-Identifier: Apache-2.0
"""What a mail in the hub's mailbox says about a request. Pure; no mail can make it fail.

Only a genuine token counts, never who a mail claims to be from. Bounces (RFC 3464), automatic
answers (RFC 3834) and people's answers are told apart; what a person decided stays for a person to
read: an answer acknowledges. Attachments are dropped unread.
"""

import codecs
import hashlib
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from email.errors import MessageError
from email.header import decode_header, make_header
from email.message import Message
from email.parser import BytesHeaderParser, BytesParser
from html.parser import HTMLParser

from wasl_connector_sdk import Outcome, StatusUpdate

from wasl_platform_gateway.connectors.email.tokens import PATTERN, Tokens

#: Bytes of a mail that are read at all.
MAX_MAIL = 1 << 20
MAX_REPLY = 20_000
_MAX_PARTS = 100
_RECIPIENTS = ("to", "cc", "delivered-to", "x-original-to", "envelope-to", "x-envelope-to")
#: Charsets that are only charsets; Python also has codecs that are slow or decode nothing.
_CHARSET = re.compile(r"utf|iso|cp\d|ascii|gb|big5|euc|shift|koi8|mac|hz")
_SUBJECT = re.compile(rf"\[wasl:({PATTERN})\]", re.IGNORECASE)
#: What reading a malformed mail raises in the standard library.
_MALFORMED = (MessageError, LookupError, ValueError, TypeError, AttributeError, RecursionError)


@dataclass(frozen=True, slots=True)
class Desk:
    """Ours: ``mailbox`` is where answers go, ``sender`` who the requests are from."""

    tokens: Tokens
    mailbox: str
    sender: str

    @property
    def domain(self) -> str:
        return self.sender.rpartition("@")[2]

    def address(self, token: str) -> str:
        """Where the answer to one request goes (RFC 5233 sub-address)."""
        local, _, domain = self.mailbox.rpartition("@")
        return f"{local}+{token}@{domain}"


def read_mail(raw: bytes, desk: Desk) -> StatusUpdate | None:
    """The update, or None: no request of ours, a mail of our own, or a delay that says nothing."""
    raw = raw[:MAX_MAIL]
    head = BytesHeaderParser().parsebytes(raw)
    if _ours(head, desk):
        return None
    mail = _parse(raw)
    link = _link(head, desk) or _returned(mail, desk)
    if link is None:
        return None
    token, key = link
    said = _said(head, mail)
    if said is None:
        return None
    outcome, reason = said
    return StatusUpdate(
        outcome=outcome,
        reference=token,
        idempotency_key=key,
        reason=reason,
        event_id=_event_id(head, raw),
        reply=_text(mail) or None,
    )


def _parse(raw: bytes) -> Message | None:
    try:
        return BytesParser().parsebytes(raw)
    except _MALFORMED:  # nested beyond reading; its headers still count
        return None


def _headers(head: Message, *names: str) -> Iterator[str]:
    for name in names:
        for value in head.get_all(name, []):
            text = str(value)
            if "=?" in text and name == "subject":
                with suppress(*_MALFORMED):  # else read as it stands
                    text = str(make_header(decode_header(text)))
            yield "".join(text.split("\n"))


# -- which request ---------------------------------------------------------------------------------


def _link(head: Message, desk: Desk) -> tuple[str, str | None] | None:
    """Token, and key where the mail names our Message-ID."""
    local, _, domain = (re.escape(x) for x in desk.mailbox.rpartition("@"))
    ids = list(_ids(_headers(head, "in-reply-to", "references"), desk))
    address = re.compile(rf"(?<![\w.+-]){local}\+({PATTERN})@{domain}(?![\w.-])", re.IGNORECASE)
    found = [m.group(1).lower() for v in _headers(head, *_RECIPIENTS) for m in address.finditer(v)]
    found += [token for token, _ in ids]
    found += [m.group(1).lower() for v in _headers(head, "subject") for m in _SUBJECT.finditer(v)]
    for token in found:
        if desk.tokens.genuine(token):
            return token, next((key for t, key in ids if t == token and key), None)
    return None


def _ids(values: Iterator[str], desk: Desk) -> Iterator[tuple[str, str | None]]:
    """Our Message-IDs among others'. A key counts only with its own token."""
    ours = re.compile(
        rf"<(?:([A-Za-z0-9_-]{{1,80}})\.)?({PATTERN})@{re.escape(desk.domain)}>", re.IGNORECASE
    )
    for value in values:
        for key, token in ours.findall(value):
            good = key and desk.tokens.of(key) == token.lower()
            yield token.lower(), key if good else None


def _ours(head: Message, desk: Desk) -> bool:
    """A mail we sent: a copy, or one that was forwarded back."""
    if _author(head) == desk.sender.lower():
        return True
    known = _ids(_headers(head, "message-id"), desk)
    return any(desk.tokens.genuine(token) for token, _ in known)


def _author(head: Message) -> str:
    """The address in From, as good as it is: it tells bounces and copies, and proves nothing."""
    text = next(_headers(head, "from"), "")[-320:].strip()
    found = re.search(r"<([^<>]*)>$", text)
    return (found.group(1) if found else text).lower()


def _returned(mail: Message | None, desk: Desk) -> tuple[str, str | None] | None:
    """The request whose headers a bounce returns."""
    for part in _children(mail):
        kind = part.get_content_type()
        if kind == "message/rfc822":
            inner = next(_children(part), None)
        elif kind == "text/rfc822-headers":
            inner = BytesHeaderParser().parsebytes(_payload(part))
        else:
            continue
        for token, key in _ids(_headers(inner, "message-id"), desk) if inner else ():
            if desk.tokens.genuine(token):
                return token, key
    return None


# -- what it says ----------------------------------------------------------------------------------


def _said(head: Message, mail: Message | None) -> tuple[Outcome, str | None] | None:
    delivery = _delivery(mail)
    if delivery == "failed" or (delivery is None and "x-failed-recipients" in head):
        return Outcome.REFUSED, "undeliverable"
    if delivery is not None:
        return None  # delayed, or handed on: nothing is known yet
    if _author(head).partition("@")[0] in ("mailer-daemon", "postmaster"):
        return Outcome.PENDING, "unreadable_bounce"
    automatic = next(_headers(head, "auto-submitted"), "no").partition(";")[0].strip().lower()
    noticed = {"x-autoreply", "x-autorespond"} & {name.lower() for name in head.keys()}  # noqa: SIM118
    answered = next(_headers(head, "precedence"), "").strip().lower() == "auto_reply"
    if automatic != "no" or noticed or answered:
        return Outcome.ACKNOWLEDGED, "automatic_answer"
    return Outcome.ACKNOWLEDGED, None


def _delivery(mail: Message | None) -> str | None:
    """The action of a delivery status notification, None where it is none."""
    for part in _children(mail):
        if part.get_content_type() != "message/delivery-status":
            continue
        for fields in _children(part):
            action = next(_headers(fields, "action"), "").strip().lower()
            status = next(_headers(fields, "status"), "").strip()
            if action == "failed" or (not action and status.startswith("5.")):
                return "failed"
        return "other"
    return None


def _children(mail: Message | None) -> Iterator[Message]:
    # Asked first: the payload of anything else would be decoded by whatever charset it names.
    payload = mail.get_payload() if mail is not None and mail.is_multipart() else None
    if isinstance(payload, list):
        yield from (part for part in payload[:_MAX_PARTS] if isinstance(part, Message))


def _event_id(head: Message, raw: bytes) -> str:
    given = next(_headers(head, "message-id"), "").strip()
    if re.fullmatch(r"<[!-~]{3,190}>", given):
        return given
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"


# -- its words -------------------------------------------------------------------------------------


def _text(mail: Message | None) -> str:
    """The first plain text that is no attachment, else the text of the first HTML; size-capped."""
    html = ""
    waiting = [mail] if mail is not None else []
    for _ in range(_MAX_PARTS):
        if not waiting:
            break
        part = waiting.pop()
        kind = part.get_content_type()
        if part.is_multipart() and not kind.startswith("message/"):
            waiting += reversed(list(_children(part)))
        elif part.get_filename() or part.get_content_disposition() == "attachment":
            continue
        elif kind == "text/plain" and (text := _clean(_decoded(part))):
            return text
        elif kind == "text/html" and not html:
            html = _clean(_without_tags(_decoded(part)))
    return html


def _payload(part: Message) -> bytes:
    try:
        payload = part.get_payload(decode=True)
    except _MALFORMED:
        return b""
    return payload if isinstance(payload, bytes) else b""


def _decoded(part: Message) -> str:
    try:
        name = codecs.lookup(part.get_content_charset("utf-8")).name
    except _MALFORMED:
        name = "utf-8"
    name = name if _CHARSET.match(name) else "utf-8"
    data = _payload(part)[: 20 * MAX_REPLY]
    try:
        return data.decode(name, "replace")
    except _MALFORMED:
        return data.decode("utf-8", "replace")


def _clean(text: str) -> str:
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    kept = "".join(c if c.isprintable() or c in "\n\t" else " " for c in lines).strip()
    return kept if len(kept) <= MAX_REPLY else kept[: MAX_REPLY - 1] + "…"


class _Words(HTMLParser):
    _BLOCKS = frozenset({"p", "br", "div", "li", "tr", "h1", "h2", "h3", "blockquote"})
    _HIDDEN = frozenset({"script", "style", "head", "title"})

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.words: list[str] = []
        self._hidden = ""

    def handle_starttag(self, tag: str, _attrs: list[tuple[str, str | None]]) -> None:
        if tag in self._BLOCKS:
            self.words.append("\n")
        if tag in self._HIDDEN and not self._hidden:
            self._hidden = tag

    def handle_endtag(self, tag: str) -> None:
        if tag == self._hidden:
            self._hidden = ""

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.words.append(data)


def _without_tags(html: str) -> str:
    parser = _Words()
    try:
        parser.feed(html)
        parser.close()
    except (*_MALFORMED, AssertionError):
        return ""
    return re.sub(r"[ \t]*\n\s*", "\n", "".join(parser.words))
