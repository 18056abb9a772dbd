# SPDX-License-Identifier: Apache-2.0
"""Both Matrix connectors on the fake homeserver; the same on a real Synapse: tests/partners."""

import httpx
import pytest
from fakes._opened import ARABIC, Instead, lost, opened, submission
from fakes.matrix import ALIAS, EVENT, PRIVATE, ROOM, US, FakeMatrix, error
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from wasl_connector_sdk import (
    AmbiguousOutcome,
    CredentialsRejected,
    Ground,
    HubIdentity,
    Idempotency,
    InvalidSubmission,
    RateLimited,
    SubmissionRefused,
    SupportsLookup,
    TransientError,
)
from wasl_platform_gateway.connectors.matrix import MatrixAdminConnector, MatrixConnector
from wasl_platform_gateway.connectors.matrix.mapping import (
    MAX_REASON,
    Target,
    marker,
    reason_of,
    target_of,
)

BOTH = [MatrixConnector, MatrixAdminConnector]
CONFIG = {"homeserver": FakeMatrix.base, "token": "secret-token"}
ADMIN = {**CONFIG, "admin_token": "secret-admin"}
AT_EVENT, AT_USER = f"{ROOM}/{EVENT}", "@somebody:matrix.test"
KEY = submission().idempotency_key


def at(location=AT_EVENT, key=KEY, **changes):
    return submission(key, location=location, **changes)


def on(fake, connector=MatrixConnector, **config):
    base = ADMIN if connector is MatrixAdminConnector else CONFIG
    return opened(connector, {**base, **config}, fake)


# -- where --

IN_ROOM = Target(room="!r:a.example", event="$e:a.example")


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("@u:a.example", Target(user="@u:a.example")),
        ("@a/b:a.example:8448", Target(user="@a/b:a.example:8448")),
        ("@u:[2001:db8::1]:8448", Target(user="@u:[2001:db8::1]:8448")),
        ("!r:a.example", Target(room="!r:a.example")),
        ("!31hneApxJ_1o-63DmFrpeqnkFfWppnzWso1JvH3ogLM", Target(room="!31hneApxJ_1o-63DmFrpeqnkFfWppnzWso1JvH3ogLM")),
        ("#غرفة:a.example", Target(room="#غرفة:a.example")),
        ("!r:a.example/$e:a.example", IN_ROOM),
        ("  !r:a.example $e:a.example ", IN_ROOM),
        ("!r:a.example/$a/b+c", Target(room="!r:a.example", event="$a/b+c")),
        ("matrix:u/u:a.example?action=chat", Target(user="@u:a.example")),
        ("matrix:r/r:a.example", Target(room="#r:a.example")),
        ("MATRIX:roomid/r:a.example/e/e:a.example", IN_ROOM),
        ("matrix:roomid/r%3Aa.example/e/e%3Aa.example", IN_ROOM),
        ("matrix:roomid/r:a.example/event/a%2Fb", Target(room="!r:a.example", event="$a/b")),
        ("matrix://authority.example/roomid/r:a.example/e/e:a.example", IN_ROOM),
        ("matrix://roomid/r:a.example/e/e:a.example", IN_ROOM),
        ("matrix:roomid/r:a.example?via=b.example&via=c.example:8448",
         Target(room="!r:a.example", via=("b.example", "c.example:8448"))),
        ("matrix:roomid/r:a.example?via=b.example/../x&via=%00&via=d.example&via=e.example&via=f.example&via=g.example",
         Target(room="!r:a.example", via=("d.example", "e.example", "f.example"))),
        ("https://matrix.to/#/%40u%3Aa.example", Target(user="@u:a.example")),
        ("https://matrix.to/#/@u:a.example", Target(user="@u:a.example")),
        ("https://matrix.to/#/%23r%3Aa.example", Target(room="#r:a.example")),
        ("https://matrix.to/#/#r:a.example", Target(room="#r:a.example")),
        ("https://matrix.to/#/!r%3Aa.example/%24e%3Aa.example?via=b.example",
         Target(room="!r:a.example", event="$e:a.example", via=("b.example",))),
        ("https://matrix.to/#/!r:a.example/$a/b", Target(room="!r:a.example", event="$a/b")),
        ("http://matrix.to/#/!r:a.example", Target(room="!r:a.example")),
        ("https://web.client.example/#/room/!r:a.example/$e:a.example", IN_ROOM),
        ("https://web.client.example/#/user/@u:a.example", Target(user="@u:a.example")),
    ],
)  # fmt: skip
def test_a_location_is_read(location, target):
    assert target_of(location) == target


