# SPDX-License-Identifier: Apache-2.0
"""Mail against a real SMTP server: what arrives, what does not, and what a crash leaves behind."""

import asyncio
import datetime as dt
import ipaddress
import ssl

import pytest
from aiosmtpd.smtp import AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from wasl_chassis.failures import Retryable
from wasl_notify.domain.mail import compose, usable
from wasl_notify.outside import Attempt, ChannelAway, Result
from wasl_notify.outside.relay import Relay, RelayConfig
from wasl_notify.sending import gauges
from wasl_schemas import topics
from wasl_schemas.lifecycle import NotificationState

CASE, REPORT = "case-aaaaaaaa", "report-mail-01"


def relay_to(box, **changes):
    config = {"starttls": "never", "sender": "info@example.org", "timeout": 10, **changes}
    return Relay(RelayConfig("127.0.0.1", box.port, **config))


async def with_news(world, address="one@example.org", report=REPORT, language="fr"):
    await world.feed(await world.submitted(report, address, language=language))
    await world.feed(world.opened(f"{CASE}-{report}", report))
    await world.feed(world.updated(f"{CASE}-{report}", 2, "decided"))
    await world.join()
    world.advance(seconds=31)


def result(world, name, template="news"):
    return world.metrics.value(
        "wasl_notify_messages_total", channel="email", template=template, result=name
    )


@pytest.mark.parametrize("language", ["ar", "fr", "en", "ary-Latn", "zgh", "und"])
async def test_what_arrives(world, smtp, canary, language, caplog):
    caplog.set_level("DEBUG")
    box = smtp()
    await with_news(world, language=language)
    await world.mailing(relay_to(box)).turn()
    (mail,) = box.mail
    pack = world.pack
    assert box.raw[0].isascii()
    assert str(mail["Subject"]) == pack.text(language, "notification_subject")
    assert mail.get_content().strip() == pack.text(language, "notification_body")
    (sender,) = mail["From"].addresses
    assert sender.addr_spec == "info@example.org"
    assert sender.display_name == pack.text(language, "notification_sender")
    assert mail["To"] == "one@example.org"
    assert mail["Content-Language"] == pack.language_for(language)
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Message-ID"] == f"<{world.notifications[0].notification_id}@example.org>"
    assert mail.get_content_type() == "text/plain"
    assert not mail.is_multipart()
    text = mail.as_string() + mail.get_content() + str(mail["Subject"])
    for word in (*canary, CASE, REPORT, "http", "tiktok"):
        assert word not in text
    # The log and all that is kept, emitted or measured know neither the address nor the report.
    ours = [r.getMessage() for r in caplog.records if not r.name.startswith("mail.log")]
    for word in (*canary[:2], *canary[3:], "one@example.org"):
        assert word not in world.everything() + " ".join(ours)
    assert result(world, "sent") == 1
    (said,) = world.emitted(topics.NOTIFICATION_UPDATED_V1)
    assert (said["state"], said["report_id"], said["version"]) == ("sent", REPORT, 1)


async def test_a_message_of_staff_is_announced_as_one(world, smtp):
    box = smtp()
    await world.feed(await world.submitted(REPORT, "one@example.org", language="ar"))
    await world.feed(await world.message(CASE, REPORT, "message-aaaa"))
    await world.join()
    world.advance(seconds=31)
    await world.mailing(relay_to(box)).turn()
    assert str(box.mail[0]["Subject"]) == world.pack.text("ar", "notification_message_subject")


async def test_ten_causes_are_one_mail_and_the_next_waits(world, smtp):
    box = smtp()
    mailing = world.mailing(relay_to(box))
    await with_news(world)
    case = f"{CASE}-{REPORT}"
    await world.feed(*(world.updated(case, n, "decided") for n in range(3, 12)))
    await world.join()
    await mailing.turn()
    assert len(box.raw) == 1
    await world.feed(world.dispatched(case, "dispatch-aaaa", "removed"))
    await world.join()
    for _ in range(14):
        await mailing.turn()
        world.advance(minutes=1)
    assert len(box.raw) == 1
    world.advance(minutes=2)
    await mailing.turn()
    assert len(box.raw) == 2
    assert len({m["Message-ID"] for m in box.mail}) == 2


async def test_news_during_the_sending_is_another_mail(world, memory_relay):
    relay = memory_relay(world.clock)
    mailing, send = world.mailing(relay), relay.send
    await with_news(world)

    async def meanwhile(message, to):
        relay.send = send
        await world.feed(world.updated(f"{CASE}-{REPORT}", 3, "outcome"))
        await world.join()
        return await send(message, to)

    relay.send = meanwhile
    await mailing.turn()
    assert len(relay.mail) == 1
    world.advance(minutes=16)
    await mailing.turn()
    assert len({message_id for _, _, message_id in relay.mail}) == 2


