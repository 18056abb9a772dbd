# SPDX-License-Identifier: Apache-2.0
"""The whole desk over HTTP, API and pages, put together as bootstrap does it, on a memory store;
with people who have a token and a session, and one object of each kind to ask for.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

import httpx
from cases_kit import CLOSE, post
from desk import rooms
from fastapi import FastAPI
from triage_world import ANA, LEA, SUE, World, answers, said
from wasl_schemas.ids import uuid7
from wasl_triage.access import sessions
from wasl_triage.access.accounts import ACCOUNTS, Account, State
from wasl_triage.access.door import Access
from wasl_triage.access.passwords import Passwords
from wasl_triage.access.sessions import Lifetimes, Stage
from wasl_triage.api.cases import CaseRooms, add_case_routes
from wasl_triage.api.protection import add_protection_routes
from wasl_triage.api.quality import add_quality_routes
from wasl_triage.care.helpline import Opening
from wasl_triage.cases.appeals import Filing
from wasl_triage.cases.opinions import Inquiry
from wasl_triage.cases.working import Note, Owner, Plan, Skip
from wasl_triage.console.pages import Console
from wasl_triage.domain.appeal import Side
from wasl_triage.domain.people import Person, Role
from wasl_triage.http import create_app
from wasl_triage.protection.holds import HoldRequest
from wasl_triage.protection.subject_requests import Kind, Registration
from wasl_triage.quality.kept import GOLDEN, REVIEWS, Golden, Review
from wasl_triage.settings import Staff

BASE = "https://desk.test"
#: Cleared people who furnish a case.
DEE = Person(name="officer-1", roles=frozenset({Role.DATA_OFFICER, Role.CHILD_SAFETY}))
COU = Person(name="counsellor-1", roles=frozenset({Role.COUNSELLOR}))


def token(person: Person) -> str:
    return f"token-of-{person.name}"


class Whole:
    """``people`` have a token; a session is begun with :meth:`browser`."""

    def __init__(self, world: World, people: Iterable[Person], public: str = BASE) -> None:
        self.world, self.public = world, public
        pack, hub = world.pack, world.hub
        members = [
            {
                "name": p.name,
                "sha256": hashlib.sha256(token(p).encode()).hexdigest(),
                "roles": sorted(p.roles),
                "queues": sorted(p.queues),
            }
            for p in people
        ]
        self.access = Access(
            hub,
            Passwords(memory_kib=64, passes=1),
            code_version=pack.desk.code_version,
            secure=public.startswith("https://"),
            rate=1000,
        )
        self.rooms = given = rooms(world)
        console = Console(pack, hub.clock, self.access, given, public_url=public)
        self.app: FastAPI = create_app(
            world.desk,
            pack,
            Staff.parse(json.dumps(members)),
            hub.metrics,
            hub.clock,
            api=(
                lambda app, at: add_case_routes(app, given.cases, pack, at),
                lambda app, at: add_protection_routes(app, given.protection, at),
                lambda app, at: add_quality_routes(app, given.quality, pack, at),
            ),
            rooms=(console.register,),
            public=public,
        )
        self.site = console.site

    def client(self, **headers: str) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app), base_url=self.public, headers=headers
        )

    def api(self, person: Person) -> httpx.AsyncClient:
        return self.client(authorization=f"Bearer {token(person)}")

    async def browser(self, person: Person, *, accepted: bool = True) -> "Browser":
        """Somebody who just signed in, as :class:`Access` leaves them."""
        uow = self.world.hub.unit()
        held = await uow.get(ACCOUNTS, person.name)
        account = held or Account(
            name=person.name,
            roles=person.roles,
            queues=person.queues,
            language="fr",
            state=State.ACTIVE,
            created_at=uow.now(),
            created_by="operator:x",
            code_version=self.world.pack.desk.code_version if accepted else None,
        )
        uow.put(ACCOUNTS, account)
        word = sessions.start(uow, account, Stage.FULL, Lifetimes(), federated=False)
        await self.world.hub.commit(uow)
        return Browser(self, word)


class Browser:
    """One session in one browser; nothing is followed by itself."""

    def __init__(self, whole: Whole, word: str) -> None:
        self.word, self.csrf = word, sessions.csrf(word)
        self.http = whole.client(**{"sec-fetch-site": "same-origin"})
        self.http.cookies.set(whole.access._cookie.name, word)

    async def get(self, path: str) -> httpx.Response:
        return await self.http.get(path)

    async def send(self, path: str, **fields: Any) -> httpx.Response:
        return await self.http.post(path, data={"csrf": self.csrf, **fields})

    async def ask(self, method: str, path: str, **fields: Any) -> httpx.Response:
        return await (self.get(path) if method == "GET" else self.send(path, **fields))


async def furnish(whole: Whole, n: int, category: str, words: str) -> dict[str, str]:
    """A closed case with everything a case may have, ``words`` in every free text. Returns an id
    for each parameter of a path.
    """
    world, cases = whole.world, whole.rooms.cases
    ids = await _worked(world, cases, n, category, words)
    case_id, now = ids["case_id"], world.clock.now()
    until = now + timedelta(days=9)
    wanted = HoldRequest(body="court-rabat", reason=words, until=until)
    ids["hold_id"] = (await whole.rooms.protection.holds.set(SUE, case_id, wanted)).hold_id
    uow = world.hub.unit()
    case = world.case(case_id)
    ids["golden_id"], ids["review_id"] = uuid7(), uuid7()
    uow.put(
        GOLDEN,
        Golden(
            id=ids["golden_id"],
            case_id=case_id,
            expected=category,
            note=await uow.keys.seal(case_id, "desk.note", words),
            by=SUE.name,
            at=now,
        ),
    )
    uow.put(
        REVIEWS,
        Review(
            id=ids["review_id"],
            case_id=case_id,
            category=category,
            safeguard=world.pack.categories[category].expression_safeguard.value,
            action="close",
            month=f"{now:%Y-%m}",
            at=now,
        ),
    )
    await world.hub.commit(uow)
    asked = Registration(
        kind=Kind.ACCESS, channel="letter", received_at=now, identity="A. Person", text="Mine?",
        case_id=case_id, report_id=case.recent[0],
    )  # fmt: skip
    ids["request_id"] = (await whole.rooms.protection.subjects.register(DEE, asked)).request_id
    opening = Opening(channel="phone", about="self", language="fr", summary="Somebody called.")
    helped = await whole.rooms.helpline.open(COU, opening)
    ids["helpline_id"] = helped.id
    ids["form_id"] = uuid7()  # of a form that nobody kept
    return ids


async def _worked(
    world: World, cases: CaseRooms, n: int, category: str, words: str
) -> dict[str, str]:
    """What analysts leave behind."""
    facts = {"category": category, "consent_partner": True, "text": words}
    report_id = await world.arrives(post(n), **facts)
    await world.arrives(post(n), **facts)
    await world.arrives(post(n + 1), **facts)
    case_id, other = world.case_id(post(n)), world.case_id(post(n + 1))
    desk, working = world.desk, cases.working
    await desk.claim(ANA, case_id)
    merged = await cases.grouping.merge(ANA, case_id, [other], words)
    await desk.assess(ANA, case_id, said(world.pack, category))
    await working.note(ANA, case_id, Note(text=words))
    await working.plan(
        ANA, case_id, Plan(text=words, next_at=world.clock.now() + timedelta(days=3))
    )
    await working.assign(SUE, case_id, Owner(owner=ANA.name))
    asked = await cases.opinions.ask(ANA, case_id, Inquiry(body="legal", question=words))
    elsewhere = await cases.opinions.ask(ANA, case_id, Inquiry(body="macert", question=words))
    decided = await desk.decide(ANA, case_id, CLOSE.model_copy(update={"reason": words}))
    decision_id = decided.decisions[-1].id
    filing = Filing(decision_id=decision_id, side=Side.AFFECTED, grounds=words)
    appeal = await cases.appeals.register(LEA, case_id, filing)
    await working.skip(ANA, case_id, Skip())
    return {
        "case_id": case_id,
        "other_id": other,
        "report_id": report_id,
        "decision_id": decision_id,
        "operation_id": merged.id,
        "opinion_id": asked.id,
        "elsewhere_id": elsewhere.id,
        "appeal_id": appeal.id,
        "dispatch_id": uuid7(),
        "queue": "general",
        "category": category,
        "name": "somebody",
    }


def unknown(ids: Mapping[str, str]) -> dict[str, str]:
    """Ids of the same form that nothing has."""
    fresh = {
        k: ("0" * 31 + str(n % 10)) if len(v) == 32 else uuid7()
        for n, (k, v) in enumerate(ids.items())
    }
    return {**fresh, **{k: ids[k] for k in ("queue", "category", "name")}}


def path_of(route: str, ids: Mapping[str, str]) -> str:
    """The path of a route with the ids in their places."""
    known = dict(ids)
    if "/helpline/" in route:
        known["case_id"] = ids["helpline_id"]
    return route.format_map(known)


def body_of(route: str, world: World, ids: Mapping[str, str]) -> dict[str, Any] | None:
    """A body that is valid in itself, so that nothing but the role stands in the way."""
    category = ids["category"]
    judged = {"category": category, "answers": answers(world.pack, category)}
    until = (world.clock.now() + timedelta(days=9)).isoformat()
    said = {"reason": "Seen."}
    selection = {"ids": [ids["case_id"]]}
    step = {"selection": selection, "action": "note"}
    method, _, path = route.partition(" ")
    if method in ("GET", "DELETE"):
        return None
    bodies: dict[str, dict[str, Any]] = {
        "claim": {}, "release": {}, "assessment": judged, "group/assessment": {},
        "decision": {"action": "close", "reason": "Seen.", "close_reason": "no_ground"},
        "group/decision": {}, "confirmation": {"decision_id": ids["decision_id"], "confirm": True},
        "amendment": {"action": "insist", "reason": "x"},
        "messages": {"report_id": ids["report_id"], "text": "x"}, "reopening": said,
        "merge": {"cases": [ids["other_id"]], **said}, "parting": said,
        "split": {"reports": [ids["report_id"]], **said}, "undo": {}, "owner": {"owner": None},
        "plan": {"text": "x"}, "notes": {"text": "x"}, "skip": {},
        "move": {"queue": "general", **said},
        "appeals": {"decision_id": ids["decision_id"], "side": "affected", "grounds": "x"},
        "opinions": {"body": "legal", "question": "x"},
        "holds": {"body": "court-rabat", "reason": "x", "until": until}, "lifting": said,
        "redaction": {"report_id": ids["report_id"], "pieces": [{"start": 0, "end": 2}]},
        "subject-requests": {
            "kind": "access", "channel": "letter", "received_at": world.clock.now().isoformat(),
            "identity": "x", "text": "x",
        },
        "steps": {"state": "in_work"}, "golden": {"expected": category, "note": "x"},
        "retirement": {}, "preview": step, "bulk": {"request": step, "token": "x", **said},
    }  # fmt: skip
    if path.endswith("/answer"):
        kind = path.split("/")[-3]
        answered: dict[str, dict[str, Any]] = {
            "appeals": {"outcome": "upheld", **said},
            "opinions": {"text": "x", "author": "y", "on": "2026-01-01"},
            "golden": {"category": category},
            "reviews": {"agree": True},
        }
        return answered[kind]  # fmt: skip
    for end in ("group/assessment", "group/decision"):
        if path.endswith(end):
            return bodies[end]
    return bodies[path.rpartition("/")[2]]


def called(word: str, ids: Mapping[str, str]) -> tuple[str, str]:
    """Method and path of a row of the table."""
    method, _, path = word.partition(" ")
    path = path_of(path, ids)
    if path.startswith("/api/v1/agreement"):
        path += f"{'&' if '?' in path else '?'}since=2026-01-01"
    return method, path
