# SPDX-License-Identifier: Apache-2.0
"""In which country an item is hosted, as far as its address tells: so its hub can be asked.

Nothing is looked up. What the operator knows comes first (``hosting`` of the country pack); then
the country-code top-level domain. Those of :data:`GENERIC` tell nothing, nor do the domain names
of known services and short links. Sources: ISO 3166-1 and the IANA root zone; GENERIC begins with
the 20 that Google Search treats as generic ("Managing multi-regional and multilingual sites", read
2026), then those that sell as words or as parts of one.
"""

from collections.abc import Mapping
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
