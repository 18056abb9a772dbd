# SPDX-License-Identifier: Apache-2.0
"""The Bluesky connector on a real PDS with Ozone behind it; the fake answers as these do."""

import base64
import hashlib
import hmac
import json
import logging
import secrets
import socket
import threading
import time
import tomllib
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from fakes.bluesky import AUTHOR, CID, LABELER, REASONS, FakeBluesky
from wasl_chassis.testing import FakeClock
from wasl_connector_sdk import (
    AmbiguousOutcome,
    CredentialsRejected,
    Ground,
    HubIdentity,
    InvalidSubmission,
    Outcome,
    RateLimited,
    Runtime,
    Submission,
    SubmissionRefused,
    SupportsLookup,
    SupportsPolling,
    TransientError,
)
from wasl_connector_sdk.http import client
from wasl_platform_gateway.connectors.bluesky import BlueskyConnector, reason_text, reason_type

pytestmark = pytest.mark.xdist_group("atproto")
ROOT = Path(__file__).resolve().parents[2]
CREATE_REPORT = "com.atproto.moderation.createReport"
REASON = "tools.ozone.report.defs#reasonHarassmentTargeted"


class Wire(httpx.AsyncHTTPTransport):
    """Notes each call; the answer of the first ``lost`` is lost once the server has given it."""

    def __init__(self, lost=""):
        super().__init__()
        self.lost, self.calls, self.headers = lost, [], []

    async def handle_async_request(self, request):
        answer = await super().handle_async_request(request)
        self.calls.append(request.url.path.rsplit(".", 1)[-1])
        self.headers.append(answer.headers)
        if self.lost and self.calls[-1] == self.lost:
            self.lost = ""
            await answer.aclose()
            raise httpx.ReadTimeout("lost", request=request)
        return answer


@dataclass(frozen=True)
class World:
    """One test's hub account, and an author with a post."""

    net: object
    hub: object
    author: object
    uri: str
    cid: str
    clock: FakeClock = field(default_factory=lambda: FakeClock(datetime.now(UTC)))

    @property
    def post(self):
        return {"$type": "com.atproto.repo.strongRef", "uri": self.uri, "cid": self.cid}

    @property
    def account(self):
        return {"$type": "com.atproto.admin.defs#repoRef", "did": self.author.did}

    def submission(self, location=None, **changes):
        given = {
            "idempotency_key": secrets.token_hex(16), "case": "case-0001", "partner": "bluesky",
            "category": "cyber_harassment", "severity": "high", "scope": "MA",
            "platform": "bluesky", "ground": Ground(kind="law", ref="law.1", text="المادة 1"),
            "kind": "post", "location": location or self.uri, "language": "ar",
            "explanation": "المحتوى مخالف للقانون 🙏", "requested_at": datetime.now(UTC), **changes,
        }  # fmt: skip
        return Submission(**given)

    @asynccontextmanager
    async def opened(self, *, wire=None, live=True, **changes):
        config = {
            "base_url": self.net["pds"], "identifier": self.hub.handle,
            "app_password": self.hub.app_password, "labeler": self.net["labeler"], **changes,
        }  # fmt: skip
        config = {name: value for name, value in config.items() if value is not None}
        forbidden = frozenset() if live else BlueskyConnector.manifest.production
        async with client(transport=wire, forbidden=forbidden) as http:
            rt = Runtime(http, self.clock, logging.getLogger("test"), HubIdentity(country="MA"))
            config = BlueskyConnector.Config.model_validate(config)
            async with BlueskyConnector.open(config, rt) as bluesky:
                yield bluesky

    def rows(self):
        return self.net.reports(self.hub.did)


@pytest.fixture
def world(atproto):
    author = atproto.account()
    return World(atproto, atproto.account(), author, *atproto.post(author, "a statement"))


# -- sending --


async def test_a_post_is_reported_in_its_present_version(world):
    submission = world.submission()
    async with world.opened() as bluesky:
        await bluesky.check()
        receipt = await bluesky.submit(submission)
    (row,) = world.rows()
    assert receipt.reference == str(row["id"])
    assert receipt.outcome is Outcome.PENDING
    assert row["subject"] == world.post
    assert row["event"]["reportType"] == REASON
    assert row["event"]["comment"] == reason_text(submission)
    assert row["createdBy"] == world.hub.did


