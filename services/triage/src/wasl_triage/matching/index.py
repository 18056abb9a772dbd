# SPDX-License-Identifier: Apache-2.0
"""Known hashes in one immutable file that any number of processes map and none loads.

PDQ: every hash within 31 bits, by 16 chunks of 16 bits (31 < 16 x 2, so one chunk is within one
bit) whose buckets hold 96 bits of each candidate in place: a candidate that is none costs no jump
through memory. MD5 and SHA-256: by halving the sorted table. A file that is cut off, of another
version or inconsistent is refused with its name and the fix.
"""

import json
import mmap
import os
import zlib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from struct import Struct
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from wasl_triage.matching.hashes import KINDS, NEAR, WIDTH, Kind

MAGIC: Final = b"WASLHASH"
VERSION: Final = 1
#: Up to so many PDQ hashes are read one by one; 16 indexes over them would not be faster.
FLAT: Final = 50_000
#: Queries of one call from which a second thread pays.
SHARE: Final = 16
_PREFIX = Struct("<8sIII")
_HEADER, _PAGE = 16384, 4096
#: What follows the hash in a row: the numbers of its bank and of its tags.
_SUFFIX = Struct(">HI")
#: Sections a reader checks whenever it opens the file; the others are checked by `verify`.
_SMALL: Final = ("tags", "pdq.offsets")

Bytes = NDArray[np.uint8]
#: Of entries, ascending.
Numbers = NDArray[np.uint32]
#: Sorted entries: uint8[n, width + 6], each once.
Rows = Mapping[Kind, Bytes]
#: For each kind the entries that went, and the rows that came.
Changes = Mapping[Kind, tuple[Numbers, Bytes]]
#: Columns: query, row, distance.
Near = NDArray[np.int64]


