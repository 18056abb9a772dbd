# SPDX-License-Identifier: Apache-2.0
"""Mail beyond the kit's rules: real dialogues, answers without loops, whose word counts."""

import asyncio
import contextlib
import smtplib
import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import ValidationError
from wasl_intake.channels import mail, mime
from wasl_intake.channels.conformance import SENDER, TEXT, receipts
from wasl_intake.channels.contract import Delivery, Inbound
from wasl_intake.domain import receipt

WHO = f"{SENDER}@sender.test"
HUB = "report@hub.test"


@pytest.fixture
def world(world_of: Any) -> Any:
    return world_of("mail", authserv_id="mx.hub.test")


def delivered(raw: str, sender: str = WHO) -> Delivery:
    return Delivery(raw.replace("\n", "\r\n").encode(), {"mail-from": sender, "rcpt-to": HUB})


def read(world: Any, raw: str, sender: str = WHO) -> Inbound:
    (one,) = world.adapter.parse(delivered(raw, sender))
    assert isinstance(one, Inbound)
    return one


HEAD = f"From: Somebody <{WHO}>\nMessage-ID: <1@sender.test>\n"


# -- the answer --------------------------------------------------------------------------------------


async def test_the_answer_is_a_receipt_and_nothing_else(world: Any, sink: Any) -> None:
    p = world.provider
    await world.deliver(p.delivery(p.message(1, "quelqu'un me menace sur https://example.org/p/1")))
    ((envelope_from, to, answer),) = sink.mails
    assert (envelope_from or "<>", to) == ("<>", WHO)
    assert answer["From"].addresses[0].addr_spec == HUB
    assert answer["Subject"] == "Vous avez une réponse"
    assert answer["Auto-Submitted"] == "auto-replied"
    assert answer["X-Auto-Response-Suppress"] == "All"
    assert answer["In-Reply-To"] == answer["References"] == "<mail-0001@sender.test>"
    assert answer["Content-Language"] == "fr"
    assert not answer.is_multipart()
    text = answer.get_content()
    for said in ("example.org", "menace", "portal.test", "19", "signal"):
        assert said not in text.replace(receipts(world)[0], "")
    assert len(receipt.find(text)) == 2


async def test_a_repeated_answer_has_the_same_id(world: Any, sink: Any) -> None:
    p = world.provider
    for _ in range(2):
        await world.deliver(p.delivery(p.message(1, TEXT)))
        world.restart()
    first, second = (m["Message-ID"] for _, _, m in sink.mails)
    assert first == second
    assert SENDER not in first


async def test_dropped_files_are_told(world: Any, sink: Any) -> None:
    p = world.provider
    await world.deliver(p.delivery(p.message(1, TEXT, media=2)))
    assert "2 files came with your message" in sink.mails[0][2].get_content()


async def test_no_header_can_be_slipped_in(world: Any, sink: Any) -> None:
    raw = (
        HEAD.replace("<1@", "<1\n X: y@")
        + "References: <a@b>\n Bcc: x <c@d>\n\nsomebody threatens me\n"
    )
    await world.deliver(delivered(raw))
    ((_, to, answer),) = sink.mails
    assert to == WHO
    assert answer["Bcc"] is None
    assert answer["X"] is None


@pytest.mark.parametrize(
    "case",
    [
        (WHO, WHO, "", True),
        (WHO, WHO.upper(), "", True),
        ("bounce+1@sender.test", WHO, "", False),
        (WHO, "else@sender.test", "", False),
        (WHO, WHO, "Authentication-Results: mx.hub.test; dmarc=fail\n", False),
        (WHO, WHO, "Authentication-Results: mx.hub.test; dmarc=pass\n", True),
        ('"a b"@sender.test', '"a b"@sender.test', "", False),
    ],
)
async def test_only_who_wrote_is_answered(
    world: Any, sink: Any, case: tuple[str, str, str, bool]
) -> None:
    envelope, author, headers, answered = case
    raw = f"From: <{author}>\nMessage-ID: <1@sender.test>\n{headers}\nsomebody threatens me\n"
    assert await world.deliver(delivered(raw, envelope)) == "accepted"
    assert len(await world.narratives()) == 1, "it is a report all the same"
    assert len(sink.mails) == answered


async def test_our_own_answer_sent_back_starts_nothing(world: Any, sink: Any) -> None:
    """Whatever of our headers a program keeps."""
    p = world.provider
    await world.deliver(p.delivery(p.message(1, TEXT)))
    ((_, _, answer),) = sink.mails
    back = answer.as_bytes()
    for envelope in ("", HUB, WHO):
        assert (
            await world.deliver(Delivery(back, {"mail-from": envelope, "rcpt-to": HUB}))
            == "accepted"
        )
    assert len(sink.mails) == 1
    assert len(await world.narratives()) == 1


