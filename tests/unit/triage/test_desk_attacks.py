# SPDX-License-Identifier: Apache-2.0
"""What somebody would try on the desk's pages and API: forms of others, sessions, texts that act.

Over the whole application; the pages of signing in have tests of their own in access/test_pages.py.
"""

import asyncio
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from cases_kit import post
from triage_world import ANA, BEA, World
from wasl_chassis.headers import STRICT_TRANSPORT, TABLE, Addresses, Headers, Kind
from wasl_triage.access import accounts
from wasl_triage.cases.working import Note
from wasl_triage.domain.people import Person, Role
from whole import BASE, Whole, furnish, path_of, unknown

#: Every role: what an attack fails of is never a missing permission.
ALL = Person(name="all-1", roles=frozenset(Role))
#: Closes what it stands in, opens an element, begins a template, turns the text around.
EVIL = (
    "</textarea></title></script><script>alert(1)</script><img src=x onerror=alert(2)>"
    "\"'><svg onload=alert(3)> {{ 7*7 }} {% raw %} \u202egnp.exe \u2066 &lt;b&gt; javascript:alert(4)"
)


@pytest.fixture
def whole(world: World, monkeypatch: pytest.MonkeyPatch) -> Whole:
    monkeypatch.setattr("wasl_triage.console.live.LOOKS", 0)
    return Whole(world, [ALL, ANA, BEA])


def _posts(whole: Whole) -> list[str]:
    """Every form in one language, but those before there is a session."""
    return [
        r.path
        for r in whole.site.table
        if r.method == "POST" and r.path.startswith("/fr/") and "/sign-in" not in r.path
    ]


def _stored(whole: Whole) -> str:
    return repr({name: docs for name, docs in whole.world.hub.store.docs.items() if docs})


# -- forms of others -------------------------------------------------------------------------------


async def test_no_form_of_others_does_anything(whole: Whole) -> None:
    ids = await furnish(whole, 1, "scam_fraud", "Words.")
    browser, other = await whole.browser(ALL), await whole.browser(ANA)
    before = _stored(whole)
    forged: list[tuple[dict[str, str], dict[str, str]]] = [
        ({}, {}),
        ({"csrf": ""}, {}),
        ({"csrf": other.csrf}, {}),
        ({"csrf": browser.csrf[:-1]}, {}),
        ({"csrf": browser.csrf.upper() + "é"}, {}),
        ({}, {"origin": "null"}),
        ({"csrf": browser.csrf}, {"sec-fetch-site": "cross-site"}),
        ({"csrf": browser.csrf}, {"sec-fetch-site": "same-site"}),
        ({}, {"sec-fetch-site": "none"}),
    ]
    for path in _posts(whole):
        for fields, headers in forged:
            answer = await browser.http.post(
                path_of(path, ids), data=fields or {"csrf": "x"}, headers=headers
            )
            assert answer.status_code == 403, (path, fields, headers)
    # Browsers too old for Fetch Metadata say where the form was.
    del browser.http.headers["sec-fetch-site"]
    for origin in (
        "https://evil.example",
        "https://desk.test.evil.example",
        "https://desk.test:8443",
    ):
        answer = await browser.http.post(
            path_of("/fr/cases/{case_id}/claim", ids), data={"csrf": browser.csrf},
            headers={"origin": origin},
        )  # fmt: skip
        assert answer.status_code == 403, origin
    assert _stored(whole) == before


async def test_forms_are_what_they_say(whole: Whole) -> None:
    ids = await furnish(whole, 1, "scam_fraud", "Words.")
    browser = await whole.browser(ALL)
    for path in _posts(whole):
        where = path_of(path, ids)
        # Mass assignment: a field nobody asked for, one given twice.
        for extra in (
            {"claimed_by": "x"},
            {"roles[]": "administrator"},
            {"$set": "1"},
            {"__proto__": ""},
        ):
            answer = await browser.send(where, **extra)
            assert answer.status_code == 422, (path, extra)
        twice = f"csrf={browser.csrf}&csrf={browser.csrf}".encode()
        form = {"content-type": "application/x-www-form-urlencoded"}
        kinds = [
            (twice, form, 422),
            (b"csrf=" + b"x" * 400_000, form, 413),
            (b"\xff\xfe=1", form, 400),
            (b"&".join(b"a%d=1" % n for n in range(200)), form, 400),
            (b'{"csrf": "x"}', {"content-type": "application/json"}, 415),
            (b"csrf=x", {**form, "content-encoding": "gzip"}, 415),
        ]
        for body, headers, status in kinds:
            answer = await browser.http.post(where, content=body, headers=headers)
            assert answer.status_code == status, (path, body[:20], answer.status_code)


