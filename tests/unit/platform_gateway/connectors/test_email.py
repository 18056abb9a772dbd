# SPDX-License-Identifier: Apache-2.0
"""The connector ``email`` against a real SMTP server and an IMAP server, over real sockets."""

import asyncio
import base64
import json
import logging
import re
import socket
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage

import dkim
import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from fakes._opened import ARABIC
from fakes._opened import submission as sample
from fakes.mail import PASSWORD, USER, FakeImap, FakeRelay, certificate, imap, relay
from pydantic import SecretStr, ValidationError
from wasl_chassis.testing import FakeClock
from wasl_connector_sdk import (
    AmbiguousOutcome,
    CredentialsRejected,
    EvidenceReference,
    Ground,
    HubIdentity,
    InvalidSubmission,
    Measure,
    Outcome,
    PersonNeeded,
    Reminder,
    Runtime,
    SubmissionRefused,
    SupportsInbox,
    TransientError,
)
from wasl_connector_sdk.asking import sentence
from wasl_platform_gateway.connectors.email import EmailConnector, xarf
from wasl_platform_gateway.connectors.email.profiles import (
    PROFILES,
    TEXTS,
    DeskConfig,
    FieldName,
    locator_of,
    prepare,
)
from wasl_platform_gateway.connectors.email.tokens import Tokens

KEY = "019b8d3c-0000-7000-8000-000000000001"
SECRET = "token-secret-0123456789-0123456789"
HUB = HubIdentity("Wasl", "MA", "contact@hub.example", "https://hub.example")


def submission(key=KEY, **changes):
    return sample(key, **{"explanation": f"CANARY-EXPLANATION\n{ARABIC}", **changes})


def config(server, **changes):
    smtp = {
        "host": "127.0.0.1", "port": server.port, "username": USER, "password": PASSWORD,
        "ca": server.ca or None, "tls": "starttls" if server.ca else "none", "timeout": 3,
        **changes.pop("smtp", {}),
    }  # fmt: skip
    return {
        "live": True,
        "partners": {"acme": {"address": "abuse@acme.example"}},
        "smtp": smtp,
        "sender": "hub@hub.example",
        "desk": "desk@hub.example",
        "token_secret": SECRET,
        **changes,
    }


def mailbox(server, **changes):
    return {
        "host": "127.0.0.1", "port": server.port, "tls": "none", "username": USER,
        "password": PASSWORD, "timeout": 3, **changes,
    }  # fmt: skip


@asynccontextmanager
async def opened(given):
    async with httpx.AsyncClient() as http:
        rt = Runtime(http, FakeClock(), logging.getLogger("test"), HUB)
        made = EmailConnector.open(EmailConnector.Config.model_validate(given), rt)
        async with made as connector:
            yield connector


@pytest.fixture
def server():
    with relay() as running:
        yield running


def text_of(mail):
    return mail.get_body(("plain",)).get_content().replace("\r\n", "\n")


# -- the mail --


async def test_a_request_arrives_with_all_that_a_notice_needs(server):
    async with opened(config(server)) as connector:
        receipt = await connector.submit(submission())
    (mail,) = server.mails
    token = receipt.reference
    assert re.fullmatch(r"[a-z2-7]{24}", token)
    assert server.reports == [(f"desk+{token}@hub.example", ("abuse@acme.example",))]
    assert mail["Reply-To"] == f"desk+{token}@hub.example"
    assert mail["Message-ID"] == f"<{KEY}.{token}@hub.example>"
    assert mail["Subject"] == f"Notice of content: web [wasl:{token}]"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Content-Language"] == "en"
    assert (mail["To"], mail["From"]) == ("abuse@acme.example", "Wasl <hub@hub.example>")
    text = text_of(mail)
    for expected in (
        "https://example.org/CANARY-LOCATION", "CANARY-EXPLANATION", ARABIC, "Article 1 — law.1",
        "Territorial scope:\nMA", "good faith", "without undue delay",
        "Wasl, MA, contact@hub.example, https://hub.example",
    ):  # fmt: skip
        assert expected in text
    assert mail.get_content_type() == "text/plain"


@pytest.mark.parametrize("language", TEXTS)
async def test_each_language(server, language):
    desk = {"address": "abuse@acme.example", "language": language, "answer_hours": {"high": 24}}
    async with opened(config(server, partners={"acme": desk})) as connector:
        await connector.submit(submission(scope="global"))
    (mail,) = server.mails
    text, words = text_of(mail), TEXTS[language]
    assert mail["Content-Language"] == language
    assert words.values["good_faith"] in text
    assert sentence(Measure.REMOVE, "global", language) in text
    assert "2026-01-06 09:00 UTC" in text
    assert "{" not in text
    assert all(len(line) <= 998 for line in server.raw[0].split(b"\r\n"))
    assert server.raw[0].isascii()


