# SPDX-License-Identifier: Apache-2.0
"""``wasl audit``, ``wasl retention``, ``wasl subject-requests``, on a store in memory."""

import base64
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from triage_world import World
from wasl_chassis.operating import Command, Desk, FileCommand, Refused, Wrong, loaded
from wasl_chassis.settings import Settings, SettingsError
from wasl_schemas.country_pack import CountryPack
from wasl_triage.audit.sealing import Sealer, public, signing_key
from wasl_triage.audit.trail import AUDIT, journal
from wasl_triage.commands import OPERATIONS
from wasl_triage.protection.commands import AuditCommandSettings, _gone
from wasl_triage.protection.wiring import COLLECTIONS as PROTECTED
from wasl_triage.protection.wiring import audit_keys, dependents, say_key
from wasl_triage.repository import REPORTS, Report

MASTER = b"m" * 32
REPORT = "019b7a5e-b642-722f-8360-c5dafd2a25cc"
PACK = Path(__file__).parents[3] / "deploy/country-packs/ma"
COMMANDS = {(g.name, c.name): c for g in OPERATIONS.groups for c in loaded(g.commands)}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WASL_MASTER_KEY", base64.b64encode(MASTER).decode())
    monkeypatch.setenv("WASL_COUNTRY_PACK", str(PACK))
    for name in ("WASL_TRIAGE_AUDIT_KEY", "WASL_TRIAGE_AUDIT_FORMER_KEYS"):
        monkeypatch.delenv(name, raising=False)


async def _run(world: World, group: str, name: str, **options: str) -> list[Any]:
    command = COMMANDS[group, name]
    assert isinstance(command, Command)
    assert set(options) <= {o.name for o in command.options}
    desk = Desk(world.hub.store, Settings.model_construct(), world.clock, "op", options)
    return list(await command.run(desk, ""))


async def _sealed(world: World) -> None:
    for _ in range(2):
        await world.hub.transact(lambda uow: journal(uow, "rules", "rui", "change"))
        world.later(days=1)
    while await Sealer(world.hub, signing_key(MASTER, derived=True), holder="a").turn():
        pass


async def test_verify_says_what_it_checked_or_what_is_wrong(world: World) -> None:
    await _sealed(world)
    rows = {r["what"]: r["value"] for r in await _run(world, "audit", "verify")}
    assert (rows["days sealed"], rows["rows"], rows["findings"]) == (2, 2, 0)
    assert rows["its root"] == (await _run(world, "audit", "seals"))[-1]["root"]
    world.hub.store.docs["audit"]["rules|00000002"]["who"] = "x"
    with pytest.raises(Wrong) as wrong:
        await _run(world, "audit", "verify")
    assert wrong.value.rows == [
        {"day": "2026-01-06", "stream": "rules", "row": 2, "why": "changed"}
    ]
    assert await _run(world, "audit", "verify", day="2026-01-05")
    for options in ({"day": "2026-01-05", "since": "2026-01-05"}, {"day": "yesterday"}):
        with pytest.raises(Refused):
            await _run(world, "audit", "verify", **options)


async def test_an_export_is_audited_and_checked_without_the_hub(
    world: World, tmp_path: Path
) -> None:
    await _sealed(world)
    to = str(tmp_path / "a.zip")
    days = {"since": "2026-01-05", "until": "2026-01-06"}
    rows = await _run(world, "audit", "export", to=to, **days)
    assert rows[1]["value"] == 2
    told = [AUDIT.decode(d) for d in world.hub.store.docs["audit"].values()]
    assert [(r.stream, r.who, r.why) for r in told if r.what == "export_audit"] == [
        ("exports", "op", "2026-01-05..2026-01-06")
    ]
    check = COMMANDS["audit", "check"]
    assert isinstance(check, FileCommand)
    assert [r["finding"] for r in check.run(to)] == [
        "none: compare the key with the one the hub published"
    ]
    (tmp_path / "b.zip").write_bytes(b"no zip")
    for bad in ("b.zip", "none.zip"):
        with pytest.raises(Wrong):
            check.run(str(tmp_path / bad))
    for options in (
        {**days, "to": to},  # it exists
        {**days, "until": "2026-02-06", "to": to + "x"},
        {"since": "2026-01-06", "until": "2026-01-05", "to": to + "x"},
    ):
        with pytest.raises(Refused):
            await _run(world, "audit", "export", **options)


