# SPDX-License-Identifier: Apache-2.0
"""Callbacks by HTTP: signature, replay, duplicates, order, early answers; and the desk."""

import asyncio
import json
from datetime import timedelta

import httpx
import pytest
from wasl_local.simulator import sign
from wasl_platform_gateway.bootstrap import read_config
from wasl_platform_gateway.connectors.webhook import WebhookConnector
from wasl_platform_gateway.http import MAX_CALLBACK, create_app
from wasl_platform_gateway.repository import ANSWERS

OTHER = "whsec_" + "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY="
TOKEN = "operator-token-of-32-characters-"


@pytest.fixture
def door(kit):
    """The webhook connector with one partner of its own and a default, its replies scripted."""
    replies = []

    def partner(request):
        reply = replies.pop(0) if replies else 202
        return httpx.Response(reply, json={"reference": "P-1"} if reply == 202 else None)

    config = {
        "endpoints": {"acme": {"url": "https://acme.example/hook", "secret": kit.SECRET}},
        "default": {"url": "https://other.example/hook", "secret": OTHER},
    }
    gateway = kit.Gateway(
        WebhookConnector,
        config=read_config(WebhookConnector, json.dumps(config)),
        http=httpx.AsyncClient(transport=httpx.MockTransport(partner)),
    )
    gateway.replies = replies
    app = create_app(gateway.answers, gateway.desk, TOKEN)
    gateway.client = httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://gateway.test"
    )
    return gateway


def message(outcome="removed", **data):
    data = {"id": "dispatch-0001", "outcome": outcome, **data}
    return json.dumps({"type": "report.status", "timestamp": "x", "data": data}).encode()


async def post(
    door, body, *, secret=None, kit=None, message_id="msg_1", headers=None, ago=0, to="webhook"
):
    at = int(door.clock.now().timestamp()) - ago
    signed = sign(secret or kit.SECRET, message_id, body, at)
    return await door.client.post(
        f"/callbacks/{to}", content=body, headers={**signed, **(headers or {})}
    )


def counted(door, result):
    return door.hub.metrics.value("wasl_callbacks_total", connector="webhook", result=result)


async def test_a_signed_answer_is_applied_once(kit, door):
    await door.request(1)
    await door.run()
    body = message("acknowledged")
    answer = await post(door, body, kit=kit)
    assert (answer.status_code, answer.json()["applied"]) == (200, 1)
    again = await post(door, body, kit=kit, ago=-3)
    assert (again.status_code, again.json()) == (200, {"applied": 0, "duplicate": 1, "stale": 0})
    assert door.told(1) == ["sent", "acknowledged"]
    assert door.row(1).no_reply_at == door.clock.now() + timedelta(days=14)


async def test_the_same_callback_at_the_same_time_counts_once(kit, door):
    await door.request(1)
    await door.run()
    answers = await asyncio.gather(*(post(door, message(), kit=kit) for _ in range(8)))
    assert sum(a.json()["applied"] for a in answers) == 1
    assert door.told(1) == ["sent", "removed"]


async def test_out_of_order_answers_end_in_the_same_place(kit, door):
    await door.request(1)
    await door.run()
    await post(door, message("removed"), kit=kit, message_id="msg_2")
    late = await post(door, message("acknowledged"), kit=kit, message_id="msg_1")
    assert late.json()["stale"] == 1
    assert door.row(1).state == "removed"
    assert counted(door, "stale") == 1


async def test_a_partners_own_reference_is_enough(kit, door):
    await door.request(1)
    await door.run()
    assert door.row(1).reference == "P-1"
    body = json.dumps(
        {
            "type": "report.status",
            "data": {"reference": "P-1", "outcome": "refused", "reason": "No basis"},
        }
    )
    await post(door, body.encode(), kit=kit)
    assert (door.row(1).state, door.row(1).reason) == ("refused", "no_basis")


async def test_an_answer_before_the_request_is_known_waits(kit, door):
    body = json.dumps({"type": "report.status", "data": {"reference": "P-1", "outcome": "removed"}})
    early = await post(door, body.encode(), kit=kit)
    assert early.status_code == 202
    await door.request(1)
    await door.run()
    assert door.row(1).state == "sent"
    door.clock.advance(timedelta(seconds=1))
    assert await door.answers.match_waiting() is False
    assert door.told(1) == ["sent", "removed"]
    assert counted(door, "applied") == 1


