# SPDX-License-Identifier: Apache-2.0
"""One look at one address, on real sockets: what is sent, what is read, and what is never done."""

import asyncio
import gzip
import logging
import ssl
from contextlib import asynccontextmanager

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wasl_connector_sdk.guard import is_public, public_transport
from wasl_platform_gateway import looking
from wasl_platform_gateway.domain.presence import Presence, Seen, Words
from wasl_platform_gateway.looking import (
    MAX_REDIRECTS,
    MAX_ROBOTS,
    MAX_TEXT,
    NO_ROBOTS_SECONDS,
    ROBOTS_SECONDS,
    Allowed,
    Looker,
    Probe,
)

GONE, ONLINE, UNCLEAR, WALL = Presence.GONE, Presence.ONLINE, Presence.UNCLEAR, Presence.WALL
#: Loading the certificates of the world is most of what a transport costs.
TLS = ssl.create_default_context()
CONTACT = "https://hub.example.org/robot"
STORY = b"<title>A post</title><p>" + b"A story about nothing at all in particular. " * 12


def answer(status=200, body=STORY, kind="text/html", **headers):
    lines = [f"HTTP/1.1 {status} X", f"content-length: {len(body)}"]
    lines += [f"content-type: {kind}"] if kind else []
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def to(location, status=302):
    return answer(status, b"", location=location)


def robots(text, status=200, kind="text/plain"):
    return answer(status, text if isinstance(text, bytes) else text.encode(), kind)


class Site:
    """Serves every host of the test from one port. ``pages``: path to bytes, or to a coroutine."""

    def __init__(self):
        self.pages = {}
        self.requests = []
        self.sent = 0
        self.dropped = asyncio.Event()
        self.port = 0
        self.names = {}
        self.asked = []

    @property
    def paths(self):
        return [request.split(b" ")[1].decode() for request in self.requests]

    @property
    def pages_asked(self):
        return [path for path in self.paths if path != "/robots.txt"]

    def url(self, path="/post/FICTIF17", host="site.test"):
        return f"http://{host}:{self.port}{path}"

    async def resolve(self, host, port):
        self.asked.append(host)
        found = self.names.get(host, ["127.0.0.1"])
        if isinstance(found, Exception):
            raise found
        return found

    async def serve(self, reader, writer):
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.requests.append(head)
            path = head.split(b" ")[1].decode()
            reply = self.pages.get(path, answer(404, b""))
            if isinstance(reply, bytes):
                writer.write(reply)
                await writer.drain()
            else:
                await reply(writer)
        except (OSError, asyncio.IncompleteReadError):
            self.dropped.set()
        finally:
            writer.close()

    async def pour(self, writer, head, piece, most):
        """Sends until told to stop or ``most`` bytes are out, and counts."""
        writer.transport.set_write_buffer_limits(high=0)
        writer.write(head)
        try:
            while self.sent < most:
                writer.write(piece)
                await writer.drain()
                self.sent += len(piece)
        except OSError:
            self.dropped.set()


@pytest.fixture
async def site():
    site = Site()
    server = await asyncio.start_server(site.serve, "127.0.0.1", 0)
    site.port = server.sockets[0].getsockname()[1]
    yield site
    server.close()


@asynccontextmanager
async def looker(site, *hosts, **options):
    """Loopback counts as public here, and nothing else that is not."""
    transport = public_transport(
        resolve=site.resolve,
        verify=TLS,
        is_allowed=lambda ip: (ip.is_loopback and ip.version == 4) or is_public(ip),
    )
    names = hosts or ("site.test",)
    async with Looker(
        Allowed([f"{name}:{site.port}" for name in names]),
        contact=CONTACT,
        transport=transport,
        **options,
    ) as made:
        yield made


async def look(site, path="/post/FICTIF17", *hosts, host="site.test", **options):
    words = options.pop("words", None)
    async with looker(site, *hosts, **options) as made:
        return await made.look(site.url(path, host), words=words)


# -- What is sent ----------------------------------------------------------------------------------


