# SPDX-License-Identifier: Apache-2.0
"""``wasl rules``: what it prints, what it refuses and with which exit status it ends."""

import base64
import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from rules_kit import document, rule
from triage_world import Hub
from typer.testing import CliRunner
from wasl_chassis.metrics import Metrics
from wasl_chassis.operating import Desk, Refused
from wasl_chassis.vault import Vault
from wasl_cli.app import build
from wasl_cli.settings import StoreSettings
from wasl_schemas.country_pack import CountryPack
from wasl_schemas.country_pack_loader import read_rules
from wasl_triage.commands import OPERATIONS
from wasl_triage.domain.facts import Facts, domains
from wasl_triage.repository import REPORTS, Report
from wasl_triage.rules import memory
from wasl_triage.rules.book import RuleBook
from wasl_triage.rules.engine import RuleSet
from wasl_triage.rules.memory import remember
from wasl_triage.rules.operating import _since, show_history, try_on_the_past

KEY = b"k" * 32
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


def wasl(*args: str, **env: str) -> Any:
    return CliRunner().invoke(build([OPERATIONS]), list(args), env=env)


@pytest.fixture
def pack_dir(tmp_path: Path, example_dir: Path) -> Path:
    return Path(shutil.copytree(example_dir, tmp_path / "pack"))


def test_every_example_of_a_pack_is_run(pack_dir: Path) -> None:
    result = wasl("rules", "test", str(pack_dir), "--json")
    assert result.exit_code == 0
    assert {"rule": "known-shop", "mode": "active", "examples": 3, "result": "pass"} in json.loads(
        result.stdout
    )
    assert wasl("rules", "test", WASL_COUNTRY_PACK=str(pack_dir)).exit_code == 0


def test_a_failing_example_is_told_with_its_line_and_the_exit_status(pack_dir: Path) -> None:
    file = pack_dir / "rules.toml"
    text = file.read_text("utf-8")
    file.write_text(
        text.replace('host = "shop.example"', 'host = "cheating-shop.example"'), "utf-8"
    )
    result = wasl("rules", "test", str(pack_dir))
    line = 1 + text[: text.index('host = "shop.example"')].count("\n")
    assert result.exit_code == 1
    said = f"rules.toml: line {line}: rules[known-shop].examples[1].fires: expected true: the rule fires"
    assert said in result.stdout


def test_a_pack_that_does_not_load_is_told_the_same_way(pack_dir: Path) -> None:
    (pack_dir / "rules.toml").write_text("version = 1\n", "utf-8")
    result = wasl("rules", "test", str(pack_dir))
    assert (result.exit_code, "add a [[history]] row" in result.stdout) == (1, True)
    assert wasl("rules", "test", str(pack_dir / "nowhere")).exit_code == 1


def test_a_backtest_wants_to_know_since_when(pack_dir: Path) -> None:
    assert wasl("rules", "backtest").exit_code == 2


class Office:
    """A triage database of the example country with one report of a known shop."""

    def __init__(self, pack_dir: Path) -> None:
        self.dir, self.hub = pack_dir, Hub()
        self.hub.metrics = Metrics(memory.METRICS)
        self.hub.vault = Vault({"m1": KEY})
        self.key = base64.b64encode(KEY).decode()

    def desk(self, *, key: str = "", **options: str) -> Desk:
        settings = StoreSettings.model_construct(master_key=SecretStr(key))
        given = {"pack": str(self.dir), "since": "30d", **options}
        return Desk(self.hub.store, settings, self.hub.clock, "operator", given)

    async def came(self, pack: CountryPack) -> None:
        host = "www.other-shop.example"
        facts = Facts(category="scam", host=host, domains=domains(host))
        rules, uow, now = RuleSet.compile(pack), self.hub.unit(), self.hub.clock.now()
        uow.keys.create("case-1")
        uow.put(
            REPORTS,
            Report("r-1", now, "web", "en", "en", "scam", (), True, False, ("case-1",), "s1.x.y"),
        )
        await remember(
            uow, self.hub.metrics, report_id="r-1", case_id="case-1", facts=facts,
            outcome=rules.evaluate(facts), version=rules.version,
        )  # fmt: skip
        await self.hub.commit(uow)


