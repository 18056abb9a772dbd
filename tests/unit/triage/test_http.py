# SPDX-License-Identifier: Apache-2.0
"""The desk's door: who may come in, what they may say, and what each refusal looks like."""

import hashlib
import json
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from triage_world import RABAT, World, answers
from wasl_chassis.failures import Retryable
from wasl_schemas import topics
from wasl_triage.http import create_app
from wasl_triage.settings import Staff

URL = "https://www.facebook.com/exemple/posts/12"
TOKENS = {
    "analyst-1": "token-of-analyst-1",
    "analyst-2": "token-of-analyst-2",
    "legal-1": "token-of-legal-1",
    "supervisor-1": "token-of-supervisor-1",
}
ROLES = {
    "analyst-1": ["analyst"],
    "analyst-2": ["analyst"],
    "legal-1": ["legal_reviewer"],
    "supervisor-1": ["supervisor"],
}
CLOSE = {"action": "close", "reason": "Seen.", "close_reason": "no_ground"}


def _staff() -> Staff:
    return Staff.parse(
        json.dumps(
            [
                {
                    "name": name,
                    "sha256": hashlib.sha256(token.encode()).hexdigest(),
                    "roles": ROLES[name],
                }
                for name, token in TOKENS.items()
            ]
        )
    )


@pytest.fixture
def app(world: World) -> FastAPI:
    return create_app(world.desk, world.pack, _staff(), world.hub.metrics, world.clock)


class Caller:
    def __init__(self, app: FastAPI, name: str) -> None:
        self._client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app),
            base_url="http://desk.test/api/v1",
            headers={"authorization": f"Bearer {TOKENS[name]}"} if name else {},
        )

    async def get(self, path: str, **more: Any) -> httpx.Response:
        return await self._client.get(path, **more)

    async def post(self, path: str, body: Any = None, **more: Any) -> httpx.Response:
        if isinstance(body, bytes):
            headers = {"content-type": "application/json", **more.pop("headers", {})}
            return await self._client.post(path, content=body, headers=headers, **more)
        return await self._client.post(path, json=body, **more)


@pytest.fixture
def ana(app: FastAPI) -> Caller:
    return Caller(app, "analyst-1")


def _problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert body["type"].startswith("urn:wasl:problem:")
    return body


def _judged(world: World, category: str) -> dict[str, Any]:
    return {"category": category, "answers": answers(world.pack, category)}


async def _open(world: World, **facts: Any) -> str:
    await world.arrives(URL, **{"category": "scam_fraud", "text": "a@example.org", **facts})
    return world.case().id


# -- who -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer ", "Basic dG9rZW4=", "Bearer wrong", "Bearer \u00e9", "token"],
)
async def test_without_a_known_token_nothing_is_shown(
    world: World, app: FastAPI, header: str | None
) -> None:
    case_id = await _open(world)
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://desk.test")
    headers = {} if header is None else {"authorization": header.encode("latin-1")}
    paths = ["queue", f"cases/{case_id}", f"cases/{case_id}/audit"]
    for path in paths:
        answer = await client.get(f"/api/v1/{path}", headers=headers)
        _problem(answer, 401)
        assert answer.headers["www-authenticate"].startswith("Bearer")
    for verb in ("claim", "release", "assessment", "decision", "confirmation", "messages"):
        answer = await client.post(f"/api/v1/cases/{case_id}/{verb}", headers=headers, content=b"{")
        _problem(answer, 401)  # before the body is read


async def test_tokens_belong_to_people() -> None:
    staff = _staff()
    for name, token in TOKENS.items():
        person = staff.who(token)
        assert person is not None
        assert (person.name, sorted(person.roles)) == (name, ROLES[name])
    assert staff.who("") is None
    assert staff.who("\ud800") is None


# -- the way through ---------------------------------------------------------------------------------


