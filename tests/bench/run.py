# SPDX-License-Identifier: Apache-2.0
"""`make bench`: ratios of one run on one machine. `--peers` adds Celery with Redis.

(a) raw limit  (b) the hub's chain at 1, 2 and 4 triage replicas  (c) the same handlers, one event a
transaction  (d) intake over HTTP  (e) a dead connector beside a living one  (f) peers  (g) the
reporter's form beside the API, also with the broker or the database away.
The chain: report.submitted → case → dispatch.requested → ledger row, every step durable (majority).
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from machine import PACK, ROOT, Cost, Machine, first_to_last, machine, request, write_json
from rich.console import Console
from rich.table import Table
from wasl_schemas import topics
from wasl_schemas.events.common import Channel
from wasl_schemas.events.report_submitted_v1 import ReportContent, ReportSubmittedV1
from wasl_schemas.ids import uuid7
from workload import reports, unique

WORK = ROOT / ".wasl" / "bench"
OFF = {"reference": {"base_url": "http://127.0.0.1:9", "token": "x" * 32}}
STAFF = json.dumps([{"name": "bench", "sha256": "0" * 64, "roles": ["analyst"]}])
#: Reports before a measurement of a door.
WARM = 100
say = Console(stderr=True)


async def seed(m: Machine, count: int) -> None:
    """``count`` report.submitted events in Kafka, their keys in the vault."""
    async with m.service("intake") as service:
        uow, pending = service.unit(), 0
        for report in reports(count):
            report_id = uuid7()
            uow.keys.create(report_id)
            content = ReportContent(locations=(report.url,), narrative=report.text)
            sealed = await uow.keys.seal(report_id, "report.content", content.model_dump_json())
            uow.emit(
                topics.REPORT_SUBMITTED_V1,
                ReportSubmittedV1(
                    report_id=report_id,
                    received_at=uow.now(),
                    channel=Channel.WEB,
                    language=report.language,
                    category="csam",
                    content=sealed,
                ),
            )
            pending += 1
            if pending == 1000:
                await service.commit(uow)
                uow, pending = service.unit(), 0
        await service.commit(uow)


async def raw(count: int) -> dict[str, Any]:
    async with machine(WORK / "raw") as m:
        await seed(m, count)
        m.clock_in()
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(Path(__file__).with_name("raw.py")), m.kafka.bootstrap, m.mongo.uri,
            topics.REPORT_SUBMITTED_V1.name, str(count), stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, _ = await process.communicate()
        return {"per_second": float(out), **costs(m.clock_out(), count)}


def costs(cost: Cost, count: int) -> dict[str, Any]:
    return {
        "cpu_seconds_per_million": round(cost.total / count * 1e6),
        "cpu": {k: round(v, 2) for k, v in cost.cpu.items()},
        "memory_mb": {k: round(v) for k, v in cost.memory.items()},
    }


async def chain(count: int, replicas: int = 1, **env: str) -> dict[str, Any]:
    """From the first case to the last ledger row, with nothing lost and nothing twice."""
    goal = unique(count)
    async with machine(
        WORK / f"chain-{replicas}-{env.get('WASL_BATCH_MAX_RECORDS', 'batch')}"
    ) as m:
        await seed(m, count)
        # Paused: the ledger row is the end of the chain, no partner takes part.
        m.database("gateway").connectors.insert_one(
            {"_id": "reference", "_rev": 1, "paused": True, "since": None, "by": "bench"}
        )
        triage, gateway = m.database("triage"), m.database("gateway")
        for n in range(replicas):
            m.start(f"triage-{n}", "wasl_triage", WASL_TRIAGE_STAFF=STAFF, **env)
        m.start(
            "gateway", "wasl_platform_gateway", "--connector", "reference",
            WASL_CONNECTOR_CONFIG=json.dumps(OFF["reference"]), **env,
        )  # fmt: skip
        m.clock_in()

        def done() -> int:
            return min(gateway.ledger.estimated_document_count(), goal) + min(
                triage.reports.estimated_document_count(), count
            )

        begun, ended = await first_to_last(done, goal + count, alive=m.check)
        cost = m.clock_out()
        cases = triage.cases.count_documents({})
        handled = sum(c["reports"] for c in triage.cases.find({}, {"reports": 1}))
        rows = gateway.ledger.count_documents({})
        return {
            "per_second": count / (ended - begun),
            "replicas": replicas,
            "duplicates_leaked": cases - goal + rows - goal,
            "reports_lost": count - handled,
            **costs(cost, count),
        }


async def intake(count: int) -> dict[str, Any]:
    async with machine(WORK / "intake") as m:
        port = _intake(m)
        await m.ready()
        for size in (500, count):  # the first warms up
            m.clock_in()
            result = await _load("loadgen.py", port, size, 64)
        stored = m.database("intake").reports.count_documents({})
        return {**result, "stored": stored, "expected": count + 500, **costs(m.clock_out(), count)}


async def door(count: int, client: str, people: int, away: str = "") -> dict[str, Any]:
    """``client``: the script that sends; ``away``: kafka or mongod, stopped before the measurement.

    With the spool. Memory is the intake process's alone; stored is counted once all is back.
    """
    async with machine(WORK / f"door-{client[:4]}-{away or 'up'}") as m:
        port = _intake(m, WASL_INTAKE_SPOOL=str(m.directory / "spool"))
        await m.ready()
        await _load(client, port, WARM, people)
        server = {"kafka": m.kafka, "mongod": m.mongo}.get(away)
        if server is not None:
            await asyncio.to_thread(server.stop)
            await _load(client, port, people, people)  # one of them finds out, and waits for it
        m.clock_in()
        result = await _load(client, port, count, people)
        cost = m.clock_out()
        expected = WARM + (people if server else 0) + count
        if server is not None:
            await asyncio.to_thread(server.start)
        rows = m.database("intake").reports
        await first_to_last(lambda: rows.count_documents({}), expected, alive=m.check)
        cost.memory = {"intake": cost.memory["intake"]}
        return {
            **result,
            "stored": rows.count_documents({}),
            "expected": expected,
            **costs(cost, count),
        }


def _intake(m: Machine, **env: str) -> int:
    """Start the service; returns its port."""
    from wasl_local.servers import free_port

    port = free_port()
    m.start(
        "intake",
        "wasl_intake",
        WASL_INTAKE_PORT=str(port),
        WASL_INTAKE_FLOOD_RATE="100000",  # what is measured is the work, not the brake
        WASL_INTAKE_FLOOD_SIMILAR="100000",
        WASL_INTAKE_FLOOD_BITS="12",  # what is asked of a form's sender in calm, less their work
        **env,
    )
    return port


async def _load(client: str, port: int, count: int, connections: int) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(Path(__file__).with_name(client)), str(port), str(count),
        str(connections), stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{client} failed; what it wrote is above")
    result: dict[str, Any] = json.loads(out)
    return result


async def neighbours(count: int, dead: bool) -> dict[str, Any]:
    """Seconds from request to the partner's acceptance behind `webhook`, `reference` dead or alive."""
    from wasl_local.servers import free_port

    async with machine(WORK / f"neighbours-{dead}") as m:
        ports = {name: free_port() for name in ("webhook", "reference")}
        secret = "whsec_" + "YmVuY2hiZW5jaGJlbmNoYmVuY2hiZW5jaGJlbmNo"
        for name, port in ports.items():
            if dead and name == "reference":
                continue
            m.children[f"partner-{name}"] = _partner(m, name, port, secret)
        config = {
            "webhook": {"endpoints": {"hosting-desk": {"url": f"http://127.0.0.1:{ports['webhook']}/webhook", "secret": secret}}},
            "reference": {"base_url": f"http://127.0.0.1:{ports['reference']}", "token": "t" * 32},
        }  # fmt: skip
        for name in ports:
            m.start(
                name, "wasl_platform_gateway", "--connector", name,
                WASL_CONNECTOR_CONFIG=json.dumps(config[name]), WASL_LOG_LEVEL="WARNING",
            )  # fmt: skip
        await m.ready()
        async with m.service("triage") as service:
            for start in range(0, count, 10):
                uow = service.unit()
                for n in range(start, start + 10):
                    page = f"https://example.net/{n}"
                    await request(uow, "webhook", "hosting-desk", "phishing_malware", page)
                    await request(uow, "reference", "iwf", "csam", page)
                await service.commit(uow)
                await asyncio.sleep(0.05)
            ledger = m.database("gateway").ledger

            def sent() -> int:
                return ledger.count_documents({"connector": "webhook", "sent_at": {"$ne": None}})

            await first_to_last(sent, count, timeout=120, every=0.1)
        delays = sorted(
            (row["sent_at"] - row["requested_at"]).total_seconds() * 1000
            for row in ledger.find({"connector": "webhook"}, {"sent_at": 1, "requested_at": 1})
        )
        return {"p50_ms": delays[len(delays) // 2], "p99_ms": delays[int(len(delays) * 0.99)]}


def _partner(m: Machine, name: str, port: int, secret: str) -> Any:
    from wasl_local.processes import Child

    return Child.start(
        [sys.executable, "-m", "wasl_local.simulator", "--port", str(port), "--mode", "silent",
         "--secret", secret, "--token", "t" * 32],
        log=m.directory / f"partner-{name}.log", env=m.env,
    )  # fmt: skip


async def main(count: int, peers: bool, only: str, rounds: int) -> None:
    results: dict[str, Any] = {
        "reports": count,
        "duplicates": count - unique(count),
        "pack": PACK.name,
        "load_before": os.getloadavg(),
    }
    say.print(f"load of this machine before: {', '.join(f'{n:.1f}' for n in os.getloadavg())}")
    form, api = max(200, count // 20), max(1_000, count // 4)
    steps: list[tuple[str, str, Any]] = [
        ("a", "raw", lambda: raw(count)),
        ("b", "chain", lambda: chain(count)),
        ("b2", "chain, 2 triage replicas", lambda: chain(count, 2)),
        ("b4", "chain, 4 triage replicas", lambda: chain(count, 4)),
        ("c", "naive chain", lambda: chain(max(500, count // 10), WASL_BATCH_MAX_RECORDS="1")),
        ("d", "intake", lambda: intake(count)),
        ("e0", "neighbour alive", lambda: neighbours(600, dead=False)),
        ("e1", "neighbour dead", lambda: neighbours(600, dead=True)),
        ("g0", "form", lambda: door(form, "formgen.py", 16)),
        ("g1", "form, broker away", lambda: door(form, "formgen.py", 16, "kafka")),
        ("g2", "form, database away", lambda: door(form, "formgen.py", 16, "mongod")),
        ("g3", "API", lambda: door(api, "loadgen.py", 64)),
        ("g4", "API, broker away", lambda: door(api, "loadgen.py", 64, "kafka")),
        ("g5", "API, database away", lambda: door(api, "loadgen.py", 64, "mongod")),
    ]
    if peers:
        from peers import celery_chain

        steps.append(("f", "Celery + Redis", lambda: celery_chain(count, WORK / "celery")))
    try:
        await _measure(steps, only, rounds, results)
    finally:  # what was measured before a step failed is worth keeping
        show(results)
        path = ROOT / f"bench-{time.strftime('%Y%m%d-%H%M%S')}.json"
        write_json(path, results)
        say.print(f"written to {path.name}")


async def _measure(
    steps: list[tuple[str, str, Any]], only: str, rounds: int, results: dict[str, Any]
) -> None:
    keys = {key for key, _, _ in steps}
    chosen = set(only.split(","))
    for key, name, step in steps:
        letter = key.rstrip("0123456789")
        if only and key not in chosen and (letter in keys or letter not in chosen):
            continue
        runs = []
        for _ in range(rounds):
            say.print(f"[dim]{name} …[/]")
            runs.append(await step())
        runs.sort(key=lambda r: r.get("per_second", r.get("p50_ms", 0)))
        results[key] = {"name": name, **runs[len(runs) // 2]}
        if rounds > 1:
            rates = [r.get("per_second", r.get("p50_ms", 0)) for r in runs]
            results[key]["spread"] = [rates[0], statistics.median(rates), rates[-1]]


def show(results: dict[str, Any]) -> None:
    table = Table(
        "", "what", "per second", "of raw (a)", "CPU s / million", "MB, peak", "lost / twice"
    )
    base = results.get("a", {}).get("per_second")
    for key, row in results.items():
        if not isinstance(row, dict):
            continue
        rate = row.get("per_second")
        lost = (
            f"{row['reports_lost']} / {row['duplicates_leaked']}" if "reports_lost" in row else ""
        )
        if "stored" in row:
            lost = f"{row['expected'] - row['stored']} / 0"
        what = row["name"]
        if "p99_ms" in row:
            what += f" (p50 {row['p50_ms']:.1f} ms, p99 {row['p99_ms']:.1f} ms)"
        table.add_row(
            key, what, f"{rate:,.0f}" if rate else "", f"{rate / base:.0%}" if rate and base else "",
            f"{row['cpu_seconds_per_million']:,}" if "cpu_seconds_per_million" in row else "",
            str(sum(row["memory_mb"].values())) if "memory_mb" in row else "", lost,
        )  # fmt: skip
    Console().print(table)

    def ratio(name: str, over: str, under: str, aim: str, field: str = "per_second") -> None:
        a, b = results.get(over), results.get(under)
        if a and b:
            Console().print(f"{name}: {a[field] / b[field]:.2f}  (aim {aim})")

    ratio("chain / raw limit (b/a)", "b", "a", "≥ 0.40")
    ratio("chain / naive chain (b/c)", "b", "c", "≥ 10")
    ratio("chain / Celery + Redis (b/f)", "b", "f", "≥ 5")
    ratio("2 replicas / 1 (b2/b)", "b2", "b", "no loss, no duplicate")
    ratio("4 replicas / 1 (b4/b)", "b4", "b", "no loss, no duplicate")
    ratio("p99 beside a dead connector / a living one", "e1", "e0", "≤ 1.05", "p99_ms")
    ratio("p50 beside a dead connector / a living one", "e1", "e0", "≤ 1.05", "p50_ms")
    ratio("form / API (g0/g3), a form is 17 requests", "g0", "g3", "≥ 0.03")
    for name, up, broker, database in (("form", "g0", "g1", "g2"), ("API", "g3", "g4", "g5")):
        ratio(f"{name}, broker away / up ({broker}/{up})", broker, up, "≥ 0.80")
        ratio(f"{name}, database away / up ({database}/{up})", database, up, "≥ 0.80")
        ratio(f"{name}, p99, broker away / up", broker, up, "≤ 1.50", "p99_ms")
        ratio(f"{name}, p99, database away / up", database, up, "≤ 1.50", "p99_ms")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reports", type=int, default=20_000)
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--only", default="", help="e.g. a,b,g1; e and g: all theirs")
    parser.add_argument("--rounds", type=int, default=1)
    args = parser.parse_args()
    asyncio.run(main(args.reports, args.peers, args.only, args.rounds))
