# SPDX-License-Identifier: Apache-2.0
"""``rules.toml``: what is wrong is told with its line, and nothing half-checked is returned."""

import shutil
from pathlib import Path

import pytest
from wasl_schemas.country_pack import CountryPackError, load_country_pack
from wasl_schemas.country_pack_loader import read_rules
from wasl_schemas.rules import RULES_FILE, RulesError, check_rules, line_of, places

PACKS = Path(__file__).parents[2] / "deploy" / "country-packs"
GOOD = """\
version = 2

[[history]]
version = 1
on = 2030-01-02
by = "duty officer"
why = "first"

[[history]]
version = 2
on = "2030-01-03"
by = "duty officer"
why = "second"

[[rules]]
id = "one"
title = { en = "One", ar = "واحد" }
when = '''
danger
  || minor
'''
then = [
  { kind = "raise", levels = 1 },
  { kind = "dispatch", category = "scam", partner = "social", ground = { kind = "law", ref = "xx.code.1" }, confirm = "none" },
]
examples = [
  { fires = true, facts = { danger = true } },
  { fires = false },
]

[[rules]]
id = "two"
title = { en = "Two", ar = "اثنان" }
when = 'flood'

[[rules.then]]
kind = "flag"
word = "crowd"

[[rules.examples]]
fires = true
facts = { flood = true }

[[rules.examples]]
fires = false
"""


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    return Path(shutil.copytree(PACKS / "example", tmp_path / "pack"))


def told(pack: Path, text: str) -> tuple[str, ...]:
    (pack / RULES_FILE).write_text(text, encoding="utf-8")
    with pytest.raises(CountryPackError) as caught:
        load_country_pack(pack)
    return caught.value.problems


def test_a_good_file_is_read_whole(pack: Path) -> None:
    (pack / RULES_FILE).write_text(GOOD, encoding="utf-8")
    rules = load_country_pack(pack).rules
    assert (rules.version, [r.id for r in rules.rules]) == (2, ["one", "two"])
    assert [e.kind for e in rules.rules[0].then] == ["raise", "dispatch"]
    assert rules.document.history[0].on == "2030-01-02"
    assert rules.text == GOOD
    assert read_rules(GOOD).digest == rules.digest != read_rules(GOOD + "\n").digest


def test_no_file_means_no_rules(pack: Path) -> None:
    (pack / RULES_FILE).unlink()
    rules = load_country_pack(pack).rules
    assert (rules.version, rules.rules) == (0, ())


@pytest.mark.parametrize("name", ["ma", "example"])
def test_the_packs_rules_are_read(name: str) -> None:
    assert load_country_pack(PACKS / name).rules.rules


BROKEN = [
    ('by = "duty officer"\nwhy = "second"', 'by = "x"', "line 9: history[1].why: expected a value"),
    ("version = 2\n\n", "version = 3\n\n", "expected the version of the last row of history; add a [[history]] row with version 3"),
    ("version = 2\n\n", "", "expected version = 1 and a [[history]] row"),
    ("version = 1\n", "version = 2\n", "of which each has a higher version than the last"),
    ('on = "2030-01-03"', 'on = "soon"', "line 11: history[1].on: expected"),
    ('id = "two"', 'id = "one"', "line 32: rules[one].id: expected an id used once"),
    ('en = "Two", ar = "اثنان"', 'en = "Two"', "line 33: rules[two].title: expected words in this language: ar"),
    ("levels = 1", "levels = 9", "line 23: rules[one].then[0].raise.levels: expected"),
    ('kind = "raise"', 'kind = "erase"', "line 23: rules[one].then[0]: "),
    ('kind = "flag"', 'knd = "flag"', "line 36: rules[two].then[0]"),
    ("when = 'flood'", "", "line 31: rules[two].when: expected a value; the field is missing"),
    ("when = 'flood'", "wen = 'flood'", "line 34: rules[two].wen: not a known field"),
    ('category = "scam"', 'category = "scan"', "line 24: rules[one].then[1].category: expected the id of a category, got 'scan'; did you mean 'scam'?"),
    ('category = "scam"', 'category = "insult"', "line 24: rules[one].then[1].category: 'insult' may not be automatic: expected safeguard FE0"),
    ('category = "scam"', 'category = "opinion"', "'opinion' may not be automatic"),
    ('partner = "social"', 'partner = "socal"', "line 24: rules[one].then[1].partner: expected the id of a partner, got 'socal'; did you mean 'social'?"),
    ('ref = "xx.code.1"', 'ref = "xx.code.2"', "line 24: rules[one].then[1].ground: expected one of laws of legal.toml for 'scam': xx.code.1"),
    ('confirm = "none"', 'confirm = "pre"', "line 24: rules[one].then[1]"),
    ('kind = "flag"\nword = "crowd"', 'kind = "classify"\ncategory = "insult"', "line 38: rules[two].then[0].category: 'insult' is FE3: no machine judges speech"),
    ('kind = "flag"\nword = "crowd"', 'kind = "suggest"\ncategory = "harm"', "line 38: rules[two].then[0].category: expected the id of a category"),
    ('{ kind = "raise", levels = 1 }', '{ kind = "page" }, { kind = "page" }', "line 22: rules[one].then: expected one effect 'page', there are 2"),
    ("{ fires = false },", "{ fires = true },", "line 26: rules[one].examples: expected one that fires and one"),
    ("\n  { fires = false },", "", "line 26: rules[one].examples: expected"),
    ("facts = { flood = true }", "facts = { flood = 1.5 }", "line 42: rules[two].examples[0].facts.flood: expected a string, a whole number"),
    ("[[rules]]", "[[rules]", "rules.toml: not readable as TOML"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "what"), BROKEN, ids=[b[2][:50] for b in BROKEN])
