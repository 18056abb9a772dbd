# SPDX-License-Identifier: Apache-2.0
"""Which banks know a fingerprint. What a service calls in its own process; it opens no picture.

A :class:`Matcher` follows what is published: each look-up asks whether something new is in place
and then works on that from beginning to end. What cannot be opened is logged once, and the index
before it keeps serving.
"""

import heapq
import logging
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from wasl_schemas.base import Model

from wasl_triage.matching.banks import Bank
from wasl_triage.matching.hashes import NEAR, HashError, Kind, parse
from wasl_triage.matching.index import SHARE, Index, IndexFileError, Near
from wasl_triage.matching.publishing import CURRENT, Manifest, current, folder

log = logging.getLogger(__name__)

#: Matches told of one fingerprint, nearest first.
LIMIT = 100


class Match(Model):
    """A fingerprint is in a bank. ``fingerprint``: its place among those asked for."""

    fingerprint: int
    bank: str
    title: str
    category: str
    confidence: Literal["high", "medium", "low"]
    kind: Kind
    #: The hash in the bank, by its public name; the same for ever.
    entry: str
    #: Differing bits, 0 to 31 for PDQ; 0 for the others.
    distance: int
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """About one fingerprint. ``more``: there were further matches, none nearer than these."""

    matches: tuple[Match, ...]
    more: bool = False


class FingerprintError(HashError):
    """``place``: of the wrong one among those given."""

    def __init__(self, place: int, what: str) -> None:
        super().__init__(f"fingerprint {place}: {what}")
        self.place = place
        self.what = what


#: Distance, number of the part, row.
_Hit = tuple[int, int, int]


def _hits(number: int, sorted_hits: Near) -> Iterator[_Hit]:
    """Piece by piece: in a crowd there are very many, and few are told."""
    for start in range(0, len(sorted_hits), 256):
        for _, row, distance in sorted_hits[start : start + 256].tolist():
            yield distance, number, row


class View:
    """One published state, unchanging."""

    def __init__(self, manifest: Manifest, base: Index, overlay: Index | None) -> None:
        self.manifest = manifest
        self._base = base
        self._parts = [base] if overlay is None else [base, overlay]
        self._banks: list[Bank | None] = [shelved.bank for shelved in manifest.banks]
        self._removed = (
            {}
            if overlay is None
            else {kind: table.removed for kind, table in overlay.tables.items()}
        )

    @classmethod
    def open(cls, directory: Path) -> "View | None":
        """What is in place, None before the first build. Raises :class:`IndexFileError`."""
        for _ in range(3):  # two switches while we open, and the first one's file is gone
            manifest = current(directory)
            if manifest is None:
                return None
            where = folder(directory)
            try:
                return cls(
                    manifest,
                    Index.open(where / manifest.base),
                    None if manifest.overlay is None else Index.open(where / manifest.overlay),
                )
            except FileNotFoundError:
                missing = manifest
        raise IndexFileError(folder(directory) / missing.base, "or its overlay is missing")

    def warm(self) -> None:
        """Have compiled what looks up, so that no look-up waits for it."""
        for part in self._parts:
            part.near([bytes(32)])

    def lookup(self, asked: Sequence[tuple[Kind, bytes]], limit: int) -> list[Answer]:
        near = [place for place, (kind, _) in enumerate(asked) if kind == "pdq"]
        threads = min(4, os.cpu_count() or 1) if len(near) >= SHARE else 1
        found: list[list[Iterable[_Hit]]] = [[] for _ in asked]
        for number, part in enumerate(self._parts):
            hits = part.near([asked[place][1] for place in near], NEAR, threads=threads)
            hits = hits[np.lexsort((hits[:, 1], hits[:, 2], hits[:, 0]))]
            bounds = np.searchsorted(hits[:, 0], np.arange(len(near) + 1))
            for query, place in enumerate(near):
                if bounds[query] < bounds[query + 1]:
                    found[place].append(_hits(number, hits[bounds[query] : bounds[query + 1]]))
            for place, (kind, value) in enumerate(asked):
                row = None if kind == "pdq" else part.tables[kind].exact(value)
                if row is not None:
                    found[place].append([(0, number, row)])
        return [
            self._answer(place, kind, heapq.merge(*found[place]), limit)
            for place, (kind, _) in enumerate(asked)
        ]

    def _answer(self, place: int, kind: Kind, found: Iterable[_Hit], limit: int) -> Answer:
        matches: dict[str, Match] = {}
        for distance, number, row in found:
            for bank, value, tags in self._entries(kind, number, row):
                entry = bank.entry(kind, value)
                if not bank.takes(entry):
                    continue
                known = matches.get(entry)
                if known is None and len(matches) == limit:
                    return Answer(tuple(matches.values()), more=True)
                matches[entry] = Match(
                    fingerprint=place,
                    bank=bank.id,
                    title=bank.title,
                    category=bank.category,
                    confidence=bank.confidence,
                    kind=kind,
                    entry=entry,
                    distance=distance,
                    tags=tuple(sorted({*tags, *(known.tags if known else ())})),
                )
        return Answer(tuple(matches.values()))

    def _entries(
        self, kind: Kind, number: int, row: int
    ) -> Iterable[tuple[Bank, bytes, tuple[str, ...]]]:
        part = self._parts[number]
        table = part.tables[kind]
        gone = self._removed.get(kind) if number == 0 else None
        for entry in table.entries(row):
            if gone is not None and len(gone):
                at = int(np.searchsorted(gone, entry))
                if at < len(gone) and gone[at] == entry:
                    continue
            bank = self._banks[int(table.bank[entry])]
            if bank is not None:
                yield bank, table.hashes[row].tobytes(), part.tags[int(table.tags[entry])]