@pytest.mark.parametrize(
    "location",
    [
        "", " ", "$event:a.example", "!", "#room", "@user", "@user:", "@u:a example", "!r\x00:a",
        "!r:a.example/event", "@u:a.example/$e", "!r:a.example/$e\nx", "!r:a.example/!s:a.example",
        "matrix:", "matrix:e/event", "matrix:roomid/r:a.example/x/e", "matrix:u/u:a.example/e/e",
        "https://example.org/post/1", "https://matrix.to/", "https://matrix.to/#/", "https://[/#/",
        "https://matrix.to/!r:a.example", "mailto:u@a.example", "!" + "x" * 255, "!\ud800",
        "#" + "é" * 130 + ":a.example",
    ],
)  # fmt: skip
def test_what_cannot_be_reported_is_no_target(location):
    assert target_of(location) is None


@given(st.text(max_size=80) | st.text("!#@$:/%matrixroude?&=.[]0123456789 ", max_size=60))
def test_no_text_breaks_the_parser(text):
    for location in (text, f"matrix:{text}", f"https://matrix.to/#/{text}"):
        target = target_of(location)
        assert target is None or bool(target.user) != bool(target.room)


# -- what --


def test_the_reason_is_all_they_learn():
    hub = HubIdentity(name="Wasl", contact="desk@hub.example")
    assert reason_of(at(explanation=ARABIC), hub) == (
        f"[wasl:{KEY}] defamation, high\nGround: law law.1: Article 1\nScope: MA\n"
        f"From: Wasl, desk@hub.example\n{ARABIC}"
    )


def test_a_test_says_so_and_a_long_statement_is_cut_behind_the_marker():
    given = at(explanation="ش" * 20_000, test=True, ground=Ground(kind="terms", ref="t.1"))
    text = reason_of(given, HubIdentity())
    assert text.startswith(f"[wasl:{KEY}] ")
    assert "THIS IS A TEST" in text
    assert "Ground: terms t.1\n" in text
    assert len(text) == MAX_REASON
    assert text.endswith("ش…")


# -- reporting --


@pytest.mark.parametrize(
    ("location", "row"),
    [
        (AT_EVENT, {"room_id": ROOM, "event_id": EVENT}),
        (f"https://matrix.to/#/{ROOM}/$a%2Fb+c", {"room_id": ROOM, "event_id": "$a/b+c"}),
        (f"{ALIAS}/{EVENT}", {"room_id": ROOM, "event_id": EVENT}),
        (ROOM, {"room_id": ROOM}),
        (ALIAS, {"room_id": ROOM}),
        (PRIVATE, {"room_id": PRIVATE}),
        (AT_USER, {"target_user_id": AT_USER}),
    ],
)
async def test_each_kind_goes_where_it_belongs(location, row):
    fake = FakeMatrix()
    async with on(fake) as matrix:
        receipt = await matrix.submit(at(location))
    reason = reason_of(at(location), HubIdentity(country="MA"))
    assert fake.reports == [{"id": 1, "user_id": US, "reason": reason, **row}]
    assert receipt.reference == KEY


async def test_the_same_key_twice_is_two_reports_so_nothing_may_be_sent_twice():
    fake = FakeMatrix()
    async with on(fake) as matrix:
        await matrix.submit(at())
        await matrix.submit(at())
    assert len(fake.reports) == 2
    assert MatrixConnector.manifest.idempotency is Idempotency.NONE
    assert not issubclass(MatrixConnector, SupportsLookup)


@pytest.mark.parametrize("connector", BOTH)
async def test_what_is_not_of_matrix_is_not_sent(connector):
    fake = FakeMatrix()
    async with on(fake, connector) as matrix:
        with pytest.raises(InvalidSubmission) as caught:
            await matrix.submit(at("https://example.org/CANARY"))
    assert caught.value.reason == "not_a_matrix_location"
    assert "CANARY" not in repr(caught.value)
    assert fake.calls == []


@pytest.mark.parametrize(
    "location", [f"{ROOM}/$unknown", "!unknown:matrix.test", "#unknown:matrix.test", f"{PRIVATE}/$event-2"]
)  # fmt: skip
async def test_what_the_server_does_not_know_is_refused(location):
    fake = FakeMatrix()
    async with on(fake) as matrix:
        with pytest.raises(SubmissionRefused) as caught:
            await matrix.submit(at(location))
    assert caught.value.code == "not_found"
    assert not any("/join/" in call for call in fake.calls)