# -- what is read ------------------------------------------------------------------------------------


def test_the_subject_belongs_to_the_text(world: Any) -> None:
    assert read(world, f"{HEAD}Subject: False page\n\nIt uses my name.\n").text == (
        "False page\n\nIt uses my name."
    )
    assert read(world, f"{HEAD}Subject: @fictif_11\n\n").text == "@fictif_11"


def test_a_signature_is_left_out(world: Any) -> None:
    one = read(world, f"{HEAD}\nIt uses my name.\n\n-- \nSomebody Fictif\n0600 000000\n")
    assert one.text == "It uses my name."


def test_forwarded_words_are_kept(world: Any) -> None:
    raw = f"{HEAD}\nHe wrote me this:\n> pay or else\n> https://example.org/p/1\n"
    assert "> pay or else" in read(world, raw).text


async def test_a_reply_to_our_answer_goes_to_its_report(world: Any, sink: Any) -> None:
    p = world.provider
    await world.deliver(p.delivery(p.message(1, TEXT)))
    ((_, _, answer),) = sink.mails
    quoted = "\n".join(f"> {x}" for x in answer.get_content().splitlines())
    head = f"From: <{WHO}>\nMessage-ID: <2@sender.test>\nIn-Reply-To: {answer['Message-ID']}\n"
    head += f"Subject: Re: {answer['Subject']}\nContent-Type: text/plain; charset=utf-8\n"
    raw = f"{head}\nHe wrote again.\n\nOn Monday, Message service wrote:\n{quoted}\n"
    assert await world.deliver(delivered(raw)) == "accepted"
    assert await world.added() == ["He wrote again."]
    assert len(await world.narratives()) == 1


async def test_an_empty_reply_asks_for_the_status(world: Any, sink: Any) -> None:
    p = world.provider
    await world.deliver(p.delivery(p.message(1, TEXT)))
    quoted = "\n".join(f"> {x}" for x in sink.mails[0][2].get_content().splitlines())
    head = f"From: <{WHO}>\nMessage-ID: <2@sender.test>\nIn-Reply-To: <1@hub.test>\n"
    await world.deliver(delivered(f"{head}Content-Type: text/plain; charset=utf-8\n\n{quoted}\n"))
    assert await world.added() == []
    assert receipt.find(sink.mails[1][2].get_content()) == []


def test_the_same_mail_is_known_by_its_id_or_its_text(world: Any) -> None:
    first = read(world, f"{HEAD}\nsomebody threatens me\n")
    assert (
        read(world, f"{HEAD}X-Trace: 2\n\nsomebody threatens me\n").message_id == first.message_id
    )
    bare = f"From: <{WHO}>\nDate: Mon, 05 Jan 2026 09:00:00 +0100\n\n"
    one, other = read(world, f"{bare}one text\n"), read(world, f"{bare}other text\n")
    assert one.message_id != other.message_id
    assert one.message_id == read(world, f"{bare}one text\n").message_id


async def test_a_copy_of_anothers_mail_is_not_answered_with_their_receipt(
    world: Any, sink: Any
) -> None:
    text = "Message-ID: <1@sender.test>\n\nsomebody threatens me every day\n"
    for who in (WHO, "other@elsewhere.test"):
        await world.deliver(delivered(f"From: <{who}>\n{text}", who))
        world.restart()
    (_, to, mine), (_, whom, theirs) = sink.mails
    assert (to, whom) == (WHO, "other@elsewhere.test")
    first, second = (
        {receipt.read(m.get_content()[a:b]) for a, b in receipt.find(m.get_content())}
        for m in (mine, theirs)
    )
    assert first
    assert second
    assert not first & second


async def test_another_persons_mail_cannot_join_a_thread(world: Any) -> None:
    """Anybody can write anybody's name into From; only a checked sender is one conversation."""

    def by(number: int, verdict: str) -> Delivery:
        return delivered(
            f"From: <{WHO}>\nMessage-ID: <{number}@sender.test>\n"
            f"Authentication-Results: mx.hub.test; dmarc={verdict}\n\nmessage number {number}\n"
        )

    for number, verdict in enumerate(("pass", "none", "fail", "pass")):
        assert await world.deliver(by(number, verdict)) == "accepted"
    assert await world.added() == ["message number 3"]
    assert len(await world.narratives()) == 3


# -- whose word counts -------------------------------------------------------------------------------

OWN = "Authentication-Results: mx.hub.test;"


