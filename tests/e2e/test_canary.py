# SPDX-License-Identifier: Apache-2.0
"""Words in every field a reporter can fill, by every door, while the hub does all it does; then
everything it left is searched for them, and after the withdrawal attacked with all its secrets.

One hub and one journey for all tests of this file. mongod writes uncompressed here; how a service
compresses what it keeps is looked into by the search.
"""

import asyncio
import base64
import itertools
import json
import re
import shutil
import uuid
import zlib
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import canary
import httpx
import pytest
from attack import Attack
from canary import Place, PlainHub, Search, Word
from hub import PHISHING
from kit import until
from pages import Page, Person
from wasl_chassis.vault import derive
from wasl_intake.domain import flood, receipt
from wasl_local.stack import ANALYST
from wasl_schemas import topics

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("canary")]
_LETTERS = re.compile(r"[0-9A-HJKMNP-TV-Z]{6}(?:-[0-9A-HJKMNP-TV-Z]{6}){2}")
#: What a partner is sent is the address of the item, as typed or as every service spells it.
_ITEM = ("host", "path", "query")
_ENV = {
    "WASL_LOG_LEVEL": "DEBUG",
    # Who is caught in the trap works for a moment, and does not wait.
    "WASL_INTAKE_FLOOD_BITS": "12",
}


class Words:
    """``words["door field"]`` makes the word of that field, once."""

    def __init__(self) -> None:
        self.all: dict[str, Word] = {}

    def __getitem__(self, name: str) -> str:
        return self.all.setdefault(name, Word.new(name)).text

    def arabic(self, name: str) -> str:
        return self.all.setdefault(name, Word.arabic(name)).text

    def fingerprint(self, name: str) -> str:
        return f"sha256:{self.all.setdefault(name, Word.hexadecimal(name)).text}"

    def secret(self, name: str, text: str) -> None:
        self.all[name] = Word.known(name, text)

    def link(self, door: str) -> str:
        host, path, query, fragment = (
            self[f"{door} {part}"] for part in ("host", "path", "query", "fragment")
        )
        return f"https://{host}.example.net/{path}?q={query}#{fragment}"

    def address(self, name: str) -> str:
        return f"{self[f'{name} local part']}@{self[f'{name} domain']}.example.org"

    def headers(self, door: str) -> dict[str, str]:
        """What a browser, a proxy and a program may say about who they are."""
        plain = ("user-agent", "x-forwarded-for", "x-real-ip", "forwarded", "via", "x-request-id",
                 "x-anything", "from", "referer", "traceparent", "baggage", "tracestate")  # fmt: skip
        told = {name: self[f"{door} {name}"] for name in plain}
        return {**told, "accept-language": f"{self[f'{door} accept-language']},fr;q=0.5"}


