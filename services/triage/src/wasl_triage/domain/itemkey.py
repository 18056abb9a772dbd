# SPDX-License-Identifier: Apache-2.0
"""One canonical key per reported thing, so that every report about it meets in one case.

Pure: no network, no clock; nothing is ever fetched, a short link keeps its own key and says
``needs_expansion``. The key of an item's ``location`` is the item's key again. Text that locates
nothing raises :class:`Refused` with a constant reason, and never any other error.
"""

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import unquote

import can_ada
from wasl_schemas.platforms import WEB_SCHEMES, ItemFinder, Platforms

MAX_LENGTH = 4096


class Refused(ValueError):  # noqa: N818  a verdict, not a fault
    """The text is no location. ``reason`` is one word of a closed list, fit for a label."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Item:
    """``location`` is what a partner gets: clean of tracking, fit to be keyed again."""

    key: str
    platform: str
    kind: str
    location: str
    needs_expansion: bool = False


def report_item(report_id: str) -> Item:
    """The item of a report that names nothing locatable: a case of its own."""
    return Item(f"report:{report_id}", "none", "report", "")


# Soft hyphen, zero-width characters, bidi marks and isolates, word joiners.
_INVISIBLE = dict.fromkeys(
    (
        *(0x00AD, 0x061C, 0x180E, 0xFEFF),
        *range(0x200B, 0x2010),
        *range(0x202A, 0x202F),
        *range(0x2060, 0x2070),
    )
)
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_BRACKETED = re.compile(r"[\[({<](\.|dot|:|://|/)[\])}>]", re.IGNORECASE)
_HXXP = re.compile(r"^h(?:xx|\*\*)p", re.IGNORECASE)
_LINK = re.compile(r"(?:https?|h(?:xx|\*\*)ps?)://\S+", re.IGNORECASE)
_SCHEME = re.compile(r"^([a-z][a-z0-9+.-]*):(?!\d)", re.IGNORECASE)
_MAIL = re.compile(r"^[a-z0-9._%+-]{1,64}@(?:[a-z0-9-]{1,63}\.)+[a-z]{2,24}$", re.IGNORECASE)
_PHONE = re.compile(r"^(?:\+|00)[1-9][0-9 ().-]{5,20}[0-9]$", re.ASCII)
_NAMED = re.compile(r"^([^\W\d_][\w-]{1,19})\s*[: /]\s*(@?[\w.-]{2,64}|\+[0-9 ().-]{7,22})$")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})?")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
#: Names that resolve inside a machine or a building (RFC 6761, RFC 6762, RFC 8375, ICANN's
#: .internal).
_INSIDE = (
    ".localhost", ".local", ".internal", ".intranet", ".lan", ".home.arpa", ".corp", ".home",
)  # fmt: skip
#: Where services keep their accounts; which one a service uses is asked of the pack's rules.
_ACCOUNT_PATHS = ("/{}", "/@{}", "/add/{}", "/user/{}", "/u/{}", "/in/{}")


#: Pages that only lead elsewhere, and the parameters that say where. Facts of the web, not of a
#: country; a page that is not here stays itself.
_LEADS = {
    page: tuple(names.split())
    for names, pages in {
        "u": "l.facebook.com/l.php lm.facebook.com/l.php l.instagram.com l.messenger.com"
        " l.threads.com l.wl.co/l facebook.com/sharer facebook.com/sharer.php"
        " facebook.com/sharer/sharer.php"
        " facebook.com/flx/warn youtube.com/attribution_link",
        "href": "facebook.com/plugins/post.php facebook.com/plugins/video.php",
        "next": "facebook.com/login facebook.com/login.php instagram.com/accounts/login",
        "q": "youtube.com/redirect",
        "q url": "google/url",
        "url": "youtube.com/oembed t.me/iv telegram.me/iv t.me/share/url telegram.me/share/url"
        " linkedin.com/redir/redirect linkedin.com/safety/go slack-redir.net/link"
        " safelinks.protection.outlook.com out.reddit.com",
        "url u": "steamcommunity.com/linkfilter",
        "continue": "consent.youtube.com/m consent.youtube.com/ml",
        "target": "tiktok.com/link/v2",
        "redirect_url": "tiktok.com/login",
        "imgrefurl": "google/imgres",
        "to": "vk.com/away.php",
        "uddg": "duckduckgo.com/l",
    }.items()
    for page in pages.split()
}
_GOOGLE = re.compile(r"(?:[a-z]+\.)?google\.[a-z]{2,3}(?:\.[a-z]{2})?")
_ARCHIVED = re.compile(r"/web/\d[0-9a-z_*]{0,20}/(https?:/.+)", re.IGNORECASE)
_AMP = re.compile(
    r"/(?:amp|[acivrw]{1,2})/(s/)?((?:[a-z0-9-]+\.)+[a-z0-9-]+(?:/.*)?)", re.IGNORECASE
)
_CACHED = re.compile(r"cache:(?:[\w-]+:)?(https?://\S+)")
_SCHEME_SLASHES = re.compile(r"^(https?):/+", re.IGNORECASE)
_TELEGRAM_NAME = re.compile(r"([a-z]\w{3,31})\.t\.me", re.ASCII)
_TELEGRAM_WEB = re.compile(r"#(?:/im\?p=)?@([A-Za-z]\w{3,31})", re.ASCII)


def _led_to(url: can_ada.URL, host: str) -> str | None:
    """The address a page only leads to: a wrapper, a cache, an archive's copy, a user's host."""
    path, search = url.pathname.rstrip("/"), url.search
    if host in ("archive.org", "web.archive.org") and (found := _ARCHIVED.fullmatch(url.pathname)):
        return _SCHEME_SLASHES.sub(r"\1://", found[1]) + search + url.hash
    if host.endswith(".cdn.ampproject.org") and (found := _AMP.fullmatch(url.pathname)):
        return f"http{'s' if found[1] else ''}://{found[2]}{search}"
    if host.endswith(".translate.goog"):
        name = host.removesuffix(".translate.goog").replace("--", "\0").replace("-", ".")
        kept = [p for p in search[1:].split("&") if p and not p.startswith("_x_tr_")]
        return (
            f"https://{name.replace(chr(0), '-')}{url.pathname}{'?' * bool(kept)}{'&'.join(kept)}"
        )
    if host.endswith("t.me"):
        if found := _TELEGRAM_NAME.fullmatch(host):
            return f"https://t.me/{found[1]}{path}{search}"
    elif host == "telegram.org" and (found := _TELEGRAM_WEB.fullmatch(url.hash)):
        return f"https://t.me/{found[1]}"
    elif host in ("twitter.com", "x.com") and not path and url.hash.startswith("#!/"):
        return f"https://{host}{url.hash[2:]}"
    elif host == "facebook.com" and path.startswith("/messages/t/"):
        return f"https://m.me/{path.removeprefix('/messages/t/')}"
    google = _GOOGLE.fullmatch(host) is not None
    if google and (found := _AMP.fullmatch(url.pathname)) and path.startswith("/amp/"):
        return f"http{'s' if found[1] else ''}://{found[2]}{search}"
    if host == "webcache.googleusercontent.com":
        found = _CACHED.search(unquote(search))
        return found[1] if found else None
    site = "google" if google else host
    if host.endswith(".safelinks.protection.outlook.com"):
        site = host.partition(".")[2]
    elif host == "out.reddit.com":
        path = ""
    names = _LEADS.get(site + path)
    target = _parameter(search, names) if names else None
    return f"https://{host}{target}" if target and target[0] == "/" else target


def _parameter(search: str, names: tuple[str, ...]) -> str | None:
    """The first of these parameters that holds an address, or a path on the same host."""
    for name in names:
        for part in search[1:].split("&"):
            if part.startswith(name + "="):
                value = unquote(part[len(name) + 1 :])
                local = value[:1] == "/" and value[:2] not in ("//", "/\\")
                if (local or value.startswith(("https://", "http://"))) and not _CONTROL.search(
                    value
                ):
                    return value
    return None


def _escape(match: re.Match[str]) -> str:
    digits = match[1]
    if digits is None:
        return "%25"
    char = chr(int(digits, 16))
    return char if char in _UNRESERVED else f"%{digits.upper()}"


_PLAIN_ROUTE = re.compile(r"#/[!$&-;=@-Z_a-z~]+")


def _normal(text: str) -> str:
    """Percent-encoding normalised (RFC 3986 §6.2.2.2); a second pass changes nothing."""
    return _ESCAPE.sub(_escape, text) if "%" in text else text


def _refang(text: str) -> str:
    """``hxxp`` and ``[.]`` undone, until nothing of it is left."""
    text = _HXXP.sub("http", text)
    if not any(sign in text for sign in "[({<"):
        return text
    while (plain := _BRACKETED.sub(lambda m: "." if m[1].lower() == "dot" else m[1], text)) != text:
        text = plain
    return text


def _public(host: str) -> str:
    """The host without its root dot. Raises Refused for what is not on the public internet."""
    host = host.removesuffix(".")
    if ".." in host or host[:1] == "." or host[-1:] == "." or len(host) > 253:
        raise Refused("bad_host")
    if host[-1:].isdigit() or host.startswith("["):
        # The parser has turned decimal, octal, hexadecimal and short IPv4 into four decimals.
        try:
            address = ipaddress.ip_address(host.strip("[]"))
        except ValueError:
            raise Refused("bad_host") from None
        inner = getattr(address, "ipv4_mapped", None) or getattr(address, "sixtofour", None)
        if not address.is_global or address.is_multicast or (inner and not inner.is_global):
            raise Refused("private_host")
        return host
    if host.endswith(_INSIDE) or host == "localhost":
        raise Refused("private_host")
    if "." not in host:
        raise Refused("not_a_location")
    return host


class ItemKeys:
    """The canonical-key rules, with a country pack's platforms."""

    def __init__(self, platforms: Platforms) -> None:
        self._finder = ItemFinder(platforms)
        self._wanted = {
            service.id: frozenset(name for rule in service.items for name in rule.query)
            for service in platforms.services
        }
        self._hosts: dict[str, tuple[str, ...]] = {}
        for service in platforms.services:
            names = {service.id, *(word for word in service.title.values() if word)}
            self._hosts.update(dict.fromkeys((n.lower() for n in names), service.hosts))

    def item(self, text: str) -> Item:
        """The item that a location, as a reporter typed it, names. Raises :class:`Refused`."""
        if len(text) > MAX_LENGTH:
            raise Refused("too_long")
        if not text.isascii():
            text = text.translate(_INVISIBLE)
            if _SURROGATE.search(text):
                raise Refused("bad_characters")
        text = text.strip()
        if not text:
            raise Refused("empty")
        if not text.isprintable() and _CONTROL.search(text):
            raise Refused("control_character")
        if not text.startswith(("https://", "http://")) and (named := self._named(text)):
            return named
        if any(c.isspace() for c in text) if not text.isascii() else " " in text:
            # A shared sentence ("look: https://…") stands for the link in it.
            link = _LINK.search(text)
            if link is None:
                raise Refused("not_a_location")
            text = link[0].rstrip(".,;:!?\"'»)…،؛؟")
        text = _refang(text)
        if text.startswith(("https://", "http://")):
            return self._url(text)
        found = _SCHEME.match(text)
        if found is None:
            return self._url("https://" + text.lstrip("/\\"))
        if found[1].lower() not in self._finder.schemes:
            raise Refused("scheme")
        return self._url(text)

    def _named(self, text: str) -> Item | None:
        """What is located without a URL: a mailbox, a number, a handle on a named platform."""
        bare = (
            text[text.find(":") + 1 :] if text[:7].lower().startswith(("mailto:", "tel:")) else text
        )
        if _MAIL.match(bare):
            address = bare.lower()
            return Item(f"email:address:{address}", "email", "address", address)
        if _PHONE.match(bare):
            digits = re.sub(r"[^0-9]", "", bare)
            digits = digits.removeprefix("00") if bare[0] == "0" else digits
            if 7 <= len(digits) <= 15:  # ITU-T E.164
                return Item(f"phone:number:+{digits}", "phone", "number", f"+{digits}")
        named = _NAMED.match(text)
        if named is None or (hosts := self._hosts.get(named[1].lower())) is None:
            return None
        service, name = named[1].lower(), named[2].removeprefix("@")
        number = re.sub(r"\D", "", name) if name[0] == "+" else ""
        for host in hosts:
            for path in ("/{}",) if number else _ACCOUNT_PATHS:
                item = self._try(f"https://{host}{path.format(number or name)}")
                if item and item.kind in (
                    ("number",) if number else ("account", "channel", "page")
                ):
                    return item
        if number or not hosts:
            return None
        name = name.lower()
        return Item(f"{service}:account:{name}", service, "account", f"{service}:{name}")

    def _try(self, url: str) -> Item | None:
        try:
            return self._url(url, rules_only=True)
        except Refused:
            return None

    def _url(self, text: str, *, rules_only: bool = False) -> Item:
        try:
            url = can_ada.parse(text)
        except ValueError:
            raise Refused("not_a_location") from None
        scheme = url.protocol[:-1]
        finder = self._finder
        web = scheme in WEB_SCHEMES
        full = _public(url.hostname) if web else url.hostname
        host = finder.bare_host(full) if web else full
        if web and not rules_only and not url.port and (inner := _led_to(url, host)):
            return self._url(inner)  # ends: what is inside an address is shorter than it
        path = _normal(url.pathname).rstrip("/")
        port = url.port
        pairs = self._parameters(url.search) if url.search else []
        found = None
        if not port:
            plain = unquote(path) if "%" in path else path
            found = finder.find(scheme, host, plain, _decoded(pairs))
            if found is not None and pairs:
                # What no rule looks at may tell who shared the link: no business of a partner.
                wanted = self._wanted[found.service]
                pairs = [pair for pair in pairs if pair[0] in wanted]
        query = "?" + "&".join([pair for _, pair in pairs]) if pairs else ""
        root = "/" if web else ""
        location = f"{scheme}://{full}{':' + port if port else ''}{path or root}{query}"
        if found is not None:
            if found.needs_expansion:
                # Unknown until it is opened, so it is only itself: codes repeat between shorteners.
                key = f"{found.service}:{found.kind}:{host}{path}{query}"
                return Item(key, found.service, found.kind, location, needs_expansion=True)
            return Item(found.key, found.service, found.kind, location)
        if rules_only or not web:
            raise Refused("scheme")
        service = finder.service(host)
        route = _route(host, url.hash)
        kind = "page" if path or query or route else "site"
        page = f"{host}{':' + port if port else ''}{path or ('/' if route else '')}{query}{route}"
        return Item(f"{service}:{kind}:{page}", service, kind, location + route)

    def _parameters(self, search: str) -> list[tuple[str, str]]:
        """``(name, "name=value")`` without tracking, by name; repeated names keep their order."""
        tracking = self._finder.is_tracking
        parts = [(p.partition("=")[0], p) for p in _normal(search[1:]).split("&") if p]
        parts = [part for part in parts if not tracking(part[0])]
        parts.sort(key=lambda part: part[0])
        return parts


def _route(host: str, fragment: str) -> str:
    """A fragment that names the page (``#/…``, ``#!/…``); others name a place in it, and go.

    In a matrix.to link escapes mean nothing, nor by which servers (``?via=``) the room is found.
    """
    if not fragment.startswith(("#/", "#!/")):
        return ""
    route = _normal(fragment).rstrip("/")
    if host == "matrix.to":
        route = route.partition("?")[0]
        plain = unquote(route)
        route = plain if _PLAIN_ROUTE.fullmatch(plain) else route
    return "" if route in ("#", "#!") else route


def _decoded(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """Names and values in clear; of a repeated name the first value counts."""
    return {
        unquote(name): unquote(part[len(name) + 1 :].replace("+", " "))
        for name, part in reversed(pairs)
    }
