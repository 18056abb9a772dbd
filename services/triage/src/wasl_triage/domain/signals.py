# SPDX-License-Identifier: Apache-2.0
"""Facts a machine can read from a report's text: language, personal data, a cry for help.

Every fact comes with its reason and none decides anything. The cues are few and plain on purpose:
names are not found, irony is not understood, and a miss is expected. Text is data: it is never
interpreted, rendered or executed.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

#: Characters looked at; a longer text is judged by its beginning.
SCAN_LIMIT = 20_000


@dataclass(frozen=True, slots=True)
class Hint:
    """``tag``: BCP 47. ``because``: the cue, one constant word."""

    tag: str
    because: str


class PersonalData(StrEnum):
    EMAIL = "email"
    PHONE = "phone"
    IBAN = "iban"
    BANK_ACCOUNT = "bank_account"
    IDENTITY_CARD = "identity_card"
    STREET_ADDRESS = "street_address"


@dataclass(frozen=True, slots=True)
class Found:
    """A span of the text: ``text[start:end]``."""

    kind: PersonalData
    start: int
    end: int


_TIFINAGH = re.compile("[\u2d30-\u2d7f]")
_ARABIC = re.compile("[\u0621-\u064a\u0671-\u06d3]")
_LATIN = re.compile("[A-Za-zÀ-ÿ]")
_WORD = re.compile(r"[^\W_]+")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_DARIJA = _words(
    """
    واحد ديال ديالو ديالي ديالها كيهددني غادي صيفطت شنو ندير بغيت بغا بزاف هاد هادي حيت علاش
    فين كيفاش دابا خويا ختي دراري كروب دارو ليا شفت ماشي راه عندو مابغاش كاين
    """
)
_DARIJA_VERB = re.compile(
    r"\bو?(?:كي(?!ف)|كت(?!اب|بت|ير)|كن(?!ي|ت))[\u0621-\u064a]{3,}|\bما[\u0621-\u064a ]{2,12}ش\b"
)
_ARABIZI = _words(
    """
    salam wahd wa7d dyali dyal dyalo bgha bghit ghadi kayn kifach chno 3afak 3afakom khona
    bzaf daba had hadchi hada nmra jani mn yji lcolis lien rah machi fin fih
    """
)
_ARABIZI_DIGIT = re.compile(r"\b(?=[a-z0-9]*[a-z])[a-z]*[379][a-z0-9]*[a-z]+\b")
_FRENCH = _words(
    """
    le la les un une des du je tu il elle nous vous et est sur avec pour dans ce cette qui que
    mon ma mes son sa ses pas plus au aux de en ne bonjour merci
    """
)
_ENGLISH = _words(
    """
    the a an is are was my me of to and in on this that with for please has have been it from
    and you your every
    """
)


def language_hint(text: str) -> Hint:
    """The likely language of the text's beginning; ``und`` where nothing speaks."""
    text = text[:SCAN_LIMIT]
    if not text.isascii():
        if _TIFINAGH.search(text):
            return Hint("zgh", "tifinagh")
        arabic = len(_ARABIC.findall(text))
        if arabic >= 3 and arabic > len(_LATIN.findall(text)) // 3:
            if not _DARIJA.isdisjoint(_WORD.findall(text)) or _DARIJA_VERB.search(text):
                return Hint("ary", "darija_words")
            return Hint("ar", "arabic_script")
    lowered = text.lower()
    words = _WORD.findall(lowered)
    arabizi = len(_ARABIZI.intersection(words))
    if "3" in text or "7" in text or "9" in text:
        arabizi += len(_ARABIZI_DIGIT.findall(lowered))
    votes = (
        (arabizi, "ary-Latn"),
        (len(_FRENCH.intersection(words)), "fr"),
        (len(_ENGLISH.intersection(words)), "en"),
    )
    count, tag = max(votes, key=lambda vote: vote[0])
    return Hint(tag, "common_words") if count else Hint("und", "no_known_words")


_MAIL = re.compile(r"[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,24}")
#: Grouped by at most one space, dot or dash; never part of a longer number or of a link.
_PHONE = re.compile(r"(?<![\w/=.@-])(?:\+\d{1,3}|00\d{1,3}|0)(?:[ .-]?\d){8,11}(?![\w@])")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}\b")
_ACCOUNT = re.compile(r"(?<!\w)\d(?:[ ]?\d){23}(?!\w)")
_ACCOUNT_CUE = re.compile(r"\bRIB\b|\bcompte\b|الحساب|حساب بنكي", re.IGNORECASE)
_CARD = re.compile(r"\b[A-Za-z]{1,2}\d{5,7}\b")
_CARD_CUE = re.compile(
    r"\bCI[NE]\b|\bcarte (?:nationale|d['’]identité)|\bidentity card"
    r"|بطاقة التعريف|البطاقة الوطنية|لاكارط",
    re.IGNORECASE,
)
_STREET = re.compile(
    r"\b\d{1,4}(?: ?bis)?,? ?(?:rue|avenue|av\.|boulevard|bd|impasse|lotissement|street|"
    r"زنقة|شارع|حي|إقامة)\b[^\n.;:)]{1,60}",
    re.IGNORECASE,
)
_DIGIT = re.compile(r"\d")
_CUE_REACH = 40


