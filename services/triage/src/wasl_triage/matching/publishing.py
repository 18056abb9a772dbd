# SPDX-License-Identifier: Apache-2.0
"""What is in place: one small file, ``index/CURRENT``, names the index, its overlay and the banks.

A new index is written aside, read back against its checksums, and put in place by renaming
``CURRENT``. Few changes go into an overlay: hashes that came, entries that went. A reader has what
it opened until it looks again; files are unlinked, never changed, so nothing is torn under it.
"""

import contextlib
import fcntl
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError
from wasl_schemas.base import Model

from wasl_triage.matching import exchanges
from wasl_triage.matching.banks import Bank, BankError, FileSource, Reading, load
from wasl_triage.matching.hashes import KINDS, Kind
from wasl_triage.matching.index import (
    FLAT,
    Changes,
    Index,
    IndexFileError,
    Numbers,
    Records,
    Rows,
    difference,
    write,
)

FOLDER, CURRENT = "index", "CURRENT"


class Shelved(Model):
    """A bank in place. ``bank`` is None where banks.toml names it no more."""

    id: str
    bank: Bank | None
    hashes: int = 0
    refused: dict[str, int] = Field(default_factory=dict)
    #: When its exchange was last heard to the end.
    synced_at: datetime | None = None
    #: Its list could not be read at the last build: it has the hashes of an earlier one.
    kept: bool = False


class Manifest(Model):
    """``CURRENT``. The banks stand in the order of their numbers in the index."""

    version: Literal[1] = 1
    build: str
    built_at: datetime
    base: str
    overlay: str | None
    banks: tuple[Shelved, ...]


@dataclass(frozen=True, slots=True)
class Published:
    """What became of a build: nothing had changed, an overlay, or the whole index."""

    how: Literal["unchanged", "overlay", "whole"]
    manifest: Manifest
    added: int = 0
    removed: int = 0
    #: Banks that could not be read and keep what they had: what is wrong, and the fix.
    kept: tuple[str, ...] = ()


def folder(directory: Path) -> Path:
    return directory / FOLDER


def current(directory: Path) -> Manifest | None:
    """What is in place, None before the first build. Raises :class:`IndexFileError`."""
    path = folder(directory) / CURRENT
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError:
        raise IndexFileError(path, "is not what a build writes") from None


