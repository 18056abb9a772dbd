# SPDX-License-Identifier: Apache-2.0
"""In which country an item is hosted, and by whom, as far as files on this machine tell.

Nothing is looked up on a network. What the operator knows comes first (``hosting`` of the country
pack); then a :class:`HostSource`, for an address in the link or one the operator's table gives for
the name; then the country-code top-level domain. Those of :data:`GENERIC` tell nothing, nor do the
domain names of known services and short links. Sources: ISO 3166-1 and the IANA root zone; GENERIC
begins with the 20 that Google Search treats as generic ("Managing multi-regional and multilingual
sites", read 2026), then those that sell as words or as parts of one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Protocol
from urllib.parse import urlsplit

GENERIC = frozenset(
    (
        *("ad", "ai", "as", "bz", "cc", "cd", "co", "dj", "fm", "io", "la", "me", "ms", "nu"),
        *("sc", "sr", "su", "tk", "tv", "ws"),
        *("ac", "ag", "am", "cx", "eu", "gd", "gg", "gl", "im", "is", "ly", "pw", "sh", "st"),
        *("to", "vc", "vg"),
    )
)
#: Where the domain's code is not the country's.
_OTHERWISE = {"uk": "GB"}


def host_of(location: str) -> str | None:
    """The host of a web address, lower-case; None where there is none."""
    try:
        parts = urlsplit(location)
        host = parts.hostname if parts.scheme in ("http", "https") else None
    except ValueError:
        return None
    return host.rstrip(".") if host else None


def country_of(location: str, known: Mapping[str, str], *, name_tells: bool = True) -> str | None:
    """ISO 3166-1 alpha-2 code of the country an item is hosted in; None: not known.

    ``known``: country by host or end of one, the longest that fits wins. ``name_tells``: False
    where a domain name was chosen for its looks: a service's own, a link shortener's.
    """
    host = host_of(location)
    if host is None:
        return None
    labels = host.split(".")
    for start in range(len(labels)):
        if found := known.get(".".join(labels[start:])):
            return found
    last = labels[-1]
    coded = len(labels) > 1 and len(last) == 2 and last.isascii() and last.isalpha()
    if not name_tells or not coded or last in GENERIC:
        return None
    return _OTHERWISE.get(last, last.upper())


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a network: ISO 3166-1 alpha-2 code and name, each None where the file is silent."""

    country: str | None
    name: str | None


class HostSource(Protocol):
    """Something on this machine that knows networks."""

    @property
    def name(self) -> str:
        """What an analyst is shown as the origin, with its date."""

    def holder(self, address: IPv4Address | IPv6Address) -> Holder | None:
        """The holder of the network an address is in; None where it is not known."""


@dataclass(frozen=True, slots=True)
class Hosted:
    """``because``: ``operator_table``, ``address_in_link``, ``address_table`` or
    ``country_domain``. ``source``: whose word it is; the operator's and the domain's have none.
    """

    country: str | None
    holder: str | None
    source: str
    because: str


def hosted(
    location: str,
    known: Mapping[str, str],
    sources: Iterable[HostSource] = (),
    addresses: Mapping[str, str] | None = None,
    *,
    name_tells: bool = True,
) -> Hosted | None:
    """Where a web address is hosted; None where nothing tells.

    ``known``, ``name_tells``: as in :func:`country_of`. ``addresses``: IP address by host name, as
    the operator last saw it. The first source that knows the network is believed.
    """
    host = host_of(location)
    if host is None:
        return None
    told = country_of(location, known, name_tells=False)
    literal = _address(host)
    address = literal or _address((addresses or {}).get(host, ""))
    found = source_name = None
    if address is not None:
        for source in sources:
            if (found := source.holder(address)) is not None:
                source_name = source.name
                break
    if told is not None:
        return Hosted(told, found.name if found else None, source_name or "", "operator_table")
    if found is not None and source_name is not None:
        because = "address_in_link" if literal else "address_table"
        return Hosted(found.country, found.name, source_name, because)
    country = country_of(location, {}, name_tells=name_tells)
    return Hosted(country, None, "", "country_domain") if country else None


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
