# SPDX-License-Identifier: Apache-2.0
"""What one hub tells another, how it is signed, and what it makes of the answers."""

import base64
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from fakes.wasl_peer import FakeWaslPeer
from pydantic import ValidationError
from wasl_connector_sdk import (
    AmbiguousOutcome,
    CredentialsRejected,
    InvalidSubmission,
    Outcome,
    Runtime,
    Submission,
    SubmissionRefused,
    TransientError,
)
from wasl_connector_sdk.conformance import NOW
from wasl_platform_gateway.connectors.wasl_peer import WaslPeerConnector, to_json

KEY = "0f" * 16
#: RFC 8032 §7.1, TEST 1.
SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
PUBLIC = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")


class Clock:
    def now(self) -> datetime:
        return NOW


def submission(**changes: Any) -> Submission:
    return Submission.model_validate({
        "idempotency_key": KEY, "case": "c1", "partner": "partner", "category": "phishing_malware",
        "severity": "high", "ground": {"kind": "law", "ref": "law.1", "text": "Article 1"},
        "scope": "global", "location": "https://shop.example.org/pay", "platform": "web",
        "kind": "page", "language": "fr", "explanation": "It asks for card numbers.",
        "requested_at": datetime(2026, 1, 5, 8, tzinfo=UTC), **changes,
    })  # fmt: skip


@asynccontextmanager
async def connected(
    handler: Callable[[httpx.Request], Any], **config: Any
) -> AsyncIterator[WaslPeerConnector]:
    peer = {"url": FakeWaslPeer.base, "secret": FakeWaslPeer.secret}
    given = {"hub": FakeWaslPeer.sender, "peers": {FakeWaslPeer.hub: peer}, **config}
    parsed = WaslPeerConnector.Config.model_validate(given)
    async with httpx.AsyncClient(transport=httpx.MockTransport(handler)) as http:
        rt = Runtime(http, Clock(), logging.getLogger("test"))
        async with WaslPeerConnector.open(parsed, rt) as connector:  # type: ignore[arg-type]
            yield connector


def test_the_peer_learns_this_and_no_more() -> None:
    told = to_json(submission(via=("aa", "bb")), "xx")
    assert told == {
        "key": KEY, "location": "https://shop.example.org/pay", "platform": "web",
        "category": "phishing_malware", "severity": "high",
        "ground": {"kind": "law", "ref": "law.1", "text": "Article 1"},
        "explanation": "It asks for card numbers.", "language": "fr",
        "requested_at": "2026-01-05T08:00:00+00:00", "via": ["aa", "bb", "xx"], "test": False,
    }  # fmt: skip


async def test_a_request_comes_back_with_the_peers_reference_and_later_its_outcome() -> None:
    fake = FakeWaslPeer()
    async with connected(fake) as peer:
        receipt = await peer.submit(submission())
        [report] = fake.reports
        assert receipt.reference == f"partner:{report['reference']}"
        report.update(outcome="refused", reason="no_ground")
        update = await peer.status(receipt.reference)
        assert (update.outcome, update.reason) == (Outcome.REFUSED, "no_ground")
        assert (update.reference, update.partner) == (receipt.reference, "partner")
        found = await peer.find(KEY)
        assert found is not None
        assert (found.reference, found.outcome) == (receipt.reference, Outcome.REFUSED)
        await peer.withdraw(receipt.reference, "Second thoughts!")
        assert fake.withdrawn == [report["reference"]]


@pytest.mark.parametrize("via", [("partner",), ("xx",), ("aa", "partner")])
async def test_nothing_is_handed_back_to_where_it_came_from(via: tuple[str, ...]) -> None:
    fake = FakeWaslPeer()
    async with connected(fake) as peer:
        with pytest.raises(SubmissionRefused) as caught:
            await peer.submit(submission(via=via))
    assert caught.value.code == "loop"
    assert fake.reports == []


async def test_the_peers_own_refusals_are_final_and_keep_their_word() -> None:
    fake = FakeWaslPeer()
    fake.accepts_tests = False
    async with connected(fake) as peer:
        for changes, code in (
            ({"test": True}, "test_not_accepted"),
            ({"via": tuple(f"h{n}" for n in range(5))}, "loop"),
        ):
            with pytest.raises(SubmissionRefused) as caught:
                await peer.submit(submission(**changes))
            assert caught.value.code == code


async def test_an_unknown_partner_is_a_fault_of_ours() -> None:
    async with connected(FakeWaslPeer()) as peer:
        with pytest.raises(InvalidSubmission) as caught:
            await peer.submit(submission(partner="zz"))
    assert caught.value.reason == "no_peer"


