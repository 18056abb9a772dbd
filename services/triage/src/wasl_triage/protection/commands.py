# SPDX-License-Identifier: Apache-2.0
"""``wasl audit``, ``wasl retention`` and ``wasl subject-requests``: for operators and auditors.

They work on the database itself, so that the check does not rest on the service it checks. An
export is audited before it is written.
"""

import logging
import zipfile
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from pydantic import Field, SecretStr
from wasl_chassis.clock import Clock
from wasl_chassis.failures import Conflict
from wasl_chassis.metrics import Metrics
from wasl_chassis.operating import (
    Command,
    Commands,
    Desk,
    FileCommand,
    Option,
    Refused,
    Row,
    Wrong,
)
from wasl_chassis.settings import Key32, key_bytes, read
from wasl_chassis.store import Store
from wasl_chassis.vault import Vault
from wasl_chassis.work import UnitOfWork
from wasl_schemas.country_pack import CountryPack, CountryPackError, load_country_pack

from wasl_triage.audit import sealing, verify
from wasl_triage.audit.exporting import Export, NotSealed, key_text, write
from wasl_triage.audit.trail import Stream, journal
from wasl_triage.domain.disclosure import SMALL, Cell
from wasl_triage.domain.retention import AUDIT_CLOCK, Line, clock
from wasl_triage.metrics import METRICS
from wasl_triage.protection.retention import Retention
from wasl_triage.protection.wiring import audit_keys, dependents
from wasl_triage.quality.figures import Figures
from wasl_triage.settings import AuditSettings

log = logging.getLogger(__name__)
T = TypeVar("T")


class AuditCommandSettings(AuditSettings):
    """What sealing and checking need, and no more."""

    kafka_bootstrap_servers: str = Field(default="", validation_alias="KAFKA_BOOTSTRAP_SERVERS")
    mongodb_uri: SecretStr = Field(default=SecretStr(""), validation_alias="MONGODB_URI")
    pepper: SecretStr = SecretStr("")
    master_key: Key32 = Field(description="Wraps the data keys; 32 bytes in base64")


class ProtectionSettings(AuditCommandSettings):
    country_pack: Path = Field(description="Directory of the country pack")


class _Hub:
    """What the use cases need of a service, on a command's database. What is emitted lies in the
    outbox until the service's relay sends it.
    """

    def __init__(self, desk: Desk, settings: AuditCommandSettings) -> None:
        self.store: Store = desk.store
        self.clock: Clock = desk.clock
        self.metrics = Metrics(METRICS)
        self._vault = Vault({"m1": key_bytes(settings.master_key)})

    def unit(self) -> UnitOfWork:
        return UnitOfWork(self.store, self.clock, "/wasl/triage", self._vault)

    async def commit(self, uow: UnitOfWork) -> None:
        await self.store.commit(uow.changes())

    async def transact(self, work: Callable[[UnitOfWork], Awaitable[T]]) -> T:
        for attempt in range(8):
            uow = self.unit()
            result = await work(uow)
            try:
                await self.commit(uow)
            except Conflict:
                await self.clock.sleep(0.01 * (attempt + 1))
                continue
            return result
        raise Conflict("too many others change the same thing")


def _pack(settings: ProtectionSettings) -> CountryPack:
    try:
        return load_country_pack(settings.country_pack)
    except (CountryPackError, OSError) as error:
        raise Refused(f"WASL_COUNTRY_PACK is wrong: {error}") from None


def _day(desk: Desk, option: str) -> date | None:
    given = desk.options.get(option)
    if given is None:
        return None
    try:
        return date.fromisoformat(given)
    except ValueError:
        raise Refused(f"--{option} '{given}' is no day; expected for example 2026-01-31") from None


# -- audit ---------------------------------------------------------------------------------------


