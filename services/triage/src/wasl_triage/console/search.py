# SPDX-License-Identifier: Apache-2.0
"""Search: one field for what was reported or an id, and filters for the rest.

What is searched for travels in a form's body: an address in the page's own address would stay in
the browser's history.
"""

from datetime import UTC, datetime

from fastapi import Response
from wasl_chassis.forms import first

from wasl_triage.cases.searching import FILTERS, Found, Searching
from wasl_triage.console.site import Page, Site
from wasl_triage.domain.people import Permission

_LONGEST = 2_000


class SearchPages:
    def __init__(self, site: Site, searching: Searching) -> None:
        self._searching = searching
        site.add("search", get=self._filtered, post=self._named, needs=Permission.SEARCH)

    async def _filtered(self, page: Page) -> Response:
        asked = {k: page.request.query_params.get(k, "")[:64] for k in FILTERS}
        before = _time(page.request.query_params.get("before", ""))
        found = None
        if any(asked.values()) or "all" in page.request.query_params:
            found = await self._searching.matching(page.person, asked, before)
        return self._show(page, found, asked)

    async def _named(self, page: Page) -> Response:
        fields = await page.form({"words"})
        words = first(fields, "words")[:_LONGEST]
        if not words.strip():
            return self._show(page, None, {})
        return self._show(page, await self._searching.named(page.person, words), {}, words)

    @staticmethod
    def _show(page: Page, found: Found | None, asked: dict[str, str], words: str = "") -> Response:
        more = dict(asked)
        if found is not None and found.more is not None:
            more["before"] = found.more.astimezone(UTC).isoformat()
        return page.show("search.html", found=found, asked=asked, words=words, more=more)


def _time(text: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(text)
        return at.astimezone(UTC) if at.tzinfo else None
    except (ValueError, OverflowError):  # the second: an offset at the ends of time
        return None
