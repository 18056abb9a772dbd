# SPDX-License-Identifier: Apache-2.0
"""The text of a mail, and nothing else of it, at a bounded cost.

What would make reading costly is refused before the parser sees it: too many headers, parts,
boundaries or enclosed messages. Of what is read, the first plain text that is no attachment counts,
else the first HTML without its tags; every other part is dropped undecoded and counted. Headers are
never decoded except the subject, cut before.
"""

import codecs
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from email.errors import MessageError
from email.header import decode_header
from email.message import Message
from email.parser import BytesHeaderParser, BytesParser
from html.parser import HTMLParser

from wasl_intake.channels.contract import Malformed

MAX_HEADER_BYTES = 131_072
MAX_HEADERS = 500
#: Characters of one header field that are read.
MAX_FIELD = 4_096
MAX_PARTS = 100
MAX_BOUNDARIES = 30
MAX_ENCLOSED = 20
#: Lines that begin like a boundary.
MAX_DELIMITERS = 1_000
#: Bytes of the text part that are decoded; many times what is kept.
MAX_TEXT = 262_144
#: The standard library's HTML parser is not linear in what it is fed.
MAX_HTML = 131_072
MAX_SUBJECT = 300

_HEADERS_END = re.compile(rb"\r?\n\r?\n")
_BOUNDARY = re.compile(rb"boundary\*?[0-9*]*\s*=", re.IGNORECASE)
_ENCLOSED = re.compile(rb"^content-type:\s*message/", re.IGNORECASE | re.MULTILINE)
_DELIMITER = re.compile(rb"^--", re.MULTILINE)
_PART = re.compile(
    rb"^content-(?:type|disposition|transfer-encoding):", re.IGNORECASE | re.MULTILINE
)
#: A field of a part that goes on for more than 40 lines.
_LONG_FIELD = re.compile(
    rb"^content-[a-z-]{1,40}:[^\n]*(?:\n[ \t][^\n]*){40}", re.IGNORECASE | re.MULTILINE
)
#: Charsets that are only charsets; Python also has codecs that are slow or decode nothing.
_CHARSET = re.compile(r"utf|iso|cp\d|ascii|gb|big5|euc|shift|koi8|mac|hz")
#: What reading a malformed mail raises in the standard library.
_FAULTS = (
    MessageError, LookupError, ValueError, TypeError, AttributeError, AssertionError,
    RecursionError,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mail:
    """``dropped``: parts that were not read. ``text`` is ``""`` where there was none."""

    head: Message = field(repr=False)
    text: str = field(repr=False)
    dropped: int

    def one(self, name: str) -> str:
        """A header field on one line, cut; the first of its name, "" if there is none."""
        return next(self.all(name), "")

    def all(self, name: str) -> Iterator[str]:
        """Fields of a name, topmost first."""
        for value in self.head.get_all(name, []):
            yield " ".join(str(value)[:MAX_FIELD].split())

    def has(self, *names: str) -> bool:
        return any(name in self.head for name in names)

    @property
    def subject(self) -> str:
        return _unfolded(self.one("subject")[:MAX_SUBJECT])


def read(raw: bytes) -> Mail:
    """Raises Malformed for what would cost too much to read."""
    _check(raw)
    try:
        head = BytesHeaderParser().parsebytes(raw[: MAX_HEADER_BYTES + 4])
        whole = BytesParser().parsebytes(raw)
        text, dropped = _text(whole)
    except _FAULTS:
        raise Malformed("not_readable") from None
    return Mail(head, text, dropped)


def lines_of(size: int) -> int:
    """Lines a mail of so many bytes may have; each costs time and memory of its own."""
    return max(50_000, size // 40)


def _check(raw: bytes) -> None:
    if raw.count(b"\n") > lines_of(len(raw)):
        raise Malformed("too_many_lines")
    end = _HEADERS_END.search(raw, 0, MAX_HEADER_BYTES + 4)
    if end is None and len(raw) > MAX_HEADER_BYTES:
        raise Malformed("headers_too_long")
    head = raw[: end.start()] if end else raw
    if (
        head.count(b"\n") > MAX_HEADERS * 4
        or len(re.findall(rb"(?m)^[^\s:]+:", head)) > MAX_HEADERS
    ):
        raise Malformed("too_many_headers")
    _few(_BOUNDARY, raw, MAX_BOUNDARIES)
    _few(_ENCLOSED, raw, MAX_ENCLOSED)
    _few(_DELIMITER, raw, MAX_DELIMITERS)
    _few(_PART, raw, 4 * MAX_PARTS)
    if _LONG_FIELD.search(raw):
        raise Malformed("field_too_long")


def _few(pattern: re.Pattern[bytes], raw: bytes, limit: int) -> None:
    for number, _ in enumerate(pattern.finditer(raw), start=1):
        if number > limit:
            raise Malformed("too_many_parts")


def _text(mail: Message) -> tuple[str, int]:
    """The text, and how many other parts there were."""
    plain, html, dropped = "", "", 0
    for part in _leaves(mail):
        kind, disposition = part.get_content_type(), part.get_content_disposition()
        if part.get_filename() or disposition == "attachment":
            dropped += 1
        elif kind == "text/plain":
            plain = plain or _decoded(part).strip()
        elif kind == "text/html":
            # Beside a plain text it is the same in other clothes.
            html = html or _decoded(part)
        else:
            dropped += 1
    return plain or _without_tags(html), dropped


def _leaves(mail: Message) -> Iterator[Message]:
    """Parts that hold something; an enclosed message is one, and is not opened."""
    waiting = [mail]
    for _ in range(MAX_PARTS):
        if not waiting:
            return
        part = waiting.pop()
        payload = part.get_payload() if part.is_multipart() else None
        if isinstance(payload, list) and part.get_content_maintype() == "multipart":
            waiting += reversed([p for p in payload if isinstance(p, Message)])
        else:
            yield part
    if waiting:
        raise Malformed("too_many_parts")


def _decoded(part: Message) -> str:
    payload = part.get_payload(decode=True)
    data = payload[:MAX_TEXT] if isinstance(payload, bytes) else b""
    return _charset(data, part.get_content_charset("utf-8"))


def _charset(data: bytes, name: str) -> str:
    with suppress(*_FAULTS):  # else read as what it most likely is
        known = codecs.lookup(name).name
        if _CHARSET.match(known):
            return data.decode(known, "replace")
    return data.decode("utf-8", "replace")


def _unfolded(text: str) -> str:
    if "=?" not in text:
        return text
    try:
        pieces = decode_header(text)
    except _FAULTS:
        return ""
    return "".join(
        _charset(piece, name or "utf-8") if isinstance(piece, bytes) else piece
        for piece, name in pieces
    )[:MAX_SUBJECT]


class _Words(HTMLParser):
    _BLOCKS = frozenset({"p", "br", "div", "li", "tr", "h1", "h2", "h3", "blockquote"})
    _HIDDEN = frozenset({"script", "style", "head", "title"})

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.words: list[str] = []
        self._hidden = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in self._BLOCKS:
            self.words.append("\n")
        # A shown word may hide the address it leads to.
        href = dict(attrs).get("href") if tag == "a" else None
        if href and href.startswith(("http://", "https://")):
            self.words.append(f"{href} ")
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
    with suppress(*_FAULTS):  # what came before the fault is text
        # Never closed: that is where it takes quadratic time over a tag without an end.
        parser.feed(html[:MAX_HTML])
    lines = (line.strip() for line in "".join(parser.words).split("\n"))
    return "\n".join(filter(None, lines))
