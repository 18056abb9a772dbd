# SPDX-License-Identifier: Apache-2.0
"""The pages of signing in, as a browser without script sees them."""

import html
import re
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from desk import Door, rooms
from fastapi import FastAPI, Request
from oidc_provider import OidcProvider
from triage_world import World
from wasl_chassis.web import add_problem_handlers
from wasl_schemas.country_pack import CountryPack
from wasl_triage.access.accounts import State
from wasl_triage.access.door import STEPPED_UP
from wasl_triage.access.oidc import Oidc, Provider
from wasl_triage.console.labels import proved
from wasl_triage.console.pages import Console
from wasl_triage.console.signing_in import SigningInPages
from wasl_triage.console.site import Page, Site
from wasl_triage.domain.people import Permission

PASSWORD = "tournesol vif, canard lent"
DESK = "https://desk.example.org"
CODE = re.compile(r"[0-9A-Z]{4}(?:-[0-9A-Z]{4}){3}")


class Browser:
    """Keeps cookies, fills in the form of the page it is on, and follows nothing by itself."""

    def __init__(self, app: FastAPI) -> None:
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=DESK)
        self.page = ""

    async def open(self, path: str, **more: Any) -> httpx.Response:
        answer = await self.http.get(path, **more)
        self.page = answer.text or self.page
        return answer

    async def send(self, path: str, fields: dict[str, Any], **more: Any) -> httpx.Response:
        token = re.search(r'name="csrf" value="([^"]*)"', self.page)
        sent = {**({"csrf": token[1]} if token else {}), **fields}
        headers = {
            "content-type": "application/x-www-form-urlencoded",
            "sec-fetch-site": "same-origin",
            **more,
        }
        body = urlencode(sent, doseq=True).encode()
        answer = await self.http.post(path, content=body, headers=headers)
        self.page = answer.text or self.page
        return answer

    def where(self, answer: httpx.Response) -> str:
        assert answer.status_code == 303, (answer.status_code, answer.text)
        return answer.headers["location"]


class Desk:
    def __init__(self, people: Any, pack: CountryPack, oidc: Oidc | None = None) -> None:
        self.people = people
        self.access = people.access = people.door(oidc=oidc, code_version=pack.desk.code_version)
        self.app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
        add_problem_handlers(self.app)
        self.site = Site(pack, people.clock, self.access)
        self.site.register(self.app)
        SigningInPages(self.site, self.access, DESK)

    def browser(self) -> Browser:
        return Browser(self.app)

    async def enter(self, name: str = "amal", *roles: str, accept: bool = True) -> Browser:
        """A browser in which the person is signed in."""
        if name not in self.people.hub.store.docs.get("accounts", {}):
            entered = await self.people.first(name, *roles)
            if accept:
                await self.access.accept(await self.people.signed(entered))
        browser = self.browser()
        await browser.open("/fr/sign-in")
        code = self.people.code(name)
        fields = {"name": name, "password": PASSWORD, "code": code, "next": ""}
        answer = await browser.send("/fr/sign-in", fields)
        assert browser.where(answer) == "/fr/"
        return browser


@pytest.fixture
def desk(people: Any, pack: CountryPack) -> Desk:
    return Desk(people, pack)


async def test_from_an_invitation_to_the_code_of_conduct(desk: Desk) -> None:
    token, browser = await desk.people.invite("amal"), desk.browser()
    await browser.open("/fr/sign-in/first")
    fields = {"name": "amal", "invitation": token, "password": "motdepasse2026"}
    answer = await browser.send("/fr/sign-in/first", fields)
    assert answer.status_code == 422
    assert 'aria-invalid="true"' in answer.text
    assert "motdepasse2026" not in answer.text
    answer = await browser.send("/fr/sign-in/first", {**fields, "password": PASSWORD})
    assert browser.where(answer) == "/fr/sign-in/authenticator"
    assert "SameSite=Strict; Secure" in answer.headers["set-cookie"]
    answer = await browser.open("/fr/sign-in/authenticator")
    assert 'src="data:image/svg+xml' in answer.text
    assert (await browser.send("/fr/sign-in/authenticator", {"code": "000000"})).status_code == 403
    half = await desk.access.halfway(_request(browser))
    assert half is not None
    desk.people.apps["amal"] = await desk.access.enrolment(half)
    answer = await browser.send("/fr/sign-in/authenticator", {"code": desk.people.code()})
    assert answer.status_code == 200
    assert len(set(CODE.findall(answer.text))) == 10
    assert browser.where(await browser.open("/fr/account")) == "/fr/code"
    answer = await browser.open("/fr/code")
    assert answer.status_code == 200
    assert browser.where(await browser.send("/fr/code", {})) == "/fr/"
    assert (await browser.open("/fr/account")).status_code == 200


