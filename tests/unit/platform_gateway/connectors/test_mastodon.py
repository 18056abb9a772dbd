# SPDX-License-Identifier: Apache-2.0
"""The Mastodon and GoToSocial connectors against instances written from the published APIs."""

from datetime import timedelta

import httpx
import pytest
from fakes._opened import ARABIC, Instead, lost, opened, submission
from fakes.mastodon import FakeGoToSocial, FakeMastodon
from pydantic import ValidationError
from wasl_connector_sdk import (
    AmbiguousOutcome,
    CredentialsRejected,
    Ground,
    Idempotency,
    InvalidSubmission,
    Outcome,
    RateLimited,
    SubmissionRefused,
    SupportsLookup,
    SupportsPolling,
    TransientError,
)
from wasl_platform_gateway.connectors.mastodon import (
    GoToSocialConnector,
    MastodonConnector,
    comment,
    host_of,
    target,
)

BOTH = [(MastodonConnector, FakeMastodon), (GoToSocialConnector, FakeGoToSocial)]
TERMS = Ground(kind="terms", ref="rules.2")


def instance(fake, **changes):
    return {"base_url": fake.base, "token": "secret-token", **changes}


def config(fake, **changes):
    own = instance(fake)
    return {"instances": {fake.home: own}, "default": own, **changes}


def at(connector, fake, inner=None, **changes):
    clock = (inner or fake).clock
    return opened(connector, config(inner or fake, **changes), fake, clock=clock)


async def raised(fake, kind, *, inner, connector=MastodonConnector, **changes):
    async with at(connector, fake, inner) as it:
        with pytest.raises(Exception) as caught:
            await it.submit(item(inner, **changes))
    assert type(caught.value) is kind
    for secret in ("CANARY", "secret", "someone"):
        assert secret not in repr(caught.value)
    return caught.value


def item(fake, **changes):
    return submission(**{"location": f"https://{fake.home}/@someone/100", **changes})


# -- pure parts --


@pytest.mark.parametrize(
    ("location", "host"),
    [
        ("https://Mastodon.test/@someone/1", "mastodon.test"),
        ("@someone@mastodon.test", "mastodon.test"),
        ("someone@Mastodon.test", "mastodon.test"),
        ("@someone", None),
        ("someone", None),
        ("+212600000000", None),
        ("ftp://mastodon.test/x", None),
        ("https://[x", None),
        ("", None),
    ],
)
def test_the_host_of_an_item(location, host):
    assert host_of(location) == host


def test_a_comment_keeps_the_key_and_the_limit():
    text = comment(submission(explanation=ARABIC * 100, test=True))
    assert len(text) == 1000
    assert text.startswith("[TEST] ")
    assert text.endswith("\n\nref:0192f1c2-7a3b-7c11-8000-000000000001")


@pytest.mark.parametrize("found", [None, [], {}, {"statuses": 1, "accounts": ["x", {}]}])
def test_nothing_is_made_of_an_unreadable_search(found):
    assert target(found, "https://mastodon.test/@someone/100") is None


# -- sending --


@pytest.mark.parametrize(("connector", "kind"), BOTH)
async def test_a_post_is_reported_on_its_own_server(connector, kind):
    fake = kind()
    async with at(connector, fake) as it:
        receipt = await it.submit(item(fake))
    (sent,) = fake.reports
    assert receipt.reference == f"{fake.home}:{sent['id']}"
    assert receipt.outcome is Outcome.PENDING
    assert (sent["target_account"]["id"], sent["status_ids"]) == ("A1", ["P0"])
    assert ARABIC in sent["comment"]
    assert sent["forwarded"] is False
    assert sent["category"] == ("legal" if kind is FakeMastodon else "other")


@pytest.mark.parametrize(
    ("location", "expected", "where"),
    [
        ("https://mastodon.test/@someone", ("A1", []), "mastodon.test"),
        ("https://mastodon.test/@someone/", None, "mastodon.test"),
        ("@someone@mastodon.test", ("A1", []), "mastodon.test"),
        ("https://other.example/@stranger/101", ("A2", ["P1"]), "default"),
        ("https://other.example/@stranger/101/object", ("A2", ["P1"]), "default"),
        ("@Stranger@other.example", None, "default"),
        ("@stranger@other.example", ("A2", []), "default"),
        ("https://mastodon.test/@stranger@other.example/P1", ("A2", ["P1"]), "mastodon.test"),
        ("https://mastodon.test/@stranger@other.example", ("A2", []), "mastodon.test"),
    ],
)
async def test_each_form_of_an_item_and_its_server(location, expected, where):
    fake = FakeMastodon()
    async with at(MastodonConnector, fake) as it:
        if expected is None:  # the fake's search is exact; so nothing is found and nothing sent
            with pytest.raises((SubmissionRefused, TransientError)):
                await it.submit(submission(location=location))
            assert fake.reports == []
            return
        receipt = await it.submit(submission(location=location, ground=TERMS))
    (sent,) = fake.reports
    assert (sent["target_account"]["id"], sent["status_ids"]) == expected
    assert receipt.reference.startswith(f"{where}:")
    assert sent["forwarded"] == (where == "default")
    assert sent["category"] == "other"


