# SPDX-License-Identifier: Apache-2.0
"""The report, step by step, and the short path for images of children.

Every step is a page of its own that posts, keeps the answers in the person's sealed cookie and goes
on (303), so back, forward and reload work and no answer is in an address. Any step may be left
open; only a report that says neither where nor what is refused.
"""

import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Response
from pydantic import ValidationError
from pydantic_core import PydanticCustomError
from wasl_chassis.failures import Overloaded, Retryable
from wasl_chassis.forms import Fields, first
from wasl_chassis.metrics import Metrics
from wasl_schemas.taxonomy import Category

from wasl_intake.domain import locations, receipt
from wasl_intake.domain.flood import Lane
from wasl_intake.domain.slips import Slip, hidden, slips
from wasl_intake.domain.submission import (
    FINGERPRINT,
    LOCATIONS_MAX,
    REPORT,
    ContactRequest,
    ReportRequest,
    meaningful,
)
from wasl_intake.gate import Challenge, Gate, Wait
from wasl_intake.handlers import IntakeHandlers, RepeatDiffers
from wasl_intake.portal.campaigns import count_report
from wasl_intake.portal.forms import FormError, plain
from wasl_intake.portal.site import Page, Site

Draft = dict[str, Any]
#: What the cookie surely holds beside fifty links; the API takes more.
NARRATIVE_MAX = 4_000
_AGES: Mapping[str, dict[str, bool]] = {
    "under_13": {"under_13": True, "under_18": True},
    "under_18": {"under_13": False, "under_18": True},
    "adult": {"under_13": False, "under_18": False},
}
_DANGER: Mapping[str, bool] = {"yes": True, "no": False}
_AFFECTED = ("self", "child", "other")
#: An answer too: "I do not know".
_UNKNOWN = "unknown"
_RISKS = ("meeting_planned", "threatened", "self_harm", "unsafe_place")


@dataclass(frozen=True, slots=True)
class Step:
    """One page of the report. ``shown``: the number people see; two pages may share one."""

    name: str
    shown: int
    fields: tuple[str, ...]
    many: tuple[str, ...] = ()
    #: Read, and not part of the answers.
    aside: tuple[str, ...] = ()


STEPS: tuple[Step, ...] = (
    Step("danger", 1, ("danger",)),
    Step("what", 2, ("group",)),
    Step("kind", 2, ("category",)),
    Step("where", 3, ("links", "account", "nolink")),
    Step("who", 4, ("affected", "age"), ("risk",)),
    Step("details", 5, ("narrative", "fingerprints"), aside=("hide", "keep")),
    Step("contact", 6, ("email", "email_safe", "consent_partner", "consent_authority")),
    Step("review", 7, (), aside=("challenge", "answer", "website")),
)
TOTAL = STEPS[-1].shown
_QUICK = ("links", "danger", "challenge", "answer", "website")
_NUMBER = {step.name: i for i, step in enumerate(STEPS, 1)}


