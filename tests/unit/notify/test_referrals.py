# SPDX-License-Identifier: Apache-2.0
"""Referral packages: what is in them, that they arrive once prepared, and who may acknowledge."""

import hashlib
import json
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import jsonschema
import pytest
import wasl_notify
from pydantic import SecretStr
from standardwebhooks import Webhook
from wasl_notify.domain.channels import Channels, FileDoor, WebhookDoor
from wasl_notify.domain.referrals import json_schema
from wasl_notify.http import create_app
from wasl_notify.outside import Attempt, Result
from wasl_notify.outside.hooks import Hooks
from wasl_notify.outside.spool import Spool, write
from wasl_notify.referring import Referring
from wasl_schemas import topics
from wasl_schemas.events.common import Ground, GroundKind, Severity
from wasl_schemas.events.dispatch_requested_v1 import DispatchItem
from wasl_schemas.events.referral_requested_v1 import ReferralRequestedV1
from wasl_schemas.lifecycle import ReferralState

CASE, REFERRAL, REPORT = "case-aaaaaaaa", "referral-aaaaaaaa", "report-mail-01"
LOCATION = "https://example.org/p/1?q=\u0645\u062b\u0627\u0644"
SECRET = "whsec_" + "A" * 32
SCHEMA_FILE = Path(wasl_notify.__file__).parents[2] / "referral-package-v0.schema.json"


@pytest.fixture
async def hooks():
    hooks = Hooks(timeout=1)
    yield hooks
    await hooks.close()


def webhook_door(url):
    door = WebhookDoor(channel="webhook", url=url, secret=SecretStr(SECRET))
    return Channels(authorities={"dgsn": door})


async def requested(world, authority="dgsn", referral=REFERRAL, case=CASE, **changes):
    await world.key(case)
    item = DispatchItem(location=LOCATION, platform="tiktok", kind="post")
    now = world.clock.now()
    data = ReferralRequestedV1(
        **{
            "referral_id": referral,
            "case_id": case,
            "authority": authority,
            "category": "scam_fraud",
            "severity": Severity.HIGH,
            "ground": world.pack.grounds_for("scam_fraud")[0],
            "language": "ar",
            "requested_at": now,
            "due": now + timedelta(hours=4),
            "item": await world.unit().keys.seal(case, "case.item", item.model_dump_json()),
            "reports": 3,
            **changes,
        }
    )
    return topics.REFERRAL_REQUESTED_V1, data


async def a_case(world):
    await world.feed(await world.submitted(REPORT, "one@example.org"))
    await world.feed(world.opened(CASE, REPORT), world.opened("case-bbbbbbbb", REPORT))
    world.advance(minutes=5)
    await world.feed(world.updated(CASE, 2, "decided"), world.updated("case-bbbbbbbb", 2, "closed"))
    await world.feed(world.dispatched(CASE, "dispatch-aaaa", "sent"))


def referring(world, hooks, tmp_path):
    return Referring(world, hooks, Spool(tmp_path), world.pack, world.channels)