@dataclass
class Journey:
    """What was sent by whom, and what the hub said."""

    hub: PlainHub
    words: Words = field(default_factory=Words)
    receipts: dict[str, str] = field(default_factory=dict)
    #: The spool's files as they were while the database was away.
    spooled: Path = Path()
    #: Cookies of the browser at the end of the form.
    cookies: dict[str, str] = field(default_factory=dict)

    # -- doors -----------------------------------------------------------------------------------

    @asynccontextmanager
    async def browser(self, door: str, lang: str) -> AsyncIterator[Person]:
        head = self.words.headers(door)
        jar = {"other": self.words[f"{door} cookie"]}
        async with httpx.AsyncClient(
            base_url=self.hub.url("intake"), headers=head, cookies=jar, trust_env=False, timeout=20
        ) as http:
            yield Person(SimpleNamespace(http=http), lang)
            self.cookies.update(http.cookies)

    def api(self, door: str, **head: str) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=f"{self.hub.url('intake')}/api/v1",
            headers={**self.words.headers(door), **head},
            cookies={"other": self.words[f"{door} cookie"]},
            trust_env=False,
        )

    async def by_form(self) -> None:
        """All steps, some taken twice, with a mistake in between."""
        words = self.words
        async with self.browser("form", "ar") as person:
            await person.open("report/6")
            await person.send(narrative=words["form never sent"])
            await person.open("report/1")
            await person.send(danger="no", switch="fr")
            await person.send(danger="no")
            await person.send(group="intimate")
            await person.send(category="intimate_image_abuse")
            await person.send(422, links=f"javascript:{words['form refused link']}")
            await person.send(links=words.link("form"), account=f"@{words['form account']}")
            await person.send(affected="self", age="adult")
            text = f"{words['form narrative']} {words.arabic('form arabic narrative')}"
            marks = words.fingerprint("form fingerprint")
            await person.send(narrative=text, fingerprints=marks)
            await person.send(422, email=words["form refused address"])
            page = await person.send(
                email=words.address("form"),
                email_safe="yes",
                consent_partner="yes",
                consent_authority="yes",
            )
            assert person.path == "report/8"
            await person.send(answer=solved(page), website=words["form trap"])
            self.receipts["form"] = letters(person)
            # Addresses nobody has: what is typed there is the browser's, and ours in no log.
            await person.portal.http.get(f"/fr/{words['form unknown path']}")
            await person.portal.http.get(f"/fr/report/1?x={words['form query string']}")

    async def by_short_path(self) -> None:
        async with self.browser("short", "fr") as person:
            await person.open("quick")
            await person.send(links=self.words.link("short"), danger="yes")
            self.receipts["short"] = letters(person)

    async def by_api(self, door: str) -> None:
        words = self.words
        body = {
            "locations": [words.link(door), words[f"{door} account"]],
            "narrative": f"{words[f'{door} narrative']} {words.arabic(f'{door} arabic narrative')}",
            "category": "scam_fraud",
            "language": "ar",
            "fingerprints": [words.fingerprint(f"{door} fingerprint")],
            "contact": {"channel": "email", "address": words.address(door), "safe": True},
        }
        head = {
            "idempotency-key": words[f"{door} idempotency key"],
            "x-challenge": words[f"{door} challenge"],
        }
        async with self.api(door) as http:
            for wrong in (
                {**body, words[f"{door} unknown field"]: 1},
                {**body, "category": words[f"{door} unknown category"]},
                {**body, "language": words[f"{door} unknown language"]},
                {**body, "contact": {"channel": words[f"{door} unknown channel"]}},
            ):
                assert (await http.post("/reports", json=wrong)).status_code == 422
            refused = await http.post("/reports", content=words[f"{door} no json"])
            assert refused.is_client_error
            answer = await http.post("/reports", json=body, headers=head)
        assert answer.status_code == 202, answer.text
        self.receipts[door] = answer.json()["receipt"]

    async def by_key(self) -> None:
        """One XARF document of an organisation, and a try with a key that nobody has."""
        words = self.words
        party = {
            "org": words["key organisation"],
            "contact": words.address("key party"),
            "domain": f"{words['key party domain']}.example.org",
        }
        document = {
            "xarf_version": "4.2.0",
            "report_id": str(uuid.uuid4()),
            "timestamp": "2026-01-30T08:00:00Z",
            "reporter": party,
            "sender": party,
            "source_identifier": f"{words['key source']}.example.org",
            "category": "content",
            "type": "phishing",
            "url": words.link("key"),
            "description": f"{words['key description']} {words.arabic('key arabic description')}",
            "evidence": [
                {
                    "content_type": "text/plain",
                    "payload": base64.b64encode(words["key evidence"].encode()).decode(),
                }
            ],
            "tags": [words["key tag"]],
            words["key extra field"]: words["key extra value"],
        }
        words.secret("key itself", self.hub.api_key)
        async with self.api("key", **{"x-api-key": self.hub.api_key}) as http:
            answer = await http.post("/partner/xarf", json=document)
            assert answer.status_code == 202, answer.text
            self.receipts["key"] = answer.json()["receipt"]
            head = {"x-api-key": words["key nobody has"]}
            assert (await http.post("/partner/xarf", json={}, headers=head)).status_code == 401

    async def by_feedback(self) -> None:
        async with self.browser("feedback", "fr") as person:
            page = await person.open("feedback")
            await person.send(
                kind="complaint", text=self.words["feedback text"], answer=solved(page)
            )
            assert person.path == "feedback/receipt"
            self.receipts["feedback"] = letters(person)
            await person.open("feedback/follow")
            await person.send(422, action="open", code=self.words["feedback mistyped receipt"])

    async def while_the_database_is_away(self) -> None:
        await asyncio.to_thread(self.hub.mongo.stop)
        await self.by_api("spool")
        copy = self.hub.folder.with_name("spool-as-it-was")
        await asyncio.to_thread(shutil.copytree, self.hub.folder / "intake-spool", copy)
        self.spooled = copy
        await asyncio.to_thread(self.hub.mongo.start)

    # -- behind the receipt ------------------------------------------------------------------------

    async def follow(self) -> None:
        words = self.words
        async with self.browser("follow", "fr") as person:
            await person.open("follow")
            await person.send(404, receipt=words["follow mistyped receipt"])
            await person.send(receipt=self.receipts["form"])
            await person.send(
                action="send", message=f"{words['thread message']} {words.arabic('thread arabic')}"
            )
            await person.open("follow/chat")
            await person.send(message=words["chat message"])
            await person.open("follow/contact")
            await person.send(422, email=words["follow refused address"])
            await person.send(email=words.address("changed contact"), email_safe="yes")
            assert person.path == "follow"

    async def withdraw(self) -> Page:
        """By the pages. Returns the one that asks whether to."""
        async with self.browser("withdraw", "en") as person:
            await person.open("follow")
            await person.send(receipt=self.receipts["form"])
            asked = await person.open("follow/withdraw")
            await person.send(action="withdraw")
            assert person.path == "follow"
        async with self.browser("withdraw feedback", "fr") as person:
            await person.open("feedback/follow")
            await person.send(action="open", code=self.receipts["feedback"])
            await person.send(action="withdraw", sure="yes")
        return asked

    async def status(self, door: str) -> str:
        head = {"authorization": f"Receipt {self.receipts[door]}"}
        async with self.api("status", **head) as http:
            answer = await http.get("/reports")
        return str(answer.json()["status"]) if answer.status_code == 200 else ""

    # -- the desk ----------------------------------------------------------------------------------

    async def desk(self, path: str, body: dict[str, Any] | None = None) -> Any:
        head = {"authorization": f"Bearer {self.hub.token(ANALYST)}"}
        base = f"{self.hub.url('triage')}/api/v1"
        async with httpx.AsyncClient(base_url=base, headers=head, trust_env=False) as http:
            answer = await (http.get(path) if body is None else http.post(path, json=body))
        assert not answer.is_error, answer.text
        return answer.json()

    async def handle(self) -> None:
        """The analyst reads, asks the reporter, and tells the partner."""

        async def opened() -> list[str]:
            return await self.hub.trace(self.receipts["form"])

        [case_id] = await until(opened, 120, 0.3)
        case = f"/cases/{case_id}"
        sheet = json.dumps(await self.desk(f"{case}?unredacted=true"))
        assert self.words["form narrative"] in sheet, "the analyst does not see what was reported"
        await self.desk(f"{case}/claim", {})
        note = {
            "category": "phishing_malware",
            "answers": PHISHING,
            "note": self.words["desk note"],
        }
        await self.desk(f"{case}/assessment", note)
        [report] = (await self.desk(case))["reports"]
        letter = {"report_id": report["report_id"], "text": self.words["desk letter"]}
        await self.desk(f"{case}/messages", letter)
        decision = {
            "action": "dispatch",
            "ground": {"kind": "law", "ref": "ma.penal-code.607-3"},
            "partners": ["hosting-desk"],
            "reason": "Asks for card numbers.",
            "scope": "global",
        }
        await self.desk(f"{case}/decision", decision)

    async def settled(self) -> None:
        """Everything has come to where it goes."""
        await until(lambda: self._is("form", "removed"), 120, 0.3)

        async def quiet() -> bool:
            mailed = {to.lower() for _, to in self.hub.mails()}
            return (
                self.words.address("changed contact") in mailed
                and not await self.hub.unread()
                and not self.hub.outboxes()
            )

        await until(quiet, 120, 0.5)

    async def _is(self, door: str, status: str) -> bool:
        return await self.status(door) == status

    async def take(self) -> None:
        await self.while_the_database_is_away()
        await until(self._drained, 120, 0.3)
        await self.by_form()
        await self.by_short_path()
        await self.by_api("api")
        await self.by_key()
        await self.by_feedback()
        await self.follow()
        await self.handle()
        await self.settled()
        for door, code in self.receipts.items():
            self.words.secret(f"receipt of {door}", code)
            self.words.secret(f"receipt of {door}, unspaced", code.replace("-", ""))
        for secret in ("master_key", "pepper"):
            self.words.secret(secret, self.hub.secret(secret))

    async def _drained(self) -> bool:
        return bool(await self.status("spool"))