def _iban_holds(text: str) -> bool:
    """ISO 13616 check digits (ISO 7064 MOD 97-10)."""
    compact = text.replace(" ", "")
    if not 15 <= len(compact) <= 34:
        return False
    turned = compact[4:] + compact[:4]
    return int("".join(str(int(c, 36)) for c in turned)) % 97 == 1


def _rib_holds(text: str) -> bool:
    """The two key digits of a 24-digit RIB: 97 minus (the other digits, times 100) modulo 97."""
    digits = text.replace(" ", "")
    if not digits.strip("0"):
        return False
    return 97 - int(digits[:22]) * 100 % 97 == int(digits[22:])


def _cued(cue: re.Pattern[str], text: str, start: int) -> bool:
    return cue.search(text, max(0, start - _CUE_REACH), start) is not None


def personal_data(text: str) -> tuple[Found, ...]:
    """Direct identifiers by their form, in order, not overlapping. Names are not among them.

    A bank account counts with its check digits or after a word such as RIB; an identity card only
    after a word that announces one.
    """
    text = text[:SCAN_LIMIT]
    spans: list[Found] = []

    def take(kind: PersonalData, match: re.Match[str]) -> None:
        start, end = match.span()
        if all(end <= s.start or start >= s.end for s in spans):
            spans.append(Found(kind, start, end))

    if "@" in text:
        for match in _MAIL.finditer(text):
            take(PersonalData.EMAIL, match)
    if not _DIGIT.search(text):  # everything else holds digits, and most texts do not
        return tuple(spans)
    for match in _IBAN.finditer(text):
        if _iban_holds(match[0]):
            take(PersonalData.IBAN, match)
    for match in _ACCOUNT.finditer(text):
        if _rib_holds(match[0]) or _cued(_ACCOUNT_CUE, text, match.start()):
            take(PersonalData.BANK_ACCOUNT, match)
    for match in _CARD.finditer(text):
        if _cued(_CARD_CUE, text, match.start()):
            take(PersonalData.IDENTITY_CARD, match)
    for match in _STREET.finditer(text):
        take(PersonalData.STREET_ADDRESS, match)
    for match in _PHONE.finditer(text):
        take(PersonalData.PHONE, match)
    return tuple(sorted(spans, key=lambda s: s.start))


def redact(text: str, found: Sequence[Found]) -> str:
    """The text with every span replaced by its kind in brackets."""
    out, at = [], 0
    for span in sorted(found, key=lambda s: s.start):
        out += [text[at : span.start], f"[{span.kind}]"]
        at = span.end
    out.append(text[at:])
    return "".join(out)


# Plain pieces of words, looked for in lower case: a search for each costs less than one expression.
_SELF_HARM = (
    *("suicid", "me tuer", "se tuer", "fin à mes jours", "fin à ses jours", "fin à ma vie"),
    *("fin à sa vie", "automutil", "scarifi", "plus envie de vivre"),
    *(
        "kill myself",
        "kill himself",
        "kill herself",
        "hurt myself",
        "hurting myself",
        "harm myself",
        "killing myself",
    ),
    *("hurt himself", "hurt herself", "self-harm", "self harm", "end my life", "end his life"),
    *("end her life", "want to die", "wants to die"),
    *("نتحار", "نتحر", "إيذاء نفس", "نهي حيات", "ريد الموت", "ريد أن أموت", "ريد أن يموت"),
    *("ريد أن تموت", "لا أريد الحياة", "لا يريد الحياة", "لا تريد الحياة", "لا أريد الاستمرار"),
    *(
        "لا يريد الاستمرار",
        "لا تريد الاستمرار",
        "لا أريد أن أعيش",
        "لا يريد أن يعيش",
        "لا تريد أن تعيش",
    ),
    *("نقتل راسي", "يقتل راسو", "تقتل راسها", "بغيتش نعيش", "بغاش يعيش", "بغاتش تعيش"),
    *("بغيت نموت", "n9tel rasi", "n9tel rassi", "nqtel rasi", "bghitch n3ich", "bghit nmot"),
    *("bghit nmout",),
)


def self_harm_cue(text: str) -> bool:
    """True when the text says someone may hurt themselves. Errs towards a person looking at it."""
    lowered = text[:SCAN_LIMIT].lower()
    return any(piece in lowered for piece in _SELF_HARM)


def kinds(found: Iterable[Found]) -> tuple[str, ...]:
    """The kinds found, without the text: fit to be stored beside the report."""
    return tuple(sorted({f.kind.value for f in found}))
