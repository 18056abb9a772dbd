# SPDX-License-Identifier: Apache-2.0
"""Figures of the desk, a month at a time: all that ministry, auditors and donors see."""

from fastapi import Response

from wasl_triage.console.site import Page, Site
from wasl_triage.domain.people import Permission
from wasl_triage.quality import figures


class FiguresPages:
    def __init__(self, site: Site, use: figures.Figures) -> None:
        self._figures = use
        site.add("figures", get=self._read, needs=Permission.FIGURES)

    async def _read(self, page: Page) -> Response:
        month = page.request.query_params.get("month", "")[:7]
        told = await self._figures.read(page.person, month)
        return page.show("figures/month.html", told=told, months=self._figures.months())
