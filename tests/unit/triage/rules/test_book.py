# SPDX-License-Identifier: Apache-2.0
"""Rules are reloaded whole or not at all, and everybody who changed them is known."""

import copy
import logging
from datetime import timedelta
from pathlib import Path

import pytest
from rules_kit import document, rule
from triage_world import Hub
from wasl_chassis.failures import Retryable
from wasl_chassis.metrics import Metrics
from wasl_schemas.country_pack import CountryPack
from wasl_schemas.country_pack_loader import read_rules
from wasl_schemas.rules import RulesError, RulesFile
from wasl_triage.domain.facts import Facts
from wasl_triage.rules import memory
from wasl_triage.rules.book import RuleBook
from wasl_triage.rules.memory import RULESETS, Served

DANGER = Facts(danger=True)


def flagging(word: str, when: str = "danger") -> str:
    return rule(when, f'{{ kind = "flag", word = "{word}" }}')


@pytest.fixture
def hub() -> Hub:
    hub = Hub()
    hub.metrics = Metrics(memory.METRICS)
    return hub


class Office:
    """A file on disk and the book that watches it."""

    def __init__(self, path: Path, pack: CountryPack, hub: Hub, text: str | None) -> None:
        self.path, self.hub = path, hub
        self.pack = copy.copy(pack)
        self.write(text)
        self.start()

    def start(self) -> None:
        """The process begins anew with what is on disk and the same database."""
        known = self.path.exists()
        self.pack.rules = read_rules(self.path.read_text("utf-8")) if known else RulesFile()
        self.book = RuleBook(self.path, self.pack, self.hub)

    def write(self, text: str | None) -> None:
        if text is None:
            self.path.unlink(missing_ok=True)
        else:
            self.path.write_text(text, encoding="utf-8")

    async def turn(self, text: str | None) -> tuple[str, ...]:
        """Write, look, and say what flags a danger gets now."""
        self.write(text)
        await self.book.watch()
        return self.book.rules.evaluate(DANGER).flags

    def gauge(self) -> tuple[float, float]:
        value = self.hub.metrics.value
        return value("wasl_triage_rules_version"), value("wasl_triage_rules_refused")

    async def served(self) -> list[Served]:
        docs = await self.hub.store.find(RULESETS, {}, sort=(("version", 1),))
        return [RULESETS.decode(d) for d in docs]


@pytest.fixture
async def office(tmp_path: Path, example: CountryPack, hub: Hub) -> Office:
    office = Office(tmp_path / "rules.toml", example, hub, document(flagging("a")))
    await office.book.watch()
    return office


async def test_a_new_set_is_served_between_two_events(office: Office) -> None:
    before = office.book.rules
    assert before.evaluate(DANGER).flags == ("a",)
    assert await office.turn(document(flagging("b"), version=2)) == ("b",)
    # An event that began before goes on with what it took.
    assert before.evaluate(DANGER).flags == ("a",)
    assert office.gauge() == (2, 0)
    assert office.book.status().refused == ()


async def test_nothing_is_read_twice(office: Office, monkeypatch) -> None:
    same = office.book.rules
    monkeypatch.setattr(office.book, "_judge", None)
    await office.book.watch()
    assert office.book.rules is same


WRONG = {
    "no TOML": "version = [",
    "no rule": document(flagging("b"), version=2).replace("then", "than"),
    "no CEL": document(flagging("b", "dangr"), version=2),
    "empty": "",
    "an example fails": document(rule("danger", '{ kind = "page" }', fires=""), version=2),
}


@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG)
async def test_a_wrong_file_keeps_the_old_set(office: Office, text: str, caplog) -> None:
    with caplog.at_level(logging.ERROR):
        assert await office.turn(text) == ("a",)
        await office.book.watch()
    told = [
        r for r in caplog.records if r.message == "the rules on disk are refused, the old ones stay"
    ]
    assert len(told) == 1
    assert office.gauge() == (1, 1)
    status = office.book.status()
    assert status.refused
    assert status.refused[0].startswith("rules.toml: ")
    assert [s.version for s in await office.served()] == [1]
    assert await office.turn(document(flagging("c"), version=3)) == ("c",)
    assert office.gauge() == (3, 0)


