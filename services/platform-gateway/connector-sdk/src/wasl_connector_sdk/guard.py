# SPDX-License-Identifier: Apache-2.0
"""Addresses that others gave us are fetched from the public Internet or not at all.

A name is resolved once for each connection and every address it has must be public; the connection
then goes to an address that was checked, so a name that changes its mind in between (DNS rebinding)
gains nothing. TLS still asks for the host's certificate. What counts as public: the IANA
special-purpose registries, RFC 6890 and its updates. It cannot know a network's own NAT64 prefix
(RFC 6052 §2.2): where there is one, the firewall must know it.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

import httpcore
import httpx

from wasl_connector_sdk.errors import InvalidSubmission

IPAddress = IPv4Address | IPv6Address
#: (host, port) to the host's addresses as text. Raises OSError where there is none.
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
SocketOptions = Iterable[
    tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]
]

_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
# Global to some versions of Python: 6to4 and its relays, Teredo, documentation.
_NOT_PUBLIC = tuple(
    ip_network(net) for net in ("192.88.99.0/24", "2001::/32", "2002::/16", "3fff::/20")
)


class PrivateAddress(InvalidSubmission):
    """The host is, or resolves to, an address that is not public. Nothing was sent."""

    reason = "private_address"


def is_public(ip: IPAddress) -> bool:
    """Whether ``ip`` is global unicast. An IPv4 address inside an IPv6 one is judged as itself.

    Tunnels (6to4, Teredo), zones and all that IANA has not given out for unicast are not public.
    """
    if isinstance(ip, IPv6Address):
        if ip.scope_id is not None:
            return False
        if ip.ipv4_mapped is not None:
            return is_public(ip.ipv4_mapped)
        if ip in _NAT64:
            return is_public(IPv4Address(int(ip) & 0xFFFF_FFFF))
        if ip not in _GLOBAL_UNICAST:
            return False
    if any(ip.version == net.version and ip in net for net in _NOT_PUBLIC):
        return False
    return ip.is_global and not ip.is_multicast


def literal(host: str) -> IPAddress | None:
    """The address that ``host`` is, in any notation the C library reads; None for a name.

    A host whose last label is a number is an IPv4 address or nothing (URL Standard, host parsing):
    raises PrivateAddress where it is no address.
    """
    text = host.strip("[]").removesuffix(".")
    if ":" in text:
        try:
            return ip_address(text)
        except ValueError:
            raise PrivateAddress("expected an IPv6 address between the brackets") from None
    last = text.rpartition(".")[2].lower()
    if not (last.isdigit() or last.startswith("0x")):
        return None
    try:
        return IPv4Address(socket.inet_aton(text))
    except (OSError, UnicodeError):
        raise PrivateAddress("expected a name or an IPv4 address") from None


async def system_resolver(host: str, port: int) -> Sequence[str]:
    """What this machine's resolver answers."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


def public_transport(
    *,
    resolve: Resolve = system_resolver,
    is_allowed: Callable[[IPAddress], bool] = is_public,
    verify: ssl.SSLContext | None = None,
    keepalive: int = 0,
    proxy: str | None = None,
) -> httpx.AsyncBaseTransport:
    """A transport that reaches public addresses only; a request elsewhere raises PrivateAddress.

    ``is_allowed`` is for tests, which have loopback only. ``verify``: whom TLS trusts; None: what
    httpx trusts. ``keepalive``: idle connections kept. With a ``proxy`` the proxy resolves names,
    so the proxy must do what this does; here only hosts written as an address are checked then.
    """
    tls = verify or httpx.create_ssl_context(trust_env=False)
    inner: httpx.AsyncBaseTransport
    if proxy is not None:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=keepalive)
        inner = httpx.AsyncHTTPTransport(verify=tls, limits=limits, proxy=proxy, trust_env=False)
    else:
        inner = _Pool(
            httpcore.AsyncConnectionPool(
                ssl_context=tls,
                max_connections=None,
                max_keepalive_connections=keepalive,
                keepalive_expiry=5.0,
                network_backend=_CheckedBackend(resolve, is_allowed),
            )
        )
    return _LiteralsFirst(inner, is_allowed)


class _LiteralsFirst(httpx.AsyncBaseTransport):
    """Refuses a host written as an address before anything is opened, behind a proxy as well."""

    def __init__(
        self, inner: httpx.AsyncBaseTransport, is_allowed: Callable[[IPAddress], bool]
    ) -> None:
        self._inner = inner
        self._is_allowed = is_allowed

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        ip = literal(request.url.raw_host.decode("ascii"))
        if ip is not None and not self._is_allowed(ip):
            raise PrivateAddress
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self._inner.aclose()