class Matcher:
    """Looks fingerprints up; from any thread. Made by :meth:`open`."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._seen: tuple[int, int] | None = None
        self._view: View | None = None
        self._lock = threading.Lock()
        #: Whether what is in place now could be opened.
        self.healthy = True
        self.view()

    @classmethod
    def open(cls, directory: Path | None) -> "Matcher":
        """Without a directory, or before anything is built there, no fingerprint is known."""
        return cls(directory)

    def view(self) -> View | None:
        """What is in place now, or the last that could be opened."""
        if self._directory is None:
            return None
        try:
            status = (folder(self._directory) / CURRENT).stat()
            now = (status.st_ino, status.st_mtime_ns)
        except OSError:
            return self._view
        # One thread opens what is new; the others go on with what there is.
        if now != self._seen and self._lock.acquire(blocking=False):
            try:
                self._follow(self._directory)
                self._seen = now
            finally:
                self._lock.release()
        return self._view

    def _follow(self, directory: Path) -> None:
        try:
            view = View.open(directory)
            if view is not None:
                view.warm()
        except (IndexFileError, OSError) as error:
            self.healthy = False
            log.error("the new index is refused", extra={"reason": str(error)})
            return
        self.healthy = True
        self._view = view

    def lookup(self, fingerprints: Sequence[str]) -> list[Match]:
        """Every match of ``pdq:…``, ``md5:…``, ``sha256:…``, in the order asked, nearest first.

        At most :data:`LIMIT` for each. Raises :class:`FingerprintError`.
        """
        return [match for answer in self.answers(fingerprints) for match in answer.matches]

    def answers(self, fingerprints: Sequence[str], limit: int = LIMIT) -> list[Answer]:
        """For each fingerprint its matches, ``limit`` at most. Raises :class:`FingerprintError`."""
        asked = []
        for place, text in enumerate(fingerprints):
            try:
                asked.append(parse(text))
            except HashError as error:
                raise FingerprintError(place, str(error)) from None
        view = self.view()
        return [Answer(())] * len(asked) if view is None else view.lookup(asked, limit)
