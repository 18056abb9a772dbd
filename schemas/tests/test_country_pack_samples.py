# SPDX-License-Identifier: Apache-2.0
"""The sample reports agree with Morocco's pack, with themselves, and with its law."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from wasl_schemas.country_pack import ReferWhen, load_country_pack
from wasl_schemas.events.common import Channel, Ground
from wasl_schemas.taxonomy import FourEyes, Safeguard, Signal, signals_from_answers

LOCAL = Path(__file__).parents[2] / "deploy"
ROWS: list[dict[str, Any]] = [
    json.loads(line)
    for line in (LOCAL / "local" / "samples" / "reports.jsonl").read_text("utf-8").splitlines()
]
BY_ID = {row["id"]: row for row in ROWS}
PACK = load_country_pack(LOCAL / "country-packs" / "ma")

REQUIRED = {
    "id", "channel", "language", "text", "urls", "expected_category", "expected_severity",
    "expected_intake", "contains_pii", "duplicate_of", "note",
}  # fmt: skip
OPTIONAL = {
    "category", "danger_now", "under_18", "under_13", "consent_authority", "contact", "analyst",
}  # fmt: skip
PAIRS = {
    "S02": "S01", "S07": "S06", "S11": "S10", "S15": "S14", "S20": "S19", "S29": "S28", "S33":
    "S32",
}  # fmt: skip


def original(row: dict[str, Any]) -> dict[str, Any]:
    return BY_ID[row["duplicate_of"]] if row["duplicate_of"] else row


def service(row: dict[str, Any]) -> str:
    if not row["urls"]:
        return PACK.platforms.fallback
    url = row["urls"][0].replace("hxxp", "http").replace("[.]", ".")
    item = PACK.items.find_url(url)
    host = PACK.items.bare_host(urlsplit(url).hostname or "")
    return item.service if item else PACK.items.service(host)


def test_there_are_42_rows_with_known_fields() -> None:
    assert [row["id"] for row in ROWS] == [f"S{n:02}" for n in range(1, 43)]
    for row in ROWS:
        assert REQUIRED <= row.keys() <= REQUIRED | OPTIONAL, row["id"]
        assert Channel(row["channel"]) is not Channel.UNKNOWN
        assert row["expected_intake"] in {"accepted", "refused"}


def test_every_category_is_in_the_pack_and_every_category_has_a_sample() -> None:
    expected = {row["expected_category"] for row in ROWS} - {"not_a_report"}
    assert expected == set(PACK.categories)
    assert {row["category"] for row in ROWS if "category" in row} <= set(PACK.categories)


def test_the_seven_duplicate_pairs() -> None:
    assert {r["id"]: r["duplicate_of"] for r in ROWS if r["duplicate_of"]} == PAIRS
    for copy, first in PAIRS.items():
        assert BY_ID[copy]["expected_category"] == BY_ID[first]["expected_category"]
        assert BY_ID[copy]["expected_severity"] == BY_ID[first]["expected_severity"]
        assert "analyst" not in BY_ID[copy], "the case is decided once, with its first report"


@pytest.mark.parametrize("copy", ["S07", "S11", "S15", "S20", "S29"])
def test_duplicates_on_a_platform_have_one_key(copy: str) -> None:
    def key(row: dict[str, Any]) -> str:
        url = row["urls"][0]
        item = PACK.items.find_url(url if "://" in url else f"https://{url}")
        assert item is not None
        return item.key

    assert key(BY_ID[copy]) == key(original(BY_ID[copy]))


@pytest.mark.parametrize(
    "row", [r for r in ROWS if r["expected_severity"] != "none"], ids=lambda r: r["id"]
)
def test_the_pack_gives_the_expected_severity(row: dict[str, Any]) -> None:
    first = original(row)
    answers = signals_from_answers(
        first.get("danger_now"), first.get("under_18"), first.get("under_13")
    )
    seen = {Signal(s) for s in first["analyst"]["assessment"]["signals"]}
    category = first["analyst"]["assessment"]["category"]
    assert category == row["expected_category"]
    assert PACK.severity(category, answers | seen).severity == row["expected_severity"]


def test_what_is_no_report_is_refused_or_closed() -> None:
    for row in (r for r in ROWS if r["expected_category"] == "not_a_report"):
        if row["expected_intake"] == "refused":
            assert "analyst" not in row
        else:
            assert [d["action"] for d in row["analyst"]["decisions"]] == ["close"]


DECIDED = [
    pytest.param(row, decision, id=f"{row['id']}-{decision['action']}")
    for row in ROWS
    for decision in row.get("analyst", {}).get("decisions", [])
]


@pytest.mark.parametrize(("row", "decision"), DECIDED)
def test_decisions_are_ones_the_pack_allows(row: dict[str, Any], decision: dict[str, Any]) -> None:
    assert decision["reason"]
    chosen = row["analyst"].get("assessment", {}).get("category")
    if decision["action"] in {"close", "advise"}:
        assert "ground" not in decision
        if "advice" in decision:
            assert chosen in PACK.advice(decision["advice"]).categories
        return
    category = PACK.category(chosen)
    ground = Ground.model_validate(decision["ground"])
    assert PACK.ground_fits(ground, category.id)
    route = PACK.route(category.id, service(row))
    assert route is not None
    if decision["action"] == "dispatch":
        assert row["urls"], "a partner needs something to find"
        assert set(decision["partners"]) <= {p.id for p in route.partners}
        assert not (decision.get("scope") == "global" and route.scope != "global")
    else:
        when = {a.id: w for a, w in route.authorities}
        for authority in decision["authorities"]:
            assert when[authority] in {ReferWhen.ALWAYS, ReferWhen.ON_CONSENT}
            assert when[authority] is ReferWhen.ALWAYS or row["consent_authority"]
    screened = category.expression_safeguard in {Safeguard.FE2, Safeguard.FE3}
    assert ("screen" in decision) == screened


def test_the_demo_shows_every_kind_of_decision_and_both_kinds_of_second_look() -> None:
    actions = Counter(p.values[1]["action"] for p in DECIDED)
    assert set(actions) == {"dispatch", "refer", "advise", "close"}
    eyes = {
        PACK.category(p.values[0]["expected_category"]).four_eyes
        for p in DECIDED
        if p.values[1]["action"] == "dispatch"
    }
    assert eyes == set(FourEyes)


def test_nothing_in_the_samples_can_reach_a_real_person_or_place() -> None:
    text = "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS)
    assert all(
        re.search(r"example\.(com|net|org)$", found)
        for found in re.findall(r"[\w.-]+@([\w.-]*\w)", text)
    )
    numbers = re.findall(r"(?<![\d/=])(?:\+212 ?|0)[67](?: ?\d\d){4}(?!\d)", text)
    assert numbers
    for number in numbers:
        assert re.search(r"[67]0{6}\d\d$", number.replace(" ", "")), number
    for row in ROWS:
        for url in row["urls"]:
            known = re.search(r"example(\[\.\]|\.)(com|net|org)", url, re.IGNORECASE)
            invented = re.search(r"fictif|exemple|0000000|FICTIF", url)
            harmless = re.search(
                r"story_fbid=\d\d&|marketplace/item/\d\d$|^javascript|//127\.", url
            )
            assert known or invented or harmless, url
