# SPDX-License-Identifier: Apache-2.0
"""A mailbox for the local run: takes every message, keeps it as a file, sends nothing on."""

from pathlib import Path
from typing import Any, Self

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from wasl_local.servers import LOOPBACK, free_port


class MailSink:
    """Listens on a free loopback port while entered. Messages are ``0001.eml`` and so on."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self.count = 0
        self.recipients: set[str] = set()
        self._controller: Any = Controller(self, hostname=LOOPBACK, port=self.port)

    def __enter__(self) -> Self:
        self.directory.mkdir(parents=True, exist_ok=True)
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        content = envelope.original_content or b""
        self.count += 1
        self.recipients.update(envelope.rcpt_tos)
        (self.directory / f"{self.count:04}.eml").write_bytes(content)
        return "250 kept"
