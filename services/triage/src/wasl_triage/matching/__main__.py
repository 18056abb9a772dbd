# SPDX-License-Identifier: Apache-2.0
"""``wasl-triage-matching``: look hashes up, keep their banks, serve other systems.

Exit status: 0 done; 1 a bank failed and keeps what it had; 65 (EX_DATAERR) a list, a hash or an
index is wrong; 78 (EX_CONFIG) the settings are.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TextIO

from wasl_chassis import logs
from wasl_chassis.service import version
from wasl_chassis.settings import SettingsError, read_or_exit

from wasl_triage.matching import exchanges, process
from wasl_triage.matching.api import status as told
from wasl_triage.matching.banks import BankError, FileSource, load
from wasl_triage.matching.exchanges import SyncError
from wasl_triage.matching.hashes import HashError
from wasl_triage.matching.index import Index, IndexFileError
from wasl_triage.matching.matcher import Matcher
from wasl_triage.matching.publishing import Published, folder, publish
from wasl_triage.matching.settings import MatchingSettings, ServeSettings, SyncSettings

#: Seconds until a list that was wrong is read again; the exchanges are asked no sooner for it.
RETRY = 60.0


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


def _published(done: Published) -> int:
    hashes = sum(shelved.hashes for shelved in done.manifest.banks)
    _say(
        f"{done.how}: {done.added} came, {done.removed} went; {hashes} hashes in"
        f" {sum(s.bank is not None for s in done.manifest.banks)} banks"
    )
    for shelved in done.manifest.banks:
        if shelved.refused:
            why = ", ".join(f"{n} {word}" for word, n in sorted(shelved.refused.items()))
            _say(f"{shelved.id}: refused {why}")
    for wrong in done.kept:
        sys.stderr.write(wrong + "\n")
    return 1 if done.kept else 0


def _serve(_arguments: argparse.Namespace) -> int:
    settings = read_or_exit(ServeSettings)
    _prepare(settings, sys.stdout)
    return process.run(settings)


def _build(arguments: argparse.Namespace) -> int:
    settings = read_or_exit(MatchingSettings)
    _prepare(settings)
    return _published(publish(settings.matching_directory, datetime.now(UTC), full=arguments.full))


def _sync(arguments: argparse.Namespace) -> int:
    settings = read_or_exit(SyncSettings)
    _prepare(settings)
    if not arguments.every:
        failed = _ask(settings)
        return _put_in_place(settings) or failed
    while True:
        again = time.monotonic() + arguments.every
        _kept(_ask, settings)
        while not _kept(_put_in_place, settings):
            if (left := again - time.monotonic()) <= 0:
                break
            time.sleep(min(RETRY, left))
        time.sleep(max(0.0, again - time.monotonic()))


def _kept(step: Callable[[SyncSettings], int], settings: SyncSettings) -> bool:
    """False where a list is wrong and nothing older can stand in for it."""
    try:
        step(settings)
    except (BankError, IndexFileError) as error:
        sys.stderr.write(f"{error}\n")
        return False
    finally:
        sys.stdout.flush()
    return True


def _ask(settings: SyncSettings) -> int:
    directory, credentials, failed = settings.matching_directory, settings.credentials(), 0
    for bank in load(directory):
        if isinstance(bank.source, FileSource):
            continue
        try:
            done = exchanges.sync(directory, bank, credentials.get(bank.id))
        except (SyncError, BankError) as error:
            sys.stderr.write(f"{error}\n")
            failed = 1
        else:
            _say(f"{bank.id}: {done.updates} updates, {done.hashes} hashes")
    return failed


def _put_in_place(settings: SyncSettings) -> int:
    return _published(publish(settings.matching_directory, datetime.now(UTC)))


def _lookup(arguments: argparse.Namespace) -> int:
    settings = read_or_exit(MatchingSettings)
    _prepare(settings)
    answers = Matcher.open(settings.matching_directory).answers(arguments.hashes)
    for place, answer in enumerate(answers):
        for match in answer.matches:
            _say(match.model_dump_json())
        if not answer.matches:
            _say(json.dumps({"fingerprint": place, "bank": None}))
    return 0


def _status(arguments: argparse.Namespace) -> int:
    settings = read_or_exit(MatchingSettings)
    _prepare(settings)
    matcher = Matcher.open(settings.matching_directory)
    view = matcher.view()
    _say(
        json.dumps(
            told(view.manifest if view else None, matcher.healthy), indent=1, ensure_ascii=False
        )
    )
    if arguments.verify and view is not None:
        for name in (view.manifest.base, view.manifest.overlay):
            if name is not None:
                Index.open(folder(settings.matching_directory) / name).verify()
        _say("every byte is as it was written")
    return 0 if matcher.healthy else 65


def _prepare(settings: MatchingSettings, log: TextIO | None = None) -> None:
    """``log``: standard error for the commands whose output is an answer."""
    logs.configure(
        "wasl-triage-matching", version("wasl-triage"), settings.log_level, log or sys.stderr
    )
    if settings.matching_cache is not None:
        os.environ["NUMBA_CACHE_DIR"] = str(settings.matching_cache)  # read when numba is imported


def main() -> None:
    parser = argparse.ArgumentParser(prog="wasl-triage-matching", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    def command(
        name: str, run: Callable[[argparse.Namespace], int], text: str
    ) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text)
        made.set_defaults(run=run)
        return made

    command("serve", _serve, "serve look-ups over HTTP until SIGTERM")
    build = command("build", _build, "put in place what banks.toml and its files say")
    build.add_argument("--full", action="store_true", help="write the whole index, no overlay")
    sync = command("sync", _sync, "ask the exchanges what changed, then build")
    sync.add_argument("--every", type=float, metavar="SECONDS", help="again and again, until ended")
    look = command("lookup", _lookup, "look hashes up: pdq:…, md5:…, sha256:…")
    look.add_argument("hashes", nargs="+", metavar="HASH")
    status = command("status", _status, "what is in place")
    status.add_argument("--verify", action="store_true", help="read all of it against its sums")
    arguments = parser.parse_args()
    try:
        sys.exit(arguments.run(arguments))
    except SettingsError as error:
        sys.stderr.write(f"cannot start, the settings are incomplete:\n{error}\n")
        sys.exit(78)
    except (BankError, IndexFileError, HashError) as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(65)


if __name__ == "__main__":
    main()
