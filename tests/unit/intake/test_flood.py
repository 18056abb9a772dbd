# SPDX-License-Identifier: Apache-2.0
"""What slows a flood, by itself: strain, challenges, used challenges, near-identical reports."""

import hashlib
import itertools
import math
import random
from collections.abc import Iterator

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from wasl_intake.domain import flood
from wasl_intake.domain.flood import Demand, Echoes, Lane, Meter, Seal, Spent, Ticket

NOW = 1_767_603_600_000
KEY = hashlib.sha256(b"tests only").digest()
LANES = st.sampled_from(list(Lane))


def arrivals(rate: float, seconds: float, start: float = 0.0, seed: int = 1) -> Iterator[float]:
    """Times of chance arrivals, so many a second."""
    chance, at = random.Random(seed), start
    while (at := at + chance.expovariate(rate)) < start + seconds:
        yield at


def ticket(lane: Lane = Lane.ORDINARY, issued: int = NOW, nonce: int = 1) -> Ticket:
    return Ticket(lane, issued, Demand(14, 2), nonce.to_bytes(8))


def solve(token: str, difficulty: int) -> str:
    return next(a for a in map(str, itertools.count()) if flood.solves(token, a, difficulty))


# --- strain ---------------------------------------------------------------------------------------


def test_a_small_country_s_day_is_calm() -> None:
    meter = Meter(quiet=1)
    for at in arrivals(0.1, 24 * 3600):
        meter.arrive(at)
        assert meter.strain(at) == 0


def test_traffic_that_rises_over_hours_is_learned() -> None:
    meter, at = Meter(quiet=1), 0.0
    for hour in range(5):  # from 0.2 to 3.2 a second, far over the quiet rate
        for at in arrivals(0.2 * 2**hour, 3600, start=hour * 3600, seed=hour):
            meter.arrive(at)
            assert meter.strain(at) == 0
    assert at > 4 * 3600
    sudden = Meter(quiet=1)
    for at in arrivals(3.2, 600):
        sudden.arrive(at)
    assert sudden.strain(600) > 0


def test_a_flood_is_felt_within_seconds_in_full_and_forgotten_in_minutes() -> None:
    meter = Meter(quiet=1)
    for at in arrivals(1000, 3):
        meter.arrive(at)
    assert meter.strain(3) == 1
    for at in arrivals(1000, 60, start=3):
        meter.arrive(at)
    assert meter.strain(63 + 60) > 0.5
    assert meter.strain(63 + flood.RELAXES + 10 * flood.WINDOW) == 0


def test_patience_does_not_teach_that_a_flood_is_usual() -> None:
    meter, rate, start = Meter(quiet=1), 0.5, 0.0
    most = 2 * flood.FACTOR * flood.TEACHABLE
    while meter.strain(start) < 0.1:
        assert rate < most, "thirty times the quiet rate went unnoticed"
        for at in arrivals(rate, 600, start=start, seed=int(start)):
            meter.arrive(at)
        start, rate = start + 600, rate * 1.05


def test_a_rate_around_the_threshold_does_not_flap() -> None:
    meter, strained = Meter(quiet=1), []
    for minute in range(120):
        rate = 1.6 if minute % 2 else 0.8
        for at in arrivals(rate, 60, start=minute * 60, seed=minute):
            meter.arrive(at)
            strained.append(meter.strain(at) > 0)
    turns = sum(a != b for a, b in itertools.pairwise(strained))
    assert strained[-1]
    assert turns <= 3


def test_a_full_queue_is_strain_without_any_arrival() -> None:
    meter = Meter(quiet=1)
    for _ in range(30):
        meter.press(0)
    assert meter.strain(0) == 1
    assert 0 < meter.strain(200) < 0.5
    assert meter.strain(400) == 0


@given(st.lists(st.tuples(st.floats(0, 500), st.integers(0, 2)), max_size=200))
def test_strain_is_always_a_share_and_time_never_raises_it(steps: list[tuple[float, int]]) -> None:
    meter, at = Meter(quiet=0.5), 0.0
    for seconds, what in steps:
        at += seconds
        before = meter.strain(at)
        later = meter.strain(at + 1)
        assert 0 <= later <= before <= 1
        at += 1
        if what:
            (meter.arrive if what == 1 else meter.press)(at)
            assert later <= meter.strain(at) <= 1


@given(LANES, st.floats(0, 1), st.floats(0, 1))
def test_more_strain_asks_more_and_never_too_much(lane: Lane, one: float, other: float) -> None:
    rest, most = flood.REST[lane], flood.MOST[lane]
    low, high = sorted((one, other))
    less, more = flood.demand(rest, most, low), flood.demand(rest, most, high)
    assert less.difficulty <= more.difficulty <= most.difficulty
    assert less.wait <= more.wait <= most.wait
    assert flood.level(low) <= flood.level(high) <= 3
    assert (less == rest) >= (low == 0)
    assert high == 0 or (more.wait >= 1 and more.difficulty >= flood.LEAST_WORK)


