# SPDX-License-Identifier: Apache-2.0
"""A channel's process: its adapter and desk, where deliveries come in, and the admin port.

Ready while intake answers, so that a provider is sent elsewhere or told to wait. Stop (SIGTERM,
SIGINT): no new deliveries, those in hand are finished within the grace period; what was not is
delivered again.
"""

import asyncio
import contextlib
import logging
import platform
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
from wasl_chassis import logs
from wasl_chassis.clock import Clock, SystemClock
from wasl_chassis.health import Health, admin_app
from wasl_chassis.metrics import Metrics
from wasl_chassis.service import version
from wasl_chassis.serving import HttpServer
from wasl_chassis.settings import SettingsError, key_bytes
from wasl_schemas.country_pack import CountryPackError, load_country_pack

from wasl_intake.channels import mail, messenger, telegram, whatsapp
from wasl_intake.channels.contract import Adapter
from wasl_intake.channels.desk import Desk
from wasl_intake.channels.door import webhook_app
from wasl_intake.channels.intake import Intake
from wasl_intake.channels.memory import Memory
from wasl_intake.channels.metrics import METRICS
from wasl_intake.channels.settings import ChannelSettings
from wasl_intake.channels.wording import Wording

log = logging.getLogger(__name__)

#: Seconds intake and a provider have for one request: a provider waits about 20 for us.
INTAKE_SECONDS, PROVIDER_SECONDS = 6.0, 8.0

NAMES = ("mail", "messenger", "telegram", "whatsapp")


class OneHost(httpx.AsyncHTTPTransport):
    """Reaches the given hosts and no other, whatever an adapter is made to ask for."""

    def __init__(self, hosts: Callable[[], frozenset[str]]) -> None:
        super().__init__(retries=0)
        self._hosts = hosts

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.host not in self._hosts():
            raise httpx.UnsupportedProtocol("a channel speaks to its provider only")
        return await super().handle_async_request(request)


class Channel:
    """Built from settings, then :meth:`run`. ``ports``: taken ones, once running."""

    def __init__(self, name: str, settings: ChannelSettings, clock: Clock | None = None) -> None:
        self.name = name
        self.settings = settings
        self.metrics = Metrics(METRICS)
        self.health = Health()
        self.ports: dict[str, int] = {}
        self._clock = clock or SystemClock()
        self._stopping = asyncio.Event()
        try:
            pack = load_country_pack(settings.country_pack)
        except CountryPackError as error:
            raise SettingsError(f"WASL_COUNTRY_PACK is wrong: {error}") from error
        self._wording = Wording(pack, settings.channel_portal_url)
        self._intake_http = httpx.AsyncClient(
            base_url=settings.channel_intake_url, timeout=INTAKE_SECONDS, trust_env=False
        )
        self._provider_http = httpx.AsyncClient(
            timeout=PROVIDER_SECONDS,
            transport=OneHost(lambda: self._adapter.hosts),
            headers={"user-agent": "wasl-intake-channel/1"},
        )
        self._mail: mail.Config | None = None
        self._adapter: Adapter = self._open()
        intake = Intake(
            self._intake_http, self._adapter.channel, settings.channel_api_key.get_secret_value()
        )
        memory = Memory(
            self._clock,
            thread_seconds=settings.channel_thread_minutes * 60,
            answers=settings.channel_answers_per_hour,
        )
        self.desk = Desk(
            self._adapter,
            intake,
            wording=self._wording,
            memory=memory,
            metrics=self.metrics,
            secret=key_bytes(settings.channel_secret),
        )
        self.health.add("process", self._running)
        self.health.add("intake", intake.answers)
        self.metrics.set(
            "wasl_build_info", 1, service=f"channel-{name}", version=version("wasl-intake")
        )

    def _open(self) -> Adapter:
        settings, http = self.settings, self._provider_http
        if self.name == "mail":
            self._mail = settings.config(mail.Config)
            return mail.Mail(self._mail, self._wording, self._clock)
        if self.name == "whatsapp":
            return whatsapp.WhatsApp(settings.config(whatsapp.Config), http)
        if self.name == "messenger":
            return messenger.Messenger(settings.config(messenger.Config), http)
        if self.name == "telegram":
            return telegram.Telegram(settings.config(telegram.Config), http)
        raise SettingsError(f"no channel '{self.name}'; there are: {', '.join(NAMES)}")

    async def _running(self) -> tuple[bool, str]:
        return not self._stopping.is_set(), "stopping" if self._stopping.is_set() else "running"

    def stop(self) -> None:
        self._stopping.set()

    async def run(self) -> int:
        """Until stopped. Returns the exit status."""
        log.info("starting", extra={"settings": self.settings.masked()})
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(ValueError, RuntimeError):  # not in the main thread: a test
                loop.add_signal_handler(number, self.stop)
        about = {
            "service": f"channel-{self.name}",
            "version": version("wasl-intake"),
            "python": platform.python_version(),
        }
        settings = self.settings
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._intake_http.aclose)
            stack.push_async_callback(self._provider_http.aclose)
            admin = admin_app(self.health, self.metrics, about)
            await stack.enter_async_context(
                self._http(admin, settings.admin_host, settings.admin_port, "admin")
            )
            await stack.enter_async_context(self._deliveries())
            log.info("started", extra={"ports": self.ports})
            await self._stopping.wait()
            log.info("draining")
        log.info("stopped")
        return 0

    @asynccontextmanager
    async def _deliveries(self) -> AsyncIterator[None]:
        settings = self.settings
        host, port = settings.channel_host, settings.channel_port
        if self._mail is None:
            app = webhook_app(self.desk, self.metrics, settings.channel_body_limit)
            async with self._http(app, host, port, "channel"):
                yield
            return
        assert isinstance(self._adapter, mail.Mail)
        door = mail.Door(self._adapter, self._mail, self.desk, self.metrics)
        server = mail.MailServer(self._mail, door)
        try:
            self.ports["channel"] = await server.start(host, port)
        except OSError as error:
            raise SettingsError(
                f"cannot listen for mail ({error.strerror}); see WASL_CHANNEL_HOST,"
                " WASL_CHANNEL_PORT, and socket in WASL_CHANNEL_CONFIG"
            ) from error
        try:
            yield
        finally:
            await server.close(settings.grace_seconds)

    @asynccontextmanager
    async def _http(self, app: Any, host: str, port: int, name: str) -> AsyncIterator[None]:
        grace = self.settings.grace_seconds
        server = await HttpServer.start(app, host, port, name, grace=grace)
        self.ports[name] = server.port
        try:
            yield
        finally:
            server.stop()
            await server.stopped()


def run(name: str, settings: ChannelSettings) -> int:
    """The process of one channel; returns its exit status, 78 where the settings are wrong."""

    async def body() -> int:
        try:
            channel = Channel(name, settings)
            logs.configure(f"wasl-channel-{name}", version("wasl-intake"), settings.log_level)
            return await channel.run()
        except SettingsError as error:
            sys.stderr.write(f"cannot start, the settings are incomplete:\n{error}\n")
            return 78

    return asyncio.run(body())
