# SPDX-License-Identifier: Apache-2.0
"""The door under every weather: calm, crowds, campaigns and bots, on a clock of its own.

No bot hashes here: ``SOLVED`` stands for work that was done, except where the work is the subject.
"""

import asyncio
import functools
import hashlib
import itertools
import json
import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from playwright.async_api import Route, async_playwright
from wasl_chassis.failures import Overloaded
from wasl_chassis.metrics import Metrics
from wasl_chassis.testing import FakeClock
from wasl_intake.domain import flood
from wasl_intake.domain.flood import Lane
from wasl_intake.domain.submission import ReportRequest
from wasl_intake.gate import Challenge, Gate, Pass, Verdict, Wait
from wasl_intake.handlers import IntakeHandlers
from wasl_intake.http import build_app
from wasl_intake.metrics import METRICS
from wasl_intake.words import Words
from wasl_schemas import topics
from wasl_schemas.country_pack import CountryPack, load_country_pack
from wasl_schemas.events.common import Severity

ROOT = Path(__file__).resolve().parents[3]
WORKER = ROOT / "services" / "intake" / "src" / "wasl_intake" / "static" / "work.js"
PEPPER = hashlib.sha256(b"tests only").digest()
SOLVED = "solved"
SAME = "Everybody must report this account because it cheats people out of their money every day"
CAMPAIGN = ReportRequest(locations=("https://example.org/shop",), narrative=SAME)


@functools.cache
def pack() -> CountryPack:
    return load_country_pack(ROOT / "deploy" / "country-packs" / "ma")


