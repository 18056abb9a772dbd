# SPDX-License-Identifier: Apache-2.0
"""Standard Webhooks signatures of both kinds, both ways, and what a 410 means."""

import base64
import json
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fakes._opened import ARABIC, opened, submission
from pydantic import ValidationError
from standardwebhooks import Webhook, WebhookVerificationError
from wasl_chassis.clock import SystemClock
from wasl_connector_sdk import CallbackRejected, CallbackRequest, CredentialsRejected
from wasl_platform_gateway.connectors.webhook import WebhookConnector

URL = "https://acme.example/hook"
HMAC = "whsec_" + base64.b64encode(bytes(range(32))).decode()
#: RFC 8032 §7.1, TEST 1.
SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
PUBLIC = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
NOW = datetime(2026, 1, 5, 9, tzinfo=UTC)


def coded(prefix, raw):
    return prefix + base64.b64encode(raw).decode()


OURS, OUR_KEY = coded("whsk_", SEED), Ed25519PrivateKey.from_private_bytes(SEED)
THEIR_KEY = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)
THEIRS = coded("whpk_", THEIR_KEY.public_key().public_bytes_raw())


class Taker:
    """An endpoint that keeps what it was sent."""

    def __init__(self, status=204):
        self.status, self.sent = status, []

    async def __call__(self, request):
        self.sent.append((dict(request.headers), request.content))
        return httpx.Response(self.status)


def on(taker, *, clock=None, **endpoint):
    return opened(
        WebhookConnector, {"endpoints": {"acme": {"url": URL, **endpoint}}}, taker, clock=clock
    )


def body(outcome="removed"):
    data = {"id": "dispatch-0001", "outcome": outcome, "reference": "A-1"}
    return json.dumps({"type": "report.status", "data": data}).encode()


def callback(*signatures, content=None, at=NOW, message="msg_1", received_at=NOW):
    """``signatures``: texts, or keys that sign here."""
    content = body() if content is None else content
    signed = f"{message}.{int(at.timestamp())}.".encode() + content
    listed = [s if isinstance(s, str) else coded("v1a,", s.sign(signed)) for s in signatures]
    headers = {
        "webhook-id": message,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(listed),
    }
    return CallbackRequest(headers=headers, body=content, received_at=received_at)


def symmetric(content=None):
    return Webhook(HMAC).sign("msg_1", NOW, (content or body()).decode())


# -- what we send --


@pytest.mark.parametrize("secret", [OURS, coded("whsk_", SEED + PUBLIC)], ids=["32", "64"])
async def test_what_we_send_is_signed_with_our_private_key(secret):
    taker = Taker()
    async with on(taker, secret=secret) as webhook:
        await webhook.submit(submission("dispatch-0001", explanation=ARABIC))
    ((headers, content),) = taker.sent
    version, _, text = headers["webhook-signature"].partition(",")
    signed = f"dispatch-0001.{headers['webhook-timestamp']}.".encode() + content
    assert version == "v1a"
    assert ARABIC in content.decode()
    public = OUR_KEY.public_key()
    assert public.public_bytes_raw() == PUBLIC
    public.verify(base64.b64decode(text, validate=True), signed)
    with pytest.raises(InvalidSignature):
        public.verify(base64.b64decode(text), signed + b" ")


async def test_a_shared_secret_signs_as_before_and_the_standards_library_agrees():
    taker = Taker()
    async with on(taker, secret=HMAC, clock=SystemClock()) as webhook:
        await webhook.submit(submission("dispatch-0001", explanation=ARABIC))
    ((headers, content),) = taker.sent
    assert Webhook(HMAC).verify(content, headers)["data"]["explanation"] == ARABIC
    with pytest.raises(WebhookVerificationError):
        Webhook(HMAC).verify(content + b" ", headers)


# -- what we are sent --


@pytest.mark.parametrize(
    "request_",
    [
        callback(THEIR_KEY),
        callback("v1,AAAA", "v1a,no base64!", "v1a,AAAA", OUR_KEY, THEIR_KEY),
        callback(THEIR_KEY, at=NOW - timedelta(minutes=5)),
    ],
    ids=["one", "several", "old"],
)
async def test_the_partners_public_key_verifies_callbacks(request_):
    async with on(Taker(), secret=OURS, public_key=THEIRS) as webhook:
        (update,) = webhook.parse_callback(request_)
    assert (update.partner, update.reference, update.event_id) == ("acme", "A-1", "msg_1")


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (callback(OUR_KEY), "signature"),
        (callback(), "signature"),
        (callback("v1a,"), "signature"),
        (callback(coded("v1a,", b"\0" * 64)), "signature"),
        (callback(coded("v1a,", THEIR_KEY.sign(body()))), "signature"),
        (callback(coded("v1,", THEIR_KEY.sign(b"msg_1.1767603600." + body()))), "signature"),
        (callback(symmetric()), "signature"),
        (callback(*["v1a,AAAA"] * 10, THEIR_KEY), "signature"),
        (callback(THEIR_KEY, at=NOW - timedelta(minutes=6)), "stale"),
        (callback(THEIR_KEY, at=NOW + timedelta(minutes=6)), "stale"),
        (callback(THEIR_KEY, content=b"{}"), "malformed"),
    ],
)  # fmt: skip
async def test_nothing_else_does(request_, reason):
    async with on(Taker(), secret=OURS, public_key=THEIRS) as webhook:
        with pytest.raises(CallbackRejected) as caught:
            webhook.parse_callback(request_)
    assert caught.value.reason == reason


