# SPDX-License-Identifier: Apache-2.0
"""What is refused is said in the reader's words on every page, and a time is read in one place."""

import ast
import html
from collections.abc import Iterator
from datetime import datetime
from importlib import resources
from pathlib import Path

import pytest
from desk import Door, rooms
from fastapi import FastAPI, Request
from triage_world import World
from wasl_triage.console import telling
from wasl_triage.console.pages import Console
from wasl_triage.console.site import Page
from wasl_triage.desk import NotLawful
from wasl_triage.domain.agreement import by_label, kappa
from wasl_triage.domain.decisions import Missing
from wasl_triage.quality.golden import GoldenFigures

CATEGORY = "scam_fraud"


@pytest.fixture
def page(pack) -> Page:
    world = World(pack)
    console = Console(world.pack, world.clock, Door(), rooms(world))
    console.register(FastAPI())
    return Page(console.site, Request({"type": "http", "path": "/fr/", "headers": []}), "fr", None)


def test_ids_in_a_refusal_are_shown_by_their_titles(page: Page) -> None:
    missing = [
        Missing("category", "asks for something else", "Choose {category}.", {"category": CATEGORY})
    ]
    text = page.show("unlawful.html", 422, missing=missing).body.decode()
    assert page.words(page.pack.categories[CATEGORY].label) in html.unescape(text)
    assert CATEGORY not in text


@pytest.mark.parametrize(
    ("typed", "expected"),
    [("", None), ("2026-01-05", (2026, 1, 5, 0, 0)), ("2026-01-05T09:30", (2026, 1, 5, 9, 30))],
)
def test_a_time_of_a_form_is_in_the_country_s_zone(page: Page, typed, expected) -> None:
    at = page.moment(typed, "next_at")
    assert at == (datetime(*expected, tzinfo=page.site.zone) if expected else None)


@pytest.mark.parametrize("typed", ["soon", "2026-13-01", "2026-01-05T25:00", "١٢"])
def test_what_is_no_time_is_refused_by_the_name_of_its_field(page: Page, typed: str) -> None:
    with pytest.raises(NotLawful) as caught:
        page.moment(typed, "until")
    (missing,) = caught.value.missing
    assert missing.field == "until"


#: Functions that write a row of the audit trail, and the place of its act.
_ACTS = {"audit": 3, "journal": 3, "looked": 3, "change": 3, "_kept": 3, "_tell": 2, "_row": 2,
         "_look": 1, "_change": 2, "saw": 2}  # fmt: skip
#: Acts that are put together.
_WHOLE = (
    *(f"tried_{how}" for how in ("password", "invitation", "second", "step_up", "provider")),
    *("password_full", "invitation_enrol", "provider_second"),
    *("review_agreed", "review_disagreed", "erase_contact", "erase_text"),
    *(f"{act}_request" for act in ("correct", "insist", "withdraw")),
)


def _constants(node: ast.expr) -> Iterator[str]:
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.IfExp():
            yield from (*_constants(node.body), *_constants(node.orelse))


def acts() -> set[str]:
    """Every act the code writes into the audit trail."""
    found = set(_WHOLE)
    for path in sorted(Path(str(resources.files("wasl_triage"))).rglob("*.py")):
        for call in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(call, ast.Call):
                place = _ACTS.get(ast.unparse(call.func).rpartition(".")[2], 99)
                found |= {word for one in call.args[place : place + 1] for word in _constants(one)}
    return found


def test_every_act_of_the_audit_trail_is_said_in_words(page: Page) -> None:
    written = acts()
    assert {"claim", "read_unredacted", "stepped_up", "totp_set", "screen", "figures"} <= written
    assert [act for act in sorted(written) if telling.act(page, act) == act] == []


@pytest.mark.parametrize(
    ("act", "word"),
    [
        ("assess", CATEGORY),
        ("move", "children"),
        ("ask_opinion", "macert"),
        ("skip", "opted_out"),
        ("release", "done"),
        ("reopen", "reappeared"),
        ("first_look_missed", "high"),
    ],
)
def test_what_an_act_was_about_is_said_in_words(page: Page, act: str, word: str) -> None:
    assert telling.detail(page, act, word) != word
    assert telling.detail(page, act, "01a204e3") == "01a204e3"  # an id stays one


def test_months_and_languages_are_called_as_the_reader_calls_them(page: Page) -> None:
    assert page.month("2026-01") == "janvier 2026"
    assert page.day("2026-01-05") == "5 jan. 2026"
    assert telling.language(page, "fr") == "français"
    assert "darija" in telling.language(page, "ary-Latn")


def test_kappa_is_shown_for_each_category_beside_the_whole(page: Page) -> None:
    pairs = [(CATEGORY, CATEGORY)] * 20 + [("spam", "spam")] * 20 + [(CATEGORY, "spam")] * 10
    told = GoldenFigures(kappa(pairs), by_label(pairs))
    shown = html.unescape(
        page.show("practice/list.html", waiting=[], own_figures=told).body.decode()
    )
    assert page.words(page.pack.categories[CATEGORY].label) in shown
    assert f"{told.categories[CATEGORY].kappa:.2f}" in shown
    assert f'<td class="number">{told.categories[CATEGORY].n}</td>' in shown