async def test_a_package_in_the_spool(world, hooks, tmp_path, canary, caplog):
    caplog.set_level("DEBUG")
    await a_case(world)
    await world.feed(await requested(world))
    turn = referring(world, hooks, tmp_path / "spool").turn
    await turn()
    assert not (tmp_path / "spool").exists()  # the facts of the case may still be on their way
    world.advance(seconds=6)
    await turn()
    file = tmp_path / "spool" / "dgsn" / f"{REFERRAL}.json"
    raw = file.read_bytes()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert list(file.parent.iterdir()) == [file]
    package = json.loads(raw)
    compact = json.dumps(package, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert raw == compact.encode()
    jsonschema.validate(package, json.loads(SCHEMA_FILE.read_text("utf-8")))
    ground = world.pack.ground(world.pack.grounds_for("scam_fraud")[0])
    assert package["format"] == "referral-package/v0"
    assert package["item"]["location"] == LOCATION
    assert package["category"]["labels"]["ar"] == world.pack.category("scam_fraud").label["ar"]
    assert package["ground"]["instrument"] == ground.instrument
    assert package["ground"]["articles"] == list(ground.articles)
    assert package["reports"] == 3
    assert [(e["who"], e["what"]) for e in package["timeline"]] == [
        ("triage", "case_opened"),
        ("tiktok", "dispatch_sent"),
        ("triage", "case_decided"),
    ]
    assert [(e["who"], e["what"]) for e in package["custody"]] == [
        ("triage", "requested"),
        ("notify", "received"),
        ("notify", "prepared"),
    ]
    for word in ("zircon-narrative", "zircon-body", REPORT, "one@example.org"):
        assert word not in raw.decode()
    (said,) = world.emitted(topics.REFERRAL_UPDATED_V1)
    assert (said["state"], said["version"]) == ("delivered", 1)
    assert said["digest"] == hashlib.sha256(raw).hexdigest()
    # Kept only sealed.
    ours = " ".join(r.getMessage() for r in caplog.records)
    for word in (LOCATION, "example.org/p/1", *canary[:2]):
        assert word not in world.everything() + ours
    await turn()
    assert len(world.emitted(topics.REFERRAL_UPDATED_V1)) == 1


async def test_a_replayed_request_is_one_referral(world, hooks, tmp_path):
    fact = await requested(world)
    await world.feed(fact, fact)
    await world.feed(fact)
    world.advance(seconds=6)
    turn = referring(world, hooks, tmp_path).turn
    await turn()
    await world.feed(fact)
    world.advance(seconds=6)
    await turn()
    assert len(world.emitted(topics.REFERRAL_UPDATED_V1)) == 1


async def test_every_attempt_delivers_the_same_bytes(make_world, endpoints, hooks, tmp_path):
    endpoint = await endpoints()
    endpoint.script = ["500", "hang"]
    world = make_world(channels=webhook_door(endpoint.url))
    await a_case(world)
    await world.feed(await requested(world))
    turn = referring(world, hooks, tmp_path).turn
    for _ in range(4):
        world.advance(minutes=10)
        await turn()
        await world.feed(world.updated(CASE, 3, "outcome"))
    assert len(endpoint.requests) == 3
    assert len({body for _, body in endpoint.requests}) == 1
    assert {headers["webhook-id"] for headers, _ in endpoint.requests} == {REFERRAL}
    headers, body = endpoint.requests[0]
    sent = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)
    expected = Webhook(SECRET).sign(REFERRAL, sent, body.decode())
    assert headers["webhook-signature"] == expected
    assert world.referrals[0].digest == hashlib.sha256(body).hexdigest()
    assert world.referrals[0].state is ReferralState.DELIVERED


async def test_giving_up_is_visible(make_world, endpoints, hooks, tmp_path):
    endpoint = await endpoints()
    endpoint.script = ["500"] * 50
    world = make_world(channels=webhook_door(endpoint.url))
    await world.feed(await requested(world))
    part = referring(world, hooks, tmp_path)
    for _ in range(12):
        world.advance(days=2)
        await part.turn()
    assert len(endpoint.requests) == 10
    (said,) = world.emitted(topics.REFERRAL_UPDATED_V1)
    assert (said["state"], said["reason"]) == ("failed", "gave_up")
    await part.gauges()
    assert world.metrics.value("wasl_notify_failed_referrals") == 1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"authority": "nobody"}, "not_in_country_pack"),
        ({"category": "nothing"}, "not_in_country_pack"),
        ({"ground": Ground(kind=GroundKind.LAW, ref="nothing")}, "not_in_country_pack"),
        ({"item": "s1.case-aaaaaaaa." + "A" * 60}, "seal_broken"),
        ({"item": "s1.case-without-key." + "A" * 60}, "erased"),
    ],
)
async def test_what_can_never_be_built_fails_at_once(world, hooks, tmp_path, changes, reason):
    await world.feed(await requested(world, **changes))
    world.advance(seconds=6)
    await referring(world, hooks, tmp_path).turn()
    (said,) = world.emitted(topics.REFERRAL_UPDATED_V1)
    assert (said["state"], said["reason"]) == ("failed", reason)
    assert list(tmp_path.iterdir()) == []


async def test_an_item_that_is_not_one(world, hooks, tmp_path):
    await world.key(CASE)
    sealed = await world.unit().keys.seal(CASE, "case.item", '{"location": 1}')
    spec, data = await requested(world, case="case-cccccccc")
    await world.feed((spec, data.model_copy(update={"case_id": CASE, "item": sealed})))
    world.advance(seconds=6)
    await referring(world, hooks, tmp_path).turn()
    assert world.referrals[0].reason == "item_unreadable"