def test_the_vectors_above_are_over_the_right_text():
    """So that the wrong ones are wrong for one reason only."""
    assert int(NOW.timestamp()) == 1767603600
    right = coded("v1a,", THEIR_KEY.sign(b"msg_1.1767603600." + body()))
    assert callback(THEIR_KEY).headers["webhook-signature"] == right


async def test_a_changed_body_id_or_time_is_rejected():
    good = callback(THEIR_KEY)
    async with on(Taker(), secret=OURS, public_key=THEIRS) as webhook:
        for headers, content in (
            ({}, good.body + b" "),
            ({"webhook-id": "msg_2"}, good.body),
            ({"webhook-timestamp": str(int(NOW.timestamp()) + 1)}, good.body),
        ):
            changed = CallbackRequest(
                headers={**good.headers, **headers}, body=content, received_at=NOW
            )
            with pytest.raises(CallbackRejected):
                webhook.parse_callback(changed)
        assert webhook.parse_callback(good)


async def test_our_private_key_alone_takes_no_callbacks():
    """A message signed with it could only be our own, sent back."""
    async with on(Taker(), secret=OURS) as webhook:
        for request in (callback(OUR_KEY), callback(symmetric()), callback(THEIR_KEY)):
            with pytest.raises(CallbackRejected):
                webhook.parse_callback(request)


async def test_a_public_key_takes_the_place_of_the_shared_secret():
    async with on(Taker(), secret=HMAC, public_key=THEIRS) as webhook:
        assert webhook.parse_callback(callback(THEIR_KEY))
        with pytest.raises(CallbackRejected):
            webhook.parse_callback(callback(symmetric()))
    async with on(Taker(), secret=HMAC) as webhook:
        assert webhook.parse_callback(callback(symmetric()))
        with pytest.raises(CallbackRejected):
            webhook.parse_callback(callback(THEIR_KEY))


async def test_who_signed_is_told_by_the_key_also_where_partners_differ_in_kind():
    third = Ed25519PrivateKey.from_private_bytes(b"\x09" * 32)
    config = {
        "endpoints": {
            "shared": {"url": URL, "secret": HMAC},
            "pair": {"url": URL, "secret": OURS, "public_key": THEIRS},
        },
        "default": {
            "url": URL,
            "secret": OURS,
            "public_key": coded("whpk_", third.public_key().public_bytes_raw()),
        },
    }
    async with opened(WebhookConnector, config, Taker()) as webhook:
        said = [webhook.parse_callback(callback(s))[0] for s in (symmetric(), THEIR_KEY, third)]
    assert [update.partner for update in said] == ["shared", "pair", None]
    assert said[2].not_partners == {"shared", "pair"}


# -- an endpoint that is gone --


async def test_410_stops_everything_and_refuses_nothing():
    taker = Taker(410)
    async with on(taker, secret=HMAC) as webhook:
        with pytest.raises(CredentialsRejected) as caught:
            await webhook.submit(submission("dispatch-0001"))
    assert caught.value.reason == "endpoint_gone"
    assert "CANARY" not in repr(caught.value)
    assert len(taker.sent) == 1


# -- configuration --


@pytest.mark.parametrize(
    ("endpoint", "field"),
    [
        ({"secret": "whsk_"}, "secret"),
        ({"secret": "whsk_CANARY"}, "secret"),
        ({"secret": coded("whsk_", SEED[:31])}, "secret"),
        ({"secret": coded("whsk_", SEED + PUBLIC[:31])}, "secret"),
        ({"secret": coded("whsk_", SEED + SEED)}, "secret"),
        ({"secret": THEIRS}, "secret"),
        ({"secret": OURS, "public_key": "whpk_CANARY"}, "public_key"),
        ({"secret": OURS, "public_key": coded("whpk_", PUBLIC + PUBLIC)}, "public_key"),
        ({"secret": OURS, "public_key": coded("", PUBLIC)}, "public_key"),
        ({"secret": OURS, "public_key": HMAC}, "public_key"),
        ({"secret": OURS, "public_key": OURS}, "public_key"),
    ],
)
def test_a_wrong_key_is_named_and_not_shown(endpoint, field):
    with pytest.raises(ValidationError) as caught:
        WebhookConnector.Config.model_validate({"default": {"url": URL, **endpoint}})
    assert [e["loc"][-1] for e in caught.value.errors()] == [field]
    text = str(caught.value)
    assert not any(value[5:] and value[5:] in text for value in endpoint.values())


def test_the_config_shows_no_private_key():
    config = WebhookConnector.Config.model_validate({"default": {"url": URL, "secret": OURS}})
    assert OURS[5:] not in repr(config)
    assert OURS[5:] not in config.model_dump_json()
