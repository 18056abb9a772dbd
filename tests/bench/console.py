# SPDX-License-Identifier: Apache-2.0
"""The desk's pages with a million cases in the store, beside the same pages with ten thousand.

A real mongod, the real application over HTTP on loopback, clients that each wait for their answer.
Cases are copies of a few hundred that the real handlers and the real desk made, with what is asked
for varied; those that are opened or looked for by address came through the handlers themselves.
Nobody signs in: a header names the person. Times are for this machine; the ratio is the figure.

    python tests/bench/console.py                       # 1,000,000 and 10,000
    python tests/bench/console.py --cases 100000 --requests 100
"""

import argparse
import asyncio
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psutil
import uvloop
from machine import PACK, ROOT, write_json
from rich.console import Console as Screen
from rich.table import Table

sys.path.insert(0, str(ROOT / "tests" / "support"))

import triage_world
from cases_kit import CLOSE, decided
from desk import Door, Signed, application
from triage_world import ANA, World
from wasl_chassis.clock import SystemClock
from wasl_chassis.mongo import MongoStore
from wasl_chassis.serving import HttpServer
from wasl_chassis.store import Collection
from wasl_chassis.testing import MemoryStore
from wasl_chassis.vault import KEYS
from wasl_chassis.work import UnitOfWork
from wasl_local.servers import LOOPBACK, EmbeddedMongo, free_port
from wasl_schemas.country_pack import CountryPack, load_country_pack
from wasl_triage.audit.trail import AUDIT, AuditRow
from wasl_triage.bootstrap import COLLECTIONS
from wasl_triage.domain.people import Person, Role
from wasl_triage.repository import CASES, REPORTS

WORK = ROOT / ".wasl" / "bench-console"
#: Cases in the store the other one is compared with.
FEW = 10_000
#: Of a hundred cases these wait; the others are settled.
WAITING = 0.03
#: Cases that came through the handlers, with keys, texts and all.
REAL = 400
#: Documents of one write.
MANY = 2_000
#: Reports, and audit rows, for each case.
REPORTS_A_CASE, ROWS_A_CASE = 1.2, 0.2
#: Of those rows.
_HASH = "1" * 64
PEOPLE = 200
TEXTS = (
    "وصلني هذا الرابط من شخص لا أعرفه وأظن أنه مخالف للقانون أرجو التحقق",
    "On m’a transmis ce lien hier soir et je pense qu’il est illégal, merci de vérifier",
    "bghit nbellegh 3la had lpage kat9leb 3la flous dyal nass",
)
say = Screen(stderr=True)


# -- a world on a real store -----------------------------------------------------------------------


class Stored(triage_world.Hub):
    """What triage uses of the chassis, on a database, with the time as it is."""

    def __init__(self, store: Any) -> None:
        super().__init__()
        self.store, self.clock = store, SystemClock()  # type: ignore[assignment]

    async def commit(self, uow: UnitOfWork) -> None:
        await self.store.commit(uow.changes())


def world_on(store: Any, pack: CountryPack) -> World:
    hub = Stored(store)
    held, triage_world.Hub = triage_world.Hub, lambda: hub  # type: ignore[misc, assignment]
    try:
        return World(pack)
    finally:
        triage_world.Hub = held  # type: ignore[misc]


def store_of(uri: str, name: str) -> MongoStore:
    return MongoStore(uri, database=name, vault_database=f"{name}_vault")


# -- what is in it ---------------------------------------------------------------------------------


def address(n: int) -> str:
    return f"https://site{n % 97}.example.org/item/{n}"


async def real(world: World, count: int, seed: int) -> None:
    """Reports of these addresses through the handlers, in batches as the consumer has them."""
    rng = random.Random(seed)
    categories = sorted(world.pack.categories)
    for start in range(0, count, 100):
        events = [
            await world.report(
                address(n),
                text=f"{rng.choice(TEXTS)} {n}",
                category=categories[n % len(categories)],
                consent_partner=n % 3 == 0,
            )
            for n in range(start, min(start + 100, count))
        ]
        await world.deliver(*events)


