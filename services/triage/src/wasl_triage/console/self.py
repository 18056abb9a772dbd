# SPDX-License-Identifier: Apache-2.0
"""A person's own page, and the workload of the team: counters, never judgements."""

from fastapi import Response

from wasl_triage.care.wellbeing import Wellbeing
from wasl_triage.console.site import Page, Site
from wasl_triage.domain.people import Permission


class SelfPages:
    def __init__(self, site: Site, wellbeing: Wellbeing) -> None:
        self._wellbeing = wellbeing
        site.add("me", get=self._me)
        site.add("me/opt-outs", post=self._opt_out)
        site.add("workload", get=self._workload, needs=Permission.WORKLOAD)
        site.shared["standing"] = self._standing

    async def _standing(self, page: Page) -> object:
        """For the header: how the day stands, for people who read cases."""
        return await self._wellbeing.standing(page.person) if page.may("read") else None

    async def _me(self, page: Page) -> Response:
        return page.show("me.html", opted_out=await self._wellbeing.opted_out(page.person))

    async def _opt_out(self, page: Page) -> Response:
        fields = await page.form((), ("categories",))
        await self._wellbeing.opt_out(page.person, tuple(fields.get("categories", ())))
        return page.go("me")

    async def _workload(self, page: Page) -> Response:
        return page.show("workload.html", loads=await self._wellbeing.workload())
