# SPDX-License-Identifier: Apache-2.0
"""Both built-in connectors against the partner simulator, over real sockets, in every mode."""

import ast
import asyncio
import json
import logging
import sys
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from fakes._opened import submission as sample
from pydantic import ValidationError
from wasl_chassis.clock import SystemClock
from wasl_connector_sdk import (
    AmbiguousOutcome,
    CallbackRequest,
    CredentialsRejected,
    InvalidSubmission,
    Outcome,
    RateLimited,
    Runtime,
    SubmissionRefused,
    TransientError,
)
from wasl_connector_sdk.http import client
from wasl_local.simulator import Mode, Partner, create_app, sign
from wasl_platform_gateway.connectors import reference, webhook
from wasl_platform_gateway.connectors.reference import ReferenceConnector
from wasl_platform_gateway.connectors.webhook import WebhookConnector

BOTH = [ReferenceConnector, WebhookConnector]


def submission(key="dispatch-0001", **changes):
    return sample(key, **{"explanation": "CANARY-EXPLANATION", **changes})


@pytest.fixture
async def world(kit):
    """``await world(Connector)`` → a connector and the simulated partner it talks to."""
    async with AsyncExitStack() as stack:

        async def make(connector, *, secret=None, token="token", app=None, timeout=5):
            partner = Partner(secret=kit.SECRET, token="token", delay=0.02, slow_seconds=1)
            url = await stack.enter_async_context(kit.serve(app or create_app(partner)))
            http = await stack.enter_async_context(client(timeout=timeout))
            rt = Runtime(http, SystemClock(), logging.getLogger("test"))
            if connector is ReferenceConnector:
                config = {"base_url": url, "token": token}
            else:
                config = {"default": {"url": f"{url}/webhook", "secret": secret or kit.SECRET}}
            opened = connector.open(connector.Config.model_validate(config), rt)
            return await stack.enter_async_context(opened), partner

        yield make


# -- every mode of a partner --

MODES = {
    Mode.REMOVE: None,
    Mode.REFUSE: None,
    Mode.ACKNOWLEDGE_LATER: None,
    Mode.SILENT: None,
    Mode.DUPLICATE_CALLBACK: None,
    Mode.SLOW: AmbiguousOutcome,
    Mode.TOO_MANY: RateLimited,
    Mode.ERROR: TransientError,
    Mode.REFUSE_AT_DOOR: SubmissionRefused,
    Mode.DOWN: AmbiguousOutcome,
    Mode.LOSE_ANSWER: AmbiguousOutcome,
}


@pytest.mark.parametrize("connector", BOTH)
@pytest.mark.parametrize("mode", MODES)
async def test_each_mode_has_its_outcome(world, connector, mode):
    opened, partner = await world(connector, timeout=0.5 if mode is Mode.SLOW else 5)
    partner.mode = mode
    if MODES[mode] is None:
        receipt = await opened.submit(submission())
        assert receipt.reference == partner.reports["dispatch-0001"].reference
        assert receipt.outcome is Outcome.PENDING
    else:
        with pytest.raises(Exception) as caught:
            await opened.submit(submission())
        assert type(caught.value) is MODES[mode]
        assert "CANARY" not in repr(caught.value)
    assert partner.received == {"dispatch-0001": 1}


def test_every_mode_is_tried():
    assert {*MODES, Mode.WITHOUT_ID, Mode.MIXED} == set(Mode)


async def test_a_webhook_answered_without_an_id_is_known_by_ours(world):
    opened, partner = await world(WebhookConnector)
    partner.mode = Mode.WITHOUT_ID
    assert (await opened.submit(submission())).reference == "dispatch-0001"


async def test_a_report_accepted_without_an_id_is_found_by_its_key(world):
    opened, partner = await world(ReferenceConnector)
    partner.mode = Mode.WITHOUT_ID
    with pytest.raises(AmbiguousOutcome):
        await opened.submit(submission())
    found = await opened.find("dispatch-0001")
    assert found.reference == partner.reports["dispatch-0001"].reference


