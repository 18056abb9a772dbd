# SPDX-License-Identifier: Apache-2.0
"""What a rule of the country pack may know about a report and the case it joins.

One flat table of values: words, numbers, yes or no, sets of words. Nothing is missing: what is not
known is the default of its field. No text of a person is among them; ``host`` and ``domains`` are
part of the item's address and are never stored in clear.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from wasl_schemas.country_pack import CountryPack, Weekday

#: Part of the item's address.
ADDRESS = ("host", "domains")


def _fact(default: str | int | bool | frozenset[str], about: str, words: str | None = None) -> Any:
    return field(default=default, metadata={"about": about, "words": words})


_NONE: frozenset[str] = frozenset()
_DAYS = tuple(d.value for d in Weekday)


@dataclass(frozen=True, slots=True)
class Facts:
    """Each field's ``words`` names the vocabulary its values come from, None: any word."""

    category: str = _fact(
        "", "the category the case is worked under; empty: nobody chose any", "category"
    )
    categories: frozenset[str] = _fact(_NONE, "every category a reporter chose", "category")
    severity: str = _fact("low", "what taxonomy and signals make of it", "severity")
    channel: str = _fact("web", "how the report came in", "channel")
    language: str = _fact("und", "BCP 47 tag the reporter wrote in, by their own choice")
    hint: str = _fact("und", "BCP 47 tag detected in the text")
    platform: str = _fact("web", "the service of the item")
    kind: str = _fact("", "the kind of item: post, account, page …")
    host: str = _fact("", "the item's host name, lower-case ASCII")
    domains: frozenset[str] = _fact(_NONE, "the host and every domain above it")
    hosted: str = _fact("", "ISO 3166-1 alpha-2 country of the host; empty: not known")
    hoster: str = _fact("", "who hosts it, as the data source spells it; empty: not known")
    signals: frozenset[str] = _fact(_NONE, "facts of the taxonomy that hold", "signal")
    personal: frozenset[str] = _fact(_NONE, "kinds of personal data found in the text")
    reports: int = _fact(1, "reports of the case, those of a flood not counted")
    copies: int = _fact(0, "near-duplicates of the text among recent reports")
    flood: bool = _fact(False, "the report came in a flood")
    via: frozenset[str] = _fact(_NONE, "hubs it came through")
    affected: str = _fact("", "whom it happens to; empty: not answered", "affected")
    risk: frozenset[str] = _fact(_NONE, "questions of the risk screen answered yes", "risk")
    danger: bool = _fact(False, "somebody is in danger now")
    minor: bool = _fact(False, "anybody said that a child is concerned")
    hour: int = _fact(12, "hour of day of the report, 0 to 23, in the pack's zone")
    weekday: str = _fact("monday", "day of the report in the pack's zone", "weekday")
    working_day: bool = _fact(True, "neither weekend nor holiday")
    quality: frozenset[str] = _fact(_NONE, "words about the partner that sent it")
    hash_banks: frozenset[str] = _fact(_NONE, "banks of known hashes a fingerprint matched")

    def stored(self) -> dict[str, str | int | bool | list[str]]:
        """The fields that are not at their default, fit for a database; never the address."""
        told: dict[str, str | int | bool | list[str]] = {}
        for name, default in _DEFAULTS.items():
            value = getattr(self, name)
            if value != default and name not in ADDRESS:
                told[name] = sorted(value) if isinstance(value, frozenset) else value
        return told

    @classmethod
    def of(cls, stored: Mapping[str, Any], host: str = "") -> "Facts":
        """The opposite of :meth:`stored`; what it does not name has its default."""
        values: dict[str, Any] = {
            name: frozenset(stored[name]) if isinstance(default, frozenset) else stored[name]
            for name, default in _DEFAULTS.items()
            if name in stored
        }
        return cls(**{**values, "host": host, "domains": domains(host)})


_DEFAULTS: Mapping[str, str | int | bool | frozenset[str]] = {
    f.name: f.default for f in fields(Facts) if f.default is not MISSING
}


def moment(pack: CountryPack, at: datetime) -> dict[str, int | str | bool]:
    """``hour``, ``weekday`` and ``working_day`` of a time, in the pack's zone."""
    local = at.astimezone(ZoneInfo(pack.info.timezone))
    return {
        "hour": local.hour,
        "weekday": _DAYS[local.weekday()],
        "working_day": pack.working_day(local.date()),
    }


def domains(host: str) -> frozenset[str]:
    """The host and every domain above it, the top-level domain included; of "" nothing."""
    return frozenset(_above(host)) if host else _NONE


def _above(host: str) -> Iterator[str]:
    while host:
        yield host
        host = host.partition(".")[2]


@dataclass(frozen=True, slots=True)
class Variable:
    """One fact as a condition sees it. ``type``: string, int, bool or set."""

    name: str
    type: str
    about: str
    #: The vocabulary a literal is checked against.
    words: str | None


_TYPES: Mapping[type, str] = {str: "string", int: "int", bool: "bool", frozenset: "set"}
#: Every variable of a condition. ``speech`` follows from the category and is no field.
VARIABLES: Mapping[str, Variable] = {
    **{
        f.name: Variable(f.name, _TYPES[type(f.default)], f.metadata["about"], f.metadata["words"])
        for f in fields(Facts)
    },
    "speech": Variable("speech", "bool", "the category is FE3 or FE3-block", None),
}


def table(variables: Iterable[Variable] = VARIABLES.values()) -> str:
    """The variables as a Markdown table, for the documentation."""
    rows = [f"| `{v.name}` | {v.type} | {v.about} |" for v in variables]
    return "\n".join(("| fact | type | what it is |", "|---|---|---|", *rows))
