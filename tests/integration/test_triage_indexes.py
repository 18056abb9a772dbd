# SPDX-License-Identifier: Apache-2.0
"""Every question triage asks the database is answered by an index: ``explain`` says so.

The use cases run once on a real server and what they ask is written down with who asked; then the
collections are filled with history and each question is explained. A place in the code that asks
and was not reached fails the test, so that no question is left out unseen.
"""

import ast
import random
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import triage_world
from cases_kit import CLOSE, PIA, SUE, UNA, post, rooms, said
from desk import rooms as console_rooms
from kit import unique
from pymongo import MongoClient
from triage_world import ANA, BEA, PEPPER, World
from wasl_chassis.failures import KeyDestroyed
from wasl_chassis.mongo import MongoStore
from wasl_chassis.store import Collection, Index
from wasl_chassis.vault import KEYS
from wasl_connector_sdk.signing import Keys
from wasl_schemas.country_pack import CountryPack, load_country_pack
from wasl_schemas.events.common import Severity
from wasl_triage.api.protection import ProtectionRooms
from wasl_triage.api.quality import QualityRooms
from wasl_triage.audit.reading import Trails
from wasl_triage.audit.sealing import Checker, Sealer, public, signing_key
from wasl_triage.bootstrap import COLLECTIONS
from wasl_triage.care.helpline import Helpline
from wasl_triage.care.paging import Pager
from wasl_triage.cases.bulk import BulkAction, BulkRequest, Selection
from wasl_triage.cases.searching import FILTERS
from wasl_triage.cases.turnout import Turnouts
from wasl_triage.desk import Refused
from wasl_triage.domain.case import Case
from wasl_triage.domain.people import Person, Role
from wasl_triage.protection.holds import HoldRequest, LiftRequest, keep_original
from wasl_triage.protection.reading import Protected
from wasl_triage.protection.retention import Retention
from wasl_triage.protection.wiring import dependents
from wasl_triage.quality.agreeing import Agreements
from wasl_triage.quality.figures import Figures
from wasl_triage.quality.golden import GoldenRequest
from wasl_triage.repository import CASES, REPORTS
from wasl_triage.rules.backtest import backtest
from wasl_triage.rules.book import RuleBook
from wasl_triage.rules.engine import RuleSet
from wasl_triage.rules.memory import would_have
from wasl_triage.rules.reading import history, hits

pytestmark = pytest.mark.integration
ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "services/triage/src/wasl_triage"
PACK = ROOT / "deploy/country-packs/ma"
#: Documents of a collection when its questions are explained.
MANY = 3_000
#: Looked at for one that is shown, and beside; see the brief of issue 5.
PER_SHOWN, BESIDE = 20, 100
DONA = Person(name="officer-1", roles=frozenset({Role.DATA_OFFICER, Role.CHILD_SAFETY}))
HELEN = Person(name="counsellor-1", roles=frozenset({Role.COUNSELLOR}))
IRIS = Person(name="reviewer-1", roles=frozenset({Role.INDEPENDENT_REVIEWER}))
OLE = Person(name="auditor-1", roles=frozenset({Role.AUDITOR}))
#: Places that read a whole collection on purpose, and why that is right.
WHOLE = {
    "audit.sealing.Checker._check_ends": "a check by an operator reads every stream's head",
    "rules.operating.show_history": "every set of rules that was served, some dozens",
    "cases.bulk.Bulk._select": "a bank's cases are looked for among those that are not settled",
    "access.door.Access.everybody": "the list of the desk's people, some dozens",
    "access.commands.list_": "the same list, for an operator",
}
#: Places an operator's command or a sign-in reaches; what they ask, as the code there says it.
BY_HAND: Mapping[str, tuple[str, Mapping[str, Any], Sequence[tuple[str, int]], int]] = {
    "access.door.Access.everybody": ("accounts", {}, (("_id", 1),), 0),
    "access.commands.list_": ("accounts", {}, (("_id", 1),), 0),
    "access.door.Access.sessions_of": ("sessions", {"name": "x"}, (("started_at", -1),), 0),
    "access.commands.sessions": ("sessions", {"name": "x"}, (("started_at", 1),), 0),
    "rules.operating.show_history": ("rulesets", {}, (("version", -1),), 200),
    "console.practice.PracticePages._case": ("golden", {"case_id": "x"}, (), 0),
    "rules.operating._served": ("rulesets", {"pack": "ma"}, (("version", -1),), 1),
}


