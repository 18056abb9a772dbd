# SPDX-License-Identifier: Apache-2.0
"""Every route and every role: who gets an answer, who gets 403, and that strangers get nothing.

The table of routes is what the service is composed of; the table of what the API takes is
tests/support/matrix.py's. Each row is called, so neither can be wrong for long.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from matrix import API, DESCRIPTION, PAGE, Routes, composed, opens, renewed, routes_of
from triage_world import World
from wasl_chassis.health import Health, admin_app
from wasl_chassis.metrics import Metrics
from wasl_schemas.ids import uuid7
from wasl_triage.console.site import Route
from wasl_triage.domain.people import Person, Role
from whole import Whole, body_of, called, furnish, path_of, unknown

WORDS = "Somebody sells nothing."
ONE = {
    role: Person(name=f"only-{role.replace('_', '-')}", roles=frozenset({role})) for role in Role
}
#: All there is without a session, below each language; the root and the files beside them.
OPEN = {
    "GET sign-in", "POST sign-in", "GET sign-in/first", "POST sign-in/first",
    "GET sign-in/authenticator", "POST sign-in/authenticator", "GET sign-in/code",
    "POST sign-in/code", "GET sign-in/elsewhere", "GET sign-in/back", "POST sign-out",
}  # fmt: skip
#: A wrong proof is a 403; nobody is there to be sent to, and intake is not there: 503.
AWAY = ("/confirm", "/elsewhere", "/helpline/report")


@pytest.fixture
def whole(world: World) -> Whole:
    return Whole(world, ONE.values())


@pytest.fixture(scope="module")
def routes() -> Routes:
    return composed()


# -- the tables say what there is ------------------------------------------------------------------


def test_every_route_of_the_api_is_declared(routes: Routes) -> None:
    assert routes.api == {word.partition("?")[0] for word in API}


def test_there_is_nothing_beside_the_tables(routes: Routes) -> None:
    """The description of the API is behind a token: it would tell strangers what to look for."""
    assert routes.other == {DESCRIPTION}


def test_what_is_tested_here_is_what_runs(routes: Routes, whole: Whole) -> None:
    here = routes_of(whole.app, whole.site)
    assert (here.api, here.other) == (routes.api, routes.other)
    assert set(here.pages) == set(routes.pages)


def test_nothing_is_open_but_coming_in(routes: Routes, whole: Whole) -> None:
    expected = {
        f"{w.split()[0]} /{tag}/{w.split()[1]}" for w in OPEN for tag in whole.site.languages
    }
    expected |= {"GET /", *(f"GET {path}" for path in whole.site.static.values())}
    assert {f"{r.method} {r.path}" for r in routes.pages if r.open_to_all} == expected


def test_every_language_has_the_same_pages(routes: Routes, whole: Whole) -> None:
    def below(tag: str) -> set[tuple[Any, ...]]:
        mine = (r for r in routes.pages if r.path.startswith(f"/{tag}/"))
        return {(r.method, r.path[len(tag) + 2 :], r.needs, r.open_to_all) for r in mine}

    first, *others = whole.site.languages
    assert below(first)
    assert all(below(tag) == below(first) for tag in others)


def test_health_is_on_another_port(routes: Routes) -> None:
    admin = admin_app(Health(), Metrics(()), {})
    paths = {getattr(r, "path", "") for r in admin.routes}
    ours = {word.split()[1] for word in routes.api} | {r.path for r in routes.pages}
    assert paths
    assert not paths & ours


def test_the_page_of_the_desk_shows_the_tables_of_today(routes: Routes) -> None:
    """When this fails: python tests/support/matrix.py --write"""
    page = PAGE.read_text(encoding="utf-8")
    assert renewed(page, routes) == page


# -- the API ---------------------------------------------------------------------------------------


async def test_without_a_token_every_route_of_the_api_is_a_401(whole: Whole) -> None:
    stranger = whole.client()
    ids = await furnish(whole, 1, "scam_fraud", WORDS)
    for word in [*API, DESCRIPTION]:
        method, path = called(word, ids)
        for headers in ({}, {"authorization": "Bearer nobody"}):
            answer = await stranger.request(method, path, json={}, headers=headers)
            assert answer.status_code == 401, word
            assert ids["case_id"] not in answer.text


async def test_a_session_is_no_token(whole: Whole) -> None:
    """The API takes no cookie, so no other site can make a browser use it."""
    ids = await _ids(whole)
    browser = await whole.browser(ONE[Role.ANALYST])
    for word in [*API, DESCRIPTION]:
        method, path = called(word, ids)
        assert (await browser.http.request(method, path, json={})).status_code == 401, word


@pytest.mark.parametrize("role", Role)
async def test_the_api_by_role(whole: Whole, role: Role) -> None:
    ids = await _ids(whole)
    caller = whole.api(ONE[role])
    for word in sorted(API, key=lambda w: role in opens(API[w])):  # refusals change nothing
        allowed = role in opens(API[word])
        for there, known in ((True, ids), (False, unknown(ids))):
            method, path = called(word, known)
            body = body_of(word, whole.world, known)
            answer = await caller.request(method, path, json=body)
            told = (word, role, there, answer.status_code, answer.text)
            if allowed:
                assert answer.status_code in (200, 409, 422, *(() if there else (404,))), told
            else:
                assert answer.status_code in ((403,) if there else (403, 404)), told
    assert (await caller.get("/api/v1/openapi.json")).status_code == 200


# -- the pages -------------------------------------------------------------------------------------


def _pages(whole: Whole, lang: str = "fr") -> Iterator[Route]:
    """Every page in one language; those of every language are the same, see above."""
    for route in whole.site.table:
        if route.path.startswith(f"/{lang}/"):
            yield route


async def _ids(whole: Whole) -> dict[str, str]:
    return await furnish(whole, 1, "scam_fraud", WORDS)


async def test_without_a_session_every_page_leads_to_signing_in(whole: Whole) -> None:
    ids = await _ids(whole)
    stranger = whole.client(**{"sec-fetch-site": "same-origin"})
    for route in whole.site.table:
        if route.open_to_all:
            continue
        path = path_of(route.path, ids)
        for known in (path, path_of(route.path, unknown(ids))):
            answer = await stranger.request(route.method, known)
            lang = route.path.split("/")[1]
            assert answer.status_code == 303, route
            assert answer.headers["location"].startswith(f"/{lang}/sign-in?next="), route
            assert not answer.content, route


async def test_before_the_code_is_accepted_every_page_leads_to_it(whole: Whole) -> None:
    ids = await _ids(whole)
    everybody = Person(name="new-1", roles=frozenset(Role))
    browser = await whole.browser(everybody, accepted=False)
    for route in _pages(whole):
        if route.open_to_all or route.path == "/fr/code":
            continue
        answer = await browser.ask(route.method, path_of(route.path, ids))
        assert (answer.status_code, answer.headers.get("location")) == (303, "/fr/code"), route


@pytest.mark.parametrize("role", Role)
async def test_the_pages_by_role(whole: Whole, role: Role, monkeypatch: Any) -> None:
    monkeypatch.setattr("wasl_triage.console.live.LOOKS", 0)
    ids = await _ids(whole)
    for route in sorted(_pages(whole), key=lambda r: r.method):
        if route.open_to_all:
            continue
        allowed = route.needs is None or role in opens([route.needs])
        for known in (ids, unknown(ids)) if allowed else (ids,):
            browser = await whole.browser(ONE[role])  # some routes end the session
            answer = await browser.ask(route.method, path_of(route.path, known))
            told = (route, role, answer.status_code, answer.text[-3000:])
            if not allowed:
                assert answer.status_code == 403, told
                assert WORDS not in answer.text, told
            elif not route.path.endswith(AWAY):
                assert answer.status_code not in (401, 403, 405, 500, 503), told
                ends = route.path.endswith("account/sessions")
                assert ends or "/sign-in" not in answer.headers.get("location", ""), told


async def test_what_is_nowhere_is_a_404_for_everybody(whole: Whole) -> None:
    stranger, browser = whole.client(), await whole.browser(ONE[Role.ADMINISTRATOR])
    paths = ["/admin", "/health", "/metrics", "/docs", "/redoc", "/openapi.json", "/xx/queue",
             "/fr/no-such-page", "/static/", "/static/x.css", "/static/../desk.py", "/api/v1/",
             "/api/v2/queue", "/api/v1/cases", "/fr/cases", "/.env", "/fr/../../etc/passwd",
             f"/fr/cases/{uuid7()}/nothing"]  # fmt: skip
    for path in paths:
        assert (await stranger.get(path)).status_code == 404, path
        assert (await browser.get(path)).status_code == 404, path