async def verify_(desk: Desk, _: str) -> Sequence[Row]:
    settings = read(ProtectionSettings)
    since, day = _day(desk, "since"), _day(desk, "day")
    if since and day:
        raise Refused("--since and --day are two ways to say what to check; give one")
    private, known = audit_keys(settings)
    gone = _gone(_pack(settings), desk.clock.now())
    checker = sealing.Checker(desk.store, known | {sealing.public(private)}, gone)
    found = await (checker.run_day(day) if day else checker.run(since))
    if found:
        raise Wrong([{"day": f.day, "stream": f.stream, "row": f.seq, "why": f.why} for f in found])
    last = (await sealing.seals(desk.store))[-1:]
    return [
        {"what": "days sealed", "value": checker.days},
        {"what": "rows", "value": checker.rows},
        {"what": "findings", "value": 0},
        {"what": "last sealed day", "value": last[0].day if last else None},
        {"what": "its root", "value": last[0].root if last else None},
    ]


def _gone(pack: CountryPack, now: datetime) -> date | None:
    """The last day whose rows may have been erased."""
    rule = clock(pack, AUDIT_CLOCK)
    if rule is None:
        return None
    # Spans of months have no inverse: the first day that is still kept is looked for.
    day = now.astimezone(UTC).date()
    low, high = date(2000, 1, 1), day
    while low < high:
        middle = low + (high - low) // 2
        end = datetime.combine(middle + timedelta(days=1), datetime.min.time(), UTC)
        low, high = (
            (middle + timedelta(days=1), high)
            if pack.due(end, rule.keep) <= now
            else (
                low,
                middle,
            )
        )
    return low - timedelta(days=1)


async def seals_(desk: Desk, _: str) -> Sequence[Row]:
    since = _day(desk, "since") or desk.clock.now().date() - timedelta(days=31)
    private, known = audit_keys(read(AuditCommandSettings))
    own = sealing.public(private)
    return [
        {"day": s.day, "rows": s.rows, "root": s.root, "seal": s.hash, "by": _whose(s, own, known)}
        for s in await sealing.seals(desk.store, since.isoformat())
    ]


def _whose(seal: sealing.Seal, own: str, known: frozenset[str]) -> str:
    """Which key it was signed with: one of ours, or one that nobody named."""
    word = "in use" if seal.key == own else "former" if seal.key in known else "unknown"
    return f"{word} {key_text(seal.key).rpartition(':')[2][:16]}"


async def key(desk: Desk, _: str) -> Sequence[Row]:
    settings = read(AuditCommandSettings)
    private, known = audit_keys(settings)
    own = sealing.public(private)
    days: dict[str, list[str]] = {own: [], **{k: [] for k in sorted(known)}}
    for seal in await sealing.seals(desk.store):
        days.setdefault(seal.key, []).append(seal.day)
    made = "derived from the master key" if settings.triage_audit_key is None else "of its own"
    return [
        {
            "key": "in use" if k == own else "former" if k in known else "unknown",
            "value": key_text(k),
            "made": made if k == own else None,
            "days": len(signed),
            "first": signed[0] if signed else None,
            "last": signed[-1] if signed else None,
        }
        for k, signed in days.items()
    ]


async def export(desk: Desk, _: str) -> Sequence[Row]:
    settings = read(AuditCommandSettings)
    since, until = _day(desk, "since"), _day(desk, "until")
    if since is None or until is None or until < since:
        raise Refused("expected --since DAY --until DAY, the first not after the second")
    case, to = desk.options.get("case"), Path(desk.options["to"])
    wanted = Export(since, until, case)
    private, _known = audit_keys(settings)
    hub = _Hub(desk, settings)

    async def told(uow: UnitOfWork) -> None:
        about = f"{since}..{until}" + (f" {case}" if case else "")
        await journal(uow, Stream.EXPORTS, desk.operator, "export_audit", about)

    await hub.transact(told)
    try:
        rows = await write(desk.store, private, wanted, to, desk.clock.now())
    except NotSealed as error:
        raise Refused(str(error)) from None
    except FileExistsError:
        raise Refused(f"{to} exists; name a new file") from None
    except OSError as error:
        raise Refused(f"{to} cannot be written ({error.strerror})") from None
    return [
        {"what": "file", "value": str(to)},
        {"what": "rows", "value": rows},
        {"what": "key", "value": key_text(sealing.public(private))},
    ]


