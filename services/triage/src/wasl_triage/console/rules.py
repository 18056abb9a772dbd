# SPDX-License-Identifier: Apache-2.0
"""The rules as they are served: what each asks and does, how often it fired, and who changed them.

Rules are changed in the country pack, never here.
"""

from fastapi import Response

from wasl_triage.casework import Hub
from wasl_triage.console.site import Page, Site
from wasl_triage.domain.disclosure import Cell, cell
from wasl_triage.domain.people import Permission
from wasl_triage.rules import reading
from wasl_triage.rules.book import RuleBook


class RulesPages:
    def __init__(self, site: Site, hub: Hub, book: RuleBook) -> None:
        self._hub, self._book = hub, book
        site.add("rules", get=self._read, needs=Permission.RULES)
        site.add("rules/history", get=self._history, needs=Permission.RULES)

    async def _read(self, page: Page) -> Response:
        status, rules = self._book.status(), self._book.rules.rules
        hits = await reading.hits(self._hub)
        # Of a rule for child safety, a few hits would tell of a case that not everybody sees.
        fit = Cell if page.person.cleared else cell
        counts = {
            r.id: [fit(n.get(r.id, 0)) for n in (hits.fired, hits.withheld, hits.failed)]
            for r in rules
        }
        return page.show(
            "rules/served.html",
            served=status,
            rules=rules,
            hits=hits,
            counts=counts,
            reports=fit(hits.reports),
            since=await reading.served(self._hub.store, page.pack, status.version),
            days=reading.SPAN.days,
        )

    async def _history(self, page: Page) -> Response:
        sets = await reading.history(self._hub.store, page.pack)
        return page.show("rules/history.html", sets=sets)