async def test_an_account_by_each_of_its_names(world):
    names = [
        f"@{world.author.handle}",
        f"at://{world.author.did}",
        f"https://bsky.app/profile/{world.author.handle}",
    ]
    async with world.opened() as bluesky:
        for name in names:
            await bluesky.submit(world.submission(name, kind="account"))
        page = f"{names[2]}/post/{world.uri.rsplit('/', 1)[1]}"
        await bluesky.submit(world.submission(page))
    assert [row["subject"] for row in world.rows()] == [world.account] * 3 + [world.post]


async def test_a_labeler_that_lists_its_reasons_takes_every_categorys(world):
    pack = tomllib.loads((ROOT / "deploy/country-packs/ma/taxonomy.toml").read_text())
    categories = [category["id"] for category in pack["categories"]]
    async with world.opened() as bluesky:
        for category in categories:
            await bluesky.submit(world.submission(category=category))
    sent = [row["event"]["reportType"] for row in world.rows()]
    assert sent == [reason_type(category, {}) for category in categories]


async def test_a_reason_it_does_not_list_is_invalid(world):
    reasons = {"cyber_harassment": "tools.ozone.report.defs#reasonInvented"}
    async with world.opened(reasons=reasons) as bluesky:
        with pytest.raises(InvalidSubmission):
            await bluesky.submit(world.submission())
    assert world.rows() == []


@pytest.mark.parametrize("text", ["ش" * 5000, "👩‍👩‍👧‍👦" * 1000])
async def test_a_long_statement_is_cut_to_what_the_server_takes(world, text):
    submission = world.submission(explanation=text)
    async with world.opened() as bluesky:
        await bluesky.submit(submission)
    (row,) = world.rows()
    assert row["event"]["comment"] == reason_text(submission)
    assert row["event"]["comment"].endswith(f"ref:{submission.idempotency_key}")


async def test_the_same_key_twice_makes_two_reports(world):
    submission = world.submission()
    async with world.opened() as bluesky:
        receipts = [await bluesky.submit(submission) for _ in range(2)]
    assert [receipt.reference for receipt in receipts] == [str(row["id"]) for row in world.rows()]
    assert len(world.rows()) == 2


async def test_a_lost_answer_is_in_doubt_as_a_reporter_can_look_nothing_up(world):
    async with world.opened(wire=Wire("createReport")) as bluesky:
        with pytest.raises(AmbiguousOutcome):
            await bluesky.submit(world.submission())
    assert len(world.rows()) == 1
    assert not issubclass(BlueskyConnector, (SupportsLookup, SupportsPolling))
    answer = world.net.call(
        "GET", "tools.ozone.moderation.queryEvents", world.hub.token,
        headers={"atproto-proxy": f"{world.net['labeler']}#atproto_labeler"},
    )  # fmt: skip
    assert (answer.status_code, answer.json()["message"]) == (401, "not a moderator account")


async def test_what_the_network_does_not_have(world):
    unknown = f"did:plc:{'a' * 24}"
    locations = [
        "@nobody.test", "https://bsky.app/profile/nobody.test/post/3k2a", f"{world.uri}x",
        f"at://{unknown}/app.bsky.feed.post/3k2a",
    ]  # fmt: skip
    async with world.opened() as bluesky:
        for location in locations:
            with pytest.raises(SubmissionRefused) as caught:
                await bluesky.submit(world.submission(location))
            assert caught.value.code == "item_not_found"
    assert world.rows() == []


async def test_an_account_that_is_no_labeler(world):
    for labeler in (world.author.did, f"did:plc:{'b' * 24}"):
        async with world.opened(labeler=labeler) as bluesky:
            with pytest.raises(InvalidSubmission):
                await bluesky.submit(world.submission())
    assert world.rows() == []


async def test_a_test_says_so_and_cannot_reach_production(world):
    async with world.opened(live=False) as bluesky:
        await bluesky.submit(world.submission(test=True))
    (row,) = world.rows()
    assert row["event"]["comment"].startswith("[TEST] ")
    async with world.opened(live=False, base_url=None) as bluesky:
        with pytest.raises(InvalidSubmission) as caught:
            await bluesky.submit(world.submission(test=True))
    assert caught.value.reason == "test_mode"
    assert len(world.rows()) == 1


# -- what moderators do --


