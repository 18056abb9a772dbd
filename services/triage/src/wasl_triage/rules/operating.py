# SPDX-License-Identifier: Apache-2.0
"""``wasl rules``: examples run, other rules tried on the past, and who changed what."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from wasl_chassis.operating import (
    Command,
    Commands,
    Desk,
    FileCommand,
    Option,
    Refused,
    Row,
    Wrong,
)
from wasl_chassis.settings import key_bytes
from wasl_chassis.vault import Vault
from wasl_chassis.work import UnitOfWork
from wasl_schemas.country_pack import CountryPack, CountryPackError, load_country_pack
from wasl_schemas.country_pack_loader import read_rules
from wasl_schemas.rules import RulesError

from wasl_triage.rules.backtest import backtest
from wasl_triage.rules.engine import RuleSet
from wasl_triage.rules.memory import RULESETS, Served

PACK_ENV: Final = "WASL_COUNTRY_PACK"
#: Reports one back-test looks at, unless told otherwise, and at most.
LIMIT, MOST = 10_000, 1_000_000
_SINCE = re.compile(r"(\d{1,4})([hd])")


def run_examples(pack: str) -> Sequence[Row]:
    """Every example of the pack's rules. Raises Wrong with a row for each problem."""
    try:
        rules = RuleSet.compile(load_country_pack(Path(pack)))
    except (CountryPackError, RulesError) as error:
        raise Wrong([{"problem": problem} for problem in error.problems]) from None
    return [
        {"rule": r.id, "mode": r.mode, "examples": len(r.examples), "result": "pass"}
        for r in rules.rules
    ]


async def try_on_the_past(desk: Desk, _: str) -> Sequence[Row]:
    """What a candidate would have done since a day, beside the rules of the pack."""
    given = desk.options
    pack = _pack(given)
    since = _since(given.get("since", ""), desk.clock.now())
    limit = _limit(given.get("limit", str(LIMIT)))
    now, then = await _served(desk, pack), _candidate(pack, given.get("rules"))
    secret = desk.settings.master_key
    keys = None
    if secret.get_secret_value():
        vault = Vault({"m1": key_bytes(secret)})
        keys = UnitOfWork(desk.store, desk.clock, "/wasl/cli", vault)
    found = await backtest(desk.store, pack, now, then, since=since, limit=limit, keys=keys)
    return found.table()


async def show_history(desk: Desk, _: str) -> Sequence[Row]:
    """Every set of rules that was served, newest first."""
    docs = await desk.store.find(RULESETS, {}, sort=(("version", -1),), limit=200)
    return [_row(RULESETS.decode(doc)) for doc in docs]


def _row(s: Served) -> Row:
    return {
        "pack": s.pack,
        "version": s.version,
        "first_seen": s.first_seen,
        "on": s.on,
        "by": s.by,
        "why": s.why,
        "added": s.added,
        "changed": s.changed,
        "removed": s.removed,
    }


def _pack(given: Mapping[str, str]) -> CountryPack:
    path = given.get("pack")
    if not path:
        raise Refused(f"no country pack: give --pack DIR or set {PACK_ENV}")
    try:
        return load_country_pack(Path(path))
    except CountryPackError as error:
        raise Refused(str(error)) from None


def _candidate(pack: CountryPack, path: str | None) -> RuleSet:
    try:
        if path is None:
            return RuleSet.compile(pack)
        return RuleSet.compile(pack, read_rules(Path(path).read_text(encoding="utf-8")))
    except RulesError as error:
        raise Refused(str(error)) from None
    except (OSError, ValueError) as error:
        raise Refused(f"--rules {path}: expected a rules.toml ({type(error).__name__})") from None


async def _served(desk: Desk, pack: CountryPack) -> RuleSet:
    """The set that was served last; where none was or it no longer fits the pack, the pack's."""
    where = {"pack": pack.info.id}
    docs = await desk.store.find(RULESETS, where, sort=(("version", -1),), limit=1)
    if docs:
        try:
            return RuleSet.compile(pack, read_rules(RULESETS.decode(docs[0]).text))
        except RulesError:
            return _candidate(pack, None)
    return _candidate(pack, None)


def _since(text: str, now: datetime) -> datetime:
    if match := _SINCE.fullmatch(text):
        count = int(match.group(1))
        return now - (timedelta(hours=count) if match.group(2) == "h" else timedelta(days=count))
    try:
        day = datetime.fromisoformat(text)
    except ValueError:
        raise Refused(f"--since {text}: expected 30d, 12h or a date such as 2026-01-31") from None
    return day if day.tzinfo else day.replace(tzinfo=UTC)


def _limit(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST:
        raise Refused(f"--limit {text}: expected a number from 1 to {MOST}")
    return int(text)


RULES: Commands = (
    FileCommand(
        "test",
        "Run every example of the rules of a country pack. Exit status 1 where one fails.",
        run_examples,
        "[PACK]",
        env=PACK_ENV,
    ),
    Command(
        "backtest",
        "What other rules would have done with past reports. Reads, and changes nothing.",
        try_on_the_past,
        options=(
            Option("since", "30d", "From when on: 30d, 12h or a date.", required=True),
            Option("rules", "FILE", "The candidate; default: the pack's rules.toml."),
            Option("pack", "DIR", "The country pack.", env=PACK_ENV),
            Option("limit", "N", f"Reports to look at, oldest first; default {LIMIT}."),
        ),
    ),
    Command("history", "Every set of rules that was served: by whom and why.", show_history),
)
