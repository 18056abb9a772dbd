# SPDX-License-Identifier: Apache-2.0
"""The language of a text, in the registers Moroccan reports come in.

No packaged detector knows Darija, in Arabic letters or in Latin ones with digits (Arabizi), so
words and word forms decide first and say so; a packaged model (``py3langid``, inside its wheel,
nothing is fetched) is asked only where they are silent or undecided. A hint decides nothing.
"""

import re
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from wasl_triage.domain.signals import vocabulary
from wasl_triage.domain.signals.folding import plain

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier


@dataclass(frozen=True, slots=True)
class Hint:
    """``tag``: BCP 47; ``mul`` where two languages share the text, ``und`` where nothing speaks.

    ``because``: one constant word. ``cues``: kind of cue and how often it was met. ``shares``: tag
    and its part of the words that spoke, the largest first, one entry at least unless ``und``.
    """

    tag: str
    because: str
    cues: tuple[tuple[str, int], ...] = ()
    shares: tuple[tuple[str, float], ...] = ()


_DARIJA_FORM = re.compile(
    r"\b[وف]?(?:كي(?!ف)|كت(?!اب|بت|ير|ب\b)|كن(?!ي|ت|ا\b)|تي(?=[ضشخعصطد])|تن(?=[عدقشخ]))[\u0621-\u064a]{3,}"
    r"|\b[وف]?(?:غاي|غان|غات|غن|غي(?!ر|اب))[\u0621-\u064a]{3,}"
    r"|\b(?:ما|م)[\u0621-\u064a]{3,9}(?:و|ي|ا|ت|ن|ك|ل|د|ف|ق|ر|ب|ع)ش\b|\bما [\u0621-\u064a]{2,9}ش\b"
    r"|\bف?هاد[ \u0627-\u064a]|\b[فع]ال[\u0621-\u064a]{3,}|\bكي[\u0621-\u064a]{2,}و\b"
)
_ARABIZI_DIGIT = re.compile(
    r"\b(?:[379][a-z]{1,2}[aeiou379]?[a-z379]{1,10}|[a-z]{1,8}[379][a-z379]{1,10}|[a-z]{2,6}[a-z][379])\b"
)
#: Looks like Arabizi and is a thing's name, a rank or an hour.
_DIGIT_NAME = re.compile(
    r"(?:mp|ps|h|x|win|windows|iphone|ios|art|article|no|num|page|item|web|gt|g|s|a|b|c|v|covid|fictif|galaxy|note|vol|ch)\d"
    r"|\d(?:rd|th|nd|am|pm|eme|ème|ieme|kg|km|cm|mm|mb|gb|ans|jours?|mois|dh|dhs|mad|eur|days?|years?|hours?|h|x|px|fois)$"
)
#: Each way begins with its letter, and looks back whether a word does: so the search runs from one
#: of four letters to the next instead of trying every place.
_ARABIZI_FORM = re.compile(
    r"k(?<=\bk)(?:a[ytni]|i[jdsgtn])[bcdfghjklmnpqrstvwxyz379][a-z0-9]{2,}\b"
    r"|t(?<=\bt)a[yn][bcdfghjklmnpqrstvwxyz379][a-z0-9]{2,}\b"
    r"|g(?<=\bg)ha[nyti][a-z379]{2,}\b"
    r"|m(?<=\bm)a ?[a-z379]{3,9}(?:ch|sh)\b"
)
_AMAZIGH_LETTER = re.compile("[ɣḍṭṣẓεγḥɛǧ]")
_LETTER = re.compile("[A-Za-z\u00c0-\u024f]")
_AMAZIGH_FORM = re.compile(r"\bt[aiu][a-z]{2,}t\b|\b[a-z]{1,6}egh\b")

_TIFINAGH = re.compile("[\u2d30-\u2d7f]+")
_WORD = re.compile(r"[^\W_]+")
_ARABIC_WORD = re.compile("[\u0621-\u064a\u0671-\u06d3]{2,}")
_NOT_WORDS = re.compile(r"\S*(?:://|\[\.\]|@|www\.)\S*|<[^>]{0,80}>")
#: Characters that decide a text's language; more of them never changed one.
_ENOUGH = 3000
_MODEL_READS = 300
_MODEL_SURE = 0.6
#: Languages the model may name; the rest are too far from what is written here to be worth a guess.
_MODEL_TAGS = ("ar", "de", "en", "es", "fa", "fr", "it", "kab", "nl", "pt", "ru", "tr", "ur", "zh")
#: A second language counts from this part of the words on, and from this many words; Darija in a
#: text that is mostly something else from less, since nothing borrows from it.
_SHARED, _SHARED_SPOKEN, _SHARED_CUES = 0.3, 0.15, 3


