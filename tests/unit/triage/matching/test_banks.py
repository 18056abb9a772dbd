# SPDX-License-Identifier: Apache-2.0
"""Lists are read as they are meant, what is wrong is named, and a roll-out is the same everywhere."""

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wasl_triage.matching.banks import Bank, BankError, FileSource, Reading, load
from wasl_triage.matching.hashes import KINDS, WIDTH, HashError, parse, spelt

PDQ, MD5, SHA = "ab" * 32, "cd" * 16, "ef" * 32


def bank(**fields: object) -> Bank:
    plain = {"id": "a", "title": "A", "category": "ncii", "confidence": "high"}
    return Bank.model_validate({**plain, "source": {"type": "file", "path": "a.txt"}, **fields})


def read(path: Path, text: str, kinds: tuple[str, ...] = KINDS) -> tuple[list, dict[str, int]]:
    path.write_text(text, encoding="utf-8")
    reading = Reading(path, kinds)
    return [(spelt(k, v), t) for k, v, t in reading], reading.refused


@given(st.sampled_from(KINDS), st.binary(min_size=32, max_size=32))
def test_a_hash_is_read_as_it_is_spelt(kind: str, value: bytes) -> None:
    value = value[: WIDTH[kind]]
    assert parse(spelt(kind, value)) == (kind, value)
    assert parse(f"  {spelt(kind, value).upper()}\n") == (kind, value)
    assert parse(value.hex(), kind) == (kind, value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "expected one of pdq:, md5:, sha256:"),
        ("ab" * 32, "expected one of pdq:, md5:, sha256:"),
        ("sha1:" + "ab" * 20, "expected one of pdq:, md5:, sha256:"),
        ("pdq:" + "ab" * 31, "expected 64 hexadecimal digits for pdq"),
        ("md5:" + "zz" * 16, "expected 32 hexadecimal digits for md5"),
        ("md5:" + "a " * 16, "expected 32 hexadecimal digits for md5"),
        ("md5:" + "٣" * 32, "expected 32 hexadecimal digits for md5"),
    ],
)
def test_what_is_no_hash_is_refused_unquoted(text: str, says: str) -> None:
    with pytest.raises(HashError, match=says) as error:
        parse(text)
    assert "abab" not in str(error.value)
    assert "zz" not in str(error.value)


@given(st.text())
def test_any_text_is_a_hash_or_an_error(text: str) -> None:
    for kind in (None, *KINDS):
        try:
            found, value = parse(text, kind)
        except HashError:
            continue
        assert len(value) == WIDTH[found]


def test_lines_and_tables_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    plain = f"# of 2026\n\npdq:{PDQ}\nmd5:{MD5}\n"
    assert read(path, plain) == ([(f"pdq:{PDQ}", ()), (f"md5:{MD5}", ())], {})
    assert read(path, f"\ufeff{PDQ.upper()}\r\n", ("pdq",)) == ([(f"pdq:{PDQ}", ())], {})
    table = f'Hash, quality, tags\npdq:{PDQ},100,b;a;b\npdq:{PDQ},49,\nmd5:{MD5},,"x,y"\n'
    expected = [(f"pdq:{PDQ}", ("a", "b")), (f"md5:{MD5}", ("x,y",))]
    assert read(path, table) == (expected, {"low_quality": 1})
    assert read(path, plain, ("md5", "sha256"))[1] == {"other_kind": 1}


def test_quality_50_is_enough(tmp_path: Path) -> None:
    found, refused = read(tmp_path / "a", f"hash,quality\n{PDQ},50\n{PDQ},49\n", ("pdq",))
    assert len(found) == 1
    assert refused == {"low_quality": 1}


def test_wrong_lines_are_named_and_not_quoted(tmp_path: Path) -> None:
    lines = [f"pdq:{PDQ}", "pdq:secret", f"pdq:{PDQ}", "", f"md5:{SHA}"]
    with pytest.raises(BankError) as error:
        read(tmp_path / "a.txt", "\n".join(lines))
    told = str(error.value)
    assert f"{tmp_path}/a.txt:2: expected 64 hexadecimal digits for pdq" in told
    assert f"{tmp_path}/a.txt:5: expected 32 hexadecimal digits for md5" in told
    assert "correct or remove these lines" in told
    assert "secret" not in told


def test_of_many_wrong_lines_the_first_are_named(tmp_path: Path) -> None:
    with pytest.raises(BankError) as error:
        read(tmp_path / "a.txt", "x\n" * 25)
    assert len(str(error.value).splitlines()) == 22
    assert "and 5 more" in str(error.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f"hash,quality\n{PDQ},101\n", "a.txt:2: expected a quality from 0 to 100"),
        (f"hash,quality\n{PDQ},good\n", "a.txt:2: expected a quality from 0 to 100"),
        ("hash,colour\n", "a.txt:1: unknown columns colour"),
    ],
)
def test_wrong_tables_are_named(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(BankError, match=says):
        read(tmp_path / "a.txt", text, ("pdq",))


def test_a_file_that_is_away_or_no_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(BankError, match=r"b\.txt:0: cannot be read \(FileNotFoundError\)"):
        list(Reading(tmp_path / "b.txt", KINDS))
    (tmp_path / "c.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BankError, match=r"c\.txt:0: cannot be read \(UnicodeDecodeError\)"):
        list(Reading(tmp_path / "c.txt", KINDS))


def test_no_file_is_no_banks(tmp_path: Path) -> None:
    assert load(tmp_path) == ()


GOOD = '[[bank]]\nid="a"\ntitle="A"\ncategory="ncii"\nconfidence="low"\nsource={type="file",path="a"}\n'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[[bank]", "is no TOML"),
        (GOOD + GOOD, "two banks are called a"),
        (GOOD + "enabled_ratio=2\n", r"bank\.0\.enabled_ratio"),
        (GOOD.replace('"a"}', '"../a"}'), "below the directory"),
        (GOOD.replace('"a"}', '"/etc/a"}'), "below the directory"),
        (GOOD.replace("low", "sure"), r"bank\.0\.confidence"),
        (GOOD + "colour=1\n", r"bank\.0\.colour"),
    ],
)
def test_wrong_banks_are_named(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "banks.toml").write_text(text)
    with pytest.raises(BankError, match=says):
        load(tmp_path)


def test_banks_are_loaded(tmp_path: Path) -> None:
    (tmp_path / "banks.toml").write_text(GOOD)
    (loaded,) = load(tmp_path)
    assert loaded.source == FileSource(type="file", path="a")
    assert loaded.kinds == KINDS


def test_a_roll_out_takes_its_share_the_same_ever_again_and_only_grows() -> None:
    values = [random.Random(n).randbytes(32) for n in range(4000)]
    taken: list[set[bytes]] = []
    for ratio in (0.0, 0.1, 0.5, 1.0):
        now = bank(enabled_ratio=ratio)
        taken.append({v for v in values if now.takes(now.entry("pdq", v))})
        assert abs(len(taken[-1]) / len(values) - ratio) < 0.03
    assert taken[0] == set()
    assert taken[1] < taken[2] < taken[3] == set(values)


def test_an_entry_depends_on_bank_kind_and_hash_and_hides_it() -> None:
    one, other = bank(), bank(id="b")
    names = {b.entry(k, bytes([n] * 32)) for b in (one, other) for k in KINDS for n in (1, 2)}
    assert len(names) == 12
    assert all(len(name) == 32 and bytes([1] * 8).hex() not in name for name in names)