def solved(page: Page) -> str:
    """The work a script would do for the form."""
    [form] = [g for g in page.all("form") if "data-difficulty" in g]
    token, bits = str(form["data-challenge"]), int(str(form["data-difficulty"]))
    return next(a for a in map(str, itertools.count()) if flood.solves(token, a, bits))


def letters(person: Person) -> str:
    assert person.path.endswith("receipt"), person.path
    [found] = set(_LETTERS.findall(person.page.text))
    return str(found)


@pytest.fixture(scope="module")
def journey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Journey]:
    hub = PlainHub(tmp_path_factory.mktemp("canary") / "hub", _ENV)
    made = Journey(hub)

    async def begin() -> None:
        await hub.__aenter__()
        try:
            await made.take()
        except BaseException:
            await hub.__aexit__()
            raise

    asyncio.run(begin())
    yield made
    asyncio.run(hub.__aexit__())


async def left(journey: Journey) -> list[Iterable[Place]]:
    """Everything the hub has left, by kind."""
    hub = journey.hub
    await asyncio.to_thread(canary.written, hub)
    return [
        await canary.topics(hub),
        await asyncio.to_thread(canary.databases, hub),
        await canary.metrics(hub),
        await canary.partners(hub),
        canary.files(hub.folder),
        canary.files(journey.spooled, "spool "),
    ]


