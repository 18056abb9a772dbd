# SPDX-License-Identifier: Apache-2.0
"""The independent reviewer: the sample, one decision without names, a yes or a reason."""

from fastapi import Response
from wasl_chassis.forms import Fields, first

from wasl_triage.console.refusals import REFUSALS, lines, status
from wasl_triage.console.site import Page, Site
from wasl_triage.domain.decisions import Missing
from wasl_triage.domain.people import Permission
from wasl_triage.quality import figures, reviewing


class ReviewPages:
    def __init__(self, site: Site, reviews: reviewing.Reviews, figures: figures.Figures) -> None:
        self._reviews, self._figures = reviews, figures
        site.add("review", get=self._list, needs=Permission.REVIEW)
        site.add("review/{review_id}", get=self._read, post=self._answer, needs=Permission.REVIEW)

    async def _list(self, page: Page) -> Response:
        waiting = await self._reviews.waiting(page.person)
        months = self._figures.months()[:2] if page.may("figures") else []
        counts = [(m, (await self._figures.read(page.person, m)).reviews) for m in months]
        return page.show("review/list.html", waiting=waiting, counts=counts)

    async def _read(self, page: Page) -> Response:
        return await self._show(page)

    async def _show(
        self,
        page: Page,
        missing: tuple[Missing, ...] = (),
        typed: Fields | None = None,
        at: int = 200,
    ) -> Response:
        opened = await self._reviews.read(page.person, page.request.path_params["review_id"])
        sheet, review = opened.sheet, opened.review
        row = next((d for d in sheet.case.decisions if d.id == review.id), None)
        return page.show(
            "review/decision.html",
            at,
            review=review,
            sheet=sheet,
            row=row,
            distressing=review.category in page.pack.desk.exposure.distressing,
            missing=missing,
            typed=typed or {},
        )

    async def _answer(self, page: Page) -> Response:
        fields = await page.form(("agree", "reason"))
        said = first(fields, "agree")
        if said not in ("yes", "no"):
            gap = Missing("agree", "is missing", "Choose a value.")
            return await self._show(page, (gap,), fields, 422)
        try:
            answer = reviewing.ReviewAnswer(agree=said == "yes", reason=first(fields, "reason"))
            await self._reviews.answer(page.person, page.request.path_params["review_id"], answer)
        except REFUSALS as error:
            return await self._show(page, lines(error), fields, status(error))
        return page.go("review")
