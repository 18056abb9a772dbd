# SPDX-License-Identifier: Apache-2.0
"""The fault matrix of HTTP towards partners, on real sockets: each fault has one error class."""

import asyncio
import gzip
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest
from wasl_connector_sdk import (
    AmbiguousOutcome,
    CredentialsRejected,
    InvalidSubmission,
    RateLimited,
    SubmissionRefused,
    TransientError,
)
from wasl_connector_sdk.http import MAX_BODY, client, exchange, expect, fault, retry_after

NOW = datetime(2026, 1, 5, 9, tzinfo=UTC)


@asynccontextmanager
async def raw_server(reply):
    """Reads one request's head and body, then does ``reply(writer)``."""
    requests = []

    async def serve(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        size = next(
            (
                int(x.split(b":")[1])
                for x in head.split(b"\r\n")
                if x.lower().startswith(b"content-l")
            ),
            0,
        )
        requests.append(head + await reader.readexactly(size))
        try:
            await reply(writer)
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", requests
    finally:
        server.close()


def sends(data, *, wait=0.0, reset=False):
    async def reply(writer):
        if data:
            writer.write(data)
            await writer.drain()
        if reset:
            writer.transport.abort()
        await asyncio.sleep(wait)

    return reply


def response(status, headers="", body=b""):
    return f"HTTP/1.1 {status} X\r\n{headers}content-length: {len(body)}\r\n\r\n".encode() + body


async def post(url, method="POST", timeout=5.0):
    async with client(timeout=timeout) as http:
        content = b"{}" if method == "POST" else None
        return expect(await exchange(http, method, url, content=content), NOW)


STATUSES = [
    (400, "", InvalidSubmission),
    (401, "", CredentialsRejected),
    (403, "", CredentialsRejected),
    (404, "", TransientError),
    (405, "", InvalidSubmission),
    (408, "", TransientError),
    (409, "", AmbiguousOutcome),
    (410, "", TransientError),
    (413, "", InvalidSubmission),
    (418, "", InvalidSubmission),
    (422, "", InvalidSubmission),
    (425, "", TransientError),
    (429, "", RateLimited),
    (451, "", SubmissionRefused),
    (500, "", TransientError),
    (502, "", TransientError),
    (503, "", TransientError),
    (504, "", AmbiguousOutcome),
    (599, "", TransientError),
    (301, "location: http://127.0.0.1:1/\r\n", TransientError),
    (307, "location: http://127.0.0.1:1/\r\n", TransientError),
]


@pytest.mark.parametrize(("status", "headers", "kind"), STATUSES)
async def test_each_status_has_one_meaning(status, headers, kind):
    async with raw_server(sends(response(status, headers))) as (url, requests):
        with pytest.raises(Exception) as caught:
            await post(url)
    assert type(caught.value) is kind
    assert len(requests) == 1


async def test_a_refusal_is_explicit():
    body = b'{"code": "Not In Scope"}'
    async with raw_server(sends(response(422, "", body))) as (url, _):
        with pytest.raises(SubmissionRefused) as caught:
            await post(url)
    assert caught.value.code == "not_in_scope"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90),
        (format_datetime(NOW - timedelta(days=1), usegmt=True), 0),
        ("999999999999", 86400),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
        ("", None),
    ],
)
async def test_retry_after_in_both_forms(value, seconds):
    assert retry_after(value, NOW) == seconds
    for status, kind in ((429, RateLimited), (503, TransientError)):
        async with raw_server(sends(response(status, f"retry-after: {value}\r\n"))) as (url, _):
            with pytest.raises(kind) as caught:
                await post(url)
        assert caught.value.retry_after == seconds


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_nothing_listens(method):
    server = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    with pytest.raises(TransientError) as caught:
        await post(f"http://127.0.0.1:{port}/", method)
    assert caught.value.reason == "unreachable"


async def test_a_name_that_does_not_resolve_is_transient():
    def refuse(_):
        raise httpx.ConnectError("name or service not known")

    async with client(transport=httpx.MockTransport(refuse)) as http:
        with pytest.raises(TransientError):
            await exchange(http, "POST", "https://partner.example/", content=b"")


LOST = {
    "silence": sends(b"", wait=1),
    "reset": sends(b"", reset=True),
    "closed": sends(b""),
    "half a status line": sends(b"HTTP/1.1 20"),
    "not HTTP": sends(b"\x00\xff\xfe no\r\n\r\n"),
}


@pytest.mark.parametrize("fault_", LOST)
@pytest.mark.parametrize(("method", "kind"), [("POST", AmbiguousOutcome), ("GET", TransientError)])
async def test_no_answer_is_ambiguous_only_where_something_was_sent(fault_, method, kind):
    async with raw_server(LOST[fault_]) as (url, _):
        with pytest.raises(Exception) as caught:
            await post(url, method, 0.5)
    assert type(caught.value) is kind


UNREADABLE = {
    "truncated": sends(b'HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{"id"'),
    "stalled": sends(b'HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{"id"', wait=1),
    "huge": sends(response(200, "", b"x" * (MAX_BODY + 1))),
    "compressed": sends(response(200, "content-encoding: gzip\r\n", gzip.compress(b"0" * 10**7))),
    "html": sends(response(200, "content-type: text/html\r\n", b"<html>no</html>")),
    "deep": sends(response(200, "", b"[" * 100_000)),
}


@pytest.mark.parametrize("what", UNREADABLE)
async def test_a_known_status_decides_whatever_the_body(what):
    async with raw_server(UNREADABLE[what]) as (url, _):
        answer = await post(url, timeout=0.5)
    assert answer.status == 200
    assert answer.json() is None


async def test_an_error_status_with_a_broken_body_keeps_its_meaning():
    broken = b"HTTP/1.1 503 X\r\ncontent-length: 99\r\n\r\nno"
    async with raw_server(sends(broken)) as (url, _):
        with pytest.raises(TransientError) as caught:
            await post(url)
    assert caught.value.reason == "http_503"


async def test_neither_bodies_nor_addresses_reach_an_error():
    async with raw_server(sends(response(400, "", b"CANARY"))) as (url, _):
        with pytest.raises(InvalidSubmission) as caught:
            await post(url + "CANARY")
    assert "CANARY" not in repr(caught.value)
    assert caught.value.__cause__ is None


async def test_the_environment_sets_no_proxy(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    async with raw_server(sends(response(204))) as (url, _):
        assert (await post(url)).ok


async def test_a_cancelled_call_leaves_no_connection_open():
    gone = asyncio.Event()

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        await reader.read()
        gone.set()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    async with client(timeout=30) as http:
        task = asyncio.create_task(exchange(http, "GET", url))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(gone.wait(), 5)
    server.close()


def test_every_status_is_covered():
    from wasl_connector_sdk.http import Answer

    for status in range(100, 600):
        result = fault(Answer(status, {}, b""), NOW)
        assert (result is None) == (200 <= status < 300), status
