# SPDX-License-Identifier: Apache-2.0
"""The simulated partners of ``fakes`` on real ports of 127.0.0.1, one for each connector, to break.

``python tests/support/partners.py FOLDER`` serves them all and writes into FOLDER what a hub needs
to meet them: ``connectors.json`` for ``WASL_LOCAL_CONNECTORS``, ``pack/`` for the country pack, and
``control``, the address where ``GET /`` tells what each has seen and ``PUT /NAME {"mode": …}``
changes how it behaves.
"""

import argparse
import asyncio
import contextlib
import json
import re
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
import uvicorn
from aiosmtpd.smtp import SMTP
from fakes.bluesky import AUTHOR, LABELER, FakeBluesky
from fakes.cloudflare import FakeCloudflare
from fakes.iccam import FakeIccam
from fakes.iwf import FakeIwf
from fakes.mail import FakeRelay
from fakes.mastodon import FakeGoToSocial, FakeMastodon
from fakes.matrix import EVENT, ROOM, FakeMatrix
from fakes.ncmec import FakeNcmec
from fakes.reference import FakeReference
from fakes.wasl_peer import FakeWaslPeer
from fakes.webhook import FakeWebhook
from fakes.youtube import FakeYouTube
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from wasl_chassis.clock import SystemClock
from wasl_local.servers import LOOPBACK, free_port

RETRY_AFTER = 2
_KEY = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Mode(StrEnum):
    OK = "ok"
    #: Takes what arrives and never answers.
    HANG = "hang"
    #: Nobody listens.
    REFUSE = "refuse"
    #: Takes nothing: 429 and Retry-After; 450 from the mail relay.
    STORM = "storm"


class _Webhook(FakeWebhook):
    """A signature's age by this machine's clock; the fake's own stands still."""

    def _signed(self, request: httpx.Request) -> bool:
        with patch("fakes.webhook.NOW", datetime.now(UTC)):
            return bool(super()._signed(request))  # type: ignore[no-untyped-call]


class _WaslPeer(FakeWaslPeer):
    """The same for a hub, which goes by the partner's id."""

    hub = "wasl_peer-desk"

    def _signed(self, request: httpx.Request, target: str) -> bool:
        with patch("fakes.wasl_peer.NOW", datetime.now(UTC)):
            return bool(super()._signed(request, target))  # type: ignore[no-untyped-call]


class _YouTube(FakeYouTube):
    """Without the end of the daily quota, which comes after 200 reports."""

    def __init__(self) -> None:
        super().__init__()
        self.daily_units = 10**9


@dataclass(frozen=True)
class Simulation:
    """How a connector meets its fake. ``config``: its settings for a port.

    ``location``: the n-th item it can report. ``fake``: None where there is only a person.
    """

    config: Callable[[int], dict[str, Any]]
    location: Callable[[int], str]
    fake: Callable[[], Any] | None
    category: str = "phishing_malware"


def _at(port: int) -> str:
    return f"http://{LOOPBACK}:{port}"


def _fixed(location: str) -> Callable[[int], str]:
    return lambda _: location


def _page(number: int) -> str:
    return f"https://example.org/{number}"


def desk(connector: str) -> str:
    """The id of the partner behind a connector."""
    return f"{connector}-desk"


def _fediverse(port: int) -> dict[str, Any]:
    return {"default": {"base_url": _at(port), "token": "secret-token", "sandbox": True}}


def _matrix(port: int) -> dict[str, Any]:
    return {"homeserver": _at(port), "token": "secret-token"}


