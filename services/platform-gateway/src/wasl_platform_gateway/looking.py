# SPDX-License-Identifier: Apache-2.0
"""Looks at one address, as little as is needed to tell whether the item is still there.

Sends GET without cookies, credentials or referrer, to public hosts of the allow-list, where their
robots.txt lets us (RFC 9309). Reads text only, never an image or a video, and no more than 256 KiB.
Nothing here logs or raises an address. It fetches what it is told: that an item may be looked at at
all (never where a child's safety is concerned) is decided by whoever calls.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import TracebackType
from typing import Self
from urllib.parse import quote

import httpx
from protego import Protego
from wasl_connector_sdk.guard import PrivateAddress, public_transport
from wasl_connector_sdk.http import USER_AGENT, retry_after

from wasl_platform_gateway.domain.presence import (
    Presence,
    Seen,
    Words,
    by_address,
    by_probe,
    judge,
    media_type,
    needs_text,
)

MAX_TEXT = 256 * 1024
MAX_REDIRECTS = 4
#: RFC 9309 §2.5 asks to read at least this much of a robots.txt.
MAX_ROBOTS = 500 * 1024
MAX_ROBOTS_REDIRECTS = 5
#: RFC 9309 §2.4: no longer than a day. A robots.txt that could not be read is asked for sooner.
ROBOTS_SECONDS = 24 * 3600.0
NO_ROBOTS_SECONDS = 15 * 60.0
_MAX_HOSTS = 2000

_ROBOT = USER_AGENT.partition("/")[0]
_EVERYTHING = Protego.parse("")
_CONTACT = re.compile(r"(?:https?://|mailto:)[!#-'*-;=?-~]+")
_ENTRY = re.compile(r"\*|[a-z0-9_.-]+|[0-9a-f:]+")
_UNREACHABLE = (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError)
_PORTS = {"http": 80, "https": 443}
# The encodings pages in our languages are written in, by the labels of the Encoding Standard.
_CODECS = {
    "utf-8": "utf-8",
    "utf8": "utf-8",
    "windows-1256": "cp1256",
    "cp1256": "cp1256",
    "iso-8859-6": "iso8859-6",
    "windows-1252": "cp1252",
    "iso-8859-1": "cp1252",
    "latin1": "cp1252",
    "iso-8859-15": "iso8859-15",
    "us-ascii": "cp1252",
}
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([\w-]+)", re.IGNORECASE)


class Allowed:
    """The egress allow-list: hosts and all names below them; ``*`` is every public host.

    ``example.org`` allows the scheme's own port, ``example.org:8443`` that port as well. A host
    written out with its port may even be private: whoever wrote it knows what is there. Raises
    ValueError for an entry that is no host.
    """

    def __init__(self, hosts: Iterable[str]) -> None:
        self._entries: set[tuple[str, int | None]] = set()
        for entry in hosts:
            try:
                url = httpx.URL(f"http://{entry}/")
            except (httpx.InvalidURL, ValueError):
                url = httpx.URL("")
            if set(entry) & set("/?#@\\") or not _ENTRY.fullmatch(_host(url)):
                raise ValueError(f"allow-list entry {entry!r}: expected a host, host:port or *")
            self._entries.add((_host(url), url.port))

    def __contains__(self, url: httpx.URL) -> bool:
        host, port, usual = _host(url), url.port, _PORTS.get(url.scheme)
        return any(
            (name in ("*", host) or host.endswith(f".{name}"))
            and (port in (None, usual) or port == entered)
            for name, entered in self._entries
        )

    def written_out(self, url: httpx.URL) -> bool:
        """Whether this very host and port is an entry."""
        return url.port is not None and (_host(url), url.port) in self._entries


def _host(url: httpx.URL) -> str:
    return url.raw_host.decode("ascii").lower().rstrip(".")


@dataclass(frozen=True, slots=True)
class Probe:
    """A status address that the platform itself publishes: only its status counts, no body is read.

    ``template``: an https address with ``{location}`` where the item's address goes, on a host of
    the platform: it learns the address. ``gone`` and ``wall``: the statuses that mean so; 200 means
    online, anything else that we do not know. It is an interface made for programs, so robots.txt,
    which speaks to crawlers, is not asked. Raises ValueError for another template.
    """

    template: str
    gone: frozenset[int]
    wall: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        if not self.template.startswith("https://") or self.template.count("{location}") != 1:
            raise ValueError("expected an https address with {location} in it, once")

    def address(self, location: str) -> str:
        return self.template.replace("{location}", quote(location, safe=""))


class _Settled(Exception):  # noqa: N818
    """What there is to say is known before anything more is fetched."""

    def __init__(self, presence: Presence, reason: str) -> None:
        super().__init__(reason)
        self.seen = Seen(presence, reason)


@dataclass(frozen=True, slots=True)
class _Robots:
    #: None: not to be had, so everything is disallowed for now.
    rules: Protego | None
    until: float


class Looker:
    """Fetches and judges. Close it, or use it as an async context manager.

    ``contact``: where a site's owner learns who we are, an http(s) or mailto address; it is sent
    with every request. ``seconds``: time limit of a whole look. ``proxy``: all requests go through
    it; it resolves names then and must itself refuse private addresses, here only hosts written
    as an address are checked. ``transport``: instead of the guarded one, for tests.
    Raises ValueError where ``contact`` is no such address.
    """

    def __init__(
        self,
        allowed: Allowed,
        *,
        contact: str,
        seconds: float = 20.0,
        proxy: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not _CONTACT.fullmatch(contact):
            raise ValueError("contact: expected an http(s) or mailto address of the hub")
        self._allowed = allowed
        self._seconds = seconds
        self._clock = clock
        self._transport = transport or public_transport(proxy=proxy)
        self._anywhere = transport or httpx.AsyncHTTPTransport(
            proxy=proxy, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0)
        )
        self._robots: dict[str, _Robots] = {}
        self._headers = {
            "user-agent": f"{USER_AGENT} (+{contact})",
            "accept": "text/html, text/plain",
            "accept-encoding": "identity",
        }
        self._timeouts = httpx.Timeout(seconds, connect=min(seconds, 5.0)).as_dict()

    async def look(
        self, location: str, probe: Probe | None = None, words: Words | None = None
    ) -> Seen:
        """Whether the item at ``location`` is there. Never raises for what the network does.

        The caller has decided that this address may be fetched, and waits :meth:`crawl_delay`
        between two looks at one host and ``Seen.wait`` where it is set. ``words``: the platform's
        own phrases. With a ``probe`` the address itself is not fetched.
        """
        try:
            async with asyncio.timeout(self._seconds):
                if probe is not None:
                    return await self._by_probe(location, probe)
                return await self._by_page(_address(location), words or Words())
        except _Settled as settled:
            return settled.seen
        except PrivateAddress as error:
            return Seen(Presence.WALL, error.reason)
        except (httpx.UnsupportedProtocol, httpx.LocalProtocolError):
            return Seen(Presence.WALL, "bad_address")
        except _UNREACHABLE:
            return Seen(Presence.UNCLEAR, "unreachable")
        except (TimeoutError, httpx.TimeoutException):
            return Seen(Presence.UNCLEAR, "timeout")
        except httpx.TransportError:
            return Seen(Presence.UNCLEAR, "no_answer")

    def crawl_delay(self, location: str) -> float | None:
        """Seconds the host wants between two requests, by the robots.txt last read; else None."""
        try:
            found = self._robots.get(_origin(_address(location)))
        except _Settled:
            return None
        if found is None or found.rules is None:
            return None
        rate = found.rules.request_rate(_ROBOT)
        told = (
            found.rules.crawl_delay(_ROBOT),
            rate.seconds / rate.requests if rate and rate.requests else None,
        )
        return max((delay for delay in told if delay is not None), default=None)

    async def aclose(self) -> None:
        await self._transport.aclose()
        await self._anywhere.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def _by_probe(self, location: str, probe: Probe) -> Seen:
        async with self._get(self._permitted(_address(probe.address(location)))) as response:
            seen = by_probe(response.status_code, probe.gone, probe.wall)
            return replace(seen, wait=_wait(seen, response))

    async def _by_page(self, location: httpx.URL, words: Words) -> Seen:
        asked = url = self._permitted(location)
        for _ in range(MAX_REDIRECTS + 1):
            await self._ask_robots(url)
            async with self._get(url) as response:
                target = _redirected(url, response)
                if target is None:
                    return await self._judged(str(asked), str(url), response, words)
            # Where a login page or another site is all there is at the end, nobody needs to go.
            if seen := by_address(str(asked), str(target)):
                return seen
            url = self._permitted(target)
        raise _Settled(Presence.WALL, "too_many_redirects")

    async def _judged(self, asked: str, final: str, response: httpx.Response, words: Words) -> Seen:
        status, content_type = response.status_code, response.headers.get("content-type")
        text = None
        if needs_text(asked, final, status, content_type):
            if _encoded(response):
                raise _Settled(Presence.WALL, "encoded")
            text = _decoded(await _read(response, MAX_TEXT), content_type or "")
        seen = judge(asked, final, status=status, content_type=content_type, text=text, words=words)
        return replace(seen, wait=_wait(seen, response))

    def _permitted(self, url: httpx.URL) -> httpx.URL:
        """The address without credentials and fragment, where it may be fetched."""
        if url.scheme not in _PORTS or not url.host:
            raise _Settled(Presence.WALL, "bad_address")
        if url not in self._allowed:
            raise _Settled(Presence.WALL, "host_not_allowed")
        return url.copy_with(userinfo=b"", fragment=None)

    @asynccontextmanager
    async def _get(self, url: httpx.URL) -> AsyncIterator[httpx.Response]:
        """One exchange, up to the headers. What is not read of the body is dropped with the line.

        Straight on the transport: a client would bring cookies, a log of addresses and inflating.
        """
        request = httpx.Request(
            "GET", url, headers=self._headers, extensions={"timeout": self._timeouts}
        )
        transport = self._anywhere if self._allowed.written_out(url) else self._transport
        response = await transport.handle_async_request(request)
        try:
            yield response
        finally:
            await response.aclose()

    async def _ask_robots(self, url: httpx.URL) -> None:
        found = self._robots.get(_origin(url))
        if found is None or found.until <= self._clock():
            rules = await self._fetch_robots(url)
            lasts = NO_ROBOTS_SECONDS if rules is None else ROBOTS_SECONDS
            found = _Robots(rules, self._clock() + lasts)
            self._robots[_origin(url)] = found
            if len(self._robots) > _MAX_HOSTS:
                del self._robots[next(iter(self._robots))]
        if found.rules is None:
            raise _Settled(Presence.UNCLEAR, "robots_unreachable")
        if not found.rules.can_fetch(str(url), _ROBOT):
            raise _Settled(Presence.WALL, "robots")

    async def _fetch_robots(self, url: httpx.URL) -> Protego | None:
        """The rules; None where they are not to be had. A host that is down is raised as such."""
        at = url.copy_with(raw_path=b"/robots.txt")
        try:
            # Half of a look: a host that is slow about its rules is remembered as such.
            async with asyncio.timeout(self._seconds / 2):
                for _ in range(MAX_ROBOTS_REDIRECTS + 1):
                    async with self._get(at) as response:
                        target = _redirected(at, response)
                        if target is None:
                            return await _rules(response)
                    at = self._permitted(target)
        except (*_UNREACHABLE, PrivateAddress):
            if at.host == url.host:
                raise
        except (_Settled, TimeoutError, httpx.TransportError):
            return None
        return None


def _address(location: str) -> httpx.URL:
    try:
        return httpx.URL(location)
    except (httpx.InvalidURL, ValueError):  # ValueError: a host IDNA cannot encode
        raise _Settled(Presence.WALL, "bad_address") from None


def _origin(url: httpx.URL) -> str:
    return f"{url.scheme}://{url.netloc.decode('ascii')}".lower()


def _redirected(url: httpx.URL, response: httpx.Response) -> httpx.URL | None:
    if not response.has_redirect_location:
        return None
    try:
        return url.join(response.headers["location"])
    except (httpx.InvalidURL, ValueError):
        raise _Settled(Presence.WALL, "bad_redirect") from None


def _wait(seen: Seen, response: httpx.Response) -> float | None:
    if seen.presence is not Presence.UNCLEAR:
        return None
    return retry_after(response.headers.get("retry-after"), datetime.now(UTC))


def _encoded(response: httpx.Response) -> bool:
    return response.headers.get("content-encoding", "").strip().lower() not in ("", "identity")


async def _read(response: httpx.Response, limit: int) -> bytes:
    """The first ``limit`` bytes of the body as sent: inflating is how a small one becomes large."""
    if response.is_stream_consumed:  # a mock transport's response is complete from the start
        return response.content[:limit]
    body = bytearray()
    async with aclosing(response.aiter_raw()) as parts:  # type: ignore[type-var]
        async for part in parts:
            body += part[: limit - len(body)]
            if len(body) >= limit:
                break
    return bytes(body)


def _decoded(body: bytes, content_type: str) -> str:
    told = _CHARSET.search(content_type) or _CHARSET.search(body[:1024].decode("latin-1"))
    label = told[1].lower() if told and not body.startswith(b"\xef\xbb\xbf") else "utf-8"
    return body.decode(_CODECS.get(label, "utf-8"), errors="replace").removeprefix("\ufeff")


async def _rules(response: httpx.Response) -> Protego | None:
    """RFC 9309 §2.3.1: 4xx is no rules, 5xx is no access; 429 is read as "not now" here."""
    status = response.status_code
    if 400 <= status < 500 and status != 429:
        return _EVERYTHING
    if not 200 <= status < 300 or _encoded(response):
        return None
    kind = media_type(response.headers.get("content-type"))
    if kind and not kind.startswith("text/"):
        return _EVERYTHING  # no robots.txt, whatever it is; not ours to read
    body = await _read(response, MAX_ROBOTS)
    if len(body) == MAX_ROBOTS:
        body = body[: body.rfind(b"\n") + 1]  # half a rule is another rule
    return Protego.parse(body.decode("utf-8-sig", errors="replace"))