# -- joining --


async def test_joining_happens_only_where_the_config_says_so_and_only_for_events():
    fake = FakeMatrix()
    fake.joined.clear()
    async with on(fake, join=True) as matrix:
        await matrix.submit(at(ROOM))
        with pytest.raises(SubmissionRefused):
            await matrix.submit(at("!unknown:matrix.test"))
        assert fake.joined == set()
        link = f"https://matrix.to/#/{ROOM}/{EVENT}?via=a.example&via=b.example"
        await matrix.submit(at(link))
        await matrix.submit(at())
    assert fake.joined == {(US, ROOM)}
    assert fake.vias == ["a.example", "b.example"]
    assert sum("/join/" in call for call in fake.calls) == 1


async def test_an_alias_brings_its_servers_along():
    fake = FakeMatrix()
    fake.joined.clear()
    async with on(fake, join=True) as matrix:
        await matrix.submit(at(f"{ALIAS}/{EVENT}"))
    assert fake.vias == ["matrix.test"]


async def test_a_room_that_does_not_let_us_in_is_a_refusal_not_a_fault_of_our_account():
    fake = FakeMatrix()
    async with on(fake, join=True) as matrix:
        with pytest.raises(SubmissionRefused) as caught:
            await matrix.submit(at(f"{PRIVATE}/$event-2"))
    assert caught.value.code == "forbidden"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (lost(), TransientError),
        (httpx.Response(504), TransientError),
        (httpx.Response(502, json={"errcode": "M_UNKNOWN"}), TransientError),
        (error(429, "M_LIMIT_EXCEEDED"), RateLimited),
        (error(401, "M_UNKNOWN_TOKEN"), CredentialsRejected),
    ],
)
async def test_a_failed_join_has_reported_nothing(answer, kind):
    fake = FakeMatrix()
    fake.joined.clear()
    async with on(Instead(fake, ROOM, answer), join=True) as matrix:
        with pytest.raises(kind):
            await matrix.submit(at())
    assert fake.reports == []


# -- faults --


@pytest.mark.parametrize("connector", BOTH)
@pytest.mark.parametrize(
    ("answer", "kind", "reason"),
    [
        (error(401, "M_UNKNOWN_TOKEN"), CredentialsRejected, "auth"),
        (error(401, "M_MISSING_TOKEN"), CredentialsRejected, "auth"),
        (error(403, "M_USER_SUSPENDED"), CredentialsRejected, "auth"),
        (error(403, "M_CONSENT_NOT_GIVEN"), CredentialsRejected, "auth"),
        (error(403, "M_FORBIDDEN"), SubmissionRefused, "forbidden"),
        (httpx.Response(403), CredentialsRejected, "auth"),
        (error(404, "M_NOT_FOUND"), SubmissionRefused, "not_found"),
        (error(404, "M_UNRECOGNIZED"), InvalidSubmission, "m_unrecognized"),
        (error(405, "M_UNRECOGNIZED"), InvalidSubmission, "m_unrecognized"),
        (httpx.Response(404, text="<html>"), TransientError, "wrong_address"),
        (error(400, "M_BAD_JSON"), InvalidSubmission, "http_400"),
        (error(413, "M_TOO_LARGE"), InvalidSubmission, "http_413"),
        (error(429, "M_LIMIT_EXCEEDED"), RateLimited, "rate_limited"),
        (httpx.Response(429), RateLimited, "rate_limited"),
        (error(500, "M_UNKNOWN"), TransientError, "http_500"),
        (httpx.Response(502), TransientError, "http_502"),
        (httpx.Response(504), AmbiguousOutcome, "http_504"),
        (httpx.Response(200), AmbiguousOutcome, "unreadable_answer"),
        (httpx.Response(200, text="<html>"), AmbiguousOutcome, "unreadable_answer"),
        (httpx.Response(200, json=[]), AmbiguousOutcome, "unreadable_answer"),
        (httpx.Response(200, json={"welcome": True}), AmbiguousOutcome, "unreadable_answer"),
        (httpx.Response(404, json=["M_NOT_FOUND"]), TransientError, "wrong_address"),
        (httpx.ConnectError("no"), TransientError, "unreachable"),
        (lost(), AmbiguousOutcome, "no_answer"),
    ],
)  # fmt: skip
async def test_an_answer_has_one_meaning(connector, answer, kind, reason):
    async with on(Instead(FakeMatrix(), EVENT, answer), connector) as matrix:
        with pytest.raises(Exception) as caught:
            await matrix.submit(at())
    assert (type(caught.value), caught.value.reason) == (kind, reason)
    shown = repr(caught.value) + str(caught.value)
    assert not any(word in shown for word in ("secret", ROOM, EVENT, "made up", "CANARY"))


