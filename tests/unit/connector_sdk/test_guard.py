# SPDX-License-Identifier: Apache-2.0
"""The guard lets through what is public, and connects to what it checked and nothing else."""

import asyncio
import datetime as dt
import ssl
from contextlib import asynccontextmanager
from ipaddress import IPv4Address, IPv6Address, ip_address

import httpcore
import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from wasl_connector_sdk import InvalidSubmission
from wasl_connector_sdk.guard import PrivateAddress, is_public, literal, public_transport
from wasl_connector_sdk.http import client, exchange

PUBLIC_4 = IPv4Address("198.41.0.4")
PUBLIC_6 = IPv6Address("2606:4700::1111")


def loopback_too(ip):
    return ip.is_loopback or is_public(ip)


class Resolver:
    """Answers in turn; the last answer stays."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []

    async def __call__(self, host, port):
        self.asked.append((host, port))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@asynccontextmanager
async def server(reply=b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", **listen):
    heads = []

    async def serve(reader, writer):
        try:
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(reply)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            heads.append(b"")
        finally:
            writer.close()

    running = await asyncio.start_server(serve, listen.pop("host", "127.0.0.1"), 0, **listen)
    try:
        yield running.sockets[0].getsockname()[1], heads
    finally:
        running.close()


async def get(url, transport, **kwargs):
    async with httpx.AsyncClient(transport=transport, trust_env=False) as http:
        return await http.get(url, **kwargs)


# -- What is public --------------------------------------------------------------------------------

PRIVATE = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.127.255.254",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "192.0.0.1",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::808:808",
    "100::1",
    "2001::1",
    "2001:0:7f00:1::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "2002:808:808::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "2606:4700::1111%eth0",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_these_are_not_public(address):
    assert not is_public(ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1",
        "41.140.0.1",
        "198.41.0.4",
        "2606:4700::1111",
        "2a00:1450:4007::200e",
        "::ffff:198.41.0.4",
        "64:ff9b::c629:4",
    ],
)
def test_these_are_public(address):
    assert is_public(ip_address(address))


@given(st.integers(0, 2**32 - 1).map(IPv4Address))
def test_an_address_inside_another_is_judged_as_itself(inner):
    assert is_public(IPv6Address(int(IPv6Address("64:ff9b::")) | int(inner))) == is_public(inner)
    assert is_public(IPv6Address(f"::ffff:{inner}")) == is_public(inner)
    assert not is_public(IPv6Address((0x2002 << 112) | (int(inner) << 80) | 1))
    assert not is_public(IPv6Address(int(inner)))


@given(st.integers(0, 2**128 - 1).map(IPv6Address))
def test_nothing_outside_global_unicast_is_public(address):
    if is_public(address) and address.ipv4_mapped is None:
        assert address.exploded.startswith(("2", "3", "0064:ff9b:0000:0000:0000:0000"))


# -- Notations -------------------------------------------------------------------------------------


@st.composite
def notations(draw, addresses):
    """An IPv4 address as the C library reads it: 1 to 4 parts, each decimal, octal or hex."""
    number = int(draw(addresses))
    count = draw(st.integers(1, 4))
    parts = [(number >> (24 - 8 * i)) & 0xFF for i in range(count - 1)]
    parts.append(number & (0xFFFFFFFF >> (8 * (count - 1))))
    forms = ["{}", "0{:o}", "0x{:x}", "0X{:X}", "0x00{:x}"]
    text = ".".join(draw(st.sampled_from(forms)).format(part) for part in parts)
    return number, text + draw(st.sampled_from(["", "."]))


@given(notations(st.integers(0, 2**32 - 1).map(IPv4Address)))
def test_every_notation_of_an_address_is_that_address(case):
    number, text = case
    assert literal(text) == IPv4Address(number)


@given(st.integers(0, 2**128 - 1).map(IPv6Address))
def test_brackets_and_spellings_of_ipv6(address):
    for text in (str(address), address.exploded, f"[{address}]", str(address).upper()):
        assert literal(text) == address


@pytest.mark.parametrize("host", ["example.org", "0.example", "xn--mgbh0fb.test", "localhost", "a"])
def test_a_name_is_no_address(host):
    assert literal(host) is None


@pytest.mark.parametrize(
    "host",
    ["256.1.1.1", "1.2.3.4.5", "example.7", "0x", "%31.0.0.1", "08.1.1.1", "[::g]", "4294967296"],
)
def test_what_ends_in_a_number_and_is_no_address_is_refused(host):
    with pytest.raises(PrivateAddress):
        literal(host)


class NoNetwork:
    async def __call__(self, host, port):
        raise AssertionError("asked the resolver about an address")


@given(notations(st.sampled_from([IPv4Address(a) for a in PRIVATE if ":" not in a])))
async def test_a_private_address_is_refused_in_every_notation(case):
    _, text = case
    transport = public_transport(resolve=NoNetwork())
    try:
        url = httpx.URL(f"http://{text}/")
    except httpx.InvalidURL:
        return  # httpx itself reads dotted decimal only
    with pytest.raises(PrivateAddress):
        await transport.handle_async_request(httpx.Request("GET", url))


@pytest.mark.parametrize(
    "host",
    [f"[{a}]" for a in PRIVATE if ":" in a and "%" not in a] + ["127。0。0。1", "[fe80::1%25eth0]"],
)
async def test_a_private_address_is_refused_in_brackets_and_wide_letters(host):
    with pytest.raises(PrivateAddress) as refused:
        await get(f"http://{host}/", public_transport(resolve=NoNetwork()))
    assert isinstance(refused.value, InvalidSubmission)
    assert refused.value.reason == "private_address"
    assert host.strip("[]") not in str(refused.value)


async def test_behind_a_proxy_an_address_is_checked_all_the_same():
    async with server() as (port, heads):
        transport = public_transport(proxy=f"http://127.0.0.1:{port}")
        with pytest.raises(PrivateAddress):
            await get("http://10.0.0.1/", transport)
        assert heads == []
    async with server() as (port, heads):
        transport = public_transport(proxy=f"http://127.0.0.1:{port}")
        assert (await get("http://site.test/", transport)).text == "ok"
        assert heads[0].startswith(b"GET http://site.test/ ")


# -- Names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("private", ["127.0.0.1", "::1", "10.0.0.1", "fe80::1%eth0", "no address"])
@pytest.mark.parametrize("first", [True, False])
async def test_one_private_address_among_public_ones_is_enough(private, first):
    both = [private, str(PUBLIC_4)] if first else [str(PUBLIC_4), private]
    with pytest.raises(PrivateAddress):
        await get("http://site.test/", public_transport(resolve=Resolver(both)))


async def test_the_machine_s_own_resolver_is_guarded_too():
    async with server() as (port, heads):
        with pytest.raises(PrivateAddress):
            await get(f"http://localhost:{port}/", public_transport())
        assert heads == []
        assert (
            await get(f"http://localhost:{port}/", public_transport(is_allowed=loopback_too))
        ).text == "ok"


async def test_a_name_that_changes_its_mind_is_connected_where_it_was_checked(monkeypatch):
    """DNS rebinding: public when it is checked, this machine when it is asked again."""
    connected = []

    async def connect(self, host, port, *how):
        connected.append((host, port))
        raise httpcore.ConnectError("no route in a test")

    monkeypatch.setattr(httpcore.AnyIOBackend, "connect_tcp", connect)
    resolve = Resolver([str(PUBLIC_4)], ["127.0.0.1"])
    async with server() as (port, heads), public_transport(resolve=resolve) as transport:
        request = httpx.Request("GET", f"http://site.test:{port}/")
        with pytest.raises(httpx.ConnectError):
            await transport.handle_async_request(request)
        assert connected == [(str(PUBLIC_4), port)]
        assert resolve.asked == [("site.test", port)]
        with pytest.raises(PrivateAddress):
            await transport.handle_async_request(request)
        assert len(connected) == 1
        assert heads == []


async def test_the_name_is_resolved_once_for_each_connection():
    resolve = Resolver(["127.0.0.1"])
    async with server() as (port, _):
        transport = public_transport(resolve=resolve, is_allowed=loopback_too)
        async with httpx.AsyncClient(transport=transport) as http:
            for _ in range(2):
                assert (await http.get(f"http://site.test:{port}/")).text == "ok"
    assert resolve.asked == [("site.test", port)] * 2


async def test_the_next_address_is_tried_where_one_refuses():
    async with server(host="127.0.0.1") as (port, heads):
        resolve = Resolver(["127.0.0.2", "127.0.0.1"])
        answer = await get(
            f"http://site.test:{port}/", public_transport(resolve=resolve, is_allowed=loopback_too)
        )
        assert answer.text == "ok"
        assert f"host: site.test:{port}".encode() in heads[0].lower()


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (OSError("NXDOMAIN"), httpx.ConnectError),
        (UnicodeError("label too long"), httpx.ConnectError),
        ([], httpx.ConnectError),
    ],
)
async def test_a_name_without_an_address_is_a_connect_error(answer, fault):
    with pytest.raises(fault) as raised:
        await get("http://site.test/", public_transport(resolve=Resolver(answer)))
    assert "site.test" not in str(raised.value)


async def test_a_resolver_that_hangs_is_a_connect_timeout():
    async def resolve(host, port):
        await asyncio.Event().wait()

    with pytest.raises(httpx.ConnectTimeout):
        await get("http://site.test/", public_transport(resolve=resolve), timeout=0.01)


# -- The transport keeps httpx's promises ----------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "fault"),
    [
        (b"", httpx.RemoteProtocolError),
        (b"not http at all\r\n\r\n", httpx.RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort", httpx.RemoteProtocolError),
    ],
)
async def test_faults_are_httpx_faults(reply, fault):
    async with server(reply) as (port, _):
        transport = public_transport(is_allowed=loopback_too)
        with pytest.raises(fault) as raised:
            await get(f"http://127.0.0.1:{port}/", transport)
        assert raised.value.request.method == "GET"


async def test_a_refused_connection_is_a_connect_error():
    async with server() as (port, _):
        pass
    with pytest.raises(httpx.ConnectError):
        await get(f"http://127.0.0.1:{port}/", public_transport(is_allowed=loopback_too))


def certificate(name):
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM), key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


async def test_tls_asks_for_the_name_not_for_the_address(tmp_path):
    cert, key = certificate("site.test")
    (tmp_path / "cert.pem").write_bytes(cert)
    (tmp_path / "key.pem").write_bytes(key)
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    names = []
    serving.sni_callback = lambda sock, name, context: names.append(name)
    async with server(ssl=serving) as (port, _):

        def transport():
            return public_transport(
                resolve=Resolver(["127.0.0.1"]),
                is_allowed=loopback_too,
                verify=ssl.create_default_context(cadata=cert.decode()),
            )

        assert (await get(f"https://site.test:{port}/", transport())).text == "ok"
        assert names == ["site.test"]
        with pytest.raises(httpx.ConnectError):  # the certificate is another's
            await get(f"https://other.test:{port}/", transport())


# -- In the client connectors are lent -------------------------------------------------------------


async def test_the_client_refuses_private_addresses_where_asked_to():
    async with server() as (port, heads):
        async with client(public_only=True) as http:
            with pytest.raises(PrivateAddress):
                await exchange(http, "GET", f"http://localhost:{port}/")
        assert heads == []
        async with client() as http:
            assert (await exchange(http, "GET", f"http://localhost:{port}/")).body == b"ok"


async def test_the_client_s_proxy_does_not_go_around_the_guard():
    async with (
        server() as (port, heads),
        client(public_only=True, proxy=f"http://127.0.0.1:{port}") as http,
    ):
        with pytest.raises(PrivateAddress):
            await exchange(http, "GET", "http://10.0.0.1/")
        assert heads == []
        assert (await exchange(http, "GET", "http://site.test/")).body == b"ok"


def test_public_only_and_a_transport_do_not_go_together():
    with pytest.raises(ValueError, match="public_only"):
        client(public_only=True, transport=httpx.MockTransport(lambda request: httpx.Response(200)))
