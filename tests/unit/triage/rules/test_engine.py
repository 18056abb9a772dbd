# SPDX-License-Identifier: Apache-2.0
"""What rules do, what no rule may do, and how the file says it is wrong."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rules_kit import conditions, document, facts, rule
from wasl_schemas.country_pack import CountryPack
from wasl_schemas.country_pack_loader import read_rules
from wasl_schemas.events.common import Severity
from wasl_schemas.rules import RulesError, RulesFile
from wasl_triage.domain.facts import Facts, domains
from wasl_triage.rules.engine import Outcome, RuleSet, words

PAGE, HOLD = '{ kind = "page" }', '{ kind = "hold" }'
RAISE, LOWER = '{ kind = "raise" }', '{ kind = "lower", levels = 2 }'
SET = '{ kind = "set", level = "critical" }'
CLASSIFY = '{ kind = "classify", category = "scam" }'
DISPATCH = (
    '{ kind = "dispatch", category = "scam", partner = "social", '
    'ground = { kind = "law", ref = "xx.code.1" }, confirm = "none" }'
)
EFFECTS = (
    PAGE, HOLD, RAISE, LOWER, SET, CLASSIFY, DISPATCH,
    '{ kind = "queue", queue = "general" }', '{ kind = "flag", word = "w" }',
    '{ kind = "suggest", category = "insult" }',
)  # fmt: skip
SPEECH = ("insult", "opinion")


def flag(word: str) -> str:
    return f'{{ kind = "flag", word = "{word}" }}'


def queue(name: str) -> str:
    return f'{{ kind = "queue", queue = "{name}" }}'


# -- what they do ------------------------------------------------------------------------------------


def test_no_rules_do_nothing(example: CountryPack) -> None:
    none = RuleSet.compile(example, RulesFile())
    assert none.evaluate(Facts(severity="high")) == Outcome(Severity.HIGH)


def test_effects_of_rules_that_fired_in_the_files_order(make) -> None:
    rules = make(
        rule("danger", queue("general"), flag("x"), PAGE),
        rule("danger", queue("speech"), flag("x"), flag("y"), HOLD),
        rule("!danger", queue("speech"), fires="", not_="danger = true"),
    )
    got = rules.evaluate(Facts(category="insult", danger=True))
    assert (got.because, got.queued_by) == (("r0", "r1"), "r0")
    assert (got.queue, got.flags, got.page, got.hold) == ("general", ("x", "y"), True, True)
    other = rules.evaluate(Facts())
    assert (other.queue, other.queued_by) == ("speech", "r2")


def test_severity_moves_in_order_and_floors_come_last(make) -> None:
    lower = rule("flood", LOWER, fires="flood = true")
    up = rule("!speech && flood", '{ kind = "raise", ceiling = "high" }', fires="flood = true")
    floor = rule("!speech && flood", '{ kind = "set", level = "medium" }', fires="flood = true")
    for some, before, after in (
        ((lower,), "critical", "medium"),
        ((lower, up), "critical", "high"),
        ((up, lower), "critical", "medium"),
        ((up,), "high", "high"),
        ((up,), "critical", "critical"),
        ((lower, floor), "high", "medium"),
        ((floor,), "critical", "critical"),
    ):
        facts_ = Facts(category="scam", severity=before, flood=True)
        assert make(*some).evaluate(facts_).severity == after, (some, before)


def test_nothing_sinks_below_what_danger_sets(make) -> None:
    rules = make(rule("flood", LOWER, fires="flood = true"))
    sunk = Facts(category="scam", severity="critical", flood=True)
    assert rules.evaluate(sunk).severity == "medium"
    grave = Facts(
        category="scam", severity="critical", flood=True, signals=frozenset({"immediate_danger"})
    )
    assert rules.evaluate(grave).severity == "critical"


def test_a_rule_on_trial_does_nothing_and_says_what_it_would(make) -> None:
    rules = make(rule("danger && !speech", PAGE, queue("general"), RAISE, more='mode = "shadow"\n'))
    got = rules.evaluate(Facts(category="scam", severity="low", danger=True))
    assert got == Outcome(Severity.LOW, shadow=got.shadow)
    assert [(s.rule, words(s.effect)) for s in got.shadow] == [
        ("r0", "page"), ("r0", "queue general"), ("r0", "raise 1"),
    ]  # fmt: skip


def test_a_condition_that_fails_did_not_fire_and_is_told(make) -> None:
    rules = make(rule("hour > 3 && danger", PAGE, fires="danger = true"), rule("danger", flag("x")))
    got = rules.evaluate(Facts(danger=True, hour=None))  # type: ignore[arg-type]
    assert (got.failed, got.because, got.flags, got.page) == (("r0",), ("r1",), ("x",), False)


def test_an_automatic_request_needs_the_reporters_own_category(make) -> None:
    rules = make(rule('channel == "partner" && !speech', DISPATCH, fires='channel = "partner"'))
    sent = rules.evaluate(Facts(category="scam", channel="partner"))
    assert [(r, d.partner) for r, d in sent.dispatches] == [("r0", "social")]
    other = rules.evaluate(Facts(channel="partner"))
    assert (other.dispatches, other.withheld[0].why) == ((), "other_category")
    spoken = rules.evaluate(
        Facts(category="scam", channel="partner", categories=frozenset({"scam", "opinion"}))
    )
    assert (spoken.dispatches, spoken.withheld[0].why) == ((), "speech")


def test_what_a_lawyer_is_asked_about_does_not_leave(make) -> None:
    sending = rule('channel == "partner" && !speech', DISPATCH, fires='channel = "partner"')
    got = make(sending, rule("danger", HOLD)).evaluate(
        Facts(category="scam", channel="partner", danger=True)
    )
    assert (got.hold, got.dispatches) == (True, ())


def test_no_restricted_case_becomes_unrestricted(ma: CountryPack) -> None:
    (n,) = [n for n, r in enumerate(ma.rules.rules) if r.id == "known-phishing-kit"]
    assert n
    rules = RuleSet.compile(ma)
    host = "phishing-kit.example"
    at = {"host": host, "domains": domains(host)}
    assert rules.evaluate(Facts(category="other_illegal", **at)).category == "phishing_malware"
    for kept in (
        Facts(category="csam", **at),
        Facts(category="other_illegal", minor=True, **at),
        Facts(category="scam_fraud", categories=frozenset({"csam"}), **at),
    ):
        got = rules.evaluate(kept)
        assert got.category is None
        assert ("known-phishing-kit", "restricted") in [(w.rule, w.why) for w in got.withheld]


def test_held_speech_is_not_raised_by_a_public_official(ma: CountryPack) -> None:
    rules = RuleSet.compile(ma)
    got = rules.evaluate(
        Facts(category="disinformation", signals=frozenset({"public_official_target"}))
    )
    assert (got.queue, got.hold, got.severity) == ("speech", True, "low")


# -- what is wrong with a file -------------------------------------------------------------------------

ON_SCAM = 'channel == "partner" && category == "scam"'
OF_SCAM = 'category = "scam", channel = "partner"'
WRONG = [
    (rule("dangr", PAGE), "line 12: rules[r0].when: no fact is called 'dangr'; did you mean 'danger'?"),
    (rule("danger\n  && categry == 'x'", PAGE), "line 13: rules[r0].when: no fact is called 'categry'"),
    (rule("danger &&", PAGE), "line 12: rules[r0].when: expected a fact or a value, got 'the end'"),
    (rule("danger && category == 'skam'", PAGE), "'skam' is no category of this pack; did you mean 'scam'?"),
    (rule("danger", PAGE, fires=""), "line 15: rules[r0].examples[0].fires: expected false: the rule does not fire"),
    (rule("danger", PAGE, not_="danger = true"), "line 16: rules[r0].examples[1].fires: expected true: the rule fires"),
    (rule("danger", PAGE, fires="dangr = true"), "line 15: rules[r0].examples[0].facts.dangr: no fact is called 'dangr'"),
    (rule("danger", PAGE, fires="danger = 1"), "examples[0].facts.danger: expected bool, got int"),
    (rule("danger", PAGE, fires='danger = true, category = "skam"'), "'skam' is no category of this pack; did you mean 'scam'?"),
    (rule("danger", PAGE, fires='danger = true, signals = ["dangr"]'), "'dangr' is no signal of this pack"),
    (rule("danger", PAGE, fires="danger = true, speech = false"), "facts.speech: follows from category"),
    (rule("danger", RAISE), "line 13: rules[r0].then[0].kind: no rule may raise for speech, and this one may fire for 'insult' (FE3), 'opinion' (FE3-block); begin when with '!speech &&'"),
    (rule("danger && category != 'insult'", SET), "no rule may set for speech, and this one may fire for 'opinion' (FE3-block)"),
    (rule('category == "opinion"', RAISE, fires='category = "opinion"'), "may fire for 'opinion'"),
    (rule("speech && danger", RAISE, fires='category = "insult", danger = true'), "no rule may raise for speech"),
    (rule("reports > 5", PAGE, fires="reports = 9"), "no rule may page by volume for speech"),
    (rule("size(signals) > 1", PAGE, fires='signals = ["press", "has_url"]'), "no rule may page by volume"),
    (rule("'many_reporters' in signals", PAGE, fires='signals = ["many_reporters"]'), "no rule may page by volume"),
    (rule("danger && 'x.test' in domains", DISPATCH, fires='danger = true, host = "x.test"'), "no rule may dispatch for speech"),
    (rule(f"{ON_SCAM} && reports > 5", DISPATCH, fires=f"{OF_SCAM}, reports = 9"), "line 12: rules[r0].when: a rule that has 'dispatch' never asks how many reported"),
    (rule(f"{ON_SCAM} && severity == 'high'", DISPATCH, fires=f'{OF_SCAM}, severity = "high"'), "never asks how many"),
    (rule(f"{ON_SCAM} && 'many_reporters' in signals", DISPATCH, fires=f'{OF_SCAM}, signals = ["many_reporters"]'), "never asks how many"),
    (rule(f"{ON_SCAM} && signals.exists(s, s.startsWith('many'))", DISPATCH, fires=f'{OF_SCAM}, signals = ["many_reporters"]'), "never asks how many"),
    (rule(f"{ON_SCAM} && size(categories) > 1", DISPATCH, fires=f'{OF_SCAM}, categories = ["scam", "insult"]'), "never asks how many"),
    (rule('category == "scam"', DISPATCH, fires='category = "scam"'), "a category alone is not enough to send a request"),
    (rule('category == "" && danger', DISPATCH), "never true for 'scam', the category that would be sent"),
    (rule("danger && !speech", CLASSIFY), "'classify' is for known addresses: expected host or domains"),
    (rule("'x.test' in domains && copies > 3 && !speech", CLASSIFY, fires='host = "x.test", copies = 9'), "a rule that has 'classify' never asks how many"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "what"), WRONG, ids=[w[1][:60] for w in WRONG])
def test_what_is_wrong_is_told_with_line_and_fix(make, text: str, what: str) -> None:
    with pytest.raises(RulesError) as caught:
        make(text)
    assert [p for p in caught.value.problems if what in p], caught.value.problems
    assert all(p.startswith("rules.toml: line ") for p in caught.value.problems)


def test_all_problems_are_told_at_once(make) -> None:
    with pytest.raises(RulesError) as caught:
        make(
            rule("dangr", PAGE),
            rule("danger", RAISE),
            rule("danger", '{ kind = "suggest", category = "x" }'),
        )
    assert [p.split(": ")[2].split("]")[0] for p in caught.value.problems] == [
        "rules[r2", "rules[r0", "rules[r1",
    ]  # fmt: skip


def test_asking_for_a_named_signal_is_no_volume(make) -> None:
    when = f"{ON_SCAM} && 'has_url' in signals && !('insult' in categories)"
    made = make(rule(when, DISPATCH, fires=f'{OF_SCAM}, signals = ["has_url"]'))
    assert len(made.rules) == 1


# -- no rule that loads touches speech, or sends because many asked ------------------------------------

KNOWN = 'category == "scam" && channel == "partner" && hoster == "known"'


def toml(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def loaded(example: CountryPack, when: str, effects: list[str], mode: str) -> RuleSet | None:
    """A rule for a condition at random; a known address makes its examples. None: refused."""
    text = (
        f"when = {toml(f'({when}) && flood || {KNOWN}')}\nmode = '{mode}'\n"
        f"then = [{', '.join(effects)}]\nexamples = [\n"
        '  { fires = true, facts = { category = "scam", channel = "partner", hoster = "known" } },\n'
        "  { fires = false, facts = {} },\n]"
    )
    try:
        return RuleSet.compile(example, read_rules(document(text)))
    except RulesError as error:
        assert not [p for p in error.problems if "report this as a bug" in p], error
        return None


whens = st.one_of(
    conditions,
    conditions.map(lambda c: f"!speech && ({c})"),
    conditions.map(lambda c: f'category == "scam" && ({c})'),
    conditions.map(lambda c: f"'a' in domains && !speech && ({c})"),
)
effects = st.lists(st.sampled_from(EFFECTS), min_size=1, max_size=4, unique=True)
_many = settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))


@_many
@given(whens, effects, facts(category=st.sampled_from(SPEECH), flood=True))
def test_speech_is_never_raised_classified_or_sent(
    example: CountryPack, when: str, then: list[str], some: Facts
) -> None:
    rules = loaded(example, when, then, "active")
    if rules is None:
        return
    got = rules.evaluate(some)
    assert got.severity.rank <= Severity(some.severity).rank
    assert (got.dispatches, got.category) == ((), None)
    # The proof at load was right: nothing had to be withheld.
    assert not [w for w in got.withheld if w.why == "speech"]


@_many
@given(whens, effects, facts(category="scam", flood=True), facts())
def test_nothing_is_sent_or_classified_because_many_asked(
    example: CountryPack, when: str, then: list[str], some: Facts, other: Facts
) -> None:
    rules = loaded(example, when, then, "active")
    if rules is None:
        return
    crowd = replace(
        some,
        reports=some.reports + 100,
        copies=some.copies + 100,
        severity=other.severity,
        signals=some.signals | {"many_reporters"},
    )
    alone, crowded = rules.evaluate(some), rules.evaluate(crowd)
    assert (alone.dispatches, alone.category) == (crowded.dispatches, crowded.category)


@_many
@given(whens, effects, facts(flood=True))
def test_rules_on_trial_change_nothing(
    example: CountryPack, when: str, then: list[str], some: Facts
) -> None:
    rules = loaded(example, when, then, "shadow")
    if rules is None:
        return
    got = rules.evaluate(some)
    told = {"shadow": got.shadow, "withheld": got.withheld, "failed": got.failed}
    assert got == Outcome(Severity(some.severity), **told)
    assert not got.failed


def test_the_properties_are_asked_of_many_rules(example: CountryPack) -> None:
    """Each effect loads with some condition, or the properties above would say nothing."""
    for effect in EFFECTS:
        assert loaded(example, "'a' in domains && category == 'scam' && danger", [effect], "active")