_DARIJA_WEAK = frozenset(map(plain, vocabulary.DARIJA_WEAK))
_DARIJA_SURE = frozenset(map(plain, vocabulary.DARIJA)) - _DARIJA_WEAK
_STANDARD = frozenset(map(plain, vocabulary.STANDARD)) - _DARIJA_SURE
_ARABIZI_SURE = vocabulary.ARABIZI - vocabulary.ARABIZI_WEAK
_AMAZIGH_SURE = vocabulary.AMAZIGH - vocabulary.AMAZIGH_WEAK
_FRENCH_ONLY = vocabulary.FRENCH - vocabulary.ENGLISH - vocabulary.SPANISH
_ENGLISH_ONLY = vocabulary.ENGLISH - vocabulary.FRENCH - vocabulary.SPANISH
_SPANISH_ONLY = vocabulary.SPANISH - vocabulary.FRENCH - vocabulary.ENGLISH


class _Tally:
    """How many words of a text each of some lists knows, in one pass over the words.

    A word's entry is a number with 16 bits for each list, so that adding entries counts for all:
    fewer words than that are ever read.
    """

    def __init__(self, *lists: Iterable[str]) -> None:
        self._entries: dict[str, int] = {}
        for place, words in enumerate(lists):
            for word in words:
                self._entries[word] = self._entries.get(word, 0) + (1 << 16 * place)
        self._counts = struct.Struct(f"<{len(lists)}H")

    def count(self, words: Iterable[str]) -> tuple[int, ...]:
        """One number for each list, in the order they were given."""
        total = sum(filter(None, map(self._entries.get, words)))
        return self._counts.unpack(total.to_bytes(self._counts.size, "little"))


_ARABIC = _Tally(_DARIJA_SURE, _DARIJA_WEAK, _STANDARD)
_LATIN = _Tally(
    *(_FRENCH_ONLY, _ENGLISH_ONLY, _SPANISH_ONLY),
    *(_ARABIZI_SURE, vocabulary.ARABIZI_WEAK, _AMAZIGH_SURE, vocabulary.AMAZIGH_WEAK),
)


@cache
def _model() -> "LanguageIdentifier":
    """The packaged model: read once, from the wheel's own file (about 0.6 s)."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # noqa: PLC0415  heavy, and rare

    model = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    model.set_languages(_MODEL_TAGS)
    return model


def prepare() -> None:
    """Read the model now, so that no report waits for it."""
    _model()


def _asked(text: str) -> str | None:
    """What the model says of the text; None where it is not sure."""
    tag, confidence = _model().classify(text[:_MODEL_READS])
    if confidence < _MODEL_SURE:
        return None
    return "zgh-Latn" if tag == "kab" else str(tag)


def _arabic(text: str) -> tuple[str, str, list[tuple[str, int]]]:
    """Darija or standard Arabic: tag, reason, cues."""
    folded = plain(text)
    sure, weak, standard = _ARABIC.count(_ARABIC_WORD.findall(folded))
    forms = len(_DARIJA_FORM.findall(folded))
    cues = [("darija_words", sure), ("darija_forms", forms), ("standard_words", standard)]
    spoken = 2 * sure + forms
    if (
        (spoken >= 2 and spoken >= standard)
        or (spoken and not standard)
        or (weak > 1 and not standard)
    ):
        return "ary", "darija_words" if sure or weak else "darija_forms", cues
    return "ar", "arabic_script", cues


def _latin(words: list[str], lowered: str) -> dict[str, int]:
    """Cues of each language written in Latin letters."""
    french, english, spanish, arabizi, arabizi_weak, amazigh, amazigh_weak = _LATIN.count(words)
    if "3" in lowered or "7" in lowered or "9" in lowered:
        arabizi += sum(
            1
            for match in _ARABIZI_DIGIT.finditer(lowered)
            if match[0] not in vocabulary.ARABIZI and not _DIGIT_NAME.search(match[0])
        )
    arabizi += sum(
        1
        for match in _ARABIZI_FORM.finditer(lowered)
        if match[0] not in vocabulary.ARABIZI and match[0] not in vocabulary.NOT_ARABIZI
    )
    if arabizi:
        arabizi += arabizi_weak
    if not lowered.isascii():
        amazigh += len(_AMAZIGH_LETTER.findall(lowered))
    if amazigh:
        amazigh += amazigh_weak + len(_AMAZIGH_FORM.findall(lowered))
    return {
        "fr": french,
        "en": english,
        "ary-Latn": arabizi,
        "zgh-Latn": amazigh,
        "es": spanish,
    }


def language_hint(text: str) -> Hint:
    """The likely language of the text's beginning; ``und`` where nothing speaks."""
    text = text[:_ENOUGH]
    if "://" in text or "@" in text or "[.]" in text or "www." in text or "<" in text:
        text = _NOT_WORDS.sub(" ", text)
    words: dict[str, float] = {}  # by tag: how many of the text's words speak for it
    cues: list[tuple[str, int]] = []
    because, latin = "common_words", text
    if not text.isascii():
        if amazigh := sum(map(len, _TIFINAGH.findall(text))):
            words["zgh"], because = 1 + amazigh / 5, "tifinagh"
            cues.append(("tifinagh_letters", amazigh))
        arabic = _ARABIC_WORD.findall(text)
        if (letters := sum(map(len, arabic))) >= 3:
            if sum(map(text.count, "یکےہٹڈ")) > letters / 20 + 1:
                tag = _asked(text) or "ar"
                return Hint(tag, "model", (("other_arabic_letters", 1),), ((tag, 1.0),))
            tag, why, arabic_cues = _arabic(text)
            because = because if words else why
            cues += arabic_cues
            words[tag] = len(arabic)
            if _LETTER.search(text) is None:
                return _hint(words, because, tuple(cues))
            latin = _ARABIC_WORD.sub(" ", text)
    lowered = latin.lower()
    tokens = _WORD.findall(lowered)
    spoken = _latin(tokens, lowered)
    cues += [(f"{tag}_words", count) for tag, count in spoken.items() if count]
    said = sum(spoken.values())
    if not words:
        if said < 2 or sorted(spoken.values())[-2] * 2 > max(spoken.values()):
            return _undecided(text, spoken, tuple(cues))
        words = {tag: float(count) for tag, count in spoken.items() if count}
    elif said > 1:  # among others, Latin letters count by all their words
        scale = len(tokens) / said
        words |= {tag: count * scale for tag, count in spoken.items() if count}
    return _hint(words, because, tuple(cues))


