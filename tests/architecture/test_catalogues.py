# SPDX-License-Identifier: Apache-2.0
"""No sentence without its translation, no translation without its sentence, and good manners.

What counts as used is read from the templates and the code, as translators' tools do it.
"""

import gettext
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import texts
from babel import Locale
from babel.messages.pofile import read_po
from wasl_chassis.i18n import SOURCE
from wasl_chassis.i18n import Locale as Texts
from wasl_schemas.country_pack import load_country_pack

PACK = load_country_pack(Path(__file__).parents[2] / "deploy" / "country-packs" / "ma")
LANGUAGES = [t for t, x in PACK.languages.items() if x.complete and t != SOURCE]
EVERY = [(package, lang) for package in texts.PACKAGES for lang in LANGUAGES]
ORDER = ("zero", "one", "two", "few", "many", "other")
HOLE = re.compile(r"\{([a-z_]+)\}")
NBSP = "\u00a0"


def strings(package: str, lang: str) -> Iterator[tuple[str, str]]:
    """Every translated form with its sentence."""
    for message in Texts(package).read(lang):
        if message.id:
            sentence = message.id if isinstance(message.id, str) else " | ".join(message.id)
            for form in texts.forms(message):
                yield sentence, form


def wrong_french(text: str) -> list[str]:
    """What breaks French typography: a sign without its no-break space."""
    plain = re.sub(r"\{[a-z_]+\}|https?://", "x", text)
    found = re.findall(rf".?(?<!{NBSP})[?!;»]", plain)
    found += re.findall(rf"[^{NBSP}\d]:|\d:(?!\d)", plain)
    return found + re.findall(rf"«(?!{NBSP}).?", plain)


def test_the_slot_is_there_and_marked() -> None:
    assert sorted(LANGUAGES) == ["ar", "fr"]
    assert not PACK.languages["zgh"].complete
    assert (Texts("wasl_intake").folder / "zgh").is_dir()
    assert "zgh" not in Texts("wasl_intake").languages()


def test_sentences_are_found_where_they_are() -> None:
    found = texts.used("wasl_intake")
    places = {file for where in found.values() for file, _ in where}
    assert "templates/base.html" in places
    assert "portal/site.py" in places
    assert "words.py" in places
    assert "Skip to the content" in found
    assert any(isinstance(key, tuple) for key in found)
    assert not [key for key in found if texts.first(key) != texts.first(key).strip(" \n") != ","]


@pytest.mark.parametrize(("package", "lang"), EVERY)
def test_nothing_is_missing(package: str, lang: str) -> None:
    assert sorted(texts.first(key) for key in texts.missing(package, lang)) == []


@pytest.mark.parametrize(("package", "lang"), EVERY)
def test_nothing_is_left_over(package: str, lang: str) -> None:
    assert texts.obsolete(package, lang) == []


@pytest.mark.parametrize(("package", "lang"), EVERY)
def test_nothing_is_fuzzy(package: str, lang: str) -> None:
    assert [m.id for m in Texts(package).read(lang) if m.id and m.fuzzy] == []


@pytest.mark.parametrize(("package", "lang"), EVERY)
def test_placeholders_are_the_same(package: str, lang: str) -> None:
    for sentence, form in strings(package, lang):
        wanted, got = set(HOLE.findall(sentence)), set(HOLE.findall(form))
        plural = "n" in wanted  # a form may say the number itself: "two minutes"
        assert got == wanted or (plural and got == wanted - {"n"}), sentence
        assert not re.search(r"[{}]", HOLE.sub("", form)), sentence


@pytest.mark.parametrize(("package", "lang"), EVERY)
def test_plurals_have_the_forms_of_cldr_in_its_order(package: str, lang: str) -> None:
    """Up to 999: beyond, French has a form for whole millions that nothing here counts to."""
    rule = Locale.parse(lang).plural_form
    order = [form for form in ORDER if form in {rule(n) for n in range(1000)}]
    whole = Texts(package).read(lang)
    headers = {whole.plural_expr: "all areas together"}
    for file in sorted(Path(str(Texts(package).folder / lang)).glob("*.po")):
        with file.open("rb") as stream:
            headers[read_po(stream, locale=lang).plural_expr] = file.name
    for expression, name in headers.items():
        index = gettext.c2py(expression)
        assert [index(n) for n in range(1000)] == [order.index(rule(n)) for n in range(1000)], name
    for message in whole:
        if isinstance(message.id, tuple):
            assert len(texts.forms(message)) == len(order), message.id[0]
            assert all(texts.forms(message)), message.id[0]


@pytest.mark.parametrize(("package", "lang"), EVERY)
def test_signs_are_those_of_the_language(package: str, lang: str) -> None:
    for sentence, form in strings(package, lang):
        assert not re.search("[\"']", form), f"straight quote: {sentence}"
        assert not re.search("[٠-٩۰-۹]", form), f"digits are Latin here: {sentence}"
        assert form == form.strip() or sentence != sentence.strip(), f"blank at an end: {sentence}"
        if lang == "fr":
            assert wrong_french(form) == [], sentence
        if lang == "ar":
            assert not re.search(r"[؀-ۿ] ?[?;,]", form), f"Latin sign: {sentence}"


def test_french_signs_are_seen_when_wrong() -> None:
    right = [f"Oui{NBSP}?", f"À{NBSP}: 10:30", "https://x", f"«{NBSP}a{NBSP}»", "{a}–{b}"]
    assert [wrong_french(t) for t in right] == [[]] * len(right)
    wrong = ["Oui ?", "Oui?", "A :", "A:", "« a »", "«a»", "a ; b", "{kind}: b", "À 10: b"]
    assert all(wrong_french(t) for t in wrong)
