# SPDX-License-Identifier: Apache-2.0
"""Posts reports over keep-alive connections and notes each answer's time. Prints one JSON line."""

import asyncio
import json
import sys
import time

import uvloop
from workload import reports


async def main(port: int, count: int, connections: int) -> None:
    bodies = []
    for r in reports(count, seed=11):
        body = json.dumps(
            {"language": r.language, "category": "csam", "locations": [r.url],
             "narrative": r.text}, ensure_ascii=False,
        ).encode()  # fmt: skip
        head = (
            f"POST /api/v1/reports HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        bodies.append(head.encode() + body)
    times: list[float] = []
    statuses: dict[str, int] = {}

    async def worker() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while bodies:
            request = bodies.pop()
            started = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            size = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            await reader.readexactly(size)
            times.append(time.perf_counter() - started)
            status = head[9:12].decode()
            statuses[status] = statuses.get(status, 0) + 1
        writer.close()

    started = time.monotonic()
    await asyncio.gather(*[worker() for _ in range(connections)])
    seconds = time.monotonic() - started
    times.sort()
    result = {
        "per_second": count / seconds,
        "p50_ms": times[len(times) // 2] * 1000,
        "p99_ms": times[int(len(times) * 0.99)] * 1000,
        "statuses": statuses,
    }
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
