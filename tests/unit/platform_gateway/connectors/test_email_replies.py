# SPDX-License-Identifier: Apache-2.0
"""Mails as they come back, harmless and hostile: what each says about a request."""

import time
from email import policy
from email.message import EmailMessage

import pytest
from pydantic import SecretStr
from wasl_connector_sdk import Outcome
from wasl_platform_gateway.connectors.email.replies import MAX_MAIL, MAX_REPLY, Desk, read_mail
from wasl_platform_gateway.connectors.email.tokens import Tokens

KEY = "019b8d3c-0000-7000-8000-000000000001"
TOKENS = Tokens(SecretStr("token-secret-0123456789-0123456789"))
DESK = Desk(TOKENS, "desk@hub.example", "hub@hub.example")
TOKEN = TOKENS.of(KEY, "acme")
OURS = TOKENS.message_id(KEY, TOKEN, "hub.example")
HERE = DESK.address(TOKEN)
OTHER = Tokens(SecretStr("another-secret-0123456789-01234567"))
FOREIGN = OTHER.of(KEY, "acme")


def mail(text="We looked at it.", *, to=HERE, **headers):
    made = EmailMessage(policy=policy.SMTP)
    given = {
        "From": "desk@acme.example",
        "To": to,
        "Subject": "Re",
        "Message-ID": "<7@acme.example>",
    }
    for name, value in {**given, **{n.replace("_", "-"): v for n, v in headers.items()}}.items():
        made[name] = value
    made.set_content(text)
    return made


def read(made):
    """The one update, None: nothing."""
    updates = read_mail(bytes(made), DESK)
    assert len(updates) <= 1
    return updates[0] if updates else None


def dsn(action, status, *, to=HERE, returned="message/rfc822", original=OURS, references=""):
    """RFC 3464, as a mail system writes it."""
    thread = f"References: {references}\r\n" if references else ""
    inner = f"Message-ID: {original}\r\n{thread}Subject: x\r\n\r\n"
    body = f"{inner}secret body\r\n" if returned == "message/rfc822" else inner
    return (
        f"From: MAILER-DAEMON@mx.example\r\nTo: {to}\r\nMessage-ID: <b@mx.example>\r\n"
        "Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\r\n\r\n'
        "--b\r\nContent-Type: text/plain\r\n\r\nYour mail.\r\n"
        "--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example\r\n\r\n"
        f"Final-Recipient: rfc822; abuse@acme.example\r\n{action}Status: {status}\r\n\r\n"
        f"--b\r\nContent-Type: {returned}\r\n\r\n{body}\r\n--b--\r\n"
    ).encode()


# -- tokens --


def test_a_token_is_stable_and_only_ours():
    assert TOKENS.of(KEY, "acme") == TOKEN != FOREIGN
    assert TOKENS.genuine(TOKEN)
    assert not TOKENS.genuine(FOREIGN)
    assert len(HERE.partition("@")[0]) <= 64
    odd = "a key\r\n"
    token = TOKENS.of(odd, "acme")
    assert TOKENS.message_id(odd, token, "hub.example") == f"<{token}@hub.example>"


def test_a_token_tells_its_desk():
    partners = ("acme", "other", "third")
    assert [TOKENS.partner_of(TOKENS.of(KEY, p), partners) for p in partners] == list(partners)
    assert TOKENS.partner_of(TOKEN, ("other", "third")) is None
    assert TOKENS.partner_of(TOKEN, ("acme", "acme")) is None
    assert TOKENS.partner_of(FOREIGN, partners) is None
    assert TOKENS.partner_of("", partners) is None


@pytest.mark.parametrize("position", range(24))
def test_one_changed_letter_spoils_a_token(position):
    letter = "b" if TOKEN[position] == "a" else "a"
    forged = TOKEN[:position] + letter + TOKEN[position + 1 :]
    assert read(mail(to=DESK.address(forged))) is None


# -- links --

