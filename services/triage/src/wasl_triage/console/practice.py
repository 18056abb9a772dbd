# SPDX-License-Identifier: Apache-2.0
"""Practice: golden items to judge, one's own agreement; and marking a settled case as golden."""

from fastapi import Response
from wasl_chassis.forms import Fields, first

from wasl_triage.casework import Hub
from wasl_triage.console.refusals import REFUSALS, lines, status
from wasl_triage.console.site import Page, Site
from wasl_triage.desk import Desk, NoSuchCase
from wasl_triage.domain.case import Case
from wasl_triage.domain.decisions import Missing
from wasl_triage.domain.people import Permission
from wasl_triage.quality import golden
from wasl_triage.quality.kept import GOLDEN, Golden


class PracticePages:
    def __init__(self, site: Site, hub: Hub, desk: Desk, items: golden.GoldenItems) -> None:
        self._hub, self._desk, self._items = hub, desk, items
        marks = Permission.GOLDEN
        site.add("practice", get=self._list, needs=Permission.ASSESS)
        site.add("practice/new", get=self._new, post=self._mark, needs=marks)
        site.add("practice/retired", post=self._retire, needs=marks)
        site.add("practice/{golden_id}", get=self._read, post=self._answer, needs=Permission.ASSESS)

    # -- judging ---------------------------------------------------------------------------------

    async def _list(self, page: Page) -> Response:
        waiting = await self._items.exercises(page.person)
        own = await self._items.own(page.person)
        return page.show("practice/list.html", waiting=waiting, own_figures=own)

    async def _read(self, page: Page) -> Response:
        return await self._show(page)

    async def _show(
        self,
        page: Page,
        missing: tuple[Missing, ...] = (),
        typed: Fields | None = None,
        at: int = 200,
    ) -> Response:
        item = await self._items.read(page.person, page.request.path_params["golden_id"])
        return page.show("practice/item.html", at, item=item, missing=missing, typed=typed or {})

    async def _answer(self, page: Page) -> Response:
        fields = await page.form(("category",))
        try:
            said = golden.GoldenReply(category=first(fields, "category"))
            result = await self._items.answer(
                page.person, page.request.path_params["golden_id"], said
            )
        except REFUSALS as error:
            return await self._show(page, lines(error), fields, status(error))
        left = len(await self._items.exercises(page.person))
        return page.show("practice/result.html", result=result, left=left)

    # -- marking ---------------------------------------------------------------------------------

    async def _case(self, page: Page, case_id: str) -> tuple[Case, Golden | None]:
        """The case, and the golden item that is made of it already. Raises NoSuchCase."""
        if not case_id:
            raise NoSuchCase
        case = await self._desk.case(self._hub.unit(), case_id, page.person)
        docs = await self._hub.store.find(GOLDEN, {"case_id": case.id})
        return case, next((GOLDEN.decode(d) for d in docs if d["active"]), None)

    async def _new(self, page: Page) -> Response:
        return await self._form(page, page.request.query_params.get("case", "")[:64])

    async def _form(
        self,
        page: Page,
        case_id: str,
        missing: tuple[Missing, ...] = (),
        typed: Fields | None = None,
        at: int = 200,
    ) -> Response:
        case, made = await self._case(page, case_id)
        case = self._desk.as_seen(case, page.person)
        return page.show(
            "practice/new.html", at, case=case, made=made, missing=missing, typed=typed or {}
        )

    async def _mark(self, page: Page) -> Response:
        fields = await page.form(("case", "expected", "note"))
        case_id = first(fields, "case")[:64]
        try:
            wanted = golden.GoldenRequest(
                expected=first(fields, "expected"), note=first(fields, "note")
            )
            await self._items.mark(page.person, case_id, wanted)
        except REFUSALS as error:
            return await self._form(page, case_id, lines(error), fields, status(error))
        return page.go(f"practice/new?case={case_id}")

    async def _retire(self, page: Page) -> Response:
        fields = await page.form(("case", "golden"))
        await self._items.retire(page.person, first(fields, "golden")[:64])
        return page.go(f"practice/new?case={first(fields, 'case')[:64]}")
