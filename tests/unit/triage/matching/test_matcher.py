# SPDX-License-Identifier: Apache-2.0
"""What is published is found, from the first hash on, and a switch is never seen in the middle."""

import logging
import threading
from pathlib import Path
from typing import Any

import pytest
from wasl_triage.matching import Matcher, publishing
from wasl_triage.matching.banks import BankError
from wasl_triage.matching.hashes import KINDS, WIDTH
from wasl_triage.matching.index import IndexFileError
from wasl_triage.matching.matcher import FingerprintError

PDQ, MD5, SHA = "pdq:" + "ab" * 32, "md5:" + "cd" * 16, "sha256:" + "ef" * 32


def near(text: str, bits: int) -> str:
    """The same PDQ hash with its lowest bits flipped."""
    return f"pdq:{int(text[4:], 16) ^ ((1 << bits) - 1):064x}"


def test_without_a_directory_or_a_build_nothing_is_known(tmp_path: Path) -> None:
    assert Matcher.open(None).lookup([PDQ]) == []
    matcher = Matcher.open(tmp_path / "none")
    assert matcher.lookup([PDQ, MD5]) == []
    assert matcher.healthy


def test_an_index_of_one_hash_matches(banks: Any) -> None:
    banks.put("a", PDQ)
    banks.publish()
    (match,) = Matcher.open(banks.directory).lookup([near(PDQ, 31)])
    assert match.model_dump(exclude={"entry"}) == {
        "fingerprint": 0, "bank": "a", "title": "a of the tests", "category": "ncii",
        "confidence": "high", "kind": "pdq", "distance": 31, "tags": (),
    }  # fmt: skip
    assert Matcher.open(banks.directory).lookup([near(PDQ, 32)]) == []


def test_it_does_not_matter_which_of_two_is_stored(banks: Any) -> None:
    for stored, asked in ((PDQ, near(PDQ, 20)), (near(PDQ, 20), PDQ)):
        banks.put("a", stored)
        banks.publish(full=True)
        (match,) = Matcher.open(banks.directory).lookup([asked])
        assert match.distance == 20


def test_matches_tell_place_bank_and_tags_nearest_first(banks: Any) -> None:
    banks.put("a", "hash,quality,tags", f"{near(PDQ, 9)},90,far", f"{near(PDQ, 2)},90,near;x")
    banks.put("b", MD5, near(PDQ, 5))
    banks.publish()
    found = Matcher.open(banks.directory).lookup([SHA, PDQ.upper().replace("PDQ", "pdq"), MD5])
    assert [(m.fingerprint, m.bank, m.distance, m.tags) for m in found] == [
        (1, "a", 2, ("near", "x")),
        (1, "b", 5, ()),
        (1, "a", 9, ("far",)),
        (2, "b", 0, ()),
    ]
    assert len({m.entry for m in found}) == 4
    assert all("ab" * 16 not in m.model_dump_json() for m in found), "no hash of a bank is told"


def test_the_same_hash_with_other_tags_is_one_match(banks: Any) -> None:
    banks.put("a", "hash,tags", f"{MD5},x", f"{MD5},y")
    banks.publish()
    (match,) = Matcher.open(banks.directory).lookup([MD5])
    assert match.tags == ("x", "y")


def test_a_crowd_is_told_up_to_a_limit(banks: Any) -> None:
    banks.put("a", *(f"pdq:{n:064x}" for n in range(600)))
    banks.publish()
    (answer,) = Matcher.open(banks.directory).answers(["pdq:" + "0" * 64], limit=500)
    assert answer.more
    distances = [m.distance for m in answer.matches]
    assert distances == sorted(distances)
    assert len(distances) == 500
    (whole,) = Matcher.open(banks.directory).answers(["pdq:" + "0" * 64], limit=600)
    assert not whole.more


def test_a_wrong_fingerprint_is_named_by_its_place(banks: Any) -> None:
    with pytest.raises(FingerprintError, match="fingerprint 1: expected one of pdq:") as error:
        Matcher.open(None).lookup([PDQ, "tlsh:secret"])
    assert error.value.place == 1
    assert "secret" not in str(error.value)


def test_a_ratio_of_none_hides_a_bank_and_needs_no_new_index(banks: Any) -> None:
    banks.put("a", PDQ, MD5, ratio=0)
    banks.publish()
    matcher = Matcher.open(banks.directory)
    assert matcher.lookup([PDQ, MD5]) == []
    banks.put("a", PDQ, MD5, ratio=1)
    done = banks.publish()
    assert (done.how, done.added, done.removed) == ("overlay", 0, 0)
    assert len(matcher.lookup([PDQ, MD5])) == 2


