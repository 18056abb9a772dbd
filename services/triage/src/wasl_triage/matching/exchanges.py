# SPDX-License-Identifier: Apache-2.0
"""Banks other organisations keep: fetched by the clients of `threatexchange`, kept in SQLite here.

A bank's changes and its checkpoint are committed together when the exchange has told all of them,
because some tell them in no order of time (facebook/ThreatExchange#1744); until then, and when it
fails, the old state stands. StopNCII and NCMEC are mapped here and not by the library: 1.2.17 keeps
hashes StopNCII has withdrawn, and drops the MD5 of NCMEC's pictures.
"""

import contextlib
import dataclasses
import json
import logging
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from wasl_triage.matching.banks import (
    Bank,
    BankError,
    NcmecSource,
    SampleSource,
    StopNciiSource,
    ThreatExchangeSource,
)
from wasl_triage.matching.hashes import HashError, Kind, parse

log = logging.getLogger(__name__)

FOLDER = "state"
#: Seconds without a word after which StopNCII may have forgotten deletions.
STALE = 30 * 86400
_SCHEMA = """
create table if not exists known (
  key text not null, kind text not null, hash blob not null, tags text not null,
  primary key (key, kind, hash)
) without rowid;
create table if not exists mark (
  id integer primary key check (id = 1), checkpoint text not null, synced_at text not null
);
"""
Known = tuple[Kind, bytes, tuple[str, ...]]


class SyncError(Exception):
    """An exchange could not be heard to the end. Its class and status, never an address or key."""


class Page(NamedTuple):
    """Some changes. ``updates``: all that a key of the exchange stands for now; nothing deletes."""

    updates: Mapping[str, tuple[Known, ...]]
    checkpoint: Mapping[str, Any]


class Synced(NamedTuple):
    """What a synchronisation did: keys told of, hashes there are now."""

    updates: int
    hashes: int


class State:
    """What is known of one exchange's bank."""

    def __init__(self, directory: Path, bank: Bank) -> None:
        self._bank = bank
        self._path = directory / FOLDER / f"{bank.id}.sqlite"

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self._path, isolation_level=None)
        try:
            connection.executescript(_SCHEMA)
            yield connection
        except sqlite3.DatabaseError as error:
            raise BankError(
                f"{self._path}: is damaged or locked ({type(error).__name__}); remove it and run"
                " 'wasl-triage-matching sync': the exchange tells everything again"
            ) from error
        finally:
            connection.close()

    def known(self) -> Iterator[Known]:
        """Every hash, once for each key it has."""
        if not self._path.exists():
            return
        with self._open() as connection:
            for kind, value, tags in connection.execute("select kind, hash, tags from known"):
                yield kind, value, tuple(json.loads(tags))

    def synced_at(self) -> datetime | None:
        """When the exchange was last heard to the end."""
        mark = self._mark() if self._path.exists() else None
        return datetime.fromisoformat(mark[1]) if mark else None

    def _mark(self) -> tuple[str, str] | None:
        with self._open() as connection:
            found = connection.execute("select checkpoint, synced_at from mark").fetchone()
        return None if found is None else (found[0], found[1])

    def sync(self, credentials: str | None, now: datetime) -> Synced:
        """Ask the exchange what changed. Raises :class:`SyncError`; then nothing has."""
        mark = self._mark()
        checkpoint = json.loads(mark[0]) if mark else None
        exchange = _exchange(self._bank, credentials)
        if checkpoint is not None and exchange.stale(checkpoint):
            checkpoint = None
        updates = 0
        with self._open() as connection:
            connection.execute("begin immediate")
            if checkpoint is None:
                connection.execute("delete from known")
            last: Mapping[str, Any] | None = checkpoint
            try:
                for page in exchange.pages(checkpoint):
                    updates += len(page.updates)
                    last = page.checkpoint
                    self._apply(connection, page.updates)
            except BankError:
                raise
            except Exception as error:  # whatever a client of others raises, the old state stands
                raise SyncError(_told(self._bank, error)) from error
            connection.execute(
                "insert or replace into mark values (1, ?, ?)",
                (json.dumps(last), now.isoformat()),
            )
            hashes = connection.execute("select count(*) from known").fetchone()[0]
            connection.execute("commit")
        return Synced(updates, hashes)

    def _apply(
        self, connection: sqlite3.Connection, updates: Mapping[str, tuple[Known, ...]]
    ) -> None:
        connection.executemany("delete from known where key = ?", ((key,) for key in updates))
        connection.executemany(
            "insert or replace into known values (?, ?, ?, ?)",
            (
                (key, kind, value, json.dumps(tags))
                for key, known in updates.items()
                for kind, value, tags in known
            ),
        )