async def test_a_cause_told_before_is_not_told_again(world, memory_relay):
    relay = memory_relay(world.clock)
    mailing = world.mailing(relay)
    await with_news(world)
    await mailing.turn()
    await world.feed(world.updated(f"{CASE}-{REPORT}", 2, "decided"))
    await world.join()
    world.advance(days=1)
    await mailing.turn()
    assert (len(world.notifications), len(relay.mail)) == (1, 1)


async def test_a_message_that_failed_takes_in_no_news(world, memory_relay):
    relay = memory_relay(world.clock)
    await with_news(world, address="no address")
    await world.mailing(relay).turn()
    await world.feed(world.updated(f"{CASE}-{REPORT}", 3, "outcome"))
    await world.join()
    assert [n.state.value for n in world.notifications] == ["failed", "pending"]


async def test_deferred_is_tried_again_as_the_same_mail(world, smtp):
    box = smtp()
    box.script = ["451 later", "452 full"]
    mailing = world.mailing(relay_to(box))
    await with_news(world)
    await mailing.turn()
    assert box.raw == []
    (message,) = world.notifications
    assert (message.attempts, message.reason, message.sending_since) == (1, "deferred", None)
    await mailing.turn()
    assert world.notifications[0].attempts == 1
    # What happens meanwhile travels with it.
    await world.feed(world.updated(f"{CASE}-{REPORT}", 3, "outcome"))
    await world.join()
    assert len(world.notifications) == 1
    world.advance(minutes=2)
    await mailing.turn()
    world.advance(minutes=6)
    await mailing.turn()
    assert [m["Message-ID"] for m in box.mail] == [f"<{message.notification_id}@example.org>"]
    assert world.notifications[0].state is NotificationState.SENT
    assert (result(world, "deferred"), result(world, "sent")) == (2, 1)


async def test_deferred_for_ever_is_given_up_and_visible(world, memory_relay):
    relay = memory_relay(world.clock)
    relay.script = [Attempt(Result.DEFERRED, "deferred")] * 20
    mailing = world.mailing(relay)
    await with_news(world)
    for _ in range(12):
        await mailing.turn()
        world.advance(days=2)
    (message,) = world.notifications
    assert (message.state, message.reason) == (NotificationState.FAILED, "gave_up")
    assert message.attempts == 8
    assert world.metrics.value("wasl_notify_not_sent_total", reason="gave_up") == 1


async def test_refused_fails_and_the_others_go_out(world, smtp):
    box = smtp()
    box.rcpt_script = ["550 no such user"]
    await with_news(world)
    world.advance(seconds=1)
    await with_news(world, address="two@example.org", report="report-mail-02")
    await world.mailing(relay_to(box)).turn()
    states = {n.report_id: (n.state.value, n.reason) for n in world.notifications}
    assert states == {REPORT: ("failed", "refused"), "report-mail-02": ("sent", None)}
    assert box.rcpt == ["two@example.org"]
    said = world.emitted(topics.NOTIFICATION_UPDATED_V1)
    assert {(s["state"], s.get("reason")) for s in said} == {("failed", "refused"), ("sent", None)}


async def test_slow_relay_is_ambiguous_and_repeated_under_the_same_id(world, smtp):
    box = smtp()
    box.delay = 3.0
    await with_news(world)
    await world.mailing(relay_to(box, timeout=1)).turn()
    (message,) = world.notifications
    assert message.reason == "connection_lost"
    assert message.sending_since is not None
    box.delay = 0
    world.advance(minutes=2)
    await world.mailing(relay_to(box)).turn()
    assert {m["Message-ID"] for m in box.mail} == {f"<{message.notification_id}@example.org>"}
    assert result(world, "ambiguous") == 1
    assert world.notifications[0].state is NotificationState.SENT


async def test_line_cut_after_acceptance(world, smtp):
    box = smtp()
    box.script = ["drop"]
    await with_news(world)
    await with_news(world, address="two@example.org", report="report-mail-02")
    mailing = world.mailing(relay_to(box))
    await mailing.turn()
    assert len(box.raw) == 1
    # The other message was given back untouched and goes out over a new session.
    await mailing.turn()
    assert box.rcpt == ["one@example.org", "two@example.org"]
    world.advance(minutes=2)
    await mailing.turn()
    ids = [m["Message-ID"] for m in box.mail]
    assert (len(ids), len(set(ids)), ids[0]) == (3, 2, ids[2])


