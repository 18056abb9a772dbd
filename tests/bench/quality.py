# SPDX-License-Identifier: Apache-2.0
"""How often what triage reads from a report is right: category, severity, signals, and the rest.

    python tests/bench/quality.py          # the 42 public samples, what was tuned on, the fresh
    python tests/bench/quality.py --write  # the same into docs/architecture/signals.md

Of the fresh reports only sums are printed, so that they stay unread. Beside the lexicon, in the same
run: the reporter's own choice, the commonest category, and a naive Bayes over letters.
"""

import argparse
import math
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from signals import ROOT, SAMPLES, Row, copies, items, key, language, personal, rows
from wasl_schemas.country_pack import CountryPack, load_country_pack
from wasl_schemas.events.common import Risk, Severity
from wasl_schemas.taxonomy import Signal, signals_from_answers
from wasl_triage.domain import signals
from wasl_triage.domain.itemkey import ItemKeys, Refused
from wasl_triage.domain.suggesting import Suggester, Suggestion

DATA = ROOT / "tests/data/reports"
PAGE = ROOT / "docs/architecture/signals.md"
BEGIN, END = "<!-- quality: begin, written by tests/bench/quality.py -->", "<!-- quality: end -->"
GRAMS, SMOOTHING = (1, 2, 3, 4), 0.1
Column = dict[str, str]


@dataclass(frozen=True)
class Read:
    """One report beside what was made of it: of everything told, and of the text alone."""

    row: Row
    full: Suggestion
    bare: Suggestion
    stated: frozenset[Signal]


def read(row: Row, suggester: Suggester, keys: ItemKeys) -> Read:
    told = row.get("answers", row)
    risk = [Risk(r) for r in told.get("risk") or ()]
    stated = set(
        signals_from_answers(
            told.get("danger_now"), told.get("under_18"), told.get("under_13"), risk
        )
    )
    if signals.self_harm_cue(row["text"]):
        stated.add(Signal.SELF_HARM_IN_TEXT)
    item = None
    for url in row["urls"]:
        try:
            item = keys.item(url)
            break
        except Refused:
            continue
    kind, platform = (item.kind, item.platform) if item else ("", "")
    full = suggester.suggest(
        row["text"],
        kind=kind,
        platform=platform,
        risk=[r.value for r in risk],
        signals=stated,
        category=row.get("category"),
    )
    bare = suggester.suggest(row["text"], kind=kind, platform=platform)
    return Read(row, full, bare, frozenset(stated))


# -- category --------------------------------------------------------------------------------------


class Bayes:
    """Multinomial naive Bayes over runs of letters: what a small learnt model would say."""

    def __init__(self, reports: Iterable[Row]) -> None:
        self._grams: dict[str, Counter[str]] = defaultdict(Counter)
        self._rows: Counter[str] = Counter()
        for row in reports:
            self._learn(row, 1)
        self._known = len(set().union(*self._grams.values()))

    def _learn(self, row: Row, times: int) -> None:
        self._rows[row["expected_category"]] += times
        for gram, count in grams(row["text"]).items():
            self._grams[row["expected_category"]][gram] += times * count

    def without(self, row: Row) -> str:
        """The best category of a row that is left out of what was learnt."""
        self._learn(row, -1)
        try:
            return self(row)
        finally:
            self._learn(row, 1)

    def __call__(self, row: Row) -> str:
        seen = grams(row["text"])

        def score(category: str) -> float:
            counts = self._grams[category]
            total = math.log(sum(counts.values()) + SMOOTHING * self._known)
            each = sum(n * (math.log(counts[g] + SMOOTHING) - total) for g, n in seen.items())
            return each + math.log(self._rows[category])

        return max((c for c, n in self._rows.items() if n > 0), key=score)


def grams(text: str) -> Counter[str]:
    plain = f" {' '.join(text.lower().split())} "
    return Counter(plain[i : i + n] for n in GRAMS for i in range(len(plain) - n + 1))


def share(right: int, of: int) -> str:
    return f"{right}/{of}" + (f" ({right / of:.0%})" if of else "")