class ReportPages:
    def __init__(self, site: Site, handlers: IntakeHandlers, metrics: Metrics, gate: Gate) -> None:
        self._site, self._handlers, self._metrics, self._gate = site, handlers, metrics, gate

    def register(self, app: FastAPI) -> None:
        add = self._site.add
        add(app, "", get=self.home)
        for step in STEPS:
            add(app, f"report/{_NUMBER[step.name]}", get=self._get(step), post=self._post(step))
        if self._site.words.pack.portal.quick_category:
            add(app, "quick", get=self.quick, post=self.send_quick)
        add(app, "receipt", get=self.receipt, post=self.done)

    async def home(self, page: Page) -> Response:
        return page.show("home.html", numbers=page.words.numbers(page.lang, phones_only=True))

    # -- steps -----------------------------------------------------------------------------------

    def _get(self, step: Step) -> Callable[[Page], Any]:
        async def show(page: Page) -> Response:
            draft = page.state.get("draft")
            if step.name == "review":
                if not _says_something(draft):
                    return page.go("report/1")
                if found := self._unfinished(page, draft):
                    return page.go(f"report/{_NUMBER[found[0].name]}")
            return self._show(page, step, draft)

        return show

    def _post(self, step: Step) -> Callable[[Page], Any]:
        async def take(page: Page) -> Response:
            fields = await page.form((*step.fields, *step.aside), step.many)
            draft = page.state.get("draft")
            if step.name != "review":
                self._merge(page, step, draft, fields)
                page.state.put("draft", draft)
            if other := page.switched(fields):
                return page.go(page.path, other)
            if step.name == "review":
                return await self._send(page, draft, fields)
            errors = self._errors(page, step, draft)
            if errors:
                return self._show(page, step, draft, errors, status=422)
            if step.name == "details" and (asked := self._slips(page, draft, fields)):
                return self._show(page, step, draft, (), 422, slips=asked)
            return page.go(f"report/{self._after(page, step, draft)}")

        return take

    @staticmethod
    def _merge(page: Page, step: Step, draft: Draft, fields: Fields) -> None:
        """Put a step's answers into the draft; what was left open leaves it."""
        draft.setdefault("token", secrets.token_urlsafe(24))
        for name in (*step.fields, *step.many):
            values = fields.get(name)
            if name in step.many:
                kept: Any = sorted(set(values or ()) & set(_RISKS))
            else:
                kept = plain(values[0]) if values else ""
            if kept:
                draft[name] = kept
            else:
                draft.pop(name, None)
        if step.name == "contact":
            draft["asked"] = "yes"  # a box left empty is an answer only once it was seen
        if marks := draft.get("fingerprints", "").split():
            draft["fingerprints"] = " ".join([m for m in marks if FINGERPRINT.match(m)][:20])
        pack = page.pack
        if not _own_image(page, draft):
            draft.pop("fingerprints", None)
        group = draft.get("group")
        if step.name == "what":
            if group not in pack.groups and group != _UNKNOWN:
                draft.pop("group", None)
            held = pack.categories.get(draft.get("category", ""))
            if held is None or held.group != group:
                draft.pop("category", None)
            inside = _inside(page, group)
            if len(inside) == 1:
                draft["category"] = inside[0].id
        if step.name == "kind" and draft.get("category") not in (*pack.categories, _UNKNOWN):
            draft.pop("category", None)

    @staticmethod
    def _slips(page: Page, draft: Draft, fields: Fields) -> list[Slip]:
        """What to ask about: no error, but a question asked once, which either button answers."""
        if first(fields, "keep") and not first(fields, "hide"):
            return []
        text = draft.get("narrative", "")
        found = slips(text)
        if found and first(fields, "hide"):
            draft["narrative"] = hidden(text, found)
            page.state.put("draft", draft)
            return []
        return found

    @staticmethod
    def _after(page: Page, step: Step, draft: Draft) -> int:
        """The number of the next page."""
        number = _NUMBER[step.name] + 1
        if step.name == "what" and len(_inside(page, draft.get("group"))) < 2:
            number += 1
        return number

    def _before(self, page: Page, step: Step, draft: Draft) -> int:
        number = _NUMBER[step.name] - 1
        if step.name == "where" and len(_inside(page, draft.get("group"))) < 2:
            number -= 1
        return number

    def _errors(self, page: Page, step: Step, draft: Draft) -> list[FormError]:
        errors: list[FormError] = []
        if step.name == "where":
            errors = _location_errors(page, draft)
        elif step.name == "details":
            text = draft.get("narrative", "")
            if len(text) > NARRATIVE_MAX:
                errors = [
                    FormError(
                        "narrative", page.pack.text(page.lang, "error_too_long", max=NARRATIVE_MAX)
                    )
                ]
            elif not _says_something(draft):
                errors = [FormError("narrative", page.pack.text(page.lang, "error_nothing"))]
        elif step.name == "contact" and draft.get("email"):
            try:
                ContactRequest(channel="email", address=draft["email"])
            except ValidationError:
                text = page.say("This is not a complete e-mail address.")
                errors = [FormError("email", text)]
        return errors

    def _unfinished(self, page: Page, draft: Draft) -> tuple[Step, list[FormError]] | None:
        """The first step that cannot be sent as it is; somebody may have jumped over it."""
        for step in STEPS:
            if errors := self._errors(page, step, draft):
                return step, errors
        return None

    def _show(
        self,
        page: Page,
        step: Step,
        draft: Draft,
        errors: Sequence[FormError] = (),
        status: int = 200,
        **more: Any,
    ) -> Response:
        values: dict[str, Any] = {}
        pack = page.pack
        if step.name == "kind":
            values["inside"] = _inside(page, draft.get("group"))
        if step.name in ("danger", "who", "review"):
            values["numbers"] = page.words.numbers(page.lang, phones_only=True)
        if step.name == "what":
            values["groups"] = [(g, _inside(page, g.id)) for g in pack.groups.values()]
        if step.name == "details":
            helpers = [c for c in pack.portal.own_image_help if pack.contacts[c].shown]
            values |= {
                "slips": [],
                "own_image": draft.get("category") in pack.portal.own_image,
                "helpers": [page.words.contact(page.lang, c) for c in helpers],
                "narrative_max": NARRATIVE_MAX,
            }
        if step.name == "review":
            request = draft_request(draft, page.lang)
            category = pack.categories.get(draft.get("category", ""))
            group = pack.groups.get(draft.get("group", ""))
            values |= {
                "category": category,
                "group": group,
                "places": _locations(draft),
                "number_of": _NUMBER,
                "first_look": page.words.first_look(page.lang, request),
                "challenge": self._gate.challenge(self._gate.lane(request)),
                "wait": 0,
            }
        return page.show(
            f"report/{step.name}.html",
            status,
            step=step,
            total=TOTAL,
            back=self._before(page, step, draft),
            draft=draft,
            errors=errors,
            **(values | more),
        )

    # -- sending ---------------------------------------------------------------------------------

    async def _send(self, page: Page, draft: Draft, fields: Fields) -> Response:
        review = STEPS[-1]
        draft.setdefault("token", secrets.token_urlsafe(24))
        if found := self._unfinished(page, draft):
            return self._show(page, found[0], draft, found[1], status=422)
        answer = await self._submit(page, draft, draft_request(draft, page.lang), fields)
        match answer:
            case FormError():
                return self._show(page, review, draft, [answer], status=503)
            case Wait():
                asked = {"challenge": answer.challenge, "wait": answer.seconds}
                return self._show(page, review, draft, (), 429, **asked)
            case _:
                return answer

    async def _submit(
        self, page: Page, draft: Draft, request: ReportRequest, fields: Fields
    ) -> Response | FormError | Wait:
        """Hand the report over. On success the draft is forgotten and the receipt comes next."""
        token, answer, trap = (first(fields, name) for name in ("challenge", "answer", "website"))
        verdict = self._gate.judge(
            self._gate.lane(request), token, answer, request, trap, repeat_key=draft["token"]
        )
        if isinstance(verdict, Wait):
            return verdict
        body = request.model_dump_json().encode()
        try:
            await self._handlers.submit(request, body, draft["token"], flood=verdict.flood)
        except RepeatDiffers:
            draft["token"] = secrets.token_urlsafe(24)
            page.state.put("draft", draft)
            return FormError(
                "send",
                page.say(
                    "This form was already sent with other contents. If you press send now, it"
                    " becomes a second report."
                ),
            )
        except Overloaded:
            self._gate.overloaded()
            # The answers stay in the form: the person must not have to write them twice.
            return FormError(
                "send", page.say("Many people are writing to us. Please try again in a moment.")
            )
        except Retryable:
            return FormError("send", page.pack.text(page.lang, "error_server"))
        count_report(page, self._metrics)
        page.state.drop("draft")
        page.state.put(
            "sent",
            {
                "token": draft["token"],
                "category": request.category,
                "danger": bool(request.danger_now),
                "unsafe": "unsafe_place" in request.risk,
                "child": bool(request.under_18 or request.under_13),
                "first_look": page.words.first_look(page.lang, request),
            },
        )
        return page.go("receipt")

    async def quick(self, page: Page) -> Response:
        return self._quick(page, page.state.get("draft"))

    def _quick(
        self,
        page: Page,
        draft: Draft,
        errors: Sequence[FormError] = (),
        status: int = 200,
        *,
        challenge: Challenge | None = None,
        wait: int = 0,
    ) -> Response:
        return page.show(
            "report/quick.html",
            status,
            draft=draft,
            challenge=challenge or self._gate.challenge(Lane.URGENT),
            wait=wait,
            errors=errors,
            numbers=page.words.numbers(page.lang, phones_only=True),
            cards=page.words.advice(page.lang, (), page.pack.portal.quick_category),
        )

    async def send_quick(self, page: Page) -> Response:
        """A link, and send. The category is the country pack's."""
        fields = await page.form(_QUICK)
        draft = page.state.get("draft")
        self._merge(page, Step("quick", 1, ("links", "danger")), draft, fields)
        page.state.put("draft", draft)
        if other := page.switched(fields):
            return page.go("quick", other)
        errors = _location_errors(page, draft)
        if not errors and not _locations(draft):
            errors = [FormError("links", page.say("Give the link of the page."))]
        if errors:
            return self._quick(page, draft, errors, 422)
        sent = {
            "token": draft["token"],
            "links": draft["links"],
            "danger": draft.get("danger", ""),
            "category": page.pack.portal.quick_category,
        }
        answer = await self._submit(page, draft, draft_request(sent, page.lang), fields)
        match answer:
            case FormError():
                return self._quick(page, draft, [answer], 503)
            case Wait(seconds, challenge):
                return self._quick(page, draft, (), 429, challenge=challenge, wait=seconds)
            case _:
                return answer

    # -- receipt ---------------------------------------------------------------------------------

    async def receipt(self, page: Page) -> Response:
        sent = page.state.get("sent")
        if not sent:
            return page.go("follow")
        code = self._handlers.receipt_of(sent["token"])
        return page.show(
            "report/receipt.html",
            code=code,
            letters=receipt.grouped(code),
            spoken=receipt.words(code, page.lang).split(),
            digits=receipt.digits(code),
            sent=sent,
            numbers=page.words.numbers(page.lang, phones_only=True),
            cards=page.words.advice(page.lang, (), sent["category"]),
        )

    async def done(self, page: Page) -> Response:
        """From the receipt on: to the report itself, or away."""
        fields = await page.form(("action",))
        sent = page.state.get("sent")
        page.state.drop("sent")
        if sent and first(fields, "action") == "follow":
            page.state.put("thread", {"code": self._handlers.receipt_of(sent["token"])})
            return page.go("follow")
        return page.go("")