def _hint(words: Mapping[str, float], because: str, cues: tuple[tuple[str, int], ...]) -> Hint:
    if len(words) == 1:
        (only,) = words
        return Hint(only, because, cues, ((only, 1.0),))
    total = sum(words.values())
    ranked = sorted(words.items(), key=lambda entry: -entry[1])
    shares = tuple((tag, round(count / total, 2)) for tag, count in ranked)
    # Darija is one language in two scripts; who writes Darija borrows French, not the reverse.
    first, tongues = ranked[0][0], {tag: 0.0 for tag, _ in ranked}
    for tag, count in ranked:
        tongues["ary-Latn" if tag == "ary" and "ary-Latn" in tongues else tag] += count
    spoken = max(tongues.get("ary", 0.0), tongues.get("ary-Latn", 0.0))
    others = total - spoken if first.startswith("ary") else spoken
    needed = _SHARED if first.startswith("ary") else _SHARED_SPOKEN
    second = ranked[1][1]
    if (others >= _SHARED_CUES and others / total >= needed) or (
        second >= _SHARED_CUES and second / total >= _SHARED
    ):
        return Hint("mul", "two_languages", cues, shares)
    arabic = words.get("ar", 0.0) + words.get("ary", 0.0)
    if min(arabic, total - arabic) >= _SHARED_CUES:
        return Hint("mul", "two_scripts", cues, shares)
    return Hint(first, because, cues, shares)


def _undecided(text: str, spoken: Mapping[str, int], cues: tuple[tuple[str, int], ...]) -> Hint:
    """Few or contradicting cues: two languages, or a question for the model."""
    words = {tag: float(count) for tag, count in spoken.items() if count}
    most = max(spoken.values())
    if words and most >= 2 * _SHARED_CUES and len(words) > 1:
        return _hint(words, "common_words", cues)
    own = spoken["ary-Latn"]
    if own and own == most and own > spoken["fr"]:  # the model has never seen it
        return Hint("ary-Latn", "common_words", cues, (("ary-Latn", 1.0),))
    asked = _asked(text) if any(map(str.isalpha, text)) else None
    if asked is not None:
        return Hint(asked, "model", cues, ((asked, 1.0),))
    if words:
        tag = max(words, key=lambda t: words[t])
        return Hint(tag, "common_words", cues, ((tag, 1.0),))
    return Hint("und", "no_known_words")
