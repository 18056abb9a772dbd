# SPDX-License-Identifier: Apache-2.0
"""Personal data by its form: what is found, what is not mistaken for it, and why."""

from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from wasl_triage.domain.signals import personal_data, redact


@pytest.mark.parametrize(
    ("text", "kind", "because"),
    [
        ("tel: [0612345678]", "phone", "number_plan"),
        ("رقمه [٠٦٦١٢٣٤٥٦٧]", "phone", "number_plan"),
        ("[+212 (0) 6 12 34 56 78]", "phone", "number_plan"),
        ("[+212612-345678]", "phone", "number_plan"),
        ("tel.[0522 12 34 56]", "phone", "number_plan"),
        ("[06.12.34.56.78]", "phone", "number_plan"),
        ("[06/12/34/56/78]", "phone", "number_plan"),
        ("[0 6 1 2 3 4 5 6 7 8]", "phone", "number_plan"),
        ("nmra dyalo [612345678]", "phone", "number_plan"),
        ("[00212 6 12 34 56 78]", "phone", "number_plan"),
        ("call [+33 6 12 34 56 78] now", "phone", "number_plan"),
        ("[+1 (202) 555-0143]", "phone", "number_plan"),
        ("[212612345678]", "phone", "number_plan"),
        ("\u202a[+212 612 345 678]\u202c", "phone", "number_plan"),
        ("([0612345678])", "phone", "number_plan"),
        ("écris à [a.b (at) example (dot) org] vite", "email", "form"),
        ("[a.b[at]example[dot]org]", "email", "form"),
        ("his mail is [ahmed at example dot com]", "email", "form"),
        ("[karim arobase example point org]", "email", "form"),
        ("[karim.x @ example.org]", "email", "form"),
        ("[karim.x@example . org]", "email", "form"),
        ("كريم [k.x آت example نقطة com]", "email", "form"),
        ("contact : [k.x(a)example.org]", "email", "form"),
        ("https://example.org/?to=[a@example.org]", "email", "form"),
        ("CIN [AB123456]", "identity_card", "cue"),
        ("C.I.N : [BK 123456]", "identity_card", "cue"),
        ("ma cin est [j123456]", "identity_card", "cue"),
        ("بطاقة التعريف الوطنية رقم [AB123456]", "identity_card", "cue"),
        ("[AB123456] (CIN)", "identity_card", "cue"),
        ("lakart dyalo [BE123456]", "identity_card", "cue"),
        ("Karim, [BK123456], a@example.org", "identity_card", "beside_other_data"),
        ("[007 780 0001234567890123 96]", "bank_account", "check_digits"),
        ("RIB : [011 780 0000123456789012 34]", "bank_account", "cue"),
        ("[MA64 0115 1900 0001 2050 0053 4921] merci", "iban", "check_digits"),
        ("[ma64011519000001205000534921]", "iban", "check_digits"),
        ("[GB82WEST12345698765432]", "iban", "check_digits"),
        ("[FR14 2004 1010 0505 0001 3M02 606]", "iban", "check_digits"),
        ("[12 bis, avenue Exemple]", "street_address", "form"),
        ("[rue de l'Exemple n° 12]", "street_address", "form"),
        ("[زنقة المثال رقم 12]", "street_address", "form"),
        ("lives at [21 Sample Street]", "street_address", "form"),
        ("[Bd Exemple 45], Ville", "street_address", "form"),
        ("[hay salam numero 12]", "street_address", "form"),
        ("[résidence Exemple, immeuble B, appartement 12]", "street_address", "form"),
        ("[12345-أ-6]", "vehicle_plate", "form"),
        ("سيارة [12345 أ 6]", "vehicle_plate", "cue"),
        ("voiture immatriculée [12345-A-6]", "vehicle_plate", "cue"),
        ("plaque [AB-123-CD]", "vehicle_plate", "cue"),
        ("matricule [WW 123456]", "vehicle_plate", "cue"),
        ("IP [203.0.113.7]", "ip_address", "form"),
        ("son ip : [2001:db8:85a3::8a2e:370:7334]", "ip_address", "form"),
    ],
)
def test_where_it_is_and_why(text: str, kind: str, because: str) -> None:
    start = text.index("[") if not text.startswith("[a.b[") else 0
    marked = text[:start] + text[start + 1 :]
    end = marked.rindex("]")
    plain = marked[:end] + marked[end + 1 :]
    found = [f for f in personal_data(plain) if f.kind == kind]
    assert [(f.start, f.end, f.because) for f in found] == [(start, end, because)]