def _own_image(page: Page, draft: Draft) -> bool:
    """Whether fingerprints are offered: for an image of the reporter's own, as an adult."""
    return (
        draft.get("category") in page.pack.portal.own_image
        and draft.get("affected") not in ("child", "other")
        and draft.get("age") not in ("under_13", "under_18")
    )


def _inside(page: Page, group: str | None) -> list[Category]:
    return [c for c in page.pack.categories.values() if c.group == group]


def _lines(draft: Mapping[str, Any]) -> list[tuple[int, str]]:
    """The links with the numbers of their lines as the person sees them."""
    lines = draft.get("links", "").split("\n")
    return [(i, line) for i, line in enumerate(lines, 1) if line.strip()]


def _locations(draft: Mapping[str, Any]) -> list[str]:
    account = draft.get("account", "").strip()
    return [line for _, line in _lines(draft)] + ([account] if account else [])


def _says_something(draft: Mapping[str, Any]) -> bool:
    return bool(_locations(draft)) or meaningful(draft.get("narrative", ""))


def _location_errors(page: Page, draft: Draft) -> list[FormError]:
    """What is wrong with the links and the account, in the reader's words."""
    if len(_locations(draft)) > LOCATIONS_MAX:  # first: each line is looked at, and costs
        text = page.say("There are too many links. The limit is {max}.", max=LOCATIONS_MAX)
        return [FormError("links", text)]
    errors, lines = [], _lines(draft)
    for number, line in lines:
        if problem := _location_error(page, line):
            prefix = page.say("Line {n}:", n=number) + " " if len(lines) > 1 else ""
            errors.append(FormError("links", prefix + problem))
    account = draft.get("account", "").strip()
    if account and (problem := _location_error(page, account)):
        errors.append(FormError("account", problem))
    return errors[:5]


