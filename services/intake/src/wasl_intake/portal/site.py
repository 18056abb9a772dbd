# SPDX-License-Identifier: Apache-2.0
"""What every page has: a language, the person's sealed state, a template, and errors in words."""

import secrets
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from wasl_chassis.clock import Clock
from wasl_chassis.failures import Overloaded, Retryable
from wasl_chassis.forms import FACTOR, MEDIA_TYPE, Fields, first, read_fields
from wasl_chassis.headers import Addresses
from wasl_chassis.static import StaticFiles
from wasl_chassis.web import Problem, read_body, sent_from_elsewhere

from wasl_intake.portal.state import Sealer, State, TooLarge
from wasl_intake.words import Words

#: What a page may load besides itself: file → media type.
STATIC: Mapping[str, str] = {
    "wasl.css": "text/css",
    **dict.fromkeys(("site.js", "work.js", "hash.js", "chat.js"), "text/javascript"),
}
#: Button that changes the language and keeps what was typed.
SWITCH = "switch"


class Page:
    """One request for one page in one language."""

    def __init__(self, site: "Site", request: Request, lang: str, state: State) -> None:
        self.site, self.request, self.lang, self.state = site, request, lang, state
        #: Where the page is, below the language; the language switch leads to the same place.
        self.path = request.url.path.removeprefix(f"/{lang}/")
        self.words = site.words
        self.pack = site.words.pack

    def say(self, sentence: str, /, **values: str | int) -> str:
        return self.words.say(self.lang, sentence, **values)

    async def form(
        self, known: Collection[str], many: Collection[str] = ()
    ) -> dict[str, list[str]]:
        """The fields sent, with :data:`SWITCH` allowed on every form. Raises Problem."""
        body = await read_body(self.request, self.site.limit * FACTOR, media_type=MEDIA_TYPE)
        return read_fields(body, {*known, SWITCH}, many)

    def switched(self, fields: Fields) -> str | None:
        """The language the person asked for in the middle of a form."""
        wanted = first(fields, SWITCH)
        return wanted if wanted in self.words.languages else None

    def show(self, template: str, status: int = 200, **values: Any) -> Response:
        """The page. Templates have ``page``, ``words``, ``pack``; ``_`` and ``n_`` say ours."""
        return self.site.render(self, template, status, **values)

    def go(self, path: str, lang: str | None = None) -> Response:
        """On to another page (303, so that reloading it sends nothing again)."""
        return RedirectResponse(f"/{lang or self.lang}/{path}", 303)


Endpoint = Callable[[Page], Awaitable[Response]]