@pytest.mark.parametrize("language", TEXTS)
@pytest.mark.parametrize("measure", ["label", "age_restrict", "geo_restrict", "account_action"])
async def test_a_milder_measure_is_all_that_is_asked(server, language, measure):
    desk = {"address": "abuse@acme.example", "language": language}
    async with opened(config(server, partners={"acme": desk})) as connector:
        await connector.submit(submission(measure=measure))
    text = text_of(server.mails[0])
    assert sentence(Measure(measure), "MA", language) in text
    assert sentence(Measure.REMOVE, "MA", language) not in text


@pytest.mark.parametrize("measure", ["remove", None])
async def test_without_a_measure_removal_is_asked_for(server, measure):
    async with opened(config(server)) as connector:
        await connector.submit(submission(measure=measure))
    assert sentence(Measure.REMOVE, "MA", "en") in text_of(server.mails[0])


async def test_the_same_key_is_the_same_message_id(server):
    async with opened(config(server)) as connector:
        first, again = [await connector.submit(submission()) for _ in range(2)]
        other = await connector.submit(submission("019b8d3c-0000-7000-8000-000000000002"))
    ids = [mail["Message-ID"] for mail in server.mails]
    assert first == again != other
    assert ids[0] == ids[1] != ids[2]


async def test_no_value_can_begin_a_header_or_a_command(server):
    evil = "x\r\nBcc: evil@evil.example\r\n\r\n.\r\nMAIL FROM:<a@b.example>"
    changes = {
        "platform": evil, "kind": evil, "category": evil, "scope": evil, "explanation": evil,
        "location": f"https://example.org/{evil}\u2028\u202e", "ground": Ground(kind="law", ref=evil, text=evil),
    }  # fmt: skip
    async with opened(config(server)) as connector:
        await connector.submit(submission(key=evil, **changes))
    (mail,) = server.mails
    assert mail["Bcc"] is None
    assert not mail.defects
    assert server.reports[0][1] == ("abuse@acme.example",)
    assert len(mail["Subject"].splitlines()) == 1
    assert "\u202e" not in text_of(mail)
    (item,) = re.findall(r"Exact location:\n(.*)\n", text_of(mail))
    assert item.startswith("account name: https://example.org/x Bcc:")


async def test_too_long_is_not_cut_but_refused(server):
    async with opened(config(server)) as connector:
        for changes in (
            {"explanation": "x" * 20_001},
            {"location": "https://e.org/" + "x" * 4_000},
        ):
            with pytest.raises(InvalidSubmission) as caught:
                await connector.submit(submission(**changes))
            assert caught.value.reason == "too_large"
    assert server.reports == []


async def test_fifty_at_once(server):
    async with opened(config(server, smtp={"timeout": 20})) as connector:
        keys = [f"019b8d3c-0000-7000-8000-{n:012}" for n in range(50)]
        receipts = await asyncio.gather(*(connector.submit(submission(k)) for k in keys))
    assert len({r.reference for r in receipts}) == len(server.reports) == 50


# -- after the request --

SENT_AT = datetime(2026, 1, 5, 9, 30, tzinfo=UTC)
DESKS = {"acme": {"address": "abuse@acme.example", "roles": {"registrar": "desk@nic.example"}}}


def reminder(**changes):
    given = {"submission": submission(), "reference": "x", "number": 1, "sent_at": SENT_AT}
    return Reminder(**{**given, **changes})


async def test_a_reminder_is_in_the_thread_of_its_request(server):
    async with opened(config(server)) as connector:
        receipt = await connector.submit(submission())
        await connector.remind(reminder(reference=receipt.reference))
        await connector.remind(reminder(reference=receipt.reference, number=2))
    request, first, second = server.mails
    token = receipt.reference
    assert first["In-Reply-To"] == second["In-Reply-To"] == request["Message-ID"]
    assert first["References"].split() == [request["References"], request["Message-ID"]]
    assert first["Message-ID"] == f"<{KEY}.{token}.r1@hub.example>" != second["Message-ID"]
    assert first["Subject"] == f"Re: {request['Subject']}"
    assert first["Reply-To"] == request["Reply-To"]
    assert server.sent[1] == (f"desk+{token}@hub.example", ("abuse@acme.example",))
    text = text_of(first)
    assert "Reminder 1. We sent you the request below on 2026-01-05 09:30 UTC" in text
    assert "https://example.org/CANARY-LOCATION" in text
    assert "Reminder 2." in text_of(second)


@pytest.mark.parametrize("language", TEXTS)
async def test_a_reminder_at_a_higher_rung(server, language):
    desks = {"acme": {**DESKS["acme"], "language": language}}
    async with opened(config(server, partners=desks)) as connector:
        await connector.remind(reminder(number=2, role="registrar"))
    (mail,) = server.mails
    assert mail["To"] == "desk@nic.example"
    words = TEXTS[language].follow["escalation"].format(time="2026-01-05 09:30 UTC")
    assert words in text_of(mail)
    assert mail["Content-Language"] == language
    assert "{" not in text_of(mail)