@dataclass(frozen=True)
class Question:
    site: str
    kind: str
    collection: str
    where: Mapping[str, Any]
    sort: tuple[tuple[str, int], ...] = ()
    limit: int = 0

    def __str__(self) -> str:
        return f"{self.site}: {self.kind} {self.collection} {dict(self.where)} {list(self.sort)}"


class Listening:
    """A store that writes down what is asked of it, and by whom."""

    def __init__(self, store: MongoStore) -> None:
        self._store = store
        self.asked: list[Question] = []
        #: The memory store's, which the world looks at.
        self.inbox: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def find(
        self,
        collection: Collection[Any],
        where: Mapping[str, Any],
        *,
        sort: Sequence[tuple[str, int]] = (),
        limit: int = 0,
    ) -> Any:
        self._note("find", collection, where, tuple(sort), limit)
        return self._store.find(collection, where, sort=sort, limit=limit)

    def count(self, collection: Collection[Any], where: Mapping[str, Any]) -> Any:
        self._note("count", collection, where)
        return self._store.count(collection, where)

    def claim(self, collection: Collection[Any], where: Mapping[str, Any], **how: Any) -> Any:
        now = how["now"]
        free = {**where, "due_at": {"$lte": now}, "lease_until": {"$not": {"$gt": now}}}
        self._note("find", collection, free, (("due_at", 1),), how["limit"])
        return self._store.claim(collection, where, **how)

    def _note(self, kind: str, collection: Collection[Any], *asked: Any) -> None:
        frame = sys._getframe(2)
        module = frame.f_globals["__name__"].removeprefix("wasl_triage.")
        site = f"{module}.{frame.f_code.co_qualname}"
        self.asked.append(Question(site, kind, collection.name, *asked))


def places() -> Iterator[str]:
    """Every place in triage's code that asks a store for more than ids."""
    for path in sorted(SOURCE.rglob("*.py")):
        module = ".".join(path.relative_to(SOURCE).with_suffix("").parts)
        yield from (f"{module}.{name}" for name in _asking(ast.parse(path.read_text()), ()))


def _asking(node: ast.AST, inside: tuple[str, ...]) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            yield from _asking(child, (*inside, child.name))
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _asking(child, (*inside, child.name, "<locals>"))
        else:
            if isinstance(child, ast.Call) and isinstance(child.func, ast.Attribute):
                of = child.func.value
                name = of.attr if isinstance(of, ast.Attribute) else getattr(of, "id", "")
                verb = child.func.attr
                if name in ("store", "_store") and verb in ("find", "count", "claim"):
                    yield ".".join(inside[:-1])
            yield from _asking(child, inside)


# -- asking ----------------------------------------------------------------------------------------


@pytest.fixture
async def listening(mongo_uri: str) -> AsyncIterator[tuple[Listening, Any]]:
    database = f"t{unique()}"
    store = MongoStore(mongo_uri, database=database, vault_database=f"t{unique()}")
    await store.prepare([*COLLECTIONS, KEYS])
    client: MongoClient[dict[str, Any]] = MongoClient(
        mongo_uri, datetime_conversion="DATETIME_AUTO"
    )
    try:
        yield Listening(store), client[database]
    finally:
        client.drop_database(database)
        client.close()
        await store.close()