# -- sessions --------------------------------------------------------------------------------------


async def test_a_session_word_from_outside_is_nobody(whole: Whole) -> None:
    """Fixation: a word the desk did not make opens nothing, and signing in never adopts one."""
    client = whole.client(**{"sec-fetch-site": "same-origin"})
    for name in (whole.access._cookie.name, "wasl-desk", "__Secure-wasl-desk"):
        client.cookies.set(name, "planted")
    assert (await client.get("/fr/queue")).status_code == 303
    page = await client.get("/fr/sign-in")
    assert "set-cookie" not in page.headers
    tried = await client.post("/fr/sign-in", data={"name": "a", "password": "b", "code": ""})
    assert (tried.status_code, tried.headers.get("set-cookie")) == (403, None)
    assert not whole.world.hub.store.docs.get("sessions")


async def test_over_tls_a_cookie_without_its_prefix_is_nothing(whole: Whole) -> None:
    browser = await whole.browser(ALL)
    plain = whole.client()
    plain.cookies.set("wasl-desk", browser.word)
    assert (await plain.get("/fr/me")).status_code == 303
    out = await browser.send("/fr/sign-out")
    cookie = out.headers["set-cookie"]
    for word in ("__Host-", "HttpOnly", "Secure", "SameSite=Strict", "Path=/", "Max-Age=0"):
        assert word in cookie
    assert "Domain" not in cookie


@pytest.mark.parametrize("end", ["disable", "set_roles", "end_sessions", "sign_out", "idle", "day"])
async def test_a_session_ends_with_what_it_rests_on(whole: Whole, end: str) -> None:
    browser, world = await whole.browser(ALL), whole.world
    assert (await browser.get("/fr/queue")).status_code == 200
    uow = world.hub.unit()
    match end:
        case "disable":
            await accounts.disable(uow, ALL.name, by="operator:x")
        case "set_roles":
            await accounts.set_roles(uow, ALL.name, ["observer"], ["*"], by="operator:x")
        case "end_sessions":
            await accounts.end_sessions(uow, ALL.name, by="operator:x")
        case "sign_out":
            assert (await browser.send("/fr/sign-out")).status_code == 200
            browser.http.cookies.set(whole.access._cookie.name, browser.word)
        case "idle":
            world.later(minutes=21)
        case "day":
            for _ in range(41):
                world.later(minutes=15)
                last = await browser.get("/fr/me")
            assert last.status_code == 303
    await world.hub.commit(uow)
    assert (await browser.get("/fr/queue")).status_code == 303
    assert (await browser.send("/fr/next")).status_code == 303