def _request(browser: Browser) -> Any:
    from starlette.requests import Request

    line = "; ".join(f"{k}={v}" for k, v in browser.http.cookies.items()).encode()
    return Request({"type": "http", "headers": [(b"cookie", line)]})


@pytest.mark.parametrize("lang", ["ar", "fr", "en"])
async def test_whatever_was_wrong_the_page_is_the_same(desk: Desk, lang: str) -> None:
    await desk.people.first("amal")
    seen = set()
    for name, password, code in (
        ("amal", "wrong password!", desk.people.code()),
        ("amal", PASSWORD, "000000"),
        ("nada", PASSWORD, "000000"),
    ):
        browser = desk.browser()
        await browser.open(f"/{lang}/sign-in")
        fields = {"name": name, "password": password, "code": code, "next": "queue"}
        answer = await browser.send(f"/{lang}/sign-in", fields)
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers
        assert password not in html.unescape(answer.text)
        seen.add(answer.text.replace(f'value="{name}"', ""))
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("next_", "leads"),
    [
        ("queue/mine", "/fr/queue/mine"),
        ("", "/fr/"),
        ("//evil.example", "/fr/"),
        ("https://evil.example", "/fr/"),
        ("/evil.example", "/fr/"),
        ("\\evil.example", "/fr/"),
        ("../../x", "/fr/"),
        ("a/../../x", "/fr/"),
        ("x\r\nset-cookie: a=b", "/fr/"),
        ("q" * 400, "/fr/"),
    ],
)
async def test_afterwards_only_our_own_pages(desk: Desk, next_: str, leads: str) -> None:
    await desk.people.first("amal")
    browser = desk.browser()
    await browser.open("/fr/sign-in", params={"next": next_})
    code = desk.people.code()
    fields = {"name": "amal", "password": PASSWORD, "code": code, "next": next_}
    assert browser.where(await browser.send("/fr/sign-in", fields)) == leads


async def test_forms_of_others_are_refused(desk: Desk) -> None:
    browser = await desk.enter("amal")
    await browser.open("/fr/account")
    page = browser.page
    for path in ("account/sessions", "account/recovery", "account/language", "code", "sign-out"):
        browser.page = ""
        assert (await browser.send(f"/fr/{path}", {})).status_code == 403, path
        browser.page = page
        answer = await browser.send(f"/fr/{path}", {}, **{"sec-fetch-site": "cross-site"})
        assert answer.status_code == 403, path
    other = await desk.enter("badr")
    await other.open("/fr/account")
    browser.page = other.page  # another session's token
    assert (await browser.send("/fr/account/sessions", {})).status_code == 403
    browser.page = ""
    answer = await browser.send("/fr/sign-in", {"name": "amal"}, **{"sec-fetch-site": "cross-site"})
    assert answer.status_code == 403
    assert (await browser.open("/fr/account")).status_code == 200  # nothing ended


async def test_halfway_forms_need_their_token(desk: Desk) -> None:
    token, browser = await desk.people.invite("amal"), desk.browser()
    fields = {"name": "amal", "invitation": token, "password": PASSWORD}
    await browser.send("/fr/sign-in/first", fields)
    await browser.open("/fr/sign-in/authenticator")
    half = await desk.access.halfway(_request(browser))
    assert half is not None
    desk.people.apps["amal"] = await desk.access.enrolment(half)
    page, browser.page = browser.page, ""
    answer = await browser.send("/fr/sign-in/authenticator", {"code": desk.people.code()})
    assert answer.status_code == 403
    assert desk.people.account().totp is None
    assert desk.people.count("second", "denied") == 0  # not even a try
    for path in ("account", "code", "people", "confirm"):
        assert browser.where(await browser.open(f"/fr/{path}")).startswith("/fr/sign-in?next=")
    assert browser.where(await browser.open("/fr/sign-in/code")) == "/fr/sign-in"
    browser.page = page
    answer = await browser.send("/fr/sign-in/authenticator", {"code": desk.people.code()})
    assert answer.status_code == 200