@pytest.mark.parametrize(("live", "where"), [(True, "Send to"), (False, "send nothing")])
async def test_a_role_without_an_address_is_for_a_person(server, live, where):
    given = config(server, live=live, partners=DESKS, test_address="trial@hub.example")
    async with opened(given) as connector:
        with pytest.raises(PersonNeeded) as caught:
            await connector.remind(reminder(role="site_owner", number=3))
    assert server.sent == []
    assert "CANARY" not in repr(caught.value)
    for expected in (
        "site_owner",
        where,
        "to the first desk on 2026-01-05 09:30",
        "CANARY-LOCATION",
    ):
        assert expected in caught.value.packet


async def test_a_correction_replaces_and_is_numbered(server):
    async with opened(config(server)) as connector:
        receipt = await connector.submit(submission())
        for revision in (1, 1, 2):
            changed = submission(explanation="Other words.", revision=revision)
            await connector.correct(receipt.reference, changed)
    request, first, again, second = server.mails
    assert first["Message-ID"] == again["Message-ID"] != second["Message-ID"]
    assert first["Message-ID"] == f"<{KEY}.{receipt.reference}.c1@hub.example>"
    assert first["In-Reply-To"] == request["Message-ID"]
    text = text_of(second)
    assert "This replaces our earlier request with the same reference (revision 2)" in text
    assert "Other words." in text
    assert "CANARY-EXPLANATION" not in text


async def test_a_corrected_xarf_report_keeps_its_id(server):
    async with opened(config(server)) as connector:
        await connector.submit(submission(category="csam"))
        await connector.correct("x", submission(category="csam", revision=1))
    first, second = ([*mail.iter_parts()][2].get_payload(decode=True) for mail in server.mails)
    assert json.loads(first)["report_id"] == json.loads(second)["report_id"]


@pytest.mark.parametrize("language", TEXTS)
async def test_a_withdrawal_goes_to_the_desk_that_has_the_request(server, language):
    desks = {
        "other": {"address": "abuse@other.example"},
        "acme": {"address": "abuse@acme.example", "language": language},
    }
    async with opened(config(server, partners=desks)) as connector:
        receipt = await connector.submit(submission())
        await connector.withdraw(receipt.reference, "mistake\r\nBcc: a@b.example")
        await connector.withdraw(receipt.reference, "mistake")
    request, mail, again = server.mails
    assert server.sent[1][1] == ("abuse@acme.example",)
    assert mail["Message-ID"] == again["Message-ID"] == f"<{receipt.reference}.w@hub.example>"
    assert mail["In-Reply-To"] in request["References"].split()
    assert mail["Bcc"] is None
    words = TEXTS[language].follow["withdrawal"].format(token=receipt.reference)
    assert words in text_of(mail)
    assert "CANARY" not in text_of(mail)


@pytest.mark.parametrize("reference", ["R-17", "", "a" * 24])
async def test_a_withdrawal_of_what_was_never_sent(server, reference):
    async with opened(config(server)) as connector:
        with pytest.raises(SubmissionRefused) as caught:
            await connector.withdraw(reference, "mistake")
    assert (caught.value.code, server.sent) == ("unknown_reference", [])


async def test_in_test_mode_later_mails_go_to_the_test_address_too(server):
    given = config(server, live=False, partners=DESKS, test_address="trial@hub.example")
    async with opened(given) as connector:
        receipt = await connector.submit(submission())
        await connector.remind(reminder(role="registrar"))
        await connector.correct(receipt.reference, submission(revision=1))
        await connector.withdraw(receipt.reference, "mistake")
        await connector.submit_group([submission("k-1"), submission("k-2")])
    assert {to for _, to in server.sent} == {("trial@hub.example",)}
    assert all("[TEST, do not act]" in mail["Subject"] for mail in server.mails)
    assert all("This is a test" in text_of(mail) for mail in server.mails)


async def test_a_lost_answer_to_a_later_mail_is_ambiguous(server):
    server.data += ["drop"] * 4
    async with opened(config(server)) as connector:
        for work in (
            connector.remind(reminder()),
            connector.correct("x", submission(revision=1)),
            connector.withdraw(Tokens(SecretStr(SECRET)).of(KEY, "acme"), "mistake"),
            connector.submit_group([submission("k-1"), submission("k-2")]),
        ):
            with pytest.raises(AmbiguousOutcome):
                await work


# -- several requests in one mail --

KEYS = [f"019b8d3c-0000-7000-8000-{n:012}" for n in range(1, 4)]


def several(**changes):
    return [
        submission(key, location=f"https://example.org/CANARY/{n}", **changes)
        for n, key in enumerate(KEYS, 1)
    ]


