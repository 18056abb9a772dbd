# SPDX-License-Identifier: Apache-2.0
"""Reads a receipt back from whatever a person typed, and finds one in their prose.

Letters and digits are checked, never corrected. Words are forgiven slips as long as the check
agrees with exactly one reading; one word may be unreadable ("?"), it is then what the check says it
is. What the check finds wrong is never guessed further, so the work for hostile input is bounded.
"""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Final

from wasl_intake.domain.receipt.code import (
    ALPHABET,
    DIGITS,
    LENGTH,
    SYMBOLS,
    missing,
    of_digits,
    of_symbols,
    weighed,
    well_formed,
)
from wasl_intake.domain.receipt.wordlist import FOLDED, IGNORED, PLACES, distance, fold, near

#: What no receipt could be read from; never well-formed.
UNREADABLE: Final = "?"

#: Characters of a receipt at most: nine words with every vowel sign, and room to be untidy.
_LIMIT = 500
#: Words that may be misspelt, slips in each, and readings of them all that are weighed.
_GUESSED, _SLIPS, _READINGS = 3, 2, 64

_BLOTS = "?؟*…_"
_TOKEN = re.compile(rf"[^\W_](?:[^\W_]|[{IGNORED}])*|[{_BLOTS}]+")
_IGNORED = re.compile(f"[{IGNORED}]")
_LOOKS = str.maketrans("OIL", "011")
#: Letters are told by their groups in prose, where any words may add up to eighteen letters.
_GROUPS = frozenset({1, 2, 3, 6, 9, 18})


def read(text: str) -> str:
    """The canonical code of a receipt given in letters, words or digits; else UNREADABLE.

    Nothing else may be in the text, but spaces, punctuation, line breaks and direction marks
    anywhere. Well-formed whenever it is not UNREADABLE.
    """
    if len(text) > _LIMIT:
        return UNREADABLE
    tokens = _TOKEN.findall(text)
    compact = [_compact(t) for t in tokens if t[0] not in _BLOTS]
    code = None if None in compact else _characters("".join(filter(None, compact)))
    return code or _words(_folded(tokens), _GUESSED) or UNREADABLE


def find(text: str) -> list[tuple[int, int]]:
    """Where receipts stand in a text, in any form: spans from first to last character, in order.

    One of nine words may be misspelt. Linear in the text.
    """
    tokens = [m for m in _TOKEN.finditer(text) if m[0][0] not in _BLOTS]
    compact = [_compact(m[0]) for m in tokens]
    # A numbered list of words is one, too.
    named = [(m, w) for m in tokens if not (w := fold(m[0])).isdecimal()]
    folded = [w for _, w in named]

    def spoken(guesses: int) -> Callable[[int], int | None]:
        def end(first: int) -> int | None:
            last = first + SYMBOLS
            return last - 1 if _words(folded[first:last], guesses) else None

        return end

    # What is exact comes first: no slip is seen where a neighbour was taken for one of the nine.
    found: list[tuple[int, int]] = []
    for parts, end in (
        (tokens, lambda first: _run(compact, first)),
        ([m for m, _ in named], spoken(0)),
        ([m for m, _ in named], spoken(1)),
    ):
        found += [
            (start, stop)
            for start, stop in _spans(parts, end)
            if all(stop <= a or b <= start for a, b in found)
        ]
    return sorted(found)


def _spans(
    parts: Sequence[re.Match[str]], end: Callable[[int], int | None]
) -> Iterator[tuple[int, int]]:
    """Spans from each part a receipt begins with to its end, where the next may begin."""
    first = 0
    while first < len(parts):
        last = end(first)
        if last is not None:
            yield parts[first].start(), parts[last].end()
            first = last
        first += 1


def _compact(token: str) -> str | None:
    """A token as characters of the alphabet, look-alikes replaced; None: it has others."""
    if not token.isascii():
        # Twice: sorting many marks takes quadratic time, and a letter may decompose into some.
        token = unicodedata.normalize("NFKC", _IGNORED.sub("", token))
        token = _IGNORED.sub("", token)
        token = "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in token)
    token = token.upper().translate(_LOOKS)
    return None if token.strip(ALPHABET) else token


def _characters(compact: str) -> str | None:
    """The code of letters or digits without anything between them."""
    if len(compact) == LENGTH and well_formed(compact):
        return compact
    return of_digits(compact) if len(compact) == DIGITS and compact.isdecimal() else None


def _run(compact: Sequence[str | None], first: int) -> int | None:
    """Where the letters or digits end that begin a receipt at ``first``; digits, which are longer,
    may hold what looks like letters.
    """
    text, alike, end = "", True, None
    for last in range(first, min(first + DIGITS, len(compact))):
        part = compact[last]
        if part is None or len(text) + len(part) > DIGITS:
            break
        text += part
        alike &= len(part) == len(compact[first] or "")
        wanted = len(text) == DIGITS or (alike and len(text) == LENGTH and len(part) in _GROUPS)
        if wanted and _characters(text):
            end = last
    return end


def _folded(tokens: Sequence[str]) -> list[str]:
    """The words, a blot as ``?``; without a list's numbers, nor marks that stand for no word."""
    folded = [UNREADABLE if t[0] in _BLOTS else fold(t) for t in tokens]
    folded = [w for w in folded if not w.isdecimal()]
    return folded if len(folded) == SYMBOLS else [w for w in folded if w != UNREADABLE]


def _words(folded: Sequence[str], guesses: int) -> str | None:
    """The code of nine folded words, at most ``guesses`` of which are misspelt."""
    if len(folded) != SYMBOLS:
        return None
    spoken = Counter(PLACES[w][0] for w in folded if w in PLACES)
    language, known = spoken.most_common(1)[0] if spoken else ("", 0)
    if known < SYMBOLS - guesses:
        return None
    symbols = [
        place[1] if (place := PLACES.get(w)) and place[0] == language else None for w in folded
    ]
    unsure = [at for at, symbol in enumerate(symbols) if symbol is None]
    if len(unsure) == 1:
        return _completed(symbols, unsure[0], folded[unsure[0]], language)
    if UNREADABLE in folded:
        return None
    return _guessed(symbols, folded, language)


def _completed(symbols: Sequence[int | None], place: int, word: str, language: str) -> str | None:
    """One word is in doubt: the check says which it must be; it must have been meant."""
    rest = [symbol or 0 for symbol in symbols]
    rest[place] = missing(weighed(rest), place)
    meant = FOLDED[language][rest[place]]
    if word == UNREADABLE or distance(word, meant, _SLIPS) <= _SLIPS:
        return of_symbols(rest)
    return None


def _guessed(symbols: Sequence[int | None], folded: Sequence[str], language: str) -> str | None:
    """Several words in doubt, or none: first a slip in each, then two; one reading must agree."""
    likely = [
        [(0, symbol)] if symbol is not None else near(word, language, _SLIPS)
        for symbol, word in zip(symbols, folded, strict=True)
    ]
    for slips in range(1, _SLIPS + 1):
        choices = [[symbol for d, symbol in found if d <= slips] for found in likely]
        if math.prod(map(len, choices)) > _READINGS:
            return None
        agreeing = [reading for reading in product(*choices) if not weighed(reading)]
        if agreeing:
            return of_symbols(agreeing[0]) if len(agreeing) == 1 else None
    return None
