# SPDX-License-Identifier: Apache-2.0
"""The Bluesky connector against a PDS written from the AT Protocol's lexicons."""

import asyncio
import tomllib
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from fakes._opened import ARABIC, Instead, lost, opened, submission
from fakes.bluesky import AUTHOR, CID, LABELER, REASONS, FakeBluesky, jwt, xrpc_error
from pydantic import ValidationError
from wasl_connector_sdk import (
    AmbiguousOutcome,
    CredentialsRejected,
    Idempotency,
    InvalidSubmission,
    Outcome,
    RateLimited,
    SubmissionRefused,
    SupportsLookup,
    SupportsPolling,
    TransientError,
)
from wasl_platform_gateway.connectors.bluesky import (
    BlueskyConnector,
    Subject,
    expires,
    reason_text,
    reason_type,
    subject_of,
)

ROOT = next(p for p in Path(__file__).resolve().parents if (p / "deploy").is_dir())
POST = f"at://{AUTHOR}/app.bsky.feed.post/3k2a"
CONFIG = {
    "base_url": FakeBluesky.base,
    "identifier": FakeBluesky.identifier,
    "app_password": "secret-password",
    "labeler": LABELER,
}


def bluesky(fake, inner=None, **changes):
    return opened(BlueskyConnector, {**CONFIG, **changes}, fake, clock=(inner or fake).clock)


def report(**changes):
    return submission(**{"location": POST, **changes})


async def raised(fake, kind, inner, **changes):
    async with bluesky(fake, inner) as it:
        with pytest.raises(Exception) as caught:
            await it.submit(report(**changes))
    assert type(caught.value) is kind
    for secret in ("CANARY", "secret", "3k2a", AUTHOR):
        assert secret not in repr(caught.value)
    return caught.value


# -- pure parts --


@pytest.mark.parametrize(
    ("location", "subject"),
    [
        (POST, Subject(AUTHOR, "app.bsky.feed.post", "3k2a")),
        (f"at://{AUTHOR}", Subject(AUTHOR)),
        (f"at://{AUTHOR}/", Subject(AUTHOR)),
        ("at://Someone.bluesky.test", Subject("someone.bluesky.test")),
        ("@someone.bluesky.test", Subject("someone.bluesky.test")),
        ("https://bsky.app/profile/someone.bluesky.test", Subject("someone.bluesky.test")),
        (f"https://bsky.app/profile/{AUTHOR}?x=1", Subject(AUTHOR)),
        (
            "https://bsky.app/profile/someone.bluesky.test/post/3k2a",
            Subject("someone.bluesky.test", "app.bsky.feed.post", "3k2a"),
        ),
        (
            f"https://bsky.app/profile/{AUTHOR}/lists/3k2a",
            Subject(AUTHOR, "app.bsky.graph.list", "3k2a"),
        ),
        (
            f"https://bsky.app/profile/{AUTHOR}/feed/3k2a/",
            Subject(AUTHOR, "app.bsky.feed.generator", "3k2a"),
        ),
        ("https://bsky.app/profile/did%3Aweb%3Aa.example", Subject("did:web:a.example")),
    ],
)
def test_what_an_address_names(location, subject):
    assert subject_of(location) == subject


@pytest.mark.parametrize(
    "location",
    [
        "",
        "@someone",
        "@",
        "at://",
        f"at://{AUTHOR}/app.bsky.feed.post",
        f"at://{AUTHOR}/post/3k2a",
        f"at://{AUTHOR}/app.bsky.feed.post/..",
        f"at://{AUTHOR}/app.bsky.feed.post/a b",
        "https://bsky.app/profile/",
        "https://bsky.app/",
        f"https://bsky.app/profile/{AUTHOR}/other/3k2a",
        f"https://bsky.app.example/profile/{AUTHOR}",
        "https://example.org/profile/someone.example",
        "https://[x",
    ],
)
async def test_what_names_nothing_is_refused_and_never_sent(location):
    assert subject_of(location) is None
    fake = FakeBluesky()
    caught = await raised(fake, SubmissionRefused, fake, location=location)
    assert caught.code == "item_not_supported"
    assert fake.calls == []


def test_every_category_of_the_country_pack_has_a_reason_the_lexicon_lists():
    pack = tomllib.loads((ROOT / "deploy/country-packs/ma/taxonomy.toml").read_text())
    for category in pack["categories"]:
        assert reason_type(category["id"], {}) in REASONS
    assert reason_type("csam", {}).endswith("#reasonChildSafetyCSAM")
    assert reason_type("csam", {"csam": "x#y"}) == "x#y"


