# SPDX-License-Identifier: Apache-2.0
"""The audit's pages: trails that hold and that do not, sealed days, and no word of hidden cases."""

from datetime import date, timedelta

from babel.dates import format_date
from desk import SEAL, Browser, Door, application, text_of
from triage_world import ANA, World
from wasl_triage.audit.reading import HIDDEN, Trails
from wasl_triage.audit.sealing import Sealer
from wasl_triage.audit.trail import AUDIT, Stream, journal, watched
from wasl_triage.domain.case import Case
from wasl_triage.domain.people import Person, Role

AUD = Person(name="auditor-1", roles=frozenset({Role.AUDITOR}))
ADA = Person(name="auditor-2", roles=frozenset({Role.AUDITOR, Role.CHILD_SAFETY}))


async def _read(world: World, category: str) -> Case:
    url = f"https://{category.replace('_', '-')}.example/x"
    await world.arrives(url, category=category, text="words")
    case = await world.held(ANA, world.case_id(url))
    await world.desk.read(ANA, case.id)
    return world.case(case.id)


def _browsers(world: World) -> tuple[Browser, Browser, Browser]:
    door = Door()
    app = application(world, door)
    return Browser(app, door, AUD), Browser(app, door, ADA), Browser(app, door, ANA)


async def test_a_trail_is_shown_with_its_reads_and_whether_it_holds(world: World) -> None:
    case = await _read(world, "scam_fraud")
    page, _, analyst = _browsers(world)
    shown = await page.get(f"audit/trail?of={case.id}")
    assert 'title="read"' in shown
    assert ANA.name in shown
    assert 'role="alert"' not in shown
    docs = world.hub.store.docs["audit"]
    docs[f"{case.id}|00000002"]["who"] = "somebody-else"
    assert 'role="alert"' in await page.get(f"audit/trail?of={case.id}")
    for path in ("audit", f"audit/trail?of={case.id}", "audit/person?who=x&day=2026-01-05"):
        await analyst.get(path, 403)
    await page.get("audit/trail?of=nothing", 404)
    await page.get("audit/trail", 404)
    looks = [r for r in map(AUDIT.decode, docs.values()) if r.who == AUD.name]
    assert {(r.what, r.why) for r in looks} == {("trail", case.id)}


async def test_a_case_that_is_hidden_is_in_no_page(world: World) -> None:
    hidden, seen = await _read(world, "csam"), await _read(world, "scam_fraud")
    day = f"{world.clock.now():%Y-%m-%d}"

    async def work(uow: object) -> None:
        await journal(uow, Stream.BULK, ANA.name, "bulk", f"of:{hidden.id}")  # type: ignore[arg-type]

    await world.hub.transact(work)
    page, cleared, _ = _browsers(world)
    await page.get(f"audit/trail?of={hidden.id}", 404)
    await cleared.get(f"audit/trail?of={hidden.id}")
    for path in (
        f"audit/person?who={ANA.name}&day={day}",
        f"audit/person?who={ADA.name}&day={day}",
        f"audit/trail?of={watched('audit', ADA.name, world.clock.now())}",
        "audit/trail?of=bulk",
        "audit",
    ):
        assert hidden.id not in await page.get(path), path
        if "trail" in path:
            assert HIDDEN in text_of(await page.get(path))
    theirs = await page.get(f"audit/person?who={ANA.name}&day={day}")
    assert seen.id in theirs
    assert format_date(date.fromisoformat(day), "d MMM yyyy", "fr_MA") in theirs
    assert hidden.id in await cleared.get(f"audit/person?who={ANA.name}&day={day}")
    await page.get("audit/person?who=&day=", 422)


async def test_days_are_sealed_and_checked_on_demand(world: World) -> None:
    hidden = await _read(world, "csam")
    day = f"{world.clock.now():%Y-%m-%d}"
    page, cleared, _ = _browsers(world)
    world.later(days=1, hours=3)
    assert await Sealer(world.hub, SEAL, holder="r1").turn()
    shown = await page.get("audit")
    seal = next(iter(world.hub.store.docs["audit_seals"].values()))
    assert seal["root"] in shown
    holds = (await page.post("audit/seals", 200, day=day)).text
    assert "notice alarm" not in holds
    assert f"<bdi>{day}</bdi>" in holds
    world.hub.store.docs["audit"][f"{hidden.id}|00000001"]["what"] = "other"
    broken = (await page.post("audit/seals", 200, day=day)).text
    assert "notice alarm" in broken
    assert hidden.id not in broken
    assert hidden.id in (await cleared.post("audit/seals", 200, day=day)).text
    await page.post("audit/seals", 422, day="yesterday")
    unsealed = f"{world.clock.now():%Y-%m-%d}"
    assert "notice alarm" in (await page.post("audit/seals", 200, day=unsealed)).text


async def test_a_long_trail_shows_its_end_and_says_so(world: World) -> None:
    async def work(uow: object) -> None:
        for _ in range(120):
            await journal(uow, Stream.RULES, "rules-1", "look")  # type: ignore[arg-type]

    for _ in range(5):
        await world.hub.transact(work)
    trail = await Trails(world.hub, world.pack, None).of(AUD, Stream.RULES)
    assert (len(trail.rows), trail.earlier, trail.broken) == (500, True, None)
    assert trail.rows[0].seq == 600
    del world.hub.store.docs["audit"]["rules|00000400"]
    cut = await Trails(world.hub, world.pack, None).of(AUD, Stream.RULES)
    assert cut.broken is not None
    assert cut.broken.seq == 400


async def test_rows_before_the_first_must_be_over(world: World) -> None:
    case = await _read(world, "scam_fraud")
    del world.hub.store.docs["audit"][f"{case.id}|00000001"]
    trails = Trails(world.hub, world.pack, None)
    trail = await trails.of(AUD, case.id)
    assert trail.broken is not None
    world.clock.advance(timedelta(days=365 * 20))
    assert (await trails.of(AUD, case.id)).broken is None
