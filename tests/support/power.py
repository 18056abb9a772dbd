# SPDX-License-Identifier: Apache-2.0
"""A disk in memory whose power can be cut in the middle of any write.

What was synced stays. Of the write the cut falls into, any part may: a prefix, a prefix and zeros, or
nothing; what overwrites is one sector, written whole or not at all.
"""

import random


class PowerCut(BaseException):
    """The machine is off. No ordinary handler catches this, as none would run."""


class SimDisk:
    """Stands in for ``wasl_intake.journal.Disk``. ``cut_after``: whole writes until the cut."""

    def __init__(self, dice: random.Random | None = None) -> None:
        self.files: dict[str, bytes] = {}
        self.dice = dice or random.Random(0)
        self.cut_after: int | None = None
        self.writes = 0
        #: Raised by the next write, once, after half of it.
        self.fails: OSError | None = None

    def power_on(self, cut_after: int | None = None) -> None:
        self.cut_after = cut_after

    def _write(self, name: str, whole: bytes, partial: list[bytes | None]) -> None:
        if self.cut_after == -1:
            raise PowerCut
        if self.cut_after == 0:
            self.cut_after = -1
            self._put(name, self.dice.choice(partial))
            raise PowerCut
        if self.cut_after is not None:
            self.cut_after -= 1
        if self.fails is not None:
            error, self.fails = self.fails, None
            self._put(name, partial[-1])
            raise error
        self.writes += 1
        self._put(name, whole)

    def _put(self, name: str, data: bytes | None) -> None:
        if data is None:
            self.files.pop(name, None)
        else:
            self.files[name] = data

    def close(self) -> None:
        """The next process may have it."""

    def names(self) -> list[str]:
        if self.cut_after == -1:
            raise PowerCut
        return sorted(self.files)

    def size(self, name: str) -> int:
        return len(self.files[name])

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        if self.cut_after == -1:
            raise PowerCut
        data = self.files[name][offset:]
        return data if length is None else data[:length]

    def create(self, name: str, data: bytes) -> None:
        assert name not in self.files
        some = data[: self.dice.randrange(len(data))]
        self._write(name, data, [None, b"", bytes(len(data)), some, data])

    def append(self, name: str, data: bytes) -> None:
        held = self.files[name]
        some = data[: self.dice.randrange(1, len(data) - 8)]
        hole = bytes(len(data) - len(some))
        self._write(name, held + data, [held, held + data, held + some + hole, held + some])

    def overwrite(self, name: str, offset: int, data: bytes) -> None:
        held = self.files[name]
        whole = held[:offset] + data + held[offset + len(data) :]
        self._write(name, whole, [held, whole])

    def truncate(self, name: str, size: int) -> None:
        self._write(name, self.files[name][:size], [self.files[name], self.files[name][:size]])

    def rename(self, name: str, new: str) -> None:
        data = self.files[name]
        self._write(name, data, [data])
        self.files[new] = self.files.pop(name)

    def remove(self, name: str) -> None:
        self._write(name, b"", [self.files[name], None])
        self.files.pop(name, None)
