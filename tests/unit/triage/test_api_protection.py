# SPDX-License-Identifier: Apache-2.0
"""The rooms of data protection over HTTP: bodies, answers, refusals."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from pydantic import TypeAdapter
from triage_world import ANA, SUE, World
from wasl_chassis.web import add_problem_handlers, read_body, validate
from wasl_triage.api.cases import Door
from wasl_triage.api.protection import BODIES, ProtectionRooms, add_protection_routes
from wasl_triage.domain.people import Person, Role
from wasl_triage.http import _add_refusals, _takes

DEE = Person(name="officer-1", roles=frozenset({Role.DATA_OFFICER, Role.CHILD_SAFETY}))
PEOPLE = {p.name: p for p in (ANA, SUE, DEE)}


def _reader(model: Any) -> Callable[..., Awaitable[Any]]:
    async def read(request: Request) -> Any:
        body = await read_body(request, 65_536, media_type="application/json")
        return validate(TypeAdapter(model), body)

    return read


@pytest.fixture
async def api(world: World) -> Any:
    app = FastAPI()
    add_problem_handlers(app)
    _add_refusals(app)
    door = Door(
        who=lambda request: PEOPLE[request.headers["x-person"]],
        case_id=lambda case_id: case_id,
        reader=_reader,
        takes=_takes,
    )
    door.who.__annotations__["request"] = Request
    rooms = ProtectionRooms.of(world.hub, world.pack, world.desk)
    add_protection_routes(app, rooms, door)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://desk.test"
    ) as client:
        yield client


def _as(person: Person) -> dict[str, str]:
    return {"x-person": person.name}


async def test_a_hold_from_set_to_lifted(world: World, api: httpx.AsyncClient) -> None:
    await world.arrives("https://example.org/a", category="scam_fraud")
    until = (world.clock.now() + timedelta(days=9)).isoformat()
    path = f"/api/v1/cases/{world.case().id}/holds"
    body = {"body": "court-rabat", "reason": "By letter.", "until": until}
    assert (await api.post(path, json=body, headers=_as(ANA))).status_code == 403
    hold = (await api.post(path, json=body, headers=_as(SUE))).json()
    assert (hold["stands"], hold["by"]) == (True, SUE.name)
    assert "reason" not in hold
    lifting, why = f"/api/v1/holds/{hold['hold_id']}/lifting", {"reason": "Over."}
    assert (await api.post(lifting, json=why, headers=_as(SUE))).json()["stands"]
    assert (await api.post(lifting, json=why, headers=_as(SUE))).status_code == 409
    assert (await api.delete(lifting, headers=_as(DEE))).json()["lift_asked_by"] is None
    for person in (DEE, SUE):
        await api.post(lifting, json=why, headers=_as(person))
    (seen,) = (await api.get(path, headers=_as(SUE))).json()["holds"]
    assert (seen["stands"], seen["lifted_by"]) == (False, SUE.name)
    assert (
        await api.get(path.replace(world.case().id, "0" * 32), headers=_as(SUE))
    ).status_code == 404


async def test_redaction(world: World, api: httpx.AsyncClient) -> None:
    report = await world.arrives("https://example.org/a", text="Call a@example.org now")
    path = f"/api/v1/cases/{world.case().id}/redaction"
    body = {"report_id": report, "pieces": [{"start": 0, "end": 4}], "detected": True}
    done = (await api.post(path, json=body, headers=_as(DEE))).json()
    assert (done["pieces"], done["under_holds"]) == (2, 0)
    bad = {"report_id": report, "pieces": [{"start": 4, "end": 4}]}
    assert (await api.post(path, json=bad, headers=_as(DEE))).status_code == 422


async def test_the_register(world: World, api: httpx.AsyncClient) -> None:
    path = "/api/v1/subject-requests"
    body = {
        "kind": "access", "channel": "letter", "received_at": world.clock.now().isoformat(),
        "identity": "A. Person", "text": "What do you have?",
    }  # fmt: skip
    made = (await api.post(path, json=body, headers=_as(DEE))).json()
    assert (made["identity"], made["overdue"]) == (None, False)
    one = f"{path}/{made['request_id']}"
    step = {"state": "in_work", "note": "Looking."}
    assert (await api.post(f"{one}/steps", json=step, headers=_as(DEE))).json()[
        "state"
    ] == "in_work"
    opened = (await api.get(one, headers=_as(DEE))).json()
    assert (opened["identity"], opened["steps"][0]["note"]) == ("A. Person", "Looking.")
    listed = (await api.get(path, headers=_as(DEE))).json()["requests"]
    assert [r["identity"] for r in listed] == [None]
    figures = (await api.get(f"{path}/figures", headers=_as(ANA))).json()
    assert figures["kinds"] == {"rows": {}, "total": {"count": 0, "small": False}}
    assert figures["month"] < f"{world.clock.now():%Y-%m}"
    for person in (ANA, SUE):
        assert (await api.get(one, headers=_as(person))).status_code == 403
    assert (await api.get(f"{path}/{'0' * 32}", headers=_as(DEE))).status_code == 409


def test_every_body_is_described() -> None:
    assert {b.__name__ for b in BODIES} == {
        "HoldRequest", "LiftRequest", "RedactionRequest", "Registration", "StepRequest",
    }  # fmt: skip