LINKS = [
    {"to": f"Desk <{HERE}>"},
    {"to": HERE.upper()},
    {"to": "desk@hub.example", "Delivered_To": HERE},
    {"to": "desk@hub.example", "X_Original_To": HERE},
    {"to": "a@acme.example", "Cc": f"b@acme.example, {HERE}"},
    {"to": "desk@hub.example", "In_Reply_To": OURS},
    {"to": "desk@hub.example", "References": f"<a@b.example> {OURS} <c@d.example>"},
    {"to": "desk@hub.example", "Subject": f"RE: Notice [wasl:{TOKEN}]"},
    {"to": "desk@hub.example", "Subject": f"رد: إشعار [wasl:{TOKEN}]"},
]


@pytest.mark.parametrize("headers", LINKS, ids=range(len(LINKS)))
def test_an_answer_is_linked_by(headers):
    update = read(mail(**headers))
    assert (update.reference, update.outcome) == (TOKEN, Outcome.ACKNOWLEDGED)
    assert update.reply == "We looked at it."
    assert update.event_id == "<7@acme.example>"
    assert update.partner is None


def test_an_answer_that_names_our_mail_names_the_key_too():
    assert read(mail(In_Reply_To=OURS)).idempotency_key == KEY
    assert read(mail()).idempotency_key is None
    wrong = f"<{KEY[:-1]}2.{TOKEN}@hub.example>"  # somebody else's key with this token
    assert read(mail(In_Reply_To=wrong)).idempotency_key is None


UNLINKED = [
    {"to": "desk@hub.example"},
    {"to": DESK.address(FOREIGN)},
    {"to": f"desk+{TOKEN}@evil.example"},
    {"to": f"evildesk+{TOKEN}@hub.example"},
    {"to": f"desk+{TOKEN}@hub.example.evil.example"},
    {"to": "desk@hub.example", "In_Reply_To": f"<{KEY}.{FOREIGN}@hub.example>"},
    {"to": "desk@hub.example", "In_Reply_To": f"<{KEY}.{TOKEN}@evil.example>"},
    {"to": "desk@hub.example", "Subject": "[wasl:aaaaaaaaaaaaaaaaaaaaaaaa]"},
]  # fmt: skip


@pytest.mark.parametrize("headers", UNLINKED, ids=range(len(UNLINKED)))
def test_no_link_no_answer(headers):
    assert read(mail(**headers)) is None


def test_a_token_in_the_body_links_nothing():
    assert read(mail(f"[wasl:{TOKEN}] {HERE} {OURS}", to="desk@hub.example")) is None


@pytest.mark.parametrize(
    "headers",
    [{"From": "Wasl <HUB@hub.example>"}, {"Message_ID": OURS, "From": "list@acme.example"}],
)
def test_our_own_mail_coming_back_is_no_answer(headers):
    assert read(mail(**headers)) is None


# -- kinds --


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, None),
        ({"Auto_Submitted": "no"}, None),
        ({"Auto_Submitted": "auto-replied"}, "automatic_answer"),
        ({"Auto_Submitted": "auto-generated; x=1"}, "automatic_answer"),
        ({"X_Autoreply": "yes"}, "automatic_answer"),
        ({"Precedence": "auto_reply"}, "automatic_answer"),
    ],
)
def test_people_and_machines(headers, reason):
    update = read(mail(**headers))
    # A machine's answer is no news of the request: whoever waits goes on waiting.
    outcome = Outcome.PENDING if reason else Outcome.ACKNOWLEDGED
    assert (update.outcome, update.reason) == (outcome, reason)


BOUNCES = [
    ("Action: failed\r\n", "5.1.1", "undeliverable"),
    ("Action: FAILED\r\n", "4.4.7", "undeliverable"),  # given up after days of delays
    ("", "5.2.2", "undeliverable"),
    ("Action: delayed\r\n", "4.4.1", None),
    ("", "4.4.1", None),
    ("Action: delivered\r\n", "2.0.0", None),
    ("Action: relayed\r\n", "2.0.0", None),
]