async def test_a_look_is_a_bare_get(site):
    site.pages["/post/FICTIF17"] = answer(set_cookie="id=1")
    async with looker(site) as made:
        with_credentials = site.url().replace("://", "://user:secret@") + "#part"
        for _ in range(2):
            assert await made.look(with_credentials) == Seen(ONLINE, "http_200")
    assert site.paths == ["/robots.txt", "/post/FICTIF17", "/post/FICTIF17"]
    for request in site.requests:
        line, *lines = request.decode().strip().split("\r\n")
        assert line.startswith("GET ")
        assert {x.partition(": ")[0].lower(): x.partition(": ")[2] for x in lines} == {
            "host": f"site.test:{site.port}",
            "user-agent": f"wasl-platform-gateway/1 (+{CONTACT})",
            "accept": "text/html, text/plain",
            "accept-encoding": "identity",
        }


@pytest.mark.parametrize(
    "contact", ["", "the hub", "ftp://hub.example.org", "https://a b", "https://a)"]
)
def test_nobody_looks_without_saying_who_they_are(contact):
    with pytest.raises(ValueError, match="contact"):
        Looker(Allowed(["*"]), contact=contact)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (answer(404, b""), Seen(GONE, "http_404")),
        (answer(410, b""), Seen(GONE, "http_410")),
        (answer(451, b""), Seen(GONE, "http_451")),
        (answer(403, b""), Seen(WALL, "http_403")),
        (answer(503, b"", retry_after="120"), Seen(UNCLEAR, "http_503", 120.0)),
        (answer(429, b"", retry_after="60"), Seen(UNCLEAR, "http_429", 60.0)),
        (answer(404, b"", retry_after="60"), Seen(GONE, "http_404")),
        (answer(302, b""), Seen(UNCLEAR, "http_302")),
        (answer(body=b"<title>Page introuvable</title>"), Seen(GONE, "soft_404")),
        (b"", Seen(UNCLEAR, "no_answer")),
        (b"what?\r\n\r\n", Seen(UNCLEAR, "no_answer")),
        (
            b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 99\r\n\r\nx",
            Seen(UNCLEAR, "no_answer"),
        ),
    ],
)
async def test_an_answer(site, reply, expected):
    site.pages["/post/FICTIF17"] = reply
    assert await look(site) == expected


@pytest.mark.parametrize(
    ("charset", "codec"),
    [
        ("; charset=windows-1256", "cp1256"),
        ("; charset=UTF-8", "utf-8"),
        ("", "utf-8-sig"),
        ('; charset="iso-8859-6"', "iso8859-6"),
        ("; charset=idna", "utf-8"),
        ("; charset=", "utf-8"),
    ],
)
async def test_text_is_read_in_the_page_s_own_letters(site, charset, codec):
    body = "<title>الصفحة غير موجودة</title>".encode(codec)
    site.pages["/post/FICTIF17"] = answer(body=body, kind=f"text/html{charset}")
    assert await look(site) == Seen(GONE, "soft_404")


async def test_a_charset_in_the_markup(site):
    body = '<meta charset="windows-1256"><title>تم حذف هذا المنشور</title>'.encode("cp1256")
    site.pages["/post/FICTIF17"] = answer(body=body)
    assert await look(site) == Seen(GONE, "soft_404")


async def test_a_platform_s_words(site):
    site.pages["/post/FICTIF17"] = answer(body=STORY + b"It flew away")
    assert await look(site) == Seen(ONLINE, "http_200")
    assert await look(site, words=Words(gone=("it flew away",))) == Seen(GONE, "soft_404")


# -- What is never read ----------------------------------------------------------------------------

ENDLESS = 64 * 1024 * 1024


@pytest.mark.parametrize(
    "kind", ["image/jpeg", "video/mp4", "application/octet-stream", "", "text/css"]
)
async def test_a_body_that_is_not_text_is_never_read(site, kind, monkeypatch):
    async def read(*_):
        raise AssertionError("read a body that is no text")

    async def media(writer):
        head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {ENDLESS}\r\n\r\n"
        await site.pour(writer, head.encode(), b"\xff" * 65536, ENDLESS)

    site.pages["/post/FICTIF17"] = media
    monkeypatch.setattr(looking, "_read", read)
    assert await look(site) == Seen(ONLINE, "http_200")
    await asyncio.wait_for(site.dropped.wait(), 10)  # the line was cut, not drained
    assert site.sent < ENDLESS // 4  # what fits into the buffers of two sockets