class IndexFileError(Exception):
    """The file is no index this release can read. Names it and the fix."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(
            f"{path}: {what}; build it again with 'wasl-triage-matching build --full'"
            " (what was in place keeps serving until then)"
        )


@dataclass(slots=True)
class Records:
    """What is to be indexed, as it is read: hash, bank and tags of every entry.

    ``banks`` and ``tags`` may be given to keep the numbers of an earlier index.
    """

    banks: list[str] = field(default_factory=list)
    tags: list[tuple[str, ...]] = field(default_factory=list)
    _rows: dict[Kind, bytearray] = field(default_factory=dict)
    _tag_numbers: dict[tuple[str, ...], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._tag_numbers = {tags: number for number, tags in enumerate(self.tags)}

    def bank(self, name: str) -> int:
        if name not in self.banks:
            self.banks.append(name)
        return self.banks.index(name)

    def add(self, kind: Kind, value: bytes, bank: int, tags: tuple[str, ...] = ()) -> None:
        number = self._tag_numbers.get(tags)
        if number is None:
            number = self._tag_numbers[tags] = len(self.tags)
            self.tags.append(tags)
        self._rows.setdefault(kind, bytearray()).extend(value + _SUFFIX.pack(bank, number))

    def keep(self, kind: Kind, rows: Bytes) -> None:
        """Add entries of an index whose numbers these are."""
        self._rows.setdefault(kind, bytearray()).extend(rows.tobytes())

    def mark(self) -> dict[Kind, int]:
        """How far this is, to come :meth:`back_to`."""
        return {kind: len(rows) for kind, rows in self._rows.items()}

    def back_to(self, place: Mapping[Kind, int]) -> None:
        for kind, rows in self._rows.items():
            del rows[place.get(kind, 0) :]

    def rows(self) -> dict[Kind, Bytes]:
        """For each kind the entries, sorted and each once: uint8[n, width + 6]."""
        return {
            kind: _canonical(
                np.frombuffer(self._rows.get(kind, b""), np.uint8).reshape(
                    -1, WIDTH[kind] + _SUFFIX.size
                )
            )
            for kind in KINDS
        }


def _columns(rows: Bytes) -> list[NDArray[np.uint64]]:
    """The rows as numbers of 64 bits, most significant first."""
    wide = np.zeros((len(rows), -(-rows.shape[1] // 8) * 8), np.uint8)
    wide[:, : rows.shape[1]] = rows
    words = wide.view(">u8")
    return [words[:, c].astype(np.uint64) for c in range(words.shape[1])]


def _canonical(rows: Bytes) -> Bytes:
    """Sorted, each row once. The first 64 bits decide nearly always, so they are sorted alone."""
    if len(rows) < 2:
        return rows.copy()
    columns = _columns(rows)
    order = np.argsort(columns[0], kind="stable")
    first = columns[0][order]
    same = first[1:] == first[:-1]
    tied = np.zeros(len(rows), np.bool_)
    tied[1:] |= same
    tied[:-1] |= same
    if tied.any():
        among = order[tied]
        order[tied] = among[np.lexsort([column[among] for column in reversed(columns)])]
    differs = np.ones(len(rows), np.bool_)
    differs[1:] = ~same
    for column in columns[1:]:
        taken = column[order]
        differs[1:] |= taken[1:] != taken[:-1]
    result: Bytes = rows[order[differs]]
    return result


@dataclass(frozen=True, slots=True)
class _Section:
    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int

    @property
    def size(self) -> int:
        return int(np.dtype(self.dtype).itemsize * np.prod(self.shape, dtype=np.int64))


def write(
    path: Path,
    rows: Rows,
    tags: Sequence[tuple[str, ...]],
    removed: Mapping[Kind, Numbers] | None = None,
    threads: int = 2,
) -> None:
    """Write a new file, synced to disk; nobody may read ``path`` before this returns.

    ``rows``: as :meth:`Records.rows` gives them. ``removed``: numbers of entries of another file
    that this one takes back, ascending.
    """
    words = json.dumps([list(t) for t in tags]).encode()
    starts = {kind: _starts(rows[kind], WIDTH[kind]) for kind in KINDS}
    shapes: list[tuple[str, str, tuple[int, ...]]] = [("tags", "u1", (len(words),))]
    for kind in KINDS:
        count, entries = len(starts[kind]) - 1, len(rows[kind])
        shapes += [
            (f"{kind}.hashes", "u1", (count, WIDTH[kind])),
            (f"{kind}.start", "<u4", (count + 1,)),
            (f"{kind}.bank", "<u2", (entries,)),
            (f"{kind}.tags", "<u4", (entries,)),
            (f"{kind}.removed", "<u4", (len((removed or {}).get(kind, ())),)),
        ]
    count = len(starts["pdq"]) - 1
    chunks = 16 if count > FLAT else 0
    shapes += [
        ("pdq.offsets", "<u4", (chunks, 65537)),
        ("pdq.ids", "<u4", (chunks, count)),
        ("pdq.sketch", "<u4", (chunks or 1, -(-count // 16), 3, 16)),
    ]
    sections, end = [], _HEADER
    for name, dtype, shape in shapes:
        section = _Section(name, dtype, shape, end)
        sections.append(section)
        end += -(-section.size // _PAGE) * _PAGE
    with path.open("w+b") as file:
        file.truncate(end)
        memory = mmap.mmap(file.fileno(), end)  # closed with the last view into it
        arrays = {s.name: _view(memory, s) for s in sections}
        arrays["tags"][:] = np.frombuffer(words, np.uint8)
        for kind in KINDS:
            _fill_table(arrays, kind, rows[kind], starts[kind])
            if removed is not None and kind in removed:
                arrays[f"{kind}.removed"][:] = removed[kind]
        _fill_pdq(arrays, count, chunks, threads)
        head = {
            "sections": [
                [s.name, s.dtype, s.shape, s.offset, zlib.crc32(arrays[s.name].data.cast("B"))]
                if s.size
                else [s.name, s.dtype, s.shape, s.offset, 0]
                for s in sections
            ],
            "size": end,
        }
        text = json.dumps(head).encode()
        memory.flush()
        memory[_PREFIX.size : _PREFIX.size + len(text)] = text
        memory[: _PREFIX.size] = _PREFIX.pack(MAGIC, VERSION, len(text), zlib.crc32(text))
        memory.flush()
        os.fsync(file.fileno())


def _starts(rows: Bytes, width: int) -> NDArray[np.uint32]:
    """Where each hash begins among the sorted rows, and the end of all."""
    if not len(rows):
        return np.zeros(1, np.uint32)
    differs = np.ones(len(rows), np.bool_)
    differs[1:] = False
    for column in _columns(rows[:, :width]):
        differs[1:] |= column[1:] != column[:-1]
    found = np.flatnonzero(differs)
    return np.append(found, len(rows)).astype(np.uint32)


def _view(memory: Any, section: _Section) -> NDArray[Any]:
    return np.frombuffer(
        memory, section.dtype, int(np.prod(section.shape, dtype=np.int64)), section.offset
    ).reshape(section.shape)


def _fill_table(
    arrays: Mapping[str, NDArray[Any]], kind: Kind, rows: Bytes, start: NDArray[np.uint32]
) -> None:
    width = WIDTH[kind]
    arrays[f"{kind}.start"][:] = start
    arrays[f"{kind}.hashes"][:] = rows[start[:-1], :width]
    suffix = np.ascontiguousarray(rows[:, width:])
    arrays[f"{kind}.bank"][:] = np.ascontiguousarray(suffix[:, :2]).view(">u2").ravel()
    arrays[f"{kind}.tags"][:] = np.ascontiguousarray(suffix[:, 2:]).view(">u4").ravel()


def _fill_pdq(arrays: Mapping[str, NDArray[Any]], count: int, chunks: int, threads: int) -> None:
    hashes = arrays["pdq.hashes"]
    words = hashes.reshape(-1).view("<u4").reshape(count, 8)
    if not chunks:
        lanes = arrays["pdq.sketch"][0].transpose(0, 2, 1).reshape(-1, 3)  # a copy, row by row
        lanes[:count] = words[:, [1, 3, 6]]
        arrays["pdq.sketch"][0] = lanes.reshape(-1, 16, 3).transpose(0, 2, 1)
        return
    kernels = _kernels()
    halves = hashes.reshape(-1).view("<u2").reshape(count, 16)
    with ThreadPoolExecutor(threads) as pool:
        done = pool.map(
            lambda k: kernels.fill(
                halves, words, k, arrays["pdq.offsets"][k], arrays["pdq.sketch"][k],
                arrays["pdq.ids"][k],
            ),
            range(chunks),
        )  # fmt: skip
        for _ in done:
            pass


def _kernels() -> Any:
    """Imported late: numba takes a third of a second, and a desk without banks needs none of it."""
    from wasl_triage.matching import kernels  # noqa: PLC0415

    return kernels


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "matching")


@dataclass(frozen=True, slots=True)
class Table:
    """The entries of one kind. ``hashes``: uint8[n, width], sorted, each once."""

    hashes: Bytes
    start: NDArray[np.uint32]
    bank: NDArray[np.uint16]
    tags: NDArray[np.uint32]
    #: Numbers of entries of the file underneath that this one takes back.
    removed: NDArray[np.uint32]

    def __len__(self) -> int:
        return len(self.hashes)

    def entries(self, row: int) -> range:
        """The numbers of the entries of a hash, one a bank and tags."""
        return range(int(self.start[row]), int(self.start[row + 1]))

    def exact(self, value: bytes) -> int | None:
        """The row of this very hash."""
        low, high = 0, len(self.hashes)
        while low < high:
            middle = (low + high) // 2
            if self.hashes[middle].tobytes() < value:
                low = middle + 1
            else:
                high = middle
        if low < len(self.hashes) and self.hashes[low].tobytes() == value:
            return low
        return None

    def rows(self) -> Bytes:
        """The entries as they were written: uint8[n, width + 6]."""
        out = np.empty((len(self.bank), self.hashes.shape[1] + _SUFFIX.size), np.uint8)
        start = self.start.astype(np.int64)
        out[:, : self.hashes.shape[1]] = np.repeat(self.hashes, start[1:] - start[:-1], axis=0)
        out[:, -6:-4] = self.bank.astype(">u2").view(np.uint8).reshape(-1, 2)
        out[:, -4:] = self.tags.astype(">u4").view(np.uint8).reshape(-1, 4)
        return out


class Index:
    """An open file. Reading is safe from any number of threads; :meth:`open` makes one."""

    def __init__(self, path: Path, sections: Mapping[str, NDArray[Any]], sums: Any) -> None:
        self.path = path
        self._sections = sections
        self._sums: dict[str, int] = sums
        self.tags = [tuple(t) for t in json.loads(sections["tags"].tobytes())]
        self.tables: dict[Kind, Table] = {
            kind: Table(
                hashes=sections[f"{kind}.hashes"],
                start=sections[f"{kind}.start"],
                bank=sections[f"{kind}.bank"],
                tags=sections[f"{kind}.tags"],
                removed=sections[f"{kind}.removed"],
            )
            for kind in KINDS
        }
        pdq = sections["pdq.hashes"]
        self._hashes = pdq.reshape(-1).view("<u8").reshape(len(pdq), 4)

    @classmethod
    def open(cls, path: Path) -> "Index":
        """Map the file. Raises :class:`IndexFileError`; FileNotFoundError where there is none."""
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size < _HEADER:
                raise IndexFileError(path, "is cut off")
            memory = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
        magic, version, length, check = _PREFIX.unpack_from(memory)
        if magic != MAGIC:
            raise IndexFileError(path, "is no index, or was never finished")
        if version != VERSION:
            raise IndexFileError(path, f"has format {version}, and this release reads {VERSION}")
        text = memory[_PREFIX.size : _PREFIX.size + length]
        if zlib.crc32(text) != check:
            raise IndexFileError(path, "has a damaged header")
        head = json.loads(text)
        if size != head["size"]:
            raise IndexFileError(path, f"has {size} bytes instead of {head['size']}")
        arrays, sums = {}, {}
        for name, dtype, shape, offset, crc in head["sections"]:
            arrays[name] = _view(memory, _Section(name, dtype, tuple(shape), offset))
            sums[name] = crc
        if hasattr(mmap, "MADV_WILLNEED"):
            memory.madvise(mmap.MADV_WILLNEED)
        _check(path, {name: arrays[name] for name in _SMALL}, sums)
        offsets = arrays["pdq.offsets"]
        count = len(arrays["pdq.hashes"])
        # What the compiled loops follow must lead nowhere else, whatever the sums say.
        if (offsets[:, 1:] < offsets[:, :-1]).any() or (offsets[:, -1] > count).any():
            raise IndexFileError(path, "has a damaged section pdq.offsets")
        return cls(path, arrays, sums)

    def verify(self) -> None:
        """Read all of it against its checksums. Raises :class:`IndexFileError`."""
        _check(self.path, self._sections, self._sums)

    def near(
        self, queries: Sequence[bytes] | Bytes, limit: int = NEAR, *, threads: int = 1
    ) -> Near:
        """Every PDQ hash within ``limit`` bits (at most 31) of each query, in no order.

        Returns int64[found, 3]: number of the query, row, distance.
        """
        if not 0 <= limit <= NEAR:
            raise ValueError(f"a PDQ look-up is exact up to {NEAR} bits, not for {limit}")
        asked = queries if isinstance(queries, np.ndarray) else _matrix(queries)
        if not len(asked) or not len(self._hashes):
            return np.empty((0, 3), np.int64)
        words = np.ascontiguousarray(asked).view("<u8").reshape(-1, 4)
        words.flags.writeable = False  # else numba compiles for arrays of either sort
        if threads < 2 or len(words) < SHARE:
            return self._near(words, limit)
        parts = np.array_split(words, threads)
        shifts = np.cumsum([0, *(len(part) for part in parts[:-1])])
        results = list(_pool(threads).map(lambda part: self._near(part, limit), parts))
        for shift, result in zip(shifts, results, strict=True):
            result[:, 0] += shift
        return np.concatenate(results)

    def _near(self, words: NDArray[np.uint64], limit: int) -> Near:
        search = _kernels().search
        room = 4 * len(words) + 64
        while True:
            out = np.empty((room, 3), np.int64)
            found = search(
                self._hashes,
                self._sections["pdq.offsets"],
                self._sections["pdq.ids"],
                self._sections["pdq.sketch"],
                words,
                limit,
                out,
            )
            if found <= room:
                result: Near = out[:found]
                return result
            room = int(found)


def _matrix(values: Iterable[bytes]) -> Bytes:
    return np.frombuffer(b"".join(values), np.uint8).reshape(-1, WIDTH["pdq"])


def _check(path: Path, sections: Mapping[str, NDArray[Any]], sums: Mapping[str, int]) -> None:
    for name, array in sections.items():
        if array.size and zlib.crc32(array.data.cast("B")) != sums[name]:
            raise IndexFileError(path, f"has a damaged section {name}")


def difference(before: Index, rows: Rows) -> Changes:
    """What ``rows`` are that ``before`` is not; tags and banks have the same numbers in both."""
    kernels = _kernels()
    out: dict[Kind, tuple[Numbers, Bytes]] = {}
    for kind, table in before.tables.items():
        had, has = table.rows(), rows[kind]
        went, came = np.zeros(len(had), np.bool_), np.zeros(len(has), np.bool_)
        kernels.difference(had, has, went, came)
        out[kind] = np.flatnonzero(went).astype(np.uint32), has[came]
    return out
