# SPDX-License-Identifier: Apache-2.0
"""Direct identifiers of people in a text, by their form: where they are and why they count.

One scan finds runs of digits; everything but an e-mail address holds one, so each run is a
candidate and its neighbourhood decides. Check digits, number plans and announcing words are asked
for wherever the form alone would also fit an order number, a date or a version. Names of people are
not found. Sources: ISO 13616 (IBAN registry), ISO 7064 MOD 97-10, RFC 5321, ITU-T E.164 through
``phonenumbers``; identity card, plate and RIB forms as Moroccan administrations print them.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from wasl_triage.domain.signals.pieces import Pieces

#: Characters looked at; a longer text is judged by its beginning.
SCAN_LIMIT = 20_000


class PersonalData(StrEnum):
    EMAIL = "email"
    PHONE = "phone"
    IBAN = "iban"
    BANK_ACCOUNT = "bank_account"
    IDENTITY_CARD = "identity_card"
    STREET_ADDRESS = "street_address"
    VEHICLE_PLATE = "vehicle_plate"
    IP_ADDRESS = "ip_address"


@dataclass(frozen=True, slots=True)
class Found:
    """A span of the text: ``text[start:end]``. ``because``: one constant word.

    ``form``: nothing else looks like it; ``check_digits``: they hold; ``number_plan``: a number
    that can be called; ``cue``: a word announces it; ``beside_other_data``: a weak form next to a
    datum that is certain.
    """

    kind: PersonalData
    start: int
    end: int
    because: str = "form"


_D = "0-9\u0660-\u0669\u06f0-\u06f9\uff10-\uff19"
#: Between digits people write spaces, dots, dashes, and phones add invisible direction marks.
_BETWEEN = r" .\-/()\u00a0\u202f\u2011\u2013\u200b-\u200f\u202a-\u202e\u2066-\u2069"
_RUN = re.compile(f"[{_D}](?:[{_BETWEEN}]{{0,3}}[{_D}])*")
_GROUP = re.compile(f"[{_D}]+")
_ASCII_DIGITS = {zero + digit: str(digit) for zero in (0x660, 0x6F0, 0xFF10) for digit in range(10)}
_LINK = re.compile(r"(?:\b[a-z][a-z0-9+*.-]{1,9}://|\bwww\.)\S+", re.IGNORECASE)

# -- e-mail ----------------------------------------------------------------------------------------

_MAIL = re.compile(r"[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,24}")
#: Where the form is loose, the domain has to end as most mailboxes do.
_TLD = r"(?:com|org|net|ma|fr|info|eu|me|io|be|es|de|it|nl|ch|ca|uk|us|test|example)\b"
_DOT_WORD = r"(?:dot|point|نقطة|نقطه|دوت)"
_DOT = rf"(?:\s?\.\s?|\s?[\[({{<]\s?(?:\.|{_DOT_WORD})\s?[\])}}>]\s?|\s{_DOT_WORD}\s)"
_AT_WORD = "arobase|arobas|arrobas|أروباز|اروباز|أروباس|آروباز"
_AT = re.compile(
    rf"\s?[\[({{<]\s?(?:@|at|a|à|chez|آت|ات|أت|{_AT_WORD})\s?[\])}}>]\s?"
    rf"|\s(?:{_AT_WORD}|at|chez|آت|أت|ات|@|＠)\s|[@＠]",
    re.IGNORECASE,
)
_LOCAL_END = re.compile(
    rf"(?:[A-Za-z0-9_%+-]{{1,64}}{_DOT}){{0,3}}[A-Za-z0-9._%+-]{{1,64}}$", re.IGNORECASE
)
_DOMAIN = re.compile(rf"(?:[A-Za-z0-9-]{{1,63}}{_DOT}){{1,4}}{_TLD}", re.IGNORECASE)
_PLAIN_DOMAIN = re.compile(rf"(?:[A-Za-z0-9-]{{1,63}}\.){{1,4}}{_TLD}", re.IGNORECASE)
_HIDDEN_MAIL = (
    *("[at", "(at", "{at", "<at", "( at", "[ at", "[@", "(@", "@ ", "＠", "[a", "(a", "[à", "(à"),
    *(
        "arob",
        "arrob",
        "روبا",
        "(chez",
        "[chez",
        "نقط",
        "دوت",
        "[آ",
        "(آ",
        " dot ",
        " point ",
        " . ",
    ),
)
_HIDING = Pieces(_HIDDEN_MAIL)


def _mails(text: str) -> Iterator[Found]:
    plain = "@" in text
    if plain:
        for match in _MAIL.finditer(text):
            yield Found(PersonalData.EMAIL, *match.span())
    if not _HIDING.within(text.lower()):
        return
    for at in _AT.finditer(text):
        sign = at[0].strip()
        word = sign.isalpha()
        domain = _DOMAIN.match(text, at.end())
        if domain is None or (
            # "look at example.com" is no mailbox; "a at example dot com" is.
            word
            and sign.lower() in ("at", "chez", "آت", "أت", "ات")
            and _PLAIN_DOMAIN.fullmatch(domain[0])
        ):
            continue
        begin = max(0, at.start() - 80)
        local = _LOCAL_END.search(text[begin : at.start()])
        if local is not None:
            # "my mail is: a.b" keeps its last word and what dots join to it.
            yield Found(PersonalData.EMAIL, begin + local.start(), domain.end())


# -- accounts --------------------------------------------------------------------------------------

#: Characters of an IBAN by country (SWIFT's registry; countries that take part).
_IBAN_LENGTH = {
    code: length
    for length, codes in {
        15: "NO",
        16: "BE",
        18: "DK FI FO GL NL SD FK",
        19: "MK SI",
        20: "AT BA EE KZ LT LU XK MN",
        21: "CH HR LI LV",
        22: "BG BH CR DE GB GE IE ME RS VA",
        23: "AE GI IL IQ OM SO TL",
        24: "AD CZ ES MD PK RO SA SE SK TN VG",
        25: "LY PT ST",
        26: "IS TR",
        27: "BI DJ FR GR IT MC MR SM",
        28: "AL AZ BY CY DO GT HU LB MA NI PL SV",
        29: "BR EG PS QA UA",
        30: "JO KW MU",
        31: "MT SC",
        32: "LC",
        33: "RU",
    }.items()
    for code in codes.split()
}
_IBAN_BODY = re.compile(r"(?:[ .\-\u00a0\u202f]?[A-Za-z0-9]){11,31}", re.ASCII)
_ACCOUNT_CUE = re.compile(
    r"\bRIB\b|\bR\.I\.B|\bcompte\b|\bcpte\b|\baccount\b|\bvirement\b|\blcompte\b|\blrib\b"
    r"|الحساب|حسابي|حسابه|حسابو|حساب بنكي|الريب|\bريب\b|رقم حساب",
    re.IGNORECASE,
)


def _iban_holds(compact: str) -> bool:
    """ISO 13616 check digits (ISO 7064 MOD 97-10) of letters and digits without spaces."""
    turned = compact[4:] + compact[:4]
    return int("".join(str(int(c, 36)) for c in turned)) % 97 == 1


def _rib_holds(digits: str) -> bool:
    """The two key digits of a 24-digit RIB: 97 minus (the other digits, times 100) modulo 97."""
    if not digits.strip("0"):
        return False
    return 97 - int(digits[:22]) * 100 % 97 == int(digits[22:])


def _iban(text: str, at: int) -> Found | None:
    """An IBAN whose two check digits begin at ``at``."""
    start = at - 2
    country = text[max(0, start) : at].upper()
    length = _IBAN_LENGTH.get(country)
    if length is None or (start and text[start - 1].isalnum()):
        return None
    body = _IBAN_BODY.match(text, at + 2)
    if body is None or not text[at : at + 2].isascii():
        return None
    compact, end = country + text[at : at + 2], at + 2
    for offset, char in enumerate(body[0]):
        if char.isalnum():
            compact += char.upper()
            if len(compact) == length:
                end = at + 3 + offset
                break
    else:
        return None
    if text[end : end + 1].isalnum() or not _iban_holds(compact):
        return None
    return Found(PersonalData.IBAN, start, end, "check_digits")


# -- telephone -------------------------------------------------------------------------------------

_PHONE_CUE = re.compile(
    r"\b(?:t[ée]l(?:[ée]phone)?|phone|mobile|gsm|num[ée]ro|whats?app|appele\w*|call|nmra|nemra|nimero|telefon\w*"
    r"|portable|fixe|contact)\b|هاتف|رقم|نمر[ةه]|النمر|واتس|تيليفون|تلفون|نميرو",
    re.IGNORECASE,
)
#: What numbers are called that are nobody's telephone, account or card.
_OTHER_NUMBER = re.compile(
    r"(?:\b(?:commandes?|cmd|orders?|r[ée]f(?:[ée]rences?)?|tickets?|dossiers?|factures?|invoices?"
    r"|suivi|tracking|colis|parcel|transactions?|txn|id|identifiant|imei|serial|s[ée]rie|version|build"
    r"|code|produit|product|article|lot|vol|flight|bon|re[çc]u|receipt|plainte|case|post|publication"
    r"|annonce|video|vid[ée]o|hash|commit|session|token|isbn|siret|ice|lcommande)"
    r"|الطلب(?:ية)?|طلبية|الملف|ملف|مرجع|المرجع|الفاتورة|فاتورة|الشحنة|التتبع|تتبع|المعاملة|الكود|معرف)"
    r"(?:\s+(?:de|d['’]|du|ديال|رقم)\s*\w{0,12})?\W{0,4}"
    r"(?:(?:n[°ºo]?|num[ée]ro|number|no|nr|id|رقم|numero)\W{0,3})?$",
    re.IGNORECASE,
)
_MOROCCAN = re.compile(r"[5-8]\d{8}")
_SHORTEST, _LONGEST = 8, 15  # digits with the country's code, ITU-T E.164


def _callable(digits: str) -> bool:
    """Whether an international number, without its plus, is one the plan of its country gives."""
    if digits.startswith("212"):
        return _MOROCCAN.fullmatch(digits[3:].removeprefix("0")) is not None
    import phonenumbers  # noqa: PLC0415  slow to load, and only foreign numbers need it

    try:
        number = phonenumbers.parse("+" + digits)
    except phonenumbers.NumberParseException:
        return False
    return phonenumbers.is_valid_number(number)


def _dated(separators: Sequence[str]) -> bool:
    """Two equal dots, dashes or strokes and then something else: a day and an hour."""
    one = separators[:2]
    return (
        len(separators) > 2
        and one[0] == one[1]
        and one[0].strip() != ""
        and set(separators) != {one[0]}
    ) or ("/" in separators and len(set(separators)) > 1)


def _phone(text: str, groups: Sequence[tuple[int, int]], first: int) -> tuple[Found, int] | None:
    """A number that begins with group ``first``, and the index of its last group."""
    start = groups[first][0]
    head = text[max(0, start - 2) : start]
    plus = head[-1:] in ("+", "＋") or head == "+("
    if plus:
        start -= 2 if head == "+(" else 1
    before = text[start - 1 : start] if start else ""
    joined = text[max(0, start - 2) : start - 1] if start > 1 else ""
    if not plus and before.isalnum():
        return None
    if before == "/" and joined == "]":  # two numbers, the first of which is covered
        before = ""
    if before in ("/", "=", "@", "_", "#", "&", "+"):
        return None
    if (before in (".", "-", ",") and joined.isdigit()) or (before == "-" and joined.isalnum()):
        return None
    digits, best = "", None
    separators: list[str] = []
    for last in range(first, min(len(groups), first + _LONGEST)):
        begin, end = groups[last]
        if last > first:
            between = text[groups[last - 1][1] : begin].strip("\u200b\u200e\u200f\u2066\u2069")
            if len(between) > 1 and between.strip(" ()") != "":
                break
            separators.append(between[:1])
        digits += text[begin:end].translate(_ASCII_DIGITS)
        if len(digits) > _LONGEST + 2:
            break
        after = text[end : end + 1]
        if len(digits) < _SHORTEST or (after and (after.isalnum() or after in "@_=")):
            continue
        if _is_phone(text, start, digits, plus=plus) and (plus or not _dated(separators)):
            best = (Found(PersonalData.PHONE, start, end, "number_plan"), last)
    return best


def _is_phone(text: str, start: int, digits: str, *, plus: bool) -> bool:
    if plus:
        return len(digits) <= _LONGEST and _callable(digits)
    window = text[max(0, start - 40) : start]
    if digits.startswith("00"):
        fits = len(digits) <= _LONGEST + 2 and digits[2] != "0" and _callable(digits[2:])
    elif digits[0] == "0":
        fits = len(digits) == 10 and digits[1] in "5678"
    elif digits.startswith("212"):
        fits = len(digits) in (12, 13) and _callable(digits)
    else:
        return (
            digits[0] in "567"
            and len(digits) == 9
            and _PHONE_CUE.search(window[-25:]) is not None
            and _OTHER_NUMBER.search(window) is None
        )
    return fits and _OTHER_NUMBER.search(window) is None


# -- identity card, plate, network address ---------------------------------------------------------

_CARD_LETTERS = re.compile(r"(?<![^\W_])([A-Za-z]{1,2})([ .\-]?)$")
_CARD_CUE = re.compile(
    r"\bC\.?I\.?[NE]\b|\bCNIE?\b|\bcarte\b(?! (?:cadeau|sim|banc|bleue|m[èe]re|fid))"
    r"|\bidentit(?:y|[ée])\b|\bid card|\bnational id|\bl[ae]?cin\b|\blakar[td]\b|\blacarte?\b"
    r"|\bcarta\b|بطاقة التعريف|البطاقة|بطاقة وطنية|بطاقتي|بطاقته|بطاقتها|بطاقة الهوية"
    r"|لاكار[طت]|لاسان",
    re.IGNORECASE,
)
#: Series of the offices that issue the most cards; a form without a cue has to be one of them.
_CARD_SERIES = frozenset(
    """
    A AA AB AD AE B BB BE BH BJ BK BL BM BW C CB CC CD D DA DC DO E EA EB EE F FA FB FC FG FH FJ
    FK FL G GA GB GI GJ GK GM GN H HA HH I IA IB ID IE J JA JB JC JD JE JF JH JK JM JT JY K KA
    KB L LA LB LC LE LF LG M MA MC MD MJ N O OD P PA PB PP Q QA QB R RB RC RX S SA SH SJ SK SL T
    TA TK U UA UB UC UD V VA VM W WA WB X XA Y Z ZG ZH ZT
    """.split()  # noqa: SIM905  a list literal would be a page
)
_PLATE_LETTERS = "أابتثجحدهوطيش"
_PLATE = re.compile(
    rf"([{_D}]{{1,5}})(\s*[-|/ـ–]\s*|\s+)([{_PLATE_LETTERS}A-Za-z])ـ?(\s*[-|/ـ–]\s*|\s+)([{_D}]{{1,2}})"
    rf"(?![\w{_D}])"
)
_PLATE_FOREIGN = re.compile(
    r"(?<!\w)(?:[A-Z]{2}-\d{3}-[A-Z]{2}|WW[ -]?\d{4,6}|\d{4,6}[ -]?WW)(?!\w)"
)
_PLATE_CUE = re.compile(
    r"\b(?:matricule|plaque|immatricul\w*|plate|voiture|car|auto|moto|v[ée]hicule|vehicle"
    r"|to[mn]obil\w*|siyara|taxi|camion)\b"
    r"|لوحة|ترقيم|مرقمة|سيارة|السيارة|طوموبيل|ماتريكيل|تاكسي|الترقيم",
    re.IGNORECASE,
)
_IPV4 = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}(?!\.?\d)", re.ASCII)
_IPV6 = re.compile(r"(?<![\w:.])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?![\w:])", re.ASCII)
_IPV6_SECTIONS = 8
_VERSION = re.compile(
    r"(?:\bv|version|ver\.?|release|firmware|build|article|section|chapitre|paragraphe|§|الإصدار|نسخة|المادة)\W{0,3}$",
    re.IGNORECASE,
)
_CUE_REACH, _CUE_AFTER = 40, 16


def _card(text: str, start: int, end: int) -> Found | None:
    """An identity card whose digits are ``text[start:end]``."""
    if not 5 <= end - start <= 7 or text[end : end + 1].isalnum():
        return None
    letters = _CARD_LETTERS.search(text[max(0, start - 4) : start])
    if letters is None:
        return None
    begin = start - len(letters[0])
    if text[begin - 1 : begin] in ("/", "-", "_", "#", "=") and begin:
        return None
    window = text[max(0, begin - _CUE_REACH) : begin]
    if _CARD_CUE.search(window) or _CARD_CUE.search(text[end : end + _CUE_AFTER]):
        return Found(PersonalData.IDENTITY_CARD, begin, end, "cue")
    strong = not letters[2] and end - start <= 6 and letters[1] in _CARD_SERIES
    if not strong or text[end : end + 1] == "-" or _OTHER_NUMBER.search(window):
        return None
    return Found(PersonalData.IDENTITY_CARD, begin, end, "beside_other_data")


def _plate_foreign(text: str, start: int, _: int) -> Found | None:
    for back in (3, 2, 0):  # "AB-123-CD", "WW 123456": only after a word that announces a plate
        foreign = _PLATE_FOREIGN.match(text, start - back) if start >= back else None
        if foreign and _PLATE_CUE.search(text, max(0, start - _CUE_REACH), start):
            return Found(PersonalData.VEHICLE_PLATE, *foreign.span(), "cue")
    return None


def _plate(text: str, start: int, _: int) -> Found | None:
    match = _PLATE.match(text, start)
    if match is None or (start and text[start - 1] in "-/.:+"):
        return None
    number, one, letter, other = match.groups()[:4]
    window = text[max(0, start - _CUE_REACH) : start]
    if _PLATE_CUE.search(window):
        return Found(PersonalData.VEHICLE_PLATE, *match.span(), "cue")
    # "3 و 4" is a sentence; a bar or dash on both sides of an Arabic letter is a plate.
    if not letter.isascii() and one.strip() and other.strip() and len(number) >= 3:
        return Found(PersonalData.VEHICLE_PLATE, *match.span())
    return None


def _ipv4(text: str, start: int, end: int) -> Found | None:
    match = _IPV4.match(text, start) if text[end : end + 1] == "." else None
    if match is None or text[start - 1 : start] in (".", "-", "v", "V", "/") * bool(start):
        return None
    try:
        address = IPv4Address(match[0])
    except AddressValueError:
        return None
    if (
        address.is_loopback
        or address.is_unspecified
        or address.is_multicast
        or match[0][:2] == "0."
    ):
        return None
    if text[match.end() : match.end() + 1].isalnum() or _VERSION.search(
        text[max(0, start - 14) : start]
    ):
        return None
    return Found(PersonalData.IP_ADDRESS, *match.span())


def _ipv6(text: str) -> Iterator[Found]:
    if "::" not in text and text.count(":") < _IPV6_SECTIONS - 1:
        return
    for match in _IPV6.finditer(text):
        try:
            address = IPv6Address(match[0])
        except AddressValueError:
            continue
        if match[0].find(":") != 4:  # every network in use begins with four digits; hours do not
            continue
        documented = match[0][:9].lower() == "2001:db8:"
        if (
            address.is_global
            or documented
            or address.is_link_local
            or (address.is_private and match[0][:1] in "fF")
        ):
            yield Found(PersonalData.IP_ADDRESS, *match.span())


# -- street ----------------------------------------------------------------------------------------

_STREET_WORD = (
    r"(?:rue|avenue|ave?\.?|boulevard|b(?:oule)?v?l?d\.?|impasse|lotissement|lot\.|r[ée]sidence|derb|hay|zan[kq][ae]t?|zen[kq]a|all[ée]e"
    r"|street|road|quartier|cit[ée]|زنقة|زنقه|شارع|حي|إقامة|اقامة|درب|تجزئة|زقاق)"
)
_STREET_LAST = re.compile(
    rf"[{_D}]{{1,4}}(?: ?(?:bis|ter))?,? (?:[A-ZÀ-Þ][\w'’-]*,? ){{1,3}}"
    r"(?:Street|Road|Avenue|Lane|Drive|Square|Ave|Rd)\b(?:, (?:flat|apt\.?|apartment) \w{1,4}\b)?"
)
_NAME_END = r"[^\n.;:()\[\]،,!?\d]{1,60}"
#: A town after a comma belongs to the address when it begins like a name.
_TOWN = (
    r"(?:\s?[,،]\s?(?:(?-i:[A-ZÀ-Þ])[\w'’ -]{1,30}"
    r"|(?:مدينة|حي|دوار|إقليم) [\u0621-\u064a]{3,15}(?: (?:ال)[\u0621-\u064a]{3,15})?))?"
)
_STREET = re.compile(
    rf"[{_D}]{{1,4}}(?: ?(?:bis|ter))?\s?[,،]?\s?{_STREET_WORD}(?!\w){_NAME_END}{_TOWN}",
    re.IGNORECASE,
)
_STREET_FIRST = re.compile(
    rf"(?<!\w){_STREET_WORD}\s[^\n.;:!?\[\]]{{2,50}}?(?<!\w)"
    r"(?:n[°ºo]\.?|nr|num[ée]ro|num|ra[9q]m|رقم|imm(?:euble)?\.?|app(?:t|artement)?\.?|عمارة|[,،])\s*$",
    re.IGNORECASE,
)
_STREET_NAMED = re.compile(
    rf"(?<!\w)(?i:{_STREET_WORD})\s(?:(?:de|du|des|la|l['’]|el|al|ibn|d['’])\s?)*"
    r"(?:[A-ZÀ-Þ][\w'’-]*\s?){1,4}[,]?\s?$"
)
#: Beginnings of these words, up to where an optional dot may follow: no street is without one.
_STREETS = Pieces(
    """
    rue av ave avenue boulevard bd bvd bld bvld bouled boulevd bouleld boulevld impasse lotissement
    lot résidence residence derb hay zanka zankat zanke zanket zanqa zanqat zanqe zanqet zenka zenqa
    allée allee street road quartier cité cite lane drive square rd
    زنقة زنقه شارع حي إقامة اقامة درب تجزئة زقاق
    """.split()  # noqa: SIM905  as above
)


def _street(text: str, start: int, end: int) -> Found | None:
    if end - start > 4:
        return None
    match = _STREET.match(text, start) or _STREET_LAST.match(text, start)
    if match is not None and (
        not start or not (text[start - 1].isalnum() or text[start - 1] in "./-")
    ):
        return Found(PersonalData.STREET_ADDRESS, start, match.start() + len(match[0].rstrip()))
    begin = max(0, start - 70)
    window = text[begin:start]
    first = _STREET_FIRST.search(window)
    if first is not None and first[0].rstrip()[-1:] in ",،" and len(first[0]) > 40:
        first = None
    first = first or _STREET_NAMED.search(window)
    if first is None or text[end : end + 1] in ("h", "€", "%") or text[end : end + 1].isalpha():
        return None
    return Found(PersonalData.STREET_ADDRESS, begin + first.start(), end)


# -- all of it -------------------------------------------------------------------------------------


def links(text: str) -> list[tuple[int, int]]:
    """Spans of web addresses: digits in them are the address's."""
    if "://" not in text and "www." not in text.lower():
        return []
    return [match.span() for match in _LINK.finditer(text)]


