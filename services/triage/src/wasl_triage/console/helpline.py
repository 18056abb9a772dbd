# SPDX-License-Identifier: Apache-2.0
"""The helpline: who waits, one person's case, a first contact, and a report for a caller."""

import secrets
from collections.abc import Awaitable, Callable
from typing import Any, get_args

from fastapi import Response
from pydantic import TypeAdapter, ValidationError
from wasl_chassis.forms import Fields, first
from wasl_schemas.events.common import Affected, Risk

from wasl_triage.care.helpline import Helpline, NoSuchHelplineCase, Opening
from wasl_triage.care.telephone import NotTaken, PhoneReport, Telephone
from wasl_triage.console.site import Page, Site
from wasl_triage.desk import NotLawful, Refused
from wasl_triage.domain import helpline as record
from wasl_triage.domain.decisions import Missing
from wasl_triage.domain.people import Permission

_OPENING = ("channel", "about", "age", "gender", "language", "summary", "safe_contact")
_RISK = tuple(f"risk_{name}" for name in record.RISKS)
_REPORT = (
    *("key", "channel", "language", "category", "affected", "locations", "narrative"),
    *("danger_now", "under_18", "under_13", "consent_partner", "consent_authority"),
)
_KIND: TypeAdapter[record.NonData] = TypeAdapter(record.NonData)
_ACTIONS: TypeAdapter[list[record.ActionTaken]] = TypeAdapter(list[record.ActionTaken])
Act = Callable[[Page, str, Fields], Awaitable[Any]]


