# SPDX-License-Identifier: Apache-2.0
"""Records on a local disk that survive kill -9 and a power cut, and are gone once erased.

A segment is one file: a data key wrapped by the spool's key, then frames, each sealed with
AES-256-GCM and bound to its segment and place. Frames are synced before anybody is told. A file is
only ever appended to by the process that made it, and never after a failed write, so what stands at
a segment's end and is incomplete was never acknowledged. To erase a segment its wrapped key is
overwritten and synced first: copies of freed blocks are noise then.
"""

import fcntl
import os
import struct
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from wasl_chassis.settings import SettingsError

SEGMENT_BYTES = 4_194_304
#: Suffixes: waits to be drained; a person must look at it; holds a frame that does not open.
SPOOL, ASIDE, DAMAGED = ".spool", ".aside", ".damaged"

_MAGIC, _MARK = b"WASLSP01", b"\xf0\x57\x52\xf1"
_NONCE, _TAG, _KEY = 12, 16, 32
_WRAPPED = _NONCE + _KEY + _TAG
#: Magic, wrapped key, CRC-32 of both.
_HEADER = len(_MAGIC) + _WRAPPED + 4
#: Mark, number in the segment, length of what follows, CRC-32 of the three.
_FRAME = struct.Struct(">4sQII")
_CRC = struct.Struct(">I")
#: What a frame adds to its payload.
OVERHEAD = _FRAME.size + _NONCE + _TAG


