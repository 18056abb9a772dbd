# SPDX-License-Identifier: Apache-2.0
"""The forms of a case beside its judgement: who follows it, notes, passing it on, working it with
others or apart, appeals, and asking another body. They stand on the page of the case.
"""

import re

from fastapi import Response
from wasl_chassis.forms import Fields, first

from wasl_triage.api.cases import CaseRooms
from wasl_triage.cases.appeals import AppealAnswer, Filing
from wasl_triage.cases.grouping import reasoned
from wasl_triage.cases.opinions import Inquiry, OpinionAnswer
from wasl_triage.cases.working import Move, Note, Owner, Plan, Skip
from wasl_triage.console.cases import CasePages
from wasl_triage.console.site import Page
from wasl_triage.desk import NotLawful
from wasl_triage.domain.decisions import Missing
from wasl_triage.domain.people import Permission

_ID = re.compile(r"[0-9a-f]{32}")


class CaseworkPages:
    def __init__(self, cases: CasePages, rooms: CaseRooms) -> None:
        self._cases, self._rooms = cases, rooms
        p, add = Permission, cases.add
        add("owner", p.CLAIM, self._own, "owner")
        add("plan", p.CLAIM, self._plan, "text", "next_at")
        add("notes", p.NOTE, self._note, "text")
        add("skip", p.CLAIM, self._skip, "reason")
        add("move", p.CLAIM, self._move, "queue", "reason")
        add("merge", p.MERGE, self._merge, "ids", "reason")
        add("parting", p.MERGE, self._part, "reason")
        add("split", p.MERGE, self._split, "reason", many=("reports",))
        add("undo", p.MERGE, self._undo, "operation", "reason")
        add("group-assessment", p.ASSESS, self._assess_group)
        add("group-decision", p.DECIDE, self._decide_group)
        known = ("decision_id", "side", "report_id", "partner", "grounds")
        add("appeals", p.APPEAL, self._appeal, *known)
        answer = ("appeal_id", "outcome", "reason")
        add("appeal-answers", p.APPEAL, self._answer, *answer, many=("withdraw",))
        add("opinions", p.ASK_OPINION, self._ask, "body", "question")
        add("opinion-answers", p.ASK_OPINION, self._record, "opinion_id", "author", "on", "text")

    # -- following it ----------------------------------------------------------------------------

    async def _own(self, page: Page, case_id: str, fields: Fields) -> None:
        wanted = Owner.model_validate({"owner": first(fields, "owner").strip() or None})
        await self._rooms.working.assign(page.person, case_id, wanted)

    async def _plan(self, page: Page, case_id: str, fields: Fields) -> None:
        next_at = page.moment(first(fields, "next_at"), "next_at")
        plan = Plan(text=first(fields, "text"), next_at=next_at)
        await self._rooms.working.plan(page.person, case_id, plan)

    async def _note(self, page: Page, case_id: str, fields: Fields) -> None:
        await self._rooms.working.note(page.person, case_id, Note(text=first(fields, "text")))

    async def _skip(self, page: Page, case_id: str, fields: Fields) -> Response:
        skip = Skip.model_validate({"reason": first(fields, "reason")})
        await self._rooms.working.skip(page.person, case_id, skip)
        return page.go("queue")

    async def _move(self, page: Page, case_id: str, fields: Fields) -> Response:
        move = Move.model_validate(
            {"queue": first(fields, "queue"), "reason": first(fields, "reason")}
        )
        await self._rooms.working.move(page.person, case_id, move)
        return page.go("queue")

    # -- with others and apart -------------------------------------------------------------------

    async def _merge(self, page: Page, case_id: str, fields: Fields) -> None:
        ids = first(fields, "ids").split()
        if not all(_ID.fullmatch(i) for i in ids):
            fix = page.say("Copy it from the page of the case.")
            raise NotLawful([Missing("ids", page.say("is no id of a case"), fix)])
        await self._rooms.grouping.merge(page.person, case_id, ids, first(fields, "reason"))

    async def _part(self, page: Page, case_id: str, fields: Fields) -> None:
        await self._rooms.grouping.part(page.person, case_id, first(fields, "reason"))

    async def _split(self, page: Page, case_id: str, fields: Fields) -> None:
        reports, reason = fields.get("reports", []), first(fields, "reason")
        await self._rooms.splitting.split(page.person, case_id, reports, reason)

    async def _undo(self, page: Page, case_id: str, fields: Fields) -> None:
        """The reason is a note: what is undone keeps the reason it was done for."""
        reason = first(fields, "reason").strip()
        reasoned(reason)
        await self._rooms.undo(page.person, first(fields, "operation"))
        await self._rooms.working.note(page.person, case_id, Note(text=reason))

    async def _assess_group(self, page: Page, case_id: str, _: Fields) -> Response:
        return await self._apply(page, case_id, decision=False)

    async def _decide_group(self, page: Page, case_id: str, _: Fields) -> Response:
        return await self._apply(page, case_id, decision=True)

    async def _apply(self, page: Page, case_id: str, *, decision: bool) -> Response:
        done = await self._rooms.grouping.apply(page.person, case_id, decision=decision)
        return await self._cases.show(page, case_id, results=tuple(done))

    # -- appeals and opinions --------------------------------------------------------------------

    async def _appeal(self, page: Page, case_id: str, fields: Fields) -> None:
        filing = Filing.model_validate(
            {
                "decision_id": first(fields, "decision_id"),
                "side": first(fields, "side"),
                "grounds": first(fields, "grounds"),
                "report_id": first(fields, "report_id") or None,
                "partner": first(fields, "partner") or None,
            }
        )
        await self._rooms.appeals.register(page.person, case_id, filing)

    async def _answer(self, page: Page, case_id: str, fields: Fields) -> None:
        answer = AppealAnswer.model_validate(
            {
                "outcome": first(fields, "outcome"),
                "reason": first(fields, "reason"),
                "withdraw": tuple(fields.get("withdraw", ())),
            }
        )
        appeal_id = first(fields, "appeal_id")
        await self._rooms.appeals.answer(page.person, case_id, appeal_id, answer)

    async def _ask(self, page: Page, case_id: str, fields: Fields) -> None:
        inquiry = Inquiry.model_validate(
            {"body": first(fields, "body"), "question": first(fields, "question")}
        )
        await self._rooms.opinions.ask(page.person, case_id, inquiry)

    async def _record(self, page: Page, case_id: str, fields: Fields) -> None:
        answer = OpinionAnswer.model_validate(
            {
                "text": first(fields, "text"),
                "author": first(fields, "author"),
                "on": first(fields, "on") or None,
            }
        )
        opinion_id = first(fields, "opinion_id")
        await self._rooms.opinions.record(page.person, case_id, opinion_id, answer)
