# SPDX-License-Identifier: Apache-2.0
"""The services' own sub-commands, found by entry point and turned into Typer commands."""

import sys
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import Annotated

import typer
from wasl_chassis.operating import GROUP, Command, CommandGroup, Operations, Row
from wasl_chassis.settings import read

from wasl_cli import output, running
from wasl_cli.output import AsJson
from wasl_cli.settings import StoreSettings


def installed() -> list[Operations]:
    """What the installed services offer. One that cannot be loaded is named and left out."""
    found = []
    for entry in sorted(metadata.entry_points(group=GROUP), key=lambda e: e.name):
        try:
            loaded = entry.load()
        except Exception as error:  # noqa: BLE001  a broken service must not take the command along
            sys.stderr.write(f"wasl: '{entry.name}' cannot be loaded ({type(error).__name__})\n")
            continue
        if isinstance(loaded, Operations):
            found.append(loaded)
    return found


def groups(operations: Sequence[Operations]) -> list[tuple[str, typer.Typer]]:
    return [(g.name, _group(o, g)) for o in operations for g in o.groups]


def _group(piece: Operations, group: CommandGroup) -> typer.Typer:
    app = typer.Typer(help=group.help, no_args_is_help=True)
    for command in group.commands:
        app.command(command.name, help=command.help)(_function(piece, command))
    return app


def _function(piece: Operations, command: Command) -> Callable[..., None]:
    def execute(argument: str, *, json: bool) -> None:
        settings = read(StoreSettings)

        async def work() -> Sequence[Row]:
            async with running.desk_of(settings, piece) as desk:
                return await command.run(desk, argument)

        output.rows(running.run(work()), json_=json, empty="nothing")

    if command.argument is None:

        @running.told
        def bare(*, json: AsJson = False) -> None:
            execute("", json=json)

        return bare

    @running.told
    def with_argument(
        name: Annotated[str, typer.Argument(metavar=command.argument)], *, json: AsJson = False
    ) -> None:
        execute(name, json=json)

    return with_argument
