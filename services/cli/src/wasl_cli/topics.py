# SPDX-License-Identifier: Apache-2.0
"""``wasl topics``: the cluster's topics against the registry's."""

from typing import Annotated

import typer
from wasl_chassis.settings import read
from wasl_chassis.topics_admin import Drift, TopicAdmin, wanted

from wasl_cli import output, running
from wasl_cli.output import AsJson
from wasl_cli.settings import BrokerSettings, topics_of

app = typer.Typer(
    help="Create the topics of this deployment and see where a cluster differs.",
    no_args_is_help=True,
)


@app.command()
@running.told
def apply(
    replication: Annotated[
        int, typer.Option(min=1, max=9, help="Copies of each new topic; 3 on a real cluster.")
    ] = 1,
    *,
    json: AsJson = False,
) -> None:
    """Create missing topics, raise partition counts, set retention. Nothing is ever deleted.

    Topics: the registry's, one for each connector in WASL_CONNECTORS, and the dead-letter topic of
    every consumer. Safe to repeat.
    """
    settings = read(BrokerSettings)
    topics = wanted(topics_of(settings))

    async def work() -> list[str]:
        async with TopicAdmin(settings.kafka_bootstrap_servers) as admin:
            return await admin.apply(topics, replication=replication)

    done = running.run(work())
    if json:
        output.as_json({"done": done})
        return
    for line in done or ["nothing to do"]:
        typer.echo(line)


@app.command()
@running.told
def diff(*, json: AsJson = False) -> None:
    """Print what is missing or different, a line each; exit 1 if anything is."""
    settings = read(BrokerSettings)
    topics = wanted(topics_of(settings))

    async def work() -> list[Drift]:
        async with TopicAdmin(settings.kafka_bootstrap_servers) as admin:
            return await admin.diff(topics)

    drifts = running.run(work())
    if json:
        keys = ("topic", "what", "wanted", "found")
        output.as_json([{k: getattr(d, k) for k in keys} for d in drifts])
    else:
        for line in [str(d) for d in drifts] or ["no difference"]:
            typer.echo(line)
    if drifts:
        raise typer.Exit(running.WRONG)
