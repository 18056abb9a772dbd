# SPDX-License-Identifier: Apache-2.0
"""The registry keeps its rules, and each rule can fail."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from wasl_schemas import lint as rules
from wasl_schemas.base import EventData, Model, Sealed
from wasl_schemas.events.case_opened_v1 import CaseOpenedV1
from wasl_schemas.events.common import SealedContact
from wasl_schemas.lint import lint
from wasl_schemas.sensitivity import Internal, Personal, Public, Restricted, Sensitivity
from wasl_schemas.topics import (
    BUILT_IN_CONNECTORS,
    CASE_OPENED_V1,
    REPORT_SUBMITTED_V1,
    SHARED,
    TopicSpec,
    dispatch_requested_v1,
    registry,
)

Spec = TopicSpec[Any]


def test_the_registry_is_sound() -> None:
    assert (
        lint(registry([*BUILT_IN_CONNECTORS, "x_corp", "a1", "long_name_of_thirty_one_chars_x"]))
        == []
    )


def with_data(model: type[EventData], **more: Any) -> Spec:
    spec: Spec = REPORT_SUBMITTED_V1
    return replace(spec, data=model, **more)


class Unmarked(EventData):
    report_id: str


class MarkedTwice(EventData):
    report_id: Public[Internal[str]]


class Hidden(Model):
    text: Personal[str]


class Bare(EventData):
    """Nothing of it is sealed."""

    report_id: Internal[str]
    text: Personal[str]


class BareInside(EventData):
    report_id: Internal[str]
    inner: Restricted[Hidden | None] = None


class BareBesideASeal(EventData):
    report_id: Internal[str]
    text: Personal[Sealed | str]


class BareList(EventData):
    report_id: Internal[str]
    texts: Personal[tuple[str, ...]]


class AllSealed(EventData):
    report_id: Internal[str]
    text: Restricted[Sealed | None] = None
    texts: Personal[tuple[Sealed, ...]] = ()
    contacts: Personal[tuple[SealedContact, ...]] = ()


class NullableWithoutDefault(EventData):
    report_id: Internal[str | None]


class OptionalKey(EventData):
    report_id: Internal[str] = "x"


class NumberKey(EventData):
    report_id: Internal[int]


def bad(spec: Spec, **changes: Any) -> Spec:
    return replace(spec, **changes)


OPENED: Spec = CASE_OPENED_V1

BROKEN: list[tuple[str, Spec, str]] = [
    ("name_shape", bad(OPENED, name="wasl.case_x.opened.v1"), "expected wasl."),
    ("name_shape", bad(OPENED, name="wasl.Case.opened.v1"), "expected wasl."),
    ("name_shape", bad(OPENED, name="hub.case.opened.v1"), "expected wasl."),
    ("name_shape", bad(OPENED, name="wasl.case.opened"), "expected wasl."),
    ("name_shape", bad(OPENED, name="wasl.case.opened.v0"), "expected wasl."),
    ("name_shape", bad(OPENED, name="wasl.case..opened.v1"), "expected wasl."),
    ("name_shape", bad(OPENED, name="wasl.case.opened.a.b.v1"), "expected wasl."),
    ("name_shape", bad(OPENED, name=f"wasl.case.{'o' * 240}.v1"), "shorten it to 249"),
    ("name_shape", bad(OPENED, name=f"wasl.case.{'o' * 231}.v1"), "a dead-letter name has"),
    ("described", bad(OPENED, description=""), "one or more sentences"),
    ("described", bad(OPENED, description="opened"), "one or more sentences"),
    ("retention_allowed", bad(OPENED, retention=timedelta(days=365)), "(days): 14, 30"),
    (
        "retention_allowed",
        bad(REPORT_SUBMITTED_V1, retention=timedelta(days=30), dead_letter_retention=timedelta(30)),
        "retention of restricted data must be one of (days): 14",
    ),
    (
        "dead_letters_outlast",
        bad(OPENED, dead_letter_retention=timedelta(days=13)),
        "raise dead_letter_retention",
    ),
    ("classified", bad(OPENED, classification=Sensitivity.PERSONAL), "must be 'internal'"),
    (
        "classified",
        bad(REPORT_SUBMITTED_V1, classification=Sensitivity.INTERNAL),
        "must be 'restricted'",
    ),
    ("keyed", bad(OPENED, key="id"), "key 'id' must be a required text field of CaseOpenedV1"),
    ("keyed", with_data(OptionalKey), "key 'report_id'"),
    ("keyed", with_data(NumberKey), "key 'report_id'"),
    ("known_services", bad(OPENED, producers=("triag",)), "'triag' is no service"),
    ("known_services", bad(OPENED, consumers=("everybody",)), "'everybody' is no service"),
    ("known_services", bad(OPENED, producers=()), "needs a producer"),
    ("named_mechanically", with_data(CaseOpenedV1), "must be called ReportSubmittedV1"),
    ("named_mechanically", with_data(Bare), "wasl_schemas.events.report_submitted_v1"),
    (
        "named_mechanically",
        bad(OPENED),  # equal, but not the constant
        "must be the constant CASE_OPENED_V1",
    ),
    (
        "named_mechanically",
        bad(dispatch_requested_v1("alpha"), name="wasl.dispatch.asked.alpha.v1"),
        "must be made by the function dispatch_asked_v1",
    ),
    ("marked_once", with_data(Unmarked), "field 'report_id' must carry exactly one"),
    ("marked_once", with_data(MarkedTwice), "field 'report_id' must carry exactly one"),
    ("sealed", with_data(Bare), "field 'text' is sensitive"),
    ("sealed", with_data(BareInside), "field 'inner' is sensitive"),
    ("sealed", with_data(BareBesideASeal), "field 'text' is sensitive"),
    ("sealed", with_data(BareList), "field 'texts' is sensitive"),
    ("absent_by_default", with_data(NullableWithoutDefault), "give it the default None"),
]


@pytest.mark.parametrize(("rule", "spec", "said"), BROKEN)
def test_each_rule_can_fail(rule: str, spec: Spec, said: str) -> None:
    found = list(getattr(rules, rule)(spec))
    assert any(said in sentence for sentence in found), found


def test_every_rule_has_a_case_that_breaks_it() -> None:
    assert {r.__name__ for r in rules.RULES} == {name for name, _, _ in BROKEN}


def test_what_breaks_a_rule_is_found_with_its_topic() -> None:
    assert lint([bad(OPENED, description="")])[0].startswith("wasl.case.opened.v1: ")


def test_seals_are_recognised_wherever_they_sit() -> None:
    assert list(rules.sealed(with_data(AllSealed))) == []


def test_a_type_has_one_topic() -> None:
    twin = bad(OPENED, description="A twin.")
    assert any("listed twice" in p for p in lint([*SHARED, twin]))
    alpha, beta = dispatch_requested_v1("alpha"), dispatch_requested_v1("beta")
    assert lint([alpha, beta]) == []
    shared: Spec = bad(beta, name="wasl.dispatch.requested.v1")
    assert any(f"belongs to {alpha.name}" in p for p in lint([alpha, shared]))
    other: Spec = bad(beta, data=CaseOpenedV1)
    assert any(f"belongs to {alpha.name}" in p for p in lint([alpha, other]))


# --- connectors ---


def test_a_connectors_topic_has_no_underscore_and_keeps_the_name() -> None:
    spec = dispatch_requested_v1("x_corp")
    assert spec.name == "wasl.dispatch.requested.x-corp.v1"
    assert spec.connector == "x_corp"
    assert spec.type == "org.wasl.dispatch.requested.v1"
    assert spec.schema_urn == "urn:wasl:schema:dispatch.requested.v1"
    assert spec.dead_letter("platform-gateway").endswith(".x-corp.v1.dlq.platform-gateway")


@pytest.mark.parametrize("name", ["dispatch", "requested", "v1", "wasl", "a_", "a__b"])
def test_no_connectors_name_confuses_the_type(name: str) -> None:
    spec = dispatch_requested_v1(name)
    assert (spec.type, spec.connector) == ("org.wasl.dispatch.requested.v1", name)
    assert lint([spec]) == []


@pytest.mark.parametrize(
    "name", ["", "a", "A1", "1a", "x-corp", "x.corp", "a" * 32, "a b", "ä1", "ab\n"]
)
def test_what_is_no_connectors_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="expected 2 to 31 of a-z"):
        dispatch_requested_v1(name)


def test_a_connector_named_twice_has_one_topic() -> None:
    names = [s.name for s in registry(["alpha", "alpha"])]
    assert len(names) == len(set(names)) == len(SHARED) + 1
