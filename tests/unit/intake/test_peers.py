# SPDX-License-Identifier: Apache-2.0
"""The door for other hubs: only theirs, once per key, no circles, and nothing of a person."""

import base64
import json
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from wasl_connector_sdk import Outcome, Runtime, Submission, SubmissionRefused, signing
from wasl_connector_sdk.signing import Keys
from wasl_intake import bootstrap
from wasl_intake.domain.peer import loops, outcome
from wasl_intake.peers import PeerDoor, Peering
from wasl_intake.repository import REPORTS
from wasl_intake.settings import parse_peers
from wasl_platform_gateway.connectors.wasl_peer import WaslPeerConnector
from wasl_schemas import topics
from wasl_schemas.country_pack import MAX_HOPS
from wasl_schemas.events.case_opened_v1 import CaseOpenedV1
from wasl_schemas.events.case_updated_v1 import CaseChange, CaseUpdatedV1
from wasl_schemas.events.common import Severity
from wasl_schemas.events.dispatch_updated_v1 import DispatchUpdatedV1
from wasl_schemas.lifecycle import CaseState, DispatchState
from wasl_schemas.timeline import CaseView, DispatchRow

SECRET = "whsec_" + "c2VjcmV0LXBlZXItaHVi" * 3
PAIR = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEY = "0f" * 16
PEPPER, BODY_LIMIT = bytes(32), 16_384
NOW = datetime(2026, 1, 5, 9, tzinfo=UTC)
CASE = "case0001"
ASKED: dict[str, Any] = {
    "key": KEY, "location": "https://shop.example.org/pay", "platform": "web", "category": "scam",
    "severity": "high", "ground": {"kind": "law", "ref": "law.1", "text": "Article 1"},
    "explanation": "It asks for card numbers.", "language": "fr",
    "requested_at": "2026-01-05T08:00:00Z", "via": ["aa"], "test": False,
}  # fmt: skip


def _peers() -> str:
    public = base64.b64encode(PAIR.public_key().public_bytes_raw()).decode()
    return json.dumps({
        "aa": {"secret": SECRET},
        "bb": {"public_key": f"whpk_{public}", "tests": True},
    })  # fmt: skip


KEYS = {
    "aa": Keys(secret=SecretStr(SECRET)),
    "bb": Keys(secret=SecretStr("whsk_" + base64.b64encode(bytes(range(32))).decode())),
}


class Door:
    """Another hub's side of the door."""

    def __init__(self, http: httpx.AsyncClient, hub: Any, portal: Any) -> None:
        self.http, self.hub, self.portal = http, hub, portal

    async def ask(
        self,
        method: str,
        target: str,
        body: Any = None,
        *,
        sender: str = "aa",
        keys: Keys | None = None,
        receiver: str = "test",
        late: timedelta = timedelta(0),
        signed: str | None = None,
    ) -> httpx.Response:
        content = b"" if body is None else json.dumps(body).encode()
        text = signing.addressed(receiver, method, signed or f"{sender}/{target}", content)
        now = self.hub.clock.now() - late
        headers = signing.headers(keys or KEYS[sender], "message-1", now, text)
        if body is not None:
            headers["content-type"] = "application/json"
        url = f"/api/v1/peers/{sender}/{target}"
        return await self.http.request(method, url, content=content or None, headers=headers)

    async def hands_over(self, sender: str = "aa", **changes: Any) -> httpx.Response:
        return await self.ask(
            "POST", "reports", {**ASKED, "via": [sender], **changes}, sender=sender
        )

    async def reference(self, **changes: Any) -> str:
        answer = await self.hands_over(**changes)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["reference"])

    async def told(self, reference: str) -> tuple[str, str | None]:
        answer = await self.ask("GET", f"reports/{reference}")
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert set(body) == {"reference", "outcome", "reason"}
        return body["outcome"], body["reason"]


@pytest.fixture
async def door(portal: Any) -> Any:
    hub, pack = portal.hub, portal.handlers._pack
    made = PeerDoor(Peering(hub, pack, pepper=PEPPER), parse_peers(_peers()), hub, limit=BODY_LIMIT)
    app = bootstrap.compose(
        portal.handlers, pack, hub.metrics, pepper=PEPPER, body_limit=BODY_LIMIT, peers=made
    )
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://hub.test") as client:
        yield Door(client, hub, portal)


