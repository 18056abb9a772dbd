# SPDX-License-Identifier: Apache-2.0
"""The command tree: the hub's own sub-commands and those its services bring along."""

import platform
from collections.abc import Sequence
from importlib import metadata

import typer
from wasl_chassis.operating import Operations

from wasl_cli import contributed, dlq, doctor, outbox, output, topics, trace
from wasl_cli.output import AsJson

HELP = """The operators' command of a Wasl hub.

It reads the same environment as the services (KAFKA_BOOTSTRAP_SERVERS, MONGODB_URI, WASL_...); each
command asks only for what it uses. Start with 'wasl doctor'.

Exit status: 0 done; 1 done, and something is wrong; 2 wrong command line; 69 Kafka or the database
is away; 70 refused by one of them; 78 settings.
"""


def build(operations: Sequence[Operations] | None = None) -> typer.Typer:
    """The application. ``operations``: the services' pieces; default, the installed ones."""
    pieces = contributed.installed() if operations is None else list(operations)
    app = typer.Typer(
        help=HELP, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode="markdown"
    )
    app.add_typer(topics.app, name="topics")
    app.add_typer(dlq.app, name="dlq")
    app.add_typer(outbox.build(pieces), name="outbox")
    app.add_typer(trace.build(pieces), name="report")
    for name, group in contributed.groups(pieces):
        app.add_typer(group, name=name)
    app.command("doctor")(doctor.build(pieces))
    app.command("version")(version)
    return app


def version(*, json: AsJson = False) -> None:
    """The versions of everything of the hub that is installed here."""
    found = {
        d.metadata["Name"]: d.version
        for d in metadata.distributions()
        if d.metadata["Name"].startswith("wasl-")
    }
    found = {**dict(sorted(found.items())), "python": platform.python_version()}
    if json:
        output.as_json(found)
        return
    for name, number in found.items():
        typer.echo(f"{name} {number}")
