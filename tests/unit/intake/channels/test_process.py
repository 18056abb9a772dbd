# SPDX-License-Identifier: Apache-2.0
"""The real process of the mail channel against a real intake over HTTP, killed in between."""

import asyncio
import base64
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from wasl_chassis.settings import SettingsError
from wasl_intake.channels.conformance import SENDER, TEXT
from wasl_intake.channels.process import OneHost
from wasl_intake.channels.settings import ChannelSettings
from wasl_intake.channels.whatsapp import Config
from wasl_intake.domain import receipt

ROOT = Path(__file__).resolve().parents[4]
HUB = "report@hub.test"


class _Quiet(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def served(app: Any) -> AsyncIterator[str]:
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, lifespan="off")
    server = _Quiet(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


def environment(intake: str, config: Any, key: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "WASL_COUNTRY_PACK": str(ROOT / "deploy" / "country-packs" / "ma"),
        "WASL_CHANNEL_INTAKE_URL": intake,
        "WASL_CHANNEL_PORTAL_URL": "https://portal.test",
        "WASL_CHANNEL_SECRET": base64.b64encode(b"s" * 32).decode(),
        "WASL_CHANNEL_CONFIG": json.dumps(config),
        "WASL_CHANNEL_API_KEY": key,
        "WASL_GRACE_SECONDS": "2",
    }


class Process:
    """``wasl-intake-channel NAME`` and what it logs."""

    def __init__(self, name: str, env: dict[str, str]) -> None:
        self.name, self.env = name, env
        self.lines: list[str] = []
        self.ports: dict[str, int] = {}

    async def __aenter__(self) -> "Process":
        self.running = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "wasl_intake.channels", self.name,
            env=self.env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert self.running.stdout is not None
        async with asyncio.timeout(60):
            async for line in self.running.stdout:
                self.lines.append(line.decode())
                told = json.loads(line)
                if told["msg"] == "started":
                    self.ports = told["ports"]
                    return self
        raise AssertionError((await self.running.stderr.read()).decode())  # type: ignore[union-attr]

    async def __aexit__(self, *_: object) -> None:
        if self.running.returncode is None:
            self.running.terminate()
        await self.ended()

    async def ended(self) -> int:
        async with asyncio.timeout(30):
            out, error = await self.running.communicate()
        self.lines += [out.decode(), error.decode()]
        return int(self.running.returncode or 0)


async def test_killed_between_report_and_answer(world_of: Any, sink: Any) -> None:
    world = world_of("mail")
    given = world.provider.message(1, TEXT)
    config = {
        "addresses": [HUB],
        "submission": {"host": "127.0.0.1", "port": sink.port, "starttls": "never"},
    }
    async with served(world.app) as intake:
        env = environment(intake, config, world.api_key)
        sink.held = asyncio.Event()
        async with Process("mail", env) as first:
            hand_over = asyncio.create_task(_hand_over(first.ports["channel"], given))
            async with asyncio.timeout(30):
                await sink.waiting.wait()
            assert len(await world.narratives()) == 1, "intake had it when the process was killed"
            first.running.kill()
            assert await hand_over is None, "the sender's server was told that all is well"
        sink.held = None
        sink.mails.clear()
        async with Process("mail", env) as second:
            assert await _hand_over(second.ports["channel"], given) == 250
            assert await _hand_over(second.ports["channel"], given) == 250
            admin = f"http://127.0.0.1:{second.ports['admin']}"
            async with httpx.AsyncClient() as http:
                ready = await http.get(f"{admin}/readyz")
                assert ready.json()["ready"] is True
                metrics = (await http.get(f"{admin}/metrics")).text
            second.running.terminate()
            assert await second.ended() == 0
    assert len(await world.narratives()) == 1
    ((_, _, answer),) = sink.mails
    text = answer.get_content()
    codes = {receipt.read(text[a:b]) for a, b in receipt.find(text)}
    assert len(codes) == 1
    (code,) = codes
    assert len(world.reports()) == 1
    logged = "".join(first.lines + second.lines)
    assert "started" in logged
    for what in (SENDER, "canary", code, receipt.grouped(code), world.api_key, "hub.test"):
        assert what not in logged + metrics


async def _hand_over(port: int, given: Any) -> int | None:
    """The reply code; None: the connection broke."""
    import smtplib

    def dialogue() -> int | None:
        try:
            with smtplib.LMTP("127.0.0.1", port, timeout=30) as client:
                client.ehlo_or_helo_if_needed()
                client.mail(given.headers["mail-from"])
                client.rcpt(HUB)
                return client.data(given.body)[0]
        except (smtplib.SMTPServerDisconnected, OSError):
            return None

    return await asyncio.to_thread(dialogue)


async def test_a_webhook_process_serves_and_stops(world_of: Any) -> None:
    world = world_of("telegram")
    config = {"token": "token-of-the-provider", "secret_token": "verify-verify-verify"}
    async with (
        served(world.app) as intake,
        Process("telegram", environment(intake, config, world.api_key)) as process,
    ):
        url = f"http://127.0.0.1:{process.ports['channel']}/channels/telegram"
        async with httpx.AsyncClient() as http:
            assert (await http.post(url, content=b"{}")).status_code == 401
            word = {"x-telegram-bot-api-secret-token": "verify-verify-verify"}
            assert (await http.post(url, content=b"{}", headers=word)).status_code == 200
        process.running.terminate()
        assert await process.ended() == 0
    assert "token-of" not in "".join(process.lines)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"WASL_CHANNEL_CONFIG": "{}"}, "WASL_CHANNEL_CONFIG: phone_number_id: Field required"),
        ({"WASL_CHANNEL_CONFIG": "{"}, "WASL_CHANNEL_CONFIG is no JSON"),
        ({"WASL_CHANNEL_SECRET": "short"}, "WASL_CHANNEL_SECRET is wrong"),
        ({"WASL_CHANNEL_INTAKE_URL": "intake"}, "WASL_CHANNEL_INTAKE_URL is wrong"),
        ({"WASL_COUNTRY_PACK": "/nowhere"}, "WASL_COUNTRY_PACK is wrong"),
    ],
)
async def test_wrong_settings_stop_it(change: dict[str, str], said: str) -> None:
    config = {
        "app_secret": "a" * 16,
        "verify_token": "v" * 16,
        "token": "t",
        "phone_number_id": "1",
    }
    env = environment("http://127.0.0.1:1", config, "k") | change
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "wasl_intake.channels", "whatsapp",
        env=env, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, error = await process.communicate()
    assert process.returncode == 78
    assert said in error.decode()


def test_settings_are_never_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment("http://intake.test", {"token": "canary"}, "canary").items():
        monkeypatch.setenv(name, value)
    settings = ChannelSettings()
    assert "canary" not in str(settings.masked())
    with pytest.raises(SettingsError) as raised:
        settings.config(Config)
    assert "canary" not in str(raised.value)


async def test_only_the_provider_is_reached() -> None:
    async with httpx.AsyncClient(transport=OneHost(lambda: frozenset({"api.test"}))) as http:
        with pytest.raises(httpx.UnsupportedProtocol):
            await http.get("https://lookaside.test/media/999")