def _told(bank: Bank, error: Exception) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    what = type(error).__name__ + (f", status {status}" if status else "")
    fix = (
        "check its credentials"
        if status in (401, 403)
        else "it is asked again with the next synchronisation"
    )
    return f"bank {bank.id}: the exchange was not heard to the end ({what}); {fix}"


class _Exchange:
    """One exchange, ready to be asked."""

    def pages(self, checkpoint: Mapping[str, Any] | None) -> Iterator[Page]:
        raise NotImplementedError

    def stale(self, checkpoint: Mapping[str, Any]) -> bool:
        """Whether it may have forgotten deletions since, so that all has to be told again."""
        raise NotImplementedError


def _exchange(bank: Bank, credentials: str | None) -> _Exchange:
    """Raises :class:`BankError`: the extra is not installed, or the credentials are not there."""
    try:
        import threatexchange  # noqa: F401, PLC0415
    except ImportError as error:
        raise BankError(
            f"bank {bank.id} is kept by an exchange, and its clients are not installed; install"
            " wasl-triage[exchanges] where 'sync' runs"
        ) from error
    makers: dict[type, Any] = {
        NcmecSource: _Ncmec,
        StopNciiSource: _StopNcii,
        ThreatExchangeSource: _threat_exchange,
        SampleSource: _sample,
    }
    if credentials is None and not isinstance(bank.source, SampleSource):
        raise BankError(
            f"bank {bank.id} has no credentials; add it to WASL_MATCHING_CREDENTIALS:"
            ' {"bank": "..."}'
        )
    try:
        made: _Exchange = makers[type(bank.source)](bank, credentials)
    except (ValueError, KeyError) as error:
        raise BankError(
            f"bank {bank.id}: the source or its credentials do not have the expected form; see"
            " docs/architecture/matching.md"
        ) from error
    return made


def _known(kind: Kind, text: str, tags: Iterable[str]) -> tuple[Known, ...]:
    """One hash of an exchange, or none where it is malformed: theirs to correct, not ours."""
    try:
        found, value = parse(text, kind)
    except HashError:
        log.warning("an exchange told a malformed hash", extra={"kind": kind})
        return ()
    return ((found, value, tuple(sorted({str(t) for t in tags}))),)


class _StopNcii(_Exchange):
    """Credentials: ``function key,subscription key`` and, for tests, ``,base address``."""

    def __init__(self, _bank: Bank, credentials: str) -> None:
        from threatexchange.exchanges.clients.stopncii import api  # noqa: PLC0415

        function_key, subscription_key, *base = credentials.strip().split(",")
        self._api = api
        self._client = api.StopNCIIAPI(
            subscription_key, function_key, base_url_override=",".join(base) or None
        )

    def stale(self, checkpoint: Mapping[str, Any]) -> bool:
        return time.time() - float(checkpoint["asked"]) > STALE

    def pages(self, checkpoint: Mapping[str, Any] | None) -> Iterator[Page]:
        asked, since = time.time(), checkpoint["since"] if checkpoint else 10
        for answer in self._client.fetch_hashes_iter(start_timestamp=since):
            yield Page(
                {f"{r.signalType.value}:{r.hashValue}": self._of(r) for r in answer.hashRecords},
                {"since": answer.nextSetTimestamp, "asked": asked},
            )

    def _of(self, record: Any) -> tuple[Known, ...]:
        gone = (self._api.StopNCIICaseStatus.Withdrawn, self._api.StopNCIICaseStatus.Deleted)
        kinds: dict[Any, Kind] = {
            self._api.StopNCIISignalType.ImagePDQ: "pdq",
            self._api.StopNCIISignalType.VideoMD5: "md5",
        }
        kind = kinds.get(record.signalType)
        if kind is None or record.hashStatus in gone:
            return ()
        tags = {tag for feedback in record.CSPFeedbacks for tag in feedback.tags}
        return _known(kind, record.hashValue, tags)