class Door:
    """A gate, its clock, and those who stand before it."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.metrics = Metrics(METRICS)
        self.chance = random.Random(5)
        self.gate = Gate(
            pack(), self.clock, self.metrics, pepper=PEPPER, random=self.chance.randbytes
        )

    def pause(self, seconds: float) -> None:
        self.clock.advance(timedelta(seconds=seconds))

    def own(self, **facts: Any) -> ReportRequest:
        """A report in words of its own."""
        words = [f"w{self.chance.randrange(10**6)}" for _ in range(12)]
        return ReportRequest(narrative=" ".join(words), **facts)

    def send(
        self, given: Challenge, request: ReportRequest, answer: str = "", **more: Any
    ) -> Verdict:
        lane = self.gate.lane(request)
        return self.gate.judge(lane, given.token, answer, request, **more)

    def patient(self, request: ReportRequest, *, fills_in: float = 0.0) -> tuple[float, Pass]:
        """Somebody without script: how long they waited beyond filling the form in."""
        given = self.gate.challenge(self.gate.lane(request))
        self.pause(fills_in)
        waited = 0.0
        for _ in range(3):
            verdict = self.send(given, request)
            if isinstance(verdict, Pass):
                return waited, verdict
            self.pause(verdict.seconds)
            waited, given = waited + verdict.seconds, verdict.challenge
        raise AssertionError("somebody patient was told to wait three times")

    def level(self, lane: Lane) -> float:
        return self.metrics.value("wasl_intake_flood_level", lane=lane.value)

    def challenged(self, result: str, lane: Lane = Lane.ORDINARY) -> float:
        return self.metrics.value("wasl_intake_challenges_total", lane=lane.value, result=result)

    def flood(self, rate: int, seconds: float, *, solving: bool = False, **facts: Any) -> list[int]:
        """Bots; returns how many got in in each second. ``solving``: as fast as they like."""
        passed = []
        for _ in range(int(seconds)):
            got = 0
            for _ in range(rate):
                self.pause(1 / rate)
                request = self.own(**facts)
                given = self.gate.challenge(self.gate.lane(request))
                verdict = self.send(given, request, SOLVED if solving else "")
                got += isinstance(verdict, Pass)
            passed.append(got)
        return passed


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> Door:
    real = flood.solves
    monkeypatch.setattr(flood, "solves", lambda t, a, d: a == SOLVED or real(t, a, d))
    return Door()


def solve(token: str, difficulty: int) -> str:
    return next(a for a in map(str, itertools.count()) if flood.solves(token, a, difficulty))


def waits(verdict: Verdict) -> Wait:
    assert isinstance(verdict, Wait)
    return verdict


# --- calm -----------------------------------------------------------------------------------------


def test_in_calm_nobody_notices(door: Door) -> None:
    for _ in range(50):
        waited, passed = door.patient(door.own(), fills_in=20)
        assert waited == 0
        assert passed == Pass(flood=False)
    assert {door.level(lane) for lane in Lane} == {0}
    for lane in (Lane.URGENT, Lane.RECEIPTS, Lane.MESSAGES):
        assert door.gate.judge(lane, "", "") == Pass()
    assert sum(door.challenged(r, Lane.URGENT) for r in ("missing", "waited")) == 0


def test_a_form_sent_at_once_waits_two_seconds_or_works(door: Door) -> None:
    given = door.gate.challenge(Lane.ORDINARY)
    early = waits(door.send(given, door.own()))
    assert early.seconds == 2
    assert early.challenge == given
    door.pause(0.5)
    assert waits(door.send(given, door.own())).seconds == 2
    answer = solve(given.token, given.difficulty)
    assert door.send(given, door.own(), answer) == Pass()
    assert (door.challenged("early"), door.challenged("solved")) == (2, 1)


@pytest.mark.parametrize(
    ("facts", "lane"),
    [
        ({"danger_now": True}, Lane.URGENT),
        ({"category": "csam"}, Lane.URGENT),
        ({"category": "child_grooming"}, Lane.URGENT),
        ({"category": "suicide_selfharm"}, Lane.URGENT),
        ({"category": "scam_fraud"}, Lane.ORDINARY),
        ({"category": "scam_fraud", "danger_now": False}, Lane.ORDINARY),
        ({}, Lane.ORDINARY),
    ],
)
def test_the_gravest_things_have_a_lane_of_their_own(
    door: Door, facts: dict[str, Any], lane: Lane
) -> None:
    assert door.gate.lane(door.own(**facts)) is lane


def test_other_critical_categories_are_ordinary(door: Door) -> None:
    def category(name: str, group: str, severity: Severity) -> SimpleNamespace:
        return SimpleNamespace(id=name, group=group, base_severity=severity)

    rows = [
        category("a", "danger", Severity.CRITICAL),
        category("b", "danger", Severity.HIGH),
        category("c", "fraud", Severity.CRITICAL),
    ]
    country: Any = SimpleNamespace(categories={row.id: row for row in rows})
    gate = Gate(country, door.clock, door.metrics, pepper=PEPPER)
    lanes = [gate.lane(door.own(category=row.id)) for row in rows]
    assert lanes == [Lane.URGENT, Lane.ORDINARY, Lane.ORDINARY]


# --- tokens ---------------------------------------------------------------------------------------


def test_a_token_is_good_once_but_the_same_form_passes_again(door: Door) -> None:
    given, report = door.gate.challenge(Lane.ORDINARY), door.own()
    door.pause(5)
    assert isinstance(door.send(given, report, repeat_key="form-1"), Pass)
    assert isinstance(door.send(given, report, repeat_key="form-1"), Pass)
    for again in ("form-2", ""):
        fresh = waits(door.send(given, report, repeat_key=again)).challenge
        assert fresh.token != given.token
    assert door.challenged("spent") == 2
    unkeyed = door.gate.challenge(Lane.ORDINARY)
    door.pause(5)
    assert isinstance(door.send(unkeyed, door.own()), Pass)
    assert waits(door.send(unkeyed, door.own())).seconds == 2


def test_a_repeat_has_the_mark_of_the_first_time(door: Door) -> None:
    given = door.gate.challenge(Lane.ORDINARY)
    door.pause(5)
    first = door.send(given, CAMPAIGN, repeat_key="form-1")
    assert first == Pass(flood=False)
    assert door.send(given, CAMPAIGN, repeat_key="form-1") == first


def test_what_is_no_token_of_ours_is_answered_with_one(door: Door) -> None:
    other = Gate(pack(), door.clock, door.metrics, pepper=hashlib.sha256(PEPPER).digest())
    ours = door.gate.challenge(Lane.ORDINARY).token
    ahead = Door()
    ahead.pause(3600)
    for token in (
        "x",
        "é" * 64,
        ours[:-1] + ("A" if ours[-1] != "A" else "B"),
        other.challenge(Lane.ORDINARY).token,
        ahead.gate.challenge(Lane.ORDINARY).token,
    ):
        fresh = waits(door.gate.judge(Lane.ORDINARY, token, SOLVED, door.own()))
        assert fresh.seconds == fresh.challenge.wait == 2
    assert door.challenged("forged") == 5
    assert waits(door.gate.judge(Lane.ORDINARY, "", "", door.own())).seconds == 2
    assert door.challenged("missing") == 1


def test_an_expired_token_costs_a_wait_and_no_more(door: Door) -> None:
    given = door.gate.challenge(Lane.ORDINARY)
    door.pause(2 * 3600 + 1)
    fresh = waits(door.send(given, door.own(), SOLVED))
    assert door.challenged("expired") == 1
    door.pause(fresh.seconds)
    assert isinstance(door.send(fresh.challenge, door.own()), Pass)


def test_time_and_work_count_in_whichever_lane_but_only_once(door: Door) -> None:
    door.flood(200, 5)
    given = door.gate.challenge(Lane.URGENT)
    told = waits(door.send(given, door.own()))
    assert door.challenged("lane") == 1
    assert told.challenge.wait > 20
    door.pause(told.seconds)
    assert isinstance(door.send(told.challenge, door.own()), Pass)
    door.send(given, door.own())
    assert door.challenged("spent") == 1


@pytest.mark.parametrize("answer", ["", "wrong", "é", "1" * 33, "0 OR 1=1", "\0"])
def test_a_wrong_answer_is_no_answer(door: Door, answer: str) -> None:
    given = door.gate.challenge(Lane.ORDINARY)
    assert waits(door.send(given, door.own(), answer)).seconds == 2
    door.pause(2)
    assert isinstance(door.send(given, door.own(), answer), Pass)


# --- floods ---------------------------------------------------------------------------------------


def test_honest_traffic_that_rises_over_hours_is_not_hindered(door: Door) -> None:
    for hour in range(4):
        rate = 0.2 * 2**hour
        for _ in range(int(rate * 3600)):
            door.pause(door.chance.expovariate(rate))
            given = door.gate._shown(door.gate._ticket(Lane.ORDINARY, flood.REST[Lane.ORDINARY]))
            assert isinstance(door.send(given, door.own(), SOLVED), Pass)
    assert door.level(Lane.ORDINARY) == 0


def test_bots_that_neither_work_nor_wait_stay_outside_and_people_come_in(door: Door) -> None:
    assert sum(door.flood(1000, 10)) == 0
    assert door.level(Lane.ORDINARY) == 3
    waited, passed = door.patient(door.own(), fills_in=0)
    assert 30 < waited <= 60
    assert passed.flood
    door.flood(1000, 2)
    waited, _ = door.patient(door.own(), fills_in=90)
    assert waited == 0, "who fills the form in has waited"
    given = door.gate.challenge(Lane.ORDINARY)
    assert isinstance(door.send(given, door.own(), SOLVED), Pass), "who works need not wait"
    for _ in range(20):
        waited, _ = door.patient(door.own(danger_now=True))
        assert waited == 0
    assert door.level(Lane.URGENT) == 0


def test_bots_that_work_pay_a_hundred_times_more_than_in_calm(door: Door) -> None:
    calm = door.gate.challenge(Lane.ORDINARY)
    door.flood(1000, 5, solving=True)
    hard = door.gate.challenge(Lane.ORDINARY)
    assert (calm.difficulty, hard.difficulty) == (14, 20)
    assert 2.0 ** (hard.difficulty - calm.difficulty) == 64
    # 1,000 a second at 20 bits: a thousand million hashes a second.
    assert 1000 * 2**hard.difficulty > 10**9
    assert door.send(door.gate.challenge(Lane.ORDINARY), door.own(), SOLVED) == Pass(flood=True)


def test_a_flood_declared_urgent_slows_a_person_by_five_seconds(door: Door) -> None:
    door.flood(1000, 10, danger_now=True)
    assert door.level(Lane.URGENT) == 3
    waited, passed = door.patient(door.own(danger_now=True))
    assert 0 < waited <= 5
    assert passed.flood, "so that numbers say nothing"
    waited, _ = door.patient(door.own(category="csam"), fills_in=6)
    assert waited == 0
    assert door.level(Lane.ORDINARY) == 0
    assert door.patient(door.own(), fills_in=3) == (0, Pass(flood=False))


WEATHER = st.lists(
    st.tuples(st.sampled_from([None, True]), st.integers(0, 200), st.integers(0, 90)), max_size=6
)


@settings(max_examples=40, deadline=None)
@given(WEATHER, st.booleans(), st.booleans(), st.sampled_from(["", "trap"]))
def test_in_no_weather_is_anybody_refused(
    weather: list[tuple[bool | None, int, int]], urgent: bool, copy: bool, trap: str
) -> None:
    door, most = Door(), 5 if urgent else 60
    report = CAMPAIGN if copy else door.own()
    report = report.model_copy(update={"danger_now": urgent})
    given = door.gate.challenge(door.gate.lane(report))
    waited = 0.0
    for danger, bots, pause in weather:
        for _ in range(bots):
            door.gate.judge(Lane.URGENT if danger else Lane.ORDINARY, "", "", CAMPAIGN)
            door.gate.at_api(Lane.URGENT, "", CAMPAIGN)
        verdict = door.send(given, report, trap=trap)
        if isinstance(verdict, Pass):
            return
        assert 1 <= verdict.seconds <= most - int(waited)
        assert verdict.challenge.difficulty <= 20
        door.pause(pause)
        waited, given = waited + pause, verdict.challenge
    door.pause(max(0.0, most - waited))
    assert isinstance(door.send(given, report, trap=trap), Pass)


def test_it_is_calm_again_some_minutes_after(door: Door) -> None:
    door.flood(1000, 5)
    hardest = door.gate.challenge(Lane.ORDINARY)
    seen = [hardest.wait]
    for _ in range(20):
        door.pause(30)
        seen.append(door.gate.challenge(Lane.ORDINARY).wait)
    assert seen == sorted(seen, reverse=True), "it only falls"
    assert len(set(seen)) > 5, "and not all at once"
    assert seen[-1] == 2
    assert door.level(Lane.ORDINARY) == 0


async def test_the_level_falls_also_when_nothing_comes_any_more(door: Door) -> None:
    door.flood(1000, 3)
    door.pause(600)
    assert door.level(Lane.ORDINARY) == 3
    await door.gate.turn()
    assert door.level(Lane.ORDINARY) == 0


def test_a_full_queue_slows_ordinary_reports_only(door: Door) -> None:
    for _ in range(10):
        door.gate.overloaded()
    assert door.gate.challenge(Lane.ORDINARY).wait == 60
    assert door.gate.challenge(Lane.URGENT).wait == 0


def test_only_receipts_that_nobody_has_are_counted(door: Door) -> None:
    for _ in range(1000):
        door.pause(0.01)
        assert door.gate.judge(Lane.RECEIPTS, "", "") == Pass()
    for _ in range(1000):
        door.pause(0.01)
        door.gate.failed_receipt()
    told = waits(door.gate.judge(Lane.RECEIPTS, "", ""))
    assert told.seconds <= 10
    door.pause(told.seconds)
    assert door.gate.judge(Lane.RECEIPTS, told.challenge.token, "") == Pass(flood=True)
    assert door.gate.judge(Lane.MESSAGES, "", "") == Pass()


# --- campaigns ------------------------------------------------------------------------------------


def test_a_campaign_of_honest_people_comes_in_slowed_and_counts_as_one(door: Door) -> None:
    passed, longest = [], 0.0
    for _ in range(500):
        door.pause(7)  # five hundred within the hour
        waited, verdict = door.patient(CAMPAIGN)
        longest = max(longest, waited)
        passed.append(verdict)
        assert waited <= 60
    assert len(passed) == 500
    assert [p.flood for p in passed] == [False] + [True] * 499
    assert longest > 10, "near-identical reports wait for each other"
    assert door.metrics.value("wasl_intake_near_duplicates_total") == 499
    assert door.patient(door.own(), fills_in=3) == (0, Pass(flood=False)), "and nobody else does"
    urgent = CAMPAIGN.model_copy(update={"danger_now": True})
    assert door.patient(urgent)[0] <= 5


def test_a_few_who_say_the_same_do_not_wait_and_later_ones_count(door: Door) -> None:
    verdicts = [door.patient(CAMPAIGN, fills_in=3) for _ in range(5)]
    assert [w for w, _ in verdicts] == [0] * 5
    door.pause(3600)
    assert door.patient(CAMPAIGN, fills_in=3) == (0, Pass(flood=False))


def test_people_who_say_it_in_their_own_words_all_count(door: Door) -> None:
    for _ in range(30):
        report = door.own(locations=("https://example.org/shop",))
        assert door.patient(report, fills_in=20) == (0, Pass(flood=False))


# --- the field nobody sees ------------------------------------------------------------------------


def test_a_filled_trap_costs_time_and_never_the_report(door: Door) -> None:
    given = door.gate.challenge(Lane.ORDINARY)
    door.pause(10)
    told = waits(door.send(given, door.own(), trap="me@example.org"))
    assert (told.seconds, told.challenge.difficulty) == (50, 20)
    assert door.metrics.value("wasl_intake_honeypot_total") == 1
    door.pause(50)
    assert isinstance(door.send(told.challenge, door.own(), trap="me@example.org"), Pass)
    urgent = waits(door.send(door.gate.challenge(Lane.URGENT), door.own(danger_now=True), trap="x"))
    assert urgent.seconds == 5


# --- memory ---------------------------------------------------------------------------------------


def reachable(thing: Any, seen: set[int] | None = None) -> Iterator[Any]:
    """Every value the gate holds on to."""
    seen = set() if seen is None else seen
    if id(thing) in seen or isinstance(thing, CountryPack | Metrics | FakeClock | type):
        return
    seen.add(id(thing))
    yield thing
    inner: list[Any] = []
    if isinstance(thing, dict):
        inner = [*thing.keys(), *thing.values()]
    elif isinstance(thing, list | tuple | set | frozenset):
        inner = list(thing)
    elif type(thing).__module__.startswith("wasl_") and not isinstance(thing, Lane):
        names = [*getattr(thing, "__dict__", ()), *getattr(type(thing), "__slots__", ())]
        inner = [getattr(thing, name) for name in names]
    for each in inner:
        yield from reachable(each, seen)


def test_no_text_is_kept_and_memory_does_not_grow(door: Door) -> None:
    canary = "canary-7f3a"
    for number in range(3000):
        door.pause(0.01)
        given = door.gate.challenge(Lane.ORDINARY)
        report = ReportRequest(
            locations=(f"https://example.org/{canary}/{number}",),
            narrative=f"{canary} {number} " * 5,
        )
        door.send(given, report, SOLVED, repeat_key=f"{canary}-{number}")
    held = list(reachable(door.gate))
    assert len(held) > 3000, "the walk saw the memory"
    texts = [t for t in held if isinstance(t, str | bytes)]
    assert not [t for t in texts if canary in str(t)]
    assert {t for t in texts if isinstance(t, str)} <= {*pack().categories, *Lane}
    assert len(door.gate._echoes) <= 2048
    assert len(door.gate._spent[Lane.ORDINARY]) == 3000
    door.pause(2 * 3600 + 20)
    given = door.gate.challenge(Lane.ORDINARY)
    door.send(given, door.own(), SOLVED)
    assert len(door.gate._spent[Lane.ORDINARY]) == 1


# --- the API --------------------------------------------------------------------------------------


class Caller:
    """A program without a key, over ASGI."""

    def __init__(self, client: httpx.AsyncClient, door: Door, hub: Any) -> None:
        self.http, self.door, self.hub = client, door, hub

    async def post(self, challenge: str = "", **body: Any) -> httpx.Response:
        headers = {"content-type": "application/json"}
        if challenge:
            headers["x-challenge"] = challenge
        return await self.http.post("/api/v1/reports", content=json.dumps(body), headers=headers)

    async def own(self, challenge: str = "", **body: Any) -> httpx.Response:
        return await self.post(challenge, narrative=self.door.own().narrative, **body)


@pytest.fixture
async def caller(hub: Any, door: Door) -> Any:
    door.metrics, door.clock = hub.metrics, hub.clock
    door.gate = Gate(pack(), hub.clock, hub.metrics, pepper=PEPPER)
    handlers = IntakeHandlers(hub, pack(), pepper=PEPPER)
    app = build_app(handlers, Words(pack()), hub.metrics, body_limit=65_536, gate=door.gate)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://hub.test"
    ) as client:
        yield Caller(client, door, hub)


async def test_the_api_asks_nothing_in_calm(caller: Caller) -> None:
    for _ in range(20):
        assert (await caller.own()).status_code == 202


async def test_the_api_asks_under_a_flood_and_takes_work_or_time(caller: Caller) -> None:
    statuses = [(await caller.own()).status_code for _ in range(60)]
    assert statuses[:30] == [202] * 30
    assert statuses[-1] == 429
    stored = caller.hub.counts()["reports"]
    told = await caller.own()
    assert told.headers["content-type"] == "application/problem+json"
    asked = told.json()["challenge"]
    assert 0 < asked["wait"] <= 60
    assert int(told.headers["retry-after"]) == asked["wait"]
    answer = solve(asked["token"], asked["difficulty"])
    assert (await caller.own(f"{asked['token']}:{answer}")).status_code == 202
    assert (await caller.own(f"{asked['token']}:{answer}")).status_code == 429
    other = (await caller.own()).json()["challenge"]
    caller.door.pause(other["wait"])
    assert (await caller.own(other["token"])).status_code == 202
    assert caller.hub.counts()["reports"] == stored + 2
    refused = caller.hub.metrics.value(
        "wasl_intake_reports_total", channel="none", category="none", result="invalid"
    )
    assert refused == 0


async def test_urgent_reports_always_pass_the_api(caller: Caller) -> None:
    caller.door.flood(1000, 3)
    assert (await caller.own()).status_code == 429
    for _ in range(200):
        assert (await caller.own(danger_now=True)).status_code == 202


async def test_the_api_counts_near_identical_reports_as_one(caller: Caller) -> None:
    for _ in range(8):
        assert (await caller.post(narrative=SAME)).status_code == 202
    assert (await caller.post(narrative=SAME)).status_code == 429
    assert (await caller.own()).status_code == 202
    marks = [e.data.flood for e in caller.hub.events(topics.REPORT_SUBMITTED_V1)]
    assert sorted(marks) == [False, False] + [True] * 7


async def test_guessing_receipts_becomes_work_and_the_holder_waits_little(caller: Caller) -> None:
    code = (await caller.own()).json()["receipt"]
    mine = {"authorization": f"Receipt {code}"}
    wrong = {"authorization": "Receipt 0000-0000-0000-0000-0000"}
    guesses = [await caller.http.get("/api/v1/reports", headers=wrong) for _ in range(60)]
    statuses = [guess.status_code for guess in guesses]
    assert statuses[0] == 404
    assert statuses[-1] == 429
    for method, path in (("GET", "/reports"), ("POST", "/reports/withdrawal")):
        told = await caller.http.request(method, f"/api/v1{path}", headers=mine)
        assert told.status_code == 429
    asked = told.json()["challenge"]
    assert asked["wait"] <= 10
    caller.door.pause(asked["wait"])
    answer = await caller.http.get(
        "/api/v1/reports", headers={**mine, "x-challenge": asked["token"]}
    )
    assert answer.status_code == 200


async def test_a_flood_of_messages_is_slowed_in_its_own_lane(caller: Caller) -> None:
    code = (await caller.own()).json()["receipt"]
    headers = {"authorization": f"Receipt {code}"}
    path = "/api/v1/reports/messages"
    for number in range(60):
        told = await caller.http.post(path, json={"body": f"more {number}"}, headers=headers)
    assert told.status_code == 429
    assert (await caller.http.get("/api/v1/reports", headers=headers)).status_code == 200
    assert (await caller.own()).status_code == 202


async def test_a_full_queue_is_noticed_at_the_api(caller: Caller) -> None:
    caller.hub.store.away = Overloaded("full")
    assert (await caller.own()).status_code == 503
    caller.hub.store.away = None
    assert (await caller.own()).status_code == 429
    assert (await caller.own(danger_now=True)).status_code == 202


# --- the browser's half ---------------------------------------------------------------------------


async def test_the_worker_solves_what_the_hub_accepts() -> None:
    gate = Door().gate
    script = WORKER.read_text(encoding="utf-8")
    policy = {"content-security-policy": "default-src 'none'; script-src 'self'"}

    async def serve(route: Route) -> None:
        if route.request.url.endswith("/work.js"):
            await route.fulfill(body=script, content_type="text/javascript", headers=policy)
        else:
            await route.fulfill(body="<p>A page</p>", content_type="text/html", headers=policy)

    ask = """asked => new Promise((done, failed) => {
        const worker = new Worker("/work.js");
        worker.onerror = event => failed(new Error(event.message));
        worker.onmessage = event => done(event.data);
        worker.postMessage(asked);
    })"""
    tokens = [gate.challenge(Lane.ORDINARY).token for _ in range(4)]
    odd = ["", "x", "y" * 63, "z" * 65, "a" * 100]
    async with async_playwright() as p:
        browser = await p.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox"]
        )
        page = await browser.new_page()
        await page.route("**/*", serve)
        await page.goto("http://hub.test/")
        for token in tokens + odd:
            for difficulty in (0, 1, 9, 14):
                asked = {"token": token, "difficulty": difficulty}
                told = await asyncio.wait_for(page.evaluate(ask, asked), 60)
                assert told["token"] == token
                assert told["answer"] == solve(token, difficulty)
        await browser.close()