@pytest.mark.parametrize(
    "reference", ["", "partner", "zz:abc", "partner:", "partner:a/../b", "a:b:c"]
)
async def test_only_references_of_a_peer_are_asked_about(reference: str) -> None:
    async def nobody(_: httpx.Request) -> httpx.Response:
        raise AssertionError("asked")

    async with connected(nobody) as peer:
        for call in (peer.status(reference), peer.withdraw(reference, "x")):
            with pytest.raises(SubmissionRefused):
                await call


@pytest.mark.parametrize(
    "body", [{}, [], {"reference": ""}, {"reference": "a b"}, {"reference": 7}]
)
async def test_an_unusable_reference_is_not_stored(body: Any) -> None:
    async with connected(lambda _: httpx.Response(201, json=body)) as peer:
        with pytest.raises(AmbiguousOutcome):
            await peer.submit(submission())


async def test_another_key_is_not_known() -> None:
    other = {"url": FakeWaslPeer.base, "secret": "whsec_" + "b3RoZXItc2VjcmV0" * 3}
    async with connected(FakeWaslPeer(), peers={"partner": other}) as peer:
        with pytest.raises(CredentialsRejected):
            await peer.check()


async def test_a_signature_is_for_one_hub_and_one_path() -> None:
    requests: list[httpx.Request] = []
    fake = FakeWaslPeer()

    async def listen(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return await fake(request)

    async with connected(listen) as peer:
        receipt = await peer.submit(submission())
        await peer.status(receipt.reference)
    [_, asked] = requests
    elsewhere = httpx.Request(
        "GET", asked.url.copy_with(path=asked.url.path[:-1] + "9"), headers=asked.headers
    )
    assert (await fake(asked)).status_code == 200
    assert (await fake(elsewhere)).status_code == 401
    fake.hub = "another-hub"
    assert (await fake(asked)).status_code == 401


async def test_an_ed25519_key_signs_what_its_public_half_verifies() -> None:
    requests: list[httpx.Request] = []

    def listen(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(201, json={"reference": "r1"})

    secret = "whsk_" + base64.b64encode(SEED + PUBLIC).decode()
    async with connected(
        listen, peers={"partner": {"url": FakeWaslPeer.base, "secret": secret}}
    ) as p:
        await p.submit(submission())
    [request] = requests
    version, _, signature = request.headers["webhook-signature"].partition(",")
    assert version == "v1a"
    assert request.headers["webhook-id"] == KEY
    stamp = request.headers["webhook-timestamp"]
    signed = f"{KEY}.{stamp}.partner POST xx/reports\n".encode() + request.content
    Ed25519PublicKey.from_public_bytes(PUBLIC).verify(base64.b64decode(signature), signed)
    assert json.loads(request.content)["via"] == ["xx"]


async def test_a_lookup_asks_every_peer_and_one_that_is_away_is_no_none() -> None:
    fake, away = FakeWaslPeer(), {"gone.test"}
    peers = {
        "gone": {"url": "https://gone.test", "secret": FakeWaslPeer.secret},
        "partner": {"url": FakeWaslPeer.base, "secret": FakeWaslPeer.secret},
    }

    async def route(request: httpx.Request) -> httpx.Response:
        if request.url.host in away:
            raise httpx.ConnectError("away", request=request)
        return await fake(request)

    async with connected(route, peers=peers) as peer:
        with pytest.raises(TransientError):
            await peer.find(KEY)
        receipt = await peer.submit(submission())
        assert await peer.find(KEY) == receipt


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"hub": "Not A Hub"}, "hub"),
        ({"peers": {}}, "peers"),
        ({"peers": {"xx": {"url": "https://a.test", "secret": FakeWaslPeer.secret}}}, ""),
        ({"peers": {"p": {"url": "http://a.test", "secret": FakeWaslPeer.secret}}}, "peers.p.url"),
        ({"peers": {"p": {"url": "https://a.test", "secret": "CANARY"}}}, "peers.p.secret"),
        ({"peers": {"p": {"url": "https://a.test", "secret": "whpk_CANARY"}}}, "peers.p.secret"),
    ],
)
def test_a_wrong_config_names_the_field_and_no_value(config: dict[str, Any], field: str) -> None:
    peer = {"url": FakeWaslPeer.base, "secret": FakeWaslPeer.secret}
    with pytest.raises(ValidationError) as caught:
        WaslPeerConnector.Config.model_validate({"hub": "xx", "peers": {"p": peer}, **config})
    assert field in {".".join(map(str, e["loc"])) for e in caught.value.errors()}
    assert "CANARY" not in str(caught.value)