async def test_hints_stop_with_the_session(whole: Whole, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stream of a page that stays open says nothing once somebody signed out."""
    monkeypatch.setattr("wasl_triage.console.live.LOOKS", 5)
    monkeypatch.setattr("wasl_triage.console.live.EVERY", 0.01)
    monkeypatch.setattr("wasl_triage.console.live._TICK", 0.01)
    browser = await whole.browser(ALL)
    assert (await browser.get("/fr/live")).text.count(":\n\n") == 5
    signed_in = whole.access.signed_in
    looks = 0

    async def once(request: Any) -> Any:
        nonlocal looks
        looks += 1
        if looks == 3:  # the page opened, one hint came, then the other tab signs out
            uow = whole.world.hub.unit()
            await accounts.end_sessions(uow, ALL.name, by=ALL.name)
            await whole.world.hub.commit(uow)
        return await signed_in(request)

    monkeypatch.setattr(whole.access, "signed_in", once)
    assert (await browser.get("/fr/live")).text.count(":\n\n") == 1


async def test_what_is_done_takes_a_recent_proof(whole: Whole) -> None:
    """Protection and other people's accounts: not from a session that lies about."""
    ids = await furnish(whole, 1, "scam_fraud", "Words.")
    browser = await whole.browser(ALL)
    whole.world.later(minutes=11)
    for route in whole.site.table:
        if (
            route.method == "POST"
            and route.path.startswith("/fr/")
            and route.needs in ("protect", "people")
        ):
            answer = await browser.send(path_of(route.path, ids))
            assert answer.status_code in (303, 422), route
            assert "/confirm" in answer.headers.get("location", "/confirm"), route
    assert whole.world.case(ids["case_id"]).held


async def test_unmasking_a_restricted_case_takes_a_recent_proof(whole: Whole) -> None:
    ids = await furnish(whole, 1, "child_exposure", "Call 06 12 34 56 78.")
    browser = await whole.browser(ALL)
    whole.world.later(minutes=11)
    answer = await browser.send(f"/fr/cases/{ids['case_id']}/unmasked")
    assert answer.status_code == 303
    assert "/fr/confirm" in answer.headers["location"]


# -- where it leads --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "next_",
    ["//evil.example", "https://evil.example", "\\\\evil.example", "/\\evil.example", "a/../../x",
     "queue\r\nset-cookie: a=b", "queue%0d%0aset-cookie:%20a=b", "javascript:alert(1)",
     "@evil.example", ".evil.example", "queue?x=//evil", "\u2028x", "x" * 400],
)  # fmt: skip
async def test_nothing_leads_out(whole: Whole, next_: str) -> None:
    browser = await whole.browser(ALL)
    answers = [
        await browser.http.get("/fr/sign-in", params={"next": next_}),
        await browser.http.get("/fr/confirm", params={"next": next_}),
        await browser.send("/fr/next", queue=next_),
        await browser.send("/fr/search", words=next_),
        await browser.http.get("/fr/search", params={"category": next_, "before": next_}),
        await browser.http.get("/fr/protection/case", params={"id": next_}),
        await whole.client().get(
            "/fr/queue/" + next_.replace("?", "%3f").replace("\r\n", "%0d%0a")
        ),
    ]
    for answer in answers:
        assert answer.status_code < 500
        assert "a=b" not in answer.headers.get("set-cookie", "")
        to = answer.headers.get("location", "/fr/")
        assert re.match(r"/(fr|ar|en)/(?![/\\])", to), to
        assert not re.search(r"[\r\n]", to)


ODD = (
    "%2e%2e%2f%2e%2e",
    "%00",
    "$where",
    "%7b%22$ne%22:1%7d",
    "0" * 31 + "%0a",
    "\u0660" * 32,
    "%ff",
    "x" * 5_000,
)


async def test_odd_ids_are_ids_of_nothing(whole: Whole) -> None:
    browser, caller = await whole.browser(ALL), whole.api(ALL)
    names = unknown(await furnish(whole, 1, "scam_fraud", "Words."))
    paths = [
        r.path for r in whole.site.table
        if r.path.startswith("/fr/") and "{" in r.path and r.method == "GET"
    ]  # fmt: skip
    for odd in ODD:
        ids = dict.fromkeys(names, odd)
        for path in [*paths, "/fr/cases/{case_id}/claim", "/fr/helpline/{case_id}/note"]:
            method = "GET" if path in paths else "POST"
            answer = await browser.ask(
                method, path_of(path, ids), **({"text": "x"} if path.endswith("note") else {})
            )
            assert answer.status_code in (303, 307, 400, 404, 405, 409, 410, 422), (
                path,
                answer.status_code,
            )
        for path in ("cases/{case_id}", "opinions/{opinion_id}", "golden/{golden_id}", "reviews/{review_id}",
                     "subject-requests/{request_id}", "categories/{category}/questions"):  # fmt: skip
            answer = await caller.get(f"/api/v1/{path_of(path, ids)}")
            assert answer.status_code in (200, 307, 404, 409, 422), path


