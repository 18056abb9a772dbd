# SPDX-License-Identifier: Apache-2.0
"""Figures name nobody and no case, small counts cannot be worked out, and observers see no more."""

import re
from collections import Counter
from itertools import product

import pytest
from desk import Browser, Door, application, text_of
from hypothesis import given
from hypothesis import strategies as st
from triage_world import ANA, BEA, World, agreeing, said
from wasl_schemas.country_pack import CountryPack
from wasl_schemas.events.common import Ground, GroundKind
from wasl_schemas.lifecycle import DispatchState
from wasl_triage.desk import Forbidden
from wasl_triage.domain.case import Action, Measure
from wasl_triage.domain.decisions import CloseReason, Proposal
from wasl_triage.domain.disclosure import SMALL, Cell, Table, agreement, cell, table
from wasl_triage.domain.people import Person, Role
from wasl_triage.quality.figures import MONTHS, SETTLES, Figures

OLA = Person(name="ministry-1", roles=frozenset({Role.OBSERVER}))
CLOSE = Proposal(action=Action.CLOSE, reason="x", close_reason=CloseReason.NO_GROUND)


# -- small counts ----------------------------------------------------------------------------------


def _possible(told: Table, label: str) -> set[int]:
    """Every value a hidden count may have for somebody who sees the table and knows how it is made;
    found by trying all of them.
    """
    hidden = [k for k, c in told.rows.items() if c.count is None]
    assert told.total.count is not None
    rest = told.total.count - sum(c.count or 0 for c in told.rows.values())
    ranges = [range(1, SMALL) if told.rows[k].small else range(SMALL, rest + 1) for k in hidden]
    at = hidden.index(label)
    return {values[at] for values in product(*ranges) if sum(values) == rest}


_counts = st.dictionaries(st.sampled_from("abcde"), st.integers(0, 12), max_size=4)


@given(_counts)
def test_no_small_count_can_be_worked_out(counts: dict[str, int]) -> None:
    told, total = table(counts), sum(counts.values())
    assert told.total == cell(total)
    if not told.rows:
        assert total == 0 or min(n for n in counts.values() if n) < SMALL
        return
    for label, one in told.rows.items():
        if one.count is not None:
            assert one.count == counts[label] >= SMALL
        else:
            assert one.small == (counts[label] < SMALL)
            assert not one.small or _possible(told, label) == set(range(1, SMALL)), told


def test_what_needs_no_hiding_is_shown() -> None:
    assert table({"a": 7, "b": 0, "c": 5}) == Table({"a": Cell(7), "c": Cell(5)}, Cell(12))
    assert table({"a": 3}) == Table({}, Cell(None, small=True))
    assert table({}) == Table({}, Cell(0))
    told = table({"a": 2, "b": 9, "c": 40})
    assert told.rows == {"a": Cell(None, small=True), "b": Cell(None), "c": Cell(40)}
    # Three rows of 5 in all would tell that none is 4.
    assert table({"a": 1, "b": 1, "c": 3}) == Table({}, Cell(5))
    assert table({"a": 1, "b": 1, "c": 3}).share("b") is None
    assert table({"in_time": 30, "late": 10}).share("in_time") == 75
    assert table({"in_time": 30, "late": 1}).share("in_time") is None
    assert table({"late": 10}).share("in_time") == 0
    assert [cell(n) for n in (0, 1, 5)] == [Cell(0), Cell(None, small=True), Cell(5)]


_labels = st.sampled_from("abcd")


@given(st.dictionaries(st.tuples(_labels, _labels), st.integers(0, 9), max_size=9))
def test_no_count_that_follows_from_an_agreement_is_small(
    cells: dict[tuple[str, str], int],
) -> None:
    """From shares and kappas counts can be worked out; taken exactly, none is from 1 to 4."""
    pairs = [pair for pair, count in cells.items() for _ in range(count)]
    told = agreement(pairs)
    agree = Counter(a for a, b in pairs if a == b)
    differ = [(a, b) for a, b in pairs if a != b]
    first, second = Counter(a for a, _ in differ), Counter(b for _, b in differ)
    follows = [len(pairs), agree.total(), len(differ)]
    assert (told.overall is None) == (not pairs or any(0 < n < SMALL for n in follows))
    shown, all_labels = set(told.categories), {x for pair in pairs for x in pair}
    assert shown <= (all_labels if told.overall else set())
    for label in shown:
        counts = [agree[label], first[label], second[label]]
        follows += [*counts, len(pairs) - sum(counts)]
    for counts_by in (agree, first, second) if shown else ():
        follows.append(sum(counts_by[x] for x in all_labels - shown))
    if told.overall is not None:
        assert not [n for n in follows if 0 < n < SMALL], told