async def test_a_case_from_the_queue_to_the_partner(
    world: World, app: FastAPI, ana: Caller
) -> None:
    case_id = await _open(world)
    (line,) = (await ana.get("/queue")).json()["cases"]
    assert (line["case_id"], line["severity"], line["reports"]) == (case_id, "medium", 1)
    assert "location" not in json.dumps(line)
    sheet = (await ana.get(f"/cases/{case_id}")).json()
    assert sheet["item"]["location"] == URL
    assert sheet["reports"][0]["narrative"] == "[email]"
    assert sheet["options"]["partners"] == ["meta"]
    assert {"kind": "terms", "ref": "terms.fraud"} in sheet["options"]["grounds"]
    raw = (await ana.get(f"/cases/{case_id}", params={"unredacted": "true"})).json()
    assert raw["reports"][0]["narrative"] == "a@example.org"
    assert (await ana.post(f"/cases/{case_id}/claim", {})).json()["claimed_by"] == "analyst-1"
    said = await ana.post(f"/cases/{case_id}/assessment", _judged(world, "scam_fraud"))
    assert said.json()["state"] == "assessed"
    decided = await ana.post(
        f"/cases/{case_id}/decision",
        {
            "action": "dispatch",
            "reason": "A fee, then silence.",
            "ground": {"kind": "terms", "ref": "terms.fraud"},
            "partners": ["meta"],
        },
    )
    assert (decided.status_code, decided.json()["state"]) == (200, "in_progress")
    assert len(world.dispatched()) == 1
    sheet = (await ana.get(f"/cases/{case_id}")).json()
    assert sheet["dispatches"][0]["state"] == "requested"
    assert sheet["decisions"][0]["reason"] == "A fee, then silence."
    report_id = sheet["reports"][0]["report_id"]
    letter = {"report_id": report_id, "text": "Merci.", "question": False}
    assert (await ana.post(f"/cases/{case_id}/messages", letter)).status_code == 200
    assert len(world.emitted(topics.STAFF_MESSAGE_SENT_V1)) == 1
    boss = Caller(app, "supervisor-1")
    trail = (await boss.get(f"/cases/{case_id}/audit")).json()
    assert trail["broken_at"] is None
    assert [r["what"] for r in trail["rows"]][:3] == ["read", "read_unredacted", "first_look"]
    released = await ana.post(f"/cases/{case_id}/release", {"done": True})
    assert released.json()["claimed_by"] is None


async def test_two_people_and_a_lawyer(world: World, app: FastAPI, ana: Caller) -> None:
    case_id = await _open(world, category="hate_speech")
    await ana.post(f"/cases/{case_id}/claim", {})
    await ana.post(f"/cases/{case_id}/assessment", _judged(world, "hate_speech"))
    screen = dict.fromkeys(
        ("opinion", "satire", "journalism", "research", "religion", "public_interest"), False
    )
    proposal = {
        "action": "dispatch",
        "reason": "x",
        "ground": {"kind": "terms", "ref": "terms.hate"},
        "partners": ["meta"],
        "measure": "label",
        "rabat": RABAT.model_dump(),
    }
    body = _problem(await ana.post(f"/cases/{case_id}/decision", proposal), 422)
    assert [e["field"] for e in body["errors"]] == ["screen"]
    assert body["errors"][0]["fix"] == "Answer all its questions."
    answer = await ana.post(f"/cases/{case_id}/decision", {**proposal, "screen": screen})
    assert answer.json()["state"] == "second_look"
    bea, lea = Caller(app, "analyst-2"), Caller(app, "legal-1")
    sheet = (await bea.get(f"/cases/{case_id}")).json()
    assert (sheet["blinded"], sheet["assessment"], sheet["case"]["category"]) == (
        True, None, "hate_speech",
    )  # fmt: skip
    (decision,) = [d for d in sheet["decisions"] if d["waits_for_second_look"]]
    assert (decision["reason"], decision["ground"], decision["proposal"]) == (None, None, None)
    yes = {"decision_id": decision["decision_id"], "confirm": True}
    yes["assessment"] = _judged(world, "hate_speech")
    await bea.post(f"/cases/{case_id}/claim", {})
    body = _problem(await bea.post(f"/cases/{case_id}/confirmation", yes), 422)
    assert "legal reviewer" in body["errors"][0]["message"]
    await bea.post(f"/cases/{case_id}/release", {})
    await lea.post(f"/cases/{case_id}/claim", {})
    answer = await lea.post(f"/cases/{case_id}/confirmation", yes)
    assert answer.json()["state"] == "in_progress"