@pytest.mark.parametrize(
    ("headers", "more", "wait"),
    [
        ({}, {"retry_after_ms": 1500}, 1.5),
        ({"retry-after": "7"}, {"retry_after_ms": 1500}, 7),
        ({}, {}, None),
        ({}, {"retry_after_ms": "soon"}, None),
        ({}, {"retry_after_ms": -1}, None),
        ({}, {"retry_after_ms": 10**400}, 86_400),
    ],
)
async def test_how_long_to_wait(headers, more, wait):
    body = {"errcode": "M_LIMIT_EXCEEDED", **more}
    answer = httpx.Response(429, headers=headers, json=body)
    async with on(Instead(FakeMatrix(), "/report", answer)) as matrix:
        with pytest.raises(RateLimited) as caught:
            await matrix.submit(at(ROOM))
    assert caught.value.retry_after == wait


async def test_the_servers_limit_is_ours():
    fake = FakeMatrix()
    fake.burst = MatrixConnector.manifest.rate.burst
    async with on(fake) as matrix:
        for number in range(fake.burst):
            await matrix.submit(at(ROOM, key=f"key-{number}"))
        with pytest.raises(RateLimited) as caught:
            await matrix.submit(at(ROOM))
    assert caught.value.retry_after == 1.5


async def test_an_alias_without_a_room_is_looked_up_again_later():
    answer = httpx.Response(200, json={"room_id": "../x"})
    async with on(Instead(FakeMatrix(), ALIAS, answer, method="GET")) as matrix:
        with pytest.raises(TransientError):
            await matrix.submit(at(ALIAS))


# -- reading back --


async def test_the_reference_is_the_servers_own_and_is_found_by_the_key():
    fake = FakeMatrix()
    async with on(fake, MatrixAdminConnector) as matrix:
        assert isinstance(matrix, SupportsLookup)
        event = await matrix.submit(at(key="key-1"))
        user = await matrix.submit(at(AT_USER, key="key-2"))
        assert [event.reference, user.reference] == ["event_reports/1", "user_reports/2"]
        assert await matrix.find("key-1") == event
        assert await matrix.find("key-2") == user
        assert await matrix.find("key-") is None
        assert await matrix.find("key-3") is None


@pytest.mark.parametrize("location", [AT_EVENT, AT_USER])
async def test_a_lost_answer_is_cleared_up_by_asking(location):
    fake = FakeMatrix()
    path = "/report" if location == AT_USER else EVENT
    async with on(Instead(fake, path, lost(), after=True), MatrixAdminConnector) as matrix:
        with pytest.raises(AmbiguousOutcome):
            await matrix.submit(at(location))
        assert (await matrix.find(KEY)).reference.endswith("_reports/1")
    assert len(fake.reports) == 1


async def test_a_lost_request_is_cleared_up_too():
    fake = FakeMatrix()
    async with on(Instead(fake, EVENT, lost(), times=1), MatrixAdminConnector) as matrix:
        with pytest.raises(AmbiguousOutcome):
            await matrix.submit(at())
        assert await matrix.find(KEY) is None
        await matrix.submit(at())
    assert len(fake.reports) == 1


async def test_only_our_own_reports_are_asked_for_and_believed():
    fake = FakeMatrix()
    forged = {"id": 1, "event_id": EVENT, "room_id": ROOM, "reason": f"{marker(KEY)} x"}
    fake.reports.append({**forged, "user_id": "@x-wasl:matrix.test"})
    async with on(fake, MatrixAdminConnector) as matrix:
        fake.tokens["secret-token"] = "wasl:matrix.test"  # part of the other's name
        assert await matrix.find(KEY) is None
        fake.reports[0]["user_id"] = "wasl:matrix.test"
        assert (await matrix.find(KEY)).reference == "event_reports/1"


