# SPDX-License-Identifier: Apache-2.0
"""The desk's pages as somebody sees them, over the real application on a memory store."""

import hashlib
import html
import re
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from fastapi import FastAPI, Request
from triage_world import ANA, BEA, LEA, PEPPER, SUE, World
from wasl_schemas.rules import RULES_FILE
from wasl_triage.api.cases import CaseRooms
from wasl_triage.api.protection import ProtectionRooms
from wasl_triage.api.quality import QualityRooms
from wasl_triage.audit import sealing
from wasl_triage.care.helpline import Helpline
from wasl_triage.care.telephone import Telephone
from wasl_triage.cases.searching import Searching
from wasl_triage.console import pages
from wasl_triage.domain.people import Permission, Person
from wasl_triage.http import create_app
from wasl_triage.rules.book import RuleBook
from wasl_triage.settings import Staff

BASE = "http://desk.test"
#: Signs days of the audit trail.
SEAL = sealing.signing_key(hashlib.sha256(b"seals in tests").digest(), derived=False)
PACK = Path(__file__).parents[2] / "deploy" / "country-packs" / "ma"
#: Nobody's token: the pages are tested with people who are signed in already.
NOBODY = f'[{{"name": "nobody", "sha256": "{0:064d}", "roles": ["observer"]}}]'


@dataclass
class Signed:
    person: Person
    lang: str = "fr"
    csrf: str = "form-key"
    accepted: bool = True


@dataclass
class Door:
    """Whoever the header names is signed in; see Browser."""

    people: dict[str, Signed] = field(default_factory=dict)

    async def signed_in(self, request: Request) -> Signed | None:
        return self.people.get(request.headers.get("x-test-person", ""))

    async def touch(self, signed: Signed) -> None:
        """These sessions never end."""

    def fresh(self, signed: Signed, permission: Permission, *, restricted: bool = False) -> bool:
        return True


def rooms(world: World, telephone: httpx.AsyncClient | None = None) -> pages.Rooms:
    """The use cases of the console on the world's store."""
    return pages.Rooms(
        desk=world.desk,
        searching=Searching(world.hub, world.desk, world.deriver.case_of, PEPPER),
        helpline=Helpline(world.hub, world.pack),
        telephone=Telephone(telephone or httpx.AsyncClient(), "key" if telephone else ""),
        cases=CaseRooms.of(world.hub, world.pack, world.desk, world.requests, _named),
        protection=ProtectionRooms.of(world.hub, world.pack, world.desk),
        quality=QualityRooms.of(world.hub, world.pack, world.desk),
        book=RuleBook(PACK / RULES_FILE, world.pack, world.hub),
        audit_keys=frozenset({sealing.public(SEAL)}),
    )


async def _named(name: str) -> Person | None:
    return next((p for p in (ANA, BEA, LEA, SUE) if p.name == name), None)


def application(world: World, door: Door) -> FastAPI:
    """The pages of the console on the world's desk."""
    console = pages.Console(world.pack, world.hub.clock, door, rooms(world))
    return create_app(
        world.desk, world.pack, Staff.parse(NOBODY), world.hub.metrics, world.hub.clock,
        rooms=[console.register],
    )  # fmt: skip


class Browser:
    """One person with one browser, without script."""

    def __init__(self, app: FastAPI, door: Door, person: Person | None, lang: str = "fr") -> None:
        self.lang = lang
        headers = {"sec-fetch-site": "same-origin"}
        if person is not None:
            door.people[person.name] = Signed(person, lang)
            headers["x-test-person"] = person.name
        self._client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url=BASE, headers=headers
        )

    async def get(self, path: str, status: int = 200) -> str:
        answer = await self._client.get(f"/{self.lang}/{path}", follow_redirects=status == 200)
        assert answer.status_code == status, (path, answer.status_code, text_of(answer.text)[:400])
        return answer.text

    async def post(self, path: str, status: int = 303, **fields: str | list[str]) -> httpx.Response:
        answer = await self._client.post(
            f"/{self.lang}/{path}", data={"csrf": "form-key", **fields}
        )
        assert answer.status_code == status, (path, answer.status_code, text_of(answer.text)[:1500])
        return answer


def text_of(page: str) -> str:
    """What a person reads of a page."""
    plain = re.sub(r"<(script|style|dialog).*?</\1>", " ", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", plain))).strip()