# -- the search finds --------------------------------------------------------------------------------


@pytest.mark.parametrize("word", [Word.new("a"), Word.arabic("b"), Word.hexadecimal("c")])
def test_a_word_is_found_however_it_is_spelt(word: Word) -> None:
    text = word.text
    raw = text.encode()
    body = b'{"narrative":"...%s..."}' % raw
    spelt = {
        "as it is": raw,
        "capitals": text.upper().encode(),
        "percent": "".join(f"%{b:02X}" for b in raw).encode(),
        "ascii json": json.dumps(text).encode(),
        "hex": raw.hex().encode(),
        "numbers": ",".join(map(str, raw)).encode(),
        "utf-16": text.encode("utf-16"),
        "utf-16-be": text.encode("utf-16-be"),
        "base64": base64.b64encode(raw),
        "base64, one on": base64.urlsafe_b64encode(b"x" + raw),
        "base64, two on": base64.b64encode(b"xy" + raw + b"z"),
        "zlib": zlib.compress(body),
        "gzip": zlib.compress(body, wbits=31),
        "zlib in base64": base64.urlsafe_b64encode(zlib.compress(body)),
    }
    for what, data in spelt.items():
        search = Search([word]).through([(what, b'..."' + data + b'"...')])
        assert search.words_in(what) == {word.name}, what
    clean = b"".join(spelt.values()).replace(raw, b"").lower()
    other = Search([Word.new("other")]).through([("clean", clean)])
    assert not other.hits