@pytest.mark.parametrize("mode", [Mode.DOWN, Mode.LOSE_ANSWER])
async def test_a_lookup_tells_a_lost_request_from_a_lost_answer(world, mode):
    opened, partner = await world(ReferenceConnector)
    partner.mode = mode
    with pytest.raises(AmbiguousOutcome):
        await opened.submit(submission())
    partner.mode = Mode.REMOVE
    assert (await opened.find("dispatch-0001") is None) == (mode is Mode.DOWN)


@pytest.mark.parametrize("connector", BOTH)
async def test_the_same_key_twice_is_one_report(world, connector):
    opened, partner = await world(connector)
    first = await opened.submit(submission())
    again = await opened.submit(submission())
    assert first.reference == again.reference
    assert (partner.received, partner.made) == ({"dispatch-0001": 2}, {"dispatch-0001": 1})


@pytest.mark.parametrize("connector", BOTH)
async def test_fifty_at_once_are_fifty_reports(world, connector):
    opened, partner = await world(connector, timeout=10)
    await asyncio.gather(*(opened.submit(submission(f"dispatch-{n:04}")) for n in range(50)))
    assert set(partner.made.values()) == {1}
    assert len(partner.made) == 50


@pytest.mark.parametrize("connector", BOTH)
async def test_wrong_credentials(world, connector):
    opened, partner = await world(connector, secret="whsec_" + "eHh4" * 10, token="wrong")
    with pytest.raises(CredentialsRejected):
        await opened.submit(submission())
    assert partner.made == {}
    assert partner.rejected == 1


@pytest.mark.parametrize("connector", BOTH)
async def test_the_check_creates_nothing(world, connector):
    opened, partner = await world(connector)
    await opened.check()
    assert partner.received == partner.made == {}
    partner.mode = Mode.DOWN
    with pytest.raises(TransientError):
        await opened.check()


async def test_the_check_of_the_reference_api_proves_the_token(world):
    opened, _ = await world(ReferenceConnector, token="wrong")
    with pytest.raises(CredentialsRejected):
        await opened.check()


# -- following, reference --


@pytest.mark.parametrize(
    ("mode", "outcome", "reason"),
    [
        (Mode.REMOVE, Outcome.REMOVED, None),
        (Mode.REFUSE, Outcome.REFUSED, "policy_not_violated"),
        (Mode.ACKNOWLEDGE_LATER, Outcome.ACKNOWLEDGED, None),
        (Mode.SILENT, Outcome.PENDING, None),
    ],
)
async def test_polling_learns_the_outcome(world, mode, outcome, reason):
    opened, partner = await world(ReferenceConnector)
    partner.mode = mode
    receipt = await opened.submit(submission())
    async with asyncio.timeout(20):
        while (update := await opened.status(receipt.reference)).outcome is not outcome:
            await asyncio.sleep(0.01)
    assert update.reason == reason


async def test_an_unknown_reference(world):
    opened, _ = await world(ReferenceConnector)
    with pytest.raises(SubmissionRefused) as caught:
        await opened.status("../control")
    assert caught.value.code == "unknown_reference"


async def test_a_withdrawal_may_be_repeated(world):
    opened, partner = await world(ReferenceConnector)
    receipt = await opened.submit(submission())
    for _ in range(2):
        await opened.withdraw(receipt.reference, "mistake")
    assert partner.reports["dispatch-0001"].withdrawn
    with pytest.raises(TransientError):
        await opened.withdraw("unknown", "mistake")


def app_that_answers(status, body, headers=None):
    async def app(scope, receive, send):
        while (await receive()).get("more_body"):
            pass
        start = [(k.encode(), v.encode()) for k, v in (headers or {}).items()]
        await send({"type": "http.response.start", "status": status, "headers": start})
        await send({"type": "http.response.body", "body": body})

    return app


BODIES = [
    b"", b"{", b"[]", b"<html>", b"\xff", b"{}", b'{"id": 1}', b'{"id": "x"}',
    b'{"id": "x", "status": "new"}', b'{"id": "a\\nb", "status": "removed"}',
    b'{"id": null, "status": null}', b"[" * 50_000, b"x" * 2_000_000,
]  # fmt: skip


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
async def test_an_unreadable_acceptance_is_ambiguous(world, body):
    opened, _ = await world(ReferenceConnector, app=app_that_answers(201, body))
    with pytest.raises(AmbiguousOutcome):
        await opened.submit(submission())
    with pytest.raises(TransientError):
        await opened.status("x")
    with pytest.raises(TransientError):
        await opened.find("x")


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
async def test_any_2xx_is_a_receipt_of_a_webhook(world, body):
    opened, _ = await world(WebhookConnector, app=app_that_answers(200, body))
    assert (await opened.submit(submission())).reference == "dispatch-0001"


