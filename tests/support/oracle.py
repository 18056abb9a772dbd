# SPDX-License-Identifier: Apache-2.0
"""The one judgement of the failure suite.

Every accepted report reaches exactly one correct state, and every effect happened once: one case per
item with the exact number of reports, one row of the ledger per case and partner, one report at the
partner per row, one message per cause. Nothing is lost, nothing is invented, nothing waits.
"""

import asyncio
import base64
import hashlib
import hmac
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

import httpx
from hub import PARTNERS, Hub, Record, body_of
from kit import until
from load import Load, Sent
from wasl_chassis.vault import derive
from wasl_intake.domain import receipt
from wasl_schemas.country_pack import load_country_pack
from wasl_triage.casework import request_id
from wasl_triage.domain.itemkey import ItemKeys

#: Changes of a case, and answers of a partner, that reporters are told of.
_NEWS = {"decided", "confirmed", "outcome", "closed"}
#: Lines a receipt shows at most once for each partner asked.
_PER_PARTNER = {"dispatch_sent", "dispatch_acknowledged", "dispatch_removed", "case_decided"}
_PER_ROUND = {"case_resolved", "case_reopened"}


@dataclass
class _Before:
    ids: dict[tuple[str, str], set[str]]
    seen: dict[str, set[str]]
    dead: set[tuple[str, int, int]]
    mails: int


_BOOKS = (
    ("intake", "reports"),
    ("triage", "reports"),
    ("triage", "cases"),
    ("gateway-reference", "ledger"),
    ("notify", "reporters"),
    ("notify", "notifications"),
)