class _CheckedBackend(httpcore.AsyncNetworkBackend):
    """Resolves, checks every address, connects to one of those it checked."""

    def __init__(self, resolve: Resolve, is_allowed: Callable[[IPAddress], bool]) -> None:
        self._resolve = resolve
        self._is_allowed = is_allowed
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: SocketOptions | None = None,
    ) -> httpcore.AsyncNetworkStream:
        loop = asyncio.get_running_loop()
        ends = None if timeout is None else loop.time() + timeout
        try:
            async with asyncio.timeout(timeout):
                addresses = await self._checked(host, port)
        except TimeoutError:
            raise httpcore.ConnectTimeout("the resolver did not answer in time") from None
        fault: httpcore.ConnectError | httpcore.ConnectTimeout | None = None
        for number, address in enumerate(addresses):
            # Each address gets its share of what is left: one that hangs leaves time for the next.
            left = None if ends is None else (ends - loop.time()) / (len(addresses) - number)
            try:
                return await self._network.connect_tcp(
                    address, port, left, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                fault = error
        raise fault or httpcore.ConnectError("the name has no address")

    async def _checked(self, host: str, port: int) -> list[str]:
        ip = literal(host)
        try:
            found = [str(ip)] if ip is not None else await self._resolve(host, port)
        except (OSError, UnicodeError):
            raise httpcore.ConnectError("the name does not resolve") from None
        try:
            addresses = [ip_address(text) for text in found]
        except ValueError:
            raise PrivateAddress("expected addresses from the resolver") from None
        if not all(self._is_allowed(address) for address in addresses):
            raise PrivateAddress
        return [str(address) for address in addresses]

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        socket_options: SocketOptions | None = None,
    ) -> httpcore.AsyncNetworkStream:
        del path, timeout, socket_options
        raise PrivateAddress

    async def sleep(self, seconds: float) -> None:
        await self._network.sleep(seconds)


class _Pool(httpx.AsyncBaseTransport):
    """httpcore's pool as an httpx transport: httpx offers no way to give its own a backend."""

    def __init__(self, pool: httpcore.AsyncConnectionPool) -> None:
        self._pool = pool

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        with _as_httpx():
            response = await self._pool.handle_async_request(
                httpcore.Request(
                    method=request.method,
                    url=httpcore.URL(
                        scheme=url.raw_scheme,
                        host=url.raw_host,
                        port=url.port,
                        target=url.raw_path,
                    ),
                    headers=request.headers.raw,
                    content=request.stream,
                    extensions=request.extensions,
                )
            )
        return httpx.Response(
            status_code=response.status,
            headers=response.headers,
            stream=_Body(response),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        await self._pool.aclose()


class _Body(httpx.AsyncByteStream):
    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _as_httpx():
            async for part in self._response.aiter_stream():
                yield part

    async def aclose(self) -> None:
        await self._response.aclose()


# The more exact class first.
_FAULTS: tuple[tuple[type[Exception], Callable[[str], httpx.TransportError]], ...] = (
    (httpcore.ConnectTimeout, httpx.ConnectTimeout),
    (httpcore.ReadTimeout, httpx.ReadTimeout),
    (httpcore.WriteTimeout, httpx.WriteTimeout),
    (httpcore.PoolTimeout, httpx.PoolTimeout),
    (httpcore.TimeoutException, httpx.ReadTimeout),
    (httpcore.ConnectError, httpx.ConnectError),
    (httpcore.ReadError, httpx.ReadError),
    (httpcore.WriteError, httpx.WriteError),
    (httpcore.NetworkError, httpx.NetworkError),
    (httpcore.UnsupportedProtocol, httpx.UnsupportedProtocol),
    (httpcore.LocalProtocolError, httpx.LocalProtocolError),
    (httpcore.ProtocolError, httpx.RemoteProtocolError),
    (httpcore.ConnectionNotAvailable, httpx.ConnectError),
)


@contextmanager
def _as_httpx() -> Iterator[None]:
    try:
        yield
    except tuple(theirs for theirs, _ in _FAULTS) as error:
        ours = next(ours for theirs, ours in _FAULTS if isinstance(error, theirs))
        raise ours(type(error).__name__) from error