async def test_erased_after_it_was_prepared(make_world, endpoints, hooks, tmp_path):
    endpoint = await endpoints()
    endpoint.script = ["500"]
    world = make_world(channels=webhook_door(endpoint.url))
    await world.feed(await requested(world))
    turn = referring(world, hooks, tmp_path).turn
    world.advance(seconds=6)
    await turn()
    await world.destroy(CASE)
    world.advance(minutes=1)
    await turn()
    assert len(endpoint.requests) == 1
    assert world.referrals[0].reason == "erased"


async def test_a_full_disk_is_tried_again(world, hooks, tmp_path):
    blocked = tmp_path / "spool"
    blocked.write_text("not a folder")
    await world.feed(await requested(world))
    part = referring(world, hooks, blocked)
    world.advance(seconds=6)
    await part.turn()
    assert (world.referrals[0].attempts, world.referrals[0].reason) == (1, "spool")
    blocked.unlink()
    world.advance(minutes=1)
    await part.turn()
    assert (blocked / "dgsn" / f"{REFERRAL}.json").is_file()


def test_a_draft_left_by_a_crash_is_replaced(tmp_path, monkeypatch):
    folder = tmp_path / "dgsn"
    folder.mkdir()
    import os

    (folder / f".a.json.{os.getpid()}.part").write_text("half")
    write(folder, "a.json", b"whole")
    assert [(p.name, p.read_bytes()) for p in folder.iterdir()] == [("a.json", b"whole")]

    def broken(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="space"):
        write(folder, "b.json", b"more")
    assert [p.name for p in folder.iterdir()] == ["a.json"]


async def test_crash_after_delivery_delivers_the_same_again(world, hooks, tmp_path):
    await world.feed(await requested(world))
    world.advance(seconds=6)
    part = referring(world, hooks, tmp_path)
    deliver = part._deliver

    class Killed(BaseException):
        pass

    async def die(*args):
        await deliver(*args)
        raise Killed

    part._deliver = die
    with pytest.raises(Killed):
        await part.turn()
    file = tmp_path / "dgsn" / f"{REFERRAL}.json"
    before = file.read_bytes()
    part._deliver = deliver
    await part.turn()
    assert world.referrals[0].state is ReferralState.REQUESTED
    world.advance(minutes=6)
    await part.turn()
    assert file.read_bytes() == before
    assert world.referrals[0].state is ReferralState.DELIVERED


async def test_a_desk_gets_a_notice_that_says_nothing(make_world, hooks, tmp_path, memory_relay):
    door = FileDoor(channel="file", notice="desk@example.org")
    world = make_world(channels=Channels(authorities={"dgsn": door}))
    await world.feed(await requested(world))
    world.advance(seconds=6)
    await referring(world, hooks, tmp_path).turn()
    relay = memory_relay(world.clock)
    kept = []
    send = relay.send

    async def keep(message, to):
        kept.append((message, to))
        return await send(message, to)

    relay.send = keep
    await world.mailing(relay).turn()
    ((message, to),) = kept
    assert to == "desk@example.org"
    text = message.as_string() + message.get_content()
    assert REFERRAL in message.get_content()
    for word in (CASE, "example.org/p", "fraud", "tiktok", "high"):
        assert word not in text


# -- acknowledgement -------------------------------------------------------------------------------


def client(world):
    transport = httpx.ASGITransport(create_app(world.handlers))
    return httpx.AsyncClient(transport=transport, base_url="http://notify")


def signature(body, secret=SECRET, at=None, message_id="msg-1"):
    at = at or datetime.now(UTC)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(message_id, at, body.decode()),
    }


async def delivered(make_world, endpoints, hooks, tmp_path, script=()):
    endpoint = await endpoints()
    endpoint.script = list(script)
    world = make_world(channels=webhook_door(endpoint.url))
    await world.feed(await requested(world))
    world.advance(seconds=6)
    await referring(world, hooks, tmp_path).turn()
    return world


async def test_acknowledged_once(make_world, endpoints, hooks, tmp_path):
    world = await delivered(make_world, endpoints, hooks, tmp_path)
    body = b'{"reference": "PV 12/2026"}'
    path = f"/referrals/{REFERRAL}/acknowledgement"
    async with client(world) as http:
        for _ in range(3):
            answer = await http.post(path, content=body, headers=signature(body))
            assert answer.status_code == 204
    said = world.emitted(topics.REFERRAL_UPDATED_V1)
    assert [(s["state"], s["version"]) for s in said] == [("delivered", 1), ("acknowledged", 2)]
    assert world.referrals[0].reference == "PV 12/2026"
    last = world.referrals[0].custody[-1]
    assert (last.who, last.what) == ("dgsn", "acknowledged")
    channel = {"channel": "webhook", "result": "acknowledged"}
    assert world.metrics.value("wasl_notify_referrals_total", **channel) == 1


