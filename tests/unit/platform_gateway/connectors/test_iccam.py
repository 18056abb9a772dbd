# SPDX-License-Identifier: Apache-2.0
"""ICCAM: what leaves, sessions that end, references that are taken, and the client certificate."""

import asyncio
import json
import logging
import ssl
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from types import SimpleNamespace

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fakes._opened import CSAM
from fakes._opened import submission as sample
from fakes.iccam import FakeIccam
from pydantic import ValidationError
from wasl_connector_sdk import (
    AmbiguousOutcome,
    CredentialsRejected,
    Idempotency,
    InvalidSubmission,
    Outcome,
    RateLimited,
    Runtime,
    SubmissionRefused,
    SupportsLookup,
    SupportsPolling,
    TransientError,
)
from wasl_connector_sdk.http import client
from wasl_platform_gateway.connectors.iccam import (
    IccamConfig,
    IccamConnector,
    number_of,
    outcome_of,
)

CONFIG = {"base_url": FakeIccam.base, "username": "hub", "password": "secret-password"}


def submission(**changes):
    return sample("dispatch-0001", **{**CSAM, "partner": "iccam", **changes})


class World:
    """A simulated ICCAM; ``answer`` replaces or breaks what it says to a path."""

    def __init__(self):
        self.fake = FakeIccam()
        self.answer = {}

    @property
    def clock(self):
        return SimpleNamespace(now=lambda: self.fake.now)

    async def handle(self, request):
        await asyncio.sleep(0)  # as on a network, where others run meanwhile
        made = self.answer.get(request.url.path.strip("/"))
        if isinstance(made, Exception):
            await self.fake(request)
            raise made
        return made if made is not None else await self.fake(request)

    async def connector(self, stack, **config):
        http = client(transport=httpx.MockTransport(self.handle))
        rt = Runtime(await stack.enter_async_context(http), self.clock, logging.getLogger("t"))
        opened = IccamConnector.open(IccamConfig.model_validate({**CONFIG, **config}), rt)
        return await stack.enter_async_context(opened)


@pytest.fixture
def world():
    return World()


@pytest.fixture
async def iccam(world):
    async with AsyncExitStack() as stack:
        yield await world.connector(stack)


# -- what is sent ------------------------------------------------------------------------------


async def test_a_report_names_the_address_and_is_known_by_our_key(iccam, world):
    receipt = await iccam.submit(submission(explanation="محتوى غير قانوني"))
    assert receipt.reference == "1001"
    (report,) = world.fake.reports
    assert report["hotlineReference"] == "dispatch-0001"
    assert report["reportingAnalystName"] == "hub"
    assert report["hotlineReceivedDate"] == "2026-01-05T09:00:00Z"
    assert report["memo"] == "TEST, please disregard.\nArticle 1\nمحتوى غير قانوني"
    (item,) = report["urls"]
    assert item["urlString"] == "https://example.org/CANARY-LOCATION"
    assert (item["isSourceUrl"], item["contentType"]) == (True, 2)
    assert world.fake.calls == ["POST Authentication", "POST rest/reports"]


async def test_nothing_is_claimed_that_nobody_looked_at(iccam, world):
    await iccam.submit(submission())
    assessment = world.fake.reports[0]["urls"][0]["assessment"]
    assert assessment == {
        "assessingAnalystName": "hub",
        "classification": 2,
        "ageCategorization": 1,
        "genderCategorization": 1,
        "virtualContentCategorization": 0,
        "userGeneratedContentCategorization": 0,
        "childModelingCategorization": 0,
    }


@pytest.mark.parametrize(
    ("platform", "kind", "numbers"),
    [("web", "page", (2, 2)), ("video_site", "video", (9, 1)), ("photos", "photo", (9, 1))],
)
async def test_sites_and_kinds_have_numbers(iccam, world, platform, kind, numbers):
    await iccam.submit(submission(platform=platform, kind=kind))
    (report,) = world.fake.reports
    assert (report["sourceUrlSiteType"], report["urls"][0]["contentType"]) == numbers


async def test_the_settings_name_analyst_and_classification(world):
    async with AsyncExitStack() as stack:
        iccam = await world.connector(stack, analyst="A. Nalyst", classification=1)
        await iccam.submit(submission())
    assert world.fake.reports[0]["reportingAnalystName"] == "A. Nalyst"
    assert world.fake.reports[0]["urls"][0]["assessment"]["classification"] == 1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"location": "@someone"}, "not_a_url"),
        ({"category": "child_grooming"}, "category_not_accepted"),
    ],
)
async def test_what_iccam_has_no_place_for_is_not_sent(iccam, world, changes, reason):
    with pytest.raises(InvalidSubmission) as caught:
        await iccam.submit(submission(**changes))
    assert caught.value.reason == reason
    assert world.fake.calls == []


