# SPDX-License-Identifier: Apache-2.0
"""What other people of the desk ask of the reader's queues: a list, and one question to answer with
its case, redacted.
"""

from fastapi import Response
from pydantic import ValidationError
from wasl_chassis.forms import Fields, first

from wasl_triage.cases.opinions import OpinionAnswer, Opinions
from wasl_triage.console import telling
from wasl_triage.console.cases import unusable
from wasl_triage.console.site import Page, Site
from wasl_triage.domain.decisions import Missing
from wasl_triage.domain.people import Permission


class OpinionPages:
    def __init__(self, site: Site, opinions: Opinions) -> None:
        self._opinions = opinions
        needs = Permission.GIVE_OPINION
        site.add("opinions", get=self._list, needs=needs)
        site.add("opinions/{opinion_id}", get=self._read, post=self._give, needs=needs)

    async def _list(self, page: Page) -> Response:
        waiting = await self._opinions.waiting(page.person)
        return page.show("opinions.html", waiting=waiting)

    async def _read(self, page: Page) -> Response:
        return await self._show(page)

    async def _show(
        self, page: Page, missing: list[Missing] | None = None, typed: Fields | None = None
    ) -> Response:
        opinion_id = str(page.request.path_params["opinion_id"])
        opinion, question, sheet = await self._opinions.read(page.person, opinion_id)
        distressing = page.pack.desk.exposure.distressing
        return page.show(
            "opinion.html",
            422 if missing else 200,
            opinion=opinion,
            question=question,
            sheet=sheet,
            distressing=sheet.case.category in distressing,
            missing=telling.told(page, missing or ()),
            text=first(typed or {}, "text"),
        )

    async def _give(self, page: Page) -> Response:
        fields = await page.form({"text"})
        try:
            answer = OpinionAnswer(text=first(fields, "text"))
        except ValidationError as error:
            return await self._show(page, unusable(page, error), fields)
        await self._opinions.give(page.person, str(page.request.path_params["opinion_id"]), answer)
        return page.go("opinions")