def test_an_agreement_is_told_by_category_where_nothing_small_follows() -> None:
    pairs = [("a", "a")] * 20 + [("b", "b")] * 10 + [("a", "b")] * 6 + [("b", "a")] * 5
    told = agreement(pairs)
    assert told.overall is not None
    assert (told.overall.n, told.overall.observed) == (41, 0.73)
    assert {c: k.n for c, k in told.categories.items()} == {"a": 31, "b": 21}
    # One pair of c: b is kept back, too, or it would follow.
    assert list(agreement([*pairs, ("c", "c")]).categories) == ["a"]
    apart = [("a", "a")] * 10 + [("a", "c")] * 5 + [("b", "a")] * 5
    assert agreement(apart).categories
    assert agreement([*apart, ("b", "c")]).categories == {}, "one pair without a"
    assert agreement([("a", "a")] * 40 + [("a", "b")]).overall is None
    assert agreement([]).overall is None


# -- the use case ----------------------------------------------------------------------------------


@pytest.fixture
def figures(world: World) -> Figures:
    return Figures(world.hub, world.pack)


def _over(world: World) -> None:
    """The present month ends, and is the newest one told."""
    world.later(days=31 + SETTLES.days)


async def _reported(world: World, count: int, category: str = "scam_fraud") -> list[str]:
    urls = [f"https://{category.replace('_', '-')}-{n}.example/x" for n in range(count)]
    for url in urls:
        await world.arrives(url, category=category)
    return [world.case_id(url) for url in urls]


async def _decided(world: World, case_id: str) -> None:
    await world.held(ANA, case_id)
    await world.desk.assess(ANA, case_id, said(world.pack, "scam_fraud"))
    await world.desk.decide(ANA, case_id, CLOSE)


async def test_a_month_is_counted_when_it_is_over_and_not_the_one_before(
    world: World, figures: Figures
) -> None:
    await _reported(world, 6)
    world.later(days=28)
    ids = await _reported(world, 9, "phishing_malware")
    month = f"{world.case(ids[0]).opened_at:%Y-%m}"
    assert month not in figures.months(), "it is not over"
    assert (await figures.read(OLA, month)).month == figures.months()[0] != month
    _over(world)
    now, before = figures.months()[:2]
    assert (now, len(figures.months())) == (month, MONTHS)
    told = await figures.read(OLA, now)
    assert told.categories == table({"phishing_malware": 9})
    assert told.states == table({"open": 9})
    assert (await figures.read(OLA, before)).categories == table({"scam_fraud": 6})
    assert (await figures.read(OLA, "1999-01")).month == now


async def test_what_was_told_of_a_month_stays(world: World, figures: Figures) -> None:
    """Or two answers, one subtracted from the other, would tell what one day brought."""
    ids = await _reported(world, 9)
    _over(world)
    told = await figures.read(OLA, figures.months()[0])
    await _decided(world, ids[0])
    world.later(days=1)
    again = Figures(world.hub, world.pack)
    assert await again.read(OLA, told.month) == told
    assert await again.of(told.month) == told


async def test_times_are_held_against_the_clocks(world: World, figures: Figures) -> None:
    ids = await _reported(world, 12)
    for case_id in ids[:6]:
        await _decided(world, case_id)
    world.later(days=12)
    await world.handlers.watch()
    _over(world)
    told = await figures.read(OLA, f"{world.case(ids[0]).opened_at:%Y-%m}")
    ((severity, looks),) = told.first_looks.items()
    assert looks.rows == {"in_time": Cell(6), "late": Cell(6)}
    assert looks.share("in_time") == 50
    assert told.decisions[severity].rows == {"in_time": Cell(6), "late": Cell(6)}
    assert told.reversals.total == Cell(6)


