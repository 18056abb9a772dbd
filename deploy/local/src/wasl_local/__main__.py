# SPDX-License-Identifier: Apache-2.0
"""``python -m wasl_local demo|up|down|fetch-kafka``: the hub on this machine.

demo: start everything on fresh data, play the samples, judge, stop; exit status 0 only if every
receipt shows what it must. up: the same and stay, keeping the data for the next time.
"""

import argparse
import asyncio
import contextlib
import fcntl
import os
import shutil
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from rich.console import Console
from wasl_chassis.failures import Failure

from wasl_local import settings as local
from wasl_local.board import Board
from wasl_local.connectors import ConnectorsError
from wasl_local.demo import Demo, DemoError, rows_of
from wasl_local.people import ScriptError
from wasl_local.servers import KAFKA_JARS, ServerError, fetch_kafka
from wasl_local.settings import LocalSettings
from wasl_local.stack import Stack, StackError

INTERRUPTED = 130
_KNOWN = (ConnectorsError, ServerError, StackError, DemoError, ScriptError, Failure)


@contextlib.contextmanager
def only_one(directory: Path) -> Iterator[None]:
    """Hold the lock of this directory; the file names the process. Ends with status 1 if held."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            holder = file.read().strip()
            sys.exit(f"it runs already, as process {holder}; `make down-local` ends it")
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
        file.truncate(0)


async def demo(settings: LocalSettings, console: Console) -> None:
    folder = settings.directory / "demo"
    shutil.rmtree(folder, ignore_errors=True)
    await _run(settings, console, folder, stay=False, play=True)
    console.print("everything is stopped; `make up-local` does the same and stays up")


async def up(settings: LocalSettings, console: Console) -> None:
    folder = settings.directory / "local"
    played = folder / "samples-played"
    await _run(settings, console, folder, stay=True, play=not played.exists())


async def _run(
    settings: LocalSettings, console: Console, folder: Path, *, stay: bool, play: bool
) -> None:
    started = time.monotonic()

    def tell(name: str, what: str) -> None:
        console.print(f"  {name:20} {what}", highlight=False)

    stack = Stack(settings, folder, tell)
    if not stack.simulates_partners:
        if not stay:
            raise DemoError(
                "the samples need the simulated partners behind 'reference' and 'webhook'; take "
                "the two out of the file that WASL_LOCAL_CONNECTORS names"
            )
        play = False
    console.print("[bold]starting the hub[/]: Kafka, MongoDB, the services, their partners")
    async with stack:
        console.print(f"ready after {time.monotonic() - started:.1f} s")
        if play:
            await _play(stack, console)
            (folder / "samples-played").touch()
        if stay:
            console.print(f"portal: {stack.url('intake')}/", highlight=False)
            await _desk(stack, console)
            console.print(f"logs: {stack.logs}; Ctrl-C or `make down-local` ends it")
            while True:
                stack.watch()
                await asyncio.sleep(1)
        console.print("stopping")


async def _desk(stack: Stack, console: Console) -> None:
    """Where the desk's pages are, and how to be the first to sign in."""
    desk = stack.url("triage")
    console.print(f"desk: {desk}/", highlight=False)
    for name, invitation in (await stack.invitations()).items():
        where = f"{desk}/en/sign-in/first"
        told = f"  {name:12} {where} with the invitation {invitation}"
        console.print(told, highlight=False, soft_wrap=True)


async def _play(stack: Stack, console: Console) -> None:
    rows = rows_of(stack)
    board = Board(console, rows)
    board.say("two scripts stand in for the two analysts; two simulated partners answer")
    show = Demo(stack, board, rows)
    try:
        await show.play(stack.settings.settle_timeout)
        board.show_all()
        for line in await show.summary():
            board.say(line)
    finally:
        await show.close()


def down(settings: LocalSettings) -> None:
    """Ask the launcher that holds the lock to stop, and wait until it has."""
    path = settings.directory / "lock"
    with contextlib.suppress(FileNotFoundError), path.open() as file:
        end = time.monotonic() + 60
        asked = False
        while time.monotonic() < end:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                file.seek(0)
                pid = file.read().strip()
                if pid and not asked:
                    os.kill(int(pid), signal.SIGTERM)
                    asked = True
                time.sleep(0.2)
            else:
                print("stopped" if asked else "nothing runs")
                return
        sys.exit("it did not stop within 60 s")
    print("nothing runs")


def _until_signalled(work: Callable[[], Awaitable[None]]) -> int:
    """Run ``work``; SIGINT and SIGTERM cancel it, and it cleans up before this returns."""

    async def main() -> int:
        task = asyncio.ensure_future(work())
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, task.cancel)
        try:
            await task
        except asyncio.CancelledError:
            return INTERRUPTED
        return 0

    return asyncio.run(main())


def main() -> None:
    parser = argparse.ArgumentParser(prog="wasl-local", description=__doc__)
    parser.add_argument("verb", choices=["demo", "up", "down", "fetch-kafka"])
    verb = parser.parse_args().verb
    settings = local.read()
    console = Console()
    try:
        if verb == "fetch-kafka":
            print(fetch_kafka(KAFKA_JARS))
            return
        if verb == "down":
            down(settings)
            return
        with only_one(settings.directory):
            run = demo if verb == "demo" else up
            status = _until_signalled(lambda: run(settings, console))
    except _KNOWN as error:
        console.print(f"[bold red]failed[/] {error}", highlight=False)
        if not isinstance(error, ConnectorsError):  # before anything was started
            console.print(f"logs: {settings.directory / 'logs'}")
        sys.exit(1)
    # To end what stays up is what the person wanted.
    sys.exit(0 if verb == "up" and status == INTERRUPTED else status)


if __name__ == "__main__":
    main()
