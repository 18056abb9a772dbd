# SPDX-License-Identifier: Apache-2.0
"""Data protection: holds, the retention plan, redaction for good, requests of data subjects."""

import hashlib
import re
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

from fastapi import Response
from wasl_chassis.forms import Fields, first

from wasl_triage.api.protection import ProtectionRooms
from wasl_triage.cases.working import Note, Working
from wasl_triage.console.refusals import REFUSALS, lines, status
from wasl_triage.console.site import Page, Site
from wasl_triage.desk import NoSuchCase, NotLawful, Refused
from wasl_triage.domain.decisions import Missing
from wasl_triage.domain.disclosure import Cell, cell
from wasl_triage.domain.people import Permission
from wasl_triage.protection import subject_requests as subjects
from wasl_triage.protection.holds import HoldRequest, LiftRequest
from wasl_triage.protection.reading import Protected, Text
from wasl_triage.protection.redaction import Piece, RedactionRequest, redacted

_NEW = ("kind", "channel", "received", "identity", "text", "case_id", "report_id")
#: How a request may reach the hub.
CHANNELS = ("email", "letter", "in_person", "phone", "web")
_CASE = re.compile(r"[0-9a-f]{32}")
_PIECE = re.compile(r"(\d{1,6})-(\d{1,6})")
Act = Callable[[Page, str, Fields], Awaitable[Any]]


class ProtectionPages:
    def __init__(
        self, site: Site, rooms: ProtectionRooms, protected: Protected, working: Working
    ) -> None:
        self._site, self._rooms = site, rooms
        self._protected, self._working = protected, working
        needs = Permission.PROTECT
        site.add("protection", get=self._start, needs=needs)
        site.add("protection/case", get=self._named, needs=needs)
        site.add("protection/retention", get=self._plan, needs=needs)
        site.add("protection/cases/{case_id}", get=self._case, needs=needs)
        self._add("holds", self._hold, "body", "reason", "until")
        self._add("lifting", self._lift, "hold", "reason")
        self._add("keeping", self._keep, "hold")
        site.add(
            "protection/cases/{case_id}/reports/{report_id}",
            get=self._text,
            post=self._redact,
            needs=needs,
        )
        asks = Permission.SUBJECT_REQUESTS
        site.add("protection/requests", get=self._register, needs=asks)
        site.add("protection/requests/new", get=self._new, post=self._enter, needs=asks)
        site.add("protection/requests/{request_id}", get=self._read, post=self._step, needs=asks)

    # -- holds -----------------------------------------------------------------------------------

    async def _start(self, page: Page) -> Response:
        return page.show("protection/start.html", holds=await self._protected.standing(page.person))

    async def _named(self, page: Page) -> Response:
        case_id = page.request.query_params.get("id", "").strip()[:64]
        if not _CASE.fullmatch(case_id):
            raise NoSuchCase
        return page.go(f"protection/cases/{case_id}")

    async def _case(self, page: Page) -> Response:
        return await self._held(page, str(page.request.path_params["case_id"]))

    async def _held(
        self,
        page: Page,
        case_id: str,
        *,
        missing: tuple[Missing, ...] = (),
        typed: Fields | None = None,
        form: str = "",
        at: int = 200,
    ) -> Response:
        return page.show(
            "protection/case.html",
            at,
            told=await self._protected.of(page.person, case_id),
            missing=missing,
            typed=typed or {},
            form=form,
        )

    def _add(self, name: str, act: Act, *known: str) -> None:
        async def posted(page: Page) -> Response:
            case_id = str(page.request.path_params["case_id"])
            fields = await page.form(known)
            try:
                await act(page, case_id, fields)
            except REFUSALS as error:
                return await self._held(
                    page,
                    case_id,
                    missing=lines(error),
                    typed=fields,
                    form=name,
                    at=status(error),
                )
            return page.go(f"protection/cases/{case_id}")

        path = f"protection/cases/{{case_id}}/{name}"
        self._site.add(path, post=posted, needs=Permission.PROTECT)

    async def _hold(self, page: Page, case_id: str, fields: Fields) -> None:
        body, reason = first(fields, "body"), first(fields, "reason")
        until = _day(page, fields, "until")
        await self._rooms.holds.set(
            page.person, case_id, HoldRequest(body=body, reason=reason, until=until)
        )

    async def _lift(self, page: Page, _: str, fields: Fields) -> None:
        wanted = LiftRequest(reason=first(fields, "reason"))
        await self._rooms.holds.lift(page.person, first(fields, "hold")[:64], wanted)

    async def _keep(self, page: Page, _: str, fields: Fields) -> None:
        await self._rooms.holds.refuse_lifting(page.person, first(fields, "hold")[:64])

    # -- retention -------------------------------------------------------------------------------

    async def _plan(self, page: Page) -> Response:
        return page.show(
            "protection/retention.html",
            plan=await self._protected.plan(page.person),
            fit=Cell if page.person.cleared else cell,
        )

    # -- redaction -------------------------------------------------------------------------------

    async def _text(self, page: Page) -> Response:
        told = await self._opened(page)
        chosen = {f"{f.start}-{f.end}" for f in told.found}
        return self._form(page, told, {"pieces": sorted(chosen)})

    async def _opened(self, page: Page) -> Text:
        at = page.request.path_params
        return await self._protected.text(page.person, at["case_id"], at["report_id"])

    def _form(
        self,
        page: Page,
        told: Text,
        typed: Fields,
        *,
        missing: tuple[Missing, ...] = (),
        preview: str = "",
        at: int = 200,
    ) -> Response:
        return page.show(
            "protection/redact.html",
            at,
            told=told,
            typed=typed,
            missing=missing,
            preview=preview,
            mark=_mark(told),
        )

    async def _redact(self, page: Page) -> Response:
        fields = await page.form(("words", "reason", "step", "mark"), ("pieces",))
        told = await self._opened(page)
        try:
            wanted = _wanted(told, fields)
            preview = "" if told.masked else redacted(told.text, wanted)[0]
            if first(fields, "step") != "sure":
                return self._form(page, told, fields, preview=preview)
            reason = first(fields, "reason").strip()
            if not reason:
                raise NotLawful([Missing("reason", "is missing", "Say in a sentence why.")])
            await self._working.note(page.person, told.case.id, Note(text=reason))
            await self._rooms.redaction.redact(page.person, told.case.id, wanted)
        except REFUSALS as error:
            return self._form(page, told, fields, missing=lines(error), at=status(error))
        return page.go(f"protection/cases/{told.case.id}")

    # -- requests of data subjects ---------------------------------------------------------------

    async def _register(self, page: Page) -> Response:
        return page.show(
            "protection/requests.html", rows=await self._rooms.subjects.waiting(page.person)
        )

    async def _new(self, page: Page) -> Response:
        return self._entry(page, {})

    @staticmethod
    def _entry(
        page: Page, typed: Fields, missing: tuple[Missing, ...] = (), at: int = 200
    ) -> Response:
        return page.show(
            "protection/new_request.html",
            at,
            typed=typed,
            missing=missing,
            kinds=[k.value for k in subjects.Kind],
            channels=CHANNELS,
            today=page.site.clock.now().astimezone(page.site.zone).date().isoformat(),
        )

    async def _enter(self, page: Page) -> Response:
        fields = await page.form(_NEW)
        try:
            given = subjects.Registration.model_validate(
                {
                    **{n: first(fields, n) for n in ("kind", "channel", "identity", "text")},
                    "received_at": _day(page, fields, "received"),
                    "case_id": first(fields, "case_id").strip() or None,
                    "report_id": first(fields, "report_id").strip() or None,
                }
            )
            made = await self._rooms.subjects.register(page.person, given)
        except REFUSALS as error:
            return self._entry(page, fields, lines(error), status(error))
        return page.go(f"protection/requests/{made.request_id}")

    async def _read(self, page: Page) -> Response:
        return await self._shown(page)

    async def _shown(
        self,
        page: Page,
        typed: Fields | None = None,
        missing: tuple[Missing, ...] = (),
        at: int = 200,
    ) -> Response:
        request_id = str(page.request.path_params["request_id"])
        try:
            opened = await self._rooms.subjects.read(page.person, request_id)
        except Refused as none:
            return page.trouble(404, page.say(str(none)), page.say(none.fix))
        steps = list(zip(opened.request.steps, opened.notes, strict=True))
        return page.show(
            "protection/request.html",
            at,
            opened=opened,
            request=opened.request,
            steps=steps,
            onward=[s.value for s in subjects.State if s in subjects.NEXT[opened.request.state]],
            missing=missing,
            typed=typed or {},
        )

    async def _step(self, page: Page) -> Response:
        fields = await page.form(("state", "note"))
        request_id = str(page.request.path_params["request_id"])
        try:
            wanted = subjects.StepRequest.model_validate(
                {n: first(fields, n) for n in ("state", "note")}
            )
            await self._rooms.subjects.step(page.person, request_id, wanted)
        except REFUSALS as error:
            return await self._shown(page, fields, lines(error), status(error))
        return page.go(f"protection/requests/{request_id}")


