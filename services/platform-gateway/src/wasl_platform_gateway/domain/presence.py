# SPDX-License-Identifier: Apache-2.0
"""Whether an item is still at its address, judged from one answer of its server.

``gone`` closes a case and so needs a sign that nothing else gives: a status that says so, or a page
that says little more than that it is missing. What another look may change is ``unclear``; what no
number of looks will change is ``wall``, and only a person can tell. Status meanings: RFC 9110,
RFC 7725.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from html.parser import HTMLParser
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

#: The only content types whose body is read.
TEXT_TYPES = frozenset({"text/html", "application/xhtml+xml", "text/plain"})


class Presence(StrEnum):
    GONE = "gone"
    ONLINE = "online"
    #: Nothing was learnt this time.
    UNCLEAR = "unclear"
    #: A machine will learn nothing here: login, age, consent, bot check, robots, allow-list.
    WALL = "wall"


@dataclass(frozen=True, slots=True)
class Seen:
    """``reason``: a machine word. ``wait``: seconds the site asks us to stay away, if it said so.

    ``gone`` for ``http_451`` or ``geo_blocked`` is gone as seen from here: not from everywhere.
    """

    presence: Presence
    reason: str
    wait: float | None = None


@dataclass(frozen=True, slots=True)
class Words:
    """A platform's own phrases, from the country pack; found anywhere in a page's visible text."""

    gone: tuple[str, ...] = ()
    wall: tuple[str, ...] = ()


_NO_WORDS = Words()


def judge(
    asked: str,
    final: str,
    *,
    status: int,
    content_type: str | None = None,
    text: str | None = None,
    words: Words = _NO_WORDS,
) -> Seen:
    """What the answer to ``asked`` says; ``final``: the address it came from after redirects.

    ``text``: the body, decoded; None where it was not read. Ask :func:`needs_text` whether to read.
    """
    seen = _by_status(status) or by_address(asked, final)
    if seen is None and text is not None and media_type(content_type) in TEXT_TYPES:
        markup = media_type(content_type) != "text/plain"
        seen = _by_text(_read(text) if markup else _Page(text), words, asked)
    return seen or Seen(Presence.ONLINE, f"http_{status}")


def needs_text(asked: str, final: str, status: int, content_type: str | None) -> bool:
    """Whether the body decides: not where the status or the address did, and never for media."""
    decided = _by_status(status) or by_address(asked, final)
    return decided is None and media_type(content_type) in TEXT_TYPES


def by_probe(status: int, gone: frozenset[int], wall: frozenset[int]) -> Seen:
    """What the status of a platform's own status address says."""
    reason = f"probe_{status}"
    if status in gone:
        return Seen(Presence.GONE, reason)
    if status in wall:
        return Seen(Presence.WALL, reason)
    return Seen(Presence.ONLINE if status == 200 else Presence.UNCLEAR, reason)


def media_type(content_type: str | None) -> str:
    """The bare type of a Content-Type header, lower case; empty where there is none."""
    return (content_type or "").partition(";")[0].strip().lower()


# -- The status ------------------------------------------------------------------------------------

_GONE = frozenset({404, 410, 451})
_WALLS = {401: "login_wall", 403: "http_403"}
#: 202 and 204 are given by bot checks too: the item was not shown.
_SHOWN = frozenset({200, 203, 206})


def _by_status(status: int) -> Seen | None:
    if status in _SHOWN:
        return None
    if status in _GONE:
        return Seen(Presence.GONE, f"http_{status}")
    if status in _WALLS:
        return Seen(Presence.WALL, _WALLS[status])
    # 407 is our own proxy, 429 our own haste, 5xx their trouble, the rest nobody's statement.
    return Seen(Presence.UNCLEAR, f"http_{status}")


# -- The address -----------------------------------------------------------------------------------

