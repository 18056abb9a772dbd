# SPDX-License-Identifier: Apache-2.0
"""Child processes that never outlive this one.

On Linux the kernel ends a child when its parent dies (PR_SET_PDEATHSIG), kill -9 included. That
is tied to the *thread* that made the child, so one thread that lives as long as the process makes
them all.
"""

import contextlib
import ctypes
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Self

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
Process = subprocess.Popen[bytes]
_jobs: queue.SimpleQueue[tuple[Callable[[], Process], Future[Process]]] = queue.SimpleQueue()
_lock = threading.Lock()
_thread: threading.Thread | None = None


def _work() -> None:
    while True:
        make, future = _jobs.get()
        try:
            future.set_result(make())
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever asked
            future.set_exception(error)


def _spawn(make: Callable[[], Process]) -> Process:
    global _thread  # noqa: PLW0603 - one thread a process; a fork starts without it
    with _lock:
        if _thread is None or not _thread.is_alive():
            _thread = threading.Thread(target=_work, name="spawn", daemon=True)
            _thread.start()
    future: Future[Process] = Future()
    _jobs.put((make, future))
    return future.result()


def _die_with(parent: int, signum: int) -> None:
    """In the child, before exec."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signum, 0, 0, 0)
        if os.getppid() != parent:  # the parent died before the line above
            os._exit(1)


class Child:
    """One process in a session of its own (a terminal's Ctrl-C reaches only this process)."""

    def __init__(self, process: Process, log: Path) -> None:
        self._process = process
        self.log = log

    @classmethod
    def start(
        cls,
        command: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        death_signal: int = signal.SIGTERM,
    ) -> Self:
        """Start; output is appended to ``log``, ``env`` replaces the whole environment."""
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as out:

            def make() -> Process:
                return subprocess.Popen(
                    list(command),
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    env=None if env is None else dict(env),
                    start_new_session=True,
                    # Two system calls, nothing that takes a lock.
                    preexec_fn=partial(_die_with, os.getpid(), death_signal),  # noqa: PLW1509
                )

            return cls(_spawn(make), log)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    @property
    def returncode(self) -> int | None:
        return self._process.poll()

    def terminate(self) -> None:
        """SIGTERM, without waiting."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGCONT)
            self._process.terminate()

    def wait(self, timeout: float) -> int | None:
        """The exit status, or None after ``timeout`` seconds."""
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def stop(self, timeout: float) -> int:
        """SIGTERM, wait ``timeout`` seconds, then SIGKILL. Returns the exit status."""
        self.terminate()
        status = self.wait(timeout)
        return self.kill() if status is None else status

    def kill(self) -> int:
        self._process.kill()
        return self._process.wait()

    def pause(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)


def last_lines(log: Path) -> list[str]:
    """The last lines of a log that hold text."""
    try:
        tail = log.read_bytes()[-8192:]
    except OSError:
        return []
    return [line for line in tail.decode("utf-8", "replace").splitlines() if line.strip()]


def last_line(log: Path) -> str:
    """The very last of them, for an error message."""
    lines = last_lines(log)
    return lines[-1].strip()[:500] if lines else "it printed nothing"