@pytest.mark.parametrize(("action", "status", "reason"), BOUNCES)
@pytest.mark.parametrize("returned", ["message/rfc822", "text/rfc822-headers"])
@pytest.mark.parametrize("to", [HERE, "hub@hub.example"])
def test_bounces(action, status, reason, returned, to):
    update = read(dsn(action, status, to=to, returned=returned))
    if reason is None:
        assert update is None
    else:
        assert (update.outcome, update.reason) == (Outcome.REFUSED, reason)
        assert update.reference == TOKEN
        assert update.reply == "Your mail."


def test_a_bounce_of_somebody_elses_mail():
    assert (
        read_mail(
            dsn("Action: failed\r\n", "5.1.1", to="hub@hub.example", original="<x@y.example>"), DESK
        )
        == ()
    )


def test_bounces_that_follow_no_standard():
    qmail = mail("Sorry.", From="MAILER-DAEMON@mx.example")
    assert (read(qmail).outcome, read(qmail).reason) == (Outcome.PENDING, "unreadable_bounce")
    exim = mail("Sorry.", From="Mailer-Daemon@mx.example", X_Failed_Recipients="abuse@acme.example")
    assert (read(exim).outcome, read(exim).reason) == (Outcome.REFUSED, "undeliverable")


@pytest.mark.parametrize("purpose", ["r1", "c2", "w"])
def test_a_bounce_of_a_later_mail_refuses_nothing(purpose):
    later = TOKENS.message_id(KEY, TOKEN, "hub.example", purpose)
    update = read(dsn("Action: failed\r\n", "5.1.1", original=later))
    assert (update.outcome, update.reason) == (Outcome.PENDING, "follow_up_undeliverable")
    assert update.reference == TOKEN


@pytest.mark.parametrize("purpose", ["r1", "c2", "w"])
def test_an_answer_to_a_later_mail_is_about_the_request(purpose):
    later = TOKENS.message_id(KEY, TOKEN, "hub.example", purpose)
    update = read(mail(to="desk@hub.example", In_Reply_To=later))
    assert (update.reference, update.idempotency_key) == (TOKEN, KEY)


# -- groups --

KEYS = [f"019b8d3c-0000-7000-8000-{n:012}" for n in range(1, 4)]
MEMBERS = [TOKENS.of(key, "acme") for key in KEYS]
ITEMS = [TOKENS.message_id(k, t, "hub.example") for k, t in zip(KEYS, MEMBERS, strict=True)]
GROUP = TOKENS.message_id(KEYS[0], MEMBERS[0], "hub.example", TOKENS.group(KEYS))
THREAD = " ".join([*ITEMS, GROUP])
QUOTED = "\n".join(f"> Request [wasl:{token}]" for token in MEMBERS)
BELOW = "\n".join(["----- Original message -----", *(f"[wasl:{token}]" for token in MEMBERS)])


