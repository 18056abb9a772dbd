# SPDX-License-Identifier: Apache-2.0
"""One report through the whole hub as people and partners use it, and what it left behind.

Every word that must stay inside is unique here, so that it can be looked for afterwards in whatever
somebody could read: logs, metrics, topics, database files, requests to partners, mail.
"""

import json
import secrets
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

import httpx
import pytest
from hub import PHISHING, Hub
from kit import until
from wasl_local.stack import ANALYST, REVIEWER

pytestmark = pytest.mark.integration


def _word() -> str:
    return f"canary{secrets.token_hex(6)}"


class Walk:
    """The secrets of one report, and the people who handle it."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.narrative, self.contact, self.page = _word(), f"{_word()}@example.org", _word()
        self.url = f"https://{self.page}.example.net/item/1"
        self.reply, self.note, self.reason = _word(), _word(), _word()
        self.receipt = ""

    @property
    def never_outside(self) -> dict[str, str]:
        """What nobody may find outside the encrypted documents, in no place."""
        return {
            "narrative": self.narrative,
            "reply": self.reply,
            "note": self.note,
            "receipt": self.receipt,
            "receipt without hyphens": self.receipt.replace("-", ""),
            **{f"token of {p}": self.hub.token(p) for p in (ANALYST, REVIEWER)},
            "master key": self.hub.secret("master_key"),
            "pepper": self.hub.secret("pepper"),
        }

    def reporter(self) -> httpx.AsyncClient:
        head = {"authorization": f"Receipt {self.receipt}"} if self.receipt else {}
        return httpx.AsyncClient(
            base_url=f"{self.hub.url('intake')}/api/v1", headers=head, trust_env=False
        )

    async def shown(self) -> dict[str, Any]:
        async with self.reporter() as http:
            answer: dict[str, Any] = (await http.get("/reports")).raise_for_status().json()
            return answer

    async def status(self, status: str) -> None:
        async def so() -> bool:
            return bool((await self.shown())["status"] == status)

        await until(so, 60, 0.2)

    async def desk(self, person: str, path: str, body: dict[str, Any] | None = None) -> Any:
        head = {"authorization": f"Bearer {self.hub.token(person)}"}
        base = f"{self.hub.url('triage')}/api/v1"
        async with httpx.AsyncClient(base_url=base, headers=head, trust_env=False) as http:
            answer = await (http.get(path) if body is None else http.post(path, json=body))
        assert not answer.is_error, answer.text
        return answer.json()

    async def submit(self) -> None:
        body = {
            "narrative": f"A page asks for card numbers. {self.narrative}",
            "locations": [self.url],
            "category": "phishing_malware",
            "language": "fr",
            "contact": {"channel": "email", "address": self.contact, "safe": True},
        }
        async with self.reporter() as http:
            answer = (await http.post("/reports", json=body)).raise_for_status()
        self.receipt = answer.json()["receipt"]

    async def decide(self) -> None:
        waiting: list[str] = []

        async def queued() -> bool:
            waiting[:] = [c["case_id"] for c in (await self.desk(ANALYST, "/queue"))["cases"]]
            return bool(waiting)

        await until(queued, 30, 0.2)
        [case_id] = waiting
        case = f"/cases/{case_id}"
        sheet = await self.desk(ANALYST, f"{case}?unredacted=true")
        assert self.narrative in json.dumps(sheet), "the analyst does not see what was reported"
        await self.desk(ANALYST, f"{case}/claim", {})
        said = {"category": "phishing_malware", "answers": PHISHING, "note": self.note}
        await self.desk(ANALYST, f"{case}/assessment", said)
        decision = {
            "action": "dispatch",
            "ground": {"kind": "law", "ref": "ma.penal-code.607-3"},
            "partners": ["hosting-desk"],
            "reason": f"Asks for card numbers. {self.reason}",
            "scope": "global",
        }
        await self.desk(ANALYST, f"{case}/decision", decision)

    async def write(self) -> None:
        async with self.reporter() as http:
            body = {"body": f"It is still there. {self.reply}"}
            (await http.post("/reports/messages", json=body)).raise_for_status()

    async def withdraw(self) -> None:
        async with self.reporter() as http:
            (await http.post("/reports/withdrawal")).raise_for_status()


async def test_nothing_of_it_is_found_outside(tmp_path: Path) -> None:
    async with Hub(tmp_path, {"WASL_LOG_LEVEL": "DEBUG"}) as hub:
        walk = Walk(hub)
        await walk.submit()
        await walk.decide()
        await walk.write()
        await walk.status("removed")

        async def mailed() -> bool:
            return bool(hub.mails())

        await until(mailed, 30)
        outside = await _outside(hub)
        _clean(outside, walk.never_outside)
        _clean(outside, {"contact": walk.contact}, but=("mail",))
        _clean(outside, {"item": walk.url, "its host": walk.page}, but=("partner platforms",))
        _clean(outside, {"reason": walk.reason}, but=("partner platforms",))
        assert walk.url in outside["partner platforms"], "the partner was not told which page"
        mail = message_from_bytes(outside["mail"].encode(), policy=default)
        assert mail["To"] == walk.contact
        assert "card numbers" not in outside["mail"], "the mail tells what was reported"

        keys = _keys(hub)
        await walk.withdraw()
        await walk.status("withdrawn")
        assert _keys(hub) == keys - 1, "the report's key is still there"
        with hub.database() as client:
            sealed = client["wasl_intake"]["reports"].find_one({})
        assert sealed["content"] is None
        _clean(await _outside(hub), walk.never_outside)
    written = b"".join(p.read_bytes() for p in (tmp_path / "state").rglob("*.jsonl"))
    assert walk.narrative.encode() not in written, "found in a log that was written while stopping"


def _keys(hub: Hub) -> int:
    """Data keys that still open something."""
    with hub.database() as client:
        return int(client["wasl_vault"]["keys"].count_documents({"wrapped": {"$ne": None}}))


async def _outside(hub: Hub) -> dict[str, str]:
    """Everything somebody could read without a key, by where it is."""
    found = {f"log of {name}": hub.log(name).read_text() for name in hub.processes}
    async with httpx.AsyncClient(trust_env=False) as http:
        for name in hub.processes:
            if name.startswith("partner-"):
                continue
            found[f"metrics of {name}"] = (await http.get(f"{hub.admin(name)}/metrics")).text
        for partner in ("hotline", "platforms"):
            found[f"partner {partner}"] = "".join(
                (await http.get(f"{hub.url(partner)}/bodies")).json()
            )
    records = await hub.records()
    assert records
    found["topics"] = "\n".join(f"{r.topic} {r.key!r} {r.value!r} {r.headers!r}" for r in records)
    with hub.database() as client:
        for name in client.list_database_names():
            if name.startswith("wasl_"):
                for collection in client[name].list_collection_names():
                    found[f"{name}.{collection}"] = repr(list(client[name][collection].find()))
    mails = sorted(hub.mail.directory.glob("*.eml"))
    found["mail"] = mails[0].read_text() if mails else ""
    return found


def _clean(outside: dict[str, str], words: dict[str, str], but: tuple[str, ...] = ()) -> None:
    for what, word in words.items():
        places = [place for place, text in outside.items() if word in text and place not in but]
        assert not places, f"{what} is readable in {places}"