class Oracle:
    """Made when the hub is quiet; ``judge`` says what the load since then must have come to."""

    def __init__(self, hub: Hub, before: _Before) -> None:
        self.hub = hub
        self._before = before
        pepper = base64.b64decode(hub.secret("pepper"))
        self._receipts, self._items = derive(pepper, "receipt"), derive(pepper, "item")
        self._keys = ItemKeys(load_country_pack(hub.settings.country_pack).platforms)

    @classmethod
    async def ready(cls, hub: Hub) -> Self:
        ids = {book: set(hub.docs(*book)) for book in _BOOKS}
        seen = {partner: set(await hub.seen(partner)) for partner in PARTNERS}
        dead = {r.place for r in await hub.dead_letters()}
        return cls(hub, _Before(ids, seen, dead, len(hub.mails())))

    def report_id(self, sent: Sent) -> str:
        return receipt.report_id(self._receipts, receipt.read(sent.receipt))

    def case_id(self, item: str) -> str:
        key = self._keys.item(item).key
        return hmac.digest(self._items, key.encode(), hashlib.sha256).hex()[:32]

    def request_id(self, item: str, partner: str) -> str:
        """Of the first round."""
        return request_id(self.case_id(item), partner, 1)

    # -- waiting -------------------------------------------------------------------------------------

    async def receipts(self, sent: list[Sent]) -> dict[str, dict[str, Any]]:
        """What each receipt shows, asked at the public API."""
        shown: dict[str, dict[str, Any]] = {}
        gate = asyncio.Semaphore(8)
        async with httpx.AsyncClient(
            base_url=self.hub.url("intake"), timeout=10, trust_env=False
        ) as http:

            async def ask(one: Sent) -> None:
                async with gate:
                    headers = {"authorization": f"Receipt {one.receipt}"}
                    answer = await http.get("/api/v1/reports", headers=headers)
                assert answer.status_code == 200, f"a receipt is not known: {answer.text}"
                shown[one.receipt] = answer.json()

            await asyncio.gather(*(ask(one) for one in sent))
        return shown

    async def settled(
        self, sent: list[Sent], timeout: float = 120, status: str = "removed"
    ) -> dict[str, dict[str, Any]]:
        """Wait until every receipt shows the end. Fails with what is shown instead."""
        shown: dict[str, dict[str, Any]] = {}

        async def all_there() -> bool:
            waiting = [s for s in sent if shown.get(s.receipt, {}).get("status") != status]
            shown.update(await self.receipts(waiting))
            return all(s["status"] == status for s in shown.values())

        try:
            await until(all_there, timeout, 0.5)
        except TimeoutError:
            counts = Counter(s["status"] for s in shown.values())
            raise AssertionError(f"not settled after {timeout:.0f} s: {dict(counts)}") from None
        return shown

    async def _drained(self, timeout: float) -> None:
        """Wait for intake's spool: until it is drained nobody can follow what is in it."""
        folder = self.hub.folder / "intake-spool"

        async def empty() -> bool:
            return not list(folder.glob("*.spool"))

        await until(empty, timeout)

    async def _answered(self, timeout: float) -> None:
        """Wait for every partner: a callback that met a dead process comes again, later each time."""

        async def all_removed() -> bool:
            rows = self._new(("gateway-reference", "ledger")).values()
            return all(row["state"] == "removed" for row in rows)

        with suppress(TimeoutError):  # what is missing then, the judge names
            await until(all_removed, timeout, 0.5)

    async def quiet(self, timeout: float = 60) -> None:
        """Wait until nothing is on its way: outboxes empty, every group caught up, all mail sent."""
        state: dict[str, Any] = {}

        async def still() -> bool:
            state.update(
                outboxes=self.hub.outboxes(),
                messages=self.hub.count("notify", "notifications", {"state": "pending"}),
                pages=self.hub.count("notify", "unread"),
            )
            for book in ("reporters", "links"):  # not yet joined with the pages
                state[book] = self.hub.count("notify", book, {"due_at": {"$ne": None}})
            if any(value for name, value in state.items() if name != "unread"):
                return False
            state["unread"] = await self.hub.unread()
            return not state["unread"]

        # Twice: an event that was just read may have written to an outbox that was just looked at.
        for _ in range(2):
            try:
                await until(still, timeout, 0.2)
            except TimeoutError:
                raise AssertionError(f"not quiet after {timeout:.0f} s: {state}") from None

    # -- judging -------------------------------------------------------------------------------------

    async def judge(
        self,
        load: Load,
        *,
        timeout: float = 120,
        dead_letters: int = 0,
        repeated: bool = True,
        resent_mail: bool = False,
        log_complete: bool = True,
    ) -> None:
        """Raises AssertionError that says what is lost, doubled or invented.

        ``repeated``: the partner may have been asked twice under one key (it still makes one report).
        ``resent_mail``: a mail may arrive twice under one Message-ID. ``log_complete``: False when the
        broker lost records, from which the causes of mail are known.
        """
        await self._drained(timeout)
        await self.settled(load.sent, timeout)
        await self._answered(timeout)
        await self.quiet(timeout)
        shown = await self.receipts(load.sent)
        assert {s["status"] for s in shown.values()} == {"removed"}, "a receipt changed its mind"
        new = {book: self._new(book) for book in _BOOKS}
        cases = new["triage", "cases"]
        self._judge_cases(load, new)
        self._judge_receipts(load, shown, cases)
        ledger = new["gateway-reference", "ledger"]
        await self._judge_partners(load, cases, ledger, repeated=repeated)
        records = await self.hub.records() if log_complete else []
        if records:
            self._judge_rounds(new["intake", "reports"], new["triage", "reports"], cases, records)
        self._judge_mail(load, new, records, resent=resent_mail)
        dead = await self.dead_letters()
        assert len(dead) == dead_letters, _reasons(dead)
        self.hub.sound = True

    async def dead_letters(self) -> list[Record]:
        """Those that are new."""
        return await self.hub.dead_letters(self._before.dead)

    def _new(self, book: tuple[str, str]) -> dict[str, dict[str, Any]]:
        old = self._before.ids[book]
        return {key: doc for key, doc in self.hub.docs(*book).items() if key not in old}

    def _judge_receipts(
        self, load: Load, shown: dict[str, dict[str, Any]], cases: dict[str, Any]
    ) -> None:
        for sent in load.sent:
            kinds = Counter(line["kind"] for line in shown[sent.receipt]["timeline"])
            # A report that comes when the item was gone already opens another round.
            rounds = cases[self.case_id(sent.item)]["round"]
            for kind, count in kinds.items():
                most = rounds * (len(sent.partners) if kind in _PER_PARTNER else 1)
                if kind in _PER_PARTNER | _PER_ROUND:
                    assert count <= most, f"{count} × {kind} on one receipt"
            assert kinds["case_opened"] <= 1, "a receipt shows two openings"

    def _judge_cases(self, load: Load, new: dict[tuple[str, str], dict[str, Any]]) -> None:
        reports = {self.report_id(s): self.case_id(s.item) for s in load.sent}
        assert set(new["intake", "reports"]) == set(reports), "intake holds other reports"
        assert set(new["triage", "reports"]) == set(reports), "triage holds other reports"
        for report_id, doc in new["triage", "reports"].items():
            assert doc["cases"] == [reports[report_id]], f"report {report_id} is in {doc['cases']}"
        counts = {self.case_id(item): n for item, n in load.items.items()}
        found = {key: doc["reports"] for key, doc in new["triage", "cases"].items()}
        assert found == counts, "cases and their numbers of reports differ from what was sent"
        states = Counter(doc["state"] for doc in new["triage", "cases"].values())
        assert set(states) == {"resolved"}, states

    def _judge_rounds(
        self,
        received: dict[str, Any],
        joined: dict[str, Any],
        cases: dict[str, Any],
        records: list[Record],
    ) -> None:
        """A case opens again only for a report that came after its item was gone."""
        gone: dict[str, dict[int, datetime]] = {}
        for record in records:
            event = _readable(record) if record.topic == "wasl.case.updated.v1" else None
            if event and event["data"]["change"] == "outcome":
                data = event["data"]
                at = datetime.fromisoformat(data["changed_at"])
                gone.setdefault(data["case_id"], {})[data["version"]] = at
        for case_id, case in cases.items():
            ends = sorted(gone[case_id].values())
            assert len(ends) == case["round"], f"{len(ends)} ends of {case['round']} rounds"
            came = sorted(
                received[key]["received_at"] for key, r in joined.items() if case_id in r["cases"]
            )
            for end in ends[:-1]:
                later = [at for at in came if at > end]
                assert later, "a case was opened again although nobody reported it again"

    async def _judge_partners(
        self,
        load: Load,
        cases: dict[str, dict[str, Any]],
        ledger: dict[str, dict[str, Any]],
        *,
        repeated: bool,
    ) -> None:
        expected: dict[str, tuple[str, str]] = {}
        for item, asked in {s.item: s.partners for s in load.sent}.items():
            case_id = self.case_id(item)
            for partner in asked:
                for number in range(1, cases[case_id]["round"] + 1):
                    expected[request_id(case_id, partner, number)] = (case_id, partner)
        assert set(ledger) == set(expected), "the ledger holds other requests"
        for key, row in ledger.items():
            assert (row["case_id"], row["partner"]) == expected[key]
            assert row["state"] == "removed", f"{row['partner']}: {row['state']} ({row['reason']})"
        made: dict[str, int] = {}
        for partner in PARTNERS:
            for key, book in (await self.hub.seen(partner)).items():
                if key in self._before.seen[partner]:
                    continue
                assert key not in made, "one request reached two partners"
                made[key] = book["reports"]
                assert repeated or book["received"] == 1, (
                    f"a partner was asked {book['received']} ×"
                )
        assert made == dict.fromkeys(expected, 1), "the partners' books differ from the ledger"

    def _judge_mail(
        self,
        load: Load,
        new: dict[tuple[str, str], dict[str, Any]],
        records: list[Record],
        *,
        resent: bool,
    ) -> None:
        addresses = {self.report_id(s): (s.contact, s.item) for s in load.sent if s.contact}
        reporters = new["notify", "reporters"]
        assert set(reporters) == set(addresses), "notify knows other reporters"
        causes = _causes(records)
        for report_id, reporter in reporters.items():
            heard = Counter(reporter["causes"])
            assert heard and set(heard.values()) == {1}, "a reporter heard of one cause twice"
            if records:
                case = self.case_id(addresses[report_id][1])
                expected = {_mark(report_id, cause) for cause in causes[case]}
                missing, invented = expected - set(heard), set(heard) - expected
                assert not missing, f"a reporter did not hear of {len(missing)} of {len(expected)}"
                assert not invented, f"a reporter heard of {len(invented)} that did not happen"
        messages = new["notify", "notifications"]
        assert {m["report_id"] for m in messages.values()} == set(addresses)
        assert {m["state"] for m in messages.values()} <= {"sent"}, "a message failed"
        mails = self.hub.mails()[self._before.mails :]
        to = {key: addresses[m["report_id"]][0] for key, m in messages.items()}
        assert set(mails) == set(to.items()), "the mail that arrived is not the mail that was due"
        twice = [n for n in Counter(mails).values() if n > 1]
        assert resent or not twice, f"{len(twice)} mails arrived more than once"


