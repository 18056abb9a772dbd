# SPDX-License-Identifier: Apache-2.0
"""The index finds what comparing every hash finds, and refuses what is no index."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wasl_triage.matching import index as subject
from wasl_triage.matching import kernels
from wasl_triage.matching.hashes import KINDS, WIDTH
from wasl_triage.matching.index import Index, IndexFileError, Records, write


def flipped(value: np.ndarray, bits: int, random: np.random.Generator) -> np.ndarray:
    out = value.copy()
    for bit in random.permutation(256)[:bits]:
        out[bit // 8] ^= 1 << (bit % 8)
    return out


def made(path: Path, hashes: np.ndarray) -> Index:
    records = Records()
    bank = records.bank("a")
    for value in hashes:
        records.add("pdq", value.tobytes(), bank)
    write(path, records.rows(), records.tags)
    return Index.open(path)


def distances(stored: np.ndarray, query: np.ndarray) -> np.ndarray:
    return np.bitwise_count(stored ^ query).sum(1)


def expected(index: Index, queries: np.ndarray, limit: int) -> set[tuple[int, int, int]]:
    stored = index.tables["pdq"].hashes
    return {
        (number, int(row), int(distance[row]))
        for number, query in enumerate(queries)
        for distance in [distances(stored, query)]
        for row in np.flatnonzero(distance <= limit)
    }


def found(
    index: Index, queries: np.ndarray, limit: int, threads: int
) -> list[tuple[int, int, int]]:
    return [tuple(hit) for hit in index.near(queries, limit, threads=threads).tolist()]


@st.composite
def sets(draw):
    """Stored hashes and queries: far apart, crowded around few centres, twice the same, blank."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    count = draw(st.sampled_from([0, 1, 2, 15, 16, 17, 300]))
    stored = random.integers(0, 256, (count, 32), dtype=np.uint8)
    for _ in range(draw(st.integers(0, 2))):
        centre = random.integers(0, 256, 32, dtype=np.uint8) * np.uint8(draw(st.booleans()))
        spread = draw(st.integers(0, 40))
        crowd = [flipped(centre, int(random.integers(0, spread + 1)), random) for _ in range(200)]
        stored = np.concatenate([stored, crowd, crowd[:20]])
    queries = [random.integers(0, 256, 32, dtype=np.uint8), np.zeros(32, np.uint8)]
    if len(stored):
        queries += [
            flipped(stored[random.integers(len(stored))], distance, random)
            for distance in (0, 1, 15, 16, 30, 31, 32, 33, *random.integers(0, 41, 12))
        ]
    return stored, np.array(queries, np.uint8)


@pytest.mark.parametrize("flat", [0, subject.FLAT])
def test_near_finds_what_comparing_everything_finds(
    flat: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "FLAT", flat)

    @given(sets(), st.integers(0, 31), st.sampled_from([1, 2]))
    @settings(max_examples=40, deadline=None)
    def holds(case: tuple[np.ndarray, np.ndarray], limit: int, threads: int) -> None:
        stored, queries = case
        with tempfile.TemporaryDirectory() as folder:
            index = made(Path(folder) / "x.hashes", stored)
            for within in (31, limit):
                got = found(index, queries, within, threads)
                assert len(got) == len(set(got)), "a hash is told once"
                assert set(got) == expected(index, queries, within)

    holds()


def test_every_bit_of_a_hash_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """31 differing bits in the worst places: one in fifteen chunks, sixteen in the last; and 2 each."""
    monkeypatch.setattr(subject, "FLAT", 0)
    blank = np.zeros((1, 32), np.uint8)
    index = made(tmp_path / "x.hashes", blank)
    for whole in range(16):
        query = np.zeros(256, np.uint8)
        query[whole * 16 : whole * 16 + 16] = 1
        for chunk in range(16):
            if chunk != whole:
                query[chunk * 16 + chunk] = 1
        packed = np.packbits(query, bitorder="little")
        assert found(index, packed[None], 31, 1) == [(0, 0, 31)]
    two_each = np.packbits(np.tile([1, 1] + [0] * 14, 16).astype(np.uint8), bitorder="little")
    assert found(index, two_each[None], 31, 1) == []
    one_less = two_each.copy()
    one_less[0] = 1
    assert found(index, one_less[None], 31, 1) == [(0, 0, 31)]


