# SPDX-License-Identifier: Apache-2.0
"""The rooms of the desk's API about how well it decides: agreement, golden items, reviews.

As in ``http.py``: nothing here decides, no answer repeats what was sent, and every refusal is a
problem (RFC 9457).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime, time
from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import Depends, FastAPI, Query
from wasl_schemas.base import Model
from wasl_schemas.country_pack import CountryPack

from wasl_triage.api import views
from wasl_triage.api.cases import Door
from wasl_triage.casework import Hub
from wasl_triage.desk import Desk
from wasl_triage.domain.agreement import Kappa
from wasl_triage.domain.disclosure import SMALL
from wasl_triage.domain.people import Person
from wasl_triage.quality.agreeing import Agreements
from wasl_triage.quality.golden import GoldenItems, GoldenReply, GoldenRequest
from wasl_triage.quality.kept import Review
from wasl_triage.quality.reviewing import ReviewAnswer, ReviewFigure, Reviews


class KappaView(Model):
    """Cohen's kappa over ``n`` pairs, with its 95 % interval; null where it is not defined."""

    n: int
    observed: float | None
    kappa: float | None
    low: float | None
    high: float | None


class AgreementView(Model):
    """``blind``: over all pairs judged apart; ``confirmed``, ``rejected``: all second looks."""

    since: datetime
    blind: KappaView
    categories: dict[str, KappaView]
    confirmed: int
    rejected: int


class GoldenView(Model):
    golden_id: str


class ExerciseList(Model):
    golden_ids: list[str]


class ExerciseView(Model):
    """A golden item; texts of reporters are untrusted: show them as plain text."""

    golden_id: str
    platform: str
    item_kind: str
    narratives: list[str]


class ResultView(Model):
    golden_id: str
    category: str
    expected: str


class GoldenFiguresView(Model):
    overall: KappaView
    categories: dict[str, KappaView]


class ReviewView(Model):
    review_id: str
    category: str
    safeguard: str
    action: str
    at: datetime
    state: str


class ReviewList(Model):
    reviews: list[ReviewView]


class ReviewSheet(Model):
    review: ReviewView
    sheet: views.CaseSheet


class ReviewFigures(Model):
    figures: list[ReviewFigure]


#: Bodies these routes read themselves, for the description of the API.
BODIES: tuple[type[Model], ...] = (GoldenRequest, GoldenReply, ReviewAnswer)


@dataclass(frozen=True, slots=True)
class QualityRooms:
    """The use cases behind these routes."""

    hub: Hub
    agreements: Agreements
    golden: GoldenItems
    reviews: Reviews

    @classmethod
    def of(cls, hub: Hub, pack: CountryPack, desk: Desk) -> "QualityRooms":
        return cls(hub, Agreements(hub), GoldenItems(hub, pack, desk), Reviews(hub, pack, desk))


