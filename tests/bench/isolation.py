# SPDX-License-Identifier: Apache-2.0
"""`make bench-isolation`: what four broken partners cost the others, in one run on one machine.

One gateway process for each built-in connector, each in front of its own simulated partner, the same
steady load for all. First nothing is wrong; then one partner hangs, one refuses, one answers 429, and
the process of a fourth is killed every five seconds. Exit status 1 when a dispatch is lost or reached
a partner twice; times are only printed, as ratios of the run.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
from aiokafka import AIOKafkaConsumer
from machine import ROOT, Cost, Machine, machine, request, write_json
from rich.console import Console
from rich.table import Table
from wasl_chassis.service import Service
from wasl_connector_sdk.registry import load_all
from wasl_local.processes import Child, last_line
from wasl_schemas.topics import DISPATCH_UPDATED_V1, dispatch_requested_v1

sys.path.insert(0, str(ROOT / "tests" / "support"))
from partners import SIMULATIONS, desk

WORK = ROOT / ".wasl" / "bench" / "isolation"
KILL_EVERY = 5.0
WARM_UP = 10.0
RECOVERY = 120.0
CALL_TIMEOUT = 5.0
#: No limit of a manifest, short waits, and no status requests: what is measured is the sending.
TUNED = {
    "rate_per_second": 50,
    "rate_burst": 50,
    "retry_seconds": [1, 2, *[5] * 20],
    "poll_seconds": [86_400],
}
QUIET, FAULTY = "quiet", "faulty"
CORES = psutil.cpu_count() or 1
say = Console(stderr=True)


@dataclass
class Asked:
    """One request. ``published``: when the broker had it; ``settled``: when it was told that the
    partner, or a person, has it.
    """

    connector: str
    phase: str
    at: float
    published: float | None = None
    settled: float | None = None
    state: str = "requested"

    @property
    def seconds(self) -> float | None:
        return None if self.settled is None else self.settled - self.at


@dataclass
class Phase:
    """A stretch of the run. ``busy``: cores in use on this machine, whoever uses them."""

    name: str
    begins: float = field(default_factory=time.time)
    ends: float = 0.0
    busy: float = 0.0
    cost: Cost = field(default_factory=Cost)

    @property
    def seconds(self) -> float:
        return self.ends - self.begins


class Run:
    """The load and what became of it."""

    def __init__(self, m: Machine, names: list[str], control: str) -> None:
        self.m = m
        self.names = names
        self.asked: dict[str, Asked] = {}
        self.phase = ""
        self.kills = 0
        self._partners = httpx.AsyncClient(base_url=control, trust_env=False, timeout=10)
        self._tasks: set[asyncio.Task[None]] = set()

    # -- load ----------------------------------------------------------------------------------------

    async def offer(self, service: Service, rate: float) -> None:
        """``rate`` requests a second to each connector, spread evenly, whatever becomes of them."""
        started, pause = time.monotonic(), 1 / (rate * len(self.names))
        for number, name in enumerate(itertools.cycle(self.names)):
            await asyncio.sleep(started + number * pause - time.monotonic())
            task = asyncio.create_task(self._ask(service, name, number, self.phase))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _ask(self, service: Service, name: str, number: int, phase: str) -> None:
        uow, simulation = service.unit(), SIMULATIONS[name]
        event = await request(
            uow, name, desk(name), simulation.category, simulation.location(number)
        )
        at = event.requested_at.timestamp()
        self.asked[event.dispatch_id] = Asked(name, phase, at)
        await service.submit(uow)

    async def offered(self) -> None:
        """Everything asked for is committed."""
        await asyncio.gather(*self._tasks)

    async def listen(self) -> None:
        """Note what is asked and told, by the time it was published."""
        consumer = AIOKafkaConsumer(
            DISPATCH_UPDATED_V1.name,
            *(dispatch_requested_v1(name).name for name in self.names),
            bootstrap_servers=self.m.kafka.bootstrap,
            group_id=None,
            auto_offset_reset="earliest",
        )
        await consumer.start()
        try:
            async for record in consumer:
                data = json.loads(record.value)["data"]
                asked, at = self.asked[data["dispatch_id"]], record.timestamp / 1000
                if record.topic != DISPATCH_UPDATED_V1.name:
                    asked.published = at
                    continue
                asked.state = data["state"]
                end = "ambiguous" if SIMULATIONS[asked.connector].fake is None else "sent"
                if asked.settled is None and asked.state == end:
                    asked.settled = at
        finally:
            await consumer.stop()

    def check(self) -> None:
        """Raise where a connector has brought nothing to its partner yet."""
        settled = {a.connector for a in self.asked.values() if a.settled is not None}
        if idle := [name for name in self.names if name not in settled]:
            log = self.m.directory / f"{idle[0]}.log"
            raise RuntimeError(f"nothing arrives behind {', '.join(idle)}:\n{last_line(log)}")

    def of(self, connectors: Iterable[str]) -> list[Asked]:
        wanted = set(connectors)
        return [a for a in self.asked.values() if a.connector in wanted]

    def open(self, connectors: Iterable[str]) -> list[Asked]:
        """Those nobody has yet, and that no person was asked about."""
        return [a for a in self.of(connectors) if a.state == "requested"]

    # -- faults --------------------------------------------------------------------------------------

    async def switch(self, faults: Mapping[str, str]) -> None:
        for name, mode in faults.items():
            (await self._partners.put(f"/{name}", json={"mode": mode})).raise_for_status()

    async def books(self) -> dict[str, dict[str, Any]]:
        """What each partner has: ``seen`` by key, ``calls`` by mode."""
        told: dict[str, dict[str, Any]] = (await self._partners.get("/")).raise_for_status().json()
        return told

    async def kill_again_and_again(self, name: str) -> None:
        while True:
            await asyncio.sleep(KILL_EVERY)
            await asyncio.to_thread(self.m.kill_and_restart, name)
            self.kills += 1

    def lanes(self, connector: str) -> str:
        """The circuit in a word."""
        lane = self.m.database("gateway").lanes.find_one({"connector": connector}) or {}
        now = time.time()

        def left(name: str) -> float:
            until = lane.get(name)
            return until.timestamp() - now if until else -1.0

        if lane.get("open_until"):
            wait = left("open_until")
            return f"open, {wait:.0f} s more" if wait > 0 else "half open"
        return (
            f"blocked, {left('blocked_until'):.0f} s more" if left("blocked_until") > 0 else "shut"
        )

    async def close(self) -> None:
        await self._partners.aclose()


@contextlib.asynccontextmanager
async def background(*work: Any) -> AsyncIterator[list["asyncio.Task[None]"]]:
    """Run these meanwhile; what one of them raised is raised at the end."""
    tasks = [asyncio.create_task(w) for w in work]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    for error in ended:
        if isinstance(error, Exception):
            raise error


async def measured(run: Run, name: str, seconds: float, *tasks: "asyncio.Task[None]") -> Phase:
    """One phase; raises what ended a task early."""
    run.m.check()
    run.m.clock_in()
    psutil.cpu_percent()
    run.phase, phase = name, Phase(name)
    done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()
    phase.ends = time.time()
    phase.busy = psutil.cpu_percent() / 100 * CORES
    phase.cost = run.m.clock_out()
    return phase


async def partners(m: Machine, folder: Path) -> tuple[str, dict[str, dict[str, Any]]]:
    """Start them; returns where to control them, and the connectors' settings."""
    m.children["partners"] = Child.start(
        [sys.executable, str(ROOT / "tests/support/partners.py"), str(folder)],
        log=m.directory / "partners.log", env=m.env,
    )  # fmt: skip
    for _ in range(300):
        m.check()
        if (folder / "control").exists():
            return (folder / "control").read_text(), json.loads(
                (folder / "connectors.json").read_text()
            )
        await asyncio.sleep(0.1)
    raise RuntimeError("the simulated partners do not start")


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else float("nan")


