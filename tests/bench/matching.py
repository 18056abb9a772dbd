# SPDX-License-Identifier: Apache-2.0
"""PDQ look-up beside threatexchange's index and faiss's: same hashes, same queries, same run.

``matching.py [--count 1000000 ...] [--queries 2000]``. Half of the queries are stored hashes with 0
to 31 bits flipped (recall counts those that are found), half are random. ``clustered``: a quarter
of the hashes crowd around 300 pictures, a tenth around one blank one. Each contender runs in a
process of its own, one after another, so that memory is its own; then look-ups over HTTP.
"""

import argparse
import asyncio
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / ".wasl" / "bench" / "matching"
CONTENDERS = ("wasl", "threatexchange", "faiss flat", "faiss multihash")
SETS = ("random", "clustered")
#: Seconds a contender gets for one way of asking; slow ones are judged by fewer queries.
BUDGET = 4.0
NEAR = 31
say = Console(stderr=True)


def flipped(random: np.random.Generator, hashes: np.ndarray, most: int) -> np.ndarray:
    """Each with 0 to ``most`` different bits flipped."""
    order = np.argsort(random.random((len(hashes), 256)), axis=1)
    mask = order < random.integers(0, most + 1, len(hashes))[:, None]
    return hashes ^ np.packbits(mask, axis=1)


def near(random: np.random.Generator, hashes: np.ndarray, most: int) -> np.ndarray:
    """Each with some bits flipped, ``most`` or so: quicker than counting them."""
    chance = random.integers(0, most + 1, (len(hashes), 1), dtype=np.uint8)
    mask = random.integers(0, 256, (len(hashes), 256), dtype=np.uint8) < chance
    return hashes ^ np.packbits(mask, axis=1)


def data(count: int, kind: str, queries: int) -> Path:
    """Writes hashes, queries and the planted rows; returns their folder."""
    folder = WORK / f"{kind}-{count}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    random = np.random.default_rng(1)
    hashes = random.integers(0, 256, (count, 32), dtype=np.uint8)
    if kind == "clustered":
        crowd, blank = count // 4, count // 10
        centres = random.integers(0, 256, (300, 32), dtype=np.uint8)
        share = 1 / np.arange(1, 301)
        which = random.choice(300, crowd, p=share / share.sum())
        for start in range(0, crowd, 100_000):
            part = slice(start, min(start + 100_000, crowd))
            hashes[part] = near(random, centres[which[part]], 40)
        for start in range(crowd, crowd + blank, 100_000):
            part = slice(start, min(start + 100_000, crowd + blank))
            hashes[part] = near(random, np.zeros((part.stop - start, 32), np.uint8), 30)
        random.shuffle(hashes)
    planted = random.integers(0, count, queries)
    asked = random.integers(0, 256, (queries, 32), dtype=np.uint8)
    asked[::2] = flipped(random, hashes[planted[::2]], NEAR)
    for name, array in (("hashes", hashes), ("queries", asked), ("planted", planted)):
        np.save(folder / f"{name}.npy", array)
    return folder


# --- contenders: build, then (ask one, ask many); an answer is the found hashes of each query ------

Ask = Callable[[np.ndarray], list[np.ndarray]]


def wasl(folder: Path, hashes: np.ndarray) -> tuple[Ask, Ask, float]:
    from wasl_triage.matching import index

    rows = np.zeros((len(hashes), 38), np.uint8)
    rows[:, :32] = hashes
    empty = {k: np.zeros((0, index.WIDTH[k] + 6), np.uint8) for k in index.KINDS}
    path = folder / "x.hashes"
    index.write(path, {**empty, "pdq": index._canonical(rows)}, [()])
    del rows
    made = index.Index.open(path)
    stored = made.tables["pdq"].hashes

    def ask(queries: np.ndarray, threads: int = 1) -> list[np.ndarray]:
        found = made.near(queries, threads=threads)
        if len(queries) == 1:
            return [stored[found[:, 1]]]
        found = found[np.argsort(found[:, 0], kind="stable")]
        ends = np.searchsorted(found[:, 0], np.arange(len(queries) + 1)).tolist()
        values = stored[found[:, 1]]
        return [values[ends[q] : ends[q + 1]] for q in range(len(queries))]

    return ask, lambda queries: ask(queries, 2), path.stat().st_size / 2**20


def threatexchange(folder: Path, hashes: np.ndarray) -> tuple[Ask, Ask, float]:
    from threatexchange.signal_type.pdq.pdq_index import PDQIndex

    made = PDQIndex()
    for start in range(0, len(hashes), 500_000):
        part = hashes[start : start + 500_000]
        made.add_all([(h.tobytes().hex(), start + i) for i, h in enumerate(part)])

    def ask(queries: np.ndarray) -> list[np.ndarray]:
        return [hashes[[int(m.metadata) for m in made.query(q.tobytes().hex())]] for q in queries]

    return ask, ask, 0.0