def _accounts(text: str, groups: Sequence[tuple[int, int]]) -> Iterator[Found]:
    """24 digits in whole groups, with their key or after a word such as RIB."""
    for first, (start, _) in enumerate(groups):
        digits = ""
        for begin, end in groups[first:]:
            digits += text[begin:end]
            if len(digits) >= 24:
                break
        before = text[start - 1 : start] if start else ""
        if len(digits) != 24 or before.isalnum() or text[end : end + 1].isalnum():
            continue
        if _rib_holds(digits):
            yield Found(PersonalData.BANK_ACCOUNT, start, end, "check_digits")
        elif _ACCOUNT_CUE.search(text, max(0, start - _CUE_REACH), start):
            yield Found(PersonalData.BANK_ACCOUNT, start, end, "cue")


#: A form of data that begins with, or ends in, the group of digits ``text[start:end]``.
_Form = Callable[[str, int, int], Found | None]


def _forms(text: str) -> tuple[_Form, ...]:
    """The forms worth trying on the groups of this text, the most certain first."""
    plates: tuple[_Form, ...] = (
        (_plate_foreign, _plate) if "-" in text or "WW" in text else (_plate,)
    )
    lowered = text.lower()
    if not lowered.isascii():  # as an expression without regard to case reads them
        lowered = lowered.replace("i\u0307", "i").replace("ı", "i").replace("ſ", "s")
    streets: tuple[_Form, ...] = (_street,) if _STREETS.end_a_word(lowered) else ()
    return (_card, _ipv4, *plates, *streets)


