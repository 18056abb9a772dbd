# SPDX-License-Identifier: Apache-2.0
"""One act on many cases: chosen, shown with its counts and what is left out, then signed.

What is signed is what was shown: the form carries the preview's token, and nothing is done once the
cases are no longer the same.
"""

from typing import Any

from fastapi import Response
from pydantic import ValidationError
from wasl_chassis.forms import Fields, first
from wasl_schemas.lifecycle import CaseState

from wasl_triage.cases.bulk import Bulk, BulkAction, BulkApply, BulkRequest
from wasl_triage.cases.working import SkipReason
from wasl_triage.console import telling
from wasl_triage.console.cases import unusable
from wasl_triage.console.site import Page, Site
from wasl_triage.desk import NotLawful, Refused
from wasl_triage.domain.decisions import CloseReason, Missing
from wasl_triage.domain.people import Permission

#: What cases may have in common; the names are the search page's.
_COMMON = ("category", "platform", "severity", "campaign", "bank")
_ACT = ("action", "owner", "to", "close_reason", "skip")
_FIELDS = ("ids", "queue", *_COMMON, *_ACT)
_STATES = tuple(s.value for s in CaseState if s is not CaseState.UNKNOWN)


class BulkPages:
    def __init__(self, site: Site, bulk: Bulk) -> None:
        self._bulk = bulk
        needs = Permission.BULK
        site.add("bulk", get=self._choose, post=self._preview, needs=needs)
        site.add("bulk/done", post=self._apply, needs=needs)

    async def _choose(self, page: Page) -> Response:
        """From a search: its filters, or the cases ticked in it."""
        asked = page.request.query_params
        typed: dict[str, list[str]] = {n: [asked[n]] for n in _FIELDS if asked.get(n)}
        if ids := asked.getlist("ids"):
            typed["ids"] = ["\n".join(ids)]
        if states := asked.getlist("state"):
            typed["states"] = [s for s in states if s]
        return self._form(page, typed)

    def _form(
        self, page: Page, typed: Fields, missing: tuple[Missing, ...] = (), status: int = 200
    ) -> Response:
        ends = page.person.may(Permission.DECIDE)
        return page.show(
            "bulk.html",
            status,
            typed=typed,
            missing=telling.told(page, missing),
            actions=[a.value for a in BulkAction if ends or a is not BulkAction.CLOSE],
            states=_STATES,
            close_reasons=[r.value for r in CloseReason],
            skip_reasons=[r.value for r in SkipReason],
        )

    async def _preview(self, page: Page) -> Response:
        fields = await page.form(_FIELDS, ("states",))
        try:
            shown = await self._bulk.preview(page.person, _request(fields))
        except NotLawful as unlawful:
            return self._form(page, fields, tuple(unlawful.missing), 422)
        except ValidationError as error:
            return self._form(page, fields, tuple(unusable(page, error)), 422)
        except Refused as refused:
            return self._form(page, fields, (Missing("", str(refused), refused.fix),), 409)
        return self._shown(page, fields, shown)

    @staticmethod
    def _shown(
        page: Page, fields: Fields, shown: Any, missing: tuple[Missing, ...] = (), status: int = 200
    ) -> Response:
        kept = [(name, value) for name in (*_FIELDS, "states") for value in fields.get(name, ())]
        return page.show(
            "bulk_preview.html",
            status,
            shown=shown,
            action=first(fields, "action"),
            fields=kept,
            reason=first(fields, "reason"),
            missing=telling.told(page, missing),
        )

    async def _apply(self, page: Page) -> Response:
        fields = await page.form((*_FIELDS, "token", "reason"), ("states",))
        try:
            wanted = _request(fields)
            signed = BulkApply(
                request=wanted, token=first(fields, "token"), reason=first(fields, "reason")
            )
            results = await self._bulk.apply(page.person, signed)
        except NotLawful as unlawful:
            shown = await self._bulk.preview(page.person, wanted)
            return self._shown(page, fields, shown, tuple(unlawful.missing), 422)
        except Refused as refused:
            shown = await self._bulk.preview(page.person, wanted)
            why = (Missing("", str(refused), refused.fix),)
            return self._shown(page, fields, shown, why, 409)
        except ValidationError as error:
            return self._form(page, fields, tuple(unusable(page, error)), 422)
        return page.show("bulk_done.html", results=results)


def _request(fields: Fields) -> BulkRequest:
    """``queue`` is where the cases lie, ``to`` where they go. What belongs to another action is
    left out.
    """
    action = first(fields, "action")
    selection: dict[str, Any] = {n: first(fields, n) or None for n in ("queue", *_COMMON)}
    selection["ids"] = tuple(first(fields, "ids").split())
    selection["states"] = tuple(fields.get("states", ()))
    wanted: dict[str, Any] = {"selection": selection, "action": action}
    match action:
        case BulkAction.ASSIGN:
            wanted["owner"] = first(fields, "owner") or None
        case BulkAction.MOVE:
            wanted["queue"] = first(fields, "to") or None
        case BulkAction.CLOSE:
            wanted["close_reason"] = first(fields, "close_reason") or None
        case BulkAction.SKIP if first(fields, "skip"):
            wanted["skip"] = first(fields, "skip")
    return BulkRequest.model_validate(wanted)
