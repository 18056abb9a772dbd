# SPDX-License-Identifier: Apache-2.0
"""One case: what was reported, what the machine and people know, what may be done, what was done.

The forms hand over to the desk and show what it answers; what is missing is shown beside the form
with everything that was typed still there.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastapi import Response
from pydantic import ValidationError
from wasl_chassis.forms import Fields, first
from wasl_schemas.events.common import Ground
from wasl_schemas.lifecycle import IllegalTransition
from wasl_schemas.taxonomy import FourEyes, Safeguard, Signal

from wasl_triage.api import views
from wasl_triage.api.cases import CaseRooms
from wasl_triage.cases.grouping import Done, Kind, Operation
from wasl_triage.cases.timeline import Folder, timeline
from wasl_triage.cases.working import SkipReason
from wasl_triage.console import telling
from wasl_triage.console.site import Page, Site
from wasl_triage.desk import (
    Amendment,
    AssessmentRequest,
    Confirmation,
    MessageRequest,
    NoSuchCase,
    NotLawful,
    Refused,
)
from wasl_triage.domain.appeal import Side, check_answer, check_filing, sent_by
from wasl_triage.domain.assessment import MACHINE_SIGNALS
from wasl_triage.domain.case import Action, Case, DecisionRow
from wasl_triage.domain.decisions import (
    CloseReason,
    Missing,
    Proposal,
    Rabat,
    Screen,
    four_eyes,
)
from wasl_triage.domain.people import Permission, Person
from wasl_triage.rules.memory import RuleHit, would_have

_ID = re.compile(r"[0-9a-f]{32}")
_SCREEN = tuple(Screen.model_fields)
_RABAT = tuple(name for name in Rabat.model_fields if name != "conclusion")
#: What people tick; the rest only a machine can know.
TICKED = tuple(s for s in Signal if s not in MACHINE_SIGNALS)
_SCREENED = (Safeguard.FE2, Safeguard.FE3, Safeguard.FE3_BLOCK)
_SPEECH = ("screen_note", *(f"screen_{name}" for name in _SCREEN))
_DECISION = (
    *("action", "reason", "ground", "scope", "measure", "measure_note", "exception", "advice"),
    *("explanation", "close_reason", *_SPEECH),
    *("rabat_conclusion", *(f"rabat_{name}" for name in _RABAT)),
)
#: A form of a case: what is done with its fields. Its answer; None: back to the case.
Act = Callable[[Page, str, Fields], Awaitable[Response | None]]


class CasePages:
    """``add`` puts a further form on the page; see :mod:`wasl_triage.console.casework`."""

    def __init__(self, site: Site, rooms: CaseRooms) -> None:
        self._site, self._rooms, self._desk = site, rooms, rooms.desk
        site.add("cases/{case_id}", get=self._read, needs=Permission.READ)
        site.add("cases/{case_id}/unmasked", post=self._unmasked, needs=Permission.UNMASK)
        p = Permission
        self.add("claim", p.CLAIM, self._claim, "take_over")
        self.add("release", p.CLAIM, self._release, "done")
        many = ("signals", "dismissed")
        self.add("assessment", p.ASSESS, self._assess, "category", "note", many=many)
        many = ("partners", "authorities")
        self.add("decision", p.DECIDE, self._decide, *_DECISION, many=many)
        known = ("decision_id", "confirm", "reason", "category")
        self.add("confirmation", p.SECOND_LOOK, self._confirm, *known)
        self.add("messages", p.WRITE, self._write, "report_id", "text", "question")
        self.add("reopening", p.REOPEN, self._reopen, "reason")
        asked = ("dispatch_id", "action", "reason", "code", "explanation")
        self.add("amendment", p.AMEND, self._amend, *asked, *_SPEECH)

    # -- reading ---------------------------------------------------------------------------------

    async def _read(self, page: Page) -> Response:
        return await self.show(page, _case_id(page))

    async def _unmasked(self, page: Page) -> Response:
        """The same page with personal data as it was written, this once; audited as such."""
        await page.form(())
        case_id, unmask = _case_id(page), Permission.UNMASK
        case = await self._rooms.visible(page.person, case_id)
        if not page.site.door.fresh(page.signed, unmask, restricted=case.restricted):
            return await page.prove()
        return await self.show(page, case_id, unredacted=True)

    async def show(
        self,
        page: Page,
        case_id: str,
        *,
        unredacted: bool = False,
        status: int = 200,
        form: str = "",
        missing: tuple[Missing, ...] = (),
        typed: Fields | None = None,
        results: tuple[Done, ...] = (),
    ) -> Response:
        """The page. ``form``, ``missing`` and ``typed``: what was sent and not done; ``results``:
        what became of the cases joined to this one.
        """
        pulse = await self._desk.pulse(page.person, case_id)
        sheet = await self._desk.read(page.person, case_id, unredacted=unredacted)
        case, now, desk = sheet.case, page.site.clock.now(), page.pack.desk
        options = views.options(page.pack, case, now)
        folder = await self._rooms.timelines.folder(sheet)
        group = await self._rooms.group(page.person, case_id) if case.followers else []
        hits = await would_have(self._rooms.hub.store, case_id)

        def said(of: str, name: str, otherwise: str = "") -> str:
            """What was typed into a field of a form that was not taken."""
            return first(typed or {}, name) if form == of else otherwise

        def ticked(of: str, name: str, otherwise: tuple[str, ...] = ()) -> tuple[str, ...]:
            return tuple((typed or {}).get(name, ())) if form == of else otherwise

        return page.show(
            "case.html",
            status,
            pulse=pulse,
            sheet=sheet,
            case=case,
            options=options,
            mine=case.held_by(page.person.name, now),
            others=case.claimed_by_other(page.person.name, now),
            grounds=[(_value(g), telling.ground(page, g)) for g in options.grounds],
            eyes=_eyes(page, case),
            screened=options.safeguard in _SCREENED,
            screen=_SCREEN,
            rabat=_RABAT,
            ticked_signals=TICKED,
            questions={c: [q.id for q in desk.questions_for(c)] for c in page.pack.categories},
            close_reasons=[r.value for r in CloseReason],
            skip_reasons=[r.value for r in SkipReason],
            actions=[a.value for a in Action],
            distressing=case.category in desk.exposure.distressing,
            unsafe=any("unsafe_place" in r.report.risk for r in sheet.reports),
            unredacted=unredacted,
            folder=folder,
            entries=timeline(sheet, folder),
            trials=_trials(page, hits),
            group=group,
            lead=await self._lead(page.person, case),
            undoable=_undoable(case, folder),
            appealable=_appealable(case),
            appeals=_appeals(page, case, folder),
            form=form,
            missing=telling.told(page, missing),
            said=said,
            ticked=ticked,
            results=results,
        )

    async def _lead(self, person: Person, case: Case) -> Case | None:
        if case.lead is None:
            return None
        try:
            return await self._rooms.visible(person, case.lead)
        except NoSuchCase:
            return None

    # -- acting ----------------------------------------------------------------------------------

    def add(
        self, name: str, needs: Permission, act: Act, *known: str, many: tuple[str, ...] = ()
    ) -> None:
        """A form of the case: act, and go back to it; or show what is missing, beside the form."""

        async def posted(page: Page) -> Response:
            case_id = _case_id(page)
            asked = [f"answer_{q}" for q in page.pack.questions]
            fields = await page.form((*known, *asked), many)
            status = 422
            try:
                answer = await act(page, case_id, fields)
            except NotLawful as unlawful:
                missing = tuple(unlawful.missing)
            except ValidationError as error:
                missing = tuple(unusable(page, error))
            except Refused as refused:
                missing, status = (Missing("", str(refused), refused.fix),), 409
            except IllegalTransition:
                why = page.say("The case is not in a state for this.")
                missing, status = (Missing("", why, page.say("See what became of it.")),), 409
            else:
                return answer or page.go(f"cases/{case_id}")
            return await self.show(
                page, case_id, status=status, form=name, missing=missing, typed=fields
            )

        self._site.add(f"cases/{{case_id}}/{name}", post=posted, needs=needs)

    async def _claim(self, page: Page, case_id: str, fields: Fields) -> None:
        await self._desk.claim(page.person, case_id, take_over=bool(first(fields, "take_over")))

    async def _release(self, page: Page, case_id: str, fields: Fields) -> None:
        await self._desk.release(page.person, case_id, done=bool(first(fields, "done")))

    async def _assess(self, page: Page, case_id: str, fields: Fields) -> None:
        said = AssessmentRequest.model_validate(
            {
                **_judgement(page, fields),
                "signals": tuple(fields.get("signals", ())),
                "dismissed": tuple(fields.get("dismissed", ())),
                "note": first(fields, "note"),
            }
        )
        await self._desk.assess(page.person, case_id, said)

    async def _decide(self, page: Page, case_id: str, fields: Fields) -> None:
        await self._desk.decide(page.person, case_id, _proposal(fields))

    async def _confirm(self, page: Page, case_id: str, fields: Fields) -> None:
        """A form that asks what it is has a category; it comes before any answer."""
        blind = "category" in fields
        answer = Confirmation.model_validate(
            {
                "decision_id": first(fields, "decision_id"),
                "confirm": {"yes": True, "no": False}.get(first(fields, "confirm")),
                "reason": first(fields, "reason"),
                "assessment": _judgement(page, fields) if blind else None,
            }
        )
        await self._desk.second_look(page.person, case_id, answer)

    async def _write(self, page: Page, case_id: str, fields: Fields) -> None:
        letter = MessageRequest(
            report_id=first(fields, "report_id"),
            text=first(fields, "text"),
            question=bool(first(fields, "question")),
        )
        await self._desk.write(page.person, case_id, letter)

    async def _reopen(self, page: Page, case_id: str, fields: Fields) -> None:
        await self._desk.reopen(page.person, case_id, first(fields, "reason"))

    async def _amend(self, page: Page, case_id: str, fields: Fields) -> None:
        wanted = Amendment.model_validate(
            {
                "action": first(fields, "action"),
                "reason": first(fields, "reason"),
                **({"code": first(fields, "code")} if first(fields, "code") else {}),
                "explanation": first(fields, "explanation") or None,
                "screen": _screen(fields),
                "screen_note": first(fields, "screen_note"),
            }
        )
        await self._desk.amend(page.person, case_id, first(fields, "dispatch_id"), wanted)


def unusable(page: Page, error: ValidationError) -> list[Missing]:
    """What a form held that is no value of its field."""
    said = page.say("cannot be used as it is")
    fix = page.say("Choose one of the values, or shorten the text.")
    places = {".".join(str(p) for p in e["loc"]) for e in error.errors(include_input=False)}
    return [Missing(place, said, fix) for place in sorted(places)]


def _case_id(page: Page) -> str:
    case_id = str(page.request.path_params["case_id"])
    if not _ID.fullmatch(case_id):
        raise NoSuchCase
    return case_id


# -- what forms say ------------------------------------------------------------------------------


def _judgement(page: Page, fields: Fields) -> Mapping[str, Any]:
    """The category, and the answers to its questions; others are of another one."""
    category = first(fields, "category")
    asked = page.pack.desk.questions_for(category)
    answers = {q.id: first(fields, f"answer_{q.id}") for q in asked}
    return {"category": category, "answers": {k: v for k, v in answers.items() if v}}


def _screen(fields: Fields) -> dict[str, bool] | None:
    answered = {name: first(fields, f"screen_{name}") for name in _SCREEN}
    return {k: v == "yes" for k, v in answered.items()} if all(answered.values()) else None


def _proposal(fields: Fields) -> Proposal:
    """What the form asks for. A field that belongs to another action was hidden and is left out."""
    action = first(fields, "action")
    out: dict[str, Any] = {"action": action, "reason": first(fields, "reason")}
    if action in (Action.DISPATCH, Action.REFER):
        for name in ("screen_note", "exception", "explanation"):
            out[name] = first(fields, name)
        if ground := first(fields, "ground"):
            kind, _, ref = ground.partition(":")
            out["ground"] = {"kind": kind, "ref": ref}
        out["screen"] = _screen(fields)
        parts = {name: first(fields, f"rabat_{name}") for name in _RABAT}
        concluded = first(fields, "rabat_conclusion") or None
        if concluded or any(parts.values()):
            out["rabat"] = {**parts, "conclusion": concluded}
    match action:
        case Action.DISPATCH:
            out["partners"] = tuple(fields.get("partners", ()))
            out["scope"] = first(fields, "scope") or None
            out["measure"] = first(fields, "measure") or None
            out["measure_note"] = first(fields, "measure_note")
        case Action.REFER:
            out["authorities"] = tuple(fields.get("authorities", ()))
        case Action.CLOSE:
            out["close_reason"] = first(fields, "close_reason") or None
    out["advice"] = first(fields, "advice") or None
    return Proposal.model_validate(out)


def _value(ground: Ground) -> str:
    return f"{ground.kind.value}:{ground.ref}"


# -- what the page shows -------------------------------------------------------------------------


def _eyes(page: Page, case: Case) -> FourEyes | None:
    """How many people it takes for something of this case to leave the hub."""
    category = page.pack.categories.get(case.category) if case.category else None
    if category is None or not category.dispatchable:
        return None
    return four_eyes(category, Action.DISPATCH, legal_review=case.legal_review)


def _trials(page: Page, hits: list[RuleHit]) -> list[tuple[str, list[str]]]:
    """Rules on trial that would have done something to a report of the case, each with what."""
    out: dict[str, dict[str, None]] = {}
    for hit in hits:
        for name, effect in hit.shadow:
            out.setdefault(telling.rule(page, name), {})[telling.effect(page, effect)] = None
    return [(name, list(effects)) for name, effects in out.items()]


def _undoable(case: Case, folder: Folder) -> list[Operation]:
    """Merges and splits that were made here and still stand."""
    kinds = (Kind.MERGE, Kind.SPLIT)
    ours = (o for o in folder.operations if o.cases[0] == case.id and o.undone_by is None)
    return [o for o in ours if o.kind in kinds]


def _appealable(case: Case) -> list[DecisionRow]:
    """Decisions that somebody may ask to be looked at again."""

    def stands(row: DecisionRow) -> bool:
        return not check_filing(case, row, Side.AFFECTED, report_id=None, partner=None)

    return [d for d in case.decisions if stands(d)]


def _appeals(page: Page, case: Case, folder: Folder) -> list[dict[str, Any]]:
    """Each appeal with its decision, what left with it, and why the reader may not decide."""
    rows = {d.id: d for d in case.decisions}
    out = []
    for appeal in folder.appeals:
        row = rows[appeal.decision_id]
        left = [
            (i, case.dispatches[i].partner if i in case.dispatches else case.referrals[i].authority)
            for i in sent_by(case, row)
        ]
        barred = telling.told(page, check_answer(row, page.person, reason="-"))
        out.append({"appeal": appeal, "row": row, "left": left, "barred": barred})
    return out
