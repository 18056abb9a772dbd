# SPDX-License-Identifier: Apache-2.0
"""The YouTube connector against a YouTube written from its published API."""

import asyncio
from datetime import timedelta

import httpx
import pytest
from fakes._opened import ARABIC, Instead, lost, opened, submission
from fakes.youtube import FakeYouTube, error
from pydantic import ValidationError
from wasl_chassis.testing import FakeClock
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
from wasl_platform_gateway.connectors.youtube import (
    MAX_COMMENTS,
    YouTubeConnector,
    comments,
    video_id,
)

VIDEO = "abc-DEF_123"
URL = f"https://www.youtube.com/watch?v={VIDEO}"
CONFIG = {
    "base_url": f"{FakeYouTube.base}/youtube/v3",
    "token_url": f"{FakeYouTube.base}/token",
    "client_id": "client",
    "client_secret": "secret-client",
    "refresh_token": "secret-refresh",
    "reasons": {"default": {"id": "R1", "secondary": "S2"}, "hate_speech": {"id": "R2"}},
}


def youtube(fake, clock=None, **changes):
    return opened(YouTubeConnector, {**CONFIG, **changes}, fake, clock=clock)


def report(**changes):
    return submission(**{"location": URL, **changes})


async def raised(fake, kind, **changes):
    """The error of one submission; nothing that was sent may be in it."""
    async with youtube(fake) as it:
        with pytest.raises(Exception) as caught:
            await it.submit(report(**changes))
    assert type(caught.value) is kind
    for secret in ("CANARY", "secret", VIDEO):
        assert secret not in repr(caught.value)
    return caught.value


# -- pure parts --


@pytest.mark.parametrize(
    "location",
    [
        URL,
        f"http://youtube.com/watch?feature=share&v={VIDEO}&t=1",
        f"https://m.youtube.com/watch?v={VIDEO}",
        f"https://music.youtube.com/watch?v={VIDEO}",
        f"https://youtu.be/{VIDEO}?si=x",
        f"https://www.youtube.com/shorts/{VIDEO}",
        f"https://www.youtube.com/live/{VIDEO}?feature=share",
        f"https://www.youtube.com/embed/{VIDEO}",
        f"https://www.youtube-nocookie.com/embed/{VIDEO}",
    ],
)
def test_every_form_of_an_address_names_the_same_video(location):
    assert video_id(location) == VIDEO


@pytest.mark.parametrize(
    "location",
    [
        "",
        VIDEO,
        "@handle",
        "https://www.youtube.com/",
        "https://www.youtube.com/@handle",
        f"https://www.youtube.com/playlist?list={VIDEO}",
        "https://www.youtube.com/watch?v=short",
        f"https://www.youtube.com/watch?v={VIDEO}0",
        f"https://youtube.com.example.org/watch?v={VIDEO}",
        f"https://example.org/watch?v={VIDEO}",
        f"ftp://youtu.be/{VIDEO}",
        "https://[broken/watch",
    ],
)
async def test_what_is_no_video_is_refused_and_never_sent(location):
    assert video_id(location) is None
    fake = FakeYouTube()
    caught = await raised(fake, SubmissionRefused, location=location)
    assert caught.code == "item_not_supported"
    assert fake.calls == []


def test_comments_keep_the_key_and_the_limit():
    text = comments(report(explanation=ARABIC * 500))
    assert len(text) == MAX_COMMENTS
    assert text.endswith("\n\nRef: 0192f1c2-7a3b-7c11-8000-000000000001")
    assert comments(report(test=True)).startswith("[TEST] ")
    assert comments(report(explanation="")).startswith("Article 1")


# -- sending --


async def test_a_report_is_204_and_the_reference_is_ours():
    fake = FakeYouTube()
    async with youtube(fake) as it:
        receipt = await it.submit(report())
    assert receipt.reference == f"youtube:{VIDEO}:0192f1c2-7a3b-7c11-8000-000000000001"
    assert receipt.outcome is Outcome.PENDING
    (sent,) = fake.reports
    assert (sent["videoId"], sent["reasonId"], sent["secondaryReasonId"]) == (VIDEO, "R1", "S2")
    assert ARABIC in sent["comments"]
    assert sent["language"] == "ar"


async def test_the_reason_goes_by_category_and_language_falls_back_to_english():
    fake = FakeYouTube()
    async with youtube(fake) as it:
        await it.submit(report(category="hate_speech", language="zgh"))
    assert fake.reports[0]["reasonId"] == "R2"
    assert "secondaryReasonId" not in fake.reports[0]
    assert fake.reports[0]["language"] == "en"


def test_nothing_can_be_read_back_so_nothing_is_sent_twice():
    assert YouTubeConnector.manifest.idempotency is Idempotency.NONE
    assert not issubclass(YouTubeConnector, SupportsLookup)
    assert issubclass(YouTubeConnector, SupportsPolling)