SIMULATIONS: dict[str, Simulation] = {
    "assisted": Simulation(
        lambda _: {"partners": {desk("assisted"): {"portal": "https://portal.example.org/"}}},
        _page,
        None,
    ),
    "bluesky": Simulation(
        lambda port: {
            "base_url": _at(port),
            "identifier": FakeBluesky.identifier,
            "app_password": FakeBluesky.password,
            "labeler": LABELER,
        },
        _fixed(f"at://{AUTHOR}/app.bsky.feed.post/3k2a"),
        FakeBluesky,
    ),
    "cloudflare": Simulation(
        lambda port: {
            "base_url": f"{_at(port)}/client/v4",
            "account_id": FakeCloudflare.account,
            "token": FakeCloudflare.token,
            "name": "Wasl hub",
            "email": "abuse@hub.example",
        },
        _page,
        FakeCloudflare,
    ),
    "email": Simulation(
        lambda port: {
            "partners": {desk("email"): {"address": "abuse@desk.example"}},
            "smtp": {"host": LOOPBACK, "port": port, "tls": "none"},
            "sender": "hub@hub.example",
            "test_address": "trial@hub.example",
            "token_secret": "token-secret-0123456789-0123456789",
        },
        _page,
        FakeRelay,
    ),
    "gotosocial": Simulation(
        _fediverse, _fixed("https://gotosocial.test/@someone/100"), FakeGoToSocial
    ),
    "iccam": Simulation(
        lambda port: {
            "base_url": _at(port),
            "username": FakeIccam.username,
            "password": FakeIccam.password,
        },
        _page,
        FakeIccam,
        "csam",
    ),
    "iwf": Simulation(
        lambda port: {
            "url": FakeIwf.url.replace(FakeIwf.base, _at(port)),
            "username": FakeIwf.username,
            "password": FakeIwf.password,
        },
        _page,
        FakeIwf,
        "csam",
    ),
    "mastodon": Simulation(_fediverse, _fixed("https://mastodon.test/@someone/100"), FakeMastodon),
    "matrix": Simulation(_matrix, _fixed(f"{ROOM}/{EVENT}"), FakeMatrix),
    "matrix_admin": Simulation(
        lambda port: {**_matrix(port), "admin_token": "secret-admin"},
        _fixed(f"{ROOM}/{EVENT}"),
        FakeMatrix,
    ),
    "ncmec": Simulation(
        lambda port: {
            "base_url": f"{_at(port)}/ispws",
            "username": FakeNcmec.username,
            "password": FakeNcmec.password,
        },
        _page,
        FakeNcmec,
        "csam",
    ),
    "reference": Simulation(
        lambda port: {"base_url": _at(port), "token": FakeReference.token}, _page, FakeReference
    ),
    "wasl_peer": Simulation(
        lambda port: {
            "hub": FakeWaslPeer.sender,
            "peers": {_WaslPeer.hub: {"url": _at(port), "secret": FakeWaslPeer.secret}},
        },
        _page,
        _WaslPeer,
    ),
    "webhook": Simulation(
        lambda port: {"default": {"url": f"{_at(port)}/wasl", "secret": FakeWebhook.secret}},
        _page,
        _Webhook,
    ),
    "youtube": Simulation(
        lambda port: {
            "base_url": f"{_at(port)}/youtube/v3",
            "token_url": f"{_at(port)}/token",
            "client_id": "client",
            "client_secret": "secret-client",
            "refresh_token": "secret-refresh",
            "reasons": {"default": {"id": "R1"}},
        },
        lambda number: f"https://www.youtube.com/watch?v=item{number:07d}",
        _YouTube,
    ),
}


class Partner:
    """One fake on one port. ``seen``: how often each key is in the fake's books.

    ``calls``: requests (of the mail relay: sessions) that arrived, by the mode they met.
    """

    def __init__(self, fake: Any, port: int = 0) -> None:
        self.fake = fake
        self.port = port or free_port()
        self.mode = Mode.OK
        self.calls: Counter[str] = Counter()

    async def open(self) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        """Nobody listens afterwards, and no connection is left."""
        raise NotImplementedError

    async def switch(self, mode: Mode) -> None:
        was, self.mode = self.mode, mode
        if mode is Mode.REFUSE and was is not mode:
            await self.close()
        elif was is Mode.REFUSE and was is not mode:
            await self.open()

    def books(self) -> Iterable[str]:
        """Each report as text."""
        return map(str, self.fake.reports)

    def seen(self) -> dict[str, int]:
        """In how many reports each key is (and each other id of its form)."""
        return dict(Counter(key for report in self.books() for key in set(_KEY.findall(report))))


