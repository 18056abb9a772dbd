# SPDX-License-Identifier: Apache-2.0
"""`make bench-desk`: what the desk's own lines cost: signals, rules, matching, steps, pages.

Each is a script of its own and runs in a process of its own; ``steps`` is here: one report through
triage's handler, by what it spends its time on, in this process's own processor time, so that
neighbours on the machine do not count.

    python tests/bench/desk.py --only steps
    python tests/bench/desk.py --matching 1e5 1e6 1e7 --cases 1000000
"""

import argparse
import asyncio
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from machine import PACK, ROOT
from rich.console import Console
from rich.table import Table
from workload import reports

sys.path.insert(0, str(ROOT / "tests" / "support"))

import triage_world
from triage_world import World
from wasl_chassis.store import Changes, Collection, Doc
from wasl_chassis.testing import MemoryStore
from wasl_schemas.country_pack import load_country_pack
from wasl_schemas.envelope import Event
from wasl_schemas.events.report_submitted_v1 import ReportContent, ReportSubmittedV1
from wasl_triage import campaigns, handlers
from wasl_triage.casework import CONTENT
from wasl_triage.domain import signals
from wasl_triage.domain.suggesting import Suggester
from wasl_triage.rules.engine import RuleSet

HERE = Path(__file__).parent
BATCH = 200
say = Console(width=110)


# -- one report, step by step ----------------------------------------------------------------------


class Stopwatch:
    """Processor time by name, of calls that do not nest in each other."""

    def __init__(self) -> None:
        self.spent: Counter[str] = Counter()
        self._inside = False

    def watch(self, owner: Any, attribute: str, name: str) -> Callable[[], None]:
        """Time what this attribute does from now on. Returns how to stop."""
        work = getattr(owner, attribute)
        own = vars(owner).get(attribute) if isinstance(owner, type) else None

        def timed(*args: Any, **kwargs: Any) -> Any:
            if self._inside:
                return work(*args, **kwargs)
            self._inside, begun = True, time.process_time_ns()
            try:
                return work(*args, **kwargs)
            finally:
                self.spent[name] += time.process_time_ns() - begun
                self._inside = False

        setattr(owner, attribute, timed)
        return lambda: setattr(owner, attribute, own if own is not None else work)

    def watch_async(self, owner: Any, attribute: str, name: str) -> Callable[[], None]:
        work: Callable[..., Awaitable[Any]] = getattr(owner, attribute)

        async def timed(*args: Any, **kwargs: Any) -> Any:
            if self._inside:
                return await work(*args, **kwargs)
            self._inside, begun = True, time.process_time_ns()
            try:
                return await work(*args, **kwargs)
            finally:
                self.spent[name] += time.process_time_ns() - begun
                self._inside = False

        setattr(owner, attribute, timed)
        return lambda: setattr(owner, attribute, work)


class Nowhere(MemoryStore):
    """Keeps what it is given and copies nothing: the tests' own store costs more than the work."""

    async def read(self, collection: Collection[Any], ids: Sequence[str]) -> dict[str, Doc]:
        held = self.docs.get(collection.name, {})
        return {i: held[i] for i in ids if i in held}

    async def find(self, *_: Any, **__: Any) -> list[Doc]:
        return []

    async def commit(self, changes: Changes) -> None:
        for collection, docs in changes.inserts.items():
            self.docs.setdefault(collection.name, {}).update({d["_id"]: d for d in docs})
        for collection, rows in changes.replaces.items():
            self.docs[collection.name].update({i: doc for i, _, doc in rows})


async def batches(world: World, count: int) -> list[list[Event[ReportSubmittedV1]]]:
    """The reports of the chain's bench, as intake emits them."""
    events = [
        await world.report(
            report.url, text=report.text, category="scam_fraud", language=report.language
        )
        for report in reports(count)
    ]
    return [events[n : n + BATCH] for n in range(0, count, BATCH)]


async def through(world: World, portions: list[list[Event[ReportSubmittedV1]]]) -> float:
    """Microseconds a report of processor time, prefetch, handler and commit."""
    begun = time.process_time_ns()
    for portion in portions:
        await world.deliver(*portion, inbox=False)
    return (time.process_time_ns() - begun) / 1000 / sum(map(len, portions))