# Whole segments of a path, and whole labels in front of a site's name.
_LOGIN = {"login", "log-in", "signin", "sign-in", "sign_in", "connexion", "sso", "authwall"}
_GATES: dict[str, set[str]] = {
    "login_wall": _LOGIN | {"login.php", "wp-login.php", "servicelogin", "checkpoint"},
    "consent_wall": {"consent", "cookie-consent", "cookiewall", "privacy-gate"},
    "age_gate": {"agegate", "age-gate", "age_gate", "age-verification", "verify-age", "verify_age"},
    "bot_check": {"captcha", "recaptcha", "challenge", "sorry", "unsupportedbrowser"},
}
_GATE_HOSTS: dict[str, set[str]] = {
    "login_wall": _LOGIN | {"accounts", "auth"},
    "consent_wall": {"consent"},
}
_MISSING = {"404", "404.html", "404.php", "error404", "error-404", "notfound", "not-found"} | {
    "not_found",
    "page-not-found",
    "page_not_found",
    "page-introuvable",
}
_SAME_SITE = re.compile(r"^(?:www|m|mobile|web|mbasic|amp)\.")
_HOME = re.compile(
    r"/?(?:[a-z]{2}(?:[-_][a-z]{2})?/?)?(?:(?:index|home|default)(?:\.\w+)?/?)?", re.IGNORECASE
)


def by_address(asked: str, final: str) -> Seen | None:
    """What being sent from ``asked`` to ``final`` says by itself; None where it says nothing.

    An address that is itself a login page (a phishing page, say) is no wall in front of an item.
    """
    was, now = urlsplit(asked), urlsplit(final)
    if _place(was) == _place(now):
        return None
    if (gate := _gate(now)) and not _gate(was):
        return Seen(Presence.WALL, gate)
    if _segments(now) & _MISSING and not _segments(was) & _MISSING:
        return Seen(Presence.GONE, "soft_404")
    names = _names(was)
    if not names or names <= _segments(now) | _values(now):
        return None
    if not _one_site(was, now):
        return Seen(Presence.WALL, "moved")
    if _HOME.fullmatch(now.path):
        # Some sites answer a removed item so, others an unknown visitor.
        return Seen(Presence.WALL, "moved_home")
    return None


def _place(url: SplitResult) -> tuple[str, str, str]:
    return _host(url), url.path.rstrip("/"), url.query


def _host(url: SplitResult) -> str:
    return _SAME_SITE.sub("", (url.hostname or "").rstrip("."))


def _one_site(a: SplitResult, b: SplitResult) -> bool:
    one, other = f".{_host(a)}", f".{_host(b)}"
    return one.endswith(other) or other.endswith(one)


def _segments(url: SplitResult) -> set[str]:
    return {unquote(part).lower() for part in url.path.split("/") if part}


def _gate(url: SplitResult) -> str | None:
    segments, labels = _segments(url), set((url.hostname or "").split(".")[:-2])
    for reason, gates in _GATES.items():
        if segments & gates or labels & _GATE_HOSTS.get(reason, set()):
            return reason
    return None


def _names(url: SplitResult) -> set[str]:
    """What names the item in its address: the last segment of the path, else the query's values."""
    if _HOME.fullmatch(url.path):
        return _values(url)
    return {unquote(url.path.rstrip("/").rpartition("/")[2]).lower()} - {""}


def _values(url: SplitResult) -> set[str]:
    return {value.lower() for _, value in parse_qsl(url.query)}


# -- The text --------------------------------------------------------------------------------------

