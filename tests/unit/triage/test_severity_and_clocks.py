# SPDX-License-Identifier: Apache-2.0
"""How urgent, why, and until when: the pack's numbers, applied to the samples and to any order."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wasl_schemas.country_pack import CountryPack
from wasl_schemas.events.common import Severity
from wasl_schemas.taxonomy import Safeguard, Signal, signals_from_answers
from wasl_triage.domain import clocks, signals
from wasl_triage.domain.case import Assessment, Case
from wasl_triage.domain.severity import Scales

NOW = datetime(2026, 1, 5, 9, tzinfo=UTC)


def _facts(row: dict[str, Any]) -> set[Signal]:
    answers = (row.get("danger_now"), row.get("under_18"), row.get("under_13"))
    facts = set(signals_from_answers(*answers))
    if signals.self_harm_cue(row["text"]):
        facts.add(Signal.SELF_HARM_IN_TEXT)
    return facts


#: Samples whose severity needs a person, or that are no report at all, and why.
NOT_BY_FACTS_ALONE = {
    "S19": "the analyst ticks a near event: people flee a dam that stands",
    "S20": "joins S19",
    "S25": "the analyst ticks that an address was published",
    "S27": "the analyst ticks that an address was published",
    "S21": "reported as defamation, which is low too",
    "S38": "refused at the door",
    "S39": "no report: closed, so it has no severity",
    "S40": "no report: closed, so it has no severity",
    "S42": "refused at the door",
}


def test_the_samples_have_their_severity(pack: CountryPack, samples: list[dict[str, Any]]) -> None:
    scales = Scales(pack)
    wrong = {}
    for row in samples:
        if row["expected_severity"] == "none":
            assert row["id"] in NOT_BY_FACTS_ALONE
            continue
        assessed = row.get("analyst", {}).get("assessment", {})
        ticked = {Signal(s) for s in assessed.get("signals", ())}
        if row["duplicate_of"]:
            original = next(r for r in samples if r["id"] == row["duplicate_of"])
            ticked |= {Signal(s) for s in original["analyst"]["assessment"]["signals"]}
        found = scales.of(row["expected_category"], frozenset(_facts(row) | ticked)).severity
        if found != row["expected_severity"]:
            wrong[row["id"]] = (found.value, row["expected_severity"])
        alone = scales.of(row["expected_category"], frozenset(_facts(row))).severity
        if alone != row["expected_severity"]:
            assert row["id"] in NOT_BY_FACTS_ALONE, row["id"]
    assert wrong == {}


def test_severity_comes_with_its_reasons(pack: CountryPack) -> None:
    result = Scales(pack).of("sextortion", frozenset({Signal.MINOR_VICTIM}))
    assert result.severity is Severity.CRITICAL
    assert result.because == ("minor-victim",)
    danger = Scales(pack).of("defamation", frozenset({Signal.IMMEDIATE_DANGER}))
    assert danger.severity is Severity.CRITICAL


def test_volume_raises_harm_but_never_speech(pack: CountryPack) -> None:
    scales = Scales(pack)
    for category in pack.categories.values():
        alone = scales.of(category.id, frozenset()).severity
        crowd = scales.of(category.id, scales.signals({}, 10_000)).severity
        if category.expression_safeguard in (Safeguard.FE3, Safeguard.FE3_BLOCK):
            assert crowd is alone, category.id
        else:
            assert crowd.rank >= alone.rank
    assert scales.of("scam_fraud", scales.signals({}, 5)).severity is Severity.HIGH
    assert Signal.MANY_REPORTERS not in scales.signals({}, 4)


def test_even_a_pack_that_raises_speech_by_volume_is_not_obeyed(pack: CountryPack) -> None:
    loose = tuple(m.model_copy(update={"never_safeguards": ()}) for m in pack.taxonomy.modifiers)
    changed = object.__new__(CountryPack)
    changed.__dict__.update(pack.__dict__)
    changed.taxonomy = pack.taxonomy.model_copy(update={"modifiers": loose})
    crowd = frozenset({Signal.MANY_REPORTERS})
    assert changed.taxonomy.severity(pack.category("hate_speech"), crowd).severity is Severity.HIGH
    assert Scales(changed).of("hate_speech", crowd).severity is Severity.MEDIUM


def test_the_gravest_category_any_reporter_chose_is_worked_under(pack: CountryPack) -> None:
    scales = Scales(pack)
    weight = scales.weigh({"lawful_objectionable": 900, "csam": 1}, frozenset())
    assert (weight.category, weight.severity) == ("csam", Severity.CRITICAL)
    assert scales.weigh({}, frozenset()).severity is pack.taxonomy.unclassified_severity
    assert scales.weigh({"csam": 9}, frozenset(), "out_of_scope").category == "out_of_scope"


def _case() -> Case:
    return Case(
        id="c",
        platform="web",
        kind="page",
        item="",
        language="fr",
        opened_at=NOW,
        round_at=NOW,
        first_look_due=NOW,
    )


_REPORTS = st.lists(
    st.tuples(
        st.sampled_from(["csam", "threats", "hate_speech", "lawful_objectionable", None]),
        st.sets(st.sampled_from(["minor_victim", "immediate_danger", "self_harm_in_text"])),
        st.booleans(),
        st.booleans(),
    ),
    min_size=1,
    max_size=8,
)


@given(_REPORTS, st.randoms(use_true_random=False), st.data())
def test_reports_commute_and_leaving_undoes_joining(
    pack: CountryPack, reports: list[Any], random: Any, data: Any
) -> None:
    scales = Scales(pack)
    stay = data.draw(st.lists(st.booleans(), min_size=len(reports), max_size=len(reports)))
    one, other = _case(), _case()
    numbered = list(enumerate(reports))
    for i, (category, facts, partner, authority) in numbered:
        one.join(str(i), category, facts, consent_partner=partner, consent_authority=authority)
    for i, (category, facts, partner, authority) in random.sample(numbered, len(numbered)):
        if not stay[i]:
            one.leave(str(i), category, facts, consent_partner=partner, consent_authority=authority)
    for i, (category, facts, partner, authority) in random.sample(numbered, len(numbered)):
        if stay[i]:
            other.join(
                str(i), category, facts, consent_partner=partner, consent_authority=authority
            )
    for case in (one, other):
        case.weigh(pack, scales, NOW)
    same = ("reports", "reported", "facts", "severity", "category", "consent_partner")
    assert {f: getattr(one, f) for f in same} == {f: getattr(other, f) for f in same}
    assert set(one.recent) == set(other.recent)


def test_a_dismissed_fact_counts_again_when_a_new_report_states_it(pack: CountryPack) -> None:
    scales, case = Scales(pack), _case()
    consent = {"consent_partner": True, "consent_authority": False}
    case.join("1", "threats", ["immediate_danger"], **consent)
    case.assessment = Assessment("threats", (), ("immediate_danger",), "analyst-1", NOW)
    case.weigh(pack, scales, NOW)
    assert case.severity is Severity.HIGH
    case.join("2", "threats", ["immediate_danger"], **consent)
    case.weigh(pack, scales, NOW)
    assert case.severity is Severity.CRITICAL


@pytest.mark.parametrize(
    ("start", "severity", "due"),
    [
        # Casablanca is UTC+1: Friday 16:00 there, so one working day later is Monday 16:00.
        ("2026-01-09T15:00Z", Severity.MEDIUM, "2026-01-12T15:00Z"),
        # 14 January is a holiday: Tuesday's three working days are Thursday, Friday, Monday.
        ("2026-01-13T10:00Z", Severity.LOW, "2026-01-19T10:00Z"),
        # Saturday night, hours run at any time.
        ("2026-01-10T23:50Z", Severity.HIGH, "2026-01-11T03:50Z"),
        ("2026-01-10T23:50Z", Severity.CRITICAL, "2026-01-11T00:20Z"),
        # Ramadan 2026 puts Morocco on UTC+0 from 15 February: ten in the morning stays ten there.
        ("2026-02-13T09:00Z", Severity.MEDIUM, "2026-02-16T10:00Z"),
        # Half past midnight on Monday in Casablanca is still Sunday in UTC.
        ("2026-01-04T23:30Z", Severity.MEDIUM, "2026-01-05T23:30Z"),
    ],
)
def test_first_look_follows_the_packs_calendar(
    pack: CountryPack, start: str, severity: Severity, due: str
) -> None:
    found = clocks.first_look_due(pack, severity, datetime.fromisoformat(start))
    assert found == datetime.fromisoformat(due)
    assert found.tzinfo is UTC


def test_a_clock_is_hastened_and_never_delayed(pack: CountryPack) -> None:
    low = clocks.first_look_due(pack, Severity.LOW, NOW)
    soon = clocks.hastened(pack, low, Severity.CRITICAL, NOW)
    assert soon == datetime(2026, 1, 5, 9, 30, tzinfo=UTC)
    assert clocks.hastened(pack, soon, Severity.LOW, NOW) == soon
    assert clocks.authority_due(pack, Severity.LOW, NOW) == clocks.dispatch_due(
        pack, Severity.LOW, NOW
    )
    assert clocks.confirm_due(pack, NOW) == datetime(2026, 1, 6, 9, tzinfo=UTC)
