# SPDX-License-Identifier: Apache-2.0
"""Days are sealed once, by whoever comes first; what changes afterwards is found, in the database
and in an export that nobody needs the hub to check.
"""

import asyncio
import base64
import copy
import hashlib
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from triage_world import ANA, SUE, Hub, World
from wasl_chassis.vault import derive
from wasl_triage.audit import sealing, verify
from wasl_triage.audit.exporting import Export, NotSealed, key_text, write
from wasl_triage.audit.sealing import (
    ENDS,
    GRACE,
    SEALS,
    Checker,
    Sealer,
    public,
    rows_of,
    seals,
    sign,
    signing_key,
)
from wasl_triage.audit.trail import AUDIT, Stream, journal, link, looked

KEY = signing_key(b"k" * 32, derived=False)
KEYS = frozenset({public(KEY)})
START = date(2026, 1, 5)
DAYS = 3


async def _three_days(hub: Hub) -> None:
    """Three days of work in several streams, each sealed, and a fourth that is not."""
    sealer = Sealer(hub, KEY, holder="a")
    for day in range(DAYS + 1):
        for n in range(3):
            await hub.transact(lambda uow, n=n: journal(uow, Stream.RULES, "rui", "change", str(n)))
            await hub.transact(lambda uow: looked(uow, "ana", "queue", "queue_seen"))
        await hub.transact(lambda uow, d=day: journal(uow, Stream.PEOPLE, "adm", "add", str(d)))
        hub.clock.advance(timedelta(days=1))
    hub.clock.advance(-timedelta(days=1) + timedelta(hours=3))
    while await sealer.turn():
        pass


@pytest.fixture(scope="module")
def sealed() -> Hub:
    hub = Hub()
    asyncio.run(_three_days(hub))
    return hub


def _copy(hub: Hub) -> Hub:
    other = Hub()
    other.clock = hub.clock
    other.store.docs = copy.deepcopy(hub.store.docs)
    return other


async def _check(hub: Hub, **how: Any) -> list[tuple[str, str, str, int | None]]:
    found = await Checker(hub.store, KEYS).run(**how)
    return [(f.day, f.why, f.stream, f.seq) for f in found]


# -- sealing -----------------------------------------------------------------------------------------


async def test_a_day_is_sealed_when_it_and_the_grace_are_over() -> None:
    hub = Hub()
    sealer = Sealer(hub, KEY, holder="a")
    assert await sealer.turn() is False
    await hub.transact(lambda uow: journal(uow, Stream.RULES, "rui", "change"))
    midnight = datetime(2026, 1, 6, tzinfo=UTC)
    hub.clock.advance(midnight + GRACE - timedelta(seconds=1) - hub.clock.now())
    assert await sealer.turn() is False
    assert hub.store.docs.get("audit_seals", {}) == {}
    hub.clock.advance(timedelta(seconds=1))
    assert await sealer.turn() is True
    (seal,) = await seals(hub.store)
    assert (seal.day, seal.rows, seal.streams, seal.previous) == ("2026-01-05", 1, 1, "")
    assert seal.holds()
    assert hub.metrics.value("wasl_triage_audit_seals_total") == 1
    assert await sealer.turn() is False


async def test_days_without_rows_are_sealed_too(sealed: Hub) -> None:
    hub = _copy(sealed)
    held = await seals(hub.store)
    assert [s.day for s in held] == ["2026-01-05", "2026-01-06", "2026-01-07"]
    assert [s.previous for s in held] == ["", held[0].hash, held[1].hash]
    later = Hub()
    later.store.docs = hub.store.docs
    later.clock.advance(timedelta(days=20))
    while await Sealer(later, KEY, holder="a").turn():
        pass
    held = await seals(later.store)
    assert [s.rows for s in held] == [7, 7, 7, 7, *[0] * (len(held) - 4)]
    assert len(held) == 20
    assert await _check(later) == []


async def test_replicas_make_one_seal_and_the_same(sealed: Hub) -> None:
    hub = _copy(sealed)
    mine = hub.store.docs["audit_seals"]
    hub.store.docs["audit_seals"], hub.store.docs["audit_ends"] = {}, {}
    other = Sealer(hub, KEY, holder="b")
    assert await other.turn() is True
    assert await Sealer(hub, KEY, holder="c").turn() is False  # the lease is taken
    while await other.turn():
        pass
    assert hub.store.docs["audit_seals"] == mine


