# SPDX-License-Identifier: Apache-2.0
"""The pages for people: one form, one receipt, one follow-up page. No script, cookie or tracker.

A receipt is shown as the answer to the POST that made it, never in a URL and never through a
redirect. A hidden random token is the form's idempotency key: reloading the receipt page or
pressing the button twice sends the same bytes, shows the same receipt and makes no second report.
"""

import hashlib
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any
from urllib.parse import parse_qsl

from fastapi import FastAPI, Request, Response
from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import TypeAdapter, ValidationError
from starlette.responses import HTMLResponse, RedirectResponse
from wasl_chassis.failures import Overloaded, Retryable
from wasl_chassis.metrics import Metrics
from wasl_chassis.web import FieldError, Problem, field_errors, field_problem, read_body

from wasl_intake import metrics as measure
from wasl_intake.domain import locations, receipt
from wasl_intake.domain.submission import (
    LOCATIONS_MAX,
    MESSAGE,
    MESSAGE_MAX,
    NARRATIVE_MAX,
    REPORT,
    ReportRequest,
)
from wasl_intake.handlers import (
    AlreadyWithdrawn,
    IntakeHandlers,
    RepeatDiffers,
    ThreadFull,
    UnknownReceipt,
)
from wasl_intake.words import Words

FORM = "application/x-www-form-urlencoded"
#: Percent-encoding makes a letter of Arabic six bytes; so a form may be larger than its JSON.
FORM_FACTOR = 4
_TOKEN = re.compile(r"^[A-Za-z0-9_-]{16,64}$")
_INDEX = re.compile(r"^locations\[(\d+)\]")

REPORT_FIELDS = frozenset({
    "token", "danger_now", "category", "locations", "age", "narrative", "email", "email_safe",
    "consent_partner", "consent_authority",
})  # fmt: skip
FOLLOW_FIELDS = frozenset({"token", "receipt", "action", "message"})
_CHOICES: Mapping[str, Mapping[str, Any]] = {
    "danger_now": {"yes": True, "no": False, "": None},
    "age": {
        "under_13": {"under_13": True, "under_18": True},
        "under_18": {"under_13": False, "under_18": True},
        "adult": {"under_13": False, "under_18": False},
        "": {},
    },
}


@dataclass(frozen=True, slots=True)
class FormError:
    """``field``: the id of the control the summary links to."""

    field: str
    text: str


class Refused(Exception):  # noqa: N818
    """The form cannot be taken as it is; the errors are in the reader's language."""

    def __init__(self, *errors: FormError) -> None:
        super().__init__()
        self.errors = list(errors)


def _fields(body: bytes, known: frozenset[str]) -> dict[str, str]:
    """The form's fields, each once. Raises Problem 400 or 422."""
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=40
        )
    except ValueError:
        raise field_problem(
            "body", "is not a form in UTF-8", "Send the form again.", code="not_a_form", status=400
        ) from None
    out: dict[str, str] = {}
    for name, value in pairs:
        if name not in known or name in out:
            raise field_problem(
                name, "is not expected here, or given twice", "Send the form again.", code="form"
            )
        out[name] = value
    return out


def _token(fields: Mapping[str, str]) -> str:
    """The form's own token, or a fresh one for a form that lost it."""
    given = fields.get("token", "")
    return given if _TOKEN.match(given) else secrets.token_urlsafe(24)


