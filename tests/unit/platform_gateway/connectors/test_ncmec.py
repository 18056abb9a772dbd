# SPDX-License-Identifier: Apache-2.0
"""The CyberTipline: one finished report whatever is killed, order, codes, and safe reading."""

import itertools
import logging
import re
from contextlib import AsyncExitStack
from datetime import timedelta
from types import SimpleNamespace
from xml.etree import ElementTree as ET

import httpx
import pytest
from fakes._opened import CSAM
from fakes._opened import submission as sample
from fakes.ncmec import FakeNcmec
from pydantic import ValidationError
from wasl_connector_sdk import (
    AmbiguousOutcome,
    CredentialsRejected,
    HubIdentity,
    InvalidSubmission,
    RateLimited,
    Runtime,
    SubmissionRefused,
    SupportsPolling,
    SupportsSteps,
    SupportsWithdrawal,
    TransientError,
)
from wasl_connector_sdk.http import client
from wasl_platform_gateway.connectors.ncmec import (
    MAX_ANSWER,
    NcmecConfig,
    NcmecConnector,
    Said,
    read,
    to_xml,
)

HUB = HubIdentity("Example hub", "MA", "desk@hub.example", "https://hub.example/")
CONFIG = {"base_url": FakeNcmec.base, "username": "hub", "password": "secret-password"}


def submission(**changes):
    return sample(
        "dispatch-0001",
        **{
            **CSAM,
            "partner": "ncmec",
            "location": "https://example.org/p?a=1&b=<CANARY-LOCATION>",
            **changes,
        },
    )


class Killed(BaseException):
    """The process ends here."""


class Saved:
    """Durable progress, and the places where the process can be killed around it."""

    def __init__(self):
        self.values = {}
        self.kill = None

    def get(self, name):
        return self.values.get(name)

    async def save(self, name, value):
        if self.kill == "before save":
            raise Killed
        self.values[name] = value
        if self.kill == "after save":
            raise Killed


class World:
    """A CyberTipline, and processes that come and go; ``kill`` names where the next one ends."""

    def __init__(self):
        self.fake = FakeNcmec()
        self.saved = Saved()
        self.kill = None
        self.answer = None

    @property
    def clock(self):
        return SimpleNamespace(now=lambda: self.fake.now)

    async def handle(self, request):
        step = request.url.path.rsplit("/", 1)[-1]
        if self.kill == f"before {step}":
            raise Killed
        if self.answer is not None and step in self.answer:
            made = self.answer[step]
            if isinstance(made, Exception):
                await self.fake(request)
                raise made
            return made
        response = await self.fake(request)
        if self.kill == f"after {step}":
            raise Killed
        return response

    async def connector(self, stack, **config):
        http = client(transport=httpx.MockTransport(self.handle))
        rt = Runtime(await stack.enter_async_context(http), self.clock, logging.getLogger("t"), HUB)
        opened = NcmecConnector.open(NcmecConfig.model_validate({**CONFIG, **config}), rt)
        return await stack.enter_async_context(opened)

    async def process(self, kill=None):
        """One life of the gateway: with what is saved, until it is done or killed."""
        self.kill = self.saved.kill = kill
        async with AsyncExitStack() as stack:
            connector = await self.connector(stack)
            return await connector.submit_in_steps(submission(), self.saved)


@pytest.fixture
def world():
    return World()


@pytest.fixture
async def ncmec(world):
    async with AsyncExitStack() as stack:
        yield await world.connector(stack)


# -- the saga ----------------------------------------------------------------------------------

POINTS = (
    "before submit",
    "after submit",
    "before save",
    "after save",
    "before finish",
    "after finish",
)


async def test_nothing_is_killed(world):
    receipt = await world.process()
    assert world.fake.calls == ["/submit", "/finish"]
    assert len(world.fake.reports) == 1
    assert world.fake.held[receipt.reference].state == "finished"


@pytest.mark.parametrize("point", POINTS)
async def test_killed_at_a_step_and_run_again_makes_one_report(world, point):
    with pytest.raises(Killed):
        await world.process(kill=point)
    receipt = await world.process()
    assert len(world.fake.reports) == 1
    assert world.fake.held[receipt.reference].state == "finished"
    # What was opened in vain never counts, and is gone after a day.
    world.fake.now += timedelta(hours=24)
    again = await world.process()
    assert again == receipt
    assert sorted({r.state for r in world.fake.held.values()} - {"deleted"}) == ["finished"]
    assert len(world.fake.reports) == 1


