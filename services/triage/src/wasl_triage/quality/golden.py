# SPDX-License-Identifier: Apache-2.0
"""Golden items: settled cases whose right category is known, shown again to measure the desk.

Analysts judge them from the reporters' words with identifiers blacked out, without the case's id,
its date or what became of it; whoever had a part in the case is not shown it. What is viewed once
is never golden. A person sees their own answers; what everybody may know is in ``figures.py``.
"""

from dataclasses import dataclass, replace

from pydantic import Field
from wasl_chassis.work import UnitOfWork
from wasl_schemas.base import Model, Slug
from wasl_schemas.country_pack import CountryPack
from wasl_schemas.ids import uuid7
from wasl_schemas.lifecycle import CASE

from wasl_triage.audit.trail import audit, looked
from wasl_triage.casework import NOTE, Hub
from wasl_triage.desk import Desk, NoSuchCase, NotLawful, Refused, need
from wasl_triage.domain.agreement import Kappa, by_label, kappa
from wasl_triage.domain.assessment import check_category
from wasl_triage.domain.case import Case
from wasl_triage.domain.decisions import Words
from wasl_triage.domain.people import Permission, Person
from wasl_triage.quality.kept import GOLDEN, GOLDEN_ANSWERS, Golden, GoldenAnswer
from wasl_triage.repository import CASES

_LISTED = 200


class GoldenRequest(Model):
    """``note``: why this category and no other, for whoever asks later."""

    expected: Slug
    note: Words = Field(min_length=1)


class GoldenReply(Model):
    category: Slug


@dataclass(frozen=True, slots=True)
class Exercise:
    """What an analyst sees of a golden item."""

    id: str
    platform: str
    kind: str
    #: Redacted; erased reports are left out.
    narratives: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """One's own answer beside what was expected, shown once it is given."""

    golden_id: str
    category: str
    expected: str


@dataclass(frozen=True, slots=True)
class GoldenFigures:
    """Answers against what was expected."""

    overall: Kappa
    categories: dict[str, Kappa]


