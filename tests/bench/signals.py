# SPDX-License-Identifier: Apache-2.0
"""What triage's text and link signals cost, and how often they are right.

    python tests/bench/signals.py                            # microseconds a report, beside libraries
    python tests/bench/signals.py --data tests/data/reports  # figures on labelled reports, in sums

Figures are sums only: the hold-out half may be measured here and not be read. Libraries that are
not installed are named and left out: w3lib, lingua-language-detector, presidio-analyzer, datasketch.
"""

import argparse
import importlib
import json
import sys
import time
import timeit
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import combinations
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from wasl_schemas.country_pack import load_country_pack
from wasl_triage.domain import signals
from wasl_triage.domain.itemkey import ItemKeys, Refused

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "deploy/local/samples/reports.jsonl"
SECRET = b"only for measuring, never elsewhere"
#: Labels of the data, where signals have another name.
KINDS = {"plate": "vehicle_plate"}
REPEATS, LOOPS = 9, 20

Row = dict[str, Any]
say = Console()


def rows(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def key(keys: ItemKeys, url: str) -> str | None:
    try:
        return keys.item(url).key
    except Refused:
        return None


# -- right or wrong --------------------------------------------------------------------------------


def families(reports: Sequence[Row], link: str) -> set[frozenset[str]]:
    """Pairs of reports that a field of the labels says are one, also through a third."""
    of = {row["id"]: row[link] or row["id"] for row in reports}
    return {frozenset(p) for p in combinations(of, 2) if of[p[0]] == of[p[1]]}


def language(reports: Sequence[Row]) -> dict[str, str]:
    got = [(row["language"], signals.language_hint(row["text"]).tag) for row in reports]
    total, right = Counter(want for want, _ in got), Counter(w for w, g in got if w == g)
    told = {tag: f"{right[tag]}/{count}" for tag, count in sorted(total.items())}
    wrong = Counter(f"{want} as {tag}" for want, tag in got if want != tag)
    return {
        "language": f"{right.total()}/{len(got)}",
        **{f"language {tag}": count for tag, count in told.items()},
        "language errors": ", ".join(f"{n}x {what}" for what, n in wrong.items()) or "none",
    }


def personal(reports: Sequence[Row]) -> dict[str, str]:
    hit: Counter[str] = Counter()
    found: Counter[str] = Counter()
    real: Counter[str] = Counter()
    exact = decoys = alarms = 0
    for row in reports:
        got = signals.personal_data(row["text"])
        wanted = [
            (KINDS.get(p["kind"], p["kind"]), p["start"], p["end"])
            for p in row["pii"]
            if p["kind"] != "person_name"
        ]
        found.update(f.kind.value for f in got)
        for kind, start, end in wanted:
            hit[kind] += any(f.kind == kind and f.start < end and start < f.end for f in got)
            exact += any((f.kind, f.start, f.end) == (kind, start, end) for f in got)
        real.update(
            f.kind.value
            for f in got
            if any(f.kind == k and f.start < end and start < f.end for k, start, end in wanted)
        )
        decoys += len(row["not_pii"])
        alarms += sum(
            any(f.start < d["end"] and d["start"] < f.end for f in got) for d in row["not_pii"]
        )
    wanted_of = Counter(
        KINDS.get(p["kind"], p["kind"])
        for row in reports
        for p in row["pii"]
        if p["kind"] != "person_name"
    )
    return {
        **{
            f"{kind}: precision, recall": f"{real[kind]}/{found[kind]}, {hit[kind]}/{wanted_of[kind]}"
            for kind in sorted(wanted_of | found)
        },
        "all kinds: precision, recall": f"{real.total()}/{found.total()}, {hit.total()}/{wanted_of.total()}",
        "spans exact to the character": f"{exact}/{wanted_of.total()}",
        "decoys taken for data": f"{alarms}/{decoys}",
        "texts without data, alarmed": (
            f"{sum(bool(signals.personal_data(r['text'])) for r in reports if not r['pii'])}"
            f"/{sum(not r['pii'] for r in reports)}"
        ),
    }


def copies(reports: Sequence[Row], link: str) -> dict[str, str]:
    sketcher, campaigns = signals.Sketcher(SECRET), signals.Campaigns()
    for row in reports:
        if sketch := signals.read(row["text"], sketcher).sketch:
            campaigns.add(row["id"], sketch)
    got = {frozenset(p) for group in campaigns.groups() for p in combinations(group, 2)}
    want = families(reports, link)
    return {
        "copies: pairs found": f"{len(got & want)}/{len(want)}",
        "copies: wrong pairs": str(len(got - want)),
    }


def items(reports: Sequence[Row], link: str, keys: ItemKeys) -> dict[str, str]:
    by_key: dict[str, set[str]] = defaultdict(set)
    for row in reports:
        for url in row["urls"]:
            if found := key(keys, url):
                by_key[found].add(row["id"])
    got = {frozenset(p) for ids in by_key.values() for p in combinations(sorted(ids), 2)}
    want = families(reports, link)
    return {
        "one item: pairs merged": f"{len(got & want)}/{len(want)}",
        "one item: wrong merges": str(len(got - want)),
    }


def quality(directory: Path, keys: ItemKeys) -> dict[str, dict[str, str]]:
    sample = rows(SAMPLES)
    personal_right = sum(
        bool(signals.personal_data(row["text"])) == row["contains_pii"] for row in sample
    )
    figures = {
        "42 samples": {
            **language(sample),
            "some personal data or none": f"{personal_right}/{len(sample)}",
            **items(sample, "duplicate_of", keys),
        }
    }
    for half in ("tune", "holdout"):
        path = directory / f"{half}.jsonl"
        if path.exists():
            labelled = rows(path)
            figures[half] = (
                language(labelled)
                | personal(labelled)
                | copies(labelled, "near_duplicate_of")
                | items(labelled, "item_same_as", keys)
            )
    return figures


# -- what it costs ---------------------------------------------------------------------------------


def cost(work: Callable[[Any], object], inputs: Sequence[Any]) -> float:
    """Microseconds of this process for one input: the best of runs, as ``timeit`` advises."""
    for one in inputs:
        work(one)
    runs = timeit.repeat(
        lambda: [work(one) for one in inputs], timer=time.process_time, number=LOOPS, repeat=REPEATS
    )
    return min(runs) / LOOPS / len(inputs) * 1e6


def ours(reports: Sequence[Row], keys: ItemKeys) -> dict[str, float]:
    signals.prepare()
    sketcher = signals.Sketcher(SECRET)
    texts = [row["text"] for row in reports]

    def everything(row: Row) -> None:
        signals.read(row["text"], sketcher)
        for url in row["urls"]:
            key(keys, url)

    return {
        "links": cost(lambda row: [key(keys, url) for url in row["urls"]], reports),
        "language": cost(signals.language_hint, texts),
        "personal data": cost(signals.personal_data, texts),
        "near-duplicate": cost(sketcher.sketch, texts),
        "self-harm": cost(signals.self_harm_cue, texts),
        "all together": cost(everything, reports),
    }


def _w3lib() -> Callable[[Row], object]:
    url = importlib.import_module("w3lib.url")

    def work(row: Row) -> None:
        for one in row["urls"]:
            with suppress(ValueError):  # it refuses a defanged address
                url.canonicalize_url(one)

    return work


def _lingua(names: Iterable[str] = ()) -> Callable[[Row], object]:
    lingua = importlib.import_module("lingua")
    builder = lingua.LanguageDetectorBuilder
    chosen = [getattr(lingua.Language, name) for name in names]
    made = builder.from_languages(*chosen) if chosen else builder.from_all_languages()
    detector = made.with_preloaded_language_models().build()
    return lambda row: detector.detect_language_of(row["text"])


def _presidio() -> Callable[[Row], object]:
    found = importlib.import_module("presidio_analyzer.predefined_recognizers")
    tld = importlib.import_module("tldextract")
    # Its list of suffixes comes from the package, not from the network.
    tld.tldextract.TLD_EXTRACTOR = tld.TLDExtract(suffix_list_urls=(), cache_dir=None)
    tld.extract = tld.tldextract.TLD_EXTRACTOR
    recognizers = [
        found.EmailRecognizer(),
        found.IbanRecognizer(),
        found.IpRecognizer(),
        found.PhoneRecognizer(supported_regions=("MA", "FR")),
    ]

    def work(row: Row) -> None:
        for one in recognizers:
            one.analyze(row["text"], one.supported_entities, None)

    return work


def _datasketch() -> Callable[[Row], object]:
    made = importlib.import_module("datasketch").MinHash

    def work(row: Row) -> None:
        text = row["text"].lower()
        drawn = made(num_perm=128)
        drawn.update_batch([text[i : i + 5].encode() for i in range(max(0, len(text) - 4))])

    return work


PEERS: Mapping[str, tuple[str, Callable[[], Callable[[Row], object]]]] = {
    "w3lib": ("links", _w3lib),
    "lingua, 75 languages": ("language", _lingua),
    "lingua, 4 languages": (
        "language",
        lambda: _lingua(("ARABIC", "FRENCH", "ENGLISH", "SPANISH")),
    ),
    "presidio, 4 patterns": ("personal data", _presidio),
    "datasketch, 128 rows": ("near-duplicate", _datasketch),
}


def speed(reports: Sequence[Row], keys: ItemKeys) -> None:
    mine = ours(reports, keys)
    table = Table(
        "microseconds a report", "signals", "library", "", "ratio", title=f"{len(reports)} samples"
    )
    theirs: dict[str, float] = {}
    for name, (signal, make) in PEERS.items():
        try:
            work = make()
        except ImportError as absent:
            table.add_row(signal, f"{mine[signal]:.1f}", name, f"not installed: {absent.name}", "")
            continue
        theirs[name] = cost(work, reports)
        table.add_row(
            signal,
            f"{mine[signal]:.1f}",
            name,
            f"{theirs[name]:.1f}",
            f"{theirs[name] / mine[signal]:.1f}",
        )
    for name in ("self-harm", "all together"):
        table.add_row(name, f"{mine[name]:.1f}", "", "", "")
    if len(theirs) == len(PEERS):
        lingua = [name for name in PEERS if name.startswith("lingua")]
        for chosen in lingua:
            stack = sum(us for name, us in theirs.items() if name == chosen or name not in lingua)
            table.add_row(
                "all together", f"{mine['all together']:.1f}", f"the stack, {chosen}",
                f"{stack:.1f}", f"{stack / mine['all together']:.1f}",
            )  # fmt: skip
    say.print(table)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, help="a folder with tune.jsonl and holdout.jsonl")
    given = parser.parse_args()
    keys = ItemKeys(load_country_pack(ROOT / "deploy/country-packs/ma").platforms)
    if given.data is None:
        speed(rows(SAMPLES), keys)
        return 0
    figures = quality(given.data, keys)
    table = Table("", *figures, title=f"signals, version {signals.VERSION}")
    for name in dict.fromkeys(name for column in figures.values() for name in column):
        table.add_row(name, *(column.get(name, "") for column in figures.values()))
    say.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