def test_nobody_notices_the_calm_and_urgent_reports_wait_five_seconds_at_most() -> None:
    assert 2 ** flood.REST[Lane.ORDINARY].difficulty / 100_000 < 0.3
    assert flood.REST[Lane.ORDINARY].wait <= 3
    assert flood.REST[Lane.URGENT] == Demand(0, 0)
    assert flood.MOST[Lane.URGENT].wait == 5
    assert 2 ** flood.MOST[Lane.URGENT].difficulty / 100_000 < 1


# --- challenges -----------------------------------------------------------------------------------


@given(
    LANES,
    st.integers(0, 2**48 - 1),
    st.integers(0, 40),
    st.integers(0, 600),
    st.binary(min_size=8, max_size=8),
)
def test_a_token_says_what_was_sealed_and_fills_one_block(
    lane: Lane, issued: int, difficulty: int, wait: int, nonce: bytes
) -> None:
    told = Ticket(lane, issued, Demand(difficulty, wait), nonce)
    token = Seal(KEY).token(told)
    assert len(token) == 64
    assert Seal(KEY).open(token) == told
    assert Seal(hashlib.sha256(KEY).digest()).open(token) is None


@given(st.integers(0, 63), st.sampled_from("Aa0-_Zz9"))
def test_a_changed_token_is_nobody_s(place: int, letter: str) -> None:
    token = Seal(KEY).token(ticket())
    assume(token[place] != letter)
    assert Seal(KEY).open(token[:place] + letter + token[place + 1 :]) is None


@given(st.text(max_size=80))
def test_any_text_is_no_token_and_no_answer_of_one(text: str) -> None:
    assert Seal(KEY).open(text) is None
    digest = hashlib.sha256(f"t:{text}".encode("utf-8", "surrogatepass")).digest()
    fits = text.isascii() and text.isalnum() and len(text) <= 32 and digest[0] == 0
    assert flood.solves("t", text, 8) is fits


def test_the_key_of_a_token_is_that_of_its_day() -> None:
    seal = Seal(KEY)
    morning, evening, tomorrow = (seal._mac(b"x", NOW + h * 3_600_000) for h in (0, 12, 24))
    assert morning == evening != tomorrow
    for days in range(40):
        at = NOW + days * flood.DAY
        assert seal.open(seal.token(ticket(issued=at))) == ticket(issued=at)
    assert len(seal._days) <= 3


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10), st.integers(0, 1000))
def test_an_answer_is_one_when_the_hash_begins_with_zeros(bits: int, nonce: int) -> None:
    token = Seal(KEY).token(ticket(nonce=nonce))
    answer = solve(token, bits)
    digest = hashlib.sha256(f"{token}:{answer}".encode()).hexdigest()
    assert f"{int(digest, 16):0256b}"[:bits] == "0" * bits
    other = Seal(KEY).token(ticket(nonce=nonce + 1))
    assert bits < 8 or not flood.solves(other, answer, 40)


def test_a_challenge_is_spent_once_and_forgotten_after_its_time() -> None:
    spent, one = Spent(), ticket()
    assert spent.mark(one) is None
    spent.spend(one, 7, NOW)
    assert spent.mark(one) == 7
    assert spent.mark(ticket(nonce=2)) is None
    later = NOW + flood.LIFETIME + 20_000
    assert spent.outdated(one, later)
    spent.spend(ticket(issued=later, nonce=3), 0, later)
    assert len(spent) == 1


@settings(deadline=None)
@given(st.lists(st.integers(0, flood.LIFETIME), min_size=1, max_size=60), st.integers(1, 20))
def test_memory_of_used_challenges_is_bounded_and_none_is_good_twice(
    ages: list[int], limit: int
) -> None:
    spent, used = Spent(limit), []
    for number, age in enumerate(ages):
        one = ticket(issued=NOW - age, nonce=number)
        if spent.outdated(one, NOW):
            continue
        spent.spend(one, 0, NOW)
        used.append(one)
        assert len(spent) <= limit
    for one in used:
        assert spent.mark(one) is not None or spent.outdated(one, NOW)


# --- near-identical reports -----------------------------------------------------------------------

TEXT = (
    "This account sends messages to everybody in our class and asks for money, and it says that it"
    " will publish what it has about us unless we pay before the end of the week"
)
ARABIC = "هذا الحساب يرسل رسائل إلى كل تلاميذ القسم ويطلب المال ويهدد بنشر ما عنده عنا"


def echoes(limit: int = 2048) -> Echoes:
    return Echoes(random.Random(1).randbytes, limit)