async def test_neither_note_nor_label_nor_takedown_of_a_post_hinders_another_report(world):
    """A post that was taken down stays readable on its author's server."""
    net = world.net
    async with world.opened() as bluesky:
        net.moderate(world.post, "Acknowledge", comment="seen")
        await bluesky.submit(world.submission())
        net.moderate(world.post, "Label", createLabelVals=["rude"], negateLabelVals=[])
        await bluesky.submit(world.submission())
        net.moderate(world.post, "Takedown")
        await bluesky.submit(world.submission())
    assert len(world.rows()) == 3
    given = {"uriPatterns": world.uri}
    listed = net.call("GET", "com.atproto.label.queryLabels", at="ozone", params=given).json()
    # Public, and said of the post: which report it answers, nobody says.
    assert {label["val"] for label in listed["labels"]} == {"rude", "!takedown"}


async def test_an_account_taken_down_is_found_by_its_did_only(world):
    world.net.moderate(world.account, "Takedown")
    given = {"handle": world.author.handle}
    path = "com.atproto.identity.resolveHandle"
    until(lambda: world.net.call("GET", path, params=given).status_code == 400)
    async with world.opened() as bluesky:
        for location in (f"@{world.author.handle}", world.uri):
            with pytest.raises(SubmissionRefused) as caught:
                await bluesky.submit(world.submission(location))
            assert caught.value.code == "item_not_found"
        await bluesky.submit(world.submission(f"at://{world.author.did}"))
    assert [row["subject"] for row in world.rows()] == [world.account]


async def test_the_hubs_own_account_taken_down_stops_everything(world):
    async with world.opened() as bluesky:
        await bluesky.check()
        subject = {"$type": "com.atproto.admin.defs#repoRef", "did": world.hub.did}
        world.net.moderate(subject, "Takedown")
        given = {"handle": world.hub.handle}
        path = "com.atproto.identity.resolveHandle"
        until(lambda: world.net.call("GET", path, params=given).status_code == 400)
        for call in (bluesky.check, lambda: bluesky.submit(world.submission())):
            with pytest.raises(CredentialsRejected):
                await call()
    async with world.opened() as bluesky:
        with pytest.raises(CredentialsRejected):
            await bluesky.check()
    assert world.rows() == []


# -- the session --


async def test_a_session_is_renewed_before_it_ends_and_made_anew_where_it_cannot_be(world):
    wire = Wire()
    async with world.opened(wire=wire) as bluesky:
        await bluesky.check()
        await bluesky.check()
        world.clock.advance(minutes(120))
        await bluesky.check()
        bluesky._refresh = expired(world.net, bluesky._refresh)
        await bluesky.check()  # for a clock two hours ahead, the new one ends as well
        world.clock.advance(minutes(-120))
        await bluesky.submit(world.submission())
    renewals = [call for call in wire.calls if call.endswith("Session") and call != "getSession"]
    assert renewals == ["createSession", "refreshSession", "refreshSession", "createSession"]
    assert len(world.rows()) == 1


async def test_a_session_that_ended_early_is_renewed_at_the_next_attempt(world):
    wire = Wire()
    submission = world.submission()
    async with world.opened(wire=wire) as bluesky:
        await bluesky.check()
        # With a clock that is behind, it looks good to us.
        world.clock.advance(minutes(-180))
        bluesky._access = expired(world.net, bluesky._access)
        with pytest.raises(TransientError) as caught:
            await bluesky.submit(submission)
        assert caught.value.reason == "token_expired"
        assert world.rows() == []
        await bluesky.submit(submission)
    assert wire.calls.count("refreshSession") == 1
    assert len(world.rows()) == 1


@pytest.mark.parametrize("changes", [{"identifier": "nobody.test"}, {"app_password": "wrong"}])
async def test_refused_credentials(world, changes):
    async with world.opened(**changes) as bluesky:
        with pytest.raises(CredentialsRejected):
            await bluesky.check()


async def test_a_revoked_app_password_stops_everything_when_the_session_ends(world):
    async with world.opened() as bluesky:
        await bluesky.check()
        path = "com.atproto.server.revokeAppPassword"
        world.net.call("POST", path, world.hub.token, json={"name": "hub"}).raise_for_status()
        world.clock.advance(minutes(121))
        with pytest.raises(CredentialsRejected):
            await bluesky.submit(world.submission())
    assert world.rows() == []


async def test_the_servers_limit_is_told_with_a_wait(world):
    wire = Wire()
    async with world.opened(wire=wire) as bluesky:
        await bluesky.check()
    assert int(wire.headers[-1]["ratelimit-remaining"]) < 3000
    with pytest.raises(RateLimited) as caught:
        for _ in range(31):  # sign-ins in five minutes
            async with world.opened(wire=wire) as bluesky:
                await bluesky.check()
    assert 0 < caught.value.retry_after <= 300
    assert "retry-after" not in wire.headers[-1]