@pytest.mark.parametrize("language", TEXTS)
async def test_a_group_is_one_mail_with_each_request_under_its_token(server, language):
    desks = {"acme": {"address": "abuse@acme.example", "language": language}}
    async with opened(config(server, partners=desks)) as connector:
        receipts = await connector.submit_group(several())
        alone = [await connector.submit(given) for given in several()]
    mail = server.mails[0]
    assert receipts == alone
    tokens = [receipt.reference for receipt in receipts]
    assert len(set(tokens)) == 3
    assert server.sent[0] == (f"desk+{tokens[0]}@hub.example", ("abuse@acme.example",))
    assert mail["Subject"].endswith(f"(3) [wasl:{tokens[0]}]")
    text, words = text_of(mail), TEXTS[language].follow
    assert words["group"].format(count=3) in text
    found = []
    for number, token in enumerate(tokens, 1):
        head = words["group_item"].format(number=number, count=3)
        found += [text.index(f"{head} [wasl:{token}]"), text.index(f"CANARY/{number}")]
    assert found == sorted(found)
    assert "{" not in text
    for number, key in enumerate(KEYS):
        assert f"<{key}.{tokens[number]}@hub.example>" in mail["References"].split()
    assert mail["In-Reply-To"] is None
    assert all(len(line) <= 998 for line in server.raw[0].split(b"\r\n"))


async def test_the_same_group_is_the_same_message_id(server):
    async with opened(config(server)) as connector:
        await connector.submit_group(several())
        await connector.submit_group(several())
        await connector.submit_group(several()[:2])
        await connector.submit(several()[0])
    ids = [mail["Message-ID"] for mail in server.mails]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3


async def test_a_group_refuses_all_or_none(server):
    first, second, third = several()
    wrong = {
        "too_large": [first, submission("k", explanation="x" * 20_001)],
        "mixed_group": [first, submission("k", partner="other")],
        "no_desk": [submission("k", partner="other")],
    }
    async with opened(config(server)) as connector:
        for reason, given in wrong.items():
            with pytest.raises(InvalidSubmission) as caught:
                await connector.submit_group(given)
            assert caught.value.reason == reason
        long = [submission(f"k-{n}", explanation="x" * 20_000) for n in range(11)]
        for given in (long, [submission(f"k-{n}") for n in range(21)]):
            with pytest.raises(InvalidSubmission) as caught:
                await connector.submit_group(given)
            assert caught.value.reason == "too_large"
        assert server.sent == []
        assert len(await connector.submit_group([first, second, third])) == 3


async def test_each_item_of_a_group_that_has_one_gets_its_xarf_part(server):
    async with opened(config(server)) as connector:
        await connector.submit_group(several(category="csam"))
        await connector.submit_group([*several()[:2], submission(category="csam")])
    many, one = server.mails
    assert many.get_content_type() == "multipart/mixed"
    reports = [json.loads(x.get_payload(decode=True)) for x in [*many.iter_parts()][1:]]
    assert [r["url"][-1] for r in reports] == ["1", "2", "3"]
    assert len({r["report_id"] for r in reports}) == 3
    assert one.get_content_type() == "multipart/report"
    assert text_of(many).count("CANARY/") == 3


async def test_what_follows_one_request_of_a_group_is_in_its_thread(server):
    async with opened(config(server)) as connector:
        receipts = await connector.submit_group(several())
        await connector.remind(reminder(submission=several()[1]))
        await connector.withdraw(receipts[2].reference, "mistake")
    group, later, withdrawn = server.mails
    for mail in (later, withdrawn):
        assert set(mail["References"].split()) <= set(group["References"].split())


# -- test mode --


@pytest.mark.parametrize(("live", "test"), [(True, True), (False, True), (False, False)])
async def test_in_test_mode_only_the_test_address_gets_mail(server, live, test):
    given = config(server, live=live, test_address="trial@hub.example")
    async with opened(given) as connector:
        await connector.submit(submission(test=test))
    (mail,) = server.mails
    assert server.reports[0][1] == ("trial@hub.example",)
    assert mail["To"] == "trial@hub.example"
    assert mail["Subject"].startswith("[TEST, do not act]")
    assert text_of(mail).startswith("This is a test")


async def test_in_test_mode_without_a_test_address_nothing_leaves(server):
    async with opened(config(server)) as connector:
        with pytest.raises(InvalidSubmission) as caught:
            await connector.submit(submission(test=True))
    assert (caught.value.reason, server.reports) == ("test_mode", [])


async def test_a_partner_without_an_address(server):
    async with opened(config(server)) as connector:
        with pytest.raises(InvalidSubmission) as caught:
            await connector.submit(submission(partner="other"))
    assert (caught.value.reason, server.reports) == ("no_desk", [])


# -- faults --