def _location_error(page: Page, text: str) -> str:
    if len(text) > locations.MAX_LENGTH:
        return page.pack.text(page.lang, "error_too_long", max=locations.MAX_LENGTH)
    try:
        locations.clean(text)
    except PydanticCustomError as error:
        if error.type == "location_not_public":
            return page.say(
                "This address leads into a private network. Give an address that everybody can"
                " reach."
            )
        return page.say(
            "This is not a complete link, an account name or a number. Copy the link in full, or"
            " describe it later."
        )
    return ""


def draft_request(draft: Mapping[str, Any], lang: str = "und") -> ReportRequest:
    """The report a draft has become. Its answers were checked step by step; raises otherwise."""
    risk: Collection[str] = draft.get("risk", ())
    contact = None
    if address := draft.get("email", "").strip():
        contact = {
            "channel": "email",
            "address": address,
            "safe": draft.get("email_safe") == "yes" and "unsafe_place" not in risk,
        }
    narrative = draft.get("narrative", "")
    return REPORT.validate_python(
        {
            "channel": "web",
            "language": lang,
            "category": None if draft.get("category") == _UNKNOWN else draft.get("category"),
            "danger_now": _DANGER.get(draft.get("danger", "")),
            **_AGES.get(draft.get("age", ""), {}),
            "affected": draft.get("affected") if draft.get("affected") in _AFFECTED else None,
            "risk": tuple(r for r in _RISKS if r in risk),
            "locations": tuple(_locations(draft)),
            "narrative": narrative if meaningful(narrative) or _locations(draft) else "---",
            "fingerprints": tuple(draft.get("fingerprints", "").split()),
            "contact": contact,
            "consent_partner": draft.get("consent_partner") == "yes" or "asked" not in draft,
            "consent_authority": draft.get("consent_authority") == "yes",
        }
    )
