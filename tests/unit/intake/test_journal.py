# SPDX-License-Identifier: Apache-2.0
"""The journal on a disk that tears, flips bits, fails and loses power."""

import errno
import hashlib
import os
import random
import stat
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from power import PowerCut, SimDisk
from wasl_chassis.settings import SettingsError
from wasl_intake.journal import Disk, Found, Full, Journal, Place, WrongKey

KEY = hashlib.sha256(b"spool").digest()
LIMIT = 1_000_000
HEADER = 72


def journal(disk: SimDisk | Disk, *, key: bytes = KEY, limit: int = LIMIT, segment: int = 400):
    return Journal(disk, key, limit, segment)  # type: ignore[arg-type]


def load(disk: SimDisk | Disk, **options) -> tuple[Journal, dict[Place, bytes], Found]:
    held: dict[Place, bytes] = {}
    it = journal(disk, **options)
    return it, held, it.load(held.__setitem__)


def payloads(count: int, start: int = 0) -> list[bytes]:
    return [b"record %d " % i + b"x" * (i % 60) for i in range(start, start + count)]


def written(disk: SimDisk | Disk, count: int, **options) -> tuple[Journal, list[Place]]:
    it, _, _ = load(disk, **options)
    return it, [it.append([p])[0] for p in payloads(count)]


def test_what_was_appended_is_there_after_a_restart_in_order_over_many_segments() -> None:
    disk = SimDisk()
    it, places = written(disk, 30)
    assert len(disk.files) > 3
    assert [it.read(p) for p in places] == payloads(30)
    again, held, found = load(disk)
    assert list(held.values()) == payloads(30)
    assert found == Found()
    assert [again.read(p) for p in held] == payloads(30)
    assert again.size == sum(map(len, disk.files.values()))


def test_a_group_is_one_write() -> None:
    disk = SimDisk()
    it, _, _ = load(disk)
    it.append(payloads(1))
    before = disk.writes
    places = it.append(payloads(50))
    assert disk.writes == before + 1
    assert [it.read(p) for p in places] == payloads(50)


@given(cut=st.integers(0, 2_000))
@settings(max_examples=60, deadline=None)
def test_a_torn_end_loses_no_whole_record_before_it(cut: int) -> None:
    disk = SimDisk()
    _, places = written(disk, 8, segment=100_000)
    name, data = disk.files.popitem()
    cut = min(cut, len(data))
    disk.files[name] = data[:cut]
    keep = sum(p.offset + p.size <= cut for p in places)
    _, held, found = load(disk)
    assert list(held.values()) == payloads(8)[:keep]
    assert found.damaged == 0
    ends = {HEADER, *(p.offset + p.size for p in places)}
    assert found.torn == (cut > HEADER and cut not in ends)
    if keep == 0:
        assert disk.files == {}