def test_the_rate_keeps_within_the_daily_units():
    rate = YouTubeConnector.manifest.rate
    assert (rate.per_second * 86_400 + rate.burst) * 50 <= 10_000


async def test_reasons_are_asked_once_a_day_and_language():
    fake, clock = FakeYouTube(), FakeClock()
    listing = "GET /youtube/v3/videoAbuseReportReasons"
    async with youtube(fake, clock) as it:
        await it.submit(report())
        await it.submit(report())
        assert fake.calls.count(listing) == 1
        await it.submit(report(language="fr"))
        assert fake.calls.count(listing) == 2
        clock.advance(timedelta(days=1))
        await it.submit(report())
    assert fake.calls.count(listing) == 3


@pytest.mark.parametrize(
    "reasons",
    [
        {"default": {"id": "R9"}},
        {"default": {"id": "R2", "secondary": "S1"}},
        {"terrorism": {"id": "R1"}},
    ],
)
async def test_a_reason_youtube_does_not_list_is_never_sent(reasons):
    fake = FakeYouTube()
    async with youtube(fake, reasons=reasons) as it:
        with pytest.raises(InvalidSubmission) as caught:
            await it.submit(report())
    assert caught.value.reason == "no_reason"
    assert fake.reports == []


async def test_a_missing_video_is_already_gone():
    fake = FakeYouTube()
    fake.missing.add(VIDEO)
    async with youtube(fake) as it:
        receipt = await it.submit(report())
    assert (receipt.outcome, receipt.reason) == (Outcome.ALREADY_GONE, "video_not_found")
    assert fake.reports == []


@pytest.mark.parametrize(
    ("answer", "kind", "wait"),
    [
        (error(400, "invalidAbuseReason"), InvalidSubmission, None),
        (error(400, "rateLimitExceeded"), RateLimited, 60),
        (error(403, "quotaExceeded", "youtube.quota"), RateLimited, 3600),
        (error(403, "userRateLimitExceeded", "usageLimits"), RateLimited, 60),
        (error(403, "forbidden"), CredentialsRejected, None),
        (error(403, "insufficientPermissions", "global"), CredentialsRejected, None),
        (httpx.Response(403, text="no JSON"), CredentialsRejected, None),
        (httpx.Response(400, text="no JSON"), InvalidSubmission, None),
        (httpx.Response(404, text="wrong address"), TransientError, None),
        (httpx.Response(429, headers={"retry-after": "7"}), RateLimited, 7),
        (httpx.Response(500), TransientError, None),
        (httpx.Response(504), AmbiguousOutcome, None),
        (httpx.Response(200, json={}), AmbiguousOutcome, None),
        (lost(httpx.ReadTimeout), AmbiguousOutcome, None),
        (lost(httpx.ConnectError), TransientError, None),
    ],
    ids=range(15),
)
async def test_each_answer_has_its_error(answer, kind, wait):
    fake = FakeYouTube()
    caught = await raised(Instead(fake, "reportAbuse", answer), kind)
    if wait is not None:
        assert caught.retry_after == wait
    if kind is InvalidSubmission:
        assert caught.reason in ("invalidabusereason", "http_400")
    assert fake.reports == []


async def test_a_lost_answer_is_in_doubt_and_the_report_is_there():
    fake = FakeYouTube()
    caught = await raised(Instead(fake, "reportAbuse", lost(), after=True), AmbiguousOutcome)
    assert caught.reason == "no_answer"
    assert len(fake.reports) == 1


async def test_the_daily_units_end_in_rate_limited():
    fake = FakeYouTube()
    fake.daily_units = 101
    async with youtube(fake) as it:
        await it.submit(report())
        await it.submit(report())
        with pytest.raises(RateLimited):
            await it.submit(report())
    assert fake.units == 101


# -- signing in --


async def test_a_token_is_kept_until_it_expires():
    fake, clock = FakeYouTube(), FakeClock()
    async with youtube(fake, clock) as it:
        await asyncio.gather(*(it.submit(report()) for _ in range(4)))
        assert fake.sign_ins == 1
        clock.advance(timedelta(seconds=3539))
        await it.submit(report())
        assert fake.sign_ins == 1
        clock.advance(timedelta(seconds=1))
        await it.submit(report())
    assert fake.sign_ins == 2


async def test_a_token_that_ended_early_is_replaced_once():
    fake = FakeYouTube()
    async with youtube(fake) as it:
        await it.submit(report())
        fake.tokens.clear()
        await asyncio.gather(*(it.submit(report()) for _ in range(3)))
    assert (len(fake.reports), fake.sign_ins) == (4, 2)