@pytest.mark.parametrize("status", [404, 500, 403])
async def test_a_body_is_not_read_where_the_status_says_it_all(site, status, monkeypatch):
    async def read(*_):
        raise AssertionError("read a body that was not needed")

    monkeypatch.setattr(looking, "_read", read)
    site.pages["/post/FICTIF17"] = answer(status)
    assert (await look(site)).reason == f"http_{status}"


async def test_no_more_than_the_cap_is_read(site):
    async def long(writer):
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n\r\n<title>A post</title>"
        await site.pour(writer, head, b"story " * 1000, ENDLESS)

    site.pages["/post/FICTIF17"] = long
    assert await look(site) == Seen(ONLINE, "http_200")
    await asyncio.wait_for(site.dropped.wait(), 10)
    assert site.sent < ENDLESS // 4


@pytest.mark.parametrize(("before", "expected"), [(MAX_TEXT - 100, GONE), (MAX_TEXT, ONLINE)])
async def test_what_is_beyond_the_cap_does_not_count(site, before, expected):
    site.pages["/post/FICTIF17"] = answer(
        body=b"<p>" + b"x" * (before - 3) + b"it flew away" + b"x" * 99
    )
    assert (await look(site, words=Words(gone=("it flew away",)))).presence is expected


async def test_a_body_that_drips_costs_the_time_limit_and_no_more(site):
    async def drip(writer):
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 999\r\n\r\n")
        try:
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.01)
        except OSError:
            site.dropped.set()

    site.pages["/post/FICTIF17"] = drip
    assert await look(site, seconds=0.3) == Seen(UNCLEAR, "timeout")
    await asyncio.wait_for(site.dropped.wait(), 10)


async def test_headers_that_never_end(site):
    async def endless(writer):
        await site.pour(writer, b"HTTP/1.1 200 OK\r\n", b"x-more: again\r\n" * 1000, ENDLESS)

    site.pages["/post/FICTIF17"] = endless
    assert (await look(site, seconds=5)).presence is UNCLEAR
    assert site.sent < ENDLESS


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "zstd", "gzip, gzip"])
async def test_a_packed_body_is_not_unpacked(site, encoding):
    bomb = gzip.compress(b"<title>Page not found</title>" + b"\0" * 10_000_000)
    site.pages["/post/FICTIF17"] = answer(body=bomb, content_encoding=encoding)
    assert await look(site) == Seen(WALL, "encoded")
    site.pages["/post/FICTIF17"] = answer(content_encoding="identity")
    assert await look(site) == Seen(ONLINE, "http_200")


# -- Where it goes ---------------------------------------------------------------------------------


async def test_redirects_are_followed_by_hand(site):
    for step in range(MAX_REDIRECTS):
        site.pages[f"/{step}"] = to(f"/{step + 1}", [301, 302, 303, 307, 308][step])
    site.pages[f"/{MAX_REDIRECTS}"] = answer()
    assert await look(site, "/0") == Seen(ONLINE, "http_200")
    site.pages[f"/{MAX_REDIRECTS}"] = to(f"/{MAX_REDIRECTS + 1}")
    site.pages[f"/{MAX_REDIRECTS + 1}"] = answer()
    assert await look(site, "/0") == Seen(WALL, "too_many_redirects")
    assert f"/{MAX_REDIRECTS + 1}" not in site.paths


async def test_a_redirect_in_a_circle(site):
    site.pages["/post/FICTIF17"] = to("/post/FICTIF17?again=1")
    site.pages["/post/FICTIF17?again=1"] = to("/post/FICTIF17")
    assert await look(site) == Seen(WALL, "too_many_redirects")
    assert len(site.pages_asked) == MAX_REDIRECTS + 1


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("/", "moved_home"),
        ("/login?next=/post/FICTIF17", "login_wall"),
        ("https://login.other.test/", "login_wall"),
        ("https://other.test/page", "moved"),
        ("https://other.test/post/FICTIF17", "host_not_allowed"),
        ("http://site.test:1/post/FICTIF17", "host_not_allowed"),
        ("ftp://site.test/post/FICTIF17", "bad_address"),
        ("javascript:FICTIF17", "bad_address"),
        ("http://0177.0.0.1/", "bad_redirect"),
        ("http://site.test:port/", "bad_redirect"),
    ],
)
async def test_a_redirect_that_is_not_followed(site, location, reason):
    site.pages["/post/FICTIF17"] = to(location)
    assert await look(site) == Seen(WALL, reason)
    assert site.pages_asked == ["/post/FICTIF17"]
    assert set(site.asked) == {"site.test"}