@given(bit=st.integers(0, 100_000))
@settings(max_examples=150, deadline=None)
def test_a_flipped_bit_costs_one_record_and_is_noticed(bit: int) -> None:
    disk = SimDisk()
    _, places = written(disk, 8, segment=100_000)
    name, data = disk.files.popitem()
    changed = bytearray(data)
    at = bit % (len(data) * 8)
    changed[at // 8] ^= 1 << at % 8
    disk.files[name] = bytes(changed)
    again, held, found = load(disk)
    hit = [i for i, p in enumerate(places) if p.offset <= at // 8 < p.offset + p.size]
    expected = [p for i, p in enumerate(payloads(8)) if i not in hit] if hit else []
    assert list(held.values()) == expected
    assert found.damaged == 1
    again.forget(list(held))
    assert list(disk.files) == ["00000001.damaged"]
    assert disk.files["00000001.damaged"] == bytes(changed)


def test_frames_do_not_open_at_another_place() -> None:
    disk = SimDisk()
    _, places = written(disk, 4, segment=100_000)
    name, data = disk.files.popitem()
    frames = [data[p.offset : p.offset + p.size] for p in places]
    disk.files[name] = data[:HEADER] + frames[0] + frames[2] + frames[1] + frames[3] + frames[3]
    _, held, found = load(disk)
    assert list(held.values()) == [payloads(4)[i] for i in (0, 2, 3)]
    assert found.damaged == 2


def test_a_frame_does_not_open_under_another_number() -> None:
    disk = SimDisk()
    _, places = written(disk, 3, segment=100_000)
    name, data = disk.files.popitem()
    at = places[1].offset
    head = struct.pack(">4sQI", data[at : at + 4], 9, *struct.unpack_from(">I", data, at + 12))
    forged = head + struct.pack(">I", zlib.crc32(head))
    disk.files[name] = data[:at] + forged + data[at + len(forged) :]
    _, held, found = load(disk)
    assert list(held.values()) == [payloads(3)[0], payloads(3)[2]]
    assert found.damaged == 1


def test_zeros_at_the_end_are_what_was_not_written_in_time() -> None:
    disk = SimDisk()
    _, places = written(disk, 3, segment=100_000)
    name, data = disk.files.popitem()
    half = places[2].offset + places[2].size // 2
    disk.files[name] = data[:half] + bytes(len(data) - half)
    _, held, found = load(disk)
    assert (list(held.values()), found) == (payloads(2), Found(torn=1))


def test_a_restart_begins_another_file() -> None:
    disk = SimDisk()
    written(disk, 2, segment=100_000)
    before = dict(disk.files)
    again, _, _ = load(disk)
    again.append([b"later"])
    assert {name: disk.files[name] for name in before} == before
    _, held, _ = load(disk)
    assert list(held.values()) == [*payloads(2), b"later"]


def test_another_master_key_stops_the_start_and_changes_nothing() -> None:
    disk = SimDisk()
    written(disk, 5)
    before = dict(disk.files)
    with pytest.raises(WrongKey, match=r"00000001\.spool"):
        load(disk, key=hashlib.sha256(b"another").digest())
    assert disk.files == before


def test_nothing_is_readable_on_the_disk() -> None:
    disk = SimDisk()
    it, _, _ = load(disk)
    it.append([b"a canary" * 5])
    it.set_aside(b"a canary" * 5)
    assert len(disk.files) == 2
    assert not any(b"canary" in data for data in disk.files.values())


def test_full_keeps_none_of_a_group_and_room_comes_back() -> None:
    disk = SimDisk()
    it, _, _ = load(disk, limit=2_000)
    places = []
    with pytest.raises(Full):
        while True:
            places += it.append([b"x" * 200])
    before = dict(disk.files)
    with pytest.raises(Full):
        it.append([b"", b"x" * 200])
    assert disk.files == before
    assert it.size <= 2_000
    it.forget(places)
    assert (it.size, disk.files) == (0, {})
    assert len(it.append([b"x" * 200])) == 1


def test_a_segment_is_erased_only_when_nobody_needs_it() -> None:
    disk = SimDisk()
    it, places = written(disk, 30)
    first = [p for p in places if p.segment == 1]
    it.forget(first[:-1])
    assert "00000001.spool" in disk.files
    it.forget(first[-1:])
    assert "00000001.spool" not in disk.files
    it.forget([p for p in places if p.segment != 1])
    assert (disk.files, it.size) == ({}, 0)


def test_the_key_is_overwritten_before_the_file_goes() -> None:
    disk = SimDisk()
    it, places = written(disk, 3, segment=100_000)
    data = disk.files["00000001.spool"]
    disk.power_on(cut_after=1)  # the first write of erasing stays, the second does not come
    disk.dice = random.Random(4)
    with pytest.raises(PowerCut):
        it.forget(places)
    left = disk.files.get("00000001.spool", bytes(HEADER))
    assert left[:HEADER][8:] == bytes(HEADER - 8) != data[:HEADER][8:]
    disk.power_on()
    _, held, found = load(disk)
    assert (held, found, disk.files) == ({}, Found(), {})


def test_a_failed_write_keeps_nothing_and_its_file_is_not_written_again() -> None:
    disk = SimDisk()
    it, places = written(disk, 2, segment=100_000)
    disk.fails = OSError(errno.EIO, "Input/output error")
    with pytest.raises(OSError, match="Input/output"):
        it.append([b"lost"])
    later = it.append([b"kept"])
    assert later[0].segment != places[0].segment
    _, held, found = load(disk)
    assert list(held.values()) == [*payloads(2), b"kept"]
    assert found == Found()


def test_a_disk_that_fails_while_erasing_is_asked_again() -> None:
    disk = SimDisk()
    it, places = written(disk, 2, segment=100_000)
    disk.fails = OSError(errno.EIO, "Input/output error")
    with pytest.raises(OSError, match="Input/output"):
        it.forget(places)
    assert disk.files
    it.forget(it.append([b"more"]))
    assert disk.files == {}


def test_a_record_changed_after_the_start_is_not_given_out_and_its_file_stays() -> None:
    disk = SimDisk()
    it, places = written(disk, 3, segment=100_000)
    changed = bytearray(disk.files["00000001.spool"])
    changed[places[1].offset + 40] ^= 1
    disk.files["00000001.spool"] = bytes(changed)
    with pytest.raises(ValueError, match=r"00000001\.spool"):
        it.read(places[1])
    assert it.read(places[2]) == payloads(3)[2]
    it.forget(places)
    assert list(disk.files) == ["00000001.damaged"]


def test_what_is_set_aside_stays_and_can_be_put_back_by_its_name() -> None:
    disk = SimDisk()
    it, places = written(disk, 1, segment=100_000, limit=300)
    it.set_aside(b"for a person" * 20)
    it.forget(places)
    assert list(disk.files) == ["00000002.aside"]
    _, held, _ = load(disk)
    assert held == {}
    disk.files["00000002.spool"] = disk.files.pop("00000002.aside")
    _, held, _ = load(disk)
    assert list(held.values()) == [b"for a person" * 20]


def restarted(disk: SimDisk) -> tuple[Journal, dict[Place, bytes]]:
    """After a power cut; the power may go again at once."""
    while True:
        disk.power_on(cut_after=disk.dice.choice([0, 1, 3, None]))
        try:
            it, held, _ = load(disk)
        except PowerCut:
            continue
        return it, held


@given(seed=st.integers(0, 2**32), steps=st.lists(st.sampled_from("aaagfsx"), max_size=25))
@settings(max_examples=200, deadline=None)
def test_power_cuts_anywhere_lose_nothing_acknowledged(seed: int, steps: list[str]) -> None:
    """a: append, g: a group, f: forget the oldest, s: set aside, x: cut in one of the next writes."""
    dice = random.Random(seed)
    disk = SimDisk(dice)
    it, held, _ = load(disk)
    kept: dict[bytes, Place] = {}
    unsure: set[bytes] = set()
    number = 0
    for step in [*steps, "x", "g", "f", "g", "f"]:
        fresh = payloads(1 if step == "a" else dice.randint(2, 6), number)
        victims = list(kept)[: dice.randint(1, 4)]
        try:
            if step == "x":
                disk.power_on(cut_after=dice.randint(0, 4))
            elif step in "ag":
                number += len(fresh)
                kept.update(zip(fresh, it.append(fresh), strict=True))
            elif step == "s":
                it.set_aside(b"aside")
            else:
                places = [kept.pop(v) for v in victims]
                unsure.update(victims)
                it.forget(places)
        except PowerCut:
            unsure.update(fresh if step in "ag" else ())
            it, held = restarted(disk)
            now = {payload: place for place, payload in held.items()}
            assert len(now) == len(held), "a record twice"
            assert set(kept) <= set(now), "an acknowledged record is lost"
            assert set(now) <= set(kept) | unsure, "a record nobody wrote"
            assert list(now) == sorted(now, key=lambda p: int(p.split()[1])), "out of order"
            kept = now
    assert all(it.read(place) == payload for payload, place in kept.items())


# -- the real disk -------------------------------------------------------------------------------


def test_only_this_user_can_read_it(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        folder = tmp_path / "a" / "spool"
        disk = Disk(folder, "WASL_INTAKE_SPOOL")
        journal(disk).append([b"x"])
    finally:
        os.umask(old)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(p.stat().st_mode) for p in folder.iterdir()} == {0o600}
    assert sorted(p.name for p in folder.iterdir()) == ["00000001.spool", "lock"]


def test_an_open_directory_is_closed(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    Disk(tmp_path, "WASL_INTAKE_SPOOL").close()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_everything_is_synced_before_it_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    real = os.fsync

    def fsync(fd: int) -> None:
        synced.append(Path(f"/proc/self/fd/{fd}").readlink().name)
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    it = journal(Disk(tmp_path, "WASL_INTAKE_SPOOL"))
    place = it.append(payloads(3))
    name, folder = "00000001.spool", tmp_path.name
    assert synced == [name, folder, name]
    synced.clear()
    it.forget(place)
    assert synced == [name, folder]  # the key is gone before the name is
    assert [p.name for p in tmp_path.iterdir()] == ["lock"]


def test_reads_back_from_the_real_disk(tmp_path: Path) -> None:
    disk = Disk(tmp_path, "WASL_INTAKE_SPOOL")
    it, places = written(disk, 20)
    assert [it.read(p) for p in places] == payloads(20)
    it.close()
    _, held, found = load(Disk(tmp_path, "WASL_INTAKE_SPOOL"))
    assert (list(held.values()), found) == (payloads(20), Found())


def test_two_processes_cannot_have_it(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from wasl_intake.journal import Disk;"
        f" d = Disk(Path({str(tmp_path)!r}), 'X'); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(SettingsError, match="WASL_INTAKE_SPOOL: another process holds"):
            Disk(tmp_path, "WASL_INTAKE_SPOOL")
        other.kill()
    Disk(tmp_path, "WASL_INTAKE_SPOOL").close()


def test_a_directory_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SettingsError, match="WASL_INTAKE_SPOOL: cannot use"):
        Disk(tmp_path / "file" / "spool", "WASL_INTAKE_SPOOL")
