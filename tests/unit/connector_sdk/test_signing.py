# SPDX-License-Identifier: Apache-2.0
"""Signatures agree with the reference implementation; what they cover cannot be moved elsewhere."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError
from standardwebhooks import Webhook
from wasl_connector_sdk import CallbackRejected, signing
from wasl_connector_sdk.signing import Keys

NOW = datetime(2026, 1, 5, 9, tzinfo=UTC)
SHARED = "whsec_" + base64.b64encode(bytes(range(32))).decode()
#: RFC 8032 §7.1, TEST 1.
SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
PUBLIC = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
PRIVATE = "whsk_" + base64.b64encode(SEED).decode()
VERIFYING = "whpk_" + base64.b64encode(PUBLIC).decode()


def keys(**given):
    return Keys.model_validate(given)


def test_a_shared_secret_signs_as_the_reference_implementation_does():
    made = signing.headers(keys(secret=SHARED), "m-1", NOW, b'{"a":"\xc3\xa9"}')
    assert made["webhook-signature"] == Webhook(SHARED).sign("m-1", NOW, '{"a":"é"}')
    assert signing.verify(keys(secret=SHARED), made, b'{"a":"\xc3\xa9"}', NOW) == "m-1"


def test_a_key_pair_goes_one_way():
    made = signing.headers(keys(secret=PRIVATE), "m-1", NOW, b"x")
    assert signing.verify(keys(public_key=VERIFYING), made, b"x", NOW) == "m-1"
    for other in (keys(secret=PRIVATE), keys(secret=SHARED), keys()):
        with pytest.raises(CallbackRejected):
            signing.verify(other, made, b"x", NOW)
    with pytest.raises(ValueError, match="only a public key"):
        signing.headers(keys(public_key=VERIFYING), "m-1", NOW, b"x")


def test_what_verifies_is_known_beforehand():
    assert keys(secret=SHARED).verifies
    assert keys(public_key=VERIFYING).verifies
    assert not keys(secret=PRIVATE).verifies
    assert not keys().verifies


@pytest.mark.parametrize("seconds", [-301, 301])
def test_five_minutes_are_the_limit(seconds):
    made = signing.headers(keys(secret=SHARED), "m-1", NOW, b"x")
    near, far = (timedelta(seconds=s) for s in (seconds - seconds // abs(seconds), seconds))
    assert signing.verify(keys(secret=SHARED), made, b"x", NOW + near) == "m-1"
    with pytest.raises(CallbackRejected) as caught:
        signing.verify(keys(secret=SHARED), made, b"x", NOW + far)
    assert caught.value.reason == "stale"


def test_an_addressed_body_is_for_one_receiver_method_and_target():
    said = signing.addressed("bb", "POST", "aa/reports", b"{}")
    others = [
        signing.addressed("cc", "POST", "aa/reports", b"{}"),
        signing.addressed("bb", "GET", "aa/reports", b"{}"),
        signing.addressed("bb", "POST", "aa/reports/1", b"{}"),
        signing.addressed("bb", "POST", "aa/reports", b"[]"),
    ]
    assert len({said, *others}) == 5


@pytest.mark.parametrize(
    "given", [{"secret": VERIFYING}, {"secret": "whsec_eA=="}, {"public_key": PRIVATE}]
)
def test_a_wrong_key_is_refused_unquoted(given):
    with pytest.raises(ValidationError) as caught:
        keys(**given)
    assert next(iter(given.values())) not in str(caught.value)