ANSWERS = [
    ("mail", "451 later", TransientError, "smtp_451"),
    ("mail", "550 no", CredentialsRejected, "auth"),
    ("mail", "530 who", CredentialsRejected, "auth"),
    ("mail", "552 size", InvalidSubmission, "too_large"),
    ("mail", "drop", TransientError, "unreachable"),
    ("mail", "hang", TransientError, "unreachable"),
    ("rcpt", "450 busy", TransientError, "smtp_450"),
    ("rcpt", "421 bye", TransientError, "smtp_421"),
    ("rcpt", "550 5.1.1 CANARY", SubmissionRefused, "undeliverable"),
    ("rcpt", "553 name", SubmissionRefused, "undeliverable"),
    ("rcpt", "501 syntax", InvalidSubmission, "smtp_501"),
    ("rcpt", "drop", TransientError, "unreachable"),
    ("rcpt", "hang", TransientError, "unreachable"),
    ("data", "451 later", TransientError, "smtp_451"),
    ("data", "554 policy", SubmissionRefused, "smtp_554"),
    ("data", "552 size", InvalidSubmission, "too_large"),
    ("data", "354 what", AmbiguousOutcome, "unreadable_answer"),
    ("data", "drop", AmbiguousOutcome, None),
    ("data", "hang", AmbiguousOutcome, "no_answer"),
]


@pytest.mark.parametrize(("stage", "answer", "kind", "reason"), ANSWERS)
async def test_what_the_relay_says(server, stage, answer, kind, reason):
    getattr(server, stage).append(answer)
    async with opened(config(server, smtp={"timeout": 0.6})) as connector:
        with pytest.raises(Exception) as caught:
            await connector.submit(submission())
        assert type(caught.value) is kind
        assert reason in (None, caught.value.reason)
        assert "CANARY" not in repr(caught.value)
        assert caught.value.__cause__ is None
        if kind is TransientError:
            assert server.reports == []
            await connector.submit(submission())
            assert len(server.reports) == 1


async def test_a_lost_answer_is_ambiguous_and_the_mail_is_there(server):
    server.data.append("drop")
    async with opened(config(server)) as connector:
        with pytest.raises(AmbiguousOutcome):
            await connector.submit(submission())
    assert len(server.reports) == 1


async def test_nobody_listens():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        gone = FakeRelay(port=taken.getsockname()[1])
        async with opened(config(gone)) as connector:
            for work in (connector.submit(submission()), connector.check()):
                with pytest.raises(TransientError):
                    await work


async def test_a_relay_that_never_says_hello():
    async def silent(reader, writer):
        await reader.read()
        writer.close()

    listening = await asyncio.start_server(silent, "127.0.0.1", 0)
    gone = FakeRelay(port=listening.sockets[0].getsockname()[1])
    async with opened(config(gone, smtp={"timeout": 0.3})) as connector:
        with pytest.raises(TransientError) as caught:
            await connector.submit(submission())
    assert caught.value.reason == "unreachable"
    listening.close()


@pytest.mark.parametrize(
    ("script", "smtp", "kind"),
    [
        ([], {"password": "wrong-CANARY"}, CredentialsRejected),
        (["454 4.7.0 later"], {}, TransientError),
        ([], {"username": None, "password": None}, CredentialsRejected),
    ],
)
async def test_login(server, script, smtp, kind):
    server.auth += script * 3
    async with opened(config(server, smtp=smtp)) as connector:
        with pytest.raises(Exception) as caught:
            await connector.submit(submission())
    assert type(caught.value) is kind
    assert "CANARY" not in repr(caught.value)
    assert server.reports == []


async def test_no_password_over_a_line_that_anybody_can_read():
    with relay(tls=False) as plain:
        given = config(plain, smtp={"tls": "starttls"})
        async with opened(given) as connector:
            with pytest.raises(TransientError) as caught:
                await connector.submit(submission())
    assert (caught.value.reason, plain.reports) == ("no_starttls", [])


async def test_a_certificate_of_somebody_else(server):
    async with opened(config(server, smtp={"ca": certificate()[1]})) as connector:
        with pytest.raises(TransientError):
            await connector.submit(submission())
    assert server.reports == []


async def test_the_check_proves_the_login_and_writes_to_nobody(server):
    async with imap() as box, opened(config(server, inbox=mailbox(box))) as connector:
        await connector.check()
        box.script["LOGIN"] = "NO wrong"
        with pytest.raises(CredentialsRejected):
            await connector.check()
    assert server.reports == []
    async with opened(config(server, smtp={"password": "wrong"})) as connector:
        with pytest.raises(CredentialsRejected):
            await connector.check()


async def test_a_cancelled_submission_closes_its_connection(server):
    server.data.append("hang")
    async with opened(config(server)) as connector:
        task = asyncio.ensure_future(connector.submit(submission()))
        async with asyncio.timeout(5):
            while not server.reports:
                await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await connector.submit(submission())


# -- DKIM --


