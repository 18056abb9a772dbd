# SPDX-License-Identifier: Apache-2.0
"""Reports are accepted while the database is away: kept on a local disk, then committed in order.

A record is exactly what the commit would have written, so its words are sealed already. It is on
the disk before the receipt is shown, and forgotten only after it is in the database. Whether a
commit whose answer was lost did happen need not be known: the drain finds the report and drops the
copy. What can never be committed is set aside for a person; nothing is lost in silence.
"""

import asyncio
import base64
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

from wasl_chassis.clock import Clock
from wasl_chassis.failures import Conflict, Locked, Overloaded, Permanent, Retryable
from wasl_chassis.metrics import Metrics
from wasl_chassis.settings import SettingsError
from wasl_chassis.store import Changes, OutboxRow, Store
from wasl_chassis.vault import KEYS, derive

from wasl_intake import metrics as measure
from wasl_intake.journal import Disk, Full, Journal, Place, WrongKey
from wasl_intake.repository import ALL, REPORTS, UNHEARD, Unheard

log = logging.getLogger(__name__)
T = TypeVar("T")

#: Seconds a person waits for the database before the spool takes the report.
PATIENCE = 2.0
#: Records of one turn: they share a transaction.
BATCH = 200
#: Records that share a sync; bounds what one write holds in memory.
GROUP = 512
#: Bytes that must be free for us to call ourselves ready.
ROOM = 262_144
_VARIABLE = "WASL_INTAKE_SPOOL"
_COLLECTIONS = {c.name: c for c in (*ALL, KEYS)}


class Hub(Protocol):
    """What the spool needs of the chassis' ``Service``."""

    @property
    def store(self) -> Store: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def metrics(self) -> Metrics: ...
    async def submit(self, uow: Changes) -> None: ...


@dataclass(frozen=True, slots=True)
class Record:
    """One accepted report. ``changes`` holds new documents and events only."""

    report_id: str
    fingerprint: str
    at: datetime
    changes: Changes


@dataclass(frozen=True, slots=True)
class _Entry:
    """A record on the disk."""

    report_id: str
    fingerprint: str
    at: datetime
    place: Place


@dataclass(frozen=True, slots=True)
class _Writing:
    """A record on its way to the disk. ``done``: None once it is there, or what prevented it."""

    record: Record
    payload: bytes
    done: asyncio.Future[Exception | None]


