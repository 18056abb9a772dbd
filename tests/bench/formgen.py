# SPDX-License-Identifier: Apache-2.0
"""People without script who send a report through the whole form. Prints one JSON line.

One report is 17 requests on one keep-alive connection: each of the eight steps is fetched, posted
with the sealed cookie, and left by its 303; at the end the receipt is shown. Its time is that of
the answers; the work a challenge asks for is done between them and not counted.
"""

import asyncio
import itertools
import json
import re
import sys
import time
from urllib.parse import urlencode

import uvloop
from wasl_intake.domain.flood import solves
from workload import Report, reports

_COOKIE = re.compile(rb"(?mi)^set-cookie: (wasl1?)=([^;\r\n]*)")
_LOCATION = re.compile(rb"(?mi)^location: ([^\r\n]+)")
_LENGTH = re.compile(rb"(?mi)^content-length: (\d+)")
_CHALLENGE = re.compile(rb'data-challenge="([^"]+)" data-difficulty="(\d+)"')


def _steps(r: Report) -> list[dict[str, str]]:
    return [
        {"danger": "no"},
        {"group": "fraud"},
        {"category": "phishing_malware"},
        {"links": r.url},
        {"affected": "self", "age": "adult"},
        {"narrative": r.text},
        {"email": f"r{r.number}@example.org", "email_safe": "yes", "consent_partner": "yes"},
    ]


class Person:
    """A browser: one connection, the two cookies, and the time its answers took."""

    def __init__(
        self, host: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._host, self._reader, self._writer = host, reader, writer
        self._cookies: dict[bytes, bytes] = {}
        self.seconds = 0.0

    async def ask(self, path: str, form: dict[str, str] | None = None) -> tuple[str, bytes]:
        """(where a 303 leads, or "", and the page). Raises RuntimeError for any other answer."""
        body = b"" if form is None else urlencode(form).encode()
        cookies = b"; ".join(name + b"=" + value for name, value in self._cookies.items() if value)
        head = f"{'GET' if form is None else 'POST'} {path} HTTP/1.1\r\nhost: {self._host}\r\n"
        if form is not None:
            head += f"content-type: application/x-www-form-urlencoded\r\ncontent-length: {len(body)}\r\n"
        started = time.perf_counter()
        cookie = b"cookie: " + cookies + b"\r\n" if cookies else b""
        self._writer.write(head.encode() + cookie + b"\r\n" + body)
        answer = await self._reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(answer)
        page = await self._reader.readexactly(int(length[1]) if length else 0)
        self.seconds += time.perf_counter() - started
        self._cookies.update((n, v.strip(b'"')) for n, v in _COOKIE.findall(answer))
        status, location = answer[9:12], _LOCATION.search(answer)
        if status == b"303" and location:
            return location[1].decode(), page
        if status != b"200":
            raise RuntimeError(f"{path} answered {status.decode()}")
        return "", page

    async def report(self, r: Report) -> None:
        """From the first step to the receipt."""
        path = f"/{r.language}/report/1"
        _, page = await self.ask(path)
        for form in _steps(r):
            path, _ = await self.ask(path, form)
            _, page = await self.ask(path)
        asked = _CHALLENGE.search(page)
        if asked is None:
            raise RuntimeError(f"{path} is not the last step")
        token, bits = asked[1].decode(), int(asked[2])
        answer = next(a for a in map(str, itertools.count()) if solves(token, a, bits))
        path, _ = await self.ask(path, {"challenge": token, "answer": answer, "website": ""})
        if not path.endswith("/receipt"):
            raise RuntimeError(f"the form led to {path}")
        await self.ask(path)


async def main(port: int, count: int, people: int) -> None:
    waiting = list(reports(count, seed=11))
    times: list[float] = []

    async def worker() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while waiting:
            person = Person(f"127.0.0.1:{port}", reader, writer)
            await person.report(waiting.pop())
            times.append(person.seconds)
        writer.close()

    started = time.monotonic()
    await asyncio.gather(*[worker() for _ in range(people)])
    seconds = time.monotonic() - started
    times.sort()
    result = {
        "per_second": count / seconds,
        "p50_ms": times[len(times) // 2] * 1000,
        "p99_ms": times[int(len(times) * 0.99)] * 1000,
    }
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
