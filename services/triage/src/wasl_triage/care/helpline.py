# SPDX-License-Identifier: Apache-2.0
"""The helpline's use cases: open, screen, accompany, hand over, link, plan, close.

Counsellors see helpline cases and nobody else does. Every read and change is an audit row in the
same commit. A hand-over takes consent, or a reason and a second person within a day. What was no
need is counted by day and never a case.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from pydantic import Field
from wasl_chassis.store import Collection, Doc, Index
from wasl_chassis.work import UnitOfWork
from wasl_schemas.base import Model
from wasl_schemas.country_pack import CountryPack
from wasl_schemas.ids import uuid7

from wasl_triage.audit.trail import audit
from wasl_triage.casework import Hub, opened
from wasl_triage.desk import NotLawful, Refused, need
from wasl_triage.domain.decisions import Missing
from wasl_triage.domain.helpline import (
    About,
    ActionTaken,
    AgeBand,
    ContactChannel,
    Gender,
    HandOver,
    HelplineCase,
    Need,
    NonData,
    Note,
    Screening,
    Survey,
    Words,
    screened,
    urgency,
    waits,
)
from wasl_triage.domain.people import Permission, Person
from wasl_triage.domain.retention import first_look

#: AAD field name of the free text.
TEXT = "helpline.text"
SHOWN = 200


@dataclass(frozen=True, slots=True)
class ContactCount:
    """Contacts of one kind on one day."""

    day: str
    kind: str
    count: int

    @property
    def id(self) -> str:
        return f"{self.day}|{self.kind}"


def _encode(case: HelplineCase) -> Doc:
    doc = case.model_dump()
    del doc["id"]
    return doc


HELPLINE: Collection[HelplineCase] = Collection(
    "helpline",
    lambda c: c.id,
    _encode,
    lambda d: HelplineCase.model_validate({**d, "id": d["_id"]}, extra="ignore"),
    indexes=(
        Index((("state", 1), ("opened_at", -1))),
        Index((("state", 1), ("erase_at", 1))),
        Index((("linked", 1),)),
        Index((("opened_at", 1),)),
        Index((("needs", 1), ("opened_at", 1))),
    ),
)
CONTACTS: Collection[ContactCount] = Collection(
    "helpline_contacts",
    lambda c: c.id,
    lambda c: {"day": c.day, "kind": c.kind, "count": c.count},
    lambda d: ContactCount(d["day"], d["kind"], d["count"]),
)


class NoSuchHelplineCase(Exception):  # noqa: N818
    """No helpline case has this id."""


class Opening(Model):
    """A first contact. ``summary``: in the counsellor's words; no names where none are needed."""

    channel: ContactChannel
    about: About
    age: AgeBand = "unknown"
    gender: Gender = "unknown"
    language: str
    needs: tuple[Need, ...] = ()
    summary: Words = ""
    safe_contact: Words = ""
    risk: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Opened:
    """One helpline case with its texts. A text is None where its key was destroyed."""

    case: HelplineCase
    summary: str | None
    safe_contact: str | None
    plan: str | None
    notes: tuple[tuple[Note, str | None], ...]
    exceptions: dict[str, str | None]