class Pages:
    def __init__(
        self, handlers: IntakeHandlers, words: Words, metrics: Metrics, limit: int
    ) -> None:
        self._handlers = handlers
        self._words = words
        self._metrics = metrics
        self._limit = limit * FORM_FACTOR
        self._css = (resources.files("wasl_intake") / "static" / "wasl.css").read_bytes()
        self._css_url = f"/static/{hashlib.sha256(self._css).hexdigest()[:12]}.css"
        self._templates = Environment(
            loader=PackageLoader("wasl_intake"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def register(self, app: FastAPI) -> None:
        """Add the pages to ``app``."""

        def add(path: str, endpoint: Callable[..., Awaitable[Response]], *methods: str) -> None:
            app.add_api_route(
                path, endpoint, methods=list(methods), include_in_schema=False, response_model=None
            )

        add("/", self.root, "GET", "HEAD")
        add(self._css_url, self.css, "GET", "HEAD")
        for lang in self._words.languages:
            add(f"/{lang}/", self._in(lang, self.form), "GET", "HEAD")
            add(f"/{lang}/", self._in(lang, self.submit), "POST")
            add(f"/{lang}/follow", self._in(lang, self.follow_form), "GET", "HEAD")
            add(f"/{lang}/follow", self._in(lang, self.follow), "POST")

    def _in(
        self, lang: str, page: Callable[[Request, str], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        """One page in one language; whatever goes wrong is said in it."""

        async def endpoint(request: Request) -> Response:
            try:
                return await page(request, lang)
            except Problem as problem:
                key = "error_too_large" if problem.status == 413 else "error_generic"
                return self._error(lang, problem.status, self._words.own(lang, key))
            except Overloaded:
                return self._error(lang, 503, self._words.own(lang, "error_busy"))
            except Retryable:
                return self._error(lang, 503, self._words.pack.text(lang, "error_server"))

        return endpoint

    # -- rendering -------------------------------------------------------------------------------

    def _render(self, lang: str, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        words = self._words

        def t(key: str, **inner: str | int) -> str:
            return words.own(lang, key, **inner)

        page = self._templates.get_template(template).render(
            lang=lang,
            locale=words.pack.languages[lang].locale,
            direction=words.pack.languages[lang].direction,
            languages=[words.pack.languages[tag] for tag in words.languages],
            css=self._css_url,
            t=t,
            words=words,
            **values,
        )
        headers = {"content-language": lang}
        if status == 503:
            headers["retry-after"] = "2"
        return HTMLResponse(page, status, headers)

    def _error(self, lang: str, status: int, text: str) -> Response:
        return self._render(lang, "error.html", status, text=text, path="")

    # -- report ----------------------------------------------------------------------------------

    async def root(self, request: Request) -> Response:
        wanted = request.headers.get("accept-language", "").partition(",")[0].partition(";")[0]
        return RedirectResponse(f"/{self._words.language_for(wanted.strip()[:35])}/", 303)

    async def css(self) -> Response:
        headers = {"cache-control": "public, max-age=31536000, immutable"}
        return Response(self._css, headers=headers, media_type="text/css")

    async def form(self, _: Request, lang: str) -> Response:
        return self._form(lang, {"token": secrets.token_urlsafe(24), "consent_partner": "yes"})

    def _form(
        self, lang: str, values: Mapping[str, str], *errors: FormError, status: int = 200
    ) -> HTMLResponse:
        pack = self._words.pack
        groups = [
            (group, [c for c in pack.categories.values() if c.group == group.id])
            for group in pack.groups.values()
        ]
        return self._render(
            lang,
            "form.html",
            status,
            path="",
            values=values,
            errors=errors,
            at_fault={e.field: e for e in errors},
            groups=groups,
            numbers=self._words.numbers(lang, phones_only=True),
            limits={"narrative": NARRATIVE_MAX},
        )

    async def submit(self, request: Request, lang: str) -> Response:
        body = await read_body(request, self._limit, media_type=FORM)
        fields = _fields(body, REPORT_FIELDS)
        fields["token"] = _token(fields)
        try:
            report = self._report(lang, fields)
            code = await self._handlers.submit(report, body, fields["token"])
        except Refused as refused:
            measure.record_report(self._metrics, "web", None, "invalid")
            return self._form(lang, fields, *refused.errors, status=422)
        except RepeatDiffers:
            fields["token"] = secrets.token_urlsafe(24)
            again = FormError("send", self._words.own(lang, "error_already_sent"))
            return self._form(lang, fields, again, status=409)
        except (Overloaded, Retryable) as failure:
            # The text stays in the form: the person must not have to write it twice.
            busy = isinstance(failure, Overloaded)
            text = (
                self._words.own(lang, "error_busy")
                if busy
                else self._words.pack.text(lang, "error_server")
            )
            return self._form(lang, fields, FormError("send", text), status=503)
        return self._render(
            lang,
            "receipt.html",
            path="",
            code=receipt.grouped(code),
            danger=bool(report.danger_now),
            numbers=self._words.numbers(lang, phones_only=True),
            first_look=self._words.first_look(lang, report),
            cards=self._words.advice(lang, (), report.category),
        )

    def _report(self, lang: str, fields: Mapping[str, str]) -> ReportRequest:
        errors: list[FormError] = []
        data: dict[str, Any] = {"channel": "web", "language": lang}
        for name, choices in _CHOICES.items():
            chosen = fields.get(name, "")
            if chosen not in choices:
                errors.append(FormError(name, self._words.own(lang, "error_generic")))
            elif name == "age":
                data |= choices[chosen]
            else:
                data[name] = choices[chosen]
        category = fields.get("category") or None
        if category is not None and category not in self._words.pack.categories:
            errors.append(FormError("category", self._words.own(lang, "error_generic")))
        data["category"] = category if not errors else None
        # Line numbers stay those the person sees.
        lines = fields.get("locations", "").replace("\r\n", "\n").split("\n")
        numbers = [i for i, line in enumerate(lines) if line.strip()]
        data["locations"] = tuple(lines[i] for i in numbers)
        data["narrative"] = fields.get("narrative", "")
        if address := fields.get("email", "").strip():
            safe = fields.get("email_safe") == "yes"
            data["contact"] = {"channel": "email", "address": address, "safe": safe}
        data["consent_partner"] = fields.get("consent_partner") == "yes"
        data["consent_authority"] = fields.get("consent_authority") == "yes"
        found = self._checked(lang, REPORT, data, errors, numbers)
        if found is None:
            raise Refused(*errors)
        return found

    def _checked(
        self,
        lang: str,
        adapter: TypeAdapter[ReportRequest],
        data: dict[str, Any],
        errors: list[FormError],
        lines: list[int],
    ) -> ReportRequest | None:
        try:
            report = adapter.validate_python(data)
        except ValidationError as error:
            errors.extend(self._translated(lang, e, lines) for e in field_errors(error))
            return None
        return report if not errors else None

    def _translated(self, lang: str, error: FieldError, lines: list[int]) -> FormError:
        """A validation error in the reader's words, at the control it belongs to."""
        own, pack = self._words.own, self._words.pack
        field, code = error["field"], error["code"]
        control, prefix, longest = field.partition("[")[0], "", NARRATIVE_MAX
        if control == "contact.address":
            control = "email"
        if place := _INDEX.match(field):
            prefix = own(lang, "error_line", n=lines[int(place[1])] + 1) + " "
            longest = locations.MAX_LENGTH
        match code:
            case "string_too_long":
                text = pack.text(lang, "error_too_long", max=longest)
            case "too_long":
                text = own(lang, "error_too_many", max=LOCATIONS_MAX)
            case "nothing_reported":
                control, text = "locations", pack.text(lang, "error_nothing")
            case "location_not_public":
                text = own(lang, "error_private")
            case "email_invalid":
                text = own(lang, "error_email")
            case "control_character":
                text = own(lang, "error_control")
            case _ if code.startswith("location_"):
                text = own(lang, "error_location")
            case _:
                text = own(lang, "error_generic")
        return FormError(control, prefix + text)

    # -- follow ----------------------------------------------------------------------------------

    async def follow_form(self, _: Request, lang: str) -> Response:
        return self._render(lang, "follow.html", path="follow", error="")

    async def follow(self, request: Request, lang: str) -> Response:
        body = await read_body(request, self._limit, media_type=FORM)
        fields = _fields(body, FOLLOW_FIELDS)
        typed, action = fields.get("receipt", ""), fields.get("action", "read")
        error = notice = ""
        text = fields.get("message", "")
        try:
            match action:
                case "withdraw":
                    following = await self._handlers.follow(typed)
                    if following.can_withdraw:
                        return self._render(
                            lang, "withdraw.html", path="follow", code=self._code(typed)
                        )
                case "withdraw_confirmed":
                    await self._handlers.withdraw(typed)
                case "message":
                    error, notice = await self._write(lang, typed, text, _token(fields))
                    text = text if error else ""
            following = await self._handlers.follow(typed)
        except UnknownReceipt as unknown:
            wrong = (
                self._words.own(lang, "follow_typo")
                if unknown.typo
                else self._words.pack.text(lang, "error_code")
            )
            return self._render(lang, "follow.html", 404, path="follow", error=wrong)
        report = following.report
        return self._render(
            lang,
            "thread.html",
            422 if error else 200,
            path="follow",
            code=self._code(typed),
            token=secrets.token_urlsafe(24),
            following=following,
            lines=self._words.lines(
                lang, report.received_at, following.timeline, report.withdrawn_at
            ),
            error=error,
            notice=notice,
            draft=text,
            message_max=MESSAGE_MAX,
            cards=self._words.advice(lang, following.advice, report.category),
        )

    async def _write(self, lang: str, typed: str, text: str, token: str) -> tuple[str, str]:
        """(error, notice) of one attempt to write in the thread."""
        own = self._words.own
        try:
            message = MESSAGE.validate_python({"body": text})
            await self._handlers.write(typed, message.body, token)
        except ValidationError as error:
            match field_errors(error)[0]["code"]:
                case "message_empty":
                    return own(lang, "message_empty"), ""
                case "string_too_long":
                    return self._words.pack.text(lang, "error_too_long", max=MESSAGE_MAX), ""
                case _:
                    return own(lang, "error_control"), ""
        except AlreadyWithdrawn:
            return own(lang, "withdraw_done"), ""
        except ThreadFull:
            return own(lang, "thread_full"), ""
        return "", own(lang, "message_sent")

    @staticmethod
    def _code(typed: str) -> str:
        return receipt.grouped(receipt.normalise(typed))