# -- refusals ----------------------------------------------------------------------------------------


async def test_each_kind_of_no_has_its_status(world: World, app: FastAPI, ana: Caller) -> None:
    case_id = await _open(world)
    bea, boss = Caller(app, "analyst-2"), Caller(app, "supervisor-1")
    for path in ("0" * 32, "x", "%2e%2e", "$where", "0" * 33, "A" * 32):
        _problem(await ana.get(f"/cases/{path}"), 404)
        _problem(await ana.post(f"/cases/{path}/claim", {}), 404)
    body = _problem(await ana.post(f"/cases/{case_id}/decision", CLOSE), 409)
    assert body["detail"] == "Claim it first."
    await ana.post(f"/cases/{case_id}/claim", {})
    _problem(await bea.post(f"/cases/{case_id}/claim", {}), 409)
    _problem(await ana.post(f"/cases/{case_id}/reopening", {"reason": "x"}), 409)
    _problem(await ana.get(f"/cases/{case_id}/audit"), 403)
    assert (await boss.post(f"/cases/{case_id}/claim", {"take_over": True})).status_code == 200
    body = _problem(await boss.post(f"/cases/{case_id}/decision", CLOSE), 403)
    assert "'decide'" in body["detail"]
    _problem(await ana.get("/no-such-path"), 404)
    _problem(await ana.get(f"/cases/{case_id}/claim"), 405)
    for limit in ("0", "101", "x", "-1"):
        _problem(await ana.get("/queue", params={"limit": limit}), 422)


BAD_BODIES: list[tuple[str, bytes, int, str]] = [
    ("assessment", b"", 400, "body"),
    ("assessment", b"{", 400, "body"),
    ("assessment", b"[]", 422, "body"),
    ("assessment", b"null", 422, "body"),
    ("assessment", b'{"category": "\xff"}', 400, "body"),
    ("assessment", b"{}", 422, "category"),
    ("assessment", b'{"category": 1}', 422, "category"),
    ("assessment", b'{"category": "A B"}', 422, "category"),
    ("assessment", b'{"category": "no-such-category"}', 422, "category"),
    ("assessment", b'{"category": "threats", "category": "csam"}', 422, "category"),
    ("assessment", b'{"category": {"$ne": null}}', 422, "$ne"),
    ("assessment", b'{"category": "threats", "$where": "1"}', 422, "$where"),
    ("assessment", b'{"category": "threats", "colour": "red"}', 422, "colour"),
    ("assessment", b'{"category": "threats", "note": "\\u0000"}', 422, "note"),
    ("assessment", b'{"category": "threats", "note": "\\ud800"}', 422, "note"),
    ("assessment", b'{"category": "threats", "signals": ["no-such-signal"]}', 422, "signals[0]"),
    ("assessment", b'{"category": "threats", "signals": "press"}', 422, "signals"),
    ("assessment", b'{"category": "threats", "signals": ["has_url"]}', 422, "signals"),
    ("assessment", b'{"category": "threats", "note": ' + b'{"a":' * 40 + b"1" + b"}" * 41, 422, "note"),
    ("assessment", b'{"category": "threats", "note": "' + b"x" * 4001 + b'"}', 422, "note"),
    ("decision", b"{}", 422, "action"),
    ("decision", b'{"action": "delete"}', 422, "action"),
    ("decision", b'{"action": "close", "reason": "x"}', 422, "close_reason"),
    ("decision", b'{"action": "close", "close_reason": "no_ground"}', 422, "reason"),
    ("decision", b'{"action": "close", "reason": "x", "close_reason": "boring"}', 422, "close_reason"),
    ("decision", b'{"action": "dispatch", "reason": "x"}', 422, "assessment"),
    ("decision", b'{"action": "dispatch", "ground": {"kind": "law"}}', 422, "ground.ref"),
    ("decision", b'{"action": "dispatch", "partners": ["meta", 1]}', 422, "partners[1]"),
    ("decision", b'{"action": "dispatch", "screen": {"opinion": 0}}', 422, "screen.opinion"),
    ("decision", b'{"action": "dispatch", "scope": "moon"}', 422, "scope"),
    ("decision", b'{"action": "refer", "reason": NaN}', 422, "body"),
    ("confirmation", b'{"decision_id": "x", "confirm": "yes"}', 422, "confirm"),
    ("confirmation", b'{"confirm": true}', 422, "decision_id"),
    ("messages", b'{"report_id": "short", "text": "x"}', 422, "report_id"),
    ("messages", b'{"report_id": "00000000", "text": "x"}', 422, "report_id"),
    ("messages", b'{"report_id": "00000000", "text": "  "}', 422, "text"),
    ("claim", b'{"take_over": 1}', 422, "take_over"),
    ("release", b'{"done": "no"}', 422, "done"),
    ("reopening", b"{}", 422, "reason"),
]  # fmt: skip


