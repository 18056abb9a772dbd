# SPDX-License-Identifier: Apache-2.0
"""What a free text says by itself: its language, where the harm is, whether it is a greeting.

Pure, and linear in the length of the text. Nothing here decides what a report is about.
"""

import re
from collections.abc import Iterable

from pydantic_core import PydanticCustomError

from wasl_intake.domain import locations
from wasl_intake.domain.submission import CONTROL, LOCATIONS_MAX, meaningful
from wasl_intake.domain.text import normalized

_LINES = re.compile(r"\n{3,}")
_SCHEMES = "|".join(sorted({"https?", "hxxps?", *locations.APP_SCHEMES}))
_STOP = r"\s<>\"«»“”"
_WHERE = re.compile(
    rf"(?:\b(?:{_SCHEMES})(?::|\[:\])//|\bwww\.)[^{_STOP}]{{1,2048}}"
    rf"|(?<![\w@.-])(?:[A-Za-z0-9-]{{1,63}}\.){{1,8}}[A-Za-z]{{2,24}}/[^{_STOP}]{{0,2048}}"
    r"|(?<![\w.@/])@[A-Za-z0-9_][\w.\-]{1,98}",
    re.IGNORECASE,
)
#: Ends a sentence rather than an address.
_TAIL = ".,;:!?…'’*_~،؛؟]}"
_WORD = re.compile(r"[^\W\d_]+")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Words that both languages have ("on", "me") stand in both lists and decide nothing.
_FRENCH = _words("""
    on me te se au aux par mais si suis ai avez avoir fait tout plus comme leur leurs notre votre
    regardez voir svp quelqu comment photos message messages signaler veux peux
    je tu il elle nous vous ils elles le la les un une des du de et est sont dans sur avec pour pas
    ne que qui mon ma mes son sa ses ce cette quelque bonjour salut bonsoir merci compte fille fils
    menace aide aidez
""")
_ENGLISH = _words("""
    i you he she we they the a an of and is are was were in on with for not my his her this that
    someone somebody hello hi hey thanks please account daughter help me at by but if it to be have
    has been do does did from our your their they them him photos message messages report want can
""")
#: What people write before they write; alone, it reports nothing.
_GREETINGS = _words("""
    hi hello hey hallo hola good morning afternoon evening there sir madam dear bonjour bonsoir
    salut coucou cc madame monsieur slt bjr azul start salam slm slam salamo alaykoum alaikum
    alikoum alaykom aleykoum labas السلام سلام عليكم وعليكم مرحبا أهلا اهلا صباح مساء الخير
    ورحمة الله وبركاته ⴰⵣⵓⵍ
""")


def clean(text: str) -> str:
    """The text as intake takes it: NFC, plain line ends, no control characters."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = CONTROL.sub(" ", normalized("NFC", text))
    return _LINES.sub("\n\n", text).strip()


def language(text: str, hint: str = "") -> str:
    """The language of a text as a tag, ``und`` where it does not show. ``hint`` decides between
    languages of one script.
    """
    primary = hint.partition("-")[0].lower()
    plain = _WHERE.sub(" ", text)
    arabic = sum("\u0620" <= c <= "\u06d3" for c in plain)
    tifinagh = sum("\u2d30" <= c <= "\u2d7f" for c in plain)
    latin = sum(c.isascii() and c.isalpha() for c in plain)
    if max(arabic, tifinagh, latin) == 0:
        return primary or "und"
    if arabic >= max(tifinagh, latin):
        return primary if primary in {"fa", "ur", "ps", "ckb", "ug"} else "ar"
    if tifinagh > latin:
        return "zgh"
    words = [w.casefold() for w in _WORD.findall(plain)]
    french, english = (sum(w in known for w in words) for known in (_FRENCH, _ENGLISH))
    if french != english:
        return "fr" if french > english else "en"
    return primary if primary and primary not in {"ar", "zgh"} else "und"


def where(text: str) -> tuple[str, ...]:
    """Web addresses, app links and account names in a text that intake takes as locations."""
    found: dict[str, None] = {}
    for match in _WHERE.finditer(text):
        if len(found) == LOCATIONS_MAX:
            break
        try:
            found[locations.clean(_trimmed(match[0]))] = None
        except PydanticCustomError:
            continue  # stays in the narrative, where it stands anyway
    return tuple(found)


def _trimmed(link: str) -> str:
    while link and (link[-1] in _TAIL or (link[-1] == ")" and link.count(")") > link.count("("))):
        link = link[:-1]
    return link


def too_little(text: str) -> bool:
    """Nothing to act on: no location, and no words, a command of the app, or a greeting only."""
    if where(text):
        return False
    if not meaningful(text) or re.fullmatch(r"/\w{1,32}(@\w+)?", text):
        return True
    words = [w.casefold() for w in _WORD.findall(text)]
    return bool(words) and all(w in _GREETINGS for w in words) and not any(map(str.isdigit, text))


def without(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """The text without these pieces."""
    out, last = [], 0
    for start, end in sorted(spans):
        out.append(text[last:start])
        last = max(last, end)
    return "".join([*out, text[last:]]).strip()
