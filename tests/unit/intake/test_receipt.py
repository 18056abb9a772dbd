# SPDX-License-Identifier: Apache-2.0
"""A receipt is strong, readable, forgiving, and nothing that is kept leads back to it."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st
from wasl_intake.domain import receipt

KEY = b"k" * 32
codes = st.binary(min_size=12, max_size=12).map(
    lambda raw: receipt._encode(int.from_bytes(raw) >> 1)
)


def test_strength_and_shape() -> None:
    fresh = [receipt.new() for _ in range(500)]
    assert len(set(fresh)) == 500
    assert receipt.BITS >= 80
    assert math.log2(len(receipt.ALPHABET)) * (receipt.LENGTH - 1) == receipt.BITS
    assert {c for code in fresh for c in code} == set(receipt.ALPHABET)
    assert not set("ILOU") & set(receipt.ALPHABET)
    assert all(len(code) == receipt.LENGTH and receipt.well_formed(code) for code in fresh)


@settings(deadline=None)
@given(codes)
def test_groups_read_back(code: str) -> None:
    assert receipt.normalise(receipt.grouped(code)) == code
    assert [len(g) for g in receipt.grouped(code).split("-")] == [5, 5, 5, 5]


@settings(deadline=None)
@given(codes, st.data())
def test_people_may_type_it_as_they_like(code: str, data: st.DataObject) -> None:
    typed = []
    for c in code:
        looks = {c, c.lower(), chr(ord(c) + 0xFEE0)}
        looks |= {"0": {"O", "o", "٠", "۰"}, "1": {"I", "l", "L", "i", "١"}}.get(c, set())
        if c.isdigit():
            looks |= {chr(0x0660 + int(c)), chr(0x06F0 + int(c))}
        typed.append(data.draw(st.sampled_from(sorted(looks))))
        typed.append(data.draw(st.sampled_from(["", "", "-", " ", "–", "\u200f", "\u2068", "\n"])))
    assert receipt.normalise("".join(typed)) == code


@settings(deadline=None)
@given(codes, st.integers(0, receipt.LENGTH - 1), st.sampled_from(receipt.ALPHABET))
def test_every_wrong_character_is_noticed(code: str, at: int, other: str) -> None:
    wrong = code[:at] + other + code[at + 1 :]
    assert receipt.well_formed(wrong) == (wrong == code)


@settings(deadline=None)
@given(codes, st.integers(0, receipt.LENGTH - 1), st.integers(0, receipt.LENGTH - 1))
def test_every_swap_is_noticed(code: str, a: int, b: int) -> None:
    letters = list(code)
    letters[a], letters[b] = letters[b], letters[a]
    wrong = "".join(letters)
    assert receipt.well_formed(wrong) == (wrong == code)


@settings(deadline=None)
@given(st.text(max_size=300))
def test_any_text_can_be_typed(text: str) -> None:
    code = receipt.normalise(text)
    assert set(code) <= set(receipt.ALPHABET) | {"?"}
    assert len(receipt.report_id(KEY, code)) == 32
    if receipt.well_formed(code):
        assert len(code) == receipt.LENGTH


def test_missing_and_additional_characters_are_noticed() -> None:
    code = receipt.new()
    assert not receipt.well_formed(code[:-1])
    assert not receipt.well_formed(code + "0")
    assert not receipt.well_formed("")


def test_the_kept_hash_needs_the_key() -> None:
    code = receipt.new()
    kept = receipt.report_id(KEY, code)
    assert kept == receipt.report_id(KEY, code)
    assert kept != receipt.report_id(b"x" * 32, code)
    assert code not in kept.upper()


def test_a_derived_receipt_is_stable_and_keyed() -> None:
    one = receipt.derived(KEY, "a-key-of-a-client")
    assert one == receipt.derived(KEY, "a-key-of-a-client")
    assert receipt.well_formed(one)
    assert (
        len(
            {
                one,
                receipt.derived(KEY, "another-key"),
                receipt.derived(b"y" * 32, "a-key-of-a-client"),
            }
        )
        == 3
    )


def test_a_fingerprint_needs_the_receipt() -> None:
    code, other = receipt.new(), receipt.new()
    assert receipt.fingerprint(code, b"body") == receipt.fingerprint(code, b"body")
    assert receipt.fingerprint(code, b"body") != receipt.fingerprint(code, b"bodies")
    assert receipt.fingerprint(code, b"body") != receipt.fingerprint(other, b"body")
