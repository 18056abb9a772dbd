# SPDX-License-Identifier: Apache-2.0
"""What a mail in the hub's mailbox says about a request. Pure; no mail can make it fail.

Only a genuine token counts, never who a mail claims to be from. Bounces (RFC 3464), automatic
answers (RFC 3834) and people's answers are told apart: a person's acknowledges, what it decided is
for a person to read; a machine's changes nothing. Attachments are dropped unread.
"""

import codecs
import hashlib
import re
from collections.abc import Iterable, Iterator
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
#: Encoded words in Message-IDs are wrong, and what some programs make of long ones.
_ENCODED = ("subject", "in-reply-to", "references", "message-id")
#: Charsets that are only charsets; Python also has codecs that are slow or decode nothing.
_CHARSET = re.compile(r"utf|iso|cp\d|ascii|gb|big5|euc|shift|koi8|mac|hz")
#: What the purpose of a Message-ID begins with: a reminder, correction or withdrawal; a group.
FOLLOWING = frozenset("rcw")
GROUP = "g"
_MAX_MEMBERS = 50
_WORD = re.compile(rf"(?<![a-z0-9])({PATTERN})(?![a-z0-9])", re.IGNORECASE)
#: Where a program puts the mail it answers below the answer without marking its lines.
_QUOTED_BELOW = re.compile(
    r"^[ \t]*(?:-{4,}|_{4,}|(?:From|De|Von|من)[ \u00a0]?:)", re.IGNORECASE | re.MULTILINE
)
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


def read_mail(raw: bytes, desk: Desk) -> tuple[StatusUpdate, ...]:
    """What it says about each request it is about. None at all: no request of ours, a mail of our
    own, or a delay that says nothing.
    """
    raw = raw[:MAX_MAIL]
    head = BytesHeaderParser().parsebytes(raw)
    if _ours(head, desk):
        return ()
    mail = _parse(raw)
    text = _text(mail)
    answered, returned = _answered(head, text, desk), _returned(mail, desk)
    # A bounce is about the mail it returns; its address names the first request of a group only.
    bounced = _delivery(mail) is not None
    about = (returned or answered) if bounced else (answered or returned)
    said = _said(head, mail)
    if not about or said is None:
        return ()
    outcome, reason = said
    if outcome is Outcome.REFUSED and returned and returned[0].purpose[:1] in FOLLOWING:
        outcome, reason = Outcome.PENDING, "follow_up_undeliverable"  # the request had arrived
    event_id = _event_id(head, raw)
    return tuple(
        StatusUpdate(
            outcome=outcome,
            reference=named.token,
            idempotency_key=named.key,
            reason=reason,
            event_id=f"{event_id}/{number}" if number else event_id,
            reply=text or None,
        )
        for number, named in enumerate(about)
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
            if "=?" in text and name in _ENCODED:
                with suppress(*_MALFORMED):  # else read as it stands
                    text = str(make_header(decode_header(text)))
            yield "".join(text.split("\n"))


# -- which request ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Named:
    """A genuine token. ``key`` where a Message-ID of ours has it; ``purpose``: of that mail."""

    token: str
    key: str | None = None
    purpose: str = ""


def _answered(head: Message, text: str, desk: Desk) -> list[_Named]:
    """What a mail answers by its headers: one request, or those of a group."""
    parents = list(_ids(_headers(head, "in-reply-to"), desk))
    chain = list(_ids(_headers(head, "references"), desk))
    nearest = (parents or chain)[-1:]
    if nearest and nearest[0].purpose[:1] == GROUP:
        return _members([*chain, *parents], text, desk)
    local, _, domain = (re.escape(x) for x in desk.mailbox.rpartition("@"))
    address = re.compile(rf"(?<![\w.+-]){local}\+({PATTERN})@{domain}(?![\w.-])", re.IGNORECASE)
    to = _tokens(_headers(head, *_RECIPIENTS), address, desk)
    subject = _tokens(_headers(head, "subject"), _SUBJECT, desk)
    for named in (*to, *parents, *chain, *subject):
        keys = (x.key for x in (*parents, *chain) if x.token == named.token and x.key)
        return [_Named(named.token, next(keys, None))]
    return []


def _members(ids: list[_Named], text: str, desk: Desk) -> list[_Named]:
    """The requests of a group that a mail is about: those its own words name, else all.

    ``ids``: what the headers name; where References were lost, the quoted mail has the tokens.
    """
    keys: dict[str, str | None] = {}
    for named in ids:
        keys[named.token] = keys.get(named.token) or named.key
    if len(keys) == 1:
        keys |= {n.token: keys.get(n.token) for n in _tokens([text], _WORD, desk)}
    own = {named.token for named in _tokens([_own_words(text)], _WORD, desk)}
    chosen = [token for token in keys if token in own] or list(keys)
    return [_Named(token, keys[token]) for token in chosen[:_MAX_MEMBERS]]


def _own_words(text: str) -> str:
    """A reply without what it quotes, as far as mail programs mark it."""
    head = _QUOTED_BELOW.split(text, maxsplit=1)[0]
    return "\n".join(x for x in head.split("\n") if not x.lstrip().startswith(">"))


def _tokens(values: Iterable[str], pattern: re.Pattern[str], desk: Desk) -> list[_Named]:
    found = [m.group(1).lower() for value in values for m in pattern.finditer(value)]
    return [_Named(token) for token in dict.fromkeys(found) if desk.tokens.genuine(token)]


def _ids(values: Iterable[str], desk: Desk) -> Iterator[_Named]:
    """Our Message-IDs among others'. A key counts only with its own token."""
    ours = re.compile(
        rf"<(?:([A-Za-z0-9_-]{{1,80}})\.)?({PATTERN})(?:\.([a-z0-9]{{1,20}}))?"
        rf"@{re.escape(desk.domain)}>",
        re.IGNORECASE,
    )
    for value in values:
        for key, found, purpose in ours.findall(value):
            token = found.lower()
            if desk.tokens.genuine(token):
                good = key and desk.tokens.belongs(token, key)
                yield _Named(token, key if good else None, purpose.lower())


def _ours(head: Message, desk: Desk) -> bool:
    """A mail we sent: a copy, or one that was forwarded back."""
    if _author(head) == desk.sender.lower():
        return True
    return any(_ids(_headers(head, "message-id"), desk))


def _author(head: Message) -> str:
    """The address in From, as good as it is: it tells bounces and copies, and proves nothing."""
    text = next(_headers(head, "from"), "")[-320:].strip()
    found = re.search(r"<([^<>]*)>$", text)
    return (found.group(1) if found else text).lower()


def _returned(mail: Message | None, desk: Desk) -> list[_Named]:
    """What the mail was about whose headers a bounce returns."""
    for part in _children(mail):
        kind = part.get_content_type()
        if kind == "message/rfc822":
            inner = next(_children(part), None)
        elif kind == "text/rfc822-headers":
            inner = BytesHeaderParser().parsebytes(_payload(part))
        else:
            continue
        ids = list(_ids(_headers(inner, "message-id"), desk)) if inner else []
        if inner and ids and ids[0].purpose[:1] == GROUP:
            return _members([*_ids(_headers(inner, "references"), desk), ids[0]], "", desk)
        if ids:
            return ids[:1]
    return []


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
        return Outcome.PENDING, "automatic_answer"  # nobody has read the request
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
