# SPDX-License-Identifier: Apache-2.0
from contextlib import asynccontextmanager

from fakes.mail import PASSWORD, USER, FakeRelay, imap, relay
from wasl_connector_sdk.conformance import ConnectorContract, Partner
from wasl_platform_gateway.connectors.email import EmailConnector


def config_of(server, box):
    return {
        "partners": {"partner": {"address": "abuse@acme.example"}},
        "smtp": {
            "host": "127.0.0.1", "port": server.port, "tls": "starttls", "ca": server.ca or None,
            "username": USER, "password": PASSWORD, "timeout": 20,
        },
        "sender": "hub@hub.example",
        "test_address": "trial@hub.example",
        "token_secret": "token-secret-0123456789-0123456789",
        "inbox": {
            "host": "127.0.0.1", "port": box, "tls": "none", "username": USER, "password": PASSWORD,
        },
    }  # fmt: skip


class TestEmail(ConnectorContract):
    connector = EmailConnector
    fake = FakeRelay
    config = config_of(FakeRelay(port=25), 143)

    @asynccontextmanager
    async def partner(self):
        with relay() as server:
            async with imap() as box:
                box.put(b"From: a@acme.example\r\nIn-Reply-To: <x@y.example>\r\n\r\nno token\r\n")
                here = frozenset({("127.0.0.1", server.port), ("127.0.0.1", box.port)})
                yield Partner(
                    server, config_of(server, box.port), addresses=here, told=lambda: told(server)
                )


def told(server):
    return "\n".join(mail.get_body(("plain",)).get_content() for mail in server.mails)