class _Ncmec(_Exchange):
    """Credentials: ``user:password``."""

    def __init__(self, bank: Bank, credentials: str) -> None:
        from threatexchange.exchanges.clients.ncmec import hash_api  # noqa: PLC0415
        from threatexchange.exchanges.impl import ncmec_api  # noqa: PLC0415

        assert isinstance(bank.source, NcmecSource)
        user, colon, password = credentials.strip().partition(":")
        if not colon:
            raise ValueError("user:password")
        self._members = bank.source.members
        self._checkpoint = ncmec_api.NCMECCheckpoint
        environment = hash_api.NCMECEnvironment[bank.source.environment]
        self._api = ncmec_api.NCMECSignalExchangeAPI(
            ncmec_api.NCMECCollabConfig(name=bank.id, environment=environment), user, password
        )

    def stale(self, checkpoint: Mapping[str, Any]) -> bool:  # noqa: ARG002  never forgets
        return False

    def pages(self, checkpoint: Mapping[str, Any] | None) -> Iterator[Page]:
        since = self._checkpoint(checkpoint["since"]) if checkpoint else None
        for delta in self._api.fetch_iter([], since):
            yield Page(
                {key: self._of(entry) for key, entry in delta.updates.items() if entry},
                # A page's own place is of no use: nothing is committed before the last one.
                {"since": delta.checkpoint.get_entries_max_ts},
            )

    def _of(self, entry: Any) -> tuple[Known, ...]:
        if entry.deleted or (self._members and entry.member_id not in self._members):
            return ()
        tags = [f"esp {entry.member_id}"]
        if entry.classification:
            tags.append(str(entry.classification))
        kinds: tuple[Kind, ...] = ("pdq", "md5")
        return tuple(
            known
            for kind in kinds
            if kind in entry.fingerprints
            for known in _known(kind, entry.fingerprints[kind], tags)
        )


class _Mapped(_Exchange):
    """An exchange whose own mapping of `threatexchange` is right."""

    def __init__(self, api: Any, collaboration: Any) -> None:
        from threatexchange.signal_type.md5 import VideoMD5Signal  # noqa: PLC0415
        from threatexchange.signal_type.pdq.signal import PdqSignal  # noqa: PLC0415
        from threatexchange.signal_type.sha256 import VideoSHA256Signal  # noqa: PLC0415

        self._api, self._collaboration = api, collaboration
        self._signals: dict[Any, Kind] = {
            PdqSignal: "pdq",
            VideoMD5Signal: "md5",
            VideoSHA256Signal: "sha256",
        }

    def stale(self, checkpoint: Mapping[str, Any]) -> bool:
        return bool(self._restored(checkpoint).is_stale())

    def _restored(self, checkpoint: Mapping[str, Any]) -> Any:
        return self._api.get_checkpoint_cls()(**checkpoint)

    def pages(self, checkpoint: Mapping[str, Any] | None) -> Iterator[Page]:
        since = None if checkpoint is None else self._restored(checkpoint)
        for delta in self._api.fetch_iter(list(self._signals), since):
            yield Page(
                {_key(key): self._of(key, value) for key, value in delta.updates.items()},
                dataclasses.asdict(delta.checkpoint),
            )

    def _of(self, key: Any, value: Any) -> tuple[Known, ...]:
        if value is None:
            return ()
        mapped = self._api.naive_convert_to_signal_type(
            list(self._signals), self._collaboration, {key: value}
        )
        out: list[Known] = []
        for signal, hashes in mapped.items():
            for text, metadata in hashes.items():
                opinion = metadata.get_as_aggregate_opinion()
                if opinion.category.name != "NEGATIVE_CLASS":
                    out += _known(self._signals[signal], text, opinion.tags)
        return tuple(out)


def _key(key: Any) -> str:
    return ":".join(map(str, key)) if isinstance(key, tuple) else str(key)


def _threat_exchange(bank: Bank, credentials: str) -> _Exchange:
    """Credentials: an application's token, ``id|secret``."""
    from threatexchange.exchanges.impl import fb_threatexchange_api as impl  # noqa: PLC0415

    assert isinstance(bank.source, ThreatExchangeSource)
    made = impl.FBThreatExchangeCredentials(credentials.strip())
    if not made._are_valid():  # noqa: SLF001  the library asks the same of its own
        raise ValueError("id|secret")
    collaboration = impl.FBThreatExchangeCollabConfig(
        name=bank.id, privacy_group=bank.source.privacy_group
    )
    api = impl.FBThreatExchangeSignalExchangeAPI.for_collab(collaboration, made)
    return _Mapped(api, collaboration)


def _sample(bank: Bank, _credentials: str | None) -> _Exchange:
    from threatexchange.exchanges.collab_config import (  # noqa: PLC0415
        CollaborationConfigWithDefaults,
    )
    from threatexchange.exchanges.impl.static_sample import (  # noqa: PLC0415
        StaticSampleSignalExchangeAPI,
    )

    collaboration = CollaborationConfigWithDefaults(name=bank.id)
    return _Mapped(StaticSampleSignalExchangeAPI.for_collab(collaboration), collaboration)


def sync(directory: Path, bank: Bank, credentials: str | None) -> Synced:
    """Bring one bank's state up to date. Raises :class:`SyncError`, :class:`BankError`."""
    return State(directory, bank).sync(credentials, datetime.now(UTC))
