# SPDX-License-Identifier: Apache-2.0
"""Passwords, codes, waits: the rules, without anybody's account."""

from datetime import UTC, datetime, timedelta

import pytest
from argon2 import PasswordHasher, Type, extract_parameters
from hypothesis import given
from hypothesis import strategies as st
from wasl_chassis.testing import FakeClock
from wasl_triage.access import totp
from wasl_triage.access.limits import FREE, LONGEST, MOST, Rate, wait_after
from wasl_triage.access.passwords import SHORTEST, Passwords, Weakness, weakness

# RFC 6238, appendix B: SHA-1, cut to six digits.
SECRET = b"12345678901234567890"
VECTORS = {
    59: "287082",
    1111111109: "081804",
    1111111111: "050471",
    1234567890: "005924",
    2000000000: "279037",
    20000000000: "353130",
}
TIMES = st.integers(1_577_836_800, 3_786_912_000).map(lambda s: datetime.fromtimestamp(s, UTC))


@pytest.mark.parametrize("second", VECTORS)
def test_codes_are_those_of_the_standard(second: int) -> None:
    now = datetime.fromtimestamp(second, UTC)
    step = totp.step_at(now)
    assert totp.code_at(SECRET, step) == VECTORS[second]
    assert totp.matching_step(SECRET, VECTORS[second], now, 0) == step


@given(now=TIMES, off=st.integers(-4, 4))
def test_a_code_holds_one_step_either_way(now: datetime, off: int) -> None:
    step = totp.step_at(now) + off
    found = totp.matching_step(SECRET, totp.code_at(SECRET, step), now, 0)
    near = {
        s
        for s in range(totp.step_at(now) - 1, totp.step_at(now) + 2)
        if totp.code_at(SECRET, s) == totp.code_at(SECRET, step)
    }
    assert (found is not None) == bool(near)
    if abs(off) <= 1:
        assert found in near


@given(now=TIMES, used=st.integers(-1, 1), off=st.integers(-1, 1))
def test_a_used_step_and_those_before_it_are_used_up(now: datetime, used: int, off: int) -> None:
    here = totp.step_at(now)
    found = totp.matching_step(SECRET, totp.code_at(SECRET, here + off), now, here + used)
    assert found is None or found > here + used
    if off > used:
        assert found is not None


@pytest.mark.parametrize("typed", ["287 082", "٢٨٧٠٨٢", " 287082\n", "۲۸۷۰۸۲", "287-082"])
def test_a_code_is_read_as_people_type_it(typed: str) -> None:
    assert totp.matching_step(SECRET, typed, datetime.fromtimestamp(59, UTC), 0) == 1


@pytest.mark.parametrize("typed", ["", "28708", "2870820", "abcdef", "\ud800", "2870\u0000 82"])
def test_what_is_no_code_is_none(typed: str) -> None:
    assert totp.matching_step(SECRET, typed, datetime.fromtimestamp(59, UTC), 0) is None


def test_recovery_codes_are_ten_and_read_with_the_mistakes_people_make() -> None:
    codes = totp.new_recovery_codes()
    assert len(set(codes)) == 10
    assert {len(c) for c in codes} == {19}
    one = "ABCD-0123-1111-ZZZZ"
    for typed in ("abcd 0123 1111 zzzz", "ABCDO123LIL1ZZZZ", "abcd-o123-1ill-zzzz"):
        assert totp.recovery_hash(typed) == totp.recovery_hash(one)
    assert totp.recovery_hash("ABCD-0123-1111-ZZZY") != totp.recovery_hash(one)


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("x" * (SHORTEST - 1), Weakness.SHORT),
        ("k9!" * 100, Weakness.LONG),
        ("password1234", Weakness.COMMON),
        ("P@ssw0rd!2026", Weakness.COMMON),
        ("MarrakechSummer2025", Weakness.COMMON),
        ("azertyuiop12", Weakness.COMMON),
        ("987654321098", Weakness.COMMON),
        ("abababababab", Weakness.COMMON),
        ("amal.idrissi.2026", Weakness.NAME),
        ("IDRISSI-idrissi", Weakness.NAME),
        ("كلمة السر 123456", Weakness.COMMON),
        ("tournesol vif, canard lent", None),
        ("زيتون أخضر فوق السطح", None),
        ("wjx8 0vkq 1nz4", None),
        # No rules of composition: neither capitals nor digits nor signs are asked for.
        ("vingtseptoiesgrises", None),
    ],
)
def test_only_what_is_guessed_first_is_refused(password: str, why: Weakness | None) -> None:
    assert weakness(password, "amal.idrissi") is why


async def test_passwords_are_argon2id_with_the_parameters_asked_for() -> None:
    passwords = Passwords(memory_kib=128, passes=2)
    stored = await passwords.hash("é" * 12)
    found = extract_parameters(stored)
    assert (found.type, found.memory_cost, found.time_cost) == (Type.ID, 128, 2)
    assert PasswordHasher().verify(stored, "é" * 12)
    assert await passwords.matches(stored, "e\u0301" * 12)  # another keyboard's é
    assert not await passwords.matches(stored, "é" * 13)
    assert not await passwords.matches(None, "")
    assert not await passwords.matches("no hash", "x")
    assert not passwords.outdated(stored)
    assert Passwords(memory_kib=256, passes=2).outdated(stored)


def test_a_few_mistakes_cost_nothing_then_the_wait_doubles_to_its_most() -> None:
    waits = [wait_after(n) for n in range(MOST)]
    assert waits[: FREE + 1] == [timedelta(0)] * (FREE + 1)
    minutes = [w.total_seconds() / 60 for w in waits[FREE + 1 : FREE + 7] if w is not None]
    assert minutes == [1, 2, 4, 8, 15, 15]
    assert waits[-1] == LONGEST
    assert wait_after(MOST) is None
    assert wait_after(10**6) is None


@given(
    per_second=st.floats(0.1, 100),
    burst=st.integers(1, 50),
    pauses=st.lists(st.floats(0, 5), min_size=1, max_size=100),
)
def test_the_rate_never_lets_more_through_than_it_says(
    per_second: float, burst: int, pauses: list[float]
) -> None:
    clock = FakeClock()
    rate, taken = Rate(clock, per_second, burst), 0
    for pause in pauses:
        clock.advance(timedelta(seconds=pause))
        taken += rate.take()
        assert taken <= burst + clock.monotonic() * per_second + 1e-6
    assert taken >= min(len(pauses), burst)
