# SPDX-License-Identifier: Apache-2.0
"""A report's text and a lexicon's phrases in one plain form, so that spellings meet.

Lower case, no diacritics or tatweel, Arabic letters with their variants folded, digits ASCII,
letters drawn out for emphasis written once, everything else a space. Arabic in Latin letters has no
agreed vowels, so its longer words are compared without them, in the skeleton that follows the text.
"""

import re
import unicodedata
from collections.abc import Iterator

#: Characters looked at; a longer text is judged by its beginning.
SCAN_LIMIT = 8_000
#: Letters a skeleton must have: shorter ones are words of other languages too.
SKELETON_LETTERS = 4

_FOLDED = {
    **dict.fromkeys("أإآٱ", "ا"),
    **dict.fromkeys("ىیې", "ي"),
    **dict.fromkeys("ڭگک", "ك"),
    **dict(zip("ةؤئڤپ", "هويفب", strict=True)),
    "œ": "oe",
    "æ": "ae",
    "ß": "ss",
}


_DROPPED = frozenset({0x640, 0x670, *range(0x64B, 0x660), *range(0x200B, 0x2010)})


class _Plain(dict[int, str]):
    """What becomes of a character, worked out when it is first met."""

    def __missing__(self, point: int) -> str:
        self[point] = made = "".join(_fold(letter) for letter in chr(point).lower())
        return made


def _fold(letter: str) -> str:
    if ord(letter) in _DROPPED or unicodedata.combining(letter):
        return ""
    if not letter.isalnum():
        return " "
    if letter.isdecimal():
        return str(unicodedata.decimal(letter))
    folded = _FOLDED.get(letter)
    return folded or (unicodedata.normalize("NFD", letter)[0] if letter < "\u0180" else letter)


_PLAIN = _Plain()
_LATIN = re.compile("[a-z]")
_CRY = re.compile(r"(\D)\1\1+")
_DOUBLES = [(letter * 2, letter) for letter in "abcdefghijklmnopqrstuvwxyz"]
_BONES = str.maketrans("79g5", "hqqx", "aeiouyw26")
#: What Arabic writes together with the next word: and, in, with, to, the.
_ARABIC_CLITICS: tuple[str, ...] = (
    *("", "و", "ف", "ب", "ل", "ال", "وال", "فال", "بال", "لل", "ول", "وب", "هاد ال", "ولل"),
)
#: The same in Latin letters, and the beginnings of verbs.
_LATIN_CLITICS: tuple[str, ...] = ("", "l", "f", "b", "w", "d", "fl", "bl", "dl", "wl")
_BONE_CLITICS: tuple[str, ...] = (
    *("", "l", "f", "b", "d", "k", "kt", "kn", "t", "n", "fl", "bl", "dl", "8", "8t", "m"),
)
_RANGE = re.compile(r"\{(\d+)-(\d+)\}")
_ARABIC = re.compile("[\u0621-\u06d3]")


def _plain(text: str) -> str:
    return _CRY.sub(r"\1", " ".join(text.translate(_PLAIN).split()))


def _single(plain: str) -> str:
    """Doubled Latin letters written once: they are doubled, or not, at will."""
    for double, letter in _DOUBLES:
        while double in plain:
            plain = plain.replace(double, letter)
    return plain


def _bones(plain: str) -> str:
    plain = plain.replace("gh", "8").replace("sh", "ch").replace("kh", "x")
    return _single(plain.translate(_BONES))


def haystack(text: str) -> tuple[str, int]:
    """The text as phrases are looked for in it, and where its skeleton begins.

    Both halves have the same words in the same order, each with a space before and after it.
    """
    plain = f" {_plain(text[:SCAN_LIMIT])} "
    if not _LATIN.search(plain):
        return plain, len(plain)
    single = _single(plain)
    return single + _bones(plain), len(single)


def needles(phrase: str, register: str) -> frozenset[str]:
    """What to look for in a haystack to find the phrase of a lexicon."""
    return frozenset(n for one in _numbers(phrase) for n in _needles(one, register))


def _numbers(phrase: str) -> Iterator[str]:
    if (match := _RANGE.search(phrase)) is None:
        yield phrase
        return
    for number in range(int(match[1]), int(match[2]) + 1):
        yield from _numbers(f"{phrase[: match.start()]}{number}{phrase[match.end() :]}")


def _needles(phrase: str, register: str) -> Iterator[str]:
    before = "" if phrase.startswith("*") else " "
    after = "" if phrase.endswith("*") else " "
    plain = _plain(phrase.strip("*"))
    single = _single(plain)
    if _ARABIC.search(plain):
        clitics = _ARABIC_CLITICS if before else ("",)
        yield from (f"{before}{c}{single}{after}" for c in clitics)
    elif register.endswith("-Latn"):
        spellings = {single, single.replace("ou", "o"), single.replace("ou", "u")}
        spellings |= {s.translate(str.maketrans("79", "hq")) for s in spellings}
        clitics = _LATIN_CLITICS if before else ("",)
        yield from (f"{before}{c}{s}{after}" for c in clitics for s in spellings)
        bones = _bones(plain)
        for clitic in _BONE_CLITICS if before else ("",):
            if len((clitic + bones).replace(" ", "")) >= SKELETON_LETTERS:
                yield f"{before}{clitic}{bones}{after}"
    else:
        yield f"{before}{single}{after}"