def heard(held: Echoes, narrative: str, *locations: str, at: float = 0.0) -> float:
    return held.heard(held.sketch(flood.shingles(locations, narrative), at), at)


def count(held: Echoes, narrative: str, *locations: str, at: float = 0.0) -> None:
    held.count(held.sketch(flood.shingles(locations, narrative), at), at)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (TEXT, TEXT.upper()),
        (TEXT, TEXT.replace(",", " ;").replace(" ", "  ")),
        (TEXT, TEXT + " please hurry"),
        (TEXT, TEXT.replace("class", "school")),
        (TEXT, "\u200b".join(TEXT)),
        (ARABIC, ARABIC.replace("إ", "ا").replace("ى", "ي")),
        (ARABIC, ARABIC.replace("هذا", "هَـٰذَا")),
        ("numéro ١٢٣٤ appelle", "NUMERO 1234 appelle"),
    ],
)
def test_a_copy_with_small_changes_is_heard(one: str, other: str) -> None:
    held = echoes()
    count(held, one)
    assert heard(held, other) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((TEXT, "https://example.org/a"), ("I saw this too and it frightens me", "example.org/a")),
        (("", "https://example.org/a"), ("", "https://example.org/b")),
        (("help me",), ("help us now please",)),
        ((TEXT,), (ARABIC,)),
        ((TEXT,), (TEXT[: len(TEXT) // 2] + " but nobody has lost anything until now I believe",)),
    ],
)
def test_another_report_is_not(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    held = echoes()
    count(held, *one)
    assert heard(held, *other) == 0


def test_the_same_place_is_the_same_however_it_is_written() -> None:
    held = echoes()
    count(held, "", "https://example.org/a?id=7")
    assert heard(held, "", "hxxps://Example[.]org/a?id=7") == 1
    assert heard(held, "", "https://example.org/a?id=8") == 0


@settings(deadline=None)
@given(st.sets(st.integers(0, 400), max_size=120), st.sets(st.integers(0, 400), max_size=120))
def test_likeness_is_near_the_share_of_what_is_common(one: set[int], other: set[int]) -> None:
    held = echoes()
    sketches = [held.sketch({str(i) for i in group}, 0) for group in (one, other)]
    true = len(one & other) / len(one | other) if one | other else 0.0
    found = flood._alike(*sketches)
    assert found == flood._alike(*reversed(sketches))
    assert abs(found - true) <= (0.45 if len(one | other) > 32 else 1e-9)


def test_echoes_fade_and_strain_only_beyond_the_unhindered() -> None:
    held = echoes()
    for _ in range(8):
        count(held, TEXT)
    assert heard(held, TEXT) == 8
    assert heard(held, TEXT, at=flood.FADES) == pytest.approx(8 / math.e)
    assert flood.echo_strain(7.99, 8) == 0
    assert 0 < flood.echo_strain(8, 8) < flood.echo_strain(30, 8) < 1
    assert flood.echo_strain(1000, 8) == 1


def test_a_flood_of_noise_washes_no_campaign_out_and_fills_no_memory() -> None:
    held, chance = echoes(limit=50), random.Random(2)
    for _ in range(20):
        count(held, TEXT)
    for number in range(1000):
        count(held, " ".join(str(chance.random()) for _ in range(20)), at=number / 1000)
    assert len(held) == 50
    assert len(held._index) <= 50 * flood._KEYS
    assert heard(held, TEXT, at=1) > 19


def test_a_new_day_has_a_new_key_and_remembers_nothing() -> None:
    held = echoes()
    count(held, TEXT)
    before = held.sketch(flood.shingles((), TEXT), 0)
    later = flood.DAY / 1000 + 1
    assert set(before).isdisjoint(held.sketch(flood.shingles((), TEXT), later))
    assert heard(held, TEXT, at=later) == 0
    assert len(held) == 0


def test_what_is_kept_of_a_report_are_keyed_numbers() -> None:
    held = echoes()
    count(held, TEXT, "https://example.org/canary")
    kept = repr([vars(held), [c.sketch for c in held._clusters.values()]])
    assert "canary" not in kept
    assert "account" not in kept
    assert heard(Echoes(random.Random(9).randbytes), TEXT, "https://example.org/canary") == 0
    other = Echoes(random.Random(9).randbytes)
    found = flood.shingles(("https://example.org/canary",), TEXT)
    assert set(held.sketch(found, 0)).isdisjoint(other.sketch(found, 0))


@given(st.lists(st.text(max_size=40), max_size=5), st.text(max_size=200))
def test_any_text_can_be_listened_to(locations: list[str], narrative: str) -> None:
    held = echoes()
    count(held, narrative, *locations)
    words = flood.shingles(locations, narrative)
    assert heard(held, narrative, *locations) == (1 if words else 0)