async def test_nothing_typed_is_found_where_somebody_could_read_it(journey: Journey) -> None:
    words = journey.words
    search = Search(words.all.values())
    for places in await left(journey):
        await asyncio.to_thread(search.through, places)
    _everywhere(search, journey)

    told = {"partner platforms": "form", "partner hotline": "short"}
    for partner, door in told.items():
        found = search.words_in(partner)
        assert f"{door} host" in found, f"{partner} was not told which page"
        items = {f"{d} {part}" for d in ("form", "short", "key") for part in _ITEM}
        assert found <= items, f"{partner} was told {found - items}"
    # Only the address that was given last is written to, and the mail says nothing else.
    mailed = {"changed contact local part", "changed contact domain"}
    assert search.words_in("file mail/") == mailed
    # The secrets of the local run are files by design, and nothing else is in that folder.
    assert search.words_in("file state/secrets/") == {"master_key", "pepper"}
    outside = search.outside("partner ", "file mail/", "file state/secrets/")
    assert outside == [], "\n".join(map(str, outside))
    sealed = [("cookie", f"{k}={v}".encode()) for k, v in journey.cookies.items() if k != "other"]
    assert sealed
    assert not Search(words.all.values()).through(sealed).hits


def _everywhere(search: Search, journey: Journey) -> None:
    """It was looked where something is: each store holds what this journey must have left."""
    looked = search.looked
    for topic in (topics.REPORT_SUBMITTED_V1, topics.REPORTER_MESSAGE_SENT_V1,
                  topics.REPORTER_CONTACT_CHANGED_V1):  # fmt: skip
        assert looked[f"topic {topic.name}"] > 100
    for collection in ("wasl_intake.reports", "wasl_intake.messages", "wasl_vault.keys",
                       "wasl_triage.cases", "wasl_gateway.ledger", "local.oplog.rs"):  # fmt: skip
        assert looked[f"database {collection}"] > 100
    for name in journey.hub.processes:
        assert looked[f"file state/logs/{name}.jsonl"] > 100 or name.startswith("partner-")
        assert looked.get(f"metrics {name}", 0) > 100 or name.startswith("partner-")
    assert any(place.startswith("spool ") and size > 1_000 for place, size in looked.items())
    assert any(place.startswith("file mongo/data/journal/") for place in looked)
    assert any(place.startswith("file kafka/data/") for place in looked)


async def test_what_is_planted_in_any_store_is_found(journey: Journey) -> None:
    """The control: the same collecting and searching, where there is something to find."""
    hub = journey.hub
    planted = {place: Word.new(place) for place in ("topic", "database", "log", "file", "spool")}
    topic = next(s.dead_letter(c) for s in (topics.CASE_OPENED_V1,) for c in s.consumers)
    await hub.publish([(topic, None, planted["topic"].text.encode(), [])])
    with hub.database() as client:
        client["wasl_planted"]["planted"].insert_one({"text": planted["database"].text})
    for place, path in (
        ("log", hub.logs / "intake.jsonl"),
        ("file", hub.folder / "intake-spool" / "planted"),
        ("spool", journey.spooled / "planted"),
    ):
        with path.open("ab") as file:
            file.write(planted[place].text.encode() + b"\n")
    # A metric cannot be planted; a word that must be among the labels stands for it.
    label = Word.known("metrics", "phishing_malware")
    search = Search([*planted.values(), label])
    try:
        for places in await left(journey):
            await asyncio.to_thread(search.through, places)
    finally:
        (hub.folder / "intake-spool" / "planted").unlink()
    assert search.words_in(f"topic {topic}") == {"topic"}
    assert search.words_in("database wasl_planted.") == {"database"}
    assert "database" in search.words_in("database local.oplog.rs")
    assert "database" in search.words_in("file mongo/data/collection"), "compressed on the disk?"
    assert "database" in search.words_in("file mongo/data/journal/")

    async def on_disk() -> set[str]:
        return Search([planted["topic"]]).through(canary.files(hub.kafka.data_dir)).words_in("")

    await until(on_disk, 20, 0.3)
    assert "log" in search.words_in("file state/logs/intake.jsonl")
    assert search.words_in("file intake-spool/") == {"file"}
    assert search.words_in("spool ") == {"spool"}
    assert "metrics" in search.words_in("metrics intake")