def test_changes_are_an_overlay_that_an_open_matcher_follows(banks: Any) -> None:
    old, new = near(PDQ, 100), near(PDQ, 200)
    banks.put("a", PDQ, MD5, old)
    banks.put("b", SHA)
    assert banks.publish().how == "whole"
    matcher = Matcher.open(banks.directory)
    banks.put("a", PDQ, new)
    assert banks.publish().how == "overlay"
    known = [bool(matcher.lookup([text])) for text in (PDQ, MD5, old, new, SHA)]
    assert known == [True, False, False, True, True]
    assert banks.publish().how == "unchanged"
    banks.put("a", PDQ, MD5, old)  # back again: the overlay goes
    assert banks.publish().manifest.overlay is None
    assert [bool(matcher.lookup([text])) for text in (PDQ, MD5, old, new)] == [
        True,
        True,
        True,
        False,
    ]
    banks.drop("b")
    banks.publish()
    assert matcher.lookup([SHA]) == []
    assert len(list((banks.directory / "index").glob("*.hashes"))) <= 3


def test_tags_and_banks_that_came_later_are_told(banks: Any) -> None:
    banks.put("a", "hash,tags", f"{MD5},x")
    banks.publish()
    banks.put("a", "hash,tags", f"{MD5},y")
    banks.put("c", SHA)
    assert banks.publish().how == "overlay"
    assert [(m.bank, m.tags) for m in Matcher.open(banks.directory).lookup([MD5, SHA])] == [
        ("a", ("y",)),
        ("c", ()),
    ]


def test_many_changes_are_a_new_index(banks: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "FLAT", 3)
    banks.put("a", PDQ)
    banks.publish()
    banks.put("a", PDQ, *(f"md5:{n:032x}" for n in range(4)))
    assert banks.publish().how == "whole"
    assert len(Matcher.open(banks.directory).lookup([PDQ, f"md5:{3:032x}"])) == 2


def test_a_bank_with_a_wrong_list_keeps_its_hashes_and_holds_up_nobody(banks: Any) -> None:
    later = near(PDQ, 128)
    banks.put("a", PDQ)
    banks.put("b", MD5)
    banks.publish()
    banks.put("a", PDQ, later)
    banks.publish()  # the overlay's are kept as well
    banks.put("a", "pdq:wrong")
    banks.put("b", SHA)
    done = banks.publish()
    (kept,) = done.kept
    assert "a.txt:1: expected 64 hexadecimal digits" in kept
    found = Matcher.open(banks.directory).lookup([PDQ, later, MD5, SHA])
    assert [(m.fingerprint, m.bank) for m in found] == [(0, "a"), (1, "a"), (3, "b")]
    with pytest.raises(BankError, match=r"a\.txt:1"):
        banks.publish(full=True)
    assert len(Matcher.open(banks.directory).lookup([PDQ, later, SHA])) == 3


@pytest.mark.parametrize("part", ["CURRENT", "base", "overlay"])
def test_a_damaged_build_is_refused_by_name_and_the_old_one_serves(
    banks: Any, part: str, caplog: pytest.LogCaptureFixture
) -> None:
    banks.put("a", PDQ)
    banks.publish()
    matcher = Matcher.open(banks.directory)
    assert len(matcher.lookup([PDQ])) == 1
    banks.put("a", MD5)
    where = banks.directory / "index"
    manifest = banks.publish(full=part == "base").manifest
    name = part if part == "CURRENT" else getattr(manifest, part)
    (where / name).write_bytes((where / name).read_bytes()[:-5000])
    with caplog.at_level(logging.ERROR):
        assert len(matcher.lookup([PDQ])) == 1, "the old one keeps serving"
        assert len(matcher.lookup([PDQ])) == 1
    (refused,) = [r for r in caplog.records if r.getMessage() == "the new index is refused"]
    assert name in refused.reason
    assert "build --full" in refused.reason
    assert not matcher.healthy
    if part != "overlay":
        with pytest.raises(IndexFileError, match=name):
            banks.publish()
    banks.publish(full=True)
    assert [m.kind for m in matcher.lookup([PDQ, MD5])] == ["md5"]
    assert matcher.healthy


def test_a_build_that_is_wrong_on_disk_is_never_put_in_place(
    banks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    banks.put("a", PDQ)
    before = banks.publish().manifest
    write = publishing.write

    def half(path: Path, *arguments: object) -> None:
        write(path, *arguments)
        path.write_bytes(path.read_bytes()[:-1])

    monkeypatch.setattr(publishing, "write", half)
    with pytest.raises(IndexFileError):
        banks.publish(full=True)
    assert publishing.current(banks.directory) == before
    assert not list((banks.directory / "index").glob("*.part"))


def test_no_look_up_sees_half_a_switch(banks: Any) -> None:
    """Two states take turns while threads look up; every answer is wholly one of them."""
    states = [[f"{kind}:{digit * 2 * WIDTH[kind]}" for kind in KINDS] * 10 for digit in "5a"]
    banks.put("a", *states[0])
    banks.publish()
    matcher = Matcher.open(banks.directory)
    everything, done, torn, seen = states[0] + states[1], threading.Event(), [], set()

    def look() -> None:
        while not done.is_set():
            found = {m.fingerprint < 30 for m in matcher.lookup(everything)}
            seen.update(found)
            if len(found) != 1:
                torn.append(found)

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for turn in range(12):
        banks.put("a", *states[(turn + 1) % 2])
        banks.publish(full=turn % 3 == 0)
    done.set()
    for thread in threads:
        thread.join()
    assert torn == []
    assert seen == {True, False}
