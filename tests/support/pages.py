# SPDX-License-Identifier: Apache-2.0
"""A page as a browser and a screen reader find it, the rules every page keeps, and a person."""

import re
from collections.abc import Mapping
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode

import httpx

_VOID = {"meta", "link", "input", "br"}


class Page(HTMLParser):
    """What a browser and a screen reader would find."""

    def __init__(self, answer: httpx.Response) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.inside_label = 0
        self.labelled: set[str] = set()
        self.headings: list[int] = []
        self.text = ""
        self.feed(answer.text)
        assert self.open == [], "every element is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        assert len(given) == len(attrs), "an attribute is given twice"
        self.tags.append((tag, given))
        if tag not in _VOID:
            self.open.append(tag)
        if tag == "label" and given.get("for"):
            self.labelled.add(str(given["for"]))
        if tag == "input" and "label" in self.open:
            given["labelled"] = "yes"
        if re.fullmatch(r"h[1-6]", tag):
            self.headings.append(int(tag[1]))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [given for name, given in self.tags if name == tag]

    def ids(self) -> list[str]:
        return [str(given["id"]) for _, given in self.tags if "id" in given]


def check(answer: httpx.Response, lang: str) -> Page:
    """The rules every page keeps."""
    page = Page(answer)
    (html,) = page.all("html")
    assert str(html["lang"]).startswith(lang)
    assert html["dir"] == ("rtl" if lang == "ar" else "ltr")
    assert page.headings[0] == 1
    assert page.headings.count(1) == 1
    assert all(b - a <= 1 for a, b in zip(page.headings, page.headings[1:], strict=False))
    assert len(page.ids()) == len(set(page.ids()))
    targets = {f"#{i}" for i in page.ids()}
    forms = {str(g["id"]) for g in page.all("form") if "id" in g}
    for given in page.all("a"):
        href = str(given["href"])
        assert href in targets or href.startswith(("/", "tel:", "https://")), href
    for tag, given in page.tags:
        assert tag not in ("style", "img", "iframe", "object")
        if tag == "script":
            assert str(given["src"]).startswith("/static/")
            assert "defer" in given
        if given.get("type") == "file":
            assert given.get("form") not in forms, "a file must not be part of a form"
            assert not given.get("name")
        elif "form" in given:
            assert given["form"] in forms
        assert not any(name.startswith("on") or name == "style" for name in given)
        for name in ("aria-describedby", "aria-labelledby"):
            assert all(f"#{i}" in targets for i in str(given.get(name, "")).split())
        if tag in ("input", "textarea", "select") and given.get("type") != "hidden":
            assert given.get("id") in page.labelled or given.get("labelled"), given
        if tag == "form":
            assert str(given["action"]).startswith(f"/{lang}/")
            assert given["method"] == "post"
    assert all(str(given["href"]).startswith(("/static/", "data:")) for given in page.all("link"))
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["content-language"] == lang
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    return page


def cookies_are_safe(answer: httpx.Response) -> None:
    """No cookie but the sealed state, unreadable for scripts and other sites."""
    for cookie in answer.headers.get_list("set-cookie"):
        assert re.match(r"(?:__Host-)?wasl1?=", cookie)
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert "Domain" not in cookie


class Person:
    """Somebody with a browser without script: follows redirects, keeps cookies, fills forms."""

    def __init__(self, portal: Any, lang: str) -> None:
        self.portal, self.lang = portal, lang
        self.path = ""
        self.page: Page
        self.answer: httpx.Response

    async def open(self, path: str, status: int = 200) -> Page:
        return await self._arrive(await self.portal.http.get(f"/{self.lang}/{path}"), status)

    async def send(self, status: int = 200, /, **fields: Any) -> Page:
        """Press the button of the page's form, with its hidden fields and these."""
        hidden = {
            str(g["name"]): str(g.get("value") or "")
            for g in self.page.all("input")
            if g.get("type") == "hidden" and g.get("name")
        }
        data = {k: v for k, v in (hidden | fields).items() if v is not None}
        answer = await self.portal.http.post(
            f"/{self.lang}/{self.path}",
            content=urlencode(data, doseq=True),
            headers={"content-type": "application/x-www-form-urlencoded"},
        )
        return await self._arrive(answer, status)

    async def _arrive(self, answer: httpx.Response, status: int) -> Page:
        cookies_are_safe(answer)
        for _ in range(3):
            if answer.status_code != 303:
                break
            target = answer.headers["location"]
            self.lang = target.split("/")[1]
            answer = await self.portal.http.get(target)
            cookies_are_safe(answer)
        assert answer.status_code == status, answer.text
        assert answer.url.query == b""
        self.path = answer.url.path.removeprefix(f"/{self.lang}/")
        self.answer = answer
        self.page = check(answer, self.lang)
        return self.page

    async def report(self, **answers: Any) -> Page:
        """The whole way through the steps; the receipt's page."""
        await self.open("report/1")
        steps: tuple[Mapping[str, Any], ...] = (
            {"danger": answers.get("danger")},
            {"group": answers.get("group")},
            {"category": answers.get("category")},
            {"links": answers.get("links", ""), "account": answers.get("account", "")},
            {
                "affected": answers.get("affected"),
                "age": answers.get("age"),
                "risk": answers.get("risk"),
            },
            {"narrative": answers.get("narrative", "Something happened here")},
            {
                "email": answers.get("email", ""),
                "email_safe": answers.get("email_safe"),
                "consent_partner": "yes",
            },
        )
        for number, step in enumerate(steps, 1):
            if self.path == f"report/{number}":
                await self.send(**step)
        assert self.path == "report/8", self.path
        self.portal.later(seconds=3)
        return await self.send()