async def templates(pack: CountryPack) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Documents of cases that wait, and of cases that are over, as handlers and desk make them."""
    world = world_on(MemoryStore(), pack)
    world.hub.store.inbox = set()
    await real(world, 300, seed=3)
    for n, case in enumerate(world.cases()):
        if n % 2 and case.category is not None and not case.dispatches:
            await decided(world, case.id, CLOSE, case.category, ANA)
    docs = list(world.hub.store.docs["cases"].values())
    return [d for d in docs if d["queued"]], [d for d in docs if not d["queued"]]


def skewed(rng: random.Random, of: Sequence[str]) -> str:
    """The first are common, the last are rare."""
    return of[min(int(rng.expovariate(0.6)), len(of) - 1)]


async def cases(pack: CountryPack, count: int, now: datetime) -> AsyncIterator[dict[str, Any]]:
    rng = random.Random(11)
    waits, over = await templates(pack)
    queues, categories = [q.id for q in pack.desk.queues], list(pack.categories)
    platforms = list(pack.services)
    child = {c for c in categories if c.startswith("csa")}
    for n in range(count):
        queued = rng.random() < WAITING
        doc = dict(rng.choice(waits if queued else over))
        opened = now - timedelta(minutes=rng.randrange(1, 60 * 24 * 7 if queued else 1_500_000))
        category = skewed(rng, categories)
        severity = rng.choices(("low", "medium", "high", "critical"), (60, 25, 10, 5))[0]
        restricted = category in child
        rank = 0 if restricted else 1 if severity == "critical" else 2
        doc |= {
            "_id": f"{rng.getrandbits(128):032x}", "_rev": 1, "opened_at": opened,
            "round_at": opened, "category": category, "severity": severity,
            "platform": skewed(rng, platforms), "queue": skewed(rng, queues),
            "restricted": restricted, "queued": queued, "rank": rank if queued else doc["rank"],
            "queue_due": opened + timedelta(hours=rng.randrange(1, 200)) if queued else None,
            "overdue": queued and rng.random() < 0.2, "look_pending": queued,
            "campaign": f"{rng.randrange(2000):016x}" if rng.random() < 0.05 else None,
            "owner": f"analyst-{rng.randrange(PEOPLE)}" if rng.random() < 0.02 else None,
            "claimed_by": None, "claimed_until": None, **_chain(opened, has_row=_has_row(n, count)),
        }  # fmt: skip
        if not queued:
            doc["state"] = rng.choices(("resolved", "closed", "unresolved"), (60, 30, 10))[0]
            doc["erase_at"] = opened + timedelta(days=700)
        yield doc


def reports(ids: Sequence[str], now: datetime) -> Iterator[dict[str, Any]]:
    rng = random.Random(13)
    for n in range(int(len(ids) * REPORTS_A_CASE)):
        case_id = ids[n] if n < len(ids) else rng.choice(ids)
        yield {
            "_id": f"r{n:030x}", "_rev": 1, "cases": [case_id], "category": "scam_fraud",
            "received_at": now - timedelta(minutes=rng.randrange(1, 1_500_000)), "channel": "web",
            "language": "ar", "hint": "ar", "facts": [], "consent_partner": True, "personal": [],
            "consent_authority": False, "content": "s1." + "x" * 400, "refused": [], "via": [],
            "withdrawn_at": None, "awaited": False, "flood": False, "erased": [], "risk": [],
            "redacted_at": None, "affected": None, "banks": [], "signals_version": 1,
        }  # fmt: skip


def _has_row(n: int, count: int) -> bool:
    return n < int(count * ROWS_A_CASE)


def _chain(at: datetime, *, has_row: bool) -> dict[str, Any]:
    """Where a case's audit trail ends. A case whose next row were there already could be claimed by
    nobody, would stay the first of its queue for good, and answer every claim with a conflict.
    """
    if not has_row:
        return {"audit_seq": 0, "audit_hash": "", "audit_at": None}
    return {"audit_seq": 1, "audit_hash": _HASH, "audit_at": at}


def audit_rows(ids: Sequence[str], now: datetime) -> Iterator[dict[str, Any]]:
    rng = random.Random(17)
    for n in range(len(ids)):
        if not _has_row(n, len(ids)):
            return
        at = now - timedelta(minutes=rng.randrange(1, 1_500_000))
        row = AuditRow(ids[n], 1, at, f"analyst-{n % PEOPLE}", "claim", "", "0" * 64, _HASH)
        yield {**AUDIT.encode(row), "_id": row.id, "_rev": 1}


async def write(
    store: MongoStore, collection: Collection[Any], docs: AsyncIterator[dict[str, Any]]
) -> list[str]:
    """All of them, past the transactions: nobody else is there. Returns their ids."""
    target, ids, portion = store._of(collection), [], []
    async for doc in docs:
        ids.append(doc["_id"])
        portion.append(doc)
        if len(portion) == MANY:
            await target.insert_many(portion, ordered=False)
            portion = []
    if portion:
        await target.insert_many(portion, ordered=False)
    return ids


async def _each(docs: Iterator[dict[str, Any]]) -> AsyncIterator[dict[str, Any]]:
    for doc in docs:
        yield doc


async def fill(uri: str, name: str, count: int, pack: CountryPack) -> dict[str, float]:
    """Seconds to write, and to make the indexes; collections first, so that both are quick."""
    store, now, begun = store_of(uri, name), SystemClock().now(), time.perf_counter()
    ids = await write(store, CASES, cases(pack, count, now))
    await write(store, REPORTS, _each(reports(ids, now)))
    await write(store, AUDIT, _each(audit_rows(ids, now)))
    written = time.perf_counter()
    patient = MongoStore(
        uri, database=name, vault_database=f"{name}_vault", timeout=timedelta(minutes=10)
    )
    await patient.prepare([*COLLECTIONS, KEYS])
    await patient.close()
    indexed = time.perf_counter()
    await real(world_on(_with_inbox(store), pack), REAL, seed=5)
    await store.close()
    return {"write": written - begun, "index": indexed - written}


def _with_inbox(store: MongoStore) -> MongoStore:
    """The world looks there for what it has seen."""
    store.inbox = set()  # type: ignore[attr-defined]
    return store


# -- the application -------------------------------------------------------------------------------


def people() -> list[Person]:
    cleared = frozenset({Role.ANALYST, Role.CHILD_SAFETY})
    out = [Person(name=f"analyst-{n}", roles=cleared) for n in range(PEOPLE)]
    out += [Person(name=f"other-{n}", roles=frozenset({Role.ANALYST})) for n in range(PEOPLE)]
    roles = frozenset({Role.SUPERVISOR, Role.CHILD_SAFETY})
    out += [Person(name=f"supervisor-{n}", roles=roles) for n in range(PEOPLE)]
    return out


async def serve(uri: str, names: Sequence[str], ports: Sequence[int]) -> None:
    """The desk on each database, all in this process, until it is ended."""
    pack, servers = load_country_pack(PACK), []
    for name, port in zip(names, ports, strict=True):
        door = Door({p.name: Signed(p) for p in people()})
        app = application(world_on(store_of(uri, name), pack), door)
        servers.append(await HttpServer.start(app, LOOPBACK, port, name, grace=1))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.gather(*(s.stopped() for s in servers))


# -- the clients -----------------------------------------------------------------------------------


@dataclass
class Visit:
    """One request of a person; ``n`` counts them, so that no two are the same."""

    http: httpx.AsyncClient
    rng: random.Random
    n: int
    ids: Sequence[str]

    async def get(self, path: str, who: str = "analyst") -> int:
        answer = await self.http.get(f"/fr/{path}", headers=self._who(who))
        return answer.status_code

    async def post(self, path: str, **fields: str) -> int:
        return (await self._post(path, fields)).status_code

    async def take(self, queue: str) -> int | str:
        """The next case. Whoever gets none is sent back to the queue, which is no success here."""
        answer = await self._post("next", {"queue": queue})
        got = "/cases/" in answer.headers.get("location", "")
        return "no case" if answer.status_code == 303 and not got else answer.status_code

    async def _post(self, path: str, fields: dict[str, str]) -> httpx.Response:
        data = {"csrf": "form-key", **fields}
        return await self.http.post(f"/fr/{path}", data=data, headers=self._who("analyst"))

    async def first_bytes(self, path: str) -> int:
        async with self.http.stream("GET", f"/fr/{path}", headers=self._who("analyst")) as answer:
            async for _ in answer.aiter_bytes():
                break
            return answer.status_code

    def _who(self, who: str) -> dict[str, str]:
        return {"x-test-person": f"{who}-{self.n % PEOPLE}", "sec-fetch-site": "same-origin"}


Page = Callable[[Visit], Awaitable[int | str]]


def pages(pack: CountryPack, now: datetime) -> dict[str, Page]:
    queues, categories = [q.id for q in pack.desk.queues], list(pack.categories)
    child = next(c for c in categories if c.startswith("csa"))
    services = list(pack.services)

    def filtered(name: str, of: Callable[[Visit], str], who: str = "analyst") -> Page:
        return lambda v: v.get(f"search?{name}={of(v)}", who)

    def before(v: Visit) -> str:
        at = now - timedelta(minutes=v.rng.randrange(1, 1_400_000))
        return at.isoformat().replace("+", "%2B")

    return {
        "queue": lambda v: v.get("queue"),
        "queue, not cleared": lambda v: v.get("queue", "other"),
        "one queue": lambda v: v.get(f"queue/{queues[v.n % len(queues)]}"),
        "take the next": lambda v: v.take(queues[v.n % 3]),
        "case": lambda v: v.get(f"cases/{v.ids[v.n % len(v.ids)]}"),
        "search: address": lambda v: v.post("search", words=address(v.n % REAL)),
        "search: newest": lambda v: v.get("search?all=1"),
        "search: any page deep": lambda v: v.get(f"search?all=1&before={before(v)}"),
        "filter: queue": filtered("queue", lambda v: queues[v.n % len(queues)]),
        "filter: category": filtered("category", lambda v: categories[v.n % len(categories)]),
        "filter: severity": filtered("severity", lambda v: ("critical", "low")[v.n % 2]),
        "filter: state": filtered("state", lambda v: ("open", "resolved")[v.n % 2]),
        "filter: platform": filtered("platform", lambda v: services[v.n % len(services)]),
        "filter: campaign": filtered("campaign", lambda v: f"{v.n % 2000:016x}"),
        "filter: owner": filtered("owner", lambda v: f"analyst-{v.n % PEOPLE}"),
        "filter: two, seldom both": lambda v: v.get(
            f"search?category={categories[-1 - v.n % 3]}&platform={services[-1 - v.n % 3]}"
        ),
        "filter: hidden, not cleared": lambda v: v.get(f"search?category={child}", "other"),
        "workload": lambda v: v.get("workload", "supervisor"),
        "live pulse": lambda v: v.first_bytes("live?of=queue"),
    }


@dataclass
class Times:
    """Of one page on one store: seconds each visit took, and of the processors in all."""

    seconds: list[float] = field(default_factory=list)
    app: float = 0.0
    database: float = 0.0
    #: Answers that were not what the page gives: by status, or in words.
    other: dict[int | str, int] = field(default_factory=dict)

    def told(self) -> dict[str, Any]:
        ordered, count = sorted(self.seconds), len(self.seconds)
        shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
        found = {k: ordered[min(int(count * s), count - 1)] * 1000 for k, s in shares.items()}
        found |= {"app": self.app / count * 1000, "database": self.database / count * 1000}
        return {**{k: round(v, 2) for k, v in found.items()}, "other": self.other}


@dataclass(frozen=True)
class Reached:
    """One store's desk as clients reach it, and the processes behind it."""

    port: int
    ids: Sequence[str]
    app: psutil.Process
    database: psutil.Process

    def spent(self) -> tuple[float, float]:
        """Processor seconds so far. Two stores share these, and are visited in turns."""
        app, database = (sum(p.cpu_times()[:2]) for p in (self.app, self.database))
        return app, database


