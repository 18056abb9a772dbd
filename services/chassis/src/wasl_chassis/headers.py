# SPDX-License-Identifier: Apache-2.0
"""The response headers of intake, as one table: what is sent, on which answers, and why.

Strict enough that a mistake elsewhere (a script that slipped in, a page in a frame, a link out)
still harms nobody. Absent on purpose: ``Server`` and other words about the software; reporting
endpoints, because a report of a browser tells what somebody did here; CORS, because no other site's
script has business here; anything about the caller's network, because its address is not read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum, auto
from urllib.parse import quote


class Kind(StrEnum):
    """What is answered."""

    #: A page anybody may fetch.
    PAGE = auto()
    #: A page about somebody's own doing: the answer to a form, a redirect, an error.
    ANSWER = auto()
    API = auto()
    #: A style sheet, a script, an image; its address changes with its content.
    STATIC = auto()


@dataclass(frozen=True, slots=True)
class Header:
    name: str
    value: str
    why: str
    kinds: frozenset[Kind] = frozenset(Kind)


_PAGES = frozenset({Kind.PAGE, Kind.ANSWER})
#: Names that no browser in use knows are left out: it would complain of each.
_OFF = (
    "accelerometer", "autoplay",
    "browsing-topics", "camera", "clipboard-read", "clipboard-write", "compute-pressure",
    "cross-origin-isolated", "display-capture", "encrypted-media",
    "fullscreen", "gamepad", "geolocation", "gyroscope", "hid", "identity-credentials-get",
    "idle-detection", "interest-cohort", "keyboard-map", "local-fonts",
    "magnetometer", "microphone", "midi", "otp-credentials", "payment",
    "picture-in-picture", "private-state-token-issuance", "private-state-token-redemption",
    "publickey-credentials-create", "publickey-credentials-get",
    "screen-wake-lock", "serial", "speaker-selection", "storage-access",
    "sync-xhr", "unload", "usb", "window-management", "xr-spatial-tracking",
)  # fmt: skip
_SAFE_SCRIPT = "require-trusted-types-for 'script'; trusted-types"
_NOWHERE = "base-uri 'none'; frame-ancestors 'none'"

TABLE = (
    Header(
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self';"
        " img-src 'self' data:; connect-src 'self'; form-action 'self'; manifest-src 'none';"
        f" {_NOWHERE}; {_SAFE_SCRIPT} wasl",
        "Nothing inline and nothing of others runs or loads; forms go home only; text never becomes"
        " script. The one policy 'wasl' names the file of a worker.",
        _PAGES,
    ),
    Header(
        "Content-Security-Policy",
        f"default-src 'none'; form-action 'none'; {_NOWHERE}; sandbox; {_SAFE_SCRIPT} 'none'",
        "An answer of the API opened as a page can do nothing at all.",
        frozenset({Kind.API}),
    ),
    Header(
        "Content-Security-Policy",
        f"default-src 'none'; script-src 'self'; {_NOWHERE}; {_SAFE_SCRIPT} 'none'",
        "A worker lives under the policy of its own file: it computes and reaches nobody.",
        frozenset({Kind.STATIC}),
    ),
    Header(
        "Cache-Control",
        "no-store",
        "What somebody read or wrote stays on no disk and in no proxy.",
        frozenset(Kind) - {Kind.STATIC},
    ),
    Header(
        "Cache-Control",
        "public, max-age=31536000, immutable",
        "A phone on a slow network fetches it once.",
        frozenset({Kind.STATIC}),
    ),
    Header("Referrer-Policy", "no-referrer", "A site somebody goes on to does not learn of us."),
    Header("X-Content-Type-Options", "nosniff", "Nothing is taken for another type than it says."),
    Header("X-Frame-Options", "DENY", "Clickjacking, in browsers without frame-ancestors."),
    Header("Cross-Origin-Opener-Policy", "same-origin", "No handle for a site that opened us."),
    Header("Cross-Origin-Embedder-Policy", "require-corp", "Nothing of others in our process."),
    Header("Cross-Origin-Resource-Policy", "same-origin", "Other sites cannot load or time us."),
    Header("Origin-Agent-Cluster", "?1", "Memory is not shared with sister sites."),
    Header(
        "Permissions-Policy",
        ", ".join(f"{feature}=()" for feature in _OFF),
        "The portal uses no sensor and no device, so nothing that slips in can.",
    ),
    Header("X-DNS-Prefetch-Control", "off", "No name is looked up before somebody follows a link."),
    Header("X-Permitted-Cross-Domain-Policies", "none", "Old plug-ins do not reach in."),
    Header(
        "X-Robots-Tag",
        "noarchive",
        "People in need find the portal; old copies of it would give old numbers.",
        frozenset({Kind.PAGE}),
    ),
    Header(
        "X-Robots-Tag",
        "noindex, nofollow, noarchive",
        "Nothing for an index.",
        frozenset(Kind) - {Kind.PAGE},
    ),
)
STRICT_TRANSPORT = Header(
    "Strict-Transport-Security",
    "max-age=63072000; includeSubDomains",
    "Never again in clear, for two years. Only where the public address is https. No preload: that"
    " is the domain owner's to ask for.",
)

Pairs = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Addresses:
    """Under which addresses the portal is known; see ``IntakeSettings``. "": none is set."""

    public: str = ""
    onion: str = ""


class Headers:
    """The table for one deployment, ready to be sent."""

    def __init__(self, addresses: Addresses) -> None:
        rows: Sequence[Header] = TABLE
        if addresses.public.startswith("https://"):
            rows = (*TABLE, STRICT_TRANSPORT)
        self._onion = addresses.onion.rstrip("/")
        self._of: dict[Kind, Pairs] = {
            kind: tuple(
                (r.name.lower().encode(), r.value.encode()) for r in rows if kind in r.kinds
            )
            for kind in Kind
        }

    def of(self, kind: Kind) -> Pairs:
        """Names in lower case, as ASGI wants them."""
        return self._of[kind]

    def onion_location(self, kind: Kind, path: str) -> Pairs:
        """Where Tor Browser finds the same page; nothing where there is none."""
        if not self._onion or kind is not Kind.PAGE:
            return ()
        return ((b"onion-location", f"{self._onion}{quote(path)}".encode()),)


def kind_of(path: str, method: str, status: int) -> Kind:
    """``path``: decoded; only its beginning matters."""
    if path.startswith("/api/"):
        return Kind.API
    if status < 300 and method in ("GET", "HEAD"):
        return Kind.STATIC if path.startswith("/static/") else Kind.PAGE
    return Kind.ANSWER