class Spool:
    """``repeat_after``: how long a report may go without a case before intake tells it again."""

    def __init__(self, journal: Journal, hub: Hub, *, limit: int, repeat_after: timedelta) -> None:
        self._journal = journal
        self._hub = hub
        self._limit = limit
        self._repeat_after = repeat_after
        #: By report id, in the order accepted.
        self._entries: dict[str, _Entry] = {}
        self._writing: dict[str, _Writing] = {}
        self._writer: asyncio.Task[None] | None = None
        #: Until a turn reaches the database, nobody is made to wait for it.
        self._away, self._told = True, False
        found = journal.load(self._learn)
        for _ in range(found.damaged):
            measure.record_set_aside(hub.metrics)
        if found.damaged:
            log.error("spooled reports were damaged on the disk", extra={"records": found.damaged})
        if found.torn:
            log.warning("half-written records are dropped", extra={"segments": found.torn})
        if self._entries:
            log.warning("the spool holds reports", extra={"reports": len(self._entries)})
        self._tell()

    @classmethod
    def open(
        cls, folder: Path, hub: Hub, *, master: bytes, limit: int, repeat_after: timedelta
    ) -> Self:
        """The spool in this directory, which it holds until closed. Raises SettingsError."""
        journal = Journal(Disk(folder, _VARIABLE), derive(master, "spool"), limit)
        try:
            return cls(journal, hub, limit=limit, repeat_after=repeat_after)
        except (WrongKey, OSError) as error:
            journal.close()
            if isinstance(error, OSError):
                raise SettingsError(
                    f"{_VARIABLE}: cannot read {folder} ({error.strerror}); repair the disk"
                ) from error
            raise SettingsError(
                f"{_VARIABLE}: {error.args[0]} was written under another WASL_MASTER_KEY; start"
                " with that key until the spool is drained"
            ) from error

    async def close(self) -> None:
        if self._writer is not None:
            await self._writer
        self._journal.close()

    def _learn(self, place: Place, payload: bytes) -> None:
        # Its documents may be of a version this one cannot read; that is the drain's to say.
        body = _body(payload)
        report_id = body["report_id"]
        self._entries[report_id] = _Entry(report_id, body["fingerprint"], body["at"], place)

    # -- taking ----------------------------------------------------------------------------------

    async def attempt(self, commit: Callable[[], Awaitable[T]]) -> T | None:
        """What ``commit`` returns, or None: the database is away, or did not say what it did.

        Nobody waits longer than :data:`PATIENCE`, and nobody at all once one has waited in vain.
        """
        if self._away:
            return None
        try:
            async with asyncio.timeout(PATIENCE):
                return await commit()
        except Conflict:  # who holds the report is not known yet; the drain will find out
            return None
        except (Retryable, TimeoutError) as error:
            self._lost(error)
            return None

    async def held(self, report_id: str) -> str | None:
        """The fingerprint of the spooled report of this id; on the disk when this returns."""
        while (writing := self._writing.get(report_id)) is not None:
            await asyncio.wait((writing.done,))
        entry = self._entries.get(report_id)
        return entry.fingerprint if entry else None

    def not_waiting(self, report_id: str) -> None:
        """Raises Retryable if this report is on its way to the database."""
        if report_id in self._entries or report_id in self._writing:
            raise Retryable("the report waits in the spool", reason="spooled")

    async def put(self, report_id: str, fingerprint: str, changes: Changes) -> str | None:
        """Keep a report; it is on the disk when this returns.

        Returns the fingerprint of the one already held under its id, which stands, or None.
        Raises Overloaded when the spool is full and Retryable when the disk fails.
        """
        earlier = await self.held(report_id)
        if earlier is not None:
            return earlier
        record = Record(report_id, fingerprint, self._hub.clock.now(), changes)
        done: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self._writing[report_id] = _Writing(record, encode(record), done)
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())
        await asyncio.wait((done,))  # whoever goes away takes nothing back
        if (error := done.result()) is not None:
            raise error
        return None

    async def _write(self) -> None:
        """While one group is synced the next gathers."""
        while group := list(islice(self._writing.values(), GROUP)):
            await self._write_group(group)
            self._tell()

    async def _write_group(self, group: Sequence[_Writing]) -> None:
        error: Exception | None = None
        places: list[Place] = []
        try:
            places = await asyncio.to_thread(self._journal.append, [w.payload for w in group])
        except Full:
            if len(group) > 1:  # some may still fit
                for one in group:
                    await self._write_group((one,))
                return
            error = Overloaded("the spool is full", reason="spool_full")
        except OSError as failure:
            log.error("the spool cannot be written", extra={"error": failure.strerror})
            error = Retryable("the spool cannot be written", reason="spool_failed")
        except Exception as failure:  # noqa: BLE001  handed to every caller, who raises it
            error = failure
        for writing, place in zip(group, places, strict=not error):
            r = writing.record
            self._entries[r.report_id] = _Entry(r.report_id, r.fingerprint, r.at, place)
        for writing in group:
            del self._writing[writing.record.report_id]
            writing.done.set_result(error)

    # -- draining --------------------------------------------------------------------------------

    async def turn(self) -> bool:
        """Commit one batch of the oldest. True: there is more, and the database takes it.

        The database's being away is no failure of the loop: gauges, health and an alert tell it.
        """
        batch = list(islice(self._entries.values(), BATCH))
        try:
            if batch:
                return await self._drain(batch)
            if self._away:
                await self._hub.store.ping()
                self._found()
        except Conflict:
            raise
        except Retryable as error:
            self._lost(error)
        finally:
            self._tell()
        return False

    async def _drain(self, batch: Sequence[_Entry]) -> bool:
        payloads = await asyncio.to_thread(self._read, batch)
        work = (self._settle(e, p) for e, p in zip(batch, payloads, strict=True))
        results = await asyncio.gather(*work, return_exceptions=True)
        done: list[_Entry] = []
        failures: list[BaseException] = []
        for entry, result in zip(batch, results, strict=True):
            if result is None:
                done.append(self._entries.pop(entry.report_id))
            elif isinstance(result, Locked | Overloaded):
                continue  # passes by itself
            elif isinstance(result, Retryable) and not isinstance(result, Conflict):
                failures.append(result)
            else:
                failures.insert(0, result)
                # The others are not held up by it.
                self._entries[entry.report_id] = self._entries.pop(entry.report_id)
        if done:
            self._found()
            await asyncio.to_thread(self._journal.forget, [e.place for e in done])
        if failures:
            raise failures[0]
        return len(done) == len(batch) and bool(self._entries)

    def _read(self, batch: Sequence[_Entry]) -> list[bytes | None]:
        """Their payloads; None for one that was changed on the disk since it was written."""
        found: list[bytes | None] = []
        for entry in batch:
            try:
                found.append(self._journal.read(entry.place))
            except ValueError:
                found.append(None)
        return found

    async def _settle(self, entry: _Entry, payload: bytes | None) -> None:
        """Return once the record is in the database, or where a person will look at it."""
        if payload is None:
            self._set_aside(entry, "damaged")
            return
        changes = decode(payload).changes
        now = self._hub.clock.now()
        if entry.at < now - self._repeat_after:
            # The look through the reports nobody answered may be past its time already.
            again = Unheard(report_id=entry.report_id, due_at=now + self._repeat_after)
            doc = {"_id": entry.report_id, "_rev": 1, **UNHEARD.encode(again)}
            changes.inserts.setdefault(UNHEARD, []).append(doc)
        try:
            await self._hub.submit(changes)
        except Conflict:
            found = await self._hub.store.read(REPORTS, [entry.report_id])
            if entry.report_id not in found:
                raise
            if found[entry.report_id]["fingerprint"] == entry.fingerprint:
                return  # committed before: by us, or by another replica
            reason = "differs"
        except Permanent as error:
            if error.reason != "unstorable":
                raise
            reason = error.reason
        else:
            return
        await asyncio.to_thread(self._journal.set_aside, payload)
        self._set_aside(entry, reason)

    def _set_aside(self, entry: _Entry, reason: str) -> None:
        measure.record_set_aside(self._hub.metrics)
        log.error(
            "a spooled report is set aside",
            extra={"report_id": entry.report_id, "reason": reason},
        )

    # -- what operators see ----------------------------------------------------------------------

    def _lost(self, error: Exception) -> None:
        self._away = True
        if not self._told:
            self._told = True
            reason = getattr(error, "reason", "timeout")
            log.error("the database is away, reports are spooled", extra={"reason": reason})

    def _found(self) -> None:
        if self._told:
            log.warning("the database is back", extra={"reports": len(self._entries)})
        self._away, self._told = False, False

    def _tell(self) -> None:
        oldest = min((e.at for e in islice(self._entries.values(), 1)), default=None)
        measure.set_spool(
            self._hub.metrics, len(self._entries), self._journal.size, self._limit, oldest
        )

    async def check(self) -> tuple[bool, str]:
        """Whether reports can be accepted without the database."""
        room = self._journal.size + ROOM <= self._limit
        held = f"spooling: {len(self._entries)} reports, {self._journal.size} bytes"
        return room, held if room else f"full; {held}"