async def test_a_redirect_to_the_page_for_missing_pages(site):
    site.pages["/post/FICTIF17"] = to("/404")
    assert await look(site) == Seen(GONE, "soft_404")


@pytest.mark.parametrize("inside", ["10.0.0.1", "[::1]", "169.254.169.254", "0x0a.1", "167772161"])
async def test_a_redirect_to_a_private_address_is_refused(site, inside):
    site.pages["/post/FICTIF17"] = to(f"http://{inside}/post/FICTIF17")
    async with looker(site, "site.test", "*") as made:
        assert await made.look(site.url()) == Seen(WALL, "private_address")


@pytest.mark.parametrize("found", [["10.0.0.1"], ["127.0.0.1", "10.0.0.1"], ["::1"]])
async def test_a_redirect_to_a_name_with_a_private_address_is_refused(site, found):
    site.names["inner.site.test"] = found
    site.pages["/post/FICTIF17"] = to(site.url(host="inner.site.test"))
    assert await look(site) == Seen(WALL, "private_address")
    assert len(site.requests) == 2  # robots and the redirect; nothing of the inner one


async def test_a_private_address_is_not_looked_at(site):
    async with Looker(Allowed(["*", f"*:{site.port}"]), contact=CONTACT) as made:
        for host in ("127.0.0.1", "localhost", "[::1]", "2130706433", "0x7f.1"):
            assert await made.look(site.url(host=host)) == Seen(WALL, "private_address")
    assert site.requests == []


async def test_a_name_that_changes_its_mind_after_robots(site):
    """DNS rebinding between two requests of one look: each connection is checked."""
    site.pages["/post/FICTIF17"] = answer()
    site.pages["/robots.txt"] = robots("")

    async def resolve(host, port):
        site.asked.append(host)
        return ["127.0.0.1"] if len(site.asked) == 1 else ["10.0.0.1"]

    site.resolve = resolve
    assert await look(site) == Seen(WALL, "private_address")
    assert site.paths == ["/robots.txt"]


async def test_unreachable(site):
    site.names["site.test"] = OSError("NXDOMAIN")
    assert await look(site) == Seen(UNCLEAR, "unreachable")
    site.names["site.test"] = ["127.0.0.2"]  # nobody listens there
    assert await look(site) == Seen(UNCLEAR, "unreachable")


@pytest.mark.parametrize(
    "location",
    [
        "",
        "post",
        "//site.test/x",
        "ftp://site.test/",
        "file:///etc/hosts",
        "javascript:1",
        "http://",
        "http://[::1",
        "http://0177.0.0.1/",
        "http://site.test:x/",
        "http://①.test/",
        "http://\x00/",
        "data:text/html,x",
        "https://" + "a" * 70000,
    ],
)
async def test_what_is_no_address(site, location):
    async with looker(site, "*") as made:
        assert await made.look(location) == Seen(WALL, "bad_address")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text(max_size=60) | st.text(max_size=30).map(lambda text: f"http://{text}/x"))
async def test_no_text_makes_a_look_raise(site, location):
    async with Looker(
        Allowed(["site.test"]),
        contact=CONTACT,
        transport=httpx.MockTransport(lambda request: httpx.Response(404)),
    ) as made:
        assert isinstance(await made.look(location), Seen)
        assert made.crawl_delay(location) is None


async def test_idn_hosts(site):
    arabic, ascii_ = "مثال.test", "xn--mgbh0fb.test"
    site.pages["/post/FICTIF17"] = answer()
    for allowed in (arabic, ascii_):
        for host in (arabic, ascii_, f"فرع.{arabic}"):
            assert await look(site, "/post/FICTIF17", allowed, host=host) == Seen(
                ONLINE, "http_200"
            )
    assert all(name.isascii() and name.endswith(ascii_) for name in site.asked)
    assert await look(site, "/post/FICTIF17", "site.test", host=arabic) == Seen(
        WALL, "host_not_allowed"
    )