# -- taking ----------------------------------------------------------------------------------------


async def test_a_request_becomes_a_report_of_a_partner(door: Door) -> None:
    answer = await door.hands_over()
    assert answer.status_code == 201
    assert list(answer.json()) == ["reference"]
    [event] = door.hub.events(topics.REPORT_SUBMITTED_V1)
    data = event.data
    assert (data.report_id, data.channel, data.via) == (
        answer.json()["reference"], "partner", ("aa",)
    )  # fmt: skip
    assert (data.category, data.language, data.contact) == ("scam", "fr", None)
    assert (data.consent_partner, data.consent_authority) == (True, False)
    assert (data.danger_now, data.under_18, data.under_13) == (None, None, None)
    content = await door.hub.content(data.report_id)
    assert content.locations == ("https://shop.example.org/pay",)
    for said in (
        "It asks for card numbers.",
        "hub: aa",
        "severity: high",
        "law law.1",
        "Article 1",
    ):
        assert said in content.narrative
    assert "card numbers" not in door.hub.everything()
    assert (
        door.hub.metrics.value("wasl_intake_peer_requests_total", hub="aa", result="accepted") == 1
    )


async def test_a_category_of_theirs_is_a_hint_only(door: Door) -> None:
    reference = await door.reference(category="insult")
    [event] = door.hub.events(topics.REPORT_SUBMITTED_V1)
    assert event.data.category is None
    assert "category: insult" in (await door.hub.content(reference)).narrative


async def test_the_same_key_makes_one_report_and_each_hub_has_keys_of_its_own(door: Door) -> None:
    first = await door.hands_over()
    again = await door.hands_over(explanation="Other words")
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    other = await door.hands_over(sender="bb")
    assert other.status_code == 201
    assert other.json() != first.json()
    assert len(door.hub.events(topics.REPORT_SUBMITTED_V1)) == 2


async def test_a_key_pair_verifies_too(door: Door) -> None:
    assert (await door.hands_over(sender="bb")).status_code == 201
    forged = await door.ask(
        "POST", "reports", {**ASKED, "via": ["bb"]}, sender="bb", keys=KEYS["aa"]
    )
    assert forged.status_code == 401


# -- refusing --------------------------------------------------------------------------------------

UNSIGNED: dict[str, dict[str, Any]] = {
    "another key": {"keys": Keys(secret=SecretStr("whsec_" + "b3RoZXItc2VjcmV0" * 3))},
    "for another hub": {"receiver": "zz"},
    "for another path": {"signed": "aa/reports/0123"},
    "of another hub": {"signed": "bb/reports"},
    "too old": {"late": timedelta(minutes=5, seconds=1)},
    "ahead of time": {"late": timedelta(minutes=-6)},
}


@pytest.mark.parametrize("how", UNSIGNED.values(), ids=UNSIGNED)
async def test_what_is_not_signed_for_this_is_refused(door: Door, how: dict[str, Any]) -> None:
    answer = await door.ask("POST", "reports", ASKED, **how)
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert door.hub.counts() == {}


async def test_a_stranger_learns_nothing(door: Door) -> None:
    known = await door.http.get("/api/v1/peers/aa/reports/" + "0" * 32)
    unknown = await door.http.get("/api/v1/peers/nobody/reports/" + "0" * 32)
    assert (known.status_code, unknown.status_code) == (401, 401)
    assert known.json()["title"] == unknown.json()["title"]
    unsigned = {"hub": "unknown", "result": "unsigned"}
    assert door.hub.metrics.value("wasl_intake_peer_requests_total", **unsigned) == 1


LOOPS = {
    "ourselves": ["test", "aa"],
    "ourselves in the middle": ["bb", "test", "aa"],
    "too many": [*(f"h{n}" for n in range(MAX_HOPS)), "aa"],
}