@pytest.mark.parametrize("bad", BAD_BODIES)
async def test_bad_input_is_named_and_changes_nothing(
    world: World, ana: Caller, bad: tuple[str, bytes, int, str]
) -> None:
    verb, body, status, field = bad
    case_id = await _open(world)
    await ana.post(f"/cases/{case_id}/claim", {})
    before = world.hub.store.docs["cases"][case_id]
    problem = _problem(await ana.post(f"/cases/{case_id}/{verb}", body), status)
    assert field in [e["field"] for e in problem["errors"]]
    assert all(e["message"] and e["fix"] for e in problem["errors"])
    assert world.hub.store.docs["cases"][case_id] == before


async def test_bodies_are_bounded_and_json(world: World, ana: Caller) -> None:
    case_id = await _open(world)
    path = f"/cases/{case_id}/assessment"
    _problem(await ana.post(path, b'{"note": "' + b"x" * 70_000 + b'"}'), 413)
    for media_type in ("text/plain", "application/x-www-form-urlencoded", "application/jsonp"):
        headers = {"content-type": media_type}
        _problem(await ana.post(path, b"{}", headers=headers), 415)


async def test_nothing_sent_is_repeated_in_a_refusal(world: World, ana: Caller) -> None:
    case_id = await _open(world)
    await ana.post(f"/cases/{case_id}/claim", {})
    secret = "CANARY-91"
    bodies = [
        {"category": secret},
        {"category": "threats", "note": [secret]},
        {"action": secret},
        {"report_id": "00000000", "text": secret},
    ]
    for verb in ("assessment", "decision", "confirmation", "messages"):
        for body in bodies:
            answer = await ana.post(f"/cases/{case_id}/{verb}", body)
            assert answer.status_code in (400, 422)
            assert secret not in answer.text


async def test_a_database_that_is_away_is_a_503(world: World, ana: Caller) -> None:
    case_id = await _open(world)

    async def away(*_: Any, **__: Any) -> Any:
        raise Retryable("down")

    world.hub.store.commit = away  # type: ignore[method-assign]
    answer = await ana.post(f"/cases/{case_id}/claim", {})
    _problem(answer, 503)
    assert answer.headers["retry-after"]


async def test_the_description_holds_every_body(app: FastAPI, ana: Caller) -> None:
    text = (await ana.get("/openapi.json")).text
    described = json.loads(text)
    paths = described["paths"]
    assert set(paths) == {
        "/api/v1/queue",
        "/api/v1/categories/{category}/questions",
        "/api/v1/cases/{case_id}",
        "/api/v1/cases/{case_id}/audit",
        *(
            f"/api/v1/cases/{{case_id}}/{verb}"
            for verb in (
                "claim", "release", "assessment", "decision", "confirmation", "messages",
                "reopening", "dispatches/{dispatch_id}/amendment",
            )
        ),
    }  # fmt: skip
    for name in (
        "Proposal",
        "AssessmentRequest",
        "Confirmation",
        "MessageRequest",
        "Screen",
        "Amendment",
    ):
        assert name in described["components"]["schemas"]
    refs = {part.split('"')[0] for part in text.split('"#/components/schemas/')[1:]}
    assert refs <= set(described["components"]["schemas"])
    assert described["security"] == [{"token": []}]
