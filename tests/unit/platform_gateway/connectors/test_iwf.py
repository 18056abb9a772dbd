# SPDX-License-Identifier: Apache-2.0
"""The IWF's report service: what leaves, what comes back, and that a test is a test."""

import logging
from datetime import UTC, datetime
from types import SimpleNamespace

import httpx
import pytest
from fakes._opened import CSAM
from fakes._opened import submission as sample
from fakes.iwf import FakeIwf
from pydantic import ValidationError
from wasl_connector_sdk import (
    AmbiguousOutcome,
    CredentialsRejected,
    Idempotency,
    InvalidSubmission,
    RateLimited,
    Runtime,
    SubmissionRefused,
    SupportsLookup,
    SupportsPolling,
    TransientError,
)
from wasl_connector_sdk.http import client
from wasl_platform_gateway.connectors.iwf import IwfConfig, IwfConnector

CONFIG = {"url": FakeIwf.url, "username": "hub", "password": "secret-password"}
CLOCK = SimpleNamespace(now=lambda: datetime(2026, 1, 5, 9, 30, tzinfo=UTC))


def submission(**changes):
    return sample("dispatch-0001", **{**CSAM, "partner": "iwf", **changes})


@pytest.fixture
def fake():
    return FakeIwf()


async def submit(handler, what=None, **config):
    async with client(transport=httpx.MockTransport(handler)) as http:
        rt = Runtime(http, CLOCK, logging.getLogger("test"))
        async with IwfConnector.open(IwfConfig.model_validate({**CONFIG, **config}), rt) as iwf:
            return await iwf.submit(what or submission())


def answering(*responses):
    left = list(responses)

    async def answer(_):
        made = left.pop(0)
        if isinstance(made, Exception):
            raise made
        return made

    return answer


async def test_an_address_becomes_a_report_and_its_id_the_reference(fake):
    receipt = await submit(fake)
    assert receipt.reference == "600001"
    (report,) = fake.reports
    assert report["Reported_URL"] == "https://example.org/CANARY-LOCATION"
    assert report["Reporter_Description"] == "Request dispatch-0001\nArticle 1\nCANARY-EXPLANATION"


async def test_nobody_is_named_as_the_reporter(fake):
    await submit(fake)
    (report,) = fake.reports
    assert report["Reporter_Anonymous"] == "Y"
    about = {k: v for k, v in report.items() if k.startswith("Reporter_") and v is not None}
    assert set(about) == {"Reporter_Anonymous", "Reporter_Description"}


@pytest.mark.parametrize(
    ("live", "test", "letter"),
    [(False, True, "T"), (False, False, "T"), (True, True, "T"), (True, False, "L")],
)
async def test_it_is_live_only_where_both_mean_it(fake, live, test, letter):
    await submit(fake, submission(test=test), live=live)
    assert fake.reports[0]["Live_Report"] == letter


async def test_arabic_is_kept_and_long_text_is_cut(fake):
    await submit(fake, submission(explanation="محتوى غير قانوني " + "ط" * 900))
    text = fake.reports[0]["Reporter_Description"]
    assert "محتوى غير قانوني" in text
    assert len(text) == 500


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"location": "https://example.org/" + "x" * 981}, "url_too_long"),
        ({"location": "@someone"}, "not_a_url"),
        ({"category": "child_grooming"}, "category_not_accepted"),
    ],
)
async def test_what_the_service_has_no_place_for_is_not_sent(fake, changes, reason):
    with pytest.raises(InvalidSubmission) as caught:
        await submit(fake, submission(**changes))
    assert caught.value.reason == reason
    assert fake.reports == []


async def test_the_longest_address_is_sent(fake):
    await submit(fake, submission(location="https://example.org/" + "x" * 980))
    assert len(fake.reports) == 1


STATUS = {
    400: InvalidSubmission,
    401: CredentialsRejected,
    403: CredentialsRejected,
    404: TransientError,
    409: AmbiguousOutcome,
    413: InvalidSubmission,
    429: RateLimited,
    451: SubmissionRefused,
    500: TransientError,
    503: TransientError,
    504: AmbiguousOutcome,
}


@pytest.mark.parametrize("status", STATUS)
async def test_each_status_has_its_error(status):
    body = {"IWFReportService1.0": {"responseCode": "1", "responseDescription": "CANARY"}}
    with pytest.raises(Exception) as caught:
        await submit(answering(httpx.Response(status, json=body)))
    assert type(caught.value) is STATUS[status]
    assert "CANARY" not in repr(caught.value)


async def test_wrong_credentials(fake):
    with pytest.raises(CredentialsRejected):
        await submit(fake, password="other")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"IWFReportService1.0": []}',
        b'{"IWFReportService1.0": {"responseData": null}}',
        b'{"IWFReportService1.0": {"responseData": {}}}',
        b'{"IWFReportService1.0": {"responseData": true}}',
        b'{"IWFReportService1.0": {"responseData": " "}}',
        b'{"IWFReportService1.0": {"responseData": "' + b"9" * 201 + b'"}}',
        b'{"IWFReportService1.0": {"responseData": "' + b"9" * (1 << 20) + b'"}}',
    ],
)
async def test_success_without_an_id_is_ambiguous(body):
    with pytest.raises(AmbiguousOutcome):
        await submit(answering(httpx.Response(200, content=body)))


async def test_a_number_is_an_id_as_well():
    body = {"IWFReportService1.0": {"responseData": 17}}
    assert (await submit(answering(httpx.Response(200, json=body)))).reference == "17"


async def test_a_lost_answer_is_ambiguous_and_an_unsent_request_is_not():
    with pytest.raises(AmbiguousOutcome):
        await submit(answering(httpx.ReadTimeout("CANARY")))
    with pytest.raises(TransientError):
        await submit(answering(httpx.ConnectError("CANARY")))


async def test_check_makes_no_report(fake):
    async with client(transport=httpx.MockTransport(fake)) as http:
        rt = Runtime(http, CLOCK, logging.getLogger("test"))
        async with IwfConnector.open(IwfConfig.model_validate(CONFIG), rt) as iwf:
            await iwf.check()
    assert fake.reports == []


def test_nothing_is_sent_twice_by_itself():
    """The service would make two reports of it."""
    assert IwfConnector.manifest.idempotency is Idempotency.NONE
    assert not issubclass(IwfConnector, SupportsLookup | SupportsPolling)


def test_the_settings_keep_their_secret():
    assert "secret-password" not in repr(IwfConfig.model_validate(CONFIG))
    for wrong in ({"url": "http://iwf.example"}, {"token": "x"}, {"username": ""}):
        with pytest.raises(ValidationError) as caught:
            IwfConfig.model_validate({**CONFIG, **wrong})
        assert "secret-password" not in str(caught.value)
