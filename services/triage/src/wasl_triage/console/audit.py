# SPDX-License-Identifier: Apache-2.0
"""The audit trail: of a case or a stream, of a person's day; the sealed days, and their check."""

from datetime import date

from fastapi import Response
from wasl_chassis.forms import first

from wasl_triage.audit.reading import Trails
from wasl_triage.audit.sealing import Finding
from wasl_triage.audit.trail import Stream
from wasl_triage.console.site import Page, Site
from wasl_triage.domain.people import Permission


class AuditPages:
    def __init__(self, site: Site, trails: Trails) -> None:
        self._trails = trails
        site.add("audit", get=self._start, needs=Permission.AUDIT)
        site.add("audit/trail", get=self._trail, needs=Permission.AUDIT)
        site.add("audit/person", get=self._person, needs=Permission.AUDIT)
        site.add("audit/seals", post=self._verify, needs=Permission.AUDIT)

    async def _start(self, page: Page) -> Response:
        return await self._show(page)

    async def _show(
        self, page: Page, checked: str = "", found: list[Finding] | None = None
    ) -> Response:
        return page.show(
            "audit/start.html",
            seals=await self._trails.seals(page.person),
            streams=[s.value for s in Stream],
            verifies=self._trails.verifies,
            checked=checked,
            found=found,
            today=page.site.clock.now().astimezone(page.site.zone).date().isoformat(),
        )

    async def _trail(self, page: Page) -> Response:
        stream = page.request.query_params.get("of", "").strip()[:200]
        trail = await self._trails.of(page.person, stream)
        return page.show("audit/trail.html", trail=trail)

    async def _person(self, page: Page) -> Response:
        asked = page.request.query_params
        who, day = asked.get("who", "").strip()[:64], _day(asked.get("day", ""))
        if not who or day is None:
            return page.trouble(422, page.say("Write a name and a day."))
        rows = await self._trails.by(page.person, who, day)
        return page.show("audit/person.html", who=who, on=day.isoformat(), rows=rows)

    async def _verify(self, page: Page) -> Response:
        fields = await page.form(("day",))
        day = _day(first(fields, "day"))
        if day is None or not self._trails.verifies:
            return page.trouble(422, page.say("Choose a day of the list."))
        found = await self._trails.verify(page.person, day)
        return await self._show(page, day.isoformat(), found)


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
