# SPDX-License-Identifier: Apache-2.0
"""Which service a link belongs to, and which item of it: rules as data, matched without a fetch.

A rule turns a host, path and query into ``service:kind:id``, so that the same video met under five
addresses is one item. Rules of a service are tried in order; the first match wins. Every rule
carries examples, which the loader runs.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from wasl_schemas.base import Model, Slug
from wasl_schemas.taxonomy import Words

WEB_SCHEMES = frozenset({"http", "https"})
_PLACEHOLDER = re.compile(r"\{([a-z]+)\}")


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from error
    return pattern


Host = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)*$", max_length=253)]
Regex = Annotated[str, StringConstraints(max_length=300), AfterValidator(_compiles)]


class RuleExample(Model):
    url: str
    #: The ``service:kind:id`` it must give.
    key: str


class ItemRule(Model):
    """``path`` must match the whole path (no trailing slash) and each ``query`` pattern the whole
    value of that parameter; classes are ASCII. Named groups, and each parameter under its own name,
    fill ``key``.
    """

    kind: Slug
    path: Regex
    query: dict[str, Regex] = Field(default_factory=dict)
    key: str
    #: Only on these hosts of the service; empty: on all of them.
    hosts: tuple[Host, ...] = ()
    #: An app link such as tg://; None: http and https.
    scheme: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9+.-]*$")] | None = None
    #: Names whose case does not matter.
    lower: tuple[str, ...] = ()
    #: A short link: what is behind it is unknown without a fetch.
    needs_expansion: bool = False
    examples: tuple[RuleExample, ...] = Field(min_length=1)


class StatusAddress(Model):
    """Where a service itself says, by an HTTP status, whether an item can be seen.

    ``address``: https, on one of the service's hosts, with ``{location}`` where the item's own
    address goes, percent-encoded. 200 means that it is there; a status in neither list, nothing.
    """

    address: Annotated[
        str, StringConstraints(pattern=r"^https://[^\s{}]+\{location\}$", max_length=300)
    ]
    gone: tuple[int, ...] = Field(min_length=1)
    #: Statuses that mean that only a person can tell.
    wall: tuple[int, ...] = ()
    #: The documentation this was taken from.
    source: str = Field(min_length=1)


class Service(Model):
    id: Slug
    #: The company whose desk answers for it.
    company: Slug
    title: Words
    hosts: tuple[Host, ...] = ()
    items: tuple[ItemRule, ...] = ()
    #: Without one the item's own page is read.
    presence: StatusAddress | None = None

    @model_validator(mode="after")
    def _its_own_address(self) -> "Service":
        if self.presence is not None:
            host = urlsplit(self.presence.address).hostname or ""
            if not any(host == h or host.endswith(f".{h}") for h in self.hosts):
                raise ValueError("presence.address must be on one of the service's hosts")
        return self


class Platforms(Model):
    #: Host prefixes that never change what is shown, such as "www." and "m.".
    host_prefixes: tuple[Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+\.$")], ...]
    #: Query parameters that never name an item; ``utm_*`` stands for all with that start.
    drop_parameters: tuple[Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]+\*?$")], ...]
    #: The service of every link no other service owns.
    fallback: Slug
    services: tuple[Service, ...] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class Item:
    """What a link points at."""

    service: str
    kind: str
    id: str
    needs_expansion: bool = False

    @property
    def key(self) -> str:
        return f"{self.service}:{self.kind}:{self.id}"


@dataclass(frozen=True, slots=True)
class _Compiled:
    kind: str
    path: re.Pattern[str]
    query: tuple[tuple[str, re.Pattern[str]], ...]
    key: str
    hosts: frozenset[str]
    lower: frozenset[str]
    needs_expansion: bool

    def match(self, service: str, host: str, path: str, query: Mapping[str, str]) -> Item | None:
        if (self.hosts and host not in self.hosts) or (self.query and not query):
            return None
        found = self.path.fullmatch(path)
        if not found:
            return None
        names = found.groupdict(default="")
        for name, pattern in self.query:
            value = query.get(name, "")
            inside = pattern.fullmatch(value)
            if not inside:
                return None
            names |= {name: value, **inside.groupdict(default="")}
        for name in self.lower:
            names[name] = names[name].lower()
        item = _PLACEHOLDER.sub(lambda m: names[m.group(1)], self.key)
        return Item(service, self.kind, item, self.needs_expansion)


class ItemFinder:
    """The rules of a pack, compiled once."""

    def __init__(self, platforms: Platforms) -> None:
        self._prefixes = platforms.host_prefixes
        self._dropped = frozenset(p for p in platforms.drop_parameters if not p.endswith("*"))
        self._starts = tuple(p[:-1] for p in platforms.drop_parameters if p.endswith("*"))
        self._service_of = {host: s.id for s in platforms.services for host in s.hosts}
        self._rules: dict[tuple[str, str], list[_Compiled]] = {}
        self.fallback = platforms.fallback
        #: Schemes a report may carry: http, https and the app links the rules know.
        self.schemes: frozenset[str] = WEB_SCHEMES
        for service in platforms.services:
            for rule in service.items:
                compiled = _Compiled(
                    kind=rule.kind,
                    path=re.compile(rule.path, re.ASCII),
                    query=tuple((name, re.compile(p, re.ASCII)) for name, p in rule.query.items()),
                    key=rule.key,
                    hosts=frozenset(rule.hosts),
                    lower=frozenset(rule.lower),
                    needs_expansion=rule.needs_expansion,
                )
                self._rules.setdefault((rule.scheme or "web", service.id), []).append(compiled)
                if rule.scheme:
                    self.schemes |= {rule.scheme}

    def bare_host(self, host: str) -> str:
        """A lower-case host without its meaningless prefixes; never less than two labels."""
        while host.startswith(self._prefixes):
            rest = host.split(".", 1)[1]
            if "." not in rest:
                break
            host = rest
        return host

    def is_tracking(self, parameter: str) -> bool:
        """True for a query parameter that never names an item."""
        return parameter in self._dropped or parameter.startswith(self._starts)

    def service(self, host: str) -> str:
        """The service a bare host belongs to, as itself or as a subdomain; else the fallback."""
        rest = host
        while True:
            if owner := self._service_of.get(rest):
                return owner
            _, dot, rest = rest.partition(".")
            if not dot:
                return self.fallback

    def find(self, scheme: str, host: str, path: str, query: Mapping[str, str]) -> Item | None:
        """The item behind a normalised link, or None where no rule knows one (then the canonical
        URL itself is the identity). ``host`` is bare, ``path`` decoded; of a repeated parameter the
        first value counts.
        """
        path = path.rstrip("/") or "/"
        if scheme in WEB_SCHEMES:
            owners: Iterable[str] = (self.service(host),)
            scheme = "web"
        else:
            owners = [owner for known, owner in self._rules if known == scheme]
        for owner in owners:
            for rule in self._rules.get((scheme, owner), ()):
                if item := rule.match(owner, host, path, query):
                    return item
        return None

    def find_url(self, url: str) -> Item | None:
        """``find`` on a well-formed URL, for examples and tools. Reports go through triage's own
        normalisation first.
        """
        parts = urlsplit(url)
        query: dict[str, str] = {}
        for name, value in parse_qsl(parts.query, keep_blank_values=True):
            query.setdefault(name, value)
        return self.find(parts.scheme, self.bare_host(parts.hostname or ""), parts.path, query)