@pytest.mark.parametrize("via", LOOPS.values(), ids=LOOPS)
async def test_a_circle_is_refused(door: Door, via: list[str]) -> None:
    answer = await door.hands_over(via=via)
    assert (answer.status_code, answer.json()["code"]) == (422, "loop")
    assert door.hub.counts() == {}


async def test_the_longest_chain_there_may_be_is_taken(door: Door) -> None:
    via = [*(f"h{n}" for n in range(MAX_HOPS - 1)), "aa"]
    await door.reference(via=via)
    [event] = door.hub.events(topics.REPORT_SUBMITTED_V1)
    assert event.data.via == tuple(via)


@given(st.lists(st.sampled_from(["own", "a", "b", "c", "d", "e", "f"]), max_size=9))
def test_no_chain_taken_names_us_or_is_too_long(via: list[str]) -> None:
    assert loops("own", tuple(via)) == ("own" in via or len(via) > 5)


INVALID: dict[str, tuple[dict[str, Any], str]] = {
    "sender not last": ({"via": ["aa", "bb"]}, "via"),
    "no chain": ({"via": []}, "via"),
    "a hub twice": ({"via": ["cc", "cc", "aa"]}, "via"),
    "unknown field": ({"reporter": "somebody"}, "reporter"),
    "private address": ({"location": "http://localhost/x"}, "location"),
    "severity": ({"severity": "worst"}, "severity"),
    "no time zone": ({"requested_at": "2026-01-05T08:00:00"}, "requested_at"),
    "short key": ({"key": "x"}, "key"),
    "a key with a path": ({"key": "aaaaaaaa/../b"}, "key"),
}


@pytest.mark.parametrize(("changes", "field"), INVALID.values(), ids=INVALID)
async def test_what_is_not_valid_names_the_field(
    door: Door, changes: dict[str, Any], field: str
) -> None:
    answer = await door.hands_over(**changes)
    assert answer.status_code == 422, answer.text
    assert "code" not in answer.json(), "a fault of the sender's, no decision of ours"
    assert field in {e["field"] for e in answer.json()["errors"]}
    assert door.hub.counts() == {}


async def test_a_body_too_large_is_not_read(door: Door) -> None:
    answer = await door.hands_over(explanation="x" * BODY_LIMIT)
    assert answer.status_code == 413


async def test_tests_are_refused_or_answered_and_never_stored(door: Door) -> None:
    refused = await door.hands_over(test=True)
    assert (refused.status_code, refused.json()["code"]) == (422, "test_not_accepted")
    answered = await door.hands_over(sender="bb", test=True)
    again = await door.hands_over(sender="bb", test=True)
    assert answered.status_code == 200
    assert again.json() == answered.json()
    reference = answered.json()["reference"]
    assert reference.startswith("test-")
    status = await door.ask("GET", f"reports/{reference}", sender="bb")
    assert status.json()["outcome"] == "pending"
    gone = await door.ask("POST", f"reports/{reference}/withdrawal", {"reason": "x"}, sender="bb")
    assert gone.status_code == 204
    assert door.hub.counts() == {}


# -- following -------------------------------------------------------------------------------------


def _case(door: Door, report_id: str) -> Any:
    now = door.hub.clock.now()
    data = CaseOpenedV1(
        case_id=CASE, version=1, report_id=report_id, category="scam", severity=Severity.LOW,
        platform="web", item_kind="page", opened_at=now, first_look_due=now,
    )  # fmt: skip
    return door.hub.event(topics.CASE_OPENED_V1, data)


def _changed(
    door: Door, version: int, change: CaseChange, state: CaseState, reason: str | None = None
) -> Any:
    data = CaseUpdatedV1(
        case_id=CASE, version=version, change=change, state=state, severity=Severity.LOW,
        category="scam", reason=reason, changed_at=door.hub.clock.now(),
    )  # fmt: skip
    return door.hub.event(topics.CASE_UPDATED_V1, data)


def _answered(door: Door, version: int, state: DispatchState, dispatch: str = "dispatch1") -> Any:
    data = DispatchUpdatedV1(
        dispatch_id=dispatch, case_id=CASE, version=version, connector="reference",
        partner="example-desk", state=state, attempts=1, changed_at=door.hub.clock.now(),
    )  # fmt: skip
    return door.hub.event(topics.DISPATCH_UPDATED_V1, data)