async def test_a_file_that_goes_away_takes_no_rules_along(office: Office) -> None:
    assert await office.turn(None) == ("a",)
    assert "cannot be read or is empty" in office.book.status().refused[0]
    assert await office.turn(document(flagging("a"))) == ("a",)
    assert office.book.status().refused == ()


async def test_the_same_version_with_other_contents_is_refused(office: Office) -> None:
    assert await office.turn(document(flagging("b"))) == ("a",)
    (problem,) = office.book.status().refused
    assert problem == (
        "rules.toml: version: 1 was served with other contents; raise version to 2 and add a "
        "[[history]] row with it"
    )


async def test_a_restart_does_not_forget_which_contents_a_version_had(office: Office) -> None:
    office.write(document(flagging("b")))
    office.start()
    await office.book.watch()
    assert office.book.rules.evaluate(DANGER).flags == ("a",)
    assert office.gauge() == (1, 1)
    assert await office.turn(document(flagging("b"), version=2)) == ("b",)


async def test_what_was_served_before_and_no_longer_fits_is_not_served(office: Office) -> None:
    doc = office.hub.store.docs["rulesets"]["example|00000001"]
    doc["text"] = doc["text"].replace("danger", "dangr")
    office.write(document(flagging("b")))
    office.start()
    await office.book.watch()
    assert (office.book.rules.version, office.book.rules.rules) == (0, ())


async def test_going_back_to_a_version_that_was_served_is_allowed(office: Office) -> None:
    first = document(flagging("a"))
    assert await office.turn(document(flagging("b"), version=2)) == ("b",)
    assert await office.turn(first) == ("a",)
    assert [s.version for s in await office.served()] == [1, 2]


async def test_who_changed_what_is_kept(office: Office) -> None:
    office.hub.clock.advance(timedelta(hours=1))
    at = office.hub.clock.now()
    changed = document(flagging("a", "danger && !flood"), flagging("new"), version=2)
    await office.turn(changed)
    await office.turn(document(flagging("a", "danger && !flood"), version=5))
    first, second, third = await office.served()
    assert (first.added, first.changed, first.removed) == (("r0",), (), ())
    assert (second.added, second.changed, second.removed) == (("r1",), ("r0",), ())
    assert (third.added, third.changed, third.removed) == ((), (), ("r1",))
    assert (second.by, second.why, second.on, second.first_seen) == (
        "duty",
        "test",
        "2030-01-02",
        at,
    )
    assert second.text == changed


async def test_two_replicas_remember_a_set_once(office: Office, example: CountryPack) -> None:
    other = RuleBook(office.path, office.pack, office.hub)
    await other.watch()
    assert (other.status(), len(await office.served())) == (office.book.status(), 1)


async def test_without_a_file_there_are_no_rules_until_there_is_one(
    tmp_path: Path, example: CountryPack, hub: Hub
) -> None:
    office = Office(tmp_path / "rules.toml", example, hub, None)
    assert await office.turn(None) == ()
    assert office.gauge() == (0, 0)
    assert await office.turn(document(flagging("a"))) == ("a",)


async def test_a_database_that_is_away_is_asked_again(office: Office, monkeypatch) -> None:
    async def away(*_: object, **__: object) -> None:
        raise Retryable("away")

    with monkeypatch.context() as patch:
        patch.setattr(office.hub.store, "read", away)
        with pytest.raises(Retryable):
            await office.turn(document(flagging("b"), version=2))
        assert office.book.rules.version == 1
    await office.book.watch()
    assert office.book.rules.version == 2


def test_rules_that_do_not_compile_keep_a_service_from_starting(
    tmp_path: Path, example: CountryPack, hub: Hub
) -> None:
    with pytest.raises(RulesError, match="no fact is called 'dangr'"):
        Office(tmp_path / "rules.toml", example, hub, document(flagging("a", "dangr")))
