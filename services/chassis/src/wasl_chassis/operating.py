# SPDX-License-Identifier: Apache-2.0
"""What a service offers the operators' ``wasl`` command.

The command knows no service and a service knows no command: each names one :class:`Operations` in
the entry-point group ``wasl.commands``, under the service's name. Every piece is given its own
service's database and no other. What it returns is shown to people and stays in their terminals:
ids, times, states and machine words; never what a person wrote, never who a person is. The one
exception says so itself: who answers feedback about the hub has to read it.
A place, ``module:name``, is imported once it is used, so that a command loads what it runs.
"""

import pkgutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar, cast

from wasl_chassis.clock import Clock
from wasl_chassis.settings import Settings
from wasl_chassis.store import Store

GROUP = "wasl.commands"
Row = Mapping[str, object]
T = TypeVar("T")


class Refused(Exception):  # noqa: N818
    """The operator asked for what cannot be; the text names the thing and the fix."""


class Wrong(Exception):  # noqa: N818
    """The command is done, and something is wrong: ``rows`` say what."""

    def __init__(self, rows: Sequence[Row]) -> None:
        super().__init__()
        self.rows = rows


def loaded(given: T | str) -> T:
    """The thing itself, or what is at its place. Raises :class:`Refused` where it does not load."""
    if not isinstance(given, str):
        return given
    try:
        return cast("T", pkgutil.resolve_name(given))
    except Exception as error:  # a broken service must not take the command along
        raise Refused(
            f"'{given}' cannot be loaded ({type(error).__name__}); install the service again"
        ) from error


@dataclass(frozen=True, slots=True)
class Desk:
    """What a piece works with. ``store``: its own service's database."""

    store: Store
    settings: Settings
    clock: Clock
    #: The operator's login name, for what is kept about a change.
    operator: str
    #: What was given with the command's options, by name; an option left out is absent.
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def connectors(self) -> tuple[str, ...]:
        """The connectors of this deployment."""
        return connectors(self.settings)


def connectors(settings: Settings) -> tuple[str, ...]:
    """WASL_CONNECTORS, taken apart."""
    return tuple(c for part in settings.connectors.split(",") if (c := part.strip()))


@dataclass(frozen=True, slots=True)
class TraceLine:
    """One thing that is so or happened. ``detail``: machine words only."""

    at: datetime | None
    what: str
    id: str
    state: str = ""
    detail: str = ""


@dataclass(slots=True)
class Trail:
    """What one trace follows. Pieces add the ids they learn; all run again until nothing is new."""

    #: As typed: a receipt, or the id of a report, case, dispatch or referral.
    given: str
    reports: set[str] = field(default_factory=set)
    cases: set[str] = field(default_factory=set)
    dispatches: set[str] = field(default_factory=set)
    referrals: set[str] = field(default_factory=set)

    @property
    def ids(self) -> set[str]:
        return self.reports | self.cases | self.dispatches | self.referrals


@dataclass(frozen=True, slots=True)
class Option:
    """``--name VALUE``; the command finds it in :attr:`Desk.options`."""

    name: str
    value: str
    help: str
    required: bool = False
    #: The environment variable that gives it where it is left out.
    env: str | None = None


@dataclass(frozen=True, slots=True)
class Command:
    """One sub-command; ``run`` gets its argument, or "" where it takes none. May raise Refused and
    Wrong.
    """

    name: str
    help: str
    run: Callable[[Desk, str], Awaitable[Sequence[Row]]]
    argument: str | None = None
    options: tuple[Option, ...] = ()


@dataclass(frozen=True, slots=True)
class FileCommand:
    """A sub-command that needs a file and neither settings nor a database. May raise as a Command
    may.
    """

    name: str
    help: str
    run: Callable[[str], Sequence[Row]]
    argument: str = "FILE"
    #: The environment variable that gives it where it is left out.
    env: str | None = None


Commands = tuple[Command | FileCommand, ...]
Trace = Callable[[Desk, Trail], Awaitable[list[TraceLine]]]


@dataclass(frozen=True, slots=True)
class CommandGroup:
    """``commands``: themselves, or their place."""

    name: str
    help: str
    commands: Commands | str


@dataclass(frozen=True, slots=True)
class Operations:
    """``settings``, ``trace``: themselves, or their places. ``database``: its suffix where it is
    not the service's name; see ``Service.open``.
    """

    service: str
    settings: type[Settings] | str
    trace: Trace | str
    groups: tuple[CommandGroup, ...] = ()
    database: str | None = None

    def database_of(self, settings: Settings) -> str:
        return f"{settings.database_prefix}_{self.database or self.service.replace('-', '_')}"