async def _ask(world: World, pack: CountryPack) -> None:
    """Each use case that asks for more than ids, once; what they find does not matter here."""
    hub, desk, store = world.hub, world.desk, world.hub.store
    for n in range(6):
        where = post(n) if n % 2 else f"https://shop{n}.example.org/a"
        text = "The same words again and again, about a parcel that never came to anybody here."
        await world.arrives(where, category="scam_fraud", text=text, consent_partner=True)
    await world.arrives("https://example.net/b", category="csam")
    case_id, other, third = (world.case_id(post(n)) for n in (1, 3, 5))
    for person in (ANA, UNA, PIA):
        await desk.queue(person, 50)
        await desk.queue(person, 50, "fraud" if person is not PIA else "privacy")
        await desk.pulse(person)
        await desk.waiting(person)
    await desk.claim(ANA, case_id)
    await desk.read(ANA, case_id)
    await _search(world)
    await _cases(world, case_id, other)
    await _quality(world, pack, third)
    await desk.wellbeing.workload()
    await Turnouts(hub).of("hub-fr")
    await Figures(hub, pack).read(OLE, "2026-01")
    await world.handlers.watch()
    await world.handlers.gauge()
    helpline = Helpline(hub, pack)
    await helpline.waiting(HELEN)
    await would_have(store, case_id)
    await hits(hub)
    await history(store, pack)
    book = RuleBook(PACK / "rules.toml", pack, hub)
    await book.watch()
    await book._latest(below=2**31)
    own = RuleSet.compile(pack)
    await backtest(store, pack, own, own, since=world.clock.now(), limit=1000)
    http = httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(503)))
    keys = Keys.model_validate({"secret": "whsec_" + "a2tra2tra2tra2tra2tra2tra2tra2tr"})
    await Pager(hub, "https://duty.test/page", keys, http).turn()
    await _protection(world, pack, case_id)


async def _search(world: World) -> None:
    searching = console_rooms(world).searching
    values = {
        "queue": "fraud", "category": "scam_fraud", "severity": "low", "state": "open",
        "platform": "facebook", "campaign": "c00", "owner": "analyst-1",
    }  # fmt: skip
    assert set(values) == set(FILTERS)
    await searching.matching(ANA, {})
    for name, value in values.items():
        for person in (ANA, UNA):
            await searching.matching(person, {name: value})
            await searching.matching(person, {name: value}, world.clock.now())


async def _cases(world: World, case_id: str, other: str) -> None:
    room = rooms(world)
    await room.timelines.of(ANA, case_id)
    await room.working.skips(SUE, world.clock.now() - timedelta(days=30))
    await room.working.watch()
    await room.appeals.open(ANA)
    await room.opinions.waiting(PIA)
    await room.opinions.waiting(ANA)
    for wanted in (
        Selection(ids=(case_id, other)),
        Selection(queue="fraud"),
        Selection(category="scam_fraud"),
        Selection(platform="facebook"),
        Selection(severity=Severity.LOW),
        Selection(campaign="c00"),
        Selection(bank="local"),
    ):
        for person in (SUE, UNA.model_copy(update={"roles": frozenset({Role.SUPERVISOR})})):
            request = BulkRequest(selection=wanted, action=BulkAction.NOTE)
            await room.bulk.preview(person, request)


async def _quality(world: World, pack: CountryPack, case_id: str) -> None:
    hub, desk = world.hub, world.desk
    quality = QualityRooms.of(hub, pack, desk)
    await Agreements(hub).own(ANA, world.clock.now() - timedelta(days=90))
    await quality.reviews.waiting(IRIS)
    await desk.claim(BEA, case_id)
    await desk.assess(BEA, case_id, said(pack, "scam_fraud"))
    await desk.decide(BEA, case_id, CLOSE)
    with suppress(Refused):
        await quality.golden.mark(SUE, case_id, GoldenRequest(expected="scam_fraud", note="x"))
    await quality.golden.exercises(ANA)
    await quality.golden.own(ANA)


