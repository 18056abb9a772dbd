# SPDX-License-Identifier: Apache-2.0
"""The rooms of grouped, followed and appealed cases, through their door."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import httpx
import pytest
from cases_kit import CLOSE, PEOPLE, PIA, SAM, UNA, decided, posts, rooms
from fastapi import Depends, FastAPI, Request
from pydantic import TypeAdapter
from triage_world import ANA, BEA, SUE, World
from wasl_chassis.web import Problem, add_problem_handlers, read_body, validate
from wasl_schemas.base import Model
from wasl_triage import http
from wasl_triage.api.cases import BODIES, Door, add_case_routes
from wasl_triage.domain.people import Person

WHY = "One seller."


def _who(request: Request) -> Person:
    person = PEOPLE.get(request.headers.get("x-who", ""))
    if person is None:
        raise Problem(401, "A token is needed", "Send one.")
    return person


def _reader(model: Any) -> Callable[..., Awaitable[Any]]:
    async def read(request: Request, _: Annotated[Person, Depends(_who)]) -> Any:
        body = await read_body(request, 65_536, media_type="application/json")
        return validate(TypeAdapter(model), body)

    return read


@pytest.fixture
def app(world: World) -> FastAPI:
    app = FastAPI()
    add_problem_handlers(app)
    http._add_refusals(app)
    door = Door(who=_who, case_id=http._case_id, reader=_reader, takes=http._takes)
    add_case_routes(app, rooms(world), world.pack, door)
    return app


class Caller:
    def __init__(self, app: FastAPI, person: Person) -> None:
        self._client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app),
            base_url="http://desk.test/api/v1",
            headers={"x-who": person.name},
        )

    async def get(self, path: str, status: int = 200) -> Any:
        answer = await self._client.get(path)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def post(self, path: str, body: dict[str, Any] | None = None, status: int = 200) -> Any:
        answer = await self._client.post(path, json=body if body is not None else {})
        assert answer.status_code == status, answer.text
        return answer.json()


async def test_together_and_apart(world: World, app: FastAPI) -> None:
    ids = await posts(world, (1, 2))
    (extra,) = await posts(world, (1,))
    ana = Caller(app, ANA)
    assert extra == ids[0]
    body = {"cases": [ids[1]], "reason": WHY}
    refused = await ana.post(f"/cases/{ids[0]}/merge", body, 409)
    assert refused["title"] == "You do not hold this case"
    await world.desk.claim(ANA, ids[0])
    await ana.post(f"/cases/{ids[0]}/merge", {"cases": [ids[1]]}, 422)
    merge = await ana.post(f"/cases/{ids[0]}/merge", body)
    assert (merge["kind"], merge["cases"]) == ("merge", ids)
    assert [c["case_id"] for c in (await ana.get(f"/cases/{ids[0]}/group"))["cases"]] == [ids[1]]
    await ana.post(f"/cases/{ids[0]}/group/decision", status=409)
    await ana.post(f"/cases/{ids[0]}/group/assessment", status=409)
    undone = await ana.post(f"/operations/{merge['operation_id']}/undo")
    assert undone["undone_by"] == ANA.name
    await ana.post(f"/operations/{'f' * 32}/undo", status=404)
    report = world.case(ids[0]).recent[0]
    split = await ana.post(f"/cases/{ids[0]}/split", {"reports": [report], "reason": WHY})
    assert split["reports"] == [report]
    assert (await ana.post(f"/operations/{split['operation_id']}/undo"))["kind"] == "split"
    await ana.post(f"/cases/{ids[0]}/parting", {"reason": WHY}, 409)


async def test_a_case_is_followed(world: World, app: FastAPI) -> None:
    (case_id,) = await posts(world, (1,))
    await world.desk.claim(ANA, case_id)
    ana, sue = Caller(app, ANA), Caller(app, SUE)
    await ana.post(f"/cases/{case_id}/owner", {"owner": BEA.name})
    await ana.post(f"/cases/{case_id}/plan", {"text": "x", "next_at": "2026-01-20T09:00:00Z"})
    note = await ana.post(f"/cases/{case_id}/notes", {"text": "Seen twice."})
    entries = (await ana.get(f"/cases/{case_id}/timeline"))["entries"]
    assert {"at", "what", "who", "ref", "text"} == set(entries[0])
    assert [e["text"] for e in entries if e["ref"] == note["note_id"]] == ["Seen twice."]
    await ana.post(f"/cases/{case_id}/move", {"queue": "nowhere", "reason": "x"}, 422)
    await ana.post(f"/cases/{case_id}/skip", {"reason": "bored"}, 422)
    assert (await ana.post(f"/cases/{case_id}/skip", {"reason": "unclear"}))["claimed_by"] is None
    (row,) = (await sue.get("/skips"))["skips"]
    assert (row["reason"], row["count"]) == ("unclear", 1)
    await ana.get("/skips", 403)
    await sue.post(f"/cases/{case_id}/move", {"queue": "privacy", "reason": "x"})
    assert world.case().queue == "privacy"


async def test_appeals_and_opinions(world: World, app: FastAPI) -> None:
    (case_id,) = await posts(world, (1,))
    await world.desk.claim(ANA, case_id)
    ana, bea, pia = Caller(app, ANA), Caller(app, BEA), Caller(app, PIA)
    body = {"body": "data-protection", "question": "Is it?"}
    opinion = await ana.post(f"/cases/{case_id}/opinions", body)
    assert opinion["waits"]
    (waiting,) = (await pia.get("/opinions"))["opinions"]
    sheet = await pia.get(f"/opinions/{waiting['opinion_id']}")
    assert (sheet["question"], sheet["sheet"]["case"]["case_id"]) == ("Is it?", case_id)
    await pia.get(f"/cases/{case_id}/opinions", 404)
    await pia.post(f"/opinions/{opinion['opinion_id']}/answer", {"text": "It is."})
    (told,) = (await ana.get(f"/cases/{case_id}/opinions"))["opinions"]
    assert (told["waits"], told["answered_by"]) == (False, PIA.name)
    outside = await ana.post(f"/cases/{case_id}/opinions", {**body, "body": "macert"})
    answer = {"text": "Known.", "author": "Officer", "on": "2026-01-05"}
    path = f"/cases/{case_id}/opinions/{outside['opinion_id']}/answer"
    assert (await ana.post(path, answer))["on"] == "2026-01-05"

    case = await decided(world, case_id, CLOSE, "scam_fraud")
    await world.desk.release(ANA, case_id, done=True)
    filing = {"decision_id": case.decisions[0].id, "side": "affected", "grounds": "No."}
    appeal = await bea.post(f"/cases/{case_id}/appeals", filing)
    assert [a["appeal_id"] for a in (await bea.get("/appeals"))["appeals"]] == [appeal["appeal_id"]]
    await world.desk.claim(BEA, case_id)
    path = f"/cases/{case_id}/appeals/{appeal['appeal_id']}/answer"
    done = await bea.post(path, {"outcome": "reversed", "reason": "Seen again."})
    assert done["state"] == "reversed"
    assert (await ana.get(f"/cases/{case_id}/appeals"))["appeals"] == [done]
    await ana.get(f"/cases/{'f' * 32}/appeals", 404)


async def test_bulk(world: World, app: FastAPI) -> None:
    ids = await posts(world, (1, 2))
    sam = Caller(app, SAM)
    wanted = {
        "selection": {"category": "scam_fraud"}, "action": "close", "close_reason": "out_of_scope",
    }  # fmt: skip
    shown = await sam.post("/bulk/preview", wanted)
    assert (shown["count"], sorted(shown["ids"])) == (2, sorted(ids))
    body = {"request": wanted, "token": shown["token"], "reason": WHY}
    for action in ("dispatch", "assess", "refer", "confirm"):
        await sam.post("/bulk/preview", {**wanted, "action": action}, 422)
    done = await sam.post("/bulk", body)
    assert [r["done"] for r in done["results"]] == [True, True]
    refused = await sam.post("/bulk", body, 409)
    assert refused["title"].startswith("The cases have changed")


async def test_every_room_asks_who_and_describes_its_body(app: FastAPI) -> None:
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://desk.test")
    paths = app.openapi()["paths"]
    assert len(paths) == 24
    for path, methods in paths.items():
        for method, operation in methods.items():
            answer = await client.request(method, path.replace("{case_id}", "f" * 32), json={})
            assert answer.status_code == 401, (method, path)
            assert operation["description"]
            if "requestBody" in operation:
                ref = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
                assert ref.rpartition("/")[2] in {b.__name__ for b in BODIES}
    assert all(issubclass(b, Model) for b in BODIES)


async def test_what_a_person_may_not_see_is_in_no_room(world: World, app: FastAPI) -> None:
    (case_id,) = await posts(world, (1,), category="csam")
    una = Caller(app, UNA)
    for room in ("group", "timeline", "appeals", "opinions"):
        await una.get(f"/cases/{case_id}/{room}", 404)
    for room, body in (
        ("notes", {"text": "x"}), ("skip", {}), ("move", {"queue": "general", "reason": "x"}),
        ("split", {"reports": [world.case().recent[0]], "reason": "x"}),
        ("merge", {"cases": ["f" * 32], "reason": "x"}),
        ("opinions", {"body": "legal", "question": "x"}),
    ):  # fmt: skip
        await una.post(f"/cases/{case_id}/{room}", body, 404)