async def visit(page: Page, desk: Reached, numbers: range, clients: int, into: Times) -> None:
    """One visit a number, by so many clients, each waiting for its answer."""
    left, before = iter(numbers), desk.spent()

    async def client(seed: int) -> None:
        rng, base = random.Random(seed), f"http://{LOOPBACK}:{desk.port}"
        async with httpx.AsyncClient(base_url=base, timeout=60, trust_env=False) as http:
            for n in left:
                begun = time.perf_counter()
                status = await page(Visit(http, rng, n, desk.ids))
                into.seconds.append(time.perf_counter() - begun)
                if status not in (200, 303):
                    into.other[status] = into.other.get(status, 0) + 1

    await asyncio.gather(*(client(numbers.start + n) for n in range(clients)))
    app, database = (a - b for a, b in zip(desk.spent(), before, strict=True))
    into.app, into.database = into.app + app, into.database + database


async def opened(uri: str, name: str, pack: CountryPack) -> list[str]:
    """Ids of cases that can be opened all day: nobody's budget is used up by them."""
    store = store_of(uri, name)
    world = world_on(store, pack)
    ids = [world.case_id(address(n)) for n in range(REAL)]
    docs = await store.read(CASES, ids)
    await store.close()
    distressing = pack.desk.exposure.distressing
    return [i for i, d in docs.items() if d["category"] not in distressing]