async def test_signing_out_takes_the_cookie_back(desk: Desk) -> None:
    browser = await desk.enter("amal")
    await browser.open("/fr/account")
    answer = await browser.send("/fr/sign-out", {})
    assert answer.status_code == 200
    assert "Max-Age=0" in answer.headers["set-cookie"]
    assert browser.where(await browser.open("/fr/account")).startswith("/fr/sign-in")


async def test_the_account_page_asks_for_a_fresh_proof(desk: Desk) -> None:
    browser = await desk.enter("amal")
    desk.people.later(minutes=11)
    answer = await browser.open("/fr/account")
    assert 'action="/fr/account/password"' not in answer.text
    again = browser.where(await browser.send("/fr/account/recovery", {}))
    assert again.startswith("/fr/confirm?next=confirm/form/")
    await browser.open("/fr/confirm?next=account")
    answer = await browser.send("/fr/confirm?next=account", {"password": "wrong password!"})
    assert answer.status_code == 403
    answer = await browser.send("/fr/confirm?next=account", {"code": desk.people.code()})
    assert browser.where(answer) == "/fr/account"
    await browser.open("/fr/account")
    answer = await browser.send("/fr/account/password", {"password": "short"})
    assert answer.status_code == 422
    answer = await browser.send("/fr/account/password", {"password": "orage doux sur colline"})
    assert browser.where(answer) == "/fr/account"
    await browser.open("/fr/account")
    answer = await browser.send("/fr/account/recovery", {})
    assert len(set(CODE.findall(answer.text))) == 10


async def test_the_language_follows_the_account(desk: Desk) -> None:
    browser = await desk.enter("amal")
    await browser.open("/fr/account")
    assert (await browser.send("/fr/account/language", {"language": "xx"})).status_code == 422
    answer = await browser.send("/fr/account/language", {"language": "ar"})
    assert browser.where(answer) == "/ar/account"
    answer = await browser.open("/ar/account")
    assert 'dir="rtl"' in answer.text
    assert browser.where(await browser.open("/")) == "/ar/"


# -- a form that needs a fresh proof ---------------------------------------------------------------

#: What a form must bring back unchanged: lines, quotes, markup, both directions.
TYPED = 'Première ligne\r\n\r\n"troisième" & <b>même</b>\r\nالسطر الأخير'


class Heard:
    """A form of a desk that takes a fresh proof; what reached it."""

    def __init__(self, desk: Desk) -> None:
        self.fields: list[dict[str, list[str]]] = []
        desk.site.add("letters", get=self._shown, needs=Permission.PEOPLE)
        desk.site.add("letters/{name}", post=self._taken, needs=Permission.PEOPLE)

    async def _shown(self, page: Page) -> Any:
        return page.show("signing_in/conduct.html", accepted=True)

    async def _taken(self, page: Page) -> Any:
        self.fields.append(await page.form(("reason", "empty"), ("roles",)))
        return page.go("letters")


def filled(page: str) -> dict[str, list[str]]:
    """The fields of the form that goes on, as a browser would send them."""
    form = re.search(r'<form method="post" action="/fr/letters/.*?</form>', page, re.DOTALL)
    assert form is not None, page
    out: dict[str, list[str]] = {}
    for name, value in re.findall(r'name="([^"]*)" value="([^"]*)"', form[0]):
        out.setdefault(name, []).append(html.unescape(value))
    return out


SENT = {"reason": TYPED, "empty": "", "roles": ["a", "b"]}


async def late(desk: Desk, *, prove: bool = True) -> tuple[Browser, str]:
    """Somebody whose form came too late, and the address where it waits."""
    browser = await desk.enter("badr", "administrator")
    await browser.open("/fr/letters")
    desk.people.later(minutes=11)
    again = browser.where(await browser.send("/fr/letters/x.y", SENT))
    assert again.startswith("/fr/confirm?next=confirm/form/")
    if prove:
        await browser.open(again)
        answer = await browser.send(again, {"password": PASSWORD})
        assert browser.where(answer) == "/fr/" + again.partition("next=")[2]
    return browser, "/fr/" + again.partition("next=")[2]


async def test_what_was_typed_comes_back_after_the_proof_and_goes_on(desk: Desk) -> None:
    heard = Heard(desk)
    browser, waits = await late(desk)
    page = (await browser.open(waits)).text
    assert html.escape("Première ligne") in page
    assert heard.fields == []  # keeping it did nothing
    fields = filled(page)
    token = fields.pop("csrf")
    assert fields == {"reason": [TYPED], "empty": [""], "roles": ["a", "b"]}
    assert browser.where(await browser.send("/fr/letters/x.y", {**fields})) == "/fr/letters"
    assert heard.fields == [{"csrf": token, **fields}]