async def test_the_plan_changes_nothing_and_the_run_does(world: World) -> None:
    uow = world.hub.unit()
    at = world.clock.now() - timedelta(days=5000)
    uow.put(REPORTS, Report(REPORT, at, "web", "fr", "fr", None, (), True, True, (), None))
    await world.hub.commit(uow)
    before = str(world.hub.store.docs["reports"])
    (line,) = await _run(world, "retention", "plan", ids="due")
    assert (line["kind"], line["data"], line["fate"], line["count"], line["ids"]) == (
        "report", "record", "due", 1, [REPORT],
    )  # fmt: skip
    assert str(world.hub.store.docs["reports"]) == before
    assert world.hub.store.outbox == {}
    (other,) = await _run(world, "retention", "plan", ids="held")
    assert other["ids"] == [], "the same columns in every row"
    assert await _run(world, "retention", "run") == [
        {"kind": "report", "data": "record", "erased": 1}
    ]
    assert await _run(world, "retention", "plan") == []
    world.later(hours=1)
    await world.hub.store.lease(
        "retention", "service", now=world.clock.now(), lease_for=timedelta(hours=1)
    )
    with pytest.raises(Refused, match="another process"):
        await _run(world, "retention", "run")
    assert await _run(world, "subject-requests", "figures") == []


async def test_a_key_that_was_changed_leaves_its_seals_whole(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _sealed(world)
    old = public(signing_key(MASTER, derived=True))
    own = signing_key(b"k" * 32, derived=False)
    (row,) = await _run(world, "audit", "key")
    assert (row["key"], row["made"], row["days"], row["first"], row["last"]) == (
        "in use", "derived from the master key", 2, "2026-01-05", "2026-01-06",
    )  # fmt: skip
    monkeypatch.setenv("WASL_TRIAGE_AUDIT_KEY", base64.b64encode(b"k" * 32).decode())
    with pytest.raises(Wrong) as wrong:
        await _run(world, "audit", "verify")
    assert {r["why"] for r in wrong.value.rows} == {"seal_of_another_key"}
    assert {str(s["by"]).split()[0] for s in await _run(world, "audit", "seals")} == {"unknown"}
    monkeypatch.setenv("WASL_TRIAGE_AUDIT_FORMER_KEYS", old)
    await world.hub.transact(lambda uow: journal(uow, "rules", "rui", "change"))
    world.later(days=1, hours=3)
    while await Sealer(world.hub, own, holder="a").turn():
        pass
    told = {r["what"]: r["value"] for r in await _run(world, "audit", "verify")}
    assert (told["days sealed"], told["findings"]) == (3, 0)
    keys = {r["key"]: r for r in await _run(world, "audit", "key")}
    assert (keys["in use"]["made"], keys["in use"]["days"]) == ("of its own", 1)
    assert (keys["former"]["days"], keys["former"]["last"]) == (2, "2026-01-06")
    assert str(keys["former"]["value"]).startswith(f"{old} sha256:")
    by = [str(s["by"]) for s in await _run(world, "audit", "seals")]
    assert [word.rpartition(" ")[0] for word in by] == ["former", "former", "in use"]
    assert by[0].split()[1] in str(keys["former"]["value"])


@pytest.mark.parametrize("own", [False, True])
def test_the_operator_hears_which_key_seals(
    own: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if own:
        monkeypatch.setenv("WASL_TRIAGE_AUDIT_KEY", base64.b64encode(b"k" * 32).decode())
    say_key(AuditCommandSettings())
    said = [r for r in caplog.records if r.levelname == "WARNING"]
    assert [hasattr(r, "key") for r in said] == ([] if own else [True])


async def test_keys(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    own = public(signing_key(MASTER, derived=True))
    (row,) = await _run(world, "audit", "key")
    assert str(row["value"]).startswith(f"{own} sha256:")
    monkeypatch.setenv("WASL_TRIAGE_AUDIT_KEY", base64.b64encode(b"k" * 32).decode())
    monkeypatch.setenv("WASL_TRIAGE_AUDIT_FORMER_KEYS", own)
    private, former = audit_keys(AuditCommandSettings())
    assert public(private) == public(signing_key(b"k" * 32, derived=False))
    assert former == {own}
    await _sealed(world)  # with the key of before
    assert await _run(world, "audit", "verify")
    for wrong in ("short", "QUJD"):
        monkeypatch.setenv("WASL_TRIAGE_AUDIT_FORMER_KEYS", wrong)
        with pytest.raises(SettingsError, match="FORMER_KEYS"):
            audit_keys(AuditCommandSettings())


def test_the_last_day_that_may_be_gone(pack: CountryPack) -> None:
    now = datetime(2031, 1, 6, 12, tzinfo=UTC)
    assert _gone(pack, now) == date(2026, 1, 5), "sixty months after its end, not before"
    assert _gone(pack, now - timedelta(days=1)) == date(2026, 1, 4)


def test_what_goes_along_is_opened_and_named() -> None:
    """Every collection retention deletes from, or asks, is one the service has."""
    from wasl_triage.bootstrap import COLLECTIONS

    opened = {c.name for c in COLLECTIONS}
    named = dependents()
    asked = [*named["with_text"], *named["with_notes"], *named["with_case"], *named["waits"]]
    assert {one.collection.name for one in asked} <= opened
    assert {c.name for c in PROTECTED} <= opened
