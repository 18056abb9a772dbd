# SPDX-License-Identifier: Apache-2.0
"""The mailbox against a real IMAP server: Dovecot, where it is installed (Debian dovecot-imapd)."""

import asyncio
import logging
import os
import shutil
import socket
from email.message import EmailMessage
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr
from wasl_chassis.testing import FakeClock
from wasl_connector_sdk import CredentialsRejected, Outcome, Runtime
from wasl_platform_gateway.connectors.email import EmailConnector
from wasl_platform_gateway.connectors.email.tokens import Tokens

DOVECOT = shutil.which("dovecot") or "/usr/sbin/dovecot"
pytestmark = [
    pytest.mark.skipif(not Path(DOVECOT).exists(), reason="no dovecot: apt install dovecot-imapd"),
    pytest.mark.skipif(os.geteuid() != 0, reason="dovecot starts its login processes as root"),
]
SECRET = "token-secret-0123456789-0123456789"
CONF = """
base_dir = {folder}/run
state_dir = {folder}/run
protocols = imap
listen = 127.0.0.1
ssl = no
log_path = {folder}/log
disable_plaintext_auth = no
default_internal_user = nobody
default_internal_group = nogroup
default_login_user = nobody
mail_location = maildir:{folder}/mail
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service anvil {{
  chroot =
}}
passdb {{
  driver = static
  args = password=relay-password
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home={folder}/mail
}}
"""


@pytest.fixture
async def dovecot():
    """(port, deliver): a running server and a way to put a mail into its Maildir."""
    from tempfile import TemporaryDirectory

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # Not pytest's own folder: nobody must be able to enter it, and socket paths are short.
    with TemporaryDirectory(prefix="dv") as name:
        folder = Path(name)
        folder.chmod(0o755)
        for part in ("mail", "mail/new", "mail/cur", "mail/tmp"):
            (folder / part).mkdir()
            shutil.chown(folder / part, "nobody", "nogroup")
        (folder / "conf").write_text(CONF.format(folder=folder, port=port))
        process = await asyncio.create_subprocess_exec(DOVECOT, "-F", "-c", str(folder / "conf"))
        try:
            async with asyncio.timeout(15):
                while True:
                    try:
                        _, writer = await asyncio.open_connection("127.0.0.1", port)
                    except OSError:
                        assert process.returncode is None, (folder / "log").read_text()
                        await asyncio.sleep(0.05)
                    else:
                        writer.close()
                        break

            def deliver(number, raw):
                path = folder / "mail" / "new" / f"{1_700_000_000 + number}.{number}.test"
                path.write_bytes(raw)
                shutil.chown(path, "nobody", "nogroup")

            yield port, deliver, folder
        finally:
            process.terminate()
            await asyncio.wait_for(process.wait(), 15)


async def test_answers_out_of_a_real_mailbox(dovecot):
    port, deliver, folder = dovecot
    token = Tokens(SecretStr(SECRET)).of("key-1", "acme")

    def config(password="relay-password"):
        return EmailConnector.Config.model_validate(
            {
                "smtp": {"host": "127.0.0.1"},
                "sender": "hub@hub.example",
                "desk": "desk@hub.example",
                "token_secret": SECRET,
                "inbox": {
                    "host": "127.0.0.1", "port": port, "tls": "none", "username": "desk",
                    "password": password,
                },
            }
        )  # fmt: skip

    async with httpx.AsyncClient() as http:
        rt = Runtime(http, FakeClock(), logging.getLogger("test"))
        async with EmailConnector.open(config(), rt) as connector:
            empty = await connector.collect(None)
            assert empty.updates == ()
            for n in range(23):
                mail = EmailMessage()
                mail["From"], mail["To"] = "a@acme.example", f"desk+{token}@hub.example"
                mail["Message-ID"] = f"<{n}@acme.example>"
                mail.set_content(f"Réponse {n}, تم الحذف")
                deliver(n, bytes(mail))
            first = await connector.collect(empty.cursor)
            assert (len(first.updates), first.more) == (20, True)
            rest = await connector.collect(first.cursor)
            assert (len(rest.updates), rest.more) == (3, False)
            found = [*first.updates, *rest.updates]
            assert {u.event_id for u in found} == {f"<{n}@acme.example>" for n in range(23)}
            assert {(u.reference, u.outcome) for u in found} == {(token, Outcome.ACKNOWLEDGED)}
            assert found[0].reply.endswith("تم الحذف")
            assert (await connector.collect(rest.cursor)).updates == ()
            again = await connector.collect(empty.cursor)
            assert again.updates == first.updates
        async with EmailConnector.open(config("wrong"), rt) as connector:
            with pytest.raises(CredentialsRejected):
                await connector.collect(None)
    assert not [p for p in (folder / "mail" / "cur").iterdir() if p.name.rpartition(",")[2] != ""]
