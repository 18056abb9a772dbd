# SPDX-License-Identifier: Apache-2.0
"""Practice pages: a settled case is marked, judged without knowing whose, and its answer shown."""

import re

from desk import Browser, Door, application, text_of
from triage_world import ANA, BEA, SUE, World, said
from wasl_triage.domain.case import Action, Case
from wasl_triage.domain.decisions import CloseReason, Proposal
from wasl_triage.domain.people import Person, Role

CLOSE = Proposal(action=Action.CLOSE, reason="x", close_reason=CloseReason.NO_GROUND)
NARROW = Person(name="supervisor-2", roles=frozenset({Role.SUPERVISOR}))


async def _settled(world: World, category: str = "scam_fraud") -> Case:
    url = f"https://{category.replace('_', '-')}.example/x"
    await world.arrives(
        url, category=category, text="They asked 06 00 00 00 05.", consent_partner=False
    )
    case = await world.held(ANA, world.case_id(url))
    await world.desk.assess(ANA, case.id, said(world.pack, category))
    await world.desk.decide(ANA, case.id, CLOSE)
    return world.case(case.id)


async def test_from_a_settled_case_to_an_answer(world: World) -> None:
    case = await _settled(world)
    door = Door()
    app = application(world, door)
    sue, bea = Browser(app, door, SUE), Browser(app, door, BEA)
    await sue.get(f"practice/new?case={case.id}")
    bare = await sue.post("practice/new", 422, case=case.id, expected="scam_fraud", note="")
    assert 'value="scam_fraud" selected' in bare.text
    wrong = await sue.post("practice/new", 422, case=case.id, expected="no-such", note="kept words")
    assert "kept words" in wrong.text
    await sue.post("practice/new", case=case.id, expected="scam_fraud", note="A fee. SECRET-NOTE")
    assert "practice/retired" in await sue.get(f"practice/new?case={case.id}")
    (path,) = re.findall(r"/fr/(practice/[0-9a-f-]{36})", await bea.get("practice"))
    shown = text_of(await bea.get(path))
    assert "They asked [phone]." in shown
    for told in (case.id, ANA.name, "SECRET-NOTE"):
        assert told not in shown
    await bea.post(path, 422, category="")
    result = await bea.post(path, 200, category="phishing_malware")
    words = world.pack.words(world.pack.categories["scam_fraud"].label, "fr")
    assert words in result.text
    assert "SECRET-NOTE" not in result.text
    assert path not in await bea.get("practice")
    again = await bea.post(path, 409, category="scam_fraud")
    assert 'role="alert"' in again.text
    golden = path.rpartition("/")[2]
    await bea.post("practice/retired", 403, case=case.id, golden=golden)
    await sue.post("practice/retired", case=case.id, golden=golden)
    assert "practice/retired" not in await sue.get(f"practice/new?case={case.id}")


async def test_who_may_not_and_who_may_not_see(world: World) -> None:
    case = await _settled(world, "csam")
    open_ = "https://open.example/x"
    await world.arrives(open_, category="scam_fraud")
    door = Door()
    app = application(world, door)
    await Browser(app, door, ANA).get(f"practice/new?case={case.id}", 403)
    await Browser(app, door, SUE).get("practice", 403)
    narrow, sue = Browser(app, door, NARROW), Browser(app, door, SUE)
    await narrow.get(f"practice/new?case={case.id}", 404)
    await narrow.post("practice/new", 404, case=case.id, expected="csam", note="x")
    await narrow.get("practice/new", 404)
    refused = await sue.post("practice/new", 409, case=case.id, expected="csam", note="typed")
    assert "typed" in refused.text
    early = world.case_id(open_)
    await sue.post("practice/new", 409, case=early, expected="scam_fraud", note="x")
    await Browser(app, door, BEA).get("practice/no-such", 404)