def answers(read: Sequence[Read], of: Callable[[Read], str | None]) -> str:
    """Right of those answered, then how many were."""
    said = [(r.row["expected_category"], of(r)) for r in read]
    answered = [(want, got) for want, got in said if got is not None]
    right = sum(want == got for want, got in answered)
    return f"{share(right, len(said))}; answered {share(len(answered), len(said))}"


def category(read: Sequence[Read], learnt: Callable[[Row], str], commonest: str) -> Column:
    return {
        "category: lexicon, all that was told": answers(read, lambda r: r.full.category),
        "category: lexicon, text and link only": answers(read, lambda r: r.bare.category),
        "category: lexicon, else the reporter's": answers(
            read, lambda r: r.full.category or r.row.get("category")
        ),
        "category: the reporter's own": answers(read, lambda r: r.row.get("category")),
        "category: naive Bayes over letters": answers(read, lambda r: learnt(r.row)),
        "category: always the commonest": answers(read, lambda _: commonest),
        "wrong where the reporter was right": str(
            sum(
                r.full.category not in (None, r.row["expected_category"])
                and r.row.get("category") == r.row["expected_category"]
                for r in read
            )
        ),
        "right where the reporter was wrong or silent": share(
            sum(
                r.full.category == r.row["expected_category"] != r.row.get("category") for r in read
            ),
            sum(r.row["expected_category"] != r.row.get("category") for r in read),
        ),
    }


# -- severity and signals --------------------------------------------------------------------------


def severity(read: Sequence[Read], pack: CountryPack) -> Column:
    def figures(of: Callable[[Read], Severity | None]) -> str:
        pairs = [(r.row["expected_severity"], of(r)) for r in read]
        exact = sum(want == (got or "none") for want, got in pairs)
        near = sum(
            want == (got or "none")
            or (want != "none" and got is not None and abs(Severity(want).rank - got.rank) == 1)
            for want, got in pairs
        )
        low = sum(want != "none" and got is not None and got.rank < Severity(want).rank
                  for want, got in pairs)  # fmt: skip
        return f"{share(exact, len(pairs))}; within one {share(near, len(pairs))}; too low {low}"

    def own(r: Read) -> Severity:
        chosen = pack.categories.get(r.row.get("category") or "")
        return pack.taxonomy.severity(chosen, r.stated).severity

    return {
        "severity: suggested": figures(lambda r: r.full.severity),
        "severity: of the reporter's words": figures(own),
    }


def facts(read: Sequence[Read], known: Iterable[Signal]) -> Column:
    """Of the text alone: what the answers state as well is not taken from them."""
    told: Column = {}
    for signal in known:
        pairs = [(signal in r.row["expected_signals"], signal in r.bare.signals) for r in read]
        right = sum(want and got for want, got in pairs)
        got, want = sum(g for _, g in pairs), sum(w for w, _ in pairs)
        told[f"signal {signal}: precision, recall"] = f"{right}/{got}, {right}/{want}"
    return told