def _in_run(text: str, start: int, end: int, forms: Iterable[_Form]) -> Iterator[Found]:
    """What one run of digits holds."""
    if (
        start >= 2
        and text[start - 1].isalpha()
        and text[start - 2].isalpha()
        and (found := _iban(text, start))
    ):
        yield found
    groups = [match.span() for match in _GROUP.finditer(text, start, end)]
    if end - start >= 24:
        yield from _accounts(text, groups)
    at = 0
    while at < len(groups):
        begin, stop = groups[at]
        if end - begin >= _SHORTEST and (call := _phone(text, groups, at)):
            yield call[0]
            at = call[1] + 1
            continue
        for form in forms:
            if found := form(text, begin, stop):
                yield found
                break
        at += 1


#: An account holds a telephone's digits, never the other way round.
_ORDER = {kind: place for place, kind in enumerate(
    (
        PersonalData.EMAIL, PersonalData.IBAN, PersonalData.BANK_ACCOUNT, PersonalData.IP_ADDRESS,
        PersonalData.PHONE, PersonalData.IDENTITY_CARD, PersonalData.VEHICLE_PLATE,
        PersonalData.STREET_ADDRESS,
    )
)}  # fmt: skip
_BESIDE = 90


#: Data glued to data is seen once the first is covered; deeper than this it is a game.
_PASSES = 3


