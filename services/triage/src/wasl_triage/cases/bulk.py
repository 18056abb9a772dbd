# SPDX-License-Identifier: Apache-2.0
"""One act on many cases: selected, shown with its counts, then done to exactly what was shown.

There is no bulk way to assess, dispatch, refer or confirm: :class:`BulkAction` names everything
there is. Each case goes through the use case a person would use for it alone, in a commit of its
own; what changed since the preview is refused.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import Field
from wasl_schemas.base import Model, Slug
from wasl_schemas.country_pack import CountryPack
from wasl_schemas.events.common import Severity
from wasl_schemas.ids import CaseId
from wasl_schemas.lifecycle import CASE, CaseState, IllegalTransition

from wasl_triage.audit.trail import Stream, journal
from wasl_triage.cases.grouping import Done, reasoned
from wasl_triage.cases.working import Move, Note, Owner, Skip, SkipReason, Working
from wasl_triage.casework import Hub
from wasl_triage.desk import Desk, NoSuchCase, NotLawful, Refused, need, visible
from wasl_triage.domain.case import Action, Case
from wasl_triage.domain.decisions import CloseReason, Missing, Proposal, Words, one_of
from wasl_triage.domain.people import Permission, Person
from wasl_triage.repository import CASES

#: Cases read to find those of a bank, which no index knows.
_READ = 5000
_OPEN = tuple(s for s in CaseState if s not in CASE.settled and s is not CaseState.UNKNOWN)


class BulkAction(StrEnum):
    CLOSE = "close"
    ASSIGN = "assign"
    MOVE = "move"
    NOTE = "note"
    SKIP = "skip"
    #: Take a claim from whoever holds it.
    RELEASE = "release"


#: Acts that keep their reason themselves; for the others it is a note.
_SAYS_WHY = (BulkAction.CLOSE, BulkAction.MOVE)


class Selection(Model):
    """Cases that fit everything that is given; without ``states``, those that are not settled."""

    ids: tuple[CaseId, ...] = Field(default=(), max_length=1000)
    queue: Slug | None = None
    category: Slug | None = None
    platform: Slug | None = None
    severity: Severity | None = None
    campaign: str | None = Field(default=None, max_length=64)
    bank: str | None = Field(default=None, max_length=80)
    states: tuple[CaseState, ...] = ()


class BulkRequest(Model):
    """What is to be done to the selection. ``owner``, ``queue``, ``close_reason`` and ``skip``
    belong to one action each.
    """

    selection: Selection
    action: BulkAction
    owner: Slug | None = None
    queue: Slug | None = None
    close_reason: CloseReason | None = None
    skip: SkipReason = SkipReason.OPTED_OUT


class BulkApply(Model):
    """``token``: the preview's."""

    request: BulkRequest
    token: str = Field(max_length=64)
    reason: Words = ""


@dataclass(frozen=True, slots=True)
class Preview:
    """What would be done. ``excluded``: why a case is left out, by id, in a constant sentence."""

    ids: tuple[str, ...]
    token: str
    states: dict[str, int]
    severities: dict[str, int]
    categories: dict[str, int]
    excluded: dict[str, str]


