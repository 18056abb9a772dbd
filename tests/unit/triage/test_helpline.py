# SPDX-License-Identifier: Apache-2.0
"""A person in need: what is kept, who reads it, and what a hand-over takes."""

import json
from datetime import timedelta

import httpx
import pytest
from desk import Browser, Door, application, rooms, text_of
from triage_world import ANA, World
from wasl_triage.audit.trail import AUDIT
from wasl_triage.care.helpline import CONTACTS, HELPLINE, Helpline, NoSuchHelplineCase, Opening
from wasl_triage.care.telephone import NotTaken, PhoneReport, Telephone
from wasl_triage.console.pages import Console
from wasl_triage.desk import Forbidden, NotLawful, Refused
from wasl_triage.domain import helpline as record
from wasl_triage.domain.helpline import Survey
from wasl_triage.domain.people import Person, Role
from wasl_triage.http import create_app
from wasl_triage.settings import Staff

CAM = Person(name="counsellor-1", roles=frozenset({Role.COUNSELLOR}))
DEB = Person(name="counsellor-2", roles=frozenset({Role.COUNSELLOR}))
SECRET = "their own story, told by telephone"
FIRST = Opening(channel="phone", about="self", age="13_17", language="ar", summary=SECRET)


@pytest.fixture
def helpline(world: World) -> Helpline:
    return Helpline(world.hub, world.pack)


async def test_what_is_told_is_sealed_and_read_by_counsellors(
    world: World, helpline: Helpline
) -> None:
    case = await helpline.open(CAM, FIRST)
    assert SECRET not in json.dumps(world.hub.store.docs, default=str)
    opened = await helpline.read(DEB, case.id)
    assert opened.summary == SECRET
    with pytest.raises(Forbidden):
        await helpline.read(ANA, case.id)
    with pytest.raises(NoSuchHelplineCase):
        await helpline.read(CAM, "no-such")