class Helpline:
    def __init__(self, hub: Hub, pack: CountryPack) -> None:
        self._hub, self._pack = hub, pack

    async def count(self, person: Person, kind: NonData) -> None:
        """A contact that was nobody's need. Raises Forbidden."""
        need(person, Permission.HELPLINE)

        async def work(uow: UnitOfWork) -> None:
            row = ContactCount(uow.now().date().isoformat(), kind, 0)
            held = await uow.get(CONTACTS, row.id) or row
            uow.put(CONTACTS, ContactCount(row.day, kind, held.count + 1))

        await self._hub.transact(work)

    async def open(self, person: Person, said: Opening) -> HelplineCase:
        need(person, Permission.HELPLINE)

        async def work(uow: UnitOfWork) -> HelplineCase:
            now, case_id = uow.now(), uuid7()
            uow.keys.create(case_id)
            case = HelplineCase(
                id=case_id,
                opened_at=now,
                opened_by=person.name,
                channel=said.channel,
                about=said.about,
                age=said.age,
                gender=said.gender,
                language=said.language,
                needs=list(said.needs),
                summary=await _seal(uow, case_id, said.summary),
                safe_contact=await _seal(uow, case_id, said.safe_contact),
                owner=person.name,
            )
            if any(said.risk.values()):
                asked = Screening(at=now, by=person.name, answers=screened(said.risk))
                case = case.model_copy(update={"screenings": [asked]})
            return self._kept(uow, case, person, "open_helpline")

        return await self._hub.transact(work)

    async def waiting(self, person: Person) -> list[HelplineCase]:
        """Open cases, the most urgent first, then by what is due."""
        need(person, Permission.HELPLINE)
        docs = await self._hub.store.find(
            HELPLINE, {"state": "open"}, sort=(("opened_at", -1),), limit=SHOWN
        )
        cases = [HELPLINE.decode(d) for d in docs]
        order = {"critical": 0, "high": 1, "normal": 2}
        now = self._hub.clock.now()
        far = datetime.max.replace(tzinfo=now.tzinfo)
        return sorted(cases, key=lambda c: (order[urgency(c.screenings)], waits(c, now) or far))

    async def read(self, person: Person, case_id: str) -> Opened:
        """The case with its texts. Audited. Raises Forbidden, NoSuchHelplineCase."""
        need(person, Permission.HELPLINE)

        async def work(uow: UnitOfWork) -> Opened:
            case = self._kept(uow, await self._case(uow, case_id), person, "read")
            return Opened(
                case=case,
                summary=await _open(uow, case.id, case.summary),
                safe_contact=await _open(uow, case.id, case.safe_contact),
                plan=await _open(uow, case.id, case.plan),
                notes=tuple([(n, await _open(uow, case.id, n.text)) for n in case.notes]),
                exceptions={h.id: await _open(uow, case.id, h.exception) for h in case.hand_overs},
            )

        return await self._hub.transact(work)

    async def screen(self, person: Person, case_id: str, answers: dict[str, str]) -> HelplineCase:
        """Ask the risk screen again; earlier answers stay."""

        async def change(uow: UnitOfWork, case: HelplineCase) -> HelplineCase:
            asked = Screening(at=uow.now(), by=person.name, answers=screened(answers))
            return case.model_copy(update={"screenings": [*case.screenings, asked]})

        return await self._change(person, case_id, "screen", change)

    async def note(self, person: Person, case_id: str, text: str) -> HelplineCase:
        async def change(uow: UnitOfWork, case: HelplineCase) -> HelplineCase:
            sealed = await _seal(uow, case.id, _given(text, "text"))
            row = Note(at=uow.now(), by=person.name, text=sealed or "")
            return case.model_copy(update={"notes": [*case.notes, row]})

        return await self._change(person, case_id, "note", change)

    async def act(
        self, person: Person, case_id: str, actions: tuple[ActionTaken, ...]
    ) -> HelplineCase:
        """What was done for the person, added to what was done before."""

        async def change(_: UnitOfWork, case: HelplineCase) -> HelplineCase:
            done = list(dict.fromkeys([*case.actions, *actions]))
            return case.model_copy(update={"actions": done})

        return await self._change(person, case_id, "act", change)

    async def plan(
        self, person: Person, case_id: str, text: str, next_at: datetime | None, owner: str
    ) -> HelplineCase:
        async def change(uow: UnitOfWork, case: HelplineCase) -> HelplineCase:
            sealed = await _seal(uow, case.id, text)
            what = {"plan": sealed, "next_at": next_at, "owner": owner or None}
            return case.model_copy(update=what)

        return await self._change(person, case_id, "plan", change)

    async def hand_over(
        self, person: Person, case_id: str, body: str, *, consent: bool, exception: str
    ) -> HelplineCase:
        """Accompany somebody to an authority or a contact of the pack. Raises NotLawful."""

        async def change(uow: UnitOfWork, case: HelplineCase) -> HelplineCase:
            missing = []
            if body not in self._pack.authorities and body not in self._pack.contacts:
                fix = "Choose an authority or a contact of the country pack."
                missing.append(Missing("body", "is not known", fix))
            if not consent and not exception.strip():
                fix = "Ask the person, or say why it cannot wait."
                missing.append(Missing("exception", "there is no consent", fix))
            if missing:
                raise NotLawful(missing)
            why = None if consent else await _seal(uow, case.id, exception)
            row = HandOver(
                id=uuid7(),
                at=uow.now(),
                by=person.name,
                body=body,
                consent=consent,
                exception=why,
            )
            return case.model_copy(update={"hand_overs": [*case.hand_overs, row]})

        return await self._change(person, case_id, "hand_over", change)

    async def second(self, person: Person, case_id: str, hand_over: str) -> HelplineCase:
        """Another person has looked at a hand-over without consent. Raises NotLawful, Refused."""

        async def change(uow: UnitOfWork, case: HelplineCase) -> HelplineCase:
            row = next((h for h in case.hand_overs if h.id == hand_over), None)
            if row is None or row.second_due() is None:
                raise Refused("No such hand-over waits for a second person", "Open the case again.")
            if row.by == person.name:
                fix = "Let another person look at it."
                raise NotLawful([Missing("second", "is the person who handed over", fix)])
            looked = row.model_copy(update={"second": person.name, "second_at": uow.now()})
            rows = [looked if h.id == row.id else h for h in case.hand_overs]
            return case.model_copy(update={"hand_overs": rows})

        return await self._change(person, case_id, "second", change)

    async def link(self, person: Person, case_id: str, other: str) -> HelplineCase:
        """Name a content case or a report that belongs to it. What it holds stays where it is."""

        async def change(_: UnitOfWork, case: HelplineCase) -> HelplineCase:
            linked = list(dict.fromkeys([*case.linked, _given(other, "linked")]))
            return case.model_copy(update={"linked": linked})

        return await self._change(person, case_id, "link", change)

    async def close(self, person: Person, case_id: str, survey: Survey) -> HelplineCase:
        """Raises Refused while a hand-over waits for its second person."""

        async def change(uow: UnitOfWork, case: HelplineCase) -> HelplineCase:
            if any(h.second_due() for h in case.hand_overs):
                raise Refused(
                    "A hand-over without consent waits for a second person",
                    "Let another counsellor look at it; then close the case.",
                )
            now = uow.now()
            what = {"state": "closed", "closed_at": now, "survey": survey, "next_at": None}
            look = first_look(self._pack, now, held=False, helpline=True)
            return case.model_copy(update={**what, "erase_at": look})

        return await self._change(person, case_id, "close", change)

    async def reopen(self, person: Person, case_id: str) -> HelplineCase:
        async def change(_: UnitOfWork, case: HelplineCase) -> HelplineCase:
            again = {"state": "open", "closed_at": None, "erase_at": None}
            return case.model_copy(update=again)

        return await self._change(person, case_id, "reopen", change)

    # -- inside ----------------------------------------------------------------------------------

    async def _change(
        self,
        person: Person,
        case_id: str,
        what: str,
        change: Callable[[UnitOfWork, HelplineCase], Awaitable[HelplineCase]],
    ) -> HelplineCase:
        need(person, Permission.HELPLINE)

        async def work(uow: UnitOfWork) -> HelplineCase:
            case = await self._case(uow, case_id)
            if case.state == "closed" and what not in ("reopen", "link", "note"):
                raise Refused("The helpline case is closed", "Open it again first.")
            return self._kept(uow, await change(uow, case), person, what)

        return await self._hub.transact(work)

    @staticmethod
    def _kept(uow: UnitOfWork, case: HelplineCase, person: Person, what: str) -> HelplineCase:
        case = audited(uow, case, person.name, what)
        uow.put(HELPLINE, case)
        return case

    @staticmethod
    async def _case(uow: UnitOfWork, case_id: str) -> HelplineCase:
        case = await uow.get(HELPLINE, case_id)
        if case is None:
            raise NoSuchHelplineCase
        return case


@dataclass(slots=True)
class _Chain:
    """The end of the case's audit trail; the case itself does not change in place."""

    id: str
    audit_seq: int
    audit_hash: str
    audit_at: datetime | None


def audited(uow: UnitOfWork, case: HelplineCase, who: str, what: str) -> HelplineCase:
    """Append one row to the case's trail; the caller puts the case, which ends the chain."""
    chain = _Chain(case.id, case.audit_seq, case.audit_hash, case.audit_at)
    audit(uow, chain, who, what)
    tail = {"audit_seq": chain.audit_seq, "audit_hash": chain.audit_hash}
    return case.model_copy(update={**tail, "audit_at": chain.audit_at})


def _given(text: str, field: str) -> str:
    if not text.strip():
        raise NotLawful([Missing(field, "is missing", "Write it.")])
    return text.strip()


async def _seal(uow: UnitOfWork, case_id: str, text: str) -> str | None:
    return await uow.keys.seal(case_id, TEXT, text.strip()) if text.strip() else None


async def _open(uow: UnitOfWork, case_id: str, sealed: str | None) -> str | None:
    """Empty where nothing was written."""
    if sealed is None:
        return ""
    await uow.keys.load([case_id])
    return await opened(uow, sealed, TEXT)