def summary(asked: list[Asked], phase: Phase) -> dict[str, float]:
    """p50 and p99 in ms of what was asked in the phase; ``per_second``: settled within it.

    ``published_p50_ms``: the part of it before the broker had the request.
    """
    inside = [a for a in asked if a.settled and phase.begins <= a.settled < phase.ends]
    asked = [a for a in asked if a.phase == phase.name]
    times = [a.seconds * 1000 for a in asked if a.seconds is not None]
    return {
        "asked": len(asked),
        "p50_ms": percentile(times, 0.5),
        "p99_ms": percentile(times, 0.99),
        "published_p50_ms": percentile(
            [(a.published - a.at) * 1000 for a in asked if a.published is not None], 0.5
        ),
        "per_second": len(inside) / phase.seconds,
    }


async def main(rate: float, seconds: float, roles: dict[str, str]) -> int:
    known = load_all()
    names = sorted(known.keys() & SIMULATIONS.keys())
    left_out = sorted(known.keys() - SIMULATIONS.keys())
    faults = {roles["hang"]: "hang", roles["refuse"]: "refuse", roles["storm"]: "storm"}
    broken = [*faults, roles["kill"]]
    say.print(f"{len(names)} connectors" + (f"; no simulation of {left_out}" if left_out else ""))
    folder = WORK.parent / "isolation-partners"
    (folder / "control").unlink(missing_ok=True)
    async with machine(WORK, folder / "pack", names) as m:
        address, configs = await partners(m, folder)
        for name in names:
            m.start(
                name, "wasl_platform_gateway", "--connector", name,
                WASL_CONNECTOR_CONFIG=json.dumps({**configs[name], **TUNED}),
                WASL_GATEWAY_CALL_TIMEOUT_SECONDS=str(CALL_TIMEOUT),
            )  # fmt: skip
        await m.ready()
        run = Run(m, names, address)
        async with m.service("triage") as service, background(run.listen()) as [listening]:
            async with background(run.offer(service, rate)) as [offering]:
                tasks = (listening, offering)
                say.print("warming up")
                await measured(run, "warm-up", WARM_UP, *tasks)
                run.check()
                say.print(f"quiet, {seconds:.0f} s")
                quiet = await measured(run, QUIET, seconds, *tasks)
                say.print(f"faulty, {seconds:.0f} s: {faults} killed: {roles['kill']}")
                await run.switch(faults)
                async with background(run.kill_again_and_again(roles["kill"])) as [killing]:
                    faulty = await measured(run, FAULTY, seconds, *tasks, killing)
            await run.offered()
            at_the_end = {
                name: {"pending": len(run.open([name])), "circuit": run.lanes(name)}
                for name in broken
            }
            say.print("the faults end")
            over, calls = time.time(), await run.books()
            await run.switch(dict.fromkeys(faults, "ok"))
            while run.open(names) and time.time() < over + RECOVERY:
                m.check()
                await asyncio.sleep(0.2)
            await asyncio.sleep(2)  # what is to arrive twice needs time for it
            books = await run.books()
        await run.close()
        others = [name for name in names if name not in broken]
        result: dict[str, Any] = {
            "connectors": len(names), "left_out": left_out, "others": others,
            "rate": rate, "seconds": seconds, "noise": halves(run, others, quiet),
            QUIET: of_phase(run, names, others, quiet),
            FAULTY: of_phase(run, names, others, faulty),
            **judged(run, names, books),
        }  # fmt: skip
        result["broken"] = {
            name: {
                "fault": faults.get(name, f"killed {run.kills} times"),
                **at_the_end[name],
                "calls": calls[name]["calls"],
                "recovered_after_s": recovered(run, name, over),
            }
            for name in broken
        }
    show(result, names, broken)
    path = ROOT / f"bench-isolation-{time.strftime('%Y%m%d-%H%M%S')}.json"
    write_json(path, result)
    say.print(f"written to {path.name}")
    return 1 if sum(result["lost"].values()) or sum(result["twice"].values()) else 0