def test_the_fake_takes_numbers_only(world):
    """Otherwise none of the tests here says anything about numbers."""
    from fakes.iccam import _wrong
    from wasl_platform_gateway.connectors.iccam import to_json

    report = to_json(submission(), analyst="a", classification=2)
    assert _wrong(report) == {}
    for wrong in ("2", True, 2.0):
        report["sourceUrlSiteType"] = wrong
        assert _wrong(report) == {"sourceUrlSiteType": ["invalid"]}


# -- once --------------------------------------------------------------------------------------


async def test_a_repeated_key_makes_no_second_report_and_asks_for_a_person(iccam, world):
    world.answer = {"rest/reports": httpx.ReadTimeout("CANARY")}
    with pytest.raises(AmbiguousOutcome) as caught:
        await iccam.submit(submission())
    assert "CANARY" not in repr(caught.value)
    world.answer = {}
    with pytest.raises(AmbiguousOutcome) as caught:
        await iccam.submit(submission())
    assert caught.value.reason == "reference_taken"
    assert len(world.fake.reports) == 1
    assert IccamConnector.manifest.idempotency is Idempotency.NONE
    assert not issubclass(IccamConnector, SupportsLookup)


STATUS = {
    400: InvalidSubmission,
    403: CredentialsRejected,
    404: TransientError,
    409: AmbiguousOutcome,
    413: InvalidSubmission,
    429: RateLimited,
    500: TransientError,
    502: TransientError,
    503: TransientError,
    504: AmbiguousOutcome,
}


@pytest.mark.parametrize("status", STATUS)
async def test_each_status_has_its_error(iccam, world, status):
    world.answer = {"rest/reports": httpx.Response(status, content=b"<html>CANARY</html>")}
    with pytest.raises(Exception) as caught:
        await iccam.submit(submission())
    assert type(caught.value) is STATUS[status]
    assert "CANARY" not in repr(caught.value)


@pytest.mark.parametrize("status", [400, 500])
async def test_with_errors_of_its_own_a_refusal_is_final(iccam, world, status):
    errors = {"errors": {"Urls[0].UrlString": ["CANARY"]}}
    world.answer = {"rest/reports": httpx.Response(status, json=errors)}
    with pytest.raises(InvalidSubmission) as caught:
        await iccam.submit(submission())
    assert caught.value.reason == f"http_{status}"
    assert "CANARY" not in repr(caught.value)


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"null", b"true", b"{}", b"0", b"-4", b'"x"', b"1.5", b"1" * (1 << 21)]
)
async def test_success_without_a_number_is_ambiguous(iccam, world, body):
    world.answer = {"rest/reports": httpx.Response(200, content=body)}
    with pytest.raises(AmbiguousOutcome):
        await iccam.submit(submission())


async def test_a_number_that_broke_off_is_not_another_number(iccam, world):
    class Broken(httpx.AsyncByteStream):
        async def __aiter__(self):
            yield b"10"
            raise httpx.RemoteProtocolError("incomplete")

    world.answer = {"rest/reports": httpx.Response(200, stream=Broken())}
    with pytest.raises(AmbiguousOutcome):
        await iccam.submit(submission())


def test_numbers():
    assert [number_of(n) for n in (7, "7", "07x", True, 0, None, "٧", "9" * 21)] == [
        7,
        7,
        *[None] * 6,
    ]


# -- sessions ----------------------------------------------------------------------------------


async def test_one_signing_in_serves_many_calls(iccam, world):
    keys = [f"dispatch-{n:04}" for n in range(20)]
    await asyncio.gather(*(iccam.submit(submission(idempotency_key=k)) for k in keys))
    assert world.fake.calls.count("POST Authentication") == 1
    assert len(world.fake.reports) == 20


async def test_a_token_near_its_end_is_renewed_before_it_is_used(iccam, world):
    await iccam.check()
    world.fake.now += timedelta(seconds=1741)
    await iccam.check()
    assert world.fake.calls[2:] == ["POST Authentication/refresh", "GET Authentication/userinfo"]
    world.fake.now += timedelta(seconds=60)
    await iccam.check()
    assert world.fake.calls[4:] == ["GET Authentication/userinfo"]