def check(path: str) -> Sequence[Row]:
    try:
        wrong = verify.check(path)
    except (OSError, zipfile.BadZipFile, KeyError, ValueError, TypeError, LookupError) as error:
        raise Wrong([{"finding": f"the export cannot be read ({type(error).__name__})"}]) from None
    if wrong:
        raise Wrong([{"finding": sentence} for sentence in wrong])
    return [{"finding": "none: compare the key with the one the hub published"}]


# -- retention -----------------------------------------------------------------------------------


def _retention(desk: Desk) -> Retention:
    settings = read(ProtectionSettings)
    hub = _Hub(desk, settings)
    return Retention(
        hub, _pack(settings), holder=f"command-{desk.operator}", mode="on", **dependents()
    )


async def plan(desk: Desk, _: str) -> Sequence[Row]:
    groups: dict[tuple[str, str, str], list[Line]] = defaultdict(list)
    async for line in _retention(desk).plan():
        groups[line.kind, line.data.value, line.stop.value if line.stop else "due"].append(line)
    ids = desk.options.get("ids")
    return [
        {
            "kind": kind,
            "data": data,
            "fate": fate,
            "count": len(lines),
            "oldest_due": min((x.due_at for x in lines if x.due_at), default=None),
            **({"ids": [x.id for x in lines if fate == ids]} if ids else {}),
        }
        for (kind, data, fate), lines in sorted(groups.items())
    ]


async def run(desk: Desk, _: str) -> Sequence[Row]:
    retention = _retention(desk)
    counts: dict[tuple[str, str], int] = defaultdict(int)
    more = True
    while more:
        turn = await retention.turn()
        if turn.busy:
            raise Refused("another process applies retention; try again in ten minutes")
        for line in turn.lines:
            counts[line.kind, line.data.value] += 1
        more = turn.more
    return [{"kind": k, "data": d, "erased": n} for (k, d), n in sorted(counts.items())]


async def register(desk: Desk, _: str) -> Sequence[Row]:
    settings = read(ProtectionSettings)
    hub = _Hub(desk, settings)
    figures = Figures(hub, _pack(settings))
    rows: list[Row] = []
    for month in reversed(figures.months()):
        told = await figures.of(month)
        for what, one in (("kind", told.subject_requests), ("answer", told.subject_answers)):
            rows += [
                {"month": month, "by": what, "value": value, "count": _count(cell)}
                for value, cell in one.rows.items()
            ]
        if told.subject_requests.total.count != 0:
            total = _count(told.subject_requests.total)
            rows.append({"month": month, "by": "all", "value": "", "count": total})
    return rows


def _count(told: Cell) -> str:
    if told.count is not None:
        return str(told.count)
    return f"<{SMALL}" if told.small else "hidden"


_SINCE = Option("since", "DAY", "From this day on, such as 2026-01-31.")
AUDIT: Commands = (
    Command(
        "verify",
        "Recompute every chain and seal. Exit status 1: something was changed, and where.",
        verify_,
        options=(_SINCE, Option("day", "DAY", "This day alone.")),
    ),
    Command(
        "seals",
        "Roots of sealed days, to write down where the hub's operators cannot change them.",
        seals_,
        options=(_SINCE,),
    ),
    Command(
        "key",
        "The public key of the seals, to publish; and which days each key signed.",
        key,
    ),
    Command(
        "export",
        "Write rows with their proofs to a file that can be checked without the hub.",
        export,
        options=(
            Option("since", "DAY", "The first day.", required=True),
            Option("until", "DAY", "The last day, which must be sealed.", required=True),
            Option("case", "ID", "Only this case's rows."),
            Option("to", "FILE", "A new file, such as audit.zip.", required=True),
        ),
    ),
    FileCommand("check", "Check an export; needs no database and no settings.", check),
)
RETENTION: Commands = (
    Command(
        "plan",
        "What would be erased now, and what stops the rest. Changes nothing.",
        plan,
        options=(Option("ids", "FATE", "List ids of this fate: due, held, open …"),),
    ),
    Command("run", "Erase what is due, now.", run),
)
SUBJECT_REQUESTS: Commands = (
    Command("figures", "The register by month, small counts hidden.", register),
)
