# SPDX-License-Identifier: Apache-2.0
"""Packages as files, one folder per authority, for transport by other means.

A file is complete or absent: written under a hidden name, flushed to the disk, renamed, and the
folder flushed too. Only the service's own user can read it. A repetition is the same file.
"""

import asyncio
import contextlib
import os
from pathlib import Path

from wasl_notify.outside import Attempt, Result


class Spool:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def put(self, authority: str, name: str, content: bytes) -> Attempt:
        """Write ``FOLDER/authority/name.json`` durably. Raises nothing.

        ``authority`` and ``name`` must be a slug and an id: they become path segments.
        """
        try:
            await asyncio.to_thread(write, self._folder / authority, f"{name}.json", content)
        except OSError:
            return Attempt(Result.DEFERRED, "spool")
        return Attempt(Result.SENT)


def write(folder: Path, name: str, content: bytes) -> None:
    """Raises OSError; then no file of this name was added or changed."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    target, draft = folder / name, folder / f".{name}.{os.getpid()}.part"
    with contextlib.suppress(FileNotFoundError):
        draft.unlink()
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
    except OSError:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise
    # The name is durable only when the folders are: this one, and the one that holds it.
    for place in (folder, folder.parent):
        entry = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(entry)
        finally:
            os.close(entry)