def _faiss(made: Any, hashes: np.ndarray) -> tuple[Ask, Ask, float]:
    made.add(hashes)

    def ask(queries: np.ndarray) -> list[np.ndarray]:
        ends, _, rows = made.range_search(queries, NEAR + 1)
        return [hashes[rows[ends[q] : ends[q + 1]]] for q in range(len(queries))]

    return ask, ask, 0.0


def faiss_flat(folder: Path, hashes: np.ndarray) -> tuple[Ask, Ask, float]:
    import faiss

    return _faiss(faiss.IndexBinaryFlat(256), hashes)


def faiss_multihash(folder: Path, hashes: np.ndarray) -> tuple[Ask, Ask, float]:
    import faiss

    made = faiss.IndexBinaryMultiHash(256, 16, 16)
    made.nflip = 1
    return _faiss(made, hashes)


def resident() -> float:
    """The highest so far, in MB."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024


def rate(ask: Ask, queries: np.ndarray, size: int) -> tuple[float, float, list[np.ndarray]]:
    """Queries a second and a CPU second, asked ``size`` at a time, and what was found."""
    ask(queries[: min(size, 64)])
    found: list[np.ndarray] = []
    started, spent = time.perf_counter(), time.process_time()
    for start in range(0, len(queries), size):
        found += ask(queries[start : start + size])
        if time.perf_counter() - started > BUDGET:
            break
    count = len(found)
    return (
        count / (time.perf_counter() - started),
        count / (time.process_time() - spent),
        found,
    )


def measure(name: str, folder: Path) -> dict[str, Any]:
    """In the contender's own process."""
    hashes, queries, planted = (
        np.load(folder / f"{n}.npy") for n in ("hashes", "queries", "planted")
    )
    if name == "wasl":  # compiled before the clock starts; told apart
        started = time.perf_counter()
        from wasl_triage.matching import kernels  # noqa: F401

        imported = time.perf_counter() - started
        wasl_warm = folder / "warm"
        wasl_warm.mkdir(exist_ok=True)
        started = time.perf_counter()
        wasl(wasl_warm, np.random.default_rng(2).integers(0, 256, (60_000, 32), dtype=np.uint8))[0](
            queries[:1]
        )
        compiled = time.perf_counter() - started
    before = resident()
    makers = {
        "wasl": wasl,
        "threatexchange": threatexchange,
        "faiss flat": faiss_flat,
        "faiss multihash": faiss_multihash,
    }
    started = time.perf_counter()
    one, many, size = makers[name](folder, hashes)
    out: dict[str, Any] = {
        "build": time.perf_counter() - started,
        "memory": resident() - before,
        "file": size,
    }
    if name == "wasl":
        out |= {"import": imported, "first": compiled}
    out["one"], out["one_cpu"], found = rate(one, queries, 1)
    out["batch64"], out["batch64_cpu"], _ = rate(many, queries, 64)
    affordable = queries[: max(64, int(out["batch64"] * BUDGET))]
    out["batch"], out["batch_cpu"], _ = rate(many, affordable, len(affordable))
    asked = range(0, len(found), 2)
    hits = sum((found[q] == hashes[planted[q]]).all(axis=1).any() for q in asked)
    out["recall"] = hits / len(asked)
    #: Of few queries, all that is near is known by comparing everything.
    whole = found_all = 0
    for q in range(min(len(found), 20)):
        truth = {h.tobytes() for h in hashes[_distances(hashes, queries[q]) <= NEAR]}
        whole += len(truth)
        found_all += len(truth & {h.tobytes() for h in found[q]})
    out["recall_all"] = found_all / whole if whole else 1.0
    return out


def _distances(hashes: np.ndarray, query: np.ndarray) -> np.ndarray:
    words, asked = hashes.view(np.uint64), query.view(np.uint64)
    return np.bitwise_count(words ^ asked).sum(axis=1, dtype=np.int64)


async def over_http(folder: Path, seconds: float = 4.0, clients: int = 8) -> dict[str, float]:
    """Look-ups a second of one process, asked by few connections that do not wait for each other."""
    import httpx
    from wasl_triage.matching.publishing import publish

    served = folder / "served"
    shutil.rmtree(served, ignore_errors=True)
    served.mkdir()
    hashes, queries = np.load(folder / "hashes.npy"), np.load(folder / "queries.npy")
    (served / "a.txt").write_text("".join(f"{h.tobytes().hex()}\n" for h in hashes))
    (served / "banks.toml").write_text(
        '[[bank]]\nid = "a"\ntitle = "A"\ncategory = "ncii"\nconfidence = "high"\n'
        'kinds = ["pdq"]\nsource = { type = "file", path = "a.txt" }\n'
    )
    started = time.perf_counter()
    publish(served, datetime.now(UTC), full=True)
    out = {"publish": time.perf_counter() - started}
    started = time.perf_counter()
    publish(served, datetime.now(UTC))
    out["publish again"] = time.perf_counter() - started
    key = "bench"
    env = {
        **os.environ,
        "WASL_MATCHING_DIRECTORY": str(served),
        "WASL_MATCHING_KEYS": json.dumps({"bench": hashlib.sha256(key.encode()).hexdigest()}),
        "WASL_MATCHING_PORT": "18917",
        "WASL_ADMIN_PORT": "18918",
        "WASL_LOG_LEVEL": "WARNING",
    }
    with subprocess.Popen(
        [sys.executable, "-m", "wasl_triage.matching", "serve"], env=env
    ) as process:
        try:
            started = time.perf_counter()
            async with httpx.AsyncClient(base_url="http://127.0.0.1:18918") as admin:
                while True:
                    try:
                        if (await admin.get("/readyz")).status_code == 200:
                            break
                    except httpx.HTTPError:
                        await asyncio.sleep(0.02)
            out["start"] = time.perf_counter() - started
            for size in (1, 64):
                out[f"http{size}"] = await _asked(queries, key, size, seconds, clients)
        finally:
            process.terminate()
    shutil.rmtree(served)
    return out