def encode(record: Record) -> bytes:
    """JSON; times and bytes as ``{"$time": ...}`` and ``{"$bytes": ...}``."""
    changes = record.changes
    if changes.replaces or changes.deletes or changes.inbox:
        raise TypeError("only new documents and events can wait in the spool")
    body = {
        "report_id": record.report_id,
        "fingerprint": record.fingerprint,
        "at": record.at,
        "inserts": {c.name: docs for c, docs in changes.inserts.items()},
        "outbox": [
            [r.id, r.topic, r.key, r.value, [list(h) for h in r.headers], r.created]
            for r in changes.outbox
        ],
    }
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"), default=_plain).encode()


def _body(payload: bytes) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(payload, object_hook=_rich)
    return body


def decode(payload: bytes) -> Record:
    """The record. Raises KeyError for a collection this version does not have."""
    body = _body(payload)
    return Record(
        body["report_id"],
        body["fingerprint"],
        body["at"],
        Changes(
            inserts={_COLLECTIONS[name]: docs for name, docs in body["inserts"].items()},
            outbox=[
                OutboxRow(i, topic, key, value, tuple((n, h) for n, h in headers), created)
                for i, topic, key, value, headers, created in body["outbox"]
            ],
        ),
    )


def _plain(value: Any) -> dict[str, str]:
    if isinstance(value, datetime):
        return {"$time": value.isoformat()}
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    raise TypeError(f"{type(value).__name__} cannot wait in the spool")


def _rich(value: dict[str, Any]) -> Any:
    match value:
        case {"$time": str(text)}:
            return datetime.fromisoformat(text)
        case {"$bytes": str(text)}:
            return base64.b64decode(text)
    return value
