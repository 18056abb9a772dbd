# SPDX-License-Identifier: Apache-2.0
"""The independent reviewer: reads a random sample of decisions, and says whether they were right.

They hold no claim and change no decision. A disagreement brings the case back to the desk; the
counts, by month and safeguard, are in ``figures.py``. Whoever had a part in a decision reviews no
such case, and what is viewed once is reviewed without its texts.
"""

from dataclasses import dataclass

from wasl_chassis.work import UnitOfWork
from wasl_schemas.base import Model
from wasl_schemas.country_pack import CountryPack

from wasl_triage.audit.trail import audit
from wasl_triage.cases.sheets import Sheet
from wasl_triage.casework import NOTE, Hub
from wasl_triage.desk import Desk, NoSuchCase, NotLawful, Refused, need
from wasl_triage.domain.case import Attention, Case
from wasl_triage.domain.decisions import Missing, Words
from wasl_triage.domain.people import Permission, Person
from wasl_triage.quality.kept import REVIEWS, Review
from wasl_triage.repository import CASES

#: More than any desk decides between two visits of a reviewer.
_LISTED = 500


class ReviewAnswer(Model):
    """``reason`` is required of a disagreement."""

    agree: bool
    reason: Words = ""


@dataclass(frozen=True, slots=True)
class Opened:
    review: Review
    sheet: Sheet


class Reviews:
    def __init__(self, hub: Hub, pack: CountryPack, desk: Desk) -> None:
        self._hub = hub
        self._pack = pack
        self._desk = desk

    async def waiting(self, person: Person, limit: int = 50) -> list[Review]:
        """What is to be reviewed, oldest first; only what the person may see and had no part in."""
        need(person, Permission.REVIEW)
        docs = await self._hub.store.find(
            REVIEWS, {"state": "waiting"}, sort=(("at", 1),), limit=_LISTED
        )
        rows = [REVIEWS.decode(d) for d in docs]
        cases = await self._hub.store.read(CASES, [r.case_id for r in rows])
        out = []
        for row in rows:
            case = CASES.decode(cases[row.case_id]) if row.case_id in cases else None
            if case is not None and _visible(case, person) and not case.worked_by(person.name):
                out.append(row)
        return out[:limit]

    async def read(self, person: Person, review_id: str) -> Opened:
        """The case with identifiers blacked out. Audited. Raises NoSuchCase, Refused."""
        need(person, Permission.REVIEW)

        async def work(uow: UnitOfWork) -> Opened:
            review, case = await self._find(uow, person, review_id)
            audit(uow, case, person.name, "read_for_review", review.id)
            uow.put(CASES, case)
            once = review.category in self._pack.desk.no_second_viewing
            sheet = await self._desk.sheets.open(uow, case, person.name, closed=once)
            return Opened(review, sheet)

        return await self._hub.transact(work)

    async def answer(self, person: Person, review_id: str, said: ReviewAnswer) -> Review:
        """Say whether the decision was right, once. Raises NoSuchCase, Refused, NotLawful."""
        need(person, Permission.REVIEW)

        async def work(uow: UnitOfWork) -> Review:
            review, case = await self._find(uow, person, review_id)
            if review.state != "waiting":
                raise Refused("This decision was reviewed already", "Take the next one.")
            if not said.agree and not said.reason:
                raise NotLawful([Missing("reason", "is missing", "Say what was wrong.")])
            sealed = await uow.keys.seal(case.id, NOTE, said.reason) if said.reason else None
            review = review.model_copy(
                update={
                    "state": "agreed" if said.agree else "disagreed",
                    "by": person.name,
                    "answered_at": uow.now(),
                    "reason": sealed,
                }
            )
            uow.put(REVIEWS, review)
            if not said.agree:
                case.raise_flag(Attention.OBJECTION)
                case.place(self._pack, uow.now())
            audit(uow, case, person.name, f"review_{review.state}", review.id)
            uow.put(CASES, case)
            return review

        return await self._hub.transact(work)

    async def _find(self, uow: UnitOfWork, person: Person, review_id: str) -> tuple[Review, Case]:
        review = await uow.get(REVIEWS, review_id)
        if review is None:
            raise NoSuchCase
        case = await self._desk.case(uow, review.case_id, person)
        if case.worked_by(person.name):
            raise Refused("You had a part in this case", "Somebody independent reviews it.")
        return review, case


def _visible(case: Case, person: Person) -> bool:
    return person.sees(case.queue, restricted=case.restricted)