async def test_an_answer_at_once_is_read(world):
    body = b'{"reference": "P-1", "outcome": "already_gone"}'
    opened, _ = await world(WebhookConnector, app=app_that_answers(200, body))
    receipt = await opened.submit(submission())
    assert (receipt.reference, receipt.outcome) == ("P-1", Outcome.ALREADY_GONE)


@pytest.mark.parametrize("connector", BOTH)
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (301, TransientError),
        (400, InvalidSubmission),
        (401, CredentialsRejected),
        (403, CredentialsRejected),
        (404, TransientError),
        (409, AmbiguousOutcome),
        (413, InvalidSubmission),
        (422, InvalidSubmission),
        (429, RateLimited),
        (500, TransientError),
        (502, TransientError),
        (503, TransientError),
        (504, AmbiguousOutcome),
    ],
)
async def test_faults_of_a_partner(world, connector, status, kind):
    app = app_that_answers(status, b"no", {"retry-after": "7", "location": "http://127.0.0.1:1/"})
    opened, _ = await world(connector, app=app)
    with pytest.raises(Exception) as caught:
        await opened.submit(submission())
    assert type(caught.value) is kind
    if kind in (RateLimited, TransientError):
        assert caught.value.retry_after == 7


# -- what leaves the hub --

ALLOWED = {
    "type", "timestamp", "data", "id", "case", "partner", "category", "severity", "ground", "scope",
    "item", "explanation", "requested_at", "test", "kind", "ref", "text", "location", "platform",
    "language", "measure",
}  # fmt: skip


def _keys(value):
    if isinstance(value, dict):
        return set(value) | {k for v in value.values() for k in _keys(v)}
    return set()


def test_the_payloads_carry_these_fields_and_no_other():
    now = datetime(2026, 1, 5, 9, tzinfo=UTC)
    for payload in (reference.to_json(submission()), webhook.to_json(submission(), now)):
        assert _keys(payload) <= ALLOWED
        assert len(json.dumps(payload)) < 20_000


async def test_a_webhook_is_signed_as_the_standard_says(kit):
    """Checked with the standard's own library, on the bytes that were sent."""
    from standardwebhooks import Webhook

    sent = []

    def take(request):
        sent.append((dict(request.headers), request.content))
        return httpx.Response(204)

    endpoint = {"url": "https://acme.example/hook", "secret": kit.SECRET}
    config = WebhookConnector.Config.model_validate({"endpoints": {"acme": endpoint}})
    rt = Runtime(
        httpx.AsyncClient(transport=httpx.MockTransport(take)), SystemClock(), logging.getLogger()
    )
    async with WebhookConnector.open(config, rt) as opened:
        await opened.submit(submission(explanation="كلام عربي"))
        await opened.submit(submission(explanation="كلام عربي"))
        with pytest.raises(InvalidSubmission):
            await opened.submit(submission(partner="somebody"))
    for headers, body in sent:
        assert Webhook(kit.SECRET).verify(body, headers)["type"] == "report.created"
    assert {headers["webhook-id"] for headers, _ in sent} == {"dispatch-0001"}


def test_a_simulated_signature_is_the_standards():
    from standardwebhooks import Webhook

    secret, body = "whsec_" + "QUJD" * 8, b'{"a": 1}'
    assert Webhook(secret).verify(body, sign(secret, "msg_1", body)) == {"a": 1}


async def test_parsing_a_callback_needs_no_clock_but_its_own(kit):
    endpoint = {"url": "https://acme.example/hook", "secret": kit.SECRET}
    config = WebhookConnector.Config.model_validate({"endpoints": {"acme": endpoint}})
    rt = Runtime(httpx.AsyncClient(), SystemClock(), logging.getLogger())
    body = json.dumps(
        {"type": "report.status", "data": {"id": "dispatch-0001", "outcome": "removed"}}
    ).encode()
    long_ago = datetime(2001, 1, 1, tzinfo=UTC)
    headers = sign(kit.SECRET, "msg_1", body, int(long_ago.timestamp()))
    async with WebhookConnector.open(config, rt) as opened:
        request = CallbackRequest(
            headers=headers, body=body, received_at=long_ago + timedelta(minutes=5)
        )
        (update,) = opened.parse_callback(request)
    assert (update.partner, update.event_id) == ("acme", "msg_1")
    assert "removed" not in repr(request)


