# SPDX-License-Identifier: Apache-2.0
"""``wasl dlq``: look at dead letters and put them back on their way.

A dead letter keeps the original bytes. What is printed of them is what may be logged: envelope
attributes and the fields the schema marks public or internal; of anything else, that it is there.
"""

import json as json_module
import os
import re
import sys
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import BaseModel
from wasl_chassis.clock import SystemClock
from wasl_chassis.operating import Refused
from wasl_chassis.settings import read
from wasl_schemas.base import EventData
from wasl_schemas.catalog import by_type
from wasl_schemas.sensitivity import Sensitivity, marks
from wasl_schemas.topics import TopicSpec

from wasl_cli import output, running
from wasl_cli.dead_letters import DeadLetterBox, Policy, Record, about, died_at, examine, owner
from wasl_cli.output import AsJson
from wasl_cli.settings import BrokerSettings, topics_of

app = typer.Typer(
    help="Events a consumer could not handle: look at them, put them back.", no_args_is_help=True
)
_SHOWN = {Sensitivity.PUBLIC, Sensitivity.INTERNAL}
#: Ids the hub makes. Anything else in a broken record may be what a person typed.
_MADE_ID = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SOURCE = re.compile(r"/wasl/(intake|triage|notify|platform-gateway)")
_WORD = re.compile(r"[A-Za-z0-9_.:+-]{1,120}")

Topic = Annotated[str, typer.Argument(metavar="TOPIC", help="A dead-letter topic.")]


def _box() -> tuple[DeadLetterBox, tuple[TopicSpec[EventData], ...]]:
    settings = read(BrokerSettings)
    specs = topics_of(settings)
    return DeadLetterBox(settings.kafka_bootstrap_servers, specs, SystemClock()), specs


@app.command("list")
@running.told
def list_(
    *,
    everything: Annotated[bool, typer.Option("--all", help="Empty topics too.")] = False,
    json: AsJson = False,
) -> None:
    """Dead-letter topics with how many records wait and when the oldest died.

    Kept: also those replayed or dropped before, until the topic's retention takes them.
    """

    async def work() -> list[dict[str, Any]]:
        async with _box()[0] as box:
            piles = await box.piles()
        return [
            {"topic": p.topic, "waiting": p.waiting, "oldest": p.oldest, "kept": p.kept}
            for p in piles
            if everything or p.waiting
        ]

    output.rows(running.run(work()), json_=json, empty="no dead letter waits")