@pytest.mark.parametrize("points", list(itertools.product(POINTS, POINTS)))
async def test_killed_twice(world, points):
    for point in points:
        try:
            await world.process(kill=point)
        except Killed:
            continue
        assert len(world.fake.reports) == 1  # there was nothing left to do at that point
    receipt = await world.process()
    assert len(world.fake.reports) == 1
    assert world.fake.held[receipt.reference].state == "finished"


@pytest.mark.parametrize("point", POINTS)
async def test_a_day_later_it_starts_over_unless_it_was_finished(world, point):
    with pytest.raises(Killed):
        await world.process(kill=point)
    finished = list(world.fake.reports)
    world.fake.now += timedelta(hours=25)
    receipt = await world.process()
    assert len(world.fake.reports) == 1
    assert world.fake.held[receipt.reference].state == "finished"
    if finished:
        assert world.fake.reports == finished
    assert world.saved.get("report_id") == receipt.reference


async def test_killed_after_it_answered_before_the_gateway_stored_it(world):
    first = await world.process()
    assert await world.process() == first
    assert world.fake.calls == ["/submit", "/finish", "/finish"]
    assert len(world.fake.reports) == 1


@pytest.mark.parametrize("step", ["submit", "finish"])
async def test_a_lost_answer_is_ambiguous_and_sending_again_is_harmless(world, step):
    world.answer = {step: httpx.ReadTimeout("CANARY")}
    with pytest.raises(AmbiguousOutcome) as caught:
        await world.process()
    assert "CANARY" not in repr(caught.value)
    world.answer = None
    await world.process()
    assert len(world.fake.reports) == 1


async def test_only_an_identifier_is_saved(world):
    await world.process()
    assert list(world.saved.values) == ["report_id"]
    assert re.fullmatch("[0-9]+", world.saved.get("report_id"))


async def test_submit_alone_repeats_without_a_second_report(ncmec, world):
    first = await ncmec.submit(submission())
    assert await ncmec.submit(submission()) == first
    assert len(world.fake.reports) == 1
    await ncmec.submit(submission(idempotency_key="dispatch-0002"))
    assert len(world.fake.reports) == 2


# -- what is sent ------------------------------------------------------------------------------


async def test_the_report_says_where_what_and_who_asks(ncmec, world):
    await ncmec.submit(submission(explanation="محتوى غير قانوني <b>&"))
    root = ET.fromstring(world.fake.reports[0])
    assert root.findtext("incidentSummary/incidentType").startswith("Child Pornography")
    assert root.findtext("incidentSummary/incidentDateTime") == "2026-01-05T09:00:00Z"
    page = root.find("internetDetails/webPageIncident")
    assert page.findtext("url") == "https://example.org/p?a=1&b=<CANARY-LOCATION>"
    assert page.get("thirdPartyHostedContent") == "true"
    person = root.find("reporter/reportingPerson")
    assert person.findtext("lastName") == "Example hub"
    assert person.findtext("email") == "desk@hub.example"
    assert person.findtext("address/country") == "MA"
    story = root.findtext("additionalInfo")
    assert story.startswith("TEST, please disregard.\nRequest dispatch-0001, case case-0001.")
    assert "محتوى غير قانوني <b>&" in story


async def test_the_config_says_who_reports(world):
    async with AsyncExitStack() as stack:
        names = {
            "reporting_name": "Hotline",
            "reporting_email": "h@x.example",
            "reporting_country": "FR",
        }
        await (await world.connector(stack, **names)).submit(submission())
    person = ET.fromstring(world.fake.reports[0]).find("reporter/reportingPerson")
    assert [e.text for e in person.iter() if e.text] == ["Hotline", "h@x.example", "FR"]