@pytest.mark.parametrize(
    ("text", "headers", "about"),
    [
        ("All removed.", {"In_Reply_To": GROUP, "References": THREAD}, MEMBERS),
        ("All removed.", {"References": THREAD}, MEMBERS),
        (f"All removed.\n{QUOTED}", {"In_Reply_To": GROUP}, MEMBERS),
        (f"All removed.\n{BELOW}", {"In_Reply_To": GROUP}, MEMBERS),
        ("No more is known.", {"In_Reply_To": GROUP}, MEMBERS[:1]),
        (f"{MEMBERS[1]} is gone.\n{QUOTED}", {"In_Reply_To": GROUP, "References": THREAD}, MEMBERS[1:2]),
        (f"{MEMBERS[2].upper()}: gone\n\n{BELOW}", {"In_Reply_To": GROUP, "References": THREAD}, MEMBERS[2:]),
        (f"[wasl:{MEMBERS[1]}] [wasl:{MEMBERS[2]}]", {"In_Reply_To": GROUP, "References": THREAD}, MEMBERS[1:]),
        (f"{FOREIGN} aaaaaaaaaaaaaaaaaaaaaaaa", {"In_Reply_To": GROUP, "References": THREAD}, MEMBERS),
        # Its address is the first one's; a mail that answers another of our mails is about that one.
        ("Gone.", {"In_Reply_To": ITEMS[1], "References": THREAD, "to": "desk@hub.example"}, MEMBERS[1:2]),
    ],
)  # fmt: skip
def test_an_answer_to_a_group_is_about_what_it_names_or_about_all(text, headers, about):
    to = DESK.address(MEMBERS[0])
    updates = read_mail(bytes(mail(text, **{"to": to, **headers})), DESK)
    assert [u.reference for u in updates] == about
    assert {u.outcome for u in updates} == {Outcome.ACKNOWLEDGED}
    assert len({u.event_id for u in updates}) == len(about)
    if "References" in headers:
        assert [u.idempotency_key for u in updates] == [KEYS[MEMBERS.index(t)] for t in about]
    assert updates == read_mail(bytes(mail(text, **{"to": to, **headers})), DESK)


def test_a_token_of_another_group_is_not_about_it():
    other = TOKENS.of("another", "acme")
    raw = bytes(mail(f"{other} is gone", In_Reply_To=GROUP, References=THREAD))
    assert [u.reference for u in read_mail(raw, DESK)] == MEMBERS


@pytest.mark.parametrize("returned", ["message/rfc822", "text/rfc822-headers"])
def test_a_bounce_of_a_group_is_about_all_of_it(returned):
    raw = dsn(
        "Action: failed\r\n", "5.1.1", to=DESK.address(MEMBERS[0]), returned=returned,
        original=GROUP, references=" ".join(ITEMS),
    )  # fmt: skip
    updates = read_mail(raw, DESK)
    assert [u.reference for u in updates] == MEMBERS
    assert {(u.outcome, u.reason) for u in updates} == {(Outcome.REFUSED, "undeliverable")}


# -- words --


def test_arabic_in_an_old_charset():
    raw = mail("x").as_bytes().partition(b"\r\n\r\n")[0].decode()
    raw = raw.replace('charset="utf-8"', 'charset="windows-1256"')
    (update,) = read_mail(raw.encode() + b"\r\n\r\n" + "تم حذف المحتوى".encode("cp1256"), DESK)
    assert update.reply == "تم حذف المحتوى"


@pytest.mark.parametrize(
    "charset",
    ["x-unknown", "rot13", "idna", "hex", "undefined", "zip", "utf-8\udcff", "", "utf-16"],
)
def test_a_wrong_charset_costs_the_words_at_most(charset):
    head = f"From: a@acme.example\r\nTo: {HERE}\r\nContent-Type: text/plain; charset={charset!s}\r\n\r\n"
    (update,) = read_mail(
        head.encode("utf-8", "surrogateescape") + b"hello \xff\x00\x80 world", DESK
    )
    assert (update.outcome, update.reference) == (Outcome.ACKNOWLEDGED, TOKEN)
    assert update.event_id.startswith("sha256:")


def test_attachments_are_dropped_and_text_is_kept():
    made = mail("See the file.")
    made.add_attachment(
        b"MZ-CANARY", maintype="application", subtype="x-msdownload", filename="a.exe"
    )
    made.add_attachment("CANARY text", filename="a.txt")
    made.add_attachment(mail("CANARY inner"))
    assert read(made).reply == "See the file."
    only = EmailMessage(policy=policy.SMTP)
    only["To"], only["From"] = HERE, "a@acme.example"
    only.add_attachment("CANARY", filename="a.txt")
    assert read(only).reply is None


