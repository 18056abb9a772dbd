# SPDX-License-Identifier: Apache-2.0
"""Where the harm is: which texts a reporter may give as a location.

A web address (also defanged, also without scheme), the link of a known app, an account name, a
phone number or an e-mail address. Refused: every other scheme, hosts that lead into a private
network, control characters. The text stays as the person typed it, minus invisible direction marks;
making one canonical address of it is triage's work.
"""

import ipaddress
import re
import unicodedata
from urllib.parse import unquote

from pydantic_core import PydanticCustomError

from wasl_intake.domain.text import normalized

MAX_LENGTH = 2048

#: Schemes that phones put on a copied link of an app people use.
APP_SCHEMES = frozenset({
    "discord", "fb", "instagram", "sgnl", "snapchat", "tg", "tiktok", "twitter", "viber",
    "whatsapp",
})  # fmt: skip
_WEB_SCHEMES = frozenset({"http", "https", "hxxp", "hxxps"})
#: Names that resolve inside a network only (RFC 6761, 6762, 8375 and common habit).
_PRIVATE_SUFFIXES = (
    "localhost", "local", "localdomain", "internal", "intranet", "lan", "corp", "private",
    "home.arpa", "in-addr.arpa", "ip6.arpa",
)  # fmt: skip

#: Zero-width and direction marks that come along when text is copied from a right-to-left page.
_INVISIBLE = re.compile("[\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)(?::|\[:\])(?!\d+(?:/|$))")
_DEFANGED = re.compile(r"\[\.\]|\(\.\)|\{\.\}|\[dot\]|\(dot\)")
_AUTHORITY = re.compile(
    r"^(?:[^/?#\\]*@)?(\[[0-9A-Fa-f:.%]+\]|[^/?#\\:@\[\]]+)(?::(\d{1,5}))?(?=[/?#]|$)"
)
_NAME = re.compile(r"^(?=.{1,253}$)(?:[^\W_](?:[\w-]{0,61}\w)?\.)+[^\W\d_](?:[\w-]{0,61}\w)?\.?$")
_NUMERIC = re.compile(r"^(?:0x[0-9a-f]*|\d+)$")
_PHONE = re.compile(r"^(?:\+|00)?\d(?:[\s().-]?\d){5,16}$")
_EMAIL = re.compile(r"^[^\s@/:]{1,64}@[^\s@/:]+\.[^\s@/:]+$")
_HANDLE = re.compile(r"^@?[\w](?:[\w.\-]{0,98}[\w])?(?:#\d{1,6})?$")


def _error(code: str, message: str, fix: str) -> PydanticCustomError:
    # The fix travels as context, so that its braces and ours never meet.
    return PydanticCustomError(code, message, {"fix": fix})


def _unknown() -> PydanticCustomError:
    return _error(
        "location_unknown",
        "is not a web address, an app link, an account name or a number",
        "Use a full http(s) address or @name; write anything else into the narrative.",
    )


def _not_public() -> PydanticCustomError:
    return _error(
        "location_not_public",
        "points into a private network",
        "Give an address that everybody can reach.",
    )


def _check_host(host: str) -> None:
    host = unicodedata.normalize("NFKC", unquote(host)).lower().rstrip(".")
    if host.startswith("["):
        try:
            six = ipaddress.IPv6Address(host[1:-1].partition("%")[0])
        except ValueError:
            raise _unknown() from None
        four = six.ipv4_mapped or six.sixtofour
        if not six.is_global or six.is_multicast or (four is not None and not four.is_global):
            raise _not_public()
        return
    last = host.rpartition(".")[2]
    if _NUMERIC.match(last):
        # Also 127.1, 0x7f.1 and 2130706433: whatever a resolver would take for a number.
        try:
            address = ipaddress.IPv4Address(host)
        except ValueError:
            raise _not_public() from None
        if not address.is_global or address.is_multicast:
            raise _not_public()
        return
    if any(host == s or host.endswith(f".{s}") for s in _PRIVATE_SUFFIXES):
        raise _not_public()
    if not _NAME.match(host):
        raise _unknown()


def _all_numeric(host: str) -> bool:
    return all(_NUMERIC.match(label) for label in host.split("."))


def _check_web(rest: str) -> None:
    found = _AUTHORITY.match(rest)
    if found is None or (found[2] and int(found[2]) > 65535):
        raise _unknown()
    _check_host(found[1])


def clean(text: str) -> str:
    """The location to keep. Raises ``PydanticCustomError`` with a constant text otherwise."""
    if not text.isascii():
        text = normalized("NFC", _INVISIBLE.sub("", text))
    if _CONTROL.search(text):
        raise _error(
            "location_control",
            "contains a line break or a control character",
            "Give each location as an entry of its own, on one line.",
        )
    text = text.strip()
    if not text:
        raise _error("location_empty", "is empty", "Remove the entry.")
    plain = _DEFANGED.sub(".", text) if any(b in text for b in "[({") else text
    scheme = _SCHEME.match(plain)
    if scheme:
        name, rest = scheme[1].lower(), plain[scheme.end() :]
        if name in _WEB_SCHEMES:
            if not rest.startswith("//") or " " in rest:
                raise _unknown()
            _check_web(rest[2:])
        elif name not in APP_SCHEMES or " " in rest or not rest.strip("/"):
            raise _error(
                "location_scheme",
                "has a scheme that is not accepted",
                "Use a full http(s) address or @name; write anything else into the narrative.",
            )
        return text
    lower = plain.lower()
    if _all_numeric(lower) or lower.endswith(_PRIVATE_SUFFIXES):
        if not _PHONE.match(plain) or lower.count(".") == 3:
            _check_host(plain)  # an address without a scheme, or nothing we know
    elif any(c in plain for c in "/?#:") and not _HANDLE.match(plain):
        if " " in plain:
            raise _unknown()
        _check_web(plain)
    elif not any(known.match(plain) for known in (_HANDLE, _PHONE, _EMAIL, _NAME)):
        raise _unknown()
    return text
