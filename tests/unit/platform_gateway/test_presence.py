# SPDX-License-Identifier: Apache-2.0
"""What one answer says about an item: gone, online, unclear, or for a person to see."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wasl_platform_gateway.domain.presence import (
    Presence,
    Seen,
    Words,
    by_address,
    by_probe,
    judge,
    media_type,
    needs_text,
)

GONE, ONLINE, UNCLEAR, WALL = Presence.GONE, Presence.ONLINE, Presence.UNCLEAR, Presence.WALL
ITEM = "https://site.test/post/FICTIF17"
NONE = Words()
HTML = "text/html; charset=utf-8"
STORY = "<p>" + "A long enough story about nothing at all in particular. " * 12 + "</p>"


def page(title="A post", body=STORY, head=""):
    return (
        f"<!doctype html><html><head><title>{title}</title>{head}</head><body>{body}</body></html>"
    )


def seen(text=None, *, asked=ITEM, final=None, status=200, content_type=HTML, words=NONE):
    return judge(
        asked, final or asked, status=status, content_type=content_type, text=text, words=words
    )


# -- Status ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, Seen(ONLINE, "http_200")),
        (203, Seen(ONLINE, "http_203")),
        (206, Seen(ONLINE, "http_206")),
        (202, Seen(UNCLEAR, "http_202")),
        (204, Seen(UNCLEAR, "http_204")),
        (302, Seen(UNCLEAR, "http_302")),
        (400, Seen(UNCLEAR, "http_400")),
        (401, Seen(WALL, "login_wall")),
        (403, Seen(WALL, "http_403")),
        (404, Seen(GONE, "http_404")),
        (407, Seen(UNCLEAR, "http_407")),
        (410, Seen(GONE, "http_410")),
        (429, Seen(UNCLEAR, "http_429")),
        (451, Seen(GONE, "http_451")),
        (500, Seen(UNCLEAR, "http_500")),
        (503, Seen(UNCLEAR, "http_503")),
        (999, Seen(UNCLEAR, "http_999")),
    ],
)
def test_the_status(status, expected):
    assert seen(page(), status=status) == expected


@given(st.integers(100, 999).filter(lambda status: status not in {404, 410, 451}))
def test_no_other_status_closes_a_case(status):
    assert seen(status=status).presence is not GONE


def test_the_body_is_asked_for_only_where_it_decides():
    assert needs_text(ITEM, ITEM, 200, HTML)
    assert needs_text(ITEM, ITEM, 200, "TEXT/PLAIN")
    assert needs_text(ITEM, ITEM, 200, "application/xhtml+xml;charset=utf-8")
    assert not needs_text(ITEM, ITEM, 404, HTML)
    assert not needs_text(ITEM, ITEM, 503, HTML)
    assert not needs_text(ITEM, "https://site.test/login?next=x", 200, HTML)
    for other in ("image/jpeg", "video/mp4", "application/json", "application/octet-stream"):
        assert not needs_text(ITEM, ITEM, 200, other)
    assert not needs_text(ITEM, ITEM, 200, None)


def test_media_that_answers_is_online_and_its_text_is_never_judged():
    assert seen("Page not found", content_type="image/jpeg") == Seen(ONLINE, "http_200")
    assert seen(content_type=None) == Seen(ONLINE, "http_200")


def test_media_types():
    assert media_type(" Text/HTML ; charset=x") == "text/html"
    assert media_type(None) == ""


# -- Redirects -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "final", "expected"),
    [
        # Nothing happened worth a word.
        (ITEM, ITEM, None),
        ("http://site.test/post/FICTIF17", ITEM, None),
        ("https://www.site.test/post/FICTIF17/", "https://m.site.test/post/FICTIF17", None),
        (ITEM, "https://site.test/post/FICTIF17-a-title-in-full", None),
        ("https://site.test/?p=123", "https://site.test/2026/11/a-title/", None),
        ("https://site.test/", "https://site.test/fr/", None),
        ("https://site.test/", "https://www.other.test/", None),
        # The same item under another name of the site.
        ("https://old.test/u/status/100017", "https://new.test/u/status/100017", None),
        ("https://short.test/FICTIF6", "https://long.test/watch?v=FICTIF6", None),
        # Login, consent, age, bots.
        (ITEM, "https://site.test/accounts/login/?next=/post/FICTIF17", "login_wall"),
        (ITEM, "https://login.site.test/?continue=FICTIF17", "login_wall"),
        (ITEM, "https://accounts.other.test/v3/x", "login_wall"),
        (ITEM, "https://site.test/checkpoint/?FICTIF17", "login_wall"),
        (ITEM, "https://consent.site.test/m?continue=FICTIF17", "consent_wall"),
        (ITEM, "https://site.test/age-gate?to=FICTIF17", "age_gate"),
        (ITEM, "https://site.test/captcha?to=FICTIF17", "bot_check"),
        # Home, and away.
        (ITEM, "https://site.test/", "moved_home"),
        (ITEM, "https://www.site.test", "moved_home"),
        (ITEM, "https://site.test/fr/?from=removed", "moved_home"),
        (ITEM, "https://site.test/index.html", "moved_home"),
        ("https://site.test/?p=123&lang=ar", "https://site.test/?lang=ar", "moved_home"),
        (ITEM, "https://parked.test/?domain=site.test", "moved"),
        (ITEM, "https://other.test/a/page", "moved"),
    ],
)
def test_where_a_redirect_ends(asked, final, expected):
    wall = Seen(WALL, expected) if expected else None
    assert by_address(asked, final) == wall
    assert seen(page(), asked=asked, final=final) == (wall or Seen(ONLINE, "http_200"))


@pytest.mark.parametrize(
    "final",
    ["https://site.test/404", "https://site.test/fr/page-not-found", "https://site.test/error404"],
)
def test_a_redirect_to_the_page_for_missing_pages(final):
    assert by_address(ITEM, final) == Seen(GONE, "soft_404")


def test_an_item_that_is_itself_a_login_page_is_no_wall():
    """A phishing page at /login: what was reported is what is there."""
    asked = "http://bank.test/login"
    assert by_address(asked, "https://bank.test/login/") is None
    assert by_address(asked, "https://bank.test/secure/login") is None
    form = page("Sign in", "<h1>Log in</h1><input type=password>")
    assert seen(form, asked=asked) == Seen(ONLINE, "http_200")
    assert seen(form) == Seen(WALL, "login_wall")


# -- Text ------------------------------------------------------------------------------------------

MISSING_TITLES = [
    "404",
    "404 Not Found",
    "Error 404 - Example site",
    "Page not found | Example",
    "Page Not Found · Example",
    "Sorry, this page isn't available.",
    "Sorry, this page isn’t available.",
    "Hmm...this page doesn't exist",
    "Video unavailable - Example",
    "This post has been removed",
    "This account has been suspended.",
    "Page introuvable – Exemple",
    "Erreur 404 : page non trouvée",
    "Cette page n’existe pas",
    "Ce contenu n’est plus disponible",
    "Cette vidéo a été supprimée",
    "VIDÉO INDISPONIBLE",
    "الصفحة غير موجودة",
    "الصَّفحة غير مَوجودة | مثال",
    "خطأ 404",
    "عذرًا، هذا المحتوى غير متوفر",
    "تم حذف هذا المنشور",
    "تمّت إزالة هذا الفيديو",
    "هذه الصفحة غير متاحة",
]


@pytest.mark.parametrize("title", MISSING_TITLES)
def test_a_page_that_says_it_is_missing(title):
    assert seen(page(title)) == Seen(GONE, "soft_404")
    assert seen(page("Example", f"<nav>Menu</nav><h1><b>{title}</b></h1>{STORY}")) == Seen(
        GONE, "soft_404"
    )
    assert seen(page("Example", f"<p>{title}</p>")) == Seen(GONE, "soft_404")
    assert seen(title, content_type="text/plain") == Seen(GONE, "soft_404")


@pytest.mark.parametrize(
    "title",
    [
        "The statue has been removed after three weeks of complaints by residents",
        "Why my video unavailable screen keeps coming back and what I did about it",
        "404 ways to cook an egg",
        "Route 4040",
        "Cette statue a été supprimée du centre-ville après trois semaines de débats",
        "لماذا قال صاحب المتجر إن الصفحة غير موجودة في هذا اليوم بالذات",
        "Loginova wins the race",
        "Déconnexion",
        "Notfounder",
    ],
)
def test_a_page_that_speaks_about_missing_things_is_there(title):
    assert seen(page(title)) == Seen(ONLINE, "http_200")


def test_the_words_of_a_story_do_not_count():
    assert seen(page("A post", STORY + "<p>Page not found</p>")) == Seen(ONLINE, "http_200")
    assert (
        seen(page("A post", STORY + "<script>var t='Page not found'</script>")).presence is ONLINE
    )


@pytest.mark.parametrize(
    ("title", "reason"),
    [
        ("Log in | Example", "login_wall"),
        ("Se connecter", "login_wall"),
        ("تسجيل الدخول - مثال", "login_wall"),
        ("Just a moment...", "bot_check"),
        ("Attention Required! | Example", "bot_check"),
        ("Vérifiez que vous êtes humain", "bot_check"),
        ("التحقق من أنك إنسان", "bot_check"),
        ("Age verification", "age_gate"),
        ("Vérification de l’âge", "age_gate"),
        ("التحقق من العمر", "age_gate"),
        ("Before you continue to Example", "consent_wall"),
        ("Avant de continuer", "consent_wall"),
        ("This content isn't available right now", "not_shown"),
        ("This account is private", "not_shown"),
        ("هذا المحتوى غير متاح حاليًا", "not_shown"),
    ],
)
def test_walls(title, reason):
    assert seen(page(title)) == Seen(WALL, reason)


@pytest.mark.parametrize(
    "title",
    ["Temporarily unavailable", "Site en maintenance", "الموقع قيد الصيانة", "Try again later."],
)
def test_what_says_later_is_unclear(title):
    assert seen(page(title)) == Seen(UNCLEAR, "says_later")


def test_gone_from_here_has_its_own_word():
    for title in (
        "This video is not available in your country",
        "Cette vidéo n'est pas disponible dans votre pays",
        "هذا المحتوى غير متاح في بلدك",
    ):
        assert seen(page(title)) == Seen(GONE, "geo_blocked")


def test_a_page_that_a_script_draws_tells_a_machine_nothing():
    shell = page("Example", "<div id=app></div><script>run()</script>")
    assert seen(shell) == Seen(WALL, "needs_browser")
    told = page(
        "Example",
        "<noscript>Please enable JavaScript for this app</noscript>",
        "<script src=a></script>",
    )
    assert seen(told) == Seen(WALL, "needs_browser")
    refresh = page("Example", "", '<meta http-equiv="Refresh" content="0;url=/x">')
    assert seen(refresh) == Seen(WALL, "needs_browser")
    assert seen(page("Example", "<script>run()</script>" + STORY)) == Seen(ONLINE, "http_200")
    assert seen(page("Example", "<p>hello</p>")) == Seen(ONLINE, "http_200")


def test_a_platform_s_own_words_count_anywhere():
    words = Words(gone=("Ce fictif s’est envolé",), wall=("Ouvrez l'application",))
    assert seen(page("x", STORY + "<p>ce  FICTIF s'est <b>envolé</b></p>"), words=words) == Seen(
        GONE, "soft_404"
    )
    assert seen(page("x", STORY + "Ouvrez l’application"), words=words) == Seen(
        WALL, "platform_wall"
    )
    assert seen(page("x"), words=words) == Seen(ONLINE, "http_200")
    assert seen(page("x"), words=Words(gone=("", " "), wall=("",))) == Seen(ONLINE, "http_200")


@settings(deadline=None)
@given(
    st.text(max_size=400) | st.lists(st.sampled_from("<>/!&;'\"=-  abt"), max_size=200).map("".join)
)
def test_any_text_is_judged(text):
    assert isinstance(seen(text), Seen)
    assert isinstance(seen(text, content_type="text/plain"), Seen)


@settings(deadline=None)
@given(
    st.sampled_from(["<a ", "<!--", "<svg>", "<title>", "<h1>", "&", "</", "<script>", "<b b='"])
)
def test_markup_without_end_is_judged(piece):
    assert isinstance(seen(piece * (40_000 // len(piece))), Seen)


# -- Probes ----------------------------------------------------------------------------------------


def test_a_probe_s_status_means_what_the_platform_says():
    gone, wall = frozenset({404, 400}), frozenset({401, 403})
    assert by_probe(404, gone, wall) == Seen(GONE, "probe_404")
    assert by_probe(400, gone, wall) == Seen(GONE, "probe_400")
    assert by_probe(401, gone, wall) == Seen(WALL, "probe_401")
    assert by_probe(200, gone, wall) == Seen(ONLINE, "probe_200")
    for status in (204, 302, 410, 429, 500):
        assert by_probe(status, gone, wall) == Seen(UNCLEAR, f"probe_{status}")