async def test_a_long_list_is_read_to_its_end():
    fake = FakeMatrix()
    row = {"user_id": US, "event_id": EVENT, "room_id": ROOM}
    fake.reports = [{"id": n, "reason": f"{marker(f'k{n}')} x", **row} for n in range(251)]
    async with on(fake, MatrixAdminConnector) as matrix:
        assert (await matrix.find("k0")).reference == "event_reports/0"
        fake.reports = [{"id": n, "reason": None, **row} for n in range(5001)]
        with pytest.raises(TransientError) as caught:
            await matrix.find("k0")
    assert caught.value.reason == "list_too_long"


async def test_200_is_no_proof():
    """Servers since 1.18 answer it to everything; Synapse does, for users of other servers."""
    fake = FakeMatrix()
    fake.hides_unknown = True
    async with on(fake) as matrix:
        assert (await matrix.submit(at(f"{ROOM}/$unknown"))).reference == KEY
    async with on(fake, MatrixAdminConnector) as matrix:
        with pytest.raises(AmbiguousOutcome) as caught:
            await matrix.submit(at(f"{ROOM}/$unknown"))
        assert caught.value.reason == "not_listed"
        with pytest.raises(SubmissionRefused) as refused:
            await matrix.submit(at("@somebody:elsewhere.test"))
        assert refused.value.code == "not_recorded"
    assert fake.reports == []


async def test_a_report_not_listed_yet_is_not_a_refusal():
    fake = FakeMatrix()
    fake.lists_events = False
    async with on(fake, MatrixAdminConnector) as matrix:
        with pytest.raises(AmbiguousOutcome):
            await matrix.submit(at())
        fake.lists_events = True
        assert (await matrix.find(KEY)).reference == "event_reports/1"


@pytest.mark.parametrize("location", [ROOM, ALIAS])
async def test_a_room_is_not_sent_where_it_could_never_be_found_again(location):
    fake = FakeMatrix()
    async with on(fake, MatrixAdminConnector) as matrix:
        with pytest.raises(InvalidSubmission) as caught:
            await matrix.submit(at(location))
    assert caught.value.reason == "room_not_listed"
    assert fake.calls == []


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(500), httpx.Response(403), httpx.Response(429), httpx.Response(200, text="x"),
        httpx.Response(200, json={"event_reports": {}}), httpx.Response(200, json={"event_reports": [{}]}),
        httpx.ReadTimeout("x"),
    ],
)  # fmt: skip
async def test_a_report_that_could_not_be_read_back_is_ambiguous(answer):
    fake = FakeMatrix()
    instead = Instead(fake, "/event_reports", answer, method="GET")
    async with on(instead, MatrixAdminConnector) as matrix:
        with pytest.raises(AmbiguousOutcome):
            await matrix.submit(at())
        with pytest.raises((TransientError, CredentialsRejected, RateLimited)):
            await matrix.find(KEY)
    assert len(fake.reports) == 1


# -- checking --


async def test_the_check_proves_the_tokens_and_reports_nothing():
    fake = FakeMatrix()
    for connector in BOTH:
        async with on(fake, connector) as matrix:
            await matrix.check()
        async with on(fake, connector, token="wrong") as matrix:
            with pytest.raises(CredentialsRejected):
                await matrix.check()
    for token in ("wrong", "secret-token"):  # the second is no administrator
        async with on(fake, MatrixAdminConnector, admin_token=token) as matrix:
            with pytest.raises(CredentialsRejected):
                await matrix.check()
    assert fake.reports == []


async def test_a_server_that_is_no_homeserver_fails_the_check():
    for answer in (httpx.Response(200, text="<html>"), httpx.Response(200, json={"user_id": 1})):
        async with on(Instead(FakeMatrix(), "/whoami", answer, method="GET")) as matrix:
            with pytest.raises(TransientError):
                await matrix.check()


# -- config --


@pytest.mark.parametrize("connector", BOTH)
def test_the_config_shows_no_secret_and_the_test_mode_reaches_no_production(connector):
    config = connector.Config.model_validate(ADMIN if connector is MatrixAdminConnector else CONFIG)
    assert "secret" not in repr(config).replace("SecretStr", "")
    assert config.join is False
    assert connector.manifest.production == {"matrix.org"}
    with pytest.raises(ValidationError):
        connector.Config.model_validate({**CONFIG, "homeserver": "http://matrix.example"})


def test_the_admin_token_is_what_makes_the_other_connector():
    with pytest.raises(ValidationError):
        MatrixAdminConnector.Config.model_validate(CONFIG)
    with pytest.raises(ValidationError):
        MatrixConnector.Config.model_validate(ADMIN)
