# SPDX-License-Identifier: Apache-2.0
"""What a machine reads from a text, and the misses it owns up to."""

import time
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wasl_triage.domain.signals import (
    SCAN_LIMIT,
    PersonalData,
    kinds,
    language_hint,
    personal_data,
    redact,
    self_harm_cue,
)

P = PersonalData


def test_languages_of_the_samples(samples: list[dict[str, Any]]) -> None:
    wrong = {
        r["id"]: language_hint(r["text"]).tag
        for r in samples
        if language_hint(r["text"]).tag != r["language"]
    }
    assert wrong == {}


def test_personal_data_of_the_samples(samples: list[dict[str, Any]]) -> None:
    wrong = {r["id"] for r in samples if bool(personal_data(r["text"])) != r["contains_pii"]}
    # Both hold only a person's name, and names are not looked for.
    assert wrong == {"S26", "S28"}


def test_self_harm_of_the_samples(samples: list[dict[str, Any]]) -> None:
    assert [r["id"] for r in samples if self_harm_cue(r["text"])] == ["S13"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("écrivez à a.b+c@example.org.", ["email"]),
        ("tel 06 00 00 00 05 ou +212 6 00 00 00 25", ["phone", "phone"]),
        ("00212600000005", ["phone"]),
        ("RIB 000 000 0000000000000025 00", ["bank_account"]),
        ("007 780 0001234567890123 96", ["bank_account"]),  # check digits hold, no word needed
        ("107780000123456789012373", []),
        ("0600000005 0600000006", ["phone", "phone"]),
        ("IBAN GB82 WEST 1234 5698 7654 32", ["iban"]),
        ("GB82 WEST 1234 5698 7654 33", []),
        ("carte nationale AB000025", ["identity_card"]),
        ("référence AB000025", []),
        ("بطاقة التعريف: AB000012", ["identity_card"]),
        ("12 زنقة المثال، مدينة المثال", ["street_address"]),
        ("au 24, rue de l’Exemple", ["street_address"]),
        ("https://example.com/0600000005/x?id=100000000000028", []),
        ("7000000000000000022", []),
        ("il y a 3 000 dh", []),
        ("2026-01-05 09:00", []),
        ("", []),
    ],
)
def test_identifiers_by_their_form(text: str, found: list[str]) -> None:
    assert [f.kind.value for f in personal_data(text)] == found


def test_redaction_leaves_nothing_of_what_was_found() -> None:
    text = "Appelez le 06 00 00 00 05 ou a@example.org, CIN AB000012."
    found = personal_data(text)
    assert kinds(found) == ("email", "identity_card", "phone")
    clean = redact(text, found)
    assert clean == "Appelez le [phone] ou [email], CIN [identity_card]."
    assert personal_data(clean) == ()


@given(st.text(max_size=200))
def test_any_text_is_read_without_an_error(text: str) -> None:
    found = personal_data(text)
    assert all(text[f.start : f.end] for f in found)
    assert all(a.end <= b.start for a, b in pairwise(found))
    redact(text, found)
    assert language_hint(text).because
    assert self_harm_cue(text) in (True, False)


@pytest.mark.parametrize("filler", ["0 ", "a", "@a.", "06 ", "A1 ", "ما ", "1 rue ", "AB0 ", "9a"])
def test_hostile_length_is_cut_and_does_not_explode(filler: str) -> None:
    text = filler * (60_000 // len(filler))
    started = time.perf_counter()
    language_hint(text), personal_data(text), self_harm_cue(text)
    assert time.perf_counter() - started < 5
    assert all(f.end <= SCAN_LIMIT for f in personal_data(text))


@pytest.mark.parametrize(
    "text",
    [
        "Je veux me tuer",
        "she said she wants to die",
        "فكرت في الانتحار",
        "بغيت نموت",
        "ma bghitch n3ich",
        "elle se scarifie",
        "لا أريد أن أعيش",
    ],
)
def test_a_cry_for_help_is_heard(text: str) -> None:
    assert self_harm_cue(text)


def test_ordinary_words_are_not_a_cry_for_help() -> None:
    assert not self_harm_cue("La vie est belle, il tue le temps; ما كاين والو")
