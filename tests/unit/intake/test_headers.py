# SPDX-License-Identifier: Apache-2.0
"""Every header on every kind of answer, row by row, and every route that gives one.

At least what GlobaLeaks sends, and nothing that says what software runs here.
"""

import re
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from pydantic import ValidationError
from starlette.routing import BaseRoute
from wasl_chassis.failures import Retryable
from wasl_chassis.headers import STRICT_TRANSPORT, TABLE, Addresses, Headers, Kind, kind_of
from wasl_intake import bootstrap
from wasl_intake.settings import IntakeSettings

PEPPER = bytes(range(32))
PUBLIC, ONION = "https://hub.example.org", f"http://{'a' * 56}.onion"
#: What GlobaLeaks turns off and Chromium knows; the exceptions it makes for itself are off here too.
FEATURES = (
    "accelerometer", "camera", "clipboard-read", "clipboard-write", "display-capture", "fullscreen",
    "geolocation", "gyroscope", "idle-detection", "keyboard-map", "local-fonts", "magnetometer",
    "microphone", "midi", "payment", "screen-wake-lock", "serial", "speaker-selection", "usb",
    "xr-spatial-tracking",
)  # fmt: skip
NO_SCRIPT = {"require-trusted-types-for 'script'", "trusted-types 'none'"}
NOWHERE = {"base-uri 'none'", "frame-ancestors 'none'"}
PAGE_POLICY = {
    "default-src 'none'", "script-src 'self'", "worker-src 'self'", "style-src 'self'",
    "img-src 'self' data:", "connect-src 'self'", "form-action 'self'", "manifest-src 'none'",
    "require-trusted-types-for 'script'", "trusted-types wasl", *NOWHERE,
}  # fmt: skip
POLICIES = {
    Kind.PAGE: PAGE_POLICY,
    Kind.ANSWER: PAGE_POLICY,
    Kind.API: {"default-src 'none'", "form-action 'none'", "sandbox", *NO_SCRIPT, *NOWHERE},
    Kind.STATIC: {"default-src 'none'", "script-src 'self'", *NO_SCRIPT, *NOWHERE},
}
#: Name → value on a page, on an answer to somebody, on the API, on a file; None: not there.
ROWS: dict[str, tuple[str | None, str | None, str | None, str | None]] = {
    "cache-control": ("no-store", "no-store", "no-store", "public, max-age=31536000, immutable"),
    "referrer-policy": ("no-referrer",) * 4,
    "x-content-type-options": ("nosniff",) * 4,
    "x-frame-options": ("DENY",) * 4,
    "cross-origin-opener-policy": ("same-origin",) * 4,
    "cross-origin-embedder-policy": ("require-corp",) * 4,
    "cross-origin-resource-policy": ("same-origin",) * 4,
    "origin-agent-cluster": ("?1",) * 4,
    "x-dns-prefetch-control": ("off",) * 4,
    "x-permitted-cross-domain-policies": ("none",) * 4,
    "x-robots-tag": ("noarchive", *("noindex, nofollow, noarchive",) * 3),
    "strict-transport-security": ("max-age=63072000; includeSubDomains",) * 4,
    **dict.fromkeys(
        ("server", "x-powered-by", "x-check-tor", "access-control-allow-origin", "report-to",
         "reporting-endpoints", "nel", "via", "etag", "x-request-id"),
        (None,) * 4,
    ),
}  # fmt: skip
KINDS = tuple(Kind)


def fits(answer: httpx.Response, kind: Kind) -> None:
    for name, values in ROWS.items():
        assert answer.headers.get(name) == values[KINDS.index(kind)], (name, kind)
    [policy] = answer.headers.get_list("content-security-policy")
    assert set(policy.split("; ")) == POLICIES[kind]
    assert "unsafe" not in policy
    features = answer.headers["permissions-policy"].split(", ")
    assert {f"{name}=()" for name in FEATURES} <= set(features)
    assert all(f.endswith("=()") for f in features)
    assert len(answer.headers) == len(answer.headers.multi_items()), "a header is sent twice"


def app_of(portal: Any, addresses: Addresses | None = None) -> Any:
    hub, handlers = portal.hub, portal.handlers
    return bootstrap.compose(
        handlers,
        handlers._pack,
        hub.metrics,
        pepper=PEPPER,
        body_limit=65_536,
        addresses=addresses,
        clock=hub.clock,
    )


@pytest.fixture
async def web(portal: Any) -> Any:
    app = app_of(portal, Addresses(PUBLIC, ONION))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://hub.test") as client:
        client.routes = list(app.routes)  # type: ignore[attr-defined]
        yield client


def paths(routes: list[BaseRoute]) -> list[tuple[str, str]]:
    """Method and path of everything the app answers, and of what it does not."""
    own = [
        (method, re.sub(r"\{[^}]*\}", "x", str(getattr(route, "path", ""))))
        for route in routes
        for method in sorted(getattr(route, "methods", None) or ())
    ]
    wrong = [("DELETE", path) for _, path in own] + [("PUT", "/"), ("GET", "/nothing/here")]
    return [*own, *wrong, ("GET", "/api/v1/nothing"), ("GET", "/static/nothing.css")]