# -- configuration --


@pytest.mark.parametrize(
    ("connector", "config", "field"),
    [
        (ReferenceConnector, {}, "base_url"),
        (ReferenceConnector, {"base_url": "http://example.org", "token": "x"}, "base_url"),
        (ReferenceConnector, {"base_url": "https://example.org", "token": ""}, "token"),
        (WebhookConnector, {}, ""),
        (WebhookConnector, {"default": {"url": "https://example.org"}}, "default.secret"),
        (
            WebhookConnector,
            {"default": {"url": "https://example.org", "secret": "whsec_CANARY"}},
            "default.secret",
        ),
        (
            WebhookConnector,
            {"default": {"url": "https://example.org", "secret": "whsec_QUJD"}},
            "default.secret",
        ),
        (ReferenceConnector, {"rate_per_second": 0}, "rate_per_second"),
    ],
)
def test_a_wrong_config_names_the_field_and_no_value(connector, config, field):
    with pytest.raises(ValidationError) as caught:
        connector.Config.model_validate(config)
    assert field in {".".join(map(str, e["loc"])) for e in caught.value.errors()}
    assert "CANARY" not in str(caught.value)


def test_connectors_import_the_sdk_and_no_other_part_of_wasl():
    allowed = {"pydantic", "httpx", "wasl_connector_sdk"}
    allowed |= {"aiosmtplib", "cryptography", "dkim"}
    for path in Path(reference.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                root = name.split(".")[0]
                own = name.startswith("wasl_platform_gateway.connectors")
                assert own or root in sys.stdlib_module_names or root in allowed, (path.name, name)


# -- the simulator --


async def _control(url, **what):
    async with httpx.AsyncClient() as http:
        return await http.post(f"{url}/control", json=what)


async def test_the_simulator_is_switched_at_run_time_and_keeps_the_record(kit, world):
    partner = Partner(secret=kit.SECRET, token="token")
    opened, _ = await world(ReferenceConnector, app=create_app(partner))
    url = opened._url.removesuffix("/reports")
    await _control(url, mode="500", times=2)
    for _ in range(2):
        with pytest.raises(TransientError):
            await opened.submit(submission())
    await opened.submit(submission())
    await _control(url, honours_keys=False, mode="silent")
    await opened.submit(submission())
    async with httpx.AsyncClient() as http:
        seen = (await http.get(f"{url}/seen")).json()
    assert seen["keys"]["dispatch-0001"] == {"received": 4, "reports": 2, "status": "pending"}
    assert (await _control(url, mode="nonsense")).status_code == 400
    assert (await _control(url, nonsense=1)).status_code == 400


async def test_the_mix_is_decided_by_key_and_seed():
    keys = [f"dispatch-{n:04}" for n in range(400)]
    runs = []
    for seed in (1, 1, 2):
        partner = Partner(secret="x", token="x", mode=Mode.MIXED, seed=seed)
        partner.received = dict.fromkeys(keys, 1)
        runs.append([partner.mode_for(k) for k in keys])
    assert runs[0] == runs[1] != runs[2]
    assert len(set(runs[0])) == 8
    partner.received = dict.fromkeys(keys, 2)
    assert not {Mode.ERROR, Mode.TOO_MANY} & {partner.mode_for(k) for k in keys}


async def test_the_simulator_runs_as_a_process_of_its_own(kit):
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "wasl_local.simulator", "--secret", kit.SECRET, "--mode", "silent",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        line = await asyncio.wait_for(process.stdout.readline(), 20)
        ready = json.loads(line)
        assert (ready["event"], ready["pid"]) == ("ready", process.pid)
        answer = await _control(f"http://127.0.0.1:{ready['port']}", mode="down")
        assert answer.json() == {"mode": "down"}
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), 10)
