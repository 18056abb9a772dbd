# SPDX-License-Identifier: Apache-2.0
"""From the ledger over SMTP to a desk, and back over IMAP into the ledger; real sockets."""

from datetime import timedelta
from email import policy
from email.message import EmailMessage
from types import SimpleNamespace

import pytest
from fakes._opened import submission
from fakes.mail import PASSWORD, USER, FakeImap, imap, relay
from wasl_connector_sdk import Reminder
from wasl_platform_gateway.connectors.email import EmailConnector

SAID = "CANARY-REPLY: we removed it."
DATABASE = RuntimeError("the process dies before the answers are stored")


def config(server, box):
    here = {"host": "127.0.0.1", "username": USER, "password": PASSWORD, "timeout": 20}
    return EmailConnector.Config.model_validate(
        {
            "live": True,
            "partners": {"acme": {"address": "abuse@acme.example"}},
            "smtp": {**here, "port": server.port, "ca": server.ca},
            "inbox": {**here, "port": box.port, "tls": "none"},
            "sender": "hub@hub.example",
            "desk": "desk@hub.example",
            "token_secret": "token-secret-0123456789-0123456789",
        }
    )


@pytest.fixture
async def desk(kit):
    """A gateway, the relay its mails reach, and the mailbox their answers come to."""
    with relay() as server:
        async with imap(FakeImap()) as box:
            given = config(server, box)
            opened = []

            def gateway(hub=None):
                opened.append(kit.Gateway(EmailConnector, config=given, hub=hub, timeout=60.0))
                return opened[-1]

            yield SimpleNamespace(gateway=gateway, relay=server, box=box, hub=kit.Hub)
            for one in opened:
                await one.door.close()


def reply(to, text=SAID, message_id="<1@acme.example>", **headers):
    """As a mail program answers: to Reply-To, in the thread."""
    mail = EmailMessage(policy=policy.SMTP.clone(max_line_length=998))
    mail["From"], mail["To"], mail["Message-ID"] = "desk@acme.example", to["Reply-To"], message_id
    mail["Subject"] = f"Re: {to['Subject']}"
    mail["In-Reply-To"] = to["Message-ID"]
    mail["References"] = " ".join([*(to["References"] or "").split(), to["Message-ID"]])
    for name, value in headers.items():
        mail[name.replace("_", "-")] = value
    mail.set_content(text)
    return bytes(mail)


def bounce(envelope, raw):
    """RFC 3464, from the mail system the relay could not reach."""
    sender, _ = envelope
    head = raw.partition(b"\r\n\r\n")[0]
    return (
        f"From: MAILER-DAEMON@mx.example\r\nTo: {sender}\r\nMessage-ID: <b@mx.example>\r\n"
        "Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\r\n\r\n'
        "--b\r\nContent-Type: text/plain\r\n\r\nNo such user.\r\n"
        "--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example\r\n\r\n"
        "Final-Recipient: rfc822; abuse@acme.example\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n"
        "--b\r\nContent-Type: text/rfc822-headers\r\n\r\n"
    ).encode() + head + b"\r\n\r\n--b--\r\n"  # fmt: skip


async def sent(desk, *numbers):
    gateway = desk.gateway()
    await gateway.request(*numbers)
    await gateway.run()
    assert {gateway.row(n).state for n in numbers} == {"sent"}
    return gateway


def course(row):
    """A row but for the news that there are words to read: state, reminders, waits, reference."""
    told = {"version": 0, "change": None, "changed_at": None}
    return row.model_copy(update=told).model_dump()


async def replies(gateway, number):
    sheet = await gateway.desk.sheet(f"dispatch-{number:04}")
    return [text.strip() for _, text in sheet.replies]


async def test_a_reply_reaches_its_dispatch_once_and_sealed(desk):
    gateway = await sent(desk, 1)
    (mail,) = desk.relay.mails
    desk.box.put(reply(mail))
    assert await gateway.answers.collect() is False
    row = gateway.row(1)
    assert (row.state, row.reference) == ("acknowledged", mail["Reply-To"][5:29])
    assert await replies(gateway, 1) == [SAID]
    assert "CANARY-REPLY" not in repr(gateway.store.docs)
    assert gateway.told(1) == ["sent", "acknowledged"]

    desk.box.put(reply(mail))  # delivered twice
    await gateway.answers.collect()
    await gateway.answers.collect()
    assert gateway.row(1) == row
    assert await replies(gateway, 1) == [SAID]
    assert gateway.told(1) == ["sent", "acknowledged"]
    await gateway.run()
    assert len(desk.relay.raw) == 1