async def test_a_session_ended_by_iccam_is_begun_again_once_for_all(iccam, world):
    await iccam.check()
    world.fake.end_sessions()
    world.fake.calls.clear()
    keys = [f"dispatch-{n:04}" for n in range(10)]
    await asyncio.gather(*(iccam.submit(submission(idempotency_key=k)) for k in keys))
    assert world.fake.calls.count("POST Authentication/refresh") == 1
    assert world.fake.calls.count("POST Authentication") == 1
    assert len(world.fake.reports) == 10


async def test_a_new_session_that_is_not_ready_is_waited_for(iccam, world):
    """ICCAM wants two seconds after signing in; the credentials were right."""
    world.fake.settling = timedelta(seconds=2)
    with pytest.raises(TransientError) as caught:
        await iccam.submit(submission())
    assert caught.value.retry_after == 2
    world.fake.now += timedelta(seconds=2)
    await iccam.submit(submission())
    assert len(world.fake.reports) == 1


async def test_wrong_credentials_stop_everything(world):
    async with AsyncExitStack() as stack:
        iccam = await world.connector(stack, password="another-password")
        for call in (iccam.check(), iccam.submit(submission()), iccam.status("1001")):
            with pytest.raises(CredentialsRejected) as caught:
                await call
            assert "another-password" not in repr(caught.value)


@pytest.mark.parametrize("status", [400, 401, 403])
async def test_each_way_to_be_turned_away(iccam, world, status):
    world.answer = {"Authentication": httpx.Response(status, json={"errors": {"x": ["CANARY"]}})}
    with pytest.raises(CredentialsRejected):
        await iccam.check()


@pytest.mark.parametrize(
    "answer",
    [
        httpx.ReadTimeout("CANARY"),
        httpx.Response(503),
        httpx.Response(504),
        httpx.Response(451),
        httpx.Response(415),
        httpx.Response(400, text="<html>"),
        httpx.Response(200, content=b"<html>"),
        httpx.Response(200, json={"bearerToken": ""}),
        httpx.Response(200, json={"bearerToken": "a\r\nb"}),
        httpx.Response(200, json=[]),
    ],
)
async def test_a_failure_to_sign_in_says_nothing_about_the_report(iccam, world, answer):
    world.answer = {"Authentication": answer}
    with pytest.raises(TransientError):
        await iccam.submit(submission())
    world.answer = {}
    await iccam.submit(submission())
    assert len(world.fake.reports) == 1


async def test_the_token_is_in_no_exception(iccam, world):
    await iccam.check()
    world.answer = {"rest/reports": httpx.Response(500, text="bearer-1")}
    with pytest.raises(TransientError) as caught:
        await iccam.submit(submission())
    assert "bearer-1" not in repr(caught.value)


# -- following ---------------------------------------------------------------------------------


def act(*types, **more):
    return [
        {"actionType": t, "analystName": "x", "actionDate": "2026-01-06T00:00:00Z", **more}
        for t in types
    ]


@pytest.mark.parametrize(
    ("actions", "expected"),
    [
        ([], (Outcome.PENDING, None)),
        (act(0), (Outcome.PENDING, None)),
        (act(99), (Outcome.PENDING, None)),
        (act(1), (Outcome.ACKNOWLEDGED, None)),
        (act(2, 0), (Outcome.ACKNOWLEDGED, None)),
        (act(2, 3), (Outcome.REMOVED, None)),
        (act(3, 1), (Outcome.REMOVED, None)),
        (act(4), (Outcome.ALREADY_GONE, None)),
        (act(6, reasonId=16), (Outcome.REFUSED, "iccam_16")),
        (act("3"), (Outcome.PENDING, None)),
    ],
)
async def test_the_strongest_action_tells_what_became_of_it(iccam, world, actions, expected):
    receipt = await iccam.submit(submission())
    world.fake.actions[1001] = actions
    update = await iccam.status(receipt.reference)
    assert (update.outcome, update.reason) == expected
    assert update.reference == "1001"


async def test_a_report_that_has_not_settled_is_pending(iccam, world):
    world.fake.settled = False
    receipt = await iccam.submit(submission())
    assert (await iccam.status(receipt.reference)).outcome is Outcome.PENDING


@pytest.mark.parametrize("reference", ["9999", "x", "1001/../../logout", ""])
async def test_an_unknown_report(iccam, world, reference):
    with pytest.raises(SubmissionRefused) as caught:
        await iccam.status(reference)
    assert caught.value.code == "unknown_reference"
    assert all("logout" not in call for call in world.fake.calls)