def test_what_is_wrong_is_told_with_its_line(pack: Path, old: str, new: str, what: str) -> None:
    assert old in GOOD
    problems = told(pack, GOOD.replace(old, new, 1))
    assert all(p.startswith("rules.toml: ") for p in problems)
    assert [p for p in problems if what in p], problems


def test_a_confirmation_is_kept_where_the_category_wants_one(pack: Path) -> None:
    taxonomy = pack / "taxonomy.toml"
    text = taxonomy.read_text(encoding="utf-8")
    taxonomy.write_text(text.replace('four_eyes = "none"', 'four_eyes = "post"', 1), "utf-8")
    (pack / "routing.toml").write_text(
        (pack / "routing.toml").read_text("utf-8").replace('confirm = "none"', 'confirm = "post"'),
        "utf-8",
    )
    problems = told(pack, GOOD)
    assert problems == (
        "rules.toml: line 24: rules[one].then[1].confirm: expected 'post', as four_eyes of the category is post",
    )


def test_queues_are_those_of_the_desk(tmp_path: Path) -> None:
    pack = Path(shutil.copytree(PACKS / "ma", tmp_path / "ma"))
    text = (pack / RULES_FILE).read_text(encoding="utf-8")
    (problem,) = told(pack, text.replace('queue = "cyber"', 'queue = "cybr"', 1))
    assert "expected the id of a queue of desk.toml, got 'cybr'; did you mean 'cyber'?" in problem
    assert "line " in problem


def test_only_toml_is_read_as_rules(pack: Path) -> None:
    (pack / "rules.json").write_text("{}", encoding="utf-8")
    with pytest.raises(CountryPackError, match=r"rules\.json: not a section of a country pack"):
        load_country_pack(pack)


def test_a_text_is_checked_without_its_pack() -> None:
    with pytest.raises(RulesError) as caught:
        read_rules(GOOD.replace("levels = 1", 'levels = "x"'))
    assert "line 23" in str(caught.value)
    assert not check_rules(read_rules(GOOD), load_country_pack(PACKS / "example"))


def test_a_line_inside_a_condition_is_counted() -> None:
    file = read_rules(GOOD)
    when = file.rules[0].when
    assert file.problem(0, ("when",), "x", offset=when.index("minor")).startswith(
        "rules.toml: line 20: rules[one].when: "
    )
    assert "line 34" in file.problem(1, ("when",), "x", offset=3)


def test_places_skip_what_stands_in_long_strings() -> None:
    text = 'a = 1\nb = """\n[[rules]]\nc = 1\n"""\n[[rules]]\nid = "x"\n'
    lines = places(text)
    assert line_of(lines, ("rules", 0, "id")) == 7
    assert line_of(lines, ("rules", 0, "nothing", 3)) == 6
    assert line_of(lines, ("none",)) is None
    assert ("c",) not in lines