async def _protection(world: World, pack: CountryPack, case_id: str) -> None:
    hub, desk = world.hub, world.desk
    room = ProtectionRooms.of(hub, pack, desk)
    until = world.clock.now() + timedelta(days=30)
    wanted = HoldRequest(body="prosecutor", reason="A letter.", until=until)
    hold = await room.holds.set(SUE, case_id, wanted)
    await room.holds.of(SUE, case_id)
    await room.holds.gauge()
    uow = hub.unit()
    docs = await hub.store.read(REPORTS, [])
    assert not docs
    report = next(iter([REPORTS.decode(d) for d in await _reports(hub.store, case_id)]))
    await keep_original(hub, uow, report, "text")
    await hub.commit(uow)
    await room.holds.lift(SUE, hold.hold_id, LiftRequest(reason="Over."))
    await room.holds.lift(DONA, hold.hold_id, LiftRequest(reason="Over."))
    await room.subjects.waiting(DONA)
    await room.subjects.tidy()
    private = signing_key(PEPPER, derived=True)
    known = frozenset({public(private)})
    assert await Checker(hub.store, known).run() == []
    world.later(days=2)
    sealer = Sealer(hub, private, holder="a")
    while await sealer.turn():
        pass
    assert await Checker(hub.store, known).run() == []
    retention = Retention(hub, pack, holder="a", mode="on", **dependents())
    await retention.gauge()
    protected = Protected(hub, pack, desk, room.holds, retention)
    await protected.standing(SUE)
    await protected.of(SUE, case_id)
    trails = Trails(hub, pack, None)
    await trails.of(SUE, case_id)
    await trails.by(OLE, ANA.name, world.clock.now().date())
    await trails.seals(OLE)
    world.later(days=3000)
    assert [line async for line in retention.plan()]
    with suppress(KeyDestroyed):
        for _ in range(5):
            if not (await retention.turn()).more:
                break


async def _reports(store: Listening, case_id: str) -> list[dict[str, Any]]:
    return await store._store.find(REPORTS, {"cases": case_id})


# -- history ---------------------------------------------------------------------------------------


def _case(rng: random.Random, pack: CountryPack, n: int, now: datetime) -> dict[str, Any]:
    """One of thousands: most are over, a few wait, and what is rare is rare."""
    opened = now - timedelta(minutes=rng.randrange(1, 2_000_000))
    category = rng.choice(sorted(pack.categories))
    case = Case(
        id=f"{n:032x}", platform=rng.choice(("facebook", "web", "x", "tiktok")), kind="post",
        item="sealed", language="ar", opened_at=opened, round_at=opened, first_look_due=opened,
        category=category,
    )  # fmt: skip
    doc = CASES.encode(case)
    queued = rng.random() < 0.2
    doc |= {
        "_id": case.id, "_rev": 1, "queued": queued, "restricted": category == "csam",
        "rank": rng.choice((0, 1, 2, 2, 2)) if queued else 2,
        "queue": rng.choice(sorted(pack.queues)), "queue_due": opened if queued else None,
        "state": rng.choice(("open", "in_progress")) if queued else "resolved",
        "severity": rng.choice(("critical", "high", "medium", "low")),
        "look_pending": queued and rng.random() < 0.5, "overdue": rng.random() < 0.5,
        "campaign": f"c{n % 70:02d}" if n % 9 == 0 else None,
        "owner": f"analyst-{n % 20}" if n % 13 == 0 else None,
        "confirm_due": opened if n % 150 == 0 else None, "confirm_overdue": n % 2 == 0,
        "resend_at": opened if n % 170 == 0 else None, "next_at": opened if n % 190 == 0 else None,
        "erase_at": None if queued else opened + timedelta(days=700), "held": n % 400 == 0,
    }  # fmt: skip
    return doc


Row = Callable[[random.Random, int, datetime], dict[str, Any]]