async def test_every_read_and_change_is_in_the_trail(world: World, helpline: Helpline) -> None:
    case = await helpline.open(CAM, FIRST)
    await helpline.note(CAM, case.id, "called back")
    await helpline.read(DEB, case.id)
    docs = world.hub.store.docs["audit"].values()
    rows = sorted((AUDIT.decode(d) for d in docs), key=lambda r: r.seq)
    assert [(r.who, r.what) for r in rows if r.stream == case.id] == [
        (CAM.name, "open_helpline"), (CAM.name, "note"), (DEB.name, "read"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("answers", "wanted"),
    [
        ({}, "normal"),
        ({"minor": "yes"}, "normal"),
        ({"threatened": "yes"}, "high"),
        ({"danger_now": "yes", "threatened": "yes"}, "critical"),
        ({"self_harm": "yes"}, "critical"),
        ({"self_harm": "no", "danger_now": "unknown"}, "normal"),
    ],
)
async def test_the_newest_screen_says_how_urgent(
    helpline: Helpline, answers: dict[str, str], wanted: str
) -> None:
    case = await helpline.open(CAM, FIRST.model_copy(update={"risk": {"danger_now": "yes"}}))
    assert record.urgency(case.screenings) == "critical"
    case = await helpline.screen(CAM, case.id, answers)
    assert record.urgency(case.screenings) == wanted
    assert len(case.screenings) == 2


async def test_an_unsafe_place_forbids_calling_back_for_good(helpline: Helpline) -> None:
    case = await helpline.open(CAM, FIRST.model_copy(update={"risk": {"unsafe_place": "yes"}}))
    case = await helpline.screen(CAM, case.id, {"unsafe_place": "no"})
    assert not record.may_call_back(case.screenings)


async def test_a_hand_over_takes_consent_or_a_reason_and_a_second_person(
    world: World, helpline: Helpline
) -> None:
    case = await helpline.open(CAM, FIRST)
    body = next(iter(world.pack.authorities))
    for wrong in ({"body": "nobody", "consent": True}, {"body": body, "consent": False}):
        with pytest.raises(NotLawful):
            await helpline.hand_over(CAM, case.id, exception="", **wrong)  # type: ignore[arg-type]
    case = await helpline.hand_over(CAM, case.id, body, consent=True, exception="")
    assert case.hand_overs[0].second_due() is None
    case = await helpline.hand_over(CAM, case.id, body, consent=False, exception="danger now")
    due = case.hand_overs[1].second_due()
    assert due == world.clock.now() + timedelta(hours=24)
    with pytest.raises(Refused):
        await helpline.close(CAM, case.id, Survey(helped="yes", would_recommend="unknown"))
    with pytest.raises(NotLawful):
        await helpline.second(CAM, case.id, case.hand_overs[1].id)
    case = await helpline.second(DEB, case.id, case.hand_overs[1].id)
    assert (case.hand_overs[1].second, case.hand_overs[1].second_due()) == (DEB.name, None)
    case = await helpline.close(CAM, case.id, Survey(helped="yes", would_recommend="unknown"))
    assert case.state == "closed"
    with pytest.raises(Refused):
        await helpline.screen(CAM, case.id, {})
    assert (await helpline.reopen(CAM, case.id)).state == "open"


async def test_the_list_begins_with_who_cannot_wait(world: World, helpline: Helpline) -> None:
    calm = await helpline.open(CAM, FIRST)
    grave = await helpline.open(CAM, FIRST.model_copy(update={"risk": {"self_harm": "yes"}}))
    soon = await helpline.open(CAM, FIRST)
    await helpline.plan(CAM, soon.id, "call", world.clock.now() + timedelta(hours=1), CAM.name)
    assert [c.id for c in await helpline.waiting(DEB)] == [grave.id, soon.id, calm.id]
    await helpline.close(CAM, calm.id, Survey(helped="unknown", would_recommend="unknown"))
    assert len(await helpline.waiting(DEB)) == 2


async def test_a_contact_without_a_need_is_only_counted(world: World, helpline: Helpline) -> None:
    for _ in range(3):
        await helpline.count(CAM, "silent")
    rows = [CONTACTS.decode(d) for d in world.hub.store.docs["helpline_contacts"].values()]
    assert [(r.kind, r.count) for r in rows] == [("silent", 3)]
    assert "helpline" not in world.hub.store.docs


async def test_a_case_survives_the_database(world: World, helpline: Helpline) -> None:
    case = await helpline.open(CAM, FIRST.model_copy(update={"risk": {"minor": "yes"}}))
    body = next(iter(world.pack.authorities))
    await helpline.hand_over(CAM, case.id, body, consent=False, exception="danger")
    await helpline.act(CAM, case.id, ("listened",))
    kept = await helpline.link(CAM, case.id, "0" * 32)
    doc = {**HELPLINE.encode(kept), "_id": kept.id, "_rev": 1}
    assert HELPLINE.decode(doc) == kept


# -- a report for a caller -----------------------------------------------------------------------

CALLER = PhoneReport(
    channel="phone", language="fr", narrative="Quelqu'un me menace.", danger_now=True
)


def _telephone(answer: httpx.Response, got: list[httpx.Request]) -> Telephone:
    def intake(request: httpx.Request) -> httpx.Response:
        got.append(request)
        if answer.status_code == 599:
            raise httpx.ConnectError("away")
        return answer

    transport = httpx.MockTransport(intake)
    return Telephone(httpx.AsyncClient(transport=transport, base_url="http://intake.test"), "key")


async def test_a_caller_gets_a_receipt_to_write_down() -> None:
    got: list[httpx.Request] = []
    told = {"receipt": "x", "receipt_words": "nine words", "receipt_digits": "123"}
    receipt = await _telephone(httpx.Response(202, json=told), got).report(CALLER, "k" * 32)
    assert (receipt.digits, receipt.words) == ("123", "nine words")
    assert got[0].headers["x-api-key"] == "key"
    assert got[0].headers["idempotency-key"] == "k" * 32
    body = json.loads(got[0].content)
    assert body == {
        "channel": "phone", "language": "fr", "narrative": "Quelqu'un me menace.",
        "danger_now": True, "consent_partner": False, "consent_authority": False,
    }  # fmt: skip


async def test_what_intake_refuses_is_named_and_its_absence_is_said() -> None:
    wrong = httpx.Response(422, json={"errors": [{"field": "locations[0]"}]})
    with pytest.raises(NotTaken) as refused:
        await _telephone(wrong, []).report(CALLER, "k" * 32)
    assert refused.value.fields == ("locations[0]",)
    for status in (599, 500, 503, 429):
        with pytest.raises(Refused):
            await _telephone(httpx.Response(status), []).report(CALLER, "k" * 32)


# -- pages ---------------------------------------------------------------------------------------


async def test_a_counsellors_shift(world: World) -> None:
    door = Door()
    page = Browser(application(world, door), door, CAM)
    assert "/fr/helpline/new" in await page.get("helpline")
    await page.post("helpline/contacts", kind="hang_up")
    await page.post("helpline/contacts", 422, kind="nonsense")
    opened = await page.post(
        "helpline/new", channel="phone", about="self", language="fr", summary=SECRET,
        needs=["violence"], risk_self_harm="yes", risk_unsafe_place="yes",
    )  # fmt: skip
    path = opened.headers["location"].removeprefix("/fr/")
    shown = text_of(await page.get(path))
    assert SECRET in shown
    assert "Critical" in shown or "Critique" in shown
    await page.post(f"{path}/note", text="a note")
    await page.post(f"{path}/actions", actions=["listened"])
    await page.post(f"{path}/plan", text="call again", next_at="2026-01-06T10:00", owner="x")
    await page.post(f"{path}/plan", 422, text="", next_at="tomorrow", owner="")
    await page.post(f"{path}/hand-over", 422, body="nobody", consent="yes")
    await page.post(f"{path}/close", helped="yes", would_recommend="yes")
    assert SECRET not in await page.get("helpline")
    await page.post("helpline/new", 422, channel="pigeon", about="self", language="fr")
    await page.get("helpline/0000", 404)
    await page.get("queue", 403)


async def test_a_report_for_a_caller_on_the_page(world: World) -> None:
    told = {"receipt": "x", "receipt_words": "nine words", "receipt_digits": "123 456"}
    answers = [httpx.Response(503), httpx.Response(202, json=told)]
    http = httpx.AsyncClient(
        transport=httpx.MockTransport(lambda _: answers.pop(0)), base_url="http://intake.test"
    )
    door = Door()
    console = Console(world.pack, world.hub.clock, door, rooms(world, http))
    nobody = f'[{{"name": "nobody", "sha256": "{0:064d}", "roles": ["observer"]}}]'
    app = create_app(
        world.desk, world.pack, Staff.parse(nobody), world.hub.metrics, world.hub.clock,
        rooms=[console.register],
    )  # fmt: skip
    page = Browser(app, door, CAM)
    await page.get("helpline/report")
    sent = {"key": "k" * 32, "channel": "phone", "language": "fr", "narrative": "Bonjour"}
    away = await page.post("helpline/report", 503, **sent)
    assert "Bonjour" in away.text
    assert "k" * 32 in away.text
    done = await page.post("helpline/report", 200, **sent)
    assert "123 456" in done.text
    assert done.headers["cache-control"] == "no-store"
