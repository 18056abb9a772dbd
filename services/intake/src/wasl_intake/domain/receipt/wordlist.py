# SPDX-License-Identifier: Apache-2.0
"""The receipt's words: 1,024 a language, one to a symbol, and which one a person may have meant.

Words are compared folded, so nobody needs an accent, a hamza or a capital. Within a list two words
differ by two slips of the pen or more; no word is in two lists. The order of a list is part of
every receipt given out: a released list never changes.
"""

import re
import unicodedata
from importlib import resources

from wasl_intake.domain.receipt.code import symbols_of

LANGUAGES = ("ar", "fr", "en")
SIZE = 1024
_LONGEST = 12  # a longer word than any of the lists' with every slip that is forgiven

#: Accents, Arabic vowel signs, and characters that show nothing: directions, joiners, soft hyphens.
IGNORED = (
    "\u0300-\u036f\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e8\u06ea-\u06ed"
    "\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufe00-\ufe0f\ufeff"
)
_IGNORED = re.compile(f"[{IGNORED}]")
_SAME = str.maketrans(
    {
        **dict.fromkeys("ءـ", ""),
        **dict.fromkeys("ىی", "ي"),
        **dict.fromkeys("ةھہە", "ه"),
        "ٱ": "ا",
        "ک": "ك",
        "œ": "oe",
        "æ": "ae",
    }
)


def fold(word: str) -> str:
    """A word as it is compared: no case, accents, vowel signs, hamza, tatweel or final forms."""
    word = word.casefold()
    if word.isascii():
        return word
    # Decomposed, a letter's hamza or accent is a mark of its own and falls with the others.
    # Marks as they were typed fall first: sorting many of them takes quadratic time.
    word = unicodedata.normalize("NFKD", _IGNORED.sub("", word))
    return _IGNORED.sub("", word).translate(_SAME)


def _load(language: str) -> tuple[str, ...]:
    file = resources.files("wasl_intake") / "data" / "receipt-words" / f"{language}.txt"
    found = tuple(file.read_text("utf-8").split())
    if len(found) != SIZE:
        raise ValueError(f"{language}.txt must have {SIZE} words, has {len(found)}")
    return found


LISTS = {language: _load(language) for language in LANGUAGES}
FOLDED = {language: tuple(fold(w) for w in words) for language, words in LISTS.items()}
#: Folded word → its language and symbol.
PLACES = {w: (lang, i) for lang, words in FOLDED.items() for i, w in enumerate(words)}


def _traces(word: str) -> int:
    """Which letters a word has, as bits: one slip changes two of them at most."""
    bits = 0
    for letter in word:
        bits |= 1 << ord(letter) % 64
    return bits


_TRACES = {language: tuple(map(_traces, words)) for language, words in FOLDED.items()}


def words(code: str, language: str) -> str:
    """Nine words for people. ``language``: a tag; another than ar, fr and en is given English."""
    primary = language.partition("-")[0].lower()
    listed = LISTS[primary if primary in LISTS else "en"]
    return " ".join(listed[symbol] for symbol in symbols_of(code))


def distance(a: str, b: str, limit: int) -> int:
    """Slips between two words: a letter wrong, missing or too many, or two neighbours swapped.

    Optimal string alignment; a distance beyond ``limit`` is any number beyond it.
    """
    if abs(len(a) - len(b)) > limit:
        return limit + 1
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        above, row = row, [i]
        for j, y in enumerate(b, 1):
            best = min(above[j] + 1, row[-1] + 1, above[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                best = min(best, before[j - 2] + 1)
            row.append(best)
        if min(row) > limit:
            return limit + 1
        before = above
    return row[-1]


def near(word: str, language: str, limit: int) -> list[tuple[int, int]]:
    """Distance and symbol of every word of a list at most ``limit`` slips from a folded word."""
    if len(word) > _LONGEST:
        return []
    traces, folded = _traces(word), FOLDED[language]
    alike = (
        (distance(word, folded[symbol], limit), symbol)
        for symbol, other in enumerate(_TRACES[language])
        if (traces ^ other).bit_count() <= 2 * limit
    )
    return [(slips, symbol) for slips, symbol in alike if slips <= limit]
