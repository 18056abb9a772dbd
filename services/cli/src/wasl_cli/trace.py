# SPDX-License-Identifier: Apache-2.0
"""``wasl report trace``: one report's whole path, told by each service from its own database.

Pieces run until no new id turns up: intake learns a receipt's report and its cases, the gateway and
notify what became of those. Never shown: what was reported, by whom, and who else reported it.
"""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from wasl_chassis.operating import Desk, Operations, TraceLine, Trail, loaded
from wasl_chassis.settings import read
from wasl_chassis.store import Store

from wasl_cli import output, running
from wasl_cli.output import AsJson
from wasl_cli.settings import TraceSettings

#: Of one service's outbox; a hub that has more waiting has a larger problem than one report.
OUTBOX_LIMIT = 2_000
_ROUNDS = 6
_EARLY = datetime.min.replace(tzinfo=UTC)


def build(operations: Sequence[Operations]) -> typer.Typer:
    app = typer.Typer(help="Follow one report through the hub.", no_args_is_help=True)

    @app.callback()
    def group() -> None:
        """Keeps 'trace' a sub-command while it is the only one."""

    @app.command("trace")
    @running.told
    def trace(
        given: Annotated[
            str,
            typer.Argument(
                metavar="RECEIPT-OR-ID",
                help="A receipt, or the id of a report, case, dispatch or referral; '-' reads it "
                "from standard input, which keeps a receipt out of the shell's history.",
            ),
        ],
        *,
        json: AsJson = False,
    ) -> None:
        """Everything the hub did with a report: times, states and ids, and no personal data.

        Reads the databases of all services, and events that have not left them yet. Exit status 1
        if nothing is known.
        """
        settings = read(TraceSettings)
        typed = typer.get_text_stream("stdin").readline() if given == "-" else given

        async def work() -> tuple[Trail, list[tuple[str, TraceLine]]]:
            trail = Trail(typed.strip())
            async with AsyncExitStack() as stack:
                desks = {
                    o.service: await stack.enter_async_context(running.desk_of(settings, o))
                    for o in operations
                }
                return trail, await follow(trail, operations, desks)

        trail, lines = running.run(work())
        if json:
            output.as_json(
                {
                    "reports": sorted(trail.reports),
                    "cases": sorted(trail.cases),
                    "path": [
                        {
                            "time": line.at,
                            "service": service,
                            "what": line.what,
                            "id": line.id,
                            "state": line.state or None,
                            "detail": line.detail or None,
                        }
                        for service, line in lines
                    ],
                }
            )
        else:
            shown = [
                {
                    "time": line.at,
                    "service": service,
                    "what": line.what,
                    "state": line.state,
                    "detail": line.detail,
                    "id": line.id,
                }
                for service, line in lines
            ]
            output.rows(shown, json_=False, empty="nothing is known under this receipt or id")
        if not lines:
            raise typer.Exit(running.WRONG)

    return app


async def follow(
    trail: Trail, operations: Sequence[Operations], desks: dict[str, Desk]
) -> list[tuple[str, TraceLine]]:
    """Every service's lines in the order of their times; what has no time comes last."""
    lines: list[tuple[str, TraceLine]] = []
    for _ in range(_ROUNDS):
        before = trail.ids
        told = [(o.service, await loaded(o.trace)(desks[o.service], trail)) for o in operations]
        lines = [(service, line) for service, found in told for line in found]
        if trail.ids == before:
            break
    for service, desk in desks.items():
        lines += [(service, line) for line in await _unsent(desk.store, trail, desk.clock.now())]
    # Stable, so that lines of one time keep the order their service gave them.
    return sorted(lines, key=lambda pair: (pair[1].at is None, pair[1].at or _EARLY))


async def _unsent(store: Store, trail: Trail, now: datetime) -> list[TraceLine]:
    if not trail.ids:
        return []
    rows = await store.outbox_pending(older_than=now + timedelta(minutes=1), limit=OUTBOX_LIMIT)
    lines = [
        TraceLine(row.created, "event not sent yet", row.id, "pending", row.topic)
        for row in rows
        if row.key in trail.ids
    ]
    if len(rows) == OUTBOX_LIMIT:
        lines.append(
            TraceLine(None, "outbox too long to search", "-", "", f"only {OUTBOX_LIMIT} oldest")
        )
    return lines