def _rows(pack: CountryPack) -> dict[str, Row]:
    """Of each collection the fields that are asked for, as they are when most of it is over."""
    queues = sorted(pack.queues)

    def ago(rng: random.Random, now: datetime) -> datetime:
        return now - timedelta(minutes=rng.randrange(1, 2_000_000))

    far = datetime(2090, 1, 1, tzinfo=UTC)  # where a clock of the server forgets rows by itself
    return {
        "cases": lambda r, n, now: _case(r, pack, n, now),
        "reports": lambda r, n, now: {
            "received_at": ago(r, now), "cases": [f"{n:032x}"] if n % 50 else [],
        },
        "messages": lambda r, n, now: {"report_id": f"r{n}", "sent_at": ago(r, now)},
        "audit": lambda r, n, now: {"at": ago(r, now), "who": f"p{n % 20}", "stream": f"s{n}"},
        "helpline_contacts": lambda r, n, now: {"_id": f"{1990 + n // 300}-{n % 300:03d}"},
        "audit_heads": lambda r, n, now: {"at": ago(r, now)},
        "audit_seals": lambda r, n, now: {"_id": f"{1990 + n // 300}-{n % 300:03d}"},
        "sketches": lambda r, n, now: {
            "bands": [r.randbytes(4).hex() for _ in range(4)], "at": far + timedelta(minutes=n),
        },
        "appeals": lambda r, n, now: {
            "case_id": f"{n:032x}", "at": ago(r, now), "due": ago(r, now),
            "state": "open" if n % 60 == 0 else "answered",
        },
        "opinions": lambda r, n, now: {
            "case_id": f"{n:032x}", "at": ago(r, now), "due": ago(r, now), "open": n % 60 == 0,
            "queue": r.choice(queues) if n % 3 else None,
        },
        "notes": lambda r, n, now: {"case_id": f"{n // 3:032x}", "at": ago(r, now)},
        "skips": lambda r, n, now: {
            "case_id": f"{n:032x}", "at": ago(r, now), "queue": r.choice(queues), "restricted": False,
        },
        "operations": lambda r, n, now: {"cases": [f"{n:032x}", f"{n + 1:032x}"], "at": ago(r, now)},
        "helpline": lambda r, n, now: {
            "state": "open" if n % 40 == 0 else "closed", "opened_at": ago(r, now), "linked": [],
        },
        "pages": lambda r, n, now: {
            "due_at": ago(r, now) if n % 90 == 0 else None, "at": far, "lease_until": None,
        },
        "holds": lambda r, n, now: {
            "case_id": f"{n:032x}", "since": ago(r, now), "until": ago(r, now),
            "lifted_at": None if n % 30 == 0 else ago(r, now),
        },
        "originals": lambda r, n, now: {"hold_id": f"h{n}", "report_id": f"r{n}"},
        "subject_requests": lambda r, n, now: {
            "state": "received" if n % 30 == 0 else "closed", "due": ago(r, now),
            "received_at": ago(r, now), "closed_at": None if n % 30 == 0 else ago(r, now),
            "identity": "sealed" if n % 40 == 0 else None,
        },
        "agreements": lambda r, n, now: {"at": ago(r, now)},
        "reviews": lambda r, n, now: {
            "state": "waiting" if n % 40 == 0 else "agreed", "at": ago(r, now), "month": "2026-01",
        },
        "golden": lambda r, n, now: {
            "active": n % 40 == 0, "at": ago(r, now), "case_id": f"{n:032x}",
        },
        "golden_answers": lambda r, n, now: {"by": f"p{n % 20}", "at": ago(r, now)},
        "exposure": lambda r, n, now: {"day": ago(r, now).date().isoformat(), "person": f"p{n}"},
        "rulesets": lambda r, n, now: {"pack": f"pack{n % 10}", "version": n},
        "rule_hits": lambda r, n, now: {"case_id": f"{n:032x}", "at": far},
        "accounts": lambda r, n, now: {"name": f"p{n}"},
        "sessions": lambda r, n, now: {"name": f"p{n % 50}", "started_at": now, "ends_at": far},
    }  # fmt: skip