@asynccontextmanager
async def serving(
    uri: str, names: Sequence[str]
) -> AsyncIterator[tuple[list[int], psutil.Process]]:
    ports = [free_port() for _ in names]
    process = await asyncio.create_subprocess_exec(
        sys.executable, __file__, "--serve", uri, *names, *map(str, ports), stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        if not await process.stdout.readline():
            raise RuntimeError("the application did not start; what it wrote is above")
        yield ports, psutil.Process(process.pid)
    finally:
        process.terminate()
        await process.wait()


async def measure(
    sizes: dict[str, int], requests: int, clients: int, *, keep: bool, only: str = ""
) -> dict[str, Any]:
    """``keep``: the stores of the last run are used where they are there, and stay. ``only``: pages
    whose name has this in it.
    """
    pack = load_country_pack(PACK)
    kept = WORK / "filled.json"
    if not (keep and kept.exists()):
        shutil.rmtree(WORK, ignore_errors=True)
    results: dict[str, Any] = {
        "sizes": sizes, "requests": requests, "clients": clients, "cores": os.cpu_count(),
        "load_before": os.getloadavg(), "pages": {},
    }  # fmt: skip
    with EmbeddedMongo(WORK / "mongo") as mongo:
        if kept.exists():
            results |= json.loads(kept.read_text(encoding="utf-8"))
        else:
            for name, size in sizes.items():
                say.print(f"[dim]{size:,} cases …[/]")
                results[f"filled_{name}"] = await fill(mongo.uri, name, size, pack)
            write_json(kept, {k: v for k, v in results.items() if k.startswith("filled_")})
        async with serving(mongo.uri, list(sizes)) as (ports, app):
            database = psutil.Process(mongo.pid)
            desks = [
                Reached(port, await opened(mongo.uri, name, pack), app, database)
                for name, port in zip(sizes, ports, strict=True)
            ]
            for name, page in pages(pack, SystemClock().now()).items():
                if only not in name:
                    continue
                results["pages"][name] = await compare(page, desks, requests, clients)
                small, large = results["pages"][name]
                say.print(f"[dim]{name}: {small['p99']:.0f} → {large['p99']:.0f} ms[/]")
    results["load_after"] = os.getloadavg()
    if not keep:
        shutil.rmtree(WORK, ignore_errors=True)
    return results


async def compare(
    page: Page, desks: Sequence[Reached], requests: int, clients: int
) -> list[dict[str, Any]]:
    """The page on each desk, in four turns, so that a neighbour on the machine disturbs both."""
    times, part = [Times() for _ in desks], max(requests // 4, 1)
    for desk in desks:  # the first ones warm up
        await visit(page, desk, range(clients), clients, Times())
    for turn in range(4):
        for desk, into in zip(desks, times, strict=True):
            start = clients + turn * part
            await visit(page, desk, range(start, start + part), clients, into)
    return [t.told() for t in times]


def show(results: dict[str, Any]) -> None:
    few, many = results["sizes"].values()
    title = f"the desk’s pages, milliseconds, {results['clients']} clients at once, {many:,} cases"
    table = Table(
        "page", "p50", "p95", "p99", f"p99, {few:,}", "ratio", "CPU app", "CPU database",
        f"database, {few:,}", "other answers", title=title,
    )  # fmt: skip
    for name, (small, large) in results["pages"].items():
        table.add_row(
            name, *(f"{large[k]:.1f}" for k in ("p50", "p95", "p99")), f"{small['p99']:.1f}",
            f"{large['p99'] / small['p99']:.2f}", f"{large['app']:.1f}",
            f"{large['database']:.1f}", f"{small['database']:.1f}",
            ", ".join(f"{n}× {status}" for status, n in large["other"].items()),
        )  # fmt: skip
    out = Screen(width=130)
    out.print(table)
    filled = results["filled_many"]
    load = " → ".join(f"{results[k][0]:.1f}" for k in ("load_before", "load_after"))
    out.print(
        f"{many:,} cases: written in {filled['write']:.0f} s, indexed in {filled['index']:.0f} s;"
        f" {results['cores']} cores, load {load}; {results['requests']} visits a page"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cases", type=int, default=1_000_000)
    parser.add_argument("--few", type=int, default=FEW)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--keep", action="store_true", help="keep the stores for the next run")
    parser.add_argument("--only", default="", help="pages with this in their name")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--serve", nargs=5, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.serve:
        uri, *rest = given.serve
        uvloop.run(serve(uri, rest[:2], [int(port) for port in rest[2:]]))
        return
    sizes = {"few": given.few, "many": given.cases}
    results = uvloop.run(
        measure(sizes, given.requests, given.clients, keep=given.keep, only=given.only)
    )
    show(results)
    if given.json:
        write_json(given.json, results)


if __name__ == "__main__":
    main()
