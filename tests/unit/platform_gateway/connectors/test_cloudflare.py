# SPDX-License-Identifier: Apache-2.0
"""The Cloudflare connector against an API written from its published form."""

from datetime import timedelta

import httpx
import pytest
from fakes._opened import ARABIC, Instead, lost, opened, submission
from fakes.cloudflare import FakeCloudflare, not_taken, v4, v4_error
from pydantic import ValidationError
from wasl_connector_sdk import (
    AmbiguousOutcome,
    CredentialsRejected,
    Idempotency,
    InvalidSubmission,
    Outcome,
    PersonNeeded,
    RateLimited,
    SubmissionRefused,
    SupportsLookup,
    SupportsPolling,
    TransientError,
)
from wasl_platform_gateway.connectors.cloudflare import CloudflareConnector

CONFIG = {
    "base_url": f"{FakeCloudflare.base}/client/v4",
    "account_id": "account-1",
    "token": "secret-token",
    "name": "Wasl hub",
    "email": "abuse@hub.example",
}


def cloudflare(fake, *, clock=None, **changes):
    return opened(CloudflareConnector, {**CONFIG, **changes}, fake, clock=clock)


async def raised(fake, kind, **changes):
    async with cloudflare(fake) as it:
        with pytest.raises(Exception) as caught:
            await it.submit(submission(**changes))
    assert type(caught.value) is kind
    for secret in ("CANARY", "secret", "example.org"):
        assert secret not in repr(caught.value)
    return caught.value


# -- sending --


@pytest.mark.parametrize(
    ("category", "act"),
    [
        ("phishing_malware", "abuse_phishing"),
        ("csam", "abuse_children"),
        ("intimate_image_abuse", "abuse_ncsei"),
        ("terrorism", "abuse_general"),
        ("other_illegal", "abuse_general"),
    ],
)
async def test_each_category_is_taken_as_its_type(category, act):
    fake = FakeCloudflare()
    key = submission().idempotency_key
    async with cloudflare(fake) as it:
        receipt = await it.submit(submission(category=category))
    assert receipt.reference == "abuse-1"
    (sent,) = fake.reports
    assert sent["act"] == act
    assert sent["company"] == f"Wasl ref:{key}"
    text = sent["comments"] if act == "abuse_ncsei" else sent["justification"]
    assert ARABIC in text
    assert text.endswith(f"ref:{key}")
    # The hub is never the person in the image.
    expected = False if act == "abuse_ncsei" else None
    assert sent.get("ncsei_subject_representation") is expected
    warned = sent["owner_notification"] != "none"
    assert warned == (act in ("abuse_phishing", "abuse_general"))
    assert (sent["name"], sent["email"]) == ("Wasl hub", "abuse@hub.example")


@pytest.mark.parametrize("category", ["terrorism", "intimate_image_abuse"])
async def test_a_long_statement_is_cut_and_keeps_the_key(category):
    fake, key = FakeCloudflare(), "k" * 80
    long = submission(category=category, explanation=ARABIC * 400, idempotency_key=key, test=True)
    async with cloudflare(fake, company="c" * 60) as it:
        await it.submit(long)
        assert (await it.find(key)).reference == "abuse-1"
    (sent,) = fake.reports
    text = sent.get("justification") or sent["comments"]
    assert len(text) == (5000 if "justification" in sent else 2000)
    assert text.startswith("[TEST] ")
    assert len(sent["company"]) == 100


@pytest.mark.parametrize(
    "location",
    [
        "@handle",
        "+212600000000",
        "ftp://example.org/x",
        "https://",
        "https://a.example/x\nhttps://b.example",
        "https://[x",
    ],
)
async def test_what_is_no_web_address_is_refused_and_never_sent(location):
    fake = FakeCloudflare()
    caught = await raised(fake, SubmissionRefused, location=location)
    assert caught.code == "item_not_supported"
    assert fake.calls == []


async def test_the_same_address_within_a_week_is_refused_by_cloudflare():
    fake = FakeCloudflare()
    async with cloudflare(fake, clock=fake.clock) as it:
        await it.submit(submission())
        with pytest.raises(SubmissionRefused) as caught:
            await it.submit(submission(key="another-key"))
        assert caught.value.code == "already_reported"
        fake.clock.advance(timedelta(days=7))
        await it.submit(submission(key="another-key"))
    assert len(fake.reports) == 2