class Disk:
    """One directory, held by one process. Everything is on the disk when a method returns.

    Raises SettingsError, naming ``variable``, if the directory cannot be made, is not writable, can
    be read by others, or is held by another process.
    """

    def __init__(self, folder: Path, variable: str) -> None:
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with suppress(PermissionError):  # a mounted volume that is only lent to us
                folder.chmod(0o700)
            if folder.stat().st_mode & 0o007:
                raise SettingsError(f"{variable}: others can read {folder}; chmod 700 it")
            self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise SettingsError(
                f"{variable}: cannot use {folder} ({error.strerror}); name a directory this user"
                " can write to, on a disk that outlives the process"
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise SettingsError(
                f"{variable}: another process holds {folder}; give each replica its own"
            ) from error

    def close(self) -> None:
        """Let another process have the directory."""
        os.close(self._lock)

    def names(self) -> list[str]:
        return sorted(p.name for p in self._folder.iterdir() if p.suffix in (SPOOL, ASIDE, DAMAGED))

    def size(self, name: str) -> int:
        return (self._folder / name).stat().st_size

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        with (self._folder / name).open("rb") as file:
            file.seek(offset)
            return file.read() if length is None else file.read(length)

    def create(self, name: str, data: bytes) -> None:
        self._write(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, data)
        self._sync_folder()

    def append(self, name: str, data: bytes) -> None:
        self._write(name, os.O_WRONLY | os.O_APPEND, data)

    def overwrite(self, name: str, offset: int, data: bytes) -> None:
        self._write(name, os.O_WRONLY, data, offset)

    def truncate(self, name: str, size: int) -> None:
        fd = os.open(self._folder / name, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.ftruncate(fd, size)
            os.fsync(fd)
        finally:
            os.close(fd)

    def rename(self, name: str, new: str) -> None:
        (self._folder / name).rename(self._folder / new)
        self._sync_folder()

    def remove(self, name: str) -> None:
        (self._folder / name).unlink(missing_ok=True)
        self._sync_folder()

    def _write(self, name: str, flags: int, data: bytes, offset: int = 0) -> None:
        fd = os.open(self._folder / name, flags | os.O_CLOEXEC, 0o600)
        try:
            if offset:
                os.lseek(fd, offset, os.SEEK_SET)
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
            os.fsync(fd)
        finally:
            os.close(fd)

    def _sync_folder(self) -> None:
        fd = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


class Full(Exception):  # noqa: N818
    """The journal holds as many bytes as it may."""


class WrongKey(Exception):  # noqa: N818
    """A whole segment was written under another master key. ``args[0]``: its name."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record stands."""

    segment: int
    number: int
    offset: int
    size: int


@dataclass(slots=True)
class _Segment:
    number: int
    key: AESGCM
    size: int
    suffix: str = SPOOL
    #: The next frame's number.
    next: int = 0
    #: Frames still needed.
    live: int = 0
    damaged: bool = False

    @property
    def name(self) -> str:
        return f"{self.number:08}{self.suffix}"

    def about(self, number: int) -> bytes:
        """What a frame is sealed with: it opens at its own place only."""
        return b"%d|%d" % (self.number, number)

    def frame(self, number: int, payload: bytes) -> bytes:
        nonce = os.urandom(_NONCE)
        sealed = nonce + self.key.encrypt(nonce, payload, self.about(number))
        head = _FRAME.pack(_MARK, number, len(sealed), 0)[:-4]
        return head + _CRC.pack(zlib.crc32(head)) + sealed

    def open(self, number: int, sealed: bytes) -> bytes:
        return self.key.decrypt(sealed[:_NONCE], sealed[_NONCE:], self.about(number))


@dataclass(slots=True)
class Found:
    """What a start finds."""

    #: Frames, or whole segments, that do not open; their files stay for a person to look at.
    damaged: int = 0
    #: Segments whose last frame was cut off: nobody was told that it was kept.
    torn: int = 0


class Journal:
    """Records in segments. Methods block and may be called from several threads."""

    def __init__(
        self, disk: Disk, key: bytes, limit: int, segment_bytes: int = SEGMENT_BYTES
    ) -> None:
        self._disk = disk
        self._key = AESGCM(key)
        self._limit = limit
        self._segment_bytes = segment_bytes
        self._segments: dict[int, _Segment] = {}
        #: The segments being written by this process, by suffix.
        self._active: dict[str, _Segment] = {}
        self._last = 0
        self._bytes = 0
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        """Bytes of all files, those set aside included."""
        return self._bytes

    def close(self) -> None:
        self._disk.close()

    # -- start ---------------------------------------------------------------------------------

    def load(self, learn: Callable[[Place, bytes], None]) -> Found:
        """Give every whole record to ``learn``, in the order written.

        Raises WrongKey before anything was given or changed.
        """
        found = Found()
        with self._lock:
            keys: dict[str, AESGCM | None] = {}
            for name in self._disk.names():
                number = int(name.partition(".")[0])
                self._last = max(self._last, number)
                if name.endswith(SPOOL):
                    keys[name] = self._open(name, number, self._disk.read(name, 0, _HEADER))
            for name, key in keys.items():
                number, data = int(name.partition(".")[0]), self._disk.read(name)
                if key is not None:
                    self._load(_Segment(number, key, len(data)), data, learn, found)
                elif len(data) < _HEADER or not any(data[len(_MAGIC) : _HEADER]):
                    self._disk.remove(name)  # half made, or half erased: holds nothing
                else:
                    found.damaged += 1
                    self._disk.rename(name, f"{number:08}{DAMAGED}")
            self._measure()
            self._sweep()
        return found

    def _open(self, name: str, number: int, header: bytes) -> AESGCM | None:
        """The segment's key; None if the header is not whole."""
        head, said = header[:-4], header[-4:]
        if said != _CRC.pack(zlib.crc32(head)) or head[: len(_MAGIC)] != _MAGIC:
            return None
        wrapped = head[len(_MAGIC) :]
        try:
            return AESGCM(self._key.decrypt(wrapped[:_NONCE], wrapped[_NONCE:], b"%d" % number))
        except InvalidTag:
            raise WrongKey(name) from None

    def _load(
        self,
        segment: _Segment,
        data: bytes,
        learn: Callable[[Place, bytes], None],
        found: Found,
    ) -> None:
        end, expected, damaged = _HEADER, 0, 0
        for place, payload in _frames(segment, data):
            damaged += place.number - expected
            end, expected = place.offset + place.size, place.number + 1
            segment.live += 1
            learn(place, payload)
        if _cut_off(data[end:]):
            found.torn += 1
        elif end < len(data):
            damaged += 1
        found.damaged += damaged
        segment.damaged = damaged > 0
        self._segments[segment.number] = segment

    # -- writing -------------------------------------------------------------------------------

    def append(self, payloads: Sequence[bytes]) -> list[Place]:
        """Where the records stand, once all of them are on the disk: one sync for all.

        Raises Full or OSError; then none of them is kept.
        """
        with self._lock:
            added = sum(len(p) + OVERHEAD for p in payloads)
            if self._bytes + added + _HEADER > self._limit:
                raise Full
            return self._append(payloads, SPOOL)

    def set_aside(self, payload: bytes) -> None:
        """Keep a record for a person to look at. The limit does not hold it up."""
        with self._lock:
            self._append([payload], ASIDE)

    def _append(self, payloads: Sequence[bytes], suffix: str) -> list[Place]:
        segment = self._active.get(suffix)
        if segment is None or segment.size >= self._segment_bytes:
            segment = self._begin(suffix)
        out, places, at = bytearray(), [], segment.size
        for number, payload in enumerate(payloads, segment.next):
            frame = segment.frame(number, payload)
            places.append(Place(segment.number, number, at + len(out), len(frame)))
            out += frame
        try:
            self._disk.append(segment.name, bytes(out))
        except OSError:
            # After a failed sync nobody knows what is on the disk: never append to this file again.
            self._active.pop(suffix, None)
            with suppress(OSError):
                self._disk.truncate(segment.name, segment.size)
            self._measure()
            raise
        segment.size += len(out)
        self._bytes += len(out)
        segment.next += len(payloads)
        segment.live += len(payloads)
        return places

    def _begin(self, suffix: str) -> _Segment:
        self._last += 1
        key = AESGCM.generate_key(256)
        nonce = os.urandom(_NONCE)
        wrapped = nonce + self._key.encrypt(nonce, key, b"%d" % self._last)
        head = _MAGIC + wrapped
        segment = _Segment(self._last, AESGCM(key), _HEADER, suffix)
        try:
            self._disk.create(segment.name, head + _CRC.pack(zlib.crc32(head)))
        finally:
            self._measure()
        self._segments[segment.number] = self._active[suffix] = segment
        return segment

    # -- reading and erasing -------------------------------------------------------------------

    def read(self, place: Place) -> bytes:
        """One record. Raises OSError.

        Raises ValueError if it does not open any more; then its segment's file is kept.
        """
        with self._lock:
            segment = self._segments[place.segment]
            data = self._disk.read(segment.name, place.offset, place.size)
        try:
            return segment.open(place.number, data[_FRAME.size :])
        except (InvalidTag, ValueError):
            segment.damaged = True
            raise ValueError(f"a record of {segment.name} was changed on the disk") from None

    def forget(self, places: Sequence[Place]) -> None:
        """These records are elsewhere now. A segment nobody needs is erased."""
        with self._lock:
            for place in places:
                self._segments[place.segment].live -= 1
            self._sweep()

    def _sweep(self) -> None:
        """Erase what nobody needs; what a failing disk left over last time too."""
        for segment in list(self._segments.values()):
            if segment.live:
                continue
            if self._active.get(SPOOL) is segment:
                del self._active[SPOOL]
            if segment.damaged:
                self._disk.rename(segment.name, f"{segment.number:08}{DAMAGED}")
            else:
                with suppress(FileNotFoundError):
                    self._disk.overwrite(segment.name, len(_MAGIC), bytes(_WRAPPED + 4))
                self._disk.remove(segment.name)
            del self._segments[segment.number]
            self._measure()

    def _measure(self) -> None:
        self._bytes = sum(self._disk.size(name) for name in self._disk.names())


def _frames(segment: _Segment, data: bytes) -> Iterator[tuple[Place, bytes]]:
    """The whole frames of a segment; after a damaged one, from the next that opens."""
    at, expected = _HEADER, 0
    while (at := data.find(_MARK, at)) >= 0:
        number, end = _promised(data, at)
        payload = None
        if expected <= number and at < end <= len(data):
            with suppress(InvalidTag):
                payload = segment.open(number, data[at + _FRAME.size : end])
        if payload is None:
            at += 1
            continue
        yield Place(segment.number, number, at, end - at), payload
        at, expected = end, number + 1


def _promised(data: bytes, at: int) -> tuple[int, int]:
    """The number of the frame that begins here, and its end; ``at`` if there is no whole head."""
    head = data[at : at + _FRAME.size]
    if len(head) < _FRAME.size or _CRC.pack(zlib.crc32(head[:-4])) != head[-4:]:
        return 0, at
    _, number, length, _ = _FRAME.unpack(head)
    return number, at + _FRAME.size + length


def _cut_off(rest: bytes) -> bool:
    """Whether a segment's last bytes are a frame cut short, not one that was changed.

    What a file system had no time to write is missing, or reads as zeros.
    """
    if not rest:
        return False
    short = len(rest) < _FRAME.size or _promised(rest, 0)[1] > len(rest)
    return short or rest.endswith(bytes(8))