@pytest.mark.parametrize(
    "headers",
    [
        {},
        signature(b"{}", secret="whsec_" + "B" * 32),
        signature(b'{"reference": "x"}'),
        signature(b"{}", at=datetime.now(UTC) - timedelta(minutes=10)),
        signature(b"{}", at=datetime.now(UTC) + timedelta(days=1)),
        signature(b"{}") | {"webhook-signature": "v1"},
        signature(b"{}") | {"webhook-signature": "v1,%%%"},
        signature(b"{}") | {"webhook-timestamp": "nan"},
        signature(b"{}") | {"webhook-timestamp": "9" * 400},
    ],
)
async def test_who_does_not_know_the_secret(make_world, endpoints, hooks, tmp_path, headers):
    world = await delivered(make_world, endpoints, hooks, tmp_path)
    async with client(world) as http:
        path = f"/referrals/{REFERRAL}/acknowledgement"
        wrong = await http.post(path, content=b"{}", headers=headers)
        unknown = await http.post(
            "/referrals/referral-unknown/acknowledgement", content=b"{}", headers=signature(b"{}")
        )
    assert (wrong.status_code, unknown.status_code) == (401, 401)
    assert wrong.json() == unknown.json()
    assert world.referrals[0].state is ReferralState.DELIVERED


@pytest.mark.parametrize(
    "case",
    [
        (b"not json", 400),
        (b"\xff", 401),
        (b'{"reference": "x", "reference": "y"}', 422),
        (b'{"reference": "a\\r\\nb"}', 422),
        (b'{"reference": 1}', 422),
        (b'{"other": 1}', 422),
        (b"[]", 422),
        (b"{}" + b" " * 5000, 413),
    ],
)
async def test_bodies_that_are_no_acknowledgement(make_world, endpoints, hooks, case):
    body, status = case
    world = await delivered(make_world, endpoints, hooks, None)
    headers = signature(body) if body != b"\xff" else signature(b"{}")
    async with client(world) as http:
        path = f"/referrals/{REFERRAL}/acknowledgement"
        answer = await http.post(path, content=body, headers=headers)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert world.referrals[0].state is ReferralState.DELIVERED


async def test_acknowledged_before_we_knew_it_arrived(make_world, endpoints, hooks, tmp_path):
    """The answer to our POST was lost, or we gave up: whoever acknowledges has it."""
    for given_up in (False, True):
        world = await delivered(make_world, endpoints, hooks, tmp_path / "s", ["hang"] * 20)
        if given_up:
            part = referring(world, hooks, tmp_path)
            part._deliver = gave
            for _ in range(10):
                world.advance(days=2)
                await part.turn()
            assert world.referrals[0].state is ReferralState.FAILED
        async with client(world) as http:
            path = f"/referrals/{REFERRAL}/acknowledgement"
            answer = await http.post(path, content=b"{}", headers=signature(b"{}"))
        assert answer.status_code == 204
        (referral,) = world.referrals
        assert (referral.state, referral.due_at) == (ReferralState.ACKNOWLEDGED, None)
        versions = [s["version"] for s in world.emitted(topics.REFERRAL_UPDATED_V1)]
        assert versions == list(range(1, len(versions) + 1))


async def gave(*_):
    return Attempt(Result.DEFERRED, "away")


async def test_acknowledged_while_the_delivery_is_being_recorded(
    make_world, endpoints, hooks, tmp_path
):
    endpoint = await endpoints()
    world = make_world(channels=webhook_door(endpoint.url))
    await world.feed(await requested(world))
    world.advance(seconds=6)
    part = referring(world, hooks, tmp_path)
    deliver = part._deliver

    async def quick(*args):
        attempt = await deliver(*args)
        await world.handlers.acknowledge(REFERRAL, signature(b"{}"), b"{}")
        return attempt

    part._deliver = quick
    await part.turn()
    said = [s["state"] for s in world.emitted(topics.REFERRAL_UPDATED_V1)]
    assert said == ["delivered", "acknowledged"]
    assert world.referrals[0].state is ReferralState.ACKNOWLEDGED


def test_the_published_schema_is_current():
    assert SCHEMA_FILE.read_text("utf-8") == json_schema(), (
        "write wasl_notify.domain.referrals.json_schema() to services/notify/" + SCHEMA_FILE.name
    )