# Whole phrases, normalised by _plain. A title or heading must say little else: see _says.
_SAYS_LATER = (
    "try again later",
    "temporarily unavailable",
    "under maintenance",
    "momentanément indisponible",
    "temporairement indisponible",
    "en maintenance",
    "réessayez plus tard",
    "غير متاح مؤقتا",
    "غير متوفر مؤقتا",
    "قيد الصيانة",
    "تحت الصيانة",
    "حاول مرة أخرى لاحقا",
)
_SAYS_WALL = {
    # What platforms show a visitor of a removed item and of one shared with few alike.
    "not_shown": (
        "isn't available right now",
        "isn't available at the moment",
        "n'est pas disponible pour le moment",
        "غير متاح حاليا",
        "غير متوفر حاليا",
        "غير متاح الآن",
        "this account is private",
        "ce compte est privé",
        "هذا الحساب خاص",
    ),
    "bot_check": (
        "just a moment",
        "attention required",
        "are you a robot",
        "i'm not a robot",
        "are you human",
        "verify you are human",
        "checking your browser",
        "complete the captcha",
        "security check",
        "access denied",
        "vérification de sécurité",
        "vérifiez que vous êtes humain",
        "je ne suis pas un robot",
        "accès refusé",
        "لست روبوتا",
        "التحقق من أنك إنسان",
        "التحقق الأمني",
        "تم رفض الوصول",
    ),
    "age_gate": (
        "age verification",
        "age restricted",
        "age-restricted",
        "verify your age",
        "confirm your age",
        "are you over 18",
        "vérification de l'âge",
        "confirmez votre âge",
        "vérifiez votre âge",
        "avez-vous plus de 18 ans",
        "التحقق من العمر",
        "تأكيد العمر",
        "هل عمرك أكثر من 18",
    ),
    "consent_wall": (
        "before you continue",
        "avant de continuer",
        "avant d'accéder",
        "قبل المتابعة",
    ),
    "login_wall": (
        "log in",
        "login",
        "sign in",
        "you must log in",
        "log in to continue",
        "sign in to continue",
        "connexion",
        "se connecter",
        "connectez-vous",
        "identifiez-vous",
        "تسجيل الدخول",
        "سجل الدخول",
    ),
}
_SAYS_HERE_ONLY = (
    "not available in your country",
    "isn't available in your country",
    "not available in your region",
    "n'est pas disponible dans votre pays",
    "indisponible dans votre pays",
    "غير متاح في بلدك",
    "غير متوفر في بلدك",
)
_SAYS_GONE = (
    "404",
    "error 404",
    "erreur 404",
    "خطأ 404",
    "not found",
    "page not found",
    "page doesn't exist",
    "page does not exist",
    "isn't available",
    "is not available",
    "is no longer available",
    "no longer exists",
    "content not available",
    "content unavailable",
    "video unavailable",
    "post unavailable",
    "has been removed",
    "has been deleted",
    "was deleted",
    "could not be found",
    "couldn't be found",
    "cannot be found",
    "video has been removed by the uploader",
    "account suspended",
    "has been suspended",
    "user not found",
    "page introuvable",
    "introuvable",
    "page non trouvée",
    "n'existe pas",
    "n'existe plus",
    "n'est plus disponible",
    "n'est pas disponible",
    "contenu indisponible",
    "contenu non disponible",
    "vidéo indisponible",
    "page indisponible",
    "a été supprimé",
    "a été supprimée",
    "a été retiré",
    "a été retirée",
    "compte suspendu",
    "الصفحة غير موجودة",
    "الصفحة المطلوبة غير موجودة",
    "لم يتم العثور على الصفحة",
    "لم يتم العثور",
    "غير موجود",
    "غير موجودة",
    "المحتوى غير متوفر",
    "المحتوى غير متاح",
    "هذه الصفحة غير متوفرة",
    "هذه الصفحة غير متاحة",
    "هذا الفيديو غير متوفر",
    "لم يعد متاحا",
    "لم تعد متاحة",
    "لم يعد متوفرا",
    "تم حذف",
    "تم حذفه",
    "تم حذفها",
    "تمت إزالة",
    "تمت إزالته",
    "تم حذف هذا المنشور",
    "تم حذف هذا المحتوى",
    "تم حذف هذا الفيديو",
    "تمت إزالة هذا المنشور",
    "تمت إزالة هذا المحتوى",
    "تمت إزالة هذا الفيديو",
    "الحساب موقوف",
    "تم تعليق الحساب",
)

#: A page with no more visible text than this is its message.
_SHORT = 400
#: Less visible text than this beside a script: the page is drawn by the script.
_SHELL = 20
_LONGEST_TITLE = 300
_PARTS = re.compile(r"\s+[-–—|·•:»]\s+|[.!?…,،؟]+(?:\s+|$)|:\s+")
_SPACE = re.compile(r"\s+")
_ALIKE = str.maketrans({"’": "'", "‘": "'", "`": "'", "ٱ": "ا", "ى": "ي", "ـ": ""})