async def _asked(queries: np.ndarray, key: str, size: int, seconds: float, clients: int) -> float:
    """Hashes a second. Raw HTTP/1.1: a client library would cost more than the look-up."""
    texts = [f"pdq:{q.tobytes().hex()}" for q in queries]
    bodies = [
        json.dumps({"hashes": texts[i : i + size]}).encode()
        for i in range(0, len(texts) - size + 1, size)
    ]
    head = "POST /api/v1/lookup HTTP/1.1\r\nhost: x\r\nx-api-key: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n"
    until, done = time.perf_counter() + seconds, 0

    async def client(number: int) -> None:
        nonlocal done
        reader, writer = await asyncio.open_connection("127.0.0.1", 18917)
        at = number
        while time.perf_counter() < until:
            body = bodies[at % len(bodies)]
            writer.write(head.format(key, len(body)).encode() + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 200"), answer
            length = answer.lower().split(b"content-length:")[1].split(b"\r\n")[0]
            await reader.readexactly(int(length))
            done += size
            at += clients
        writer.close()

    started = time.perf_counter()
    await asyncio.gather(*(client(n) for n in range(clients)))
    return done / (time.perf_counter() - started)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=float, nargs="+", default=[1e5, 1e6])
    parser.add_argument("--queries", type=int, default=4096)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--no-http", action="store_true")
    parser.add_argument("--measure", nargs=2, metavar=("NAME", "FOLDER"), help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.measure:
        sys.stdout.write(json.dumps(measure(given.measure[0], Path(given.measure[1]))))
        return
    results: dict[str, Any] = {}
    for count in map(int, given.count):
        for kind in given.sets:
            folder = data(count, kind, given.queries)
            of_set = results[f"{kind} {count:,}"] = {}
            for name in given.only:
                say.print(f"{kind} {count:,}: {name}")
                done = subprocess.run(
                    [sys.executable, __file__, "--measure", name, str(folder)],
                    stdout=subprocess.PIPE, check=True,
                )  # fmt: skip
                of_set[name] = json.loads(done.stdout)
            if "wasl" in given.only and not given.no_http:
                of_set["http"] = asyncio.run(over_http(folder))
            report(f"{kind}, {count:,} hashes", of_set)
            shutil.rmtree(folder)
    (WORK / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def report(title: str, results: dict[str, Any]) -> None:
    table = Table(title=title)
    base = results.get("threatexchange")
    for column in ("", "one call", "64 a call", "all at once", "recall", "of all", "build s", "MB"):
        table.add_column(column, justify="left" if not column else "right")
    for name in CONTENDERS:
        if name not in results:
            continue
        r = results[name]

        def told(what: str, r: dict[str, Any] = r) -> str:
            times = f" ({r[what] / base[what]:.1f}x)" if base else ""
            cpu = f"{r[what + '_cpu']:,.0f}"
            if base:
                cpu += f" ({r[what + '_cpu'] / base[what + '_cpu']:.0f}x)"
            return f"{r[what]:,.0f}/s{times}\n{cpu} a CPU s"

        memory = f"{r['memory']:,.0f}" + (f" (file {r['file']:,.0f})" if r["file"] else "")
        table.add_row(
            name, told("one"), told("batch64"), told("batch"), f"{r['recall']:.4f}",
            f"{r['recall_all']:.4f}", f"{r['build']:.1f}", memory,
        )  # fmt: skip
    out = Console(width=130)
    out.print(table)
    if "http" in results:
        h, w = results["http"], results["wasl"]
        out.print(
            f"HTTP: {h['http1']:,.0f} hashes/s with 1 a request, {h['http64']:,.0f}/s with 64;"
            f" publish {h['publish']:.1f} s from a text file, {h['publish again']:.1f} s without"
            f" changes; process ready in {h['start']:.2f} s; numba imported in {w['import']:.2f} s,"
            f" first use {w['first']:.2f} s"
        )


if __name__ == "__main__":
    main()