# -- The allow-list --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hosts", "url", "allowed"),
    [
        (["site.test"], "https://site.test/", True),
        (["site.test"], "https://SITE.test./", True),
        (["site.test"], "https://a.b.site.test/", True),
        (["Site.Test."], "http://site.test:80/", True),
        (["site.test"], "https://notsite.test/", False),
        (["site.test"], "https://site.test.other.test/", False),
        (["site.test"], "https://test/", False),
        (["site.test"], "https://site.test:8443/", False),
        (["site.test"], "http://site.test:443/", False),
        (["site.test:8443"], "https://site.test:8443/", True),
        (["site.test:8443"], "https://a.site.test:8443/", True),
        (["site.test:8443"], "https://site.test/", True),
        (["site.test:8443"], "https://site.test:8444/", False),
        (["*"], "https://any.example.org/", True),
        (["*"], "https://any.example.org:8443/", False),
        (["*", "a.test:8443"], "https://b.test:8443/", False),
        ([], "https://site.test/", False),
        (["site.test"], "ftp://site.test:80/", False),
        (["site.test"], "http://site.test@other.test/", False),
        (["site.test"], "http://site.test\\@other.test/", False),
    ],
)
def test_the_allow_list(hosts, url, allowed):
    assert (httpx.URL(url) in Allowed(hosts)) is allowed


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "https://site.test",
        "site.test/x",
        "a b",
        "*.site.test",
        "a?b",
        "u@site.test",
        "site.test:x",
    ],
)
def test_an_entry_that_is_no_host(entry):
    with pytest.raises(ValueError, match="allow-list"):
        Allowed([entry])


# -- Robots ----------------------------------------------------------------------------------------

OURS = "User-agent: wasl-platform-gateway\n"


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (robots("User-agent: *\nDisallow: /post/"), Seen(WALL, "robots")),
        (robots("\ufeffUser-agent: *\nDisallow: /post/"), Seen(WALL, "robots")),
        (
            robots("User-agent: *\nDisallow: /post/\nAllow: /post/FICTIF17"),
            Seen(ONLINE, "http_200"),
        ),
        (robots("User-agent: *\nDisallow: /other"), Seen(ONLINE, "http_200")),
        (robots("User-agent: other\nDisallow: /"), Seen(ONLINE, "http_200")),
        (robots(f"User-agent: *\nDisallow: /\n\n{OURS}Allow: /"), Seen(ONLINE, "http_200")),
        (robots(f"User-agent: *\nAllow: /\n\n{OURS}Disallow: /"), Seen(WALL, "robots")),
        (robots("<html>a page</html>", kind="text/html"), Seen(ONLINE, "http_200")),
        (robots("User-agent: *\nDisallow: /", kind=""), Seen(WALL, "robots")),
        (robots("User-agent: *\nDisallow: /", kind="image/png"), Seen(ONLINE, "http_200")),
        (robots("User-agent: *\nDisallow: /", 404), Seen(ONLINE, "http_200")),
        (robots("", 401), Seen(ONLINE, "http_200")),
        (robots("", 403), Seen(ONLINE, "http_200")),
        (robots("", 429), Seen(UNCLEAR, "robots_unreachable")),
        (robots("", 500), Seen(UNCLEAR, "robots_unreachable")),
        (robots("", 503), Seen(UNCLEAR, "robots_unreachable")),
        (
            answer(200, gzip.compress(b""), content_encoding="gzip"),
            Seen(UNCLEAR, "robots_unreachable"),
        ),
        (b"", Seen(UNCLEAR, "robots_unreachable")),
        (to("/robots.txt"), Seen(UNCLEAR, "robots_unreachable")),
        (to("http://elsewhere.test/robots.txt"), Seen(UNCLEAR, "robots_unreachable")),
        (to("http://10.0.0.1/robots.txt"), Seen(UNCLEAR, "robots_unreachable")),
        (to("/rules.txt"), Seen(WALL, "robots")),
    ],
)
async def test_robots(site, reply, expected):
    site.pages["/robots.txt"] = reply
    site.pages["/rules.txt"] = robots("User-agent: *\nDisallow: /")
    site.pages["/post/FICTIF17"] = answer()
    assert await look(site) == expected
    assert ("/post/FICTIF17" in site.paths) is (expected.presence is ONLINE)


