# SPDX-License-Identifier: Apache-2.0
"""No two answers that a role of figures only may have can be subtracted to a small count."""

from collections import Counter
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matrix import API
from triage_world import World
from wasl_schemas.country_pack import CountryPack
from wasl_schemas.ids import uuid7
from wasl_triage.domain.disclosure import SMALL
from wasl_triage.domain.people import Permission, Person, Role
from wasl_triage.protection.subject_requests import SUBJECT_REQUESTS, Kind, State, SubjectRequest
from wasl_triage.quality.kept import (
    AGREEMENTS,
    GOLDEN_ANSWERS,
    REVIEWS,
    Agreement,
    GoldenAnswer,
    Review,
)
from whole import Whole

OBSERVER = Person(name="ministry-1", roles=frozenset({Role.OBSERVER}))
#: Every answer of the API that takes FIGURES; test_authorisation.py holds the list to the code.
ANSWERS = ("agreement", "figures/golden", "figures/reviews", "subject-requests/figures")
KINDS = ("hate_speech", "threats", "scam_fraud")
Answers = dict[tuple[str, str], Any]

_kind = st.sampled_from(KINDS)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("rows"), st.integers(1, 9), _kind, _kind),
        st.tuples(st.just("settle"), st.integers(1, 9), _kind, _kind),
        st.tuples(st.just("days"), st.integers(1, 40), _kind, _kind),
        st.tuples(st.just("ask"), st.integers(0, 3), _kind, _kind),
    ),
    max_size=14,
)


async def _add(world: World, count: int, one: str, other: str) -> None:
    uow = world.hub.unit()
    now = uow.now()
    for _ in range(count):
        key, shared = uuid7(), {"at": now, "category": one}
        uow.put(
            AGREEMENTS,
            Agreement(id=key, decision_id=key, other=other, blind=one != KINDS[0], confirmed=True,
                      first="a", second="b", **shared),
        )  # fmt: skip
        uow.put(
            GOLDEN_ANSWERS, GoldenAnswer(id=key, golden_id=key, expected=other, by="a", **shared)
        )
        uow.put(
            REVIEWS,
            Review(id=key, case_id=key, safeguard="FE1", action="close", month=f"{now:%Y-%m}",
                   **shared),
        )  # fmt: skip
        uow.put(
            SUBJECT_REQUESTS,
            SubjectRequest(
                request_id=key, kind=list(Kind)[KINDS.index(one)], channel="letter",
                received_at=now, registered_by="a", due=now + timedelta(days=10), identity=None,
                text=None,
            ),
        )  # fmt: skip
    await world.hub.commit(uow)


async def _settle(world: World, count: int) -> None:
    """Some of what waits is answered: the next count of its month would differ."""
    uow = world.hub.unit()
    for doc in list(world.hub.store.docs.get("reviews", {}).values())[:count]:
        review = uow.adopt(REVIEWS, doc)
        uow.put(REVIEWS, review.model_copy(update={"state": "agreed"}))
    for doc in list(world.hub.store.docs.get("subject_requests", {}).values())[:count]:
        asked = uow.adopt(SUBJECT_REQUESTS, doc)
        done = {"state": State.ANSWERED, "closed_at": uow.now()}
        uow.put(SUBJECT_REQUESTS, asked.model_copy(update=done))
    await world.hub.commit(uow)


async def _ask(whole: Whole, back: int) -> Answers:
    """All answers about one month, the present one and days in it included."""
    now = whole.world.clock.now()
    day = now - timedelta(days=31 * back)
    out: Answers = {}
    for path in ANSWERS:
        for query in (f"month={day:%Y-%m}", f"since={day:%Y-%m-%d}", f"month={day:%Y-%m-%d}"):
            answer = await whole.api(OBSERVER).get(f"/api/v1/{path}?{query}")
            if answer.status_code == 200:
                told = answer.json()
                month = told["month"]
                assert month < f"{now:%Y-%m}", "a month that is not over changes from day to day"
                out[path, month] = told
    return out


def _tables(told: Any) -> list[Any]:
    if not isinstance(told, dict):
        return []
    return [told] if "total" in told else [t for v in told.values() for t in _tables(v)]


def _sound(told: Any) -> None:
    for table in _tables(told):
        shown = [c["count"] for c in table["rows"].values() if c["count"] is not None]
        total = table["total"]["count"]
        assert not [n for n in (*shown, total or 0) if 0 < n < SMALL], table
        if total is not None and table["rows"]:
            rest = total - sum(shown)
            hidden = [c for c in table["rows"].values() if c["count"] is None]
            assert rest == 0 or (len(hidden) > 1 and rest >= SMALL), table


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
async def test_no_two_answers_can_be_subtracted(pack: CountryPack, steps: list[Any]) -> None:
    """Of one month every answer is the same for ever, and no row is in two months: what is left to
    subtract are cells of one table, which hide what is small.
    """
    whole = Whole(World(pack), [OBSERVER])
    world, came, told = whole.world, Counter[str](), dict[tuple[str, str], Any]()
    for what, n, one, other in [*steps, ("days", 40, *KINDS[:2]), ("ask", 1, *KINDS[:2])]:
        match what:
            case "rows":
                came[f"{world.clock.now():%Y-%m}"] += n
                await _add(world, n, one, other)
            case "settle":
                await _settle(world, n)
            case "days":
                world.later(days=n)
            case _:
                for key, answer in (await _ask(whole, n)).items():
                    assert told.setdefault(key, answer) == answer, key
                    _sound(answer)
    for (path, month), answer in told.items():
        if path == "subject-requests/figures":
            total = answer["kinds"]["total"]["count"]
            assert total == (None if 0 < came[month] < SMALL else came[month])


def test_the_list_of_answers_is_whole() -> None:
    alone = {w.removeprefix("GET /api/v1/") for w, p in API.items() if p == (Permission.FIGURES,)}
    assert alone == set(ANSWERS)