def personal_data(text: str) -> tuple[Found, ...]:
    """Direct identifiers by their form, in order, not overlapping. Names are not among them.

    Only the first :data:`SCAN_LIMIT` characters are read. Digits inside a web address are not
    looked at, mailboxes in one are.
    """
    text = text[:SCAN_LIMIT]
    kept: list[Found] = []
    for _ in range(_PASSES):
        found = _candidates(text)
        new = _settled(found, kept, len(text)) if found else []
        if not new:
            break
        kept += new
        for one in new:
            text = text[: one.start] + "]" * (one.end - one.start) + text[one.end :]
    return tuple(sorted(kept, key=lambda f: f.start))


def _candidates(text: str) -> list[Found]:
    found = list(_mails(text))
    first = _GROUP.search(text)
    if first is not None:
        found += _ipv6(text)
        addresses, forms = links(text), _forms(text)
        for run in _RUN.finditer(text, first.start()):
            start, end = run.span()
            if not addresses or not any(a <= start < b for a, b in addresses):
                found += _in_run(text, start, end, forms)
    return found


def _settled(found: list[Found], before: Sequence[Found], length: int) -> list[Found]:
    """The certain ones first, then the weak ones beside them; no two overlap."""
    found.sort(key=lambda f: (f.because == "beside_other_data", _ORDER[f.kind], f.start))
    taken = bytearray(length)
    kept: list[Found] = []
    for one in found:
        if any(taken[one.start : one.end]):
            continue
        if one.because == "beside_other_data" and not any(
            other.start - _BESIDE < one.end and one.start < other.end + _BESIDE
            for other in (*before, *kept)
        ):
            continue
        taken[one.start : one.end] = b"\1" * (one.end - one.start)
        kept.append(one)
    return kept


def redact(text: str, found: Sequence[Found]) -> str:
    """The text with every span replaced by its kind in brackets."""
    out, at = [], 0
    for span in sorted(found, key=lambda s: s.start):
        out += [text[at : span.start], f"[{span.kind}]"]
        at = span.end
    out.append(text[at:])
    return "".join(out)


def kinds(found: Iterable[Found]) -> tuple[str, ...]:
    """The kinds found, without the text: fit to be stored beside the report."""
    return tuple(sorted({f.kind.value for f in found}))