@contextlib.contextmanager
def alone(directory: Path) -> Iterator[None]:
    """One writer at a time, over all processes of the machine."""
    folder(directory).mkdir(parents=True, exist_ok=True)
    with (folder(directory) / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@dataclass(slots=True)
class _Desired:
    records: Records
    shelved: dict[str, Shelved] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def banks(self) -> tuple[Shelved, ...]:
        """In the order of their numbers."""
        names = self.records.banks
        return tuple(self.shelved.get(n) or Shelved(id=n, bank=None) for n in names)


def publish(directory: Path, now: datetime, *, full: bool = False) -> Published:
    """Put in place what banks.toml, its files and the exchanges' state say.

    A bank whose list is wrong keeps the hashes it had, and ``kept`` says why; others do not wait
    for it. ``full``: write the whole index, whatever there is. Raises :class:`BankError`
    (banks.toml is wrong, or a list is wrong and there is nothing before it), OSError (the disk);
    then what was in place stays.
    """
    with alone(directory):
        before = None if full else current(directory)
        base = None if before is None else Index.open(folder(directory) / before.base)
        desired = _read(directory, before, base)
        rows = desired.records.rows()
        if before is not None and base is not None:
            changes = difference(base, rows)
            added = sum(len(came) for _, came in changes.values())
            removed = sum(len(went) for went, _ in changes.values())
            if max(added, removed) <= FLAT:
                return _overlaid(directory, before, desired, changes, now=now)
        made = _name("base")
        _written(folder(directory) / made, rows, desired.records.tags, None)
        manifest = _manifest(now, made, None, desired.banks())
        _in_place(directory, manifest)
        total = sum(map(len, rows.values()))
        return Published("whole", manifest, total, kept=tuple(desired.wrong))


def _overlaid(
    directory: Path, before: Manifest, desired: _Desired, changes: Changes, *, now: datetime
) -> Published:
    banks = desired.banks()
    came = {kind: changes[kind][1] for kind in KINDS}
    went = {kind: changes[kind][0] for kind in KINDS}
    added, removed = sum(map(len, came.values())), sum(map(len, went.values()))
    made = None
    if added or removed:
        made = _name("overlay")
        _written(folder(directory) / made, came, desired.records.tags, went)
        if before.overlay is not None and _same(folder(directory), before.overlay, made):
            (folder(directory) / made).unlink()
            made = before.overlay
    if made == before.overlay and banks == before.banks:
        return Published("unchanged", before, kept=tuple(desired.wrong))
    manifest = _manifest(now, before.base, made, banks)
    _in_place(directory, manifest)
    return Published("overlay", manifest, added, removed, tuple(desired.wrong))


def _same(where: Path, one: str, other: str) -> bool:
    try:
        return (where / one).read_bytes() == (where / other).read_bytes()
    except FileNotFoundError:
        return False


def _read(directory: Path, before: Manifest | None, base: Index | None) -> _Desired:
    """All hashes there should be, numbered as in the index in place."""
    records = (
        Records(banks=[s.id for s in before.banks], tags=list(base.tags))
        if before is not None and base is not None
        else Records()
    )
    desired = _Desired(records)
    for bank in load(directory):
        place = records.mark()
        try:
            desired.shelved[bank.id] = _read_bank(directory, bank, records)
        except BankError as error:
            had = next((s for s in before.banks if s.id == bank.id), None) if before else None
            if before is None or base is None or had is None or had.bank is None:
                raise
            records.back_to(place)
            _keep(folder(directory), before, base, records, bank.id)
            desired.shelved[bank.id] = had.model_copy(update={"bank": bank, "kept": True})
            desired.wrong.append(str(error))
    return desired


def _keep(where: Path, before: Manifest, base: Index, records: Records, name: str) -> None:
    """The hashes a bank has in what is in place."""
    number = records.bank(name)
    overlay = None if before.overlay is None else Index.open(where / before.overlay)
    for kind, table in base.tables.items():
        mine = table.bank == number
        if overlay is not None:
            mine[overlay.tables[kind].removed] = False
        records.keep(kind, table.rows()[mine])
    if overlay is not None:
        for kind, table in overlay.tables.items():
            for row in range(len(table)):
                for entry in table.entries(row):
                    if table.bank[entry] == number:
                        tags = overlay.tags[int(table.tags[entry])]
                        records.add(kind, table.hashes[row].tobytes(), number, tags)


def _read_bank(directory: Path, bank: Bank, records: Records) -> Shelved:
    number = records.bank(bank.id)
    count, synced_at, refused = 0, None, {}
    source: Iterable[tuple[Kind, bytes, tuple[str, ...]]]
    if isinstance(bank.source, FileSource):
        source = reading = Reading(directory / bank.source.path, bank.kinds)
        refused = reading.refused
    else:
        state = exchanges.State(directory, bank)
        source = (known for known in state.known() if known[0] in bank.kinds)
        synced_at = state.synced_at()
    for kind, value, tags in source:
        records.add(kind, value, number, tags)
        count += 1
    return Shelved(id=bank.id, bank=bank, hashes=count, refused=refused, synced_at=synced_at)


def _name(kind: str) -> str:
    return f"{kind}-{uuid.uuid4().hex}.hashes"


def _manifest(
    now: datetime, base: str, overlay: str | None, banks: tuple[Shelved, ...]
) -> Manifest:
    return Manifest(build=uuid.uuid4().hex, built_at=now, base=base, overlay=overlay, banks=banks)


def _written(
    path: Path,
    rows: Rows,
    tags: Sequence[tuple[str, ...]],
    removed: Mapping[Kind, Numbers] | None,
) -> None:
    """Written, synced and read back: what is named by CURRENT has been whole at least once."""
    aside = path.with_suffix(".part")
    try:
        write(aside, rows, tags, removed)
        Index.open(aside).verify()
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    aside.rename(path)


def _in_place(directory: Path, manifest: Manifest) -> None:
    """The switch; afterwards what neither this nor the last manifest names goes."""
    where = folder(directory)
    try:
        last = current(directory)
    except IndexFileError:
        last = None
    aside = where / f"{CURRENT}.part"
    with aside.open("wb") as file:
        file.write(manifest.model_dump_json().encode())
        file.flush()
        os.fsync(file.fileno())
    aside.rename(where / CURRENT)
    descriptor = os.open(where, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    kept = {n for m in (last, manifest) if m is not None for n in (m.base, m.overlay)}
    for path in (*where.glob("*.hashes"), *where.glob("*.part")):
        if path.name not in kept:
            path.unlink(missing_ok=True)