@pytest.mark.parametrize(
    "text",
    [
        "commande 0612345678",
        "order number 0612345678",
        "n° de suivi : 0661234567890",
        "ticket CT-0661-000012",
        "الطلبية رقم 0612345678",
        "Réf. AB123456",
        "colis n° MA123456789",
        "dossier 2026/1201/123",
        "facture FA202612",
        "vol AT800, siège 12A",
        "carte cadeau AB12345",
        "Galaxy A52 S21, PS5, RTX 3080",
        "21:47:05",
        "10:30::",
        "2026-01-05T09:00:00",
        "le 05.09.2026 10:00",
        "05/06/2026 12 30",
        "06-05-2026 10 20",
        "version 1.2.3.4",
        "v10.0.2.1",
        "build 10.0.19041.1",
        "127.0.0.1",
        "999.1.2.3",
        "d41d8cd98f00b204e9800998ecf8427e",
        "550e8400-e29b-41d4-a716-446655440000",
        "00:1A:2B:3C:4D:5E",
        "ISBN 978-3-16-148410-0",
        "GB82 WEST 1234 5698 7654 33",
        "MA64 0115 1900 0001 2050 0053 4922",
        "100000000000028",
        "3 000 000 dh",
        "price 1.200.300,00",
        "3 و 4",
        "12 و 5 دراهم",
        "std::vector a::b",
        "look at example.com please",
        "j'ai vu 12 personnes dans la rue",
        "dans la rue, 12 personnes",
        "loi 09-08 et 103-13, art. 447-1",
        "id=0612345678",
        "https://example.com/0612345678?x=AB123456",
        "24h/24 7j/7",
    ],
)
def test_what_only_looks_like_it_is_left_alone(text: str) -> None:
    assert personal_data(text) == ()


_PIECES = st.sampled_from(
    (
        *("0612345678", "+212 6 12 34 56 78", "a@example.org", "a at example dot org", "CIN "),
        *("AB123456", "12 rue Exemple", "rue Exemple n° ", "12345-أ-6", "203.0.113.7", "RIB "),
        *("007780000123456789012396", "MA64011519000001205000534921", "2001:db8::1", "plaque "),
        *(
            " ",
            ", ",
            "-",
            ".",
            "/",
            ":",
            "\n",
            "commande ",
            "12",
            "٠٦",
            "x",
            "A",
            "و",
            "\u200f",
            "[",
        ),
    )
)


@settings(max_examples=600, deadline=None)
@given(st.lists(_PIECES, max_size=12).map("".join))
@example("0612345678 a@example.org, AB123456")
def test_spans_are_apart_and_redaction_leaves_none_of_them(text: str) -> None:
    found = personal_data(text)
    assert all(0 <= f.start < f.end <= len(text) for f in found)
    assert all(a.end <= b.start for a, b in pairwise(found))
    clean = redact(text, found)
    for one in found:
        datum = text[one.start : one.end]
        assert clean.count(datum) < text.count(datum)
    covered = text
    for one in found:
        covered = covered[: one.start] + "]" * (one.end - one.start) + covered[one.end :]
    assert personal_data(covered) == ()


def test_data_glued_to_data_is_found() -> None:
    text = "a@example.org0612345678+212 6 12 34 56 79/06 12 34 56 80"
    assert redact(text, personal_data(text)) == "[email][phone][phone]/[phone]"