async def test_requests_are_counted_by_partner(world: World, figures: Figures) -> None:
    asked = Proposal(
        action=Action.DISPATCH, reason="x", measure=Measure.REMOVE, partners=("meta",),
        ground=Ground(kind=GroundKind.TERMS, ref="terms.fraud"),
    )  # fmt: skip
    assert asked.partners[0] in world.pack.partners
    ids = []
    for n in range(6):
        url = f"https://www.facebook.com/permalink.php?story_fbid={n + 30}&id=10000000000002{n}"
        await world.arrives(url, category="scam_fraud", consent_partner=True)
        ids.append(world.case_id(url))
        case = await world.held(ANA, ids[-1])
        await world.desk.assess(ANA, case.id, said(world.pack, "scam_fraud"))
        case = await world.desk.decide(ANA, case.id, asked)
        if case.pending():
            await world.held(BEA, case.id)
            await world.desk.second_look(BEA, case.id, agreeing(world.pack, case))
    for case_id in ids:
        await world.deliver(world.answer(case_id, "meta", 1, DispatchState.SENT))
        await world.deliver(world.answer(case_id, "meta", 2, DispatchState.REMOVED))
    _over(world)
    told = await figures.read(OLA, figures.months()[0])
    assert told.partners == {"meta": table({"acted": 6})}


# -- the page --------------------------------------------------------------------------------------


async def test_an_observer_sees_figures_and_nothing_else(world: World) -> None:
    await _reported(world, 6)
    await world.arrives("https://rare.example/y", category="csam", text="SECRET-TEXT")
    _over(world)
    door = Door()
    app = application(world, door)
    page = Browser(app, door, OLA)
    shown = await page.get("figures")
    assert OLA.name in shown
    for told in (*(c.id for c in world.cases()), "SECRET-TEXT", ANA.name):
        assert told not in shown
    assert "<5" in text_of(shown)
    opened = {"", "me", "figures", "code", "sign-in", "sign-out", "me/opt-outs", "live"}
    others = [
        "queue", "search", "cases/0", "helpline", "review", "review/0", "practice", "practice/0",
        "practice/new", "rules", "rules/history", "audit", "audit/trail", "audit/person",
        "protection", "protection/retention", "protection/cases/0", "protection/requests",
        "protection/cases/0/reports/0", "workload",
    ]  # fmt: skip
    assert not opened & set(others)
    for path in others:
        await page.get(path, 403)
    for path in ("review/0", "practice/new", "practice/0", "audit/seals", "protection/requests/new",
                 "protection/cases/0/holds", "protection/cases/0/reports/0"):  # fmt: skip
        await page.post(path, 403)
    assert re.search(r"/fr/figures\"", await page.get(""))


async def test_figures_take_the_permission_and_are_audited(world: World) -> None:
    admin = Person(name="admin-1", roles=frozenset({Role.ADMINISTRATOR}))
    door = Door()
    app = application(world, door)
    await Browser(app, door, admin).get("figures", 403)
    with pytest.raises(Forbidden):
        await Figures(world.hub, world.pack).read(admin, "")
    await Browser(app, door, OLA).get("figures")
    rows = [d for d in world.hub.store.docs["audit"].values() if d["who"] == OLA.name]
    assert [r["what"] for r in rows] == ["figures"]


async def test_the_rare_case_is_hidden_on_the_page(world: World, pack: CountryPack) -> None:
    await _reported(world, 8)
    await _reported(world, 2, "csam")
    _over(world)
    door = Door()
    page = Browser(application(world, door), door, OLA, "fr")
    shown = await page.get("figures")
    row = re.search(
        rf"{re.escape(pack.words(pack.categories['csam'].label, 'fr'))}</th>(.*?)</tr>", shown
    )
    assert row is not None
    assert "&lt;5" in row.group(1)
    assert ">2<" not in row.group(1)