async def steps(count: int) -> dict[str, float]:
    """Microseconds a report by step; ``whole`` without the watches, ``rest`` is what is not named."""
    pack = load_country_pack(PACK)
    signals.prepare()
    triage_world._plain = lambda _: None  # a check of the tests
    triage_world.MemoryStore = Nowhere  # type: ignore[misc]
    whole = []
    for _ in range(3):
        world = World(pack)
        portions = await batches(world, count)
        whole.append(await through(world, portions))
    world = World(pack)
    portions = await batches(world, count)
    watch, deriver = Stopwatch(), world.deriver
    undo = [
        watch.watch(deriver, "_items", "items: key, platform, case id"),
        watch.watch(signals, "read", "signals: language, personal data, self-harm, sketch"),
        watch.watch(deriver, "_matches", "known hashes"),
        watch.watch(Suggester, "suggest", "suggested category"),
        watch.watch(RuleSet, "evaluate", "rules"),
        watch.watch(world.handlers, "_facts", "facts for the rules"),
        watch.watch(campaigns, "place", "campaigns: place"),
        watch.watch(handlers.ReportContent, "model_validate_json", "content: validate"),
        watch.watch(handlers, "_report", "row of the report"),
        watch.watch_async(world.hub, "commit", "commit: encode"),
    ]
    watched = await through(world, portions)
    for one in undo:
        one()
    found = {"whole": min(whole), "watched": watched}
    found |= {name: spent / 1000 / count for name, spent in watch.spent.most_common()}
    found["rest: open seal, new case and key, places, events"] = watched - sum(
        v for k, v in found.items() if k not in ("whole", "watched")
    )
    return found


async def derive_alone(count: int) -> tuple[float, float]:
    """Microseconds a report of ``Deriver.derive``, and of the same without its text's signals."""
    pack = load_country_pack(PACK)
    signals.prepare()
    world = World(pack)
    work = []
    for portion in await batches(world, count):
        for event in portion:
            text = await world.hub.unit().keys.open(event.data.content, CONTENT)
            work.append((event.data, ReportContent.model_validate_json(text)))
    without = [(data, content.model_copy(update={"narrative": ""})) for data, content in work]
    best = []
    for each in (work, without):
        runs = []
        for _ in range(3):
            begun = time.process_time_ns()
            for data, content in each:
                world.deriver.derive(data, content)
            runs.append((time.process_time_ns() - begun) / 1000 / count)
        best.append(min(runs))
    return best[0], best[1]


def show_steps(found: dict[str, float], derived: tuple[float, float]) -> None:
    whole = found["whole"]
    table = Table("step", "µs a report", "share", title="one report through triage, no database")
    for name, us in found.items():
        if name not in ("whole", "watched"):
            table.add_row(name, f"{us:.1f}", f"{us / found['watched']:.0%}")
    say.print(table)
    say.print(
        f"whole: {whole:.0f} µs, {1e6 / whole:,.0f} reports/s a core; Deriver.derive alone"
        f" {derived[0]:.0f} µs, of a report without text {derived[1]:.0f} µs:"
        f" the text's signals are {(derived[0] - derived[1]) / whole:.0%} of the whole"
    )


def measure_steps(count: int) -> None:
    found = asyncio.run(steps(count))
    show_steps(found, asyncio.run(derive_alone(count)))


# -- all lines -------------------------------------------------------------------------------------


def lines(given: argparse.Namespace) -> dict[str, list[str]]:
    return {
        "signals": ["signals.py"],
        "quality": ["quality.py"],
        "rules": ["rules.py"],
        "matching": ["matching.py", "--count", *given.matching],
        "steps": ["desk.py", "--steps", str(given.reports)],
        "console": ["console.py", "--cases", str(given.cases)],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    known = lines(SimpleNamespace(matching=[], reports=0, cases=0))  # type: ignore[arg-type]
    parser.add_argument("--only", nargs="+", choices=known, default=list(known))
    parser.add_argument("--matching", nargs="+", default=["1e5"], metavar="HASHES")
    parser.add_argument("--cases", type=int, default=1_000_000)
    parser.add_argument("--reports", type=int, default=4_000)
    parser.add_argument("--steps", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.steps:
        measure_steps(given.steps)
        return 0
    failed = []
    for name, (script, *options) in lines(given).items():
        if name not in given.only or not (HERE / script).exists():
            continue
        say.rule(name)
        done = subprocess.run([sys.executable, str(HERE / script), *options], check=False)
        if done.returncode:
            failed.append(name)
    if failed:
        say.print(f"not measured to the end: {', '.join(failed)}; what they wrote is above")
    return bool(failed)


if __name__ == "__main__":
    raise SystemExit(main())
