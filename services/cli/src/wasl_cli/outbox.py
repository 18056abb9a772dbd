# SPDX-License-Identifier: Apache-2.0
"""``wasl outbox``: events that are committed and have not left yet."""

from collections.abc import Sequence

import typer
from wasl_chassis.clock import SystemClock
from wasl_chassis.operating import Operations, Row
from wasl_chassis.settings import read

from wasl_cli import output, running
from wasl_cli.output import AsJson
from wasl_cli.settings import StoreSettings


def build(operations: Sequence[Operations]) -> typer.Typer:
    app = typer.Typer(
        help="Events committed and not yet acknowledged by Kafka.", no_args_is_help=True
    )

    @app.callback()
    def group() -> None:
        """Keeps 'status' a sub-command while it is the only one."""

    @app.command()
    @running.told
    def status(*, json: AsJson = False) -> None:
        """How many events wait in each service's outbox, and since when.

        A few that are seconds old are normal. Old ones: Kafka is away or the service does not run.
        """
        settings = read(StoreSettings)

        async def work() -> list[Row]:
            found: list[Row] = []
            now = SystemClock().now()
            for piece in operations:
                async with running.store_of(settings, piece.database_of(settings)) as store:
                    pending, oldest = await store.outbox_status()
                waits = None if oldest is None else round((now - oldest).total_seconds(), 3)
                row = {"service": piece.service, "pending": pending, "oldest": oldest}
                shown = {"waiting_seconds": waits} if json else {"for": output.age(oldest, now)}
                found.append({**row, **shown})
            return found

        output.rows(running.run(work()), json_=json, empty="no service is installed here")

    return app