@pytest.mark.parametrize(
    ("location", "path"),
    [
        ("@someone", "chatImIncident/additionalInfo"),
        ("https://example.org/x", "webPageIncident/url"),
        ("+212600000000", "cellPhoneIncident/phoneNumber"),
    ],
)
async def test_each_kind_of_location_has_its_place(ncmec, world, location, path):
    await ncmec.submit(
        submission(location=location, platform="chat_app", category="child_grooming")
    )
    root = ET.fromstring(world.fake.reports[0])
    assert root.findtext(f"internetDetails/{path}") == location
    screen = root.findtext("personOrUserReported/screenName")
    assert screen == ("@someone" if location == "@someone" else None)


async def test_what_xml_cannot_hold_and_what_is_too_long_is_cut(ncmec, world):
    await ncmec.submit(submission(explanation="a\x00b\ud800c" + "x" * 9000))
    story = ET.fromstring(world.fake.reports[0]).findtext("additionalInfo")
    assert len(story) == 3000
    assert "abcx" in story


async def test_a_clock_behind_ours_is_not_asked_to_believe_in_the_future(ncmec, world):
    await ncmec.submit(submission(requested_at=world.fake.now + timedelta(hours=2)))
    root = ET.fromstring(world.fake.reports[0])
    assert root.findtext("incidentSummary/incidentDateTime") == "2026-01-05T09:29:59Z"


async def test_the_fake_refuses_another_order(world):
    """Otherwise none of the tests here says anything about order."""
    root = ET.fromstring(to_xml(submission(), HUB, world.fake.now))
    root.insert(0, root[-1])
    headers = {"content-type": "text/xml; charset=utf-8"}
    async with httpx.AsyncClient(
        transport=httpx.MockTransport(world.fake), auth=("hub", "secret-password")
    ) as http:
        answer = await http.post(
            f"{FakeNcmec.base}/submit", content=ET.tostring(root), headers=headers
        )
    assert read(answer.content).code == 4100


@pytest.mark.parametrize("category", ["sextortion", "trafficking", "defamation"])
async def test_another_category_is_not_sent(ncmec, world, category):
    with pytest.raises(InvalidSubmission):
        await ncmec.submit(submission(category=category))
    assert world.fake.calls == []


# -- answers -----------------------------------------------------------------------------------

CODES = {
    1000: TransientError,
    1210: TransientError,
    2000: CredentialsRejected,
    3000: CredentialsRejected,
    3300: CredentialsRejected,
    4000: InvalidSubmission,
    4100: InvalidSubmission,
    4110: InvalidSubmission,
    5002: InvalidSubmission,
    5101: SubmissionRefused,
    9999: InvalidSubmission,
}


def coded(code, status=200, root="reportResponse"):
    body = f"<{root}><responseCode>{code}</responseCode><reportId>1</reportId></{root}>"
    return httpx.Response(status, content=body)


@pytest.mark.parametrize("status", [200, 400, 500])
@pytest.mark.parametrize("step", ["submit", "finish"])
@pytest.mark.parametrize("code", CODES)
async def test_each_code_has_its_error(ncmec, world, code, step, status):
    world.answer = {step: coded(code, status)}
    with pytest.raises(Exception) as caught:
        await ncmec.submit(submission())
    assert type(caught.value) is CODES[code]
    assert "CANARY" not in repr(caught.value)
    assert caught.value.reason == ("retracted" if code == 5101 else f"ncmec_{code}")
    assert world.fake.reports == []


HTTP = {
    401: CredentialsRejected,
    403: CredentialsRejected,
    404: TransientError,
    413: InvalidSubmission,
    429: RateLimited,
    500: TransientError,
    503: TransientError,
    302: TransientError,
}


@pytest.mark.parametrize("status", HTTP)
async def test_without_a_code_the_status_decides(ncmec, world, status):
    world.answer = {"submit": httpx.Response(status, content=b"<html>CANARY</html>")}
    with pytest.raises(Exception) as caught:
        await ncmec.submit(submission())
    assert type(caught.value) is HTTP[status]
    assert "CANARY" not in repr(caught.value)


BOMB = b'<!DOCTYPE r [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><reportResponse><responseCode>0</responseCode><reportId>1&b;</reportId></reportResponse>'


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"{}",
        b"\xff",
        b"<reportResponse/>",
        b"<reportResponse><responseCode>zero</responseCode></reportResponse>",
        b"<reportResponse><responseCode>0</responseCode><reportId>../x</reportId></reportResponse>",
        BOMB,
        BOMB.decode().encode("utf-16"),
        b"<a>" * MAX_ANSWER,
    ],
)
async def test_an_opened_report_without_a_readable_id_is_ambiguous(ncmec, world, body):
    world.answer = {"submit": httpx.Response(200, content=body)}
    with pytest.raises(AmbiguousOutcome):
        await ncmec.submit(submission())