def _plain(text: str) -> str:
    """Text as it is compared: one case, one spelling of letters, no vowel marks, single spaces."""
    folded = unicodedata.normalize("NFD", unicodedata.normalize("NFKC", text).casefold())
    letters = "".join(char for char in folded if unicodedata.category(char) != "Mn")
    return _SPACE.sub(" ", letters.translate(_ALIKE)).strip()


def _plain_all(phrases: Iterable[str]) -> tuple[str, ...]:
    return tuple(plain for phrase in phrases if (plain := _plain(phrase)))


_LATER = _plain_all(_SAYS_LATER)
_WALL = {reason: _plain_all(phrases) for reason, phrases in _SAYS_WALL.items()}
_MISSED = _plain_all(_SAYS_GONE)
_HERE_ONLY = _plain_all(_SAYS_HERE_ONLY)


@dataclass(frozen=True, slots=True)
class _Page:
    visible: str
    #: The title and the first headings.
    titles: tuple[str, ...] = ()
    scripted: bool = False


def _by_text(page: _Page, words: Words, asked: str) -> Seen | None:
    visible = _plain(page.visible)
    if any(phrase in visible for phrase in _plain_all(words.gone)):
        return Seen(Presence.GONE, "soft_404")
    if any(phrase in visible for phrase in _plain_all(words.wall)):
        return Seen(Presence.WALL, "platform_wall")
    said = tuple(_sayings(page.titles, visible))
    if _says(said, _LATER):
        return Seen(Presence.UNCLEAR, "says_later")
    at_gate = _gate(urlsplit(asked))
    for reason, phrases in _WALL.items():
        if reason != at_gate and _says(said, phrases):
            return Seen(Presence.WALL, reason)
    if _says(said, _HERE_ONLY):
        return Seen(Presence.GONE, "geo_blocked")
    if _says(said, _MISSED):
        return Seen(Presence.GONE, "soft_404")
    if page.scripted and len(visible) < _SHELL:
        return Seen(Presence.WALL, "needs_browser")
    return None


def _sayings(titles: Iterable[str], visible: str) -> Iterator[str]:
    """The statements of a page: its titles, and its sentences where it has but a few."""
    short = [visible] if len(visible) <= _SHORT else []
    for text in [*(_plain(title) for title in titles), *short]:
        yield from (part for part in _PARTS.split(text) if part)


def _says(said: Iterable[str], phrases: tuple[str, ...]) -> bool:
    """Whether one statement is hardly more than one of the phrases.

    "This page isn't available" is such a page; a report that a page "has been removed after three
    weeks of complaints" is not.
    """
    return any(
        2 * len(phrase) >= len(part) and re.search(rf"(?<!\w){re.escape(phrase)}(?!\w)", part)
        for part in said
        for phrase in phrases
    )


class _Reader(HTMLParser):
    _HIDDEN = frozenset({"script", "style", "noscript", "template", "svg"})
    _TITLES = frozenset({"title", "h1"})
    MOST_TITLES = 4

    def __init__(self) -> None:
        super().__init__()
        self.visible: list[str] = []
        self.titles: list[str] = []
        self.scripted = False
        self._hidden = ""
        self._title = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        refresh = tag == "meta" and (dict(attrs).get("http-equiv") or "").lower() == "refresh"
        self.scripted = self.scripted or tag == "script" or refresh
        if tag in self._HIDDEN:
            self._hidden = self._hidden or tag
        elif tag in self._TITLES:
            self._title = tag
            self.titles.append("")
        else:
            self.visible.append(" ")  # words of two elements are two words

    def handle_endtag(self, tag: str) -> None:
        if tag == self._hidden:
            self._hidden = ""
        elif tag == self._title:
            self._title = ""
        self.visible.append(" ")

    def handle_data(self, data: str) -> None:
        if self._hidden:
            return
        if self._title and len(self.titles[-1]) < _LONGEST_TITLE:
            self.titles[-1] += data[:_LONGEST_TITLE]
        if self._title != "title":
            self.visible.append(data)


def _read(markup: str) -> _Page:
    reader = _Reader()
    reader.feed(markup)
    return _Page(
        "".join(reader.visible), tuple(reader.titles[: reader.MOST_TITLES]), reader.scripted
    )