async def test_relay_away_touches_no_message_and_recovers(world, smtp):
    box = smtp()
    box.stop()
    await with_news(world)
    mailing = world.mailing(relay_to(box))
    before = world.notifications
    for _ in range(5):
        await mailing.turn()
    assert world.notifications == before
    assert world.metrics.value("wasl_notify_mail_relay_up") == 0
    assert mailing._breaker.failures == 1
    back = smtp()
    mailing._relay = relay_to(back)
    await mailing.turn()
    assert back.raw == []
    world.advance(seconds=6)
    await mailing.turn()
    assert len(back.raw) == 1
    assert world.metrics.value("wasl_notify_mail_relay_up") == 1


@pytest.mark.filterwarnings("ignore:Requiring AUTH")
async def test_rejected_credentials_and_senders_wait_for_the_operator(world, smtp):
    def refuse(server, session, envelope, mechanism, data):
        return AuthResult(success=False, handled=False)

    box = smtp(authenticator=refuse, auth_require_tls=False, auth_required=True)
    await with_news(world)
    mailing = world.mailing(relay_to(box, user="hub", password="wrong"))
    with pytest.raises(ChannelAway, match="credentials_rejected"):
        async with mailing._relay.session():
            pass
    before = world.notifications
    await mailing.turn()
    assert world.notifications == before
    sender = smtp()
    sender.mail_script = ["550 not your address"]
    world.advance(seconds=6)
    mailing._relay = relay_to(sender)
    await mailing.turn()
    (message,) = world.notifications
    assert (message.state, message.attempts) == (NotificationState.PENDING, 0)
    world.advance(seconds=11)
    await mailing.turn()
    assert len(sender.raw) == 1


def certificate(tmp_path):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "relay.pem"
    pem.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + cert.public_bytes(serialization.Encoding.PEM)
    )
    return pem


async def test_starttls(world, smtp, tmp_path):
    pem = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    plain, secure = smtp(), smtp(tls_context=context, require_starttls=True)
    await with_news(world)
    mailing = world.mailing(relay_to(plain, starttls="required"))
    with pytest.raises(ChannelAway, match="no_starttls"):
        async with mailing._relay.session():
            pass
    await mailing.turn()
    assert plain.raw == []
    assert world.notifications[0].attempts == 0
    # A certificate nobody vouches for is as good as no encryption.
    for relay, taken in (
        (relay_to(secure, starttls="required"), 0),
        (relay_to(secure, starttls="required", ca=pem), 1),
    ):
        world.advance(minutes=6)
        mailing._relay = relay
        await mailing.turn()
        assert len(secure.raw) == taken
    # "offered" takes what there is.
    await with_news(world, report="report-mail-02")
    mailing._relay = relay_to(plain, starttls="offered")
    await mailing.turn()
    assert len(plain.raw) == 1


async def test_withdrawn_before_it_leaves(world, smtp):
    box = smtp()
    await with_news(world)
    await world.feed(world.withdrawn(REPORT))
    await world.mailing(relay_to(box)).turn()
    assert box.raw == []
    assert world.notifications[0].reason == "withdrawn"
    assert world.metrics.value("wasl_notify_not_sent_total", reason="withdrawn") == 1
    assert world.reporters[REPORT].address is None


async def test_erased_key_is_an_end_and_not_a_crash(world, smtp):
    box = smtp()
    await with_news(world)
    await with_news(world, address="two@example.org", report="report-mail-02")
    await world.destroy(REPORT)
    await world.mailing(relay_to(box)).turn()
    assert box.rcpt == ["two@example.org"]
    assert world.metrics.value("wasl_notify_not_sent_total", reason="erased") == 1


async def test_crash_before_the_relay_is_called(world, smtp):
    box = smtp()
    await with_news(world)
    mailing = world.mailing(relay_to(box))

    class Killed(BaseException):
        pass

    async def die(*_):
        raise Killed

    async with mailing._relay.session() as session:
        session.send = die
        with pytest.raises(Killed):
            await mailing._send(session)
    assert world.notifications[0].sending_since is not None
    await mailing.turn()
    assert box.raw == []  # another may still be at it: the lease lives
    world.advance(minutes=6)
    await mailing.turn()
    assert len(box.raw) == 1
    assert result(world, "ambiguous") == 1