@given(st.integers(0, 2**32), st.integers(1, 16))
@settings(max_examples=60, deadline=None)
def test_a_plan_misses_nothing_and_spares_crowded_buckets(seed: int, crowded: int) -> None:
    random = np.random.default_rng(seed)
    count = 10_000_000
    offsets = np.zeros((16, 65537), np.uint32)
    chunk = random.integers(0, 65536, 16)
    for k in range(16):
        sizes = np.full(65536, count // 65536 // 2)
        if k < crowded:
            sizes[chunk[k] ^ int(random.integers(0, 2))] += count // 4
        offsets[k, 1:] = np.cumsum(sizes)
    radius = np.zeros(16, np.int64)
    kernels._plan(chunk, offsets, count, 31, radius)
    # Whatever is missed differs in more than its radius in each chunk.
    assert radius[0] == 16 or (radius + 1).sum() >= 32
    runs = np.zeros((16 * 137, 4), np.int64)
    read = runs[: kernels._runs(chunk, offsets, radius, count, runs)]
    assert (read[:, 2] - read[:, 1]).sum() <= count
    if crowded == 1:
        assert (read[:, 2] - read[:, 1]).max() < count // 4, "the others make up for the crowd"


@given(st.lists(st.integers(-1, 2), min_size=16, max_size=16), st.integers(0, 65535))
@settings(max_examples=30, deadline=None)
def test_runs_are_the_buckets_within_the_radius(radius: list[int], value: int) -> None:
    offsets = np.tile(np.arange(65537, dtype=np.uint32), (16, 1))  # one hash in each bucket
    runs = np.zeros((16 * 137, 4), np.int64)
    chunk = np.full(16, value)
    count = kernels._runs(chunk, offsets, np.array(radius), 65536, runs)
    told = [(k, first, off) for k, first, _, off in runs[:count].tolist()]
    assert sorted(told) == [
        (k, bucket, (bucket ^ value).bit_count())
        for k, reach in enumerate(radius)
        for bucket in range(65536)
        if (bucket ^ value).bit_count() <= reach
    ]


def test_near_is_exact_in_crowds_of_every_density(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So many alike that plans of all sorts are made, down to reading the whole table."""
    monkeypatch.setattr(subject, "FLAT", 0)
    random = np.random.default_rng(7)
    parts, queries = [random.integers(0, 256, (100_000, 32), dtype=np.uint8)], []
    for size, spread in ((6000, 8), (4000, 20), (3000, 30), (30_000, 3), (1500, 60)):
        centre = random.integers(0, 256, 32, dtype=np.uint8)
        order = np.argsort(random.random((size, 256)), axis=1)
        parts.append(
            centre ^ np.packbits(order < random.integers(0, spread + 1, (size, 1)), axis=1)
        )
        queries += [flipped(centre, int(bits), random) for bits in range(0, 44, 4)]
    index = made(tmp_path / "x.hashes", np.concatenate(parts))
    asked = np.array(queries)
    got = found(index, asked, 31, 1)
    assert len(got) == len(set(got))
    assert set(got) == expected(index, asked, 31)
    radii = set()
    for query in asked:
        radius = np.zeros(16, np.int64)
        chunk = query.view(np.uint16).astype(np.int64)
        kernels._plan(chunk, index._sections["pdq.offsets"], len(index.tables["pdq"]), 31, radius)
        radii |= set(radius.tolist())
    assert radii == {-1, 0, 1, 2, 16}, "otherwise this proves less than it says"


def test_a_hash_is_looked_up_exactly(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    records = Records()
    bank = records.bank("a")
    values = {kind: [random.bytes(WIDTH[kind]) for _ in range(50)] for kind in KINDS}
    for kind in KINDS:
        for number, value in enumerate(values[kind]):
            records.add(kind, value, bank, (f"tag {number}",))
    write(tmp_path / "x.hashes", records.rows(), records.tags)
    index = Index.open(tmp_path / "x.hashes")
    for kind in KINDS:
        table = index.tables[kind]
        for number, value in enumerate(values[kind]):
            row = table.exact(value)
            (entry,) = table.entries(row)
            assert index.tags[table.tags[entry]] == (f"tag {number}",)
        assert table.exact(bytes(WIDTH[kind])) is None
        assert table.exact(b"\xff" * WIDTH[kind]) is None


def test_rows_come_back_as_they_were_written(tmp_path: Path) -> None:
    records = Records()
    one, other = records.bank("a"), records.bank("b")
    records.add("md5", bytes(16), other, ("x", "y"))
    records.add("md5", bytes(16), one)
    records.add("md5", bytes(16), one)
    rows = records.rows()
    write(tmp_path / "x.hashes", rows, records.tags)
    table = Index.open(tmp_path / "x.hashes").tables["md5"]
    assert len(table) == 1
    assert len(table.entries(0)) == 2, "the same hash of the same bank is one entry"
    assert (table.rows() == rows["md5"]).all()


@given(st.lists(st.binary(min_size=9, max_size=9), max_size=60), st.integers(0, 8))
@settings(deadline=None)
def test_canonical_sorts_and_drops_what_is_twice(rows: list[bytes], same: int) -> None:
    rows = [bytes(same) + row[same:] for row in rows]
    table = np.frombuffer(b"".join(rows), np.uint8).reshape(-1, 9)
    assert [row.tobytes() for row in subject._canonical(table)] == sorted(set(rows))


@given(
    st.sets(st.binary(min_size=22, max_size=22), max_size=30),
    st.sets(st.binary(min_size=22, max_size=22), max_size=30),
)
@settings(deadline=None, max_examples=30)
def test_difference_is_that_of_sets(before: set[bytes], after: set[bytes]) -> None:
    after |= set(sorted(before)[::2])
    a, b = (np.frombuffer(b"".join(sorted(s)), np.uint8).reshape(-1, 22) for s in (before, after))
    went, came = np.zeros(len(a), np.bool_), np.zeros(len(b), np.bool_)
    kernels.difference(a, b, went, came)
    assert {row.tobytes() for row in a[went]} == before - after
    assert {row.tobytes() for row in b[came]} == after - before


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(subject, "FLAT", 0)
    path = tmp_path / "x.hashes"
    made(path, np.random.default_rng(1).integers(0, 256, (20, 32), dtype=np.uint8))
    return path


def damage(path: Path, at: int, bytes_: bytes) -> None:
    data = bytearray(path.read_bytes())
    data[at : at + len(bytes_)] = bytes_
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("at", "bytes_", "says"),
    [
        (0, b"\0" * 8, "never finished"),
        (8, b"\2\0\0\0", "has format 2, and this release reads 1"),
        (40, b"~", "damaged header"),
        (16384, b"~", "damaged section tags"),
    ],
)
def test_what_is_no_index_is_refused_by_name_with_the_fix(
    file: Path, at: int, bytes_: bytes, says: str
) -> None:
    damage(file, at, bytes_)
    with pytest.raises(IndexFileError, match=says) as error:
        Index.open(file)
    assert str(file) in str(error.value)
    assert "build --full" in str(error.value)


@pytest.mark.parametrize("size", [0, 100, 20_000])
def test_a_file_that_is_cut_off_is_refused(file: Path, size: int) -> None:
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(IndexFileError, match=r"cut off|bytes instead of"):
        Index.open(file)


def test_verify_sees_one_changed_byte_of_any_section(file: Path) -> None:
    index = Index.open(file)
    index.verify()
    name, section = "pdq.sketch", index._sections["pdq.sketch"]
    at = file.read_bytes().index(section.tobytes()[:64])
    damage(file, at, bytes([section.tobytes()[0] ^ 1]))
    with pytest.raises(IndexFileError, match=f"damaged section {name}"):
        Index.open(file).verify()


def test_damaged_rows_lead_nowhere(file: Path) -> None:
    """Sections that are not summed at each start cannot make a look-up read outside the table."""
    index = Index.open(file)
    ids = index._sections["pdq.ids"].tobytes()
    query = index.tables["pdq"].hashes[:1].copy()
    assert len(index.near(query)) == 1
    damage(file, file.read_bytes().index(ids), b"\xff" * len(ids))
    assert len(Index.open(file).near(query)) == 0


def test_a_distance_beyond_the_guarantee_is_refused(file: Path) -> None:
    with pytest.raises(ValueError, match="exact up to 31 bits"):
        Index.open(file).near([bytes(32)], 32)


def test_without_a_place_to_keep_compiled_code_it_is_compiled_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    njit = kernels.njit

    def nowhere(**options: bool):
        def refuse(_: object) -> None:
            raise RuntimeError("cannot cache function: no locator available")

        return refuse if options.get("cache") else njit(**options)

    monkeypatch.setattr(kernels, "njit", nowhere)
    assert kernels.compiled(lambda number: number + 1)(1) == 2