class Site:
    """Renders pages and serves their files. ``limit``: bytes of JSON; a form may be larger."""

    def __init__(
        self, words: Words, addresses: Addresses, clock: Clock, *, pepper: bytes, limit: int
    ) -> None:
        self.words, self.addresses, self.limit = words, addresses, limit
        self.clock = clock
        self.sealer = Sealer(pepper, clock=lambda: clock.now().timestamp())
        self._secure = addresses.public.startswith("https://")
        self._onion = urlsplit(addresses.onion).hostname or ""
        self._own = {urlsplit(a).netloc for a in (addresses.public, addresses.onion)}
        self._templates = Environment(
            loader=PackageLoader("wasl_intake"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters["label_in"] = lambda label, lang: words.label(lang, label)
        self._files = StaticFiles("wasl_intake", STATIC)
        #: File name → address.
        self.static = self._files.addresses

    # -- routes ----------------------------------------------------------------------------------

    def register(self, app: FastAPI) -> None:
        self._route(app, "/", self._root, "GET", "HEAD")
        for path in self.static.values():
            self._route(app, path, self._files.serve, "GET", "HEAD")
        for lang in self.words.languages:
            self._route(app, f"/{lang}/leave", self._leaver(lang), "GET", "HEAD", "POST")

    def close(self, app: FastAPI) -> None:
        """After every page: an address that leads nowhere says so in the reader's language."""

        async def nowhere(page: Page) -> Response:
            return self.trouble(page, 404, page.say("There is no page at this address."))

        self.add(app, "{rest:path}", get=nowhere)

    def add(
        self, app: FastAPI, path: str, *, get: Endpoint | None = None, post: Endpoint | None = None
    ) -> None:
        """A page in every language, at ``/<language>/<path>``."""
        for lang in self.words.languages:
            if get is not None:
                self._route(app, f"/{lang}/{path}", self._in(lang, get), "GET", "HEAD")
            if post is not None:
                self._route(app, f"/{lang}/{path}", self._in(lang, post), "POST")

    @staticmethod
    def _route(
        app: FastAPI, path: str, endpoint: Callable[..., Awaitable[Response]], *methods: str
    ) -> None:
        app.add_api_route(
            path, endpoint, methods=list(methods), include_in_schema=False, response_model=None
        )

    def _in(self, lang: str, endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
        async def served(request: Request) -> Response:
            page = Page(self, request, lang, self.state(request))
            response = await self._answer(page, endpoint)
            return self._kept(page, response) if page.state.changed else response

        return served

    def _kept(self, page: Page, response: Response) -> Response:
        """The response with the page's state. What was written now is worth more than older parts:
        the receipt of a report that is stored must be shown.
        """
        try:
            self.keep(page, response)
        except TooLarge:
            if not page.state.drop_older():
                return self.trouble(page, 413, _too_much(page))
            return self._kept(page, response)
        return response

    def keep(self, page: Page, response: Response) -> None:
        """Write the page's state into the response. Raises TooLarge."""
        secure = self._over_tls(page.request)
        self.sealer.write(page.state, page.request, response, secure=secure)

    def state(self, request: Request) -> State:
        return self.sealer.read(request, secure=self._over_tls(request))

    def _over_tls(self, request: Request) -> bool:
        """Whether cookies may ask for TLS; a browser drops those of an onion service that do."""
        host = request.headers.get("host", "").partition(":")[0].lower()
        return self._secure and not (self._onion and host == self._onion)

    async def _answer(self, page: Page, endpoint: Endpoint) -> Response:
        if page.request.method == "POST" and sent_from_elsewhere(page.request, self._own):
            return self.trouble(page, 403, page.say("This form was sent from another site."))
        try:
            return await endpoint(page)
        except Problem as problem:
            text = (
                _too_much(page)
                if problem.status == 413
                else page.say("This answer cannot be used. Please choose again.")
            )
            return self.trouble(page, problem.status, text)
        except Overloaded:
            return self.trouble(
                page, 503, page.say("Many people are writing to us. Please try again in a moment.")
            )
        except Retryable:
            return self.trouble(page, 503, page.pack.text(page.lang, "error_server"))

    # -- answers ---------------------------------------------------------------------------------

    def render(self, page: Page, template: str, status: int = 200, **values: Any) -> Response:
        lang, words = page.lang, self.words
        language = words.pack.languages[lang]

        def counted(one: str, many: str, n: int, /, **inner: str | int) -> str:
            return words.catalogue.ngettext(lang, one, many, n, **inner)

        text = self._templates.get_template(template).render(
            page=page,
            lang=lang,
            language=language,
            languages=[words.pack.languages[tag] for tag in words.languages],
            static=self.static,
            _=page.say,
            n_=counted,
            words=words,
            pack=words.pack,
            fresh=secrets.token_urlsafe,
            **values,
        )
        headers = {"content-language": lang}
        if status == 503:
            headers["retry-after"] = "2"
        return HTMLResponse(text, status, headers)

    def trouble(self, page: Page, status: int, text: str) -> Response:
        return self.render(page, "trouble.html", status, text=text)

    # -- what is no page -------------------------------------------------------------------------

    def language_of(self, request: Request) -> str:
        """The language for somebody who has not chosen one here."""
        wanted = request.headers.get("accept-language", "").partition(",")[0].partition(";")[0]
        return self.words.language_for(wanted.strip()[:35])

    async def _root(self, request: Request) -> Response:
        return RedirectResponse(f"/{self.language_of(request)}/", 303)

    def exit(self, lang: str) -> str:
        """A neutral page somebody might just as well be reading."""
        return self.words.pack.portal.exits.get(lang, f"https://{lang}.wikipedia.org/")

    def _leaver(self, lang: str) -> Callable[[Request], Awaitable[Response]]:
        async def leave(request: Request) -> Response:
            """The quick exit: forget what was typed, then a neutral page. Works without script."""
            response = RedirectResponse(self.exit(lang), 303)
            if not sent_from_elsewhere(request, self._own):
                response.headers["clear-site-data"] = '"cookies", "storage"'
                self.sealer.write(State(), request, response, secure=self._over_tls(request))
            return response

        return leave


def _too_much(page: Page) -> str:
    return page.say(
        "This is too much text for one report. Shorten it and send the rest as a message later."
    )