async def test_forwarding_can_be_switched_off():
    fake = FakeMastodon()
    async with at(MastodonConnector, fake, forward=False) as it:
        await it.submit(submission(location="https://other.example/@stranger/101"))
    assert fake.reports[0]["forwarded"] is False


@pytest.mark.parametrize(
    ("location", "kind", "reason"),
    [
        ("https://mastodon.test/@nobody/7", SubmissionRefused, "item_not_found"),
        ("@nobody@mastodon.test", SubmissionRefused, "item_not_found"),
        ("https://other.example/@nobody/7", TransientError, "item_not_resolved"),
        ("https://third.example/@a@b.example/P0", TransientError, "item_not_resolved"),
        ("+212600000000", SubmissionRefused, "item_not_supported"),
    ],
)
@pytest.mark.parametrize("lookalike", [False, True])
async def test_nobody_is_reported_in_place_of_another(location, kind, reason, lookalike):
    fake = FakeMastodon()
    fake.lookalike = lookalike
    caught = await raised(fake, kind, inner=fake, location=location)
    assert caught.reason == reason
    assert fake.reports == []


async def test_a_host_without_an_instance_and_without_a_default():
    fake = FakeMastodon()
    async with at(MastodonConnector, fake, default=None) as it:
        with pytest.raises(InvalidSubmission) as caught:
            await it.submit(submission(location="https://other.example/@stranger/101"))
    assert caught.value.reason == "no_instance"


async def test_a_test_reaches_sandboxes_only():
    fake = FakeMastodon()
    async with at(MastodonConnector, fake) as it:
        with pytest.raises(InvalidSubmission) as caught:
            await it.submit(item(fake, test=True))
        assert caught.value.reason == "test_mode"
        assert fake.calls == []
    async with at(
        MastodonConnector, fake, instances={fake.home: instance(fake, sandbox=True)}
    ) as it:
        await it.submit(item(fake, test=True))
    assert fake.reports[0]["comment"].startswith("[TEST] ")


@pytest.mark.parametrize(("connector", "kind"), BOTH)
@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (httpx.Response(401, json={"error": "The access token is invalid"}), CredentialsRejected),
        (httpx.Response(403, json={"error": "outside the authorized scopes"}), CredentialsRejected),
        (httpx.Response(404, json={"error": "Record not found"}), SubmissionRefused),
        (httpx.Response(404, text="<html>"), TransientError),
        (httpx.Response(400, json={"error": "Bad Request"}), InvalidSubmission),
        (httpx.Response(422, json={"error": "Validation failed"}), InvalidSubmission),
        (httpx.Response(429, headers={"retry-after": "7"}), RateLimited),
        (
            httpx.Response(429, headers={"x-ratelimit-reset": "2026-01-05T09:00:07.000Z"}),
            RateLimited,
        ),
        (httpx.Response(500), TransientError),
        (httpx.Response(503), TransientError),
        (httpx.Response(504), AmbiguousOutcome),
        (httpx.Response(200, text="?"), AmbiguousOutcome),
        (httpx.Response(200, json={"id": ""}), AmbiguousOutcome),
        (httpx.Response(200, json={"id": 7}), AmbiguousOutcome),
        (httpx.Response(200, json=[]), AmbiguousOutcome),
        (lost(), AmbiguousOutcome),
        (lost(httpx.ConnectError), TransientError),
    ],
    ids=range(17),
)
async def test_each_answer_has_its_error(connector, kind, answer, error):
    inner = kind()
    fake = Instead(inner, "/api/v1/reports", answer)
    caught = await raised(fake, error, inner=inner, connector=connector)
    if error is RateLimited:
        assert caught.retry_after == 7


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (httpx.Response(401), CredentialsRejected),
        (httpx.Response(503), TransientError),
        (lost(), TransientError),
        (httpx.Response(429, headers={"x-ratelimit-reset": "soon"}), RateLimited),
    ],
    ids=range(4),
)
async def test_a_failed_search_puts_no_report_in_doubt(answer, error):
    inner = FakeMastodon()
    await raised(Instead(inner, "/search", answer, method="GET"), error, inner=inner)
    assert inner.reports == []


