# SPDX-License-Identifier: Apache-2.0
"""Webhooks beyond the kit's rules: setting them up, faults of providers, people without a number."""

import json
from typing import Any

import httpx
import pytest
from wasl_intake.channels import api, graph
from wasl_intake.channels.conformance import SENDER, TEXT, receipts
from wasl_intake.channels.contract import Inbound, Rejected, Retryable
from wasl_intake.channels.door import path, webhook_app

WORD = "verify-verify-verify"
NAMES = ("whatsapp", "messenger", "telegram")


def client(world: Any) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(webhook_app(world.desk, world.measured, 65_536))
    return httpx.AsyncClient(transport=transport, base_url="http://us.test")


async def ask(world: Any, **query: str) -> httpx.Response:
    async with client(world) as http:
        params = {f"hub.{k}": v for k, v in query.items()}
        return await http.get(path(world.adapter.name), params=params)


@pytest.mark.parametrize("name", ["whatsapp", "messenger"])
async def test_meta_is_told_its_word(world_of: Any, name: str) -> None:
    world = world_of(name)
    answer = await ask(world, mode="subscribe", verify_token=WORD, challenge="1158201444")
    assert (answer.status_code, answer.text) == (200, "1158201444")
    assert answer.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "query",
    [
        {},
        {"mode": "subscribe", "challenge": "1"},
        {"mode": "subscribe", "challenge": "1", "verify_token": "verify-verify-verifx"},
        {"mode": "unsubscribe", "challenge": "1", "verify_token": WORD},
        {"mode": "subscribe", "verify_token": WORD},
        {"mode": "subscribe", "verify_token": WORD, "challenge": "<script>"},
        {"mode": "subscribe", "verify_token": "é", "challenge": "1"},
    ],
)
async def test_nobody_else_is(world_of: Any, name: str, query: dict[str, str]) -> None:
    answer = await ask(world_of(name), **query)
    assert answer.status_code == 403
    assert "script" not in answer.text


@pytest.mark.parametrize("name", NAMES)
async def test_other_methods_and_places(world_of: Any, name: str) -> None:
    world = world_of(name)
    async with client(world) as http:
        assert (await http.put(path(name))).status_code == 405
        assert (await http.post("/")).status_code == 404
        assert (await http.get("/metrics")).status_code == 404