@pytest.mark.parametrize(
    "body", ["[]", "{}", '{"reportContents": [1]}', '{"reportContents": [{"contentId": "x"}]}']
)
async def test_an_unreadable_report_is_asked_for_later(iccam, world, body):
    await iccam.submit(submission())
    world.answer = {"rest/Reports/1001": httpx.Response(200, text=body)}
    with pytest.raises(TransientError):
        await iccam.status("1001")


def test_a_content_without_actions_is_pending_and_nonsense_is_not():
    assert outcome_of({"actions": None}) == (Outcome.PENDING, None)
    for nonsense in ([], None, {"actions": "3"}):
        with pytest.raises(TransientError):
            outcome_of(nonsense)


# -- settings and the certificate --------------------------------------------------------------


def test_without_live_production_cannot_be_named():
    with pytest.raises(ValidationError):
        IccamConfig.model_validate({**CONFIG, "base_url": "https://api.iccam.net"})
    IccamConfig.model_validate({**CONFIG, "base_url": "https://api-demo.iccam.net"})
    with pytest.raises(ValidationError, match="live needs"):
        IccamConfig.model_validate({**CONFIG, "live": True})


def test_the_settings_keep_their_secret(tmp_path):
    assert "secret-password" not in repr(IccamConfig.model_validate(CONFIG))
    here = tmp_path / "x.pem"
    here.write_text("")
    for wrong in ({"classification": 3}, {"certificate": str(here)}, {"key": "/nowhere"}):
        with pytest.raises(ValidationError) as caught:
            IccamConfig.model_validate({**CONFIG, **wrong})
        assert "secret-password" not in str(caught.value)


def issue(name, issuer=None):
    """A certificate of ``issuer`` (its own without), and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    signer = issuer or (SimpleNamespace(subject=subject), key)
    names = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(
            signer[0].subject, subject, key.public_key(), x509.random_serial_number()
        )
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(names, critical=False)
        .sign(signer[1], hashes.SHA256())
    )
    return certificate, key


def store(folder, name, issued):
    certificate, key = issued
    (folder / f"{name}.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / f"{name}.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return folder / f"{name}.crt", folder / f"{name}.key"


@asynccontextmanager
async def tls(fake, context, seen):
    """The fake behind TLS that demands a client certificate; ``seen``: whose were shown."""

    async def serve(reader, writer):
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            method, path, _ = head[0].split(" ")
            headers = dict(line.split(": ", 1) for line in head[1:] if line)
            size = int({k.lower(): v for k, v in headers.items()}.get("content-length", 0))
            content = await reader.readexactly(size)
            shown = writer.get_extra_info("peercert")["subject"]
            seen.append(shown[0][0][1])
            answer = await fake(
                httpx.Request(method, f"{fake.base}{path}", headers=headers, content=content)
            )
            writer.write(
                f"HTTP/1.1 {answer.status_code} X\r\ncontent-length: {len(answer.content)}\r\n"
                "connection: close\r\n\r\n".encode()
                + answer.content
            )
            await writer.drain()
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_the_client_certificate_is_shown_over_real_tls(world, tmp_path):
    authority = issue("Test authority")
    ca, _ = store(tmp_path, "ca", authority)
    server = store(tmp_path, "server", issue("ICCAM", authority))
    hotline = store(tmp_path, "hotline", issue("Hotline", authority))
    stranger = store(tmp_path, "stranger", issue("Stranger"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=ca)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(*server)
    seen = []
    async with tls(world.fake, context, seen) as url, AsyncExitStack() as stack:

        async def opened(pair):
            files = {"certificate": pair[0], "key": pair[1], "ca": ca} if pair else {}
            return await world.connector(stack, base_url=url, **files)

        iccam = await opened(hotline)
        await iccam.submit(submission())
        assert seen == ["Hotline", "Hotline"]
        with pytest.raises(TransientError):
            await (await opened(stranger)).submit(submission(idempotency_key="dispatch-0002"))
    assert iccam._rt.http.is_closed
    assert len(world.fake.reports) == 1
    assert (
        json.dumps(world.fake.reports[0]["urls"][0]["urlString"])
        == '"https://example.org/CANARY-LOCATION"'
    )


def test_what_it_can_do():
    assert issubclass(IccamConnector, SupportsPolling)
    rate = IccamConnector.manifest.rate
    assert rate.burst == 1
    assert rate.per_second <= 0.5
