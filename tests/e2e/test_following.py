# SPDX-License-Identifier: Apache-2.0
"""One item from a request to its end, by the real processes: the partner says that it is gone and it
is not; it goes; it comes back and its case is open again. The watch is killed on the way.

The watch's way out is a proxy of the test, which plays every site.
"""

import asyncio
import secrets
from collections import Counter
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
from hub import PHISHING, Hub
from kit import until
from wasl_local.stack import ANALYST

pytestmark = pytest.mark.integration


class Web:
    """A proxy that answers for all hosts: 404, or a page for what is ``online``."""

    def __init__(self) -> None:
        self.online: set[str] = set()
        #: Looks by address.
        self.looks: Counter[str] = Counter()
        self._server: asyncio.Server | None = None

    @property
    def address(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        address = head.split(" ", 2)[1]
        self.looks[address] += 1
        there = address in self.online
        body = b"<html><body><p>A page with some words on it.</p></body></html>" if there else b""
        status = "200 OK" if there else "404 Not Found"
        writer.write(
            f"HTTP/1.1 {status}\r\ncontent-type: text/html\r\ncontent-length: {len(body)}\r\n"
            "connection: close\r\n\r\n".encode()
            + body
        )
        await writer.drain()
        writer.close()


class Person:
    """A reporter and the analyst of their case."""

    def __init__(self, hub: Hub, url: str) -> None:
        self.hub = hub
        self.url = url
        self.receipt = ""

    async def report(self, category: str) -> None:
        body = {
            "locations": [self.url],
            "category": category,
            "language": "en",
            "narrative": "See.",
        }
        async with self._intake() as http:
            answer = (await http.post("/reports", json=body)).raise_for_status()
        self.receipt = answer.json()["receipt"]

    def _intake(self) -> httpx.AsyncClient:
        head = {"authorization": f"Receipt {self.receipt}"} if self.receipt else {}
        base = f"{self.hub.url('intake')}/api/v1"
        return httpx.AsyncClient(base_url=base, headers=head, trust_env=False)

    async def reads(self, *kinds: str) -> None:
        """Wait until the timeline holds these lines."""

        async def so() -> bool:
            async with self._intake() as http:
                shown = (await http.get("/reports")).raise_for_status().json()
            return set(kinds) <= {line["kind"] for line in shown["timeline"]}

        await until(so, 90, 0.3)

    async def desk(self, path: str, body: dict[str, Any] | None = None) -> Any:
        head = {"authorization": f"Bearer {self.hub.token(ANALYST)}"}
        base = f"{self.hub.url('triage')}/api/v1"
        async with httpx.AsyncClient(base_url=base, headers=head, trust_env=False) as http:
            answer = await (http.get(path) if body is None else http.post(path, json=body))
        assert not answer.is_error, answer.text
        return answer.json()

    async def case(self) -> str:
        [case_id] = await self.hub.trace(self.receipt)
        return case_id

    async def decide(self) -> None:
        async def opened() -> bool:
            return bool(await self.hub.trace(self.receipt))

        await until(opened, 60, 0.3)
        case = f"/cases/{await self.case()}"
        await self.desk(f"{case}/claim", {})
        await self.desk(f"{case}/assessment", {"category": "phishing_malware", "answers": PHISHING})
        decision = {
            "action": "dispatch",
            "ground": {"kind": "law", "ref": "ma.penal-code.607-3"},
            "partners": ["hosting-desk"],
            "reason": "Asks for card numbers.",
            "scope": "global",
        }
        await self.desk(f"{case}/decision", decision)
        await self.desk(f"{case}/release", {"done": True})


async def test_an_item_is_followed_until_it_is_gone_and_when_it_is_back(tmp_path: Path) -> None:
    word = secrets.token_hex(6)
    page, never = (f"http://{word}.example.net/{name}" for name in ("item", "never"))
    async with Web() as web:
        web.online |= {page, never}
        env = {
            "WASL_WATCH_PROXY": web.address,
            "WASL_WATCH_HOSTS": "example.net",
            "WASL_WATCH_SPEED": "3600",
        }
        async with Hub(tmp_path, env) as hub:
            person, child = Person(hub, page), Person(hub, never)
            await child.report("csam")
            await person.report("phishing_malware")
            await person.decide()
            await person.reads("dispatch_removed")

            async def doubted() -> bool:
                sheet = await person.desk(f"/cases/{await person.case()}")
                return "online_after_removal" in sheet["case"]["attention"]

            await until(doubted, 60, 0.3)
            await hub.kill("gateway-watch")
            web.online.discard(page)
            await hub.start("gateway-watch")
            await person.reads("item_gone")
            web.online.add(page)
            await person.reads("item_reappeared", "case_reopened")
            sheet = await person.desk(f"/cases/{await person.case()}")
            assert sheet["case"]["state"] == "open"
            assert "reappeared" in sheet["case"]["attention"]
            await child.reads("dispatch_removed")
        assert web.looks[page] >= 6, "two that agree, three times"
        assert web.looks[never] == 0, "nothing of a child is ever opened"