def wrong(read: Sequence[Read], name: bool) -> str:
    """Which category was taken for which. ``name``: say of which reports."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for r in read:
        got = r.full.category or "no suggestion"
        if got != r.row["expected_category"]:
            found[r.row["expected_category"], got].append(r.row["id"])
    return "; ".join(
        f"{want} as {got}: {', '.join(ids) if name else len(ids)}"
        for (want, got), ids in sorted(found.items())
    ) or "none"  # fmt: skip


def by_category(read: Sequence[Read]) -> str:
    total = Counter(r.row["expected_category"] for r in read)
    right = Counter(c for r in read if (c := r.full.category) == r.row["expected_category"])
    return ", ".join(f"{c} {right[c]}/{n}" for c, n in sorted(total.items()))


# -- the page --------------------------------------------------------------------------------------


def sample_rows(read: Sequence[Read], keys: ItemKeys) -> tuple[list[str], list[str]]:
    """A line of the table for each public sample, and a line for each error."""
    first: dict[str, str] = {}
    lines, errors = [], []
    for r in read:
        row, name = r.row, r.row["id"]
        same = None
        for url in row["urls"]:
            if found := key(keys, url):
                same = first.setdefault(found, name)
                break
        data = signals.personal_data(row["text"])
        pairs = {
            "category": (row["expected_category"], r.full.category or "no suggestion"),
            "severity": (row["expected_severity"], str(r.full.severity or "none")),
            "language": (row["language"], signals.language_hint(row["text"]).tag),
            "same item as": (row["duplicate_of"] or "–", same if same not in (None, name) else "–"),
            "personal data": (
                "some" if row["contains_pii"] else "none",
                ", ".join(signals.kinds(data)) or "none",
            ),
        }
        cells = []
        for what, (want, got) in pairs.items():
            right = want == got or (want == "some" and got != "none")
            cells.append(got if right else f"**{got}** (expected {want})")
            if not right:
                errors.append(f"{name}: {what} {got}, expected {want}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines, errors


def page(figures: Mapping[str, Column], read: Sequence[Read], keys: ItemKeys) -> str:
    names = dict.fromkeys(name for column in figures.values() for name in column)
    table = [
        f"| | {' | '.join(figures)} |",
        f"|---|{'---|' * len(figures)}",
        *(f"| {n} | {' | '.join(c.get(n, '') for c in figures.values())} |" for n in names),
    ]
    lines, errors = sample_rows(read, keys)
    return "\n".join(
        (
            BEGIN,
            "",
            *table,
            "",
            "### The 42 public samples",
            "",
            "What was got; in bold where something else was expected.",
            "",
            "| sample | category | severity | language | same item as | personal data |",
            "|---|---|---|---|---|---|",
            *lines,
            "",
            f"Errors ({len(errors)}):",
            "",
            *(f"- {e}" for e in errors),
            "",
            END,
        )
    )


def write(made: str) -> None:
    text = PAGE.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{PAGE}: expected the lines {BEGIN!r} and {END!r}; add them")
    PAGE.write_text(before + made + after, encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--write", action="store_true", help="into docs/architecture/signals.md")
    parser.add_argument("--without-fresh", action="store_true", help="while tuning")
    given = parser.parse_args()
    pack = load_country_pack(ROOT / "deploy/country-packs/ma")
    keys, suggester = ItemKeys(pack.platforms), Suggester(pack)
    paths: dict[str, Path] = {
        "42 samples": SAMPLES,
        "tune": DATA / "tune.jsonl",
        "first hold-out": DATA / "holdout.jsonl",
    }
    learnt_from = [row for path in paths.values() for row in rows(path)]
    if not given.without_fresh:
        paths["fresh"] = DATA / "fresh.jsonl"
    bayes = Bayes(learnt_from)
    commonest = Counter(row["expected_category"] for row in learnt_from).most_common(1)[0][0]
    known = [entry.id for entry in pack.lexicon.signals]
    figures: dict[str, Column] = {}
    seen: dict[str, list[Read]] = {}
    for name, path in paths.items():
        seen[name] = reports = [read(row, suggester, keys) for row in rows(path)]
        plain = [r.row for r in reports]
        secret = name == "fresh"
        column = category(reports, bayes if secret else bayes.without, commonest)
        column |= severity(reports, pack) | language(plain)
        if name == "42 samples":
            right = sum(bool(signals.personal_data(r["text"])) == r["contains_pii"] for r in plain)
            column |= {"some personal data or none": share(right, len(plain))}
            column |= items(plain, "duplicate_of", keys)
        else:
            column |= facts(reports, known) | personal(plain)
            column |= copies(plain, "near_duplicate_of") | items(plain, "item_same_as", keys)
        column["categories taken for another"] = wrong(reports, name=not secret)
        column["right by category"] = by_category(reports)
        figures[name] = column
    say = Console(soft_wrap=True, highlight=False)
    for name, column in figures.items():
        say.print(f"\n{name}: {len(seen[name])} reports, lexicon version {suggester.version}")
        for what, figure in column.items():
            say.print(f"  {what}: {figure}")
    made = page(figures, seen["42 samples"], keys)
    if given.write:
        write(made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
