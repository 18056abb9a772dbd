# SPDX-License-Identifier: Apache-2.0
"""The independent reviewer's pages: no names, redacted texts, a reason for a no, nothing leaked."""

import re

import pytest
from desk import Browser, Door, application, text_of
from triage_world import ANA, World, said
from wasl_schemas.country_pack import CountryPack
from wasl_schemas.desk import Review as Shares
from wasl_schemas.taxonomy import Safeguard
from wasl_triage.domain.case import Action, Attention, Case
from wasl_triage.domain.decisions import CloseReason, Proposal
from wasl_triage.domain.people import Person, Role

IRA = Person(name="independent-1", roles=frozenset({Role.INDEPENDENT_REVIEWER, Role.CHILD_SAFETY}))
IVO = Person(name="independent-2", roles=frozenset({Role.INDEPENDENT_REVIEWER}))
CLOSE = Proposal(action=Action.CLOSE, reason="It is satire.", close_reason=CloseReason.NO_GROUND)


@pytest.fixture
def world(pack: CountryPack, monkeypatch: pytest.MonkeyPatch) -> World:
    """A desk all of whose decisions are drawn."""
    shares = Shares(share=dict.fromkeys(Safeguard, 1.0))
    monkeypatch.setattr(pack, "desk", pack.desk.model_copy(update={"review": shares}))
    return World(pack)


async def _closed(world: World, category: str = "lawful_objectionable") -> Case:
    url = f"https://{category.replace('_', '-')}.example/x"
    await world.arrives(url, category=category, text="Call 06 00 00 00 05.", consent_partner=False)
    case = await world.held(ANA, world.case_id(url))
    await world.desk.assess(ANA, case.id, said(world.pack, category))
    return await world.desk.decide(ANA, case.id, CLOSE)


async def test_a_decision_is_read_without_names_and_answered(world: World) -> None:
    case = await _closed(world)
    door = Door()
    page = Browser(application(world, door), door, IRA)
    path = f"review/{case.decisions[0].id}"
    assert path in await page.get("review")
    shown = text_of(await page.get(path))
    assert "Call [phone]." in shown
    assert "It is satire." in shown
    assert ANA.name not in shown
    assert "06 00" not in shown
    await page.post(path, 422, reason="typed")
    again = await page.post(path, 422, agree="no", reason="")
    assert re.search(r'value="no" checked', again.text)
    kept = await page.post(path, 422, agree="maybe", reason="my words")
    assert "my words" in kept.text
    await page.post(path, agree="no", reason="The ground is there.")
    assert Attention.OBJECTION in world.case().attention
    assert path not in await page.get("review")
    twice = await page.post(path, 409, agree="yes")
    assert 'role="alert"' in twice.text


async def test_a_restricted_decision_is_not_there_for_others(world: World) -> None:
    case = await _closed(world, "csam")
    assert case.restricted
    door = Door()
    app = application(world, door)
    path = f"review/{case.decisions[0].id}"
    other = Browser(app, door, IVO)
    assert case.decisions[0].id not in await other.get("review")
    await other.get(path, 404)
    await other.post(path, 404, agree="yes")
    shown = text_of(await Browser(app, door, IRA).get(path))
    assert "Call" not in shown.replace("Call back", ""), "nobody views this a second time"
    await Browser(app, door, ANA).get("review", 403)
