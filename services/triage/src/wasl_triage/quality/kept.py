# SPDX-License-Identifier: Apache-2.0
"""What is kept of how well the desk decides: second looks, independent reviews, golden items.

Rows name people so that each may see their own; every figure made of them names nobody. What is
reviewed independently is drawn by a keyed hash of the decision's id: nobody at the desk can tell
beforehand, and anybody with the key can check afterwards, that the draw was fair.
"""

import hashlib
import hmac
from datetime import datetime
from typing import Any, Literal

from wasl_chassis.store import Collection, Index
from wasl_chassis.vault import derive
from wasl_chassis.work import UnitOfWork
from wasl_schemas.base import Model
from wasl_schemas.country_pack import CountryPack

from wasl_triage.domain.case import Case, DecisionRow


class Agreement(Model):
    """One second look. ``other`` is the second person's category, where they gave one."""

    id: str
    decision_id: str
    category: str
    other: str | None
    #: The second person did not know the first one's.
    blind: bool
    #: None: judged, not answered yet.
    confirmed: bool | None
    at: datetime
    first: str
    second: str


AGREEMENTS: Collection[Agreement] = Collection.of(
    "agreements", Agreement, "id", (Index((("at", 1),)),)
)


async def note_second_look(
    uow: UnitOfWork, row: DecisionRow, second: str, *, blind: bool, confirmed: bool | None
) -> None:
    """Keep what a second person made of a decision; a machine's is nobody's to agree with."""
    if row.automatic or row.category is None:
        return
    key = f"{row.id}|{second}"
    await uow.get(AGREEMENTS, key)  # a judgement becomes an answer in the same row
    said = next((j.category for j in row.judgements if j.by == second), None)
    uow.put(
        AGREEMENTS,
        Agreement(
            id=key,
            decision_id=row.id,
            category=row.category,
            other=said,
            blind=blind and said is not None,
            confirmed=confirmed,
            at=uow.now(),
            first=row.by,
            second=second,
        ),
    )


class Review(Model):
    """One decision in the independent reviewer's sample."""

    id: str
    case_id: str
    category: str
    safeguard: str
    action: str
    #: UTC month of the decision: 2026-01.
    month: str
    at: datetime
    state: Literal["waiting", "agreed", "disagreed"] = "waiting"
    by: str | None = None
    answered_at: datetime | None = None
    #: Sealed with the case's key.
    reason: str | None = None


REVIEWS: Collection[Review] = Collection.of(
    "reviews",
    Review,
    "id",
    (
        Index((("state", 1), ("at", 1))),
        Index((("month", 1), ("safeguard", 1), ("state", 1))),
        Index((("case_id", 1),)),
    ),
)


class Sample:
    """Draws decisions for review, a share for each safeguard of the pack."""

    def __init__(self, pack: CountryPack, pepper: bytes) -> None:
        self._pack = pack
        self._key = derive(pepper, "review")

    def drawn(self, decision_id: str, share: float) -> bool:
        mark = hmac.digest(self._key, decision_id.encode(), hashlib.sha256)
        return int.from_bytes(mark[:8], "big") < share * 2**64

    def take(self, uow: UnitOfWork, case: Case, row: DecisionRow) -> None:
        """Keep the decision for review if it is drawn. To be called once, when it leaves or
        closes.
        """
        known = self._pack.categories.get(row.category) if row.category else None
        if known is None:
            return
        share = self._pack.desk.review.share.get(known.expression_safeguard, 0.0)
        if self.drawn(row.id, share):
            now = uow.now()
            uow.put(
                REVIEWS,
                Review(
                    id=row.id,
                    case_id=case.id,
                    category=known.id,
                    safeguard=known.expression_safeguard.value,
                    action=row.action.value,
                    month=f"{now:%Y-%m}",
                    at=now,
                ),
            )


class Golden(Model):
    """A settled case whose right category is known. Its id tells nothing about the case."""

    id: str
    case_id: str
    expected: str
    #: Why, sealed with the case's key.
    note: str
    by: str
    at: datetime
    active: bool = True


GOLDEN: Collection[Golden] = Collection.of(
    "golden", Golden, "id", (Index((("active", 1), ("at", 1))), Index((("case_id", 1),)))
)


class GoldenAnswer(Model):
    id: str
    golden_id: str
    expected: str
    category: str
    by: str
    at: datetime


GOLDEN_ANSWERS: Collection[GoldenAnswer] = Collection.of(
    "golden_answers", GoldenAnswer, "id", (Index((("at", 1),)), Index((("by", 1),)))
)


class MadeFigures(Model):
    """A month that was counted, small counts hidden; it never changes."""

    month: str
    tables: dict[str, Any]


FIGURES: Collection[MadeFigures] = Collection.of("figures", MadeFigures, "month")

#: What bootstrap opens beside the rest.
QUALITY = (AGREEMENTS, FIGURES, REVIEWS, GOLDEN, GOLDEN_ANSWERS)
