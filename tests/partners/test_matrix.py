# SPDX-License-Identifier: Apache-2.0
"""Both Matrix connectors on a real Synapse: what it stores, and what its answers are worth."""

import asyncio
import logging
import secrets
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import httpx
import pytest
from wasl_chassis.clock import SystemClock
from wasl_connector_sdk import (
    AmbiguousOutcome,
    CredentialsRejected,
    Ground,
    HubIdentity,
    InvalidSubmission,
    RateLimited,
    Runtime,
    Submission,
    SubmissionRefused,
)
from wasl_connector_sdk.http import client
from wasl_platform_gateway.connectors.matrix import MatrixAdminConnector, MatrixConnector
from wasl_platform_gateway.connectors.matrix.mapping import reason_of

pytestmark = pytest.mark.xdist_group("synapse")
HUB = HubIdentity(name="Wasl", country="MA")


@dataclass(frozen=True)
class World:
    """One test's accounts and room; ``token`` reports, ``admin`` may list."""

    server: object
    us: str
    token: str
    admin: str
    author: str
    room: str
    event: str

    @property
    def location(self):
        return f"https://matrix.to/#/{self.room}/{self.event}"

    def submission(self, location=None, **changes):
        given = {
            "idempotency_key": secrets.token_hex(16), "case": "case-0001", "partner": "homeserver",
            "category": "defamation", "severity": "high", "scope": "MA", "platform": "matrix",
            "ground": Ground(kind="law", ref="law.1", text="المادة 1"), "kind": "post",
            "location": location or self.location, "language": "ar",
            "explanation": "المحتوى مخالف للقانون 🙏", "requested_at": datetime.now(UTC), **changes,
        }  # fmt: skip
        return Submission(**given)

    @asynccontextmanager
    async def opened(self, connector=MatrixConnector, *, wire=None, **changes):
        config = {"homeserver": self.server.url, "token": self.token}
        if connector is MatrixAdminConnector:
            config["admin_token"] = self.admin
        async with client(transport=wire) as http:
            rt = Runtime(http, SystemClock(), logging.getLogger("test"), HUB)
            config = connector.Config.model_validate({**config, **changes})
            async with connector.open(config, rt) as matrix:
                yield matrix

    def rows(self, listed="event_reports"):
        """What moderators see of our reports, asked for without the connector."""
        path = f"/_synapse/admin/v1/{listed}?user_id={self.us}&limit=1000&dir=f"
        return self.server.call(self.admin, "GET", path)[listed]


def made(server):
    name = f"hub{secrets.token_hex(4)}"
    author = server.register(f"author{secrets.token_hex(4)}")
    room = server.room(author)
    world = World(
        server, f"@{name}:{server.server_name}", server.register(name),
        server.register(f"admin{secrets.token_hex(4)}", admin=True), author, room,
        server.say(author, room, "a statement about somebody"),
    )  # fmt: skip
    server.join(world.token, room)
    return world


@pytest.fixture
def world(synapse):
    return made(synapse)


class Losing(httpx.AsyncHTTPTransport):
    """The server works every report; the answer of the first is lost."""

    lost = False

    async def handle_async_request(self, request):
        answer = await super().handle_async_request(request)
        if "/report" in request.url.path and request.method == "POST" and not self.lost:
            self.lost = True
            await answer.aclose()
            raise httpx.ReadTimeout("lost", request=request)
        return answer


async def test_an_event_report_is_stored_with_our_reason_and_answered_with_nothing(world):
    submission = world.submission()
    async with world.opened() as matrix:
        await matrix.check()
        receipt = await matrix.submit(submission)
    (row,) = world.rows()
    assert (row["event_id"], row["room_id"], row["user_id"]) == (world.event, world.room, world.us)
    assert row["reason"] == reason_of(submission, HUB)
    assert receipt.reference == submission.idempotency_key


async def test_the_answer_is_an_empty_object(world):
    path = f"/_matrix/client/v3/rooms/{world.room}/report/{world.event}"
    assert world.server.call(world.token, "POST", path, {"reason": "x"}) == {}


async def test_the_same_key_twice_makes_a_second_row(world):
    submission = world.submission()
    async with world.opened() as matrix:
        await matrix.submit(submission)
        await matrix.submit(submission)
    assert [row["reason"] for row in world.rows()] == [reason_of(submission, HUB)] * 2


async def test_asking_first_prevents_the_second_row(world):
    """What the gateway does with LOOKUP after a lost answer: find, and send only where there is none."""
    submission = world.submission()
    async with world.opened(MatrixAdminConnector, wire=Losing()) as matrix:
        assert await matrix.find(submission.idempotency_key) is None
        with pytest.raises(AmbiguousOutcome):
            await matrix.submit(submission)
        receipt = await matrix.find(submission.idempotency_key)
    (row,) = world.rows()
    assert receipt.reference == f"event_reports/{row['id']}"


async def test_without_a_list_the_lost_answer_stays_lost(world):
    async with world.opened(wire=Losing()) as matrix:
        with pytest.raises(AmbiguousOutcome):
            await matrix.submit(world.submission())
    assert len(world.rows()) == 1


async def test_the_reference_is_the_rows_number(world):
    submission = world.submission()
    async with world.opened(MatrixAdminConnector) as matrix:
        await matrix.check()
        receipt = await matrix.submit(submission)
        assert await matrix.find(submission.idempotency_key) == receipt
    (row,) = world.rows()
    assert receipt.reference == f"event_reports/{row['id']}"