def test_html_alone_loses_its_tags():
    made = mail()
    made.set_content(
        "<html><head><title>CANARY</title></head><body><script>CANARY</script><style>CANARY</style>"
        "<p>We removed &lt;it&gt;.<br>رقم 5</p><img src='https://tracker.example/x'></body></html>",
        subtype="html",
    )
    assert read(made).reply == "We removed <it>.\nرقم 5"


def test_plain_text_is_preferred_to_html():
    made = mail("Plain.")
    made.add_alternative("<p>HTML</p>", subtype="html")
    assert read(made).reply == "Plain."


def test_control_characters_do_not_reach_the_analyst():
    assert read(mail("a\x1b[31m\u202eb\r\nc")).reply == "a [31m b\nc"


@pytest.mark.parametrize("size", [MAX_REPLY, MAX_REPLY + 1, 3 * MAX_MAIL])
def test_a_long_answer_is_cut(size):
    update = read(mail("é" * size))
    assert len(update.reply) <= MAX_REPLY
    assert update.reply.endswith("…") == (size > MAX_REPLY)


# -- hostile --


def nested(depth):
    head = f"From: a@acme.example\r\nTo: {HERE}\r\nMIME-Version: 1.0\r\n"
    parts = "".join(
        f'Content-Type: multipart/mixed; boundary="b{n}"\r\n\r\n--b{n}\r\n' for n in range(depth)
    )
    return (head + parts + "Content-Type: text/plain\r\n\r\ndeep\r\n").encode()


HOSTILE = {
    "nested 50": nested(50),
    "nested 5000": nested(5_000),
    "many parts": (
        f'From: a@acme.example\r\nTo: {HERE}\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n'
        + "--b\r\nContent-Type: application/x\r\n\r\nx\r\n" * 20_000
    ).encode(),
    "wide header": f"To: {HERE}\r\nReferences: {'<' * 900_000}\r\n\r\nx".encode(),
    "many headers": f"To: {HERE}\r\n".encode() + b"In-Reply-To: <a@b>\r\n" * 40_000 + b"\r\nx",
    "addresses": f"To: {HERE}, {'a@b.example,' * 60_000}\r\n\r\nx".encode(),
    "plus": f"To: {HERE}, {'desk+' * 150_000}\r\n\r\nx".encode(),
    "html": f"To: {HERE}\r\nContent-Type: text/html\r\n\r\n{'<div>' * 100_000}<![CANARY".encode(),
    "bad base64": f"To: {HERE}\r\nContent-Transfer-Encoding: base64\r\n\r\n=@@@".encode(),
    "no boundary": f"To: {HERE}\r\nContent-Type: multipart/mixed\r\n\r\nx".encode(),
    "bad parameter": f"To: {HERE}\r\nContent-Type: text/plain; charset*=x'y'%ff; name*0*=\r\n\r\nx".encode(),
    "encoded word": f"To: {HERE}\r\nSubject: =?utf-8?b?=@@@?= =?x?q??=\r\n\r\nx".encode(),
    "from": f"To: {HERE}\r\nFrom: {'(' * 2_000}\r\n\r\nx".encode(),
    "bytes": f"To: {HERE}\r\nFrom: \udcff\udcfe\r\nMessage-ID: <\udcff>\r\n\r\n".encode("utf-8", "surrogateescape"),
    "status": f"To: {HERE}\r\nContent-Type: multipart/report; boundary=b\r\n\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n\xff".encode(),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_no_mail_breaks_the_reader_or_holds_it_up(name):
    started = time.perf_counter()
    update = read(HOSTILE[name])
    assert time.perf_counter() - started < 5
    if name != "status":
        assert update.reference == TOKEN
        assert len(update.reply or "") <= MAX_REPLY


@pytest.mark.parametrize("raw", [b"", b"\n", b"\x00" * 1000, b"To", b":" * 1000, b"\xff\xfe"])
def test_what_is_no_mail(raw):
    assert read_mail(raw, DESK) == ()
