# SPDX-License-Identifier: Apache-2.0
"""Copies are found, strangers are not, and a stored sketch tells nobody a text."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wasl_triage.domain import signals
from wasl_triage.domain.signals import (
    NEAR,
    Campaigns,
    Candidate,
    Join,
    Sketch,
    Sketcher,
    join,
    personal_data,
)
from wasl_triage.domain.signals.neardup import ROWS, folded

SKETCHER = Sketcher(b"a secret of a test, 32 bytes long")
OTHER = Sketcher(b"another secret of a test, 32 long")
TEXT = "Cette page demande de payer une avance pour un emploi qui n'existe pas, attention à vous"


def sketch(text: str) -> Sketch:
    drawn = SKETCHER.sketch(text, personal_data(text))
    assert drawn is not None
    return drawn


@pytest.mark.parametrize(
    "copy",
    [
        TEXT.upper(),
        TEXT.replace("a", "á").replace("e", "è"),
        TEXT.replace("page", "paaaage").replace("vous", "vouuus!!!"),
        TEXT.replace(" ", "  ") + " 12345",
        "\u200f" + TEXT,
    ],
)
def test_spelling_does_not_hide_a_copy(copy: str) -> None:
    assert sketch(copy).similarity(sketch(TEXT)) > 0.95


def test_arabic_vowels_tatweel_and_hamza_do_not_hide_a_copy() -> None:
    one = "هذه الصفحة تطلب المال من الناس مقابل عمل غير موجود في إحدى الشركات"
    other = "هَـــذه الصفحة تطلب المااال من الناس مقابل عمل غير موجود في احدى الشركات"
    assert sketch(one).similarity(sketch(other)) > 0.95


def test_a_campaign_with_another_target_each_time_is_one_text() -> None:
    body = "attention, ce compte vole des photos et demande de l'argent à ses amies"
    targets = [
        "https://example.org/1 tel 0612345678",
        "https://example.net/b?x=2 tel +212 6 98 76 54 32",
        "a.b@example.org tel 0611111111",
    ]
    one, *others = [sketch(f"{body} {target}") for target in targets]
    assert all(one.similarity(other) == 1 for other in others)


def test_edits_are_near_and_strangers_far(samples: list[dict[str, Any]]) -> None:
    rng = random.Random(5)
    words = sorted({w for row in samples for w in row["text"].split()})
    texts = [" ".join(rng.choices(words, k=30)) for _ in range(120)]
    near = []
    for text in texts:
        edited = text.split()
        edited[rng.randrange(30)] = rng.choice(words)
        edited[rng.randrange(30)] = rng.choice(words)
        near.append(sketch(text).similarity(sketch(" ".join(edited))))
    assert sum(s >= NEAR for s in near) >= 118
    drawn = [sketch(text) for text in texts]
    far = [a.similarity(b) for i, a in enumerate(drawn) for b in drawn[i + 1 :]]
    assert max(far) < NEAR


def test_the_samples_are_strangers_to_one_another(samples: list[dict[str, Any]]) -> None:
    campaigns = Campaigns()
    for row in samples:
        if drawn := SKETCHER.sketch(row["text"], personal_data(row["text"])):
            campaigns.add(row["id"], drawn)
    assert campaigns.groups() == []


def test_bands_find_what_is_near() -> None:
    one, other = sketch(TEXT), sketch(TEXT + " et merci beaucoup")
    assert one.similarity(other) > 0.7
    assert set(one.bands) & set(other.bands)
    assert len(set(one.bands)) == len(one.bands) == 32
    assert all(len(band) == 10 and band.isascii() for band in one.bands)


@pytest.mark.parametrize(
    "text", ["", "merci", "Faux profil, demande de l'argent", "1" * 500, "a" * 90]
)
def test_a_short_text_is_nobodys_copy(text: str) -> None:
    assert SKETCHER.sketch(text) is None


def test_without_the_secret_no_text_can_be_tested() -> None:
    mine, theirs = SKETCHER.sketch(TEXT), OTHER.sketch(TEXT)
    assert mine is not None
    assert theirs is not None
    assert mine.similarity(theirs) < 0.05
    assert not set(mine.bands) & set(theirs.bands)
    with pytest.raises(ValueError, match="give it 16 or more"):
        Sketcher(b"short")


def test_a_sketch_is_kept_as_text_of_its_scheme() -> None:
    one = sketch(TEXT)
    assert Sketch.parse(str(one)) == one
    assert Sketch.parse("0.1:" + str(one).partition(":")[2]) is None
    with pytest.raises(ValueError, match=f"a sketch has {2 * ROWS} bytes"):
        Sketch.parse(str(one)[:-8])


def test_the_campaign_a_text_joins() -> None:
    one, far = (
        sketch(TEXT),
        sketch("Une tout autre histoire de colis que personne n'a commandé ici"),
    )
    assert join(one, []) is None
    assert join(one, [Candidate("c1", far)]) is None
    found = join(one, [Candidate("c3", one), Candidate("c1", far), Candidate("c2", one)])
    assert found == Join("c2", ("c3",), 1.0, "same_text")
    near = join(sketch(TEXT + " et merci beaucoup"), [Candidate("c1", one)])
    assert near is not None
    assert near.because == "near_text"


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="abcdefgh éا", min_size=60, max_size=160), st.text("xyz ب", max_size=40))
def test_likeness_is_symmetrical_and_a_text_is_like_itself(text: str, more: str) -> None:
    one, other = SKETCHER.sketch(text), SKETCHER.sketch(text + more)
    if one is None or other is None:
        return
    assert one.similarity(other) == other.similarity(one)
    assert one.similarity(one) == 1
    assert 0 <= one.similarity(other) <= 1
    assert folded(folded(text)) == folded(text)


@settings(max_examples=30, deadline=None)
@given(st.randoms(use_true_random=False))
def test_groups_do_not_depend_on_the_order(rng: random.Random) -> None:
    texts = {
        f"{family}{n}": f"{TEXT} {family * 9} {'et encore ' * n}"
        for family in "kq"
        for n in range(4)
    }
    texts |= {"z": "Une tout autre histoire de colis que personne n'a commandé ici"}
    order = list(texts)
    rng.shuffle(order)
    campaigns = Campaigns()
    for name in order:
        campaigns.add(name, sketch(texts[name]))
    wanted = Campaigns()
    for name, text in texts.items():
        wanted.add(name, sketch(text))
    assert campaigns.groups() == wanted.groups()
    assert wanted.groups()
    with pytest.raises(ValueError, match="was added before"):
        campaigns.add("z", sketch(TEXT))


def test_all_signals_at_once_say_why() -> None:
    text = "Bonjour, ce compte publie mon numéro 0612345678 et mon adresse a@example.org, je veux me tuer"
    read = signals.read(text, SKETCHER)
    assert read.version == signals.VERSION
    assert read.language == signals.language_hint(text)
    assert read.kinds == ("email", "phone")
    assert read.self_harm
    assert read.sketch == sketch(text)
    why = dict(read.why)
    assert why["phone:number_plan"] == why["email:form"] == why["self_harm:words"] == 1
    assert why["language:fr_words"] > 3
    assert signals.read(text).sketch is None