# -- a labeler with faults of its own --


class Labeler(BaseHTTPRequestHandler):
    """Named by a did:web; reads each report and answers with its fault."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        port = self.server.server_port
        service = {
            "id": "#atproto_labeler", "type": "AtprotoLabeler",
            "serviceEndpoint": f"http://localhost:{port if self.server.fault else 1}",
        }  # fmt: skip
        self.answer(200, {"id": f"did:web:localhost%3A{port}", "service": [service]})

    def do_POST(self):
        self.server.seen += 1
        self.rfile.read(int(self.headers["content-length"]))
        self.server.fault(self)

    def answer(self, status, body, **headers):
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        length = {"content-length": str(len(content)), "content-type": "application/json"}
        for name, value in {**length, **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def breaks_off(self, started=b""):
        self.wfile.write(started)
        self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True

    def log_message(self, *_):
        """The test says what matters."""


@contextmanager
def labeler(fault):
    with ThreadingHTTPServer(("127.0.0.1", 0), Labeler) as server:
        server.fault, server.seen, server.daemon_threads = fault, 0, True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def xrpc(status, name):
    return lambda it: it.answer(status, {"error": name, "message": "made up"})


HALF = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{"
FAULTS = {
    "not reached": (None, AmbiguousOutcome),
    "breaks off": (lambda it: it.breaks_off(), AmbiguousOutcome),
    "half an answer": (lambda it: it.breaks_off(HALF), AmbiguousOutcome),
    "no id": (lambda it: it.answer(200, {}), AmbiguousOutcome),
    "no JSON": (lambda it: it.answer(200, b"?"), AmbiguousOutcome),
    "500": (xrpc(500, "InternalServerError"), AmbiguousOutcome),
    "503": (xrpc(503, "NotEnoughResources"), TransientError),
    "429": (xrpc(429, "RateLimitExceeded"), RateLimited),
    "401": (xrpc(401, "AuthenticationRequired"), CredentialsRejected),
    "403": (xrpc(403, "Forbidden"), CredentialsRejected),
    "400": (xrpc(400, "InvalidRequest"), InvalidSubmission),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_a_labelers_fault_behind_the_server(world, name):
    fault, kind = FAULTS[name]
    with labeler(fault) as server:
        did = f"did:web:localhost%3A{server.server_port}"
        async with world.opened(labeler=did) as bluesky:
            with pytest.raises(Exception) as caught:
                await bluesky.submit(world.submission())
        assert server.seen == (0 if fault is None else 1)
    assert type(caught.value) is kind
    if kind is AmbiguousOutcome:  # the server's word for all of these
        assert caught.value.reason == "http_502"


# -- the fake --


@dataclass(frozen=True)
class Side:
    """A PDS, real or not, and what is known of it."""

    http: httpx.AsyncClient
    identifier: str
    password: str
    labeler: str
    handle: str
    did: str
    uri: str
    cid: str

    async def call(self, method, name, bearer=None, **given):
        headers = {"authorization": f"Bearer {bearer}"} if bearer else {}
        headers |= given.pop("headers", {})
        return await self.http.request(method, f"/xrpc/{name}", headers=headers, **given)

    async def session(self):
        given = {"identifier": self.identifier, "password": self.password}
        answer = await self.call("POST", "com.atproto.server.createSession", json=given)
        return answer.json()["accessJwt"], answer.json()["refreshJwt"]

    async def report(self, bearer, subject=None, *, labeler=None, **changes):
        body = {"reasonType": REASON, "reason": "x", "subject": subject or self.post, **changes}
        headers = {"atproto-proxy": f"{labeler or self.labeler}#atproto_labeler"}
        return await self.call("POST", CREATE_REPORT, bearer, json=body, headers=headers)

    @property
    def post(self):
        return {"$type": "com.atproto.repo.strongRef", "uri": self.uri, "cid": self.cid}


async def asked(side):
    """Status, error's name and fields of the answer, for every question the two must agree on."""
    access, refresh = await side.session()
    signed = {"identifier": side.identifier, "password": side.password}
    repo = {"$type": "com.atproto.admin.defs#repoRef", "did": side.did}
    record = {"repo": side.did, "collection": "app.bsky.feed.post"}
    server, get_record = "com.atproto.server", "com.atproto.repo.getRecord"
    resolve = "com.atproto.identity.resolveHandle"
    nobody = f"did:plc:{'a' * 24}"
    answers = {
        "sign in": side.call("POST", f"{server}.createSession", json=signed),
        "password": side.call("POST", f"{server}.createSession", json={**signed, "password": "x"}),
        "session": side.call("GET", f"{server}.getSession", access),
        "no token": side.call("GET", f"{server}.getSession"),
        "garbage": side.call("GET", f"{server}.getSession", "x"),
        "refresh as access": side.call("GET", f"{server}.getSession", refresh),
        "refresh": side.call("POST", f"{server}.refreshSession", refresh),
        "refresh again": side.call("POST", f"{server}.refreshSession", refresh),
        "access as refresh": side.call("POST", f"{server}.refreshSession", access),
        "refresh with a body": side.call("POST", f"{server}.refreshSession", refresh, json={}),
        "handle": side.call("GET", resolve, access, params={"handle": side.handle}),
        "handle, no token": side.call("GET", resolve, params={"handle": side.handle}),
        "handle, unknown": side.call("GET", resolve, access, params={"handle": "nobody.test"}),
        "record": side.call(
            "GET", get_record, "x", params={**record, "rkey": side.uri.rsplit("/", 1)[1]}
        ),
        "record, unknown": side.call("GET", get_record, access, params={**record, "rkey": "x"}),
        "repository, unknown": side.call(
            "GET", get_record, access, params={**record, "repo": nobody, "rkey": "x"}
        ),
        "report": side.report(access),
        "report, account": side.report(access, repo),
        "report, no token": side.report(None),
        "report, garbage": side.report("x"),
        "report, other labeler": side.report(access, labeler=nobody),
        "report, unlisted reason": side.report(access, reasonType=f"{REASON}Invented"),
        "report, field": side.report(access, invented=1),
        "report, subject's field": side.report(access, {**repo, "invented": 1}),
        "report, no type": side.report(access, {"did": side.did}),
        "report, no subject": side.report(access, {"$type": repo["$type"]}),
        "report, unknown account": side.report(access, {**repo, "did": nobody}),
        "report, unknown record": side.report(access, {**side.post, "uri": f"{side.uri}x"}),
        "report, other version": side.report(access, {**side.post, "cid": side.cid[:-1] + "a"}),
        "report, no version": side.report(access, {**side.post, "cid": "x"}),
        "report, 2000": side.report(access, reason="ش" * 2000),
        "report, 2001": side.report(access, reason="ش" * 2001),
        "report, 20 001 bytes": side.report(access, reason="👩‍👩‍👧‍👦" * 801),
        "unknown": side.call("GET", "com.example.unknown", access),
        **{f"report, {reason}": side.report(access, reasonType=reason) for reason in REASONS},
    }
    told = {}
    for question, asking in answers.items():
        answer = await asking
        body = answer.json()
        subject = body.get("subject", {})
        told[question] = (answer.status_code, body.get("error"), sorted(subject))
    return told


