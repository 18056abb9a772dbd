# SPDX-License-Identifier: Apache-2.0
"""The rooms of the desk's API about how well it decides: agreement, golden items, reviews.

What is for everybody is of one month that is over, from ``quality/figures.py``. As in ``http.py``:
nothing here decides, no answer repeats what was sent, and every refusal is a problem (RFC 9457).
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
from wasl_triage.domain.disclosure import Cell, Table
from wasl_triage.domain.people import Person
from wasl_triage.quality.agreeing import Agreements
from wasl_triage.quality.figures import Figures
from wasl_triage.quality.golden import GoldenItems, GoldenReply, GoldenRequest
from wasl_triage.quality.kept import Review
from wasl_triage.quality.reviewing import ReviewAnswer, Reviews


class KappaView(Model):
    """Cohen's kappa over ``n`` pairs, with its 95 % interval; null where it is not defined."""

    n: int
    observed: float | None
    kappa: float | None
    low: float | None
    high: float | None


class CellView(Model):
    """``count``: null: hidden; ``small``: because it is from 1 to 4, else to protect another."""

    count: int | None
    small: bool


class TableView(Model):
    """``rows``: without those that are 0; none where the total is small or cannot be split."""

    rows: dict[str, CellView]
    total: CellView

    @classmethod
    def of(cls, told: Table) -> "TableView":
        return cls(rows={k: _cell(c) for k, c in told.rows.items()}, total=_cell(told.total))


class AgreementView(Model):
    """Of a month, or your own ``since`` a day. ``blind``: over pairs judged apart; null: too few to
    tell. ``second_looks``: the answers: of a month, those of people who had seen the first one.
    """

    month: str | None
    since: datetime | None
    blind: KappaView | None
    categories: dict[str, KappaView]
    second_looks: TableView


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
    """Of a month, or of all your own answers. ``overall``: null: too few to tell."""

    month: str | None
    overall: KappaView | None
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
    """By safeguard: what was drawn in the month, waiting, agreed and disagreed."""

    month: str
    safeguards: dict[str, TableView]


#: A month that is over: 2026-01. What is none of them is the newest.
AMonth = Annotated[str, Query(max_length=7)]
EARLIEST = date(2000, 1, 1)
#: Bodies these routes read themselves, for the description of the API.
BODIES: tuple[type[Model], ...] = (GoldenRequest, GoldenReply, ReviewAnswer)


@dataclass(frozen=True, slots=True)
class QualityRooms:
    """The use cases behind these routes."""

    hub: Hub
    agreements: Agreements
    golden: GoldenItems
    reviews: Reviews
    figures: Figures

    @classmethod
    def of(cls, hub: Hub, pack: CountryPack, desk: Desk) -> "QualityRooms":
        golden, reviews = GoldenItems(hub, pack, desk), Reviews(hub, pack, desk)
        return cls(hub, Agreements(hub), golden, reviews, Figures(hub, pack))


def add_quality_routes(app: FastAPI, rooms: QualityRooms, pack: CountryPack, door: Door) -> None:
    """Every route of :class:`QualityRooms`; ``app`` handles the desk's refusals."""
    Who = Annotated[Person, Depends(door.who)]  # noqa: N806  a type
    CaseId = Annotated[str, Depends(door.case_id)]  # noqa: N806
    reader, takes = door.reader, door.takes

    @app.get("/api/v1/agreement")
    async def agreement(
        person: Who, month: AMonth = "", since: date = EARLIEST, own: bool = False
    ) -> AgreementView:
        """How far second people agree with first ones in a month that is over, else in the newest;
        ``own``: since a day, where you were one of the two.
        """
        if own:
            at = datetime.combine(since, time.min, ZoneInfo(pack.info.timezone))
            mine = await rooms.agreements.own(person, at)
            said = {"confirmed": mine.confirmed, "rejected": mine.rejected}
            return AgreementView(
                month=None,
                since=at,
                blind=_kappa(mine.blind),
                categories=_kappas(mine.categories),
                second_looks=_exact(said),
            )
        told = await rooms.figures.read(person, month)
        return AgreementView(
            month=told.month,
            since=None,
            blind=_kappa(told.agreement),
            categories=_kappas(told.agreement_by),
            second_looks=TableView.of(told.second_looks),
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
    async def golden_figures(
        person: Who, month: AMonth = "", own: bool = False
    ) -> GoldenFiguresView:
        """Agreement with what was expected in a month that is over, else in the newest; ``own``: of
        all your answers.
        """
        if own:
            mine = await rooms.golden.own(person)
            by = _kappas(mine.categories)
            return GoldenFiguresView(month=None, overall=_kappa(mine.overall), categories=by)
        told = await rooms.figures.read(person, month)
        by = _kappas(told.golden_by)
        return GoldenFiguresView(month=told.month, overall=_kappa(told.golden), categories=by)

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
    async def review_figures(person: Who, month: AMonth = "") -> ReviewFigures:
        """What was drawn in a month that is over, else in the newest, and what came of it."""
        told = await rooms.figures.read(person, month)
        by = {safeguard: TableView.of(t) for safeguard, t in told.reviews.items()}
        return ReviewFigures(month=told.month, safeguards=by)


def _kappas(told: Mapping[str, Kappa]) -> dict[str, KappaView]:
    return {c: KappaView.model_validate(asdict(k)) for c, k in told.items()}


def _kappa(told: Kappa | None) -> KappaView | None:
    return None if told is None else KappaView.model_validate(asdict(told))


def _cell(told: Cell) -> CellView:
    return CellView(count=told.count, small=told.small)


def _exact(counts: Mapping[str, int]) -> TableView:
    """A person's own counts, of which nothing is hidden from them."""
    rows = {k: _cell(Cell(n)) for k, n in counts.items() if n}
    return TableView(rows=rows, total=_cell(Cell(sum(counts.values()))))


def _review(row: Review) -> ReviewView:
    return ReviewView(
        review_id=row.id,
        category=row.category,
        safeguard=row.safeguard,
        action=row.action,
        at=row.at,
        state=row.state,
    )