def _day(page: Page, fields: Fields, field: str) -> datetime:
    """The beginning of a day that must be given. Raises NotLawful."""
    at = page.moment(first(fields, field), field)
    if at is None:
        raise NotLawful([Missing(field, "is missing", "Choose a day.")])
    return at


def _mark(told: Text) -> str:
    """By which a form knows the text it was made for: places in another text would be wrong."""
    return hashlib.sha256(f"{told.report.id}|{told.report.content}".encode()).hexdigest()[:16]


def _wanted(told: Text, fields: Fields) -> RedactionRequest:
    """What is to be blacked out. Raises NotLawful, Refused."""
    if told.masked:
        return RedactionRequest(report_id=told.report.id, detected=True)
    if first(fields, "mark") != _mark(told):
        raise Refused("The text has changed meanwhile", "Look at it again.")
    known = {f"{f.start}-{f.end}" for f in told.found}
    pieces = [
        Piece(start=int(at[1]), end=int(at[2]))
        for text in fields.get("pieces", ())
        if text in known and (at := _PIECE.fullmatch(text))
    ]
    wrong = []
    for line in filter(None, map(str.strip, first(fields, "words").splitlines())):
        found = [m.start() for m in re.finditer(re.escape(line), told.text)]
        pieces += [Piece(start=n, end=n + len(line)) for n in found]
        if not found:
            fix = "Write it exactly as it stands in the text."
            wrong.append(Missing("words", "is not in the text", fix))
    if wrong:
        raise NotLawful(wrong[:1])
    if not pieces:
        raise Refused("There is nothing to black out", "Name pieces of the text.")
    return RedactionRequest(report_id=told.report.id, pieces=tuple(pieces))
