# SPDX-License-Identifier: Apache-2.0
"""Two countries' hubs: one hands the other what is hosted there, and learns what became of it.

Two whole hubs, each with its own broker, database, pack and secrets, as processes of this machine;
between them nothing but the peers' door. Left out is only what has no part in it.
"""

import asyncio
import json
import secrets
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from hub import Hub
from kit import until
from wasl_connector_sdk import signing
from wasl_local.stack import ANALYST, Role
from wasl_schemas.country_pack import load_country_pack

pytestmark = pytest.mark.integration

EXAMPLE = Path(__file__).resolve().parents[2] / "deploy" / "country-packs" / "example"
SECRET = "whsec_" + "c2VjcmV0LXBlZXItaHVi" * 3
KEYS = signing.Keys.model_validate({"secret": SECRET})
URL = "https://shop.example.xb/pay"
_PARTNER = """
[[partners]]
id = "{id}"
kind = "{kind}"
connector = "{connector}"
country = "{country}"
language = "en"
categories = ["scam"]
agreement = {{ basis = "none_recorded", confidence = "high" }}
title = {{ en = "{id}", ar = "مركز" }}
"""


def _pack(to: Path, own: str, peer: str, asks: list[str]) -> Path:
    """Exampleland as another country, with a hosting desk and with the other country's hub."""
    shutil.copytree(EXAMPLE, to)
    partners = [
        {"id": peer, "kind": "hub", "connector": "wasl_peer", "country": peer.upper()},
        {"id": "host-desk", "kind": "host", "connector": "reference", "country": own.upper()},
    ]
    told = "".join(_PARTNER.format(**p) for p in partners)
    for name, old, new in (
        ("pack.toml", 'id = "example"', f'id = "{own}"'),
        ("pack.toml", 'country = "XX"', f'country = "{own.upper()}"'),
        ("partners.toml", None, told),
        ("routing.toml", '["@platform"]', json.dumps(asks)),
    ):
        text = (to / name).read_text(encoding="utf-8")
        changed = text + new if old is None else text.replace(old, new, 1)
        assert changed != text
        (to / name).write_text(changed, encoding="utf-8")
    return to