async def test_an_answer_about_nothing_is_counted_and_let_go(kit, door):
    await post(door, message(), kit=kit)
    for _ in range(20):
        door.clock.advance(timedelta(minutes=5))
        await door.answers.match_waiting()
    (doc,) = door.store.docs["answers"].values()
    assert (ANSWERS.decode(doc).result, doc["due_at"]) == ("unknown", None)
    assert counted(door, "unknown") == 1


async def test_an_answer_during_doubt_ends_the_doubt(kit, door):
    door.replies[:] = [504, 504, 504]
    await door.request(1)
    await door.run()
    assert door.row(1).unsure
    await post(door, message("acknowledged"), kit=kit)
    assert door.told(1) == ["sent", "acknowledged"]
    assert not door.row(1).unsure
    await door.run_for(30)
    assert door.row(1).attempts == 1, "it is not sent again"


async def test_an_answer_about_a_request_never_sent_changes_nothing(kit, door):
    await door.request(1)
    assert (await post(door, message(), kit=kit)).status_code == 202
    assert door.row(1).state == "requested"


async def test_one_partner_cannot_answer_for_another(kit, door):
    await door.request(1, partner="acme")
    await door.request(2, partner="else")
    await door.run()
    as_default = await post(door, message(), secret=OTHER)
    assert as_default.status_code == 202
    body = message(id="dispatch-0002")
    as_acme = await post(door, body, kit=kit, message_id="msg_2")
    assert as_acme.status_code == 202
    assert [door.row(n).state for n in (1, 2)] == ["sent", "sent"]
    assert (await post(door, body, secret=OTHER, message_id="msg_3")).json()["applied"] == 1


REJECTED = {
    "wrong secret": ({"secret": "whsec_" + "eHh4" * 10}, 401, "signature"),
    "unsigned": ({"headers": {"webhook-signature": ""}}, 401, "signature"),
    "garbage": ({"headers": {"webhook-signature": "v1,!!! v1a,x , v9"}}, 401, "signature"),
    "other id": ({"headers": {"webhook-id": "msg_9"}}, 401, "signature"),
    "no timestamp": ({"headers": {"webhook-timestamp": ""}}, 401, "signature"),
    "huge timestamp": ({"headers": {"webhook-timestamp": "9" * 30}}, 401, "signature"),
    "too old": ({"ago": 301}, 401, "stale"),
    "ahead of time": ({"ago": -301}, 401, "stale"),
    "wrong door": ({"to": "reference"}, 404, None),
    "no door": ({"to": "nothing"}, 404, None),
}


@pytest.mark.parametrize("case", REJECTED)
async def test_a_callback_that_proves_nothing_has_no_effect(kit, door, case):
    given, status, reason = REJECTED[case]
    await door.request(1)
    await door.run()
    answer = await post(door, message(), **{"kit": kit, **given})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert door.row(1).state == "sent"
    assert door.store.docs.get("answers", {}) == {}
    if reason:
        assert counted(door, f"rejected_{reason}") == 1


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"null", b"\xff", b"[" * 50_000, b'{"type": "report.status"}',
        b'{"type": "other", "data": {}}', b'{"type": "report.status", "data": []}',
        message("deleted"), message(None), message(id={"$ne": 1}), message(id=None),
        message(id="x" * 100), message(reference="a\nb"), message(outcome=["removed"]),
    ],
)  # fmt: skip
async def test_a_signed_callback_in_the_wrong_form_is_a_422(kit, door, body):
    answer = await post(door, body, kit=kit)
    assert answer.status_code == 422
    assert counted(door, "rejected_malformed") == 1
    assert door.store.docs.get("answers", {}) == {}


async def test_an_oversize_callback_is_refused_unread(kit, door):
    answer = await post(door, b"x" * (MAX_CALLBACK + 1), kit=kit)
    assert answer.status_code == 413


async def test_unknown_fields_are_ignored(kit, door):
    await door.request(1)
    await door.run()
    assert (await post(door, message(extra={"deep": [1]}), kit=kit)).json()["applied"] == 1