async def test_every_route_and_what_is_none(web: Any) -> None:
    seen: dict[Kind, set[int]] = {kind: set() for kind in Kind}
    for method, path in paths(web.routes):
        answer = await web.request(method, path)
        kind = kind_of(path, method, answer.status_code)
        seen[kind].add(answer.status_code)
        fits(answer, kind)
    assert seen[Kind.PAGE] == {200}
    assert {303, 404, 405} <= seen[Kind.ANSWER]
    assert {200, 401, 404, 405, 415} <= seen[Kind.API]
    assert seen[Kind.STATIC] == {200}
    assert not any(status >= 500 for statuses in seen.values() for status in statuses)


async def test_refused_forms_and_errors(web: Any, portal: Any) -> None:
    forms = {p for m, p in paths(web.routes) if m == "POST" and not p.startswith("/api/")}
    assert forms
    kind = "application/x-www-form-urlencoded"
    for path in forms:
        for body, mime in (
            (b"x" * 2_000_000, kind), (b"a=%ff", kind), (b"x=1", kind), (b"{}", "application/json"),
        ):  # fmt: skip
            answer = await web.post(path, content=body, headers={"content-type": mime})
            assert 300 <= answer.status_code < 500, (path, answer.status_code)
            fits(answer, Kind.ANSWER)
    for body, status in (
        (b"{", 400), (b"{}", 422), (b"x" * 70_000, 413), (b'{"narrative": "hello"}', 202),
    ):  # fmt: skip
        head = {"content-type": "application/json"}
        answer = await web.post("/api/v1/reports", content=body, headers=head)
        assert answer.status_code == status
        fits(answer, Kind.API)
    for failure, status in ((Retryable("mongo"), 503), (RuntimeError("a bug"), 500)):
        portal.hub.store.away = failure
        answer = await web.post("/api/v1/reports", json={"narrative": "hello"})
        assert answer.status_code == status
        fits(answer, Kind.API)


@pytest.mark.parametrize(("base", "secure"), [(PUBLIC, True), (ONION, False)])
async def test_the_exit_takes_the_cookie_away_as_it_was_given(
    web: Any, base: str, secure: bool
) -> None:
    """Over the onion service there is no TLS, and a browser does not obey a Secure cookie there."""
    web.base_url = base
    given = await web.post("/en/report/1", data={"danger": "no"})
    taken = await web.get("/en/leave", headers={"cookie": f"{'__Host-' * secure}wasl=x"})
    for answer in (given, taken):
        (cookie,) = answer.headers.get_list("set-cookie")
        assert ("secure" in cookie.lower()) == secure, cookie
    assert "max-age=0" in taken.headers["set-cookie"].lower()


async def test_the_onion_service_is_told_on_pages_only(web: Any) -> None:
    told = 0
    for method, path in paths(web.routes):
        answer = await web.request(method, path)
        expected = None
        if kind_of(path, method, answer.status_code) is Kind.PAGE:
            told += 1
            expected = ONION + path
        assert answer.headers.get("onion-location") == expected
    assert told > 2


def test_a_path_cannot_add_a_header() -> None:
    [(name, value)] = Headers(Addresses(PUBLIC, ONION)).onion_location(Kind.PAGE, "/a\r\nx: y/é")
    assert name == b"onion-location"
    assert value == ONION.encode() + b"/a%0D%0Ax%3A%20y/%C3%A9"


async def test_without_addresses_nothing_is_promised(portal: Any) -> None:
    for addresses in (None, Addresses("http://127.0.0.1:8080", "")):
        transport = httpx.ASGITransport(app_of(portal, addresses))
        async with httpx.AsyncClient(transport=transport, base_url="http://hub.test") as client:
            for method, path in (("GET", "/fr/"), ("GET", "/api/v1/openapi.json"), ("GET", "/")):
                answer = await client.request(method, path)
                assert "strict-transport-security" not in answer.headers
                assert "onion-location" not in answer.headers


def test_every_row_says_why_and_each_name_once_a_kind() -> None:
    rows = (*TABLE, STRICT_TRANSPORT)
    assert all(len(row.why) > 20 and row.why.endswith(".") for row in rows)
    for kind in Kind:
        names = [row.name for row in rows if kind in row.kinds]
        assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("name", "value", "right"),
    [
        ("WASL_INTAKE_PUBLIC_URL", "https://hub.example.org", True),
        ("WASL_INTAKE_PUBLIC_URL", "http://127.0.0.1:8080", True),
        ("WASL_INTAKE_PUBLIC_URL", "", True),
        ("WASL_INTAKE_PUBLIC_URL", "https://hub.example.org/", False),
        ("WASL_INTAKE_PUBLIC_URL", "hub.example.org", False),
        ("WASL_INTAKE_PUBLIC_URL", "https://hub.example.org\r\nx: y", False),
        ("WASL_INTAKE_ONION_URL", ONION, True),
        ("WASL_INTAKE_ONION_URL", f"http://www.{'2' * 56}.onion", True),
        ("WASL_INTAKE_ONION_URL", "http://short.onion", False),
        ("WASL_INTAKE_ONION_URL", "https://hub.example.org", False),
    ],
)
def test_addresses_are_checked(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, right: bool
) -> None:
    for variable, given in needed().items():
        monkeypatch.setenv(variable, given)
    monkeypatch.setenv(name, value)
    if right:
        IntakeSettings()
        return
    with pytest.raises(ValidationError):
        IntakeSettings()


def needed() -> Mapping[str, str]:
    key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
    return {
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9", "MONGODB_URI": "mongodb://127.0.0.1:9/?replicaSet=x",
        "WASL_MASTER_KEY": key, "WASL_PEPPER": key, "WASL_COUNTRY_PACK": ".",
    }  # fmt: skip