class HelplinePages:
    def __init__(self, site: Site, helpline: Helpline, telephone: Telephone) -> None:
        self._site, self._helpline, self._telephone = site, helpline, telephone
        needs = Permission.HELPLINE
        site.add("helpline", get=self._list, needs=needs)
        site.add("helpline/contacts", post=self._count, needs=needs)
        site.add("helpline/new", get=self._new, post=self._open, needs=needs)
        site.add("helpline/report", get=self._form, post=self._report, needs=Permission.INTAKE)
        self._add("screening", self._screen, *_RISK)
        self._add("note", self._note, "text")
        self._add("actions", self._act, many=("actions",))
        self._add("plan", self._plan, "text", "next_at", "owner")
        self._add("hand-over", self._hand_over, "body", "consent", "exception")
        self._add("second", self._second, "hand_over")
        self._add("link", self._link, "other")
        self._add("close", self._close, "helped", "would_recommend")
        self._add("reopen", self._reopen)
        site.add("helpline/{case_id}", get=self._read, needs=needs)

    def _add(self, name: str, act: Act, *known: str, many: tuple[str, ...] = ()) -> None:
        async def posted(page: Page) -> Response:
            case_id = str(page.request.path_params["case_id"])
            fields = await page.form(known, many)
            try:
                return await acted(page, case_id, fields)
            except NoSuchHelplineCase:
                return self._none(page)

        async def acted(page: Page, case_id: str, fields: Fields) -> Response:
            try:
                await act(page, case_id, fields)
            except NotLawful as unlawful:
                return await self._show(page, case_id, tuple(unlawful.missing), 422)
            except ValidationError:
                said, fix = page.say("cannot be used as it is"), page.say("Choose a value.")
                return await self._show(page, case_id, (Missing(name, said, fix),), 422)
            return page.go(f"helpline/{case_id}")

        path = f"helpline/{{case_id}}/{name}"
        self._site.add(path, post=posted, needs=Permission.HELPLINE)

    # -- pages -----------------------------------------------------------------------------------

    async def _list(self, page: Page) -> Response:
        cases = await self._helpline.waiting(page.person)
        now = page.site.clock.now()
        rows = [(c, record.urgency(c.screenings), record.waits(c, now)) for c in cases]
        return page.show(
            "helpline/list.html",
            rows=rows,
            kinds=get_args(record.NonData),
            phone=self._telephone.open,
        )

    async def _count(self, page: Page) -> Response:
        fields = await page.form({"kind"})
        try:
            kind = _KIND.validate_python(first(fields, "kind"))
        except ValidationError:
            return page.trouble(422, page.say("This form cannot be used as it was sent."))
        await self._helpline.count(page.person, kind)
        return page.go("helpline")

    async def _new(self, page: Page) -> Response:
        return self._opening(page)

    def _opening(self, page: Page, typed: Fields | None = None, status: int = 200) -> Response:
        choices = {
            "channel": get_args(record.ContactChannel),
            "about": get_args(record.About),
            "age": get_args(record.AgeBand),
            "gender": get_args(record.Gender),
            "needs": get_args(record.Need),
        }
        return page.show(
            "helpline/new.html", status, choices=choices, risks=record.RISKS, typed=typed or {}
        )

    async def _open(self, page: Page) -> Response:
        fields = await page.form((*_OPENING, *_RISK), ("needs",))
        try:
            said = Opening.model_validate(
                {
                    "language": page.lang,
                    **{n: first(fields, n) for n in _OPENING if first(fields, n)},
                    "needs": tuple(fields.get("needs", ())),
                    "risk": _risk(fields),
                }
            )
        except ValidationError:
            return self._opening(page, fields, 422)
        case = await self._helpline.open(page.person, said)
        return page.go(f"helpline/{case.id}")

    async def _read(self, page: Page) -> Response:
        try:
            return await self._show(page, str(page.request.path_params["case_id"]))
        except NoSuchHelplineCase:
            return self._none(page)

    @staticmethod
    def _none(page: Page) -> Response:
        return page.trouble(404, page.say("There is no such case for you."))

    async def _show(
        self, page: Page, case_id: str, missing: tuple[Missing, ...] = (), status: int = 200
    ) -> Response:
        opened = await self._helpline.read(page.person, case_id)
        case = opened.case
        return page.show(
            "helpline/case.html",
            status,
            opened=opened,
            case=case,
            urgency=record.urgency(case.screenings),
            call_back=record.may_call_back(case.screenings),
            risks=record.RISKS,
            actions=get_args(record.ActionTaken),
            missing=missing,
        )

    # -- acts ------------------------------------------------------------------------------------

    async def _screen(self, page: Page, case_id: str, fields: Fields) -> None:
        await self._helpline.screen(page.person, case_id, _risk(fields))

    async def _note(self, page: Page, case_id: str, fields: Fields) -> None:
        await self._helpline.note(page.person, case_id, first(fields, "text"))

    async def _act(self, page: Page, case_id: str, fields: Fields) -> None:
        done = _ACTIONS.validate_python(fields.get("actions", []))
        await self._helpline.act(page.person, case_id, tuple(done))

    async def _plan(self, page: Page, case_id: str, fields: Fields) -> None:
        text, owner = first(fields, "text"), first(fields, "owner")
        next_at = page.moment(first(fields, "next_at"), "next_at")
        await self._helpline.plan(page.person, case_id, text, next_at, owner)

    async def _hand_over(self, page: Page, case_id: str, fields: Fields) -> None:
        await self._helpline.hand_over(
            page.person,
            case_id,
            first(fields, "body"),
            consent=first(fields, "consent") == "yes",
            exception=first(fields, "exception"),
        )

    async def _second(self, page: Page, case_id: str, fields: Fields) -> None:
        await self._helpline.second(page.person, case_id, first(fields, "hand_over"))

    async def _link(self, page: Page, case_id: str, fields: Fields) -> None:
        await self._helpline.link(page.person, case_id, first(fields, "other")[:64])

    async def _close(self, page: Page, case_id: str, fields: Fields) -> None:
        said = {n: first(fields, n) or "unknown" for n in ("helped", "would_recommend")}
        await self._helpline.close(page.person, case_id, record.Survey.model_validate(said))

    async def _reopen(self, page: Page, case_id: str, _: Fields) -> None:
        await self._helpline.reopen(page.person, case_id)

    # -- a report for a caller -------------------------------------------------------------------

    async def _form(self, page: Page) -> Response:
        return self._report_form(page, {"key": [secrets.token_urlsafe(24)]})

    def _report_form(
        self, page: Page, typed: Fields, wrong: tuple[str, ...] = (), status: int = 200, **more: str
    ) -> Response:
        return page.show(
            "helpline/report.html",
            status,
            typed=typed,
            wrong=wrong,
            open=self._telephone.open,
            affected=[a.value for a in Affected if a is not Affected.UNKNOWN],
            risks=[r.value for r in Risk if r is not Risk.UNKNOWN],
            trouble=more.get("trouble", ""),
            fix=more.get("fix", ""),
        )

    async def _report(self, page: Page) -> Response:
        fields = await page.form(_REPORT, ("risk",))
        yes = {n: True for n in ("danger_now", "under_18", "under_13") if first(fields, n) == "yes"}
        said = PhoneReport.model_validate(
            {
                "channel": "chat" if first(fields, "channel") == "chat" else "phone",
                "language": first(fields, "language") or page.lang,
                "category": first(fields, "category") or None,
                "affected": first(fields, "affected") or None,
                "risk": tuple(fields.get("risk", ())),
                "locations": tuple(s for s in first(fields, "locations").split() if s),
                "narrative": first(fields, "narrative").strip(),
                "consent_partner": first(fields, "consent_partner") == "yes",
                "consent_authority": first(fields, "consent_authority") == "yes",
                **yes,
            }
        )
        try:
            receipt = await self._telephone.report(said, first(fields, "key"))
        except NotTaken as refused:
            return self._report_form(page, fields, refused.fields or ("narrative",), 422)
        except Refused as away:
            told = {"trouble": page.say(str(away)), "fix": page.say(away.fix)}
            return self._report_form(page, fields, (), 503, **told)
        return page.show("helpline/receipt.html", receipt=receipt)


def _risk(fields: Fields) -> dict[str, str]:
    return {name: first(fields, f"risk_{name}") for name in record.RISKS}
