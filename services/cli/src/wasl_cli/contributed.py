# SPDX-License-Identifier: Apache-2.0
"""The services' own sub-commands, found by entry point and turned into Typer commands."""

import inspect
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from importlib import metadata
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_group
from wasl_chassis.operating import (
    GROUP,
    Command,
    CommandGroup,
    FileCommand,
    Operations,
    Option,
    Row,
    Wrong,
    loaded,
)
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
    class Late(TyperGroup):
        """Its sub-commands are loaded when one is asked for, or all of them are."""

        @cached_property
        def _made(self) -> TyperGroup:
            return running.told(lambda: _commands(piece, group))()

        def list_commands(self, ctx: Any) -> list[str]:
            return self._made.list_commands(ctx)

        def get_command(self, ctx: Any, cmd_name: str) -> Any:
            return self._made.get_command(ctx, cmd_name)

    return typer.Typer(cls=Late, help=group.help, no_args_is_help=True)


def _commands(piece: Operations, group: CommandGroup) -> TyperGroup:
    app = typer.Typer()
    for command in loaded(group.commands):
        if isinstance(command, Command):
            function = _typed(_on_database(piece, command), command.argument, command.options)
        else:
            function = _typed(_on_file(command), command.argument, (), command.env)
        app.command(command.name, help=command.help)(running.told(function))
    return get_group(app)


def _on_database(piece: Operations, command: Command) -> Callable[..., None]:
    def execute(*, argument: str = "", json: bool, **given: str | None) -> None:
        settings = read(StoreSettings)
        names = {_parameter(o): o.name for o in command.options}
        options = {names[k]: v for k, v in given.items() if v is not None}

        async def work() -> Sequence[Row]:
            async with running.desk_of(settings, piece) as desk:
                return await command.run(replace(desk, options=options), argument)

        _print(lambda: running.run(work()), json=json)

    return execute


def _on_file(command: FileCommand) -> Callable[..., None]:
    def execute(*, argument: str, json: bool) -> None:
        _print(lambda: command.run(argument), json=json)

    return execute


def _print(work: Callable[[], Sequence[Row]], *, json: bool) -> None:
    try:
        output.rows(work(), json_=json, empty="nothing")
    except Wrong as wrong:
        output.rows(wrong.rows, json_=json, empty="nothing")
        raise typer.Exit(running.WRONG) from None


def _parameter(option: Option) -> str:
    return f"option_{option.name.replace('-', '_')}"


def _typed(
    execute: Callable[..., None],
    argument: str | None,
    options: Sequence[Option],
    env: str | None = None,
) -> Callable[..., None]:
    """``execute`` under the signature by which Typer learns what the command takes."""
    takes: dict[str, tuple[Any, Any]] = {}
    if argument is not None:
        takes["argument"] = (
            Annotated[str, typer.Argument(metavar=argument, envvar=env)],
            inspect.Parameter.empty,
        )
    for o in options:
        told = typer.Option(f"--{o.name}", metavar=o.value, help=o.help, envvar=o.env)
        kind: Any = Annotated[str, told] if o.required else Annotated[str | None, told]
        takes[_parameter(o)] = (kind, inspect.Parameter.empty if o.required else None)
    takes["json"] = (AsJson, False)

    def command(**given: Any) -> None:
        execute(**given)

    keyword = inspect.Parameter.KEYWORD_ONLY
    command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(n, keyword, default=d, annotation=a) for n, (a, d) in takes.items()]
    )
    command.__annotations__ = {name: annotation for name, (annotation, _) in takes.items()}
    return command