@pytest.mark.parametrize(
    "changes", [{"refresh_token": "wrong"}, {"client_secret": "wrong"}, {"client_id": "wrong"}]
)
async def test_refused_credentials(changes):
    async with youtube(FakeYouTube(), **changes) as it:
        with pytest.raises(CredentialsRejected):
            await it.check()
        with pytest.raises(CredentialsRejected):
            await it.submit(report())


async def test_a_fresh_token_that_is_refused_is_a_matter_for_a_person():
    answer = error(401, "youtubeSignupRequired")
    inner = FakeYouTube()
    await raised(Instead(inner, "reportAbuse", answer), CredentialsRejected)
    assert (inner.reports, inner.sign_ins) == ([], 2)
    answer = error(401, "authError", "global")
    fake = Instead(FakeYouTube(), "videoAbuseReportReasons", answer, method="GET")
    await raised(fake, CredentialsRejected)


@pytest.mark.parametrize(
    "answer",
    [httpx.Response(503), httpx.Response(200, text="?"), httpx.Response(200, json=[]), lost()],
    ids=range(4),
)
async def test_a_failed_sign_in_puts_no_report_in_doubt(answer):
    fake = FakeYouTube()
    await raised(Instead(fake, "/token", answer), TransientError)
    assert fake.reports == []


async def test_an_unreadable_list_of_reasons_stops_before_the_report():
    fake = FakeYouTube()
    answer = httpx.Response(200, json={"items": [{"id": "R1"}]})
    await raised(Instead(fake, "Reasons", answer, method="GET"), TransientError)
    assert fake.reports == []


async def test_check_makes_no_report():
    fake = FakeYouTube()
    async with youtube(fake) as it:
        await it.check()
    assert (fake.reports, fake.units) == ([], 1)


# -- what became of it --

REFERENCE = f"youtube:{VIDEO}:0192f1c2-7a3b-7c11"


@pytest.mark.parametrize(
    ("shown", "outcome", "reason"),
    [
        ({}, Outcome.PENDING, None),
        (
            {"status": {"uploadStatus": "rejected", "rejectionReason": "termsOfUse"}},
            Outcome.REMOVED,
            "termsofuse",
        ),
        (
            {"contentDetails": {"regionRestriction": {"blocked": ["FR", "MA"]}}},
            Outcome.GEO_RESTRICTED,
            "region_restriction",
        ),
        ({"contentDetails": {"regionRestriction": {"blocked": ["FR"]}}}, Outcome.PENDING, None),
        (
            {"contentDetails": {"regionRestriction": {"allowed": ["FR"]}}},
            Outcome.GEO_RESTRICTED,
            "region_restriction",
        ),
        (
            {"contentDetails": {"contentRating": {"ytRating": "ytAgeRestricted"}}},
            Outcome.AGE_RESTRICTED,
            "yt_age_restricted",
        ),
    ],
)
async def test_what_the_list_shows(shown, outcome, reason):
    fake = FakeYouTube()
    fake.videos[VIDEO] = shown
    async with youtube(fake) as it:
        update = await it.status(REFERENCE)
    assert (update.reference, update.outcome, update.reason) == (REFERENCE, outcome, reason)
    assert fake.units == 1


async def test_a_video_that_is_not_listed_is_gone_for_the_public():
    fake = FakeYouTube()
    fake.missing.add(VIDEO)
    async with youtube(fake) as it:
        update = await it.status(REFERENCE)
    assert (update.outcome, update.reason) == (Outcome.REMOVED, "not_listed")


async def test_a_reference_of_somebody_else():
    async with youtube(FakeYouTube()) as it:
        with pytest.raises(SubmissionRefused) as caught:
            await it.status("R-17")
    assert caught.value.code == "unknown_reference"


@pytest.mark.parametrize("body", [b"", b"[]", b'{"items": 1}', b'{"items": ["x"]}'])
async def test_an_unreadable_status_says_nothing(body):
    fake = Instead(FakeYouTube(), "/videos", httpx.Response(200, content=body), method="GET")
    async with youtube(fake) as it:
        with pytest.raises(TransientError):
            await it.status(REFERENCE)


# -- configuration --


def test_secrets_and_wrong_configs():
    config = YouTubeConnector.Config.model_validate(CONFIG)
    assert "secret-" not in repr(config)
    with pytest.raises(ValidationError):
        YouTubeConnector.Config.model_validate({**CONFIG, "reasons": {}})


@pytest.mark.parametrize("default", ["base_url", "token_url"])
async def test_in_test_mode_production_is_out_of_reach(default):
    fake = FakeYouTube()
    config = {k: v for k, v in CONFIG.items() if k != default}
    async with opened(YouTubeConnector, config, fake, live=False) as it:
        with pytest.raises(InvalidSubmission) as caught:
            await it.submit(report(test=True))
    assert caught.value.reason == "test_mode"
    assert fake.reports == []