def test_a_reason_keeps_the_key_and_both_limits():
    text = reason_text(report(explanation="👩‍👩‍👧‍👦" * 1000, test=True))
    assert len(text) == 2000
    assert len(text.encode()) <= 20_000
    assert text.startswith("[TEST] ")
    assert text.endswith("\n\nref:0192f1c2-7a3b-7c11-8000-000000000001")


@pytest.mark.parametrize("token", ["", "a", "a.b.c", "a.e30.c", "a.bnVsbA.c", jwt(exp="x")])
def test_a_token_without_an_end_has_none(token):
    assert expires(token) is None


# -- sending --


async def test_a_post_is_reported_in_its_present_version():
    fake = FakeBluesky()
    async with bluesky(fake) as it:
        receipt = await it.submit(report(category="hate_speech"))
    assert (receipt.reference, receipt.outcome) == ("1", Outcome.PENDING)
    (sent,) = fake.reports
    assert sent["subject"] == {
        "$type": "com.atproto.repo.strongRef",
        "uri": POST,
        "cid": CID,
    }
    assert sent["reasonType"] == "tools.ozone.report.defs#reasonHarassmentHateSpeech"
    assert ARABIC in sent["reason"]
    assert fake.calls == ["createSession", "getRecord", "createReport"]


async def test_a_handle_is_resolved_and_an_account_is_named_by_its_did():
    fake = FakeBluesky()
    async with bluesky(fake) as it:
        await it.submit(report(location="https://bsky.app/profile/someone.bluesky.test/post/3k2a"))
        await it.submit(report(location="@someone.bluesky.test"))
    assert fake.reports[0]["subject"]["uri"] == POST
    assert fake.reports[1]["subject"] == {"$type": "com.atproto.admin.defs#repoRef", "did": AUTHOR}


async def test_a_labeler_with_reasons_of_its_own():
    fake = FakeBluesky()
    reasons = {"defamation": "com.atproto.moderation.defs#reasonViolation"}
    async with bluesky(fake, reasons=reasons) as it:
        await it.submit(report())
    assert fake.reports[0]["reasonType"] == reasons["defamation"]


@pytest.mark.parametrize(
    "location", ["@nobody.bluesky.test", f"at://{AUTHOR}/app.bsky.feed.post/3k2b"]
)
async def test_what_the_network_does_not_have(location):
    fake = FakeBluesky()
    caught = await raised(fake, SubmissionRefused, fake, location=location)
    assert caught.code == "item_not_found"
    assert fake.reports == []


def test_a_reporter_can_read_nothing_back():
    assert BlueskyConnector.manifest.idempotency is Idempotency.NONE
    assert not issubclass(BlueskyConnector, SupportsLookup)
    assert not issubclass(BlueskyConnector, SupportsPolling)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (xrpc_error(400, "InvalidRequest"), InvalidSubmission),
        (httpx.Response(400, text="?"), InvalidSubmission),
        (xrpc_error(400, "ExpiredToken"), TransientError),
        (xrpc_error(400, "InvalidToken"), CredentialsRejected),
        (xrpc_error(401, "AuthMissing"), CredentialsRejected),
        (xrpc_error(400, "AccountTakedown"), CredentialsRejected),
        (xrpc_error(403, "AccountTakedown"), CredentialsRejected),
        (httpx.Response(429, headers={"retry-after": "7"}), RateLimited),
        (httpx.Response(429, headers={"ratelimit-reset": "1767603607"}), RateLimited),
        (xrpc_error(501, "MethodNotImplemented"), TransientError),
        (xrpc_error(502, "InternalServerError"), AmbiguousOutcome),
        (xrpc_error(502, "InvalidResponse"), AmbiguousOutcome),
        (xrpc_error(504, "UpstreamTimeout"), AmbiguousOutcome),
        (httpx.Response(500), TransientError),
        (httpx.Response(200, text="?"), AmbiguousOutcome),
        (httpx.Response(200, json=[]), AmbiguousOutcome),
        (httpx.Response(200, json={"id": "1"}), AmbiguousOutcome),
        (httpx.Response(200, json={"id": True}), AmbiguousOutcome),
        (lost(), AmbiguousOutcome),
        (lost(httpx.ConnectError), TransientError),
    ],
    ids=range(20),
)
async def test_each_answer_has_its_error(answer, kind):
    inner = FakeBluesky()
    caught = await raised(Instead(inner, "createReport", answer), kind, inner)
    if kind is RateLimited:
        assert caught.retry_after == 7
    assert inner.reports == []