async def test_an_address_that_is_not_behind_cloudflare():
    fake = FakeCloudflare()
    fake.outside.add("example.org")
    caught = await raised(fake, SubmissionRefused)
    assert caught.code == "not_on_cloudflare"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (not_taken("Provided email was invalid"), InvalidSubmission),
        (not_taken("Report has invalid type"), InvalidSubmission),
        (not_taken("Failed while writing to the database", status=500), TransientError),
        (not_taken("Failed to send confirmation email", status=500), AmbiguousOutcome),
        (v4_error(400, 6003), CredentialsRejected),
        (v4_error(401, 10000), CredentialsRejected),
        (v4_error(403, 10000), CredentialsRejected),
        (v4_error(404, 7003), TransientError),
        (httpx.Response(429, headers={"retry-after": "7"}), RateLimited),
        (httpx.Response(502, text="<html>"), TransientError),
        (httpx.Response(504), AmbiguousOutcome),
        (httpx.Response(200, text="?"), AmbiguousOutcome),
        (httpx.Response(200, json=[]), AmbiguousOutcome),
        (httpx.Response(200, json={"abuse_rand": "", "result": "success"}), AmbiguousOutcome),
        (httpx.Response(200, json={"abuse_rand": 7, "result": "success"}), AmbiguousOutcome),
        (v4("success"), AmbiguousOutcome),
        (lost(), AmbiguousOutcome),
        (lost(httpx.ConnectError), TransientError),
    ],
    ids=range(18),
)
async def test_each_answer_has_its_error(answer, kind):
    caught = await raised(Instead(FakeCloudflare(), "/abuse_general", answer), kind)
    if kind is RateLimited:
        assert caught.retry_after == 7


async def test_an_identifier_inside_the_envelope_is_read_too():
    fake = Instead(FakeCloudflare(), "/abuse_general", v4({"abuse_rand": "abuse-9"}))
    async with cloudflare(fake) as it:
        assert (await it.submit(submission())).reference == "abuse-9"


# -- finding again --


def test_a_report_can_be_found_again():
    assert CloudflareConnector.manifest.idempotency is Idempotency.LOOKUP
    assert issubclass(CloudflareConnector, SupportsLookup)
    assert issubclass(CloudflareConnector, SupportsPolling)


@pytest.mark.parametrize("lists_submitter", [True, False])
@pytest.mark.parametrize("category", ["csam", "intimate_image_abuse", "terrorism"])
async def test_a_lost_answer_is_found_by_its_key(category, lists_submitter):
    fake = FakeCloudflare()
    fake.lists_submitter = lists_submitter
    item = submission(category=category)
    async with cloudflare(fake, clock=fake.clock) as it:
        await it.submit(submission(key="other", location="https://other.example/"))
    path = {"csam": "children", "intimate_image_abuse": "ncsei", "terrorism": "general"}[category]
    lossy = Instead(fake, f"/abuse_{path}", lost(), after=True)
    async with cloudflare(lossy, clock=fake.clock) as it:
        assert await it.find(item.idempotency_key) is None
        with pytest.raises(AmbiguousOutcome):
            await it.submit(item)
        found = await it.find(item.idempotency_key)
    assert (found.reference, found.outcome) == ("abuse-2", Outcome.PENDING)


async def test_a_key_that_begins_like_another_is_another():
    fake = FakeCloudflare()
    async with cloudflare(fake, clock=fake.clock) as it:
        await it.submit(submission(key="key-12"))
        assert await it.find("key-1") is None
        assert await it.find("ey-12") is None


async def test_a_lookup_reads_every_page():
    fake = FakeCloudflare()
    async with cloudflare(fake, clock=fake.clock) as it:
        for n in range(401):
            await it.submit(submission(key=f"key-{n}", location=f"https://example.org/{n}"))
        assert (await it.find("key-0")).reference == "abuse-1"
        assert await it.find("key-401") is None


async def test_a_lookup_that_cannot_be_finished_never_says_none():
    fake = FakeCloudflare()
    fake.lists_submitter = False
    async with cloudflare(fake, clock=fake.clock) as it:
        for n in range(51):
            await it.submit(submission(key=f"key-{n}", location=f"https://example.org/{n}"))
        with pytest.raises(TransientError):
            await it.find("key-0")


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, text="?"),
        v4([]),
        v4({"reports": ["x"]}),
        httpx.Response(200, json={"success": False, "result": {"reports": []}}),
        httpx.Response(503),
        lost(),
    ],
    ids=range(6),
)
async def test_a_failed_lookup_never_says_none(answer):
    fake = Instead(FakeCloudflare(), "/submitted", answer, method="GET")
    async with cloudflare(fake) as it:
        with pytest.raises(TransientError):
            await it.find("key")
        with pytest.raises(TransientError):
            await it.check()