def _mark(report_id: str, cause: str) -> str:
    """How notify names a message: by whom it is for and what it tells."""
    return hashlib.sha256(f"{report_id}|{cause}".encode()).hexdigest()[:32]


def _causes(records: list[Record]) -> dict[str, set[str]]:
    """What happened to each case that its reporters are told, read from the log itself."""
    causes: dict[str, set[str]] = {}
    for record in records:
        if record.topic == "wasl.case.updated.v1" and (event := _readable(record)):
            data = event["data"]
            if data["change"] in _NEWS:
                cause = f"{data['case_id']}|{data['change']}|{data['version']}"
                causes.setdefault(data["case_id"], set()).add(cause)
        elif record.topic == "wasl.dispatch.updated.v1" and (event := _readable(record)):
            data = event["data"]
            if data["state"] == "removed":
                cause = f"{data['dispatch_id']}|removed"
                causes.setdefault(data["case_id"], set()).add(cause)
    return causes


def _readable(record: Record) -> dict[str, Any] | None:
    try:
        event = body_of(record)
        return event if isinstance(event["data"]["case_id"], str) else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None  # injected poison


def _reasons(dead: list[Record]) -> str:
    found = Counter(
        (
            r.topic,
            dict(r.headers).get("x-wasl-reason", b"").decode(),
            dict(r.headers).get("x-wasl-error"),
        )
        for r in dead
    )
    return f"dead letters: {dict(found)}"
