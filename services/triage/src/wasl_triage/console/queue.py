# SPDX-License-Identifier: Apache-2.0
"""What waits: queues as tabs, one line a case, nothing on it that could harm whoever reads it."""

from fastapi import Response
from wasl_chassis.failures import Conflict

from wasl_triage.console.site import Page, Site
from wasl_triage.desk import Desk, Refused
from wasl_triage.domain.people import Permission

#: Lines of one page. Whoever works takes the first one; the rest is to see what comes.
SHOWN = 50
#: Cases tried in turn where several people take the next one at once.
_TRIED = 20
#: Where somebody begins, by the first of these they are allowed.
_HOMES = (
    (Permission.QUEUE, "queue"),
    (Permission.HELPLINE, "helpline"),
    (Permission.REVIEW, "review"),
    (Permission.AUDIT, "audit"),
    (Permission.RULES, "rules"),
    (Permission.PEOPLE, "people"),
    (Permission.FIGURES, "figures"),
)


class QueuePages:
    def __init__(self, site: Site, desk: Desk) -> None:
        self._desk = desk
        site.add("", get=self._home)
        site.add("queue", get=self._queue, needs=Permission.QUEUE)
        site.add("queue/{queue}", get=self._queue, needs=Permission.QUEUE)
        site.add("next", post=self._next, needs=Permission.CLAIM)

    async def _home(self, page: Page) -> Response:
        for permission, path in _HOMES:
            if page.person.may(permission):
                return page.go(path)
        return page.go("me")

    async def _queue(self, page: Page) -> Response:
        chosen = page.request.path_params.get("queue")
        if chosen is not None and chosen not in page.pack.queues:
            return page.trouble(404, page.say("There is no such queue."))
        await self._desk.saw(page.person, "queue", chosen or "all")
        pulse = await self._desk.pulse(page.person)
        waiting = await self._desk.waiting(page.person)
        cases = await self._desk.queue(page.person, SHOWN, chosen)
        return page.show("queue.html", cases=cases, waiting=waiting, chosen=chosen, pulse=pulse)

    async def _next(self, page: Page) -> Response:
        """Claim the first case that waits, so that nobody picks."""
        fields = await page.form({"queue"})
        queue = fields.get("queue", [""])[0] or None
        for case in await self._desk.queue(page.person, _TRIED, queue):
            try:
                claimed = await self._desk.claim(page.person, case.id)
            except (Conflict, Refused):
                continue  # somebody was faster; the next one waits as well
            return page.go(f"cases/{claimed.id}")
        return page.go(f"queue/{queue}" if queue else "queue")
