# SPDX-License-Identifier: Apache-2.0
"""The rules' page: what is served and since when, what is refused and why, and who changed what."""

from dataclasses import replace
from pathlib import Path

from desk import NOBODY, Browser, Door, rooms, text_of
from triage_world import ANA, World
from wasl_schemas.rules import RULES_FILE
from wasl_triage.console.pages import Console
from wasl_triage.domain.people import Person, Role
from wasl_triage.http import create_app
from wasl_triage.rules.book import RuleBook
from wasl_triage.rules.memory import RULE_HITS, RuleHit
from wasl_triage.settings import Staff

RUL = Person(name="rules-1", roles=frozenset({Role.RULES_MANAGER}))
CLEAR = Person(name="rules-2", roles=frozenset({Role.RULES_MANAGER, Role.CHILD_SAFETY}))
PACK = Path(__file__).parents[4] / "deploy" / "country-packs" / "ma"


def _pages(world: World, book: RuleBook) -> tuple[Browser, Browser, Browser]:
    door = Door()
    use = replace(rooms(world), book=book)
    console = Console(world.pack, world.hub.clock, door, use)
    app = create_app(
        world.desk, world.pack, Staff.parse(NOBODY), world.hub.metrics, world.hub.clock,
        rooms=[console.register],
    )  # fmt: skip
    return Browser(app, door, RUL), Browser(app, door, CLEAR), Browser(app, door, ANA)


async def test_what_is_served_since_when_and_by_whom(world: World) -> None:
    book = RuleBook(PACK / RULES_FILE, world.pack, world.hub)
    await book.watch()
    page, _, analyst = _pages(world, book)
    shown = text_of(await page.get("rules"))
    change = book.rules.file.document.history[-1]
    for told in (book.status().digest, change.by, change.why, *(r.id for r in book.rules.rules)):
        assert told in shown
    assert all(" ".join(r.when.split()) in shown for r in book.rules.rules)
    history = text_of(await page.get("rules/history"))
    assert all(r.id in history for r in book.rules.rules)
    await analyst.get("rules", 403)
    await analyst.get("rules/history", 403)


async def test_a_refused_file_is_told_with_its_problems(world: World, tmp_path: Path) -> None:
    path = tmp_path / RULES_FILE
    path.write_text((PACK / RULES_FILE).read_text("utf-8"), "utf-8")
    book = RuleBook(path, world.pack, world.hub)
    await book.watch()
    path.write_text("version = 2\n", "utf-8")
    await book.watch()
    assert book.status().refused
    page, _, _ = _pages(world, book)
    shown = text_of(await page.get("rules"))
    assert " ".join(book.status().refused[0].split()) in shown
    assert book.rules.rules[0].id in shown, "the old ones are still served"


async def test_hits_are_counted_and_few_are_hidden(world: World) -> None:
    book = RuleBook(PACK / RULES_FILE, world.pack, world.hub)
    often, rare, trial = (r.id for r in book.rules.rules[:3])
    uow = world.hub.unit()
    for n in range(7):
        because = (often, rare) if n < 2 else (often,)
        uow.put(
            RULE_HITS,
            RuleHit(f"r{n}", "c", world.clock.now(), 1, because, ((trial, "page"),) * 2),
        )
    await world.hub.commit(uow)
    page, cleared, _ = _pages(world, book)

    def row(shown: str, rule: str) -> str:
        (line,) = [x for x in shown.split("<tr>") if f"<bdi>{rule}</bdi>" in x]
        return line

    shown = await page.get("rules")
    assert ">7</td>" in row(shown, often).replace(" ", "")
    assert ">7</td>" in row(shown, trial).replace(" ", ""), "one hit a report, on trial too"
    assert "&lt;5" in row(shown, rare)
    assert ">2</td>" not in row(shown, rare).replace(" ", "")
    assert ">2</td>" in row(await cleared.get("rules"), rare).replace(" ", "")
    world.later(days=8)
    assert ">7</td>" not in row(await page.get("rules"), often).replace(" ", "")