def test_a_body_with_a_dtd_is_never_parsed(monkeypatch):
    monkeypatch.setattr(ET, "fromstring", lambda _: pytest.fail("parsed"))
    assert read(BOMB) is None
    assert read(b"<r>" + b"x" * MAX_ANSWER) is None


def test_an_answer_is_read():
    assert read(b"<r><responseCode> 0 </responseCode><reportId>4564654</reportId></r>") == Said(
        0, "4564654"
    )
    assert read(b"<r><responseCode>0</responseCode></r>") == Said(0, None)


async def test_a_new_report_that_is_gone_at_once_is_tried_later(ncmec, world):
    world.answer = {"finish": coded(5001)}
    with pytest.raises(TransientError):
        await ncmec.submit(submission())


# -- check, withdraw, settings -----------------------------------------------------------------


async def test_check_proves_the_credentials_and_opens_nothing(ncmec, world):
    await ncmec.check()
    assert world.fake.calls == ["/status"]
    world.fake.password = "other"
    with pytest.raises(CredentialsRejected):
        await ncmec.check()
    world.answer = {"status": coded(1000)}
    with pytest.raises(TransientError):
        await ncmec.check()
    world.answer = {"status": httpx.Response(200, content=b"hello")}
    with pytest.raises(TransientError):
        await ncmec.check()


async def test_an_open_report_can_be_withdrawn_and_a_finished_one_cannot(ncmec, world):
    world.answer = {"finish": coded(1000)}
    with pytest.raises(TransientError):
        await ncmec.submit(submission())
    (number,) = world.fake.held
    world.answer = None
    await ncmec.withdraw(number, "a reason")
    await ncmec.withdraw(number, "a reason")
    assert world.fake.held[number].state == "retracted"
    with pytest.raises(SubmissionRefused):  # and it stays withdrawn
        await ncmec.submit(submission())
    receipt = await ncmec.submit(submission(idempotency_key="dispatch-0002"))
    with pytest.raises(SubmissionRefused) as caught:
        await ncmec.withdraw(receipt.reference, "a reason")
    assert caught.value.code == "already_finished"
    with pytest.raises(SubmissionRefused) as caught:
        await ncmec.withdraw("1", "a reason")
    assert caught.value.code == "unknown_reference"
    assert len(world.fake.reports) == 1


async def test_without_live_it_goes_to_the_sandbox(world):
    seen = []

    async def note(request):
        seen.append(request.url.host)
        return coded(0)

    for live in (False, True):
        config = NcmecConfig(username="u", password="p", live=live)
        async with client(transport=httpx.MockTransport(note)) as http:
            rt = Runtime(http, world.clock, logging.getLogger("t"))
            async with NcmecConnector.open(config, rt) as connector:
                await connector.check()
    assert seen == ["exttest.cybertip.org", "report.cybertip.org"]
    assert NcmecConnector.manifest.production == {"report.cybertip.org"}


async def test_a_test_never_goes_to_production(world):
    async with AsyncExitStack() as stack:
        live = await world.connector(stack, live=True)
        with pytest.raises(InvalidSubmission) as caught:
            await live.submit(submission(test=True))
        assert caught.value.reason == "test_mode"
        assert world.fake.calls == []
        await live.submit(submission(test=False))
    assert b"TEST" not in world.fake.reports[0]


def test_the_settings_keep_their_secret():
    config = NcmecConfig.model_validate(CONFIG)
    assert "secret-password" not in repr(config)
    for wrong in (
        {"password": ""},
        {"base_url": "http://ncmec.example"},
        {"reporting_country": "Morocco"},
    ):
        with pytest.raises(ValidationError) as caught:
            NcmecConfig.model_validate({**CONFIG, **wrong})
        assert "secret-password" not in str(caught.value)


def test_what_it_can_do():
    assert issubclass(NcmecConnector, SupportsSteps)
    assert issubclass(NcmecConnector, SupportsWithdrawal)
    assert not issubclass(NcmecConnector, SupportsPolling)