async def test_the_fake_answers_as_the_server_does(world):
    async with (
        httpx.AsyncClient(base_url=world.net["pds"], trust_env=False) as real,
        httpx.AsyncClient(
            base_url=FakeBluesky.base, transport=httpx.MockTransport(FakeBluesky())
        ) as fake,
    ):
        theirs = await asked(
            Side(real, world.hub.handle, world.hub.app_password, world.net["labeler"],
                 world.author.handle, world.author.did, world.uri, world.cid)
        )  # fmt: skip
        ours = await asked(
            Side(fake, FakeBluesky.identifier, FakeBluesky.password, LABELER,
                 "someone.bluesky.test", AUTHOR, f"at://{AUTHOR}/app.bsky.feed.post/3k2a", CID)
        )  # fmt: skip
    assert ours == theirs


# -- helpers --


def minutes(number):
    return timedelta(minutes=number)


def until(true, seconds=30):
    """Moderation reaches the servers by itself; a test that waits in vain fails."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "the servers did not hear of it"
        time.sleep(0.1)


def expired(net, token):
    """The server's own token, as if it had ended an hour ago."""
    head, claims, _ = token.split(".")
    told = json.loads(base64.urlsafe_b64decode(claims + "=="))
    claims = base64.urlsafe_b64encode(json.dumps({**told, "exp": int(time.time()) - 3600}).encode())
    signed = f"{head}.{claims.decode().rstrip('=')}"
    digest = hmac.new(bytes.fromhex(net["token_secret"]), signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"
