# SPDX-License-Identifier: Apache-2.0
"""Whatever people do, in whatever order: nothing leaves without those the law of decisions asks for.

Random people, roles and steps run through the real desk and the real handlers, for every category
of both country packs; then everything that left is held against who had signed it, in what role.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from triage_world import RABAT, World, answers
from wasl_chassis.failures import Permanent
from wasl_schemas import topics
from wasl_schemas.country_pack import CountryPack, load_country_pack
from wasl_schemas.events.common import Channel, Ground, GroundKind
from wasl_schemas.lifecycle import DispatchState, IllegalTransition
from wasl_schemas.taxonomy import FourEyes, Safeguard, Signal
from wasl_triage.casework import request_id
from wasl_triage.desk import (
    Amendment,
    AssessmentRequest,
    Confirmation,
    Forbidden,
    NotLawful,
    OwnJudgement,
    Refused,
)
from wasl_triage.domain.case import MACHINE, Action, Case, DecisionRow, Measure
from wasl_triage.domain.decisions import CloseReason, Proposal, Screen, four_eyes, route_for
from wasl_triage.domain.people import Permission, Person, Role

PACKS = Path(__file__).parents[3] / "deploy" / "country-packs"
URLS = {
    "ma": "https://www.facebook.com/permalink.php?story_fbid=23&id=100000000000023",
    "example": "https://social.example/p/23",
}
CLEAR = Screen(
    opinion=False, satire=False, journalism=False, research=False, religion=False,
    public_interest=False,
)  # fmt: skip
NAMES = ("ana", "bea", "lea")
ROLES = (Role.ANALYST, Role.LEGAL_REVIEWER, Role.SUPERVISOR, Role.DATA_OFFICER)


@cache
def _pack(name: str) -> CountryPack:
    return load_country_pack(PACKS / name)


ALL = [(name, category) for name in URLS for category in _pack(name).categories]
NEVER = {
    name: [
        c.id
        for c in _pack(name).categories.values()
        if not c.dispatchable or c.expression_safeguard is Safeguard.FE3_BLOCK
    ]
    for name in URLS
}

PEOPLE = st.builds(
    lambda name, role, legal: Person(
        name=name, roles=frozenset({role, Role.CHILD_SAFETY} | ({Role.LEGAL_REVIEWER} if legal else set()))
    ),
    st.sampled_from(NAMES),
    st.sampled_from((Role.ANALYST,) * 4 + ROLES),
    st.sampled_from((True, False, False)),
)  # fmt: skip
#: 0: the category under test, 1: one that never leaves, 2: one that needs one person.
WHICH = st.sampled_from((0, 0, 0, 0, 1, 2))
STEPS = st.one_of(
    st.tuples(st.just("assess"), PEOPLE, WHICH, st.booleans()),
    st.tuples(st.just("decide"), PEOPLE, WHICH, st.sampled_from(list(Action))),
    st.tuples(st.just("decide"), PEOPLE, st.just(0), st.just(Action.DISPATCH)),
    st.tuples(st.just("look"), PEOPLE, WHICH, st.sampled_from((True, True, True, False, None))),
    st.tuples(
        st.just("amend"), PEOPLE, st.just(0), st.sampled_from(("correct", "insist", "withdraw"))
    ),
    st.tuples(st.just("reopen"), PEOPLE, st.just(0), st.none()),
    st.tuples(
        st.just("answer"), PEOPLE, st.just(0),
        st.sampled_from((DispatchState.SENT, DispatchState.NO_REPLY, DispatchState.REFUSED,
                         DispatchState.REMOVED, DispatchState.DISPUTED)),
    ),
    st.tuples(st.just("report"), PEOPLE, WHICH, st.sampled_from((Channel.WEB, Channel.PARTNER))),
)  # fmt: skip
#: The way through, each step by anybody: without it random steps would seldom get anywhere.
JUDGES = st.builds(
    lambda name, role: Person(name=name, roles=frozenset({role, Role.CHILD_SAFETY})),
    st.sampled_from(NAMES),
    st.sampled_from((Role.ANALYST,) * 3 + (Role.LEGAL_REVIEWER,)),
)
WAY = st.builds(
    lambda one, two, three, action: [
        ("assess", one, 0, True),
        ("decide", two, 0, action),
        ("look", three, 0, True),
    ],
    JUDGES,
    JUDGES,
    JUDGES,
    st.sampled_from((Action.DISPATCH, Action.DISPATCH, Action.REFER)),
)
PARTS = st.lists(st.one_of(STEPS.map(lambda step: [step]), WAY), max_size=9)
WALKS = st.builds(lambda way, parts: [*way, *(s for part in parts for s in part)], WAY, PARTS)


class Run:
    """One world, and what of it is remembered outside: who signed what, in which roles."""

    def __init__(self, pack: str, category: str) -> None:
        self.pack, self.url = _pack(pack), URLS[pack]
        one = "scam_fraud" if pack == "ma" else "scam"
        self.categories = (category, NEVER[pack][0], one)
        self.world = World(self.pack)
        if pack == "example":
            self.world.later(days=4 * 366)  # its agreement begins in 2029
        self.proposed: dict[str, Person] = {}
        self.seconds: dict[str, Person] = {}
        self.reworded: list[tuple[str, str]] = []
        self._version: defaultdict[str, int] = defaultdict(int)

    async def begin(self, channel: Channel) -> None:
        await self.world.arrives(
            self.url, category=self.categories[0], channel=channel, consent_authority=True
        )

    async def step(self, what: str, person: Person, which: int, how: Any) -> None:
        self.world.later(minutes=1)
        category = self.categories[which]
        with contextlib.suppress(NotLawful, Refused, Forbidden, IllegalTransition, Permanent):
            if what in ("report", "answer"):
                await getattr(self, f"_{what}")(category, how)
                return
            case = self.world.case()
            boss = Person(name=person.name, roles=person.roles | {Role.SUPERVISOR})
            await self.world.desk.claim(boss, case.id, take_over=True)
            await getattr(self, f"_{what}")(person, case, category, how)

    async def _report(self, category: str, channel: Channel) -> None:
        await self.world.arrives(self.url, category=category, channel=channel)

    async def _answer(self, _: str, state: DispatchState) -> None:
        case = self.world.case()
        for row in case.dispatches.values():
            self._version[row.partner] += 1
            event = self.world.answer(
                case.id, row.partner, self._version[row.partner], state, row.round
            )
            await self.world.deliver(event)

    async def _assess(self, person: Person, case: Case, category: str, good: bool) -> None:
        given = answers(self.pack, category)
        if not good:
            given = dict.fromkeys(given, "unsure")
        request = AssessmentRequest(
            category=category, answers=given, note="It is.", signals=(Signal.IMMEDIATE_DANGER,)
        )
        await self.world.desk.assess(person, case.id, request)

    async def _decide(self, person: Person, case: Case, category: str, action: Action) -> None:
        before = {d.id for d in case.decisions}
        proposal = _proposal(self.pack, case, category, action)
        await self.world.desk.decide(person, case.id, proposal)
        for row in self.world.case().decisions:
            if row.id not in before:
                self.proposed[row.id] = person

    async def _look(self, person: Person, case: Case, category: str, yes: bool | None) -> None:
        for row in case.pending():
            own = OwnJudgement(category=category, answers=answers(self.pack, category))
            said = Confirmation(decision_id=row.id, confirm=yes, reason="x", assessment=own)
            await self.world.desk.second_look(person, case.id, said)
            if yes:
                self.seconds[row.id] = person

    async def _amend(self, person: Person, case: Case, _: str, action: Any) -> None:
        for dispatch_id in case.dispatches:
            words = None if action != "correct" else f"Words of {person.name}."
            wanted = Amendment(action=action, reason="x", explanation=words, screen=CLEAR)
            await self.world.desk.amend(person, case.id, dispatch_id, wanted)
            if words:
                self.reworded.append((dispatch_id, person.name))

    async def _reopen(self, person: Person, case: Case, *_: Any) -> None:
        await self.world.desk.reopen(person, case.id, "x")


def _proposal(pack: CountryPack, case: Case, category: str, action: Action) -> Proposal:
    """As complete as the pack lets it be: only people may be missing."""
    if action in (Action.CLOSE, Action.ADVISE):
        cards = [c.id for c in pack.advice_for(category)]
        reason = CloseReason.NO_GROUND if action is Action.CLOSE else None
        card = cards[0] if cards and action is Action.ADVISE else None
        return Proposal(action=action, reason="x", close_reason=reason, advice=card)
    refer = action is Action.REFER
    grounds = [g for g in pack.grounds_for(category) if g.kind is GroundKind.LAW or not refer]
    other = Ground(kind=GroundKind.LAW, ref=next(iter(pack.laws)))
    route = route_for(pack, category, case.platform, case.opened_at.date())
    return Proposal(
        action=action,
        reason="x",
        ground=grounds[0] if grounds else other,
        partners=() if refer or not route else tuple(p.id for p in route.partners[:1]),
        authorities=tuple(a.id for a, _ in route.authorities[:1]) if refer and route else (),
        screen=CLEAR,
        rabat=RABAT,
        measure=None if refer else Measure.LABEL,
        exception="It cannot wait.",
    )


def _signed(run: Run, row: DecisionRow) -> None:
    """The decision behind something that left had its people, in their roles."""
    assert row.category is not None
    category = run.pack.category(row.category)
    if row.automatic:
        assert row.by == MACHINE
        assert category.expression_safeguard is Safeguard.FE0
        return
    asked = four_eyes(category, row.action)
    first = run.proposed[row.id]
    assert row.by == first.name
    assert first.may(Permission.DECIDE)
    if asked is FourEyes.NONE:
        return
    assert row.second_due is not None
    if asked is FourEyes.POST and row.confirmed is not True:
        return
    second = run.seconds[row.id]
    assert (row.confirmed, row.second) == (True, second.name)
    assert second.name != first.name
    assert second.may(Permission.SECOND_LOOK)
    if asked is FourEyes.PRE_LEGAL:
        assert first.may(Permission.SIGN_LEGAL) or second.may(Permission.SIGN_LEGAL)
    if category.id in run.pack.desk.blind:
        assert second.name in {j.by for j in row.judgements if j.category == category.id}


def _hold(run: Run) -> int:
    """Everything that left, held against the case. Returns how many requests there were."""
    case, never = run.world.case(), set(NEVER[run.pack.info.id])
    made: dict[str, DecisionRow] = {}
    for row in case.decisions:
        assert row.second != row.by
        left = row.four_eyes in (FourEyes.NONE, FourEyes.POST) or row.confirmed
        for to in (*row.partners, *row.authorities):
            if left:
                made[request_id(case.id, to, row.round)] = row
    requests = run.world.dispatched()
    referrals = run.world.emitted(topics.REFERRAL_REQUESTED_V1)
    for request in requests:
        assert request.category not in never
        assert made[request.dispatch_id].category == request.category
        _signed(run, made[request.dispatch_id])
    for referral in referrals:
        assert referral.category not in never
        _signed(run, made[referral.referral_id])
    for dispatch_id, name in run.reworded:
        row = made[dispatch_id]
        known = run.pack.category(row.category or "")
        if four_eyes(known, row.action) in (FourEyes.PRE, FourEyes.PRE_LEGAL):
            assert name != row.by
    if run.categories[0] in never:
        assert run.categories[0] not in {r.category for r in (*requests, *referrals)}
    return len(requests) + len(referrals)


async def _play(run: Run, channel: Channel, steps: list[Any]) -> None:
    await run.begin(channel)
    for step in steps:
        await run.step(*step)
    run.world.later(days=2)
    await run.world.handlers.watch()


@pytest.mark.parametrize(("pack_name", "category"), ALL)
@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(
    channel=st.sampled_from((Channel.WEB, Channel.PARTNER)),
    steps=WALKS,
)
def test_nothing_leaves_without_its_people(
    pack_name: str, category: str, channel: Channel, steps: list[Any]
) -> None:
    run = Run(pack_name, category)
    asyncio.run(_play(run, channel, steps))
    _hold(run)


def _people(first: Role, second: Role) -> tuple[Person, Person]:
    return (
        Person(name="ana", roles=frozenset({first, Role.CHILD_SAFETY})),
        Person(name="lea", roles=frozenset({second, Role.CHILD_SAFETY})),
    )


@pytest.mark.parametrize(("pack_name", "category"), ALL)
def test_the_straight_way_leaves_with_two_and_not_with_one(pack_name: str, category: str) -> None:
    """What the random steps are compared with does happen: else they would show nothing."""
    ana, lea = _people(Role.ANALYST, Role.LEGAL_REVIEWER)
    lone: list[Callable[[Person], Any]] = [
        lambda p: ("assess", p, 0, True),
        lambda p: ("decide", p, 0, Action.DISPATCH),
        lambda p: ("decide", p, 0, Action.REFER),
        lambda p: ("look", p, 0, True),
        lambda p: ("look", p, 0, True),
    ]
    alone, together = Run(pack_name, category), Run(pack_name, category)
    asyncio.run(_play(alone, Channel.WEB, [step(ana) for step in lone]))
    two = [*(step(ana) for step in lone[:3]), *(step(lea) for step in lone[3:])]
    asyncio.run(_play(together, Channel.WEB, two))
    known = _pack(pack_name).category(category)
    asked = four_eyes(known, Action.DISPATCH)
    by_people = [d for d in alone.world.case().decisions if not d.automatic and d.confirmed]
    assert by_people == []
    if category in NEVER[pack_name]:
        assert _hold(alone) == _hold(together) == 0
    else:
        assert _hold(together) > 0
        left_alone = [
            *(r for r in alone.world.dispatched() if not r.automatic),
            *alone.world.emitted(topics.REFERRAL_REQUESTED_V1),
        ]
        assert bool(left_alone) == (asked in (FourEyes.NONE, FourEyes.POST))