def recovered(run: Run, name: str, over: float) -> float:
    """Seconds from the end of the faults to the last one that was sent."""
    last = [a.settled for a in run.asked.values() if a.connector == name and a.settled is not None]
    return max(0.0, max(last) - over) if last else float("nan")


def judged(run: Run, names: list[str], books: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Lost: nobody has it and no person was asked. Twice: the partner has it more than once."""
    lost, twice, in_doubt = Counter[str](), Counter[str](), Counter[str]()
    for dispatch_id, asked in run.asked.items():
        name = asked.connector
        by_hand = SIMULATIONS[name].fake is None
        copies = 1 if by_hand else books[name]["seen"].get(dispatch_id, 0)
        twice[name] += copies > 1
        if asked.settled is None and asked.state == "ambiguous":
            in_doubt[name] += 1
        elif asked.settled is None or not copies:
            lost[name] += 1
    return {
        "lost": {n: lost[n] for n in names},
        "twice": {n: twice[n] for n in names},
        "in_doubt": {n: in_doubt[n] for n in names},
        "asked": {n: sum(a.connector == n for a in run.asked.values()) for n in names},
    }


def of_phase(run: Run, names: list[str], others: list[str], phase: Phase) -> dict[str, Any]:
    return {
        "by_connector": {name: summary(run.of([name]), phase) for name in names},
        "others": summary(run.of(others), phase),
        "busy_cores": phase.busy,
        "ours_cores": phase.cost.total / phase.seconds,
        "cpu_percent": {n: c / phase.seconds * 100 for n, c in phase.cost.cpu.items()},
        "memory_mb": phase.cost.memory,
    }


def halves(run: Run, others: list[str], phase: Phase) -> dict[str, float]:
    """Second half of a phase over its first: what this machine does to a ratio by itself."""
    middle = (phase.begins + phase.ends) / 2
    asked = [a for a in run.of(others) if a.phase == phase.name and a.seconds is not None]
    first = [a.seconds or 0 for a in asked if a.at < middle]
    second = [a.seconds or 0 for a in asked if a.at >= middle]
    return {
        f"p{share:.0%}".rstrip("%"): percentile(second, share) / percentile(first, share)
        for share in (0.5, 0.99)
    }


def show(result: dict[str, Any], names: list[str], broken: list[str]) -> None:
    console = Console()
    quiet, faulty = result["quiet"]["by_connector"], result["faulty"]["by_connector"]
    table = Table(
        "the others", "quiet: p50 ms", "p99 ms", "/s", "faulty: p50 ms", "p99 ms", "/s",
        "ratio p50", "p99", "/s", "lost", "twice",
        title=f"{result['connectors']} connectors, {result['rate']:g} requests a second to each",
    )  # fmt: skip

    def add(name: str, q: dict[str, float], f: dict[str, float], among: list[str]) -> None:
        table.add_row(
            name, *_cells(q), *_cells(f),
            *(_ratio(f[k], q[k]) for k in ("p50_ms", "p99_ms", "per_second")),
            *(str(sum(result[what][n] for n in among)) for what in ("lost", "twice")),
        )  # fmt: skip

    for name in result["others"]:
        add(name, quiet[name], faulty[name], [name])
    table.add_section()
    add("all of these", result[QUIET]["others"], result[FAULTY]["others"], result["others"])
    console.print(table)
    noise = ", ".join(f"{name} {value:.2f}" for name, value in result["noise"].items())
    console.print(f"what nothing costs, second half of the quiet phase over its first: {noise}")

    table = Table(
        "broken", "how", "asked meanwhile", "sent meanwhile /s", "pending at the end", "circuit",
        "calls it met", "caught up after", "in doubt", "lost", "twice",
    )  # fmt: skip
    for name in broken:
        row = result["broken"][name]
        met = sum(n for mode, n in row["calls"].items() if mode != "ok")
        table.add_row(
            name, row["fault"], str(faulty[name]["asked"]), f"{faulty[name]['per_second']:.2f}",
            str(row["pending"]), row["circuit"], str(met), f"{row['recovered_after_s']:.0f} s",
            str(result["in_doubt"][name]), str(result["lost"][name]), str(result["twice"][name]),
        )  # fmt: skip
    console.print(table)

    table = Table("process", "CPU % of a core, quiet", "faulty", "MB, peak")
    for name, cpu in result["quiet"]["cpu_percent"].items():
        table.add_row(
            name, f"{cpu:.1f}", f"{result['faulty']['cpu_percent'].get(name, 0):.1f}",
            f"{result['faulty']['memory_mb'].get(name, 0):.0f}",
        )  # fmt: skip
    console.print(table)
    for name in (QUIET, FAULTY):
        busy, ours = result[name]["busy_cores"], result[name]["ours_cores"]
        console.print(
            f"{name}: {busy:.2f} of {CORES} cores in use, {ours:.2f} by the processes above"
        )
    if max(result[name]["busy_cores"] for name in (QUIET, FAULTY)) > 0.9 * CORES:
        console.print("[bold]no core was free: the times say what the machine did, not the hub[/]")


def _ratio(over: float, under: float) -> str:
    return f"{over / under:.2f}" if under else "–"


def _cells(row: dict[str, float]) -> tuple[str, str, str]:
    return f"{row['p50_ms']:.0f}", f"{row['p99_ms']:.0f}", f"{row['per_second']:.2f}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=1.0, help="requests a second per connector")
    parser.add_argument("--seconds", type=float, default=50, help="of each phase")
    # Partners that can tell a repeated request: after a cut-off call the others need a person.
    for role, name in (
        ("hang", "reference"), ("refuse", "gotosocial"), ("storm", "youtube"), ("kill", "webhook"),
    ):  # fmt: skip
        parser.add_argument(f"--{role}", default=name, choices=sorted(SIMULATIONS))
    args = parser.parse_args()
    chosen = {role: getattr(args, role) for role in ("hang", "refuse", "storm", "kill")}
    if len(set(chosen.values())) < len(chosen) or "assisted" in chosen.values():
        parser.error("four different connectors, none of them 'assisted'")
    sys.exit(asyncio.run(main(args.rate, args.seconds, chosen)))