def add_quality_routes(app: FastAPI, rooms: QualityRooms, pack: CountryPack, door: Door) -> None:
    """Every route of :class:`QualityRooms`; ``app`` handles the desk's refusals."""
    Who = Annotated[Person, Depends(door.who)]  # noqa: N806  a type
    CaseId = Annotated[str, Depends(door.case_id)]  # noqa: N806
    reader, takes = door.reader, door.takes

    @app.get("/api/v1/agreement")
    async def agreement(
        person: Who, since: Annotated[date, Query()], own: bool = False
    ) -> AgreementView:
        """How far second people agree with first ones, since a day; ``own``: where you were one."""
        at = datetime.combine(since, time.min, ZoneInfo(pack.info.timezone))
        told = await rooms.agreements.figures(person, at, own=own)
        return AgreementView(
            since=at,
            blind=_kappa(told.blind),
            categories=_told(told.categories, own=own),
            confirmed=told.confirmed,
            rejected=told.rejected,
        )

    @app.post("/api/v1/cases/{case_id}/golden", openapi_extra=takes(GoldenRequest))
    async def mark(
        person: Who, case_id: CaseId, body: Annotated[GoldenRequest, Depends(reader(GoldenRequest))]
    ) -> GoldenView:
        """Keep a settled case whose right category is known."""
        return GoldenView(golden_id=(await rooms.golden.mark(person, case_id, body)).id)

    @app.post("/api/v1/golden/{golden_id}/retirement")
    async def retire(person: Who, golden_id: str) -> GoldenView:
        """Show the item to nobody any more."""
        await rooms.golden.retire(person, golden_id)
        return GoldenView(golden_id=golden_id)

    @app.get("/api/v1/golden")
    async def exercises(person: Who) -> ExerciseList:
        """Golden items you may judge and have not."""
        return ExerciseList(golden_ids=await rooms.golden.exercises(person))

    @app.get("/api/v1/golden/{golden_id}")
    async def exercise(person: Who, golden_id: str) -> ExerciseView:
        """One golden item, to be judged. Audited, and counted as a look."""
        shown = await rooms.golden.read(person, golden_id)
        return ExerciseView(
            golden_id=shown.id,
            platform=shown.platform,
            item_kind=shown.kind,
            narratives=list(shown.narratives),
        )

    @app.post("/api/v1/golden/{golden_id}/answer", openapi_extra=takes(GoldenReply))
    async def reply(
        person: Who, golden_id: str, body: Annotated[GoldenReply, Depends(reader(GoldenReply))]
    ) -> ResultView:
        """Say what it is, once, and learn what was expected."""
        return ResultView.model_validate(asdict(await rooms.golden.answer(person, golden_id, body)))

    @app.get("/api/v1/figures/golden")
    async def golden_figures(person: Who, own: bool = False) -> GoldenFiguresView:
        """Agreement with what was expected; ``own``: of your answers."""
        told = await rooms.golden.figures(person, own=own)
        return GoldenFiguresView(
            overall=_kappa(told.overall),
            categories=_told(told.categories, own=own),
        )

    @app.get("/api/v1/reviews")
    async def reviews(person: Who, limit: Annotated[int, Query(ge=1, le=200)] = 50) -> ReviewList:
        """Decisions that were drawn for the independent reviewer, oldest first."""
        return ReviewList(reviews=[_review(r) for r in await rooms.reviews.waiting(person, limit)])

    @app.get("/api/v1/reviews/{review_id}")
    async def read_review(person: Who, review_id: str) -> ReviewSheet:
        """One drawn decision and its case, identifiers blacked out. Audited."""
        opened = await rooms.reviews.read(person, review_id)
        shown = views.sheet(pack, opened.sheet, rooms.hub.clock.now())
        return ReviewSheet(review=_review(opened.review), sheet=shown)

    @app.post("/api/v1/reviews/{review_id}/answer", openapi_extra=takes(ReviewAnswer))
    async def answer_review(
        person: Who, review_id: str, body: Annotated[ReviewAnswer, Depends(reader(ReviewAnswer))]
    ) -> ReviewView:
        """Agree or disagree, once; a disagreement brings the case back to the desk."""
        return _review(await rooms.reviews.answer(person, review_id, body))

    @app.get("/api/v1/figures/reviews")
    async def review_figures(person: Who) -> ReviewFigures:
        """What was drawn and what came of it, by month and safeguard."""
        return ReviewFigures(figures=await rooms.reviews.figures(person))


def _told(categories: Mapping[str, Kappa], *, own: bool) -> dict[str, KappaView]:
    """By category; of everybody's, those of which so few were judged that they point at cases are
    left out.
    """
    return {c: _kappa(k) for c, k in categories.items() if own or k.n >= SMALL}


def _kappa(told: Kappa) -> KappaView:
    return KappaView.model_validate(asdict(told))


def _review(row: Review) -> ReviewView:
    return ReviewView(
        review_id=row.id,
        category=row.category,
        safeguard=row.safeguard,
        action=row.action,
        at=row.at,
        state=row.state,
    )