async def test_a_bug_is_told_as_one_and_comes_again(
    world_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = world_of("whatsapp")

    def broken(_: object) -> None:
        raise RuntimeError("canary text of a person")

    monkeypatch.setattr(world.adapter, "parse", broken)
    p = world.provider
    async with client(world) as http:
        given = p.delivery(p.message(1, TEXT))
        answer = await http.post(path("whatsapp"), content=given.body)
    assert answer.status_code == 500
    assert "canary" not in answer.text
    failed = world.measured.value(
        "wasl_channel_deliveries_total", channel="whatsapp", result="failed"
    )
    assert failed == 1


async def test_without_a_number_the_user_id_is_answered(world_of: Any) -> None:
    world = world_of("whatsapp")
    message = {
        "from_user_id": "MA.1349120",
        "id": "wamid.1",
        "type": "text",
        "text": {"body": TEXT},
    }
    assert await world.deliver(world.provider.delivery(message)) == "accepted"
    assert [to for to, _ in world.provider.answers] == ["MA.1349120"]
    (sent,) = world.provider.sent
    assert "to" not in json.loads(sent.content)


@pytest.mark.parametrize(
    ("kind", "held", "text"),
    [
        ("button", {"text": "Report", "payload": "x"}, "Report"),
        ("interactive", {"type": "button_reply", "button_reply": {"title": "Report"}}, "Report"),
        ("interactive", {"type": "list_reply", "list_reply": {"title": "One"}}, "One"),
        ("interactive", {"type": "nfm_reply"}, ""),
        ("document", {"caption": "see this", "filename": "x.pdf"}, "see this"),
        ("audio", {"id": "1", "voice": True}, ""),
    ],
)
def test_what_whatsapp_people_can_send(world_of: Any, kind: str, held: Any, text: str) -> None:
    world = world_of("whatsapp")
    message = {"from": SENDER, "id": "wamid.1", "type": kind, kind: held}
    (one,) = world.adapter.parse(world.provider.delivery(message))
    assert isinstance(one, Inbound)
    assert one.text == text


async def test_a_pressed_start_button_is_told_how_to_report(world_of: Any) -> None:
    world = world_of("messenger")
    event = {"sender": {"id": SENDER}, "postback": {"mid": "m_1", "title": "Start", "payload": "x"}}
    assert await world.deliver(world.provider.delivery(event)) == "accepted"
    assert world.reports() == []
    assert "https://portal.test" in world.provider.answers[0][1]


async def test_the_language_of_the_telegram_account_decides(world_of: Any) -> None:
    world = world_of("telegram")
    await world.deliver(world.provider.delivery(world.provider.message(1, "", media=1)))
    assert "supprimé sans être ouvert" in world.provider.answers[0][1]


async def test_long_answers_arrive_in_parts_the_receipt_first(world_of: Any) -> None:
    world = world_of("instagram")
    message = world.provider.message(1, "شخص يهددني " * 500, media=3)
    await world.deliver(world.provider.delivery(message))
    parts = [json.loads(r.content)["message"]["text"] for r in world.provider.sent]
    assert len(parts) > 1
    assert receipts(world)[0][:6] in parts[0]


def graph_error(code: int, subcode: int | None = None, **more: Any) -> httpx.Response:
    error = {"message": "x", "code": code, "error_subcode": subcode, **more}
    return httpx.Response(400, json={"error": error})


@pytest.mark.parametrize(
    ("answer", "raised"),
    [
        (httpx.Response(200, json={"messages": [{"id": "wamid.1"}]}), None),
        (httpx.Response(200, content=b"not json"), None),
        (graph_error(131026), Rejected),
        (graph_error(131047), Rejected),
        (graph_error(551), Rejected),
        (graph_error(10, 2018278), Rejected),
        (graph_error(100), Rejected),
        (graph_error(10), Retryable),
        (graph_error(190), Retryable),
        (graph_error(200), Retryable),
        (graph_error(130429), Retryable),
        (graph_error(131056), Retryable),
        (graph_error(99999, is_transient=True), Retryable),
        (httpx.Response(200, json={"error": {"code": 190}}), Retryable),
        (httpx.Response(429), Retryable),
        (httpx.Response(500), Retryable),
        (httpx.Response(401, json={}), Retryable),
        (httpx.Response(404, content=b"<html>"), Retryable),
        (httpx.Response(302, headers={"location": "https://elsewhere.test"}), Retryable),
        (httpx.Response(400, json=[]), Rejected),
        (httpx.Response(400, json={"error": "x"}), Rejected),
    ],
    ids=lambda a: a.content[:60].decode() if isinstance(a, httpx.Response) else "",
)
async def test_what_meta_answers(answer: httpx.Response, raised: Any, world_of: Any) -> None:
    http = httpx.AsyncClient(transport=httpx.MockTransport(lambda _: answer))
    token = world_of("whatsapp").adapter._config.token
    if raised is None:
        await graph.send(http, "https://graph.test/x", token, {})
        return
    with pytest.raises(raised):
        await graph.send(http, "https://graph.test/x", token, {})


@pytest.mark.parametrize(
    ("status", "body", "raised"),
    [
        (403, {"ok": False, "error_code": 403}, Rejected),
        (400, {"ok": False, "description": "Bad Request: chat not found"}, Rejected),
        (401, {"ok": False}, Retryable),
        (404, {"ok": False}, Retryable),
        (429, {"ok": False, "parameters": {"retry_after": 3}}, Retryable),
        (502, None, Retryable),
    ],
)
async def test_what_telegram_answers(
    world_of: Any, monkeypatch: pytest.MonkeyPatch, status: int, body: Any, raised: Any
) -> None:
    world = world_of("telegram")
    p = world.provider
    p.mood = "later"
    monkeypatch.setattr(p, "unwell", lambda: httpx.Response(status, json=body))
    told = await world.deliver(p.delivery(p.message(1, TEXT)))
    assert told == ("accepted" if raised is Rejected else "later")
    assert len(await world.narratives()) == 1


async def test_no_answer_at_all() -> None:
    def silent(_: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("https://api.test/bot-secret/x")

    http = httpx.AsyncClient(transport=httpx.MockTransport(silent))
    with pytest.raises(Retryable) as raised:
        await api.post(http, "https://api.test/bot-secret/x", {}, {})
    assert "secret" not in str(raised.value)
    assert raised.value.__suppress_context__
