# SPDX-License-Identifier: Apache-2.0
"""What every page of the desk has: a person, one permission, a language, a form that is ours.

A page is added with the permission it takes; :attr:`Site.table` lists them all, and the matrix of
routes and roles is tested from it. Nothing is open but what is added with ``open_to_all``.
"""

import hmac
import re
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Protocol
from urllib.parse import quote
from zoneinfo import ZoneInfo

from babel import Locale as CldrLocale
from babel.dates import format_date, format_datetime, format_skeleton, format_timedelta
from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from wasl_chassis.clock import Clock
from wasl_chassis.failures import Conflict, KeyDestroyed, Locked, Retryable
from wasl_chassis.forms import FACTOR, MEDIA_TYPE, read_fields, read_pairs
from wasl_chassis.i18n import Catalogue, Locale
from wasl_chassis.static import StaticFiles
from wasl_chassis.web import Problem, read_body, sent_from_elsewhere
from wasl_schemas.country_pack import CountryPack
from wasl_schemas.lifecycle import IllegalTransition
from wasl_schemas.taxonomy import Words

from wasl_triage.access.kept import Form
from wasl_triage.console import labels, telling
from wasl_triage.desk import Forbidden, NoSuchCase, NotLawful, Refused
from wasl_triage.domain.decisions import Missing
from wasl_triage.domain.people import Permission, Person

TEXTS = Locale("wasl_triage")
BODY_LIMIT = 65_536
#: The stream of hints: a page that is open is nobody who works.
HINTS = "live"
#: The field that carries the session's token in every form.
FORM_KEY = "csrf"
_STATIC: Mapping[str, str] = {"desk.css": "text/css", "desk.js": "text/javascript"}


class SignedIn(Protocol):
    """Somebody with a living session; see :mod:`wasl_triage.access`."""

    @property
    def person(self) -> Person: ...
    @property
    def lang(self) -> str: ...
    @property
    def csrf(self) -> str: ...
    #: The present code of conduct was read and accepted.
    @property
    def accepted(self) -> bool: ...


class Door(Protocol):
    async def signed_in(self, request: Request) -> SignedIn | None: ...
    async def touch(self, signed: Any) -> None:
        """Something was done: the session's silence begins anew."""

    def fresh(
        self, signed: Any, permission: Permission | None = None, *, restricted: bool = False
    ) -> bool:
        """Whether they showed lately enough who they are, for what this permission does."""

    async def keep(self, request: Request, signed: Any, form: Form) -> Any:
        """Keep what was sent until they have; the answer has a ``form_id``."""

    def remember(self, response: Response, keeping: Any) -> Response:
        """The response, with what the browser needs to come back to what was kept."""


@dataclass(frozen=True, slots=True)
class Route:
    """One row of the table: what it takes to get an answer here. None: nothing but a session;
    ``open_to_all``: not even that.
    """

    method: str
    path: str
    needs: Permission | None
    open_to_all: bool = False