async def test_a_wrong_proof_or_a_lost_session_loses_nothing(desk: Desk) -> None:
    Heard(desk)
    browser, waits = await late(desk, prove=False)
    again = "/fr/confirm?next=" + waits.removeprefix("/fr/")
    assert "Votre saisie est conservée" in (await browser.open(again)).text
    assert (await browser.send(again, {"password": "wrong password!"})).status_code == 403
    assert waits.removeprefix("/fr/") in browser.page
    desk.people.later(minutes=21)  # silence: the session is over
    for answer in (await browser.open(again), await browser.send(again, {"password": PASSWORD})):
        inside = browser.where(answer)
        assert inside == "/fr/sign-in?next=" + waits.removeprefix("/fr/")
    await browser.open(inside)
    fields = {"name": "badr", "password": PASSWORD, "code": desk.people.code("badr")}
    answer = await browser.send("/fr/sign-in", {**fields, "next": inside.partition("next=")[2]})
    assert browser.where(answer) == waits
    assert filled((await browser.open(waits)).text)["reason"] == [TYPED]


async def test_what_is_kept_is_readable_nowhere(desk: Desk) -> None:
    Heard(desk)
    browser, waits = await late(desk, prove=False)
    stored = desk.people.stored() + "".join(f"{k}={v}" for k, v in browser.http.cookies.items())
    assert "kept_forms" in desk.people.hub.store.docs
    for word in ("ligne", "troisi", "الأخير", "letters", "x.y"):
        assert word not in stored
        assert word not in waits
    line = next(c for c in browser.http.cookies.jar if c.name.endswith("kept"))
    assert line.name.startswith("__Host-")
    assert line.secure
    assert line.has_nonstandard_attr("HttpOnly")


async def test_what_is_kept_opens_for_its_sender_in_their_browser_for_half_an_hour(
    desk: Desk,
) -> None:
    Heard(desk)
    browser, waits = await late(desk)
    name, word = next((k, v) for k, v in browser.http.cookies.items() if k.endswith("kept"))
    again = await desk.enter("badr")  # the same person in another browser
    assert (await again.open(waits)).status_code == 410
    amal = await desk.enter("amal", "administrator")
    amal.http.cookies.set(name, word)  # another person with the same key
    assert (await amal.open(waits)).status_code == 410
    again.http.cookies.set(name, word)
    assert (await again.open(waits)).status_code == 200
    kept = desk.people.hub.store.docs["kept_forms"]
    (form_id,) = kept
    kept["f" * 32] = {**kept[form_id], "_id": "f" * 32}  # moved to another number
    assert (await again.open("/fr/confirm/form/" + "f" * 32)).status_code == 410
    desk.people.later(minutes=15)
    assert (await again.open(waits)).status_code == 200
    desk.people.later(minutes=15)
    assert (await again.open(waits)).status_code == 410


async def test_signing_out_forgets_the_key_of_what_was_kept(desk: Desk) -> None:
    Heard(desk)
    browser, _ = await late(desk)
    await browser.open("/fr/account")
    await browser.send("/fr/sign-out", {})
    assert not browser.http.cookies


@pytest.mark.parametrize("why", ["token", "elsewhere", "no form"])
async def test_nothing_is_kept_of_a_form_that_is_not_ours(desk: Desk, why: str) -> None:
    Heard(desk)
    browser = await desk.enter("badr", "administrator")
    await browser.open("/fr/letters")
    desk.people.later(minutes=11)
    headers = {
        "token": {},
        "elsewhere": {"sec-fetch-site": "cross-site"},
        "no form": {"content-type": "text/plain"},
    }[why]
    fields = {"reason": TYPED, **({"csrf": "0" * 64} if why == "token" else {})}
    answer = await browser.send("/fr/letters/x", fields, **headers)
    assert answer.status_code == (415 if why == "no form" else 403)
    assert "kept_forms" not in desk.people.hub.store.docs


