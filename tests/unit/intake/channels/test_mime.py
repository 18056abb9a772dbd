# SPDX-License-Identifier: Apache-2.0
"""The text of a mail and nothing else, whatever the mail is made of."""

import base64
from email.message import EmailMessage

import pytest
from wasl_intake.channels import mime
from wasl_intake.channels.contract import Malformed


def raw(body: bytes, content_type: str = "text/plain; charset=utf-8", **headers: str) -> bytes:
    lines = "".join(f"{k.replace('_', '-')}: {v}\r\n" for k, v in headers.items())
    return f"From: a@sender.test\r\nContent-Type: {content_type}\r\n{lines}\r\n".encode() + body


def parts(*pieces: bytes, kind: str = "mixed") -> bytes:
    joined = b"".join(b"--x\r\n" + p + b"\r\n" for p in pieces)
    return raw(joined + b"--x--\r\n", f"multipart/{kind}; boundary=x")


PLAIN = b"Content-Type: text/plain\r\n\r\nthe text"
HTML = b"Content-Type: text/html\r\n\r\n<p>the <b>html</b></p>"
PICTURE = (
    b"Content-Type: image/png; name=x.png\r\nContent-Transfer-Encoding: base64\r\n\r\niVBORw0="
)
INLINE = b"Content-Type: image/png\r\nContent-Disposition: inline\r\nContent-ID: <a>\r\n\r\nx"
ARCHIVE = b"Content-Type: application/zip\r\nContent-Disposition: attachment\r\n\r\nPK"
NOTE = (
    b"Content-Type: text/plain\r\nContent-Disposition: attachment; filename=n.txt\r\n\r\nattached"
)
ENCLOSED = b"Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\nenclosed"


@pytest.mark.parametrize(
    ("mail", "text", "dropped"),
    [
        (raw("مرحبا 🙏🏽".encode()), "مرحبا 🙏🏽", 0),
        (raw("é".encode("latin-1"), "text/plain; charset=iso-8859-1"), "é", 0),
        (raw("مرحبا".encode("windows-1256"), "text/plain; charset=windows-1256"), "مرحبا", 0),
        (raw(b"plain", "text/plain; charset=rot13"), "plain", 0),
        (raw(b"plain", "text/plain; charset=zlib_codec"), "plain", 0),
        (raw(b"\xff\xfe", "text/plain; charset=nonsense"), "��", 0),
        (raw(base64.b64encode("نص".encode()), Content_Transfer_Encoding="base64"), "نص", 0),
        (raw(b"not base64!", Content_Transfer_Encoding="base64"), None, 0),
        (parts(PLAIN, HTML, kind="alternative"), "the text", 0),
        (parts(HTML), "the html", 0),
        (parts(PLAIN, PICTURE, INLINE, ARCHIVE), "the text", 3),
        (parts(NOTE), "", 1),
        (parts(PICTURE), "", 1),
        (parts(PLAIN, ENCLOSED), "the text", 1),
        (raw(b"", "multipart/mixed; boundary=x"), "", 1),
        (raw(b"x", "multipart/mixed"), None, 0),
        (b"", "", 0),
        (b"no header at all", None, 0),
    ],
)
def test_the_text(mail: bytes, text: str | None, dropped: int) -> None:
    read = mime.read(mail)
    if text is not None:
        assert (read.text.strip(), read.dropped) == (text, dropped)


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<style>p{}</style><script>alert(1)</script><p>one</p><p>two", "one\ntwo"),
        ("<title>t</title><a href='https://example.org/p'>here</a>", "https://example.org/p here"),
        ("<img src='https://cdn.test/x.png' alt='x'>text", "text"),
        ("&lt;b&gt; &#1605;", "<b> م"),
        ("<a href='javascript:x'>word</a>", "word"),
        ("text <![bad", "text"),
    ],
)
def test_html_is_its_words(html: str, text: str) -> None:
    assert mime.read(raw(html.encode(), "text/html; charset=utf-8")).text == text


def nested(depth: int) -> bytes:
    head = b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n"
    return b"From: a@sender.test\r\n" + b"".join(head % (n, n) for n in range(depth))


BOMBS = {
    "deep": nested(2_000),
    "deep messages": b"Content-Type: message/rfc822\r\n\r\n" * 5_000,
    "parts": parts(*[b"Content-Type: text/x\r\n\r\nx"] * 5_000),
    "bare parts": parts(*[b"\r\nx"] * 50_000),
    "headers": b"X-A: b\r\n" * 20_000 + b"\r\ntext",
    "a header": b"Subject: " + b"a\r\n " * 100_000 + b"\r\n\r\ntext",
    "a part's field": parts(b"Content-Type: text/plain;\r\n" + b" a=b;\r\n" * 50_000 + b"\r\nx"),
    "no end of headers": b"X" * 500_000,
    "lines": raw(b"\r\n" * 500_000),
    "colons": (b":" * 900 + b"\r\n") * 300,
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_what_would_cost_too_much_is_refused(bomb: str) -> None:
    with pytest.raises(Malformed):
        mime.read(BOMBS[bomb])


SLOW = {
    "tags without an end": raw(b"<a " * 100_000, "text/html"),
    "attributes": raw(b"<a/" * 100_000, "text/html"),
    "quotes": raw(b'<a a="' * 50_000, "text/html"),
    "comments": raw(b"<!--" * 100_000, "text/html"),
    "brackets": raw(b"<" * 300_000, "text/html"),
    "entities": raw(b"&" * 300_000, "text/html"),
    "a subject of encoded words": raw(b"x", Subject="=?utf-8?b?" * 9_000 + "?="),
    "parameters": raw(b"x", "text/plain" + '; a="\\"' * 400),
    "a large attachment": parts(PLAIN, PICTURE + base64.encodebytes(b"x" * 3_000_000)),
    "a large text": raw((b"word " * 15 + b"\r\n") * 100_000),
    "empty lines": raw(b"\r\n" * 49_000),
}  # fmt: skip


@pytest.mark.parametrize("mail", SLOW)
def test_what_is_taken_is_read_at_a_bounded_cost(mail: str) -> None:
    """Each of these takes minutes where a limit is missing."""
    read = mime.read(SLOW[mail])
    assert len(read.subject) <= mime.MAX_SUBJECT
    assert len(read.text) <= mime.MAX_TEXT


def test_headers() -> None:
    mail = mime.read(
        raw(b"x", Subject="=?utf-8?B?2YXYsdit2KjYpw==?= =?utf-8?Q?caf=C3=A9?=", X_A="1\r\n 2")
    )
    assert mail.subject == "مرحباcafé"
    assert mail.one("x-a") == "1 2"
    assert mail.one("x-b") == ""
    assert "x-a" not in repr(mail).lower()


def test_dropped_parts_are_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[str] = []
    real = mime.Message.get_payload

    def watch(part: mime.Message, *args: object, **kwargs: object) -> object:
        if kwargs.get("decode"):
            decoded.append(part.get_content_type())
        return real(part, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(mime.Message, "get_payload", watch)
    mime.read(parts(PLAIN, PICTURE, ARCHIVE, ENCLOSED))
    assert decoded == ["text/plain"]


def test_a_mail_as_programs_write_it() -> None:
    message = EmailMessage()
    message["Subject"] = "x"
    message.set_content("نص\n")
    message.add_alternative("<p>نص</p>", subtype="html")
    message.add_attachment(b"x", "application", "pdf", filename="x.pdf")
    read = mime.read(message.as_bytes())
    assert (read.text, read.dropped) == ("نص", 1)