# -- what became of it --


@pytest.mark.parametrize(
    ("status", "denial", "outcome", "reason"),
    [
        ("submitted", None, Outcome.PENDING, None),
        ("accepted", None, Outcome.ACKNOWLEDGED, "accepted"),
        ("denied", "content_removed", Outcome.ALREADY_GONE, "content_removed"),
        ("denied", "content_unavailable", Outcome.ALREADY_GONE, "content_unavailable"),
        ("denied", "no_abuse_found", Outcome.REFUSED, "no_abuse_found"),
        ("denied", None, Outcome.REFUSED, "denied"),
    ],
)
async def test_each_status_has_its_outcome(status, denial, outcome, reason):
    fake = FakeCloudflare()
    async with cloudflare(fake) as it:
        await it.submit(submission())
        fake.reports[0]["_shown"] |= {"status": status, "denial_reason": denial}
        update = await it.status("abuse-1")
    assert (update.reference, update.outcome, update.reason) == ("abuse-1", outcome, reason)


@pytest.mark.parametrize(
    ("active", "outcome", "reason"),
    [
        (["phishing_interstitial"], Outcome.LABELLED, "phishing_interstitial"),
        (["misleading_interstitial", "legal_block"], Outcome.GEO_RESTRICTED, "legal_block"),
        (["network_block"], Outcome.ACKNOWLEDGED, "network_block"),
        (["legal_block", "account_suspend"], Outcome.ACCOUNT_ACTION, "account_suspend"),
    ],
)
async def test_an_accepted_report_tells_what_is_in_force(active, outcome, reason):
    fake = FakeCloudflare()
    async with cloudflare(fake) as it:
        await it.submit(submission())
        fake.reports[0]["_shown"]["status"] = "accepted"
        fake.mitigations["abuse-1"] = active
        update = await it.status("abuse-1")
        assert (update.outcome, update.reason) == (outcome, reason)
        fake.may_see_mitigations = False
        update = await it.status("abuse-1")
    assert (update.outcome, update.reason) == (Outcome.ACKNOWLEDGED, "accepted")


async def test_an_unknown_reference_and_an_unknown_status():
    fake = FakeCloudflare()
    async with cloudflare(fake) as it:
        with pytest.raises(SubmissionRefused) as caught:
            await it.status("nobody?x=1")
        assert caught.value.code == "unknown_reference"
        await it.submit(submission())
        fake.reports[0]["_shown"]["status"] = "invented"
        with pytest.raises(TransientError):
            await it.status("abuse-1")


# -- credentials, configuration --


async def test_refused_credentials():
    async with cloudflare(FakeCloudflare(), token="wrong-token") as it:
        with pytest.raises(CredentialsRejected):
            await it.check()


async def test_check_makes_no_report():
    fake = FakeCloudflare()
    async with cloudflare(fake) as it:
        await it.check()
    assert fake.reports == []


@pytest.mark.parametrize(
    "changes", [{"account_id": "a/../b"}, {"email": "nobody"}, {"host_notification": "none"}]
)
def test_a_wrong_config_is_refused(changes):
    with pytest.raises(ValidationError):
        CloudflareConnector.Config.model_validate({**CONFIG, **changes})
    assert "secret" not in repr(CloudflareConnector.Config.model_validate(CONFIG))


async def test_in_test_mode_production_is_out_of_reach():
    fake = FakeCloudflare()
    config = {k: v for k, v in CONFIG.items() if k != "base_url"}
    async with opened(CloudflareConnector, config, fake, live=False) as it:
        with pytest.raises(InvalidSubmission) as caught:
            await it.submit(submission(test=True))
    assert caught.value.reason == "test_mode"
    assert fake.calls == []


@pytest.mark.parametrize("category", ["phishing_malware", "csam", "intimate_image_abuse"])
@pytest.mark.parametrize("measure", ["label", "age_restrict", "geo_restrict"])
async def test_less_than_removal_never_sets_a_machine_going(category, measure):
    fake = FakeCloudflare()
    await raised(fake, PersonNeeded, category=category, measure=measure)
    assert fake.reports == []


@pytest.mark.parametrize("measure", [None, "remove", "account_action"])
async def test_what_is_as_much_as_a_typed_report_does_is_sent_as_one(measure):
    async with cloudflare(fake := FakeCloudflare()) as it:
        await it.submit(submission(category="phishing_malware", measure=measure))
    assert len(fake.reports) == 1