async def test_what_was_kept_meets_every_check_again(desk: Desk) -> None:
    heard = Heard(desk)
    browser, waits = await late(desk)
    page = (await browser.open(waits)).text
    fields = filled(page)
    browser.page = ""
    answer = await browser.send("/fr/letters/x.y", {**fields, "csrf": "0" * 64})
    assert answer.status_code == 403
    desk.people.later(minutes=11)  # the proof is old again: it is kept anew
    await browser.open("/fr/account")
    again = browser.where(await browser.send("/fr/letters/x.y", {**fields, "csrf": csrf(browser)}))
    assert again.startswith("/fr/confirm?next=confirm/form/")
    assert again.rpartition("/")[2] != waits.rpartition("/")[2]
    assert heard.fields == []


def csrf(browser: Browser) -> str:
    return re.findall(r'name="csrf" value="([^"]*)"', browser.page)[0]


async def test_every_form_that_takes_a_proof_is_called_by_its_name(desk: Desk) -> None:
    world = World(desk.site.pack)
    app = FastAPI()
    console = Console(world.pack, world.clock, Door(), rooms(world))
    console.register(app)
    page = Page(console.site, Request({"type": "http", "path": "/fr/", "headers": []}), "fr", None)
    routes = [
        r.path.removeprefix("/fr/")
        for r in (*console.site.table, *desk.site.table)
        if r.method == "POST" and r.needs in STEPPED_UP and r.path.startswith("/fr/")
    ]
    assert len(routes) == 6
    unknown = proved(page, "")
    assert [r for r in routes if proved(page, r) == unknown] == []


# -- people ----------------------------------------------------------------------------------------


async def test_an_administrator_invites_and_changes_people(desk: Desk) -> None:
    browser = await desk.enter("badr", "administrator")
    await browser.open("/fr/people")
    for wrong in ({"name": "B ad", "roles": ["analyst"], "queues": ["*"]}, {"name": "amal"}):
        answer = await browser.send("/fr/people", wrong)
        assert answer.status_code == 422
        assert 'role="alert"' in answer.text
    fields = {"name": "amal", "roles": ["analyst", "child_safety"], "queues": ["*"]}
    answer = await browser.send("/fr/people", fields)
    assert answer.status_code == 200
    found = re.search(r'<code class="ltr item">([^<]+)</code>', answer.text)
    assert found is not None
    assert f"{DESK}/fr/sign-in/first" in answer.text
    entered = await desk.people.access.first("amal", html.unescape(found[1]), PASSWORD, "fr")
    await desk.people.enrol("amal", entered)
    answer = await browser.open("/fr/people/amal")
    assert answer.status_code == 200
    path = "/fr/people/amal"
    changed = {"change": "roles", "roles": ["auditor"], "queues": ["*"]}
    assert browser.where(await browser.send(path, changed)) == path
    assert {r.value for r in desk.people.account().roles} == {"auditor"}
    for change in ("enable", "end_sessions", "reset_totp", "disable"):
        assert browser.where(await browser.send(path, {"change": change})) == path
        assert (await browser.open(path)).status_code == 200
    assert desk.people.account().state is State.DISABLED
    assert (await browser.send(path, {"change": "invite"})).status_code == 422
    assert (await browser.send(path, {"change": "promote"})).status_code == 422
    assert (await browser.send("/fr/people/badr", {"change": "disable"})).status_code == 422
    assert (await browser.open("/fr/people/nobody")).status_code == 404
    desk.people.later(minutes=10)
    assert browser.where(await browser.open("/fr/people")) == "/fr/confirm?next=people"
    assert browser.where(await browser.send(path, {"change": "enable"})).startswith("/fr/confirm")
    assert desk.people.account().state is State.DISABLED


async def test_people_are_for_administrators(desk: Desk) -> None:
    browser = await desk.enter("amal", "supervisor")
    await browser.open("/fr/account")
    assert (await browser.open("/fr/people")).status_code == 403
    await browser.open("/fr/account")
    answer = await browser.send(
        "/fr/people", {"name": "x", "roles": ["administrator"], "queues": ["*"]}
    )
    assert answer.status_code == 403
    assert "x" not in desk.people.hub.store.docs["accounts"]


async def test_nothing_is_open_but_signing_in_and_out(desk: Desk) -> None:
    found = {
        (r.method, r.path.partition("/fr/")[2])
        for r in desk.site.table
        if r.open_to_all and r.path.startswith("/fr/")
    }
    assert found == {
        ("GET", "sign-in"), ("POST", "sign-in"), ("GET", "sign-in/first"), ("POST", "sign-in/first"),
        ("GET", "sign-in/authenticator"), ("POST", "sign-in/authenticator"),
        ("GET", "sign-in/code"), ("POST", "sign-in/code"), ("GET", "sign-in/elsewhere"),
        ("GET", "sign-in/back"), ("POST", "sign-out"),
    }  # fmt: skip