@pytest.mark.parametrize("host", ["inner.site.test", "elsewhere.test"])
async def test_robots_that_redirect_inside_or_away_are_not_followed(site, host):
    site.pages["/robots.txt"] = to(site.url("/rules.txt", host))
    site.pages["/rules.txt"] = robots("")
    site.pages["/post/FICTIF17"] = answer()
    site.names["inner.site.test"] = ["10.0.0.1"]
    assert await look(site) == Seen(UNCLEAR, "robots_unreachable")
    assert "elsewhere.test" not in site.asked


async def test_robots_of_every_host_on_the_way_are_asked(site):
    site.pages["/a/FICTIF17"] = to(site.url("/b/FICTIF17", "b.site.test"))
    site.pages["/b/FICTIF17"] = answer()
    site.pages["/robots.txt"] = robots("User-agent: *\nDisallow: /b/")
    assert await look(site, "/a/FICTIF17") == Seen(WALL, "robots")
    hosts = [request.split(b"\r\n")[1] for request in site.requests]
    assert site.paths == ["/robots.txt", "/a/FICTIF17", "/robots.txt"]
    assert hosts[2] == f"Host: b.site.test:{site.port}".encode()


async def test_robots_that_never_come(site):
    async def silent(writer):
        await asyncio.sleep(30)

    site.pages["/robots.txt"] = silent
    async with looker(site, seconds=0.4) as made:
        assert await made.look(site.url()) == Seen(UNCLEAR, "robots_unreachable")
        assert await made.look(site.url()) == Seen(UNCLEAR, "robots_unreachable")
    assert site.paths == ["/robots.txt"]


@pytest.mark.parametrize(
    ("reply", "lasts"), [(robots(""), ROBOTS_SECONDS), (robots("", 500), NO_ROBOTS_SECONDS)]
)
async def test_robots_are_remembered_for_a_while(site, reply, lasts):
    now = [1000.0]
    site.pages["/robots.txt"] = reply
    async with looker(site, clock=lambda: now[0]) as made:
        await made.look(site.url())
        now[0] += lasts - 1
        await made.look(site.url())
        assert site.paths.count("/robots.txt") == 1
        now[0] += 1
        await made.look(site.url())
        assert site.paths.count("/robots.txt") == 2


async def test_only_so_many_hosts_are_remembered(site, monkeypatch):
    monkeypatch.setattr(looking, "_MAX_HOSTS", 2)
    async with looker(site) as made:
        for host in ("a", "b", "c", "c", "b", "a"):
            await made.look(site.url(host=f"{host}.site.test"))
        assert len(made._robots) == 2
    assert site.paths.count("/robots.txt") == 4


async def test_robots_are_read_up_to_a_cap(site):
    """What is beyond is not read, and the rule it was cut in does not count half."""
    rule = "Disallow: /post/other\n"
    start = "User-agent: *\n#"
    start += "x" * (MAX_ROBOTS - len(start) - 1 - len("Disallow: /post/")) + "\n"
    site.pages["/robots.txt"] = robots(start + rule + "Disallow: /\n")
    site.pages["/post/FICTIF17"] = answer()
    assert await look(site) == Seen(ONLINE, "http_200")
    site.pages["/robots.txt"] = robots(start[:14] + "Disallow: /post/\n" + start[14:] + rule)
    assert await look(site) == Seen(WALL, "robots")


@pytest.mark.parametrize(
    ("text", "delay"),
    [
        ("User-agent: *\nCrawl-delay: 7", 7.0),
        (f"User-agent: *\nCrawl-delay: 7\n\n{OURS}Crawl-delay: 2.5", 2.5),
        ("User-agent: *\nRequest-rate: 1/30\nCrawl-delay: 7", 30.0),
        ("User-agent: *\nAllow: /", None),
    ],
)
async def test_the_crawl_delay_is_told(site, text, delay):
    site.pages["/robots.txt"] = robots(text)
    async with looker(site) as made:
        assert made.crawl_delay(site.url()) is None  # not read yet
        await made.look(site.url())
        assert made.crawl_delay(site.url("/another")) == delay
        assert made.crawl_delay("no address") is None