async def test_the_other_hub_follows_until_the_item_is_gone(door: Door) -> None:
    reference = await door.reference()
    assert await door.told(reference) == ("pending", None)
    learn = door.portal.learn
    await learn([_case(door, reference)])
    assert await door.told(reference) == ("pending", None)
    await learn([_changed(door, 2, CaseChange.ASSESSED, CaseState.ASSESSED)])
    assert await door.told(reference) == ("acknowledged", None)
    await learn([_answered(door, 1, DispatchState.REFUSED)])
    assert await door.told(reference) == ("acknowledged", None), "others may still act"
    await learn([_changed(door, 3, CaseChange.OUTCOME, CaseState.UNRESOLVED)])
    assert await door.told(reference) == ("refused", "partner_refused")
    await learn([_answered(door, 2, DispatchState.REMOVED)])
    assert await door.told(reference) == ("removed", None)
    found = await door.ask("GET", f"reports?key={KEY}")
    assert found.json() == {
        "reports": [{"reference": reference, "outcome": "removed", "reason": None}]
    }
    nothing = await door.ask("GET", "reports?key=never-sent-key")
    assert nothing.json() == {"reports": []}


@pytest.mark.parametrize(
    ("reason", "outcome_", "told"),
    [
        ("no_ground", "refused", "no_ground"),
        ("out_of_scope", "refused", "out_of_scope"),
        ("content_gone", "already_gone", None),
    ],
)
async def test_a_closed_case_is_an_answer(
    door: Door, reason: str, outcome_: str, told: str | None
) -> None:
    reference = await door.reference()
    closed = _changed(door, 2, CaseChange.CLOSED, CaseState.CLOSED, reason)
    await door.portal.learn([_case(door, reference), closed])
    assert await door.told(reference) == (outcome_, told)


async def test_what_happened_before_the_report_came_is_not_its_outcome(door: Door) -> None:
    own = await door.portal.send(locations=["https://shop.example.org/pay"])
    await door.portal.learn([_case(door, door.portal.report_id(own))])
    await door.portal.learn([_answered(door, 1, DispatchState.REMOVED)])
    door.portal.later(hours=1)
    reference = await door.reference()
    joined = _changed(door, 2, CaseChange.REPORT_JOINED, CaseState.OPEN)
    joined = joined.model_copy(
        update={"data": joined.data.model_copy(update={"report_id": reference})}
    )
    await door.portal.learn([joined])
    assert await door.told(reference) == ("pending", None)


@pytest.mark.parametrize("state", [s for s in DispatchState if s is not DispatchState.UNKNOWN])
def test_every_outcome_is_a_word_of_the_sdk(state: DispatchState) -> None:
    row = DispatchRow(version=1, state=state, partner="p", changed_at=NOW)
    for case in CaseState:
        view = CaseView(case_id=CASE, state=case, dispatches={"d": row})
        for withdrawn in (False, True):
            said, _ = outcome(NOW, [view], withdrawn=withdrawn)
            assert Outcome(said) is not Outcome.DISPUTED


async def test_a_hub_reads_its_own_reports_only(door: Door) -> None:
    reference = await door.reference()
    receipt = await door.portal.send()
    person = door.portal.report_id(receipt)
    for target, sender in ((reference, "bb"), (person, "aa"), ("0" * 32, "aa"), ("x", "aa")):
        answer = await door.ask("GET", f"reports/{target}", sender=sender)
        assert answer.status_code == 404, (target, sender)
        path = f"reports/{target}/withdrawal"
        answer = await door.ask("POST", path, {"reason": "x"}, sender=sender)
        assert answer.status_code == 404
    assert door.hub.events(topics.REPORT_WITHDRAWN_V1) == []


