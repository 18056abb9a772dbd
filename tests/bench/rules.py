# SPDX-License-Identifier: Apache-2.0
"""Rules a second on one core, at 1, 10 and 50: ours, and the cel library asked rule by rule.

Facts are made from the pack's own examples, one report after another, none twice in a row; the
50 rules are the pack's, repeated with other words so that none is the same. Run it alone:
``python tests/bench/rules.py [--json FILE]``.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cel
from wasl_schemas.country_pack import CountryPack, load_country_pack
from wasl_schemas.rules import RulesDocument, RulesFile
from wasl_triage.domain.facts import Facts, domains
from wasl_triage.rules.engine import RuleSet, cel_variables

PACK = Path(__file__).parents[2] / "deploy" / "country-packs" / "ma"
COUNTS = (1, 10, 50)
#: The issue's aim, events a second at 50 rules.
AIM = 32_000


def rules(pack: CountryPack, count: int) -> RulesFile:
    """``count`` rules of the pack; the second and later rounds ask for one hour more each."""
    own = pack.rules.rules
    made = [
        own[n % len(own)].model_copy(
            update={
                "id": f"{own[n % len(own)].id}-{n}",
                "when": f"({own[n % len(own)].when}) && hour < {100 - n // len(own)}",
            }
        )
        for n in range(count)
    ]
    history = pack.rules.document.history
    return RulesFile(RulesDocument(version=history[-1].version, history=history, rules=tuple(made)))


def reports(pack: CountryPack) -> list[Facts]:
    """The facts of every example of the pack, each at four hours of the day."""
    found = []
    for rule in pack.rules.rules:
        for example in rule.examples:
            stated = {
                k: frozenset(v) if isinstance(v, tuple) else v for k, v in example.facts.items()
            }
            host = str(stated.pop("host", "www.shop.example"))
            for hour in (3, 9, 15, 21):
                given = {"hour": hour, **stated, "host": host, "domains": domains(host)}
                found.append(Facts(**given))  # type: ignore[arg-type]
    return found


def rate(work: Callable[[Facts], object], facts: Sequence[Facts], seconds: float) -> float:
    """Events a second of this process's own time, so that neighbours on the machine do not count:
    the best of three runs of ``seconds`` each.
    """
    best = 0.0
    for _ in range(3):
        done, begun = 0, time.process_time()
        while (passed := time.process_time() - begun) < seconds:
            for one in facts:
                work(one)
            done += len(facts)
        best = max(best, done / passed)
    return best


def library(compiled: RuleSet, speech: frozenset[str]) -> Callable[[Facts], object]:
    """The same conditions by the library: one context an event, each program run on it."""
    programs = [cel.compile(r.when) for r in compiled.rules]
    used = sorted(frozenset().union(*compiled.reads.values()))

    def work(facts: Facts) -> list[int]:
        known = cel_variables(facts, speech)
        context = cel.Context({name: known[name] for name in used})
        return [n for n, program in enumerate(programs) if program.execute(context)]

    return work


def measure(seconds: float = 0.5) -> dict[str, dict[str, float]]:
    """By number of rules: events a second whole (evaluate), conditions alone, and the library's."""
    pack = load_country_pack(PACK)
    facts = reports(pack)
    speech = frozenset(
        c.id
        for c in pack.categories.values()
        if c.expression_safeguard.value in {"FE3", "FE3-block"}
    )
    out = {}
    for count in COUNTS:
        compiled = RuleSet.compile(pack, rules(pack, count))
        theirs = library(compiled, speech)
        if any(compiled.fired(f) != theirs(f) for f in facts):
            raise AssertionError("the library and the program do not agree")
        out[str(count)] = {
            "evaluate": rate(compiled.evaluate, facts, seconds),
            "conditions": rate(compiled.fired, facts, seconds),
            "library": rate(theirs, facts, seconds),
        }
    return out


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--json", type=Path)
    given = options.parse_args()
    found = measure()
    for count, row in found.items():
        told = "  ".join(f"{name} {number:>9,.0f}/s" for name, number in row.items())
        sys.stdout.write(f"{count:>3} rules  {told}\n")
    reached = found[str(COUNTS[-1])]["evaluate"]
    sys.stdout.write(f"aim at {COUNTS[-1]} rules: {AIM:,}/s, {reached / AIM:.1f} times that\n")
    if given.json:
        given.json.write_text(json.dumps(found, indent=2), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