@pytest.fixture
async def office(pack_dir: Path, example: CountryPack) -> Office:
    office = Office(pack_dir)
    await office.came(example)
    return office


def candidate(office: Office) -> str:
    path = office.dir.parent / "candidate.toml"
    when, effect = "'other-shop.example' in domains", '{ kind = "page" }'
    path.write_text(document(rule(when, effect, fires='host = "other-shop.example"')), "utf-8")
    return str(path)


async def test_a_candidate_is_tried_on_the_past(office: Office) -> None:
    rows = await try_on_the_past(office.desk(rules=candidate(office), key=office.key), "")
    assert {"about": "case page", "name": "case-1", "now": "", "then": "page"} in rows
    assert {"about": "rule", "name": "r0", "now": 0, "then": 1} in rows


async def test_without_the_key_hosts_are_not_known(office: Office) -> None:
    rows = await try_on_the_past(office.desk(rules=candidate(office)), "")
    assert {"about": "not known", "name": "domains", "now": 1, "then": 1} in rows
    assert not [r for r in rows if str(r["about"]).startswith("case")]


async def test_without_a_candidate_the_packs_file_is_held_against_what_was_served(
    office: Office, example: CountryPack
) -> None:
    book = RuleBook(office.dir / "rules.toml", example, office.hub)
    await book.watch()
    text = (office.dir / "rules.toml").read_text("utf-8")
    changed = text.replace("cheating-shop.example", "other-shop.example").replace(
        "version = 1", "version = 2"
    )
    (office.dir / "rules.toml").write_text(changed, "utf-8")
    assert read_rules(changed).version == 2
    rows = await try_on_the_past(office.desk(key=office.key), "")
    assert {"about": "case severity", "name": "case-1", "now": "", "then": "medium"} in rows
    assert {"about": "rule", "name": "known-shop", "now": 0, "then": 1} in rows


async def test_who_changed_what_is_shown(office: Office, example: CountryPack) -> None:
    assert await show_history(office.desk(), "") == []
    await RuleBook(office.dir / "rules.toml", example, office.hub).watch()
    (row,) = await show_history(office.desk(), "")
    assert (row["version"], row["by"], row["why"]) == (1, "duty officer", "The first rules")
    assert row["added"] == ("danger", "known-shop", "partner-scam")


REFUSED = [
    ({"pack": ""}, "no country pack: give --pack DIR or set WASL_COUNTRY_PACK"),
    ({"pack": "/nowhere"}, "expected a directory with pack.toml"),
    ({"since": "soon"}, "--since soon: expected 30d, 12h or a date such as 2026-01-31"),
    ({"limit": "0"}, "--limit 0: expected a number from 1 to 1000000"),
    ({"limit": "x"}, "--limit x: expected a number"),
    ({"rules": "/nowhere"}, "--rules /nowhere: expected a rules.toml"),
]


@pytest.mark.parametrize(("given", "what"), REFUSED, ids=[r[1][:30] for r in REFUSED])
async def test_what_cannot_be_is_refused_with_the_fix(office: Office, given, what: str) -> None:
    with pytest.raises(Refused) as caught:
        await try_on_the_past(office.desk(**given), "")
    assert what in str(caught.value)


async def test_a_wrong_candidate_is_refused_with_its_line(office: Office) -> None:
    path = candidate(office)
    Path(path).write_text(Path(path).read_text("utf-8").replace("in domains", "in domain"), "utf-8")
    with pytest.raises(Refused, match=r"line 12: .*no fact is called 'domain'"):
        await try_on_the_past(office.desk(rules=path), "")


def test_since_is_a_length_or_a_day() -> None:
    assert _since("30d", NOW) == NOW - timedelta(days=30)
    assert _since("12h", NOW) == NOW - timedelta(hours=12)
    assert _since("2026-01-01", NOW) == datetime(2026, 1, 1, tzinfo=UTC)
    with pytest.raises(Refused):
        _since("30w", NOW)