class _Server(uvicorn.Server):
    """Signals belong to who runs it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class HttpPartner(Partner):
    """A fake that was made for ``httpx.MockTransport``, behind a real server."""

    _server: _Server
    _serving: "asyncio.Task[None]"

    async def open(self) -> None:
        # Clocks of the fakes stand still; those of the gateways do not.
        if hasattr(self.fake, "clock"):
            self.fake.clock = SystemClock()
        config = uvicorn.Config(
            self._app, host=LOOPBACK, port=self.port, http="httptools", loop="none", ws="none",
            interface="asgi3", lifespan="off", log_level="critical", timeout_graceful_shutdown=0,
            # Longer than a client keeps an idle connection: whoever closes first makes the race.
            timeout_keep_alive=60,
        )  # fmt: skip
        self._server = _Server(config)
        self._serving = asyncio.create_task(self._server.serve())
        while not self._server.started:
            if self._serving.done():
                self._serving.result()
            await asyncio.sleep(0.01)

    async def close(self) -> None:
        self._server.should_exit = True
        await self._serving

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
        self.calls[self.mode] += 1
        if self.mode is Mode.STORM:
            answer = httpx.Response(429, headers={"retry-after": str(RETRY_AFTER)})
        else:
            answer = await self._ask(scope, body)
        if self.mode is Mode.HANG:
            while (await receive())["type"] != "http.disconnect":
                pass
            return
        await send(
            {
                "type": "http.response.start",
                "status": answer.status_code,
                "headers": answer.headers.raw,
            }
        )
        await send({"type": "http.response.body", "body": answer.content})

    async def _ask(self, scope: Scope, body: bytes) -> httpx.Response:
        if hasattr(self.fake, "now"):
            self.fake.now = datetime.now(UTC)
        query = f"?{scope['query_string'].decode()}" if scope["query_string"] else ""
        base = httpx.URL(self.fake.base)
        url = f"{base.scheme}://{base.host}{scope['raw_path'].decode()}{query}"
        request = httpx.Request(scope["method"], url, headers=scope["headers"], content=body)
        answer: httpx.Response = await self.fake(request)
        return answer


class MailPartner(Partner):
    """The relay of ``fakes.mail``, without encryption: this machine only."""

    _server: asyncio.Server

    async def open(self) -> None:
        self._server = await asyncio.get_running_loop().create_server(
            self._session, LOOPBACK, self.port
        )

    def _session(self) -> SMTP:
        self.calls[self.mode] += 1
        return SMTP(self, hostname=LOOPBACK, loop=asyncio.get_running_loop())

    async def close(self) -> None:
        self._server.close()

    def books(self) -> Iterable[str]:
        return (raw.decode("latin-1") for raw in self.fake.raw)

    async def handle_MAIL(
        self, server: SMTP, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        if self.mode is Mode.STORM:
            return "450 4.7.1 too many, try again later"
        said: str = await self.fake.handle_MAIL(server, session, envelope, address, options)
        return said

    async def handle_RCPT(
        self, server: SMTP, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        said: str = await self.fake.handle_RCPT(server, session, envelope, address, options)
        return said

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Any) -> str:
        said: str = await self.fake.handle_DATA(server, session, envelope)
        if self.mode is Mode.HANG:
            await asyncio.Event().wait()
        return said


def partner_for(connector: str, port: int = 0) -> Partner | None:
    """None for a connector whose partner is a person."""
    fake = SIMULATIONS[connector].fake
    if fake is None:
        return None
    kind = MailPartner if fake is FakeRelay else HttpPartner
    return kind(fake(), port)


def write_pack(source: Path, into: Path, connectors: Iterable[str]) -> Path:
    """A copy of a country pack with one more partner, :func:`desk`, behind each connector."""
    shutil.rmtree(into, ignore_errors=True)
    shutil.copytree(source, into)
    with (into / "partners.toml").open("a", encoding="utf-8") as file:
        for name in connectors:
            title = ", ".join(f'{language} = "{desk(name)}"' for language in ("ar", "fr", "en"))
            file.write(
                f'\n[[partners]]\nid = "{desk(name)}"\nkind = "platform"\nconnector = "{name}"\n'
                'country = "MA"\nlanguage = "en"\ncategories = ["*"]\n'
                'agreement = { basis = "none_recorded", confidence = "low" }\n'
                f"title = {{ {title} }}\n"
            )
    return into


def control(partners: dict[str, Partner]) -> Starlette:
    async def tell(_: Request) -> Response:
        return JSONResponse(
            {
                name: {"mode": p.mode, "calls": dict(p.calls), "seen": p.seen()}
                for name, p in partners.items()
            }
        )

    async def switch(request: Request) -> Response:
        partner = partners.get(request.path_params["name"])
        if partner is None:
            return JSONResponse({"known": sorted(partners)}, 404)
        await partner.switch(Mode((await request.json())["mode"]))
        return JSONResponse({"mode": partner.mode})

    return Starlette(routes=[Route("/", tell), Route("/{name}", switch, methods=["PUT"])])


async def main(folder: Path, source: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    made = {name: partner_for(name) for name in SIMULATIONS}
    partners = {name: partner for name, partner in made.items() if partner is not None}
    for partner in partners.values():
        await partner.open()
    write_pack(source, folder / "pack", SIMULATIONS)
    configs = {
        name: s.config(partners[name].port if name in partners else 0)
        for name, s in SIMULATIONS.items()
    }
    (folder / "connectors.json").write_text(json.dumps(configs, indent=1), encoding="utf-8")
    port = free_port()
    server = _Server(
        uvicorn.Config(
            control(partners), host=LOOPBACK, port=port, lifespan="off", log_level="critical"
        )
    )
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    (folder / "control").write_text(_at(port), encoding="utf-8")
    print(f"{len(SIMULATIONS)} partners are ready; control: {_at(port)}", flush=True)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()
    for partner in partners.values():
        await partner.switch(Mode.REFUSE)
    server.should_exit = True
    await serving


if __name__ == "__main__":
    root = Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pack", type=Path, default=root / "deploy" / "country-packs" / "ma")
    args = parser.parse_args()
    asyncio.run(main(args.folder, args.pack))
