# SPDX-License-Identifier: Apache-2.0
"""People, cases and proposals the tests of grouped, followed and appealed cases share."""

from collections.abc import Iterable
from typing import Any

from triage_world import ANA, BEA, LEA, SUE, World, agreeing, said
from wasl_schemas.events.common import Ground, GroundKind
from wasl_triage.api.cases import CaseRooms
from wasl_triage.domain.case import Action, Case, Measure
from wasl_triage.domain.decisions import CloseReason, Proposal, Screen
from wasl_triage.domain.people import Person, Role

#: An analyst without the clearance for child safety, who sees every queue.
UNA = Person(name="analyst-3", roles=frozenset({Role.ANALYST}))
#: A supervisor without it.
SID = Person(name="supervisor-2", roles=frozenset({Role.SUPERVISOR}))
#: Somebody who supervises and decides.
SAM = Person(
    name="supervisor-3", roles=frozenset({Role.SUPERVISOR, Role.ANALYST, Role.CHILD_SAFETY})
)
#: People of one queue only.
PIA = Person(name="privacy-1", roles=frozenset({Role.DATA_OFFICER}), queues=frozenset({"privacy"}))
KIM = Person(
    name="children-1", roles=frozenset({Role.ANALYST, Role.CHILD_SAFETY}),
    queues=frozenset({"children"}),
)  # fmt: skip
PEOPLE = {p.name: p for p in (ANA, BEA, LEA, SUE, UNA, SID, SAM, PIA, KIM)}

FRAUD = Proposal(
    action=Action.DISPATCH, reason="A fee, then silence.",
    ground=Ground(kind=GroundKind.TERMS, ref="terms.fraud"), partners=("meta",),
    advice="money-lost",
)  # fmt: skip
#: Two people look before it leaves.
PRIVACY = Proposal(
    action=Action.DISPATCH, reason="A home address.",
    ground=Ground(kind=GroundKind.TERMS, ref="terms.privacy"), partners=("meta",),
    screen=Screen(
        opinion=False, satire=False, journalism=False, research=False, religion=False,
        public_interest=False,
    ),
    measure=Measure.LABEL,
)  # fmt: skip
CLOSE = Proposal(action=Action.CLOSE, reason="Seen.", close_reason=CloseReason.NO_GROUND)


def post(n: int) -> str:
    return f"https://www.facebook.com/permalink.php?story_fbid={n}&id=100000000000023"


async def _person(name: str) -> Person | None:
    return PEOPLE.get(name)


def rooms(world: World) -> CaseRooms:
    return CaseRooms.of(world.hub, world.pack, world.desk, world.requests, _person)


async def posts(world: World, numbers: Iterable[int], **facts: Any) -> list[str]:
    """One case a number, each from one report. Returns the ids of the cases."""
    facts = {"category": "scam_fraud", "consent_partner": True, **facts}
    for n in numbers:
        await world.arrives(post(n), **facts)
    return [world.case_id(post(n)) for n in numbers]


async def decided(
    world: World, case_id: str, proposal: Proposal, category: str, person: Person = ANA
) -> Case:
    """The case claimed, assessed and decided by one person."""
    await world.desk.claim(person, case_id)
    await world.desk.assess(person, case_id, said(world.pack, category))
    return await world.desk.decide(person, case_id, proposal)


def sees(world: World, person: Person) -> set[str]:
    """The ids of the cases a person sees."""
    return {c.id for c in world.cases() if person.sees(c.queue, restricted=c.restricted)}


__all__ = [
    "CLOSE", "FRAUD", "KIM", "PEOPLE", "PIA", "PRIVACY", "SAM", "SID", "UNA", "agreeing", "decided", "post",
    "posts", "rooms", "said", "sees",
]  # fmt: skip