async def test_crash_between_acceptance_and_commit(world, smtp):
    box = smtp()
    await with_news(world)
    mailing = world.mailing(relay_to(box))
    commit, calls = world.store.commit, 0

    async def away(changes):
        nonlocal calls
        calls += 1
        if calls == 2:
            raise Retryable("AutoReconnect")
        await commit(changes)

    world.store.commit = away
    with pytest.raises(Retryable):
        await mailing.turn()
    assert len(box.raw) == 1
    world.advance(minutes=6)
    await mailing.turn()
    ids = [m["Message-ID"] for m in box.mail]
    assert (len(ids), len(set(ids))) == (2, 1)
    assert world.notifications[0].state is NotificationState.SENT
    assert len(world.emitted(topics.NOTIFICATION_UPDATED_V1)) == 1


async def test_a_holder_whose_lease_ran_out_does_not_undo_the_next(world, memory_relay):
    relay = memory_relay(world.clock)
    await with_news(world)
    slow, quick = world.mailing(relay), world.mailing(relay)
    send = relay.send

    async def overslept(message, to):
        relay.send = send
        world.advance(minutes=6)
        await quick.turn()
        return Attempt(Result.FAILED, "refused")

    relay.send = overslept
    await slow.turn()
    assert world.notifications[0].state is NotificationState.SENT
    assert len(relay.mail) == 1


async def test_what_is_not_sent_in_this_turn_is_given_back(world, memory_relay):
    relay = memory_relay(world.clock)
    for n in range(4):
        await with_news(world, f"{n}@example.org", f"report-mail-{n:02}")
    await gauges(world)
    assert world.metrics.value("wasl_notify_pending", channel="email") == 4
    mailing, send = world.mailing(relay), relay.send

    async def slow(message, to):
        world.advance(seconds=3)
        return await send(message, to)

    async def last(message, to):
        world.stopping = True
        return await send(message, to)

    relay.send = slow
    assert await mailing.turn()  # more to do, after the loop has shown that it lives
    assert len(relay.mail) == 2
    assert [n.lease for n in world.notifications] == [None] * 4
    relay.send = last
    assert not await mailing.turn()
    assert len(relay.mail) == 3
    assert [n.lease for n in world.notifications] == [None] * 4
    await gauges(world)
    assert world.metrics.value("wasl_notify_pending", channel="email") == 1


async def test_two_replicas_send_one_mail(make_world, yielding_store, smtp):
    for seed in range(5):
        world = make_world(yielding_store(seed))
        box = smtp()
        await with_news(world)
        a, b = world.mailing(relay_to(box)), world.mailing(relay_to(box))
        await asyncio.gather(a.turn(), b.turn(), a.turn(), b.turn())
        assert len(box.raw) == 1


@pytest.mark.parametrize(
    "address",
    [
        "a@example.org\r\nBcc: b@example.org",
        "a@example.org\nDATA",
        "a@example.org>",
        "a@example.org> SIZE=1",
        "<a@example.org>",
        '"a b"@example.org',
        "a@exa mple.org",
        "a b@example.org",
        "a@example.org, b@example.org",
        "a\x00@example.org",
        "a@\x00",
        "a@[127.0.0.1]",
        "a@-example.org",
        "@example.org",
        "a@",
        "",
        "a" * 65 + "@example.org",
        "a@" + "b." * 130 + "org",
        "ا@example.org",
        "a@\u2028example.org",
        "a@example.org\u2028",
        "a.@example.org",
        "..@example.org",
    ],
)
async def test_addresses_that_must_not_reach_smtp(world, smtp, address):
    assert usable(address) is None
    box = smtp()
    await with_news(world, address=address)
    await world.mailing(relay_to(box)).turn()
    assert (box.raw, box.rcpt) == ([], [])
    assert world.notifications[0].reason == "address_invalid"


def test_addresses_people_have():
    assert usable("o'neil+x@mail.example.org") == "o'neil+x@mail.example.org"
    assert usable("a@exämple.org") == "a@xn--exmple-cua.org"
    assert usable("a@موقع.test") == "a@xn--4gbrim.test"


def test_texts_cannot_add_headers():
    mail = compose(
        sender="info@example.org",
        sender_name='x"\r\nBcc: b@example.org',
        to="a@example.org",
        subject="s\r\nX-Evil: 1\u2028y\x00",
        body=".\r\nQUIT\r\n.\n",
        language="fr",
        message_id="m",
        now=dt.datetime(2026, 1, 5, tzinfo=dt.UTC),
    )
    raw = mail.as_bytes()
    assert b"\nBcc" not in raw
    assert b"\nX-Evil" not in raw
    assert str(mail["Subject"]) == "s X-Evil: 1 y"
    assert {h.lower() for h in mail} == {
        "from", "to", "subject", "date", "message-id", "content-language", "auto-submitted",
        "x-auto-response-suppress", "content-type", "content-transfer-encoding", "mime-version",
    }  # fmt: skip