def fill(database: Any, pack: CountryPack, names: set[str], now: datetime) -> None:
    makers, rng = _rows(pack), random.Random(5)
    assert names <= {*makers, "audit_ends"}, f"say in _rows what {names - set(makers)} look like"
    for name in sorted(names & set(makers)):
        docs = [{"_id": f"z{n:06d}", **makers[name](rng, n, now)} for n in range(MANY)]
        database[name].insert_many(docs, ordered=False)


# -- explaining ------------------------------------------------------------------------------------


def explain(database: Any, question: Question) -> dict[str, Any]:
    command: dict[str, Any]
    if question.kind == "count":  # what the driver makes of it
        pipeline = [{"$match": dict(question.where)}, {"$group": {"_id": 1, "n": {"$sum": 1}}}]
        command = {"aggregate": question.collection, "pipeline": pipeline, "cursor": {}}
    else:
        command = {"find": question.collection, "filter": dict(question.where)}
        if question.sort:
            command["sort"] = dict(question.sort)
        if question.limit:
            command["limit"] = question.limit
    told: dict[str, Any] = database.command(
        "explain", command, verbosity="executionStats", codec_options=database.codec_options
    )
    return told


def _inside(told: Any) -> Iterator[dict[str, Any]]:
    if isinstance(told, dict):
        yield told
        for value in told.values():
            yield from _inside(value)
    elif isinstance(told, list):
        for value in told:
            yield from _inside(value)


def wrong(question: Question, told: dict[str, Any]) -> str | None:
    """Why the answer is not good enough; None: it is."""
    plans = [part for part in _inside(told) if "executionStats" in part]
    stats = plans[0]["executionStats"]
    stages = {part.get("stage") for part in _inside(stats)}
    if "COLLSCAN" in stages:
        return "reads the whole collection"
    looked, shown = stats["totalDocsExamined"], stats["nReturned"]
    if question.limit and looked > PER_SHOWN * shown + BESIDE:
        return f"looks at {looked} documents for {shown}"
    if question.kind == "count" and looked > BESIDE:
        return f"opens {looked} documents to count"
    return None


async def test_every_question_is_answered_by_an_index(
    listening: tuple[Listening, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, database = listening
    monkeypatch.setattr(triage_world, "MemoryStore", lambda: store)
    pack = load_country_pack(PACK)
    world = World(pack)
    await _ask(world, pack)
    asked = [q for q in store.asked if not q.site.startswith("test")]
    asked += [Question(site, "find", *what) for site, what in BY_HAND.items()]
    fill(database, pack, {q.collection for q in asked}, world.clock.now())
    problems = {
        str(question): why
        for question in asked
        if question.site not in WHOLE and (why := wrong(question, explain(database, question)))
    }
    assert not problems, "\n".join(f"{why}: {told}" for told, why in problems.items())
    missed = set(places()) - {q.site for q in asked}
    assert not missed, f"these ask the database and were not reached; see _ask: {sorted(missed)}"


async def test_a_question_without_an_index_is_found(listening: tuple[Listening, Any]) -> None:
    _, database = listening
    docs = [{"_id": str(n), "colour": "red", "n": n} for n in range(MANY)]
    database["things"].insert_many(docs)
    question = Question("here", "find", "things", {"colour": "red", "n": 7}, (("n", 1),), 5)
    assert wrong(question, explain(database, question)) == "reads the whole collection"
    index = Index((("colour", 1),))
    database["things"].create_index(list(index.keys), name=index.name)
    assert wrong(question, explain(database, question)) == f"looks at {MANY} documents for 1"
    database["things"].create_index([("colour", 1), ("n", 1)])
    assert wrong(question, explain(database, question)) is None


def test_what_is_excused_exists() -> None:
    assert {*WHOLE, *BY_HAND} <= set(places())