@pytest.mark.parametrize(
    ("headers", "verdict"),
    [
        ("", "none"),
        (f"{OWN} none\n", "none"),
        (f"{OWN} dmarc=pass header.from=sender.test\n", "pass"),
        (f"{OWN} dmarc=fail (p=reject) header.from=sender.test; spf=pass smtp.mailfrom=sender.test\n", "fail"),
        (f"{OWN} dkim=pass header.d=sender.test\n", "pass"),
        (f"{OWN} dkim=pass (2048-bit; key) header.d=sender.test header.s=x\n", "pass"),
        (f"{OWN} dkim=pass header.d=other.test\n", "none"),
        (f"{OWN} spf=pass smtp.mailfrom=x@sender.test\n", "pass"),
        (f"{OWN} spf=softfail smtp.mailfrom=sender.test; dkim=none\n", "none"),
        (f"{OWN} spf=fail smtp.mailfrom=sender.test\n", "fail"),
        (f"{OWN} dkim=fail header.d=sender.test; spf=pass smtp.mailfrom=sender.test\n", "pass"),
        ("Authentication-Results: mx.hub.test 1; dmarc=pass\n", "pass"),
        ("Authentication-Results: MX.HUB.TEST; dmarc=pass\n", "pass"),
        ("Authentication-Results: mx.evil.test; dmarc=pass\n", "none"),
        ("Authentication-Results: (mx.hub.test) mx.evil.test; dmarc=pass\n", "none"),
        (f"{OWN} dmarc=fail\n{OWN} dmarc=pass\n", "fail"),
        (f"Authentication-Results: mx.evil.test; dmarc=pass\n{OWN} dmarc=fail\n", "fail"),
        ("Authentication-Results:\n", "none"),
        (f"{OWN} ;;; =; dmarc\n", "none"),
        (f"{OWN} {'(' * 900} dmarc=pass\n", "none"),
    ],
)  # fmt: skip
def test_the_verdict(world: Any, headers: str, verdict: str) -> None:
    assert read(world, f"{HEAD}{headers}\nx\n").verdict == verdict


def test_without_a_name_nobodys_word_counts(world_of: Any) -> None:
    raw = f"{HEAD}{OWN} dmarc=pass\n\nx\n"
    assert read(world_of("mail"), raw).verdict == "none"
    assert mail.authenticity(mime.read(raw.encode()), None, WHO) == "none"


# -- dialogues ---------------------------------------------------------------------------------------


class Running:
    """The server of a world, for a dialogue by hand."""

    def __init__(self, world: Any) -> None:
        self.world = world
        config = world.adapter._config
        door = mail.Door(world.adapter, config, world.desk, world.measured)
        self.server = mail.MailServer(config, door)

    async def __aenter__(self) -> int:
        return await self.server.start("127.0.0.1", 0)

    async def __aexit__(self, *_: object) -> None:
        await self.server.close(5)


async def in_thread(dialogue: Any) -> Any:
    return await asyncio.to_thread(dialogue)


async def test_smtp_and_lmtp(world_of: Any, sink: Any) -> None:
    world = world_of("mail", protocol="smtp")
    world.client = smtplib.SMTP
    p = world.provider
    assert await world.deliver(p.delivery(p.message(1, TEXT))) == "accepted"
    assert len(receipts(world)) == 1

    async with Running(world) as port:

        def lmtp() -> int:
            with smtplib.LMTP("127.0.0.1", port) as client:
                return client.docmd("LHLO", "x")[0]

        assert await in_thread(lmtp) == 500


async def test_over_a_unix_socket(world_of: Any, tmp_path: Path) -> None:
    path = tmp_path / "lmtp.sock"
    world = world_of("mail", socket=str(path))
    given = world.provider.message(1, TEXT)

    def dialogue() -> Any:
        with smtplib.LMTP(str(path)) as client:
            return client.sendmail(WHO, [HUB], given.body)

    async with Running(world):
        assert await in_thread(dialogue) == {}
    assert len(await world.narratives()) == 1


async def test_what_it_offers_and_refuses(world_of: Any) -> None:
    world = world_of("mail", protocol="smtp", hostname="in.hub.test")

    def dialogue(port: int) -> None:
        with smtplib.SMTP("127.0.0.1", port) as client:
            code, greeting = client.ehlo("sender.test")
            assert code == 250
            assert b"in.hub.test" in greeting
            assert b"SIZE 65536" in greeting
            assert b"AUTH" not in greeting
            assert client.docmd("AUTH PLAIN AGEAYg==")[0] >= 500
            assert client.mail(WHO)[0] == 250
            assert client.rcpt("somebody@elsewhere.test")[0] == 550
            assert client.rcpt("postmaster@hub.test")[0] == 550
            assert client.rcpt(HUB.upper())[0] == 250
            assert client.rcpt(HUB)[0] == 452  # one recipient at a time
            client.rset()
            assert client.docmd("MAIL FROM:<a@sender.test> SIZE=999999")[0] == 552
            assert client.docmd("MAIL FROM:<a@sender.test> SMTPUTF8")[0] >= 500
            assert client.docmd("VRFY", HUB)[0] in (252, 502)
            assert client.docmd("EXPN", "list")[0] == 502

    async with Running(world) as port:
        await in_thread(lambda: dialogue(port))


