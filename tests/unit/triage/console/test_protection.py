# SPDX-License-Identifier: Apache-2.0
"""Data protection's pages: holds by two, a plan that changes nothing, redaction, the register."""

import copy
import re
from datetime import timedelta
from typing import Any

from desk import Browser, Door, application, text_of
from triage_world import ANA, SUE, World, said
from wasl_triage.domain.case import Action
from wasl_triage.domain.decisions import CloseReason, Proposal
from wasl_triage.domain.people import Person, Role
from wasl_triage.protection.holds import HOLDS
from wasl_triage.protection.subject_requests import SUBJECT_REQUESTS

DEE = Person(name="officer-1", roles=frozenset({Role.DATA_OFFICER, Role.CHILD_SAFETY}))
NARROW = Person(name="officer-2", roles=frozenset({Role.DATA_OFFICER}))
TEXT = "Fatima wrote to rabia@example.org, then Fatima called 06 12 34 56 78."
CLOSE = Proposal(action=Action.CLOSE, reason="x", close_reason=CloseReason.NO_GROUND)


async def _opened(world: World, category: str = "scam_fraud") -> tuple[str, str]:
    url = f"https://{category.replace('_', '-')}.example/x"
    report = await world.arrives(url, category=category, text=TEXT, consent_partner=False)
    return world.case_id(url), report


def _browsers(world: World) -> tuple[Browser, Browser, Browser]:
    door = Door()
    app = application(world, door)
    return Browser(app, door, DEE), Browser(app, door, SUE), Browser(app, door, NARROW)


def _until(world: World) -> str:
    return f"{world.clock.now() + timedelta(days=30):%Y-%m-%d}"


# -- holds -----------------------------------------------------------------------------------------


async def test_a_hold_is_set_and_lifted_by_two(world: World) -> None:
    case_id, _ = await _opened(world)
    body = next(iter(world.pack.authorities))
    dee, sue, _ = _browsers(world)
    base = f"protection/cases/{case_id}"
    bare = await dee.post(f"{base}/holds", 422, body=body, reason="", until=_until(world))
    assert f'value="{_until(world)}"' in bare.text
    assert f'value="{body}" selected' in bare.text
    wrong = await dee.post(f"{base}/holds", 422, body=body, reason="Letter 12.", until="soon")
    assert "Letter 12." in wrong.text
    past = await dee.post(f"{base}/holds", 409, body=body, reason="x", until="2020-01-01")
    assert 'role="alert"' in past.text
    await dee.post(f"{base}/holds", body=body, reason="Letter 12.", until=_until(world))
    assert world.case(case_id).held
    (hold,) = world.hub.store.docs["holds"].values()
    assert "Letter 12." not in str(hold)
    shown = await sue.get(base)
    assert "Letter 12." in shown
    assert case_id in await sue.get("protection")
    await sue.post(f"{base}/lifting", 422, hold=hold["_id"], reason="")
    await sue.post(f"{base}/lifting", hold=hold["_id"], reason="Over.")
    assert "protection/cases" in await sue.get("protection")
    await sue.post(f"{base}/lifting", 409, hold=hold["_id"], reason="Over.")
    await dee.post(f"{base}/keeping", hold=hold["_id"])
    assert world.case(case_id).held
    await sue.post(f"{base}/lifting", hold=hold["_id"], reason="Over.")
    await dee.post(f"{base}/lifting", hold=hold["_id"], reason="Yes.")
    assert not world.case(case_id).held
    assert HOLDS.decode(world.hub.store.docs["holds"][hold["_id"]]).lifted_by == DEE.name


async def test_a_hidden_case_is_in_no_list(world: World) -> None:
    hidden, report = await _opened(world, "csam")
    body = next(iter(world.pack.authorities))
    dee, _, narrow = _browsers(world)
    base = f"protection/cases/{hidden}"
    await dee.post(f"{base}/holds", body=body, reason="x", until=_until(world))
    assert hidden in await dee.get("protection")
    assert hidden not in await narrow.get("protection")
    await narrow.get(base, 404)
    await narrow.get(f"protection/case?id={hidden}", 303)
    await narrow.get("protection/case?id=../../x", 404)
    await narrow.get(f"{base}/reports/{report}", 404)
    await narrow.post(f"{base}/reports/{report}", 404, step="sure", reason="x")
    await narrow.post(f"{base}/holds", 404, body=body, reason="x", until=_until(world))
    (hold,) = world.hub.store.docs["holds"]
    await narrow.post(f"{base}/lifting", 404, hold=hold, reason="x")
    seen, _ = await _opened(world)
    other = await narrow.post(f"protection/cases/{seen}/lifting", 404, hold=hold, reason="x")
    assert hidden not in other.text
    door = Door()
    await Browser(application(world, door), door, ANA).get("protection", 403)


# -- retention -------------------------------------------------------------------------------------


async def test_the_plan_counts_and_changes_nothing(world: World) -> None:
    for n in range(6):
        url = f"https://shop-{n}.example/x"
        await world.arrives(url, category="scam_fraud", text=TEXT)
        case = await world.held(ANA, world.case_id(url))
        await world.desk.assess(ANA, case.id, said(world.pack, "scam_fraud"))
        await world.desk.decide(ANA, case.id, CLOSE)
    dee, _, narrow = _browsers(world)
    before = copy.deepcopy({k: v for k, v in world.hub.store.docs.items() if v})
    shown = text_of(await dee.get("protection/retention"))
    assert {k: v for k, v in world.hub.store.docs.items() if v} == before
    assert "6" in shown
    assert "chip flag" not in (await dee.get("protection/retention"))
    world.later(days=365 * 6)
    assert "chip flag" in await narrow.get("protection/retention")