async def test_check_proves_every_token():
    fake = FakeMastodon()
    async with at(MastodonConnector, fake) as it:
        await it.check()
    assert fake.calls == ["GET /api/v1/accounts/verify_credentials"] * 2
    async with at(MastodonConnector, fake, default=instance(fake, token="wrong")) as it:
        with pytest.raises(CredentialsRejected):
            await it.check()


# -- what each server lets a reporter see --


def test_mastodon_shows_nothing_and_gotosocial_the_reporters_own():
    assert MastodonConnector.manifest.idempotency is Idempotency.NONE
    assert GoToSocialConnector.manifest.idempotency is Idempotency.LOOKUP
    for ability in (SupportsLookup, SupportsPolling):
        assert not issubclass(MastodonConnector, ability)
        assert issubclass(GoToSocialConnector, ability)


async def test_a_lost_answer_is_found_by_its_key():
    fake = FakeGoToSocial()
    key = submission().idempotency_key
    async with at(GoToSocialConnector, fake) as it:
        await it.submit(item(fake, idempotency_key="other"))
    lossy = Instead(fake, "/api/v1/reports", lost(), after=True)
    async with at(GoToSocialConnector, lossy, fake) as it:
        assert await it.find(key) is None
        with pytest.raises(AmbiguousOutcome):
            await it.submit(item(fake))
        found = await it.find(key)
        assert await it.find(key[1:]) is None
    assert found.reference == f"gotosocial.test:{fake.reports[1]['id']}"


async def test_a_lookup_reads_on_until_reports_are_too_old():
    fake = FakeGoToSocial()
    async with at(GoToSocialConnector, fake) as it:
        await it.submit(item(fake, idempotency_key="old"))
        fake.clock.advance(timedelta(days=4, seconds=1))
        for n in range(205):
            await it.submit(item(fake, idempotency_key=f"key-{n}"))
        assert await it.find("key-0") is not None
        fake.calls.clear()
        assert await it.find("nothing") is None
    assert len(fake.calls) == 6  # three pages on each of two instances


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, text="?"),
        httpx.Response(200, json={}),
        httpx.Response(200, json=[{"id": "1"}]),
        httpx.Response(200, json=[{"id": "1", "comment": "", "created_at": "?"}]),
        httpx.Response(503),
    ],
    ids=range(5),
)
async def test_a_failed_lookup_never_says_none(answer):
    inner = FakeGoToSocial()
    fake = Instead(inner, "/api/v1/reports", answer, method="GET")
    async with at(GoToSocialConnector, fake, inner) as it:
        with pytest.raises(TransientError):
            await it.find("key")


async def test_what_moderators_say_is_read():
    fake = FakeGoToSocial()
    async with at(GoToSocialConnector, fake) as it:
        reference = (await it.submit(item(fake))).reference
        assert (await it.status(reference)).outcome is Outcome.PENDING
        fake.resolve(0, ARABIC)
        update = await it.status(reference)
        assert (update.outcome, update.reason) == (Outcome.ACKNOWLEDGED, "resolved")
        assert update.reply == ARABIC
        assert ARABIC not in repr(update)
        found = await it.find(submission().idempotency_key)
        assert found.outcome is Outcome.ACKNOWLEDGED
        fake.resolve(0, None)
        assert (await it.status(reference)).reply is None


@pytest.mark.parametrize(
    "reference", ["7", "elsewhere.example:7", "gotosocial.test:", "gotosocial.test:01GTS9"]
)
async def test_an_unknown_reference(reference):
    async with at(GoToSocialConnector, FakeGoToSocial()) as it:
        with pytest.raises(SubmissionRefused) as caught:
            await it.status(reference)
    assert caught.value.code == "unknown_reference"


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"action_taken": "yes"}'])
async def test_an_unreadable_status_says_nothing(body):
    inner = FakeGoToSocial()
    fake = Instead(inner, "/1", httpx.Response(200, content=body), method="GET")
    async with at(GoToSocialConnector, fake, inner) as it:
        with pytest.raises(TransientError):
            await it.status("gotosocial.test:1")


# -- configuration --


@pytest.mark.parametrize(
    "changes",
    [
        {"instances": {}, "default": None},
        {"instances": {"Upper.example": instance(FakeMastodon)}},
        {"instances": {"default": instance(FakeMastodon)}},
        {"default": {"base_url": "http://plain.example", "token": "CANARY"}},
        {"lookup_days": 3},
    ],
)
def test_a_wrong_config_is_refused(changes):
    with pytest.raises(ValidationError) as caught:
        MastodonConnector.Config.model_validate(config(FakeMastodon, **changes))
    assert "CANARY" not in str(caught.value)
    assert "secret" not in repr(MastodonConnector.Config.model_validate(config(FakeMastodon)))