async def test_too_large_without_saying_so(world: Any) -> None:
    async with Running(world) as port:

        def dialogue() -> tuple[int, bytes]:
            with smtplib.LMTP("127.0.0.1", port) as client:
                client.ehlo_or_helo_if_needed()
                client.mail(WHO)
                client.rcpt(HUB)
                return client.data(b"From: x\r\n\r\n" + (b"x" * 900 + b"\r\n") * 100)

        assert (await in_thread(dialogue))[0] == 552
    assert world.reports() == []


async def test_lines_without_end_are_cut_off(world: Any) -> None:
    """Each line costs the server many times its length."""
    async with Running(world) as port:

        def dialogue() -> None:
            commands = ("LHLO x", f"MAIL FROM:<{WHO}>", f"RCPT TO:<{HUB}>", "DATA")
            with socket.create_connection(("127.0.0.1", port), timeout=20) as line:
                file = line.makefile("rb")
                file.readline()
                for command in commands:
                    line.sendall(f"{command}\r\n".encode())
                    while file.readline()[3:4] == b"-":
                        pass
                for _ in range(60):
                    line.sendall(b"\r\n" * 1_000)
                line.sendall(b".\r\n")
                while file.readline():  # until it is closed
                    pass

        with contextlib.suppress(ConnectionError):
            await in_thread(dialogue)
        assert (
            world.measured.value("wasl_channel_deliveries_total", channel="mail", result="accepted")
            == 0
        )
    assert world.reports() == []


async def test_bodies_at_the_same_time_are_bounded(world: Any) -> None:
    async with Running(world) as port:

        def begin() -> tuple[smtplib.LMTP, int]:
            client = smtplib.LMTP("127.0.0.1", port)
            client.ehlo_or_helo_if_needed()
            client.mail(WHO)
            client.rcpt(HUB)
            return client, client.docmd("DATA")[0]

        begun = [await in_thread(begin) for _ in range(mail.AT_ONCE + 1)]
        assert [code for _, code in begun] == [354] * mail.AT_ONCE + [451]
        for client, _ in begun:
            client.close()


async def test_a_smuggled_message_is_one_message(world: Any) -> None:
    """A lone LF around the dot ends nothing (CVE-2023-51764 and its kin)."""
    inside = (
        b"MAIL FROM:<x@evil.test>\r\nRCPT TO:<%s>\r\nDATA\r\nFrom: x@evil.test\r\n\r\nsecond\r\n"
        % HUB.encode()
    )
    for end in (b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r"):
        async with Running(world) as port:

            def dialogue(end: bytes = end, port: int = port) -> None:
                with smtplib.LMTP("127.0.0.1", port) as client:
                    client.ehlo_or_helo_if_needed()
                    client.mail(WHO)
                    client.rcpt(HUB)
                    client.docmd("DATA")
                    client.send(
                        b"From: <%s>\r\n\r\nfirst words" % WHO.encode() + end + inside + b".\r\n"
                    )
                    client.getreply()

            await in_thread(dialogue)
    assert all("first words" in n for n in await world.narratives())


def certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "in.hub.test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    chain, private = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return chain, private


async def test_starttls(world_of: Any, tmp_path: Path) -> None:
    chain, private = certificate(tmp_path)
    world = world_of("mail", protocol="smtp", certificate=str(chain), key=str(private))
    given = world.provider.message(1, TEXT)
    context = ssl.create_default_context(cafile=str(chain))
    context.check_hostname = False

    async with Running(world) as port:

        def dialogue() -> Any:
            with smtplib.SMTP("127.0.0.1", port) as client:
                assert client.starttls(context=context)[0] == 220
                client.ehlo()
                assert not client.has_extn("auth")
                return client.sendmail(WHO, [HUB], given.body)

        assert await in_thread(dialogue) == {}
    assert len(await world.narratives()) == 1


# -- settings ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"addresses": []},
        {"addresses": ["not an address"]},
        {"addresses": ["a@b\r\nRCPT TO:<c@d>"]},
        {"certificate": "/x"},
        {"submission": {"host": "h", "user": "u"}},
        {"submission": {"host": "h", "user": "u", "password": "p", "starttls": "offered"}},
        {"unknown": 1},
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        mail.Config.model_validate({"addresses": [HUB], "submission": {"host": "h"}, **wrong})
