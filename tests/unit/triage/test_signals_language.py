# SPDX-License-Identifier: Apache-2.0
"""Languages as they are written in Morocco, alone and mixed, and what a hint says of itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wasl_triage.domain.signals import language_hint


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("أريد أن أبلغ عن صفحة تنشر صورا بدون إذن أصحابها، المرجو التدخل.", "ar"),
        ("لماذا لم يتم حذف هذا المقطع منذ شهر؟", "ar"),
        ("واش ممكن تحيدو ليا هاد التصويرة راه ماشي أنا لي حطيتها", "ary"),
        ("شكون هاد السيد لي كيصيفط ليا الميساجات، مابغاش يسكت", "ary"),
        ("خويا تسرق ليه الكونط ديالو وكيطلبو بيه الفلوس", "ary"),
        ("ma3reftch chkoun li dar had compte b smiti", "ary-Latn"),
        ("3afakom 3awnouni, chi wahd kayhaddedni", "ary-Latn"),
        ("bghit n7iyed had tswira dyali", "ary-Latn"),
        ("Une page vend des comptes volés, merci de la fermer.", "fr"),
        ("Supprimez ce contenu, s'il vous plaît", "fr"),
        ("This profile uses my photos without my permission", "en"),
        ("Meet me at 7pm near gate 3, they sell mp3 files and PS5 consoles", "en"),
        ("Vente de h264 et mp3, 3eme étage, 7j/7 pour 9000 dh", "fr"),
        ("ⴰⵣⵓⵍ, ⵔⵉⵖ ⵜⵉⵡⵉⵙⵉ", "zgh"),
        ("azul, nkki righ ad inigh is illa kra n wawal ixcnn g internet", "zgh-Latn"),
        ("Hola, esta cuenta publica fotos de mi hija y pide dinero", "es"),
        ("Das Konto verbreitet Lügen über meine Familie und droht uns", "de"),
        ("این صفحه عکس‌های من را بدون اجازه منتشر کرده است", "fa"),
        ("Bonjour, شفت هاد الصفحة كتنشر تصاور الناس, merci de la supprimer pour nous tous", "mul"),
        ("", "und"),
        ("12345 !!! ??", "und"),
        ("https://example.org/une/page/avec/des/mots", "und"),
    ],
)
def test_the_language(text: str, tag: str) -> None:
    assert language_hint(text).tag == tag


def test_an_address_does_not_change_the_language() -> None:
    text = "هذه الصفحة تنشر صوري https://example.com/the/page/is/in/english"
    assert language_hint(text).tag == "ar"


def test_borrowed_french_does_not_make_darija_mixed() -> None:
    hint = language_hint("كيبيعو الدوا بلا وصفة فهاد القناة ديال تيليغرام، livraison partout")
    assert hint.tag == "ary"


def test_a_mixed_text_says_its_shares() -> None:
    hint = language_hint("Bonjour, ce compte est faux. Salam, had lcompte machi dyali 3afakom")
    assert hint.tag == "mul"
    assert {tag for tag, _ in hint.shares} >= {"fr", "ary-Latn"}
    assert hint.because == "two_languages"


def test_the_model_is_asked_only_where_cues_are_silent() -> None:
    assert language_hint("Das Konto verbreitet Lügen über meine Familie").because == "model"
    assert language_hint("Bonjour, je signale cette page").because == "common_words"


@given(st.text(max_size=300))
def test_a_hint_explains_itself_in_constant_words(text: str) -> None:
    hint = language_hint(text)
    assert hint.because.replace("_", "").isalpha()
    assert all(word.replace("_", "").replace("-", "").isalnum() for word, _ in hint.cues)
    assert all(0 <= share <= 1 for _, share in hint.shares)
    assert [s for _, s in hint.shares] == sorted((s for _, s in hint.shares), reverse=True)
    assert hint.tag in ("und", "mul") or hint.shares[0][0] == hint.tag
    assert language_hint(text) == hint