async def test_a_report_in_a_room_made_this_moment_is_found_soon(world):
    """The list lacks rooms without statistics; if those come late, the answer is in doubt till then."""
    for _ in range(3):
        room = world.server.room(world.author)
        event = world.server.say(world.author, room, "another statement")
        world.server.join(world.token, room)
        submission = world.submission(f"{room}/{event}")
        async with world.opened(MatrixAdminConnector) as matrix:
            try:
                await matrix.submit(submission)
            except AmbiguousOutcome as error:
                assert error.reason == "not_listed"
            async with asyncio.timeout(20):
                while await matrix.find(submission.idempotency_key) is None:
                    await asyncio.sleep(0.05)
    assert len(world.rows()) == 3


async def test_users_and_rooms(world):
    target = world.server.call(world.author, "GET", "/_matrix/client/v3/account/whoami")["user_id"]
    alias = f"#stadium{secrets.token_hex(4)}:{world.server.server_name}"
    world.server.room(world.author, room_alias_name=alias[1:].partition(":")[0])
    async with world.opened() as matrix:
        for location in (target, world.room, f"https://matrix.to/#/{alias}"):
            await matrix.submit(world.submission(location))
    (row,) = world.rows("user_reports")
    assert row["target_user_id"] == target
    assert world.rows() == []  # rooms are in no list


async def test_a_user_report_is_found_again_and_a_room_is_not_taken(world):
    target = world.server.call(world.author, "GET", "/_matrix/client/v3/account/whoami")["user_id"]
    submission = world.submission(target, explanation="ش" * 5000)
    async with world.opened(MatrixAdminConnector, wire=Losing()) as matrix:
        with pytest.raises(AmbiguousOutcome):
            await matrix.submit(submission)
        assert await matrix.find(submission.idempotency_key) is not None
        with pytest.raises(InvalidSubmission):
            await matrix.submit(world.submission(world.room))
    assert len(world.rows("user_reports")) == 1


async def test_a_user_of_another_server_is_answered_200_and_dropped(world):
    elsewhere = world.submission("@somebody:elsewhere.example")
    async with world.opened() as matrix:
        await matrix.submit(elsewhere)
    async with world.opened(MatrixAdminConnector) as matrix:
        with pytest.raises(SubmissionRefused) as caught:
            await matrix.submit(elsewhere)
    assert caught.value.code == "not_recorded"
    assert world.rows("user_reports") == []


async def test_an_unknown_event_and_an_unknown_room(world):
    async with world.opened() as matrix:
        for location in (f"{world.room}/$unknown", "!unknown:hs.example", "#unknown:hs.example"):
            with pytest.raises(SubmissionRefused) as caught:
                await matrix.submit(world.submission(location))
            assert caught.value.code == "not_found"
    assert world.rows() == []


async def test_a_room_is_entered_only_if_the_config_says_so(world):
    room = world.server.room(world.author)
    closed = world.server.room(world.author, preset="private_chat")
    events = [world.server.say(world.author, at, "a statement") for at in (room, closed)]
    submission = world.submission(f"{room}/{events[0]}")
    async with world.opened() as matrix:
        with pytest.raises(SubmissionRefused) as caught:
            await matrix.submit(submission)
    assert caught.value.code == "not_found"
    async with world.opened(join=True) as matrix:
        await matrix.submit(submission)
        with pytest.raises(SubmissionRefused) as caught:
            await matrix.submit(world.submission(f"{closed}/{events[1]}"))
    assert caught.value.code == "forbidden"
    assert [row["room_id"] for row in world.rows()] == [room]
    joined = world.server.call(world.token, "GET", "/_matrix/client/v3/joined_rooms")
    assert set(joined["joined_rooms"]) == {world.room, room}


async def test_the_servers_limit_is_told_with_a_wait(world):
    async with world.opened() as matrix:
        with pytest.raises(RateLimited) as caught:
            for _ in range(30):
                await matrix.submit(world.submission(world.room))
    assert 0 < caught.value.retry_after <= 10


@pytest.mark.parametrize("token", ["nonsense", "syt_bm9ib2R5_nonsense_000000"])
async def test_a_bad_token_stops_everything(world, token):
    async with world.opened(token=token) as matrix:
        with pytest.raises(CredentialsRejected):
            await matrix.check()
        with pytest.raises(CredentialsRejected):
            await matrix.submit(world.submission())
    async with world.opened(MatrixAdminConnector, admin_token=token) as matrix:
        with pytest.raises(CredentialsRejected):
            await matrix.find("key")


async def test_an_account_that_is_no_administrator_reads_no_list(world):
    async with replace(world, admin=world.author).opened(MatrixAdminConnector) as matrix:
        with pytest.raises(CredentialsRejected):
            await matrix.check()


async def test_200_is_no_proof_on_a_server_that_hides_what_it_does_not_know(discreet_synapse):
    world = made(discreet_synapse)
    unknown = world.submission(f"{world.room}/$unknown")
    async with world.opened() as matrix:
        await matrix.submit(unknown)
    async with world.opened(MatrixAdminConnector) as matrix:
        with pytest.raises(AmbiguousOutcome) as caught:
            await matrix.submit(unknown)
        assert caught.value.reason == "not_listed"
        assert (await matrix.submit(world.submission())).reference.startswith("event_reports/")
    assert len(world.rows()) == 1