async def test_a_day_of_many_rows_is_read_in_pieces(
    sealed: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = await rows_of(sealed.store, START)
    monkeypatch.setattr(sealing, "_AT_ONCE", 2)
    assert await rows_of(sealed.store, START) == whole
    assert len(whole) == 7


async def test_what_is_read_and_decided_on_a_case_is_under_the_seal(world: World) -> None:
    await world.arrives("https://example.com/a", category="scam_fraud")
    case = await world.held(ANA)
    await world.desk.read(ANA, case.id)
    world.later(days=1, hours=3)
    assert await Sealer(world.hub, KEY, holder="a").turn()
    await world.desk.read(SUE, case.id)  # of a day that is not sealed
    assert await _check(world.hub) == []
    row = world.audit(world.case())[1]
    world.hub.store.docs["audit"][row.id]["who"] = "somebody-else"
    assert ("2026-01-05", "changed", case.id, row.seq) in await _check(world.hub)


def test_the_key_is_given_or_derived() -> None:
    derived = signing_key(b"m" * 32, derived=True)
    assert public(derived) == public(signing_key(derive(b"m" * 32, "audit-seal"), derived=False))
    assert public(derived) != public(signing_key(b"m" * 32, derived=False))
    digest = hashlib.sha256(base64.b64decode(public(KEY))).hexdigest()
    assert key_text(public(KEY)) == f"{public(KEY)} sha256:{digest}"


# -- checking the database ---------------------------------------------------------------------------


async def test_nothing_is_found_where_nothing_was_changed(sealed: Hub) -> None:
    checker = Checker(sealed.store, KEYS)
    assert await checker.run() == []
    assert (checker.days, checker.rows) == (DAYS, 7 * (DAYS + 1))
    assert await Checker(sealed.store, KEYS).run_day(START) == []
    assert await _check(sealed, since=date(2026, 1, 6)) == []


async def test_the_finding_names_stream_row_and_day(sealed: Hub) -> None:
    hub = _copy(sealed)
    del hub.store.docs["audit"]["rules|00000004"]
    assert ("2026-01-06", "missing", "rules", 4) in await _check(hub)
    hub = _copy(sealed)
    row = hub.store.docs["audit"]["rules|00000005"]
    row["why"] = "7"
    assert ("2026-01-06", "changed", "rules", 5) in await _check(hub)
    assert [f.why for f in await Checker(hub.store, KEYS).run_day(date(2026, 1, 6))] == ["changed"]
    assert await Checker(hub.store, KEYS).run_day(date(2026, 1, 7)) == []
    assert [f.why for f in await Checker(hub.store, KEYS).run_day(date(2026, 2, 7))] == [
        "not_sealed"
    ]


async def test_a_chain_that_was_written_anew_is_found_by_the_seal(sealed: Hub) -> None:
    """Whoever can write the database makes every hash of a stream fit, and its head, too."""
    hub = _copy(sealed)
    rows = sorted(
        (AUDIT.decode(d) for d in hub.store.docs["audit"].values() if d["stream"] == "rules"),
        key=lambda r: r.seq,
    )
    previous = ""
    for row in rows:
        doc = hub.store.docs["audit"][row.id]
        doc["previous"] = previous
        doc["who"] = "somebody" if row.seq == 5 else row.who
        doc["hash"] = previous = link(AUDIT.decode(doc | {"hash": ""}))
    hub.store.docs["audit_heads"]["rules"]["hash"] = previous
    found = await _check(hub)
    assert ("2026-01-06", "rewritten", "rules", 6) in found
    assert not [f for f in found if f[0] == "2026-01-05"]


async def test_seals_signed_with_another_key_are_found(sealed: Hub) -> None:
    other = signing_key(b"x" * 32, derived=False)
    found = await Checker(sealed.store, frozenset({public(other)})).run()
    assert {f.why for f in found} == {"seal_of_another_key"}


async def test_a_seal_made_anew_does_not_lead_to_the_next(sealed: Hub) -> None:
    """The key is in the wrong hands: a day less a stream is sealed again, and signed."""
    hub = _copy(sealed)
    docs = hub.store.docs
    gone = [i for i, d in docs["audit"].items() if d["stream"] == "queue|ana|2026-01-05"]
    for row in gone:
        del docs["audit"][row]
    del docs["audit_heads"]["queue|ana|2026-01-05"]
    later = {d: docs["audit_seals"].pop(d) for d in list(docs["audit_seals"])}
    docs["audit_ends"] = {i: e for i, e in docs["audit_ends"].items() if "2026-01-05" not in i}
    assert await Sealer(hub, KEY, holder="a").turn()
    docs["audit_seals"] |= {d: s for d, s in later.items() if d != "2026-01-05"}
    assert await _check(hub) == [("2026-01-06", "seal_does_not_follow", "", None)]


async def test_the_last_rows_of_a_day_without_a_seal(sealed: Hub) -> None:
    hub = _copy(sealed)
    last = max(d["seq"] for d in hub.store.docs["audit"].values() if d["stream"] == "rules")
    del hub.store.docs["audit"][f"rules|{last:08d}"]
    assert ("", "missing", "rules", last) in await _check(hub)


_ROW_FIELDS = ("who", "what", "why", "previous", "hash", "stream", "seq", "at")


def _mutations(docs: dict[str, dict[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Every single change of one document of the trail."""
    for row in docs["audit"]:
        yield from (("row", (row, field)) for field in _ROW_FIELDS)
        yield "row_out", row
        yield "row_added", row
    for day in docs["audit_seals"]:
        yield "seal_out", day
        fields = ("rows", "streams", "root", "heads", "previous", "key", "signature")
        yield from (("seal", (day, field)) for field in fields)
        yield "day_shifted", day
    for portion in docs["audit_ends"]:
        yield "ends_out", portion
        yield "ends", portion
    for head in docs["audit_heads"]:
        yield "head", head
        yield "head_out", head


def _changed(value: Any) -> Any:
    if isinstance(value, datetime):
        return value + timedelta(days=1)
    if isinstance(value, int):
        return value + 1
    if value == "":
        return "0"
    return value[:-2] + ("A=" if value[-2:] != "A=" else "B=")


def _mutate(docs: dict[str, dict[str, Any]], what: str, where: Any) -> None:
    match what:
        case "row":
            key, field = where
            docs["audit"][key][field] = _changed(docs["audit"][key][field])
        case "row_out":
            del docs["audit"][where]
        case "row_added":
            new = {**docs["audit"][where], "_id": "rules|00000099", "stream": "rules", "seq": 99}
            docs["audit"]["rules|00000099"] = new
        case "seal_out":
            del docs["audit_seals"][where]
        case "seal":
            key, field = where
            docs["audit_seals"][key][field] = _changed(docs["audit_seals"][key][field])
        case "day_shifted":
            moved = docs["audit_seals"].pop(where)
            docs["audit_seals"]["2026-02-01"] = {**moved, "_id": "2026-02-01"}
        case "ends_out":
            del docs["audit_ends"][where]
        case "ends":
            docs["audit_ends"][where]["ends"][0][3] = "0" * 64
        case "head":
            docs["audit_heads"][where]["hash"] = "0" * 64
        case "head_out":
            del docs["audit_heads"][where]


async def test_every_single_change_of_a_document_is_found(sealed: Hub) -> None:
    missed = []
    newest = max(sealed.store.docs["audit_seals"])
    for what, where in list(_mutations(sealed.store.docs)):
        hub = _copy(sealed)
        _mutate(hub.store.docs, what, where)
        # The newest seal taken out is a day that is not sealed yet: the sealer makes the same again.
        if not await _check(hub) and (what, where) != ("seal_out", newest):
            missed.append((what, where))
    assert missed == []


# -- exports -----------------------------------------------------------------------------------------


async def _export(hub: Hub, to: Path, stream: str | None = None) -> Path:
    wanted = Export(START, START + timedelta(days=DAYS - 1), stream)
    rows = await write(hub.store, KEY, wanted, to, hub.clock.now())
    assert rows == (7 * DAYS if stream is None else 3 * DAYS)
    return to


@pytest.fixture(scope="module")
def exported(sealed: Hub, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return asyncio.run(_export(sealed, tmp_path_factory.mktemp("x") / "audit.zip"))


def _members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def _zip(to: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(to, "w") as file:
        for name, text in members.items():
            file.writestr(name, text)
    return to


def _wrong(path: Path) -> bool:
    """As ``main`` does: what cannot be read is wrong, too."""
    try:
        return bool(verify.check(path))
    except Exception:
        return True


def test_an_export_fits_and_says_what_it_is(exported: Path) -> None:
    assert verify.check(exported) == []
    members = _members(exported)
    assert set(members) == {
        "README.txt", "rows.jsonl", "seals.jsonl", "verify.py", "manifest.json", "signature.txt",
    }  # fmt: skip
    manifest = json.loads(members["manifest.json"])
    assert manifest["key"] == public(KEY)
    assert (manifest["since"], manifest["until"]) == ("2026-01-05", "2026-01-07")
    assert all(len(line) <= 100 for line in members["README.txt"].decode().splitlines())


@settings(deadline=None, max_examples=200)
@given(data=st.data())
def test_any_byte_of_an_export_that_changes_is_found(
    data: st.DataObject, exported: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    members = _members(exported)
    name = data.draw(st.sampled_from(sorted(members)))
    at = data.draw(st.integers(0, len(members[name]) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda b: b != members[name][at]))
    members[name] = members[name][:at] + bytes([other]) + members[name][at + 1 :]
    assert _wrong(_zip(tmp_path_factory.getbasetemp() / "byte.zip", members))


def _signed_anew(members: dict[str, bytes]) -> dict[str, bytes]:
    """Digests, count and signature made to fit: the hub itself lies."""
    manifest = json.loads(members["manifest.json"])
    manifest["files"] = {
        n: hashlib.sha256(members[n]).hexdigest() for n in manifest["files"]
    }  # fmt: skip
    manifest["rows"] = len(members["rows.jsonl"].splitlines())
    text = json.dumps(manifest).encode()
    return {**members, "manifest.json": text, "signature.txt": sign(KEY, text).encode()}


@pytest.mark.parametrize("name", ["rows.jsonl", "seals.jsonl"])
@pytest.mark.parametrize("how", ["out", "twice", "swap", "field", "day"])
def test_a_hub_that_signs_other_rows_than_it_sealed_is_found(
    name: str, how: str, exported: Path, tmp_path: Path
) -> None:
    for at in range(len(_members(exported)[name].splitlines())):
        members = _members(exported)
        lines = members[name].splitlines()
        other = (at + 1) % len(lines)
        if how == "out":
            del lines[at]
        elif how == "twice":
            lines.insert(at, lines[at])
        elif how == "swap":
            lines[at], lines[other] = lines[other], lines[at]
        else:
            doc = json.loads(lines[at])
            if how == "day":
                doc["day"] = "2026-01-06" if doc["day"] != "2026-01-06" else "2026-01-07"
            elif name == "rows.jsonl":
                doc["row"][3] = "somebody"
                body = json.dumps(doc["row"], separators=(",", ":")).encode()
                doc["hash"] = hashlib.sha256(body).hexdigest()
            else:
                doc["rows"] += 1
            lines[at] = json.dumps(doc).encode()
        members[name] = b"".join(line + b"\n" for line in lines)
        if how == "swap" and name == "rows.jsonl" and _other_streams(lines[at], lines[other]):
            continue  # the order of rows of different streams says nothing
        assert _wrong(_zip(tmp_path / "lie.zip", _signed_anew(members))), at


def _other_streams(one: bytes, two: bytes) -> bool:
    return json.loads(one)["row"][0] != json.loads(two)["row"][0]


async def test_one_streams_rows_alone(sealed: Hub, tmp_path: Path) -> None:
    path = await _export(sealed, tmp_path / "rules.zip", "rules")
    assert verify.check(path) == []
    assert {json.loads(r)["row"][0] for r in _members(path)["rows.jsonl"].splitlines()} == {"rules"}


@pytest.mark.parametrize("with_cryptography", [True, False])
def test_the_program_in_the_export_needs_nothing_else(
    exported: Path, tmp_path: Path, with_cryptography: bool
) -> None:
    (tmp_path / "verify.py").write_bytes(_members(exported)["verify.py"])
    isolated = [] if with_cryptography else ["-I", "-S"]  # no site-packages

    def run(path: Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *isolated, str(tmp_path / "verify.py"), str(path)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    done = run(exported)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Everything fits" in done.stdout
    assert ("NOT checked" in done.stdout) is not with_cryptography
    members = _members(exported)
    members["rows.jsonl"] = members["rows.jsonl"].replace(b'"ana"', b'"bea"', 1)
    done = run(_zip(tmp_path / "bad.zip", members))
    assert done.returncode == 1
    assert "changed" in done.stdout
    assert run(tmp_path / "none.zip").returncode == 1


async def test_what_cannot_be_exported(sealed: Hub, tmp_path: Path) -> None:
    now = sealed.clock.now()
    to = tmp_path / "a.zip"
    for since, until in (
        (START - timedelta(days=1), START),
        (START, START + timedelta(days=DAYS)),
    ):
        with pytest.raises(NotSealed, match="there is no seal of"):
            await write(sealed.store, KEY, Export(since, until), to, now)
    hub = _copy(sealed)
    del hub.store.docs["audit"]["rules|00000001"]
    with pytest.raises(NotSealed, match="was sealed with 7 rows and has 6"):
        await write(hub.store, KEY, Export(START, START), to, now)
    to.write_text("mine")
    with pytest.raises(FileExistsError):
        await write(sealed.store, KEY, Export(START, START), to, now)
    assert (SEALS.name, ENDS.name) == ("audit_seals", "audit_ends")