# -- withdrawing -------------------------------------------------------------------------------------


def secrets_of(journey: Journey) -> list[bytes]:
    """The worst case: the deployment's secrets, all keys derived from them, and the receipts too."""
    master, pepper = (base64.b64decode(journey.hub.secret(n)) for n in ("master_key", "pepper"))
    purposes = ("receipt", "open", "idempotency", "feedback-receipt", "feedback-idempotency",
                "portal-state", "challenge", "spool")  # fmt: skip
    derived = [derive(secret, p) for secret in (master, pepper) for p in purposes]
    codes = [receipt.read(code) for code in journey.receipts.values()]
    holders = [receipt.holder(derive(pepper, "open"), code) for code in codes]
    return [master, pepper, *derived, *holders]


def _recovered(journey: Journey, places: Iterable[Place]) -> set[str]:
    attack = Attack(secrets_of(journey)).gather(places)
    return Search(journey.words.all.values()).through(attack.opened()).words_in("opened")


#: Words of the form's report and of the feedback that lie under the key that is destroyed.
_GONE = {
    "form narrative", "form arabic narrative", "form fingerprint", "form local part", "form domain",
    "thread message", "thread arabic", "chat message", "desk letter",
    "changed contact local part", "changed contact domain", "feedback text",
}  # fmt: skip
#: MongoDB keeps what was written a second time, to repeat it on other members and after a crash. So
#: what was deleted is there, data keys too, until the oplog's size or a checkpoint pushes it out.
_REPLAY = ("database local.", "file mongo/data/")


async def everything(journey: Journey) -> list[Place]:
    """What is left now; the test's own copy of the spool is not the hub's."""
    return _without([place for kind in await left(journey) for place in kind], "spool ")


def _without(places: list[Place], *beginnings: str) -> list[Place]:
    return [p for p in places if not p[0].startswith(beginnings)]


async def test_after_a_withdrawal_no_secret_opens_it(journey: Journey) -> None:
    places = await everything(journey)
    before = await asyncio.to_thread(_recovered, journey, _without(places, *_REPLAY))
    assert before >= _GONE, f"the attack does not open {_GONE - before}"

    asked = await journey.withdraw()
    await until(lambda: journey._is("form", "withdrawn"), 120, 0.2)

    async def quiet() -> bool:
        return not journey.hub.outboxes() and not await journey.hub.unread()

    await until(quiet, 120, 0.3)
    places = await everything(journey)
    after = await asyncio.to_thread(_recovered, journey, _without(places, *_REPLAY))
    assert after & _GONE == set()
    # A limit, and no secret: whoever holds the master key and the oplog reads it until then.
    oplog = [p for p in places if p[0].startswith("database local.")]
    assert await asyncio.to_thread(_recovered, journey, oplog) >= _GONE, (
        "the limit is lifted: say so in docs/operations.md"
    )
    # What the hub says remains, and why: the item that a case still needs, under the case's key.
    doors = ("form ", "thread", "chat", "changed", "feedback")
    assert {w for w in after if w.startswith(doors)} == {f"form {part}" for part in _ITEM}
    assert "A link that we already work on may stay in its case" in asked.text
    # Nobody else's report is touched by it.
    assert {"api narrative", "spool narrative", "key description"} <= after