async def test_a_bounce_ends_its_dispatch_and_no_other(desk):
    gateway = await sent(desk, 1)
    await gateway.request(2)
    await gateway.run()
    desk.box.put(bounce(desk.relay.sent[1], desk.relay.raw[1]))
    await gateway.answers.collect()
    assert (gateway.row(2).state, gateway.row(2).reason) == ("refused", "undeliverable")
    assert gateway.row(1).state == "sent"
    assert await replies(gateway, 2) == ["No such user."]


async def test_an_out_of_office_is_kept_and_changes_nothing(desk):
    gateway = await sent(desk, 1)
    before = course(gateway.row(1))
    desk.box.put(reply(desk.relay.mails[0], "Back on Monday.", Auto_Submitted="auto-replied"))
    await gateway.answers.collect()
    assert course(gateway.row(1)) == before
    assert await replies(gateway, 1) == ["Back on Monday."]

    desk.box.put(reply(desk.relay.mails[0], message_id="<2@acme.example>"))
    await gateway.answers.collect()
    assert gateway.row(1).state == "acknowledged"


async def test_what_was_read_and_not_stored_is_read_again(desk):
    gateway = await sent(desk, 1)
    desk.box.put(reply(desk.relay.mails[0]))
    gateway.hub.trouble = [DATABASE]
    with pytest.raises(RuntimeError):
        await gateway.answers.collect()
    assert gateway.row(1).state == "sent"

    other = desk.gateway(desk.hub(gateway.store, gateway.clock))
    other.clock.advance(timedelta(minutes=1))  # until nobody holds the mailbox any more
    await other.answers.collect()
    assert other.row(1).state == "acknowledged"
    assert await replies(other, 1) == [SAID]
    fetched = [c for c in desk.box.commands if "FETCH" in c]
    await other.answers.collect()
    assert [c for c in desk.box.commands if "FETCH" in c] == fetched
    assert other.told(1) == ["sent", "acknowledged"]


async def test_requests_that_leave_together_are_answered_together_or_one_by_one(desk):
    gateway = await sent(desk, 1, 2, 3)
    (mail,) = desk.relay.mails
    assert len({gateway.row(n).reference for n in (1, 2, 3)}) == 3
    second = gateway.row(2).reference
    desk.box.put(reply(mail, f"About {second}: gone."))
    await gateway.answers.collect()
    assert [gateway.row(n).state for n in (1, 2, 3)] == ["sent", "acknowledged", "sent"]
    desk.box.put(reply(mail, "All are gone.", "<2@acme.example>"))
    await gateway.answers.collect()
    assert {gateway.row(n).state for n in (1, 2, 3)} == {"acknowledged"}
    assert await replies(gateway, 1) == ["All are gone."]
    assert len(await replies(gateway, 2)) == 2


async def test_a_bounce_of_a_group_ends_all_of_it(desk):
    gateway = await sent(desk, 1, 2)
    desk.box.put(bounce(desk.relay.sent[0], desk.relay.raw[0]))
    await gateway.answers.collect()
    assert {gateway.row(n).state for n in (1, 2)} == {"refused"}


async def test_an_answer_settles_a_mail_nobody_knew_had_left(desk):
    gateway = desk.gateway()
    desk.relay.data.append("drop")
    await gateway.request(1, 2)
    await gateway.run()
    assert {gateway.row(n).state for n in (1, 2)} == {"ambiguous"}
    desk.box.put(reply(desk.relay.mails[0]))
    await gateway.answers.collect()
    assert {gateway.row(n).state for n in (1, 2)} == {"acknowledged"}
    assert gateway.row(2).reference in desk.relay.mails[0].get_content()


async def test_an_undeliverable_reminder_refuses_nothing(desk):
    gateway = await sent(desk, 1)
    row = gateway.row(1)
    connector = await gateway.door.connector()
    about = submission(row.dispatch_id)
    await connector.remind(
        Reminder(submission=about, reference=row.reference, number=1, sent_at=row.sent_at)
    )
    desk.box.put(bounce(desk.relay.sent[1], desk.relay.raw[1]))
    await gateway.answers.collect()
    assert course(gateway.row(1)) == course(row)
    assert await replies(gateway, 1) == ["No such user."]


async def test_a_correction_and_a_withdrawal_reach_the_desk_in_the_thread(desk):
    gateway = await sent(desk, 1)
    await gateway.request(1, revision=1)
    await gateway.run()
    await gateway.request(1, revision=2, withdrawn="mistake")
    await gateway.run()
    request, corrected, withdrawn = desk.relay.mails
    assert corrected["In-Reply-To"] == request["Message-ID"]
    assert "(revision 1)" in corrected.get_content()
    assert "We take back our request" in withdrawn.get_content()
    assert {mail["Reply-To"] for mail in desk.relay.mails} == {request["Reply-To"]}
    assert len(desk.relay.reports) == 1
    assert gateway.row(1).state == "withdrawn"