class GoldenItems:
    def __init__(self, hub: Hub, pack: CountryPack, desk: Desk) -> None:
        self._hub = hub
        self._pack = pack
        self._desk = desk

    async def mark(self, person: Person, case_id: str, wanted: GoldenRequest) -> Golden:
        """Keep a settled case as golden. Raises NoSuchCase, Refused, NotLawful."""
        made: list[Golden] = []

        async def work(uow: UnitOfWork, case: Case) -> None:
            if missing := check_category(self._pack, wanted.expected):
                raise NotLawful([replace(m, field="expected") for m in missing])
            if case.state not in CASE.settled:
                raise Refused("The case is not settled", "Mark it once it is.")
            spoken_of = {
                wanted.expected,
                *case.reported,
                *([case.category] if case.category else ()),
            }
            if spoken_of & set(self._pack.desk.no_second_viewing):
                raise Refused("Nobody views this a second time", "Take another case.")
            where = {"case_id": case.id}
            if any(d["active"] for d in await self._hub.store.find(GOLDEN, where)):
                raise Refused("The case is golden already", "Retire it first.")
            note = await uow.keys.seal(case.id, NOTE, wanted.note)
            golden = Golden(
                id=uuid7(),
                case_id=case.id,
                expected=wanted.expected,
                note=note,
                by=person.name,
                at=uow.now(),
            )
            uow.put(GOLDEN, golden)
            audit(uow, case, person.name, "mark_golden", wanted.expected)
            made[:] = [golden]

        await self._desk.change(person, Permission.GOLDEN, case_id, work, claimed=False)
        return made[0]

    async def retire(self, person: Person, golden_id: str) -> None:
        """Show it to nobody any more; answers stay. Raises NoSuchCase."""
        need(person, Permission.GOLDEN)

        async def work(uow: UnitOfWork) -> None:
            golden = await uow.get(GOLDEN, golden_id)
            if golden is None:
                raise NoSuchCase
            case = await self._desk.case(uow, golden.case_id, person)
            uow.put(GOLDEN, golden.model_copy(update={"active": False}))
            audit(uow, case, person.name, "retire_golden", golden.id)
            uow.put(CASES, case)

        await self._hub.transact(work)

    async def exercises(self, person: Person) -> list[str]:
        """Ids of the items the person may answer and has not, in an order that tells nothing."""
        need(person, Permission.ASSESS)
        store = self._hub.store
        docs = await store.find(GOLDEN, {"active": True}, sort=(("at", 1),), limit=_LISTED)
        items = [GOLDEN.decode(d) for d in docs]
        done = {d["golden_id"] for d in await store.find(GOLDEN_ANSWERS, {"by": person.name})}
        cases = await store.read(CASES, [g.case_id for g in items])
        open_ = [
            g.id
            for g in items
            if g.id not in done
            and g.case_id in cases
            and _may_answer(CASES.decode(cases[g.case_id]), person)
        ]
        return sorted(open_, key=lambda id_: id_[::-1])  # the end of the id is random

    async def read(self, person: Person, golden_id: str) -> Exercise:
        """The item, to be judged. Audited and counted as a look. Raises NoSuchCase, Refused."""
        need(person, Permission.ASSESS)

        async def work(uow: UnitOfWork) -> Exercise:
            golden, case = await self._find(uow, person, golden_id)
            if not await self._desk.wellbeing.allows(uow, person, case):
                raise Refused(
                    "Your budget for distressing cases is used up today", "Stop for today."
                )
            sheet = await self._desk.sheets.open(uow, case, person.name)
            await self._desk.wellbeing.count(uow, person, case)
            audit(uow, case, person.name, "read_golden", golden.id)
            uow.put(CASES, case)
            texts = tuple(r.narrative for r in sheet.reports if r.narrative)
            return Exercise(golden.id, case.platform, case.kind, texts)

        return await self._hub.transact(work)

    async def answer(self, person: Person, golden_id: str, said: GoldenReply) -> Result:
        """Answer once, and learn what was expected. Raises NoSuchCase, Refused, NotLawful."""
        need(person, Permission.ASSESS)

        async def work(uow: UnitOfWork) -> Result:
            golden, case = await self._find(uow, person, golden_id)
            if missing := check_category(self._pack, said.category):
                raise NotLawful(missing)
            key = f"{golden.id}|{person.name}"
            if await uow.get(GOLDEN_ANSWERS, key) is not None:
                raise Refused("You have answered this one", "Take the next one.")
            uow.put(
                GOLDEN_ANSWERS,
                GoldenAnswer(
                    id=key,
                    golden_id=golden.id,
                    expected=golden.expected,
                    category=said.category,
                    by=person.name,
                    at=uow.now(),
                ),
            )
            audit(uow, case, person.name, "answer_golden", golden.id)
            uow.put(CASES, case)
            return Result(golden.id, said.category, golden.expected)

        return await self._hub.transact(work)

    async def own(self, person: Person) -> GoldenFigures:
        """Agreement of this person's answers with what was expected. Audited."""
        need(person, Permission.ASSESS)
        docs = await self._hub.store.find(GOLDEN_ANSWERS, {"by": person.name})
        pairs = [(d["expected"], d["category"]) for d in docs]

        async def work(uow: UnitOfWork) -> None:
            await looked(uow, person.name, "figures", "golden", "own")

        await self._hub.transact(work)
        return GoldenFigures(kappa(pairs), by_label(pairs))

    async def _find(self, uow: UnitOfWork, person: Person, golden_id: str) -> tuple[Golden, Case]:
        golden = await uow.get(GOLDEN, golden_id)
        if golden is None or not golden.active:
            raise NoSuchCase
        case = await self._desk.case(uow, golden.case_id, person)
        if not _may_answer(case, person):
            raise Refused("You had a part in this case", "Take the next one.")
        return golden, case


def _may_answer(case: Case, person: Person) -> bool:
    return person.sees(case.queue, restricted=case.restricted) and not case.worked_by(person.name)