async def test_odd_times_are_refused(whole: Whole) -> None:
    """At the ends of time an offset leads beyond what a date can be."""
    ids = await furnish(whole, 1, "scam_fraud", "Words.")
    browser, caller = await whole.browser(ALL), whole.api(ALL)
    for at in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00Z"):
        assert (
            await browser.http.get("/fr/search", params={"all": "1", "before": at})
        ).status_code == 200
        bodies: list[tuple[str, dict[str, Any]]] = [
            (f"cases/{ids['case_id']}/holds", {"body": "court-rabat", "reason": "x", "until": at}),
            (f"cases/{ids['case_id']}/plan", {"next_at": at}),
            ("subject-requests", {"kind": "access", "channel": "letter", "received_at": at,
                                  "identity": "x", "text": "x"}),
        ]  # fmt: skip
        for path, body in bodies:
            answer = await caller.post(f"/api/v1/{path}", json=body)
            assert answer.status_code in (200, 409, 422), (path, at, answer.text)
    for day in ("0001-01-01", "9999-12-31"):
        answer = await caller.get(f"/api/v1/agreement?own=true&since={day}")
        assert answer.status_code == 200


# -- texts that act --------------------------------------------------------------------------------


class _Reader(HTMLParser):
    """What a page would do: elements that run, attributes that run, texts and what isolates them."""

    _RUNS = frozenset(
        {"script", "iframe", "object", "embed", "base", "svg", "link", "meta", "style"}
    )
    _OWN = frozenset({"bdi", "textarea", "option", "pre", "blockquote"})
    _VOID = frozenset({"input", "br", "img", "meta", "link", "hr", "wbr", "col"})

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[tuple[str, bool]] = []
        self.loose: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self._VOID:
            self._open.append((tag, tag in self._OWN or "dir" in dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "\u202e" in data and not any(own and tag != "html" for tag, own in self._open):
            self.loose.append(f"{[t for t, _ in self._open]}: {data.strip()[:60]}")


def _inert(page: str) -> None:
    read = _Reader()
    read.feed(page)
    assert "\u202e" in page
    for tag, attrs in read.elements:
        assert not [a for a in attrs if a.startswith("on") or a in ("style", "srcdoc")], (
            tag,
            attrs,
        )
        if tag == "script":
            assert (attrs.get("src") or "").startswith("/static/")
        if tag == "img":
            assert (attrs.get("src") or "").startswith("data:image/svg+xml")
        assert tag not in ("svg", "iframe", "object", "embed", "base", "style", "b"), tag
        for name in ("href", "src", "action", "formaction"):
            target = attrs.get(name)
            assert (
                target is None
                or target.startswith(("/", "#", "data:,", "data:image/svg"))
                or not target
            )
    assert "49" not in re.findall(r"gnp\.exe.{0,20}", page)
    assert not read.loose, read.loose


async def test_no_text_of_anybody_acts_or_turns_the_page(whole: Whole) -> None:
    world, cases = whole.world, whole.rooms.cases
    ids = await furnish(whole, 1, "scam_fraud", EVIL)
    case_id = ids["case_id"]
    await world.deliver(await world.message(ids["report_id"], EVIL))
    await cases.working.note(ANA, case_id, Note(text=EVIL))
    browser = await whole.browser(ALL)
    opened = await browser.send(
        "/fr/helpline/new", channel="phone", about="self", summary=EVIL, safe_contact=EVIL
    )
    helped = opened.headers["location"]
    for path, fields in (("note", {"text": EVIL}), ("plan", {"text": EVIL, "owner": "x"}),
                         ("hand-over", {"body": "police", "exception": EVIL}),
                         ("link", {"other": EVIL})):  # fmt: skip
        assert (await browser.send(f"{helped}/{path}", **fields)).status_code in (303, 422), path
    request = ids["request_id"]
    pages = [f"/fr/cases/{case_id}", f"/ar/cases/{case_id}", helped,
             f"/fr/protection/cases/{case_id}",
             f"/fr/protection/cases/{case_id}/reports/{ids['report_id']}",
             f"/fr/review/{ids['review_id']}", f"/fr/opinions/{ids['opinion_id']}",
             f"/fr/practice/{ids['golden_id']}"]  # fmt: skip
    assert request
    for path in pages:
        answer = await browser.get(path)
        assert answer.status_code == 200, (path, answer.status_code)
        _inert(answer.text)
    # What was typed and not taken is shown again.
    forms: list[tuple[str, dict[str, Any]]] = [
        (f"/fr/cases/{case_id}/decision", {"action": "close", "reason": EVIL}),
        (f"/fr/cases/{case_id}/assessment", {"category": EVIL, "note": EVIL}),
        (f"/fr/cases/{case_id}/reopening", {"reason": EVIL}),
        ("/fr/search", {"words": EVIL}),
        ("/fr/bulk", {"category": EVIL, "action": EVIL, "ids": EVIL}),
        ("/fr/protection/requests/new", {"kind": EVIL, "identity": EVIL, "text": EVIL}),
    ]
    for path, fields in forms:
        answer = await browser.send(path, **fields)
        assert answer.status_code < 500, path
        read = _Reader()
        read.feed(answer.text)
        assert not [t for t, _ in read.elements if t in ("svg", "b")], path
        assert "<script>alert" not in answer.text, path


# -- headers ---------------------------------------------------------------------------------------


async def test_every_answer_has_the_headers_of_its_kind(whole: Whole) -> None:
    ids = await furnish(whole, 1, "scam_fraud", "Words.")
    browser, headers = await whole.browser(ALL), Headers(Addresses(public=BASE))
    for route in whole.site.table:
        if route.method == "POST" or (
            not route.path.startswith(("/fr/", "/static/")) and route.path != "/"
        ):
            continue
        answer = await browser.get(path_of(route.path, ids))
        kind = Kind.STATIC if route.path.startswith("/static/") else Kind.ANSWER
        for name, value in headers.of(kind):
            assert answer.headers.get_list(name.decode()) == [value.decode()], (route, name)
        assert STRICT_TRANSPORT.value == answer.headers["strict-transport-security"]
        assert "server" not in answer.headers
        if kind is Kind.ANSWER:
            assert answer.headers["cache-control"] == "no-store", route
    api = await whole.api(ALL).get("/api/v1/queue")
    for name, value in headers.of(Kind.API):
        assert api.headers.get_list(name.decode()) == [value.decode()]
    assert {r.name for r in TABLE} >= {
        "Content-Security-Policy",
        "Cache-Control",
        "Referrer-Policy",
    }


async def test_head_is_get_without_its_body_and_nothing_else_is_a_method(whole: Whole) -> None:
    ids = await furnish(whole, 1, "scam_fraud", "Words.")
    browser = await whole.browser(ALL)
    methods: dict[str, set[str]] = {}
    for route in whole.site.table:
        if route.path.startswith("/fr/"):
            methods.setdefault(route.path, set()).add(route.method)
    for path, taken in methods.items():
        where = path_of(path, ids)
        if "GET" in taken:
            answer = await browser.http.head(where)
            assert answer.status_code in (200, 303, 404, 409, 410, 422, 503), path
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "OPTIONS"} - taken:
            if method == "GET" and ("{" in path or path in methods):
                continue  # another page may answer there
            answer = await browser.http.request(
                method, where, headers={"x-http-method-override": "POST"}
            )
            assert answer.status_code in (404, 405), (method, path)


async def test_the_hint_of_a_page_asked_by_head_ends_at_once(
    whole: Whole, monkeypatch: Any
) -> None:
    monkeypatch.setattr("wasl_triage.console.live.LOOKS", 10**6)
    browser = await whole.browser(ALL)
    async with asyncio.timeout(20):
        answer = await browser.http.head("/fr/live")
    assert answer.status_code == 200


# -- what is missing -------------------------------------------------------------------------------


async def test_pages_show_what_is_left_of_erased_things(whole: Whole) -> None:
    world = whole.world
    ids = await furnish(whole, 1, "scam_fraud", "Words.")
    browser = await whole.browser(ALL)
    case = world.case(ids["case_id"])
    for report_id in [r for r, row in world.reports().items() if case.id in row.cases]:
        await world.deliver(await world.withdrawal(report_id))
    assert (await browser.get(f"/fr/cases/{case.id}")).status_code == 200
    uow = world.hub.unit()
    for key in (case.id, ids["request_id"], ids["helpline_id"], ids["hold_id"]):
        await uow.keys.destroy(key)
    await world.hub.commit(uow)
    for path in ("cases/{case_id}", "cases/{case_id}/group", "protection/cases/{case_id}",
                 "protection/requests/{request_id}", "helpline/{case_id}", "audit/trail?stream={case_id}",
                 "review/{review_id}", "opinions/{opinion_id}", "practice/{golden_id}",
                 "protection/cases/{case_id}/reports/{report_id}"):  # fmt: skip
        answer = await browser.get(path_of(f"/fr/{path}", ids))
        assert answer.status_code in (200, 404, 409, 410), (path, answer.status_code)
        assert "Words." not in answer.text, path
    for form, fields in (("notes", {"text": "x"}), ("messages", {"report_id": ids["report_id"], "text": "x"}),
                         ("plan", {"text": "x"}), ("reopening", {"reason": "x"})):  # fmt: skip
        answer = await browser.send(f"/fr/cases/{case.id}/{form}", **fields)
        assert answer.status_code in (303, 404, 409, 410, 422), (form, answer.status_code)


async def test_forms_about_nothing_are_a_404(whole: Whole) -> None:
    ids = unknown(await furnish(whole, 1, "scam_fraud", "Words."))
    ids["helpline_id"] = "nothing"
    browser = await whole.browser(ALL)
    for form, fields in (("actions", {"actions": "bogus"}), ("close", {"helped": "bogus"}),
                         ("hand-over", {}), ("plan", {"next_at": "never"}), ("note", {}),
                         ("second", {}), ("screening", {"risk_danger": "bogus"})):  # fmt: skip
        answer = await browser.send(f"/fr/helpline/nothing/{form}", **fields)
        assert answer.status_code in (404, 422), (form, answer.status_code)


# -- at the same time ------------------------------------------------------------------------------


async def test_of_two_who_claim_at_once_one_has_it(whole: Whole) -> None:
    world = whole.world
    await world.arrives(post(1), category="scam_fraud")
    case_id = world.case_id(post(1))
    one, two = await whole.browser(ANA), await whole.browser(BEA)
    answers = await asyncio.gather(
        *(b.send(f"/fr/cases/{case_id}/claim") for b in (one, two)),
        *(whole.api(p).post(f"/api/v1/cases/{case_id}/claim", json={}) for p in (ANA, BEA)),
    )
    holder = world.case(case_id).claimed_by
    won = {ANA.name: (answers[0], answers[2]), BEA.name: (answers[1], answers[3])}
    assert holder in won
    for name, (page, api) in won.items():
        expected = (303, 200) if name == holder else (409, 409)
        assert (page.status_code, api.status_code) == expected, name
    said_so = await (two if holder == ANA.name else one).send(
        f"/fr/cases/{case_id}/decision", action="close", reason="x", close_reason="no_ground"
    )
    assert said_so.status_code == 409
    assert not world.case(case_id).decisions


async def test_unknown_fields_of_the_api_are_refused(whole: Whole) -> None:
    ids = await furnish(whole, 1, "scam_fraud", "Words.")
    caller = whole.api(ALL)
    paths = ["claim", "release", "notes", "plan", "owner", "move", "skip", "reopening", "holds",
             "redaction", "messages", "golden", "split", "merge", "opinions", "appeals"]  # fmt: skip
    before = repr(whole.world.hub.store.docs["cases"])
    for verb in paths:
        for extra in (
            {"restricted": False},
            {"claimed_by": "x"},
            {"state": "closed"},
            {"_id": "x"},
        ):
            answer = await caller.post(f"/api/v1/cases/{ids['case_id']}/{verb}", json=extra)
            assert answer.status_code == 422, (verb, extra)
            assert next(iter(extra)) in {e["field"] for e in answer.json()["errors"]}
    assert repr(whole.world.hub.store.docs["cases"]) == before