async def test_a_rotated_secret_lists_two_signatures(kit, door):
    await door.request(1)
    await door.run()
    body, at = message(), int(door.clock.now().timestamp())
    old = sign("whsec_" + "eHh4" * 10, "msg_1", body, at)
    new = sign(kit.SECRET, "msg_1", body, at)
    both = {**new, "webhook-signature": f"{old['webhook-signature']} {new['webhook-signature']}"}
    answer = await door.client.post("/callbacks/webhook", content=body, headers=both)
    assert answer.json()["applied"] == 1


# -- the desk --


def operator():
    return {"authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def in_doubt(kit):
    """A gateway with one ambiguous dispatch, and its desk."""
    from wasl_connector_sdk import Idempotency

    partner = kit.FakePartner(honours_keys=False)
    partner.script = ["taken, answer lost"]
    gateway = kit.Gateway(kit.make_connector(partner, idempotency=Idempotency.NONE))
    app = create_app(gateway.answers, gateway.desk, TOKEN)
    gateway.client = httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://gateway.test", headers=operator()
    )
    gateway.partner = partner
    return gateway


async def test_a_person_sees_and_settles_what_is_ambiguous(in_doubt):
    await in_doubt.request(1)
    await in_doubt.run()
    shown = (await in_doubt.client.get("/internal/dispatches")).json()["dispatches"]
    assert [d["dispatch_id"] for d in shown] == ["dispatch-0001"]
    assert "CANARY" not in json.dumps(shown)
    settle = "/internal/dispatches/dispatch-0001/resolve"
    done = await in_doubt.client.post(settle, json={"action": "sent", "reference": "BY-HAND-7"})
    assert (done.status_code, done.json()["state"]) == (200, "sent")
    assert in_doubt.told(1) == ["ambiguous", "sent"]
    assert in_doubt.row(1).reference == "BY-HAND-7"
    assert in_doubt.row(1).due_at is not None
    again = await in_doubt.client.post(settle, json={"action": "sent"})
    assert again.status_code == 409


async def test_a_person_may_send_it_again_or_stop(in_doubt):
    await in_doubt.request(1, 2)
    in_doubt.partner.script = ["lost", "lost"]
    await in_doubt.run()
    settle = "/internal/dispatches/dispatch-000{}/resolve"
    await in_doubt.client.post(settle.format(1), json={"action": "retry"})
    await in_doubt.client.post(settle.format(2), json={"action": "fail"})
    await in_doubt.run()
    assert in_doubt.told(1) == ["ambiguous", "requested", "sent"]
    assert in_doubt.told(2) == ["ambiguous", "failed"]
    assert in_doubt.partner.reports == {"dispatch-0001": 1, "dispatch-0002": 0} or (
        in_doubt.partner.reports["dispatch-0001"] == 1
    )


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"action": "delete"}', "action"),
        (b"{}", "action"),
        (b'{"action": "retry", "reference": "x"}', "reference"),
        (b'{"action": "sent", "reference": ""}', "reference"),
        (b'{"action": "sent", "more": 1}', "more"),
        (b'{"action": "sent", "action": "fail"}', "action"),
    ],
)
async def test_a_wrong_resolution_names_its_field(in_doubt, body, field):
    await in_doubt.request(1)
    await in_doubt.run()
    answer = await in_doubt.client.post("/internal/dispatches/dispatch-0001/resolve", content=body)
    assert 400 <= answer.status_code < 500
    assert field in answer.text
    assert in_doubt.row(1).state == "ambiguous"


async def test_the_desk_wants_its_token(in_doubt):
    for token in ("", "Bearer ", "Bearer wrong", TOKEN.upper()):
        answer = await in_doubt.client.get("/internal/dispatches", headers={"authorization": token})
        assert answer.status_code == 401
    assert (
        await in_doubt.client.post("/internal/dispatches/none/resolve", json={"action": "fail"})
    ).status_code == 404


async def test_without_a_token_there_is_no_desk(kit, in_doubt):
    app = create_app(in_doubt.answers, in_doubt.desk, None)
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway.test")
    for path in ("/internal/dispatches", "/openapi.json", "/docs"):
        assert (await client.get(path, headers=operator())).status_code == 404