class Page:
    """One request for one page by one person in one language."""

    def __init__(self, site: "Site", request: Request, lang: str, signed: SignedIn | None) -> None:
        self.site, self.request, self.lang, self.signed = site, request, lang, signed
        self.pack = site.pack
        #: Where the page is, below the language; the language switch leads to the same place.
        self.path = request.url.path.removeprefix(f"/{lang}/")
        #: What the header shows of the person's day; see :attr:`Site.shared`.
        self.shared: dict[str, Any] = {}
        self._body: bytes | None = None

    @property
    def person(self) -> Person:
        if self.signed is None:
            raise AssertionError("a page without a session has no person")
        return self.signed.person

    def may(self, permission: str) -> bool:
        return self.signed is not None and self.person.may(Permission(permission))

    def say(self, sentence: str, /, **values: str | int) -> str:
        if self.pack.languages[self.lang].direction == "rtl":
            # A name in Latin letters would take the digits after it along with it.
            isolated = {k: f"\u2068{v}\u2069" for k, v in values.items() if isinstance(v, str)}
            values = {**values, **isolated}
        return self.site.catalogue.gettext(self.lang, sentence, **values)

    @property
    def colon(self) -> str:
        """The sign as the language sets it: French puts a no-break space before it."""
        return "\u00a0:" if self.lang == "fr" else ":"

    @property
    def comma(self) -> str:
        """What stands between the words of a list."""
        return "، " if self.lang == "ar" else ", "

    def words(self, words: Words) -> str:
        return self.pack.words(words, self.lang)

    def when(self, at: datetime | None) -> str:
        """A time in the country's zone."""
        if at is None:
            return ""
        local = at.astimezone(self.site.zone)
        return format_datetime(local, "d MMM yyyy HH:mm", locale=self.site.locales[self.lang])

    def month(self, month: str) -> str:
        """A month as figures name it, ``2026-01``, in words."""
        day = date.fromisoformat(f"{month}-01")
        return format_skeleton("yMMMM", day, locale=self.site.locales[self.lang])

    def day(self, day: str) -> str:
        """A day as a form has it, ``2026-01-31``, in words."""
        return format_date(date.fromisoformat(day), "d MMM yyyy", self.site.locales[self.lang])

    def ago(self, at: datetime | None) -> str:
        """How long until or since, in the words of the language."""
        if at is None:
            return ""
        delta = at - self.site.clock.now()
        return format_timedelta(delta, add_direction=True, locale=self.site.locales[self.lang])

    def moment(self, text: str, field: str) -> datetime | None:
        """A day, or a day and a time, as a form has them, in the country's zone; None where there
        is none. Raises NotLawful that names the field.
        """
        if not text:
            return None
        try:
            return datetime.fromisoformat(text).replace(tzinfo=self.site.zone)
        except ValueError:
            raise NotLawful([Missing(field, "is no time", "Choose a day and a time.")]) from None

    def href(self, path: str) -> str:
        return f"/{self.lang}/{path}"

    async def form(
        self, known: Collection[str], many: Collection[str] = ()
    ) -> dict[str, list[str]]:
        """The fields sent, after the form was seen to be ours. Raises Problem."""
        fields = read_fields(await self._sent(), {*known, FORM_KEY}, many)
        self._ours(fields.get(FORM_KEY, [""])[0])
        return fields

    async def _sent(self) -> bytes:
        if self._body is None:
            limit = BODY_LIMIT * FACTOR
            self._body = await read_body(self.request, limit, media_type=MEDIA_TYPE)
        return self._body

    def _ours(self, token: str) -> None:
        signed = self.signed
        if signed is not None and not hmac.compare_digest(token.encode(), signed.csrf.encode()):
            raise Problem(403, "The form is not of this session", "Open the page again.")

    async def prove(self) -> Response:
        """Off to prove again who one is. What was sent is kept, and led back to. Raises Problem."""
        pairs = read_pairs(await self._sent())
        self._ours(dict(pairs).get(FORM_KEY, ""))
        route = self.request.scope["route"].path.removeprefix(f"/{self.lang}/")
        form = Form(route, self.path, tuple(p for p in pairs if p[0] != FORM_KEY))
        keeping = await self.site.door.keep(self.request, self.signed, form)
        response = self.go(f"confirm?next=confirm/form/{keeping.form_id}")
        return self.site.door.remember(response, keeping)

    def show(self, template: str, status: int = 200, **values: Any) -> Response:
        return self.site.render(self, template, status, **values)

    def go(self, path: str, lang: str | None = None) -> Response:
        """On to another page (303, so that reloading it sends nothing again)."""
        return RedirectResponse(f"/{lang or self.lang}/{path}", 303)

    def trouble(self, status: int, text: str, fix: str = "") -> Response:
        return self.site.render(self, "trouble.html", status, text=text, fix=fix)


Endpoint = Callable[[Page], Awaitable[Response]]