async def test_few_lines_are_hidden_from_who_is_not_cleared(world: World) -> None:
    case_id, _ = await _opened(world)
    case = await world.held(ANA, case_id)
    await world.desk.assess(ANA, case.id, said(world.pack, "scam_fraud"))
    await world.desk.decide(ANA, case.id, CLOSE)
    dee, _, narrow = _browsers(world)
    assert "&lt;5" in await narrow.get("protection/retention")
    assert "&lt;5" not in await dee.get("protection/retention")


# -- redaction -------------------------------------------------------------------------------------


async def test_what_was_detected_is_chosen_and_more_can_be_named(world: World) -> None:
    case_id, report = await _opened(world)
    dee, _, _ = _browsers(world)
    path = f"protection/cases/{case_id}/reports/{report}"
    shown = await dee.get(path)
    pieces = re.findall(r'name="pieces" value="([\d-]+)" checked', shown)
    assert len(pieces) == 2
    assert "<mark>rabia@example.org</mark>" in shown
    (mark,) = re.findall(r'name="mark" value="(\w+)"', shown)
    form: dict[str, Any] = {
        "mark": mark,
        "pieces": pieces[:1],
        "words": "Fatima",
        "reason": "",
    }
    preview = (await dee.post(path, 200, step="preview", **form)).text
    assert "[removed] wrote to [removed], then [removed] called 06 12 34 56 78." in text_of(preview)
    assert world.reports()[report].redacted_at is None
    bare = await dee.post(path, 422, step="sure", **form)
    assert "Fatima</textarea>" in bare.text
    gone = await dee.post(path, 422, step="sure", **{**form, "words": "Nobody"})
    assert "Nobody</textarea>" in gone.text
    stale = {**form, "mark": "0" * 16, "reason": "Asked by law."}
    await dee.post(path, 409, step="sure", **stale)
    assert world.reports()[report].redacted_at is None
    done = await dee.post(path, step="sure", **{**form, "reason": "Asked by law."})
    assert done.headers["location"].endswith(case_id)
    again = text_of(await dee.get(path))
    assert "[removed] wrote to [removed]" in again
    assert "Fatima" not in again
    assert "06 12 34 56 78" in again, "what was not chosen stays"
    trail = [r.what for r in world.audit(world.case(case_id))]
    assert trail.count("redact") == 1
    assert "read_to_redact" in trail
    assert "Asked by law." not in world.everything(), "the reason is a sealed note"
    await dee.get(f"protection/cases/{case_id}/reports/none", 404)


async def test_who_may_not_unmask_blacks_out_what_was_detected(world: World) -> None:
    case_id, report = await _opened(world)
    _, sue, _ = _browsers(world)
    path = f"protection/cases/{case_id}/reports/{report}"
    shown = await sue.get(path)
    assert "rabia@example.org" not in shown
    assert "[email]" in shown
    assert "rabia" not in (await sue.post(path, 422, step="sure", reason="")).text
    await sue.post(path, step="sure", reason="Asked by law.", words="Fatima")
    text = text_of(await _browsers(world)[0].get(path))
    assert "Fatima wrote to [email], then Fatima called [phone]." in text


# -- requests of data subjects ---------------------------------------------------------------------


async def test_a_request_from_entry_to_answer(world: World) -> None:
    dee, sue, _ = _browsers(world)
    await sue.get("protection/requests", 403)
    await sue.post("protection/requests/new", 403, kind="access")
    day = f"{world.clock.now():%Y-%m-%d}"
    form: dict[str, Any] = {"kind": "rectification", "channel": "letter", "received": day, "identity": "SECRET-NAME",
            "text": "SECRET-WISH"}  # fmt: skip
    bare = await dee.post("protection/requests/new", 422, **{**form, "identity": ""})
    assert "SECRET-WISH" in bare.text
    assert 'value="rectification" checked' in bare.text
    await dee.post("protection/requests/new", 422, **{**form, "received": "x"})
    await dee.post("protection/requests/new", 422, **{**form, "case_id": "x y"})
    await dee.post("protection/requests/new", 409, **{**form, "received": "2100-01-01"})
    made = await dee.post("protection/requests/new", **form)
    path = made.headers["location"].removeprefix("/fr/")
    assert "SECRET" not in world.everything()
    assert "SECRET-NAME" in await dee.get(path)
    listed = await dee.get("protection/requests")
    assert path in listed
    assert "SECRET" not in listed
    assert 'class="late"' not in listed
    world.later(days=60)
    assert 'class="late"' in await dee.get("protection/requests")
    await dee.post(path, 422, state="", note="kept")
    refused = await dee.post(path, 409, state="refused", note="")
    assert 'value="refused" checked' in refused.text
    await dee.post(path, state="identified", note="Card seen.")
    await dee.post(path, state="answered", note="")
    assert "Card seen." in await dee.get(path)
    assert path not in await dee.get("protection/requests")
    (kept,) = map(SUBJECT_REQUESTS.decode, world.hub.store.docs["subject_requests"].values())
    assert kept.closed_at == world.clock.now()
    await dee.get("protection/requests/none", 404)