@app.command()
@running.told
def show(
    topic: Topic,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 20,
    offset: Annotated[int | None, typer.Option(min=0, help="Only the record at it.")] = None,
    export: Annotated[
        Path | None,
        typer.Option(help="With --offset: write the record's original bytes to this new file."),
    ] = None,
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="Those replayed or dropped before too.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Why records died, and what of them may be shown: ids, sizes, public and internal fields."""
    if export is not None and offset is None:
        raise Refused("--export writes one record; say which with --offset")

    async def work() -> list[tuple[Record, dict[str, Any]]]:
        made, specs = _box()
        async with made as box:
            found = await box.records(topic, limit=limit, everything=everything, offset=offset)
            spec = owner(specs, topic)
            return [(record, described(spec, record)) for record in found]

    found = running.run(work())
    if offset is not None and not found:
        raise Refused(
            f"'{topic}' has no record at offset {offset}; 'wasl dlq show --all' lists them"
        )
    if export is not None:
        _export(export, found[0][0])
        return
    if json:
        output.as_json([shown for _, shown in found])
        return
    if not found:
        typer.echo("no dead letter waits")
    for _, shown in found:
        _print(shown)


@app.command()
@running.told
def replay(
    topic: Topic,
    policy: Annotated[
        Policy,
        typer.Option(
            help="For records that still are no valid events. stop: end there. reinsert: put them "
            "at the dead-letter topic's end. drop: leave them out, counted."
        ),
    ] = Policy.STOP,
    limit: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="At most so many records.")
    ] = 100,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done; change nothing.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Put valid records back on their topic, as they were; the next run goes on where this ended.

    Every consumer of the topic sees them again; those that had handled them know their ids. Repeat
    only after the cause is mended, or they come back. Exit status 1 if policy 'stop' met an invalid
    record.
    """

    async def work() -> dict[str, Any]:
        async with _box()[0] as box:
            done = await box.replay(topic, policy, limit=limit, dry=dry_run)
        return {
            "topic": topic,
            "policy": policy.value,
            "dry_run": dry_run,
            "replayed": done.replayed,
            "reinserted": done.reinserted,
            "dropped": done.dropped,
            "left": done.left,
            "stopped_at": done.stopped_at,
            "problems": list(done.problems),
        }

    done = running.run(work())
    if json:
        output.as_json(done)
    else:
        would = "would be " if dry_run else ""
        counts = ", ".join(f"{done[k]} {would}{k}" for k in ("replayed", "reinserted", "dropped"))
        typer.echo(f"{counts}; {done['left']} left")
        if done["stopped_at"] is not None:
            why = "; ".join(done["problems"])
            typer.echo(f"stopped at offset {done['stopped_at']}, which is no valid event: {why}")
    if done["stopped_at"] is not None:
        raise typer.Exit(running.WRONG)


# -- what may be shown ---------------------------------------------------------------------------


def described(spec: TopicSpec[EventData], record: Record) -> dict[str, Any]:
    """One record in words that may be logged."""
    remarks = {k: v if _WORD.fullmatch(v) else "(not shown)" for k, v in about(record).items()}
    out: dict[str, Any] = {
        "partition": record.partition,
        "offset": record.offset,
        "died_at": died_at(record),
        "remarks": remarks,
        "key": _if(_MADE_ID, (record.key or b"").decode(errors="replace")),
        "key_bytes": len(record.key or b""),
        "value_bytes": len(record.value or b""),
    }
    found = examine(spec, record.value)
    if isinstance(found, list):
        return {**out, "valid": False, "problems": found, "event": _headers(record), "data": None}
    event = {
        name: getattr(found, name)
        for name in type(found).model_fields
        if name != "data" and getattr(found, name) is not None
    }
    return {**out, "valid": True, "problems": [], "event": event, "data": visible(found.data)}


def visible(model: BaseModel) -> dict[str, Any]:
    """The fields that may be shown; of the others their sensitivity and size."""
    out: dict[str, Any] = {}
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if value is None:
            continue
        if not set(marks(field)) & _SHOWN:
            size = f", {len(value)} characters" if isinstance(value, str) else ""
            mark = next(iter(marks(field)), "unmarked")
            out[name] = f"({mark}{size})"
        else:
            out[name] = _visible(value)
    return out


def _visible(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return visible(value)
    if isinstance(value, list | tuple):
        return [_visible(v) for v in value]
    return value.value if isinstance(value, Enum) else value


def _headers(record: Record) -> dict[str, str]:
    """What a broken record's headers say it is, where that can only be the hub's own words."""
    given = {k: (v or b"").decode(errors="replace") for k, v in record.headers}
    checked = {
        "id": _if(_MADE_ID, given.get("ce_id", "")),
        "source": _if(_SOURCE, given.get("ce_source", "")),
        "type": given.get("ce_type", "") if given.get("ce_type") in by_type() else None,
        "correlationid": _if(_MADE_ID, given.get("ce_correlationid", "")),
    }
    return {name: value for name, value in checked.items() if value}


def _if(shape: re.Pattern[str], text: str) -> str | None:
    return text if shape.fullmatch(text) else None


def _print(shown: dict[str, Any]) -> None:
    remarks = shown["remarks"]
    key = shown["key"] or f"({shown['key_bytes']} bytes)"
    typer.echo(f"offset {shown['offset']}  died {output.plain(shown['died_at'])}  key {key}")
    said = "  ".join(f"{k}={v}" for k, v in remarks.items() if k != "dead-at")
    typer.echo(f"  {said or 'no remarks'}")
    if shown["valid"]:
        typer.echo(f"  a valid event of {shown['value_bytes']} bytes")
    else:
        typer.echo(
            f"  no valid event ({shown['value_bytes']} bytes): {'; '.join(shown['problems'])}"
        )
    for name, value in {**shown["event"], **(shown["data"] or {})}.items():
        text = value
        if isinstance(value, dict | list):
            text = json_module.dumps(value, ensure_ascii=False, default=str)
        elif isinstance(value, datetime):
            text = value.isoformat()
        typer.echo(f"    {name}: {output.plain(text)}")


def _export(path: Path, record: Record) -> None:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise Refused(f"cannot create {path} ({error.strerror}); name a new file") from None
    with os.fdopen(handle, "wb") as file:
        file.write(record.value or b"")
    sys.stderr.write(
        "wasl: the file holds the record as it was sent: treat it as personal data, keep it off "
        "shared disks, delete it when done\n"
    )
    typer.echo(f"{len(record.value or b'')} bytes written to {path}")
