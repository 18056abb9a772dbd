# SPDX-License-Identifier: Apache-2.0
"""Rules of the example country as text; and conditions of the offered part of CEL and facts, both at
random.
"""

from typing import Any

from hypothesis import strategies as st
from wasl_triage.domain.facts import VARIABLES, Facts, domains

WORDS = (
    "",
    "scam",
    "insult",
    "opinion",
    "a",
    "b.test",
    "shop.example",
    "ل",
    'say "x"',
    "it's",
    "a\\b",
)
_TEXT = st.sampled_from(WORDS)
_FACTS = {
    kind: [v.name for v in VARIABLES.values() if v.type == kind]
    for kind in ("string", "int", "bool", "set")
}


def quoted(word: str) -> str:
    inner = word.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{inner}"'


_strings = st.one_of(_TEXT.map(quoted), st.sampled_from(_FACTS["string"]))
_lists = st.lists(_TEXT.map(quoted), min_size=1, max_size=3).map(lambda x: f"[{', '.join(x)}]")
_sets = st.one_of(st.sampled_from(_FACTS["set"]), _lists)
_numbers = st.integers(0, 30).map(str)
_ints = st.one_of(
    _numbers,
    st.sampled_from(_FACTS["int"]),
    st.builds(lambda s: f"size({s})", _sets),
    st.builds(lambda s: f"{s}.size()", _sets),
    st.builds(lambda a, op, b: f"({a} {op} {b})", _numbers, st.sampled_from("+-"), _numbers),
    st.builds(lambda a: f"-{a}", st.sampled_from(_FACTS["int"])),
)
_atoms = st.one_of(
    st.sampled_from(["true", "false", *_FACTS["bool"]]),
    st.builds(lambda a, op, b: f"{a} {op} {b}", _strings, st.sampled_from(("==", "!=")), _strings),
    st.builds(
        lambda a, op, b: f"{a} {op} {b}",
        _ints,
        st.sampled_from(("==", "!=", "<", "<=", ">", ">=")),
        _ints,
    ),
    st.builds(lambda a, b: f"{a} in {b}", _strings, _sets),
    st.builds(lambda a, b: f"{a} in [{b}, 3]", _ints, _numbers),
    st.builds(
        lambda a, m, b: f"{a}.{m}({b})",
        _strings,
        st.sampled_from(("startsWith", "endsWith", "contains")),
        _strings,
    ),
    st.builds(
        lambda s, m, n, b: f"{s}.{m}(x, x.{n}({b}) || x == {b})",
        _sets,
        st.sampled_from(("exists", "all")),
        st.sampled_from(("startsWith", "endsWith", "contains")),
        _strings,
    ),
)


def _wider(inner: Any) -> Any:
    return st.one_of(
        st.builds(
            lambda a, op, b: f"({a}) {op} ({b})", inner, st.sampled_from(("&&", "||")), inner
        ),
        st.builds(lambda a, op, b: f"{a} {op} {b}", _atoms, st.sampled_from(("&&", "||")), _atoms),
        st.builds(lambda a: f"!({a})", inner),
        st.builds(lambda a, b, c: f"({a}) ? ({b}) : ({c})", inner, inner, inner),
        st.builds(lambda a, b: f"({a}) == ({b})", inner, inner),
    )


#: Conditions over the facts; every one is well typed, apart from the pack's vocabularies.
conditions = st.recursive(_atoms, _wider, max_leaves=6)
_SETS = st.frozensets(_TEXT, max_size=3)
_OF = {"string": _TEXT, "int": st.integers(0, 30), "bool": st.booleans(), "set": _SETS}


def facts(**fixed: Any) -> Any:
    """Facts with these fixed values or strategies."""
    some = {
        v.name: fixed.get(v.name, _OF[v.type])
        for v in VARIABLES.values()
        if v.name not in {"speech", "domains", "severity"}
    }
    some = {k: v if isinstance(v, st.SearchStrategy) else st.just(v) for k, v in some.items()}
    levels = st.sampled_from(("low", "medium", "high", "critical"))
    some["severity"] = fixed.get("severity", levels)
    return st.fixed_dictionaries(some).map(lambda d: Facts(**d, domains=domains(d["host"])))


def document(*rules: str, version: int = 1) -> str:
    """A file of the example country. Each rule: its lines after the id, which is r0, r1 …"""
    head = f'version = {version}\n\n[[history]]\nversion = {version}\non = 2030-01-02\nby = "duty"\nwhy = "test"\n'
    body = "".join(
        f'\n[[rules]]\nid = "r{n}"\ntitle = {{ en = "Rule", ar = "قاعدة" }}\n{rule}\n'
        for n, rule in enumerate(rules)
    )
    return head + body


def rule(
    when: str, *then: str, fires: str = "danger = true", not_: str = "", more: str = ""
) -> str:
    """``when``, effects and the two examples every rule has."""
    return (
        f"when = '''{when}'''\n{more}"
        f"then = [{', '.join(then)}]\n"
        f"examples = [\n  {{ fires = true, facts = {{ {fires} }} }},\n"
        f"  {{ fires = false, facts = {{ {not_} }} }},\n]"
    )