async def test_a_withdrawn_request_is_erased_once_and_stays_so(door: Door) -> None:
    reference = await door.reference()
    for _ in range(2):
        answer = await door.ask("POST", f"reports/{reference}/withdrawal", {"reason": "mistake"})
        assert answer.status_code == 204
    assert len(door.hub.events(topics.REPORT_WITHDRAWN_V1)) == 1
    assert door.hub.store.docs["reports"][reference]["content"] is None
    assert await door.told(reference) == ("refused", "withdrawn")
    again = await door.hands_over()
    assert again.json() == {"reference": reference}
    assert len(door.hub.events(topics.REPORT_SUBMITTED_V1)) == 1


def test_a_report_from_before_hubs_had_peers_is_read() -> None:
    names = ("fingerprint", "received_at", "channel", "language", "category", "danger_now")
    names += ("under_18", "under_13", "consent_partner", "consent_authority", "content")
    names += ("contact_channel", "contact_safe", "contact_address", "withdrawn_at")
    assert REPORTS.decode({"_id": "r", **dict.fromkeys(names)}).via == ()


# -- both ends -------------------------------------------------------------------------------------


async def test_the_connector_and_the_door_speak_the_same(door: Door) -> None:
    peers = {"test": {"url": "http://localhost", "secret": SECRET}}
    config = WaslPeerConnector.Config.model_validate({"hub": "aa", "peers": peers})
    rt = Runtime(door.http, door.hub.clock, logging.getLogger("test"))
    submission = Submission.model_validate({
        "idempotency_key": KEY, "case": "c", "partner": "test", "category": "scam",
        "severity": "low", "ground": {"kind": "law", "ref": "law.1"}, "scope": "global",
        "location": "https://shop.example.org/pay", "platform": "web", "kind": "page",
        "language": "und", "requested_at": door.hub.clock.now(),
    })  # fmt: skip
    async with WaslPeerConnector.open(config, rt) as connector:  # type: ignore[arg-type]
        await connector.check()
        assert await connector.find(KEY) is None
        receipt = await connector.submit(submission)
        assert (await connector.submit(submission)) == receipt
        assert (await connector.find(KEY)) == receipt
        assert (await connector.status(receipt.reference)).outcome is Outcome.PENDING
        await connector.withdraw(receipt.reference, "mistake")
        assert (await connector.status(receipt.reference)).reason == "withdrawn"
        looping = submission.model_copy(update={"via": tuple(f"h{n}" for n in range(MAX_HOPS))})
        for refused, code in (
            (looping, "loop"),
            (submission.model_copy(update={"test": True}), "test_not_accepted"),
        ):
            with pytest.raises(SubmissionRefused) as caught:
                await connector.submit(refused)
            assert caught.value.code == code


async def test_the_door_is_described(door: Door) -> None:
    paths = (await door.http.get("/api/v1/openapi.json")).json()["paths"]
    found = {(path, method) for path in paths for method in paths[path] if "/peers/" in path}
    one = "/api/v1/peers/{hub}/reports"
    assert found == {
        (one, "post"), (one, "get"), (one + "/{reference}", "get"),
        (one + "/{reference}/withdrawal", "post"),
    }  # fmt: skip
    body = paths[one]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert set(body["properties"]) == set(ASKED)


# -- settings --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[]", "expected JSON"),
        ("{", "no JSON"),
        ('{"aa": {}}', "whsec_ secret"),
        ('{"aa": {"secret": "whsk_nW"}}', "ed25519"),
        ('{"aa": {"secret": "whsec_CANARY"}}', "24 to 64 bytes"),
        ('{"aa": {"public_key": "whsk_CANARY"}}', "nobody else"),
        ('{"aa": {"url": "CANARY"}}', "url"),
        ('{"A A": {"secret": "x"}}', "at "),
    ],
)
def test_wrong_settings_say_what_is_wrong_and_quote_nothing(text: str, says: str) -> None:
    with pytest.raises(ValueError, match="expected JSON") as caught:
        parse_peers(text)
    assert says in str(caught.value)
    assert "CANARY" not in str(caught.value)


def test_our_own_private_key_verifies_nobody() -> None:
    private = base64.b64encode(bytes(range(32))).decode()
    with pytest.raises(ValueError, match="public_key"):
        parse_peers(json.dumps({"aa": {"secret": f"whsk_{private}"}}))