@pytest.fixture(scope="module")
def key_pair():
    """(PEM, what DNS says about it)."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return pem, b"v=DKIM1; k=rsa; p=" + base64.b64encode(public)


async def test_mails_are_signed_where_the_relay_does_not(server, key_pair):
    pem, record = key_pair
    given = {"selector": "wasl", "key": pem}
    async with opened(config(server, dkim=given)) as connector:
        receipt = await connector.submit(submission(category="csam"))
        await connector.remind(reminder(reference=receipt.reference))
        await connector.submit_group(several())
    asked = []

    def dns(name, timeout=5):
        asked.append(name)
        return record

    for raw in server.raw:
        assert dkim.verify(raw, dnsfunc=dns)
        assert not dkim.verify(raw.replace(b"Subject: ", b"Subject: x"), dnsfunc=dns)
        assert not dkim.verify(raw.rstrip() + b"x\r\n", dnsfunc=dns)
    assert set(asked) == {b"wasl._domainkey.hub.example."}
    assert {mail["DKIM-Signature"].count("d=hub.example") for mail in server.mails} == {1}
    assert "in-reply-to" in server.mails[1]["DKIM-Signature"].lower()


async def test_without_a_key_nothing_is_signed(server):
    async with opened(config(server)) as connector:
        await connector.submit(submission())
    assert server.mails[0]["DKIM-Signature"] is None


@pytest.mark.parametrize(
    "given",
    [
        {"selector": "wasl", "key": "CANARY"},
        {
            "selector": "wasl",
            "key": "-----BEGIN PRIVATE KEY-----\nCANARY\n-----END PRIVATE KEY-----",
        },
        {"selector": "CANARY; x"},
        {"selector": "wasl", "domain": "CANARY.example"},
        {"selector": "wasl", "domain": "b.example"},
    ],
)
def test_a_wrong_dkim_setting_is_not_quoted(given, key_pair):
    with pytest.raises(ValidationError) as caught:
        EmailConnector.Config.model_validate(
            config(FakeRelay(port=25), dkim={"key": key_pair[0], **given})
        )
    assert "dkim" in str(caught.value)
    assert "CANARY" not in str(caught.value)


# -- XARF --


def test_xarf_only_where_it_has_a_type_and_an_address():
    assert xarf.report(submission(), HUB, "hub@hub.example") is None
    assert xarf.report(submission(category="sextortion"), HUB, "hub@hub.example") is None
    for location in ("+212600000020", "@name", "https:///x", "ftp://example.org/x", "https://[x/"):
        assert (
            xarf.report(submission(category="csam", location=location), HUB, "h@h.example") is None
        )


@pytest.mark.parametrize("category", sorted(xarf._TYPES))
@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("https://example.org:8443/a?b=c#d", "https://example.org:8443/a?b=c#d"),
        ("https://موقع.example/صفحة", None),
        ("http://192.0.2.7/x", "http://192.0.2.7/x"),
    ],
)
def test_the_xarf_report_is_valid(category, location, url):
    xarf_package = pytest.importorskip("xarf", reason="pip install xarf (tests only)")
    evidence = (EvidenceReference(kind="hash", value="ab" * 32, algorithm="sha256"),)
    report = xarf.report(
        submission(category=category, location=location, evidence=evidence), HUB, "hub@hub.example"
    )
    assert report["url"] == url or (url is None and report["url"].isascii())
    result = xarf_package.parse(json.dumps(report))
    assert not result.errors
    assert not result.warnings


async def test_the_xarf_part(server):
    async with opened(config(server)) as connector:
        await connector.submit(submission(category="csam"))
        await connector.submit(submission(category="csam"))
    mail, again = server.mails
    assert mail.get_content_type() == "multipart/report"
    assert mail.get_param("report-type") == "feedback-report"
    human, notice, machine = mail.iter_parts()
    assert "CANARY-LOCATION" in human.get_content()
    assert notice.get_content_type() == "message/feedback-report"
    assert b"Feedback-Type: xarf" in bytes(notice)
    assert machine.get_content_type() == "application/json"
    assert machine.get_param("name") == "xarf.json"
    report = json.loads(machine.get_payload(decode=True))
    assert (report["category"], report["type"]) == ("content", "csam")
    assert report["source_identifier"] == "example.org"
    other = json.loads(list(again.iter_parts())[2].get_payload(decode=True))
    assert other["report_id"] == report["report_id"]
    assert "CANARY-EXPLANATION" not in json.dumps(report)
    assert "case-0001" not in server.raw[0].decode()


# -- profiles --


@pytest.mark.parametrize("language", TEXTS)
def test_every_text_is_there(language):
    assert set(TEXTS[language].labels) == set(FieldName.__args__)
    assert set(TEXTS[language].values) == set(TEXTS["en"].values)
    assert set(TEXTS[language].packet) == set(TEXTS["en"].packet)
    assert set(TEXTS[language].follow) == set(TEXTS["en"].follow)
    assert set(TEXTS[language].locators) == {"url", "number", "invite", "handle"}


ITEMS = [
    ("meta_dpa_casework", {"platform": "instagram", "location": "https://www.instagram.com/p/FICTIF/", "category": "personal_data"}),
    ("tiktok", {"platform": "tiktok", "location": "@fictif.compte"}),
    ("snapchat", {"platform": "snapchat", "location": "fictif_compte"}),
    ("telegram", {"platform": "telegram", "location": "https://t.me/+FICTIF"}),
    ("whatsapp", {"platform": "whatsapp", "location": "+212 600 00 00 20"}),
    ("notice", {}),
]  # fmt: skip


@pytest.mark.parametrize(("profile", "changes"), ITEMS)
@pytest.mark.parametrize("language", TEXTS)
def test_each_profile_in_each_language(profile, changes, language):
    desk = DeskConfig(profile=profile, language=language)
    prepared = prepare(submission(**changes), desk, HUB, "token", "")
    values = dict(prepared.fields)
    labels = TEXTS[language].labels
    assert submission(**changes).location in values[labels["item"]]
    order = [labels[f] for f in PROFILES[profile].fields]
    assert [x for x in order if x in values] == list(values)
    for needed in ("explanation", "requester", "good_faith", "legal_ground", "asked", "deadline"):
        assert values[labels[needed]]


def test_every_profile_is_tried():
    assert {name for name, _ in ITEMS} == set(PROFILES)


def test_the_seven_grounds_of_the_casework():
    grounds = {g.id for g in PROFILES["meta_dpa_casework"].grounds}
    assert grounds == {
        "private_life", "image", "ethics", "identity", "right_to_be_forgotten", "geolocation", "profiling",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("desk", "changes", "ground"),
    [
        ({}, {"category": "impersonation"}, "Identity theft"),
        ({}, {"category": "personal_data"}, "Right to be forgotten"),
        ({"grounds": {"law.1": "geolocation"}}, {"category": "personal_data"}, "Geolocation"),
        ({"grounds": {"law.1": "profiling"}}, {"category": "terrorism"}, "Profiling"),
    ],
)
def test_the_ground_of_a_request(desk, changes, ground):
    made = DeskConfig(profile="meta_dpa_casework", **desk)
    prepared = prepare(submission(platform="facebook", **changes), made, HUB, "token", "")
    assert dict(prepared.fields)["Ground of the casework"] == ground
    assert prepared.subject == f"DPA Casework, facebook: {ground}"


@pytest.mark.parametrize(
    ("profile", "changes", "reason"),
    [
        ("meta_dpa_casework", {"platform": "facebook", "category": "terrorism"}, "no_casework_ground"),
        ("meta_dpa_casework", {"platform": "tiktok", "category": "impersonation"}, "wrong_desk"),
        ("tiktok", {"platform": "tiktok", "location": "+212600000020"}, "wrong_locator"),
        ("whatsapp", {"platform": "whatsapp", "location": "@name"}, "wrong_locator"),
    ],
)  # fmt: skip
def test_a_request_for_another_desk_does_not_leave(profile, changes, reason):
    with pytest.raises(InvalidSubmission) as caught:
        prepare(submission(**changes), DeskConfig(profile=profile), HUB, "token", "")
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("location", "kind"),
    [
        ("https://www.tiktok.com/@x/video/1", "url"),
        ("+212 600 00 00 20", "number"),
        ("https://wa.me/212600000020", "number"),
        ("https://chat.whatsapp.com/FICTIF", "invite"),
        ("t.me/joinchat/FICTIF", "invite"),
        ("tg://join?invite=FICTIF", "invite"),
        ("https://t.me/channel/5", "url"),
        ("@name", "handle"),
    ],
)
def test_what_names_an_item(location, kind):
    assert locator_of(location) == kind


# -- configuration --


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"partners": {"acme": {"address": "a@b.example\r\nRCPT TO:<CANARY>"}}}, "partners.acme.address"),
        ({"partners": {"acme": {"address": "a@b.example", "profile": "CANARY"}}}, "partners.acme.profile"),
        ({"partners": {"acme": {"address": "a@b.example", "grounds": {"x": "CANARY"}}}}, "partners.acme"),
        ({"sender": "CANARY"}, "sender"),
        ({"desk": "desk+CANARY@hub.example"}, "desk"),
        ({"desk": "d" * 40 + "@hub.example"}, "desk"),
        ({"token_secret": "CANARY"}, "token_secret"),
        ({"smtp": {"password": None}}, "smtp"),
        ({"smtp": {"host": "192.0.2.1", "tls": "none"}}, "smtp"),
        ({"smtp": {"password": "CANARY\r\n"}}, "smtp.password"),
        ({"inbox": {"host": "127.0.0.1", "username": "x", "password": "CANARY\nLOGOUT"}}, "inbox.password"),
        ({"inbox": {"host": "127.0.0.1", "username": "x", "password": "p", "folder": 'A" CANARY'}}, "inbox.folder"),
        ({"test_adress": "CANARY@hub.example"}, "test_adress"),
    ],
)  # fmt: skip
def test_a_wrong_config_names_the_field_and_no_value(change, field):
    with pytest.raises(ValidationError) as caught:
        EmailConnector.Config.model_validate(config(FakeRelay(port=25), **change))
    assert field in {".".join(map(str, e["loc"])) for e in caught.value.errors()}
    assert "CANARY" not in str(caught.value)


def test_an_unknown_profile_is_told_the_known_ones():
    with pytest.raises(ValidationError) as caught:
        DeskConfig(profile="metaa")
    for known in ("meta_dpa_casework", "tiktok", "snapchat", "telegram", "whatsapp"):
        assert known in str(caught.value)


def test_a_config_shows_no_secret():
    made = EmailConnector.Config.model_validate(config(FakeRelay(port=25)))
    assert PASSWORD not in repr(made)
    assert SECRET not in repr(made)


# -- the mailbox --


def answer(to, text="We removed it.", message_id="<1@acme.example>", **headers):
    mail = EmailMessage(policy=policy.SMTP)
    mail["From"], mail["To"], mail["Subject"] = "desk@acme.example", to, "Re: your notice"
    mail["Message-ID"] = message_id
    for name, value in headers.items():
        mail[name.replace("_", "-")] = value
    mail.set_content(text)
    return bytes(mail)


@pytest.mark.parametrize("says_next", [True, False])
async def test_answers_are_collected_once_and_in_order(server, says_next):
    async with (
        imap(FakeImap(says_next=says_next)) as box,
        opened(config(server, inbox=mailbox(box))) as connector,
    ):
        assert isinstance(connector, SupportsInbox)
        empty = await connector.collect(None)
        assert empty.updates == ()
        receipt = await connector.submit(submission())
        to = server.mails[0]["Reply-To"]
        box.put(answer("desk@hub.example", message_id="<spam@x.example>"))
        for n in range(25):
            box.put(answer(to, f"Answer {n}", f"<{n}@acme.example>"))
        box.mails[40] = answer(to, "Late", "<late@acme.example>")
        cursor, seen, rounds = empty.cursor, [], 0
        more = True
        while more:
            got = await connector.collect(cursor)
            assert (await connector.collect(cursor)) == got
            cursor, more = got.cursor, got.more
            seen += got.updates
            rounds += 1
            assert rounds < 10
        assert [u.reply for u in seen] == [f"Answer {n}" for n in range(25)] + ["Late"]
        assert {u.reference for u in seen} == {receipt.reference}
        assert {u.outcome for u in seen} == {Outcome.ACKNOWLEDGED}
        assert cursor == "7:40"
        assert (await connector.collect(cursor)).updates == ()
        box.put(answer(to, "One more", "<more@acme.example>"))
        assert [u.reply for u in (await connector.collect(cursor)).updates] == ["One more"]
        box.validity = 8
        assert len((await connector.collect(cursor)).updates) == 19  # numbered anew: from the start
    assert not [c for c in box.commands if re.search(r"STORE|SELECT|EXPUNGE|BODY\[", c)]


async def test_what_has_no_token_is_counted_and_not_named(server, caplog):
    caplog.set_level(logging.INFO, "test")
    async with imap() as box, opened(config(server, inbox=mailbox(box))) as connector:
        box.put(answer("desk@hub.example", "CANARY"))
        await connector.collect(None)
    (record,) = [r for r in caplog.records if r.name == "test"]
    assert record.count == 1
    assert record.getMessage() == "mails without news of a request were left in the mailbox"


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        ({"LOGIN": "NO CANARY wrong"}, CredentialsRejected),
        ({"LOGIN": "NO [UNAVAILABLE] later"}, TransientError),
        ({"LOGIN": "drop"}, TransientError),
        ({"EXAMINE": "NO no such folder"}, TransientError),
        ({"EXAMINE": "drop"}, TransientError),
        ({"SEARCH": "BAD what"}, TransientError),
        ({"FETCH": "NO gone"}, TransientError),
        ({"FETCH": "drop"}, TransientError),
    ],
)
async def test_a_mailbox_with_faults(server, script, kind):
    async with imap() as box, opened(config(server, inbox=mailbox(box))) as connector:
        box.put(answer("desk@hub.example"))
        box.script = script
        with pytest.raises(Exception) as caught:
            await connector.collect(None)
    assert type(caught.value) is kind
    assert "CANARY" not in repr(caught.value)


async def test_a_mailbox_over_tls(server):
    context, ca = certificate()
    async with imap(tls=context) as box:
        given = mailbox(box, tls="implicit", ca=ca)
        async with opened(config(server, inbox=given)) as connector:
            assert (await connector.collect(None)).cursor == "7:0"
        async with opened(config(server, inbox={**given, "ca": server.ca})) as connector:
            with pytest.raises(TransientError):
                await connector.collect(None)


async def test_without_a_mailbox_there_is_nothing_to_collect(server):
    async with opened(config(server)) as connector:
        assert (await connector.collect("7:5")).cursor == "7:5"
        assert (await connector.collect(None)).updates == ()


@pytest.mark.parametrize("cursor", ["", "x", "7", "7:-1", "0:1", "7:" + "9" * 30])
async def test_a_cursor_of_somebody_else_is_the_start(server, cursor):
    async with imap() as box, opened(config(server, inbox=mailbox(box))) as connector:
        box.put(answer("desk@hub.example"))
        assert (await connector.collect(cursor)).cursor == "7:1"