@settings(deadline=None)
@given(st.binary(max_size=300) | st.text("Userd-agnt:*\nDilow/$ %0", max_size=300).map(str.encode))
async def test_any_robots_txt_is_survived(body):
    def reply(request):
        return httpx.Response(200, content=body, headers={"content-type": "text/plain"})

    async with Looker(
        Allowed(["*"]), contact=CONTACT, transport=httpx.MockTransport(reply)
    ) as made:
        assert isinstance(await made.look("http://site.test/x"), Seen)
        made.crawl_delay("http://site.test/x")


# -- Probes ----------------------------------------------------------------------------------------


class OverTls(httpx.AsyncBaseTransport):
    """Counts what is read of a probe's answer."""

    def __init__(self, status):
        self.status = status
        self.urls = []
        self.read = 0
        self.closed = False

    async def handle_async_request(self, request):
        self.urls.append(str(request.url))
        transport = self

        class Body(httpx.AsyncByteStream):
            async def __aiter__(self):
                transport.read += 1
                yield b"{}"

            async def aclose(self):
                transport.closed = True

        headers = {"content-type": "text/html", "retry-after": "30", "location": "/login"}
        return httpx.Response(self.status, headers=headers, stream=Body())


PROBE = Probe(
    "https://www.site.test/oembed?format=json&url={location}", frozenset({404}), frozenset({401})
)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, Seen(ONLINE, "probe_200")),
        (404, Seen(GONE, "probe_404")),
        (401, Seen(WALL, "probe_401")),
        (410, Seen(UNCLEAR, "probe_410", 30.0)),
        (302, Seen(UNCLEAR, "probe_302", 30.0)),
    ],
)
async def test_with_a_probe_only_its_status_counts(status, expected):
    transport = OverTls(status)
    async with Looker(Allowed(["site.test"]), contact=CONTACT, transport=transport) as made:
        assert await made.look("https://site.test/v?a=1&b=é", PROBE) == expected
    assert transport.urls == [
        "https://www.site.test/oembed?format=json&url=https%3A%2F%2Fsite.test%2Fv%3Fa%3D1%26b%3D%C3%A9"
    ]
    assert transport.read == 0
    assert transport.closed


async def test_a_probe_goes_through_the_allow_list():
    transport = OverTls(200)
    async with Looker(Allowed(["other.test"]), contact=CONTACT, transport=transport) as made:
        assert await made.look("https://other.test/v", PROBE) == Seen(WALL, "host_not_allowed")
    assert transport.urls == []


@pytest.mark.parametrize(
    "template",
    ["http://site.test/{location}", "https://site.test/", "https://s.test/{location}{location}"],
)
def test_a_template_that_is_none(template):
    with pytest.raises(ValueError, match="location"):
        Probe(template, frozenset({404}))


# -- Silence ---------------------------------------------------------------------------------------


async def test_nothing_of_ours_logs_an_address(site, caplog):
    site.pages["/post/FICTIF17"] = to("/post/FICTIF17?x=1")
    site.pages["/post/FICTIF17?x=1"] = answer()
    site.names["gone.site.test"] = OSError()
    with caplog.at_level(logging.DEBUG):
        async with looker(site) as made:
            await made.look(site.url())
            await made.look(site.url(host="gone.site.test"))
            await made.look("http://10.0.0.1/FICTIF17")
    spoken = [record for record in caplog.records if record.name.startswith(("wasl", "httpx"))]
    assert [record for record in spoken if "FICTIF17" in record.getMessage()] == []
    # httpcore traces at DEBUG; the services' log keeps libraries out below WARNING.
    assert all(record.levelno == logging.DEBUG for record in caplog.records)


async def test_a_look_that_is_cancelled_is_cancelled(site):
    async def silent(writer):
        await asyncio.sleep(30)

    site.pages["/post/FICTIF17"] = silent
    task = asyncio.create_task(look(site))
    while not site.pages_asked:
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
