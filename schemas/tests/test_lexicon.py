# SPDX-License-Identifier: Apache-2.0
"""The lexicon of a country pack: what is checked without reading a text."""

import shutil
from pathlib import Path

import pytest
from pydantic import ValidationError
from wasl_schemas.country_pack import CountryPackError, load_country_pack
from wasl_schemas.lexicon import Cue, Lexicon, check_lexicon

PACKS = Path(__file__).parents[2] / "deploy" / "country-packs"


def _problems(tmp_path: Path, change: str, to: str) -> list[str]:
    copy = tmp_path / "pack"
    shutil.copytree(PACKS / "example", copy)
    file = copy / "lexicon.toml"
    text = file.read_text(encoding="utf-8")
    assert change in text
    file.write_text(text.replace(change, to, 1), encoding="utf-8")
    with pytest.raises(CountryPackError) as wrong:
        load_country_pack(copy)
    return [p for p in wrong.value.problems if p.startswith("lexicon.toml")]


@pytest.mark.parametrize("name", ["ma", "example"])
def test_the_packs_of_the_repository_have_a_lexicon(name: str) -> None:
    lexicon = load_country_pack(PACKS / name).lexicon
    assert lexicon.version >= 1
    assert lexicon.categories


def test_every_category_of_the_moroccan_pack_has_cues() -> None:
    pack = load_country_pack(PACKS / "ma")
    assert {c.id for c in pack.lexicon.categories} == {*pack.categories, "not_a_report"}


def test_the_section_is_optional(tmp_path: Path) -> None:
    copy = tmp_path / "pack"
    shutil.copytree(PACKS / "example", copy)
    (copy / "lexicon.toml").unlink()
    assert load_country_pack(copy).lexicon == Lexicon()


@pytest.mark.parametrize(
    ("change", "to", "said"),
    [
        ('id = "scam"\n', 'id = "nope"\n', "categories[nope].id: expected the id of a category"),
        ('all = ["money"', 'all = ["gold"', "expected the id of a term, got 'gold'"),
        ('all = ["money"', 'all = ["vanished"', "terms[money]: no cue uses it"),
        ("fits = false", "fits = true", "expected one that fits and one that does not"),
        ('words.ar = ["مال"', 'words.fr = ["مال"', "words.fr: expected a register of [registers]"),
        ('"paid"', '"paid {1-200} times"', "expected a range of at most 100 numbers"),
        ('{ en = "money", ar = "مال" }', '{ en = "money" }', "expected words in this language"),
        ('"paid"', '"pa*id"', "expected match pattern"),
        ('id = "vanished"', 'id = "money"', "terms[money]: expected one entry, there are several"),
        ("weight = 5", "weight = 0", "a cue of weight 0 says nothing"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(
    tmp_path: Path, change: str, to: str, said: str
) -> None:
    problems = _problems(tmp_path, change, to)
    assert any(said in p for p in problems), problems


def test_a_cue_says_something() -> None:
    with pytest.raises(ValidationError, match="at least one of them"):
        Cue(weight=1)
    with pytest.raises(ValidationError, match="all is needed"):
        Cue(facts=("kind=post",), unless=("money",), weight=1)


def test_terms_without_a_version_are_no_lexicon() -> None:
    term = {"id": "money", "label": {"en": "money"}, "words": {"en": ["money"]}}
    with pytest.raises(ValidationError, match="begin with version = 1"):
        Lexicon.model_validate({"terms": [term]})


def test_not_a_report_is_known_beside_the_categories() -> None:
    pack = load_country_pack(PACKS / "ma")
    assert list(check_lexicon(pack.lexicon, pack.categories)) == []