@pytest.mark.parametrize("lang", ["ar", "fr", "en"])
async def test_every_page_is_said_in_every_language(desk: Desk, lang: str) -> None:
    browser = await desk.enter("badr", "administrator")
    for path in ("account", "code", "confirm", "people", "people/badr"):
        answer = await browser.open(f"/{lang}/{path}")
        assert answer.status_code == 200, path
        assert f'lang="{desk.site.pack.languages[lang].locale}"' in answer.text
    stranger = desk.browser()
    for path in ("sign-in", "sign-in/first"):
        assert (await stranger.open(f"/{lang}/{path}")).status_code == 200


# -- elsewhere -------------------------------------------------------------------------------------


@pytest.fixture
def away(people: Any, pack: CountryPack) -> tuple[Desk, OidcProvider]:
    op = OidcProvider(lambda: people.clock.now().timestamp(), secret=None)
    op.claims |= {"preferred_username": "amal", "groups": ["desk"], "amr": ["mfa"]}
    provider = Provider.model_validate(
        {
            "issuer": op.issuer, "client_id": op.client_id, "amr": ["mfa"],
            "map": {"desk": {"roles": ["administrator"]}},
            "title": {"fr": "Agence exemple", "en": "Example agency", "ar": "وكالة مثال"},
        }
    )  # fmt: skip
    oidc = Oidc(provider, people.clock, back=op.back, transport=op)
    return Desk(people, pack, oidc), op


async def test_over_another_organisation_and_back(away: tuple[Desk, OidcProvider]) -> None:
    desk, op = away
    browser = desk.browser()
    answer = await browser.open("/fr/sign-in?next=people")
    assert "Agence exemple" in answer.text
    address = browser.where(await browser.open("/fr/sign-in/elsewhere?next=people"))
    answer = await browser.open("/fr/sign-in/back", params=op.agree(address))
    # A page, not a redirect: a Strict cookie is not sent along a chain another site began.
    assert answer.status_code == 200
    assert answer.headers["refresh"] == "0;url=/fr/people"
    assert 'href="/fr/people"' in answer.text
    assert browser.where(await browser.open("/fr/people")) == "/fr/code"
    await browser.open("/fr/code")
    await browser.send("/fr/code", {})
    assert (await browser.open("/fr/people")).status_code == 200
    desk.people.later(minutes=11)
    answer = await browser.open("/fr/confirm?next=people")
    assert 'name="password"' not in answer.text
    address = browser.where(await browser.open("/fr/confirm/elsewhere?next=people"))
    answer = await browser.open("/fr/sign-in/back", params=op.agree(address))
    assert answer.headers["refresh"] == "0;url=/fr/people"
    assert (await browser.open("/fr/people")).status_code == 200
    answer = await browser.send("/fr/sign-out", {})
    assert f"{op.issuer}/end?" in html.unescape(answer.text)


@pytest.mark.parametrize(
    ("bend", "status"),
    [
        ({"broken": {"/token": 500}}, 503),
        ({"bent": {"nonce": "other"}}, 403),
        ({"claims": {"sub": "x", "preferred_username": "amal", "groups": []}}, 403),
        ({"claims": {"sub": "x", "groups": ["desk"]}}, 403),
    ],
    ids=str,
)
async def test_what_went_wrong_elsewhere_is_said_and_signs_nobody_in(
    away: tuple[Desk, OidcProvider], bend: dict[str, Any], status: int
) -> None:
    desk, op = away
    for name, value in bend.items():
        setattr(op, name, value)
    browser = desk.browser()
    address = browser.where(await browser.open("/fr/sign-in/elsewhere"))
    answer = await browser.open("/fr/sign-in/back", params=op.agree(address))
    assert answer.status_code == status
    assert 'href="/fr/sign-in"' in answer.text
    assert "refresh" not in answer.headers
    assert browser.where(await browser.open("/fr/account")).startswith("/fr/sign-in")


async def test_while_the_service_is_away_the_page_says_so(away: tuple[Desk, OidcProvider]) -> None:
    desk, op = away
    op.broken = {"/.well-known/openid-configuration": httpx.ConnectError("no")}
    browser = desk.browser()
    answer = await browser.open("/fr/sign-in/elsewhere")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert (await browser.open("/fr/sign-in")).status_code == 200
    assert await desk.enter("break-glass", "administrator")