class Country(Hub):
    """A hub of one country; ``roles``: its processes that have a part in this."""

    def __init__(self, folder: Path, own: str, peer: str, asks: list[str], roles: set[str]) -> None:
        self.own, self.peer, self._wanted = own, peer, roles
        peers = json.dumps({peer: {"secret": SECRET}})
        super().__init__(folder, {"WASL_INTAKE_PEERS": peers, "WASL_LOG_LEVEL": "WARNING"})
        changes = {"country_pack": _pack(folder / own, own, peer, asks)}
        self.settings = self.settings.model_copy(update=changes)
        assert load_country_pack(self.settings.country_pack).info.id == own

    def knows(self, url: str) -> None:
        """Where the other hub's intake is; before the start."""
        self.connectors = {
            "wasl_peer": {
                "live": True,
                "hub": self.own,
                "peers": {self.peer: {"url": url, "secret": SECRET}},
                "poll_seconds": [0.5],
            }
        }

    def _roles(self) -> list[Role]:
        return [role for role in super()._roles() if role.name in self._wanted]

    def ledger(self) -> list[dict[str, Any]]:
        with self.database() as client:
            return list(client["wasl_gateway"]["ledger"].find())

    async def report(self, **fields: Any) -> str:
        body = {"locations": [URL], "category": "scam", "language": "en", **fields}
        async with httpx.AsyncClient(trust_env=False) as http:
            answer = await http.post(f"{self.url('intake')}/api/v1/reports", json=body)
        return str(answer.raise_for_status().json()["receipt"])

    async def shown(self, receipt: str) -> dict[str, Any]:
        head = {"authorization": f"Receipt {receipt}"}
        async with httpx.AsyncClient(trust_env=False, headers=head) as http:
            answer = await http.get(f"{self.url('intake')}/api/v1/reports")
        return dict(answer.raise_for_status().json())

    async def desk(self, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        head = {"authorization": f"Bearer {self.token(ANALYST)}"}
        url = f"{self.url('triage')}/api/v1{path}"
        async with httpx.AsyncClient(trust_env=False, headers=head) as http:
            return await (http.get(url) if body is None else http.post(url, json=body))

    async def case(self) -> str:
        """The only case of the queue, once it is there; claimed and assessed."""
        waiting: list[str] = []

        async def queued() -> bool:
            listed = (await self.desk("/queue")).json()["cases"]
            waiting[:] = [c["case_id"] for c in listed]
            return bool(waiting)

        await until(queued, 60, 0.1)
        [case_id] = waiting
        (await self.desk(f"/cases/{case_id}/claim", {})).raise_for_status()
        said = {"category": "scam", "answers": {"found": "yes", "paid": "yes"}}
        (await self.desk(f"/cases/{case_id}/assessment", said)).raise_for_status()
        return case_id

    async def decide(self, case_id: str, partner: str) -> httpx.Response:
        decision = {
            "action": "dispatch",
            "ground": {"kind": "law", "ref": "xx.code.1"},
            "partners": [partner],
            "reason": "Asks for card numbers.",
            "explanation": "The page asks for card numbers.",
        }
        return await self.desk(f"/cases/{case_id}/decision", decision)

    async def hands_over(self, via: list[str]) -> httpx.Response:
        """The same item given to the peer's door past our own triage."""
        target = f"{self.own}/reports"
        body = json.dumps({
            "key": secrets.token_hex(16), "location": URL, "category": "scam", "severity": "low",
            "ground": {"kind": "law", "ref": "xx.code.1"}, "via": via,
            "requested_at": datetime.now(UTC).isoformat(),
        }).encode()  # fmt: skip
        signed = signing.addressed(self.peer, "POST", target, body)
        head = signing.headers(KEYS, "message-1", datetime.now(UTC), signed)
        head["content-type"] = "application/json"
        async with httpx.AsyncClient(trust_env=False) as http:
            url = self.connectors["wasl_peer"]["peers"][self.peer]["url"]
            return await http.post(f"{url}/api/v1/peers/{target}", content=body, headers=head)


@pytest.fixture
async def hubs(tmp_path: Path) -> AsyncIterator[tuple[Country, Country]]:
    a = Country(
        tmp_path / "a", "xa", "xb", ["@hosting-hub"], {"intake", "triage", "gateway-wasl_peer"}
    )
    b = Country(
        tmp_path / "b", "xb", "xa", ["host-desk", "xa"],
        {"intake", "triage", "gateway-reference", "partner-hotline"},
    )  # fmt: skip
    a.knows(b.url("intake"))
    b.knows(a.url("intake"))
    async with AsyncExitStack() as stack:
        started = await asyncio.gather(a.__aenter__(), b.__aenter__(), return_exceptions=True)
        for hub, how in zip((a, b), started, strict=True):
            if not isinstance(how, BaseException):
                stack.push_async_exit(hub)
        for how in started:
            if isinstance(how, BaseException):
                raise how
        yield a, b


async def test_a_case_is_assigned_by_hosting_country_and_never_comes_back(
    hubs: tuple[Country, Country],
) -> None:
    a, b = hubs
    word = f"canary{secrets.token_hex(6)}"
    receipt = await a.report(narrative=f"Somebody told me about it. {word}")

    # The analyst of A is offered the hub of the country that hosts the page, and asks it.
    case_a = await a.case()
    sheet = (await a.desk(f"/cases/{case_a}")).json()
    assert (sheet["item"]["hosted"], sheet["options"]["partners"]) == ("XB", ["xb"])
    assert (await a.decide(case_a, "xb")).status_code == 200

    # There it is a case like any other; somebody else's report of the page joins it.
    case_b = await b.case()
    mine = await b.report(narrative="I saw this page.")

    async def joined() -> bool:
        return b.count("triage", "reports") == 2

    await until(joined, 30, 0.1)
    assert b.count("triage", "cases") == 1
    [handed] = [d for d in b.docs("intake", "reports").values() if d["channel"] == "partner"]
    assert (handed["via"], handed["contact_address"]) == (["xa"], None)
    sheet = (await b.desk(f"/cases/{case_b}?unredacted=true")).json()
    assert sorted(r["via"] for r in sheet["reports"]) == [[], ["xa"]]
    shown = json.dumps(sheet)
    assert "The page asks for card numbers." in shown
    assert "I saw this page." in shown
    assert word not in shown, "the words of A's reporter are in B"

    # Back to A it cannot go: not by B's analyst, and not past them.
    refused = await b.decide(case_b, "xa")
    assert refused.status_code == 422
    assert "came through" in refused.text
    looped = await b.hands_over(["xa", "xb"])
    assert (looped.status_code, looped.json()["code"]) == (422, "loop")
    assert a.count("intake", "reports") == 1

    # B's analyst asks B's partner, which removes it: A has the outcome, B's reference and peace.
    assert (await b.decide(case_b, "host-desk")).status_code == 200

    async def removed() -> bool:
        return all(
            [
                (await a.shown(receipt))["status"] == "removed",
                (await b.shown(mine))["status"] == "removed",
            ]
        )

    await until(removed, 60, 0.2)
    [row] = a.ledger()
    assert (row["state"], row["reference"]) == ("removed", f"xb:{handed['_id']}")
    assert a.count("triage", "cases", {"state": "resolved"}) == 1
    assert len(await b.seen("hotline")) == 1