async def test_a_lost_answer_is_in_doubt_and_the_report_is_there():
    inner = FakeBluesky()
    await raised(Instead(inner, "createReport", lost(), after=True), AmbiguousOutcome, inner)
    assert len(inner.reports) == 1


@pytest.mark.parametrize("path", ["resolveHandle", "getRecord"])
@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, text="?"),
        httpx.Response(200, json={"did": 1}),
        lost(),
        xrpc_error(502, ""),
    ],
    ids=range(4),
)
async def test_a_failed_lookup_puts_no_report_in_doubt(path, answer):
    inner = FakeBluesky()
    fake = Instead(inner, path, answer, method="GET")
    location = "https://bsky.app/profile/someone.bluesky.test/post/3k2a"
    await raised(fake, TransientError, inner, location=location)
    assert inner.reports == []


# -- the session --


async def test_a_session_is_kept_and_renewed_before_it_ends():
    fake = FakeBluesky()
    async with bluesky(fake) as it:
        await asyncio.gather(*(it.submit(report()) for _ in range(4)))
        assert fake.calls.count("createSession") == 1
        fake.clock.advance(timedelta(minutes=118, seconds=59))
        await it.submit(report())
        assert "refreshSession" not in fake.calls
        fake.clock.advance(timedelta(seconds=1))
        await it.submit(report())
        assert fake.calls.count("refreshSession") == 1
        fake.refreshes.clear()
        fake.clock.advance(timedelta(hours=2))
        await it.submit(report())
    assert fake.calls.count("createSession") == 2
    assert len(fake.reports) == 7


async def test_a_session_that_ended_early_is_renewed_at_the_next_attempt():
    fake = FakeBluesky()
    async with bluesky(fake) as it:
        await it.submit(report())
        fake.access.clear()
        with pytest.raises(TransientError) as caught:
            await it.submit(report())
        assert caught.value.reason == "token_expired"
        await it.submit(report())
    assert len(fake.reports) == 2


@pytest.mark.parametrize("changes", [{"identifier": "other.example"}, {"app_password": "wrong"}])
async def test_refused_credentials(changes):
    async with bluesky(FakeBluesky(), **changes) as it:
        with pytest.raises(CredentialsRejected):
            await it.check()


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (httpx.Response(503), TransientError),
        (httpx.Response(200, text="?"), TransientError),
        (httpx.Response(200, json={"accessJwt": "x"}), TransientError),
        (lost(), TransientError),
        (xrpc_error(401, "AccountTakedown"), CredentialsRejected),
        (xrpc_error(401, "AuthFactorTokenRequired"), CredentialsRejected),
        (xrpc_error(401, "AuthenticationRequired"), CredentialsRejected),
        (xrpc_error(400, "InvalidRequest"), InvalidSubmission),
        (httpx.Response(429), RateLimited),
    ],
    ids=range(9),
)
async def test_a_failed_sign_in_puts_no_report_in_doubt(answer, kind):
    inner = FakeBluesky()
    await raised(Instead(inner, "createSession", answer), kind, inner)
    assert inner.reports == []


async def test_an_account_that_was_taken_down_stops_everything():
    """Its token still counts: the server lets it appeal, and does not know whose session it is."""
    fake = FakeBluesky()
    async with bluesky(fake) as it:
        await it.check()
        fake.gone = True
        for call in (it.check, lambda: it.submit(report())):
            with pytest.raises(CredentialsRejected):
                await call()
        fake.clock.advance(timedelta(hours=2))
        with pytest.raises(CredentialsRejected):
            await it.check()
    assert fake.reports == []


async def test_check_makes_no_report():
    fake = FakeBluesky()
    async with bluesky(fake) as it:
        await it.check()
    assert fake.calls == ["createSession", "getSession"]


# -- configuration --


@pytest.mark.parametrize(
    "changes", [{"labeler": "mod.example"}, {"app_password": ""}, {"base_url": "http://a.example"}]
)
def test_a_wrong_config_is_refused(changes):
    with pytest.raises(ValidationError):
        BlueskyConnector.Config.model_validate({**CONFIG, **changes})
    assert "secret" not in repr(BlueskyConnector.Config.model_validate(CONFIG))


async def test_in_test_mode_production_is_out_of_reach():
    fake = FakeBluesky()
    config = {k: v for k, v in CONFIG.items() if k != "base_url"}
    async with opened(BlueskyConnector, config, fake, live=False) as it:
        with pytest.raises(InvalidSubmission) as caught:
            await it.submit(report(test=True))
    assert caught.value.reason == "test_mode"
    assert fake.calls == []