class Site:
    """Renders the desk's pages and serves their files."""

    def __init__(self, pack: CountryPack, clock: Clock, door: Door) -> None:
        self.pack, self.clock, self.door = pack, clock, door
        self.zone = ZoneInfo(pack.info.timezone)
        own = TEXTS.languages()
        self.languages = [t for t, x in pack.languages.items() if x.complete and t in own]
        self.catalogue = Catalogue(TEXTS, {t: pack.languages[t].fallback for t in self.languages})
        self.locales = {
            t: CldrLocale.parse(pack.languages[t].locale, sep="-") for t in self.languages
        }
        self.table: list[Route] = []
        self._pages: list[re.Pattern[str]] = []
        #: What every page of a signed-in person shows, by name.
        self.shared: dict[str, Callable[[Page], Awaitable[Any]]] = {}
        self._templates = Environment(
            loader=PackageLoader("wasl_triage"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals["labels"] = labels
        self._templates.globals["telling"] = telling
        self._files = StaticFiles("wasl_triage", _STATIC)
        #: File name → address.
        self.static = self._files.addresses

    # -- routes ----------------------------------------------------------------------------------

    def register(self, app: FastAPI) -> None:
        """The root and the files; pages are added one by one."""
        self._app = app
        app.add_api_route("/", self._root, methods=["GET", "HEAD"], include_in_schema=False)
        self.table.append(Route("GET", "/", None, open_to_all=True))
        for path in self.static.values():
            app.add_api_route(
                path, self._files.serve, methods=["GET", "HEAD"], include_in_schema=False
            )
            self.table.append(Route("GET", path, None, open_to_all=True))

    def add(
        self,
        path: str,
        *,
        get: Endpoint | None = None,
        post: Endpoint | None = None,
        needs: Permission | None = None,
        open_to_all: bool = False,
    ) -> None:
        """A page in every language, at ``/<language>/<path>``, for people with a permission."""
        for method, endpoint in (("GET", get), ("POST", post)):
            if endpoint is None:
                continue
            for lang in self.languages:
                route = Route(method, f"/{lang}/{path}", needs, open_to_all)
                self._app.add_api_route(
                    route.path,
                    self._guarded(route, lang, endpoint),
                    methods=["GET", "HEAD"] if method == "GET" else [method],
                    include_in_schema=False,
                    response_model=None,
                )
                self.table.append(route)
            if method == "GET":
                self._pages.append(re.compile(re.sub(r"\{\w+\}", "[^/]+", path)))

    def _guarded(
        self, route: Route, lang: str, endpoint: Endpoint
    ) -> Callable[[Request], Awaitable[Response]]:
        async def served(request: Request) -> Response:
            page = Page(self, request, lang, None)
            try:
                page.signed = await self.door.signed_in(request)
                if page.signed is not None and page.path != HINTS:
                    await self.door.touch(page.signed)
                return await self._answer(route, page, endpoint)
            except Retryable:
                return page.trouble(503, page.say("The database is away. Please try again."))

        return served

    async def _answer(self, route: Route, page: Page, endpoint: Endpoint) -> Response:
        if route.method == "POST" and sent_from_elsewhere(page.request):
            return page.trouble(403, page.say("This form was sent from another site."))
        if not route.open_to_all:
            if page.signed is None:
                wanted = page.request.query_params.get("next") or page.path
                return page.go(f"sign-in?next={quote(wanted)}")
            if not page.signed.accepted and page.path != "code":
                return page.go("code")
            if route.needs is not None and not page.person.may(route.needs):
                return page.trouble(403, page.say("Your role does not open this page."))
        acts = route.method == "POST" and route.needs is not None
        try:
            if acts and not self.door.fresh(page.signed, route.needs):
                return await page.prove()
            if page.signed is not None:
                page.shared = {name: await ask(page) for name, ask in self.shared.items()}
            return await endpoint(page)
        except Problem as problem:
            text = page.say("This form cannot be used as it was sent. Open the page again.")
            return page.trouble(problem.status, text)
        except NoSuchCase:
            return page.trouble(404, page.say("There is no such case for you."))
        except Forbidden:
            return page.trouble(403, page.say("Your role does not allow this."))
        except Refused as refused:
            return page.trouble(409, page.say(str(refused)), page.say(refused.fix))
        except NotLawful as unlawful:
            return page.show("unlawful.html", 422, missing=unlawful.missing)
        except IllegalTransition:
            return page.trouble(409, page.say("The case is not in a state for this."))
        except (Conflict, Locked):
            return page.trouble(409, page.say("Somebody else changed this. Open it again."))
        except KeyDestroyed:
            return page.trouble(410, page.say("This was erased on somebody’s wish."))

    def page_of(self, path: str) -> str:
        """The page a form stands on: the longest beginning of its address that can be opened."""
        parts = path.split("/")
        while parts and not any(p.fullmatch("/".join(parts)) for p in self._pages):
            parts.pop()
        return "/".join(parts)

    # -- answers ---------------------------------------------------------------------------------

    def render(self, page: Page, template: str, status: int = 200, **values: Any) -> Response:
        lang = page.lang

        def counted(one: str, many: str, n: int, /, **inner: str | int) -> str:
            return self.catalogue.ngettext(lang, one, many, n, **inner)

        text = self._templates.get_template(template).render(
            page=page,
            lang=lang,
            language=self.pack.languages[lang],
            languages=[self.pack.languages[tag] for tag in self.languages],
            static=self.static,
            _=page.say,
            n_=counted,
            pack=self.pack,
            now=self.clock.now(),
            **values,
        )
        headers = {"content-language": lang}
        if status == 503:
            headers["retry-after"] = "2"
        return HTMLResponse(text, status, headers)

    # -- what is no page -------------------------------------------------------------------------

    def language_for(self, tag: str) -> str:
        found = self.pack.language_for(tag)
        return found if found in self.languages else self.pack.info.default_language

    async def _root(self, request: Request) -> Response:
        wanted = request.headers.get("accept-language", "").partition(",")[0].partition(";")[0]
        lang = self.language_for(wanted.strip()[:35])
        signed = await self.door.signed_in(request)
        return RedirectResponse(f"/{signed.lang if signed else lang}/", 303)