class Bulk:
    def __init__(self, hub: Hub, pack: CountryPack, desk: Desk, working: Working) -> None:
        self._hub = hub
        self._pack = pack
        self._desk = desk
        self._working = working

    async def preview(self, person: Person, wanted: BulkRequest) -> Preview:
        """What the act would touch, counted; cases the person does not see do not exist. Raises
        Forbidden, NotLawful, Refused where there are more than the country pack allows.
        """
        self._may(person, wanted)
        cases = await self._select(person, wanted.selection)
        excluded = {c.id: why for c in cases if (why := self._excluded(c, person, wanted))}
        kept = sorted((c for c in cases if c.id not in excluded), key=lambda c: c.id)
        return Preview(
            ids=tuple(c.id for c in kept),
            token=_token(wanted, kept),
            states=_count([c.state.value for c in kept]),
            severities=_count([c.severity.value for c in kept]),
            categories=_count([c.category or "" for c in kept]),
            excluded=excluded,
        )

    async def apply(self, person: Person, wanted: BulkApply) -> list[Done]:
        """Do it to exactly the cases the token was made of, and say of each what became of it.
        Raises as :meth:`preview`, and Refused where the set has changed.
        """
        request = wanted.request
        self._may(person, request)
        reasoned(wanted.reason)
        shown = await self.preview(person, request)
        if shown.token != wanted.token:
            raise Refused("The cases have changed since they were shown", "Look at them again.")
        mark = f"{request.action}:{len(shown.ids)}:{shown.token[:16]}"

        async def begun(uow: Any) -> None:
            await journal(uow, Stream.BULK.value, person.name, "bulk", mark)

        await self._hub.transact(begun)
        return [await self._one(person, case_id, request, wanted.reason) for case_id in shown.ids]

    # -- selecting -------------------------------------------------------------------------------

    def _may(self, person: Person, wanted: BulkRequest) -> None:
        need(person, Permission.BULK)
        missing = []
        match wanted.action:
            case BulkAction.CLOSE:
                need(person, Permission.DECIDE)
                if wanted.close_reason is None:
                    fix, known = "Use one of: {reasons}.", one_of(CloseReason)
                    missing.append(Missing("close_reason", "is missing", fix, known))
            case BulkAction.MOVE:
                if wanted.queue not in self._pack.queues:
                    fix = "Use one of: {queues}."
                    known = {"queues": ", ".join(self._pack.queues)}
                    missing.append(Missing("queue", "is no queue of the country pack", fix, known))
        if wanted.selection == Selection(states=wanted.selection.states):
            missing.append(
                Missing("selection", "fits every case", "Name what the cases have in common.")
            )
        if missing:
            raise NotLawful(missing)

    async def _select(self, person: Person, wanted: Selection) -> list[Case]:
        where: dict[str, Any] = {"state": {"$in": [s.value for s in wanted.states or _OPEN]}}
        for name in ("category", "platform", "campaign"):
            if (value := getattr(wanted, name)) is not None:
                where[name] = value
        if wanted.severity is not None:
            where["severity"] = wanted.severity.value
        if wanted.bank is not None:
            where["banks"] = {"$ne": []}
        where |= visible(person)
        if wanted.queue is not None:
            if not person.sees(wanted.queue, restricted=False):
                return []
            where["queue"] = wanted.queue
        limit = self._pack.desk.bulk_limit
        if wanted.ids:
            found = await self._hub.store.find(CASES, {"_id": {"$in": list(wanted.ids)}, **where})
        else:
            bound = _READ if wanted.bank is not None else limit + 1
            found = await self._hub.store.find(CASES, where, limit=bound)
        cases = [CASES.decode(d) for d in found]
        if wanted.bank is not None:
            cases = [c for c in cases if wanted.bank in c.banks]
        if len(cases) > limit or len(found) == _READ:
            raise Refused(
                "More cases fit than one bulk action may touch",
                "Narrow the selection.",
            )
        return cases

    def _excluded(self, case: Case, person: Person, wanted: BulkRequest) -> str | None:
        now = self._hub.clock.now()
        if wanted.action is BulkAction.RELEASE:
            live = case.claimed_until is not None and case.claimed_until > now
            return None if case.claimed_by and live else "Nobody holds it"
        if case.claimed_by_other(person.name, now):
            return "Somebody else works on it"
        if wanted.action is BulkAction.CLOSE:
            if case.state in CASE.settled:
                return "It is settled"
            if case.severity is Severity.CRITICAL:
                return "It is critical: a person closes it by itself"
            if case.followers:
                return "It leads others"
        return None

    # -- doing -----------------------------------------------------------------------------------

    async def _one(self, person: Person, case_id: str, wanted: BulkRequest, reason: str) -> Done:
        try:
            await self._act(person, case_id, wanted, reason)
        except NotLawful as law:
            return Done(case_id, done=False, missing=tuple(law.missing))
        except Refused as why:
            return Done(case_id, done=False, why=str(why))
        except IllegalTransition:
            return Done(case_id, done=False, why="The case is not in a state for this")
        except NoSuchCase:
            return Done(case_id, done=False, why="There is no such case any more")
        return Done(case_id, done=True)

    async def _act(self, person: Person, case_id: str, wanted: BulkRequest, reason: str) -> None:
        desk, working = self._desk, self._working
        match wanted.action:
            case BulkAction.CLOSE:
                await desk.claim(person, case_id)
                end = Proposal(action=Action.CLOSE, reason=reason, close_reason=wanted.close_reason)
                try:
                    await desk.decide(person, case_id, end)
                finally:
                    await desk.release(person, case_id, done=False)
            case BulkAction.ASSIGN:
                await working.assign(person, case_id, Owner(owner=wanted.owner))
            case BulkAction.MOVE:
                await working.move(person, case_id, Move(queue=wanted.queue or "", reason=reason))
            case BulkAction.SKIP:
                await working.skip(person, case_id, Skip(reason=wanted.skip))
            case BulkAction.RELEASE:
                await desk.claim(person, case_id, take_over=True)
                await desk.release(person, case_id, done=False)
        if wanted.action not in _SAYS_WHY:
            await working.note(person, case_id, Note(text=reason))


def _token(wanted: BulkRequest, cases: Sequence[Case]) -> str:
    """The same cases at the same versions for the same act, and nothing else, give the same."""
    told = [wanted.model_dump(mode="json"), [[c.id, c.version] for c in cases]]
    return hashlib.sha256(json.dumps(told, separators=(",", ":")).encode()).hexdigest()


def _count(words: Sequence[str]) -> dict[str, int]:
    return dict(sorted(Counter(words).items()))
