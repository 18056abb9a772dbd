# SPDX-License-Identifier: Apache-2.0
"""Conditions mean what CEL means, and what is wrong with one is told with its place and the fix."""

import cel
import pytest
from hypothesis import HealthCheck, example, given, settings
from rules_kit import conditions, facts
from wasl_triage.domain.facts import VARIABLES, Facts
from wasl_triage.rules.engine import _function, cel_variables
from wasl_triage.rules.expressions import UNKNOWN, ExpressionError, parse, value

SPEECH = frozenset({"insult", "opinion"})
WORDS = {"category": frozenset({"", "scam", "insult", "opinion"})}


def ours(text: str, some: Facts) -> bool:
    return bool(_function([parse(text, {})], SPEECH)(some))


def theirs(text: str, some: Facts) -> object:
    return cel.compile(text).execute(cel_variables(some, SPEECH))


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(conditions, facts())
@example("!danger ? minor : true == false", Facts(danger=True, minor=True))
@example("danger || minor && flood", Facts(danger=True))
@example("1 - 2 - 3 == -4 && 2 - (1 - 3) == 4", Facts())
@example('size(["a", "a"]) == 2', Facts())
@example("// why\n hour > 3", Facts())
@example('["a", "b"].all(x, x in signals)', Facts(signals=frozenset("ab")))
@example("-hour < 0 == danger", Facts(danger=True))
def test_conditions_mean_what_cel_means(text: str, some: Facts) -> None:
    assert ours(text, some) is theirs(text, some), text


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(conditions, facts())
def test_what_is_known_of_a_condition_is_never_wrong(text: str, some: Facts) -> None:
    """Both with the category alone and with every fact given."""
    node = parse(text, {})
    partly = {"category": some.category, "speech": some.category in SPEECH}
    for known in (partly, cel_variables(some, SPEECH)):
        assert value(node, known) in (UNKNOWN, ours(text, some)), text


WRONG = [
    ("categry == 'scam'", 0, "no fact is called 'categry'; did you mean 'category'?"),
    ("category == 'scan'", 12, "'scan' is no category of this pack; did you mean 'scam'?"),
    ("category in ['scam', 'insalt']", 21, "did you mean 'insult'?"),
    ("'scan' in categories", 0, "is no category"),
    ("categories.exists(c, c == 'scan')", 26, "is no category"),
    ("(danger ? category : category) == 'scan'", 34, "is no category"),
    ("reports", 0, "expected bool, got int: a condition is true or false"),
    ("hour && danger", 0, "expected bool, got int: '&&' joins conditions"),
    ("danger || hour", 10, "expected bool, got int"),
    ("reports > '3'", 8, "compares equal types, got int and string"),
    ("signals == 'x'", 8, "a set is asked with 'in'"),
    ("signals == signals", 8, "does not compare sets"),
    ("host > 'a'", 5, "compares ints, got string"),
    ("1 in signals", 2, "got int in set"),
    ("'a' in host", 4, "got string in string"),
    ("host.matches('a')", 5, "use startsWith, endsWith or contains"),
    ("host.startswith('a')", 5, "did you mean 'startsWith'?"),
    ("size(host) > 1", 0, "counts a set or a list, got string"),
    ("len(host) > 1", 0, "no function is called 'len'"),
    ("hour.startsWith('a')", 0, "expected string, got int"),
    ("host.startsWith(1)", 16, "expected string, got int"),
    ("signals.exists(host, host == 'a')", 15, "expected a new name"),
    ("signals.exists(x, size(signals))", 18, "takes a condition"),
    ("hour.exists(x, true)", 0, "expected set, got int"),
    ("signals.exists(x, true) && x == 'a'", 27, "no fact is called 'x'"),
    ("danger ? 1 : 'a'", 13, "both sides of ':'"),
    ("hour ? danger : minor", 0, "before '?' stands a condition"),
    ("!hour", 1, "turns a condition round"),
    ("-danger == 1", 1, "stands before an int"),
    ("host + 'a' == 'b'", 0, "adds and subtracts ints"),
    ("hour / 2 > 1", 5, "use the operators"),
    ("hour > 1.5", 7, "numbers are whole"),
    ("hour > 9999999999", 7, "expected an int up to"),
    ("host == 'a", 8, "close the string"),
    ("host == 'a\\n'", 10, "no escape that is offered"),
    ("host in []", 9, "expected a fact or a value, got ']'"),
    ("host in ['a', 1]", 14, "of one type"),
    ("host in [host]", 9, "written out"),
    ("danger danger", 7, "expected an operator or the end, got 'danger'"),
    ("(danger", 7, "expected ')', got 'the end'"),
    ("danger &&", 9, "expected a fact or a value, got 'the end'"),
    ("", 0, "expected a fact or a value"),
    ("signals.1", 8, "expected a name after '.', got '1'"),
    ("host.(1)", 5, "expected a name after '.'"),
    ("(" * 30 + "danger" + ")" * 30, 10, "nested too deeply"),
    ("!" * 30 + "danger", 10, "nested too deeply"),
    ("1" + " + 1" * 300 + " > 1", 22, "too long a chain"),
    ("danger" + " == danger" * 30, 57, "too long a chain"),
]


@pytest.mark.parametrize(("text", "offset", "what"), WRONG, ids=[w[0][:30] for w in WRONG])
def test_what_is_wrong_is_told_with_its_place(text: str, offset: int, what: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse(text, WORDS)
    assert what in str(caught.value)
    assert caught.value.offset == offset, caught.value


def test_the_longest_and_deepest_that_pass_can_be_compiled() -> None:
    wide = " && ".join(["(reports + 1 > 2 || danger)"] * 70)
    deep = "1 + 1 + 1 > 1"
    for _ in range(9):
        deep = f"danger || minor && flood == ({deep})"
    for text in (wide, deep, "!" * 9 + "danger"):
        assert ours(text, Facts(danger=True)) is theirs(text, Facts(danger=True))


def test_every_fact_can_be_asked() -> None:
    asks = {"string": "{} == ''", "int": "{} > 1", "bool": "{}", "set": "size({}) == 0"}
    for v in VARIABLES.values():
        assert parse(asks[v.type].format(v.name), {}).facts == {v.name}
